package security_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

// cookiesOf returns a Cookie line with several values of the site's cookie.
func cookiesOf(s *kit.Site, values ...string) string {
	pairs := make([]string, len(values))
	for i, value := range values {
		pairs[i] = s.Cookie + "=" + value
	}
	return strings.Join(pairs, "; ")
}

// sessionOf begins a session whose "k" is this, and returns the value of its cookie.
func sessionOf(s *kit.Site, k any) string {
	s.T.Helper()
	return kit.ValueOf(s.Token(s.Ask("", func(own *session.Session) { own.Set("k", k) })))
}

// valueIn returns the "k" of the session that cookies open.
func valueIn(s *kit.Site, cookies string) (k any) {
	s.T.Helper()
	s.Ask(cookies, func(own *session.Session) { k = own.Get("k") })
	return k
}

func TestOfSeveralCookiesOnlyTheOneThatLivesIsUsed(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		a, b := sessionOf(s, "a"), sessionOf(s, "b")
		invented := inventedToken()
		tests := []struct {
			name   string
			values []string
			want   any
		}{
			{name: "one twice", values: []string{a, a}, want: "a"},
			{name: "one five times", values: []string{a, a, a, a, a}, want: "a"},
			{name: "junk before", values: []string{"junk", a}, want: "a"},
			{name: "junk behind", values: []string{a, "junk"}, want: "a"},
			{name: "unknown before", values: []string{invented, a}, want: "a"},
			{name: "empty behind", values: []string{a, ""}, want: "a"},
			{name: "one of four", values: []string{"x", "y", "z", a}, want: "a"},
			{name: "two live ones", values: []string{a, b}, want: nil},
			{name: "two live ones, the other way round", values: []string{b, a}, want: nil},
			{name: "two live ones and junk", values: []string{a, "junk", b}, want: nil},
			{name: "two that are dead", values: []string{"x", invented}, want: nil},
			{name: "more than four", values: []string{a, "w", "x", "y", "z"}, want: nil},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				check := func(own *session.Session) {
					assert.Equal(t, tt.want, own.Get("k"))
					assert.Equal(t, tt.want == nil, own.IsNew())
					assert.NoError(t, own.Err())
				}
				s.Ask(cookiesOf(s, tt.values...), check)
				rawRequest(s, check, strings.Split(cookiesOf(s, tt.values...), "; ")...)
			})
		}
		assert.EqualValues(t, 20, s.Manager.Stats().Duplicates)
	})
}

func TestSeveralLiveCookiesGiveWayToANewSession(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		a, b := sessionOf(s, "a"), sessionOf(s, "b")
		p := s.Ask(cookiesOf(s, a, b), func(own *session.Session) { own.Set("k", "c") })
		fresh := kit.ValueOf(p.SessionCookies(s.Cookie))
		assert.NotContains(t, []string{"", a, b}, fresh)
		for value, want := range map[string]string{a: "a", b: "b", fresh: "c"} {
			assert.Equal(t, want, valueIn(s, cookiesOf(s, value)))
		}
	})
}

// Two cookies of one session differ if one was left under other attributes, and only one of them
// has the newest secret.
func TestTwoCookiesOfOneSessionAreThatSession(t *testing.T) {
	kit.OnServers(t, func(t *testing.T, s *kit.Site) {
		old := sessionOf(s, "a")
		fresh := kit.ValueOf(s.Token(s.Ask(cookiesOf(s, old), (*session.Session).Regenerate)))
		s.Clock.Advance(6 * time.Second)
		assert.Equal(t, "a", valueIn(s, cookiesOf(s, old, fresh)))
		assert.Equal(t, "a", valueIn(s, cookiesOf(s, fresh, old)))
	})
}

// A session that ended a moment ago does no harm to the one that lives.
func TestEndedDuplicateDoesNotSpoilTheLiveSession(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		live, ended := sessionOf(s, "live"), sessionOf(s, "ended")
		s.Ask(cookiesOf(s, ended), (*session.Session).Destroy)
		for _, values := range [][]string{{live, ended}, {ended, live}} {
			s.Ask(cookiesOf(s, values...), func(own *session.Session) {
				assert.NoError(t, own.Open())
				assert.NoError(t, own.Err())
				assert.Equal(t, "live", own.Get("k"))
				assert.Equal(t, 2, own.Increment("n", 2))
				assert.NoError(t, own.Save())
				own.Delete("n")
			})
		}
	})
}

