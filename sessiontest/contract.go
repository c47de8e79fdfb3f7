package sessiontest

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func isGone(err error) bool { return errors.Is(err, session.ErrNoSession) }

func testStoredRecord(t *testing.T, k *kit) {
	b := k.builder(k.start, set("name", "'Ann"), add("visits", 1), flash("notice", "'Saved"),
		account("user", "ann"), account("authenticated", "1"))
	b.Limits = session.Limits{Lifetime: 48 * time.Hour, Idle: 30 * time.Minute, Remembered: true}
	b.Ops[2].Until = k.start.Add(2 * time.Second)
	ch := build(t, b)
	tok := k.store(t, nil, ch)
	if !k.sealed {
		assert.Equal(t, ch.NewToken(), tok, "a new session is stored under NewToken")
	}

	later := k.start.Add(time.Minute)
	got := k.load(t, tok, later)
	assertSame(t, ch.Apply(nil), got)
	assert.Equal(t, tok, got.Token(), "a record knows the token that opens it")
	assert.Equal(t, later, got.UsedAt(), "opening counts as use")
}

func testAnyBytes(t *testing.T, k *kit) {
	keys := []string{"\x00", "\xff\xfe", "a b", "v:a", "f:a", "@created", "@saves", "*", "é", "\r\n", "'", strings.Repeat("k", 255)}
	var ops []session.Op
	for i, key := range keys {
		value := strconv.Itoa(i) + " \x00\xff\r\n' " + key
		ops = append(ops, set(key, value), flash(key, value+"!"))
	}
	ops = append(ops, set("empty", ""), flash("empty", ""))
	ch := k.changes(t, k.start, ops...)
	tok := k.store(t, nil, ch)
	assertSame(t, ch.Apply(nil), k.load(t, tok, k.start))

	more := k.changes(t, k.start, add("\x00 counter", 1), remove("\xff\xfe"), set("@created", "'x"),
		account("a:\x00\xff", "\r\n\x00"), account("@id", ""))
	tok = k.store(t, k.load(t, tok, k.start), more)
	assertSame(t, more.Apply(ch.Apply(nil)), k.load(t, tok, k.start))
}

// testAccount tells the account part from data and flash: it goes with neither, and with no
// rotation.
func testAccount(t *testing.T, k *kit) {
	text := "\x00\xff\r\n' é"
	tok := k.create(t, account("user", "ann"), account("hints", text), set("user", "'data"), flash("user", "'flash"))
	k.expectAccount(t, tok, map[string]string{"user": "ann", "hints": text})

	tok = k.save(t, tok, k.start, remove("user"))
	k.expectAccount(t, tok, map[string]string{"user": "ann", "hints": text})
	tok = k.save(t, tok, k.start, session.Op{Kind: session.OpClear}, session.Op{Kind: session.OpClearFlash}, account("hints", ""))
	k.expectAccount(t, tok, map[string]string{"user": "ann", "hints": ""})
	tok = k.store(t, k.load(t, tok, k.start), k.rotation(t, k.start, set("a", "'1"), account("user", "ben")))
	k.expectAccount(t, tok, map[string]string{"user": "ben", "hints": ""})
	got := contentOf(k.load(t, tok, k.start))
	assert.Equal(t, map[string]string{"a": "'1"}, got.Values, "the account part shows among the data")
	assert.Empty(t, got.Flash)

	visitor := k.create(t, set("a", "'1"))
	visitor = k.save(t, visitor, k.start, account("user", "ann")) // as Describe does to a session that goes on
	k.expectAccount(t, visitor, map[string]string{"user": "ann"})
}

func (k *kit) expectAccount(t *testing.T, tok session.Token, want map[string]string) {
	t.Helper()
	assert.Equal(t, want, contentOf(k.load(t, tok, k.start)).Account)
}

