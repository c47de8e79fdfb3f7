package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"
)

// A redisClient runs scripts on pooled connections. The pool is made at first use, so that a
// redis that is configured and not used costs nothing.
type redisClient struct {
	cfg RedisConfig

	mu     sync.Mutex
	made   *redis.Pool
	closed bool
}

func newRedisClient(cfg RedisConfig) *redisClient { return &redisClient{cfg: cfg} }

func (c *redisClient) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.made == nil || c.made == c.cfg.Options.Pool {
		return nil
	}
	return c.made.Close()
}

func (c *redisClient) pool() (*redis.Pool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	if c.made == nil {
		if c.made = c.cfg.Options.Pool; c.made == nil {
			c.made = newPool(c.cfg)
		}
	}
	return c.made, nil
}

func newPool(cfg RedisConfig) *redis.Pool {
	return &redis.Pool{
		DialContext: func(ctx context.Context) (redis.Conn, error) { return dialRedis(ctx, cfg) },
		MaxIdle:     cfg.maxIdle(),
		MaxActive:   cfg.maxActive(),
		IdleTimeout: cfg.idleConnTimeout(),
		Wait:        true,
	}
}

// dialRedis connects, signs in and selects the database. What the server says to that is about
// the configuration, unless it says that it cannot serve now.
func dialRedis(ctx context.Context, cfg RedisConfig) (redis.Conn, error) {
	o := cfg.Options
	options := []redis.DialOption{
		redis.DialConnectTimeout(cfg.dialTimeout()),
		redis.DialReadTimeout(within(ctx, cfg.readTimeout())),
		redis.DialWriteTimeout(within(ctx, cfg.writeTimeout())),
		redis.DialDatabase(o.DB), redis.DialUsername(o.Username), redis.DialPassword(cfg.Password),
		redis.DialClientName(o.ClientName),
	}
	if o.TLS != nil {
		options = append(options, redis.DialUseTLS(true), redis.DialTLSConfig(o.TLS),
			redis.DialTLSHandshakeTimeout(within(ctx, cfg.dialTimeout())))
	}
	network, address := cfg.address()
	conn, err := redis.DialContext(ctx, network, address, options...)
	var reply redis.Error
	if errors.As(err, &reply) && !cannotServeNow(string(reply)) {
		return nil, &configError{err}
	}
	return conn, err
}

// within returns the shorter of a time-out and what ctx leaves. It is never zero, which redigo
// takes for no time-out.
func within(ctx context.Context, timeout time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		if left := time.Until(deadline); left < timeout || timeout <= 0 {
			return max(left, time.Millisecond)
		}
	}
	return timeout
}

func (c *redisClient) ping(ctx context.Context) error {
	_, err := c.try(ctx, func(conn redis.Conn) (any, error) {
		return redis.DoWithTimeout(conn, within(ctx, c.cfg.readTimeout()), "PING")
	})
	return err
}

// eval runs a script on one key.
func (c *redisClient) eval(ctx context.Context, s *redisScript, key string, args []any) (redisReply, error) {
	command := append(make([]any, 0, 3+len(args)), s.sha, 1, key)
	command = append(command, args...)
	reply, err := redis.Values(c.try(ctx, func(conn redis.Conn) (any, error) {
		command[0] = s.sha
		reply, err := redis.DoWithTimeout(conn, within(ctx, c.cfg.readTimeout()), "EVALSHA", command...)
		if isReply(err, "NOSCRIPT") { // the server was restarted, or its scripts were flushed
			command[0] = s.source
			reply, err = redis.DoWithTimeout(conn, within(ctx, c.cfg.readTimeout()), "EVAL", command...)
		}
		return reply, err
	}))
	if err != nil {
		return nil, err
	}
	return reply, nil
}

// try does something on a pooled connection, and once more on a fresh one where the pooled one
// broke before the reply. After a restart of the server every idle connection is broken, so
// the second try does not take another of them.
func (c *redisClient) try(ctx context.Context, do func(redis.Conn) (any, error)) (any, error) {
	pool, err := c.pool()
	if err != nil {
		return nil, err
	}
	conn, err := c.borrow(ctx, pool)
	if err != nil {
		return nil, redisError(err)
	}
	reply, err := do(conn)
	broken := conn.Err() != nil
	conn.Close()
	if err == nil || !broken || ctx.Err() != nil {
		return reply, redisError(err)
	}
	fresh, dialErr := dialAgain(ctx, pool)
	if dialErr != nil {
		return nil, redisError(errors.Join(err, dialErr))
	}
	defer fresh.Close()
	reply, err = do(fresh)
	return reply, redisError(err)
}

// borrow waits a bounded time for a connection of the pool.
func (c *redisClient) borrow(ctx context.Context, pool *redis.Pool) (redis.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if wait := c.cfg.poolWait(); wait > 0 && pool.MaxActive > 0 && pool.ActiveCount() >= pool.MaxActive {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	return pool.GetContext(ctx)
}

func dialAgain(ctx context.Context, pool *redis.Pool) (redis.Conn, error) {
	switch {
	case pool.DialContext != nil:
		return pool.DialContext(ctx)
	case pool.Dial != nil:
		return pool.Dial()
	}
	return pool.GetContext(ctx)
}

// isReply reports whether err is an error reply of the server that begins with a word.
func isReply(err error, word string) bool {
	var reply redis.Error
	return errors.As(err, &reply) && strings.HasPrefix(string(reply), word)
}

// redisError sorts what went wrong: a configuration that waiting does not cure, or a server
// that cannot be reached or cannot serve now.
func redisError(err error) error {
	var reply redis.Error
	var config *configError
	switch {
	case err == nil, errors.As(err, &config):
		return err
	case errors.As(err, &reply) && refusesConfig(string(reply)):
		return &configError{err}
	}
	return err
}

func refusesConfig(reply string) bool {
	word, _, _ := strings.Cut(reply, " ")
	switch word {
	case "NOAUTH", "WRONGPASS", "NOPERM", "WRONGTYPE":
		return true
	}
	return false
}

// cannotServeNow reports whether a reply says that the same command may be served later.
func cannotServeNow(reply string) bool {
	word, _, _ := strings.Cut(reply, " ")
	switch word {
	case "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "OOM", "MISCONF", "NOREPLICAS":
		return true
	}
	return strings.HasPrefix(reply, "ERR max number of clients")
}

// address returns the network and address to dial.
func (c RedisConfig) address() (network, address string) {
	if c.Options.Network == "unix" || (c.Options.Network == "" && c.Options.Socket != "") {
		return "unix", c.Options.Socket
	}
	return "tcp", net.JoinHostPort(c.host(), strconv.Itoa(c.port()))
}

// String names the server in logs, without the password.
func (c *redisClient) String() string {
	network, address := c.cfg.address()
	return fmt.Sprintf("redis %s %s, db %d", network, address, c.cfg.Options.DB)
}
