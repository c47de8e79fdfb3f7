package e2e_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

// An application answers by its routes, under a manager that is replaced while users are signed in, as in
// a deployment. Its address has a parent domain.
type application struct {
	t       *testing.T
	cfg     session.Config
	handler atomic.Value // of http.Handler
	server  *httptest.Server
	url     string
}

const parentDomain = "example.test" // launch maps its hosts to loopback

func newApplication(t *testing.T, cfg session.Config) *application {
	a := &application{t: t, cfg: cfg}
	a.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.handler.Load().(http.Handler).ServeHTTP(w, r)
	}))
	a.server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes: chromium complains of the certificate first
	a.server.StartTLS()
	t.Cleanup(a.server.Close)
	a.url = strings.Replace(a.server.URL, "127.0.0.1", "app."+parentDomain, 1)
	a.deploy(session.CookieAttributes{})
	return a
}

// open opens a tab with no cookies.
func (a *application) open() *tab {
	b := newTab(a.t, browser(a.t), a.url, chromedp.WithNewBrowserContext())
	b.ignoreCertificates()
	return b
}

// deploy replaces the manager by one with other attributes of cookies.
func (a *application) deploy(attributes session.CookieAttributes) {
	a.cfg.CookieAttributes = attributes
	user := func(s *session.Session) string {
		name, _ := s.User()
		return "<p>user=" + name + "</p>"
	}
	a.handler.Store(http.Handler(kit.Routes{
		"/app/in": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Login(r.FormValue("user"))
			s.Remember(30 * 24 * time.Hour)
			fmt.Fprint(w, user(s))
		},
		"/app/who": func(w http.ResponseWriter, _ *http.Request, s *session.Session) { fmt.Fprint(w, user(s)) },
		"/app/out": func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			s.Logout()
			fmt.Fprint(w, user(s))
		},
		"/app/keep": func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			s.Set("kept", true)
			fmt.Fprint(w, user(s))
		},
		"/app/return": func(w http.ResponseWriter, r *http.Request, _ *session.Session) {
			http.Redirect(w, r, "/app/who", http.StatusSeeOther)
		},
		"/favicon.ico": func(http.ResponseWriter, *http.Request, *session.Session) {},
	}.Under(kit.NewManager(a.t, a.cfg))))
}

// who visits a path of the application, and returns who is signed in.
func (b *tab) who(path string) string {
	b.t.Helper()
	b.visit(path)
	return strings.TrimPrefix(b.text("p"), "user=")
}

// Attributes change while a user is signed in for 30 days, and change back. Nobody is signed out, the next
// sign-in holds within two pages, and a sign-out leaves nothing that opens.
func TestChangedCookieAttributesLockNobodyOut(t *testing.T) {
	t.Parallel()
	attributes := map[string]session.CookieAttributes{
		"host only":   {},
		"domain":      {Domain: parentDomain},
		"path":        {Path: "/app"},
		"partitioned": {Partitioned: true, SameSite: http.SameSiteNoneMode, Secure: session.SecureAlways},
	}
	kept := session.NewMemoryDriver(session.MemoryConfig{})
	for _, driver := range []string{"cookie", "kept"} {
		for from, before := range attributes {
			for to, after := range attributes {
				if from != to && (driver == "cookie" || from == "host only" || to == "host only") {
					t.Run(driver+"/"+from+" to "+to, func(t *testing.T) {
						a := newApplication(t, session.Config{
							Default: driver, Secret: kit.Secret, Logger: kit.Quiet, Drivers: map[string]session.Driver{"kept": kept},
						})
						testChangedAttributes(t, a, before, after)
					})
				}
			}
		}
	}
}

