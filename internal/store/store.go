// Package store makes a driver.Driver and a driver.Index of a driver.Store, which only keeps bytes
// under keys. It does what is particular to sessions: merging, conflicts, tombstones and the user
// index. It knows nothing of cookies or HTTP, and it has no clock.
package store

import (
	"context"
	"time"

	"example.com/session/driver"
)

// A Driver keeps sessions in a Store: a record or a tombstone under the text of its ID, and the
// index of a user under "user:" and the user.
type Driver struct {
	store   driver.Store
	swapper driver.Swapper // the same store, nil if it cannot compare and swap
	queues  queues
}

var (
	_ driver.Driver = (*Driver)(nil)
	_ driver.Index  = (*Driver)(nil)
	_ driver.Pinger = (*Driver)(nil)
)

// New returns a Driver that keeps sessions in s. If s is a driver.Swapper, the Driver calls Get and
// Swap and never Update.
func New(s driver.Store) *Driver {
	swapper, _ := s.(driver.Swapper)
	return &Driver{store: s, swapper: swapper, queues: newQueues()}
}

// Load implements driver.Driver.
func (d *Driver) Load(ctx context.Context, id driver.ID, now time.Time) (*driver.Record, error) {
	data, err := d.store.Get(ctx, id.String())
	if err != nil {
		return nil, storeError(err)
	}
	rec, err := LiveRecord(id, data, now)
	if rec == nil && err == nil {
		return nil, driver.ErrNoSession
	}
	return rec, err
}

// Save implements driver.Driver. It first gives a Swapper the stored form of base to compare with,
// or nil if ch begins a session, so that most saves take one round trip.
func (d *Driver) Save(ctx context.Context, base *driver.Record, ch *driver.Changes) (*driver.Record, error) {
	var saved *driver.Record
	err := d.update(ctx, ch.ID.String(), expected(base, ch.New), func(old []byte) (driver.Entry, error) {
		rec, err := LiveRecord(ch.ID, old, ch.Now)
		if err != nil {
			return driver.Entry{}, err
		}
		if saved, err = ch.Apply(rec); err != nil || saved == rec {
			return driver.Entry{}, err // saved is rec itself if this save was applied before
		}
		data, err := saved.AppendBinary(nil)
		return newEntry(data, saved.ExpiresAt(), ch.Now), err
	})
	if err != nil {
		return nil, err
	}
	return saved, nil
}

// End implements driver.Driver.
func (d *Driver) End(ctx context.Context, base *driver.Record, e *driver.Ending) (*driver.Record, error) {
	var ended *driver.Record
	err := d.update(ctx, e.ID.String(), expected(base, false), func(old []byte) (driver.Entry, error) {
		rec, earlier, err := parse(e.ID, old)
		ended = nil
		next := tombstoneOf(e)
		switch {
		case err != nil: // its secrets cannot be read, so the ID is enough to end it
		case !e.Allows(rec), earlier.until >= next.until:
			return driver.Entry{}, nil
		case earlier.standsAt(e.Now):
			next.at = earlier.at
		}
		ended = rec
		return newEntry(next.pack(), next.until.Time(), e.Now), nil
	})
	if err != nil {
		return nil, err
	}
	return ended, nil
}

// Ping calls the Store's Ping, or gets an unknown key if the Store is not a driver.Pinger.
func (d *Driver) Ping(ctx context.Context) error {
	if p, ok := d.store.(driver.Pinger); ok {
		return storeError(p.Ping(ctx))
	}
	_, err := d.store.Get(ctx, driver.NewID().String())
	return storeError(err)
}
