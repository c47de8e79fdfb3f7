package session_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/casstore"
	"example.com/session/internal/redistest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whoever ends a session while a request of it is under way has ended it, whatever that request
// does to its token.
func TestSessionThatEndsDuringARegenerateStaysEnded(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		for name, end := range map[string]func(m *session.Manager, v *visitor, cookie, handle string){
			"by the list": func(m *session.Manager, _ *visitor, _, handle string) {
				assert.NoError(t, m.End(context.Background(), "ann", handle))
			},
			"by another tab": func(_ *session.Manager, v *visitor, cookie, _ string) {
				v.stranger().visit(func(s *session.Session) { s.Logout() }, "Cookie", cookie)
			},
		} {
			t.Run(name, func(t *testing.T) {
				m := newManager(t, cfg)
				v := newVisitor(t, m)
				handle := v.login("ann")
				cookie := v.cookieHeader()
				v.visit(func(s *session.Session) {
					s.Get("a")
					end(m, v, cookie, handle)
					s.Regenerate()
				})
				assert.Empty(t, v.user())
				assert.Empty(t, handles(t, m, "ann"))
			})
		}
	})
}

// Within the window a process does not ask whether a session was ended: it must not begin
// another in its place unasked.
func TestRegenerateWithinTheWindowDoesNotReviveASession(t *testing.T) {
	cfg := accountConfig(t, "cookie, revoked in redis")
	here, there := newManager(t, cfg), newManager(t, cfg)
	c := setClock(here)
	there.SetClock(c.now)
	v := newVisitor(t, here)
	handle := v.login("ann")
	require.NoError(t, there.End(t.Context(), "ann", handle))
	c.advance(time.Second)
	v.visit(func(s *session.Session) { s.Regenerate() })
	assert.Empty(t, v.user())
	assert.Empty(t, handles(t, here, "ann"))
}

// The user proves who it is in one tab while another signs it out: the sign-in is a session of
// its own.
func TestSignInOfASessionThatEndsMeanwhileSucceeds(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		for user, before := range map[string]string{"ann": "a visitor", "bob": "bob"} {
			t.Run(before, func(t *testing.T) {
				v := newVisitor(t, m)
				v.visit(func(s *session.Session) {
					s.Set("a", 1)
					if before == user {
						s.Login(user)
					}
				})
				cookie := v.cookieHeader()
				p := v.visit(func(s *session.Session) {
					s.Login(user)
					v.stranger().visit(func(s *session.Session) { s.Destroy() }, "Cookie", cookie)
				})
				assert.Equal(t, http.StatusOK, p.StatusCode)
				assert.Equal(t, user, v.user())
				assert.Len(t, handles(t, m, user), 1)
			})
		}
	})
}

// The last step of a sign-in only makes sure of the list. Where it has no answer, neither the
// session that was there before nor the new one is lost.
func TestRegenerateThatBreaksHalfWaySignsNobodyOut(t *testing.T) {
	for _, base := range []string{"redis", "store", "cookie, revoked in redis"} {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, done %v", base, done), func(t *testing.T) {
				client := &failingClient{RedisClient: session.NewTestClient(redistest.Shared(t).Port()), done: done}
				cfg := accountConfig(t, base)
				if base == "store" {
					cfg.Drivers["store"] = session.StoreDriver(&failingStore{failingClient: client})
				}
				cfg.Redis.Options.Client = client
				cfg.StoreTimeout = 200 * time.Millisecond
				m := newManager(t, cfg)
				v := newVisitor(t, m)
				for step := 1; ; step++ {
					v = v.stranger()
					v.login("ann")
					client.failAt(step)
					v.visit(func(s *session.Session) { s.Regenerate() })
					reached := client.failAt(0)
					assert.Equal(t, "ann", v.user(), "step %d", step)
					assert.NotEmpty(t, handles(t, m, "ann"), "step %d", step)
					require.NoError(t, m.EndAll(t.Context(), "ann"))
					assert.Empty(t, v.user(), "step %d", step)
					if !reached {
						break
					}
				}
			})
		}
	}
}

// A failingStore breaks one of the operations that are asked of it.
type failingStore struct {
	*failingClient
	casstore.Store
}

func (s *failingStore) Get(ctx context.Context, id string) ([]byte, error) {
	if s.fails() {
		return nil, errors.New("the connection broke")
	}
	return s.Store.Get(ctx, id)
}

func (s *failingStore) Update(ctx context.Context, id string, change func([]byte) (session.Entry, error)) error {
	if !s.fails() {
		return s.Store.Update(ctx, id, change)
	}
	if s.done {
		_ = s.Store.Update(ctx, id, change)
	}
	return errors.New("the connection broke")
}

