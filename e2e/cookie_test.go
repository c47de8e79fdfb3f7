package e2e_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/security"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func ftoa(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// dataCookie is the name of the cookie that holds the values of a session of the cookie driver.
func (b *tab) dataCookie() string {
	b.t.Helper()
	for name := range b.cookies() {
		if _, identity, _ := strings.Cut(name, "s_cookie_"); len(identity) == 8 {
			return name
		}
	}
	require.Fail(b.t, "there is no data cookie")
	return ""
}

// expectCookie checks a cookie as the browser stored it.
func expectCookie(t *testing.T, c *network.Cookie, host string, secure bool) {
	t.Helper()
	require.NotNil(t, c, "the browser did not store the cookie")
	assert.Equal(t, network.CookieSameSiteLax, c.SameSite)
	assert.True(t, c.HTTPOnly, "HttpOnly")
	assert.Equal(t, secure, c.Secure, "Secure")
	assert.Equal(t, "/", c.Path)
	assert.Equal(t, host, c.Domain, "a leading dot would mean subdomains too")
	assert.False(t, c.Session, "Max-Age")
	assert.LessOrEqual(t, len(c.Name)+len(c.Value), 4096)
}

// flashWaits stores a flash message and does not load its page, so that the hint cookie is still set.
func (b *tab) flashWaits() {
	b.t.Helper()
	b.visit("/flash")
	eval[bool](b, `fetch("/flash", {method: "POST", redirect: "manual",
		body: new URLSearchParams({kind: "success", way: "straight"})}).then(() => true)`)
}

func TestBrowserStoresTheCookieWithItsAttributes(t *testing.T) {
	for _, c := range []struct {
		name   string
		how    setup
		byName bool // http://localhost instead of http://127.0.0.1
		host   string
		secure bool
	}{
		{name: "Loopback", host: "127.0.0.1"},
		{name: "Localhost", byName: true, host: "localhost"},
		{name: "SecureOnLocalhost", how: setup{secure: "always"}, byName: true, host: "localhost", secure: true},
		{name: "TLS", how: setup{tls: true}, byName: true, host: "localhost", secure: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachBrowser(t, c.how, func(t *testing.T, s *site, b *tab) {
				if c.byName {
					b.url = s.localhost()
				}
				if c.how.tls {
					b.ignoreCertificates()
				}
				b.flashWaits()
				cookies := b.cookies()
				names := []string{s.cookie(), s.cookie() + "_f"}
				if s.driver == "cookie" {
					names = append(names, b.dataCookie())
				}
				assert.ElementsMatch(t, names, slices.Collect(maps.Keys(cookies)))
				for _, name := range names {
					expectCookie(t, cookies[name], c.host, c.secure)
				}
				assert.Empty(t, eval[string](b, "document.cookie"), "scripts see the cookie")

				b.visit("/flash/landing")
				assert.Contains(t, b.alert(), "success", "the browser does not send the cookie back")
				cookies = b.cookies()
				assert.NotContains(t, cookies, s.cookie()+"_f", "the hint outlives the message")
				expectCookie(t, cookies[s.cookie()], c.host, c.secure)
			})
		})
	}
}

func TestCookieNamesOverTLSAreBoundToTheHost(t *testing.T) {
	eachBrowser(t, setup{tls: true}, func(t *testing.T, _ *site, b *tab) {
		b.ignoreCertificates()
		b.signIn("Ann")
		assert.Equal(t, "Signed in as Ann", b.text(".name"))
		for name := range b.cookies() {
			assert.True(t, strings.HasPrefix(name, "__Host-s_"), name)
		}
	})
}

func TestPagesWorkInABrowserThatRefusesCookies(t *testing.T) {
	t.Parallel()
	ctx, stop, err := launch(profileWithoutCookies(t))
	require.NoError(t, err)
	t.Cleanup(stop)
	fox, err := launchFirefox(`user_pref("network.cookie.cookieBehavior", 2);`)
	require.NoError(t, err)
	t.Cleanup(fox.close)
	for _, driver := range driverNames {
		for name, open := range map[string]func(t *testing.T, url string) *tab{
			"chromium": func(t *testing.T, url string) *tab { return newTab(t, ctx, url) },
			"firefox":  func(t *testing.T, url string) *tab { return newFirefoxTab(t, fox, url) },
		} {
			if name == "firefox" && driver != "cookie" {
				continue
			}
			t.Run(driver+"/"+name, func(t *testing.T) {
				b := open(t, start(t, driver, setup{}).url)
				for _, path := range []string{"/", "/flash", "/sign-in", "/session", "/drivers", "/at-once", "/wire"} {
					assert.Equal(t, 200, b.visit(path), path)
				}
				b.visit("/")
				assert.Equal(t, 200, b.addNote("lost"))
				assert.Empty(t, b.notes())
				b.signIn("Ann")
				assert.Contains(t, b.text(".empty"), "the browser refuses cookies")
				assert.Empty(t, b.cookies(), "it accepts cookies after all")
			})
		}
	}
}

// ignoreCertificates accepts the certificate that the demo makes itself. Firefox does so from the start.
func (b *tab) ignoreCertificates() {
	b.t.Helper()
	if b.fox == nil {
		call(b, security.SetIgnoreCertificateErrors, security.SetIgnoreCertificateErrorsParams{Ignore: true})
	}
}

// profileWithoutCookies makes the profile of a browser that refuses all cookies.
func profileWithoutCookies(t *testing.T) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "session-e2e-profile")
	require.NoError(t, err)
	t.Cleanup(func() { // not t.TempDir, because chromium may still write there for a moment
		for end := time.Now().Add(5 * time.Second); os.RemoveAll(dir) != nil && time.Now().Before(end); {
			time.Sleep(50 * time.Millisecond)
		}
	})
	require.NoError(t, os.Mkdir(filepath.Join(dir, "Default"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "Default", "Preferences"),
		[]byte(`{"profile": {"default_content_setting_values": {"cookies": 2}}}`), 0o600))
	return dir
}

func TestSessionTooLargeForItsCookieIsRefusedAndThePageSaysSo(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T, s *site) *tab{
		"chromium": func(t *testing.T, s *site) *tab { return s.open(t) },
		"firefox":  func(t *testing.T, s *site) *tab { return newFirefoxTab(t, firefoxBrowser(t), s.url) },
	} {
		t.Run(name, func(t *testing.T) { testTooLarge(t, open(t, start(t, "cookie", setup{}))) })
	}
}

func testTooLarge(t *testing.T, b *tab) {
	t.Helper()
	b.provokes("413")
	b.visit("/")
	note := func(n int) string { return fmt.Sprintf("%d %s", n, strings.Repeat("x", 190)) }
	const before = 9 // by script, because pages take long
	for n := range before {
		require.Equal(t, 200, eval[int](b, fmt.Sprintf(
			`fetch("/notes", {method: "POST", body: new URLSearchParams({text: %q})}).then(r => r.status)`, note(n))))
	}
	b.visit("/")
	kept := before
	for status := 200; status == 200; kept++ {
		require.Less(t, kept, 40, "a cookie of more than 3500 bytes?")
		status = b.addNote(note(kept))
		require.Contains(t, []int{200, 413}, status)
	}
	assert.Contains(t, b.text("main"), "at most 3500 are kept")
	assert.Contains(t, b.text("main"), "The largest keys are note.")
	b.visit("/")
	assert.Len(t, b.notes(), kept-1, "the notes before it are kept")
	assert.Empty(t, b.alert(), "nothing of the refused request may be stored")
}
