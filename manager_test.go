package session_test

import (
	"context"
	"errors"
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

	"example.com/session"
	"example.com/session/internal/redistest"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// counted returns what a manager counts while do is done.
func counted(m *session.Manager, do func()) session.Stats {
	before := m.Stats()
	do()
	after := m.Stats()
	return session.Stats{
		Loads: after.Loads - before.Loads, Saves: after.Saves - before.Saves,
		Destroys: after.Destroys - before.Destroys, Unknown: after.Unknown - before.Unknown,
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
		{name: "a logout", do: func(s *session.Session) { s.Destroy() }, want: session.Stats{Destroys: 1, Sessions: -1}},
		{name: "a login", do: func(s *session.Session) { s.Regenerate() }, want: session.Stats{Loads: 1, Saves: 1}},
		{name: "an unknown token", do: read, headers: []string{"Cookie", "s_memory=" + wellFormed}, want: session.Stats{Loads: 1, Unknown: 1}},
		{name: "a broken token", do: read, headers: []string{"Cookie", "s_memory=x"}, want: session.Stats{Loads: 1, Tampered: 1}},
		{
			name: "two tokens", do: read, headers: []string{"Cookie", "s_memory=x; s_memory=" + wellFormed},
			want: session.Stats{Loads: 2, Tampered: 1, Unknown: 1, Duplicates: 1},
		},
		{name: "an unreadable value", do: func(s *session.Session) { s.GetBool("k") }, want: session.Stats{Loads: 1, Unreadable: 1}},
		{name: "a bad key", do: func(s *session.Session) { s.Set("", 1) }, want: session.Stats{Loads: 1, Failed: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newManager(t, driverConfig(t, "memory"))
			v := newVisitor(t, m)
			v.visit(func(s *session.Session) { s.Set("k", 1) })
			if tt.headers != nil {
				v = v.stranger()
			}
			assert.Equal(t, tt.want, counted(m, func() { v.visit(tt.do, tt.headers...) }))
		})
	}
}

func TestStatsCountSessionsAndEvictions(t *testing.T) {
	cfg := driverConfig(t, "memory")
	cfg.Memory.MaxSessions = 2
	m := newManager(t, cfg)
	v := newVisitor(t, m)
	for range 5 {
		v.stranger().visit(func(s *session.Session) { s.Set("k", 1) })
	}
	assert.EqualValues(t, 2, m.Stats().Sessions)
	assert.EqualValues(t, 3, m.Stats().Evictions)
}

func TestStatsCountLateAndDroppedChanges(t *testing.T) {
	m := newManager(t, driverConfig(t, "memory"))
	v := newVisitor(t, m)
	late := counted(m, func() {
		v.serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			w.WriteHeader(http.StatusOK)
			s.Set("k", 1) // would need a cookie
			assert.ErrorIs(t, s.Err(), session.ErrLateChange)
		})
	})
	assert.EqualValues(t, 1, late.LateChanges)

	v.visit(func(s *session.Session) { s.Set("k", 1) })
	cookie := v.cookieHeader()
	loggedOut := make(chan bool)
	b := newBrowser(t, m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
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
		b.get("/logout", "Cookie", cookie)
		loggedOut <- true
	}()
	dropped := counted(m, func() { b.get("/slow", "Cookie", cookie) })
	assert.EqualValues(t, 1, dropped.Dropped)
}

func TestStatsCountAnOutage(t *testing.T) {
	m := newManager(t, session.Config{Default: "redis", Redis: session.RedisConfig{Port: closedPort}, Logger: quiet})
	v := newVisitor(t, m)
	assert.Equal(t, session.Stats{Loads: 1, Failed: 1, Unavailable: 1},
		counted(m, func() { v.visit(read, "Cookie", "s_redis="+wellFormed) }))
}

func TestPingAsksTheStoresThatAreInUse(t *testing.T) {
	down := session.RedisConfig{Port: closedPort}
	ctx := context.Background()
	assert.NoError(t, newManager(t, driverConfig(t, "redis")).Ping(ctx))

	m := newManager(t, session.Config{Default: "redis", Redis: down, Logger: quiet})
	assert.ErrorIs(t, m.Ping(ctx), session.ErrUnavailable, "the default driver")
	assert.ErrorContains(t, m.Ping(ctx), "redis")

	m = newManager(t, session.Config{Default: "memory", Redis: down, Logger: quiet})
	assert.NoError(t, m.Ping(ctx), "a redis that nobody uses")
	newVisitor(t, m).visit(func(s *session.Session) {
		s, err := s.Using("redis")
		if assert.NoError(t, err) {
			s.Get("k")
		}
	}, "Cookie", "s_redis="+wellFormed)
	assert.ErrorIs(t, m.Ping(ctx), session.ErrUnavailable, "a redis that a request has used")
}

func TestPingTellsAWrongPasswordFromAnOutage(t *testing.T) {
	server := redistest.Start(t, "--requirepass", "right")
	m := newManager(t, session.Config{Default: "redis", Logger: quiet,
		Redis: session.RedisConfig{Host: server.Host(), Port: server.Port(), Password: "wrong"}})
	err := m.Ping(context.Background())
	require.Error(t, err)
	assert.NotErrorIs(t, err, session.ErrUnavailable)
	assert.NotContains(t, err.Error(), "wrong")
}

