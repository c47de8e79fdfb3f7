package sealed_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/internal/sealed"
)

// A sealedVector is a recorded cookie and what it holds.
type sealedVector struct {
	Name            string   `json:"name"`
	Secret          string   `json:"secret"`
	PreviousSecrets []string `json:"previous_secrets"`
	CookieName      string   `json:"cookie_name"`
	Payload         string   `json:"payload"` // in hex
	Cookie          string   `json:"cookie"`
}

// sealedVectors is the recorded file. Its values were sealed by earlier versions of the library.
type sealedVectors struct {
	Opens    []sealedVector `json:"opens"`
	Tampered []sealedVector `json:"tampered"`
	NotOurs  []sealedVector `json:"not_ours"`
}

func recordedVectors(t testing.TB) (file sealedVectors) {
	t.Helper()
	data, err := os.ReadFile("testdata/sealed_vectors.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &file))
	require.NotEmpty(t, file.Opens)
	require.NotEmpty(t, file.Tampered)
	require.NotEmpty(t, file.NotOurs)
	return file
}

func TestRecordedCookiesStillOpen(t *testing.T) {
	for _, v := range recordedVectors(t).Opens {
		t.Run(v.Name, func(t *testing.T) {
			got, current, err := mustKeyring(t, v.Secret, v.PreviousSecrets...).Open(nil, v.CookieName, v.Cookie)
			require.NoError(t, err)
			assert.Equal(t, len(v.PreviousSecrets) == 0, current)
			assert.Equal(t, unhex(t, v.Payload), got)
		})
	}
}

func TestRecordedRefusalsAreToldApart(t *testing.T) {
	file := recordedVectors(t)
	for _, v := range file.Tampered {
		t.Run(v.Name, func(t *testing.T) {
			requireRefused(t, sealed.ErrOpen, mustKeyring(t, v.Secret, v.PreviousSecrets...), v.CookieName, v.Cookie)
		})
	}
	for _, v := range file.NotOurs {
		t.Run(v.Name, func(t *testing.T) {
			requireRefused(t, sealed.ErrNotOurs, mustKeyring(t, v.Secret, v.PreviousSecrets...), v.CookieName, v.Cookie)
		})
	}
}

// The decoder below reads sealed cookies by the documented format and shares no code with the package.
func TestAnIndependentDecoderAgrees(t *testing.T) {
	file := recordedVectors(t)
	for _, v := range file.Opens {
		plain, ok := openByTheBook(append([]string{v.Secret}, v.PreviousSecrets...), v.CookieName, v.Cookie)
		assert.True(t, ok, v.Name)
		assert.True(t, bytes.Equal(unhex(t, v.Payload), plain), v.Name)
	}
	for _, v := range append(file.Tampered, file.NotOurs...) {
		_, ok := openByTheBook(append([]string{v.Secret}, v.PreviousSecrets...), v.CookieName, v.Cookie)
		assert.False(t, ok, v.Name)
	}
	k := mustKeyring(t, secret, otherSecret)
	for n := range 301 {
		want := bytes.Repeat([]byte{byte(n)}, n)
		got, ok := openByTheBook([]string{otherSecret, secret}, cookieName, seal(k, cookieName, want))
		assert.True(t, ok && bytes.Equal(want, got), "%d bytes", n)
	}
}

func openByTheBook(secrets []string, name, cookie string) (plain []byte, ok bool) {
	wire, err := base64.RawURLEncoding.Strict().DecodeString(cookie)
	if err != nil || strings.ContainsAny(cookie, "\r\n") || len(cookie) > 4096 || len(wire) < 45 || wire[0] != 1 {
		return nil, false
	}
	const idText = "session: sealed cookie key id v1"
	i := slices.IndexFunc(secrets, func(s string) bool { return string(derive(s, idText, 4)) == string(wire[1:5]) })
	if i < 0 {
		return nil, false
	}
	block, _ := aes.NewCipher(derive(secrets[i], "session: sealed cookie key v1", 32))
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

func derive(secret, info string, length int) []byte {
	key, _ := hkdf.Key(sha256.New, []byte(secret), nil, info, length)
	return key
}
