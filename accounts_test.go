package session_test

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/hooks"
	"example.com/session/internal/suites/kit"
)

// ASVS 7.5.2.
func TestUserSeesEachOfItsSessions(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		c := kit.SetClock(m)
		phone := kit.NewVisitor(t, m)
		phoneHandle := kit.Login(phone, "ann", "agent", "phone")
		c.Advance(10 * time.Minute)
		laptop := phone.Stranger()
		laptopHandle := kit.Login(laptop, "ann", "agent", "laptop")
		kit.Login(phone.Stranger(), "bob")
		c.Advance(10 * time.Minute)
		phone.Visit(func(s *session.Session) { s.Set("page", 2) })
		used := c.Now()

		infos, err := m.Sessions(t.Context(), "ann")
		require.NoError(t, err)
		require.Len(t, infos, 2)
		assert.Equal(t, phoneHandle, infos[0].Handle, "the last used is first")
		assert.Equal(t, map[string]string{"agent": "phone"}, infos[0].Hints)
		assert.Equal(t, cfg.Default, infos[0].Driver)
		assert.Equal(t, used, infos[0].UsedAt)
		assert.Equal(t, used.Add(-20*time.Minute), infos[0].CreatedAt)
		assert.Equal(t, used.Add(-20*time.Minute), infos[0].AuthenticatedAt)
		assert.True(t, infos[0].ExpiresAt.After(used.Add(35*time.Minute)))
		assert.Equal(t, laptopHandle, infos[1].Handle)
		assert.Equal(t, map[string]string{"agent": "laptop"}, infos[1].Hints)

		phone.Visit(func(s *session.Session) { s.Describe(map[string]string{"agent": "phone", "place": "Oslo"}) })
		infos, err = m.Sessions(t.Context(), "ann")
		require.NoError(t, err)
		assert.Equal(t, map[string]string{"agent": "phone", "place": "Oslo"}, infos[0].Hints)
		none, err := m.Sessions(t.Context(), "nobody")
		require.NoError(t, err)
		assert.Equal(t, []session.Info{}, none)
	})
}

// A list that counts as use would keep a thief's session alive.
func TestListOfSessionsIsNoUseOfThem(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		c := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		kit.Login(v, "ann")
		for range 7 {
			c.Advance(10 * time.Minute)
			kit.Handles(t, m, "ann")
		}
		assert.Empty(t, kit.UserOf(v))
		if cfg.Default != "cookie" { // whose record on the server idles a tenth longer
			assert.Empty(t, kit.Handles(t, m, "ann"))
		}
	})
}

func TestEndedSessionIsSignedOutAtItsNextRequest(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		phone := kit.NewVisitor(t, m)
		kit.Login(phone, "ann")
		laptop := phone.Stranger()
		lost := kit.Login(laptop, "ann")
		require.NoError(t, m.End(t.Context(), "ann", lost))
		assert.Empty(t, kit.UserOf(laptop))
		assert.Equal(t, "ann", kit.UserOf(phone))
		assert.NotContains(t, kit.Handles(t, m, "ann"), lost)
		assert.ErrorIs(t, m.End(t.Context(), "ann", lost), session.ErrNoSession, "it is ended already")
		assert.Equal(t, "ann", loginAnew(laptop, "ann"), "and the browser can sign in again")
	})
}

// CVE-2017-18878.
func TestNobodyEndsASessionOfSomebodyElse(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		v := kit.NewVisitor(t, m)
		handle := kit.Login(v, "ann")
		kit.Login(v.Stranger(), "bob")
		for _, user := range []string{"bob", "", "ann ", "Ann"} {
			assert.ErrorIs(t, m.End(t.Context(), user, handle), session.ErrNoSession)
		}
		for _, wrong := range []string{"", "!", handle[1:], handle + "A"} {
			assert.ErrorIs(t, m.End(t.Context(), "ann", wrong), session.ErrNoSession)
		}
		assert.Equal(t, "ann", kit.UserOf(v))
	})
}

