package session_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
)

const (
	configSecret    = "Zr3wQk0tXh9LJpV7nB2mYc5sUeD8gAfO1iGxT4vRqKM"
	previousSecret  = "b1NfWq8ZpRk3YtHc6xVd0LgJmUs9aEoC7iTvXnQyB4w"
	redisPassword   = "opensesame-fifty-five"
	longestDuration = 400 * 24 * time.Hour
)

// validate returns what NewManager says about a configuration.
func validate(c session.Config) error {
	m, err := session.NewManager(c)
	if err == nil {
		err = m.Close()
	}
	return err
}

func TestConfigOfTheDescribedSystemIsRead(t *testing.T) {
	c, err := session.LoadConfig("testdata/session.json")
	require.NoError(t, err)
	want := session.Config{
		Default: "cookie",
		Redis: session.RedisConfig{
			Host: "127.0.0.1", Port: 6379, Namespace: "masonite4", IdleTimeout: time.Hour,
			Options: session.RedisOptions{DB: 1},
		},
	}
	assert.True(t, assert.ObjectsAreEqual(want, c), "%v", c)
	c.Secret = configSecret // comes from the program
	assert.NoError(t, validate(c))
}

func TestParseConfigReadsEveryKey(t *testing.T) {
	c, err := session.ParseConfig([]byte(`{
		"default": "redis", "secret": "` + configSecret + `", "previous_secrets": ["` + previousSecret + `"],
		"lifetime": "12h", "idle_timeout": 900, "store_timeout": 0.5,
		"assurance": "AAL2", "lock_after": "5s", "max_per_user": 13, "at_max_per_user": "refuse_new",
		"cookie_attributes": {"prefix": "__Secure-", "path": "/a", "domain": "example.com",
			"same_site": "strict", "secure": "always", "partitioned": true, "session_only": true},
		"cookie": {"timeout": 1, "flash_ttl": 2, "revocation": "redis", "revocation_window": "14s"},
		"memory": {"timeout": 3, "flash_ttl": "4s", "max_sessions": 5, "by_client_ip": true},
		"redis": {"host": "redis.example", "port": 6380, "password": "` + redisPassword + `",
			"timeout": 6, "flash_ttl": 7, "namespace": "shop",
			"options": {"db": 8, "username": "app", "network": "unix", "socket": "/run/redis.sock",
				"tls": true, "tls_ca": "ca.pem", "connections": 9, "idle_conn_timeout": "-1s",
				"dial_timeout": 10, "read_timeout": 11, "write_timeout": 12, "client_name": "shop"}}
	}`))
	require.NoError(t, err)
	require.NotNil(t, c.Redis.Options.TLS)
	assert.False(t, c.Redis.Options.TLS.InsecureSkipVerify)
	assert.Nil(t, c.Redis.Options.TLS.RootCAs, "the system's, or those of tls_ca")
	assert.Empty(t, c.Redis.Options.TLS.ServerName, "the host, also if the program changes it")
	c.Redis.Options.TLS = nil
	want := session.Config{
		Default: "redis", Secret: configSecret, PreviousSecrets: []string{previousSecret},
		Lifetime: 12 * time.Hour, IdleTimeout: 15 * time.Minute, StoreTimeout: 500 * time.Millisecond,
		Assurance: session.AAL2, LockAfter: 5 * time.Second, MaxPerUser: 13, AtMaxPerUser: session.RefuseNew,
		CookieAttributes: session.CookieAttributes{Prefix: "__Secure-", Path: "/a", Domain: "example.com",
			SameSite: http.SameSiteStrictMode, Secure: session.SecureAlways, Partitioned: true, SessionOnly: true},
		Cookie: session.CookieConfig{IdleTimeout: time.Second, FlashTTL: 2 * time.Second,
			Revocation: "redis", RevocationWindow: 14 * time.Second},
		Memory: session.MemoryConfig{IdleTimeout: 3 * time.Second, FlashTTL: 4 * time.Second, MaxSessions: 5, ByClientIP: true},
		Redis: session.RedisConfig{Host: "redis.example", Port: 6380, Password: redisPassword,
			IdleTimeout: 6 * time.Second, FlashTTL: 7 * time.Second, Namespace: "shop",
			Options: session.RedisOptions{DB: 8, Username: "app", Network: "unix", Socket: "/run/redis.sock", TLSCA: "ca.pem",
				Connections: 9, IdleConnTimeout: -time.Second,
				DialTimeout: 10 * time.Second, ReadTimeout: 11 * time.Second, WriteTimeout: 12 * time.Second,
				ClientName: "shop"}},
	}
	assert.True(t, assert.ObjectsAreEqual(want, c), "%v", c)
	c.Redis.Options.TLSCA = ""
	assert.NoError(t, validate(c))
}

