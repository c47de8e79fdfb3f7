// Package casstore is a driver.Store for tests: a map that is changed by compare and swap, as a
// table with a version column is.
package casstore

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"example.com/session/driver"
)

// A Store does everything that the contract of driver.Store allows and a driver may not expect: it
// calls change more than once, takes back the bytes that it lent to change, and returns an error
// for data that it stored if its context ends just then. The zero value is empty and ready.
type Store struct {
	mu      sync.Mutex
	entries map[string]kept
}

type kept struct {
	driver.Entry
	end time.Time // by this process's clock
}

// Get returns a copy of the bytes under key.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.bytes(key)), nil
}

// Update changes what is under key, and begins again if another Update came in between.
func (s *Store) Update(ctx context.Context, key string, change func(old []byte) (driver.Entry, error)) error {
	for {
		old, err := s.Get(ctx, key)
		if err != nil {
			return err
		}
		lent := slices.Clone(old)
		entry, err := change(lent)
		for i := range lent {
			lent[i] = 0xee // change may not keep them
		}
		if err != nil || entry.Data == nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if rand.IntN(4) > 0 && s.swap(key, old, entry, math.MaxInt) {
			return ctx.Err() // the data is stored, and the acknowledgement may be lost
		}
	}
}

// Entries returns what is stored.
func (s *Store) Entries() map[string]driver.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]driver.Entry, len(s.entries))
	for key, e := range s.entries {
		e.Data = slices.Clone(e.Data)
		all[key] = e.Entry
	}
	return all
}

// swap stores an entry if the first n of the bytes under key are those of old.
func (s *Store) swap(key string, old []byte, entry driver.Entry, n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !samePrefix(s.bytes(key), old, n) {
		return false
	}
	if s.entries == nil {
		s.entries = make(map[string]kept)
	}
	entry.Data = slices.Clone(entry.Data)
	s.entries[key] = kept{entry, time.Now().Add(entry.TTL)}
	return true
}

// bytes returns nil if there are none or if they have expired. The caller holds mu.
func (s *Store) bytes(key string) []byte {
	if e := s.entries[key]; time.Now().Before(e.end) {
		return e.Data
	}
	return nil
}

// A Swapper is a Store that compares the first 9 bytes only, and the whole of shorter ones.
type Swapper struct{ Store }

const prefix = 9

// Swap stores entry if the bytes under key begin as old does, and returns them if they do not.
func (s *Swapper) Swap(ctx context.Context, key string, old []byte, entry driver.Entry) ([]byte, bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	for !s.swap(key, old, entry, prefix) {
		if current, err := s.Get(ctx, key); err != nil || !samePrefix(current, old, prefix) {
			return current, false, err
		}
	}
	return nil, true, ctx.Err()
}

// samePrefix reports whether a and b agree in their first n bytes. None differ from some.
func samePrefix(a, b []byte, n int) bool {
	return (len(a) == 0) == (len(b) == 0) && bytes.Equal(a[:min(n, len(a))], b[:min(n, len(b))])
}
