package session

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"example.com/session/internal/redis"
)

// A RedisConfig configures the redis driver, which connects when it is first used. Like a Config,
// it is printed without its password.
type RedisConfig struct {
	// URL replaces Host, Port, Password and Options.DB, Username, TLS and Socket, which must be
	// empty then: "redis://user:password@host:6379/1", or "rediss://..." for TLS, or
	// "unix:///path?db=1". Empty means that those fields are used.
	URL string `secret:"true"`

	// Host is a name or an address, without scheme, port and brackets. Empty means "127.0.0.1".
	Host string

	// Port is 1 to 65535. Zero means 6379.
	Port int

	// Password is sent with AUTH. Without TLS, everybody on the network path can read it. Empty
	// means no AUTH.
	Password string `secret:"true"`

	// Options are about the connections. The zero value is right for a server nearby.
	Options RedisOptions

	// IdleTimeout overrides Config.IdleTimeout for this driver. Zero means Config.IdleTimeout;
	// negative values and more than 400 days are errors.
	IdleTimeout time.Duration

	// FlashTTL removes flash values that were not shown within this time. Zero means that only
	// the next page removes them; negative values are errors.
	FlashTTL time.Duration

	// Namespace begins every key, as in "<namespace>:session:<id>". Empty means "session:<id>".
	// Applications that share a database need different namespaces. At most 200 bytes, without
	// control characters and without braces, which choose the slot of a cluster.
	Namespace string
}

// RedisOptions are the connection options of the redis driver. Like a Config, they are printed
// without secrets.
type RedisOptions struct {
	// DB is the database to SELECT. Zero means 0, the only one of a cluster; negative values are
	// errors.
	DB int

	// Username is the ACL user for AUTH and needs a password. Empty means the user "default".
	Username string

	// TLS encrypts the connections. An empty ServerName means Host. With InsecureSkipVerify,
	// everybody on the network path can read the password and every session. Nil means no TLS,
	// unless TLSCA is set; that is acceptable within one host or a private network.
	TLS *tls.Config

	// TLSCA is a PEM file with the root certificates that the server's certificate is verified
	// with. It enables TLS. NewManager reads it. Empty means the system's root certificates.
	TLSCA string

	// Network is "tcp" or "unix". Empty means "unix" if Socket is set, else "tcp".
	Network string

	// Socket is the path of a unix socket, which replaces Host and Port. Empty means none.
	Socket string

	// Connections is the number of open connections. If there are more operations at a time, they
	// share connections; none waits for a free one. Zero means 4; negative values are errors.
	Connections int

	// IdleConnTimeout replaces connections that were not used for this long. Zero means 4 minutes.
	// Negative means never; a firewall in between may then drop them without notice.
	IdleConnTimeout time.Duration

	// DialTimeout limits connecting, ReadTimeout waiting for a reply, and WriteTimeout sending a
	// command. Zero means 1 second for each; negative values are errors.
	DialTimeout, ReadTimeout, WriteTimeout time.Duration

	// ClientName is shown by CLIENT LIST: printable ASCII without spaces. Empty means none.
	ClientName string

	// Client is the application's own client, for example for a cluster or Sentinel. It replaces
	// all fields above, and Host, Port and Password. Package example.com/session/goredis adapts
	// clients of go-redis. Manager.Close does not close it. Nil means that the driver connects by
	// itself.
	Client RedisClient
}

// resolve validates c and returns it in the form that package redis works with: the URL taken
// apart, every default filled in and TLSCA loaded.
func (c RedisConfig) resolve() (redis.Config, error) {
	if err := errors.Join(c.check()...); err != nil {
		return redis.Config{}, err
	}
	c, _ = c.withURL() // check has found no error
	o := c.Options
	host := cmp.Or(c.Host, "127.0.0.1")
	tlsConfig, err := o.loadTLS(host)
	resolved := redis.Config{
		Network: "tcp", Address: net.JoinHostPort(host, strconv.Itoa(cmp.Or(c.Port, 6379))),
		Username: o.Username, Password: c.Password, DB: o.DB, TLS: tlsConfig, ClientName: o.ClientName,
		Connections:     cmp.Or(o.Connections, 4),
		IdleConnTimeout: max(cmp.Or(o.IdleConnTimeout, 4*time.Minute), 0),
		DialTimeout:     cmp.Or(o.DialTimeout, time.Second),
		ReadTimeout:     cmp.Or(o.ReadTimeout, time.Second),
		WriteTimeout:    cmp.Or(o.WriteTimeout, time.Second),
		Namespace:       c.Namespace, Client: o.Client,
	}
	if o.Socket != "" {
		resolved.Network, resolved.Address = "unix", o.Socket
	}
	return resolved, err
}

// loadTLS returns TLS with the certificates of TLSCA and with host as default ServerName, or nil
// for no TLS.
func (o RedisOptions) loadTLS(host string) (*tls.Config, error) {
	if o.TLS == nil && o.TLSCA == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.TLS != nil {
		config = o.TLS.Clone()
	}
	config.ServerName = cmp.Or(config.ServerName, host)
	if o.TLSCA == "" {
		return config, nil
	}
	pem, err := os.ReadFile(o.TLSCA)
	if err != nil {
		return nil, fmt.Errorf("session: Config.Redis.Options.TLSCA: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, configError("Redis.Options.TLSCA", "%q holds no certificate in PEM form", o.TLSCA)
	}
	return config, nil
}

// withURL returns c with the parts of its URL in the fields that they replace.
func (c RedisConfig) withURL() (RedisConfig, error) {
	if c.URL == "" {
		return c, nil
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return c, redisURLError("is not a URL") // the text of url.Parse would hold the password
	}
	c.URL = ""
	c.Options.Username = u.User.Username()
	c.Password, _ = u.User.Password()
	if err := c.takeHost(u); err != nil {
		return c, err
	}
	database := strings.TrimPrefix(u.Path, "/")
	if u.Scheme == "unix" {
		c.Options.Socket, database = u.Path, u.Query().Get("db")
	}
	if c.Options.DB, err = strconv.Atoi(cmp.Or(database, "0")); err != nil || c.Options.DB < 0 {
		return c, redisURLError("names a database that is not a number")
	}
	return c, nil
}

// takeHost sets Host, Port and TLS from a URL.
func (c *RedisConfig) takeHost(u *url.URL) error {
	switch {
	case u.Scheme != "redis" && u.Scheme != "rediss" && u.Scheme != "unix":
		return redisURLError("has another scheme than redis, rediss and unix")
	case u.Scheme == "unix" && (u.Host != "" || u.Path == ""):
		return redisURLError("names no socket: write unix:///path")
	case u.Scheme == "unix":
		return nil
	case u.RawQuery != "":
		return redisURLError("has a query, which has no meaning here")
	case u.Scheme == "redis" && c.Options.TLSCA != "":
		return redisURLError("excludes TLS, but Options.TLSCA is set: use rediss://")
	case u.Scheme == "rediss":
		c.Options.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	c.Host = u.Hostname()
	port, err := strconv.ParseUint(cmp.Or(u.Port(), "6379"), 10, 16)
	if err != nil || port == 0 {
		return redisURLError("has a port that is not 1 to 65535")
	}
	c.Port = int(port)
	return nil
}

func redisURLError(problem string) error {
	return configError("Redis.URL",
		"it %s; a complete one is redis://user:password@host:6379/1", problem)
}
