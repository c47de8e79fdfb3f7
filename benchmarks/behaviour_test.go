package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/alexedwards/scs/v2"
	"github.com/boj/redistore"
	ginsessions "github.com/gin-contrib/sessions"
	ginredis "github.com/gin-contrib/sessions/redis"
	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

// A library is one that README.md compares with, with sessions in redis, written as its documentation
// shows it. Each serves a handler that works on the session of its request, and stores it where the
// library asks for that.
type library struct {
	name  string
	serve func(do func(s oneSession)) http.Handler
}

// A oneSession is a session of any library.
type oneSession struct {
	get func(key string) any
	set func(key, value string)
	end func()

	// save is the call that stores the session, nil where there is nothing to call.
	save func()
}

func libraries(t *testing.T, server *redistest.Server) []library {
	hash, _ := keys()
	m := kit.NewManager(t, session.Config{Default: "redis", Redis: session.RedisConfig{Port: server.Port()}, Logger: kit.Quiet})
	sm := scs.New()
	pool := newPool(server.Addr())
	t.Cleanup(func() { pool.Close() })
	sm.Store = &redisStore{pool: pool}
	store, err := redistore.NewRediStore(connections, "tcp", server.Addr(), "", "", hash)
	require.NoError(t, err)
	t.Cleanup(func() { store.Close() })
	store.Options.Secure = false
	ginStore, err := ginredis.NewStore(connections, "tcp", server.Addr(), "", "", hash)
	require.NoError(t, err)
	inGin, err := ginredis.GetRedisStore(ginStore)
	require.NoError(t, err)
	t.Cleanup(func() { inGin.Close() })
	return []library{
		{ours, func(do func(s oneSession)) http.Handler {
			return m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				s := session.FromRequest(r)
				do(oneSession{get: s.Get, set: func(key, value string) { s.Set(key, value) }, end: s.Logout})
			}))
		}},
		{nameSCS, func(do func(s oneSession)) http.Handler {
			return sm.LoadAndSave(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				ctx := r.Context()
				do(oneSession{
					get: func(key string) any { return sm.Get(ctx, key) }, set: func(key, value string) { sm.Put(ctx, key, value) },
					end: func() { fail(sm.Destroy(ctx)) },
				})
			}))
		}},
		{nameGorilla, func(do func(s oneSession)) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				do(oneSession{
					get: func(key string) any { s, _ := store.Get(r, "session"); return s.Values[key] },
					set: func(key, value string) { s, _ := store.Get(r, "session"); s.Values[key] = value },
					end: func() { s, _ := store.Get(r, "session"); s.Options.MaxAge = -1; fail(s.Save(r, w)) },
					save: func() {
						if s, _ := store.Get(r, "session"); s.Options.MaxAge > 0 {
							fail(s.Save(r, w))
						}
					},
				})
			})
		}},
		{nameGin, func(do func(s oneSession)) http.Handler {
			engine := gin.New()
			engine.Use(ginsessions.Sessions("session", ginStore))
			engine.GET("/", func(c *gin.Context) {
				s := ginsessions.Default(c)
				do(oneSession{
					get: func(key string) any { return s.Get(key) }, set: func(key, value string) { s.Set(key, value) },
					end:  func() { s.Clear(); s.Options(ginsessions.Options{Path: "/", MaxAge: -1}); fail(s.Save()) },
					save: func() { fail(s.Save()) },
				})
			})
			return engine
		}},
	}
}

// ask serves one request with cookies, and stores the session at its end.
func (l library) ask(cookies string, do func(s oneSession)) kit.Page {
	return l.request(cookies, func(s oneSession) {
		do(s)
		if s.save != nil {
			s.save()
		}
	})
}

func (l library) request(cookies string, do func(s oneSession)) kit.Page {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if cookies != "" {
		r.Header.Set("Cookie", cookies)
	}
	w := httptest.NewRecorder()
	l.serve(do).ServeHTTP(w, r)
	return kit.Page{Response: w.Result()}
}

func (l library) begin() (cookies string) {
	return l.ask("", func(s oneSession) { s.set("user", "ann") }).Next("")
}

func (l library) find(cookies, key string) (found any) {
	l.request(cookies, func(s oneSession) { found = s.get(key) })
	return found
}

// meanwhile serves a request, and another one of the same session after it has loaded the session.
func (l library) meanwhile(cookies string, do, other func(s oneSession)) {
	l.ask(cookies, func(s oneSession) {
		s.get("user")
		l.ask(cookies, other)
		do(s)
	})
}

// behaviours are the rows of the table in README.md, and how each is found out.
var behaviours = []struct {
	text string
	has  func(t *testing.T, l library, server *redistest.Server) bool
}{
	{"two parallel requests keep each other's writes", func(_ *testing.T, l library, _ *redistest.Server) bool {
		cookies := l.begin()
		l.meanwhile(cookies, func(s oneSession) { s.set("a", "1") }, func(s oneSession) { s.set("b", "2") })
		return l.find(cookies, "a") == "1" && l.find(cookies, "b") == "2"
	}},
	{"a sign-out holds while a slow request is running", func(_ *testing.T, l library, _ *redistest.Server) bool {
		cookies := l.begin()
		l.meanwhile(cookies, func(s oneSession) { s.set("a", "1") }, func(s oneSession) { s.end() })
		return l.find(cookies, "user") == nil
	}},
	{"stored without a call at the end of the handler", func(_ *testing.T, l library, _ *redistest.Server) bool {
		cookies := l.request("", func(s oneSession) { s.set("user", "ann") }).Next("")
		return l.find(cookies, "user") == "ann"
	}},
	{"a request that leaves its session alone asks no store", func(t *testing.T, l library, server *redistest.Server) bool {
		cookies := l.begin()
		return len(server.CommandsDuring(t, func() { l.request(cookies, func(oneSession) {}) })) == 0
	}},
	{"a copy of the store opens no session", func(t *testing.T, l library, server *redistest.Server) bool {
		_, token, _ := strings.Cut(l.begin(), "=")
		for _, key := range server.Keys(t) {
			if strings.Contains(key, token) {
				return false
			}
		}
		return true
	}},
}

func TestReadmeComparesBehaviourAsItIs(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	server := redistest.Start(t)
	all := libraries(t, server)
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	for _, b := range behaviours {
		row := "| " + b.text + " |"
		for _, l := range all {
			if b.has(t, l, server) {
				row += " yes |"
			} else {
				row += " no |"
			}
		}
		assert.Contains(t, string(readme), "\n"+row+"\n")
	}
}
