package session

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/gomodule/redigo/redis"
)

const (
	maxNamespaceBytes = 200
	maxConfigBytes    = 1 << 20
	maxConfigFaults   = 32 // reported of one file
)

// The drivers that are always known.
const (
	builtinMemory = "memory"
	builtinCookie = "cookie"
	builtinRedis  = "redis"
)

// A Config says how a Manager keeps sessions. Its zero value, with a Secret, is a safe
// configuration: encrypted cookies that end after an hour without use and after a day.
//
// It is passed by value, and nothing in this package changes it. NewManager validates all of
// it. Printed with %v, %+v or %#v, by slog or by encoding/json, a Config shows no secret and no
// password. In an unexported field of another struct fmt cannot call its methods: do not print
// such a struct.
type Config struct {
	// Default names the driver that sessions are kept with: "cookie", "memory", "redis" or
	// a name in Drivers. Empty means "cookie".
	Default string

	// Secret is what session cookies are encrypted with: at least 32 random bytes, as
	// NewSecret or `head -c 32 /dev/urandom | base64` make them. Whoever has it can read and
	// forge every session of the cookie driver. There is no default. The cookie driver needs
	// it; where Default is another driver it may be empty, until Session.Using("cookie").
	Secret string

	// PreviousSecrets still open sessions and never seal one: put the old Secret here when
	// changing it, and take it out after Lifetime. A secret that leaked has no place here.
	// None by default.
	PreviousSecrets []string

	// Lifetime is how long a session lives at most, counted from when it was stored first
	// or regenerated; no activity extends it (ASVS 7.3.2). Zero means 24 hours. Negative
	// values and more than 400 days, which browsers do not grant, are refused. The longer
	// it is, the longer a stolen session opens.
	Lifetime time.Duration

	// IdleTimeout is how long a session lives without being opened (ASVS 7.3.1), for
	// drivers that have no IdleTimeout of their own. Zero means 1 hour. Negative values and
	// more than 400 days are refused; there is no way to switch it off, but one as long as
	// Lifetime comes to that.
	IdleTimeout time.Duration

	// CookieAttributes apply to the cookies of all drivers.
	CookieAttributes CookieAttributes

	Cookie CookieConfig // the driver that keeps the session itself in the cookie, sealed
	Memory MemoryConfig // the driver that keeps sessions in this process
	Redis  RedisConfig  // the driver that keeps sessions in a redis server; dialed at first use

	// Drivers are further drivers by name, or a second one of a kind. A name is part of a
	// cookie's name: letters, digits and !#$%&'*+-.^_`|~, at most 64 bytes, and not the name
	// of a built-in one. Whoever made them closes them.
	Drivers map[string]Driver

	// Limits names a set of limits of NIST SP 800-63B-4: AAL1, AAL2 or AAL3. Lifetime and
	// IdleTimeout then default to what it allows at most, and longer ones are refused, also by
	// Session.Remember, which does not lengthen the idle timeout then, nor a sign-in past what
	// the preset allows. Empty means none.
	Limits Assurance

	// LockAfter locks a sign-in that was away for that long, while the session goes on: then
	// Session.User says that nobody is signed in, and Session.Locked who was (NIST SP
	// 800-63B-4, section 2.2.3). It is shorter than IdleTimeout, which ends the session. Zero
	// means never; negative is refused.
	LockAfter time.Duration

	// MaxPerUser bounds with how many sessions of a driver a user can be signed in at once (ASVS
	// 7.1.2). Zero means any number; negative is refused. A driver that keeps no index of users
	// fails a sign-in then.
	MaxPerUser int

	// AtMaxPerUser says what a sign-in does that would be one too many. Zero means EndOldest.
	AtMaxPerUser SessionPolicy

	// Events is called with what happens to sessions, by the request's goroutine, in the middle
	// of the work: it must be quick, safe for concurrent use, and not call the session. If it
	// panics, that is logged, and everything goes on. Nil means that nobody is told.
	Events func(Event)

	// StoreTimeout bounds each load and each save, all tries together. It also ends the ones
	// that a client no longer waits for. Zero means 3 seconds; negative is refused.
	StoreTimeout time.Duration

	// Codec encodes values that are no string, bool, number or nil. Nil means JSON. It
	// decodes what a store returned: one that can make any type out of bytes gives code
	// execution to whoever can write to the store.
	Codec Codec

	// Logger receives what the operator should know. Nil means slog.Default() at the time of
	// logging. No message holds a token, a secret or a value.
	Logger *slog.Logger

	// ErrorHandler answers a request whose session could not be loaded or stored, in place
	// of the handler's answer. Nil means 503 where the store cannot be reached and 500
	// otherwise, without details. err may name hosts and keys: it belongs into a log, not
	// into the answer (ASVS 16.5.1).
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	// AllowAnonymous says of a request whose store is unavailable that its page can do without
	// a session: it goes on with an empty one that is never saved, where it would be an error
	// answer. Session.Err tells the handler so, and what it sets is lost. For a newcomer, who
	// has nothing to load, the store is asked only when the handler is done. Do not allow it
	// for pages that take "signed out" for an answer. A sign-in, a sign-out, and changes of a
	// session that was loaded, fail all the same. Nil allows it to none.
	AllowAnonymous func(r *http.Request) bool

	// Skip reports whether the middleware should leave a request alone, as if it were not
	// there: for static files and probes. FromContext panics in a handler that Skip let
	// through. Nil means that no request is skipped.
	Skip func(r *http.Request) bool

	// ClientIP returns the client's address for MemoryConfig.ByClientIP. Nil means the host
	// in RemoteAddr and never a header, which any client can write. Behind a proxy, return
	// what that proxy, and nobody else, has set.
	ClientIP func(r *http.Request) string
}

