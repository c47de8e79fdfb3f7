package session_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/redistest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each of these tests is named after what a session system was seen to do wrong, and shows that
// this one does not. First what is a danger, then what is a nuisance.

func TestSpoofedAddressHeaderOpensSomebodysSession(t *testing.T) {
	spoofs := []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip", "Client-Ip", "X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Remote-Addr"}
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) { s.Set("user", "ann") })
		for _, header := range spoofs {
			v.stranger().visit(func(s *session.Session) { assert.Empty(t, s.All(), header) }, header, "127.0.0.1")
		}
	})
	t.Run("by address", func(t *testing.T) {
		cfg := driverConfig(t, "memory")
		cfg.Memory.ByClientIP = true
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) { s.Set("user", "ann") })
		thief := v.from("127.0.0.2")
		for _, header := range spoofs {
			p := thief.visit(func(s *session.Session) { assert.Empty(t, s.All(), header) }, header, "127.0.0.1")
			refused := header == "X-Forwarded-For" || header == "Forwarded"
			assert.Equal(t, refused, p.StatusCode == http.StatusInternalServerError, header)
		}
	})
}

// forgeries are cookie values that say who somebody is without the secret.
func forgeries(t *testing.T) []string {
	claims := []string{"1", "admin=1", "{\"admin\":1}", "\x05admin1", "=\"1\""}
	var values []string
	for _, claim := range claims {
		data := base64.StdEncoding.EncodeToString([]byte(claim))
		values = append(values, url.QueryEscape(claim), data, base64.RawURLEncoding.EncodeToString([]byte(claim)))
	}
	record := session.RecordBuilder{CreatedAt: time.Now(), UsedAt: time.Now(),
		Limits: session.Limits{Lifetime: time.Hour, Idle: time.Hour}}
	record.Value("admin", "1")
	built, err := record.Build(session.Token{})
	require.NoError(t, err)
	packed, err := built.AppendBinary(nil)
	require.NoError(t, err)
	header := make([]byte, 1+4+24) // of a sealed cookie, with no seal behind it
	header[0] = 1
	return append(values, base64.RawURLEncoding.EncodeToString(packed),
		base64.RawURLEncoding.EncodeToString(append(header, packed...)))
}

func TestUnencryptedCookieIsBelieved(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		for _, forged := range forgeries(t) {
			v.stranger().visit(func(s *session.Session) {
				assert.False(t, s.Has("admin"), "%q", forged)
				assert.Empty(t, s.All())
				assert.True(t, s.IsNew())
			}, "Cookie", "s_"+cfg.Default+"="+forged)
			v.stranger().visit(func(s *session.Session) { assert.False(t, s.Has("admin")) },
				"Cookie", "s_admin=1; admin=1; s_"+cfg.Default+"_f=1")
		}
	})
}

func TestChangedCookieIsBelieved(t *testing.T) {
	v := newVisitor(t, newManager(t, driverConfig(t, "cookie")))
	good := v.visit(func(s *session.Session) { s.Set("admin", 0) }).cookie("s_cookie").Value
	raw, err := base64.RawURLEncoding.DecodeString(good)
	require.NoError(t, err)
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1 << (i % 8)
		v.stranger().visit(func(s *session.Session) { assert.True(t, s.IsNew(), "byte %d", i) },
			"Cookie", "s_cookie="+base64.RawURLEncoding.EncodeToString(bad))
	}
}

func TestEmptyCookieShowsTheLastVisitorsData(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		for _, empty := range []string{"", " ", `""`} {
			v.visit(func(s *session.Session) { s.Set("user", "ann"); s.Flash("note", "for ann") })
			v.stranger().visit(func(s *session.Session) { assert.Empty(t, s.All(), "%q", empty) },
				"Cookie", "s_"+cfg.Default+"="+empty)
		}
	})
}

func TestCookieOpensUnderAnotherName(t *testing.T) {
	cfg := driverConfig(t, "cookie")
	greeting, err := session.NewCookieDriver(session.CookieConfig{}, testSecret)
	require.NoError(t, err)
	cfg.Drivers = map[string]session.Driver{"greeting": greeting}
	v := newVisitor(t, newManager(t, cfg))
	p := v.visit(func(s *session.Session) {
		s, err := s.Using("greeting")
		if assert.NoError(t, err) {
			s.Set("role", "admin")
		}
	})
	token := p.cookie("s_greeting").Value
	v.stranger().visit(func(s *session.Session) { assert.True(t, s.IsNew()) }, "Cookie", "s_cookie="+token)

	elsewhere := driverConfig(t, "cookie")
	elsewhere.CookieAttributes.Prefix = "other_"
	newVisitor(t, newManager(t, elsewhere)).visit(func(s *session.Session) { assert.True(t, s.IsNew()) },
		"Cookie", "other_greeting="+token+"; other_cookie="+token)
}

