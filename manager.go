package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"example.com/session/driver"
	"example.com/session/internal/cookie"
	"example.com/session/internal/hooks"
)

// A Manager holds named drivers and makes the middleware. It is safe for concurrent use. A program
// with several kinds of sessions needs one for each.
type Manager struct {
	cfg          *Config // a pointer, because fmt does not follow it to the secrets
	codec        Codec
	cookies      *cookie.Writer
	main         *source // the default driver
	sources      map[string]*source
	ordered      []*source     // by name
	redis        Driver        // of Config.Redis; the manager closes it
	failed       atomic.Uint64 // requests that got the error answer
	log          *eventLog
	clock        func() time.Time // for tests; nil: the system's
	closed       atomic.Bool
	storeTimeout time.Duration
	addressKey   []byte // for ByClientIP: ids of addresses are different in each process
}

// NewManager validates all of cfg and reports all problems together, joined by errors.Join. It
// connects to nothing.
func NewManager(cfg Config) (*Manager, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.PreviousSecrets, cfg.Drivers = slices.Clone(cfg.PreviousSecrets), maps.Clone(cfg.Drivers)
	m := &Manager{
		cfg:     &cfg,
		codec:   cfg.Codec,
		cookies: cookie.NewWriter(cfg.CookieAttributes.internal()),
		sources: make(map[string]*source),
	}
	if m.codec == nil {
		m.codec = jsonCodec{}
	}
	m.log = newEventLog(cfg.logger(), m.now)
	m.storeTimeout = cfg.storeTimeout()
	m.addressKey = make([]byte, 32)
	rand.Read(m.addressKey)
	if err := m.addSources(); err != nil {
		return nil, err
	}
	m.main = m.sources[cfg.driverName()]
	return m, nil
}

func (m *Manager) addSources() error {
	var err error
	if m.redis, err = NewRedisDriver(m.cfg.Redis); err != nil {
		return err
	}
	m.addSource(builtinMemory, newMemoryDriver(m.cfg.Memory, m.evicted)).configured = m.cfg.Memory != MemoryConfig{}
	m.addSource(builtinRedis, m.redis).configured = m.cfg.Redis != RedisConfig{}
	m.addSource(builtinCookie, nil)
	for name, d := range m.cfg.Drivers {
		m.addSource(name, d).configured = true
	}
	m.ordered = slices.SortedFunc(maps.Values(m.sources), func(a, b *source) int { return strings.Compare(a.name, b.name) })
	return m.addCookieDriver(m.sources[builtinCookie])
}

// addCookieDriver makes the cookie driver, which needs a secret, and maybe another driver for
// Revocation.
func (m *Manager) addCookieDriver(src *source) error {
	src.configured = m.cfg.Cookie != CookieConfig{}
	if m.cfg.Secret == "" {
		src.err = errors.New("session: the cookie driver needs Config.Secret: " +
			"make one with session.NewSecret, or `head -c 32 /dev/urandom | base64`")
		return nil
	}
	d, err := newCookieDriver(m.cfg, src.cookie)
	if err != nil {
		return err
	}
	if home := m.sources[m.cfg.Cookie.Revocation]; home != nil {
		home.configured = true
		d.revocation = &revocation{home: home, window: m.cfg.Cookie.revocationWindow()}
		src.index, src.clock = home.index, home.clock
	}
	src.driver, src.cookies, src.local = d, d, d.revocation == nil
	return nil
}

func (m *Manager) addSource(name string, d driver.Driver) *source {
	src := &source{name: name, driver: d, cookie: m.cfg.CookieAttributes.prefix() + name, assurance: m.cfg.Assurance}
	src.hint = src.cookie + hintSuffix
	own := m.cfg.ownLimits(name)
	src.limits = driver.Limits{Lifetime: m.cfg.lifetime(), Idle: m.cfg.idleTimeout(own.idle)}
	src.flashTTL = own.flashTTL
	src.lockAfter = m.cfg.LockAfter
	if name == builtinMemory {
		src.local, src.byIP = true, m.cfg.Memory.ByClientIP
	}
	if !src.byIP {
		src.index, _ = d.(driver.Index)
	}
	src.clock, _ = d.(driver.Clock)
	m.sources[name] = src
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

func (m *Manager) now() time.Time {
	if m.clock != nil {
		return m.clock()
	}
	return time.Now()
}

func init() {
	hooks.SetClock = func(m any, now func() time.Time) { m.(*Manager).clock = now }
}

// FromContext returns this manager's session, for nested managers. It panics if this manager's
// middleware did not run.
func (m *Manager) FromContext(ctx context.Context) *Session {
	if s, ok := m.Lookup(ctx); ok {
		return s
	}
	if stateIn(ctx) != nil {
		panic("session: Manager.FromContext: this manager's session is not in the context; " +
			"wrap the handler with its Middleware")
	}
	panic("session: Manager.FromContext: " + whyNoSession(ctx))
}

// Lookup is FromContext for code that also runs without the middleware. ok reports whether the
// middleware ran.
func (m *Manager) Lookup(ctx context.Context) (s *Session, ok bool) {
	if r := stateIn(ctx).of(m); r != nil {
		return r.session(), true
	}
	return nil, false
}

// Ping checks that the stores of the default driver, and of each other driver that a request has
// used, can be reached. A driver without a Ping method counts as available. Ping returns
// ErrUnavailable, ErrClosed, or an error about a configuration that the store refuses. Use it for a
// health check, with a deadline in ctx.
func (m *Manager) Ping(ctx context.Context) error {
	if m.closed.Load() {
		return ErrClosed
	}
	var faults []error
	for _, src := range m.ordered {
		p, ok := src.store().(driver.Pinger)
		if !ok || src != m.main && !src.used.Load() {
			continue
		}
		if err := p.Ping(ctx); err != nil {
			faults = append(faults, fmt.Errorf("session: ping driver %s: %w", src.name, classify("ping driver "+src.name, err)))
		}
	}
	return errors.Join(faults...)
}

// Close closes the connections that the manager has opened. The caller closes the drivers of
// Config.Drivers and RedisOptions.Client. A session that is opened afterwards fails with
// ErrUnavailable, which wraps ErrClosed. Close may be called more than once.
func (m *Manager) Close() error {
	m.closed.Store(true)
	return m.redis.(io.Closer).Close()
}

// evicted reports a session that the memory driver has dropped to stay within MaxSessions.
func (m *Manager) evicted(ctx context.Context, rec *driver.Record) {
	m.emit(context.WithoutCancel(ctx), Event{
		Kind: EventEvicted, Driver: builtinMemory, Handle: rec.ID().String(), User: rec.User(),
	})
}

// String returns the names of the manager's drivers.
func (m *Manager) String() string {
	return fmt.Sprintf("session.Manager(%s; drivers %s)", m.main.name, strings.Join(m.cfg.driverNames(), ", "))
}

// Format prints the result of String for every verb, so that fmt prints no secret of the
// configuration.
func (m *Manager) Format(f fmt.State, _ rune) { io.WriteString(f, m.String()) }

// LogValue returns the result of String, so that slog logs no secret of the configuration.
func (m *Manager) LogValue() slog.Value { return slog.StringValue(m.String()) }
