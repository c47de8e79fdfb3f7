package session_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
)

// nowhere is a master that no replica reaches, so that it keeps its data and refuses to write.
var nowhere = []any{"127.0.0.1", 1}

func TestReplicaIsUnavailableAndNeverSignsOut(t *testing.T) {
	t.Parallel()
	o := newOutageTest(t, redistest.Start(t), nil)
	o.command("REPLICAOF", nowhere...)
	o.assertDown()
	o.command("REPLICAOF", "NO", "ONE")
	o.assertServes()
	o.assertOneOutage()
}

// A replica lags behind: what it lacks its master may have.
func TestReplicaThatLacksASessionDoesNotSayThatThereIsNone(t *testing.T) {
	t.Parallel()
	o := newOutageTest(t, redistest.Start(t), nil)
	o.command("FLUSHALL")
	o.command("REPLICAOF", nowhere...)
	o.assertDown()
	o.assertRefused(o.browser.do(http.MethodPost, "/logout"))
	o.command("REPLICAOF", "NO", "ONE")
	assert.Empty(t, o.browser.get("/user").body)
}

// Memory that is full is no reason to sign people out, nor to keep them from signing out.
func TestFullMemoryRefusesWritesAndStillReads(t *testing.T) {
	t.Parallel()
	o := newOutageTest(t, redistest.Start(t), nil)
	o.command("CONFIG", "SET", "maxmemory", 1)
	o.assertWritesDown()
	assert.Equal(t, "ann", o.browser.get("/user").body)
	assert.Equal(t, http.StatusOK, o.browser.do(http.MethodPost, "/delete?key=k").StatusCode)

	o.command("CONFIG", "SET", "maxmemory", 0)
	o.assertServes()
	o.assertOneOutage()
	o.command("CONFIG", "SET", "maxmemory", 1)
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
	_, err := replica.Conn(t).Do("REPLICAOF", "NO", "ONE")
	require.NoError(t, err)
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
	_, err := c.Do("REPLICAOF", master.Host(), master.Port())
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		info, err := redis.String(c.Do("INFO", "replication"))
		return err == nil && strings.Contains(info, "master_link_status:up")
	}, 10*time.Second, 10*time.Millisecond)
}
