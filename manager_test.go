package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"expvar"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

// counted returns what a manager counts while do is done.
func counted(m *session.Manager, do func()) session.Stats {
	before := m.Stats()
	do()
	after := m.Stats()
	return session.Stats{
		Loads: after.Loads - before.Loads, Saves: after.Saves - before.Saves,
		Ended: after.Ended - before.Ended, Unknown: after.Unknown - before.Unknown,
		Tampered: after.Tampered - before.Tampered, Duplicates: after.Duplicates - before.Duplicates,
		Dropped: after.Dropped - before.Dropped, LateChanges: after.LateChanges - before.LateChanges,
		Unreadable: after.Unreadable - before.Unreadable, Failed: after.Failed - before.Failed,
		Unavailable: after.Unavailable - before.Unavailable, Sessions: after.Sessions - before.Sessions,
		Evictions: after.Evictions - before.Evictions,
	}
}

func TestStatsCountWhatHappens(t *testing.T) {
	tests := []struct {
		name    string
		do      func(s *session.Session)
		headers []string
		want    session.Stats
	}{
		{name: "nothing", do: func(*session.Session) {}},
		{name: "a read", do: read, want: session.Stats{Loads: 1}},
		{name: "a write", do: func(s *session.Session) { s.Set("k", 2) }, want: session.Stats{Loads: 1, Saves: 1}},
		{name: "a save and a write", do: func(s *session.Session) { s.Set("k", 2); s.Save(); s.Set("k", 3) }, want: session.Stats{Loads: 1, Saves: 2}},
		{name: "a logout", do: func(s *session.Session) { s.Destroy() }, want: session.Stats{Ended: 1, Sessions: -1}},
		{name: "a login", do: func(s *session.Session) { s.Regenerate() }, want: session.Stats{Loads: 1, Saves: 1}},
		{name: "an unknown token", do: read, headers: []string{"Cookie", "s_memory=" + wellFormed}, want: session.Stats{Loads: 1, Unknown: 1}},
		{name: "a broken token", do: read, headers: []string{"Cookie", "s_memory=x"}, want: session.Stats{}},
		{
			name: "two tokens", do: read, headers: []string{"Cookie", "s_memory=x; s_memory=" + wellFormed},
			want: session.Stats{Loads: 1, Unknown: 1, Duplicates: 1},
		},
		{name: "an unreadable value", do: func(s *session.Session) { s.GetBool("k") }, want: session.Stats{Loads: 1, Unreadable: 1}},
		{name: "a bad key", do: func(s *session.Session) { s.Set("", 1) }, want: session.Stats{Loads: 1, Failed: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := kit.NewManager(t, kit.DriverConfig(t, "memory"))
			clock := kit.SetClock(m)
			v := kit.NewVisitor(t, m)
			v.Visit(func(s *session.Session) { s.Set("k", 1) })
			clock.Advance(time.Second)
			v.Visit(read) // whose use is always noted
			if tt.headers != nil {
				v = v.Stranger()
			}
			assert.Equal(t, tt.want, counted(m, func() { v.Visit(tt.do, tt.headers...) }))
		})
	}
}

func TestStatsCountSessionsAndEvictions(t *testing.T) {
	cfg := kit.DriverConfig(t, "memory")
	cfg.Memory.MaxSessions = 2
	m := kit.NewManager(t, cfg)
	v := kit.NewVisitor(t, m)
	for range 5 {
		v.Stranger().Visit(func(s *session.Session) { s.Set("k", 1) })
	}
	assert.EqualValues(t, 2, m.Stats().Sessions)
	assert.EqualValues(t, 3, m.Stats().Evictions)
}

func TestStatsCountLateAndDroppedChanges(t *testing.T) {
	m := kit.NewManager(t, kit.DriverConfig(t, "memory"))
	v := kit.NewVisitor(t, m)
	late := counted(m, func() {
		v.Serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			w.WriteHeader(http.StatusOK)
			s.Set("k", 1) // would need a cookie
			assert.ErrorIs(t, s.Err(), session.ErrLateChange)
		})
	})
	assert.EqualValues(t, 1, late.LateChanges)

	v.Visit(func(s *session.Session) { s.Set("k", 1) })
	cookie := v.CookieHeader()
	loggedOut := make(chan bool)
	b := kit.NewBrowser(t, m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s := session.FromRequest(r)
		if r.URL.Path == "/logout" {
			s.Destroy()
			return
		}
		s.Get("k")
		loggedOut <- true
		<-loggedOut
		s.Set("k", 2)
	})))
	go func() {
		<-loggedOut
		b.Get("/logout", "Cookie", cookie)
		loggedOut <- true
	}()
	dropped := counted(m, func() { b.Get("/slow", "Cookie", cookie) })
	assert.EqualValues(t, 1, dropped.Dropped)
}

