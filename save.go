package session

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"example.com/session/driver"
)

// A save is one save of a session: the changes that a driver gets, and what resolving a conflict
// needs.
type save struct {
	driver.Changes

	base     *driver.Record // the record that the request knows; nil if the save begins a session
	assumed  *driver.Record // the session as if the save was stored, while it has no answer
	token    *token         // opens the session after the save
	identity identityChange
	updates  map[string]updateFunc
}

// usePart is the part of the idle timeout after which a use is recorded again. So a session may
// expire earlier by that much, never later.
const (
	usePart         = 100
	usePartInCookie = 10              // a cookie is written for it
	longestInCookie = 6 * time.Minute // so that limits which become shorter end no session that is in use
	activityPart    = 20              // of Config.LockAfter, for the same reason
)

// newSave returns a save of the session without operations.
func (s *Session) newSave() *save {
	sv := &save{base: s.stored, token: s.token, identity: s.identity}
	sv.Number = rand.Uint64() // it names a save and protects nothing
	sv.Now = s.now()
	sv.Use = !s.isPassive()
	sv.Limits = s.limits()
	if s.stored == nil {
		sv.beginSession(s.source)
		return sv
	}
	sv.ID, sv.Since, sv.Expect = s.stored.ID(), s.stored.LastSave(), s.token.digest
	return sv
}

// beginSession makes the save the first one of a session under a new id.
func (sv *save) beginSession(src *source) {
	sv.base, sv.token = nil, newToken(src.cookie, driver.NewID())
	sv.New, sv.ID, sv.Expect, sv.Replace = true, sv.token.id, driver.Digest{}, false
	sv.Install = sv.token.digest
}

// replaceToken makes the save replace the session's secret.
func (sv *save) replaceToken(src *source) {
	sv.token = newToken(src.cookie, sv.ID)
	sv.Install, sv.Replace = sv.token.digest, true
}

func (s *Session) isPassive() bool {
	passive := s.request.manager.cfg.Passive
	return passive != nil && passive(s.request.incoming)
}

// limits returns the limits that the session has after this request.
func (s *Session) limits() driver.Limits {
	l := s.source.limits
	if s.identity.remember != nil {
		l = *s.identity.remember
	} else if s.stored != nil && s.stored.Limits().Remembered {
		l = s.stored.Limits()
	}
	return s.request.manager.cfg.Assurance.within(l)
}

// plan returns the save of what is unsaved, nil if there is nothing to store. It takes the changes.
func (s *Session) plan() *save {
	changed, replace := !s.pending.isEmpty(), s.identity.replace
	switch {
	case s.loaded.status == anonymous:
		return nil
	case s.isLost() && !replace:
		if changed {
			s.drop(ErrEnded)
		}
		return nil
	case s.stored == nil && !s.pending.startsSession():
		return nil
	case !changed && !replace && !s.useIsDue():
		return nil
	}
	sv := s.newSave()
	if s.source.byIP {
		s.useAddress(sv)
	} else if replace && !sv.New {
		sv.replaceToken(s.source)
	}
	sv.Restart = sv.New || s.restartsLifetime()
	sv.Ops, sv.updates = s.pending.take()
	s.setFlashEnds(sv)
	s.identity = identityChange{}
	return sv
}

// restartsLifetime reports whether the lifetime begins anew. For somebody who is signed in it
// counts from the sign-in, so that Regenerate does not lengthen it (ASVS 7.3.2; NIST SP 800-63B-4,
// section 5.2).
func (s *Session) restartsLifetime() bool {
	return s.identity.login != "" || s.identity.remember != nil || s.identity.replace && s.user() == ""
}

// useAddress makes the client's address the identity of the session.
func (s *Session) useAddress(sv *save) {
	if sv.New {
		sv.token = s.loaded.token
		if sv.token == nil {
			sv.token, _ = s.addressToken() // the load would have failed
		}
		sv.ID, sv.Install = sv.token.id, sv.token.digest
	}
}

