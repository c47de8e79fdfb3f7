package session_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

var routes = [][2]string{
	{"cookie", "memory"}, {"cookie", "redis"}, {"memory", "cookie"}, {"memory", "redis"}, {"redis", "cookie"}, {"redis", "memory"},
}

// between makes a site whose sessions are imported from another driver.
func between(t *testing.T, route [2]string, change ...func(*session.Config)) (*kit.Site, *kit.EventBook, *kit.LogBook) {
	t.Helper()
	var events *kit.EventBook
	var log *kit.LogBook
	s := kit.NewSite(t, route[1], append(change, func(c *session.Config) {
		if route[0] == "redis" {
			c.Redis = kit.DriverConfig(t, "redis").Redis
		}
		c.Import, c.ImportUntil = session.FromDriver(route[0]), time.Now().Add(50*24*time.Hour)
		events, log = kit.RecordEvents(c), kit.CaptureLog(c)
	})...)
	return s, events, log
}

// onRoutes runs a test for each pair of drivers.
func onRoutes(t *testing.T, test func(t *testing.T, route [2]string)) {
	for _, route := range routes {
		t.Run(route[0]+" to "+route[1], func(t *testing.T) { test(t, route) })
	}
}

// beginOld begins a session on the driver that had them before.
func beginOld(s *kit.Site, name string, do func(own *session.Session)) string {
	return s.Ask("", func(own *session.Session) {
		old, err := own.Using(name)
		require.NoError(s.T, err)
		do(old)
	}).Next("")
}

func userOf(s *kit.Site, cookies string) (user string) {
	s.Ask(cookies, func(own *session.Session) { user, _ = own.User() })
	return user
}

// handleIn serves one request beside those that its handler sends.
func handleIn(s *kit.Site, cookies string, do func(own *session.Session)) kit.Page {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", cookies)
	w := httptest.NewRecorder()
	s.Manager.Middleware(kit.HTTPHandler(do)).ServeHTTP(w, r)
	return kit.Page{Response: w.Result()}
}

// Handles are shown in lists and logs.
func TestAHandleDoesNotOpenASessionThatHasJustMoved(t *testing.T) {
	for _, from := range []string{"memory", "redis"} {
		s, _, _ := between(t, [2]string{from, map[string]string{"memory": "redis", "redis": "memory"}[from]})
		handle := ""
		cookies := beginOld(s, from, func(own *session.Session) { own.Login("ann") })
		s.Ask(cookies, func(own *session.Session) {
			old, _ := own.Using(from)
			handle = old.Handle()
			own.Set("k", 1)
		})
		name, value, _ := strings.Cut(cookies, "=")
		require.True(t, strings.HasPrefix(value, handle[:len(handle)-1]))
		forged := name + "=" + value[:len(handle)] + strings.Repeat("A", len(value)-len(handle))
		s.Ask(forged, func(own *session.Session) { assert.Empty(t, own.All()) })
	}
}

// Whoever can plant a cookie knows it: it must not name the session of somebody else.
func TestOfSeveralOldCookiesTheOneThatOpensCounts(t *testing.T) {
	s, _, _ := between(t, [2]string{"memory", "redis"})
	planted := beginOld(s, "memory", func(own *session.Session) { own.Set("k", 1) })
	s.Ask(planted, func(own *session.Session) {
		old, _ := own.Using("memory")
		old.Destroy()
	})
	for _, other := range []string{planted, "s_memory=garbage"} {
		cookies := beginOld(s, "memory", func(own *session.Session) { own.Login("ann") })
		s.Clock.Advance(time.Minute)
		p := s.Ask(other+"; "+cookies, func(own *session.Session) { own.Set("k", 2) })
		assert.Equal(t, "ann", userOf(s, p.Next("")))
		s.Ask(other, func(own *session.Session) { assert.Empty(t, own.All()) })
	}
}

