package outage_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

// redisBrowser is redisVisitor for requests that run at once, and whose commands a test may hold.
func redisBrowser(t *testing.T, cfg session.RedisConfig) *kit.Browser {
	t.Helper()
	cfg.Options.ReadTimeout = time.Minute
	return kit.NewBrowser(t, pages.Under(kit.NewManager(t, session.Config{Default: "redis", Secret: kit.Secret,
		Logger: kit.Quiet, StoreTimeout: time.Minute, Redis: cfg})))
}

// holding occupies n connections of a manager's pool at once. They are free after release.
func holding(t *testing.T, b *kit.Browser, p *redistest.Proxy, n int) (release func()) {
	t.Helper()
	arrived, gate := make(chan struct{}, n), make(chan struct{})
	var left atomic.Int64
	left.Store(int64(n))
	p.Set(func(command []string) redistest.Fault {
		if slices.Contains(work, command[0]) && left.Add(-1) >= 0 {
			arrived <- struct{}{}
			<-gate
		}
		return redistest.Fault{}
	})
	var requests sync.WaitGroup
	for range n {
		requests.Go(func() { b.Another().Get("/count") })
	}
	release = func() { close(gate); requests.Wait() }
	for held := range n {
		select {
		case <-arrived:
		case <-time.After(time.Minute):
			release()
			require.Fail(t, "operations share connections", "%d of %d are held", held, n)
		}
	}
	return release
}

func TestConnectionsBoundsHowManyAreOpen(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	for _, test := range []struct{ connections, want int }{{connections: 0, want: 4}, {connections: 1, want: 1}} {
		p := redistest.NewProxy(t, s.Addr())
		b := redisBrowser(t, session.RedisConfig{Host: p.Host(), Port: p.Port(),
			Options: session.RedisOptions{Connections: test.connections}})
		release := holding(t, b, p, test.want)
		var sharing sync.WaitGroup
		for range 20 {
			sharing.Go(func() { assert.Equal(t, http.StatusOK, b.Another().Get("/count").StatusCode) })
		}
		release()
		sharing.Wait()
		assert.Equal(t, test.want, p.Dialed(), "Connections %d", test.connections)
	}
}

// The next burst of requests uses the connections of the first one.
func TestConnectionsOfACrowdAreKept(t *testing.T) {
	t.Parallel()
	p := redistest.NewProxy(t, redistest.Start(t).Addr())
	b := redisBrowser(t, session.RedisConfig{Host: p.Host(), Port: p.Port(), Options: session.RedisOptions{Connections: 64}})
	holding(t, b, p, 40)()
	require.Equal(t, 40, p.Dialed())
	holding(t, b, p, 40)()
	assert.Equal(t, 40, p.Dialed(), "connections were closed and opened anew")
}

func TestIdleConnTimeoutRetiresConnections(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	for _, test := range []struct {
		timeout time.Duration
		same    bool
	}{{timeout: time.Nanosecond, same: false}, {timeout: 0, same: true}, {timeout: -1, same: true}} {
		cfg := at(s)
		cfg.Options.IdleConnTimeout = test.timeout
		cfg.Options.ClientName = fmt.Sprintf("t%d", test.timeout)
		v := redisVisitor(t, cfg)
		first, second := "", ""
		for _, id := range []*string{&first, &second} {
			v.Visit(func(s *session.Session) { s.Set("key", 1) })
			for _, c := range clients(t, s) {
				if c["name"] == cfg.Options.ClientName {
					*id = c["id"]
				}
			}
		}
		assert.NotEmpty(t, first)
		assert.Equal(t, test.same, first == second, "IdleConnTimeout %d", test.timeout)
	}
}

// A server that accepts and says nothing keeps a TLS handshake waiting.
func TestDialTimeoutBoundsTheHandshake(t *testing.T) {
	t.Parallel()
	l := deaf(t)
	port := l.Addr().(*net.TCPAddr).Port
	cfg := session.RedisConfig{Port: port, Options: session.RedisOptions{
		DialTimeout: longer, TLS: &tls.Config{InsecureSkipVerify: true}}}
	assertLasts(t, longer, func() {
		assertRefuses(t, redisVisitor(t, cfg), http.StatusServiceUnavailable)
	})
}

