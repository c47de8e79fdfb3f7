package session_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
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

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
)

const (
	configSecret    = "Zr3wQk0tXh9LJpV7nB2mYc5sUeD8gAfO1iGxT4vRqKM"
	previousSecret  = "b1NfWq8ZpRk3YtHc6xVd0LgJmUs9aEoC7iTvXnQyB4w"
	redisPassword   = "opensesame-fifty-five"
	longestDuration = 34_560_000 * time.Second
)

func TestConfigFromTheDescribedSystemIsRead(t *testing.T) {
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
}

func TestParseConfigReadsEveryKey(t *testing.T) {
	c, err := session.ParseConfig([]byte(`{
		"default": "redis", "secret": "` + configSecret + `", "previous_secrets": ["` + previousSecret + `"],
		"lifetime": "12h", "idle_timeout": 900, "store_timeout": 0.5,
		"limits": "AAL2", "lock_after": "5s", "max_per_user": 13, "at_max_per_user": "refuse_new",
		"cookie_attributes": {"prefix": "__Secure-", "path": "/a", "domain": "example.com",
			"same_site": "strict", "secure": "always", "partitioned": true, "session_only": true},
		"cookie": {"timeout": 1, "flash_ttl": 2, "revocation": "redis", "revocation_window": "14s"},
		"memory": {"timeout": 3, "flash_ttl": "4s", "max_sessions": 5, "by_client_ip": true},
		"redis": {"host": "redis.example", "port": 6380, "password": "` + redisPassword + `",
			"timeout": 6, "flash_ttl": 7, "namespace": "shop",
			"options": {"db": 8, "username": "app", "network": "unix", "socket": "/run/redis.sock",
				"tls": true, "max_idle": 9, "max_active": -1, "idle_conn_timeout": "-1s", "pool_wait": -0.25,
				"dial_timeout": 10, "read_timeout": 11, "write_timeout": 12, "client_name": "shop"}}
	}`))
	require.NoError(t, err)
	require.NotNil(t, c.Redis.Options.TLS)
	assert.False(t, c.Redis.Options.TLS.InsecureSkipVerify)
	assert.Nil(t, c.Redis.Options.TLS.RootCAs, "the system's")
	assert.Empty(t, c.Redis.Options.TLS.ServerName, "the host, also where the program changes it")
	c.Redis.Options.TLS = nil
	want := session.Config{
		Default: "redis", Secret: configSecret, PreviousSecrets: []string{previousSecret},
		Lifetime: 12 * time.Hour, IdleTimeout: 15 * time.Minute, StoreTimeout: 500 * time.Millisecond,
		Limits: session.AAL2, LockAfter: 5 * time.Second, MaxPerUser: 13, AtMaxPerUser: session.RefuseNew,
		CookieAttributes: session.CookieAttributes{Prefix: "__Secure-", Path: "/a", Domain: "example.com",
			SameSite: http.SameSiteStrictMode, Secure: session.SecureAlways, Partitioned: true, SessionOnly: true},
		Cookie: session.CookieConfig{IdleTimeout: time.Second, FlashTTL: 2 * time.Second,
			Revocation: "redis", RevocationWindow: 14 * time.Second},
		Memory: session.MemoryConfig{IdleTimeout: 3 * time.Second, FlashTTL: 4 * time.Second, MaxSessions: 5, ByClientIP: true},
		Redis: session.RedisConfig{Host: "redis.example", Port: 6380, Password: redisPassword,
			IdleTimeout: 6 * time.Second, FlashTTL: 7 * time.Second, Namespace: "shop",
			Options: session.RedisOptions{DB: 8, Username: "app", Network: "unix", Socket: "/run/redis.sock",
				MaxIdle: 9, MaxActive: -1, IdleConnTimeout: -time.Second, PoolWait: -250 * time.Millisecond,
				DialTimeout: 10 * time.Second, ReadTimeout: 11 * time.Second, WriteTimeout: 12 * time.Second,
				ClientName: "shop"}},
	}
	assert.True(t, assert.ObjectsAreEqual(want, c), "%v", c)
	assert.NoError(t, session.ValidateConfig(c))
}

