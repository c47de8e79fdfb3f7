package session

import (
	"context"
	"sync"
	"time"
)

// storeContext bounds one operation of a driver with all its tries. A client that disconnects does
// not end it, so what the request stored is not lost.
func (s *Session) storeContext() (context.Context, context.CancelFunc) {
	if s.source.local { // it takes no time, and looks at no context
		return s.request.Context, func() {}
	}
	c := &deadlineContext{
		Context: context.WithoutCancel(s.request.Context), deadline: time.Now().Add(s.request.manager.storeTimeout),
	}
	return c, c.end
}

// A deadlineContext is what context.WithDeadline returns, but that it has no timer unless somebody
// waits for its end: few operations do, and a timer takes longer than all else that the library does
// around one.
type deadlineContext struct {
	context.Context
	deadline time.Time

	mu     sync.Mutex
	timed  context.Context // with the timer; nil until somebody asks for Done
	cancel context.CancelFunc
	ended  bool // before anybody asked
}

func (c *deadlineContext) Deadline() (time.Time, bool) { return c.deadline, true }

func (c *deadlineContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed == nil {
		c.timed, c.cancel = context.WithDeadline(c.Context, c.deadline)
		if c.ended {
			c.cancel()
		}
	}
	return c.timed.Done()
}

func (c *deadlineContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.timed != nil:
		return c.timed.Err()
	case c.ended:
		return context.Canceled
	case !time.Now().Before(c.deadline):
		return context.DeadlineExceeded
	}
	return nil
}

// Value leads package context to the timer, so that it needs no goroutine to wait for it.
func (c *deadlineContext) Value(key any) any {
	c.mu.Lock()
	inner := c.timed
	c.mu.Unlock()
	if inner == nil {
		inner = c.Context
	}
	return inner.Value(key)
}

// end ends the context, if its deadline has not done so.
func (c *deadlineContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended = true; c.timed != nil {
		c.cancel()
	}
}
