package main

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A lap does some work n times.
type lap struct {
	reset func() // before each round, where it is not nil; its time does not count
	most  int    // the most that one round may do; 0: any number
	run   func(n int)
}

// A pace says how long a race takes, and by which clock.
type pace struct {
	rounds int           // how often every contender has its turn
	slice  time.Duration // about how long one turn takes
	least  int           // operations in a turn, so that the first one's cold start is a small part
	clock  func() time.Duration
}

// A result has, for each contender, what one operation took in each round, in nanoseconds.
type result [][]float64

// race measures contenders side by side: in each round every one has a short turn, one right
// after the other, each round beginning with another one. What slows the machine down for a
// while so meets all of them.
func race(p pace, laps []lap) result {
	runtime.GC()
	times := make([]int, len(laps))
	for i := range laps {
		times[i] = max(laps[i].calibrate(p), p.least)
	}
	res := make(result, len(laps))
	for round := range p.rounds {
		for k := range laps {
			i := (round + k) % len(laps)
			res[i] = append(res[i], laps[i].turn(p, times[i]))
		}
	}
	return res
}

// calibrate returns how often the work is done within about a slice. Of two tries it believes
// the quicker: the machine may have been busy with something else.
func (l *lap) calibrate(p pace) int {
	for n := 1; ; n *= 2 {
		if l.most > 0 && n >= l.most {
			return l.most
		}
		each := min(l.turn(p, n), l.turn(p, n))
		if each*float64(n) < float64(p.slice)/4 {
			continue
		}
		n = max(1, int(float64(p.slice)/each))
		if l.most > 0 {
			n = min(n, l.most)
		}
		return n
	}
}

// turn returns the nanoseconds that one operation took.
func (l *lap) turn(p pace, n int) float64 {
	if l.reset != nil {
		l.reset()
	}
	start := p.clock()
	l.run(n)
	return float64(p.clock()-start) / float64(n)
}

var began = time.Now()

// wallClock is the time that passes. It is for what waits, for a server or for one another.
func wallClock() time.Duration { return time.Since(began) }

// processorClock is what all threads of this process have used, the garbage collector's among
// them. It is for what waits for nothing: whoever else uses the machine does not count.
func processorClock() time.Duration { return readClock(unix.CLOCK_PROCESS_CPUTIME_ID) }

// threadClock is what this thread has used.
func threadClock() time.Duration { return readClock(unix.CLOCK_THREAD_CPUTIME_ID) }

func readClock(id int32) time.Duration {
	var t unix.Timespec
	fail(unix.ClockGettime(id, &t))
	return time.Duration(t.Nano())
}

// together shares n operations among so many goroutines, and returns when all are done.
func together(goroutines, n int, do func(i int)) {
	if goroutines == 1 {
		for range n {
			do(0)
		}
		return
	}
	var wg sync.WaitGroup
	for i := range goroutines {
		share := n / goroutines
		if i < n%goroutines {
			share++
		}
		wg.Go(func() {
			for range share {
				do(i)
			}
		})
	}
	wg.Wait()
}

// median returns the middle one, of an even number the mean of the two; 0 of none.
func median(xs []float64) float64 { return quantile(xs, 0.5) }

// quantile returns the value below which a share q of xs lies.
func quantile(xs []float64, q float64) float64 {
	if len(xs) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(xs))
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// A ratio compares two contenders round by round: the median of the rounds' ratios, and the two
// between which half of them lie.
type ratio struct{ mid, low, high float64 }

// ratioOf says how many times as long as b's a's work takes.
func ratioOf(a, b []float64) ratio {
	n := min(len(a), len(b))
	ratios := make([]float64, n)
	for i := range n {
		ratios[i] = a[i] / b[i]
	}
	return ratio{mid: median(ratios), low: quantile(ratios, 0.25), high: quantile(ratios, 0.75)}
}

// heap returns how many bytes are in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what the first one's finalizers and pools let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// allocations returns how many allocations do makes.
func allocations(do func()) float64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	do()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs - before.Mallocs)
}
