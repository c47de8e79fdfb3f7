package session_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

// A browser fetches a page before the user asks for it. That reads the session, and moves nothing.
func TestAPrefetchBesideAMoveTakesNothingAway(t *testing.T) {
	onRoutes(t, func(t *testing.T, route [2]string) {
		s, events, _ := between(t, route)
		cookies := beginOld(s, route[0], func(own *session.Session) { own.Login("ann"); own.Flash("note", "hello") })
		look := func(w http.ResponseWriter, _ *http.Request, own *session.Session) {
			assert.Equal(t, "hello", own.Get("note"))
			w.Write([]byte("<html>"))
		}
		for range 2 {
			p := s.Visit(cookies, look, "Sec-Purpose", "prefetch")
			assert.Nil(t, p.Cookie(s.Cookie))
		}
		assert.Empty(t, events.Of(session.EventImported))
		var prefetched kit.Page
		p := handleIn(s, cookies, func(own *session.Session) {
			own.Set("k", 1)
			prefetched = s.Visit(cookies, look, "Sec-Purpose", "prefetch")
		})
		require.Equal(t, http.StatusOK, p.StatusCode)
		for _, line := range []string{p.Next(prefetched.Next(cookies)), prefetched.Next(p.Next(cookies))} {
			assert.Equal(t, "ann", userOf(s, line), "whichever response arrives last")
		}
	})
}

// A poll by a script keeps nobody signed in, wherever the session is.
func TestAPassiveRequestIsNoUseOfAnOldSession(t *testing.T) {
	onRoutes(t, func(t *testing.T, route [2]string) {
		s, _, _ := between(t, route, func(cfg *session.Config) {
			cfg.Passive = func(r *http.Request) bool { return r.Header.Get("Poll") != "" }
			cfg.LockAfter = 20 * time.Minute
		})
		cookies := beginOld(s, route[0], func(own *session.Session) { own.Login("ann") })
		poll := func(do func(own *session.Session)) kit.Page {
			return s.Visit(cookies, func(_ http.ResponseWriter, _ *http.Request, own *session.Session) { do(own) }, "Poll", "1")
		}
		s.Clock.Advance(15 * time.Minute)
		cookies = poll(func(own *session.Session) { own.Get("k") }).Next(cookies)
		s.Clock.Advance(4 * time.Minute)
		cookies = poll(func(own *session.Session) { own.Set("k", 1) }).Next(cookies)
		s.Clock.Advance(2 * time.Minute)
		poll(func(own *session.Session) {
			user, locked := own.Locked()
			assert.True(t, locked)
			assert.Equal(t, "ann", user)
		})
	})
}

func TestWhoMayDoWithoutASessionDoesWithoutAnOldOne(t *testing.T) {
	onImporting(t, func(t *testing.T, s *kit.Site, old *oldLibrary) {
		old.failure = errors.New("connection refused")
		p := s.Ask(annsCookie, func(own *session.Session) { assert.Empty(t, own.All()) })
		assert.Equal(t, http.StatusOK, p.StatusCode)
		assert.Empty(t, p.Cookies(), "the client keeps its old cookie")
		old.failure = nil
		p = s.Ask(annsCookie, func(own *session.Session) { own.Set("k", 1) })
		assert.Equal(t, "ann", userOf(s, p.Next("")))
	}, func(cfg *session.Config) { cfg.AllowAnonymous = func(*http.Request) bool { return true } })
}

// Both managers have found the old session when the first of them deletes it.
func TestNestedManagersImportOneOldSessionEach(t *testing.T) {
	outer, old := migrating(t, "memory")
	inner := kit.NewManager(t, func() session.Config {
		cfg := outer.Config
		cfg.CookieAttributes.Prefix = "admin_"
		return cfg
	}())
	run := func(cookies string) (page kit.Page, users []string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", cookies)
		w := httptest.NewRecorder()
		outer.Manager.Middleware(inner.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			for _, m := range []*session.Manager{outer.Manager, inner} {
				own := m.FromContext(r.Context())
				user, _ := own.User()
				users = append(users, user)
				own.Increment("n", 1)
			}
		}))).ServeHTTP(w, r)
		return kit.Page{Response: w.Result()}, users
	}
	p, users := run(annsCookie)
	assert.Equal(t, []string{"ann", "ann"}, users)
	assert.False(t, old.holds("ann's"))
	require.NotNil(t, p.Cookie("s_memory"))
	require.NotNil(t, p.Cookie("admin_memory"))
	_, users = run(p.Next(""))
	assert.Equal(t, []string{"ann", "ann"}, users)
}

// A step-up is asked for again after as long as if the session had always been here.
func TestAStepUpIsAsOldAsTheOldSignIn(t *testing.T) {
	onImporting(t, func(t *testing.T, s *kit.Site, _ *oldLibrary) {
		p := s.Ask(annsCookie, func(own *session.Session) {
			assert.False(t, own.FreshWithin(59*time.Minute))
			assert.True(t, own.FreshWithin(61*time.Minute))
			own.Set("k", 1)
		})
		s.Ask(p.Next(""), func(own *session.Session) {
			assert.False(t, own.FreshWithin(59*time.Minute))
			assert.True(t, own.FreshWithin(61*time.Minute))
		})
	}, func(cfg *session.Config) { cfg.Assurance = session.AAL2 })
}