func TestOldCookieOpensForEver(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		clock := setClock(m)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) { s.Set("user", "ann") })
		copied := v.cookieHeader()
		v.visit(func(s *session.Session) { s.Destroy() })
		clock.advance(10 * time.Second)
		v.stranger().visit(func(s *session.Session) { assert.True(t, s.IsNew(), "after the logout") }, "Cookie", copied)
		clock.advance(time.Hour)
		v.stranger().visit(func(s *session.Session) { assert.True(t, s.IsNew(), "after its time") }, "Cookie", copied)
	})
}

func TestPageShowsTheToken(t *testing.T) {
	page := pages(t, `{{ session }} {{ session.Handle }} {{ session.All }} {{ printf "%#v" session }}`)
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		token := v.visit(func(s *session.Session) { s.Set("k", 1) }).cookie("s_" + cfg.Default).Value
		p := v.serve(render(t, page))
		assert.NotContains(t, p.body, token)
		for _, word := range strings.Fields(p.body) {
			v.stranger().visit(func(s *session.Session) { assert.True(t, s.IsNew(), word) },
				"Cookie", "s_"+cfg.Default+"="+word)
		}
	})
}

func TestTokenOfTheClientsChoiceIsAdopted(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		name := "s_" + cfg.Default
		for _, chosen := range []string{wellFormed, session.NewToken(name).Value(), "chosen", strings.Repeat("a", 43)} {
			v := newVisitor(t, m)
			p := v.visit(func(s *session.Session) { s.Set("user", "ann") }, "Cookie", name+"="+chosen)
			require.NotNil(t, p.cookie(name))
			assert.NotEqual(t, chosen, p.cookie(name).Value)
			v.stranger().visit(func(s *session.Session) { assert.True(t, s.IsNew()) }, "Cookie", name+"="+chosen)
		}
	})
}

func TestLoginKeepsTheTokenAndLogoutTheSession(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		clock := setClock(m)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) { s.Set("cart", 1) })
		planted := v.cookieHeader()
		v.visit(func(s *session.Session) { s.Regenerate(); s.Set("user", "ann") })
		signedIn := v.cookieHeader()
		assert.NotEqual(t, planted, signedIn)
		clock.advance(10 * time.Second)
		v.stranger().visit(func(s *session.Session) { assert.Empty(t, s.All(), "the planted one") }, "Cookie", planted)
		v.visit(func(s *session.Session) { s.Destroy() })
		assert.Empty(t, v.cookieHeader())
		clock.advance(10 * time.Second)
		v.stranger().visit(func(s *session.Session) { assert.Empty(t, s.All(), "after the logout") }, "Cookie", signedIn)
	})
}

// A token has 32 random bytes. Of each byte's 256 values about as many are drawn.
func TestTokensCanBeGuessed(t *testing.T) {
	const draws = 25_600
	seen := make(map[string]bool, draws)
	var counts [32][256]int
	for range draws {
		value := session.NewToken("s_memory").Value()
		raw, err := base64.RawURLEncoding.Strict().DecodeString(value)
		require.NoError(t, err)
		require.Len(t, raw, 32)
		require.False(t, seen[value])
		seen[value] = true
		for i, b := range raw {
			counts[i][b]++
		}
	}
	for i, of := range counts {
		chi := 0.0
		for _, n := range of {
			chi += math.Pow(float64(n)-draws/256, 2) / (draws / 256)
		}
		assert.InDelta(t, 255, chi, 150, "byte %d: more than six deviations from what chance gives", i)
	}
}

