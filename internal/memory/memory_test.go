package memory_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"example.com/session/driver"
	"example.com/session/internal/memory"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	limits = driver.Limits{Lifetime: 24 * time.Hour, Idle: time.Hour}
	secret = driver.Digest{1}
)

// A fixture is a driver and a clock, with sessions named by letters.
type fixture struct {
	*memory.Driver
	t       *testing.T
	now     time.Time
	ids     map[string]driver.ID
	names   map[driver.ID]string
	evicted []string
}

func newFixture(t *testing.T, maxSessions int) *fixture {
	f := &fixture{t: t, now: time.UnixMilli(1_700_000_000_000), ids: map[string]driver.ID{}, names: map[driver.ID]string{}}
	f.Driver = memory.New(memory.Options{MaxSessions: maxSessions, OnEvict: func(_ context.Context, rec *driver.Record) {
		f.Len() // takes no lock
		_, err := f.Driver.Load(context.Background(), rec.ID(), f.now)
		assert.ErrorIs(t, err, driver.ErrNoSession, "the evicted session is still there")
		if name, found := f.names[rec.ID()]; found {
			f.evicted = append(f.evicted, name)
		}
	}})
	return f
}

func (f *fixture) id(name string) driver.ID {
	if _, found := f.ids[name]; !found {
		f.ids[name] = driver.NewID()
		f.names[f.ids[name]] = name
	}
	return f.ids[name]
}

func first(id driver.ID, now time.Time, ops ...driver.Op) *driver.Changes {
	return &driver.Changes{ID: id, Number: rand.Uint64(), Now: now, New: true, Use: true, Install: secret, Limits: limits, Ops: ops}
}

func further(id driver.ID, now time.Time, ops ...driver.Op) *driver.Changes {
	return &driver.Changes{ID: id, Number: rand.Uint64(), Now: now, Use: true, Expect: secret, Limits: limits, Ops: ops}
}

func signIn(user string) driver.Op {
	return driver.Op{Kind: driver.Set, Part: driver.Account, Key: driver.UserKey, Encoded: user}
}

func set(key, encoded string) driver.Op {
	return driver.Op{Kind: driver.Set, Part: driver.Data, Key: key, Encoded: encoded}
}

// add stores new sessions.
func (f *fixture) add(names ...string) {
	f.t.Helper()
	for _, name := range names {
		f.mustSave(first(f.id(name), f.now))
	}
}

// signIn stores a new session of somebody who is signed in.
func (f *fixture) signIn(names ...string) {
	f.t.Helper()
	for _, name := range names {
		f.mustSave(first(f.id(name), f.now, signIn("ann")))
	}
}

func (f *fixture) mustSave(ch *driver.Changes) *driver.Record {
	f.t.Helper()
	rec, err := f.Save(f.t.Context(), nil, ch)
	require.NoError(f.t, err)
	return rec
}

func (f *fixture) load(name string) (*driver.Record, error) {
	return f.Load(f.t.Context(), f.id(name), f.now)
}

func (f *fixture) open(names ...string) {
	f.t.Helper()
	for _, name := range names {
		_, err := f.load(name)
		require.NoError(f.t, err)
	}
}

// end ends a session as its client does.
func (f *fixture) end(name string) *driver.Record {
	f.t.Helper()
	rec, err := f.End(f.t.Context(), nil, &driver.Ending{ID: f.id(name), Now: f.now, For: driver.Tombstone, Secret: secret})
	require.NoError(f.t, err)
	return rec
}

// endOf ends a session as the user index does.
func (f *fixture) endOf(user, name string) *driver.Record {
	f.t.Helper()
	rec, err := f.End(f.t.Context(), nil, &driver.Ending{ID: f.id(name), Now: f.now, For: driver.IndexTombstone, User: user})
	require.NoError(f.t, err)
	return rec
}

// imported leaves the tombstone of an old session that was imported.
func (f *fixture) imported(name string) {
	f.t.Helper()
	_, err := f.End(f.t.Context(), nil, &driver.Ending{ID: f.id(name), Now: f.now, For: 30 * 24 * time.Hour, User: "nobody"})
	require.NoError(f.t, err)
}

func (f *fixture) entries() int64 {
	f.t.Helper()
	held, counted := f.Entries()
	require.Equal(f.t, held, counted, "the driver counts other entries than it holds")
	return held
}

func TestRecordLoadsAsItWasSaved(t *testing.T) {
	f := newFixture(t, 0)
	saved := f.mustSave(first(f.id("a"), f.now, set("k", "1")))
	loaded, err := f.load("a")
	require.NoError(t, err)
	assert.Same(t, saved, loaded)
	assert.Equal(t, f.id("a"), loaded.ID())

	next := f.mustSave(further(f.id("a"), f.now, set("k", "2")))
	value, _ := next.Value(driver.Data, "k")
	assert.Equal(t, "2", value)
	value, _ = loaded.Value(driver.Data, "k")
	assert.Equal(t, "1", value, "a save changed a loaded record")
	assert.Equal(t, int64(1), f.Len())
}

