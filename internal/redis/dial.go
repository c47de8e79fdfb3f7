package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"

	"example.com/session/driver"
)

// dial connects, signs in, selects the database and asks for the time. An error reply to any of
// these is about the configuration, unless it is about the state of the server.
func (p *pool) dial(ctx context.Context) (redis.Conn, error) {
	if ctx.Err() != nil {
		return nil, errClosed
	}
	conn, err := redis.DialContext(ctx, p.cfg.Network, p.cfg.Address, p.dialOptions()...)
	if err == nil {
		if err = p.observeTime(conn); err == nil {
			return conn, nil
		}
		conn.Close()
	}
	if servesLater(err) {
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
	return !isReply(err) || says(err, "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN",
		"BUSY", "OOM", "MISCONF", "NOREPLICAS", "ERR max number of clients")
}

func (p *pool) dialOptions() []redis.DialOption {
	cfg := p.cfg
	return []redis.DialOption{
		redis.DialContextFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
			dialer := net.Dialer{Timeout: cfg.DialTimeout}
			c, err := dialer.DialContext(ctx, network, address)
			return &socket{Conn: c}, err
		}),
		redis.DialReadTimeout(cfg.ReadTimeout), redis.DialWriteTimeout(cfg.WriteTimeout),
		redis.DialDatabase(cfg.DB), redis.DialUsername(cfg.Username), redis.DialPassword(cfg.Password),
		redis.DialClientName(cfg.ClientName),
		redis.DialUseTLS(cfg.TLS != nil), redis.DialTLSConfig(cfg.TLS), redis.DialTLSHandshakeTimeout(cfg.DialTimeout),
	}
}

func (p *pool) observeTime(conn redis.Conn) error {
	sent := time.Now()
	reply, err := conn.Do("TIME")
	if err != nil {
		return err
	}
	return p.clock.observe(sent, time.Now(), reply)
}

// A socket sets deadlines that are up to deadlineSlack late, and so sets few: redigo asks for three
// with each command.
type socket struct {
	net.Conn

	mu          sync.Mutex
	read, write time.Time // the deadlines that are set
}

const deadlineSlack = 5 * time.Millisecond

func (s *socket) SetReadDeadline(t time.Time) error {
	return s.setDeadline(&s.read, t, s.Conn.SetReadDeadline)
}

func (s *socket) SetWriteDeadline(t time.Time) error {
	return s.setDeadline(&s.write, t, s.Conn.SetWriteDeadline)
}

func (s *socket) setDeadline(current *time.Time, wanted time.Time, set func(time.Time) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if late := current.Sub(wanted); 0 <= late && late <= deadlineSlack {
		return nil
	}
	if *current = wanted; !wanted.IsZero() {
		*current = wanted.Add(deadlineSlack)
	}
	return set(*current)
}
