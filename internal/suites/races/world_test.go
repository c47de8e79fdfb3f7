package races_test

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/hooks"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/require"
)

// A world is two processes that share a store, with a clock of their own, and the requests of one
// run. One operation of a driver runs at a time, so a run is a sequence of steps.
type world struct {
	ctx      context.Context
	clock    *kit.Clock
	managers [2]*session.Manager
	handlers [2]http.Handler
	inner    [2]indexedDriver // of each process; often the same

	// inject makes what a process sends to its store fail, until the returned function is called.
	// If it is nil, faults happen in execute.
	inject func(process int, f fault) (restore func())

	// inBubble is set if the world runs in a synctest bubble. Then a run depends on nothing but
	// its choices, also if one call sends several operations at once.
	inBubble bool

	start start
	run
}

// A start says what the browser has when a run begins.
type start string

const (
	noSession start = "no session"
	visitor   start = "a visitor's session"
	signedIn  start = "a session of U"
)

// A run is what happened since the world was reset.
type run struct {
	mu       sync.Mutex
	changed  *sync.Cond // a request has moved; used outside of a bubble
	token    string     // of the browser when the run begins
	first    driver.ID  // its session
	requests []*request
	log      []*operation // finished operations, in their order
	labels   map[driver.ID]string
	trace    []step
	problems []string
	tickBy   time.Duration // what the clock may jump by once; 0 for nothing
	tickedAt time.Time
	atOnce   bool                        // a request loads its session when it begins: nothing tells the two moments apart
	faultsOf func(op *operation) []fault // that may still be chosen
	choose   func(n int) int
	jar      string // the browser's token, if requests begin with what it has by then
	usesJar  bool
}

// A step is one choice of the scheduler.
type step struct {
	by    *request
	op    *operation // nil: the request begins
	fault fault
	tick  time.Duration
	label string

	received bool // the browser has received the response
}

func (s step) String() string {
	switch {
	case s.tick > 0:
		return fmt.Sprintf("%v pass", s.tick)
	case s.received:
		return "the browser receives the response to " + s.by.name
	case s.op == nil:
		return s.by.name + " (" + s.by.spec.String() + ") begins"
	}
	text := s.by.name + ": " + strings.TrimSpace(s.op.name+" "+s.label)
	if s.fault != none {
		text += " " + s.fault.String()
	}
	return text
}

// newWorld makes a world of two processes, which changes may configure differently.
func newWorld(t *testing.T, change ...func(process int, cfg *session.Config)) *world {
	t.Helper()
	w := &world{ctx: t.Context()}
	for i := range w.managers {
		cfg := session.Config{
			Default: "tested", Drivers: map[string]session.Driver{"tested": controlledDriver{w}},
			Lifetime: 24 * time.Hour, IdleTimeout: 12 * time.Hour, Secret: kit.Secret, Logger: kit.Quiet,
			StoreTimeout: time.Minute, // an operation may be under way while half a minute passes
		}
		for _, change := range change {
			change(i, &cfg)
		}
		m := kit.NewManager(t, cfg)
		if w.clock == nil {
			w.clock = kit.SetClock(m)
		}
		hooks.SetClock(m, w.clock.Now)
		w.managers[i], w.handlers[i] = m, m.Middleware(http.HandlerFunc(w.serve))
	}
	return w
}

// reset begins a new run with a store that holds what start says.
func (w *world) reset(t *testing.T, stores [2]indexedDriver, specs []spec) {
	t.Helper()
	w.inner = stores
	w.run = run{labels: make(map[driver.ID]string)}
	w.changed = sync.NewCond(&w.mu)
	if w.start != noSession {
		q := &request{spec: spec{op: "set"}}
		if w.start == signedIn {
			q.spec = spec{op: "login", user: "U"}
		}
		w.prepare(t, q)
	}
	for i, s := range specs {
		w.add(s, i%2)
	}
}

// prepare serves a request at once, which makes the browser's session.
func (w *world) prepare(t *testing.T, q *request) {
	t.Helper()
	p := kit.HTTPHandler(func(s *session.Session) {
		s.Set("cart", "book")
		if q.op == "login" {
			s.Login(q.user)
		}
		q.session = s
	})
	q.recorder = newRecorder()
	w.managers[0].Middleware(p).ServeHTTP(q.recorder, newRequest(w.ctx, ""))
	w.token, _ = cookieIn(q.recorder)
	require.NotEmpty(t, w.token)
	w.first, _ = driver.ParseID(q.session.Handle())
	w.labels[w.first] = "X"
	w.clock.Advance(time.Minute)
}

