package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	recordVersion = 1
	maxKey        = 255 // bytes of a key: its length is one byte
	keepNumbers   = 8   // how many saves a record remembers
	idBytes       = 16

	flagRemembered = 1
	flagAccount    = 2

	maxAccount = 4096 // bytes of the account part
)

// Limits say how long a session lives. Both are judged by the server's clock.
type Limits struct {
	Lifetime   time.Duration // since it was created or regenerated; activity does not extend it
	Idle       time.Duration // since it was last opened
	Remembered bool          // they were set by Session.Remember and outlive Regenerate
}

// A Record is what is stored of a session at one moment. It is immutable and safe for
// concurrent use: a session is a record plus the changes made in one request.
type Record struct {
	token   Token
	head    header
	numbers string       // eight bytes for each of the last saves
	account string       // account entries, sorted by key; empty for a visitor who never signed in
	body    string       // flash entries, a zero byte, data entries; each part sorted by key
	home    *memoryEntry // where the memory driver found it, nil elsewhere: spares the save a hash and a look-up
	resave  bool
	first   bool // it was opened for the first time
	assumed bool // worked out after a save, not loaded: what others saved may be missing
}

// A header is the part of a record that has a fixed size. Times and durations are in
// milliseconds, times since 1970.
type header struct {
	id             [idBytes]byte
	created, used  int64
	lifetime, idle int64
	remembered     bool
}

func (h *header) setLimits(l Limits) {
	h.lifetime, h.idle, h.remembered = l.Lifetime.Milliseconds(), l.Idle.Milliseconds(), l.Remembered
}

func (h *header) limits() Limits {
	return Limits{
		Lifetime:   time.Duration(h.lifetime) * time.Millisecond,
		Idle:       time.Duration(h.idle) * time.Millisecond,
		Remembered: h.remembered,
	}
}

// expires returns the end of whichever limit ends first.
func (h *header) expires() int64 { return min(h.created+h.lifetime, h.used+h.idle) }

// A FlashValue is an encoded flash value as a record holds it.
type FlashValue struct {
	Value string    // encoded
	Stamp uint64    // the number of the save that stored it: what expires is what was loaded
	Until time.Time // the end of its FlashTTL; zero where it has none
}

// Token returns the token that opens the record.
func (r *Record) Token() Token { return r.token }

// ID returns the record's random identifier. It changes when the token is replaced.
func (r *Record) ID() [16]byte { return r.head.id }

// CreatedAt returns when the session was created or last regenerated.
func (r *Record) CreatedAt() time.Time { return time.UnixMilli(r.head.created) }

// UsedAt returns when the session was last opened or saved.
func (r *Record) UsedAt() time.Time { return time.UnixMilli(r.head.used) }

// ExpiresAt returns when the idle timeout or the lifetime ends, whichever is first.
func (r *Record) ExpiresAt() time.Time { return time.UnixMilli(r.head.expires()) }

// Limits returns the limits that the record was stored with.
func (r *Record) Limits() Limits { return r.head.limits() }

// Numbers returns the numbers of the last saves, the newest last; at most eight.
func (r *Record) Numbers() []uint64 {
	numbers := make([]uint64, 0, keepNumbers)
	for rest := r.numbers; rest != ""; rest = rest[8:] {
		numbers = append(numbers, uint64At(rest))
	}
	return numbers
}

// Value returns the encoded value of a key.
func (r *Record) Value(key string) (string, bool) {
	return r.value(key)
}

// Values returns the keys and encoded values in the order of the keys.
func (r *Record) Values() iter.Seq2[string, string] { return r.data() }

// data is Values, also of no record.
func (r *Record) data() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for c := r.dataEntries(); c.next(); {
			if !yield(c.entry.key, c.entry.value) {
				return
			}
		}
	}
}

// Flash returns the keys and flash values in the order of the keys.
func (r *Record) Flash() iter.Seq2[string, FlashValue] {
	return func(yield func(string, FlashValue) bool) {
		for c := r.flashEntries(); c.next(); {
			if !yield(c.entry.key, c.entry.flashValue()) {
				return
			}
		}
	}
}

// Account returns the entries of the account part in the order of their keys: who is signed in
// and since when. They are apart from data and flash, and a visitor has none.
func (r *Record) Account() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for c := r.accountEntries(); c.next(); {
			if !yield(c.entry.key, c.entry.value) {
				return
			}
		}
	}
}

// Touched returns the record with t as its last use.
func (r *Record) Touched(t time.Time) *Record {
	touched := *r
	touched.head.used = t.UnixMilli()
	return &touched
}

// Resave returns a copy that is saved at commit even where nothing changed. A driver whose
// token is the record itself asks for it when the use is to be noted.
func (r *Record) Resave() *Record {
	again := *r
	again.resave = true
	return &again
}

