package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../../.."

// The documents name tests as evidence. Each of them exists, in this module or in a nested one.
func TestEveryTestThatADocumentNamesIsThere(t *testing.T) {
	documents, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	require.NoError(t, err)
	require.NotEmpty(t, documents)
	least := map[string]int{"SECURITY.md": 60, "CONTRIBUTING.md": 12}
	for name := range least {
		documents = append(documents, filepath.Join(root, name))
	}
	source := testSource(t)
	named := regexp.MustCompile(`(-run )?\b((?:Test|Fuzz)[A-Z0-9]\w+)`)
	for _, document := range documents {
		text, err := os.ReadFile(document)
		require.NoError(t, err)
		names := named.FindAllStringSubmatch(withoutExamples(string(text)), -1)
		assert.GreaterOrEqual(t, len(names), least[filepath.Base(document)], document)
		for _, name := range names {
			declaration := "func " + name[2]
			if name[1] == "" { // -run takes the beginning of a name
				declaration += "("
			}
			assert.True(t, strings.Contains(source, declaration), "%s names %s", document, name[2])
		}
	}
}

// testSource returns the text of every test file.
func testSource(t *testing.T) string {
	var source strings.Builder
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if name := d.Name(); d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "node_modules") {
			return fs.SkipDir
		}
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		source.Write(text)
		return err
	}))
	return source.String()
}

// withoutExamples returns a document without its blocks of code, which declare tests of the reader.
func withoutExamples(document string) string {
	var text strings.Builder
	for i, part := range strings.Split(document, "```") {
		if i%2 == 0 {
			text.WriteString(part)
		}
	}
	return text.String()
}