// A handler that saves again after an outage is told the truth.
func TestSavedAgainAfterAnOutageMeansStored(t *testing.T) {
	for _, base := range []string{"redis", "cookie, revoked in redis"} {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, done %v", base, done), func(t *testing.T) {
				client := &failingClient{RedisClient: session.NewTestClient(redistest.Shared(t).Port()), done: done}
				cfg := accountConfig(t, base)
				cfg.Redis.Options.Client = client
				cfg.StoreTimeout = 200 * time.Millisecond
				m := newManager(t, cfg)
				v := newVisitor(t, m)
				for step := range 15 {
					v = v.stranger()
					if step%2 == 0 {
						v.visit(func(s *session.Session) { s.Set("cart", 1) })
					}
					user := fmt.Sprint("user ", step)
					var again error
					v.visit(func(s *session.Session) {
						s.Get("cart")
						s.Login(user)
						client.failAt((step + 1) / 2)
						if s.Save() != nil {
							client.failAt(0)
							again = s.Save()
						}
					})
					client.failAt(0)
					assert.NoError(t, again, "step %d", step)
					assert.Equal(t, user, v.user(), "step %d", step)
					assert.Len(t, handles(t, m, user), 1, "step %d", step)
				}
			})
		}
	}
}

// A preset holds for every driver and every way to ask for longer limits.
func TestPresetBoundsEveryDriversIdleTimeout(t *testing.T) {
	for name, driver := range map[string]func() (session.Driver, error){
		"memory": func() (session.Driver, error) {
			return session.NewMemoryDriver(session.MemoryConfig{IdleTimeout: 2 * time.Hour}), nil
		},
		"cookie": func() (session.Driver, error) {
			return session.NewCookieDriver(session.CookieConfig{IdleTimeout: 2 * time.Hour}, testSecret)
		},
		"redis": func() (session.Driver, error) {
			return session.NewRedisDriver(session.RedisConfig{IdleTimeout: 2 * time.Hour})
		},
	} {
		d, err := driver()
		require.NoError(t, err)
		_, err = session.NewManager(session.Config{Secret: testSecret, Limits: session.AAL2,
			Drivers: map[string]session.Driver{"mine": d}})
		assert.ErrorContains(t, err, `Config.Drivers["mine"]: IdleTimeout: 2h0m0s is more than the 1h0m0s that Limits AAL2 allows`, name)
	}
}

func TestRememberStaysWithinThePreset(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.Limits = session.AAL2
		m := newManager(t, cfg)
		c := setClock(m)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) { s.Login("ann"); s.Remember(20 * time.Hour) })
		c.advance(59 * time.Minute)
		require.Equal(t, "ann", v.user())
		c.advance(time.Hour)
		assert.Empty(t, v.user(), "an hour of inactivity is the most of AAL2")

		for _, d := range []time.Duration{24 * time.Hour, 0} {
			v.visit(func(s *session.Session) { s.Login("ann") })
			for range 46 {
				c.advance(30 * time.Minute)
				v.visit(func(s *session.Session) { s.Remember(d) })
			}
			require.Equal(t, "ann", v.user())
			c.advance(30 * time.Minute)
			v.user()
			c.advance(30*time.Minute + time.Second)
			assert.Empty(t, v.user(), "24 hours after the sign-in are the most of AAL2, Remember(%v) or not", d)
		}
	})
}

// What was remembered before the preset was set is within it from the next sign-in on.
func TestPresetHoldsForSessionsFromBeforeIt(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		if cfg.Drivers == nil && cfg.Default == "memory" || cfg.Cookie.Revocation == "memory" {
			d := session.NewMemoryDriver(session.MemoryConfig{})
			cfg.Drivers = map[string]session.Driver{"shared": d}
			if cfg.Default == "memory" {
				cfg.Default = "shared"
			} else {
				cfg.Cookie.Revocation = "shared"
			}
		}
		before := newManager(t, cfg)
		c := setClock(before)
		v := newVisitor(t, before)
		v.visit(func(s *session.Session) { s.Login("ann"); s.Remember(300 * 24 * time.Hour) })
		cfg.Limits = session.AAL3
		after := newManager(t, cfg)
		after.SetClock(c.now)
		w := newVisitor(t, after)
		w.client.Jar = v.client.Jar
		w.visit(func(s *session.Session) { s.Login("ann") }, "Cookie", v.cookieHeader())
		require.Equal(t, "ann", w.user())
		c.advance(15*time.Minute + time.Second)
		assert.Empty(t, w.user())
	})
}

