package session_test

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	recordHead   = 51 // bytes in front of the numbers of saves
	countOffset  = 50
	createdAt    = 18
	lifetimeFrom = 34
)

// builder returns the parts of a record that has something of everything.
func recordBuilder() *session.RecordBuilder {
	b := &session.RecordBuilder{
		ID: [16]byte{1, 2, 3}, CreatedAt: time.UnixMilli(1_700_000_000_000), UsedAt: time.UnixMilli(1_700_000_001_000),
		Limits:  session.Limits{Lifetime: 24 * time.Hour, Idle: time.Hour, Remembered: true},
		Numbers: []uint64{7, 1<<64 - 1},
	}
	b.Value("name", "'Ann")
	b.Value("\x00\xff", "")
	b.Value(strings.Repeat("k", 255), "'"+strings.Repeat("v", 300))
	b.Flash("notice", session.FlashValue{Value: "'Saved", Stamp: 7, Until: time.UnixMilli(1_700_000_002_000)})
	b.Flash("name", session.FlashValue{Value: "n"})
	b.Account("user", "ann")
	b.Account("authenticated", "1700000000000")
	return b
}

func packRecord(tb testing.TB, b *session.RecordBuilder) (*session.Record, []byte) {
	tb.Helper()
	rec, err := b.Build(session.NewToken("s_test"))
	require.NoError(tb, err)
	packed, err := rec.AppendBinary(nil)
	require.NoError(tb, err)
	return rec, packed
}

func TestRecordReadsBackAsItWasPacked(t *testing.T) {
	b := recordBuilder()
	rec, packed := packRecord(t, b)
	got, err := session.ParseRecord(rec.Token(), packed)
	require.NoError(t, err)
	assert.Equal(t, b.ID, got.ID())
	assert.Equal(t, b.CreatedAt, got.CreatedAt())
	assert.Equal(t, b.UsedAt, got.UsedAt())
	assert.Equal(t, b.UsedAt.Add(time.Hour), got.ExpiresAt(), "the idle timeout ends first")
	assert.Equal(t, b.Limits, got.Limits())
	assert.Equal(t, b.Numbers, got.Numbers())
	assert.Equal(t, rec.Token(), got.Token())

	var keys []string
	for key, value := range got.Values() {
		keys = append(keys, key)
		one, ok := got.Value(key)
		assert.True(t, ok)
		assert.Equal(t, value, one)
	}
	assert.Equal(t, []string{"\x00\xff", strings.Repeat("k", 255), "name"}, keys, "keys are sorted")
	_, ok := got.Value("notice")
	assert.False(t, ok, "flash is not data")
	flash := map[string]session.FlashValue{}
	for key, v := range got.Flash() {
		flash[key] = v
	}
	assert.Equal(t, map[string]session.FlashValue{
		"name":   {Value: "n"},
		"notice": {Value: "'Saved", Stamp: 7, Until: time.UnixMilli(1_700_000_002_000)},
	}, flash)
}

func TestRecordAppendsBehindWhatIsThere(t *testing.T) {
	rec, packed := packRecord(t, recordBuilder())
	got, err := rec.AppendBinary([]byte("before"))
	require.NoError(t, err)
	assert.Equal(t, append([]byte("before"), packed...), got)
}

func TestTouchedRecordLeavesTheOtherAsItWas(t *testing.T) {
	rec, _ := packRecord(t, recordBuilder())
	later := rec.UsedAt().Add(time.Minute)
	assert.Equal(t, later, rec.Touched(later).UsedAt())
	assert.Equal(t, recordBuilder().UsedAt, rec.UsedAt())
}

func TestIterationOverARecordCanStop(t *testing.T) {
	rec, _ := packRecord(t, recordBuilder())
	for range rec.Values() {
		break
	}
	for range rec.Flash() {
		break
	}
	seen := 0
	for range rec.Values() {
		seen++
	}
	assert.Equal(t, 3, seen)
}

func TestRecordBuilderRefusesWhatARecordCannotHold(t *testing.T) {
	for name, spoil := range map[string]func(b *session.RecordBuilder){
		"no key":              func(b *session.RecordBuilder) { b.Value("", "n") },
		"long key":            func(b *session.RecordBuilder) { b.Value(strings.Repeat("k", 256), "n") },
		"key twice":           func(b *session.RecordBuilder) { b.Value("name", "n") },
		"flash twice":         func(b *session.RecordBuilder) { b.Flash("name", session.FlashValue{}) },
		"flash before 1970":   func(b *session.RecordBuilder) { b.Flash("x", session.FlashValue{Until: time.UnixMilli(-1)}) },
		"flash too late":      func(b *session.RecordBuilder) { b.Flash("x", session.FlashValue{Until: time.UnixMilli(1<<52 + 1)}) },
		"before 1970":         func(b *session.RecordBuilder) { b.CreatedAt = time.UnixMilli(-1) },
		"no time":             func(b *session.RecordBuilder) { b.UsedAt = time.Time{} },
		"too late":            func(b *session.RecordBuilder) { b.UsedAt = time.UnixMilli(1<<52 + 1) },
		"negative lifetime":   func(b *session.RecordBuilder) { b.Limits.Lifetime = -time.Hour },
		"nine numbers":        func(b *session.RecordBuilder) { b.Numbers = make([]uint64, 9) },
		"negative idle limit": func(b *session.RecordBuilder) { b.Limits.Idle = -time.Hour },
	} {
		b := recordBuilder()
		spoil(b)
		_, err := b.Build(session.NewToken("s_test"))
		assert.Error(t, err, name)
	}
}

