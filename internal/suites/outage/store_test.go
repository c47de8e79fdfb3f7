package outage_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

// A readOnlyStore reads, and updates nothing if it is down.
type readOnlyStore struct {
	session.Store
	down bool
}

func (s *readOnlyStore) Update(ctx context.Context, key string, change func([]byte) (driver.Entry, error)) error {
	if s.down {
		return kit.ErrDown
	}
	return s.Store.Update(ctx, key, change)
}

// A page that only reads has nothing to store but that its session was used.
func TestPageThatOnlyReadsIsServedThoughItsUseCannotBeNoted(t *testing.T) {
	for name, after := range map[string]time.Duration{"first use": 0, "later use": 10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			store := &readOnlyStore{Store: kit.NewCountingStore()}
			cfg := session.Config{Default: "store", Secret: kit.Secret, LockAfter: 15 * time.Minute,
				Drivers: map[string]session.Driver{"store": session.StoreDriver(store)}}
			log := kit.CaptureLog(&cfg)
			m := kit.NewManager(t, cfg)
			clock := kit.SetClock(m)
			v := kit.NewVisitor(t, m)
			v.Visit(func(s *session.Session) { s.Login("ann"); s.Set("n", 1) })
			if after > 0 {
				clock.Advance(time.Minute)
				v.Visit(func(s *session.Session) { assert.Equal(t, 1, s.Get("n")) })
				clock.Advance(after)
			}
			store.down = true
			saves := m.Stats().Saves
			p := v.Visit(func(s *session.Session) {
				user, ok := s.User()
				assert.True(t, ok)
				assert.Equal(t, "ann", user)
				assert.Equal(t, 1, s.Get("n"))
			})
			assert.Equal(t, http.StatusOK, p.StatusCode)
			assert.Greater(t, m.Stats().Saves, saves, "no use was to be noted")
			assert.Equal(t, []string{outageBegins}, outages(log))
			p = v.Visit(func(s *session.Session) { s.Set("n", 2) })
			assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode, "a page that writes")

			store.down = false
			clock.Advance(quiet)
			v.Visit(func(s *session.Session) { assert.Equal(t, 1, s.Get("n")) })
			assert.Equal(t, []string{outageBegins, outageEnds}, outages(log))
		})
	}
}

// Time stands still in the bubble except while everybody waits, so the limit is exact.
func TestStoreThatHangsIsGivenUpAfterStoreTimeout(t *testing.T) {
	set := func(s *session.Session) { s.Set("before", "b") }
	get := func(s *session.Session) { s.Get("before") }
	for _, test := range []struct {
		name    string
		timeout time.Duration // of the configuration
		op      string
		do      func(s *session.Session)
		want    time.Duration
	}{
		{name: "load", op: "load", do: get, want: 3 * time.Second},
		{name: "save", op: "save", do: set, want: 3 * time.Second},
		{name: "end", op: "end", do: func(s *session.Session) { s.Destroy() }, want: 3 * time.Second},
		{name: "configured", op: "load", do: get, timeout: 50 * time.Millisecond, want: 50 * time.Millisecond},
		{name: "load that many ask for", op: "load", want: 3 * time.Second,
			do: func(s *session.Session) { get(s); s.Set("a", 1); s.Open(); s.Save() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := kit.DriverConfig(t, "memory")
				cfg.StoreTimeout = test.timeout
				faults := kit.WithFaults(t, &cfg)
				m := kit.NewManager(t, cfg)
				cookie := record(m, "", set).Result().Cookies()[0]
				faults.Hang(test.op)
				start := time.Now()
				answer := record(m, cookie.Name+"="+cookie.Value, test.do)
				assert.Equal(t, test.want, time.Since(start))
				assert.Equal(t, http.StatusServiceUnavailable, answer.Code)
			})
		})
	}
}

// record serves a request without a socket.
func record(m *session.Manager, cookies string, do func(s *session.Session)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "http://localhost/", nil)
	r.Header.Set("Cookie", cookies)
	w := httptest.NewRecorder()
	m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		do(session.FromRequest(r))
		io.WriteString(w, "page")
	})).ServeHTTP(w, r)
	return w
}

func TestRedisThatHangsIsGivenUpAfterStoreTimeout(t *testing.T) {
	t.Parallel()
	const timeout = 200 * time.Millisecond
	site := newRedisSite(t, redistest.Start(t), func(cfg *session.Config) { cfg.StoreTimeout = timeout })
	site.redis.Pause(t)
	start := time.Now()
	p := site.Get("/user")
	took := time.Since(start)
	site.redis.Resume(t)
	site.assertRefused(p)
	assert.GreaterOrEqual(t, took, timeout-10*time.Millisecond)
	assert.Less(t, took, time.Second, "the tries together take longer than StoreTimeout")
	require.Equal(t, "ann", site.Get("/user").Body)
}
