package sqlstore_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/internal/suites/kit"
	"example.com/session/sqlstore"
)

// swept is a time whose rows a cleanup removes.
func swept() time.Time { return time.Now().Add(-sqlstore.SkewOfCleanup) }

func TestCleanupRemovesWhatHasExpiredAndNothingElse(t *testing.T) {
	onDatabases(t, func(t *testing.T, s *site) {
		s.options.CleanupBatch = 30
		d := s.driver(t, s.db)
		s.fill(t, d, 100, swept())
		s.fill(t, d, 10, time.Now().Add(-4*time.Minute)) // not yet by a clock that is late
		s.fill(t, d, 10, time.Now().Add(time.Hour))
		live, err := d.Save(t.Context(), nil, begin(add(1)))
		require.NoError(t, err)
		removed, err := d.Cleanup(t.Context())
		require.NoError(t, err)
		assert.EqualValues(t, 200, removed, "rows of both tables")
		assert.Equal(t, 21, s.rows(t, d))
		_, err = d.Load(t.Context(), live.ID(), time.Now())
		require.NoError(t, err)
	})
}

func TestStatementsForCronRemoveWhatHasExpired(t *testing.T) {
	onDatabases(t, func(t *testing.T, s *site) {
		d := s.driver(t, s.db)
		s.fill(t, d, 10, swept())
		s.fill(t, d, 10, time.Now().Add(time.Hour))
		s.exec(t, d.CleanupSQL()...)
		assert.Equal(t, 10, s.rows(t, d))
		_, users := d.Tables()
		var n int
		require.NoError(t, s.db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+users).Scan(&n))
		assert.Equal(t, 10, n)
	})
}

// A request may be about to replace an expired row.
func TestCleanupSkipsLockedRows(t *testing.T) {
	t.Parallel()
	onEach(t, databases[:2], func(t *testing.T, s *site) {
		d := s.driver(t, s.db)
		s.fill(t, d, 20, swept())
		sessions, _ := d.Tables()
		tx, err := s.db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		defer tx.Rollback()
		var id string
		require.NoError(t, tx.QueryRowContext(t.Context(), "SELECT id FROM "+sessions+" ORDER BY id LIMIT 1 FOR UPDATE").Scan(&id))
		start := time.Now()
		removed, err := d.Cleanup(within(t, 20*time.Second))
		require.NoError(t, err)
		assert.Less(t, time.Since(start), 10*time.Second, "it waited for the lock")
		assert.EqualValues(t, 39, removed)
		assert.Equal(t, 1, s.rows(t, d))
	})
}

func TestSeveralProcessesCleanUpAtOnce(t *testing.T) {
	onDatabases(t, func(t *testing.T, s *site) {
		s.options.CleanupBatch = 50
		all := []*sqlstore.Driver{s.driver(t, s.db), s.driver(t, s.pool(t)), s.driver(t, s.pool(t)), s.driver(t, s.pool(t))}
		s.fill(t, all[0], 2000, swept())
		var mu sync.Mutex
		total := int64(0)
		each(len(all), func(i int) {
			removed, err := all[i].Cleanup(within(t, 60*time.Second))
			assert.NoError(t, err)
			mu.Lock()
			defer mu.Unlock()
			total += removed
		})
		assert.EqualValues(t, 4000, total)
		assert.Equal(t, 0, s.rows(t, all[0]))
	})
}

func TestBackgroundCleanupIsStoppedByClose(t *testing.T) {
	onDatabases(t, func(t *testing.T, s *site) {
		s.options.CleanupInterval, s.options.CleanupBatch = 10*time.Millisecond, 10
		d, rows := s.driver(t, s.db), s.many(20_000)
		s.fill(t, d, rows, swept())
		require.Eventually(t, func() bool { return s.rows(t, d) < rows }, 20*time.Second, 5*time.Millisecond)
		start := time.Now()
		require.NoError(t, d.Close())
		assert.Less(t, time.Since(start), 2*time.Second)
		left := s.rows(t, d)
		assert.Positive(t, left, "Close waited for the whole cleanup")
		require.NoError(t, d.Close(), "a second Close")
		_, err := d.Save(t.Context(), nil, begin(add(1)))
		require.NoError(t, err, "a session cannot be saved after Close")
		// A server may have carried out the batch whose answer Close did not wait for.
		assert.GreaterOrEqual(t, s.rows(t, d), left+1-s.options.CleanupBatch, "the cleanup goes on after Close")
	})
}

