package scs_test

import (
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/scs/mysqlstore"
	"github.com/alexedwards/scs/pgxstore"
	"github.com/alexedwards/scs/postgresstore"
	"github.com/alexedwards/scs/sqlite3store"
	"github.com/alexedwards/scs/v2"
	_ "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"example.com/session"
	scsimport "example.com/session/importers/scs"
	"example.com/session/internal/sqltest"
)

// A database is one that scs has a store for, with the table that the store asks for.
type database struct {
	name, table string
	server      func(tb testing.TB) *sqltest.Server // nil: SQLite
	open        func(db *sql.DB) scs.Store
	idleIsOver  string // the statement that makes each row as old as its idle timeout
}

const (
	postgresTable = "CREATE TABLE sessions (token TEXT PRIMARY KEY, data BYTEA NOT NULL, expiry TIMESTAMPTZ NOT NULL)"
	postgresOver  = "UPDATE sessions SET expiry = current_timestamp - INTERVAL '1 second'"
	mariaOver     = "UPDATE sessions SET expiry = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND"
)

var databases = []database{
	{"sqlite", "CREATE TABLE sessions (token TEXT PRIMARY KEY, data BLOB NOT NULL, expiry REAL NOT NULL)", nil,
		func(db *sql.DB) scs.Store { return sqlite3store.NewWithCleanupInterval(db, 0) },
		"UPDATE sessions SET expiry = julianday('now') - 0.1"},
	{"postgres", postgresTable, sqltest.Postgres,
		func(db *sql.DB) scs.Store { return postgresstore.NewWithCleanupInterval(db, 0) }, postgresOver},
	{"pgx", postgresTable, sqltest.Postgres, nil, postgresOver},
	{"mariadb", "CREATE TABLE sessions (token CHAR(43) PRIMARY KEY, data BLOB NOT NULL, expiry TIMESTAMP(6) NOT NULL)",
		sqltest.MariaDB, openMariaDB, mariaOver},
	{"mariadb, datetime", "CREATE TABLE sessions (token CHAR(43) PRIMARY KEY, data LONGBLOB NOT NULL, expiry DATETIME(6) NOT NULL)",
		sqltest.MariaDB, openMariaDB, mariaOver},
}

func openMariaDB(db *sql.DB) scs.Store { return mysqlstore.NewWithCleanupInterval(db, 0) }

// A place is an empty database with a table for scs.
type place struct {
	database
	driver, dsn string
}

var places atomic.Int64

func (d database) make(t *testing.T) *place {
	p := &place{database: d, driver: "sqlite"}
	if d.server == nil {
		p.dsn = sqltest.SQLiteFile(t) + "&_pragma=busy_timeout(5000)"
	} else {
		server, name := d.server(t), fmt.Sprintf("old%d", places.Add(1))
		_, err := server.Open(t).Exec("CREATE DATABASE " + name)
		require.NoError(t, err)
		at, options, _ := strings.Cut(server.DSN, "?")
		p.driver, p.dsn = server.DriverName, at[:strings.LastIndex(at, "/")+1]+name+"?"+options
	}
	_, err := sqltest.Open(t, p.driver, p.dsn).Exec(d.table)
	require.NoError(t, err)
	return p
}

// store returns a store with connections of its own, in a time zone unless that is "".
func (p *place) store(t *testing.T, zone string) scs.Store {
	dsn := p.dsn
	switch {
	case zone == "":
	case p.driver == "mysql":
		dsn += "&time_zone=" + url.QueryEscape("'"+zone+"'")
	default:
		dsn += "&timezone=" + url.QueryEscape(zone)
	}
	if p.open != nil {
		return p.open(sqltest.Open(t, p.driver, dsn))
	}
	pool, err := pgxpool.New(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pgxstore.NewWithCleanupInterval(pool, 0)
}

// readBy makes the new program read the old sessions from another store than the old program has.
func readBy(store scs.Store) func(old *scs.SessionManager, cfg *session.Config) {
	return func(old *scs.SessionManager, cfg *session.Config) {
		reader := scs.New()
		reader.Store, reader.Lifetime = store, old.Lifetime
		cfg.Import = scsimport.New(reader, scsimport.Options{User: userOf})
	}
}

// The new program opens the database itself, and its connections may have another time zone.
func TestAnotherTimeZoneSignsNobodyOut(t *testing.T) {
	for _, d := range databases {
		if d.server == nil {
			continue // SQLite has no time zone
		}
		for _, zones := range [][2]string{{"+05:30", "-08:00"}, {"-08:00", "+05:30"}, {"+05:30", "+05:30"}} {
			t.Run(d.name+" "+zones[0]+" "+zones[1], func(t *testing.T) {
				p := d.make(t)
				m := migrate(t, p.store(t, zones[0]), readBy(p.store(t, zones[1])))
				m.browser.Get("/add?item=milk")
				assert.Equal(t, "ann: tea,milk to Wien", m.browser.Get("/page").Body)
				m.clock.Advance(20*24*time.Hour - time.Minute)
				assert.Equal(t, "ann: tea,milk to Wien", m.browser.Get("/page").Body)
				m.clock.Advance(2 * time.Minute)
				assert.Equal(t, ":  to ", m.browser.Get("/page").Body)
			})
		}
	}
}

// scs compares a TIMESTAMP of MariaDB, which the time zone of its connection shifts, with UTC.
func TestATimeZoneThatShiftsAnExpiryOpensNoSessionThatIsOver(t *testing.T) {
	for _, d := range databases {
		if d.name != "mariadb" {
			continue
		}
		p := d.make(t)
		reader := p.store(t, "+05:30")
		m := migrate(t, p.store(t, "-08:00"), readBy(reader))
		token, over := strings.TrimPrefix(m.before, "session="), time.Now().Add(-time.Second)
		data, err := m.old.Codec.Encode(over, map[string]any{"userID": "ann"})
		require.NoError(t, err)
		require.NoError(t, m.old.Store.Commit(token, data, over))
		_, found, err := reader.Find(token)
		require.NoError(t, err)
		require.True(t, found, "the database still has it")
		assert.Equal(t, ":  to ", m.browser.Get("/page").Body)
	}
}

func TestARowWhoseIdleTimeoutIsOverIsNotImported(t *testing.T) {
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			p := d.make(t)
			m := migrate(t, p.store(t, ""), func(old *scs.SessionManager, _ *session.Config) { old.IdleTimeout = time.Hour })
			_, err := sqltest.Open(t, p.driver, p.dsn).Exec(p.idleIsOver)
			require.NoError(t, err)
			assert.Equal(t, ":  to ", m.browser.Get("/page").Body)
			assert.Zero(t, m.manager.Stats().Imported)
		})
	}
}
