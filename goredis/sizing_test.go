package goredis_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	redigo "github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
)

// The figures of docs/redis.md. `go test -v -run TestFigures .` prints them.
func TestFiguresOfOneSession(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		args  []string
		set   func(s *session.Session)
		atMax int // bytes, with what redis's allocator and tables take
	}{
		{name: "a user's id", atMax: 450, set: func(s *session.Session) { s.Set("user", 4711) }},
		{name: "five small values", atMax: 600, set: func(s *session.Session) {
			s.Set("user", 4711)
			s.Set("name", "Ann Example")
			s.Set("theme", "dark")
			s.Set("visits", 12)
			s.Set("csrf", strings.Repeat("x", 43))
		}},
		{name: "four small values and one of 1 KB", atMax: 1800, set: func(s *session.Session) {
			s.Set("user", 4711)
			s.Set("name", "Ann Example")
			s.Set("theme", "dark")
			s.Set("visits", 12)
			s.Set("cart", strings.Repeat("x", 1024))
		}},
		{name: "a user's id, after Login", atMax: 900, set: func(s *session.Session) { s.Login(rand.Text()) }},
		{name: "an ended one, for 30 s", atMax: 300, set: func(s *session.Session) {
			s.Set("user", 4711)
			require.NoError(t, s.Save())
			s.Destroy()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := redistest.Start(t, test.args...)
			used := func() int { return memory(t, server) }
			serve := sizing(t, server, test.set)
			serve("/set")
			before := used()
			const n = 2000
			for range n {
				serve("/set")
			}
			bytes := (used() - before) / n
			key := server.Keys(t)[0]
			own, err := redigo.Int(server.Conn(t).Do("MEMORY", "USAGE", key))
			require.NoError(t, err)
			t.Logf("%s: %d bytes by MEMORY USAGE, %d bytes of used_memory a session", test.name, own, bytes)
			assert.LessOrEqual(t, bytes, test.atMax, "docs/redis.md says less")
		})
	}
}

// memory is what the server says that it uses.
func memory(t *testing.T, server *redistest.Server) (bytes int) {
	t.Helper()
	_, rest, _ := strings.Cut(do(t, server, "INFO", "memory"), "used_memory:")
	_, err := fmt.Sscan(rest, &bytes)
	require.NoError(t, err)
	return bytes
}

// sizing returns what serves a request of a new visitor.
func sizing(t *testing.T, server *redistest.Server, set func(s *session.Session)) func(path string, cookies ...*http.Cookie) []*http.Cookie {
	t.Helper()
	m, err := session.NewManager(session.Config{Default: "redis", Logger: quiet,
		Redis: session.RedisConfig{Host: server.Host(), Port: server.Port()}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	mux := http.NewServeMux()
	mux.HandleFunc("/set", func(_ http.ResponseWriter, r *http.Request) { set(session.FromRequest(r)) })
	mux.HandleFunc("/read", func(_ http.ResponseWriter, r *http.Request) { session.FromRequest(r).Get("user") })
	mux.HandleFunc("/write", func(_ http.ResponseWriter, r *http.Request) { session.FromRequest(r).Increment("visits", 1) })
	mux.HandleFunc("/regenerate", func(_ http.ResponseWriter, r *http.Request) { session.FromRequest(r).Regenerate() })
	mux.HandleFunc("/login", func(_ http.ResponseWriter, r *http.Request) { session.FromRequest(r).Login(rand.Text()) })
	mux.HandleFunc("/destroy", func(_ http.ResponseWriter, r *http.Request) { session.FromRequest(r).Destroy() })
	mux.HandleFunc("/plain", func(http.ResponseWriter, *http.Request) {})
	handler := m.Middleware(mux)
	return func(path string, cookies ...*http.Cookie) []*http.Cookie {
		w := httptest.NewRecorder()
		r, _ := http.NewRequest(http.MethodGet, "https://example.com"+path, nil)
		for _, c := range cookies {
			r.AddCookie(c)
		}
		handler.ServeHTTP(w, r)
		assert.Equal(t, http.StatusOK, w.Code)
		return w.Result().Cookies()
	}
}

func TestFiguresOfOneRequest(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	serve := sizing(t, server, func(s *session.Session) { s.Set("user", 4711); s.Set("visits", 1) })
	for range 2 { // the second time all scripts are known
		cookies := serve("/set")
		serve("/write", cookies...)
		cookies = serve("/regenerate", cookies...)
		serve("/destroy", serve("/login", cookies...)...)
	}
	for _, test := range []struct {
		path     string
		trips    int
		commands string
	}{
		{path: "/plain"},
		{path: "/read", trips: 1, commands: "GETEX"},
		{path: "/write", trips: 2, commands: "GETEX; GETRANGE and SET"},
		{path: "/regenerate", trips: 2, commands: "GETEX; GETRANGE and SET"},
		{path: "/login", trips: 3, commands: "GETEX; the index; GETRANGE and SET"},
		{path: "/destroy", trips: 2, commands: "GETEX; GETRANGE, PEXPIRE and SET"},
	} {
		cookies := serve("/set")
		time.Sleep(2 * time.Millisecond) // a use in the millisecond of the first save counts as part of it
		serve("/read", cookies...)       // notes the first use
		trips := server.RoundTrips(t, func() { serve(test.path, cookies...) })
		t.Logf("%s: %d round trips (%s)", test.path, trips, test.commands)
		assert.Equal(t, test.trips, trips, test.path)

		const n, workers = 200, 4
		all := make([][]*http.Cookie, n)
		for i := range all {
			all[i] = serve("/set")
			serve("/read", all[i]...)
		}
		before, begin := processor(t, server), time.Now()
		var group sync.WaitGroup
		for w := range workers {
			group.Go(func() {
				for i := w; i < n; i += workers {
					serve(test.path, all[i]...)
				}
			})
		}
		group.Wait()
		took := time.Since(begin)
		t.Logf("%s: %.0f us of the server's processor a request (%d requests in %v)",
			test.path, (processor(t, server)-before)/n*1e6, n, took.Round(time.Millisecond))
	}
}

// processor is how many seconds the server has used a processor.
func processor(t *testing.T, server *redistest.Server) float64 {
	t.Helper()
	var system, user float64
	info := do(t, server, "INFO", "cpu")
	_, rest, _ := strings.Cut(info, "used_cpu_sys:")
	_, err := fmt.Sscan(rest, &system)
	require.NoError(t, err)
	_, rest, _ = strings.Cut(info, "used_cpu_user:")
	_, err = fmt.Sscan(rest, &user)
	require.NoError(t, err)
	return system + user
}
