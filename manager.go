package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// The cookie `<name>_f=1` says that flash is pending, so that a request which does not use its
// session stays free where none is.
const (
	hintSuffix = "_f"
	hintValue  = "1"
)

// A Manager holds named drivers and makes the middleware. It is safe for concurrent use; a
// program has one for each kind of session it keeps.
type Manager struct {
	cfg     *Config // a pointer, which fmt does not follow to the secrets
	values  Codec
	cookies *cookieAttributes
	main    *source
	sources map[string]*source
	byIP    []*source // of them, those whose clients are told apart by address
	memory  *MemoryDriver
	redis   *RedisDriver
	stats   counters
	log     *eventLog
	clock   func() time.Time // for tests; nil: the system's
	closed  atomic.Bool

	lastEnding atomic.Int64 // when all sessions of some user were ended last, in milliseconds
}

// A source is a named driver and what the manager knows of it.
type source struct {
	name     string
	cookie   string // name of its cookie
	hint     string // name of the cookie that says that flash is pending
	driver   Driver
	err      error // why it cannot be used
	limits   Limits
	flashTTL time.Duration
	sealed   bool // the token is the record itself: whatever is stored needs a cookie
	local    bool // no I/O: nothing to bound
	byIP     bool // the address is the token: no cookie
	used     atomic.Bool
	accounts atomic.Bool  // a signed-in session was met
	index    accountIndex // of the users' sessions; nil where none can be kept
	guard    *guard       // of a sealed driver whose sessions can be revoked
	outage   outage
}

// NewManager validates all of cfg and reports every fault at once, joined by errors.Join. It
// connects to nothing.
func NewManager(cfg Config) (*Manager, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	attributes, err := newCookieAttributes(cfg.CookieAttributes)
	if err != nil {
		return nil, err
	}
	m := &Manager{cfg: &cfg, values: cfg.Codec, cookies: attributes}
	if m.values == nil {
		m.values = JSONCodec{}
	}
	m.cfg.PreviousSecrets = slices.Clone(cfg.PreviousSecrets)
	m.cfg.Drivers = maps.Clone(cfg.Drivers)
	m.log = newEventLog(cfg.logger(), m.now)
	if err := m.makeSources(); err != nil {
		return nil, err
	}
	m.main = m.sources[cfg.driverName()]
	return m, nil
}

func (m *Manager) makeSources() error {
	m.memory = NewMemoryDriver(m.cfg.Memory)
	var err error
	if m.redis, err = NewRedisDriver(m.cfg.Redis); err != nil {
		return err
	}
	m.sources = make(map[string]*source)
	m.addSource("memory", m.memory)
	m.addSource("redis", m.redis)
	if m.cfg.Secret == "" {
		m.addSource("cookie", nil).err = errors.New("session: the cookie driver needs Config.Secret: " +
			"make one with session.NewSecret, or `head -c 32 /dev/urandom | base64`")
	} else {
		sealing, err := NewCookieDriver(m.cfg.Cookie, m.cfg.Secret, m.cfg.PreviousSecrets...)
		if err != nil {
			return err
		}
		m.addSource("cookie", sealing)
	}
	for name, driver := range m.cfg.Drivers {
		m.addSource(name, driver)
	}
	m.addIndexes()
	return nil
}

// addIndexes finds out where each driver's index of users is kept: in the driver itself, or, of
// a cookie driver, where CookieConfig.Revocation says.
func (m *Manager) addIndexes() {
	for _, src := range m.sources {
		if d, ok := src.driver.(*CookieDriver); ok {
			m.addGuard(src, d.cfg)
		} else if !src.byIP {
			src.index, _ = src.driver.(accountIndex)
		}
	}
}

func (m *Manager) addGuard(src *source, cfg CookieConfig) {
	if cfg.Revocation == "" {
		return
	}
	home := m.sources[cfg.Revocation]
	src.index, src.local = home.driver.(accountIndex), false // validateRevocation has looked
	src.guard = &guard{stands: src.index, home: home, scope: src.cookie + " stand-in", window: cfg.revocationWindow()}
}

func (m *Manager) addSource(name string, driver Driver) *source {
	src := &source{name: name, driver: driver, cookie: m.cfg.CookieAttributes.prefix() + name}
	src.hint = src.cookie + hintSuffix
	var idle time.Duration // a driver's own goes first
	switch d := driver.(type) {
	case *MemoryDriver:
		idle, src.flashTTL, src.byIP, src.local = d.cfg.IdleTimeout, d.cfg.FlashTTL, d.cfg.ByClientIP, true
	case *CookieDriver:
		idle, src.flashTTL, src.sealed, src.local = d.cfg.IdleTimeout, d.cfg.FlashTTL, true, true
	case *RedisDriver:
		idle, src.flashTTL = d.cfg.IdleTimeout, d.cfg.FlashTTL
	}
	src.limits = Limits{Lifetime: m.cfg.lifetime(), Idle: m.cfg.idleTimeoutOr(idle)}
	m.sources[name] = src
	if src.byIP {
		m.byIP = append(m.byIP, src)
	}
	return src
}

// source returns a named driver that can be used.
func (m *Manager) source(name string) (*source, error) {
	src, ok := m.sources[name]
	if !ok {
		return nil, m.cfg.unknownDriver(name)
	}
	return src, src.err
}

