package session_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/casstore"
	"example.com/session/internal/redistest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Generated schedules: two to four requests of one browser, taken apart into steps that run in
// any order, through the real middleware and a real driver, beside the reference model. After
// every step the two must agree on what the handler saw, what the client was sent and, in the
// end, on what every token opens.

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

func TestSchedulesOfMemoryEndAsTheModel(t *testing.T) {
	runSchedules(t, 2000, 0, session.NewMemoryDriver(session.MemoryConfig{}))
}

func TestSchedulesOfStoreDriverEndAsTheModel(t *testing.T) {
	runSchedules(t, 1500, 100, session.StoreDriver(new(casstore.Store)))
}

func TestSchedulesOfRedisEndAsTheModel(t *testing.T) {
	server := redistest.Start(t)
	driver, err := session.NewRedisDriver(session.RedisConfig{
		Host: server.Host(), Port: server.Port(), Options: patientRedis(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, driver.Close()) })
	runSchedules(t, 1000, 0, driver)
	assertAllExpire(t, server)
}

// assertAllExpire says that no key of a server, which is the test's own, is without an expiry.
func assertAllExpire(t *testing.T, server *redistest.Server) {
	t.Helper()
	ttls := server.TTLs(t)
	assert.NotEmpty(t, ttls)
	for key, ttl := range ttls {
		assert.Positive(t, ttl, "%s never expires", key)
	}
}

// runSchedules runs n schedules. noteUse is the fraction of the idle timeout after which the
// driver notes a use, 0 where it notes each.
func runSchedules(t *testing.T, n int, noteUse time.Duration, driver session.Driver) {
	w := newWorld(t, driver)
	seed := scheduleSeed(t)
	if text := os.Getenv("SESSION_TEST_SCHEDULES"); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		require.NoError(t, err, "SESSION_TEST_SCHEDULES")
	}
	t.Logf("%d schedules from seed %d", n, seed)
	unclear := 0
	for i := range uint64(n) {
		run := w.newSchedule(seed+i, noteUse)
		if err := run.all(); err != nil {
			t.Fatalf("SESSION_TEST_SEED=%d repeats this: %v\n%s", seed+i, err, strings.Join(run.trace, "\n"))
		}
		if run.store.unclear {
			unclear++
		}
	}
	t.Logf("%d were given up half-way", unclear)
	assert.LessOrEqual(t, unclear, n/10+1, "too many schedules were given up")
}

// A world is a manager with a clock that schedules move.
type world struct {
	handler http.Handler
	start   time.Time
	now     time.Duration // since start
}

var worldLimits = refLimits{lifetime: 24 * time.Hour, idle: time.Hour}

func newWorld(t *testing.T, driver session.Driver) *world {
	t.Helper()
	m := newManager(t, session.Config{
		Default: "tested", Drivers: map[string]session.Driver{"tested": driver},
		Lifetime: worldLimits.lifetime, IdleTimeout: worldLimits.idle, Logger: slog.New(slog.DiscardHandler),
	})
	w := &world{start: time.UnixMilli(time.Now().UnixMilli())}
	m.SetClock(func() time.Time { return w.start.Add(w.now) })
	w.handler = m.Middleware(http.HandlerFunc(serveSteps))
	return w
}

const (
	worldCookie = "s_tested"
	worldHint   = "s_tested_f"
)

// A schedule is one run: the browser's cookies, the requests under way, and the model.
type schedule struct {
	*world
	r     *rand.Rand
	store *refStore
	trace []string

	cookie    string // in the browser
	hint      bool
	underway  []*stepped
	responses []*stepped // that have not reached the browser
	cookies   []string   // ever given to the browser
	requests  int
	overlaps  int // counts the requests that began or ended
}

func (w *world) newSchedule(seed uint64, noteUse time.Duration) *schedule {
	w.now = 0
	return &schedule{
		world: w, r: rand.New(rand.NewPCG(seed, 0)),
		store: &refStore{byCookie: map[string]*refSession{}, limits: worldLimits, noteUse: noteUse},
	}
}

