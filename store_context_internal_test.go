package session

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// newDeadlineContext returns one below a context that may end before it.
func newDeadlineContext(ctx context.Context) *deadlineContext {
	return &deadlineContext{Context: context.WithoutCancel(ctx), deadline: time.Now().Add(time.Second)}
}

func isDone(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	default:
		return false
	}
}

// Whether somebody waits for it or not, it ends as a context of the standard library does.
func TestDeadlineContextEndsAsOneWithATimer(t *testing.T) {
	for name, prepare := range map[string]func(c *deadlineContext){
		"nobody waits":  func(*deadlineContext) {},
		"somebody does": func(c *deadlineContext) { c.Done() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newDeadlineContext(t.Context())
				prepare(c)
				at, ok := c.Deadline()
				assert.Equal(t, time.Now().Add(time.Second), at)
				assert.True(t, ok)
				time.Sleep(time.Second - time.Nanosecond)
				assert.NoError(t, c.Err())
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				assert.Equal(t, context.DeadlineExceeded, c.Err())
				assert.Equal(t, context.DeadlineExceeded, context.Cause(c))
				assert.True(t, isDone(c))
				c.end()
				assert.Equal(t, context.DeadlineExceeded, c.Err(), "an error changed")

				c = newDeadlineContext(t.Context())
				prepare(c)
				c.end()
				assert.Equal(t, context.Canceled, c.Err())
				assert.True(t, isDone(c))
				assert.Equal(t, context.Canceled, c.Err())
			})
		})
	}
}

// Drivers, clients and spans make contexts of it. The bubble fails if a goroutine or a timer is left.
func TestContextsBelowADeadlineContextEndWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		parent, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		cancel()
		for _, end := range []func(c *deadlineContext){(*deadlineContext).end, func(*deadlineContext) { time.Sleep(time.Second) }} {
			c := newDeadlineContext(parent)
			assert.NoError(t, context.Cause(c), "the client's disconnecting ends an operation")
			child, cancelChild := context.WithTimeout(c, time.Minute)
			defer cancelChild()
			valued := context.WithValue(c, key{}, "other")
			assert.Equal(t, "value", child.Value(key{}))
			assert.False(t, isDone(child))
			assert.False(t, isDone(valued))
			end(c)
			synctest.Wait()
			assert.Equal(t, c.Err(), child.Err())
			assert.True(t, isDone(child))
			assert.True(t, isDone(valued))
		}
	})
}

func TestContextThatLastsPrintsNothingOfTheRequest(t *testing.T) {
	r := &requestState{Context: t.Context(), cookies: []string{"a token"}}
	r.self = r
	c := context.WithoutCancel(lastingContext{requestContext{&r.self}}) // as Config.Events gets it
	assert.NotContains(t, fmt.Sprintf("%t %s %v %+v %#v", c, c, c, c, c), "a token")
	assert.NoError(t, c.Err())
	assert.Nil(t, stateIn(c), "a session cannot be used where it is being stored")
}
