package redis_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/internal/redis"
	"example.com/session/internal/redistest"
)

// A shiftedClient leads to a server whose clock is ahead of the true time.
type shiftedClient struct {
	client clientFunc
	ahead  atomic.Int64 // nanoseconds
	asked  atomic.Int64 // TIME
	fail   atomic.Pointer[error]
}

func shifted(t *testing.T, ahead time.Duration) *shiftedClient {
	c := &shiftedClient{client: redigoClient(t, redistest.Shared(t).Addr())}
	c.ahead.Store(int64(ahead))
	return c
}

func (c *shiftedClient) Do(ctx context.Context, args ...any) (any, error) {
	if fail := c.fail.Load(); fail != nil {
		return nil, *fail
	}
	if args[0] == "TIME" {
		c.asked.Add(1)
	}
	reply, err := c.client(ctx, args...)
	if parts, ok := reply.([]any); ok && len(parts) == 2 {
		seconds, _ := strconv.ParseInt(string(parts[0].([]byte)), 10, 64)
		micros, _ := strconv.ParseInt(string(parts[1].([]byte)), 10, 64)
		at := time.Unix(seconds, micros*1000).Add(time.Duration(c.ahead.Load()))
		reply = []any{strconv.FormatInt(at.Unix(), 10), strconv.Itoa(at.Nanosecond() / 1000)}
	}
	return reply, err
}

func offset(d *redis.Driver) time.Duration {
	local := time.Now()
	return d.Time(local).Sub(local)
}

func TestTimeIsThatOfTheServerFromTheFirstCall(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{0, 3 * time.Second, -30 * time.Second, 2 * time.Minute} {
		c := shifted(t, ahead)
		d := newDriver(t, redis.Config{Client: c})
		for range 10 {
			assert.InDelta(t, ahead, offset(d), float64(500*time.Millisecond))
		}
		assert.EqualValues(t, 1, c.asked.Load())
	}
	d := newDriver(t, config(redistest.Shared(t).Addr(), ""))
	assert.InDelta(t, 0, offset(d), float64(20*time.Millisecond))
	assert.Equal(t, offset(d), offset(d), "it does not jitter")
}

// Two processes whose clocks are two minutes apart share one server: each sees sessions as old as
// the other one does.
func TestProcessesWhoseClocksDifferAgreeOnTimes(t *testing.T) {
	t.Parallel()
	a, b := newDriver(t, redis.Config{Client: shifted(t, 0)}), newDriver(t, redis.Config{Client: shifted(t, 2*time.Minute)})
	trueTime := time.Now()
	atA, atB := a.Time(trueTime), b.Time(trueTime.Add(-2*time.Minute)) // the clock of b is behind
	assert.WithinDuration(t, atA, atB, 500*time.Millisecond)

	name := "two-clocks-" + driver.NewID().String() // the server is shared
	require.NoError(t, a.EndBefore(t.Context(), name, atA))
	late := entry(0, time.Hour)
	late.Entered = b.Time(time.Now().Add(-2*time.Minute - 3*time.Second))
	assert.ErrorIs(t, b.Enter(t.Context(), name, late, 0, atB.Add(time.Second)), driver.ErrEnded)
	after := entry(0, time.Hour)
	after.Entered = atA.Add(time.Second)
	assert.NoError(t, b.Enter(t.Context(), name, after, 0, after.Entered))
}

func TestSavesShowThatTheServersClockWasMoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ahead time.Duration
		asked := 0
		d := redis.New(redis.Config{Client: clientFunc(func(_ context.Context, args ...any) (any, error) {
			time.Sleep(time.Millisecond)
			at := time.Now().Add(ahead)
			reading := []any{strconv.FormatInt(at.Unix(), 10), strconv.Itoa(at.Nanosecond() / 1000)}
			switch {
			case args[0] == "TIME":
				asked++
				return reading, nil
			case args[0] == "SET":
				return "OK", nil
			case args[len(args)-1] == "time":
				return reading, nil
			}
			return int64(1), nil
		})})
		rec := begin(t, d)
		save := func() {
			var err error
			rec, err = d.Save(t.Context(), rec, changes(rec))
			require.NoError(t, err)
		}
		assert.Zero(t, offset(d))
		ahead = 700 * time.Millisecond // as masters of one cluster may differ
		time.Sleep(11 * time.Second)
		save()
		assert.Zero(t, offset(d), "it does not jitter between the masters of a cluster")
		ahead = time.Minute
		save()
		assert.Zero(t, offset(d), "it was read a moment ago")
		time.Sleep(11 * time.Second)
		save()
		assert.InDelta(t, time.Minute, offset(d), float64(10*time.Millisecond))
		assert.Equal(t, 1, asked, "it costs no command")
	})
}

