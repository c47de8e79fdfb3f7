package memory_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/session/driver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func (f *fixture) entry(name string) driver.IndexEntry {
	return driver.IndexEntry{ID: f.id(name), Entered: f.now, Ends: f.now.Add(24 * time.Hour)}
}

func (f *fixture) enter(user, name string) {
	f.t.Helper()
	require.NoError(f.t, f.Enter(f.t.Context(), user, f.entry(name), 0, f.now))
}

func (f *fixture) list(user string) map[driver.ID]driver.IndexEntry {
	f.t.Helper()
	entries, err := f.List(f.t.Context(), user, f.now)
	require.NoError(f.t, err)
	byID := map[driver.ID]driver.IndexEntry{}
	for _, e := range entries {
		byID[e.ID] = e
	}
	require.Len(f.t, byID, len(entries), "an id is listed twice")
	return byID
}

func TestIndexListsOnlyTheUsersEntries(t *testing.T) {
	f := newFixture(t, 0)
	assert.Empty(t, f.list("ann"))
	f.enter("ann", "a")
	f.enter("ann", "b")
	f.enter("bob", "a") // one id in the lists of two users
	a, b := f.entry("a"), f.entry("b")
	assert.Equal(t, map[driver.ID]driver.IndexEntry{a.ID: a, b.ID: b}, f.list("ann"))
	require.NoError(t, f.Remove(t.Context(), "ann", a.ID))
	require.NoError(t, f.Remove(t.Context(), "ann", a.ID))
	require.NoError(t, f.Remove(t.Context(), "nobody", a.ID))
	assert.Equal(t, map[driver.ID]driver.IndexEntry{b.ID: b}, f.list("ann"))
	assert.Equal(t, map[driver.ID]driver.IndexEntry{a.ID: a}, f.list("bob"))
}

func TestSecondEnterMovesTheEndAndKeepsWhenItWasEntered(t *testing.T) {
	f := newFixture(t, 0)
	f.enter("ann", "a")
	want := f.entry("a")
	f.now = f.now.Add(time.Hour)
	f.enter("ann", "a")
	want.Ends = want.Ends.Add(time.Hour)
	assert.Equal(t, map[driver.ID]driver.IndexEntry{want.ID: want}, f.list("ann"))
}

func TestIndexKeepsEntriesUntilTheirEndAndForgetsThemThen(t *testing.T) {
	f := newFixture(t, 0)
	for i := range 100 {
		f.enter("ann", fmt.Sprint(i))
	}
	f.now = f.now.Add(24*time.Hour - 1)
	for i := range 100 {
		f.enter("bob", fmt.Sprint("b", i)) // sweeps
	}
	assert.Len(t, f.list("ann"), 100, "an entry went before its end")
	f.now = f.now.Add(1)
	assert.Empty(t, f.list("ann"))
	for range 100 {
		f.enter("bob", "b")
	}
	members, users, _ := f.IndexSize()
	assert.Equal(t, 101, members)
	assert.Equal(t, 1, users, "a user without entries was kept")
}

func TestSignInFromBeforeTheEndingOfAllIsRefused(t *testing.T) {
	f := newFixture(t, 0)
	early := f.entry("early")
	f.enter("ann", "entered")
	f.now = f.now.Add(time.Microsecond)
	require.NoError(t, f.EndBefore(t.Context(), "ann", f.now))
	same := f.entry("same moment")

	f.now = f.now.Add(time.Hour - 1)
	require.NoError(t, f.EndBefore(t.Context(), "ann", f.now.Add(-2*time.Hour)), "an earlier time")
	for _, name := range []string{"early", "entered"} {
		early.ID = f.id(name)
		err := f.Enter(t.Context(), "ann", early, 0, f.now)
		assert.ErrorIs(t, err, driver.ErrEnded, name)
	}
	assert.NoError(t, f.Enter(t.Context(), "bob", early, 0, f.now), "another user's")
	assert.NoError(t, f.Enter(t.Context(), "ann", same, 0, f.now), "not before the ending")
	assert.NoError(t, f.Enter(t.Context(), "ann", early, 0, f.now.Add(-time.Hour-driver.EndBeforeAhead)), "an ending in the future is not judged")
	f.now = f.now.Add(1)
	assert.NoError(t, f.Enter(t.Context(), "ann", early, 0, f.now), "an hour later")
}

func TestLaterEndingReplacesAnEarlierOne(t *testing.T) {
	f := newFixture(t, 0)
	require.NoError(t, f.EndBefore(t.Context(), "ann", f.now))
	f.now = f.now.Add(time.Minute)
	between := f.entry("a")
	f.now = f.now.Add(time.Minute)
	require.NoError(t, f.EndBefore(t.Context(), "ann", f.now))
	f.now = f.now.Add(59*time.Minute + 30*time.Second)
	assert.ErrorIs(t, f.Enter(t.Context(), "ann", between, 0, f.now), driver.ErrEnded)
}

