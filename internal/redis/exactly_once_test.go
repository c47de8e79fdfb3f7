package redis_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/internal/redis"
	"example.com/session/internal/redistest"
)

// Each kind of operation loses its reply and is sent again.
func TestLostReplyIsNoticedByNobody(t *testing.T) {
	t.Parallel()
	p, server, d := proxied(t)
	require.NoError(t, count(t.Context(), d, begin(t, d).ID())) // the script is known
	lose := func() { p.Set(onlyNth(0, redistest.Fault{Lose: true}, work...)) }

	lose()
	rec := begin(t, d, add("n", 1))
	lose()
	rec = load(t, d, rec.ID())
	lose()
	rec, err := d.Save(t.Context(), rec, changes(rec, add("n", 1)))
	require.NoError(t, err)
	assert.Equal(t, "2", value(rec, "n"))
	lose()
	ch := changes(rec, add("n", 1))
	ch.Install, ch.Replace = driver.Digest{9}, true
	rec, err = d.Save(t.Context(), rec, ch)
	require.NoError(t, err)
	assert.True(t, rec.Accepts(driver.Digest{9}))
	assert.False(t, rec.Accepts(secret))
	assert.Equal(t, "3", value(load(t, d, rec.ID()), "n"))
	lose()
	_, err = d.End(t.Context(), rec, ending(rec))
	require.NoError(t, err)
	assert.ErrorIs(t, second(d.Load(t.Context(), rec.ID(), now())), driver.ErrEnded)
	assert.EqualValues(t, 5, d.Retries())

	e := entry(0, time.Hour)
	lose()
	require.NoError(t, d.Enter(t.Context(), user, e, 1, now()))
	lose()
	assert.Equal(t, []driver.IndexEntry{e}, list(t, d, now()))
	lose()
	require.NoError(t, d.EndBefore(t.Context(), user, now()))
	lose()
	require.NoError(t, d.Remove(t.Context(), user, e.ID))
	assert.Empty(t, list(t, d, now()))
	assert.Len(t, server.Keys(t), 3)
}

// Nobody else knows what became of a save whose server restarts before the reply. Who comes
// meanwhile is told at once that there is no server.
func TestSaveWhoseReplyIsLostWaitsForAServerThatRestarts(t *testing.T) {
	t.Parallel()
	p, server, d := proxied(t)
	rec := begin(t, d)
	require.NoError(t, count(t.Context(), d, rec.ID())) // the script is known
	rec = load(t, d, rec.ID())
	for _, test := range []struct {
		name   string
		comes  bool
		within time.Duration
	}{{"comes back", true, time.Second}, {"stays away", false, 2 * time.Second}} {
		var loading atomic.Int64
		stranger := newDriver(t, config(p.Addr(), ""))
		lost := onlyNth(0, redistest.Fault{Lose: true}, "EVALSHA")
		refused := make(chan time.Duration, 1)
		p.Set(func(command []string) redistest.Fault {
			fault := lost(command)
			if !fault.Lose && command[0] == "EVALSHA" && loading.Add(1) <= 3 { // it has read its file only in part
				return redistest.Fault{Reply: "-LOADING Redis is loading the dataset in memory"}
			}
			if fault.Lose {
				p.Lead("127.0.0.1:1")
				go func() {
					began := time.Now()
					_, err := stranger.Load(context.Background(), rec.ID(), now())
					assert.ErrorIs(t, err, driver.ErrUnavailable)
					refused <- time.Since(began)
					if test.comes {
						p.Lead(server.Addr())
					}
				}()
			}
			return fault
		})
		began := time.Now()
		saved, err := d.Save(t.Context(), rec, changes(rec, add("n", 1)))
		assert.Less(t, time.Since(began), test.within, test.name)
		assert.Less(t, <-refused, 300*time.Millisecond, test.name)
		if !test.comes {
			assert.ErrorIs(t, err, driver.ErrUnavailable, test.name)
			continue
		}
		require.NoError(t, err, test.name)
		assert.Equal(t, "2", value(saved, "n"), test.name)
		rec = saved
	}
	p.Lead(server.Addr())
	assert.Equal(t, "3", value(load(t, d, rec.ID()), "n"), "the save that had no answer was applied once")
}

