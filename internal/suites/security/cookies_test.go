package security_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

// What browsers would silently refuse, or silently widen, is refused when the manager is made:
// net/http writes all of it without complaint. The unit tests have every rule; these are the
// ones that lose a session or a protection.
func TestCookiesThatBrowsersRefuseAreRefusedAtConstruction(t *testing.T) {
	for name, a := range map[string]session.CookieAttributes{
		"__Host- with a path":        {Prefix: "__Host-s_", Path: "/app"},
		"__Host- with a domain":      {Prefix: "__Host-s_", Domain: "example.com"},
		"__host- in lower case":      {Prefix: "__host-s_", Domain: "example.com"},
		"__HOST- without Secure":     {Prefix: "__HOST-s_", Secure: session.SecureNever},
		"__Secure- without Secure":   {Prefix: "__SeCuRe-s_", Secure: session.SecureNever},
		"__Http- without Secure":     {Prefix: "__Http-s_", Secure: session.SecureNever},
		"__Host-Http- with a path":   {Prefix: "__Host-Http-s_", Path: "/app"},
		"None without Secure":        {SameSite: http.SameSiteNoneMode, Secure: session.SecureNever},
		"Partitioned without Secure": {Partitioned: true, Secure: session.SecureNever},
		"a path of 1025 bytes":       {Path: "/" + strings.Repeat("p", 1024)},
		"a domain of 1025 bytes":     {Domain: strings.Repeat("d", 1021) + ".com"},
		"a space in the prefix":      {Prefix: "s "},
		"an attribute in the path":   {Path: "/; Domain=evil.example"},
		"a line in the path":         {Path: "/\r\nSet-Cookie: a=b"},
		"a Unicode space in front":   {Prefix: "\u2000__Host-s_"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := session.NewManager(session.Config{Secret: kit.Secret, CookieAttributes: a})
			assert.Nil(t, m)
			assert.ErrorContains(t, err, "session: Config.CookieAttributes.")
		})
	}
	_, err := session.NewManager(session.Config{Secret: kit.Secret, Lifetime: 400*24*time.Hour + 1})
	assert.ErrorContains(t, err, "400 days")
}

// A driver's name ends its cookie's name: together they must not begin with a prefix by accident.
func TestDriverNamesMakeNoPrefixByAccident(t *testing.T) {
	cfg := session.Config{Secret: kit.Secret, CookieAttributes: session.CookieAttributes{Prefix: "__", Domain: "example.com"},
		Drivers: map[string]session.Driver{"Host-s": session.NewMemoryDriver(session.MemoryConfig{})}}
	_, err := session.NewManager(cfg)
	assert.ErrorContains(t, err, "__Host-")
}

// tlsBrowser serves a manager over TLS to a browser with a jar.
func tlsBrowser(t *testing.T, handler http.Handler) *kit.Browser {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := server.Client()
	client.Jar = jar
	return &kit.Browser{T: t, Client: client, URL: server.URL}
}

func TestHostPrefixWorksEndToEndOverTLS(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		b := tlsBrowser(t, kit.Routes{
			"/in": func(_ http.ResponseWriter, _ *http.Request, own *session.Session) {
				own.Set("user", "ann")
				own.Flash("f", 1)
			},
			"/page": func(w http.ResponseWriter, _ *http.Request, own *session.Session) { fmt.Fprint(w, own.Get("user")) },
			"/out":  func(_ http.ResponseWriter, _ *http.Request, own *session.Session) { own.Destroy() },
		}.Under(s.Manager))
		set := b.Get("/in")
		require.Len(t, set.Cookies(), s.CookiesWithFlash())
		for _, c := range set.Cookies() {
			assertHostCookie(t, c)
		}
		assert.Equal(t, "ann", b.Get("/page").Body)

		cleared := b.Get("/out").Cookie("__Host-s_" + s.Config.Default)
		require.NotNil(t, cleared)
		assertHostCookie(t, cleared)
		assert.Negative(t, cleared.MaxAge)
		assert.Equal(t, "<nil>", b.Get("/page").Body)
	}, func(cfg *session.Config) { cfg.CookieAttributes.Prefix = "__Host-s_" })
}

// assertHostCookie asserts what browsers demand of a __Host- cookie (RFC 6265bis, section 5.7).
func assertHostCookie(t *testing.T, c *http.Cookie) {
	t.Helper()
	assert.True(t, strings.HasPrefix(c.Name, "__Host-"))
	assert.True(t, c.Secure)
	assert.True(t, c.HttpOnly)
	assert.Equal(t, "/", c.Path)
	assert.Empty(t, c.Domain)
}

