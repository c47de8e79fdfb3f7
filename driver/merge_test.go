package driver_test

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
)

// A model is a record as maps, with merges written in the plainest way.
type model struct {
	data, account map[string]string
	flash         map[string][]driver.FlashValue
}

func newModel() model {
	return model{data: map[string]string{}, account: map[string]string{}, flash: map[string][]driver.FlashValue{}}
}

func modelOf(rec *driver.Record) model {
	m := model{data: values(rec, driver.Data), account: values(rec, driver.Account), flash: map[string][]driver.FlashValue{}}
	for v := range rec.Flash() {
		m.flash[v.Key] = append(m.flash[v.Key], v)
	}
	return m
}

func (m model) clone() model {
	c := model{data: maps.Clone(m.data), account: maps.Clone(m.account), flash: map[string][]driver.FlashValue{}}
	for key, list := range m.flash {
		c.flash[key] = slices.Clone(list)
	}
	return c
}

// apply changes the model, and reports whether the operation is refused.
func (m model) apply(op driver.Op, number uint64) (refused bool) {
	switch op.Part {
	case driver.Flash:
		m.applyFlash(op, number)
		return false
	case driver.Account:
		return applyMap(m.account, op)
	}
	return applyMap(m.data, op)
}

func applyMap(values map[string]string, op driver.Op) (refused bool) {
	was, there := values[op.Key]
	switch op.Kind {
	case driver.Clear:
		clear(values)
	case driver.Set:
		values[op.Key] = op.Encoded
	case driver.Delete:
		delete(values, op.Key)
	case driver.Swap:
		if there != (op.Old != "") || there && was != op.Old {
			return true
		}
		values[op.Key] = op.Encoded
	case driver.Add:
		if !there {
			was = "0"
		}
		n, err := strconv.ParseInt(was, 10, 64)
		if err != nil || strconv.FormatInt(n, 10) != was || op.By > 0 && n > math.MaxInt64-op.By || op.By < 0 && n < math.MinInt64-op.By {
			return true
		}
		values[op.Key] = strconv.FormatInt(n+op.By, 10)
	}
	return false
}

func (m model) applyFlash(op driver.Op, number uint64) {
	fresh := driver.FlashValue{Key: op.Key, Encoded: op.Encoded, Stamp: number, Until: op.Until}
	list := m.flash[op.Key]
	switch op.Kind {
	case driver.Clear:
		clear(m.flash)
		return
	case driver.Set:
		list = []driver.FlashValue{fresh}
	case driver.Delete:
		list = nil
	case driver.Append:
		list = append(list, fresh)
		for i := range list {
			list[i].Listed = true
		}
	case driver.Expire:
		list = slices.DeleteFunc(list, func(v driver.FlashValue) bool { return v.Stamp == op.Stamp })
	case driver.Keep:
		for i := range list {
			if list[i].Stamp == op.Stamp {
				list[i].Stamp, list[i].Until = number, op.Until
			}
		}
	}
	if m.flash[op.Key] = list; len(list) == 0 {
		delete(m.flash, op.Key)
	}
}

// kinds are the operations that each part knows.
var kinds = map[driver.Part][]driver.OpKind{
	driver.Data:    {driver.Clear, driver.Set, driver.Delete, driver.Add, driver.Swap},
	driver.Flash:   {driver.Clear, driver.Set, driver.Delete, driver.Append, driver.Expire, driver.Keep},
	driver.Account: {driver.Clear, driver.Set, driver.Delete},
}

// variants are operations of one kind that differ in what matters to it.
func variants(kind driver.OpKind, p driver.Part, key string) []driver.Op {
	op := driver.Op{Kind: kind, Part: p, Key: key, Encoded: "5"}
	with := func(change func(*driver.Op)) driver.Op { o := op; change(&o); return o }
	switch kind {
	case driver.Clear:
		return []driver.Op{{Kind: kind, Part: p}}
	case driver.Add:
		return []driver.Op{with(func(o *driver.Op) { o.By = 1 }), with(func(o *driver.Op) { o.By = math.MaxInt64 })}
	case driver.Swap:
		return []driver.Op{op, with(func(o *driver.Op) { o.Old = "1" }), with(func(o *driver.Op) { o.Old = "5" })}
	case driver.Expire:
		return []driver.Op{with(func(o *driver.Op) { o.Stamp = 1 }), with(func(o *driver.Op) { o.Stamp = 2 })}
	case driver.Keep:
		return []driver.Op{with(func(o *driver.Op) { o.Stamp = 1 }), with(func(o *driver.Op) { o.Stamp, o.Until = 2, start })}
	case driver.Set, driver.Append:
		return []driver.Op{op, with(func(o *driver.Op) { o.Encoded, o.Until = "'text", start })}
	}
	return []driver.Op{op}
}

