package drivertest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/internal/store"
)

// Stores checks every rule of [driver.Store], and those of [driver.Swapper] and [driver.Pinger] if
// the store implements them. Each failure names the rule of docs/drivers.md that is broken, and
// what the suite saw. Stores then checks the driver that session.StoreDriver makes of the store, as
// [Drivers] does.
//
// Stores calls open once for each test; the stores that open returns may share their data. again,
// if given, opens another store on the data of first, as another process would.
func Stores(
	t *testing.T, open func(t *testing.T) driver.Store,
	again ...func(t *testing.T, first driver.Store) driver.Store,
) {
	for _, test := range storeSuite {
		t.Run(test.name, func(t *testing.T) {
			s := &storeKit{Store: open(t), ctx: within(t, patience)}
			if s.again = s.Store; len(again) > 0 {
				s.again = again[0](t, s.Store)
			}
			test.run(t, s)
		})
	}
	opened := make(map[driver.Driver]driver.Store)
	options := Options{Damage: func(t testing.TB, d driver.Driver, id driver.ID, data []byte) {
		s := &storeKit{Store: opened[d], ctx: within(t, patience)}
		s.put(t, id.String(), data, time.Hour)
	}}
	if len(again) > 0 {
		options.Again = func(t *testing.T, first driver.Driver) driver.Driver {
			return store.New(again[0](t, opened[first]))
		}
	}
	t.Run("Driver", func(t *testing.T) {
		Drivers(t, func(t *testing.T) driver.Driver {
			s := open(t)
			d := store.New(s)
			opened[d] = s
			return d
		}, options)
	})
}

// The rules, in the words of docs/drivers.md.
const (
	ruleNone    = "Get returns nil, nil if there are no bytes under the key or if they have expired"
	ruleBytes   = "Bytes of any value are kept unchanged"
	ruleKeys    = "Keys are compared byte for byte"
	ruleStored  = "A nil error means that the data is stored"
	ruleError   = "If `change` returns an error, Update returns that error and stores nothing"
	ruleNoData  = "If `change` returns an Entry without Data, Update stores nothing and returns nil"
	ruleOld     = "Update calls `change` with the bytes under the key, or with nil if there are none or they have expired"
	ruleAtomic  = "Between reading the bytes and storing the result of `change`, no other Update of the same key may run"
	ruleExpires = "The store keeps data until Expires, and never returns it later"
	ruleReplace = "Data that was replaced is never returned again"
	ruleKept    = "The caller may keep the bytes that Get returns"
	ruleContext = "When ctx ends, Get and Update return an error, unless they have finished"
	ruleSwap    = "Swap stores the entry if the bytes under the key are old, nil for none"
	ruleCurrent = "If the stored bytes differ from old, Swap stores nothing and returns the stored bytes"
	rulePing    = "Ping returns nil if the store is reachable"
)

var storeSuite = []suiteTest[*storeKit]{
	{"MissingKeyIsNoError", testMissingKey},
	{"BytesAreKeptUnchanged", testStoreBytes},
	{"KeysAreComparedByteForByte", testStoreKeys},
	{"UpdateReplaces", testStoreReplaces},
	{"ErrorOfChangeStoresNothing", testChangeError},
	{"EntryWithoutDataStoresNothing", testNoData},
	{"BytesOfGetStayAsTheyAre", testKeptBytes},
	{"ParallelUpdatesLoseNothing", testStoreParallel},
	{"ParallelUpdatesOfOtherKeysAreApart", testStoreParallelKeys},
	{"DataExpiresInTime", testExpires},
	{"EndedContextIsAnError", testStoreContext},
	{"SwapComparesAndStores", testSwap},
	{"ParallelSwapsOfOneStateHaveOneWinner", testParallelSwapOfStore},
	{"PingAnswers", testStorePing},
}

// A storeKit is a store under test.
type storeKit struct {
	driver.Store
	again driver.Store // what Store stores, opened once more if that is possible
	ctx   context.Context
}

// broken reports that a rule is broken, and what was seen.
func broken(t testing.TB, rule, seen string, args ...any) {
	t.Helper()
	t.Errorf("the rule of docs/drivers.md is broken: %s.\nSeen: %s", rule, fmt.Sprintf(seen, args...))
}

// state returns data that no other state of a key shares the first 9 bytes with.
func state(payload string) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{2}, newNumber()), payload...)
}

func newKey() string { return driver.NewID().String() }

// newEntry returns an entry that lives for ttl.
func newEntry(data []byte, ttl time.Duration) driver.Entry {
	return driver.Entry{Data: data, Expires: time.Now().Add(ttl), TTL: ttl}
}

// put stores data by Update.
func (s *storeKit) put(t testing.TB, key string, data []byte, ttl time.Duration) {
	t.Helper()
	err := s.Update(s.ctx, key, func([]byte) (driver.Entry, error) { return newEntry(data, ttl), nil })
	require.NoError(t, err, "Update")
}

// holds checks what is stored under a key, nil for nothing, as Get and Update show it.
func (s *storeKit) holds(t testing.TB, key string, want []byte, rule, when string) {
	t.Helper()
	for _, store := range []driver.Store{s.Store, s.again} {
		got, err := store.Get(s.ctx, key)
		require.NoError(t, err, "Get")
		if !bytes.Equal(got, want) || want == nil && got != nil {
			broken(t, rule, "%s, Get returned %s, not %s", when, short(got), short(want))
		}
		var old []byte
		err = store.Update(s.ctx, key, func(data []byte) (driver.Entry, error) {
			old = bytes.Clone(data)
			return driver.Entry{}, nil
		})
		if err != nil {
			broken(t, ruleNoData, "Update returned the error %q", err)
		}
		if !bytes.Equal(old, want) || want == nil && old != nil {
			broken(t, rule, "%s, Update gave change %s, not %s", when, short(old), short(want))
		}
	}
}

