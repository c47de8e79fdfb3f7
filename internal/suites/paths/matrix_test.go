package paths_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A state is what a handler does to its session before it leaves.
type state struct {
	name  string
	fresh bool // no session comes with the request
	do    func(s *session.Session)
	loads bool // the store fails at load
	saves bool // the store fails at save
}

var states = []state{
	{name: "new", fresh: true, do: func(s *session.Session) { s.Set("now", "new") }},
	{name: "changed", do: func(s *session.Session) { s.Set("now", "changed") }},
	{name: "unchanged", do: func(s *session.Session) { s.Get("before") }},
	{name: "regenerated", do: func(s *session.Session) { s.Regenerate(); s.Set("now", "regenerated") }},
	{name: "destroyed", do: func(s *session.Session) { s.Destroy() }},
	{name: "flash", do: func(s *session.Session) { s.Get("message") }},
	{name: "open fails", loads: true, do: func(s *session.Session) { s.Get("before") }},
	{name: "save fails", saves: true, do: func(s *session.Session) { s.Set("now", strings.Repeat("too big for a cookie", 250)) }},
}

// A cellOutcome is what a request must have led to.
type cellOutcome struct {
	torn    bool // the connection broke without an answer
	failure int  // status of the error answer in place of the handler's
	token   bool // the session's cookie is set anew
	data    bool // the cookie with its values is set anew
	cleared bool // the session's cookie is cleared
	late    bool // the session says ErrLateChange
	next    map[string]any
	old     map[string]any // what the cookie that was sent still opens
}

// A cell is one combination of the matrix.
type cell struct {
	exit
	state
	driver string
	http2  bool
}

func (c cell) sealed() bool   { return c.driver == "cookie" }
func (c cell) hijacked() bool { return c.bare && !c.http2 }

// seed is what the session of a cell holds before.
func (c cell) seed() map[string]any {
	switch {
	case c.fresh:
		return map[string]any{}
	case c.state.name == "flash":
		return map[string]any{"before": "b", "message": "saved"}
	}
	return map[string]any{"before": "b"}
}

// with returns the seed and what the handler stored.
func (c cell) with() map[string]any {
	all := c.seed()
	all["now"] = c.state.name
	return all
}

// want is the matrix itself.
func (c cell) want() cellOutcome {
	same := cellOutcome{next: c.seed(), old: c.seed()}
	switch {
	case c.panics:
		same.torn = true
		return same
	case c.loads, c.saves && !(c.hijacked() && c.sealed()):
		same.failure = http.StatusServiceUnavailable
		if c.saves && c.sealed() {
			same.failure = http.StatusInternalServerError
		}
		return same
	case c.hijacked():
		return c.wantHijacked(same)
	}
	empty := map[string]any{}
	switch c.state.name {
	case "new":
		return cellOutcome{token: true, data: c.sealed(), next: c.with(), old: empty}
	case "changed":
		o := cellOutcome{data: c.sealed(), next: c.with(), old: c.with()}
		if c.sealed() {
			o.old = c.seed()
		}
		return o
	case "regenerated":
		o := cellOutcome{token: true, data: c.sealed(), next: c.with(), old: empty}
		if c.sealed() { // a copied cookie opens until it expires
			o.old = c.seed()
		}
		return o
	case "destroyed":
		return cellOutcome{cleared: true, next: empty, old: empty}
	case "flash":
		if c.status == http.StatusOK {
			o := cellOutcome{data: c.sealed(), next: map[string]any{"before": "b"}, old: map[string]any{"before": "b"}}
			if c.sealed() {
				o.old = c.seed()
			}
			return o
		}
	}
	return same
}

// wantHijacked is want for a connection that was taken over before the header was sent. What needs no
// cookie is stored, and the rest is reported.
func (c cell) wantHijacked(same cellOutcome) cellOutcome {
	switch c.state.name {
	case "new", "regenerated", "save fails":
		same.late = true
	case "changed":
		if c.sealed() {
			same.late = true
			return same
		}
		return cellOutcome{next: c.with(), old: c.with()}
	case "destroyed":
		return cellOutcome{late: c.sealed(), next: map[string]any{}, old: map[string]any{}}
	}
	return same
}