func TestParseConfigTakesWordsForEachChoice(t *testing.T) {
	for text, want := range map[string]http.SameSite{
		"lax": http.SameSiteLaxMode, "strict": http.SameSiteStrictMode, "none": http.SameSiteNoneMode,
	} {
		c, err := session.ParseConfig([]byte(`{"cookie_attributes": {"same_site": "` + text + `"}}`))
		require.NoError(t, err)
		assert.Equal(t, want, c.CookieAttributes.SameSite)
	}
	for text, want := range map[string]session.SecureMode{
		"auto": session.SecureAuto, "always": session.SecureAlways, "never": session.SecureNever,
	} {
		c, err := session.ParseConfig([]byte(`{"cookie_attributes": {"secure": "` + text + `"}}`))
		require.NoError(t, err)
		assert.Equal(t, want, c.CookieAttributes.Secure)
	}
	for text, want := range map[string]session.SessionPolicy{"end_oldest": session.EndOldest, "refuse_new": session.RefuseNew} {
		c, err := session.ParseConfig([]byte(`{"at_max_per_user": "` + text + `"}`))
		require.NoError(t, err)
		assert.Equal(t, want, c.AtMaxPerUser)
	}
	for _, want := range []session.Assurance{"", session.AAL1, session.AAL2, session.AAL3} {
		c, err := session.ParseConfig([]byte(`{"limits": "` + string(want) + `"}`))
		require.NoError(t, err)
		assert.Equal(t, want, c.Limits)
	}
	c, err := session.ParseConfig([]byte(`{"redis": {"options": {"tls": false}}}`))
	require.NoError(t, err)
	assert.Nil(t, c.Redis.Options.TLS)
}

