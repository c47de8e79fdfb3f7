package drivertest

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/session/driver"
)

func testSwap(t testing.TB, s *storeKit) {
	swapper, ok := s.Store.(driver.Swapper)
	if !ok {
		return
	}
	key, one, two, lost := newKey(), state("one"), state("two"), state("lost")
	try := func(old, data, current []byte, want bool, when string) {
		t.Helper()
		got, swapped, err := swapper.Swap(s.ctx, key, old, newEntry(data, time.Hour))
		require.NoError(t, err, "Swap")
		if swapped != want {
			broken(t, ruleSwap, "%s, Swap reported swapped %v", when, swapped)
		}
		if !want && (!bytes.Equal(got, current) || current == nil && got != nil) {
			broken(t, ruleCurrent, "%s, Swap returned %s, not %s", when, short(got), short(current))
		}
		if want {
			current = data
		}
		s.holds(t, key, current, ruleSwap, when)
	}
	try(one, lost, nil, false, "when old is given and nothing is stored")
	try(nil, one, nil, true, "when old is nil and nothing is stored")
	try(nil, lost, one, false, "when old is nil and data is stored")
	try(two, lost, one, false, "when old differs from what is stored")
	try(one, two, nil, true, "when old is what is stored")
	try(one, lost, two, false, "when old is what was stored before")
	large := state(strings.Repeat("\x00\xff", 1<<19))
	try(two, large, nil, true, "with a mebibyte")
	s.put(t, key, one, time.Hour)
	try(large, lost, one, false, "after an Update")

	key = newKey()
	written := time.Now()
	_, _, err := swapper.Swap(s.ctx, key, nil, newEntry(one, shortLife))
	require.NoError(t, err, "Swap")
	s.expires(t, key, written.Add(shortLife), time.Now().Add(shortLife+lateness))
	try(one, lost, nil, false, "when data has expired")
	try(nil, one, nil, true, "when old is nil and data has expired")
}

func testParallelSwapOfStore(t testing.TB, s *storeKit) {
	if _, ok := s.Store.(driver.Swapper); !ok {
		return
	}
	const each = 16
	for i := range rounds(each, s.updateCost(t), 10) {
		key, old := newKey(), []byte(nil)
		if i%2 == 1 {
			old = state("old")
			s.put(t, key, old, time.Hour)
		}
		won, errs := make([]bool, each), make([]error, each)
		data := make([][]byte, each)
		parallel(each, func(i int) {
			data[i] = state("new")
			swapper := []driver.Store{s.Store, s.again}[i%2].(driver.Swapper)
			_, won[i], errs[i] = swapper.Swap(s.ctx, key, old, newEntry(data[i], time.Hour))
		})
		allNil(t, errs, "a Swap beside others failed")
		winners := 0
		for i := range won {
			if won[i] {
				winners++
				s.holds(t, key, data[i], ruleSwap, "after a Swap beside others reported swapped")
			}
		}
		if winners != 1 {
			broken(t, ruleSwap, "%d parallel Swaps of one state reported swapped %d times", each, winners)
		}
	}
}
