package races_test

import (
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/hooks"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A fleet is two processes with one store and one clock, of which the second one has another
// configuration already.
type fleet struct {
	old, new *service
	clock    *kit.Clock
}

// onFleets runs a test on every kind of store that two processes can share.
func onFleets(t *testing.T, before, after session.Config, test func(t *testing.T, f *fleet)) {
	t.Helper()
	for _, name := range []string{"redis", "store", "custom"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var shared session.Driver
			switch name {
			case "store":
				shared = session.StoreDriver(kit.NewCountingStore())
			case "custom":
				shared = newMapDriver()
			}
			redis := kit.DriverConfig(t, "redis").Redis
			open := func(cfg session.Config) *service {
				cfg.Default, cfg.Secret = name, kit.Secret
				if shared != nil {
					cfg.Drivers = map[string]session.Driver{name: shared}
				} else {
					cfg.Redis = redis
				}
				return newService(t, cfg)
			}
			f := &fleet{old: open(before), new: open(after)}
			f.clock = kit.SetClock(f.old.manager)
			hooks.SetClock(f.new.manager, f.clock.Now)
			test(t, f)
		})
	}
}

// Shorter limits hold at the next request of a process that has them, and only there.
func TestShorterLimitsHoldForLiveSessions(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	long := session.Config{Lifetime: 30 * day, IdleTimeout: 12 * time.Hour}
	for _, test := range []struct {
		name        string
		after       session.Config
		use         time.Duration // the session is used this often; 0 for not at all
		opens, ends time.Duration // after the sign-in
	}{
		{"idle timeout", session.Config{Lifetime: 30 * day, IdleTimeout: 15 * time.Minute}, 0, 14 * time.Minute, 16 * time.Minute},
		{"lifetime", session.Config{Lifetime: 8 * time.Hour, IdleTimeout: 8 * time.Hour}, time.Hour, 7*time.Hour + 59*time.Minute, 8 * time.Hour},
		{"AAL3, idle", session.Config{Assurance: session.AAL3}, 0, 14 * time.Minute, 16 * time.Minute},
		{"AAL3, lifetime", session.Config{Assurance: session.AAL3}, 10 * time.Minute, 11*time.Hour + 59*time.Minute, 12 * time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			onFleets(t, long, test.after, func(t *testing.T, f *fleet) {
				token := f.old.signIn("ann")
				f.pass(token, test.use, test.opens)
				assert.Equal(t, "ann", f.new.user(token), "before the limit")
				other := f.old.signIn("bob")
				f.pass(other, test.use, test.ends)
				assert.Empty(t, f.new.user(other), "at the limit")
				infos, err := f.new.manager.Sessions(t.Context(), "bob")
				require.NoError(t, err)
				assert.Empty(t, infos, "the list of a process that has the shorter limit")
				assert.Equal(t, "bob", f.old.user(other), "a process that has the longer limit")
			})
		})
	}
}

// pass lets time pass in which a session is used now and then, by the process with the long limits.
func (f *fleet) pass(token string, every, d time.Duration) {
	for ; every > 0 && d > every; d -= every {
		f.clock.Advance(every)
		f.old.open(token)
	}
	f.clock.Advance(d)
}

// user returns who is signed in with a token.
func (s *service) user(token string) string { return s.open(token).user }

// A longer limit holds from the next save on.
func TestLongerLimitsHoldFromTheNextSave(t *testing.T) {
	t.Parallel()
	short, long := session.Config{IdleTimeout: 15 * time.Minute}, session.Config{IdleTimeout: 12 * time.Hour}
	onFleets(t, short, long, func(t *testing.T, f *fleet) {
		token, unused := f.old.signIn("ann"), f.old.signIn("bob")
		f.clock.Advance(10 * time.Minute)
		f.new.ask(token, func(own *session.Session) { own.Set("a", 1) })
		f.clock.Advance(10 * time.Minute)
		assert.Equal(t, "ann", f.new.user(token))
		assert.Empty(t, f.new.user(unused), "it ended by the limits that it was stored with")
	})
}

// LockAfter locks nobody who was active a minute ago, though no activity was noted before.
func TestLockAfterIsSwitchedOnWithLiveSessions(t *testing.T) {
	t.Parallel()
	onFleets(t, session.Config{IdleTimeout: 12 * time.Hour}, session.Config{IdleTimeout: 12 * time.Hour, LockAfter: 15 * time.Minute},
		func(t *testing.T, f *fleet) {
			active, away := f.old.signIn("ann"), f.old.signIn("bob")
			f.clock.Advance(time.Hour)
			f.old.open(active)
			f.clock.Advance(time.Minute)
			assert.Equal(t, "ann", f.new.user(active), "she was active a minute ago")
			assert.Empty(t, f.new.user(away))
			locked := func(token string) (user string) {
				f.new.ask(token, func(own *session.Session) { user, _ = own.Locked() })
				return user
			}
			assert.Equal(t, "bob", locked(away))
			assert.Equal(t, "bob", locked(away), "a request does not unlock the session")
			assert.Equal(t, "bob", f.old.user(away), "a process without LockAfter")
			f.clock.Advance(14 * time.Minute)
			assert.Equal(t, "ann", f.new.user(active))
			f.clock.Advance(16 * time.Minute)
			assert.Empty(t, f.new.user(active))
		})
}

// A process without LockAfter notes no lock, and what it notes of use counts on the others.
func TestLockAfterOnHalfOfAFleetLocksNoActiveUser(t *testing.T) {
	t.Parallel()
	onFleets(t, session.Config{}, session.Config{LockAfter: 15 * time.Minute}, func(t *testing.T, f *fleet) {
		token := f.new.signIn("ann")
		for range 3 {
			require.Equal(t, "ann", f.new.user(token))
			for range 20 {
				f.clock.Advance(time.Minute)
				f.old.open(token)
			}
		}
		f.clock.Advance(16 * time.Minute)
		assert.Empty(t, f.new.user(token))
	})
}

// Not even a Save in the middle of a handler, which counts as use.
func TestUseOfALockedSessionDoesNotUnlockIt(t *testing.T) {
	t.Parallel()
	onFleets(t, session.Config{}, session.Config{LockAfter: 15 * time.Minute}, func(t *testing.T, f *fleet) {
		token := f.old.signIn("ann")
		f.clock.Advance(20 * time.Minute)
		for range 3 {
			f.new.ask(token, func(own *session.Session) {
				own.Set("cart", "book")
				assert.NoError(t, own.Save())
				_, locked := own.Locked()
				assert.True(t, locked)
			})
			assert.Empty(t, f.new.user(token))
			f.clock.Advance(time.Minute)
		}
	})
}
