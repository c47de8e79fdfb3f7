package session_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

func loginAnew(v *kit.Visitor, user string) string {
	kit.Login(v, user)
	return kit.UserOf(v)
}

// ASVS 7.2.4.
func TestTokenFromBeforeTheSignInOpensNothing(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		c := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { s.Set("cart", 3) })
		planted := v.CookieHeader()
		first := kit.Login(v, "ann")
		v.Visit(func(s *session.Session) { assert.Equal(t, 3, s.GetInt("cart"), "a visitor's data stays") })
		again := v.CookieHeader()
		c.Advance(6 * time.Second) // no request with the planted token is under way any more
		second := kit.Login(v, "ann")
		c.Advance(6 * time.Second)
		assert.Equal(t, first, second, "the session stays, its token is a new one")

		for _, old := range []string{planted, again} {
			v.Stranger().Visit(func(s *session.Session) {
				_, ok := s.User()
				assert.False(t, ok)
				assert.True(t, s.IsNew() || cfg.Default == "cookie" && old == planted, "a visitor's cookie has no record")
			}, "Cookie", old)
		}
		assert.Equal(t, []string{second}, kit.Handles(t, m, "ann"))
	})
}

// ASVS 7.4.1.
func TestCopyOfACookieDoesNotOpenAfterLogout(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		c := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		kit.Login(v, "ann")
		copied := v.CookieHeader()
		p := v.Visit(func(s *session.Session) { s.Logout() })
		require.NotNil(t, p.Cookie("s_"+cfg.Default), "the cookie is cleared")
		assert.Negative(t, p.Cookie("s_"+cfg.Default).MaxAge)
		thief := v.Stranger()
		for _, later := range []time.Duration{0, driver.Tombstone + time.Second, time.Minute} {
			c.Advance(later)
			thief.Visit(func(s *session.Session) {
				_, ok := s.User()
				assert.False(t, ok)
				assert.Empty(t, s.All())
			}, "Cookie", copied)
		}
		assert.Empty(t, kit.Handles(t, m, "ann"))
	})
}

// A sign-out does not need to open the session first.
func TestLogoutEndsASessionThatWasNotOpened(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		c := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		kit.Login(v, "ann")
		copied := v.CookieHeader()
		c.Advance(time.Minute)
		v.Visit(func(s *session.Session) { s.Logout() })
		c.Advance(time.Minute)
		v.Stranger().Visit(func(s *session.Session) { assert.True(t, s.IsNew()) }, "Cookie", copied)
		assert.Empty(t, kit.Handles(t, m, "ann"))
	})
}

func TestNextUserSeesNoDataOfTheFirst(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		v := kit.NewVisitor(t, m)
		kit.Login(v, "ann")
		v.Visit(func(s *session.Session) { s.Set("letters", "secret"); s.Flash("note", "for ann") })
		v.Visit(func(s *session.Session) { s.Login("bob"); s.Set("hello", "bob") })
		v.Visit(func(s *session.Session) { assert.Equal(t, map[string]any{"hello": "bob"}, s.All()) })
		assert.Empty(t, kit.Handles(t, m, "ann"))
		assert.Len(t, kit.Handles(t, m, "bob"), 1)
	})
}

// ASVS 7.3.2, NIST SP 800-63B-4 section 5.2.
func TestOnlyASignInStartsTheLifetimeAnew(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.Lifetime, cfg.IdleTimeout = 3*time.Hour, 2*time.Hour
		m := kit.NewManager(t, cfg)
		c := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		kit.Login(v, "ann")
		for range 2 {
			c.Advance(time.Hour)
			v.Visit(func(s *session.Session) { s.Regenerate() })
		}
		require.Equal(t, "ann", kit.UserOf(v))
		c.Advance(time.Hour)
		assert.Empty(t, kit.UserOf(v), "no Regenerate extends a sign-in")

		kit.Login(v, "ann")
		c.Advance(2*time.Hour - time.Second)
		kit.Login(v, "ann")
		c.Advance(2*time.Hour - time.Second)
		assert.Equal(t, "ann", kit.UserOf(v), "another sign-in does")
	})
}

