package session_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
)

// impatient waits for a server that says nothing so short a time that a test can.
func impatient(cfg *session.Config) { cfg.Redis.Options.ReadTimeout = 250 * time.Millisecond }

// keeping are the options of a server that loses nothing that it has acknowledged.
var keeping = []string{"--appendonly", "yes", "--appendfsync", "always"}

// Each of these is a server that cannot serve, and none is a visitor who is not signed in.
func TestServerThatCannotServeIsUnavailableAndNeverSignsOut(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		args  []string
		begin func(o *outageTest) (end func())
	}{
		{name: "stopped", args: keeping, begin: func(o *outageTest) func() {
			o.redis.Stop()
			return func() { o.redis.Restart(o.T) }
		}},
		{name: "killed", args: keeping, begin: func(o *outageTest) func() {
			o.redis.Kill()
			return func() { o.redis.Restart(o.T) }
		}},
		{name: "hanging", begin: func(o *outageTest) func() {
			o.redis.Pause(o.T)
			return func() { o.redis.Resume(o.T) }
		}},
		{name: "paused", begin: commands("CLIENT PAUSE 8000", "PING")}, // answered when the pause is over
		{name: "paused for writes", begin: commands("CLIENT PAUSE 60000 WRITE", "CLIENT UNPAUSE")},
		{name: "READONLY", begin: commands("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE")},
		{name: "MASTERDOWN", args: []string{"--replica-serve-stale-data", "no"},
			begin: commands("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE")},
		{name: "NOREPLICAS", begin: commands("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0")},
		{name: "BUSY", args: []string{"--busy-reply-threshold", "1"}, begin: keepBusy},
		{name: "too many clients", begin: crowdOut},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := newOutageTest(t, redistest.Start(t, test.args...), impatient)
			o.goThrough(test.begin)
		})
	}
}

// goThrough asserts what holds in every outage and after it.
func (o *outageTest) goThrough(begin func(o *outageTest) (end func())) {
	o.Helper()
	end := begin(o)
	o.assertDown()
	if err := o.manager.Ping(o.Context()); err != nil { // a server may answer that and nothing else
		assert.ErrorIs(o, err, session.ErrUnavailable)
	}
	end()
	o.assertServes()
	assert.NoError(o, o.manager.Ping(o.Context()))
	o.assertOneOutage()
}

// commands begins and ends an outage by a command each.
func commands(begin, end string) func(o *outageTest) func() {
	return func(o *outageTest) func() {
		o.command(begin)
		return func() { o.command(end) }
	}
}

// keepBusy makes the server run a script that does not end. It answers BUSY to everybody then.
func keepBusy(o *outageTest) func() {
	c := o.redis.Conn(o.T)
	require.NoError(o, c.Send("EVAL", "while true do end", 0))
	require.NoError(o, c.Flush())
	require.Eventually(o, func() bool {
		_, err := o.redis.Conn(o.T).Do("PING")
		return err != nil && strings.HasPrefix(err.Error(), "BUSY")
	}, 10*time.Second, 5*time.Millisecond)
	return func() {
		o.command("SCRIPT KILL")
		_, err := c.Receive()
		assert.ErrorContains(o, err, "killed")
	}
}

// crowdOut ends the application's connections and leaves no place for others.
func crowdOut(o *outageTest) func() {
	c := o.redis.Conn(o.T)
	for _, command := range []string{"CONFIG SET maxclients 1", "CLIENT KILL TYPE normal SKIPME yes"} {
		do(o.T, c, command)
	}
	return func() { do(o.T, c, "CONFIG SET maxclients 1000") }
}

// A server that cannot write its data to disk refuses every write, also the note of a use.
func TestServerThatCannotSaveIsUnavailable(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.Mkdir(dir, 0o700))
	o := newOutageTest(t, redistest.Start(t, "--dir", dir, "--save", "3600 1000"), nil)
	o.goThrough(func(o *outageTest) func() {
		require.NoError(t, os.RemoveAll(dir))
		o.command("BGSAVE")
		require.Eventually(t, func() bool {
			info, err := redis.String(o.redis.Conn(t).Do("INFO", "persistence"))
			return err == nil && strings.Contains(info, "rdb_last_bgsave_status:err")
		}, 10*time.Second, 10*time.Millisecond)
		return func() { o.command("CONFIG SET stop-writes-on-bgsave-error no") }
	})
}