func testChangedAttributes(t *testing.T, a *application, before, after session.CookieAttributes) {
	b := a.open()
	a.deploy(before)
	require.Equal(t, "ann", b.who("/app/in?user=ann"))
	a.deploy(after)
	assert.Equal(t, "ann", b.who("/app/who"), "the change has signed somebody out")
	b.signsIn("bob")
	a.deploy(before)
	assert.Equal(t, "bob", b.who("/app/who"), "the change back has signed somebody out")
	b.signsIn("carol")
	b.visit("/app/out")
	for _, attributes := range []session.CookieAttributes{before, after} {
		a.deploy(attributes)
		assert.Empty(t, b.who("/app/who"), "a sign-out has left a cookie that opens")
	}
}

// signsIn signs a user in, a second time if the first one does not hold.
func (b *tab) signsIn(user string) {
	b.t.Helper()
	b.visit("/app/in?user=" + user)
	if b.who("/app/who") != user {
		b.visit("/app/in?user=" + user)
		assert.Equal(b.t, user, b.who("/app/who"), "a sign-in does not hold")
	}
}

// Another application on the same host, with a secret of its own, reads its session. Cookies know no ports.
func TestAnotherApplicationOnTheHostDeletesNoCookie(t *testing.T) {
	t.Parallel()
	own := session.Config{Default: "cookie", Secret: kit.Secret, Logger: kit.Quiet}
	foreign := session.Config{Default: "cookie", Secret: session.NewSecret()}
	book := kit.CaptureLog(&foreign)
	a, other := newApplication(t, own), newApplication(t, foreign)
	b := a.open()
	require.Equal(t, "ann", b.who("/app/in?user=ann"))
	b.url = other.url
	for range 2 {
		assert.Empty(t, b.who("/app/who"))
	}
	b.url = a.url
	assert.Equal(t, "ann", b.who("/app/who"))
	assert.Empty(t, book.Text())
}

// A form that another site posts, as payment providers do, comes without Lax cookies. The page that it is
// redirected to comes with them.
func TestAReturnFromAnotherSiteHasTheSessionAfterARedirect(t *testing.T) {
	t.Parallel()
	a := newApplication(t, session.Config{Default: "cookie", Secret: kit.Secret, Logger: kit.Quiet})
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><title>Pay</title><link rel="icon" href="data:,">
			<form method="post" action="%s%s"><button>Pay</button></form>`, a.url, r.URL.Path)
	}))
	t.Cleanup(other.Close)
	b := a.open()
	require.Equal(t, "ann", b.who("/app/in?user=ann"))
	for path, want := range map[string]string{"/app/who": "", "/app/return": "ann"} {
		b.do(chromedp.Navigate(other.URL + path))
		b.press("button")
		assert.Equal(t, "/app/who", b.path())
		assert.Equal(t, want, strings.TrimPrefix(b.text("p"), "user="), path)
	}
	assert.Equal(t, "ann", b.who("/app/who"), "the form has signed nobody out")
}

// Browsers keep cookies with these prefixes only if the attributes are right. They do so on loopback without
// TLS too.
func TestPrefixedCookiesHold(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"__Host-s_", "__Host-Http-s_"} {
		for _, scheme := range []string{"https", "http"} {
			for name, open := range map[string]func(a *application) *tab{
				"chromium": (*application).open,
				"firefox":  func(a *application) *tab { return newFirefoxTab(t, firefoxBrowser(t), a.server.URL) },
			} {
				t.Run(strings.Join([]string{prefix, scheme, name}, "/"), func(t *testing.T) {
					a := newApplication(t, session.Config{Default: "cookie", Secret: kit.Secret, Logger: kit.Quiet})
					a.deploy(session.CookieAttributes{Prefix: prefix})
					if scheme == "http" {
						a.server = httptest.NewServer(a.server.Config.Handler)
						t.Cleanup(a.server.Close)
						a.url = a.server.URL
					}
					b := open(a)
					b.url = a.server.URL
					require.Equal(t, "ann", b.who("/app/in?user=ann"))
					assert.Equal(t, "ann", b.who("/app/who"))
					for name, c := range b.cookies() {
						assert.True(t, strings.HasPrefix(name, prefix), name)
						assert.True(t, c.Secure, name)
					}
					b.visit("/app/out")
					assert.Empty(t, b.who("/app/who"))
				})
			}
		}
	}
}
