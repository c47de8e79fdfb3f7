package session_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

// panicText returns the text that do panics with.
func panicText(do func()) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	do()
	return ""
}

func TestWithoutMiddlewareFromContextSaysWhatToDo(t *testing.T) {
	m := kit.NewManager(t, kit.DriverConfig(t, "memory"))
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
	m := kit.NewManager(t, kit.DriverConfig(t, "memory"))
	kit.NewVisitor(t, m).Serve(func(_ http.ResponseWriter, r *http.Request, s *session.Session) {
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
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		var outermost *session.Session
		between := func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				outermost = session.FromRequest(r)
				outermost.Set("outer", 1)
				next.ServeHTTP(w, r)
				outermost.Set("after", 1)
			})
		}
		b := kit.NewBrowser(t, m.Middleware(between(m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			s := session.FromRequest(r)
			assert.Same(t, outermost, s)
			assert.Equal(t, 1, s.Get("outer"))
			s.Set("inner", 1)
		})))))
		p := b.Get("/")
		assert.Len(t, p.Header["Set-Cookie"], map[bool]int{true: 2, false: 1}[cfg.Default == "cookie"])
		assert.EqualValues(t, 1, m.Stats().Saves)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) {
			assert.Equal(t, map[string]any{"outer": 1, "inner": 1, "after": 1}, s.All())
		}, "Cookie", p.SessionCookies("s_"+cfg.Default))
	})
}

func TestTwoManagersAreTwoSessions(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		outerConfig := cfg
		outerConfig.CookieAttributes.Prefix = "admin_"
		outer, inner := kit.NewManager(t, outerConfig), kit.NewManager(t, cfg)
		b := kit.NewBrowser(t, outer.Middleware(inner.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a, s := outer.FromContext(r.Context()), inner.FromContext(r.Context())
			assert.NotSame(t, a, s)
			assert.Same(t, s, session.FromRequest(r), "the innermost one")
			fmt.Fprint(w, a.Increment("n", 1), s.Increment("n", 10))
		}))))
		first := b.Get("/")
		assert.NotNil(t, first.Cookie("admin_"+cfg.Default))
		assert.NotNil(t, first.Cookie("s_"+cfg.Default))
		assert.Equal(t, []string{"Cookie"}, first.Header["Vary"])
		assert.Equal(t, "2 20", b.Get("/").Body)

		// The token of one opens nothing in the other.
		token := first.Cookie("admin_" + cfg.Default).Value
		kit.NewVisitor(t, inner).Visit(func(s *session.Session) { assert.True(t, s.IsNew()) },
			"Cookie", "s_"+cfg.Default+"="+token)
	})
}

// conflicting returns two managers that use the same cookies, and what requests failed with.
func conflicting(t *testing.T, outerDriver, innerDriver string) (outer, inner *session.Manager, failed *kit.Failures) {
	t.Helper()
	cfg := kit.DriverConfig(t, outerDriver)
	failed = kit.RecordFailures(&cfg)
	outer = kit.NewManager(t, cfg)
	cfg.Default = innerDriver
	return outer, kit.NewManager(t, cfg), failed
}

func TestTwoManagersOfOneCookieNameAreToldApartByAnError(t *testing.T) {
	for _, name := range kit.DriverNames {
		t.Run(name, func(t *testing.T) {
			outer, inner, failed := conflicting(t, name, name)
			called := false
			p := kit.NewBrowser(t, outer.Middleware(inner.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				called = true
			})))).Get("/")
			assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
			assert.False(t, called, "one of its two sessions would be lost")
			assert.Empty(t, p.Header["Set-Cookie"])
			assert.ErrorContains(t, failed.Last(), `session: two managers use the cookie "s_`+name+`"`)
			assert.ErrorContains(t, failed.Last(), "CookieAttributes.Prefix")
		})
	}
}

func TestTwoManagersOfOneCookieNameAreToldApartByUsing(t *testing.T) {
	t.Run("the inner one's", func(t *testing.T) {
		outer, inner, _ := conflicting(t, "memory", "cookie")
		p := kit.NewBrowser(t, outer.Middleware(inner.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, err := inner.FromContext(r.Context()).Using("memory")
			assert.ErrorContains(t, err, "CookieAttributes.Prefix")
		})))).Get("/")
		assert.Equal(t, http.StatusOK, p.StatusCode)
	})
	t.Run("the outer one's, before", func(t *testing.T) {
		outer, inner, failed := conflicting(t, "memory", "cookie")
		p := kit.NewBrowser(t, outer.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := session.FromRequest(r).Using("cookie")
			assert.NoError(t, err)
			inner.Middleware(http.NotFoundHandler()).ServeHTTP(w, r)
		}))).Get("/")
		assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
		assert.ErrorContains(t, failed.Last(), "CookieAttributes.Prefix")
	})
	t.Run("the outer one's, inside", func(t *testing.T) {
		outer, inner, _ := conflicting(t, "memory", "cookie")
		p := kit.NewBrowser(t, outer.Middleware(inner.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			inner.FromContext(r.Context()).Set("k", "inner")
			s, err := outer.FromContext(r.Context()).Using("cookie")
			if assert.ErrorContains(t, err, "CookieAttributes.Prefix") {
				return
			}
			s.Set("k", "outer")
		})))).Get("/")
		assert.Len(t, p.Cookies(), 2, "identity and data of the inner one's")
	})
}

