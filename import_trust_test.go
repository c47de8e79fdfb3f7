package session_test

import (
	"context"
	"sync"
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

// The token of the session that an old one becomes cannot be worked out from the old cookie, and is one of
// this manager only.
func TestTheNewTokenDependsOnTheSecretAndTheManager(t *testing.T) {
	seen := make(map[string]string)
	for name, change := range map[string]func(cfg *session.Config){
		"a secret":       func(*session.Config) {},
		"another secret": func(cfg *session.Config) { cfg.Secret = session.NewSecret() },
		"another name":   func(cfg *session.Config) { cfg.CookieAttributes.Prefix = "admin_" },
	} {
		s, _ := migrating(t, "memory", change)
		token := s.Token(s.Ask(annsCookie, func(own *session.Session) { own.Set("k", 1) }))
		require.NotEmpty(t, token)
		assert.Empty(t, seen[token], name)
		seen[token] = name
	}
}

// Two managers keep their sessions in one place. What one has moved is not moved for the other.
func TestEachManagerImportsForItself(t *testing.T) {
	kept := session.NewMemoryDriver(session.MemoryConfig{})
	for _, prefix := range []string{"s_", "admin_"} {
		s, old := migrating(t, "memory", func(cfg *session.Config) {
			cfg.CookieAttributes.Prefix, cfg.Default, cfg.Drivers = prefix, "kept", map[string]session.Driver{"kept": kept}
		})
		old.stateless = true
		var user string
		s.Ask(annsCookie, func(own *session.Session) {
			own.Set("k", 1)
			user, _ = own.User()
		})
		assert.Equal(t, "ann", user, prefix)
		assert.EqualValues(t, 1, s.Manager.Stats().Imported)
	}
}

func TestAnOldSessionThatIsOverIsNotImported(t *testing.T) {
	onImporting(t, func(t *testing.T, s *kit.Site, old *oldLibrary) {
		old.sessions["ann's"] = session.OldSession{User: "ann", ExpiresAt: s.Clock.Now().Add(-time.Second)}
		assert.Empty(t, userOf(s, annsCookie))
		assert.Zero(t, s.Manager.Stats().Imported)
	})
}

func TestAssuranceCapsWhatAnOldSessionMay(t *testing.T) {
	s, old := migrating(t, "memory", func(cfg *session.Config) { cfg.Assurance = session.AAL2 })
	old.sessions["ann's"] = session.OldSession{User: "ann", ExpiresAt: s.Clock.Now().Add(300 * 24 * time.Hour)}
	p := s.Ask(annsCookie, func(own *session.Session) { own.Set("k", 1) })
	assert.LessOrEqual(t, p.Cookie(s.Cookie).MaxAge, 24*60*60)
	s.Clock.Advance(61 * time.Minute) // AAL2 has an idle timeout of an hour
	assert.Empty(t, userOf(s, p.Next("")))
}

// Another request of the user signs out after this one has looked for the tombstone, and before it stores.
func TestAMoveBesideASignOutIsDropped(t *testing.T) {
	for _, stateless := range []bool{false, true} {
		var faulty *kit.FaultyDriver
		s, old := migrating(t, "memory", func(cfg *session.Config) { faulty = kit.WithFaults(t, cfg) })
		old.stateless = stateless
		var once sync.Once
		faulty.Set(func(_ context.Context, op string) error {
			if op == "save" {
				once.Do(func() { handleIn(s, annsCookie, (*session.Session).Logout) })
			}
			return nil
		})
		var err error
		p := s.Ask(annsCookie, func(own *session.Session) {
			own.Set("k", 1)
			err = own.Save()
			assert.False(t, own.Has("cart"))
		})
		assert.ErrorIs(t, err, session.ErrEnded)
		assert.Nil(t, p.Cookie(s.Cookie))
		assert.Zero(t, s.Manager.Stats().Imported)
		assert.Empty(t, userOf(s, annsCookie))
	}
}

// The tombstone of the new session has expired since. That of the old one still stands.
func TestAMoveThatTookMinutesBringsNothingBack(t *testing.T) {
	s, _ := migrating(t, "redis")
	p := handleIn(s, annsCookie, func(own *session.Session) {
		own.Open()
		moved := s.Ask(annsCookie, func(own *session.Session) { own.Set("k", 1) }).Next("")
		s.Ask(moved, (*session.Session).Logout)
		conn := s.Redis()
		for _, key := range kit.StoredKeys(t, conn, s.Config.Redis.Namespace) {
			left, err := redis.Int64(conn.Do("PTTL", key))
			require.NoError(t, err)
			if left <= driver.Tombstone.Milliseconds() {
				_, err = conn.Do("DEL", key)
				require.NoError(t, err)
			}
		}
		own.Set("slow", true)
	})
	assert.Nil(t, p.Cookie(s.Cookie))
	assert.EqualValues(t, 1, s.Manager.Stats().Imported)
}
