package session

import (
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"time"
)

// A commit stores what a request did to its sessions and says so in the header: first the
// values and sizes of all of them are checked, then flash ages, then the drivers save, those
// that another process sees before those that only the cookie carries, then the header gets
// its lines. Whatever fails, fails before anything of the handler's answer has left.

// commit runs before the first byte of the header leaves.
func (q *request) commit(status int) error {
	q.hinted = mayHaveHint(q.original.Header)
	q.aging = ages(q.original, status)
	if q.aging {
		q.openHinted()
	}
	var room [usualSessions]*Session
	return q.store(q.end(room[:0], false), q.aging, true)
}

// storeBare stores what needs no cookie, before a connection is taken over.
func (q *request) storeBare() error {
	return q.store(q.sessions(nil), false, false)
}

// handOver follows a connection that was taken over: its header is the handler's own. What is
// unsaved still needs a cookie and has come too late.
func (q *request) handOver() {
	for _, s := range q.end(nil, false) {
		s.mu.Lock()
		s.committed = true
		if s.awaitsCookie() {
			if s.rotate {
				q.refused.Store(true)
			}
			s.refuse("change")
		}
		s.mu.Unlock()
	}
}

// store saves all sessions of the request and adds to the header what they ask of it. Without
// cookies it saves what needs none, and the header is still to come.
func (q *request) store(sessions []*Session, aging, cookies bool) error {
	for _, s := range sessions {
		s.mu.Lock()
		s.committed = s.committed || cookies
	}
	defer unlock(sessions)
	if !q.touched.Load() {
		return nil
	}
	if err := q.saveAll(sessions, aging, cookies); err != nil {
		for _, s := range sessions {
			s.giveUp(err)
		}
		return err
	}
	if cookies {
		q.writeHeader(sessions)
	}
	return nil
}

func unlock(sessions []*Session) {
	for _, s := range sessions {
		s.mu.Unlock()
	}
}

func (q *request) saveAll(sessions []*Session, aging, cookies bool) error {
	var room [usualSessions]*Changes
	plans, err := q.plan(room[:0], sessions, aging, cookies)
	if err != nil {
		return err
	}
	for _, sealed := range [...]bool{false, true} {
		for i, s := range sessions {
			if s.src.sealed != sealed {
				continue
			}
			if err := s.store(plans[i]); err != nil && !isGone(err) && !s.goesOn(err) {
				return err
			}
		}
	}
	return nil
}

// goesOn reports whether the request goes on though its session could not be stored: nobody
// looked at one that was opened quietly, and a page may do without one that is new.
func (s *Session) goesOn(err error) bool {
	if !s.quiet && (s.came || s.tok != nil || s.login || s.isDoomed() || !s.q.allowsAnonymous(err)) {
		return false
	}
	s.anonymous, s.sent, s.todo = err, nil, nil
	return true
}

// giveUp follows a failed commit. The client is told so and gets no cookie, so that a later Save
// must not make good what it does not know of.
func (s *Session) giveUp(err error) {
	s.sent = nil
	if s.bad == nil {
		s.bad = err
	}
}

// awaitsCookie reports whether something is unsaved that needs a Set-Cookie line.
func (s *Session) awaitsCookie() bool {
	s.settle()
	if s.base == nil && (s.todo == nil || s.todo.leavesNothing()) {
		return false // no session would begin
	}
	return s.rotate || (s.todo != nil && s.needsCookie())
}

// openHinted opens the sessions whose flash is pending and would otherwise outlive this page,
// because its handler did not open them. The hint saves a look-up and is trusted for nothing;
// while the store is unavailable it is passed over.
func (q *request) openHinted() {
	if !q.hinted && len(q.m.byIP) == 0 {
		return
	}
	if !isPage(q.original) {
		return // nothing was looked at, so nothing would end
	}
	for _, src := range q.m.byIP { // they set no cookie, so no hint either
		if src.used.Load() {
			q.openQuietly(src)
		}
	}
	if !q.hinted {
		return
	}
	for _, src := range q.m.sources {
		available := src.err == nil && src.outage.failing.Load() == 0
		if available && hasCookie(q.original.Header, src.hint, hintValue) {
			q.openQuietly(src)
		}
	}
}