// setFlashEnds sets the ends of the FlashTTL.
func (s *Session) setFlashEnds(sv *save) {
	if s.source.flashTTL <= 0 {
		return
	}
	for i := range sv.Ops {
		switch op := &sv.Ops[i]; {
		case op.Part != driver.Flash:
		case op.Kind == driver.Set, op.Kind == driver.Append, op.Kind == driver.Keep:
			op.Until = sv.Now.Add(s.source.flashTTL)
		}
	}
}

// useIsDue reports whether the use of a session by this request is to be recorded.
func (s *Session) useIsDue() bool {
	rec := s.stored
	if rec == nil || rec != s.loaded.record || s.loaded.forFlash || s.isMoving() || s.isPassive() {
		return false
	}
	if isFirstUse(rec) && s.source.cookies == nil {
		return true
	}
	return s.loaded.at.Sub(rec.UsedAt()) >= s.source.noteUseAfter(rec)
}

// noteLock records that Config.LockAfter has locked a session, so that later uses do not unlock it.
// If LockAfter has become longer and the session is no longer locked, it records that.
func (s *Session) noteLock() {
	switch {
	case s.source.lockAfter <= 0, s.user() == "", s.identity.login != "":
		return // nobody can be locked
	case s.stored == nil, s.isLost(), s.loaded.forFlash, s.isMoving() && !s.hasUnsaved(), s.isPassive():
		return // no use is stored
	}
	switch locked, noted := s.locked(), !s.lockedSince().IsZero(); {
	case locked && s.account(accountSeen) == "" && (!noted || s.hasUnsaved()): // else a flash cookie alone has it
		s.pending.set(driver.Account, accountSeen, formatAccountTime(s.lastActivity()))
	case noted && !locked:
		s.pending.put(&driver.Op{Kind: driver.Delete, Part: driver.Account, Key: accountSeen})
	}
}

// save ends what is to be ended and stores what is unsaved. s.mu is held.
func (s *Session) save() error {
	if err := s.end(&s.endings.before); err != nil {
		return err
	}
	if err := s.move(); err != nil {
		return err
	}
	if sv := s.inFlight; sv != nil {
		if err := s.send(sv); err != nil {
			return err
		}
	}
	if err := s.savePending(); err != nil {
		return err
	}
	if i := s.importing; i != nil && !i.removed && s.stored != nil && !s.isMoving() { // another user has signed in
		if err := s.endOld(reasonLogin); err != nil {
			return err
		}
	}
	return s.end(&s.endings.after) // also if the first attempt to store the session had no answer
}

// savePending stores what is unsaved.
func (s *Session) savePending() error {
	sv := s.plan()
	if sv == nil {
		return nil
	}
	if s.isLost() {
		if err := s.takeOver(sv); err != nil {
			s.drop(err)
			return err
		}
	}
	if err := s.send(sv); err != nil {
		if sv.isOnlyUse() {
			return nil // the next request notes its own
		}
		s.noteProblem(err)
		return err
	}
	return nil
}

// isOnlyUse reports whether a save records only a use and a lock.
func (sv *save) isOnlyUse() bool {
	if sv.New || sv.Replace || sv.Install != (driver.Digest{}) {
		return false
	}
	return len(sv.Ops) == 0 || len(sv.Ops) == 1 && sv.Ops[0].Part == driver.Account && sv.Ops[0].Key == accountSeen
}

// send saves sv, and resolves conflicts until it is stored, refused, or StoreTimeout ends.
func (s *Session) send(sv *save) error {
	ctx, cancel := s.storeContext()
	defer cancel()
	wait := retryPause{timeout: s.request.manager.storeTimeout}
	for {
		rec, err := s.sendOnce(ctx, sv)
		if err == nil {
			s.saved(sv, rec)
			return nil
		}
		if err = s.resolve(sv, err); err != nil {
			return s.saveFailed(sv, err)
		}
		if !wait.next() {
			return s.saveFailed(sv, unavailable("save with driver "+s.source.name, errTooManyConflicts))
		}
	}
}

var errTooManyConflicts = errors.New("other requests changed the session too often meanwhile")

