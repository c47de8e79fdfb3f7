package session

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.com/session/internal/response"
)

// underWay is how long after its token was replaced, or its session ended, a request may have
// entered the middleware to count as one that the browser sent before it knew.
const underWay = 5 * time.Second

// A phase is how far the response of a request is. It never goes back.
type phase uint32

const (
	phaseOpen      phase = iota // any change is possible
	phaseCommitted              // the header is sent: only changes that need no cookie are stored
	phaseClosed                 // the handler has returned: nothing is stored any more
)

type contextKey struct{ name string }

// requestKey is a pointer, so that finding it in a context compares two words.
var requestKey = &contextKey{"session request"}

// requestState is what one request and one manager share. It is behind the context that the handler
// gets, and it is one allocation together with the copy of the request, the response writer and the
// default driver's session: a request that does not use its session pays for nothing else.
type requestState struct {
	context.Context // of the incoming request

	self     *requestState // for requestContext
	manager  *Manager
	outer    *requestState // of another manager whose middleware is around this one
	incoming *http.Request // as the middleware received it
	cookies  []string      // the Cookie header as the middleware received it
	entered  int64         // the middleware, in nanoseconds since 1970
	writer   response.Writer
	handed   http.Request // what the handler gets
	endedAll atomic.Int64 // when this request last ended all sessions of a user, in nanoseconds; 0: it did not
	phase    atomic.Uint32
	used     atomic.Bool // a session was opened, changed or destroyed
	refused  atomic.Bool // a Regenerate came after the header: no change is stored any more

	// Of the commit. It is written and read by the goroutine that serves the request.
	status    int32
	hinted    bool    // a flash cookie may have come
	shows     showing // see showing
	noHandler bool    // the handler returned without a response, and an outer one may still answer

	mu      sync.Mutex
	hasMain bool          // main was asked for
	main    Session       // of the default driver
	others  []*Session    // of other drivers
	inner   *requestState // the last one of another manager inside this one
	older   *requestState // the one before this one inside outer; guarded by outer.mu
}

// Value returns the state itself under requestKey.
func (r *requestState) Value(key any) any {
	if key == requestKey {
		return r
	}
	return r.Context.Value(key)
}

// A requestContext is the context that the handler gets. If a verb does not fit, as in
// log.Printf("%s", request), fmt also prints what a pointer in an unexported field points to: that
// would be the state, with the values of the session. Here it is a second pointer, which fmt does
// not follow.
type requestContext struct{ state **requestState }

func (c requestContext) Deadline() (time.Time, bool) { return (*c.state).Deadline() }
func (c requestContext) Done() <-chan struct{}       { return (*c.state).Done() }
func (c requestContext) Err() error                  { return (*c.state).Err() }
func (c requestContext) Value(key any) any           { return (*c.state).Value(key) }

// String keeps fmt from printing the contexts around this one and what they hold.
func (c requestContext) String() string { return "session.requestContext" }

// Format is String for every verb.
func (c requestContext) Format(f fmt.State, _ rune) { io.WriteString(f, c.String()) }

// MarshalJSON is String for encoders.
func (c requestContext) MarshalJSON() ([]byte, error) { return json.Marshal(c.String()) }

// stateIn returns the innermost state in a context, nil if no middleware ran.
func stateIn(ctx context.Context) *requestState {
	r, _ := ctx.Value(requestKey).(*requestState)
	return r
}

// of returns the state of a manager, in which r may be nested.
func (r *requestState) of(m *Manager) *requestState {
	for ; r != nil && r.manager != m; r = r.outer {
	}
	return r
}

func (r *requestState) reached(p phase) bool { return phase(r.phase.Load()) >= p }

// advance moves the response to a later phase.
func (r *requestState) advance(p phase) {
	for old := r.phase.Load(); old < uint32(p); old = r.phase.Load() {
		if r.phase.CompareAndSwap(old, uint32(p)) {
			return
		}
	}
}

// session returns the session of the default driver.
func (r *requestState) session() *Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.hasMain {
		r.main.request, r.main.source, r.hasMain = r, r.manager.main, true
	}
	return &r.main
}

// using returns the session of a named driver.
func (r *requestState) using(name string) (*Session, error) {
	src, err := r.manager.source(name)
	if err != nil {
		return nil, err
	}
	if src == r.manager.main {
		return r.session(), nil
	}
	if err := r.checkCookieName(src.cookie); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.others {
		if s.source == src {
			return s, nil
		}
	}
	s := &Session{request: r, source: src}
	r.others = append(r.others, s)
	return s, nil
}

// sessions appends the sessions that were asked for to dst, the default driver's first.
func (r *requestState) sessions(dst []*Session) []*Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hasMain {
		dst = append(dst, &r.main)
	}
	return append(dst, r.others...)
}

// lockSessions locks the sessions that were asked for and appends them to dst.
func (r *requestState) lockSessions(dst []*Session) []*Session {
	dst = r.sessions(dst)
	for _, s := range dst {
		s.mu.Lock()
	}
	return dst
}

func unlock(sessions []*Session) {
	for _, s := range sessions {
		s.mu.Unlock()
	}
}

// enclose notes that the middleware of another manager runs inside this one's.
func (r *requestState) enclose(inner *requestState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	inner.older, r.inner = r.inner, inner
}

// checkCookieName returns an error if a manager further out or further in has a session of the
// same cookie: each would overwrite the other's.
func (r *requestState) checkCookieName(cookie string) error {
	taken := r.takenInside(cookie)
	for outer := r.outer; outer != nil && !taken; outer = outer.outer {
		taken = outer.has(cookie)
	}
	if !taken {
		return nil
	}
	return fmt.Errorf("session: two managers use the cookie %q in one request: "+
		"give one of them another CookieAttributes.Prefix", cookie)
}

func (r *requestState) takenInside(cookie string) bool {
	r.mu.Lock()
	inner := r.inner
	r.mu.Unlock()
	for ; inner != nil; inner = inner.older {
		if inner.has(cookie) || inner.takenInside(cookie) {
			return true
		}
	}
	return false
}

// has reports whether a cookie is that of a session of this request, or of its default driver.
func (r *requestState) has(cookie string) bool {
	return r.manager.main.cookie == cookie || slices.ContainsFunc(r.sessions(nil), func(s *Session) bool {
		return s.source.cookie == cookie
	})
}
