package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"expvar"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/casstore"
	"example.com/session/internal/redistest"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// accountDrivers are the ways in which the sessions of a user can be kept track of.
var accountDrivers = []string{"memory", "redis", "store", "cookie, revoked in memory", "cookie, revoked in redis"}

// eachAccountDriver runs a test on each of them.
func eachAccountDriver(t *testing.T, test func(t *testing.T, cfg session.Config)) {
	t.Helper()
	for _, name := range accountDrivers {
		t.Run(name, func(t *testing.T) { test(t, accountConfig(t, name)) })
	}
}

func accountConfig(t *testing.T, name string) session.Config {
	t.Helper()
	switch name {
	case "store":
		cfg := driverConfig(t, "memory")
		cfg.Default, cfg.Drivers = "store", map[string]session.Driver{"store": session.StoreDriver(new(casstore.Store))}
		return cfg
	case "cookie, revoked in memory":
		cfg := driverConfig(t, "cookie")
		cfg.Cookie.Revocation = "memory"
		return cfg
	case "cookie, revoked in redis":
		cfg := driverConfig(t, "redis")
		cfg.Default, cfg.Cookie.Revocation = "cookie", "redis"
		return cfg
	}
	return driverConfig(t, name)
}

// login signs a visitor in and returns the handle of its session.
func (v *visitor) login(user string, hints ...string) (handle string) {
	v.t.Helper()
	v.visit(func(s *session.Session) {
		s.Login(user)
		for i := 0; i+1 < len(hints); i += 2 {
			s.Describe(map[string]string{hints[i]: hints[i+1]})
		}
	})
	v.visit(func(s *session.Session) {
		handle = s.Handle()
		got, ok := s.User()
		assert.True(v.t, ok, "the sign-in was not stored: %v", s.Err())
		assert.Equal(v.t, user, got)
	})
	return handle
}

// user returns who is signed in, "" for nobody.
func (v *visitor) user() (user string) {
	v.t.Helper()
	v.visit(func(s *session.Session) { user, _ = s.User() })
	return user
}

func handles(t *testing.T, m *session.Manager, user string) []string {
	t.Helper()
	infos, err := m.Sessions(t.Context(), user)
	require.NoError(t, err)
	found := []string{}
	for _, info := range infos {
		found = append(found, info.Handle)
	}
	slices.Sort(found)
	return found
}

// R8: ASVS 7.2.4.
func TestTokenFromBeforeTheSignInOpensNothing(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) { s.Set("cart", 3) })
		planted := v.cookieHeader()
		first := v.login("ann")
		v.visit(func(s *session.Session) { assert.Equal(t, 3, s.GetInt("cart"), "a visitor's data stays") })
		again := v.cookieHeader()
		second := v.login("ann")
		assert.NotEqual(t, first, second, "signing in again is a new session, too")

		thief := v.stranger()
		for _, old := range []string{planted, again} {
			thief.visit(func(s *session.Session) {
				_, ok := s.User()
				assert.False(t, ok)
				assert.True(t, s.IsNew())
			}, "Cookie", old)
		}
		assert.Equal(t, []string{second}, handles(t, m, "ann"))
	})
}

// R10, C17: ASVS 7.4.1.
func TestCopyOfACookieDoesNotOpenAfterLogout(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		c := setClock(m)
		v := newVisitor(t, m)
		v.login("ann")
		copied := v.cookieHeader()
		p := v.visit(func(s *session.Session) { s.Logout() })
		require.NotNil(t, p.cookie("s_"+cfg.Default), "the browser is told")
		assert.Negative(t, p.cookie("s_"+cfg.Default).MaxAge)
		thief := v.stranger()
		for _, later := range []time.Duration{0, session.Tombstone + time.Second, time.Minute} {
			c.advance(later)
			thief.visit(func(s *session.Session) {
				_, ok := s.User()
				assert.False(t, ok)
				assert.Empty(t, s.All())
			}, "Cookie", copied)
		}
		assert.Empty(t, handles(t, m, "ann"))
	})
}

// A sign-out does not need to open the session first, and ends it all the same.
func TestLogoutOfASessionThatWasNotOpenedHolds(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		c := setClock(m)
		v := newVisitor(t, m)
		v.login("ann")
		copied := v.cookieHeader()
		c.advance(time.Minute)
		v.visit(func(s *session.Session) { s.Logout() })
		c.advance(time.Minute)
		v.stranger().visit(func(s *session.Session) { assert.True(t, s.IsNew()) }, "Cookie", copied)
		assert.Empty(t, handles(t, m, "ann"))
	})
}