// sendOnce enters the session into the user's index if that is needed, and saves it.
func (s *Session) sendOnce(ctx context.Context, sv *save) (*driver.Record, error) {
	ctx, began := s.begin(ctx, opSave, sv.ID)
	if err := s.enterIndex(ctx, sv); err != nil {
		return nil, s.answered(opSave, sv.ID, began, err)
	}
	s.source.stats.saves.Add(1)
	base := sv.base
	if sv.New { // an imported session has one, of another store
		base = nil
	}
	rec, err := s.source.driver.Save(ctx, base, &sv.Changes)
	return rec, s.answered(opSave, sv.ID, began, err)
}

// saved makes the record that a save has stored the session of this request.
func (s *Session) saved(sv *save, rec *driver.Record) {
	s.announce(sv, rec)
	s.stored, s.token, s.inFlight = rec, sv.token, nil
	if s.isLost() && s.problems.first == ErrEnded { // a sign-in goes on with a session of its own
		s.problems.first = nil
	}
	if s.isLost() || s.loaded.status == anonymous {
		s.loaded.status = absent
	}
	s.noteUser(rec)
}

// saveFailed keeps a save that got no answer, to send it again with the same number, and discards a
// save that was refused.
func (s *Session) saveFailed(sv *save, err error) error {
	s.inFlight = nil
	switch {
	case sv.isOnlyUse() && !isGone(err):
	case errors.Is(err, ErrUnavailable):
		sv.Retried, s.inFlight = true, sv
		sv.assumed = sv.assume()
	case isGone(err) && sv.isOnlyUse():
		s.lose(ended)
	case isGone(err):
		s.drop(err)
	case errors.Is(err, ErrTooManySessions):
		s.signInFailed(err)
		s.discardUnsaved()
	default:
		s.restore(sv, err)
	}
	return err
}

// assume returns the session as if the save was stored.
func (sv *save) assume() *driver.Record {
	if rec, err := sv.Apply(sv.base); err == nil {
		return rec
	}
	return sv.base
}

// restore makes the changes of a refused save unsaved again. If it was refused because of a value,
// the handler can overwrite or delete its key and save again.
func (s *Session) restore(sv *save, err error) {
	later := s.pending
	s.pending = pendingChanges{updates: sv.updates}
	for _, op := range sv.Ops {
		switch {
		case op.Kind != driver.Clear:
			s.pending.add(&op)
		case op.Part == driver.Data:
			s.pending.clearData = true
		default:
			s.pending.clearFlash = true
		}
	}
	s.pending.follow(&later, func(key string, err error) { s.reject(opKey{key, driver.Data}, err) })
	s.identity = sv.identity
	var value *driver.ValueError
	var size *SizeError
	switch {
	case errors.As(err, &value):
		s.reject(opKey{value.Key, driver.Data}, err)
	case !errors.As(err, &size): // the size is checked again by the next save
		s.rejectRequest(err)
	}
}

// drop discards the changes of this request, because its session was ended or its token replaced.
func (s *Session) drop(err error) {
	kind := ErrNoSession
	if errors.Is(err, ErrEnded) {
		kind = ErrEnded
	}
	s.signInFailed(kind)
	s.lose(ended)
	s.noteProblem(kind)
	s.source.stats.dropped.Add(1)
	s.log(droppedChanges, "error", kind)
}

// lose detaches the request from a session that has ended or whose token was replaced. No cookie is
// sent.
func (s *Session) lose(status loadStatus) {
	s.discardUnsaved()
	s.stored, s.token, s.loaded.status = nil, nil, status
}

// A retryPause is the pause between two tries: none at first, then a growing one.
type retryPause struct {
	tries   int
	timeout time.Duration // from the first try on
	until   time.Time
}

const (
	triesWithoutPause = 3
	longestPause      = 50 * time.Millisecond
)

// next waits, and reports whether there is time for another try. A client that has disconnected does not
// end the tries: its changes are stored.
func (p *retryPause) next() bool {
	if p.tries++; p.tries == 1 {
		p.until = time.Now().Add(p.timeout)
	}
	if time.Now().After(p.until) {
		return false
	}
	if p.tries > triesWithoutPause {
		time.Sleep(rand.N(min(time.Millisecond<<min(p.tries-triesWithoutPause, 6), longestPause)))
	}
	return true
}
