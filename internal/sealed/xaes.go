package sealed

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
)

const (
	saltLen      = 12                // the part of the nonce that derives the message key, bytes
	xaesOverhead = saltLen + 12 + 16 // both parts of the nonce and the tag of GCM, bytes
	keyLen       = 2 * aes.BlockSize
)

// An xaes is XAES-256-GCM under one key. The first half of each nonce, the salt, derives the key of
// one message (SP 800-108r1, counter mode over CMAC). The second half is the nonce of AES-256-GCM
// under that key. GCM draws the second half itself, because GODEBUG=fips140=only allows no nonces
// of the caller; the bytes are those of the specification.
type xaes struct {
	block cipher.Block
	k1    [aes.BlockSize]byte // subkey of CMAC for whole blocks (SP 800-38B, section 6.1)
}

// newXAES prepares what all messages under a key of 32 bytes share.
func newXAES(key []byte) (*xaes, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	// An AES that cannot do this is reported at start, not by the first request.
	if _, err := cipher.NewGCMWithRandomNonce(block); err != nil {
		return nil, err
	}
	x := &xaes{block: block}
	block.Encrypt(x.k1[:], x.k1[:])
	msb := x.k1[0] >> 7
	for i := range len(x.k1) - 1 {
		x.k1[i] = x.k1[i]<<1 | x.k1[i+1]>>7
	}
	x.k1[len(x.k1)-1] = x.k1[len(x.k1)-1]<<1 ^ msb*0x87
	return x, nil
}

// seal appends a fresh random nonce and the sealed plaintext to dst. kx is room for a message key.
func (x *xaes) seal(dst, plain, aad, kx []byte) []byte {
	salt := len(dst)
	dst = dst[:salt+saltLen]
	rand.Read(dst[salt:]) // never fails: it ends the program instead of returning an error
	return x.messageCipher(dst[salt:], kx).Seal(dst, nil, plain, aad)
}

// open returns the plaintext of what seal has appended. It overwrites sealed. kx is room for a message
// key.
func (x *xaes) open(sealed, aad, kx []byte) ([]byte, error) {
	body := sealed[saltLen:]
	return x.messageCipher(sealed[:saltLen], kx).Open(body[:0], nil, body, aad)
}

// messageCipher returns AES-256-GCM under the key that the salt derives.
func (x *xaes) messageCipher(salt, kx []byte) cipher.AEAD {
	x.deriveKey(salt, kx)
	block, err := aes.NewCipher(kx)
	if err != nil {
		panic("session: derive a message key: " + err.Error()) // its length is fixed
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("session: derive a message key: " + err.Error()) // newXAES has tried it
	}
	return gcm
}

// deriveKey sets kx to Kx of the specification: two CMACs of one block each. Each is AES(block XOR K1)
// of the block 0x00 counter 'X' 0x00 salt; the counters are 1 and 2.
func (x *xaes) deriveKey(salt, kx []byte) {
	for i := range 2 {
		block := kx[i*aes.BlockSize : (i+1)*aes.BlockSize]
		copy(block, []byte{0, byte(i + 1), 'X', 0})
		copy(block[4:], salt)
		subtle.XORBytes(block, block, x.k1[:])
		x.block.Encrypt(block, block)
	}
}