// R13: ASVS 7.5.2.
func TestUserSeesEachOfItsSessions(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		c := setClock(m)
		phone := newVisitor(t, m)
		phoneHandle := phone.login("ann", "agent", "phone")
		c.advance(20 * time.Second)
		laptop := phone.stranger()
		laptopHandle := laptop.login("ann", "agent", "laptop")
		phone.stranger().login("bob")
		c.advance(20 * time.Second)
		phone.visit(func(s *session.Session) { s.Set("page", 2) })
		used := c.now()

		infos, err := m.Sessions(t.Context(), "ann")
		require.NoError(t, err)
		require.Len(t, infos, 2)
		assert.Equal(t, phoneHandle, infos[0].Handle, "the last used is first")
		assert.Equal(t, map[string]string{"agent": "phone"}, infos[0].Hints)
		assert.Equal(t, cfg.Default, infos[0].Driver)
		assert.Equal(t, used, infos[0].UsedAt)
		assert.Equal(t, used.Add(-40*time.Second), infos[0].CreatedAt)
		assert.Equal(t, used.Add(-40*time.Second), infos[0].AuthenticatedAt)
		assert.True(t, infos[0].ExpiresAt.After(used.Add(55*time.Minute)))
		assert.Equal(t, laptopHandle, infos[1].Handle)
		assert.Equal(t, map[string]string{"agent": "laptop"}, infos[1].Hints)

		phone.visit(func(s *session.Session) { s.Describe(map[string]string{"agent": "phone", "place": "Oslo"}) })
		infos, err = m.Sessions(t.Context(), "ann")
		require.NoError(t, err)
		assert.Equal(t, map[string]string{"agent": "phone", "place": "Oslo"}, infos[0].Hints)
		none, err := m.Sessions(t.Context(), "nobody")
		require.NoError(t, err)
		assert.Equal(t, []session.Info{}, none)
	})
}

// A list that counted as use would keep a thief's session alive.
func TestListOfSessionsIsNoUseOfThem(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		c := setClock(m)
		v := newVisitor(t, m)
		v.login("ann")
		for range 7 {
			c.advance(10 * time.Minute)
			handles(t, m, "ann")
		}
		assert.Empty(t, v.user())
		if cfg.Default != "cookie" { // whose stand-in idles a tenth longer
			assert.Empty(t, handles(t, m, "ann"))
		}
	})
}

func TestEndedSessionIsOutAtItsNextRequest(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		phone := newVisitor(t, m)
		phone.login("ann")
		laptop := phone.stranger()
		lost := laptop.login("ann")
		require.NoError(t, m.End(t.Context(), "ann", lost))
		assert.Empty(t, laptop.user())
		assert.Equal(t, "ann", phone.user())
		assert.NotContains(t, handles(t, m, "ann"), lost)
		assert.ErrorIs(t, m.End(t.Context(), "ann", lost), session.ErrNoSession, "it is ended already")
		assert.Equal(t, "ann", laptop.loginAnew("ann"), "and the browser can sign in again")
	})
}

func (v *visitor) loginAnew(user string) string {
	v.login(user)
	return v.user()
}

// C15: CVE-2017-18878.
func TestNobodyEndsASessionOfSomebodyElse(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		v := newVisitor(t, m)
		handle := v.login("ann")
		v.stranger().login("bob")
		for _, user := range []string{"bob", "", "ann ", "Ann"} {
			assert.ErrorIs(t, m.End(t.Context(), user, handle), session.ErrNoSession)
		}
		for _, wrong := range []string{"", "!", handle[1:], handle + "A"} {
			assert.ErrorIs(t, m.End(t.Context(), "ann", wrong), session.ErrNoSession)
		}
		assert.Equal(t, "ann", v.user())
	})
}

