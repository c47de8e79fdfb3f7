package frameworks_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"example.com/session"
	"example.com/session/internal/suites/kit"
	"github.com/gin-gonic/gin"
	fiber2 "github.com/gofiber/fiber/v2"
	adaptor2 "github.com/gofiber/fiber/v2/middleware/adaptor"
	recover2 "github.com/gofiber/fiber/v2/middleware/recover"
	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What docs/frameworks.md says cannot work, and how one notices.

func memory(t *testing.T) (*session.Manager, *kit.LogBook) {
	t.Helper()
	cfg := session.Config{Default: "memory"}
	log := kit.CaptureLog(&cfg)
	return kit.NewManager(t, cfg), log
}

func panicOf(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}

func TestFromContextOfGinSaysWhatToPass(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	m, _ := memory(t)
	for name, find := range map[string]func(c *gin.Context){
		"FromContext":         func(c *gin.Context) { session.FromContext(c) },
		"Manager.FromContext": func(c *gin.Context) { m.FromContext(c) },
	} {
		engine := gin.New()
		engine.GET("/", func(c *gin.Context) {
			assert.Equal(t, "session: "+name+": a *gin.Context does not lead to the session; pass c.Request.Context(), "+
				"and wrap the engine with Manager.Middleware", panicOf(func() { find(c) }))
			assert.NotNil(t, session.FromContext(c.Request.Context()))
		})
		kit.NewBrowser(t, m.Middleware(engine)).Get("/")
	}
	engine := gin.New()
	engine.ContextWithFallback = true
	engine.GET("/", func(c *gin.Context) { assert.Same(t, session.FromRequest(c.Request), session.FromContext(c)) })
	kit.NewBrowser(t, m.Middleware(engine)).Get("/")
}

// An adapter that calls the middleware from inside gin gives the session a writer that gin does not use.
func TestAdapterInsideGinLosesSessionsAndTheLogSaysSo(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	m, log := memory(t)
	engine := gin.New()
	engine.Use(func(c *gin.Context) {
		m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			c.Request = r
			c.Next()
		})).ServeHTTP(c.Writer, c.Request)
	})
	engine.GET("/", func(c *gin.Context) {
		c.String(http.StatusOK, "visit %d", session.FromRequest(c.Request).Increment("visits", 1))
	})
	b := kit.NewBrowser(t, engine)
	for range 2 {
		p := b.Get("/")
		assert.Equal(t, "visit 1", p.Body)
		assert.Empty(t, p.Header["Set-Cookie"])
	}
	assert.Contains(t, log.Text(), "session: the response was sent by another writer than the one of Manager.Middleware")
	assert.EqualValues(t, 2, m.Stats().LateChanges)
}

func TestMiddlewareInsideFiber2FailsEachRequest(t *testing.T) {
	m, _ := memory(t)
	app := fiber2.New()
	app.Use(recover2.New()) // without it the program ends
	app.Use(adaptor2.HTTPMiddleware(m.Middleware))
	app.Get("/", func(c *fiber2.Ctx) error { return c.SendString("page") })
	response, err := app.Test(httptest.NewRequest(http.MethodGet, "/", nil))
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Equal(t, http.StatusInternalServerError, response.StatusCode)
	assert.Equal(t, "net/http handler panicked", string(body))
}

// The adaptor runs the middleware around nothing, and the handler of fiber afterwards.
func TestMiddlewareInsideFiber3HasNoSession(t *testing.T) {
	m, _ := memory(t)
	app := fiber.New()
	app.Use(adaptor.HTTPMiddleware(m.Middleware))
	app.Get("/", func(c fiber.Ctx) error {
		for _, ctx := range []context.Context{c, c.RequestCtx()} {
			assert.Equal(t, fmt.Sprintf("session: FromContext: a %T never has a session; Manager.Middleware needs handlers of net/http", ctx),
				panicOf(func() { session.FromContext(ctx) }))
		}
		assert.Equal(t, "session: FromContext: no session in the context; wrap the handler with Manager.Middleware",
			panicOf(func() { session.FromContext(c.Context()) }))
		return c.SendString("page")
	})
	response, err := app.Test(httptest.NewRequest(http.MethodGet, "/", nil))
	require.NoError(t, err)
	response.Body.Close()
	assert.Equal(t, http.StatusOK, response.StatusCode)
}

// Handlers of net/http, with their middleware, work as a part of an application of fiber.
func TestHandlersOfNetHTTPWorkInsideFiber3(t *testing.T) {
	m, _ := memory(t)
	app := fiber.New()
	app.All("/*", adaptor.HTTPHandler(m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "visit %d", session.FromRequest(r).Increment("visits", 1))
	}))))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, want := range []string{"visit 1", "visit 2"} {
		response, err := app.Test(r)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Equal(t, want, string(body))
		for _, c := range response.Cookies() {
			r.AddCookie(c)
		}
	}
}
