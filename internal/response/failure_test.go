package response_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// writesPage is a handler that does not notice that its commit failed.
func writesPage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/handler")
	w.WriteHeader(http.StatusCreated)
	for range 3 {
		io.WriteString(w, "page")
		http.NewResponseController(w).Flush()
	}
	w.WriteHeader(http.StatusTeapot)
}

func TestFailedCommitSendsTheErrorAnswerWhole(t *testing.T) {
	type errorHandler = func(w http.ResponseWriter, r *http.Request, err error)
	large := strings.Repeat("sorry ", 50_000)
	for _, test := range []struct {
		name     string
		onError  errorHandler
		status   int
		body     string
		location string
		panicked any
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
			name: "writes the error", status: 500, body: errCommit.Error() + "\n",
			onError: func(w http.ResponseWriter, r *http.Request, err error) { http.Error(w, err.Error(), 500) },
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
				w.WriteHeader(103)
				w.WriteHeader(500)
				w.WriteHeader(200)
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
			name: "is not modified", status: 304,
			onError: func(w http.ResponseWriter, r *http.Request, err error) {
				w.Header().Set("Content-Length", "99")
				w.WriteHeader(304)
			},
		}, {
			name: "panics", status: 503, body: "Service Unavailable\n", panicked: "a bug in it",
			onError: func(w http.ResponseWriter, r *http.Request, err error) { panic("a bug in it") },
		}, {
			name: "panics half way", status: 503, body: "Service Unavailable\n", panicked: "a bug in it",
			onError: func(w http.ResponseWriter, r *http.Request, err error) {
				http.Redirect(w, r, "/sorry", http.StatusSeeOther)
				w.Header().Set("Content-Encoding", "gzip")
				panic("a bug in it")
			},
		}, {
			name: "writes an impossible status", status: 503, body: "Service Unavailable\n",
			panicked: "invalid WriteHeader code 1000",
			onError: func(w http.ResponseWriter, r *http.Request, err error) {
				w.WriteHeader(1000)
				io.WriteString(w, "sorry")
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, protocol := range protocols {
				hooks := failing()
				hooks.onError = test.onError
				e := serve(t, protocol, hooks.middleware(http.HandlerFunc(writesPage)))
				assertErrorAnswer(t, e)
				assert.Equal(t, []string{"header", "error answer", "cookies"}, hooks.calls)
				assert.Equal(t, test.panicked, hooks.panicked)
				assert.Equal(t, test.status, e.status(), protocol)
				assert.Equal(t, test.body, e.body)
				assert.Equal(t, test.location, e.response.Header.Get("Location"))
				for _, field := range []string{"Content-Encoding", "Cdn-Cache-Control", "Surrogate-Control"} {
					assert.NotContains(t, e.response.Header, field)
				}
				if test.body == "" && test.status != 502 {
					assert.NotContains(t, e.response.Header, "Content-Length", "RFC 9110, section 8.6")
				}
			}
		})
	}
}

func TestErrorAnswerToHEADHasTheLengthAndNoBody(t *testing.T) {
	for _, protocol := range protocols {
		e := request(t, protocol, http.MethodHead, failing().middleware(http.HandlerFunc(writesPage)))
		assertErrorAnswer(t, e)
		assert.Equal(t, http.StatusServiceUnavailable, e.status())
		assert.Empty(t, e.body)
		assert.Equal(t, "20", e.response.Header.Get("Content-Length"), protocol)
	}
}

// net/http discards a body that must not be there, and another inner writer may not.
func TestErrorAnswerWithoutABodyWritesNone(t *testing.T) {
	for method, status := range map[string]int{"HEAD": 500, "GET": 204, "POST": 304} {
		hooks := failing()
		hooks.onError = func(w http.ResponseWriter, r *http.Request, err error) {
			w.WriteHeader(status)
			io.WriteString(w, "sorry")
		}
		recorder := httptest.NewRecorder()
		hooks.middleware(http.HandlerFunc(writesPage)).ServeHTTP(recorder, httptest.NewRequest(method, "/", nil))
		assert.Equal(t, status, recorder.Code)
		assert.Empty(t, recorder.Body.String(), method)
	}
}

func TestDefaultAnswerHasTheStatusAndRetryAfterOfTheHook(t *testing.T) {
	hooks := failing()
	hooks.status, hooks.retryAfter = http.StatusForbidden, 7
	e := serve(t, "HTTP1", hooks.middleware(http.HandlerFunc(writesPage)))
	assertErrorAnswer(t, e)
	assert.Equal(t, http.StatusForbidden, e.status())
	assert.Equal(t, "Forbidden\n", e.body)
	assert.Equal(t, "7", e.response.Header.Get("Retry-After"))

	e = serve(t, "HTTP1", failing().middleware(http.HandlerFunc(writesPage)))
	assert.NotContains(t, e.response.Header, "Retry-After")
}

func TestErrorHandlerThatAbortsTearsTheConnection(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"as it is": writesPage,
		"recovered by the handler": func(w http.ResponseWriter, r *http.Request) {
			defer func() { recover() }()
			writesPage(w, r)
		},
	} {
		for _, protocol := range protocols {
			hooks := failing()
			hooks.onError = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
			e := serve(t, protocol, hooks.middleware(h))
			assert.Error(t, e.err, "%s on %s: %v", name, protocol, e.response)
			assert.Empty(t, e.raw)
			assert.Nil(t, hooks.panicked)
		}
	}
}