func TestSkippedRequestsAreAsIfTheMiddlewareWereNotThere(t *testing.T) {
	cfg := kit.DriverConfig(t, "memory")
	cfg.Skip = func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/static/") }
	m := kit.NewManager(t, cfg)
	b := kit.NewBrowser(t, m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, ok := session.Lookup(r.Context())
		if ok {
			s.Set("k", 1)
		}
		_, wrapped := w.(interface{ Unwrap() http.ResponseWriter })
		fmt.Fprint(w, ok, " ", wrapped)
	})))
	skipped := b.Get("/static/app.css")
	assert.Equal(t, "false false", skipped.Body)
	assert.Empty(t, skipped.Header["Set-Cookie"])
	assert.Empty(t, skipped.Header["Vary"])
	served := b.Get("/page")
	assert.Equal(t, "true true", served.Body)
	assert.NotEmpty(t, served.Header["Set-Cookie"])
}

// writers open a session in each way that a request can.
var writers = map[string]func(s *session.Session){
	"Get":        func(s *session.Session) { s.Get("k") },
	"Set":        func(s *session.Session) { s.Set("k", 1) },
	"All":        func(s *session.Session) { s.All() },
	"Flash":      func(s *session.Session) { s.Flash("k", 1) },
	"FlashAdd":   func(s *session.Session) { s.FlashAdd("k", 1) },
	"Update":     func(s *session.Session) { session.Update(s, "k", func(n int) int { return n }) },
	"Regenerate": func(s *session.Session) { s.Regenerate(); s.Set("k", 1) },
	"Login":      func(s *session.Session) { s.Login("ann") },
	"Save":       func(s *session.Session) { s.Set("k", 1); s.Save() },
}

func TestWrongPasswordIsA500ThatTheLogExplains(t *testing.T) {
	server := redistest.Start(t, "--requirepass", "open sesame")
	for _, password := range []string{"", "open says me"} {
		cfg := session.Config{Default: "redis", Secret: kit.Secret,
			Redis: session.RedisConfig{Host: server.Host(), Port: server.Port(), Password: password}}
		failed, log := kit.RecordFailures(&cfg), kit.CaptureLog(&cfg)
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		for name, do := range writers {
			p := v.Visit(do, "Cookie", "s_redis="+wellFormed)
			assert.Equal(t, http.StatusInternalServerError, p.StatusCode, name)
			assert.Equal(t, "Internal Server Error\n", p.Body, name)
			assert.Empty(t, p.Header["Set-Cookie"], name)
			assert.NotErrorIs(t, failed.Last(), session.ErrUnavailable, name)
		}
		v.Visit(func(s *session.Session) { s.Set("a", 1); s.Set("b", strings.Repeat("x", 1000)) })
		assert.NotErrorIs(t, failed.Last(), session.ErrUnavailable, "a save that is the first command")
		assert.Contains(t, log.Text(), "the store refuses this configuration")
		assert.NotContains(t, log.Text(), "open says me")
	}
	assert.Empty(t, server.Keys(t))
}