// states are records to apply operations to: nothing, values under both keys, and lists.
func states(t *testing.T) []*driver.Record {
	full := begin(set("a", "1"), set("c", "'text"), flash("a", "1"), flash("c", "2"), account("a", "1"))
	list := begin(set("c", strconv.Itoa(math.MaxInt64)))
	for _, key := range []string{"a", "c", "a"} {
		list.Ops = append(list.Ops, driver.Op{Kind: driver.Append, Part: driver.Flash, Key: key, Encoded: "'one"})
	}
	lists := apply(t, list, nil)
	longer := save(2, driver.Op{Kind: driver.Append, Part: driver.Flash, Key: "a", Encoded: "'two", Until: start})
	return []*driver.Record{apply(t, begin(), nil), apply(t, full, nil), lists, apply(t, longer, lists)}
}

// TestEveryPairOfOperationsMergesAsTheModelDoes applies each operation, and each pair of them on one
// or on two keys, to each state. Clear comes first, as Changes.Ops demands.
func TestEveryPairOfOperationsMergesAsTheModelDoes(t *testing.T) {
	pairs := 0
	for p, known := range kinds {
		var all []driver.Op
		for _, kind := range known {
			for _, key := range []string{"a", "b", "c"} {
				all = append(all, variants(kind, p, key)...)
			}
		}
		for _, rec := range states(t) {
			for _, first := range all {
				requireModel(t, rec, []driver.Op{first})
				for _, second := range all {
					if second.Kind != driver.Clear {
						requireModel(t, rec, []driver.Op{first, second})
						pairs++
					}
				}
			}
		}
	}
	assert.Greater(t, pairs, 5000)
}

// TestOperationsOnOnePartLeaveTheOthersAlone pairs operations on different parts.
func TestOperationsOnOnePartLeaveTheOthersAlone(t *testing.T) {
	for p, known := range kinds {
		for q, others := range kinds {
			for _, kind := range known {
				for _, other := range others {
					if p == q || other == driver.Clear && kind != driver.Clear {
						continue
					}
					for _, rec := range states(t) {
						requireModel(t, rec, []driver.Op{variants(kind, p, "a")[0], variants(other, q, "a")[0]})
					}
				}
			}
		}
	}
}

func TestRandomOperationsMergeAsTheModelDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		rec := apply(t, begin(), nil)
		for number := uint64(2); number < 12; number++ {
			var ops []driver.Op
			for range r.IntN(20) {
				p := driver.Part(r.IntN(3))
				known := kinds[p]
				from := variants(known[r.IntN(len(known))], p, strconv.Itoa(r.IntN(12)))
				op := from[r.IntN(len(from))]
				op.Stamp = max(1, number-uint64(r.IntN(3)))
				ops = append(ops, op)
			}
			slices.SortStableFunc(ops, func(a, b driver.Op) int { // Clear comes first
				return int(min(a.Kind, 2)) - int(min(b.Kind, 2))
			})
			if next := requireModelAt(t, rec, ops, number); next != nil {
				rec = next
			}
		}
	}
}

func requireModel(t *testing.T, rec *driver.Record, ops []driver.Op) {
	t.Helper()
	requireModelAt(t, rec, ops, 3)
	m := newModel() // a new session too
	requireMerge(t, nil, begin(ops...), m)
}

func requireModelAt(t *testing.T, rec *driver.Record, ops []driver.Op, number uint64) *driver.Record {
	t.Helper()
	return requireMerge(t, rec, save(number, ops...), modelOf(rec))
}

// requireMerge requires that changes make what the model says, and returns it; nil if they are
// refused.
func requireMerge(t *testing.T, rec *driver.Record, ch *driver.Changes, was model) *driver.Record {
	t.Helper()
	want, refused := was.clone(), false
	for _, op := range ch.Ops {
		refused = want.apply(op, ch.Number) || refused
	}
	next, err := ch.Apply(rec)
	if refused {
		if err == nil {
			require.Fail(t, "Apply accepts what the model refuses", "%v", describe(ch.Ops))
		}
		var value *driver.ValueError
		var conflict *driver.ConflictError
		require.True(t, errors.As(err, &value) || errors.As(err, &conflict), "%v", err)
		return nil
	}
	require.NoError(t, err, "%v", describe(ch.Ops))
	if got := modelOf(next); !assert.ObjectsAreEqual(want, got) {
		require.Equal(t, want, got, "%v", describe(ch.Ops))
	}
	_, err = driver.ParseRecord([]byte(pack(next)))
	require.NoError(t, err, "Apply made a record that cannot be read: %v", describe(ch.Ops))
	return next
}

// describe returns operations in a form that prints.
func describe(ops []driver.Op) (all []string) {
	for _, op := range ops {
		all = append(all, fmt.Sprint(op.Kind, op.Part, " ", op.Key, " ", op.Encoded, " ", op.Old, op.By, op.Stamp))
	}
	return all
}

