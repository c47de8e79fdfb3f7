// Test runs the tests of the given modules and counts them. Many tests wait for servers and browsers, so several
// modules run at once.
//
//	go run ./internal/ci/test -race . e2e
//	go run ./internal/ci/test -omit /internal/ci .
//
// It prints one line a module when that has ended, the output of tests that fail, and at the end which
// tests were skipped and why. Like go test -v, it counts subtests as tests.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	race := flag.Bool("race", false, "with the race detector")
	omit := flag.String("omit", "", "a regular expression: leave out packages whose import path matches")
	atOnce := flag.Int("at-once", 2, "how many modules run at once")
	packages := flag.Int("p", runtime.NumCPU(), "how many packages of a module run at once")
	flag.Parse()
	args := []string{"test", "-json", "-count=1", "-timeout", "20m", "-p", strconv.Itoa(*packages),
		"-vet=off", "-ldflags=-w", // make check vets; without debug information linking takes half as long
	}
	if *race {
		args = append(args, "-race")
	}
	if failed := runAll(&lockedWriter{out: os.Stdout}, flag.Args(), *omit, args, *atOnce); failed > 0 {
		os.Exit(1)
	}
}

// runAll runs the tests of modules, prints the summary, and returns how many tests failed.
func runAll(out io.Writer, dirs []string, omit string, args []string, atOnce int) (failed int) {
	slots, reports := make(chan struct{}, atOnce), make([]*report, len(dirs))
	var wait sync.WaitGroup
	for i, dir := range dirs {
		slots <- struct{}{}
		reports[i] = newReport(out)
		wait.Go(func() {
			defer func() { <-slots }()
			reports[i].run(dir, omit, args)
		})
	}
	wait.Wait()
	sum := newReport(out)
	for _, r := range reports {
		sum.passed, sum.failed, sum.skipped = sum.passed+r.passed, sum.failed+r.failed, append(sum.skipped, r.skipped...)
	}
	sum.close()
	return sum.failed
}

// A lockedWriter keeps what the modules print apart, each Write as a whole.
type lockedWriter struct {
	mu  sync.Mutex
	out io.Writer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(p)
}

// A test is a test of a package, or the package itself if name is empty.
type test struct{ pkg, name string }

// An event is what go test -json says, one a line.
type event struct {
	Action, Package, Test, Output string
	ImportPath, FailedBuild       string // of what did not compile
}

// A report follows the events of a module.
type report struct {
	out            io.Writer
	passed, failed int
	skipped        []string
	running        map[test]string   // what each unfinished test or package has printed
	counts         map[string]int    // finished tests of each package
	failures       map[string]int    // failed tests of each package
	builds         map[string]string // what the compiler says of a package
}

func newReport(out io.Writer) *report {
	return &report{out, 0, 0, nil, map[test]string{}, map[string]int{}, map[string]int{}, map[string]string{}}
}

// run runs the tests of a module.
func (r *report) run(dir, omit string, args []string) {
	began := time.Now()
	if err := r.start(dir, omit, args); err != nil && r.failed == 0 { // no test failed: go test did
		r.failed++
		fmt.Fprintf(r.out, "FAIL  the tests of %s: %v\n", dir, err)
	}
	result := "ok  "
	if r.failed > 0 {
		result = "FAIL"
	}
	fmt.Fprintf(r.out, "%s  %s: %d passed, %d failed in %.0fs\n", result, dir, r.passed, r.failed, time.Since(began).Seconds())
}

func (r *report) start(dir, omit string, args []string) error {
	packages, err := list(dir, omit)
	if err != nil {
		return err
	}
	cmd := exec.Command("go", slices.Concat(args, packages)...)
	cmd.Dir = dir
	cmd.Stderr = r.out
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return err
	}
	r.read(stdout)
	return cmd.Wait()
}

// list returns the packages of a module that omit does not match.
func list(dir, omit string) ([]string, error) {
	if omit == "" {
		return []string{"./..."}, nil
	}
	cmd := exec.Command("go", "list", "./...")
	cmd.Dir = dir
	out, err := cmd.Output()
	return slices.DeleteFunc(strings.Fields(string(out)), regexp.MustCompile(omit).MatchString), err
}

// read adds the events of one go test. It prints lines that are no events.
func (r *report) read(events io.Reader) {
	for lines := bufio.NewReader(events); ; {
		line, err := lines.ReadBytes('\n')
		var e event
		if len(bytes.TrimSpace(line)) > 0 && json.Unmarshal(line, &e) != nil {
			fmt.Fprintf(r.out, "%s", line)
		}
		r.add(e)
		if err != nil {
			return
		}
	}
}

func (r *report) add(e event) {
	t := test{e.Package, e.Test}
	switch e.Action {
	case "run":
		r.running[t] = ""
	case "output":
		if !strings.HasPrefix(e.Output, "=== ") {
			r.running[t] += e.Output
		}
	case "build-output":
		r.builds[e.ImportPath] += e.Output
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e)
		} else {
			r.endTest(t, e.Action)
		}
		delete(r.running, t)
	}
}

func (r *report) endTest(t test, action string) {
	r.counts[t.pkg]++
	switch text := r.running[t]; action {
	case "pass":
		r.passed++
	case "fail":
		r.fail(t.pkg, text)
	case "skip":
		reason, _, _ := strings.Cut(text, "--- SKIP")
		reason = strings.Join(strings.Fields(reason), " ")
		r.skipped = append(r.skipped, fmt.Sprintf("%s %s: %s", t.pkg, t.name, reason))
	}
}

// fail counts a failure of a package's test, or of the package itself.
func (r *report) fail(pkg, text string) {
	r.failed++
	r.failures[pkg]++
	fmt.Fprintf(r.out, "%s", text)
}

func (r *report) endPackage(e event) {
	if e.Action != "fail" {
		return
	}
	r.endUnfinished(e.Package)
	text := r.builds[e.FailedBuild] + r.running[test{pkg: e.Package}]
	if r.failures[e.Package] == 0 { // not a test, but the package
		r.fail(e.Package, text)
	}
	fmt.Fprintf(r.out, "FAIL  %s (%d tests, %d failed)\n", e.Package, r.counts[e.Package], r.failures[e.Package])
}

// endUnfinished counts the tests that were running when their package failed, as by a panic.
func (r *report) endUnfinished(pkg string) {
	byName := func(a, b test) int { return strings.Compare(a.name, b.name) }
	for _, t := range slices.SortedFunc(maps.Keys(r.running), byName) {
		if t.pkg == pkg && t.name != "" {
			r.endTest(t, "fail")
			fmt.Fprintf(r.out, "--- FAIL: %s did not finish\n", t.name)
			delete(r.running, t)
		}
	}
}

// close prints the summary. Its last line is always "N passed, N failed".
func (r *report) close() {
	if len(r.skipped) > 0 {
		fmt.Fprintf(r.out, "%d skipped:\n  %s\n", len(r.skipped), strings.Join(r.skipped, "\n  "))
	}
	fmt.Fprintf(r.out, "%d passed, %d failed\n", r.passed, r.failed)
}
