package redis_test

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/internal/redis"
)

// clientOf makes this test binary a client of the server at the address in the environment.
const clientOf = "REDIS_OF_A_CLIENT_THAT_IS_KILLED"

// useUntilKilled signs users in and out, as requests do, and never returns.
func useUntilKilled(address string) {
	d, ctx := redis.New(config(address, "")), context.Background()
	for range 16 {
		go func() {
			for {
				e := entry(0, time.Hour)
				signIn := newSession(set("a", strings.Repeat("x", rand.IntN(20_000))))
				signIn.ID = e.ID
				signIn.Ops = append(signIn.Ops, driver.Op{Kind: driver.Set, Part: driver.Account, Key: driver.UserKey, Encoded: user})
				if d.Enter(ctx, user, e, 0, now()) != nil {
					continue
				}
				rec, err := d.Save(ctx, nil, signIn)
				if err == nil {
					rec, err = d.Save(ctx, rec, changes(rec, add("n", 1)))
				}
				if err == nil && rand.IntN(2) == 0 {
					d.End(ctx, rec, ending(rec))
					d.Remove(ctx, user, e.ID)
				}
			}
		}()
	}
	select {}
}

// Wherever a process dies, what it has left expires by itself, can be read, and is listed: EndAll
// misses no session.
func TestClientThatIsKilledLeavesNothingHalfDone(t *testing.T) {
	t.Parallel()
	server, d := start(t) // and every key must expire
	live := 0
	for range 10 {
		client := exec.Command(os.Args[0])
		client.Env = append(os.Environ(), clientOf+"="+server.Addr())
		require.NoError(t, client.Start())
		before := server.Commands(t)["set"]
		require.Eventually(t, func() bool { return server.Commands(t)["set"] > before }, 10*time.Second, time.Millisecond)
		time.Sleep(rand.N(20 * time.Millisecond))
		require.NoError(t, client.Process.Kill())
		client.Wait()

		keys := server.Keys(t) // the server may still work on what the client has sent: its own order is kept here
		listed := make(map[driver.ID]bool)
		for _, e := range list(t, d, now()) {
			listed[e.ID] = true
		}
		for _, key := range keys {
			id, ok := driver.ParseID(strings.TrimPrefix(key, "session:"))
			if !ok {
				continue // the list
			}
			rec, err := d.Load(t.Context(), id, now())
			if err != nil {
				assert.ErrorIs(t, err, driver.ErrEnded)
				continue
			}
			live++
			assert.Equal(t, user, rec.User())
			assert.True(t, listed[id], "a session is in no list")
		}
		assertAllExpire(t, server)
	}
	assert.Greater(t, live, 20, "the client has hardly begun")
}