func testLargeValues(t *testing.T, k *kit) {
	tok := k.create(t, set("small", "'1"))
	rec := k.load(t, tok, k.start)
	large := "'" + strings.Repeat("\x00\xff", 1<<19) // 1 MiB and one byte
	ch := k.changes(t, k.start, set("small", "'2"), set("large", large))
	after, err := k.driver.Save(t.Context(), rec, ch)

	var size *session.SizeError
	if k.sealed && errors.As(err, &size) {
		assert.Equal(t, contentOf(rec), contentOf(k.load(t, tok, k.start)), "a refused save stores nothing")
		return
	}
	require.NoError(t, err)
	got := k.load(t, after, k.start)
	value, _ := got.Value("large")
	assert.True(t, value == large, "the large value came back changed")
	assert.Len(t, contentOf(got).Values, 2)
}

func testIncrements(t *testing.T, k *kit) {
	for _, test := range []struct{ was, by, want int64 }{
		{was: 0, by: 0, want: 0},
		{was: 41, by: 1, want: 42},
		{was: math.MaxInt64 - 1, by: 1, want: math.MaxInt64},
		{was: math.MinInt64 + 1, by: -1, want: math.MinInt64},
		{was: math.MaxInt64, by: math.MinInt64, want: -1},
		{was: math.MinInt64, by: math.MaxInt64, want: -1},
		{was: 1<<53 + 1, by: 1, want: 1<<53 + 2},
		{was: -1, by: 1, want: 0},
		{was: 0, by: math.MinInt64, want: math.MinInt64},
	} {
		tok := k.create(t, set("n", strconv.FormatInt(test.was, 10)))
		tok = k.save(t, tok, k.start, add("n", test.by), add("fresh", test.by))
		got := contentOf(k.load(t, tok, k.start)).Values
		want := map[string]string{"n": strconv.FormatInt(test.want, 10), "fresh": strconv.FormatInt(test.by, 10)}
		assert.Equal(t, want, got, "%d + %d", test.was, test.by)
	}
}

func testRefusals(t *testing.T, k *kit) {
	for _, test := range []struct {
		name, was string
		by        int64
	}{
		{name: "past the greatest", was: strconv.FormatInt(math.MaxInt64, 10), by: 1},
		{name: "past the least", was: strconv.FormatInt(math.MinInt64, 10), by: -1},
		{name: "past the greatest by much", was: "1", by: math.MaxInt64},
		{name: "greater than an int64", was: "9223372036854775808", by: -1},
		{name: "string", was: "'1", by: 1},
		{name: "float", was: "~1", by: 1},
		{name: "bool", was: "t", by: 1},
		{name: "nil", was: "n", by: 1},
		{name: "empty", was: "", by: 1},
		{name: "minus nothing", was: "-0", by: 1},
		{name: "leading zero", was: "007", by: 1},
		{name: "plus", was: "+1", by: 1},
		{name: "space", was: " 1", by: 1},
		{name: "line", was: "1\n", by: 1},
	} {
		for _, rotates := range []bool{false, true} {
			tok := k.create(t, set("n", test.was), set("other", "'kept"))
			rec := k.load(t, tok, k.start)
			b := k.builder(k.start, set("other", "'lost"), add("n", test.by), flash("f", "'lost"))
			b.Rotates = rotates
			ch := build(t, b)

			_, err := k.driver.Save(t.Context(), rec, ch)
			require.Error(t, err, "%s: the increment was taken", test.name)
			assert.Equal(t, ch.Check(rec).Error(), err.Error(), "%s: what Check says is returned as it is", test.name)
			assert.Equal(t, contentOf(rec), contentOf(k.load(t, tok, k.start)), "%s: a refused save stores nothing", test.name)
			k.assertGone(t, ch.NewToken(), k.start, test.name+": a refused rotation left its copy")
		}
	}
}

