package store

import (
	"context"
	"hash/maphash"
)

// queues are locks that end their wait with a context. A key always has the same one; several keys
// share one.
type queues struct {
	seed  maphash.Seed
	locks [64]chan struct{}
}

func newQueues() queues {
	q := queues{seed: maphash.MakeSeed()}
	for i := range q.locks {
		q.locks[i] = make(chan struct{}, 1)
	}
	return q
}

// lock waits for the lock of a key and returns the function that unlocks it.
func (q *queues) lock(ctx context.Context, key string) (unlock func(), err error) {
	lock := q.locks[maphash.String(q.seed, key)%uint64(len(q.locks))]
	select {
	case lock <- struct{}{}:
		return func() { <-lock }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