func (r *Record) flashEntries() cursor {
	if r == nil {
		return cursor{}
	}
	return cursor{rest: r.body, flash: true}
}

func (r *Record) accountEntries() cursor {
	if r == nil {
		return cursor{}
	}
	return cursor{rest: r.account}
}

// hasFlash reports whether there is flash, dead by its clock or not. Most records have none.
func (r *Record) hasFlash() bool { return r != nil && r.body != "" && r.body[0] != 0 }

// dataEntries skips the flash part, which is one byte where there is no flash.
func (r *Record) dataEntries() cursor {
	c := r.flashEntries()
	for c.next() {
	}
	return cursor{rest: c.rest}
}

// value is Value, also of no record. It walks the data part without a look at what stands under
// other keys: a third of the time that a cursor takes.
func (r *Record) value(key string) (string, bool) {
	rest := r.dataEntries().rest
	for rest != "" {
		n := 1 + int(rest[0])
		size, width := uint64(rest[n]), 1
		if size >= 0x80 {
			size, width = uvarint(rest[n:])
		}
		end := n + width + int(size)
		if rest[1:n] == key {
			return rest[n+width : end], true
		}
		rest = rest[end:]
	}
	return "", false
}

func (r *Record) expired(now time.Time) bool { return now.UnixMilli() >= r.head.expires() }

// applied reports whether the save of this number has been applied before.
func (r *Record) applied(number uint64) bool {
	for rest := r.numbers; rest != ""; rest = rest[8:] {
		if uint64At(rest) == number {
			return true
		}
	}
	return false
}

// lastNumber returns the number of the last save, 0 where none is remembered.
func (r *Record) lastNumber() uint64 {
	if r.numbers == "" {
		return 0
	}
	return uint64At(r.numbers[len(r.numbers)-8:])
}

// sameContent reports whether two states of a session differ in nothing but their last use.
func (r *Record) sameContent(other *Record) bool {
	return r.numbers == other.numbers && r.body == other.body && r.account == other.account
}

// An entry is one key of a packed body.
type entry struct {
	key, value string
	stamp      uint64
	until      int64
}

func (e entry) flashValue() FlashValue {
	v := FlashValue{Value: e.value, Stamp: e.stamp}
	if e.until != 0 {
		v.Until = time.UnixMilli(e.until)
	}
	return v
}

// A cursor walks the entries of one part of a packed body that is known to be well-formed. An
// entry is a key length (1 byte), the key, for flash its stamp (8) and end (8), a value length
// (uvarint) and the value. A key length of zero ends the flash part.
type cursor struct {
	rest  string
	flash bool
	entry entry
}

// next moves to the next entry and reports whether there is one.
func (c *cursor) next() bool {
	if c.rest == "" {
		return false
	}
	n := int(c.rest[0])
	if n == 0 {
		c.rest = c.rest[1:]
		return false
	}
	c.entry.key, c.rest = c.rest[1:1+n], c.rest[1+n:]
	if c.flash {
		c.entry.stamp, c.entry.until = uint64At(c.rest), int64(uint64At(c.rest[8:]))
		c.rest = c.rest[16:]
	}
	size, width := uvarint(c.rest)
	end := width + int(size)
	c.entry.value, c.rest = c.rest[width:end], c.rest[end:]
	return true
}

// seek moves in front of the first entry whose key is not before key, and reports whether it is
// that key's.
func (c *cursor) seek(key string) bool {
	for c.rest != "" && c.rest[0] != 0 {
		n := 1 + int(c.rest[0])
		if at := c.rest[1:n]; at >= key {
			return at == key
		}
		c.rest = c.rest[c.entrySize(n):]
	}
	return false
}

// entrySize returns how long the first entry is, whose key ends at n.
func (c *cursor) entrySize(n int) int {
	if c.flash {
		n += flashExtra
	}
	size, width := uvarint(c.rest[n:])
	return n + width + int(size)
}

// part returns the entries that are left.
func (c cursor) part() string {
	all := c.rest
	if !c.flash {
		return all // nothing comes after the data
	}
	for c.rest != "" && c.rest[0] != 0 {
		c.rest = c.rest[c.entrySize(1+int(c.rest[0])):]
	}
	return all[:len(all)-len(c.rest)]
}

// find returns the entry of a key. Entries are sorted, so it can stop early.
func (c cursor) find(key string) (entry, bool) {
	for c.next() {
		if c.entry.key >= key {
			return c.entry, c.entry.key == key
		}
	}
	return entry{}, false
}

