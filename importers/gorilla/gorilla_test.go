package gorilla_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boj/redistore"
	ginsessions "github.com/gin-contrib/sessions"
	gincookie "github.com/gin-contrib/sessions/cookie"
	ginredis "github.com/gin-contrib/sessions/redis"
	"github.com/gin-gonic/gin"
	"github.com/gomodule/redigo/redis"
	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/importers/gorilla"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

func init() { gin.SetMode(gin.ReleaseMode) }

const cookieName = "app"

var (
	hashKey   = []byte(strings.Repeat("h", 32))
	blockKey  = []byte(strings.Repeat("b", 32))
	retired   = []byte(strings.Repeat("r", 32))
	forgotten = []byte(strings.Repeat("f", 32))
)

// oldProgram is an application as it was written with gorilla/sessions.
func oldProgram(store sessions.Store) http.Handler {
	mux := http.NewServeMux()
	change := func(path string, do func(values map[any]any, r *http.Request)) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			s, _ := store.Get(r, cookieName)
			do(s.Values, r)
			if err := s.Save(r, w); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
	}
	change("/in", func(values map[any]any, r *http.Request) { values["user"] = r.FormValue("user") })
	change("/add", func(values map[any]any, r *http.Request) {
		cart, _ := values["cart"].(string)
		values["cart"] = strings.Trim(cart+","+r.FormValue("item"), ",")
	})
	change("/odd", func(values map[any]any, _ *http.Request) { values[7] = "seven" })
	return mux
}

// oldGinProgram is the same written with gin-contrib/sessions.
func oldGinProgram(store ginsessions.Store) http.Handler {
	engine := gin.New()
	engine.Use(ginsessions.Sessions(cookieName, store))
	engine.GET("/in", func(c *gin.Context) {
		s := ginsessions.Default(c)
		s.Set("user", c.Query("user"))
		s.Save()
	})
	engine.GET("/add", func(c *gin.Context) {
		s := ginsessions.Default(c)
		cart, _ := s.Get("cart").(string)
		s.Set("cart", strings.Trim(cart+","+c.Query("item"), ","))
		s.Save()
	})
	return engine
}

// newProgram is the same on package session.
func newProgram(m *session.Manager) http.Handler {
	return kit.Routes{
		"/add": func(_ http.ResponseWriter, r *http.Request, s *session.Session) {
			session.Update(s, "cart", func(cart string) string { return strings.Trim(cart+","+r.FormValue("item"), ",") })
		},
		"/page": func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			user, _ := s.User()
			w.Write([]byte(user + ": " + s.GetString("cart")))
		},
		"/out": func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Logout() },
	}.Under(m)
}

var options = gorilla.Options{User: func(values map[any]any) (string, time.Time) {
	user, _ := values["user"].(string)
	return user, time.Time{}
}}

// An old application, and the importer of its sessions.
type old struct {
	program  http.Handler
	importer session.Importer
	cookies  bool // they hold the sessions
}

func cookieStore(keys ...[]byte) *sessions.CookieStore {
	store := sessions.NewCookieStore(keys...)
	store.Options = &sessions.Options{Path: "/", HttpOnly: true}
	store.MaxAge(20 * 24 * 3600)
	return store
}

func ofCookies(program http.Handler, store *sessions.CookieStore) old {
	return old{program, gorilla.FromCookies(store, cookieName, options), true}
}

// programs are old applications with each kind of store.
func programs(t *testing.T) map[string]old {
	server := redistest.Shared(t)
	open := func(serializer redistore.SessionSerializer) *redistore.RediStore {
		store, err := redistore.NewRediStore(4, "tcp", server.Addr(), "", "", hashKey, blockKey)
		require.NoError(t, err)
		t.Cleanup(func() { store.Close() })
		store.SetKeyPrefix(kit.Namespace(t) + ":")
		store.SetSerializer(serializer)
		store.SetMaxAge(20 * 24 * 3600)
		return store
	}
	ofRedis := func(store *redistore.RediStore) old {
		return old{oldProgram(store), gorilla.FromStore(store, store.Codecs, store.Options, cookieName, options), false}
	}
	files := sessions.NewFilesystemStore(t.TempDir(), hashKey)
	files.MaxAge(20 * 24 * 3600)
	inGin := gincookie.NewStore(hashKey, blockKey)
	inGin.Options(ginsessions.Options{Path: "/", MaxAge: 20 * 24 * 3600})
	host, port, err := net.SplitHostPort(server.Addr())
	require.NoError(t, err)
	ginStore, err := ginredis.NewStore(4, "tcp", net.JoinHostPort(host, port), "", "", hashKey)
	require.NoError(t, err)
	ginStore.Options(ginsessions.Options{Path: "/", MaxAge: 20 * 24 * 3600})
	ginRedis, err := ginredis.GetRedisStore(ginStore)
	require.NoError(t, err)
	t.Cleanup(func() { ginRedis.Close() })
	return map[string]old{
		"cookies, signed":    ofCookies(oldProgram(cookieStore(hashKey)), cookieStore(hashKey)),
		"cookies, encrypted": ofCookies(oldProgram(cookieStore(hashKey, blockKey)), cookieStore(hashKey, blockKey)),
		"cookies, keys rotated": ofCookies(oldProgram(cookieStore(retired)),
			cookieStore(hashKey, blockKey, retired, nil)),
		"files":          {oldProgram(files), gorilla.FromStore(files, files.Codecs, files.Options, cookieName, options), false},
		"redis, gob":     ofRedis(open(redistore.GobSerializer{})),
		"redis, JSON":    ofRedis(open(redistore.JSONSerializer{})),
		"gin in cookies": ofCookies(oldGinProgram(inGin), cookieStore(hashKey, blockKey)),
		"gin in redis": {oldGinProgram(ginStore),
			gorilla.FromStore(ginRedis, ginRedis.Codecs, ginRedis.Options, cookieName, options), false},
	}
}