// Whatever the handler did before: every session whose cookie came is ended.
func TestLogoutEndsEverySessionThatCame(t *testing.T) {
	junk := []string{"junk", inventedToken(), inventedToken(), "x", "y"}
	for name, do := range map[string]func(own *session.Session){
		"logout":                      (*session.Session).Logout,
		"destroy":                     (*session.Session).Destroy,
		"logout after the user":       func(own *session.Session) { own.User(); own.Logout() },
		"logout after a save":         func(own *session.Session) { own.Set("k", 1); own.Save(); own.Logout() },
		"logout, and a new one":       func(own *session.Session) { own.Logout(); own.Set("k", "new") },
		"logout, and a Login instead": func(own *session.Session) { own.Logout(); own.Login("bob") },
	} {
		for among, extra := range map[string][]string{"alone": nil, "behind junk": junk, "with sixty others": nil} {
			t.Run(name+", "+among, func(t *testing.T) {
				kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
					values := append([]string{}, extra...)
					live := []string{sessionOf(s, "a"), sessionOf(s, "b")}
					if among == "with sixty others" {
						for i := range 60 {
							values = append(values, fmt.Sprint("junk", i))
						}
					}
					values = append(values, live...)
					p := s.Ask(cookiesOf(s, values...), do)
					require.Equal(t, http.StatusOK, p.StatusCode)
					require.NotNil(t, lastCookie(p, s.Cookie))
					s.Clock.Advance(6 * time.Second)
					for _, value := range live {
						assert.Nil(t, valueIn(s, cookiesOf(s, value)))
					}
				})
			})
		}
	}
}

// One cookie more than are ended: the user is told that the sign-out did not happen.
func TestASignOutWithTooManyCookiesIsAnError(t *testing.T) {
	for n, want := range map[int]int{64: http.StatusOK, 65: http.StatusInternalServerError} {
		kit.OnServers(t, func(t *testing.T, s *kit.Site) {
			values := make([]string, n)
			for i := range values {
				values[i] = inventedToken()
			}
			values[n-1] = sessionOf(s, "a")
			p := s.Ask(cookiesOf(s, values...), (*session.Session).Logout)
			assert.Equal(t, want, p.StatusCode)
			if want != http.StatusOK {
				assert.Empty(t, p.Cookies())
			}
			assert.Equal(t, want == http.StatusOK, valueIn(s, cookiesOf(s, values[n-1])) == nil, "%d cookies", n)
		})
	}
}

// A cookie of the same name without Domain may be left from before a Domain was configured, and
// would come back beside ours for ever.
func TestDomainExpiresTheHostOnlyDuplicate(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		a, b, unread := sessionOf(s, "a"), sessionOf(s, "b"), sessionOf(s, "c")
		for _, tt := range []struct {
			name   string
			values []string
			do     func(s *session.Session)
			want   bool
		}{
			{name: "one cookie", values: []string{a}, do: read},
			{name: "one cookie twice", values: []string{a, a}, do: read},
			{name: "one that is not ours", values: []string{"x"}, do: read},
			{name: "a live and a dead one", values: []string{a, "x"}, do: read, want: true},
			{name: "two live ones", values: []string{a, b}, do: read, want: true},
			{name: "five", values: []string{a, "w", "x", "y", "z"}, do: read, want: true},
			{name: "a write", values: []string{a, b}, do: func(s *session.Session) { s.Set("k", 2) }, want: true},
			{name: "unused", values: []string{a, b}, do: doNothing},
			{name: "a logout", values: []string{a, b}, do: func(s *session.Session) { s.Get("k"); s.Destroy() }, want: true},
			{name: "a logout that reads nothing", values: []string{a, b}, do: (*session.Session).Destroy, want: true},
			{name: "a logout with one cookie", values: []string{a}, do: (*session.Session).Destroy, want: true},
			{name: "a logout with a farewell", values: []string{unread}, do: farewell, want: true},
			{name: "a logout of nobody", do: farewell},
		} {
			p := s.Ask(cookiesOf(s, tt.values...), tt.do)
			assert.Equal(t, tt.want, expiresHostOnly(p, s.Cookie), "%s: %q", tt.name, p.Header["Set-Cookie"])
		}
	}, func(cfg *session.Config) { cfg.CookieAttributes.Domain = "example.com" })
}

func farewell(s *session.Session) {
	s.Destroy()
	s.Flash("success", "Goodbye")
}

func expiresHostOnly(p kit.Page, name string) bool {
	for _, c := range p.Cookies() {
		if c.Name == name && c.Domain == "" && c.MaxAge < 0 {
			return true
		}
	}
	return false
}

func TestDomainIsOnEveryCookieThatIsSet(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		p := s.Ask("", func(own *session.Session) { own.Flash("k", 1) })
		require.Len(t, p.Cookies(), s.CookiesWithFlash())
		for _, c := range p.Cookies() {
			assert.Equal(t, "example.com", c.Domain, c.Name)
		}
		cleared := lastCookie(s.Ask(s.Token(p), (*session.Session).Destroy), s.Cookie)
		assert.Equal(t, "example.com", cleared.Domain)
		assert.Negative(t, cleared.MaxAge)
	}, func(cfg *session.Config) { cfg.CookieAttributes.Domain = "example.com" })
}