func TestIndexForgetsEndings(t *testing.T) {
	f := newFixture(t, 0)
	for i := range 100 {
		require.NoError(t, f.EndBefore(t.Context(), fmt.Sprint(i), f.now))
	}
	f.now = f.now.Add(time.Hour)
	for range 100 {
		f.enter("ann", "a")
	}
	members, users, ids := f.IndexSize()
	assert.Equal(t, [3]int{1, 1, 1}, [3]int{members, users, ids})
}

func TestEnterRefusesMoreOtherEntriesThanTheLimit(t *testing.T) {
	f := newFixture(t, 0)
	enter := func(name string) error { return f.Enter(t.Context(), "ann", f.entry(name), 2, f.now) }
	require.NoError(t, enter("a"))
	require.NoError(t, enter("b"))
	assert.Equal(t, driver.ErrIndexFull, enter("c"))
	assert.NoError(t, enter("b"), "an entry counted against itself")
	f.now = f.now.Add(24 * time.Hour)
	assert.NoError(t, enter("c"), "entries that have ended count")
}

func TestParallelEntersStayWithinTheLimit(t *testing.T) {
	f := newFixture(t, 0)
	var entered, full atomic.Int64
	var all sync.WaitGroup
	for range 32 {
		e := driver.IndexEntry{ID: driver.NewID(), Entered: f.now, Ends: f.now.Add(time.Hour)}
		all.Go(func() {
			switch err := f.Enter(t.Context(), "ann", e, 5, f.now); err {
			case nil:
				entered.Add(1)
			case driver.ErrIndexFull:
				full.Add(1)
			}
		})
	}
	all.Wait()
	assert.Equal(t, int64(5), entered.Load())
	assert.Equal(t, int64(27), full.Load())
	assert.Len(t, f.list("ann"), 5)
}

func TestIndexStaysSmallWhenSessionsAreEvictedOrExpire(t *testing.T) {
	f := newFixture(t, 100)
	for i := range 1000 {
		f.enter("ann", fmt.Sprint(i))
		f.signIn(fmt.Sprint(i))
	}
	assert.Len(t, f.list("ann"), 100, "entries of evicted sessions were kept")
	for i := 900; i < 1000; i++ {
		assert.Contains(t, f.list("ann"), f.id(fmt.Sprint(i)), "a stored session is not listed")
	}
	f.now = f.now.Add(time.Hour)
	for i := range 100 {
		f.add(fmt.Sprint("visitor ", i))
	}
	assert.Empty(t, f.list("ann"), "entries of expired sessions were kept")
}

func TestEntryOfAnEvictedSessionGoesAlsoIfItsIDWasInAnotherList(t *testing.T) {
	f := newFixture(t, 1)
	f.enter("ann", "a")
	f.enter("bob", "a")
	require.NoError(t, f.Remove(t.Context(), "ann", f.id("a")))
	f.signIn("a", "b")
	assert.Equal(t, []string{"a"}, f.evicted)
	assert.Empty(t, f.list("bob"))
}

func TestEntryOfASignInUnderWaySurvivesAnExpiredRecordOfTheSameID(t *testing.T) {
	f := newFixture(t, 0)
	f.enter("ann", "a")
	f.signIn("a")
	f.now = f.now.Add(time.Hour)
	f.enter("ann", "a") // its save is under way when others sweep the expired record
	for i := range 3 {
		f.add(fmt.Sprint(i))
	}
	f.signIn("a")
	assert.Contains(t, f.list("ann"), f.id("a"), "a stored session is not listed")
}

// TestIndexAgreesWithAModel compares random operations with a map.
func TestIndexAgreesWithAModel(t *testing.T) {
	f := newFixture(t, 0)
	model := map[string]map[driver.ID]driver.IndexEntry{"ann": {}, "bob": {}}
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		user := []string{"ann", "bob"}[r.IntN(2)]
		name := fmt.Sprint(r.IntN(20))
		f.now = f.now.Add(time.Duration(r.IntN(60)) * time.Minute)
		for _, entries := range model {
			for id, e := range entries {
				if !e.Ends.After(f.now) {
					delete(entries, id)
				}
			}
		}
		if r.IntN(3) == 0 {
			require.NoError(t, f.Remove(t.Context(), user, f.id(name)))
			delete(model[user], f.id(name))
		} else {
			e := f.entry(name)
			f.enter(user, name)
			if old, found := model[user][e.ID]; found {
				e.Entered = old.Entered
			}
			model[user][e.ID] = e
		}
		require.Equal(t, model[user], f.list(user))
	}
}
