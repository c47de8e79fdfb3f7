package goredis_test

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/goredis"
	"example.com/session/internal/redistest"
	"example.com/session/sessiontest"
)

// driver returns a redis driver that talks through a client, which is closed when the test ends.
func driver(t *testing.T, client redis.UniversalClient) session.Driver {
	t.Helper()
	d, err := session.NewRedisDriver(session.RedisConfig{
		Options: session.RedisOptions{Client: goredis.New(closing(t, client))}})
	require.NoError(t, err)
	return d
}

func TestDriverKeepsItsContractOnOneServer(t *testing.T) {
	t.Parallel()
	server := redistest.Shared(t)
	sessiontest.Drivers(t, func(t *testing.T) session.Driver {
		return driver(t, redis.NewClient(&redis.Options{Addr: server.Addr()}))
	})
}

func TestDriverKeepsItsContractOnACluster(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t)
	sessiontest.Drivers(t, func(t *testing.T) session.Driver {
		return driver(t, redis.NewClusterClient(clusterOptions(nodes)))
	})
	for _, node := range nodes {
		require.NotEmpty(t, node.Keys(t), "the suite never used this node")
	}
}

func TestDriverKeepsItsContractThroughSentinel(t *testing.T) {
	t.Parallel()
	set := startSentinel(t)
	sessiontest.Drivers(t, func(t *testing.T) session.Driver {
		return driver(t, redis.NewFailoverClient(set.options()))
	})
}
