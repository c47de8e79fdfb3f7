package session_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"example.com/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// opens opens its session and changes nothing, and sets begins a new one, which needs a cookie.
func opens(s *session.Session) { s.Get("a") }
func sets(s *session.Session)  { s.Set("a", 1) }

// headersAfter returns the header of an answer whose handler had set some of it.
func headersAfter(v *endpoint, own http.Header, do func(s *session.Session)) http.Header {
	v.t.Helper()
	e := v.serve(func(w http.ResponseWriter, r *http.Request) {
		do(session.FromRequest(r))
		for field, values := range own {
			w.Header()[field] = values
		}
		w.WriteHeader(http.StatusAccepted)
	})
	require.NoError(v.t, e.err)
	return e.response.Header
}

func TestVaryNamesCookieOnce(t *testing.T) {
	for _, test := range []struct {
		name      string
		own, want []string
	}{
		{name: "none", want: []string{"Cookie"}},
		{name: "another field", own: []string{"Accept-Encoding"}, want: []string{"Accept-Encoding", "Cookie"}},
		{name: "the same", own: []string{"Cookie"}, want: []string{"Cookie"}},
		{name: "in a list, in other letters", own: []string{"Accept, cOOKIE"}, want: []string{"Accept, cOOKIE"}},
		{name: "in a second line", own: []string{"Accept", "Cookie"}, want: []string{"Accept", "Cookie"}},
		{name: "everything", own: []string{"*"}, want: []string{"*"}},
		{name: "part of a name", own: []string{"Cookie2"}, want: []string{"Cookie2", "Cookie"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newEndpoint(t, "HTTP1", newManager(t, driverConfig(t, "memory")).Middleware)
			own := http.Header{}
			if test.own != nil {
				own["Vary"] = test.own
			}
			for _, do := range []func(*session.Session){opens, sets, opens} {
				assert.Equal(t, test.want, headersAfter(v, own, do)["Vary"])
			}
		})
	}
}

func TestAnswerThatDoesNotUseItsSessionIsLeftAlone(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newEndpoint(t, "HTTP1", newManager(t, cfg).Middleware)
		v.begin(sets)
		h := headersAfter(v, http.Header{"Cdn-Cache-Control": {"max-age=60"}}, nothing)
		for _, field := range []string{"Vary", "Cache-Control", "Set-Cookie"} {
			assert.NotContains(t, h, field)
		}
		assert.Contains(t, h, "Cdn-Cache-Control")
	})
}

func TestCacheControlKeepsSharedCachesFromAnswersWithACookie(t *testing.T) {
	for _, test := range []struct {
		name    string
		own     []string
		with    string   // where a cookie is set
		without []string // where none is; nil: as the handler wrote it
	}{
		{name: "none", with: "private, no-cache", without: []string{"private, no-cache"}},
		{name: "public", own: []string{"public, max-age=60"}, with: "private, max-age=60"},
		{name: "capitals and spaces", own: []string{" PUBLIC ,  Max-Age=60"}, with: "private, Max-Age=60"},
		{name: "s-maxage", own: []string{"max-age=60, s-maxage=600"}, with: "private, max-age=60"},
		{name: "s-maxage, written loosely", own: []string{"s-maxage = 600"}, with: "private"},
		{name: "private", own: []string{"private, max-age=60"}, with: "private, max-age=60"},
		{name: "private, later", own: []string{"max-age=60, private"}, with: "max-age=60, private"},
		{name: "private and public", own: []string{"public, private"}, with: "private"},
		{name: "no-store", own: []string{"no-store"}, with: "no-store"},
		{name: "private fields only", own: []string{`private="X-Name", max-age=60`}, with: "private, max-age=60"},
		{name: "private fields, several", own: []string{`private="X-Name, X-Mail", max-age=60`}, with: "private, max-age=60"},
		{name: "a comma within quotes", own: []string{`public, no-cache="Set-Cookie, X-Name"`}, with: `private, no-cache="Set-Cookie, X-Name"`},
		{name: "a quote within quotes", own: []string{`ext="a\", public", s-maxage=1`}, with: `private, ext="a\", public"`},
		{name: "two lines", own: []string{"public", "max-age=60"}, with: "private, max-age=60"},
		{name: "empty parts", own: []string{", ,max-age=60,"}, with: "private, max-age=60"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newEndpoint(t, "HTTP1", newManager(t, driverConfig(t, "memory")).Middleware)
			own := http.Header{}
			if test.own != nil {
				own["Cache-Control"] = test.own
			}
			assert.Equal(t, []string{test.with}, headersAfter(v, own, sets)["Cache-Control"], "a cookie is set")
			want := test.without
			if want == nil {
				want = trimmed(test.own)
			}
			assert.Equal(t, want, headersAfter(v, own, opens)["Cache-Control"], "no cookie is set")
			assert.Equal(t, []string{test.with}, headersAfter(v, own, (*session.Session).Destroy)["Cache-Control"], "a cookie is cleared")
		})
	}
}

// trimmed is what net/http makes of field values on the wire.
func trimmed(values []string) (out []string) {
	for _, v := range values {
		out = append(out, strings.TrimSpace(v))
	}
	return out
}

func TestFieldsForSharedCachesGoWhereACookieIsSet(t *testing.T) {
	v := newEndpoint(t, "HTTP1", newManager(t, driverConfig(t, "memory")).Middleware)
	own := http.Header{
		"Cdn-Cache-Control":            {"max-age=60"},
		"Cloudflare-Cdn-Cache-Control": {"max-age=60"},
		"Surrogate-Control":            {"max-age=60"},
		"X-Other":                      {"stays"},
	}
	h := headersAfter(v, own, sets)
	for field := range own {
		assert.Equal(t, field == "X-Other", h[field] != nil, field)
	}
	h = headersAfter(v, own, opens)
	for field := range own {
		assert.Contains(t, h, field)
	}
}

