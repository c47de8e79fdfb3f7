package session_test

import (
	"testing"

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
