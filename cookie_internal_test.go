package session

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ValidateConfig is what NewManager asks, for the tests of package session_test.
var ValidateConfig = Config.validate

func mustCookieAttributes(t testing.TB, a CookieAttributes) *cookieAttributes {
	t.Helper()
	c, err := newCookieAttributes(a)
	require.NoError(t, err)
	return c
}

func TestZeroConfigMeansTheDocumentedDefaults(t *testing.T) {
	var c Config
	assert.Equal(t, "cookie", c.driverName())
	assert.Equal(t, 24*time.Hour, c.lifetime())
	assert.Equal(t, time.Hour, c.idleTimeout())
	assert.Equal(t, time.Hour, c.idleTimeoutOr(0))
	assert.Equal(t, time.Minute, c.idleTimeoutOr(time.Minute), "a driver's own goes first")
	assert.Equal(t, 3*time.Second, c.storeTimeout())
	assert.Same(t, slog.Default(), c.logger())
	assert.Equal(t, []string{"cookie", "memory", "redis"}, c.driverNames())

	assert.Equal(t, "s_", c.CookieAttributes.prefix())
	assert.Equal(t, "/", c.CookieAttributes.path())
	assert.Equal(t, http.SameSiteLaxMode, c.CookieAttributes.sameSite())
	assert.Equal(t, SecureAuto, c.CookieAttributes.Secure)
	assert.Equal(t, 1_000_000, c.Memory.maxSessions())

	assert.Equal(t, "127.0.0.1", c.Redis.host())
	assert.Equal(t, 6379, c.Redis.port())
	assert.Equal(t, "session", c.Redis.namespace())
	assert.Equal(t, 64, c.Redis.maxIdle())
	assert.Equal(t, 64, c.Redis.maxActive())
	assert.Equal(t, 4*time.Minute, c.Redis.idleConnTimeout())
	assert.Equal(t, time.Second, c.Redis.poolWait())
	assert.Equal(t, time.Second, c.Redis.dialTimeout())
	assert.Equal(t, time.Second, c.Redis.readTimeout())
	assert.Equal(t, time.Second, c.Redis.writeTimeout())
}

func TestSetFieldsGoBeforeTheDefaults(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	c := Config{
		Default: "memory", Lifetime: 1, IdleTimeout: 2, StoreTimeout: 3, Logger: logger,
		CookieAttributes: CookieAttributes{Prefix: "p", Path: "/q", SameSite: http.SameSiteNoneMode},
		Memory:           MemoryConfig{MaxSessions: 4},
		Redis: RedisConfig{Host: "h", Port: 5, Namespace: "n", Options: RedisOptions{
			MaxIdle: 6, MaxActive: 7, IdleConnTimeout: 8, PoolWait: 9,
			DialTimeout: 10, ReadTimeout: 11, WriteTimeout: 12}},
		Drivers: map[string]Driver{"b": nil, "memory": nil},
	}
	assert.Equal(t, "memory", c.driverName())
	assert.Equal(t, []time.Duration{1, 2, 3}, []time.Duration{c.lifetime(), c.idleTimeout(), c.storeTimeout()})
	assert.Same(t, logger, c.logger())
	assert.Equal(t, []string{"b", "cookie", "memory", "redis"}, c.driverNames())
	assert.Equal(t, "p/q", c.CookieAttributes.prefix()+c.CookieAttributes.path())
	assert.Equal(t, http.SameSiteNoneMode, c.CookieAttributes.sameSite())
	assert.Equal(t, "h n", c.Redis.host()+" "+c.Redis.namespace())
	assert.Equal(t, []int{4, 5, 6, 7},
		[]int{c.Memory.maxSessions(), c.Redis.port(), c.Redis.maxIdle(), c.Redis.maxActive()})
	assert.Equal(t, []time.Duration{8, 9, 10, 11, 12}, []time.Duration{c.Redis.idleConnTimeout(),
		c.Redis.poolWait(), c.Redis.dialTimeout(), c.Redis.readTimeout(), c.Redis.writeTimeout()})
}

func TestNegativePoolLimitsMeanNone(t *testing.T) {
	c := RedisConfig{Options: RedisOptions{MaxIdle: -1, MaxActive: -1, IdleConnTimeout: -1, PoolWait: -1}}
	require.NoError(t, c.validate())
	assert.Zero(t, c.maxIdle())
	assert.Zero(t, c.maxActive())
	assert.Zero(t, c.idleConnTimeout())
	assert.Zero(t, c.poolWait())
	assert.Equal(t, 1_000_000, MemoryConfig{MaxSessions: -1}.maxSessions(), "unvalidated")
}

