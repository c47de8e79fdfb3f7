// Package frameworks_test runs each application as a program of its own and uses it over HTTP. The
// tests of htmx and Turbo in a browser are in e2e/.
package frameworks_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/suites/kit"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An application is a directory beside this file, and what is its own.
type application struct {
	name    string
	missing string // what it answers to a path that it does not have
	panics  panics
	path    string                                   // of the page that panics, unless it is /panic
	stream  func(t *testing.T, b *kit.Browser) []int // reads the first three counts, unless it is lines
}

// panics says what becomes of a panic.
type panics int

const (
	closes  panics = iota // nobody recovers it: net/http closes the connection, and nothing is stored
	outside               // it is recovered outside the session middleware: status 500, and nothing is stored
	inside                // it is recovered inside: status 500, and the session is stored like after any other response
)

var applications = []application{
	{name: "servemux", panics: outside},
	{name: "chi", panics: outside},
	{name: "gin", panics: inside},
	{name: "echo4", panics: outside, missing: `{"message":"there is no such thing"}` + "\n"},
	{name: "echo5", panics: outside, missing: `{"message":"there is no such thing"}` + "\n"},
	{name: "htmx"},
	{name: "turbo"},
	{name: "templ"},
	{name: "datastar"},
	{name: "connect", panics: inside, path: "/demo.Greeter/Panic", stream: call},
	{name: "gorilla", stream: dial},
	{name: "coder", stream: dial},
}

// programs is the directory of the programs that TestMain has built.
var programs string

// buildFlags are the flags that the programs are built with. With -race, race_test.go adds -race.
var buildFlags = []string{"build", "-ldflags=-w"}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "session-frameworks")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	programs = dir
	out, err := exec.Command("go", append(buildFlags, "-o", dir+string(filepath.Separator), "./...")...).CombinedOutput()
	if err != nil {
		panic(string(out))
	}
	return m.Run()
}

func start(t *testing.T, name string, args ...string) *kit.Program {
	t.Helper()
	return kit.StartProgram(t, filepath.Join(programs, name), args...)
}

// each runs a test on every application, with a browser that has no cookies yet.
func each(t *testing.T, test func(t *testing.T, a application, b *kit.Browser)) {
	t.Helper()
	for _, a := range applications {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			test(t, a, start(t, a.name).NewBrowser(t))
		})
	}
}

// signIn sends the form of the page.
func signIn(b *kit.Browser) kit.Page {
	b.T.Helper()
	r, err := http.NewRequest(http.MethodPost, b.URL+"/sign-in", strings.NewReader("user=ann"))
	require.NoError(b.T, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := b.Client.Do(r)
	require.NoError(b.T, err)
	response.Body.Close()
	return kit.Page{Response: response}
}

const (
	message = `<p class="message">You are signed in.</p>`
	html    = "text/html,application/xhtml+xml"
)

// page is the first page as a browser asks for it.
func page(b *kit.Browser) kit.Page {
	b.T.Helper()
	p := b.Get("/", "Accept", html, "Sec-Fetch-Dest", "document")
	require.Equal(b.T, http.StatusOK, p.StatusCode)
	return p
}

func TestUnknownArgumentIsRefused(t *testing.T) {
	built, err := os.ReadDir(programs)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(built), len(applications))
	for _, program := range built {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		out, err := exec.CommandContext(ctx, filepath.Join(programs, program.Name()), "redis").CombinedOutput()
		cancel()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit, program.Name())
		assert.Contains(t, string(out), `unknown argument "redis"`, program.Name())
	}
}

func TestPageOfAVisitorSetsNoCookieAndIsPrivate(t *testing.T) {
	each(t, func(t *testing.T, a application, b *kit.Browser) {
		p := page(b)
		assert.Contains(t, p.Body, "Nobody is signed in.")
		assert.Empty(t, p.Header["Set-Cookie"])
		assert.Equal(t, "private, no-cache", p.Header.Get("Cache-Control"))
		require.Len(t, p.Header["Vary"], 1, "some caches obey one line only")
		assert.Contains(t, p.Header.Get("Vary"), "Cookie")
	})
}

func TestMessageIsShownOnceAfterTheRedirect(t *testing.T) {
	each(t, func(t *testing.T, a application, b *kit.Browser) {
		p := signIn(b)
		require.Equal(t, http.StatusSeeOther, p.StatusCode)
		assert.Len(t, p.Cookies(), 2, "the session, and the hint that a message waits")
		p = page(b)
		assert.Contains(t, p.Body, message)
		assert.Contains(t, p.Body, "Hello ann.")
		p = page(b)
		assert.NotContains(t, p.Body, message)
		assert.Contains(t, p.Body, "Hello ann.")
	})
}

