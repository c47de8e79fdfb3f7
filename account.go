package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// The keys of the account part of a record.
const (
	accountSignedIn = "authenticated" // when, in milliseconds since 1970
	accountHints    = "hints"         // what Describe was given, as JSON
	accountSeen     = "seen"          // when the user was last active, where Config.LockAfter asks for it
	accountUser     = "user"
)

const (
	maxUser  = 255  // bytes
	maxHints = 1024 // bytes of JSON
)

// Login binds the session to a user: the session gets a new token, so that one which somebody
// planted or saw before opens nothing (ASVS 7.2.4), both limits start anew, and the time of
// the sign-in is noted. Call it once the user has proven who it is, also when it is the same
// user again. user is what names the account for good, such as its primary key: 1 to 255 bytes.
//
// What a visitor's session holds stays; what another user's session holds is cleared. Like every
// change it is stored when the request is committed. Where Config.MaxPerUser then refuses the
// session, the request fails with ErrTooManySessions: call Save after Login to find out in the
// handler. A session that is told apart by client address is not one to sign in with: that fails
// the request.
func (s *Session) Login(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mayLogin(user) || !s.regenerate() {
		return
	}
	other := s.user() != "" && s.user() != user
	// A sign-in after an ending of all sessions, maybe in one request, is not one from before it.
	at := max(s.q.now().UnixMilli(), s.q.m.lastEnding.Load()+1)
	now := strconv.FormatInt(at, 10)
	s.src.accounts.Store(true)
	s.login = true
	for _, ch := range s.edit() {
		if ch == nil {
			continue
		}
		if other {
			ch.clearData()
			ch.clearFlashes()
			if !s.described {
				ch.setAccount(accountHints, "")
			}
		}
		ch.setAccount(accountUser, user)
		ch.setAccount(accountSignedIn, now)
		if s.q.m.cfg.LockAfter > 0 {
			ch.setAccount(accountSeen, now)
		}
	}
}

func (s *Session) mayLogin(user string) bool {
	s.open()
	switch {
	case user == "" || len(user) > maxUser:
		s.reject(fmt.Errorf("session: sign in: a user is named by 1 to %d bytes, this one has %d", maxUser, len(user)))
		return false
	case s.anonymous != nil: // nobody is signed in by a session that is never saved
		s.reject(s.anonymous)
		return false
	case s.src.byIP:
		s.reject(&configError{errors.New("sign in with by_client_ip: everybody behind one address would be " +
			"signed in: use a driver that sets a cookie")})
		return false
	}
	return true
}

// Logout ends the session as Destroy does: it is the one to call where a user signs out. On the
// cookie driver a copy of the cookie opens until its limits, unless CookieConfig.Revocation is set.
func (s *Session) Logout() { s.end(EndedByLogout) }

// User returns the user that Login bound the session to. ok is false for a visitor, and where
// Config.LockAfter has locked the session.
func (s *Session) User() (user string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	user = s.user()
	if user == "" || s.locked() {
		return "", false
	}
	return user, true
}

// Locked returns the user of a session that Config.LockAfter has locked: ask it to prove again
// who it is, then call Login. What the session holds is still there.
func (s *Session) Locked() (user string, locked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	if user = s.user(); user == "" || !s.locked() {
		return "", false
	}
	return user, true
}

// AuthenticatedAt returns when the user signed in, zero for a visitor. Regenerate leaves it as
// it is, only Login sets it.
func (s *Session) AuthenticatedAt() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	return s.authenticatedAt()
}

func (s *Session) authenticatedAt() time.Time {
	at, _ := s.view.accountValue(s.rec, accountSignedIn)
	return parseAccountTime(at)
}

// FreshWithin reports whether the user signed in within the last d: for pages that want a recent
// sign-in, such as a change of password (ASVS 7.5.1, 7.5.3). False for a visitor and a locked session.
func (s *Session) FreshWithin(d time.Duration) bool {
	if _, ok := s.User(); !ok {
		return false
	}
	return s.q.now().Sub(s.AuthenticatedAt()) <= d
}

// Describe stores what a list of sessions shows of this one, such as the name of the browser or
// the place it was used from, in place of what was given before. It begins no session. JSON of it
// may have 1024 bytes; more fails the request when it is committed. Store as little as the user
// needs to know its own devices: it is personal data.
func (s *Session) Describe(hints map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	encoded, err := json.Marshal(hints)
	if err == nil && len(encoded) > maxHints {
		err = fmt.Errorf("they take %d bytes, at most %d fit: shorten them", len(encoded), maxHints)
	}
	if err != nil {
		s.reject(fmt.Errorf("session: describe: %w", err))
		return
	}
	s.described = true
	if now, _ := s.view.accountValue(s.rec, accountHints); now == string(encoded) {
		return
	}
	for _, ch := range s.edit() {
		if ch != nil {
			ch.setAccount(accountHints, string(encoded))
		}
	}
}

// user returns the user as this request sees it, locked or not.
func (s *Session) user() string {
	user, _ := s.view.accountValue(s.rec, accountUser)
	return user
}

// locked reports whether the user was away for Config.LockAfter (NIST SP 800-63B-4, section
// 2.2.3). The time of the last activity is not moved on while it is, so it stays so.
func (s *Session) locked() bool {
	after := s.q.m.cfg.LockAfter
	if after <= 0 {
		return false
	}
	seen, ok := s.view.accountValue(s.rec, accountSeen)
	if !ok { // from before LockAfter was set
		seen, _ = s.view.accountValue(s.rec, accountSignedIn)
	}
	return s.loaded.Sub(parseAccountTime(seen)) >= after
}

// noteSeen notes that the user is active, once a part of LockAfter has passed.
func (s *Session) noteSeen() {
	s.noted = s.opened
	after := s.q.m.cfg.LockAfter
	if after <= 0 || s.rec == nil || s.quiet || s.dead || s.user() == "" || s.locked() {
		return
	}
	seen, _ := s.view.accountValue(s.rec, accountSeen)
	if s.loaded.Sub(parseAccountTime(seen)) < after/noteSeenEvery {
		return
	}
	if s.todo == nil {
		s.todo = &Changes{flashTTL: s.src.flashTTL}
	}
	s.todo.setAccount(accountSeen, strconv.FormatInt(s.loaded.UnixMilli(), 10))
}

// noteSeenEvery says which part of LockAfter passes before an activity is stored again. So a
// session may be locked a twentieth early, never late.
const noteSeenEvery = 20

func parseAccountTime(text string) time.Time {
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// accountOf returns the user and the time of the sign-in that a record has after changes.
func accountOf(rec *Record, ch *Changes) (user string, signedIn int64) {
	user, _ = ch.accountValue(rec, accountUser)
	at, _ := ch.accountValue(rec, accountSignedIn)
	signedIn, _ = strconv.ParseInt(at, 10, 64)
	return user, signedIn
}

func hintsOf(rec *Record) map[string]string {
	var ch *Changes
	encoded, _ := ch.accountValue(rec, accountHints)
	var hints map[string]string
	if encoded == "" || json.Unmarshal([]byte(encoded), &hints) != nil {
		return nil
	}
	return hints
}
