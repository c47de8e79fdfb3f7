package outage_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

// While one node of a cluster is away, operations fail and succeed in turn. That is one outage.
func TestStoreThatFailsNowAndThenIsLoggedOnceWhenItBeginsAndOnceWhenItEnds(t *testing.T) {
	var events []session.EventKind
	site := newSite(t, func(cfg *session.Config) {
		cfg.Events = func(_ context.Context, e session.Event) {
			if e.Kind == session.EventUnavailable || e.Kind == session.EventAvailable {
				events = append(events, e.Kind)
			}
		}
	})
	began, n := site.clock.Now(), 0
	site.faults.Set(func(context.Context, string) error {
		if n++; n%2 == 0 {
			return kit.ErrDown
		}
		return nil
	})
	statuses := make(map[int]int)
	for site.clock.Now().Sub(began) < 5*time.Second {
		statuses[site.Get("/user").StatusCode]++
		statuses[site.Get("/count").StatusCode]++
		site.clock.Advance(50 * time.Millisecond)
	}
	assert.Greater(t, statuses[http.StatusOK], 50)
	assert.Greater(t, statuses[http.StatusServiceUnavailable], 50)
	assert.Equal(t, []string{outageBegins}, outages(site.log))

	site.faults.Mend()
	for range 10 {
		site.Get("/count")
		site.clock.Advance(quiet / 5)
	}
	assert.Equal(t, []string{outageBegins, outageEnds}, outages(site.log))
	assert.Equal(t, []session.EventKind{session.EventUnavailable, session.EventAvailable}, events)
	assert.Contains(t, site.log.Text(), fmt.Sprintf("failed_operations=%d", site.manager.Stats().Unavailable))
}

// One connection under load serves everybody, however slow the server is.
func TestOneConnectionUnderLoadIsNoOutage(t *testing.T) {
	t.Parallel()
	p := redistest.NewProxy(t, redistest.Shared(t).Addr())
	site := newRedisSite(t, redistest.Shared(t), func(cfg *session.Config) {
		behind(p)(cfg)
		cfg.Redis.Namespace = kit.Namespace(t)
		cfg.Redis.Options.Connections = 1
	})
	p.Set(func([]string) redistest.Fault { return redistest.Fault{Delay: 5 * time.Millisecond} })
	var requests sync.WaitGroup
	for range 8 {
		requests.Go(func() {
			for range 10 {
				site.Get("/count")
			}
		})
	}
	requests.Wait()
	p.Set(nil)
	assert.Zero(t, site.manager.Stats().Unavailable)
	assert.Empty(t, outages(site.log))
}

// A store whose memory is full refuses to write and reads all the while.
func TestStoreThatOnlyReadsIsOneOutageUntilItWrites(t *testing.T) {
	site := newSite(t, nil)
	site.faults.Break("save", "end")
	for range 3 {
		assert.Equal(t, "ann", site.Get("/user").Body)
		assert.Equal(t, http.StatusServiceUnavailable, site.Get("/count").StatusCode)
		site.clock.Advance(quiet - time.Millisecond)
	}
	assert.Equal(t, []string{outageBegins}, outages(site.log))
	site.faults.Mend()
	assert.Equal(t, "1", site.Get("/count").Body)
	assert.Equal(t, []string{outageBegins}, outages(site.log), "something has failed just now")
	site.clock.Advance(quiet)
	assert.Equal(t, "2", site.Get("/count").Body)
	assert.Equal(t, []string{outageBegins, outageEnds}, outages(site.log))

	site.faults.Break()
	site.Get("/user")
	assert.Equal(t, []string{outageBegins, outageEnds, outageBegins}, outages(site.log), "the next outage")
}

// stuck starts a request whose first operation waits, and returns once it does. The operation has the
// result that end is called with.
func (s *site) stuck(path string) (end func(error) kit.Page) {
	s.t.Helper()
	waits, result := make(chan struct{}), make(chan error)
	var once sync.Once
	s.faults.Set(func(context.Context, string) error {
		first := false
		once.Do(func() { first = true })
		if !first {
			return nil
		}
		close(waits)
		return <-result
	})
	answer := make(chan kit.Page)
	go func() { answer <- s.Get(path) }()
	<-waits
	return func(err error) kit.Page {
		result <- err
		return <-answer
	}
}

// An operation that began before an outage, or in it, says nothing about the time after.
func TestOutageIsLoggedOnceHoweverItsRequestsOverlap(t *testing.T) {
	site := newSite(t, nil)
	early := site.stuck("/user")
	site.faults.Break()
	assert.Equal(t, http.StatusServiceUnavailable, site.Get("/user").StatusCode)
	site.clock.Advance(quiet)
	assert.Equal(t, "ann", early(nil).Body)
	assert.Equal(t, []string{outageBegins}, outages(site.log), "it began before the outage")

	late := site.stuck("/user")
	site.faults.Mend()
	site.clock.Advance(time.Second)
	assert.Equal(t, "ann", site.Get("/user").Body)
	assert.Equal(t, []string{outageBegins, outageEnds}, outages(site.log))
	assert.Equal(t, http.StatusServiceUnavailable, late(kit.ErrDown).StatusCode)
	assert.Equal(t, "ann", site.Get("/user").Body)
	assert.Equal(t, []string{outageBegins, outageEnds}, outages(site.log), "it began in the outage")
	require.Contains(t, site.log.Text(), "failed_operations=1")
}
