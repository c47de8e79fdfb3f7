package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

const (
	tokenBytes  = 32 // 256 bits of crypto/rand: ASVS 7.2.3 asks for 128 at least
	tokenLength = 43 // characters of unpadded base64url
)

// A Token is what the client holds: the value of a cookie, within the scope of that cookie's
// name. The zero Token means that there is none yet. No verb of fmt, no slog handler and no
// encoder prints its value.
type Token struct {
	scope string
	value string
}

// NewToken returns a fresh random token in the scope of a cookie name.
func NewToken(scope string) Token {
	var raw [tokenBytes]byte
	rand.Read(raw[:]) // never fails: it ends the program instead
	return Token{scope: scope, value: base64.RawURLEncoding.EncodeToString(raw[:])}
}

// IsZero reports whether there is no token yet.
func (t Token) IsZero() bool { return t.value == "" }

// Scope returns the name of the cookie that carries the token.
func (t Token) Scope() string { return t.scope }

// Value returns what the client holds. Whoever has it has the session: it belongs into a
// Set-Cookie line and nowhere else.
func (t Token) Value() string { return t.value }

// WithValue returns a token of the same scope with another value.
func (t Token) WithValue(value string) Token { return Token{scope: t.scope, value: value} }

// ID returns the key under which a store keeps the token's record: the SHA-256 of scope and
// value in unpadded base64url. A dump of the store, or the timing of its look-ups, gives no
// usable token (CVE-2019-16782), and managers with different cookie names never open each
// other's sessions.
func (t Token) ID() string {
	sum := t.hash()
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// hash returns the SHA-256 of scope, a zero byte and value. A cookie name has no zero byte.
func (t Token) hash() [sha256.Size]byte {
	var buf [128]byte // enough for every name in practice, so that nothing is allocated
	b := append(buf[:0], t.scope...)
	b = append(b, 0)
	b = append(b, t.value...)
	return sha256.Sum256(b)
}

// wellFormed reports whether the value is one that NewToken can have made. It is asked before
// anything else, so that nothing a client invents reaches a store.
func (t Token) wellFormed() bool {
	if len(t.value) != tokenLength {
		return false
	}
	var all int8 // negative where one of them is
	for i := range tokenLength {
		all |= sextets[t.value[i]]
	}
	// The last character carries four bits; the two below them are zero in the one spelling.
	return all >= 0 && sextets[t.value[tokenLength-1]]&3 == 0
}

// sextets holds the six bits of each base64url character, and -1 for every other byte.
var sextets = func() (table [256]int8) {
	for i := range table {
		table[i] = -1
	}
	for bits, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		table[c] = int8(bits)
	}
	return table
}()
