package sessiontest

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"example.com/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	writers = 8
	rounds  = 10

	// A crowd that goes on for so long after its session has ended will not stop by itself.
	crowdLimit = 5 * time.Second
)

// testParallelCopies holds for every driver: a save has at least what its record had and what
// it changes itself.
func testParallelCopies(t *testing.T, k *kit) {
	tok := k.create(t, set("base", "'1"))
	rec := k.load(t, tok, k.start)
	tokens, errs := make([]session.Token, writers), make([]error, writers)
	all := k.changesFor(t, writers, func(i int) []session.Op { return []session.Op{set(key(i), "'1")} })
	parallel(writers, func(i int) { tokens[i], errs[i] = k.driver.Save(t.Context(), rec, all[i]) })
	for i, tok := range tokens {
		require.NoError(t, errs[i])
		got := contentOf(k.load(t, tok, k.start)).Values
		assert.Equal(t, "'1", got["base"])
		assert.Equal(t, "'1", got[key(i)])
	}
}

// changesFor makes the changes of n saves, since goroutines cannot fail a test.
func (k *kit) changesFor(t *testing.T, n int, ops func(i int) []session.Op) []*session.Changes {
	t.Helper()
	all := make([]*session.Changes, n)
	for i := range all {
		all[i] = k.changes(t, k.start, ops(i)...)
	}
	return all
}

func key(i int) string { return "key " + strconv.Itoa(i) }

func testParallelSaves(t *testing.T, k *kit) {
	const each = 25
	tok := k.create(t, set("n", "0"), flash("old", "'1"))
	rec := k.load(t, tok, k.start)
	all := k.changesFor(t, writers*each, func(i int) []session.Op {
		return []session.Op{set(key(i), strconv.Itoa(i)), add("n", int64(i)), flash(key(i), "'1"), remove(key(i - 1000))}
	})
	errs := make([]error, writers*each)
	parallel(writers, func(w int) {
		for i := w * each; i < (w+1)*each; i++ {
			if _, errs[i] = k.patiently(t.Context(), rec, all[i]); i%5 == 0 && errs[i] == nil {
				_, errs[i] = k.driver.Load(t.Context(), tok, k.start)
			}
		}
	})
	want := 0
	got := k.load(t, tok, k.start)
	for i := range all {
		require.NoError(t, errs[i])
		assert.Equal(t, i, integer(t, got, key(i)), "a write is lost")
		want += i
	}
	assert.Equal(t, want, integer(t, got, "n"), "the counter")
	assert.Len(t, contentOf(got).Flash, writers*each+1)
}

// testParallelRepeats sends each save twice at once, no more at a time than a record remembers.
func testParallelRepeats(t *testing.T, k *kit) {
	tok := k.create(t, set("n", "0"))
	rec := k.load(t, tok, k.start)
	for range rounds {
		all := k.changesFor(t, 4, func(i int) []session.Op { return []session.Op{add("n", 1)} })
		var failed atomic.Int32
		parallel(8, func(i int) {
			if _, err := k.patiently(t.Context(), rec, all[i/2]); err != nil {
				failed.Add(1)
			}
		})
		require.Zero(t, failed.Load())
	}
	assert.Equal(t, 4*rounds, integer(t, k.load(t, tok, k.start), "n"))
}

