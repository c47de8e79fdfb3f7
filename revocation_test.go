package session_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/hooks"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

// A process asks the server once a window, and learns then what another process has ended.
func TestRevocationIsNoticedWithinItsWindow(t *testing.T) {
	cfg := kit.AccountConfig(t, "cookie, revoked in redis")
	cfg.Cookie.RevocationWindow = 30 * time.Second
	here, there := kit.NewManager(t, cfg), kit.NewManager(t, cfg)
	c := kit.SetClock(here)
	hooks.SetClock(there, c.Now)
	v := kit.NewVisitor(t, here)
	handle := kit.Login(v, "ann")
	c.Advance(time.Second)
	require.Equal(t, "ann", kit.UserOf(v))
	require.NoError(t, there.End(t.Context(), "ann", handle))
	c.Advance(28 * time.Second)
	assert.Equal(t, "ann", kit.UserOf(v), "within the window")
	c.Advance(2 * time.Second)
	assert.Empty(t, kit.UserOf(v))
	p := v.Visit(func(s *session.Session) { assert.True(t, s.IsNew()) })
	assert.Empty(t, p.Cookies())
}

// What a process knows of the session may be older than its newest cookie.
func TestASecretThatAnotherProcessReplacedOpensTheSessionWithinTheWindow(t *testing.T) {
	cfg := kit.AccountConfig(t, "cookie, revoked in redis")
	here, there := kit.NewManager(t, cfg), kit.NewManager(t, cfg)
	v := kit.NewVisitor(t, here)
	kit.Login(v, "ann")
	require.Equal(t, "ann", kit.UserOf(v))
	w := kit.NewVisitor(t, there)
	p := w.Visit(func(s *session.Session) { s.Regenerate() }, "Cookie", v.CookieHeader())
	v.Stranger().Visit(func(s *session.Session) {
		user, _ := s.User()
		assert.Equal(t, "ann", user)
	}, "Cookie", p.Next(v.CookieHeader()))
}

// A session is not opened if nobody can tell whether it was ended. Visitors have nothing to ask for.
func TestRevocationThatCannotBeAskedMakesASessionUnavailable(t *testing.T) {
	cfg := kit.AccountConfig(t, "cookie, revoked in redis")
	server := redistest.Start(t)
	cfg.Redis.Host, cfg.Redis.Port = server.Host(), server.Port()
	m := kit.NewManager(t, cfg)
	c := kit.SetClock(m)
	v := kit.NewVisitor(t, m)
	kit.Login(v, "ann")
	server.Stop()
	require.Equal(t, "ann", kit.UserOf(v), "within the window")
	c.Advance(11 * time.Second)
	p := v.Visit(func(s *session.Session) { assert.ErrorIs(t, s.Open(), session.ErrUnavailable) })
	assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
	p = v.Visit(func(s *session.Session) { s.Logout() })
	assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode, "the sign-out does not hold")
	assert.Nil(t, p.Cookie("s_cookie"))
	assert.ErrorIs(t, m.Ping(t.Context()), session.ErrUnavailable)
	guest := v.Stranger()
	p = guest.Visit(func(s *session.Session) { s.Set("a", 1) })
	assert.Equal(t, http.StatusOK, p.StatusCode)
	guest.Visit(func(s *session.Session) { assert.Equal(t, 1, s.GetInt("a")) })
	p = guest.Visit(func(s *session.Session) { s.Login("bob") })
	assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
}

// Revocation needs a driver that keeps an index of users.
func TestRevocationNeedsADriverWithAnIndex(t *testing.T) {
	for _, name := range []string{"cookie", "elsewhere", "mine"} {
		cfg := kit.DriverConfig(t, "cookie")
		cfg.Cookie.Revocation = name
		cfg.Drivers = map[string]session.Driver{"mine": wrappedDriver{session.NewMemoryDriver(session.MemoryConfig{})}}
		_, err := session.NewManager(cfg)
		assert.ErrorContains(t, err, "Cookie.Revocation", name)
	}
	cfg := kit.DriverConfig(t, "cookie")
	cfg.MaxPerUser = 3
	_, err := session.NewManager(cfg)
	assert.ErrorContains(t, err, "Config.Cookie.Revocation")
}

// A wrappedDriver keeps no index of users.
type wrappedDriver struct{ session.Driver }

// The two clicks meet a process each, and the browser goes on at the one that knows the first.
func TestADoubleClickOnTwoProcessesSignsIn(t *testing.T) {
	cfg := kit.AccountConfig(t, "cookie, revoked in redis")
	here, there := kit.NewVisitor(t, kit.NewManager(t, cfg)), kit.NewVisitor(t, kit.NewManager(t, cfg))
	login := func(s *session.Session) { s.Login("ann") }
	here.Visit(func(s *session.Session) { s.Set("cart", "book") })
	line := here.CookieHeader()
	first := here.Stranger().Visit(login, "Cookie", line)
	second := there.Visit(login, "Cookie", line)
	for _, p := range []kit.Page{first, second} {
		for _, v := range []*kit.Visitor{here, there} {
			v.Stranger().Visit(func(s *session.Session) {
				user, _ := s.User()
				assert.Equal(t, "ann", user)
				assert.Equal(t, "book", s.Get("cart"))
			}, "Cookie", p.Next(line))
		}
	}
}
