package redis_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/internal/redis"
	"example.com/session/internal/redistest"
)

// sharing returns a driver with one connection, behind a proxy.
func sharing(t *testing.T, args ...string) (*redistest.Proxy, *redistest.Server, *redis.Driver) {
	t.Helper()
	server, _ := start(t, args...)
	p := redistest.NewProxy(t, server.Addr())
	c := config(p.Addr(), server.Password())
	c.Connections = 1
	return p, server, newDriver(t, c)
}

func TestOperationsThatShareAConnectionGetTheirOwnReplies(t *testing.T) {
	t.Parallel()
	p, _, d := sharing(t)
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			rec := begin(t, d)
			for range 50 {
				if !assert.NoError(t, count(context.Background(), d, rec.ID())) {
					return
				}
			}
			assert.Equal(t, "50", value(load(t, d, rec.ID()), "n"))
		})
	}
	all.Wait()
	assert.Equal(t, 1, p.Dialed())
	assert.Zero(t, d.Retries())
}

// Many commands that are sent at once are one write and one read of the server.
func TestOperationsThatShareAConnectionShareSystemCalls(t *testing.T) {
	t.Parallel()
	server, _ := start(t)
	c := config(server.Addr(), "")
	c.Connections = 1
	d := newDriver(t, c)
	rec := begin(t, d)
	const clients, loads = 64, 50
	trips := server.RoundTrips(t, func() {
		var all sync.WaitGroup
		for range clients {
			all.Go(func() {
				for range loads {
					load(t, d, rec.ID())
				}
			})
		}
		all.Wait()
	})
	assert.Less(t, trips, clients*loads/2)
}

// hold makes the proxy keep the next command until release is called, and returns when it has it.
func hold(p *redistest.Proxy, send func()) (release func()) {
	arrived, gate := make(chan struct{}), make(chan struct{})
	var once sync.Once
	p.Set(func([]string) redistest.Fault {
		once.Do(func() { close(arrived); <-gate })
		return redistest.Fault{}
	})
	var sender sync.WaitGroup
	sender.Go(send)
	<-arrived
	return func() { close(gate); sender.Wait() }
}

// Its reply is still to come. It must not be taken for that of the next operation.
func TestOperationWhoseContextEndsLeavesTheConnectionToTheOthers(t *testing.T) {
	t.Parallel()
	for _, after := range []int{0, 5} { // operations that wait behind those that give up
		p, _, d := sharing(t)
		first, others := begin(t, d), begin(t, d)
		release := hold(p, func() { assert.Equal(t, first.ID(), load(t, d, first.ID()).ID()) })

		short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		var leaving, waiting sync.WaitGroup
		for range 3 {
			leaving.Go(func() {
				_, err := d.Load(short, others.ID(), now())
				assert.ErrorIs(t, err, driver.ErrUnavailable)
				assert.ErrorIs(t, err, context.DeadlineExceeded)
			})
		}
		for range after {
			waiting.Go(func() { assert.Equal(t, first.ID(), load(t, d, first.ID()).ID()) })
		}
		leaving.Wait()
		release()
		waiting.Wait()
		assert.Equal(t, first.ID(), load(t, d, first.ID()).ID())
		assert.Equal(t, 1, p.Dialed())
		assert.Zero(t, d.Retries())
	}
}

// The connection breaks for all that share it, and each of them tries again.
func TestBrokenConnectionFailsNobodyWhoSharesIt(t *testing.T) {
	t.Parallel()
	p, server, d := sharing(t, keeping...)
	var records []*driver.Record
	for range 12 {
		records = append(records, begin(t, d))
	}
	require.NoError(t, count(t.Context(), d, records[0].ID())) // the script is known
	for _, breaks := range []func(){p.Cut, func() { do(t, server, "CLIENT KILL TYPE normal SKIPME yes") }} {
		dialed := p.Dialed()
		release := hold(p, func() { assert.NoError(t, count(context.Background(), d, records[0].ID())) })
		var all sync.WaitGroup
		for _, rec := range records[1:] {
			all.Go(func() { assert.NoError(t, count(context.Background(), d, rec.ID())) })
		}
		breaks()
		release()
		all.Wait()
		assert.Equal(t, dialed+1, p.Dialed(), "they share the fresh one too")
	}
	assert.Positive(t, d.Retries())
	assert.Equal(t, "3", value(load(t, d, records[0].ID()), "n"))
	for _, rec := range records[1:] {
		assert.Equal(t, "2", value(load(t, d, rec.ID()), "n"))
	}
}

// Nobody knows which saves were applied before the server was killed. None of them counts twice.
func TestServerThatIsKilledUnderSharedConnectionsLosesNoSave(t *testing.T) {
	t.Parallel()
	server, d := start(t, keeping...)
	var all sync.WaitGroup
	var acknowledged atomic.Int64
	var records []*driver.Record
	for range 16 {
		records = append(records, begin(t, d))
	}
	stop := make(chan struct{})
	counts := make([]int, len(records))
	for i, rec := range records {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				rec, err := d.Load(context.Background(), rec.ID(), now())
				if err != nil {
					continue
				}
				ch := changes(rec, add("n", 1))
				for err := second(d.Save(context.Background(), rec, ch)); err != nil; err = second(d.Save(context.Background(), rec, ch)) {
					ch.Retried, ch.Since = true, rec.LastSave()
				}
				counts[i]++
				acknowledged.Add(1)
			}
		})
	}
	for range 2 {
		before := acknowledged.Load()
		require.Eventually(t, func() bool { return acknowledged.Load() > before+100 }, 10*time.Second, time.Millisecond)
		server.Kill()
		server.Restart(t)
	}
	close(stop)
	all.Wait()
	for i, rec := range records {
		got, _ := load(t, d, rec.ID()).Value(driver.Data, "n")
		want := ""
		if counts[i] > 0 {
			want = strconv.Itoa(counts[i])
		}
		assert.Equal(t, want, got)
	}
}

func TestClosingWaitsForOperationsUnderWay(t *testing.T) {
	t.Parallel()
	p, _, d := sharing(t)
	rec := begin(t, d)
	release := hold(p, func() { load(t, d, rec.ID()) })
	require.NoError(t, d.Close())
	assert.ErrorIs(t, second(d.Load(t.Context(), rec.ID(), now())), driver.ErrUnavailable)
	release()
}
