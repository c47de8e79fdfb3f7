package session

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
)

// A sealed cookie value is the unpadded base64url form of
//
//	version 1 B | key id 4 B | nonce 24 B | AES-256-GCM ciphertext and tag
//
// sealed by XAES-256-GCM (https://c2sp.org/XAES-256-GCM). Its 192-bit nonces may be random
// without a limit on messages that a service could reach; AES-GCM's own 96 bits may not
// (SP 800-38D, section 8.3). Half of them derives a key for a few messages, see messagesPerKey;
// the other half is drawn for each. Version, key id and cookie name are the additional data, so a
// value opens under the cookie name that it was sealed for and nowhere else.
const (
	sealedVersion  = 1
	sealedHeader   = 1 + 4                       // version and key id, bytes
	sealedOverhead = sealedHeader + xaesOverhead // what sealing adds before base64, bytes
	sealedMax      = 4096                        // longest value looked at; browsers keep none longer

	xaesSalt     = 12                 // the part of the nonce that derives GCM's key, bytes
	xaesOverhead = xaesSalt + 12 + 16 // both parts of the nonce, and GCM's tag, bytes

	secretMin = 32 // bytes; 256 bits where they are random (ASVS 11.2.3)

	// One text per purpose, so that no output of one is of use for another (RFC 5869, section 3.2).
	infoCookieKey   = "session: sealed cookie key v1"
	infoCookieKeyID = "session: sealed cookie key id v1"
)

// errUnsealed is what keyring.open returns, whatever is wrong with the value: an attacker
// learns nothing from which check failed (ASVS 11.2.5). It is an [ErrNoSession].
var errUnsealed error = unsealedKind{}

type unsealedKind struct{}

func (unsealedKind) Error() string        { return "session: open sealed cookie: not one of ours" }
func (unsealedKind) Is(target error) bool { return target == ErrNoSession }

// NewSecret returns a new random secret for [Config]: 32 bytes from the system's random
// generator as base64url without padding. Make one once and keep it where every instance of
// the application finds it; one made at each start ends all cookie sessions at each restart.
func NewSecret() string {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails: it ends the program rather than return
	return base64.RawURLEncoding.EncodeToString(secret)
}

// A keyring seals cookie values with its first key and opens those of all its keys. It is
// immutable, safe for use by several goroutines, and never printed.
type keyring struct {
	keys []*sealingKey // pointers, which fmt does not follow where it finds a copy in another struct
}

var _ fmt.Formatter = keyring{}

