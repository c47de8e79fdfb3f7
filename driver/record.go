package driver

import (
	"crypto/subtle"
	"encoding/binary"
	"iter"
	"time"
)

// A Record is what is stored of a session at one moment. It is immutable and safe for concurrent
// use. It is kept in its stored form, so that loading copies nothing.
type Record struct {
	redacted

	packed                     string
	credentials, account, body uint16 // where these parts begin
}

// The stored form begins with a head of fixed size. docs/format.md describes the whole.
const (
	recordVersion = 2

	atVersion  = 0
	atLastSave = 1
	atFlags    = atLastSave + 8
	atID       = atFlags + 1
	atCreated  = atID + 16
	atUsed     = atCreated + 8
	atLifetime = atUsed + 8
	atIdle     = atLifetime + 8
	atSaves    = atIdle + 8 // count of the earlier saves, 1 byte
	headSize   = atSaves + 1

	flagRemembered = 1

	credentialSize = 32 + 8
	replacedBit    = 1 << 63 // of a credential's time

	maxSaves   = 8    // saves that a record remembers
	maxAccount = 4096 // bytes of the account part
	maxKey     = 255  // bytes of a key
)

// A Part is one of the three maps of a record.
type Part uint8

// The parts. Flash is read with Record.Flash, since its values have stamps and ends.
const (
	Data    Part = iota // what Session.Set stores
	Flash               // what Session.Flash stores
	Account             // who is signed in, since when, and what Session.Describe was given
)

// UserKey is the key of the Account part that holds the name of the user who is signed in.
const UserKey = "user"

// A FlashValue is a flash value as a record holds it.
type FlashValue struct {
	redacted

	Key, Encoded string
	Stamp        uint64    // the number of the save that stored it: only what was loaded expires
	Until        time.Time // the end of its FlashTTL; zero if it has none
	Listed       bool      // an element of a list, of which a key may have several
}

// ID returns the record's id.
func (r *Record) ID() (id ID) {
	copy(id[:], r.packed[atID:])
	return id
}

// CreatedAt returns when the lifetime began.
func (r *Record) CreatedAt() time.Time { return r.milli(atCreated).Time() }

// UsedAt returns the last use that was noted.
func (r *Record) UsedAt() time.Time { return r.milli(atUsed).Time() }

// Limits returns the limits of the last save.
func (r *Record) Limits() Limits {
	return Limits{
		Lifetime:   time.Duration(r.milli(atLifetime)) * time.Millisecond,
		Idle:       time.Duration(r.milli(atIdle)) * time.Millisecond,
		Remembered: r.packed[atFlags]&flagRemembered != 0,
	}
}

// ExpiresAt returns when the record ends by its own limits.
func (r *Record) ExpiresAt() time.Time {
	return r.Limits().end(r.milli(atCreated), r.milli(atUsed)).Time()
}

// ExpiresWithin returns the earlier of ExpiresAt and the end by the configured limits, and ExpiresAt if
// Session.Remember has set the limits of either.
func (r *Record) ExpiresWithin(config Limits) time.Time {
	created, used, own := r.milli(atCreated), r.milli(atUsed), r.Limits()
	end := own.end(created, used)
	if !own.Remembered && !config.Remembered {
		end = min(end, config.end(created, used))
	}
	return end.Time()
}

// User returns who is signed in, "" for a visitor.
func (r *Record) User() string {
	user, _ := r.Value(Account, UserKey)
	return user
}

// Accepts reports whether a secret opens the record. It takes the same time wherever they differ.
func (r *Record) Accepts(d Digest) bool {
	accepted := false
	for c := range r.allCredentials() {
		if subtle.ConstantTimeCompare(c.Digest[:], d[:]) == 1 && !c.Replaced {
			accepted = true
		}
	}
	return accepted
}

// ReplacedAt returns when the secret with digest d was replaced. ok is false if the record still
// accepts the secret, or does not remember it.
func (r *Record) ReplacedAt(d Digest) (at time.Time, ok bool) {
	for c := range r.allCredentials() {
		if subtle.ConstantTimeCompare(c.Digest[:], d[:]) == 1 && c.Replaced {
			at, ok = c.At.Time(), true
		}
	}
	return at, ok
}

