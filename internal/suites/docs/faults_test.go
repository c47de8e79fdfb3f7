package docs_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

// Faults that other session systems were seen to have. Each test shows that this one does not.
func TestFaultsOfOtherSystemsAreAbsent(t *testing.T) {
	faults := []struct {
		name string
		test func(t *testing.T)
	}{
		{name: "a header of the client chooses the address", test: testSpoofedAddress},
		{name: "a cookie opens under another name", test: testCookieUnderAnotherName},
		{name: "a pattern in a cookie reaches all sessions", test: testPatternInCookie},
		{name: "concurrent requests see each other's session", test: testConcurrentVisitors},
		{name: "a route without the middleware sees the previous visitor", test: testRouteWithoutMiddleware},
		{name: "a key writes cookie attributes", test: testKeyWithAttributes},
		{name: "a form is stored unasked", test: testFormIsNotStored},
		{name: "redis is scanned on every request", test: testRedisCommands},
		{name: "keys of redis without an expiry", test: testEachKeyExpires},
		{name: "a cookie grows past what browsers keep", test: testLargestCookie},
		{name: "parallel requests lose each other's keys", test: testParallelWrites},
		{name: "there are no drivers but the built-in ones", test: testOwnStore},
	}
	for _, f := range faults {
		t.Run(f.name, f.test)
	}
}

func testSpoofedAddress(t *testing.T) {
	spoofs := []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip", "Client-Ip", "X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Remote-Addr"}
	cfg := kit.DriverConfig(t, "memory")
	cfg.Memory.ByClientIP = true
	failed := kit.RecordFailures(&cfg)
	v := kit.NewVisitor(t, kit.NewManager(t, cfg))
	v.Visit(func(s *session.Session) { s.Set("user", "ann") })
	for _, header := range spoofs {
		p := from(v, "127.0.0.2").Visit(func(s *session.Session) { assert.Empty(t, s.All(), header) }, header, "127.0.0.1")
		if header != "Remote-Addr" { // no proxy sends that
			assert.Equal(t, http.StatusInternalServerError, p.StatusCode, header)
			assert.ErrorContains(t, failed.Last(), "Config.ClientIP", header)
		}
	}
}

func testCookieUnderAnotherName(t *testing.T) {
	for _, name := range kit.DriverNames {
		cfg := kit.DriverConfig(t, name)
		cfg.Drivers = map[string]session.Driver{"other": session.NewMemoryDriver(session.MemoryConfig{})}
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		value := v.Visit(func(s *session.Session) { s.Set("role", "admin") }).Cookie("s_" + name).Value
		cfg.CookieAttributes.Prefix = "else_"
		v = kit.NewVisitor(t, kit.NewManager(t, cfg))
		v.Visit(func(s *session.Session) { assert.True(t, s.IsNew(), name) }, "Cookie", "else_"+name+"="+value)
	}
}

func testPatternInCookie(t *testing.T) {
	server := redistest.Start(t)
	v := kit.NewVisitor(t, kit.NewManager(t, redisConfig(t, server, "")))
	v.Visit(func(s *session.Session) { s.Set("user", "ann") })
	keys := server.Keys(t)
	commands := server.CommandsDuring(t, func() {
		for _, pattern := range []string{"*", strings.Repeat("*", 56), strings.Repeat("?", 56), "[a-z]*", "session:*", "\\*"} {
			for _, do := range []func(s *session.Session){
				func(s *session.Session) { assert.Empty(t, s.All()); s.Flush() },
				func(s *session.Session) { s.Destroy() },
				func(s *session.Session) { s.Regenerate(); s.Get("user") },
			} {
				v.Stranger().Visit(do, "Cookie", "s_redis="+pattern)
			}
		}
	})
	assert.Empty(t, commands, "redis is not asked for what cannot be a token")
	assert.Equal(t, keys, server.Keys(t))
	v.Visit(func(s *session.Session) { assert.Equal(t, "ann", s.Get("user")) })
}

func testConcurrentVisitors(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		var inside, all sync.WaitGroup
		inside.Add(8)
		b := kit.NewBrowser(t, kit.Routes{
			"/set/{name}": func(_ http.ResponseWriter, r *http.Request, s *session.Session) { s.Set("name", r.PathValue("name")) },
			"/together": func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
				before := s.Get("name")
				inside.Done()
				inside.Wait() // until all eight have opened theirs
				fmt.Fprint(w, before, " ", s.Get("name"))
			},
		}.Under(kit.NewManager(t, cfg)))
		for i := range 8 {
			one := b.Another()
			all.Go(func() {
				name := fmt.Sprint("visitor", i)
				one.Get("/set/" + name)
				assert.Equal(t, name+" "+name, one.Get("/together").Body)
			})
		}
		all.Wait()
	})
}

