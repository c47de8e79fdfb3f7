package security_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/hooks"
	"example.com/session/internal/suites/kit"
)

// Two sign-ins at once, a double click for one, must not end each other both.
func TestSignInsAtOnceLeaveOneOfThemSignedIn(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.MaxPerUser = 1
		m := kit.NewManager(t, cfg)
		server := kit.NewBrowser(t, kit.Routes{
			"/login": func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Login("ann") },
			"/user": func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
				user, _ := s.User()
				fmt.Fprint(w, user)
			},
		}.Under(m))
		for round := range 25 {
			browsers := make([]*kit.Browser, 2+round%3)
			var clients sync.WaitGroup
			for i := range browsers {
				browsers[i] = server.Another()
				clients.Go(func() { browsers[i].Get("/login") })
			}
			clients.Wait()
			signedIn := 0
			for _, b := range browsers {
				if b.Get("/user").Body == "ann" {
					signedIn++
				}
			}
			require.LessOrEqual(t, signedIn, 1)
			if len(browsers) == 2 { // of more, each can have ended another in the end
				require.Equal(t, 1, signedIn)
			}
			require.Len(t, kit.Handles(t, m, "ann"), signedIn, "whoever is signed in is in the list")
		}
	})
}

// What a refused sign-in leaves is what was saved before it.
func TestRefusedSignInLeavesTheSessionAsItWasSaved(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.MaxPerUser, cfg.AtMaxPerUser = 1, session.RefuseNew
		m := kit.NewManager(t, cfg)
		v := kit.NewVisitor(t, m)
		kit.Login(v.Stranger(), "bob")
		v.Visit(func(s *session.Session) {
			s.Set("cart", 1)
			s.Login("ann")
			s.Set("letters", 2)
			assert.NoError(t, s.Save())
			s.Set("unsaved", 3)
			s.Login("bob")
			assert.ErrorIs(t, s.Save(), session.ErrTooManySessions)
			user, _ := s.User()
			assert.Equal(t, "ann", user)
			assert.Equal(t, map[string]any{"cart": 1, "letters": 2}, s.All())
			s.Increment("letters", 1)
			s.Flash("error", "one too many")
		})
		v.Visit(func(s *session.Session) {
			user, _ := s.User()
			assert.Equal(t, "ann", user)
			assert.Equal(t, map[string]any{"cart": 1, "letters": 3, "error": "one too many"}, s.All())
		})
	})
}

// Hints are about a user's own use of a device.
func TestHintsOfOneUserAreNotSeenByTheNext(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		v := kit.NewVisitor(t, m)
		kit.Login(v, "ann", "place", "Oslo")
		v.Visit(func(s *session.Session) { s.Login("bob") })
		infos, err := m.Sessions(t.Context(), "bob")
		require.NoError(t, err)
		require.Len(t, infos, 1)
		assert.Nil(t, infos[0].Hints)
		kit.Login(v, "ann", "place", "Oslo")
		v.Visit(func(s *session.Session) { s.Describe(map[string]string{"place": "Oslo"}); s.Login("bob") })
		infos, err = m.Sessions(t.Context(), "bob")
		require.NoError(t, err)
		assert.Equal(t, map[string]string{"place": "Oslo"}, infos[0].Hints, "what this request said is bob's")
	})
}

// A sign-in that meets the end of its session is lost with it, and the handler can find out. Once the
// request knows that the session has ended, a sign-in is a session of its own.
func TestSignInOfASessionThatEndsMeanwhile(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		for name, opened := range map[string]bool{"after it was opened": true, "before it was opened": false} {
			require.NoError(t, m.EndAll(t.Context(), "bob"))
			t.Run(name, func(t *testing.T) {
				v := kit.NewVisitor(t, m)
				kit.Login(v, "bob")
				cookie := v.CookieHeader()
				p := v.Visit(func(s *session.Session) {
					if opened {
						s.User()
					}
					v.Stranger().Visit((*session.Session).Logout, "Cookie", cookie)
					s.Login("bob")
					if opened {
						assert.ErrorIs(t, s.Save(), session.ErrEnded)
					} else {
						assert.NoError(t, s.Save())
					}
				})
				assert.Equal(t, http.StatusOK, p.StatusCode)
				if opened {
					assert.Empty(t, kit.UserOf(v))
					assert.Empty(t, kit.Handles(t, m, "bob"))
				} else {
					assert.Equal(t, "bob", kit.UserOf(v))
					assert.Len(t, kit.Handles(t, m, "bob"), 1)
				}
			})
		}
	})
}