func TestUnknownSessionIsNeitherLoadedNorSavedNorEnded(t *testing.T) {
	f := newFixture(t, 0)
	_, err := f.load("a")
	assert.Equal(t, driver.ErrNoSession, err)
	_, err = f.Save(t.Context(), nil, further(f.id("a"), f.now))
	assert.Equal(t, driver.ErrNoSession, err)
	assert.Nil(t, f.end("a"))
	assert.Zero(t, f.entries(), "an invented id left something")
}

func TestErrorsOfApplyAreReturnedAndStoreNothing(t *testing.T) {
	f := newFixture(t, 0)
	f.add("a")
	before, _ := f.load("a")
	ch := further(f.id("a"), f.now, set("k", "1"))
	ch.Expect = driver.Digest{9}
	for _, ch := range []*driver.Changes{ch, first(f.id("a"), f.now)} {
		_, err := f.Save(t.Context(), nil, ch)
		var conflict *driver.ConflictError
		require.ErrorAs(t, err, &conflict)
		assert.Same(t, before, conflict.Current)
	}
	_, err := f.Save(t.Context(), nil, further(f.id("a"), f.now, set("n", `"x`), driver.Op{Kind: driver.Add, Key: "n", By: 1}))
	var value *driver.ValueError
	require.ErrorAs(t, err, &value)
	after, _ := f.load("a")
	assert.Same(t, before, after)
}

func TestRepeatedSaveIsAppliedOnce(t *testing.T) {
	f := newFixture(t, 0)
	begin := first(f.id("a"), f.now)
	assert.Same(t, f.mustSave(begin), f.mustSave(begin))
	add := further(f.id("a"), f.now, driver.Op{Kind: driver.Add, Key: "n", By: 1})
	f.mustSave(add)
	value, _ := f.mustSave(add).Value(driver.Data, "n")
	assert.Equal(t, "1", value)
	assert.Equal(t, int64(1), f.entries())
}

func TestParallelSavesOfOneSessionLoseNothing(t *testing.T) {
	f := newFixture(t, 0)
	f.add("a")
	id := f.id("a")
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for range 200 {
				_, err := f.Save(t.Context(), nil, further(id, f.now, driver.Op{Kind: driver.Add, Key: "n", By: 1}))
				assert.NoError(t, err)
			}
		})
	}
	all.Wait()
	rec, err := f.load("a")
	require.NoError(t, err)
	value, _ := rec.Value(driver.Data, "n")
	assert.Equal(t, "6400", value)
}

func TestSaveNeverRevivesAnEndedSession(t *testing.T) {
	f := newFixture(t, 0)
	f.add("a", "b")
	assert.NotNil(t, f.end("a"))
	assert.NotNil(t, f.endOf("ann", "b"))
	f.now = f.now.Add(5 * time.Second)
	for _, name := range []string{"a", "b"} {
		for _, ch := range []*driver.Changes{further(f.id(name), f.now), first(f.id(name), f.now)} {
			rec, err := f.Save(t.Context(), nil, ch)
			assert.Nil(t, rec)
			var ended *driver.EndedError
			require.ErrorAs(t, err, &ended)
			assert.ErrorIs(t, err, driver.ErrEnded)
			assert.Equal(t, 5*time.Second, ended.Ago)
		}
		_, err := f.load(name)
		assert.ErrorIs(t, err, driver.ErrEnded)
	}
	assert.Zero(t, f.Len())
	f.now = f.now.Add(driver.Tombstone)
	_, err := f.Save(t.Context(), nil, further(f.id("a"), f.now))
	assert.Equal(t, driver.ErrNoSession, err, "the tombstone has expired and the session is back")
}

func TestEndAppliesOnlyWhereTheRecordAllows(t *testing.T) {
	f := newFixture(t, 0)
	f.signIn("a")
	rec, err := f.End(t.Context(), nil, &driver.Ending{ID: f.id("a"), Now: f.now, For: driver.Tombstone, Secret: driver.Digest{9}})
	require.NoError(t, err)
	assert.Nil(t, rec)
	assert.Nil(t, f.endOf("bob", "a"), "another user's ending applied")
	f.open("a")
	assert.NotNil(t, f.endOf("ann", "a"))
	assert.Equal(t, int64(1), f.entries(), "more than the tombstone is left")
}

func TestEndingByTheIndexLeavesATombstoneWhereNothingIsStored(t *testing.T) {
	f := newFixture(t, 0)
	assert.Nil(t, f.endOf("ann", "a"))
	f.now = f.now.Add(59 * time.Minute)
	_, err := f.Save(t.Context(), nil, first(f.id("a"), f.now, signIn("ann")))
	assert.ErrorIs(t, err, driver.ErrEnded, "a sign-in under way brought an ended session back")
	f.now = f.now.Add(time.Minute)
	f.signIn("a")
}