// CookieAttributes are the attributes of every cookie that this package sets. HttpOnly is not
// among them because it is always set. The zero value is right for most sites. What browsers
// would silently refuse is an error of NewManager.
type CookieAttributes struct {
	// Prefix begins the name of every session cookie; the driver's name follows. Empty means
	// "s_", as in "s_cookie". At most 64 bytes of letters, digits and !#$%&'*+-.^_`|~.
	//
	// "__Host-" makes browsers guarantee that only this host has set the cookie, and that
	// over TLS (ASVS 3.3.3): choose it where Domain and Path are not needed. "__Secure-",
	// "__Http-" and "__Host-Http-" are known as well. All of them, in any letter case, refuse
	// SecureNever. Two managers in front of one handler need different prefixes.
	Prefix string

	// Path limits the cookie to a part of the site: "/" and everything below the given path.
	// Empty means "/". It is no protection against other applications on the same host,
	// which read the cookie through a frame (RFC 6265bis, section 8.5). At most 1024 bytes.
	Path string

	// Domain, such as "example.com", sends the cookie to that host and all its subdomains:
	// each of them, also one that somebody else runs, then receives the session and can
	// overwrite it. Empty means this host alone, which is the safe choice. No leading dot,
	// no port, no address.
	Domain string

	// SameSite says which requests that other sites cause carry the cookie. Zero, and
	// http.SameSiteDefaultMode, mean http.SameSiteLaxMode: links do, forms and frames do
	// not. http.SameSiteNoneMode sends it always, so that the application has to defend
	// itself against cross-site request forgery (http.CrossOriginProtection); it implies
	// Secure. It is written in every case.
	SameSite http.SameSite

	// Secure says when the cookie is restricted to TLS. Zero means SecureAuto.
	Secure SecureMode

	// Partitioned keeps a separate session for each top-level site that embeds this one
	// (CHIPS). It implies Secure and wants http.SameSiteNoneMode to be of use. False by
	// default.
	Partitioned bool

	// SessionOnly leaves Max-Age out, so that the cookie ends with the browser, but for a
	// session that was told to Remember. Many browsers restore such cookies at their next
	// start: only the server's limits end a session for certain. False by default.
	SessionOnly bool
}

func (a CookieAttributes) prefix() string { return cmp.Or(a.Prefix, "s_") }
func (a CookieAttributes) path() string   { return cmp.Or(a.Path, "/") }

func (a CookieAttributes) sameSite() http.SameSite {
	if a.SameSite == 0 || a.SameSite == http.SameSiteDefaultMode {
		return http.SameSiteLaxMode
	}
	return a.SameSite
}

// A SecureMode says when cookies get the Secure attribute, without which a browser sends them
// over plain HTTP too, readable by whoever is on the way (ASVS 3.3.1). Its text form is
// "auto", "always" or "never".
type SecureMode int

