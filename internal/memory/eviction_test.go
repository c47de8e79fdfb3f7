package memory_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"example.com/session/driver"
	"example.com/session/internal/memory"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFullDriverEvictsTheOldestVisitorThatWasNeverOpenedAgain(t *testing.T) {
	f := newFixture(t, 4)
	f.add("a", "b", "c", "d")
	f.open("a", "b")
	f.add("e", "f", "g")
	assert.Equal(t, []string{"c", "d", "e"}, f.evicted)
	assert.Equal(t, uint64(3), f.Evictions())
	assert.Equal(t, int64(4), f.Len())
	f.open("a", "b", "f", "g")
}

func TestFullDriverOfReopenedVisitorsEvictsTheLeastRecentlyUsed(t *testing.T) {
	f := newFixture(t, 3)
	for _, name := range []string{"a", "b", "c"} {
		f.add(name)
		f.open(name)
	}
	f.open("a")
	f.add("d")
	assert.Equal(t, []string{"b"}, f.evicted)
	f.open("a", "c", "d")
	f.add("e")
	assert.Equal(t, []string{"b", "a"}, f.evicted)
}

func TestEvictionOrder(t *testing.T) {
	f := newFixture(t, 9)
	f.imported("imported")
	f.endOf("ann", "old tombstone")
	f.now = f.now.Add(driver.Tombstone)
	f.signIn("signed in 1", "signed in 2")
	f.add("often", "once")
	f.open("often")
	ch := first(f.id("expired"), f.now, signIn("ann"))
	ch.Limits.Idle = time.Second
	f.mustSave(ch)
	f.endOf("ann", "young tombstone")
	f.add("ended")
	f.end("ended")
	f.now = f.now.Add(time.Second)

	present := func() (names []string) {
		require.LessOrEqual(t, f.entries(), int64(9))
		for _, name := range []string{"expired", "old tombstone", "once", "often", "imported", "signed in 1", "signed in 2",
			"young tombstone", "ended"} {
			if f.Holds(f.id(name)) {
				names = append(names, name)
			}
		}
		return names
	}
	for i, gone := range []string{"expired", "old tombstone", "once", "often", "imported", "signed in 1", "signed in 2"} {
		before := present()
		require.Contains(t, before, gone, "it was removed before its turn")
		f.signIn(fmt.Sprint("new ", i))
		require.Equal(t, slices.DeleteFunc(before, func(name string) bool { return name == gone }), present())
	}
	assert.Equal(t, []string{"young tombstone", "ended"}, present())
	assert.Equal(t, []string{"once", "often", "signed in 1", "signed in 2"}, f.evicted)
	assert.Equal(t, uint64(4), f.Evictions(), "only live sessions count as evicted")
}

func TestSignInProtectsAVisitorAndSignOutEndsTheProtection(t *testing.T) {
	f := newFixture(t, 4)
	f.signIn("user")
	f.add("a", "b")
	f.mustSave(further(f.id("a"), f.now, signIn("ann")))
	f.add("c", "d", "e", "f")
	assert.Equal(t, []string{"b", "c", "d"}, f.evicted)
	f.mustSave(further(f.id("a"), f.now, driver.Op{Kind: driver.Clear, Part: driver.Account}))
	f.signIn("g", "h", "i")
	assert.Equal(t, []string{"b", "c", "d", "e", "f", "a"}, f.evicted)
}

func TestFloodOfVisitorsDoesNotEvictOthersInAnyShard(t *testing.T) {
	const most = 9000 // several shards
	f := newFixture(t, most)
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprint("user ", i), fmt.Sprint("regular ", i))
		f.signIn(names[2*i])
		f.add(names[2*i+1])
		f.open(names[2*i+1])
	}
	for range 2 * most {
		f.mustSave(first(driver.NewID(), f.now))
	}
	assert.Equal(t, int64(most), f.Len())
	assert.Equal(t, uint64(most+200), f.Evictions())
	f.open(names...)
}

func TestOneVisitorIsEvictedBeforeAnySignedInSessionOfOtherShards(t *testing.T) {
	const most = 9000
	f := newFixture(t, most)
	f.add("visitor")
	for range most - 1 {
		f.mustSave(first(driver.NewID(), f.now, signIn("ann")))
	}
	f.signIn("new")
	assert.Equal(t, []string{"visitor"}, f.evicted)
}

func TestTombstonesCountTowardsMaxSessions(t *testing.T) {
	f := newFixture(t, 3)
	f.add("a", "b", "c")
	f.end("c")
	assert.Equal(t, int64(2), f.Len(), "a tombstone was counted as a session")
	f.add("d")
	assert.Equal(t, []string{"a"}, f.evicted)
	assert.Equal(t, int64(3), f.entries())
	f.endOf("ann", "e")
	assert.Equal(t, []string{"a", "b"}, f.evicted, "a tombstone of the index takes a place too")
}

func TestManySignOutsKeepMemoryBounded(t *testing.T) {
	const most, signOuts = 1000, 300_000
	f := newFixture(t, most)
	start := heap()
	cycle := func(n int, pause time.Duration) {
		for range n {
			id := driver.NewID()
			_, err := f.Save(t.Context(), nil, first(id, f.now))
			rec, _ := f.End(t.Context(), nil, &driver.Ending{ID: id, Now: f.now, For: driver.Tombstone, Secret: secret})
			if err != nil || rec == nil {
				t.Fatal("the session was not stored or not ended", err)
			}
			f.now = f.now.Add(pause)
		}
	}
	cycle(signOuts, 0) // all within one moment: each tombstone is still needed
	assert.Equal(t, int64(signOuts), f.entries())
	assert.LessOrEqual(t, (heap()-start)/signOuts, int64(100), "bytes of a tombstone")

	f.now = f.now.Add(driver.Tombstone)
	cycle(signOuts/5, time.Millisecond) // 30,000 in 30 seconds
	assert.LessOrEqual(t, f.entries(), int64(30_001))

	f.now = f.now.Add(driver.Tombstone)
	for range 30_000 / memory.SweepSteps {
		f.mustSave(first(driver.NewID(), f.now))
	}
	assert.LessOrEqual(t, f.entries(), int64(most))
	assert.Less(t, heap()-start, int64(1<<20), "the tables of expired tombstones were kept")
	runtime.KeepAlive(f)
}