// appendEntry packs one entry of the flash or the data part.
func appendEntry(dst []byte, e *entry, flash bool) []byte {
	dst = append(dst, byte(len(e.key)))
	dst = append(dst, e.key...)
	if flash {
		dst = binary.BigEndian.AppendUint64(dst, e.stamp)
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.until))
	}
	dst = binary.AppendUvarint(dst, uint64(len(e.value)))
	return append(dst, e.value...)
}

const (
	headSize    = 2 + idBytes + 4*8 + 1 // version, flags, id, four times, count of numbers
	flashExtra  = 16
	accountHead = 2
)

// AppendBinary appends the packed form of the record, without its token:
//
//	version 1 B | flags 1 B | id 16 B | created 8 B | used 8 B | lifetime 8 B | idle 8 B |
//	count of save numbers 1 B | numbers 8 B each | account part | flash entries | 0 | data entries
//
// The account part stands only where its flag does: its length in 2 bytes, then its entries.
// Numbers are big-endian, times in milliseconds since 1970, durations in milliseconds.
// ParseRecord reads it back. The error is always nil.
func (r *Record) AppendBinary(dst []byte) ([]byte, error) {
	dst = r.head.append(slices.Grow(dst, r.packedSize()), r.numbers, r.account)
	return append(dst, r.body...), nil
}

// append packs everything of a record that stands before its body.
func (h *header) append(dst []byte, numbers, account string) []byte {
	var flags byte
	if h.remembered {
		flags = flagRemembered
	}
	if account != "" {
		flags |= flagAccount
	}
	dst = append(dst, recordVersion, flags)
	dst = append(dst, h.id[:]...)
	for _, ms := range [...]int64{h.created, h.used, h.lifetime, h.idle} {
		dst = binary.BigEndian.AppendUint64(dst, uint64(ms))
	}
	dst = append(dst, byte(len(numbers)/8))
	dst = append(dst, numbers...)
	if account != "" {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(account)))
		dst = append(dst, account...)
	}
	return dst
}

// packedSize returns how many bytes AppendBinary appends.
func (r *Record) packedSize() int {
	size := headSize + len(r.numbers) + len(r.body)
	if r.account != "" {
		size += accountHead + len(r.account)
	}
	return size
}

var errMalformed = errors.New("session: parse record: malformed")

// ParseRecord reads the packed form that AppendBinary writes, and nothing else: every accepted
// input packs to itself again. Every declared length is checked against the bytes present, and
// nothing is allocated but one copy of data. A record that is not well-formed is an error.
func ParseRecord(tok Token, data []byte) (*Record, error) {
	if len(data) < headSize {
		return nil, errMalformed
	}
	if data[0] != recordVersion {
		return nil, fmt.Errorf("session: parse record: version %d is not known", data[0])
	}
	r := &Record{token: tok}
	if err := r.head.parse(data); err != nil {
		return nil, err
	}
	rest := string(data[headSize:])
	count := int(data[headSize-1])
	if count > keepNumbers || len(rest) < count*8 {
		return nil, errMalformed
	}
	r.numbers, rest = rest[:count*8], rest[count*8:]
	if data[1]&flagAccount != 0 {
		var ok bool
		if r.account, rest, ok = cutAccount(rest); !ok {
			return nil, errMalformed
		}
	}
	r.body = rest
	if !wellFormedBody(r.body) {
		return nil, errMalformed
	}
	return r, nil
}

const (
	maxMilli = int64(1) << 52                          // bounds times, so that no sum with a duration overflows
	maxSpan  = int64(math.MaxInt64 / time.Millisecond) // bounds durations to what a time.Duration holds
)

func (h *header) parse(data []byte) error {
	if data[1]&^(flagRemembered|flagAccount) != 0 {
		return errMalformed
	}
	h.remembered = data[1]&flagRemembered != 0
	copy(h.id[:], data[2:])
	for i, field := range [...]*int64{&h.created, &h.used, &h.lifetime, &h.idle} {
		v, most := binary.BigEndian.Uint64(data[2+idBytes+8*i:]), maxMilli
		if i >= 2 {
			most = maxSpan
		}
		if v > uint64(most) {
			return errMalformed
		}
		*field = int64(v)
	}
	return nil
}

// cutAccount returns the account part and what follows it.
func cutAccount(rest string) (account, after string, ok bool) {
	if len(rest) < accountHead {
		return "", "", false
	}
	size := int(rest[0])<<8 | int(rest[1])
	rest = rest[accountHead:]
	if size == 0 || size > maxAccount || size > len(rest) {
		return "", "", false
	}
	account, after = rest[:size], rest[size:]
	left, ok := skipPart(account, 0)
	return account, after, ok && left == ""
}

