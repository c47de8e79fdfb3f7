package session

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"example.com/session/driver"
)

// The keys of the account part of a record, beside driver.UserKey.
const (
	accountSignedIn = "authenticated" // when, in milliseconds since 1970
	accountHints    = "hints"         // what Describe was given, as JSON
	accountSeen     = "seen"          // when the user of a locked session was last active
)

const (
	maxUser  = 255  // bytes
	maxHints = 1024 // bytes of JSON
)

// Login binds the session to a user. The session gets a new token, which prevents session fixation:
// the old token opens nothing (ASVS 7.2.4). Lifetime and idle timeout begin anew, and
// AuthenticatedAt becomes the present time. Call Login each time that a user has authenticated,
// also if the same user was signed in already. user is a permanent name of the account, such as its
// primary key, of 1 to 255 bytes.
//
// A visitor's session keeps its data. If another user was signed in, that session ends, and a new
// one begins with this request's changes only. Like every change, Login is stored when the request
// is committed. If Config.MaxPerUser refuses it then, the request fails with ErrTooManySessions; to
// handle this in the handler, call Save after Login. If all sessions of the user were ended while
// this request was running, the sign-in is dropped, and Err returns ErrEnded. Under
// MemoryConfig.ByClientIP the request fails.
func (s *Session) Login(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mayLogin(user) {
		return
	}
	if !s.replaceToken("login") {
		s.signInFailed(ErrLateChange)
		return
	}
	if before := s.user(); before != "" && before != user {
		s.beginAnew()
	}
	s.identity.login = user
	now := formatAccountTime(s.now())
	s.pending.set(driver.Account, driver.UserKey, user)
	s.pending.set(driver.Account, accountSignedIn, now)
	if !s.source.hasUsers.Load() {
		s.source.hasUsers.Store(true)
	}
}

func (s *Session) mayLogin(user string) bool {
	s.open()
	if user == "" || len(user) > maxUser {
		s.rejectRequest(fmt.Errorf("session: sign in: a user's name has 1 to %d bytes, this one has %d", maxUser, len(user)))
		return false
	}
	s.signIn = user
	switch {
	case s.loaded.status == anonymous: // it is never stored
		s.rejectRequest(s.loaded.err)
		return false
	case s.source.byIP:
		s.rejectRequest(errors.New("session: sign in with by_client_ip: everybody behind one address would be " +
			"signed in: use a driver that sets a cookie"))
		return false
	}
	return true
}

// beginAnew leaves another user's session behind: it is ended once the new one is stored.
func (s *Session) beginAnew() {
	if s.token != nil {
		s.endings.after = append(s.endings.after, s.endable(s.token, s.stored))
	}
	described := s.account(accountHints)
	s.stored, s.token, s.inFlight = nil, nil, nil
	s.pending.discard(func(op driver.Op) bool { return op.Part == driver.Account })
	if s.identity.described { // this request says it of the new user
		s.pending.set(driver.Account, accountHints, described)
	}
	s.flash.read = nil
	if err := rerunUpdates(s.pending.ops, s.pending.updates, nil); err != nil {
		s.rejectRequest(err)
	}
}

// Logout ends the session as Destroy does. Call it when a user signs out. On the cookie driver a
// copy of the cookie stays valid until it expires, unless CookieConfig.Revocation is set.
func (s *Session) Logout() { s.endSession(reasonLogout) }

// User returns the user that is signed in. ok is false for a visitor, and if Config.LockAfter has
// locked the session.
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

// Locked returns the user of a session that Config.LockAfter has locked. To unlock it, ask the user
// to sign in again and call Login. The session keeps its data.
func (s *Session) Locked() (user string, locked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	if user = s.user(); user == "" || !s.locked() {
		return "", false
	}
	return user, true
}

// AuthenticatedAt returns when the user signed in, zero for a visitor. Only Login changes it.
func (s *Session) AuthenticatedAt() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	return parseAccountTime(s.account(accountSignedIn))
}

// FreshWithin reports whether the user signed in within the last d: for pages that want a recent
// sign-in, such as a change of password (ASVS 7.5.1, 7.5.3). It is false for a visitor and for a
// locked session.
func (s *Session) FreshWithin(d time.Duration) bool {
	if _, ok := s.User(); !ok {
		return false
	}
	return s.now().Sub(s.AuthenticatedAt()) <= d
}

// Describe stores labels for this session, such as the name of the browser, in place of earlier
// ones. Manager.Sessions returns them as Info.Hints. Describe does not begin a session. The JSON
// form of hints takes at most 1024 bytes: longer texts are shortened, so that a sign-in never fails
// because of a label. Labels are personal data: store no more than users need to recognize their
// devices.
func (s *Session) Describe(hints map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	encoded := encodeHints(hints)
	s.identity.described = true
	if s.account(accountHints) != encoded && s.mayChange("describe") {
		s.pending.set(driver.Account, accountHints, encoded)
	}
}

// encodeHints returns JSON of at most maxHints bytes: it halves the longest text until all fit.
func encodeHints(hints map[string]string) string {
	kept := maps.Collect(maps.All(hints)) // of nil hints, too, a map that is encoded as {}
	for {
		encoded, err := json.Marshal(kept)
		if err == nil && len(encoded) <= maxHints {
			return string(encoded)
		}
		longest, most := "", -1
		for key, text := range kept {
			if len(text) > most || len(text) == most && key < longest {
				longest, most = key, len(text)
			}
		}
		if most <= 0 {
			delete(kept, longest) // keys alone are too long
			continue
		}
		kept[longest] = firstRunes(kept[longest], most/2)
	}
}

// firstRunes returns the first n bytes of a text, without cutting a character.
func firstRunes(text string, n int) string {
	for n > 0 && n < len(text) && text[n]&0xC0 == 0x80 {
		n--
	}
	return text[:n]
}

// user returns the user as this request sees it, locked or not.
func (s *Session) user() string { return s.account(driver.UserKey) }

// locked reports whether the user was inactive for Config.LockAfter (NIST SP 800-63B-4, section
// 2.2.3).
func (s *Session) locked() bool {
	after := s.source.lockAfter
	return after > 0 && s.loaded.at.Sub(s.lastActivity()) >= after
}

// lastActivity returns when the user was last active: at the last use, as noted by whatever process,
// unless the session was locked by then.
func (s *Session) lastActivity() time.Time {
	signedIn := parseAccountTime(s.account(accountSignedIn))
	if locked := s.lockedSince(); !locked.IsZero() && !locked.Before(signedIn) {
		return locked
	}
	rec := cmp.Or(s.loaded.arrived, s.stored) // a save of this request is a use too
	if rec == nil || rec.UsedAt().Before(signedIn) {
		return signedIn
	}
	return rec.UsedAt()
}

// lockedSince returns the last activity before a request found the session locked, zero if none has.
func (s *Session) lockedSince() time.Time {
	if s.loaded.seen != 0 {
		return s.loaded.seen.Time()
	}
	return parseAccountTime(s.account(accountSeen))
}

func formatAccountTime(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

func parseAccountTime(text string) time.Time {
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
