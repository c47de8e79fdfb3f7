package session

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/internal/redis"
)

func TestDefaults(t *testing.T) {
	var c Config
	assert.Equal(t, "cookie", c.driverName())
	assert.Equal(t, 24*time.Hour, c.lifetime())
	assert.Equal(t, time.Hour, c.idleTimeout(0))
	assert.Equal(t, time.Minute, c.idleTimeout(time.Minute), "the driver's own goes first")
	assert.Equal(t, 3*time.Second, c.storeTimeout())
	assert.Equal(t, 10*time.Second, c.Cookie.revocationWindow())
	assert.Same(t, slog.Default(), c.logger())
	c.Logger = slog.New(slog.DiscardHandler)
	assert.Same(t, c.Logger, c.logger())
}

func TestAssuranceCapsLimits(t *testing.T) {
	const day = 24 * time.Hour
	for level, want := range map[Assurance]driver.Limits{
		"": {Lifetime: day, Idle: time.Hour}, AAL1: {Lifetime: 30 * day, Idle: 30 * day},
		AAL2: {Lifetime: day, Idle: time.Hour}, AAL3: {Lifetime: 12 * time.Hour, Idle: 15 * time.Minute},
	} {
		c := Config{Assurance: level}
		assert.Equal(t, want, driver.Limits{Lifetime: c.lifetime(), Idle: c.idleTimeout(0)}, "%q: the caps are the defaults", level)
		c.Lifetime, c.IdleTimeout = time.Minute, time.Second
		assert.Equal(t, driver.Limits{Lifetime: time.Minute, Idle: time.Second}, driver.Limits{Lifetime: c.lifetime(), Idle: c.idleTimeout(0)})
	}
	remembered := driver.Limits{Lifetime: 60 * day, Idle: 60 * day, Remembered: true}
	assert.Equal(t, remembered, Assurance("").within(remembered), "no caps")
	assert.Equal(t, driver.Limits{Lifetime: 12 * time.Hour, Idle: 15 * time.Minute, Remembered: true}, AAL3.within(remembered))
	short := driver.Limits{Lifetime: time.Hour, Idle: time.Minute}
	assert.Equal(t, short, AAL3.within(short), "shorter limits stay")
}

func TestRedisDefaultsAreFilledIn(t *testing.T) {
	c, err := RedisConfig{Namespace: "shop"}.resolve()
	require.NoError(t, err)
	assert.Equal(t, redis.Config{Network: "tcp", Address: "127.0.0.1:6379", Connections: 4,
		IdleConnTimeout: 4 * time.Minute,
		DialTimeout:     time.Second, ReadTimeout: time.Second, WriteTimeout: time.Second, Namespace: "shop"}, c)
}

func TestRedisIsConfiguredByAnyField(t *testing.T) {
	for name, tt := range map[string]struct {
		redis RedisConfig
		want  bool
	}{
		"nothing": {want: false},
		"host":    {redis: RedisConfig{Host: "127.0.0.1"}, want: true},
		"client":  {redis: RedisConfig{Options: RedisOptions{Client: uncomparable{}}}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := NewManager(Config{Default: "memory", Redis: tt.redis})
			require.NoError(t, err)
			assert.Equal(t, tt.want, m.sources[builtinRedis].configured)
			assert.NoError(t, m.Close())
		})
	}
}

// An uncomparable is a client that == must not be asked about.
type uncomparable []int

func (uncomparable) Do(context.Context, ...any) (any, error) { return nil, nil }

func TestNegativeIdleConnTimeoutMeansNoLimit(t *testing.T) {
	c, err := RedisConfig{Options: RedisOptions{IdleConnTimeout: -1}}.resolve()
	require.NoError(t, err)
	assert.Zero(t, c.IdleConnTimeout)
}

func TestRedisFieldsReachTheDriver(t *testing.T) {
	c, err := RedisConfig{Host: "::1", Port: 7, Password: "p", Namespace: "shop", Options: RedisOptions{
		DB: 3, Username: "u", Connections: 5, IdleConnTimeout: 6, DialTimeout: 8,
		ReadTimeout: 9, WriteTimeout: 10, ClientName: "c"}}.resolve()
	require.NoError(t, err)
	assert.Equal(t, redis.Config{Network: "tcp", Address: "[::1]:7", Password: "p", Namespace: "shop", DB: 3, Username: "u",
		Connections: 5, IdleConnTimeout: 6, DialTimeout: 8, ReadTimeout: 9, WriteTimeout: 10, ClientName: "c"}, c)
	for _, network := range []string{"", "unix"} {
		c, err := RedisConfig{Host: "h", Options: RedisOptions{Network: network, Socket: "/run/redis.sock"}}.resolve()
		require.NoError(t, err)
		assert.Equal(t, "unix /run/redis.sock", c.Network+" "+c.Address)
	}
}

