package drivertest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
)

// An indexKit is a driver under test that is an Index, and a user of whom it knows nothing yet.
type indexKit struct {
	*kit
	index driver.Index
	user  string
}

// entry returns an entry of a request that came at a time.
func (k *indexKit) entry(at time.Time) driver.IndexEntry {
	return driver.IndexEntry{ID: driver.NewID(), Entered: at, Ends: k.start.Add(24 * time.Hour)}
}

// enter adds an entry that must be accepted.
func (k *indexKit) enter(t testing.TB, e driver.IndexEntry, limit int, now time.Time) {
	t.Helper()
	require.NoError(t, k.index.Enter(k.ctx, k.user, e, limit, now), "Enter")
}

// refusedEntry checks that Enter fails for a reason and adds nothing.
func (k *indexKit) refusedEntry(t testing.TB, e driver.IndexEntry, limit int, now time.Time, reason error, why string) {
	t.Helper()
	assert.ErrorIs(t, k.index.Enter(k.ctx, k.user, e, limit, now), reason, why)
	for _, other := range k.list(t, k.user, now) {
		assert.NotEqual(t, e.ID, other.ID, "%s: an entry that was refused is listed", why)
	}
}

func (k *indexKit) list(t testing.TB, user string, now time.Time) []driver.IndexEntry {
	t.Helper()
	all, err := k.index.List(k.ctx, user, now)
	require.NoError(t, err, "List")
	return all
}

// lists checks the entries of a user in any order, with times to the millisecond.
func (k *indexKit) lists(t testing.TB, user string, now time.Time, want []driver.IndexEntry, why string) {
	t.Helper()
	assert.Equal(t, inOrder(want), inOrder(k.list(t, user, now)), why)
}

