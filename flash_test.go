package session_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

// flashed returns a visitor whose session holds the flash "note".
func flashed(t *testing.T, m *session.Manager) *kit.Visitor {
	t.Helper()
	v := kit.NewVisitor(t, m)
	v.Visit(func(s *session.Session) { s.Flash("note", "hello") })
	return v
}

// answer returns a handler that answers with a status and does not use the session.
func answer(status int) kit.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request, _ *session.Session) { w.WriteHeader(status) }
}

// readAndAnswer returns a handler that reads the flash first.
func readAndAnswer(t *testing.T, status int) kit.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
		assert.Equal(t, "hello", s.Get("note"))
		w.WriteHeader(status)
	}
}

// has reports whether the flash "note" is there. Its response expires nothing.
func has(v *kit.Visitor) (found bool) {
	v.T.Helper()
	v.Serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
		found = s.Has("note")
		w.WriteHeader(http.StatusNoContent)
	})
	return found
}

func TestFlashIsReadAsOftenAsWanted(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		look := func(s *session.Session) {
			for range 3 {
				assert.Equal(t, "hello", s.Get("note"))
				assert.Equal(t, "hello", s.GetString("note"))
				assert.True(t, s.Has("note"))
				assert.Equal(t, map[string]any{"note": "hello"}, s.All())
				var text string
				assert.NoError(t, s.Scan("note", &text))
				assert.Equal(t, "hello", text)
			}
		}
		v.Visit(func(s *session.Session) { s.Flash("note", "hello"); look(s) })
		v.Visit(look)
		v.Visit(func(s *session.Session) { assert.Empty(t, s.All()) })
	})
}

func TestFlashExpiresAtTheFirst200AndAtNoOtherStatus(t *testing.T) {
	stays := []int{201, 202, 204, 206, 300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 422, 429, 500, 502, 503}
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		for name, serve := range map[string]func(status int) kit.HandlerFunc{
			"read":   func(status int) kit.HandlerFunc { return readAndAnswer(t, status) },
			"unused": answer,
		} {
			t.Run(name, func(t *testing.T) {
				v := flashed(t, m)
				for _, status := range stays {
					v.Serve(serve(status))
				}
				assert.True(t, has(v), "after every status but 200")
				v.Serve(serve(http.StatusOK))
				assert.False(t, has(v), "after a 200")
			})
		}
	})
}

func TestFlashExpiresHoweverThe200IsWritten(t *testing.T) {
	writes := map[string]func(w http.ResponseWriter){
		"nothing":     func(http.ResponseWriter) {},
		"WriteHeader": func(w http.ResponseWriter) { w.WriteHeader(200) },
		"Write":       func(w http.ResponseWriter) { w.Write([]byte("hello")) },
		"Flush":       func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
		"early hints": func(w http.ResponseWriter) { w.WriteHeader(103); w.WriteHeader(200) },
	}
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		for name, write := range writes {
			t.Run(name, func(t *testing.T) {
				v := flashed(t, m)
				v.Serve(func(w http.ResponseWriter, _ *http.Request, _ *session.Session) { write(w) })
				assert.False(t, has(v))
			})
		}
	})
}

func TestHeadRequestExpiresNoFlash(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := flashed(t, kit.NewManager(t, cfg))
		v.Send(http.MethodHead, readAndAnswer(t, http.StatusOK))
		v.Send(http.MethodHead, answer(http.StatusOK))
		assert.True(t, has(v))
		v.Send(http.MethodPost, answer(http.StatusOK))
		assert.False(t, has(v), "any other method expires it")
	})
}

func TestFlashSurvivesAChainOfRedirects(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		hop := func(to string) func(http.ResponseWriter, *http.Request, *session.Session) {
			return func(w http.ResponseWriter, r *http.Request, s *session.Session) {
				s.Flash(strings.Trim(r.URL.Path, "/"), "passed")
				http.Redirect(w, r, to, http.StatusFound)
			}
		}
		b := kit.NewBrowser(t, kit.Routes{
			"/a": hop("/b"), "/b": hop("/c"), "/c": hop("/end"),
			"/end": func(w http.ResponseWriter, _ *http.Request, s *session.Session) { fmt.Fprint(w, s.All()) },
		}.Under(kit.NewManager(t, cfg)))
		b.Client.CheckRedirect = nil // followed, as browsers do
		assert.Equal(t, "map[a:passed b:passed c:passed]", b.Get("/a").Body)
		assert.Equal(t, "map[]", b.Get("/end").Body)
	})
}

