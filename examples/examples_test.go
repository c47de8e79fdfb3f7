// Package examples_test runs each example as a separate program, and uses it over HTTP.
package examples_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

func TestQuickstartCountsFlashesAndRedirects(t *testing.T) {
	b := start(t, "quickstart").NewBrowser(t)
	assert.Equal(t, "Visit number 1.\n", b.Get("/").Body)
	assert.Equal(t, http.StatusSeeOther, post(b, "/save").StatusCode)
	assert.Equal(t, "Saved!\nVisit number 2.\n", b.Get("/").Body)
	assert.Equal(t, "Visit number 3.\n", b.Get("/").Body, "the message is gone after the next page")
}

func TestQuickstartSaysThatItMadeItselfASecret(t *testing.T) {
	p := start(t, "quickstart")
	assert.Contains(t, p.Log.Text(), "SESSION_SECRET is not set")
}

func TestTemplatesShowEachKindOfMessageOnce(t *testing.T) {
	b := start(t, "templates").NewBrowser(t)
	assert.NotContains(t, b.Get("/").Body, `class="alert`)
	for _, kind := range []string{"success", "warning", "danger"} {
		posted := post(b, "/flash/"+kind)
		assert.Equal(t, http.StatusSeeOther, posted.StatusCode)
		assert.Contains(t, b.Get("/").Body, `<div class="alert alert-`+kind+`">This is a `+kind+` message.`)
		assert.NotContains(t, b.Get("/").Body, `class="alert`, "shown again after a reload")
	}
	assert.Equal(t, http.StatusNotFound, post(b, "/flash/other").StatusCode)
}

func TestTemplatesUseTheDocumentedPartialAsItStands(t *testing.T) {
	example, err := os.ReadFile("templates/messages.html")
	require.NoError(t, err)
	documented, err := os.ReadFile("../testdata/messages.html")
	require.NoError(t, err)
	_, partial, found := bytes.Cut(documented, []byte("*/}}\n"))
	require.True(t, found, "the partial opens with a comment")
	assert.Equal(t, string(partial), string(example))
}

func TestRedisSharesSessionsBetweenTwoProcesses(t *testing.T) {
	redis := redistest.Start(t)
	port := fmt.Sprint("-redis-port=", redis.Port())
	t.Setenv("SESSION_SECRET", "h1JvX0qYb6mRzKfWcUdA9sTgLp3eNoV7iBxQyG5tFw8")
	first, second := start(t, "redis", port), start(t, "redis", port)
	b := first.NewBrowser(t)
	assert.Equal(t, "visit 1, served by "+first.Address+"\n", b.Get("/").Body)
	assert.Equal(t, "theme \"dark\"\n", b.Get("/theme?set=dark").Body)
	b.URL = second.URL() // cookies are sent to every port of a host
	assert.Equal(t, "visit 2, served by "+second.Address+"\n", b.Get("/").Body)
	assert.Equal(t, "theme \"dark\"\n", b.Get("/theme").Body)
}

func TestFilestoreGoesOnCountingInAnotherProcess(t *testing.T) {
	dir := "-dir=" + filepath.Join(t.TempDir(), "sessions")
	b := start(t, "filestore", dir).NewBrowser(t)
	assert.Equal(t, "Visit number 1.\n", b.Get("/").Body)
	b.URL = start(t, "filestore", dir).URL()
	assert.Equal(t, "Visit number 2.\n", b.Get("/").Body)
}

func TestMetricsCountAndLogEventsWithoutTokens(t *testing.T) {
	p := start(t, "metrics")
	b := p.NewBrowser(t)
	signedIn := post(b, "/sign-in?name=ann")
	require.Equal(t, http.StatusOK, signedIn.StatusCode)
	assert.Equal(t, "Signed in as \"ann\".\n", b.Get("/").Body)
	post(b, "/sign-out")
	assert.Equal(t, "Nobody is signed in.\n", b.Get("/").Body)

	var vars struct {
		Events map[string]int `json:"session_events"`
		Stats  session.Stats  `json:"session"`
	}
	text := b.Get("/debug/vars").Body
	require.NoError(t, json.Unmarshal([]byte(text), &vars), text)
	assert.Equal(t, map[string]int{"created": 1, "login": 1, "opened": 1, "ended": 1}, vars.Events)
	assert.Equal(t, 2, int(vars.Stats.Saves), "the sign-in, and the first use")
	for _, line := range []string{"event=login driver=memory handle=", "user=ann", "event=ended", "reason=logout"} {
		assert.Eventually(t, func() bool { return strings.Contains(p.Log.Text(), line) }, 10*time.Second, 10*time.Millisecond, line)
	}
	require.Len(t, signedIn.Cookies(), 1)
	assert.NotContains(t, text+p.Log.Text(), signedIn.Cookies()[0].Value, "the token is in the log or in the counters")
}

func TestExamplesRefuseAnArgumentThatTheyDoNotKnow(t *testing.T) {
	dir := t.TempDir()
	build, err := exec.Command("go", "build", "-ldflags=-w", "-o", dir, "./...").CombinedOutput()
	require.NoError(t, err, string(build))
	programs, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(programs), 8)
	for _, program := range programs {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		out, err := exec.CommandContext(ctx, filepath.Join(dir, program.Name()), "redis").CombinedOutput()
		cancel()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit, program.Name())
		assert.Contains(t, string(out), `unknown argument "redis"`, program.Name())
	}
}

// start builds an example and runs it on a free port until the test ends.
func start(t *testing.T, name string, args ...string) *kit.Program {
	t.Helper()
	return kit.StartProgram(t, kit.BuildProgram(t, name), args...)
}

// post sends a form without fields.
func post(b *kit.Browser, path string) kit.Page {
	b.T.Helper()
	return b.Do(http.MethodPost, path)
}