// newKeyring derives the keys of secret, which seals, and of the previous secrets, which only
// open. It reports all faults of all secrets at once.
func newKeyring(secret string, previous []string) (*keyring, error) {
	k := &keyring{}
	fields := make(map[[sealedHeader]byte]string)
	faults := []error{k.add(fields, "Secret", secret)}
	for i, s := range previous {
		faults = append(faults, k.add(fields, fmt.Sprintf("PreviousSecrets[%d]", i), s))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return k, nil
}

// add appends the key of the secret in the named field; fields names those added before.
func (k *keyring) add(fields map[[sealedHeader]byte]string, field, secret string) error {
	if err := checkSecret(field, secret); err != nil {
		return err
	}
	key, err := newSealingKey(secret)
	if err != nil {
		return fmt.Errorf("session: %s: derive the keys of sealed cookies: %w", field, err)
	}
	if other, taken := fields[key.header]; taken {
		return fmt.Errorf("session: %s: has the key id of %s, so cookies could not be told apart: %s",
			field, other, "remove it if it is the same secret, else replace it")
	}
	fields[key.header] = field
	k.keys = append(k.keys, key)
	return nil
}

// seal returns the value of the named cookie that holds plaintext.
func (k *keyring) seal(name string, plaintext []byte) string {
	buf := make([]byte, 0, sealedHeader+len(name)+sealedOverhead+len(plaintext))
	return k.finish(name, append(k.begin(buf, name), plaintext...), nil)
}

// begin returns buf, emptied, for plaintext to be appended to it, and for finish to seal it where
// it lies: the record of a session is packed only once, and for nothing else.
func (k *keyring) begin(buf []byte, name string) []byte {
	header := k.keys[0].header
	buf = append(append(append(buf[:0], header[:]...), name...), header[:]...)
	return append(buf, make([]byte, xaesSalt)...)
}

// plainAt returns where the plaintext lies in a buffer of begin: after the additional data, the
// value's own header, and the part of the nonce that stands before GCM's output.
func plainAt(name string) int { return sealedHeader + len(name) + sealedHeader + xaesSalt }

// finish returns the value of the named cookie that holds what was appended to buf. It is written
// into text first, where that is large enough.
func (k *keyring) finish(name string, buf, text []byte) string {
	at := plainAt(name)
	aad := buf[:sealedHeader+len(name)]
	wire := k.keys[0].cipher.seal(buf[:at-xaesSalt], buf[at:], aad)[len(aad):]
	return string(appendBase64(text[:0], wire))
}

// open returns the plaintext of a value that seal made for a cookie of this name, and reports
// whether the current secret sealed it. The error is always errUnsealed.
//
// The version says how to read the rest and the key id says with which key. Neither is ever
// guessed: trying keys would let one value open under several of them, since GCM does not
// commit to its key.
func (k *keyring) open(name, value string) (plaintext []byte, current bool, err error) {
	return k.openIn(nil, name, value)
}

// openIn is open that works in buf, where it is large enough: the plaintext lies in it then.
func (k *keyring) openIn(buf []byte, name, value string) (plaintext []byte, current bool, err error) {
	aad, wire, ok := decodeSealed(buf, name, value)
	if !ok || wire[0] != sealedVersion {
		return nil, false, errUnsealed
	}
	key := k.find(wire)
	if key == nil {
		return nil, false, errUnsealed
	}
	plaintext, err = key.cipher.open(wire[sealedHeader:], aad)
	if err != nil {
		return nil, false, errUnsealed
	}
	return plaintext, key == k.keys[0], nil
}

// find returns the key that wire names, or nil. Key ids are public: every cookie shows one.
func (k *keyring) find(wire []byte) *sealingKey {
	for _, key := range k.keys {
		if bytes.Equal(key.header[1:], wire[1:sealedHeader]) {
			return key
		}
	}
	return nil
}

// Format keeps the keys out of whatever is printed, for every verb.
func (keyring) Format(f fmt.State, _ rune) { io.WriteString(f, "session.keyring(redacted)") }

// MarshalJSON does the same for JSON.
func (keyring) MarshalJSON() ([]byte, error) { return []byte(`"session.keyring(redacted)"`), nil }

// sealedSize returns the length of the cookie value that seals n bytes.
func sealedSize(n int) int { return base64.RawURLEncoding.EncodedLen(sealedOverhead + n) }

// strictBase64 refuses the spellings whose unused last bits are not zero.
var strictBase64 = base64.RawURLEncoding.Strict()

// decodeSealed takes the base64 off value and returns it with the additional data that belongs
// to it, both in buf where it is large enough. It reports false where the length or the spelling is not what
// seal makes, before anything is allocated for a value of an impossible length. A value has
// one spelling only, so that nobody can make a second cookie out of one.
func decodeSealed(buf []byte, name, value string) (aad, wire []byte, ok bool) {
	if len(value) > sealedMax || len(value) < sealedSize(0) {
		return nil, nil, false
	}
	n := sealedHeader + len(name)
	buf = slices.Grow(buf[:0], n+strictBase64.DecodedLen(len(value)))
	aad, wire = buf[:n:n], buf[n:n+strictBase64.DecodedLen(len(value))]
	if !decodeBase64(wire, value) {
		return nil, nil, false
	}
	copy(aad[copy(aad, wire[:sealedHeader]):], name)
	return aad, wire, true
}

// decodeBase64 decodes unpadded base64url in its one spelling: what strictBase64 does, but for
// the line breaks that it skips. Opening a cookie takes a tenth less time than with that.
func decodeBase64(dst []byte, src string) bool {
	for len(src) >= 4 && len(dst) >= 4 { // four bytes at once, of which the next round writes the last
		v := placed[0][src[0]] | placed[1][src[1]] | placed[2][src[2]] | placed[3][src[3]]
		if v > 0xffffff {
			return false
		}
		binary.BigEndian.PutUint32(dst, v<<8)
		dst, src = dst[3:], src[4:]
	}
	if len(src) >= 4 {
		v := placed[0][src[0]] | placed[1][src[1]] | placed[2][src[2]] | placed[3][src[3]]
		if v > 0xffffff {
			return false
		}
		dst[0], dst[1], dst[2] = byte(v>>16), byte(v>>8), byte(v)
		dst, src = dst[3:], src[4:]
	}
	switch len(src) {
	case 2:
		v := placed[0][src[0]] | placed[1][src[1]]
		dst[0] = byte(v >> 16)
		return v&^0xff0000 == 0
	case 3:
		v := placed[0][src[0]] | placed[1][src[1]] | placed[2][src[2]]
		dst[0], dst[1] = byte(v>>16), byte(v>>8)
		return v&^0xffff00 == 0
	}
	return len(src) == 0
}

// appendBase64 appends unpadded base64url, twelve bits at a time: the standard encoder, with six,
// takes twice as long, which is 3 % of a request that stores a sealed session.
func appendBase64(dst, src []byte) []byte {
	whole := len(src) / 3 * 4
	dst = slices.Grow(dst, whole+4)
	out := dst[len(dst) : len(dst)+whole]
	for len(src) >= 3 && len(out) >= 4 {
		v := uint32(src[0])<<16 | uint32(src[1])<<8 | uint32(src[2])
		pairs := uint32(sextetPairs[v>>12]) | uint32(sextetPairs[v&0xfff])<<16
		binary.LittleEndian.PutUint32(out, pairs)
		src, out = src[3:], out[4:]
	}
	return base64.RawURLEncoding.AppendEncode(dst[:len(dst)+whole], src)
}

// sextetPairs are the two characters of each twelve bits, the first one in the low byte.
var sextetPairs = func() (pairs [1 << 12]uint16) {
	for v := range pairs {
		var text [4]byte
		base64.RawURLEncoding.Encode(text[:], []byte{byte(v >> 4), byte(v << 4), 0})
		pairs[v] = binary.LittleEndian.Uint16(text[:])
	}
	return pairs
}()

// placed are the values of base64url's characters at each of four places. All others have a bit
// above those of three bytes.
var placed = func() (t [4][256]uint32) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for place := range t {
		for c := range t[place] {
			t[place][c] = 1 << 24
		}
		for value, c := range []byte(alphabet) {
			t[place][c] = uint32(value) << (18 - 6*place)
		}
	}
	return t
}()

