package session_test

import (
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/sealed"
)

func TestNewSecretIs32BytesThatNeverComeTwice(t *testing.T) {
	seen := make(map[string]bool)
	for range 1000 {
		secret := session.NewSecret()
		b, err := base64.RawURLEncoding.Strict().DecodeString(secret)
		require.NoError(t, err)
		assert.Len(t, b, 32)
		assert.NoError(t, sealed.CheckSecret("Config.Secret", secret))
		assert.False(t, seen[secret], "the same secret twice")
		seen[secret] = true
	}
}
