package session

import (
	"context"
	"errors"
	"time"
)

// save hands changes to the driver. A session of somebody who is signed in is entered into the
// user's index before it is stored under a new token, and once more afterwards: so an ending of
// all sessions that comes in between either finds it or has refused it.
func (s *Session) save(ctx context.Context, ch *Changes) (Token, error) {
	if s.base != nil && !ch.rotates {
		return s.saveOn(ctx, ch)
	}
	user, signedIn := accountOf(s.base, ch)
	if user == "" {
		return s.src.driver.Save(ctx, s.base, ch)
	}
	if s.src.index == nil {
		if s.q.m.cfg.MaxPerUser > 0 {
			return Token{}, ErrUnsupported
		}
		return s.src.driver.Save(ctx, s.base, ch)
	}
	e := enrollment{
		member: s.src.member(ch.token, ch.id), signedIn: signedIn,
		most: s.q.m.cfg.MaxPerUser, now: ch.Now(),
	}
	if s.extras != nil {
		e.signedIn = max(signedIn, s.extras.exempted)
	}
	e.ends = ch.now + ch.limits.Lifetime.Milliseconds() - 1 // confirm makes it whole
	left, leaving := s.leaving()
	if leaving && left.user == user {
		e.replaces = left.name()
	}
	tok, err := s.saveEnrolled(ctx, user, e, ch)
	if err == nil && leaving {
		_ = s.src.index.withdraw(ctx, indexKey(s.src.cookie, left.user), left.member) // else the next list does
	}
	return tok, err
}

// A leaver is the entry of a session whose token is replaced or destroyed.
type leaver struct {
	member
	user string
}

// leaving returns the entry of the session as it is stored, where it has one.
func (s *Session) leaving() (leaver, bool) {
	user, _ := accountOf(s.base, nil)
	if user == "" || s.src.index == nil {
		return leaver{}, false
	}
	return leaver{user: user, member: s.src.member(s.base.token, s.base.head.id)}, true
}

// leave follows the end of a session: its entry goes, and on the cookie driver its stand-in, for
// which a sign-out need not have opened the session.
func (s *Session) leave(ctx context.Context, tok Token, now time.Time) error {
	rec := s.extras.left
	if rec != nil && rec.token != tok {
		rec = nil
	}
	if s.src.guard != nil {
		rec, _, _ = s.src.driver.(*CookieDriver).open(tok, now)
	}
	e := Event{Kind: EventEnded, Driver: s.src.name, Reason: s.extras.reason}
	if rec != nil {
		e.Handle = handleOf(rec.head.id)
		e.User, _ = accountOf(rec, nil)
	}
	if e.User != "" && s.src.guard != nil {
		if err := s.src.guard.dismiss(ctx, rec.head.id, now); err != nil {
			return err
		}
	}
	if e.User != "" && s.src.index != nil {
		_ = s.src.index.withdraw(ctx, indexKey(s.src.cookie, e.User), s.src.member(tok, rec.head.id)) // else the next list does
	}
	s.q.m.emit(e)
	return nil
}

// member returns the entry of a session.
func (src *source) member(tok Token, id [idBytes]byte) member {
	if src.guard != nil {
		tok = src.guard.token(id)
	}
	return member{id: tok.ID(), handle: handleOf(id)}
}

func (s *Session) saveEnrolled(ctx context.Context, user string, e enrollment, ch *Changes) (Token, error) {
	key := indexKey(s.src.cookie, user)
	if err := s.enroll(ctx, user, e); err != nil {
		return Token{}, err
	}
	tok, err := s.saveRevocable(ctx, ch)
	if err == nil {
		if err = s.confirm(ctx, user, e); err == nil {
			if tok, err = s.sealed(ctx, tok, ch); err == nil {
				return tok, nil
			}
		}
		if s.unanswered(err) {
			return Token{}, err // nobody has the token; sent again, all of it is answered
		}
		if ended := s.src.index.endID(ctx, e.id, e.now); ended != nil {
			return Token{}, ended
		}
	}
	if !s.unanswered(err) { // else it may be stored, and the entry stays
		e.ends = 0
		_ = s.src.index.withdraw(ctx, key, e.member) // else the next list does
	}
	return Token{}, err
}

