package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/internal/sqltest"
	"example.com/session/sqlstore"
)

func TestNewReportsAllProblemsAtOnce(t *testing.T) {
	_, err := sqlstore.New(nil, 0, sqlstore.Options{Table: strings.Repeat("x", 41), CleanupBatch: -1})
	for _, part := range []string{"*sql.DB is nil", "the dialect must be", "Options.Table", "Options.CleanupBatch"} {
		assert.ErrorContains(t, err, part)
	}
	db := sqltest.Open(t, "sqlite", sqltest.SQLiteFile(t))
	_, err = sqlstore.New(db, sqlstore.SQLite, sqlstore.Options{Schema: "public"})
	assert.ErrorContains(t, err, "one schema a file")
	for _, name := range []string{"a\x00b", "\xff", "a\nb"} {
		_, err = sqlstore.New(db, sqlstore.SQLite, sqlstore.Options{Table: name})
		assert.ErrorContains(t, err, "Options.Table")
		_, err = sqlstore.New(db, sqlstore.Postgres, sqlstore.Options{Schema: name})
		assert.ErrorContains(t, err, "Options.Schema")
	}
}

func TestNamesOfTablesAreQuoted(t *testing.T) {
	db := sqltest.Open(t, "sqlite", sqltest.SQLiteFile(t))
	const name = "a\"; DROP TABLE b; -- `?{id}"
	for dialect, quoted := range map[sqlstore.Dialect]string{
		sqlstore.Postgres: `CREATE TABLE "a""; DROP TABLE b; -- ` + "`" + `?{id}" (`,
		sqlstore.MySQL:    "CREATE TABLE IF NOT EXISTS `a\"; DROP TABLE b; -- ``?{id}` (",
		sqlstore.SQLite:   `CREATE TABLE "a""; DROP TABLE b; -- ` + "`" + `?{id}" (`,
	} {
		d, err := sqlstore.New(db, dialect, sqlstore.Options{Table: name, CleanupInterval: -1})
		require.NoError(t, err)
		assert.Contains(t, d.Schema(), quoted)
	}
	d, err := sqlstore.New(db, sqlstore.Postgres, sqlstore.Options{Schema: `s"1`, CleanupInterval: -1})
	require.NoError(t, err)
	assert.Contains(t, d.Schema(), `CREATE TABLE "s""1"."session_store" (`)
	assert.Contains(t, d.Schema(), `CREATE INDEX "session_store_sweep" ON "s""1"."session_store"`)
}

type sqliteError int

func (e sqliteError) Error() string { return fmt.Sprint("sqlite ", int(e)) }
func (e sqliteError) Code() int     { return int(e) }

// cgoError is laid out as that of github.com/mattn/go-sqlite3.
type cgoError struct{ Code int }

func (e cgoError) Error() string { return "sqlite" }

// embeddingError has a field Number only through a nil pointer.
type embeddingError struct{ *mysql.MySQLError }

func (embeddingError) Error() string { return "broken pipe" }
func (embeddingError) Is(error) bool { return false }

func TestErrorsAreToldApartByTheirCodes(t *testing.T) {
	postgres := func(code string) error { return fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code}) }
	my := func(number uint16) error { return fmt.Errorf("wrapped: %w", &mysql.MySQLError{Number: number}) }
	for _, test := range []struct {
		dialect sqlstore.Dialect
		err     error
		want    string
	}{
		{sqlstore.Postgres, postgres("40001"), "contended"},
		{sqlstore.Postgres, postgres("40P01"), "contended"},
		{sqlstore.Postgres, postgres("57P01"), "broken"},
		{sqlstore.Postgres, postgres("08006"), "broken"},
		{sqlstore.Postgres, postgres("28P01"), "misconfigured"},
		{sqlstore.Postgres, postgres("25006"), "misconfigured"},
		{sqlstore.Postgres, postgres("26000"), "misconfigured"},
		{sqlstore.Postgres, postgres("53300"), "unavailable"},
		{sqlstore.MySQL, my(1213), "contended"},
		{sqlstore.MySQL, my(1205), "contended"},
		{sqlstore.MySQL, my(1062), "duplicate"},
		{sqlstore.MySQL, my(1045), "misconfigured"},
		{sqlstore.MySQL, my(1290), "misconfigured"},
		{sqlstore.MySQL, my(1040), "unavailable"},
		{sqlstore.MySQL, mysql.ErrInvalidConn, "broken"},
		{sqlstore.MySQL, embeddingError{}, "broken"},
		{sqlstore.MySQL, fmt.Errorf("wrapped: %w", driver.ErrDamaged), "unavailable"},
		{sqlstore.SQLite, sqliteError(5), "contended"},
		{sqlstore.SQLite, sqliteError(517), "contended"}, // SQLITE_BUSY_SNAPSHOT
		{sqlstore.SQLite, sqliteError(8), "misconfigured"},
		{sqlstore.SQLite, sqliteError(13), "unavailable"}, // the disk is full
		{sqlstore.SQLite, cgoError{5}, "contended"},
		{sqlstore.Postgres, io.ErrUnexpectedEOF, "broken"},
		{sqlstore.Postgres, &net.OpError{Op: "dial", Err: errors.New("refused")}, "unavailable"},
		{sqlstore.Postgres, fmt.Errorf("wrapped: %w", context.DeadlineExceeded), "unavailable"},
	} {
		assert.Equal(t, test.want, test.dialect.FaultOf(test.err), "%s: %v", test.dialect, test.err)
	}
}
