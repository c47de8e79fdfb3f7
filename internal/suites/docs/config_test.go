package docs_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

// redisConfig is the documented configuration for a server that runs.
func redisConfig(t *testing.T, server *redistest.Server, more string) session.Config {
	t.Helper()
	return parseConfig(t, fmt.Sprintf(`{"default": "redis", "redis": {"host": %q, "port": %d%s}}`,
		server.Host(), server.Port(), more))
}

// stores reports the status of a request that stores something and whether the next one has it.
func stores(t *testing.T, cfg session.Config) (status int, found bool) {
	t.Helper()
	v := kit.NewVisitor(t, kit.NewManager(t, cfg))
	status = v.Visit(func(s *session.Session) { s.Set("key", "value") }).StatusCode
	v.Visit(func(s *session.Session) { found = s.Get("key") == "value" })
	return status, found
}

func TestConfigKeysHostAndPortChooseTheServer(t *testing.T) {
	a, b := redistest.Start(t), redistest.Start(t)
	for _, server := range []*redistest.Server{a, b} {
		status, found := stores(t, redisConfig(t, server, ""))
		assert.Equal(t, http.StatusOK, status)
		assert.True(t, found)
	}
	assert.Len(t, a.Keys(t), 1)
	assert.Len(t, b.Keys(t), 1)
	assert.NotEqual(t, a.Keys(t), b.Keys(t))

	cfg := redisConfig(t, a, "")
	cfg.Redis.Host = "127.0.0.2" // the same machine, where the server does not listen
	status, found := stores(t, cfg)
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.False(t, found)
}

func TestConfigKeyPasswordIsSentToTheServer(t *testing.T) {
	server := redistest.Start(t, "--requirepass", "open sesame")
	tests := []struct {
		name, more string
		status     int
	}{
		{name: "right", more: `, "password": "open sesame"`, status: http.StatusOK},
		{name: "wrong", more: `, "password": "open"`, status: http.StatusInternalServerError},
		{name: "empty", more: `, "password": ""`, status: http.StatusInternalServerError},
		{name: "none, with a database", more: `, "options": {"db": 1}`, status: http.StatusInternalServerError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, found := stores(t, redisConfig(t, server, tt.more))
			assert.Equal(t, tt.status, status)
			assert.Equal(t, tt.status == http.StatusOK, found)
		})
	}
	assert.Len(t, server.Keys(t), 1)
}

func TestConfigKeyOptionsDBChoosesTheDatabase(t *testing.T) {
	server := redistest.Start(t)
	for _, db := range []int{0, 1, 9} {
		_, found := stores(t, redisConfig(t, server, fmt.Sprintf(`, "options": {"db": %d}`, db)))
		assert.True(t, found)
		conn := server.Conn(t, redis.DialDatabase(db))
		size, err := redis.Int(conn.Do("DBSIZE"))
		require.NoError(t, err)
		assert.Equal(t, 1, size, "database %d", db)
	}
	status, _ := stores(t, redisConfig(t, server, `, "options": {"db": 99}`))
	assert.Equal(t, http.StatusInternalServerError, status, "a database that is not there")
}

func TestConfigKeyTimeoutIsTheExpiryInTheServer(t *testing.T) {
	server := redistest.Start(t)
	m := kit.NewManager(t, redisConfig(t, server, `, "timeout": 3600`))
	clock := kit.SetClock(m)
	v := kit.NewVisitor(t, m)
	expiry := func(want time.Duration) {
		t.Helper()
		for key, left := range server.TTLs(t) {
			assert.InDelta(t, want.Seconds(), left.Seconds(), 5, key)
		}
		assert.Len(t, server.Keys(t), 1)
	}
	v.Visit(func(s *session.Session) { s.Set("key", "value") })
	expiry(time.Hour)
	server.Conn(t).Do("PEXPIRE", server.Keys(t)[0], 60_000) // as if most of it had passed
	clock.Advance(time.Minute)
	v.Visit(func(s *session.Session) { s.Get("key") })
	expiry(time.Hour)
	for range 25 {
		clock.Advance(55 * time.Minute)
		v.Visit(func(s *session.Session) { s.Get("key") })
	}
	expiry(time.Hour)
	clock.Advance(30 * time.Minute)
	v.Visit(func(s *session.Session) { s.Get("key") })
	expiry(34 * time.Minute) // what the day leaves
}

func TestConfigKeyTimeoutEndsTheSession(t *testing.T) {
	server := redistest.Start(t)
	v := kit.NewVisitor(t, kit.NewManager(t, redisConfig(t, server, `, "timeout": 0.2`)))
	v.Visit(func(s *session.Session) { s.Set("key", "value"); assert.NoError(t, s.Save()) })
	assert.Eventually(t, func() bool { return len(server.Keys(t)) == 0 }, 5*time.Second, 5*time.Millisecond,
		"the server forgets it by itself")
	v.Visit(func(s *session.Session) { assert.True(t, s.IsNew()) })
}

func TestConfigKeyNamespaceBeginsEveryKey(t *testing.T) {
	server := redistest.Start(t)
	stores(t, redisConfig(t, server, `, "namespace": "masonite4"`))
	stores(t, redisConfig(t, server, ""))
	keys := server.Keys(t)
	require.Len(t, keys, 2)
	assert.Regexp(t, `^masonite4:session:[-_A-Za-z0-9]{22}$`, keys[0])
	assert.Regexp(t, `^session:[-_A-Za-z0-9]{22}$`, keys[1])
}

func TestNamespacesAreApart(t *testing.T) {
	server := redistest.Start(t)
	a := kit.NewVisitor(t, kit.NewManager(t, redisConfig(t, server, `, "namespace": "a"`)))
	b := kit.NewVisitor(t, kit.NewManager(t, redisConfig(t, server, `, "namespace": "b"`)))
	a.Visit(func(s *session.Session) { s.Set("key", "value") })
	b.Visit(func(s *session.Session) { assert.True(t, s.IsNew()); s.Destroy() }, "Cookie", a.CookieHeader())
	a.Visit(func(s *session.Session) { assert.Equal(t, "value", s.Get("key")) })
}

func TestDocumentedConfigServesAsItStands(t *testing.T) {
	server := redistest.Start(t)
	text, err := os.ReadFile("../../../testdata/session.json")
	require.NoError(t, err)
	served := strings.Replace(string(text), "6379", fmt.Sprint(server.Port()), 1)
	cfg := parseConfig(t, served)
	for _, name := range []string{"cookie", "redis"} {
		cfg.Default = name
		_, found := stores(t, cfg)
		assert.True(t, found, name)
	}
	conn := server.Conn(t, redis.DialDatabase(1))
	keys, err := redis.Strings(conn.Do("KEYS", "masonite4:session:*"))
	require.NoError(t, err)
	require.Len(t, keys, 1)
	left, err := redis.Int64(conn.Do("PTTL", keys[0]))
	require.NoError(t, err)
	assert.InDelta(t, time.Hour.Milliseconds(), left, 5000)
}

func TestSessionsOutliveTheProcessThatMadeThem(t *testing.T) {
	server := redistest.Start(t)
	cfg := redisConfig(t, server, "")
	first := kit.NewVisitor(t, kit.NewManager(t, cfg))
	first.Visit(func(s *session.Session) { s.Set("key", "value") })
	kit.NewVisitor(t, kit.NewManager(t, cfg)).Visit(func(s *session.Session) {
		assert.Equal(t, "value", s.Get("key"))
	}, "Cookie", first.CookieHeader())
	assert.NoError(t, kit.NewManager(t, cfg).Ping(context.Background()))
}
