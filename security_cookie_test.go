package session_test

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
			m, err := session.NewManager(session.Config{Secret: testSecret, CookieAttributes: a})
			assert.Nil(t, m)
			assert.ErrorContains(t, err, "session: Config.CookieAttributes.")
		})
	}
	_, err := session.NewManager(session.Config{Secret: testSecret, Lifetime: 400*24*time.Hour + 1})
	assert.ErrorContains(t, err, "400 days")
}

// A driver's name ends its cookie's name: together they must not begin with a prefix by accident.
func TestDriverNamesMakeNoPrefixByAccident(t *testing.T) {
	cfg := session.Config{Secret: testSecret, CookieAttributes: session.CookieAttributes{Prefix: "__", Domain: "example.com"},
		Drivers: map[string]session.Driver{"Host-s": session.NewMemoryDriver(session.MemoryConfig{})}}
	_, err := session.NewManager(cfg)
	assert.ErrorContains(t, err, "__Host-")
}

// tlsBrowser serves a manager over TLS to a browser with a jar.
func tlsBrowser(t *testing.T, handler http.Handler) *browser {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := server.Client()
	client.Jar = jar
	return &browser{t: t, client: client, url: server.URL}
}

func TestHostPrefixWorksEndToEndOverTLS(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		b := tlsBrowser(t, routes{
			"/in": func(_ http.ResponseWriter, _ *http.Request, own *session.Session) {
				own.Set("user", "ann")
				own.Flash("f", 1)
			},
			"/page": func(w http.ResponseWriter, _ *http.Request, own *session.Session) { fmt.Fprint(w, own.Get("user")) },
			"/out":  func(_ http.ResponseWriter, _ *http.Request, own *session.Session) { own.Destroy() },
		}.under(s.m))
		set := b.get("/in")
		require.Len(t, set.Cookies(), 2)
		for _, c := range set.Cookies() {
			assertHostCookie(t, c)
		}
		assert.Equal(t, "ann", b.get("/page").body)

		cleared := b.get("/out").cookie("__Host-s_" + s.cfg.Default)
		require.NotNil(t, cleared)
		assertHostCookie(t, cleared)
		assert.Negative(t, cleared.MaxAge)
		assert.Equal(t, "<nil>", b.get("/page").body)
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
	everywhere(t, func(t *testing.T, s *site) {
		b := tlsBrowser(t, s.m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mixedTraffic(r)
			http.Redirect(w, r, "/elsewhere", http.StatusSeeOther)
		})))
		b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		lines := 0
		for _, path := range []string{"/0", "/2", "/3", "/6", "/7", "/2", "/4"} {
			for _, c := range b.get(path).Cookies() {
				lines++
				assert.True(t, c.Secure, c.Raw)
			}
		}
		assert.Greater(t, lines, 4)
	})
}

func TestEveryCookieIsHttpOnlyAndSaysSameSite(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		cookie := ""
		for _, do := range []func(own *session.Session){
			func(own *session.Session) { own.Set("k", 1); own.Flash("f", 1) },
			(*session.Session).Regenerate, (*session.Session).Destroy,
		} {
			p := s.ask(cookie, do)
			require.NotEmpty(t, p.Cookies())
			for _, c := range p.Cookies() {
				assert.True(t, c.HttpOnly, c.Raw)
				assert.Equal(t, http.SameSiteLaxMode, c.SameSite, c.Raw)
			}
			if c := p.cookie(s.cookie); c != nil {
				cookie = c.Name + "=" + c.Value
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
			everywhere(t, func(t *testing.T, s *site) {
				set := s.ask("", func(own *session.Session) { own.Set("k", 1) }).cookie(s.cookie)
				require.NotNil(t, set)
				cleared := s.ask(s.cookie+"="+set.Value, func(own *session.Session) { own.Destroy() }).cookie(s.cookie)
				require.NotNil(t, cleared)

				assert.Empty(t, cleared.Value)
				assert.Negative(t, cleared.MaxAge)
				assert.True(t, cleared.Expires.Before(time.Now()))
				assert.Equal(t, attributesOf(set), attributesOf(cleared))
			}, func(cfg *session.Config) { cfg.CookieAttributes = a })
		})
	}
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
		"file":     func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "LICENSE") },
		"controller": func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).Flush()
		},
	}
	everywhere(t, func(t *testing.T, s *site) {
		for name, leave := range ways {
			cookie := s.signIn()
			p := s.visit(cookie, func(w http.ResponseWriter, r *http.Request, own *session.Session) {
				own.Destroy()
				leave(w, r)
			})
			cleared := p.cookie(s.cookie)
			require.NotNil(t, cleared, name)
			assert.Negative(t, cleared.MaxAge, name)
			assert.Empty(t, s.user(cookie), name)
		}
	})
}