// confirm enrolls once more, after the session is stored. The token that it had before is ended
// by then, so a store that gives no answer is asked again until ctx's deadline.
func (s *Session) confirm(ctx context.Context, user string, e enrollment) error {
	e.stored = true
	e.ends++ // so that who saw the entry before the session was there does not take it out
	_, patient := ctx.Deadline()
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		err := s.enroll(ctx, user, e)
		if err == nil || !patient || !s.unanswered(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

func (s *Session) unanswered(err error) bool { return errors.Is(s.sorted("save", err), ErrUnavailable) }

// saveRevocable stores the session, of the cookie driver what tells that it lives.
func (s *Session) saveRevocable(ctx context.Context, ch *Changes) (Token, error) {
	if s.src.guard != nil {
		return Token{}, s.src.guard.admit(ctx, s.base, ch)
	}
	return s.src.driver.Save(ctx, s.base, ch)
}

// sealed makes the cookie of a session once everything on a server is done: from then on this
// process takes the one before it for ended.
func (s *Session) sealed(ctx context.Context, tok Token, ch *Changes) (Token, error) {
	if s.src.guard != nil {
		return s.src.driver.Save(ctx, s.base, ch)
	}
	return tok, nil
}

// saveOn saves without a new token. A cookie of a session that has ended meanwhile would open
// nothing.
func (s *Session) saveOn(ctx context.Context, ch *Changes) (Token, error) {
	g := s.src.guard
	if g == nil {
		return s.src.driver.Save(ctx, s.base, ch)
	}
	if user, _ := accountOf(s.base, nil); user == "" {
		return s.src.driver.Save(ctx, s.base, ch)
	}
	if err := g.check(ctx, s.base.head.id, ch.Now()); err != nil {
		return Token{}, err
	}
	tok, err := s.src.driver.Save(ctx, s.base, ch)
	if err != nil {
		return tok, err
	}
	return tok, g.describe(ctx, s.base.head.id, ch)
}

// roomTries bounds how often a full index is looked through: others may sign in meanwhile.
const roomTries = 8

// enroll enters a session, and makes room for it where Config.MaxPerUser says so.
func (s *Session) enroll(ctx context.Context, user string, e enrollment) error {
	key := indexKey(s.src.cookie, user)
	for range roomTries {
		err := s.src.index.enroll(ctx, key, e)
		if !errors.Is(err, errIndexFull) {
			return err
		}
		if err := s.makeRoom(ctx, user, e); err != nil {
			return err
		}
	}
	return ErrTooManySessions
}

// makeRoom takes out the entries whose sessions are over, else ends the session that was signed
// in first, where the policy is to do so.
func (s *Session) makeRoom(ctx context.Context, user string, e enrollment) error {
	m, src := s.q.m, s.src
	members, err := m.membersOf(ctx, src, user)
	if err != nil {
		return err
	}
	var oldest member
	var since int64
	freed := false
	for _, mem := range members {
		if mem.id == e.id || mem.name() == e.replaces {
			continue
		}
		rec, err := m.peek(ctx, src, user, mem)
		if err != nil {
			return err
		}
		if rec == nil {
			freed = true
		} else if _, at := accountOf(rec, nil); oldest.id == "" || isOlder(at, mem.id, since, oldest.id) {
			oldest, since = mem, at
		}
	}
	switch {
	case freed:
		return nil
	case m.cfg.AtMaxPerUser == RefuseNew || oldest.id == "":
		return ErrTooManySessions
	case e.stored: // others signed in meanwhile
		if err := s.standsAgainst(ctx, e, oldest, since); err != nil {
			return err
		}
	}
	_, err = m.endMember(ctx, src, user, oldest, EndedByMaxPerUser)
	return err
}

// standsAgainst returns an error where another session, which was signed in at once, ends this
// one: both go by the same order, so they never end each other both.
func (s *Session) standsAgainst(ctx context.Context, e enrollment, other member, since int64) error {
	if _, err := s.src.index.peek(ctx, e.id, s.q.now()); err != nil {
		return err
	}
	if isOlder(e.signedIn, e.id, since, other.id) {
		return &EndedError{At: e.now}
	}
	return nil
}

// isOlder orders sessions by their sign-in, those of one millisecond by their store key.
func isOlder(at int64, id string, other int64, otherID string) bool {
	return at < other || at == other && id < otherID
}
