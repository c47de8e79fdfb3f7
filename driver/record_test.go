package driver_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/internal/suites/book"
)

// Where things stand in a record, by docs/format.md.
const (
	flagsAt    = 9
	createdAt  = 26
	lifetimeAt = 42
	savesAt    = 58
	headSize   = 59
)

type malformed struct {
	name string
	data []byte
}

// malformedRecords are inputs that no record is stored as.
func malformedRecords(tb testing.TB) []malformed {
	_, records := goodRecords(tb)
	good := []byte(pack(records["eight saves and six secrets"]))
	head := []byte(pack(records["empty"]))[:headSize]
	firstCredential := savesAt + 1 + 7*8 + 1
	spoiled := func(at int, with ...byte) []byte {
		b := slices.Clone(good)
		copy(b[at:], with)
		return b
	}
	milli := func(at int, ms uint64) []byte { return spoiled(at, binary.BigEndian.AppendUint64(nil, ms)...) }
	with := func(parts ...[]byte) []byte { return slices.Concat(append([][]byte{head}, parts...)...) }
	credential := func(replaced byte, n byte) []byte { return append(make([]byte, 32), replaced, 0, 0, 0, 0, 0, 0, n) }
	none := []byte{0}                                                         // no credentials
	body := func(b ...byte) []byte { return with(none, []byte{0, 0}, b) }     // behind an empty account part
	entry := func(until uint64) []byte { return flashEntry("a", until, "x") } // of flash
	const listed = 1 << 62
	long := append([]byte{1, 'k', 0xfd, 0x1f}, make([]byte, 4093)...) // an account entry of 4097 bytes
	return []malformed{
		{"nothing", nil},
		{"version 1", spoiled(0, 1)},
		{"version 3", spoiled(0, 3)},
		{"tombstone", spoiled(0, 0)},
		{"head only", head},
		{"head cut off", head[:headSize-1]},
		{"unknown flag", spoiled(flagsAt, 2)},
		{"all flags", spoiled(flagsAt, 0xff)},
		{"created too late", milli(createdAt, 1<<52)},
		{"created before 1970", milli(createdAt, 1<<63)},
		{"used too late", milli(createdAt+8, 1<<52)},
		{"lifetime too long", milli(lifetimeAt, 9_223_372_036_855)},
		{"idle timeout too long", milli(lifetimeAt+8, 9_223_372_036_855)},
		{"negative idle timeout", milli(lifetimeAt+8, 1<<64-1)},
		{"nine saves", spoiled(savesAt, 8)},
		{"256 saves", spoiled(savesAt, 255)},
		{"nine credentials", with([]byte{9}, make([]byte, 9*40), []byte{0, 0, 0})},
		{"credentials cut off", with([]byte{1}, make([]byte, 39))},
		{"five accepted credentials", with([]byte{5}, make([]byte, 5*40), []byte{0, 0, 0})},
		{"five replaced credentials", with([]byte{5}, slices.Repeat(credential(0x80, 1), 5), []byte{0, 0, 0})},
		{"replaced behind accepted", with([]byte{2}, credential(0, 1), credential(0x80, 1), []byte{0, 0, 0})},
		{"credential too late", spoiled(firstCredential+32, 0x80, 0x10)},
		{"account cut off", with(none, []byte{0, 9, 1, 'a', 0, 0})},
		{"account of 4097 bytes", with(none, []byte{0x10, 0x01}, long, []byte{0})},
		{"zero byte in the account part", with(none, []byte{0, 1, 0, 0})},
		{"account entry across the end", with(none, []byte{0, 3, 1, 'a', 1, 'x', 0})},
		{"account keys not sorted", with(none, []byte{0, 6, 1, 'b', 0, 1, 'a', 0, 0})},
		{"account key twice", with(none, []byte{0, 6, 1, 'a', 0, 1, 'a', 0, 0})},
		{"no end of flash", body()},
		{"no end of flash behind an entry", body(entry(0)...)},
		{"flash without stamp", body(1, 'a', 0, 0)},
		{"flash too late", body(append(entry(1<<52), 0)...)},
		{"flash with an unknown bit", body(append(entry(1<<63), 0)...)},
		{"flash key twice", body(append(slices.Concat(entry(0), entry(0)), 0)...)},
		{"flash key twice, one listed", body(append(slices.Concat(entry(listed), entry(0)), 0)...)},
		{"flash keys not sorted", body(append(slices.Concat(flashEntry("b", listed, ""), entry(listed)), 0)...)},
		{"zero byte behind the end", slices.Concat(good, []byte{0})},
		{"key without value", body(0, 1, 'a')},
		{"key cut off", body(0, 9, 'a')},
		{"value cut off", body(0, 1, 'a', 2, 'x')},
		{"value of 2 GiB", body(0, 1, 'a', 0x80, 0x80, 0x80, 0x80, 0x08)},
		{"value of 32 GiB", body(0, 1, 'a', 0xff, 0xff, 0xff, 0xff, 0x7f)},
		{"length without end", body(0, 1, 'a', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)},
		{"length spelt long", body(0, 1, 'a', 0x81, 0x00, 'x')},
		{"zero spelt long", body(0, 1, 'a', 0x80, 0x00)},
		{"keys not sorted", body(0, 1, 'b', 0, 1, 'a', 0)},
		{"key twice", body(0, 1, 'a', 0, 1, 'a', 0)},
	}
}

