package session

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/session/driver"
)

// An Assurance names an authentication assurance level of NIST SP 800-63B-4. A level caps the
// lifetime and the idle timeout of a session.
type Assurance string

// The levels for Config.Assurance. NIST requires the limits of AAL3 and recommends the others.
const (
	AAL1 Assurance = "AAL1" // lifetime of 30 days, no cap on the idle timeout (section 2.1.3)
	AAL2 Assurance = "AAL2" // lifetime of 24 hours, idle timeout of 1 hour (section 2.2.3)
	AAL3 Assurance = "AAL3" // lifetime of 12 hours, idle timeout of 15 minutes (section 2.3.3)
)

// caps returns the longest limits that a allows. They are zero if a sets none.
func (a Assurance) caps() driver.Limits {
	const day = 24 * time.Hour
	switch a {
	case AAL1:
		return driver.Limits{Lifetime: 30 * day, Idle: 30 * day}
	case AAL2:
		return driver.Limits{Lifetime: day, Idle: time.Hour}
	case AAL3:
		return driver.Limits{Lifetime: 12 * time.Hour, Idle: 15 * time.Minute}
	}
	return driver.Limits{}
}

// within returns limits that are no longer than a allows.
func (a Assurance) within(l driver.Limits) driver.Limits {
	if caps := a.caps(); caps.Lifetime > 0 {
		l.Lifetime, l.Idle = min(l.Lifetime, caps.Lifetime), min(l.Idle, caps.Idle)
	}
	return l
}

var assuranceLevels = map[string]Assurance{"": "", "AAL1": AAL1, "AAL2": AAL2, "AAL3": AAL3}

// checkAssurance reports an unknown level, and limits that exceed its caps.
func (c Config) checkAssurance() (problems []error) {
	if _, ok := assuranceLevels[string(c.Assurance)]; !ok {
		return []error{configError("Assurance", "%.64q is not a level: use AAL1, AAL2 or AAL3",
			string(c.Assurance))}
	}
	caps := c.Assurance.caps()
	if caps.Lifetime == 0 {
		return nil
	}
	check := func(field string, d, longest time.Duration) {
		if d > longest {
			problems = append(problems, configError(field,
				"%v is more than the %v that Assurance %s allows: make it shorter", d, longest, c.Assurance))
		}
	}
	check("Lifetime", c.Lifetime, caps.Lifetime)
	check("IdleTimeout", c.IdleTimeout, caps.Idle)
	check("Cookie.IdleTimeout", c.Cookie.IdleTimeout, caps.Idle)
	check("Memory.IdleTimeout", c.Memory.IdleTimeout, caps.Idle)
	check("Redis.IdleTimeout", c.Redis.IdleTimeout, caps.Idle)
	for _, name := range slices.Sorted(maps.Keys(c.Drivers)) {
		check(fmt.Sprintf("Drivers[%.64q]: IdleTimeout", name), c.ownLimits(name).idle, caps.Idle)
	}
	return problems
}

// The ownLimits of a driver are those in its own configuration. Zero means that it sets none. The
// drivers of NewMemoryDriver and NewRedisDriver embed theirs.
type ownLimits struct{ idle, flashTTL time.Duration }

func (l ownLimits) own() ownLimits { return l }

// ownLimits returns the limits in the named driver's own configuration.
func (c Config) ownLimits(name string) ownLimits {
	if d, ok := c.Drivers[name].(interface{ own() ownLimits }); ok {
		return d.own()
	}
	switch name {
	case builtinCookie:
		return ownLimits{idle: c.Cookie.IdleTimeout, flashTTL: c.Cookie.FlashTTL}
	case builtinMemory:
		return ownLimits{idle: c.Memory.IdleTimeout, flashTTL: c.Memory.FlashTTL}
	case builtinRedis:
		return ownLimits{idle: c.Redis.IdleTimeout, flashTTL: c.Redis.FlashTTL}
	}
	return ownLimits{}
}

// A SignInPolicy says what happens to a sign-in at Config.MaxPerUser. Its text form is
// "end_oldest" or "refuse_new".
type SignInPolicy int

const (
	// EndOldest ends the user's session with the earliest sign-in. By signing in repeatedly,
	// whoever knows the user's password can end the user's own sessions.
	EndOldest SignInPolicy = iota

	// RefuseNew refuses the sign-in with ErrTooManySessions. By signing in repeatedly, whoever
	// knows the user's password can lock the user out until these sessions end.
	RefuseNew
)

var signInPolicies = map[string]SignInPolicy{"end_oldest": EndOldest, "refuse_new": RefuseNew}

// String returns the text form of p.
func (p SignInPolicy) String() string {
	for text, policy := range signInPolicies {
		if policy == p {
			return text
		}
	}
	return fmt.Sprintf("SignInPolicy(%d)", int(p))
}