func TestParseConfigReadsEachWord(t *testing.T) {
	for text, want := range map[string]http.SameSite{
		"lax": http.SameSiteLaxMode, "strict": http.SameSiteStrictMode, "none": http.SameSiteNoneMode,
	} {
		c, err := session.ParseConfig([]byte(`{"cookie_attributes": {"same_site": "` + text + `"}}`))
		require.NoError(t, err)
		assert.Equal(t, want, c.CookieAttributes.SameSite)
	}
	for _, want := range []session.SecureMode{session.SecureAuto, session.SecureAlways, session.SecureNever} {
		c, err := session.ParseConfig([]byte(`{"cookie_attributes": {"secure": "` + want.String() + `"}}`))
		require.NoError(t, err)
		assert.Equal(t, want, c.CookieAttributes.Secure)
	}
	for _, want := range []session.SignInPolicy{session.EndOldest, session.RefuseNew} {
		c, err := session.ParseConfig([]byte(`{"at_max_per_user": "` + want.String() + `"}`))
		require.NoError(t, err)
		assert.Equal(t, want, c.AtMaxPerUser)
	}
	for _, want := range []session.Assurance{"", session.AAL1, session.AAL2, session.AAL3} {
		c, err := session.ParseConfig([]byte(`{"assurance": "` + string(want) + `"}`))
		require.NoError(t, err)
		assert.Equal(t, want, c.Assurance)
	}
	c, err := session.ParseConfig([]byte(`{"redis": {"url": "redis://h/1", "options": {"tls": false}}}`))
	require.NoError(t, err)
	assert.Equal(t, "redis://h/1", c.Redis.URL)
	assert.Nil(t, c.Redis.Options.TLS)
}

func TestProblemsOfTheFileAndOfValuesAreReportedTogether(t *testing.T) {
	_, err := session.ParseConfig([]byte(`{"flavour": 1, "secret": "hunter2",
		"lifetime": -1, "memory": {"max_sessions": "x"}, "max_per_user": -1,
		"cookie_attributes": {"path": "a\nb"}, "redis": {"port": 70000, "url": "redis://:hunter2@h:x"}}`))
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 9, err.Error())
	for i, want := range []string{
		`line 1: top level: unknown key "flavour"; known are assurance, `, "line 2: memory.max_sessions: want a whole number",
		"Config.Secret: 7 bytes are too short", "Config.Lifetime: -1s is negative", "Config.MaxPerUser: -1 is negative",
		"Config.CookieAttributes.Path", "Config.Redis.Port: 70000 is not a port", "Config.Redis.URL: it is not a URL",
		"Config.Redis.URL: fields that it replaces are set as well",
	} {
		assert.True(t, strings.HasPrefix(lines[i], "session: parse config: "), lines[i])
		assert.Contains(t, lines[i], want)
	}
	assert.NotContains(t, err.Error(), "hunter2")
}

func TestParseConfigLeavesToNewManagerWhatTheProgramMayAdd(t *testing.T) {
	for _, data := range []string{
		`{}`, `{"default": "files"}`, `{"cookie": {"revocation": "files"}}`, `{"max_per_user": 1}`, `{"lock_after": "2h"}`,
		`{"previous_secrets": ["` + previousSecret + `"]}`, `{"redis": {"options": {"tls_ca": "/nonexistent/ca.pem"}}}`,
	} {
		c, err := session.ParseConfig([]byte(data))
		assert.NoError(t, err, data)
		assert.Error(t, validate(c), data)
	}
}

func TestParseConfigReturnsNoHalfOfAConfig(t *testing.T) {
	for _, data := range []string{"", "null", `{"default": "redis", "x": 1}`, `{"default": "redis", "lifetime": -1}`} {
		c, err := session.ParseConfig([]byte(data))
		assert.Error(t, err, data)
		assert.True(t, assert.ObjectsAreEqual(session.Config{}, c), "%v", c)
	}
}

