package paths_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"example.com/session"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// failing returns an endpoint whose sessions cannot be saved, under outer middleware.
func failing(t *testing.T, protocol string, cfg session.Config, outer func(http.Handler) http.Handler) *endpoint {
	t.Helper()
	kit.WithFaults(t, &cfg).Break("save")
	m := kit.NewManager(t, cfg)
	return newEndpoint(t, protocol, func(next http.Handler) http.Handler { return outer(m.Middleware(next)) })
}

// bare is no middleware.
func bare(next http.Handler) http.Handler { return next }

// fails is a handler whose session cannot be saved, and which does not notice.
func fails(w http.ResponseWriter, r *http.Request) {
	session.FromRequest(r).Set("a", 1)
	w.Header().Set("Content-Type", "text/handler")
	w.WriteHeader(http.StatusCreated)
	for range 3 {
		io.WriteString(w, "page")
		http.NewResponseController(w).Flush()
	}
	w.WriteHeader(http.StatusTeapot)
}

// assertClean checks what holds for every error answer.
func assertClean(t *testing.T, v *endpoint, e exchange) {
	t.Helper()
	require.NoError(t, e.err)
	assert.NotContains(t, e.final, "page", "a byte of the handler's")
	assert.NotContains(t, e.final, "text/handler")
	assert.Empty(t, e.response.Cookies())
	assert.Equal(t, []string{"no-store"}, e.response.Header["Cache-Control"])
	assert.NotContains(t, v.log.Text(), "superfluous")
	if e.response.Request == nil || e.response.Request.Method != http.MethodHead {
		assert.EqualValues(t, len(e.body), e.response.ContentLength, "Content-Length")
	}
}

// What a save did that has no answer is not known, so only safe methods may be repeated.
func TestRetryAfterStandsOnSafeMethodsOnly(t *testing.T) {
	v := failing(t, "HTTP1", kit.DriverConfig(t, "memory"), bare)
	for method, want := range map[string]string{"GET": "1", "HEAD": "1", "OPTIONS": "1", "POST": "", "PUT": "", "DELETE": ""} {
		e := v.request(method, fails)
		assert.Equal(t, want, e.response.Header.Get("Retry-After"), method)
	}
}

// A page about the error may look for the user's language in the session. What it sets is lost.
func TestErrorHandlerMayUseTheSession(t *testing.T) {
	for _, protocol := range protocols {
		cfg := kit.DriverConfig(t, "memory")
		cfg.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
			s := session.FromRequest(r)
			s.Set("b", 2)
			assert.ErrorIs(t, s.Save(), session.ErrUnavailable)
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprintf(w, "sorry, %v", s.Get("user"))
		}
		v := failing(t, protocol, cfg, bare)
		e := v.serve(fails)
		assertClean(t, v, e)
		assert.Equal(t, http.StatusBadGateway, e.status(), protocol)
		assert.Equal(t, "sorry, <nil>", e.body)
	}
}

// Other middleware has set these fields about the response as a whole, and not about the page.
func TestOtherMiddlewaresFieldsStayOnTheErrorAnswer(t *testing.T) {
	outer := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Request-Id", "42")
			w.Header().Set("Content-Language", "en")
			http.SetCookie(w, &http.Cookie{Name: "outer", Value: "1"})
			next.ServeHTTP(w, r)
		})
	}
	for _, protocol := range protocols {
		v := failing(t, protocol, kit.DriverConfig(t, "memory"), outer)
		e := v.serve(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Security-Policy", "default-src 'self'")
			w.Header().Del("Content-Language")
			http.SetCookie(w, &http.Cookie{Name: "s_faulty", Value: "handler"})
			fails(w, r)
		})
		require.NoError(t, e.err)
		h := e.response.Header
		assert.Equal(t, []string{"42"}, h["X-Request-Id"])
		assert.Equal(t, []string{"default-src 'self'"}, h["Content-Security-Policy"], "the inner middleware's")
		assert.Equal(t, []string{"en"}, h["Content-Language"], "the handler removed it for its own page")
		assert.Equal(t, []string{"outer=1"}, h["Set-Cookie"])
	}
}