// Two people sign in with one visitor's cookie at once: the one who comes second gets nothing of the
// other one's, whose session ends.
func TestTwoUsersWhoSignInAtOnceShareNothing(t *testing.T) {
	kit.OnServers(t, func(t *testing.T, s *kit.Site) {
		visitor := s.Token(s.Ask("", func(own *session.Session) { own.Set("cart", 1) }))
		var ann string
		bob := s.Token(s.Ask(visitor, func(own *session.Session) {
			own.Get("cart")
			ann = s.Token(beside(s, visitor, func(other *session.Session) { other.Set("secret", "ann's"); other.Login("ann") }))
			own.Set("mine", true)
			own.Login("bob")
		}))
		assert.Equal(t, "bob", userOf(s, bob))
		s.Ask(bob, func(own *session.Session) { assert.Equal(t, map[string]any{"mine": true}, own.All()) })
		assert.Empty(t, userOf(s, ann))
		assert.Empty(t, kit.Handles(t, s.Manager, "ann"))
		assert.Len(t, kit.Handles(t, s.Manager, "bob"), 1)
	})
}

// Whatever a handler does around a sign-in, nobody is signed in who should not be.
func TestSignInThatIsTakenBackSignsNobodyIn(t *testing.T) {
	for name, serve := range map[string]kit.HandlerFunc{
		"after the header": func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			w.WriteHeader(http.StatusOK)
			s.Login("ann")
		},
		"after the header, opened before": func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			s.Get("a")
			w.WriteHeader(http.StatusOK)
			s.Set("a", 1)
			s.Login("ann")
		},
		"before a Destroy":       func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Login("ann"); s.Destroy() },
		"saved, before a Logout": func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Login("ann"); s.Save(); s.Logout() },
		"before a Logout and a Set": func(_ http.ResponseWriter, _ *http.Request, s *session.Session) {
			s.Login("ann")
			s.Logout()
			s.Set("a", 1)
		},
		"before a panic": func(_ http.ResponseWriter, _ *http.Request, s *session.Session) {
			s.Login("ann")
			panic("of a handler")
		},
		"in vain": func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Login("ann"); s.Login("") },
	} {
		t.Run(name, func(t *testing.T) {
			kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
				m := kit.NewManager(t, cfg)
				b := kit.NewBrowser(t, recovering(kit.Routes{
					"/cart":  func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Set("cart", 1) },
					"/login": serve,
					"/user": func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
						user, _ := s.User()
						fmt.Fprint(w, user)
					},
				}.Under(m)))
				for _, before := range []string{"/user", "/cart"} {
					visitor := b.Another()
					visitor.Get(before)
					visitor.Get("/login")
					assert.Empty(t, visitor.Get("/user").Body)
					assert.Empty(t, kit.Handles(t, m, "ann"))
				}
			})
		})
	}
}

// recovering answers a panic of a handler with status 500, as a recovery middleware does.
func recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func TestRememberStaysWithinThePreset(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.Assurance = session.AAL2
		m := kit.NewManager(t, cfg)
		c := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { s.Login("ann"); s.Remember(20 * time.Hour) })
		c.Advance(59 * time.Minute)
		require.Equal(t, "ann", kit.UserOf(v))
		c.Advance(time.Hour)
		assert.Empty(t, kit.UserOf(v), "an hour of inactivity is the most of AAL2")

		for _, d := range []time.Duration{24 * time.Hour, 0} {
			v.Visit(func(s *session.Session) { s.Login("ann") })
			for range 46 {
				c.Advance(30 * time.Minute)
				v.Visit(func(s *session.Session) { s.Remember(d) })
			}
			require.Equal(t, "ann", kit.UserOf(v))
			c.Advance(30 * time.Minute)
			kit.UserOf(v)
			c.Advance(30*time.Minute + time.Second)
			assert.Empty(t, kit.UserOf(v), "24 hours after the sign-in are the most of AAL2, Remember(%v) or not", d)
		}
	})
}