// Over TLS every cookie is Secure, set and cleared; a hint of pending flash too.
func TestNoCookieIsSetOverTLSWithoutSecure(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		b := tlsBrowser(t, s.Manager.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mixedTraffic(r)
			http.Redirect(w, r, "/elsewhere", http.StatusSeeOther)
		})))
		b.Client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		lines := 0
		for _, path := range []string{"/0", "/2", "/3", "/6", "/7", "/2", "/4"} {
			for _, c := range b.Get(path).Cookies() {
				lines++
				assert.True(t, c.Secure, c.Raw)
			}
		}
		assert.Greater(t, lines, 4)
	})
}

func TestEveryCookieIsHttpOnlyAndSaysSameSite(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		cookie := ""
		for _, do := range []func(own *session.Session){
			func(own *session.Session) { own.Set("k", 1); own.Flash("f", 1) },
			(*session.Session).Regenerate, (*session.Session).Destroy,
		} {
			p := s.Ask(cookie, do)
			require.NotEmpty(t, p.Cookies())
			for _, c := range p.Cookies() {
				assert.True(t, c.HttpOnly, c.Raw)
				assert.Equal(t, http.SameSiteLaxMode, c.SameSite, c.Raw)
			}
			if p.Cookie(s.Cookie) != nil {
				cookie = p.SessionCookies(s.Cookie)
			}
		}
	})
}

// A browser finds the cookie to delete by name, domain and path, and refuses a line that lacks
// what the name's prefix demands.
func TestDeletionCookieHasTheAttributesOfTheCookieThatItDeletes(t *testing.T) {
	for name, a := range map[string]session.CookieAttributes{
		"default":     {},
		"__Host-":     {Prefix: "__Host-s_"},
		"domain":      {Domain: "example.com", Path: "/app"},
		"none":        {SameSite: http.SameSiteNoneMode},
		"partitioned": {Prefix: "__Secure-", Partitioned: true, SameSite: http.SameSiteNoneMode},
		"strict":      {SameSite: http.SameSiteStrictMode, Secure: session.SecureAlways},
		"browser":     {SessionOnly: true},
	} {
		t.Run(name, func(t *testing.T) {
			kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
				set := s.Ask("", func(own *session.Session) { own.Set("k", 1) }).Cookie(s.Cookie)
				require.NotNil(t, set)
				p := s.Ask(s.Cookie+"="+set.Value, (*session.Session).Destroy)
				cleared := lastCookie(p, s.Cookie)
				require.NotNil(t, cleared)

				assert.Empty(t, cleared.Value)
				assert.Negative(t, cleared.MaxAge)
				assert.True(t, cleared.Expires.Before(time.Now()))
				assert.Equal(t, attributesOf(set), attributesOf(cleared))
			}, func(cfg *session.Config) { cfg.CookieAttributes = a })
		})
	}
}

// lastCookie returns the last line of a name. Those before it expire cookies of other attributes.
func lastCookie(p kit.Page, name string) (last *http.Cookie) {
	for _, c := range p.Cookies() {
		if c.Name == name {
			last = c
		}
	}
	return last
}

// attributesOf returns a cookie without its value and its end.
func attributesOf(c *http.Cookie) http.Cookie {
	bare := *c
	bare.Value, bare.MaxAge, bare.Expires, bare.RawExpires, bare.Raw = "", 0, time.Time{}, "", ""
	return bare
}

// Whichever way the handler leaves, and whatever renders the page.
func TestTheDeletionCookieIsSentOnEveryWayOutOfASignOut(t *testing.T) {
	ways := map[string]http.HandlerFunc{
		"silent":   func(w http.ResponseWriter, r *http.Request) {},
		"write":    func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "bye") },
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusSeeOther) },
		"error":    func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusTeapot) },
		"missing":  http.NotFound,
		"flush":    func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush() },
		"copy":     func(w http.ResponseWriter, r *http.Request) { io.Copy(w, strings.NewReader("bye")) },
		"file":     func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "main_test.go") },
		"controller": func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).Flush()
		},
	}
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		for name, leave := range ways {
			cookie := s.SignIn()
			p := s.Visit(cookie, func(w http.ResponseWriter, r *http.Request, own *session.Session) {
				own.Destroy()
				leave(w, r)
			})
			cleared := p.Cookie(s.Cookie)
			require.NotNil(t, cleared, name)
			assert.Negative(t, cleared.MaxAge, name)
			assert.Empty(t, s.User(cookie), name)
		}
	})
}

func TestADataCookieOf3500BytesIsSentAndOneOf3501IsNot(t *testing.T) {
	var failure error
	s := kit.NewSite(t, "cookie", func(cfg *session.Config) {
		cfg.ErrorHandler = func(_ http.ResponseWriter, _ *http.Request, err error) { failure = err }
	})
	var exactly kit.Page
	size := 2300
	for ; failure == nil; size++ {
		p := s.Ask("", func(own *session.Session) { own.Set("k", strings.Repeat("v", size)) })
		if failure == nil {
			exactly = p
			continue
		}
		assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
		assert.Empty(t, p.Cookies())
	}
	c := exactly.DataCookie()
	require.NotNil(t, c)
	assert.Equal(t, 3500, len(c.Name)+len(c.Value))
	var tooLarge *session.SizeError
	require.ErrorAs(t, failure, &tooLarge)
	assert.Equal(t, session.SizeError{Limit: 3500, Size: 3501, Largest: []session.KeySize{{Key: "k", Size: size}, {Key: "Session.Describe"}}}, *tooLarge)
}

