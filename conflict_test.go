package session_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

func appending(text string) func(string) string { return func(old string) string { return old + text } }

func TestASecondSignInComputesItsUpdateFromWhatTheFirstStored(t *testing.T) {
	v := kit.NewVisitor(t, kit.NewManager(t, kit.DriverConfig(t, "memory")))
	v.Visit(func(s *session.Session) { s.Set("cart", "a") })
	cookie := v.CookieHeader()
	v.Visit(func(s *session.Session) { s.Login("ann"); session.Update(s, "cart", appending("1")) })
	v.Stranger().Visit(func(s *session.Session) {
		s.Login("ann")
		session.Update(s, "cart", appending("2"))
		assert.NoError(t, s.Save())
	}, "Cookie", cookie)
	v.Visit(func(s *session.Session) { assert.Equal(t, "a12", s.Get("cart")) })
}

func TestAnUpdateBeforeTheSignInOfAnotherUserStartsFromNothing(t *testing.T) {
	v := kit.NewVisitor(t, kit.NewManager(t, kit.DriverConfig(t, "memory")))
	v.Visit(func(s *session.Session) { s.Login("ann"); s.Set("cart", "hers") })
	v.Visit(func(s *session.Session) {
		session.Update(s, "cart", appending("x"))
		s.Login("bob")
	})
	v.Visit(func(s *session.Session) { assert.Equal(t, "x", s.Get("cart")) })
}

func TestTwoFirstRequestsOfAnAddressKeepBothUpdates(t *testing.T) {
	cfg := kit.DriverConfig(t, "memory")
	cfg.Memory.ByClientIP = true
	m := kit.NewManager(t, cfg)
	updated, commit, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	handler := m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		session.Update(session.FromRequest(r), "n", func(n int) int { return n + 1 })
		updated <- struct{}{}
		<-commit
	}))
	for range 2 {
		go func() {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = "127.0.0.1:9"
			handler.ServeHTTP(httptest.NewRecorder(), r)
			done <- struct{}{}
		}()
	}
	<-updated
	<-updated
	close(commit)
	<-done
	<-done
	kit.NewVisitor(t, m).Visit(func(s *session.Session) { assert.Equal(t, 2, s.Get("n")) })
}

// disconnected serves a request with these cookies whose client has gone away.
func disconnected(t *testing.T, m *session.Manager, cookies string, do func(s *session.Session)) {
	ctx, disconnect := context.WithCancel(t.Context())
	disconnect()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	r.Header.Set("Cookie", cookies)
	m.Middleware(kit.HTTPHandler(do)).ServeHTTP(httptest.NewRecorder(), r)
}

func TestUpdatesOfAClientThatHasDisconnectedAreKept(t *testing.T) {
	kit.OnServers(t, func(t *testing.T, site *kit.Site) {
		m := kit.NewManager(t, site.Config)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { s.Set("n", 1) })
		add := func(n int) int { return n + 1 }
		disconnected(t, m, v.CookieHeader(), func(s *session.Session) {
			session.Update(s, "n", add)
			v.Visit(func(s *session.Session) { session.Update(s, "n", add) }) // changes the value before the commit
		})
		v.Visit(func(s *session.Session) { assert.Equal(t, 3, s.Get("n")) })
	})
}

func TestSignInOfAClientThatHasDisconnectedMakesRoom(t *testing.T) {
	kit.OnServers(t, func(t *testing.T, site *kit.Site) {
		m := kit.NewManager(t, site.Config)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { s.Login("ann") })
		disconnected(t, m, "", func(s *session.Session) {
			s.Login("ann")
			assert.NoError(t, s.Save())
		})
	}, func(cfg *session.Config) { cfg.MaxPerUser = 1 })
}

func TestRememberMayBeShorterThanTheSessionIsOld(t *testing.T) {
	m := kit.NewManager(t, kit.DriverConfig(t, "memory"))
	clock := kit.SetClock(m)
	v := kit.NewVisitor(t, m)
	v.Visit(func(s *session.Session) { s.Set("cart", 1) })
	clock.Advance(20 * time.Minute)
	page := v.Visit(func(s *session.Session) { s.Login("ann"); s.Remember(10 * time.Minute) })
	assert.Equal(t, 600, page.Cookie("s_memory").MaxAge)
	v.Visit(func(s *session.Session) {
		user, _ := s.User()
		assert.Equal(t, "ann", user)
		assert.Equal(t, 1, s.Get("cart"))
	})
}

func TestReloadFindsNothingOnceTheSessionHasExpired(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		clock := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { s.Login("ann") })
		v.Visit(func(s *session.Session) {
			_, ok := s.User()
			require.True(t, ok)
			clock.Advance(100 * 24 * time.Hour)
			require.ErrorIs(t, s.Reload(), session.ErrNoSession)
			_, ok = s.User()
			assert.False(t, ok)
		})
	})
}

func TestAHijackComesAfterTheSignOut(t *testing.T) {
	m := kit.NewManager(t, kit.DriverConfig(t, "memory"))
	v := kit.NewVisitor(t, m)
	v.Visit(func(s *session.Session) { s.Login("ann") })
	stolen, cookie := v.Stranger(), v.CookieHeader()
	v.Serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
		s.Logout()
		s.Flash("bye", "Goodbye!") // of a session that would need a cookie
		conn, buf, err := http.NewResponseController(w).Hijack()
		require.NoError(t, err)
		defer conn.Close()
		stolen.Visit(func(s *session.Session) {
			_, ok := s.User()
			assert.False(t, ok, "the sign-out is under way")
		}, "Cookie", cookie)
		_, err = buf.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		require.NoError(t, err)
		require.NoError(t, buf.Flush())
	})
}

// A save without an answer is sent again. Meanwhile another request has made it impossible, and this
// one has changed more.
func TestARefusedSaveKeepsTheChangesThatFollowedIt(t *testing.T) {
	cfg := kit.DriverConfig(t, "memory")
	faults := kit.WithFaults(t, &cfg)
	v := kit.NewVisitor(t, kit.NewManager(t, cfg))
	v.Visit(func(s *session.Session) { s.Set("n", 1); s.Set("hits", 0); s.Set("cart", "") })
	other, cookie := v.Stranger(), v.CookieHeader()
	v.Visit(func(s *session.Session) {
		s.Increment("n", 1)
		s.Increment("hits", 1)
		s.FlashAdd("notes", "a")
		faults.Break("save")
		require.ErrorIs(t, s.Save(), session.ErrUnavailable)
		faults.Mend()
		other.Visit(func(s *session.Session) { s.Set("n", "text"); s.Set("cart", "other") }, "Cookie", cookie)
		s.Increment("hits", 10)
		s.FlashAdd("notes", "b")
		s.FlashAdd("notes", "c")
		session.Update(s, "cart", appending("x"))
		require.ErrorContains(t, s.Save(), "not an int64")
		s.Set("n", 5)
		assert.NoError(t, s.Save())
	})
	v.Visit(func(s *session.Session) {
		assert.Equal(t, 5, s.Get("n"))
		assert.Equal(t, 11, s.Get("hits"))
		assert.Equal(t, []any{"a", "b", "c"}, s.Get("notes"))
		assert.Equal(t, "otherx", s.Get("cart"))
	})
}
