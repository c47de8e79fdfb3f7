package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"example.com/session"
	"example.com/session/internal/casstore"
	"example.com/session/internal/redistest"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A lossyProxy stands between the driver and redis. On demand it swallows a reply, after the
// server has done what it was asked, and breaks the connection.
type lossyProxy struct {
	listener net.Listener
	backend  string
	swallow  atomic.Int64 // replies until the one to swallow; 0: none
	more     atomic.Int64 // to swallow at once after that one
	lost     atomic.Int64 // replies that were swallowed
	onLoss   func()       // runs before the connection breaks
	copying  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func newLossyProxy(t *testing.T, backend string) *lossyProxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &lossyProxy{listener: listener, backend: backend, conns: map[net.Conn]bool{}}
	p.copying.Go(p.accept)
	t.Cleanup(func() {
		listener.Close()
		p.breakAll()
		p.copying.Wait()
	})
	return p
}

// lose swallows the nth reply from now, and as many after it as more says.
func (p *lossyProxy) lose(nth, more int64) {
	p.more.Store(more)
	p.swallow.Store(nth)
}

func (p *lossyProxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.backend)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = true, true
		p.mu.Unlock()
		p.copying.Go(func() { defer server.Close(); io.Copy(server, client) })
		p.copying.Go(func() { defer client.Close(); defer server.Close(); p.replies(client, server) })
	}
}

// replies passes replies on. Each comes alone, since the driver asks one thing at a time.
func (p *lossyProxy) replies(client, server net.Conn) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := server.Read(buffer)
		if err != nil || p.loses() {
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (p *lossyProxy) loses() bool {
	if p.swallow.Load() == 0 || p.swallow.Add(-1) > 0 {
		return false
	}
	p.lost.Add(1)
	if p.onLoss != nil {
		p.onLoss()
	}
	if p.more.Add(-1) >= 0 {
		p.swallow.Store(1)
	}
	return true
}

func (p *lossyProxy) breakAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		conn.Close()
	}
}

// redisThrough returns a configuration whose redis is behind the proxy.
func redisThrough(t *testing.T, address string) session.Config {
	t.Helper()
	cfg := bruteRedis(address)
	cfg.Logger = slog.New(slog.DiscardHandler)
	return cfg
}

// serveLossy returns a browser of a handler whose redis replies get lost, with its scripts known
// to the server, so that each operation is one reply.
func serveLossy(t *testing.T, handlers func(p *lossyProxy) routes) (*browser, *lossyProxy, *redistest.Server) {
	t.Helper()
	server := redistest.Start(t)
	t.Cleanup(func() { assertAllExpire(t, server) }) // before the server's own
	proxy := newLossyProxy(t, server.Addr())
	serve := handlers(proxy)
	serve["/warm"] = func(w http.ResponseWriter, r *http.Request, s *session.Session) {
		s.Set("warm", true)
		assert.NoError(t, s.Save())
		s.Set("warm", false)
		assert.NoError(t, s.Save())
		s.Regenerate()
		assert.NoError(t, s.Save())
		s.Destroy()
	}
	serve["/read"] = func(w http.ResponseWriter, r *http.Request, s *session.Session) { fmt.Fprint(w, s.GetInt("n")) }
	b := newBrowser(t, serve.under(newManager(t, redisThrough(t, proxy.listener.Addr().String()))))
	require.Equal(t, http.StatusOK, b.get("/warm").StatusCode)
	return b, proxy, server
}

// TestSaveWhoseReplyIsLostCountsOnce loses the reply of each kind of save at each of its steps.
func TestSaveWhoseReplyIsLostCountsOnce(t *testing.T) {
	b, p, server := serveLossy(t, func(p *lossyProxy) routes {
		losing := func(change func(s *session.Session)) func(http.ResponseWriter, *http.Request, *session.Session) {
			return func(w http.ResponseWriter, r *http.Request, s *session.Session) {
				s.Open()
				change(s)
				nth, _ := strconv.ParseInt(r.URL.Query().Get("lose"), 10, 64)
				p.lose(nth, 0)
			}
		}
		return routes{
			"/add":    losing(func(s *session.Session) { s.Increment("n", 1) }),
			"/rotate": losing(func(s *session.Session) { s.Increment("n", 1); s.Regenerate() }),
			"/renew":  losing(func(s *session.Session) { s.Destroy(); s.Increment("n", 1) }),
			"/end":    losing(func(s *session.Session) { s.Destroy() }),
		}
	})
	for _, step := range []struct {
		path string
		want string
	}{
		{path: "/add?lose=1", want: "1"}, // creates
		{path: "/add?lose=1", want: "2"},
		{path: "/add?lose=1", want: "3"},
		{path: "/rotate?lose=1", want: "4"}, // the copy
		{path: "/rotate?lose=2", want: "5"}, // the retiring
		{path: "/add?lose=1", want: "6"},
		{path: "/renew?lose=1", want: "1"}, // the destroying
		{path: "/renew?lose=2", want: "1"}, // the creating
		{path: "/end?lose=1", want: "0"},
	} {
		lost := p.lost.Load()
		require.Equal(t, http.StatusOK, b.get(step.path).StatusCode, step.path)
		require.Equal(t, lost+1, p.lost.Load(), "%s lost no reply", step.path)
		assert.Equal(t, step.want, b.get("/read").body, step.path)
	}
	assert.Zero(t, liveSessions(t, server), "a session without an owner is left")
}

