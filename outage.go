package session

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// outageEnds is the time without a failure after which an outage is over. While one node of a
// cluster is down, some operations fail and others succeed.
const outageEnds = 3 * time.Second

// An outage is the time in which a store does not serve. It begins with the first failure and ends
// with the first success after nothing has failed for outageEnds.
type outage struct {
	open atomic.Bool

	mu       sync.Mutex
	since    time.Time
	last     time.Time // the last failure
	ended    time.Time // the end of the outage before
	failures int
}

func (o *outage) isOpen() bool { return o.open.Load() }

// fail records the failure of an operation that began at a time, and reports whether an outage
// begins with it. If the operation began during the previous outage, it belongs to that one.
func (o *outage) fail(began, now time.Time) (begins bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open.Load() {
		o.failures++
		o.last = now
		return false
	}
	if began.Before(o.ended) {
		return false
	}
	o.since, o.last, o.failures = now, now, 1
	o.open.Store(true)
	return true
}

// succeed records the success of an operation that began at a time. It reports whether the outage
// ends with it, how long the outage was, and how many operations failed.
func (o *outage) succeed(began, now time.Time) (ends bool, lasted time.Duration, failures int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.open.Load() || began.Sub(o.last) < outageEnds {
		return false, 0, 0
	}
	o.open.Store(false)
	o.ended = now
	return true, now.Sub(o.since), o.failures
}

// observe takes the result of an operation of a driver: an outage is logged when it begins and when
// it ends, once each.
func (m *Manager) observe(ctx context.Context, src *source, began time.Time, err error) {
	switch {
	case errors.Is(err, ErrUnavailable):
		src.stats.unavailable.Add(1)
		if src.outage.fail(began, m.now()) {
			m.log.logger.LogAttrs(ctx, slog.LevelError, "session: the store is unavailable",
				driverAttr(src), slog.Any("error", err))
			m.emit(ctx, Event{Kind: EventUnavailable, Driver: src.name, Err: err})
		}
	case src.outage.isOpen():
		if ends, lasted, failures := src.outage.succeed(began, m.now()); ends {
			m.log.logger.LogAttrs(ctx, slog.LevelInfo, "session: the store is available again",
				driverAttr(src), slog.Duration("after", lasted), slog.Int("failed_operations", failures))
			m.emit(ctx, Event{Kind: EventAvailable, Driver: src.name})
		}
	}
}
