package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/session/internal/sqltest"
	"example.com/session/sqlstore"
)

// A plainConnector makes connections that have only what every SQL driver must have.
type plainConnector struct {
	driver driver.Driver
	dsn    string
}

func (c plainConnector) Driver() driver.Driver { return c.driver }

func (c plainConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	return struct{ driver.Conn }{conn}, err
}

func TestAnySQLDriverWillDo(t *testing.T) {
	t.Parallel()
	server := sqltest.Postgres(t)
	c := plainConnector{server.Open(t).Driver(), server.DSN}
	s := newSite(t, sqlstore.Postgres, server.Open)
	plain := func() *sql.DB {
		db := sql.OpenDB(c)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		return db
	}
	s.db = plain()
	s.incrementTogether(t, 1, plain())
}

// A server has room for so many prepared statements only, of all of its clients together.
func TestMySQLWithoutRoomForPreparedStatements(t *testing.T) {
	s := newSite(t, sqlstore.MySQL, databases[1].open(t))
	s.exec(t, "SET GLOBAL max_prepared_stmt_count = 0")
	defer s.db.ExecContext(context.Background(), "SET GLOBAL max_prepared_stmt_count = DEFAULT")
	s.incrementTogether(t, 1, s.pool(t))
}