// A sealingKey is what one secret derives.
type sealingKey struct {
	header [sealedHeader]byte // what its values begin with: version and key id
	cipher *xaes
}

// newSealingKey derives key and key id with HKDF-SHA-256 (RFC 5869), each under its own info
// text: the key is never the secret itself, and the public id tells nothing about either.
func newSealingKey(secret string) (*sealingKey, error) {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, infoCookieKey, 32)
	if err != nil {
		return nil, err
	}
	id, err := hkdf.Key(sha256.New, []byte(secret), nil, infoCookieKeyID, sealedHeader-1)
	if err != nil {
		return nil, err
	}
	x, err := newXAES(key)
	if err != nil {
		return nil, err
	}
	header := [sealedHeader]byte{sealedVersion, id[0], id[1], id[2], id[3]}
	return &sealingKey{header: header, cipher: x}, nil
}

// An xaes is XAES-256-GCM under one key. The first half of each nonce, the salt, derives a
// message key (SP 800-108r1, counter mode over CMAC), the second half is GCM's nonce under that
// key. GCM draws that half by itself, since GODEBUG=fips140=only allows no nonces of ours; the
// bytes are those of the specification.
type xaes struct {
	block cipher.Block
	k1    [aes.BlockSize]byte // CMAC's subkey for whole blocks (SP 800-38B, section 6.1)

	sealing atomic.Pointer[messageKey]
	recent  [recentKeys]atomic.Pointer[messageKey] // by the first byte of the salt
}

