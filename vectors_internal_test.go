package session

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	goflag "flag" // the package has a function of that name
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = goflag.Bool("update", false, "write the recorded files in testdata anew")

const vectorsFile = "testdata/cookie_vectors.json"

// vectorTime is what the clock says where no vector says otherwise.
var vectorTime = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// A cookieVector is a sealed cookie and what a reader of docs/format.md makes of it.
type cookieVector struct {
	Name            string            `json:"name"`
	Secret          string            `json:"secret"`
	PreviousSecrets []string          `json:"previous_secrets,omitempty"`
	CookieName      string            `json:"cookie_name"`
	Time            int64             `json:"time"`              // milliseconds since 1970
	Payload         string            `json:"payload,omitempty"` // the packed record in hex
	Entries         map[string]string `json:"entries,omitempty"` // of the record, where they are text
	Cookie          string            `json:"cookie"`
}

// cookieVectors is the file: what opens, what must not, and what opens to a session that is over.
// Of each that opens, every truncation and every flipped bit must not open either.
type cookieVectors struct {
	Opens   []cookieVector `json:"opens"`
	Refused []cookieVector `json:"refused"`
	Expired []cookieVector `json:"expired"`
}

// The vectors are sealed with nonces made of their names, so that writing them again changes
// nothing but what the format changes.
func TestRecordedCookiesAreWhatThisVersionWrites(t *testing.T) {
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
	assert.Equal(t, want.String(), string(recorded), "a changed format needs a new version and a new file")
}

func makeVectors(t *testing.T) cookieVectors {
	return cookieVectors{Opens: openingVectors(t), Refused: refusedVectors(t), Expired: expiredVectors(t)}
}

