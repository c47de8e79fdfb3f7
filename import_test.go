package session_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/hooks"
	"example.com/session/internal/suites/kit"
)

// An oldLibrary keeps sessions under the values of a cookie. A stateless one cannot delete them.
type oldLibrary struct {
	stateless bool
	failure   error // of Load and Remove

	mu       sync.Mutex
	sessions map[string]session.OldSession
	asked    int
}

const oldCookieName = "old"

func (l *oldLibrary) Find(r *http.Request) (*session.OldCookie, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	c, err := r.Cookie(oldCookieName)
	switch {
	case err != nil:
		return nil, nil
	case c.Value == "forged":
		return nil, errors.New("the signature is not ours")
	}
	return &session.OldCookie{ID: c.Value, Expire: []*http.Cookie{{Name: oldCookieName, Path: "/app"}}}, nil
}

func (l *oldLibrary) Load(_ context.Context, c *session.OldCookie) (*session.OldSession, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old, found := l.sessions[c.ID]
	if l.failure != nil || !found {
		return nil, l.failure
	}
	return &old, nil
}

func (l *oldLibrary) Remove(_ context.Context, c *session.OldCookie) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure == nil && !l.stateless {
		delete(l.sessions, c.ID)
	}
	return l.failure
}

func (l *oldLibrary) holds(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, found := l.sessions[id]
	return found
}

func (l *oldLibrary) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

const annsCookie = oldCookieName + "=ann's"

// migrating makes a site whose sessions are imported, and the old library with one session of ann.
func migrating(t *testing.T, name string, change ...func(*session.Config)) (*kit.Site, *oldLibrary) {
	t.Helper()
	old := &oldLibrary{sessions: make(map[string]session.OldSession)}
	s := kit.NewSite(t, name, append(change, func(cfg *session.Config) {
		cfg.Import, cfg.ImportUntil = old, time.Now().Add(100*24*time.Hour)
	})...)
	old.sessions["ann's"] = session.OldSession{
		User: "ann", CreatedAt: s.Clock.Now().Add(-2 * time.Hour), SignedInAt: s.Clock.Now().Add(-time.Hour),
		Values: map[string]any{"cart": []any{"tea", "milk"}, "n": 7},
	}
	return s, old
}

// onImporting runs a test on each driver that can import, and on the cookie driver with Revocation.
func onImporting(t *testing.T, test func(t *testing.T, s *kit.Site, old *oldLibrary), change ...func(*session.Config)) {
	t.Helper()
	for _, name := range []string{"memory", "redis", "store", "cookie", "cookie, revoked"} {
		t.Run(name, func(t *testing.T) {
			driverName, revoked := strings.CutSuffix(name, ", revoked")
			s, old := migrating(t, driverName, append(change, func(cfg *session.Config) {
				if revoked {
					cfg.Cookie.Revocation = "memory"
				}
			})...)
			test(t, s, old)
		})
	}
}

func keepsMarks(s *kit.Site) bool {
	return s.Config.Default != "cookie" || s.Config.Cookie.Revocation != ""
}

func TestALookAtAnOldSessionMovesNothing(t *testing.T) {
	onImporting(t, func(t *testing.T, s *kit.Site, old *oldLibrary) {
		began := s.Clock.Now()
		for range 2 {
			p := s.Ask(annsCookie, func(own *session.Session) {
				assert.Equal(t, map[string]any{"cart": []any{"tea", "milk"}, "n": 7}, own.All())
				user, ok := own.User()
				assert.True(t, ok)
				assert.Equal(t, "ann", user)
				assert.False(t, own.IsNew())
				assert.WithinDuration(t, began.Add(-2*time.Hour), own.CreatedAt(), time.Second)
				assert.WithinDuration(t, began.Add(-time.Hour), own.AuthenticatedAt(), time.Second)
				assert.NoError(t, own.Reload())
			})
			assert.Empty(t, p.Cookies())
			s.Clock.Advance(40 * time.Minute) // the first use is noted, but not of an old session
		}
		assert.True(t, old.holds("ann's"))
		assert.Zero(t, s.Stored())
		assert.Zero(t, s.Manager.Stats().Imported)
	})
}