func flashEntry(key string, until uint64, value string) []byte {
	b := append([]byte{byte(len(key))}, key...)
	b = binary.BigEndian.AppendUint64(append(b, make([]byte, 8)...), until)
	return append(append(b, byte(len(value))), value...)
}

func TestRecordHoldsWhatWasStored(t *testing.T) {
	ch := begin(set("name", "'Ann"), set("empty", ""), flash("name", "'flash"), account(driver.UserKey, "ann"), account("hints", "{}"))
	ch.Ops[2].Until = start.Add(time.Minute)
	ch.Limits.Remembered = true
	rec := apply(t, ch, nil)
	assert.Equal(t, ch.ID, rec.ID())
	assert.Equal(t, start, rec.CreatedAt())
	assert.Equal(t, start, rec.UsedAt())
	assert.Equal(t, ch.Limits, rec.Limits())
	assert.Equal(t, start.Add(time.Hour), rec.ExpiresAt())
	assert.Equal(t, "ann", rec.User())
	assert.Equal(t, uint64(1), rec.LastSave())
	assert.Equal(t, map[string]string{"name": "'Ann", "empty": ""}, values(rec, driver.Data))
	assert.Equal(t, map[string]string{"user": "ann", "hints": "{}"}, values(rec, driver.Account))
	assert.Equal(t, []driver.FlashValue{{Key: "name", Encoded: "'flash", Stamp: 1, Until: start.Add(time.Minute)}}, slices.Collect(rec.Flash()))
	assert.True(t, rec.HasFlash())
	assert.Equal(t, len(pack(rec)), rec.Size())
	for key, want := range values(rec, driver.Data) {
		got, ok := rec.Value(driver.Data, key)
		assert.True(t, ok)
		assert.Equal(t, want, got)
	}
	for _, key := range []string{"", "nam", "name\x00", "user", "zzz"} {
		_, ok := rec.Value(driver.Data, key)
		assert.False(t, ok, "%q is no key of the data", key)
	}
	assert.Empty(t, apply(t, begin(), nil).User())
	assert.False(t, apply(t, begin(), nil).HasFlash())
}

// TestValueReadsFlashByItsFirstValue holds that a part which has its own method breaks nothing.
func TestValueReadsFlashByItsFirstValue(t *testing.T) {
	rec := apply(t, begin(flash("a", "'"+strings.Repeat("x", 300)), driver.Op{Kind: driver.Append, Part: driver.Flash, Key: "a", Encoded: "'2"}), nil)
	got, ok := rec.Value(driver.Flash, "a")
	assert.True(t, ok)
	assert.Equal(t, "'"+strings.Repeat("x", 300), got)
	count := 0
	for range rec.Values(driver.Flash) {
		count++
	}
	assert.Equal(t, 2, count)
}