func TestLaterWritesReturnTheCommitsError(t *testing.T) {
	for _, protocol := range protocols {
		hooks := failing()
		var got map[string]error
		e := serve(t, protocol, hooks.middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			got = writeAll(w)
			got["Err"] = hooks.writer.Err()
		})))
		assertErrorAnswer(t, e)
		for name, err := range got {
			assert.Equal(t, errCommit, err, "%s on %s", name, protocol)
		}
		assert.GreaterOrEqual(t, len(got), 6)
		assert.Equal(t, []string{"header", "error answer", "cookies"}, hooks.calls)
	}
}

// The same must hold for the write that commits.
func TestFirstWriteReturnsTheCommitsError(t *testing.T) {
	for _, protocol := range protocols {
		for _, name := range []string{"Write", "WriteString", "Copy", "FlushError", "controller"} {
			e := serve(t, protocol, failing().middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, map[string]error{name: errCommit}, writeAll(w, name), protocol)
			})))
			assertErrorAnswer(t, e)
		}
	}
}

// writeAll tries the methods that send something, or those that are named, and returns their errors.
func writeAll(w http.ResponseWriter, only ...string) map[string]error {
	page := func() io.Reader { return struct{ io.Reader }{strings.NewReader("page")} }
	all := map[string]func() error{
		"Write":       func() error { _, err := w.Write([]byte("page")); return err },
		"WriteString": func() error { _, err := io.WriteString(w, "page"); return err },
		"Copy":        func() error { _, err := io.Copy(w, page()); return err },
		"FlushError":  func() error { return w.(interface{ FlushError() error }).FlushError() },
		"controller":  func() error { return http.NewResponseController(w).Flush() },
	}
	if h, ok := w.(http.Hijacker); ok {
		all["Hijack"] = func() error { _, _, err := h.Hijack(); return err }
	}
	errs := make(map[string]error)
	for name, write := range all {
		if len(only) == 0 || only[0] == name {
			errs[name] = write()
		}
	}
	w.WriteHeader(http.StatusEarlyHints)
	w.WriteHeader(http.StatusOK)
	return errs
}

func TestFailedHijackSendsTheErrorAnswer(t *testing.T) {
	hooks := failing()
	e := serve(t, "HTTP1", hooks.middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 2 {
			conn, _, err := w.(http.Hijacker).Hijack()
			assert.Nil(t, conn)
			assert.Equal(t, errCommit, err)
		}
	})))
	assertErrorAnswer(t, e)
	assert.Equal(t, http.StatusServiceUnavailable, e.status())
	assert.Equal(t, []string{"before hijack", "error answer", "cookies"}, hooks.calls)
}

// http.TimeoutHandler waits for the handler and then takes the header as it finds it.
func TestErrorAnswerIsNotChangedInABufferFurtherOut(t *testing.T) {
	h := failing().middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "page")
		w.Header().Set("Content-Type", "text/handler")
		w.Header().Set("X-Handler", "handler")
		w.Header().Del("X-Content-Type-Options")
	}))
	e := serve(t, "HTTP1", http.TimeoutHandler(h, time.Minute, "timed out"))
	assertErrorAnswer(t, e)
	assert.Equal(t, http.StatusServiceUnavailable, e.status())
	assert.Equal(t, "nosniff", e.response.Header.Get("X-Content-Type-Options"))
	assert.NotContains(t, e.raw, "handler")
}

// A reverse proxy that cannot copy its body panics with http.ErrAbortHandler.
func TestReverseProxyAsTheHandlerStillYieldsAWholeErrorAnswer(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	defer backend.Close()
	at, err := url.Parse(backend.URL)
	require.NoError(t, err)
	for _, protocol := range protocols {
		for _, path := range []string{"/", "/empty", "/hints"} {
			proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(at)
				r.Out.URL.Path = path
			}}
			e := serve(t, protocol, failing().middleware(proxy))
			require.NoError(t, e.err, "%s%s", protocol, path)
			assert.Equal(t, http.StatusServiceUnavailable, e.status(), "%s%s", protocol, path)
			assert.Equal(t, "Service Unavailable\n", e.body)
			assert.Empty(t, e.response.Trailer)
			assert.NotContains(t, e.log, "superfluous")
		}
	}
}

func TestPanicAfterAFailedCommitGoesOnAndTheAnswerIsWhole(t *testing.T) {
	for _, protocol := range protocols {
		e := serve(t, protocol, failing().middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			writesPage(w, r)
			panic("a handler's bug")
		})))
		assert.Equal(t, http.StatusServiceUnavailable, e.status())
		assert.Equal(t, "Service Unavailable\n", e.body, protocol)
		// An HTTP/2 server logs the panic after it has answered, and Close does not wait for that.
		assert.Eventually(t, func() bool { return strings.Contains(e.logged.text(), "a handler's bug") },
			20*time.Second, time.Millisecond, protocol)
	}
}

func TestOneWritersFailureIsTheAnswerOfBoth(t *testing.T) {
	for _, outerFails := range []bool{true, false} {
		outer, inner := new(fakeHooks), failing()
		if outerFails {
			outer, inner = inner, outer
		}
		e := serve(t, "HTTP1", outer.middleware(inner.middleware(http.HandlerFunc(
			func(w http.ResponseWriter, r *http.Request) {
				_, err := io.WriteString(w, "page")
				assert.Equal(t, errCommit, err)
			}))))
		assertErrorAnswer(t, e)
		assert.Equal(t, http.StatusServiceUnavailable, e.status())
		assert.Equal(t, !outerFails, e.response.Header["Set-Cookie"] != nil, "the outer writer's cookie")
	}
}
