package main

import (
	"bufio"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// run builds the example, runs it until the test ends, and returns its address.
func run(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "streaming")
	out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	listener.Close()
	cmd := exec.Command(binary, "-address", address, "-every", "20ms")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, 10*time.Second, 10*time.Millisecond, "the example does not listen")
	return "http://" + address
}

// events reads n lines of a stream that are not empty.
func events(t *testing.T, lines *bufio.Scanner, n int) (read []string) {
	t.Helper()
	for len(read) < n {
		require.True(t, lines.Scan(), "the stream ended after %q: %v", read, lines.Err())
		if line := lines.Text(); line != "" {
			read = append(read, line)
		}
	}
	return read
}

func TestStreamCountsAndEndsWithItsSession(t *testing.T) {
	url := run(t)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := &http.Client{Jar: jar, Timeout: 20 * time.Second}
	t.Cleanup(client.CloseIdleConnections)
	post := func(path string) {
		response, err := client.Post(url+path, "", nil)
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, http.StatusOK, response.StatusCode)
	}

	response, err := client.Get(url + "/events")
	require.NoError(t, err)
	response.Body.Close()
	assert.Equal(t, http.StatusUnauthorized, response.StatusCode)

	post("/in")
	response, err = client.Get(url + "/events")
	require.NoError(t, err)
	lines := bufio.NewScanner(response.Body)
	assert.Equal(t, []string{"data: 1", "data: 2", "data: 3"}, events(t, lines, 3))
	response.Body.Close() // the next stream continues the count

	response, err = client.Get(url + "/events")
	require.NoError(t, err)
	defer response.Body.Close()
	assert.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	lines = bufio.NewScanner(response.Body)
	first := events(t, lines, 1)[0]
	assert.NotContains(t, []string{"data: 1", "data: 2", "data: 3"}, first, "the count of the first stream is lost")

	post("/out")
	for event := ""; event != "event: end"; {
		event = events(t, lines, 1)[0]
	}
	assert.Equal(t, []string{"data: the session has ended"}, events(t, lines, 1))
	for lines.Scan() {
		assert.Empty(t, lines.Text(), "the stream goes on")
	}
	assert.NoError(t, lines.Err())
}