// malformedRecords are inputs that no record packs to, by what is wrong with them.
func malformedRecords(tb testing.TB) map[string][]byte {
	_, good := packRecord(tb, recordBuilder())
	head := slices.Clone(good[:recordHead])
	head[1], head[countOffset] = 0, 0
	account := slices.Clone(head)
	account[1] = 2
	spoiled := func(spoil func(b []byte)) []byte {
		b := slices.Clone(good)
		spoil(b)
		return b
	}
	behind := func(body ...byte) []byte { return slices.Concat(head, body) }
	return map[string][]byte{
		"nothing":           {},
		"unknown version":   spoiled(func(b []byte) { b[0] = 2 }),
		"version of a tomb": spoiled(func(b []byte) { b[0] = 0 }),
		"unknown flag":      spoiled(func(b []byte) { b[1] |= 4 }),
		"account too long":  slices.Concat(account, []byte{0x10, 0x01, 1, 'k', 0xfd, 0x1f}, make([]byte, 4093), []byte{0}),
		"time too late":     spoiled(func(b []byte) { b[createdAt] = 1 }),
		"lifetime too long": spoiled(func(b []byte) { binary.BigEndian.PutUint64(b[lifetimeFrom:], 1<<52+1) }),
		"lifetime too long for a Duration": spoiled(func(b []byte) {
			binary.BigEndian.PutUint64(b[lifetimeFrom:], uint64(math.MaxInt64/time.Millisecond)+1)
		}),
		"nine numbers":        spoiled(func(b []byte) { b[countOffset] = 9 }),
		"more numbers":        spoiled(func(b []byte) { b[countOffset] = 255 }),
		"no end of flash":     behind(),
		"byte behind the end": slices.Concat(good, []byte{0}),
		"value too long":      behind(0, 1, 'a', 2, 'x'),
		"value of 32 GiB":     behind(0, 1, 'a', 0xff, 0xff, 0xff, 0xff, 0x7f),
		"value without end":   behind(0, 1, 'a', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
		"length spelt long":   behind(0, 1, 'a', 0x81, 0x00, 'x'),
		"zero spelt long":     behind(0, 1, 'a', 0x80, 0x00),
		"key too long":        behind(0, 9, 'a'),
		"key without value":   behind(0, 1, 'a'),
		"keys not sorted":     behind(0, 1, 'b', 0, 1, 'a', 0),
		"key twice":           behind(0, 1, 'a', 0, 1, 'a', 0),
		"flash without stamp": behind(1, 'a', 0, 0),
		"flash too late":      slices.Concat(head, []byte{1, 'a'}, make([]byte, 8), []byte{1}, make([]byte, 7), []byte{0, 0}),
		"flash twice":         slices.Concat(head, []byte{1, 'a'}, make([]byte, 16), []byte{0, 1, 'a'}, make([]byte, 16), []byte{0, 0}),
	}
}

func TestMalformedRecordIsRefused(t *testing.T) {
	for name, data := range malformedRecords(t) {
		rec, err := session.ParseRecord(session.Token{}, data)
		assert.Error(t, err, name)
		assert.Nil(t, rec, name)
	}
	_, good := packRecord(t, recordBuilder())
	for n := range good {
		if _, err := session.ParseRecord(session.Token{}, good[:n]); err == nil {
			packed := mustRepack(t, good[:n])
			assert.Equal(t, good[:n], packed, "cut at %d: it is another record then", n)
		}
	}
}

func mustRepack(tb testing.TB, data []byte) []byte {
	tb.Helper()
	rec, err := session.ParseRecord(session.Token{}, data)
	require.NoError(tb, err)
	packed, err := rec.AppendBinary(nil)
	require.NoError(tb, err)
	return packed
}

// FuzzParseRecord holds that what is accepted packs to itself, that nothing panics on it, and
// that a declared length allocates nothing.
func FuzzParseRecord(f *testing.F) {
	_, good := packRecord(f, recordBuilder())
	f.Add(good)
	_, empty := packRecord(f, &session.RecordBuilder{CreatedAt: time.UnixMilli(0), UsedAt: time.UnixMilli(0)})
	f.Add(empty)
	for _, data := range malformedRecords(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := allocated()
		rec, err := session.ParseRecord(session.NewToken("s_test"), data)
		if used := allocated() - before; used > 1<<20+4*uint64(len(data)) {
			t.Fatalf("%d bytes were allocated for an input of %d", used, len(data))
		}
		if err != nil {
			return
		}
		packed, err := rec.AppendBinary(nil)
		require.NoError(t, err)
		require.Equal(t, data, packed)
		for key, value := range rec.Values() {
			got, ok := rec.Value(key)
			require.True(t, ok)
			require.Equal(t, value, got)
		}
		requireRebuilds(t, rec, data)
		requireMerges(t, rec)
	})
}

