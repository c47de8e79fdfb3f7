package session_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/driver"
)

// An aheadDriver is one whose store has a clock of its own, as redis has.
type aheadDriver struct {
	session.Driver
	ahead time.Duration
}

func (d aheadDriver) Time(local time.Time) time.Time { return local.Add(d.ahead) }

var _ driver.Clock = aheadDriver{}

// onClocks runs a test with a driver "ahead" whose clock is an hour ahead or behind.
func onClocks(t *testing.T, test func(t *testing.T, withClock func(cfg *session.Config))) {
	for _, ahead := range []time.Duration{-time.Hour, 0, time.Hour} {
		t.Run(fmt.Sprint(ahead), func(t *testing.T) {
			kept := aheadDriver{session.NewMemoryDriver(session.MemoryConfig{}), ahead}
			test(t, func(cfg *session.Config) { cfg.Drivers = map[string]session.Driver{"ahead": kept} })
		})
	}
}

// What an old library says is by the clock of a process.
func TestAnOldSessionKeepsItsTimesWhateverTheClockOfTheStore(t *testing.T) {
	onClocks(t, func(t *testing.T, withClock func(*session.Config)) {
		s, old := migrating(t, "ahead", withClock, func(cfg *session.Config) { cfg.Default, cfg.IdleTimeout = "ahead", 2*time.Hour })
		now := s.Clock.Now()
		old.sessions["ann's"] = session.OldSession{
			User: "ann", CreatedAt: now.Add(-10 * time.Minute), SignedInAt: now.Add(-5 * time.Minute), ExpiresAt: now.Add(30 * time.Minute),
		}
		p := s.Ask(annsCookie, func(own *session.Session) {
			assert.True(t, own.FreshWithin(6*time.Minute))
			assert.False(t, own.FreshWithin(4*time.Minute))
			own.Set("k", 1)
		})
		s.Clock.Advance(29 * time.Minute)
		assert.Equal(t, "ann", userOf(s, p.Next("")))
		s.Clock.Advance(2 * time.Minute)
		assert.Empty(t, userOf(s, p.Next("")))
	})
}

func TestTheDateOfAnImportIsThatOfTheProcess(t *testing.T) {
	onClocks(t, func(t *testing.T, withClock func(*session.Config)) {
		s, old := migrating(t, "ahead", withClock, func(cfg *session.Config) { cfg.Default = "ahead" })
		old.stateless = true
		old.sessions["ann's"], old.sessions["bob's"] = session.OldSession{User: "ann"}, session.OldSession{User: "bob"}
		s.Clock.Advance(100*24*time.Hour - time.Minute)
		s.Ask(annsCookie, func(own *session.Session) { own.Set("k", 1) })
		assert.EqualValues(t, 1, s.Manager.Stats().Imported)
		s.Clock.Advance(50 * time.Second)
		assert.Empty(t, userOf(s, annsCookie), "it was moved")
		s.Clock.Advance(20 * time.Second)
		assert.Empty(t, userOf(s, oldCookieName+"=bob's"), "the date has passed")
	})
}

func TestSessionsMoveBetweenDriversWhoseClocksDiffer(t *testing.T) {
	for _, back := range []bool{false, true} {
		onClocks(t, func(t *testing.T, withClock func(*session.Config)) {
			route := [2]string{"ahead", "memory"}
			if back {
				route = [2]string{"memory", "ahead"}
			}
			s, _, _ := between(t, route, withClock, func(cfg *session.Config) {
				cfg.Default, cfg.LockAfter, cfg.Memory.FlashTTL = route[1], 20*time.Minute, 10*time.Minute
				cfg.IdleTimeout = 24 * time.Hour
			})
			cookies := beginOld(s, route[0], func(own *session.Session) { own.Login("ann"); own.Flash("note", "hello") })
			s.Clock.Advance(5 * time.Minute)
			p := s.Ask(cookies, func(own *session.Session) {
				assert.True(t, own.FreshWithin(6*time.Minute))
				assert.False(t, own.FreshWithin(4*time.Minute))
				assert.Equal(t, "hello", own.Get("note"))
				own.KeepFlash("note")
				own.Set("k", 1)
			})
			require.Equal(t, http.StatusOK, p.StatusCode)
			cookies = p.Next(cookies)
			s.Clock.Advance(6 * time.Minute)
			s.Ask(cookies, func(own *session.Session) {
				user, locked := own.Locked()
				assert.False(t, locked, user)
				own.Set("k", 2)
			})
			opens := func() (found bool) {
				s.Ask(cookies, func(own *session.Session) { found = own.Has("k") })
				return found
			}
			s.Clock.Advance(23*time.Hour + 48*time.Minute)
			assert.True(t, opens())
			s.Clock.Advance(2 * time.Minute)
			assert.False(t, opens())
			assert.Empty(t, userOf(s, cookies))
		})
	}
}
