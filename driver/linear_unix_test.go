//go:build unix

package driver_test

import (
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
)

// TestChangesOfManyKeysStayLinear compares the work for ten times the keys: it is ten times as much,
// or a hundred times if something walks all keys for each. It counts the processor's time, which
// does not grow when other programs want it too.
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

// leastWork returns the least processor time that changes of n keys take in some tries.
func leastWork(t *testing.T, n, tries int) time.Duration {
	t.Helper()
	first, second := begin(), save(2)
	for i := range n {
		key := "key " + strconv.Itoa(i*7919%n)
		first.Ops = append(first.Ops, add(key, 1), flash(key, "1"))
		second.Ops = append(second.Ops, add(key, 1), driver.Op{Kind: driver.Expire, Part: driver.Flash, Key: key, Stamp: 1})
	}
	least := time.Hour
	for range tries {
		before := processorTime(t)
		rec := apply(t, second, apply(t, first, nil))
		require.False(t, rec.HasFlash())
		require.Len(t, values(rec, driver.Data), n)
		least = min(least, processorTime(t)-before)
	}
	return least
}
