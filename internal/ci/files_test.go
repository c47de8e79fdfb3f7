package ci_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNoFileOfTheLibraryIsLongerThan400Lines(t *testing.T) {
	module := modulePath(t)
	for _, p := range list(t, root, "-deps", ".", "./driver/drivertest", "./sessiontest") {
		if p.ImportPath != module && !strings.HasPrefix(p.ImportPath, module+"/") {
			continue
		}
		for _, name := range p.GoFiles {
			data, err := os.ReadFile(filepath.Join(p.Dir, name))
			require.NoError(t, err)
			assert.LessOrEqual(t, bytes.Count(data, []byte("\n")), 400, "lines of %s/%s", p.ImportPath, name)
		}
	}
}

func TestDocumentsWrapAt120Columns(t *testing.T) {
	long := map[string][]int{}
	for path, text := range textFiles(t) {
		if numbers := longLines(text); filepath.Ext(path) == ".md" && len(numbers) > 0 {
			long[path] = numbers
		}
	}
	assert.Empty(t, long, "lines that are longer than 120 columns")
}

// longLines returns the numbers of the lines of a document that are longer than 120 columns. Code
// and tables may be: they do not wrap.
func longLines(markdown string) (numbers []int) {
	code := false
	for i, line := range strings.Split(markdown, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			code = !code
		}
		wraps := !code && !strings.HasPrefix(line, "|") && !strings.HasPrefix(line, "    ")
		if wraps && utf8.RuneCountInString(line) > 120 {
			numbers = append(numbers, i+1)
		}
	}
	return numbers
}

func TestLongLinesSkipsCodeAndTables(t *testing.T) {
	long := strings.Repeat("ä", 121)
	assert.Equal(t, []int{2, 8}, longLines(long[2:]+"\n"+long+"\n| "+long+"\n    "+long+"\n```go\n"+long+"\n```\n"+long))
}

// machinePath matches paths below directories that differ between machines.
var machinePath = regexp.MustCompile(`(?m)(^|[^\w.~/:-])/(home|root|work|Users)/\w`)

func TestNoFileNamesAPathOfOneMachine(t *testing.T) {
	here, err := filepath.Abs(root)
	require.NoError(t, err)
	for path, text := range textFiles(t) {
		assert.Empty(t, machinePath.FindString(text), path)
		assert.False(t, strings.Contains(text, here+"/"), "%s names %s", path, here)
	}
}

func TestMachinePathIsFound(t *testing.T) {
	for _, text := range []string{"see \"/" + "home/ann/x\"", "a\n/" + "root/x"} {
		assert.Regexp(t, machinePath, text)
	}
	for _, text := range []string{"/var/lib/app", "https://example.com/home/x", "./work/x", "GET /home"} {
		assert.NotRegexp(t, machinePath, text)
	}
}

// textFiles returns the texts that people write, by path.
func textFiles(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			if entry != nil && (entry.Name() == ".git" || entry.Name() == "node_modules") {
				return fs.SkipDir
			}
			return err
		}
		if entry.Name() == ".git" { // of a worktree
			return nil
		}
		data, err := os.ReadFile(path)
		if utf8.Valid(data) && bytes.IndexByte(data, 0) < 0 { // not a program or a picture
			texts[path] = string(data)
		}
		return err
	}))
	return texts
}
