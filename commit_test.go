package session_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

func TestSaveStoresInTheMiddleOfAHandler(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { s.Set("k", 1); s.Flash("note", "hello") })
		v.Visit(func(s *session.Session) {
			s.Set("k", 2)
			assert.NoError(t, s.Save())
			assert.NoError(t, s.Save(), "with nothing to store it is a use")
			s.Increment("k", 5)
			assert.Equal(t, 7, s.Get("k"))
			assert.Equal(t, "hello", s.Get("note"), "flash does not age")
			assert.NoError(t, s.Err())
		})
		v.Visit(func(s *session.Session) {
			assert.Equal(t, 7, s.Get("k"))
			assert.False(t, s.Has("note"), "it aged once, at the response")
		})
	})
}

// What a successful Save has stored is safe. A recovery middleware further out sends the header.
func TestSavedSessionReachesTheClientDespiteAPanic(t *testing.T) {
	changes := map[string]func(s *session.Session){
		"Set":        func(s *session.Session) { s.Set("k", 2) },
		"Regenerate": func(s *session.Session) { s.Set("k", 2); s.Regenerate() },
		"Login":      func(s *session.Session) { s.Set("k", 2); s.Login("ann") },
		"another":    func(s *session.Session) { s.Login("bob"); s.Set("k", 2) },
	}
	recovery := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				if recover() != nil {
					w.WriteHeader(http.StatusInternalServerError)
				}
			}()
			next.ServeHTTP(w, r)
		})
	}
	for name, change := range changes {
		for _, before := range []string{"a visitor", "a session", "a user"} {
			t.Run(name+" of "+before, func(t *testing.T) {
				kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
					b := kit.NewBrowser(t, recovery(kit.Routes{
						"/begin": func(_ http.ResponseWriter, _ *http.Request, s *session.Session) {
							s.Set("k", 1)
							if before == "a user" {
								s.Login("ann")
							}
						},
						"/panic": func(_ http.ResponseWriter, _ *http.Request, s *session.Session) {
							change(s)
							assert.NoError(t, s.Save())
							s.Set("k", 3)
							s.Regenerate()
							panic("after Save")
						},
						"/read": func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
							user, _ := s.User()
							fmt.Fprint(w, user, s.Get("k"))
						},
					}.Under(kit.NewManager(t, cfg))))
					if before != "a visitor" {
						b.Get("/begin")
					}
					assert.Equal(t, http.StatusInternalServerError, b.Get("/panic").StatusCode)
					want := map[string]string{"Login": "ann2", "another": "bob2"}[name]
					if want == "" {
						want = "2"
						if before == "a user" {
							want = "ann2"
						}
					}
					assert.Equal(t, want, b.Get("/read").Body)
				})
			})
		}
	}
}

func TestPanicStoresNothingThatWasNotSaved(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		do := func(s *session.Session) { s.Set("k", 1) }
		b := kit.NewBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { recover() }()
			m.Middleware(kit.HTTPHandler(func(s *session.Session) { do(s) })).ServeHTTP(w, r)
		}))
		b.Get("/")
		do = func(s *session.Session) { s.Set("k", 2); s.Regenerate(); panic("before Save") }
		assert.Empty(t, b.Get("/").Header["Set-Cookie"])
		do = func(s *session.Session) { assert.Equal(t, 1, s.Get("k")) }
		b.Get("/")
	})
}

// A stream waits for what other requests store.
func TestReloadSeesWhatOtherRequestsStored(t *testing.T) {
	eachSharedDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		v.Visit(func(s *session.Session) { s.Set("a", 1); s.Set("b", 1); s.Set("n", 1) })
		cookie := v.CookieHeader()
		v.Visit(func(s *session.Session) {
			s.Set("b", 2)
			s.Increment("n", 10)
			v.Stranger().Visit(func(s *session.Session) { s.Set("a", 3); s.Set("b", 3); s.Increment("n", 100) }, "Cookie", cookie)
			assert.Equal(t, 1, s.Get("a"))
			assert.NoError(t, s.Reload())
			assert.Equal(t, map[string]any{"a": 3, "b": 2, "n": 111}, s.All(), "unsaved changes stay on top")
			assert.NoError(t, s.Err())
		})
		v.Visit(func(s *session.Session) { assert.Equal(t, map[string]any{"a": 3, "b": 2, "n": 111}, s.All()) })
	})
}

