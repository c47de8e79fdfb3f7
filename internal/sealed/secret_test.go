package sealed_test

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/internal/sealed"
)

func TestNewKeyringReportsAllErrorsAtOnce(t *testing.T) {
	_, err := sealed.NewKeyring("short", []string{secret, strings.Repeat("x", 40), "change-me-" + secret})
	require.Error(t, err)
	for _, field := range []string{"Secret", "PreviousSecrets[1]", "PreviousSecrets[2]"} {
		assert.Contains(t, err.Error(), "session: "+field+": ")
	}
	assert.NotContains(t, err.Error(), "PreviousSecrets[0]")
}

func TestNewKeyringRefusesTwoSecretsWithOneKeyID(t *testing.T) {
	require.NotEqual(t, collidingA, collidingB)
	for _, tt := range []struct {
		name     string
		secret   string
		previous []string
		want     string
	}{{
		name:     "identical",
		secret:   secret,
		previous: []string{secret},
		want:     "session: PreviousSecrets[0]: has the key id of Secret",
	}, {
		name:     "identical previous ones",
		secret:   secret,
		previous: []string{otherSecret, otherSecret},
		want:     "session: PreviousSecrets[1]: has the key id of PreviousSecrets[0]",
	}, {
		name:     "different",
		secret:   collidingA,
		previous: []string{collidingB},
		want:     "session: PreviousSecrets[0]: has the key id of Secret",
	}} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := sealed.NewKeyring(tt.secret, tt.previous)
			assert.Nil(t, k)
			assert.ErrorContains(t, err, tt.want)
			assert.NotContains(t, err.Error(), tt.secret)
		})
	}
	_, err := sealed.NewKeyring(collidingA, nil)
	assert.NoError(t, err)
}

func TestCheckSecretRefusesWhatSomebodyCouldGuess(t *testing.T) {
	for name, secret := range map[string]string{
		"empty":               "",
		"31 bytes":            secret[:31],
		"one byte":            strings.Repeat("a", 32),
		"one zero byte":       string(make([]byte, 32)),
		"two bytes":           strings.Repeat("ab", 32),
		"few different bytes": "abcabdabeabfabgaabcaadabaabfagabcdae",
		"digits":              "01234567890123456789012345678901",
		"digits and letters":  "0123456789abcdefghijklmnopqrstuvwxyz",
		"letters":             "abcdefghijklmnopqrstuvwxyzABCDEF",
		"one byte in hex":     strings.Repeat("a5", 32),
		"zeros in base64":     base64.StdEncoding.EncodeToString(make([]byte, 32)),
		"change me":           "change-me-and-do-it-soon-before-release!!",
		"CHANGE_ME":           "CHANGE_ME_BEFORE_YOU_GO_LIVE_0xF00",
		"change this":         "Please change this secret before release",
		"your secret":         "your-secret-goes-in-here-thank-you",
		"replace me":          "<replace me with 40 random characters>",
		"placeholder":         "PLACEHOLDER-kq83hf8sq0zhw7cbqqwe81-x",
		"example":             "this is the example of the README, no?",
		"my secret":           "my secret is so good that nobody knows",
		"super secret":        "super_secret_key_for_signing_cookies",
		"secret key":          "a-secret-key-of-at-least-32-bytes-or-so",
		"password":            "Pass-word of the quick brown fox 1987",
		"Express":             "keyboard cat and some more of the same",
	} {
		t.Run(name, func(t *testing.T) {
			err := sealed.CheckSecret("PreviousSecrets[3]", secret)
			require.Error(t, err)
			text := err.Error()
			assert.True(t, strings.HasPrefix(text, "session: PreviousSecrets[3]: "), text)
			assert.Contains(t, text, "`head -c 32 /dev/urandom | base64`")
			assert.Contains(t, text, "session.NewSecret")
			if secret != "" {
				assert.NotContains(t, text, secret)
				assert.NotContains(t, text, secret[:8])
			}
		})
	}
}

func TestCheckSecretAcceptsWhatGeneratorsMake(t *testing.T) {
	for name, secret := range map[string]string{
		"base64 with padding":   "q1vX9ShpZt0kHn3bYw8Rj2LmUeGfDc7AoKi5TzQxV4M=",
		"base64 with a newline": "q1vX9ShpZt0kHn3bYw8Rj2LmUeGfDc7AoKi5TzQxV4M=\n",
		"base64, standard":      "q1vX9Sh+Zt0kHn3bYw8Rj2/mUeGfDc7AoKi5TzQxV4M",
		"base64url":             secret,
		"hex":                   "8f4b0e6d2a97c35180d6f3b94ce71a25f0a86b3d9e52c714673fbd08e41a9c52",
		"32 hex digits":         "8f4b0e6d2a97c35180d6f3b94ce71a25",
		"Laravel":               "base64:q1vX9ShpZt0kHn3bYw8Rj2LmUeGfDc7AoKi5TzQxV4M=",
		"bytes":                 string(unhex(t, "8f4b0e6d2a97c35180d6f3b94ce71a25f0a86b3d9e52c714673fbd08e41a9c52")),
		"words":                 "gravel onion tractor velvet mimic harp",
	} {
		t.Run(name, func(t *testing.T) { assert.NoError(t, sealed.CheckSecret("Secret", secret)) })
	}
}

func TestCheckSecretAcceptsEveryRandomSecret(t *testing.T) {
	for range 1000 {
		secret := newSecret()
		require.NoError(t, sealed.CheckSecret("Secret", secret))
		require.NoError(t, sealed.CheckSecret("Secret", hex.EncodeToString(unbase64(t, secret))))
		require.NoError(t, sealed.CheckSecret("Secret", string(unbase64(t, secret))))
	}
}
