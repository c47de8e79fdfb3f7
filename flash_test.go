package session_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// flashed returns a visitor whose session holds the flash "note".
func flashed(t *testing.T, m *session.Manager) *visitor {
	t.Helper()
	v := newVisitor(t, m)
	v.visit(func(s *session.Session) { s.Flash("note", "hello") })
	return v
}

// answer returns a handler that answers with a status and does not use the session.
func answer(status int) handlerFunc {
	return func(w http.ResponseWriter, _ *http.Request, _ *session.Session) { w.WriteHeader(status) }
}

// readAndAnswer returns a handler that reads the flash first.
func readAndAnswer(t *testing.T, status int) handlerFunc {
	return func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
		assert.Equal(t, "hello", s.Get("note"))
		w.WriteHeader(status)
	}
}

// has asks, by a response that ages nothing, whether the flash "note" is there.
func has(v *visitor) (found bool) {
	v.t.Helper()
	v.serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
		found = s.Has("note")
		w.WriteHeader(http.StatusNoContent)
	})
	return found
}

func TestFlashIsReadAsOftenAsWanted(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
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
		v.visit(func(s *session.Session) { s.Flash("note", "hello"); look(s) })
		v.visit(look)
		v.visit(func(s *session.Session) { assert.Empty(t, s.All()) })
	})
}

func TestFlashEndsAtTheFirst200AndAtNoOtherStatus(t *testing.T) {
	stays := []int{201, 202, 204, 206, 300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 422, 429, 500, 502, 503}
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		for name, serve := range map[string]func(status int) handlerFunc{
			"read":   func(status int) handlerFunc { return readAndAnswer(t, status) },
			"unused": answer,
		} {
			t.Run(name, func(t *testing.T) {
				v := flashed(t, m)
				for _, status := range stays {
					v.serve(serve(status))
				}
				assert.True(t, has(v), "after every status but 200")
				v.serve(serve(http.StatusOK))
				assert.False(t, has(v), "after a 200")
			})
		}
	})
}

func TestFlashEndsHoweverThe200IsWritten(t *testing.T) {
	writes := map[string]func(w http.ResponseWriter){
		"nothing":     func(http.ResponseWriter) {},
		"WriteHeader": func(w http.ResponseWriter) { w.WriteHeader(200) },
		"Write":       func(w http.ResponseWriter) { w.Write([]byte("hello")) },
		"Flush":       func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
		"early hints": func(w http.ResponseWriter) { w.WriteHeader(103); w.WriteHeader(200) },
	}
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		for name, write := range writes {
			t.Run(name, func(t *testing.T) {
				v := flashed(t, m)
				v.serve(func(w http.ResponseWriter, _ *http.Request, _ *session.Session) { write(w) })
				assert.False(t, has(v))
			})
		}
	})
}

func TestHeadRequestTakesNoFlashFromThePage(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := flashed(t, newManager(t, cfg))
		v.send(http.MethodHead, readAndAnswer(t, http.StatusOK))
		v.send(http.MethodHead, answer(http.StatusOK))
		assert.True(t, has(v))
		v.send(http.MethodPost, answer(http.StatusOK))
		assert.False(t, has(v), "any other method ends it")
	})
}

func TestFlashSurvivesAChainOfRedirects(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		hop := func(to string) func(http.ResponseWriter, *http.Request, *session.Session) {
			return func(w http.ResponseWriter, r *http.Request, s *session.Session) {
				s.Flash(strings.Trim(r.URL.Path, "/"), "passed")
				http.Redirect(w, r, to, http.StatusFound)
			}
		}
		b := newBrowser(t, routes{
			"/a": hop("/b"), "/b": hop("/c"), "/c": hop("/end"),
			"/end": func(w http.ResponseWriter, _ *http.Request, s *session.Session) { fmt.Fprint(w, s.All()) },
		}.under(newManager(t, cfg)))
		b.client.CheckRedirect = nil // followed, as browsers do
		assert.Equal(t, "map[a:passed b:passed c:passed]", b.get("/a").body)
		assert.Equal(t, "map[]", b.get("/end").body)
	})
}