func testFlashStamps(t *testing.T, k *kit) {
	first := k.changes(t, k.start, flash("a", "'1"), flash("b", "'1"), set("a", "'data"))
	tok := k.store(t, nil, first)
	second := k.changes(t, k.start, flash("b", "'2"))
	tok = k.store(t, k.load(t, tok, k.start), second)

	// A request that loaded the first state ends what it saw: of b that is another value by now.
	tok = k.save(t, tok, k.start, stamped(session.OpExpireFlash, "a", first), stamped(session.OpExpireFlash, "b", first))
	got := contentOf(k.load(t, tok, k.start))
	assert.Equal(t, map[string]session.FlashValue{"b": {Value: "'2", Stamp: second.Number()}}, got.Flash)
	assert.Equal(t, map[string]string{"a": "'data"}, got.Values, "flash that ends leaves the data of its key")

	// To keep it gives it another stamp, so that who saw it before does not end it.
	keep := stamped(session.OpKeepFlash, "b", second)
	keep.Until = k.start.Add(time.Minute)
	kept := k.changes(t, k.start, keep, stamped(session.OpKeepFlash, "missing", second))
	tok = k.store(t, k.load(t, tok, k.start), kept)
	tok = k.save(t, tok, k.start, stamped(session.OpExpireFlash, "b", second))
	want := session.FlashValue{Value: "'2", Stamp: kept.Number(), Until: keep.Until}
	assert.Equal(t, map[string]session.FlashValue{"b": want}, contentOf(k.load(t, tok, k.start)).Flash)

	tok = k.save(t, tok, k.start, session.Op{Kind: session.OpClearFlash})
	got = contentOf(k.load(t, tok, k.start))
	assert.Empty(t, got.Flash)
	assert.Equal(t, map[string]string{"a": "'data"}, got.Values)
}

func stamped(kind session.OpKind, key string, by *session.Changes) session.Op {
	return session.Op{Kind: kind, Key: key, Stamp: by.Number()}
}

func testRepeatedSave(t *testing.T, k *kit) {
	created := k.changes(t, k.start, add("n", 1))
	tok := k.store(t, nil, created)
	again := k.store(t, nil, created)
	if !k.sealed {
		assert.Equal(t, tok, again, "a repeated creation is answered with the same token")
	}
	assert.Equal(t, 1, integer(t, k.load(t, again, k.start), "n"))

	rec := k.load(t, tok, k.start)
	ch := k.changes(t, k.start, add("n", 10))
	k.store(t, rec, ch)
	tok = k.store(t, rec, ch)
	assert.Equal(t, 11, integer(t, k.load(t, tok, k.start), "n"))
	if k.sealed {
		return
	}
	for range 7 { // with these, the first is among the last eight still
		k.save(t, tok, k.start, add("n", 100))
	}
	k.store(t, rec, ch)
	assert.Equal(t, 711, integer(t, k.load(t, tok, k.start), "n"))
}

func testRepeatedRotation(t *testing.T, k *kit) {
	rec := k.load(t, k.create(t, add("n", 1)), k.start)
	ch := k.rotation(t, k.start, add("n", 10))
	tok := k.store(t, rec, ch)
	assert.Equal(t, ch.NewToken(), tok)
	k.save(t, tok, k.start, add("n", 100))

	assert.Equal(t, tok, k.store(t, rec, ch), "a repeated rotation is answered with the same token")
	assert.Equal(t, 111, integer(t, k.load(t, tok, k.start), "n"))
}

// testCancelled accepts that a driver which does no I/O goes on: the context only bounds it.
func testCancelled(t *testing.T, k *kit) {
	tok := k.create(t, set("a", "'1"), set("b", "'1"))
	rec := k.load(t, tok, k.start)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	if _, err := k.driver.Load(ctx, tok, k.start); err != nil {
		assert.NotErrorIs(t, err, session.ErrNoSession)
	}
	ch := k.changes(t, k.start, set("a", "'2"), set("b", "'2"))
	after, err := k.driver.Save(ctx, rec, ch)
	if err != nil {
		assert.NotErrorIs(t, err, session.ErrNoSession)
		after = tok
	}
	got := contentOf(k.load(t, after, k.start))
	assert.Equal(t, got.Values["a"], got.Values["b"], "half of a save is stored")
	if err == nil {
		assert.Equal(t, "'2", got.Values["a"], "the save was acknowledged")
	}
	if err := k.driver.Destroy(ctx, after); err == nil {
		k.assertGone(t, after, k.start, "to destroy it was acknowledged")
	} else {
		assert.NotErrorIs(t, err, session.ErrNoSession)
	}
}
