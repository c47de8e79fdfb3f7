package paths_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
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

// timeOut serves a request by a handler that is too slow, and returns the answer. Then it lets the
// handler go on, and returns the handler's error.
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
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		cookies := 2
		if cfg.Default == "cookie" {
			cookies = 3 // the data are in one of their own
		}
		m := kit.NewManager(t, cfg)
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
			assert.Len(t, e.response.Cookies(), cookies, name)
			want := map[string]any{"in": "time", "message": "saved", "after the write": true}
			if name == "around" {
				delete(want, "after the write")
			}
			assert.Equal(t, want, v.found(), name)
		}
	})
}

// Around the middleware: the handler goes on after the 503, and what it changes is stored, but no cookie
// reaches the client.
func TestTimeoutAroundTheMiddlewareStoresWhatNeedsNoCookie(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
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
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
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

// A handler may go on after its time-out, and use its session while the 503 is committed.
func TestAbandonedHandlerMayUseItsSessionDuringTheCommit(t *testing.T) {
	m := kit.NewManager(t, kit.DriverConfig(t, "memory"))
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