func TestUnknownDriverIsToldTheKnownOnes(t *testing.T) {
	err := Config{Drivers: map[string]Driver{"files": nil}}.unknownDriver("reddis")
	assert.ErrorIs(t, err, ErrUnknownDriver)
	assert.EqualError(t, err, `session: unknown driver "reddis": known are cookie, files, memory, redis`)
}

func TestSetCookieLine(t *testing.T) {
	tests := []struct {
		name   string
		attrs  CookieAttributes
		maxAge time.Duration
		secure bool
		want   string
	}{
		{
			name: "defaults over plain loopback", maxAge: time.Hour,
			want: "s_redis=v; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax",
		},
		{
			name: "defaults over TLS", maxAge: time.Hour, secure: true,
			want: "s_redis=v; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax",
		},
		{
			name: "no Max-Age for zero", secure: true,
			want: "s_redis=v; Path=/; HttpOnly; Secure; SameSite=Lax",
		},
		{
			name: "a fraction of a second is rounded up", maxAge: time.Second + 1,
			want: "s_redis=v; Path=/; Max-Age=2; HttpOnly; SameSite=Lax",
		},
		{
			name: "less than a second does not delete", maxAge: 1,
			want: "s_redis=v; Path=/; Max-Age=1; HttpOnly; SameSite=Lax",
		},
		{
			name: "what has passed does not delete", maxAge: -time.Hour,
			want: "s_redis=v; Path=/; Max-Age=1; HttpOnly; SameSite=Lax",
		},
		{
			name: "the longest duration does not overflow", maxAge: 1<<63 - 1,
			want: "s_redis=v; Path=/; Max-Age=9223372037; HttpOnly; SameSite=Lax",
		},
		{
			name: "everything set", maxAge: maxLifetime, secure: true,
			attrs: CookieAttributes{Path: "/shop", Domain: "example.com", SameSite: http.SameSiteNoneMode, Partitioned: true},
			want: "s_redis=v; Path=/shop; Domain=example.com; Max-Age=34560000; HttpOnly; Secure; " +
				"SameSite=None; Partitioned",
		},
		{
			name: "SameSite=None is never without Secure", attrs: CookieAttributes{SameSite: http.SameSiteNoneMode},
			want: "s_redis=v; Path=/; HttpOnly; Secure; SameSite=None",
		},
		{
			name: "SameSite default is written as Lax", attrs: CookieAttributes{SameSite: http.SameSiteDefaultMode},
			want: "s_redis=v; Path=/; HttpOnly; SameSite=Lax",
		},
		{
			name: "strict", attrs: CookieAttributes{SameSite: http.SameSiteStrictMode},
			want: "s_redis=v; Path=/; HttpOnly; SameSite=Strict",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := mustCookieAttributes(t, tt.attrs)
			assert.Equal(t, tt.want, a.appendSet("s_redis", "v", tt.maxAge, tt.secure))
		})
	}
}

// everyAttributes yields each combination of attributes that is valid.
func everyAttributes(yield func(CookieAttributes) bool) {
	sites := []http.SameSite{0, http.SameSiteLaxMode, http.SameSiteStrictMode, http.SameSiteNoneMode}
	for bits := range 1 << 3 {
		for _, site := range sites {
			for mode := SecureAuto; mode <= SecureNever; mode++ {
				a := CookieAttributes{SameSite: site, Secure: mode, Partitioned: bits&1 != 0}
				if bits&2 != 0 {
					a.Domain = "www.example.com"
				}
				if bits&4 != 0 {
					a.Path = "/app"
				}
				if _, err := newCookieAttributes(a); err == nil && !yield(a) {
					return
				}
			}
		}
	}
}

func TestSetCookieLinesParseBackToWhatWasMeant(t *testing.T) {
	n := 0
	for a := range everyAttributes {
		for _, secure := range []bool{false, true} {
			n++
			c := mustCookieAttributes(t, a)
			wantSecure := secure || a.Partitioned || a.SameSite == http.SameSiteNoneMode

			set, err := http.ParseSetCookie(c.appendSet("s_cookie", "abc-_", time.Minute, secure))
			require.NoError(t, err)
			assert.Equal(t, "s_cookie=abc-_", set.Name+"="+set.Value)
			assert.Equal(t, 60, set.MaxAge)
			assertScope(t, a, wantSecure, a.Domain, set)

			gone, err := http.ParseSetCookie(c.clear("s_cookie", secure))
			require.NoError(t, err)
			assertDeleted(t, gone)
			assertScope(t, a, wantSecure, a.Domain, gone)

			gone, err = http.ParseSetCookie(c.clearHostOnly("s_cookie", secure))
			require.NoError(t, err)
			assertDeleted(t, gone)
			assertScope(t, a, wantSecure, "", gone)
		}
	}
	assert.Greater(t, n, 100)
}

