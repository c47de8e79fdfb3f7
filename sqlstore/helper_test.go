package sqlstore_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	mathrand "math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/internal/sqltest"
	"example.com/session/sqlstore"
)

// A database is where a test keeps sessions.
type database struct {
	name    string
	dialect sqlstore.Dialect
	open    func(tb testing.TB) func(tb testing.TB) *sql.DB // returns what opens one more pool of it
}

var databases = []database{
	{"PostgreSQL", sqlstore.Postgres, func(tb testing.TB) func(testing.TB) *sql.DB { return sqltest.Postgres(tb).Open }},
	{"MariaDB", sqlstore.MySQL, func(tb testing.TB) func(testing.TB) *sql.DB { return sqltest.MariaDB(tb).Open }},
	{"SQLite", sqlstore.SQLite, func(tb testing.TB) func(testing.TB) *sql.DB {
		dsn := sqltest.SQLiteFile(tb)
		return func(tb testing.TB) *sql.DB { return sqltest.Open(tb, "sqlite", dsn) }
	}},
}

// onDatabases runs a test on each database, in a table of its own, beside other tests.
func onDatabases(t *testing.T, run func(t *testing.T, s *site)) {
	t.Parallel()
	onEach(t, databases, func(t *testing.T, s *site) {
		t.Parallel()
		run(t, s)
	})
}

// onEach runs a test on one database after another, in a table of its own.
func onEach(t *testing.T, databases []database, run func(t *testing.T, s *site)) {
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) { run(t, newSite(t, d.dialect, d.open(t))) })
	}
}

// A site is a table that a test has for itself.
type site struct {
	dialect sqlstore.Dialect
	options sqlstore.Options
	pool    func(tb testing.TB) *sql.DB
	db      *sql.DB
}

var tables atomic.Int64

func newSite(t testing.TB, dialect sqlstore.Dialect, pool func(testing.TB) *sql.DB) *site {
	t.Helper()
	s := &site{dialect: dialect, pool: pool, db: pool(t)}
	s.db.SetMaxIdleConns(64)
	s.options = sqlstore.Options{Table: fmt.Sprintf("test %d\"`", tables.Add(1)), CleanupInterval: -1}
	require.NoError(t, s.driver(t, s.db).Migrate(t.Context(), s.db))
	return s
}

// driver returns a driver of the table, through a pool.
func (s *site) driver(t testing.TB, db *sql.DB) *sqlstore.Driver {
	t.Helper()
	d, err := sqlstore.New(db, s.dialect, s.options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

var limits = driver.Limits{Lifetime: 24 * time.Hour, Idle: time.Hour}

func secret() (d driver.Digest) {
	rand.Read(d[:])
	return d
}

// begin returns the changes that begin a session.
func begin(ops ...driver.Op) *driver.Changes {
	return &driver.Changes{
		ID: driver.NewID(), Number: mathrand.Uint64(), Now: time.Now(), New: true, Use: true,
		Install: secret(), Limits: limits, Ops: ops,
	}
}

// further returns the changes of a later save by the client who began the session.
func further(first *driver.Changes, ops ...driver.Op) *driver.Changes {
	return &driver.Changes{
		ID: first.ID, Number: mathrand.Uint64(), Now: time.Now(), Use: true,
		Expect: first.Install, Limits: limits, Ops: ops,
	}
}

func add(by int64) driver.Op { return driver.Op{Kind: driver.Add, Key: "n", By: by} }

func set(key, encoded string) driver.Op {
	return driver.Op{Kind: driver.Set, Key: key, Encoded: encoded}
}

// count returns the number that add has added up.
func count(t testing.TB, rec *driver.Record) int {
	t.Helper()
	require.NotNil(t, rec)
	encoded, _ := rec.Value(driver.Data, "n")
	n, ok := driver.ParseInt(encoded)
	require.True(t, ok)
	return int(n)
}

func user() string { return driver.NewID().String() + driver.NewID().String()[:21] }

func entry(id driver.ID) driver.IndexEntry {
	return driver.IndexEntry{ID: id, Entered: time.Now(), Ends: time.Now().Add(24 * time.Hour)}
}

// within returns a context as a request has it.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// exec runs statements of the test itself.
func (s *site) exec(t testing.TB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		_, err := s.db.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
}

// rows returns how many rows of sessions there are.
func (s *site) rows(t testing.TB, d *sqlstore.Driver) (n int) {
	t.Helper()
	sessions, _ := d.Tables()
	require.NoError(t, s.db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+sessions).Scan(&n))
	return n
}

// many returns n, or a tenth of it for SQLite, which the race detector slows down most.
func (s *site) many(n int) int {
	if s.dialect == sqlstore.SQLite {
		return n / 10
	}
	return n
}

// fill adds n rows of sessions, and n of the list of users' sessions, that end at a time. Their ids are
// at random places of an index, as real ones are.
func (s *site) fill(t testing.TB, d *sqlstore.Driver, n int, end time.Time) {
	t.Helper()
	sessions, users := d.Tables()
	ms := end.UnixMilli()
	prefix := driver.NewID().String()[:8]
	series := fmt.Sprintf("(WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < %d) SELECT i FROM s) AS s", n)
	id, data, version := "lower(hex(randomblob(11)))", "zeroblob(300)", "zeroblob(9)"
	switch s.dialect {
	case sqlstore.Postgres:
		series = fmt.Sprintf("generate_series(1, %d) AS s(i)", n)
		id, data, version = "left(md5('"+prefix+"' || i), 22)", "decode(repeat('00', 300), 'hex')", "decode(repeat('00', 9), 'hex')"
	case sqlstore.MySQL:
		series = fmt.Sprintf("(SELECT seq AS i FROM seq_1_to_%d) AS s", n)
		id, data, version = "left(md5(concat('"+prefix+"', i)), 22)", "repeat('0', 300)", "repeat('0', 9)"
	}
	s.exec(t,
		fmt.Sprintf("INSERT INTO %s (id, data, version, expires_ms, sweep_hour) SELECT %s, %s, %s, %d, %d FROM %s",
			sessions, id, data, version, ms, ms/3600000+1, series),
		fmt.Sprintf("INSERT INTO %s (user_key, id, entered_us, ends_ms) SELECT %s, %s, 0, %d FROM %s",
			users, id, id, ms, series))
}
