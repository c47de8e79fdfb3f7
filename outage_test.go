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

// allowGets lets every page but those of safe methods do without a session.
func allowGets(cfg *session.Config) {
	cfg.AllowAnonymous = func(r *http.Request) bool { return r.Method == http.MethodGet }
}

func TestAllowedPageGoesOnWithoutASession(t *testing.T) {
	site := newFatedSite(t, allowGets)
	site.driver.set(down())
	p := site.get("/user")
	assert.Equal(t, http.StatusOK, p.StatusCode)
	assert.Empty(t, p.body, "her name is not known now")
	assert.Empty(t, p.Header["Set-Cookie"], "she stays signed in")
	assert.Equal(t, "private, no-cache", p.Header.Get("Cache-Control"))
	assert.Equal(t, http.StatusServiceUnavailable, site.do(http.MethodPost, "/user").StatusCode, "not an allowed page")

	site.driver.set(nil)
	assert.Equal(t, "ann", site.get("/user").body)
}

func TestWhatAnAllowedPageSetsIsLostAndOverwritesNothing(t *testing.T) {
	site := newFatedSite(t, allowGets)
	require.Equal(t, "1", site.get("/count").body)
	site.driver.set(down("load"))
	p := site.get("/count")
	assert.Equal(t, http.StatusOK, p.StatusCode)
	assert.Equal(t, "1", p.body, "it counts in an empty session")
	site.get("/flash")
	site.driver.set(nil)
	assert.Equal(t, "2", site.get("/count").body)
	assert.Equal(t, "ann", site.get("/user").body)
}

func TestHandlerOfAnAllowedPageCanTellThatTheStoreIsDown(t *testing.T) {
	driver := newFatedDriver()
	cfg := session.Config{Default: "fated", Logger: quiet, Drivers: map[string]session.Driver{"fated": driver}}
	allowGets(&cfg)
	v := newVisitor(t, newManager(t, cfg))
	v.visit(func(s *session.Session) { s.Set("user", "ann") })
	driver.set(down())
	p := v.visit(func(s *session.Session) {
		assert.Nil(t, s.Get("user"))
		assert.ErrorIs(t, s.Err(), session.ErrUnavailable)
		assert.ErrorIs(t, s.Open(), session.ErrUnavailable)
		s.Set("key", 1)
		assert.ErrorIs(t, s.Save(), session.ErrUnavailable)
	})
	assert.Equal(t, http.StatusOK, p.StatusCode)
}

// A newcomer has nothing that has to be loaded: only storing fails, after the handler has run.
func TestAllowedPageServesNewcomersToo(t *testing.T) {
	for _, path := range []string{"/count", "/flash", "/save"} {
		site := newFatedSite(t, allowGets)
		site.driver.set(down())
		newcomer := site.another()
		p := newcomer.get(path)
		assert.Less(t, p.StatusCode, 400, path)
		assert.Empty(t, p.Header["Set-Cookie"], path)
		assert.Equal(t, http.StatusServiceUnavailable, newcomer.do(http.MethodPost, path).StatusCode, path)
		site.driver.set(nil)
		assert.Equal(t, "1", newcomer.get("/count").body, path)
	}
}

// What a visitor had and was shown may not silently stay unchanged.
func TestAllowedPageFailsWhereALoadedSessionIsNotStored(t *testing.T) {
	site := newFatedSite(t, allowGets)
	site.driver.set(down("save"))
	assert.Equal(t, http.StatusServiceUnavailable, site.get("/count").StatusCode)
	assert.Equal(t, "ann", site.get("/user").body)
}

// A sign-out that did not happen must not look like one.
func TestSignOutInAnOutageFailsLoudly(t *testing.T) {
	for name, change := range map[string]func(cfg *session.Config){"refused": nil, "allowed": allowGets} {
		t.Run(name, func(t *testing.T) {
			site := newFatedSite(t, change)
			site.driver.set(down())
			p := site.get("/logout")
			assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
			assert.NotContains(t, p.body, "signed out")
			assert.Empty(t, p.Header["Set-Cookie"])
			site.driver.set(nil)
			assert.Equal(t, "ann", site.get("/user").body)
			assert.Equal(t, "signed out", site.get("/logout").body)
			assert.Empty(t, site.get("/user").body)
		})
	}
}

// The hint says that flash is pending: a page that does not use its session opens it to let the
// flash expire, and must not suffer for that.
func TestPendingFlashFailsNoPageThatUsesNoSession(t *testing.T) {
	for _, op := range []string{"load", "save"} {
		site := newFatedSite(t, nil)
		site.get("/flash")
		site.driver.set(down(op))
		for range 2 {
			p := site.get("/plain")
			assert.Equal(t, http.StatusOK, p.StatusCode, op)
			assert.Equal(t, "plain", p.body, op)
			assert.Empty(t, p.Header["Set-Cookie"], "%s: the flash is still pending", op)
		}
		assert.Equal(t, []string{outageBegins}, site.log.outages(), op)
		site.driver.set(nil)
		assert.NotNil(t, site.get("/count").cookie("s_fated_f"), "%s: the flash expires after the outage", op)
	}
}

func TestPendingFlashIsNotAskedForInAnOutage(t *testing.T) {
	site := newFatedSite(t, nil)
	site.get("/flash")
	site.driver.set(down())
	site.get("/user")
	site.driver.set(func(op string) error {
		t.Errorf("%s: the page waits for a store that is known to be down", op)
		return errDown
	})
	assert.Equal(t, "plain", site.get("/plain").body)
}
