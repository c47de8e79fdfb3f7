package session

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

// The index of a user in a Store is one entry: a version byte, then for each session when its
// lifetime ends (8 bytes), the length of its name (1 byte) and the name.

const (
	indexVersion = 2 // no packed record and no tombstone begins with it
	nameAt       = 8 + 1
)

var _ accountIndex = (*storeDriver)(nil)

func (d *storeDriver) enroll(ctx context.Context, user string, e enrollment) error {
	return d.updateIndex(ctx, user, e.now, func(entries []indexEntry) ([]indexEntry, error) {
		mark := endOf(entries, endingMark)
		kept := mark > 0 && endOf(entries, keptMark(mark, e.replaces)) > 0
		if mark > 0 && !kept && e.signedIn <= mark-rememberEnding.Milliseconds() {
			return nil, &EndedError{At: e.now}
		}
		if e.most > 0 && others(entries, &e) >= e.most {
			return nil, errIndexFull
		}
		if kept {
			entries = putEntry(entries, indexEntry{name: keptMark(mark, e.name()), ends: mark})
		}
		return putEntry(entries, indexEntry{name: e.name(), ends: e.ends}), nil
	})
}

func (d *storeDriver) withdraw(ctx context.Context, user string, m member) error {
	return d.updateIndex(ctx, user, time.Time{}, func(entries []indexEntry) ([]indexEntry, error) {
		return slices.DeleteFunc(entries, func(e indexEntry) bool {
			return e.name == m.name() && (m.ends == 0 || e.ends == m.ends)
		}), nil
	})
}

func (d *storeDriver) members(ctx context.Context, user string, now time.Time) ([]member, error) {
	data, err := d.store.Get(ctx, user)
	if err != nil {
		return nil, err
	}
	var members []member
	for _, e := range parseIndex(data, now) {
		if m, ok := parseMember(e.name, e.ends); ok {
			members = append(members, m)
		}
	}
	slices.SortFunc(members, byEnd)
	return members, nil
}

func (d *storeDriver) noteEnding(ctx context.Context, user, kept string, now time.Time) (int64, error) {
	var mark int64
	err := d.updateIndex(ctx, user, now, func(entries []indexEntry) ([]indexEntry, error) {
		mark = max(now.Add(rememberEnding).UnixMilli(), endOf(entries, endingMark)+1)
		if kept != "" {
			entries = putEntry(entries, indexEntry{name: keptMark(mark, kept), ends: mark})
		}
		return putEntry(entries, indexEntry{name: endingMark, ends: mark}), nil
	})
	return mark - rememberEnding.Milliseconds(), err
}

func (d *storeDriver) peek(ctx context.Context, id string, now time.Time) (*Record, error) {
	data, err := d.store.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	rec, err := liveRecord(Token{}, data, now)
	var expired *expiredError
	if !errors.As(err, &expired) {
		return rec, err
	}
	// Its entry goes, so it must not open where a clock is behind.
	if ended := d.endID(ctx, id, now); ended != nil {
		return nil, ended
	}
	return nil, err
}

func (d *storeDriver) endID(ctx context.Context, id string, now time.Time) error {
	return d.buryID(ctx, id, now, 0)
}

// An indexEntry is a session, or the mark, as a Store holds it.
type indexEntry struct {
	name string
	ends int64
}

// updateIndex stores what change makes of the entries that are not over.
func (d *storeDriver) updateIndex(ctx context.Context, user string, now time.Time,
	change func([]indexEntry) ([]indexEntry, error)) error {
	return d.store.Update(ctx, user, func(old []byte) (Entry, error) {
		entries, err := change(parseIndex(old, now))
		if err != nil || (len(entries) == 0 && len(old) == 0) {
			return Entry{}, err
		}
		return packIndex(entries, now), nil
	})
}

// endOf returns the end of an entry, 0 where there is none of the name.
func endOf(entries []indexEntry, name string) int64 {
	for _, e := range entries {
		if e.name == name {
			return e.ends
		}
	}
	return 0
}

// others counts the sessions but the one that comes and the one that it replaces.
func others(entries []indexEntry, e *enrollment) (n int) {
	for _, old := range entries {
		if isSession(old.name) && old.name != e.name() && old.name != e.replaces {
			n++
		}
	}
	return n
}

func putEntry(entries []indexEntry, e indexEntry) []indexEntry {
	for i := range entries {
		if entries[i].name == e.name {
			entries[i] = e
			return entries
		}
	}
	return append(entries, e)
}

// parseIndex returns the entries that are not over by now. What is damaged is as good as over:
// its sessions are still ended by their limits.
func parseIndex(data []byte, now time.Time) []indexEntry {
	if len(data) == 0 || data[0] != indexVersion {
		return nil
	}
	var entries []indexEntry
	for data = data[1:]; len(data) >= nameAt; {
		ends, size := int64(binary.BigEndian.Uint64(data)), int(data[8])
		if len(data) < nameAt+size {
			break
		}
		if now.IsZero() || ends > now.UnixMilli() {
			entries = append(entries, indexEntry{name: string(data[nameAt : nameAt+size]), ends: ends})
		}
		data = data[nameAt+size:]
	}
	return entries
}

func packIndex(entries []indexEntry, now time.Time) Entry {
	data, last := []byte{indexVersion}, now.UnixMilli()
	for _, e := range entries {
		data = binary.BigEndian.AppendUint64(data, uint64(e.ends))
		data = append(data, byte(len(e.name)))
		data = append(data, e.name...)
		last = max(last, e.ends)
	}
	return Entry{Data: data, Expires: time.UnixMilli(last)}
}
