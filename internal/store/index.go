package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"example.com/session/driver"
)

var errIndexDamaged = fmt.Errorf("session: read the index of a user: %w", driver.ErrDamaged)

// An index is what is stored of a user's sessions.
//
//	kind 1 B | random 8 B | written 8 B | endedAt 8 B | entries of 32 B
type index struct {
	written driver.Milli // the now of the last change that had one
	UserList
}

// A UserList is what an index knows of a user. It may have entries whose end has passed.
type UserList struct {
	EndedAt int64 // the latest time of EndBefore, in microseconds since 1970; 0 for none
	Entries []driver.IndexEntry
}

const (
	indexHead  = 1 + 8 + 8 + 8
	indexEntry = 16 + 8 + 8 // ID, Entered in microseconds, Ends in milliseconds
)

// Enter implements driver.Index. The end of an entry never moves back: of two parallel sign-ins
// either may be the last one to be saved. A damaged index is driver.ErrDamaged and stays as it is.
func (d *Driver) Enter(ctx context.Context, user string, e driver.IndexEntry, limit int, now time.Time) error {
	return d.updateIndex(ctx, user, now, func(x *index) (bool, error) {
		entry, err := x.Enter(e, limit, now)
		if err != nil {
			return false, err
		}
		x.Entries = append(slices.DeleteFunc(x.Entries, hasID(e.ID)), entry)
		return true, nil
	})
}

// Enter returns e as it is to be stored: if there is an entry for the same ID, its time of entry is
// kept, and the later of both ends. The errors are driver.ErrEnded and driver.ErrIndexFull.
func (l *UserList) Enter(e driver.IndexEntry, limit int, now time.Time) (driver.IndexEntry, error) {
	if l.ended(e.Entered, now) {
		return e, driver.ErrEnded
	}
	others := 0
	for _, other := range l.Entries {
		switch {
		case !other.Ends.After(now): // it has ended, and was not removed yet
		case other.ID != e.ID:
			others++
		default:
			e.Entered, e.Ends = other.Entered, later(other.Ends, e.Ends)
		}
	}
	if limit > 0 && others >= limit {
		return e, driver.ErrIndexFull
	}
	return e, nil
}

// ended reports whether EndBefore refuses a request that entered then. A time of EndBefore that is
// further in the future than driver.EndBeforeAhead is ignored, because it comes from a wrong clock.
func (l *UserList) ended(entered, now time.Time) bool {
	age := now.UnixMicro() - l.EndedAt
	return l.EndedAt > entered.UnixMicro() &&
		age >= -driver.EndBeforeAhead.Microseconds() && age < driver.IndexTombstone.Microseconds()
}

// Remove implements driver.Index.
func (d *Driver) Remove(ctx context.Context, user string, id driver.ID) error {
	return d.updateIndex(ctx, user, time.Time{}, func(x *index) (bool, error) {
		count := len(x.Entries)
		x.Entries = slices.DeleteFunc(x.Entries, hasID(id))
		return len(x.Entries) < count, nil
	})
}

// List implements driver.Index. It returns driver.ErrDamaged rather than a list that may miss a
// session.
func (d *Driver) List(ctx context.Context, user string, now time.Time) ([]driver.IndexEntry, error) {
	data, err := d.store.Get(ctx, indexKey(user))
	if err != nil {
		return nil, storeError(err)
	}
	x, err := parseIndex(data, now)
	return x.Entries, err
}

// EndBefore implements driver.Index. It replaces a damaged index, so that the user can sign in
// again, and still returns driver.ErrDamaged: the sessions that the index named are not known.
func (d *Driver) EndBefore(ctx context.Context, user string, now time.Time) error {
	damaged := false
	err := d.update(ctx, indexKey(user), guess{}, func(old []byte) (driver.Entry, error) {
		x, err := parseIndex(old, now)
		damaged = err != nil
		if x.EndedAt >= now.UnixMicro() {
			return driver.Entry{}, nil
		}
		x.EndedAt = now.UnixMicro()
		return x.entry(now), nil
	})
	if err == nil && damaged {
		return errIndexDamaged
	}
	return err
}

// updateIndex stores what change makes of a user's index if change reports that it changed it.
// now is zero if it is not known.
func (d *Driver) updateIndex(ctx context.Context, user string, now time.Time,
	change func(*index) (changed bool, err error),
) error {
	return d.update(ctx, indexKey(user), guess{}, func(old []byte) (driver.Entry, error) {
		x, err := parseIndex(old, now)
		if err != nil {
			return driver.Entry{}, err
		}
		if changed, err := change(&x); err != nil || !changed {
			return driver.Entry{}, err
		}
		return x.entry(now), nil
	})
}

func indexKey(user string) string { return "user:" + user }

func hasID(id driver.ID) func(driver.IndexEntry) bool {
	return func(e driver.IndexEntry) bool { return e.ID == id }
}

// entry packs the index. The store may delete it when its last entry has ended and EndBefore no
// longer counts. If now is zero, the time of the last change is used, so the index is kept longer
// than necessary.
func (x *index) entry(now time.Time) driver.Entry {
	if now.IsZero() {
		now = x.written.Time()
	}
	data := appendKind(make([]byte, 0, indexHead+indexEntry*len(x.Entries)), indexKind)
	data = binary.BigEndian.AppendUint64(data, uint64(now.UnixMilli()))
	data = binary.BigEndian.AppendUint64(data, uint64(x.EndedAt))
	expires := time.UnixMicro(x.EndedAt).Add(driver.IndexTombstone)
	for _, e := range x.Entries {
		data = append(data, e.ID[:]...)
		data = binary.BigEndian.AppendUint64(data, uint64(e.Entered.UnixMicro()))
		data = binary.BigEndian.AppendUint64(data, uint64(e.Ends.UnixMilli()))
		expires = later(expires, e.Ends)
	}
	return newEntry(data, expires, now)
}

// parseIndex returns the index with the entries whose end has not passed by now.
func parseIndex(data []byte, now time.Time) (x index, err error) {
	if len(data) == 0 {
		return x, nil
	}
	if data[0] != indexKind || len(data) < indexHead || (len(data)-indexHead)%indexEntry != 0 {
		return x, errIndexDamaged
	}
	x.written = driver.Milli(binary.BigEndian.Uint64(data[9:]))
	x.EndedAt = int64(binary.BigEndian.Uint64(data[17:]))
	for rest := range slices.Chunk(data[indexHead:], indexEntry) {
		e := driver.IndexEntry{
			ID:      driver.ID(rest[:16]),
			Entered: time.UnixMicro(int64(binary.BigEndian.Uint64(rest[16:]))),
			Ends:    time.UnixMilli(int64(binary.BigEndian.Uint64(rest[24:]))),
		}
		if e.Ends.After(now) {
			x.Entries = append(x.Entries, e)
		}
	}
	return x, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
