package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"example.com/session"
	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/boj/redistore"
	ginsessions "github.com/gin-contrib/sessions"
	gincookie "github.com/gin-contrib/sessions/cookie"
	ginmemory "github.com/gin-contrib/sessions/memstore"
	ginredis "github.com/gin-contrib/sessions/redis"
	"github.com/gin-gonic/gin"
	"github.com/gomodule/redigo/redis"
	"github.com/gorilla/securecookie"
	gorilla "github.com/gorilla/sessions"
)

// Where sessions are kept.
const (
	memory = "memory"
	cookie = "cookie"
	server = "redis"
)

// How a contender is called in the table.
const (
	ours         = "session"
	floor        = "floor"
	nameSCS      = "scs"
	namePlainSCS = "scs, no idle"
	nameGorilla  = "gorilla"
	nameGin      = "gin"
)

// A setup is what pages are made from.
type setup struct {
	driver  string
	address string // of the redis server
	port    int    // likewise
	large   bool   // the payload is about 3 KB
}

// A contender is a library as its documentation says to use it. Its start returns nil where it
// has nothing that keeps sessions there.
type contender struct {
	name  string
	start func(setup) (*pages, error)
}

var contenders = []contender{
	{name: ours, start: startOurs},
	{name: nameSCS, start: startSCS},
	{name: namePlainSCS, start: defaultSCS},
	{name: nameGorilla, start: startGorilla},
	{name: nameGin, start: startGin},
}

// connections is enough for each client that is measured at once to keep its own, so that no
// contender measures how connections are made.
const connections = 64

// idleTimeout is this library's default. scs is given the same, as in its documentation, so that both do
// the same for a session; by default it has none. defaultSCS is scs without.
const idleTimeout = time.Hour

func defaultSCS(s setup) (*pages, error) {
	return startSCSWith(s, 0)
}

func startSCS(s setup) (*pages, error) { return startSCSWith(s, idleTimeout) }

// fail panics with what a library returned: nothing of the table would be true.
func fail(err error) {
	if err != nil {
		panic(err)
	}
}

// untouched is the page that leaves the session alone.
func untouched(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, ok) }

// config returns what this library is measured with: everything as it is by default, behind TLS.
func config(s setup) session.Config {
	return session.Config{
		Default:          s.driver,
		Secret:           session.NewSecret(),
		CookieAttributes: session.CookieAttributes{Secure: session.SecureAlways},
		Redis:            session.RedisConfig{Port: s.port},
		Logger:           slog.New(slog.DiscardHandler),
	}
}

func startOurs(s setup) (*pages, error) {
	m, err := session.NewManager(config(s))
	if err != nil {
		return nil, err
	}
	return ourPages(m, s.large), nil
}

func ourPages(m *session.Manager, large bool) *pages {
	page := func(do func(w http.ResponseWriter, r *http.Request)) http.Handler {
		return m.Middleware(http.HandlerFunc(do))
	}
	return &pages{
		untouched: page(untouched),
		fill: page(func(w http.ResponseWriter, r *http.Request) {
			s := session.FromContext(r.Context())
			s.Set("name", r.Header.Get(clientField))
			s.Set("email", email)
			s.Set("theme", theme)
			s.Set("admin", true)
			s.Set("visits", 0)
			if large {
				s.Set("notes", notes)
			}
			io.WriteString(w, ok)
		}),
		read: page(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, session.FromContext(r.Context()).GetString("name"))
		}),
		write: page(func(w http.ResponseWriter, r *http.Request) {
			s := session.FromContext(r.Context())
			visits := s.GetInt("visits") + 1
			s.Set("visits", visits)
			io.WriteString(w, strconv.Itoa(visits))
		}),
		flash: page(func(w http.ResponseWriter, r *http.Request) {
			session.FromContext(r.Context()).Flash("message", message)
			w.WriteHeader(http.StatusSeeOther)
		}),
		show: page(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, session.FromContext(r.Context()).GetString("message"))
		}),
		close: func() { fail(m.Close()) },
	}
}

