package main

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/internal/suites/kit"
)

func TestTheDemoSaysWhatIsWrongWhenItStarts(t *testing.T) {
	demo := kit.BuildProgram(t, ".")
	out, err := exec.Command(demo, "-driver", "memory", "redis").CombinedOutput()
	var exit *exec.ExitError
	require.True(t, errors.As(err, &exit), err)
	assert.Equal(t, 2, exit.ExitCode())
	assert.Contains(t, string(out), `unknown argument "redis"`)

	file := t.TempDir() + "/session.json"
	require.NoError(t, os.WriteFile(file, []byte(`{"default": "redis", "redis": {"host": "127.0.0.1", "port": 1}}`), 0o600))
	p := kit.StartProgram(t, demo, "-config", file)
	assert.Contains(t, p.Log.Text(), "sessions cannot be reached")
	assert.Contains(t, p.Log.Text(), "127.0.0.1:1")
}