func TestFailedCleanupIsLogged(t *testing.T) {
	var log kit.LogBook
	s := newSite(t, sqlstore.SQLite, databases[2].open(t))
	s.options = sqlstore.Options{Table: "missing", CleanupInterval: time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	d := s.driver(t, s.db)
	require.Eventually(t, func() bool { return log.Text() != "" }, 10*time.Second, time.Millisecond)
	require.NoError(t, d.Close())
	assert.Contains(t, log.Text(), "expired rows were not removed")
	assert.Contains(t, log.Text(), "call Migrate")
}

// TestRequestsGoOnWhileExpiredRowsAreRemoved measures requests without a cleanup, and beside the first
// seconds of one. SWEEPROWS=1000000 makes it as large as a site that was never cleaned up, and waits
// until all rows are gone.
func TestRequestsGoOnWhileExpiredRowsAreRemoved(t *testing.T) {
	all, long := 0, 2*time.Second
	if text := os.Getenv("SWEEPROWS"); text != "" {
		var err error
		all, err = strconv.Atoi(text)
		require.NoError(t, err)
		long = time.Hour
	}
	onEach(t, databases, func(t *testing.T, s *site) {
		d, rows := s.driver(t, s.db), cmp.Or(all, s.many(100_000))
		s.requests(t, d, 500*time.Millisecond, nil) // warms up
		const tries = 5
		for try := 1; ; try++ {
			s.fill(t, d, rows, swept())
			without := s.requests(t, d, time.Second, nil)
			ctx, cancel := context.WithTimeout(t.Context(), long)
			defer cancel()
			done, start := make(chan int64, 1), time.Now()
			go func() {
				defer cancel()
				removed, _ := d.Cleanup(ctx)
				done <- removed
			}()
			with := s.requests(t, d, time.Hour, ctx.Done())
			removed := <-done
			t.Logf("p99 %v without, %v while %d rows were removed in %v", without, with, removed, time.Since(start))
			require.Positive(t, removed)
			if with <= 3*without {
				return
			}
			require.Less(t, try, tries, "the 99th percentile of a request is %v beside a cleanup, and %v without", with, without)
		}
	})
}

// requests loads and saves with 4 clients at a moderate rate for a time, or until done. It returns the 99th
// percentile of how long a request takes.
func (s *site) requests(t *testing.T, d *sqlstore.Driver, long time.Duration, done <-chan struct{}) time.Duration {
	t.Helper()
	var mu sync.Mutex
	var took []time.Duration
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		select {
		case <-time.After(long):
		case <-done:
		}
	}()
	each(4, func(int) {
		first := begin(add(0))
		_, err := d.Save(t.Context(), nil, first)
		for err == nil {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond): // clients wait between two requests
			}
			start := time.Now()
			var rec *driver.Record
			if rec, err = d.Load(t.Context(), first.ID, time.Now()); err == nil {
				_, err = d.Save(t.Context(), rec, further(first, add(1)))
			}
			mu.Lock()
			took = append(took, time.Since(start))
			mu.Unlock()
		}
		assert.NoError(t, err)
	})
	slices.Sort(took)
	require.NotEmpty(t, took)
	return took[len(took)*99/100]
}

// An operator can end all sessions of a user in one statement. docs/sql.md shows it.
func TestOneStatementEndsAllSessionsOfAUser(t *testing.T) {
	onDatabases(t, func(t *testing.T, s *site) {
		d, name, other := s.driver(t, s.db), user(), begin(add(1))
		require.NoError(t, d.Enter(t.Context(), user(), entry(other.ID), 0, time.Now()))
		_, err := d.Save(t.Context(), nil, other)
		require.NoError(t, err)
		var ids []driver.ID
		for range 5 {
			first := begin(add(1))
			require.NoError(t, d.Enter(t.Context(), name, entry(first.ID), 0, time.Now()))
			_, err := d.Save(t.Context(), nil, first)
			require.NoError(t, err)
			ids = append(ids, first.ID)
		}
		sessions, users := d.Tables()
		s.exec(t, fmt.Sprintf("DELETE FROM %s WHERE id IN (SELECT id FROM %s WHERE user_key = '%s')", sessions, users, name))
		for _, id := range ids {
			_, err := d.Load(t.Context(), id, time.Now())
			assert.ErrorIs(t, err, driver.ErrNoSession)
		}
		_, err = d.Load(t.Context(), other.ID, time.Now())
		assert.NoError(t, err, "another user's session has ended, too")
	})
}
