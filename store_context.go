package session

import (
	"context"
	"sync"
	"time"
)

// storeContext returns the context of one operation of a driver, with all its retries: it ends
// after StoreTimeout. It does not end when the client disconnects, so that the request's changes
// are stored.
func (s *Session) storeContext() (context.Context, context.CancelFunc) {
	if s.source.local { // it takes no time
		return lastingContext{requestContext{&s.request.self}}, func() {}
	}
	c := &deadlineContext{
		Context: context.WithoutCancel(s.request.Context), deadline: time.Now().Add(s.request.manager.storeTimeout),
	}
	return c, c.end
}

// A lastingContext is like context.WithoutCancel of the incoming request's context, and takes no memory.
type lastingContext struct{ requestContext }

func (lastingContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (lastingContext) Done() <-chan struct{}       { return nil }
func (lastingContext) Err() error                  { return nil }
func (c lastingContext) Value(key any) any         { return (*c.state).Context.Value(key) }

// A deadlineContext is like the result of context.WithDeadline, but has no timer until Done is
// called. Few operations call Done, and a timer costs more time than the rest of the library's work
// for an operation.
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

// Value lets package context find the context with the timer, so that it starts no goroutine to
// wait for it.
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
