// Package examples_test runs each example as a separate program, and uses it over HTTP.
package examples_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/redistest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

func TestQuickstartCountsFlashesAndRedirects(t *testing.T) {
	b := newBrowser(t, start(t, "quickstart"))
	assert.Equal(t, "Visit number 1.\n", b.get("/"))
	assert.Equal(t, http.StatusSeeOther, b.post("/save").StatusCode)
	assert.Equal(t, "Saved!\nVisit number 2.\n", b.get("/"))
	assert.Equal(t, "Visit number 3.\n", b.get("/"), "the message is gone after the next page")
}

func TestQuickstartSaysThatItMadeItselfASecret(t *testing.T) {
	p := start(t, "quickstart")
	assert.Contains(t, p.log.String(), "SESSION_SECRET is not set")
}

func TestTemplatesShowEachKindOfMessageOnce(t *testing.T) {
	b := newBrowser(t, start(t, "templates"))
	assert.NotContains(t, b.get("/"), `class="alert`)
	for _, kind := range []string{"success", "warning", "danger"} {
		posted := b.post("/flash/" + kind)
		assert.Equal(t, http.StatusSeeOther, posted.StatusCode)
		assert.Contains(t, b.get("/"), `<div class="alert alert-`+kind+`">This is a `+kind+` message.`)
		assert.NotContains(t, b.get("/"), `class="alert`, "shown again after a reload")
	}
	assert.Equal(t, http.StatusNotFound, b.post("/flash/other").StatusCode)
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
	b := newBrowser(t, first)
	assert.Equal(t, "visit 1, served by "+first.address+"\n", b.get("/"))
	assert.Equal(t, "theme \"dark\"\n", b.get("/theme?set=dark"))
	b.url = second.url() // cookies are sent to every port of a host
	assert.Equal(t, "visit 2, served by "+second.address+"\n", b.get("/"))
	assert.Equal(t, "theme \"dark\"\n", b.get("/theme"))
}

func TestFilestoreGoesOnCountingInAnotherProcess(t *testing.T) {
	dir := "-dir=" + filepath.Join(t.TempDir(), "sessions")
	b := newBrowser(t, start(t, "filestore", dir))
	assert.Equal(t, "Visit number 1.\n", b.get("/"))
	b.url = start(t, "filestore", dir).url()
	assert.Equal(t, "Visit number 2.\n", b.get("/"))
}

func TestMetricsCountAndLogEventsWithoutTokens(t *testing.T) {
	p := start(t, "metrics")
	b := newBrowser(t, p)
	signedIn := b.post("/sign-in?name=ann")
	require.Equal(t, http.StatusOK, signedIn.StatusCode)
	assert.Equal(t, "Signed in as \"ann\".\n", b.get("/"))
	b.post("/sign-out")
	assert.Equal(t, "Nobody is signed in.\n", b.get("/"))

	var vars struct {
		Events map[string]int `json:"session_events"`
		Stats  session.Stats  `json:"session"`
	}
	text := b.get("/debug/vars")
	require.NoError(t, json.Unmarshal([]byte(text), &vars), text)
	assert.Equal(t, map[string]int{"created": 1, "login": 1, "opened": 1, "ended": 1}, vars.Events)
	assert.Equal(t, 2, int(vars.Stats.Saves), "the sign-in, and the first use")
	for _, line := range []string{"event=login driver=memory handle=", "user=ann", "event=ended", "reason=logout"} {
		assert.Contains(t, p.log.String(), line)
	}
	require.Len(t, signedIn.Cookies(), 1)
	assert.NotContains(t, text+p.log.String(), signedIn.Cookies()[0].Value, "the token is in the log or in the counters")
}

// A program is a running example.
type program struct {
	address string
	log     *buffer
}

func (p *program) url() string { return "http://" + p.address }

// start builds an example and runs it on a free port until the test ends.
func start(t *testing.T, name string, args ...string) *program {
	t.Helper()
	binary := filepath.Join(t.TempDir(), name)
	out, err := exec.Command("go", "build", "-o", binary, "./"+name).CombinedOutput()
	require.NoError(t, err, string(out))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &program{address: listener.Addr().String(), log: new(buffer)}
	listener.Close()
	cmd := exec.Command(binary, append([]string{"-address", p.address}, args...)...)
	cmd.Stderr = p.log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	p.await(t)
	return p
}

// await waits until the program accepts connections.
func (p *program) await(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		conn, err := net.Dial("tcp", p.address)
		if err == nil {
			conn.Close()
			return
		}
		require.True(t, time.Now().Before(deadline), "the example does not listen: %v\n%s", err, p.log)
		time.Sleep(10 * time.Millisecond)
	}
}

// A buffer is a bytes.Buffer that is safe for concurrent use.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// A browser keeps cookies, and does not follow redirects.
type browser struct {
	t      *testing.T
	client *http.Client
	url    string
}

func newBrowser(t *testing.T, p *program) *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	t.Cleanup(client.CloseIdleConnections)
	return &browser{t: t, client: client, url: p.url()}
}

func (b *browser) get(path string) string {
	b.t.Helper()
	response, err := b.client.Get(b.url + path)
	require.NoError(b.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(b.t, err)
	return string(body)
}

func (b *browser) post(path string) *http.Response {
	b.t.Helper()
	response, err := b.client.Post(b.url+path, "application/x-www-form-urlencoded", strings.NewReader(""))
	require.NoError(b.t, err)
	response.Body.Close()
	return response
}
