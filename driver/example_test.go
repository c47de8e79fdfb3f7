package driver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"example.com/session/driver"
)

// A mapStore keeps each key in a map. A real one also removes what has expired.
type mapStore struct {
	mu      sync.Mutex
	entries map[string]driver.Entry
}

func (m *mapStore) Get(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.get(key), nil
}

func (m *mapStore) get(key string) []byte {
	if entry := m.entries[key]; time.Now().Before(entry.Expires) {
		return entry.Data
	}
	return nil
}

func (m *mapStore) Update(_ context.Context, key string, change func([]byte) (driver.Entry, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	entry, err := change(m.get(key))
	if err == nil && entry.Data != nil {
		m.entries[key] = entry
	}
	return err
}

const exampleKey = "AAAAAAAAAAAAAAAAAAAAAA"

func oneHour(text string) driver.Entry {
	return driver.Entry{Data: []byte(text), Expires: time.Now().Add(time.Hour), TTL: time.Hour}
}

// session.StoreDriver makes a Driver of a Store.
func ExampleStore() {
	ctx, store := context.Background(), &mapStore{entries: map[string]driver.Entry{}}
	for _, word := range []string{"one", "two"} {
		err := store.Update(ctx, exampleKey, func(old []byte) (driver.Entry, error) {
			return oneHour(string(old) + word), nil
		})
		fmt.Println(err)
	}
	data, err := store.Get(ctx, exampleKey)
	fmt.Println(string(data), err)
	// Output:
	// <nil>
	// <nil>
	// onetwo <nil>
}

// Swap makes a mapStore a Swapper. A server compares and swaps in one round trip.
func (m *mapStore) Swap(
	_ context.Context, key string, old []byte, entry driver.Entry,
) (current []byte, swapped bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if current = m.get(key); !bytes.Equal(current, old) || (current == nil) != (old == nil) {
		return current, false, nil
	}
	m.entries[key] = entry
	return nil, true, nil
}

func ExampleSwapper() {
	ctx, store := context.Background(), driver.Swapper(&mapStore{entries: map[string]driver.Entry{}})
	_, swapped, err := store.Swap(ctx, exampleKey, nil, oneHour("one"))
	fmt.Println(swapped, err)
	current, swapped, err := store.Swap(ctx, exampleKey, []byte("two"), oneHour("three"))
	fmt.Println(string(current), swapped, err)
	// Output:
	// true <nil>
	// one false <nil>
}

var exampleTime = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

// firstRequest returns the changes of the request that begins a session. The driver sees the digest of its secret.
func firstRequest(ops ...driver.Op) *driver.Changes {
	return &driver.Changes{
		ID: driver.NewID(), Number: 1, Now: exampleTime, New: true, Use: true,
		Install: driver.Digest{1},
		Limits:  driver.Limits{Lifetime: 24 * time.Hour, Idle: time.Hour},
		Ops:     ops,
	}
}

// laterRequest returns changes of a later request.
func laterRequest(rec *driver.Record, number uint64, ops ...driver.Op) *driver.Changes {
	return &driver.Changes{
		ID: rec.ID(), Number: number, Now: exampleTime.Add(time.Minute), Use: true,
		Expect: driver.Digest{1}, Limits: rec.Limits(), Ops: ops,
	}
}

func setData(key, encoded string) driver.Op {
	return driver.Op{Kind: driver.Set, Part: driver.Data, Key: key, Encoded: encoded}
}

// Two requests that know the same record write different keys. Both writes are kept.
func ExampleChanges_Apply() {
	rec, err := firstRequest(setData("name", `"Ann"`)).Apply(nil)
	if err != nil {
		panic(err)
	}
	first, second := laterRequest(rec, 2, setData("city", `"Ulm"`)), laterRequest(rec, 3, setData("size", "38"))
	for _, changes := range []*driver.Changes{first, second} {
		if rec, err = changes.Apply(rec); err != nil {
			panic(err)
		}
	}
	for key, encoded := range rec.Values(driver.Data) {
		fmt.Println(key, encoded)
	}
	// Output:
	// city "Ulm"
	// name "Ann"
	// size 38
}

// A Swap is refused if another request has changed the value. The caller reads it and tries again.
func ExampleConflictError() {
	rec, err := firstRequest(setData("items", `["mug"]`)).Apply(nil)
	if err != nil {
		panic(err)
	}
	swap := driver.Op{Kind: driver.Swap, Part: driver.Data, Key: "items", Old: `[]`, Encoded: `["pot"]`}
	_, err = laterRequest(rec, 2, swap).Apply(rec)
	var conflict *driver.ConflictError
	if errors.As(err, &conflict) {
		current, _ := conflict.Current.Value(driver.Data, conflict.Key)
		fmt.Println(conflict.Key, current)
	}
	// Output: items ["mug"]
}

// The stored form of a record.
func ExampleParseRecord() {
	rec, err := firstRequest(setData("name", `"Ann"`)).Apply(nil)
	if err != nil {
		panic(err)
	}
	data, _ := rec.AppendBinary(nil)
	again, err := driver.ParseRecord(data)
	fmt.Println(again.ID() == rec.ID(), again.ExpiresAt().Sub(exampleTime), err)
	_, err = driver.ParseRecord(data[1:])
	fmt.Println(errors.Is(err, driver.ErrDamaged))
	// Output:
	// true 1h0m0s <nil>
	// true
}

// A client ends a session with its secret only.
func ExampleEnding_Allows() {
	rec, err := firstRequest(setData("name", `"Ann"`)).Apply(nil)
	if err != nil {
		panic(err)
	}
	for _, secret := range []driver.Digest{{1}, {2}} {
		ending := driver.Ending{ID: rec.ID(), Now: exampleTime, For: driver.Tombstone, Secret: secret}
		fmt.Println(ending.Allows(rec))
	}
	// Output:
	// true
	// false
}

func ExampleNewID() {
	id := driver.NewID()
	parsed, ok := driver.ParseID(id.String())
	fmt.Println(len(id.String()), parsed == id, ok)
	// Output: 22 true true
}

func ExampleParseID() {
	_, ok := driver.ParseID("AAAAAAAAAAAAAAAAAAAAAB") // not the shortest form of any ID
	fmt.Println(ok)
	// Output: false
}