func TestPingEndsWithItsContext(t *testing.T) {
	server := redistest.Start(t)
	m := newManager(t, session.Config{Default: "redis", Logger: quiet,
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
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		failed := recordFailures(&cfg)
		m := newManager(t, cfg)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) { s.Set("k", 1) })
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { assert.NoError(t, m.Close()) })
		}
		all.Wait()

		assert.Equal(t, http.StatusOK, v.visit(func(*session.Session) {}).StatusCode, "a request without a session")
		p := v.visit(func(s *session.Session) {
			assert.Nil(t, s.Get("k"))
			assert.ErrorIs(t, s.Open(), session.ErrClosed)
		})
		assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
		assert.ErrorIs(t, failed.last(), session.ErrClosed)
		assert.ErrorIs(t, failed.last(), session.ErrUnavailable)
		assert.ErrorIs(t, m.Ping(context.Background()), session.ErrClosed)
	})
}

func TestCloseClosesThePoolItOpenedAndNoOther(t *testing.T) {
	server := redistest.Start(t)
	pool := &redis.Pool{Dial: func() (redis.Conn, error) { return redis.Dial("tcp", server.Addr()) }, MaxIdle: 1}
	t.Cleanup(func() { pool.Close() })
	clients := func() int {
		list, err := redis.String(server.Conn(t).Do("CLIENT", "LIST", "TYPE", "normal"))
		require.NoError(t, err)
		return strings.Count(list, "name=ours")
	}
	m := newManager(t, session.Config{Default: "redis", Redis: session.RedisConfig{
		Host: server.Host(), Port: server.Port(), Options: session.RedisOptions{ClientName: "ours"}}})
	assert.Zero(t, clients(), "it is opened at first use")
	newVisitor(t, m).visit(func(s *session.Session) { s.Set("k", 1) })
	assert.Equal(t, 1, clients())
	require.NoError(t, m.Close())
	assert.Eventually(t, func() bool { return clients() == 0 }, 5*time.Second, time.Millisecond)

	m = newManager(t, session.Config{Default: "redis", Redis: session.RedisConfig{Options: session.RedisOptions{Pool: pool}}})
	newVisitor(t, m).visit(func(s *session.Session) { s.Set("k", 1) })
	require.NoError(t, m.Close())
	conn := pool.Get()
	defer conn.Close()
	_, err := conn.Do("PING")
	assert.NoError(t, err)
}

// What is still there at the end of a bubble fails the test.
func TestManagerStartsNoGoroutine(t *testing.T) {
	for _, name := range []string{"memory", "cookie"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, err := session.NewManager(session.Config{Default: name, Secret: testSecret, Logger: quiet})
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
	newManager(t, session.Config{Default: "redis", Redis: session.RedisConfig{Host: "127.0.0.1", Port: address.Port}})
	require.NoError(t, l.(*net.TCPListener).SetDeadline(time.Now().Add(10*time.Millisecond)))
	_, err = l.Accept()
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded, "nobody has called")
}

func TestManagerIsNotChangedByWhatTheCallerDoesToItsConfig(t *testing.T) {
	old := session.NewSecret()
	before := newVisitor(t, newManager(t, session.Config{Secret: old, Logger: quiet}))
	before.visit(func(s *session.Session) { s.Set("k", 1) })

	previous := []string{old}
	drivers := map[string]session.Driver{"twin": session.NewMemoryDriver(session.MemoryConfig{})}
	m := newManager(t, session.Config{Secret: testSecret, PreviousSecrets: previous, Drivers: drivers, Logger: quiet})
	previous[0] = session.NewSecret()
	delete(drivers, "twin")
	drivers["late"] = session.NewMemoryDriver(session.MemoryConfig{})
	newVisitor(t, m).visit(func(s *session.Session) {
		assert.Equal(t, 1, s.Get("k"))
		_, err := s.Using("twin")
		assert.NoError(t, err)
		_, err = s.Using("late")
		assert.ErrorContains(t, err, "known are cookie, memory, redis, twin")
	}, "Cookie", before.cookieHeader())
	assert.NoError(t, m.Ping(context.Background()))
}

// panicText returns the text that do panics with.
func panicText(do func()) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	do()
	return ""
}

func TestWithoutMiddlewareFromContextSaysWhatToDo(t *testing.T) {
	m := newManager(t, driverConfig(t, "memory"))
	r := httptest.NewRequest("GET", "/", nil)
	for name, do := range map[string]func(){
		"FromContext":         func() { session.FromContext(r.Context()) },
		"FromRequest":         func() { session.FromRequest(r) },
		"Manager.FromContext": func() { m.FromContext(r.Context()) },
	} {
		text := panicText(do)
		assert.Contains(t, text, "session: ", name)
		assert.Contains(t, text, "FromContext: ", name)
		assert.Contains(t, text, "wrap the handler with", name)
		assert.Contains(t, text, "Middleware", name)
	}
	_, ok := session.Lookup(r.Context())
	assert.False(t, ok)
	_, ok = m.Lookup(r.Context())
	assert.False(t, ok)
}

