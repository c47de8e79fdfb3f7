package sessiontest_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"example.com/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// In a bubble of synctest the clock of the whole program moves when everything sleeps. Handlers are called
// without a socket there.
func TestIdleTimeoutEndsASessionInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := session.NewManager(session.Config{Default: "memory", IdleTimeout: time.Hour})
		require.NoError(t, err)
		defer m.Close()
		count := m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			session.FromRequest(r).Increment("visits", 1)
		}))
		visits := func(cookies []*http.Cookie) (n int, set []*http.Cookie) {
			w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
			for _, c := range cookies {
				r.AddCookie(c)
			}
			count.ServeHTTP(w, r)
			m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				n = session.FromRequest(r).GetInt("visits")
			})).ServeHTTP(httptest.NewRecorder(), r)
			return n, w.Result().Cookies()
		}
		_, cookies := visits(nil)
		time.Sleep(59 * time.Minute)
		n, _ := visits(cookies)
		assert.Equal(t, 2, n)
		time.Sleep(61 * time.Minute)
		_, set := visits(cookies)
		assert.NotEmpty(t, set, "a new session began")
	})
}