func assertScope(t *testing.T, a CookieAttributes, secure bool, domain string, got *http.Cookie) {
	t.Helper()
	assert.NoError(t, got.Valid())
	assert.Equal(t, a.path(), got.Path)
	assert.Equal(t, domain, got.Domain)
	assert.Equal(t, secure, got.Secure)
	assert.True(t, got.HttpOnly)
	assert.Equal(t, a.sameSite(), got.SameSite)
	assert.Equal(t, a.Partitioned, got.Partitioned)
	assert.Empty(t, got.Unparsed)
}

func assertDeleted(t *testing.T, got *http.Cookie) {
	t.Helper()
	assert.Empty(t, got.Value)
	assert.Equal(t, -1, got.MaxAge)
	assert.True(t, got.Expires.Equal(time.Unix(0, 0)), "Expires is %v", got.RawExpires)
}

func TestClearedCookieLine(t *testing.T) {
	a := mustCookieAttributes(t, CookieAttributes{Domain: "example.com"})
	assert.Equal(t, "s_x=; Path=/; Domain=example.com; Max-Age=0; "+
		"Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Lax", a.clear("s_x", true))
	assert.Equal(t, "s_x=; Path=/; Max-Age=0; "+
		"Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax", a.clearHostOnly("s_x", false))
}

