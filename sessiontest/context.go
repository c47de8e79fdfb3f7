package sessiontest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"example.com/session"
)

// Context returns a context with a live session in it, for the test of a handler that is called
// as a function:
//
//	ctx := sessiontest.Context(t, map[string]any{"name": "Ann"})
//	save(httptest.NewRecorder(), httptest.NewRequest("POST", "/save", nil).WithContext(ctx))
//	assert.Equal(t, "Saved!", session.FromContext(ctx).Get("success"))
//
// The session holds the values. It belongs to a manager of its own with the memory driver. If
// values is empty, it is the session of a new visitor, and nothing is stored yet. The test sees at
// once what a handler changes, including flash, which does not expire here.
//
// The context stands for one request whose response header has not been sent: writing to the
// recorder of a handler does not commit it. What takes effect at commit, such as the new limits of
// Remember, needs [session.Session.Save]. There are no cookies. The request is committed when the
// test ends. If the commit fails, for example because a value cannot be encoded, the test fails. To
// test cookies, or several requests, use [NewBrowser].
//
// FromContext, FromRequest, Lookup, typed keys and Templates find the session, and Using finds
// those of the memory and the cookie driver. Manager.FromContext of another manager does not find
// it. The context is safe for concurrent use.
func Context(t testing.TB, values map[string]any) context.Context {
	t.Helper()
	return newContext(t, values, func(*session.Session) {})
}

// SignedIn is Context for the session of a user who has just signed in:
//
//	ctx := sessiontest.SignedIn(t, "ann", nil)
//	account(httptest.NewRecorder(), httptest.NewRequest("GET", "/account", nil).WithContext(ctx))
func SignedIn(t testing.TB, user string, values map[string]any) context.Context {
	t.Helper()
	return newContext(t, values, func(s *session.Session) { s.Login(user) })
}

// newContext returns the context of a session that begin was called for, and that then got the values.
func newContext(t testing.TB, values map[string]any, begin func(s *session.Session)) context.Context {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	m, err := session.NewManager(session.Config{
		Default: "memory",
		Secret:  session.NewSecret(),
		// The prefix differs from that of a manager that the handler may have; no browser asks over plain HTTP.
		CookieAttributes: session.CookieAttributes{Prefix: "sessiontest_", Secure: session.SecureAlways},
		Logger:           log,
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) {
			t.Errorf("sessiontest: the request of the context would have failed: %v", err)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	filled := visit(m, r, func(s *session.Session) {
		begin(s)
		for key, value := range values {
			s.Set(key, value)
		}
	})
	for _, c := range filled.Cookies() {
		r.AddCookie(c)
	}
	return live(t, m, r)
}

// visit returns the response to a request whose handler only uses the session.
func visit(m *session.Manager, r *http.Request, use func(s *session.Session)) *http.Response {
	w := httptest.NewRecorder()
	m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		use(session.FromRequest(r))
	})).ServeHTTP(w, r)
	return w.Result()
}

// live returns the context of a request that is under way until the test ends.
func live(t testing.TB, m *session.Manager, r *http.Request) context.Context {
	entered, end, left := make(chan context.Context), make(chan struct{}), make(chan struct{})
	serve := m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		entered <- r.Context()
		<-end
	}))
	go func() {
		defer close(left)
		serve.ServeHTTP(httptest.NewRecorder(), r)
	}()
	t.Cleanup(func() {
		close(end)
		<-left
	})
	return <-entered
}