// R11, R12: ASVS 7.4.2, 7.4.3, 7.4.5.
func TestAllSessionsOfAUserEndInOneCall(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		phone := newVisitor(t, m)
		laptop, bob := phone.stranger(), phone.stranger()
		phone.login("ann")
		laptop.login("ann")
		bob.login("bob")

		var kept string
		laptop.visit(func(s *session.Session) {
			assert.NoError(t, m.EndOthers(t.Context(), s))
			kept = s.Handle()
		})
		assert.Empty(t, phone.user())
		assert.Equal(t, "ann", laptop.user())
		assert.Equal(t, []string{kept}, handles(t, m, "ann"))
		laptop.visit(func(s *session.Session) { s.Regenerate() })
		assert.Equal(t, "ann", laptop.user(), "the one that is kept goes on as before")

		phone.login("ann")
		require.NoError(t, m.EndAll(t.Context(), "ann"))
		assert.Empty(t, phone.user())
		assert.Empty(t, laptop.user())
		assert.Empty(t, handles(t, m, "ann"))
		assert.Equal(t, "bob", bob.user())
		assert.Equal(t, "ann", phone.loginAnew("ann"))
	})
}

// A handler signs the user in, or changes the password, and ends all other sessions.
func TestSignInAndEndingInOneRequestKeepsTheNewSession(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		c := setClock(m)
		v := newVisitor(t, m)
		other := v.stranger()
		for name, do := range map[string]func(s *session.Session){
			"sign-in, then others": func(s *session.Session) {
				s.Login("ann")
				c.advance(time.Second)
				assert.NoError(t, m.EndOthers(t.Context(), s))
			},
			"all, then sign-in": func(s *session.Session) {
				assert.NoError(t, m.EndAll(t.Context(), "ann"))
				s.Login("ann")
			},
			"sign-in again, then others": func(s *session.Session) {
				s.Login("ann")
				c.advance(time.Second)
				assert.NoError(t, m.EndOthers(t.Context(), s))
				s.Regenerate()
			},
		} {
			c.advance(time.Minute)
			other.login("ann")
			c.advance(time.Second)
			v.visit(do)
			assert.Equal(t, "ann", v.user(), name)
			assert.Empty(t, other.user(), name)
		}
	})
}

// The password was checked before it was changed; the session must not outlive the change.
func TestSignInUnderWayFailsWhenAllSessionsEnd(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		c := setClock(m)
		thief := newVisitor(t, m)
		thief.visit(func(s *session.Session) {
			s.Login("ann")
			c.advance(time.Millisecond)
			assert.NoError(t, m.EndAll(context.Background(), "ann"))
		})
		assert.Empty(t, thief.user())
		assert.Empty(t, handles(t, m, "ann"))
	})
}

// A session that ends while it gets a new token must not go on under that.
func TestRegenerateDoesNotSaveASessionFromBeingEnded(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		c := setClock(m)
		v := newVisitor(t, m)
		v.login("ann")
		c.advance(time.Minute)
		v.visit(func(s *session.Session) {
			s.Regenerate()
			s.Set("own", 1)
			assert.NoError(t, m.EndAll(context.Background(), "ann"))
			c.advance(time.Millisecond)
		})
		assert.Empty(t, v.user())
		assert.Empty(t, handles(t, m, "ann"))
	})
}

// Whatever comes in between: a user whose sessions were all ended has no session from before.
func TestNoSignInOutlivesTheEndingOfAll(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		server := newBrowser(t, routes{
			"/login":      func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Login("ann") },
			"/regenerate": func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Regenerate() },
			"/user": func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
				user, _ := s.User()
				fmt.Fprint(w, user)
			},
		}.under(m))
		for range 6 {
			var clients sync.WaitGroup
			browsers := make([]*browser, 6)
			for i := range browsers {
				browsers[i] = server.another()
				browsers[i].get("/login")
				clients.Go(func() {
					for range 4 {
						browsers[i].get("/regenerate")
					}
				})
			}
			assert.NoError(t, m.EndAll(t.Context(), "ann"))
			clients.Wait()
			for _, b := range browsers {
				assert.Empty(t, b.get("/user").body)
			}
			assert.Empty(t, handles(t, m, "ann"))
		}
	})
}

// R20: ASVS 7.1.2.
func TestUserHasAtMostSoManySessions(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.MaxPerUser = 2
		m := newManager(t, cfg)
		c := setClock(m)
		first := newVisitor(t, m)
		second, third := first.stranger(), first.stranger()
		first.login("ann")
		c.advance(time.Second)
		second.login("ann")
		c.advance(time.Second)
		first.login("ann") // takes no room: it replaces its own
		c.advance(time.Second)
		first.visit(func(s *session.Session) { s.Regenerate() })
		third.stranger().login("bob")
		assert.Len(t, handles(t, m, "ann"), 2)
		c.advance(time.Second)
		third.login("ann")
		assert.Len(t, handles(t, m, "ann"), 2)
		assert.Equal(t, "ann", first.user())
		assert.Empty(t, second.user(), "the one that was signed in first ends")
		assert.Equal(t, "ann", third.user())
	})
}

