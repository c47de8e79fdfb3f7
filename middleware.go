package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"

	"example.com/session/internal/cookie"
	"example.com/session/internal/response"
)

// Middleware returns a handler that gives each request a Session and calls next. It commits the
// session just before the first byte of the response header leaves. A nested middleware of the same
// manager has no effect. The middleware of two managers gives a request two sessions.
func (m *Manager) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.serve(next, w, r) })
}

func (m *Manager) serve(next http.Handler, w http.ResponseWriter, r *http.Request) {
	if m.cfg.Skip != nil && m.cfg.Skip(r) {
		next.ServeHTTP(w, r)
		return
	}
	ctx := r.Context()
	outer := stateIn(ctx)
	if outer.of(m) != nil {
		next.ServeHTTP(w, r)
		return
	}
	cookies := r.Header["Cookie"]
	state := &requestState{
		Context: ctx, manager: m, outer: outer, incoming: r, cookies: cookies, hinted: cookie.HasSuffix(cookies, hintSuffix),
		entered: m.now().UnixNano(),
	}
	state.self = state
	state.handed = *r.WithContext(requestContext{&state.self}) // the compiler keeps the copy in between on the stack
	state.writer.Begin(w, state)
	state.serve(next)
}

func (r *requestState) serve(next http.Handler) {
	if r.outer != nil {
		if err := r.checkCookieName(r.manager.main.cookie); err != nil {
			r.writer.Fail(err)
			return
		}
		r.outer.enclose(r)
	}
	returned := false
	defer r.panicked(&returned)
	next.ServeHTTP(r.writer.Wrapped(), &r.handed)
	r.finish()
	returned = true
}

// carryBack copies what the handler has set in its copy of the request back to the incoming
// request. So net/http removes the files of a parsed form, and outer middleware sees the pattern
// that matched.
func (r *requestState) carryBack() {
	var few [2]*Session
	sessions := r.lockSessions(few[:0]) // they look at the incoming request
	defer unlock(sessions)
	*r.incoming = *r.handed.WithContext(r.Context)
}

// finish ends a request whose handler has returned: it commits if nothing was written, and saves
// what came after the header if that needs no cookie.
func (r *requestState) finish() {
	r.carryBack()
	switch {
	case r.writer.Committed():
	case response.WasSent(r.writer.Inner()):
		r.bypassed()
	default:
		r.noHandler = response.OthersMayAnswer(r.writer.Inner()) || r.Context.Err() != nil
		r.writer.Commit(http.StatusOK)
	}
	switch {
	case r.writer.Err() == nil:
		r.close(true)
	case r.writer.HasAnswered():
		r.close(false)
	default:
		panic(http.ErrAbortHandler) // as Config.ErrorHandler did, and somebody has recovered
	}
}

// panicked lets a panic of the handler go on. Nothing is stored that was not saved before, but the
// header is prepared for whoever sends it further out. One case ends here: an error answer is
// complete, and a handler that then aborts the connection, as a reverse proxy does, would only tear it
// up. It must be deferred itself to recover.
func (r *requestState) panicked(returned *bool) {
	if *returned {
		return
	}
	r.carryBack()
	r.close(false)
	if !r.writer.Committed() { // a recovery middleware, or one that compresses, may still send the header
		var few [2]*Session
		sessions := r.lockSessions(few[:0])
		r.writeHeader(sessions, true)
		unlock(sessions)
		r.writer.Release()
	}
	if !r.writer.HasAnswered() {
		return
	}
	if v := recover(); v != nil && v != http.ErrAbortHandler {
		panic(v)
	}
}

// close ends the sessions of a request. If it is to store what came after the header, it does so
// under the same lock: no change slips through between the two, neither stored nor reported.
func (r *requestState) close(store bool) {
	r.advance(phaseClosed)
	if !r.used.Load() {
		return
	}
	var few [2]*Session
	for _, s := range r.sessions(few[:0]) {
		s.mu.Lock()
		if store {
			s.saveLate()
		}
		s.signInFailed(s.lateError())
		s.mu.Unlock()
	}
}

// ErrorAnswer says how the error answer is made. It implements response.Hooks.
func (r *requestState) ErrorAnswer(err error) response.ErrorAnswer {
	m := r.manager
	m.failed.Add(1)
	if !errors.Is(err, ErrUnavailable) { // that is logged once for an outage
		m.log.requestFailed(&r.handed, err)
	}
	answer := response.ErrorAnswer{
		Request: &r.handed, Handler: m.cfg.ErrorHandler, Status: http.StatusInternalServerError,
		Panicked: func(v any) {
			m.log.logger.LogAttrs(r.Context, slog.LevelError, "session: Config.ErrorHandler panicked",
				slog.String("panic", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))
		},
	}
	switch {
	case errors.Is(err, ErrTooManySessions):
		answer.Status = http.StatusForbidden
	case errors.Is(err, ErrUnavailable):
		answer.Status = http.StatusServiceUnavailable
		switch r.handed.Method {
		case http.MethodGet, http.MethodHead, http.MethodOptions:
			answer.RetryAfter = 1 // the outcome of a save is unknown: only safe methods may be repeated
		}
	}
	return answer
}

// SetCookies removes this request's session cookies from a header, and adds those of what was
// saved. It implements response.Hooks.
func (r *requestState) SetCookies(h http.Header) {
	for _, s := range r.sessions(nil) {
		cookie.Drop(h, s.source.ownsCookie)
		s.mu.Lock()
		if s.wasSaved() {
			s.writeCookies(h)
		}
		s.mu.Unlock()
	}
}

// RequireUser serves next to requests of a user who is signed in, and otherwise to all others, also
// to those whose session Config.LockAfter has locked. If the session cannot be loaded, the client
// gets the error answer. RequireUser includes Middleware, and may also be nested inside it.
func (m *Manager) RequireUser(next, otherwise http.Handler) http.Handler {
	return m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := m.FromContext(r.Context())
		if !s.mustLoad() {
			return // the commit sends the error answer
		}
		if _, ok := s.User(); ok {
			next.ServeHTTP(w, r)
		} else {
			otherwise.ServeHTTP(w, r)
		}
	}))
}

// FromContext returns the session of the innermost manager's middleware. It does no I/O. It panics
// if no middleware ran, because every request would fail then; Lookup does not.
func FromContext(ctx context.Context) *Session {
	if s, ok := Lookup(ctx); ok {
		return s
	}
	panic("session: FromContext: " + whyNoSession(ctx))
}

// whyNoSession says what to do about a context without a session. The contexts of frameworks do not
// lead to that of the request.
func whyNoSession(ctx context.Context) string {
	switch name := fmt.Sprintf("%T", ctx); name {
	case "*gin.Context":
		return "a *gin.Context does not lead to the session; pass c.Request.Context(), " +
			"and wrap the engine with Manager.Middleware"
	case "*fasthttp.RequestCtx", "*fiber.DefaultCtx":
		return "a " + name + " never has a session; Manager.Middleware needs handlers of net/http"
	}
	return "no session in the context; wrap the handler with Manager.Middleware"
}

// FromRequest returns FromContext(r.Context()).
func FromRequest(r *http.Request) *Session { return FromContext(r.Context()) }

// Lookup is FromContext for code that also runs without the middleware. ok reports whether the
// middleware ran.
func Lookup(ctx context.Context) (s *Session, ok bool) {
	if r := stateIn(ctx); r != nil {
		return r.session(), true
	}
	return nil, false
}