// add adds a request that has not begun.
func (w *world) add(s spec, process int) *request {
	q := &request{spec: s, process: process, name: fmt.Sprint("r", len(w.requests))}
	if s.who != "process" {
		q.presented = w.token
	}
	w.requests = append(w.requests, q)
	return q
}

// await waits until an operation is granted, and returns its fault.
func (w *world) await(op *operation) fault {
	q := op.by
	w.mu.Lock()
	if q.crashed {
		w.mu.Unlock()
		return crashed
	}
	op.grant = make(chan fault, 1)
	if op.id != (driver.ID{}) && w.labels[op.id] == "" {
		w.labels[op.id] = fmt.Sprint("Y", len(w.labels))
	}
	q.waiting = append(q.waiting, op)
	w.changed.Broadcast()
	w.mu.Unlock()
	return <-op.grant
}

// finished notes what became of an operation.
func (w *world) finished(op *operation, f fault, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	applied := err == nil || op.applied
	op.applied = applied && (op.record != nil || op.name != "Save")
	op.unknown = w.inject != nil && (f == lost || f == repeated && op.name == "End" && op.record == nil)
	once := *op
	w.log = append(w.log, &once)
	op.by.running = nil
	w.changed.Broadcast()
}

// ended notes that a request has returned.
func (w *world) ended(q *request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	q.done = true
	w.changed.Broadcast()
}

// options returns the steps that are possible, in an order that depends on nothing but the run.
func (w *world) options() (all []step, left bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	mayTick := w.tickBy > 0 && w.tickedAt.IsZero() && len(w.trace) > 0
	for _, q := range w.requests {
		left = left || !q.done
		mayTick = mayTick && !q.waitsForStore()
		if !q.begun {
			all = append(all, step{by: q})
			continue
		}
		if w.atOnce && len(q.waiting) == 1 && q.waiting[0].name == "Load" && len(q.faults) == 0 {
			return w.steps(q, nil), true
		}
		all = w.steps(q, all)
	}
	if mayTick && left {
		all = append(all, step{tick: w.tickBy})
	}
	return all, left
}

// steps appends the steps that a request can do to all.
func (w *world) steps(q *request, all []step) []step {
	slices.SortStableFunc(q.waiting, func(a, b *operation) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(w.labels[a.id], w.labels[b.id]))
	})
	for _, op := range q.waiting {
		all = append(all, step{by: q, op: op, label: w.labels[op.id]})
		if w.faultsOf == nil {
			continue
		}
		for _, f := range w.faultsOf(op) {
			all = append(all, step{by: q, op: op, fault: f, label: w.labels[op.id]})
		}
	}
	return all
}

// waitsForStore reports whether an operation of a handler is under way. They take no seconds.
func (q *request) waitsForStore() bool {
	return q.who != process && slices.ContainsFunc(q.waiting, func(op *operation) bool { return op.name != handlerStep })
}

// play runs the requests until all have ended.
func (w *world) play() {
	for {
		options, left := w.options()
		if !left {
			return
		}
		if len(options) == 0 {
			w.pass() // a request waits for its next try
			continue
		}
		w.take(options[w.choose(len(options))])
	}
}

// pass lets time pass.
func (w *world) pass() {
	time.Sleep(time.Millisecond)
	w.awaitNext(nil)
}

// take does one step, and waits until nothing moves any more.
func (w *world) take(s step) {
	w.trace = append(w.trace, s)
	if s.tick > 0 {
		w.clock.Advance(s.tick)
		w.tickedAt = w.clock.Now()
		return
	}
	w.clock.Advance(time.Millisecond)
	if s.op == nil {
		w.begin(s.by)
	} else {
		w.grant(s)
	}
	w.awaitNext(s.by)
}

func (w *world) grant(s step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := s.by
	q.waiting = slices.DeleteFunc(q.waiting, func(op *operation) bool { return op == s.op })
	q.faults = append(q.faults, s.fault)
	s.op.started = w.clock.Now()
	if s.fault == crashed {
		q.crashed = true
		for _, op := range q.waiting {
			op.grant <- crashed
		}
		q.waiting = nil
	} else if s.op.name != handlerStep {
		q.running = s.op
	}
	s.op.grant <- s.fault
}

// awaitNext waits until the request has ended, or waits for its next operation.
func (w *world) awaitNext(q *request) {
	if w.inBubble {
		synctest.Wait()
		return
	}
	if q == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for q.running != nil || !q.done && len(q.waiting) == 0 {
		w.changed.Wait()
	}
}

// violation notes that an invariant does not hold.
func (w *world) violation(what string) { w.problems = append(w.problems, what) }

// text returns the steps of the run.
func (w *world) text() string {
	lines := make([]string, len(w.trace))
	for i, s := range w.trace {
		lines[i] = "    " + s.String()
	}
	return strings.Join(lines, "\n")
}