func TestAttributesThatBrowsersWouldSilentlyRefuse(t *testing.T) {
	tests := []struct {
		name  string
		attrs CookieAttributes
		want  []string // one for each fault; none: accepted
	}{
		{name: "zero value", attrs: CookieAttributes{}},
		{name: "__Host- alone", attrs: CookieAttributes{Prefix: "__Host-"}},
		{name: "__Host- with its path spelt out", attrs: CookieAttributes{Prefix: "__Host-", Path: "/"}},
		{name: "__Host- always", attrs: CookieAttributes{Prefix: "__Host-", Secure: SecureAlways}},
		{name: "__Secure- with domain and path", attrs: CookieAttributes{Prefix: "__Secure-", Path: "/a", Domain: "example.com"}},
		{name: "__Http- with domain and path", attrs: CookieAttributes{Prefix: "__Http-", Path: "/a", Domain: "example.com"}},
		{name: "names that only look like a prefix", attrs: CookieAttributes{Prefix: "__Hosts-", Path: "/a", Secure: SecureNever}},
		{name: "one underscore is no prefix", attrs: CookieAttributes{Prefix: "_Host-", Path: "/a", Secure: SecureNever}},
		{
			name:  "__Host- with everything wrong at once",
			attrs: CookieAttributes{Prefix: "__Host-", Path: "/a", Domain: "example.com", Secure: SecureNever},
			want:  []string{"Prefix: browsers refuse a __Host- cookie whose Path", "Prefix: browsers refuse a __Host- cookie with a Domain", "Secure: SecureNever with the name prefix __Host-"},
		},
		{
			name:  "__host- in another letter case",
			attrs: CookieAttributes{Prefix: "__hOST-s_", Path: "/a"},
			want:  []string{"__Host- cookie whose Path"},
		},
		{
			name:  "__host-http- in another letter case",
			attrs: CookieAttributes{Prefix: "__HOST-HTTP-", Domain: "example.com", Secure: SecureNever},
			want:  []string{"__Host-Http- cookie with a Domain", "prefix __Host-Http-"},
		},
		{name: "__secure- without Secure", attrs: CookieAttributes{Prefix: "__secure-", Secure: SecureNever}, want: []string{"prefix __Secure-"}},
		{name: "__http- without Secure", attrs: CookieAttributes{Prefix: "__HTTP-", Secure: SecureNever}, want: []string{"prefix __Http-"}},
		{
			name:  "SameSite=None and Partitioned without Secure",
			attrs: CookieAttributes{SameSite: http.SameSiteNoneMode, Partitioned: true, Secure: SecureNever},
			want:  []string{"Secure: SecureNever with SameSite=None", "Secure: SecureNever with Partitioned"},
		},
		{name: "SecureNever alone is allowed", attrs: CookieAttributes{Secure: SecureNever}},
		{name: "no such secure mode", attrs: CookieAttributes{Secure: 3}, want: []string{"Secure: 3 is not a mode"}},
		{name: "no such SameSite", attrs: CookieAttributes{SameSite: 5}, want: []string{"SameSite: 5 is not a mode"}},
		{name: "negative SameSite", attrs: CookieAttributes{SameSite: -1}, want: []string{"SameSite: -1 is not a mode"}},
		{name: "space in the name", attrs: CookieAttributes{Prefix: "a b"}, want: []string{"Prefix: \"a b\" is not allowed"}},
		{name: "name that ends the pair", attrs: CookieAttributes{Prefix: "a;"}, want: []string{"Prefix: \"a;\" is not allowed"}},
		{name: "name with a value in it", attrs: CookieAttributes{Prefix: "a=b"}, want: []string{"Prefix: \"a=b\" is not allowed"}},
		{name: "header injection by the name", attrs: CookieAttributes{Prefix: "a\r\nX: y"}, want: []string{"Prefix: "}},
		{name: "name in another script", attrs: CookieAttributes{Prefix: "séance"}, want: []string{"Prefix: "}},
		{name: "name too long", attrs: CookieAttributes{Prefix: strings.Repeat("a", 65)}, want: []string{"Prefix: 65 bytes, at most 64"}},
		{name: "longest name", attrs: CookieAttributes{Prefix: strings.Repeat("a", 64)}},

		{name: "relative path", attrs: CookieAttributes{Path: "app"}, want: []string{`Path: "app" does not begin`}},
		{name: "path that ends the attribute", attrs: CookieAttributes{Path: "/;HttpOnly"}, want: []string{"Path: "}},
		{name: "header injection by the path", attrs: CookieAttributes{Path: "/\r\nX: y"}, want: []string{"Path: "}},
		{name: "path with a query", attrs: CookieAttributes{Path: "/a?b"}, want: []string{"percent-encode"}},
		{name: "path with a space", attrs: CookieAttributes{Path: "/a b"}, want: []string{"percent-encode"}},
		{name: "path in another script", attrs: CookieAttributes{Path: "/é"}, want: []string{"percent-encode"}},
		{name: "path percent-encoded", attrs: CookieAttributes{Path: "/a%20b/~c,d=e"}},
		{name: "longest path", attrs: CookieAttributes{Path: "/" + strings.Repeat("a", 1023)}},
		{name: "path too long", attrs: CookieAttributes{Path: "/" + strings.Repeat("a", 1024)}, want: []string{"Path: 1025 bytes, browsers ignore it above 1024"}},

		{name: "domain", attrs: CookieAttributes{Domain: "xn--bcher-kva.Example-1.com"}},
		{name: "leading dot", attrs: CookieAttributes{Domain: ".example.com"}, want: []string{"begins with a dot"}},
		{name: "trailing dot", attrs: CookieAttributes{Domain: "example.com."}, want: []string{"ends with a dot"}},
		{name: "port", attrs: CookieAttributes{Domain: "example.com:8080"}, want: []string{"has a colon"}},
		{name: "URL", attrs: CookieAttributes{Domain: "https://example.com"}, want: []string{"has a colon"}},
		{name: "space", attrs: CookieAttributes{Domain: "example. com"}, want: []string{"is not a host name"}},
		{name: "blank", attrs: CookieAttributes{Domain: " "}, want: []string{"is not a host name"}},
		{name: "domain that ends the attribute", attrs: CookieAttributes{Domain: "example.com;x"}, want: []string{"is not a host name"}},
		{name: "empty label", attrs: CookieAttributes{Domain: "example..com"}, want: []string{"is not a host name"}},
		{name: "hyphen first", attrs: CookieAttributes{Domain: "-a.com"}, want: []string{"is not a host name"}},
		{name: "hyphen last", attrs: CookieAttributes{Domain: "a-.com"}, want: []string{"is not a host name"}},
		{name: "underscore", attrs: CookieAttributes{Domain: "a_b.com"}, want: []string{"is not a host name"}},
		{name: "wildcard", attrs: CookieAttributes{Domain: "*.example.com"}, want: []string{"is not a host name"}},
		{name: "another script", attrs: CookieAttributes{Domain: "bücher.example"}, want: []string{"xn-- form"}},
		{name: "long label", attrs: CookieAttributes{Domain: strings.Repeat("a", 64) + ".com"}, want: []string{"is not a host name"}},
		{name: "one label", attrs: CookieAttributes{Domain: "localhost"}, want: []string{"has no dot"}},
		{name: "IPv4", attrs: CookieAttributes{Domain: "127.0.0.1"}, want: []string{"is an IP address"}},
		{name: "IPv4 in short", attrs: CookieAttributes{Domain: "127.1"}, want: []string{"is an IP address"}},
		{name: "IPv4 in hex", attrs: CookieAttributes{Domain: "127.0x1"}, want: []string{"is an IP address"}},
		{name: "IPv6", attrs: CookieAttributes{Domain: "::1"}, want: []string{"is an IP address"}},
		{name: "IPv6 in brackets", attrs: CookieAttributes{Domain: "[::1]"}, want: []string{"is an IP address"}},
		{name: "no host name is that long", attrs: CookieAttributes{Domain: strings.Repeat("a.", 127) + "a"}, want: []string{"at most 253"}},
		{name: "domain too long", attrs: CookieAttributes{Domain: strings.Repeat("a.", 512) + "a"}, want: []string{"Domain: 1025 bytes, browsers ignore it above 1024"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newCookieAttributes(tt.attrs)
			assertFaults(t, err, tt.want)
		})
	}
}

