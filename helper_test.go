package session_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/redistest"
	"github.com/stretchr/testify/require"
)

// testSecret is random, so that it is one that Config accepts, and fixed, so that failures repeat.
const testSecret = "q3v8cJ0mFzT5pYxW1rLhKd7nBuE4sGaZ9oXiV6tRyQk"

// driverNames are the drivers that every promise about sessions is tested on.
var driverNames = []string{"memory", "cookie", "redis"}

// quiet keeps what is expected to be logged out of the test's output.
var quiet = slog.New(slog.DiscardHandler)

// eachDriver runs a test on every driver, each with a configuration of its own.
func eachDriver(t *testing.T, test func(t *testing.T, cfg session.Config)) {
	t.Helper()
	for _, name := range driverNames {
		t.Run(name, func(t *testing.T) { test(t, driverConfig(t, name)) })
	}
}

// driverConfig returns a configuration whose default is the named driver. Its redis is a real
// server, in a namespace that no other test has.
func driverConfig(t *testing.T, name string) session.Config {
	t.Helper()
	cfg := session.Config{Default: name, Secret: testSecret, Logger: quiet}
	if name == "redis" {
		server := redistest.Shared(t)
		cfg.Redis = session.RedisConfig{Host: server.Host(), Port: server.Port(), Namespace: namespace(t)}
	}
	return cfg
}

// namespace makes a redis namespace of a test's name, another one each time that the test runs.
func namespace(t *testing.T) string {
	run, _ := namespaces.LoadOrStore(t, runs.Add(1))
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '.'
	}, t.Name())
	return fmt.Sprint(name[max(0, len(name)-100):], run)
}

var (
	namespaces sync.Map // by *testing.T
	runs       atomic.Int64
)

// closedPort is a port of this machine on which nothing listens: tcpmux.
const closedPort = 1

func newManager(t *testing.T, cfg session.Config) *session.Manager {
	t.Helper()
	m, err := session.NewManager(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

// A browser is a client with a cookie jar that does not follow redirects, and the real server
// that it talks to.
type browser struct {
	t      *testing.T
	client *http.Client
	url    string
}

// newBrowser serves handler on a loopback port until the test ends.
func newBrowser(t *testing.T, handler http.Handler) *browser {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return newBrowserAt(t, server)
}

// newBrowserAt returns another browser of a server that runs.
func newBrowserAt(t *testing.T, server *httptest.Server) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := *server.Client()
	client.Jar = jar
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{t: t, client: &client, url: server.URL}
}

// another returns another browser of the same server, with an empty cookie jar.
func (b *browser) another() *browser {
	b.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(b.t, err)
	client := *b.client
	client.Jar = jar
	return &browser{t: b.t, client: &client, url: b.url}
}

// A page is a response that has been read.
type page struct {
	*http.Response
	body string
}

// get asks for a path; headers are pairs of a name and a value.
func (b *browser) get(path string, headers ...string) page {
	b.t.Helper()
	return b.do(http.MethodGet, path, headers...)
}

func (b *browser) do(method, path string, headers ...string) page {
	b.t.Helper()
	r, err := http.NewRequest(method, b.url+path, nil)
	require.NoError(b.t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	response, err := b.client.Do(r)
	require.NoError(b.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(b.t, err)
	return page{response, string(body)}
}

// cookie returns a cookie that a response sets, nil where it sets none of the name.
func (p page) cookie(name string) *http.Cookie {
	for _, c := range p.Cookies() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// routes serves one handler a path, under a manager's middleware.
type routes map[string]func(w http.ResponseWriter, r *http.Request, s *session.Session)

func (rs routes) under(m *session.Manager) http.Handler {
	mux := http.NewServeMux()
	for pattern, serve := range rs {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			serve(w, r, session.FromRequest(r))
		})
	}
	return m.Middleware(mux)
}

// A visitor is a browser of a server whose handler is given anew for each request, so that a
// test reads from top to bottom.
type visitor struct {
	*browser
	handler *atomic.Value
}

type handlerFunc func(w http.ResponseWriter, r *http.Request, s *session.Session)

func newVisitor(t *testing.T, m *session.Manager) *visitor {
	t.Helper()
	v := &visitor{handler: new(atomic.Value)}
	v.browser = newBrowser(t, m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.handler.Load().(handlerFunc)(w, r, session.FromRequest(r))
	})))
	return v
}

// stranger returns another visitor of the same server.
func (v *visitor) stranger() *visitor {
	v.t.Helper()
	return &visitor{browser: v.another(), handler: v.handler}
}

// visit sends a GET request whose handler calls do and writes nothing, which is a 200.
func (v *visitor) visit(do func(s *session.Session), headers ...string) page {
	v.t.Helper()
	return v.serve(func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { do(s) }, headers...)
}

// serve sends a GET request that is served by do.
func (v *visitor) serve(do handlerFunc, headers ...string) page {
	v.t.Helper()
	return v.send(http.MethodGet, do, headers...)
}

// send sends a request that is served by do, and fails where do was never called: what it
// asserts would not have been asked.
func (v *visitor) send(method string, do handlerFunc, headers ...string) page {
	v.t.Helper()
	called := false
	v.handler.Store(handlerFunc(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
		called = true
		do(w, r, s)
	}))
	p := v.do(method, "/", headers...)
	require.True(v.t, called, "the handler was not called: status %d", p.StatusCode)
	return p
}

// cookieHeader returns what the jar would send, for a request of somebody else.
func (v *visitor) cookieHeader() string {
	v.t.Helper()
	r, err := http.NewRequest(http.MethodGet, v.url, nil)
	require.NoError(v.t, err)
	for _, c := range v.client.Jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	return r.Header.Get("Cookie")
}

// A clock is a manager's time. It stands still until a test moves it.
type clock struct{ milliseconds atomic.Int64 }

// setClock gives a manager that serves nothing yet a clock that begins at the present.
func setClock(m *session.Manager) *clock {
	c := new(clock)
	c.milliseconds.Store(time.Now().UnixMilli())
	m.SetClock(c.now)
	return c
}

func (c *clock) now() time.Time          { return time.UnixMilli(c.milliseconds.Load()) }
func (c *clock) advance(d time.Duration) { c.milliseconds.Add(d.Milliseconds()) }

// failures are what an ErrorHandler was called with.
type failures struct {
	mu     sync.Mutex
	errors []error
}

// recordFailures makes cfg keep what requests failed with; clients get the default answer.
func recordFailures(cfg *session.Config) *failures {
	f := new(failures)
	cfg.ErrorHandler = func(_ http.ResponseWriter, _ *http.Request, err error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.errors = append(f.errors, err)
	}
	return f
}

// last returns what the last failed request failed with, nil where none has.
func (f *failures) last() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.errors) == 0 {
		return nil
	}
	return f.errors[len(f.errors)-1]
}

// A logBook is what a manager has logged.
type logBook struct {
	mu    sync.Mutex
	lines strings.Builder
}

// captureLog makes cfg log into the returned book.
func captureLog(cfg *session.Config) *logBook {
	b := new(logBook)
	cfg.Logger = slog.New(slog.NewTextHandler(b, nil))
	return b
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines.Write(p)
}

func (b *logBook) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines.String()
}
