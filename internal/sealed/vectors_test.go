package sealed_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/internal/sealed"
	"example.com/session/internal/suites/book"
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
			got, err := mustKeyring(t, v.Secret, v.PreviousSecrets...).Open(nil, v.CookieName, v.Cookie)
			require.NoError(t, err)
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

func TestAnIndependentDecoderAgrees(t *testing.T) {
	file := recordedVectors(t)
	for _, v := range file.Opens {
		plain, ok := book.Open(append([]string{v.Secret}, v.PreviousSecrets...), v.CookieName, v.Cookie)
		assert.True(t, ok, v.Name)
		assert.True(t, bytes.Equal(unhex(t, v.Payload), plain), v.Name)
	}
	for _, v := range append(file.Tampered, file.NotOurs...) {
		_, ok := book.Open(append([]string{v.Secret}, v.PreviousSecrets...), v.CookieName, v.Cookie)
		assert.False(t, ok, v.Name)
	}
	k := mustKeyring(t, secret, otherSecret)
	for n := range 301 {
		want := bytes.Repeat([]byte{byte(n)}, n)
		got, ok := book.Open([]string{otherSecret, secret}, cookieName, seal(k, cookieName, want))
		assert.True(t, ok && bytes.Equal(want, got), "%d bytes", n)
	}
}
