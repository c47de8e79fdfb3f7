package session

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"example.com/session/driver"
	"example.com/session/internal/cookie"
	"example.com/session/internal/sealed"
)

const (
	maxNamespaceBytes  = 200
	maxDriverNameBytes = 64
)

// validate reports all problems of c together.
func (c Config) validate() error {
	return errors.Join(slices.Concat(
		c.checkDrivers(),
		c.checkSecretIsThere(),
		c.checkValues(),
		c.checkAssurance(),
		c.checkAccounts(),
		c.checkImport(),
		c.Redis.checkTLS(),
	)...)
}

// checkValues reports what is wrong whatever the other sections of c say.
func (c Config) checkValues() []error {
	return slices.Concat(
		c.checkSecrets(),
		c.checkLimits(),
		[]error{c.CookieAttributes.internal().Validate()},
		c.Redis.check(),
	)
}

// configError returns the error for a field of Config.
func configError(field, format string, args ...any) error {
	return fmt.Errorf("session: Config.%s: %s", field, fmt.Sprintf(format, args...))
}

// problemIf returns one error if the condition holds.
func problemIf(condition bool, field, format string, args ...any) []error {
	if !condition {
		return nil
	}
	return []error{configError(field, format, args...)}
}

func (c Config) checkDrivers() (problems []error) {
	if !slices.Contains(c.driverNames(), c.driverName()) {
		problems = append(problems, fmt.Errorf("%w (Config.Default)", c.unknownDriver(c.Default)))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Drivers)) {
		if problem := c.driverProblem(name, c.Drivers[name]); problem != "" {
			problems = append(problems, configError(fmt.Sprintf("Drivers[%.64q]", name), "%s", problem))
		}
	}
	return problems
}

// driverProblem says what is wrong with one of Drivers, whose name ends the name of its cookies.
func (c Config) driverProblem(name string, d driver.Driver) string {
	prefix := c.CookieAttributes.prefix()
	reserved, _ := cookie.NamePrefix(prefix + name)
	intended, _ := cookie.NamePrefix(prefix)
	hinted, isHint := strings.CutSuffix(name, hintSuffix)
	switch {
	case name == builtinCookie || name == builtinMemory || name == builtinRedis:
		return "the name of a built-in driver: configure that one, or choose another name"
	case !cookie.ValidName(name):
		return "not allowed in a cookie name: use letters, digits and !#$%&'*+-.^_`|~ " +
			"(RFC 6265, section 4.1.1)"
	case len(name) > maxDriverNameBytes:
		return fmt.Sprintf("%d bytes, at most %d are allowed", len(name), maxDriverNameBytes)
	case intended == "" && reserved != "":
		return fmt.Sprintf("with Prefix the cookie's name begins with %s, which browsers reserve: "+
			"choose another name", reserved)
	case isHint && slices.Contains(c.driverNames(), hinted):
		return fmt.Sprintf("the name of the flash cookie of driver %q: choose another name", hinted)
	case (&cookieDriver{dataPrefix: builtinCookie + "_"}).isDataName(name):
		return "the name of a data cookie of the cookie driver: choose another name"
	case d == nil:
		return "the driver is nil"
	}
	return ""
}

func (c Config) checkSecretIsThere() []error {
	switch {
	case c.Secret != "":
		return nil
	case c.driverName() == builtinCookie:
		return []error{configError("Secret", "missing, and the cookie driver encrypts with it: "+
			"make one with `head -c 32 /dev/urandom | base64` or session.NewSecret, "+
			"and keep it out of the source code")}
	}
	return problemIf(len(c.PreviousSecrets) > 0, "PreviousSecrets",
		"set without Secret: previous secrets only open cookies, set Config.Secret too")
}

func (c Config) checkSecrets() (problems []error) {
	if c.Secret != "" {
		problems = append(problems, sealed.CheckSecret("Config.Secret", c.Secret))
	}
	for i, secret := range c.PreviousSecrets {
		field := fmt.Sprintf("Config.PreviousSecrets[%d]", i)
		problems = append(problems, sealed.CheckSecret(field, secret))
	}
	return problems
}

func (c Config) checkLimits() []error {
	return slices.Concat(
		checkLimit("Lifetime", c.Lifetime),
		checkLimit("IdleTimeout", c.IdleTimeout),
		checkLimit("Cookie.IdleTimeout", c.Cookie.IdleTimeout),
		checkLimit("Memory.IdleTimeout", c.Memory.IdleTimeout),
		checkLimit("LockAfter", c.LockAfter),
		checkNotNegative("StoreTimeout", c.StoreTimeout),
		checkNotNegative("Cookie.FlashTTL", c.Cookie.FlashTTL),
		checkNotNegative("Cookie.RevocationWindow", c.Cookie.RevocationWindow),
		checkNotNegative("Memory.FlashTTL", c.Memory.FlashTTL),
		checkNotNegative("Memory.MaxSessions", c.Memory.MaxSessions),
		checkNotNegative("MaxPerUser", c.MaxPerUser),
		problemIf(c.AtMaxPerUser < EndOldest || c.AtMaxPerUser > RefuseNew, "AtMaxPerUser",
			"%d is not a policy: use EndOldest or RefuseNew", int(c.AtMaxPerUser)),
	)
}

func checkLimit(field string, d time.Duration) []error {
	if d > maxLifetime {
		return []error{configError(field, "%v is more than 400 days (34560000 s), the longest "+
			"that browsers keep a cookie (RFC 6265bis, section 5.5)", d)}
	}
	return checkNotNegative(field, d)
}