func TestAnOldSessionMovesWithItsFirstChange(t *testing.T) {
	changes := map[string]func(own *session.Session){
		"set":        func(own *session.Session) { own.Set("added", true) },
		"save":       func(own *session.Session) { assert.NoError(t, own.Save()) },
		"login":      func(own *session.Session) { own.Login("ann") },
		"regenerate": (*session.Session).Regenerate,
		"flash":      func(own *session.Session) { own.Flash("f", "x") },
	}
	onImporting(t, func(t *testing.T, s *kit.Site, old *oldLibrary) {
		for name, change := range changes {
			id := name + s.Config.Default
			old.set(func() { old.sessions[id] = old.sessions["ann's"] })
			p := s.Ask(oldCookieName+"="+id, func(own *session.Session) {
				own.Open()
				change(own)
			})
			require.NotNil(t, p.Cookie(s.Cookie), name)
			expired := p.Cookie(oldCookieName)
			require.NotNil(t, expired, name)
			assert.Equal(t, "/app", expired.Path)
			assert.Negative(t, expired.MaxAge)
			assert.False(t, old.holds(id), name)
			s.Ask(p.Next(""), func(own *session.Session) {
				user, _ := own.User()
				assert.Equal(t, "ann", user, name)
				assert.Equal(t, []any{"tea", "milk"}, own.Get("cart"), name)
				assert.Equal(t, name == "set", own.Has("added"))
			})
		}
		assert.EqualValues(t, len(changes), s.Manager.Stats().Imported)
	})
}

func TestAMoveIsAnEventWithUserAndHandle(t *testing.T) {
	var events *kit.EventBook
	s, _ := migrating(t, "memory", func(cfg *session.Config) { events = kit.RecordEvents(cfg) })
	handle := ""
	s.Ask(annsCookie, func(own *session.Session) { own.Set("k", 1); handle = own.Handle() })
	imported := events.Of(session.EventImported)
	require.Len(t, imported, 1)
	assert.Equal(t, session.Event{
		Kind: session.EventImported, Time: imported[0].Time, Driver: "memory", Handle: handle, User: "ann",
	}, imported[0])
}

// All that are sent before the browser has the new cookie find the session, those that come when the old
// one is deleted too.
func TestParallelRequestsMakeOneSessionOfAnOldOne(t *testing.T) {
	onImporting(t, func(t *testing.T, s *kit.Site, old *oldLibrary) {
		old.stateless = s.Config.Default == "cookie" // else those that come after the move find nothing
		handler := s.Manager.Middleware(kit.HTTPHandler(func(own *session.Session) {
			user, _ := own.User()
			assert.Equal(t, "ann", user)
			own.Increment("visits", 1)
		}))
		var wg sync.WaitGroup
		pages := make([]kit.Page, 64)
		for i := range pages {
			wg.Go(func() {
				r := httptest.NewRequest(http.MethodGet, "/", nil)
				r.Header.Set("Cookie", annsCookie)
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				pages[i] = kit.Page{Response: w.Result()}
			})
		}
		wg.Wait()
		values := make(map[string]int)
		for _, p := range pages {
			require.Equal(t, http.StatusOK, p.StatusCode)
			values[identityOf(s, p)]++
			var visits int
			s.Ask(p.Next(""), func(own *session.Session) { visits = own.GetInt("visits") })
			if s.Config.Default != "cookie" {
				assert.Equal(t, 64, visits)
			}
		}
		assert.Len(t, values, 1, "all responses bring the same session")
		if keepsMarks(s) {
			assert.EqualValues(t, 1, s.Manager.Stats().Imported)
		}
		assert.Equal(t, old.stateless, old.holds("ann's"))
	})
}

// identityOf returns the handle of the session that a response brings.
func identityOf(s *kit.Site, p kit.Page) (handle string) {
	s.Ask(p.Next(""), func(own *session.Session) { handle = own.Handle() })
	return handle
}

func TestACopiedOldCookieOpensNothingAfterTheMove(t *testing.T) {
	onImporting(t, func(t *testing.T, s *kit.Site, old *oldLibrary) {
		old.stateless = keepsMarks(s) // the worst case: the cookie itself stays good
		s.Ask(annsCookie, func(own *session.Session) { own.Set("k", 1) })
		for _, wait := range []time.Duration{31 * time.Second, 24 * time.Hour, 90 * 24 * time.Hour} {
			s.Clock.Advance(wait)
			p := s.Ask(annsCookie, func(own *session.Session) {
				assert.Empty(t, own.All(), "after %v", wait)
				own.Set("thief", true)
			})
			assert.Nil(t, p.Cookie(oldCookieName))
		}
		assert.EqualValues(t, 1, s.Manager.Stats().Imported)
	})
}