// The cookie of the new session cannot be sent any more.
func TestSaveAfterTheHeaderMovesNothing(t *testing.T) {
	onImporting(t, func(t *testing.T, s *kit.Site, old *oldLibrary) {
		s.Visit(annsCookie, func(w http.ResponseWriter, _ *http.Request, own *session.Session) {
			own.Get("cart")
			w.WriteHeader(http.StatusOK)
			assert.NoError(t, own.Save())
		})
		assert.True(t, old.holds("ann's"))
		assert.Zero(t, s.Manager.Stats().Imported)
		assert.Equal(t, "ann", userOf(s, annsCookie))
	})
}

func TestASignOutAfterTheHeaderEndsTheOldSession(t *testing.T) {
	for _, opened := range []bool{true, false} {
		onImporting(t, func(t *testing.T, s *kit.Site, old *oldLibrary) {
			s.Visit(annsCookie, func(w http.ResponseWriter, _ *http.Request, own *session.Session) {
				if opened {
					own.Open()
				}
				w.WriteHeader(http.StatusOK)
				own.Logout()
			})
			assert.False(t, old.holds("ann's"), "opened: %v", opened)
		})
	}
}

// A request that was under way during a sign-out brings nobody back, however long it takes.
func TestASlowRequestDoesNotReviveASignedOutSession(t *testing.T) {
	for name, signOut := range map[string]func(s *kit.Site){
		"before it moved": func(s *kit.Site) { s.Ask(annsCookie, (*session.Session).Logout) },
		"opened": func(s *kit.Site) {
			s.Ask(annsCookie, func(own *session.Session) { own.Open(); own.Logout() })
		},
		"after it moved": func(s *kit.Site) {
			p := s.Ask(annsCookie, func(own *session.Session) { own.Set("k", 1) })
			s.Ask(p.Next(""), (*session.Session).Logout)
		},
	} {
		for _, takes := range []time.Duration{0, time.Minute} {
			t.Run(fmt.Sprint(name, ", ", takes), func(t *testing.T) {
				onImporting(t, func(t *testing.T, s *kit.Site, old *oldLibrary) {
					if takes > 0 && !keepsMarks(s) {
						return // a process remembers a session in a cookie for driver.Tombstone
					}
					p := handleIn(s, annsCookie, func(own *session.Session) {
						own.Open()
						signOut(s)
						s.Clock.Advance(takes)
						own.Set("slow", true)
					})
					assert.Empty(t, userOf(s, p.Next("")))
					assert.Nil(t, p.Cookie(s.Cookie))
				})
			})
		}
	}
}

func TestNoStepOfAnHonestUserIsAnUnknownToken(t *testing.T) {
	for name, do := range map[string]func(own *session.Session){
		"a look":                      func(own *session.Session) { own.Get("cart") },
		"a change":                    func(own *session.Session) { own.Set("k", 1) },
		"a sign-out":                  (*session.Session).Logout,
		"a sign-out, opened":          func(own *session.Session) { own.Open(); own.Logout() },
		"a sign-out, then a sign-in":  func(own *session.Session) { own.Open(); own.Logout(); own.Login("ann") },
		"a sign-in of somebody else":  func(own *session.Session) { own.Login("bob") },
		"a sign-in of the same user":  func(own *session.Session) { own.Login("ann") },
		"saved, then another sign-in": func(own *session.Session) { own.Open(); own.Save(); own.Login("bob") },
	} {
		t.Run(name, func(t *testing.T) {
			onImporting(t, func(t *testing.T, s *kit.Site, _ *oldLibrary) {
				s.Ask(annsCookie, do)
				assert.Zero(t, s.Manager.Stats().Unknown)
			})
		})
	}
}

func TestALookAtAnOldSessionIsNoEvent(t *testing.T) {
	var events *kit.EventBook
	s, old := migrating(t, "memory", func(cfg *session.Config) { events = kit.RecordEvents(cfg) })
	old.sessions["ann's"] = session.OldSession{User: "ann"} // its age is not known
	assert.Equal(t, "ann", userOf(s, annsCookie))
	assert.Empty(t, events.Kinds())
}

// A slowLibrary waits until its context ends.
type slowLibrary struct {
	*oldLibrary
	load, remove bool
}

