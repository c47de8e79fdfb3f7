package session

import (
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// withURL returns the configuration with what its URL says in the fields that say the same.
func (c RedisConfig) withURL() (RedisConfig, error) {
	if c.URL == "" {
		return c, nil
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return c, redisURLFault("is no URL") // url.Parse's text would hold the password
	}
	c.URL = ""
	c.Options.Username = u.User.Username()
	c.Password, _ = u.User.Password()
	database := strings.TrimPrefix(u.Path, "/")
	switch u.Scheme {
	case "redis", "rediss":
		if err := c.takeHost(u); err != nil {
			return c, err
		}
		if u.RawQuery != "" {
			return c, redisURLFault("has a query, which says nothing here")
		}
	case "unix":
		if u.Host != "" || u.Path == "" {
			return c, redisURLFault("names no socket: write unix:///path")
		}
		c.Options.Socket = u.Path
		database = u.Query().Get("db")
	default:
		return c, redisURLFault("has another scheme than redis, rediss and unix")
	}
	if database == "" {
		return c, nil
	}
	if c.Options.DB, err = strconv.Atoi(database); err != nil || c.Options.DB < 0 {
		return c, redisURLFault("names a database that is not a number")
	}
	return c, nil
}

func (c *RedisConfig) takeHost(u *url.URL) error {
	c.Host = u.Hostname()
	if port := u.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return redisURLFault("has a port that is not 1 to 65535")
		}
		c.Port = int(n)
	}
	if u.Scheme == "rediss" {
		c.Options.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.host()}
	}
	return nil
}

func redisURLFault(what string) error {
	return configFault("Redis.URL", "it %s; a full one is redis://user:password@host:6379/1", what)
}

// checkRedisURL reports a URL that cannot be used, and fields that say the same twice.
func checkRedisURL(c RedisConfig) error {
	if c.URL == "" {
		return nil
	}
	_, err := c.withURL()
	o := c.Options
	if c.Host != "" || c.Port != 0 || c.Password != "" || o.DB != 0 || o.Username != "" || o.TLS != nil || o.Socket != "" {
		err = errors.Join(err, configFault("Redis.URL", "it is set beside fields that say the same; "+
			"leave Host, Port, Password, Options.DB, Username, TLS and Socket empty"))
	}
	return err
}

// address returns the network and address to dial.
func (c RedisConfig) address() (network, address string) {
	if c.Options.Network == "unix" || (c.Options.Network == "" && c.Options.Socket != "") {
		return "unix", c.Options.Socket
	}
	return "tcp", net.JoinHostPort(c.host(), strconv.Itoa(c.port()))
}
