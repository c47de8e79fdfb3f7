package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/internal/suites/kit"
)

func TestTheDemoSaysAtItsStartThatRedisIsMissing(t *testing.T) {
	file := t.TempDir() + "/session.json"
	require.NoError(t, os.WriteFile(file, []byte(`{"default": "redis", "redis": {"host": "127.0.0.1", "port": 1}}`), 0o600))
	p := kit.StartProgram(t, kit.BuildProgram(t, "."), "-config", file)
	assert.Contains(t, p.Log.Text(), "the session store is unavailable")
	assert.Contains(t, p.Log.Text(), "127.0.0.1:1")
}
