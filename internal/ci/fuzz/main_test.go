package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// module writes a module with one test file and returns its directory.
func module(t *testing.T, source string) string {
	t.Helper()
	t.Setenv("GOFLAGS", "") // such as -modfile: it is not for this module
	t.Setenv("GOWORK", "off")
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.org/m\n\ngo 1.25\n"), 0o600))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "p"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "p", "p_test.go"), []byte("package p\n\nimport \"testing\"\n\n"+source), 0o600))
	return dir
}

const (
	seeded   = "func FuzzSeeded(f *testing.F) { f.Add(1); f.Fuzz(func(t *testing.T, n int) {}) }\n"
	seedless = "func FuzzSeedless(f *testing.F) { f.Fuzz(func(t *testing.T, n int) {}) }\n"
	failing  = "func FuzzFailing(f *testing.F) { f.Add(1); f.Fuzz(func(t *testing.T, n int) { t.Error(n) }) }\n"
	// Unless the name is anchored, go test fuzzes this one together with FuzzSeeded.
	prefixed = "func FuzzSeededAlso(f *testing.F) { f.Add(1); f.Fuzz(func(t *testing.T, n int) {}) }\n"
	// It passes with its seed, and fails on what fuzzing makes of it.
	fragile = "func FuzzFragile(f *testing.F) { f.Add([]byte{1}); f.Fuzz(func(t *testing.T, b []byte) { if len(b) > 1 { t.Error(b) } }) }\n"
)

func TestRun(t *testing.T) {
	for _, test := range []struct {
		name, source string
		says         string   // in what is printed
		errs         []string // in the error; none: it passes
	}{
		{name: "no targets", source: "func TestX(*testing.T) {}\n", says: "no targets"},
		{name: "each target is fuzzed", source: seeded + prefixed, says: "2 fuzz targets, 20x each: 0 failed"},
		{name: "all failures are told and the rest is fuzzed", source: seedless + failing + seeded,
			says: "3 fuzz targets, 20x each: 2 failed",
			errs: []string{
				"FuzzSeedless of example.org/m/p has no seeds",
				"FuzzFailing of example.org/m/p fails on its seeds",
			}},
		{name: "it does not compile", source: "func FuzzX(f *testing.F) { nothing() }\n", errs: []string{"undefined: nothing"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			err := run(&out, "20x", 0, []string{module(t, test.source)})
			assert.Contains(t, out.String(), test.says)
			if len(test.errs) == 0 {
				assert.NoError(t, err, "%s", &out)
			}
			for _, text := range test.errs {
				assert.ErrorContains(t, err, text)
			}
		})
	}
}

func TestFoundInputFails(t *testing.T) {
	dir := module(t, fragile)
	err := run(&bytes.Buffer{}, "20s", 0, []string{dir})
	assert.ErrorContains(t, err, "FuzzFragile of example.org/m/p: exit status 1")
	assert.ErrorContains(t, err, "Failing input written to")
}

func TestCorpusFilesAreSeeds(t *testing.T) {
	dir := module(t, seedless)
	corpus := filepath.Join(dir, "p", "testdata", "fuzz", "FuzzSeedless")
	require.NoError(t, os.MkdirAll(corpus, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(corpus, "one"), []byte("go test fuzz v1\nint(1)\n"), 0o600))
	assert.NoError(t, run(&bytes.Buffer{}, "20x", 0, []string{dir}))
}

func TestTotalIsShared(t *testing.T) {
	assert.Equal(t, 514*time.Second, share(time.Hour, 7))
	assert.Equal(t, time.Second, share(time.Second, 7))
	assert.Equal(t, time.Second, share(0, 7))
}

func TestOnlyTheClockOfGoTestIsForgiven(t *testing.T) {
	const clock = "fuzz: elapsed: 10s, execs: 7 (0/sec)\n--- FAIL: FuzzX (10.21s)\n    context deadline exceeded\nFAIL\nexit status 1\n"
	assert.True(t, onlyLate(clock))
	for _, text := range []string{
		"--- FAIL: FuzzX (10.21s)\n    --- FAIL: FuzzX (0.00s)\n        x_test.go:7: context deadline exceeded\n\n    Failing input written to testdata/fuzz/FuzzX/771e938e4458e983\nFAIL\n",
		"--- FAIL: FuzzX (10.21s)\n    x_test.go:7: context deadline exceeded\nFAIL\n",
		"--- FAIL: FuzzX (10.21s)\n    fuzzing process hung or terminated unexpectedly: exit status 2\nFAIL\n",
		clock + "\n    Failing input written to testdata/fuzz/FuzzX/771e938e4458e983\n",
		"context deadline exceeded\n",
	} {
		assert.False(t, onlyLate(text), text)
	}
}
