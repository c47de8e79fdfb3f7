package redis

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"

	"example.com/session/driver"
)

// A Client sends a command to the server that has its key, and returns the reply: a string or
// []byte, an int64, nil, or []any of these. An error reply of the server is an error with a method
// RedisError(), whose text begins with redis's word. Every other error means that the server was
// not reached.
//
// args[0] is the name of the command; the others are strings, []byte, int64, or an
// encoding.BinaryMarshaler, which is encoded each time that the command is sent. A Client is safe
// for concurrent use and returns when ctx ends. It may send a command again if a connection broke.
type Client interface {
	Do(ctx context.Context, args ...any) (any, error)
}

// A pool is the Client of the driver's own connections.
type pool struct {
	cfg     Config
	clock   *clock
	conns   redis.Pool
	slots   chan struct{} // one for each operation that may use a connection; nil: no limit
	retries atomic.Uint64
}

var _ Client = (*pool)(nil)

func newPool(cfg Config, clock *clock) *pool {
	p := &pool{cfg: cfg, clock: clock}
	p.conns = redis.Pool{DialContext: p.dial, MaxIdle: cfg.MaxIdle, IdleTimeout: cfg.IdleConnTimeout}
	if cfg.MaxActive > 0 {
		p.slots = make(chan struct{}, cfg.MaxActive)
	}
	return p
}

// Do sends a command on a pooled connection, and once more on a fresh one if that connection broke
// before the reply. After a restart of the server every idle connection is broken, so the second
// try does not take another of them. A connection to a replica counts as broken: after a failover
// a fresh one may lead to the master.
func (p *pool) Do(ctx context.Context, args ...any) (any, error) {
	if err := p.acquire(ctx); err != nil {
		return nil, err
	}
	defer p.release()
	conn, err := p.conns.GetContext(ctx)
	if err != nil {
		return nil, err
	}
	reply, err := p.send(ctx, conn, args)
	broken := conn.Err() != nil
	conn.Close()
	if err == nil || !broken || ctx.Err() != nil {
		return reply, err
	}
	p.retries.Add(1)
	fresh, dialErr := p.dial(ctx)
	if dialErr != nil {
		return nil, errors.Join(err, dialErr)
	}
	defer fresh.Close()
	return p.send(ctx, fresh, args)
}

func (p *pool) send(ctx context.Context, conn redis.Conn, args []any) (any, error) {
	reply, err := redis.DoWithTimeout(conn, within(ctx, p.cfg.ReadTimeout), args[0].(string), args[1:]...)
	if err = markReply(err); fromReplica(err) {
		abandon(conn)
	}
	return reply, err
}

// markReply returns what redigo returns as an error reply as an errorReply.
func markReply(err error) error {
	if err == nil {
		return nil
	}
	var reply redis.Error
	if errors.As(err, &reply) {
		return errorReply(reply)
	}
	return err
}

// acquire waits for a slot, for PoolWait at most.
func (p *pool) acquire(ctx context.Context) error {
	if err := ctx.Err(); p.slots == nil || err != nil {
		return err
	}
	select {
	case p.slots <- struct{}{}:
		return nil
	default:
	}
	wait, cancel := ctx, func() {}
	if p.cfg.PoolWait > 0 {
		wait, cancel = context.WithTimeout(ctx, p.cfg.PoolWait)
	}
	defer cancel()
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-wait.Done():
		return fmt.Errorf("all %d connections of the pool are in use: %w", p.cfg.MaxActive, wait.Err())
	}
}

func (p *pool) release() {
	if p.slots != nil {
		<-p.slots
	}
}

// dial connects, signs in, selects the database and asks for the time. An error reply to any of
// these is about the configuration, unless it is about the state of the server.
func (p *pool) dial(ctx context.Context) (redis.Conn, error) {
	conn, err := redis.DialContext(ctx, p.cfg.Network, p.cfg.Address, p.dialOptions(ctx)...)
	if err == nil {
		if err = p.observeTime(ctx, conn); err == nil {
			return conn, nil
		}
		conn.Close()
	}
	if err = markReply(err); servesLater(err) {
		return nil, err
	}
	if err = classify(err, true); !errors.Is(err, driver.ErrMisconfigured) {
		err = fmt.Errorf("%w: redis: connect: %v", driver.ErrMisconfigured, err)
	}
	return nil, err
}

// servesLater reports whether an error that ended a dial is about the network or the state of the
// server.
func servesLater(err error) bool {
	var reply replyText
	return !errors.As(err, &reply) || says(err, "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN",
		"BUSY", "OOM", "MISCONF", "NOREPLICAS", "ERR max number of clients")
}

func (p *pool) dialOptions(ctx context.Context) []redis.DialOption {
	cfg, timeout := p.cfg, within(ctx, p.cfg.DialTimeout)
	options := []redis.DialOption{
		redis.DialConnectTimeout(timeout), redis.DialReadTimeout(cfg.ReadTimeout), redis.DialWriteTimeout(cfg.WriteTimeout),
		redis.DialDatabase(cfg.DB), redis.DialUsername(cfg.Username), redis.DialPassword(cfg.Password),
		redis.DialClientName(cfg.ClientName),
	}
	if cfg.TLS != nil {
		options = append(options, redis.DialUseTLS(true), redis.DialTLSConfig(cfg.TLS), redis.DialTLSHandshakeTimeout(timeout))
	}
	return options
}

func (p *pool) observeTime(ctx context.Context, conn redis.Conn) error {
	sent := time.Now()
	reply, err := redis.DoWithTimeout(conn, within(ctx, p.cfg.ReadTimeout), "TIME")
	if err != nil {
		return err
	}
	return p.clock.observe(sent, time.Now(), reply)
}

// within returns the shorter of a time-out and what is left of ctx. It is never zero, which redigo
// takes for no time-out, unless both are unlimited.
func within(ctx context.Context, timeout time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		if left := time.Until(deadline); left < timeout || timeout <= 0 {
			return max(left, time.Millisecond)
		}
	}
	return timeout
}

// abandon breaks a connection, so that its pool does not keep it: redigo closes one that is given a
// context which has ended, and sends nothing.
func abandon(conn redis.Conn) {
	ended, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	redis.DoContext(conn, ended, "PING")
}
