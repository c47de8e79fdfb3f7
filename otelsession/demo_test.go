package otelsession_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/require"
)

var demoDir string // TestMain removes it

// demo is built once.
var demo = sync.OnceValues(func() (program string, err error) {
	if demoDir, err = os.MkdirTemp("", "demo"); err != nil {
		return "", err
	}
	program = filepath.Join(demoDir, "demo")
	out, err := exec.Command("go", "build", "-o", program, "example.com/session/examples/demo").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return program, err
})

// A demoServer is the demo as a process of its own, and a browser of it.
type demoServer struct {
	t       *testing.T
	url     string
	metrics string
	log     *lines
	client  *http.Client
}

var printed = regexp.MustCompile(`(?s)url=(http://[^ ]+/metrics).*serving (http://[0-9.:]+)`)

// startDemo runs the demo with -metrics until the test ends.
func startDemo(t *testing.T, args ...string) *demoServer {
	t.Helper()
	program, err := demo()
	require.NoError(t, err)
	d := &demoServer{t: t, log: new(lines)}
	cmd := exec.Command(program, append([]string{"-address", "127.0.0.1:0", "-metrics", "127.0.0.1:0"}, args...)...)
	cmd.Stderr = d.log
	require.NoError(t, cmd.Start())
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cmd.Process.Kill()
		cmd.Wait()
	})
	require.Eventually(t, func() bool { return printed.MatchString(d.log.String()) }, 20*time.Second, 10*time.Millisecond, "%s", d.log)
	urls := printed.FindStringSubmatch(d.log.String())
	d.metrics, d.url = urls[1], urls[2]
	d.client = &http.Client{Jar: jar, Transport: transport, Timeout: 20 * time.Second}
	return d
}

// configFor writes a configuration of the demo for a redis.
func configFor(t *testing.T, port int) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "session.json")
	text := fmt.Sprintf(`{"default": "redis", "redis": {"host": "127.0.0.1", "port": %d}}`, port)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// visit asks for a page and returns the status.
func (d *demoServer) visit(path string) int {
	d.t.Helper()
	response, err := d.client.Get(d.url + path)
	return d.status(response, err)
}

func (d *demoServer) status(response *http.Response, err error) int {
	d.t.Helper()
	require.NoError(d.t, err)
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(d.t, err)
	return response.StatusCode
}

func (d *demoServer) signIn(name string) {
	d.t.Helper()
	require.Equal(d.t, http.StatusOK, d.status(d.client.PostForm(d.url+"/sign-in", url.Values{"name": {name}})))
}

// cookie returns the value of the session's cookie.
func (d *demoServer) cookie(name string) string {
	d.t.Helper()
	parsed, err := url.Parse(d.url)
	require.NoError(d.t, err)
	for _, c := range d.client.Jar.Cookies(parsed) {
		if c.Name == name {
			return c.Value
		}
	}
	require.Fail(d.t, "there is no cookie "+name)
	return ""
}

// lines are what a process has printed.
type lines struct{ kit.LogBook }

func (l *lines) String() string { return l.Text() }

// count returns how many lines have a text.
func (l *lines) count(text string) int { return strings.Count(l.String(), text) }
