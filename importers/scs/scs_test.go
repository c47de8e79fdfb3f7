package scs_test

import (
	"cmp"
	"encoding/gob"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/scs/redisstore"
	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	scsimport "example.com/session/importers/scs"
	"example.com/session/internal/redistest"
	"example.com/session/internal/sqltest"
	"example.com/session/internal/suites/kit"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(sqltest.Runner{M: m})) }

// An address is a type of the application, registered with gob as scs asks for.
type address struct{ City string }

func init() { gob.Register(address{}) }

// oldProgram is an application as it was written with scs.
func oldProgram(sm *scs.SessionManager) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/in", func(w http.ResponseWriter, r *http.Request) {
		if err := sm.RenewToken(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		sm.Put(r.Context(), "userID", r.FormValue("user"))
		sm.Put(r.Context(), "address", address{"Wien"})
		sm.RememberMe(r.Context(), true)
	})
	mux.HandleFunc("/add", func(_ http.ResponseWriter, r *http.Request) {
		cart, _ := sm.Get(r.Context(), "cart").([]string)
		sm.Put(r.Context(), "cart", append(cart, r.FormValue("item")))
	})
	return sm.LoadAndSave(mux)
}

// newProgram is the same application on package session.
func newProgram(m *session.Manager) http.Handler {
	return kit.Routes{
		"/add": func(_ http.ResponseWriter, r *http.Request, s *session.Session) {
			session.Update(s, "cart", func(cart []string) []string { return append(cart, r.FormValue("item")) })
		},
		"/page": func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			user, _ := s.User()
			cart, _ := session.Get[[]string](s, "cart")
			home, _ := session.Get[address](s, "address")
			w.Write([]byte(user + ": " + strings.Join(cart, ",") + " to " + home.City))
		},
		"/out": func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Logout() },
	}.Under(m)
}

func userOf(values map[string]any) (string, time.Time) {
	user, _ := values["userID"].(string)
	return user, time.Time{}
}

// stores are those of scs that are run against.
func stores(t *testing.T) map[string]scs.Store {
	server := redistest.Shared(t)
	pool := &redis.Pool{Dial: func() (redis.Conn, error) { return redis.Dial("tcp", server.Addr()) }, MaxIdle: 4}
	t.Cleanup(func() { pool.Close() })
	all := map[string]scs.Store{
		"memory": memstore.NewWithCleanupInterval(0), "redis": redisstore.NewWithPrefix(pool, kit.Namespace(t)+":"),
	}
	for _, d := range databases {
		all[d.name] = d.make(t).store(t, "")
	}
	return all
}

// A migration is an application that has moved from scs, and the browser of a user who has signed in before.
type migration struct {
	*testing.T
	old     *scs.SessionManager
	manager *session.Manager
	clock   *kit.Clock
	log     *kit.LogBook
	browser *kit.Browser
	before  string // its Cookie line then
}

func migrate(t *testing.T, store scs.Store, change ...func(old *scs.SessionManager, cfg *session.Config)) *migration {
	m := &migration{T: t, old: scs.New()}
	m.old.Store, m.old.Lifetime = store, 20*24*time.Hour
	cfg := kit.DriverConfig(t, "redis")
	m.log = kit.CaptureLog(&cfg)
	for _, change := range change {
		change(m.old, &cfg)
	}
	cfg.ImportUntil = time.Now().Add(30 * 24 * time.Hour)
	cfg.StoreTimeout = cmp.Or(cfg.StoreTimeout, time.Minute) // 64 requests at once on a busy machine
	if cfg.Import == nil {
		cfg.Import = scsimport.New(m.old, scsimport.Options{User: userOf})
	}
	before := kit.NewBrowser(t, oldProgram(m.old))
	before.Get("/in?user=ann")
	before.Get("/add?item=tea")
	url, err := http.NewRequest(http.MethodGet, before.URL, nil)
	require.NoError(t, err)
	for _, c := range before.Client.Jar.Cookies(url.URL) {
		m.before += c.Name + "=" + c.Value
	}
	require.NotEmpty(t, m.before)
	m.manager = kit.NewManager(t, cfg)
	m.clock = kit.SetClock(m.manager)
	server := httptest.NewServer(newProgram(m.manager))
	t.Cleanup(server.Close)
	m.browser = kit.NewBrowserAt(t, server)
	m.browser.Client.Jar = before.Client.Jar // cookies know no ports
	return m
}

func onEachStore(t *testing.T, test func(m *migration)) {
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) { test(migrate(t, store)) })
	}
}

func TestUsersOfScsStaySignedIn(t *testing.T) {
	onEachStore(t, func(m *migration) {
		assert.Equal(m, "ann: tea to Wien", m.browser.Get("/page").Body)
		m.browser.Get("/add?item=milk")
		assert.Equal(m, "ann: tea,milk to Wien", m.browser.Get("/page").Body)
		m.clock.Advance(19 * 24 * time.Hour)
		assert.Equal(m, "ann: tea,milk to Wien", m.browser.Get("/page").Body, "the lifetime of scs counts")
		m.clock.Advance(24*time.Hour + time.Minute)
		assert.Equal(m, ":  to ", m.browser.Get("/page").Body)
	})
}

func TestParallelRequestsOfAnScsUserMakeOneSession(t *testing.T) {
	onEachStore(t, func(m *migration) {
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				p := m.browser.Another().Get("/add?item=x", "Cookie", m.before)
				assert.Equal(m, http.StatusOK, p.StatusCode)
			})
		}
		wg.Wait()
		assert.EqualValues(m, 1, m.manager.Stats().Imported)
		sessions, err := m.manager.Sessions(m.Context(), "ann")
		require.NoError(m, err)
		require.Len(m, sessions, 1)
		p := m.browser.Another().Get("/page", "Cookie", m.before)
		assert.Equal(m, 64, strings.Count(p.Body, "x"), p.Body)
	})
}

