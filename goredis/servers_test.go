package goredis_test

import (
	"fmt"
	"os"
	"path/filepath"
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

// A sentinelSet is a master, its replica and the Sentinel that watches them.
type sentinelSet struct{ master, replica, sentinel *redistest.Server }

const setName = "sessions"

// startSentinel starts a set whose failover takes about a second.
func startSentinel(t *testing.T, args ...string) sentinelSet {
	t.Helper()
	args = append(args, "--repl-diskless-sync-delay", "0")
	s := sentinelSet{master: redistest.Start(t, args...), replica: redistest.Start(t, args...)}
	do(t, s.replica, "REPLICAOF", s.master.Host(), s.master.Port())

	// A replica is sent what is written only some time after both say that it is there.
	eventually(t, s.replica, "master_link_status:up", "INFO", "replication")
	c := s.master.Conn(t)
	_, err := c.Do("SET", "probe", 1)
	require.NoError(t, err)
	acknowledged, err := redigo.Int(c.Do("WAIT", 1, 9000))
	require.NoError(t, err)
	require.Equal(t, 1, acknowledged, "the replica does not follow")

	// Sentinel writes into its configuration file.
	config := filepath.Join(t.TempDir(), "sentinel.conf")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil,
		"sentinel monitor %[1]s %[2]s %[3]d 1\nsentinel down-after-milliseconds %[1]s 500\nsentinel failover-timeout %[1]s 3000\n",
		setName, s.master.Host(), s.master.Port()), 0o600))
	s.sentinel = redistest.Start(t, config, "--sentinel")
	// It takes a replica for a master's successor once it has asked it how it is.
	require.Eventually(t, func() bool {
		replicas, err := redigo.Values(s.sentinel.Conn(t).Do("SENTINEL", "REPLICAS", setName))
		if err != nil || len(replicas) != 1 {
			return false
		}
		replica, err := redigo.StringMap(replicas[0], nil)
		return err == nil && replica["flags"] == "slave" && replica["master-link-status"] == "ok"
	}, 20*time.Second, 50*time.Millisecond, "Sentinel does not know the replica")
	return s
}

func (s sentinelSet) options() *redis.FailoverOptions {
	return &redis.FailoverOptions{MasterName: setName, SentinelAddrs: []string{s.sentinel.Addr()}, ContextTimeoutEnabled: true}
}

// closing closes a client when the test ends.
func closing[C redis.UniversalClient](t *testing.T, client C) C {
	t.Helper()
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}
