package sealed

import "bytes"

// An XAES is the cipher by itself, for the published vectors.
type XAES struct{ x *xaes }

// NewXAES returns XAES-256-GCM under a key.
func NewXAES(key []byte) (XAES, error) {
	x, err := newXAES(key)
	return XAES{x}, err
}

// K1 returns the subkey of CMAC.
func (e XAES) K1() []byte { return e.x.k1[:] }

// DeriveKey returns the key of the message with this salt.
func (e XAES) DeriveKey(salt []byte) []byte {
	kx := make([]byte, keyLen)
	e.x.deriveKey(salt, kx)
	return kx
}

// Open opens nonce, ciphertext and tag.
func (e XAES) Open(sealed, aad []byte) ([]byte, error) {
	return e.x.open(bytes.Clone(sealed), aad, make([]byte, keyLen))
}

// KeyringOf returns a keyring of one key, under the header with which its values begin.
func KeyringOf(header [5]byte, e XAES) *Keyring {
	return &Keyring{keys: []*key{{header: header, cipher: e.x}}}
}

// SealWith seals as the current key of the keyring does, but under another header.
func (k *Keyring) SealWith(header []byte, name string, plain []byte) string {
	wire, aad, kx := workspace(nil, overhead+len(plain), name)
	copy(aad, header)
	return encoding.EncodeToString(k.keys[0].cipher.seal(append(wire[:0], header...), plain, aad, kx))
}
