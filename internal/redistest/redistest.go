// Package redistest runs real redis servers for tests.
//
// Most tests should use [Shared]: one server for the whole test binary, stopped by [Main], which
// also fails the binary where a goroutine of this module outlives the tests:
//
//	func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }
//
// A test that stops, pauses or reconfigures its server, counts commands or looks at all keys
// starts one of its own with [Start]; that takes some twenty milliseconds.
//
// A server never outlives the test binary on Linux, however the binary ends.
package redistest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"example.com/session/internal/process"
)

const (
	host       = "127.0.0.1"
	startLimit = 10 * time.Second // from the start of the process to its first answer
	stopLimit  = 5 * time.Second  // from SIGTERM to SIGKILL
	replyLimit = 10 * time.Second // for a helper's own command; a paused server answers none
)

// Ports are drawn from a range below the one that systems use for outgoing connections, so that no
// client takes a stopped server's port before Restart. Port+10000, where a cluster node has its
// bus, stays below it too.
const (
	firstPort = 10000
	lastPort  = 22767
)

var (
	errMissing   = errors.New("redistest: redis-server is not installed: apt-get install redis-server")
	errPortTaken = errors.New("port taken")
)

// A Server is a redis-server process on a port of its own. Its methods are safe for use by several
// goroutines; those that take a testing.TB fail that test where something goes wrong, and must be
// called from the goroutine that runs it.
type Server struct {
	path     string   // of the executable
	dir      string   // socket, log, and what redis stores where args make it
	args     []string // the caller's, placed after the defaults
	password string
	port     int

	mu   sync.Mutex
	proc *process.Process // nil while the server is down
}

// Start starts a server on a free port of 127.0.0.1, waits until it answers, and stops it when tb
// ends. Nothing is stored on disk.
//
// The args are redis options ("--requirepass", "secret", "--maxmemory", "8mb") and prevail over
// the defaults; "{port}" in one stands for the server's port, as in "--port", "0", "--tls-port",
// "{port}". A first arg without dashes is a configuration file.
//
// Start fails tb where redis-server is not installed: a test that needs it never passes unseen.
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	s, err := launch(randomPort, args)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.remove)
	return s
}

// Addr is host and port, as net.Dial takes them. It stays the same for the life of the Server.
func (s *Server) Addr() string { return net.JoinHostPort(host, strconv.Itoa(s.port)) }

// Host is the address without its port.
func (s *Server) Host() string { return host }

// Port is the TCP port.
func (s *Server) Port() int { return s.port }

// Socket is the path of the server's unix socket.
func (s *Server) Socket() string { return filepath.Join(s.dir, "redis.sock") }

// Password is what --requirepass set, or "".
func (s *Server) Password() string { return s.password }

// PID is the id of the running process, or 0 while the server is down.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return 0
	}
	return s.proc.PID()
}

// Conn opens a connection for the test's own commands; it is closed when tb ends. It goes through
// the unix socket, so it works for every configuration of the port, and knows the password.
func (s *Server) Conn(tb testing.TB, options ...redis.DialOption) redis.Conn {
	tb.Helper()
	c, err := s.dial(replyLimit, options...)
	if err != nil {
		tb.Fatalf("redistest: connect to %s: %v", s.Addr(), err)
	}
	tb.Cleanup(func() { c.Close() })
	return c
}

// Stop ends the server as an administrator would: SIGTERM, SIGKILL where that does not help. It
// returns once the process is gone, and does nothing while the server is down.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil {
		s.stop()
		s.proc = nil
	}
}

// Kill ends the server with SIGKILL, as a crash would, and returns once the process is gone.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil {
		s.proc.Kill()
		s.proc = nil
	}
}

// Restart stops the server, where it is up, and starts it again on the same port with the same
// args. It comes back empty, unless the args make it store its data.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	s.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.start()
	for end := time.Now().Add(startLimit); errors.Is(err, errPortTaken) && time.Now().Before(end); err = s.start() {
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		tb.Fatalf("redistest: restart on %s: %v", s.Addr(), err)
	}
}

// Pause freezes the server until Resume: connections are still taken by the kernel, nothing is
// answered. Stop, Kill and Restart work on a paused server.
func (s *Server) Pause(tb testing.TB) {
	tb.Helper()
	s.signal(tb, "pause", pause)
}

// Resume lets a paused server go on; it then answers what it was asked meanwhile.
func (s *Server) Resume(tb testing.TB) {
	tb.Helper()
	s.signal(tb, "resume", resume)
}