// Without a server nobody remembers what was imported.
func TestWhatTheCookieDriverCannotRemember(t *testing.T) {
	s, old := migrating(t, "cookie")
	old.stateless = true
	for range 2 {
		s.Ask(annsCookie, func(own *session.Session) { own.Set("k", 1) })
		s.Clock.Advance(31 * time.Second)
	}
	assert.EqualValues(t, 2, s.Manager.Stats().Imported)
}

func TestASignOutEndsTheOldSessionToo(t *testing.T) {
	for name, signOut := range map[string]func(own *session.Session){
		"opened":     func(own *session.Session) { own.Open(); own.Logout() },
		"not opened": (*session.Session).Logout,
		"destroyed":  (*session.Session).Destroy,
	} {
		t.Run(name, func(t *testing.T) {
			onImporting(t, func(t *testing.T, s *kit.Site, old *oldLibrary) {
				old.stateless = keepsMarks(s)
				p := s.Ask(annsCookie, signOut)
				require.NotNil(t, p.Cookie(oldCookieName))
				assert.Nil(t, p.Cookie(s.Cookie))
				s.Clock.Advance(time.Minute)
				assert.Empty(t, userOf(s, annsCookie))
				s.Ask(annsCookie, func(own *session.Session) { assert.Empty(t, own.All()) })
			})
		})
	}
}

// The old cookie is still there: the response that deleted it was lost.
func TestASignOutWithBothCookiesEndsBoth(t *testing.T) {
	onImporting(t, func(t *testing.T, s *kit.Site, old *oldLibrary) {
		moved := s.Ask(annsCookie, func(own *session.Session) { own.Set("k", 1) }).Next("")
		old.set(func() { old.sessions["ann's"] = session.OldSession{User: "ann"} })
		p := s.Ask(moved+"; "+annsCookie, (*session.Session).Logout)
		assert.NotNil(t, p.Cookie(oldCookieName))
		assert.Negative(t, p.Cookie(s.Cookie).MaxAge)
		assert.False(t, old.holds("ann's"))
		s.Clock.Advance(time.Minute)
		for _, cookies := range []string{moved, annsCookie} {
			if cookies == moved && !keepsMarks(s) {
				continue // a copied cookie opens
			}
			s.Ask(cookies, func(own *session.Session) { assert.Empty(t, own.All()) })
		}
	})
}

func TestASignInOfAnotherUserLeavesTheOldSession(t *testing.T) {
	onImporting(t, func(t *testing.T, s *kit.Site, old *oldLibrary) {
		p := s.Ask(annsCookie, func(own *session.Session) { own.Login("bob") })
		assert.NotNil(t, p.Cookie(oldCookieName))
		assert.False(t, old.holds("ann's"))
		s.Ask(p.Next(""), func(own *session.Session) {
			user, _ := own.User()
			assert.Equal(t, "bob", user)
			assert.Empty(t, own.All())
		})
		s.Clock.Advance(31 * time.Second)
		assert.Empty(t, userOf(s, annsCookie))
	})
}

func TestARequestThatUsesNoSessionAsksNoOldLibrary(t *testing.T) {
	onImporting(t, func(t *testing.T, s *kit.Site, old *oldLibrary) {
		s.Ask(annsCookie+"; "+s.Cookie+"_f=1", func(*session.Session) {})
		assert.Zero(t, old.asked)
		cookies := s.SignIn()
		asked := old.asked
		assert.Equal(t, "ann", s.User(cookies+"; "+annsCookie))
		assert.Equal(t, asked, old.asked, "the request brought a cookie of ours")
	})
}

func TestAnOutageOfTheOldStoreIsNoMissingSession(t *testing.T) {
	onImporting(t, func(t *testing.T, s *kit.Site, old *oldLibrary) {
		old.failure = errors.New("connection refused")
		p := s.Ask(annsCookie, func(own *session.Session) {
			own.Get("cart")
			assert.ErrorIs(t, own.Err(), session.ErrUnavailable)
		})
		assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
		assert.Empty(t, p.Cookies())
		p = s.Ask(annsCookie, (*session.Session).Logout)
		assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode, "nobody is told of a sign-out that failed")
		assert.Empty(t, p.Cookies())
		old.failure = nil
		s.Ask(annsCookie, func(own *session.Session) { own.Set("k", 1) })
	})
}