func TestEndingNeverShortensATombstone(t *testing.T) {
	f := newFixture(t, 4000)
	f.signIn("long", "extended")
	f.endOf("ann", "long")
	f.end("extended")
	f.now = f.now.Add(20 * time.Second)
	f.end("long")
	_, err := f.End(t.Context(), nil, &driver.Ending{ID: f.id("long"), Now: f.now, For: driver.Tombstone, User: "ann"})
	require.NoError(t, err)
	f.endOf("ann", "extended")
	f.now = f.now.Add(59 * time.Minute)
	f.add("other") // sweeps
	for _, name := range []string{"long", "extended"} {
		_, err := f.load(name)
		assert.ErrorIs(t, err, driver.ErrEnded, name)
	}
	f.now = f.now.Add(time.Hour)
	f.add("another")
	f.add("one more")
	assert.Equal(t, f.Len(), f.entries(), "tombstones are left after their time")
}

func TestExpiredRecordCountsAsAbsentForANewSession(t *testing.T) {
	f := newFixture(t, 4000)
	for i := range 100 {
		f.mustSave(first(f.id(fmt.Sprint(i)), f.now, set("old", "1")))
	}
	f.now = f.now.Add(time.Hour)
	for i := 50; i < 55; i++ { // no sweep has come to them
		require.True(t, f.Holds(f.id(fmt.Sprint(i))))
		_, err := f.Save(t.Context(), nil, further(f.id(fmt.Sprint(i)), f.now))
		require.Equal(t, driver.ErrNoSession, err)
		rec := f.mustSave(first(f.id(fmt.Sprint(i)), f.now, set("new", "1")))
		_, found := rec.Value(driver.Data, "old")
		require.False(t, found, "data of an expired session reached its successor")
	}
	f.entries()
}

func TestShardsHoldEqualShares(t *testing.T) {
	d := memory.New(memory.Options{})
	now := time.UnixMilli(1_700_000_000_000)
	var ids []driver.ID
	for range 10_000 {
		ids = append(ids, driver.NewID())
		_, err := d.Save(t.Context(), nil, first(ids[len(ids)-1], now))
		require.NoError(t, err)
	}
	sizes := d.Shards()
	assert.Len(t, sizes, 256)
	assert.Greater(t, slices.Min(sizes), 5)
	assert.Less(t, slices.Max(sizes), 100)
	for _, id := range ids {
		rec, err := d.Load(t.Context(), id, now)
		require.NoError(t, err)
		require.Equal(t, id, rec.ID())
	}
	for most, shards := range map[int]int{1: 1, 1 << 12: 1, 1<<12 + 1: 2, 1 << 40: 1 << 16} {
		assert.Len(t, memory.New(memory.Options{MaxSessions: most}).Shards(), shards)
	}
}

func TestAMillionSessionsAreKeptByDefault(t *testing.T) {
	for configured, want := range map[int]int64{-1: 1_000_000, 0: 1_000_000, 5: 5} {
		assert.Equal(t, want, memory.New(memory.Options{MaxSessions: configured}).Max(), configured)
	}
}

func TestDriverIsExactUnderParallelUse(t *testing.T) {
	for _, most := range []int{64, 9000} {
		d := memory.New(memory.Options{MaxSessions: most})
		start := time.UnixMilli(1_700_000_000_000)
		var all sync.WaitGroup
		for g := range 8 {
			all.Go(func() {
				for i := range 2000 {
					id, now := driver.NewID(), start.Add(time.Duration(i)*40*time.Millisecond)
					user := fmt.Sprint(g)
					d.Enter(t.Context(), user, driver.IndexEntry{ID: id, Entered: now, Ends: now.Add(24 * time.Hour)}, 0, now)
					_, err := d.Save(t.Context(), nil, first(id, now, signIn(user)))
					assert.NoError(t, err)
					d.Load(t.Context(), id, now)
					switch rand.IntN(400) {
					case 0:
						d.End(t.Context(), nil, &driver.Ending{ID: id, Now: now, For: driver.Tombstone, Secret: secret})
						d.Remove(t.Context(), user, id)
					case 1:
						d.End(t.Context(), nil, &driver.Ending{ID: id, Now: now, For: driver.IndexTombstone, User: user})
						d.Remove(t.Context(), user, id)
					}
				}
			})
		}
		all.Wait()
		held, counted := d.Entries()
		assert.Equal(t, held, counted)
		assert.Positive(t, d.Len())
		assert.LessOrEqual(t, d.Len(), int64(most))
		members, _, ids := d.IndexSize()
		assert.LessOrEqual(t, members, int(d.Len())+8)
		assert.Equal(t, members, ids)
	}
}