func TestSecretsComeFromTheEnvironment(t *testing.T) {
	t.Setenv("SESSION_TEST_SECRET", configSecret)
	t.Setenv("SESSION_TEST_SHORT", "hunter2")
	c, err := session.ParseConfig([]byte(`{"secret": "$SESSION_TEST_SECRET", "redis": {"password": "$SESSION_TEST_SHORT"}}`))
	require.NoError(t, err)
	assert.Equal(t, configSecret, c.Secret)
	assert.Equal(t, "hunter2", c.Redis.Password)

	_, err = session.ParseConfig([]byte(`{"secret": "$SESSION_TEST_UNSET", "previous_secrets": ["$SESSION_TEST_SHORT"], "redis": {"url": "$SESSION_TEST_SHORT"}}`))
	assert.ErrorContains(t, err, "secret: the environment variable named here is not set")
	assert.ErrorContains(t, err, "Config.PreviousSecrets[0]: 7 bytes are too short")
	assert.NotContains(t, err.Error(), "hunter2")
}

func TestLoadConfigNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, data string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(data), 0o600))
		return path
	}
	tests := []struct {
		name, path string
		want       []string
	}{
		{name: "missing", path: filepath.Join(dir, "none.json"), want: []string{"none.json"}},
		{name: "a folder", path: dir, want: []string{filepath.Base(dir)}},
		{name: "empty", path: write("empty.json", ""), want: []string{`empty.json": not valid JSON: the text ends too early`}},
		{name: "too large", path: write("large.json", strings.Repeat(" ", 1<<20+1)), want: []string{`large.json": larger than 1 MiB`}},
		{name: "each problem", path: write("problems.json", `{"a": 1, "lifetime": -1}`), want: []string{`problems.json": line 1: top level: unknown key "a"`, `problems.json": Config.Lifetime`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := session.LoadConfig(tt.path)
			require.Error(t, err)
			lines := strings.Split(err.Error(), "\n")
			require.Len(t, lines, len(tt.want))
			for i, want := range tt.want {
				assert.True(t, strings.HasPrefix(lines[i], "session: load config"), lines[i])
				assert.Contains(t, lines[i], want)
			}
		})
	}
	_, err := session.LoadConfig(filepath.Join(dir, "none.json"))
	assert.ErrorIs(t, err, fs.ErrNotExist)

	c, err := session.LoadConfig(write("largest.json", `{"default":"memory"}`+strings.Repeat(" ", 1<<20-20)))
	require.NoError(t, err)
	assert.Equal(t, "memory", c.Default)
}