func TestSignInThatIsOneTooManyIsRefused(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.MaxPerUser, cfg.AtMaxPerUser = 1, session.RefuseNew
		failed := recordFailures(&cfg)
		m := newManager(t, cfg)
		c := setClock(m)
		first := newVisitor(t, m)
		second := first.stranger()
		first.login("ann")
		second.visit(func(s *session.Session) { s.Set("cart", 1) })

		p := second.visit(func(s *session.Session) { s.Login("ann") })
		assert.Equal(t, http.StatusForbidden, p.StatusCode)
		assert.ErrorIs(t, failed.last(), session.ErrTooManySessions)
		p = second.visit(func(s *session.Session) {
			s.Login("ann")
			assert.ErrorIs(t, s.Save(), session.ErrTooManySessions)
			_, ok := s.User()
			assert.False(t, ok)
			s.Flash("error", "you are signed in elsewhere")
		})
		assert.Equal(t, http.StatusOK, p.StatusCode, "a handler that asks can say so itself")
		second.visit(func(s *session.Session) {
			assert.Equal(t, "you are signed in elsewhere", s.Get("error"))
			assert.Equal(t, 1, s.GetInt("cart"), "the visitor's session is as it was")
		})
		assert.Equal(t, "ann", first.user())

		c.advance(2 * time.Hour) // the first one has idled out: it takes no room any more
		second.login("ann")
		assert.Len(t, handles(t, m, "ann"), 1)
	})
}

// Sign-ins at once are counted, each of them.
func TestParallelSignInsStayWithinTheLimit(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.MaxPerUser, cfg.AtMaxPerUser = 3, session.RefuseNew
		m := newManager(t, cfg)
		server := newBrowser(t, routes{"/": func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Login("ann") }}.under(m))
		var clients sync.WaitGroup
		for range 12 {
			b := server.another()
			clients.Go(func() { b.get("/") })
		}
		clients.Wait()
		assert.Len(t, handles(t, m, "ann"), 3)
	})
}

func TestDataOfOneUserIsNotSeenByTheNext(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		v := newVisitor(t, m)
		v.login("ann")
		v.visit(func(s *session.Session) { s.Set("letters", "secret"); s.Flash("note", "for ann") })
		v.visit(func(s *session.Session) { s.Login("bob"); s.Set("hello", "bob") })
		v.visit(func(s *session.Session) { assert.Equal(t, map[string]any{"hello": "bob"}, s.All()) })
		assert.Empty(t, handles(t, m, "ann"))
		assert.Len(t, handles(t, m, "bob"), 1)
	})
}

// R15, R16: ASVS 7.3.2, NIST SP 800-63B-4 section 5.2.
func TestOnlyASignInStartsTheLifetimeAnew(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.Lifetime, cfg.IdleTimeout = 3*time.Hour, 2*time.Hour
		m := newManager(t, cfg)
		c := setClock(m)
		v := newVisitor(t, m)
		v.login("ann")
		for range 2 {
			c.advance(time.Hour)
			v.visit(func(s *session.Session) { s.Regenerate() })
		}
		require.Equal(t, "ann", v.user())
		c.advance(time.Hour)
		assert.Empty(t, v.user(), "no Regenerate extends a sign-in")

		v.login("ann")
		c.advance(2*time.Hour - time.Second)
		v.login("ann")
		c.advance(2*time.Hour - time.Second)
		assert.Equal(t, "ann", v.user(), "another sign-in does")
	})
}

// R19: ASVS 7.5.1, 7.5.3.
func TestSessionSaysHowFreshTheSignInIs(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		c := setClock(m)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) {
			assert.Zero(t, s.AuthenticatedAt())
			assert.False(t, s.FreshWithin(time.Hour))
		})
		v.login("ann")
		at := c.now()
		c.advance(10 * time.Minute)
		v.visit(func(s *session.Session) { s.Regenerate() })
		v.visit(func(s *session.Session) {
			assert.Equal(t, at, s.AuthenticatedAt())
			assert.True(t, s.FreshWithin(10*time.Minute))
			assert.False(t, s.FreshWithin(10*time.Minute-time.Millisecond))
		})
	})
}