func TestAnOldSessionThatCannotBeReadIsLeftAlone(t *testing.T) {
	for name, spoil := range map[string]func(old *oldLibrary){
		"damaged":        func(old *oldLibrary) { old.failure = fmt.Errorf("gob: %w", driver.ErrDamaged) },
		"a channel":      func(old *oldLibrary) { old.sessions["ann's"].Values["c"] = make(chan int) },
		"an empty key":   func(old *oldLibrary) { old.sessions["ann's"].Values[""] = 1 },
		"a long name":    func(old *oldLibrary) { old.sessions["ann's"] = session.OldSession{User: strings.Repeat("a", 256)} },
		"a session over": func(old *oldLibrary) { delete(old.sessions, "ann's") },
	} {
		t.Run(name, func(t *testing.T) {
			var log *kit.LogBook
			s, old := migrating(t, "memory", func(cfg *session.Config) { log = kit.CaptureLog(cfg) })
			spoil(old)
			p := s.Ask(annsCookie, func(own *session.Session) {
				assert.Empty(t, own.All())
				assert.True(t, own.IsNew())
				assert.NoError(t, own.Err())
			})
			assert.Equal(t, http.StatusOK, p.StatusCode)
			assert.Empty(t, p.Cookies())
			assert.Equal(t, name != "a session over", strings.Contains(log.Text(), "cannot be imported"), log.Text())
		})
	}
}

func TestLimitsOfAnOldSessionStay(t *testing.T) {
	const day = 24 * time.Hour
	for name, tt := range map[string]struct {
		created, ends time.Duration // from now; 0: not known
		lives         time.Duration // from now
	}{
		"nothing known":             {0, 0, day},
		"created":                   {-10 * time.Hour, 0, 14 * time.Hour},
		"ends":                      {0, 5 * time.Hour, 5 * time.Hour},
		"remembered":                {-10 * day, 20 * day, 20 * day},
		"remembered, begin unknown": {0, 20 * day, 20 * day},
		"created in the future":     {time.Hour, 0, day},
	} {
		t.Run(name, func(t *testing.T) {
			s, old := migrating(t, "memory", func(cfg *session.Config) { cfg.IdleTimeout = 24 * time.Hour })
			var one session.OldSession
			if tt.created != 0 {
				one.CreatedAt = s.Clock.Now().Add(tt.created)
			}
			if tt.ends != 0 {
				one.ExpiresAt = s.Clock.Now().Add(tt.ends)
			}
			one.Values = map[string]any{"k": "v"}
			old.sessions["ann's"] = one
			cookies := s.Ask(annsCookie, func(own *session.Session) { own.Set("moved", true) }).Next("")
			found := func() (k string) {
				s.Ask(cookies, func(own *session.Session) { k = own.GetString("k") })
				return k
			}
			for left := tt.lives - time.Minute; left > 0; left -= 23 * time.Hour {
				s.Clock.Advance(min(left, 23*time.Hour))
				require.Equal(t, "v", found())
			}
			s.Clock.Advance(2 * time.Minute)
			assert.Empty(t, found())
		})
	}
}

// A process that stops between two steps of a move leaves what the next request can go on with.
func TestAMoveThatWasInterruptedGoesOn(t *testing.T) {
	onImporting(t, func(t *testing.T, s *kit.Site, old *oldLibrary) {
		if s.Config.Default == "cookie" {
			return // it stores nothing
		}
		first := kit.NewManager(t, s.Config) // with a driver of its own or the same store
		hooks.SetClock(first, s.Clock.Now)
		kept := maps.Clone(old.sessions)
		p := s.Ask(annsCookie, func(own *session.Session) { own.Set("k", 1) })
		old.set(func() { old.sessions = kept })
		again := s.Ask(annsCookie, func(own *session.Session) { own.Set("k", 2) })
		assert.Equal(t, identityOf(s, p), identityOf(s, again))
	})
}

func TestFromDriverMovesSessionsAsTheyAre(t *testing.T) {
	for _, route := range [][2]string{
		{"cookie", "memory"}, {"cookie", "redis"}, {"memory", "cookie"}, {"memory", "redis"}, {"redis", "cookie"},
	} {
		t.Run(route[0]+" to "+route[1], func(t *testing.T) { testFromDriver(t, route[0], route[1]) })
	}
}

