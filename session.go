// Package session gives every HTTP request a session: values that the requests of one browser
// share, and flash messages that survive a redirect and disappear after the next page.
//
// A [Manager] is made once from a [Config]. [Manager.Middleware] puts a [Session] into the context
// of each request, and [FromContext] returns it:
//
//	manager, err := session.NewManager(session.Config{Secret: os.Getenv("SESSION_SECRET")})
//	...
//	http.ListenAndServe("127.0.0.1:8080", manager.Middleware(mux))
//
//	func handler(w http.ResponseWriter, r *http.Request) {
//		s := session.FromContext(r.Context())
//		visits := s.Increment("visits", 1)
//		...
//	}
//
// A session is loaded when a method first needs it. It is stored just before the first byte of the
// response header leaves, so there is nothing to call at the end of a handler. A request that does
// not use its session costs no look-up, sets no cookie, and works while the store is down.
//
// # Choosing a driver
//
// The cookie driver is the default: the session travels in the cookie, encrypted, and no server is
// needed. The memory driver is the fastest and serves one process. The redis driver shares sessions
// between processes. [StoreDriver] makes a driver from any [Store]. The differences:
//
//	                                   memory, redis, Store        cookie
//	two requests write at once         both writes are kept        the last response wins
//	a cookie copied before sign-out    opens nothing               stays valid until it expires,
//	                                                               unless Revocation is set
//	size of a session                  as the store allows         3500 bytes
//
// [Session.Using] returns the same client's session on another driver.
//
// # Values
//
// Most callers should declare a [Key] for each value: it gives the value a type. [Key.Update]
// changes a value without losing the changes of parallel requests. [Session.Set] and [Session.Get]
// work without a type.
//
// # Flash
//
// A value stored with [Session.Flash] can be read by this request and by later ones. The next page
// removes it: a later request for a page that gets status 200.
//
// # Security
//
// Call [Session.Login] at every sign-in and [Session.Logout] at every sign-out. An application that
// does not use Login calls [Session.Regenerate] and [Session.Destroy] instead.
//
// The secret part of a token has 208 random bits. The server never adopts a token that it did not
// issue, and it enforces the idle timeout and the lifetime. Cookies are HttpOnly, SameSite=Lax and,
// except on loopback, Secure.
//
// # Accounts
//
// [Session.Login] binds a session to a user. [Manager.Sessions] lists where that user is signed in.
// [Manager.End], [Manager.EndOthers] and [Manager.EndAll] end these sessions; the cookie driver
// needs [CookieConfig].Revocation for that. [Manager.RequireUser] protects pages. [Config].Events
// receives each [Event], for an audit log.
//
// # Concurrency
//
// Managers, sessions and drivers are safe for concurrent use. On every driver except cookie,
// parallel requests of one session keep each other's writes: writes to different keys are all kept,
// increments add up, and of two writes to one key the later commit wins.
package session

import (
	"fmt"
	"math"
	"sync"
	"time"

	"example.com/session/driver"
)

const maxKey = 255 // bytes

// A Session is one client's session as one request sees it: what is stored, and the changes of this
// request. It is loaded when a method first needs it. If that fails, the session reads as empty,
// Err returns the reason, and the client gets an error answer in place of the handler's response.
//
// A Session is safe for use by several goroutines. It belongs to its request: a change after the
// handler has returned fails with ErrLateChange.
type Session struct {
	request *requestState
	source  *source

	mu       sync.Mutex // guards everything below
	loaded   loadResult
	stored   *driver.Record // as last loaded or saved; nil: the next save begins a session
	token    *token         // opens stored; nil if nothing is stored
	pending  pendingChanges
	inFlight *save // was sent and had no answer: it is sent again, under its number, before anything else
	identity identityChange
	signIn   string // the user of a Login that is not stored yet
	endings  endings
	flash    flashUse
	problems problems

	importing *importing // the old session that came, for Config.Import
}

// An identityChange is what the request does to the token of its session.
type identityChange struct {
	replace   bool           // by Login, Regenerate or Remember
	described bool           // by Describe, for the user of Login
	login     string         // the user of Login
	remember  *driver.Limits // of Remember
}