// The largest session, its hint and both names stay far below what servers take as a header.
func TestSessionCookiesFitTheHeaderBudget(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		p := s.Ask("", func(own *session.Session) { own.Flash("f", strings.Repeat("v", 2300)) })
		require.Len(t, p.Cookies(), s.CookiesWithFlash())
		line := ""
		for _, c := range p.Cookies() {
			line += c.Name + "=" + c.Value + "; "
		}
		assert.Less(t, len(line), 8192)
	})
}

// No parser quotes, trims or decodes such a value.
func TestCookieValuesAreBase64urlOnly(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		for range 20 {
			p := s.Ask("", func(own *session.Session) { own.Set("k", `"quoted" ;,\ ü`); own.Flash("f", 1) })
			for _, line := range p.Header["Set-Cookie"] {
				assert.Regexp(t, `^[A-Za-z0-9_-]+=[A-Za-z0-9_-]+; Path=/; Max-Age=\d+; Expires=[^;]+ GMT; HttpOnly; SameSite=Lax$`, line)
			}
		}
	})
}

func TestACookieShowsNothingOfTheSession(t *testing.T) {
	s := kit.NewSite(t, "cookie")
	p := s.Ask("", func(own *session.Session) { own.Set("email", "annabelle@example.com"); own.Login("annabelle") })
	require.Len(t, p.Cookies(), 2)
	for _, c := range p.Cookies() {
		raw, err := base64.RawURLEncoding.DecodeString(c.Value)
		require.NoError(t, err)
		for _, part := range []string{"email", "annabelle", "example"} {
			assert.NotContains(t, string(raw), part)
			assert.NotContains(t, c.Value, part)
		}
	}
}

// RFC 6265bis, section 4.1.1: servers must not send two lines for one cookie.
func TestAResponseSetsEachCookieOnce(t *testing.T) {
	for name, do := range map[string]func(w http.ResponseWriter, own *session.Session, cookie string){
		"everything at once": func(w http.ResponseWriter, own *session.Session, cookie string) {
			own.Destroy()
			own.Set("k", 1)
			own.Save()
			own.Regenerate()
			own.Flash("f", 1)
			own.Save()
			own.Remember(time.Hour)
			for _, name := range []string{"memory", "cookie"} {
				other, err := own.Using(name)
				if err == nil {
					other.Set("k", 1)
					other.Regenerate()
				}
			}
			http.SetCookie(w, &http.Cookie{Name: cookie, Value: "handler"})
		},
		"saved, regenerated, saved": func(_ http.ResponseWriter, own *session.Session, _ string) {
			own.Set("a", 1)
			own.Save()
			own.Regenerate()
			own.Save()
			own.Flash("b", 2)
		},
		"destroyed, begun, destroyed, begun": func(_ http.ResponseWriter, own *session.Session, _ string) {
			for range 2 {
				own.Destroy()
				own.Set("a", 1)
				own.Save()
			}
		},
		"the handler sets it too": func(w http.ResponseWriter, own *session.Session, cookie string) {
			own.Regenerate()
			own.Flash("a", 1)
			for _, name := range []string{cookie, cookie + "_f", "other"} {
				http.SetCookie(w, &http.Cookie{Name: name, Value: "handler"})
			}
		},
		"a sign-out that the handler helps": func(w http.ResponseWriter, own *session.Session, cookie string) {
			http.SetCookie(w, &http.Cookie{Name: cookie, MaxAge: -1})
			own.Destroy()
		},
	} {
		t.Run(name, func(t *testing.T) {
			kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
				p := s.Visit(s.SignIn(), func(w http.ResponseWriter, _ *http.Request, own *session.Session) { do(w, own, s.Cookie) })
				require.Equal(t, http.StatusOK, p.StatusCode)
				seen := make(map[string]bool)
				for _, c := range p.Cookies() {
					seen[c.Name] = true
					cookie := fmt.Sprint(c.Name, c.Domain, c.Path, c.Partitioned)
					assert.False(t, seen[cookie], "two lines of %s: %q", c.Name, p.Header["Set-Cookie"])
					seen[cookie] = true
					assert.True(t, c.Name == "other" || c.Value != "handler", "the handler's line stands in place of the session's")
				}
				assert.True(t, seen[s.Cookie])
				last := lastCookie(p, s.Cookie)
				assert.Equal(t, strings.HasPrefix(name, "a sign-out"), last.MaxAge < 0, "the last line counts: %q", p.Header["Set-Cookie"])
			}, func(cfg *session.Config) { cfg.CookieAttributes.Prefix = "__Host-s_" })
		})
	}
}