func (s *Server) signal(tb testing.TB, name string, do func(*process.Process) error) {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		tb.Fatalf("redistest: %s %s: the server is down", name, s.Addr())
	}
	if err := do(s.proc); err != nil {
		tb.Fatalf("redistest: %s %s: %v", name, s.Addr(), err)
	}
}

// randomPort draws a port; whether it is free only the server's bind can tell.
func randomPort() int { return firstPort + rand.IntN(lastPort-firstPort+1) }

// launch starts a server on the first of ports that is free.
func launch(ports func() int, args []string) (*Server, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errMissing
	}
	// Not tb.TempDir: the path of a unix socket may not be longer than about a hundred bytes.
	dir, err := os.MkdirTemp("", "redistest")
	if err != nil {
		return nil, fmt.Errorf("redistest: %w", err)
	}
	s := &Server{path: path, dir: dir, args: args, password: option(args, "--requirepass")}
	for range 50 {
		s.port = ports()
		if err = s.start(); !errors.Is(err, errPortTaken) {
			break
		}
	}
	if err != nil {
		s.remove()
		return nil, fmt.Errorf("redistest: start redis-server: %w", err)
	}
	return s, nil
}

// option is the last value that args give to a redis option, or "".
func option(args []string, name string) (value string) {
	for i := range len(args) - 1 {
		if strings.EqualFold(args[i], name) {
			value = args[i+1]
		}
	}
	return value
}

// start runs the process and waits for its first answer. The caller holds mu or is alone.
func (s *Server) start() error {
	log, err := os.Create(s.logPath())
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	cmd := exec.Command(s.path, s.arguments()...)
	cmd.Stdout, cmd.Stderr = log, log
	p, err := process.Start(cmd)
	if err != nil {
		return err
	}
	if err := s.awaitAnswer(p); err != nil {
		p.Kill()
		return err
	}
	s.proc = p
	return nil
}

// arguments puts the defaults in front, where the caller's args prevail: of an option that is
// given twice redis takes the last.
func (s *Server) arguments() []string {
	own := []string{
		"--bind", host, "--port", strconv.Itoa(s.port), "--unixsocket", s.Socket(),
		"--dir", s.dir, "--save", "", "--appendonly", "no", "--daemonize", "no",
	}
	given := slices.Clone(s.args)
	for i := range given {
		given[i] = strings.ReplaceAll(given[i], "{port}", strconv.Itoa(s.port))
	}
	// redis takes a configuration file only as its first argument.
	if len(given) > 0 && !strings.HasPrefix(given[0], "-") {
		return slices.Concat(given[:1], own, given[1:])
	}
	return append(own, given...)
}

// awaitAnswer polls the unix socket. The port would not do: where another process has it, that
// one may answer. The socket is opened after the port, so the port is open too.
func (s *Server) awaitAnswer(p *process.Process) error {
	var last error
	for end := time.Now().Add(startLimit); time.Now().Before(end); {
		select {
		case <-p.Done():
			return s.startError()
		case <-time.After(2 * time.Millisecond):
		}
		if last = s.ping(); last == nil {
			return nil
		}
	}
	return fmt.Errorf("no answer within %v: %v", startLimit, last)
}

// ping reports whether the server is ready. Where it says that the command is not allowed, it is.
func (s *Server) ping() error {
	c, err := s.dial(time.Second)
	if err == nil {
		defer c.Close()
		_, err = c.Do("PING")
	}
	var reply redis.Error
	if errors.As(err, &reply) && !strings.HasPrefix(string(reply), "LOADING") {
		return nil
	}
	return err
}

// startError tells from the log why the process ended before it answered.
func (s *Server) startError() error {
	data, err := os.ReadFile(s.logPath())
	if err != nil {
		return err
	}
	log := string(data)
	if strings.Contains(log, "Address already in use") || strings.Contains(log, "Failed listening on port") {
		return fmt.Errorf("%w: %d", errPortTaken, s.port)
	}
	return fmt.Errorf("it ended at once:\n%s", log[max(0, len(log)-2000):])
}

func (s *Server) logPath() string { return filepath.Join(s.dir, "redis.log") }

// dial connects through the unix socket. The caller's options come last, so they prevail.
func (s *Server) dial(limit time.Duration, options ...redis.DialOption) (redis.Conn, error) {
	own := []redis.DialOption{
		redis.DialConnectTimeout(limit), redis.DialReadTimeout(limit), redis.DialWriteTimeout(limit),
		redis.DialPassword(s.password),
	}
	return redis.Dial("unix", s.Socket(), append(own, options...)...)
}

// remove ends the server and deletes what it left behind. Nothing is kept, so nothing is gained by
// the tenth of a second that an orderly end takes.
func (s *Server) remove() {
	s.Kill()
	os.RemoveAll(s.dir)
}
