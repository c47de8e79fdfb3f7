package sqlstore_test

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
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

func TestNoStatementOfACleanupRemovesMoreThanABatch(t *testing.T) {
	onDatabases(t, func(t *testing.T, s *site) {
		s.options.CleanupBatch = 7
		d := s.driver(t, s.db)
		s.fill(t, d, 20, swept())
		cutoffs := []int64{1 << 30, 1 << 60} // an hour and a millisecond that are far ahead
		for _, statement := range d.Statements() {
			if statement.Name != "cleanup" {
				continue
			}
			for i := range statement.Args {
				statement.Args[i] = cutoffs[0]
			}
			cutoffs = cutoffs[1:]
			for _, want := range []int64{7, 7, 6, 0} {
				result, err := s.db.ExecContext(t.Context(), statement.Text, statement.Args...)
				require.NoError(t, err)
				removed, err := result.RowsAffected()
				require.NoError(t, err)
				assert.Equal(t, want, removed, statement.Text)
			}
		}
		assert.Empty(t, cutoffs, "a cleanup was not tried")
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
		rows := s.many(2000)
		s.fill(t, all[0], rows, swept())
		var mu sync.Mutex
		total := int64(0)
		each(len(all), func(i int) {
			removed, err := all[i].Cleanup(within(t, 60*time.Second))
			assert.NoError(t, err)
			mu.Lock()
			defer mu.Unlock()
			total += removed
		})
		assert.EqualValues(t, 2*rows, total)
		assert.Equal(t, 0, s.rows(t, all[0]))
	})
}

func TestBackgroundCleanupIsStoppedByClose(t *testing.T) {
	onDatabases(t, func(t *testing.T, s *site) {
		rows := s.many(20_000)
		s.fill(t, s.driver(t, s.db), rows, swept())
		s.options.CleanupInterval, s.options.CleanupBatch = 10*time.Millisecond, 10
		d := s.driver(t, s.db)
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

// TestRequestsGoOnWhileExpiredRowsAreRemoved compares requests beside a cleanup with others of the same
// minute, when the cleanup has stopped for a moment: so what else the machine does slows both down.
// SWEEPROWS=1000000 makes the table as large as that of a site that was never cleaned up, and goes on
// until SWEEPTIME (an hour) is over or all rows are gone.
func TestRequestsGoOnWhileExpiredRowsAreRemoved(t *testing.T) {
	all, least, long := 0, 4*time.Second, 40*time.Second
	if text := os.Getenv("SWEEPROWS"); text != "" {
		var err error
		all, err = strconv.Atoi(text)
		require.NoError(t, err)
		long, err = time.ParseDuration(cmp.Or(os.Getenv("SWEEPTIME"), "1h"))
		require.NoError(t, err)
		least = long
	}
	onEach(t, databases, func(t *testing.T, s *site) {
		d, rows := s.driver(t, s.db), cmp.Or(all, s.many(200_000))
		s.fill(t, d, rows/2, swept())
		clients := s.startClients(t, d)
		clients.during(t, time.Second) // warms up
		var with, without []time.Duration
		var swept time.Duration
		var removed int64
		ratio := func() float64 { return float64(percentile99(with)) / float64(percentile99(without)) }
		for start, left := time.Now(), true; left && (time.Since(start) < least || time.Since(start) < long && ratio() > 3); {
			without = append(without, clients.during(t, time.Second)...)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				begun := time.Now()
				n, err := d.Cleanup(ctx)
				swept += time.Since(begun)
				removed += n
				left = err != nil
				assert.True(t, err == nil || ctx.Err() != nil, "it failed: %v", err)
			}()
			with = append(with, clients.during(t, time.Second)...)
			cancel()
			<-done
		}
		clients.stop()
		t.Logf("%d of %d rows removed in %v; p99 of a request %v without, %v with a cleanup: %.2f", removed, rows, swept,
			percentile99(without), percentile99(with), ratio())
		require.Positive(t, removed)
		assert.LessOrEqual(t, ratio(), 3.0, "a cleanup slows requests down")
	})
}

func percentile99(took []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(took))[len(took)*99/100]
}

// loadClients are 4 clients, each of whom loads and saves a session of its own at a moderate rate.
type loadClients struct {
	mu    sync.Mutex
	took  []time.Duration // of the requests that have ended since it was last emptied
	ended chan struct{}   // closed by stop
	all   sync.WaitGroup
}

func (s *site) startClients(t *testing.T, d *sqlstore.Driver) *loadClients {
	t.Helper()
	c := &loadClients{ended: make(chan struct{})}
	for range 4 {
		c.all.Go(func() {
			first := begin(add(0))
			_, err := d.Save(t.Context(), nil, first)
			for err == nil {
				select {
				case <-c.ended:
					return
				case <-time.After(2 * time.Millisecond): // clients wait between two requests
				}
				start := time.Now()
				var rec *driver.Record
				if rec, err = d.Load(t.Context(), first.ID, time.Now()); err == nil {
					_, err = d.Save(t.Context(), rec, further(first, add(1)))
				}
				c.mu.Lock()
				c.took = append(c.took, time.Since(start))
				c.mu.Unlock()
			}
			assert.NoError(t, err)
		})
	}
	return c
}

// during returns how long the requests took that ended within a time from now on.
func (c *loadClients) during(t *testing.T, long time.Duration) []time.Duration {
	t.Helper()
	c.take()
	time.Sleep(long)
	took := c.take()
	require.NotEmpty(t, took, "no request ended in %v", long)
	return took
}

func (c *loadClients) take() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	took := c.took
	c.took = nil
	return took
}

func (c *loadClients) stop() {
	close(c.ended)
	c.all.Wait()
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

// times notes when something was logged.
type times struct {
	slog.Handler
	at []time.Time
}

func (l *times) Handle(_ context.Context, r slog.Record) error {
	l.at = append(l.at, r.Time)
	return nil
}

func TestCleanupsComeAtRandomIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := sql.OpenDB(plainConnector{})
		require.NoError(t, db.Close()) // so every cleanup fails, and is logged
		log := &times{Handler: slog.NewTextHandler(io.Discard, nil), at: []time.Time{time.Now()}}
		d, err := sqlstore.New(db, sqlstore.SQLite, sqlstore.Options{CleanupInterval: time.Hour, Logger: slog.New(log)})
		require.NoError(t, err)
		time.Sleep(1000 * time.Hour)
		require.NoError(t, d.Close())
		var pauses []time.Duration
		for i := range log.at[1:] {
			pauses = append(pauses, log.at[i+1].Sub(log.at[i]))
		}
		require.Greater(t, len(pauses), 900)
		assert.GreaterOrEqual(t, slices.Min(pauses), 30*time.Minute)
		assert.Less(t, slices.Min(pauses), 32*time.Minute)
		assert.Greater(t, slices.Max(pauses), 88*time.Minute)
		assert.Less(t, slices.Max(pauses), 90*time.Minute)
	})
}
