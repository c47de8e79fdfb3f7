package goredis_test

import (
	"strings"
	"testing"
	"time"

	redigo "github.com/gomodule/redigo/redis"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"example.com/session/internal/redistest"
)

// slots is how many slots a cluster has.
const slots = 16384

// do runs a command on a server itself and returns its reply as text.
func do(t *testing.T, s *redistest.Server, name string, args ...any) string {
	t.Helper()
	reply, err := s.Conn(t).Do(name, args...)
	require.NoError(t, err, "%s %v", name, args)
	text, _ := redigo.String(reply, nil)
	return text
}

// eventually waits for what a server is to say.
func eventually(t *testing.T, s *redistest.Server, want, name string, args ...any) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(do(t, s, name, args...), want) },
		20*time.Second, 20*time.Millisecond, "%s %v never said %s", name, args, want)
}

// startCluster starts a cluster of three masters, each with a third of the slots.
func startCluster(t *testing.T, args ...string) []*redistest.Server {
	t.Helper()
	nodes := make([]*redistest.Server, 3)
	for i := range nodes {
		nodes[i] = redistest.Start(t, append(args, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")...)
		do(t, nodes[i], "CLUSTER", "ADDSLOTSRANGE", i*slots/3, (i+1)*slots/3-1)
		do(t, nodes[i], "CLUSTER", "SET-CONFIG-EPOCH", i+1)
	}
	for _, node := range nodes[1:] {
		do(t, nodes[0], "CLUSTER", "MEET", node.Host(), node.Port())
	}
	for _, node := range nodes {
		eventually(t, node, "cluster_known_nodes:3", "CLUSTER", "INFO")
		eventually(t, node, "cluster_state:ok", "CLUSTER", "INFO")
	}
	return nodes
}

// clusterOptions are those of a client that knows one node and is told of the others.
func clusterOptions(nodes []*redistest.Server) *redis.ClusterOptions {
	return &redis.ClusterOptions{Addrs: []string{nodes[0].Addr()}, ContextTimeoutEnabled: true}
}

// failoverOptions are those of a client that asks a Sentinel for the master.
func failoverOptions(set redistest.SentinelSet) *redis.FailoverOptions {
	return &redis.FailoverOptions{MasterName: redistest.SentinelName, SentinelAddrs: []string{set.Sentinel.Addr()}, ContextTimeoutEnabled: true}
}

// closing closes a client when the test ends.
func closing[C redis.UniversalClient](t *testing.T, client C) C {
	t.Helper()
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}
