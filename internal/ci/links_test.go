package ci_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	scheme  = regexp.MustCompile(`^[a-z]+:`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	fenced  = regexp.MustCompile("(?ms)^```.*?^```")
	dropped = regexp.MustCompile(`[^\pL\pN_ -]`) // what an anchor leaves out of its heading
)

// Every relative link of a document leads to a file, and its anchor to a heading.
func TestLinksOfTheDocumentsLeadSomewhere(t *testing.T) {
	texts, checked := textFiles(t), 0
	for from, text := range texts {
		if filepath.Ext(from) != ".md" {
			continue
		}
		for _, match := range link.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			if scheme.MatchString(match[1]) {
				continue
			}
			checked++
			path, anchor, _ := strings.Cut(match[1], "#")
			to := from
			if path != "" {
				to = filepath.Join(filepath.Dir(from), path)
			}
			_, err := os.Stat(to)
			assert.NoError(t, err, "%s links to %s", from, match[1])
			if anchor != "" {
				assert.Contains(t, anchorsOf(texts[to]), anchor, "%s links to %s", from, match[1])
			}
		}
	}
	assert.Greater(t, checked, 50)
}

// anchorsOf returns the anchors that a forge makes of the headings of a document.
func anchorsOf(markdown string) (anchors []string) {
	for _, match := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(markdown, ""), -1) {
		anchors = append(anchors, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-"))
	}
	return anchors
}

// A rule that drivertest names in a failure stands in docs/drivers.md.
func TestRulesOfStoresStandInTheDocument(t *testing.T) {
	source, err := os.ReadFile(filepath.Join(root, "driver", "drivertest", "stores.go"))
	require.NoError(t, err)
	rules := regexp.MustCompile(`(?m)^\trule\w+ += "(.*)"$`).FindAllStringSubmatch(string(source), -1)
	require.Greater(t, len(rules), 12)
	document, err := os.ReadFile(filepath.Join(root, "docs", "drivers.md"))
	require.NoError(t, err)
	text := strings.Join(strings.Fields(string(document)), " ")
	for _, rule := range rules {
		assert.Contains(t, text, rule[1])
	}
}
