package paths_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A statusWriter is the writer of an outer middleware, which may still answer after the handler has
// returned. Those of echo, gin and chi have an Unwrap method like it.
type statusWriter struct {
	http.ResponseWriter
	wrote bool
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Written reports whether a header was sent, like that of gin's writer.
func (w *statusWriter) Written() bool { return w.wrote }

func (w *statusWriter) WriteHeader(status int) {
	w.wrote = true
	w.ResponseWriter.WriteHeader(status)
}

// notFound answers 404 if the handler has answered nothing, as echo does when a handler returns
// NewHTTPError(404) from behind WrapMiddleware.
func notFound(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sw := &statusWriter{ResponseWriter: w}
		next.ServeHTTP(sw, r)
		if !sw.wrote {
			w.WriteHeader(http.StatusNotFound)
		}
	})
}

// timeout answers 504 if the handler has given up at the deadline, as chi's Timeout does. It wraps no
// writer.
func timeout(d time.Duration) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), d)
			defer cancel()
			defer func() {
				if errors.Is(ctx.Err(), context.DeadlineExceeded) {
					w.WriteHeader(http.StatusGatewayTimeout)
				}
			}()
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

// likeEcho is WrapMiddleware of echo: the error of a handler is answered after the middleware has
// returned, by the writer that the handler got.
func likeEcho(m *session.Manager) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sw := &statusWriter{ResponseWriter: w}
			given := http.ResponseWriter(sw)
			m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				given = w
				next.ServeHTTP(w, r)
			})).ServeHTTP(sw, r)
			if !sw.wrote {
				given.WriteHeader(http.StatusNotFound)
			}
		})
	}
}

// A message that nobody has seen must be there on the next page.
func TestHandlerThatReturnsSilentlyExpiresNoFlashIfSomebodyElseAnswers(t *testing.T) {
	type middleware = func(http.Handler) http.Handler
	for _, test := range []struct {
		name   string
		under  func(m, other *session.Manager) middleware
		wait   bool // the handler waits for the end of its context
		status int
		kept   bool
	}{
		{name: "nobody else", status: http.StatusOK,
			under: func(m, _ *session.Manager) middleware { return m.Middleware }},
		{name: "a wrapper", status: http.StatusNotFound, kept: true,
			under: func(m, _ *session.Manager) middleware { return compose(notFound, m.Middleware) }},
		{name: "echo", status: http.StatusNotFound, kept: true,
			under: func(m, _ *session.Manager) middleware { return likeEcho(m) }},
		{name: "a time-out", wait: true, status: http.StatusGatewayTimeout, kept: true,
			under: func(m, _ *session.Manager) middleware { return compose(timeout(50*time.Millisecond), m.Middleware) }},
		{name: "a time-out that does not come", status: http.StatusOK,
			under: func(m, _ *session.Manager) middleware { return compose(timeout(time.Minute), m.Middleware) }},
		{name: "another manager", status: http.StatusOK,
			under: func(m, other *session.Manager) middleware { return compose(other.Middleware, m.Middleware) }},
		{name: "a wrapper around another manager", status: http.StatusNotFound, kept: true,
			under: func(m, other *session.Manager) middleware {
				return compose(notFound, compose(other.Middleware, m.Middleware))
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
				around := kit.DriverConfig(t, "memory")
				around.CookieAttributes.Prefix = "around_"
				v := newEndpoint(t, "HTTP1", test.under(kit.NewManager(t, cfg), kit.NewManager(t, around)))
				v.begin(func(s *session.Session) { s.Flash("message", "saved") })
				e := v.serve(func(_ http.ResponseWriter, r *http.Request) {
					s := session.FromRequest(r)
					s.Set("stored", true)
					assert.Equal(t, "saved", s.Get("message"))
					if test.wait {
						<-r.Context().Done()
					}
				})
				require.Equal(t, test.status, e.status())
				want := map[string]any{"stored": true}
				if test.kept {
					want["message"] = "saved"
				}
				assert.Equal(t, want, v.found())
			})
		})
	}
}

func compose(outer, inner func(http.Handler) http.Handler) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler { return outer(inner(next)) }
}

// An adapter that leaves a framework its own writer sends the response past the commit.
func TestResponseSentByAnotherWriterIsReported(t *testing.T) {
	for _, test := range []struct {
		name  string
		begun bool
		do    func(s *session.Session)
		keys  string         // as logged
		found map[string]any // by the next request
	}{
		{name: "a new session", do: func(s *session.Session) { s.Set("cart", 1) }, keys: "[cart]", found: map[string]any{}},
		{name: "a change", begun: true, do: func(s *session.Session) { s.Set("cart", 1) }, keys: "[]",
			found: map[string]any{"before": "b", "cart": 1}},
		{name: "a new token", begun: true, do: func(s *session.Session) { s.Regenerate(); s.Set("cart", 1) }, keys: "[cart]",
			found: map[string]any{"before": "b"}},
		{name: "a read", begun: true, do: readsBefore, keys: "[]", found: map[string]any{"before": "b"}},
		{name: "a value that cannot be encoded", begun: true, do: func(s *session.Session) { s.Set("cart", make(chan int)) },
			keys: "[]", found: map[string]any{"before": "b"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := kit.DriverConfig(t, "memory")
			log := kit.CaptureLog(&cfg)
			m := kit.NewManager(t, cfg)
			past := func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					own := &statusWriter{ResponseWriter: w}
					m.Middleware(http.HandlerFunc(func(given http.ResponseWriter, r *http.Request) {
						if r.URL.Path != "/past" {
							next.ServeHTTP(given, r)
							return
						}
						test.do(session.FromRequest(r))
						own.WriteHeader(http.StatusAccepted)
					})).ServeHTTP(own, r)
				})
			}
			v := kit.NewBrowser(t, past(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/begin" {
					session.FromRequest(r).Set("before", "b")
					return
				}
				w.Header().Set("Content-Type", "application/json")
				json.NewEncoder(w).Encode(session.FromRequest(r).All())
			})))
			if test.begun {
				v.Get("/begin")
			}
			require.Empty(t, log.Text())
			p := v.Get("/past")
			assert.Equal(t, http.StatusAccepted, p.StatusCode)
			assert.Empty(t, p.Cookies())
			assert.Contains(t, log.Text(), "sent by another writer")
			assert.Contains(t, log.Text(), "path=/past driver=memory keys="+test.keys)
			assert.EqualValues(t, 1, m.Stats().LateChanges)
			want, err := json.Marshal(test.found)
			require.NoError(t, err)
			assert.JSONEq(t, string(want), v.Get("/found").Body)
		})
	}
}