// vectorRecord returns a builder with fixed limits.
func vectorRecord() *RecordBuilder {
	return &RecordBuilder{
		ID:        [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
		CreatedAt: vectorTime.Add(-time.Hour),
		UsedAt:    vectorTime.Add(-time.Minute),
		Limits:    Limits{Lifetime: 24 * time.Hour, Idle: time.Hour},
	}
}

func openingVectors(t *testing.T) []cookieVector {
	empty := vectorRecord()
	plain := vectorRecord()
	for key, value := range map[string]string{
		"string": "'Ann", "empty": "'", "unicode": "'Zoë ✓", "integer": "42", "negative": "-7",
		"least": "-9223372036854775808", "largest": "18446744073709551615", "float": "~5", "small": "~1e-07",
		"negative zero": "~-0", "nan": "~NaN", "infinite": "~-Inf", "true": "t", "false": "f", "nil": "n",
		"object": `={"items":[1,2.5,5.0,null],"name":"Ann"}`, "ключ": "'a key of another script",
	} {
		plain.Value(key, value)
	}
	flash := vectorRecord()
	flash.Value("success", "'data of the same key")
	flash.Flash("success", FlashValue{Value: "'Saved!", Stamp: 0x0123456789abcdef})
	flash.Flash("timed", FlashValue{Value: "'Soon gone", Stamp: 1, Until: vectorTime.Add(2 * time.Second)})
	bytesOnly := vectorRecord()
	bytesOnly.Value("\x00\xff", "'\x80\x00\n;\"")
	remembered := vectorRecord()
	remembered.Limits = Limits{Lifetime: maxLifetime, Idle: maxLifetime, Remembered: true}
	long := vectorRecord()
	long.Value(strings.Repeat("k", maxKey), "'"+strings.Repeat("v", 300)) // a length of two bytes
	ahead := vectorRecord()
	ahead.CreatedAt, ahead.UsedAt = vectorTime.Add(futureSkew), vectorTime.Add(futureSkew)
	saves := vectorRecord()
	saves.Numbers = []uint64{1, 2, 3, 4, 5, 6, 7, 8}

	account := vectorRecord()
	account.Value("cart", "3")
	account.Account("user", "ann@example.com")
	account.Account("authenticated", "1700000000000")
	account.Account("hints", `{"agent":"Firefox"}`)

	opens := []cookieVector{
		vector(t, "empty", pack(t, empty)),
		vector(t, "every kind of value", pack(t, plain)),
		vector(t, "flash", pack(t, flash)),
		vector(t, "bytes that are no text", pack(t, bytesOnly)),
		vector(t, "remembered", pack(t, remembered)),
		vector(t, "long key and value", pack(t, long)),
		vector(t, "a clock a minute ahead", pack(t, ahead)),
		vector(t, "save numbers", pack(t, saves)),
		vector(t, "account", pack(t, account)),
	}
	rotated := vector(t, "sealed by a previous secret", pack(t, plain))
	rotated.Secret, rotated.PreviousSecrets = cryptoOtherSecret, []string{cryptoSecret}
	return append(opens, rotated, sealedFor(t, "__Host-s_cookie", vector(t, "another cookie name", pack(t, flash))))
}

func expiredVectors(t *testing.T) []cookieVector {
	packed := pack(t, vectorRecord())
	idle := vector(t, "idle for exactly its timeout", packed)
	idle.Time = vectorTime.Add(-time.Minute).Add(time.Hour).UnixMilli()
	old := vectorRecord()
	old.Limits.Idle = old.Limits.Lifetime
	over := vector(t, "as old as its lifetime", pack(t, old))
	over.Time = vectorTime.Add(-time.Hour).Add(24 * time.Hour).UnixMilli()
	return []cookieVector{idle, over}
}

// refusedVectors are sealed with the right key, where nothing else is said: what opens the seal
// must still be checked.
func refusedVectors(t *testing.T) []cookieVector {
	good := vector(t, "good", pack(t, vectorRecord()))
	aligned := vectorRecord()
	aligned.Value("kk", "n") // its cookie has no unused bits, and Go's decoder would pass over a newline in it
	refused := append(misplacedVectors(t, good), misspeltVectors(good, "padding", "space at the end", "quotes", "trailing bits")...)
	refused = append(refused, misspeltVectors(vector(t, "aligned", pack(t, aligned)), "newline inside", "carriage return", "newline at the end")...)

	created, used := vectorRecord(), vectorRecord()
	created.CreatedAt = vectorTime.Add(futureSkew + time.Millisecond)
	used.UsedAt = vectorTime.Add(futureSkew + time.Millisecond)
	refused = append(refused,
		vector(t, "created more than a minute ahead", pack(t, created)),
		vector(t, "used more than a minute ahead", pack(t, used)))
	for _, broken := range brokenRecords(t) {
		refused = append(refused, vector(t, broken.name, broken.packed))
	}
	return refused
}

// misplacedVectors are good cookies in a place that they were not sealed for.
func misplacedVectors(t *testing.T, good cookieVector) []cookieVector {
	otherName, otherManager, retired, swapped := good, good, good, good
	otherName.Name, otherName.CookieName = "other name", "s_other"
	otherManager.Name, otherManager.CookieName = "other manager of the same secret", "admin_cookie"
	retired.Name, retired.Secret = "retired secret", cryptoOtherSecret
	swapped.Name, swapped.PreviousSecrets = "key id of another key", []string{cryptoOtherSecret}
	wire := unbase64(t, good.Cookie)
	copy(wire, mustKeyring(t, cryptoOtherSecret).keys[0].header[:])
	swapped.Cookie = tobase64(wire)

	version := good
	version.Name = "other version, sealed by the right key"
	header := mustKeyring(t, cryptoSecret).keys[0].header
	header[0] = 2
	version.Cookie = sealFixed(t, header, good.CookieName, version.Name, unhex(t, good.Payload))
	version.Payload = ""
	return []cookieVector{otherName, otherManager, retired, swapped, version}
}

// misspeltVectors are other spellings of a good cookie.
func misspeltVectors(good cookieVector, spellings ...string) (misspelt []cookieVector) {
	spelled := notBase64(good.Cookie)
	for _, spelling := range spellings {
		v := good
		v.Name, v.Cookie = "spelt with "+spelling, spelled[spelling]
		misspelt = append(misspelt, v)
	}
	return misspelt
}

type brokenRecord struct {
	name   string
	packed []byte
}

// brokenRecords break one rule of the packed form each.
func brokenRecords(t *testing.T) []brokenRecord {
	head := pack(t, vectorRecord())[:headSize]
	flashEntry := func(key string, until uint64) string {
		return string(byte(len(key))) + key + "\x00\x00\x00\x00\x00\x00\x00\x01" + string(binary.BigEndian.AppendUint64(nil, until)) + "\x01n"
	}
	with := func(name, body string) brokenRecord { return brokenRecord{name, append(bytes.Clone(head), body...)} }
	at := func(name string, i int, b ...byte) brokenRecord {
		packed := append(bytes.Clone(head), 0)
		copy(packed[i:], b)
		return brokenRecord{name, packed}
	}
	signedIn := func(name, rest string) brokenRecord {
		packed := append(bytes.Clone(head), rest...)
		packed[1] = flagAccount
		return brokenRecord{name, packed}
	}
	nine := with("nine save numbers", string(make([]byte, 9*8))+"\x00")
	nine.packed[headSize-1] = 9
	tooLong := binary.BigEndian.AppendUint64(nil, 9_223_372_036_855)
	tooLate := binary.BigEndian.AppendUint64(nil, 1<<52+1)
	return []brokenRecord{
		{"nothing", nil},
		{"shorter than its fixed part", head[:headSize-1]},
		with("no end of the flash part", ""),
		with("flash without an end", flashEntry("k", 0)),
		with("something behind the end", "\x00\x01k\x01n\x00"),
		with("a key longer than what is there", "\x00\xffk"),
		with("a flash key longer than what is there", "\xffk"),
		with("no room for a stamp", "\x01k\x00\x00"),
		with("no length", "\x00\x01k"),
		with("a value longer than what is there", "\x00\x01k\x02n"),
		with("a length of 2 GB", "\x00\x01k\xff\xff\xff\xff\x07n"),
		with("a length of 32 GB", "\x00\x01k\xff\xff\xff\xff\x7fn"),
		with("a length of six bytes", "\x00\x01k\x81\x80\x80\x80\x80\x00n"),
		with("a length of 2^63", "\x00\x01k\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01n"),
		with("a length that is not the shortest", "\x00\x01k\x81\x00n"),
		with("a length without an end", "\x00\x01k\x80"),
		with("keys out of order", "\x00\x01b\x01n\x01a\x01n"),
		with("a key twice", "\x00\x01k\x01n\x01k\x01t"),
		with("flash keys out of order", flashEntry("b", 0)+flashEntry("a", 0)+"\x00"),
		with("flash until too late", flashEntry("k", 1<<52+1)+"\x00"),
		at("version 0", 0, 0), at("version 2", 0, 2), at("an unknown flag", 1, 4),
		signedIn("no account part", ""), signedIn("an account part without entries", "\x00\x00\x00"),
		signedIn("an account part longer than what is there", "\x00\x05\x01k\x01n\x00"),
		signedIn("an account entry that goes past its part", "\x00\x04\x01k\x02na\x00"),
		signedIn("a flash part in the account part", "\x00\x05\x01k\x01n\x00\x00"),
		signedIn("account keys out of order", "\x00\x08\x01b\x01n\x01a\x01n\x00"),
		at("created too late to be a time", 18, tooLate...), at("used too late to be a time", 26, tooLate...),
		at("lifetime too long", 34, tooLate...), at("idle too long", 42, tooLate...), at("idle negative", 42, 0xff),
		at("lifetime of 293 years", 34, tooLong...), at("idle of 293 years", 42, tooLong...),
		nine, at("more save numbers than are there", headSize-1, 8),
	}
}

func pack(t *testing.T, b *RecordBuilder) []byte {
	t.Helper()
	rec, err := b.Build(Token{})
	require.NoError(t, err)
	packed, err := rec.AppendBinary(nil)
	require.NoError(t, err)
	return packed
}

func vector(t *testing.T, name string, packed []byte) cookieVector {
	v := cookieVector{Name: name, Secret: cryptoSecret, Time: vectorTime.UnixMilli(), Payload: hex.EncodeToString(packed)}
	if rec, err := ParseRecord(Token{}, packed); err == nil {
		v.Entries = entriesOf(rec)
	}
	return sealedFor(t, cryptoName, v)
}

// sealedFor seals a vector's payload for a cookie name.
func sealedFor(t *testing.T, cookieName string, v cookieVector) cookieVector {
	v.CookieName = cookieName
	v.Cookie = sealFixed(t, mustKeyring(t, v.Secret).keys[0].header, cookieName, v.Name, unhex(t, v.Payload))
	return v
}

// sealFixed seals with a nonce that is made of a text, which the package itself never does.
func sealFixed(t *testing.T, header [sealedHeader]byte, cookieName, nonceText string, plaintext []byte) string {
	nonce := sha256.Sum256([]byte(nonceText))
	key := mustKeyring(t, cryptoSecret).keys[0].cipher
	wire := append(header[:], nonce[:24]...)
	aad := append(bytes.Clone(header[:]), cookieName...)
	return base64.RawURLEncoding.EncodeToString(append(wire, xaesSealFixed(t, key, nonce[:24], plaintext, aad)...))
}

// entriesOf returns the encoded values of a record, nil where one is no text.
func entriesOf(rec *Record) map[string]string {
	entries := make(map[string]string)
	for key, value := range rec.Values() {
		entries["v:"+key] = value
	}
	for key, v := range rec.Flash() {
		entries["f:"+key] = v.Value
	}
	for key, value := range rec.Account() {
		entries["a:"+key] = value
	}
	for key, value := range entries {
		if !utf8.ValidString(key + value) {
			return nil
		}
	}
	return entries
}
