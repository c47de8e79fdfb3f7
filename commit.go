package session

import (
	"errors"

	"example.com/session/internal/cookie"
)

// BeforeHeader commits the request: it stores the changes to its sessions, and adds the cookies to the
// header. It runs once, just before the first byte of the final header leaves. If anything fails,
// nothing of the handler's response is sent. It implements response.Hooks.
func (r *requestState) BeforeHeader(status int) error {
	r.status = int32(status)
	if r.hinted || r.manager.cfg.Memory.ByClientIP {
		r.openPendingFlash()
	}
	r.advance(phaseCommitted)
	if !r.used.Load() {
		return nil
	}
	var few [2]*Session
	sessions := r.lockSessions(few[:0])
	defer unlock(sessions)
	if err := saveAll(sessions); err != nil {
		for _, s := range sessions {
			s.signInFailed(err)
			s.discardUnsaved()
			s.rejectRequest(err)
		}
		return err
	}
	r.writeHeader(sessions, false)
	return nil
}

// saveAll checks all sessions before it stores any. Drivers that keep sessions on a server come
// first, because a cookie that has not been sent can still be left out.
func saveAll(sessions []*Session) error {
	for _, s := range sessions {
		if err := s.check(len(sessions) > 1); err != nil {
			return err
		}
	}
	for _, inCookies := range [...]bool{false, true} {
		for _, s := range sessions {
			if (s.source.cookies != nil) != inCookies || s.isUntouched() {
				continue
			}
			s.expireFlash()
			if err := s.saveAtCommit(); err != nil {
				return err
			}
		}
	}
	return nil
}

// isUntouched reports whether the request has not used the session.
func (s *Session) isUntouched() bool { return s.loaded.status == notLoaded && !s.endings.called() }

// check reports why the session cannot be stored, whatever its store says.
func (s *Session) check(size bool) error {
	if s.loaded.status == failed {
		return s.loaded.err
	}
	if err := s.problems.blocking(); err != nil {
		return err
	}
	if size && s.source.cookies != nil {
		return s.checkSize()
	}
	return nil
}

// saveAtCommit stores the session. It returns no error for a session that the request can do
// without, or that another request has ended or taken over: the changes were dropped and reported.
func (s *Session) saveAtCommit() error {
	s.noteLock()
	err := s.save()
	if err == nil || isGone(err) || s.canDoWithout(err) {
		return nil
	}
	return err
}

// canDoWithout reports whether the request goes on though its session could not be stored: nobody
// asked for one that was opened only for its flash, and Config.AllowAnonymous may give up a new
// one.
func (s *Session) canDoWithout(err error) bool {
	signsIn := s.identity.login != "" || s.inFlight != nil && s.inFlight.identity.login != ""
	isNew := s.loaded.record == nil && s.token == nil && !signsIn && !s.endings.called()
	if !s.loaded.forFlash && !(isNew && s.request.allowsAnonymous(err)) {
		return false
	}
	s.loaded.status, s.loaded.err = anonymous, err
	s.discardUnsaved()
	return true
}

// discardUnsaved discards what is not stored. After a failed commit the client gets the error
// answer, so a later Save must not store these changes.
func (s *Session) discardUnsaved() {
	s.pending, s.inFlight = pendingChanges{}, nil
	s.identity = identityChange{}
	for _, e := range s.endings.after { // a Login that is not stored leaves no session of another user
		if s.stored, s.token = nil, nil; e.token != nil {
			s.stored, s.token = e.record, e.token
		}
	}
	s.endings.after = nil
}

// openPendingFlash opens the sessions whose flash is pending and would outlive this page, because
// the handler did not open them. The hint saves a look-up and is trusted for nothing else.
func (r *requestState) openPendingFlash() {
	if r.showing() != showsPage {
		return // nothing was read, so nothing would expire
	}
	for _, src := range r.manager.ordered {
		inUse := src.used.Load() || src == r.manager.main && !src.byIP
		// A session of an address has no cookie, so there is no hint either.
		mayHave := src.byIP || r.hinted && cookie.HasPrefix(r.cookies, src.hint, hintValue)
		if inUse && mayHave && src.err == nil && !src.outage.isOpen() {
			r.openForFlash(src)
		}
	}
}

func (r *requestState) openForFlash(src *source) {
	if r.session().isFrom(src) {
		return // its flash is that of the session that imports it
	}
	if s, err := r.using(src.name); err == nil {
		s.openForFlash()
	}
}

// Save stores the unsaved changes now, for a long-running handler. It may be called repeatedly. It
// does not remove flash. If nothing is unsaved, the call counts as use, unless the request is
// passive. If the handler panics after a successful Save, the saved changes stay, and the cookie is
// still sent.
//
// Save returns ErrNoSession if the session has ended meanwhile; a stream should then stop. It
// returns ErrLateChange if storing needs a cookie and the header was sent. After ErrUnavailable the
// changes are kept, and the next Save or the commit stores them once. After an error about a value,
// such as a *SizeError, the session can be saved once the key is overwritten or deleted. Unless the
// handler removes the cause of an error, the commit fails too, and the client gets the error answer
// in place of the handler's response.
func (s *Session) Save() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	switch {
	case s.loaded.err != nil:
		return s.loaded.err
	case s.problems.change != nil: // the commit has failed, for example
		return s.problems.change
	case s.isLost() && !s.identity.replace:
		return ErrEnded
	case s.request.reached(phaseClosed), s.request.refused.Load(), s.request.reached(phaseCommitted) && s.needsCookie() && s.problems.late:
		return ErrLateChange
	}
	if err := s.problems.blocking(); err != nil {
		return err
	}
	s.noteLock()
	save := s.save
	if !s.hasUnsaved() {
		save = s.use
	}
	if err := save(); err != nil {
		return err
	}
	return s.lostError() // of an old session that another request has ended, the changes were dropped
}

