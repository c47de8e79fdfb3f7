package main

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestMedianAndQuantiles(t *testing.T) {
	for _, tc := range []struct {
		name      string
		xs        []float64
		q         float64
		want      float64
		untouched bool
	}{
		{name: "none", q: 0.5, want: 0},
		{name: "one", xs: []float64{3}, q: 0.5, want: 3},
		{name: "odd", xs: []float64{9, 1, 5}, q: 0.5, want: 5},
		{name: "even", xs: []float64{4, 1, 3, 2}, q: 0.5, want: 2.5},
		{name: "lower quarter", xs: []float64{5, 4, 3, 2, 1}, q: 0.25, want: 2},
		{name: "last", xs: []float64{1, 2, 3}, q: 1, want: 3},
		{name: "one outlier moves nothing", xs: []float64{1, 1, 1, 1, 1e9}, q: 0.5, want: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := append([]float64(nil), tc.xs...)
			assert.Equal(t, tc.want, quantile(tc.xs, tc.q))
			assert.Equal(t, before, tc.xs, "the rounds are not in their order any more")
		})
	}
}

func TestARatioComparesWithinTheRound(t *testing.T) {
	slow, quick := []float64{100, 1000, 300}, []float64{10, 100, 30}
	assert.Equal(t, ratio{mid: 10, low: 10, high: 10}, ratioOf(slow, quick),
		"a machine that is ten times slower for a round changes the ratio")
	assert.Equal(t, ratio{}, ratioOf(nil, quick))
}

func TestARaceGivesEveryoneTheSameRounds(t *testing.T) {
	var clock, first [3]int
	now := time.Duration(0)
	laps := make([]lap, 3)
	turns := 0
	for i := range laps {
		laps[i].run = func(n int) {
			now += time.Duration(n*(i+1)) * time.Microsecond
			clock[i]++
			if turns%3 == 0 {
				first[i]++
			}
			turns++
		}
	}
	res := race(pace{rounds: 9, slice: time.Millisecond, clock: func() time.Duration { return now }}, laps)
	for i := range laps {
		assert.Len(t, res[i], 9)
		assert.InDelta(t, float64(i+1)*1000, median(res[i]), 1)
		assert.GreaterOrEqual(t, clock[i], 9)
	}
	assert.InDelta(t, 10, ratioOf(res[2], res[0]).mid+ratioOf(res[1], res[0]).mid+5, 0.1)
}

func TestALapIsNotLongerThanItMayBe(t *testing.T) {
	longest, resets := 0, 0
	now := time.Duration(0)
	l := lap{most: 10, reset: func() { resets++ }, run: func(n int) { longest = max(longest, n); now += time.Duration(n) }}
	race(pace{rounds: 3, slice: time.Second, clock: func() time.Duration { return now }}, []lap{l})
	assert.LessOrEqual(t, longest, 10)
	assert.GreaterOrEqual(t, resets, 3, "a round begins with what the last one left")
}

func TestTogetherDoesEverythingOnce(t *testing.T) {
	for _, goroutines := range []int{1, 7, 64} {
		var done atomic.Int64
		together(goroutines, 100, func(int) { done.Add(1) })
		assert.EqualValues(t, 100, done.Load(), "%d goroutines", goroutines)
	}
}

// kept is a report in which every promise is kept.
func kept() *report {
	rows := func(driver string, w *work, times map[string][]float64) *row {
		r := newRow(w, setup{driver: driver}, 1)
		r.times, r.allocs[ours] = times, 5
		return r
	}
	rep := &report{
		plan: usual,
		rows: []*row{
			rows(memory, unopened, map[string][]float64{ours: {100}, nameSCS: {4000}, floor: {90}}),
			rows(memory, readOne, map[string][]float64{ours: {100}, nameSCS: {2500}}),
			rows(memory, writeOne, map[string][]float64{ours: {100}, nameSCS: {2000}}),
			rows(cookie, readOne, map[string][]float64{ours: {100}, nameGorilla: {1500}}),
			rows(cookie, writeOne, map[string][]float64{ours: {100}, nameGorilla: {1500}}),
		},
		traffic:    []traffic{{name: ours, work: readOne, roundTrips: 1}},
		footprints: []footprint{{ours, 100, 0, 200}, {ours, 100, 8, 300}, {nameSCS, 100, 0, 900}},
		stalls:     []stall{{name: ours, processor: time.Millisecond / 2}, {name: nameSCS, processor: time.Second}},
		templates:  map[string][]float64{unboundTemplate: {100}, boundTemplate: {110}},
	}
	for _, w := range []*work{readOne, writeOne, flash, first} {
		for _, clients := range []int{1, manyClients} {
			r := rows(server, w, map[string][]float64{
				ours: {105}, floor: {100}, nameSCS: {150}, namePlainSCS: {140}, nameGorilla: {160}, nameGin: {170},
			})
			r.clients = clients
			rep.rows = append(rep.rows, r)
		}
	}
	return rep
}