func TestReloadTellsThatTheSessionHasEnded(t *testing.T) {
	ends := map[string]func(s *session.Session){
		"Logout":     func(s *session.Session) { s.Logout() },
		"Regenerate": func(s *session.Session) { s.Regenerate() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			eachSharedDriver(t, func(t *testing.T, cfg session.Config) {
				v := kit.NewVisitor(t, kit.NewManager(t, cfg))
				v.Visit(func(s *session.Session) { s.Set("secret", 1) })
				cookie := v.CookieHeader()
				p := v.Visit(func(s *session.Session) {
					s.Set("k", 1)
					v.Stranger().Visit(end, "Cookie", cookie)
					assert.ErrorIs(t, s.Reload(), session.ErrNoSession)
					assert.Empty(t, s.All(), "a replaced token reads nothing")
					assert.ErrorIs(t, s.Reload(), session.ErrNoSession)
				})
				assert.Equal(t, http.StatusOK, p.StatusCode)
				assert.Empty(t, p.Header["Set-Cookie"])
			})
		})
	}
}

func TestReloadLeavesTheSessionAsItIsDuringAnOutage(t *testing.T) {
	server := redistest.Start(t)
	cfg := kit.DriverConfig(t, "redis")
	cfg.Redis.Host, cfg.Redis.Port = server.Host(), server.Port()
	v := kit.NewVisitor(t, kit.NewManager(t, cfg))
	v.Visit(func(s *session.Session) { s.Set("k", 1) })
	v.Visit(func(s *session.Session) {
		s.Get("k")
		server.Stop()
		assert.ErrorIs(t, s.Reload(), session.ErrUnavailable)
		assert.Equal(t, 1, s.Get("k"))
	})
}

// A handler can test for an error about a value, and do without the value.
func TestErrorAboutAValueIsNotFinal(t *testing.T) {
	tests := []struct {
		name    string
		driver  string
		store   func(s *session.Session)
		isError func(err error) bool
	}{
		{
			name: "too large for a cookie", driver: "cookie",
			store:   func(s *session.Session) { s.Flash("old", strings.Repeat("x", 5000)) },
			isError: func(err error) bool { return errors.As(err, new(*session.SizeError)) },
		},
		{name: "cannot be encoded", driver: "cookie", store: func(s *session.Session) { s.Flash("old", make(chan int)) }},
		{name: "cannot be encoded", driver: "memory", store: func(s *session.Session) { s.Set("old", func() {}) }},
		{name: "cannot be encoded", driver: "redis", store: func(s *session.Session) { s.Set("old", 1i) }},
		{name: "no number", driver: "redis", store: func(s *session.Session) { s.Set("old", "x"); s.Increment("old", 1) }},
	}
	repairs := map[string]func(s *session.Session){
		"delete":    func(s *session.Session) { s.Delete("old") },
		"overwrite": func(s *session.Session) { s.Set("old", 1); s.Flash("old", "short") },
		"flush":     func(s *session.Session) { s.Flush() },
	}
	for _, tt := range tests {
		for how, repair := range repairs {
			t.Run(tt.name+", "+tt.driver+", "+how, func(t *testing.T) {
				v := kit.NewVisitor(t, kit.NewManager(t, kit.DriverConfig(t, tt.driver)))
				v.Visit(func(s *session.Session) { s.Set("k", 1) })
				p := v.Serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
					tt.store(s)
					err := s.Save()
					assert.Error(t, err)
					assert.True(t, tt.isError == nil || tt.isError(err), "%v", err)
					repair(s)
					s.Flash("error", "please shorten it")
					http.Redirect(w, r, "/form", http.StatusSeeOther)
				})
				assert.Equal(t, http.StatusSeeOther, p.StatusCode)
				v.Visit(func(s *session.Session) {
					assert.Equal(t, "please shorten it", s.Get("error"))
					assert.Equal(t, how == "overwrite", s.Has("old"))
				})
			})
		}
	}
}

