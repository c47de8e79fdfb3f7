// Package session gives every HTTP request a session: values that one browser's requests
// share, and flash messages that survive a redirect and are gone after the next page.
//
// A [Manager] is made once from a [Config]. Its [Manager.Middleware] puts a [Session] into the
// context of each request, where [FromContext] finds it:
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
// A session is loaded when a method first needs it and stored just before the first byte of
// the response header leaves. There is nothing to call at the end of a handler. A request that
// never touches its session costs no look-up, sets no cookie and works while the store is down.
//
// # Choosing a driver
//
// The cookie driver is the default: the session travels in the cookie, sealed, and no server
// is needed. The memory driver is the fastest and serves one process. The redis driver shares
// sessions between processes. Both of these can end a session for certain; the cookie driver
// cannot take back a cookie that was copied. See [CookieDriver], [MemoryDriver], [RedisDriver].
// [Session.Using] reaches another driver for a call.
//
// # Flash
//
// What [Session.Flash] stores can be read in this request and in the next ones, until the
// first response with status 200 to a request that came with it.
//
// # Security
//
// Call [Session.Login] at every sign-in and [Session.Logout] at every sign-out; an application
// that keeps its users elsewhere calls [Session.Regenerate] and [Session.Destroy]. Tokens
// have 256 random bits, a token that the server did not issue is never adopted, both limits are
// enforced by the server's clock, and cookies are HttpOnly, SameSite=Lax and, but on loopback,
// Secure.
//
// # Accounts
//
// [Session.Login] binds a session to a user. [Manager.Sessions] lists where that user is signed
// in, [Manager.End], [Manager.EndOthers] and [Manager.EndAll] end it; for the cookie driver that
// takes [CookieConfig].Revocation. [Config].Events is told of each turn in a session's life.
//
// # Concurrency
//
// Everything here is safe for use by several goroutines. Two requests of one session that
// write different keys both keep their writes, increments add up, and of two writes to one key
// the later commit wins; so it is on memory and redis. On the cookie driver the last Set-Cookie
// wins as a whole.
package session

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"sync"
	"time"
)

const maxLifetime = 400 * 24 * time.Hour // what browsers keep a cookie for: RFC 6265bis, section 5.5

// A Session is one client's session as one request sees it: the record that came with the
// request and the changes made since. It is loaded when a method first needs it. If that
// fails, it reads as empty, Err says why, and the response becomes an error answer.
//
// A Session is safe for use by several goroutines. It belongs to its request: changes made
// after the handler has returned are an ErrLateChange.
//
// Its fields hold the token and everything else that is secret by pointers, which fmt does not
// follow: in an unexported field of another struct, or under a wrong verb, it calls no Format.
type Session struct {
	q   *request
	src *source

	mu     sync.Mutex
	opened bool
	came   bool      // a record came with this request
	loaded time.Time // when it was opened: flash is judged by it
	rec    *Record   // as loaded, for reading; nil where there is none
	base   *Record   // as last saved but for what is unsettled; nil where a save begins a session
	tok    *Token    // what opens the stored session; nil where none is stored
	dead   bool      // the session ended while this request was under way

	anonymous error // the store is unavailable, and the request may do without: nothing is saved

	view   *Changes // all of this request, for reading
	todo   *Changes // what of it is unsaved
	sent   *Changes // a save without an answer: it goes again, under its number, before others
	saved  *Changes // the last save, which base does not hold yet
	shared bool     // view has been given to a driver and must not be changed
	extras *extras  // what few requests need

	rotate    bool
	limits    *Limits // as Remember wants them
	login     bool    // Login is unsaved
	described bool    // Describe was called

	failed    error // why it could not be opened
	bad       error // a change that cannot be stored
	err       error // the first thing that went wrong
	lifeEnds  int64 // of what is stored, in milliseconds
	lasting   bool  // it is a remembered session
	aged      int   // of the flash that was looked at, how many values the commit has ended
	flashes   bool  // flash is pending in what is stored
	quiet     bool  // it was opened for the sake of its flash only
	noted     bool  // noteSeen was asked since it was opened
	committed bool  // the header has gone
	tooLate   bool  // a change came that could not be stored any more
	closed    bool  // the handler has returned
}

