package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/session/internal/redistest"
)

// A ground is what package redistest stands on outside of tests: where it would fail a test, the
// program ends.
type ground struct {
	testing.TB
	cleanups []func()
}

func (g *ground) Helper()           {}
func (g *ground) Cleanup(f func())  { g.cleanups = append(g.cleanups, f) }
func (g *ground) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func (g *ground) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// clean undoes what was started, the last first.
func (g *ground) clean() {
	for _, f := range slices.Backward(g.cleanups) {
		f()
	}
}

// A traffic is what redis counts for one request.
type traffic struct {
	name       string
	work       *work
	roundTrips float64
	commands   map[string]float64 // those that a script runs among them
}

// countTraffic counts on the server what each contender sends for each work. Each has a server of
// its own: what the others' pools do as they close would count.
func countTraffic(tb testing.TB) ([]traffic, error) {
	var counts []traffic
	for _, c := range contenders {
		s := redistest.Start(tb)
		p, err := c.start(setup{driver: server, address: s.Addr(), port: s.Port()})
		if err != nil {
			return nil, err
		}
		if p == nil {
			continue
		}
		defer p.close()
		for _, w := range works {
			if w == unopened && c.name == nameGorilla {
				continue
			}
			counts = append(counts, countWork(tb, s, c.name, p, w))
		}
	}
	return counts, nil
}

func countWork(tb testing.TB, s *redistest.Server, name string, p *pages, w *work) traffic {
	const requests = 20
	browser := newClient(0)
	p.begin(browser)                 // connects, and teaches the server the scripts
	time.Sleep(2 * time.Millisecond) // the first use of a session is noted, by a clock of milliseconds
	w.do(p, browser)
	if w.fresh {
		browser = newClient(0)
	}
	do := func() {
		for range requests {
			w.do(p, browser)
		}
	}
	t := traffic{name: name, work: w, commands: make(map[string]float64)}
	t.roundTrips = float64(s.RoundTrips(tb, do)) / requests
	for command, n := range s.CommandsDuring(tb, do) {
		t.commands[command] = float64(n) / requests
	}
	return t
}

// list names the commands, as in "get 1, ping 1".
func (t *traffic) list() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(t.commands)) {
		parts = append(parts, fmt.Sprintf("%s %.3g", name, t.commands[name]))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