// allocated returns how many bytes the process has ever allocated.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// requireRebuilds holds that the parts of a record make the same record.
func requireRebuilds(t *testing.T, rec *session.Record, data []byte) {
	t.Helper()
	b := session.RecordBuilder{ID: rec.ID(), CreatedAt: rec.CreatedAt(), UsedAt: rec.UsedAt(), Limits: rec.Limits(), Numbers: rec.Numbers()}
	for key, value := range rec.Values() {
		b.Value(key, value)
	}
	for key, v := range rec.Flash() {
		b.Flash(key, v)
	}
	for key, value := range rec.Account() {
		b.Account(key, value)
	}
	again, err := b.Build(rec.Token())
	require.NoError(t, err)
	packed, err := again.AppendBinary(nil)
	require.NoError(t, err)
	require.Equal(t, data, packed)
}

// requireMerges holds that changes make a record of it that can be read again.
func requireMerges(t *testing.T, rec *session.Record) {
	t.Helper()
	b := session.ChangesBuilder{Now: time.UnixMilli(1_700_000_000_000), Number: 1, Ops: []session.Op{
		{Kind: session.OpSet, Key: "m", Value: "'x"}, {Kind: session.OpDelete, Key: "name"},
		{Kind: session.OpFlash, Key: "m", Value: "'x"}, {Kind: session.OpExpireFlash, Key: "notice", Stamp: 7},
	}}
	ch, err := b.Build()
	require.NoError(t, err)
	packed, err := ch.Apply(rec).AppendBinary(nil)
	require.NoError(t, err)
	require.Equal(t, packed, mustRepack(t, packed))
}

// tokenTable are token values, and whether they are of the one shape that NewToken gives.
var tokenTable = []struct {
	value string
	want  bool
}{
	{value: strings.Repeat("A", 43), want: true},
	{value: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN-_0", want: true},
	{value: strings.Repeat("A", 42) + "B"}, // bits that no encoder sets
	{value: strings.Repeat("A", 42)},
	{value: strings.Repeat("A", 44)},
	{value: ""},
	{value: strings.Repeat("A", 42) + "="},
	{value: strings.Repeat("A", 42) + "+"},
	{value: strings.Repeat("A", 42) + "\x00"},
	{value: strings.Repeat("é", 21) + "A"},
	{value: "../" + strings.Repeat("A", 40)},
	{value: strings.Repeat("x", 100_000)},
}

func TestTokenHasOneSpelling(t *testing.T) {
	for _, test := range tokenTable {
		assert.Equal(t, test.want, session.NewToken("s").WithValue(test.value).WellFormed(), "%.60q", test.value)
	}
	for range 100 {
		assert.True(t, session.NewToken("s").WellFormed())
	}
}

// FuzzToken holds the check that every token passes before it reaches a store to the encoder of
// the standard library, and the store's key to what a file name or a redis key may be.
func FuzzToken(f *testing.F) {
	for _, test := range tokenTable {
		f.Add("s_memory", test.value)
	}
	f.Add("", "")
	driver := session.NewMemoryDriver(session.MemoryConfig{})
	f.Fuzz(func(t *testing.T, scope, value string) {
		tok := session.NewToken(scope).WithValue(value)
		raw, err := base64.RawURLEncoding.Strict().DecodeString(value)
		wellFormed := err == nil && len(raw) == 32 && base64.RawURLEncoding.EncodeToString(raw) == value
		require.Equal(t, wellFormed, tok.WellFormed())

		id := tok.ID()
		require.Len(t, id, 43)
		require.True(t, tok.WithValue(id).WellFormed(), "the key of a store has the alphabet of a token")
		require.NotEqual(t, id, session.NewToken(scope+"x").WithValue(value).ID())
		require.NotEqual(t, id, tok.WithValue(value+"x").ID())

		_, err = driver.Load(t.Context(), tok, time.Now())
		require.ErrorIs(t, err, session.ErrNoSession)
		require.NoError(t, driver.Destroy(t.Context(), tok))
		require.Zero(t, driver.Entries())
	})
}
