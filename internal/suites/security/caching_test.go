package security_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

// These do not open a session: they set a new one, or only read it.
func sets(s *session.Session) { s.Set("a", 1) }
func read(s *session.Session) { s.Get("k") }

// Every accessor makes the response depend on the session, and the response says so (Flask's
// CVE-2026-27205 was one that did not).
func TestEveryAccessorKeepsTheResponseFromSharedCaches(t *testing.T) {
	accessors := map[string]func(own *session.Session){
		"Get":             func(own *session.Session) { own.Get("k") },
		"GetString":       func(own *session.Session) { own.GetString("k") },
		"GetInt":          func(own *session.Session) { own.GetInt("k") },
		"GetBool":         func(own *session.Session) { own.GetBool("k") },
		"Scan":            func(own *session.Session) { own.Scan("k", new(string)) },
		"Has":             func(own *session.Session) { own.Has("k") },
		"All":             func(own *session.Session) { own.All() },
		"Delete":          func(own *session.Session) { own.Delete("k") },
		"Pull":            func(own *session.Session) { own.Pull("k") },
		"generic Get":     func(own *session.Session) { session.Get[string](own, "k") },
		"generic Update":  func(own *session.Session) { session.Update(own, "k", func(n int) int { return n }) },
		"Key.Get":         func(own *session.Session) { session.Key[string]("k").Get(own) },
		"Key.Has":         func(own *session.Session) { session.Key[string]("k").Has(own) },
		"IsNew":           func(own *session.Session) { own.IsNew() },
		"CreatedAt":       func(own *session.Session) { own.CreatedAt() },
		"ExpiresAt":       func(own *session.Session) { own.ExpiresAt() },
		"Handle":          func(own *session.Session) { own.Handle() },
		"Open":            func(own *session.Session) { own.Open() },
		"Save":            func(own *session.Session) { own.Save() },
		"Reload":          func(own *session.Session) { own.Reload() },
		"Set":             func(own *session.Session) { own.Set("k", 1) },
		"Increment":       func(own *session.Session) { own.Increment("n", 1) },
		"Flash":           func(own *session.Session) { own.Flash("k", 1) },
		"FlashAdd":        func(own *session.Session) { own.FlashAdd("k", 1) },
		"FlashNow":        func(own *session.Session) { own.FlashNow("k", 1) },
		"KeepFlash":       func(own *session.Session) { own.KeepFlash("k") },
		"Reflash":         func(own *session.Session) { own.Reflash() },
		"Reset":           func(own *session.Session) { own.Reset() },
		"ResetFlash":      func(own *session.Session) { own.ResetFlash() },
		"Flush":           func(own *session.Session) { own.Flush() },
		"Regenerate":      func(own *session.Session) { own.Regenerate() },
		"Destroy":         func(own *session.Session) { own.Destroy() },
		"User":            func(own *session.Session) { own.User() },
		"Locked":          func(own *session.Session) { own.Locked() },
		"AuthenticatedAt": func(own *session.Session) { own.AuthenticatedAt() },
		"FreshWithin":     func(own *session.Session) { own.FreshWithin(time.Hour) },
		"Login":           func(own *session.Session) { own.Login("ann") },
		"Logout":          func(own *session.Session) { own.Logout() },
		"Describe":        func(own *session.Session) { own.Describe(nil) },
	}
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		for name, access := range accessors {
			for _, cookie := range []string{"", s.SignIn()} {
				p := s.Visit(cookie, func(w http.ResponseWriter, _ *http.Request, own *session.Session) {
					w.Header().Set("Cdn-Cache-Control", "max-age=600")
					access(own)
				})
				assert.Equal(t, []string{"Cookie"}, p.Header["Vary"], name)
				assert.Contains(t, p.Header.Get("Cache-Control"), "private", name)
				assert.Empty(t, p.Header["Cdn-Cache-Control"], name)
			}
		}
	})
}

