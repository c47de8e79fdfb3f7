package session_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"example.com/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// failingEndpoint returns an endpoint whose sessions cannot be saved, with a handler of errors.
func failingEndpoint(t *testing.T, protocol string, onError func(w http.ResponseWriter, r *http.Request, err error)) *endpoint {
	t.Helper()
	return failingEndpointUnder(t, protocol, onError, func(next http.Handler) http.Handler { return next })
}

// failingEndpointUnder is failingEndpoint with other middleware around it.
func failingEndpointUnder(t *testing.T, protocol string, onError func(w http.ResponseWriter, r *http.Request, err error),
	outer func(http.Handler) http.Handler) *endpoint {
	t.Helper()
	cfg := driverConfig(t, "memory")
	cfg.ErrorHandler = onError
	var down breaker
	down.open.Store(true)
	withFaults(t, &cfg).save = down.fault
	m := newManager(t, cfg)
	return newEndpoint(t, protocol, func(next http.Handler) http.Handler { return outer(m.Middleware(next)) })
}

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
	assert.NotContains(t, v.log.text(), "superfluous")
	if e.response.Request == nil || e.response.Request.Method != http.MethodHead {
		assert.EqualValues(t, len(e.body), e.response.ContentLength, "Content-Length")
	}
}

func TestFailedCommitSendsTheErrorHandlersAnswerWhole(t *testing.T) {
	large := strings.Repeat("sorry ", 50_000)
	for _, test := range []struct {
		name     string
		onError  func(w http.ResponseWriter, r *http.Request, err error)
		status   int
		body     string
		location string
	}{
		{
			name: "none", status: 503, body: "Service Unavailable\n",
		}, {
			name: "writes nothing", status: 503, body: "Service Unavailable\n",
			onError: func(w http.ResponseWriter, r *http.Request, err error) {},
		}, {
			name: "writes a status", status: 502,
			onError: func(w http.ResponseWriter, r *http.Request, err error) { w.WriteHeader(502) },
		}, {
			name: "writes a page", status: 500, body: "sorry\n",
			onError: func(w http.ResponseWriter, r *http.Request, err error) { http.Error(w, "sorry", 500) },
		}, {
			name: "writes much, bit by bit", status: 200, body: large,
			onError: func(w http.ResponseWriter, r *http.Request, err error) {
				for word := range strings.SplitAfterSeq(large, " ") {
					io.WriteString(w, word)
				}
			},
		}, {
			name: "redirects", status: 303, body: "<a href=\"/sorry\">See Other</a>.\n\n", location: "/sorry",
			onError: func(w http.ResponseWriter, r *http.Request, err error) {
				http.Redirect(w, r, "/sorry", http.StatusSeeOther)
			},
		}, {
			name: "writes twice", status: 500, body: "sorry",
			onError: func(w http.ResponseWriter, r *http.Request, err error) {
				w.WriteHeader(500)
				w.WriteHeader(200)
				io.WriteString(w, "sorry")
			},
		}, {
			name: "sends hints first", status: 500, body: "sorry",
			onError: func(w http.ResponseWriter, r *http.Request, err error) {
				w.WriteHeader(103)
				w.WriteHeader(500)
				io.WriteString(w, "sorry")
			},
		}, {
			name: "wants to be cached", status: 500, body: "sorry",
			onError: func(w http.ResponseWriter, r *http.Request, err error) {
				w.Header().Set("Cache-Control", "public, max-age=60")
				w.Header().Set("CDN-Cache-Control", "max-age=60")
				w.Header().Set("Surrogate-Control", "max-age=60")
				w.Header().Set("Content-Length", "99")
				w.WriteHeader(500)
				io.WriteString(w, "sorry")
			},
		}, {
			name: "has no body", status: 204,
			onError: func(w http.ResponseWriter, r *http.Request, err error) {
				w.WriteHeader(204)
				io.WriteString(w, "sorry")
			},
		}, {
			name: "panics", status: 503, body: "Service Unavailable\n",
			onError: func(w http.ResponseWriter, r *http.Request, err error) { panic("a bug in it") },
		}, {
			name: "panics half way", status: 503, body: "Service Unavailable\n",
			onError: func(w http.ResponseWriter, r *http.Request, err error) {
				http.Redirect(w, r, "/sorry", http.StatusSeeOther)
				w.Header().Set("Content-Encoding", "gzip")
				panic("a bug in it")
			},
		}, {
			name: "writes an impossible status", status: 503, body: "Service Unavailable\n",
			onError: func(w http.ResponseWriter, r *http.Request, err error) {
				w.WriteHeader(1000)
				io.WriteString(w, "sorry")
			},
		}, {
			name: "uses the session", status: 500, body: "sorry, <nil>",
			onError: func(w http.ResponseWriter, r *http.Request, err error) {
				s := session.FromRequest(r)
				s.Set("b", 2)
				w.WriteHeader(500)
				fmt.Fprintf(w, "sorry, %v", s.Get("user"))
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, protocol := range protocols {
				v := failingEndpoint(t, protocol, test.onError)
				e := v.serve(fails)
				assert.Equal(t, test.status, e.status(), protocol)
				assert.Equal(t, test.body, e.body)
				assert.Equal(t, test.location, e.response.Header.Get("Location"))
				for _, field := range []string{"Content-Encoding", "Cdn-Cache-Control", "Surrogate-Control"} {
					assert.NotContains(t, e.response.Header, field)
				}
				if test.status == http.StatusNoContent {
					assert.NotContains(t, e.response.Header, "Content-Length", "RFC 9110, section 8.6")
					e.response.ContentLength = 0
				}
				assertClean(t, v, e)
			}
		})
	}
}

