package session_test

import (
	"net/http"
	"testing"

	"example.com/session"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/require"
)

// storedKeys returns the keys of a redis that begin with prefix. The library never asks so.
func storedKeys(t *testing.T, conn redis.Conn, prefix string) []string {
	t.Helper()
	keys, err := redis.Strings(conn.Do("KEYS", prefix+"*"))
	require.NoError(t, err)
	return keys
}

// httpHandler serves every request by what it does with its session, and writes nothing.
func httpHandler(do func(s *session.Session)) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { do(session.FromRequest(r)) })
}