// liveSessions counts the hashes that are no tombstones.
func liveSessions(t *testing.T, server *redistest.Server) (n int) {
	t.Helper()
	conn := server.Conn(t)
	for _, key := range server.Keys(t) {
		ended, err := redis.Bool(conn.Do("HEXISTS", key, "@ended"))
		require.NoError(t, err)
		if !ended {
			n++
		}
	}
	return n
}

func TestLoadWhoseReplyIsLostFailsNoRequest(t *testing.T) {
	b, p, _ := serveLossy(t, func(p *lossyProxy) routes {
		return routes{"/lossy": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			p.lose(1, 0)
			fmt.Fprint(w, s.Increment("n", 1))
		}}
	})
	b.get("/lossy") // has no cookie, loads nothing: the creation's reply is lost
	assert.Equal(t, "2", b.get("/lossy").body)
	assert.Equal(t, int64(2), p.lost.Load())
	assert.Equal(t, "2", b.get("/read").body)
}

// TestSaveWithoutAnyReplyIsUnknownAndIsSentAgain loses both tries: the handler is told, and its
// changes go with the next Save, each of them once.
func TestSaveWithoutAnyReplyIsUnknownAndIsSentAgain(t *testing.T) {
	for name, change := range map[string]func(s *session.Session){
		"increment": func(s *session.Session) { s.Increment("n", 1) },
		"rotate":    func(s *session.Session) { s.Increment("n", 1); s.Regenerate() },
	} {
		t.Run(name, func(t *testing.T) {
			b, _, server := serveLossy(t, func(p *lossyProxy) routes {
				return routes{
					"/lossy": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
						s.Open()
						change(s)
						p.lose(1, 1)
						assert.ErrorIs(t, s.Save(), session.ErrUnavailable)
						s.Increment("n", 10)
						assert.NoError(t, s.Save())
						s.Increment("n", 100)
					},
					"/lost": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
						s.Open()
						change(s)
						p.lose(1, 1)
					},
				}
			})
			assert.Equal(t, http.StatusOK, b.get("/lossy").StatusCode)
			assert.Equal(t, "111", b.get("/read").body)
			assert.Equal(t, http.StatusOK, b.get("/lossy").StatusCode)
			assert.Equal(t, "222", b.get("/read").body)
			assert.Equal(t, 1, liveSessions(t, server))

			lost := b.get("/lost")
			assert.Equal(t, http.StatusServiceUnavailable, lost.StatusCode)
			assert.Empty(t, lost.Cookies(), "a token that may open nothing was sent")
		})
	}
}

// TestSaveTriedAgainAfterTooManyOthersIsRefused breaks the connection only when so many others
// have saved that the record has forgotten whether the first try was stored.
func TestSaveTriedAgainAfterTooManyOthersIsRefused(t *testing.T) {
	b, proxy, _ := serveLossy(t, func(p *lossyProxy) routes {
		return routes{
			"/add": func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Increment("n", 1) },
			"/late": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
				s.Increment("n", 100)
				p.lose(1, 0)
			},
		}
	})
	others := 7
	proxy.onLoss = func() {
		for range others {
			b.get("/add")
		}
	}
	b.get("/add")
	assert.Equal(t, http.StatusOK, b.get("/late").StatusCode, "the first try is remembered")
	assert.Equal(t, "108", b.get("/read").body)
	others = 8
	assert.Equal(t, http.StatusServiceUnavailable, b.get("/late").StatusCode, "the outcome is unknown")
	assert.Equal(t, "216", b.get("/read").body)
	assert.Equal(t, int64(2), proxy.lost.Load())
}

// TestParallelSavesWhoseRepliesAreLostCountOnce lets more requests run at once than a record
// remembers saves. A request may fail then, but none may count twice.
func TestParallelSavesWhoseRepliesAreLostCountOnce(t *testing.T) {
	b, proxy, _ := serveLossy(t, func(*lossyProxy) routes {
		return routes{"/add": func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Increment("n", 1) }}
	})
	b.get("/add")
	var acknowledged, failed atomic.Int64
	for range 10 {
		proxy.lose(5, 5)
		var all sync.WaitGroup
		for range 24 {
			all.Go(func() {
				response, err := b.client.Get(b.url + "/add")
				if err != nil {
					return // asserted by the sum
				}
				response.Body.Close()
				if response.StatusCode == http.StatusOK {
					acknowledged.Add(1)
				} else {
					failed.Add(1)
				}
			})
		}
		all.Wait()
	}
	assert.Equal(t, int64(240), acknowledged.Load()+failed.Load())
	assert.Greater(t, acknowledged.Load(), int64(120))
	n, err := strconv.ParseInt(b.get("/read").body, 10, 64)
	require.NoError(t, err)
	n-- // the first
	assert.GreaterOrEqual(t, n, acknowledged.Load(), "an acknowledged increment is lost")
	assert.LessOrEqual(t, n, acknowledged.Load()+failed.Load(), "an increment counted twice")
}

