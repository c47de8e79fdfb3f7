package proxies_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"example.com/session/internal/process"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/require"
)

const (
	startLimit = 20 * time.Second
	stopLimit  = 5 * time.Second
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

const hostName = "shop.example.com"

// A site is an application behind a proxy.
type site struct {
	t    *testing.T
	url  string // https://shop.example.com:port
	port int
	tls  *tls.Config // of clients
}

// newSite serves app behind a proxy until the test ends. The configuration is that of the document
// with changes, pairs of a text and what stands in its place.
func newSite(t *testing.T, name string, app http.Handler, changes ...string) *site {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/is-it-you", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, t.Name()) })
	mux.Handle("/", app)
	server := httptest.NewUnstartedServer(mux)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // if a handler panics, middleware that compresses answers, too
	server.Start()
	t.Cleanup(server.Close)
	port := portOf(t, server.URL)

	certificate := redistest.NewCertificate(t, hostName)
	s := &site{t: t, tls: &tls.Config{RootCAs: certificate.Roots}}
	if name == "varnish" {
		port = start(t, proxies[name], port, certificate, changes)
		name, changes = "haproxy", beforeVarnish
	}
	s.port = start(t, proxies[name], port, certificate, changes)
	s.url = fmt.Sprintf("https://%s:%d", hostName, s.port)
	s.awaitAnswer()
	return s
}

func portOf(t *testing.T, address string) int {
	u, err := url.Parse(address)
	require.NoError(t, err)
	port, err := strconv.Atoi(u.Port())
	require.NoError(t, err)
	return port
}

// start starts a proxy in front of a port, waits until it listens, and stops it when the test ends.
// It returns the proxy's port. Another program may take that meanwhile, so there are three tries.
func start(t *testing.T, p proxy, app int, certificate *redistest.Certificate, changes []string) (port int) {
	t.Helper()
	path, err := exec.LookPath(p.program)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + p.program)
	}
	require.NoError(t, err, "make deps installs nginx, haproxy, apache2-bin, caddy and varnish")
	text, err := p.configuration(os.ReadFile, slices.Concat(changes, p.own))
	require.NoError(t, err)
	for range 3 {
		port = freePort(t)
		dir := directory(t, certificate)
		write(t, filepath.Join(dir, p.file), fill(text, dir, port, app))
		write(t, filepath.Join(dir, "frame"), fill(p.frame, dir, port, app))
		if err = launch(t, exec.Command(path, p.args(dir, port)...), dir, port); err == nil {
			return port
		}
	}
	require.NoError(t, err)
	return 0
}

// directory makes a directory for a proxy, with a certificate. It is not t.TempDir, which only the
// user of this process may enter.
func directory(t *testing.T, certificate *redistest.Certificate) string {
	dir, err := os.MkdirTemp("", "proxies")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, process.Hand(dir))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "shop"), 0o700)) // the cache of nginx or Apache
	require.NoError(t, process.Hand(filepath.Join(dir, "shop")))
	crt, err := os.ReadFile(certificate.CertFile)
	require.NoError(t, err)
	key, err := os.ReadFile(certificate.KeyFile)
	require.NoError(t, err)
	write(t, filepath.Join(dir, "shop.crt"), string(crt))
	write(t, filepath.Join(dir, "shop.key"), string(key))
	write(t, filepath.Join(dir, "shop.pem"), string(crt)+string(key))
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	require.NoError(t, process.Hand(path))
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// launch starts a proxy and waits until it listens.
func launch(t *testing.T, cmd *exec.Cmd, dir string, port int) error {
	output, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	defer output.Close() // the process has its own
	require.NoError(t, process.Hand(output.Name()))
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, output, output
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	process.DropRoot(cmd)
	p, err := process.Start(cmd)
	if err != nil {
		return err
	}
	t.Cleanup(func() {
		p.Stop(syscall.SIGTERM, stopLimit)
		if t.Failed() {
			text, _ := os.ReadFile(output.Name())
			t.Logf("the log of %s:\n%s", cmd.Path, text[max(0, len(text)-4000):])
		}
	})
	address := fmt.Sprintf("127.0.0.1:%d", port)
	for end := time.Now().Add(startLimit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		select {
		case <-p.Done():
			text, _ := os.ReadFile(output.Name())
			return fmt.Errorf("%s ended at once: %v\n%s", cmd.Path, p.Wait(), text)
		default:
		}
		if c, err := net.Dial("tcp", address); err == nil {
			return c.Close()
		}
	}
	return fmt.Errorf("%s does not listen", cmd.Path)
}

// awaitAnswer waits until the proxy passes requests on to the application of this test.
func (s *site) awaitAnswer() {
	s.t.Helper()
	client := s.browser(s.t).Client
	require.Eventually(s.t, func() bool {
		response, err := client.Get(s.url + "/is-it-you")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		return err == nil && string(text) == s.t.Name()
	}, startLimit, 10*time.Millisecond, "the application cannot be reached")
}

// browser returns a browser without cookies. It speaks HTTP/2 if the proxy does.
func (s *site) browser(t *testing.T) *kit.Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := &http.Transport{
		TLSClientConfig: s.tls.Clone(), ForceAttemptHTTP2: true, DisableCompression: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", s.port))
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &kit.Browser{T: t, URL: s.url, Client: &http.Client{
		Transport: transport, Jar: jar, Timeout: startLimit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}