// FuzzParseConfig checks what holds for every Config that ParseConfig accepts.
func FuzzParseConfig(f *testing.F) {
	data, err := os.ReadFile("testdata/session.json")
	require.NoError(f, err)
	f.Add(data)
	f.Add([]byte(`{"lifetime": 1000, "cookie_attributes": {"same_site": "none", "path": "/x", "domain": "example.com"}}`))
	f.Add([]byte(`{"default": "files", "redis": {"url": "rediss://u:p@[::1]:7/2", "namespace": "{"}, "flavour": null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := session.ParseConfig(data)
		if err != nil {
			assert.True(t, assert.ObjectsAreEqual(session.Config{}, c), "half a Config")
			for line := range strings.Lines(err.Error()) {
				assert.True(t, strings.HasPrefix(line, "session: parse config: "), line)
			}
			return
		}
		c.Redis.Options.TLSCA = "" // NewManager would read the file
		if err := validate(c); err != nil {
			for line := range strings.Lines(err.Error()) {
				assert.True(t, strings.HasPrefix(line, "session: "), line)
			}
		}
		shown, err := json.Marshal(c)
		require.NoError(t, err)
		assert.True(t, json.Valid(shown))
	})
}

func TestConfigProblemsAreFoundAtConstruction(t *testing.T) {
	driver := struct{ session.Driver }{}
	var empty string
	tests := []struct {
		name  string
		spoil func(c *session.Config)
		want  []string // one for each problem; none: accepted
	}{
		{name: "secret alone", spoil: func(c *session.Config) {}},
		{name: "memory needs no secret", spoil: func(c *session.Config) { *c = session.Config{Default: "memory"} }},
		{name: "redis needs no secret", spoil: func(c *session.Config) { *c = session.Config{Default: "redis"} }},
		{
			name:  "cookie needs one",
			spoil: func(c *session.Config) { *c = session.Config{} },
			want:  []string{"Config.Secret: missing, and the cookie driver encrypts with it: make one with `head -c 32 /dev/urandom | base64`"},
		},
		{name: "short secret, also if it is not the default's", spoil: func(c *session.Config) { c.Default, c.Secret = "memory", "hunter2" }, want: []string{"Config.Secret"}},
		{name: "previous secret", spoil: func(c *session.Config) { c.PreviousSecrets = []string{previousSecret} }},
		{name: "bad previous secrets", spoil: func(c *session.Config) { c.PreviousSecrets = []string{previousSecret, "hunter2", empty} }, want: []string{
			"Config.PreviousSecrets[1]", "Config.PreviousSecrets[2]",
		}},
		{
			name: "previous secrets without a secret",
			spoil: func(c *session.Config) {
				*c = session.Config{Default: "redis", PreviousSecrets: []string{previousSecret}}
			},
			want: []string{"Config.PreviousSecrets: set without Secret"},
		},

		{name: "unknown default", spoil: func(c *session.Config) { c.Default = "file" }, want: []string{`session: unknown driver "file": known are cookie, memory, redis (Config.Default)`}},
		{name: "default in another letter case", spoil: func(c *session.Config) { c.Default = "Cookie" }, want: []string{`unknown driver "Cookie"`}},
		{name: "further driver", spoil: func(c *session.Config) {
			c.Default, c.Drivers = "file", map[string]session.Driver{"file": driver}
		}},
		{name: "nil driver", spoil: func(c *session.Config) { c.Drivers = map[string]session.Driver{"file": nil} }, want: []string{`Config.Drivers["file"]: the driver is nil`}},
		{name: "built-in names", spoil: func(c *session.Config) {
			c.Drivers = map[string]session.Driver{"redis": driver, "memory": driver, "cookie": driver}
		}, want: []string{
			`Config.Drivers["cookie"]: the name of a built-in driver: configure that one, or choose another name`,
			`Config.Drivers["memory"]: the name`, `Config.Drivers["redis"]: the name`,
		}},
		{name: "names that no cookie can have", spoil: func(c *session.Config) {
			c.Drivers = map[string]session.Driver{"": driver, "a b": driver, "a;b": driver, "é": driver}
		}, want: []string{`Drivers[""]: not allowed`, `Drivers["a b"]: not allowed`, `Drivers["a;b"]: not allowed`, `Drivers["é"]: not allowed`}},
		{name: "name too long", spoil: func(c *session.Config) {
			c.Drivers = map[string]session.Driver{strings.Repeat("a", 65): driver, strings.Repeat("b", 64): driver}
		}, want: []string{"65 bytes, at most 64"}},
		{name: "name that makes a prefix", spoil: func(c *session.Config) {
			c.CookieAttributes.Prefix, c.Drivers = "__", map[string]session.Driver{"host-x": driver}
		}, want: []string{`Drivers["host-x"]: with Prefix the cookie's name begins with __Host-`}},
		{name: "name under a prefix", spoil: func(c *session.Config) {
			c.CookieAttributes.Prefix, c.Drivers = "__Host-", map[string]session.Driver{"Http-x": driver}
		}},
		{name: "name of another driver's flash hint", spoil: func(c *session.Config) {
			c.Drivers = map[string]session.Driver{"redis_f": driver, "x": driver, "x_f": driver, "y_f": driver}
		}, want: []string{`Drivers["redis_f"]: the name of the flash cookie`, `Drivers["x_f"]: the name of the flash cookie`}},

		{name: "longest limits", spoil: func(c *session.Config) {
			c.Lifetime, c.IdleTimeout, c.Redis.IdleTimeout = longestDuration, longestDuration, longestDuration
		}},
		{name: "limits over 400 days", spoil: func(c *session.Config) {
			c.Lifetime, c.IdleTimeout, c.Cookie.IdleTimeout = longestDuration+1, longestDuration+1, longestDuration+1
			c.Memory.IdleTimeout, c.Redis.IdleTimeout = longestDuration+1, longestDuration+1
		}, want: []string{
			"Config.Lifetime: 9600h0m0.000000001s is more than 400 days (34560000 s)", "Config.IdleTimeout", "Config.Cookie.IdleTimeout",
			"Config.Memory.IdleTimeout", "Config.Redis.IdleTimeout",
		}},
		{name: "negative durations", spoil: func(c *session.Config) {
			c.Lifetime, c.IdleTimeout, c.StoreTimeout = -1, -1, -1
			c.Cookie = session.CookieConfig{IdleTimeout: -1, FlashTTL: -1}
			c.Memory = session.MemoryConfig{IdleTimeout: -1, FlashTTL: -1}
			c.Redis = session.RedisConfig{IdleTimeout: -1, FlashTTL: -1, Options: session.RedisOptions{DialTimeout: -1, ReadTimeout: -1, WriteTimeout: -1}}
		}, want: []string{
			"Config.Lifetime: -1ns is negative", "Config.IdleTimeout", "Config.StoreTimeout", "Config.Cookie.IdleTimeout", "Config.Cookie.FlashTTL",
			"Config.Memory.IdleTimeout", "Config.Memory.FlashTTL", "Config.Redis.IdleTimeout", "Config.Redis.FlashTTL",
			"Config.Redis.Options.DialTimeout", "Config.Redis.Options.ReadTimeout", "Config.Redis.Options.WriteTimeout",
		}},
		{name: "negative durations that mean something", spoil: func(c *session.Config) {
			c.Redis.Options.IdleConnTimeout = -1
		}},
		{name: "negative counts", spoil: func(c *session.Config) { c.Memory.MaxSessions, c.Redis.Options.Connections = -1, -2 }, want: []string{
			"Config.Memory.MaxSessions: -1 is negative", "Config.Redis.Options.Connections: -2 is negative",
		}},

		{name: "assurance", spoil: func(c *session.Config) { c.Assurance, c.LockAfter = session.AAL2, 59*time.Minute }},
		{name: "shorter than the caps", spoil: func(c *session.Config) {
			c.Assurance, c.Lifetime, c.IdleTimeout, c.Cookie.IdleTimeout = session.AAL3, time.Hour, 10*time.Minute, time.Minute
		}},
		{name: "longer than the caps", spoil: func(c *session.Config) {
			c.Assurance, c.Lifetime, c.IdleTimeout = session.AAL3, 12*time.Hour+1, 15*time.Minute+1
			c.Cookie.IdleTimeout, c.Memory.IdleTimeout, c.Redis.IdleTimeout = time.Hour, time.Hour, time.Hour
			c.Drivers = map[string]session.Driver{"mine": session.NewMemoryDriver(session.MemoryConfig{IdleTimeout: time.Hour})}
		}, want: []string{
			"Config.Lifetime: 12h0m0.000000001s is more than the 12h0m0s that Assurance AAL3 allows", "Config.IdleTimeout: 15m0.000000001s is more than the 15m0s",
			"Config.Cookie.IdleTimeout", "Config.Memory.IdleTimeout", "Config.Redis.IdleTimeout", `Config.Drivers["mine"]: IdleTimeout: 1h0m0s`,
		}},
		{name: "no such level", spoil: func(c *session.Config) { c.Assurance = "AAL4" }, want: []string{`Config.Assurance: "AAL4" is not a level: use AAL1, AAL2 or AAL3`}},
		{name: "lock as late as the idle timeout", spoil: func(c *session.Config) { c.LockAfter = time.Hour }, want: []string{
			"Config.LockAfter: 1h0m0s is not shorter than the idle timeout of 1h0m0s",
		}},
		{name: "lock as late as the cap of the idle timeout", spoil: func(c *session.Config) { c.Assurance, c.LockAfter = session.AAL3, 15*time.Minute }, want: []string{
			"Config.LockAfter: 15m0s is not shorter than the idle timeout of 15m0s",
		}},
		{name: "lock as late as the driver's own idle timeout", spoil: func(c *session.Config) {
			c.Default, c.LockAfter, c.Drivers = "mine", 10*time.Minute,
				map[string]session.Driver{"mine": session.NewMemoryDriver(session.MemoryConfig{IdleTimeout: 10 * time.Minute})}
		}, want: []string{"Config.LockAfter: 10m0s is not shorter than the idle timeout of 10m0s"}},
		{name: "sessions of a user that nobody can count", spoil: func(c *session.Config) { c.Default, c.MaxPerUser = "cookie", 1 }, want: []string{
			"Config.MaxPerUser: the cookie driver cannot count the sessions of a user",
		}},
		{name: "sessions of a user that redis counts", spoil: func(c *session.Config) {
			c.Default, c.MaxPerUser, c.Cookie.Revocation = "cookie", 1, "redis"
		}},
		{name: "negative numbers of accounts", spoil: func(c *session.Config) {
			c.MaxPerUser, c.AtMaxPerUser, c.LockAfter, c.Cookie.RevocationWindow = -1, -1, -1, -1
		}, want: []string{
			"Config.MaxPerUser: -1 is negative", "Config.AtMaxPerUser: -1 is not a policy", "Config.LockAfter: -1ns is negative",
			"Config.Cookie.RevocationWindow: -1ns is negative",
		}},
		{name: "revocation by a driver that is not there", spoil: func(c *session.Config) { c.Cookie.Revocation, c.Lifetime = "file", -1 }, want: []string{
			`session: unknown driver "file": known are cookie, memory, redis (Config.Cookie.Revocation)`, "Config.Lifetime",
		}},
		{name: "revocation by the cookie itself", spoil: func(c *session.Config) { c.Cookie.Revocation, c.Lifetime = "cookie", -1 }, want: []string{
			`Config.Cookie.Revocation: driver "cookie" keeps no index of users`, "Config.Lifetime",
		}},
		{name: "revocation by client address", spoil: func(c *session.Config) {
			c.Cookie.Revocation, c.Memory.ByClientIP, c.Lifetime = "memory", true, -1
		}, want: []string{`Config.Cookie.Revocation: driver "memory" keeps no index of users`, "Config.Lifetime"}},
		{name: "revocation by a driver without an index", spoil: func(c *session.Config) {
			c.Cookie.Revocation, c.Drivers, c.Lifetime = "mine", map[string]session.Driver{"mine": driver}, -1
		}, want: []string{`Config.Cookie.Revocation: driver "mine" keeps no index of users`, "Config.Lifetime"}},

		{name: "highest port", spoil: func(c *session.Config) { c.Redis.Port = 65535 }},
		{name: "port out of range", spoil: func(c *session.Config) { c.Redis.Port = 65536 }, want: []string{"Config.Redis.Port: 65536 is not a port from 1 to 65535"}},
		{name: "negative port and database", spoil: func(c *session.Config) { c.Redis.Port, c.Redis.Options.DB = -1, -1 }, want: []string{"Config.Redis.Port: -1", "Config.Redis.Options.DB: -1 is negative"}},
		{name: "IPv6", spoil: func(c *session.Config) { c.Redis.Host = "fe80::1%eth0" }},
		{name: "host with port", spoil: func(c *session.Config) { c.Redis.Host = "localhost:6379" }, want: []string{"Config.Redis.Host: must be a host name or an address only"}},
		{name: "host in brackets", spoil: func(c *session.Config) { c.Redis.Host = "[::1]" }, want: []string{"Config.Redis.Host"}},
		{name: "URL as host", spoil: func(c *session.Config) { c.Redis.Host = "redis://:hunter2@localhost" }, want: []string{"Config.Redis.Host"}},
		{name: "path for a host", spoil: func(c *session.Config) { c.Redis.Host = "/run/redis.sock" }, want: []string{"Options.Socket"}},
		{name: "line break in a host", spoil: func(c *session.Config) { c.Redis.Host = "localhost\n" }, want: []string{"Config.Redis.Host"}},
		{name: "unix socket", spoil: func(c *session.Config) { c.Redis.Options.Network, c.Redis.Options.Socket = "unix", "/run/redis.sock" }},
		{name: "socket alone", spoil: func(c *session.Config) { c.Redis.Options.Socket = "/run/redis.sock" }},
		{name: "unix without a socket", spoil: func(c *session.Config) { c.Redis.Options.Network = "unix" }, want: []string{"Config.Redis.Options.Socket: missing"}},
		{name: "tcp with a socket", spoil: func(c *session.Config) { c.Redis.Options.Network, c.Redis.Options.Socket = "tcp", "/run/redis.sock" }, want: []string{"Config.Redis.Options.Socket: set"}},
		{name: "no such network", spoil: func(c *session.Config) { c.Redis.Options.Network = "udp" }, want: []string{`Config.Redis.Options.Network: "udp" is not known`}},
		{name: "client name with a space", spoil: func(c *session.Config) { c.Redis.Options.ClientName = "a b" }, want: []string{"Config.Redis.Options.ClientName"}},
		{name: "user without a password", spoil: func(c *session.Config) { c.Redis.Options.Username = "shop" }, want: []string{"Config.Redis.Options.Username: set without a password"}},
		{name: "namespace with punctuation", spoil: func(c *session.Config) { c.Redis.Namespace = "shop:eu-1/é" }},
		{name: "namespace that chooses a slot", spoil: func(c *session.Config) { c.Redis.Namespace = "{shop}" }, want: []string{"Config.Redis.Namespace: it contains a control character or a brace"}},
		{name: "namespace with a line break", spoil: func(c *session.Config) { c.Redis.Namespace = "shop\n" }, want: []string{"Config.Redis.Namespace"}},
		{name: "longest namespace", spoil: func(c *session.Config) { c.Redis.Namespace = strings.Repeat("n", 200) }},
		{name: "namespace too long", spoil: func(c *session.Config) { c.Redis.Namespace = strings.Repeat("n", 201) }, want: []string{"Config.Redis.Namespace: 201 bytes, at most 200"}},
		{name: "URL", spoil: func(c *session.Config) { c.Redis.URL = "rediss://user:hunter2@localhost:6380/1" }},
		{name: "URL beside its fields", spoil: func(c *session.Config) { c.Redis.URL, c.Redis.Host = "redis://localhost", "localhost" }, want: []string{"Config.Redis.URL: fields that it replaces"}},
		{name: "URL with a user alone", spoil: func(c *session.Config) { c.Redis.URL = "redis://shop@localhost" }, want: []string{"Config.Redis.Options.Username"}},
		{name: "URL without TLS beside roots", spoil: func(c *session.Config) {
			c.Redis.URL, c.Redis.Options.TLSCA = "redis://localhost", "testdata/none.pem"
		}, want: []string{"Config.Redis.URL: it excludes TLS", "Config.Redis.Options.TLSCA: open testdata/none.pem"}},
		{name: "roots that are none", spoil: func(c *session.Config) { c.Redis.Options.TLSCA = "testdata/session.json" }, want: []string{
			`Config.Redis.Options.TLSCA: "testdata/session.json" holds no certificate`,
		}},
		{name: "two sets of roots", spoil: func(c *session.Config) {
			c.Redis.Options.TLS, c.Redis.Options.TLSCA = &tls.Config{RootCAs: x509.NewCertPool()}, "testdata/none.pem"
		}, want: []string{"Config.Redis.Options.TLSCA: set, and so is TLS.RootCAs", "Config.Redis.Options.TLSCA: open"}},

		{name: "cookie attributes", spoil: func(c *session.Config) {
			c.CookieAttributes = session.CookieAttributes{Prefix: "__Host-", Path: "/a", Domain: "example.com", Secure: session.SecureNever}
		}, want: []string{"Config.CookieAttributes.Prefix: browsers refuse a __Host- cookie whose Path", "cookie with a Domain", "Config.CookieAttributes.Secure"}},
		{name: "no such modes", spoil: func(c *session.Config) { c.CookieAttributes.Secure, c.CookieAttributes.SameSite = 3, 5 }, want: []string{
			"Config.CookieAttributes.SameSite: 5 is not a mode", "Config.CookieAttributes.Secure: 3 is not a mode",
		}},
		{name: "problems of every kind at once", spoil: func(c *session.Config) {
			*c = session.Config{Default: "x", Secret: "short", Lifetime: -1, CookieAttributes: session.CookieAttributes{Path: "x"},
				Memory: session.MemoryConfig{MaxSessions: -1}, Redis: session.RedisConfig{Port: -1}, Drivers: map[string]session.Driver{"": driver}}
		}, want: []string{"unknown driver", "Drivers", "Secret", "Lifetime", "Path", "MaxSessions", "Port"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := session.Config{Secret: configSecret}
			tt.spoil(&c)
			err := validate(c)
			if len(tt.want) == 0 {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			lines := strings.Split(err.Error(), "\n")
			for _, want := range tt.want {
				holds := func(line string) bool { return strings.Contains(line, want) }
				assert.True(t, slices.ContainsFunc(lines, holds), "%q is missing in %s", want, err)
			}
			assert.Len(t, lines, len(tt.want), err.Error())
			for _, line := range lines {
				assert.True(t, strings.HasPrefix(line, "session: "), line)
			}
			assert.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestUnknownDefaultIsAnErrUnknownDriver(t *testing.T) {
	assert.ErrorIs(t, validate(session.Config{Secret: configSecret, Default: "file"}), session.ErrUnknownDriver)
	assert.NotErrorIs(t, validate(session.Config{}), session.ErrUnknownDriver)
	err := validate(session.Config{Secret: configSecret, Redis: session.RedisConfig{Options: session.RedisOptions{TLSCA: "testdata/none.pem"}}})
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

func TestNewManagerDoesNotChangeTheConfig(t *testing.T) {
	make := func() session.Config {
		return session.Config{Secret: configSecret, PreviousSecrets: []string{previousSecret}, Redis: session.RedisConfig{Options: session.RedisOptions{TLS: &tls.Config{}}}}
	}
	c := make()
	require.NoError(t, validate(c))
	assert.True(t, assert.ObjectsAreEqual(make(), c))
}

// A secretStringer is a client or a driver that prints its password.
type secretStringer struct{ session.Driver }

func (secretStringer) String() string { return redisPassword }

// secretConfig has a secret in every place that can hold one.
func secretConfig() session.Config {
	return session.Config{
		Default: "redis", Secret: configSecret, PreviousSecrets: []string{previousSecret},
		Drivers:      map[string]session.Driver{"files": secretStringer{}},
		Passive:      func(*http.Request) bool { return false },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {},
		Redis: session.RedisConfig{URL: "redis://:" + redisPassword + "@h", Host: "redis://:" + redisPassword + "@h", Password: redisPassword,
			Options: session.RedisOptions{
				Username: "app",
				TLS:      &tls.Config{Certificates: []tls.Certificate{{PrivateKey: []byte(configSecret)}}},
			}},
	}
}

func TestNoSecretIsEverPrinted(t *testing.T) {
	c := secretConfig()
	var logged bytes.Buffer
	handlers := []slog.Handler{slog.NewJSONHandler(&logged, nil), slog.NewTextHandler(&logged, nil)}
	for _, v := range []any{c, &c, c.Redis, &c.Redis, c.Redis.Options, &c.Redis.Options,
		[]session.Config{c}, map[string]any{"config": c}, struct{ C *session.Config }{&c}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%08.3v"} {
			assertNoSecret(t, fmt.Sprintf(verb, v), verb)
		}
		assertNoSecret(t, fmt.Sprint(v), "Sprint")
		assertNoSecret(t, fmt.Errorf("config: %v", v).Error(), "Errorf")
		shown, err := json.Marshal(v)
		require.NoError(t, err)
		assertNoSecret(t, string(shown), "json")
		for _, handler := range handlers {
			slog.New(handler).Info("started", "config", v, slog.Any("again", v))
		}
	}
	assertNoSecret(t, logged.String(), "slog")
	assert.Contains(t, logged.String(), `"Default":"redis"`)
	assert.Contains(t, logged.String(), `config.Default=redis`)
}

func assertNoSecret(t *testing.T, text, how string) {
	t.Helper()
	for _, secret := range []string{configSecret, previousSecret, redisPassword} {
		assert.NotContains(t, text, secret, how)
		assert.NotContains(t, strings.ToLower(text), fmt.Sprintf("%x", secret), how)
		assert.NotContains(t, text, strings.Trim(fmt.Sprint([]byte(secret)), "[]"), how)
	}
}

func TestConfigPrintsASummary(t *testing.T) {
	c := session.Config{Secret: configSecret, Lifetime: time.Hour, Drivers: map[string]session.Driver{"b": nil, "a": nil}}
	text := fmt.Sprint(c)
	assert.True(t, strings.HasPrefix(text, `session.Config[Default= Secret=[redacted] PreviousSecrets=false Lifetime=1h0m0s `), text)
	assert.Contains(t, text, `CookieAttributes=[Prefix= Path= Domain= SameSite=0 Secure=auto `)
	assert.Contains(t, text, `Redis=[URL= Host= Port=0 Password= Options=[DB=0 `)
	assert.Contains(t, text, `Drivers=a b `)
	assert.Equal(t, text, fmt.Sprintf("%#v", &c))
	assert.True(t, strings.HasPrefix(fmt.Sprint(session.RedisConfig{Host: "h"}), `session.RedisConfig[URL= Host=h Port=0 `))
	assert.True(t, strings.HasPrefix(fmt.Sprint(session.RedisOptions{}), `session.RedisOptions[DB=0 `))

	var shown map[string]any
	data, err := json.Marshal(c)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &shown))
	assert.Equal(t, "[redacted]", shown["Secret"])
	assert.Equal(t, "1h0m0s", shown["Lifetime"])
	assert.Equal(t, float64(0), shown["Redis"].(map[string]any)["Port"])
}

func TestSecureModeText(t *testing.T) {
	for mode, text := range map[session.SecureMode]string{
		session.SecureAuto: "auto", session.SecureAlways: "always", session.SecureNever: "never",
	} {
		assert.Equal(t, text, mode.String())
		data, err := json.Marshal(mode)
		require.NoError(t, err)
		assert.Equal(t, `"`+text+`"`, string(data))
		var back session.SecureMode
		require.NoError(t, json.Unmarshal(data, &back))
		assert.Equal(t, mode, back)
	}
	assert.Equal(t, "SecureMode(7)", session.SecureMode(7).String())
	assert.Equal(t, "SignInPolicy(7)", session.SignInPolicy(7).String())
	_, err := session.SecureMode(-1).MarshalText()
	assert.EqualError(t, err, "session: marshal SecureMode: -1 is not a mode")

	mode := session.SecureAlways
	for _, text := range []string{"", "Auto", "true", "SecureMode(7)"} {
		err := mode.UnmarshalText([]byte(text))
		assert.EqualError(t, err, `session: unmarshal SecureMode: want "auto", "always" or "never"`)
		assert.Equal(t, session.SecureAlways, mode)
	}
}
