package drivertest

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
)

// apply returns what Apply makes of changes that it accepts.
func apply(t testing.TB, ch *driver.Changes, rec *driver.Record) *driver.Record {
	t.Helper()
	next, err := ch.Apply(rec)
	require.NoError(t, err)
	return next
}

func testStoredRecord(t testing.TB, k *kit) {
	ch := begin(k.start, set("name", "'Ann"), add("visits", 1), flash("notice", "'Saved"),
		signIn("ann"), account("since", "1"))
	ch.Limits = driver.Limits{Lifetime: 48 * time.Hour, Idle: 30 * time.Minute, Remembered: true}
	ch.Expect = newSecret()
	ch.Ops[2].Until = k.start.Add(time.Minute)
	want := apply(t, ch, nil)
	same(t, want, k.save(t, nil, ch), "Save returns the record as stored")
	same(t, want, k.load(t, ch.ID, k.start), "Load returns what Changes.Apply made")

	c := client{id: ch.ID, secret: ch.Install}
	for i := range 3 {
		next := c.replacement(k.start.Add(time.Duration(i)*time.Minute), set("name", "'Ben"), add("visits", 1))
		c.secret = next.Install
		want = apply(t, next, want)
		same(t, want, k.save(t, k.load(t, c.id, k.start), next), "Save returns the record as stored")
		same(t, want, k.load(t, c.id, k.start), "Load returns what Changes.Apply made")
	}
}

func testAnyBytes(t testing.TB, k *kit) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	keys := []string{
		"\x00", "\x00\x00", "a\x00b", "a", "\xff\xfe", "a b", "A", "*", "é", "e\u0301", "\r\n", "'", " ",
		strings.Repeat("k", 255),
	}
	ops := []driver.Op{set("all", string(all)), set("empty", ""), flash("empty", ""), signIn(string(all))}
	for i, key := range keys {
		value := strconv.Itoa(i) + " \x00\xff\r\n' " + key
		ops = append(ops, set(key, value), flash(key, value+"!"), account("x"+key[1:], value))
	}
	ch := begin(k.start, ops...)
	want := apply(t, ch, nil)
	same(t, want, k.save(t, nil, ch), "keys and values of any bytes are kept")
	same(t, want, k.load(t, ch.ID, k.start), "keys and values of any bytes are kept")

	c := client{id: ch.ID, secret: ch.Install}
	next := c.changes(k.start, driver.Op{Kind: driver.Delete, Key: "a"}, set("\xff\xfe", "\x00"), add("\x00 counter", 1))
	want = apply(t, next, want)
	same(t, want, k.save(t, want, next), "keys are compared byte for byte")
	same(t, want, k.load(t, c.id, k.start), "keys are compared byte for byte")
}

func testLargeValues(t testing.TB, k *kit) {
	c := k.create(t, set("small", "1"))
	large := "'" + strings.Repeat("\x00\xff", 1<<19) // 1 MiB and one byte
	k.save(t, c.rec, c.changes(k.start, set("large", large), set("small", "2")))
	rec := k.load(t, c.id, k.start)
	value, _ := rec.Value(driver.Data, "large")
	assert.True(t, value == large, "a value of a mebibyte came back changed")
	assert.Equal(t, 2, integer(t, rec, "small"))
}

// testSimilarIDs stores sessions whose ids differ in the case of their text, or in one bit.
func testSimilarIDs(t testing.TB, k *kit) {
	texts := []string{"abcdefghijklmnopqrstuw", "ABCDEFGHIJKLMNOPQRSTUw", "abcdefghijklmnopqrst-w", "abcdefghijklmnopqrst_w"}
	unique := driver.NewID().String()[:8] // the store may be shared with other runs
	ids := make([]driver.ID, len(texts))
	for i, text := range texts {
		id, ok := driver.ParseID(text[:8] + unique + text[16:21] + "w")
		require.True(t, ok, "the suite's id %q", text)
		ids[i] = id
	}
	zero := driver.NewID()
	zero[3], zero[4] = 0, '\n'
	last := zero
	last[15] ^= 1
	ids = append(ids, zero, last)
	for i, id := range ids {
		ch := begin(k.start, add("n", int64(i)))
		ch.ID = id
		k.save(t, nil, ch)
	}
	for i, id := range ids {
		assert.Equal(t, i, integer(t, k.load(t, id, k.start), "n"), "ids are compared byte for byte")
	}
}