func TestStatsCountAnOutage(t *testing.T) {
	m := kit.NewManager(t, session.Config{Default: "redis", Redis: session.RedisConfig{Port: kit.ClosedPort}, Logger: kit.Quiet})
	v := kit.NewVisitor(t, m)
	assert.Equal(t, session.Stats{Loads: 1, Failed: 1, Unavailable: 1},
		counted(m, func() { v.Visit(read, "Cookie", "s_redis="+wellFormed) }))
}

func TestStatsAreAnExpvar(t *testing.T) {
	m := kit.NewManager(t, kit.DriverConfig(t, "memory"))
	kit.NewVisitor(t, m).Visit(func(s *session.Session) { s.Set("a", 1) })
	var v expvar.Var = m.Stats()
	var stats session.Stats
	require.NoError(t, json.Unmarshal([]byte(v.String()), &stats))
	assert.Equal(t, uint64(1), stats.Saves)
	assert.Equal(t, m.Stats(), stats)
}

func TestPingAsksTheStoresThatAreInUse(t *testing.T) {
	down := session.RedisConfig{Port: kit.ClosedPort}
	ctx := context.Background()
	assert.NoError(t, kit.NewManager(t, kit.DriverConfig(t, "redis")).Ping(ctx))

	m := kit.NewManager(t, session.Config{Default: "redis", Redis: down, Logger: kit.Quiet})
	assert.ErrorIs(t, m.Ping(ctx), session.ErrUnavailable, "the default driver")
	assert.ErrorContains(t, m.Ping(ctx), "redis")

	m = kit.NewManager(t, session.Config{Default: "memory", Redis: down, Logger: kit.Quiet})
	assert.NoError(t, m.Ping(ctx), "a redis that nobody uses")
	kit.NewVisitor(t, m).Visit(func(s *session.Session) {
		s, err := s.Using("redis")
		if assert.NoError(t, err) {
			s.Get("k")
		}
	}, "Cookie", "s_redis="+wellFormed)
	assert.ErrorIs(t, m.Ping(ctx), session.ErrUnavailable, "a redis that a request has used")
}

func TestPingTellsAWrongPasswordFromAnOutage(t *testing.T) {
	server := redistest.Start(t, "--requirepass", "right")
	m := kit.NewManager(t, session.Config{Default: "redis", Logger: kit.Quiet,
		Redis: session.RedisConfig{Host: server.Host(), Port: server.Port(), Password: "opensesame"}})
	err := m.Ping(context.Background())
	require.Error(t, err)
	assert.NotErrorIs(t, err, session.ErrUnavailable)
	assert.NotContains(t, err.Error(), "opensesame")
}

func TestPingEndsWithItsContext(t *testing.T) {
	server := redistest.Start(t)
	m := kit.NewManager(t, session.Config{Default: "redis", Logger: kit.Quiet,
		Redis: session.RedisConfig{Host: server.Host(), Port: server.Port(),
			Options: session.RedisOptions{ReadTimeout: time.Minute}}})
	require.NoError(t, m.Ping(context.Background()))
	server.Pause(t)
	defer server.Resume(t)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	assert.ErrorIs(t, m.Ping(ctx), session.ErrUnavailable)
	assert.Less(t, time.Since(start), 30*time.Second, "not the minute that a reply may take")
}

func TestCloseIsIdempotentAndEndsOnlyTheStores(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		failed := kit.RecordFailures(&cfg)
		m := kit.NewManager(t, cfg)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { s.Set("k", 1) })
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { assert.NoError(t, m.Close()) })
		}
		all.Wait()

		assert.Equal(t, http.StatusOK, v.Visit(func(*session.Session) {}).StatusCode, "a request without a session")
		p := v.Visit(func(s *session.Session) {
			assert.Nil(t, s.Get("k"))
			assert.ErrorIs(t, s.Open(), session.ErrClosed)
		})
		assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
		assert.ErrorIs(t, failed.Last(), session.ErrClosed)
		assert.ErrorIs(t, failed.Last(), session.ErrUnavailable)
		assert.ErrorIs(t, m.Ping(context.Background()), session.ErrClosed)
	})
}

func TestCloseClosesTheConnectionsThatItOpened(t *testing.T) {
	server := redistest.Start(t)
	clients := func() int {
		list, err := redis.String(server.Conn(t).Do("CLIENT", "LIST", "TYPE", "normal"))
		require.NoError(t, err)
		return strings.Count(list, "name=ours")
	}
	m := kit.NewManager(t, session.Config{Default: "redis", Redis: session.RedisConfig{
		Host: server.Host(), Port: server.Port(), Options: session.RedisOptions{ClientName: "ours"}}})
	assert.Zero(t, clients(), "it is opened at first use")
	kit.NewVisitor(t, m).Visit(func(s *session.Session) { s.Set("k", 1) })
	assert.Equal(t, 1, clients())
	require.NoError(t, m.Close())
	assert.Eventually(t, func() bool { return clients() == 0 }, 5*time.Second, time.Millisecond)
}