// The cookie <name>_f says that flash is pending. Without it a request that does not use its session
// costs no look-up.
func TestPendingHintComesAndGoesWithTheFlash(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		v := kit.NewVisitor(t, m)
		hint := "s_" + cfg.Default + "_f"
		assert.Nil(t, v.Visit(func(s *session.Session) { s.Set("k", 1) }).Cookie(hint), "no flash")

		set := v.Visit(func(s *session.Session) { s.Flash("note", 1) }).Cookie(hint)
		require.NotNil(t, set)
		assert.Equal(t, "1", set.Value)
		assert.True(t, set.HttpOnly)
		assert.Equal(t, http.SameSiteLaxMode, set.SameSite)
		again := v.Serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			s.Flash("more", 2)
			w.WriteHeader(http.StatusFound)
		})
		assert.Nil(t, again.Cookie(hint), "the browser has it")

		cleared := v.Serve(answer(http.StatusOK)).Cookie(hint)
		require.NotNil(t, cleared)
		assert.Equal(t, -1, cleared.MaxAge)
		loads := m.Stats().Loads
		v.Serve(answer(http.StatusOK))
		assert.Equal(t, loads, m.Stats().Loads, "an unused request costs no look-up again")
	})
}

func TestHintIsTrustedForNothing(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		hint := "s_" + cfg.Default + "_f=1"
		forged := v.Serve(answer(http.StatusOK), "Cookie", hint)
		assert.Equal(t, http.StatusOK, forged.StatusCode)
		assert.Equal(t, -1, forged.Cookie("s_"+cfg.Default+"_f").MaxAge, "a hint without flash is cleared")

		v.Visit(func(s *session.Session) { s.Set("k", 1) })
		v.Serve(answer(http.StatusOK), "Cookie", hint)
		v.Visit(func(s *session.Session) { assert.Equal(t, map[string]any{"k": 1}, s.All()) })
	})
}

func TestLostHintIsSetAgainWhenTheSessionIsUsed(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		issued := kit.NewVisitor(t, m).Visit(func(s *session.Session) { s.Flash("note", "hello") })
		v := kit.NewVisitor(t, m)
		p := v.Serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			assert.Equal(t, "hello", s.Get("note"))
			w.WriteHeader(http.StatusFound)
		}, "Cookie", issued.SessionCookies("s_"+cfg.Default))
		assert.NotNil(t, p.Cookie("s_"+cfg.Default+"_f"), "it is set again")
	})
}

func TestHintDelaysNoPageDuringAnOutage(t *testing.T) {
	m := kit.NewManager(t, session.Config{Default: "redis", Redis: session.RedisConfig{Port: kit.ClosedPort}, Logger: kit.Quiet})
	v := kit.NewVisitor(t, m)
	p := v.Serve(answer(http.StatusOK), "Cookie", "s_redis="+wellFormed+"; s_redis_f=1")
	assert.Equal(t, http.StatusOK, p.StatusCode)
	assert.Empty(t, p.Header["Set-Cookie"])
	assert.EqualValues(t, 1, m.Stats().Unavailable, "it was asked")
}

func TestFlashOfAnotherDriverExpiresAtAnUnused200(t *testing.T) {
	for _, other := range kit.DriverNames {
		t.Run("on "+other, func(t *testing.T) {
			cfg := kit.DriverConfig(t, "redis")
			cfg.Default = "memory"
			v := kit.NewVisitor(t, kit.NewManager(t, cfg))
			v.Visit(func(s *session.Session) {
				s, err := s.Using(other)
				if assert.NoError(t, err) {
					s.Flash("note", "hello")
				}
			})
			v.Serve(answer(http.StatusOK))
			v.Visit(func(s *session.Session) {
				s, err := s.Using(other)
				if assert.NoError(t, err) {
					assert.False(t, s.Has("note"))
				}
			})
		})
	}
}

// By address there is no cookie, and so no hint.
func TestFlashByClientIPExpiresAtAnUnused200(t *testing.T) {
	for name, defaultDriver := range map[string]string{"as the default": "memory", "by Using": "cookie"} {
		t.Run(name, func(t *testing.T) {
			cfg := kit.DriverConfig(t, defaultDriver)
			cfg.Memory.ByClientIP = true
			v := kit.NewVisitor(t, kit.NewManager(t, cfg))
			byAddress := func(do func(s *session.Session)) func(s *session.Session) {
				return func(s *session.Session) {
					s, err := s.Using("memory")
					if assert.NoError(t, err) {
						do(s)
					}
				}
			}
			v.Visit(byAddress(func(s *session.Session) { s.Flash("note", "hello") }))
			v.Serve(answer(http.StatusNotFound))
			v.Visit(byAddress(func(s *session.Session) {
				assert.Equal(t, "hello", s.Get("note"))
				s.Reflash()
			}))
			v.Serve(answer(http.StatusOK))
			v.Visit(byAddress(func(s *session.Session) { assert.False(t, s.Has("note")) }))
		})
	}
}