func testLoadIsNoUse(t testing.TB, k *kit) {
	c := k.create(t, set("a", "1"))
	for _, later := range []time.Duration{time.Minute, 59 * time.Minute} {
		same(t, c.rec, k.load(t, c.id, k.start.Add(later)),
			"Load stores nothing, so it does not count as use")
	}
}

func testStaleBase(t testing.TB, k *kit) {
	c := k.create(t, set("a", "1"), set("b", "1"))
	one := c.changes(k.start, set("a", "2"), flash("f", "1"))
	two := c.changes(k.start, set("b", "2"))
	want := apply(t, two, apply(t, one, c.rec))
	k.save(t, c.rec, one)
	same(t, want, k.save(t, c.rec, two),
		"Save applies changes to the record as it is, not to base, and returns the result")
	same(t, want, k.load(t, c.id, k.start), "Save applies changes to the record as it is, not to base")
}

func testRefusals(t testing.TB, k *kit) {
	for _, test := range []struct {
		why, was string
		op       driver.Op
	}{
		{why: "past the greatest integer", was: strconv.Itoa(math.MaxInt64), op: add("n", 1)},
		{why: "past the least integer", was: strconv.Itoa(math.MinInt64), op: add("n", -1)},
		{why: "increment of a text", was: "'1", op: add("n", 1)},
		{why: "increment of a number with a leading zero", was: "01", op: add("n", 1)},
	} {
		c := k.create(t, set("n", test.was), set("other", "'kept"))
		err := k.refused(t, c.rec, c.changes(k.start, set("other", "'lost"), test.op, flash("f", "'lost")), test.why)
		var refused *driver.ValueError
		assert.ErrorAs(t, err, &refused, test.why)
	}

	c := k.create(t, set("n", "1"))
	now := k.save(t, c.rec, c.changes(k.start, set("n", "2")))
	swap := driver.Op{Kind: driver.Swap, Key: "n", Old: "1", Encoded: "3"}
	err := k.refused(t, c.rec, c.changes(k.start, set("other", "'lost"), swap),
		"swap of a value that another request has changed")
	k.isConflict(t, err, now, "n")
}

// isConflict checks an error that names the record as it is.
func (k *kit) isConflict(t testing.TB, err error, now *driver.Record, key string) {
	t.Helper()
	var conflict *driver.ConflictError
	require.ErrorAs(t, err, &conflict)
	assert.Equal(t, key, conflict.Key)
	same(t, now, conflict.Current, "ConflictError.Current is the record as it is")
}

// testUnknownID is the way of session fixation: an id that somebody made up, or that a store has
// lost, must not become a session's.
func testUnknownID(t testing.TB, k *kit) {
	stranger := begin(k.start, set("planted", "'yes"))
	base := apply(t, stranger, nil)
	c := client{id: stranger.ID, secret: stranger.Install}
	k.gone(t, c.id, k.start, driver.ErrNoSession, "Load of an unknown id")
	k.gone(t, c.id, k.start, driver.ErrNoSession, "Load stores nothing")
	k.noSave(t, base, c.changes(k.start, set("a", "1")), driver.ErrNoSession, "Save under an unknown id")
	k.noSave(t, base, c.replacement(k.start, set("a", "1")), driver.ErrNoSession, "Save under an unknown id")
	k.gone(t, c.id, k.start, driver.ErrNoSession, "Save adopted an unknown id")
	assert.Nil(t, k.end(t, base, c.ending(k.start)), "End returns nil if there was no record")
	k.gone(t, c.id, k.start, driver.ErrNoSession, "End by a secret leaves no tombstone if nothing is stored")
	k.save(t, nil, stranger)
}

func testNewReplacesNothing(t testing.TB, k *kit) {
	c := k.create(t, set("owner", "'first"))
	ch := begin(k.start, set("owner", "'second"))
	ch.ID = c.id
	k.isConflict(t, k.refused(t, nil, ch, "a new session took the id of another"), c.rec, "")

	k.end(t, c.rec, c.ending(k.start))
	k.noSave(t, nil, ch, driver.ErrEnded, "a new session took the id of one that has ended")
	k.gone(t, c.id, k.start, driver.ErrEnded, "a session that has ended lives again")
}