func (m *Manager) codec() Codec { return m.values }

// now returns the time where there is no request to ask.
func (m *Manager) now() time.Time {
	if m.clock != nil {
		return m.clock()
	}
	return time.Now()
}

// FromContext returns this manager's session, where several managers are nested. It panics
// where this manager's middleware did not run.
func (m *Manager) FromContext(ctx context.Context) *Session {
	if s, ok := m.Lookup(ctx); ok {
		return s
	}
	panic("session: Manager.FromContext: this manager's session is not in the context; " +
		"wrap the handler with its Middleware")
}

// Lookup is FromContext for code that also runs without the middleware: ok says whether it ran.
func (m *Manager) Lookup(ctx context.Context) (s *Session, ok bool) {
	if q := requestIn(ctx).under(m); q != nil {
		return q.session(), true
	}
	return nil, false
}

// Ping asks the default driver, and each other that a request has used, whether its store
// answers; drivers that cannot tell are taken to be well. Its errors are an ErrUnavailable, or
// a configuration that the store refuses. Use it for a health check; bound it with ctx.
func (m *Manager) Ping(ctx context.Context) error {
	if m.closed.Load() {
		return ErrClosed
	}
	var faults []error
	for _, name := range m.cfg.driverNames() {
		src := m.sources[name]
		p, ok := src.driver.(pinger)
		if !ok || (src != m.main && !src.used.Load()) {
			continue
		}
		if err := p.Ping(ctx); err != nil {
			faults = append(faults, sortError("ping driver "+name, err))
		}
	}
	return errors.Join(faults...)
}

// Close stops what the manager started and closes the pools it opened. Drivers of
// Config.Drivers and a pool of RedisOptions.Pool are their maker's to close. Sessions opened
// afterwards are ErrUnavailable. Close is idempotent.
func (m *Manager) Close() error {
	m.closed.Store(true)
	return m.redis.Close()
}

// heard takes what a store answered to an operation: it logs when an outage begins and ends,
// once each.
func (m *Manager) heard(src *source, op operation, err error) error {
	if err == nil {
		if src.outage.failing.Load() != 0 && m.log.served(src, op) {
			m.emit(Event{Kind: EventAvailable, Driver: src.name})
		}
		return nil
	}
	if errors.Is(err, ErrUnavailable) {
		m.stats.unavailable.Add(1)
		if m.log.unavailable(src, op, err) {
			m.emit(Event{Kind: EventUnavailable, Driver: src.name, Err: err})
		}
	}
	return err
}

// Stats are counters since the manager was made, like sql.DBStats. It is an expvar.Var; one that
// is always up to date is published by
//
//	expvar.Publish("session", expvar.Func(func() any { return manager.Stats() }))
type Stats struct {
	Loads       uint64 // look-ups in a driver
	Saves       uint64 // saves by a driver
	Destroys    uint64 // sessions ended by Destroy
	Unknown     uint64 // tokens that opened nothing: expired, or never issued
	Tampered    uint64 // cookies that cannot be ours
	Duplicates  uint64 // requests with several different cookies of the session's name
	Dropped     uint64 // requests whose changes went, since the session had ended meanwhile
	LateChanges uint64 // changes after the header that could not be stored
	Unreadable  uint64 // values that could not be read as asked
	Failed      uint64 // requests that were answered by the ErrorHandler
	Unavailable uint64 // operations that a store did not serve
	Retries     uint64 // operations that redis drivers tried once more on a fresh connection
	Sessions    int64  // stored by the memory driver; expired ones count until they are met
	Evictions   uint64 // sessions that the memory driver dropped to stay within MaxSessions
}

type counters struct {
	loads, saves, destroys, unknown, tampered, doubles atomic.Uint64
	dropped, late, unreadable, failed, unavailable     atomic.Uint64
}

// Stats returns the counters.
func (m *Manager) Stats() Stats {
	c := &m.stats
	stats := Stats{
		Loads: c.loads.Load(), Saves: c.saves.Load(), Destroys: c.destroys.Load(),
		Unknown: c.unknown.Load(), Tampered: c.tampered.Load(), Duplicates: c.doubles.Load(),
		Dropped: c.dropped.Load(), LateChanges: c.late.Load(), Unreadable: c.unreadable.Load(),
		Failed: c.failed.Load(), Unavailable: c.unavailable.Load(),
		Sessions: m.memory.len(), Evictions: m.memory.evictions.Load(),
	}
	for _, src := range m.sources {
		if d, ok := src.driver.(*RedisDriver); ok {
			stats.Retries += d.retries()
		}
	}
	return stats
}

// String returns the counters as JSON, as expvar asks for.
func (s Stats) String() string {
	text, err := json.Marshal(s)
	if err != nil { // never: there are numbers only
		return "{}"
	}
	return string(text)
}

// String names the manager by its drivers.
func (m *Manager) String() string {
	return fmt.Sprintf("session.Manager(%s; drivers %s)", m.main.name, strings.Join(m.cfg.driverNames(), ", "))
}

// LogValue keeps slog from walking into the manager.
func (m *Manager) LogValue() slog.Value { return slog.StringValue(m.String()) }
