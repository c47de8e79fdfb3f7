package kit

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/hooks"
	"example.com/session/internal/redistest"
	"github.com/stretchr/testify/require"
)

// Secret is random, so that it is one that Config accepts, and fixed, so that failures repeat.
const Secret = "q3v8cJ0mFzT5pYxW1rLhKd7nBuE4sGaZ9oXiV6tRyQk"

// DriverNames are the drivers that every promise about sessions is tested on.
var DriverNames = []string{"memory", "cookie", "redis"}

// Quiet keeps what is expected to be logged out of the test's output.
var Quiet = slog.New(slog.DiscardHandler)

// EachDriver runs a test on every driver, each with a configuration of its own.
func EachDriver(t *testing.T, test func(t *testing.T, cfg session.Config)) {
	t.Helper()
	for _, name := range DriverNames {
		t.Run(name, func(t *testing.T) { test(t, DriverConfig(t, name)) })
	}
}

// patience is how long tests wait for a server on a busy machine, unless they are about that.
const patience = 30 * time.Second

// DriverConfig returns a configuration whose default is the named driver. Its redis is a real
// server, in a namespace that no other test has.
func DriverConfig(t *testing.T, name string) session.Config {
	t.Helper()
	cfg := session.Config{Default: name, Secret: Secret, Logger: Quiet}
	if name == "redis" {
		server := redistest.Shared(t)
		cfg.StoreTimeout = patience
		cfg.Redis = session.RedisConfig{Host: server.Host(), Port: server.Port(), Namespace: Namespace(t),
			Options: session.RedisOptions{DialTimeout: patience, ReadTimeout: patience, WriteTimeout: patience}}
	}
	return cfg
}

// namespace makes a redis namespace of a test's name, another one each time that the test runs.
func Namespace(t *testing.T) string {
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

// ClosedPort is a port of this machine on which nothing listens: tcpmux.
const ClosedPort = 1

func NewManager(t *testing.T, cfg session.Config) *session.Manager {
	t.Helper()
	m, err := session.NewManager(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

// A browser is a client with a cookie jar that does not follow redirects, and the real server
// that it talks to.
type Browser struct {
	T      *testing.T
	Client *http.Client
	URL    string
}

// NewBrowser serves handler on a loopback port until the test ends.
func NewBrowser(t *testing.T, handler http.Handler) *Browser {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return NewBrowserAt(t, server)
}

// NewBrowserAt returns another browser of a server that runs.
func NewBrowserAt(t *testing.T, server *httptest.Server) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := *server.Client()
	client.Jar = jar
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Browser{T: t, Client: &client, URL: server.URL}
}

// another returns another browser of the same server, with an empty cookie jar.
func (b *Browser) Another() *Browser {
	b.T.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(b.T, err)
	client := *b.Client
	client.Jar = jar
	return &Browser{T: b.T, Client: &client, URL: b.URL}
}

// A page is a response that has been read.
type Page struct {
	*http.Response
	Body string
}

// get asks for a path; headers are pairs of a name and a value.
func (b *Browser) Get(path string, headers ...string) Page {
	b.T.Helper()
	return b.Do(http.MethodGet, path, headers...)
}

func (b *Browser) Do(method, path string, headers ...string) Page {
	b.T.Helper()
	r, err := http.NewRequest(method, b.URL+path, nil)
	require.NoError(b.T, err)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	response, err := b.Client.Do(r)
	require.NoError(b.T, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(b.T, err)
	return Page{response, string(body)}
}

// cookie returns a cookie that a response sets, nil where it sets none of the name.
func (p Page) Cookie(name string) *http.Cookie {
	for _, c := range p.Cookies() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// SessionCookies returns what a browser then sends of a session whose cookies begin with name, without
// the flash cookie.
func (p Page) SessionCookies(name string) string {
	var pairs []string
	for _, c := range p.Cookies() {
		if c.MaxAge >= 0 && (c.Name == name || isData(name, c.Name)) {
			pairs = append(pairs, c.Name+"="+c.Value)
		}
	}
	return strings.Join(pairs, "; ")
}

// Next returns the Cookie line that a browser which sent one sends after this response.
func (p Page) Next(line string) string {
	sent, err := http.ParseCookie(line)
	if err != nil {
		sent = nil // of a line that is empty or worse
	}
	for _, c := range p.Cookies() {
		sent = slices.DeleteFunc(sent, func(old *http.Cookie) bool { return old.Name == c.Name })
		if c.MaxAge >= 0 {
			sent = append(sent, c)
		}
	}
	pairs := make([]string, len(sent))
	for i, c := range sent {
		pairs[i] = c.Name + "=" + c.Value
	}
	return strings.Join(pairs, "; ")
}

// DataCookie returns the data cookie of the cookie driver that a response sets, nil where it sets none.
func (p Page) DataCookie() *http.Cookie {
	for _, c := range p.Cookies() {
		if c.MaxAge >= 0 && isData("s_cookie", c.Name) {
			return c
		}
	}
	return nil
}

func isData(name, cookie string) bool {
	return strings.HasPrefix(cookie, name+"_") && cookie != name+"_f"
}

// routes serves one handler a path, under a manager's middleware.
type Routes map[string]func(w http.ResponseWriter, r *http.Request, s *session.Session)

func (rs Routes) Under(m *session.Manager) http.Handler {
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
type Visitor struct {
	*Browser
	handler *atomic.Value
}

type HandlerFunc func(w http.ResponseWriter, r *http.Request, s *session.Session)

func NewVisitor(t *testing.T, m *session.Manager) *Visitor {
	t.Helper()
	return NewVisitorBehind(t, m, func(next http.Handler) http.Handler { return next })
}

// NewVisitorBehind returns a visitor of a server that has another middleware around the manager's.
func NewVisitorBehind(t *testing.T, m *session.Manager, outer func(http.Handler) http.Handler) *Visitor {
	t.Helper()
	v := &Visitor{handler: new(atomic.Value)}
	v.Browser = NewBrowser(t, outer(m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.handler.Load().(HandlerFunc)(w, r, session.FromRequest(r))
	}))))
	return v
}

// stranger returns another visitor of the same server.
func (v *Visitor) Stranger() *Visitor {
	v.T.Helper()
	return &Visitor{Browser: v.Another(), handler: v.handler}
}

// visit sends a GET request whose handler calls do and writes nothing, which is a 200.
func (v *Visitor) Visit(do func(s *session.Session), headers ...string) Page {
	v.T.Helper()
	return v.Serve(func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { do(s) }, headers...)
}

// serve sends a GET request that is served by do.
func (v *Visitor) Serve(do HandlerFunc, headers ...string) Page {
	v.T.Helper()
	return v.Send(http.MethodGet, do, headers...)
}

// send sends a request that is served by do, and fails where do was never called: what it
// asserts would not have been asked.
func (v *Visitor) Send(method string, do HandlerFunc, headers ...string) Page {
	v.T.Helper()
	called := false
	v.handler.Store(HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
		called = true
		do(w, r, s)
	}))
	p := v.Do(method, "/", headers...)
	require.True(v.T, called, "the handler was not called: status %d", p.StatusCode)
	return p
}

