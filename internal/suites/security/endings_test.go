package security_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/casstore"
	"example.com/session/internal/hooks"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

// A server whose memory is full still opens sessions and ends them, all of a user's too.
func TestFullServerStillEndsSessionsAndKeepsUsersSignedIn(t *testing.T) {
	cfg := kit.DriverConfig(t, "redis")
	server := redistest.Start(t)
	cfg.Redis.Host, cfg.Redis.Port, cfg.LockAfter = server.Host(), server.Port(), 20*time.Minute
	failed := kit.RecordFailures(&cfg)
	m := kit.NewManager(t, cfg)
	c := kit.SetClock(m)
	v := kit.NewVisitor(t, m)
	other := v.Stranger()
	handle := kit.Login(other, "ann")
	kit.Login(v, "ann")
	c.Advance(2 * time.Minute) // long enough for the activity to be noted
	_, err := server.Conn(t).Do("CONFIG", "SET", "maxmemory", "1")
	require.NoError(t, err)
	p := v.Visit(func(s *session.Session) {
		user, _ := s.User()
		assert.Equal(t, "ann", user)
	})
	assert.Equal(t, http.StatusOK, p.StatusCode, "to note an activity fails no page: %v", failed.Last())
	require.NoError(t, m.End(t.Context(), "ann", handle))
	require.NoError(t, m.EndAll(t.Context(), "ann"))
	assert.Empty(t, kit.UserOf(v))
}

// One process's clock is ahead. A session that it takes for over may still open in another: it
// must not vanish from the list, and so from the reach of EndAll, while it does.
func TestSessionThatAnotherClockTakesForOverDoesNotEscapeTheList(t *testing.T) {
	for _, name := range []string{"redis", "store", "cookie, revoked in redis"} {
		t.Run(name, func(t *testing.T) {
			cfg := kit.AccountConfig(t, name)
			here, ahead := kit.NewManager(t, cfg), kit.NewManager(t, cfg)
			c := kit.SetClock(here)
			hooks.SetClock(ahead, func() time.Time { return c.Now().Add(10 * time.Second) })
			v := kit.NewVisitor(t, here)
			kit.Login(v, "ann")
			idle := time.Hour
			if cfg.Default == "cookie" { // whose record on the server has a longer idle timeout
				idle += idle/10 + 10*time.Second
			}
			c.Advance(idle - 5*time.Second)
			kit.Handles(t, ahead, "ann")
			kit.UserOf(v)
			require.NoError(t, here.EndAll(t.Context(), "ann"))
			assert.Empty(t, kit.UserOf(v))
		})
	}
}

// A Store that panics ends a request, not the process.
func TestPanicOfAStoreReachesWhoAsksForAList(t *testing.T) {
	cfg := kit.AccountConfig(t, "store")
	store := new(panickingStore)
	store.after.Store(1 << 30)
	cfg.Drivers["store"] = session.StoreDriver(store)
	m := kit.NewManager(t, cfg)
	v := kit.NewVisitor(t, m)
	for range 20 {
		kit.Login(v.Stranger(), "ann")
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

func (s *panickingStore) Get(ctx context.Context, key string) ([]byte, error) {
	if s.after.Add(-1) < 0 {
		panic("store")
	}
	return s.Store.Get(ctx, key)
}

// If the store stops to answer midway, an ending says so in good time: one by one it would take as
// long as StoreTimeout for each session.
func TestEndingOfManySessionsDoesNotWaitForEachInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := kit.AccountConfig(t, "store")
		cfg.StoreTimeout = 500 * time.Millisecond
		store := new(hangingStore)
		store.after.Store(1 << 30)
		cfg.Drivers["store"] = session.StoreDriver(store)
		m := kit.NewManager(t, cfg)
		signIn := m.Middleware(kit.HTTPHandler(func(s *session.Session) { s.Login("ann") }))
		for range 200 {
			signIn.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		}
		store.after.Store(20)
		began := time.Now()
		assert.ErrorIs(t, m.EndAll(t.Context(), "ann"), session.ErrUnavailable)
		assert.Less(t, time.Since(began), 10*time.Second)
		store.after.Store(1 << 30)
		require.NoError(t, m.EndAll(t.Context(), "ann"))
		assert.Empty(t, kit.Handles(t, m, "ann"))
	})
}