func TestErrorLeavesTheMessage(t *testing.T) {
	each(t, func(t *testing.T, a application, b *kit.Browser) {
		signIn(b)
		p := b.Get("/missing", "Accept", html, "Sec-Fetch-Dest", "document")
		assert.Equal(t, http.StatusNotFound, p.StatusCode)
		if a.missing != "" {
			assert.Equal(t, a.missing, p.Body, "the framework's own answer")
		}
		assert.Contains(t, page(b).Body, message)
	})
}

func TestPanicLeavesTheMessage(t *testing.T) {
	each(t, func(t *testing.T, a application, b *kit.Browser) {
		signIn(b)
		a.panic(b)
		assert.Contains(t, page(b).Body, message)
	})
}

func TestPanicStoresNothingUnlessItIsRecoveredInside(t *testing.T) {
	each(t, func(t *testing.T, a application, b *kit.Browser) {
		p := a.panic(b)
		if a.panics == closes {
			return
		}
		assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
		assert.Equal(t, a.panics == inside, len(p.Cookies()) == 1, "a session was begun: %v", p.Header)
	})
}

// panic asks for the page that panics.
func (a application) panic(b *kit.Browser) (p kit.Page) {
	b.T.Helper()
	if a.path != "" {
		return b.Do(http.MethodPost, a.path, "Content-Type", "application/proto")
	}
	if a.panics == closes {
		response, err := b.Client.Get(b.URL + "/panic")
		if !assert.ErrorIs(b.T, err, io.EOF, "net/http closes the connection") {
			response.Body.Close()
		}
		return kit.Page{}
	}
	return b.Get("/panic")
}

// A stream goes on until its client has gone, so whatever the client reads was sent meanwhile.
func TestStreamCountsInTheSession(t *testing.T) {
	each(t, func(t *testing.T, a application, b *kit.Browser) {
		signIn(b)
		read := a.stream
		if read == nil {
			read = lines
		}
		assert.Equal(t, []int{1, 2, 3}, read(t, b))
		assert.Greater(t, read(t, b)[0], 3, "the second stream goes on counting")
		p := page(b)
		assert.Contains(t, p.Body, "Hello ann.")
		assert.Contains(t, p.Body, message, "a stream that did not read the message has removed it")
	})
}

// lines reads the first three numbers of a body.
func lines(t *testing.T, b *kit.Browser) (counts []int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.URL+"/stream", nil)
	require.NoError(t, err)
	r.Header.Set("Accept", "text/event-stream")
	response, err := b.Client.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
	for scanner := bufio.NewScanner(response.Body); len(counts) < 3; {
		require.True(t, scanner.Scan(), "the stream ended after %v: %v", counts, scanner.Err())
		if n := number.FindString(scanner.Text()); n != "" {
			counts = append(counts, atoi(t, n))
		}
	}
	return counts
}

// Some answers come from further out than the session middleware.
func TestTimeoutOfChiLeavesTheMessage(t *testing.T) {
	t.Parallel()
	b := start(t, "chi", "-timeout=200ms").NewBrowser(t)
	signIn(b)
	assert.Equal(t, http.StatusGatewayTimeout, b.Get("/slow", "Accept", html, "Sec-Fetch-Dest", "document").StatusCode)
	assert.Contains(t, page(b).Body, message)
}

func TestPageThatChiCompressesKeepsOneVaryLine(t *testing.T) {
	t.Parallel()
	b := start(t, "chi").NewBrowser(t)
	b.Client.Transport.(*http.Transport).DisableCompression = true // else the client hides it
	p := b.Get("/", "Accept-Encoding", "gzip")
	assert.Equal(t, "gzip", p.Header.Get("Content-Encoding"))
	assert.Equal(t, []string{"Accept-Encoding, Cookie"}, p.Header["Vary"])
}

// RealIP is deprecated, but many use it. It leaves an address without a port.
func TestClientsBehindRealIPAreToldApart(t *testing.T) {
	cfg := session.Config{Default: "memory", ClientIP: func(r *http.Request) string { return r.RemoteAddr }}
	cfg.Memory.ByClientIP = true
	r := chi.NewRouter()
	r.Use(middleware.RealIP, kit.NewManager(t, cfg).Middleware) //lint:ignore SA1019 that it is deprecated is no reason to fail
	r.Get("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, session.FromRequest(r).Increment("visits", 1))
	})
	b := kit.NewBrowser(t, r)
	for _, visit := range []struct{ address, want string }{{"192.0.2.1", "1"}, {"192.0.2.1", "2"}, {"2001:db8::1", "1"}} {
		assert.Equal(t, visit.want, b.Get("/", "X-Real-IP", visit.address).Body, visit.address)
	}
}
