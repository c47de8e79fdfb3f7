package redis

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
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

// A pool is the Client of the driver's own connections. An operation has a connection to itself
// while there are enough. Otherwise operations share connections: redis answers the commands of a
// connection in their order, and many commands then take one system call.
type pool struct {
	cfg     Config
	clock   *clock
	slots   []slot
	ctx     context.Context // ends with close; new connections are made under it
	cancel  context.CancelFunc
	retries atomic.Uint64
}

// A slot has one connection at a time.
type slot struct {
	users atomic.Int32 // operations that use it
	mu    sync.Mutex
	conn  *conn // nil, or one that may have broken
}

var _ Client = (*pool)(nil)

func newPool(cfg Config, clock *clock) *pool {
	p := &pool{cfg: cfg, clock: clock, slots: make([]slot, max(1, cfg.Connections))}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

var errClosed = errors.New("the driver is closed")

// If the server restarts, operations whose connection broke wait for it, because only a second try
// can tell whether they were applied. All others fail at once.
const (
	awaitFor   = 500 * time.Millisecond
	awaitPause = 10 * time.Millisecond
)

// Do sends a command, and once more on a fresh connection if the first one broke before the reply.
// After a restart of the server every connection is broken. A connection to a replica counts as
// broken: after a failover a new one may lead to the master.
func (p *pool) Do(ctx context.Context, args ...any) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := p.choose()
	defer s.users.Add(-1)
	reply, result, err := p.try(ctx, s, args)
	if result == final || result == noServer || ctx.Err() != nil {
		return reply, err
	}
	patience := awaitFor
	if result == joinedDial {
		patience = 0
	}
	p.retries.Add(1)
	for until := time.Now().Add(patience); ; {
		reply, result, again := p.try(ctx, s, args)
		isAway := result == noServer || result == joinedDial || says(again, "LOADING")
		if isAway && time.Now().Before(until) && sleep(ctx, awaitPause) {
			continue
		}
		if again != nil && !isReply(again) {
			again = errors.Join(err, again)
		}
		return reply, again
	}
}

// sleep waits, and reports whether ctx has not ended meanwhile.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// choose returns the first slot that nobody uses, or the one with the fewest users.
func (p *pool) choose() (best *slot) {
	var fewest int32
	for i := range p.slots {
		s := &p.slots[i]
		n := s.users.Load()
		if n == 0 && s.users.CompareAndSwap(0, 1) { // two operations at once do not take the same free slot
			return s
		}
		if best == nil || n < fewest {
			best, fewest = s, n
		}
	}
	best.users.Add(1)
	return best
}

// A result is what became of one try.
type result int

const (
	final      result = iota // there is a reply, or nothing more to be done
	broken                   // the connection broke, or leads to a replica: another one may do better
	joinedDial               // the dial of another operation failed: one of its own may do better
	noServer                 // no connection could be made
)

// try sends a command once.
func (p *pool) try(ctx context.Context, s *slot, args []any) (any, result, error) {
	c, dialed := p.connection(s)
	if err := c.wait(ctx); err != nil {
		if dialed {
			return nil, noServer, err
		}
		return nil, joinedDial, err
	}
	reply, broke, err := c.do(ctx, args)
	if fromReplica(err) {
		c.retire()
		broke = true
	}
	if broke {
		return reply, broken, err
	}
	return reply, final, err
}

// connection returns the connection of a slot, and begins to dial if there is none to use.
func (p *pool) connection(s *slot) (c *conn, dialed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil && s.conn.isUsable(p.cfg.IdleConnTimeout) {
		return s.conn, false
	}
	if s.conn != nil {
		s.conn.retire()
	}
	s.conn = newConn(p.cfg.ReadTimeout)
	go func(c *conn) { c.dialed(p.dial(p.ctx)) }(s.conn)
	return s.conn, true
}

// close closes each connection when the operations that use it have ended.
func (p *pool) close() {
	p.cancel()
	for i := range p.slots {
		s := &p.slots[i]
		s.mu.Lock()
		if s.conn != nil {
			s.conn.retire()
		}
		s.mu.Unlock()
	}
}

// within returns the shorter of a timeout and the time that is left of ctx. It returns zero, which
// redigo takes for no timeout, only if both are unlimited.
func within(ctx context.Context, timeout time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		if left := time.Until(deadline); left < timeout || timeout <= 0 {
			return max(left, time.Millisecond)
		}
	}
	return timeout
}
