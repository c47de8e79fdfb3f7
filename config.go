package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"example.com/session/driver"
	"example.com/session/internal/cookie"
)

// The names of the drivers that every manager has.
const (
	builtinMemory = "memory"
	builtinCookie = "cookie"
	builtinRedis  = "redis"
)

// A Config says how a Manager keeps sessions. Its zero value with a Secret is a safe configuration:
// encrypted cookies that expire after an hour without use, and after a day at the latest.
//
// A Config is passed by value, and this package never changes it. NewManager validates all of it.
// Printed by fmt, slog or encoding/json, a Config shows no secret and no password. This does not
// hold for a Config in an unexported field of another struct, because fmt cannot call its methods
// there.
type Config struct {
	// Default names the driver that keeps sessions: "cookie", "memory", "redis" or a name in
	// Drivers. Empty means "cookie".
	Default string

	// Secret is the key material that session cookies are encrypted with: at least 32 random bytes,
	// as NewSecret or `head -c 32 /dev/urandom | base64` makes them. Whoever knows it can read and
	// forge every session of the cookie driver, so keep it out of the source code. It has no
	// default. It may be empty if Default is another driver; Session.Using("cookie") then returns
	// an error.
	Secret string `secret:"true"`

	// PreviousSecrets open existing cookies and never encrypt new ones. To change Secret, move
	// the old value here, and remove it when the longest lifetime of a session has passed,
	// including those of Session.Remember. Do not list a secret that has leaked. The default is
	// none.
	PreviousSecrets []string `secret:"true"`

	// Lifetime is how long a session lives, however much it is used (ASVS 7.3.2). It is counted
	// from the beginning of the session, and anew from each Login and Remember, and for a visitor
	// from each Regenerate. Zero means 24 hours, or the limit of Assurance. Negative values and
	// more than 400 days, the longest that browsers keep a cookie, are errors. A stolen session can
	// be used until it ends.
	Lifetime time.Duration

	// IdleTimeout ends a session that was not used for this long (ASVS 7.3.1), unless its driver
	// has an IdleTimeout of its own. Zero means 1 hour, or the limit of Assurance. Negative values
	// and more than 400 days are errors. It cannot be switched off; a value as long as Lifetime
	// has that effect.
	IdleTimeout time.Duration

	// CookieAttributes apply to the cookies of all drivers.
	CookieAttributes CookieAttributes

	// Cookie configures the driver that keeps sessions in encrypted cookies.
	Cookie CookieConfig

	// Memory configures the driver that keeps sessions in this process.
	Memory MemoryConfig

	// Redis configures the driver that keeps sessions on a redis server. It connects when it is
	// first used.
	Redis RedisConfig

	// Drivers are further drivers by name, such as a StoreDriver or a second redis. There is only
	// one cookie driver: these keep sessions on a server. The name is part of a cookie's name: at
	// most 64 letters, digits and !#$%&'*+-.^_`|~, and not the name of a built-in driver. A driver
	// of NewMemoryDriver or NewRedisDriver has the idle timeout and flash TTL of the configuration
	// that it was made with. Manager.Close does not close these drivers.
	Drivers map[string]driver.Driver

	// Assurance caps the limits of sessions at those of an authentication assurance level of NIST
	// SP 800-63B-4: AAL1, AAL2 or AAL3. Lifetime and IdleTimeout default to the caps, and longer
	// values are errors. Session.Remember cannot exceed them either. Empty means no caps.
	Assurance Assurance

	// LockAfter asks users to sign in again after this long without activity, while the session
	// goes on (NIST SP 800-63B-4, section 2.2.3). Session.User then reports that nobody is signed
	// in, and Session.Locked returns the user. It must be shorter than the idle timeout, which
	// ends the session. Zero means never; negative values are errors.
	LockAfter time.Duration

	// MaxPerUser limits how many sessions a user can be signed in with at a time, on each driver
	// (ASVS 7.1.2). Zero means no limit; negative values are errors. If it is set and the driver
	// keeps no list of a user's sessions (see ErrUnsupported), Login fails.
	MaxPerUser int

	// AtMaxPerUser says what happens to a sign-in that would exceed MaxPerUser. Zero means
	// EndOldest.
	AtMaxPerUser SignInPolicy

	// Import reads the sessions of another library or driver, so that switching to this one signs
	// nobody out. It is called when a request uses its session and no cookie opens a session of
	// Default. The request then sees the values of the old session. The first change that is
	// stored, or Session.Save, moves the session: it gets a new token, and the old session and its
	// cookies are deleted. Parallel requests move it only once. A copy of the old cookie then opens
	// nothing, except on the cookie driver without Revocation, which cannot remember what it has
	// imported. Nil means no import. Import needs Secret and ImportUntil.
	Import Importer

	// ImportUntil is the time from which Import is no longer called. Until then Default remembers
	// which sessions were imported. It must be set if Import is.
	ImportUntil time.Time

	// Passive reports whether a request is made without the user, such as a poll by a script in
	// an open page. Such a request reads and writes the session as usual, but it does not count as
	// use or activity: it does not postpone IdleTimeout and LockAfter. Nil means that every
	// request counts.
	Passive func(*http.Request) bool

	// Events is called with each Event, for an audit log. It runs in the goroutine of the request
	// or of the caller of a Manager's method, which waits for it; ctx is the context of that
	// request or call. An eviction is reported by the request that needed the space. Events must be
	// fast and safe for concurrent use, and must not use the session. A panic in it is logged and
	// has no other effect. Nil means that events are dropped.
	Events func(ctx context.Context, e Event)

	// Trace is called before a request loads, saves or ends a session with a driver that does I/O,
	// for spans. The operation runs with the context that Trace returns. When it is over, the
	// returned function is called with its error, which wraps ErrNoSession if there was no session.
	// Trace must be fast and safe for concurrent use, and must not panic. Package
	// example.com/session/otelsession implements it for OpenTelemetry. Nil means no tracing.
	Trace func(ctx context.Context, op Operation) (context.Context, func(err error))

	// StoreTimeout limits each load and each save, including all retries. A save goes on until
	// then even after the client has disconnected. Zero means 3 seconds; negative values are
	// errors.
	StoreTimeout time.Duration

	// Codec encodes values other than strings, bools, numbers, nil and errors. Nil means
	// encoding/json. A codec that can create any type from stored bytes, such as gob with
	// registered types, lets whoever can write to the store choose what is created.
	Codec Codec

	// Logger receives messages for operators. They contain no token, secret or value. Nil means
	// the slog.Default() of when NewManager is called.
	Logger *slog.Logger

	// ErrorHandler writes the response to a request whose session could not be loaded or stored, in
	// place of the handler's response. Nil means 503 if the store is unavailable, 403 for
	// ErrTooManySessions, else 500, without details. err may name hosts and keys: log it, and do
	// not send it to the client (ASVS 16.5.1).
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	// AllowAnonymous reports whether a request can be served without its session while the store is
	// unavailable. If so, it gets an empty session that is never saved, and Session.Err returns the
	// error. Do not allow it for pages that treat "not signed in" as a final answer. Signing in or
	// out, and changing a session that was loaded, still fail. Nil means that no request can.
	AllowAnonymous func(r *http.Request) bool

	// Skip reports whether the middleware should pass a request through untouched, such as one
	// for a static file or a health check. FromContext panics in the handler of such a request.
	// Nil means that no request is skipped.
	Skip func(r *http.Request) bool

	// ClientIP returns the address of the client for MemoryConfig.ByClientIP. Behind a proxy,
	// return an address that the proxy has set and that clients cannot set. Nil means the host of
	// RemoteAddr. Headers are then ignored, because any client can send them, and a request with a
	// header that proxies add is refused.
	ClientIP func(r *http.Request) string
}

