package sessiontest

import (
	"context"
	"sync"
	"testing"

	"example.com/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A fuse is a context that ends when it is asked for the nth time whether it has. A driver asks
// wherever it does something that may take time, so with fuses of every length it fails once at
// each such place: before it has done a thing, in the middle, and after all is done.
type fuse struct {
	context.Context

	mu    sync.Mutex
	left  int
	ended chan struct{}
}

func newFuse(t *testing.T, n int) *fuse {
	return &fuse{Context: t.Context(), left: n, ended: make(chan struct{})}
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

// burnt reports whether the driver has asked often enough.
func (f *fuse) burnt() bool {
	select {
	case <-f.ended:
		return true
	default:
		return false
	}
}

const longestFuse = 200 // a driver that asks more often is failed at the first so many places

// eachFault runs a test with fuses of growing length, until the driver has done what it was
// asked for before its fuse had burnt.
func eachFault(t *testing.T, test func(f *fuse)) {
	t.Helper()
	for n := 1; n <= longestFuse && !t.Failed(); n++ {
		f := newFuse(t, n)
		if test(f); !f.burnt() {
			return
		}
	}
}

// testFaults fails each operation at each of its calls. What failed may have been done or not,
// but not by half, is never taken for a missing session, and can be sent again.
func testFaults(t *testing.T, k *kit) {
	t.Run("load", func(t *testing.T) {
		tok := k.create(t, set("a", "'1"))
		eachFault(t, func(f *fuse) {
			rec, err := k.driver.Load(f, tok, k.start)
			k.assertFault(t, err)
			assert.Equal(t, err == nil, rec != nil, "a record or an error")
			k.load(t, tok, k.start)
		})
	})
	t.Run("create", func(t *testing.T) {
		eachFault(t, func(f *fuse) {
			ch := k.changes(t, k.start, add("n", 1), set("a", "'1"))
			_, err := k.driver.Save(f, nil, ch)
			k.assertFault(t, err)
			assertSame(t, ch.Apply(nil), k.load(t, k.store(t, nil, ch), k.start))
		})
	})
	t.Run("save", func(t *testing.T) {
		eachFault(t, func(f *fuse) { k.failSave(t, f, k.changes(t, k.start, saved()...)) })
	})
	t.Run("rotate", func(t *testing.T) {
		if k.sealed {
			t.Skip("a driver whose token is the record answers a rotation once")
		}
		eachFault(t, func(f *fuse) {
			rec, fresh := k.failSave(t, f, k.rotation(t, k.start, saved()...))
			assert.NotEqual(t, rec.Token(), fresh)
			k.assertGone(t, rec.Token(), k.start, "the replaced token opens something")
		})
	})
	t.Run("destroy", func(t *testing.T) {
		eachFault(t, func(f *fuse) {
			tok := k.create(t, set("a", "'1"))
			err := k.driver.Destroy(f, tok)
			k.assertFault(t, err)
			if err != nil {
				require.NoError(t, k.driver.Destroy(t.Context(), tok))
			}
			k.assertGone(t, tok, k.start, "to destroy it was acknowledged")
		})
	})
}

// saved are the changes of a save of which each half can be told from the other.
func saved() []session.Op { return []session.Op{add("n", 10), set("a", "'2"), flash("f", "'2")} }

// failSave fails a save to a new session and sends it again. It returns the record that the save
// began with and the token that opens the result.
func (k *kit) failSave(t *testing.T, f *fuse, ch *session.Changes) (*session.Record, session.Token) {
	t.Helper()
	rec := k.load(t, k.create(t, set("n", "1"), set("a", "'1")), k.start)
	before, after := contentOf(rec), contentOf(ch.Apply(rec))
	tok, err := k.driver.Save(f, rec, ch)
	k.assertFault(t, err)
	if err == nil {
		assert.Equal(t, after, contentOf(k.load(t, tok, k.start)), "the save was acknowledged")
	}
	if now, err := k.driver.Load(t.Context(), rec.Token(), k.start); err == nil {
		assert.Contains(t, []content{before, after}, contentOf(now), "half of a save is stored")
	}
	tok = k.store(t, rec, ch)
	assert.Equal(t, after, contentOf(k.load(t, tok, k.start)), "a save that failed was sent again")
	return rec, tok
}

// assertFault says that an operation has succeeded, or failed as one of a store that cannot be reached.
func (k *kit) assertFault(t *testing.T, err error) {
	t.Helper()
	assert.NotErrorIs(t, err, session.ErrNoSession, "a fault looks like a missing session")
}
