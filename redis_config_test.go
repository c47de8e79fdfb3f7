package session_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
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
)

// redisVisitor is a visitor of an application whose sessions a redis keeps. No time-out but those
// of cfg ends an operation.
func redisVisitor(t *testing.T, cfg session.RedisConfig) *visitor {
	t.Helper()
	return newVisitor(t, newManager(t, session.Config{Default: "redis", Logger: quiet,
		StoreTimeout: time.Minute, Redis: cfg}))
}

// longer than the default of every time-out: what lasts that long was ended by the one that is set.
const longer = 1200 * time.Millisecond

// assertLasts asserts that something is ended by a time-out of the given length, once or twice.
func assertLasts(t *testing.T, timeout time.Duration, do func()) {
	t.Helper()
	begin := time.Now()
	do()
	assert.GreaterOrEqual(t, time.Since(begin), timeout)
	assert.Less(t, time.Since(begin), timeout+30*time.Second)
}

// assertKeeps asserts that a value is there in the next request.
func assertKeeps(t *testing.T, v *visitor) {
	t.Helper()
	p := v.visit(func(s *session.Session) { s.Set("key", "kept") })
	require.Equal(t, http.StatusOK, p.StatusCode)
	v.visit(func(s *session.Session) { assert.Equal(t, "kept", s.Get("key")) })
}

// assertRefuses asserts the status of a request whose session cannot be stored.
func assertRefuses(t *testing.T, v *visitor, status int) {
	t.Helper()
	p := v.visit(func(s *session.Session) { s.Set("key", "lost") })
	assert.Equal(t, status, p.StatusCode)
	assert.Empty(t, p.Header["Set-Cookie"])
}

// at returns the configuration of a server's TCP port.
func at(s *redistest.Server) session.RedisConfig {
	return session.RedisConfig{Host: s.Host(), Port: s.Port(), Password: s.Password()}
}

// clients are the fields of each connection to a server, but for those of the test itself.
func clients(t *testing.T, s *redistest.Server) (all []map[string]string) {
	t.Helper()
	c := s.Conn(t)
	list, err := redis.String(c.Do("CLIENT", "LIST"))
	require.NoError(t, err)
	for line := range strings.Lines(list) {
		fields := make(map[string]string)
		for field := range strings.FieldsSeq(line) {
			key, value, _ := strings.Cut(field, "=")
			fields[key] = value
		}
		if fields["cmd"] != "client|list" && !strings.HasPrefix(fields["addr"], "/") {
			all = append(all, fields)
		}
	}
	return all
}

func TestRedisURLSaysWhereAndAsWhom(t *testing.T) {
	t.Parallel()
	const password = "p@ss:wörd/%"
	s := redistest.Start(t, "--requirepass", password)
	_, err := s.Conn(t).Do("ACL", "SETUSER", "shop", "on", ">"+password, "~*", "+@all")
	require.NoError(t, err)
	as := func(user *url.Userinfo, rest string) string {
		return fmt.Sprintf("redis://%s@%s%s", user, s.Addr(), rest)
	}
	for _, test := range []struct{ name, url, user, db string }{
		{name: "password", url: as(url.UserPassword("", password), ""), user: "default", db: "0"},
		{name: "slash", url: as(url.UserPassword("", password), "/"), user: "default", db: "0"},
		{name: "user", url: as(url.UserPassword("shop", password), ""), user: "shop", db: "0"},
		{name: "database", url: as(url.UserPassword("shop", password), "/7"), user: "shop", db: "7"},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := namespace(t)[len("TestRedisURLSaysWhereAndAsWhom/"):]
			assertKeeps(t, redisVisitor(t, session.RedisConfig{URL: test.url, Options: session.RedisOptions{ClientName: name}}))
			for _, c := range clients(t, s) {
				if c["name"] == name {
					assert.Equal(t, test.user, c["user"])
					assert.Equal(t, test.db, c["db"])
					return
				}
			}
			t.Error("no connection of this name")
		})
	}
	assertRefuses(t, redisVisitor(t, session.RedisConfig{URL: as(url.UserPassword("shop", "wrong"), "")}), http.StatusInternalServerError)
	assertRefuses(t, redisVisitor(t, session.RedisConfig{URL: "redis://" + s.Addr()}), http.StatusInternalServerError)
}