func testSecrets(t testing.TB, k *kit) {
	c := k.create(t, set("a", "1"))
	for _, secret := range []driver.Digest{{}, newSecret(), flipped(c.secret)} {
		ch := c.changes(k.start, set("a", "2"))
		ch.Expect = secret
		k.isConflict(t, k.refused(t, c.rec, ch, "a secret that the record does not accept"), c.rec, "")
	}

	join := c.changes(k.start, set("joined", "t"))
	join.Install = newSecret()
	k.save(t, c.rec, join)
	joined := client{id: c.id, secret: join.Install}
	k.save(t, c.rec, joined.changes(k.start, set("by", "'joined")))
	k.save(t, c.rec, c.changes(k.start, set("by", "'first")))

	replace := c.replacement(k.start)
	now := k.save(t, c.rec, replace)
	fresh := client{id: c.id, secret: replace.Install}
	for _, old := range []client{*c, joined} {
		k.isConflict(t, k.refused(t, c.rec, old.changes(k.start, set("a", "2")), "a replaced secret"), now,
			"")
		k.isConflict(t, k.refused(t, c.rec, old.replacement(k.start), "a replaced secret replaces"), now, "")
	}
	k.save(t, now, fresh.changes(k.start, set("a", "3")))
	assert.Equal(t, 3, integer(t, k.load(t, c.id, k.start), "a"))
}

func flipped(d driver.Digest) driver.Digest {
	d[31] ^= 1
	return d
}

func testRepeatedSave(t testing.TB, k *kit) {
	ch := begin(k.start, add("n", 1))
	c := client{id: ch.ID, secret: ch.Install, rec: k.save(t, nil, ch)}
	same(t, c.rec, k.save(t, nil, ch), "a repeated first save returns the record")

	ten := c.changes(k.start, add("n", 10))
	k.save(t, c.rec, ten)
	for i := range 8 { // before the last round, the record remembers this save and seven others
		now := k.load(t, c.id, k.start)
		same(t, now, k.save(t, c.rec, ten), "a repeated save changes nothing and returns the record as it is")
		if i == 7 {
			break
		}
		k.save(t, c.rec, c.changes(k.start, add("n", 100)))
	}
	assert.Equal(t, 711, integer(t, k.load(t, c.id, k.start), "n"),
		"a save with the same number is applied once")
}

func testRepeatedReplacement(t testing.TB, k *kit) {
	c := k.create(t, add("n", 1))
	replace := c.replacement(k.start, add("n", 10))
	k.save(t, c.rec, replace)
	fresh := client{id: c.id, secret: replace.Install}
	now := k.save(t, c.rec, fresh.changes(k.start, add("n", 100)))
	replace.Retried, replace.Since = true, c.rec.LastSave()
	same(t, now, k.save(t, c.rec, replace),
		"a repeated save is recognized by its number before its secret is judged")
	same(t, now, k.load(t, c.id, k.start), "a save with the same number is applied once")
}

func testRetriedTooLate(t testing.TB, k *kit) {
	c := k.create(t, add("n", 1))
	late := c.changes(k.start, add("n", 10))
	for range 8 {
		k.save(t, c.rec, c.changes(k.start, add("n", 100)))
	}
	late.Retried, late.Since = true, c.rec.LastSave()
	err := k.refused(t, c.rec, late, "nobody can tell whether the first attempt was applied")
	assert.ErrorIs(t, err, driver.ErrUnavailable)
	assert.NotErrorIs(t, err, driver.ErrNoSession)
}

func testPing(t testing.TB, k *kit) {
	if pinger, ok := k.driver.(driver.Pinger); ok {
		assert.NoError(t, pinger.Ping(k.ctx), "Ping of a driver that works")
	}
}

// testSecondProcess checks one driver against another that shares its store, if there is one.
func testSecondProcess(t testing.TB, k *kit) {
	c := k.create(t, add("n", 0))
	base := c.rec
	for i := range 6 {
		rec, err := k.process(i).Save(k.ctx, base, c.changes(k.start, add("n", 1)))
		require.NoError(t, err)
		assert.Equal(t, i+1, integer(t, rec, "n"), "a save of another process is lost")
		rec, err = k.process(i+1).Load(k.ctx, c.id, k.start)
		require.NoError(t, err)
		assert.Equal(t, i+1, integer(t, rec, "n"), "a save of another process is not seen")
	}
	_, err := k.again.End(k.ctx, base, c.ending(k.start))
	require.NoError(t, err)
	k.gone(t, c.id, k.start, driver.ErrEnded, "an end by another process is not seen")
	_, err = k.driver.Save(k.ctx, base, c.changes(k.start, add("n", 1)))
	assert.True(t, errors.Is(err, driver.ErrEnded), "a save after an end by another process: %v", err)
}
