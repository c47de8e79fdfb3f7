package redistest

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// shared is the test binary's common server. Main is alone when it reads and writes it; in between
// once guards it.
var shared struct {
	owned  bool // Main runs, so somebody stops the server
	once   sync.Once
	server *Server
	err    error
}

// Shared is one server for all tests of a binary whose TestMain calls [Main], started when it is
// first asked for. Other tests use it at the same time: take a namespace of your own (tb.Name()
// will do), delete nothing of others, and leave the server's state and configuration alone.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	if !shared.owned {
		tb.Fatal("redistest: Shared needs func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }")
	}
	shared.once.Do(func() { shared.server, shared.err = launch(randomPort, nil) })
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	return shared.server
}

// Main runs the tests (of a *testing.M, or of what wraps one), stops the shared server, and
// returns the code to exit with. Where the tests passed but a goroutine with a function of this
// module on its stack is still there five seconds later, it prints the stacks and returns 1.
func Main(m interface{ Run() int }) int { return run(m, 5*time.Second) }

func run(m interface{ Run() int }, limit time.Duration) int {
	shared.owned = true
	code := m.Run()
	if shared.server != nil {
		shared.server.remove()
	}
	// Failed tests leave goroutines behind, and a fuzz worker speaks to its coordinator only.
	if code != 0 || isFuzzWorker() {
		return code
	}
	if stacks := leaked(limit); len(stacks) > 0 {
		fmt.Fprintf(os.Stderr, "redistest: %d goroutines outlive the tests:\n\n%s\n",
			len(stacks), strings.Join(stacks, "\n\n"))
		return 1
	}
	return 0
}

func isFuzzWorker() bool {
	f := flag.Lookup("test.fuzzworker")
	return f != nil && f.Value.String() == "true"
}

// leaked gives the module's goroutines until limit to end, and returns the stacks of those that
// did not.
func leaked(limit time.Duration) []string {
	end := time.Now().Add(limit)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		var found []string
		for _, stack := range otherStacks() {
			if isOurs(stack, modulePath()) {
				found = append(found, stack)
			}
		}
		if len(found) == 0 || time.Now().After(end) {
			return found
		}
		time.Sleep(pause)
	}
}

// otherStacks returns the stack of each goroutine but the caller's.
func otherStacks() []string {
	buf := make([]byte, 1<<20)
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	// The caller's comes first.
	return strings.Split(strings.TrimSpace(string(buf[:n])), "\n\n")[1:]
}

// isOurs reports whether a stack names a function of the module, its nested modules or their
// tests, as running or as the goroutine's creator.
func isOurs(stack, module string) bool {
	for line := range strings.Lines(stack) {
		// The runtime escapes dots in the last element of a path.
		line = strings.ReplaceAll(strings.TrimPrefix(line, "created by "), "%2e", ".")
		rest, found := strings.CutPrefix(line, module)
		if found && (strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, "_test.")) {
			return true
		}
	}
	return false
}

// modulePath is asked of the compiled package, so that renaming the module needs no change here.
func modulePath() string {
	return strings.TrimSuffix(reflect.TypeFor[Server]().PkgPath(), "/internal/redistest")
}
