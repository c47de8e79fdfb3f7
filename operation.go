package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/session/driver"
)

// An Operation describes one call of a driver, for Config.Trace.
type Operation struct {
	Name   string // "load", "save" or "end"
	Driver string
	Handle string // of the session; on a load, that of the token that the client presented
}

const (
	opLoad = "load"
	opSave = "save"
	opEnd  = "end"
)

// A begun operation is one that a driver has not answered yet.
type begun struct {
	at   time.Time   // zero for a driver without I/O, which is neither measured nor traced
	done func(error) // of Config.Trace, or nil
}

// begin is called before an operation of the driver.
func (s *Session) begin(ctx context.Context, op string, id driver.ID) (context.Context, begun) {
	if s.source.local {
		return ctx, begun{}
	}
	m := s.request.manager
	b := begun{at: m.now()}
	if m.cfg.Trace != nil {
		ctx, b.done = m.cfg.Trace(ctx, Operation{Name: op, Driver: s.source.name, Handle: id.String()})
	}
	return ctx, b
}

// answered takes what a driver answered to an operation, for logs and statistics.
func (s *Session) answered(op string, id driver.ID, b begun, err error) error {
	if err != nil {
		err = classify(op+" with driver "+s.source.name, err)
	}
	m := s.request.manager
	if !s.source.local {
		times := &s.source.stats.saveTimes
		if op == opLoad {
			times = &s.source.stats.loadTimes
		}
		times.add(m.now().Sub(b.at))
	}
	if b.done != nil {
		b.done(err)
	}
	m.observe(s.request.Context, s.source, b.at, err)
	if errors.Is(err, driver.ErrDamaged) {
		s.source.stats.damaged.Add(1)
		s.log(damagedRecord, "operation", op, "handle", id.String())
		err = fmt.Errorf("session: %s with driver %s: %w", op, s.source.name, err)
	}
	return err
}