func (l *slowLibrary) Load(ctx context.Context, c *session.OldCookie) (*session.OldSession, error) {
	if l.load {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return l.oldLibrary.Load(ctx, c)
}

func (l *slowLibrary) Remove(ctx context.Context, c *session.OldCookie) error {
	if l.remove {
		<-ctx.Done()
		return ctx.Err()
	}
	return l.oldLibrary.Remove(ctx, c)
}

// Whatever step of a move fails, the next request goes on with it.
func TestAnOutageInAMoveLeavesNoOldCookieThatOpens(t *testing.T) {
	for _, broken := range []string{"load", "save", "end"} {
		t.Run(broken, func(t *testing.T) {
			var store *kit.FaultyDriver
			old := &oldLibrary{stateless: true, sessions: map[string]session.OldSession{"ann's": {User: "ann"}}}
			s := kit.NewSite(t, "memory", func(cfg *session.Config) {
				store = kit.WithFaults(t, cfg)
				cfg.Import, cfg.ImportUntil = old, time.Now().Add(100*24*time.Hour)
			})
			store.Break(broken)
			p := s.Ask(annsCookie, func(own *session.Session) {
				own.Set("k", 1)
				assert.ErrorIs(t, own.Save(), session.ErrUnavailable)
			})
			assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
			assert.Empty(t, p.Cookies())
			store.Mend()
			p = s.Ask(annsCookie, func(own *session.Session) { own.Set("k", 2) })
			require.Equal(t, http.StatusOK, p.StatusCode)
			require.NotNil(t, p.Cookie("s_faulty"))
			assert.NotNil(t, p.Cookie(oldCookieName))
			assert.Equal(t, "ann", userOf(s, p.Next("")))
			s.Clock.Advance(31 * time.Second)
			assert.Empty(t, userOf(s, annsCookie))
			assert.EqualValues(t, 1, s.Manager.Stats().Imported)
		})
	}
}

// The memory and the cookie driver have no I/O of their own to bound.
func TestStoreTimeoutBoundsTheOldStore(t *testing.T) {
	for _, name := range []string{"memory", "cookie", "redis"} {
		var slow slowLibrary
		s, old := migrating(t, name, func(cfg *session.Config) { cfg.StoreTimeout = 500 * time.Millisecond })
		slow.oldLibrary = old
		s.Config.Import, slow.load = &slow, true
		s.Open()
		p := s.Ask(annsCookie, func(own *session.Session) { own.Get("cart") })
		assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode, name)
		slow.load, slow.remove = false, true
		p = s.Ask(annsCookie, func(own *session.Session) { own.Set("k", 1) })
		assert.Equal(t, http.StatusOK, p.StatusCode, name)
		assert.Equal(t, "ann", userOf(s, p.Next("")), name)
	}
}

// After a roll-back, for example, a browser has a cookie of ours whose session is over.
func TestACookieOfOursThatOpensNothingHidesNoOldSession(t *testing.T) {
	onImporting(t, func(t *testing.T, s *kit.Site, _ *oldLibrary) {
		cookies := s.SignIn() + "; " + annsCookie
		s.Clock.Advance(2 * time.Hour)
		p := s.Ask(cookies, func(own *session.Session) { own.Set("k", 1) })
		assert.Equal(t, "ann", userOf(s, p.Next(cookies)))
	})
}

func TestAnOldSessionEndsNoLaterThanItSays(t *testing.T) {
	s, old := migrating(t, "memory", func(cfg *session.Config) { cfg.IdleTimeout = 24 * time.Hour })
	now := s.Clock.Now()
	old.sessions["ann's"] = session.OldSession{User: "ann", CreatedAt: now.Add(-time.Hour), ExpiresAt: now.Add(5 * time.Hour)}
	p := s.Ask(annsCookie, func(own *session.Session) {
		assert.WithinDuration(t, now.Add(-time.Hour), own.AuthenticatedAt(), time.Second)
		own.Set("k", 1)
	})
	s.Clock.Advance(5*time.Hour - time.Minute)
	assert.Equal(t, "ann", userOf(s, p.Next("")))
	s.Clock.Advance(2 * time.Minute)
	assert.Empty(t, userOf(s, p.Next("")))
}

