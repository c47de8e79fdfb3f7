// Package redis keeps sessions in redis: one string a session, and one sorted set for the index of
// a user. It knows commands and replies, connections and the server's clock. What is particular to
// sessions is in package store, of which it is a driver.Store.
package redis

import (
	"context"
	"crypto/tls"
	"io"
	"time"

	"example.com/session/driver"
	"example.com/session/internal/store"
)

// A Config says how to reach the server. It has no defaults: a zero time-out or limit is none. Either
// Network and Address or Client is set; the other fields but Namespace are then those of Client.
type Config struct {
	Network, Address string // as net.Dial takes them
	Username         string
	Password         string
	DB               int
	TLS              *tls.Config // nil: no TLS
	ClientName       string      // what CLIENT LIST shows

	Connections     int           // that are open at a time; at least one
	IdleConnTimeout time.Duration // how long an unused connection stays open

	DialTimeout, ReadTimeout, WriteTimeout time.Duration

	Namespace string // begins every key, in front of a colon; may be empty
	Client    Client // is used in place of a pool; stays open
}

// A Driver keeps sessions in a redis server. It dials at first use.
type Driver struct {
	*store.Driver // of the strings; the index is this type's own

	client   Client
	own      *pool // client, if the driver made it; a pointer, so that fmt does not print the password
	clock    *clock
	patience time.Duration // how long Time may ask
	prefix   string        // of keys
}

var (
	_ driver.Driver = (*Driver)(nil)
	_ driver.Index  = (*Driver)(nil)
	_ driver.Pinger = (*Driver)(nil)
	_ driver.Clock  = (*Driver)(nil)
	_ io.Closer     = (*Driver)(nil)
)

// New returns a driver for a valid configuration. It does not connect.
func New(c Config) *Driver {
	d := &Driver{client: c.Client, prefix: "session:", patience: c.DialTimeout}
	if c.Namespace != "" {
		d.prefix = c.Namespace + ":session:"
	}
	if d.patience <= 0 {
		d.patience = time.Second
	}
	if d.client == nil {
		d.clock = newClock(ownTolerance)
		d.own = newPool(c, d.clock)
		d.client = d.own
	} else {
		d.clock = newClock(clientTolerance)
	}
	d.Driver = store.New(stringStore{d})
	return d
}

// Close closes the pool, but not a Client. It may be called more than once.
func (d *Driver) Close() error {
	if d.own == nil {
		return nil
	}
	d.own.close()
	return nil
}

// Retries returns how often a command was sent once more because its connection broke.
func (d *Driver) Retries() uint64 {
	if d.own == nil {
		return 0
	}
	return d.own.retries.Load()
}

// do sends a command once the offset of the server's clock is known.
func (d *Driver) do(ctx context.Context, command ...any) (any, error) {
	if err := d.knowTime(ctx); err != nil {
		return nil, err
	}
	return d.send(ctx, command...)
}

func (d *Driver) send(ctx context.Context, command ...any) (any, error) {
	reply, err := d.client.Do(ctx, command...)
	if fromReplica(err) {
		d.clock.forget()
	}
	return reply, classify(err, d.own != nil)
}

// text returns a reply that is a string, "" for any other.
func text(reply any) string {
	switch v := reply.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	}
	return ""
}