// What was remembered before the preset was set is within it from the next sign-in on.
func TestPresetHoldsForSessionsFromBeforeIt(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		if cfg.Drivers == nil && cfg.Default == "memory" || cfg.Cookie.Revocation == "memory" {
			d := session.NewMemoryDriver(session.MemoryConfig{})
			cfg.Drivers = map[string]session.Driver{"shared": d}
			if cfg.Default == "memory" {
				cfg.Default = "shared"
			} else {
				cfg.Cookie.Revocation = "shared"
			}
		}
		before := kit.NewManager(t, cfg)
		c := kit.SetClock(before)
		v := kit.NewVisitor(t, before)
		v.Visit(func(s *session.Session) { s.Login("ann"); s.Remember(300 * 24 * time.Hour) })
		cfg.Assurance = session.AAL3
		after := kit.NewManager(t, cfg)
		hooks.SetClock(after, c.Now)
		w := kit.NewVisitor(t, after)
		w.Client.Jar = v.Client.Jar
		w.Visit(func(s *session.Session) { s.Login("ann") }, "Cookie", v.CookieHeader())
		require.Equal(t, "ann", kit.UserOf(w))
		c.Advance(15*time.Minute + time.Second)
		assert.Empty(t, kit.UserOf(w))
	})
}

// The cookie is as full as it may be, and LockAfter is new.
func TestNoteOfAnActivityFailsNoPageOfAFullCookie(t *testing.T) {
	before := kit.NewManager(t, kit.DriverConfig(t, "cookie"))
	c := kit.SetClock(before)
	v := kit.NewVisitor(t, before)
	kit.Login(v, "ann")
	room := 0
	for size := 2300; size < 2600; size++ {
		p := v.Visit(func(s *session.Session) { s.Set("fill", string(make([]byte, size))) })
		if p.StatusCode != http.StatusOK {
			break
		}
		room = size
	}
	require.Greater(t, room, 2300)
	full := v.CookieHeader()
	cfg := kit.DriverConfig(t, "cookie")
	cfg.LockAfter = 20 * time.Minute
	after := kit.NewManager(t, cfg)
	hooks.SetClock(after, c.Now)
	c.Advance(5 * time.Minute)
	p := kit.NewVisitor(t, after).Visit(func(s *session.Session) {
		user, _ := s.User()
		assert.Equal(t, "ann", user)
		assert.Len(t, s.GetString("fill"), room)
	}, "Cookie", full)
	assert.Equal(t, http.StatusOK, p.StatusCode)
}

// A page that streams asks for the user after its header has gone. That is an activity, too.
func TestStreamedPagesKeepAUserSignedIn(t *testing.T) {
	for _, name := range []string{"memory", "redis", "store"} {
		t.Run(name, func(t *testing.T) {
			cfg := kit.AccountConfig(t, name)
			cfg.LockAfter = 20 * time.Minute
			m := kit.NewManager(t, cfg)
			c := kit.SetClock(m)
			v := kit.NewVisitor(t, m)
			kit.Login(v, "ann")
			for range 4 {
				c.Advance(10 * time.Minute)
				saves := m.Stats().Saves
				v.Serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
					w.WriteHeader(http.StatusOK)
					user, _ := s.User()
					assert.Equal(t, "ann", user)
				})
				assert.Equal(t, saves+1, m.Stats().Saves)
				saves = m.Stats().Saves
				v.Serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
					s.User()
					w.WriteHeader(http.StatusOK)
				})
				assert.Equal(t, saves, m.Stats().Saves, "it is noted now and then only")
			}
		})
	}
}

// The activity of a request is lost with its session, which nobody needs to be told.
func TestNoteOfAnActivityIsNoDroppedChange(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.LockAfter = 20 * time.Minute
		m := kit.NewManager(t, cfg)
		c := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		kit.Login(v, "ann")
		c.Advance(5 * time.Minute)
		v.Visit(func(s *session.Session) {
			s.User()
			assert.NoError(t, m.EndAll(context.Background(), "ann"))
		})
		assert.Zero(t, m.Stats().Dropped)
		assert.Empty(t, kit.UserOf(v))
	})
}
