package session

import (
	"slices"
	"sync/atomic"
	"time"

	"example.com/session/driver"
)

// The cookie `<name>_f` begins with 1 if flash is pending. Without it, a request that does not use
// its session needs no look-up. On the cookie driver, the last use may follow the 1 or a 0.
const (
	hintSuffix = "_f"
	hintValue  = "1"
	noFlash    = "0"
)

// A source is a named driver and what the manager knows of it.
type source struct {
	name       string
	cookie     string // name of its cookie
	hint       string // name of the cookie that says that flash is pending
	driver     driver.Driver
	index      driver.Index  // of users' sessions; nil if none is kept
	clock      driver.Clock  // nil: the process's clock counts
	cookies    *cookieDriver // not nil if the session itself is in the cookie
	err        error         // why it cannot be used
	limits     driver.Limits // of the configuration
	flashTTL   time.Duration
	lockAfter  time.Duration
	assurance  Assurance
	local      bool // no I/O: nothing to bound
	byIP       bool // the address is the identity: no cookie
	configured bool // its section of Config is not empty
	used       atomic.Bool
	hasUsers   atomic.Bool // a signed-in session was seen
	outage     outage
	stats      counters
}

// time converts a time of this process's clock to the clock of the source's store.
func (src *source) time(local time.Time) time.Time {
	if src.clock == nil {
		return local
	}
	return src.clock.Time(local)
}

// store returns the driver that a user's listed sessions are loaded from.
func (src *source) store() driver.Driver {
	if src.cookies != nil && src.cookies.revocation != nil {
		return src.cookies.revocation.home.driver
	}
	return src.driver
}

// ownsCookie reports whether a cookie is one of the source's.
func (src *source) ownsCookie(name string) bool {
	return name == src.cookie || name == src.hint || src.cookies != nil && src.cookies.isDataName(name)
}

// workers returns how many operations of a list run at once.
func (src *source) workers() int {
	if src.local {
		return 1
	}
	return parallelLookups
}

// expiresAt returns when a session ends by its own limits, by those of the configuration and by
// Config.Assurance.
func (src *source) expiresAt(rec *driver.Record) time.Time {
	end := rec.ExpiresWithin(src.limits)
	caps := src.assurance.caps()
	if caps.Lifetime == 0 {
		return end
	}
	began := rec.CreatedAt()
	if at := parseAccountTime(accountOf(rec, accountSignedIn)); !at.IsZero() && at.Before(began) {
		began = at
	}
	return slices.MinFunc([]time.Time{end, began.Add(caps.Lifetime), rec.UsedAt().Add(caps.Idle)}, time.Time.Compare)
}

// limitsOf returns the limits that apply: the shorter ones of the record's and the configured ones,
// unless Remember set them.
func (src *source) limitsOf(rec *driver.Record) driver.Limits {
	limits := rec.Limits()
	if !limits.Remembered {
		limits.Lifetime = min(limits.Lifetime, src.limits.Lifetime)
		limits.Idle = min(limits.Idle, src.limits.Idle)
	}
	return limits
}

// expiredBy returns the event of a session that has expired.
func (src *source) expiredBy(rec *driver.Record, now time.Time) EventKind {
	if !now.Before(rec.CreatedAt().Add(src.limitsOf(rec).Lifetime)) {
		return EventExpiredLifetime
	}
	return EventExpiredIdle
}

// noteUseAfter returns how old the last recorded use may become before a use is recorded again.
func (src *source) noteUseAfter(rec *driver.Record) time.Duration {
	idle := src.assurance.within(src.limitsOf(rec)).Idle
	after := min(idle/usePart, time.Minute)
	if src.cookies != nil {
		after = min(idle/usePartInCookie, longestInCookie)
	}
	if src.lockAfter > 0 {
		after = min(after, src.lockAfter/activityPart)
	}
	return after
}