func TestRedisURLReplacesFields(t *testing.T) {
	for text, want := range map[string]redis.Config{
		"redis://":                              {Network: "tcp", Address: "127.0.0.1:6379"},
		"redis://h":                             {Network: "tcp", Address: "h:6379"},
		"redis://:p%40ss@h:7/":                  {Network: "tcp", Address: "h:7", Password: "p@ss"},
		"rediss://u:p@[::1]:7/3":                {Network: "tcp", Address: "[::1]:7", Username: "u", Password: "p", DB: 3},
		"unix://:p@/run/redis.sock?db=2":        {Network: "unix", Address: "/run/redis.sock", Password: "p", DB: 2},
		"unix:///run/redis.sock?other=x&second": {Network: "unix", Address: "/run/redis.sock"},
	} {
		c, err := RedisConfig{URL: text, Namespace: "kept"}.resolve()
		require.NoError(t, err, text)
		got := redis.Config{Network: c.Network, Address: c.Address, Username: c.Username, Password: c.Password, DB: c.DB}
		assert.Equal(t, want, got, text)
		assert.Equal(t, "kept", c.Namespace)
		if !strings.HasPrefix(text, "rediss") {
			assert.Nil(t, c.TLS, text)
			continue
		}
		require.NotNil(t, c.TLS, text)
		assert.Equal(t, "::1", c.TLS.ServerName)
		assert.False(t, c.TLS.InsecureSkipVerify)
	}
}

func TestRootCertificatesOfAFileAreTheOnlyOnes(t *testing.T) {
	cert, path := rootCertificate(t)
	want := x509.NewCertPool()
	want.AddCert(cert)
	own := &tls.Config{ServerName: "redis.example", MinVersion: tls.VersionTLS13}
	for name, cfg := range map[string]RedisConfig{
		"alone":  {Host: "redis.example", Options: RedisOptions{TLSCA: path}},
		"TLS":    {Host: "h", Options: RedisOptions{TLSCA: path, TLS: own}},
		"rediss": {URL: "rediss://redis.example", Options: RedisOptions{TLSCA: path}},
	} {
		c, err := cfg.resolve()
		require.NoError(t, err, name)
		require.NotNil(t, c.TLS, name)
		assert.True(t, want.Equal(c.TLS.RootCAs), name)
		assert.Equal(t, "redis.example", c.TLS.ServerName, name)
		assert.GreaterOrEqual(t, c.TLS.MinVersion, uint16(tls.VersionTLS12), name)
	}
	assert.Nil(t, own.RootCAs, "the caller's is not changed")

	_, err := RedisConfig{Port: -1, Namespace: "{"}.resolve()
	assert.ErrorContains(t, err, "Config.Redis.Port")
	assert.ErrorContains(t, err, "Config.Redis.Namespace")
	for _, bad := range []string{filepath.Join(t.TempDir(), "none.pem"), "testdata/session.json"} {
		_, err := RedisConfig{Options: RedisOptions{TLSCA: bad}}.resolve()
		assert.ErrorContains(t, err, "session: Config.Redis.Options.TLSCA: ")
	}
}

// rootCertificate returns a certificate and the PEM file that holds it.
func rootCertificate(t *testing.T) (*x509.Certificate, string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return cert, path
}

// A URL holds the password, and no error quotes it.
func FuzzRedisURL(f *testing.F) {
	for _, text := range []string{"redis://127.0.0.1:6379/1", "rediss://user:password@redis.example.com:6380", "unix:///run/redis.sock?db=2",
		"redis://:p%40ss@[::1]:1", "redis://u:secretpassword@h:port/x", "redis://u:secretpassword@h/9999999999999999999", "http://u:secretpassword@h",
		"redis://u:secretpassword@h/1?a=b", "redis://u:secret\x7fpassword@h", "unix://u:secretpassword@h/p", "redis://u:secretpassword@h:0", "://", "%zz", ""} {
		f.Add(text)
	}
	texts := make(map[string]bool) // all that errors of URLs can say
	for _, problem := range []string{"is not a URL", "has another scheme than redis, rediss and unix", "names no socket: write unix:///path",
		"has a query, which has no meaning here", "has a port that is not 1 to 65535", "names a database that is not a number"} {
		texts[redisURLError(problem).Error()] = true
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := RedisConfig{URL: text}.withURL()
		if err == nil {
			assert.Empty(t, c.URL)
			return
		}
		assert.True(t, texts[err.Error()], err.Error())
	})
}
