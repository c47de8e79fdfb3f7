package store_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/session/driver"
	"example.com/session/internal/store"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const indexKey = "user:" + user

func entry(entered, ends time.Duration) driver.IndexEntry {
	return driver.IndexEntry{ID: driver.NewID(), Entered: start.Add(entered), Ends: start.Add(ends)}
}

func assertEntries(t *testing.T, d driver.Index, now time.Time, want ...driver.IndexEntry) {
	t.Helper()
	got, err := d.List(t.Context(), user, now)
	require.NoError(t, err)
	require.Len(t, got, len(want))
	for _, w := range want {
		found := false
		for _, g := range got {
			if found = g.ID == w.ID; found {
				assert.True(t, w.Entered.Equal(g.Entered), "Entered is %v, want %v", g.Entered, w.Entered)
				assert.True(t, w.Ends.Equal(g.Ends), "Ends is %v, want %v", g.Ends, w.Ends)
				break
			}
		}
		assert.True(t, found, "an entry is missing")
	}
}

func TestIndexListsWhatWasEntered(t *testing.T) {
	onEach(t, func(t *testing.T, k *kind, d *store.Driver) {
		assertEntries(t, d, start)
		a, b := entry(-time.Microsecond, time.Hour), entry(0, 2*time.Hour)
		require.NoError(t, d.Enter(t.Context(), user, a, 0, start))
		require.NoError(t, d.Enter(t.Context(), user, b, 0, start))
		assertEntries(t, d, start, a, b)
		assertEntries(t, d, start.Add(time.Hour), b)
		require.NoError(t, d.Remove(t.Context(), user, driver.NewID()))
		require.NoError(t, d.Remove(t.Context(), user, b.ID))
		require.NoError(t, d.Remove(t.Context(), user, b.ID))
		assertEntries(t, d, start, a)
		require.NoError(t, d.Remove(t.Context(), user, a.ID))
		assertEntries(t, d, start)
		require.NoError(t, d.Enter(t.Context(), user, b, 1, start))
		assertEntries(t, d, start, b)
		assert.Nil(t, k.raw("user:"+user[1:]+"x"))
	})
}

func TestEnterAgainMovesTheEndAndKeepsTheRest(t *testing.T) {
	onEach(t, func(t *testing.T, k *kind, d *store.Driver) {
		e := entry(0, time.Hour)
		require.NoError(t, d.Enter(t.Context(), user, e, 1, start))
		again := e
		again.Entered, again.Ends = start.Add(time.Minute), start.Add(3*time.Hour)
		require.NoError(t, d.Enter(t.Context(), user, again, 1, start.Add(time.Minute)))
		e.Ends = again.Ends
		assertEntries(t, d, start, e)

		// The shorter session may be saved first, so its end must not hide the longer one.
		again.Ends = start.Add(2 * time.Hour)
		require.NoError(t, d.Enter(t.Context(), user, again, 1, start.Add(time.Minute)))
		assertEntries(t, d, start, e)
	})
}

func TestIndexIsFullAtItsLimit(t *testing.T) {
	onEach(t, func(t *testing.T, k *kind, d *store.Driver) {
		a, b := entry(0, time.Hour), entry(0, 2*time.Hour)
		require.NoError(t, d.Enter(t.Context(), user, a, 2, start))
		require.NoError(t, d.Enter(t.Context(), user, b, 2, start))
		c := entry(0, 3*time.Hour)
		assert.Equal(t, driver.ErrIndexFull, d.Enter(t.Context(), user, c, 2, start))
		assertEntries(t, d, start, a, b)
		assert.NoError(t, d.Enter(t.Context(), user, b, 2, start), "an entry counts against itself")
		assert.NoError(t, d.Enter(t.Context(), user, c, 2, start.Add(time.Hour)), "an ended entry counts")
		assertEntries(t, d, start.Add(time.Hour), b, c)
	})
}

func TestLimitHoldsForParallelSignIns(t *testing.T) {
	const limit = 5
	onEach(t, func(t *testing.T, k *kind, d *store.Driver) {
		var entered atomic.Int32
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				switch err := d.Enter(t.Context(), user, entry(0, time.Hour), limit, start); err {
				case nil:
					entered.Add(1)
				default:
					assert.Equal(t, driver.ErrIndexFull, err)
				}
			})
		}
		all.Wait()
		got, err := d.List(t.Context(), user, start)
		require.NoError(t, err)
		assert.EqualValues(t, limit, entered.Load())
		assert.Len(t, got, limit)
	})
}