func TestAResponseThatDoesNotUseItsSessionIsLeftAlone(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		p := s.Visit(s.SignIn(), func(w http.ResponseWriter, _ *http.Request, _ *session.Session) {
			w.Header().Set("Cdn-Cache-Control", "max-age=60")
			w.Header().Set("Cache-Control", "public, max-age=60")
		})
		for _, field := range []string{"Vary", "Set-Cookie"} {
			assert.NotContains(t, p.Header, field)
		}
		assert.Equal(t, "public, max-age=60", p.Header.Get("Cache-Control"))
		assert.Contains(t, p.Header, "Cdn-Cache-Control")
	})
}

// Whether or not a cookie is set or cleared: a page that was made for one session is private. The
// rules themselves are tested in package response.
func TestNoSharedCacheKeepsAPageOfASession(t *testing.T) {
	for _, test := range []struct{ name, own, want string }{
		{name: "none", own: "", want: "private, no-cache"},
		{name: "public", own: "public, max-age=60, s-maxage=600", want: "private, max-age=60"},
		{name: "private", own: "private, max-age=60", want: "private, max-age=60"},
		{name: "no-store", own: "no-store", want: "no-store"},
		{name: "private fields only", own: `private="X-Name", max-age=60`, want: "private, max-age=60"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := kit.NewSite(t, "memory")
			for what, do := range map[string]func(*session.Session){"set": sets, "read": read, "cleared": (*session.Session).Destroy} {
				p := s.Visit(s.SignIn(), func(w http.ResponseWriter, _ *http.Request, own *session.Session) {
					h := w.Header()
					if test.own != "" {
						h.Set("Cache-Control", test.own)
					}
					h.Set("Vary", "Accept-Encoding")
					for _, field := range []string{"Surrogate-Control", "Cdn-Cache-Control", "Cloudflare-Cdn-Cache-Control", "X-Accel-Expires"} {
						h.Set(field, "max-age=60")
					}
					h.Set("X-Other", "stays")
					do(own)
				})
				assert.Equal(t, []string{test.want}, p.Header["Cache-Control"], what)
				assert.Len(t, p.Header["Vary"], 1, what)
				assert.Equal(t, "Accept-Encoding, Cookie", p.Header.Get("Vary"), what)
				for field := range p.Header {
					assert.False(t, strings.Contains(field, "Surrogate") || strings.Contains(field, "Cdn") ||
						field == "X-Accel-Expires", "%s: %s", what, field)
				}
				assert.Equal(t, "stays", p.Header.Get("X-Other"), what)
			}
		})
	}
}

// A response that does nothing but refresh the sealed cookie says so too (Flask's CVE-2023-30861).
func TestAResponseThatOnlyRefreshesTheCookieIsKeptFromCaches(t *testing.T) {
	s := kit.NewSite(t, "cookie")
	cookie := s.SignIn()
	s.Clock.Advance(30 * time.Minute)
	p := s.Ask(cookie, func(own *session.Session) { own.Has("nothing") })
	require.NotEmpty(t, p.Cookies())
	assert.Equal(t, []string{"Cookie"}, p.Header["Vary"])
	assert.Contains(t, p.Header.Get("Cache-Control"), "private")
}

// No cache can tell two addresses apart.
func TestSessionsOfAddressesAreNeverStoredByCaches(t *testing.T) {
	s := kit.NewSite(t, "memory", func(cfg *session.Config) { cfg.Memory.ByClientIP = true })
	for _, do := range []func(*session.Session){sets, read, (*session.Session).Destroy} {
		p := s.Visit("", func(w http.ResponseWriter, _ *http.Request, own *session.Session) {
			w.Header().Set("Cache-Control", "public, max-age=60")
			w.Header().Set("X-Accel-Expires", "60")
			do(own)
		})
		assert.Equal(t, []string{"private, no-store"}, p.Header["Cache-Control"])
		assert.NotContains(t, p.Header, "Set-Cookie")
		assert.NotContains(t, p.Header, "X-Accel-Expires")
	}
}
