package kit

import (
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/session/internal/process"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A Program is a running example. It listens on the address that its flag says.
type Program struct {
	Address string
	Log     *LogBook
}

// Build builds the package in a directory to path, without debug information: linking takes half as long.
func Build(dir, path string, flags ...string) error {
	build := exec.Command("go", slices.Concat([]string{"build", "-ldflags=-w"}, flags, []string{"-o", path, "."})...)
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", dir, err, out)
	}
	return nil
}

// BuildProgram builds the package in a directory, and returns the path of the program.
func BuildProgram(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	require.NoError(t, Build(dir, path))
	return path
}

// StartProgram runs a program on a free port until the test ends. It must not report a data race.
func StartProgram(t *testing.T, binary string, args ...string) *Program {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &Program{Address: listener.Addr().String(), Log: new(LogBook)}
	listener.Close()
	cmd := exec.Command(binary, append([]string{"-address", p.Address}, args...)...)
	cmd.Stdout, cmd.Stderr = p.Log, p.Log
	running, err := process.Start(cmd)
	require.NoError(t, err)
	t.Cleanup(func() {
		running.Kill()
		assert.NotContains(t, p.Log.Text(), "DATA RACE")
	})
	p.await(t)
	return p
}

// await waits until the program accepts connections, and what it has logged before is here.
func (p *Program) await(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		conn, err := net.Dial("tcp", p.Address)
		if err == nil {
			conn.Close()
			if strings.Contains(p.Log.Text(), p.Address) {
				return
			}
		}
		require.True(t, time.Now().Before(deadline), "the program does not listen: %v\n%s", err, p.Log.Text())
		time.Sleep(10 * time.Millisecond)
	}
}

// URL is the address of the program.
func (p *Program) URL() string { return "http://" + p.Address }

// NewBrowser returns a browser of the program.
func (p *Program) NewBrowser(t *testing.T) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	return &Browser{T: t, URL: p.URL(), Client: &http.Client{
		Transport: transport, Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}