func TestRedisURLNamesASocket(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--port", "0", "--requirepass", "secret")
	u := url.URL{Scheme: "unix", User: url.UserPassword("", "secret"), Path: s.Socket()}
	assertKeeps(t, redisVisitor(t, session.RedisConfig{URL: u.String() + "?db=3"}))
	assert.Len(t, keysOf(t, s, 3), 1)
	assert.Empty(t, keysOf(t, s, 0))
}

func keysOf(t *testing.T, s *redistest.Server, db int) []string {
	t.Helper()
	keys, err := redis.Strings(s.Conn(t, redis.DialDatabase(db)).Do("KEYS", "*"))
	require.NoError(t, err)
	return keys
}

// The certificates that rediss:// trusts are the system's, which a process reads once: another
// process is asked, whose system trusts the server's.
func TestRedissVerifiesTheHost(t *testing.T) {
	const address, want = "SESSION_TEST_REDISS", "SESSION_TEST_STATUS"
	if u := os.Getenv(address); u != "" {
		p := redisVisitor(t, session.RedisConfig{URL: u}).visit(func(s *session.Session) { s.Set("key", 1) })
		assert.Equal(t, os.Getenv(want), fmt.Sprint(p.StatusCode), u)
		return
	}
	t.Parallel()
	right, wrong := redistest.NewCertificate(t, "127.0.0.1"), redistest.NewCertificate(t, "redis.example")
	for _, test := range []struct {
		name             string
		served, trusted  *redistest.Certificate
		status, password string
	}{
		{name: "trusted", served: right, trusted: right, status: "200"},
		{name: "of another host", served: wrong, trusted: wrong, status: "503"},
		{name: "not trusted", served: right, trusted: wrong, status: "503"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t, append(test.served.Args(), "--requirepass", "secret")...)
			child := exec.Command(os.Args[0], "-test.run=^TestRedissVerifiesTheHost$")
			child.Env = append(os.Environ(), "SSL_CERT_FILE="+test.trusted.CertFile, "SSL_CERT_DIR=/nonexistent",
				address+"=rediss://:secret@"+s.Addr(), want+"="+test.status)
			out, err := child.CombinedOutput()
			assert.NoError(t, err, "%s", out)
		})
	}
}

func TestTLSIsVerified(t *testing.T) {
	t.Parallel()
	cert, other := redistest.NewCertificate(t, "127.0.0.1", "redis.example"), redistest.NewCertificate(t, "127.0.0.1")
	for _, test := range []struct {
		name   string
		tls    *tls.Config
		args   []string
		status int
	}{
		{name: "trusted", tls: &tls.Config{RootCAs: cert.Roots}, status: 200},
		{name: "by another name", tls: &tls.Config{RootCAs: cert.Roots, ServerName: "redis.example"}, status: 200},
		{name: "by a wrong name", tls: &tls.Config{RootCAs: cert.Roots, ServerName: "other.example"}, status: 503},
		{name: "of another root", tls: &tls.Config{RootCAs: other.Roots}, status: 503},
		{name: "of no root", tls: &tls.Config{}, status: 503},
		{name: "no TLS", status: 503},
		{name: "client certificate", args: cert.ArgsForClientsWith(other), status: 200,
			tls: &tls.Config{RootCAs: cert.Roots, Certificates: []tls.Certificate{other.Pair}}},
		{name: "no client certificate", args: cert.ArgsForClientsWith(other), status: 503,
			tls: &tls.Config{RootCAs: cert.Roots}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.args == nil {
				test.args = cert.Args()
			}
			cfg := at(redistest.Start(t, test.args...))
			cfg.Options.TLS = test.tls
			p := redisVisitor(t, cfg).visit(func(s *session.Session) { s.Set("key", 1) })
			assert.Equal(t, test.status, p.StatusCode)
		})
	}
}

func TestTLSClientRefusesAServerWithoutIt(t *testing.T) {
	t.Parallel()
	cfg := at(redistest.Start(t))
	cfg.Options.TLS = &tls.Config{InsecureSkipVerify: true}
	assertRefuses(t, redisVisitor(t, cfg), http.StatusServiceUnavailable)
}