// redisRow returns the row of a kept report.
func redisRow(rep *report, w *work, clients int) map[string][]float64 {
	return rep.row(server, w, clients).times
}

func TestEveryMissedNumberMakesTheCheckFail(t *testing.T) {
	var out bytes.Buffer
	assert.True(t, writeVerdicts(&out, judge(kept())), out.String())
	assert.NotContains(t, out.String(), "MISSED")
	for name, spoil := range map[string]func(rep *report){
		"memory, not opened: scs":                      func(rep *report) { rep.rows[0].times[nameSCS] = []float64{2999} },
		"memory, not opened: of cookie":                func(rep *report) { rep.rows[0].times[floor] = []float64{49} },
		"memory, read one of five: scs":                func(rep *report) { rep.rows[1].times[nameSCS] = []float64{1499} },
		"memory, read one of five: alloc":              func(rep *report) { rep.rows[1].allocs[ours] = 9 },
		"memory, read and write one":                   func(rep *report) { rep.rows[2].times[nameSCS] = []float64{1199} },
		"cookie, read one of five":                     func(rep *report) { rep.rows[3].times[nameGorilla] = []float64{799} },
		"cookie, read and write one":                   func(rep *report) { rep.rows[4].times[nameGorilla] = []float64{799} },
		"redis, read one of five, 1 at once: of a GET": func(rep *report) { redisRow(rep, readOne, 1)[ours] = []float64{116} },
		"redis, read and write one, 1 at once: of GET": func(rep *report) { redisRow(rep, writeOne, 1)[ours] = []float64{126} },
		"redis, flash round, 64 at once: of GET":       func(rep *report) { redisRow(rep, flash, manyClients)[ours] = []float64{126} },
		"redis, first write, 64 at once: of a SET":     func(rep *report) { redisRow(rep, first, manyClients)[ours] = []float64{126} },
		"redis, first write, 1 at once: scs takes":     func(rep *report) { redisRow(rep, first, 1)[nameSCS] = []float64{104} },
		"redis, flash round, 1 at once: scs, no idle":  func(rep *report) { redisRow(rep, flash, 1)[namePlainSCS] = []float64{104} },
		"redis, read one of five, 64 at once: gorilla": func(rep *report) { redisRow(rep, readOne, manyClients)[nameGorilla] = []float64{104} },
		"redis, read and write one, 64 at once: gin":   func(rep *report) { redisRow(rep, writeOne, manyClients)[nameGin] = nil }, // not measured
		"redis, read one of five: round":               func(rep *report) { rep.traffic[0].roundTrips = 1.05 },
		"memory: bytes a stored session":               func(rep *report) { rep.footprints[1].bytes = 351 },
		"memory: longest operation":                    func(rep *report) { rep.stalls[0].processor = 1001 * time.Microsecond },
		"Templates: of the same":                       func(rep *report) { rep.templates[boundTemplate] = []float64{131} },
		"cookie, read one of five: gorilla":            func(rep *report) { rep.rows = append(rep.rows[:3], rep.rows[4:]...) }, // not measured
	} {
		t.Run(name, func(t *testing.T) {
			rep := kept()
			spoil(rep)
			var out bytes.Buffer
			assert.False(t, writeVerdicts(&out, judge(rep)))
			missed := 0
			for line := range strings.Lines(out.String()) {
				if strings.Contains(line, "MISSED") {
					missed++
					assert.True(t, strings.HasPrefix(line, name), line)
				}
			}
			assert.Equal(t, 1, missed)
		})
	}
	assert.False(t, writeVerdicts(&out, nil), "nothing was checked")
}

func TestTheShortCheckLeavesRoomButNotForEverything(t *testing.T) {
	var out bytes.Buffer
	near := kept()
	near.rows[1].times[nameSCS] = []float64{900} // what a busy machine may make of it
	near.traffic, near.stalls = nil, nil
	assert.True(t, writeVerdicts(&out, judgeShort(near)), out.String())
	assert.NotContains(t, out.String(), "round trips", "what is not measured is not judged")
	far := kept()
	far.rows[1].times[nameSCS] = []float64{400}
	assert.False(t, writeVerdicts(&out, judgeShort(far)))
}

func TestTheTableHasEveryLineAndSaysHowItWasMeasured(t *testing.T) {
	rep := kept()
	rep.sockets = []socketRow{{name: "bare handler", times: []float64{1000}}, {name: "session, not opened", times: []float64{1250}}}
	var out bytes.Buffer
	rep.write(&out)
	for _, want := range []string{"in turns", "median", "Not alike", "read one of five", "round trips", "300 B",
		"bare handler", "80 % of bare", "Templates.ExecuteTemplate", "1.1x", "500µs of the processor"} {
		assert.Contains(t, out.String(), want)
	}
}