func startSCSWith(s setup, idle time.Duration) (*pages, error) {
	m, stop := scs.New(), func() {}
	m.Cookie.Secure = true
	m.IdleTimeout = idle
	switch s.driver {
	case cookie:
		return nil, nil
	case memory:
		// By default it is swept once a minute: no round lasts so long. To stop that sweep is a data race.
		m.Store = memstore.NewWithCleanupInterval(0)
	case server:
		pool := newPool(s.address)
		m.Store, stop = &redisStore{pool: pool}, func() { pool.Close() }
	}
	page := func(do func(w http.ResponseWriter, r *http.Request)) http.Handler {
		return m.LoadAndSave(http.HandlerFunc(do))
	}
	return &pages{
		untouched: page(untouched),
		fill: page(func(w http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			m.Put(ctx, "name", r.Header.Get(clientField))
			m.Put(ctx, "email", email)
			m.Put(ctx, "theme", theme)
			m.Put(ctx, "admin", true)
			m.Put(ctx, "visits", 0)
			if s.large {
				m.Put(ctx, "notes", notes)
			}
			io.WriteString(w, ok)
		}),
		read: page(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, m.GetString(r.Context(), "name"))
		}),
		write: page(func(w http.ResponseWriter, r *http.Request) {
			visits := m.GetInt(r.Context(), "visits") + 1
			m.Put(r.Context(), "visits", visits)
			io.WriteString(w, strconv.Itoa(visits))
		}),
		flash: page(func(w http.ResponseWriter, r *http.Request) {
			m.Put(r.Context(), "message", message)
			w.WriteHeader(http.StatusSeeOther)
		}),
		show: page(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, m.PopString(r.Context(), "message"))
		}),
		close: stop,
	}, nil
}

// A redisStore is a scs.Store over redigo, as scs's own is, but that it sends SET in one command
// in place of four.
type redisStore struct{ pool *redis.Pool }

func (s *redisStore) Find(token string) ([]byte, bool, error) {
	conn := s.pool.Get()
	defer conn.Close()
	b, err := redis.Bytes(conn.Do("GET", "scs:session:"+token))
	if err == redis.ErrNil {
		return nil, false, nil
	}
	return b, err == nil, err
}

func (s *redisStore) Commit(token string, b []byte, expiry time.Time) error {
	conn := s.pool.Get()
	defer conn.Close()
	_, err := conn.Do("SET", "scs:session:"+token, b, "PXAT", expiry.UnixMilli())
	return err
}

func (s *redisStore) Delete(token string) error {
	conn := s.pool.Get()
	defer conn.Close()
	_, err := conn.Do("DEL", "scs:session:"+token)
	return err
}

// newPool has time-outs, as this library has and as redigo's users are told to have.
func newPool(address string) *redis.Pool {
	const limit = 3 * time.Second
	return &redis.Pool{
		MaxIdle: connections,
		Dial: func() (redis.Conn, error) {
			return redis.Dial("tcp", address, redis.DialConnectTimeout(limit), redis.DialReadTimeout(limit), redis.DialWriteTimeout(limit))
		},
	}
}

// gorilla/sessions says: an authentication key of 32 or 64 bytes, and an encryption key of 32
// for AES-256. The large payload becomes a cookie of 6 KB, which browsers refuse; it is measured
// all the same.
const longestCookie = 8192

func keys() (hash, block []byte) {
	return securecookie.GenerateRandomKey(32), securecookie.GenerateRandomKey(32)
}

func startGorilla(s setup) (*pages, error) {
	hash, block := keys()
	var store gorilla.Store
	stop := func() {}
	switch s.driver {
	case memory:
		return nil, nil
	case cookie:
		cookies := gorilla.NewCookieStore(hash, block)
		cookies.Options.Secure = true
		for _, codec := range cookies.Codecs {
			codec.(*securecookie.SecureCookie).MaxLength(longestCookie)
		}
		store = cookies
	case server:
		redises, err := redistore.NewRediStore(connections, "tcp", s.address, "", "", hash)
		if err != nil {
			return nil, err
		}
		redises.Options.Secure = true
		store, stop = redises, func() { redises.Close() }
	}
	return gorillaPages(store, s.large, stop), nil
}

