package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// underWay is how long after a session's death a request that presents its token may have
// entered for its changes to be dropped: the browser sent it before it knew. A later one counts
// as a request without a cookie.
const underWay = 5 * time.Second

type contextKey struct{ name string }

// requestKey is a pointer, so that looking it up in a context compares two words.
var requestKey = &contextKey{"session request"}

// An arrival is what the middleware adds to one request, all in one allocation: the context with
// the response writer, the copy of the request that carries the context to the handler, and room
// for the default driver's session and its changes. Apart, which takes five allocations, a request
// that reads its session takes 1.2x as long.
type arrival struct {
	request request
	passed  http.Request // what the handler gets
	room    Session
	changes Changes   // the room's, once: see newView
	fields  [2]string // values of the response's Vary and Cache-Control
}

// A request is the context that the handler gets, and the state that the request's sessions
// share. It keeps a pointer to the rest of the arrival, which fmt does not follow to the cookies
// in the copy.
type request struct {
	context.Context // the request's own

	m        *Manager
	arrival  *arrival // that this is part of
	outer    *request // of the manager whose middleware is wrapped around this one's
	original *http.Request
	entered  int64 // in nanoseconds since 1970
	ticks    int64 // of the monotonic clock, then
	writer   responseWriter

	mu     sync.Mutex
	main   *Session    // of the default driver: the arrival's room, once it was asked for
	others *[]*Session // of other drivers
	inner  *request    // the last one of another manager inside this one
	older  *request    // the one before this one inside outer, guarded by outer.mu

	touched   atomic.Bool // some session was opened, changed or destroyed
	refused   atomic.Bool // a Regenerate came too late: nothing of the request is stored any more
	changed   bool        // the arrival's changes are taken; guarded by the session's lock
	aging     bool        // flash ends with the response
	committed bool        // the header has gone; guarded by mu, and so is closed
	closed    bool        // the handler has returned
	hinted    bool        // a cookie may have come that says that flash is pending
}

// enter notes when the request came.
func (q *request) enter(now time.Time) {
	q.entered, q.ticks = now.UnixNano(), int64(now.Sub(processStart))
}

// processStart is what the monotonic clock is read against.
var processStart = time.Now()

// now returns the time. Within a second of the request's entry it is worked out from the monotonic
// clock alone, which takes half as long to read: 4 % of a request that reads and writes. What is
// under way for longer asks the wall clock, which may have been set meanwhile.
func (q *request) now() time.Time {
	if q.m.clock != nil {
		return q.m.clock()
	}
	elapsed := int64(time.Since(processStart)) - q.ticks
	if elapsed < 0 || elapsed > int64(time.Second) {
		return time.Now()
	}
	return time.Unix(0, q.entered+elapsed)
}

// Value returns the request itself under requestKey.
func (q *request) Value(key any) any {
	if key == requestKey {
		return q
	}
	return q.Context.Value(key)
}

// String keeps what prints a context from walking into it.
func (q *request) String() string { return "session.request" }

func requestIn(ctx context.Context) *request {
	q, _ := ctx.Value(requestKey).(*request)
	return q
}

// under returns the request of manager m, in which q may be nested.
func (q *request) under(m *Manager) *request {
	for ; q != nil && q.m != m; q = q.outer {
	}
	return q
}

// Middleware gives each request that next serves a Session, and commits it just before the
// first byte of the response header leaves. Nested inside itself it is one session and one
// commit; the middleware of another manager is a session of its own.
func (m *Manager) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.serve(next, w, r) })
}

func (m *Manager) serve(next http.Handler, w http.ResponseWriter, r *http.Request) {
	if m.cfg.Skip != nil && m.cfg.Skip(r) {
		next.ServeHTTP(w, r)
		return
	}
	ctx := r.Context()
	outer := requestIn(ctx)
	if outer.under(m) != nil {
		next.ServeHTTP(w, r)
		return
	}
	a := new(arrival)
	q := &a.request
	q.Context, q.m, q.arrival, q.outer, q.original = ctx, m, a, outer, r
	q.enter(m.now())
	a.passed = *r.WithContext(q) // the compiler keeps the copy in between on the stack
	q.writer.begin(w, q)
	q.serve(next, &a.passed)
}