// The cookie <name>_f says that flash is pending; only with it does an unused 200 cost a look-up.
func TestPendingHintComesAndGoesWithTheFlash(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		v := newVisitor(t, m)
		hint := "s_" + cfg.Default + "_f"
		assert.Nil(t, v.visit(func(s *session.Session) { s.Set("k", 1) }).cookie(hint), "no flash")

		set := v.visit(func(s *session.Session) { s.Flash("note", 1) }).cookie(hint)
		require.NotNil(t, set)
		assert.Equal(t, "1", set.Value)
		assert.True(t, set.HttpOnly)
		assert.Equal(t, http.SameSiteLaxMode, set.SameSite)
		again := v.serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			s.Flash("more", 2)
			w.WriteHeader(http.StatusFound)
		})
		assert.Nil(t, again.cookie(hint), "the browser has it")

		cleared := v.serve(answer(http.StatusOK)).cookie(hint)
		require.NotNil(t, cleared)
		assert.Equal(t, -1, cleared.MaxAge)
		loads := m.Stats().Loads
		v.serve(answer(http.StatusOK))
		assert.Equal(t, loads, m.Stats().Loads, "unused requests are free again")
	})
}

func TestHintIsTrustedForNothing(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		hint := "s_" + cfg.Default + "_f=1"
		forged := v.serve(answer(http.StatusOK), "Cookie", hint)
		assert.Equal(t, http.StatusOK, forged.StatusCode)
		assert.Equal(t, -1, forged.cookie("s_"+cfg.Default+"_f").MaxAge, "a hint of nothing goes")

		v.visit(func(s *session.Session) { s.Set("k", 1) })
		v.serve(answer(http.StatusOK), "Cookie", hint)
		v.visit(func(s *session.Session) { assert.Equal(t, map[string]any{"k": 1}, s.All()) })
	})
}

func TestLostHintDelaysTheEndOfAFlashUntilTheSessionIsUsed(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		token := newVisitor(t, m).visit(func(s *session.Session) { s.Flash("note", "hello") }).cookie("s_" + cfg.Default)
		v := newVisitor(t, m)
		p := v.serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			assert.Equal(t, "hello", s.Get("note"))
			w.WriteHeader(http.StatusFound)
		}, "Cookie", token.Name+"="+token.Value)
		assert.NotNil(t, p.cookie("s_"+cfg.Default+"_f"), "it is set again")
	})
}

func TestHintIsPassedOverWhileTheStoreIsDown(t *testing.T) {
	m := newManager(t, session.Config{Default: "redis", Redis: session.RedisConfig{Port: closedPort}, Logger: quiet})
	v := newVisitor(t, m)
	p := v.serve(answer(http.StatusOK), "Cookie", "s_redis="+wellFormed+"; s_redis_f=1")
	assert.Equal(t, http.StatusOK, p.StatusCode)
	assert.Empty(t, p.Header["Set-Cookie"])
	assert.EqualValues(t, 1, m.Stats().Unavailable, "it was asked")
}

func TestFlashOfAnotherDriverEndsAtAnUnused200(t *testing.T) {
	for _, other := range driverNames {
		t.Run("on "+other, func(t *testing.T) {
			cfg := driverConfig(t, "redis")
			cfg.Default = "memory"
			v := newVisitor(t, newManager(t, cfg))
			v.visit(func(s *session.Session) {
				s, err := s.Using(other)
				if assert.NoError(t, err) {
					s.Flash("note", "hello")
				}
			})
			v.serve(answer(http.StatusOK))
			v.visit(func(s *session.Session) {
				s, err := s.Using(other)
				if assert.NoError(t, err) {
					assert.False(t, s.Has("note"))
				}
			})
		})
	}
}