func TestErrorAnswerToHEADHasTheLengthAndNoBody(t *testing.T) {
	for _, protocol := range protocols {
		v := failingEndpoint(t, protocol, nil)
		e := v.request(http.MethodHead, fails)
		assertClean(t, v, e)
		assert.Equal(t, http.StatusServiceUnavailable, e.status())
		assert.Empty(t, e.body)
		assert.Equal(t, "20", e.response.Header.Get("Content-Length"), protocol)
	}
}

// What a save did that has no answer is not known, so only safe methods may be repeated.
func TestRetryAfterStandsOnSafeMethodsOnly(t *testing.T) {
	v := failingEndpoint(t, "HTTP1", nil)
	for method, want := range map[string]string{"GET": "1", "HEAD": "1", "OPTIONS": "1", "POST": "", "PUT": "", "DELETE": ""} {
		e := v.request(method, fails)
		assert.Equal(t, want, e.response.Header.Get("Retry-After"), method)
	}
}

func TestErrorAnswerTellsTheClientNothingAndTheLogEverything(t *testing.T) {
	cfg := driverConfig(t, "memory")
	log := captureLog(&cfg)
	var told error
	cfg.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) { told = err }
	v := newEndpoint(t, "HTTP1", newManager(t, cfg).Middleware)
	e := v.serve(func(w http.ResponseWriter, r *http.Request) {
		session.FromRequest(r).Set("feed", make(chan int))
		fails(w, r)
	})
	assertClean(t, v, e)
	assert.Equal(t, http.StatusInternalServerError, e.status())
	assert.NotContains(t, e.raw, "feed")
	assert.ErrorContains(t, told, "feed")
	for _, part := range []string{"feed", "chan int", "method=GET", "path=/"} {
		assert.Contains(t, log.text(), part)
	}
}

func TestErrorHandlerThatAbortsTearsTheConnection(t *testing.T) {
	abort := func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	for name, h := range map[string]http.HandlerFunc{
		"as it is": fails,
		"recovered by the handler": func(w http.ResponseWriter, r *http.Request) {
			defer func() { recover() }()
			fails(w, r)
		},
	} {
		for _, protocol := range protocols {
			v := failingEndpoint(t, protocol, abort)
			e := v.serve(h)
			assert.Error(t, e.err, "%s on %s: %v", name, protocol, e.response)
			assert.Empty(t, e.raw)
		}
	}
}