// newXAES prepares what all messages under a 32-byte key share.
func newXAES(key []byte) (*xaes, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	x := &xaes{block: block}
	block.Encrypt(x.k1[:], x.k1[:])
	msb := x.k1[0] >> 7
	for i := range len(x.k1) - 1 {
		x.k1[i] = x.k1[i]<<1 | x.k1[i+1]>>7
	}
	x.k1[len(x.k1)-1] = x.k1[len(x.k1)-1]<<1 ^ msb*0x87
	// Tried once here, so that an AES that cannot do this is a fault of the set-up, not of a request.
	if _, err := cipher.NewGCMWithRandomNonce(block); err != nil {
		return nil, err
	}
	return x, nil
}

// A messageKey is AES-256-GCM under the key that a salt derives. To derive it and to make the
// cipher takes as long as three messages, so it serves some messages, and those that were used
// last are kept: opening a cookie is 1.4x faster, opening and sealing 1.6x.
type messageKey struct {
	salt   [xaesSalt]byte
	cipher cipher.AEAD
	sealed atomic.Int32 // messages, some of which may have been given the next key
}

const (
	// messagesPerKey is how many messages one salt serves. Each has a random nonce of 96 bits
	// under it, of which SP 800-38D allows 2^32. Two of 2^48 messages, a million a second for
	// nine years, share salt and nonce with a probability of 2^-41.
	messagesPerKey = 256

	// recentKeys is how many message keys are kept for opening: those of at least as many
	// cookies, at most of 65,536, in 350 KB. It is a power of two, 256 at the most.
	recentKeys = 256
)

// seal appends the nonce and the sealed plaintext to dst. The plaintext may lie in dst's own
// memory, right behind the first half of the nonce, and is overwritten then.
func (x *xaes) seal(dst, plaintext, aad []byte) []byte {
	key := x.sealing.Load()
	if key == nil || key.sealed.Add(1) > messagesPerKey {
		var salt [xaesSalt]byte
		rand.Read(salt[:]) // never fails: it ends the program rather than return
		key = x.messageKey(salt)
		key.sealed.Store(1)
		x.sealing.Store(key)
		x.keep(key)
	}
	return key.cipher.Seal(append(dst, key.salt[:]...), nil, plaintext, aad)
}

// open returns the plaintext of what seal appended, in sealed's own memory. Only the key of
// what was sealed with it is kept: what a client invents replaces none.
func (x *xaes) open(sealed, aad []byte) ([]byte, error) {
	salt, rest := [xaesSalt]byte(sealed), sealed[xaesSalt:]
	key := x.recent[int(salt[0])%recentKeys].Load()
	if key != nil && key.salt == salt {
		return key.cipher.Open(rest[:0], nil, rest, aad)
	}
	key = x.messageKey(salt)
	plaintext, err := key.cipher.Open(rest[:0], nil, rest, aad)
	if err == nil {
		x.keep(key)
	}
	return plaintext, err
}

// keep keeps a key for opening, in place of another one.
func (x *xaes) keep(key *messageKey) { x.recent[int(key.salt[0])%recentKeys].Store(key) }

func (x *xaes) messageKey(salt [xaesSalt]byte) *messageKey {
	block, err := aes.NewCipher(x.deriveKey(salt[:]))
	if err != nil {
		panic("session: derive a message key: " + err.Error()) // its length is fixed
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("session: derive a message key: " + err.Error()) // newXAES has tried
	}
	return &messageKey{salt: salt, cipher: gcm}
}

// deriveKey returns the specification's Kx: two CMACs of one block each, that is
// AES(block XOR K1) for the blocks 0x00 counter 'X' 0x00 salt, with the counters 1 and 2.
func (x *xaes) deriveKey(salt []byte) []byte {
	kx := make([]byte, 2*aes.BlockSize)
	for i := range 2 {
		m := kx[i*aes.BlockSize : (i+1)*aes.BlockSize]
		copy(m, []byte{0, byte(i + 1), 'X', 0})
		copy(m[4:], salt)
		subtle.XORBytes(m, m, x.k1[:])
		x.block.Encrypt(m, m)
	}
	return kx
}

