package redis

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"
)

// A conn is a connection that operations share. Each one sends its command and waits for its turn
// to read. It then reads its reply, and gives the turn to the next one. So the replies come back in
// the order of the commands, and an operation that is alone needs no other goroutine.
type conn struct {
	ready   chan struct{} // closed when net or dialErr is set
	net     redis.Conn
	dialErr error
	timeout time.Duration // for a reply; zero: none

	writing  chan struct{} // a lock that ends with a context; guards sending, and the field below
	flushing bool          // somebody is about to flush

	mu      sync.Mutex // guards the fields below
	last    *call      // of those that wait for their reply, nil if none does
	used    time.Time  // when the last reply was read
	err     error      // why it broke
	retired bool       // it is closed when nobody waits any more

	unread int // replies of operations whose context has ended; used by whose turn it is
}

// A call is an operation that waits for its reply.
type call struct {
	turn chan struct{} // receives when it may read
	next *call         // guarded by conn.mu, as the field below
	left bool          // its context has ended: nobody waits for the reply
}

func newConn(timeout time.Duration) *conn {
	return &conn{ready: make(chan struct{}), writing: make(chan struct{}, 1), timeout: timeout}
}

var errRetired = errors.New("the connection was closed")

// dialed ends the dial.
func (c *conn) dialed(net redis.Conn, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.net, c.dialErr, c.err, c.used = net, err, err, time.Now()
	if c.retired && err == nil {
		c.dialErr = errClosed
		net.Close()
	}
	close(c.ready)
}

// wait returns when the connection is made.
func (c *conn) wait(ctx context.Context) error {
	select {
	case <-c.ready:
		return c.dialErr
	default:
	}
	select {
	case <-c.ready:
		return c.dialErr
	case <-ctx.Done():
		return ctx.Err()
	}
}

// isUsable reports whether the connection has not broken, and was used within the idle time-out.
func (c *conn) isUsable(idle time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	isIdle := c.net != nil && c.last == nil && idle > 0 && time.Since(c.used) >= idle
	return c.err == nil && !c.retired && !isIdle
}

// retire closes the connection as soon as no operation waits for a reply.
func (c *conn) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retired = true
	if c.last == nil && c.net != nil {
		c.net.Close()
	}
}

// do sends a command and returns its reply. broken reports that the connection broke before.
func (c *conn) do(ctx context.Context, args []any) (reply any, broken bool, err error) {
	own, isFirst, err := c.send(ctx, args)
	if err != nil {
		return nil, true, err
	}
	if !isFirst {
		select {
		case <-own.turn:
		case <-ctx.Done():
			c.leave(own)
			return nil, false, ctx.Err()
		}
	}
	reply, err = c.read(ctx)
	if broken = err != nil && !isReply(err); broken {
		c.fail(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passTurn(own)
	return reply, broken, err
}

// send sends a command. isFirst reports that it is this operation's turn to read. It does not
// return errors of the connection: the operation then finds them when it reads.
func (c *conn) send(ctx context.Context, args []any) (own *call, isFirst bool, err error) {
	if err := c.lockWriting(ctx); err != nil {
		return nil, false, err
	}
	own, isFirst, err = c.enqueue()
	if err != nil {
		<-c.writing
		return nil, false, err
	}
	err = c.net.Send(args[0].(string), args[1:]...)
	switch {
	case err != nil:
	case isFirst:
		err = c.net.Flush()
	case !c.flushing: // let others who are about to send use the same system call
		c.flushing = true
		<-c.writing
		runtime.Gosched()
		c.writing <- struct{}{}
		c.flushing = false
		err = c.net.Flush()
	}
	<-c.writing
	if err != nil {
		c.fail(err)
	}
	return own, isFirst, nil
}

func (c *conn) lockWriting(ctx context.Context) error {
	select {
	case c.writing <- struct{}{}:
		return nil
	default:
	}
	select {
	case c.writing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var calls = sync.Pool{New: func() any { return &call{turn: make(chan struct{}, 1)} }}

// enqueue makes the caller wait for a reply.
func (c *conn) enqueue() (own *call, isFirst bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, false, c.err
	}
	if c.retired {
		return nil, false, errRetired
	}
	own = calls.Get().(*call)
	isFirst = c.last == nil
	if !isFirst {
		c.last.next = own
	}
	c.last = own
	return own, isFirst, nil
}

// leave gives up waiting for a reply, which another operation reads.
func (c *conn) leave(own *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-own.turn:
		c.unread++
		c.passTurn(own)
	default:
		own.left = true
	}
}

// read reads the reply of the operation whose turn it is, after the replies that no operation waits
// for any more. If ctx ends while a reply is read, the connection breaks for all operations,
// because the rest of the reply is still to come.
func (c *conn) read(ctx context.Context) (any, error) {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	for ; c.unread > 0; c.unread-- {
		if _, err := redis.ReceiveWithTimeout(c.net, within(ctx, c.timeout)); err != nil && !isReply(err) {
			return nil, err
		}
	}
	return redis.ReceiveWithTimeout(c.net, within(ctx, c.timeout))
}

// passTurn gives the turn to the next operation that still waits. c.mu is held.
func (c *conn) passTurn(own *call) {
	next := own.next
	for next != nil && next.left {
		c.unread++
		next = next.next
	}
	if next != nil {
		next.turn <- struct{}{}
	} else {
		c.last = nil
		c.used = time.Now()
		if c.retired {
			c.net.Close()
		}
	}
	own.next = nil
	calls.Put(own)
}

// fail closes a connection that broke. Those who wait for a reply find out in their turn.
func (c *conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		c.net.Close()
	}
}
