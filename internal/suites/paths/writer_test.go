package paths_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"example.com/session"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSourceThatFailsBeforeItsFirstByteCommitsNothing(t *testing.T) {
	broken := errors.New("the source is broken")
	for _, protocol := range protocols {
		m := kit.NewManager(t, kit.DriverConfig(t, "cookie"))
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

func TestHijackThatNothingSupportsCommitsNothing(t *testing.T) {
	inner := map[string]func(http.ResponseWriter) http.ResponseWriter{
		"no Hijacker":                 func(w http.ResponseWriter) http.ResponseWriter { return struct{ http.ResponseWriter }{w} },
		"a Hijacker that has nothing": func(w http.ResponseWriter) http.ResponseWriter { return claimsHijack{w} },
	}
	for name, wrap := range inner {
		t.Run(name, func(t *testing.T) {
			for _, driver := range []string{"memory", "cookie"} {
				m := kit.NewManager(t, kit.DriverConfig(t, driver))
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

func TestServerSentEventsArriveOneByOne(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		for _, protocol := range protocols {
			m := kit.NewManager(t, cfg)
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
			m := kit.NewManager(t, kit.DriverConfig(t, driver))
			var connections atomic.Int32
			server := httptest.NewUnstartedServer(kit.Routes{
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
			}.Under(m))
			server.EnableHTTP2 = true
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					connections.Add(1)
				}
			}
			server.StartTLS()
			t.Cleanup(server.Close)
			b := kit.NewBrowserAt(t, server)
			b.Get("/begin")
			var done sync.WaitGroup
			for i := range streams {
				done.Go(func() {
					response, err := b.Client.Get(fmt.Sprint(b.URL, "/add?", i))
					if assert.NoError(t, err) {
						io.Copy(io.Discard, response.Body)
						response.Body.Close()
						assert.Equal(t, http.StatusOK, response.StatusCode)
						assert.Empty(t, response.Cookies())
					}
				})
			}
			done.Wait()
			assert.Equal(t, "100 101", b.Get("/all").Body)
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
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
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