func testParallelNewSessions(t *testing.T, k *kit) {
	tokens, errs := make([]session.Token, writers), make([]error, writers)
	all := k.changesFor(t, writers, func(i int) []session.Op { return []session.Op{add("n", int64(i))} })
	parallel(writers, func(i int) { tokens[i], errs[i] = k.driver.Save(t.Context(), nil, all[i]) })
	for i, tok := range tokens {
		require.NoError(t, errs[i])
		assert.Equal(t, map[string]string{"n": strconv.Itoa(i)}, contentOf(k.load(t, tok, k.start)).Values)
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

// startCrowd returns when each writer has had an answer.
func (k *kit) startCrowd(t *testing.T, rec *session.Record) *crowd {
	t.Helper()
	c := &crowd{started: make(chan struct{}, writers), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		parallel(writers, func(i int) { k.write(t.Context(), rec, c) })
	}()
	for range writers {
		<-c.started
	}
	return c
}

func (k *kit) write(ctx context.Context, rec *session.Record, c *crowd) {
	for i := 0; !c.stopped.Load(); i++ {
		b := k.builder(k.start, add("n", 1))
		ch, err := b.Build()
		if err == nil {
			_, err = k.patiently(ctx, rec, ch)
		}
		if i == 0 {
			c.started <- struct{}{}
		}
		if err == nil {
			c.acknowledged.Add(1)
			time.Sleep(time.Millisecond) // a rotation needs a moment without a save
			continue
		}
		if !isGone(err) {
			c.failed.Store(err)
		}
		return
	}
}

// wait waits for the writers, who stop when the session is gone.
func (c *crowd) wait(t *testing.T) int {
	t.Helper()
	late := time.AfterFunc(crowdLimit, func() { c.stopped.Store(true) })
	<-c.done
	late.Stop()
	require.False(t, c.stopped.Load(), "saves to a session that has ended are acknowledged")
	require.Nil(t, c.failed.Load())
	return int(c.acknowledged.Load())
}

func testRotationBesideSaves(t *testing.T, k *kit) {
	for range rounds {
		tok := k.create(t, set("n", "0"))
		rec := k.load(t, tok, k.start)
		c := k.startCrowd(t, rec)
		fresh, err := k.patiently(t.Context(), rec, k.rotation(t, k.start, set("rotated", "t")))
		if !assert.NoError(t, err) {
			require.NoError(t, k.driver.Destroy(t.Context(), tok))
		}
		acknowledged := c.wait(t)
		require.NoError(t, err)
		got := k.load(t, fresh, k.start)
		assert.Equal(t, acknowledged, integer(t, got, "n"), "saves that were acknowledged, and no others, are there")
		assert.Contains(t, contentOf(got).Values, "rotated")
		k.assertGone(t, tok, k.start, "the replaced token opens something")
	}
}

func testParallelRotations(t *testing.T, k *kit) {
	for range rounds {
		tok := k.create(t, set("n", "1"))
		rec := k.load(t, tok, k.start)
		var all [4]*session.Changes
		var errs [4]error
		for i := range all {
			all[i] = k.rotation(t, k.start, add("n", 1))
		}
		parallel(len(all), func(i int) { _, errs[i] = k.patiently(t.Context(), rec, all[i]) })
		won := 0
		for i, err := range errs {
			if err != nil {
				assert.ErrorIs(t, err, session.ErrEnded)
				k.assertGone(t, all[i].NewToken(), k.start, "the new token of a rotation that failed opens something")
				continue
			}
			won++
			assert.Equal(t, 2, integer(t, k.load(t, all[i].NewToken(), k.start), "n"))
		}
		assert.Equal(t, 1, won, "one rotation wins")
		k.assertGone(t, tok, k.start, "the replaced token opens something")
	}
}

func testRotationBesideDestroy(t *testing.T, k *kit) {
	for range rounds {
		tok := k.create(t, set("n", "1"))
		rec := k.load(t, tok, k.start)
		ch := k.rotation(t, k.start)
		var errs [2]error
		parallel(2, func(i int) {
			if i == 0 {
				_, errs[i] = k.patiently(t.Context(), rec, ch)
			} else {
				errs[i] = k.driver.Destroy(t.Context(), tok)
			}
		})
		require.NoError(t, errs[1])
		k.assertGone(t, tok, k.start, "the session was destroyed or its token replaced")
		if errs[0] == nil { // it was done when Destroy came
			k.load(t, ch.NewToken(), k.start)
			continue
		}
		assert.ErrorIs(t, errs[0], session.ErrEnded)
		k.assertGone(t, ch.NewToken(), k.start, "a destroyed session lives on under a new token")
	}
}

func testDestroyBesideSaves(t *testing.T, k *kit) {
	for range rounds {
		tok := k.create(t, set("n", "0"))
		rec := k.load(t, tok, k.start)
		c := k.startCrowd(t, rec)
		require.NoError(t, k.driver.Destroy(t.Context(), tok))
		k.assertGone(t, tok, time.Now(), "it is gone when Destroy returns")
		assert.NotZero(t, c.wait(t))
		k.assertGone(t, tok, time.Now(), "saves that were under way revived it")
		_, err := k.driver.Save(t.Context(), rec, k.changes(t, k.start, add("n", 1)))
		assert.ErrorIs(t, err, session.ErrNoSession)
	}
}