// A server whose memory is full still opens sessions and ends them, all of a user's too.
func TestFullServerStillEndsSessionsAndKeepsUsersSignedIn(t *testing.T) {
	cfg := driverConfig(t, "redis")
	server := redistest.Start(t)
	cfg.Redis.Host, cfg.Redis.Port, cfg.LockAfter = server.Host(), server.Port(), 20*time.Minute
	failed := recordFailures(&cfg)
	m := newManager(t, cfg)
	c := setClock(m)
	v := newVisitor(t, m)
	other := v.stranger()
	handle := other.login("ann")
	v.login("ann")
	c.advance(2 * time.Minute) // long enough for the activity to be noted
	_, err := server.Conn(t).Do("CONFIG", "SET", "maxmemory", "1")
	require.NoError(t, err)
	p := v.visit(func(s *session.Session) {
		user, _ := s.User()
		assert.Equal(t, "ann", user)
	})
	assert.Equal(t, http.StatusOK, p.StatusCode, "to note an activity fails no page: %v", failed.last())
	require.NoError(t, m.End(t.Context(), "ann", handle))
	require.NoError(t, m.EndAll(t.Context(), "ann"))
	assert.Empty(t, v.user())
}

// The cookie is as full as it may be, and LockAfter is new.
func TestNoteOfAnActivityFailsNoPageOfAFullCookie(t *testing.T) {
	before := newManager(t, driverConfig(t, "cookie"))
	c := setClock(before)
	v := newVisitor(t, before)
	v.login("ann")
	room := 0
	for size := 2800; size < 3100; size++ {
		p := v.visit(func(s *session.Session) { s.Set("fill", string(make([]byte, size))) })
		if p.StatusCode != http.StatusOK {
			break
		}
		room = size
	}
	require.Greater(t, room, 2800)
	full := v.cookieHeader()
	cfg := driverConfig(t, "cookie")
	cfg.LockAfter = 20 * time.Minute
	after := newManager(t, cfg)
	after.SetClock(c.now)
	c.advance(5 * time.Minute)
	p := newVisitor(t, after).visit(func(s *session.Session) {
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
			cfg := accountConfig(t, name)
			cfg.LockAfter = 20 * time.Minute
			m := newManager(t, cfg)
			c := setClock(m)
			v := newVisitor(t, m)
			v.login("ann")
			for range 4 {
				c.advance(10 * time.Minute)
				saves := m.Stats().Saves
				v.serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
					w.WriteHeader(http.StatusOK)
					user, _ := s.User()
					assert.Equal(t, "ann", user)
				})
				assert.Equal(t, saves+1, m.Stats().Saves)
				saves = m.Stats().Saves
				v.serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
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
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.LockAfter = 20 * time.Minute
		m := newManager(t, cfg)
		c := setClock(m)
		v := newVisitor(t, m)
		v.login("ann")
		c.advance(5 * time.Minute)
		v.visit(func(s *session.Session) {
			s.User()
			assert.NoError(t, m.EndAll(context.Background(), "ann"))
		})
		assert.Zero(t, m.Stats().Dropped)
		assert.Empty(t, v.user())
	})
}

// One process's clock is ahead. A session that it takes for over may still open in another: it
// must not vanish from the list, and so from the reach of EndAll, while it does.
func TestSessionThatAnotherClockTakesForOverDoesNotEscapeTheList(t *testing.T) {
	for _, name := range []string{"redis", "store", "cookie, revoked in redis"} {
		t.Run(name, func(t *testing.T) {
			cfg := accountConfig(t, name)
			here, ahead := newManager(t, cfg), newManager(t, cfg)
			c := setClock(here)
			ahead.SetClock(func() time.Time { return c.now().Add(10 * time.Second) })
			v := newVisitor(t, here)
			v.login("ann")
			idle := time.Hour
			if cfg.Default == "cookie" { // whose stand-in idles longer
				idle += idle/10 + 10*time.Second
			}
			c.advance(idle - 5*time.Second)
			handles(t, ahead, "ann")
			v.user()
			require.NoError(t, here.EndAll(t.Context(), "ann"))
			assert.Empty(t, v.user())
		})
	}
}

// The index of users is bounded by the sessions that there are, not by the sign-ins of a lifetime.
func TestMemoryIndexForgetsSessionsThatWereDropped(t *testing.T) {
	const kept, logins = 50, 2000
	d := session.NewMemoryDriver(session.MemoryConfig{MaxSessions: kept})
	cfg := driverConfig(t, "memory")
	cfg.Default, cfg.Drivers, cfg.Lifetime = "mine", map[string]session.Driver{"mine": d}, 400*24*time.Hour
	m := newManager(t, cfg)
	login := m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { session.FromRequest(r).Login("ann") }))
	for range logins {
		login.ServeHTTP(discard{}, newGet(t))
	}
	require.EqualValues(t, kept, d.Len())
	assert.Less(t, d.IndexEntries(), 4*kept)
	assert.Len(t, handles(t, m, "ann"), kept)
}

