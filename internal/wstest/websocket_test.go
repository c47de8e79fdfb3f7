// Package wstest_test drives a WebSocket library through the session middleware. It is a module of
// its own, so that the library needs no WebSocket.
package wstest_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/redistest"
	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// An echo upgrades requests and echoes messages. It counts them in the session as it goes.
type echo struct {
	before func(s *session.Session)       // runs before the upgrade
	after  func(s *session.Session) error // runs for each message
	ended  chan error                     // of each upgrade, once the middleware has returned

	err error // why the upgrade failed, or the session's Err when the handler returned
}

// around runs the middleware, and reports afterwards how an upgrade ended: what came after the header is
// stored by then.
func (h *echo) around(middleware http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		middleware.ServeHTTP(w, r)
		if r.URL.Path != "/begin" {
			h.ended <- h.err
		}
	})
}

func (h *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	if r.URL.Path == "/begin" {
		s.Set("user", "ann")
		return
	}
	h.before(s)
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		h.err = err
		return
	}
	defer conn.CloseNow()
	defer func() { h.err = s.Err() }()
	for {
		kind, message, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		if err := h.after(s); err != nil {
			conn.Close(websocket.StatusPolicyViolation, err.Error())
			return
		}
		if conn.Write(r.Context(), kind, message) != nil {
			return
		}
	}
}

// serve runs h under a manager of the named driver. The client has a session, where begin asks
// for one.
func serve(t *testing.T, driver string, begin bool, h *echo) (*session.Manager, *httptest.Server, *http.Client) {
	t.Helper()
	cfg := session.Config{Default: driver, Secret: session.NewSecret(), Logger: slog.New(slog.DiscardHandler)}
	if driver == "redis" {
		server := redistest.Shared(t)
		cfg.Redis = session.RedisConfig{Host: server.Host(), Port: server.Port(), Namespace: t.Name()}
	}
	m, err := session.NewManager(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, m.Close()) })
	h.ended = make(chan error, 1)
	server := httptest.NewServer(h.around(m.Middleware(h)))
	t.Cleanup(server.Close)
	client := server.Client()
	client.Jar, err = cookiejar.New(nil)
	require.NoError(t, err)
	if begin {
		response, err := client.Get(server.URL + "/begin")
		require.NoError(t, err)
		response.Body.Close()
	}
	return m, server, client
}

func dial(t *testing.T, server *httptest.Server, client *http.Client) (*websocket.Conn, *http.Response) {
	t.Helper()
	conn, response, err := websocket.Dial(t.Context(), server.URL, &websocket.DialOptions{HTTPClient: client})
	require.NoError(t, err)
	t.Cleanup(func() { conn.CloseNow() })
	return conn, response
}

// say sends a message and expects it back.
func say(t *testing.T, conn *websocket.Conn, message string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, conn.Write(ctx, websocket.MessageText, []byte(message)))
	_, got, err := conn.Read(ctx)
	require.NoError(t, err)
	assert.Equal(t, message, string(got))
}

// found returns what the client's next request finds in its session.
func found(t *testing.T, m *session.Manager, client *http.Client) (all map[string]any) {
	t.Helper()
	server := httptest.NewServer(m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		all = session.FromRequest(r).All()
	})))
	defer server.Close()
	response, err := client.Get(server.URL) // cookies know no ports
	require.NoError(t, err)
	response.Body.Close()
	server.Close() // after it, the handler has returned
	return all
}

func TestEchoWorksAndWhatWasStoredBeforeTheUpgradeIsSeen(t *testing.T) {
	for _, driver := range []string{"memory", "cookie", "redis"} {
		for _, begin := range []bool{true, false} {
			t.Run(driver+"/"+map[bool]string{true: "old", false: "new"}[begin], func(t *testing.T) {
				h := &echo{
					before: func(s *session.Session) { s.Set("upgraded", true) },
					after:  func(s *session.Session) error { return nil },
				}
				m, server, client := serve(t, driver, begin, h)
				conn, response := dial(t, server, client)
				cookies := 0
				if driver == "cookie" || !begin {
					cookies++ // the data, or the token
				}
				if driver == "cookie" && !begin {
					cookies++ // the identity
				}
				assert.Len(t, response.Cookies(), cookies)
				say(t, conn, "hello")
				say(t, conn, "again")
				assert.Equal(t, true, found(t, m, client)["upgraded"], "while the connection is open")
				conn.Close(websocket.StatusNormalClosure, "")
				assert.NoError(t, <-h.ended)
			})
		}
	}
}