func testRouteWithoutMiddleware(t *testing.T) {
	m := kit.NewManager(t, kit.DriverConfig(t, "memory"))
	mux := http.NewServeMux()
	mux.Handle("/with", m.Middleware(kit.HTTPHandler(func(s *session.Session) { s.Set("user", "ann") })))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, ok := session.Lookup(r.Context())
		fmt.Fprint(w, ok)
	})
	b := kit.NewBrowser(t, mux)
	b.Get("/with")
	assert.Equal(t, "false", b.Get("/without").Body)
	assert.Equal(t, "false", b.Get("/with/nothing/there").Body)
}

func testKeyWithAttributes(t *testing.T) {
	evil := "k=v; Domain=example.com; Path=/x; Max-Age=1\r\nSet-Cookie: s_admin=1\r\n\r\n<script>"
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		p := v.Visit(func(s *session.Session) { s.Set(evil, evil); s.Flash(evil, evil) })
		assert.NotEmpty(t, p.Cookies())
		for _, c := range p.Cookies() {
			assert.Regexp(t, `^s_[-_A-Za-z0-9]+$`, c.Name)
			assert.Regexp(t, `^[-_A-Za-z0-9]+$`, c.Value)
			assert.Empty(t, c.Domain)
			assert.Equal(t, "/", c.Path)
			assert.Equal(t, 24*60*60, c.MaxAge)
			assert.Empty(t, c.Unparsed)
		}
		v.Visit(func(s *session.Session) { assert.Equal(t, map[string]any{evil: evil}, s.All()) })
	})
}

// Nothing stores a whole form, so no password gets into a session by itself.
func testFormIsNotStored(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		var all map[string]any
		b := kit.NewBrowser(t, m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := session.FromRequest(r)
			if r.Method == http.MethodGet {
				all = s.All()
				return
			}
			assert.Equal(t, "hunter2", r.FormValue("password"))
			s.Flash("error", "wrong password")
			http.Redirect(w, r, "/", http.StatusSeeOther)
		})))
		response, err := b.Client.PostForm(b.URL, url.Values{"password": {"hunter2"}})
		require.NoError(t, err)
		response.Body.Close()
		b.Get("/")
		assert.Equal(t, map[string]any{"error": "wrong password"}, all)
	})
}

func testRedisCommands(t *testing.T) {
	server := redistest.Start(t)
	m := kit.NewManager(t, redisConfig(t, server, ""))
	clock := kit.SetClock(m)
	v := kit.NewVisitor(t, m)
	v.Visit(func(s *session.Session) {
		for i := range 50 {
			s.Set(fmt.Sprint(i), i)
		}
	})
	assert.Len(t, server.Keys(t), 1, "one key a session")
	clock.Advance(time.Second)
	v.Visit(func(s *session.Session) { s.Get("0") }) // whose use is always noted
	read := func() { v.Visit(func(s *session.Session) { assert.Len(t, s.All(), 50) }) }
	write := func() { v.Visit(func(s *session.Session) { s.Set("0", 1) }) }
	assert.Equal(t, 1, server.RoundTrips(t, read), "to open it")
	assert.Equal(t, 2, server.RoundTrips(t, write), "to open it and to save it")
	commands := server.CommandsDuring(t, func() {
		read()
		write()
		v.Visit(func(s *session.Session) { s.Increment("k", 1); s.Delete("0"); s.Flash("note", 1) })
		v.Visit(func(s *session.Session) { s.Regenerate() })
		v.Visit(func(s *session.Session) { s.Destroy() })
	})
	for _, slow := range []string{"scan", "keys", "sscan", "hscan", "hgetall", "rename", "flushdb", "flushall"} {
		assert.Zero(t, commands[slow], slow)
	}
}