func TestUsernameSignsInAsThatUser(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	_, err := s.Conn(t).Do("ACL", "SETUSER", "shop", "on", ">secret", "~shop:*", "+@all", "-@dangerous")
	require.NoError(t, err)
	cfg := session.RedisConfig{Host: s.Host(), Port: s.Port(), Password: "secret", Namespace: "shop",
		Options: session.RedisOptions{Username: "shop"}}
	assertKeeps(t, redisVisitor(t, cfg))
	assert.Equal(t, "shop", clients(t, s)[0]["user"])

	cfg.Namespace = "another" // whose keys this user may not touch
	assertRefuses(t, redisVisitor(t, cfg), http.StatusInternalServerError)
	cfg.Password = "wrong"
	assertRefuses(t, redisVisitor(t, cfg), http.StatusInternalServerError)
}

// redigo signs in only where there is a password: the configured user would silently be another.
func TestUsernameWithoutPasswordIsRefused(t *testing.T) {
	for _, cfg := range []session.RedisConfig{
		{Options: session.RedisOptions{Username: "shop"}},
		{URL: "redis://shop@localhost"},
	} {
		_, err := session.NewRedisDriver(cfg)
		assert.ErrorContains(t, err, "Config.Redis.Options.Username: set without a password")
	}
}

func TestSocketIsDialedInPlaceOfThePort(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--port", "0")
	for _, network := range []string{"", "unix"} {
		assertKeeps(t, redisVisitor(t, session.RedisConfig{Port: closedPort,
			Options: session.RedisOptions{Network: network, Socket: s.Socket()}}))
	}
	cfg := at(s)
	cfg.Options.Network = "tcp"
	assertRefuses(t, redisVisitor(t, cfg), http.StatusServiceUnavailable)
}

func TestDBAndNamespaceSayWhereTheKeysAre(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	cfg := at(s)
	assertKeeps(t, redisVisitor(t, cfg))
	cfg.Options.DB, cfg.Namespace = 5, "shop:eu"
	assertKeeps(t, redisVisitor(t, cfg))
	assert.Regexp(t, `^session:session:[\w-]{43}$`, keysOf(t, s, 0)[0])
	assert.Regexp(t, `^shop:eu:session:[\w-]{43}$`, keysOf(t, s, 5)[0])

	cfg.Options.DB = 16
	assertRefuses(t, redisVisitor(t, cfg), http.StatusInternalServerError)
}

func TestClientNameIsShown(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	cfg := at(s)
	cfg.Options.ClientName = "shop-7"
	assertKeeps(t, redisVisitor(t, cfg))
	assert.Equal(t, "shop-7", clients(t, s)[0]["name"])
}

func TestKeysLiveAsLongAsTheIdleTimeout(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	cfg := at(s)
	cfg.IdleTimeout = 10 * time.Minute
	assertKeeps(t, redisVisitor(t, cfg))
	for _, ttl := range s.TTLs(t) {
		assert.InDelta(t, 10*time.Minute, ttl, float64(10*time.Second))
	}
}

// holding occupies n connections of a manager's pool at once and returns what lets them go.
func holding(t *testing.T, v *visitor, p *redistest.Proxy, n int) (release func()) {
	t.Helper()
	arrived, gate := make(chan struct{}, n), make(chan struct{})
	var left atomic.Int64
	left.Store(int64(n))
	p.Set(func(command []string) redistest.Fault {
		if strings.HasPrefix(command[0], "EVAL") && left.Add(-1) >= 0 {
			arrived <- struct{}{}
			<-gate
		}
		return redistest.Fault{}
	})
	v.handler.Store(handlerFunc(func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Set("key", 1) }))
	var pages sync.WaitGroup
	for range n {
		pages.Go(func() { v.another().get("/") })
	}
	for range n {
		<-arrived
	}
	return func() { close(gate); pages.Wait() }
}

func TestMaxIdleConnectionsAreKept(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	for _, test := range []struct{ maxIdle, want int }{{maxIdle: 0, want: 12}, {maxIdle: 3, want: 3}, {maxIdle: -1, want: 0}} {
		p := redistest.NewProxy(t, s.Addr())
		v := redisVisitor(t, session.RedisConfig{Host: p.Host(), Port: p.Port(),
			Options: session.RedisOptions{MaxIdle: test.maxIdle, ClientName: fmt.Sprintf("idle%d", test.maxIdle)}})
		holding(t, v, p, 12)()
		assert.Eventually(t, func() bool {
			kept := 0
			for _, c := range clients(t, s) {
				if c["name"] == fmt.Sprintf("idle%d", test.maxIdle) {
					kept++
				}
			}
			return kept == test.want
		}, 5*time.Second, 5*time.Millisecond, "MaxIdle %d", test.maxIdle)
	}
}