func TestACopiedTokenOfScsOpensNothing(t *testing.T) {
	onEachStore(t, func(m *migration) {
		m.browser.Get("/add?item=milk")
		m.clock.Advance(31 * time.Second)
		assert.Equal(m, ":  to ", m.browser.Another().Get("/page", "Cookie", m.before).Body)
		_, found, err := m.old.Store.Find(strings.TrimPrefix(m.before, "session="))
		assert.NoError(m, err)
		assert.False(m, found, "the old row is deleted")
	})
}

func TestASignOutEndsTheSessionOfScs(t *testing.T) {
	onEachStore(t, func(m *migration) {
		p := m.browser.Get("/out")
		assert.Negative(m, p.Cookie("session").MaxAge)
		assert.Equal(m, ":  to ", m.browser.Get("/page").Body)
		_, found, err := m.old.Store.Find(strings.TrimPrefix(m.before, "session="))
		assert.NoError(m, err)
		assert.False(m, found)
	})
}

func TestTokensThatScsDidNotIssueOpenNothing(t *testing.T) {
	m := migrate(t, memstore.NewWithCleanupInterval(0))
	for _, token := range []string{"", "x", strings.Repeat("A", 43), strings.Repeat("A", 257), strings.Repeat("A", 4000)} {
		p := m.browser.Another().Get("/page", "Cookie", "session="+token)
		assert.Equal(t, ":  to ", p.Body, len(token))
		assert.Empty(t, p.Cookies())
		p = m.browser.Another().Get("/add?item=x", "Cookie", "session="+token)
		assert.NotNil(t, p.Cookie("s_redis"), "a visitor begins a session")
		assert.Nil(t, p.Cookie("session"))
	}
	assert.Zero(t, m.manager.Stats().Imported)
	assert.Contains(t, m.log.Text(), "the token has 257 characters, but tokens of scs have 43")
}

func TestWhatScsSaysOfASessionIsImported(t *testing.T) {
	store := &faultyStore{Store: memstore.NewWithCleanupInterval(0)}
	old := scs.New()
	old.Store, old.Lifetime = store, time.Hour
	old.Cookie.Domain, old.Cookie.Path, old.Cookie.Partitioned = "example.test", "/shop", true
	importer := scsimport.New(old, scsimport.Options{User: userOf})
	r := httptest.NewRequest(http.MethodGet, "/shop", nil)
	r.AddCookie(&http.Cookie{Name: "session", Value: strings.Repeat("A", 43)})
	found, err := importer.Find(r)
	require.NoError(t, err)
	require.Len(t, found.Expire, 1)
	c := found.Expire[0]
	assert.Equal(t, [3]string{"session", "example.test", "/shop"}, [3]string{c.Name, c.Domain, c.Path})
	assert.True(t, c.Partitioned && c.HttpOnly)

	for left, live := range map[time.Duration]bool{time.Minute: true, -time.Second: false} {
		ends := time.Now().Add(left)
		store.damage, err = old.Codec.Encode(ends, map[string]any{"userID": "ann"})
		require.NoError(t, err)
		one, err := importer.Load(t.Context(), found)
		require.NoError(t, err)
		require.Equal(t, live, one != nil, "a store may keep rows that have expired")
		if live {
			assert.Equal(t, "ann", one.User)
			assert.WithinDuration(t, ends, one.ExpiresAt, time.Millisecond)
			assert.WithinDuration(t, ends.Add(-time.Hour), one.CreatedAt, time.Millisecond)
		}
	}
}

func TestHashedTokensOfScs(t *testing.T) {
	m := migrate(t, memstore.NewWithCleanupInterval(0), func(old *scs.SessionManager, _ *session.Config) { old.HashTokenInStore = true })
	m.browser.Get("/add?item=milk")
	assert.Equal(t, "ann: tea,milk to Wien", m.browser.Get("/page").Body)
}

func TestValuesAreConverted(t *testing.T) {
	m := migrate(t, memstore.NewWithCleanupInterval(0), func(old *scs.SessionManager, cfg *session.Config) {
		cfg.Import = scsimport.New(old, scsimport.Options{Values: func(values map[string]any) (map[string]any, error) {
			assert.NotContains(t, values, "__rememberMe")
			return map[string]any{"cart": values["cart"]}, nil
		}})
	})
	assert.Equal(t, ": tea to ", m.browser.Get("/page").Body)
}

// A broken store is an outage. What cannot be decoded is left alone.
func TestFaultsOfTheOldStore(t *testing.T) {
	store := &faultyStore{Store: memstore.NewWithCleanupInterval(0)}
	m := migrate(t, store)
	store.failure = errors.New("connection refused")
	assert.Equal(t, http.StatusServiceUnavailable, m.browser.Get("/page").StatusCode)
	store.failure, store.damage = nil, []byte("no gob")
	p := m.browser.Get("/page")
	assert.Equal(t, ":  to ", p.Body)
	assert.Empty(t, p.Cookies())
	store.damage = nil
	assert.Equal(t, "ann: tea to Wien", m.browser.Get("/page").Body)
}

type faultyStore struct {
	scs.Store
	failure error
	damage  []byte
}

func (s *faultyStore) Find(token string) ([]byte, bool, error) {
	if s.failure != nil || s.damage != nil {
		return s.damage, s.damage != nil, s.failure
	}
	return s.Store.Find(token)
}
