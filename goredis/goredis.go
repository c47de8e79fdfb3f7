package goredis

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// A Client is a session.RedisClient that talks through a client of go-redis. It is safe for
// concurrent use.
type Client struct{ client redis.UniversalClient }

// New returns a Client that talks through client, which stays the caller's to close.
func New(client redis.UniversalClient) *Client { return &Client{client} }

// Do sends a command and returns its reply. It returns when ctx ends: go-redis looks at deadlines
// only if its ContextTimeoutEnabled is set, and what is left then ends with its own time-outs.
func (c *Client) Do(ctx context.Context, args ...any) (any, error) {
	type result struct {
		reply any
		err   error
	}
	done := make(chan result, 1)
	go func() {
		reply, err := c.client.Do(ctx, args...).Result()
		if errors.Is(err, redis.Nil) {
			err = nil
		}
		done <- result{reply, err}
	}()
	select {
	case r := <-done:
		return r.reply, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