// By address there is no cookie, and so no hint.
func TestFlashOfAnAddressEndsAtAnUnused200(t *testing.T) {
	for name, defaultDriver := range map[string]string{"as the default": "memory", "by Using": "cookie"} {
		t.Run(name, func(t *testing.T) {
			cfg := driverConfig(t, defaultDriver)
			cfg.Memory.ByClientIP = true
			v := newVisitor(t, newManager(t, cfg))
			byAddress := func(do func(s *session.Session)) func(s *session.Session) {
				return func(s *session.Session) {
					s, err := s.Using("memory")
					if assert.NoError(t, err) {
						do(s)
					}
				}
			}
			v.visit(byAddress(func(s *session.Session) { s.Flash("note", "hello") }))
			v.serve(answer(http.StatusNotFound))
			v.visit(byAddress(func(s *session.Session) {
				assert.Equal(t, "hello", s.Get("note"))
				s.Reflash()
			}))
			v.serve(answer(http.StatusOK))
			v.visit(byAddress(func(s *session.Session) { assert.False(t, s.Has("note")) }))
		})
	}
}

func TestAgeingLeavesAloneWhatTheRequestReads(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := flashed(t, newManager(t, cfg))
		p := v.serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			fmt.Fprint(w, "the page begins; ")
			w.(http.Flusher).Flush() // the session is committed, the message is still to be shown
			fmt.Fprint(w, s.Get("note"), s.Has("note"), s.All())
		})
		assert.Equal(t, "the page begins; hellotrue map[note:hello]", p.body)
		assert.False(t, has(v))
	})
}

// Browsers say what a request is for. What nobody looks at takes no message from the page.
func TestOnlyWhatIsShownTakesAFlash(t *testing.T) {
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
		{name: "what is to come", headers: []string{"Sec-Fetch-Dest", "hologram"}, unread: true},
		{name: "prefetch", headers: []string{"Sec-Purpose", "prefetch", "Sec-Fetch-Dest", "document"}, unread: true, read: true},
		{name: "prerender", headers: []string{"Sec-Purpose", "prefetch;prerender"}, unread: true, read: true},
		{name: "prefetch with a space", headers: []string{"Sec-Purpose", "prefetch ; anonymous-client-ip"}, unread: true, read: true},
		{name: "another purpose", headers: []string{"Sec-Purpose", "prefetching"}},
	}
	looks := map[string]func(s *session.Session){
		"Get":       func(s *session.Session) { s.Get("note") },
		"Has":       func(s *session.Session) { s.Has("note") },
		"All":       func(s *session.Session) { s.All() },
		"GetString": func(s *session.Session) { s.GetString("note") },
		"Scan":      func(s *session.Session) { var v any; s.Scan("note", &v) },
		"typed Get": func(s *session.Session) { session.Get[string](s, "note") },
	}
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				v := flashed(t, m)
				v.serve(answer(http.StatusOK), tt.headers...)
				assert.Equal(t, tt.unread, has(v), "unused")

				v = flashed(t, m)
				v.visit(func(s *session.Session) { s.Set("k", 1); s.Get("other") }, tt.headers...)
				assert.Equal(t, tt.unread, has(v), "not looked at")

				for name, look := range looks {
					v = flashed(t, m)
					v.visit(look, tt.headers...)
					assert.Equal(t, tt.read, has(v), "looked at by %s", name)
				}
			})
		}
	})
}

func TestFetchEndsOnlyTheFlashThatItLookedAt(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := flashed(t, newManager(t, cfg))
		v.serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			s.Flash("poll", 1)
			w.WriteHeader(http.StatusFound)
		})
		v.visit(func(s *session.Session) { s.Get("poll") }, "Sec-Fetch-Dest", "empty")
		v.visit(func(s *session.Session) { assert.Equal(t, map[string]any{"note": "hello"}, s.All()) })
	})
}