func TestEndBeforeRefusesSignInsThatWereUnderWay(t *testing.T) {
	for _, test := range []struct {
		name         string
		entered, now time.Duration // after EndBefore
		refused      bool
	}{
		{"entered before", -time.Second, time.Second, true},
		{"entered a microsecond before", -time.Microsecond, 0, true},
		{"entered at that time", 0, 0, false},
		{"entered afterwards", time.Microsecond, time.Second, false},
		{"at the end of the hour", -time.Second, time.Hour - time.Microsecond, true},
		{"after the hour", -time.Second, time.Hour, false},
		{"read the clock just before", -time.Minute, -driver.EndBeforeAhead, true},
		{"by a clock that is behind", -time.Minute, -driver.EndBeforeAhead - time.Microsecond, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, k *kind, d *store.Driver) {
				require.NoError(t, d.EndBefore(t.Context(), user, start))
				e := entry(test.entered, 24*time.Hour)
				err := d.Enter(t.Context(), user, e, 0, start.Add(test.now))
				if test.refused {
					assert.Equal(t, driver.ErrEnded, err)
					assertEntries(t, d, start)
					return
				}
				assert.NoError(t, err)
				assertEntries(t, d, start, e)
			})
		})
	}
}

func TestEndBeforeNeverMovesBack(t *testing.T) {
	onEach(t, func(t *testing.T, k *kind, d *store.Driver) {
		e := entry(-time.Hour, time.Hour)
		require.NoError(t, d.Enter(t.Context(), user, e, 0, start.Add(-time.Hour)))
		for _, at := range []time.Duration{0, -time.Minute} {
			require.NoError(t, d.EndBefore(t.Context(), user, start.Add(at)))
			err := d.Enter(t.Context(), user, entry(-time.Microsecond, time.Hour), 0, start)
			assert.Equal(t, driver.ErrEnded, err)
		}
		require.NoError(t, d.EndBefore(t.Context(), user, start.Add(time.Minute)))
		err := d.Enter(t.Context(), user, entry(30*time.Second, time.Hour), 0, start.Add(time.Minute))
		assert.Equal(t, driver.ErrEnded, err, "a later EndBefore did not replace an earlier one")
		assertEntries(t, d, start, e)
		require.NoError(t, d.Remove(t.Context(), user, e.ID))
		err = d.Enter(t.Context(), user, entry(0, time.Hour), 0, start.Add(time.Minute))
		assert.Equal(t, driver.ErrEnded, err, "Remove forgot EndBefore")
	})
}

// A damaged index names sessions that nobody can find. So it is reported until an operator or the
// user ends all sessions, and that call reports it too.
func TestDamagedIndexIsReported(t *testing.T) {
	for name, stored := range map[string][]byte{
		"garbage":     []byte("garbage"),
		"a record":    append([]byte{2}, make([]byte, 24)...),
		"cut short":   append([]byte{3}, make([]byte, 24+31)...),
		"no head":     {3},
		"a tombstone": make([]byte, 25),
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, k *kind, d *store.Driver) {
				k.put(indexKey, stored)
				_, err := d.List(t.Context(), user, start)
				assert.ErrorIs(t, err, driver.ErrDamaged)
				assert.ErrorIs(t, d.Enter(t.Context(), user, entry(0, time.Hour), 0, start), driver.ErrDamaged)
				assert.ErrorIs(t, d.Remove(t.Context(), user, driver.NewID()), driver.ErrDamaged)
				assert.Equal(t, stored, k.raw(indexKey), "damage was overwritten")

				assert.ErrorIs(t, d.EndBefore(t.Context(), user, start), driver.ErrDamaged)
				assertEntries(t, d, start)
				assert.NoError(t, d.EndBefore(t.Context(), user, start.Add(time.Minute)))
				err = d.Enter(t.Context(), user, entry(-time.Second, time.Hour), 0, start)
				assert.NoError(t, err, "an ending in the future is judged")
			})
		})
	}
}

func TestIndexIsKeptAsLongAsItCounts(t *testing.T) {
	s := new(mapStore)
	d := store.New(s)
	kept := func(what string, want time.Duration) {
		t.Helper()
		assert.Equal(t, want, s.entries[indexKey].TTL, what)
		assert.True(t, start.Add(want).Equal(s.entries[indexKey].Expires), what)
	}
	long, short := entry(0, 9*time.Hour), entry(0, time.Minute)
	require.NoError(t, d.Enter(t.Context(), user, long, 0, start))
	kept("one entry", 9*time.Hour)
	require.NoError(t, d.Enter(t.Context(), user, short, 0, start))
	kept("a shorter one more", 9*time.Hour)
	require.NoError(t, d.Remove(t.Context(), user, long.ID))
	kept("the longer one removed", time.Minute)
	require.NoError(t, d.EndBefore(t.Context(), user, start))
	kept("EndBefore", time.Hour)
	require.NoError(t, d.Remove(t.Context(), user, short.ID))
	kept("none left", time.Hour)
}

func TestEndedEntriesDoNotPileUp(t *testing.T) {
	s := new(mapStore)
	d := store.New(s)
	for i := range 100 {
		now := start.Add(time.Duration(i) * time.Minute)
		e := driver.IndexEntry{ID: driver.NewID(), Entered: now, Ends: now.Add(3 * time.Minute)}
		require.NoError(t, d.Enter(t.Context(), user, e, 0, now), fmt.Sprint(i))
	}
	assert.Len(t, s.entries[indexKey].Data, 25+3*32)
}