func checkNotNegative[T int | time.Duration](field string, n T) []error {
	return problemIf(n < 0, field, "%v is negative: leave it 0 for the default", n)
}

// checkAccounts reports what is wrong with the fields about signed-in users.
func (c Config) checkAccounts() []error {
	idle := c.idleTimeout(c.ownLimits(c.driverName()).idle)
	uncounted := c.driverName() == builtinCookie && c.Cookie.Revocation == ""
	return slices.Concat(
		c.checkRevocation(),
		problemIf(c.MaxPerUser > 0 && uncounted, "MaxPerUser",
			"the cookie driver cannot count the sessions of a user: set Config.Cookie.Revocation, "+
				"or use the memory or redis driver"),
		problemIf(c.LockAfter > 0 && c.LockAfter >= idle, "LockAfter",
			"%v is not shorter than the idle timeout of %v, which ends the session: "+
				"shorten one or lengthen the other", c.LockAfter, idle),
	)
}

// checkRevocation reports a driver that does not exist or that keeps no index of users.
func (c Config) checkRevocation() []error {
	name := c.Cookie.Revocation
	if name != "" && !slices.Contains(c.driverNames(), name) {
		return []error{fmt.Errorf("%w (Config.Cookie.Revocation)", c.unknownDriver(name))}
	}
	_, indexed := c.Drivers[name].(driver.Index)
	indexed = indexed || name == builtinRedis || name == builtinMemory && !c.Memory.ByClientIP
	return problemIf(name != "" && !indexed, "Cookie.Revocation", "driver %q keeps no index of "+
		"users: use the memory or redis driver, or one made by StoreDriver", name)
}

// check reports all problems of c together, but for those of certificate files.
func (c RedisConfig) check() []error {
	o := c.Options
	unprintable := func(r rune) bool { return r <= ' ' || r >= unicode.MaxASCII }
	full, urlErr := c.withURL()
	replaced := c.Host != "" || c.Port != 0 || c.Password != "" ||
		o.DB != 0 || o.Username != "" || o.TLS != nil || o.Socket != ""
	return slices.Concat(
		checkLimit("Redis.IdleTimeout", c.IdleTimeout),
		checkNotNegative("Redis.FlashTTL", c.FlashTTL),
		checkNotNegative("Redis.Options.DB", o.DB),
		checkNotNegative("Redis.Options.Connections", o.Connections),
		checkNotNegative("Redis.Options.DialTimeout", o.DialTimeout),
		checkNotNegative("Redis.Options.ReadTimeout", o.ReadTimeout),
		checkNotNegative("Redis.Options.WriteTimeout", o.WriteTimeout),
		checkHost(c.Host),
		problemIf(c.Port < 0 || c.Port > math.MaxUint16, "Redis.Port",
			"%d is not a port from 1 to 65535", c.Port),
		checkNamespace(c.Namespace),
		checkNetwork(o.Network, o.Socket),
		[]error{urlErr},
		problemIf(c.URL != "" && replaced, "Redis.URL", "fields that it replaces are set as well: leave "+
			"Host, Port, Password, Options.DB, Username, TLS and Socket empty"),
		problemIf(urlErr == nil && full.Options.Username != "" && full.Password == "",
			"Redis.Options.Username",
			"set without a password: redis would treat this application as its user \"default\""),
		problemIf(o.TLSCA != "" && o.TLS != nil && o.TLS.RootCAs != nil, "Redis.Options.TLSCA",
			"set, and so is TLS.RootCAs: set one of them"),
		problemIf(strings.ContainsFunc(o.ClientName, unprintable), "Redis.Options.ClientName",
			"redis accepts printable ASCII without spaces only"),
	)
}

// checkTLS reports a certificate file that cannot be used.
func (c RedisConfig) checkTLS() []error {
	_, err := c.Options.loadTLS("")
	return []error{err}
}

// checkHost refuses an address that holds more than a host. The error does not quote it, because a
// URL may hold a password.
func checkHost(host string) []error {
	_, notAddress := netip.ParseAddr(host)
	unfit := func(r rune) bool {
		return unicode.IsControl(r) || strings.ContainsRune(" /@[]", r) || r == ':' && notAddress != nil
	}
	return problemIf(strings.ContainsFunc(host, unfit), "Redis.Host",
		"must be a host name or an address only: set Port, Password, Options.DB and Options.Socket, or URL")
}

func checkNamespace(namespace string) []error {
	unfit := func(r rune) bool { return r == '{' || r == '}' || unicode.IsControl(r) }
	return slices.Concat(
		problemIf(len(namespace) > maxNamespaceBytes, "Redis.Namespace",
			"%d bytes, at most %d are allowed", len(namespace), maxNamespaceBytes),
		problemIf(strings.ContainsFunc(namespace, unfit), "Redis.Namespace",
			"it contains a control character or a brace, and braces choose the slot of a cluster"),
	)
}

func checkNetwork(network, socket string) []error {
	return slices.Concat(
		problemIf(network != "" && network != "tcp" && network != "unix", "Redis.Options.Network",
			"%.64q is not known: use \"tcp\" or \"unix\"", network),
		problemIf(network == "unix" && socket == "", "Redis.Options.Socket",
			"missing: Network \"unix\" needs the path of the socket"),
		problemIf(network == "tcp" && socket != "", "Redis.Options.Socket",
			"set, but Network is \"tcp\": set one of them"),
	)
}