func testEachKeyExpires(t *testing.T) {
	server := redistest.Start(t)
	v := kit.NewVisitor(t, kit.NewManager(t, redisConfig(t, server, "")))
	for _, do := range []func(s *session.Session){
		func(s *session.Session) { s.Set("k", 1) },
		func(s *session.Session) { s.Increment("n", 1); s.Flash("f", 1) },
		func(s *session.Session) { s.Login("ann") },
		func(s *session.Session) { s.Regenerate() },
		func(s *session.Session) { s.Logout() },
	} {
		v.Visit(do)
		assert.NotEmpty(t, server.TTLs(t))
		for key, left := range server.TTLs(t) {
			assert.Positive(t, left, "%s has no expiry", key)
		}
	}
}

func testLargestCookie(t *testing.T) {
	cfg := kit.DriverConfig(t, "cookie")
	failed := kit.RecordFailures(&cfg)
	v := kit.NewVisitor(t, kit.NewManager(t, cfg))
	fill := func(n int) kit.Page {
		return v.Visit(func(s *session.Session) { s.Set("text", strings.Repeat("x", n)) })
	}
	fits := sort.Search(4096, func(n int) bool { return fill(n+1).StatusCode != http.StatusOK })
	for _, c := range fill(fits).Cookies() {
		assert.LessOrEqual(t, len(c.Name+c.Value), 4096)
	}
	assert.Greater(t, fits, 2000)

	refused := fill(fits + 1)
	assert.Equal(t, http.StatusInternalServerError, refused.StatusCode)
	assert.Empty(t, refused.Header["Set-Cookie"])
	var size *session.SizeError
	require.ErrorAs(t, failed.Last(), &size)
	assert.Greater(t, size.Size, size.Limit)
	assert.Equal(t, "text", size.Largest[0].Key)
	v.Visit(func(s *session.Session) { assert.Len(t, s.GetString("text"), fits, "what was there stays") })
}

// On the cookie driver the last response wins, and its documentation says so.
func testParallelWrites(t *testing.T) {
	for _, name := range []string{"memory", "redis"} {
		t.Run(name, func(t *testing.T) {
			const parallel = 20
			var inside, all sync.WaitGroup
			inside.Add(parallel)
			var got map[string]any
			b := kit.NewBrowser(t, kit.Routes{
				"/": func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Set("shared", 1) },
				"/{i}": func(_ http.ResponseWriter, r *http.Request, s *session.Session) {
					s.Get("shared")
					inside.Done()
					inside.Wait() // until all have the same view
					s.Set("key"+r.PathValue("i"), r.PathValue("i"))
					s.Increment("shared", 1)
				},
				"/all": func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { got = s.All() },
			}.Under(kit.NewManager(t, kit.DriverConfig(t, name))))
			b.Get("/")
			want := map[string]any{"shared": 1 + parallel}
			for i := range parallel {
				want[fmt.Sprint("key", i)] = fmt.Sprint(i)
				all.Go(func() { b.Get(fmt.Sprint("/", i)) })
			}
			all.Wait()
			b.Get("/all")
			assert.Equal(t, want, got)
		})
	}
}

// A listStore is the least that a driver of one's own takes.
type listStore struct {
	mu      sync.Mutex
	entries map[string][]byte
}

func (l *listStore) Get(_ context.Context, key string) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries[key], nil
}

func (l *listStore) Update(_ context.Context, key string, change func(old []byte) (driver.Entry, error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry, err := change(l.entries[key])
	if err == nil && entry.Data != nil {
		l.entries[key] = entry.Data
	}
	return err
}

func testOwnStore(t *testing.T) {
	for _, name := range []string{"memory", "list"} {
		t.Run("default "+name, func(t *testing.T) {
			cfg := kit.DriverConfig(t, "memory")
			cfg.Default = name
			cfg.Drivers = map[string]session.Driver{"list": session.StoreDriver(&listStore{entries: make(map[string][]byte)})}
			v := kit.NewVisitor(t, kit.NewManager(t, cfg))
			using := func(do func(s *session.Session)) func(s *session.Session) {
				return func(s *session.Session) {
					s, err := s.Using("list")
					if assert.NoError(t, err) {
						do(s)
					}
				}
			}
			p := v.Visit(using(func(s *session.Session) { s.Set("k", 1); s.Flash("note", 2) }))
			assert.NotNil(t, p.Cookie("s_list"))
			v.Visit(using(func(s *session.Session) { assert.Equal(t, map[string]any{"k": 1, "note": 2}, s.All()) }))
			v.Visit(using(func(s *session.Session) {
				assert.Equal(t, map[string]any{"k": 1}, s.All())
				s.Destroy()
			}))
			v.Visit(using(func(s *session.Session) { assert.True(t, s.IsNew()) }))
		})
	}
}