// A hangingStore does not answer after a number of reads.
type hangingStore struct {
	casstore.Store
	after atomic.Int64
}

func (s *hangingStore) Get(ctx context.Context, key string) ([]byte, error) {
	if s.after.Add(-1) < 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.Store.Get(ctx, key)
}

// An index may name a session that is another user's, if somebody has written to the store. It is
// neither shown nor ended.
func TestAnEntryOfAnotherUsersSessionIsNeitherShownNorEnded(t *testing.T) {
	cfg := kit.AccountConfig(t, "store")
	store := cfg.Drivers["store"].(driver.Index)
	m := kit.NewManager(t, cfg)
	v := kit.NewVisitor(t, m)
	handle := kit.Login(v, "ann")
	id, ok := driver.ParseID(handle)
	require.True(t, ok)
	sum := sha256.Sum256([]byte("s_store\x00user\x00eve"))
	eve := base64.RawURLEncoding.EncodeToString(sum[:])
	entry := driver.IndexEntry{ID: id, Entered: time.Now(), Ends: time.Now().Add(time.Hour)}
	require.NoError(t, store.Enter(t.Context(), eve, entry, 0, time.Now()))
	listed, err := store.List(t.Context(), eve, time.Now())
	require.NoError(t, err)
	require.Len(t, listed, 1)

	assert.Empty(t, kit.Handles(t, m, "eve"))
	assert.ErrorIs(t, m.End(t.Context(), "eve", handle), session.ErrNoSession)
	assert.NoError(t, m.EndAll(t.Context(), "eve"))
	assert.Equal(t, "ann", kit.UserOf(v))
}

// A hook may ask the manager whatever it wants to.
func TestEventHookMayAskTheManager(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		var m *session.Manager
		asked := 0
		cfg.Events = func(context.Context, session.Event) {
			asked++
			m.Stats()
			_, err := m.Sessions(context.Background(), "ann")
			assert.NoError(t, err)
			assert.NoError(t, m.EndAll(context.Background(), "somebody"))
		}
		cfg.MaxPerUser = 1
		m = kit.NewManager(t, cfg)
		v := kit.NewVisitor(t, m)
		kit.Login(v, "ann")
		kit.Login(v.Stranger(), "ann")
		v.Visit(func(s *session.Session) { s.Logout() })
		require.NoError(t, m.EndAll(t.Context(), "ann"))
		assert.Positive(t, asked)
	})
}

// A user's name may have any bytes, and is another one under another prefix.
func TestUsersWithOddNamesAreToldApart(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		other := cfg
		other.CookieAttributes.Prefix = "p_"
		stranger := kit.NewManager(t, other)
		v := kit.NewVisitor(t, m)
		names := []string{"\xff", "\xfe", "a\x00", "a", "a b", "ann\n", "'", string(make([]byte, 255))}
		for _, name := range names {
			kit.Login(v.Stranger(), name, "agent\xff", "\xff<&>")
		}
		for _, name := range names {
			infos, err := m.Sessions(t.Context(), name)
			require.NoError(t, err)
			require.Len(t, infos, 1, "%q", name)
			assert.Equal(t, map[string]string{"agent\ufffd": "\ufffd<&>"}, infos[0].Hints, "JSON has no other bytes")
			assert.Empty(t, kit.Handles(t, stranger, name))
			require.NoError(t, stranger.EndAll(t.Context(), name))
			assert.ErrorIs(t, stranger.End(t.Context(), name, infos[0].Handle), session.ErrNoSession)
			assert.Len(t, kit.Handles(t, m, name), 1)
		}
	})
}

// The event of a sign-out names user and handle, also if nothing had opened the session.
func TestTheEventOfASignOutNamesUserAndHandle(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		events := kit.RecordEvents(&cfg)
		m := kit.NewManager(t, cfg)
		v := kit.NewVisitor(t, m)
		for _, out := range []func(s *session.Session){
			(*session.Session).Logout,
			func(s *session.Session) { s.User(); s.Logout() },
		} {
			events.Take()
			handle := kit.Login(v, "ann")
			v.Visit(out)
			ended := events.Of(session.EventEnded)
			require.Len(t, ended, 1)
			assert.Equal(t, "ann", ended[0].User)
			assert.Equal(t, handle, ended[0].Handle)
			assert.Equal(t, "logout", ended[0].Reason)
		}
	})
}

