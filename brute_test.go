package session_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/redistest"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Many clients share one session over real HTTP, on redis through two server processes.

const (
	bruteClients = 64
	bruteEach    = 8 // requests of each client
)

func TestParallelClientsOnMemoryLoseNoWrite(t *testing.T) {
	server, _ := newBruteServer(t, session.Config{Default: "memory"})
	testBruteWrites(t, "s_memory", server, server)
}

func TestParallelClientsOnTwoServersLoseNoWrite(t *testing.T) {
	shared := redistest.Start(t)
	here, _ := newBruteServer(t, bruteRedis(shared.Addr()))
	testBruteWrites(t, "s_redis", here, startBruteProcess(t, shared.Addr()))
	assertAllExpire(t, shared)
}

func TestSignOutBesideParallelClientsOnMemoryIsFinal(t *testing.T) {
	server, m := newBruteServer(t, session.Config{Default: "memory"})
	testBruteSignOut(t, "s_memory", server, server)
	assert.Zero(t, m.Stats().Sessions, "something lives on")
}

func TestSignOutBesideParallelClientsOnTwoServersIsFinal(t *testing.T) {
	shared := redistest.Start(t)
	here, _ := newBruteServer(t, bruteRedis(shared.Addr()))
	testBruteSignOut(t, "s_redis", here, startBruteProcess(t, shared.Addr()))
	keys := shared.Keys(t)
	require.Len(t, keys, 1, "the tombstone and nothing else")
	fields, err := redis.StringMap(shared.Conn(t).Do("HGETALL", keys[0]))
	require.NoError(t, err)
	assert.Len(t, fields, 1)
	assert.Contains(t, fields, "@ended")
	assertAllExpire(t, shared)
}

// testBruteWrites lets each client set keys of its own and increment the counter that all share.
func testBruteWrites(t *testing.T, name string, servers ...string) {
	c := newBruteClients(t, name, servers)
	c.all(func(i int) {
		for j := range bruteEach {
			status, cookies := c.get(i+j, fmt.Sprintf("/write?key=%d.%d", i, j))
			c.check(status == http.StatusOK && cookies == 0, "client %d: status %d, %d cookies", i, status, cookies)
		}
	})
	c.report()
	for _, url := range servers {
		body := c.page(t, url+"/read")
		assert.Equal(t, strconv.Itoa(bruteClients*bruteEach), strings.Fields(body)[0], "the counter")
		for i := range bruteClients {
			for j := range bruteEach {
				require.Contains(t, body, fmt.Sprintf(" %d.%d ", i, j), "a write is lost")
			}
		}
	}
}

// testBruteSignOut lets one client sign out while the others write. Requests that were under
// way then store nothing, and start no session: the clock of both servers stands still, so every
// request entered within moments of the sign-out.
func testBruteSignOut(t *testing.T, name string, servers ...string) {
	c := newBruteClients(t, name, servers)
	half := make(chan struct{}, bruteClients)
	c.all(func(i int) {
		for j := range bruteEach {
			if j == bruteEach/2 {
				half <- struct{}{}
			}
			if i == 0 && j == bruteEach/2 {
				for range bruteClients / 2 { // about half of them are that far
					<-half
				}
				status, _ := c.get(i, "/signout")
				c.check(status == http.StatusOK, "sign-out: status %d", status)
				return
			}
			status, cookies := c.get(i+j, fmt.Sprintf("/write?key=%d.%d", i, j))
			c.check(status == http.StatusOK && cookies == 0, "client %d: status %d, %d cookies", i, status, cookies)
		}
	})
	c.report()
	for _, url := range servers {
		assert.Equal(t, "0 ", c.page(t, url+"/read"), "the session that was signed out shows something")
	}
}

// bruteHandler serves what the clients ask for. Its clock stands still.
func bruteHandler(m *session.Manager) http.Handler {
	start := time.Now()
	m.SetClock(func() time.Time { return start })
	return routes{
		"/write": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Set("key "+r.URL.Query().Get("key"), true)
			s.Increment("n", 1)
		},
		"/read": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			fmt.Fprint(w, s.GetInt("n"), " ")
			for key := range s.All() {
				fmt.Fprint(w, strings.TrimPrefix(key, "key "), " ")
			}
		},
		"/signout": func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Destroy() },
		"/begin":   func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Set("n", 0) },
	}.under(m)
}

