package goredis_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	redigo "github.com/gomodule/redigo/redis"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/internal/redistest"
)

// id is the name that a cluster's node has for itself.
func id(t *testing.T, node *redistest.Server) string {
	t.Helper()
	return do(t, node, "CLUSTER", "MYID")
}

// moveSlot moves a slot with its keys from one master to another while it is used, as
// `redis-cli --cluster reshard` does: some keys at a time, so that for a while a part of them is
// there and the rest is here.
func moveSlot(t *testing.T, nodes []*redistest.Server, from, to *redistest.Server, slot int) (moved int) {
	t.Helper()
	do(t, to, "CLUSTER", "SETSLOT", slot, "IMPORTING", id(t, from))
	do(t, from, "CLUSTER", "SETSLOT", slot, "MIGRATING", id(t, to))
	for {
		keys, err := redigo.Strings(from.Conn(t).Do("CLUSTER", "GETKEYSINSLOT", slot, 1))
		require.NoError(t, err)
		if len(keys) == 0 {
			break
		}
		do(t, from, "MIGRATE", to.Host(), to.Port(), keys[0], 0, 5000)
		moved++
	}
	for _, node := range nodes { // the new owner first, or nobody has it for a moment
		if node == to {
			do(t, node, "CLUSTER", "SETSLOT", slot, "NODE", id(t, to))
		}
	}
	for _, node := range nodes {
		do(t, node, "CLUSTER", "SETSLOT", slot, "NODE", id(t, to))
	}
	return moved
}

// usedSlots are slots of a node that hold keys, at most n.
func usedSlots(t *testing.T, node *redistest.Server, n int) (used []int) {
	t.Helper()
	c := node.Conn(t)
	seen := make(map[int]bool)
	for _, key := range node.Keys(t) {
		slot, err := redigo.Int(c.Do("CLUSTER", "KEYSLOT", key))
		require.NoError(t, err)
		if !seen[slot] && len(used) < n {
			seen[slot] = true
			used = append(used, slot)
		}
	}
	return used
}

func TestNothingIsLostWhileSlotsMove(t *testing.T) {
	soak(t, "slots of a cluster move, go-redis", func(t *testing.T) scene {
		nodes := startCluster(t)
		return scene{cfg: through(t, redis.NewClusterClient(clusterOptions(nodes))), unnoticed: true, happen: func() {
			moved := 0
			for i, from := range nodes {
				for _, slot := range usedSlots(t, from, 15) {
					moved += moveSlot(t, nodes, from, nodes[(i+1)%3], slot)
				}
			}
			assert.Greater(t, moved, 20, "hardly a session was moved")
		}}
	})
}

// Two thirds of the sessions go on while a third has no server.
func TestNothingIsLostWhereANodeOfAClusterIsKilled(t *testing.T) {
	soak(t, "a node of a cluster killed, back after 2 s, go-redis", func(t *testing.T) scene {
		nodes := startCluster(t, append(keeping, "--cluster-require-full-coverage", "no")...)
		return scene{cfg: through(t, redis.NewClusterClient(clusterOptions(nodes))), window: 8 * time.Second, long: true, happen: func() {
			nodes[1].Kill()
			time.Sleep(2 * time.Second)
			nodes[1].Restart(t)
			eventually(t, nodes[1], "cluster_state:ok", "CLUSTER", "INFO")
		}}
	})
}

func TestNothingIsLostInAFailoverBySentinel(t *testing.T) {
	soak(t, "master killed, failover by Sentinel, go-redis", func(t *testing.T) scene {
		set := redistest.StartSentinel(t)
		return scene{cfg: through(t, redis.NewFailoverClient(failoverOptions(set))), window: 15 * time.Second, long: true, brief: true, loses: true, happen: func() {
			set.Master.Kill()
			set.AwaitPromotion(t)
			time.Sleep(time.Second)
		}}
	})
}

// Every command works on one key: a cluster refuses one whose keys are of several slots.
func TestEveryOperationWorksWhateverTheSlots(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t)
	p := make([]*redistest.Proxy, len(nodes))
	for i, node := range nodes {
		p[i] = redistest.NewProxy(t, node.Addr())
		p[i].Set(func(c []string) redistest.Fault {
			if strings.HasPrefix(strings.ToUpper(c[0]), "EVAL") {
				assert.Equal(t, "1", c[2], "%.60q has several keys", c)
			}
			return redistest.Fault{}
		})
	}
	options := clusterOptions(nodes)
	options.NewClient = func(o *redis.Options) *redis.Client {
		for i, node := range nodes {
			if node.Addr() == o.Addr {
				o.Addr = p[i].Addr()
			}
		}
		return redis.NewClient(o)
	}
	b := newBrowser(t, closing(t, redis.NewClusterClient(options)), nil)
	for range 20 { // each has a key of its own
		b = b.another()
		for i := range 3 {
			require.Equal(t, fmt.Sprint(i+1), b.body("/add"))
			b.body("/login")
		}
		b.body("/logout")
		assert.Equal(t, "0", b.body("/read"))
	}
	for i, node := range nodes {
		assert.Positive(t, p[i].Dialed())
		assert.NotEmpty(t, node.Keys(t))
	}
}