// R18: NIST SP 800-63B-4, section 2.2.3.
func TestUserWhoWasAwayHasToSignInAgain(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.LockAfter, cfg.IdleTimeout = 15*time.Minute, 4*time.Hour
		m := newManager(t, cfg)
		c := setClock(m)
		v := newVisitor(t, m)
		v.login("ann")
		v.visit(func(s *session.Session) { s.Set("draft", "half a letter") })
		for range 4 {
			c.advance(10 * time.Minute)
			require.Equal(t, "ann", v.user(), "who is active stays signed in")
		}
		c.advance(15 * time.Minute)
		for range 3 { // asking does not unlock it
			v.visit(func(s *session.Session) {
				_, ok := s.User()
				assert.False(t, ok)
				assert.False(t, s.FreshWithin(time.Hour))
				user, locked := s.Locked()
				assert.Equal(t, "ann", user)
				assert.True(t, locked)
			})
			v.visit(func(s *session.Session) { s.Regenerate(); s.Flash("note", "sign in, please") })
			c.advance(time.Minute)
		}
		v.login("ann")
		v.visit(func(s *session.Session) {
			assert.Equal(t, "half a letter", s.Get("draft"))
			_, locked := s.Locked()
			assert.False(t, locked)
		})
	})
}

func TestImpossibleSignInFailsTheRequest(t *testing.T) {
	for name, do := range map[string]func(s *session.Session){
		"no user":     func(s *session.Session) { s.Login("") },
		"a long user": func(s *session.Session) { s.Login(string(make([]byte, 256))) },
		"too many hints": func(s *session.Session) {
			s.Describe(map[string]string{"agent": string(make([]byte, 1024))})
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVisitor(t, newManager(t, driverConfig(t, "memory")))
			p := v.visit(func(s *session.Session) { s.Set("a", 1); do(s) })
			assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
			assert.Empty(t, p.Cookies())
		})
	}
	cfg := driverConfig(t, "memory")
	cfg.Memory.ByClientIP = true
	p := newVisitor(t, newManager(t, cfg)).visit(func(s *session.Session) { s.Login("ann") })
	assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
}

// Without something on a server, a promise could not be kept, and is not given.
func TestCookieDriverAloneListsAndEndsNothing(t *testing.T) {
	m := newManager(t, driverConfig(t, "cookie"))
	v := newVisitor(t, m)
	v.login("ann")
	_, err := m.Sessions(t.Context(), "ann")
	assert.ErrorIs(t, err, session.ErrUnsupported)
	assert.ErrorContains(t, err, "CookieConfig.Revocation")
	assert.ErrorIs(t, m.End(t.Context(), "ann", "x"), session.ErrUnsupported)
	assert.ErrorIs(t, m.EndAll(t.Context(), "ann"), session.ErrUnsupported)
	v.visit(func(s *session.Session) { assert.ErrorIs(t, m.EndOthers(t.Context(), s), session.ErrUnsupported) })
	assert.Equal(t, "ann", v.user())
}

func TestVisitorHasNoOtherSessionsToEnd(t *testing.T) {
	m := newManager(t, driverConfig(t, "memory"))
	newVisitor(t, m).visit(func(s *session.Session) {
		assert.ErrorIs(t, m.EndOthers(t.Context(), s), session.ErrNoSession)
	})
}

// Sessions on another driver than the default are the user's too.
func TestSessionsOnAnotherDriverEndToo(t *testing.T) {
	m := newManager(t, driverConfig(t, "redis"))
	v := newVisitor(t, m)
	using := func(s *session.Session) *session.Session {
		other, err := s.Using("memory")
		require.NoError(t, err)
		return other
	}
	v.visit(func(s *session.Session) { s.Login("ann"); using(s).Login("ann") })
	infos, err := m.Sessions(t.Context(), "ann")
	require.NoError(t, err)
	assert.Len(t, infos, 2)
	require.NoError(t, m.EndAll(t.Context(), "ann"))
	v.visit(func(s *session.Session) {
		_, ok := using(s).User()
		assert.False(t, ok)
	})
	assert.Empty(t, v.user())
}

// Reset and Flush clear what the application stored; who is signed in is not part of it.
func TestFlushLeavesTheUserSignedIn(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.login("ann", "agent", "phone")
		v.visit(func(s *session.Session) { s.Set("a", 1); s.Flush() })
		assert.Equal(t, "ann", v.user())
	})
}