func gorillaPages(store gorilla.Store, large bool, stop func()) *pages {
	const name = "session"
	get := func(r *http.Request) *gorilla.Session {
		s, err := store.Get(r, name)
		fail(err)
		return s
	}
	return &pages{
		untouched: http.HandlerFunc(untouched), // it has no middleware
		fill: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := get(r)
			s.Values["name"] = r.Header.Get(clientField)
			s.Values["email"] = email
			s.Values["theme"] = theme
			s.Values["admin"] = true
			s.Values["visits"] = 0
			if large {
				s.Values["notes"] = notes
			}
			fail(s.Save(r, w))
			io.WriteString(w, ok)
		}),
		read: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			name, _ := get(r).Values["name"].(string)
			io.WriteString(w, name)
		}),
		write: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := get(r)
			visits, _ := s.Values["visits"].(int)
			visits++
			s.Values["visits"] = visits
			fail(s.Save(r, w))
			io.WriteString(w, strconv.Itoa(visits))
		}),
		flash: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := get(r)
			s.AddFlash(message)
			fail(s.Save(r, w))
			w.WriteHeader(http.StatusSeeOther)
		}),
		show: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := get(r)
			flashes := s.Flashes()
			fail(s.Save(r, w))
			if len(flashes) > 0 {
				io.WriteString(w, flashes[0].(string))
			}
		}),
		close: stop,
	}
}

func startGin(s setup) (*pages, error) {
	hash, block := keys()
	var store ginsessions.Store
	var err error
	switch s.driver {
	case memory:
		store = ginmemory.NewStore(hash)
	case cookie:
		if s.large { // its cookie would be too long, and its limit cannot be raised
			return nil, nil
		}
		store = gincookie.NewStore(hash, block)
	case server:
		store, err = ginredis.NewStore(connections, "tcp", s.address, "", "", hash)
	}
	if err != nil {
		return nil, err
	}
	store.Options(ginsessions.Options{Path: "/", MaxAge: 86400, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	return ginPages(store, s.large), nil
}

func ginPages(store ginsessions.Store, large bool) *pages {
	gin.SetMode(gin.ReleaseMode)
	page := func(do func(c *gin.Context)) http.Handler {
		engine := gin.New()
		engine.Use(ginsessions.Sessions("session", store))
		engine.GET("/", do)
		return engine
	}
	return &pages{
		untouched: page(func(c *gin.Context) { io.WriteString(c.Writer, ok) }),
		fill: page(func(c *gin.Context) {
			s := ginsessions.Default(c)
			s.Set("name", c.Request.Header.Get(clientField))
			s.Set("email", email)
			s.Set("theme", theme)
			s.Set("admin", true)
			s.Set("visits", 0)
			if large {
				s.Set("notes", notes)
			}
			fail(s.Save())
			io.WriteString(c.Writer, ok)
		}),
		read: page(func(c *gin.Context) {
			name, _ := ginsessions.Default(c).Get("name").(string)
			io.WriteString(c.Writer, name)
		}),
		write: page(func(c *gin.Context) {
			s := ginsessions.Default(c)
			visits, _ := s.Get("visits").(int)
			visits++
			s.Set("visits", visits)
			fail(s.Save())
			io.WriteString(c.Writer, strconv.Itoa(visits))
		}),
		flash: page(func(c *gin.Context) {
			s := ginsessions.Default(c)
			s.AddFlash(message)
			fail(s.Save())
			c.Status(http.StatusSeeOther)
			c.Writer.WriteHeaderNow()
		}),
		show: page(func(c *gin.Context) {
			s := ginsessions.Default(c)
			flashes := s.Flashes()
			fail(s.Save())
			if len(flashes) > 0 {
				fmt.Fprint(c.Writer, flashes[0])
			}
		}),
		close: func() {},
	}
}