// ASVS 7.4.2, 7.4.3, 7.4.5.
func TestAllSessionsOfAUserEndInOneCall(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		phone := kit.NewVisitor(t, m)
		laptop, bob := phone.Stranger(), phone.Stranger()
		kit.Login(phone, "ann")
		kit.Login(laptop, "ann")
		kit.Login(bob, "bob")

		var kept string
		laptop.Visit(func(s *session.Session) {
			assert.NoError(t, m.EndOthers(t.Context(), s))
			kept = s.Handle()
		})
		assert.Empty(t, kit.UserOf(phone))
		assert.Equal(t, "ann", kit.UserOf(laptop))
		assert.Equal(t, []string{kept}, kit.Handles(t, m, "ann"))
		laptop.Visit(func(s *session.Session) { s.Regenerate() })
		assert.Equal(t, "ann", kit.UserOf(laptop), "the session that was kept works as before")

		kit.Login(phone, "ann")
		require.NoError(t, m.EndAll(t.Context(), "ann"))
		assert.Empty(t, kit.UserOf(phone))
		assert.Empty(t, kit.UserOf(laptop))
		assert.Empty(t, kit.Handles(t, m, "ann"))
		assert.Equal(t, "bob", kit.UserOf(bob))
		assert.Equal(t, "ann", loginAnew(phone, "ann"))
	})
}

// A handler signs the user in, or changes the password, and ends all other sessions.
func TestSignInAndEndingInOneRequestKeepsTheNewSession(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		c := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		other := v.Stranger()
		for name, do := range map[string]func(s *session.Session){
			"sign-in, then others": func(s *session.Session) {
				s.Login("ann")
				c.Advance(time.Second)
				assert.NoError(t, m.EndOthers(t.Context(), s))
			},
			"all, then sign-in": func(s *session.Session) {
				assert.NoError(t, m.EndAll(t.Context(), "ann"))
				s.Login("ann")
			},
			"sign-in again, then others": func(s *session.Session) {
				s.Login("ann")
				c.Advance(time.Second)
				assert.NoError(t, m.EndOthers(t.Context(), s))
				s.Regenerate()
			},
		} {
			c.Advance(time.Minute)
			kit.Login(other, "ann")
			c.Advance(time.Second)
			v.Visit(do)
			assert.Equal(t, "ann", kit.UserOf(v), name)
			assert.Empty(t, kit.UserOf(other), name)
		}
	})
}

// The password was checked before it was changed. The sign-in must not outlive the change.
func TestSignInUnderWayFailsWhenAllSessionsEnd(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		c := kit.SetClock(m)
		thief := kit.NewVisitor(t, m)
		thief.Visit(func(s *session.Session) {
			s.Login("ann")
			c.Advance(time.Millisecond)
			assert.NoError(t, m.EndAll(context.Background(), "ann"))
		})
		assert.Empty(t, kit.UserOf(thief))
		assert.Empty(t, kit.Handles(t, m, "ann"))
	})
}

// A session that ends while its token is being replaced must not live on under the new one.
func TestRegenerateDoesNotSaveASessionFromBeingEnded(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		c := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		kit.Login(v, "ann")
		c.Advance(time.Minute)
		v.Visit(func(s *session.Session) {
			s.Regenerate()
			s.Set("own", 1)
			assert.NoError(t, m.EndAll(context.Background(), "ann"))
			c.Advance(time.Millisecond)
		})
		assert.Empty(t, kit.UserOf(v))
		assert.Empty(t, kit.Handles(t, m, "ann"))
	})
}

// hangingIndex is a Driver whose index does not answer.
type hangingIndex struct {
	driver.Driver
	driver.Index
}

func (hangingIndex) EndBefore(ctx context.Context, _ string, _ time.Time) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestEndAllWaitsNoLongerThanStoreTimeoutForAnIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := session.StoreDriver(kit.NewCountingStore())
		m := kit.NewManager(t, session.Config{
			Default: "store", StoreTimeout: time.Second, Logger: kit.Quiet,
			Drivers: map[string]session.Driver{"store": hangingIndex{store, store.(driver.Index)}},
		})
		start := time.Now()
		assert.ErrorIs(t, m.EndAll(t.Context(), "ann"), session.ErrUnavailable)
		assert.Equal(t, time.Second, time.Since(start))
	})
}

