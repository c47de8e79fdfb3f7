package sqlstore_test

import (
	"context"
	"database/sql"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/internal/sqltest"
	"example.com/session/sqlstore"
)

// each runs a function n times at once.
func each(n int, run func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { run(i) })
	}
	all.Wait()
}

const clients = 64

// incrementTogether lets 64 clients of two processes add up in one session.
func (s *site) incrementTogether(t *testing.T, rounds int, other *sql.DB) {
	t.Helper()
	processes := []*sqlstore.Driver{s.driver(t, s.db), s.driver(t, other)}
	first := begin(add(0))
	base, err := processes[0].Save(t.Context(), nil, first)
	require.NoError(t, err)
	each(clients, func(i int) {
		rec := base
		for range rounds {
			next, err := processes[i%2].Save(within(t, 30*time.Second), rec, further(first, add(1)))
			if assert.NoError(t, err) {
				rec = next
			}
		}
	})
	rec, err := processes[0].Load(t.Context(), first.ID, time.Now())
	require.NoError(t, err)
	assert.Equal(t, clients*rounds, count(t, rec), "a write was lost or applied twice")
}

func TestClientsOfOneSessionLoseNothing(t *testing.T) {
	onDatabases(t, func(t *testing.T, s *site) { s.incrementTogether(t, 10, s.pool(t)) })
}

func TestSerializationFailuresAreRetried(t *testing.T) {
	t.Parallel()
	server := sqltest.Postgres(t)
	dsn := server.DSN + "&default_transaction_isolation=serializable"
	pool := func(tb testing.TB) *sql.DB { return sqltest.Open(tb, server.DriverName, dsn) }
	s := newSite(t, sqlstore.Postgres, pool)
	var level string
	require.NoError(t, s.db.QueryRowContext(t.Context(), "SHOW transaction_isolation").Scan(&level))
	require.Equal(t, "serializable", level)
	s.incrementTogether(t, 5, s.pool(t))

	d, name := s.driver(t, s.db), user()
	each(clients, func(int) {
		assert.NoError(t, d.Enter(within(t, 30*time.Second), name, entry(driver.NewID()), 0, time.Now()))
	})
	all, err := d.List(t.Context(), name, time.Now())
	require.NoError(t, err)
	assert.Len(t, all, clients)
}

// A transaction of another program locks an entry of the list, a sign-in locks the user's own row and
// waits for the entry, then the transaction wants the user's row, too. The server ends one of them.
func TestDeadlockIsRetried(t *testing.T) {
	t.Parallel()
	onEach(t, databases[:2], func(t *testing.T, s *site) { // SQLite has one writer at a time
		d, name, e := s.driver(t, s.db), user(), entry(driver.NewID())
		require.NoError(t, d.Enter(t.Context(), name, e, 0, time.Now()))
		_, users := d.Tables()
		s.fill(t, d, 1000, time.Now().Add(time.Hour))

		tx, err := s.db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		defer tx.Rollback()
		send := func(statement string) error {
			_, err := tx.ExecContext(t.Context(), statement)
			return err
		}
		change := func(condition string) error {
			return send("UPDATE " + users + " SET ends_ms = ends_ms + 1 WHERE " + condition)
		}
		// MySQL ends the transaction that has changed less, PostgreSQL the one that looks first.
		require.NoError(t, change("user_key <> '"+name+"'"))
		if s.dialect == sqlstore.Postgres {
			require.NoError(t, send("SET LOCAL deadlock_timeout = '1min'"))
		}
		require.NoError(t, change("user_key = '"+name+"' AND id = '"+e.ID.String()+"'"))

		entered := make(chan error, 1)
		go func() { entered <- d.Enter(within(t, 30*time.Second), name, e, 0, time.Now()) }()
		s.awaitLockWait(t, users)
		require.NoError(t, change("user_key = '"+name+"' AND id = ''"), "the sign-in was not the one that gave way")
		require.NoError(t, tx.Commit())
		require.NoError(t, <-entered)
	})
}

