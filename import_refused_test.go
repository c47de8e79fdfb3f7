package session_test

import (
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/suites/kit"
)

// A wrong key in the new configuration would sign all users out, so the log says why.
func TestARefusedOldCookieIsLoggedAndLeftAlone(t *testing.T) {
	var log *kit.LogBook
	onImporting(t, func(t *testing.T, s *kit.Site, _ *oldLibrary) {
		for _, do := range []func(own *session.Session){
			func(own *session.Session) { own.Set("k", 1) },
			(*session.Session).Logout,
		} {
			assert.Nil(t, s.Ask(oldCookieName+"=forged", do).Cookie(oldCookieName))
		}
		assert.Contains(t, log.Text(), "session: the cookie of an old session was refused")
		assert.Contains(t, log.Text(), "the signature is not ours")
		assert.NotContains(t, log.Text(), "forged")
		assert.Zero(t, s.Manager.Stats().Imported)
	}, func(cfg *session.Config) { log = kit.CaptureLog(cfg) })
}

// Whoever invents old cookies must not fill the store with tombstones that stand for weeks.
func TestASignOutWithAnInventedOldCookieLeavesNoLongTombstone(t *testing.T) {
	s, old := migrating(t, "redis")
	longest := func() (longest time.Duration) {
		conn := s.Redis()
		for _, key := range kit.StoredKeys(t, conn, s.Config.Redis.Namespace) {
			left, err := redis.Int64(conn.Do("PTTL", key))
			require.NoError(t, err)
			longest = max(longest, time.Duration(left)*time.Millisecond)
		}
		return longest
	}
	p := s.Ask(oldCookieName+"=invented", (*session.Session).Logout)
	assert.NotNil(t, p.Cookie(oldCookieName), "the cookie is cleared all the same")
	assert.LessOrEqual(t, longest(), driver.Tombstone)

	p = s.Ask(annsCookie, (*session.Session).Logout)
	assert.NotNil(t, p.Cookie(oldCookieName))
	assert.False(t, old.holds("ann's"))
	assert.Greater(t, longest(), 99*24*time.Hour)
}