// While the page is being made, another request flashes the same key anew: that value has been
// seen by nobody. On the cookie driver the last answer wins as a whole.
func TestFlashSetMeanwhileSurvivesThePageThatShowsTheOldOne(t *testing.T) {
	for _, name := range []string{"memory", "redis"} {
		t.Run(name, func(t *testing.T) {
			loaded, flashed := make(chan bool), make(chan bool)
			m := newManager(t, driverConfig(t, name))
			b := newBrowser(t, routes{
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
			}.under(m))
			b.get("/flash/first")
			go func() {
				<-loaded
				b.get("/flash/second")
				flashed <- true
			}()
			assert.Equal(t, "firstfirst", b.get("/slow").body)
			assert.Equal(t, "map[note:second other:second]", b.get("/page").body)
			assert.Equal(t, "map[]", b.get("/page").body)
		})
	}
}

func TestFlashAndDataOfOneKeyAreApart(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) {
			s.Set("k", 1)
			s.Flash("k", "flash")
			assert.Equal(t, "flash", s.Get("k"), "flash stands in front")
			assert.Equal(t, 2, s.Increment("k", 1), "an increment is of data")
			s.Set("k", 5)
			assert.Equal(t, "flash", s.Get("k"))
		})
		v.visit(func(s *session.Session) {
			assert.Equal(t, "flash", s.Get("k"))
			assert.Equal(t, 6, s.Increment("k", 1))
		})
		v.visit(func(s *session.Session) { assert.Equal(t, map[string]any{"k": 6}, s.All()) })
		v.visit(func(s *session.Session) { s.Flash("only", 1) })
		v.visit(func(s *session.Session) { assert.Equal(t, 1, s.Increment("only", 1), "flash is no data to count from") })
	})
}

func TestResetAndResetFlashKeepToTheirPart(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		tests := []struct {
			name  string
			reset func(s *session.Session)
			want  map[string]any
		}{
			{name: "Reset", reset: func(s *session.Session) { s.Reset() }, want: map[string]any{"f": 2}},
			{name: "ResetFlash", reset: func(s *session.Session) { s.ResetFlash() }, want: map[string]any{"d": 1}},
			{name: "Flush", reset: func(s *session.Session) { s.Flush() }, want: map[string]any{}},
		}
		m := newManager(t, cfg)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				v := newVisitor(t, m)
				v.visit(func(s *session.Session) { s.Set("d", 1); s.Flash("f", 2) })
				v.serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
					tt.reset(s)
					assert.Equal(t, tt.want, s.All())
					w.WriteHeader(http.StatusFound)
				})
				v.visit(func(s *session.Session) { assert.Equal(t, tt.want, s.All()) })
			})
		}
	})
}

func TestFlashNowNeverLeavesTheRequest(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		v := newVisitor(t, m)
		p := v.serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			s.FlashNow("note", "now")
			assert.Equal(t, "now", s.Get("note"))
			assert.True(t, s.Has("note"))
			assert.Equal(t, map[string]any{"note": "now"}, s.All())
			w.WriteHeader(http.StatusFound)
		})
		assert.Empty(t, p.Header["Set-Cookie"])
		assert.Zero(t, m.Stats().Saves)
		v.visit(func(s *session.Session) { assert.Empty(t, s.All()) })
	})
}

func TestFlashNowStandsInFrontOfFlashAndData(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := flashed(t, newManager(t, cfg))
		v.serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			s.Set("note", "data")
			s.FlashNow("note", "now")
			assert.Equal(t, "now", s.Get("note"))
			s.ResetFlash()
			assert.Equal(t, "data", s.Get("note"), "it is flash, and goes with it")
			w.WriteHeader(http.StatusFound)
		})
		v.visit(func(s *session.Session) { assert.Equal(t, map[string]any{"note": "data"}, s.All()) })
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
			eachDriver(t, func(t *testing.T, cfg session.Config) {
				v := flashed(t, newManager(t, cfg))
				for range 3 {
					v.visit(keep)
				}
				v.visit(func(s *session.Session) { assert.Equal(t, map[string]any{"note": "hello"}, s.All()) })
				v.visit(func(s *session.Session) { assert.Empty(t, s.All()) })
			})
		})
	}
}