// JoinedAt returns when the newest of several accepted secrets was installed. ok is false if the
// record accepts one secret only.
func (r *Record) JoinedAt() (at time.Time, ok bool) {
	accepted := 0
	for c := range r.allCredentials() {
		if !c.Replaced {
			accepted++
			at = c.At.Time()
		}
	}
	return at, accepted > 1
}

// Credentials returns the digests of the secrets that the record remembers as replaced, then those
// that it accepts, each in the order of their times.
func (r *Record) Credentials() []Credential {
	all := make([]Credential, 0, 2)
	for c := range r.allCredentials() {
		all = append(all, c)
	}
	return all
}

func (r *Record) allCredentials() iter.Seq[Credential] {
	return func(yield func(Credential) bool) {
		var c Credential
		for rest := r.packed[r.credentials:r.account]; rest != ""; rest = rest[credentialSize:] {
			copy(c.Digest[:], rest)
			at := uint64At(rest[len(c.Digest):])
			c.At, c.Replaced = Milli(at&^replacedBit), at&replacedBit != 0
			if !yield(c) {
				return
			}
		}
	}
}

// LastSave returns the number of the last save.
func (r *Record) LastSave() uint64 { return uint64At(r.packed[atLastSave:]) }

// Applied reports whether a save is one of the last eight that the record remembers.
func (r *Record) Applied(number uint64) bool {
	if r.LastSave() == number {
		return true
	}
	for rest := r.earlierSaves(); rest != ""; rest = rest[8:] {
		if uint64At(rest) == number {
			return true
		}
	}
	return false
}

// earlierSaves returns the saves before the last one, the newest first.
func (r *Record) earlierSaves() string {
	return r.packed[headSize : headSize+8*int(r.packed[atSaves])]
}

// Value returns the encoded value under a key of Data or Account.
func (r *Record) Value(p Part, key string) (encoded string, ok bool) {
	extra := 0
	if p == Flash {
		extra = flashExtra
	}
	return find(r.part(p), key, extra)
}

// Values returns the keys and encoded values of Data or Account in the order of the keys.
func (r *Record) Values(p Part) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for c := (cursor{rest: r.part(p), flash: p == Flash}); c.next(); {
			if !yield(c.key, c.value) {
				return
			}
		}
	}
}

// Flash returns the flash values in the order of their keys, the elements of a list in the order
// in which they were added.
func (r *Record) Flash() iter.Seq[FlashValue] {
	return func(yield func(FlashValue) bool) {
		for c := (cursor{rest: r.part(Flash), flash: true}); c.next(); {
			v := FlashValue{Key: c.key, Encoded: c.value, Stamp: c.stamp, Listed: c.until&listedBit != 0}
			v.Until = Milli(c.until &^ listedBit).Time()
			if !yield(v) {
				return
			}
		}
	}
}

// HasFlash reports whether there is flash, whether or not its FlashTTL has passed.
func (r *Record) HasFlash() bool { return r.packed[r.body] != 0 }

// WithIdentity returns a copy of r with the secrets and the Account part of another record.
func (r *Record) WithIdentity(of *Record) *Record {
	front, identity := r.packed[:r.credentials-1], of.packed[of.credentials-1:of.body]
	shift := r.credentials - of.credentials
	return &Record{
		packed:      front + identity + r.packed[r.body:],
		credentials: r.credentials, account: of.account + shift, body: of.body + shift,
	}
}

// WithUsedAt returns a copy of r whose last use is at, for a driver that stores the last use
// elsewhere.
func (r *Record) WithUsedAt(at time.Time) *Record {
	next := *r
	used := binary.BigEndian.AppendUint64(make([]byte, 0, 8), uint64(MilliOf(at)))
	next.packed = r.packed[:atUsed] + string(used) + r.packed[atLifetime:]
	return &next
}

// HasValuesOf reports whether r has the same data and flash as another record.
func (r *Record) HasValuesOf(other *Record) bool {
	return r.packed[r.body:] == other.packed[other.body:]
}