func TestLaterWritesReturnTheCommitsError(t *testing.T) {
	for _, protocol := range protocols {
		v := failingEndpoint(t, protocol, nil)
		var got map[string]error
		e := v.serve(func(w http.ResponseWriter, r *http.Request) {
			session.FromRequest(r).Set("a", 1)
			w.WriteHeader(http.StatusOK)
			got = writeAll(w)
			got["Save"] = session.FromRequest(r).Save()
			got["Err"] = session.FromRequest(r).Err()
		})
		assertClean(t, v, e)
		for name, err := range got {
			assert.ErrorIs(t, err, session.ErrUnavailable, "%s on %s", name, protocol)
		}
		assert.GreaterOrEqual(t, len(got), 7)
	}
}

// writeAll tries every method that sends something, and returns their errors.
func writeAll(w http.ResponseWriter) map[string]error {
	errs := make(map[string]error)
	_, errs["Write"] = w.Write([]byte("page"))
	_, errs["WriteString"] = io.WriteString(w, "page")
	_, errs["Copy"] = io.Copy(w, struct{ io.Reader }{strings.NewReader("page")})
	errs["FlushError"] = w.(interface{ FlushError() error }).FlushError()
	errs["ResponseController"] = http.NewResponseController(w).Flush()
	if h, ok := w.(http.Hijacker); ok {
		_, _, errs["Hijack"] = h.Hijack()
	}
	w.WriteHeader(http.StatusEarlyHints)
	w.WriteHeader(http.StatusOK)
	return errs
}

// A save that failed is not made good behind the client's back: it was told 503 and has no cookie.
func TestSaveAfterAFailedCommitStoresNothing(t *testing.T) {
	for _, fresh := range []bool{true, false} {
		cfg := driverConfig(t, "memory")
		var down breaker
		withFaults(t, &cfg).save = down.fault
		v := newEndpoint(t, "HTTP1", newManager(t, cfg).Middleware)
		want := map[string]any{}
		if !fresh {
			v.begin(seedBefore)
			want["before"] = "b"
		}
		e := v.serve(func(w http.ResponseWriter, r *http.Request) {
			s := session.FromRequest(r)
			s.Set("user", "ann")
			s.Regenerate()
			down.open.Store(true)
			io.WriteString(w, "page")
			down.open.Store(false)
			s.Set("more", 1)
			assert.ErrorIs(t, s.Save(), session.ErrUnavailable)
		})
		assertClean(t, v, e)
		assert.Equal(t, want, v.found())
	}
}

// ownHeaders are what handlers say about their own page, and what must not stand on another.
var ownHeaders = http.Header{
	"Content-Type":               {"text/handler"},
	"Content-Length":             {"4"},
	"Content-Encoding":           {"handler"},
	"Content-Disposition":        {"attachment; filename=handler"},
	"Content-Language":           {"handler"},
	"Content-Range":              {"bytes 0-3/handler"},
	"Content-Security-Policy":    {"handler"},
	"Etag":                       {`"handler"`},
	"Last-Modified":              {"handler"},
	"Accept-Ranges":              {"handler"},
	"Cache-Control":              {"handler"},
	"Expires":                    {"handler"},
	"Location":                   {"/handler"},
	"Refresh":                    {"0; /handler"},
	"Trailer":                    {"Handler-Trailer"},
	"Transfer-Encoding":          {"handler"},
	"Upgrade":                    {"handler"},
	"Sec-Websocket-Accept":       {"handler"},
	"X-Accel-Redirect":           {"/handler"},
	"X-Sendfile":                 {"/handler"},
	http.TrailerPrefix + "Early": {"handler"},
}