// assertFaults checks that err has one line for each wanted text, and no other.
func assertFaults(t *testing.T, err error, want []string) {
	t.Helper()
	if len(want) == 0 {
		assert.NoError(t, err)
		return
	}
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	for _, line := range lines {
		assert.True(t, strings.HasPrefix(line, "session: Config."), line)
	}
	for _, text := range want {
		assert.True(t, slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, text) }),
			"%q is missing in %s", text, err)
	}
	assert.Len(t, lines, len(want), err.Error())
}

func TestSecureIsLeftOutOnLoopbackOnly(t *testing.T) {
	tests := []struct {
		name          string
		attrs         CookieAttributes
		remote, host  string
		tls           bool
		header        string
		secure, plain bool
	}{
		{name: "localhost", remote: "127.0.0.1:1", host: "localhost"},
		{name: "localhost with port", remote: "127.0.0.1:1", host: "localhost:8080"},
		{name: "localhost in capitals", remote: "127.0.0.1:1", host: "LocalHost:8080"},
		{name: "name below localhost", remote: "[::1]:1", host: "shop.localhost:8080"},
		{name: "IPv4", remote: "127.0.0.1:1", host: "127.0.0.1:8080"},
		{name: "IPv4 elsewhere in 127/8", remote: "127.9.9.9:1", host: "127.1.2.3"},
		{name: "IPv6", remote: "[::1]:1", host: "[::1]:8080"},
		{name: "IPv6 without port", remote: "[::1]:1", host: "[::1]"},
		{name: "IPv4 in IPv6", remote: "[::ffff:127.0.0.1]:1", host: "localhost"},
		{name: "RemoteAddr without port", remote: "::1", host: "localhost"},
		{name: "unrelated headers", remote: "127.0.0.1:1", host: "localhost", header: "X-Requested-With"},

		{name: "TLS on loopback", remote: "127.0.0.1:1", host: "localhost", tls: true, secure: true},
		{name: "TLS from elsewhere", remote: "192.0.2.1:1", host: "example.com", tls: true, secure: true},
		{name: "plain from elsewhere", remote: "192.0.2.1:1", host: "example.com", secure: true, plain: true},
		{name: "from elsewhere with a forged Host", remote: "192.0.2.1:1", host: "localhost", secure: true, plain: true},
		{name: "proxy on this host", remote: "127.0.0.1:1", host: "example.com", secure: true, plain: true},
		{name: "name that ends like localhost", remote: "127.0.0.1:1", host: "evillocalhost", secure: true, plain: true},
		{name: "empty label below localhost", remote: "127.0.0.1:1", host: ".localhost", secure: true, plain: true},
		{name: "localhost as a label", remote: "127.0.0.1:1", host: "localhost.example.com", secure: true, plain: true},
		{name: "folded letter", remote: "127.0.0.1:1", host: "localho\u017ft", secure: true, plain: true},
		{name: "name that begins like 127", remote: "127.0.0.1:1", host: "127.0.0.1.example.com", secure: true, plain: true},
		{name: "brackets around a name", remote: "127.0.0.1:1", host: "[localhost]", secure: true, plain: true},
		{name: "brackets not closed", remote: "127.0.0.1:1", host: "[::1", secure: true, plain: true},
		{name: "brackets and more", remote: "127.0.0.1:1", host: "[::1]example.com", secure: true, plain: true},
		{name: "no Host", remote: "127.0.0.1:1", host: "", secure: true, plain: true},
		{name: "unix socket", remote: "@", host: "localhost", secure: true, plain: true},
		{name: "no RemoteAddr", remote: "", host: "localhost", secure: true, plain: true},
		{name: "Forwarded", remote: "127.0.0.1:1", host: "localhost", header: "Forwarded", secure: true, plain: true},
		{name: "X-Forwarded-For", remote: "127.0.0.1:1", host: "localhost", header: "X-Forwarded-For", secure: true, plain: true},
		{name: "X-Forwarded-Proto", remote: "127.0.0.1:1", host: "localhost", header: "X-Forwarded-Proto", secure: true, plain: true},
		{name: "X-Forwarded- and anything", remote: "127.0.0.1:1", host: "localhost", header: "X-Forwarded-Tls-Client", secure: true, plain: true},
		{name: "X-Real-Ip", remote: "127.0.0.1:1", host: "localhost", header: "X-Real-IP", secure: true, plain: true},
		{name: "Via", remote: "127.0.0.1:1", host: "localhost", header: "Via", secure: true, plain: true},

		{name: "always", attrs: CookieAttributes{Secure: SecureAlways}, remote: "127.0.0.1:1", host: "localhost", secure: true},
		{name: "always, from elsewhere: TLS ends in front", attrs: CookieAttributes{Secure: SecureAlways}, remote: "192.0.2.1:1", host: "example.com", secure: true},
		{name: "never", attrs: CookieAttributes{Secure: SecureNever}, remote: "192.0.2.1:1", host: "example.com"},
		{name: "never, over TLS", attrs: CookieAttributes{Secure: SecureNever}, remote: "192.0.2.1:1", host: "example.com", tls: true},
		{name: "SameSite=None means always", attrs: CookieAttributes{SameSite: http.SameSiteNoneMode}, remote: "127.0.0.1:1", host: "localhost", secure: true},
		{name: "Partitioned means always", attrs: CookieAttributes{Partitioned: true}, remote: "127.0.0.1:1", host: "localhost", secure: true},
		{name: "__Host- means always", attrs: CookieAttributes{Prefix: "__Host-"}, remote: "127.0.0.1:1", host: "localhost", secure: true},
		{name: "__secure- means always", attrs: CookieAttributes{Prefix: "__secure-"}, remote: "127.0.0.1:1", host: "localhost", secure: true},
		{name: "__Http- means always", attrs: CookieAttributes{Prefix: "__Http-"}, remote: "127.0.0.1:1", host: "localhost", secure: true},
		{name: "__Host- does not say where TLS ends", attrs: CookieAttributes{Prefix: "__Host-"}, remote: "192.0.2.1:1", host: "example.com", secure: true, plain: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr, r.Host = tt.remote, tt.host
			if tt.tls {
				r.TLS = &tls.ConnectionState{}
			}
			if tt.header != "" {
				r.Header.Set(tt.header, "x")
			}
			a := mustCookieAttributes(t, tt.attrs)
			secure, plain := a.secureFor(r)
			assert.Equal(t, tt.secure, secure, "Secure")
			assert.Equal(t, tt.plain, plain, "the warning")
		})
	}
}

