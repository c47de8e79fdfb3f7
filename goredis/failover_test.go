package goredis_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	redigo "github.com/gomodule/redigo/redis"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

// signedIn are visitors of one server who have signed in, each under a name of its own.
func signedIn(t *testing.T, m *session.Manager, n int) (visitors []*kit.Visitor) {
	t.Helper()
	v := kit.NewVisitor(t, m)
	for i := range n {
		kit.Login(v, fmt.Sprintf("user %d", i))
		visitors = append(visitors, v)
		v = v.Stranger()
	}
	return visitors
}

// replicated waits until a replica has all that its master has.
func replicated(t *testing.T, master *redistest.Server) {
	t.Helper()
	c := master.Conn(t)
	_, err := c.Do("SET", "probe", 2) // WAIT is for the writes of its own connection, and so for all before
	require.NoError(t, err)
	n, err := redigo.Int(c.Do("WAIT", 1, 9000))
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

// failoverWays lead to the master of a Sentinel set. follow is what an operator's own machinery does when the replica is the master.
var failoverWays = []struct {
	name string
	to   func(t *testing.T, set redistest.SentinelSet) (cfg session.RedisConfig, follow func())
}{
	{"go-redis asks Sentinel", func(t *testing.T, set redistest.SentinelSet) (session.RedisConfig, func()) {
		return through(t, redis.NewFailoverClient(failoverOptions(set))), func() {}
	}},
	{"redigo keeps an address that follows the master", func(t *testing.T, set redistest.SentinelSet) (session.RedisConfig, func()) {
		p := redistest.NewProxy(t, set.Master.Addr())
		return session.RedisConfig{Host: p.Host(), Port: p.Port()}, func() { p.Lead(set.Replica.Addr()) }
	}},
}

func TestAFailoverSignsNobodyOutAndIsOneOutage(t *testing.T) {
	for _, way := range failoverWays {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			set := redistest.StartSentinel(t)
			redis, follow := way.to(t, set)
			cfg := session.Config{Default: "redis", Redis: redis}
			log, events := kit.CaptureLog(&cfg), kit.RecordEvents(&cfg)
			m := kit.NewManager(t, cfg)
			visitors := signedIn(t, m, 40)
			replicated(t, set.Master)
			events.Take()

			set.Master.Kill()
			killed := time.Now()
			add := func() int { return visitors[0].Visit(func(s *session.Session) { s.Increment("n", 1) }).StatusCode }
			failed := 0
			poll := func() bool {
				status := add()
				if status != http.StatusOK {
					require.Equal(t, http.StatusServiceUnavailable, status)
					failed++
				}
				return status == http.StatusOK
			}
			poll()
			set.AwaitPromotion(t)
			promoted := time.Since(killed)
			follow()
			require.Eventually(t, poll, 20*time.Second, 20*time.Millisecond, "%s", log.Text())
			served := time.Since(killed)
			assert.Less(t, served-promoted, 5*time.Second, "the new master was not found")
			t.Logf("promoted after %v, served after %v, %d requests failed", promoted.Round(time.Millisecond), served.Round(time.Millisecond), failed)

			for i, v := range visitors {
				assert.Equal(t, fmt.Sprintf("user %d", i), kit.UserOf(v), "a visitor is signed out")
			}
			infos, err := m.Sessions(t.Context(), "user 7")
			require.NoError(t, err)
			assert.Len(t, infos, 1)
			require.NoError(t, m.EndAll(t.Context(), "user 7"))
			assert.Empty(t, kit.UserOf(visitors[7]))

			if failed > 0 {
				require.Eventually(t, func() bool { add(); return strings.Contains(log.Text(), "session: the store is available again") },
					20*time.Second, 100*time.Millisecond, "%s", log.Text())
				assert.Len(t, events.Of(session.EventAvailable), 1)
			}
			assert.Len(t, events.Of(session.EventUnavailable), min(failed, 1))
			assert.Equal(t, min(failed, 1), strings.Count(log.Text(), `msg="session: the store is unavailable"`), "%s", log.Text())
			for _, e := range events.Take() {
				switch e.Kind {
				case session.EventAvailable, session.EventUnavailable:
				case session.EventEnded:
					assert.Equal(t, "user 7", e.User)
				default:
					assert.Fail(t, "an event of a failover", "%+v", e)
				}
			}
		})
	}
}

// What docs/redis.md says about replicas: redis acknowledges a write before a replica has it.
func TestAFailoverUndoesASignOutThatNoReplicaHad(t *testing.T) {
	for _, guarded := range []bool{false, true} {
		t.Run(fmt.Sprintf("min-replicas-to-write is set: %v", guarded), func(t *testing.T) {
			t.Parallel()
			master, replica := redistest.Start(t), redistest.Start(t)
			do(t, replica, "REPLICAOF", master.Host(), master.Port())
			eventually(t, replica, "master_link_status:up", "INFO", "replication")
			eventually(t, master, "state=online", "INFO", "replication")
			if guarded {
				do(t, master, "CONFIG", "SET", "min-replicas-to-write", 1)
				eventually(t, master, "min_slaves_good_slaves:1", "INFO", "replication")
			}
			p := redistest.NewProxy(t, master.Addr())
			cfg := session.Config{Default: "redis", Logger: quiet, Redis: session.RedisConfig{Host: p.Host(), Port: p.Port()}}
			v := signedIn(t, kit.NewManager(t, cfg), 1)[0]
			replicated(t, master)
			copied := v.CookieHeader()

			do(t, replica, "REPLICAOF", "NO", "ONE") // it hears nothing any more
			eventually(t, master, "connected_slaves:0", "INFO", "replication")
			signedOut := v.Visit(func(s *session.Session) { s.Logout() }).StatusCode
			master.Kill()
			p.Lead(replica.Addr())
			thief := v.Stranger()
			var user string
			require.Eventually(t, func() bool {
				return thief.Visit(func(s *session.Session) { user, _ = s.User() }, "Cookie", copied).StatusCode == http.StatusOK
			}, 10*time.Second, 20*time.Millisecond)
			assert.Equal(t, "user 0", user, "the session is back")
			if guarded {
				assert.Equal(t, http.StatusServiceUnavailable, signedOut, "nobody was told that it had ended")
			} else {
				assert.Equal(t, http.StatusOK, signedOut)
			}
		})
	}
}
