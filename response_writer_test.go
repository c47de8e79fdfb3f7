package session_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"time"

	"example.com/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// calls are what reached an inner writer, by the name of the method.
type calls map[string]int

// The optional interfaces of a response writer, each alone.
type (
	flusher     struct{ calls }
	errFlusher  struct{ calls }
	hijacker    struct{ calls }
	readerFrom  struct{ calls }
	pusher      struct{ calls }
	plainWriter struct{ header http.Header }
	unwrapper   struct{ http.ResponseWriter }
)

func (c flusher) Flush()               { c.calls["Flush"]++ }
func (c errFlusher) FlushError() error { c.calls["Flush"]++; return nil }
func (c hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c.calls["Hijack"]++
	return nil, nil, nil
}
func (c readerFrom) ReadFrom(src io.Reader) (int64, error) {
	c.calls["ReadFrom"]++
	return io.Copy(io.Discard, src)
}
func (c pusher) Push(string, *http.PushOptions) error { c.calls["Push"]++; return nil }

func (w *plainWriter) Header() http.Header         { return w.header }
func (w *plainWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *plainWriter) WriteHeader(int)             {}
func (u unwrapper) Unwrap() http.ResponseWriter    { return u.ResponseWriter }

// An interfaceSet is a writer with some of the optional interfaces.
type interfaceSet struct {
	flush, hijack, read, push bool
	w                         http.ResponseWriter
}

func (s interfaceSet) String() string {
	return fmt.Sprintf("flush=%t,hijack=%t,read=%t,push=%t", s.flush, s.hijack, s.read, s.push)
}

// interfaceSets returns a writer for each set of the four interfaces.
func interfaceSets(c calls) []interfaceSet {
	type writer = http.ResponseWriter
	w, f, h, r, p := &plainWriter{header: http.Header{}}, flusher{c}, hijacker{c}, readerFrom{c}, pusher{c}
	return []interfaceSet{
		{w: w},
		{flush: true, w: struct {
			writer
			flusher
		}{w, f}},
		{hijack: true, w: struct {
			writer
			hijacker
		}{w, h}},
		{flush: true, hijack: true, w: struct {
			writer
			flusher
			hijacker
		}{w, f, h}},
		{read: true, w: struct {
			writer
			readerFrom
		}{w, r}},
		{flush: true, read: true, w: struct {
			writer
			flusher
			readerFrom
		}{w, f, r}},
		{hijack: true, read: true, w: struct {
			writer
			hijacker
			readerFrom
		}{w, h, r}},
		{flush: true, hijack: true, read: true, w: struct {
			writer
			flusher
			hijacker
			readerFrom
		}{w, f, h, r}},
		{push: true, w: struct {
			writer
			pusher
		}{w, p}},
		{flush: true, push: true, w: struct {
			writer
			flusher
			pusher
		}{w, f, p}},
		{hijack: true, push: true, w: struct {
			writer
			hijacker
			pusher
		}{w, h, p}},
		{flush: true, hijack: true, push: true, w: struct {
			writer
			flusher
			hijacker
			pusher
		}{w, f, h, p}},
		{read: true, push: true, w: struct {
			writer
			readerFrom
			pusher
		}{w, r, p}},
		{flush: true, read: true, push: true, w: struct {
			writer
			flusher
			readerFrom
			pusher
		}{w, f, r, p}},
		{hijack: true, read: true, push: true, w: struct {
			writer
			hijacker
			readerFrom
			pusher
		}{w, h, r, p}},
		{flush: true, hijack: true, read: true, push: true, w: struct {
			writer
			flusher
			hijacker
			readerFrom
			pusher
		}{w, f, h, r, p}},
	}
}

// under serves one request to inner under m's middleware.
func under(m *session.Manager, inner http.ResponseWriter, h http.HandlerFunc) {
	m.Middleware(h).ServeHTTP(inner, httptest.NewRequest(http.MethodGet, "/", nil))
}

