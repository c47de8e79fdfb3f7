package kit

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/driver"
)

// A site is a server with sessions on one driver. What its handler does is given with each
// request, and so are the cookies: an attacker has no jar.
type Site struct {
	T       *testing.T
	Config  session.Config
	Cookie  string // name of the session cookie
	Manager *session.Manager
	Clock   *Clock
	Server  *httptest.Server
	Store   *CountingStore // of the driver "store", else nil
	handler atomic.Value   // of ServeFunc
}

type ServeFunc func(w http.ResponseWriter, r *http.Request, s *session.Session)

// OnServers runs a test on every driver that keeps sessions on the server, one of a Store too.
func OnServers(t *testing.T, test func(t *testing.T, s *Site), change ...func(*session.Config)) {
	t.Helper()
	for _, name := range []string{"memory", "redis", "store"} {
		t.Run(name, func(t *testing.T) { test(t, NewSite(t, name, change...)) })
	}
}

// Everywhere is OnServers and the cookie driver.
func Everywhere(t *testing.T, test func(t *testing.T, s *Site), change ...func(*session.Config)) {
	t.Helper()
	OnServers(t, test, change...)
	t.Run("cookie", func(t *testing.T) { test(t, NewSite(t, "cookie", change...)) })
}

func NewSite(t *testing.T, driver string, change ...func(*session.Config)) *Site {
	t.Helper()
	s := &Site{T: t}
	if driver == "store" {
		s.Store = NewCountingStore()
		s.Config = DriverConfig(t, "memory")
		s.Config.Drivers = map[string]session.Driver{"store": session.StoreDriver(s.Store)}
		s.Config.Default = driver
	} else {
		s.Config = DriverConfig(t, driver)
	}
	for _, change := range change {
		change(&s.Config)
	}
	s.Cookie = s.Config.CookieAttributes.Prefix + driver
	if s.Config.CookieAttributes.Prefix == "" {
		s.Cookie = "s_" + driver
	}
	s.Open()
	return s
}

// open makes the manager and serves it.
func (s *Site) Open() {
	s.Manager = NewManager(s.T, s.Config)
	s.Clock = SetClock(s.Manager)
	s.Server = httptest.NewServer(s.Manager.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.handler.Load().(ServeFunc)(w, r, session.FromRequest(r))
	})))
	s.T.Cleanup(s.Server.Close)
}

// ask sends a Cookie line, none where it is empty, to a handler that does this and writes nothing.
func (s *Site) Ask(cookies string, do func(s *session.Session)) Page {
	s.T.Helper()
	return s.Visit(cookies, func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { do(s) })
}

// visit sends a Cookie line, none where it is empty, to this handler; headers are pairs.
func (s *Site) Visit(cookies string, serve ServeFunc, headers ...string) Page {
	s.T.Helper()
	called := false
	s.handler.Store(ServeFunc(func(w http.ResponseWriter, r *http.Request, own *session.Session) {
		called = true
		serve(w, r, own)
	}))
	r, err := http.NewRequest(http.MethodGet, s.Server.URL+"/", nil)
	require.NoError(s.T, err)
	if cookies != "" {
		r.Header.Set("Cookie", cookies)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	response, err := s.Server.Client().Transport.RoundTrip(r)
	require.NoError(s.T, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(s.T, err)
	require.True(s.T, called, "the handler was not called: %s", response.Status)
	return Page{response, string(body)}
}

// signIn begins a session that holds a user, and returns its cookie as name=value.
func (s *Site) SignIn() string {
	s.T.Helper()
	return s.Token(s.Ask("", func(own *session.Session) {
		own.Regenerate()
		own.Set("user", "ann")
	}))
}

// token returns the session's cookies that a response sets, as name=value, separated by semicolons.
func (s *Site) Token(p Page) string {
	s.T.Helper()
	c := p.Cookie(s.Cookie)
	require.NotNil(s.T, c, "no session cookie in %v", p.Header)
	require.NotEmpty(s.T, c.Value)
	return p.SessionCookies(s.Cookie)
}

// user returns who the session is that cookies open, "" where they open none.
func (s *Site) User(cookies string) (user string) {
	s.T.Helper()
	s.Ask(cookies, func(own *session.Session) { user = own.GetString("user") })
	return user
}

// stored returns how many records the driver keeps, tombstones included but for memory's; the
// cookie driver keeps none.
func (s *Site) Stored() int {
	s.T.Helper()
	switch s.Config.Default {
	case "memory":
		return int(s.Manager.Stats().Sessions)
	case "redis":
		return len(StoredKeys(s.T, s.Redis(), s.Config.Redis.Namespace+":"))
	case "store":
		return len(s.Store.Dump())
	}
	return 0
}

// redis connects to the server that the site's sessions are in.
func (s *Site) Redis() redis.Conn {
	s.T.Helper()
	conn, err := redis.Dial("tcp", net.JoinHostPort(s.Config.Redis.Host, strconv.Itoa(s.Config.Redis.Port)))
	require.NoError(s.T, err)
	s.T.Cleanup(func() { conn.Close() })
	return conn
}

// StoredKeys returns the keys of a redis that begin with prefix. The library never asks so.
func StoredKeys(t *testing.T, conn redis.Conn, prefix string) []string {
	t.Helper()
	keys, err := redis.Strings(conn.Do("KEYS", prefix+"*"))
	require.NoError(t, err)
	return keys
}

// CookiesWithFlash returns how many cookies a session with a flash message has.
func (s *Site) CookiesWithFlash() int {
	if s.Config.Default == "cookie" {
		return 3 // the data are in one of their own
	}
	return 2
}

// ValueOf returns what stands behind the name of a cookie.
func ValueOf(cookie string) string {
	_, value, _ := strings.Cut(cookie, "=")
	return value
}

// HTTPHandler serves every request by what it does with its session, and writes nothing.
func HTTPHandler(do func(s *session.Session)) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { do(session.FromRequest(r)) })
}

// A CountingStore is a Store that counts its calls, and shows what it keeps.
type CountingStore struct {
	mu      sync.Mutex
	entries map[string]driver.Entry
	calls   int
}

func NewCountingStore() *CountingStore {
	return &CountingStore{entries: make(map[string]driver.Entry)}
}

func (s *CountingStore) Get(_ context.Context, id string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	return s.entries[id].Data, nil
}

func (s *CountingStore) Update(_ context.Context, id string, change func([]byte) (driver.Entry, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	entry, err := change(s.entries[id].Data)
	if err == nil && entry.Data != nil {
		s.entries[id] = entry
	}
	return err
}

// dump returns every id and what is under it.
func (s *CountingStore) Dump() (lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(s.entries)) {
		lines = append(lines, id+" "+string(s.entries[id].Data))
	}
	return lines
}
