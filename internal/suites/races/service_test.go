package races_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/casstore"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/require"
)

// A service is one process of an application, whose handler is given with each request.
type service struct {
	t       *testing.T
	cookie  string // name
	manager *session.Manager
}

func newService(t *testing.T, cfg session.Config) *service {
	t.Helper()
	cfg.Logger = kit.Quiet
	return &service{t: t, cookie: "s_" + cfg.Default, manager: kit.NewManager(t, cfg)}
}

// onServers runs a test on every driver that keeps sessions on a server.
func onServers(t *testing.T, test func(t *testing.T, s *service)) {
	t.Helper()
	for _, name := range []string{"memory", "redis", "store"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name != "store" {
				test(t, newService(t, kit.DriverConfig(t, name)))
				return
			}
			test(t, newService(t, session.Config{
				Default: name, Secret: kit.Secret,
				Drivers: map[string]session.Driver{name: session.StoreDriver(new(casstore.Store))},
			}))
		})
	}
}

// ask serves a request with a token, "" for none.
func (s *service) ask(token string, do func(own *session.Session)) *httptest.ResponseRecorder {
	r := newRequest(s.t.Context(), "")
	if token != "" {
		r.Header.Set("Cookie", s.cookie+"="+token)
	}
	recorder := newRecorder()
	s.manager.Middleware(kit.HTTPHandler(do)).ServeHTTP(recorder, r)
	return recorder
}

// token returns what a response sets the session cookie to, "" if it does not.
func (s *service) token(recorder *httptest.ResponseRecorder) string {
	for _, line := range recorder.Header()["Set-Cookie"] {
		if c, err := http.ParseSetCookie(line); err == nil && c.Name == s.cookie && c.MaxAge >= 0 {
			return c.Value
		}
	}
	return ""
}

// begin returns the token of a visitor with a book in the cart.
func (s *service) begin() string {
	s.t.Helper()
	token := s.token(s.ask("", func(own *session.Session) { own.Set("cart", "book") }))
	require.NotEmpty(s.t, token)
	return token
}

// signIn returns the token of a new session of a user.
func (s *service) signIn(user string) string {
	s.t.Helper()
	token := s.token(s.ask("", func(own *session.Session) { own.Login(user) }))
	require.NotEmpty(s.t, token)
	return token
}

// open returns what a token opens.
func (s *service) open(token string) (p probe) {
	s.t.Helper()
	recorder := s.ask(token, p.look)
	require.Equal(s.t, http.StatusOK, recorder.Code)
	return p
}

// sessions returns how many sessions of a user are listed.
func (s *service) sessions(user string) int {
	s.t.Helper()
	infos, err := s.manager.Sessions(s.t.Context(), user)
	require.NoError(s.t, err)
	return len(infos)
}

// redisThrough is a configuration that reaches redis through a proxy.
func redisThrough(p *redistest.Proxy, namespace string) session.Config {
	return session.Config{
		Default: "redis", Secret: kit.Secret, StoreTimeout: 30 * time.Second,
		Redis: session.RedisConfig{Host: p.Host(), Port: p.Port(), Namespace: namespace, Options: session.RedisOptions{
			DialTimeout: 30 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, Connections: 64,
		}},
	}
}
