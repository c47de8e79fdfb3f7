package paths_test

import (
	"context"
	"net/http"
	"testing"

	"example.com/session"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// contextSpy makes the driver of cfg report the context of each load and save.
func contextSpy(t *testing.T, cfg *session.Config) (seen chan context.Context) {
	t.Helper()
	seen = make(chan context.Context, 10)
	kit.WithFaults(t, cfg).Set(func(ctx context.Context, _ string) error {
		seen <- ctx
		return ctx.Err()
	})
	return seen
}

func TestClientThatDisconnectsDoesNotLoseWhatItStored(t *testing.T) {
	for _, driver := range []string{"memory", "redis"} {
		for _, protocol := range protocols {
			t.Run(driver+"/"+protocol, func(t *testing.T) {
				cfg := kit.DriverConfig(t, driver)
				contexts := contextSpy(t, &cfg)
				v := newEndpoint(t, protocol, kit.NewManager(t, cfg).Middleware)
				cookies := v.begin(seedBefore).response.Cookies()
				<-contexts

				ctx, disconnect := context.WithCancel(t.Context())
				now := &turn{done: make(chan struct{}), handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					disconnect()
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
					assert.True(t, bounded, "the %s has no deadline", op)
				}
				assert.Equal(t, map[string]any{"before": "b", "paid": true}, v.found())
			})
		}
	}
}

// Handlers cancel contexts of their own, and a server that shuts down cancels those of its requests,
// which are to be finished.
func TestCancelledContextDoesNotReachTheStore(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		v := newEndpoint(t, "HTTP1", func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				m.Middleware(next).ServeHTTP(w, r.WithContext(ended))
			})
		})
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