// cookieHeader returns what the jar would send, for a request of somebody else.
func (v *Visitor) CookieHeader() string {
	v.T.Helper()
	r, err := http.NewRequest(http.MethodGet, v.URL, nil)
	require.NoError(v.T, err)
	for _, c := range v.Client.Jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	return r.Header.Get("Cookie")
}

// A clock is a manager's time. It stands still until a test moves it.
type Clock struct{ milliseconds atomic.Int64 }

// SetClock gives a manager that serves nothing yet a clock that begins at the present.
func SetClock(m *session.Manager) *Clock {
	c := new(Clock)
	c.milliseconds.Store(time.Now().UnixMilli())
	hooks.SetClock(m, c.Now)
	return c
}

func (c *Clock) Now() time.Time          { return time.UnixMilli(c.milliseconds.Load()) }
func (c *Clock) Advance(d time.Duration) { c.milliseconds.Add(d.Milliseconds()) }

// failures are what an ErrorHandler was called with.
type Failures struct {
	mu     sync.Mutex
	errors []error
}

// RecordFailures makes cfg keep what requests failed with; clients get the default answer.
func RecordFailures(cfg *session.Config) *Failures {
	f := new(Failures)
	cfg.ErrorHandler = func(_ http.ResponseWriter, _ *http.Request, err error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.errors = append(f.errors, err)
	}
	return f
}

// last returns what the last failed request failed with, nil where none has.
func (f *Failures) Last() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.errors) == 0 {
		return nil
	}
	return f.errors[len(f.errors)-1]
}

// A LogBook is what a manager has logged.
type LogBook struct {
	mu    sync.Mutex
	lines strings.Builder
}

// CaptureLog makes cfg log into the returned book.
func CaptureLog(cfg *session.Config) *LogBook {
	b := new(LogBook)
	cfg.Logger = slog.New(slog.NewTextHandler(b, nil))
	return b
}

func (b *LogBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines.Write(p)
}

func (b *LogBook) Text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines.String()
}