func TestRestartedRedisFailsNoRequest(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	t.Cleanup(func() { assertAllExpire(t, server) })
	gate := make(chan struct{})
	serve := routes{
		"/add": func(w http.ResponseWriter, r *http.Request, s *session.Session) { fmt.Fprint(w, s.Increment("n", 1)) },
		"/crowd": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			<-gate
			s.Increment("crowd", 1)
		},
		"/rotate": func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Regenerate() },
	}
	b := newBrowser(t, serve.under(newManager(t, redisThrough(t, server.Addr()))))
	b.get("/add")
	fillPool(b, gate) // so that several connections are idle, and all of them break

	server.Restart(t)
	for i := range 3 {
		p := b.get("/add")
		assert.Equal(t, http.StatusOK, p.StatusCode)
		assert.Equal(t, strconv.Itoa(2+i), p.body)
	}
	server.Restart(t)
	assert.Equal(t, http.StatusOK, b.get("/rotate").StatusCode)
	assert.Equal(t, "5", b.get("/add").body)
}

func fillPool(b *browser, gate chan struct{}) {
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if response, err := b.client.Get(b.url + "/crowd"); err == nil {
				response.Body.Close()
			}
		})
	}
	close(gate)
	all.Wait()
}

// A forgetfulDriver has lost the answer to some saves, though they were stored.
type forgetfulDriver struct {
	session.Driver
	forget atomic.Bool
}

var errForgotten = errors.New("the answer is lost")

func (d *forgetfulDriver) Save(ctx context.Context, rec *session.Record, ch *session.Changes) (session.Token, error) {
	tok, err := d.Driver.Save(ctx, rec, ch)
	if err == nil && d.forget.Swap(false) {
		return session.Token{}, errForgotten
	}
	return tok, err
}

// TestSaveWithoutAnAnswerCountsOnceOnEveryDriver sends a save again that was stored.
func TestSaveWithoutAnAnswerCountsOnceOnEveryDriver(t *testing.T) {
	for name, inner := range map[string]session.Driver{
		"memory": session.NewMemoryDriver(session.MemoryConfig{}),
		"store":  session.StoreDriver(new(casstore.Store)),
	} {
		t.Run(name, func(t *testing.T) {
			d := &forgetfulDriver{Driver: inner}
			m := newManager(t, session.Config{
				Default: "d", Drivers: map[string]session.Driver{"d": d}, Logger: slog.New(slog.DiscardHandler),
			})
			save := func(s *session.Session) {
				d.forget.Store(true)
				assert.ErrorIs(t, s.Save(), session.ErrUnavailable)
				assert.NoError(t, s.Save())
			}
			handler := routes{
				"/": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
					s.Increment("n", 1)
					save(s) // creates
					s.Increment("n", 10)
					save(s)
					s.Regenerate()
					s.Increment("n", 100)
					save(s)
					fmt.Fprint(w, s.GetInt("n"))
				},
				"/read": func(w http.ResponseWriter, r *http.Request, s *session.Session) { fmt.Fprint(w, s.GetInt("n")) },
			}.under(m)
			b := newBrowserAt(t, serverOf(t, handler))
			b.get("/")
			assert.Equal(t, "111", b.get("/read").body)
		})
	}
}

// TestSaveSentAgainTooLateIsRefused lets so many other saves come in between that the record has
// forgotten whether the first try was stored.
func TestSaveSentAgainTooLateIsRefused(t *testing.T) {
	d := &forgetfulDriver{Driver: session.StoreDriver(new(casstore.Store))}
	m := newManager(t, session.Config{
		Default: "d", Drivers: map[string]session.Driver{"d": d}, Logger: slog.New(slog.DiscardHandler),
	})
	var b *browser
	serve := routes{
		"/add":  func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Increment("n", 1) },
		"/read": func(w http.ResponseWriter, r *http.Request, s *session.Session) { fmt.Fprint(w, s.GetInt("n")) },
		"/late": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Increment("n", 100)
			d.forget.Store(true)
			assert.ErrorIs(t, s.Save(), session.ErrUnavailable)
			others, _ := strconv.Atoi(r.URL.Query().Get("others"))
			for range others {
				b.get("/add")
			}
		},
	}
	b = newBrowserAt(t, serverOf(t, serve.under(m)))
	b.get("/add")
	assert.Equal(t, http.StatusOK, b.get("/late?others=7").StatusCode, "the first try is remembered")
	assert.Equal(t, "108", b.get("/read").body)
	assert.Equal(t, http.StatusServiceUnavailable, b.get("/late?others=8").StatusCode, "the outcome is unknown")
	assert.Equal(t, "216", b.get("/read").body)
}

func serverOf(t *testing.T, handler http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}