func TestChangeAfterTheUpgradeIsStoredOrReported(t *testing.T) {
	for _, driver := range []string{"memory", "cookie", "redis"} {
		for name, after := range map[string]func(s *session.Session) error{
			"saved by hand": func(s *session.Session) error { s.Increment("messages", 1); return s.Save() },
			"at the end":    func(s *session.Session) error { s.Increment("messages", 1); return nil },
		} {
			t.Run(driver+"/"+name, func(t *testing.T) {
				h := &echo{before: func(s *session.Session) { s.Get("user") }, after: after}
				m, server, client := serve(t, driver, true, h)
				conn, _ := dial(t, server, client)
				if driver == "cookie" {
					assertReported(t, h, conn, name == "saved by hand")
					assert.Equal(t, map[string]any{"user": "ann"}, found(t, m, client))
					return
				}
				for range 3 {
					say(t, conn, "hello")
				}
				if name == "saved by hand" {
					assert.Equal(t, 3, found(t, m, client)["messages"], "while the connection is open")
				}
				conn.Close(websocket.StatusNormalClosure, "")
				assert.NoError(t, <-h.ended)
				assert.Equal(t, map[string]any{"user": "ann", "messages": 3}, found(t, m, client))
			})
		}
	}
}

// assertReported sends a message to an echo whose change of the session needs a cookie that
// cannot be sent any more.
func assertReported(t *testing.T, h *echo, conn *websocket.Conn, byHand bool) {
	t.Helper()
	require.NoError(t, conn.Write(t.Context(), websocket.MessageText, []byte("hello")))
	_, _, err := conn.Read(t.Context())
	if byHand {
		assert.Equal(t, websocket.StatusPolicyViolation, websocket.CloseStatus(err), "Save did not report it")
	} else {
		assert.NoError(t, err)
		conn.Close(websocket.StatusNormalClosure, "")
	}
	assert.ErrorIs(t, <-h.ended, session.ErrLateChange)
}

func TestConnectionLearnsThatItsSessionHasEnded(t *testing.T) {
	for _, driver := range []string{"memory", "redis"} {
		t.Run(driver, func(t *testing.T) {
			h := &echo{before: func(s *session.Session) { s.Get("user") }, after: (*session.Session).Save}
			m, server, client := serve(t, driver, true, h)
			conn, _ := dial(t, server, client)
			say(t, conn, "hello")
			signOut(t, m, client)
			require.NoError(t, conn.Write(t.Context(), websocket.MessageText, []byte("still there?")))
			_, _, err := conn.Read(t.Context())
			assert.Equal(t, websocket.StatusPolicyViolation, websocket.CloseStatus(err))
			assert.ErrorIs(t, <-h.ended, session.ErrNoSession)
		})
	}
}

func signOut(t *testing.T, m *session.Manager, client *http.Client) {
	t.Helper()
	server := httptest.NewServer(m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		session.FromRequest(r).Destroy()
	})))
	defer server.Close()
	response, err := client.Get(server.URL)
	require.NoError(t, err)
	response.Body.Close()
}

func TestUpgradeWhoseSessionCannotBeStoredIsRefused(t *testing.T) {
	h := &echo{
		before: func(s *session.Session) { s.Set("channel", make(chan int)) },
		after:  func(s *session.Session) error { return errors.New("not reached") },
	}
	_, server, client := serve(t, "memory", true, h)
	_, response, err := websocket.Dial(t.Context(), server.URL, &websocket.DialOptions{HTTPClient: client})
	require.Error(t, err)
	assert.Equal(t, http.StatusInternalServerError, response.StatusCode)
	assert.Empty(t, response.Header["Upgrade"])
	assert.Error(t, <-h.ended, "the handler is told")
}