func TestOldTombstonesOfTheIndexStayWithinMaxSessions(t *testing.T) {
	f := newFixture(t, 1000)
	for i := range 20_000 {
		f.endOf("ann", fmt.Sprint(i))
		f.now = f.now.Add(40 * time.Millisecond) // 750 in 30 seconds
	}
	assert.LessOrEqual(t, f.entries(), int64(1000))
	for i := 19_300; i < 20_000; i++ {
		_, err := f.load(fmt.Sprint(i))
		require.ErrorIs(t, err, driver.ErrEnded, "a young tombstone was evicted")
	}
}

// The tombstone of an imported session stands for weeks, that of an ended one for an hour at most.
func TestTombstonesThatExpireDoNotWaitBehindLongOnes(t *testing.T) {
	f := newFixture(t, 1000)
	for i := range 100 {
		f.imported(fmt.Sprint("imported ", i))
		f.endOf("ann", fmt.Sprint(i))
	}
	for _, pause := range []time.Duration{driver.Tombstone, driver.IndexTombstone} {
		f.now = f.now.Add(pause)
		for range 100 {
			f.end("unknown")
		}
	}
	assert.Equal(t, int64(100), f.entries())
	assert.True(t, f.Holds(f.id("imported 0")))

	f.now = f.now.Add(30 * 24 * time.Hour)
	for range 100 {
		f.end("unknown")
	}
	assert.Zero(t, f.entries())
}

func TestExpiredSessionsGoAFewAtATime(t *testing.T) {
	const n = 1000
	f := newFixture(t, 4000)
	for range n {
		f.mustSave(first(driver.NewID(), f.now))
	}
	f.now = f.now.Add(time.Hour)
	f.add("alive")
	saves := 0
	for ; f.entries() > 1 && saves < n; saves++ {
		before := f.entries()
		f.mustSave(further(f.id("alive"), f.now))
		require.LessOrEqual(t, before-f.entries(), int64(memory.SweepSteps), "a save removed more than a few")
	}
	assert.Less(t, saves, n/2, "expired sessions go slower than new ones could come")
	assert.Equal(t, int64(1), f.Len())
	assert.Zero(t, f.Evictions(), "an expired session was counted as evicted")
}

func TestExpiredSessionsMakePlaceBeforeLiveOnesAreEvicted(t *testing.T) {
	f := newFixture(t, 1000)
	for i := range 1000 {
		f.mustSave(first(driver.NewID(), f.now.Add(time.Duration(i%2)*30*time.Minute)))
	}
	f.now = f.now.Add(time.Hour)
	for range 500 {
		f.mustSave(first(driver.NewID(), f.now))
	}
	assert.Zero(t, f.Evictions())
	assert.LessOrEqual(t, f.entries(), int64(1000))
}

func TestFirstSessionOfAListIsRemovedBeforeAnEvictionIfItHasExpired(t *testing.T) {
	f := newFixture(t, 1000)
	for i := range 1000 {
		ch := first(f.id(fmt.Sprint(i)), f.now)
		if i == 500 {
			ch = first(f.id("500"), f.now.Add(-time.Hour), signIn("ann"))
			ch.Limits.Idle += time.Second
		}
		f.mustSave(ch)
	}
	f.now = f.now.Add(time.Second)
	f.add("new")
	assert.Zero(t, f.Evictions(), "a live session was evicted")
	assert.False(t, f.Holds(f.id("500")))
}

func TestExpiredSessionOfAnotherShardIsNotReportedAsEvicted(t *testing.T) {
	const most = 9000
	f := newFixture(t, most)
	f.ids["visitor"], f.ids["new"] = driver.ID{1}, driver.ID{2}
	ch := first(f.id("visitor"), f.now)
	ch.Limits.Idle = time.Second
	f.mustSave(ch)
	for range most - 1 {
		f.mustSave(first(driver.NewID(), f.now, signIn("ann")))
	}
	require.True(t, f.Holds(f.id("visitor")))
	f.now = f.now.Add(time.Second)
	f.signIn("new")
	assert.False(t, f.Holds(f.id("visitor")))
	assert.Zero(t, f.Evictions())
	assert.Equal(t, int64(most), f.Len())
}

func TestTombstoneThatIsSetAgainIsYoungAgain(t *testing.T) {
	f := newFixture(t, 10)
	for i := range 10 {
		f.endOf("ann", fmt.Sprint(i))
	}
	sweep := func() {
		f.end("unknown")
		f.end("unknown")
		f.end("unknown")
		f.end("unknown")
	}
	f.now = f.now.Add(driver.Tombstone)
	sweep()
	f.now = f.now.Add(time.Hour)
	f.endOf("ann", "9")
	for i := range 20 {
		f.add(fmt.Sprint("visitor ", i))
	}
	assert.True(t, f.Holds(f.id("9")), "a young tombstone was evicted")
	f.now = f.now.Add(driver.Tombstone)
	f.signIn("new")
	assert.False(t, f.Holds(f.id("9")), "an old tombstone was spared")
}