// Whoever asks for endings over and over leaves nothing behind for good.
func TestMemoryIndexForgetsEndings(t *testing.T) {
	d := session.NewMemoryDriver(session.MemoryConfig{})
	cfg := driverConfig(t, "memory")
	cfg.Default, cfg.Drivers = "mine", map[string]session.Driver{"mine": d}
	m := newManager(t, cfg)
	c := setClock(m)
	for i := range 100 {
		require.NoError(t, m.EndAll(t.Context(), fmt.Sprint("user ", i)))
		c.advance(10 * time.Minute)
	}
	assert.LessOrEqual(t, d.IndexEntries(), 10)
}

// Two sign-ins at once, a double click for one, must not end each other both.
func TestSignInsAtOnceLeaveOneOfThemSignedIn(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.MaxPerUser = 1
		m := newManager(t, cfg)
		server := newBrowser(t, routes{
			"/login": func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Login("ann") },
			"/user": func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
				user, _ := s.User()
				fmt.Fprint(w, user)
			},
		}.under(m))
		for round := range 25 {
			browsers := make([]*browser, 2+round%3)
			var clients sync.WaitGroup
			for i := range browsers {
				browsers[i] = server.another()
				clients.Go(func() { browsers[i].get("/login") })
			}
			clients.Wait()
			signedIn := 0
			for _, b := range browsers {
				if b.get("/user").body == "ann" {
					signedIn++
				}
			}
			require.LessOrEqual(t, signedIn, 1)
			if len(browsers) == 2 { // of more, each can have ended another in the end
				require.Equal(t, 1, signedIn)
			}
			require.Len(t, handles(t, m, "ann"), signedIn, "whoever is signed in is in the list")
		}
	})
}

// What a refused sign-in leaves is what was saved before it.
func TestRefusedSignInLeavesTheSessionAsItWasSaved(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.MaxPerUser, cfg.AtMaxPerUser = 1, session.RefuseNew
		m := newManager(t, cfg)
		v := newVisitor(t, m)
		v.stranger().login("bob")
		v.visit(func(s *session.Session) {
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
		v.visit(func(s *session.Session) {
			user, _ := s.User()
			assert.Equal(t, "ann", user)
			assert.Equal(t, map[string]any{"cart": 1, "letters": 3, "error": "one too many"}, s.All())
		})
	})
}

// Hints are about a user's own use of a device.
func TestHintsOfOneUserAreNotSeenByTheNext(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		v := newVisitor(t, m)
		v.login("ann", "place", "Oslo")
		v.visit(func(s *session.Session) { s.Login("bob") })
		infos, err := m.Sessions(t.Context(), "bob")
		require.NoError(t, err)
		require.Len(t, infos, 1)
		assert.Nil(t, infos[0].Hints)
		v.login("ann", "place", "Oslo")
		v.visit(func(s *session.Session) { s.Describe(map[string]string{"place": "Oslo"}); s.Login("bob") })
		infos, err = m.Sessions(t.Context(), "bob")
		require.NoError(t, err)
		assert.Equal(t, map[string]string{"place": "Oslo"}, infos[0].Hints, "what this request said is bob's")
	})
}

// A Store that panics ends a request, not the process.
func TestPanicOfAStoreReachesWhoAsksForAList(t *testing.T) {
	cfg := accountConfig(t, "store")
	store := new(panickingStore)
	store.after.Store(1 << 30)
	cfg.Drivers["store"] = session.StoreDriver(store)
	m := newManager(t, cfg)
	v := newVisitor(t, m)
	for range 20 {
		v.stranger().login("ann")
	}
	store.after.Store(3)
	assert.PanicsWithValue(t, "store", func() { _, _ = m.Sessions(t.Context(), "ann") })
	store.after.Store(3)
	assert.PanicsWithValue(t, "store", func() { _ = m.EndAll(t.Context(), "ann") })
	store.after.Store(1 << 30)
	assert.NoError(t, m.EndAll(t.Context(), "ann"))
}

type panickingStore struct {
	casstore.Store
	after atomic.Int64
}

func (s *panickingStore) Get(ctx context.Context, id string) ([]byte, error) {
	if s.after.Add(-1) < 0 {
		panic("store")
	}
	return s.Store.Get(ctx, id)
}