// cookieTests are the seeds of FuzzFindCookie too.
var cookieTests = []struct {
	name    string
	lines   []string
	want    []string
	tooMany bool
}{
	{name: "no header"},
	{name: "empty line", lines: []string{""}},
	{name: "other cookies only", lines: []string{"a=1; b=2"}},
	{name: "alone", lines: []string{"s_c=v"}, want: []string{"v"}},
	{name: "first", lines: []string{"s_c=v; a=1"}, want: []string{"v"}},
	{name: "last", lines: []string{"a=1; s_c=v"}, want: []string{"v"}},
	{name: "without blanks", lines: []string{"a=1;s_c=v;b=2"}, want: []string{"v"}},
	{name: "in the second line", lines: []string{"a=1", "s_c=v"}, want: []string{"v"}},
	{name: "empty value", lines: []string{"s_c="}, want: []string{""}},
	{name: "value with equal signs", lines: []string{"s_c=a=b=="}, want: []string{"a=b=="}},
	{name: "equal values count once", lines: []string{"s_c=v; s_c=v", "s_c=v"}, want: []string{"v"}},
	{name: "two values", lines: []string{"s_c=v; s_c=w", "s_c=v"}, want: []string{"v", "w"}},
	{name: "four values", lines: []string{"s_c=1; s_c=2; s_c=3; s_c=4; s_c=1"}, want: []string{"1", "2", "3", "4"}},
	{name: "five values", lines: []string{"s_c=1; s_c=2; s_c=3", "s_c=4; s_c=5"}, want: []string{"1", "2", "3", "4"}, tooMany: true},
	{name: "name in another letter case", lines: []string{"S_C=v; s_C=w"}},
	{name: "longer and shorter names", lines: []string{"s_cc=v; s_=w; xs_c=y; s_c_f=1"}},
	{name: "nameless cookie that looks like ours", lines: []string{"s_c; =s_c=v; =s_c"}},
	{name: "name in a value", lines: []string{"a=s_c=v"}},
	{name: "blanks and tabs around", lines: []string{" \t s_c=v\t ; a=1", "a=1;\ts_c =w"}, want: []string{"v", "w"}},
	{name: "blank before the value stays", lines: []string{"s_c= v"}, want: []string{" v"}},
	{name: "U+2000 before the name", lines: []string{"\u2000s_c=v"}},
	{name: "no-break space before the name", lines: []string{"\u00a0s_c=v; \xa0s_c=v"}},
	{name: "vertical tab and form feed before the name", lines: []string{"\vs_c=v; \fs_c=v"}},
	{name: "line ends before the name", lines: []string{"\ns_c=v; \rs_c=v"}},
	{name: "NUL before the name", lines: []string{"\x00s_c=v"}},
	{name: "quotes stay", lines: []string{`s_c="v"`}, want: []string{`"v"`}},
	{name: "percent signs stay", lines: []string{"s_c=%76"}, want: []string{"%76"}},
	{name: "bytes that no cookie has stay", lines: []string{"s_c=a\\b\"c,d e\xff"}, want: []string{"a\\b\"c,d e\xff"}},
	{name: "comma does not separate", lines: []string{"a=1, s_c=v"}},
	{name: "separators only", lines: []string{";;;; ; ;"}},
	{name: "as many pairs as net/http reads", lines: []string{strings.Repeat("a=1;", 2999) + "s_c=v"}, want: []string{"v"}},
	{name: "more pairs than net/http reads", lines: []string{strings.Repeat("a=1;", 3000) + "s_c=v"}},
	{name: "more pairs in two lines", lines: []string{strings.Repeat("a=1;", 2000) + "s_c=v", strings.Repeat(";", 1000)}},
	{name: "too many pairs are no cookies, whatever they are", lines: []string{strings.Repeat("s_c=v;", 3001)}},
}