func TestMaxActiveBoundsConnections(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	v := redisVisitor(t, session.RedisConfig{Host: p.Host(), Port: p.Port(),
		Options: session.RedisOptions{MaxActive: 2, PoolWait: -1}})
	release := holding(t, v, p, 2)
	assert.Len(t, clients(t, s), 2)

	var waiting sync.WaitGroup
	for range 8 {
		waiting.Go(func() { assert.Equal(t, http.StatusOK, v.another().get("/").StatusCode, "it waits for its turn") })
	}
	release()
	waiting.Wait()
	assert.LessOrEqual(t, p.Dialed(), 2, "more connections than MaxActive were opened")
}

func TestNegativeMaxActiveMeansNoLimit(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	v := redisVisitor(t, session.RedisConfig{Host: p.Host(), Port: p.Port(), Options: session.RedisOptions{MaxActive: -1}})
	holding(t, v, p, 70)() // the default is 64
}

func TestPoolWaitBoundsTheWaitForAConnection(t *testing.T) {
	t.Parallel()
	p := redistest.NewProxy(t, redistest.Start(t).Addr())
	v := newVisitor(t, newManager(t, session.Config{Default: "redis", Logger: quiet, StoreTimeout: time.Minute,
		Redis: session.RedisConfig{Host: p.Host(), Port: p.Port(), Options: session.RedisOptions{
			MaxActive: 1, PoolWait: longer, ReadTimeout: time.Minute}}}))
	release := holding(t, v, p, 1)
	var pages sync.WaitGroup
	for range 20 {
		pages.Go(func() {
			assertLasts(t, longer, func() {
				assert.Equal(t, http.StatusServiceUnavailable, v.another().get("/").StatusCode)
			})
		})
	}
	pages.Wait()
	release()
}

func TestNegativePoolWaitWaitsAsLongAsItsContext(t *testing.T) {
	t.Parallel()
	p := redistest.NewProxy(t, redistest.Start(t).Addr())
	d, err := session.NewRedisDriver(session.RedisConfig{Host: p.Host(), Port: p.Port(),
		Options: session.RedisOptions{MaxActive: 1, PoolWait: -1, ReadTimeout: time.Minute}})
	require.NoError(t, err)
	defer d.Close()
	arrived, gate := make(chan struct{}), make(chan struct{})
	p.Set(func([]string) redistest.Fault {
		close(arrived)
		<-gate
		return redistest.Fault{}
	})
	var holder sync.WaitGroup
	holder.Go(func() { assert.NoError(t, d.Ping(context.Background())) })
	<-arrived
	ctx, cancel := context.WithTimeout(t.Context(), longer)
	defer cancel()
	assertLasts(t, longer, func() { assert.ErrorIs(t, d.Ping(ctx), context.DeadlineExceeded) })
	close(gate)
	holder.Wait()
}

// A crowd that comes and goes uses the connections that are there.
func TestConnectionsOfACrowdAreKept(t *testing.T) {
	t.Parallel()
	p := redistest.NewProxy(t, redistest.Start(t).Addr())
	v := redisVisitor(t, session.RedisConfig{Host: p.Host(), Port: p.Port()})
	holding(t, v, p, 40)()
	require.Equal(t, 40, p.Dialed())
	holding(t, v, p, 40)()
	assert.Equal(t, 40, p.Dialed(), "connections were closed and opened anew")
}