// A migration is an application that has moved, and the browser of a user who has signed in before.
type migration struct {
	*testing.T
	old
	manager *session.Manager
	clock   *kit.Clock
	log     *kit.LogBook
	browser *kit.Browser
	before  string // its Cookie line then
}

func migrate(t *testing.T, o old, paths ...string) *migration {
	m := &migration{T: t, old: o}
	cfg := kit.DriverConfig(t, "redis")
	m.log = kit.CaptureLog(&cfg)
	cfg.Import, cfg.ImportUntil = o.importer, time.Now().Add(30*24*time.Hour)
	cfg.StoreTimeout = time.Minute // 64 requests at once on a busy machine
	before := kit.NewBrowser(t, o.program)
	for _, path := range append([]string{"/in?user=ann", "/add?item=tea"}, paths...) {
		require.Equal(t, http.StatusOK, before.Get(path).StatusCode)
	}
	r, err := http.NewRequest(http.MethodGet, before.URL, nil)
	require.NoError(t, err)
	for _, c := range before.Client.Jar.Cookies(r.URL) {
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

func onEachProgram(t *testing.T, test func(m *migration)) {
	for name, o := range programs(t) {
		t.Run(name, func(t *testing.T) { test(migrate(t, o)) })
	}
}

func (m *migration) stranger(path, cookies string) kit.Page {
	m.Helper()
	return m.browser.Another().Get(path, "Cookie", cookies)
}

func TestUsersOfGorillaStaySignedIn(t *testing.T) {
	onEachProgram(t, func(m *migration) {
		assert.Equal(m, "ann: tea", m.browser.Get("/page").Body)
		p := m.browser.Get("/add?item=milk")
		assert.Negative(m, p.Cookie(cookieName).MaxAge)
		assert.Equal(m, "ann: tea,milk", m.browser.Get("/page").Body)
		m.clock.Advance(19 * 24 * time.Hour)
		assert.Equal(m, "ann: tea,milk", m.browser.Get("/page").Body, "the Max-Age of the old cookie counts")
		m.clock.Advance(24*time.Hour + time.Minute)
		assert.Equal(m, ": ", m.browser.Get("/page").Body)
	})
}

func TestParallelRequestsOfAGorillaUserMakeOneSession(t *testing.T) {
	onEachProgram(t, func(m *migration) {
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() { assert.Equal(m, http.StatusOK, m.stranger("/add?item=x", m.before).StatusCode) })
		}
		wg.Wait()
		assert.EqualValues(m, 1, m.manager.Stats().Imported)
		list, err := m.manager.Sessions(m.Context(), "ann")
		require.NoError(m, err)
		require.Len(m, list, 1)
		assert.Equal(m, 64, strings.Count(m.stranger("/page", m.before).Body, "x"))
	})
}

// A cookie that holds the session stays good. The new driver knows that it was imported.
func TestACopiedCookieOfGorillaOpensNothing(t *testing.T) {
	onEachProgram(t, func(m *migration) {
		m.browser.Get("/add?item=milk")
		for _, wait := range []time.Duration{31 * time.Second, 15 * 24 * time.Hour} {
			m.clock.Advance(wait)
			assert.Equal(m, ": ", m.stranger("/page", m.before).Body)
			assert.Equal(m, ": ", m.stranger("/page", m.stranger("/add?item=x", m.before).Next("")).Body[:2])
		}
		assert.EqualValues(m, 1, m.manager.Stats().Imported)
		assert.Equal(m, "ann: tea,milk", m.browser.Get("/page").Body)
	})
}

