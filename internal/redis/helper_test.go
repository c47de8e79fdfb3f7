package redis_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	redigo "github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/internal/redis"
	"example.com/session/internal/redistest"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(clientOf); address != "" {
		useUntilKilled(address)
	}
	os.Exit(redistest.Main(m))
}

// keeping are the options of a server that loses nothing that it has acknowledged.
var keeping = []string{"--appendonly", "yes", "--appendfsync", "always"}

// config is the configuration of a server at an address, with what the root package sets by
// default.
func config(address, password string) redis.Config {
	return redis.Config{
		Network: "tcp", Address: address, Password: password, Connections: 64, IdleConnTimeout: time.Minute,
		DialTimeout: time.Second, ReadTimeout: time.Second, WriteTimeout: time.Second,
	}
}

// newDriver returns a driver that is closed when the test ends.
func newDriver(t testing.TB, c redis.Config) *redis.Driver {
	t.Helper()
	d := redis.New(c)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

// start starts a server whose keys must all expire, and returns a driver for it.
func start(t *testing.T, args ...string) (*redistest.Server, *redis.Driver) {
	t.Helper()
	server := redistest.Start(t, args...)
	t.Cleanup(func() { assertAllExpire(t, server) })
	return server, newDriver(t, config(server.Addr(), server.Password()))
}

// proxied is start behind a proxy.
func proxied(t *testing.T, args ...string) (*redistest.Proxy, *redistest.Server, *redis.Driver) {
	t.Helper()
	server, _ := start(t, args...)
	p := redistest.NewProxy(t, server.Addr())
	return p, server, newDriver(t, config(p.Addr(), server.Password()))
}

func assertAllExpire(t *testing.T, server *redistest.Server) {
	t.Helper()
	if server.PID() == 0 {
		return
	}
	for key, ttl := range server.TTLs(t) {
		assert.Positive(t, ttl, "%s never expires", key)
	}
}

// do runs a command of one line on the server itself.
func do(t testing.TB, s *redistest.Server, line string) any {
	t.Helper()
	return doOn(t, s.Conn(t), line)
}

func doOn(t testing.TB, c redigo.Conn, line string) any {
	t.Helper()
	var args []any
	words := strings.Fields(line)
	for _, word := range words[1:] {
		args = append(args, word)
	}
	reply, err := c.Do(words[0], args...)
	require.NoError(t, err, line)
	return reply
}

// eventually waits until INFO or CLUSTER INFO says something.
func eventually(t *testing.T, s *redistest.Server, line, want string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(fmt.Sprintf("%s", do(t, s, line)), want) },
		10*time.Second, 5*time.Millisecond, "%s never says %s", line, want)
}

var limits = driver.Limits{Lifetime: 24 * time.Hour, Idle: time.Hour}

// secret is the digest of the one secret of the sessions that begin makes.
var secret = driver.Digest{1, 2, 3}

// now is a time as records hold it.
func now() time.Time { return time.UnixMilli(time.Now().UnixMilli()) }

func set(key, encoded string) driver.Op {
	return driver.Op{Kind: driver.Set, Part: driver.Data, Key: key, Encoded: encoded}
}

func add(key string, by int64) driver.Op {
	return driver.Op{Kind: driver.Add, Part: driver.Data, Key: key, By: by}
}

// newSession are the changes that begin a session.
func newSession(ops ...driver.Op) *driver.Changes {
	return &driver.Changes{ID: driver.NewID(), Number: rand.Uint64(), Now: now(), New: true, Use: true,
		Install: secret, Limits: limits, Ops: ops}
}

// changes are those of a request that loaded rec.
func changes(rec *driver.Record, ops ...driver.Op) *driver.Changes {
	return &driver.Changes{ID: rec.ID(), Number: rand.Uint64(), Now: now(), Use: true, Expect: secret, Limits: limits, Ops: ops}
}

// begin stores a session.
func begin(t testing.TB, d driver.Driver, ops ...driver.Op) *driver.Record {
	t.Helper()
	rec, err := d.Save(t.Context(), nil, newSession(ops...))
	require.NoError(t, err)
	return rec
}

func ending(rec *driver.Record) *driver.Ending {
	return &driver.Ending{ID: rec.ID(), Now: now(), For: driver.Tombstone, Secret: secret}
}

// load loads a session that must be there.
func load(t testing.TB, d driver.Driver, id driver.ID) *driver.Record {
	t.Helper()
	rec, err := d.Load(t.Context(), id, now())
	require.NoError(t, err)
	return rec
}

func value(rec *driver.Record, key string) string {
	encoded, _ := rec.Value(driver.Data, key)
	return encoded
}

// count loads a session, increments its counter, and saves it.
func count(ctx context.Context, d driver.Driver, id driver.ID) error {
	rec, err := d.Load(ctx, id, now())
	if err == nil {
		_, err = d.Save(ctx, rec, changes(rec, add("n", 1)))
	}
	return err
}

// onlyNth returns a fault of the n-th command, counted from 0, that has one of the names.
func onlyNth(n int64, fault redistest.Fault, names ...string) func([]string) redistest.Fault {
	var seen atomic.Int64
	return func(command []string) redistest.Fault {
		for _, name := range names {
			if command[0] == name && seen.Add(1) == n+1 {
				return fault
			}
		}
		return redistest.Fault{}
	}
}

// on returns a fault of each command that has one of the names.
func on(fault redistest.Fault, names ...string) func([]string) redistest.Fault {
	return func(command []string) redistest.Fault {
		for _, name := range names {
			if command[0] == name {
				return fault
			}
		}
		return redistest.Fault{}
	}
}

// work are the commands that read or write something.
var work = []string{"GETEX", "SET", "EVALSHA", "EVAL"}
