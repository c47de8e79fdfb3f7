package store_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"example.com/session/driver"
	"example.com/session/internal/casstore"
	"example.com/session/internal/store"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// start is the now of most tests.
var start = time.UnixMilli(1_700_000_000_000)

var (
	secretA = driver.Digest{1}
	secretB = driver.Digest{2}
	secretC = driver.Digest{3}
)

const user = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ"

var errDisk = errors.New("the disk is full")

// A mapStore forgets nothing by itself. step, if set, decides about each call: it runs it or not,
// and returns its error.
type mapStore struct {
	mu      sync.Mutex
	entries map[string]driver.Entry
	calls   []string
	step    func(ctx context.Context, run func()) error
}

func (s *mapStore) call(ctx context.Context, name string, run func()) error {
	locked := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.calls = append(s.calls, name)
		run()
	}
	if s.step != nil {
		return s.step(ctx, locked)
	}
	locked()
	return nil
}

func (s *mapStore) Get(ctx context.Context, key string) (data []byte, err error) {
	err = s.call(ctx, "Get", func() { data = bytes.Clone(s.entries[key].Data) })
	return data, err
}

func (s *mapStore) Update(ctx context.Context, key string, change func(old []byte) (driver.Entry, error)) error {
	var changeErr error
	err := s.call(ctx, "Update", func() {
		var entry driver.Entry
		entry, changeErr = change(bytes.Clone(s.entries[key].Data))
		if changeErr == nil && entry.Data != nil {
			s.put(key, entry)
		}
	})
	if err == nil {
		err = changeErr
	}
	return err
}

// put stores an entry. The caller holds mu, or is alone.
func (s *mapStore) put(key string, entry driver.Entry) {
	if s.entries == nil {
		s.entries = make(map[string]driver.Entry)
	}
	s.entries[key] = entry
}

// takeCalls returns the calls since it was last called.
func (s *mapStore) takeCalls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = nil
	return calls
}

// A swapStore compares the first 9 bytes, as redis does.
type swapStore struct{ mapStore }

func (s *swapStore) Swap(ctx context.Context, key string, old []byte, entry driver.Entry) (current []byte, swapped bool, err error) {
	err = s.call(ctx, "Swap", func() {
		current = bytes.Clone(s.entries[key].Data)
		if swapped = bytes.Equal(name(current), name(old)); swapped {
			s.put(key, entry)
		}
	})
	return current, swapped && err == nil, err
}

// name returns the bytes that name a state of a key.
func name(data []byte) []byte { return data[:min(9, len(data))] }

// A kind is a kind of Store that every test of behaviour runs on.
type kind struct {
	store driver.Store
	raw   func(key string) []byte
	put   func(key string, data []byte)
}

func kinds() map[string]func() *kind {
	return map[string]func() *kind{
		"Store": func() *kind {
			s := new(mapStore)
			return &kind{s, func(key string) []byte { return s.entries[key].Data },
				func(key string, data []byte) { s.put(key, driver.Entry{Data: data}) }}
		},
		"Swapper": func() *kind {
			s := new(swapStore)
			return &kind{s, func(key string) []byte { return s.entries[key].Data },
				func(key string, data []byte) { s.put(key, driver.Entry{Data: data}) }}
		},
		"casstore.Store":   func() *kind { s := new(casstore.Store); return casKind(s, s) },
		"casstore.Swapper": func() *kind { s := new(casstore.Swapper); return casKind(s, &s.Store) },
	}
}

func casKind(s driver.Store, inner *casstore.Store) *kind {
	return &kind{s, func(key string) []byte { return inner.Entries()[key].Data }, func(key string, data []byte) {
		_ = inner.Update(context.Background(), key, func([]byte) (driver.Entry, error) {
			return driver.Entry{Data: data, TTL: time.Hour}, nil
		})
	}}
}

// onEach runs a test on each kind of Store.
func onEach(t *testing.T, test func(t *testing.T, k *kind, d *store.Driver)) {
	for name, open := range kinds() {
		t.Run(name, func(t *testing.T) {
			k := open()
			test(t, k, store.New(k.store))
		})
	}
}

// change returns Changes of a session at start.
func change(id driver.ID, ops ...driver.Op) *driver.Changes {
	return &driver.Changes{ID: id, Number: rand.Uint64(), Now: start, Use: true, Expect: secretA,
		Limits: driver.Limits{Lifetime: 24 * time.Hour, Idle: time.Hour}, Ops: ops}
}

func set(key, encoded string) driver.Op {
	return driver.Op{Kind: driver.Set, Part: driver.Data, Key: key, Encoded: encoded}
}

func add(key string, by int64) driver.Op {
	return driver.Op{Kind: driver.Add, Part: driver.Data, Key: key, By: by}
}

func signIn(user string) driver.Op {
	return driver.Op{Kind: driver.Set, Part: driver.Account, Key: driver.UserKey, Encoded: user}
}

// begin stores a new session that accepts secretA.
func begin(t testing.TB, d driver.Driver, ops ...driver.Op) *driver.Record {
	t.Helper()
	ch := change(driver.NewID(), ops...)
	ch.New, ch.Expect, ch.Install = true, driver.Digest{}, secretA
	rec, err := d.Save(t.Context(), nil, ch)
	require.NoError(t, err)
	return rec
}

// byClient returns the ending that a client with a secret asks for.
func byClient(id driver.ID, secret driver.Digest) *driver.Ending {
	return &driver.Ending{ID: id, Now: start, For: driver.Tombstone, Secret: secret}
}

// byUser returns the ending that the index of a user asks for.
func byUser(id driver.ID, user string) *driver.Ending {
	return &driver.Ending{ID: id, Now: start, For: driver.IndexTombstone, User: user}
}

func load(t testing.TB, d driver.Driver, id driver.ID) *driver.Record {
	t.Helper()
	rec, err := d.Load(t.Context(), id, start)
	require.NoError(t, err)
	return rec
}

func assertValue(t testing.TB, rec *driver.Record, key, want string) {
	t.Helper()
	got, ok := rec.Value(driver.Data, key)
	assert.True(t, ok, key)
	assert.Equal(t, want, got, key)
}
