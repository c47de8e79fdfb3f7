package session_test

import (
	"errors"
	"fmt"
	"net/http"
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

// What waiting cures is a 503; what only another configuration cures, a 500. Neither touches a
// cookie.
func TestErrorRepliesAreToldApart(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--requirepass", "secret")
	p := redistest.NewProxy(t, server.Addr())
	o := newOutageTest(t, server, behind(p))
	for _, test := range []struct {
		reply  string
		status int
	}{
		{reply: "LOADING Redis is loading the dataset in memory", status: 503},
		{reply: "READONLY You can't write against a read only replica.", status: 503},
		{reply: "ERR Error running script (call to f_1): @user_script:8: -READONLY You can't write", status: 503},
		{reply: "MASTERDOWN Link with MASTER is down", status: 503},
		{reply: "CLUSTERDOWN The cluster is down", status: 503},
		{reply: "TRYAGAIN Multiple keys request during rehashing of slot", status: 503},
		{reply: "BUSY Redis is busy running a script.", status: 503},
		{reply: "OOM command not allowed when used memory > 'maxmemory'.", status: 503},
		{reply: "MISCONF Redis is configured to save RDB snapshots", status: 503},
		{reply: "NOREPLICAS Not enough good replicas to write.", status: 503},
		{reply: "MOVED 3999 127.0.0.1:6381", status: 503},
		{reply: "ASK 3999 127.0.0.1:6381", status: 503},
		{reply: "ERR max number of clients reached", status: 503},
		{reply: "NOAUTH Authentication required.", status: 500},
		{reply: "WRONGPASS invalid username-password pair", status: 500},
		{reply: "NOPERM this user has no permissions", status: 500},
		{reply: "WRONGTYPE Operation against a key", status: 500},
	} {
		for _, command := range []string{"EVALSHA", "AUTH"} {
			if command == "AUTH" && strings.HasPrefix(test.reply, "ERR Error running script") {
				continue
			}
			p.Set(func(c []string) redistest.Fault {
				if c[0] == command {
					return redistest.Fault{Reply: "-" + test.reply}
				}
				return redistest.Fault{}
			})
			p.Cut()
			for _, answer := range []page{o.browser.get("/user"), o.browser.do(http.MethodPost, "/logout")} {
				assert.Equal(t, test.status, answer.StatusCode, "%s: %s", command, test.reply)
				assert.Empty(t, answer.Header["Set-Cookie"], "%s: %s", command, test.reply)
			}
			if command == "EVALSHA" && test.status == 503 {
				assert.NoError(t, o.manager.Ping(t.Context()), "the server answers this")
			}
		}
		p.Set(nil)
		o.assertServes()
	}
}

// An administrator changes the password or takes rights away: connections that are open stay
// signed in, those that follow do not.
func TestPasswordThatChangesIsAConfigurationErrorUntilItIsRight(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, begin, end string }{
		{name: "WRONGPASS", begin: "CONFIG SET requirepass other", end: "CONFIG SET requirepass secret"},
		{name: "no password any more", begin: "ACL SETUSER default off", end: "ACL SETUSER default on"},
		{name: "NOPERM", begin: "ACL SETUSER default -@scripting", end: "ACL SETUSER default +@all"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := newOutageTest(t, redistest.Start(t, "--requirepass", "secret"), nil)
			c := o.redis.Conn(t) // it stays
			do(t, c, test.begin)
			do(t, c, "CLIENT KILL TYPE normal SKIPME yes")
			for _, p := range []page{o.browser.get("/user"), o.browser.do(http.MethodPost, "/set?key=k&value=lost")} {
				assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
				assert.Empty(t, p.Header["Set-Cookie"])
				assert.Empty(t, p.Header.Get("Retry-After"))
			}
			assert.Equal(t, "plain", o.browser.get("/plain").body)
			do(t, c, test.end)
			o.assertServes()
		})
	}
}

