// Benchmarks compares session with the libraries that Go programs use for sessions, and with
// what could be the least:
//
//	go run .          prints one table, in about two minutes
//	go run . -check   the same, and fails where a number that the library promises is missed
//	go run . -short   half a minute, and only what holds by a wide margin: for machines that nobody knows
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
	check := flag.Bool("check", false, "fail where a number is missed")
	short := flag.Bool("short", false, "measure for half a minute, and fail where a number is missed by far")
	flag.Parse()
	if !run(*check, *short) {
		os.Exit(1)
	}
}

// run reports whether all that was to be checked is kept. The server is stopped whatever happens.
func run(check, short bool) bool {
	g := new(ground)
	defer g.clean()
	s := redistest.Start(g)
	if short {
		rep, err := measureShort()
		fail(err)
		return writeVerdicts(os.Stdout, judgeShort(rep))
	}
	rep, err := measure(g, s)
	fail(err)
	rep.write(os.Stdout)
	fmt.Println("\nWhat the library promises, and what was measured; of a ratio, what half of the rounds lie between:")
	return writeVerdicts(os.Stdout, judge(rep)) || !check
}

// usual is how long everything takes that only the table shows; promised rows take longer.
var usual = plan{
	local:    pace{rounds: 9, slice: 8 * time.Millisecond, clock: processorClock},
	together: pace{rounds: 9, slice: 8 * time.Millisecond, clock: wallClock},
	remote:   pace{rounds: 51, slice: 1500 * time.Microsecond, clock: wallClock},
	longer:   5,
}

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
	rep.stalls = []stall{leastOf(3, func() stall { return ourStall(1_000_000) }), scsStall(1_000_000)}
	rep.took = time.Since(rep.when)
	return rep, nil
}

// measureShort measures what a promise rests on and needs no redis.
func measureShort() (*report, error) {
	rep := &report{when: time.Now(), plan: usual}
	for _, w := range []*work{unopened, readOne, writeOne} {
		for _, driver := range []string{memory, cookie} {
			r := newRow(w, setup{driver: driver}, 1)
			if err := r.measure(usual.promised()); err != nil {
				return nil, err
			}
			rep.rows = append(rep.rows, r)
		}
	}
	rep.templates = compareTemplates(usual.promised())
	rep.footprints = ourFootprints(100_000)
	return rep, nil
}
