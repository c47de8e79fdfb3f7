package session

import (
	"context"
	"io"

	"example.com/session/internal/redis"
)

// NewRedisDriver returns a driver that keeps sessions in a redis server, for Config.Drivers, so
// that any number of processes share them. It connects at first use. The caller closes it: the
// result implements io.Closer. NewManager makes one from Config.Redis by itself.
//
// A session is one key, `session:<id>`, and no key is ever without an expiry. Loading a session is
// one round trip, and so is a save without a conflict. If a connection breaks before the reply, the
// operation is tried once more on a new connection. A save has a number, so it is never applied
// twice.
func NewRedisDriver(cfg RedisConfig) (Driver, error) {
	resolved, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	return &redisDriver{redis.New(resolved), ownLimits{idle: cfg.IdleTimeout, flashTTL: cfg.FlashTTL}}, nil
}

// A RedisClient is the application's own client for RedisOptions.Client, for example for a cluster
// or Sentinel. It must be safe for concurrent use. Package example.com/session/goredis adapts
// clients of go-redis.
type RedisClient interface {
	// Do sends one command and returns its reply as redigo and go-redis give it: a string or
	// []byte, an int64, nil, or []any of these. Arguments are strings, []byte, int64 and values
	// that implement encoding.BinaryMarshaler, which are to be encoded each time that the command
	// is sent. An error reply is returned as an error with a method RedisError(), whose text begins
	// with the error code that redis sent, such as LOADING. Do returns when ctx ends.
	Do(ctx context.Context, args ...any) (any, error)
}

type redisDriver struct {
	*redis.Driver
	ownLimits
}

var _ io.Closer = (*redisDriver)(nil)
