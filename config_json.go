package session

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"example.com/session/internal/strictjson"
)

// LoadConfig reads a configuration from a file in the form that ParseConfig describes, of at most 1
// MiB. Its errors name the file. If there is no such file, the error wraps fs.ErrNotExist.
func LoadConfig(path string) (Config, error) {
	data, err := readConfigFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("session: load config: %w", err) // names the path itself
	}
	return parseConfig(data, fmt.Sprintf("session: load config %q: ", path))
}

// readConfigFile reads no more than one byte past the limit, also from a file that never ends.
func readConfigFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, strictjson.MaxBytes+1))
}

// ParseConfig reads a configuration from JSON:
//
//	{"default": "redis", "secret": "$SESSION_SECRET", "lifetime": "24h",
//	 "redis": {"host": "127.0.0.1", "port": 6379, "password": "", "options": {"db": 1},
//	           "timeout": 3600, "namespace": "shop"}}
//
// The keys are the fields of Config in snake_case, with two exceptions: the IdleTimeout of a driver
// is "timeout", and "tls": true means TLS with the system's root certificates. A duration is a
// number of seconds, such as 3600 or 0.5, or a string such as "90m". A string that is exactly
// "$NAME" is replaced by the value of that environment variable, also where a number, a duration or
// a bool is expected. It is an error if the variable is not set. To begin a string with a dollar
// sign, write "$$".
//
// Unknown and repeated keys, keys in another letter case, null, wrong types, values out of range
// and trailing data are errors; otherwise a misspelt limit would silently have its default value.
// All errors are reported together, each with the line and the path of the key, such as
// redis.options.db. None of them contains a secret. ParseConfig does not report a missing Secret or
// driver; NewManager does.
func ParseConfig(data []byte) (Config, error) {
	return parseConfig(data, "session: parse config: ")
}

// parseConfig is ParseConfig with the words that begin each error.
func parseConfig(data []byte, operation string) (Config, error) {
	var c Config
	var useTLS bool
	problems := strictjson.Parse(data, configFields(&c, &useTLS))
	if useTLS {
		c.Redis.Options.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if err := errors.Join(c.checkValues()...); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			problems = append(problems, errors.New(strings.TrimPrefix(line, "session: ")))
		}
	}
	if len(problems) == 0 {
		return c, nil
	}
	for i, problem := range problems {
		problems[i] = fmt.Errorf("%s%w", operation, problem)
	}
	return Config{}, errors.Join(problems...)
}

// configFields is the JSON form of a Config.
func configFields(c *Config, useTLS *bool) strictjson.Fields {
	return strictjson.Fields{
		"default":           strictjson.String(&c.Default),
		"secret":            strictjson.Secret(&c.Secret),
		"previous_secrets":  strictjson.Secrets(&c.PreviousSecrets),
		"lifetime":          strictjson.Duration(&c.Lifetime),
		"idle_timeout":      strictjson.Duration(&c.IdleTimeout),
		"store_timeout":     strictjson.Duration(&c.StoreTimeout),
		"assurance":         strictjson.Choice(&c.Assurance, assuranceLevels),
		"lock_after":        strictjson.Duration(&c.LockAfter),
		"max_per_user":      strictjson.Int(&c.MaxPerUser),
		"at_max_per_user":   strictjson.Choice(&c.AtMaxPerUser, signInPolicies),
		"cookie_attributes": strictjson.Object(cookieAttributesFields(&c.CookieAttributes)),
		"cookie": strictjson.Object(strictjson.Fields{
			"timeout":           strictjson.Duration(&c.Cookie.IdleTimeout),
			"flash_ttl":         strictjson.Duration(&c.Cookie.FlashTTL),
			"revocation":        strictjson.String(&c.Cookie.Revocation),
			"revocation_window": strictjson.Duration(&c.Cookie.RevocationWindow),
		}),
		"memory": strictjson.Object(strictjson.Fields{
			"timeout":      strictjson.Duration(&c.Memory.IdleTimeout),
			"flash_ttl":    strictjson.Duration(&c.Memory.FlashTTL),
			"max_sessions": strictjson.Int(&c.Memory.MaxSessions),
			"by_client_ip": strictjson.Bool(&c.Memory.ByClientIP),
		}),
		"redis": strictjson.Object(strictjson.Fields{
			"url":       strictjson.Secret(&c.Redis.URL),
			"host":      strictjson.String(&c.Redis.Host),
			"port":      strictjson.Int(&c.Redis.Port),
			"password":  strictjson.Secret(&c.Redis.Password),
			"timeout":   strictjson.Duration(&c.Redis.IdleTimeout),
			"flash_ttl": strictjson.Duration(&c.Redis.FlashTTL),
			"namespace": strictjson.String(&c.Redis.Namespace),
			"options":   strictjson.Object(redisOptionsFields(&c.Redis.Options, useTLS)),
		}),
	}
}

func cookieAttributesFields(a *CookieAttributes) strictjson.Fields {
	sameSite := map[string]http.SameSite{
		"lax": http.SameSiteLaxMode, "strict": http.SameSiteStrictMode, "none": http.SameSiteNoneMode,
	}
	return strictjson.Fields{
		"prefix":       strictjson.String(&a.Prefix),
		"path":         strictjson.String(&a.Path),
		"domain":       strictjson.String(&a.Domain),
		"same_site":    strictjson.Choice(&a.SameSite, sameSite),
		"secure":       strictjson.Choice(&a.Secure, secureModes),
		"partitioned":  strictjson.Bool(&a.Partitioned),
		"session_only": strictjson.Bool(&a.SessionOnly),
	}
}

func redisOptionsFields(o *RedisOptions, useTLS *bool) strictjson.Fields {
	return strictjson.Fields{
		"db":                strictjson.Int(&o.DB),
		"username":          strictjson.String(&o.Username),
		"network":           strictjson.String(&o.Network),
		"socket":            strictjson.String(&o.Socket),
		"tls":               strictjson.Bool(useTLS),
		"tls_ca":            strictjson.String(&o.TLSCA),
		"connections":       strictjson.Int(&o.Connections),
		"idle_conn_timeout": strictjson.Duration(&o.IdleConnTimeout),
		"dial_timeout":      strictjson.Duration(&o.DialTimeout),
		"read_timeout":      strictjson.Duration(&o.ReadTimeout),
		"write_timeout":     strictjson.Duration(&o.WriteTimeout),
		"client_name":       strictjson.String(&o.ClientName),
	}
}
