package session_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

func TestStatsOfADriverSayHowLongItsOperationsTook(t *testing.T) {
	cfg := kit.DriverConfig(t, "memory")
	store := kit.WithFaults(t, &cfg)
	m := kit.NewManager(t, cfg)
	clock := kit.SetClock(m)
	takes := map[string]time.Duration{"load": 25 * time.Millisecond, "save": 26 * time.Millisecond, "end": 7 * time.Second}
	store.Set(func(_ context.Context, op string) error {
		clock.Advance(takes[op])
		return nil
	})
	v := kit.NewVisitor(t, m)
	v.Visit(func(s *session.Session) { s.Set("n", 1) })           // save
	v.Visit(func(s *session.Session) { s.Get("n"); s.Destroy() }) // load, end
	stats := m.Stats().Drivers["faulty"]
	require.Len(t, stats.LoadTimes.Counts, len(stats.LoadTimes.Bounds)+1)
	assert.Equal(t, map[time.Duration]uint64{25 * time.Millisecond: 1}, counts(stats.LoadTimes), "a bound is inclusive")
	assert.Equal(t, 25*time.Millisecond, stats.LoadTimes.Sum)
	const longer = -1
	assert.Equal(t, map[time.Duration]uint64{50 * time.Millisecond: 1, longer: 1}, counts(stats.SaveTimes))
	assert.Equal(t, 7026*time.Millisecond, stats.SaveTimes.Sum)

	stats.LoadTimes.Bounds[0] = 0
	assert.Equal(t, 100*time.Microsecond, m.Stats().Drivers["faulty"].LoadTimes.Bounds[0], "the caller owns the result")
	var documented []time.Duration
	for _, ms := range []float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000} {
		documented = append(documented, time.Duration(ms*float64(time.Millisecond)))
	}
	assert.Equal(t, documented, m.Stats().Drivers["faulty"].LoadTimes.Bounds)
}

// counts returns the numbers of a histogram that are not 0, by their bounds; -1 is past all bounds.
func counts(h session.Histogram) map[time.Duration]uint64 {
	by := map[time.Duration]uint64{}
	for i, n := range h.Counts {
		bound := time.Duration(-1)
		if i < len(h.Bounds) {
			bound = h.Bounds[i]
		}
		if n > 0 {
			by[bound] = n
		}
	}
	return by
}

// Memory and cookie answer in less time than it takes to read a clock twice.
func TestDriversWithoutIOAreNotTimed(t *testing.T) {
	for _, name := range []string{"memory", "cookie"} {
		cfg := kit.DriverConfig(t, name)
		cfg.Trace = func(ctx context.Context, op session.Operation) (context.Context, func(error)) {
			t.Errorf("%s was traced", op.Driver)
			return ctx, func(error) {}
		}
		m := kit.NewManager(t, cfg)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { s.Set("n", 1) })
		v.Visit(read)
		assert.Equal(t, session.Histogram{}, m.Stats().Drivers[name].LoadTimes)
		assert.EqualValues(t, 1, m.Stats().Drivers[name].Loads)
	}
}

func TestStatsTellDriversApart(t *testing.T) {
	cfg := kit.DriverConfig(t, "cookie")
	cfg.Drivers = map[string]session.Driver{"second": session.NewMemoryDriver(session.MemoryConfig{})}
	m := kit.NewManager(t, cfg)
	kit.NewVisitor(t, m).Visit(func(s *session.Session) {
		s.Set("a", 1)
		second, err := s.Using("second")
		require.NoError(t, err)
		second.Set("a", 1)
	})
	kit.NewVisitor(t, m).Visit(read, "Cookie", "s_second="+wellFormed)
	stats := m.Stats()
	assert.Len(t, stats.Drivers, 2, "memory and redis are neither configured nor used")
	assert.Equal(t, session.Stats{Saves: 1}, stats.Drivers["cookie"])
	second := stats.Drivers["second"]
	assert.EqualValues(t, 1, second.Saves)
	assert.EqualValues(t, 1, second.Sessions, "a memory driver of Config.Drivers")
	assert.EqualValues(t, 2, stats.Saves)
}

// An operation goes on in the context that Trace returns, and Trace hears how it went.
func TestTraceIsToldOfEachOperation(t *testing.T) {
	type key struct{}
	type call struct {
		session.Operation
		request any
		err     error
	}
	cfg := kit.DriverConfig(t, "memory")
	store := kit.WithFaults(t, &cfg)
	var calls []call
	cfg.Trace = func(ctx context.Context, op session.Operation) (context.Context, func(error)) {
		calls = append(calls, call{Operation: op, request: ctx.Value(key{})})
		c := &calls[len(calls)-1]
		return context.WithValue(ctx, key{}, op.Name), func(err error) { c.err = err }
	}
	m := kit.NewManager(t, cfg)
	handler := m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s := session.FromRequest(r)
		switch r.URL.Path {
		case "/set":
			s.Set("n", 1)
		case "/read":
			s.Get("n")
		case "/end":
			s.Destroy()
		}
	}))
	b := kit.NewBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, r.URL.Path)))
	}))
	var seen []any
	store.Set(func(ctx context.Context, op string) error {
		seen = append(seen, ctx.Value(key{}))
		return nil
	})
	b.Get("/set")
	store.Break("load")
	b.Get("/read")
	store.Mend()
	b.Get("/end")
	assert.Equal(t, []any{"save"}, seen)
	require.Len(t, calls, 3)
	handle := calls[0].Handle
	assert.NotEmpty(t, handle)
	assert.Equal(t, call{session.Operation{Name: "save", Driver: "faulty", Handle: handle}, "/set", nil}, calls[0])
	assert.ErrorIs(t, calls[1].err, session.ErrUnavailable)
	assert.Equal(t, session.Operation{Name: "load", Driver: "faulty", Handle: handle}, calls[1].Operation)
	assert.Equal(t, call{session.Operation{Name: "end", Driver: "faulty", Handle: handle}, "/end", nil}, calls[2])
}
