// Package book reads what the library stores by docs/format.md alone, and shares no code with it.
package book

import (
	"encoding/binary"
	"encoding/hex"
)

// A Record is what docs/format.md says that a record holds.
type Record struct {
	ID          string       `json:"id"` // this and digests in hex
	Created     uint64       `json:"created"`
	Used        uint64       `json:"used"`
	Lifetime    uint64       `json:"lifetime"`
	Idle        uint64       `json:"idle"`
	Remembered  bool         `json:"remembered"`
	Saves       []uint64     `json:"saves"` // the newest first
	Credentials []Credential `json:"credentials"`
	Account     []Entry      `json:"account"`
	Flash       []Entry      `json:"flash"`
	Data        []Entry      `json:"data"`
}

// A Credential is a secret that opens a record, or did.
type Credential struct {
	Digest   string `json:"digest"`
	Replaced bool   `json:"replaced"`
	At       uint64 `json:"at"`
}

// An Entry is a value. In Key and Value each character stands for one byte.
type Entry struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Stamp  uint64 `json:"stamp,omitempty"`
	Until  uint64 `json:"until,omitempty"`
	Listed bool   `json:"listed,omitempty"`
}

// A reader takes bytes from the front. What it takes beyond the end makes it fail.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) take(n uint64) []byte {
	if r.failed || n > uint64(len(r.rest)) {
		r.failed = true
		return make([]byte, min(n, 64))
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

// milli takes a time or a duration.
func (r *reader) milli(most uint64) uint64 {
	ms := r.uint64()
	r.failed = r.failed || ms > most
	return ms
}

func (r *reader) uvarint() uint64 {
	n, width := binary.Uvarint(r.rest)
	r.failed = r.failed || width <= 0 || width > 5 || n >= 1<<31 || width > 1 && r.rest[width-1] == 0
	if r.failed {
		return 0
	}
	r.take(uint64(width))
	return n
}

// Read returns what a record holds, nil if it breaks a rule.
func Read(data []byte) *Record {
	r := &reader{rest: data}
	b := &Record{}
	version, last, flags := r.byte(), r.uint64(), r.byte()
	b.ID = hex.EncodeToString(r.take(16))
	b.Created, b.Used = r.milli(1<<52-1), r.milli(1<<52-1)
	b.Lifetime, b.Idle = r.milli(9_223_372_036_854), r.milli(9_223_372_036_854)
	b.Remembered = flags == 1
	earlier := r.byte()
	if r.failed || version != 2 || flags > 1 || earlier > 7 {
		return nil
	}
	b.Saves = []uint64{last}
	for range earlier {
		b.Saves = append(b.Saves, r.uint64())
	}
	if !b.readCredentials(r) {
		return nil
	}
	size := binary.BigEndian.Uint16(r.take(2))
	part := &reader{rest: r.take(uint64(size))}
	b.Account = part.entries(false)
	if r.failed || part.failed || len(part.rest) > 0 || size > 4096 {
		return nil
	}
	b.Flash = r.entries(true)
	if r.byte() != 0 {
		return nil
	}
	b.Data = r.entries(false)
	if r.failed || len(r.rest) > 0 {
		return nil
	}
	return b
}

func (b *Record) readCredentials(r *reader) bool {
	count := map[bool]int{}
	for range r.byte() {
		c := Credential{Digest: hex.EncodeToString(r.take(32))}
		at := r.uint64()
		c.At, c.Replaced = at&(1<<63-1), at>>63 == 1
		if r.failed || c.At >= 1<<52 || c.Replaced && count[false] > 0 {
			return false
		}
		count[c.Replaced]++
		b.Credentials = append(b.Credentials, c)
	}
	return count[true] <= 4 && count[false] <= 4
}

// entries takes entries up to a key length of zero or the end.
func (r *reader) entries(flash bool) (all []Entry) {
	for !r.failed && len(r.rest) > 0 && r.rest[0] != 0 {
		var e Entry
		key := r.take(uint64(r.byte()))
		e.Key = Latin1(key)
		if flash {
			e.Stamp = r.uint64()
			until := r.uint64()
			e.Listed, e.Until = until>>62&1 == 1, until&^(1<<62)
			r.failed = r.failed || e.Until >= 1<<52
		}
		e.Value = Latin1(r.take(r.uvarint()))
		if n := len(all) - 1; n >= 0 {
			last := all[n]
			inOrder := last.Key < e.Key || last.Key == e.Key && last.Listed && e.Listed
			r.failed = r.failed || !inOrder
		}
		all = append(all, e)
	}
	return all
}

// Latin1 returns text of which each character stands for one byte. It has the order of the bytes.
func Latin1(data []byte) string {
	text := make([]rune, len(data))
	for i, b := range data {
		text[i] = rune(b)
	}
	return string(text)
}
