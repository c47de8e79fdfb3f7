package session_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
)

// A connection whose reply was not waited for still has it to come. Whoever gets that connection
// next would read another visitor's session.
func TestReplyThatCameTooLateIsReadByNobody(t *testing.T) {
	t.Parallel()
	const timeout = 15 * time.Millisecond
	server := redistest.Start(t)
	p := redistest.NewProxy(t, server.Addr())
	m := newManager(t, session.Config{Default: "redis", Logger: quiet, Redis: session.RedisConfig{Host: p.Host(), Port: p.Port(),
		Options: session.RedisOptions{MaxActive: 3, ReadTimeout: timeout, PoolWait: -1}}})
	b := newBrowser(t, routes{
		"/enter": func(_ http.ResponseWriter, r *http.Request, s *session.Session) { s.Set("who", r.FormValue("who")) },
		"/who":   func(w http.ResponseWriter, _ *http.Request, s *session.Session) { fmt.Fprint(w, s.GetString("who")) },
	}.under(m))
	visitors := make([]*browser, 8)
	for i := range visitors {
		visitors[i] = b.another()
		require.Equal(t, http.StatusOK, visitors[i].get("/enter?who="+fmt.Sprint(i)).StatusCode)
	}
	p.Set(func([]string) redistest.Fault {
		if rand.IntN(2) == 0 {
			return redistest.Fault{}
		}
		return redistest.Fault{Delay: rand.N(3 * timeout)}
	})
	var served, late atomic.Int64
	var all sync.WaitGroup
	for i, v := range visitors {
		all.Go(func() {
			for range 40 {
				response, err := v.client.Get(v.url + "/who")
				if !assert.NoError(t, err) {
					return
				}
				var who string
				fmt.Fscan(response.Body, &who)
				response.Body.Close()
				if response.StatusCode != http.StatusOK {
					late.Add(1)
					continue
				}
				served.Add(1)
				assert.Equal(t, fmt.Sprint(i), who)
			}
		})
	}
	all.Wait()
	assert.Positive(t, late.Load()+int64(m.Stats().Retries), "no reply came too late")
	assert.Greater(t, served.Load(), int64(50))
}
