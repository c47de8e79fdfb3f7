package main

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/session/driver"
	"example.com/session/driver/drivertest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func open(t *testing.T, file string) *sqlStore {
	t.Helper()
	s, err := openSQLite(file)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.db.Close()) })
	return s
}

func TestStore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sessions?#.db")
	openFile := func(t *testing.T) driver.Store { return open(t, file) }
	drivertest.Stores(t, openFile, func(t *testing.T, _ driver.Store) driver.Store { return openFile(t) })
	var mode string
	require.NoError(t, open(t, file).db.QueryRow(`PRAGMA journal_mode`).Scan(&mode))
	assert.Equal(t, "wal", mode, "the options did not arrive")
	assert.FileExists(t, file)
}

// Two handles of one file are to SQLite what two processes are.
func TestHandlesThatUpdateAtOnceLoseNothing(t *testing.T) {
	const each = 25
	file := filepath.Join(t.TempDir(), "sessions.db")
	var all sync.WaitGroup
	for range 4 {
		s := open(t, file)
		all.Go(func() {
			for range each {
				assert.NoError(t, s.Update(context.Background(), "id", func(old []byte) (driver.Entry, error) {
					return driver.Entry{Data: append(old, 'x'), TTL: time.Hour}, nil
				}))
			}
		})
	}
	all.Wait()
	data, err := open(t, file).Get(t.Context(), "id")
	require.NoError(t, err)
	assert.Equal(t, strings.Repeat("x", 4*each), string(data))
}

func TestChangeIsCalledAgainAfterAnotherUpdate(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "sessions.db"))
	put := func(data string) func([]byte) (driver.Entry, error) {
		return func([]byte) (driver.Entry, error) {
			return driver.Entry{Data: []byte(data), TTL: time.Hour}, nil
		}
	}
	for _, before := range []string{"", "one"} { // an insert, and an update
		var seen []string
		require.NoError(t, s.Update(t.Context(), "id", func(old []byte) (driver.Entry, error) {
			if seen = append(seen, string(old)); len(seen) == 1 {
				require.NoError(t, s.Update(t.Context(), "id", put(before+" between")))
			}
			return put("one")(old)
		}))
		assert.Equal(t, []string{before, before + " between"}, seen)
	}
}

func TestSweepDeletesWhatHasExpiredAndNothingElse(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "sessions.db"))
	for id, ttl := range map[string]time.Duration{"lives": time.Minute, "expired": -time.Minute} {
		require.NoError(t, s.Update(t.Context(), id, func([]byte) (driver.Entry, error) {
			return driver.Entry{Data: []byte("data"), TTL: ttl}, nil
		}))
	}
	require.NoError(t, s.sweep(t.Context()))
	var left string
	require.NoError(t, s.db.QueryRow(`SELECT group_concat(id) FROM sessions`).Scan(&left))
	assert.Equal(t, "lives", left)
}

func TestExpiredRowCountsAsNone(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "sessions.db"))
	_, swapped, err := s.Swap(t.Context(), "id", nil, driver.Entry{Data: []byte("expired"), TTL: -time.Minute})
	require.NoError(t, err)
	require.True(t, swapped)
	current, swapped, err := s.Swap(t.Context(), "id", []byte("expired"), driver.Entry{Data: []byte("next"), TTL: time.Minute})
	require.NoError(t, err)
	assert.False(t, swapped)
	assert.Nil(t, current)
	_, swapped, err = s.Swap(t.Context(), "id", nil, driver.Entry{Data: []byte("next"), TTL: time.Minute})
	require.NoError(t, err)
	assert.True(t, swapped)
}