// The handler's page may be cached by the proxy in front, the error answer may not.
func TestErrorAnswerIsNeverCachedByAProxy(t *testing.T) {
	for name, change := range map[string]func(*session.Config){
		"":           func(*session.Config) {},
		"ByClientIP": func(cfg *session.Config) { cfg.Memory.ByClientIP = true },
	} {
		cfg := kit.DriverConfig(t, "memory")
		change(&cfg)
		v := newEndpoint(t, "HTTP1", kit.NewManager(t, cfg).Middleware)
		e := v.serve(func(w http.ResponseWriter, r *http.Request) {
			session.FromRequest(r).Set("channel", make(chan int))
			for field, value := range map[string]string{
				"X-Accel-Expires": "60", "Surrogate-Control": "max-age=60", "CDN-Cache-Control": "max-age=60",
				"Cache-Control": "public, s-maxage=60", "Expires": "Thu, 01 Jan 2099 00:00:00 GMT",
			} {
				w.Header().Set(field, value)
			}
			io.WriteString(w, "page")
		})
		assertClean(t, v, e)
		assert.Equal(t, http.StatusInternalServerError, e.status(), name)
		for _, field := range []string{"X-Accel-Expires", "Surrogate-Control", "Cdn-Cache-Control", "Expires"} {
			assert.NotContains(t, e.response.Header, field, name)
		}
	}
}

func TestErrorAnswerTellsTheClientNothingAndTheLogEverything(t *testing.T) {
	cfg := kit.DriverConfig(t, "memory")
	log := kit.CaptureLog(&cfg)
	var told error
	cfg.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) { told = err }
	v := newEndpoint(t, "HTTP1", kit.NewManager(t, cfg).Middleware)
	e := v.serve(func(w http.ResponseWriter, r *http.Request) {
		session.FromRequest(r).Set("feed", make(chan int))
		fails(w, r)
	})
	assertClean(t, v, e)
	assert.Equal(t, http.StatusInternalServerError, e.status())
	assert.NotContains(t, e.raw, "feed")
	assert.ErrorContains(t, told, "feed")
	for _, part := range []string{"feed", "chan int", "method=GET", "path=/"} {
		assert.Contains(t, log.Text(), part)
	}
}

// The client was told 503 and got no cookie, so nothing may be stored afterwards.
func TestSaveAfterAFailedCommitStoresNothing(t *testing.T) {
	for _, fresh := range []bool{true, false} {
		cfg := kit.DriverConfig(t, "memory")
		faulty := kit.WithFaults(t, &cfg)
		v := newEndpoint(t, "HTTP1", kit.NewManager(t, cfg).Middleware)
		want := map[string]any{}
		if !fresh {
			v.begin(seedBefore)
			want["before"] = "b"
		}
		e := v.serve(func(w http.ResponseWriter, r *http.Request) {
			s := session.FromRequest(r)
			s.Set("user", "ann")
			s.Regenerate()
			faulty.Break("save")
			io.WriteString(w, "page")
			faulty.Mend()
			s.Set("more", 1)
			assert.ErrorIs(t, s.Save(), session.ErrUnavailable)
		})
		assertClean(t, v, e)
		assert.Equal(t, want, v.found())
	}
}

// If one of several sessions fails, those that were saved keep their cookie. Otherwise a token that was
// replaced would be lost.
func TestSessionsThatWereSavedKeepTheirCookieOnTheErrorAnswer(t *testing.T) {
	for _, protocol := range protocols {
		cfg := kit.DriverConfig(t, "redis")
		faulty := kit.WithFaults(t, &cfg)
		v := newEndpoint(t, protocol, kit.NewManager(t, cfg).Middleware)
		memory := func(s *session.Session) *session.Session {
			other, err := s.Using("memory")
			require.NoError(t, err)
			return other
		}
		old := v.begin(func(s *session.Session) { seedBefore(memory(s)) }).cookie("s_memory")
		e := v.serve(func(w http.ResponseWriter, r *http.Request) {
			s := session.FromRequest(r)
			memory(s).Set("kept", true)
			memory(s).Flash("message", "kept")
			memory(s).Regenerate()
			assert.NoError(t, memory(s).Save())
			faulty.Break("save")
			s.Set("a", 1)
			io.WriteString(w, "page")
		})
		faulty.Mend()
		assert.Equal(t, http.StatusServiceUnavailable, e.status())
		require.Len(t, e.response.Cookies(), 2, protocol)
		require.NotNil(t, e.cookie("s_memory"))
		assert.NotEqual(t, old.Value, e.cookie("s_memory").Value)
		v.begin(func(s *session.Session) {
			assert.Equal(t, map[string]any{"before": "b", "kept": true, "message": "kept"}, memory(s).All())
			assert.Empty(t, s.All())
		})
	}
}