// configFaultTests are the seeds of FuzzParseConfig too.
var configFaultTests = []struct {
	name string
	data string
	want []string // one for each fault, in the order of the file
}{
	{name: "empty", data: "", want: []string{"empty: the least is {}"}},
	{name: "not UTF-8 after what is", data: "{\"é\": \"\ufffd\", \"\xff", want: []string{"line 1, column 13: not UTF-8"}},
	{name: "white space only", data: " \n\t", want: []string{"empty: the least is {}"}},
	{name: "byte order mark", data: "\ufeff{}", want: []string{"begins with a byte order mark"}},
	{name: "UTF-16, little endian", data: "\xff\xfe{\x00}\x00", want: []string{"UTF-16"}},
	{name: "UTF-16, big endian", data: "\xfe\xff\x00{\x00}", want: []string{"UTF-16"}},
	{name: "not UTF-8", data: "{\n \"secret\": \"\xe9\"}", want: []string{"line 2, column 13: not UTF-8"}},
	{name: "larger than 1 MiB", data: "{" + strings.Repeat(" ", 1<<20) + "}", want: []string{"larger than 1 MiB (1048576 bytes)"}},
	{name: "cut short", data: `{"default": "cookie"`, want: []string{"not valid JSON: it ends too early"}},
	{name: "comma too many", data: "{\n\t\"default\": \"cookie\",\n}", want: []string{`line 3, column 1: not valid JSON: unexpected '}'`}},
	{name: "comment", data: "{ // why\n}", want: []string{`line 1, column 3: not valid JSON: unexpected '/'`}},
	{name: "single quotes", data: "{'default': 1}", want: []string{`unexpected '\''`}},
	{name: "column counts characters", data: `{"é": x}`, want: []string{"line 1, column 7: not valid JSON"}},
	{name: "secret without quotes", data: `{"secret": hunter2}`, want: []string{"line 1, column 12: not valid JSON"}},
	{name: "NaN", data: `{"lifetime": NaN}`, want: []string{"not valid JSON"}},
	{name: "too deep", data: strings.Repeat("[", 20000), want: []string{"not valid JSON"}},
	{name: "trailing object", data: "{}\n{}", want: []string{"line 1, column 3: data after the end"}},
	{name: "trailing text", data: "{} x", want: []string{"data after the end"}},
	{name: "trailing form feed", data: "{}\f", want: []string{"data after the end"}},
	{name: "trailing no-break space", data: "{}\u00a0", want: []string{"data after the end"}},
	{name: "trailing NUL", data: "{}\x00", want: []string{"data after the end"}},
	{name: "array", data: "[]", want: []string{"top level: want an object, not an array"}},
	{name: "null", data: "null", want: []string{"top level: want an object, not null"}},
	{name: "string", data: `"$HOME"`, want: []string{"top level: want an object, not a string"}},

	{name: "unknown", data: `{"flavour": 1}`, want: []string{`flavour: unknown field`}},
	{name: "misspelt", data: `{"redis": {"options": {"dbb": 1}}}`, want: []string{`redis.options.dbb: unknown field (did you mean "db"?)`}},
	{name: "another letter case", data: `{"Default": "cookie"}`, want: []string{`Default: unknown field (did you mean "default"?)`}},
	{name: "camel case", data: `{"idleTimeout": 1}`, want: []string{`idleTimeout: unknown field (did you mean "idle_timeout"?)`}},
	{name: "hyphen", data: `{"store-timeout": 1}`, want: []string{`store-timeout: unknown field (did you mean "store_timeout"?)`}},
	{name: "the driver's name for its idle timeout", data: `{"cookie": {"idle_timeout": 1}}`, want: []string{`cookie.idle_timeout: unknown field (did you mean "timeout"?)`}},
	{name: "empty key", data: `{"": 1}`, want: []string{`"": unknown field`}},
	{name: "key that looks like a path", data: `{"redis.port": 1}`, want: []string{`"redis.port": unknown field`}},
	{name: "key with a line break", data: `{"a\nb": 1}`, want: []string{`"a\nb": unknown field`}},
	{name: "endless key", data: `{"` + strings.Repeat("k", 5000) + `": 1}`, want: []string{`": unknown field`}},
	{name: "given twice", data: `{"default": "cookie", "default": "redis"}`, want: []string{"default: given twice"}},
	{name: "given twice, once escaped", data: `{"redis": {"port": 1, "\u0070ort": 2}}`, want: []string{"redis.port: given twice"}},
	{name: "object given twice", data: `{"redis": {}, "redis": {"host": "x"}}`, want: []string{"redis: given twice"}},

	{name: "null for a string", data: `{"secret": null}`, want: []string{"secret: want a string, not null"}},
	{name: "number for a string", data: `{"redis": {"password": 12345}}`, want: []string{"redis.password: want a string, not a number"}},
	{name: "object for a string", data: `{"secret": {"from": "x"}}`, want: []string{"secret: want a string, not an object"}},
	{name: "string for a list", data: `{"previous_secrets": "x"}`, want: []string{"previous_secrets: want an array of strings, not a string"}},
	{name: "number in a list", data: `{"previous_secrets": ["a", 7, null]}`, want: []string{"previous_secrets[1]: want a string, not a number", "previous_secrets[2]: want a string, not null"}},
	{name: "string for an object", data: `{"redis": "redis://:hunter2@h"}`, want: []string{"redis: want an object, not a string"}},
	{name: "string for a number", data: `{"redis": {"port": "6379"}}`, want: []string{"redis.port: want a whole number, not a string"}},
	{name: "fraction for a whole number", data: `{"redis": {"port": 63.79}}`, want: []string{"redis.port: 63.79 is not a whole number"}},
	{name: "exponent for a whole number", data: `{"memory": {"max_sessions": 1e6}}`, want: []string{"memory.max_sessions: 1e6 is not a whole number"}},
	{name: "whole number too large", data: `{"redis": {"options": {"db": 9223372036854775808}}}`, want: []string{"redis.options.db: 9223372036854775808 is too large"}},
	{name: "string for a bool", data: `{"memory": {"by_client_ip": "true"}}`, want: []string{"memory.by_client_ip: want true or false, not a string"}},
	{name: "number for a bool", data: `{"redis": {"options": {"tls": 1}}}`, want: []string{"redis.options.tls: want true or false, not a number"}},
	{name: "no such SameSite", data: `{"cookie_attributes": {"same_site": "Lax"}}`, want: []string{`cookie_attributes.same_site: "Lax" is not known: want "lax", "strict" or "none"`}},
	{name: "no such mode", data: `{"cookie_attributes": {"secure": "yes"}}`, want: []string{`cookie_attributes.secure: "yes" is not known: want "auto", "always" or "never"`}},
	{name: "no such preset", data: `{"limits": "aal2"}`, want: []string{`limits: "aal2" is not known: want "AAL1", "AAL2" or "AAL3"`}},
	{name: "number for a preset", data: `{"limits": 2}`, want: []string{"limits: want a string, not a number"}},
	{name: "no such policy", data: `{"at_max_per_user": "EndOldest"}`, want: []string{`at_max_per_user: "EndOldest" is not known: want "end_oldest" or "refuse_new"`}},
	{name: "no policy", data: `{"at_max_per_user": ""}`, want: []string{`at_max_per_user: "" is not known`}},
	{name: "string for a limit", data: `{"max_per_user": "3"}`, want: []string{"max_per_user: want a whole number, not a string"}},
	{name: "negative lock", data: `{"lock_after": -1}`, want: []string{"lock_after: a negative duration"}},
	{name: "negative window", data: `{"cookie": {"revocation_window": "-1s"}}`, want: []string{"cookie.revocation_window: a negative duration"}},
	{name: "bool for a driver", data: `{"cookie": {"revocation": true}}`, want: []string{"cookie.revocation: want a string, not a bool"}},
	{name: "revocation of another driver", data: `{"memory": {"revocation": "redis"}}`, want: []string{"memory.revocation: unknown field"}},
	{name: "misspelt limits", data: `{"limit": "AAL1", "maxPerUser": 1, "cookie": {"revokation": "redis"}, "lockafter": 1}`, want: []string{
		`limit: unknown field (did you mean "limits"?)`, `maxPerUser: unknown field (did you mean "max_per_user"?)`,
		`cookie.revokation: unknown field (did you mean "revocation"?)`, `lockafter: unknown field (did you mean "lock_after"?)`,
	}},
	{name: "bool for a mode", data: `{"cookie_attributes": {"secure": true}}`, want: []string{"cookie_attributes.secure: want a string, not a bool"}},

	{name: "duration without unit", data: `{"lifetime": "3600"}`, want: []string{`lifetime: "3600" is not a duration of less than 292 years: want a number of seconds or a string such as "90m"`}},
	{name: "duration in days", data: `{"lifetime": "1d"}`, want: []string{`lifetime: "1d" is not a duration`}},
	{name: "duration NaN", data: `{"lifetime": "NaN"}`, want: []string{`lifetime: "NaN" is not a duration`}},
	{name: "empty duration", data: `{"lifetime": ""}`, want: []string{`lifetime: "" is not a duration`}},
	{name: "duration of another type", data: `{"lifetime": true}`, want: []string{`lifetime: want a number of seconds or a string such as "90m", not a bool`}},
	{name: "seconds that overflow", data: `{"lifetime": 9223372037}`, want: []string{"lifetime: 9223372037 is not a duration of less than 292 years"}},
	{name: "seconds beyond a float", data: `{"lifetime": 1e400}`, want: []string{"lifetime: 1e400 is not a duration"}},
	{name: "Go duration that overflows", data: `{"lifetime": "9999999h"}`, want: []string{`lifetime: "9999999h" is not a duration`}},
	{name: "negative seconds", data: `{"redis": {"timeout": -1}}`, want: []string{"redis.timeout: a negative duration has no meaning here"}},
	{name: "negative Go duration", data: `{"cookie": {"flash_ttl": "-2s"}}`, want: []string{"cookie.flash_ttl: a negative duration"}},
	{name: "seconds that would vanish", data: `{"lifetime": 1e-12}`, want: []string{"lifetime: 1e-12 is less than a nanosecond"}},
	{name: "Go duration that would vanish", data: `{"lifetime": "0.1ns"}`, want: []string{`lifetime: "0.1ns" is less than a nanosecond`}},

	{name: "variable not set", data: `{"secret": "$SESSION_TEST_UNSET"}`, want: []string{`secret: the environment variable SESSION_TEST_UNSET is not set; write "$$"`}},
	{name: "variable not set, in lower case", data: `{"default": "$session_test_unset"}`, want: []string{"default: the environment variable session_test_unset is not set"}},
	{name: "variable not set, in a list", data: `{"previous_secrets": ["$SESSION_TEST_UNSET"]}`, want: []string{"previous_secrets[0]: the environment variable SESSION_TEST_UNSET"}},
	{name: "secret that begins with a dollar", data: `{"secret": "$hunter2"}`, want: []string{"secret: the environment variable is not set; write"}},
	{name: "password that begins with a dollar", data: `{"redis": {"password": "$hunter2!"}}`, want: []string{`redis.password: begins with a dollar and is no "$NAME": write "$$"`}},
	{name: "dollar alone", data: `{"default": "$"}`, want: []string{"default: begins with a dollar"}},
	{name: "braces", data: `{"default": "${HOME}"}`, want: []string{"default: begins with a dollar"}},
	{name: "digit first", data: `{"default": "$1"}`, want: []string{"default: begins with a dollar"}},
	{name: "literal dollar where a number is wanted", data: `{"redis": {"port": "$$1"}}`, want: []string{"redis.port: want a whole number, not a string"}},
	{name: "half a surrogate pair", data: `{"secret": "\ud800hunter2"}`, want: []string{"secret: the string has U+FFFD or half a surrogate pair"}},

	{
		name: "all at once",
		data: `{"secert": "hunter2", "lifetime": -1, "redis": {"port": "x", "options": {"db": null}}, "memory": []}`,
		want: []string{
			`secert: unknown field (did you mean "secret"?)`, "lifetime: a negative duration",
			"redis.port: want a whole number", "redis.options.db: want a whole number, not null",
			"memory: want an object, not an array",
		},
	},
}

