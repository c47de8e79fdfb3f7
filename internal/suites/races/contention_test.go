package races_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/casstore"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/require"
)

// Writers that never pause must not keep a sign-in from being stored.

func TestSignInBesideWritersOfRedis(t *testing.T) {
	t.Parallel()
	for name, delay := range map[string]time.Duration{"without delay": 0, "with a delay of 1 ms": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
			p := redistest.NewProxy(t, server.Addr())
			p.Set(func([]string) redistest.Fault { return redistest.Fault{Delay: delay} })
			testSignInBesideWriters(t, newService(t, redisThrough(p, "")))
		})
	}
}

func TestSignInBesideWritersOfASlowStore(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]driver.Store{"Store": &slowStore{}, "Swapper": &slowSwapper{}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testSignInBesideWriters(t, newService(t, session.Config{
				Default: "store", Secret: kit.Secret, StoreTimeout: 30 * time.Second,
				Drivers: map[string]session.Driver{"store": session.StoreDriver(store)},
			}))
		})
	}
}

// testSignInBesideWriters runs up to 30 rounds within a few seconds.
func testSignInBesideWriters(t *testing.T, s *service) {
	end := time.Now().Add(4 * time.Second)
	for round := 0; round < 30 && time.Now().Before(end); round++ {
		token, user := s.begin(), "ann "+driver.NewID().String()
		var writing, stop sync.WaitGroup
		var acknowledged atomic.Int64
		for range 2 + round%3 {
			writing.Add(1)
			stop.Go(func() { s.incrementUntilReplaced(token, &acknowledged, writing.Done) })
		}
		writing.Wait()
		answer := s.ask(token, func(own *session.Session) { own.Login(user) })
		stop.Wait()
		require.Equal(t, http.StatusOK, answer.Code, "the sign-in of round %d failed", round)
		p := s.open(s.token(answer))
		require.Equal(t, user, p.user)
		require.EqualValues(t, acknowledged.Load(), p.keys["n"], "increments of round %d", round)
		require.Equal(t, 1, s.sessions(user))
	}
}

// incrementUntilReplaced increments without a pause, and calls started after the first time.
func (s *service) incrementUntilReplaced(token string, acknowledged *atomic.Int64, started func()) {
	for first := true; ; first = false {
		stored := false
		answer := s.ask(token, func(own *session.Session) {
			if own.Open() == nil && own.Has("cart") {
				own.Increment("n", 1)
				stored = own.Save() == nil
			}
		})
		if stored && answer.Code == http.StatusOK {
			acknowledged.Add(1)
		}
		if first {
			started()
		}
		if !stored {
			return
		}
	}
}

// A slowStore takes 0.5 to 5 ms for each operation.
type slowStore struct{ casstore.Store }

func work() { time.Sleep(500*time.Microsecond + rand.N(4500*time.Microsecond)) }

func (s *slowStore) Get(ctx context.Context, key string) ([]byte, error) {
	work()
	return s.Store.Get(ctx, key)
}

func (s *slowStore) Update(ctx context.Context, key string, change func([]byte) (driver.Entry, error)) error {
	return s.Store.Update(ctx, key, func(old []byte) (driver.Entry, error) {
		work()
		return change(old)
	})
}

type slowSwapper struct{ casstore.Swapper }

func (s *slowSwapper) Get(ctx context.Context, key string) ([]byte, error) {
	work()
	return s.Swapper.Get(ctx, key)
}

func (s *slowSwapper) Swap(ctx context.Context, key string, old []byte, e driver.Entry) ([]byte, bool, error) {
	work()
	return s.Swapper.Swap(ctx, key, old, e)
}
