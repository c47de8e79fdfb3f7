package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	sessiondriver "example.com/session/driver"
	"example.com/session/internal/sqltest"
	"example.com/session/sqlstore"
)

// A counter is a connector of another SQL driver that counts statements.
type counter struct {
	driver driver.Driver
	dsn    string
	sent   atomic.Int64
}

func (c *counter) Driver() driver.Driver { return c.driver }

func (c *counter) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	return &countingConn{Conn: conn, sent: &c.sent}, nil
}

type countingConn struct {
	driver.Conn
	sent *atomic.Int64
}

func (c *countingConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
}

func (c *countingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.sent.Add(1)
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c *countingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.sent.Add(1)
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

// Prepare is for SQLite, whose statements are compiled once.
func (c *countingConn) Prepare(query string) (driver.Stmt, error) {
	stmt, err := c.Conn.Prepare(query)
	if err != nil {
		return nil, err
	}
	return &countingStmt{Stmt: stmt, sent: c.sent}, nil
}

type countingStmt struct {
	driver.Stmt
	sent *atomic.Int64
}

func (s *countingStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.sent.Add(1)
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s *countingStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.sent.Add(1)
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

func (c *countingConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

// counted returns a site whose statements are counted.
func counted(t *testing.T, name string) (*site, *counter) {
	t.Helper()
	c := new(counter)
	dialect := sqlstore.SQLite
	driverName := "sqlite"
	switch name {
	case "PostgreSQL":
		server := sqltest.Postgres(t)
		dialect, driverName, c.dsn = sqlstore.Postgres, server.DriverName, server.DSN
	case "MariaDB":
		server := sqltest.MariaDB(t)
		dialect, driverName, c.dsn = sqlstore.MySQL, server.DriverName, server.DSN
	default:
		c.dsn = sqltest.SQLiteFile(t)
	}
	c.driver = sqltest.Open(t, driverName, c.dsn).Driver()
	s := newSite(t, dialect, func(tb testing.TB) *sql.DB {
		db := sql.OpenDB(c)
		tb.Cleanup(func() { db.Close() })
		return db
	})
	return s, c
}

func TestStatementsOfARequest(t *testing.T) {
	t.Parallel()
	for _, database := range databases {
		t.Run(database.name, func(t *testing.T) {
			t.Parallel()
			s, c := counted(t, database.name)
			_, address := s.newManager(t, nil)
			browser := newBrowser(t)
			statements := func(path string) int64 {
				before := c.sent.Load()
				browser(address + path)
				return c.sent.Load() - before
			}
			assert.EqualValues(t, 1, statements("/add"), "a request that begins a session")
			browser(address + "/user") // the first use of a cookie is noted
			assert.EqualValues(t, 1, statements("/user"), "a request that reads")
			assert.EqualValues(t, 2, statements("/add"), "a request that reads and writes")
			assert.EqualValues(t, 5, statements("/login"), "a sign-in")

			d := s.driver(t, s.db)
			first := begin(add(0))
			rec, err := d.Save(t.Context(), nil, first)
			require.NoError(t, err)
			_, err = d.Save(t.Context(), rec, further(first, add(1)))
			require.NoError(t, err)
			before := c.sent.Load()
			_, err = d.Save(t.Context(), rec, further(first, add(1)))
			require.NoError(t, err)
			assert.EqualValues(t, 3, c.sent.Load()-before, "a save that meets another one")
		})
	}
}

// TestFigures measures what docs/sql.md says of sizes.
func TestFigures(t *testing.T) {
	small := []sessiondriver.Op{set("a", "1"), set("b", "2"), set("locale", "'en-GB"), set("theme", "'dark"), set("seen", "'2026-11-27")}
	onDatabases(t, func(t *testing.T, s *site) {
		for _, kind := range []struct {
			name string
			ops  []sessiondriver.Op
			most int64
		}{
			{"five small values", small, 1200},
			{"and one of 1 KB", append(small[:5:5], set("cart", "'"+strings.Repeat("article ", 128))), 3500},
		} {
			s.options.Table = fmt.Sprint("figures_", tables.Add(1)) // MySQL's statistics quote other names
			d := s.driver(t, s.db)
			require.NoError(t, d.Migrate(t.Context(), s.db))
			const n = 1000
			empty := s.size(t, d)
			for range n {
				_, err := d.Save(t.Context(), nil, begin(kind.ops...))
				require.NoError(t, err)
			}
			size := (s.size(t, d) - empty) / n
			t.Logf("%s: %d bytes a session", kind.name, size)
			assert.Less(t, size, kind.most, kind.name)
		}
	})
}

// size returns how many bytes the table of sessions and its indexes take, in SQLite the whole file.
func (s *site) size(t *testing.T, d *sqlstore.Driver) (size int64) {
	t.Helper()
	sessions, _ := d.Tables()
	query := "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
	switch s.dialect {
	case sqlstore.Postgres:
		query = fmt.Sprintf("SELECT pg_total_relation_size('%s')", sessions)
	case sqlstore.MySQL:
		s.exec(t, "ANALYZE TABLE "+sessions)
		query = fmt.Sprintf("SELECT data_length + index_length FROM information_schema.tables WHERE table_name = '%s'",
			strings.Trim(sessions, "`"))
	}
	require.Eventually(t, func() bool {
		return s.db.QueryRowContext(t.Context(), query).Scan(&size) == nil && size > 0
	}, 10*time.Second, 100*time.Millisecond)
	return size
}
