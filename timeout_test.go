package session_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"example.com/session"
	"example.com/session/internal/redistest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A slowHandler is a handler that is too slow for http.TimeoutHandler, and waits until the test
// has seen the time-out.
type slowHandler struct {
	before, after func(s *session.Session)
	timedOut      chan struct{}
	err           chan error // the session's Err, once the handler is through
}

func newSlowHandler(before, after func(s *session.Session)) *slowHandler {
	return &slowHandler{before: before, after: after, timedOut: make(chan struct{}), err: make(chan error, 1)}
}

func (h *slowHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	h.before(s)
	<-h.timedOut
	h.after(s)
	_, err := io.WriteString(w, "too late")
	if err == nil {
		err = s.Err()
	}
	h.err <- err
}

// timeOut serves a request by a handler that is too slow and returns the answer; then it lets
// the handler go on and returns what it ran into.
func (v *endpoint) timeOut(h *slowHandler) (exchange, error) {
	v.t.Helper()
	e := v.serve(h.ServeHTTP)
	close(h.timedOut)
	return e, <-h.err
}

// timesOut is http.TimeoutHandler for tests: long enough for a handler that is quick, and short.
func timesOut(next http.Handler) http.Handler {
	return http.TimeoutHandler(next, 100*time.Millisecond, "timed out")
}

func TestHandlerInTimeIsCommittedOnEitherSideOfTimeoutHandler(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		slow := func(next http.Handler) http.Handler { return http.TimeoutHandler(next, time.Minute, "timed out") }
		for name, middleware := range map[string]func(http.Handler) http.Handler{
			"around":  func(next http.Handler) http.Handler { return slow(m.Middleware(next)) },
			"inside":  func(next http.Handler) http.Handler { return m.Middleware(slow(next)) },
			"between": func(next http.Handler) http.Handler { return slow(m.Middleware(slow(next))) },
		} {
			v := newEndpoint(t, "HTTP1", middleware)
			e := v.serve(func(w http.ResponseWriter, r *http.Request) {
				s := session.FromRequest(r)
				s.Set("in", "time")
				s.Flash("message", "saved")
				io.WriteString(w, "page")
				if name != "around" {
					s.Set("after the write", true) // the page is still in TimeoutHandler's buffer
				}
			})
			assert.Equal(t, "page", e.body, name)
			assert.Len(t, e.response.Cookies(), 2, name)
			want := map[string]any{"in": "time", "message": "saved", "after the write": true}
			if name == "around" {
				delete(want, "after the write")
			}
			assert.Equal(t, want, v.found(), name)
		}
	})
}

// Around the middleware: the 503 is none of its business, the handler goes on and what it stores
// is stored, but no cookie reaches the client.
func TestTimeoutAroundTheMiddlewareStoresWhatNeedsNoCookie(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		v := newEndpoint(t, "HTTP1", func(next http.Handler) http.Handler { return timesOut(m.Middleware(next)) })
		v.begin(seedBefore)
		h := newSlowHandler(func(s *session.Session) { s.Set("early", 1) }, func(s *session.Session) { s.Set("late", 2) })
		e, err := v.timeOut(h)
		assert.Equal(t, http.StatusServiceUnavailable, e.status())
		assert.Equal(t, "timed out", e.body)
		assert.Empty(t, e.response.Cookies())
		assert.ErrorIs(t, err, http.ErrHandlerTimeout)
		want := map[string]any{"before": "b", "early": 1, "late": 2}
		if cfg.Default == "cookie" { // the record was in the answer that TimeoutHandler dropped
			want = map[string]any{"before": "b"}
		}
		assert.Equal(t, want, v.found())
	})
}

// Inside the middleware: the 503 is the answer that the session is committed with.
func TestTimeoutInsideTheMiddlewareStoresWhatCameBefore(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		v := newEndpoint(t, "HTTP1", func(next http.Handler) http.Handler { return m.Middleware(timesOut(next)) })
		h := newSlowHandler(func(s *session.Session) { s.Set("early", 1) }, func(s *session.Session) { s.Set("late", 2); s.Regenerate() })
		e, err := v.timeOut(h)
		assert.Equal(t, http.StatusServiceUnavailable, e.status())
		assert.Equal(t, "timed out", e.body)
		assert.NotNil(t, e.cookie("s_"+cfg.Default))
		assert.ErrorIs(t, err, http.ErrHandlerTimeout)
		assert.Positive(t, m.Stats().LateChanges)
		assert.Equal(t, map[string]any{"early": 1}, v.found())
	})
}

// A handler that TimeoutHandler has given up uses its session while the 503 is committed.
func TestAbandonedHandlerMayUseItsSessionDuringTheCommit(t *testing.T) {
	m := newManager(t, driverConfig(t, "memory"))
	v := newEndpoint(t, "HTTP1", func(next http.Handler) http.Handler {
		return m.Middleware(http.TimeoutHandler(next, time.Millisecond, "timed out"))
	})
	for range 20 {
		through := make(chan struct{})
		e := v.serve(func(w http.ResponseWriter, r *http.Request) {
			defer close(through)
			s := session.FromRequest(r)
			for r.Context().Err() == nil {
				s.Increment("n", 1)
				s.Get("n")
			}
			s.Set("late", 1)
			s.Destroy()
		})
		<-through
		assert.Equal(t, http.StatusServiceUnavailable, e.status())
	}
}

