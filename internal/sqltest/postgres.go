package sqltest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// Postgres returns the PostgreSQL that the tests of a binary share. Take a table of your own.
func Postgres(tb testing.TB) *Server {
	tb.Helper()
	return sharedPostgres.get(tb, startPostgres("initdb", initdb, "-c", "fsync=off"))
}

// NewPostgres starts a PostgreSQL with the settings of its distribution and further ones, such as
// "-c", "max_connections=20".
func NewPostgres(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	return own(tb, startPostgres("initdb", initdb, settings...))
}

// startPostgres runs a PostgreSQL whose data a tool of its packages makes first.
func startPostgres(maker string, arguments func(data string) (args []string), settings ...string) func() (*Server, error) {
	return func() (*Server, error) {
		tool, err := find(maker)
		if err != nil {
			return nil, err
		}
		postgres, err := find("postgres")
		if err != nil {
			return nil, err
		}
		return start(func(port int) (*Server, error) {
			s, err := newServer("postgres")
			if err != nil {
				return nil, err
			}
			data := filepath.Join(s.Dir, "data")
			s.DriverName, s.DSN = "pgx", postgresDSN(port)
			s.command = func(port int) *exec.Cmd {
				args := []string{"-D", data, "-p", strconv.Itoa(port), "-h", "127.0.0.1", "-k", s.Dir, "-c", "max_connections=200"}
				return exec.Command(postgres, append(args, settings...)...)
			}
			s.ready = answers
			return s, s.runAs(tool, arguments(data)...)
		})
	}
}

func postgresDSN(port int) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)
}

// initdb makes an empty database.
func initdb(data string) []string {
	return []string{"-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"}
}

// Standby starts a read-only replica of a PostgreSQL.
func Standby(tb testing.TB, primary *Server) *Server {
	tb.Helper()
	return own(tb, startPostgres("pg_basebackup", func(data string) []string {
		return []string{"-d", primary.DSN, "-D", data, "-R", "-X", "stream", "-c", "fast", "--no-sync"}
	}))
}

// PgBouncer starts a pgbouncer in transaction mode in front of a PostgreSQL. It has a few server
// connections only, so that each transaction may get another one.
func PgBouncer(tb testing.TB, behind *Server) *Server {
	tb.Helper()
	return own(tb, func() (*Server, error) {
		pgbouncer, err := find("pgbouncer")
		if err != nil {
			return nil, err
		}
		return start(func(port int) (*Server, error) {
			s, err := newServer("pgbouncer")
			if err != nil {
				return nil, err
			}
			users, err := s.write("users", `"postgres" ""`+"\n")
			if err != nil {
				return s, err
			}
			config, err := s.write("pgbouncer.ini", fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%d user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = trust
auth_file = %s
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
log_connections = 0
log_disconnections = 0
`, behind.Port, port, users))
			s.DriverName, s.DSN = "pgx", postgresDSN(port)+"&default_query_exec_mode=exec"
			s.command = func(int) *exec.Cmd { return exec.Command(pgbouncer, config) }
			s.ready = answers
			return s, err
		})
	})
}
