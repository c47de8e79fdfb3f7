package redistest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

// A SentinelSet is a master, its replica and the Sentinel that watches them.
type SentinelSet struct{ Master, Replica, Sentinel *Server }

// SentinelName is what the Sentinel of a set calls its master.
const SentinelName = "sessions"

// StartSentinel starts a set whose failover takes about a second. The args are those of both
// servers.
func StartSentinel(tb testing.TB, args ...string) SentinelSet {
	tb.Helper()
	args = append(args, "--repl-diskless-sync-delay", "0")
	set := SentinelSet{Master: Start(tb, args...), Replica: Start(tb, args...)}
	c, replica := set.Master.Conn(tb), set.Replica.Conn(tb)
	if _, err := replica.Do("REPLICAOF", set.Master.Host(), set.Master.Port()); err != nil {
		tb.Fatalf("redistest: make a replica: %v", err)
	}
	await(tb, "the replica is not connected", func() bool {
		info, err := redis.String(replica.Do("INFO", "replication"))
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
	// Even then the replica is sent what is written only some time later.
	await(tb, "the replica does not follow", func() bool {
		_, err := c.Do("SET", "probe", 1)
		n, _ := redis.Int(c.Do("WAIT", 1, 1000))
		return err == nil && n == 1
	})

	// Sentinel writes into its configuration file.
	config := filepath.Join(tb.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor %[1]s %[2]s %[3]d 1\nsentinel down-after-milliseconds %[1]s 500\n"+
		"sentinel failover-timeout %[1]s 3000\n", SentinelName, set.Master.Host(), set.Master.Port())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		tb.Fatalf("redistest: %v", err)
	}
	set.Sentinel = Start(tb, config, "--sentinel")
	sentinel := set.Sentinel.Conn(tb)
	await(tb, "Sentinel does not know the replica", func() bool {
		replicas, err := redis.Values(sentinel.Do("SENTINEL", "REPLICAS", SentinelName))
		if err != nil || len(replicas) != 1 {
			return false
		}
		r, err := redis.StringMap(replicas[0], nil)
		return err == nil && r["flags"] == "slave" && r["master-link-status"] == "ok"
	})
	return set
}

// AwaitPromotion waits until the replica is the master.
func (set SentinelSet) AwaitPromotion(tb testing.TB) {
	tb.Helper()
	await(tb, "the replica was not promoted", func() bool {
		c := set.Replica.Conn(tb) // the promotion ends all connections
		info, err := redis.String(c.Do("INFO", "replication"))
		return err == nil && strings.Contains(info, "role:master")
	})
}

func await(tb testing.TB, otherwise string, done func() bool) {
	tb.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("redistest: %s", otherwise)
		}
	}
}