// A sealed record cannot be taken back once its cookie is out, so stores go first.
func TestCookieDriversSessionIsSavedOnlyAfterTheStoresHaveServed(t *testing.T) {
	cfg := kit.DriverConfig(t, "memory")
	faulty := kit.WithFaults(t, &cfg)
	cfg.Default = "cookie"
	v := newEndpoint(t, "HTTP1", kit.NewManager(t, cfg).Middleware)
	faulty.Break("save")
	e := v.serve(func(w http.ResponseWriter, r *http.Request) {
		s := session.FromRequest(r)
		s.Set("a", 1)
		other, err := s.Using("faulty")
		assert.NoError(t, err)
		other.Set("b", 2)
		io.WriteString(w, "page")
	})
	assert.Equal(t, http.StatusServiceUnavailable, e.status())
	assertClean(t, v, e)
}

// Whatever can fail without a store fails before anything is stored.
func TestValueThatCannotBeStoredFailsBeforeAnySessionIsSaved(t *testing.T) {
	m := kit.NewManager(t, kit.DriverConfig(t, "redis"))
	v := newEndpoint(t, "HTTP1", m.Middleware)
	for name, spoil := range map[string]func(s *session.Session){
		"a value that cannot be encoded": func(s *session.Session) { s.Set("channel", make(chan int)) },
		"a cookie that is too large":     func(s *session.Session) { s.Set("large", strings.Repeat("x", 5000)) },
		"a key that is too long":         func(s *session.Session) { s.Set(strings.Repeat("k", 256), 1) },
	} {
		e := v.serve(func(w http.ResponseWriter, r *http.Request) {
			s := session.FromRequest(r)
			s.Set("a", 1)
			other, err := s.Using("cookie")
			assert.NoError(t, err)
			spoil(other)
			io.WriteString(w, "page")
		})
		assertClean(t, v, e)
		assert.Equal(t, http.StatusInternalServerError, e.status(), name)
		assert.Zero(t, m.Stats().Saves, name)
	}
}

func TestOneManagersFailureIsTheAnswerOfBoth(t *testing.T) {
	for _, outerFails := range []bool{true, false} {
		t.Run(fmt.Sprintf("outer fails=%t", outerFails), func(t *testing.T) {
			broken, sound := kit.DriverConfig(t, "memory"), kit.DriverConfig(t, "memory")
			kit.WithFaults(t, &broken).Break("save")
			sound.CookieAttributes.Prefix = "sound_"
			outer, inner := kit.NewManager(t, sound), kit.NewManager(t, broken)
			if outerFails {
				outer, inner = inner, outer
			}
			v := newEndpoint(t, "HTTP1", func(next http.Handler) http.Handler { return outer.Middleware(inner.Middleware(next)) })
			e := v.serve(func(w http.ResponseWriter, r *http.Request) {
				outer.FromContext(r.Context()).Set("a", 1)
				inner.FromContext(r.Context()).Set("a", 1)
				_, err := io.WriteString(w, "page")
				assert.ErrorIs(t, err, session.ErrUnavailable)
			})
			assert.Equal(t, http.StatusServiceUnavailable, e.status())
			assert.NotContains(t, e.raw, "page")
			require.Len(t, e.response.Cookies(), 1)
			assert.Equal(t, "sound_memory", e.response.Cookies()[0].Name, "what is stored keeps its cookie")
			assert.NotContains(t, v.log.Text(), "superfluous")
		})
	}
}

func TestTwoManagersOfOneCookieAreAnErrorThatNamesPrefix(t *testing.T) {
	var told error
	cfg := kit.DriverConfig(t, "memory")
	outer := kit.NewManager(t, cfg)
	cfg.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) { told = err }
	inner := kit.NewManager(t, cfg)
	v := newEndpoint(t, "HTTP1", func(next http.Handler) http.Handler { return outer.Middleware(inner.Middleware(next)) })
	e := v.serve(func(w http.ResponseWriter, r *http.Request) { assert.Fail(t, "the handler ran") })
	assert.Equal(t, http.StatusInternalServerError, e.status())
	assert.ErrorContains(t, told, "Prefix")
	assert.ErrorContains(t, told, `"s_memory"`)

	told = nil
	cfg.Default = "cookie"
	other := kit.NewManager(t, cfg)
	v = newEndpoint(t, "HTTP1", func(next http.Handler) http.Handler { return outer.Middleware(other.Middleware(next)) })
	v.serve(func(w http.ResponseWriter, r *http.Request) {
		_, err := session.FromRequest(r).Using("memory")
		assert.ErrorContains(t, err, "Prefix")
	})
}