// A server that starts loads its data first; each key takes this one a while.
func TestLoadingServerIsUnavailable(t *testing.T) {
	t.Parallel()
	var failed *failures
	o := newOutageTest(t, redistest.Start(t, append(keeping, "--aof-use-rdb-preamble", "no",
		"--loading-process-events-interval-bytes", "1024", "--key-load-delay", "500")...),
		func(cfg *session.Config) { failed = recordFailures(cfg) })
	c := o.redis.Conn(t)
	for i := range 1000 {
		require.NoError(t, c.Send("SET", fmt.Sprint(i), strings.Repeat("x", 100)))
	}
	_, err := c.Do("")
	require.NoError(t, err)
	o.redis.Kill()

	stop, asked := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(asked)
		for {
			select {
			case <-stop:
				return
			default:
				if p := o.browser.get("/user"); p.StatusCode != http.StatusOK {
					o.assertRefused(p)
				}
			}
		}
	}()
	o.redis.Restart(t) // returns when everything is loaded
	close(stop)
	<-asked
	o.assertServes()
	o.assertOneOutage()
	assert.True(t, failed.any("LOADING"), "nobody asked while the server was loading")
}

// A replica lags behind// A replica lags behind: what it lacks its master may have.
func TestReplicaThatLacksASessionDoesNotSayThatThereIsNone(t *testing.T) {
	t.Parallel()
	o := newOutageTest(t, redistest.Start(t), nil)
	o.command("FLUSHALL")
	o.command("REPLICAOF 127.0.0.1 1") // where it finds no master, and keeps what it has
	o.assertDown()
	o.assertRefused(o.browser.do(http.MethodPost, "/logout"))
	o.command("REPLICAOF NO ONE")
	assert.Empty(t, o.browser.get("/user").body)
}

// Memory that is full is no reason to sign people out, nor to keep them from signing out.
func TestFullMemoryRefusesWritesAndStillReads(t *testing.T) {
	t.Parallel()
	o := newOutageTest(t, redistest.Start(t), nil)
	o.command("CONFIG SET maxmemory 1")
	o.assertWritesDown()
	assert.Equal(t, "ann", o.browser.get("/user").body)
	assert.Equal(t, http.StatusOK, o.browser.do(http.MethodPost, "/delete?key=k").StatusCode)

	o.command("CONFIG SET maxmemory 0")
	o.assertServes()
	o.assertOneOutage()
	o.command("CONFIG SET maxmemory 1")
	assert.Equal(t, http.StatusOK, o.browser.do(http.MethodPost, "/logout").StatusCode)
	assert.Empty(t, o.browser.get("/user").body)
}

// behind points a configuration at a proxy.
func behind(p *redistest.Proxy) func(cfg *session.Config) {
	return func(cfg *session.Config) { cfg.Redis.Host, cfg.Redis.Port = p.Host(), p.Port() }
}

// A name or an address in front of the servers has moved to the new master, and the old one has
// become its replica: connections that are still open lead to the wrong server.
func TestFailoverBehindOneAddressFailsNoRequest(t *testing.T) {
	t.Parallel()
	const at, once = "--repl-diskless-sync-delay", "0"
	master, replica := redistest.Start(t, at, once), redistest.Start(t, at, once)
	p := redistest.NewProxy(t, master.Addr())
	o := newOutageTest(t, master, behind(p))
	follow(t, replica, master)

	p.Lead(replica.Addr())
	do(t, replica.Conn(t), "REPLICAOF NO ONE")
	follow(t, master, replica)
	for range 5 {
		o.assertServes()
	}
	assert.Empty(t, o.log.outages())
	assert.EqualValues(t, 1, o.manager.Stats().Retries, "the connection to the replica was kept")
}

// follow makes a server the replica of another one and waits until it has its data.
func follow(t *testing.T, replica, master *redistest.Server) {
	t.Helper()
	c := replica.Conn(t)
	do(t, c, fmt.Sprintf("REPLICAOF %s %d", master.Host(), master.Port()))
	require.Eventually(t, func() bool {
		info, err := redis.String(c.Do("INFO", "replication"))
		return err == nil && strings.Contains(info, "master_link_status:up")
	}, 10*time.Second, 10*time.Millisecond)
}