// short describes data without printing much of it.
func short(data []byte) string {
	switch {
	case data == nil:
		return "nil"
	case len(data) > 60:
		return fmt.Sprintf("%d bytes that begin with %q", len(data), data[:60])
	}
	return fmt.Sprintf("%q", data)
}

// updateCost measures one Update.
func (s *storeKit) updateCost(t testing.TB) time.Duration {
	t.Helper()
	key := newKey()
	return median(func() { s.put(t, key, state("x"), time.Hour) })
}

// increment adds one to the number behind the first 9 bytes.
func increment(ctx context.Context, store driver.Store, key string) error {
	return store.Update(ctx, key, func(old []byte) (driver.Entry, error) {
		n := uint64(0)
		if len(old) == 17 {
			n = binary.BigEndian.Uint64(old[9:])
		}
		return newEntry(binary.BigEndian.AppendUint64(state(""), n+1), time.Hour), nil
	})
}

func testStoreParallel(t testing.TB, s *storeKit) {
	each := rounds(writers, s.updateCost(t), 8)
	key, errs := newKey(), make([]error, writers)
	parallel(writers, func(i int) {
		store := []driver.Store{s.Store, s.again}[i%2]
		for range each {
			if err := increment(s.ctx, store, key); err != nil {
				errs[i] = err
			}
		}
	})
	allNil(t, errs, "an Update beside others failed")
	data, err := s.Get(s.ctx, key)
	require.NoError(t, err)
	require.Len(t, data, 17, "data of another length than was stored")
	if n := binary.BigEndian.Uint64(data[9:]); n != uint64(writers*each) {
		broken(t, ruleAtomic, "%d goroutines added 1 to a number %d times each, and it is %d, not %d", writers, each, n, writers*each)
	}
}

func testStoreParallelKeys(t testing.TB, s *storeKit) {
	each := rounds(writers, s.updateCost(t), 2)
	keys, data, errs := make([]string, writers), make([][]byte, writers), make([]error, writers)
	for i := range keys {
		keys[i], data[i] = newKey(), state(strings.Repeat("x", i))
	}
	parallel(writers, func(i int) {
		for range each {
			err := s.Update(s.ctx, keys[i], func([]byte) (driver.Entry, error) { return newEntry(data[i], time.Hour), nil })
			if err != nil {
				errs[i] = err
			}
		}
	})
	allNil(t, errs, "an Update beside others failed")
	for i, key := range keys {
		s.holds(t, key, data[i], ruleStored, "after parallel Updates of other keys")
	}
}

const (
	shortLife = time.Second

	// A store may count whole seconds, and be a moment late.
	lateness = 2 * time.Second
)

// testExpires waits, by the clock of the caller, for what expires.
func testExpires(t testing.TB, s *storeKit) {
	brief, longer, shorter, data := newKey(), newKey(), newKey(), state("x")
	for _, key := range []string{longer, brief} {
		s.put(t, key, state("y"), shortLife)
	}
	s.put(t, shorter, state("y"), time.Hour)
	s.put(t, longer, data, time.Hour)
	written := time.Now()
	s.put(t, brief, data, shortLife)
	s.put(t, shorter, data, shortLife)
	latest := time.Now().Add(shortLife + lateness)
	for _, key := range []string{brief, shorter} {
		s.expires(t, key, written.Add(shortLife), latest)
		s.holds(t, key, nil, ruleNone, "after data has expired")
	}
	if got, err := s.Get(s.ctx, longer); err != nil || !bytes.Equal(got, data) {
		broken(t, ruleExpires, "data that replaced other data was forgotten when the other data expired: Get returned %s, %v",
			short(got), err)
	}
}

// expires waits until data is gone.
func (s *storeKit) expires(t testing.TB, key string, earliest, latest time.Time) {
	t.Helper()
	for {
		asked := time.Now()
		got, err := s.Get(s.ctx, key)
		require.NoError(t, err, "Get")
		answered := time.Now()
		switch {
		case got == nil && answered.Before(earliest):
			broken(t, ruleExpires, "Get returned nil %v before Expires", earliest.Sub(answered))
			return
		case got == nil:
			return
		case asked.After(latest):
			broken(t, ruleExpires, "Get returned data %v after Expires", asked.Sub(latest.Add(-lateness)))
			return
		}
		time.Sleep(10 * time.Millisecond) // between two looks
	}
}

func testStoreContext(t testing.TB, s *storeKit) {
	key, data := newKey(), state("kept")
	s.put(t, key, data, time.Hour)
	eachFault(t, func(f *fuse) {
		if got, err := s.Get(f, key); err == nil && !bytes.Equal(got, data) {
			broken(t, ruleContext,
				"Get with a ctx that ended returned %s and no error, so that a fault looks like a missing session", short(got))
		}
	})
	eachFault(t, func(f *fuse) {
		next := state("next")
		err := s.Update(f, key, func([]byte) (driver.Entry, error) { return newEntry(next, time.Hour), nil })
		if err == nil {
			s.holds(t, key, next, ruleStored, "after an Update with a ctx that ended returned nil")
		}
		data = state("kept") // no state comes twice: an Update that failed may still reach the store
		s.put(t, key, data, time.Hour)
		s.holds(t, key, data, ruleStored, "after an Update that follows one that failed")
	})
}