func TestFindCookie(t *testing.T) {
	for _, tt := range cookieTests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			for _, line := range tt.lines {
				h.Add("Cookie", line)
			}
			got := findCookie(h, "s_c")
			assert.Equal(t, len(tt.want), got.n)
			assert.Equal(t, tt.want, append([]string(nil), got.values[:got.n]...))
			assert.Equal(t, tt.tooMany, got.tooMany)
			for _, value := range tt.want {
				assert.True(t, hasCookie(h, "s_c", value), "hasCookie %q", value)
			}
			assert.False(t, hasCookie(h, "s_c", "another"))
		})
	}
	assert.Zero(t, findCookie(nil, "s_c").n)
	assert.Zero(t, findCookie(http.Header{"Cookie": {"=v"}}, "").n, "no name finds no nameless cookie")
	assert.False(t, hasCookie(nil, "s_c", ""))
	assert.False(t, hasCookie(http.Header{"Cookie": {"=v"}}, "", "v"))
}

func TestHasCookieSeesEachOfManyValues(t *testing.T) {
	h := http.Header{"Cookie": {"s=1; s=2; s=3; s=4; s=5; s=6"}}
	assert.True(t, hasCookie(h, "s", "6"))
	assert.False(t, hasCookie(h, "s", "7"))
}