// extras are the parts of a Session that few requests need.
type extras struct {
	now      []entry  // FlashNow
	looked   []string // flash that came with the request and was read
	doomed   []Token  // to be destroyed
	gone     bool     // Destroy was called: the cookie goes, unless a new session begins
	reason   string   // why
	exempted int64    // when EndOthers kept this session, in milliseconds
	left     *Record  // the session that it ended, where it was opened
	unusable bool     // a cookie came that cannot be ours
	doubles  bool     // several different cookies came
	copied   *Changes // a rotation whose copy is stored, with no answer whether the old token ended
}

func (s *Session) extra() *extras {
	if s.extras == nil {
		s.extras = new(extras)
	}
	return s.extras
}

// Set stores a value under a key. It is encoded now: what the caller does to a map or slice
// later does not reach the session. A value that cannot be encoded, or a key that has not 1 to
// 255 bytes, fails the request when it is committed, and nothing of the request is stored.
func (s *Session) Set(key string, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	encoded, ok := s.encode("set", key, value)
	if !ok {
		return
	}
	for _, ch := range s.edit() {
		if ch != nil {
			ch.set(key, encoded)
		}
	}
}

// Get returns the value under a key, nil when there is none: a live flash value first, then
// data. Numbers are int (int64 or uint64 where they do not fit) or float64, objects
// map[string]any, arrays []any. The generic function Get reads into other types.
func (s *Session) Get(key string) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get(key)
}

func (s *Session) get(key string) any {
	encoded, ok := s.lookup(key)
	if !ok {
		return nil
	}
	value, err := decodeValue(s.q.m.codec(), encoded)
	if err != nil {
		s.unreadable(key, encoded, err)
		return nil
	}
	return value
}

// GetString returns the string under a key, "" when there is no string.
func (s *Session) GetString(key string) string {
	return readPlain(s, key, encodedString)
}

// GetInt returns the integer under a key, 0 when there is none or it does not fit an int. The
// float 5.0 is 5.
func (s *Session) GetInt(key string) int {
	return readPlain(s, key, func(encoded string) (int, bool) {
		n, ok := encodedInt(encoded)
		return int(n), ok && int64(int(n)) == n
	})
}

// GetBool returns the bool under a key, false when there is none.
func (s *Session) GetBool(key string) bool {
	return readPlain(s, key, encodedBool)
}

func readPlain[T any](s *Session, key string, read func(string) (T, bool)) (value T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	encoded, ok := s.lookup(key)
	if !ok {
		return value
	}
	if value, ok = read(encoded); ok {
		return value
	}
	value, err := decodeAs[T](s.q.m.codec(), encoded)
	if err != nil {
		s.unreadable(key, encoded, err)
	}
	return value
}

// Scan decodes the value under a key into dst, a non-nil pointer. Numbers are converted where
// the value fits exactly. It returns ErrNoValue when there is no value, and leaves dst as it
// was on every error.
func (s *Session) Scan(key string, dst any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	encoded, ok := s.lookup(key)
	if !ok {
		return ErrNoValue
	}
	err := scanValue(s.q.m.codec(), encoded, dst)
	if err != nil {
		s.unreadable(key, encoded, err)
	}
	return err
}

// Has reports whether there is a value under a key, also where it is "", 0, false or nil, and
// also where it is live flash.
func (s *Session) Has(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.lookup(key)
	return ok
}

// All returns a copy of everything, data and live flash, decoded as Get does it. It is never nil.
func (s *Session) All() map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	encoded := make(map[string]string)
	s.collectData(encoded)
	s.collectFlash(encoded)
	all := make(map[string]any, len(encoded))
	for key, value := range encoded {
		decoded, err := decodeValue(s.q.m.codec(), value)
		if err != nil {
			s.unreadable(key, value, err)
		}
		all[key] = decoded
	}
	return all
}

