package session_test

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
)

// A site is a server with sessions on one driver. What its handler does is given with each
// request, and so are the cookies: an attacker has no jar.
type site struct {
	t      *testing.T
	cfg    session.Config
	cookie string // name of the session cookie
	m      *session.Manager
	clock  *clock
	server *httptest.Server
	store  *countingStore // of the driver "store", else nil
	serve  atomic.Value   // of serveFunc
}

type serveFunc func(w http.ResponseWriter, r *http.Request, s *session.Session)

// onServers runs a test on every driver that keeps sessions on the server, one of a Store too.
func onServers(t *testing.T, test func(t *testing.T, s *site), change ...func(*session.Config)) {
	t.Helper()
	for _, name := range []string{"memory", "redis", "store"} {
		t.Run(name, func(t *testing.T) { test(t, newSite(t, name, change...)) })
	}
}

// everywhere is onServers and the cookie driver.
func everywhere(t *testing.T, test func(t *testing.T, s *site), change ...func(*session.Config)) {
	t.Helper()
	onServers(t, test, change...)
	t.Run("cookie", func(t *testing.T) { test(t, newSite(t, "cookie", change...)) })
}

func newSite(t *testing.T, driver string, change ...func(*session.Config)) *site {
	t.Helper()
	s := &site{t: t}
	if driver == "store" {
		s.store = newCountingStore()
		s.cfg = driverConfig(t, "memory")
		s.cfg.Drivers = map[string]session.Driver{"store": session.StoreDriver(s.store)}
		s.cfg.Default = driver
	} else {
		s.cfg = driverConfig(t, driver)
	}
	for _, change := range change {
		change(&s.cfg)
	}
	s.cookie = s.cfg.CookieAttributes.Prefix + driver
	if s.cfg.CookieAttributes.Prefix == "" {
		s.cookie = "s_" + driver
	}
	s.open()
	return s
}

// open makes the manager and serves it.
func (s *site) open() {
	s.m = newManager(s.t, s.cfg)
	s.clock = setClock(s.m)
	s.server = httptest.NewServer(s.m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.serve.Load().(serveFunc)(w, r, session.FromRequest(r))
	})))
	s.t.Cleanup(s.server.Close)
}

// ask sends a Cookie line, none where it is empty, to a handler that does this and writes nothing.
func (s *site) ask(cookies string, do func(s *session.Session)) page {
	s.t.Helper()
	return s.visit(cookies, func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { do(s) })
}

// visit sends a Cookie line, none where it is empty, to this handler; headers are pairs.
func (s *site) visit(cookies string, serve serveFunc, headers ...string) page {
	s.t.Helper()
	called := false
	s.serve.Store(serveFunc(func(w http.ResponseWriter, r *http.Request, own *session.Session) {
		called = true
		serve(w, r, own)
	}))
	r, err := http.NewRequest(http.MethodGet, s.server.URL+"/", nil)
	require.NoError(s.t, err)
	if cookies != "" {
		r.Header.Set("Cookie", cookies)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	response, err := s.server.Client().Transport.RoundTrip(r)
	require.NoError(s.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	require.True(s.t, called, "the handler was not called: %s", response.Status)
	return page{response, string(body)}
}

// signIn begins a session that holds a user, and returns its cookie as name=value.
func (s *site) signIn() string {
	s.t.Helper()
	return s.token(s.ask("", func(own *session.Session) {
		own.Regenerate()
		own.Set("user", "ann")
	}))
}

// token returns the session cookie that a response sets, as name=value.
func (s *site) token(p page) string {
	s.t.Helper()
	c := p.cookie(s.cookie)
	require.NotNil(s.t, c, "no session cookie in %v", p.Header)
	require.NotEmpty(s.t, c.Value)
	return c.Name + "=" + c.Value
}

// user returns who the session is that cookies open, "" where they open none.
func (s *site) user(cookies string) (user string) {
	s.t.Helper()
	s.ask(cookies, func(own *session.Session) { user = own.GetString("user") })
	return user
}

// stored returns how many records the driver keeps, tombstones included but for memory's; the
// cookie driver keeps none.
func (s *site) stored() int {
	s.t.Helper()
	switch s.cfg.Default {
	case "memory":
		return int(s.m.Stats().Sessions)
	case "redis":
		return len(storedKeys(s.t, s.redis(), s.cfg.Redis.Namespace+":"))
	case "store":
		return len(s.store.dump())
	}
	return 0
}

// redis connects to the server that the site's sessions are in.
func (s *site) redis() redis.Conn {
	s.t.Helper()
	conn, err := redis.Dial("tcp", net.JoinHostPort(s.cfg.Redis.Host, strconv.Itoa(s.cfg.Redis.Port)))
	require.NoError(s.t, err)
	s.t.Cleanup(func() { conn.Close() })
	return conn
}

// storedKeys returns the keys of a redis that begin with prefix. The library never asks so.
func storedKeys(t *testing.T, conn redis.Conn, prefix string) []string {
	t.Helper()
	keys, err := redis.Strings(conn.Do("KEYS", prefix+"*"))
	require.NoError(t, err)
	return keys
}

// valueOf returns what stands behind the name of a cookie.
func valueOf(cookie string) string {
	_, value, _ := strings.Cut(cookie, "=")
	return value
}

// httpHandler serves every request by what it does with its session, and writes nothing.
func httpHandler(do func(s *session.Session)) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { do(session.FromRequest(r)) })
}

// A countingStore is a Store that counts its calls, and shows what it keeps.
type countingStore struct {
	mu      sync.Mutex
	entries map[string]session.Entry
	calls   int
}

func newCountingStore() *countingStore {
	return &countingStore{entries: make(map[string]session.Entry)}
}

func (s *countingStore) Get(_ context.Context, id string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	return s.entries[id].Data, nil
}

func (s *countingStore) Update(_ context.Context, id string, change func([]byte) (session.Entry, error)) error {
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
func (s *countingStore) dump() (lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(s.entries)) {
		lines = append(lines, id+" "+string(s.entries[id].Data))
	}
	return lines
}

// A countingRedis is a RedisClient that only counts what it is asked.
type countingRedis struct{ calls int }

func (c *countingRedis) Eval(context.Context, session.RedisScript, string, []any) ([]string, error) {
	c.calls++
	return []string{"gone"}, nil
}

func (c *countingRedis) Ping(context.Context) error { return nil }
