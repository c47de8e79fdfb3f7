package store_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/session/driver"
	"example.com/session/internal/casstore"
	"example.com/session/internal/store"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const writers = 32

// writeAtOnce has every writer add 1 to one session, times times, from a base that grows old.
func writeAtOnce(t *testing.T, d *store.Driver, times int) {
	base := begin(t, d)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			known := base
			for range times {
				rec, err := d.Save(ctx, known, change(base.ID(), add("n", 1)))
				if !assert.NoError(t, err) {
					return
				}
				known = rec
			}
		})
	}
	all.Wait()
	assertValue(t, load(t, d, base.ID()), "n", strconv.Itoa(writers*times))
}

func TestParallelSavesOfOneSessionLoseNothing(t *testing.T) {
	onEach(t, func(t *testing.T, k *kind, d *store.Driver) { writeAtOnce(t, d, 10) })
}

// slow makes each call take 0.5 to 5 ms, and writers wait for one lock, as with bbolt.
func slow(writer chan struct{}) func(context.Context, func()) error {
	return func(ctx context.Context, run func()) error {
		writer <- struct{}{}
		time.Sleep(500*time.Microsecond + rand.N(4500*time.Microsecond))
		run()
		<-writer
		return ctx.Err()
	}
}

// The clock of the bubble makes the times exact: each save fails if it takes 3 seconds.
func TestSlowStoreIsNoFailingStore(t *testing.T) {
	for name, s := range map[string]interface {
		driver.Store
		setStep(func(context.Context, func()) error)
	}{"Store": new(mapStore), "Swapper": new(swapStore)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s.setStep(slow(make(chan struct{}, 1)))
				for range 10 {
					writeAtOnce(t, store.New(s), 3)
				}
			})
		})
	}
}

// Each client has a round trip of its own, as with redis.
func TestDistantStoreIsNoFailingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(swapStore)
		s.step = func(ctx context.Context, run func()) error {
			time.Sleep(500*time.Microsecond + rand.N(500*time.Microsecond))
			run()
			time.Sleep(500 * time.Microsecond)
			return ctx.Err()
		}
		for range 10 {
			writeAtOnce(t, store.New(s), 2)
		}
	})
}

// A rival changes the record before each Swap.
type rival struct {
	swapStore
	swaps int
}

func (s *rival) Swap(context.Context, string, []byte, driver.Entry) ([]byte, bool, error) {
	s.swaps++
	for _, e := range s.entries {
		return e.Data, false, nil
	}
	return nil, false, nil
}

func TestConflictsEndWithTheContext(t *testing.T) {
	for _, test := range []struct {
		name string
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		want time.Duration
		text string
	}{
		{"deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 5*time.Second)
		}, 5 * time.Second, "other requests changed the session too often"},
		{"no deadline", context.WithCancel, 3 * time.Second, "other requests changed the session too often"},
		{"canceled", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		}, 0, "context canceled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := new(rival)
				base := begin(t, store.New(&s.swapStore))
				ctx, cancel := test.ctx(t.Context())
				defer cancel()
				began := time.Now()
				_, err := store.New(s).Save(ctx, base, change(base.ID(), set("a", "1")))
				assert.ErrorIs(t, err, driver.ErrUnavailable)
				assert.ErrorContains(t, err, test.text)
				assert.Equal(t, test.want, time.Since(began))
				assert.Less(t, s.swaps, 500, "the retries do not pause")
				var conflict *driver.ConflictError
				assert.False(t, errors.As(err, &conflict))
			})
		})
	}
}

func TestContextThatEndedStoresNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, s := range []driver.Store{new(casstore.Store), new(casstore.Swapper)} {
		d := store.New(s)
		base := begin(t, d)
		_, err := d.Save(ctx, base, change(base.ID(), set("a", "1")))
		assert.ErrorIs(t, err, driver.ErrUnavailable)
		assert.ErrorIs(t, err, context.Canceled)
		_, err = d.End(ctx, base, byClient(base.ID(), secretA))
		assert.ErrorIs(t, err, driver.ErrUnavailable)
		require.Equal(t, base, load(t, d, base.ID()))
	}
}
