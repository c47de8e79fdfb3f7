package e2e_test

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dieWithParent makes the kernel kill a process when the thread that started it ends, also if that
// is because the test binary was killed.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

func TestDemoDiesWithAKilledTestBinary(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	require.NoError(t, err)
	binary := exec.Command(exe, "-test.run=^TestStartedByATestThatKillsIt$")
	binary.Env = append(os.Environ(), holdsDemo+"="+build(t), "TMPDIR="+t.TempDir()) // a killed binary does not remove its files
	stdout, err := binary.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, binary.Start())
	url, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	address, found := strings.CutPrefix(strings.TrimSpace(url), "http://")
	require.True(t, found, url)
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	c.Close()

	require.NoError(t, binary.Process.Kill())
	_ = binary.Wait()
	assert.Eventually(t, func() bool {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			c.Close()
		}
		return err != nil
	}, 5*time.Second, 10*time.Millisecond, "the demo still serves")
}

// holdsDemo is an environment variable: the path of the demo that a test binary starts and holds.
const holdsDemo = "SESSION_E2E_HOLDS"

// TestStartedByATestThatKillsIt is the other half of the test above.
func TestStartedByATestThatKillsIt(t *testing.T) {
	path := os.Getenv(holdsDemo)
	if path == "" {
		return
	}
	demo.path = path
	demo.once.Do(func() {})
	s, err := setup{}.launch(t, "memory")
	require.NoError(t, err)
	os.Stdout.WriteString(s.url + "\n")
	time.Sleep(startLimit) // if it is not killed, it ends
}