func TestIncrementIsExactOrRefused(t *testing.T) {
	for _, test := range []struct {
		was     string
		by      int64
		want    string // "" if it is refused
		isFloat bool
	}{
		{was: "41", by: 1, want: "42"},
		{was: "9223372036854775806", by: 1, want: "9223372036854775807"},
		{was: "9223372036854775807", by: 1},
		{was: "-9223372036854775807", by: -1, want: "-9223372036854775808"},
		{was: "-9223372036854775808", by: -1},
		{was: "9223372036854775807", by: math.MinInt64, want: "-1"},
		{was: "9007199254740993", by: 1, want: "9007199254740994"},
		{was: "9223372036854775808", by: -1},
		{was: "~5", by: 1, want: "6"},
		{was: "~-0", by: 1, want: "1"},
		{was: "~9.007199254740992e+15", by: 1, want: "9007199254740993"},
		{was: "~9.007199254740994e+15", by: 1},
		{was: "~5.5", by: 1},
		{was: "~5.0", by: 1},
		{was: "~NaN", by: 1},
		{was: "~+Inf", by: 1},
		{was: "'1", by: 1},
		{was: "t", by: 1},
		{was: "n", by: 1},
		{was: "", by: 1},
		{was: "-", by: 1},
		{was: "-0", by: 1},
		{was: "007", by: 1},
		{was: "+1", by: 1},
		{was: "1_0", by: 1},
		{was: " 1", by: 1},
		{was: "1\n", by: 1},
	} {
		rec := apply(t, begin(set("n", test.was)), nil)
		ch := save(2, set("other", "1"), add("n", test.by))
		if test.want != "" {
			got, _ := apply(t, ch, rec).Value(driver.Data, "n")
			assert.Equal(t, test.want, got, "%q + %d", test.was, test.by)
			continue
		}
		var refused *driver.ValueError
		assert.ErrorAs(t, refuse(t, ch, rec), &refused, "%q + %d", test.was, test.by)
		assert.Equal(t, "n", refused.Key)
		assert.NotContains(t, refused.Error(), test.was+"!", "the value is not part of the text")
	}
}

func TestSwapThatMissesNamesTheKeyAndTheRecord(t *testing.T) {
	rec := apply(t, begin(set("cart", "1"), set("other", "1")), nil)
	swap := driver.Op{Kind: driver.Swap, Key: "cart", Old: "2", Encoded: "3"}
	assertConflict(t, refuse(t, save(2, set("other", "2"), swap), rec), rec, "cart")
	swap.Old = ""
	assertConflict(t, refuse(t, save(2, swap), rec), rec, "cart")
	swap.Old = "1"
	got, _ := apply(t, save(2, swap), rec).Value(driver.Data, "cart")
	assert.Equal(t, "3", got)
}

// TestFlashListKeepsTheOrderOfItsElements appends to a value, expires a part of the list and keeps
// another.
func TestFlashListKeepsTheOrderOfItsElements(t *testing.T) {
	appended := func(number uint64, text string) *driver.Changes {
		return save(number, driver.Op{Kind: driver.Append, Part: driver.Flash, Key: "m", Encoded: text})
	}
	rec := apply(t, begin(flash("a", "'x"), flash("m", "'1"), flash("z", "'x")), nil)
	rec = apply(t, appended(2, "'2"), rec)
	rec = apply(t, appended(3, "'3"), rec)
	texts := func() (all []string) {
		for v := range rec.Flash() {
			if v.Key == "m" {
				assert.True(t, v.Listed)
				all = append(all, v.Encoded)
			}
		}
		return all
	}
	assert.Equal(t, []string{"'1", "'2", "'3"}, texts())
	rec = apply(t, save(4, driver.Op{Kind: driver.Keep, Part: driver.Flash, Key: "m", Stamp: 2, Until: start.Add(time.Hour)}), rec)
	rec = apply(t, save(5, driver.Op{Kind: driver.Expire, Part: driver.Flash, Key: "m", Stamp: 2}), rec)
	assert.Equal(t, []string{"'1", "'2", "'3"}, texts(),
		"what was kept has another stamp, and does not expire")
	rec = apply(t, save(6, driver.Op{Kind: driver.Expire, Part: driver.Flash, Key: "m", Stamp: 1}), rec)
	assert.Equal(t, []string{"'2", "'3"}, texts())
	rec = apply(t, save(7, flash("m", "'one")), rec)
	var keys []string
	for v := range rec.Flash() {
		keys = append(keys, v.Key)
		assert.False(t, v.Listed, "Set replaces a list by one value")
	}
	assert.Equal(t, []string{"a", "m", "z"}, keys)
}

func TestOperationsThatLeaveSomething(t *testing.T) {
	for kind, want := range map[driver.OpKind]bool{
		driver.Set: true, driver.Add: true, driver.Swap: true, driver.Append: true,
		driver.Clear: false, driver.Delete: false, driver.Expire: false, driver.Keep: false,
	} {
		op := driver.Op{Kind: kind}
		assert.Equal(t, want, op.Writes(), "kind %d", kind)
	}
}

func TestSwapInANewSessionConflictsWithNothing(t *testing.T) {
	swap := driver.Op{Kind: driver.Swap, Key: "cart", Old: "1", Encoded: "2"}
	assertConflict(t, refuse(t, begin(swap), nil), nil, "cart")
}