// awaitLockWait waits until a statement with a table waits for a lock.
func (s *site) awaitLockWait(t *testing.T, table string) {
	t.Helper()
	query, every := `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND strpos(query, $1) > 0`, 10*time.Millisecond
	if s.dialect == sqlstore.MySQL { // it answers from a copy that is not asked for too often
		query, every = `SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT' AND locate(?, trx_query) > 0`, 250*time.Millisecond
	}
	require.Eventually(t, func() bool {
		var n int
		return s.db.QueryRowContext(t.Context(), query, table).Scan(&n) == nil && n > 0
	}, 20*time.Second, every)
}

// Another process that writes for a while makes SQLite answer SQLITE_BUSY.
func TestBusySQLiteIsRetriedUntilTheContextEnds(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqlstore.SQLite, databases[2].open(t))
	d, other := s.driver(t, s.db), s.pool(t)
	first := begin(add(0))
	rec, err := d.Save(t.Context(), nil, first)
	require.NoError(t, err)

	conn, err := other.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)
	start := time.Now()
	_, err = d.Save(within(t, 100*time.Millisecond), rec, further(first, add(1)))
	require.ErrorIs(t, err, driver.ErrUnavailable)
	assert.Less(t, time.Since(start), 2*time.Second, "it did not return when the context ended")
	loaded, err := d.Load(t.Context(), first.ID, time.Now())
	require.NoError(t, err, "a reader waits for the writer")
	assert.Equal(t, 0, count(t, loaded))

	saved := make(chan error, 1)
	go func() {
		_, err := d.Save(within(t, 10*time.Second), rec, further(first, add(1)))
		saved <- err
	}()
	select {
	case err := <-saved:
		t.Fatal("the save did not wait for the other writer", err)
	case <-time.After(200 * time.Millisecond): // while the other writer holds its lock
	}
	_, err = conn.ExecContext(t.Context(), "COMMIT")
	require.NoError(t, err)
	require.NoError(t, <-saved)
}

func TestPoolOfOneConnectionIsEnough(t *testing.T) {
	onDatabases(t, func(t *testing.T, s *site) {
		s.db.SetMaxOpenConns(1)
		s.options.Table = "one connection"
		d := s.driver(t, s.db)
		require.NoError(t, d.Migrate(t.Context(), s.db))
		require.NoError(t, d.Migrate(t.Context(), s.db))
		require.NoError(t, d.Ping(t.Context()))
		name := user()
		each(16, func(int) {
			ctx := within(t, 30*time.Second)
			first := begin(add(1))
			if !assert.NoError(t, d.Enter(ctx, name, entry(first.ID), 0, time.Now())) {
				return
			}
			rec, err := d.Save(ctx, nil, first)
			assert.NoError(t, err)
			_, err = d.Save(ctx, rec, further(first, add(1)))
			assert.NoError(t, err)
			_, err = d.List(ctx, name, time.Now())
			assert.NoError(t, err)
			_, err = d.Cleanup(ctx)
			assert.NoError(t, err)
			assert.NoError(t, d.EndBefore(ctx, name, first.Now.Add(-time.Hour)))
		})
		all, err := d.List(t.Context(), name, time.Now())
		require.NoError(t, err)
		assert.Len(t, all, 16)
	})
}

func TestWaitForAConnectionEndsWithItsContext(t *testing.T) {
	onDatabases(t, func(t *testing.T, s *site) {
		d := s.driver(t, s.db)
		first := begin(add(1))
		rec, err := d.Save(t.Context(), nil, first) // what is prepared, is now
		require.NoError(t, err)
		s.db.SetMaxOpenConns(1)
		held, err := s.db.Conn(t.Context())
		require.NoError(t, err)
		for name, do := range map[string]func(ctx context.Context) error{
			"load": func(ctx context.Context) error { _, err := d.Load(ctx, first.ID, time.Now()); return err },
			"save": func(ctx context.Context) error { _, err := d.Save(ctx, rec, further(first, add(1))); return err },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			assert.ErrorIs(t, do(ctx), context.DeadlineExceeded, name)
			cancel()
		}
		require.NoError(t, held.Close())
		s.db.SetMaxOpenConns(0)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = d.Save(ended, rec, further(first, add(1)))
		require.ErrorIs(t, err, context.Canceled)
		rec, err = d.Load(t.Context(), first.ID, time.Now())
		require.NoError(t, err)
		assert.Equal(t, 1, count(t, rec), "nothing was saved")
	})
}