// deaf takes connections and never reads.
func deaf(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l // the kernel takes them
}

func TestReadTimeoutBoundsTheWaitForAReply(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"SET", "AUTH"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			p := redistest.NewProxy(t, redistest.Start(t, "--requirepass", "secret").Addr())
			p.Set(func(c []string) redistest.Fault { return redistest.Fault{Hang: c[0] == command} })
			cfg := session.RedisConfig{Host: p.Host(), Port: p.Port(), Password: "secret",
				Options: session.RedisOptions{ReadTimeout: longer}}
			assertLasts(t, longer, func() {
				assertRefuses(t, redisVisitor(t, cfg), http.StatusServiceUnavailable)
			})
		})
	}
}

func TestWriteTimeoutBoundsASaveThatNobodyReads(t *testing.T) {
	t.Parallel()
	cfg := session.RedisConfig{Port: deafAfterTime(t),
		Options: session.RedisOptions{WriteTimeout: longer, ReadTimeout: time.Minute}}
	v := redisVisitor(t, cfg)
	assertLasts(t, longer, func() {
		p := v.Visit(func(s *session.Session) { s.Set("key", strings.Repeat("x", 16<<20)) }) // no buffer holds it
		assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
	})
}

// deafAfterTime returns the port of a server that answers the first command of each connection, TIME,
// and reads nothing more.
func deafAfterTime(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			_, err = c.Read(make([]byte, 1024))
			assert.NoError(t, err)
			fmt.Fprintf(c, "*2\r\n$10\r\n%d\r\n$1\r\n0\r\n", time.Now().Unix())
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	return l.Addr().(*net.TCPAddr).Port
}

func TestUnusedRedisIsNotDialed(t *testing.T) {
	t.Parallel()
	p := redistest.NewProxy(t, redistest.Shared(t).Addr())
	v := redisVisitor(t, session.RedisConfig{Host: p.Host(), Port: p.Port()})
	assert.Equal(t, http.StatusOK, v.Visit(func(*session.Session) {}).StatusCode)
	assert.Zero(t, p.Dialed())
}

func TestCloseClosesThePoolThatItOpened(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	m := kit.NewManager(t, session.Config{Default: "redis", Secret: kit.Secret, Logger: kit.Quiet, Redis: at(s)})
	assertKeeps(t, kit.NewVisitor(t, m))
	assert.Len(t, clients(t, s), 1)
	require.NoError(t, m.Close())
	assert.Eventually(t, func() bool { return len(clients(t, s)) == 0 }, 5*time.Second, time.Millisecond)
}

// A countingClient is an application's own client, and counts commands.
type countingClient struct {
	*redis.Pool
	commands atomic.Int64
}

func (c *countingClient) Do(ctx context.Context, args ...any) (any, error) {
	c.commands.Add(1)
	conn, err := c.GetContext(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	reply, err := conn.Do(args[0].(string), args[1:]...)
	var said redis.Error
	if errors.As(err, &said) {
		return nil, saidByRedis(said)
	}
	return reply, err
}

// saidByRedis is an error reply.
type saidByRedis string

func (e saidByRedis) Error() string { return string(e) }
func (saidByRedis) RedisError()     {}

func TestOwnClientIsUsedAndNotClosed(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	client := &countingClient{Pool: &redis.Pool{MaxIdle: 1, Dial: func() (redis.Conn, error) { return redis.Dial("tcp", s.Addr()) }}}
	defer client.Close()
	m := kit.NewManager(t, session.Config{Default: "redis", Secret: kit.Secret, Logger: kit.Quiet,
		Redis: session.RedisConfig{Port: kit.ClosedPort, Options: session.RedisOptions{Client: client}}})
	assertKeeps(t, kit.NewVisitor(t, m))
	require.NoError(t, m.Ping(t.Context()))
	assert.Positive(t, client.commands.Load())
	require.NoError(t, m.Close())
	assert.Equal(t, 1, client.IdleCount(), "it was closed")
}
