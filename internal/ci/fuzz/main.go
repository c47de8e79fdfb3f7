// Fuzz runs every fuzz target of the given modules in turn.
//
//	go run ./internal/ci/fuzz -fuzztime 10s . e2e
//	go run ./internal/ci/fuzz -total 1h . e2e
//
// First it demands that each target has seeds, from F.Add or testdata/fuzz: without any, a target
// that is run as an ordinary test passes without having tested a thing.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
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

// run fuzzes each target for each, or for its share of total. It goes on after a target that
// fails, and tells all of them.
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
	if each == "" {
		each = share(total, len(targets)).String()
	}

	var errs []error
	for _, t := range targets {
		err := t.checkSeeds()
		if err == nil {
			err = t.fuzz(out, each)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// share is the time for each of n targets, in whole seconds and at least one.
func share(total time.Duration, n int) time.Duration {
	return max(total/time.Duration(n), time.Second).Truncate(time.Second)
}

// list finds the targets of a module.
func list(dir string) ([]target, error) {
	cmd := exec.Command("go", "test", "-json", "-list", "^Fuzz", "./...")
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, runErr := cmd.Output()
	var targets []target
	var text strings.Builder // what is said to people
	for events := json.NewDecoder(bytes.NewReader(stdout)); ; {
		var event struct{ Package, Output string }
		if err := events.Decode(&event); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("list the targets of %s: %w", dir, err)
		}
		text.WriteString(event.Output)
		if name := strings.TrimSpace(event.Output); strings.HasPrefix(name, "Fuzz") {
			targets = append(targets, target{dir: dir, pkg: event.Package, name: name})
		}
	}
	if runErr != nil {
		return nil, fmt.Errorf("list the targets of %s: %w\n%s%s", dir, runErr, text.String(), stderr.String())
	}
	return targets, nil
}

// checkSeeds runs the target's seeds as ordinary tests, and fails where there are none.
func (t target) checkSeeds() error {
	cmd := t.command("-count=1", "-v", "-run", "^"+t.name+"$")
	text, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s of %s fails on its seeds: %w\n%s", t.name, t.pkg, err, text)
	}
	if !bytes.Contains(text, []byte("=== RUN   "+t.name+"/")) {
		return fmt.Errorf("%s of %s has no seeds: call f.Add, or keep inputs in testdata/fuzz/%[1]s", t.name, t.pkg)
	}
	return nil
}

// fuzz looks for new inputs that fail. What go test says goes to out as it comes.
func (t target) fuzz(out io.Writer, fuzztime string) error {
	fmt.Fprintf(out, "fuzz: %s of %s for %s\n", t.name, t.pkg, fuzztime)
	var text bytes.Buffer
	cmd := t.command("-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", fuzztime)
	cmd.Stdout = io.MultiWriter(out, &text)
	cmd.Stderr = cmd.Stdout
	err := cmd.Run()
	if err != nil && onlyLate(text.String()) {
		fmt.Fprintln(out, "fuzz: no input failed: time was up while a worker was busy")
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s of %s: %w", t.name, t.pkg, err)
	}
	return nil
}

func (t target) command(args ...string) *exec.Cmd {
	cmd := exec.Command("go", append(append([]string{"test"}, args...), t.pkg)...)
	cmd.Dir = t.dir
	return cmd
}

// late matches the report of a target for which go test names no input, nothing but its own clock.
var late = regexp.MustCompile(`(?m)^--- FAIL: Fuzz\w+ \([0-9.]+s\)\n    context deadline exceeded\nFAIL$`)

// onlyLate reports whether fuzzing failed for no other reason than that its time was up. Go before
// 1.27 sometimes takes the end of -fuzztime for a failure: https://go.dev/issue/75804.
func onlyLate(text string) bool {
	return late.MatchString(text) && !strings.Contains(text, "Failing input written") &&
		strings.Count(text, "--- FAIL:") == 1
}