func TestClusterWithoutSlotsIsUnavailable(t *testing.T) {
	t.Parallel()
	cluster := redistest.Start(t, "--cluster-enabled", "yes")
	v := redisVisitor(t, at(cluster))
	assertRefuses(t, v, http.StatusServiceUnavailable)
	do(t, cluster.Conn(t), "CLUSTER ADDSLOTSRANGE 0 16383")
	require.Eventually(t, func() bool {
		info, err := redis.String(cluster.Conn(t).Do("CLUSTER", "INFO"))
		return err == nil && strings.Contains(info, "cluster_state:ok")
	}, 10*time.Second, 10*time.Millisecond)
	assertKeeps(t, v)
}

func TestFlushedScriptsAreSentAgain(t *testing.T) {
	t.Parallel()
	o := newOutageTest(t, redistest.Start(t), nil)
	o.command("SCRIPT FLUSH")
	commands := o.redis.CommandsDuring(t, func() { assert.Equal(t, "ann", o.browser.get("/user").body) })
	assert.Equal(t, 1, commands["eval"])
	commands = o.redis.CommandsDuring(t, func() { assert.Equal(t, "ann", o.browser.get("/user").body) })
	assert.Zero(t, commands["eval"], "it is known by its name again")
	assert.Empty(t, o.log.outages())
	assert.Zero(t, o.manager.Stats().Retries, "that is no try")
}

// After a restart every connection of the pool is broken, and each of them would fail a request.
func TestRestartFailsNoRequest(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, keeping...)
	p := redistest.NewProxy(t, server.Addr())
	v := redisVisitor(t, session.RedisConfig{Host: p.Host(), Port: p.Port()})
	holding(t, v, p, 10)()
	server.Restart(t)
	for range 20 {
		assertKeeps(t, v)
	}
}

// loseReplies makes a proxy lose the reply of each n-th command of a driver.
func loseReplies(p *redistest.Proxy, n int64) {
	var seen atomic.Int64
	p.Set(func(command []string) redistest.Fault {
		return redistest.Fault{Lose: strings.HasPrefix(command[0], "EVAL") && seen.Add(1)%n == 0}
	})
}

func TestLostReplyIsNoticedByNobody(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := redistest.NewProxy(t, server.Addr())
	for lost := range 4 { // which of a request's commands: a Regenerate has three
		o := newOutageTest(t, server, behind(p))
		for i := range 3 {
			loseOnly(p, lost)
			assert.Equal(t, fmt.Sprint(i+1), o.browser.get("/count").body, "reply %d is lost", lost)
		}
		loseOnly(p, lost)
		assert.Equal(t, http.StatusOK, o.browser.do(http.MethodPost, "/login").StatusCode)
		loseOnly(p, lost)
		assert.Equal(t, "4", o.browser.get("/count").body, "what she had before she signed in")
		o.assertServes()
		loseOnly(p, lost)
		assert.Equal(t, "signed out", o.browser.do(http.MethodPost, "/logout").body)
		assert.Empty(t, o.browser.get("/user").body)
		loseOnly(p, lost)
		assert.Equal(t, "1", o.browser.another().get("/count").body)
		assert.Empty(t, o.log.outages())
		p.Set(nil)
	}
}

// loseOnly makes a proxy lose one reply, after n others of a driver's commands.
func loseOnly(p *redistest.Proxy, n int) {
	var seen atomic.Int64
	p.Set(func(command []string) redistest.Fault {
		return redistest.Fault{Lose: strings.HasPrefix(command[0], "EVAL") && seen.Add(1) == int64(n)+1}
	})
}