// hasUnsaved reports whether there is something to store.
func (s *Session) hasUnsaved() bool {
	return s.inFlight != nil || !s.pending.isEmpty() || s.identity.replace ||
		len(s.endings.before) > 0 || len(s.endings.after) > 0
}

// use notes a use of a stored session.
func (s *Session) use() error {
	if s.stored == nil {
		return nil
	}
	switch {
	case s.isMoving() && s.request.reached(phaseCommitted):
		return nil // the client could not be told of its new cookie
	case s.isMoving():
		return s.storeMoved()
	}
	sv := s.newSave()
	err := s.send(sv)
	if err != nil {
		s.noteProblem(err)
	}
	return err
}

// Reload loads the session again and keeps this request's unsaved changes on top. It is for a
// stream that waits for what other requests store. It does not count as use. For a visitor without
// a session it does nothing, because a session that another request begins has another cookie. It
// returns ErrNoSession if the session has ended meanwhile. If it returns ErrUnavailable, nothing
// has changed.
func (s *Session) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	if s.loaded.err != nil || s.stored == nil || s.isMoving() {
		return errors.Join(s.loaded.err, s.lostError())
	}
	c, err := s.tryToken(s.token, s.stored, s.now())
	switch {
	case err != nil:
		return err
	case c.status != live:
		s.lose(ended)
		return ErrNoSession
	}
	if s.stored == s.loaded.record { // this request has not saved it: it is as if it had come so
		s.loaded.record = c.record
	}
	s.stored = c.record
	return nil
}

func (s *Session) lostError() error {
	if s.isLost() {
		return ErrEnded
	}
	return nil
}

// BeforeHijack stores what needs no cookie, before the connection is taken over. It implements
// response.Hooks.
func (r *requestState) BeforeHijack() error {
	var few [2]*Session
	sessions := r.lockSessions(few[:0])
	defer unlock(sessions)
	for _, s := range sessions {
		if err := s.check(false); err != nil {
			return err
		}
		if s.isUntouched() {
			continue
		}
		if err := s.end(&s.endings.before); err != nil { // also if what follows needs a cookie
			return err
		}
		if s.awaitsCookie() || s.source.cookies != nil && !s.endings.called() {
			continue
		}
		if err := s.saveAtCommit(); err != nil {
			return err
		}
	}
	return nil
}

// AfterHijack follows: the header is the handler's own, so changes that need a cookie are late. It
// implements response.Hooks.
func (r *requestState) AfterHijack() {
	r.reportLost("the connection was hijacked before a cookie was sent", lostByHijack)
}

// bypassed handles a handler that did not send its response through the session's writer, as under
// an adapter for gin that keeps gin's own writer. Changes that need no cookie are stored.
func (r *requestState) bypassed() {
	r.writer.Release()
	if err := r.BeforeHijack(); err != nil {
		r.ErrorAnswer(err) // only counted and logged: the answer cannot be sent
	}
	r.reportLost("the response was sent by another writer", lostByBypass)
}

// reportLost discards and reports what needs a cookie that cannot be sent.
func (r *requestState) reportLost(why string, m *message) {
	r.advance(phaseCommitted)
	var few [2]*Session
	sessions := r.lockSessions(few[:0])
	defer unlock(sessions)
	for _, s := range sessions {
		lost := s.awaitsCookie() || s.hasNewCookie() || s.keepsEndedCookie()
		if !lost && (m != lostByBypass || s.isUntouched()) {
			continue
		}
		if s.identity.replace {
			r.refused.Store(true)
		}
		s.reportLoss(why, m)
		s.discardUnsaved()
	}
}

// keepsEndedCookie reports whether this request has ended a session that no server remembers as
// ended, while the client still has its cookie.
func (s *Session) keepsEndedCookie() bool {
	return s.endings.called() && s.source.cookies != nil && s.source.cookies.revocation == nil && s.cookieCame()
}

// awaitsCookie reports whether something is unsaved that needs a Set-Cookie line.
func (s *Session) awaitsCookie() bool {
	switch {
	case s.source.byIP, s.stored == nil && !s.pending.startsSession():
		return false // there is no cookie, or no session would begin
	case s.identity.replace:
		return true
	}
	return s.needsCookie() && !s.pending.isEmpty()
}

// saveLate stores what came after the header, if that needs no cookie. It runs when the handler has
// returned.
func (s *Session) saveLate() {
	if s.isUntouched() || s.loaded.status == failed || s.problems.change != nil {
		return
	}
	if s.request.refused.Load() || s.needsCookie() {
		s.pending, s.inFlight = pendingChanges{}, nil // reported when it came
	} else if s.expiresLate() {
		s.expireFlash()
	}
	usedLate := s.source.cookies == nil && s.useIsDue()
	if usedLate {
		s.noteLock()
	}
	if !s.hasUnsaved() && !usedLate || s.problems.blocking() != nil {
		return
	}
	if err := s.save(); err != nil && !isGone(err) {
		s.log(lostLateChanges, "error", err)
	}
}
