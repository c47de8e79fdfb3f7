package session

import "time"

// SetClock gives the manager another clock. Drivers get the time passed in, so it is theirs too.
func (m *Manager) SetClock(now func() time.Time) { m.clock = now }
