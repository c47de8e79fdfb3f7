package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	ginsessions "github.com/gin-contrib/sessions"
	ginredis "github.com/gin-contrib/sessions/redis"
	"github.com/gin-gonic/gin"
	"github.com/gorilla/sessions"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/importers/gorilla"
	scsimport "example.com/session/importers/scs"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

// An old program signs ann in for twenty days, with tea in her cart.
type oldProgram struct {
	http.Handler
	importer session.Importer
}

const (
	oldCookie = "shop"
	twenty    = 20 * 24 * time.Hour
)

func onScs(*testing.T) oldProgram {
	old := scs.New()
	old.Store, old.Lifetime, old.Cookie.Name, old.Cookie.Persist = memstore.NewWithCleanupInterval(0), twenty, oldCookie, false
	return oldProgram{
		old.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			old.Put(r.Context(), "user", "ann")
			old.Put(r.Context(), "cart", "tea")
			old.RememberMe(r.Context(), true)
			fmt.Fprint(w, "<p>ann")
		})),
		scsimport.New(old, scsimport.Options{User: func(values map[string]any) (string, time.Time) {
			user, _ := values["user"].(string)
			return user, time.Time{}
		}}),
	}
}

var ofGorilla = gorilla.Options{User: func(values map[any]any) (string, time.Time) {
	user, _ := values["user"].(string)
	return user, time.Time{}
}}

var hashKey, blockKey = []byte(strings.Repeat("h", 32)), []byte(strings.Repeat("b", 32))

func gorillaProgram(store sessions.Store) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, _ := store.Get(r, oldCookie)
		s.Values["user"], s.Values["cart"] = "ann", "tea"
		if err := s.Save(r, w); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, "<p>ann")
	})
}

func onGorillaCookies(*testing.T) oldProgram {
	store := sessions.NewCookieStore(hashKey, blockKey)
	store.MaxAge(int(twenty.Seconds()))
	return oldProgram{gorillaProgram(store), gorilla.FromCookies(store, oldCookie, ofGorilla)}
}

func onGorillaFiles(t *testing.T) oldProgram {
	store := sessions.NewFilesystemStore(t.TempDir(), hashKey)
	store.MaxAge(int(twenty.Seconds()))
	return oldProgram{gorillaProgram(store), gorilla.FromStore(store, store.Codecs, store.Options, oldCookie, ofGorilla)}
}

func onGinAndRedis(t *testing.T) oldProgram {
	gin.SetMode(gin.ReleaseMode)
	store, err := ginredis.NewStore(4, "tcp", redistest.Shared(t).Addr(), "", "", hashKey, blockKey)
	require.NoError(t, err)
	store.Options(ginsessions.Options{Path: "/", MaxAge: int(twenty.Seconds())})
	kept, err := ginredis.GetRedisStore(store)
	require.NoError(t, err)
	t.Cleanup(func() { kept.Close() })
	engine := gin.New()
	engine.Use(ginsessions.Sessions(oldCookie, store))
	engine.GET("/*path", func(c *gin.Context) {
		s := ginsessions.Default(c)
		s.Set("user", "ann")
		s.Set("cart", "tea")
		if err := s.Save(); err != nil {
			c.AbortWithError(http.StatusInternalServerError, err)
			return
		}
		fmt.Fprint(c.Writer, "<p>ann")
	})
	return oldProgram{engine, gorilla.FromStore(kept, kept.Codecs, kept.Options, oldCookie, ofGorilla)}
}

// shop is the program on this library.
func shop(m *session.Manager) http.Handler {
	show := func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
		user, _ := s.User()
		cart := s.GetString("cart")
		fmt.Fprintf(w, "<p>%s %s %d %.0f days", user, strings.Trim(cart, "+"), strings.Count(cart, "+"), time.Until(s.ExpiresAt()).Hours()/24)
	}
	return kit.Routes{
		"/": show,
		"/add": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			session.Update(s, "cart", func(cart string) string { return cart + "+" })
		},
		"/out": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Logout()
			show(w, r, s)
		},
		"/favicon.ico": func(http.ResponseWriter, *http.Request, *session.Session) {},
	}.Under(m)
}

// A browser has signed in to a program written with another library. That one stops, and the same program
// on this library starts. The browser stays signed in, with its cart and until the same day, also if its next
// page sends 64 requests at once.
func TestABrowserStaysSignedInWhenItsApplicationMoves(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct {
		old    func(t *testing.T) oldProgram
		driver string
	}{
		"scs to memory":            {onScs, "memory"},
		"scs to cookies":           {onScs, "cookie"},
		"gorilla cookies to redis": {onGorillaCookies, "redis"},
		"gorilla files to cookies": {onGorillaFiles, "cookie"},
		"gin and redis to redis":   {onGinAndRedis, "redis"},
	} {
		t.Run(name, func(t *testing.T) {
			old := one.old(t)
			cfg := kit.DriverConfig(t, one.driver)
			cfg.Secret, cfg.Logger = kit.Secret, kit.Quiet
			cfg.Import, cfg.ImportUntil = old.importer, time.Now().Add(time.Hour)
			m := kit.NewManager(t, cfg)
			a := newApplication(t, session.Config{Default: "cookie", Secret: kit.Secret, Logger: kit.Quiet})
			quiet := a.server.Config.ErrorLog
			a.server = httptest.NewUnstartedServer(a.server.Config.Handler)
			a.server.EnableHTTP2, a.server.Config.ErrorLog = true, quiet // over HTTP/1 a browser has six connections
			a.server.StartTLS()
			t.Cleanup(a.server.Close)
			a.url = a.server.URL

			a.handler.Store(http.Handler(html(old)))
			b := a.open()
			b.visit("/")
			require.Contains(t, b.cookies(), oldCookie)
			a.handler.Store(http.Handler(html(shop(m))))
			testMovedBrowser(t, b, m, one.driver)
		})
	}
}

func testMovedBrowser(t *testing.T, b *tab, m *session.Manager, driver string) {
	b.visit("/")
	assert.Equal(t, "ann tea 0 20 days", b.text("p"))
	assert.Contains(t, b.cookies(), oldCookie, "a page that only reads moves nothing")
	all := eval[[]int](b, `Promise.all(Array.from({length: 64}, () => fetch("/add"))).then(all => all.map(r => r.status))`)
	for _, status := range all {
		assert.Equal(t, http.StatusOK, status)
	}
	b.visit("/")
	if driver == "cookie" { // the last response wins, as README says
		assert.Regexp(t, `^ann tea \d+ 20 days$`, b.text("p"))
	} else {
		assert.Equal(t, "ann tea 64 20 days", b.text("p"))
	}
	assert.NotContains(t, b.cookies(), oldCookie)
	assert.Contains(t, b.cookies(), "s_"+driver)
	assert.EqualValues(t, 1, m.Stats().Imported)
	b.visit("/out")
	b.visit("/")
	assert.NotContains(t, b.text("p"), "ann")
}

// html says that what a handler writes is a page.
func html(next http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		next.ServeHTTP(w, r)
	}
}