func TestRecordAppendsBehindWhatIsThere(t *testing.T) {
	rec := apply(t, begin(set("a", "1")), nil)
	got, err := rec.AppendBinary([]byte("before"))
	require.NoError(t, err)
	assert.Equal(t, "before"+pack(rec), string(got))
}

func TestParsedRecordKeepsNothingOfItsInput(t *testing.T) {
	data := []byte(pack(apply(t, begin(set("a", "'value")), nil)))
	rec, err := driver.ParseRecord(data)
	require.NoError(t, err)
	clear(data)
	got, _ := rec.Value(driver.Data, "a")
	assert.Equal(t, "'value", got)
}

func TestIterationOverARecordCanStop(t *testing.T) {
	_, records := goodRecords(t)
	for range records["visitor"].Values(driver.Data) {
		break
	}
	for range records["flash with a list"].Flash() {
		break
	}
	assert.Len(t, values(records["visitor"], driver.Data), 2)
}

func TestNoCutRecordIsTakenForAnother(t *testing.T) {
	_, records := goodRecords(t)
	for name, rec := range records {
		for n := range rec.Size() {
			data := []byte(pack(rec)[:n])
			if got, err := driver.ParseRecord(data); err == nil {
				require.Equal(t, data, []byte(pack(got)), "%s cut at %d", name, n)
				require.NotNil(t, book.Read(data), "%s cut at %d", name, n)
			}
		}
	}
}

// FuzzParseRecord holds that ParseRecord accepts what docs/format.md allows and nothing else, that
// what is accepted is its own stored form and can be changed, that nothing panics on it, and that a
// declared length allocates nothing.
func FuzzParseRecord(f *testing.F) {
	_, records := goodRecords(f)
	for _, rec := range records {
		f.Add([]byte(pack(rec)))
	}
	for _, bad := range malformedRecords(f) {
		f.Add(bad.data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := allocated()
		rec, err := driver.ParseRecord(data)
		if used := allocated() - before; used > 1<<20+2*uint64(len(data)) {
			t.Fatalf("%d bytes were allocated for an input of %d", used, len(data))
		}
		want := book.Read(data)
		require.Equal(t, want != nil, err == nil, "ParseRecord and docs/format.md differ")
		if err != nil {
			return
		}
		require.Equal(t, data, []byte(pack(rec)))
		require.Equal(t, want, bookOf(rec))
		for key, value := range rec.Values(driver.Data) {
			got, ok := rec.Value(driver.Data, key)
			require.True(t, ok)
			require.Equal(t, value, got)
		}
		requireMerges(t, rec)
	})
}

// requireMerges requires that changes make another record of it.
func requireMerges(t *testing.T, rec *driver.Record) {
	t.Helper()
	ch := save(0x1234, set("m", "'x"), driver.Op{Kind: driver.Delete, Key: "name"}, flash("m", "'x"),
		driver.Op{Kind: driver.Append, Part: driver.Flash, Key: "errors", Encoded: "'x"})
	ch.Now, ch.Install, ch.Restart = time.UnixMilli(int64(millis(rec.UsedAt()))), secret(9), true
	for _, c := range rec.Credentials() {
		if !c.Replaced {
			ch.Expect = c.Digest
		}
	}
	if next, err := ch.Apply(rec); err == nil && !rec.Applied(ch.Number) {
		value, _ := next.Value(driver.Data, "m")
		require.Equal(t, "'x", value)
		_, err := driver.ParseRecord([]byte(pack(next)))
		require.NoError(t, err, "changes make a record that cannot be read")
	}
}

// allocated returns how many bytes the process has ever allocated.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

func TestIDHasOneSpelling(t *testing.T) {
	for range 100 {
		id := driver.NewID()
		require.Len(t, id.String(), 22)
		back, ok := driver.ParseID(id.String())
		require.True(t, ok)
		require.Equal(t, id, back)
	}
	good := driver.ID{}.String()
	for _, text := range []string{
		"", good[1:], good + "A", good + "=", good + "==", good[1:] + "B", good[1:] + "+", good[1:] + "/", good[1:] + "=",
		good[1:] + "\n", "\n" + good[1:], good + "\n", good[2:] + "\r\n", good[:11] + "\n" + good[11:], good[1:] + "\x00", "é" + good[2:], " " + good[1:],
	} {
		id, ok := driver.ParseID(text)
		assert.False(t, ok, "%q", text)
		assert.Equal(t, driver.ID{}, id, "%q", text)
	}
	assert.NotEqual(t, driver.NewID(), driver.NewID())
}

