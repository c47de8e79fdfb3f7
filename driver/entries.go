package driver

import (
	"encoding/binary"
	"math"
	"strings"
)

const (
	flashExtra = 16        // bytes of a flash entry's stamp and end
	listedBit  = 1 << 62   // of a flash entry's end: it is an element of a list
	maxMilli   = 1<<52 - 1 // bounds times, so that no sum of them overflows

	maxDuration = math.MaxInt64 / 1_000_000 // milliseconds that a time.Duration can hold
)

// A cursor walks the packed entries of one part of a record, which are known to be well-formed. An
// entry is a key length (1 byte), the key, for flash its stamp (8 bytes) and its end (8 bytes), a
// value length (uvarint) and the value. Entries are sorted by key.
type cursor struct {
	rest  string
	flash bool

	key, value string
	stamp      uint64
	until      uint64 // milliseconds since 1970 and listedBit
}

// next reads the next entry and reports whether there is one.
func (c *cursor) next() bool {
	if c.rest == "" {
		return false
	}
	n := 1 + int(c.rest[0])
	c.key, c.rest = c.rest[1:n], c.rest[n:]
	if c.flash {
		c.stamp, c.until, c.rest = uint64At(c.rest), uint64At(c.rest[8:]), c.rest[flashExtra:]
	}
	size, width := uvarint(c.rest)
	end := width + int(size)
	c.value, c.rest = c.rest[width:end], c.rest[end:]
	return true
}

// skip passes over the next entry.
func (c *cursor) skip() {
	n := 1 + int(c.rest[0])
	if c.flash {
		n += flashExtra
	}
	size, width := uvarint(c.rest[n:])
	c.rest = c.rest[n+width+int(size):]
}

// seek moves to the first entry whose key is not before key.
func (c *cursor) seek(key string) {
	for c.rest != "" && c.rest[1:1+int(c.rest[0])] < key {
		c.skip()
	}
}

// at reports whether the next entry has this key.
func (c *cursor) at(key string) bool {
	return c.rest != "" && c.rest[1:1+int(c.rest[0])] == key
}

// find returns the first value of a key among packed entries. extra is flashExtra for flash, else 0.
func find(entries, key string, extra int) (string, bool) {
	for entries != "" {
		n := 1 + int(entries[0])
		size, width := uvarint(entries[n+extra:])
		begin := n + extra + width
		end := begin + int(size)
		if entries[1:n] == key {
			return entries[begin:end], true
		}
		entries = entries[end:]
	}
	return "", false
}

// appendEntry packs the entry that c has read.
func (c *cursor) appendEntry(dst []byte) []byte {
	dst = append(dst, byte(len(c.key)))
	dst = append(dst, c.key...)
	if c.flash {
		dst = binary.BigEndian.AppendUint64(dst, c.stamp)
		dst = binary.BigEndian.AppendUint64(dst, c.until)
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.value)))
	return append(dst, c.value...)
}

// wellFormedBody reports whether a body is flash entries, a zero byte and data entries.
func wellFormedBody(body string) bool {
	rest, ok := wellFormedEntries(body, true)
	return ok && rest != "" && wellFormed(rest[1:])
}

// wellFormed reports whether s is entries of Data or Account and nothing else.
func wellFormed(s string) bool {
	rest, ok := wellFormedEntries(s, false)
	return ok && rest == ""
}

// wellFormedEntries checks the entries that s begins with, and returns what follows them: nothing,
// or a key length of zero. Keys ascend; only elements of a list share one.
func wellFormedEntries(s string, flash bool) (rest string, ok bool) {
	var last cursor
	for s != "" && s[0] != 0 {
		n := 1 + int(s[0])
		if flash {
			n += flashExtra
		}
		if len(s) < n {
			return "", false
		}
		size, width := uvarint(s[n:])
		if width == 0 || size > uint64(len(s)-n-width) {
			return "", false
		}
		c := cursor{rest: s[:n+width+int(size)], flash: flash}
		c.next()
		s = s[n+width+int(size):]
		order := strings.Compare(last.key, c.key)
		if order > 0 || order == 0 && last.until&c.until&listedBit == 0 || c.until&^listedBit > maxMilli {
			return "", false
		}
		last = c
	}
	return s, true
}

func uint64At(s string) uint64 {
	_ = s[7]
	return uint64(s[7]) | uint64(s[6])<<8 | uint64(s[5])<<16 | uint64(s[4])<<24 |
		uint64(s[3])<<32 | uint64(s[2])<<40 | uint64(s[1])<<48 | uint64(s[0])<<56
}

// uvarint reads what binary.AppendUvarint writes. The width is 0 if s does not begin with the
// shortest spelling of a length.
func uvarint(s string) (value uint64, width int) {
	if s != "" && s[0] < 0x80 {
		return uint64(s[0]), 1 // nearly every value
	}
	value, width = binary.Uvarint([]byte(s[:min(len(s), binary.MaxVarintLen32)]))
	if width <= 0 || value > math.MaxInt32 || s[width-1] == 0 {
		return 0, 0
	}
	return value, width
}
