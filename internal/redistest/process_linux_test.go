package redistest_test

import (
	"bufio"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/internal/redistest"
)

func TestServerDiesWithAKilledTestBinary(t *testing.T) {
	t.Parallel()
	cmd := child(t, "hold")
	cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir()) // nobody removes what a killed binary leaves
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	addr = strings.TrimSpace(addr)
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	c.Close()

	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	assertDown(t, addr)
}

func TestServerOutlivesTheThreadThatAskedForIt(t *testing.T) {
	t.Parallel()
	started := make(chan *redistest.Server)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		s, err := redistest.Launch()
		assert.NoError(t, err)
		started <- s
	}()
	s := <-started
	require.NotNil(t, s)
	defer s.Remove()
	time.Sleep(100 * time.Millisecond)
	_, err := s.Conn(t).Do("PING")
	assert.NoError(t, err)
}