// A stepped request runs in a goroutine of its own and does one step at a time.
type stepped struct {
	name     string
	model    *refRequest
	recorder *httptest.ResponseRecorder
	steps    chan func(s *session.Session)
	did      chan struct{}
	done     chan struct{}
	status   int
	left     int  // steps until it ends
	began    int  // overlaps when it began
	jar      bool // it carries the browser's own cookie
}

type steppedKey struct{}

func serveSteps(w http.ResponseWriter, r *http.Request) {
	q := r.Context().Value(steppedKey{}).(*stepped)
	s := session.FromRequest(r)
	for step := range q.steps {
		step(s)
		q.did <- struct{}{}
	}
	w.WriteHeader(q.status)
}

// all runs the schedule and returns where the library and the model differ.
func (c *schedule) all() error {
	defer c.abandon()
	for range 1 + c.r.IntN(3) {
		c.requests = 2 + c.r.IntN(3)
		for c.requests > 0 || len(c.underway) > 0 || len(c.responses) > 0 {
			if err := c.next(); err != nil {
				return err
			}
			if c.store.unclear {
				return nil
			}
		}
	}
	return c.audit()
}

// abandon ends the requests that a schedule which failed has left.
func (c *schedule) abandon() {
	for _, q := range c.underway {
		close(q.steps)
		<-q.done
	}
}

// next does one random step.
func (c *schedule) next() error {
	switch c.r.IntN(8) {
	case 0:
		c.advance()
	case 1, 2:
		if c.requests > 0 {
			c.begin()
		}
	case 3:
		if n := len(c.responses); n > 0 {
			i := c.r.IntN(n)
			q := c.responses[i]
			c.responses = append(c.responses[:i], c.responses[i+1:]...)
			return c.deliver(q)
		}
	default:
		if n := len(c.underway); n > 0 {
			i := c.r.IntN(n)
			if c.underway[i].left > 0 {
				return c.step(c.underway[i])
			}
			q := c.underway[i]
			c.underway = append(c.underway[:i], c.underway[i+1:]...)
			return c.finish(q)
		}
	}
	return nil
}

// advance moves the clock, mostly by little. It never leaves a session seconds to live: redis
// would forget it by its own clock, which does not stand still between the steps.
func (c *schedule) advance() {
	steps := []time.Duration{
		0, time.Millisecond, time.Second, 4999 * time.Millisecond, 5 * time.Second, 30 * time.Second,
		worldLimits.idle / 100, worldLimits.idle / 2, worldLimits.idle - time.Minute, worldLimits.idle, worldLimits.lifetime,
	}
	i := c.r.IntN(len(steps))
	if i > 5 {
		i = c.r.IntN(len(steps))
	}
	c.now += steps[i]
	for again := true; again; {
		again = false
		for _, s := range c.store.byCookie {
			if left := s.created + s.limits.lifetime - c.now; left > 0 && left < time.Minute {
				c.now, again = c.now+time.Minute, true
			}
			if left := s.expires() - c.now; s.lives(c.now) && left < 30*time.Second {
				c.now, again = c.now+30*time.Second, true
			}
		}
	}
	c.log("clock %v", c.now)
}

func (c *schedule) log(format string, args ...any) {
	c.trace = append(c.trace, fmt.Sprintf(format, args...))
}

// begin sends a request with the browser's cookies, or with an old or an invented one.
func (c *schedule) begin() {
	c.requests--
	c.overlaps++
	cookie, ours := c.cookie, true
	switch n := c.r.IntN(20); {
	case n < 2 && len(c.cookies) > 0:
		cookie = c.cookies[c.r.IntN(len(c.cookies))]
	case n == 2:
		cookie = session.NewToken(worldCookie).Value()
	case n == 3:
		cookie, ours = "garbage", false
	}
	q := c.request(cookie, ours, c.hint)
	q.left = c.r.IntN(6)
	q.status = []int{200, 200, 200, 303, 404, 500}[c.r.IntN(6)]
	q.began = c.overlaps
	c.underway = append(c.underway, q)
	c.log("%s begins: cookie %.8q hint %v status %d head %v poll %v", q.name, cookie, c.hint, q.status, q.model.head, q.model.poll)
}

