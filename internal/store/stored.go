package store

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"example.com/session/driver"
)

// What is stored begins with a byte that tells its kind, then 8 bytes that differ whenever it is
// changed. So its first 9 bytes name one state of a key, and a Swapper may compare these alone.
// A record begins with its version, 2, and the number of its last save.
const (
	tombstoneKind = 0
	indexKind     = 3
)

// A tombstone stands in the place of a session that was ended.
//
//	kind 1 B | random 8 B | at 8 B | until 8 B
type tombstone struct {
	at    driver.Milli // when the session was ended
	until driver.Milli // when it may be forgotten
}

const tombstoneSize = 1 + 8 + 8 + 8

func (t tombstone) pack() []byte {
	data := appendKind(make([]byte, 0, tombstoneSize), tombstoneKind)
	data = binary.BigEndian.AppendUint64(data, uint64(t.at))
	return binary.BigEndian.AppendUint64(data, uint64(t.until))
}

func (t tombstone) standsAt(now time.Time) bool { return driver.MilliOf(now) < t.until }

// appendKind begins a new state of a key.
func appendKind(dst []byte, kind byte) []byte {
	return binary.BigEndian.AppendUint64(append(dst, kind), rand.Uint64())
}

// parse reads what is stored under an ID: a record, a tombstone or nothing. The error is
// driver.ErrDamaged, also for the record of another ID.
func parse(id driver.ID, data []byte) (*driver.Record, tombstone, error) {
	if len(data) == 0 {
		return nil, tombstone{}, nil
	}
	if len(data) == tombstoneSize && data[0] == tombstoneKind {
		at, until := binary.BigEndian.Uint64(data[9:]), binary.BigEndian.Uint64(data[17:])
		return nil, tombstone{at: driver.Milli(at), until: driver.Milli(until)}, nil
	}
	rec, err := driver.ParseRecord(data)
	if err != nil || rec.ID() != id {
		return nil, tombstone{}, driver.ErrDamaged
	}
	return rec, tombstone{}, nil
}

// Tombstone returns what a Driver stores in the place of a session that e ends.
func Tombstone(e *driver.Ending) []byte { return tombstoneOf(e).pack() }

func tombstoneOf(e *driver.Ending) tombstone {
	return tombstone{at: driver.MilliOf(e.Now), until: driver.MilliOf(e.Now.Add(e.For))}
}

// LiveRecord returns the record that a Driver has stored as data, nil if there is none. Its errors
// are a *driver.EndedError while a tombstone stands, and driver.ErrDamaged.
func LiveRecord(id driver.ID, data []byte, now time.Time) (*driver.Record, error) {
	rec, t, err := parse(id, data)
	if t.standsAt(now) {
		return nil, &driver.EndedError{Ago: max(0, now.Sub(t.at.Time()))}
	}
	return rec, err
}

// newEntry returns an Entry that lives until expires, or for a millisecond if that has passed.
func newEntry(data []byte, expires, now time.Time) driver.Entry {
	if soon := now.Add(time.Millisecond); expires.Before(soon) {
		expires = soon
	}
	return driver.Entry{Data: data, Expires: expires, TTL: expires.Sub(now)}
}