// checkSecret returns an error where the secret of the named field is one that somebody could
// guess: it is all that stands between a client and the right to write its own session. It
// cannot tell a good secret from a bad one, only catch what people paste when they are in a
// hurry. The error never holds any of the secret.
func checkSecret(field, secret string) error {
	fault := secretFault(secret)
	if fault == "" {
		return nil
	}
	return fmt.Errorf("session: %s: %s; %s", field, fault,
		"make one with `head -c 32 /dev/urandom | base64` or session.NewSecret")
}

// secretFault says what is wrong with secret, or "".
func secretFault(secret string) string {
	if len(secret) < secretMin {
		return fmt.Sprintf("%d bytes are too short for a secret, it takes %d", len(secret), secretMin)
	}
	for _, s := range secretReadings(secret) {
		switch {
		case isSample(s):
			return "this secret is a sample or a placeholder, which others know too"
		case distinctBytes(s) < 8:
			return "this secret has too few different characters"
		case isRepeated(s):
			return "this secret is a shorter text repeated"
		case 2*steppedBytes(s) >= len(s):
			return "this secret counts or repeats characters in a row"
		}
	}
	return ""
}

// secretReadings returns the secret as it is and what it decodes to: 64 digits of hex may well
// be the numbers from 0 to 31.
func secretReadings(secret string) []string {
	text := strings.TrimSpace(secret) // a file's last newline hides no repetition
	readings := []string{text}
	if b, err := hex.DecodeString(text); err == nil {
		readings = append(readings, string(b))
	}
	digits := strings.TrimRight(text, "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := encoding.DecodeString(digits); err == nil {
			readings = append(readings, string(b))
		}
	}
	return readings
}

// sampleSecrets are texts that mark a secret as not one's own, in lower case and without
// anything but letters and digits. None is shorter than seven characters, so that of a hundred
// million random secrets one contains some of them.
var sampleSecrets = []string{
	// what a template asks for
	"changeme", "changethis", "changeit", "replaceme", "replacethis", "replacewith", "yoursecret",
	"yourkey", "yourappkey", "yourappsecret", "yoursession", "yoursuper", "yourown", "yourrandom",
	"secrethere", "keyhere", "placeholder", "example", "insecure", "donotuse", "dontuse",
	"inproduction", "atleast32", "32bytes", "32bytelong", "32character", "thirty2", "thirtytwo",
	"256bits", "256bitsecret",
	// what people and tutorials write instead
	"mysecret", "supersecret", "verysecret", "topsecret", "notsosecret", "secretkey", "password",
	"passphrase", "letmein", "somerandom", "randomstring", "keyboardcat", "correcthorse",
	"loremipsum", "01234567", "12345678", "abcdefgh", "qwertyui", "asdfghjk",
	// keys in the sources or the documentation of Masonite (two), Laravel and Flask
	"rkdoqxojjilsfi8wwiuqkrz0ptgwtoz676u5htlg", "nctpkicmltxie5te9njnimj9avbpm6lsjeq5idz0dqy",
	"ackfsecxivnk5r28gviwuaxmbbsjtsmf",
	"192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
}

// isSample reports whether s contains one of the sampleSecrets, however it is punctuated.
func isSample(s string) bool {
	folded := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(s))
	return slices.ContainsFunc(sampleSecrets, func(sample string) bool {
		return strings.Contains(folded, sample)
	})
}

// distinctBytes returns the number of different bytes in s.
func distinctBytes(s string) int {
	seen := make(map[byte]struct{})
	for i := range len(s) {
		seen[s[i]] = struct{}{}
	}
	return len(seen)
}

// isRepeated reports whether s is one text twice or more often, the last time perhaps in part.
func isRepeated(s string) bool {
	for period := 1; period <= len(s)/2; period++ {
		if s[period:] == s[:len(s)-period] {
			return true
		}
	}
	return false
}

// steppedBytes returns how many bytes of s stand in runs of at least four that repeat, count up
// or count down: "aaaa", "1234", "dcba".
func steppedBytes(s string) int {
	total, run := 0, 2
	for i := 2; i <= len(s); i++ {
		if i < len(s) && s[i]-s[i-1] == s[i-1]-s[i-2] && s[i]-s[i-1]+1 <= 2 { // a step of -1, 0 or 1
			run++
			continue
		}
		if run >= 4 {
			total += run
		}
		run = 2
	}
	return total
}