func FuzzFindCookie(f *testing.F) {
	for _, tt := range cookieTests {
		if line := strings.Join(tt.lines, "; "); len(line) < 1000 {
			f.Add(line, "s_c")
		}
	}
	f.Add("a=1; a=2; b=3", "a")
	f.Fuzz(func(t *testing.T, line, name string) {
		r := &http.Request{Header: http.Header{"Cookie": {line}}}
		var got cookieValues
		assert.LessOrEqual(t, allocated(func() { got = findCookie(r.Header, name) }), uint64(allocBase))
		require.LessOrEqual(t, got.n, maxCookieValues)
		distinct := map[string]bool{}
		for _, value := range got.values[:got.n] {
			assert.False(t, distinct[value], "twice: %q", value)
			distinct[value] = true
			assert.Contains(t, line, value)
			assert.True(t, hasCookie(r.Header, name, value))
		}
		if got.n == 0 {
			assert.False(t, hasCookie(r.Header, name, ""))
		}
		if wellFormed(line) {
			assert.Equal(t, named(r, name), got, "%q in %q", name, line)
		}
		crumbs := http.Header{"Cookie": strings.Split(line, ";")}
		assert.Equal(t, got, findCookie(crumbs, name), "one header line for each pair")
	})
}

// wellFormed reports whether net/http reads every pair of the line, and as it stands.
func wellFormed(line string) bool {
	cookies, err := http.ParseCookie(line)
	quoted := func(c *http.Cookie) bool { return c.Quoted }
	return err == nil && !strings.ContainsAny(line, "\r\n") && !slices.ContainsFunc(cookies, quoted)
}

// named is findCookie by the means of net/http.
func named(r *http.Request, name string) (want cookieValues) {
	for _, c := range r.CookiesNamed(name) {
		want.add(c.Value)
	}
	return want
}

func TestNothingIsAllocatedForARequest(t *testing.T) {
	a := mustCookieAttributes(t, CookieAttributes{Domain: "example.com"})
	h := http.Header{"Cookie": {"a=1; s_c=" + strings.Repeat("v", 300) + "; s_c=w; b=2"}}
	r := httptest.NewRequest("GET", "http://localhost:8080/", nil)
	r.RemoteAddr = "127.0.0.1:4711"
	named := httptest.NewRequest("GET", "http://www.example.com/", nil)
	named.RemoteAddr = "127.0.0.1:4711"
	for i := range 20 {
		r.Header.Set(fmt.Sprint("X-Header-", i), "x")
	}
	tests := []struct {
		name string
		want float64
		run  func()
	}{
		{name: "findCookie", run: func() { findCookie(h, "s_c") }},
		{name: "findCookie without a header", run: func() { findCookie(http.Header(nil), "s_c") }},
		{name: "hasCookie", run: func() { hasCookie(h, "s_c", "w") }},
		{name: "hasCookie without it", run: func() { hasCookie(h, "s_c_f", "1") }},
		{name: "secureFor", run: func() { a.secureFor(r) }},
		{name: "secureFor a name", run: func() { a.secureFor(named) }},
		{name: "appendSet", want: 1, run: func() { a.appendSet("s_c", "value", time.Hour, true) }},
		{name: "clear", want: 1, run: func() { a.clear("s_c", true) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, testing.AllocsPerRun(100, tt.run))
		})
	}
}

func TestAttributeFaultsAreJoined(t *testing.T) {
	_, err := newCookieAttributes(CookieAttributes{Prefix: "a b", Path: "x", Domain: "y", SameSite: 9, Secure: 9})
	var joined interface{ Unwrap() []error }
	require.True(t, errors.As(err, &joined))
	assertFaults(t, err, []string{"Prefix", "Path", "Domain", "SameSite", "Secure"})
}

func BenchmarkFindCookie(b *testing.B) {
	sealed := strings.Repeat("v", 400)
	lines := map[string]http.Header{
		"none":   {},
		"alone":  {"Cookie": {"s_cookie=" + sealed}},
		"of ten": {"Cookie": {strings.Repeat("_ga=GA1.1.1234567890; ", 9) + "s_cookie=" + sealed}},
	}
	for _, name := range []string{"none", "alone", "of ten"} {
		h := lines[name]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				findCookie(h, "s_cookie")
			}
		})
		b.Run(name+"/hasCookie", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				hasCookie(h, "s_cookie_f", "1")
			}
		})
	}
}

func BenchmarkAppendSet(b *testing.B) {
	a := mustCookieAttributes(b, CookieAttributes{})
	value := strings.Repeat("v", 400)
	b.ReportAllocs()
	for b.Loop() {
		a.appendSet("s_cookie", value, 24*time.Hour, true)
	}
}
