package security_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/suites/kit"
)

// A signed-out cookie is dead on every driver. The cookie driver knows it within the process, for
// as long as a tombstone stands; the next test shows what it cannot know.
func TestASignedOutCookieOpensNothing(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		cookie := s.SignIn()
		s.Ask(cookie, (*session.Session).Destroy)
		assert.Empty(t, s.User(cookie))
		s.Clock.Advance(driver.Tombstone - time.Millisecond)
		assert.Empty(t, s.User(cookie))
		if s.Config.Default != "cookie" {
			s.Clock.Advance(time.Minute)
			assert.Empty(t, s.User(cookie))
		}
	})
}

// This is no promise but the limit that SECURITY.md states. If it falls, the text changes too.
func TestACopiedSealedCookieOpensInAnotherProcessAfterSignOut(t *testing.T) {
	one, other := kit.NewSite(t, "cookie"), kit.NewSite(t, "cookie")
	cookie := one.SignIn()
	one.Ask(cookie, (*session.Session).Destroy)
	require.Empty(t, one.User(cookie))
	assert.Equal(t, "ann", other.User(cookie), "it cannot know")

	other.Clock.Advance(time.Hour)
	assert.Empty(t, other.User(cookie), "its limits end it")
}

// What a request does to a session that ends meanwhile is lost with it. That includes replacing the
// token, which would keep a copy of the session alive.
func TestASlowRequestDoesNotReviveASessionThatEnded(t *testing.T) {
	for name, do := range map[string]func(slow *session.Session){
		"a write":      func(slow *session.Session) { slow.Set("late", true) },
		"a regenerate": func(slow *session.Session) { slow.Set("late", true); slow.Regenerate() },
		"a remember":   func(slow *session.Session) { slow.Set("late", true); slow.Remember(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
				cookie := s.SignIn()
				p := s.Ask(cookie, func(slow *session.Session) {
					require.Equal(t, "ann", slow.Get("user"))
					beside(s, cookie, (*session.Session).Destroy)
					do(slow)
				})
				assert.Empty(t, p.Cookies())
				assert.Empty(t, s.User(cookie))
				assert.EqualValues(t, 1, s.Manager.Stats().Dropped)
			})
		})
	}
}

// The same if the request opens the session only after it has ended: it was under way.
func TestARequestUnderWayDoesNotReviveASessionThatEndedBeforeItWasOpened(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		cookie := s.SignIn()
		p := s.Ask(cookie, func(slow *session.Session) {
			s.Clock.Advance(20 * time.Second) // longer than a visitor's browser may take to notice
			beside(s, cookie, (*session.Session).Destroy)
			slow.Set("late", true)
			assert.ErrorIs(t, slow.Save(), session.ErrEnded)
			assert.ErrorIs(t, slow.Err(), session.ErrEnded)
		})
		assert.Empty(t, p.Cookies())
		assert.Empty(t, s.User(cookie))
	})
}

// Limits end a session on the server, whatever the client keeps: also in the middle of a request.
func TestAnExpiredSessionAcceptsNoChange(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		cookie := s.SignIn()
		p := s.Ask(cookie, func(slow *session.Session) {
			require.Equal(t, "ann", slow.Get("user"))
			s.Clock.Advance(time.Hour)
			slow.Set("late", true)
			assert.ErrorIs(t, slow.Save(), session.ErrNoSession)
		})
		assert.Empty(t, p.Cookies())
		s.Ask(cookie, func(own *session.Session) {
			assert.Empty(t, own.All())
			assert.True(t, own.IsNew())
			own.Regenerate()
		})
		assert.Empty(t, s.User(cookie))
	})
}

// Sessions of one hour's idle timeout meet a configuration of ten minutes: the shorter one counts at
// once.
func TestShorterLimitsOfTheConfigurationEndLiveSessions(t *testing.T) {
	for name, shorten := range map[string]func(*session.Config){
		"idle timeout": func(cfg *session.Config) { cfg.IdleTimeout = 10 * time.Minute },
		"lifetime":     func(cfg *session.Config) { cfg.Lifetime = 10 * time.Minute },
		"assurance":    func(cfg *session.Config) { cfg.Assurance = session.AAL3 },
	} {
		t.Run(name, func(t *testing.T) {
			before := kit.NewSite(t, "redis")
			cookie := before.SignIn()
			after := &kit.Site{T: t, Config: before.Config, Cookie: before.Cookie}
			shorten(&after.Config)
			after.Open()
			before.Clock.Advance(20 * time.Minute)
			after.Clock.Advance(20 * time.Minute)
			assert.Empty(t, after.User(cookie))
			assert.Equal(t, "ann", before.User(cookie), "another server's configuration is its own")
		})
	}
}

