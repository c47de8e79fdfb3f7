// Package sessiontest helps to test handlers that use sessions. [Context] gives the test of a
// handler a session that the test can fill and inspect. [SignedIn] gives it one of a user. [NewBrowser]
// gives it a browser of a real server, and [NewClock] a clock to move. Tests for drivers and stores are in package drivertest.
package sessiontest

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"example.com/session"
)

// A Browser is a client of a real server on a loopback port. It keeps cookies, and returns a
// redirect without following it. If a request gets no response, the test fails at once, so the
// methods must be called from the test's own goroutine. Client may be used from any goroutine.
type Browser struct {
	Client *http.Client
	URL    string // of the server, without a trailing slash

	t testing.TB
}

// NewBrowser serves a handler until the test ends, and returns a browser of that server without cookies.
func NewBrowser(t testing.TB, handler http.Handler) *Browser {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return (&Browser{Client: server.Client(), URL: server.URL, t: t}).Another()
}

// Another returns a second browser for the same server, with its own cookies.
func (b *Browser) Another() *Browser {
	jar, _ := cookiejar.New(nil) // never fails
	client := *b.Client
	client.Jar = jar
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Browser{Client: &client, URL: b.URL, t: b.t}
}

// SignIn signs the browser in as a user of m, without a sign-in page. Its next requests to a
// handler behind m's middleware are that user's. Each further call signs in again, as a user would.
func (b *Browser) SignIn(m *session.Manager, user string) {
	b.t.Helper()
	address, err := url.Parse(b.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(b.t.Context(), http.MethodPost, b.URL+"/", nil)
	r.RemoteAddr = address.Host // a client on this machine, as that of the server is
	for _, c := range b.Client.Jar.Cookies(address) {
		r.AddCookie(c)
	}
	response := visit(m, r, func(s *session.Session) { s.Login(user) })
	if response.StatusCode != http.StatusOK {
		b.t.Fatalf("sessiontest: sign in: status %d", response.StatusCode)
	}
	b.Client.Jar.SetCookies(address, response.Cookies())
}

// A Page is a response whose body has been read.
type Page struct {
	*http.Response
	Text string // the body
}

// Cookie returns the cookie with this name that the response sets, nil if it sets none.
func (p Page) Cookie(name string) *http.Cookie {
	for _, c := range p.Cookies() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Get requests a path.
func (b *Browser) Get(path string) Page {
	b.t.Helper()
	return b.Do(http.MethodGet, path, nil)
}

// Post posts a form to a path.
func (b *Browser) Post(path string, form url.Values) Page {
	b.t.Helper()
	return b.Do(http.MethodPost, path, strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
}

// Do sends a request; headers are pairs of a name and a value.
func (b *Browser) Do(method, path string, body io.Reader, headers ...string) Page {
	b.t.Helper()
	r, err := http.NewRequest(method, b.URL+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	response, err := b.Client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return Page{response, string(text)}
}
