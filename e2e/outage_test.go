package e2e_test

import (
	"net/http"
	"testing"

	"example.com/session/internal/redistest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStoreThatDoesNotRespondSignsNobodyOut(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	b := start(t, "redis", setup{redis: redis}).open(t)
	b.signIn("Ann")
	before := b.cookies()
	redis.Pause(t)
	b.provokes("503")
	assert.Equal(t, http.StatusServiceUnavailable, b.visit("/session"))
	assert.Contains(t, b.text("main"), "Nobody was signed out")
	assert.Empty(t, b.violations())
	assert.Equal(t, before, b.cookies(), "the error answer changed a cookie")
	redis.Resume(t)
	require.Equal(t, http.StatusOK, b.visit("/session"))
	assert.Equal(t, "Signed in as Ann", b.text(".name"))
}