// CookieAttributes are the attributes of every cookie that this package sets. HttpOnly is always
// set. The zero value is right for most sites. NewManager returns an error for attributes that make
// browsers silently reject a cookie.
type CookieAttributes struct {
	// Prefix begins the name of every session cookie; the name of the driver follows, as in
	// "s_cookie". Empty means "s_". At most 64 letters, digits and !#$%&'*+-.^_`|~.
	//
	// With "__Host-", browsers guarantee that this host set the cookie, over TLS or on loopback
	// (ASVS 3.3.3). Use it if you need neither Domain nor Path. "__Secure-", "__Http-" and
	// "__Host-Http-" are supported too. With any of these prefixes, in upper or lower case,
	// SecureNever is an error. Two managers for one site need different prefixes.
	Prefix string

	// Path limits the cookie to this path and everything below it. Empty means "/". It does not
	// protect the cookie from other applications on the host, which can read it through a frame
	// (RFC 6265bis, section 8.5). At most 1024 bytes.
	Path string

	// Domain, such as "example.com", sends the cookie to that host and all its subdomains. Each
	// of them can then read and overwrite the session, also a subdomain that somebody else runs.
	// Empty means this host only, which is the safe choice. It has no leading dot and no port,
	// and is not an IP address.
	Domain string

	// SameSite says which requests from other sites carry the cookie. Zero and
	// http.SameSiteDefaultMode mean http.SameSiteLaxMode: links do, forms and frames do not.
	// With http.SameSiteNoneMode all do, and the application has to prevent cross-site request
	// forgery itself (http.CrossOriginProtection); it implies Secure.
	SameSite http.SameSite

	// Secure says when the cookie is restricted to TLS. Zero means SecureAuto.
	Secure SecureMode

	// Partitioned keeps a separate session for each top-level site that embeds this one (CHIPS).
	// It implies Secure, and is of use only with http.SameSiteNoneMode. The default is false.
	Partitioned bool

	// SessionOnly leaves out Max-Age, so that browsers delete the cookie when they are closed,
	// except after Session.Remember. Many browsers restore such cookies when they start again:
	// only the limits on the server end a session reliably. The default is false.
	SessionOnly bool
}

