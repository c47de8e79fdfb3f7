package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each target reads what a client, a store or a file may hold. Nothing panics, what is accepted
// is written back the same, and no declared length makes more be allocated than the input is long.

// recordedVectors returns the recorded cookies, for seeds.
func recordedVectors(t testing.TB) []cookieVector {
	t.Helper()
	data, err := os.ReadFile(vectorsFile)
	require.NoError(t, err)
	var file cookieVectors
	require.NoError(t, json.Unmarshal(data, &file))
	return append(append(file.Opens, file.Refused...), file.Expired...)
}

func FuzzLoadCookie(f *testing.F) {
	d := mustCookieDriver(f)
	for _, v := range recordedVectors(f) {
		f.Add(v.Cookie)
	}
	for _, n := range []int{sealedMax - 1, sealedMax, sealedMax + 1, 1 << 16} {
		f.Add(strings.Repeat("A", n))
	}
	f.Fuzz(func(t *testing.T, value string) {
		var rec *Record
		var err error
		bytes := allocated(func() { rec, err = d.Load(context.Background(), Token{scope: cryptoName, value: value}, vectorTime) })
		assert.LessOrEqual(t, bytes, uint64(allocBase+4*min(len(value), sealedMax)))
		if err != nil {
			assert.Nil(t, rec)
			assert.ErrorIs(t, err, ErrNoSession)
			return
		}
		packed, err := rec.AppendBinary(nil)
		require.NoError(t, err)
		again, err := ParseRecord(rec.token, packed)
		require.NoError(t, err)
		assert.Equal(t, rec.body, again.body)
	})
}

// Behind the seal stands whatever a holder of the key has put there.
func FuzzLoadSealedRecord(f *testing.F) {
	d := mustCookieDriver(f)
	for _, packed := range packedSeeds(f) {
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		if sealedSize(len(packed)) > sealedMax {
			return
		}
		tok := Token{scope: cryptoName, value: d.keys.seal(cryptoName, packed)}
		rec, err := d.Load(context.Background(), tok, vectorTime)
		parsed, parseErr := ParseRecord(tok, packed)
		latest := vectorTime.Add(futureSkew).UnixMilli()
		switch {
		case parseErr != nil || parsed.head.created > latest || parsed.head.used > latest:
			assert.Equal(t, errNotOurs, err)
		case parsed.expired(vectorTime):
			assert.ErrorIs(t, err, ErrNoSession)
		default:
			require.NoError(t, err)
			assert.Equal(t, parsed.body, rec.body)
			assertRebuilds(t, parsed)
			assertMerges(t, parsed)
		}
	})
}

// assertRebuilds asserts that a record made of the parts is the record.
func assertRebuilds(t *testing.T, rec *Record) {
	b := RecordBuilder{ID: rec.ID(), CreatedAt: rec.CreatedAt(), UsedAt: rec.UsedAt(), Limits: rec.Limits(), Numbers: rec.Numbers()}
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
	assert.Equal(t, rec, again)
}

// assertMerges asserts that what changes make of a record is a record.
func assertMerges(t *testing.T, rec *Record) {
	ch := &Changes{now: vectorTime.UnixMilli(), number: 7}
	ch.set("k", "n")
	ch.flash("k", "t")
	ch.remove("gone")
	ch.setAccount(accountUser, "ann")
	for e := range rec.Flash() {
		ch.keep(e, 1)
	}
	next := ch.Apply(rec)
	assert.True(t, wellFormedBody(next.body))
	left, ok := skipPart(next.account, 0)
	assert.True(t, ok && left == "")
	if !rec.applied(7) {
		value, _ := next.Value("k")
		assert.Equal(t, "n", value)
	}
}

// What a Store returns may be anything: it never is another error than that there is no session.
func FuzzStoredData(f *testing.F) {
	for _, packed := range packedSeeds(f) {
		f.Add(packed)
	}
	stone := tombstone(vectorTime, 7).Data
	for _, data := range [][]byte{nil, {0}, stone, stone[:16], append(bytes.Clone(stone), 0), bytes.Repeat([]byte{0xff}, 17)} {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var rec *Record
		var err error
		bytes := allocated(func() { rec, err = liveRecord(Token{}, data, vectorTime) })
		assert.LessOrEqual(t, bytes, uint64(allocBase+2*len(data)))
		if err != nil {
			assert.Nil(t, rec)
			assert.ErrorIs(t, err, ErrNoSession)
			return
		}
		assert.False(t, rec.expired(vectorTime))
		assert.False(t, retiredBy(data, 0))
	})
}

// FuzzStoredIndex holds that an index of a user that somebody has damaged lists whole entries only,
// and that what is packed is read again.
func FuzzStoredIndex(f *testing.F) {
	now := vectorTime
	name := strings.Repeat("a", idLength+handleLength)
	whole := packIndex([]indexEntry{
		{name: name, ends: now.Add(time.Hour).UnixMilli()},
		{name: endingMark, ends: now.Add(time.Minute).UnixMilli()},
		{name: keptMark(now.UnixMilli(), name), ends: now.UnixMilli() - 1},
	}, now).Data
	for n := range whole {
		f.Add(whole[:n])
	}
	f.Add(whole)
	f.Fuzz(func(t *testing.T, data []byte) {
		entries := parseIndex(data, now)
		assert.LessOrEqual(t, len(entries)*nameAt, len(data))
		for _, e := range entries {
			assert.Greater(t, e.ends, now.UnixMilli())
		}
		packed := packIndex(entries, now)
		assert.Equal(t, entries, parseIndex(packed.Data, now))
		assert.False(t, packed.Expires.Before(now))
	})
}

