package driver

import (
	"crypto/rand"
	"encoding/base64"
)

// An ID is the key of a session from its first save to its end: 128 random bits. Its text is the
// handle that logs and lists show. It opens nothing by itself.
type ID [16]byte

// NewID returns a random ID.
func NewID() (id ID) {
	rand.Read(id[:]) // never fails: it ends the program instead
	return id
}

// ParseID reads the text that String returns, and accepts no other spelling.
func ParseID(text string) (id ID, ok bool) {
	if base64.RawURLEncoding.DecodedLen(len(text)) != len(id) {
		return ID{}, false
	}
	n, err := base64.RawURLEncoding.Strict().Decode(id[:], []byte(text))
	if err != nil || n != len(id) {
		return ID{}, false
	}
	return id, true
}

// String returns the ID as 22 characters of base64url.
func (id ID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// A Digest is SHA-256 of a cookie's name and a secret. A record holds it in place of the secret, so
// that a dump of the store opens nothing. The zero Digest stands for none.
type Digest [32]byte

// A Credential is the Digest of a secret that opens a record, or did so until it was replaced.
type Credential struct {
	redacted

	Digest   Digest
	Replaced bool
	At       Milli // when it was replaced, or else when it was installed
}

const (
	maxAccepted = 4 // secrets that open a record at once
	maxReplaced = 4 // replaced secrets that a record remembers

	// rememberReplaced is how long a replaced secret is told from an unknown one.
	rememberReplaced = 60 * 60 * 1000 // milliseconds
)