// onEval is the fault of a driver's own commands.
func onEval(f redistest.Fault) func(command []string) redistest.Fault {
	return func(command []string) redistest.Fault {
		if strings.HasPrefix(command[0], "EVAL") {
			return f
		}
		return redistest.Fault{}
	}
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
			v.visit(func(s *session.Session) { s.Set("key", 1) })
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
	for _, command := range []string{"EVALSHA", "AUTH"} {
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
	cfg := session.RedisConfig{Port: deaf(t).Addr().(*net.TCPAddr).Port,
		Options: session.RedisOptions{WriteTimeout: longer, ReadTimeout: time.Minute}}
	v := redisVisitor(t, cfg)
	assertLasts(t, longer, func() {
		p := v.visit(func(s *session.Session) { s.Set("key", strings.Repeat("x", 16<<20)) }) // no buffer holds it
		assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
	})
}

func TestUnusedRedisIsNotDialed(t *testing.T) {
	t.Parallel()
	p := redistest.NewProxy(t, redistest.Shared(t).Addr())
	v := redisVisitor(t, session.RedisConfig{Host: p.Host(), Port: p.Port()})
	assert.Equal(t, http.StatusOK, v.visit(func(*session.Session) {}).StatusCode)
	assert.Zero(t, p.Dialed())
}

func TestCloseClosesThePoolThatItOpened(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	m := newManager(t, session.Config{Default: "redis", Logger: quiet, Redis: at(s)})
	assertKeeps(t, newVisitor(t, m))
	assert.Len(t, clients(t, s), 1)
	require.NoError(t, m.Close())
	assert.Eventually(t, func() bool { return len(clients(t, s)) == 0 }, 5*time.Second, time.Millisecond)
}

func TestOwnPoolIsUsedAndNotClosed(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	dial := func() (redis.Conn, error) { return redis.Dial("tcp", s.Addr(), redis.DialClientName("own")) }
	for name, pool := range map[string]*redis.Pool{
		"Dial":        {Dial: dial, MaxIdle: 1},
		"DialContext": {DialContext: func(context.Context) (redis.Conn, error) { return dial() }, MaxIdle: 1},
	} {
		m := newManager(t, session.Config{Default: "redis", Logger: quiet,
			Redis: session.RedisConfig{Port: closedPort, Options: session.RedisOptions{Pool: pool, ClientName: "other"}}})
		assertKeeps(t, newVisitor(t, m))
		assert.Equal(t, "own", clients(t, s)[0]["name"], name)
		require.NoError(t, m.Close())
		assert.Equal(t, 1, pool.IdleCount(), "%s: it was closed", name)
		require.NoError(t, pool.Close())
	}
}

func TestOwnPoolThatIsExhaustedIsUnavailable(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	pool := &redis.Pool{MaxActive: 1, Dial: func() (redis.Conn, error) { return redis.Dial("tcp", s.Addr()) }}
	defer pool.Close()
	v := redisVisitor(t, session.RedisConfig{Options: session.RedisOptions{Pool: pool}})
	taken := pool.Get()
	assertRefuses(t, v, http.StatusServiceUnavailable)
	taken.Close()
	assertKeeps(t, v)
}

// A countingClient is an application's own client: that of another driver, and it counts.
type countingClient struct {
	*redis.Pool
	evals, pings, closes atomic.Int64
}

func (c *countingClient) Close() error {
	c.closes.Add(1)
	return c.Pool.Close()
}

func (c *countingClient) Ping(context.Context) error {
	c.pings.Add(1)
	return nil
}

func (c *countingClient) Eval(ctx context.Context, script session.RedisScript, key string, args []any) ([]string, error) {
	c.evals.Add(1)
	conn, err := c.GetContext(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	reply, err := redis.Strings(conn.Do("EVAL", append([]any{script.Source, 1, key}, args...)...))
	var said redis.Error
	if errors.As(err, &said) {
		return nil, session.RedisError(said)
	}
	return reply, err
}

func TestOwnClientIsUsedAndNotClosed(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	client := &countingClient{Pool: &redis.Pool{Dial: func() (redis.Conn, error) { return redis.Dial("tcp", s.Addr()) }}}
	defer client.Close()
	m := newManager(t, session.Config{Default: "redis", Logger: quiet,
		Redis: session.RedisConfig{Port: closedPort, Options: session.RedisOptions{Client: client}}})
	assertKeeps(t, newVisitor(t, m))
	require.NoError(t, m.Ping(t.Context()))
	assert.EqualValues(t, 2, client.evals.Load(), "a save and a load")
	assert.EqualValues(t, 1, client.pings.Load())
	require.NoError(t, m.Close())
	assert.Zero(t, client.closes.Load())
}
