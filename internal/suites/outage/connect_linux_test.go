package outage_test

import (
	"fmt"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/session"
)

func TestDialTimeoutBoundsTheConnect(t *testing.T) {
	t.Parallel()
	cfg := session.RedisConfig{Port: crowdedPort(t), Options: session.RedisOptions{DialTimeout: longer}}
	assertLasts(t, longer, func() {
		assertRefuses(t, redisVisitor(t, cfg), http.StatusServiceUnavailable)
	})
}

// crowdedPort returns a port whose queue of connections is full, so that the kernel drops the next
// one's packets, as a firewall would.
func crowdedPort(t *testing.T) int {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	t.Cleanup(func() { syscall.Close(fd) })
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, syscall.Listen(fd, 0))
	address, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	port := address.(*syscall.SockaddrInet4).Port
	for range 10 {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), 200*time.Millisecond)
		if err != nil {
			return port
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue takes everybody")
	return 0
}