// ASVS 7.5.1, 7.5.3.
func TestSessionSaysHowFreshTheSignInIs(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		c := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) {
			assert.Zero(t, s.AuthenticatedAt())
			assert.False(t, s.FreshWithin(time.Hour))
		})
		kit.Login(v, "ann")
		at := c.Now()
		c.Advance(10 * time.Minute)
		v.Visit(func(s *session.Session) { s.Regenerate() })
		v.Visit(func(s *session.Session) {
			assert.Equal(t, at, s.AuthenticatedAt())
			assert.True(t, s.FreshWithin(10*time.Minute))
			assert.False(t, s.FreshWithin(10*time.Minute-time.Millisecond))
		})
	})
}

// NIST SP 800-63B-4, section 2.2.3.
func TestLockAfterAsksTheUserToSignInAgain(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.LockAfter, cfg.IdleTimeout = 15*time.Minute, 4*time.Hour
		m := kit.NewManager(t, cfg)
		c := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		kit.Login(v, "ann")
		v.Visit(func(s *session.Session) { s.Set("draft", "half a letter") })
		for range 4 {
			c.Advance(10 * time.Minute)
			require.Equal(t, "ann", kit.UserOf(v), "an active user stays signed in")
		}
		c.Advance(15 * time.Minute)
		for range 3 { // a locked session stays locked
			v.Visit(func(s *session.Session) {
				_, ok := s.User()
				assert.False(t, ok)
				assert.False(t, s.FreshWithin(time.Hour))
				user, locked := s.Locked()
				assert.Equal(t, "ann", user)
				assert.True(t, locked)
			})
			v.Visit(func(s *session.Session) { s.Regenerate(); s.Flash("note", "sign in, please") })
			c.Advance(time.Minute)
		}
		kit.Login(v, "ann")
		v.Visit(func(s *session.Session) {
			assert.Equal(t, "half a letter", s.Get("draft"))
			_, locked := s.Locked()
			assert.False(t, locked)
		})
	})
}

// The cookie driver keeps the last activity in another cookie than what these write.
func TestWhateverAnActiveUserDoesTheSessionIsNotLocked(t *testing.T) {
	for name, do := range map[string]func(s *session.Session){
		"regenerate":       (*session.Session).Regenerate,
		"regenerate, save": func(s *session.Session) { s.Regenerate(); s.Save() },
		"remember":         func(s *session.Session) { s.Remember(24 * time.Hour) },
		"set":              func(s *session.Session) { s.Set("k", 1) },
		"flash":            func(s *session.Session) { s.Set("k", 1); s.Save(); s.Flash("k", 2) },
	} {
		kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
			cfg.LockAfter, cfg.IdleTimeout = 15*time.Minute, 4*time.Hour
			m := kit.NewManager(t, cfg)
			c := kit.SetClock(m)
			v := kit.NewVisitor(t, m)
			kit.Login(v, "ann")
			for range 4 {
				c.Advance(10 * time.Minute)
				require.Equal(t, "ann", kit.UserOf(v))
			}
			c.Advance(20 * time.Second) // too early for a note
			v.Visit(do)
			c.Advance(20 * time.Second)
			assert.Equal(t, "ann", kit.UserOf(v), "after %s", name)
			assert.Equal(t, "ann", kit.UserOf(v), "after %s, and a page", name)
		})
	}
}

// Reset and Flush clear what the application stored. Who is signed in is not part of that.
func TestFlushLeavesTheUserSignedIn(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		kit.Login(v, "ann", "agent", "phone")
		v.Visit(func(s *session.Session) { s.Set("a", 1); s.Flush() })
		assert.Equal(t, "ann", kit.UserOf(v))
	})
}