// EndAll runs while six clients replace their tokens.
func TestNoSignInOutlivesTheEndingOfAll(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		server := kit.NewBrowser(t, kit.Routes{
			"/login":      func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Login("ann") },
			"/regenerate": func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Regenerate() },
			"/user": func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
				user, _ := s.User()
				fmt.Fprint(w, user)
			},
		}.Under(m))
		for range 6 {
			var clients sync.WaitGroup
			browsers := make([]*kit.Browser, 6)
			for i := range browsers {
				browsers[i] = server.Another()
				browsers[i].Get("/login")
				clients.Go(func() {
					for range 4 {
						browsers[i].Get("/regenerate")
					}
				})
			}
			assert.NoError(t, m.EndAll(t.Context(), "ann"))
			clients.Wait()
			for _, b := range browsers {
				assert.Empty(t, b.Get("/user").Body)
			}
			assert.Empty(t, kit.Handles(t, m, "ann"))
		}
	})
}

// ASVS 7.1.2.
func TestUserHasAtMostSoManySessions(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.MaxPerUser = 2
		m := kit.NewManager(t, cfg)
		c := kit.SetClock(m)
		first := kit.NewVisitor(t, m)
		second, third := first.Stranger(), first.Stranger()
		kit.Login(first, "ann")
		c.Advance(time.Second)
		kit.Login(second, "ann")
		c.Advance(time.Second)
		kit.Login(first, "ann") // the same session: it counts once
		c.Advance(time.Second)
		first.Visit(func(s *session.Session) { s.Regenerate() })
		kit.Login(third.Stranger(), "bob")
		assert.Len(t, kit.Handles(t, m, "ann"), 2)
		c.Advance(time.Second)
		kit.Login(third, "ann")
		assert.Len(t, kit.Handles(t, m, "ann"), 2)
		assert.Equal(t, "ann", kit.UserOf(first))
		assert.Empty(t, kit.UserOf(second), "the one that was signed in first ends")
		assert.Equal(t, "ann", kit.UserOf(third))
	})
}

func TestSignInThatIsOneTooManyIsRefused(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.MaxPerUser, cfg.AtMaxPerUser = 1, session.RefuseNew
		failed := kit.RecordFailures(&cfg)
		m := kit.NewManager(t, cfg)
		c := kit.SetClock(m)
		first := kit.NewVisitor(t, m)
		second := first.Stranger()
		kit.Login(first, "ann")
		second.Visit(func(s *session.Session) { s.Set("cart", 1) })

		p := second.Visit(func(s *session.Session) { s.Login("ann") })
		assert.Equal(t, http.StatusForbidden, p.StatusCode)
		assert.ErrorIs(t, failed.Last(), session.ErrTooManySessions)
		p = second.Visit(func(s *session.Session) {
			s.Login("ann")
			assert.ErrorIs(t, s.Save(), session.ErrTooManySessions)
			_, ok := s.User()
			assert.False(t, ok)
			s.Flash("error", "you are signed in elsewhere")
		})
		assert.Equal(t, http.StatusOK, p.StatusCode, "a handler that calls Save can answer itself")
		second.Visit(func(s *session.Session) {
			assert.Equal(t, "you are signed in elsewhere", s.Get("error"))
			assert.Equal(t, 1, s.GetInt("cart"), "the visitor's session is as it was")
		})
		assert.Equal(t, "ann", kit.UserOf(first))

		c.Advance(2 * time.Hour) // the first session has expired, and does not count any more
		kit.Login(second, "ann")
		assert.Len(t, kit.Handles(t, m, "ann"), 1)
	})
}

// Each of several parallel sign-ins counts.
func TestParallelSignInsStayWithinTheLimit(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.MaxPerUser, cfg.AtMaxPerUser = 3, session.RefuseNew
		m := kit.NewManager(t, cfg)
		server := kit.NewBrowser(t, kit.Routes{"/": func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Login("ann") }}.Under(m))
		var clients sync.WaitGroup
		for range 12 {
			b := server.Another()
			clients.Go(func() { b.Get("/") })
		}
		clients.Wait()
		assert.Len(t, kit.Handles(t, m, "ann"), 3)
	})
}

