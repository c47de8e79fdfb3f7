package goredis

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// A Client is a session.RedisClient that uses a client of go-redis. It is safe for concurrent use.
type Client struct {
	client         redis.UniversalClient
	meetsDeadlines bool
}

// New returns a Client that uses client. The caller closes client.
func New(client redis.UniversalClient) *Client {
	return &Client{client: client, meetsDeadlines: meetsDeadlines(client)}
}

// meetsDeadlines reports whether a client returns when the deadline of a context has passed.
func meetsDeadlines(client redis.UniversalClient) bool {
	switch c := client.(type) {
	case *redis.Client:
		return c.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		return c.Options().ContextTimeoutEnabled
	case *redis.Ring:
		return c.Options().ContextTimeoutEnabled
	}
	return false
}

// Do sends a command and returns its reply. It returns when ctx ends. If ContextTimeoutEnabled is
// not set, another goroutine waits for the reply, which takes longer; after ctx has ended, this
// goroutine ends with the timeouts of go-redis.
func (c *Client) Do(ctx context.Context, args ...any) (any, error) {
	if _, ok := ctx.Deadline(); ok && c.meetsDeadlines {
		return c.do(ctx, args)
	}
	type result struct {
		reply any
		err   error
	}
	done := make(chan result, 1)
	go func() {
		reply, err := c.do(ctx, args)
		done <- result{reply, err}
	}()
	select {
	case r := <-done:
		return r.reply, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *Client) do(ctx context.Context, args []any) (any, error) {
	reply, err := c.client.Do(ctx, args...).Result()
	if errors.Is(err, redis.Nil) {
		err = nil
	}
	return reply, err
}
