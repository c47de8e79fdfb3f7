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
// The session is that of a memory manager of its own. It came with the values; with none it is
// that of a visitor, who has no session yet. What a handler does to it is seen at once by
// whoever asks the context: values, and flash too, which does not age here.
//
// The context stands for one request whose header has not left: a handler's recorder does not
// commit it. What is decided at commit, such as the new token of a Regenerate, comes with
// [session.Session.Save] or not at all, and there are no cookies to look at. The request is
// committed when the test ends. Where that fails, as with a value that cannot be encoded, so
// does the test. For what the browser gets, and for several requests, use [Client].
//
// FromContext, FromRequest, Lookup, typed keys and Templates find the session, and Using finds
// the memory and the cookie driver. A manager's own FromContext does not: it is another's.
// Several goroutines may use the context.
func Context(t testing.TB, values map[string]any) context.Context {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	m, err := session.NewManager(session.Config{
		Default: "memory",
		Secret:  session.NewSecret(),
		// A handler may have a manager of its own inside, and no browser asks over plain HTTP.
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
	for _, c := range cookiesWith(m, r, values) {
		r.AddCookie(c)
	}
	return live(t, m, r)
}

// cookiesWith stores the values in a new session, and returns what a browser would send then.
func cookiesWith(m *session.Manager, r *http.Request, values map[string]any) []*http.Cookie {
	w := httptest.NewRecorder()
	m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for key, value := range values {
			session.FromRequest(r).Set(key, value)
		}
	})).ServeHTTP(w, r)
	return w.Result().Cookies()
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
