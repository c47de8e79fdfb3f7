package session_test

import (
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
)

// redis packs a small sorted set unless a member is longer than 64 bytes: then each user's list
// takes a kilobyte more.
func TestUsersListIsSmallInRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	m := newManager(t, session.Config{Default: "redis", Logger: quiet, Redis: at(server)})
	v := newVisitor(t, m)
	for range 3 {
		v.stranger().visit(func(s *session.Session) { s.Login("ann") })
	}
	v.visit(func(s *session.Session) { s.Login("ann") })
	v.visit(func(s *session.Session) { require.NoError(t, m.EndOthers(t.Context(), s)) }) // its mark is kept there, too
	v.stranger().visit(func(s *session.Session) { s.Login("ann") })
	list, err := m.Sessions(t.Context(), "ann")
	require.NoError(t, err)
	assert.Len(t, list, 2)
	for _, key := range server.Keys(t) {
		if !strings.Contains(key, ":user:") {
			continue
		}
		c := server.Conn(t)
		members, err := redis.Strings(c.Do("ZRANGE", key, 0, -1))
		require.NoError(t, err)
		for _, member := range members {
			if !strings.HasPrefix(member, "+") { // the session that was kept, for as long as the mark stands
				assert.LessOrEqual(t, len(member), 64)
			}
		}
	}
}