func TestCountersAreExactThoughRepliesAreLost(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := redistest.NewProxy(t, server.Addr())
	o := newOutageTest(t, server, behind(p))
	// Two in a row would be two tries of one operation: the lost ones are far enough apart.
	loseReplies(p, 7)
	var counted, unknown atomic.Int64
	var requests sync.WaitGroup
	for range 6 {
		requests.Go(func() {
			for range 40 {
				switch p := o.browser.get("/count"); p.StatusCode {
				case http.StatusOK:
					counted.Add(1)
				case http.StatusServiceUnavailable:
					unknown.Add(1)
				default:
					t.Errorf("status %d", p.StatusCode)
				}
			}
		})
	}
	requests.Wait()
	p.Set(nil)
	var n int64
	_, err := fmt.Sscan(o.browser.get("/count").body, &n)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, n-1, counted.Load(), "an acknowledged increment is lost")
	assert.LessOrEqual(t, n-1, counted.Load()+unknown.Load(), "an increment counted twice")
	assert.Greater(t, counted.Load(), int64(200))
	assert.Positive(t, o.manager.Stats().Retries)
}

// A server that accepts and never answers, or answers too slowly, is given up in time, however
// long single steps may take.
func TestStoreTimeoutBoundsAllTries(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		fault redistest.Fault
		cut   bool
	}{
		{name: "hanging", fault: redistest.Fault{Hang: true}},
		{name: "hanging from the start", fault: redistest.Fault{Hang: true}, cut: true},
		{name: "slow", fault: redistest.Fault{Delay: 250 * time.Millisecond}, cut: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, "--requirepass", "secret")
			p := redistest.NewProxy(t, server.Addr())
			o := newOutageTest(t, server, func(cfg *session.Config) {
				behind(p)(cfg)
				cfg.StoreTimeout = 400 * time.Millisecond
				cfg.Redis.Options = session.RedisOptions{DB: 1, ClientName: "x",
					ReadTimeout: time.Minute, WriteTimeout: time.Minute, DialTimeout: time.Minute}
			})
			p.Set(func([]string) redistest.Fault { return test.fault })
			if test.cut {
				p.Cut()
			}
			for _, path := range []string{"/user", "/count"} {
				assertLasts(t, 400*time.Millisecond, func() { o.assertRefused(o.browser.get(path)) })
			}
			p.Set(nil)
			o.assertServes()
			o.assertOneOutage()
		})
	}
}

func TestStatsCountWhatRedisDid(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := redistest.NewProxy(t, server.Addr())
	m := newManager(t, session.Config{Default: "redis", Logger: quiet,
		Redis: session.RedisConfig{Host: p.Host(), Port: p.Port()}})
	b := newBrowser(t, outageRoutes.under(m))
	b.get("/count")
	b.get("/count")
	b.get("/logout")
	assert.Equal(t, session.Stats{Loads: 1, Saves: 2, Destroys: 1}, m.Stats())
	loseOnly(p, 0)
	b.get("/count")
	assert.Equal(t, session.Stats{Loads: 1, Saves: 3, Destroys: 1, Retries: 1}, m.Stats())
	p.Set(onEval(redistest.Fault{Reply: "-LOADING"}))
	b.get("/count")
	assert.Equal(t, session.Stats{Loads: 2, Saves: 3, Destroys: 1, Retries: 1, Unavailable: 1, Failed: 1}, m.Stats())
}

func TestPingTellsAnOutageFromAConfigurationError(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := redistest.NewProxy(t, server.Addr())
	m := newManager(t, session.Config{Default: "redis", Logger: quiet,
		Redis: session.RedisConfig{Host: p.Host(), Port: p.Port(), Options: session.RedisOptions{ReadTimeout: 100 * time.Millisecond}}})
	require.NoError(t, m.Ping(t.Context()))
	for _, test := range []struct {
		fault       redistest.Fault
		unavailable bool
	}{
		{fault: redistest.Fault{Hang: true}, unavailable: true},
		{fault: redistest.Fault{Reply: "-LOADING"}, unavailable: true},
		{fault: redistest.Fault{Reply: "-NOAUTH Authentication required."}},
	} {
		p.Set(func([]string) redistest.Fault { return test.fault })
		err := m.Ping(t.Context())
		require.Error(t, err)
		assert.Equal(t, test.unavailable, errors.Is(err, session.ErrUnavailable), "%v", err)
	}
	p.Set(nil)
	assert.NoError(t, m.Ping(t.Context()), "it is well at once")
}
