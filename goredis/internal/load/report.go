package load

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// A Loss is something that was acknowledged and is not there.
type Loss struct {
	What         string
	Acknowledged time.Time
}

// A Report is what came of a load.
type Report struct {
	Requests     int // that use a session
	Acknowledged int // writes
	Failed       int // requests with a session that were answered by an error
	Plain        int // requests without a session
	PlainFailed  int

	Last        time.Time     // when a request failed; zero: none did
	Slowest     time.Duration // request with a session
	SlowestFree time.Duration // request without one

	Read       int         // sessions that were read back
	Lost       []Loss      // acknowledged writes that are not there
	SignedOut  []Loss      // sessions that were there and are not
	Unanswered int         // sessions gone after a sign-in or a renewal that had no answer
	Twice      int         // increments and Updates that counted more than once
	Mixed      int         // answers with another visitor's session
	Revived    int         // answers by a session that had ended
	Strange    map[int]int // failed requests by status, those with a 503 left out; 0: no answer at all

	Retries, Unavailable uint64 // of the manager's Stats
}

// Window is how long after something began the last request failed.
func (r Report) Window(began time.Time) time.Duration { return max(0, r.Last.Sub(began)) }

// String is the report in one line.
func (r Report) String() string {
	return fmt.Sprintf("%d requests, %d failed; %d writes acknowledged, %d lost, %d counted twice; %d sessions read back, "+
		"%d signed out, %d mixed up, %d back from the dead; slowest %.1f s; %d requests without a session, %d failed, slowest %d ms",
		r.Requests, r.Failed, r.Acknowledged, len(r.Lost), r.Twice, r.Read, len(r.SignedOut), r.Mixed, r.Revived,
		r.Slowest.Seconds(), r.Plain, r.PlainFailed, r.SlowestFree.Milliseconds())
}

// Row is the report as a row of a table in Markdown.
func (r Report) Row(name string, began time.Time) string {
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %.1f s | %.1f s |", name,
		r.Requests, r.Acknowledged, len(r.Lost), r.Failed, r.Window(began).Seconds(), r.Slowest.Seconds())
}

// books are the report while a load runs.
type books struct {
	mu     sync.Mutex
	r      Report
	closed bool // what follows reads back, and is no load
}

func (b *books) note(do func(r *Report)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	do(&b.r)
}

func (b *books) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
}

func (b *books) lose(session Loss) {
	b.note(func(r *Report) { r.SignedOut = append(r.SignedOut, session) })
}

func (b *books) request(begin time.Time, o outcome, status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	now := time.Now()
	b.r.Requests++
	b.r.Slowest = max(b.r.Slowest, now.Sub(begin))
	if o != failed {
		return
	}
	b.r.Failed++
	b.r.Last = now
	if status != http.StatusServiceUnavailable {
		if b.r.Strange == nil {
			b.r.Strange = make(map[int]int)
		}
		b.r.Strange[status]++
	}
}

func (b *books) plain(ok bool, took time.Duration) {
	b.note(func(r *Report) {
		r.Plain++
		if !ok {
			r.PlainFailed++
		}
		r.SlowestFree = max(r.SlowestFree, took)
	})
}
