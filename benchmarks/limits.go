package main

import (
	"fmt"
	"time"
)

// What the library promises, as ratios of one run on one machine and a few sizes.
const (
	unopenedThanSCS    = 30.0
	unopenedThanFloor  = 2.0
	readThanSCS        = 15.0
	readAllocations    = 8.0
	writeThanSCS       = 12.0
	readThanGorilla    = 8.0
	writeThanGorilla   = 8.0
	redisReadThanFloor = 1.15
	redisThanFloor     = 1.25
	redisRoundTrips    = 1.0
	bytesPerSession    = 350.0
	longestStall       = time.Millisecond
	templatesThanPlain = 1.3
)

// A verdict is one promise and what was measured.
type verdict struct {
	what     string
	want     string
	got      string
	kept     bool
	measured float64 // the same as got
	limit    float64
	atLeast  bool
}

// atLeast is a promise that something else takes that many times as long.
func atLeast(what string, limit float64, got ratio) verdict {
	return verdict{what: what, want: fmt.Sprintf("at least %gx", limit), got: got.String() + "x",
		kept: got.mid >= limit, measured: got.mid, limit: limit, atLeast: true}
}

// atMost is a promise that something takes at most so much.
func atMost(what string, limit, got float64, unit string) verdict {
	return verdict{what: what, want: fmt.Sprintf("at most %g%s", limit, unit), got: fmt.Sprintf("%.4g%s", got, unit),
		kept: got <= limit && got > 0, measured: got, limit: limit}
}

// within is a promise about the time of the floor.
func within(what string, limit float64, got ratio) verdict {
	v := atMost(what, limit, got.mid, "x")
	v.got = got.String() + "x"
	return v
}

// share is how much of its limit a measured number takes: above 1 the promise is broken.
func (v *verdict) share() float64 {
	if v.atLeast {
		return v.limit / v.measured
	}
	return v.measured / v.limit
}

// judge holds what was measured against what is promised. What was not measured is not kept.
func judge(rep *report) []verdict {
	find := func(driver string, w *work) *row { return rep.row(driver, w, 1) }
	var inTrips float64
	for _, t := range rep.traffic {
		if t.name == ours && t.work == readOne {
			inTrips = t.roundTrips
		}
	}
	var bytes, stalled float64
	for _, f := range rep.footprints {
		if f.name == ours {
			bytes = max(bytes, f.bytes)
		}
	}
	for _, s := range rep.stalls {
		if s.name == ours {
			stalled = s.processor.Seconds() * 1000
		}
	}
	untouched, read, write := find(memory, unopened), find(memory, readOne), find(memory, writeOne)
	verdicts := []verdict{
		atLeast("memory, not opened: scs takes", unopenedThanSCS, untouched.slower(nameSCS)),
		within("memory, not opened: of cookie parse, context and request copy", unopenedThanFloor, untouched.overFloor()),
		atLeast("memory, read one of five: scs takes", readThanSCS, read.slower(nameSCS)),
		atMost("memory, read one of five: allocations", readAllocations, read.allocs[ours], ""),
		atLeast("memory, read and write one: scs takes", writeThanSCS, write.slower(nameSCS)),
		atLeast("cookie, read one of five: gorilla takes", readThanGorilla, find(cookie, readOne).slower(nameGorilla)),
		atLeast("cookie, read and write one: gorilla takes", writeThanGorilla, find(cookie, writeOne).slower(nameGorilla)),
		atMost("redis, read one of five: round trips", redisRoundTrips, inTrips, ""),
		atMost("memory: bytes a stored session", bytesPerSession, bytes, " B"),
		atMost("memory: longest operation while a million sessions expire", longestStall.Seconds()*1000, stalled, " ms"),
		within("Templates: of the same template with nothing bound", templatesThanPlain,
			ratioOf(rep.templates[boundTemplate], rep.templates[unboundTemplate])),
	}
	return append(verdicts, rep.judgeRedis()...)
}

// judgeRedis holds the lines of redis against bare commands and against everyone else.
func (rep *report) judgeRedis() []verdict {
	var verdicts []verdict
	for _, line := range []struct {
		work     *work
		commands string
		limit    float64
	}{
		{readOne, "a GET", redisReadThanFloor},
		{writeOne, "GET and SET", redisThanFloor},
		{flash, "GET and SET, twice", redisThanFloor},
		{first, "a SET", redisThanFloor},
	} {
		for _, clients := range []int{1, manyClients} {
			r := rep.row(server, line.work, clients)
			what := fmt.Sprintf("redis, %s, %d at once: ", line.work.name, clients)
			verdicts = append(verdicts, within(what+"of "+line.commands+" of as many bytes by bare redigo", line.limit, r.overFloor()))
			for _, name := range []string{nameSCS, namePlainSCS, nameGorilla, nameGin} {
				verdicts = append(verdicts, atLeast(what+name+" takes", 1, r.slower(name)))
			}
		}
	}
	return verdicts
}

// row returns the small one of a driver's lines for a work, an empty one if it was not measured.
func (rep *report) row(driver string, w *work, clients int) *row {
	for _, r := range rep.rows {
		if r.setup.driver == driver && r.work == w && r.clients == clients && !r.setup.large {
			return r
		}
	}
	return newRow(w, setup{driver: driver}, clients)
}

// judgeShort is for machines that nobody knows: it takes a third of each promise, so that a number
// that is missed says that something is broken, not that something is a little slower.
func judgeShort(rep *report) []verdict {
	const room = 3
	var kept []verdict
	for _, v := range judge(rep) {
		if v.measured == 0 {
			continue // it was not measured
		}
		if v.atLeast {
			v.limit /= room
			v.want, v.kept = fmt.Sprintf("at least %.2gx", v.limit), v.measured >= v.limit
		} else {
			v.limit *= room
			v.want, v.kept = fmt.Sprintf("at most %.4g", v.limit), v.measured <= v.limit
		}
		kept = append(kept, v)
	}
	return kept
}

// slower says how many times as long as this library a contender takes.
func (r *row) slower(name string) ratio { return ratioOf(r.times[name], r.times[ours]) }

// overFloor says how many times as long as the floor this library takes.
func (r *row) overFloor() ratio { return ratioOf(r.times[ours], r.times[floor]) }

func (r ratio) String() string { return fmt.Sprintf("%.3g (%.3g to %.3g)", r.mid, r.low, r.high) }