func bruteRedis(address string) session.Config {
	host, port, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(port)
	return session.Config{
		Default: "redis", StoreTimeout: time.Minute,
		Redis: session.RedisConfig{Host: host, Port: n, Options: patientRedis()},
	}
}

// patientRedis are time-outs for tests that are about something else, on a machine that is busy.
func patientRedis() session.RedisOptions {
	return session.RedisOptions{
		DialTimeout: 30 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, PoolWait: 30 * time.Second,
	}
}

func newBruteServer(t *testing.T, cfg session.Config) (url string, m *session.Manager) {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	m = newManager(t, cfg)
	server := httptest.NewServer(bruteHandler(m))
	t.Cleanup(server.Close)
	return server.URL, m
}

// bruteRedisVariable tells a copy of the test binary that it is the second server process, and
// which redis it uses.
const bruteRedisVariable = "SESSION_TEST_SERVE_REDIS"

// TestServeBesideTheTests is no test but the second server process.
func TestServeBesideTheTests(t *testing.T) {
	address := os.Getenv(bruteRedisVariable)
	if address == "" {
		t.Skip("it serves other tests, which start it")
	}
	url, _ := newBruteServer(t, bruteRedis(address))
	fmt.Println(url)
	io.Copy(io.Discard, os.Stdin) // until the test that started it closes the pipe or dies
}

// startBruteProcess starts a copy of this test binary that serves the same sessions.
func startBruteProcess(t *testing.T, redisAddress string) (url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // t's own ends before its Cleanup
	command := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestServeBesideTheTests$")
	command.Env = append(os.Environ(), bruteRedisVariable+"="+redisAddress)
	command.Stderr = os.Stderr
	stdin, err := command.StdinPipe()
	require.NoError(t, err)
	stdout, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		defer cancel()
		stdin.Close()
		io.Copy(io.Discard, stdout)
		assert.NoError(t, command.Wait())
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(line)
}

// bruteCrowd are the clients: one session's cookie and two servers, of which each asks both.
type bruteCrowd struct {
	t       *testing.T
	client  *http.Client
	servers []string
	cookie  string

	mu     sync.Mutex
	faults []string
}

func newBruteClients(t *testing.T, name string, servers []string) *bruteCrowd {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: bruteClients}
	t.Cleanup(transport.CloseIdleConnections)
	c := &bruteCrowd{t: t, client: &http.Client{Transport: transport}, servers: servers}
	response, err := c.client.Get(servers[0] + "/begin")
	require.NoError(t, err)
	response.Body.Close()
	token := page{Response: response}.cookie(name)
	require.NotNil(t, token)
	c.cookie = name + "=" + token.Value
	return c
}

// all runs every client at once.
func (c *bruteCrowd) all(run func(i int)) {
	var all sync.WaitGroup
	for i := range bruteClients {
		all.Go(func() { run(i) })
	}
	all.Wait()
}

// get asks one of the servers and returns the status and the number of Set-Cookie lines.
func (c *bruteCrowd) get(n int, path string) (status, cookies int) {
	r, err := http.NewRequest(http.MethodGet, c.servers[n%len(c.servers)]+path, nil)
	if err == nil {
		r.Header.Set("Cookie", c.cookie)
		var response *http.Response
		if response, err = c.client.Do(r); err == nil {
			defer response.Body.Close()
			io.Copy(io.Discard, response.Body)
			return response.StatusCode, len(response.Header["Set-Cookie"])
		}
	}
	c.check(false, "%v", err)
	return 0, 0
}

func (c *bruteCrowd) check(ok bool, format string, args ...any) {
	if ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

func (c *bruteCrowd) report() {
	c.t.Helper()
	if len(c.faults) > 0 {
		c.t.Fatalf("%d faults, the first: %s", len(c.faults), c.faults[0])
	}
}

func (c *bruteCrowd) page(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	require.NoError(t, err)
	r.Header.Set("Cookie", c.cookie)
	response, err := c.client.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(body)
}