func TestEveryPathOutOfAHandlerCommitsBeforeTheFirstByte(t *testing.T) {
	for _, driver := range kit.DriverNames {
		for _, protocol := range protocols {
			for _, state := range states {
				t.Run(driver+"/"+protocol+"/"+state.name, func(t *testing.T) {
					t.Parallel()
					for _, exit := range exits {
						if exit.http1 && protocol == "HTTP2" {
							continue // RFC 9113, section 8.6
						}
						c := cell{exit: exit, state: state, driver: driver, http2: protocol == "HTTP2"}
						t.Run(exit.name, func(t *testing.T) { c.test(t, newStage(t, c, protocol)) })
					}
				})
			}
		}
	}
}

// A stage is an endpoint whose store can be made to fail.
type stage struct {
	*endpoint
	cookie  string // name of the session's
	faults  *kit.FaultyDriver
	manager *session.Manager
	clock   *kit.Clock
}

func newStage(t *testing.T, c cell, protocol string) *stage {
	cfg := kit.DriverConfig(t, c.driver)
	g := new(stage)
	if (c.loads || c.saves) && !c.sealed() {
		g.faults = kit.WithFaults(t, &cfg)
	}
	g.cookie = "s_" + cfg.Default
	g.manager = kit.NewManager(t, cfg)
	g.clock = kit.SetClock(g.manager)
	g.endpoint = newEndpoint(t, protocol, g.manager.Middleware)
	return g
}

func (c cell) test(t *testing.T, g *stage) {
	if !c.fresh {
		g.begin(func(s *session.Session) {
			s.Set("before", "b")
			if c.state.name == "flash" {
				s.Flash("message", "saved")
			}
		})
		g.clock.Advance(time.Second)
		g.found() // the first use of a session is always noted
	}
	before := g.manager.Stats()
	got, sessionErr := c.act(t, g)
	saves := g.manager.Stats().Saves - before.Saves
	want := c.want()

	c.checkAnswer(t, g, got, want)
	assert.NotContains(t, g.log.Text(), "superfluous")
	assert.Equal(t, want.late, isLate(sessionErr), "Err: %v", sessionErr)
	if c.state.name == "unchanged" {
		assert.Zero(t, saves, "a session that did not change was saved")
	}
	if c.loads && c.sealed() {
		return // the manager is closed
	}
	assert.Equal(t, want.next, g.found(), "what the next request finds")
	assert.Equal(t, want.old, g.withCookies(got.sent).found(), "what the cookies before still open")
}

// act sends the request of a cell and returns the session's Err after the handler left.
func (c cell) act(t *testing.T, g *stage) (got exchange, sessionErr error) {
	switch {
	case c.loads && c.sealed(): // it has no store that could fail
		require.NoError(t, g.manager.Close())
	case c.loads:
		g.faults.Break("load")
	case c.saves && !c.sealed():
		g.faults.Break("save")
	}
	got = g.serve(func(w http.ResponseWriter, r *http.Request) {
		s := session.FromRequest(r)
		w.Header().Set("Etag", `"handler"`)
		c.do(s)
		defer func() { sessionErr = s.Err() }()
		c.leave(w, r)
	})
	if g.faults != nil {
		g.faults.Mend()
	}
	return got, sessionErr
}

func (c cell) checkAnswer(t *testing.T, g *stage, got exchange, want cellOutcome) {
	t.Helper()
	c.checkEarly(t, got)
	if want.torn {
		assert.Error(t, got.err)
		assert.Nil(t, got.response)
		assert.Empty(t, got.raw, "bytes went out before the panic")
		return
	}
	require.NoError(t, got.err)
	require.NotNil(t, got.response)
	if want.failure != 0 {
		c.checkFailure(t, got, want.failure)
		return
	}
	assert.Equal(t, c.status, got.status())
	if c.body != "" || c.status == http.StatusOK {
		assert.Equal(t, c.body, got.body)
	}
	c.checkCookies(t, g, got, want)
	if !c.hijacked() {
		assert.Equal(t, []string{"Cookie"}, got.response.Header["Vary"])
		assert.Equal(t, []string{"private, no-cache"}, got.response.Header["Cache-Control"])
	}
}