func TestRequestStillReadsTheFlashThatItsCommitExpired(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := flashed(t, kit.NewManager(t, cfg))
		p := v.Serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			fmt.Fprint(w, "the page begins; ")
			w.(http.Flusher).Flush() // the session is committed, the message is still to be shown
			fmt.Fprint(w, s.Get("note"), s.Has("note"), s.All())
		})
		assert.Equal(t, "the page begins; hellotrue map[note:hello]", p.Body)
		assert.False(t, has(v))
	})
}

// Browsers say what a request is for. What nobody looks at must not expire the message of the page.
func TestOnlyAPageExpiresUnreadFlash(t *testing.T) {
	tests := []struct {
		name    string
		headers []string
		unread  bool // whether a flash that the handler did not look at stays
		read    bool // whether one that it looked at stays
	}{
		{name: "no header"},
		{name: "document", headers: []string{"Sec-Fetch-Dest", "document"}},
		{name: "frame", headers: []string{"Sec-Fetch-Dest", "frame"}},
		{name: "iframe", headers: []string{"Sec-Fetch-Dest", "iframe"}},
		{name: "fetch", headers: []string{"Sec-Fetch-Dest", "empty"}, unread: true},
		{name: "script", headers: []string{"Sec-Fetch-Dest", "script"}, unread: true},
		{name: "style", headers: []string{"Sec-Fetch-Dest", "style"}, unread: true},
		{name: "image", headers: []string{"Sec-Fetch-Dest", "image"}, unread: true},
		{name: "serviceworker", headers: []string{"Sec-Fetch-Dest", "serviceworker"}, unread: true},
		{name: "unknown destination", headers: []string{"Sec-Fetch-Dest", "hologram"}, unread: true},
		{name: "prefetch", headers: []string{"Sec-Purpose", "prefetch", "Sec-Fetch-Dest", "document"}, unread: true, read: true},
		{name: "prerender", headers: []string{"Sec-Purpose", "prefetch;prerender"}, unread: true, read: true},
		{name: "prefetch with a space", headers: []string{"Sec-Purpose", "prefetch ; anonymous-client-ip"}, unread: true, read: true},
	}
	looks := map[string]func(s *session.Session){
		"Get":       func(s *session.Session) { s.Get("note") },
		"Has":       func(s *session.Session) { s.Has("note") },
		"All":       func(s *session.Session) { s.All() },
		"GetString": func(s *session.Session) { s.GetString("note") },
		"Scan":      func(s *session.Session) { var v any; s.Scan("note", &v) },
		"typed Get": func(s *session.Session) { session.Get[string](s, "note") },
	}
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				v := flashed(t, m)
				v.Serve(answer(http.StatusOK), tt.headers...)
				assert.Equal(t, tt.unread, has(v), "unused")

				v = flashed(t, m)
				v.Visit(func(s *session.Session) { s.Set("k", 1); s.Get("other") }, tt.headers...)
				assert.Equal(t, tt.unread, has(v), "not looked at")

				for name, look := range looks {
					v = flashed(t, m)
					v.Visit(look, tt.headers...)
					assert.Equal(t, tt.read, has(v), "looked at by %s", name)
				}
			})
		}
	})
}

func TestFetchExpiresOnlyTheFlashThatItRead(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := flashed(t, kit.NewManager(t, cfg))
		v.Serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			s.Flash("poll", 1)
			w.WriteHeader(http.StatusFound)
		})
		v.Visit(func(s *session.Session) { s.Get("poll") }, "Sec-Fetch-Dest", "empty")
		v.Visit(func(s *session.Session) { assert.Equal(t, map[string]any{"note": "hello"}, s.All()) })
	})
}

// Another request sets the same flash key while the page is made. Nobody has seen that value yet. On
// the cookie driver the last response wins as a whole.
func TestFlashSetMeanwhileSurvivesThePageThatShowsTheOldOne(t *testing.T) {
	for _, name := range []string{"memory", "redis"} {
		t.Run(name, func(t *testing.T) {
			loaded, flashed := make(chan bool), make(chan bool)
			m := kit.NewManager(t, kit.DriverConfig(t, name))
			b := kit.NewBrowser(t, kit.Routes{
				"/flash/{text}": func(_ http.ResponseWriter, r *http.Request, s *session.Session) {
					s.Flash("note", r.PathValue("text"))
					s.Flash("other", r.PathValue("text"))
				},
				"/slow": func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
					text := s.Get("note")
					loaded <- true
					<-flashed
					fmt.Fprint(w, text, s.Get("note"))
				},
				"/page": func(w http.ResponseWriter, _ *http.Request, s *session.Session) { fmt.Fprint(w, s.All()) },
			}.Under(m))
			b.Get("/flash/first")
			go func() {
				<-loaded
				b.Get("/flash/second")
				flashed <- true
			}()
			assert.Equal(t, "firstfirst", b.Get("/slow").Body)
			assert.Equal(t, "map[note:second other:second]", b.Get("/page").Body)
			assert.Equal(t, "map[]", b.Get("/page").Body)
		})
	}
}