// A SecureMode says when cookies have the Secure attribute. Without it a browser also sends them
// over plain HTTP, where everybody on the network path can read them (ASVS 3.3.1). Its text form
// is "auto", "always" or "never".
type SecureMode int

const (
	// SecureAuto sets Secure unless a request comes from this host over plain HTTP. That is the
	// case if it has no TLS, RemoteAddr and Host are loopback addresses, and no header that proxies
	// add is there, such as Forwarded, X-Forwarded-For, X-Real-Ip or Via. If another attribute
	// demands Secure, it is always set.
	//
	// A proxy on this host that adds no header looks the same: nginx with a bare proxy_pass to
	// 127.0.0.1 does. Use SecureAlways behind it.
	SecureAuto SecureMode = iota

	// SecureAlways sets Secure on every cookie. Use it behind a proxy that terminates TLS.
	SecureAlways

	// SecureNever leaves out Secure, even over TLS. Everybody on the network path can then take
	// over a session when the browser follows a link to an http:// address of the site.
	SecureNever
)

var secureModes = map[string]SecureMode{
	"auto": SecureAuto, "always": SecureAlways, "never": SecureNever,
}

// String returns the text form of m.
func (m SecureMode) String() string {
	for text, mode := range secureModes {
		if mode == m {
			return text
		}
	}
	return fmt.Sprintf("SecureMode(%d)", int(m))
}

// MarshalText returns the text form of m. A value that is not a mode is an error.
func (m SecureMode) MarshalText() ([]byte, error) {
	if m < SecureAuto || m > SecureNever {
		return nil, fmt.Errorf("session: marshal SecureMode: %d is not a mode", int(m))
	}
	return []byte(m.String()), nil
}

// UnmarshalText sets m from its text form. Other text is an error and leaves m unchanged.
func (m *SecureMode) UnmarshalText(text []byte) error {
	mode, ok := secureModes[string(text)]
	if !ok {
		return errors.New(`session: unmarshal SecureMode: want "auto", "always" or "never"`)
	}
	*m = mode
	return nil
}