func inOrder(all []driver.IndexEntry) []driver.IndexEntry {
	sorted := make([]driver.IndexEntry, 0, len(all))
	for _, e := range all {
		e.Entered, e.Ends = time.UnixMilli(e.Entered.UnixMilli()), time.UnixMilli(e.Ends.UnixMilli())
		sorted = append(sorted, e)
	}
	slices.SortFunc(sorted, func(a, b driver.IndexEntry) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	return sorted
}

// endBefore notes the end of a user's sessions.
func (k *indexKit) endBefore(t testing.TB, at time.Time) {
	t.Helper()
	require.NoError(t, k.index.EndBefore(k.ctx, k.user, at), "EndBefore")
}

func testEnter(t testing.TB, k *indexKit) {
	k.lists(t, k.user, k.start, nil, "a user who has no entry")
	var all []driver.IndexEntry
	for i := range 20 {
		e := k.entry(k.start.Add(-time.Duration(i) * 1001 * tick))
		e.Ends = e.Ends.Add(time.Duration(i) * 1001 * tick)
		if i == 0 {
			e.ID = driver.ID{'!', 0, 0xff, '\n'}
		}
		k.enter(t, e, 0, k.start)
		all = append(all, e)
		k.lists(t, k.user, k.start, all, "List returns the entries, with their times")
	}
}

func testRemove(t testing.TB, k *indexKit) {
	a, b := k.entry(k.start), k.entry(k.start)
	b.ID = a.ID
	b.ID[15] ^= 1
	require.NoError(t, k.index.Remove(k.ctx, k.user, a.ID), "Remove of what is not there")
	k.enter(t, a, 0, k.start)
	k.enter(t, b, 0, k.start)
	require.NoError(t, k.index.Remove(k.ctx, k.user, a.ID))
	k.lists(t, k.user, k.start, []driver.IndexEntry{b}, "Remove removes the entry of one id")
	require.NoError(t, k.index.Remove(k.ctx, k.user, a.ID), "Remove of what is not there")
	k.enter(t, a, 2, k.start)
	k.lists(t, k.user, k.start, []driver.IndexEntry{a, b}, "an entry that was removed can be entered again")
}

func testUsersApart(t testing.TB, k *indexKit) {
	other := swapCase(k.user)
	e := k.entry(k.start)
	k.enter(t, e, 1, k.start)
	k.lists(t, other, k.start, nil, "users are compared byte for byte")
	require.NoError(t, k.index.Enter(k.ctx, other, k.entry(k.start), 1, k.start),
		"the limit counts one user's entries")
	require.NoError(t, k.index.Remove(k.ctx, other, e.ID))
	require.NoError(t, k.index.EndBefore(k.ctx, other, k.start.Add(time.Second)))
	k.enter(t, e, 1, k.start.Add(2*time.Second))
	k.lists(t, k.user, k.start, []driver.IndexEntry{e}, "what happens to one user leaves the others alone")
}

// swapCase returns a user who differs in the case of the letters, and of one more.
func swapCase(user string) string {
	lower := strings.ToLower(user)
	if lower == user {
		return strings.ToUpper(user)
	}
	return lower
}

func testEnterAgain(t testing.TB, k *indexKit) {
	e := k.entry(k.start)
	k.enter(t, e, 1, k.start)
	for _, ends := range []time.Duration{48 * time.Hour, 72 * time.Hour} {
		again := driver.IndexEntry{ID: e.ID, Entered: k.start.Add(time.Minute), Ends: k.start.Add(ends)}
		k.enter(t, again, 1, k.start.Add(time.Minute))
		e.Ends = again.Ends
		k.lists(t, k.user, again.Ends.Add(-time.Second), []driver.IndexEntry{e},
			"Enter again moves the end and keeps Entered from the first Enter")
	}
	k.lists(t, k.user, e.Ends.Add(time.Second), nil, "the end that Enter moved has passed")
}

func testEntryEnds(t testing.TB, k *indexKit) {
	short, long := k.entry(k.start), k.entry(k.start)
	short.Ends = k.start.Add(time.Hour)
	k.enter(t, short, 0, k.start)
	k.enter(t, long, 0, k.start)
	k.lists(t, k.user, short.Ends.Add(-10*tick), []driver.IndexEntry{short, long},
		"an entry is listed until its end")
	after := short.Ends.Add(10 * tick)
	k.lists(t, k.user, after, []driver.IndexEntry{long}, "an entry whose end has passed is not listed")
	k.refusedEntry(t, k.entry(after), 1, after, driver.ErrIndexFull, "the limit is reached")
	k.enter(t, k.entry(after), 2, after) // the one that has passed does not count
}

func testLimit(t testing.TB, k *indexKit) {
	first := k.entry(k.start)
	k.enter(t, first, 3, k.start)
	k.enter(t, k.entry(k.start), 3, k.start)
	k.enter(t, k.entry(k.start), 3, k.start)
	fourth := k.entry(k.start)
	k.refusedEntry(t, fourth, 3, k.start, driver.ErrIndexFull, "limit other entries are there")
	k.refusedEntry(t, fourth, 1, k.start, driver.ErrIndexFull, "more than limit other entries are there")
	k.enter(t, first, 3, k.start) // it does not count itself
	k.enter(t, fourth, 0, k.start)
	k.refusedEntry(t, k.entry(k.start), 4, k.start, driver.ErrIndexFull, "limit other entries are there")
	require.NoError(t, k.index.Remove(k.ctx, k.user, first.ID))
	k.enter(t, k.entry(k.start), 4, k.start)
	assert.Len(t, k.list(t, k.user, k.start), 4)
}

func testParallelLimit(t testing.TB, k *indexKit) {
	const limit, each = 3, 16
	for range rounds(each, k.enterCost(t), 5) {
		k.user = newUser()
		errs := make([]error, each)
		parallel(each, func(i int) {
			errs[i] = k.process(i).(driver.Index).Enter(k.ctx, k.user, k.entry(k.start), limit, k.start)
		})
		entered := 0
		for _, err := range errs {
			if err == nil {
				entered++
			} else {
				assert.ErrorIs(t, err, driver.ErrIndexFull)
			}
		}
		assert.Equal(t, limit, entered, "the check of the limit and the change are one atomic step")
		assert.Len(t, k.list(t, k.user, k.start), limit)
	}
}

// enterCost measures one Enter.
func (k *indexKit) enterCost(t testing.TB) time.Duration {
	t.Helper()
	e := k.entry(k.start)
	return median(func() { k.enter(t, e, 0, k.start) })
}

func testParallelEnter(t testing.TB, k *indexKit) {
	stays, goes := k.entry(k.start), k.entry(k.start)
	k.enter(t, stays, 0, k.start)
	k.enter(t, goes, 0, k.start)
	want, errs := []driver.IndexEntry{stays}, make([]error, writers)
	for range writers - 1 {
		want = append(want, k.entry(k.start))
	}
	parallel(writers, func(i int) {
		index := k.process(i).(driver.Index)
		if i == 0 {
			errs[i] = index.Remove(k.ctx, k.user, goes.ID)
			return
		}
		errs[i] = index.Enter(k.ctx, k.user, want[i], 0, k.start)
	})
	allNil(t, errs, "Enter beside others failed")
	k.lists(t, k.user, k.start, want, "an entry was lost beside others")
}

func testEndBefore(t testing.TB, k *indexKit) {
	before := k.entry(k.start)
	k.enter(t, before, 0, k.start)
	at := k.start.Add(time.Minute + 500*time.Microsecond)
	k.endBefore(t, at)
	now := at.Add(time.Minute)
	k.lists(t, k.user, now, []driver.IndexEntry{before}, "EndBefore removes no entry")
	for _, earlier := range []time.Duration{time.Minute, tick, 2 * time.Microsecond} {
		k.refusedEntry(t, k.entry(at.Add(-earlier)), 0, now, driver.ErrEnded,
			"Entered is before the time of EndBefore")
	}
	assert.ErrorIs(t, k.index.Enter(k.ctx, k.user, before, 0, now), driver.ErrEnded,
		"Entered is before the time of EndBefore, for an entry that is there")
	for _, later := range []time.Duration{0, 2 * time.Microsecond, tick, time.Minute} {
		k.enter(t, k.entry(at.Add(later)), 0, now)
	}
	assert.Len(t, k.list(t, k.user, now), 5)
}

func testEndBeforeHour(t testing.TB, k *indexKit) {
	k.endBefore(t, k.start)
	early := k.entry(k.start.Add(-time.Second))
	for _, after := range []time.Duration{0, 31 * time.Minute, time.Hour - time.Second} {
		k.refusedEntry(t, early, 0, k.start.Add(after), driver.ErrEnded, "EndBefore holds for an hour")
	}
	k.enter(t, early, 0, k.start.Add(time.Hour+time.Second))
}

func testEndBeforeLater(t testing.TB, k *indexKit) {
	later := k.start.Add(10 * time.Second)
	between := k.entry(k.start.Add(5 * time.Second))
	k.endBefore(t, k.start)
	k.endBefore(t, later)
	k.refusedEntry(t, between, 0, later, driver.ErrEnded, "a later EndBefore replaces an earlier one")
	k.endBefore(t, k.start)
	k.refusedEntry(t, between, 0, later, driver.ErrEnded, "an earlier EndBefore does not replace a later one")
	k.refusedEntry(t, between, 0, later.Add(time.Hour-time.Second), driver.ErrEnded,
		"an earlier EndBefore does not replace a later one")
	k.enter(t, k.entry(later), 0, later)
}

func testEndBeforeFuture(t testing.TB, k *indexKit) {
	k.endBefore(t, k.start.Add(10*time.Second))
	k.enter(t, k.entry(k.start), 0, k.start.Add(time.Second))
	k.refusedEntry(t, k.entry(k.start), 0, k.start.Add(11*time.Second), driver.ErrEnded,
		"the time of EndBefore has come")
}

// testEndBeforeParallel checks what EndAll rests on: after EndBefore, List names every session whose
// entry was accepted though it entered earlier.
func testEndBeforeParallel(t testing.TB, k *indexKit) {
	const each = 16
	for range rounds(each, k.enterCost(t), 5) {
		k.user = newUser()
		noted, done := make(chan struct{}), make(chan struct{})
		var listed []driver.IndexEntry
		var listErr error
		go func() {
			defer close(done)
			<-noted
			if listErr = k.again.(driver.Index).EndBefore(k.ctx, k.user, k.start); listErr == nil {
				listed, listErr = k.again.(driver.Index).List(k.ctx, k.user, k.start)
			}
		}()
		all, errs := make([]driver.IndexEntry, each), make([]error, each)
		parallel(each, func(i int) {
			if i == each/2 {
				close(noted)
			}
			all[i] = k.entry(k.start.Add(-time.Second))
			errs[i] = k.index.Enter(k.ctx, k.user, all[i], 0, k.start)
		})
		<-done
		require.NoError(t, listErr)
		for i, e := range all {
			named := slices.ContainsFunc(listed, func(other driver.IndexEntry) bool { return other.ID == e.ID })
			assert.Equal(t, errs[i] == nil, named,
				"an entry is named by List after EndBefore, or refused: %v", errs[i])
		}
	}
}

func testIndexAndRecords(t testing.TB, k *indexKit) {
	c := k.create(t, signIn(k.user))
	e := driver.IndexEntry{ID: c.id, Entered: k.start, Ends: k.start.Add(24 * time.Hour)}
	k.enter(t, e, 0, k.start)
	k.endBefore(t, k.start.Add(tick))
	require.NoError(t, k.index.Remove(k.ctx, k.user, c.id))
	same(t, c.rec, k.load(t, c.id, k.start), "the index changes no record")
	k.enter(t, k.entry(k.start.Add(time.Second)), 0, k.start.Add(time.Second))
	k.end(t, c.rec, endingByUser(c.id, k.user, k.start))
	assert.Len(t, k.list(t, k.user, k.start), 1, "End removes no entry")
}

func testIndexFaults(t testing.TB, k *indexKit) {
	e := k.entry(k.start)
	k.enter(t, e, 0, k.start)
	eachFault(t, func(f *fuse) {
		all, err := k.index.List(f, k.user, k.start)
		notGone(t, err)
		if err == nil {
			assert.NotEmpty(t, all, "a fault looks like a user without sessions")
		}
	})
	eachFault(t, func(f *fuse) {
		more := k.entry(k.start)
		if err := k.index.Enter(f, k.user, more, 0, k.start); err != nil {
			assert.False(t, errors.Is(err, driver.ErrNoSession) || errors.Is(err, driver.ErrIndexFull),
				"a fault looks like a refusal")
			k.enter(t, more, 0, k.start)
		}
		assert.True(t, slices.ContainsFunc(k.list(t, k.user, k.start), func(o driver.IndexEntry) bool { return o.ID == more.ID }),
			"an entry was acknowledged")
		if err := k.index.Remove(f, k.user, more.ID); err != nil {
			notGone(t, err)
			require.NoError(t, k.index.Remove(k.ctx, k.user, more.ID))
		}
	})
	k.lists(t, k.user, k.start, []driver.IndexEntry{e}, "entries that were removed")
	eachFault(t, func(f *fuse) {
		k.user = newUser()
		if err := k.index.EndBefore(f, k.user, k.start); err != nil {
			notGone(t, err)
			k.endBefore(t, k.start)
		}
		k.refusedEntry(t, k.entry(k.start.Add(-tick)), 0, k.start, driver.ErrEnded,
			"EndBefore was acknowledged")
	})
}

func testIndexSecondProcess(t testing.TB, k *indexKit) {
	other := k.again.(driver.Index)
	e := k.entry(k.start)
	k.enter(t, e, 1, k.start)
	all, err := other.List(k.ctx, k.user, k.start)
	require.NoError(t, err)
	assert.Equal(t, inOrder([]driver.IndexEntry{e}), inOrder(all), "an entry of another process is not seen")
	assert.ErrorIs(t, other.Enter(k.ctx, k.user, k.entry(k.start), 1, k.start), driver.ErrIndexFull)
	require.NoError(t, other.EndBefore(k.ctx, k.user, k.start.Add(time.Second)))
	k.refusedEntry(t, k.entry(k.start), 0, k.start.Add(2*time.Second), driver.ErrEnded,
		"EndBefore of another process")
	require.NoError(t, other.Remove(k.ctx, k.user, e.ID))
	k.lists(t, k.user, k.start, nil, "an entry that another process removed is listed")
}

func testEndUser(t testing.TB, k *indexKit) {
	enter := func(id driver.ID) driver.ID {
		e := k.entry(k.start)
		e.ID = id
		k.enter(t, e, 0, k.start)
		return id
	}
	signedIn := func(user string) driver.ID { return enter(k.create(t, signIn(user)).id) }
	one, two, kept, another := signedIn("ann"), signedIn("ann"), signedIn("ann"), signedIn("bob")
	underWay := begin(k.start, signIn("ann"))
	enter(underWay.ID)

	at := k.start.Add(time.Second)
	endUser := func(keep driver.ID) (ids []driver.ID) {
		ended, err := k.index.(driver.UserEnder).EndUser(k.ctx, k.user, endingByUser(driver.ID{}, "ann", at), keep)
		require.NoError(t, err, "EndUser")
		for _, rec := range ended {
			ids = append(ids, rec.ID())
		}
		return ids
	}
	assert.ElementsMatch(t, []driver.ID{one, two}, endUser(kept), "EndUser returns the records that it has ended")
	hour := at.Add(driver.IndexTombstone - time.Second)
	for _, id := range []driver.ID{one, two, underWay.ID} {
		k.gone(t, id, hour, driver.ErrEnded, "EndUser leaves a tombstone for each id of the list")
	}
	k.noSave(t, nil, underWay, driver.ErrEnded, "the first save of a session that EndUser has ended before it")
	k.load(t, kept, at)
	k.load(t, another, at) // of a sign-in that failed after its entry
	left := k.list(t, k.user, at)
	if assert.Len(t, left, 1, "EndUser removes the entries") {
		assert.Equal(t, kept, left[0].ID)
	}
	k.refusedEntry(t, k.entry(k.start), 0, at, driver.ErrEnded, "EndUser notes its time as EndBefore does")
	assert.Equal(t, []driver.ID{kept}, endUser(driver.ID{}), "EndUser without an exception")
}