// The browser keeps the cookie of a sign-out that comes too late. The application must learn that.
func TestSignOutThatCannotBeMadeGoodIsALateChange(t *testing.T) {
	tooLate := map[string]func(t *testing.T, w http.ResponseWriter, s *session.Session){
		"after the header": func(t *testing.T, w http.ResponseWriter, s *session.Session) {
			w.WriteHeader(http.StatusOK)
			s.Logout()
			assert.ErrorIs(t, s.Err(), session.ErrLateChange)
		},
		"before a hijack": func(t *testing.T, w http.ResponseWriter, s *session.Session) {
			s.Logout()
			conn, rw, err := http.NewResponseController(w).Hijack()
			if assert.NoError(t, err) {
				assert.ErrorIs(t, s.Err(), session.ErrLateChange)
				fmt.Fprint(rw, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				rw.Flush()
				conn.Close()
			}
		},
	}
	for name, signOut := range tooLate {
		t.Run(name, func(t *testing.T) {
			cfg := kit.DriverConfig(t, "cookie")
			log := kit.CaptureLog(&cfg)
			m := kit.NewManager(t, cfg)
			v := kit.NewVisitor(t, m)
			v.Visit(func(s *session.Session) { s.Login("ann") })
			v.Serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) { signOut(t, w, s) })
			assert.EqualValues(t, 1, m.Stats().LateChanges)
			assert.Contains(t, log.Text(), "level=WARN")
		})
	}
}

// On a server the sign-out needs no cookie, and holds.
func TestSignOutAfterTheHeaderHoldsOnAServer(t *testing.T) {
	eachSharedDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { s.Login("ann") })
		v.Serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			w.WriteHeader(http.StatusOK)
			s.Logout()
			assert.NoError(t, s.Err())
		})
		v.Visit(func(s *session.Session) {
			_, ok := s.User()
			assert.False(t, ok)
		})
		assert.Zero(t, m.Stats().LateChanges)
	})
}

func TestPayloadPast3500BytesLeavesTheOldSession(t *testing.T) {
	cfg := kit.DriverConfig(t, "cookie")
	failed := kit.RecordFailures(&cfg)
	v := kit.NewVisitor(t, kit.NewManager(t, cfg))
	v.Visit(func(s *session.Session) { s.Set("user", "ann") })
	before := v.CookieHeader()
	p := v.Serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
		elsewhere, err := s.Using("memory")
		if assert.NoError(t, err) {
			elsewhere.Set("k", 1)
		}
		s.Set("cart", strings.Repeat("x", 3000))
		s.Flash("small", "y")
		s.Set("story", strings.Repeat("y", 2000))
		assert.Error(t, s.Save())
		fmt.Fprint(w, "saved!")
	})
	assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
	assert.NotContains(t, p.Body, "saved!")
	assert.Empty(t, p.Header["Set-Cookie"], "nor is the other driver's session stored")
	assert.Equal(t, before, v.CookieHeader())

	var size *session.SizeError
	require.ErrorAs(t, failed.Last(), &size)
	assert.Equal(t, 3500, size.Limit)
	assert.Greater(t, size.Size, 5000)
	require.Len(t, size.Largest, 3)
	assert.Equal(t, []string{"cart", "story", "user"}, []string{size.Largest[0].Key, size.Largest[1].Key, size.Largest[2].Key})
	assert.ErrorContains(t, size, "store less, or choose the memory or redis driver")
	v.Visit(func(s *session.Session) { assert.Equal(t, map[string]any{"user": "ann"}, s.All()) })
}

// A proxy with a header buffer of 4 KB answers 502 for a little more than that.
func TestLargeCookiesAreLoggedOnceAMinute(t *testing.T) {
	for size, want := range map[int][]int{1000: {0, 0, 0}, 2400: {1, 1, 2}} {
		cfg := kit.DriverConfig(t, "cookie")
		log := kit.CaptureLog(&cfg)
		m := kit.NewManager(t, cfg)
		clock := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		for i, lines := range want {
			if i == 2 {
				clock.Advance(time.Minute)
			}
			p := v.Visit(func(s *session.Session) { s.Set("form", strings.Repeat(string(rune('a'+i)), size)) })
			require.Equal(t, http.StatusOK, p.StatusCode)
			assert.Equal(t, lines, strings.Count(log.Text(), "proxy_buffer_size"), "%d bytes, response %d", size, i)
		}
	}
}

func TestServerSideDriversTakeWhatNoCookieHolds(t *testing.T) {
	for _, name := range []string{"memory", "redis"} {
		v := kit.NewVisitor(t, kit.NewManager(t, kit.DriverConfig(t, name)))
		text := strings.Repeat("x", 1<<20)
		v.Visit(func(s *session.Session) { s.Set("text", text) })
		v.Visit(func(s *session.Session) { assert.Equal(t, text, s.Get("text"), name) })
	}
}