// collectData adds every key's data as this request sees it.
func (s *Session) collectData(into map[string]string) {
	if s.view == nil || !s.view.clear {
		for key, value := range s.rec.data() {
			into[key] = value
		}
	}
	if s.view == nil {
		return
	}
	for i := range s.view.ops {
		op := &s.view.ops[i]
		if op.onFlash() {
			continue
		}
		if value, ok := s.lookupData(op.Key); ok {
			into[op.Key] = value
		} else {
			delete(into, op.Key)
		}
	}
}

// Delete deletes data and flash of a key and reports whether there was something.
func (s *Session) Delete(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.delete(key)
}

func (s *Session) delete(key string) bool {
	_, had := s.lookup(key)
	if len(key) == 0 || len(key) > maxKey {
		return had // nothing can be there
	}
	s.dropNow(key)
	for _, ch := range s.edit() {
		if ch != nil {
			ch.remove(key)
		}
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

// Increment adds by to the integer under a key, data only, and returns the sum as this request
// sees it; a missing one counts as 0. What is stored is the adding: increments of requests at
// once add up. An increment of what is not an integer, or past int64, fails the request when
// it is committed; it returns 0.
func (s *Session) Increment(key string, by int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.increment(key, int64(by))
}

// Decrement is Increment by the negative.
func (s *Session) Decrement(key string, by int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int64(by) == math.MinInt64 { // it has no negative
		s.open()
		s.reject(pastRange(key))
		return 0
	}
	return s.increment(key, -int64(by))
}

func (s *Session) increment(key string, by int64) int {
	s.open()
	if !s.checkKey("increment", key) {
		return 0
	}
	encoded, found := s.lookupData(key)
	sum, err := addTo(encoded, found, &Op{Key: key, By: by})
	if err != nil {
		s.reject(err)
		return 0
	}
	for _, ch := range s.edit() {
		if ch == nil {
			continue
		}
		if err := ch.add(key, by); err != nil {
			s.reject(err)
			return 0
		}
	}
	return int(sum)
}

// Reset clears the data and leaves the flash: what the record holds when it is committed. Who is
// signed in is not data.
func (s *Session) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ch := range s.edit() {
		if ch != nil {
			ch.clearData()
		}
	}
}

// Flush clears data and flash. It sends nothing: that is http.Flusher's Flush. The session
// stays, empty, and who is signed in stays so; to end it, call Destroy or Logout.
func (s *Session) Flush() {
	s.Reset()
	s.ResetFlash()
}

// Regenerate gives the session a new token: same data, and both limits start anew; but somebody
// who is signed in stays so no longer than before: only Login starts that lifetime anew (ASVS
// 7.3.2). Call it at every change of privilege, and at every sign-in that is not by Login, so that a token somebody planted or saw before opens
// nothing (ASVS 7.2.4). The old token ends when the request is committed.
func (s *Session) Regenerate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.regenerate()
}

// regenerate reports whether the session will get a new token.
func (s *Session) regenerate() bool {
	s.open()
	if s.committed || s.closed {
		s.q.refused.Store(true)
		s.refuse("regenerate")
		return false
	}
	s.rotate = true
	return true
}

// Remember is Regenerate with other limits: the session ends d from now and idles after d, at
// most 400 days. They outlive Regenerate. 0 goes back to those of the configuration. A d below
// 0 or over 400 days fails the request when it is committed.
func (s *Session) Remember(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d < 0 || d > maxLifetime {
		s.reject(fmt.Errorf("session: remember for %v: choose 0 to 400 days (RFC 6265bis, section 5.5)", d))
		return
	}
	if preset, ok := s.q.m.cfg.Limits.limits(); ok && d > preset.Lifetime {
		s.reject(fmt.Errorf("session: remember for %v: Config.Limits %s allows %v", d, s.q.m.cfg.Limits, preset.Lifetime))
		return
	}
	limits := s.src.limits
	if d > 0 {
		limits = Limits{Lifetime: d, Idle: d, Remembered: true}
	}
	if s.regenerate() {
		s.limits = &limits
	}
}

// Destroy ends the session: data, flash and token are gone when the request is committed. What
// is set afterwards starts a new session.
func (s *Session) Destroy() { s.end(EndedByDestroy) }

