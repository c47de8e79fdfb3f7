package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"example.com/session/driver"
	"example.com/session/internal/store"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A schedule runs operations at once and decides which one makes the next call of the Store, and
// whether that call fails. explore tries every schedule.
type schedule struct {
	choices []int // what to choose at each point; 0 after the end
	options []int // how many there were
	faults  int   // calls that may still fail
	lanes   []*lane
}

// A lane is one of the operations that run at once.
type lane struct {
	state laneState
	grant chan fault
	panic any
}

type laneState int

const (
	running laneState = iota
	waiting           // for its next call of the Store
	done
)

// A fault is how a call of the Store fails.
type fault int

const (
	none       fault = iota
	unexecuted       // it returns an error and did nothing
	lostReply        // it did what it should, and returns an error
	faultCount
)

type laneKey struct{}

// choose returns a number below n.
func (s *schedule) choose(n int) int {
	at := len(s.options)
	s.options = append(s.options, n)
	if at < len(s.choices) {
		return s.choices[at]
	}
	s.choices = append(s.choices, 0)
	return 0
}

// next moves to the schedule that was not tried yet, and reports whether there is one.
func (s *schedule) next() bool {
	for i := len(s.options) - 1; i >= 0; i-- {
		if s.choices[i]+1 < s.options[i] {
			s.choices = append(s.choices[:i:i], s.choices[i]+1)
			s.options = nil
			return true
		}
	}
	return false
}

// step is the step of a mapStore: it waits until the schedule grants the call.
func (s *schedule) step(ctx context.Context, run func()) error {
	l, ok := ctx.Value(laneKey{}).(*lane)
	if !ok {
		run() // the test itself
		return nil
	}
	l.state = waiting
	f := <-l.grant
	if f != unexecuted {
		run()
	}
	if f != none {
		return errDisk
	}
	return nil
}

// run runs operations to their ends.
func (s *schedule) run(ctx context.Context, operations []func(context.Context)) {
	s.lanes = nil
	for _, operation := range operations {
		l := &lane{grant: make(chan fault)}
		s.lanes = append(s.lanes, l)
		go func() {
			defer func() {
				l.panic = recover()
				l.state = done
			}()
			operation(context.WithValue(ctx, laneKey{}, l))
		}()
		synctest.Wait()
	}
	for {
		synctest.Wait() // each lane waits for its next call, waits for another lane, or is done
		var ready []*lane
		for _, l := range s.lanes {
			if l.panic != nil {
				panic(l.panic)
			}
			if l.state == waiting {
				ready = append(ready, l)
			}
		}
		if len(ready) == 0 {
			return
		}
		l, f := ready[s.choose(len(ready))], none
		if s.faults > 0 {
			if f = fault(s.choose(int(faultCount))); f != none {
				s.faults--
			}
		}
		l.state = running
		l.grant <- f
	}
}

// A world is one session that operations act on.
type world struct {
	d    *store.Driver
	base *driver.Record

	mu           sync.Mutex       // a lane may let another one go on
	acknowledged []uint64         // saves
	ended        []*driver.Record // what endings returned
	endings      int              // endings that were acknowledged
	begun        int              // endings that began
	increments   int64            // of n, by saves that were acknowledged
	unknown      int64            // by saves whose reply was lost before the session ended
	problems     []string
}

// An operation repeats itself until the store answers.
type operation struct {
	name string
	run  func(ctx context.Context, w *world)
}

var operations = []operation{
	{"save", func(ctx context.Context, w *world) { w.save(ctx, change(w.base.ID(), add("n", 1)), true) }},
	{"replace", func(ctx context.Context, w *world) {
		ch := change(w.base.ID(), add("n", 1))
		ch.Install, ch.Replace = secretB, true
		w.save(ctx, ch, true)
	}},
	{"join", func(ctx context.Context, w *world) {
		ch := change(w.base.ID(), add("n", 1), signIn("ann"))
		ch.Install = secretC
		w.save(ctx, ch, false)
	}},
	{"begin", func(ctx context.Context, w *world) { // a first save that is repeated after all
		ch := change(w.base.ID())
		ch.New, ch.Expect, ch.Number, ch.Install = true, driver.Digest{}, w.base.LastSave(), secretA
		w.save(ctx, ch, true)
	}},
	{"sign out", func(ctx context.Context, w *world) { w.end(ctx, byClient(w.base.ID(), secretA), true) }},
	{"end by user", func(ctx context.Context, w *world) { w.end(ctx, byUser(w.base.ID(), "ann"), false) }},
	{"load", func(ctx context.Context, w *world) { w.load(ctx) }},
}

