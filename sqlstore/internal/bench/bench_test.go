// Package bench measures sqlstore beside the SQL stores of github.com/alexedwards/scs: the same
// handlers, the same servers, the same SQL drivers, in one run.
//
//	go test -bench . -benchtime 2s -count 5
package bench

import (
	"context"
	"database/sql"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/alexedwards/scs/mysqlstore"
	"github.com/alexedwards/scs/pgxstore"
	"github.com/alexedwards/scs/postgresstore"
	"github.com/alexedwards/scs/sqlite3store"
	"github.com/alexedwards/scs/v2"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/session"
	"example.com/session/sqlstore"
	"example.com/session/sqlstore/internal/sqltest"
)

func TestMain(m *testing.M) { os.Exit(sqltest.Runner{M: m}.Run()) }

// An application reads a value, or writes one.
type application struct {
	name        string
	read, write http.Handler
}

func ours(b *testing.B, db *sql.DB, dialect sqlstore.Dialect) application {
	b.Helper()
	store, err := sqlstore.New(db, dialect, sqlstore.Options{})
	check(b, err)
	check(b, store.Migrate(b.Context(), db))
	b.Cleanup(func() { store.Close() })
	manager, err := session.NewManager(session.Config{
		Default: "sql", Drivers: map[string]session.Driver{"sql": store}, Logger: slog.New(slog.DiscardHandler),
	})
	check(b, err)
	b.Cleanup(func() { manager.Close() })
	return application{
		name: "session",
		read: manager.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			session.FromRequest(r).GetInt("n")
		})),
		write: manager.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			session.FromRequest(r).Set("n", int(time.Now().UnixNano()))
		})),
	}
}

func theirs(name string, store scs.Store) application {
	manager := scs.New()
	manager.Store = store
	return application{
		name: name,
		read: manager.LoadAndSave(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			manager.GetInt(r.Context(), "n")
		})),
		write: manager.LoadAndSave(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			manager.Put(r.Context(), "n", int(time.Now().UnixNano()))
		})),
	}
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func BenchmarkPostgreSQL(b *testing.B) {
	server := sqltest.Postgres(b)
	db := server.Open(b)
	exec(b, db, `CREATE TABLE IF NOT EXISTS sessions (token TEXT PRIMARY KEY, data BYTEA NOT NULL, expiry TIMESTAMPTZ NOT NULL)`,
		`CREATE INDEX IF NOT EXISTS sessions_expiry_idx ON sessions (expiry)`)
	pool, err := pgxpool.New(context.Background(), server.DSN)
	check(b, err)
	b.Cleanup(pool.Close)
	measure(b, ours(b, db, sqlstore.Postgres),
		theirs("postgresstore", postgresstore.NewWithCleanupInterval(db, 0)),
		theirs("pgxstore", pgxstore.NewWithCleanupInterval(pool, 0)))
}

func BenchmarkMariaDB(b *testing.B) {
	server := sqltest.MariaDB(b)
	db := server.Open(b)
	theirDB := sqltest.Open(b, server.DriverName, server.DSN+"&parseTime=true")
	exec(b, db, `CREATE TABLE IF NOT EXISTS sessions (token CHAR(43) PRIMARY KEY, data BLOB NOT NULL, expiry TIMESTAMP(6) NOT NULL)`,
		`CREATE INDEX IF NOT EXISTS sessions_expiry_idx ON sessions (expiry)`)
	measure(b, ours(b, db, sqlstore.MySQL), theirs("mysqlstore", mysqlstore.NewWithCleanupInterval(theirDB, 0)))
}

func BenchmarkSQLite(b *testing.B) {
	dsn := sqltest.SQLiteFile(b)
	db := sqltest.Open(b, "sqlite", dsn)
	theirDB := sqltest.Open(b, "sqlite", sqltest.SQLiteFile(b)+"&_pragma=busy_timeout(5000)")
	exec(b, theirDB, `CREATE TABLE sessions (token TEXT PRIMARY KEY, data BLOB NOT NULL, expiry REAL NOT NULL)`,
		`CREATE INDEX sessions_expiry_idx ON sessions(expiry)`)
	measure(b, ours(b, db, sqlstore.SQLite), theirs("sqlite3store", sqlite3store.NewWithCleanupInterval(theirDB, 0)))
}

func exec(b *testing.B, db *sql.DB, statements ...string) {
	b.Helper()
	for _, statement := range statements {
		_, err := db.ExecContext(b.Context(), statement)
		check(b, err)
	}
}

// measure runs each kind of request with each application in turn.
func measure(b *testing.B, all ...application) {
	for _, work := range []struct {
		name  string
		first bool
		pick  func(a application) http.Handler
	}{
		{"read", false, func(a application) http.Handler { return a.read }},
		{"write", false, func(a application) http.Handler { return a.write }},
		{"first", true, func(a application) http.Handler { return a.write }},
	} {
		for _, a := range all {
			b.Run(work.name+"/"+a.name, func(b *testing.B) {
				begun := httptest.NewRecorder()
				a.write.ServeHTTP(begun, httptest.NewRequest("GET", "/", nil))
				cookies := begun.Result().Cookies()
				if len(cookies) == 0 {
					b.Fatal("no session began: ", begun.Code)
				}
				handler := work.pick(a)
				for b.Loop() {
					r := httptest.NewRequest("GET", "/", nil)
					if !work.first {
						r.AddCookie(cookies[0])
					}
					w := httptest.NewRecorder()
					if handler.ServeHTTP(w, r); w.Code != http.StatusOK {
						b.Fatal(w.Code)
					}
				}
			})
		}
	}
}