func TestACookieOf4096BytesIsSentAndOneOf4097IsNot(t *testing.T) {
	var failure error
	s := newSite(t, "cookie", func(cfg *session.Config) {
		cfg.CookieAttributes.Prefix = "s__" // nine bytes of name: then a value can be one too long
		cfg.ErrorHandler = func(_ http.ResponseWriter, _ *http.Request, err error) { failure = err }
	})
	var exactly page
	size := 2500
	for ; failure == nil; size++ {
		p := s.ask("", func(own *session.Session) { own.Set("k", strings.Repeat("v", size)) })
		if failure == nil {
			exactly = p
			continue
		}
		assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
		assert.Empty(t, p.Cookies())
	}
	c := exactly.cookie(s.cookie)
	require.NotNil(t, c)
	assert.Equal(t, 4096, len(c.Name)+len(c.Value))
	var tooLarge *session.SizeError
	require.ErrorAs(t, failure, &tooLarge)
	assert.Equal(t, session.SizeError{Limit: 4096, Size: 4097, Largest: []session.KeySize{{Key: "k", Size: size}}}, *tooLarge)
}

// The largest session, its hint and both names stay far below what servers take as a header.
func TestSessionCookiesFitTheHeaderBudget(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		p := s.ask("", func(own *session.Session) { own.Flash("f", strings.Repeat("v", 2900)) })
		require.Len(t, p.Cookies(), 2)
		line := ""
		for _, c := range p.Cookies() {
			line += c.Name + "=" + c.Value + "; "
		}
		assert.Less(t, len(line), 8192)
	})
}

// No parser quotes, trims or decodes such a value.
func TestCookieValuesAreBase64urlOnly(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		for range 20 {
			p := s.ask("", func(own *session.Session) { own.Set("k", `"quoted" ;,\ ü`); own.Flash("f", 1) })
			for _, line := range p.Header["Set-Cookie"] {
				assert.Regexp(t, `^[A-Za-z_]+=[A-Za-z0-9_-]+; Path=/; Max-Age=\d+; HttpOnly; SameSite=Lax$`, line)
			}
		}
	})
}

func TestACookieShowsNothingOfTheSession(t *testing.T) {
	s := newSite(t, "cookie")
	value := valueOf(s.token(s.ask("", func(own *session.Session) { own.Set("email", "ann@example.com") })))
	raw, err := base64.RawURLEncoding.DecodeString(value)
	require.NoError(t, err)
	for _, part := range []string{"email", "ann", "example"} {
		assert.NotContains(t, string(raw), part)
		assert.NotContains(t, value, part)
	}
}

// RFC 6265bis, section 4.1.1: servers must not send two lines for one cookie.
func TestAnAnswerSetsEachCookieOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		cookie := s.signIn()
		p := s.visit(cookie, func(w http.ResponseWriter, r *http.Request, own *session.Session) {
			own.Destroy()
			own.Set("k", 1)
			own.Save()
			own.Regenerate()
			own.Flash("f", 1)
			own.Save()
			own.Remember(time.Hour)
			for _, name := range []string{"memory", "cookie"} {
				other, err := own.Using(name)
				require.NoError(t, err)
				other.Set("k", 1)
				other.Regenerate()
			}
			http.SetCookie(w, &http.Cookie{Name: s.cookie, Value: "the handler's own"})
		})
		assert.Equal(t, http.StatusOK, p.StatusCode)
		names := make(map[string]int)
		for _, c := range p.Cookies() {
			names[c.Name]++
		}
		assert.GreaterOrEqual(t, len(names), 3)
		for name, lines := range names {
			assert.Equal(t, 1, lines, name)
		}
	})
}