func TestFlashAndDataOfOneKeyAreApart(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		v.Visit(func(s *session.Session) {
			s.Set("k", 1)
			s.Flash("k", "flash")
			assert.Equal(t, "flash", s.Get("k"), "flash hides data")
			assert.Equal(t, 2, s.Increment("k", 1), "an increment is of data")
			s.Set("k", 5)
			assert.Equal(t, "flash", s.Get("k"))
		})
		v.Visit(func(s *session.Session) {
			assert.Equal(t, "flash", s.Get("k"))
			assert.Equal(t, 6, s.Increment("k", 1))
		})
		v.Visit(func(s *session.Session) { assert.Equal(t, map[string]any{"k": 6}, s.All()) })
		v.Visit(func(s *session.Session) { s.Flash("only", 1) })
		v.Visit(func(s *session.Session) {
			assert.Equal(t, 1, s.Increment("only", 1), "an increment does not read flash")
		})
	})
}

func TestFlashNowNeverLeavesTheRequest(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		v := kit.NewVisitor(t, m)
		p := v.Serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			s.FlashNow("note", "now")
			assert.Equal(t, "now", s.Get("note"))
			assert.True(t, s.Has("note"))
			assert.Equal(t, map[string]any{"note": "now"}, s.All())
			w.WriteHeader(http.StatusFound)
		})
		assert.Empty(t, p.Header["Set-Cookie"])
		assert.Zero(t, m.Stats().Saves)
		v.Visit(func(s *session.Session) { assert.Empty(t, s.All()) })
	})
}

func TestFlashNowHidesFlashAndData(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := flashed(t, kit.NewManager(t, cfg))
		v.Serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			s.Set("note", "data")
			s.FlashNow("note", "now")
			assert.Equal(t, "now", s.Get("note"))
			s.ResetFlash()
			assert.Equal(t, "data", s.Get("note"), "ResetFlash clears it too")
			w.WriteHeader(http.StatusFound)
		})
		v.Visit(func(s *session.Session) { assert.Equal(t, map[string]any{"note": "data"}, s.All()) })
	})
}

func TestKeptFlashLivesOneMoreRequest(t *testing.T) {
	keeps := map[string]func(s *session.Session){
		"KeepFlash":         func(s *session.Session) { s.KeepFlash("note", "missing") },
		"Reflash":           func(s *session.Session) { s.Reflash() },
		"KeepFlash, Save":   func(s *session.Session) { s.KeepFlash("note"); s.Save() },
		"read, Reflash":     func(s *session.Session) { s.Get("note"); s.Reflash() },
		"KeepFlash, twice":  func(s *session.Session) { s.KeepFlash("note"); s.KeepFlash("note") },
		"Regenerate, keep":  func(s *session.Session) { s.Regenerate(); s.Reflash() },
		"Flash of its text": func(s *session.Session) { s.Flash("note", s.Get("note")) },
	}
	for name, keep := range keeps {
		t.Run(name, func(t *testing.T) {
			kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
				v := flashed(t, kit.NewManager(t, cfg))
				for range 3 {
					v.Visit(keep)
				}
				v.Visit(func(s *session.Session) { assert.Equal(t, map[string]any{"note": "hello"}, s.All()) })
				v.Visit(func(s *session.Session) { assert.Empty(t, s.All()) })
			})
		})
	}
}

func TestKeepFlashKeepsOnlyWhatItNames(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		v.Visit(func(s *session.Session) { s.Flash("a", 1); s.Flash("b", 2); s.Flash("c", 3) })
		v.Visit(func(s *session.Session) { s.KeepFlash("a", "c") })
		v.Visit(func(s *session.Session) { assert.Equal(t, map[string]any{"a": 1, "c": 3}, s.All()) })
	})
}

func TestKeepFlashMakesNoFlashOfData(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		v.Visit(func(s *session.Session) { s.Set("k", 1) })
		v.Visit(func(s *session.Session) { s.KeepFlash("k"); s.Reflash() })
		v.Visit(func(s *session.Session) { s.Delete("k"); assert.Empty(t, s.All()) })
		v.Visit(func(s *session.Session) { assert.Empty(t, s.All()) })
	})
}