// A CookieConfig configures the cookie driver.
type CookieConfig struct {
	// IdleTimeout overrides Config.IdleTimeout for this driver. Zero means Config.IdleTimeout;
	// negative values and more than 400 days are errors.
	IdleTimeout time.Duration

	// FlashTTL removes flash values that were not shown within this time. Zero means that only
	// the next page removes them; negative values are errors. If it is short, a slow page after a
	// redirect loses its message.
	FlashTTL time.Duration

	// Revocation names a driver that keeps sessions on a server, such as "redis". It records the
	// sessions of signed-in users, so that Session.Logout, Manager.End, EndOthers and EndAll end
	// every copy of a cookie, and Manager.Sessions can list them. Visitors are not recorded. If
	// that driver loses its data, users have to sign in again; while it is unavailable, so are
	// their sessions. Empty means no record: a copied cookie then stays valid until it expires.
	Revocation string

	// RevocationWindow is how long a process trusts what it last learned from that driver. A
	// session that another process ended may be accepted for that long. Zero means 10 seconds;
	// negative values are errors.
	RevocationWindow time.Duration
}

// A MemoryConfig configures the memory driver.
type MemoryConfig struct {
	// IdleTimeout overrides Config.IdleTimeout for this driver. Zero means Config.IdleTimeout;
	// negative values and more than 400 days are errors.
	IdleTimeout time.Duration

	// FlashTTL removes flash values that were not shown within this time. Zero means that only
	// the next page removes them; negative values are errors.
	FlashTTL time.Duration

	// MaxSessions limits how many sessions are kept, and so how much memory visitors can use. At
	// the limit, sessions of visitors are evicted before those of signed-in users. Zero means
	// 1,000,000; negative values are errors.
	MaxSessions int

	// ByClientIP identifies clients by their address and sets no cookie. Everybody behind one
	// address, such as an office or a mobile network, shares one session, so Session.Login fails.
	// Requests with a header that proxies add are refused unless Config.ClientIP is set, because
	// all clients of a proxy would share a session. NewMemoryDriver ignores it. The default is
	// false.
	ByClientIP bool
}

func (c Config) driverName() string          { return cmp.Or(c.Default, builtinCookie) }
func (c Config) storeTimeout() time.Duration { return cmp.Or(c.StoreTimeout, 3*time.Second) }

func (c Config) lifetime() time.Duration {
	return cmp.Or(c.Lifetime, c.Assurance.caps().Lifetime, 24*time.Hour)
}

// idleTimeout returns the idle timeout of a driver; own is the one in its own configuration, or zero.
func (c Config) idleTimeout(own time.Duration) time.Duration {
	return cmp.Or(own, c.IdleTimeout, c.Assurance.caps().Idle, time.Hour)
}

func (c Config) logger() *slog.Logger { return cmp.Or(c.Logger, slog.Default()) }

func (a CookieAttributes) prefix() string { return cmp.Or(a.Prefix, "s_") }

// internal returns a in the form that package cookie works with.
func (a CookieAttributes) internal() cookie.Attributes {
	return cookie.Attributes{
		Prefix: a.prefix(), Path: a.Path, Domain: a.Domain, SameSite: a.SameSite,
		Secure: cookie.Mode(a.Secure), Partitioned: a.Partitioned,
	}
}

func (c CookieConfig) revocationWindow() time.Duration {
	return cmp.Or(c.RevocationWindow, 10*time.Second)
}

// driverNames returns the names of all drivers, sorted.
func (c Config) driverNames() []string {
	names := []string{builtinCookie, builtinMemory, builtinRedis}
	names = slices.AppendSeq(names, maps.Keys(c.Drivers))
	slices.Sort(names)
	return slices.Compact(names)
}

// unknownDriver returns the ErrUnknownDriver for name, which lists the known names.
func (c Config) unknownDriver(name string) error {
	known := strings.Join(c.driverNames(), ", ")
	return fmt.Errorf("%w %.64q: known are %s", ErrUnknownDriver, name, known)
}
