package races_test

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/session"
	"example.com/session/internal/casstore"
	"example.com/session/internal/memory"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/require"
)

// Generated schedules: three to six requests of a browser, an attacker and the application, with
// faults and crashes, in an order that a seed decides. The browser sends the token that it has by
// then, and loses some responses. The tests print their seed; SESSION_TEST_SEED repeats it.
// SESSION_TEST_SCHEDULES is the number of schedules of each test, for a longer run.

func TestSchedulesOfMemory(t *testing.T) {
	t.Parallel()
	runSchedulesInBubble(t, 2000, func() indexedDriver { return memory.New(memory.Options{MaxSessions: 100}) })
}

func TestSchedulesOfACustomDriver(t *testing.T) {
	t.Parallel()
	runSchedulesInBubble(t, 2000, func() indexedDriver { return newMapDriver() })
}

func TestSchedulesOfAStore(t *testing.T) {
	t.Parallel()
	runSchedulesInBubble(t, 1000, func() indexedDriver { return session.StoreDriver(new(casstore.Store)).(indexedDriver) })
}

func TestSchedulesOfASwapper(t *testing.T) {
	t.Parallel()
	runSchedulesInBubble(t, 1000, func() indexedDriver { return session.StoreDriver(new(casstore.Swapper)).(indexedDriver) })
}

func runSchedulesInBubble(t *testing.T, n int, open func() indexedDriver) {
	seed := scheduleSeed(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.inBubble = true
		runSchedules(t, w, seed, n, func() [2]indexedDriver {
			d := open()
			return [2]indexedDriver{d, d}
		})
	})
}

// Two processes reach one redis server, each through a proxy that loses replies. Only the order in
// which one EndAll looks at several sessions is not repeated by the seed.
func TestSchedulesOfRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Shared(t)
	var proxies [2]*redistest.Proxy
	var drivers [2]indexedDriver
	namespace := kit.Namespace(t)
	for i := range proxies {
		proxies[i] = redistest.NewProxy(t, server.Addr())
		d, err := session.NewRedisDriver(session.RedisConfig{
			Host: proxies[i].Host(), Port: proxies[i].Port(), Namespace: namespace,
			Options: session.RedisOptions{
				DialTimeout: 30 * time.Second, ReadTimeout: 30 * time.Second,
				WriteTimeout: 30 * time.Second, Connections: 64,
			},
		})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, d.(interface{ Close() error }).Close()) })
		drivers[i] = d.(indexedDriver)
	}
	w := newWorld(t)
	w.inject = func(process int, f fault) (restore func()) {
		proxies[process].Set(proxyFault(f))
		return func() { proxies[process].Set(nil) }
	}
	runSchedules(t, w, scheduleSeed(t), 300, func() [2]indexedDriver { return drivers })
}

// proxyFault returns what a proxy does to the commands of an operation. The redis driver sends a
// command once more if its reply was lost, unless it was TIME, the first one of a connection.
func proxyFault(f fault) func([]string) redistest.Fault {
	var sent atomic.Int64
	return func(command []string) redistest.Fault {
		switch f {
		case refused:
			return redistest.Fault{Reply: "-LOADING Redis is loading the dataset in memory"}
		case lost:
			return redistest.Fault{Lose: true}
		case repeated:
			return redistest.Fault{Lose: command[0] != "TIME" && sent.Add(1) == 1}
		}
		return redistest.Fault{}
	}
}

// scheduleSeed is the first schedule's seed; the next ones count up from it.
func scheduleSeed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("SESSION_TEST_SEED")
	if text == "" {
		return rand.Uint64() >> 1
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, "SESSION_TEST_SEED")
	return seed
}

func runSchedules(t *testing.T, w *world, seed uint64, n int, open func() [2]indexedDriver) {
	t.Helper()
	if text := os.Getenv("SESSION_TEST_SCHEDULES"); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		require.NoError(t, err, "SESSION_TEST_SCHEDULES")
	}
	t.Logf("%d schedules from seed %d", n, seed)
	acknowledged := map[string]int{}
	for i := range uint64(n) {
		r := rand.New(rand.NewPCG(seed+i, 0))
		w.start = []start{noSession, visitor, signedIn}[r.IntN(3)]
		w.reset(t, open(), randomSpecs(r))
		w.schedule(r)
		w.check()
		for _, q := range w.requests {
			if q.acknowledged() {
				acknowledged[q.op]++
			}
		}
		if len(w.problems) > 0 {
			t.Fatalf("SESSION_TEST_SEED=%d repeats this: %s\n    begins with %s\n%s", seed+i, strings.Join(w.problems, "; "), w.start, w.text())
		}
	}
	for _, op := range []string{"login", "logout", "regenerate", "end all"} { // else less was tested than it seems
		require.Greater(t, acknowledged[op], n/10, op)
	}
}

func randomSpecs(r *rand.Rand) []spec {
	all := []spec{
		{who: browser, op: "set"}, {who: browser, op: "login", user: "U"}, {who: browser, op: "login", user: "U"},
		{who: browser, op: "login", user: "V"}, {who: browser, op: "logout"}, {who: browser, op: "regenerate"},
		{who: browser, op: "remember"}, {who: browser, op: "password"}, {who: browser, op: "login again"},
		{who: attacker, op: "set"}, {who: attacker, op: "regenerate"}, {who: attacker, op: "logout"},
		{who: process, op: "end all", user: "U"}, {who: process, op: "end all", user: "V"},
		{who: process, op: "sessions", user: "U"},
	}
	specs := make([]spec, 3+r.IntN(4))
	for i := range specs {
		specs[i] = all[r.IntN(len(all))]
		specs[i].save = specs[i].who != process && r.IntN(3) == 0
	}
	return specs
}

// schedule runs the requests in an order that r decides.
func (w *world) schedule(r *rand.Rand) {
	w.usesJar, w.jar = true, w.token
	w.choose = r.IntN
	faults := r.IntN(4)
	w.faultsOf = func(op *operation) []fault {
		if faults == 0 || op.name == handlerStep || r.IntN(4) > 0 {
			return nil
		}
		return faultsOfWrites
	}
	if r.IntN(4) == 0 {
		w.tickBy = []time.Duration{6 * time.Second, 31 * time.Second}[r.IntN(2)]
	}
	received := make(map[*request]bool)
	for {
		if q := w.unanswered(received); q != nil && r.IntN(2) == 0 {
			received[q] = true
			if token, sets := q.cookie(); sets && r.IntN(5) > 0 {
				w.jar = token
				w.trace = append(w.trace, step{by: q, received: true})
			}
			continue
		}
		options, left := w.options()
		switch {
		case !left:
			return
		case len(options) == 0:
			w.pass()
		default:
			s := options[w.choose(len(options))]
			if s.fault != none {
				faults--
			}
			w.take(s)
		}
	}
}

// unanswered returns a request of the browser that has ended, and whose response is under way.
func (w *world) unanswered(received map[*request]bool) *request {
	i := slices.IndexFunc(w.requests, func(q *request) bool { return q.done && q.who == browser && !received[q] })
	if i < 0 {
		return nil
	}
	return w.requests[i]
}
