package goredis_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
)

// documentedUser makes the user that docs/redis.md describes, with further rights.
func documentedUser(t *testing.T, s *redistest.Server, further ...string) {
	t.Helper()
	data, err := os.ReadFile("../docs/redis.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(data), "\n    ACL ")
	command, _, _ := strings.Cut(rest, "\n\n")
	require.True(t, found)
	var args []any
	for _, word := range append(strings.Fields(command), further...) {
		args = append(args, word)
	}
	do(t, s, "ACL", args...)
	do(t, s, "ACL", "SETUSER", "default", "off")
}

// Whatever an application does to its sessions, these rights are enough, and those that are said
// to be for a cluster are what it takes there.
func TestUserOfTheDocumentationMayDoWhatSessionsNeed(t *testing.T) {
	t.Parallel()
	const user, password = "shop", "password"
	t.Run("one server", func(t *testing.T) {
		server := redistest.Start(t)
		documentedUser(t, server)
		useEverything(t, session.RedisConfig{Host: server.Host(), Port: server.Port(), Password: password,
			Options: session.RedisOptions{Username: user, ClientName: "shop-web"}})
		useEverything(t, through(t, redis.NewClient(&redis.Options{Addr: server.Addr(), Username: user, Password: password})))
	})
	t.Run("a cluster", func(t *testing.T) {
		nodes := startCluster(t)
		for _, node := range nodes {
			documentedUser(t, node, "+cluster|slots")
		}
		options := clusterOptions(nodes)
		options.Username, options.Password = user, password
		useEverything(t, through(t, redis.NewClusterClient(options)))
	})
}

func useEverything(t *testing.T, cfg session.RedisConfig) {
	t.Helper()
	cfg.Namespace = "shop"
	steps := map[string]func(s *session.Session){
		"begin":  func(s *session.Session) { s.Set("name", "ann"); s.Flash("message", "hello") },
		"change": func(s *session.Session) { s.Increment("n", 1); s.Delete("name"); s.KeepFlash("message") },
		"flash":  func(s *session.Session) { s.Flash("other", "value") },
		"clear":  func(s *session.Session) { s.Flush(); s.Set("name", "bob") },
		"login":  func(s *session.Session) { s.Regenerate() },
		"look":   func(s *session.Session) { assert.Equal(t, "bob", s.Get("name")) },
		"logout": func(s *session.Session) { s.Destroy() },
		"user":   func(s *session.Session) { s.Login("bob"); s.Describe(map[string]string{"agent": "test"}) },
	}
	m, err := session.NewManager(session.Config{Default: "redis", MaxPerUser: 1, Logger: quiet, Redis: cfg})
	require.NoError(t, err)
	steps["list"] = func(s *session.Session) {
		infos, err := m.Sessions(t.Context(), "bob")
		assert.NoError(t, err)
		assert.Len(t, infos, 1)
		assert.NoError(t, m.EndOthers(t.Context(), s))
		assert.NoError(t, m.End(t.Context(), "bob", s.Handle()))
	}
	defer m.Close()
	require.NoError(t, m.Ping(t.Context()))
	mux := http.NewServeMux()
	for name, step := range steps {
		mux.HandleFunc("/"+name, func(_ http.ResponseWriter, r *http.Request) { step(session.FromRequest(r)) })
	}
	b := &browser{t: t, manager: m}
	b = b.another()
	serve(t, b, mux)
	for range 3 {
		for _, path := range []string{"/begin", "/change", "/flash", "/clear", "/login", "/look", "/user", "/login", "/list", "/user", "/logout"} {
			status, _, _ := b.get(path)
			assert.Equal(t, http.StatusOK, status, path)
		}
	}
}