func TestCookieOfAPatternReachesAllSessions(t *testing.T) {
	server := redistest.Start(t)
	v := newVisitor(t, newManager(t, redisConfig(t, server, "")))
	v.visit(func(s *session.Session) { s.Set("user", "ann") })
	keys := server.Keys(t)
	commands := server.CommandsDuring(t, func() {
		for _, pattern := range []string{"*", strings.Repeat("*", 43), strings.Repeat("?", 43), "[a-z]*", "session:*", "\\*"} {
			for _, do := range []func(s *session.Session){
				func(s *session.Session) { assert.Empty(t, s.All()); s.Flush() },
				func(s *session.Session) { s.Destroy() },
				func(s *session.Session) { s.Regenerate(); s.Get("user") },
			} {
				v.stranger().visit(do, "Cookie", "s_redis="+pattern)
			}
		}
	})
	assert.Empty(t, commands, "what cannot be a token is not asked for")
	assert.Equal(t, keys, server.Keys(t))
	v.visit(func(s *session.Session) { assert.Equal(t, "ann", s.Get("user")) })
}

func TestConcurrentRequestsSeeEachOthersSession(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		var inside sync.WaitGroup
		inside.Add(8)
		b := newBrowser(t, routes{
			"/set/{name}": func(_ http.ResponseWriter, r *http.Request, s *session.Session) { s.Set("name", r.PathValue("name")) },
			"/together": func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
				before := s.Get("name")
				inside.Done()
				inside.Wait() // until all eight have opened theirs
				fmt.Fprint(w, before, " ", s.Get("name"))
			},
		}.under(newManager(t, cfg)))
		var all sync.WaitGroup
		for i := range 8 {
			one := b.another()
			all.Go(func() {
				name := fmt.Sprint("visitor", i)
				one.get("/set/" + name)
				assert.Equal(t, name+" "+name, one.get("/together").body)
			})
		}
		all.Wait()
	})
}

func TestRouteWithoutMiddlewareSeesThePreviousVisitor(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		mux := http.NewServeMux()
		mux.Handle("/with", m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			session.FromRequest(r).Set("user", "ann")
		})))
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			_, ok := session.Lookup(r.Context())
			fmt.Fprint(w, ok)
		})
		b := newBrowser(t, mux)
		b.get("/with")
		assert.Equal(t, "false", b.get("/without").body)
		assert.Equal(t, "false", b.get("/with/nothing/there").body)
	})
}

func TestLogoutReachesTheNextVisitor(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		other := v.stranger()
		other.visit(func(s *session.Session) { s.Set("user", "bob") })
		v.visit(func(s *session.Session) { s.Set("user", "ann"); s.Flash("note", 1) })
		assert.NotEmpty(t, v.visit(func(s *session.Session) { s.Destroy() }).Header["Set-Cookie"])
		p := other.visit(func(s *session.Session) { assert.Equal(t, "bob", s.Get("user")) })
		assert.Empty(t, p.Header["Set-Cookie"])
	})
}

func TestKeyWritesCookieAttributes(t *testing.T) {
	evil := "k=v; Domain=example.com; Path=/x; Max-Age=1\r\nSet-Cookie: s_admin=1\r\n\r\n<script>"
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		p := v.visit(func(s *session.Session) { s.Set(evil, evil); s.Flash(evil, evil) })
		assert.Len(t, p.Cookies(), 2)
		for _, c := range p.Cookies() {
			assert.Regexp(t, `^[-_A-Za-z0-9]+$`, c.Value)
			assert.Empty(t, c.Domain)
			assert.Equal(t, "/", c.Path)
			assert.Equal(t, 24*60*60, c.MaxAge)
			assert.Empty(t, c.Unparsed)
		}
		v.visit(func(s *session.Session) { assert.Equal(t, map[string]any{evil: evil}, s.All()) })
	})
}

// There is nothing that stores a whole form, so no password gets into a session by itself.
func TestFormIsStoredUnasked(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.handler.Store(handlerFunc(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			assert.Equal(t, "hunter2", r.FormValue("password"))
			s.Flash("error", "wrong password")
			http.Redirect(w, r, "/", http.StatusSeeOther)
		}))
		response, err := v.client.PostForm(v.url, url.Values{"password": {"hunter2"}})
		require.NoError(t, err)
		response.Body.Close()
		v.visit(func(s *session.Session) { assert.Equal(t, map[string]any{"error": "wrong password"}, s.All()) })
	})
	var methods []string
	for i := range reflect.TypeFor[*session.Session]().NumMethod() {
		methods = append(methods, reflect.TypeFor[*session.Session]().Method(i).Name)
	}
	assert.Equal(t, strings.Fields(`All AuthenticatedAt CreatedAt Decrement Delete Describe Destroy Err ExpiresAt Flash FlashNow Flush Format FreshWithin
		Get GetBool GetInt GetString Handle Has Increment IsNew KeepFlash Locked LogValue Login Logout MarshalJSON Open Pull Reflash
		Regenerate Remember Reset ResetFlash Save Scan Set String TemplateFuncs User Using`), methods)
}