// A reply is the fields and values of a hash, which others can write, or a word of a script.
func FuzzRedisReply(f *testing.F) {
	const separator = "\x1f"
	add := func(reply ...string) { f.Add(strings.Join(reply, separator)) }
	for _, b := range []*RecordBuilder{vectorRecord(), fullRecord()} {
		rec, err := b.Build(Token{})
		require.NoError(f, err)
		add(replyOf(rec)...)
	}
	add("gone")
	add("ended", "1767225600000")
	add("ended", "x")
	add("ended")
	for _, field := range []string{"@created", "@used", "@lifetime", "@idle", "@id", "@saves", "f:k", "@remembered", "v:", "f:"} {
		for _, value := range []string{"", "x", "-1", "9223372036854775807", "1e3", "0123456789abcdef 0 ", "0123456789abcdef 9 'v", "12345678"} {
			add(field, value)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		reply := redisReply(strings.Split(text, separator))
		var rec *Record
		var err error
		bytes := allocated(func() { rec, err = readRecord(Token{}, reply, vectorTime) })
		assert.LessOrEqual(t, bytes, uint64(allocBase+200*len(text)))
		if err != nil {
			assert.True(t, errors.Is(err, ErrNoSession) || errors.Is(err, errMalformed), "%v", err)
			return
		}
		again, err := readRecord(Token{}, replyOf(rec), vectorTime)
		require.NoError(t, err)
		assert.Equal(t, rec, again)
	})
}

// fullRecord returns a builder of a record with everything in it.
func fullRecord() *RecordBuilder {
	b := vectorRecord()
	b.Numbers = []uint64{1, 2, 3}
	b.Limits.Remembered = true
	b.Value("user", "'ann")
	b.Value("n", "42")
	b.Flash("success", FlashValue{Value: "'Saved! ", Stamp: 1})
	b.Flash("timed", FlashValue{Value: "t", Stamp: 1<<64 - 1, Until: vectorTime.Add(time.Second)})
	return b
}

// replyOf returns what redis returns of the hash that holds a record.
func replyOf(rec *Record) (reply []string) {
	for _, field := range recordFields(rec) {
		switch field := field.(type) {
		case string:
			reply = append(reply, field)
		case int64:
			reply = append(reply, encodeInt(field))
		}
	}
	return reply
}

// What redis refuses is an error, whatever it says of the reason.
func FuzzRedisRefusal(f *testing.F) {
	for _, reply := range [][3]string{{"not", "0", "'text"}, {"range", "0", "9223372036854775807"}, {"range", "1", "1"},
		{"not", "", ""}, {"range", "-1", "1"}, {"range", "2", "1"}, {"not", "0", "1"}} {
		f.Add(reply[0], reply[1], reply[2])
	}
	ch := &Changes{}
	require.NoError(f, ch.add("n", 1))
	ch.set("text", "'x")
	f.Fuzz(func(t *testing.T, word, position, was string) {
		assert.Error(t, refusal(ch, redisReply{word, position, was}))
	})
}

// packedSeeds returns packed records, whole and broken.
func packedSeeds(f *testing.F) (seeds [][]byte) {
	for _, v := range recordedVectors(f) {
		seeds = append(seeds, unhex(f, v.Payload))
	}
	rec, err := fullRecord().Build(Token{})
	require.NoError(f, err)
	packed, err := rec.AppendBinary(nil)
	require.NoError(f, err)
	return append(seeds, packed)
}

func mustCookieDriver(f *testing.F) *CookieDriver {
	d, err := NewCookieDriver(CookieConfig{}, cryptoSecret, cryptoOtherSecret)
	require.NoError(f, err)
	return d
}

// The memory driver knows tokens by half of their hash, and no token stands in its memory.
func TestMemoryKeepsHashesOfTokens(t *testing.T) {
	d := NewMemoryDriver(MemoryConfig{})
	tok := NewToken("s_memory")
	_, err := d.Save(t.Context(), nil, &Changes{token: tok, now: 1, limits: Limits{Lifetime: time.Hour, Idle: time.Hour}})
	require.NoError(t, err)
	key, err := d.key(tok)
	require.NoError(t, err)
	entry := d.shard(key).entries[key]
	require.NotNil(t, entry)
	sum := tok.hash()
	assert.Equal(t, sum[:16], entry.key[:])
	assert.NotContains(t, tok.value, string(entry.key[:]))
}

// A URL holds the password, and no error says it.
func FuzzRedisURL(f *testing.F) {
	for _, url := range []string{"redis://127.0.0.1:6379/1", "rediss://user:password@redis.example.com:6380", "unix:///run/redis.sock?db=2",
		"redis://:p%40ss@[::1]:1", "redis://u:secretpassword@h:port/x", "redis://u:secretpassword@h/9999999999999999999", "http://u:secretpassword@h",
		"redis://u:secretpassword@h/1?a=b", "redis://u:secret\x7fpassword@h", "://", "%zz", ""} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := RedisConfig{URL: text}.withURL()
		if err == nil {
			assert.Empty(t, c.URL)
			return
		}
		if _, rest, ok := strings.Cut(text, "@"); ok && len(rest) < len(text)-8 {
			password := text[:len(text)-len(rest)-1]
			password = password[strings.LastIndexByte(password, ':')+1:]
			if len(password) > 8 {
				assert.NotContains(t, err.Error(), password)
			}
		}
	})
}
