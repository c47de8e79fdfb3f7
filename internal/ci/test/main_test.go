package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// runModule runs the tests of a module that has the given test files, by their package.
func runModule(t *testing.T, omit string, sources map[string]string) (printed string, failed int) {
	t.Helper()
	t.Setenv("GOFLAGS", "") // such as -modfile: it is not for this module
	t.Setenv("GOWORK", "off")
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.org/m\n\ngo 1.25\n"), 0o600))
	for pkg, source := range sources {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, pkg), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, pkg, "x_test.go"), []byte("package "+pkg+"\n\n"+source), 0o600))
	}
	var out strings.Builder
	failed = runAll(&out, []string{dir}, omit, []string{"test", "-json", "-count=1", "-timeout", "20s"}, 1)
	return out.String(), failed
}

const imports = "import (\n\t\"os\"\n\t\"testing\"\n)\n\nvar _ = os.Exit\n\n"

func TestReport(t *testing.T) {
	for _, test := range []struct {
		name, source string
		want         string   // the last line
		says         []string // before it
	}{
		{name: "subtests count", want: "3 passed, 0 failed", says: []string{"ok    /", ": 3 passed, 0 failed in "},
			source: imports + `func TestA(t *testing.T) { t.Log("quiet"); t.Run("b", func(*testing.T) {}); t.Run("c", func(*testing.T) {}) }`},
		{name: "failed", want: "1 passed, 1 failed", says: []string{"FAIL  example.org/m/p ", "(2 tests, 1 failed)", "why it failed"},
			source: imports + `func TestA(t *testing.T) { t.Error("why it failed") }; func TestB(t *testing.T) { t.Log("quiet") }`},
		{name: "skipped", want: "1 passed, 0 failed", says: []string{"1 skipped:\n  example.org/m/p TestA: x_test.go:11: why it was skipped\n"},
			source: imports + "func TestA(t *testing.T) {\n\tt.Skip(\"why it was skipped\")\n}; func TestB(*testing.T) {}"},
		{name: "panic", want: "0 passed, 1 failed", says: []string{"panic: why", "FAIL  example.org/m/p "},
			source: imports + `func TestA(*testing.T) { panic("why") }`},
		{name: "unfinished", want: "0 passed, 2 failed", says: []string{"TestA/b did not finish", "TestA did not finish"},
			source: imports + `func TestA(t *testing.T) { t.Run("b", func(*testing.T) { os.Exit(3) }) }`},
		{name: "failed outside of tests", want: "1 passed, 1 failed", says: []string{"a leak", "(1 tests, 1 failed)"},
			source: imports + `func TestMain(m *testing.M) { m.Run(); println("a leak"); os.Exit(1) }; func TestA(*testing.T) {}`},
		{name: "not compiled", want: "0 passed, 1 failed", says: []string{"undefined: nothing", "FAIL  example.org/m/p "},
			source: imports + `func TestA(*testing.T) { nothing() }`},
		{name: "faults that vet finds", want: "0 passed, 1 failed", says: []string{"Errorf format %d", "FAIL  example.org/m/p "},
			source: imports + `func TestA(t *testing.T) { t.Errorf("%d", "text") }`},
		{name: "not parsed", want: "0 passed, 1 failed", says: []string{"expected"}, source: "func {"},
	} {
		t.Run(test.name, func(t *testing.T) {
			printed, _ := runModule(t, "", map[string]string{"p": test.source})
			lines := strings.Split(strings.TrimSuffix(printed, "\n"), "\n")
			assert.Equal(t, test.want, lines[len(lines)-1], printed)
			for _, text := range test.says {
				assert.Contains(t, printed, text)
			}
			assert.NotContains(t, printed, "quiet")
		})
	}
}

func TestOmittedPackagesAreNotRun(t *testing.T) {
	printed, _ := runModule(t, "/q$", map[string]string{
		"p": imports + "func TestA(*testing.T) {}",
		"q": imports + "func TestA(t *testing.T) { t.Error() }",
	})
	assert.Contains(t, printed, "1 passed, 0 failed\n")
	assert.NotContains(t, printed, "example.org/m/q")
}

func TestModuleWithoutPackagesFails(t *testing.T) {
	_, failed := runModule(t, "", nil)
	assert.Equal(t, 1, failed)
}

func TestSeveralModulesHaveOneSummary(t *testing.T) {
	t.Setenv("GOFLAGS", "")
	t.Setenv("GOWORK", "off")
	var dirs []string
	for _, source := range []string{"func TestA(*testing.T) {}", "func TestB(t *testing.T) { t.Error() }", "func TestC(t *testing.T) { t.Skip() }"} {
		dir := t.TempDir()
		dirs = append(dirs, dir)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.org/m\n\ngo 1.25\n"), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "x_test.go"), []byte("package m\n\n"+imports+source), 0o600))
	}
	var out strings.Builder
	failed := runAll(&lockedWriter{out: &out}, dirs, "", []string{"test", "-json", "-timeout", "20s"}, 3)
	assert.Equal(t, 1, failed)
	assert.Contains(t, out.String(), "ok    "+dirs[0]+": 1 passed, 0 failed")
	assert.Contains(t, out.String(), "FAIL  "+dirs[1]+": 0 passed, 1 failed")
	assert.Contains(t, out.String(), "1 skipped:")
	assert.True(t, strings.HasSuffix(out.String(), "\n1 passed, 1 failed\n"), out.String())
}
