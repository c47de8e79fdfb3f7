package session

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"example.com/session/driver"
)

// maxLifetime is what browsers keep a cookie for: RFC 6265bis, section 5.5.
const maxLifetime = 400 * 24 * time.Hour

// endings are the sessions that a request ends.
type endings struct {
	before []endable // by Destroy and Logout: before anything is saved
	after  []endable // by a Login of another user: after the new session is stored
	reason string    // of Destroy or Logout; "" if none of them was called
}

// called reports whether Destroy or Logout was called: the cookie is cleared, unless a new session begins.
func (e *endings) called() bool { return e.reason != "" }

// An endable is a session that a request may end, because it knows a secret of it. record is the
// one that the request knows, or nil.
type endable struct {
	id     driver.ID
	secret driver.Digest
	record *driver.Record
	token  *token // if this request had the session

	// imported is set if parallel requests move or end the session too: it may not be stored yet, or any more.
	imported bool
}

// maxPresented is how many cookies of its name a sign-out ends.
const maxPresented = 64

var errTooManyCookies = fmt.Errorf("session: end: the request has more than %d cookies of the session's name, "+
	"and the others may still open sessions: ask the user to clear the site's cookies", maxPresented)

func (s *Session) endable(t *token, rec *driver.Record) endable {
	return endable{id: t.id, secret: t.digest, record: rec, token: t, imported: s.importing != nil && t == s.importing.token}
}

// Regenerate gives the session a new token when the request is committed, which prevents session
// fixation: the data stays, and the old token opens nothing. The idle timeout begins anew. So does
// the lifetime of a visitor's session; for a signed-in user only Login and Remember begin it anew
// (ASVS 7.3.2). Call Regenerate at every change of privilege, and at every sign-in that does not
// use Login (ASVS 7.2.4). After the response header was sent, Regenerate fails with ErrLateChange,
// and none of the request's unsaved changes is stored.
func (s *Session) Regenerate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replaceToken("regenerate")
}

// replaceToken reports whether the session will get a new token.
func (s *Session) replaceToken(op string) bool {
	s.open()
	if s.request.reached(phaseCommitted) {
		s.request.refused.Store(true)
		s.discardUnsaved()
		s.reportLate(op, s.stored)
		return false
	}
	s.identity.replace = true
	return true
}

// Remember gives the session a new token, as Regenerate does, and its own limits: lifetime and idle
// timeout both become d, from now on. A later Regenerate keeps these limits, and so does a Login of
// the same user. Remember(0) restores the configured limits. If d is negative, or longer than 400
// days or than Config.Assurance allows, the request fails when it is committed.
func (s *Session) Remember(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d < 0 || d > maxLifetime {
		s.rejectRequest(fmt.Errorf("session: remember for %v: choose 0 to 400 days (RFC 6265bis, section 5.5)", d))
		return
	}
	cfg := s.request.manager.cfg
	if caps := cfg.Assurance.caps(); caps.Lifetime > 0 && d > caps.Lifetime {
		s.rejectRequest(fmt.Errorf("session: remember for %v: Config.Assurance %s allows %v", d, cfg.Assurance, caps.Lifetime))
		return
	}
	if !s.replaceToken("remember") {
		return
	}
	limits := s.source.limits
	if d > 0 {
		limits = driver.Limits{Lifetime: d, Idle: d, Remembered: true}
	}
	s.identity.remember = &limits
}

// Destroy ends the session when the request is committed: data, flash and tokens are deleted, and
// so is the cookie. It also ends every other session whose cookie came with the request under the
// same name. Values that are set after Destroy begin a new session.
func (s *Session) Destroy() { s.endSession(reasonDestroy) }

func (s *Session) endSession(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.request.used.Store(true)
	if s.request.reached(phaseClosed) {
		s.reportLate(reason, s.stored)
		return
	}
	if s.source.byIP {
		s.clearAddress()
		return
	}
	sv := s.inFlight // it may be stored
	s.discardUnsaved()
	presented, more := s.presented()
	if more {
		s.rejectRequest(errTooManyCookies)
	}
	if s.importing == nil {
		s.importing = s.oldCookie()
	}
	switch {
	case s.token != nil:
		presented = append([]endable{s.endable(s.token, s.stored)}, presented...)
	case s.importing != nil:
		presented = append(presented, s.endable(s.importing.token, nil))
	}
	if sv != nil && sv.token != nil {
		presented = append(presented, s.endable(sv.token, nil))
	}
	if s.request.reached(phaseCommitted) && s.source.cookies != nil && s.source.cookies.revocation == nil && len(presented) > 0 {
		s.reportLate(reason, presented[0].record) // the client keeps the cookie
	}
	for _, e := range presented {
		s.endings.add(e)
	}
	s.endings.reason = reason
	s.stored, s.token, s.flash, s.signIn = nil, nil, flashUse{}, ""
	s.loaded.status, s.loaded.err = absent, nil
	if s.loaded.at.IsZero() {
		s.loaded.at = s.now()
	}
	s.problems.unstorable = nil
}

// add adds a session unless it is in the list. A session with its record comes first, which saves a
// look-up.
func (e *endings) add(one endable) {
	same := func(other endable) bool { return other.id == one.id && other.secret == one.secret }
	if !slices.ContainsFunc(e.before, same) {
		e.before = append(e.before, one)
	}
}

// clearAddress is Destroy under ByClientIP: the session has no secret that could be ended, so its
// contents are deleted.
func (s *Session) clearAddress() {
	s.open()
	s.discardUnsaved()
	s.flash = flashUse{}
	if s.mayChange("destroy") && s.stored != nil {
		s.pending.clear(driver.Data)
		s.pending.clear(driver.Flash)
		s.identity.replace = true
	}
}

// end ends the sessions of the list, several at a time, and removes them from it. A session that
// could not be ended stays in the list.
func (s *Session) end(list *[]endable) error {
	if len(*list) == 0 {
		return nil
	}
	var mu sync.Mutex
	var left []endable
	err := forEach(len(*list), *list, func(e endable) error {
		err := s.endOne(e)
		if err != nil {
			mu.Lock()
			defer mu.Unlock()
			left = append(left, e)
		}
		return err
	})
	*list = left
	if err != nil {
		s.noteProblem(err)
	}
	return err
}

func (s *Session) endOne(e endable) error {
	ctx, cancel := s.storeContext()
	defer cancel()
	s.source.stats.ended.Add(1)
	ctx, began := s.begin(ctx, opEnd, e.id)
	var ended *driver.Record
	var err error
	if e.imported && s.importing != nil {
		ended, err = s.addTombstone(ctx, e.id, driver.Tombstone)
	}
	if ended == nil && err == nil {
		ended, err = s.source.driver.End(ctx, e.record, &driver.Ending{
			ID: e.id, Now: s.now(), For: driver.Tombstone, Secret: e.secret,
		})
	}
	if err = s.answered(opEnd, e.id, began, err); err != nil && !isGone(err) {
		return err
	}
	if ended == nil {
		if !e.imported {
			s.noteUnknown(EventUnknown, nil) // an unknown or a forgotten secret ends nothing
		}
		return nil
	}
	if user := ended.User(); user != "" && s.source.index != nil {
		_ = s.source.index.Remove(ctx, userKey(s.source.cookie, user), e.id) // lists hide it anyway
	}
	s.emitEvent(Event{Kind: EventEnded, Reason: cmp.Or(s.endings.reason, reasonLogin)}, ended)
	return nil
}