// assertInterfaces checks that a handler's writer has the interfaces of a set and no other.
func assertInterfaces(t *testing.T, set interfaceSet, w http.ResponseWriter) {
	t.Helper()
	_, flushes := w.(http.Flusher)
	_, flushesError := w.(interface{ FlushError() error })
	_, hijacks := w.(http.Hijacker)
	_, reads := w.(io.ReaderFrom)
	_, pushes := w.(http.Pusher)
	assert.Equal(t, set.flush, flushes, "http.Flusher")
	assert.Equal(t, set.flush, flushesError, "FlushError")
	assert.Equal(t, set.hijack, hijacks, "http.Hijacker")
	assert.Equal(t, set.read, reads, "io.ReaderFrom")
	assert.Equal(t, set.push, pushes, "http.Pusher")
	assert.Implements(t, (*io.StringWriter)(nil), w)
	assert.Implements(t, (*interface{ Unwrap() http.ResponseWriter })(nil), w)
}

func TestWriterHasTheInterfacesOfTheInnerOneAndNoOther(t *testing.T) {
	m := newManager(t, driverConfig(t, "memory"))
	reached := calls{}
	for _, set := range interfaceSets(reached) {
		t.Run(set.String(), func(t *testing.T) {
			clear(reached)
			under(m, set.w, func(w http.ResponseWriter, r *http.Request) {
				assertInterfaces(t, set, w)
				assertReaches(t, set, w, reached)
			})
		})
	}
}

// assertReaches calls each method that a set promises and looks whether the inner one was called.
func assertReaches(t *testing.T, set interfaceSet, w http.ResponseWriter, reached calls) {
	t.Helper()
	want := calls{}
	if set.push {
		assert.NoError(t, w.(http.Pusher).Push("/x", nil))
		want["Push"] = 1
	}
	if set.flush {
		w.(http.Flusher).Flush()
		assert.NoError(t, w.(interface{ FlushError() error }).FlushError())
		assert.NoError(t, http.NewResponseController(w).Flush())
		want["Flush"] = 3
	}
	if set.read {
		n, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("page"))
		assert.NoError(t, err)
		assert.EqualValues(t, 4, n)
		want["ReadFrom"] = 1
	}
	if set.hijack {
		_, _, err := w.(http.Hijacker).Hijack()
		assert.NoError(t, err)
		_, _, err = http.NewResponseController(w).Hijack()
		assert.NoError(t, err)
		want["Hijack"] = 2
	}
	assert.Equal(t, want, reached)
}

// Behind an Unwrap, http.ResponseController finds Flusher and Hijacker, and would reach past the
// commit if the writer did not have them too.
func TestWriterFindsFlusherAndHijackerBehindUnwraps(t *testing.T) {
	m := newManager(t, driverConfig(t, "memory"))
	reached := calls{}
	for _, set := range interfaceSets(reached) {
		t.Run(set.String(), func(t *testing.T) {
			set.w = unwrapper{unwrapper{set.w}}
			set.read, set.push = false, false // nobody would find these
			under(m, set.w, func(w http.ResponseWriter, r *http.Request) {
				clear(reached)
				assertInterfaces(t, set, w)
				assertReaches(t, set, w, reached)
			})
		})
	}
}

func TestWriterOfAnInnerOneWithFlushErrorAloneFlushes(t *testing.T) {
	m := newManager(t, driverConfig(t, "memory"))
	reached := calls{}
	inner := struct {
		http.ResponseWriter
		errFlusher
	}{&plainWriter{header: http.Header{}}, errFlusher{reached}}
	under(m, inner, func(w http.ResponseWriter, r *http.Request) {
		assertInterfaces(t, interfaceSet{flush: true}, w)
		w.(http.Flusher).Flush()
		assert.Equal(t, calls{"Flush": 1}, reached)
	})
}

