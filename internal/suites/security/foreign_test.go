package security_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

// What this process cannot open may be another application's on the host, or that of a newer or an
// older version of this one: it is left alone, and nothing is called tampering.
func TestACookieOfAnotherApplicationIsLeftAlone(t *testing.T) {
	for name, other := range map[string]func(cfg *session.Config){
		"its own secret":              func(cfg *session.Config) { cfg.Secret = session.NewSecret() },
		"the next secret of a fleet":  func(cfg *session.Config) { cfg.Secret, cfg.PreviousSecrets = session.NewSecret(), []string{kit.Secret} },
		"a server that is 6 min fast": nil,
	} {
		t.Run(name, func(t *testing.T) {
			events := new(kit.EventBook)
			ours := kit.NewSite(t, "cookie", func(cfg *session.Config) { events = kit.RecordEvents(cfg) })
			theirs := kit.NewSite(t, "cookie")
			if other != nil {
				theirs = kit.NewSite(t, "cookie", other)
			} else {
				theirs.Clock.Advance(6 * time.Minute)
			}
			cookie := theirs.SignIn()
			for what, do := range map[string]func(own *session.Session){
				"read":      func(own *session.Session) { assert.Empty(t, own.All()); assert.NoError(t, own.Err()) },
				"user":      func(own *session.Session) { own.User() },
				"delete":    func(own *session.Session) { own.Delete("user") },
				"unused":    doNothing,
				"no flash":  func(own *session.Session) { own.Pull("message") },
				"an update": func(own *session.Session) { own.Flush() },
			} {
				p := ours.Ask(cookie, do)
				assert.Equal(t, http.StatusOK, p.StatusCode, what)
				assert.Empty(t, p.Cookies(), what)
			}
			assert.Equal(t, "ann", theirs.User(cookie))
			assert.Zero(t, ours.Manager.Stats().Tampered)
			assert.Empty(t, events.Of(session.EventTampered))

			p := ours.Ask(cookie, func(own *session.Session) { own.Set("user", "bob") })
			assert.Equal(t, "bob", ours.User(ours.Token(p)), "it is replaced when something is stored")
			p = ours.Ask(cookie, (*session.Session).Destroy)
			assert.Negative(t, lastCookie(p, ours.Cookie).MaxAge, "and cleared by Destroy")
		})
	}
}

// A cookie that another host of the domain has set stands beside ours and changes nothing.
func TestACookieOfTheParentDomainDoesNotDeleteOurs(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		theirs := kit.NewSite(t, "cookie", func(cfg *session.Config) { cfg.Secret = session.NewSecret() })
		foreign := kit.ValueOf(theirs.SignIn())
		cookie := s.SignIn()
		both := cookie + "; " + s.Cookie + "=" + foreign
		p := s.Ask(both, func(own *session.Session) { assert.Equal(t, "ann", own.Get("user")) })
		for _, line := range p.Header["Set-Cookie"] {
			assert.False(t, strings.HasSuffix(line, "GMT; HttpOnly; SameSite=Lax") && strings.Contains(line, s.Cookie+"=; Path=/; Max-Age=0"),
				"the cookie of the current attributes is deleted: %s", line)
		}
		assert.Equal(t, "ann", s.User(cookie))
		assert.Zero(t, s.Manager.Stats().Tampered)
	})
}

// Clocks of servers may differ by five minutes, and not by more.
func TestAServerWhoseClockIsBehindOpensTheCookie(t *testing.T) {
	for ahead, opens := range map[time.Duration]bool{
		61 * time.Second: true, 5 * time.Minute: true, 5*time.Minute + time.Second: false,
	} {
		behind, other := kit.NewSite(t, "cookie"), kit.NewSite(t, "cookie")
		other.Clock.Advance(behind.Clock.Now().Sub(other.Clock.Now()) + ahead)
		p := behind.Ask(other.SignIn(), func(own *session.Session) {
			assert.Equal(t, opens, own.GetString("user") == "ann", "%v ahead", ahead)
		})
		if !opens {
			assert.Empty(t, p.Cookies(), "it is left alone")
		}
		assert.Zero(t, behind.Manager.Stats().Tampered)
	}
}

// Only a value of our version and key that fails authentication is tampering: at any byte that is
// authenticated. It is left alone like every other.
func TestTamperingIsNoticedAtEveryCharacter(t *testing.T) {
	var events *kit.EventBook
	s := kit.NewSite(t, "cookie", func(cfg *session.Config) { events = kit.RecordEvents(cfg) })
	cookie := s.SignIn()
	const head = 7 // version and key id: a change makes it another application's
	for _, pair := range strings.Split(cookie, "; ") {
		before := s.Manager.Stats().Tampered
		name, value, _ := strings.Cut(pair, "=")
		for at := range value[:len(value)-1] {
			altered := strings.Replace(cookie, pair, name+"="+alteredAt(value, at), 1)
			p := s.Ask(altered, func(own *session.Session) { assert.Empty(t, own.All(), "character %d", at) })
			assert.Empty(t, p.Cookies())
		}
		assert.InDelta(t, len(value)-head, int(s.Manager.Stats().Tampered-before), 1)
	}
	assert.Len(t, events.Of(session.EventTampered), int(s.Manager.Stats().Tampered))
	assert.Equal(t, "ann", s.User(cookie))
}

