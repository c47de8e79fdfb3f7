// Fuzz runs every fuzz target of the given modules, as many at once as there are processors.
//
//	go run ./internal/ci/fuzz -fuzztime 10s . e2e
//	go run ./internal/ci/fuzz -total 1h . e2e
//
// It first requires that each target has seeds, from F.Add or testdata/fuzz: a target without any
// passes as an ordinary test and has tested nothing.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"
)

// A target is one fuzz function.
type target struct {
	dir  string // of its module
	pkg  string // import path
	name string
}

func main() {
	each := flag.String("fuzztime", "", "for each target, as go test takes it")
	total := flag.Duration("total", 0, "for all targets together, instead of -fuzztime")
	flag.Parse()
	if err := run(os.Stdout, *each, *total, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

// run fuzzes each target for each, or for its share of total. After a target that fails it goes on
// with the next, and returns all failures together.
func run(out io.Writer, each string, total time.Duration, dirs []string) error {
	var targets []target
	for _, dir := range dirs {
		found, err := list(dir)
		if err != nil {
			return err
		}
		targets = append(targets, found...)
	}
	if len(targets) == 0 {
		fmt.Fprintln(out, "fuzz: there are no targets")
		return nil
	}
	atOnce := runtime.NumCPU()
	if each == "" {
		each = share(total*time.Duration(atOnce), len(targets)).String()
	}

	errs := make([]error, len(targets))
	var wait sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i, t := range targets {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			if errs[i] = t.checkSeeds(); errs[i] == nil {
				errs[i] = t.fuzz(each)
			}
		})
	}
	wait.Wait()
	failed := 0
	for _, err := range errs {
		if err != nil {
			failed++
		}
	}
	fmt.Fprintf(out, "%d fuzz targets, %s each: %d failed\n", len(targets), each, failed)
	return errors.Join(errs...)
}

// share is the time for each of n targets, in whole seconds and at least one.
func share(total time.Duration, n int) time.Duration {
	return max(total/time.Duration(n), time.Second).Truncate(time.Second)
}

// declared matches the declaration of a fuzz target.
var declared = regexp.MustCompile(`(?m)^func (Fuzz(?:[^a-z\W]\w*)?)\(`)

// list finds the targets of a module in its sources, so that packages without one are not built.
func list(dir string) (targets []target, err error) {
	cmd := exec.Command("go", "list", "-f", "{{$p := .}}{{range .TestGoFiles}}{{$p.ImportPath}}\t{{$p.Dir}}/{{.}}\n{{end}}"+
		"{{range .XTestGoFiles}}{{$p.ImportPath}}\t{{$p.Dir}}/{{.}}\n{{end}}", "./...")
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the targets of %s: %w\n%s", dir, err, &stderr)
	}
	for line := range strings.Lines(string(stdout)) {
		pkg, file, found := strings.Cut(strings.TrimSpace(line), "\t")
		if !found {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("list the targets of %s: %w", dir, err)
		}
		for _, match := range declared.FindAllSubmatch(source, -1) {
			targets = append(targets, target{dir: dir, pkg: pkg, name: string(match[1])})
		}
	}
	return targets, nil
}

// checkSeeds runs the target's seeds as ordinary tests. It fails if there are none.
func (t target) checkSeeds() error {
	text, err := t.test("-count=1", "-v", "-run", "^"+t.name+"$")
	if err != nil {
		return fmt.Errorf("%s of %s fails on its seeds: %w\n%s", t.name, t.pkg, err, text)
	}
	if !strings.Contains(text, "=== RUN   "+t.name+"/") {
		return fmt.Errorf("%s of %s has no seeds: call f.Add, or keep inputs in testdata/fuzz/%[1]s", t.name, t.pkg)
	}
	return nil
}

// fuzz looks for new inputs that fail.
func (t target) fuzz(fuzztime string) error {
	text, err := t.test("-parallel=1", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", fuzztime)
	if err != nil && !onlyLate(text) {
		return fmt.Errorf("%s of %s: %w\n%s", t.name, t.pkg, err, text)
	}
	if !strings.Contains(text, "fuzz: elapsed:") {
		return fmt.Errorf("%s of %s was not fuzzed:\n%s", t.name, t.pkg, text)
	}
	return nil
}

// test runs go test and returns what it prints.
func (t target) test(args ...string) (text string, err error) {
	cmd := exec.Command("go", append(append([]string{"test", "-vet=off"}, args...), t.pkg)...)
	cmd.Dir = t.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// late matches the report of a target for which go test names no input, nothing but its own clock.
var late = regexp.MustCompile(`(?m)^--- FAIL: Fuzz\w+ \([0-9.]+s\)\n    context deadline exceeded\nFAIL$`)

// onlyLate reports whether fuzzing failed for no other reason than that its time was up. Go before
// 1.27 sometimes takes the end of -fuzztime for a failure: https://go.dev/issue/75804.
func onlyLate(text string) bool {
	return late.MatchString(text) && !strings.Contains(text, "Failing input written") &&
		strings.Count(text, "--- FAIL:") == 1
}