// A writer between the middleware and net/http, as those that log or compress, hides what it
// does not pass on; a ResponseController looks behind it.
func TestFlushBehindAnUnwrapCommitsFirst(t *testing.T) {
	m := newManager(t, driverConfig(t, "memory"))
	v := newEndpoint(t, "HTTP1", func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.Middleware(next).ServeHTTP(unwrapper{w}, r)
		})
	})
	e := v.serve(func(w http.ResponseWriter, r *http.Request) {
		session.FromRequest(r).Set("a", 1)
		assert.NoError(t, http.NewResponseController(w).Flush())
	})
	assert.NotNil(t, e.cookie("s_memory"))
}

func TestEveryInterfaceSetIsWrappedWithoutAllocation(t *testing.T) {
	m := newManager(t, driverConfig(t, "memory"))
	h := m.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, set := range interfaceSets(calls{}) {
		allocs := testing.AllocsPerRun(100, func() { h.ServeHTTP(set.w, r) })
		assert.LessOrEqual(t, allocs, 2.0, "%v: the request, and the copy of *http.Request", set)
	}
}

// A sendfileSpy stands between net/http and the middleware and counts the files it is given.
type sendfileSpy struct {
	http.ResponseWriter
	files *int
}

func (s sendfileSpy) ReadFrom(src io.Reader) (int64, error) {
	from := src
	if limited, ok := src.(*io.LimitedReader); ok {
		from = limited.R
	}
	if _, ok := from.(syscall.Conn); ok { // what package net needs for sendfile
		*s.files++
	}
	return s.ResponseWriter.(io.ReaderFrom).ReadFrom(src)
}

// The kernel sends a file by itself (sendfile) only where net/http's own ReadFrom gets it.
func TestFilesReachTheInnerReadFrom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.bin")
	content := bytes.Repeat([]byte("0123456789abcdef"), 10_000)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	for name, send := range map[string]func(w http.ResponseWriter, r *http.Request){
		"ServeFile": func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) },
		"Copy":      func(w http.ResponseWriter, r *http.Request) { copyFile(t, w, path) },
		"Copy after the header": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			copyFile(t, w, path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newManager(t, driverConfig(t, "memory"))
			files := 0
			v := newEndpoint(t, "HTTP1", func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					m.Middleware(next).ServeHTTP(sendfileSpy{w, &files}, r)
				})
			})
			e := v.serve(func(w http.ResponseWriter, r *http.Request) {
				session.FromRequest(r).Set("a", 1)
				send(w, r)
			})
			assert.Equal(t, 1, files)
			assert.Equal(t, string(content), e.body)
			assert.NotNil(t, e.cookie("s_memory"))
		})
	}
}

func copyFile(t *testing.T, w http.ResponseWriter, path string) {
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	_, err = io.Copy(w, file)
	assert.NoError(t, err)
}

func TestCopiedBodiesAreWhole(t *testing.T) {
	for _, protocol := range protocols {
		m := newManager(t, driverConfig(t, "memory"))
		v := newEndpoint(t, protocol, m.Middleware)
		plain := newEndpoint(t, protocol, func(next http.Handler) http.Handler { return next })
		for _, size := range []int{0, 1, 511, 512, 513, 100_000} {
			body := "<!DOCTYPE html>" + strings.Repeat("x", 100_000)
			serve := func(w http.ResponseWriter, r *http.Request) {
				n, err := io.Copy(w, iotest.HalfReader(strings.NewReader(body[:size])))
				assert.NoError(t, err)
				assert.EqualValues(t, size, n)
			}
			got, want := v.serve(serve), plain.serve(serve)
			assert.Equal(t, want.body, got.body, "%s: %d bytes", protocol, size)
			assert.Equal(t, want.response.Header["Content-Type"], got.response.Header["Content-Type"])
		}
	}
}