func (s *Session) end(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		s.late("destroy")
		return
	}
	s.q.touched.Store(true)
	x := s.extra()
	x.doomed = append(x.doomed, s.tokens()...)
	if x.copied != nil {
		x.doomed = append(x.doomed, x.copied.token)
	}
	x.gone, x.now, x.looked, x.copied = true, nil, nil, nil
	x.reason = reason
	if s.settle(); s.base != nil {
		x.left = s.base
	}
	s.opened, s.login, s.described = true, false, false
	s.rec, s.base, s.view, s.todo, s.sent, s.saved, s.tok = nil, nil, nil, nil, nil, nil, nil
	s.shared, s.rotate, s.limits, s.dead = false, false, nil, false
}

// tokens returns the token of the session, or those that came where it was not opened: a
// sign-out does not need to know which of them lives.
func (s *Session) tokens() []Token {
	if s.tok != nil {
		return []Token{*s.tok}
	}
	if s.opened && !s.dead && s.anonymous == nil {
		return nil
	}
	return s.presented()
}

// Using returns the same client's session on another named driver. Its changes are committed
// with this one's. An unknown name is an ErrUnknownDriver that lists the names.
func (s *Session) Using(driver string) (*Session, error) { return s.q.using(driver) }

// Open loads the session now. It returns an ErrUnavailable when the store cannot be reached,
// and ErrEnded when the session ended while this request was under way, so that nothing of it
// will be stored. Middleware that guards side effects should call it.
func (s *Session) Open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	if s.failed != nil {
		return s.failed
	}
	if s.anonymous != nil {
		return s.anonymous
	}
	if s.dead {
		return ErrEnded
	}
	return nil
}

// Save stores what is unsaved now, in a handler that goes on for long, as often as it is
// called. A nil error means stored; ErrNoSession that the session ended meanwhile, and a stream
// should stop; ErrLateChange that storing needs a cookie and the header has gone. Flash does
// not age. Where nothing is unsaved, the call counts as use. After an ErrUnavailable the
// changes are kept and go with the next Save or the commit, each of them once.
func (s *Session) Save() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	switch {
	case s.failed != nil:
		return s.failed
	case s.anonymous != nil:
		return s.anonymous
	case s.bad != nil:
		return s.bad
	case s.dead && !s.rotate:
		return ErrEnded
	case s.closed || s.tooLate || s.q.refused.Load():
		return ErrLateChange
	}
	return s.saveNow()
}

// Err returns the first thing that went wrong with this session, nil where nothing has.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// IsNew reports whether no record came with this request.
func (s *Session) IsNew() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	return !s.came
}

// CreatedAt returns when the session was created or last regenerated, zero before it is stored.
func (s *Session) CreatedAt() time.Time {
	if rec := s.stored(); rec != nil {
		return rec.CreatedAt()
	}
	return time.Time{}
}

// ExpiresAt returns when the session ends if nothing opens it again, zero before it is stored.
func (s *Session) ExpiresAt() time.Time {
	if rec := s.stored(); rec != nil {
		return rec.ExpiresAt()
	}
	return time.Time{}
}

// Handle names the session in logs and lists, "" before it is stored. It tells nothing about
// the token, and changes with it.
func (s *Session) Handle() string {
	if rec := s.stored(); rec != nil {
		return handleOf(rec.head.id)
	}
	return ""
}

// stored returns the record as it was last saved.
func (s *Session) stored() *Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	s.settle()
	return s.base
}

// lookup returns the encoded value under a key: FlashNow, then live flash, stand in front of
// data.
func (s *Session) lookup(key string) (string, bool) {
	s.open()
	if s.extras != nil {
		for i := range s.extras.now {
			if e := &s.extras.now[i]; e.key == key {
				return e.value, true
			}
		}
	}
	if encoded, ok := s.lookupFlash(key); ok {
		return encoded, true
	}
	return s.lookupData(key)
}

