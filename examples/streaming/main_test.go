package main

import (
	"bufio"
	"net/http"
	"testing"
	"time"

	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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
	b := kit.StartProgram(t, kit.BuildProgram(t, "."), "-every", "20ms").NewBrowser(t)
	client, url := b.Client, b.URL
	client.Timeout = 20 * time.Second
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