func TestSourceThatFailsBeforeItsFirstByteCommitsNothing(t *testing.T) {
	broken := errors.New("the source is broken")
	for _, protocol := range protocols {
		m := newManager(t, driverConfig(t, "cookie"))
		v := newEndpoint(t, protocol, m.Middleware)
		e := v.serve(func(w http.ResponseWriter, r *http.Request) {
			s := session.FromRequest(r)
			_, err := io.Copy(w, iotest.ErrReader(broken))
			assert.ErrorIs(t, err, broken)
			s.Set("failed", true)
			http.Redirect(w, r, "/sorry", http.StatusSeeOther)
		})
		assert.Equal(t, http.StatusSeeOther, e.status(), protocol)
		assert.Equal(t, map[string]any{"failed": true}, v.found())
	}
}

func TestSourceThatFailsLaterIsReportedWithWhatItGave(t *testing.T) {
	broken := errors.New("the source is broken")
	m := newManager(t, driverConfig(t, "memory"))
	v := newEndpoint(t, "HTTP1", m.Middleware)
	for _, given := range []string{"p", strings.Repeat("p", 5000)} {
		e := v.serve(func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(w, io.MultiReader(strings.NewReader(given), iotest.ErrReader(broken)))
			assert.ErrorIs(t, err, broken)
			assert.EqualValues(t, len(given), n)
		})
		assert.Equal(t, given, e.body)
	}
}

func TestSourceThatGivesNothingForeverEnds(t *testing.T) {
	m := newManager(t, driverConfig(t, "memory"))
	v := newEndpoint(t, "HTTP1", m.Middleware)
	e := v.serve(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(w, readerFunc(func([]byte) (int, error) { return 0, nil }))
		assert.ErrorIs(t, err, io.ErrNoProgress)
		w.WriteHeader(http.StatusBadGateway)
	})
	assert.Equal(t, http.StatusBadGateway, e.status())
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestInvalidStatusPanicsAsNetHTTPDoesAndCommitsNothing(t *testing.T) {
	m := newManager(t, driverConfig(t, "memory"))
	v := newEndpoint(t, "HTTP1", m.Middleware)
	for _, status := range []int{-1, 0, 99, 1000} {
		e := v.serve(func(w http.ResponseWriter, r *http.Request) {
			session.FromRequest(r).Set("a", 1)
			assert.Panics(t, func() { w.WriteHeader(status) }, "%d", status)
			assert.Zero(t, m.Stats().Saves)
			panic(http.ErrAbortHandler)
		})
		assert.Nil(t, e.response)
	}
}

func TestTrailersArriveAsWithoutTheMiddleware(t *testing.T) {
	for _, protocol := range protocols {
		m := newManager(t, driverConfig(t, "memory"))
		v := newEndpoint(t, protocol, m.Middleware)
		e := v.serve(func(w http.ResponseWriter, r *http.Request) {
			session.FromRequest(r).Set("a", 1)
			w.Header().Set("Trailer", "Checksum")
			io.WriteString(w, "page")
			http.NewResponseController(w).Flush()
			w.Header().Set("Checksum", "abc")
			w.Header().Set(http.TrailerPrefix+"Late", "def")
		})
		assert.Equal(t, http.Header{"Checksum": {"abc"}, "Late": {"def"}}, e.response.Trailer, protocol)
	}
}

