//go:build unix

package session_test

import (
	"strconv"
	"syscall"
	"testing"
	"time"

	"example.com/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestChangesOfManyKeysStayLinear compares the work for ten times the keys: it is ten times as
// much, or a hundred times where something walks all keys for each. It counts the processor's
// time, which does not grow when other programs want it too.
func TestChangesOfManyKeysStayLinear(t *testing.T) {
	few, many := leastWork(t, 1000, 5), leastWork(t, 10_000, 1)
	assert.Less(t, many, 40*few)
}

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var use syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &use))
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// leastWork returns the least processor time that a round of changes of n keys takes in some tries.
func leastWork(t *testing.T, n, tries int) time.Duration {
	t.Helper()
	keys := make([]string, n)
	for i := range keys {
		keys[i] = "key " + strconv.Itoa(i*7919%n)
	}
	least := time.Hour
	for range tries {
		r := newRecorder(t)
		start := processorTime(t)
		r.serve(t, 404, func(s *session.Session) {
			for _, key := range keys {
				s.Set(key, 1)
				s.Flash(key, 1)
			}
		})
		r.serve(t, 404, func(s *session.Session) {
			s.Flush()
			for _, key := range keys {
				s.Set(key, 1)
				s.Delete(key)
				s.Increment(key, 1)
			}
		})
		incrementTwice(t, keys)
		least = min(least, processorTime(t)-start)
	}
	return least
}

// incrementTwice increments every key of nothing, and of what came of it.
func incrementTwice(t *testing.T, keys []string) {
	t.Helper()
	b := session.ChangesBuilder{Now: time.Now(), Number: 1, Limits: session.Limits{Lifetime: time.Hour, Idle: time.Hour}}
	for _, key := range keys {
		b.Ops = append(b.Ops, session.Op{Kind: session.OpAdd, Key: key, By: 1})
	}
	ch, err := b.Build()
	require.NoError(t, err)
	rec := ch.Apply(nil)
	b.Number = 2
	ch, err = b.Build()
	require.NoError(t, err)
	require.NoError(t, ch.Check(rec))
	ch.Apply(rec)
}
