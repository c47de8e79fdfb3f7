package sqltest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// MariaDB returns the MariaDB that the tests of a binary share. Take a table of your own.
func MariaDB(tb testing.TB) *Server {
	tb.Helper()
	return sharedMariaDB.get(tb, startMariaDB("--innodb-flush-log-at-trx-commit=2"))
}

// NewMariaDB starts a MariaDB with its own defaults and further settings.
func NewMariaDB(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	return own(tb, startMariaDB(settings...))
}

func startMariaDB(settings ...string) func() (*Server, error) {
	return func() (*Server, error) {
		install, err := find("mariadb-install-db")
		if err != nil {
			return nil, err
		}
		mariadbd, err := find("mariadbd")
		if err != nil {
			return nil, err
		}
		return start(func(port int) (*Server, error) {
			s, err := newServer("mariadb")
			if err != nil {
				return nil, err
			}
			data := filepath.Join(s.Dir, "data")
			s.DriverName = "mysql"
			s.DSN = fmt.Sprintf("root@tcp(127.0.0.1:%d)/test?interpolateParams=true", port)
			s.command = func(port int) *exec.Cmd {
				args := []string{
					"--no-defaults", "--datadir=" + data, "--port=" + strconv.Itoa(port), "--bind-address=127.0.0.1",
					"--socket=" + filepath.Join(s.Dir, "socket"), "--pid-file=" + filepath.Join(s.Dir, "pid"),
					"--skip-name-resolve", "--skip-grant-tables=1", "--skip-networking=0", "--max-connections=200",
				}
				return exec.Command(mariadbd, append(args, settings...)...)
			}
			s.ready = answers
			return s, s.runAs(install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal",
				"--tmpdir="+os.TempDir())
		})
	}
}
