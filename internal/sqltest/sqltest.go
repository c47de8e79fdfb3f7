// Package sqltest starts database servers for tests: PostgreSQL, MariaDB and pgbouncer, as Debian
// packages them. Each has a directory, a port and a process of its own, which is stopped by its id. A test imports
// the drivers of database/sql that it needs: github.com/jackc/pgx/v5/stdlib, github.com/go-sql-driver/mysql, modernc.org/sqlite.
package sqltest

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"example.com/session/internal/process"
)

const (
	startLimit = 60 * time.Second
	stopLimit  = 20 * time.Second

	install = "apt-get install -y --no-install-recommends postgresql mariadb-server pgbouncer"
)

// A Server is a running server.
type Server struct {
	DriverName, DSN string // as sql.Open takes them
	Port            int
	Dir             string // holds all of its files

	command func(port int) *exec.Cmd
	ready   func(s *Server) error
	proc    *process.Process
	log     *os.File
}

// Open opens a pool, which is closed when the test ends.
func (s *Server) Open(tb testing.TB) *sql.DB {
	tb.Helper()
	return Open(tb, s.DriverName, s.DSN)
}

// Open opens a pool, which is closed when the test ends.
func Open(tb testing.TB, driverName, dsn string) *sql.DB {
	tb.Helper()
	db, err := sql.Open(driverName, dsn)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

// Kill ends the server without any warning, as a crash of it does.
func (s *Server) Kill() { s.proc.Kill() }

// Restart starts the server again, on the same port with the same data.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	var err error
	for end := time.Now().Add(startLimit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = s.launch(); err == nil { // the memory of the one that was killed may still be in use
			return
		}
	}
	tb.Fatal(err)
}

// launch starts the process and waits until it answers.
func (s *Server) launch() (err error) {
	cmd := s.command(s.Port)
	cmd.Dir, cmd.Stdout, cmd.Stderr = os.TempDir(), s.log, s.log
	process.DropRoot(cmd)
	if s.proc, err = process.Start(cmd); err != nil {
		return err
	}
	for end := time.Now().Add(startLimit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		select {
		case <-s.proc.Done():
			return fmt.Errorf("sqltest: the server ended at once; its log:\n%s", s.tail())
		default:
		}
		if err = s.ready(s); err == nil {
			return nil
		}
	}
	s.proc.Kill()
	return fmt.Errorf("sqltest: the server does not answer: %w; its log:\n%s", err, s.tail())
}

func (s *Server) tail() []byte {
	data, _ := os.ReadFile(s.log.Name())
	return data[max(0, len(data)-2000):]
}

func (s *Server) remove() {
	if s.proc != nil {
		// PostgreSQL would wait for its clients after SIGTERM. How it ends does not matter any more.
		_ = s.proc.Stop(os.Interrupt, stopLimit)
	}
	s.log.Close()
	os.RemoveAll(s.Dir)
}

// answers reports whether a query succeeds.
func answers(s *Server) error {
	db, err := sql.Open(s.DriverName, s.DSN)
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var one int
	return db.QueryRowContext(ctx, "SELECT 1").Scan(&one)
}

// newServer makes the directory, which belongs to the user that the server runs as.
func newServer(name string) (*Server, error) {
	dir, err := os.MkdirTemp("", "sqltest-"+name+"-")
	if err != nil {
		return nil, err
	}
	if err := process.Hand(dir); err != nil {
		return nil, err
	}
	s := &Server{Dir: dir}
	s.log, err = os.Create(filepath.Join(dir, "log"))
	return s, err
}

// write writes a file that the server can read.
func (s *Server) write(name, text string) (path string, err error) {
	path = filepath.Join(s.Dir, name)
	if err = os.WriteFile(path, []byte(text), 0o600); err == nil {
		err = process.Hand(path)
	}
	return path, err
}

// runAs runs a command to its end.
func (s *Server) runAs(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.Dir
	process.DropRoot(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("sqltest: %s: %w\n%s", filepath.Base(name), err, out)
	}
	return nil
}

// find returns the path of a program.
func find(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/", "/usr/sbin/", "/usr/bin/", "/usr/local/sbin/"} {
		if found, _ := filepath.Glob(pattern + program); len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	return "", fmt.Errorf("sqltest: there is no %s: %s", program, install)
}

// freePort returns a port that nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// start calls make until its server runs: another program may take the port meanwhile.
func start(make func(port int) (*Server, error)) (s *Server, err error) {
	for range 3 {
		port, portErr := freePort()
		if portErr != nil {
			return nil, portErr
		}
		if s, err = make(port); s == nil {
			return nil, err
		}
		if s.Port = port; err == nil {
			err = s.launch()
		}
		if err == nil {
			return s, nil
		}
		s.remove()
	}
	return nil, err
}

// A shared server is started when it is first asked for, and stopped by Main.
type shared struct {
	once   sync.Once
	server *Server
	err    error
}

func (s *shared) get(tb testing.TB, start func() (*Server, error)) *Server {
	tb.Helper()
	s.once.Do(func() { s.server, s.err = start() })
	if s.err != nil {
		tb.Fatal(s.err)
	}
	return s.server
}

var sharedPostgres, sharedMariaDB shared

// own starts a server for one test.
func own(tb testing.TB, start func() (*Server, error)) *Server {
	tb.Helper()
	s, err := start()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.remove)
	return s
}

// A Runner runs the tests of a binary, as *testing.M does.
type Runner struct{ M interface{ Run() int } }

// Run runs the tests, then stops the shared servers.
func (r Runner) Run() int {
	code := r.M.Run()
	for _, s := range []*shared{&sharedPostgres, &sharedMariaDB} {
		if s.server != nil {
			s.server.remove()
		}
	}
	return code
}