func TestCookieIsSentInTheClear(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		tests := []struct {
			name   string
			change func(cfg *session.Config)
			want   []string
		}{
			{name: "default", change: func(*session.Config) {}, want: []string{"HttpOnly", "Secure", "SameSite=Lax", "Path=/"}},
			{
				name:   "for a domain",
				change: func(cfg *session.Config) { cfg.CookieAttributes.Domain = "example.com" },
				want:   []string{"HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Domain=example.com"},
			},
			{
				name: "for this host alone",
				change: func(cfg *session.Config) {
					cfg.CookieAttributes.Prefix = "__Host-"
					cfg.CookieAttributes.SameSite = http.SameSiteStrictMode
				},
				want: []string{"HttpOnly", "Secure", "SameSite=Strict", "Path=/"},
			},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				cfg := cfg
				tt.change(&cfg)
				handler := newManager(t, cfg).Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					session.FromRequest(r).Flash("k", 1)
				}))
				answer := httptest.NewRecorder()
				r := httptest.NewRequest("GET", "http://www.example.com/", nil)
				handler.ServeHTTP(answer, r)
				require.Len(t, answer.Header()["Set-Cookie"], 2)
				for _, line := range answer.Header()["Set-Cookie"] {
					attributes := strings.Split(line, "; ")[1:]
					attributes = slices.DeleteFunc(attributes, func(a string) bool { return strings.HasPrefix(a, "Max-Age=") })
					assert.ElementsMatch(t, tt.want, attributes, line)
				}
			})
		}
	})
}

func TestSetAfterDeleteIsLost(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		for name, end := range map[string]func(s *session.Session){
			"Delete": func(s *session.Session) { s.Delete("k") },
			"Pull":   func(s *session.Session) { s.Pull("k") },
			"Flush":  func(s *session.Session) { s.Flush() },
			"Reset":  func(s *session.Session) { s.Reset() },
		} {
			t.Run(name, func(t *testing.T) {
				v := newVisitor(t, newManager(t, cfg))
				v.visit(func(s *session.Session) { s.Set("k", "old") })
				v.visit(func(s *session.Session) {
					end(s)
					s.Set("k", "new")
					assert.Equal(t, "new", s.Get("k"))
				})
				v.visit(func(s *session.Session) { assert.Equal(t, "new", s.Get("k")) })
			})
		}
	})
}

func TestDeletedFlashComesBack(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		for name, end := range map[string]func(s *session.Session){
			"Delete": func(s *session.Session) { s.Delete("note") },
			"Flush":  func(s *session.Session) { s.Flush() },
		} {
			v := flashed(t, newManager(t, cfg))
			v.serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
				end(s)
				assert.False(t, s.Has("note"), name)
				w.WriteHeader(http.StatusFound)
			})
			assert.False(t, has(v), name)
		}
	})
}

func TestHasIsTrueOfWhatIsGone(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) { s.Set("data", 1); s.Flash("note", 1) })
		v.visit(func(s *session.Session) {
			s.Delete("data")
			assert.False(t, s.Has("data"))
			assert.Equal(t, 1, s.Get("note"))
		})
		v.visit(func(s *session.Session) {
			assert.False(t, s.Has("data"))
			assert.False(t, s.Has("note"), "it was read")
		})
	})
}

func TestFlashThatIsSetAgainAfterItWasReadIsLost(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := flashed(t, newManager(t, cfg))
		v.visit(func(s *session.Session) {
			assert.Equal(t, "hello", s.Get("note"))
			s.Flash("note", "again")
		})
		v.visit(func(s *session.Session) { assert.Equal(t, "again", s.Get("note")) })
		v.visit(func(s *session.Session) { assert.False(t, s.Has("note")) })
	})
}

func TestFlashOverwritesTheDataOfItsKey(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) { s.Set("user", "ann"); s.Flash("user", "welcome") })
		v.visit(func(s *session.Session) { assert.Equal(t, "welcome", s.Get("user")) })
		v.visit(func(s *session.Session) { assert.Equal(t, "ann", s.Get("user")) })
	})
}

