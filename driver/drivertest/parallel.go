package drivertest

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
)

func key(i int) string { return "key " + strconv.Itoa(i) }

func testParallelSaves(t testing.TB, k *kit) {
	each := rounds(writers, k.saveCost(t), 8)
	c := k.create(t, set("n", "0"), flash("old", "1"))
	errs := make([]error, writers*each)
	parallel(writers, func(w int) {
		base := c.rec
		for i := w * each; i < (w+1)*each; i++ {
			var rec *driver.Record
			ch := c.changes(k.start, set(key(i), strconv.Itoa(i)), add("n", 1), flash(key(i), "1"))
			rec, errs[i] = k.process(w).Save(k.ctx, base, ch)
			if rec != nil {
				base = rec
			}
		}
	})
	allNil(t, errs, "a save beside others failed")
	rec := k.load(t, c.id, k.start)
	for i := range errs {
		assert.Equal(t, i, integer(t, rec, key(i)), "a write is lost")
	}
	assert.Equal(t, len(errs), integer(t, rec, "n"), "increments do not add up")
	assert.Len(t, contentOf(rec).Flash, len(errs)+1, "flash is lost")
}

// testParallelRepeats sends each save twice at once, no more of them than a record remembers.
func testParallelRepeats(t testing.TB, k *kit) {
	const saves = 4
	c := k.create(t, set("n", "0"))
	n := rounds(2*saves, k.saveCost(t), 10)
	for range n {
		var all [saves]*driver.Changes
		for i := range all {
			all[i] = c.changes(k.start, add("n", 1))
		}
		errs := make([]error, 2*saves)
		parallel(len(errs), func(i int) { _, errs[i] = k.process(i).Save(k.ctx, c.rec, all[i/2]) })
		allNil(t, errs, "a save beside its repetition failed")
	}
	assert.Equal(t, saves*n, integer(t, k.load(t, c.id, k.start), "n"),
		"a save with the same number is applied once")
}

func testParallelNew(t testing.TB, k *kit) {
	const each = 4
	for range rounds(2*each, k.saveCost(t), 10) {
		id := driver.NewID()
		var all [each]*driver.Changes
		for i := range all {
			all[i] = begin(k.start, add("n", int64(i)))
			all[i].ID = id
		}
		var won, lost atomic.Int32
		errs := make([]error, 2*each)
		parallel(2*each, func(i int) { // each save comes twice
			_, errs[i] = k.process(i).Save(k.ctx, nil, all[i/2])
			var conflict *driver.ConflictError
			if errs[i] == nil {
				won.Add(1)
			} else if errors.As(errs[i], &conflict) {
				lost.Add(1)
			}
		})
		assert.Equal(t, [2]int32{2, 2*each - 2}, [2]int32{won.Load(), lost.Load()},
			"one new session wins, others conflict: %v", errs)
		i := integer(t, k.load(t, id, k.start), "n")
		assert.NoError(t, errs[2*i], "the session that is stored was refused")
	}
}

func testParallelReplacements(t testing.TB, k *kit) {
	const each = 8
	for range rounds(each, k.saveCost(t), 10) {
		c := k.create(t, set("n", "1"))
		var all [each]*driver.Changes
		for i := range all {
			all[i] = c.replacement(k.start, add("n", 1))
		}
		errs := make([]error, each)
		parallel(each, func(i int) { _, errs[i] = k.process(i).Save(k.ctx, c.rec, all[i]) })
		won, rec := 0, k.load(t, c.id, k.start)
		for i, err := range errs {
			assert.Equal(t, err == nil, rec.Accepts(all[i].Install),
				"a record accepts the secret of a save that was acknowledged, and no other")
			if err == nil {
				won++
				continue
			}
			var conflict *driver.ConflictError
			assert.ErrorAs(t, err, &conflict)
		}
		assert.Equal(t, 1, won, "of several replacements of one secret, one wins")
		assert.Equal(t, 2, integer(t, rec, "n"))
		assert.False(t, rec.Accepts(c.secret), "the replaced secret is accepted")
	}
}

// testParallelSwaps changes one value as Session.Update does: a conflict returns the record to try
// again with.
func testParallelSwaps(t testing.TB, k *kit) {
	const swappers = 8
	each := rounds(swappers*swappers, k.saveCost(t), 4)
	c := k.create(t, set("n", "0"))
	errs := make([]error, swappers)
	parallel(swappers, func(i int) {
		base := c.rec
		for range each {
			if base, errs[i] = swapUp(k.ctx, k.process(i), c, base, k.start); errs[i] != nil {
				return
			}
		}
	})
	allNil(t, errs, "a swap failed otherwise than by a conflict")
	assert.Equal(t, swappers*each, integer(t, k.load(t, c.id, k.start), "n"), "a swap is lost")
}