const (
	// SecureAuto sets Secure but for requests within this host over plain HTTP: the
	// connection is not TLS, RemoteAddr and Host are both loopback, and no Forwarded,
	// X-Forwarded-*, X-Real-Ip or Via header came. Where another attribute demands Secure it
	// means always.
	//
	// A proxy on the same host that hides itself looks like such a request: nginx does
	// with nothing but a proxy_pass to 127.0.0.1. Use SecureAlways behind it.
	SecureAuto SecureMode = iota

	// SecureAlways sets Secure on every cookie: the choice for a service behind a proxy that
	// ends TLS.
	SecureAlways

	// SecureNever leaves Secure out also over TLS. Everybody on the way can then take over
	// a session as soon as the browser is led to an http:// address of the site.
	SecureNever
)

// String returns the text form of m.
func (m SecureMode) String() string {
	switch m {
	case SecureAuto:
		return "auto"
	case SecureAlways:
		return "always"
	case SecureNever:
		return "never"
	default:
		return fmt.Sprintf("SecureMode(%d)", int(m))
	}
}

// MarshalText returns the text form of m. A value that is not one of the three is an error.
func (m SecureMode) MarshalText() ([]byte, error) {
	if m < SecureAuto || m > SecureNever {
		return nil, fmt.Errorf("session: marshal SecureMode: %d is not a mode", int(m))
	}
	return []byte(m.String()), nil
}

// UnmarshalText sets m from its text form, in lower case. Other text is an error and leaves m
// as it was.
func (m *SecureMode) UnmarshalText(text []byte) error {
	mode, err := parseSecureMode(string(text))
	if err != nil {
		return fmt.Errorf("session: unmarshal SecureMode: %w", err)
	}
	*m = mode
	return nil
}

func parseSecureMode(text string) (SecureMode, error) {
	for m := SecureAuto; m <= SecureNever; m++ {
		if text == m.String() {
			return m, nil
		}
	}
	return 0, errors.New(`want "auto", "always" or "never"`)
}

// A CookieConfig configures the cookie driver.
type CookieConfig struct {
	// IdleTimeout goes before Config.IdleTimeout, which zero means. Negative values and more
	// than 400 days are refused.
	IdleTimeout time.Duration

	// FlashTTL ends flash values that long after they were stored, on top of the rule that
	// the next 200 response ends them. Zero means no such limit; negative is refused. With a
	// short one, a page that comes later after its redirect loses its message.
	FlashTTL time.Duration

	// Revocation names a driver that runs on a server, "redis" for one, which keeps track of the
	// sessions that somebody is signed in with: so Session.Logout, Manager.End, EndOthers and
	// EndAll hold against copies of a cookie, and Manager.Sessions can list them. Visitors do
	// without. If that driver loses what it keeps, its users have to sign in again; while it
	// cannot be reached, their sessions are unavailable. Empty means that nothing is kept, and
	// that a copied cookie opens until its limits.
	Revocation string

	// RevocationWindow is how long a process may go on without asking that driver about a
	// session again: so long may another process's ending take to be noticed. Zero means 10
	// seconds; negative is refused.
	RevocationWindow time.Duration
}

func (c CookieConfig) revocationWindow() time.Duration {
	return cmp.Or(c.RevocationWindow, 10*time.Second)
}

// A MemoryConfig configures the memory driver.
type MemoryConfig struct {
	// IdleTimeout goes before Config.IdleTimeout, which zero means. Negative values and more
	// than 400 days are refused.
	IdleTimeout time.Duration

	// FlashTTL ends flash values that long after they were stored, on top of the rule that
	// the next 200 response ends them. Zero means no such limit; negative is refused.
	FlashTTL time.Duration

	// MaxSessions bounds the memory that visitors can make this process use. Above it, the
	// oldest session that was never opened a second time is dropped, else the least
	// recently used one. Zero means 1,000,000; negative is refused.
	MaxSessions int

	// ByClientIP makes the client's address its identity: no cookie is set, and everybody
	// behind one address, be it an office or a mobile network, shares one session. Never
	// sign anybody in with it. False by default. See Config.ClientIP.
	ByClientIP bool
}

func (c MemoryConfig) maxSessions() int {
	if c.MaxSessions <= 0 { // negative: refused by NewManager, and no reason to keep none here
		return 1_000_000
	}
	return c.MaxSessions
}