func (q *request) openQuietly(src *source) {
	if s, err := q.using(src.name); err == nil {
		s.openQuietly()
	}
}

func mayHaveHint(h http.Header) bool {
	for _, line := range h["Cookie"] {
		for rest := line; rest != ""; {
			var pair string
			pair, rest, _ = strings.Cut(rest, ";") // the text of a sealed cookie is passed over in long steps
			if strings.HasSuffix(trimRightBlanks(pair), hintSuffix+"="+hintValue) {
				return true
			}
		}
	}
	return false
}

// openQuietly opens the session for the sake of its flash only: that fails no request.
func (s *Session) openQuietly() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened {
		return
	}
	s.open()
	s.quiet = s.failed == nil
	if s.failed != nil {
		s.opened, s.failed, s.err, s.extras = false, nil, nil, nil
	}
}

// plan checks all sessions of the request before any of them is stored. It appends to plans what
// is to be saved of each, nil for nothing.
func (q *request) plan(plans []*Changes, sessions []*Session, aging, cookies bool) ([]*Changes, error) {
	for _, s := range sessions {
		if err := s.resend(); err != nil && !isGone(err) && !s.goesOn(err) {
			return nil, err
		}
		if s.failed != nil {
			return nil, s.failed
		}
		if s.bad != nil {
			return nil, s.bad
		}
	}
	for _, s := range sessions {
		if cookies {
			s.noteSeen()
		}
		var ch *Changes
		if cookies || !s.awaitsCookie() {
			ch = s.plan(aging)
		}
		if c, ok := s.src.driver.(checker); ok && ch != nil {
			if err := c.check(s.base, ch); err != nil && !s.refreshes(ch) {
				s.note(err)
				return nil, err
			}
		}
		plans = append(plans, ch)
	}
	return plans, nil
}

// plan returns the changes that are to be saved, numbered and dated; nil where there are none.
func (s *Session) plan(aging bool) *Changes {
	s.settle()
	ch := s.todo
	if aging && s.rec.hasFlash() {
		if ch == nil {
			ch = &Changes{flashTTL: s.src.flashTTL}
		} else if ch == s.view {
			ch = ch.clone()
		}
		s.age(ch)
	}
	s.shared = s.shared || (ch != nil && ch == s.view)
	ch = s.worthSaving(ch)
	s.flashes = s.opened && pending(s.base, ch)
	s.todo = nil
	if ch == nil {
		s.rotate = false
		return nil
	}
	if s.base == nil || s.rotate {
		s.putUnderNewToken(ch)
	}
	s.rotate = false
	ch.seal(s.q.now())
	return ch
}

// worthSaving returns ch, or nil where saving it would change nothing: there is nothing in it,
// it leaves a new session empty, or the session died while this request was under way.
func (s *Session) worthSaving(ch *Changes) *Changes {
	changes := ch != nil && !ch.changesNothing()
	switch {
	case s.anonymous != nil:
		return nil
	case s.dead && !s.rotate:
		if changes {
			s.dropped(ErrEnded)
		}
		return nil
	case s.base == nil && (!changes || ch.leavesNothing()):
		return nil
	case changes:
		return ch
	case s.rotate || (s.base != nil && s.base.resave):
		return &Changes{flashTTL: s.src.flashTTL}
	}
	return nil
}

// putUnderNewToken prepares changes that begin a session or give it a new token.
func (s *Session) putUnderNewToken(ch *Changes) {
	ch.rotates = s.base != nil
	ch.limits = s.src.limits
	if s.limits != nil {
		ch.limits = *s.limits
	} else if s.base != nil && s.base.head.remembered {
		ch.limits = s.base.Limits()
	}
	if s.limits == nil {
		s.keepEnd(ch)
	}
	s.limits = nil
	ch.limits = s.q.m.cfg.Limits.within(ch.limits, s.sinceSignIn(ch))
	ch.token = NewToken(s.src.cookie)
	if s.src.byIP {
		ch.token, _ = s.addressToken()
	}
	rand.Read(ch.id[:])
}