func TestASignOutEndsTheSessionOfGorilla(t *testing.T) {
	onEachProgram(t, func(m *migration) {
		assert.Negative(m, m.browser.Get("/out").Cookie(cookieName).MaxAge)
		for _, cookies := range []string{"", m.before} {
			assert.Equal(m, ": ", m.stranger("/page", cookies).Body)
		}
		if !m.cookies { // the old program does not open it either
			old := kit.NewBrowser(m.T, m.program)
			old.Get("/add?item=x", "Cookie", m.before)
			assert.Equal(m, ": ", m.stranger("/page", m.before).Body)
		}
	})
}

func TestCookiesThatGorillaRefusesOpenNothing(t *testing.T) {
	values := map[any]any{"user": "eve"}
	seal := func(name string, keys ...[]byte) string {
		value, err := securecookie.EncodeMulti(name, values, securecookie.CodecsFromPairs(keys...)...)
		require.NoError(t, err)
		return value
	}
	expired := ""
	synctest.Test(t, func(*testing.T) { expired = seal(cookieName, hashKey) }) // its clock begins in the year 2000
	unsigned, err := securecookie.GobEncoder{}.Serialize(values)
	require.NoError(t, err)
	unnamed, err := securecookie.EncodeMulti(cookieName, "", securecookie.CodecsFromPairs(hashKey)...)
	require.NoError(t, err)
	const wasRefused, isDamaged = "the cookie of an old session was refused", "cannot be imported"
	for what, refused := range map[string]struct{ value, reason string }{
		"none":                     {"", "the value is not valid"},
		"garbage":                  {"garbage", "base64 decode failed"},
		"unsigned":                 {base64.URLEncoding.EncodeToString(unsigned), "the value is not valid"},
		"another name":             {seal("other", hashKey), "the value is not valid"},
		"a key that is not listed": {seal(cookieName, forgotten), "the value is not valid"},
		"another block key":        {seal(cookieName, hashKey, blockKey), "error - caused by"},
		"expired":                  {expired, "expired timestamp"},
		"too long":                 {seal(cookieName, hashKey) + strings.Repeat("A", 4097), "browsers keep no more than 4096"},
		"without an ID":            {unnamed, ""},
		"cut off":                  {seal(cookieName, hashKey)[:40], "the value is not valid"},
	} {
		for _, name := range []string{"cookies, signed", "files"} {
			t.Run(what+"/"+name, func(t *testing.T) {
				m := migrate(t, programs(t)[name])
				p := m.stranger("/page", cookieName+"="+refused.value)
				assert.Equal(t, ": ", p.Body)
				assert.Empty(t, p.Cookies())
				assert.Contains(t, m.log.Text(), refused.reason)
				if name == "files" || what != "another block key" && what != "without an ID" {
					assert.Contains(t, m.log.Text(), wasRefused)
				} else {
					assert.Contains(t, m.log.Text(), isDamaged, "it is signed")
				}
				if len(refused.value) > 10 {
					assert.NotContains(t, m.log.Text(), refused.value[:10])
				}
			})
		}
	}
}

// The new program was given the keys of another one: its log says so.
func TestAWrongKeyIsLogged(t *testing.T) {
	store := cookieStore(hashKey)
	m := migrate(t, old{oldProgram(store), gorilla.FromCookies(cookieStore(forgotten, blockKey, retired), cookieName, options), true})
	assert.Equal(t, ": ", m.browser.Get("/page").Body)
	assert.Contains(t, m.log.Text(), "session: the cookie of an old session was refused")
	assert.Contains(t, m.log.Text(), "none of 2 keys opens the cookie")
}

func TestWhatCannotBeReadIsLoggedAndLeftAlone(t *testing.T) {
	for _, name := range []string{"cookies, signed", "redis, gob"} {
		t.Run(name, func(t *testing.T) {
			m := migrate(t, programs(t)[name], "/odd")
			p := m.browser.Get("/page")
			assert.Equal(t, ": ", p.Body)
			assert.Empty(t, p.Cookies())
			assert.Contains(t, m.log.Text(), "the key 7 is a int: set Options.Values")
		})
	}
}

type address struct{ City string }

// The new program has not registered all types of the old one.
func TestATypeThatGobDoesNotKnowIsLogged(t *testing.T) {
	m := migrate(t, programs(t)["cookies, signed"])
	gob.RegisterName("app.Address", address{})
	gobbed, err := securecookie.GobEncoder{}.Serialize(map[any]any{"user": "ann", "address": address{"Wien"}})
	require.NoError(t, err)
	unknown := bytes.Replace(gobbed, []byte("app.Address"), []byte("app.Gone..."), 1)
	for want, payload := range map[string][]byte{"ann: ": gobbed, ": ": unknown} {
		signed, err := securecookie.New(hashKey, nil).SetSerializer(securecookie.NopEncoder{}).Encode(cookieName, payload)
		require.NoError(t, err)
		assert.Equal(t, want, m.stranger("/page", cookieName+"="+signed).Body)
	}
	assert.Contains(t, m.log.Text(), "cannot be imported")
	assert.Contains(t, m.log.Text(), "app.Gone...")
}

