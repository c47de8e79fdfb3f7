package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/driver/drivertest"
	"example.com/session/internal/sqltest"
	"example.com/session/sqlstore"
)

// failsEverywhere checks that every operation says what is wrong.
func failsEverywhere(t *testing.T, d *sqlstore.Driver, why string) {
	t.Helper()
	ctx, now, first := within(t, 10*time.Second), time.Now(), begin(add(1))
	_, load := d.Load(ctx, first.ID, now)
	_, save := d.Save(ctx, nil, first)
	_, list := d.List(ctx, user(), now)
	for op, err := range map[string]error{
		"Load": load, "Save": save, "List": list, "Ping": d.Ping(ctx),
		"Enter":     d.Enter(ctx, user(), entry(first.ID), 0, now),
		"Remove":    d.Remove(ctx, user(), first.ID),
		"EndBefore": d.EndBefore(ctx, user(), now),
	} {
		assert.ErrorIs(t, err, driver.ErrMisconfigured, op)
		assert.ErrorContains(t, err, why, op)
		assert.NotErrorIs(t, err, driver.ErrNoSession, op)
	}
}

func TestMissingTablesAreReported(t *testing.T) {
	onDatabases(t, func(t *testing.T, s *site) {
		s.options.Table = "missing"
		failsEverywhere(t, s.driver(t, s.db), "call Migrate")
	})
}

// A replica that lags behind would sign people in again who have signed out, and would not know
// sessions that have just begun.
func TestReplicaOfPostgreSQLIsRefused(t *testing.T) {
	t.Parallel()
	primary := sqltest.NewPostgres(t)
	s := newSite(t, sqlstore.Postgres, primary.Open)
	first := begin(add(1))
	_, err := s.driver(t, s.db).Save(t.Context(), nil, first)
	require.NoError(t, err)
	replica := s.driver(t, sqltest.Standby(t, primary).Open(t))
	require.Eventually(t, func() bool {
		_, err = replica.Load(t.Context(), first.ID, time.Now())
		return errors.Is(err, driver.ErrMisconfigured)
	}, 10*time.Second, 50*time.Millisecond)
	assert.ErrorContains(t, err, "read-only replica")
	failsEverywhere(t, replica, "connect to the primary server")
}

func TestReplicaOfMariaDBIsRefused(t *testing.T) {
	s := newSite(t, sqlstore.MySQL, databases[1].open(t))
	d, first := s.driver(t, s.db), begin(add(1))
	_, err := d.Save(t.Context(), nil, first)
	require.NoError(t, err)
	s.exec(t, "SET GLOBAL read_only = 1")
	defer s.db.ExecContext(context.Background(), "SET GLOBAL read_only = 0")
	for _, id := range []driver.ID{first.ID, driver.NewID()} {
		_, err = d.Load(t.Context(), id, time.Now())
		assert.ErrorIs(t, err, driver.ErrMisconfigured)
		assert.ErrorContains(t, err, "read-only replica")
	}
	assert.ErrorIs(t, d.Ping(t.Context()), driver.ErrMisconfigured)
	s.exec(t, "SET GLOBAL read_only = 0")
	require.NoError(t, d.Ping(t.Context()))
}

func TestReadOnlyTransactionsAreReported(t *testing.T) {
	t.Parallel()
	server := sqltest.Postgres(t)
	s := newSite(t, sqlstore.Postgres, server.Open)
	d := s.driver(t, sqltest.Open(t, server.DriverName, server.DSN+"&default_transaction_read_only=on"))
	_, err := d.Save(t.Context(), nil, begin(add(1)))
	require.ErrorIs(t, err, driver.ErrMisconfigured)
	assert.ErrorContains(t, err, "connect to the primary server")
}

func TestSettingsOfSQLiteAreReadBack(t *testing.T) {
	t.Parallel()
	file := sqltest.SQLiteFile(t)
	plain := strings.ReplaceAll(file, "_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)", "")
	db := sqltest.Open(t, "sqlite", plain)
	s := &site{dialect: sqlstore.SQLite, options: sqlstore.Options{CleanupInterval: -1}}
	d := s.driver(t, db)
	for _, statement := range strings.Split(d.Schema(), ";\n\n") {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	err := d.Ping(t.Context())
	require.ErrorIs(t, err, driver.ErrMisconfigured)
	assert.ErrorContains(t, err, `the journal mode is "delete"`)
	require.NoError(t, d.Migrate(t.Context(), db), "Migrate sets WAL, also if the tables are there")
	require.NoError(t, d.Ping(t.Context()))

	readOnly := s.driver(t, sqltest.Open(t, "sqlite", plain+"&mode=ro"))
	_, err = readOnly.Save(t.Context(), nil, begin(add(1)))
	require.ErrorIs(t, err, driver.ErrMisconfigured)

	off := s.driver(t, sqltest.Open(t, "sqlite", plain+"&_pragma=synchronous(OFF)"))
	assert.ErrorContains(t, off.Ping(t.Context()), "a power failure may destroy the file")

	memory := sqltest.Open(t, "sqlite", ":memory:")
	d = s.driver(t, memory)
	assert.ErrorContains(t, d.Migrate(t.Context(), memory), "SetMaxOpenConns(1)")
	memory.SetMaxOpenConns(1)
	require.NoError(t, d.Migrate(t.Context(), memory))
	require.NoError(t, d.Ping(t.Context()))
}

func TestPgBouncerInTransactionMode(t *testing.T) {
	t.Parallel()
	server := sqltest.Postgres(t)
	bouncer := sqltest.PgBouncer(t, server)
	for _, mode := range []string{"exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			dsn := strings.ReplaceAll(bouncer.DSN, "=exec", "="+mode)
			s := newSite(t, sqlstore.Postgres, func(tb testing.TB) *sql.DB { return sqltest.Open(tb, bouncer.DriverName, dsn) })
			other := s.pool(t)
			if mode == "exec" { // the mode that the documents name
				drivertest.Drivers(t, func(t *testing.T) driver.Driver { return s.driver(t, s.db) },
					drivertest.Options{Again: func(t *testing.T, _ driver.Driver) driver.Driver { return s.driver(t, other) }})
			}
			s.incrementTogether(t, 2, other)
			d := s.driver(t, s.db)
			s.fill(t, d, 1000, swept())
			removed, err := d.Cleanup(t.Context())
			require.NoError(t, err)
			assert.EqualValues(t, 2000, removed)
		})
	}
}

// pgx prepares statements by default, and the next transaction may be on another connection.
func TestPreparedStatementsBehindPgBouncerAreExplained(t *testing.T) {
	t.Parallel()
	bouncer := sqltest.PgBouncer(t, sqltest.Postgres(t))
	pool := func(tb testing.TB) *sql.DB {
		db := sqltest.Open(tb, bouncer.DriverName, strings.ReplaceAll(bouncer.DSN, "&default_query_exec_mode=exec", ""))
		db.SetMaxIdleConns(32)
		return db
	}
	s := newSite(t, sqlstore.Postgres, bouncer.Open)
	d := s.driver(t, pool(t))
	var mu sync.Mutex
	var explained error
	for range 50 {
		each(32, func(int) {
			if _, err := d.Load(t.Context(), driver.NewID(), time.Now()); !errors.Is(err, driver.ErrNoSession) {
				mu.Lock()
				defer mu.Unlock()
				explained = err
			}
		})
		if explained != nil {
			break
		}
	}
	require.ErrorIs(t, explained, driver.ErrMisconfigured)
	assert.ErrorContains(t, explained, "default_query_exec_mode=exec")
}