// Set stores a value under a key. The value is encoded now, so later changes to a map or slice do
// not reach the session. The key has 1 to 255 bytes. If the key is too short or too long, or the
// value cannot be encoded, the request fails when it is committed, and none of its changes is
// stored. Overwriting or deleting the key before the commit removes the error.
func (s *Session) Set(key string, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if encoded, ok := s.encode("set", driver.Data, key, value); ok && s.mayChange("set") {
		s.pending.set(driver.Data, key, encoded)
	}
}

// Get returns the value under a key: the flash value if there is one, else data. It returns nil if
// there is no value or if it cannot be decoded; Scan tells the two apart. Numbers are int (int64 or
// uint64 if they do not fit) or float64, objects map[string]any, arrays []any. Most callers should
// use a Key or the function Get, which read into other types.
func (s *Session) Get(key string) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get(key)
}

// GetString returns the string under a key, "" if there is no string.
func (s *Session) GetString(key string) string {
	return readPlain(s, key, encodedString)
}

// GetInt returns the integer under a key, 0 if there is none or it does not fit an int. A float
// that is a whole number, such as 5.0, is returned as an integer.
func (s *Session) GetInt(key string) int {
	return readPlain(s, key, func(encoded string) (int, bool) {
		n, ok := driver.ParseInt(encoded)
		return int(n), ok && int64(int(n)) == n
	})
}

// GetBool returns the bool under a key, false if there is none.
func (s *Session) GetBool(key string) bool {
	return readPlain(s, key, encodedBool)
}

// Scan decodes the value under a key into dst, a non-nil pointer. Numbers are converted if the
// value fits exactly. It returns ErrNoValue if there is no value, and leaves dst unchanged on every
// error.
func (s *Session) Scan(key string, dst any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.lookup(key)
	if !ok {
		return ErrNoValue
	}
	err := s.scan(v, dst)
	if err != nil {
		s.unreadable(key, v.encoded, err)
	}
	return err
}

// Has reports whether there is a value under a key, data or flash. It is true for "", 0, false and
// nil values too.
func (s *Session) Has(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.lookup(key)
	return ok
}

// All returns all values, data and flash, decoded as Get decodes them. The map is a copy and never
// nil.
func (s *Session) All() map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	all := make(map[string]any)
	for key, v := range s.values() {
		decoded, err := s.decode(v)
		if err != nil {
			s.unreadable(key, v.encoded, err)
		}
		all[key] = decoded
	}
	return all
}

// Delete deletes the data and the flash under a key, and reports whether there was a value.
func (s *Session) Delete(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.delete(key)
}

func (s *Session) delete(key string) bool {
	_, had := s.lookup(key)
	s.problems.forget(key)
	if len(key) == 0 || len(key) > maxKey {
		return had // nothing can be there
	}
	delete(s.flash.now, key)
	if s.mayChange("delete") {
		s.pending.remove(key)
	}
	return had
}

// Pull returns the value under a key as Get does, and deletes it.
func (s *Session) Pull(key string) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	value := s.get(key)
	s.delete(key)
	return value
}

// Increment adds by to the integer under a key, data only, and returns the sum as this request sees
// it. A missing key counts as 0. The addition is applied to what is stored at the commit, so the
// increments of parallel requests add up. If the value is not an integer, or the sum overflows an
// int64, Increment returns 0 and the request fails when it is committed.
func (s *Session) Increment(key string, by int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.increment(key, int64(by))
}

// Decrement subtracts by from the integer under a key, as Increment adds it.
func (s *Session) Decrement(key string, by int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int64(by) == math.MinInt64 { // it has no negative
		s.open()
		s.reject(opKey{key, driver.Data}, &driver.ValueError{Op: "decrement", Key: key, Reason: "the sum is past the range of int64"})
		return 0
	}
	return s.increment(key, -int64(by))
}

func (s *Session) increment(key string, by int64) int {
	s.open()
	k := opKey{key, driver.Data}
	if !s.checkKey("increment", k) {
		return 0
	}
	encoded, found := s.lookupData(key)
	sum, err := addTo(encoded, found, key, by)
	if err == nil && s.mayChange("increment") {
		err = s.pending.increment(key, by)
	}
	if err != nil {
		s.reject(k, err)
		return 0
	}
	return int(sum)
}