// Both replies are lost: the outcome is unknown, and the same save later counts once.
func TestSaveWithoutAnyReplyIsUnknownAndCountsOnceWhenItIsRepeated(t *testing.T) {
	t.Parallel()
	p, _, d := proxied(t)
	rec := begin(t, d)
	ch := changes(rec, add("n", 1))
	p.Set(on(redistest.Fault{Lose: true}, work...))
	_, err := d.Save(t.Context(), rec, ch)
	require.ErrorIs(t, err, driver.ErrUnavailable)
	p.Set(nil)
	again := *ch
	again.Retried, again.Since = true, rec.LastSave()
	saved, err := d.Save(t.Context(), rec, &again)
	require.NoError(t, err)
	assert.Equal(t, "1", value(saved, "n"))
	assert.Equal(t, "1", value(load(t, d, rec.ID()), "n"))
}

// The connection breaks only when so many others have saved that the record has forgotten whether
// the first try was applied.
func TestSaveThatIsSentAgainAfterTooManyOthersIsUnknown(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{true, false} {
		for _, test := range []struct {
			others  int
			applied bool // the first try
			unknown bool
		}{
			{others: 7, applied: true}, {others: 8, applied: true, unknown: true},
			{others: 7}, {others: 8, unknown: true},
		} {
			server, others := start(t)
			rec := begin(t, others)
			require.NoError(t, count(t.Context(), others, rec.ID()))
			rec = load(t, others, rec.ID())
			var d *redis.Driver
			if !own {
				// A foreign client that sends each script twice, with a pause in between.
				c := config("", "")
				client := redigoClient(t, server.Addr())
				tries := 0
				c.Client = clientFunc(func(ctx context.Context, args ...any) (any, error) {
					if args[0] != "EVALSHA" {
						return client(ctx, args...)
					}
					if tries++; tries == 1 {
						if test.applied {
							client(ctx, args...)
						} else {
							args[5].(interface{ MarshalBinary() ([]byte, error) }).MarshalBinary()
						}
						saveOften(t, others, rec.ID(), test.others)
					}
					return client(ctx, args...)
				})
				d = newDriver(t, c)
			} else {
				p := redistest.NewProxy(t, server.Addr())
				d = newDriver(t, config(p.Addr(), ""))
				load(t, d, rec.ID())
				var once sync.Once
				p.Set(func(command []string) (fault redistest.Fault) {
					if command[0] != "EVALSHA" {
						return fault
					}
					once.Do(func() {
						if test.applied {
							_, err := others.Save(t.Context(), rec, counting(rec))
							assert.NoError(t, err)
						}
						saveOften(t, others, rec.ID(), test.others)
						fault.Lose = true // too late to be applied now
					})
					return fault
				})
			}
			ch := changes(rec, add("n", 100))
			if own && test.applied {
				ch = counting(rec)
			}
			_, err := d.Save(t.Context(), rec, ch)
			got, _ := strconv.Atoi(value(load(t, others, rec.ID()), "n"))
			if test.unknown {
				assert.ErrorIs(t, err, driver.ErrUnavailable, "%v %+v", own, test)
				assert.Equal(t, test.applied, got == 1+100+test.others, "%v %+v: %d", own, test, got)
			} else {
				assert.NoError(t, err, "%v %+v", own, test)
				assert.Equal(t, 1+100+test.others, got, "%v %+v", own, test)
			}
		}
	}
}

// counting is a save of 100 that is the same whoever sends it.
func counting(rec *driver.Record) *driver.Changes {
	ch := changes(rec, add("n", 100))
	ch.Number = 4711
	return ch
}

func saveOften(t *testing.T, d driver.Driver, id driver.ID, n int) {
	for range n {
		assert.NoError(t, count(t.Context(), d, id))
	}
}

func TestParallelSavesWhoseRepliesAreLostCountOnce(t *testing.T) {
	t.Parallel()
	p, _, d := proxied(t)
	rec := begin(t, d)
	require.NoError(t, count(t.Context(), d, rec.ID()))
	var seen, acknowledged, unknown atomic.Int64
	p.Set(func(command []string) redistest.Fault {
		return redistest.Fault{Lose: command[0] == "EVALSHA" && seen.Add(1)%7 == 0}
	})
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			for range 25 {
				switch err := count(t.Context(), d, rec.ID()); {
				case err == nil:
					acknowledged.Add(1)
				case assert.ErrorIs(t, err, driver.ErrUnavailable):
					unknown.Add(1)
				}
			}
		})
	}
	all.Wait()
	p.Set(nil)
	n, err := strconv.ParseInt(value(load(t, d, rec.ID()), "n"), 10, 64)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, n-1, acknowledged.Load(), "an acknowledged increment is lost")
	assert.LessOrEqual(t, n-1, acknowledged.Load()+unknown.Load(), "an increment counted twice")
	assert.Greater(t, acknowledged.Load(), int64(200))
	assert.Positive(t, d.Retries())
}
