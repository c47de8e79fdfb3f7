package main

import (
	"fmt"
)

// manyClients is how many ask at once where it is not one.
const manyClients = 64

// mostFresh is how many new sessions one round makes.
const mostFresh = 2000

// A row is one line of the table: some work in one place, by everyone who can do it.
type row struct {
	work    *work
	setup   setup
	clients int
	times   map[string][]float64 // nanoseconds an operation, round by round
	allocs  map[string]float64
}

func (r *row) String() string {
	size := "small"
	if r.setup.large {
		size = "3 KB"
	}
	return fmt.Sprintf("%s, %s, %s, %d clients", r.setup.driver, r.work.name, size, r.clients)
}

func newRow(w *work, s setup, clients int) *row {
	return &row{work: w, setup: s, clients: clients, times: make(map[string][]float64), allocs: make(map[string]float64)}
}

// measure lets all contenders do the work in turns.
func (r *row) measure(p pace) error {
	var names []string
	var laps []lap
	for i := range contenders {
		if r.work == unopened && contenders[i].name == nameGorilla {
			continue // it has no middleware
		}
		l, stop, err := contenders[i].enter(r)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", r, contenders[i].name, err)
		}
		if stop != nil {
			defer stop()
			names, laps = append(names, contenders[i].name), append(laps, l)
		}
	}
	bottom, stop, err := floorOf(r.setup, r.work, r.clients)
	if err != nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	defer stop()
	names, laps = append(names, floor), append(laps, bottom)
	for i, times := range race(p, laps) {
		r.times[names[i]] = times
		if r.clients == 1 {
			r.allocs[names[i]] = allocationsOf(&laps[i])
		}
	}
	return nil
}

func allocationsOf(l *lap) float64 {
	const n = 100
	if l.reset != nil {
		l.reset()
	}
	return allocations(func() { l.run(n) }) / n
}

// enter prepares a contender for a row: sessions that are full, and pages that do what they
// should. The function that stops it is nil where the contender keeps no sessions there.
func (c *contender) enter(r *row) (lap, func(), error) {
	p, err := c.start(r.setup)
	if err != nil || p == nil {
		return lap{}, nil, err
	}
	if err := p.prove(); err != nil {
		p.close()
		return lap{}, nil, err
	}
	browsers := make([]*client, r.clients)
	for i := range browsers {
		browsers[i] = newClient(i)
		if !r.work.fresh {
			p.begin(browsers[i])
		}
	}
	l := lap{run: func(n int) { together(r.clients, n, func(i int) { r.work.do(p, browsers[i]) }) }}
	if r.work.fresh {
		l.most, l.reset = mostFresh, flusher(r.setup.address)
		if r.setup.driver != server {
			l.reset = func() {
				p.close()
				var err error
				p, err = c.start(r.setup)
				fail(err)
			}
		}
	}
	return l, func() { p.close() }, nil
}

// A plan says at which pace the rows are measured.
type plan struct {
	local    pace // handlers that wait for nothing
	together pace // 64 clients at once
	remote   pace // what waits for redis
	longer   int  // how many times as many rounds the rows have that a promise rests on
}

func (p plan) paceOf(r *row) pace {
	use := p.local
	switch {
	case r.clients > 1:
		use = p.together
	case r.setup.driver == server:
		use = p.remote
	}
	if r.isPromised() {
		use.rounds *= p.longer
	}
	return use
}

// promised is the pace of what a promise rests on and waits for nothing.
func (p plan) promised() pace {
	p.local.rounds *= p.longer
	return p.local
}

// isPromised reports whether a number of the design rests on a row.
func (r *row) isPromised() bool {
	switch {
	case r.setup.large:
		return false
	case r.setup.driver == server:
		return r.work != unopened
	case r.clients > 1:
		return false
	case r.setup.driver == memory:
		return r.work == unopened || r.work == readOne || r.work == writeOne
	}
	return r.work == readOne || r.work == writeOne
}

// compareAll measures all rows: every work in every place, small and large, and small by many
// clients at once.
func compareAll(address string, port int, p plan) ([]*row, error) {
	var rows []*row
	for _, driver := range []string{memory, cookie, server} {
		for _, load := range []struct {
			large   bool
			clients int
		}{{false, 1}, {true, 1}, {false, manyClients}} {
			for _, w := range works {
				r := newRow(w, setup{driver: driver, address: address, port: port, large: load.large}, load.clients)
				if err := r.measure(p.paceOf(r)); err != nil {
					return nil, err
				}
				rows = append(rows, r)
			}
		}
	}
	return rows, nil
}
