// Test runs the tests of the given modules, one module after another, and counts them.
//
//	go run ./internal/ci/test -race . e2e
//	go run ./internal/ci/test -omit /internal/ci .
//
// It prints one line a package, the output of tests that fail, and at the end which tests were
// skipped and why. Like go test -v, it counts subtests as tests.
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
	"slices"
	"strings"
)

func main() {
	race := flag.Bool("race", false, "with the race detector")
	omit := flag.String("omit", "", "a regular expression: leave out packages whose import path matches")
	flag.Parse()
	args := []string{"test", "-json", "-count=1", "-timeout", "20m"}
	if *race {
		args = append(args, "-race")
	}
	r := newReport(os.Stdout)
	for _, dir := range flag.Args() {
		r.run(dir, *omit, args)
	}
	if r.close(); r.failed > 0 {
		os.Exit(1)
	}
}

// A test is a test of a package, or the package itself if name is empty.
type test struct{ pkg, name string }

// An event is what go test -json says, one a line.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64 // seconds
	ImportPath, FailedBuild       string  // of what did not compile
}

// A report follows the events of all modules.
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
	before := r.failed
	if err := r.start(dir, omit, args); err != nil && r.failed == before { // no test failed: go test did
		r.failed++
		fmt.Fprintf(r.out, "FAIL  the tests of %s: %v\n", dir, err)
	}
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
	switch e.Action {
	case "skip":
		fmt.Fprintf(r.out, "-     %s (no tests)\n", e.Package)
	case "pass":
		fmt.Fprintf(r.out, "ok    %s %.1fs (%d tests)\n", e.Package, e.Elapsed, r.counts[e.Package])
	case "fail":
		r.endUnfinished(e.Package)
		text := r.builds[e.FailedBuild] + r.running[test{pkg: e.Package}]
		if r.failures[e.Package] == 0 { // not a test, but the package
			r.fail(e.Package, text)
		}
		fmt.Fprintf(r.out, "FAIL  %s %.1fs (%d tests, %d failed)\n",
			e.Package, e.Elapsed, r.counts[e.Package], r.failures[e.Package])
	}
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