func TestKeysWithThePrefixesInThemAreMangled(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		keys := []string{"s_user", "f_user", "user", "classes_f_x", "s_s_", "f_", "s_f_user", "_f", "v:user", "f:user"}
		v := newVisitor(t, newManager(t, cfg))
		want := make(map[string]any)
		v.visit(func(s *session.Session) {
			for i, key := range keys {
				s.Set(key, i)
				want[key] = i
			}
		})
		v.visit(func(s *session.Session) { assert.Equal(t, want, s.All()) })
	})
}

func TestValuesChangeTheirTypeOrVanish(t *testing.T) {
	values := []any{"1", "true", "null", "{}", "[1]", `"a"`, "1.5", "", 0, false, nil, 0.0, 5.0, []any{1, "a"}, []any{}}
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) {
			for i, value := range values {
				s.Set(fmt.Sprint(i), value)
			}
		})
		v.visit(func(s *session.Session) {
			for i, value := range values {
				assert.True(t, s.Has(fmt.Sprint(i)), "%#v", value)
				assert.Equal(t, value, s.Get(fmt.Sprint(i)))
			}
		})
	})
}

func TestIncrementIsNotOne(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) {
			assert.Equal(t, 1, s.Increment("n", 1), "it returns the sum, and a missing one counts as 0")
			assert.Equal(t, 1, s.Get("n"), "it stores an integer")
			assert.Equal(t, -4, s.Decrement("n", 5))
			s.Flash("f", 7)
			assert.Equal(t, 1, s.Increment("f", 1), "it counts data, not flash")
			assert.Equal(t, 7, s.Get("f"))
		})
		v.visit(func(s *session.Session) { assert.Equal(t, map[string]any{"n": -4, "f": 7}, s.All()) })
		v.visit(func(s *session.Session) { assert.Equal(t, map[string]any{"n": -4, "f": 1}, s.All(), "the flash went") })
	})
}

func TestAllGivesAwayWhatIsStored(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) { s.Set("list", []int{1, 2}); s.Set("text", "a") })
		v.visit(func(s *session.Session) {
			all := s.All()
			assert.Equal(t, map[string]any{"list": []any{1, 2}, "text": "a"}, all, "decoded")
			all["list"].([]any)[0] = 99
			delete(all, "text")
			s.Set("other", 1) // so that there is something to store
		})
		v.visit(func(s *session.Session) {
			assert.Equal(t, map[string]any{"list": []any{1, 2}, "text": "a", "other": 1}, s.All())
		})
	})
}

func TestFlashThatNobodyReadsStays(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := flashed(t, newManager(t, cfg))
		v.visit(func(*session.Session) {})
		v.visit(func(s *session.Session) { assert.Empty(t, s.All()) })
	})
}

// The described cookie said when it ended by the server's clock, and the browser judged it by its own.
func TestFlashDependsOnTheBrowsersClock(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		clock := setClock(m)
		p := newVisitor(t, m).visit(func(s *session.Session) { s.Flash("note", "hello") })
		for _, line := range p.Header["Set-Cookie"] {
			assert.NotContains(t, line, "Expires=")
			assert.Contains(t, line, "Max-Age=86400;")
		}
		clock.advance(30 * time.Second)
		newVisitor(t, m).visit(func(s *session.Session) { assert.Equal(t, "hello", s.Get("note"), "a slow page still has it") },
			"Cookie", p.Cookies()[0].Name+"="+p.Cookies()[0].Value)
	})
}

func TestCookieGrowsPastWhatBrowsersKeep(t *testing.T) {
	cfg := driverConfig(t, "cookie")
	failed := recordFailures(&cfg)
	v := newVisitor(t, newManager(t, cfg))
	fill := func(n int) page { return v.visit(func(s *session.Session) { s.Set("text", strings.Repeat("x", n)) }) }
	fits := 2900 // bytes of text, in four thirds of their length
	for fill(fits+1).StatusCode == http.StatusOK {
		fits++
	}
	p := fill(fits)
	cookie := p.cookie("s_cookie")
	assert.LessOrEqual(t, len(cookie.Name+cookie.Value), 4096)
	assert.Greater(t, len(cookie.Name+cookie.Value), 4096-3, "nothing is given away: %d characters fit", fits)

	refused := fill(fits + 1)
	assert.Equal(t, http.StatusInternalServerError, refused.StatusCode)
	assert.Empty(t, refused.Header["Set-Cookie"])
	var size *session.SizeError
	require.ErrorAs(t, failed.last(), &size)
	assert.Equal(t, 4096, size.Limit)
	assert.Greater(t, size.Size, 4096)
	assert.Equal(t, "text", size.Largest[0].Key)
	v.visit(func(s *session.Session) { assert.Len(t, s.GetString("text"), fits, "what was there stays") })
}