func TestHijackThatNothingSupportsCommitsNothing(t *testing.T) {
	inner := map[string]func(http.ResponseWriter) http.ResponseWriter{
		"no Hijacker":                 func(w http.ResponseWriter) http.ResponseWriter { return struct{ http.ResponseWriter }{w} },
		"a Hijacker that has nothing": func(w http.ResponseWriter) http.ResponseWriter { return claimsHijack{w} },
	}
	for name, wrap := range inner {
		t.Run(name, func(t *testing.T) {
			for _, driver := range []string{"memory", "cookie"} {
				m := newManager(t, driverConfig(t, driver))
				v := newEndpoint(t, "HTTP1", func(next http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						m.Middleware(next).ServeHTTP(wrap(w), r)
					})
				})
				e := v.serve(func(w http.ResponseWriter, r *http.Request) {
					s := session.FromRequest(r)
					s.Set("before", 1)
					_, _, err := http.NewResponseController(w).Hijack()
					assert.ErrorIs(t, err, http.ErrNotSupported)
					s.Set("after", 2)
					s.Regenerate()
					assert.NoError(t, s.Err())
				})
				assert.NotNil(t, e.cookie("s_"+driver))
				assert.Equal(t, map[string]any{"before": 1, "after": 2}, v.found())
			}
		})
	}
}

// claimsHijack is a writer of middleware that always has the method, as many do.
type claimsHijack struct{ http.ResponseWriter }

func (claimsHijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, fmt.Errorf("the writer below cannot: %w", http.ErrNotSupported)
}

func TestFileServerServesRangesAndNotModifiedAsWithoutTheMiddleware(t *testing.T) {
	modified := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	files := http.FileServerFS(fstest.MapFS{
		"page.txt": {Data: []byte("0123456789"), ModTime: modified},
	})
	for _, protocol := range protocols {
		m := newManager(t, driverConfig(t, "memory"))
		with := newEndpoint(t, protocol, m.Middleware)
		without := newEndpoint(t, protocol, func(next http.Handler) http.Handler { return next })
		for _, header := range [][]string{
			nil,
			{"Range", "bytes=2-4"},
			{"Range", "bytes=-3"},
			{"Range", "bytes=0-1,5-6"},
			{"Range", "bytes=99-"},
			{"If-Modified-Since", modified.Format(http.TimeFormat)},
			{"If-Unmodified-Since", modified.Add(-time.Hour).Format(http.TimeFormat)},
		} {
			serve := func(w http.ResponseWriter, r *http.Request) {
				if s, ok := session.Lookup(r.Context()); ok {
					s.Increment("downloads", 1)
				}
				r.URL.Path = "/page.txt"
				files.ServeHTTP(w, r)
			}
			got, want := with.serve(serve, header...), without.serve(serve, header...)
			assert.Equal(t, want.status(), got.status(), "%s %v", protocol, header)
			assert.Equal(t, normalized(want), normalized(got), "%s %v", protocol, header)
		}
		assert.Equal(t, map[string]any{"downloads": 7}, with.found())
	}
}

// normalized returns fields and body without what the middleware adds and what is random.
func normalized(e exchange) string {
	header := e.response.Header.Clone()
	for _, field := range []string{"Date", "Set-Cookie", "Vary", "Cache-Control"} {
		header.Del(field)
	}
	var fields strings.Builder
	header.Write(&fields)
	all := fields.String() + e.body
	if _, boundary, ok := strings.Cut(header.Get("Content-Type"), "boundary="); ok {
		all = strings.ReplaceAll(all, boundary, "boundary")
	}
	return all
}

func TestServerSentEventsArriveOneByOne(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		for _, protocol := range protocols {
			m := newManager(t, cfg)
			seen := make(chan struct{})
			v := newEndpoint(t, protocol, func(http.Handler) http.Handler {
				return m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					session.FromRequest(r).Set("streams", true)
					w.Header().Set("Content-Type", "text/event-stream")
					for i := range 3 {
						fmt.Fprintf(w, "data: %d\n\n", i)
						assert.NoError(t, http.NewResponseController(w).Flush())
						<-seen // nothing more is sent until the client has this one
					}
				}))
			})
			v.serving.Store(&turn{done: make(chan struct{})})
			response, err := v.server.Client().Get(v.server.URL)
			require.NoError(t, err)
			assert.NotEmpty(t, response.Cookies())
			events := bufio.NewReader(response.Body)
			for i := range 3 {
				event, err := events.ReadString('\n')
				require.NoError(t, err)
				assert.Equal(t, fmt.Sprintf("data: %d\n", i), event)
				events.ReadString('\n')
				seen <- struct{}{}
			}
			response.Body.Close()
		}
	})
}