// keepEnd lets a session that somebody is signed in with end when it would have ended: its
// lifetime counts from the sign-in, and only another one starts it anew (ASVS 7.3.2; NIST SP
// 800-63B-4, section 5.2).
func (s *Session) keepEnd(ch *Changes) {
	if user, _ := accountOf(s.base, nil); user == "" || s.login {
		return
	}
	left := s.base.head.created + s.base.head.lifetime - s.q.now().UnixMilli()
	left = max(1, min(ch.limits.Lifetime.Milliseconds(), left))
	ch.limits.Lifetime = time.Duration(left) * time.Millisecond
}

// sinceSignIn returns how long the user of a session has been signed in, 0 for a visitor.
func (s *Session) sinceSignIn(ch *Changes) time.Duration {
	user, at := accountOf(s.base, ch)
	if user == "" {
		return 0
	}
	return max(0, time.Duration(s.q.now().UnixMilli()-at)*time.Millisecond)
}

// refreshes reports whether a save only notes a use: that never makes an error.
func (s *Session) refreshes(ch *Changes) bool {
	return !ch.rotates && (ch.changesNothing() || ch.notesActivity())
}

// store ends what is to be destroyed, then saves ch, which may be nil.
func (s *Session) store(ch *Changes) error {
	if err := s.destroyDoomed(); err != nil {
		s.note(err)
		return err
	}
	if ch == nil {
		return nil
	}
	err := s.send(ch)
	if err != nil && s.refreshes(ch) {
		return nil
	}
	return err
}

func (s *Session) destroyDoomed() error {
	if s.extras == nil {
		return nil
	}
	for len(s.extras.doomed) > 0 {
		if err := s.destroy(s.extras.doomed[0]); err != nil {
			return err
		}
		s.extras.doomed = s.extras.doomed[1:]
	}
	return nil
}

func (s *Session) destroy(tok Token) error {
	ctx, cancel := s.storeContext()
	defer cancel()
	s.q.m.stats.destroys.Add(1)
	op := operation{writing, s.q.now()}
	var err error
	if d, ok := s.src.driver.(clockedDestroyer); ok {
		err = d.destroyAt(ctx, tok, op.began)
	} else {
		err = s.src.driver.Destroy(ctx, tok)
	}
	if err == nil {
		err = s.leave(ctx, tok, op.began)
	}
	if err == nil || isGone(err) {
		return s.q.m.heard(s.src, op, nil)
	}
	return s.q.m.heard(s.src, op, s.sorted("destroy", err))
}

// resend sends the save again that had no answer. Its number keeps it from counting twice.
func (s *Session) resend() error {
	ch := s.sent
	if ch == nil {
		return nil
	}
	return s.send(ch)
}

// send saves ch. What a driver cannot be asked about now is kept, to go again.
func (s *Session) send(ch *Changes) error {
	ctx, cancel := s.storeContext()
	defer cancel()
	s.q.m.stats.saves.Add(1)
	op := operation{writing, ch.Now()}
	tok, err := s.save(ctx, ch)
	s.noteCopy(ch, err)
	if err == nil {
		s.sent = nil
		s.q.m.heard(s.src, op, nil)
		s.announce(ch)
		s.settled(tok, ch)
		return nil
	}
	if isGone(err) {
		s.sent = nil
		s.q.m.heard(s.src, op, nil)
		return s.gone(err, ch)
	}
	err = s.q.m.heard(s.src, op, s.sorted("save", err))
	switch {
	case s.refreshes(ch):
		s.sent = nil // the next request notes its own use
	case errors.Is(err, ErrUnavailable):
		ch.again, s.sent = true, ch
	case errors.Is(err, ErrTooManySessions):
		s.undo()
	default:
		s.bad = err // what the changes ask for cannot be stored: after a Save too, the request fails
	}
	if !s.refreshes(ch) {
		s.note(err)
	}
	return err
}

// noteCopy notes a rotation that may have ended the old token and has no answer. Sent again, it may
// fail before it comes that far, and the copy is there all the same.
func (s *Session) noteCopy(ch *Changes, err error) {
	if err == nil || isGone(err) {
		if s.extras != nil {
			s.extras.copied = nil
		}
		return
	}
	var unsure *unsureError
	if errors.As(err, &unsure) {
		s.extra().copied = ch
	}
}

// undo drops what is unsaved: the request sees again what is stored.
func (s *Session) undo() {
	s.todo, s.sent, s.limits, s.rotate, s.login = nil, nil, nil, false, false
	s.settle()
	s.view, s.shared = nil, false
	if s.base != s.rec {
		s.view = s.rec.changesTo(s.base)
	}
}