func TestErrorsAreToldApart(t *testing.T) {
	ended := fmt.Errorf("load: %w", &driver.EndedError{Ago: time.Second})
	assert.ErrorIs(t, ended, driver.ErrEnded)
	assert.ErrorIs(t, ended, driver.ErrNoSession, "an ended session is no session")
	assert.ErrorIs(t, driver.ErrEnded, driver.ErrNoSession)
	assert.NotErrorIs(t, driver.ErrNoSession, driver.ErrEnded)
	assert.NotErrorIs(t, driver.ErrUnavailable, driver.ErrNoSession)
	assert.EqualError(t, &driver.EndedError{}, "session: the session has ended")
	assert.Equal(t, "session: save: the record was changed by another request", fmt.Sprintf("%v", &driver.ConflictError{Key: "k"}),
		"fmt prints the text of an error")
	assert.EqualError(t, &driver.ValueError{Op: "increment", Key: strings.Repeat("k", 300), Reason: "r"},
		`session: increment "`+strings.Repeat("k", 64)+`": r`)
}

// TestRecordWithTheIdentityOfAnotherKeepsItsValues pairs records whose parts have different sizes.
func TestRecordWithTheIdentityOfAnotherKeepsItsValues(t *testing.T) {
	_, records := goodRecords(t)
	for name, rec := range records {
		for otherName, other := range records {
			got := rec.WithIdentity(other)
			again, err := driver.ParseRecord([]byte(pack(got)))
			require.NoError(t, err, "%s with the identity of %s", name, otherName)
			require.Equal(t, again, got, "%s with the identity of %s", name, otherName)
			want, from := bookOf(rec), bookOf(other)
			want.Credentials, want.Account = from.Credentials, from.Account
			require.Equal(t, want, bookOf(got), "%s with the identity of %s", name, otherName)
		}
	}
}

func TestRecordWithoutHistoryKeepsEverythingElse(t *testing.T) {
	rec := apply(t, begin(driver.Op{Kind: driver.Set, Part: driver.Data, Key: "a", Encoded: "1"},
		driver.Op{Kind: driver.Set, Part: driver.Flash, Key: "f", Encoded: "2"}), nil)
	for number := uint64(2); number < 12; number++ {
		ch := save(number)
		ch.Expect, ch.Install, ch.Replace = secret(byte(number-1)), secret(byte(number)), true
		if number == 2 {
			ch.Expect = rec.Credentials()[0].Digest
		}
		rec = apply(t, ch, rec)
	}
	short := rec.WithoutHistory()
	assert.Equal(t, short.Size(), rec.SizeWithoutHistory())
	assert.Less(t, short.Size(), rec.Size()-7*8-3*40)
	packed, err := short.AppendBinary(nil)
	require.NoError(t, err)
	parsed, err := driver.ParseRecord(packed)
	require.NoError(t, err)
	assert.Equal(t, parsed, short, "its parts are where they are in the stored form")
	assert.True(t, short.Accepts(secret(11)))
	assert.Len(t, short.Credentials(), 1)
	assert.Equal(t, rec.LastSave(), short.LastSave())
	assert.False(t, short.Applied(10))
	assert.Equal(t, rec.ID(), short.ID())
	assert.Equal(t, rec.ExpiresAt(), short.ExpiresAt())
	for _, p := range []driver.Part{driver.Data, driver.Account} {
		assert.Equal(t, maps.Collect(rec.Values(p)), maps.Collect(short.Values(p)))
	}
	assert.Equal(t, slices.Collect(rec.Flash()), slices.Collect(short.Flash()))
	assert.Equal(t, short, short.WithoutHistory())
}