// Where the store stops to answer midway, an ending says so in good time.
func TestEndingOfManySessionsDoesNotWaitForEachInAnOutage(t *testing.T) {
	cfg := driverConfig(t, "redis")
	cfg.StoreTimeout = 250 * time.Millisecond
	hanging := &hangingClient{RedisClient: session.NewTestClient(redistest.Shared(t).Port())}
	hanging.after.Store(1 << 30)
	cfg.Redis.Options.Client = hanging
	m := newManager(t, cfg)
	login := m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { session.FromRequest(r).Login("ann") }))
	for range 400 {
		login.ServeHTTP(discard{}, newGet(t))
	}
	hanging.after.Store(20)
	began := time.Now()
	assert.ErrorIs(t, m.EndAll(t.Context(), "ann"), session.ErrUnavailable)
	assert.Less(t, time.Since(began), 5*time.Second, "one by one it would be twelve")
	hanging.after.Store(1 << 30)
	require.NoError(t, m.EndAll(t.Context(), "ann"))
	assert.Empty(t, handles(t, m, "ann"))
}

type hangingClient struct {
	session.RedisClient
	after atomic.Int64
}

func (c *hangingClient) Eval(ctx context.Context, script session.RedisScript, key string, args []any) ([]string, error) {
	if c.after.Add(-1) < 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return c.RedisClient.Eval(ctx, script, key, args)
}

// A hook may ask the manager whatever it wants to.
func TestEventHookMayAskTheManager(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		var m *session.Manager
		asked := 0
		cfg.Events = func(e session.Event) {
			asked++
			m.Stats()
			_, err := m.Sessions(context.Background(), "ann")
			assert.NoError(t, err)
			assert.NoError(t, m.EndAll(context.Background(), "somebody"))
		}
		cfg.MaxPerUser = 1
		m = newManager(t, cfg)
		v := newVisitor(t, m)
		v.login("ann")
		v.stranger().login("ann")
		v.visit(func(s *session.Session) { s.Logout() })
		require.NoError(t, m.EndAll(t.Context(), "ann"))
		assert.Positive(t, asked)
	})
}

// A stream that saves is told that its session ended, and sends no cookie for it.
func TestSaveOfASessionThatWasEndedSaysSo(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		v := newVisitor(t, m)
		handle := v.login("ann")
		p := v.visit(func(s *session.Session) {
			s.Set("a", 1)
			require.NoError(t, m.End(t.Context(), "ann", handle))
			assert.ErrorIs(t, s.Save(), session.ErrNoSession)
		})
		assert.Nil(t, p.cookie("s_"+cfg.Default))
	})
}

// Whatever a handler does around a sign-in, nobody is signed in who should not be.
func TestSignInThatIsTakenBackSignsNobodyIn(t *testing.T) {
	for name, serve := range map[string]handlerFunc{
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
			panic(http.ErrAbortHandler)
		},
		"in vain": func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Login("ann"); s.Login("") },
	} {
		t.Run(name, func(t *testing.T) {
			eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
				m := newManager(t, cfg)
				for _, before := range []func(s *session.Session){
					func(*session.Session) {}, func(s *session.Session) { s.Set("cart", 1) },
				} {
					v := newVisitor(t, m)
					v.visit(before)
					v.handler.Store(handlerFunc(serve))
					if response, err := v.client.Get(v.url); err == nil {
						response.Body.Close()
					}
					assert.Empty(t, v.user())
					assert.Empty(t, handles(t, m, "ann"))
				}
			})
		})
	}
}

// A user's name may have any bytes, and is another one under another prefix.
func TestUsersWithOddNamesAreToldApart(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		other := cfg
		other.CookieAttributes.Prefix = "p_"
		stranger := newManager(t, other)
		v := newVisitor(t, m)
		names := []string{"\xff", "\xfe", "a\x00", "a", "a b", "ann\n", "'", string(make([]byte, 255))}
		for _, name := range names {
			v.stranger().login(name, "agent\xff", "\xff<&>")
		}
		for _, name := range names {
			infos, err := m.Sessions(t.Context(), name)
			require.NoError(t, err)
			require.Len(t, infos, 1, "%q", name)
			assert.Equal(t, map[string]string{"agent\ufffd": "\ufffd<&>"}, infos[0].Hints, "JSON has no other bytes")
			assert.Empty(t, handles(t, stranger, name))
			require.NoError(t, stranger.EndAll(t.Context(), name))
			assert.ErrorIs(t, stranger.End(t.Context(), name, infos[0].Handle), session.ErrNoSession)
			assert.Len(t, handles(t, m, name), 1)
		}
	})
}
