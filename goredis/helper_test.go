package goredis_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/goredis"
)

var quiet = slog.New(slog.DiscardHandler)

// A browser is a client with a cookie jar, and the application that it talks to.
type browser struct {
	t       *testing.T
	manager *session.Manager
	client  *http.Client
	url     string
}

// newBrowser serves an application whose sessions a go-redis client keeps.
func newBrowser(t *testing.T, client redis.UniversalClient, change func(cfg *session.Config)) *browser {
	t.Helper()
	cfg := session.Config{Default: "redis", Logger: quiet}
	cfg.Redis.Options.Client = goredis.New(client)
	if change != nil {
		change(&cfg)
	}
	m, err := session.NewManager(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	mux := http.NewServeMux()
	mux.HandleFunc("/plain", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "plain") })
	mux.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, session.FromRequest(r).GetInt("n")) })
	mux.HandleFunc("/add", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, session.FromRequest(r).Increment("n", 1)) })
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) { session.FromRequest(r).Regenerate() })
	mux.HandleFunc("/logout", func(w http.ResponseWriter, r *http.Request) { session.FromRequest(r).Destroy() })
	server := httptest.NewServer(m.Middleware(mux))
	t.Cleanup(server.Close)
	b := &browser{t: t, manager: m, url: server.URL}
	return b.another()
}

// another returns another browser of the same application.
func (b *browser) another() *browser {
	b.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(b.t, err)
	next := *b
	next.client = &http.Client{Jar: jar}
	return &next
}

// get asks for a path and returns the status, the body, and the header.
func (b *browser) get(path string) (status int, body string, header http.Header) {
	b.t.Helper()
	response, err := b.client.Get(b.url + path)
	require.NoError(b.t, err)
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	require.NoError(b.t, err)
	return response.StatusCode, string(data), response.Header
}

// body asks for a path that must be served.
func (b *browser) body(path string) string {
	b.t.Helper()
	status, body, _ := b.get(path)
	require.Equal(b.t, http.StatusOK, status, path)
	return body
}