func TestParallelStreamsOfOneConnectionLoseNoWrite(t *testing.T) {
	for _, driver := range []string{"memory", "redis"} {
		t.Run(driver, func(t *testing.T) {
			const streams = 100
			var inside sync.WaitGroup // so that all of them have loaded before one saves
			inside.Add(streams)
			m := newManager(t, driverConfig(t, driver))
			var connections atomic.Int32
			server := httptest.NewUnstartedServer(routes{
				"/begin": func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Set("n", 0) },
				"/add": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
					s.Increment("n", 1)
					s.Set("of "+r.URL.RawQuery, true)
					inside.Done()
					inside.Wait()
					io.WriteString(w, "added")
				},
				"/all": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
					fmt.Fprint(w, s.GetInt("n"), " ", len(s.All()))
				},
			}.under(m))
			server.EnableHTTP2 = true
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					connections.Add(1)
				}
			}
			server.StartTLS()
			t.Cleanup(server.Close)
			b := newBrowserAt(t, server)
			b.get("/begin")
			var done sync.WaitGroup
			for i := range streams {
				done.Go(func() {
					response, err := b.client.Get(fmt.Sprint(b.url, "/add?", i))
					if assert.NoError(t, err) {
						io.Copy(io.Discard, response.Body)
						response.Body.Close()
						assert.Equal(t, http.StatusOK, response.StatusCode)
						assert.Empty(t, response.Cookies())
					}
				})
			}
			done.Wait()
			assert.Equal(t, "100 101", b.get("/all").body)
			assert.EqualValues(t, 1, connections.Load())
		})
	}
}

// upgradeEcho is a server that switches protocols and then echoes lines.
func upgradeEcho(t *testing.T) *url.URL {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "echo" {
			io.WriteString(w, "backend")
			return
		}
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, lines, err := http.NewResponseController(w).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		defer conn.Close()
		for line := ""; err == nil; line, err = lines.ReadString('\n') {
			io.WriteString(conn, line)
		}
	}))
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	require.NoError(t, err)
	return at
}

func TestReverseProxyUpgradesThroughTheMiddleware(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		proxy := httputil.NewSingleHostReverseProxy(upgradeEcho(t))
		v := newEndpoint(t, "HTTP1", m.Middleware)
		v.begin(func(s *session.Session) { s.Set("before", 1) })
		var sessionErr error
		now := &turn{done: make(chan struct{}), handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := session.FromRequest(r)
			s.Set("upgraded", true)
			proxy.ServeHTTP(w, r)
			sessionErr = s.Err()
		})}
		v.serving.Store(now)
		echoThrough(t, v)
		<-now.done
		if cfg.Default == "cookie" { // the proxy takes the connection over and then writes its header itself
			assert.ErrorIs(t, sessionErr, session.ErrLateChange)
			return
		}
		assert.NoError(t, sessionErr)
		assert.Equal(t, map[string]any{"before": 1, "upgraded": true}, v.found())
	})
}

// echoThrough upgrades a connection with the jar's cookies and sends a line there and back.
func echoThrough(t *testing.T, v *endpoint) {
	t.Helper()
	conn := v.dial()
	defer conn.Close()
	r, err := http.NewRequest(http.MethodGet, v.server.URL, nil)
	require.NoError(t, err)
	for _, c := range v.jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "echo")
	require.NoError(t, r.Write(conn))
	lines := bufio.NewReader(conn)
	response, err := http.ReadResponse(lines, r)
	require.NoError(t, err)
	assert.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
	assert.Empty(t, response.Cookies())
	_, err = io.WriteString(conn, "hello\n")
	require.NoError(t, err)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "hello\n", line)
}