var requestNames = 0

// request starts a request, whose handler then waits for steps.
func (c *schedule) request(cookie string, ours, hint bool) *stepped {
	requestNames++
	q := &stepped{
		name: "request " + strconv.Itoa(requestNames), jar: cookie == c.cookie, status: 404,
		recorder: httptest.NewRecorder(), steps: make(chan func(*session.Session)),
		did: make(chan struct{}), done: make(chan struct{}),
		model: &refRequest{store: c.store, entered: c.now, cookie: cookie, ours: ours, hint: hint},
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if c.r.IntN(10) == 0 {
		r.Method, q.model.head = http.MethodHead, true
	}
	if c.r.IntN(6) == 0 {
		r.Header.Set("Sec-Fetch-Dest", "empty")
		q.model.poll = true
	}
	if cookie != "" {
		r.AddCookie(&http.Cookie{Name: worldCookie, Value: cookie})
	}
	if hint {
		r.AddCookie(&http.Cookie{Name: worldHint, Value: "1"})
	}
	r = r.WithContext(contextWith(r, q))
	entered := make(chan struct{})
	go func() {
		defer close(q.done)
		c.handler.ServeHTTP(q.recorder, r)
	}()
	go func() { q.steps <- func(*session.Session) {}; <-q.did; close(entered) }()
	<-entered // the middleware has taken the time
	return q
}

// step does one random operation in a request and in the model, and compares.
func (c *schedule) step(q *stepped) error {
	q.left--
	op := c.randomStep()
	want := op.model(q.model, c.now)
	got := q.run(op.real)
	c.log("%s %s: %v", q.name, op.name, got)
	if !assert.ObjectsAreEqual(want, got) {
		return fmt.Errorf("%s: %s gave %#v, the model has %#v", q.name, op.name, got, want)
	}
	if q.model.poll || c.r.IntN(2) == 0 {
		return nil // to look at all of it would end all of it
	}
	return c.compareView(q)
}

// compareView compares everything that the handler can see.
func (c *schedule) compareView(q *stepped) error {
	q.model.open(c.now)
	want := q.model.all()
	got := q.run(func(s *session.Session) any { return s.All() })
	if !assert.ObjectsAreEqual(want, got) {
		return fmt.Errorf("%s sees %v, the model %v", q.name, got, want)
	}
	return nil
}

// run does something in the request's handler.
func (q *stepped) run(do func(s *session.Session) any) (result any) {
	q.steps <- func(s *session.Session) { result = do(s) }
	<-q.did
	return result
}

// finish lets the handler return and compares what the client is sent.
func (c *schedule) finish(q *stepped) error {
	want := q.model.commit(q.status, c.now)
	close(q.steps)
	<-q.done
	got := c.observe(q, want)
	c.log("%s ends: %+v", q.name, got)
	if got.status != want.status || got.cookie != want.cookie {
		return fmt.Errorf("%s answered %d with cookie %q, the model has %d with cookie %q",
			q.name, got.status, got.cookie, want.status, want.cookie)
	}
	c.responses = append(c.responses, q)
	c.overlaps++
	return c.checkHint(q)
}

// observe reads a response; a new cookie is from now on the name of the model's new session.
func (c *schedule) observe(q *stepped, want refAnswer) refAnswer {
	got := refAnswer{status: q.recorder.Code}
	for _, cookie := range q.recorder.Result().Cookies() {
		switch {
		case cookie.Name != worldCookie:
		case cookie.MaxAge < 0:
			got.cookie = "cleared"
		default:
			got.cookie = "new"
			if want.fresh != nil {
				want.fresh.cookie = cookie.Value
				c.store.byCookie[cookie.Value] = want.fresh
			}
		}
	}
	return got
}

// checkHint holds the hint to the truth where no other request was under way: a request that
// opened its session leaves the browser with a hint exactly where flash is pending.
func (c *schedule) checkHint(q *stepped) error {
	base := q.model.base
	if q.began+1 != c.overlaps || len(c.underway) > 0 || !q.jar || !q.model.opened || base == nil || q.recorder.Code == 500 || len(c.responses) > 1 {
		return nil
	}
	hint := q.model.hint
	for _, cookie := range q.recorder.Result().Cookies() {
		if cookie.Name == worldHint {
			hint = cookie.MaxAge > 0
		}
	}
	if pending := len(base.flash) > 0; hint != pending {
		return fmt.Errorf("%s leaves the hint %v, but flash is %v", q.name, hint, base.flash)
	}
	return nil
}

// deliver gives a response to the browser.
func (c *schedule) deliver(q *stepped) error {
	c.log("%s reaches the browser", q.name)
	seen := map[string]bool{}
	for _, cookie := range q.recorder.Result().Cookies() {
		if seen[cookie.Name] {
			return fmt.Errorf("%s sets the cookie %s twice", q.name, cookie.Name)
		}
		seen[cookie.Name] = true
		switch {
		case cookie.Name == worldHint:
			c.hint = cookie.MaxAge > 0
		case cookie.MaxAge < 0:
			c.cookie = ""
		default:
			c.cookie = cookie.Value
			c.cookies = append(c.cookies, cookie.Value)
		}
	}
	return nil
}

// audit opens every token that was ever given to somebody, at the end.
func (c *schedule) audit() error {
	for cookie := range c.store.byCookie {
		q := c.request(cookie, true, false)
		c.underway = append(c.underway[:0], q)
		q.model.poll = true
		q.model.open(c.now)
		isNew := q.run(func(s *session.Session) any { return s.IsNew() })
		if isNew != (q.model.base == nil) {
			return fmt.Errorf("in the end %.8q: the library says new is %v, the model %v", cookie, isNew, q.model.base == nil)
		}
		if err := c.compareView(q); err != nil {
			return fmt.Errorf("in the end %.8q: %w", cookie, err)
		}
		c.underway = nil
		close(q.steps)
		<-q.done
	}
	return nil
}

// A twin is one operation on a session and on the model; both return what the handler sees.
type twin struct {
	name  string
	real  func(s *session.Session) any
	model func(q *refRequest, now time.Duration) any
}

// does makes a twin of two functions that return nothing.
func does(name string, real func(s *session.Session), model func(q *refRequest)) twin {
	return twin{
		name:  name,
		real:  func(s *session.Session) any { real(s); return nil },
		model: func(q *refRequest, now time.Duration) any { q.open(now); model(q); return nil },
	}
}

// gives makes a twin of two functions that return something.
func gives(name string, real func(s *session.Session) any, model func(q *refRequest) any) twin {
	return twin{name: name, real: real, model: func(q *refRequest, now time.Duration) any { q.open(now); return model(q) }}
}

// randomStep returns an operation. Data and flash share keys, and numbers and strings do, so
// that they meet.
func (c *schedule) randomStep() twin {
	key := []string{"a", "b", "n"}[c.r.IntN(3)]
	value := "v" + strconv.Itoa(c.r.IntN(1000))
	by := c.r.IntN(7) - 3
	switch c.r.IntN(24) {
	case 0, 1, 2:
		key = []string{"a", "b"}[c.r.IntN(2)]
		return does("set "+key+" "+value, func(s *session.Session) { s.Set(key, value) },
			func(q *refRequest) { q.do(refOp{kind: "set", key: key, value: value}) })
	case 3:
		return does("set n 5", func(s *session.Session) { s.Set("n", 5) },
			func(q *refRequest) { q.do(refOp{kind: "set", key: "n", value: 5}) })
	case 4, 5, 6:
		if c.r.IntN(10) > 0 {
			key = "n"
		}
		return gives(fmt.Sprintf("increment %s by %d", key, by), func(s *session.Session) any { return s.Increment(key, by) },
			func(q *refRequest) any { return q.increment(key, by) })
	case 7, 8:
		return gives("delete "+key, func(s *session.Session) any { return s.Delete(key) },
			func(q *refRequest) any { return q.delete(key) })
	case 9:
		return gives("get "+key, func(s *session.Session) any { return s.Get(key) },
			func(q *refRequest) any { return q.get(key) })
	}
	return c.randomRareStep(key, value)
}

func (c *schedule) randomRareStep(key, value string) twin {
	switch c.r.IntN(16) {
	case 0, 1, 2:
		return does("flash "+key+" "+value, func(s *session.Session) { s.Flash(key, value) },
			func(q *refRequest) { q.setFlash(key, value) })
	case 3:
		return does("flash now "+key, func(s *session.Session) { s.FlashNow(key, value) },
			func(q *refRequest) { q.flashNow(key, value) })
	case 4:
		return does("keep "+key, func(s *session.Session) { s.KeepFlash(key) }, func(q *refRequest) { q.keepFlash(key) })
	case 5:
		return does("reflash", (*session.Session).Reflash, func(q *refRequest) { q.keepFlash("a", "b", "n") })
	case 6:
		return does("reset", (*session.Session).Reset, func(q *refRequest) { q.do(refOp{kind: "reset"}) })
	case 7:
		return does("reset flash", (*session.Session).ResetFlash, (*refRequest).resetFlash)
	case 8:
		return does("flush", (*session.Session).Flush, func(q *refRequest) { q.do(refOp{kind: "reset"}); q.resetFlash() })
	case 9, 10:
		return does("regenerate", (*session.Session).Regenerate, func(q *refRequest) { q.rotate = true })
	case 11:
		return c.remember()
	case 12:
		return twin{name: "destroy", real: func(s *session.Session) any { s.Destroy(); return nil },
			model: func(q *refRequest, _ time.Duration) any { q.destroy(); return nil }}
	case 13:
		return c.times()
	}
	return twin{name: "save", real: func(s *session.Session) any { return outcome(s.Save()) },
		model: func(q *refRequest, now time.Duration) any { q.open(now); return outcome(q.saveNow(now)) }}
}

func (c *schedule) remember() twin {
	d := []time.Duration{0, 2 * time.Hour}[c.r.IntN(2)]
	limits := worldLimits
	if d > 0 {
		limits = refLimits{lifetime: d, idle: d, remembered: true}
	}
	return does("remember "+d.String(), func(s *session.Session) { s.Remember(d) },
		func(q *refRequest) { q.rotate, q.remember = true, &limits })
}

// times compares the limits of a session that came and is as it came.
func (c *schedule) times() twin {
	type limits struct{ created, expires time.Duration }
	return twin{
		name: "times",
		real: func(s *session.Session) any {
			s.Open()
			return limits{s.CreatedAt().Sub(c.start), s.ExpiresAt().Sub(c.start)}
		},
		model: func(q *refRequest, now time.Duration) any {
			q.open(now)
			if q.base == nil {
				return limits{time.Time{}.Sub(c.start), time.Time{}.Sub(c.start)}
			}
			asSeen := refSession{created: q.base.created, used: q.used, limits: q.base.limits}
			return limits{asSeen.created, asSeen.expires()}
		},
	}
}

// outcome sorts what Save returns.
func outcome(err error) string {
	switch {
	case err == nil:
		return "stored"
	case errors.Is(err, session.ErrNoSession):
		return "gone"
	}
	return "refused"
}

func contextWith(r *http.Request, q *stepped) context.Context {
	return context.WithValue(r.Context(), steppedKey{}, q)
}
