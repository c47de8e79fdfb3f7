package paths_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPanicAfterTheHeaderStoresNothingThatWasNotSaved(t *testing.T) {
	for _, driver := range []string{"memory", "redis"} {
		t.Run(driver, func(t *testing.T) {
			v := newEndpoint(t, "HTTP1", kit.NewManager(t, kit.DriverConfig(t, driver)).Middleware)
			v.begin(seedBefore)
			e := v.serve(func(w http.ResponseWriter, r *http.Request) {
				s := session.FromRequest(r)
				s.Set("early", 1)
				w.WriteHeader(http.StatusAccepted)
				http.NewResponseController(w).Flush()
				s.Set("saved", 1)
				assert.NoError(t, s.Save())
				s.Set("lost", 1)
				panic(http.ErrAbortHandler)
			})
			assert.Error(t, e.err, "the body ends as if it were whole")
			assert.Equal(t, map[string]any{"before": "b", "early": 1, "saved": 1}, v.found())
		})
	}
}

// Middleware that turns panics into pages stands outside or inside. Only inside does its page belong
// to the request of the handler. Outside, it may still have the writer that the handler got.
func TestPanicThatIsRecoveredOutsideStoresNothing(t *testing.T) {
	for name, recovering := range map[string]func(m *session.Manager) func(http.Handler) http.Handler{
		"by its own writer":       func(m *session.Manager) func(http.Handler) http.Handler { return compose(recovering, m.Middleware) },
		"by the handler's writer": recoveringLikeEcho,
	} {
		t.Run(name, func(t *testing.T) {
			kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
				v := newEndpoint(t, "HTTP1", recovering(kit.NewManager(t, cfg)))
				v.begin(func(s *session.Session) { seedBefore(s); s.Flash("message", "saved") })
				e := v.serve(func(w http.ResponseWriter, r *http.Request) {
					session.FromRequest(r).Set("lost", 1)
					session.FromRequest(r).Regenerate()
					panic("a handler's bug")
				})
				assert.Equal(t, http.StatusInternalServerError, e.status())
				assert.Equal(t, "sorry\n", e.body)
				assert.Empty(t, e.response.Cookies())
				assert.Equal(t, map[string]any{"before": "b", "message": "saved"}, v.found())
			})
		})
	}
}

// What Save has stored is safe. A token that was replaced opens nothing any more, so its successor has
// to reach the client although the handler panics.
func TestPanicAfterSaveSendsTheNewCookieThroughTheRecoveryMiddleware(t *testing.T) {
	for name, change := range map[string]func(s *session.Session){
		"login":      func(s *session.Session) { s.Login("ann") },
		"regenerate": func(s *session.Session) { s.Regenerate(); s.Set("user", "ann") },
		"remember":   func(s *session.Session) { s.Remember(24 * time.Hour) },
		"first save": func(s *session.Session) { s.Destroy(); s.Set("user", "ann") },
	} {
		t.Run(name, func(t *testing.T) {
			kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
				for _, protocol := range protocols {
					m := kit.NewManager(t, cfg)
					v := newEndpoint(t, protocol, func(next http.Handler) http.Handler { return recovering(m.Middleware(next)) })
					before := v.begin(seedBefore).cookie("s_" + cfg.Default)
					handle := ""
					e := v.serve(func(w http.ResponseWriter, r *http.Request) {
						s := session.FromRequest(r)
						change(s)
						assert.NoError(t, s.Save())
						handle = s.Handle()
						s.Set("lost", 1)
						panic("a handler's bug")
					})
					assert.Equal(t, http.StatusInternalServerError, e.status())
					cookie := e.cookie("s_" + cfg.Default)
					require.NotNil(t, cookie, "the 500 has no cookie")
					assert.NotEqual(t, before.Value, cookie.Value)
					v.begin(func(s *session.Session) {
						assert.Equal(t, handle, s.Handle())
						assert.False(t, s.Has("lost"))
					})
				}
			})
		})
	}
}

// A sign-out that Save has made final clears the cookie too.
func TestPanicAfterASavedLogoutClearsTheCookie(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		v := newEndpoint(t, "HTTP1", func(next http.Handler) http.Handler { return recovering(m.Middleware(next)) })
		v.begin(func(s *session.Session) { s.Login("ann") })
		e := v.serve(func(w http.ResponseWriter, r *http.Request) {
			s := session.FromRequest(r)
			s.Logout()
			assert.NoError(t, s.Save())
			panic("a handler's bug")
		})
		cookies := e.response.Cookies()
		require.NotEmpty(t, cookies)
		assert.Negative(t, cookies[len(cookies)-1].MaxAge)
		assert.Empty(t, v.found())
	})
}

// What the handler has put into the header leaves with the recovery middleware's page, or with the end
// of a compressed body.
func TestPanicLeavesNoPageOfASessionToSharedCaches(t *testing.T) {
	for _, test := range []struct {
		name          string
		byAddress     bool
		use           func(s *session.Session)
		vary, control string
	}{
		{name: "read", use: func(s *session.Session) { s.Get("before") }, vary: "Cookie", control: "private, max-age=60"},
		{name: "saved", use: func(s *session.Session) { s.Set("a", 1); s.Save() }, vary: "Cookie", control: "private, max-age=60"},
		{name: "not used", use: nothing, control: "public, max-age=60"},
		{name: "by address", byAddress: true, use: func(s *session.Session) { s.Get("before") }, vary: "Cookie", control: "private, no-store"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := kit.DriverConfig(t, "memory")
			cfg.Memory.ByClientIP = test.byAddress
			m := kit.NewManager(t, cfg)
			v := newEndpoint(t, "HTTP1", func(next http.Handler) http.Handler { return closing(m.Middleware(next)) })
			v.begin(seedBefore)
			e := v.serve(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Cache-Control", "public, max-age=60")
				w.Header().Set("X-Accel-Expires", "60")
				test.use(session.FromRequest(r))
				panic("a handler's bug")
			})
			assert.Equal(t, test.vary, e.response.Header.Get("Vary"))
			assert.Equal(t, test.control, e.response.Header.Get("Cache-Control"))
			assert.Equal(t, test.vary == "", e.response.Header.Get("X-Accel-Expires") != "")
		})
	}
}

// closing is middleware that ends the body however the handler ends, as middleware does that compresses.
func closing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			recover()
			io.WriteString(w, "the end")
		}()
		next.ServeHTTP(w, r)
	})
}

// recovering is middleware that answers 500 when a handler panics.
func recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				http.Error(w, "sorry", http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// recoveringLikeEcho answers by the writer that the handler got, after the session middleware has
// returned, as echo does behind WrapMiddleware.
func recoveringLikeEcho(m *session.Manager) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				if recover() != nil {
					http.Error(w, "sorry", http.StatusInternalServerError)
				}
			}()
			m.Middleware(http.HandlerFunc(func(given http.ResponseWriter, r *http.Request) {
				w = given
				next.ServeHTTP(given, r)
			})).ServeHTTP(w, r)
		})
	}
}
