// Benchmarks compares session with the libraries that Go programs use for sessions, and with
// what could be the least:
//
//	go run .          prints one table, in about two minutes
//	go run . -check   measures what the library promises, and fails where a number is missed
//	go run . -redis   of that the lines of redis, with a table
//	go run . -short   a few seconds of that, and fails where a number is missed by far: for machines that nobody knows
//
// It needs a redis-server to be installed and starts one of its own.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"

	"example.com/session/internal/redistest"
)

// heapSize is what the program keeps, as a service does that has data of its own. In the 4 MB of an
// empty program the collector starts every millisecond, and a third of all time is spent in starting.
const heapSize = 64 << 20

func main() {
	kept := make([]byte, heapSize)
	defer runtime.KeepAlive(kept)
	check := flag.Bool("check", false, "measure for three minutes, and fail if a limit is missed")
	short := flag.Bool("short", false, "measure for a few seconds, and fail if a limit is missed by more than a factor of three")
	lines := flag.Bool("redis", false, "measure redis only, and fail if a limit is missed")
	flag.Parse()
	if !run(*check, *short, *lines) {
		os.Exit(1)
	}
}

// run reports whether what was to be checked is kept. The server is stopped whatever happens.
func run(check, short, lines bool) bool {
	if short {
		rep, err := measureShort()
		fail(err)
		return writeVerdicts(os.Stdout, judgeShort(rep))
	}
	g := new(ground)
	defer g.clean()
	s := redistest.Start(g)
	if lines {
		rep := &report{when: time.Now(), plan: usual}
		fail(rep.measureRows(s, server))
		rep.writeRows(os.Stdout)
		return writeVerdicts(os.Stdout, rep.judgeRedis())
	}
	if check {
		rep, err := measurePromised(g, s)
		fail(err)
		return writeVerdicts(os.Stdout, judge(rep))
	}
	rep, err := measure(g, s)
	fail(err)
	rep.write(os.Stdout)
	fmt.Println("\nWhat the library promises, and what was measured; of a ratio, what half of the rounds lie between:")
	writeVerdicts(os.Stdout, judge(rep))
	return true
}

// usual is how long everything takes that only the table shows; promised rows take longer.
var usual = plan{
	local:    pace{rounds: 9, slice: 8 * time.Millisecond, clock: processorClock},
	together: pace{rounds: 9, slice: 8 * time.Millisecond, clock: wallClock},
	remote:   pace{rounds: 51, slice: 1500 * time.Microsecond, least: 40, clock: wallClock},
	longer:   5,
}

// tries is how often a stall is looked for.
const tries = 5

// measure is the whole run.
func measure(g *ground, s *redistest.Server) (*report, error) {
	rep := &report{when: time.Now(), plan: usual}
	var err error
	if rep.rows, err = compareAll(s.Addr(), s.Port(), usual); err != nil {
		return nil, err
	}
	if rep.traffic, err = countTraffic(g); err != nil {
		return nil, err
	}
	rep.sockets = compareSockets(pace{rounds: 11, slice: 50 * time.Millisecond, clock: wallClock})
	rep.templates = compareTemplates(usual.promised())
	for _, sessions := range []int{100_000, 1_000_000} {
		rep.footprints = append(rep.footprints, ourFootprints(sessions)...)
	}
	rep.footprints = append(rep.footprints, footprintOf(nameSCS, startSCS, 100_000), footprintOf(nameGin, startGin, 100_000))
	rep.stalls = []stall{leastOf(tries, func() stall { return ourStall(1_000_000) }), scsStall(1_000_000)}
	rep.took = time.Since(rep.when)
	return rep, nil
}

// measurePromised measures what judge looks at, and nothing else.
func measurePromised(g *ground, s *redistest.Server) (*report, error) {
	rep := &report{when: time.Now(), plan: usual}
	if err := rep.measureRows(s, memory, cookie, server); err != nil {
		return nil, err
	}
	var err error
	rep.traffic, err = countTraffic(g)
	rep.templates = compareTemplates(usual.promised())
	rep.footprints = ourFootprints(1_000_000)
	rep.stalls = []stall{leastOf(tries, func() stall { return ourStall(1_000_000) })}
	return rep, err
}

// measureShort measures of that what needs no redis and takes no time.
func measureShort() (*report, error) {
	rep := &report{when: time.Now(), plan: usual}
	err := rep.measureRows(nil, memory, cookie)
	rep.templates = compareTemplates(usual.promised())
	rep.footprints = ourFootprints(100_000)
	return rep, err
}

// measureRows measures the rows that a promise rests on.
func (rep *report) measureRows(s *redistest.Server, drivers ...string) error {
	for _, driver := range drivers {
		in := setup{driver: driver}
		if driver == server {
			in.address, in.port = s.Addr(), s.Port()
		}
		for _, clients := range []int{1, manyClients} {
			for _, w := range works {
				r := newRow(w, in, clients)
				if !r.isPromised() {
					continue
				}
				if err := r.measure(usual.paceOf(r)); err != nil {
					return err
				}
				rep.rows = append(rep.rows, r)
			}
		}
	}
	return nil
}
