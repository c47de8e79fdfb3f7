package session_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
)

var errDown = errors.New("connection refused")

// A fatedDriver keeps sessions in memory and asks a test, before each operation, whether it
// fails. A test that blocks there decides in which order operations end.
type fatedDriver struct {
	session.Driver

	mu   sync.Mutex
	fate func(op string) error
}

func newFatedDriver() *fatedDriver {
	return &fatedDriver{Driver: session.NewMemoryDriver(session.MemoryConfig{})}
}

// set makes fate decide from now on; nil: nothing fails.
func (d *fatedDriver) set(fate func(op string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fate = fate
}

func (d *fatedDriver) ask(op string) error {
	d.mu.Lock()
	fate := d.fate
	d.mu.Unlock()
	if fate == nil {
		return nil
	}
	return fate(op)
}

func (d *fatedDriver) Load(ctx context.Context, tok session.Token, now time.Time) (*session.Record, error) {
	if err := d.ask("load"); err != nil {
		return nil, err
	}
	return d.Driver.Load(ctx, tok, now)
}

func (d *fatedDriver) Save(ctx context.Context, rec *session.Record, ch *session.Changes) (session.Token, error) {
	if err := d.ask("save"); err != nil {
		return session.Token{}, err
	}
	return d.Driver.Save(ctx, rec, ch)
}

func (d *fatedDriver) Destroy(ctx context.Context, tok session.Token) error {
	if err := d.ask("destroy"); err != nil {
		return err
	}
	return d.Driver.Destroy(ctx, tok)
}

// down fails every operation, or those of the given kinds.
func down(ops ...string) func(op string) error {
	return func(op string) error {
		if len(ops) == 0 || strings.Contains(strings.Join(ops, " "), op) {
			return errDown
		}
		return nil
	}
}

// fatedSite is an application on a fated driver and a visitor who is signed in.
type fatedSite struct {
	*browser
	driver *fatedDriver
	log    *logBook
}

func newFatedSite(t *testing.T, change func(cfg *session.Config)) *fatedSite {
	t.Helper()
	site := &fatedSite{driver: newFatedDriver()}
	cfg := session.Config{Default: "fated", Drivers: map[string]session.Driver{"fated": site.driver}}
	site.log = captureLog(&cfg)
	if change != nil {
		change(&cfg)
	}
	site.browser = newBrowser(t, outageRoutes.under(newManager(t, cfg)))
	require.Equal(t, http.StatusOK, site.do(http.MethodPost, "/login").StatusCode)
	return site
}

// stuck starts a request whose operation waits, and returns once it does. Its end is what end
// is called with.
func (site *fatedSite) stuck(path string) (end func(error) page) {
	site.t.Helper()
	arrived, outcome := make(chan struct{}), make(chan error)
	var once sync.Once
	site.driver.set(func(string) error {
		first := false
		once.Do(func() { first = true })
		if !first {
			return nil
		}
		close(arrived)
		return <-outcome
	})
	answer := make(chan page)
	go func() { answer <- site.get(path) }()
	<-arrived
	return func(err error) page {
		outcome <- err
		return <-answer
	}
}

// What was under way when an outage began, or when it ended, says nothing about the present.
func TestOutageIsLoggedOnceHoweverItsRequestsOverlap(t *testing.T) {
	site := newFatedSite(t, nil)
	early := site.stuck("/user")
	site.driver.set(down())
	assert.Equal(t, http.StatusServiceUnavailable, site.get("/user").StatusCode)
	assert.Equal(t, "ann", early(nil).body)
	assert.Equal(t, http.StatusServiceUnavailable, site.get("/user").StatusCode)
	assert.Equal(t, []string{outageBegins}, site.log.outages())

	late := site.stuck("/user")
	site.driver.set(nil)
	assert.Equal(t, "ann", site.get("/user").body)
	assert.Equal(t, http.StatusServiceUnavailable, late(errDown).StatusCode)
	assert.Equal(t, "ann", site.get("/user").body)
	assert.Equal(t, []string{outageBegins, outageEnds}, site.log.outages())
	assert.Contains(t, site.log.text(), "failed_operations=2")

	site.driver.set(down())
	site.get("/user")
	assert.Equal(t, []string{outageBegins, outageEnds, outageBegins}, site.log.outages(), "the next outage")
}

func TestStoreThatOnlyReadsIsOneOutageUntilItWrites(t *testing.T) {
	site := newFatedSite(t, nil)
	site.driver.set(down("save", "destroy"))
	for range 3 {
		assert.Equal(t, "ann", site.get("/user").body)
		assert.Equal(t, http.StatusServiceUnavailable, site.get("/count").StatusCode)
	}
	assert.Equal(t, []string{outageBegins}, site.log.outages())
	site.driver.set(nil)
	assert.Equal(t, "ann", site.get("/user").body)
	assert.Equal(t, []string{outageBegins}, site.log.outages())
	assert.Equal(t, "1", site.get("/count").body)
	assert.Equal(t, []string{outageBegins, outageEnds}, site.log.outages())
}