// What is still there at the end of a bubble fails the test.
func TestManagerStartsNoGoroutine(t *testing.T) {
	for _, name := range []string{"memory", "cookie"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, err := session.NewManager(session.Config{Default: name, Secret: kit.Secret, Logger: kit.Quiet})
				require.NoError(t, err)
				handler := m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					fmt.Fprint(w, session.FromRequest(r).Increment("n", 1))
				}))
				for range 3 {
					answer := httptest.NewRecorder()
					handler.ServeHTTP(answer, httptest.NewRequest("GET", "/", nil))
					assert.Equal(t, "1", answer.Body.String())
					time.Sleep(25 * time.Hour)
				}
			})
		})
	}
}

func TestNewManagerConnectsToNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	address := l.Addr().(*net.TCPAddr)
	kit.NewManager(t, session.Config{Default: "redis", Redis: session.RedisConfig{Host: "127.0.0.1", Port: address.Port}})
	require.NoError(t, l.(*net.TCPListener).SetDeadline(time.Now().Add(10*time.Millisecond)))
	_, err = l.Accept()
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded, "nobody has called")
}

func TestARedisDriverThatCannotBeMadeIsNil(t *testing.T) {
	d, err := session.NewRedisDriver(session.RedisConfig{Port: -1})
	assert.ErrorContains(t, err, "Config.Redis.Port")
	assert.True(t, d == nil, "a caller who compares with nil would use it")
}

func TestManagerIsNotChangedByWhatTheCallerDoesToItsConfig(t *testing.T) {
	old := session.NewSecret()
	before := kit.NewVisitor(t, kit.NewManager(t, session.Config{Secret: old, Logger: kit.Quiet}))
	before.Visit(func(s *session.Session) { s.Set("k", 1) })

	previous := []string{old}
	drivers := map[string]session.Driver{"twin": session.NewMemoryDriver(session.MemoryConfig{})}
	m := kit.NewManager(t, session.Config{Secret: kit.Secret, PreviousSecrets: previous, Drivers: drivers, Logger: kit.Quiet})
	previous[0] = session.NewSecret()
	delete(drivers, "twin")
	drivers["late"] = session.NewMemoryDriver(session.MemoryConfig{})
	kit.NewVisitor(t, m).Visit(func(s *session.Session) {
		assert.Equal(t, 1, s.Get("k"))
		_, err := s.Using("twin")
		assert.NoError(t, err)
		_, err = s.Using("late")
		assert.ErrorContains(t, err, "known are cookie, memory, redis, twin")
	}, "Cookie", before.CookieHeader())
	assert.NoError(t, m.Ping(context.Background()))
}

func TestManagerPrintsItsDriversAndNoSecret(t *testing.T) {
	m := kit.NewManager(t, kit.DriverConfig(t, "memory"))
	text := fmt.Sprintf("%v %+v %s %v", m, m, m, m.LogValue())
	assert.Contains(t, text, "memory")
	assert.NotContains(t, text, kit.Secret)
}

func TestUnknownDriverErrorListsTheKnownOnes(t *testing.T) {
	cfg := kit.DriverConfig(t, "memory")
	cfg.Drivers = map[string]session.Driver{"archive": session.NewMemoryDriver(session.MemoryConfig{})}
	p := kit.NewVisitor(t, kit.NewManager(t, cfg)).Visit(func(s *session.Session) {
		elsewhere, err := s.Using("files")
		assert.Nil(t, elsewhere)
		assert.True(t, errors.Is(err, session.ErrUnknownDriver))
		assert.ErrorContains(t, err, `"files": known are archive, cookie, memory, redis`)
		assert.NoError(t, s.Err(), "the request goes on")
	})
	assert.Equal(t, http.StatusOK, p.StatusCode)
}

func TestCookieDriverWithoutASecretIsToldAtUsing(t *testing.T) {
	m := kit.NewManager(t, session.Config{Default: "memory", Logger: kit.Quiet})
	p := kit.NewVisitor(t, m).Visit(func(s *session.Session) {
		elsewhere, err := s.Using("cookie")
		assert.Nil(t, elsewhere)
		assert.ErrorContains(t, err, "the cookie driver needs Config.Secret")
		s.Set("k", 1)
	})
	assert.NotNil(t, p.Cookie("s_memory"), "the request goes on")
}
