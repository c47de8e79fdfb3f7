package session

import (
	"errors"
	"slices"

	"example.com/session/driver"
)

// resolve adapts a save that failed with a conflict to the record that is stored now. It returns
// nil if the save is to be sent again, ErrEnded if its changes are dropped, and any other error
// unchanged.
func (s *Session) resolve(sv *save, err error) error {
	var conflict *driver.ConflictError
	if !errors.As(err, &conflict) {
		return err
	}
	current := conflict.Current
	switch {
	case sv.New && s.source.byIP: // another first request of the address was sooner
		sv.New, sv.Restart, sv.base, sv.Install = false, false, current, driver.Digest{}
		sv.Expect = sv.token.digest
		return nil
	case sv.New: // the id is taken
		sv.beginSession(s.source)
		return nil
	case conflict.Key != "" && current.Accepts(sv.Expect):
		sv.base = current
		return rerunUpdates(sv.Ops, sv.updates, current)
	}
	if _, remembered := current.ReplacedAt(sv.Expect); remembered {
		return s.resolveReplaced(sv, current)
	}
	if s.source.cookies != nil && sv.base.User() == "" { // whoever signed in from a copy of this visitor's cookies
		sv.beginWithData(s.source)
		return nil
	}
	return ErrEnded
}

// takeOver prepares the save of a Login, Regenerate or Remember whose session was lost before this
// request loaded it. It returns ErrEnded if the changes are to be dropped.
func (s *Session) takeOver(sv *save) error {
	if s.loaded.status == ended {
		return nil // a new session of this request's own changes
	}
	sv.ID, sv.token = s.loaded.token.id, s.loaded.token
	sv.Expect = s.loaded.token.digest
	return s.resolveReplaced(sv, s.loaded.current)
}

// resolveReplaced handles a save whose secret was replaced by another request. Plain changes are
// dropped. A sign-in is kept, because the user has just authenticated, and nobody knows which of
// two parallel responses the browser receives last.
func (s *Session) resolveReplaced(sv *save, current *driver.Record) error {
	user := sv.identity.login
	switch {
	case !sv.identity.replace:
		return ErrEnded
	case user != "" && user == current.User():
		if s.loaded.status == live && s.loaded.record.User() != "" {
			return ErrEnded // the token may be a stolen one: it must not outlive the replacement
		}
		sv.join(s.source, current)
	case current.User() == "": // the other request was a Regenerate
		sv.beginWithData(s.source)
	case user != "": // somebody else has signed in
		s.endings.after = append(s.endings.after, endable{id: current.ID(), secret: sv.Expect, record: current})
		sv.beginSession(s.source)
		return rerunUpdates(sv.Ops, sv.updates, nil)
	default: // somebody has signed in: a Regenerate must not keep the old token's holder in
		return ErrEnded
	}
	return nil
}

// join adds the secret of this save to the secrets that the record accepts.
func (sv *save) join(src *source, current *driver.Record) {
	sv.base, sv.New, sv.Replace = current, false, false
	sv.ID, sv.Since = current.ID(), current.LastSave()
	for _, c := range current.Credentials() {
		if !c.Replaced {
			sv.Expect = c.Digest
		}
	}
	sv.token = newToken(src.cookie, current.ID())
	sv.Install = sv.token.digest
}

// beginWithData makes the save begin a new session with the data that the request had loaded.
func (sv *save) beginWithData(src *source) {
	loaded := sv.base
	sv.beginSession(src)
	sv.Restart = true
	clearsData := func(op driver.Op) bool { return op.Kind == driver.Clear && op.Part == driver.Data }
	if loaded == nil || slices.ContainsFunc(sv.Ops, clearsData) {
		return
	}
	var ops []driver.Op
	for key, encoded := range loaded.Values(driver.Data) {
		ops = append(ops, driver.Op{Kind: driver.Set, Part: driver.Data, Key: key, Encoded: encoded})
	}
	sv.Ops = append(ops, sv.Ops...)
}

// rerunUpdates runs the functions of Update whose keys hold another value in a record, which is nil if
// the session begins without data.
func rerunUpdates(ops []driver.Op, updates map[string]updateFunc, current *driver.Record) error {
	for i := range ops {
		op := &ops[i]
		if op.Kind != driver.Swap {
			continue
		}
		old := ""
		if current != nil {
			old, _ = current.Value(driver.Data, op.Key)
		}
		if old == op.Old {
			continue
		}
		encoded, err := updates[op.Key](old)
		if err != nil {
			return &driver.ValueError{Op: "update", Key: op.Key, Reason: err.Error()}
		}
		op.Old, op.Encoded = old, encoded
	}
	return nil
}