func testFromDriver(t *testing.T, from, to string) {
	cfg := kit.DriverConfig(t, to)
	if from == "redis" {
		cfg = kit.DriverConfig(t, from)
	}
	cfg.Default = to
	cfg.Import, cfg.ImportUntil = session.FromDriver(from), time.Now().Add(time.Hour*24*50)
	var events *kit.EventBook
	s := kit.NewSite(t, to, func(c *session.Config) { *c = cfg; events = kit.RecordEvents(c) })
	begin := func(do func(of *session.Session)) kit.Page {
		return s.Ask("", func(own *session.Session) {
			of, err := own.Using(from)
			require.NoError(t, err)
			do(of)
		})
	}
	p := begin(func(of *session.Session) {
		of.Login("ann")
		of.Remember(30 * 24 * time.Hour)
		of.Describe(map[string]string{"device": "laptop"})
		of.Set("cart", []any{"tea"})
		of.FlashAdd("notes", "one")
		of.FlashAdd("notes", "two")
	})
	cookies := p.Next("")
	s.Clock.Advance(time.Second)
	p = s.Ask(cookies, func(own *session.Session) {
		assert.Equal(t, []any{"tea"}, own.Get("cart"))
		assert.Equal(t, []any{"one", "two"}, own.Get("notes"))
		own.Reflash()
		own.Set("k", 1)
	})
	pages := []kit.Page{p}
	if to != "cookie" { // a request that was sent at the same time
		pages = append(pages, s.Ask(cookies, func(own *session.Session) { own.Set("k", 2) }))
	}
	for _, p := range pages {
		require.NotNil(t, p.Cookie(s.Cookie))
		for _, c := range p.Cookies() {
			assert.Equal(t, strings.HasPrefix(c.Name, "s_"+from), c.MaxAge < 0, c.Name)
		}
	}
	next := p.Next(cookies)
	assert.NotContains(t, next, "s_"+from)
	s.Ask(next, func(own *session.Session) {
		user, _ := own.User()
		assert.Equal(t, "ann", user)
		assert.Equal(t, []any{"tea"}, own.Get("cart"))
		assert.Greater(t, own.ExpiresAt().Sub(s.Clock.Now()), 29*24*time.Hour, "remembered")
	})
	assert.NotEmpty(t, events.Of(session.EventImported))
	s.Clock.Advance(31 * time.Second)
	if to != "cookie" || from != "cookie" {
		s.Ask(cookies, func(own *session.Session) { assert.Empty(t, own.All(), "the old cookie opens") })
	}
}

func TestImportIsConfiguredWhole(t *testing.T) {
	until := time.Now().Add(time.Hour)
	base := session.Config{Secret: kit.Secret, Default: "memory"}
	for name, tt := range map[string]struct {
		change func(c *session.Config)
		want   string
	}{
		"no date":     {func(c *session.Config) { c.Import = &oldLibrary{} }, "Config.ImportUntil: missing"},
		"no secret":   {func(c *session.Config) { c.Import, c.ImportUntil, c.Secret = &oldLibrary{}, until, "" }, "Config.Secret: missing"},
		"only a date": {func(c *session.Config) { c.ImportUntil = until }, "Config.ImportUntil: set without Import"},
		"itself":      {func(c *session.Config) { c.Import, c.ImportUntil = session.FromDriver("memory"), until }, "is Default itself"},
		"unknown":     {func(c *session.Config) { c.Import, c.ImportUntil = session.FromDriver("files"), until }, `"files"`},
		"by address": {func(c *session.Config) {
			c.Import, c.ImportUntil, c.Memory.ByClientIP = &oldLibrary{}, until, true
		}, "ByClientIP"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := base
			tt.change(&cfg)
			_, err := session.NewManager(cfg)
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

func TestNothingIsImportedAfterItsDate(t *testing.T) {
	s, old := migrating(t, "memory", func(cfg *session.Config) {})
	s.Clock.Advance(100*24*time.Hour + time.Minute)
	s.Ask(annsCookie, func(own *session.Session) { own.Set("k", 1) })
	assert.Zero(t, old.asked)
}

func TestAnOldCookieIsNotPrinted(t *testing.T) {
	c := &session.OldCookie{ID: "token", Value: "token"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		assert.NotContains(t, fmt.Sprintf(verb, c), "token")
		assert.NotContains(t, fmt.Sprintf(verb, *c), "token")
	}
}
