package drivertest

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/session/driver"
)

// A referenceStore is a Store and a Swapper as simple as they can be: a map and a lock. If it has a
// fault, it does one thing wrong.
type referenceStore struct {
	fault   string
	pause   time.Duration // how long an Update holds the lock, as one that waits for a disk does
	mu      sync.Mutex
	entries map[string]driver.Entry
	before  map[string][]byte
	buffer  []byte
	last    string // key of the last Update
}

func newReferenceStore(fault string) *referenceStore {
	return &referenceStore{fault: fault, entries: map[string]driver.Entry{}, before: map[string][]byte{}}
}

func (s *referenceStore) kit(t *testing.T) *storeKit {
	k := &storeKit{Store: s, again: s, ctx: within(t, patience)}
	if s.has("is alone with what it stores") {
		k.again = newReferenceStore("")
	}
	return k
}

func (s *referenceStore) has(fault string) bool { return s.fault == fault }

func (s *referenceStore) key(key string) string {
	switch {
	case s.has("folds the case of keys"):
		return strings.ToLower(key)
	case s.has("cuts keys at 22 characters"):
		return key[:22]
	case s.has("cuts keys at a colon"):
		key, _, _ = strings.Cut(key, ":")
	case s.has("takes '-' and '_' for the same"):
		return strings.ReplaceAll(key, "-", "_")
	}
	return key
}

// at returns what is under a key. The lock is held.
func (s *referenceStore) at(key string) []byte {
	e := s.entries[s.key(key)]
	expires := e.Expires
	if s.has("forgets too early") {
		expires = expires.Add(-200 * time.Millisecond)
	}
	if !time.Now().Before(expires) {
		return nil
	}
	return e.Data
}

func (s *referenceStore) Get(ctx context.Context, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		if s.has("takes an ended context for a missing key") {
			return nil, nil
		}
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data := s.at(key)
	switch {
	case s.has("returns what has expired"):
		data = s.entries[key].Data
	case s.has("returns what a replica had before") && s.before[key] != nil:
		data = s.before[key]
	case data == nil && s.has("returns an error for a missing key"):
		return nil, errors.New("no such key")
	case data == nil && s.has("returns empty bytes for a missing key"):
		return []byte{}, nil
	case data != nil && s.has("uses a buffer again"):
		s.buffer = append(s.buffer[:0], data...)
		return s.buffer, nil
	}
	return bytes.Clone(data), nil
}

func (s *referenceStore) Update(ctx context.Context, key string, change func(old []byte) (driver.Entry, error)) error {
	if err := ctx.Err(); err != nil {
		if s.has("acknowledges what it did not store") {
			return nil
		}
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	time.Sleep(s.pause)
	old := s.at(key)
	if s.has("gives change what has expired") {
		old = s.entries[key].Data
	}
	if s.has("reads before it locks") {
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
	}
	if s.last = key; s.has("mixes up keys") {
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
		key = s.last
	}
	entry, err := change(bytes.Clone(old))
	switch {
	case err != nil && s.has("ignores the error of change"):
		return nil
	case err != nil && s.has("returns an error of its own"):
		return errors.New("update failed")
	case err != nil && s.has("stores beside the error of change") && entry.Data != nil:
		s.put(key, entry)
		return err
	case err != nil:
		return err
	case entry.Data == nil && s.has("removes what an entry without data leaves"):
		delete(s.entries, key)
		return nil
	case entry.Data == nil && s.has("fails without data"):
		return errors.New("no data")
	case entry.Data == nil:
		return nil
	}
	s.put(key, entry)
	return ctx.Err()
}

// put stores an entry. The lock is held.
func (s *referenceStore) put(key string, entry driver.Entry) {
	was, there := s.entries[s.key(key)]
	data := bytes.Clone(entry.Data)
	switch {
	case s.has("cuts bytes at a zero byte"):
		if i := bytes.IndexByte(data[9:], 0); i >= 0 {
			data = data[:9+i]
		}
	case s.has("makes bytes UTF-8"):
		data = bytes.ToValidUTF8(data, []byte("\uFFFD"))
	case s.has("trims white space"):
		data = bytes.TrimSpace(data)
	case s.has("cuts large data"):
		data = data[:min(len(data), 1<<16)]
	case s.has("inserts only") && there:
		return
	case s.has("keeps the time of the first Update") && there:
		entry.Expires = was.Expires
	}
	s.before[key] = was.Data
	s.entries[s.key(key)] = driver.Entry{Data: data, Expires: entry.Expires}
}

func (s *referenceStore) Swap(ctx context.Context, key string, old []byte, entry driver.Entry) ([]byte, bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	time.Sleep(s.pause)
	current := s.at(key)
	same := bytes.Equal(current, old) || s.has("swaps without comparing") || current == nil && s.has("swaps in what is missing")
	if s.has("compares and swaps in two steps") {
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
	}
	switch {
	case same:
		s.put(key, entry)
		return nil, true, ctx.Err()
	case s.has("reports every swap as done"):
		return nil, true, nil
	case s.has("does not return what is there"):
		return nil, false, nil
	}
	return bytes.Clone(current), false, nil
}

func (s *referenceStore) Ping(context.Context) error {
	if s.has("does not answer a ping") {
		return errors.New("no answer")
	}
	return nil
}

// A plainStore is a referenceStore that cannot swap.
type plainStore struct{ driver.Store }