func TestSigningOutAVisitorStoresNothing(t *testing.T) {
	kit.OnServers(t, func(t *testing.T, s *kit.Site) {
		for _, do := range []func(own *session.Session){
			(*session.Session).Destroy, (*session.Session).Flush, (*session.Session).Reset,
			(*session.Session).ResetFlash, (*session.Session).Regenerate, (*session.Session).Logout,
			func(own *session.Session) { own.Set("k", 1); own.Delete("k") },
			func(own *session.Session) { own.Set("k", 1); own.Destroy() },
			func(own *session.Session) { own.Get("k"); own.Has("k"); own.All(); own.Handle() },
			func(own *session.Session) { own.Describe(map[string]string{"device": "x"}) },
		} {
			p := s.Ask("", do)
			assert.Empty(t, p.Cookies())
			assert.Zero(t, s.Stored())
		}
	})
}

func TestAnEmptiedSessionIsStoredAsEmpty(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		for _, empty := range []func(own *session.Session){
			(*session.Session).Flush,
			func(own *session.Session) { own.Delete("user") },
			func(own *session.Session) { own.Pull("user") },
		} {
			cookie := s.SignIn()
			cookie = s.Ask(cookie, empty).Next(cookie)
			assert.Empty(t, s.User(cookie))
		}
	})
}

// A browser that dropped the cookie is a new visitor, not an error.
func TestALostCookieIsAVisitor(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		s.SignIn()
		p := s.Ask("", func(own *session.Session) { assert.Empty(t, own.All()) })
		assert.Equal(t, http.StatusOK, p.StatusCode)
		assert.Empty(t, p.Cookies())
		p = s.Ask(s.Cookie+"_f=1", func(own *session.Session) { assert.Empty(t, own.All()) })
		assert.Equal(t, http.StatusOK, p.StatusCode, "the hint may stay behind")
	})
}

// The session itself stops no request from another site. The protection of net/http does, around
// the middleware or inside it.
func TestCrossOriginProtectionComposes(t *testing.T) {
	s := kit.NewSite(t, "memory")
	page := kit.HTTPHandler(func(own *session.Session) { own.Increment("orders", 1) })
	for name, handler := range map[string]http.Handler{
		"around": http.NewCrossOriginProtection().Handler(s.Manager.Middleware(page)),
		"inside": s.Manager.Middleware(http.NewCrossOriginProtection().Handler(page)),
	} {
		t.Run(name, func(t *testing.T) {
			cookie := s.SignIn()
			send := func(method string, headers ...string) int {
				r := httptest.NewRequest(method, "http://shop.example.com/order", nil)
				r.Header.Set("Cookie", cookie)
				for i := 0; i+1 < len(headers); i += 2 {
					r.Header.Set(headers[i], headers[i+1])
				}
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				return w.Code
			}
			assert.Equal(t, http.StatusForbidden, send("POST", "Sec-Fetch-Site", "cross-site"))
			assert.Equal(t, http.StatusForbidden, send("POST", "Sec-Fetch-Site", "same-site"), "another subdomain")
			assert.Equal(t, http.StatusForbidden, send("POST", "Origin", "https://evil.example"))
			assert.Equal(t, http.StatusOK, send("POST", "Sec-Fetch-Site", "same-origin"))
			assert.Equal(t, http.StatusOK, send("POST", "Sec-Fetch-Site", "none"))

			// Its limits, which SECURITY.md states.
			assert.Equal(t, http.StatusOK, send("GET", "Sec-Fetch-Site", "cross-site"), "safe methods pass")
			assert.Equal(t, http.StatusOK, send("POST"), "so does what has neither header")

			var orders int
			s.Ask(cookie, func(own *session.Session) { orders = own.GetInt("orders") })
			assert.Equal(t, 4, orders, "what was refused changed nothing")
		})
	}
}