// Every accessor makes the answer depend on the session, and the answer says so (Flask's
// CVE-2026-27205 was one that did not).
func TestEveryAccessorKeepsTheAnswerFromSharedCaches(t *testing.T) {
	accessors := map[string]func(own *session.Session){
		"Get":         func(own *session.Session) { own.Get("k") },
		"GetString":   func(own *session.Session) { own.GetString("k") },
		"GetInt":      func(own *session.Session) { own.GetInt("k") },
		"GetBool":     func(own *session.Session) { own.GetBool("k") },
		"Scan":        func(own *session.Session) { own.Scan("k", new(string)) },
		"Has":         func(own *session.Session) { own.Has("k") },
		"All":         func(own *session.Session) { own.All() },
		"Delete":      func(own *session.Session) { own.Delete("k") },
		"Pull":        func(own *session.Session) { own.Pull("k") },
		"generic Get": func(own *session.Session) { session.Get[string](own, "k") },
		"Key.Get":     func(own *session.Session) { session.Key[string]("k").Get(own) },
		"Key.Has":     func(own *session.Session) { session.Key[string]("k").Has(own) },
		"IsNew":       func(own *session.Session) { own.IsNew() },
		"CreatedAt":   func(own *session.Session) { own.CreatedAt() },
		"ExpiresAt":   func(own *session.Session) { own.ExpiresAt() },
		"Handle":      func(own *session.Session) { own.Handle() },
		"Open":        func(own *session.Session) { own.Open() },
		"Save":        func(own *session.Session) { own.Save() },
		"Set":         func(own *session.Session) { own.Set("k", 1) },
		"Increment":   func(own *session.Session) { own.Increment("n", 1) },
		"Flash":       func(own *session.Session) { own.Flash("k", 1) },
		"FlashNow":    func(own *session.Session) { own.FlashNow("k", 1) },
		"KeepFlash":   func(own *session.Session) { own.KeepFlash("k") },
		"Reflash":     func(own *session.Session) { own.Reflash() },
		"Reset":       func(own *session.Session) { own.Reset() },
		"ResetFlash":  func(own *session.Session) { own.ResetFlash() },
		"Flush":       func(own *session.Session) { own.Flush() },
		"Regenerate":  func(own *session.Session) { own.Regenerate() },
		"Destroy":     func(own *session.Session) { own.Destroy() },
	}
	everywhere(t, func(t *testing.T, s *site) {
		for name, access := range accessors {
			for _, cookie := range []string{"", s.signIn()} {
				p := s.visit(cookie, func(w http.ResponseWriter, _ *http.Request, own *session.Session) {
					w.Header().Set("Cdn-Cache-Control", "max-age=600")
					access(own)
				})
				assert.Equal(t, []string{"Cookie"}, p.Header["Vary"], name)
				assert.Contains(t, p.Header.Get("Cache-Control"), "private", name)
				if len(p.Cookies()) > 0 {
					assert.Empty(t, p.Header["Cdn-Cache-Control"], name)
				}
			}
		}
		p := s.visit(s.signIn(), func(http.ResponseWriter, *http.Request, *session.Session) {})
		assert.Empty(t, p.Header["Vary"], "untouched, the answer is the same for all")
	})
}

// Nor does a handler's own Cache-Control let a shared cache keep an answer that sets a cookie.
func TestNoSharedCacheKeepsACookie(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		p := s.visit("", func(w http.ResponseWriter, _ *http.Request, own *session.Session) {
			w.Header().Set("Cache-Control", "public, max-age=600, s-maxage=600")
			w.Header().Set("Vary", "Accept-Encoding")
			w.Header().Set("Surrogate-Control", "max-age=600")
			own.Set("k", 1)
		})
		require.NotEmpty(t, p.Cookies())
		assert.Equal(t, "private, max-age=600", p.Header.Get("Cache-Control"))
		assert.Equal(t, []string{"Accept-Encoding", "Cookie"}, p.Header["Vary"])
		assert.Empty(t, p.Header["Surrogate-Control"])
	})
}

// An answer that does nothing but refresh the sealed cookie says so too (Flask's CVE-2023-30861).
func TestAnAnswerThatOnlyRefreshesTheCookieIsKeptFromCaches(t *testing.T) {
	s := newSite(t, "cookie")
	cookie := s.signIn()
	s.clock.advance(30 * time.Minute)
	p := s.ask(cookie, func(own *session.Session) { own.Has("nothing") })
	require.NotNil(t, p.cookie("s_cookie"))
	assert.Equal(t, []string{"Cookie"}, p.Header["Vary"])
	assert.Contains(t, p.Header.Get("Cache-Control"), "private")
}

// A browser that dropped the cookie is a new visitor, not an error.
func TestALostCookieIsAVisitor(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		s.signIn()
		p := s.ask("", func(own *session.Session) { assert.Empty(t, own.All()) })
		assert.Equal(t, http.StatusOK, p.StatusCode)
		assert.Empty(t, p.Cookies())
		p = s.ask(s.cookie+"_f=1", func(own *session.Session) { assert.Empty(t, own.All()) })
		assert.Equal(t, http.StatusOK, p.StatusCode, "the hint may stay behind")
	})
}