func TestKeepFlashKeepsOnlyWhatItNames(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) { s.Flash("a", 1); s.Flash("b", 2); s.Flash("c", 3) })
		v.visit(func(s *session.Session) { s.KeepFlash("a", "c") })
		v.visit(func(s *session.Session) { assert.Equal(t, map[string]any{"a": 1, "c": 3}, s.All()) })
	})
}

func TestKeepFlashMakesNoFlashOfData(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) { s.Set("k", 1) })
		v.visit(func(s *session.Session) { s.KeepFlash("k"); s.Reflash() })
		v.visit(func(s *session.Session) { s.Delete("k"); assert.Empty(t, s.All()) })
		v.visit(func(s *session.Session) { assert.Empty(t, s.All()) })
	})
}

// withFlashTTL gives every driver a clock of two seconds for its flash.
func withFlashTTL(cfg session.Config) session.Config {
	cfg.Memory.FlashTTL, cfg.Cookie.FlashTTL, cfg.Redis.FlashTTL = 2*time.Second, 2*time.Second, 2*time.Second
	return cfg
}

func TestFlashTTLEndsAFlashByTheServersClock(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, withFlashTTL(cfg))
		clock := setClock(m)
		v := flashed(t, m)
		clock.advance(2*time.Second - time.Millisecond)
		assert.True(t, has(v), "just before")
		clock.advance(time.Millisecond)
		assert.False(t, has(v), "after two seconds")
		v.visit(func(s *session.Session) {
			assert.Nil(t, s.Get("note"))
			assert.Empty(t, s.All())
			assert.False(t, s.Delete("note"))
		})
	})
}

func TestFlashTTLIsOffByDefault(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		clock := setClock(m)
		v := flashed(t, m)
		clock.advance(59 * time.Minute)
		assert.True(t, has(v), "a page that comes late has its message")
	})
}

func TestFlashTTLCountsFromTheCommit(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, withFlashTTL(cfg))
		clock := setClock(m)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) {
			s.Flash("note", "hello")
			clock.advance(10 * time.Second)
			assert.Equal(t, "hello", s.Get("note"), "never in the request that set it")
		})
		clock.advance(2*time.Second - time.Millisecond)
		assert.True(t, has(v))
	})
}

func TestFlashTTLIsJudgedOnceARequest(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, withFlashTTL(cfg))
		clock := setClock(m)
		v := flashed(t, m)
		clock.advance(time.Second)
		v.visit(func(s *session.Session) {
			assert.True(t, s.Has("note"))
			clock.advance(time.Minute)
			assert.Equal(t, "hello", s.Get("note"), "a template that asked if it is there also gets it")
		})
	})
}

func TestKeptFlashStartsItsClockAnew(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, withFlashTTL(cfg))
		clock := setClock(m)
		v := flashed(t, m)
		clock.advance(1500 * time.Millisecond)
		v.visit(func(s *session.Session) { s.Reflash() })
		clock.advance(1500 * time.Millisecond)
		assert.True(t, has(v), "three seconds after it was set")
		clock.advance(500 * time.Millisecond)
		v.visit(func(s *session.Session) { s.Reflash() })
		assert.False(t, has(v), "what has ended cannot be kept")
	})
}

func TestFlashTTLUncoversTheDataOfItsKey(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, withFlashTTL(cfg))
		clock := setClock(m)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) { s.Set("k", "data"); s.Flash("k", "flash") })
		clock.advance(2 * time.Second)
		v.visit(func(s *session.Session) { assert.Equal(t, "data", s.Get("k")) })
	})
}

func TestFlashIsSweptThoughNobodyReadsIt(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, withFlashTTL(cfg))
		clock := setClock(m)
		v := flashed(t, m)
		clock.advance(time.Minute)
		p := v.serve(answer(http.StatusOK))
		assert.Equal(t, -1, p.cookie("s_"+cfg.Default+"_f").MaxAge)
		loads := m.Stats().Loads
		v.serve(answer(http.StatusOK))
		assert.Equal(t, loads, m.Stats().Loads)
	})
}