// checkEarly looks at a 1xx response: the final one may still become an error answer.
func (c cell) checkEarly(t *testing.T, got exchange) {
	t.Helper()
	if !c.early {
		assert.Empty(t, got.early)
		return
	}
	require.Len(t, got.early, 1)
	assert.Contains(t, got.early[0], "Link")
	for _, field := range []string{"Set-Cookie", "Vary", "Cache-Control"} {
		assert.NotContains(t, got.early[0], field)
	}
}

func (c cell) checkFailure(t *testing.T, got exchange, status int) {
	t.Helper()
	assert.Equal(t, status, got.status())
	assert.Equal(t, http.StatusText(status)+"\n", got.body)
	assert.Equal(t, int64(len(got.body)), got.response.ContentLength)
	assert.Equal(t, []string{"no-store"}, got.response.Header["Cache-Control"])
	for _, own := range []string{"page", "handler", "elsewhere", "Set-Cookie"} {
		assert.NotContains(t, got.final, own, "the handler's answer leaks into the error answer")
	}
}

// checkCookies looks at the Set-Cookie lines. A cookie is cleared under all the attributes that it may
// have been set with, by a line each.
func (c cell) checkCookies(t *testing.T, g *stage, got exchange, want cellOutcome) {
	t.Helper()
	lines := make(map[string][]*http.Cookie)
	for _, cookie := range got.response.Cookies() {
		lines[cookie.Name] = append(lines[cookie.Name], cookie)
	}
	assert.Equal(t, want.token || want.cleared, len(lines[g.cookie]) > 0, "lines of the session: %v", lines)
	hint := c.state.name == "flash" && c.status == http.StatusOK && !c.hijacked()
	assert.Equal(t, hint, len(lines[g.cookie+"_f"]) == 1, "the hint goes with the flash: %v", lines)
	for _, cookie := range lines[g.cookie] {
		assert.Equal(t, want.cleared, cookie.MaxAge < 0)
	}
	if data := (kit.Page{Response: got.response}).DataCookie(); want.data {
		require.NotNil(t, data)
		assert.Equal(t, c.http2, data.Secure)
		assert.NotContains(t, got.sent, data.Value, "data that the client has are repeated")
	} else {
		assert.Nil(t, data)
	}
	if want.token {
		require.Len(t, lines[g.cookie], 1)
		assert.Equal(t, c.http2, lines[g.cookie][0].Secure)
		assert.NotContains(t, got.sent, lines[g.cookie][0].Value, "a token that the client has is repeated")
	}
	assert.Equal(t, len(got.response.Cookies()), strings.Count(got.raw, "Set-Cookie: "), "on the wire:\n%s", got.raw)
}

func TestEveryPathOutOfAHandlerAnswers503WhileRedisIsDown(t *testing.T) {
	server := redistest.Start(t)
	cfg := kit.DriverConfig(t, "memory")
	cfg.Default, cfg.Redis = "redis", session.RedisConfig{Host: server.Host(), Port: server.Port()}
	m := kit.NewManager(t, cfg)
	var endpoints []*endpoint
	for _, protocol := range protocols {
		v := newEndpoint(t, protocol, m.Middleware)
		v.begin(func(s *session.Session) { s.Set("before", "b") })
		endpoints = append(endpoints, v)
	}
	server.Stop()
	for _, v := range endpoints {
		for _, exit := range exits {
			if exit.panics || exit.http1 && v.http2 {
				continue
			}
			c := cell{exit: exit, http2: v.http2}
			got := v.serve(func(w http.ResponseWriter, r *http.Request) {
				session.FromRequest(r).Set("now", 1)
				w.Header().Set("Etag", `"handler"`)
				c.leave(w, r)
			})
			require.NoError(t, got.err, exit.name)
			c.checkFailure(t, got, http.StatusServiceUnavailable)
			free := v.serve(c.leave)
			assert.Equal(t, c.status, free.status(), "%s: a request that does not use its session fails", exit.name)
		}
	}
	server.Restart(t)
	for _, v := range endpoints {
		assert.NotContains(t, v.found(), "now")
	}
}