// A user may have more sessions than a limit that was set later allows.
func TestFirstSignInUnderANewLimitEndsAllSessionsThatAreTooMany(t *testing.T) {
	for _, before := range []int{9, 12, 30} {
		t.Run(fmt.Sprint(before, " sessions"), func(t *testing.T) {
			kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
				if cfg.Default == "memory" || cfg.Cookie.Revocation == "memory" { // shared by both managers
					cfg.Drivers = map[string]session.Driver{"mine": session.NewMemoryDriver(session.MemoryConfig{})}
					if cfg.Default == "memory" {
						cfg.Default = "mine"
					} else {
						cfg.Cookie.Revocation = "mine"
					}
				}
				unlimited := kit.NewManager(t, cfg)
				clock := kit.SetClock(unlimited)
				for range before {
					kit.NewVisitor(t, unlimited).Visit(func(s *session.Session) { s.Login("ann") })
					clock.Advance(time.Second)
				}
				require.Len(t, kit.Handles(t, unlimited, "ann"), before)
				cfg.MaxPerUser = 2
				m := kit.NewManager(t, cfg)
				hooks.SetClock(m, clock.Now)
				handle := kit.Login(kit.NewVisitor(t, m), "ann")
				left := kit.Handles(t, m, "ann")
				assert.Len(t, left, 2)
				assert.Contains(t, left, handle)
			})
		})
	}
}

// Without a record on a server nobody can list or end a session in a cookie.
func TestCookieDriverAloneListsAndEndsNothing(t *testing.T) {
	m := kit.NewManager(t, kit.DriverConfig(t, "cookie"))
	v := kit.NewVisitor(t, m)
	handle := kit.Login(v, "ann")
	_, err := m.Sessions(t.Context(), "ann")
	assert.ErrorIs(t, err, session.ErrUnsupported)
	assert.ErrorContains(t, err, "CookieConfig.Revocation")
	assert.ErrorIs(t, m.End(t.Context(), "ann", handle), session.ErrUnsupported)
	assert.ErrorIs(t, m.EndAll(t.Context(), "ann"), session.ErrUnsupported)
	v.Visit(func(s *session.Session) { assert.ErrorIs(t, m.EndOthers(t.Context(), s), session.ErrUnsupported) })
	assert.Equal(t, "ann", kit.UserOf(v))
}

func TestVisitorHasNoOtherSessionsToEnd(t *testing.T) {
	m := kit.NewManager(t, kit.DriverConfig(t, "memory"))
	kit.NewVisitor(t, m).Visit(func(s *session.Session) {
		assert.ErrorIs(t, m.EndOthers(t.Context(), s), session.ErrNoSession)
	})
}

// The sessions of a user on other drivers than the default count too.
func TestSessionsOnAnotherDriverEndToo(t *testing.T) {
	m := kit.NewManager(t, kit.DriverConfig(t, "redis"))
	v := kit.NewVisitor(t, m)
	using := func(s *session.Session) *session.Session {
		other, err := s.Using("memory")
		require.NoError(t, err)
		return other
	}
	v.Visit(func(s *session.Session) { s.Login("ann"); using(s).Login("ann") })
	infos, err := m.Sessions(t.Context(), "ann")
	require.NoError(t, err)
	assert.Len(t, infos, 2)
	require.NoError(t, m.EndAll(t.Context(), "ann"))
	v.Visit(func(s *session.Session) {
		_, ok := using(s).User()
		assert.False(t, ok)
	})
	assert.Empty(t, kit.UserOf(v))
}