func TestParseConfigReportsAllFaultsAndNoSecret(t *testing.T) {
	for _, tt := range configFaultTests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := session.ParseConfig([]byte(tt.data))
			require.Error(t, err)
			assert.True(t, assert.ObjectsAreEqual(session.Config{}, c), "half a Config: %v", c)
			lines := strings.Split(err.Error(), "\n")
			require.Len(t, lines, len(tt.want), err.Error())
			for i, want := range tt.want {
				assert.True(t, strings.HasPrefix(lines[i], "session: parse config: "), lines[i])
				assert.Contains(t, lines[i], want)
				assert.Less(t, len(lines[i]), 250)
			}
			assert.NotContains(t, err.Error(), "hunter2")
			assert.NotContains(t, err.Error(), "12345")
		})
	}
}

func TestParseConfigDoesNotListFaultsWithoutEnd(t *testing.T) {
	var data strings.Builder
	data.WriteString(`{"default": "cookie"`)
	for i := range 20000 {
		fmt.Fprintf(&data, `, "key%d": 1`, i)
	}
	data.WriteString(`}`)
	_, err := session.ParseConfig([]byte(data.String()))
	require.Error(t, err)
	assert.Less(t, len(err.Error()), 4096)
	assert.True(t, strings.HasSuffix(err.Error(), "and more faults, not listed"), err)
}