// Reading moves nothing, so the driver that has the session notes the use.
func TestWhoOnlyReadsStaysSignedInBeforeTheMove(t *testing.T) {
	for _, lockAfter := range []time.Duration{0, 20 * time.Minute} {
		onRoutes(t, func(t *testing.T, route [2]string) {
			s, events, _ := between(t, route, func(cfg *session.Config) { cfg.LockAfter = lockAfter })
			cookies := beginOld(s, route[0], func(own *session.Session) { own.Login("ann") })
			for range 8 {
				s.Clock.Advance(15 * time.Minute)
				user := ""
				p := s.Ask(cookies, func(own *session.Session) { user, _ = own.User() })
				require.Equal(t, "ann", user)
				cookies = p.Next(cookies)
			}
			assert.Empty(t, events.Of(session.EventImported))
			cookies = s.Ask(cookies, func(own *session.Session) { own.Set("k", 1) }).Next(cookies)
			s.Clock.Advance(15 * time.Minute)
			assert.Equal(t, "ann", userOf(s, cookies))
		})
	}
}

func TestFlashOfAnotherDriverIsShownOnce(t *testing.T) {
	onRoutes(t, func(t *testing.T, route [2]string) {
		s, _, log := between(t, route)
		cookies := beginOld(s, route[0], func(own *session.Session) { own.Login("ann"); own.Flash("note", "hello") })
		p := s.Visit(cookies, func(w http.ResponseWriter, _ *http.Request, own *session.Session) {
			assert.Equal(t, "hello", own.Get("note"))
			fmt.Fprint(w, "<html>")
		})
		s.Ask(p.Next(cookies), func(own *session.Session) {
			user, _ := own.User()
			assert.Equal(t, "ann", user)
			assert.Nil(t, own.Get("note"))
		})
		assert.NotContains(t, log.Text(), "dropped")
		assert.Zero(t, s.Manager.Stats().Unknown)
	})
}

// No response of them may take the session from the browser again.
func TestParallelRequestsMoveASessionBetweenDriversOnce(t *testing.T) {
	onRoutes(t, func(t *testing.T, route [2]string) {
		for _, revocation := range []string{"", "memory"} {
			s, events, _ := between(t, route, func(cfg *session.Config) { cfg.Cookie.Revocation = revocation })
			cookies := beginOld(s, route[0], func(own *session.Session) { own.Login("ann") })
			pages := make([]kit.Page, 16)
			var wg sync.WaitGroup
			for i := range pages {
				wg.Go(func() { pages[i] = handleIn(s, cookies, func(own *session.Session) { own.Increment("n", 1) }) })
			}
			wg.Wait()
			for _, p := range pages {
				require.Equal(t, http.StatusOK, p.StatusCode)
				if p.Cookie(s.Cookie) != nil {
					assert.Equal(t, "ann", userOf(s, p.Next("")))
				}
			}
			imported, ended := events.Of(session.EventImported), events.Of(session.EventEnded)
			assert.NotEmpty(t, imported)
			assert.NotEmpty(t, ended)
			if revocation != "" || route[0] != "cookie" && route[1] != "cookie" { // else no server puts them in order
				assert.Len(t, imported, 1)
				assert.Len(t, ended, 1)
			}
			assert.Zero(t, s.Manager.Stats().Unknown)
		}
	})
}

func TestASignOutTellsTheReasonOfTheOtherDriver(t *testing.T) {
	s, events, _ := between(t, [2]string{"memory", "redis"})
	cookies := beginOld(s, "memory", func(own *session.Session) { own.Login("ann") })
	s.Ask(cookies, (*session.Session).Logout)
	ended := events.Of(session.EventEnded)
	require.Len(t, ended, 1)
	assert.Equal(t, "logout", ended[0].Reason)
	assert.Equal(t, "ann", ended[0].User)
}

func TestAnOldSessionIsNotPrinted(t *testing.T) {
	old := session.OldSession{User: "ann@example.org", Values: map[string]any{"card": "4111"}}
	encoded, err := json.Marshal(old)
	require.NoError(t, err)
	for _, text := range []string{fmt.Sprintf("%+v", old), fmt.Sprintf("%#v", &old), string(encoded)} {
		assert.NotContains(t, text, "ann")
		assert.NotContains(t, text, "4111")
	}
}
