package outage_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

// A full is a redis whose memory is full of sessions.
type full struct {
	t       *testing.T
	manager *session.Manager
	server  *redistest.Server
	refused int // saves that got a 503
}

// do serves a request with a Cookie line and returns the status and the line that a browser sends next.
func (f *full) do(cookies string, serve func(s *session.Session)) (status int, next string) {
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1/", nil)
	r.Header.Set("Cookie", cookies)
	w := httptest.NewRecorder()
	f.manager.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { serve(session.FromRequest(r)) })).ServeHTTP(w, r)
	return w.Code, kit.Page{Response: w.Result()}.Next(cookies)
}

func (f *full) user(cookies string) (user string) {
	status, _ := f.do(cookies, func(s *session.Session) { user, _ = s.User() })
	require.Equal(f.t, http.StatusOK, status)
	return user
}

// signIn signs n users in and returns their cookies by name.
func (f *full) signIn(kind string, n int) map[string]string {
	cookies := map[string]string{}
	for i := range n {
		user := fmt.Sprint(kind, i)
		status, line := f.do("", func(s *session.Session) { s.Login(user) })
		require.Equal(f.t, http.StatusOK, status)
		cookies[user] = line
	}
	return cookies
}

// A census says what became of some users: how many are signed in, of how many of those the user's list has
// the session, and how many are still signed in after EndAll.
type census struct{ signedIn, listed, survivedEndAll int }

func (f *full) count(cookies map[string]string) (c census) {
	for user, line := range cookies {
		if f.user(line) == "" {
			continue
		}
		c.signedIn++
		infos, err := f.manager.Sessions(f.t.Context(), user)
		require.NoError(f.t, err)
		c.listed += min(len(infos), 1)
		require.NoError(f.t, f.manager.EndAll(f.t.Context(), user))
		if f.user(line) != "" {
			c.survivedEndAll++
		}
	}
	return c
}

const users = 30 // of each kind

// fill signs users in, and then lets visitors come until three times what fits was to be stored. Some
// users come back all the time, and the others do not.
func fill(t *testing.T, policy string) (f *full, active, idle map[string]string, out string) {
	t.Helper()
	f = &full{t: t, server: redistest.Start(t, "--maxmemory", "5mb", "--maxmemory-policy", policy)}
	cfg := session.Config{Default: "redis", Logger: kit.Quiet, IdleTimeout: 40 * time.Second, // so a use is noted after 0.4 s
		Redis: session.RedisConfig{Host: f.server.Host(), Port: f.server.Port()}}
	f.manager = kit.NewManager(t, cfg)
	active, idle = f.signIn("active", users), f.signIn("idle", users)
	for _, out = range f.signIn("out", 1) {
		status, _ := f.do(out, func(s *session.Session) { s.Logout() })
		require.Equal(t, http.StatusOK, status)
	}
	large := strings.Repeat("x", 2000)
	for i := range 6000 {
		if i%200 == 0 {
			time.Sleep(100 * time.Millisecond) // redis tells ages by the second
			for user, line := range active {
				if f.user(line) == "" {
					delete(active, user)
				}
			}
		}
		if status, _ := f.do("", func(s *session.Session) { s.Set("large", large) }); status != http.StatusOK {
			require.Equal(t, http.StatusServiceUnavailable, status)
			f.refused++
		}
	}
	return f, active, idle, out
}

func (f *full) evicted() int {
	text, err := redis.String(f.server.Conn(f.t).Do("INFO", "stats"))
	require.NoError(f.t, err)
	_, text, _ = strings.Cut(text, "evicted_keys:")
	n := 0
	_, err = fmt.Sscan(text, &n)
	require.NoError(f.t, err)
	return n
}

// What docs/operations.md says about maxmemory-policy. Only under noeviction is nobody signed out, and only
// while lists outlive sessions does EndAll end all.
func TestMemoryOfRedisIsFull(t *testing.T) {
	for _, policy := range []string{"noeviction", "volatile-ttl", "volatile-lru", "allkeys-lru"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			f, active, idle, out := fill(t, policy)
			evicted := f.evicted()
			assert.Empty(t, f.user(out), "a session that was ended is back")
			for _, copied := range f.oneOf(active) {
				status, _ := f.do(copied, func(s *session.Session) { s.Logout() })
				assert.Equal(t, http.StatusOK, status, "a sign-out needs memory")
				assert.Empty(t, f.user(copied), "a copy of the cookie opens a session that was ended")
			}
			a, i := f.count(active), f.count(idle)
			t.Logf("| `%s` | %d | %d | %+v | %+v |", policy, f.refused, evicted, a, i)
			switch policy {
			case "noeviction":
				assert.Positive(t, f.refused, "the memory was not full")
				assert.True(t, f.manager.Stats().Outage, "no alert fires")
				assert.Zero(t, evicted)
				assert.Equal(t, census{signedIn: users - 1, listed: users - 1}, a)
				assert.Equal(t, census{signedIn: users, listed: users}, i)
			case "volatile-ttl":
				assert.Zero(t, f.refused)
				assert.Greater(t, a.signedIn, users/2, "who comes back all the time is signed out")
				assert.Less(t, i.signedIn, users/2, "the memory was not full")
				assert.Equal(t, a.signedIn, a.listed, "lists are evicted before sessions")
				assert.Zero(t, a.survivedEndAll)
			default:
				assert.Zero(t, f.refused)
				assert.Less(t, i.signedIn, users/2, "the memory was not full")
				assert.Positive(t, a.survivedEndAll, "lists outlive sessions: the documents warn of nothing")
			}
		})
	}
}

// oneOf takes one of some cookies.
func (f *full) oneOf(cookies map[string]string) map[string]string {
	for user, line := range cookies {
		delete(cookies, user)
		return map[string]string{user: line}
	}
	require.Fail(f.t, "nobody is left")
	return nil
}

// Tombstones are evicted too. A slow request then finds nothing where it had a session.
func TestAnEvictedTombstoneRevivesNothing(t *testing.T) {
	f := &full{t: t, server: redistest.Start(t)}
	f.manager = kit.NewManager(t, session.Config{Default: "redis", Logger: kit.Quiet,
		Redis: session.RedisConfig{Host: f.server.Host(), Port: f.server.Port()}})
	for _, cookies := range f.signIn("ann", 1) {
		f.do(cookies, func(slow *session.Session) {
			require.NoError(t, slow.Open())
			f.do(cookies, func(s *session.Session) { s.Logout() })
			_, err := f.server.Conn(t).Do("FLUSHALL")
			require.NoError(t, err)
			slow.Set("n", 1)
		})
		assert.Empty(t, f.user(cookies))
		assert.Empty(t, f.server.Keys(t))
	}
}
