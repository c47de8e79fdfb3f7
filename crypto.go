package session

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"

	"example.com/session/driver"
)

// NewSecret returns a random secret for Config.Secret: 32 random bytes as base64url.
func NewSecret() string {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails: it ends the program instead
	return base64.RawURLEncoding.EncodeToString(secret)
}

const (
	secretBytes = 26 // 208 random bits; ASVS 7.2.3 asks for 128. With the id, no bits of the text are left over.
	tokenBytes  = len(driver.ID{}) + secretBytes
	tokenLength = tokenBytes / 3 * 4 // characters of unpadded base64url
)

// A token is what opens a session: the id under which it is stored, and a secret. Its text is the
// cookie of a driver that keeps sessions on a server. It is always used by pointer, because fmt
// does not follow pointers in the fields of a struct.
type token struct {
	id     driver.ID
	secret [secretBytes]byte
	digest driver.Digest // what a record holds in place of the secret
}

// newToken returns a token with a new secret, in the scope of a cookie's name.
func newToken(scope string, id driver.ID) *token {
	t := &token{id: id}
	rand.Read(t.secret[:]) // never fails: it ends the program instead
	return t.within(scope)
}

// parseToken reads the text of a token that came in a cookie, and accepts no other spelling.
func parseToken(scope, text string) (*token, bool) {
	if len(text) != tokenLength {
		return nil, false
	}
	var in [tokenLength]byte
	var out [tokenBytes]byte
	copy(in[:], text)
	if _, err := base64.RawURLEncoding.Decode(out[:], in[:]); err != nil {
		return nil, false
	}
	return tokenOf(scope, &out), true
}

// tokenOf returns the token of an id and a secret.
func tokenOf(scope string, raw *[tokenBytes]byte) *token {
	t := &token{id: driver.ID(raw[:])}
	copy(t.secret[:], raw[len(t.id):])
	return t.within(scope)
}

// appendText appends the value of the cookie. Whoever has it has the session.
func (t *token) appendText(dst []byte) []byte {
	var raw [tokenBytes]byte
	return base64.RawURLEncoding.AppendEncode(dst, t.appendRaw(raw[:0]))
}

// appendRaw appends id and secret.
func (t *token) appendRaw(dst []byte) []byte { return append(append(dst, t.id[:]...), t.secret[:]...) }

// within computes the digest of the secret in the scope of a cookie's name, so that managers with
// different cookie names never open each other's sessions. A store must not hold what opens a session
// (CVE-2019-16782).
func (t *token) within(scope string) *token {
	var buf [128]byte // enough for nearly every name, so that nothing is allocated
	b := append(buf[:0], scope...)
	b = append(b, 0) // a cookie name has no zero byte
	t.digest = sha256.Sum256(append(b, t.secret[:]...))
	return t
}

// addressToken returns the token of a client address under ByClientIP. key is random for each
// process, so nobody can work out the id of an address.
func addressToken(scope string, key []byte, address string) *token {
	mac := hmac.New(sha512.New, key)
	mac.Write([]byte(address))
	sum := mac.Sum(nil)
	t := &token{id: driver.ID(sum[:16])}
	copy(t.secret[:], sum[16:])
	return t.within(scope)
}

// userKey names the index of a user among the sessions of one cookie name.
func userKey(scope, user string) string {
	sum := sha256.Sum256([]byte(scope + "\x00user\x00" + user))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