// A cookie that somebody invented is no session that ended.
func TestAnInventedCookieMakesNoEventOfAnEnding(t *testing.T) {
	var events *kit.EventBook
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		for _, value := range []string{inventedToken(), "junk"} {
			s.Ask(s.Cookie+"="+value, (*session.Session).Logout)
			s.Ask(s.Cookie+"="+value, (*session.Session).Destroy)
		}
		assert.Empty(t, events.Of(session.EventEnded))
	}, func(cfg *session.Config) { events = kit.RecordEvents(cfg) })
}

// Whoever sits down at a locked session has not proven who it is.
func TestALockedSessionEndsNoOthers(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.LockAfter = 10 * time.Minute
		m := kit.NewManager(t, cfg)
		c := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		other := v.Stranger()
		kit.Login(v, "ann")
		kit.Login(other, "ann")
		c.Advance(11 * time.Minute)
		v.Visit(func(s *session.Session) {
			user, locked := s.Locked()
			assert.True(t, locked)
			assert.Equal(t, "ann", user)
			assert.ErrorIs(t, m.EndOthers(context.Background(), s), session.ErrNoSession)
		})
		assert.Len(t, kit.Handles(t, m, "ann"), 2)
		v.Visit(func(s *session.Session) {
			s.Login("ann")
			assert.NoError(t, m.EndOthers(context.Background(), s))
		})
		assert.Len(t, kit.Handles(t, m, "ann"), 1)
		assert.Equal(t, "ann", kit.UserOf(v))
	})
}

// A client that disconnects, or a deadline that passes, leaves none of the user's sessions alive.
func TestACancelledContextDoesNotStopAnEnding(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		for name, end := range map[string]func(s *session.Session, handle string) error{
			"all":    func(*session.Session, string) error { return m.EndAll(cancelled, "ann") },
			"others": func(s *session.Session, _ string) error { return m.EndOthers(cancelled, s) },
			"one":    func(_ *session.Session, handle string) error { return m.End(cancelled, "ann", handle) },
		} {
			v := kit.NewVisitor(t, m)
			victim := v.Stranger()
			handle := kit.Login(victim, "ann")
			kit.Login(v, "ann")
			v.Visit(func(s *session.Session) { assert.NoError(t, end(s, handle), name) })
			assert.Empty(t, kit.UserOf(victim), name)
			require.NoError(t, m.EndAll(t.Context(), "ann"))
		}
	})
}

// The users of a driver that the default one is not are found by a process that has not used it.
func TestEndAllReachesSessionsOfOtherConfiguredDrivers(t *testing.T) {
	cfg := kit.DriverConfig(t, "redis")
	cfg.Default = "memory"
	here, there := kit.NewManager(t, cfg), kit.NewManager(t, cfg)
	v := kit.NewVisitor(t, here)
	v.Visit(func(s *session.Session) {
		other, err := s.Using("redis")
		require.NoError(t, err)
		other.Login("ann")
	})
	user := func() (user string) {
		v.Visit(func(s *session.Session) {
			other, err := s.Using("redis")
			require.NoError(t, err)
			user, _ = other.User()
		})
		return user
	}
	require.Equal(t, "ann", user())
	infos, err := there.Sessions(t.Context(), "ann")
	require.NoError(t, err)
	assert.Len(t, infos, 1)
	require.NoError(t, there.EndAll(t.Context(), "ann"))
	assert.Empty(t, user())
}

// If that driver cannot be asked, the caller is told which one.
func TestEndAllNamesADriverThatCannotBeAsked(t *testing.T) {
	cfg := session.Config{Default: "memory", Logger: kit.Quiet, Redis: session.RedisConfig{Port: kit.ClosedPort},
		StoreTimeout: 200 * time.Millisecond}
	m := kit.NewManager(t, cfg)
	v := kit.NewVisitor(t, m)
	kit.Login(v, "ann")
	err := m.EndAll(t.Context(), "ann")
	assert.ErrorIs(t, err, session.ErrUnavailable)
	assert.ErrorContains(t, err, "redis")
	assert.Empty(t, kit.UserOf(v), "the others are ended all the same")
}
