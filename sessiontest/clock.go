package sessiontest

import (
	"sync/atomic"
	"time"

	"example.com/session"
	"example.com/session/internal/hooks"
)

// A Clock is the clock of a manager in a test. It begins at the present time and stands still until
// the test moves it, so that sessions expire without a sleep. It is safe for concurrent use.
type Clock struct{ nanoseconds atomic.Int64 }

// NewClock gives a manager a clock of its own. It must be called before the manager serves a
// request. Redis servers and browsers use their own clocks, which it does not move. So use another
// driver than redis, and CookieAttributes.SessionOnly if browsers take part. In a bubble of
// testing/synctest no Clock is needed, because the clock of package time is fake there.
func NewClock(m *session.Manager) *Clock {
	c := new(Clock)
	c.nanoseconds.Store(time.Now().UnixNano())
	hooks.SetClock(m, c.Now)
	return c
}

// Now returns the time.
func (c *Clock) Now() time.Time { return time.Unix(0, c.nanoseconds.Load()) }

// Advance moves the clock forward.
func (c *Clock) Advance(d time.Duration) { c.nanoseconds.Add(int64(d)) }