func TestContextsThatAreDerivedHaveTheSession(t *testing.T) {
	m := newManager(t, driverConfig(t, "memory"))
	newVisitor(t, m).serve(func(_ http.ResponseWriter, r *http.Request, s *session.Session) {
		type key struct{}
		ctx, cancel := context.WithCancel(context.WithValue(r.Context(), key{}, 1))
		defer cancel()
		assert.Same(t, s, session.FromContext(ctx))
		assert.Same(t, s, m.FromContext(context.WithoutCancel(ctx)))
		assert.Same(t, s, session.FromRequest(r.Clone(ctx)))
		found, ok := session.Lookup(ctx)
		assert.True(t, ok)
		assert.Same(t, s, found)
		found, ok = m.Lookup(ctx)
		assert.True(t, ok)
		assert.Same(t, s, found)
		assert.Equal(t, 1, ctx.Value(key{}))
	})
}

func TestMiddlewareInsideItselfIsOneSessionAndOneCommit(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		var outermost *session.Session
		between := func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				outermost = session.FromRequest(r)
				outermost.Set("outer", 1)
				next.ServeHTTP(w, r)
				outermost.Set("after", 1)
			})
		}
		b := newBrowser(t, m.Middleware(between(m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			s := session.FromRequest(r)
			assert.Same(t, outermost, s)
			assert.Equal(t, 1, s.Get("outer"))
			s.Set("inner", 1)
		})))))
		p := b.get("/")
		assert.Len(t, p.Header["Set-Cookie"], 1)
		assert.EqualValues(t, 1, m.Stats().Saves)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) {
			assert.Equal(t, map[string]any{"outer": 1, "inner": 1, "after": 1}, s.All())
		}, "Cookie", p.Cookies()[0].Name+"="+p.Cookies()[0].Value)
	})
}

func TestTwoManagersAreTwoSessions(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		outerConfig := cfg
		outerConfig.CookieAttributes.Prefix = "admin_"
		outer, inner := newManager(t, outerConfig), newManager(t, cfg)
		b := newBrowser(t, outer.Middleware(inner.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a, s := outer.FromContext(r.Context()), inner.FromContext(r.Context())
			assert.NotSame(t, a, s)
			assert.Same(t, s, session.FromRequest(r), "the innermost one")
			fmt.Fprint(w, a.Increment("n", 1), s.Increment("n", 10))
		}))))
		first := b.get("/")
		assert.NotNil(t, first.cookie("admin_"+cfg.Default))
		assert.NotNil(t, first.cookie("s_"+cfg.Default))
		assert.Equal(t, []string{"Cookie"}, first.Header["Vary"])
		assert.Equal(t, "2 20", b.get("/").body)

		// The token of one opens nothing in the other.
		token := first.cookie("admin_" + cfg.Default).Value
		newVisitor(t, inner).visit(func(s *session.Session) { assert.True(t, s.IsNew()) },
			"Cookie", "s_"+cfg.Default+"="+token)
	})
}

func TestSkippedRequestsAreAsIfTheMiddlewareWereNotThere(t *testing.T) {
	cfg := driverConfig(t, "memory")
	cfg.Skip = func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/static/") }
	m := newManager(t, cfg)
	b := newBrowser(t, m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, ok := session.Lookup(r.Context())
		if ok {
			s.Set("k", 1)
		}
		_, wrapped := w.(interface{ Unwrap() http.ResponseWriter })
		fmt.Fprint(w, ok, " ", wrapped)
	})))
	skipped := b.get("/static/app.css")
	assert.Equal(t, "false false", skipped.body)
	assert.Empty(t, skipped.Header["Set-Cookie"])
	assert.Empty(t, skipped.Header["Vary"])
	served := b.get("/page")
	assert.Equal(t, "true true", served.body)
	assert.NotEmpty(t, served.Header["Set-Cookie"])
}

func TestManagerPrintsItsDriversAndNoSecret(t *testing.T) {
	m := newManager(t, driverConfig(t, "memory"))
	text := fmt.Sprintf("%v %+v %s %v", m, m, m, m.LogValue())
	assert.Contains(t, text, "memory")
	assert.NotContains(t, text, testSecret)
}

func TestUnknownDriverErrorListsTheKnownOnes(t *testing.T) {
	cfg := driverConfig(t, "memory")
	cfg.Drivers = map[string]session.Driver{"archive": session.NewMemoryDriver(session.MemoryConfig{})}
	p := newVisitor(t, newManager(t, cfg)).visit(func(s *session.Session) {
		elsewhere, err := s.Using("files")
		assert.Nil(t, elsewhere)
		assert.True(t, errors.Is(err, session.ErrUnknownDriver))
		assert.ErrorContains(t, err, `"files": known are archive, cookie, memory, redis`)
		assert.NoError(t, s.Err(), "the request goes on")
	})
	assert.Equal(t, http.StatusOK, p.StatusCode)
}
