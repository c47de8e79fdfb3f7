package goredis

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"example.com/session"
)

// New returns a session.RedisClient that talks through client, which stays the caller's to close.
// It is safe for concurrent use.
func New(client redis.UniversalClient) session.RedisClient { return &adapter{client: client} }

type adapter struct{ client redis.UniversalClient }

// Eval runs a script on one key: by its name, and by its text where the server says NOSCRIPT.
func (a *adapter) Eval(ctx context.Context, script session.RedisScript, key string, args []any) ([]string, error) {
	sent := new(tries)
	if again := script.Again; again > 0 && args[again-1] == first {
		args = append([]any(nil), args...)
		args[again-1] = sent
	}
	return bounded(ctx, func() ([]string, error) {
		reply := a.client.EvalSha(ctx, script.SHA, []string{key}, args...)
		if redis.HasErrorPrefix(reply.Err(), "NOSCRIPT") {
			sent.Add(-1) // it was read and not run
			reply = a.client.Eval(ctx, script.Source, []string{key}, args...)
		}
		return reply.StringSlice()
	})
}

// Ping asks a server for an answer.
func (a *adapter) Ping(ctx context.Context) error {
	_, err := bounded(ctx, func() ([]string, error) { return nil, a.client.Ping(ctx).Err() })
	return err
}

const first, next = "0", "1"

// tries is the argument of a script that says whether it was sent before. go-redis asks for its
// text each time that it writes the command, so that its own tries are counted.
type tries struct{ atomic.Int32 }

// MarshalBinary returns what the try says that is written now.
func (t *tries) MarshalBinary() ([]byte, error) {
	if t.Add(1) > 1 {
		return []byte(next), nil
	}
	return []byte(first), nil
}

// bounded returns when do does, or when ctx ends: go-redis looks at deadlines only where
// ContextTimeoutEnabled says so, and what is left then ends with its own time-outs.
func bounded(ctx context.Context, do func() ([]string, error)) ([]string, error) {
	var reply []string
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		reply, err = do()
	}()
	select {
	case <-done:
		return reply, plain(err)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// plain makes a session.RedisError of what go-redis returns as an error reply.
func plain(err error) error {
	var reply redis.Error
	if errors.As(err, &reply) {
		return session.RedisError(reply.Error())
	}
	return err
}
