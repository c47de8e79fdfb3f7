// Package casstore is a session.Store for tests: a map that is changed by compare and swap, as a
// table with a version column is.
package casstore

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"sync"

	"example.com/session"
)

// A Store does everything that the contract of session.Store allows: it calls change more than
// once, takes the bytes back that it gave out, remembers what has expired, and fails after it
// has stored where its context ends just then. The zero value is empty and ready.
type Store struct {
	mu      sync.Mutex
	entries map[string]session.Entry
}

// Get returns a copy of the bytes under id.
func (s *Store) Get(ctx context.Context, id string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.read(id), nil
}

// Update changes what is under id, and begins anew where another Update came in between.
func (s *Store) Update(ctx context.Context, id string, change func(old []byte) (session.Entry, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for {
		old := s.read(id)
		lent := slices.Clone(old)
		entry, err := change(lent)
		for i := range lent {
			lent[i] = 0xee // they are not the driver's to keep
		}
		if err != nil || entry.Data == nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if rand.IntN(4) > 0 && s.swap(id, old, entry) {
			return ctx.Err() // the data is there, and the acknowledgement may be lost
		}
	}
}

// Entries returns what is stored.
func (s *Store) Entries() map[string]session.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]session.Entry, len(s.entries))
	for id, e := range s.entries {
		all[id] = session.Entry{Data: slices.Clone(e.Data), Expires: e.Expires}
	}
	return all
}

func (s *Store) read(id string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.entries[id].Data)
}

// swap stores an entry if the bytes under id are old still.
func (s *Store) swap(id string, old []byte, entry session.Entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !bytes.Equal(s.entries[id].Data, old) {
		return false
	}
	if s.entries == nil {
		s.entries = make(map[string]session.Entry)
	}
	s.entries[id] = session.Entry{Data: slices.Clone(entry.Data), Expires: entry.Expires}
	return true
}
