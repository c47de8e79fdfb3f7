// Package bench measures sqlstore beside the SQL stores of github.com/alexedwards/scs: the same
// handlers, the same servers, the same SQL drivers, in turns. A benchmark fails if this library is
// slower than one of them, beyond chance. To measure each line once:
//
//	go test -bench . -benchtime 1x
package bench

import (
	"context"
	"database/sql"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
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
	_ "modernc.org/sqlite"

	"example.com/session"
	"example.com/session/internal/sqltest"
	"example.com/session/sqlstore"
)

func TestMain(m *testing.M) { os.Exit(sqltest.Runner{M: m}.Run()) }

// An application reads a value, or writes one.
type application struct {
	name        string
	read, write http.Handler
	reported    bool // and no reason to fail
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

func BenchmarkPostgreSQL(b *testing.B) { measurePostgres(b, sqltest.Postgres(b), false) }

// Behind pgbouncer nothing is prepared. PostgreSQL then plans an UPDATE, which compares the version, longer
// than the INSERT of scs, which overwrites what others stored. That is as much as pgxstore saves without
// database/sql, so it is reported only.
func BenchmarkPgBouncer(b *testing.B) {
	measurePostgres(b, sqltest.PgBouncer(b, sqltest.Postgres(b)), true)
}

func measurePostgres(b *testing.B, server *sqltest.Server, reportPgx bool) {
	db := server.Open(b)
	exec(b, db, `CREATE TABLE IF NOT EXISTS sessions (token TEXT PRIMARY KEY, data BYTEA NOT NULL, expiry TIMESTAMPTZ NOT NULL)`,
		`CREATE INDEX IF NOT EXISTS sessions_expiry_idx ON sessions (expiry)`)
	pool, err := pgxpool.New(context.Background(), server.DSN)
	check(b, err)
	b.Cleanup(pool.Close)
	pgx := theirs("pgxstore", pgxstore.NewWithCleanupInterval(pool, 0))
	pgx.reported = reportPgx
	measure(b, ours(b, db, sqlstore.Postgres),
		theirs("postgresstore", postgresstore.NewWithCleanupInterval(db, 0)), pgx)
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

const (
	rounds = 151
	turn   = 8 * time.Millisecond

	// tooMany is how many rounds this library must not lose to another one: half of them and four
	// standard deviations. Equally quick code loses so many once in 30,000 lines.
	tooMany = 100
)

// measure compares each kind of request.
func measure(b *testing.B, all ...application) {
	for _, work := range []struct {
		name  string
		first bool
		pick  func(a application) http.Handler
	}{
		{"read", false, func(a application) http.Handler { return a.read }},
		{"write", false, func(a application) http.Handler { return a.write }},
		{"first write", true, func(a application) http.Handler { return a.write }},
	} {
		b.Run(work.name, func(b *testing.B) {
			var clients []func()
			for _, a := range all {
				clients = append(clients, client(b, a.write, work.pick(a), work.first))
			}
			for b.Loop() {
				report(b, all, race(clients))
			}
		})
	}
}

// client begins a session, and returns what asks for a page, with the session's cookie unless each
// request is a client's first one.
func client(b *testing.B, begin, page http.Handler, first bool) func() {
	begun := httptest.NewRecorder()
	begin.ServeHTTP(begun, httptest.NewRequest("GET", "/", nil))
	cookies := begun.Result().Cookies()
	if len(cookies) == 0 {
		b.Fatal("no session began: ", begun.Code)
	}
	return func() {
		r := httptest.NewRequest("GET", "/", nil)
		if !first {
			r.AddCookie(cookies[0])
		}
		w := httptest.NewRecorder()
		if page.ServeHTTP(w, r); w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	}
}

// race lets everybody have a short turn in each round, one right after the other, so that what slows
// the machine down meets all of them. It returns the microseconds of a request, round by round.
func race(clients []func()) [][]float64 {
	took := make([][]float64, len(clients))
	for round := range rounds {
		for k := range clients {
			i := (round + k) % len(clients)
			start, n := time.Now(), 0
			for ; time.Since(start) < turn; n++ {
				clients[i]()
			}
			took[i] = append(took[i], float64(time.Since(start).Microseconds())/float64(n))
		}
	}
	return took
}

// report prints the medians, of times and of the rounds' ratios, and fails if the first application,
// which is this library, has lost too many rounds to another one.
func report(b *testing.B, all []application, took [][]float64) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(took[0]), "us")
	for i, a := range all[1:] {
		var ratios []float64
		lost := 0
		for round, theirs := range took[i+1] {
			ratios = append(ratios, theirs/took[0][round])
			if theirs < took[0][round] {
				lost++
			}
		}
		b.ReportMetric(median(ratios), a.name+"/session")
		if lost >= tooMany && !a.reported {
			b.Errorf("%s was quicker in %d of %d rounds: it takes %.3f of the time", a.name, lost, rounds, median(ratios))
		}
	}
}

func median(xs []float64) float64 { return slices.Sorted(slices.Values(xs))[len(xs)/2] }