func TestSessionsOfAddressesAreNeverStoredByCaches(t *testing.T) {
	cfg := driverConfig(t, "memory")
	cfg.Memory.ByClientIP = true
	v := newEndpoint(t, "HTTP1", newManager(t, cfg).Middleware)
	for _, do := range []func(*session.Session){sets, opens, (*session.Session).Destroy} {
		h := headersAfter(v, http.Header{"Cache-Control": {"public, max-age=60"}, "Cdn-Cache-Control": {"max-age=60"}}, do)
		assert.Equal(t, []string{"private, no-store"}, h["Cache-Control"])
		assert.NotContains(t, h, "Set-Cookie")
		assert.NotContains(t, h, "Cdn-Cache-Control")
	}
}

// Browsers find the cookie to delete by name, Domain, Path and partition, and refuse the line
// where a prefix of the name demands what it lacks.
func TestDeletionRepeatsTheAttributesOfTheCookie(t *testing.T) {
	for _, test := range []struct {
		name       string
		attributes session.CookieAttributes
	}{
		{name: "defaults"},
		{name: "path and domain", attributes: session.CookieAttributes{Path: "/shop", Domain: "example.com"}},
		{name: "secure and strict", attributes: session.CookieAttributes{Secure: session.SecureAlways, SameSite: http.SameSiteStrictMode}},
		{name: "partitioned", attributes: session.CookieAttributes{SameSite: http.SameSiteNoneMode, Partitioned: true}},
		{name: "host prefix", attributes: session.CookieAttributes{Prefix: "__Host-s_"}},
		{name: "session only", attributes: session.CookieAttributes{SessionOnly: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, cfg session.Config) {
				cfg.CookieAttributes = test.attributes
				v := newEndpoint(t, "HTTP1", newManager(t, cfg).Middleware)
				set := headersAfter(v.withCookies(""), nil, func(s *session.Session) { s.Flash("a", 1) })["Set-Cookie"]
				require.Len(t, set, 2, "the session's and the hint's")
				cleared := headersAfter(v.withCookies(pairs(set)), nil, (*session.Session).Destroy)["Set-Cookie"]
				cleared = slices.DeleteFunc(cleared, func(line string) bool { // that of a time without Domain goes too
					return test.attributes.Domain != "" && !strings.Contains(line, "Domain=")
				})
				require.Len(t, cleared, 2)
				for i := range set {
					assert.Equal(t, identity(set[i]), identity(cleared[i]))
					assert.Contains(t, cleared[i], "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT")
					assert.Contains(t, cleared[i], strings.SplitN(set[i], "=", 2)[0]+"=;", "the value is empty")
				}
			})
		})
	}
}

// pairs returns the Cookie header that Set-Cookie lines lead to.
func pairs(lines []string) string {
	var all []string
	for _, line := range lines {
		pair, _, _ := strings.Cut(line, ";")
		all = append(all, pair)
	}
	return strings.Join(all, "; ")
}

// identity returns what a Set-Cookie line and its deletion have in common.
func identity(line string) []string {
	name, _, _ := strings.Cut(line, "=")
	parts := []string{name}
	for _, attribute := range strings.Split(line, "; ")[1:] {
		if !strings.HasPrefix(attribute, "Max-Age") && !strings.HasPrefix(attribute, "Expires") {
			parts = append(parts, attribute)
		}
	}
	return parts
}

func TestResponseHasAtMostOneSetCookieOfAName(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		for name, do := range map[string]func(w http.ResponseWriter, s *session.Session){
			"saved, regenerated, saved": func(w http.ResponseWriter, s *session.Session) {
				s.Set("a", 1)
				assert.NoError(t, s.Save())
				s.Regenerate()
				assert.NoError(t, s.Save())
				s.Flash("b", 2)
			},
			"destroyed, begun, destroyed, begun": func(w http.ResponseWriter, s *session.Session) {
				for range 2 {
					s.Destroy()
					s.Set("a", 1)
					assert.NoError(t, s.Save())
				}
			},
			"the handler sets it too": func(w http.ResponseWriter, s *session.Session) {
				s.Regenerate()
				s.Flash("a", 1)
				for _, cookie := range []string{"s_" + cfg.Default, "s_" + cfg.Default + "_f", "other"} {
					http.SetCookie(w, &http.Cookie{Name: cookie, Value: "handler"})
				}
			},
			"a sign-out that the handler helps": func(w http.ResponseWriter, s *session.Session) {
				http.SetCookie(w, &http.Cookie{Name: "s_" + cfg.Default, MaxAge: -1})
				s.Destroy()
			},
		} {
			t.Run(name, func(t *testing.T) {
				v := newEndpoint(t, "HTTP1", newManager(t, cfg).Middleware)
				v.begin(seedBefore)
				e := v.serve(func(w http.ResponseWriter, r *http.Request) {
					do(w, session.FromRequest(r))
					w.WriteHeader(http.StatusAccepted)
				})
				seen := make(map[string]bool)
				for _, c := range e.response.Cookies() {
					assert.False(t, seen[c.Name], "two lines set %s: %q", c.Name, e.response.Header["Set-Cookie"])
					seen[c.Name] = true
					if c.Name != "other" {
						assert.NotEqual(t, "handler", c.Value, "the handler's line stands in place of the session's")
					}
				}
				assert.NotEmpty(t, seen)
			})
		}
	})
}