// lookupData returns the encoded value of a key's data as this request sees it.
func (s *Session) lookupData(key string) (string, bool) {
	op := s.view.find(key, false)
	if op == nil {
		if s.view != nil && s.view.clear {
			return "", false
		}
		return s.rec.value(key)
	}
	switch op.Kind {
	case OpSet:
		return op.Value, true
	case OpAdd:
		was, ok := s.rec.value(key)
		sum, err := addTo(was, ok, op)
		return encodeInt(sum), err == nil
	}
	return "", false
}

// edit returns the changes that an operation goes into: those that are read, and those that
// are unsaved where these are others. Nil stands for none.
func (s *Session) edit() (into [2]*Changes) {
	s.open()
	if s.closed {
		s.late("change")
		return into
	}
	if s.view == nil {
		s.view = s.newView()
		if s.todo == nil {
			s.todo = s.view
		}
	} else if s.shared {
		s.view, s.shared = s.view.clone(), false
	}
	into[0] = s.view
	if s.committed && (s.q.refused.Load() || s.needsCookie()) {
		if s.todo == s.view {
			s.todo = nil
		}
		s.late("change")
		return into
	}
	if s.todo == nil {
		s.todo = &Changes{flashTTL: s.src.flashTTL}
	}
	if s.todo != s.view {
		into[1] = s.todo
	}
	return into
}

// newView returns changes without any. The first ones of the default driver's session have room
// in the arrival.
func (s *Session) newView() *Changes {
	a := s.q.arrival
	if s != &a.room || a.request.changed {
		return &Changes{flashTTL: s.src.flashTTL}
	}
	a.request.changed, a.changes.flashTTL = true, s.src.flashTTL
	return &a.changes
}

// needsCookie reports whether storing a change needs a Set-Cookie line.
func (s *Session) needsCookie() bool {
	return s.src.sealed || (s.tok == nil && !s.src.byIP)
}

func (s *Session) encode(op, key string, value any) (string, bool) {
	if !s.checkKey(op, key) {
		return "", false
	}
	encoded, err := encodeValue(s.q.m.codec(), value)
	if err != nil {
		s.open()
		s.reject(&valueError{op: op, key: key, reason: fmt.Sprintf("a %T cannot be stored: %v", value, err)})
		return "", false
	}
	return encoded, true
}

func (s *Session) checkKey(op, key string) bool {
	if len(key) > 0 && len(key) <= maxKey {
		return true
	}
	s.open()
	s.reject(&valueError{op: op, key: key, reason: fmt.Sprintf("%s, this one has %d", keyReason, len(key))})
	return false
}

// reject makes the request fail when it is committed.
func (s *Session) reject(err error) {
	s.q.touched.Store(true)
	if s.bad == nil {
		s.bad = err
	}
	s.note(err)
	if s.committed {
		s.q.m.log.refused(s.src, err)
	}
}

// note keeps the first thing that went wrong.
func (s *Session) note(err error) {
	if s.err == nil {
		s.err = err
	}
}

func (s *Session) late(op string) {
	s.tooLate = true
	s.note(fmt.Errorf("%w (%s)", ErrLateChange, op))
	s.q.m.stats.late.Add(1)
	s.q.m.log.late(s.src, op)
	s.event(EventLateChange, s.base)
}

func (s *Session) unreadable(key, encoded string, err error) {
	s.note(err)
	s.q.m.stats.unreadable.Add(1)
	s.q.m.log.unreadable(s.src, key, kindOf(encoded), err)
}

// FromContext returns the session of the innermost manager's middleware. It does no I/O. It
// panics where no middleware ran, since every request would fail then; Lookup does not.
func FromContext(ctx context.Context) *Session {
	if s, ok := Lookup(ctx); ok {
		return s
	}
	panic("session: FromContext: no session in the context; wrap the handler with Manager.Middleware")
}

// FromRequest returns FromContext(r.Context()).
func FromRequest(r *http.Request) *Session { return FromContext(r.Context()) }

// Lookup is FromContext for code that also runs without the middleware: ok says whether it ran.
func Lookup(ctx context.Context) (s *Session, ok bool) {
	if q := requestIn(ctx); q != nil {
		return q.session(), true
	}
	return nil, false
}

// isGone reports whether an error says that there is no live session.
func isGone(err error) bool { return errors.Is(err, ErrNoSession) }