// Anybody can send the hint of flash. It makes no driver be asked that the application does not use,
// so nobody can make a page wait or a health check fail.
func TestAHintOfAnUnusedDriverIsNotFollowed(t *testing.T) {
	cfg := session.Config{Default: "cookie", Secret: kit.Secret, Logger: kit.Quiet, Redis: session.RedisConfig{Port: kit.ClosedPort}}
	log := kit.CaptureLog(&cfg)
	m := kit.NewManager(t, cfg)
	for _, do := range []func(own *session.Session){doNothing, read} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", "s_redis_f=1; s_redis="+inventedToken()+"; s_memory_f=1")
		r.Header.Set("Sec-Fetch-Dest", "document")
		w := httptest.NewRecorder()
		m.Middleware(kit.HTTPHandler(do)).ServeHTTP(w, r)
		assert.Equal(t, http.StatusOK, w.Code)
		assert.Empty(t, w.Result().Cookies())
	}
	assert.NoError(t, m.Ping(t.Context()))
	assert.Empty(t, log.Text())
}

// The same if redis is not configured at all.
func TestAHintDoesNotMakePingAskADriver(t *testing.T) {
	m := kit.NewManager(t, session.Config{Default: "memory", Logger: kit.Quiet})
	v := kit.NewVisitor(t, m)
	v.Visit(doNothing, "Cookie", "s_redis_f=1", "Sec-Fetch-Dest", "document")
	assert.NoError(t, m.Ping(t.Context()))
	assert.Zero(t, m.Stats().Loads)
}

// Behind a proxy the address of the connection is that of the proxy: everybody would share one
// session.
func TestClientAddressesBehindAProxyAreRefused(t *testing.T) {
	for _, header := range []string{"X-Real-IP", "X-Forwarded-For", "Forwarded", "Via", "True-Client-IP", "CF-Connecting-IP"} {
		cfg := session.Config{Default: "memory", Logger: kit.Quiet, Memory: session.MemoryConfig{ByClientIP: true}}
		failed := kit.RecordFailures(&cfg)
		m := kit.NewManager(t, cfg)
		v := kit.NewVisitor(t, m)
		p := v.Visit(func(s *session.Session) { s.Set("k", 1) }, header, "203.0.113.9")
		assert.Equal(t, http.StatusInternalServerError, p.StatusCode, header)
		assert.ErrorContains(t, failed.Last(), "Config.ClientIP", header)
		v.Visit(func(s *session.Session) { assert.Nil(t, s.Get("k")) })
	}
}

// A proxy that uses a Unix socket gives no address at all: everybody would share one session there, too.
func TestAConnectionWithoutAnAddressIsRefused(t *testing.T) {
	cfg := session.Config{Default: "memory", Logger: kit.Quiet, Memory: session.MemoryConfig{ByClientIP: true}}
	failed := kit.RecordFailures(&cfg)
	m := kit.NewManager(t, cfg)
	socket := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(m.Middleware(kit.HTTPHandler(func(s *session.Session) { s.Set("k", 1) })))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	t.Cleanup(client.CloseIdleConnections)
	response, err := client.Get("http://localhost/")
	require.NoError(t, err)
	response.Body.Close()
	assert.Equal(t, http.StatusInternalServerError, response.StatusCode)
	assert.ErrorContains(t, failed.Last(), "Config.ClientIP")
}

// chi's RealIP puts an address without a port into RemoteAddr.
func TestAClientAddressWithoutAPortIsFound(t *testing.T) {
	m := kit.NewManager(t, session.Config{Default: "memory", Logger: kit.Quiet, Memory: session.MemoryConfig{ByClientIP: true}})
	count := func(address string) (n int) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = address
		w := httptest.NewRecorder()
		m.Middleware(kit.HTTPHandler(func(s *session.Session) { n = s.Increment("n", 1) })).ServeHTTP(w, r)
		require.Equal(t, http.StatusOK, w.Code, address)
		return n
	}
	for i, address := range []string{"203.0.113.9:4711", "203.0.113.9", "203.0.113.9:4712"} {
		assert.Equal(t, i+1, count(address))
	}
	for i, address := range []string{"[2001:db8::1]:4711", "2001:db8::1", "[2001:DB8::1]"} {
		assert.Equal(t, i+1, count(address))
	}
	assert.Equal(t, 1, count("203.0.113.10:4711"))
}
