package paths_test

import (
	"net/http"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
)

// Libraries for WebSockets take the connection over and write the header themselves, so a cookie cannot
// be sent. The log says so, and names what was lost.
func TestHijackSaysWhatWasLostAndWhy(t *testing.T) {
	signIn := func(s *session.Session) { s.Regenerate(); s.Set("user", "ann") }
	for _, test := range []struct {
		name, driver string
		fresh        bool
		do           func(s *session.Session)
		keys         string // as logged; "" if nothing is lost
	}{
		{name: "a new session", driver: "memory", fresh: true, do: func(s *session.Session) { s.Set("cart", 1) }, keys: "[cart]"},
		{name: "a new session that is saved", driver: "memory", fresh: true, keys: "[]",
			do: func(s *session.Session) { s.Set("cart", 1); assert.NoError(t, s.Save()) }},
		{name: "a change", driver: "memory", do: func(s *session.Session) { s.Set("cart", 1) }},
		{name: "a new token", driver: "memory", do: signIn, keys: "[user]"},
		{name: "a new token that is saved", driver: "memory", keys: "[]",
			do: func(s *session.Session) { signIn(s); assert.NoError(t, s.Save()) }},
		{name: "an end", driver: "memory", do: func(s *session.Session) { s.Destroy() }},
		{name: "a read", driver: "cookie", do: readsBefore},
		{name: "a change in a cookie", driver: "cookie", do: func(s *session.Session) { s.Set("cart", 1) }, keys: "[cart]"},
		{name: "a change in a cookie that is saved", driver: "cookie", keys: "[]",
			do: func(s *session.Session) { s.Set("cart", 1); assert.NoError(t, s.Save()) }},
		{name: "the end of a cookie", driver: "cookie", do: func(s *session.Session) { s.Destroy() }, keys: "[]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := kit.DriverConfig(t, test.driver)
			cfg.IdleTimeout = time.Hour
			log := kit.CaptureLog(&cfg)
			m := kit.NewManager(t, cfg)
			clock := kit.SetClock(m)
			v := newEndpoint(t, "HTTP1", m.Middleware)
			if !test.fresh {
				v.begin(seedBefore)
				clock.Advance(30 * time.Minute) // so that a use is to be noted
			}
			v.serve(func(w http.ResponseWriter, r *http.Request) {
				s := session.FromRequest(r)
				test.do(s)
				hijack("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage")(w, r)
				assert.Equal(t, test.keys != "", isLate(s.Err()), "%v", s.Err())
			})
			if test.keys == "" {
				assert.Empty(t, log.Text())
				return
			}
			assert.Contains(t, log.Text(), "hijacked the connection")
			assert.Contains(t, log.Text(), "keys="+test.keys)
			assert.NotContains(t, log.Text(), "after the response header")
			assert.EqualValues(t, 1, m.Stats().LateChanges)
		})
	}
}

// A client that is known by its address needs no cookie.
func TestHijackLosesNothingOfAClientKnownByItsAddress(t *testing.T) {
	cfg := kit.DriverConfig(t, "memory")
	cfg.Memory.ByClientIP = true
	log := kit.CaptureLog(&cfg)
	v := newEndpoint(t, "HTTP1", kit.NewManager(t, cfg).Middleware)
	v.serve(func(w http.ResponseWriter, r *http.Request) {
		s := session.FromRequest(r)
		s.Regenerate()
		s.Set("cart", 1)
		hijack("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage")(w, r)
		assert.NoError(t, s.Err())
	})
	assert.Equal(t, map[string]any{"cart": 1}, v.found())
	assert.Empty(t, log.Text())
}
