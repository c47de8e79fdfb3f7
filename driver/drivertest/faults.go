package drivertest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
)

// A fuse is a context that ends when it is asked for the nth time whether it has ended. A driver
// asks wherever it does something that may take time. So with fuses of every length it fails once at
// each such place: before it has done anything, in the middle, and after all is done.
type fuse struct {
	context.Context

	mu    sync.Mutex
	left  int
	ended chan struct{}
}

func newFuse(t testing.TB, n int) *fuse {
	return &fuse{Context: within(t, patience), left: n, ended: make(chan struct{})}
}

// burn reports whether the context has ended.
func (f *fuse) burn() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left--; f.left == 0 {
		close(f.ended)
	}
	return f.left <= 0
}

func (f *fuse) Done() <-chan struct{} { f.burn(); return f.ended }

func (f *fuse) Err() error {
	if f.burn() {
		return context.Canceled
	}
	return nil
}

// burnt reports whether the context was asked often enough.
func (f *fuse) burnt() bool {
	select {
	case <-f.ended:
		return true
	default:
		return false
	}
}

const longestFuse = 200 // a driver that asks more often fails at the first so many places

// eachFault runs a test with longer and longer fuses, until the driver has done what it was asked
// for before its fuse had burnt.
func eachFault(t testing.TB, test func(f *fuse)) {
	t.Helper()
	for n := 1; n <= longestFuse && !t.Failed(); n++ {
		f := newFuse(t, n)
		if test(f); !f.burnt() {
			return
		}
	}
}

// notGone checks that an operation succeeded, or failed as one of a store that is unavailable.
func notGone(t testing.TB, err error) {
	t.Helper()
	assert.NotErrorIs(t, err, driver.ErrNoSession, "a fault looks like a missing session")
	assert.NotErrorIs(t, err, driver.ErrDamaged, "a fault looks like damage")
	var conflict *driver.ConflictError
	assert.False(t, errors.As(err, &conflict), "a fault looks like a conflict")
}

// testFaults fails each operation at each of its calls. What failed may have been done or not, but
// not by half, and it can be repeated.
func testFaults(t testing.TB, k *kit) {
	c := k.create(t, set("a", "1"))
	eachFault(t, func(f *fuse) {
		rec, err := k.driver.Load(f, c.id, k.start)
		notGone(t, err)
		assert.Equal(t, err == nil, rec != nil, "Load returns a record or an error")
	})
	eachFault(t, func(f *fuse) {
		ch := begin(k.start, add("n", 1), set("a", "1"))
		k.failSave(t, f, nil, ch)
	})
	eachFault(t, func(f *fuse) {
		c := k.create(t, set("n", "1"), set("a", "1"))
		k.failSave(t, f, c.rec, c.changes(k.start, add("n", 10), set("a", "2"), flash("f", "2")))
	})
	eachFault(t, func(f *fuse) {
		c := k.create(t, set("n", "1"), set("a", "1"))
		k.failSave(t, f, c.rec, c.replacement(k.start, add("n", 10), signIn("ann")))
	})
	eachFault(t, func(f *fuse) {
		c := k.create(t, set("a", "1"))
		_, err := k.driver.End(f, c.rec, c.ending(k.start))
		notGone(t, err)
		if err != nil {
			k.end(t, c.rec, c.ending(k.start))
		}
		k.gone(t, c.id, k.start, driver.ErrEnded, "End was acknowledged")
	})
}

// failSave fails a save and repeats it.
func (k *kit) failSave(t testing.TB, f *fuse, base *driver.Record, ch *driver.Changes) {
	t.Helper()
	want := apply(t, ch, base)
	rec, err := k.driver.Save(f, base, ch)
	notGone(t, err)
	assert.Equal(t, err == nil, rec != nil, "Save returns a record or an error")
	if now, err := k.driver.Load(k.ctx, ch.ID, k.start); err == nil && (base == nil || packed(now) != packed(base)) {
		same(t, want, now, "half of a save is stored")
	} else if base != nil {
		require.NoError(t, err, "a save that failed removed the session")
	}
	if err == nil {
		same(t, want, k.load(t, ch.ID, k.start), "the save was acknowledged")
	} else if ch.Retried = true; base != nil {
		ch.Since = base.LastSave()
	}
	same(t, want, k.save(t, base, ch), "a save that failed was repeated")
	same(t, want, k.load(t, ch.ID, k.start), "a save that failed was repeated")
}

// testEndedContext accepts a driver that does no I/O and goes on: ctx only bounds its work.
func testEndedContext(t testing.TB, k *kit) {
	c := k.create(t, set("a", "1"))
	ctx := ended(t)
	_, err := k.driver.Load(ctx, c.id, k.start)
	notGone(t, err)
	ch := c.changes(k.start, set("a", "2"))
	_, err = k.driver.Save(ctx, c.rec, ch)
	notGone(t, err)
	if got := integer(t, k.load(t, c.id, k.start), "a"); err == nil {
		assert.Equal(t, 2, got, "the save was acknowledged")
	}
	_, err = k.driver.End(ctx, c.rec, c.ending(k.start))
	notGone(t, err)
	if err == nil {
		k.gone(t, c.id, k.start, driver.ErrEnded, "End was acknowledged")
	}
}
