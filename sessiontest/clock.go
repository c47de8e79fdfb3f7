package sessiontest

import (
	"sync/atomic"
	"time"

	"example.com/session"
	"example.com/session/internal/hooks"
)

// A Clock is the time of a manager. It begins at the present and stands still until the test moves it, so
// that a test sees limits expire without sleeping. It may be used by several goroutines.
type Clock struct{ nanoseconds atomic.Int64 }

// NewClock gives a manager a clock of its own. It must be called before the manager serves a request. Browsers
// and redis servers keep their own time: with them, use the memory driver, or cookies without Max-Age. In a
// bubble of testing/synctest no Clock is needed, because the system's clock stands still there.
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
