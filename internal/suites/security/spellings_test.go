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

func TestANULInACookieIsNoSession(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		cookie := s.SignIn()
		for _, line := range []string{cookie + "\x00", s.Cookie + "=\x00", "\x00" + cookie, s.Cookie + "\x00=" + kit.ValueOf(cookie)} {
			served := false
			p := rawRequest(s, func(own *session.Session) { served = true; assert.Empty(t, own.All()) }, line)
			assert.Empty(t, p.Cookies())
			assert.True(t, served || p.StatusCode == http.StatusBadRequest, "net/http refuses it before us")
		}
		assert.Equal(t, "ann", s.User(cookie))
	})
}

// Names are compared byte for byte: what browsers take for another name is another name.
func TestCookieNamesAreMatchedByteForByte(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		cookie := s.SignIn()
		value := kit.ValueOf(cookie)
		for _, line := range []string{
			"\u2000" + cookie, "\u00a0" + cookie, "\x0b" + cookie, "\x0c" + cookie, "x" + cookie, s.Cookie + "x=" + value,
			strings.ToUpper(s.Cookie) + "=" + value, "__host-" + s.Cookie[7:] + "=" + value,
			"=" + cookie, value, "$Version=1; $Path=" + value, "$Version=1," + cookie, "\"" + s.Cookie + "\"=" + value,
			"a=\"; " + "b" + cookie + "\"", "x=" + cookie, s.Cookie + "_f=" + value,
		} {
			p := rawRequest(s, func(own *session.Session) { assert.Empty(t, own.All(), "%q", line) }, line)
			assert.Empty(t, p.Cookie(s.Cookie), "%q", line)
		}
		assert.Equal(t, "ann", s.User("a=b; "+cookie+"; c=d"))
	}, func(cfg *session.Config) { cfg.CookieAttributes.Prefix = "__Host-s_" })
}

// A client of RFC 2965 sends $Version and quotes, as Java's HttpClient with a CookieManager does.
func TestLegalSpellingsOfACookieAreRead(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		cookie := s.SignIn()
		quoted := strings.ReplaceAll(strings.ReplaceAll(cookie, "=", `="`), "; ", `"; `) + `"`
		for _, line := range []string{
			quoted, `$Version="1"; ` + quoted + `; $Path="/"`, `$Version="1"; other="x"; ` + quoted + `;$Path="/";$Domain="127.0.0.1"`,
		} {
			assert.Equal(t, "ann", s.User(line), line)
		}
		s.Ask(`$Version="1"; `+quoted+`; $Path="/"`, (*session.Session).Destroy)
		assert.Empty(t, s.User(cookie), "a sign-out reads the same spellings")
	})
}

// A client that takes Max-Age alone for RFC 2965 then sends what this test calls legal. Expires
// beside it keeps it in the ways of browsers.
func TestPersistentCookiesHaveMaxAgeAndExpires(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		p := s.Ask("", func(own *session.Session) { own.Flash("k", 1) })
		require.Len(t, p.Cookies(), s.CookiesWithFlash())
		for _, c := range p.Cookies() {
			assert.Positive(t, c.MaxAge)
			assert.WithinDuration(t, s.Clock.Now().Add(time.Duration(c.MaxAge)*time.Second), c.Expires, 2*time.Second)
		}
	})
}

// A cookie of one driver, or of one manager, is nothing under another's name.
func TestSwappedCookiesOpenNothing(t *testing.T) {
	s := kit.NewSite(t, "redis")
	use := func(own *session.Session, do func(of *session.Session, name string)) {
		for _, name := range kit.DriverNames {
			of, err := own.Using(name)
			require.NoError(t, err)
			do(of, name)
		}
	}
	p := s.Ask("", func(own *session.Session) {
		use(own, func(of *session.Session, name string) { of.Set("of", name) })
	})
	values := make(map[string]string) // Cookie lines of each driver
	for _, name := range kit.DriverNames {
		values[name] = p.SessionCookies("s_" + name)
		require.NotEmpty(t, values[name])
	}
	admin := kit.NewSite(t, "cookie", func(cfg *session.Config) { cfg.CookieAttributes.Prefix = "admin_" })
	admin.Ask(strings.ReplaceAll(values["cookie"], "s_cookie", "admin_cookie"), func(own *session.Session) {
		assert.Empty(t, own.All(), "of a manager with the same secret")
	})
	for from, value := range values {
		for to := range values {
			s.Ask(strings.ReplaceAll(value, "s_"+from, "s_"+to), func(own *session.Session) {
				use(own, func(of *session.Session, name string) {
					if name == from && from == to {
						assert.Equal(t, name, of.Get("of"))
					} else {
						assert.Empty(t, of.All(), "%s in s_%s", from, to)
					}
				})
			})
		}
	}
}