func (q *request) serve(next http.Handler, r *http.Request) {
	if q.outer != nil {
		if err := q.conflict(q.m.main); err != nil {
			q.writer.fail(err)
			return
		}
		q.outer.enclose(q)
	}
	returned := false
	defer q.panicked(&returned)
	next.ServeHTTP(q.writer.wrapped(), r)
	q.finish()
	returned = true
}

// panicked, which must be deferred itself to recover, lets a panic go on; nothing is stored that
// was not saved before. One case ends here: the answer to a failed commit is whole, and a handler
// that then aborts (a reverse proxy does when it cannot copy a body) would only tear it up.
func (q *request) panicked(returned *bool) {
	if *returned {
		return
	}
	q.close(false)
	if !q.writer.hasAnswered() {
		return
	}
	if v := recover(); v != nil && v != http.ErrAbortHandler {
		panic(v)
	}
}

// finish ends a request whose handler has returned: it commits where no byte was written, and
// saves what came after the header where that needs no cookie.
func (q *request) finish() {
	if !q.writer.committed {
		q.writer.commit(http.StatusOK)
	}
	switch {
	case q.writer.err() == nil:
		q.close(true)
		return
	case !q.writer.hasAnswered():
		panic(http.ErrAbortHandler) // as the ErrorHandler did; somebody has recovered it
	}
	q.close(false)
}

// close ends the sessions of a request. Asked to, it first stores what came after the header,
// under the same lock: no change slips through between the two, neither stored nor reported.
func (q *request) close(saving bool) {
	var room [usualSessions]*Session
	for _, s := range q.end(room[:0], true) {
		s.close(saving)
	}
}

func (s *Session) close(saving bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if saving && s.bad == nil && s.failed == nil {
		s.storeLate()
	}
	s.closed, s.committed = true, true
}

// usualSessions is how many sessions nearly every request has at the most.
const usualSessions = 2

// sessions appends the sessions of this request to room, the default driver's first. With room
// for the usual number on the stack it allocates nothing.
func (q *request) sessions(room []*Session) []*Session {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.main != nil {
		room = append(room, q.main)
	}
	return q.withOthers(room)
}

// end is sessions, of which those that are made from now on know that the header has gone or
// that the handler has returned.
func (q *request) end(room []*Session, closed bool) []*Session {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.committed, q.closed = true, q.closed || closed
	if q.main != nil {
		room = append(room, q.main)
	}
	return q.withOthers(room)
}

func (q *request) withOthers(room []*Session) []*Session {
	if q.others == nil {
		return room
	}
	return append(room, *q.others...)
}

// session returns the session of the default driver.
func (q *request) session() *Session {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.main == nil {
		q.main = q.begin(&q.arrival.room, q.m.main)
	}
	return q.main
}

// begin makes s, a zero Session, one that is not opened. q.mu is held.
func (q *request) begin(s *Session, src *source) *Session {
	s.q, s.src, s.committed, s.closed = q, src, q.committed, q.closed
	return s
}

// using returns the session of a named driver.
func (q *request) using(name string) (*Session, error) {
	src, err := q.m.source(name)
	if err != nil {
		return nil, err
	}
	if src == q.m.main {
		return q.session(), nil
	}
	if err := q.conflict(src); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.others == nil {
		q.others = new([]*Session)
	}
	for _, s := range *q.others {
		if s.src == src {
			return s, nil
		}
	}
	s := q.begin(new(Session), src)
	*q.others = append(*q.others, s)
	return s, nil
}

// enclose notes that another manager's middleware runs inside this one's.
func (q *request) enclose(inner *request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	inner.older, q.inner = q.inner, inner
}