// A RedisConfig configures the redis driver. Nothing is dialed before the first use. Like a
// Config, it is printed without its password.
type RedisConfig struct {
	// URL says in one string what Host, Port, Password, Options.DB, Username, TLS and Socket
	// say, which then stay empty: "redis://user:password@host:6379/1", with "rediss://" for
	// TLS that verifies the host with the system's roots, or "unix:///path?db=1". Empty means
	// that they say it.
	URL string

	// Host is a name or an address, without port, scheme and brackets. Empty means
	// "127.0.0.1".
	Host string

	// Port is 1 to 65535. Zero means 6379.
	Port int

	// Password is sent with AUTH. Empty means no AUTH. Without Options.TLS it crosses the
	// network in the clear.
	Password string

	// Options are about the connection; their zero value is right for a server nearby.
	Options RedisOptions

	// IdleTimeout goes before Config.IdleTimeout, which zero means. Negative values and more
	// than 400 days are refused.
	IdleTimeout time.Duration

	// FlashTTL ends flash values that long after they were stored, on top of the rule that
	// the next 200 response ends them. Zero means no such limit; negative is refused.
	FlashTTL time.Duration

	// Namespace begins every key: "<namespace>:session:...". Empty means "session". At most
	// 200 bytes, without braces, which would choose a cluster's slot, and control
	// characters. Applications that share a server need different ones, or different DBs.
	Namespace string
}

func (c RedisConfig) host() string      { return cmp.Or(c.Host, "127.0.0.1") }
func (c RedisConfig) port() int         { return cmp.Or(c.Port, 6379) }
func (c RedisConfig) namespace() string { return cmp.Or(c.Namespace, "session") }

func (c RedisConfig) maxIdle() int   { return max(cmp.Or(c.Options.MaxIdle, c.maxActive(), 64), 0) }
func (c RedisConfig) maxActive() int { return max(cmp.Or(c.Options.MaxActive, 64), 0) } // 0: no limit

func (c RedisConfig) idleConnTimeout() time.Duration { // 0: never
	return max(cmp.Or(c.Options.IdleConnTimeout, 4*time.Minute), 0)
}

func (c RedisConfig) poolWait() time.Duration { // 0: no limit of its own
	return max(cmp.Or(c.Options.PoolWait, time.Second), 0)
}

func (c RedisConfig) dialTimeout() time.Duration  { return cmp.Or(c.Options.DialTimeout, time.Second) }
func (c RedisConfig) readTimeout() time.Duration  { return cmp.Or(c.Options.ReadTimeout, time.Second) }
func (c RedisConfig) writeTimeout() time.Duration { return cmp.Or(c.Options.WriteTimeout, time.Second) }

// RedisOptions are the connection options of the redis driver. Like a Config, they are
// printed without secrets.
type RedisOptions struct {
	DB       int    // the database to SELECT; zero means 0, negative is refused, a cluster has 0 only
	Username string // for AUTH with an ACL user, beside Password; empty means the user "default"

	// TLS, where it is not nil, encrypts the connection. An empty ServerName means Host. Do
	// not set InsecureSkipVerify: it lets anyone on the way read the password and every
	// session. Nil means no TLS, which is fit for this host or a network of one's own.
	TLS *tls.Config

	// Network is "tcp" or "unix". Empty means "tcp", or "unix" where Socket is set.
	Network string

	// Socket is the path to dial in place of Host and Port where Network is "unix"; else it
	// is empty.
	Socket string

	MaxIdle   int // connections kept for later; zero means MaxActive, or 64 without it; negative keeps none
	MaxActive int // connections open at once; zero means 64, negative means no limit

	// IdleConnTimeout closes a connection that long after its last use. Zero means 4
	// minutes; negative means never, where firewalls on the way may cut it silently.
	IdleConnTimeout time.Duration

	// PoolWait is how long a load or save waits for one of MaxActive connections to become
	// free, before it is an ErrUnavailable. Zero means 1 second; negative means as long as
	// StoreTimeout lets it.
	PoolWait time.Duration

	DialTimeout  time.Duration // to connect; zero means 1 second, negative is refused
	ReadTimeout  time.Duration // of one reply; zero means 1 second, negative is refused
	WriteTimeout time.Duration // of one command; zero means 1 second, negative is refused

	// ClientName is shown by CLIENT LIST: printable ASCII without spaces. Empty means none.
	ClientName string

	// Pool, where it is not nil, is used in place of all the above and of Host, Port and
	// Password. The caller keeps ownership: Manager.Close does not close it.
	Pool *redis.Pool

	// Client, where it is not nil, is used in place of all the above: an application's own
	// client, a cluster, or a Sentinel set. Module example.com/session/goredis adapts those of
	// go-redis. The caller keeps ownership.
	Client RedisClient
}

func (c Config) driverName() string          { return cmp.Or(c.Default, builtinCookie) }
func (c Config) storeTimeout() time.Duration { return cmp.Or(c.StoreTimeout, 3*time.Second) }