// swapUp adds one by Swap, as often as it takes.
func swapUp(ctx context.Context, d driver.Driver, c *client, base *driver.Record, at time.Time) (*driver.Record, error) {
	for {
		old, _ := base.Value(driver.Data, "n")
		n, _ := driver.ParseInt(old)
		swap := driver.Op{Kind: driver.Swap, Key: "n", Old: old, Encoded: driver.FormatInt(n + 1)}
		rec, err := d.Save(ctx, base, c.changes(at, swap))
		var conflict *driver.ConflictError
		if !errors.As(err, &conflict) || conflict.Current == nil {
			return rec, err
		}
		base = conflict.Current
	}
}

// A crowd saves to one session until it is gone, and counts what was acknowledged.
type crowd struct {
	acknowledged atomic.Int64
	failed       atomic.Value // an error that is not ErrNoSession
	stopped      atomic.Bool  // it should have ended by itself
	started      chan struct{}
	done         chan struct{}
}

const (
	crowdSize = 8

	// A crowd that goes on for so long after its session has ended will not stop by itself.
	crowdLimit = 5 * time.Second
)

// startCrowd returns when each writer has had an answer.
func (k *kit) startCrowd(t testing.TB, c *client) *crowd {
	t.Helper()
	all := &crowd{started: make(chan struct{}, crowdSize), done: make(chan struct{})}
	go func() {
		defer close(all.done)
		parallel(crowdSize, func(i int) { all.write(k.ctx, k.process(i), c, k.start) })
	}()
	for range crowdSize {
		<-all.started
	}
	return all
}

func (all *crowd) write(ctx context.Context, d driver.Driver, c *client, at time.Time) {
	for i := 0; !all.stopped.Load(); i++ {
		_, err := d.Save(ctx, c.rec, c.changes(at, add("n", 1)))
		if err == nil {
			all.acknowledged.Add(1)
		} else if !errors.Is(err, driver.ErrNoSession) {
			all.failed.Store(err)
		}
		if i == 0 {
			all.started <- struct{}{}
		}
		if err != nil {
			return
		}
	}
}

// wait waits for the writers, who stop when the session is gone.
func (all *crowd) wait(t testing.TB) int {
	t.Helper()
	late := time.AfterFunc(crowdLimit, func() { all.stopped.Store(true) })
	<-all.done
	late.Stop()
	require.False(t, all.stopped.Load(), "saves to a session that has ended are acknowledged")
	require.Nil(t, all.failed.Load(), "a save beside an End fails otherwise than by ErrNoSession")
	return int(all.acknowledged.Load())
}

func testEndBesideSaves(t testing.TB, k *kit) {
	for range rounds(4*crowdSize, k.saveCost(t), 10) {
		c := k.create(t, set("n", "0"))
		all := k.startCrowd(t, c)
		rec, err := k.driver.End(k.ctx, c.rec, c.ending(k.start))
		if err == nil {
			k.gone(t, c.id, k.start, driver.ErrEnded, "the session lives when End has returned")
		} else {
			all.stopped.Store(true)
		}
		acknowledged := all.wait(t)
		require.NoError(t, err, "End beside saves failed")
		k.gone(t, c.id, k.start, driver.ErrEnded, "a save beside End revived the session")
		if assert.NotNil(t, rec, "End returns the record that it ended") {
			assert.Equal(t, acknowledged, integer(t, rec, "n"),
				"End returns the record with every save that was acknowledged")
		}
	}
}

func testEndBesideReplacement(t testing.TB, k *kit) {
	for round := range rounds(4, k.saveCost(t), 20) {
		c := k.create(t, set("n", "1"))
		k.saveBesideEnd(t, round, c.rec, c.replacement(k.start), c.ending(k.start),
			"a session lives on under a secret that was installed beside its End")
	}
}

func testEndBesideNew(t testing.TB, k *kit) {
	for round := range rounds(4, k.saveCost(t), 20) {
		ch := begin(k.start, signIn("ann"))
		k.saveBesideEnd(t, round, nil, ch, endingByUser(ch.ID, "ann", k.start),
			"a session lives whose user ended it beside its first save")
	}
}

// saveBesideEnd saves a session and ends it at once, and checks that it has ended.
func (k *kit) saveBesideEnd(
	t testing.TB, round int, base *driver.Record, ch *driver.Changes, e *driver.Ending, why string,
) {
	t.Helper()
	var saveErr, endErr error
	parallel(2, func(i int) {
		if i == round%2 { // which goroutine is sooner is mostly the same
			_, saveErr = k.driver.Save(k.ctx, base, ch)
		} else {
			_, endErr = k.again.End(k.ctx, base, e)
		}
	})
	require.NoError(t, endErr)
	if saveErr != nil {
		assert.ErrorIs(t, saveErr, driver.ErrEnded)
	}
	k.gone(t, ch.ID, k.start, driver.ErrEnded, why)
}
