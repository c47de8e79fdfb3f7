package goredis_test

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/driver/drivertest"
	"example.com/session/goredis"
	"example.com/session/internal/redistest"
)

// newDriver returns a redis driver that talks through a client, which is closed when the test ends.
func newDriver(t *testing.T, client redis.UniversalClient) driver.Driver {
	t.Helper()
	d, err := session.NewRedisDriver(session.RedisConfig{
		Options: session.RedisOptions{Client: goredis.New(closing(t, client))}})
	require.NoError(t, err)
	return d
}

func keepsTheContract(t *testing.T, client func() redis.UniversalClient) {
	t.Helper()
	drivertest.Drivers(t, func(t *testing.T) driver.Driver { return newDriver(t, client()) }, drivertest.Options{
		Again: func(t *testing.T, _ driver.Driver) driver.Driver { return newDriver(t, client()) },
		Damage: func(t testing.TB, _ driver.Driver, id driver.ID, data []byte) {
			c := client()
			defer c.Close()
			require.NoError(t, c.Set(t.Context(), "session:"+id.String(), data, driver.Tombstone).Err())
		},
	})
}

func TestDriverKeepsItsContractOnOneServer(t *testing.T) {
	t.Parallel()
	server := redistest.Shared(t)
	for _, protocol := range []int{2, 3} {
		keepsTheContract(t, func() redis.UniversalClient {
			return redis.NewClient(&redis.Options{Addr: server.Addr(), Protocol: protocol})
		})
	}
}

func TestDriverKeepsItsContractOnACluster(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t)
	keepsTheContract(t, func() redis.UniversalClient { return redis.NewClusterClient(clusterOptions(nodes)) })
	for _, node := range nodes {
		require.NotEmpty(t, node.Keys(t), "the suite never used this node")
		for key, ttl := range node.TTLs(t) {
			assert.Positive(t, ttl, "%s never expires", key)
		}
	}
}

func TestDriverKeepsItsContractThroughSentinel(t *testing.T) {
	t.Parallel()
	set := redistest.StartSentinel(t)
	keepsTheContract(t, func() redis.UniversalClient { return redis.NewFailoverClient(failoverOptions(set)) })
}

// The replies are as redis sends them, and an error reply is told from a broken connection.
func TestRepliesAreThoseOfTheServer(t *testing.T) {
	t.Parallel()
	server := redistest.Shared(t)
	for _, protocol := range []int{2, 3} {
		c := goredis.New(closing(t, redis.NewClient(&redis.Options{Addr: server.Addr(), Protocol: protocol})))
		for _, test := range []struct {
			command []any
			want    any
		}{
			{command: []any{"SET", t.Name(), []byte("a\x00b"), "PX", int64(60000)}, want: "OK"},
			{command: []any{"SET", t.Name(), "other", "NX"}, want: nil},
			{command: []any{"GETEX", t.Name()}, want: "a\x00b"},
			{command: []any{"GETEX", t.Name() + "missing"}, want: nil},
			{command: []any{"EVAL", "return {'a', 1}", "1", t.Name()}, want: []any{"a", int64(1)}},
			{command: []any{"EVAL", "return redis.call('GET', KEYS[1])", "1", t.Name() + "missing"}, want: nil},
		} {
			reply, err := c.Do(t.Context(), test.command...)
			require.NoError(t, err, test.command)
			assert.Equal(t, test.want, reply, test.command)
		}
		_, err := c.Do(t.Context(), "LPUSH", t.Name(), "x")
		var reply interface{ RedisError() }
		require.ErrorAs(t, err, &reply)
		assert.ErrorContains(t, err, "WRONGTYPE")
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = c.Do(ended, "GETEX", t.Name())
		assert.ErrorIs(t, err, context.Canceled)
	}
}