func TestHandlersHeadersDoNotLeakIntoTheErrorAnswer(t *testing.T) {
	for _, protocol := range protocols {
		v := failingEndpoint(t, protocol, nil)
		e := v.serve(func(w http.ResponseWriter, r *http.Request) {
			session.FromRequest(r).Set("a", 1)
			for field, values := range ownHeaders {
				w.Header()[field] = values
			}
			io.WriteString(w, "page")
			w.Header().Set("Handler-Trailer", "handler")
			w.Header().Set(http.TrailerPrefix+"Late", "handler")
		})
		assertClean(t, v, e)
		assert.NotContains(t, e.raw, "handler", protocol)
		assert.Equal(t, "text/plain; charset=utf-8", e.response.Header.Get("Content-Type"))
		assert.Empty(t, e.response.Trailer, protocol)
	}
}

func TestTrailersThatAHandlerSetsBeforeItPanicsDoNotLeakEither(t *testing.T) {
	v := failingEndpoint(t, "HTTP2", nil)
	e := v.serve(func(w http.ResponseWriter, r *http.Request) {
		fails(w, r)
		w.Header().Set(http.TrailerPrefix+"Late", "handler")
		panic(http.ErrAbortHandler)
	})
	assertClean(t, v, e)
	assert.Empty(t, e.response.Trailer)
}

func TestOuterMiddlewaresHeadersStayOnTheErrorAnswer(t *testing.T) {
	outer := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Request-Id", "42")
			w.Header().Set("Content-Security-Policy", "default-src 'self'")
			w.Header().Set("Content-Language", "en")
			w.Header().Set("Location", "/outer")
			http.SetCookie(w, &http.Cookie{Name: "outer", Value: "1"})
			next.ServeHTTP(w, r)
		})
	}
	for _, protocol := range protocols {
		v := failingEndpointUnder(t, protocol, nil, outer)
		e := v.serve(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Security-Policy", "script-src 'unsafe-inline'")
			w.Header().Del("Content-Language")
			w.Header().Set("Access-Control-Allow-Origin", "https://example.com") // not about the page
			http.SetCookie(w, &http.Cookie{Name: "s_faulty", Value: "handler"})
			fails(w, r)
		})
		require.NoError(t, e.err)
		h := e.response.Header
		assert.Equal(t, []string{"42"}, h["X-Request-Id"])
		assert.Equal(t, []string{"default-src 'self'"}, h["Content-Security-Policy"], "the handler's stands in its place")
		assert.Equal(t, []string{"en"}, h["Content-Language"], "the handler took it out for its own page")
		assert.Equal(t, []string{"/outer"}, h["Location"])
		assert.Equal(t, []string{"https://example.com"}, h["Access-Control-Allow-Origin"])
		assert.Equal(t, []string{"outer=1"}, h["Set-Cookie"])
	}
}

// http.TimeoutHandler waits for the handler and then takes the header as it finds it.
func TestErrorAnswerStaysAsItIsInABufferFurtherOut(t *testing.T) {
	buffer := func(next http.Handler) http.Handler { return http.TimeoutHandler(next, time.Minute, "timed out") }
	v := failingEndpointUnder(t, "HTTP1", nil, buffer)
	e := v.serve(func(w http.ResponseWriter, r *http.Request) {
		session.FromRequest(r).Set("a", 1)
		io.WriteString(w, "page")
		w.Header().Set("Content-Type", "text/handler")
		w.Header().Set("X-Handler", "handler")
		w.Header().Del("X-Content-Type-Options")
	})
	assertClean(t, v, e)
	assert.Equal(t, http.StatusServiceUnavailable, e.status())
	assert.Equal(t, "nosniff", e.response.Header.Get("X-Content-Type-Options"))
	assert.NotContains(t, e.raw, "handler")
}

// backend serves what proxies have trouble with: a body that they cannot pass on.
func backend(t *testing.T) *url.URL {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/handler")
		w.Header().Set("Trailer", "Checksum")
		if r.URL.Path == "/hints" {
			w.WriteHeader(http.StatusEarlyHints)
		}
		if r.URL.Path != "/empty" {
			io.WriteString(w, strings.Repeat("page", 10_000))
		}
		w.Header().Set("Checksum", "handler")
	}))
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	require.NoError(t, err)
	return at
}