func (w *world) save(ctx context.Context, ch *driver.Changes, withBase bool) {
	base := w.base
	if !withBase || ch.New {
		base = nil
	}
	rec, err := w.d.Save(ctx, base, ch)
	lost := err
	for errors.Is(err, driver.ErrUnavailable) {
		again := *ch
		again.Retried, again.Since = true, w.base.LastSave()
		rec, err = w.d.Save(ctx, base, &again)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var conflict *driver.ConflictError
	switch {
	case err == nil:
		w.check(rec.Applied(ch.Number), "Save returned a record without the save")
		w.acknowledged = append(w.acknowledged, ch.Number)
		w.increments += increment(ch)
	case errors.Is(err, driver.ErrEnded):
		w.check(w.begun > 0, "a save found a tombstone that nobody left")
		if errors.Is(lost, driver.ErrUnavailable) {
			w.unknown += increment(ch)
		}
	default:
		w.check(errors.As(err, &conflict) && !conflict.Current.Accepts(ch.Expect), "save: %v", err)
	}
}

func (w *world) end(ctx context.Context, e *driver.Ending, withBase bool) {
	base := w.base
	if !withBase {
		base = nil
	}
	w.mu.Lock()
	w.begun++
	w.mu.Unlock()
	rec, err := w.d.End(ctx, base, e)
	for errors.Is(err, driver.ErrUnavailable) {
		rec, err = w.d.End(ctx, base, e)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.check(err == nil, "end: %v", err)
	w.endings++
	if rec != nil {
		w.ended = append(w.ended, rec)
	}
}

func (w *world) load(ctx context.Context) {
	w.mu.Lock()
	acknowledged, ended := len(w.acknowledged), w.endings > 0
	w.mu.Unlock()
	rec, err := w.d.Load(ctx, w.base.ID(), start)
	for errors.Is(err, driver.ErrUnavailable) {
		rec, err = w.d.Load(ctx, w.base.ID(), start)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.check(errors.Is(err, driver.ErrEnded) && w.begun > 0, "load: %v", err)
		return
	}
	w.check(!ended, "an ended session was loaded")
	for _, number := range w.acknowledged[:acknowledged] {
		w.check(rec.Applied(number), "a load misses a save that was acknowledged before it")
	}
}

func (w *world) check(ok bool, format string, arguments ...any) {
	if !ok {
		w.problems = append(w.problems, fmt.Sprintf(format, arguments...))
	}
}

// judge checks what is left when every operation was acknowledged.
func (w *world) judge(ctx context.Context, exact bool) {
	rec, err := w.d.Load(ctx, w.base.ID(), start)
	if w.endings > 0 {
		w.check(errors.Is(err, driver.ErrEnded), "an ended session is there again: %v", err)
		w.check(len(w.ended) <= 1, "a session was ended twice")
		if len(w.ended) == 0 {
			w.check(!exact, "nobody was told what was ended")
			return
		}
		rec = w.ended[0]
	} else {
		w.check(err == nil, "the session is lost: %v", err)
	}
	if rec == nil {
		return
	}
	for _, number := range w.acknowledged {
		w.check(rec.Applied(number), "an acknowledged save is lost")
	}
	text, _ := rec.Value(driver.Data, "n")
	n, _ := driver.ParseInt(text)
	w.check(w.increments <= n && n <= w.increments+w.unknown, "n is %d after %d increments", n, w.increments)
}

// explore runs operations in a bubble of synctest under every schedule with a number of faults at most, and returns how
// many there are.
func explore(t *testing.T, faults int, together ...operation) (count int) {
	synctest.Test(t, func(t *testing.T) {
		for s, more := new(schedule), true; more; more = s.next() {
			swapper := new(swapStore)
			swapper.step = s.step
			w := &world{d: store.New(swapper)}
			w.base = begin(t, w.d, add("n", 0))
			s.faults = faults
			var runs []func(context.Context)
			for _, o := range together {
				runs = append(runs, func(ctx context.Context) { o.run(ctx, w) })
			}
			s.run(t.Context(), runs)
			w.judge(t.Context(), faults == 0)
			require.Empty(t, w.problems, "schedule %v", s.choices)
			count++
		}
	})
	return count
}

func TestEveryScheduleOfTwoOperations(t *testing.T) {
	count := 0
	for i, a := range operations {
		for _, b := range operations[i:] {
			t.Run(a.name+" and "+b.name, func(t *testing.T) { count += explore(t, 2, a, b) })
		}
	}
	assert.Greater(t, count, 28*2, "the schedules were not explored")
	t.Logf("%d schedules", count)
}

func TestEveryScheduleOfThreeOperations(t *testing.T) {
	count := 0
	for i, a := range operations {
		for j, b := range operations[i:] {
			for _, c := range operations[i+j:] {
				t.Run(a.name+" and "+b.name+" and "+c.name, func(t *testing.T) { count += explore(t, 0, a, b, c) })
			}
		}
	}
	assert.Greater(t, count, 84*6, "the schedules were not explored")
	t.Logf("%d schedules", count)
}

// increment returns what Changes add to n.
func increment(ch *driver.Changes) (by int64) {
	for i := range ch.Ops {
		by += ch.Ops[i].By
	}
	return by
}
