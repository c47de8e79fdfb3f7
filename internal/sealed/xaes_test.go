package sealed_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha3"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/internal/sealed"
)

// The published sums are those of 10000 and of 1000000 messages. The larger takes seconds.
var accumulate = flag.Int("xaes-messages", 10_000, "how many accumulated XAES-256-GCM vectors to check: 10000 or 1000000")

// An xaesVector is one of the published vectors.
type xaesVector struct {
	Key, Nonce, L, K1, Kx, Plaintext, AAD, Ciphertext string
}

func xaesVectors(t testing.TB) (vectors []xaesVector, accumulated map[string]string) {
	t.Helper()
	data, err := os.ReadFile("testdata/xaes_vectors.json")
	require.NoError(t, err)
	var file struct {
		Vectors     []xaesVector
		Accumulated map[string]string
	}
	require.NoError(t, json.Unmarshal(data, &file))
	require.Len(t, file.Vectors, 2)
	return file.Vectors, file.Accumulated
}

func TestXAESDerivesThePublishedKeys(t *testing.T) {
	vectors, _ := xaesVectors(t)
	for i, v := range vectors {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			x := mustXAES(t, unhex(t, v.Key))
			assert.Equal(t, v.K1, hex.EncodeToString(x.K1()))
			assert.Equal(t, v.Kx, hex.EncodeToString(x.DeriveKey([]byte(v.Nonce[:12]))))
		})
	}
}

func TestXAESMakesThePublishedCiphertexts(t *testing.T) {
	vectors, _ := xaesVectors(t)
	for i, v := range vectors {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			x := mustXAES(t, unhex(t, v.Key))
			got := sealFixed(t, x, []byte(v.Nonce), []byte(v.Plaintext), []byte(v.AAD))
			assert.Equal(t, v.Ciphertext, hex.EncodeToString(got))
		})
	}
}

func TestXAESOpensThePublishedCiphertexts(t *testing.T) {
	vectors, _ := xaesVectors(t)
	for i, v := range vectors {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			published := append([]byte(v.Nonce), unhex(t, v.Ciphertext)...)
			got, err := mustXAES(t, unhex(t, v.Key)).Open(published, []byte(v.AAD))
			require.NoError(t, err)
			assert.Equal(t, v.Plaintext, string(got))
		})
	}
}

// The value around a vector is made here without the code under test: GCM under the published Kx,
// with the published nonce.
func TestOpenReadsTheWireFormOfThePublishedVectors(t *testing.T) {
	vectors, _ := xaesVectors(t)
	for i, v := range vectors {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			header := [5]byte{1, 0xA, 0xB, 0xC, 0xD}
			aad := append(header[:], cookieName...)
			ciphertext := gcmOf(t, unhex(t, v.Kx)).Seal(nil, []byte(v.Nonce[12:]), []byte(v.Plaintext), aad)
			wire := slices.Concat(header[:], []byte(v.Nonce), ciphertext)

			k := sealed.KeyringOf(header, mustXAES(t, unhex(t, v.Key)))
			got, err := k.Open(nil, cookieName, tobase64(wire))
			require.NoError(t, err)
			assert.Equal(t, v.Plaintext, string(got))
		})
	}
}

func TestXAESAgreesWithTheAccumulatedVectors(t *testing.T) {
	_, accumulated := xaesVectors(t)
	want := accumulated[strconv.Itoa(*accumulate)]
	require.NotEmpty(t, want, "no sum is published for -xaes-messages=%d", *accumulate)
	assert.Equal(t, want, accumulatedSum(t, *accumulate))
}

// accumulatedSum seals and opens n pseudorandom messages and returns the hash of all ciphertexts.
func accumulatedSum(t testing.TB, n int) string {
	source, sum := sha3.NewSHAKE128(), sha3.NewSHAKE128()
	read := func(n int) []byte {
		b := make([]byte, n)
		source.Read(b)
		return b
	}
	for range n {
		x, nonce := mustXAES(t, read(32)), read(24)
		plaintext := read(int(read(1)[0]))
		aad := read(int(read(1)[0]))

		ciphertext := sealFixed(t, x, nonce, plaintext, aad)
		opened, err := x.Open(slices.Concat(nonce, ciphertext), aad)
		if err != nil || !bytes.Equal(opened, plaintext) {
			t.Fatalf("does not open: %x: %v", ciphertext, err)
		}
		sum.Write(ciphertext)
	}
	out := make([]byte, 32)
	sum.Read(out)
	return hex.EncodeToString(out)
}

// sealFixed seals with a nonce of the caller's choice, which the package itself never does.
func sealFixed(t testing.TB, x sealed.XAES, nonce, plaintext, aad []byte) []byte {
	return gcmOf(t, x.DeriveKey(nonce[:12])).Seal(nil, nonce[12:], plaintext, aad)
}

func mustXAES(t testing.TB, key []byte) sealed.XAES {
	t.Helper()
	x, err := sealed.NewXAES(key)
	require.NoError(t, err)
	return x
}

func gcmOf(t testing.TB, key []byte) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(t, err)
	return gcm
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}
