package session

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// An Assurance names limits for the sessions of an authentication assurance level of NIST SP
// 800-63B-4: reauthentication, overall and after inactivity.
type Assurance string

// The presets for Config.Limits. The limits of AAL3 are a SHALL there, the others a SHOULD.
const (
	AAL1 Assurance = "AAL1" // 30 days in all, no limit of inactivity (section 2.1.3)
	AAL2 Assurance = "AAL2" // 24 hours in all, 1 hour of inactivity (section 2.2.3)
	AAL3 Assurance = "AAL3" // 12 hours in all, 15 minutes of inactivity (section 2.3.3)
)

// limits returns what the preset allows at most; ok is false where there is none of the name.
func (a Assurance) limits() (l Limits, ok bool) {
	const day = 24 * time.Hour
	switch a {
	case AAL1:
		return Limits{Lifetime: 30 * day, Idle: 30 * day}, true
	case AAL2:
		return Limits{Lifetime: day, Idle: time.Hour}, true
	case AAL3:
		return Limits{Lifetime: 12 * time.Hour, Idle: 15 * time.Minute}, true
	}
	return Limits{}, false
}

func parseAssurance(text string) (Assurance, error) {
	if _, ok := Assurance(text).limits(); !ok && text != "" {
		return "", errors.New(`want "AAL1", "AAL2" or "AAL3"`)
	}
	return Assurance(text), nil
}

// A SessionPolicy says what happens at Config.MaxPerUser. Its text form is "end_oldest" or
// "refuse_new".
type SessionPolicy int

const (
	// EndOldest ends the session of the user that was signed in first. Whoever has the user's
	// password can so end the user's own sessions.
	EndOldest SessionPolicy = iota

	// RefuseNew refuses the sign-in with ErrTooManySessions. Whoever has the user's password
	// can so keep the user out, until the sessions are ended.
	RefuseNew
)

// String returns the text form of p.
func (p SessionPolicy) String() string {
	switch p {
	case EndOldest:
		return "end_oldest"
	case RefuseNew:
		return "refuse_new"
	}
	return fmt.Sprintf("SessionPolicy(%d)", int(p))
}

func parseSessionPolicy(text string) (SessionPolicy, error) {
	for p := EndOldest; p <= RefuseNew; p++ {
		if text == p.String() {
			return p, nil
		}
	}
	return 0, errors.New(`want "end_oldest" or "refuse_new"`)
}

// validateAccounts reports every fault of what Config says about users at once.
func (c Config) validateAccounts() error {
	faults := []error{
		checkLimit("LockAfter", c.LockAfter),
		checkNotNegative("Cookie.RevocationWindow", c.Cookie.RevocationWindow),
		c.validatePreset(),
		c.validateRevocation(c.Cookie),
	}
	for _, name := range slices.Sorted(maps.Keys(c.Drivers)) {
		if d, ok := c.Drivers[name].(*CookieDriver); ok {
			faults = append(faults, c.validateRevocation(d.cfg))
		}
	}
	if c.MaxPerUser < 0 {
		faults = append(faults, configFault("MaxPerUser", "%d is negative: leave it 0 for any number", c.MaxPerUser))
	}
	if c.AtMaxPerUser < EndOldest || c.AtMaxPerUser > RefuseNew {
		faults = append(faults, configFault("AtMaxPerUser", "%d is no policy: use EndOldest or RefuseNew", int(c.AtMaxPerUser)))
	}
	if c.MaxPerUser > 0 && c.driverName() == builtinCookie && c.Cookie.Revocation == "" {
		faults = append(faults, configFault("MaxPerUser", "the cookie driver cannot count sessions by itself: "+
			"set Config.Cookie.Revocation, or choose the memory or redis driver"))
	}
	if c.LockAfter > 0 && c.LockAfter >= c.idleTimeoutOr(c.ownIdle()) {
		faults = append(faults, configFault("LockAfter", "%v is not shorter than the idle timeout of %v, "+
			"which ends the session: make one shorter or the other longer", c.LockAfter, c.idleTimeoutOr(c.ownIdle())))
	}
	return errors.Join(faults...)
}

// validateRevocation refuses a driver that is not there or keeps no index of users.
func (c Config) validateRevocation(cookie CookieConfig) error {
	const field = "Cookie.Revocation"
	name := cookie.Revocation
	if name != "" && !slices.Contains(c.driverNames(), name) {
		return fmt.Errorf("%w (Config.%s)", c.unknownDriver(name), field)
	}
	tracks := name == "" || name == builtinRedis || name == builtinMemory && !c.Memory.ByClientIP
	switch d := c.Drivers[name].(type) {
	case *MemoryDriver:
		tracks = !d.cfg.ByClientIP
	case accountIndex:
		tracks = true
	}
	if !tracks {
		return configFault(field, "driver %q cannot keep track of users: name the memory or redis driver, "+
			"or one that StoreDriver makes", name)
	}
	return nil
}

// ownIdle returns the idle timeout that the default driver has of its own, 0 for none.
func (c Config) ownIdle() time.Duration {
	switch c.driverName() {
	case builtinCookie:
		return c.Cookie.IdleTimeout
	case builtinMemory:
		return c.Memory.IdleTimeout
	case builtinRedis:
		return c.Redis.IdleTimeout
	}
	return ownIdle(c.Drivers[c.driverName()])
}

// ownIdle returns the idle timeout that a driver was made with, 0 for none.
func ownIdle(d Driver) time.Duration {
	switch d := d.(type) {
	case *MemoryDriver:
		return d.cfg.IdleTimeout
	case *CookieDriver:
		return d.cfg.IdleTimeout
	case *RedisDriver:
		return d.cfg.IdleTimeout
	}
	return 0
}

// within returns limits that are no longer than the preset's. Who signed in, and is still signed
// in, has to do so again when the preset's time since then is over, whatever the session did.
func (a Assurance) within(l Limits, since time.Duration) Limits {
	if preset, ok := a.limits(); ok {
		l.Lifetime = max(time.Millisecond, min(l.Lifetime, preset.Lifetime-since))
		l.Idle = min(l.Idle, preset.Idle)
	}
	return l
}

// validatePreset refuses limits that are longer than the preset's.
func (c Config) validatePreset() error {
	if _, err := parseAssurance(string(c.Limits)); err != nil {
		return configFault("Limits", "%.64q is not known: %v", string(c.Limits), err)
	}
	preset, ok := c.Limits.limits()
	if !ok {
		return nil
	}
	var faults []error
	check := func(field string, d, most time.Duration) {
		if d > most {
			faults = append(faults, configFault(field, "%v is more than the %v that Limits %s allows", d, most, c.Limits))
		}
	}
	check("Lifetime", c.Lifetime, preset.Lifetime)
	check("IdleTimeout", c.IdleTimeout, preset.Idle)
	check("Cookie.IdleTimeout", c.Cookie.IdleTimeout, preset.Idle)
	check("Memory.IdleTimeout", c.Memory.IdleTimeout, preset.Idle)
	check("Redis.IdleTimeout", c.Redis.IdleTimeout, preset.Idle)
	for _, name := range slices.Sorted(maps.Keys(c.Drivers)) {
		check(fmt.Sprintf("Drivers[%.64q]: IdleTimeout", name), ownIdle(c.Drivers[name]), preset.Idle)
	}
	return errors.Join(faults...)
}
