package frameworks_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/a-h/templ"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGeneratedPageMatchesItsTemplate(t *testing.T) {
	generate := exec.Command("go", "run", "github.com/a-h/templ/cmd/templ@"+strings.TrimSpace(templ.Version()),
		"generate", "-stdout", "-f", "page.templ")
	generate.Dir = "templ"
	generate.Stderr = os.Stderr
	want, err := generate.Output()
	require.NoError(t, err)
	got, err := os.ReadFile("templ/page_templ.go")
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got), "page.templ was changed: generate page_templ.go again")
}