// 10,000 sessions of one user: a list and an ending touch each of them once.
func TestUserWithTenThousandSessionsEndsThemAll(t *testing.T) {
	const sessions = 10_000
	for _, name := range []string{"memory", "redis"} {
		t.Run(name, func(t *testing.T) {
			m := newManager(t, driverConfig(t, name))
			login := m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { session.FromRequest(r).Login("ann") }))
			for range sessions {
				login.ServeHTTP(discard{}, newGet(t))
			}
			loads := m.Stats()
			infos, err := m.Sessions(t.Context(), "ann")
			require.NoError(t, err)
			assert.Len(t, infos, sessions)
			require.NoError(t, m.EndAll(t.Context(), "ann"))
			assert.Empty(t, handles(t, m, "ann"))
			assert.Equal(t, loads.Loads, m.Stats().Loads, "a list is no use")
		})
	}
}

// discard is a response that nobody reads.
type discard struct{}

func (discard) Header() http.Header            { return http.Header{} }
func (discard) Write(data []byte) (int, error) { return len(data), nil }
func (discard) WriteHeader(int)                {}

func newGet(t *testing.T) *http.Request {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://example.com/", nil)
	require.NoError(t, err)
	return r
}

// What another process ends is noticed within the window, and not asked for more often.
func TestRevocationIsNoticedWithinItsWindow(t *testing.T) {
	cfg := accountConfig(t, "cookie, revoked in redis")
	cfg.Cookie.RevocationWindow = 30 * time.Second
	here, there := newManager(t, cfg), newManager(t, cfg)
	c := setClock(here)
	there.SetClock(c.now)
	v := newVisitor(t, here)
	handle := v.login("ann")
	c.advance(time.Second)
	require.Equal(t, "ann", v.user())
	require.NoError(t, there.End(t.Context(), "ann", handle))
	c.advance(28 * time.Second)
	assert.Equal(t, "ann", v.user(), "not asked for yet")
	c.advance(2 * time.Second)
	assert.Empty(t, v.user())
	p := v.visit(func(s *session.Session) { assert.True(t, s.IsNew()) })
	assert.Empty(t, p.Cookies())
}

// While nobody can tell whether a session was ended, it is not opened; visitors go on.
func TestRevocationThatCannotBeAskedMakesASessionUnavailable(t *testing.T) {
	cfg := accountConfig(t, "cookie, revoked in redis")
	server := redistest.Start(t)
	cfg.Redis.Host, cfg.Redis.Port = server.Host(), server.Port()
	m := newManager(t, cfg)
	c := setClock(m)
	v := newVisitor(t, m)
	v.login("ann")
	server.Stop()
	require.Equal(t, "ann", v.user(), "it was asked for a moment ago")
	c.advance(11 * time.Second)
	p := v.visit(func(s *session.Session) { assert.ErrorIs(t, s.Open(), session.ErrUnavailable) })
	assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
	p = v.visit(func(s *session.Session) { s.Logout() })
	assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode, "a sign-out that does not hold is none")
	assert.Nil(t, p.cookie("s_cookie"))
	assert.ErrorIs(t, m.Ping(t.Context()), session.ErrUnavailable)
	guest := v.stranger()
	p = guest.visit(func(s *session.Session) { s.Set("a", 1) })
	assert.Equal(t, http.StatusOK, p.StatusCode)
	guest.visit(func(s *session.Session) { assert.Equal(t, 1, s.GetInt("a")) })
	p = guest.visit(func(s *session.Session) { s.Login("bob") })
	assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
}

