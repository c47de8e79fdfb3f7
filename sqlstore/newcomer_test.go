package sqlstore_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/internal/sqltest"
	"example.com/session/sqlstore"
)

// TestMistakesOfNewcomersAreExplained goes by docs/sql.md with one mistake each time. Ping tells the way
// out, and a save fails rather than lose something.
func TestMistakesOfNewcomersAreExplained(t *testing.T) {
	t.Parallel()
	postgres, maria := sqltest.Postgres(t), sqltest.NewMariaDB(t, "--skip-grant-tables=0")
	file, table := sqltest.SQLiteFile(t), fmt.Sprint("newcomer_", tables.Add(1))
	options := sqlstore.Options{Table: table, CleanupInterval: -1}
	migrated := func(driverName, dsn string, dialect sqlstore.Dialect) *sql.DB {
		db := sqltest.Open(t, driverName, dsn)
		d, err := sqlstore.New(db, dialect, options)
		require.NoError(t, err)
		defer d.Close()
		require.NoError(t, d.Migrate(t.Context(), db))
		return db
	}
	exec := func(db *sql.DB, statements ...string) {
		for _, statement := range statements {
			_, err := db.ExecContext(t.Context(), statement)
			require.NoError(t, err, statement)
		}
	}
	exec(sqltest.Open(t, "mysql", maria.DSN), "CREATE DATABASE shop")
	shop := strings.Replace(maria.DSN, "/test?", "/shop?", 1)
	exec(migrated("pgx", postgres.DSN, sqlstore.Postgres), "CREATE ROLE "+table+" LOGIN",
		fmt.Sprintf("GRANT SELECT ON %[1]s, %[1]s_user, %[1]s_schema TO %[1]s", table))
	exec(migrated("mysql", shop, sqlstore.MySQL), "CREATE USER reader@'127.0.0.1'", "GRANT SELECT ON shop.* TO reader@'127.0.0.1'")
	migrated("sqlite", file, sqlstore.SQLite)

	for _, test := range []struct {
		name, driverName, dsn string
		dialect               sqlstore.Dialect
		want                  string
	}{
		{"dialect of MySQL for PostgreSQL", "pgx", postgres.DSN, sqlstore.MySQL, "give New its Dialect"},
		{"dialect of SQLite for PostgreSQL", "pgx", postgres.DSN, sqlstore.SQLite, "give New its Dialect"},
		{"dialect of PostgreSQL for MySQL", "mysql", shop, sqlstore.Postgres, "give New its Dialect"},
		{"dialect of PostgreSQL for SQLite", "sqlite", file, sqlstore.Postgres, "give New its Dialect"},
		{"no such database in PostgreSQL", "pgx", strings.Replace(postgres.DSN, "/postgres?", "/none?", 1), sqlstore.Postgres, `"none" does not exist`},
		{"DSN that cannot be read", "pgx", postgres.DSN + "&sslmode=maybe", sqlstore.Postgres, "sslmode is invalid"},
		{"no such database in MySQL", "mysql", strings.Replace(shop, "/shop", "/none", 1), sqlstore.MySQL, "Unknown database 'none'"},
		{"no database in MySQL", "mysql", strings.Replace(shop, "/shop", "/", 1), sqlstore.MySQL, "name the database in the DSN"},
		{"no such user in PostgreSQL", "pgx", strings.Replace(postgres.DSN, "postgres@", "nobody_else@", 1), sqlstore.Postgres, `role "nobody_else" does not exist`},
		{"wrong password in MySQL", "mysql", strings.Replace(shop, "root@", "root:wrong@", 1), sqlstore.MySQL, "Access denied"},
		{"may only read in PostgreSQL", "pgx", strings.Replace(postgres.DSN, "postgres@", table+"@", 1), sqlstore.Postgres, "grant the rights"},
		{"may only read in MySQL", "mysql", strings.Replace(shop, "root@", "reader@", 1), sqlstore.MySQL, "grant the rights"},
		{"read-only transactions", "pgx", postgres.DSN + "&default_transaction_read_only=on", sqlstore.Postgres, "connect to the primary server"},
		{"read-only file", "sqlite", file + "&mode=ro", sqlstore.SQLite, "allowed to write"},
		{"no such directory", "sqlite", sqltest.SQLiteDSN(filepath.Join(t.TempDir(), "none", "file")), sqlstore.SQLite, "allowed to write"},
		{"not migrated", "sqlite", sqltest.SQLiteFile(t), sqlstore.SQLite, "call Migrate"},
		{"database in memory", "sqlite", ":memory:", sqlstore.SQLite, "call Migrate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := sqltest.Open(t, test.driverName, test.dsn)
			d, err := sqlstore.New(db, test.dialect, options)
			require.NoError(t, err)
			defer d.Close()
			err = d.Ping(t.Context())
			require.ErrorIs(t, err, driver.ErrMisconfigured)
			assert.ErrorContains(t, err, test.want)
			first := begin(add(1))
			rec, err := d.Save(t.Context(), nil, first)
			if err == nil { // one statement may be good SQL of another database, too
				_, err = d.Save(t.Context(), rec, further(first, add(1)))
			}
			if test.dialect != sqlstore.Postgres || test.driverName != "sqlite" {
				assert.ErrorIs(t, err, driver.ErrMisconfigured)
			}
		})
	}
}

// What a newcomer may leave out or choose otherwise does no harm.
func TestOtherSettingsOfNewcomersDoNoHarm(t *testing.T) {
	t.Parallel()
	maria := sqltest.NewMariaDB(t, "--character-set-server=latin1", "--collation-server=latin1_swedish_ci", "--default-time-zone=-11:00")
	without := strings.Replace(maria.DSN, "?interpolateParams=true", "?", 1)
	for name, dsn := range map[string]string{
		"latin1, case-insensitive": maria.DSN,
		"parseTime":                maria.DSN + "&parseTime=true&loc=Local",
		"no interpolateParams":     without,
		"other collation":          without + "collation=utf8mb4_general_ci",
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, sqlstore.MySQL, func(tb testing.TB) *sql.DB { return sqltest.Open(tb, "mysql", dsn) })
			require.NoError(t, s.driver(t, s.db).Ping(t.Context()))
			s.incrementTogether(t, 1, s.pool(t))
			s.checkCase(t)
			d := s.driver(t, s.db)
			kept := s.rows(t, d)
			s.fill(t, d, 10, swept())
			s.fill(t, d, 10, time.Now())
			s.exec(t, d.CleanupSQL()...)
			require.Equal(t, kept+10, s.rows(t, d), "the time zone of the server matters")
		})
	}
}

// checkCase checks that ids which differ in case only are those of different sessions.
func (s *site) checkCase(t *testing.T) {
	t.Helper()
	d := s.driver(t, s.db)
	for i, text := range []string{"abcdefghijklmnopqrstuA", "ABCdefghijklmnopqrstuA", "abcdefghijklmnopqrstuQ"} {
		first := begin(add(int64(i)))
		var ok bool
		first.ID, ok = driver.ParseID(text)
		require.True(t, ok)
		_, err := d.Save(t.Context(), nil, first)
		require.NoError(t, err, "ids are compared without their case")
		rec, err := d.Load(t.Context(), first.ID, first.Now)
		require.NoError(t, err)
		require.Equal(t, i, count(t, rec))
	}
}