func TestEachKeyIsACookie(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		p := v.visit(func(s *session.Session) {
			for i := range 200 {
				s.Set(fmt.Sprint("key", i), i)
			}
		})
		assert.Len(t, p.Cookies(), 1)
		v.visit(func(s *session.Session) { assert.Len(t, s.All(), 200) })
	})
}

func TestRedisIsScannedOnEveryRequest(t *testing.T) {
	server := redistest.Start(t)
	m := newManager(t, redisConfig(t, server, ""))
	v := newVisitor(t, m)
	v.visit(func(s *session.Session) {
		for i := range 50 {
			s.Set(fmt.Sprint(i), i)
		}
	})
	assert.Len(t, server.Keys(t), 1, "one key a session")
	commands := server.CommandsDuring(t, func() {
		v.visit(func(s *session.Session) { assert.Len(t, s.All(), 50) })
		v.visit(func(s *session.Session) { s.Set("k", 1) })
		v.visit(func(s *session.Session) { s.Increment("k", 1); s.Delete("0"); s.Flash("note", 1) })
		v.visit(func(s *session.Session) { s.Regenerate() })
		v.visit(func(s *session.Session) { s.Destroy() })
	})
	for _, slow := range []string{"scan", "keys", "sscan", "hscan", "rename", "flushdb", "flushall"} {
		assert.Zero(t, commands[slow], slow)
	}

	v.visit(func(s *session.Session) { s.Set("k", 1) })
	assert.Equal(t, 1, server.RoundTrips(t, func() { v.visit(read) }), "to open it")
	assert.Equal(t, 2, server.RoundTrips(t, func() { v.visit(func(s *session.Session) { s.Set("k", 2) }) }), "to open it and to save it")
}

func TestRedisFailsAsItLikes(t *testing.T) {
	server := redistest.Start(t)
	v := newVisitor(t, newManager(t, redisConfig(t, server, "")))
	v.visit(func(s *session.Session) { s.Set("user", "ann") })
	server.Stop()
	p := v.visit(func(s *session.Session) { assert.Empty(t, s.All()) })
	assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode, "it is not as if nobody were signed in")
	assert.Empty(t, p.Header["Set-Cookie"], "and the cookie stays")
	assert.Equal(t, http.StatusOK, v.visit(func(*session.Session) {}).StatusCode, "who needs no session is served")
	server.Restart(t)
	assert.Equal(t, http.StatusOK, v.visit(read).StatusCode, "all is well at once")
}

func TestParallelRequestsLoseEachOthersUpdates(t *testing.T) {
	for _, name := range []string{"memory", "redis"} { // on the cookie driver the last answer wins, and its documentation says so
		t.Run(name, func(t *testing.T) {
			const parallel = 20
			var inside sync.WaitGroup
			inside.Add(parallel)
			m := newManager(t, driverConfig(t, name))
			b := newBrowser(t, routes{
				"/": func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Set("shared", 1) },
				"/{i}": func(_ http.ResponseWriter, r *http.Request, s *session.Session) {
					s.Get("shared")
					inside.Done()
					inside.Wait() // until all have the same view
					s.Set("key"+r.PathValue("i"), r.PathValue("i"))
					s.Increment("shared", 1)
				},
				"/all": func(w http.ResponseWriter, _ *http.Request, s *session.Session) { json.NewEncoder(w).Encode(s.All()) },
			}.under(m))
			b.get("/")
			want := map[string]any{"shared": float64(1 + parallel)}
			var all sync.WaitGroup
			for i := range parallel {
				want[fmt.Sprint("key", i)] = fmt.Sprint(i)
				all.Go(func() { b.get(fmt.Sprint("/", i)) })
			}
			all.Wait()
			var got map[string]any
			require.NoError(t, json.Unmarshal([]byte(b.get("/all").body), &got))
			assert.Equal(t, want, got)
		})
	}
}

