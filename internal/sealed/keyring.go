// Package sealed encrypts and authenticates cookie values under keys derived from secrets.
//
// A sealed value is the unpadded base64url form of
//
//	version 1 B | key id 4 B | nonce 24 B | AES-256-GCM ciphertext and tag
//
// The cipher is XAES-256-GCM (https://c2sp.org/XAES-256-GCM). Its nonces of 192 bits may be random
// for any number of values that a service can reach; the 96 bits of AES-GCM may not (SP 800-38D,
// section 8.3). Version, key id and cookie name are the additional data: a value opens only under
// the cookie name for which it was sealed. The package knows bytes and nothing of sessions.
package sealed

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
)

const (
	version   = 1
	headerLen = 1 + 4                    // version and key id, bytes
	overhead  = headerLen + xaesOverhead // what sealing adds before base64, bytes
	maxValue  = 4096                     // longest value that is decoded; browsers keep no longer ones

	// Each purpose has its own text, so that one output is of no use for the other (RFC 5869,
	// section 3.2).
	infoKey   = "session: sealed cookie key v1"
	infoKeyID = "session: sealed cookie key id v1"
)

var (
	// ErrOpen is returned by Open when a value has a version and a key id of this keyring but fails
	// authentication: somebody has changed it, or it was sealed for another cookie name.
	ErrOpen = errors.New("session: open sealed cookie: authentication failed")

	// ErrNotOurs is returned by Open when a value is not one that this keyring has sealed: it has
	// another version, an unknown key id, an impossible length, or another encoding.
	ErrNotOurs = errors.New("session: open sealed cookie: not sealed by a configured secret")
)

// encoding refuses spellings whose unused last bits are not zero.
var encoding = base64.RawURLEncoding.Strict()

// A Keyring seals with the key of the current secret, and opens with the keys of the current and
// the previous secrets. It is immutable and safe for concurrent use. Printing it reveals no key.
type Keyring struct {
	keys []*key // fmt prints the addresses of these, also inside other structs
}

var _ fmt.Formatter = Keyring{}

// A key is what one secret derives.
type key struct {
	header [headerLen]byte // version and key id, with which its values begin
	cipher *xaes
}

// NewKeyring derives the keys of secret, which seals and opens, and of the previous secrets, which
// only open. It reports all errors of all secrets together. Two secrets of one key id are an error.
func NewKeyring(secret string, previous []string) (*Keyring, error) {
	k := &Keyring{}
	var errs []error
	fields := make(map[[headerLen]byte]string)
	for i, s := range append([]string{secret}, previous...) {
		field := "Secret"
		if i > 0 {
			field = fmt.Sprintf("PreviousSecrets[%d]", i-1)
		}
		errs = append(errs, k.add(fields, field, s))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return k, nil
}

// add appends the key of the secret in the named field. fields names the secrets added before.
func (k *Keyring) add(fields map[[headerLen]byte]string, field, secret string) error {
	if err := CheckSecret(field, secret); err != nil {
		return err
	}
	derived, err := newKey(secret)
	if err != nil {
		return fmt.Errorf("session: %s: derive the keys of sealed cookies: %w", field, err)
	}
	if other, taken := fields[derived.header]; taken {
		return fmt.Errorf("session: %s: has the key id of %s, so cookies could not be told apart: "+
			"remove it if it is the same secret, else replace it", field, other)
	}
	fields[derived.header] = field
	k.keys = append(k.keys, derived)
	return nil
}

// newKey derives key and key id with HKDF-SHA-256 (RFC 5869). The id is public: every cookie shows
// it, and it reveals nothing about the key.
func newKey(secret string) (*key, error) {
	derived, err := hkdf.Key(sha256.New, []byte(secret), nil, infoKey, 32)
	if err != nil {
		return nil, err
	}
	id, err := hkdf.Key(sha256.New, []byte(secret), nil, infoKeyID, headerLen-1)
	if err != nil {
		return nil, err
	}
	x, err := newXAES(derived)
	if err != nil {
		return nil, err
	}
	return &key{header: [headerLen]byte{version, id[0], id[1], id[2], id[3]}, cipher: x}, nil
}

// Seal returns the value of the named cookie that holds plain. It overwrites scratch, which may be nil,
// and the value may be a part of it.
func (k *Keyring) Seal(scratch []byte, name string, plain []byte) []byte {
	current := k.keys[0]
	wire, aad, kx := workspace(scratch, overhead+len(plain), name)
	copy(aad, current.header[:])
	wire = current.cipher.seal(append(wire[:0], current.header[:]...), plain, aad, kx)
	return encoding.AppendEncode(kx[len(kx):], wire)
}

// Open returns what the value of the named cookie holds. It overwrites scratch, which may be nil, and
// plain may be a part of it. The error is [ErrNotOurs] or [ErrOpen].
//
// The version says how to read the rest, and the key id says with which key. Open never tries keys
// in turn: GCM does not commit to its key, so one value could open under several of them.
func (k *Keyring) Open(scratch []byte, name, value string) (plain []byte, err error) {
	if len(value) < SealedLen(0) || len(value) > maxValue {
		return nil, ErrNotOurs
	}
	wire, aad, kx := workspace(scratch, encoding.DecodedLen(len(value)), name)
	if !decode(wire, value) || wire[0] != version {
		return nil, ErrNotOurs
	}
	i := slices.IndexFunc(k.keys, func(key *key) bool { return bytes.HasPrefix(wire, key.header[:]) })
	if i < 0 {
		return nil, ErrNotOurs
	}
	copy(aad, wire[:headerLen])
	plain, err = k.keys[i].cipher.open(wire[headerLen:], aad, kx)
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

// decode decodes a value into wire, which has the right length. Each value has exactly one spelling,
// so that nobody can make a second cookie out of one: the decoder alone would skip line breaks.
func decode(wire []byte, value string) bool {
	n, err := encoding.Decode(wire, []byte(value))
	return err == nil && n == len(wire) && encoding.EncodedLen(n) == len(value)
}

// workspace returns room for a value's bytes, for the additional data, which already ends in the
// cookie's name, and for a message key: in scratch if it is large enough, else in a new slice.
func workspace(scratch []byte, size int, name string) (wire, aad, kx []byte) {
	buf := scratch[:cap(scratch)]
	if need := size + headerLen + len(name) + keyLen; len(buf) < need {
		buf = make([]byte, need)
	}
	wire, buf = buf[:size:size], buf[size:]
	aad, kx = buf[:headerLen+len(name)], buf[headerLen+len(name):][:keyLen]
	copy(aad[headerLen:], name)
	return wire, aad, kx
}

// SealedLen returns the length of the value that holds plain bytes.
func SealedLen(plain int) int { return encoding.EncodedLen(overhead + plain) }

// Format prints the same text for every verb, without the keys.
func (Keyring) Format(f fmt.State, _ rune) { io.WriteString(f, "sealed.Keyring(redacted)") }