func TestASessionThatNamesItselfIsImportedOnce(t *testing.T) {
	named := options
	named.ID = func(values map[any]any) string { return values["user"].(string) }
	store := cookieStore(hashKey)
	m := migrate(t, old{oldProgram(store), gorilla.FromCookies(store, cookieName, named), true})
	earlier := m.before
	p := kit.NewBrowser(t, m.program).Get("/add?item=milk", "Cookie", m.before)
	m.stranger("/add?item=x", p.Next(""))
	m.clock.Advance(31 * time.Second)
	assert.Equal(t, ": ", m.stranger("/page", earlier).Body, "an earlier cookie of the session opens nothing either")
}

// A server that cannot be asked is an outage.
func TestAnOutageOfTheOldRedisIsAnOutage(t *testing.T) {
	server := redistest.Start(t)
	store, err := redistore.NewRediStore(4, "tcp", server.Addr(), "", "", hashKey)
	require.NoError(t, err)
	t.Cleanup(func() { store.Close() })
	m := migrate(t, old{oldProgram(store), gorilla.FromStore(store, store.Codecs, store.Options, cookieName, options), false})
	server.Stop()
	for _, path := range []string{"/page", "/add?item=x", "/out"} {
		p := m.browser.Get(path)
		assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode, path)
		assert.Empty(t, p.Cookies(), path)
	}
}

// A browser deletes a cookie only by its name, Domain and Path, and a partitioned one only as such.
func TestTheOldCookieIsDeletedWithItsAttributes(t *testing.T) {
	store := cookieStore(hashKey)
	store.Options.Domain, store.Options.Path, store.Options.Partitioned, store.Options.Secure = "example.test", "/shop", true, true
	value, err := securecookie.EncodeMulti(cookieName, map[any]any{"user": "ann"}, store.Codecs...)
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodGet, "/shop", nil)
	r.AddCookie(&http.Cookie{Name: cookieName, Value: value})
	found, err := gorilla.FromCookies(store, cookieName, options).Find(r)
	require.NoError(t, err)
	require.Len(t, found.Expire, 1)
	c := found.Expire[0]
	assert.Equal(t, [3]string{cookieName, "example.test", "/shop"}, [3]string{c.Name, c.Domain, c.Path})
	assert.True(t, c.Partitioned && c.Secure && c.HttpOnly)
}

// What is stored cannot be decoded. Only a row that is cut off passes for an outage: redistore says the same
// of a connection.
func TestDamagedRowsOfRedistoreAreNoOutage(t *testing.T) {
	var text bytes.Buffer
	require.NoError(t, gob.NewEncoder(&text).Encode("text"))
	for name, rows := range map[string][]string{"redis, gob": {text.String()}, "redis, JSON": {"{", "[]"}} {
		t.Run(name, func(t *testing.T) {
			m := migrate(t, programs(t)[name])
			conn, err := redis.Dial("tcp", redistest.Shared(t).Addr())
			require.NoError(t, err)
			defer conn.Close()
			keys := kit.StoredKeys(t, conn, kit.Namespace(t))
			require.NotEmpty(t, keys)
			for _, row := range rows {
				for _, key := range keys {
					_, err := conn.Do("SET", key, row)
					require.NoError(t, err)
				}
				p := m.browser.Get("/page")
				assert.Equal(t, http.StatusOK, p.StatusCode, row)
				assert.Equal(t, ": ", p.Body)
			}
			assert.Contains(t, m.log.Text(), "cannot be imported")
			assert.Negative(t, m.browser.Get("/out").Cookie(cookieName).MaxAge, "a sign-out heals it")
		})
	}
}

// FilesystemStore deletes no file that has expired, so a job of the operator does.
func TestASessionWhoseFileIsGoneIsOver(t *testing.T) {
	dir := t.TempDir()
	store := sessions.NewFilesystemStore(dir, hashKey)
	m := migrate(t, old{oldProgram(store), gorilla.FromStore(store, store.Codecs, store.Options, cookieName, options), false})
	require.Equal(t, "ann: tea", m.browser.Get("/page").Body)
	require.NoError(t, os.RemoveAll(dir))
	assert.Equal(t, ": ", m.browser.Get("/page").Body)
	assert.Equal(t, http.StatusOK, m.browser.Get("/out").StatusCode)
}
