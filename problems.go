package session

import (
	"fmt"
	"slices"

	"example.com/session/driver"
)

// problems are what went wrong with a session.
type problems struct {
	first      error        // Session.Err
	unstorable []valueFault // cannot be stored until their keys are overwritten or deleted
	change     error        // cannot be stored at all, such as Remember with a negative duration
	late       bool         // a change came that could not be stored any more
}

// A valueFault is a change to a key that cannot be stored.
type valueFault struct {
	key opKey
	err error
}

// reject makes the commit fail unless the key is overwritten or deleted before.
func (s *Session) reject(k opKey, err error) {
	s.problems.forgetKey(k)
	s.problems.unstorable = append(s.problems.unstorable, valueFault{k, err})
	s.noteProblem(err)
	if s.request.reached(phaseCommitted) {
		s.log(rejectedLateChange, "error", err)
	}
}

// rejectRequest makes the commit fail whatever the handler does afterwards.
func (s *Session) rejectRequest(err error) {
	if s.problems.change == nil {
		s.problems.change = err
	}
	s.noteProblem(err)
}

func (p *problems) forgetKey(k opKey) {
	p.unstorable = slices.DeleteFunc(p.unstorable, func(f valueFault) bool { return f.key == k })
}

func (p *problems) forget(key string) {
	p.forgetKey(opKey{key, driver.Data})
	p.forgetKey(opKey{key, driver.Flash})
}

func (p *problems) forgetAll(part driver.Part) {
	p.unstorable = slices.DeleteFunc(p.unstorable, func(f valueFault) bool { return f.key.part == part })
}

// blocking returns why the changes cannot be stored as they are.
func (p *problems) blocking() error {
	if p.change == nil && len(p.unstorable) > 0 {
		return p.unstorable[0].err
	}
	return p.change
}

// noteProblem keeps the first thing that went wrong.
func (s *Session) noteProblem(err error) {
	if s.problems.first == nil {
		s.problems.first = err
	}
}

// reportLate reports a change that came after the response header, of the session of a record, which may be
// nil.
func (s *Session) reportLate(op string, rec *driver.Record) {
	s.noteLate(op, rec)
	s.log(lateChange, "operation", op)
}

// reportLoss reports what was lost because no cookie could be sent. The log names the keys that the
// handler has changed.
func (s *Session) reportLoss(why string, m *message) {
	s.noteLate(why, s.stored)
	var keys []string
	for _, op := range s.pending.ops {
		if op.Part != driver.Account {
			keys = append(keys, op.Key)
		}
	}
	s.log(m, "keys", keys)
}

func (s *Session) noteLate(op string, rec *driver.Record) {
	s.problems.late = true
	s.noteProblem(fmt.Errorf("%w (%s)", ErrLateChange, op))
	s.source.stats.late.Add(1)
	s.emit(EventLateChange, rec)
}

// lateError returns ErrLateChange if a change came too late, or else nil.
func (s *Session) lateError() error {
	if s.problems.late {
		return ErrLateChange
	}
	return nil
}

func (s *Session) unreadable(key, encoded string, err error) {
	s.noteProblem(err)
	s.source.stats.unreadable.Add(1)
	s.log(unreadableValue, "key", key, "holds", kindOf(encoded), "error", err)
}
