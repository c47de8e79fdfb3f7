package session

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"
)

// A RedisClient is what the redis driver talks through. The driver's own is a pool of redigo
// connections; another goes into RedisOptions.Client, so that an application's client, a
// cluster or a Sentinel set serves sessions too.
//
// A RedisClient is safe for concurrent use and returns when ctx ends. Every operation of the
// driver is safe to repeat, so a client may try one again whose connection broke.
type RedisClient interface {
	// Eval runs a script on one key and returns its reply, an array of strings: by EVALSHA,
	// and by EVAL where the server says NOSCRIPT. args are strings and int64s. An error reply
	// of the server is a RedisError; any other error means that it was not reached.
	Eval(ctx context.Context, script RedisScript, key string, args []any) ([]string, error)

	// Ping asks a server for an answer.
	Ping(ctx context.Context) error
}

// A RedisError is an error reply of a redis server. It begins with a word such as LOADING.
type RedisError string

func (e RedisError) Error() string { return string(e) }

// word returns the reply's first word.
func (e RedisError) word() string {
	word, _, _ := strings.Cut(string(e), " ")
	return word
}

// refusesConfig reports whether the server refuses what the configuration says: waiting does
// not cure that.
func (e RedisError) refusesConfig() bool {
	switch e.word() {
	case "NOAUTH", "WRONGPASS", "NOPERM", "WRONGTYPE":
		return true
	}
	// What a server with a password says to a long command in place of NOAUTH.
	return strings.HasPrefix(string(e), "ERR Protocol error: unauthenticated")
}

// cannotServeNow reports whether the same command may be served later.
func (e RedisError) cannotServeNow() bool {
	switch e.word() {
	case "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "OOM", "MISCONF",
		"NOREPLICAS", "MOVED", "ASK":
		return true
	}
	return strings.HasPrefix(string(e), "ERR max number of clients")
}

// A redigoClient is the RedisClient of pooled redigo connections. The pool is made at first
// use, so that a redis that is configured and not used costs nothing.
type redigoClient struct {
	cfg     RedisConfig
	retries atomic.Uint64

	mu     sync.Mutex
	made   *redis.Pool
	closed bool
}

var _ RedisClient = (*redigoClient)(nil)

// Close closes the pool, unless the configuration brought it.
func (c *redigoClient) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.made == nil || c.made == c.cfg.Options.Pool {
		return nil
	}
	return c.made.Close()
}

func (c *redigoClient) pool() (*redis.Pool, error) {
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
		redis.DialConnectTimeout(within(ctx, cfg.dialTimeout())),
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
	if errors.As(err, &reply) && !RedisError(reply).cannotServeNow() {
		return nil, refusedConfig(err)
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

// Ping asks the server for an answer.
func (c *redigoClient) Ping(ctx context.Context) error {
	_, err := c.try(ctx, func(conn redis.Conn) (any, error) {
		return redis.DoWithTimeout(conn, within(ctx, c.cfg.readTimeout()), "PING")
	})
	return err
}

// Eval runs a script on one key.
func (c *redigoClient) Eval(ctx context.Context, script RedisScript, key string, args []any) ([]string, error) {
	command := append(make([]any, 0, 3+len(args)), script.SHA, 1, key)
	command = append(command, args...)
	tries := 0
	return redis.Strings(c.try(ctx, func(conn redis.Conn) (any, error) {
		if tries++; tries > 1 && script.Again > 0 {
			command[2+script.Again] = bit(true)
		}
		command[0] = script.SHA
		reply, err := redis.DoWithTimeout(conn, within(ctx, c.cfg.readTimeout()), "EVALSHA", command...)
		var said redis.Error
		if errors.As(err, &said) && RedisError(said).word() == "NOSCRIPT" {
			command[0] = script.Source // the server was restarted, or its scripts were flushed
			reply, err = redis.DoWithTimeout(conn, within(ctx, c.cfg.readTimeout()), "EVAL", command...)
		}
		return reply, err
	}))
}

// try does something on a pooled connection, and once more on a fresh one where the pooled one
// broke before the reply. After a restart of the server every idle connection is broken, so
// the second try does not take another of them. A connection to a replica counts as broken:
// after a failover a fresh one may lead to the master.
func (c *redigoClient) try(ctx context.Context, do func(redis.Conn) (any, error)) (any, error) {
	pool, err := c.pool()
	if err != nil {
		return nil, err
	}
	conn, err := c.borrow(ctx, pool)
	if err != nil {
		return nil, plainError(err)
	}
	reply, err := do(conn)
	if fromReplica(err) {
		abandon(conn)
	}
	broken := conn.Err() != nil
	conn.Close()
	if err == nil || !broken || ctx.Err() != nil {
		return reply, plainError(err)
	}
	c.retries.Add(1)
	fresh, dialErr := dialAgain(ctx, pool)
	if dialErr != nil {
		return nil, plainError(errors.Join(err, dialErr))
	}
	defer fresh.Close()
	reply, err = do(fresh)
	return reply, plainError(err)
}

// borrow waits a bounded time for a connection of the pool.
func (c *redigoClient) borrow(ctx context.Context, pool *redis.Pool) (redis.Conn, error) {
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

// fromReplica reports whether an error is the word of a server that follows another one. Before
// redis 7 it stands inside of what is said about the script.
func fromReplica(err error) bool {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return false
	}
	word := RedisError(reply).word()
	return word == "READONLY" || word == "MASTERDOWN" || strings.Contains(string(reply), "-READONLY ")
}

// abandon breaks a connection, so that its pool does not keep it: redigo closes one that is
// given a context which has ended, and sends nothing.
func abandon(conn redis.Conn) {
	ended, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	redis.DoContext(conn, ended, "PING")
}

// plainError makes a RedisError of what redigo returns as an error reply.
func plainError(err error) error {
	var reply redis.Error
	var config *configError
	if errors.As(err, &reply) && !errors.As(err, &config) {
		return RedisError(reply)
	}
	return err
}