// wellFormedBody reports whether a body is one that appendEntry can have written: whole
// entries, keys strictly ascending, lengths in their one spelling.
func wellFormedBody(body string) bool {
	rest, ok := skipPart(body, flashExtra)
	if !ok || rest == "" || rest[0] != 0 {
		return false
	}
	rest, ok = skipPart(rest[1:], 0)
	return ok && rest == ""
}

// skipPart returns what follows the entries of one part: nothing, or a key length of zero.
func skipPart(rest string, extra int) (string, bool) {
	last := ""
	for rest != "" && rest[0] != 0 {
		n := int(rest[0])
		if len(rest) < 1+n+extra {
			return "", false
		}
		key := rest[1 : 1+n]
		if key <= last {
			return "", false
		}
		if extra > 0 && uint64At(rest[1+n+8:]) > uint64(maxMilli) {
			return "", false
		}
		rest, last = rest[1+n+extra:], key
		size, width := uvarint(rest)
		if width == 0 || size > uint64(len(rest)-width) {
			return "", false
		}
		rest = rest[width+int(size):]
	}
	return rest, true
}

func uint64At(s string) uint64 {
	_ = s[7]
	return uint64(s[7]) | uint64(s[6])<<8 | uint64(s[5])<<16 | uint64(s[4])<<24 |
		uint64(s[3])<<32 | uint64(s[2])<<40 | uint64(s[1])<<48 | uint64(s[0])<<56
}

// uvarint reads what binary.AppendUvarint writes. The width is zero where s does not begin
// with the shortest spelling of a length.
func uvarint(s string) (value uint64, width int) {
	if s != "" && s[0] < 0x80 {
		return uint64(s[0]), 1 // nearly every value
	}
	for i := 0; i < len(s) && i < 5; i++ { // five bytes hold any length that fits memory here
		value |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			if i > 0 && s[i] == 0 {
				return 0, 0
			}
			return value, i + 1
		}
	}
	return 0, 0
}

// A RecordBuilder makes a Record from parts that a store keeps apart. The zero value is ready.
type RecordBuilder struct {
	ID        [16]byte
	CreatedAt time.Time
	UsedAt    time.Time
	Limits    Limits
	Numbers   []uint64 // at most eight, the newest last

	data, flash, account []entry
}

// Value adds an encoded value under a key.
func (b *RecordBuilder) Value(key, encoded string) {
	b.data = append(b.data, entry{key: key, value: encoded})
}

// Flash adds a flash value under a key.
func (b *RecordBuilder) Flash(key string, v FlashValue) {
	e := entry{key: key, value: v.Value, stamp: v.Stamp}
	if !v.Until.IsZero() {
		e.until = v.Until.UnixMilli()
	}
	b.flash = append(b.flash, e)
}

// Account adds an entry of the account part.
func (b *RecordBuilder) Account(key, value string) {
	b.account = append(b.account, entry{key: key, value: value})
}

// Build returns the record that tok opens. Keys that occur twice or have an impossible length,
// and times that a record cannot hold, are errors.
func (b *RecordBuilder) Build(tok Token) (*Record, error) {
	r := &Record{token: tok, head: header{id: b.ID, created: b.CreatedAt.UnixMilli(), used: b.UsedAt.UnixMilli()}}
	r.head.setLimits(b.Limits)
	for _, ms := range [...]int64{r.head.created, r.head.used, r.head.lifetime, r.head.idle} {
		if ms < 0 || ms > maxMilli {
			return nil, errMalformed
		}
	}
	if len(b.Numbers) > keepNumbers {
		return nil, errMalformed
	}
	var numbers [keepNumbers * 8]byte
	packed := numbers[:0]
	for _, n := range b.Numbers {
		packed = binary.BigEndian.AppendUint64(packed, n)
	}
	r.numbers = string(packed)
	var scratch [1024]byte
	body, ok := appendSorted(scratch[:0], b.flash, true)
	if !ok {
		return nil, errMalformed
	}
	if body, ok = appendSorted(append(body, 0), b.data, false); !ok {
		return nil, errMalformed
	}
	r.body = string(body)
	account, ok := appendSorted(scratch[:0], b.account, false)
	if !ok || len(account) > maxAccount {
		return nil, errMalformed
	}
	r.account = string(account)
	return r, nil
}

// appendSorted packs entries in the order of their keys and reports whether it could.
func appendSorted(dst []byte, entries []entry, flash bool) ([]byte, bool) {
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	for i := range entries {
		e := &entries[i]
		if len(e.key) == 0 || len(e.key) > maxKey || (i > 0 && e.key == entries[i-1].key) ||
			e.until < 0 || e.until > maxMilli {
			return nil, false
		}
		dst = appendEntry(dst, e, flash)
	}
	return dst, true
}
