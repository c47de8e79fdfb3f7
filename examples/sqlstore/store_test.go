package main

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/sessiontest"
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
	sessiontest.Drivers(t, func(t *testing.T) session.Driver { return session.StoreDriver(open(t, file)) })
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
				assert.NoError(t, s.Update(context.Background(), "id", func(old []byte) (session.Entry, error) {
					return session.Entry{Data: append(old, 'x'), Expires: time.Now().Add(time.Hour)}, nil
				}))
			}
		})
	}
	all.Wait()
	data, err := open(t, file).Get(t.Context(), "id")
	require.NoError(t, err)
	assert.Equal(t, strings.Repeat("x", 4*each), string(data))
}

func TestChangeIsAskedAgainWhereAnotherCameInBetween(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "sessions.db"))
	put := func(data string) func([]byte) (session.Entry, error) {
		return func([]byte) (session.Entry, error) {
			return session.Entry{Data: []byte(data), Expires: time.Now().Add(time.Hour)}, nil
		}
	}
	for _, before := range []string{"", "one"} { // an insert, and an update
		var seen []string
		require.NoError(t, s.Update(t.Context(), "id", func(old []byte) (session.Entry, error) {
			if seen = append(seen, string(old)); len(seen) == 1 {
				require.NoError(t, s.Update(t.Context(), "id", put(before+" between")))
			}
			return put("one")(old)
		}))
		assert.Equal(t, []string{before, before + " between"}, seen)
	}
}

func TestSweepForgetsWhatHasEndedAndNothingElse(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "sessions.db"))
	for id, left := range map[string]time.Duration{"lives": time.Minute, "ended": -time.Minute} {
		require.NoError(t, s.Update(t.Context(), id, func([]byte) (session.Entry, error) {
			return session.Entry{Data: []byte("data"), Expires: time.Now().Add(left)}, nil
		}))
	}
	require.NoError(t, s.sweep(t.Context()))
	for id, want := range map[string]string{"lives": "data", "ended": ""} {
		data, err := s.Get(t.Context(), id)
		assert.NoError(t, err)
		assert.Equal(t, want, string(data), id)
	}
}
