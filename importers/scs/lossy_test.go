package scs_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/scs/redisstore"
	"github.com/alexedwards/scs/v2"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

// behindProxy is a migration whose old and new store are one redis behind a proxy.
func behindProxy(t *testing.T) (*migration, *redistest.Proxy) {
	proxy := redistest.NewProxy(t, redistest.Shared(t).Addr())
	pool := &redis.Pool{Dial: func() (redis.Conn, error) { return redis.Dial("tcp", proxy.Addr()) }, MaxIdle: 4}
	t.Cleanup(func() { pool.Close() })
	m := migrate(t, redisstore.NewWithPrefix(pool, kit.Namespace(t)+":"), func(_ *scs.SessionManager, cfg *session.Config) {
		cfg.Redis.Port, cfg.StoreTimeout = proxy.Port(), time.Second
	})
	require.NoError(t, m.manager.Ping(t.Context()))
	return m, proxy
}

// untilAnswered sends a request again until it is not the error answer.
func (m *migration) untilAnswered(path string) kit.Page {
	for range 10 {
		if p := m.browser.Get(path); p.StatusCode != http.StatusServiceUnavailable {
			return p
		}
	}
	require.FailNow(m, "no answer", path)
	return kit.Page{}
}

// redis does each step of an import, and its reply is lost: once, or with all that follow.
func TestALostReplyAtAnyStepMakesNoSecondSessionAndSignsNobodyOut(t *testing.T) {
	for _, path := range []string{"/page", "/add?item=milk", "/out"} {
		for _, forever := range []bool{false, true} {
			t.Run(fmt.Sprint(path[1:4], ", forever ", forever), func(t *testing.T) {
				t.Parallel()
				steps := 0
				for losing := true; losing; steps++ {
					losing = loseReply(t, path, steps, forever)
				}
				assert.Greater(t, steps, map[string]int{"/page": 2, "/add?item=milk": 5, "/out": 4}[path])
			})
		}
	}
}

// loseReply loses the reply to one command of a request, and reports whether the request sends so many.
func loseReply(t *testing.T, path string, step int, forever bool) (lost bool) {
	m, proxy := behindProxy(t)
	var sent atomic.Int64
	proxy.Set(func([]string) redistest.Fault {
		n := int(sent.Add(1)) - 1
		return redistest.Fault{Lose: n == step || forever && n > step}
	})
	first := m.browser.Get(path)
	lost = int(sent.Load()) > step
	proxy.Set(nil)
	what := fmt.Sprint("step ", step, ", status ", first.StatusCode)

	if path != "/out" {
		require.Equal(t, http.StatusOK, m.untilAnswered("/add?item=again").StatusCode, what)
		body := m.browser.Get("/page").Body
		require.True(t, strings.HasPrefix(body, "ann: tea") && strings.HasSuffix(body, ",again to Wien"), what+": "+body)
		if path != "/page" && first.StatusCode == http.StatusOK {
			assert.Contains(t, body, "milk", what)
		}
		assert.LessOrEqual(t, strings.Count(body, "milk"), 1, what)
		list, err := m.manager.Sessions(t.Context(), "ann")
		require.NoError(t, err)
		assert.Len(t, list, 1, what)
		assert.LessOrEqual(t, m.manager.Stats().Imported, uint64(1), what)
	}
	copied := m.cookies()
	if path != "/out" || first.StatusCode != http.StatusOK {
		require.Equal(t, http.StatusOK, m.untilAnswered("/out").StatusCode, what)
	}
	for range 2 {
		for _, cookies := range []string{m.before, copied} {
			assert.Equal(t, ":  to ", m.browser.Another().Get("/page", "Cookie", cookies).Body, what)
		}
		m.clock.Advance(31 * time.Second)
	}
	return lost
}

// cookies returns the Cookie line that the browser sends now.
func (m *migration) cookies() string {
	at, err := http.NewRequest(http.MethodGet, m.browser.URL, nil)
	require.NoError(m, err)
	for _, c := range m.browser.Client.Jar.Cookies(at.URL) {
		at.AddCookie(c)
	}
	return at.Header.Get("Cookie")
}