// Reset deletes all data that the session holds at the commit, also what parallel requests have
// stored, and keeps flash. A user stays signed in.
func (s *Session) Reset() { s.clear(driver.Data) }

// Flush deletes all data and flash. The empty session stays, and a user stays signed in. To end a
// session, call Destroy or Logout. Flush is unrelated to http.Flusher.
func (s *Session) Flush() {
	s.Reset()
	s.ResetFlash()
}

func (s *Session) clear(p driver.Part) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problems.forgetAll(p)
	if s.mayChange("reset") {
		s.pending.clear(p)
	}
	if p == driver.Flash {
		s.flash.now, s.flash.shown = nil, nil
	}
}

// Using returns the same client's session on another named driver. Its changes are committed
// together with this one's. An unknown name is an ErrUnknownDriver that lists the names.
func (s *Session) Using(driver string) (*Session, error) { return s.request.using(driver) }

// Open loads the session now. It returns an error only if the session could not be loaded: the
// store is unavailable (ErrUnavailable) or refuses the configuration, or the record is damaged. The
// client then gets the error answer. A session that another request has ended reads as empty: Open
// returns nil, and Err returns ErrEnded.
func (s *Session) Open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	return s.loaded.err
}

// Err returns the first error of this session in this request, nil if there was none.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.problems.first
}

// IsNew reports whether the request came without a live session.
func (s *Session) IsNew() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	return s.loaded.record == nil
}

// CreatedAt returns when the lifetime of the session began, zero before it is stored.
func (s *Session) CreatedAt() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open(); s.stored == nil {
		return time.Time{}
	}
	return s.stored.CreatedAt()
}

// ExpiresAt returns when the session ends if it is not used again, zero before it is stored.
func (s *Session) ExpiresAt() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open(); s.stored == nil {
		return time.Time{}
	}
	rec := s.stored
	if s.useIsDue() { // the commit will note this use
		if used, err := s.newSave().Apply(rec); err == nil {
			rec = used
		}
	}
	return s.source.expiresAt(rec)
}

// Handle returns the public name of the session, for logs and lists, or "" before the session is
// stored. It stays the same while the session lives, also when its token is replaced. Nobody can
// open a session with it.
func (s *Session) Handle() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open(); s.stored == nil {
		return ""
	}
	return s.stored.ID().String()
}

// mayChange opens the session for a change, and reports whether the change may be noted. A change
// that can no longer be stored is reported as late.
func (s *Session) mayChange(op string) bool {
	s.open()
	if s.request.reached(phaseClosed) {
		s.reportLate(op, s.stored)
		return false
	}
	if s.request.reached(phaseCommitted) && (s.request.refused.Load() || s.needsCookie()) {
		s.reportLate(op, s.stored) // this request still sees it
	}
	return true
}

// needsCookie reports whether storing a change needs a Set-Cookie line.
func (s *Session) needsCookie() bool {
	return s.source.cookies != nil || (s.token == nil && !s.source.byIP) || s.isMoving()
}

// encode returns the encoded form of a value that is to be stored under a key.
func (s *Session) encode(op string, part driver.Part, key string, value any) (string, bool) {
	k := opKey{key, part}
	if !s.checkKey(op, k) {
		return "", false
	}
	encoded, err := encodeValue(s.request.manager.codec, value)
	if err != nil {
		s.open()
		s.reject(k, &driver.ValueError{Op: op, Key: key, Reason: fmt.Sprintf("a %T cannot be stored: %v", value, err)})
		return "", false
	}
	s.problems.forgetKey(k)
	return encoded, true
}

func (s *Session) checkKey(op string, k opKey) bool {
	if len(k.key) > 0 && len(k.key) <= maxKey {
		return true
	}
	s.open()
	s.reject(k, &driver.ValueError{Op: op, Key: k.key, Reason: fmt.Sprintf("a key has 1 to %d bytes, this one has %d", maxKey, len(k.key))})
	return false
}
