package paths_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"example.com/session"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// compressing sets Vary as middleware that compresses responses does, before the handler runs.
func compressing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept-Encoding")
		next.ServeHTTP(w, r)
	})
}

// Some proxies obey only the first Vary line, and some obey a field of their own.
func TestPageOfASessionIsForNoSharedCache(t *testing.T) {
	for _, protocol := range protocols {
		for _, opened := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/opened=%t", protocol, opened), func(t *testing.T) {
				m := kit.NewManager(t, kit.DriverConfig(t, "memory"))
				v := newEndpoint(t, protocol, func(next http.Handler) http.Handler { return compressing(m.Middleware(next)) })
				v.begin(seedBefore)
				e := v.serve(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Cache-Control", "public, max-age=60")
					w.Header().Set("X-Accel-Expires", "60")
					if opened {
						assert.Equal(t, "b", session.FromRequest(r).Get("before"))
					}
					io.WriteString(w, "page")
				})
				require.NoError(t, e.err)
				assert.Equal(t, 1, strings.Count(e.raw, "Vary: "), "one line:\n%s", e.raw)
				if !opened {
					assert.Equal(t, "Accept-Encoding", e.response.Header.Get("Vary"))
					assert.Equal(t, "public, max-age=60", e.response.Header.Get("Cache-Control"), "a page for everybody")
					return
				}
				assert.Equal(t, "Accept-Encoding, Cookie", e.response.Header.Get("Vary"))
				assert.Equal(t, "private, max-age=60", e.response.Header.Get("Cache-Control"))
				assert.NotContains(t, e.response.Header, "X-Accel-Expires")
			})
		}
	}
}

// No cache can tell clients apart that are known by their address.
func TestPageOfASessionByAddressIsForNoCache(t *testing.T) {
	cfg := kit.DriverConfig(t, "memory")
	cfg.Memory.ByClientIP = true
	v := newEndpoint(t, "HTTP1", kit.NewManager(t, cfg).Middleware)
	e := v.serve(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=60")
		w.Header().Set("X-Accel-Expires", "60")
		session.FromRequest(r).Increment("n", 1)
		io.WriteString(w, "page")
	})
	assert.Equal(t, "private, no-store", e.response.Header.Get("Cache-Control"))
	assert.NotContains(t, e.response.Header, "X-Accel-Expires")
	assert.Equal(t, map[string]any{"n": 1}, v.found())
}

// Nothing can protect a page whose header has left, so the mistake is reported every time.
func TestSessionOpenedOnlyAfterTheHeaderIsReported(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		log := kit.CaptureLog(&cfg)
		m := kit.NewManager(t, cfg)
		v := newEndpoint(t, "HTTP1", m.Middleware)
		v.begin(seedBefore)
		for _, early := range []bool{true, false, false} {
			v.serve(func(w http.ResponseWriter, r *http.Request) {
				if early {
					readsBefore(session.FromRequest(r))
				}
				io.WriteString(w, "page")
				http.NewResponseController(w).Flush()
				readsBefore(session.FromRequest(r))
			})
			if early {
				assert.NotContains(t, log.Text(), "first used after")
			}
		}
		assert.EqualValues(t, 2, m.Stats().LateOpens)
		assert.Equal(t, 2, strings.Count(log.Text(), "the session was first used after the header was sent"))
		v.serve(func(w http.ResponseWriter, r *http.Request) { // nobody stores what is on a connection taken over
			hijack("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage")(w, r)
			readsBefore(session.FromRequest(r))
		})
		assert.EqualValues(t, 2, m.Stats().LateOpens)
	})
}