func TestParseConfigTakesValuesFromTheEnvironment(t *testing.T) {
	t.Setenv("SESSION_TEST_SECRET", configSecret)
	t.Setenv("SESSION_TEST_PORT", "6380")
	t.Setenv("SESSION_TEST_SECONDS", "0.5")
	t.Setenv("SESSION_TEST_DURATION", "90m")
	t.Setenv("SESSION_TEST_BOOL", "true")
	t.Setenv("SESSION_TEST_SITE", "none")
	t.Setenv("SESSION_TEST_DOLLARS", "$HOME")
	t.Setenv("SESSION_TEST_EMPTY", "")
	c, err := session.ParseConfig([]byte(`{
		"default": "$SESSION_TEST_EMPTY", "secret": "$SESSION_TEST_SECRET",
		"previous_secrets": ["$$literal", "$SESSION_TEST_SECRET", "$$$", "in$ide"],
		"lifetime": "$SESSION_TEST_DURATION", "idle_timeout": "$SESSION_TEST_SECONDS",
		"cookie_attributes": {"partitioned": "$SESSION_TEST_BOOL", "same_site": "$SESSION_TEST_SITE"},
		"redis": {"port": "$SESSION_TEST_PORT", "password": "$SESSION_TEST_DOLLARS",
			"options": {"tls": "$SESSION_TEST_BOOL"}}}`))
	require.NoError(t, err)
	assert.Empty(t, c.Default)
	assert.Equal(t, configSecret, c.Secret)
	assert.Equal(t, []string{"$literal", configSecret, "$$", "in$ide"}, c.PreviousSecrets)
	assert.Equal(t, 90*time.Minute, c.Lifetime)
	assert.Equal(t, 500*time.Millisecond, c.IdleTimeout)
	assert.True(t, c.CookieAttributes.Partitioned)
	assert.Equal(t, http.SameSiteNoneMode, c.CookieAttributes.SameSite)
	assert.Equal(t, 6380, c.Redis.Port)
	assert.Equal(t, "$HOME", c.Redis.Password, "expanded once")
	assert.NotNil(t, c.Redis.Options.TLS)
}

