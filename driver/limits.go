package driver

import "time"

// A Milli is a time in milliseconds since 1970, as a record holds it.
type Milli int64

// MilliOf returns a time in milliseconds, 0 for the zero Time.
func MilliOf(t time.Time) Milli {
	if t.IsZero() {
		return 0
	}
	return Milli(t.UnixMilli())
}

// Time returns the time, the zero Time for 0.
func (m Milli) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m))
}

// Limits say how long a session lives.
type Limits struct {
	Lifetime   time.Duration // since it began, or since a sign-in or Remember began it anew
	Idle       time.Duration // since it was last used
	Remembered bool          // set by Session.Remember: the configured limits do not apply
}

// end returns the end of whichever limit ends first.
func (l Limits) end(created, used Milli) Milli {
	return min(created+Milli(l.Lifetime.Milliseconds()), used+Milli(l.Idle.Milliseconds()))
}