// AppendBinary appends the stored form, which ParseRecord reads. The error is always nil.
func (r *Record) AppendBinary(dst []byte) ([]byte, error) { return append(dst, r.packed...), nil }

// Size returns how many bytes AppendBinary appends.
func (r *Record) Size() int { return len(r.packed) }

// WithoutHistory returns r without the saves before the last one and without the replaced secrets: for a
// record in a cookie, where every byte counts and no other save can meet it.
func (r *Record) WithoutHistory() *Record {
	first := r.firstAccepted()
	credentials := uint16(headSize + 1)
	shift := credentials - uint16(first)
	counts := string([]byte{0, byte((int(r.account) - first) / credentialSize)})
	return &Record{
		packed:      r.packed[:atSaves] + counts + r.packed[first:],
		credentials: credentials, account: r.account + shift, body: r.body + shift,
	}
}

// SizeWithoutHistory is WithoutHistory().Size(), without the copy.
func (r *Record) SizeWithoutHistory() int { return headSize + 1 + len(r.packed) - r.firstAccepted() }

// firstAccepted returns where the accepted credentials begin. The replaced ones stand before them.
func (r *Record) firstAccepted() int {
	at := int(r.credentials)
	for at < int(r.account) && uint64At(r.packed[at+credentialSize-8:])&replacedBit != 0 {
		at += credentialSize
	}
	return at
}

func (r *Record) milli(at int) Milli { return Milli(uint64At(r.packed[at:])) }

// part returns the packed entries of one part.
func (r *Record) part(p Part) string {
	switch p {
	case Account:
		return r.packed[r.account+2 : r.body]
	case Flash:
		return flashOf(r.packed[r.body:])
	}
	body := r.packed[r.body:]
	return body[len(flashOf(body))+1:]
}

// flashOf returns the flash entries, which end at a key length of zero.
func flashOf(body string) string {
	c := cursor{rest: body, flash: true}
	for c.rest[0] != 0 {
		c.skip()
	}
	return body[:len(body)-len(c.rest)]
}

// ParseRecord decodes the stored form. The form is canonical: AppendBinary returns every accepted
// input unchanged. ParseRecord checks each length against the bytes present, and copies data. Its
// error is ErrDamaged.
func ParseRecord(data []byte) (*Record, error) {
	r := &Record{packed: string(data)}
	if !r.parse() {
		return nil, ErrDamaged
	}
	return r, nil
}

// parse finds the parts and reports whether they are well-formed.
func (r *Record) parse() bool {
	p := r.packed
	if len(p) < headSize || p[atVersion] != recordVersion || p[atFlags]&^flagRemembered != 0 {
		return false
	}
	for at := atCreated; at < atLifetime; at += 8 {
		if uint64At(p[at:]) > maxMilli || uint64At(p[at+atLifetime-atCreated:]) > maxDuration {
			return false
		}
	}
	rest := p[headSize:]
	saves := 8 * int(p[atSaves])
	if saves > 8*(maxSaves-1) || len(rest) < saves+1 {
		return false
	}
	count := credentialSize * int(rest[saves])
	rest = rest[saves+1:]
	if count > credentialSize*(maxAccepted+maxReplaced) || len(rest) < count+2 {
		return false
	}
	r.credentials = uint16(len(p) - len(rest))
	r.account = r.credentials + uint16(count)
	rest = rest[count:]
	account := int(binary.BigEndian.Uint16([]byte(rest[:2])))
	rest = rest[2:]
	if account > maxAccount || len(rest) < account {
		return false
	}
	r.body = r.account + 2 + uint16(account)
	return r.wellFormedCredentials() && wellFormed(rest[:account]) && wellFormedBody(rest[account:])
}

// wellFormedCredentials reports whether those that are replaced come first, with at most four of
// either kind.
func (r *Record) wellFormedCredentials() bool {
	accepted, replaced := 0, 0
	for c := range r.allCredentials() {
		switch {
		case c.At > maxMilli || c.Replaced && accepted > 0:
			return false
		case c.Replaced:
			replaced++
		default:
			accepted++
		}
	}
	return accepted <= maxAccepted && replaced <= maxReplaced
}