// conflict reports that a manager further out or further in has a session of the same cookie:
// each would overwrite the other's.
func (q *request) conflict(src *source) error {
	taken := q.takenInside(src.cookie)
	for outer := q.outer; outer != nil && !taken; outer = outer.outer {
		taken = outer.has(src.cookie)
	}
	if !taken {
		return nil
	}
	return &configError{fmt.Errorf("two managers use the cookie %q in one request: "+
		"give one of them another CookieAttributes.Prefix", src.cookie)}
}

func (q *request) takenInside(cookie string) bool {
	q.mu.Lock()
	inner := q.inner
	q.mu.Unlock()
	for ; inner != nil; inner = inner.older {
		if inner.has(cookie) || inner.takenInside(cookie) {
			return true
		}
	}
	return false
}

// has reports whether a cookie is that of a session of this request, or of its default driver.
func (q *request) has(cookie string) bool {
	return q.m.main.cookie == cookie || slices.ContainsFunc(q.sessions(nil), func(s *Session) bool { return s.src.cookie == cookie })
}

// presented returns the tokens that came with the request.
func (s *Session) presented() []Token {
	if s.src.byIP {
		if tok, err := s.addressToken(); err == nil {
			return []Token{tok}
		}
		return nil
	}
	found := findCookie(s.q.original.Header, s.src.cookie)
	tokens := make([]Token, 0, found.n)
	for _, value := range found.values[:found.n] {
		tokens = append(tokens, Token{scope: s.src.cookie, value: value})
	}
	return tokens
}

// addressToken is the identity of a client under ByClientIP. A header says nothing about it:
// anybody can send one.
func (s *Session) addressToken() (Token, error) {
	r := s.q.original
	var address string
	if clientIP := s.q.m.cfg.ClientIP; clientIP != nil {
		address = clientIP(r)
	} else if r.Header["Forwarded"] != nil || r.Header["X-Forwarded-For"] != nil {
		return Token{}, &configError{errors.New("by_client_ip behind a proxy needs Config.ClientIP, " +
			"which says whose address counts")}
	} else if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		address = host
	}
	if address == "" {
		return Token{}, &configError{errors.New("by_client_ip: the request has no client address")}
	}
	return Token{scope: s.src.cookie, value: strings.ToLower(address)}, nil
}

// open loads the session, once. s.mu is held.
func (s *Session) open() {
	if s.opened {
		return
	}
	s.opened = true
	s.q.touched.Store(true)
	if !s.src.used.Load() { // all requests share it: a write takes it from the other processors
		s.src.used.Store(true)
	}
	s.loaded = s.q.now()
	if err := s.load(); err != nil {
		s.note(err)
		if s.q.allowsAnonymous(err) {
			s.adopt(nil)
			s.anonymous = err
			return
		}
		s.failed = err
	} else if s.dead {
		s.note(ErrEnded)
	}
}

// allowsAnonymous reports whether the request may do without a session that err keeps from it.
func (q *request) allowsAnonymous(err error) bool {
	allow := q.m.cfg.AllowAnonymous
	return allow != nil && errors.Is(err, ErrUnavailable) && allow(q.original)
}

func (s *Session) load() error {
	if s.q.m.closed.Load() {
		return unavailable("load", ErrClosed)
	}
	if s.src.byIP {
		tok, err := s.addressToken()
		if err != nil {
			return err
		}
		_, err = s.tryToken(tok)
		return err
	}
	found := findCookie(s.q.original.Header, s.src.cookie)
	if found.n == 1 { // nearly every request
		_, err := s.tryToken(Token{scope: s.src.cookie, value: found.values[0]})
		return err
	}
	if found.n > 0 || found.tooMany {
		return s.loadOneOf(found)
	}
	return nil
}

