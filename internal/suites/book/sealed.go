package book

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
)

// Open returns what a sealed cookie of a name holds. ok is false if none of the secrets opens it.
func Open(secrets []string, name, cookie string) (plain []byte, ok bool) {
	wire, err := base64.RawURLEncoding.Strict().DecodeString(cookie)
	if err != nil || strings.ContainsAny(cookie, "\r\n") || len(cookie) > 4096 || len(wire) < 45 || wire[0] != 1 {
		return nil, false
	}
	const idText = "session: sealed cookie key id v1"
	i := slices.IndexFunc(secrets, func(s string) bool { return string(Derive(s, idText, 4)) == string(wire[1:5]) })
	if i < 0 {
		return nil, false
	}
	block, _ := aes.NewCipher(Derive(secrets[i], "session: sealed cookie key v1", 32))
	k1 := make([]byte, 16)
	block.Encrypt(k1, k1)
	high, low := binary.BigEndian.Uint64(k1), binary.BigEndian.Uint64(k1[8:])
	k1 = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, high<<1|low>>63), low<<1^(high>>63)*0x87)
	x1, x2 := append([]byte{0, 1, 'X', 0}, wire[5:17]...), append([]byte{0, 2, 'X', 0}, wire[5:17]...)
	for _, x := range [][]byte{x1, x2} {
		subtle.XORBytes(x, x, k1)
		block.Encrypt(x, x)
	}
	block, _ = aes.NewCipher(append(x1, x2...))
	gcm, _ := cipher.NewGCM(block)
	plain, err = gcm.Open(nil, wire[17:29], wire[29:], append(wire[:5:5], name...))
	return plain, err == nil
}

// Derive returns what HKDF makes of a secret.
func Derive(secret, info string, length int) []byte {
	key, _ := hkdf.Key(sha256.New, []byte(secret), nil, info, length)
	return key
}
