// Package ci_test holds the tests of what the project says about itself, rather than of what its
// code does.
package ci_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../.." // go test runs a test in its package's directory

func TestReadmeProgramIsTheQuickstart(t *testing.T) { checkReadmeProgram(t, root) }

func checkReadmeProgram(t *testing.T, dir string) {
	t.Helper()
	program, err := os.ReadFile(filepath.Join(dir, "examples", "quickstart", "main.go"))
	require.NoError(t, err)
	assert.Equal(t, string(program), firstProgram(readReadme(t, dir)),
		"the first program in README.md differs from examples/quickstart/main.go")
}

// The lines that README.md says to paste into a program make it build, beside a clone.
func TestReadmeLinesGetTheLibrary(t *testing.T) { checkReadmeLines(t, root) }

func checkReadmeLines(t *testing.T, checkout string) {
	t.Helper()
	readme := readReadme(t, checkout)
	_, rest, found := strings.Cut(readme, "run in your program:\n\n")
	require.True(t, found)
	lines, _, _ := strings.Cut(rest, "\n\n")
	dir := t.TempDir()
	clone, err := filepath.Abs(checkout)
	require.NoError(t, err)
	require.NoError(t, os.Symlink(clone, filepath.Join(dir, "session")))
	program := filepath.Join(dir, "program")
	require.NoError(t, os.Mkdir(program, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(program, "main.go"), []byte(firstProgram(readme)), 0o644))
	script := "go mod init program\n" + lines + "\ngo build -o program .\n"
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = program, append(os.Environ(), "GOWORK=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	assert.FileExists(t, filepath.Join(program, "program"))
}

// What README.md shows of curl is what curl shows. Values, times and the name of the data cookie differ.
func TestReadmeTranscriptIsWhatCurlShows(t *testing.T) {
	const open = "```\n$ curl"
	_, rest, found := strings.Cut(readReadme(t, root), open)
	require.True(t, found)
	shown, _, _ := strings.Cut(rest, "```\n")
	shown = "$ curl" + shown
	server := kit.StartProgram(t, kit.BuildProgram(t, filepath.Join(root, "examples", "quickstart")))
	dir, got := t.TempDir(), ""
	for line := range strings.Lines(shown) {
		command, isCommand := strings.CutPrefix(line, "$ ")
		if !isCommand {
			continue
		}
		cmd := exec.Command("bash", "-c", strings.Replace(command, "127.0.0.1:8080", server.Address, 1))
		cmd.Dir = dir
		out, err := cmd.Output()
		require.NoError(t, err, command)
		got += line + strings.ReplaceAll(string(out), "\r\n", "\n")
	}
	assert.Equal(t, comparable(shown), comparable(got))
}

// comparable leaves out of a transcript what differs each time.
func comparable(transcript string) string {
	for _, r := range [...][2]string{
		{`s_cookie_[A-Za-z0-9_-]{8}=`, "s_cookie_data="}, {`=[A-Za-z0-9_-]{6}(\.\.\.|[A-Za-z0-9_-]+);`, "=value;"},
		{`Expires=[^;]*;`, "Expires;"}, {`Date: .*`, "Date"},
	} {
		transcript = regexp.MustCompile(r[0]).ReplaceAllString(transcript, r[1])
	}
	return transcript
}

func readReadme(t *testing.T, dir string) string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
	require.NoError(t, err)
	return string(readme)
}

// README.md is read in one go.
func TestReadmeIsShort(t *testing.T) {
	lines := strings.Split(readReadme(t, root), "\n")
	assert.Less(t, len(lines), 251)
	assert.Less(t, slices.Index(lines, "package main"), 25)
}

// firstProgram is the first fenced block of Go that is a whole program, or "".
func firstProgram(markdown string) string {
	const open, end = "```go\n", "\n```\n"
	for {
		_, rest, found := strings.Cut(markdown, open)
		if !found {
			return ""
		}
		block, rest, _ := strings.Cut(rest, end)
		if strings.Contains("\n"+block, "\npackage main\n") {
			return block + "\n"
		}
		markdown = rest
	}
}

func TestFirstProgramSkipsFragments(t *testing.T) {
	assert.Equal(t, "// Doc.\npackage main\n\nfunc main() {}\n", firstProgram(
		"# T\n```go\nimport \"x\"\n```\n```sh\npackage main\n```\n```go\n// Doc.\npackage main\n\nfunc main() {}\n```\n"))
	assert.Empty(t, firstProgram("# T\n```go\nx := 1\n```\n"))
}

// What docs/proxies.md shows is what the tests of the proxies run.
func TestProxyConfigurationsAreThoseOfTheTests(t *testing.T) {
	document, err := os.ReadFile(filepath.Join(root, "docs", "proxies.md"))
	require.NoError(t, err)
	paths, err := filepath.Glob(filepath.Join(root, "internal", "suites", "proxies", "testdata", "*"))
	require.NoError(t, err)
	require.Len(t, paths, 5)
	for _, path := range paths {
		configuration, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Contains(t, string(document), "\n"+string(configuration)+"```\n", "docs/proxies.md shows another %s", filepath.Base(path))
	}
}

// TestRenamingTheModuleWorks runs the command of CONTRIBUTING.md in a copy of the project.
func TestRenamingTheModuleWorks(t *testing.T) {
	contributing, err := os.ReadFile(filepath.Join(root, "CONTRIBUTING.md"))
	require.NoError(t, err)
	i := bytes.Index(contributing, []byte("    grep -rl"))
	require.GreaterOrEqual(t, i, 0, "CONTRIBUTING.md has no command to rename the module")
	command, _, _ := strings.Cut(strings.TrimSpace(string(contributing[i:])), "\n\n")

	old := modulePath(t)
	copied := filepath.Join(t.TempDir(), "copy")
	output(t, root, "cp", "-R", ".", copied)
	output(t, copied, "bash", "-euo", "pipefail", "-c", command)

	renamed := strings.TrimSpace(output(t, copied, "go", "list", "-m"))
	require.NotEqual(t, old, renamed)
	for _, path := range goFiles(t, copied) {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.NotContains(t, string(data), `"`+old, "%s still imports the old path", path)
	}
	output(t, copied, "make", "gofmt")
	for _, path := range goFiles(t, copied) {
		if filepath.Base(path) == "go.mod" {
			output(t, filepath.Dir(path), "go", "list", "-deps", "-test", "./...") // finds every import, and compiles nothing
		}
	}
	checkReadmeProgram(t, copied)
	checkReadmeLines(t, copied)
}

// output runs a command in dir, without what make and the caller's shell would hand down to it.
func output(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS=") })
	cmd.Env = append(cmd.Env, "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s %s\n%s%s", name, args, out, &stderr)
	return string(out)
}

// goFiles lists the Go sources and go.mod files under dir.
func goFiles(t *testing.T, dir string) (paths []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".go") || filepath.Base(path) == "go.mod" {
			paths = append(paths, path)
		}
		return err
	}))
	return paths
}
