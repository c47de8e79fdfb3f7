package driver_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/internal/suites/book"
)

var update = flag.Bool("update", false, "write the recorded files in testdata anew")

const vectorsFile = "testdata/record_vectors.json"

// A vector is a record in hex, and what a reader of docs/format.md makes of it; nothing if it must
// be refused.
type vector struct {
	Name   string       `json:"name"`
	Record string       `json:"record"`
	Holds  *book.Record `json:"holds,omitempty"`
}

type vectors struct {
	Read    []vector `json:"read"`
	Refused []vector `json:"refused"`
}

func (v vector) bytes(tb testing.TB) []byte {
	tb.Helper()
	data, err := hex.DecodeString(v.Record)
	require.NoError(tb, err)
	return data
}

func recordedVectors(tb testing.TB) (all vectors) {
	tb.Helper()
	data, err := os.ReadFile(vectorsFile)
	require.NoError(tb, err)
	require.NoError(tb, json.Unmarshal(data, &all))
	require.GreaterOrEqual(tb, len(all.Read), 8)
	require.GreaterOrEqual(tb, len(all.Refused), 30)
	return all
}

// goodRecords are records that Apply makes, by name.
func goodRecords(tb testing.TB) (names []string, records map[string]*driver.Record) {
	records = map[string]*driver.Record{}
	keep := func(name string, rec *driver.Record) *driver.Record {
		names, records[name] = append(names, name), rec
		return rec
	}
	keep("empty", apply(tb, &driver.Changes{Now: time.UnixMilli(0), New: true}, nil))
	visitor := keep("visitor", apply(tb, begin(set("cart", `={"items":[1,2]}`), set("name", "'Ann")), nil))
	used := save(2)
	used.Now = start.Add(time.Minute)
	keep("used again", apply(tb, used, visitor))

	signIn := save(0xfedcba9876543210, account(driver.UserKey, "ann"), account("authenticated", "1700000060000"), set("visits", "3"))
	signIn.Now, signIn.Install, signIn.Replace, signIn.Restart = used.Now, secret(2), true, true
	signIn.Limits = driver.Limits{Lifetime: 30 * 24 * time.Hour, Idle: 14 * 24 * time.Hour, Remembered: true}
	keep("signed in and remembered", apply(tb, signIn, visitor))

	messages := begin(flash("notice", "'Saved"), flash("field", "'old"))
	messages.Ops[0].Until = start.Add(2 * time.Second)
	for _, text := range []string{"'one", "'two", ""} {
		messages.Ops = append(messages.Ops, driver.Op{Kind: driver.Append, Part: driver.Flash, Key: "errors", Encoded: text})
	}
	keep("flash with a list", apply(tb, messages, nil))

	binaryKeys := begin(set("\x00", "\x00"), set("\xff\xfe", ""), set(strings.Repeat("k", 255), "'"+strings.Repeat("\x80", 200)), account("\x00\xff", "\r\n"))
	keep("keys and values of any bytes", apply(tb, binaryKeys, nil))

	busy := visitor
	for n := range uint64(9) {
		ch := save(100+n, add("n", 1))
		if n < 5 {
			ch.Install = secret(byte(10 + n)) // the fifth accepted secret retires the oldest that joined
		}
		busy = apply(tb, ch, busy)
	}
	keep("eight saves and six secrets", busy)
	replaced := visitor
	for n := range byte(6) {
		ch := save(uint64(200+int(n)), set("n", "1"))
		ch.Expect, ch.Install, ch.Replace = secret(1+n), secret(2+n), true
		replaced = apply(tb, ch, replaced)
	}
	keep("four replaced secrets", replaced)
	return names, records
}

func makeVectors(tb testing.TB) (all vectors) {
	names, records := goodRecords(tb)
	for _, name := range names {
		data := []byte(pack(records[name]))
		all.Read = append(all.Read, vector{Name: name, Record: hex.EncodeToString(data), Holds: book.Read(data)})
	}
	for _, bad := range malformedRecords(tb) {
		all.Refused = append(all.Refused, vector{Name: bad.name, Record: hex.EncodeToString(bad.data)})
	}
	return all
}

func TestRecordedRecordsAreWhatThisVersionWrites(t *testing.T) {
	var want bytes.Buffer
	encoder := json.NewEncoder(&want)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	require.NoError(t, encoder.Encode(makeVectors(t)))
	if *update {
		require.NoError(t, os.WriteFile(vectorsFile, want.Bytes(), 0o644))
	}
	recorded, err := os.ReadFile(vectorsFile)
	require.NoError(t, err)
	assert.Equal(t, want.String(), string(recorded),
		"the stored form has changed: it needs a new version, or run with -update")
}

// TestRecordedRecordsAreRead holds the library and the independent decoder to one reading.
func TestRecordedRecordsAreRead(t *testing.T) {
	for _, v := range recordedVectors(t).Read {
		t.Run(v.Name, func(t *testing.T) {
			rec, err := driver.ParseRecord(v.bytes(t))
			require.NoError(t, err)
			assert.Equal(t, v.bytes(t), []byte(pack(rec)))
			assert.Equal(t, v.Holds, bookOf(rec))
			assert.Equal(t, v.Holds, book.Read(v.bytes(t)))
		})
	}
}

func TestRecordedRecordsThatMustBeRefusedAre(t *testing.T) {
	for _, v := range recordedVectors(t).Refused {
		t.Run(v.Name, func(t *testing.T) {
			rec, err := driver.ParseRecord(v.bytes(t))
			assert.Equal(t, driver.ErrDamaged, err)
			assert.Nil(t, rec)
			assert.Nil(t, book.Read(v.bytes(t)), "the independent decoder accepts it")
		})
	}
}

// bookOf returns what the methods of a record say that it holds.
func bookOf(rec *driver.Record) *book.Record {
	id, own := rec.ID(), rec.Limits()
	b := &book.Record{
		ID: hex.EncodeToString(id[:]), Created: millis(rec.CreatedAt()), Used: millis(rec.UsedAt()),
		Lifetime: uint64(own.Lifetime.Milliseconds()), Idle: uint64(own.Idle.Milliseconds()), Remembered: own.Remembered,
	}
	// The numbers of earlier saves have no method of their own: they are only asked for.
	b.Saves = append([]uint64{rec.LastSave()}, savesByTheBook(rec)...)
	for _, c := range rec.Credentials() {
		b.Credentials = append(b.Credentials, book.Credential{Digest: hex.EncodeToString(c.Digest[:]), Replaced: c.Replaced, At: uint64(c.At)})
	}
	for key, value := range rec.Values(driver.Account) {
		b.Account = append(b.Account, book.Entry{Key: book.Latin1([]byte(key)), Value: book.Latin1([]byte(value))})
	}
	for v := range rec.Flash() {
		e := book.Entry{Key: book.Latin1([]byte(v.Key)), Value: book.Latin1([]byte(v.Encoded)), Stamp: v.Stamp, Listed: v.Listed}
		if !v.Until.IsZero() {
			e.Until = millis(v.Until)
		}
		b.Flash = append(b.Flash, e)
	}
	for key, value := range rec.Values(driver.Data) {
		b.Data = append(b.Data, book.Entry{Key: book.Latin1([]byte(key)), Value: book.Latin1([]byte(value))})
	}
	return b
}

func savesByTheBook(rec *driver.Record) (known []uint64) {
	for _, n := range book.Read([]byte(pack(rec))).Saves[1:] {
		if rec.Applied(n) {
			known = append(known, n)
		}
	}
	return known
}

// millis returns a time in milliseconds, 0 for the zero Time, as Milli.Time has it.
func millis(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixMilli())
}