// The limits that Remember set for one user do not apply to the next one.
func TestNextUserDoesNotGetTheRememberedLimits(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		const month = 30 * 24 * time.Hour
		m := kit.NewManager(t, cfg)
		clock := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		name := "s_" + cfg.Default
		p := v.Visit(func(s *session.Session) { s.Login("ann"); s.Remember(month) })
		assert.Equal(t, int(month.Seconds()), p.Cookie(name).MaxAge)
		p = v.Visit(func(s *session.Session) { s.Login("bob") })
		require.NotNil(t, p.Cookie(name))
		assert.Equal(t, 24*60*60, p.Cookie(name).MaxAge)
		clock.Advance(time.Hour)
		assert.Empty(t, kit.UserOf(v), "the configured idle timeout")

		p = v.Visit(func(s *session.Session) { s.Login("bob"); s.Remember(month) })
		assert.Equal(t, int(month.Seconds()), p.Cookie(name).MaxAge, "the same request may remember its own user")
		clock.Advance(20 * 24 * time.Hour)
		assert.Equal(t, "bob", kit.UserOf(v))
	})
}

// A sign-in never fails because of a label.
func TestLongDescriptionIsShortenedAndTheSignInHolds(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		for name, hints := range map[string]map[string]string{
			"ascii":   {"agent": strings.Repeat("Mozilla/5.0 ", 92), "place": "Oslo"}, // 1,104 bytes
			"letters": {"agent": "x" + strings.Repeat("é", 2000), "place": "Oslo"},
			"escapes": {"agent": strings.Repeat("\x00", 1100), "place": "Oslo"},
		} {
			v := kit.NewVisitor(t, m)
			p := v.Visit(func(s *session.Session) { s.Login(name); s.Describe(hints) })
			assert.Equal(t, http.StatusOK, p.StatusCode)
			assert.Equal(t, name, kit.UserOf(v))
			infos, err := m.Sessions(t.Context(), name)
			require.NoError(t, err)
			require.Len(t, infos, 1)
			shown := infos[0].Hints
			assert.Equal(t, "Oslo", shown["place"], "what is short stays")
			assert.True(t, strings.HasPrefix(hints["agent"], shown["agent"]), "%q", shown["agent"])
			assert.Greater(t, len(shown["agent"]), 64)
			assert.True(t, utf8.ValidString(shown["agent"]))
		}
	})
}

func TestImpossibleSignInFailsTheRequest(t *testing.T) {
	for name, do := range map[string]func(s *session.Session){
		"no user":     func(s *session.Session) { s.Login("") },
		"a long user": func(s *session.Session) { s.Login(strings.Repeat("a", 256)) },
	} {
		t.Run(name, func(t *testing.T) {
			v := kit.NewVisitor(t, kit.NewManager(t, kit.DriverConfig(t, "memory")))
			p := v.Visit(func(s *session.Session) { s.Set("a", 1); do(s) })
			assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
			assert.Empty(t, p.Cookies())
		})
	}
	t.Run("by address", func(t *testing.T) {
		cfg := kit.DriverConfig(t, "memory")
		cfg.Memory.ByClientIP = true
		p := kit.NewVisitor(t, kit.NewManager(t, cfg)).Visit(func(s *session.Session) { s.Login("ann") })
		assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
	})
}