// A list and an ending touch each session once.
func TestUserWithAThousandSessionsEndsThemAll(t *testing.T) {
	const sessions = 1000
	for _, name := range []string{"memory", "redis"} {
		t.Run(name, func(t *testing.T) {
			m := kit.NewManager(t, kit.DriverConfig(t, name))
			login := m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { session.FromRequest(r).Login("ann") }))
			for range sessions {
				login.ServeHTTP(discard{}, newGet(t))
			}
			loads := m.Stats()
			infos, err := m.Sessions(t.Context(), "ann")
			require.NoError(t, err)
			assert.Len(t, infos, sessions)
			require.NoError(t, m.EndAll(t.Context(), "ann"))
			assert.Empty(t, kit.Handles(t, m, "ann"))
			assert.Equal(t, loads.Loads, m.Stats().Loads, "listing is no use of a session")
		})
	}
}

// discard is a response that nobody reads.
type discard struct{}

func (discard) Header() http.Header { return http.Header{} }

func (discard) Write(data []byte) (int, error) { return len(data), nil }

func (discard) WriteHeader(int) {}

func newGet(t *testing.T) *http.Request {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://example.com/", nil)
	require.NoError(t, err)
	return r
}

// One operation of a sign-in fails, before redis has done it or after. Nobody may be signed in with a
// session that the list lacks, and the next sign-in succeeds.
func TestSignInThatFailsHalfWayLeavesNoSessionUnlisted(t *testing.T) {
	for _, name := range []string{"redis", "cookie, revoked in redis"} {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, done %v", name, done), func(t *testing.T) {
				cfg := kit.AccountConfig(t, name)
				client := &failingClient{address: net.JoinHostPort(cfg.Redis.Host, strconv.Itoa(cfg.Redis.Port)), done: done}
				cfg.Redis = session.RedisConfig{Namespace: cfg.Redis.Namespace, Options: session.RedisOptions{Client: client}}
				m := kit.NewManager(t, cfg)
				v := kit.NewVisitor(t, m)
				failures := 0
				for step, reached := 1, true; reached; step++ {
					v = v.Stranger()
					v.Visit(func(s *session.Session) { s.Set("cart", 1) })
					user := fmt.Sprint("user ", step)
					client.failAt(step)
					p := v.Visit(func(s *session.Session) { s.Login(user) })
					reached = client.failAt(0)
					if kit.UserOf(v) != "" {
						assert.Equal(t, user, kit.UserOf(v))
						assert.Len(t, kit.Handles(t, m, user), 1)
					} else {
						assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
						failures++
					}
					require.Equal(t, user, loginAnew(v, user))
					require.NoError(t, m.EndAll(t.Context(), user))
					assert.Empty(t, kit.UserOf(v))
				}
				assert.GreaterOrEqual(t, failures, 2, "entering the index, and saving")
			})
		}
	}
}

// A failingClient is a session.RedisClient that breaks one of its operations.
type failingClient struct {
	address string
	done    bool // it breaks after redis has done the operation

	mu     sync.Mutex
	at, n  int
	failed bool
}

// failAt makes the nth operation from now on fail, none if n is 0. It reports whether the operation
// of the last call was reached.
func (c *failingClient) failAt(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	failed := c.failed
	c.at, c.n, c.failed = n, 0, false
	return failed
}

func (c *failingClient) fails() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	c.failed = c.failed || c.n == c.at
	return c.n == c.at
}

func (c *failingClient) Do(_ context.Context, args ...any) (any, error) {
	fails := c.fails()
	if fails && !c.done {
		return nil, errors.New("the connection broke")
	}
	conn, err := redis.Dial("tcp", c.address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	args = slices.Clone(args)
	for i, arg := range args {
		if m, ok := arg.(encoding.BinaryMarshaler); ok {
			if args[i], err = m.MarshalBinary(); err != nil {
				return nil, err
			}
		}
	}
	reply, err := conn.Do(args[0].(string), args[1:]...)
	if fails {
		return nil, errors.New("the connection broke")
	}
	var refusal redis.Error
	if errors.As(err, &refusal) {
		err = redisError(refusal)
	}
	return reply, err
}

// A redisError is an error reply of redis, as session.RedisClient wants it.
type redisError string

func (e redisError) Error() string { return string(e) }
func (e redisError) RedisError()   {}