func TestUnreachableRedisIsA503AndNothingIsStored(t *testing.T) {
	cfg := session.Config{Default: "redis", Secret: kit.Secret, Redis: session.RedisConfig{Port: kit.ClosedPort}}
	failed, log := kit.RecordFailures(&cfg), kit.CaptureLog(&cfg)
	v := kit.NewVisitor(t, kit.NewManager(t, cfg))
	for name, do := range writers {
		t.Run(name, func(t *testing.T) {
			p := v.Send(http.MethodGet, func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
				w.Header().Set("Location", "/welcome")
				elsewhere, err := s.Using("cookie")
				if assert.NoError(t, err) {
					elsewhere.Set("k", "not without the other")
				}
				do(s)
				w.WriteHeader(http.StatusFound)
				n, err := w.Write([]byte("welcome"))
				assert.Zero(t, n)
				assert.ErrorIs(t, err, session.ErrUnavailable)
				assert.ErrorIs(t, s.Err(), session.ErrUnavailable)
			}, "Cookie", "s_redis="+wellFormed)
			assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
			assert.Equal(t, "Service Unavailable\n", p.Body, "no detail")
			assert.Equal(t, "1", p.Header.Get("Retry-After"))
			assert.Empty(t, p.Header["Set-Cookie"])
			assert.Empty(t, p.Header["Location"])
			assert.Equal(t, "no-store", p.Header.Get("Cache-Control"))
			assert.ErrorIs(t, failed.Last(), session.ErrUnavailable)
			assert.ErrorContains(t, failed.Last(), "redis")
		})
	}
	assert.Contains(t, log.Text(), "session: the store is unavailable")
	assert.Contains(t, log.Text(), fmt.Sprint("127.0.0.1:", kit.ClosedPort), "the operator is told where")
	posted := v.Send(http.MethodPost, func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Set("k", 1) })
	assert.Empty(t, posted.Header.Get("Retry-After"), "the outcome is unknown: it must not be sent again by itself")
}

func TestErrorOfADriverNeverLooksLikeNoSession(t *testing.T) {
	cfg := kit.DriverConfig(t, "memory")
	failed, faulty := kit.RecordFailures(&cfg), kit.WithFaults(t, &cfg)
	v := kit.NewVisitor(t, kit.NewManager(t, cfg))
	v.Visit(func(s *session.Session) { s.Set("user", "ann") })
	for _, op := range []string{"load", "save"} {
		faulty.Break(op)
		p := v.Visit(func(s *session.Session) { s.Set("user", "nobody") })
		assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode, op)
		assert.ErrorIs(t, failed.Last(), kit.ErrDown, op)
		assert.ErrorIs(t, failed.Last(), session.ErrUnavailable, op)
		faulty.Mend()
		v.Visit(func(s *session.Session) { assert.Equal(t, "ann", s.Get("user"), op) })
	}
}

// rawGet sends a request as it stands and returns the answer.
func rawGet(t *testing.T, url, headers string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	go fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n%sConnection: close\r\n\r\n", headers)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	t.Cleanup(func() { answer.Body.Close() })
	return answer
}

func TestCookieOfAMegabyteHarmsNothing(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		handler := kit.NewManager(t, cfg).Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, session.FromRequest(r).All())
		}))
		server := httptest.NewUnstartedServer(handler)
		server.Config.MaxHeaderBytes = 4 << 20
		server.Start()
		defer server.Close()
		name := "s_" + cfg.Default
		for what, header := range map[string]string{
			"one value":    "Cookie: " + name + "=" + strings.Repeat("A", 1<<20) + "\r\n",
			"many cookies": "Cookie: " + strings.Repeat("a=b; ", 1<<17) + name + "=" + wellFormed + "\r\n",
			"many of ours": "Cookie: " + strings.Repeat(name+"=A; ", 1<<15) + name + "=B\r\n",
			"many lines":   strings.Repeat("Cookie: "+name+"="+wellFormed+"\r\n", 1<<13),
			"a long name":  "Cookie: " + strings.Repeat(name, 1<<16) + "=1\r\n",
			"a long blank": "Cookie: " + name + "=" + strings.Repeat(" ", 1<<20) + "x\r\n",
		} {
			answer := rawGet(t, server.URL, header)
			assert.Equal(t, http.StatusOK, answer.StatusCode, what)
		}

		usual := httptest.NewServer(handler)
		defer usual.Close()
		answer := rawGet(t, usual.URL, "Cookie: "+name+"="+strings.Repeat("A", 1<<20+1<<13)+"\r\n")
		assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, answer.StatusCode, "net/http's own limit comes first")
	})
}

// Config.ErrorHandler answers in place of the handler, and sees the cause.
func TestErrorHandlerAnswersInPlaceOfTheHandler(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
			assert.ErrorContains(t, err, `set ""`)
			assert.NotNil(t, session.FromRequest(r))
			w.Header().Set("Content-Type", "text/x-own")
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, "own answer")
		}
		p := kit.NewVisitor(t, kit.NewManager(t, cfg)).Serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			s.Set("", 1)
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Etag", `"x"`)
			fmt.Fprint(w, "the handler's answer")
		})
		assert.Equal(t, http.StatusTeapot, p.StatusCode)
		assert.Equal(t, "own answer", p.Body)
		assert.Equal(t, "text/x-own", p.Header.Get("Content-Type"))
		assert.Equal(t, "no-store", p.Header.Get("Cache-Control"))
		assert.Empty(t, p.Header.Get("Etag"))
	})
}