// An outage is neither a visitor nor a user.
func TestRequireUserServesSignedInUsersOnly(t *testing.T) {
	guarded := func(m *session.Manager) http.Handler {
		text := func(text string) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
		}
		mux := http.NewServeMux()
		mux.Handle("/page", m.RequireUser(text("the page"), text("please sign in")))
		mux.HandleFunc("/login", func(_ http.ResponseWriter, r *http.Request) { session.FromRequest(r).Login("ann") })
		return m.Middleware(mux)
	}
	t.Run("by status", func(t *testing.T) {
		kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
			cfg.LockAfter = 10 * time.Minute
			m := kit.NewManager(t, cfg)
			clock := kit.SetClock(m)
			b := kit.NewBrowser(t, guarded(m))
			assert.Equal(t, "please sign in", b.Get("/page").Body, "a visitor")
			b.Get("/login")
			assert.Equal(t, "the page", b.Get("/page").Body)
			assert.Equal(t, "please sign in", b.Another().Get("/page").Body, "somebody else")
			clock.Advance(10 * time.Minute)
			assert.Equal(t, "please sign in", b.Get("/page").Body, "a locked user")
			b.Get("/login")
			require.NoError(t, m.EndAll(t.Context(), "ann"))
			assert.Equal(t, "please sign in", b.Get("/page").Body, "a session that was ended elsewhere")
		})
	})
	t.Run("outermost", func(t *testing.T) {
		m := kit.NewManager(t, kit.DriverConfig(t, "memory"))
		b := kit.NewBrowser(t, m.RequireUser(http.NotFoundHandler(), kit.HTTPHandler(func(s *session.Session) { s.Login("ann") })))
		assert.Equal(t, http.StatusOK, b.Get("/").StatusCode)
		assert.Equal(t, http.StatusNotFound, b.Get("/").StatusCode, "it is the middleware too")
	})
	t.Run("outage", func(t *testing.T) {
		for _, allow := range []bool{false, true} {
			cfg := session.Config{Default: "redis", Redis: session.RedisConfig{Port: kit.ClosedPort}, Logger: kit.Quiet}
			if allow {
				cfg.AllowAnonymous = func(*http.Request) bool { return true }
			}
			failed := kit.RecordFailures(&cfg)
			p := kit.NewBrowser(t, guarded(kit.NewManager(t, cfg))).Get("/page", "Cookie", "s_redis="+wellFormed)
			assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode, "AllowAnonymous: %v", allow)
			assert.NotContains(t, p.Body, "the page")
			assert.NotContains(t, p.Body, "sign in", "nobody is told to sign in during an outage")
			assert.ErrorIs(t, failed.Last(), session.ErrUnavailable)
		}
	})
}

// Config.AllowAnonymous lets a page do without a session, but not a sign-in.
func TestSignInThatCannotBeStoredFailsDespiteAllowAnonymous(t *testing.T) {
	cfg := kit.DriverConfig(t, "redis")
	server := redistest.Start(t)
	cfg.Redis.Host, cfg.Redis.Port = server.Host(), server.Port()
	cfg.AllowAnonymous = func(*http.Request) bool { return true }
	v := kit.NewVisitor(t, kit.NewManager(t, cfg))
	v.Visit(func(s *session.Session) { s.Set("a", 1) })
	server.Stop()
	for _, who := range []*kit.Visitor{v, v.Stranger()} { // the first one has a cookie
		p := who.Visit(func(s *session.Session) { s.Set("a", 2) })
		assert.Equal(t, http.StatusOK, p.StatusCode)
		p = who.Visit(func(s *session.Session) { s.Login("ann") })
		assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
		assert.Empty(t, p.Cookies())
	}
}

func TestLimitsLongerThanThePresetAreRefused(t *testing.T) {
	for name, change := range map[string]func(cfg *session.Config){
		"Lifetime":           func(cfg *session.Config) { cfg.Lifetime = 13 * time.Hour },
		"IdleTimeout":        func(cfg *session.Config) { cfg.IdleTimeout = 16 * time.Minute },
		"Memory.IdleTimeout": func(cfg *session.Config) { cfg.Memory.IdleTimeout = time.Hour },
		"LockAfter":          func(cfg *session.Config) { cfg.LockAfter = 15 * time.Minute },
		"Assurance":          func(cfg *session.Config) { cfg.Assurance = "AAL4" },
		"MaxPerUser":         func(cfg *session.Config) { cfg.MaxPerUser = -1 },
	} {
		cfg := kit.DriverConfig(t, "memory")
		cfg.Assurance = session.AAL3
		change(&cfg)
		_, err := session.NewManager(cfg)
		assert.ErrorContains(t, err, "Config."+name)
	}
	cfg := kit.DriverConfig(t, "memory")
	cfg.Assurance = session.AAL3
	v := kit.NewVisitor(t, kit.NewManager(t, cfg))
	p := v.Visit(func(s *session.Session) { s.Login("ann"); s.Remember(24 * time.Hour) })
	assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
	v.Visit(func(s *session.Session) { s.Login("ann"); s.Remember(12 * time.Hour) })
	assert.Equal(t, "ann", kit.UserOf(v))
}