// The list of a user goes with the sessions, and no key is ever without an expiry.
func TestListOfSessionsCleansItself(t *testing.T) {
	cfg := driverConfig(t, "redis")
	server := redistest.Start(t)
	cfg.Redis.Host, cfg.Redis.Port, cfg.Lifetime = server.Host(), server.Port(), 2*time.Hour
	m := newManager(t, cfg)
	c := setClock(m)
	v := newVisitor(t, m)
	for range 5 {
		v.stranger().login("ann")
		c.advance(time.Minute)
	}
	for key, ttl := range server.TTLs(t) {
		assert.Positive(t, ttl, key)
		assert.LessOrEqual(t, ttl, 2*time.Hour, key)
	}
	conn := server.Conn(t)
	index := cfg.Redis.Namespace + ":user:" + session.IndexKey("s_redis", "ann")
	count := func() int {
		n, err := redis.Int(conn.Do("ZCARD", index))
		require.NoError(t, err)
		return n
	}
	require.Equal(t, 5, count())
	c.advance(90 * time.Minute) // all have idled out, and the first reaches its lifetime in half an hour
	assert.Empty(t, handles(t, m, "ann"))
	assert.Equal(t, 0, count(), "what names no session is taken out by whoever looks")
	v.login("ann")
	c.advance(119 * time.Minute)
	v.login("ann")
	c.advance(2 * time.Minute)
	v.stranger().login("ann")
	assert.Equal(t, 2, count())
	require.NoError(t, m.EndAll(t.Context(), "ann"))
	assert.Equal(t, 1, count(), "the mark, for an hour")
	for key, ttl := range server.TTLs(t) {
		assert.Positive(t, ttl, key)
	}
}

func TestMemoryIndexForgetsWhatIsOver(t *testing.T) {
	d := session.NewMemoryDriver(session.MemoryConfig{})
	cfg := driverConfig(t, "memory")
	cfg.Default, cfg.Drivers, cfg.Lifetime = "mine", map[string]session.Driver{"mine": d}, time.Hour
	m := newManager(t, cfg)
	c := setClock(m)
	v := newVisitor(t, m)
	for i := range 40 {
		v.stranger().login(fmt.Sprint("user ", i))
	}
	require.Equal(t, 40, d.IndexEntries())
	c.advance(2 * time.Hour)
	for range 20 { // each looks at three
		v.login("ann")
	}
	assert.Less(t, d.IndexEntries(), 5)
}

// Whichever step of a sign-in fails, before redis has done it or after, nobody is signed in with
// a session that the list lacks, and the next sign-in succeeds.
func TestSignInThatBreaksHalfWayLeavesNothingUnlisted(t *testing.T) {
	for _, base := range []string{"redis", "cookie, revoked in redis"} {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, done %v", base, done), func(t *testing.T) {
				client := &failingClient{RedisClient: session.NewTestClient(redistest.Shared(t).Port()), done: done}
				cfg := accountConfig(t, base)
				cfg.Redis.Options.Client = client
				m := newManager(t, cfg)
				v := newVisitor(t, m)
				failures := 0
				for step := 1; ; step++ {
					v = v.stranger()
					v.visit(func(s *session.Session) { s.Set("cart", 1) })
					user := fmt.Sprint("user ", step)
					client.failAt(step)
					p := v.visit(func(s *session.Session) { s.Login(user) })
					reached := client.failAt(0)
					if v.user() != "" {
						assert.Equal(t, user, v.user())
						assert.Len(t, handles(t, m, user), 1)
					} else {
						assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
						failures++
					}
					require.Equal(t, user, v.loginAnew(user))
					require.NoError(t, m.EndAll(t.Context(), user))
					assert.Empty(t, v.user())
					if !reached {
						break
					}
				}
				assert.GreaterOrEqual(t, failures, 2, "enrolling, storing; to enroll again is tried again")
			})
		}
	}
}

// A failingClient breaks one of the operations that are asked of it.
type failingClient struct {
	session.RedisClient
	done bool // after redis has done it

	mu     sync.Mutex
	at, n  int
	failed bool
}

// failAt makes the nth operation from now on fail, 0 none, and reports whether the last one asked
// for was reached.
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

func (c *failingClient) Eval(ctx context.Context, script session.RedisScript, key string, args []any) ([]string, error) {
	if !c.fails() {
		return c.RedisClient.Eval(ctx, script, key, args)
	}
	if c.done {
		_, _ = c.RedisClient.Eval(ctx, script, key, args)
	}
	return nil, errors.New("the connection broke")
}

