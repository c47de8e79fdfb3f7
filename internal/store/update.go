package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"example.com/session/driver"
)

const (
	// maxUpdate bounds an update whose context has no deadline.
	maxUpdate = 3 * time.Second

	// After immediateTries conflicts the pauses begin. They grow by 1 ms up to maxPause.
	immediateTries = 8
	maxPause       = 32 * time.Millisecond
)

// A guess is what the caller expects to be stored under a key. It may be out of date.
type guess struct {
	data  []byte
	known bool // false: the caller has no idea
}

// expected returns the guess that base is still stored, or that nothing is if the session is new.
func expected(base *driver.Record, isNew bool) guess {
	if base == nil {
		return guess{known: isNew}
	}
	data, _ := base.AppendBinary(nil)
	return guess{data: data, known: true}
}

// A changeFunc makes an Entry of the bytes under a key, as driver.Store.Update says.
type changeFunc = func(old []byte) (driver.Entry, error)

// update stores what change makes of the bytes under key, in one atomic step. It returns an error
// of change as it is. It calls change until what change saw is what was replaced.
func (d *Driver) update(ctx context.Context, key string, g guess, change changeFunc) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, maxUpdate)
		defer cancel()
	}
	if d.swapper != nil {
		return d.updateBySwap(ctx, key, g, change)
	}
	var changeErr error
	called := false
	err := d.store.Update(ctx, key, func(old []byte) (entry driver.Entry, _ error) {
		called = true
		entry, changeErr = change(old)
		return entry, changeErr
	})
	switch {
	case changeErr != nil:
		return changeErr
	case err == nil && !called:
		return errNotCalled
	}
	return storeError(err)
}

var errNotCalled = fmt.Errorf("%w: Update of the Store returned nil without calling change", driver.ErrUnavailable)

// updateBySwap is update on a Swapper. A conflict brings the current bytes, so the next try needs
// no Get. From then on the writers of this process take turns, so that each one needs few tries.
func (d *Driver) updateBySwap(ctx context.Context, key string, g guess, change changeFunc) error {
	old, swapped, err := d.tryGuess(ctx, key, g, change)
	if err != nil || swapped {
		return err
	}
	unlock, err := d.queues.lock(ctx, key)
	if err != nil {
		return storeError(fmt.Errorf("wait for another save of the session: %w", err))
	}
	defer unlock()
	for conflicts := 1; ; conflicts++ {
		entry, err := change(old)
		if err != nil || entry.Data == nil {
			return err
		}
		old, swapped, err = d.swapper.Swap(ctx, key, old, entry)
		if err != nil || swapped {
			return storeError(err)
		}
		if err := pause(ctx, conflicts); err != nil {
			return storeError(fmt.Errorf("other requests changed the session too often: %w", err))
		}
	}
}

// tryGuess stores what change makes of a guess, if the guess is right. If not, it returns the bytes
// that are stored. What change refuses on a guess is judged on these, for the guess may be wrong.
func (d *Driver) tryGuess(ctx context.Context, key string, g guess, change changeFunc) (
	current []byte, swapped bool, err error,
) {
	if g.known {
		if entry, err := change(g.data); err == nil && entry.Data != nil {
			current, swapped, err = d.swapper.Swap(ctx, key, g.data, entry)
			return current, swapped, storeError(err)
		}
	}
	current, err = d.store.Get(ctx, key)
	return current, false, storeError(err)
}

// pause waits after a conflict, at random so that writers do not meet again.
func pause(ctx context.Context, conflicts int) error {
	if conflicts <= immediateTries {
		return ctx.Err()
	}
	timer := time.NewTimer(rand.N(min(maxPause, time.Duration(conflicts-immediateTries)*time.Millisecond)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// storeError marks an error of the Store as driver.ErrUnavailable, unless it says what it is.
func storeError(err error) error {
	switch {
	case err == nil, errors.Is(err, driver.ErrUnavailable), errors.Is(err, driver.ErrMisconfigured):
		return err
	case errors.Is(err, driver.ErrNoSession), errors.Is(err, driver.ErrDamaged):
		return fmt.Errorf("%w: %v", driver.ErrUnavailable, err) // an outage never looks like a missing session
	}
	return fmt.Errorf("%w: %w", driver.ErrUnavailable, err)
}