func (c Config) lifetime() time.Duration {
	preset, _ := c.Limits.limits()
	return cmp.Or(c.Lifetime, preset.Lifetime, 24*time.Hour)
}

func (c Config) idleTimeout() time.Duration {
	preset, _ := c.Limits.limits()
	return cmp.Or(c.IdleTimeout, preset.Idle, time.Hour)
}

// idleTimeoutOr returns a driver's own idle timeout where it has one.
func (c Config) idleTimeoutOr(own time.Duration) time.Duration { return cmp.Or(own, c.idleTimeout()) }

func (c Config) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.Default()
	}
	return c.Logger
}

// driverNames returns the names of all drivers, sorted.
func (c Config) driverNames() []string {
	names := []string{builtinCookie, builtinMemory, builtinRedis}
	names = slices.AppendSeq(names, maps.Keys(c.Drivers))
	slices.Sort(names)
	return slices.Compact(names)
}

// unknownDriver returns the ErrUnknownDriver for name, which lists the names that there are.
func (c Config) unknownDriver(name string) error {
	known := strings.Join(c.driverNames(), ", ")
	return fmt.Errorf("%w %.64q: known are %s", ErrUnknownDriver, name, known)
}

// validate reports every fault of c at once.
func (c Config) validate() error {
	_, attributes := newCookieAttributes(c.CookieAttributes)
	return errors.Join(
		c.validateDrivers(),
		c.validateSecrets(),
		c.validateLimits(),
		c.validateAccounts(),
		attributes,
		c.Redis.validate(),
	)
}

// configFault returns the error for a field of Config.
func configFault(field, format string, args ...any) error {
	return fmt.Errorf("session: Config.%s: %s", field, fmt.Sprintf(format, args...))
}

func (c Config) validateDrivers() error {
	var faults []error
	if names := c.driverNames(); !slices.Contains(names, c.driverName()) {
		faults = append(faults, fmt.Errorf("%w (Config.Default)", c.unknownDriver(c.Default)))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Drivers)) {
		if err := c.checkDriver(name, c.Drivers[name]); err != nil {
			faults = append(faults, fmt.Errorf("session: Config.Drivers[%.64q]: %w", name, err))
		}
	}
	return errors.Join(faults...)
}

// checkDriver validates one of Drivers, whose name ends the name of a cookie.
func (c Config) checkDriver(name string, d Driver) error {
	prefix := c.CookieAttributes.prefix()
	whole, _ := namePrefix(prefix + name)
	begun, _ := namePrefix(prefix)
	hinted, isHint := strings.CutSuffix(name, "_f")
	switch {
	case name == builtinCookie || name == builtinMemory || name == builtinRedis:
		return errors.New("the name of a built-in driver: configure that one, or choose another name")
	case !isToken(name):
		return errors.New(
			"not allowed in a cookie name: use letters, digits and !#$%&'*+-.^_`|~ " +
				"(RFC 6265, section 4.1.1)")
	case len(name) > maxCookieNameBytes:
		return fmt.Errorf("%d bytes, at most %d are allowed", len(name), maxCookieNameBytes)
	case begun == "" && whole != "":
		return fmt.Errorf(
			"with Prefix the cookie's name begins with %s, to which browsers tie conditions: "+
				"choose another name", whole)
	case isHint && slices.Contains(c.driverNames(), hinted):
		return fmt.Errorf(
			"a cookie of that name says that flash is pending for %q: choose another name", hinted)
	case d == nil:
		return errors.New("the driver is nil")
	}
	return nil
}

func (c Config) validateSecrets() error {
	var faults []error
	switch {
	case c.Secret != "":
		faults = append(faults, checkSecret("Config.Secret", c.Secret))
	case c.driverName() == builtinCookie:
		faults = append(faults, configFault("Secret",
			"missing, and the cookie driver encrypts with it: "+
				"make one with `head -c 32 /dev/urandom | base64` or session.NewSecret, "+
				"keep it out of the source code, and set Config.Secret"))
	case len(c.PreviousSecrets) > 0:
		faults = append(faults, configFault("PreviousSecrets",
			"set without Secret: previous secrets only open, set Config.Secret too"))
	}
	for i, secret := range c.PreviousSecrets {
		faults = append(faults, checkSecret(fmt.Sprintf("Config.PreviousSecrets[%d]", i), secret))
	}
	return errors.Join(faults...)
}