// R17: NIST SP 800-63B-4, sections 2.1.3, 2.2.3 and 2.3.3.
func TestPresetsAreThoseOfNIST(t *testing.T) {
	for _, preset := range []struct {
		name           session.Assurance
		lifetime, idle time.Duration
	}{
		{name: session.AAL1, lifetime: 30 * 24 * time.Hour, idle: 30 * 24 * time.Hour},
		{name: session.AAL2, lifetime: 24 * time.Hour, idle: time.Hour},
		{name: session.AAL3, lifetime: 12 * time.Hour, idle: 15 * time.Minute},
	} {
		t.Run(string(preset.name), func(t *testing.T) {
			cfg := driverConfig(t, "memory")
			cfg.Limits = preset.name
			m := newManager(t, cfg)
			c := setClock(m)
			v := newVisitor(t, m)
			v.login("ann")
			c.advance(preset.idle - time.Second)
			assert.Equal(t, "ann", v.user())
			c.advance(preset.idle)
			assert.Empty(t, v.user())
			v.login("ann")
			for end := c.now().Add(preset.lifetime); c.now().Add(preset.idle / 2).Before(end); {
				c.advance(preset.idle / 2)
				require.Equal(t, "ann", v.user())
			}
			c.advance(preset.idle / 2)
			assert.Empty(t, v.user())
		})
	}
}

func TestLimitsLongerThanThePresetAreRefused(t *testing.T) {
	for name, change := range map[string]func(cfg *session.Config){
		"Lifetime":           func(cfg *session.Config) { cfg.Lifetime = 13 * time.Hour },
		"IdleTimeout":        func(cfg *session.Config) { cfg.IdleTimeout = 16 * time.Minute },
		"Memory.IdleTimeout": func(cfg *session.Config) { cfg.Memory.IdleTimeout = time.Hour },
		"LockAfter":          func(cfg *session.Config) { cfg.LockAfter = 15 * time.Minute },
		"Limits":             func(cfg *session.Config) { cfg.Limits = "AAL4" },
		"MaxPerUser":         func(cfg *session.Config) { cfg.MaxPerUser = -1 },
	} {
		cfg := driverConfig(t, "memory")
		cfg.Limits = session.AAL3
		change(&cfg)
		_, err := session.NewManager(cfg)
		assert.ErrorContains(t, err, "Config."+name)
	}
	cfg := driverConfig(t, "memory")
	cfg.Limits = session.AAL3
	v := newVisitor(t, newManager(t, cfg))
	p := v.visit(func(s *session.Session) { s.Login("ann"); s.Remember(24 * time.Hour) })
	assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
	v.visit(func(s *session.Session) { s.Login("ann"); s.Remember(12 * time.Hour) })
	assert.Equal(t, "ann", v.user())
}

// Somebody has to keep the stand-ins who can.
func TestRevocationByADriverThatCannotIsRefused(t *testing.T) {
	for _, name := range []string{"cookie", "elsewhere", "mine"} {
		cfg := driverConfig(t, "cookie")
		cfg.Cookie.Revocation = name
		cfg.Drivers = map[string]session.Driver{"mine": wrappedDriver{session.NewMemoryDriver(session.MemoryConfig{})}}
		_, err := session.NewManager(cfg)
		assert.ErrorContains(t, err, "Cookie.Revocation", name)
	}
	cfg := driverConfig(t, "cookie")
	cfg.MaxPerUser = 3
	_, err := session.NewManager(cfg)
	assert.ErrorContains(t, err, "Config.Cookie.Revocation")
}

// wrappedDriver is a Driver of somebody else's: it keeps no index of users.
type wrappedDriver struct{ session.Driver }

func TestStatsAreAnExpvar(t *testing.T) {
	m := newManager(t, driverConfig(t, "memory"))
	newVisitor(t, m).visit(func(s *session.Session) { s.Set("a", 1) })
	var v expvar.Var = m.Stats()
	var stats session.Stats
	require.NoError(t, json.Unmarshal([]byte(v.String()), &stats))
	assert.Equal(t, uint64(1), stats.Saves)
	assert.Equal(t, m.Stats(), stats)
}

// R54: a page may do without a session, a sign-in may not.
func TestSignInThatCannotBeStoredFailsWhereAVisitorGoesOn(t *testing.T) {
	cfg := driverConfig(t, "redis")
	server := redistest.Start(t)
	cfg.Redis.Host, cfg.Redis.Port = server.Host(), server.Port()
	cfg.AllowAnonymous = func(*http.Request) bool { return true }
	v := newVisitor(t, newManager(t, cfg))
	v.visit(func(s *session.Session) { s.Set("a", 1) })
	server.Stop()
	for _, who := range []*visitor{v, v.stranger()} { // one has a cookie, so its session is looked for
		p := who.visit(func(s *session.Session) { s.Set("a", 2) })
		assert.Equal(t, http.StatusOK, p.StatusCode)
		p = who.visit(func(s *session.Session) { s.Login("ann") })
		assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
		assert.Empty(t, p.Cookies())
	}
}