// settled notes what the driver has stored.
func (s *Session) settled(tok Token, ch *Changes) {
	if s.base == nil || ch.rotates {
		s.lifeEnds = ch.now + ch.limits.Lifetime.Milliseconds()
		s.lasting = ch.limits.Remembered
	}
	s.saved, s.dead, s.login = ch, false, false
	if s.tok == nil || *s.tok != tok {
		ch.token = tok // no driver reads it any more, and it spares an allocation
		s.tok = &ch.token
	}
}

// settle brings base up to the last save. Most requests save once and never need it.
func (s *Session) settle() {
	if s.saved == nil {
		return
	}
	s.base = s.saved.Apply(s.base)
	s.base.token, s.base.home, s.base.resave, s.base.assumed = *s.tok, nil, false, true
	s.saved = nil
}

// gone is what follows when the record was not there any more: the changes are dropped, and
// with them the view that this request could store anything. Only a Regenerate goes on, with a
// session of this request's own changes.
func (s *Session) gone(err error, ch *Changes) error {
	s.base, s.tok, s.dead, s.flashes = nil, nil, true, false
	if ch.rotates && !ch.leavesNothing() {
		own := ch.clone()
		own.rotates = false
		own.token = NewToken(s.src.cookie)
		rand.Read(own.id[:]) // what tells that a cookie lives may be stored under the other
		own.seal(s.q.now())
		s.dead, s.flashes = false, pending(nil, own)
		return s.send(own)
	}
	if !s.refreshes(ch) {
		s.dropped(err)
	}
	return err
}

func (s *Session) dropped(err error) {
	kind := ErrNoSession
	if errors.Is(err, ErrEnded) {
		kind = ErrEnded
	}
	s.note(kind)
	s.q.m.stats.dropped.Add(1)
	s.q.m.log.dropped(s.src, kind)
}

// saveNow is Save without the questions whether it may.
func (s *Session) saveNow() error {
	if err := s.resend(); err != nil {
		return err
	}
	if s.todo == nil && !s.rotate && !s.isDoomed() {
		return s.use()
	}
	ch := s.plan(false)
	if c, ok := s.src.driver.(checker); ok && ch != nil {
		if err := c.check(s.base, ch); err != nil {
			s.bad = err
			s.note(err)
			return err
		}
	}
	return s.store(ch)
}

func (s *Session) isDoomed() bool { return s.extras != nil && len(s.extras.doomed) > 0 }

// use notes a use of a stored session.
func (s *Session) use() error {
	if s.tok == nil {
		return nil
	}
	s.settle()
	ctx, cancel := s.storeContext()
	defer cancel()
	s.q.m.stats.loads.Add(1)
	op := operation{reading, s.q.now()}
	rec, err := s.loadRecord(ctx, *s.tok, op.began)
	switch {
	case err == nil:
		s.base = rec
		return s.q.m.heard(s.src, op, nil)
	case isGone(err):
		s.base, s.tok, s.dead = nil, nil, true
		s.note(err)
		s.q.m.heard(s.src, op, nil)
		return err
	}
	err = s.q.m.heard(s.src, op, s.sorted("load", err))
	s.note(err)
	return err
}

// storeLate stores what came after the header, where that needs no cookie.
func (s *Session) storeLate() {
	if s.q.refused.Load() && (s.sent != nil || s.todo != nil) {
		s.refuse("change")
	}
	if !s.noted && !s.needsCookie() && !s.q.refused.Load() {
		s.noteSeen() // it was opened since
	}
	aging := s.agesLate()
	if s.sent == nil && s.todo == nil && !s.isDoomed() && !aging {
		return
	}
	err := s.resend()
	if err == nil {
		err = s.store(s.plan(aging))
	}
	if err != nil && !isGone(err) {
		s.q.m.log.lost(s.src, err)
	}
}

// refuse drops what is unsaved: storing it would need a cookie, or a new token that came too
// late, without which it could be a login under the old one.
func (s *Session) refuse(op string) {
	s.todo, s.sent, s.rotate, s.limits = nil, nil, false, nil
	s.late(op)
}