// loadOneOf chooses among several different cookies of one name. Order says nothing about whose
// they are (RFC 6265bis, section 8.6): the only live one is used, and several live ones count
// as none.
func (s *Session) loadOneOf(found cookieValues) error {
	s.extra().doubles = true
	live := 0
	var rec *Record
	for _, value := range found.values[:found.n] {
		if found.tooMany {
			break
		}
		isLive, err := s.tryToken(Token{scope: s.src.cookie, value: value})
		if err != nil {
			return err
		}
		if isLive {
			live++
			rec = s.rec
		}
	}
	if live == 1 {
		s.adopt(rec)
	} else {
		s.adopt(nil)
	}
	s.dead = s.dead && live == 0
	s.q.m.stats.doubles.Add(1)
	s.q.m.log.doubles(s.src)
	return nil
}

// tryToken loads what a token opens and reports whether it lives.
func (s *Session) tryToken(tok Token) (bool, error) {
	ctx, cancel := s.storeContext()
	defer cancel()
	s.q.m.stats.loads.Add(1)
	op := operation{reading, s.loaded}
	rec, err := s.loadRecord(ctx, tok, s.loaded)
	switch {
	case err == nil:
		s.adopt(rec)
		if rec.first {
			s.event(EventOpened, rec)
		}
		s.q.m.heard(s.src, op, nil)
		return true, nil
	case isGone(err):
		s.q.m.heard(s.src, op, nil)
		s.missing(err)
		return false, nil
	}
	return false, s.q.m.heard(s.src, op, s.sorted("load", err))
}

// loadRecord opens a token, and finds out where a cookie cannot tell whether the session was ended.
func (s *Session) loadRecord(ctx context.Context, tok Token, now time.Time) (*Record, error) {
	rec, err := s.src.driver.Load(ctx, tok, now)
	if err != nil || rec.account == "" {
		return rec, err
	}
	if user, _ := accountOf(rec, nil); user == "" {
		return rec, nil
	}
	if !s.src.accounts.Load() {
		s.src.accounts.Store(true)
	}
	if s.src.guard != nil {
		if err := s.src.guard.check(ctx, rec.head.id, now); err != nil {
			return nil, err
		}
	}
	return rec, nil
}

func (s *Session) adopt(rec *Record) {
	s.rec, s.base, s.came, s.tok = rec, rec, rec != nil, nil
	if rec != nil {
		s.tok = &rec.token
		s.lifeEnds, s.lasting = rec.head.created+rec.head.lifetime, rec.head.remembered
	}
}

// missing notes why a token opened nothing.
func (s *Session) missing(err error) {
	var ended *EndedError
	var expired *expiredError
	switch {
	case errors.Is(err, errNotOurs):
		s.extra().unusable = true
		s.q.m.stats.tampered.Add(1)
		s.q.m.log.tampered(s.src)
		s.event(EventTampered, nil)
	case errors.As(err, &ended):
		s.dead = s.dead || s.q.entered < ended.At.Add(underWay).UnixNano()
	case errors.Is(err, ErrEnded):
		s.dead = true // the driver cannot say when
	case errors.As(err, &expired):
		s.q.m.stats.unknown.Add(1)
		s.event(expired.kind(), expired.rec)
	default:
		s.q.m.stats.unknown.Add(1)
		s.event(EventUnknown, nil)
	}
}

// sorted makes of a driver's error what a commit and an ErrorHandler tell apart.
func (s *Session) sorted(op string, err error) error {
	return sortError(op+" with driver "+s.src.name, err)
}

func sortError(op string, err error) error {
	var value *valueError
	var size *SizeError
	var config *configError
	if errors.As(err, &value) || errors.As(err, &size) || errors.As(err, &config) || errors.Is(err, ErrUnavailable) ||
		errors.Is(err, ErrTooManySessions) || errors.Is(err, ErrUnsupported) || isGone(err) {
		return err
	}
	return unavailable(op, err)
}

// storeContext bounds one operation of a driver, all its tries included. A client that hangs
// up does not end it, so what it stored is not lost.
func (s *Session) storeContext() (context.Context, context.CancelFunc) {
	if s.src.local {
		return s.q.Context, func() {}
	}
	return context.WithTimeout(context.WithoutCancel(s.q.Context), s.q.m.cfg.storeTimeout())
}