// contextSpy makes the driver of cfg tell what context each load and save gets.
func contextSpy(t *testing.T, cfg *session.Config) (seen chan context.Context) {
	seen = make(chan context.Context, 10)
	note := func(ctx context.Context) error {
		seen <- ctx
		return ctx.Err()
	}
	d := withFaults(t, cfg)
	d.load, d.save = note, note
	return seen
}

func TestClientThatHangsUpDoesNotLoseWhatItStored(t *testing.T) {
	for _, driver := range []string{"memory", "redis"} {
		for _, protocol := range protocols {
			t.Run(driver+"/"+protocol, func(t *testing.T) {
				cfg := driverConfig(t, driver)
				contexts := contextSpy(t, &cfg)
				v := newEndpoint(t, protocol, newManager(t, cfg).Middleware)
				cookies := v.begin(seedBefore).response.Cookies()
				<-contexts

				ctx, hangUp := context.WithCancel(t.Context())
				now := &turn{done: make(chan struct{}), handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					hangUp()
					<-r.Context().Done()
					session.FromRequest(r).Set("paid", true)
				})}
				v.serving.Store(now)
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, v.server.URL, nil)
				require.NoError(t, err)
				for _, c := range cookies {
					r.AddCookie(c)
				}
				_, err = v.server.Client().Do(r)
				require.ErrorIs(t, err, context.Canceled)
				<-now.done
				for _, op := range []string{"load", "save"} {
					_, bounded := (<-contexts).Deadline()
					assert.True(t, bounded, "the %s has no limit", op)
				}
				assert.Equal(t, map[string]any{"before": "b", "paid": true}, v.found())
			})
		}
	}
}

func TestHandlersOwnCancelDoesNotReachTheStore(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newEndpoint(t, "HTTP1", newManager(t, cfg).Middleware)
		e := v.serve(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithCancelCause(r.Context())
			cancel(context.DeadlineExceeded)
			s := session.FromContext(ctx)
			s.Set("a", 1)
			assert.NoError(t, s.Save())
			s.Set("b", 2)
		})
		assert.Equal(t, http.StatusOK, e.status())
		assert.Equal(t, map[string]any{"a": 1, "b": 2}, v.found())
	})
}

// The context of the server is cancelled when it shuts down; requests under way are to be
// finished.
func TestContextThatIsCancelledOutsideDoesNotReachTheStore(t *testing.T) {
	cfg := driverConfig(t, "redis")
	m := newManager(t, cfg)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	v := newEndpoint(t, "HTTP1", func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.Middleware(next).ServeHTTP(w, r.WithContext(ended))
		})
	})
	v.begin(seedBefore)
	assert.Equal(t, map[string]any{"before": "b"}, v.found())
}

// Time stands still in the bubble but for waiting, so that the limit is exact.
func TestStoreThatHangsIsGivenUpAfterStoreTimeout(t *testing.T) {
	for _, test := range []struct {
		name    string
		timeout time.Duration // of the config
		hangs   func(d *unreliableDriver)
		do      func(s *session.Session)
		want    time.Duration
	}{
		{name: "load", want: 3 * time.Second, hangs: func(d *unreliableDriver) { d.load = hang }, do: readsBefore},
		{name: "save", want: 3 * time.Second, hangs: func(d *unreliableDriver) { d.save = hang }, do: seedBefore},
		{name: "destroy", want: 3 * time.Second, hangs: func(d *unreliableDriver) { d.destroy = hang },
			do: func(s *session.Session) { s.Destroy() }},
		{name: "configured", timeout: 50 * time.Millisecond, want: 50 * time.Millisecond,
			hangs: func(d *unreliableDriver) { d.load = hang }, do: readsBefore},
		{name: "load that many ask for", want: 3 * time.Second, hangs: func(d *unreliableDriver) { d.load = hang },
			do: func(s *session.Session) { readsBefore(s); s.Set("a", 1); s.Open(); s.Save() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := driverConfig(t, "memory")
				cfg.StoreTimeout = test.timeout
				d := withFaults(t, &cfg)
				m := newManager(t, cfg)
				begun := recordUnder(m, "", seedBefore)
				cookie := begun.Result().Cookies()[0]
				test.hangs(d)
				start := time.Now()
				answer := recordUnder(m, cookie.Name+"="+cookie.Value, test.do)
				assert.Equal(t, test.want, time.Since(start))
				assert.Equal(t, http.StatusServiceUnavailable, answer.Code)
			})
		})
	}
}

// recordUnder serves a request without a socket.
func recordUnder(m *session.Manager, cookies string, do func(s *session.Session)) *httptest.ResponseRecorder {
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
	server := redistest.Start(t)
	cfg := driverConfig(t, "memory")
	cfg.Default, cfg.StoreTimeout = "redis", 200*time.Millisecond
	cfg.Redis = session.RedisConfig{Host: server.Host(), Port: server.Port()}
	v := newEndpoint(t, "HTTP1", newManager(t, cfg).Middleware)
	v.begin(seedBefore)
	server.Pause(t)
	start := time.Now()
	e := v.serve(func(w http.ResponseWriter, r *http.Request) { readsBefore(session.FromRequest(r)) })
	took := time.Since(start)
	server.Resume(t)
	assert.Equal(t, http.StatusServiceUnavailable, e.status())
	assert.GreaterOrEqual(t, took, 190*time.Millisecond)
	assert.Less(t, took, time.Second, "the tries together take longer than StoreTimeout")
	assert.Equal(t, map[string]any{"before": "b"}, v.found())
}