func TestSessionHasNoEndAndNoHandle(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		clock := setClock(m)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) { s.Set("k", 1) })
		handles := make(map[string]bool)
		for range 30 { // a day and more of steady use
			clock.advance(50 * time.Minute)
			v.visit(func(s *session.Session) {
				if !s.IsNew() {
					handles[s.Handle()] = true
					assert.True(t, s.ExpiresAt().After(clock.now()))
				}
			})
		}
		v.visit(func(s *session.Session) { assert.True(t, s.IsNew(), "the lifetime is over") })
		assert.Len(t, handles, 1)
	})
}

func TestExpiredSessionsPileUp(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		m := newManager(t, driverConfig(t, "memory"))
		clock := setClock(m)
		handler := m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { session.FromRequest(r).Set("k", 1) }))
		store := func(n int) {
			for range n {
				handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
			}
		}
		store(20)
		clock.advance(time.Hour)
		store(2000) // spread over 256 shards, a few expired ones go with each
		assert.LessOrEqual(t, m.Stats().Sessions, int64(2005))
	})
	t.Run("redis", func(t *testing.T) {
		server := redistest.Start(t)
		v := newVisitor(t, newManager(t, redisConfig(t, server, "")))
		for _, do := range []func(s *session.Session){
			func(s *session.Session) { s.Set("k", 1) },
			func(s *session.Session) { s.Increment("n", 1); s.Flash("f", 1) },
			func(s *session.Session) { s.Regenerate() },
			func(s *session.Session) { s.Destroy() },
		} {
			v.visit(do)
			for key, left := range server.TTLs(t) {
				assert.Positive(t, left, "%s has no expiry", key)
			}
		}
	})
}

func TestVisitorWithoutSessionGetsACookie(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		p := v.serve(func(w http.ResponseWriter, _ *http.Request, _ *session.Session) { io.WriteString(w, "hello") })
		assert.Empty(t, p.Header["Set-Cookie"])
		assert.Empty(t, p.Header["Vary"])
		assert.Empty(t, p.Header["Cache-Control"])
		assert.Empty(t, v.visit(read).Header["Set-Cookie"], "nor one who only looked")
	})
}

func TestThereIsNoDefaultAndNoPeekAndNoKeeping(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := flashed(t, newManager(t, cfg))
		v.visit(func(s *session.Session) {
			name, ok := session.Get[string](s, "name")
			assert.False(t, ok, "whoever wants a default can tell that there is nothing")
			assert.Empty(t, name)
			for range 2 {
				assert.Equal(t, "hello", s.Get("note"), "to read is to peek")
			}
			s.KeepFlash("note")
			s.FlashNow("now", 1)
		})
		v.visit(func(s *session.Session) {
			assert.Equal(t, map[string]any{"note": "hello"}, s.All())
			s.Reflash()
		})
		v.visit(func(s *session.Session) { assert.Equal(t, map[string]any{"note": "hello"}, s.All()) })
	})
}

// A listStore is the least that a driver of one's own takes.
type listStore struct {
	mu      sync.Mutex
	entries map[string][]byte
}

func (l *listStore) Get(_ context.Context, id string) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries[id], nil
}

func (l *listStore) Update(_ context.Context, id string, change func(old []byte) (session.Entry, error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry, err := change(l.entries[id])
	if err == nil && entry.Data != nil {
		l.entries[id] = entry.Data
	}
	return err
}

func TestThereAreNoOtherDriversThanTheBuiltInOnes(t *testing.T) {
	for _, name := range []string{"memory", "list"} {
		t.Run("default "+name, func(t *testing.T) {
			cfg := driverConfig(t, "memory")
			cfg.Default = name
			cfg.Drivers = map[string]session.Driver{"list": session.StoreDriver(&listStore{entries: make(map[string][]byte)})}
			v := newVisitor(t, newManager(t, cfg))
			using := func(do func(s *session.Session)) func(s *session.Session) {
				return func(s *session.Session) {
					s, err := s.Using("list")
					if assert.NoError(t, err) {
						do(s)
					}
				}
			}
			p := v.visit(using(func(s *session.Session) { s.Set("k", 1); s.Flash("note", 2) }))
			assert.NotNil(t, p.cookie("s_list"))
			v.visit(using(func(s *session.Session) { assert.Equal(t, map[string]any{"k": 1, "note": 2}, s.All()) }))
			v.visit(using(func(s *session.Session) {
				assert.Equal(t, map[string]any{"k": 1}, s.All())
				s.Destroy()
			}))
			v.visit(using(func(s *session.Session) { assert.True(t, s.IsNew()) }))
		})
	}
}