// A reverse proxy that cannot copy its body panics with http.ErrAbortHandler.
func TestReverseProxyAsTheHandlerStillYieldsACleanErrorAnswer(t *testing.T) {
	at := backend(t)
	for _, protocol := range protocols {
		for _, path := range []string{"/", "/empty", "/hints"} {
			t.Run(protocol+path, func(t *testing.T) {
				v := failingEndpoint(t, protocol, nil)
				proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
					r.SetURL(at)
					r.Out.URL.Path = path
				}}
				for range 2 { // a connection that was torn up would show at the next request
					e := v.serve(func(w http.ResponseWriter, r *http.Request) {
						session.FromRequest(r).Set("a", 1)
						proxy.ServeHTTP(w, r)
					})
					assertClean(t, v, e)
					assert.Equal(t, http.StatusServiceUnavailable, e.status())
					assert.Equal(t, "Service Unavailable\n", e.body)
					assert.Empty(t, e.response.Trailer)
				}
			})
		}
	}
}

func TestPanicAfterAFailedCommitGoesOnAndTheAnswerIsWhole(t *testing.T) {
	for _, protocol := range protocols {
		v := failingEndpoint(t, protocol, nil)
		e := v.serve(func(w http.ResponseWriter, r *http.Request) {
			fails(w, r)
			panic("a handler's bug")
		})
		assert.Equal(t, http.StatusServiceUnavailable, e.status())
		assert.Equal(t, "Service Unavailable\n", e.body, protocol)
		assert.Eventually(t, func() bool { return strings.Contains(v.log.text(), "a handler's bug") },
			5*time.Second, time.Millisecond, "%s: %s", protocol, v.log.text())
	}
}

// Where one of several sessions fails, those that are stored keep their cookie: what they did
// is done, and a token that rotated would be lost.
func TestSessionsThatWereSavedKeepTheirCookieOnTheErrorAnswer(t *testing.T) {
	for _, protocol := range protocols {
		cfg := driverConfig(t, "redis")
		var down breaker
		withFaults(t, &cfg).save = down.fault
		v := newEndpoint(t, protocol, newManager(t, cfg).Middleware)
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
			down.open.Store(true)
			s.Set("a", 1)
			io.WriteString(w, "page")
		})
		down.open.Store(false)
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
	cfg := driverConfig(t, "memory")
	var down breaker
	withFaults(t, &cfg).save = down.fault
	cfg.Default = "cookie"
	v := newEndpoint(t, "HTTP1", newManager(t, cfg).Middleware)
	down.open.Store(true)
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
	m := newManager(t, driverConfig(t, "redis"))
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
			broken, sound := driverConfig(t, "memory"), driverConfig(t, "memory")
			var down breaker
			down.open.Store(true)
			withFaults(t, &broken).save = down.fault
			sound.CookieAttributes.Prefix = "sound_"
			outer, inner := newManager(t, sound), newManager(t, broken)
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
			assert.NotContains(t, v.log.text(), "superfluous")
		})
	}
}

func TestTwoManagersOfOneCookieAreAnErrorThatNamesPrefix(t *testing.T) {
	var told error
	cfg := driverConfig(t, "memory")
	outer := newManager(t, cfg)
	cfg.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) { told = err }
	inner := newManager(t, cfg)
	v := newEndpoint(t, "HTTP1", func(next http.Handler) http.Handler { return outer.Middleware(inner.Middleware(next)) })
	e := v.serve(func(w http.ResponseWriter, r *http.Request) { assert.Fail(t, "the handler ran") })
	assert.Equal(t, http.StatusInternalServerError, e.status())
	assert.ErrorContains(t, told, "Prefix")
	assert.ErrorContains(t, told, `"s_memory"`)

	told = nil
	cfg.Default = "cookie"
	other := newManager(t, cfg)
	v = newEndpoint(t, "HTTP1", func(next http.Handler) http.Handler { return outer.Middleware(other.Middleware(next)) })
	v.serve(func(w http.ResponseWriter, r *http.Request) {
		_, err := session.FromRequest(r).Using("memory")
		assert.ErrorContains(t, err, "Prefix")
	})
}