func TestEveryNewConnectionShowsTheServersClock(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := redistest.NewProxy(t, server.Addr())
	d := newDriver(t, config(p.Addr(), ""))
	rec := begin(t, d)
	assert.InDelta(t, 0, offset(d), float64(20*time.Millisecond))
	p.Set(on(redistest.Fault{Reply: timeReply(time.Now().Add(time.Hour))}, "TIME"))
	load(t, d, rec.ID())
	assert.InDelta(t, 0, offset(d), float64(20*time.Millisecond), "the connection is still there")
	p.Cut()
	load(t, d, rec.ID())
	assert.InDelta(t, time.Hour, offset(d), float64(2*time.Second))
}

func timeReply(at time.Time) string {
	return "*2\r\n$10\r\n" + strconv.FormatInt(at.Unix(), 10) + "\r\n$1\r\n0"
}

// After a failover another server has the sessions, with another clock.
func TestReplicaMakesTheDriverAskForTheTimeAgain(t *testing.T) {
	t.Parallel()
	c := shifted(t, 0)
	d := newDriver(t, redis.Config{Client: c})
	rec := begin(t, d)
	var readonly error = serverError("READONLY You can't write against a read only replica.")
	c.fail.Store(&readonly)
	assert.ErrorIs(t, second(d.Load(t.Context(), rec.ID(), now())), driver.ErrUnavailable)
	c.fail.Store(nil)
	c.ahead.Store(int64(400 * time.Millisecond))
	assert.InDelta(t, 400*time.Millisecond, offset(d), float64(300*time.Millisecond))
	assert.EqualValues(t, 2, c.asked.Load())
}

// An operation that was given a time before the offset was known must not judge by it.
func TestOperationFailsIfTheClockBecomesKnownOnlyThen(t *testing.T) {
	t.Parallel()
	c := shifted(t, time.Hour)
	d := newDriver(t, redis.Config{Client: c})
	outage := errors.New("connection refused")
	c.fail.Store(&outage)
	assert.Zero(t, offset(d), "the local time is the best that there is")
	c.fail.Store(nil)
	assert.ErrorIs(t, second(d.Load(t.Context(), driver.NewID(), now())), driver.ErrUnavailable)
	assert.ErrorIs(t, second(d.Load(t.Context(), driver.NewID(), now())), driver.ErrNoSession)
	assert.InDelta(t, time.Hour, offset(d), float64(500*time.Millisecond))
}

// While the server is away, Time does not wait for it each time.
func TestTimeAsksAtMostOnceASecondAndForABoundedTime(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	d := newDriver(t, redis.Config{DialTimeout: 50 * time.Millisecond, Client: clientFunc(func(ctx context.Context, _ ...any) (any, error) {
		asked.Add(1)
		<-ctx.Done()
		return nil, ctx.Err()
	})})
	began := time.Now()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { d.Time(time.Now()) })
	}
	all.Wait()
	assert.Less(t, time.Since(began), 900*time.Millisecond)
	assert.EqualValues(t, 1, asked.Load())
}

func TestUnexpectedTimeIsAnOutage(t *testing.T) {
	t.Parallel()
	for _, reply := range []any{nil, "OK", []any{}, []any{"1"}, []any{"x", "0"}, []any{"1", nil}} {
		d := newDriver(t, redis.Config{Client: clientFunc(func(context.Context, ...any) (any, error) { return reply, nil })})
		assert.ErrorIs(t, second(d.Load(t.Context(), driver.NewID(), now())), driver.ErrUnavailable)
		assert.Zero(t, offset(d))
	}
}

func TestKnownClockCostsNoCommand(t *testing.T) {
	t.Parallel()
	server, d := start(t)
	rec := begin(t, d)
	commands := server.CommandsDuring(t, func() {
		for range 5 {
			d.Time(time.Now())
			load(t, d, rec.ID())
		}
	})
	assert.Equal(t, map[string]int{"getex": 5}, commands)
}