func (c Config) validateLimits() error {
	var maxSessions error
	if c.Memory.MaxSessions < 0 {
		maxSessions = configFault("Memory.MaxSessions",
			"%d is negative: leave it 0 for the default", c.Memory.MaxSessions)
	}
	return errors.Join(
		checkLimit("Lifetime", c.Lifetime),
		checkLimit("IdleTimeout", c.IdleTimeout),
		checkLimit("Cookie.IdleTimeout", c.Cookie.IdleTimeout),
		checkLimit("Memory.IdleTimeout", c.Memory.IdleTimeout),
		checkNotNegative("StoreTimeout", c.StoreTimeout),
		checkNotNegative("Cookie.FlashTTL", c.Cookie.FlashTTL),
		checkNotNegative("Memory.FlashTTL", c.Memory.FlashTTL),
		maxSessions,
	)
}

// checkLimit accepts what browsers grant a cookie (RFC 6265bis, section 5.5).
func checkLimit(field string, d time.Duration) error {
	if d > maxLifetime {
		return configFault(field,
			"%v is more than 400 days (34560000 s), the longest that browsers keep a cookie "+
				"(RFC 6265bis, section 5.5)", d)
	}
	return checkNotNegative(field, d)
}

func checkNotNegative(field string, d time.Duration) error {
	if d < 0 {
		return configFault(field, "%v is negative: leave it 0 for the default", d)
	}
	return nil
}

// validate reports every fault of c at once.
func (c RedisConfig) validate() error {
	faults := []error{
		checkLimit("Redis.IdleTimeout", c.IdleTimeout),
		checkNotNegative("Redis.FlashTTL", c.FlashTTL),
		checkNotNegative("Redis.Options.DialTimeout", c.Options.DialTimeout),
		checkNotNegative("Redis.Options.ReadTimeout", c.Options.ReadTimeout),
		checkNotNegative("Redis.Options.WriteTimeout", c.Options.WriteTimeout),
		checkHost(c.Host),
		checkNamespace(c.Namespace),
		checkNetwork(c.Options.Network, c.Options.Socket),
		checkRedisURL(c),
	}
	if port := c.port(); port < 1 || port > math.MaxUint16 {
		faults = append(faults, configFault("Redis.Port", "%d is not a port: 1 to 65535", port))
	}
	if c.Options.DB < 0 {
		faults = append(faults, configFault("Redis.Options.DB", "%d is negative", c.Options.DB))
	}
	if resolved, err := c.withURL(); err == nil && resolved.Options.Username != "" && resolved.Password == "" {
		faults = append(faults, configFault("Redis.Options.Username",
			"set without a password: redis would take this application for its user \"default\""))
	}
	unprintable := func(r rune) bool { return r <= ' ' || r >= unicode.MaxASCII }
	if strings.ContainsFunc(c.Options.ClientName, unprintable) {
		faults = append(faults, configFault("Redis.Options.ClientName",
			"redis takes printable ASCII without spaces only"))
	}
	return errors.Join(faults...)
}

// checkHost refuses an address that holds more than a host. It is never quoted: a URL may
// hold a password.
func checkHost(host string) error {
	_, notAddress := netip.ParseAddr(host)
	unfit := func(r rune) bool { return unicode.IsControl(r) || strings.ContainsRune(" /@[]", r) }
	if strings.ContainsFunc(host, unfit) || notAddress != nil && strings.Contains(host, ":") {
		return configFault("Redis.Host", "give a name or an address alone; port, password and "+
			"database have fields of their own, and so has a unix socket (Options.Socket)")
	}
	return nil
}

func checkNamespace(namespace string) error {
	const field = "Redis.Namespace"
	if len(namespace) > maxNamespaceBytes {
		return configFault(field, "%d bytes, at most %d are allowed", len(namespace), maxNamespaceBytes)
	}
	for _, r := range namespace {
		if r == '{' || r == '}' || unicode.IsControl(r) {
			return configFault(field,
				"%q has %q in it: braces choose the slot of a cluster, control characters break tools",
				namespace, r)
		}
	}
	return nil
}

func checkNetwork(network, socket string) error {
	const field = "Redis.Options."
	switch {
	case network != "" && network != "tcp" && network != "unix":
		return configFault(field+"Network", "%.64q is not known: use \"tcp\" or \"unix\"", network)
	case network == "unix" && socket == "":
		return configFault(field+"Socket", "missing: Network \"unix\" needs the path of the socket")
	case network == "tcp" && socket != "":
		return configFault(field+"Socket", "set, but Network is \"tcp\": set one of them only")
	}
	return nil
}