func TestValuesFromTheEnvironmentAreCheckedAndNotEchoed(t *testing.T) {
	for _, value := range []string{"", "hunter2", "NaN", "Inf", "0x10", "1e400", " 5", "1_0", "-", "[1]", "null", "9223372036854775808"} {
		t.Setenv("SESSION_TEST_VALUE", value)
		_, err := session.ParseConfig([]byte(`{
			"lifetime": "$SESSION_TEST_VALUE",
			"redis": {"port": "$SESSION_TEST_VALUE", "options": {"tls": "$SESSION_TEST_VALUE"}},
			"cookie_attributes": {"secure": "$SESSION_TEST_VALUE"}}`))
		require.Error(t, err, value)
		lines := strings.Split(err.Error(), "\n")
		require.Len(t, lines, 4, "%q: %s", value, err)
		assert.Contains(t, lines[0], "lifetime: the variable's value is not a duration")
		assert.Contains(t, lines[1], "redis.port: the variable's value is ")
		assert.Contains(t, lines[2], "redis.options.tls: the variable's value is not true or false")
		assert.Contains(t, lines[3], "cookie_attributes.secure: the variable's value is not known")
		assert.NotContains(t, err.Error(), "hunter2")
	}
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
		{name: "empty", path: write("empty.json", ""), want: []string{`empty.json": empty: the least is {}`}},
		{name: "too large", path: write("large.json", strings.Repeat(" ", 1<<20+1)), want: []string{`large.json": larger than 1 MiB`}},
		{name: "each fault", path: write("faults.json", `{"a": 1, "bc": 2}`), want: []string{`faults.json": a: unknown field`, `faults.json": bc: unknown field`}},
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

func FuzzParseConfig(f *testing.F) {
	for _, tt := range configFaultTests {
		if len(tt.data) < 1000 {
			f.Add([]byte(tt.data))
		}
	}
	data, err := os.ReadFile("testdata/session.json")
	require.NoError(f, err)
	f.Add(data)
	f.Add([]byte(`{"lifetime": 1e3, "cookie_attributes": {"same_site": "none", "path": "/x"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var c session.Config
		var err error
		bytes := session.Allocated(func() { c, err = session.ParseConfig(data) })
		assert.LessOrEqual(t, bytes, uint64(1<<20+1000*len(data)))
		if err != nil {
			assert.True(t, assert.ObjectsAreEqual(session.Config{}, c), "half a Config")
			assert.True(t, strings.HasPrefix(err.Error(), "session: parse config: "), err.Error())
			assert.Less(t, len(err.Error()), 16<<10)
			return
		}
		assert.True(t, json.Valid(data))
		if err := session.ValidateConfig(c); err != nil {
			for line := range strings.Lines(err.Error()) {
				assert.True(t, strings.HasPrefix(line, "session: "), line)
			}
		}
		_ = fmt.Sprintf("%#v", c)
		shown, err := json.Marshal(c)
		require.NoError(t, err)
		assert.True(t, json.Valid(shown))
	})
}

// validConfig is a configuration that a test spoils in one place.
func validConfig() session.Config {
	return session.Config{Secret: configSecret}
}

func TestConfigFaultsAreFoundAtConstruction(t *testing.T) {
	driver := struct{ session.Driver }{}
	tests := []struct {
		name  string
		spoil func(c *session.Config)
		want  []string // one for each fault; none: accepted
	}{
		{name: "secret alone", spoil: func(c *session.Config) {}},
		{name: "memory needs no secret", spoil: func(c *session.Config) { *c = session.Config{Default: "memory"} }},
		{name: "redis needs no secret", spoil: func(c *session.Config) { *c = session.Config{Default: "redis"} }},
		{
			name:  "cookie needs one",
			spoil: func(c *session.Config) { *c = session.Config{} },
			want:  []string{"Config.Secret: missing, and the cookie driver encrypts with it: make one with `head -c 32 /dev/urandom | base64`"},
		},
		{name: "short secret, also where it is not the default's", spoil: func(c *session.Config) { c.Default, c.Secret = "memory", "short" }, want: []string{"Config.Secret"}},
		{name: "previous secret", spoil: func(c *session.Config) { c.PreviousSecrets = []string{previousSecret} }},
		{name: "short previous secret", spoil: func(c *session.Config) { c.PreviousSecrets = []string{previousSecret, "short"} }, want: []string{"Config.PreviousSecrets[1]"}},
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
		}, want: []string{`Drivers["redis_f"]: a cookie of that name`, `Drivers["x_f"]: a cookie of that name`}},

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
		{name: "preset", spoil: func(c *session.Config) { c.Limits, c.LockAfter = session.AAL2, 59*time.Minute }},
		{name: "shorter than the preset", spoil: func(c *session.Config) {
			c.Limits, c.Lifetime, c.IdleTimeout, c.Cookie.IdleTimeout = session.AAL3, time.Hour, 10*time.Minute, time.Minute
		}},
		{name: "longer than the preset", spoil: func(c *session.Config) {
			c.Limits, c.Lifetime, c.IdleTimeout = session.AAL3, 12*time.Hour+1, 15*time.Minute+1
			c.Cookie.IdleTimeout, c.Memory.IdleTimeout, c.Redis.IdleTimeout = time.Hour, time.Hour, time.Hour
		}, want: []string{
			"Config.Lifetime: 12h0m0.000000001s is more than the 12h0m0s that Limits AAL3 allows", "Config.IdleTimeout: 15m0.000000001s is more than the 15m0s",
			"Config.Cookie.IdleTimeout", "Config.Memory.IdleTimeout", "Config.Redis.IdleTimeout",
		}},
		{name: "no such preset", spoil: func(c *session.Config) { c.Limits = "AAL4" }, want: []string{`Config.Limits: "AAL4" is not known: want "AAL1", "AAL2" or "AAL3"`}},
		{name: "lock as late as the idle timeout", spoil: func(c *session.Config) { c.LockAfter = time.Hour }, want: []string{
			"Config.LockAfter: 1h0m0s is not shorter than the idle timeout of 1h0m0s",
		}},
		{name: "lock as late as the driver's own idle timeout", spoil: func(c *session.Config) {
			c.Default, c.LockAfter, c.Drivers = "mine", 10*time.Minute,
				map[string]session.Driver{"mine": session.NewMemoryDriver(session.MemoryConfig{IdleTimeout: 10 * time.Minute})}
		}, want: []string{"Config.LockAfter: 10m0s is not shorter than the idle timeout of 10m0s"}},
		{name: "sessions of a user that nobody can count", spoil: func(c *session.Config) { c.Default, c.MaxPerUser = "cookie", 1 }, want: []string{
			"Config.MaxPerUser: the cookie driver cannot count sessions by itself",
		}},
		{name: "sessions of a user that redis counts", spoil: func(c *session.Config) {
			c.Default, c.MaxPerUser, c.Cookie.Revocation = "cookie", 1, "redis"
		}},
		{name: "negative numbers of accounts", spoil: func(c *session.Config) {
			c.MaxPerUser, c.AtMaxPerUser, c.LockAfter, c.Cookie.RevocationWindow = -1, -1, -1, -1
		}, want: []string{
			"Config.MaxPerUser: -1 is negative", "Config.AtMaxPerUser: -1 is no policy", "Config.LockAfter: -1ns is negative",
			"Config.Cookie.RevocationWindow: -1ns is negative",
		}},
		{name: "revocation by a driver that is not there", spoil: func(c *session.Config) { c.Cookie.Revocation, c.Lifetime = "file", -1 }, want: []string{
			`session: unknown driver "file": known are cookie, memory, redis (Config.Cookie.Revocation)`, "Config.Lifetime",
		}},
		{name: "revocation by the cookie itself", spoil: func(c *session.Config) { c.Cookie.Revocation, c.Lifetime = "cookie", -1 }, want: []string{
			`Config.Cookie.Revocation: driver "cookie" cannot keep track of users`, "Config.Lifetime",
		}},
		{name: "revocation by client address", spoil: func(c *session.Config) {
			c.Cookie.Revocation, c.Memory.ByClientIP, c.Lifetime = "memory", true, -1
		}, want: []string{`Config.Cookie.Revocation: driver "memory" cannot keep track of users`, "Config.Lifetime"}},
		{name: "revocation by a driver without an index", spoil: func(c *session.Config) {
			c.Cookie.Revocation, c.Drivers, c.Lifetime = "mine", map[string]session.Driver{"mine": driver}, -1
		}, want: []string{`Config.Cookie.Revocation: driver "mine" cannot keep track of users`, "Config.Lifetime"}},
		{name: "negative count", spoil: func(c *session.Config) { c.Memory.MaxSessions = -1 }, want: []string{"Config.Memory.MaxSessions: -1 is negative"}},

		{name: "highest port", spoil: func(c *session.Config) { c.Redis.Port = 65535 }},
		{name: "port out of range", spoil: func(c *session.Config) { c.Redis.Port = 65536 }, want: []string{"Config.Redis.Port: 65536 is not a port: 1 to 65535"}},
		{name: "negative port and database", spoil: func(c *session.Config) { c.Redis.Port, c.Redis.Options.DB = -1, -1 }, want: []string{"Config.Redis.Port: -1", "Config.Redis.Options.DB: -1 is negative"}},
		{name: "IPv6", spoil: func(c *session.Config) { c.Redis.Host = "fe80::1%eth0" }},
		{name: "host with port", spoil: func(c *session.Config) { c.Redis.Host = "localhost:6379" }, want: []string{"Config.Redis.Host: give a name or an address alone"}},
		{name: "host in brackets", spoil: func(c *session.Config) { c.Redis.Host = "[::1]" }, want: []string{"Config.Redis.Host"}},
		{name: "URL with a password", spoil: func(c *session.Config) { c.Redis.Host = "redis://:hunter2@localhost" }, want: []string{"Config.Redis.Host"}},
		{name: "path for a host", spoil: func(c *session.Config) { c.Redis.Host = "/run/redis.sock" }, want: []string{"Options.Socket"}},
		{name: "line break in a host", spoil: func(c *session.Config) { c.Redis.Host = "localhost\n" }, want: []string{"Config.Redis.Host"}},
		{name: "unix socket", spoil: func(c *session.Config) { c.Redis.Options.Network, c.Redis.Options.Socket = "unix", "/run/redis.sock" }},
		{name: "socket alone", spoil: func(c *session.Config) { c.Redis.Options.Socket = "/run/redis.sock" }},
		{name: "unix without a socket", spoil: func(c *session.Config) { c.Redis.Options.Network = "unix" }, want: []string{"Config.Redis.Options.Socket: missing"}},
		{name: "tcp with a socket", spoil: func(c *session.Config) { c.Redis.Options.Network, c.Redis.Options.Socket = "tcp", "/run/redis.sock" }, want: []string{"Config.Redis.Options.Socket: set"}},
		{name: "no such network", spoil: func(c *session.Config) { c.Redis.Options.Network = "udp" }, want: []string{`Config.Redis.Options.Network: "udp" is not known`}},
		{name: "client name with a space", spoil: func(c *session.Config) { c.Redis.Options.ClientName = "a b" }, want: []string{"Config.Redis.Options.ClientName"}},
		{name: "namespace with punctuation", spoil: func(c *session.Config) { c.Redis.Namespace = "shop:eu-1/é" }},
		{name: "namespace that chooses a slot", spoil: func(c *session.Config) { c.Redis.Namespace = "{shop}" }, want: []string{"Config.Redis.Namespace: \"{shop}\" has '{' in it"}},
		{name: "namespace with a line break", spoil: func(c *session.Config) { c.Redis.Namespace = "shop\n" }, want: []string{"Config.Redis.Namespace"}},
		{name: "longest namespace", spoil: func(c *session.Config) { c.Redis.Namespace = strings.Repeat("n", 200) }},
		{name: "namespace too long", spoil: func(c *session.Config) { c.Redis.Namespace = strings.Repeat("n", 201) }, want: []string{"Config.Redis.Namespace: 201 bytes, at most 200"}},

		{name: "cookie attributes", spoil: func(c *session.Config) {
			c.CookieAttributes = session.CookieAttributes{Prefix: "__Host-", Path: "/a", Domain: "example.com", Secure: session.SecureNever}
		}, want: []string{"Config.CookieAttributes.Prefix: browsers refuse a __Host- cookie whose Path", "cookie with a Domain", "Config.CookieAttributes.Secure"}},
		{name: "faults of every kind at once", spoil: func(c *session.Config) {
			*c = session.Config{Default: "x", Secret: "short", Lifetime: -1, CookieAttributes: session.CookieAttributes{Path: "x"},
				Memory: session.MemoryConfig{MaxSessions: -1}, Redis: session.RedisConfig{Port: -1}, Drivers: map[string]session.Driver{"": driver}}
		}, want: []string{"unknown driver", "Drivers", "Secret", "Lifetime", "Path", "MaxSessions", "Port"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := validConfig()
			tt.spoil(&c)
			err := session.ValidateConfig(c)
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
	c := validConfig()
	c.Default = "file"
	assert.ErrorIs(t, session.ValidateConfig(c), session.ErrUnknownDriver)
	assert.NotErrorIs(t, session.ValidateConfig(session.Config{}), session.ErrUnknownDriver)
}

func TestValidationDoesNotChangeTheConfig(t *testing.T) {
	c := session.Config{Secret: configSecret, Redis: session.RedisConfig{Options: session.RedisOptions{TLS: &tls.Config{}}}}
	require.NoError(t, session.ValidateConfig(c))
	want := session.Config{Secret: configSecret, Redis: session.RedisConfig{Options: session.RedisOptions{TLS: &tls.Config{}}}}
	assert.True(t, assert.ObjectsAreEqual(want, c))
}

// secretConfig has a secret in every place that can hold one.
func secretConfig() session.Config {
	return session.Config{
		Default: "redis", Secret: configSecret, PreviousSecrets: []string{previousSecret},
		Drivers: map[string]session.Driver{"files": struct {
			session.Driver
			secret string
		}{secret: configSecret}},
		Redis: session.RedisConfig{Host: "redis://:" + redisPassword + "@h", Password: redisPassword,
			Options: session.RedisOptions{
				Username: "app",
				TLS:      &tls.Config{Certificates: []tls.Certificate{{PrivateKey: []byte(configSecret)}}},
				Pool:     &redis.Pool{Dial: func() (redis.Conn, error) { return nil, errors.New(redisPassword) }},
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
	assert.True(t, strings.HasPrefix(text, `session.Config{Default:"", Secret:[redacted], PreviousSecrets:0, Lifetime:1h0m0s, `), text)
	assert.Contains(t, text, `CookieAttributes:{Prefix:"", Path:"", Domain:"", SameSite:"Lax", Secure:"auto", `)
	assert.Contains(t, text, `Redis:{URL:[none], Host:"", Port:0, Password:[none], Options:{DB:0, `)
	assert.Contains(t, text, `Drivers:"a b"`)
	assert.Equal(t, text, fmt.Sprintf("%#v", &c))

	assert.True(t, strings.HasPrefix(fmt.Sprint(session.RedisConfig{Host: "h"}), `session.RedisConfig{URL:[none], Host:"h", Port:0, `))
	assert.True(t, strings.HasPrefix(fmt.Sprint(session.RedisOptions{}), `session.RedisOptions{DB:0, `))

	var shown map[string]any
	data, err := json.Marshal(c)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &shown))
	assert.Equal(t, "[redacted]", shown["Secret"])
	assert.Equal(t, "1h0m0s", shown["Lifetime"])
	assert.Equal(t, "[none]", shown["Redis"].(map[string]any)["Password"])
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
	_, err := session.SecureMode(-1).MarshalText()
	assert.EqualError(t, err, "session: marshal SecureMode: -1 is not a mode")

	mode := session.SecureAlways
	for _, text := range []string{"", "Auto", "true", "SecureMode(7)"} {
		err := mode.UnmarshalText([]byte(text))
		assert.EqualError(t, err, `session: unmarshal SecureMode: want "auto", "always" or "never"`)
		assert.Equal(t, session.SecureAlways, mode)
	}
}
