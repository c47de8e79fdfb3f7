package session_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/casstore"
	"example.com/session/internal/redistest"
)

// fromEval makes a proxy do something to a driver's commands, from the n-th on, as many as asked.
func fromEval(p *redistest.Proxy, n, times int, fault redistest.Fault) {
	var seen atomic.Int64
	p.Set(func(command []string) redistest.Fault {
		if !strings.HasPrefix(command[0], "EVAL") {
			return redistest.Fault{}
		}
		if i := int(seen.Add(1)); i < n || i >= n+times {
			return redistest.Fault{}
		}
		return fault
	})
}

// The retiring of the old token is the third command of a request that regenerates.
const retiring = 3

func TestRegenerateAsksUntilItKnowsThatTheOldTokenEnded(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := redistest.NewProxy(t, server.Addr())
	o := newOutageTest(t, server, behind(p))
	for _, fault := range []redistest.Fault{{Lose: true}, {Reply: "-LOADING Redis is loading"}} {
		require.Equal(t, http.StatusOK, o.browser.do(http.MethodPost, "/login").StatusCode) // its scripts are known
		fromEval(p, retiring, 5, fault)
		assert.Equal(t, http.StatusOK, o.browser.do(http.MethodPost, "/login").StatusCode)
		p.Set(nil)
		o.assertServes()
		assert.Equal(t, 1, liveSessions(t, server))
	}
}

// In the end nobody knows whether the old token opens anything. The new one does.
func TestRegenerateWithoutAnAnswerSignsNobodyOut(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		fault redistest.Fault
		live  int
	}{
		{name: "done", fault: redistest.Fault{Lose: true}, live: 1},
		{name: "not done", fault: redistest.Fault{Reply: "-LOADING Redis is loading"}, live: 2}, // the old one, until it expires
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			p := redistest.NewProxy(t, server.Addr())
			o := newOutageTest(t, server, func(cfg *session.Config) {
				behind(p)(cfg)
				cfg.StoreTimeout = 300 * time.Millisecond
			})
			require.Equal(t, "1", o.browser.get("/count").body)
			require.Equal(t, http.StatusOK, o.browser.do(http.MethodPost, "/login").StatusCode) // its scripts are known
			fromEval(p, retiring, 1<<30, test.fault)
			answer := o.browser.do(http.MethodPost, "/login")
			assert.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
			require.NotNil(t, answer.cookie("s_redis"), "the new token is not told")
			assert.Positive(t, answer.cookie("s_redis").MaxAge)
			p.Set(nil)
			o.assertServes()
			assert.Equal(t, "2", o.browser.get("/count").body)
			assert.Equal(t, test.live, liveSessions(t, server))
		})
	}
}

// Where a handler signs out after such a Save, neither token opens anything.
func TestDestroyAfterARegenerateWithoutAnAnswerEndsBothTokens(t *testing.T) {
	t.Parallel()
	for _, fault := range []redistest.Fault{{Lose: true}, {Reply: "-LOADING Redis is loading"}} {
		server := redistest.Start(t)
		p := redistest.NewProxy(t, server.Addr())
		v := newVisitor(t, newManager(t, session.Config{Default: "redis", Logger: quiet, StoreTimeout: 300 * time.Millisecond,
			Redis: session.RedisConfig{Host: p.Host(), Port: p.Port()}}))
		v.visit(func(s *session.Session) { s.Set("user", "ann"); s.Regenerate() })
		v.visit(func(s *session.Session) { s.Regenerate() })
		answer := v.visit(func(s *session.Session) {
			s.Open()
			s.Regenerate()
			fromEval(p, retiring-1, 1<<30, fault)
			assert.ErrorIs(t, s.Save(), session.ErrUnavailable)
			p.Set(nil)
			s.Destroy()
		})
		assert.Equal(t, http.StatusOK, answer.StatusCode)
		assert.Zero(t, liveSessions(t, server), "a token outlives the sign-out")
	}
}

// A brokenStore fails at some updates, from the n-th on, after it has done them or without.
type brokenStore struct {
	session.Store
	n, seen int
	done    bool
}

var errBroken = errors.New("broken")

func (s *brokenStore) Update(ctx context.Context, id string, change func([]byte) (session.Entry, error)) error {
	if s.seen++; s.n == 0 || s.seen < s.n {
		return s.Store.Update(ctx, id, change)
	}
	if s.done {
		s.Store.Update(ctx, id, change)
	}
	return errBroken
}

func TestRegenerateWithoutAnAnswerOfAStoreSignsNobodyOut(t *testing.T) {
	for _, done := range []bool{true, false} {
		store := &brokenStore{Store: new(casstore.Store), done: done}
		v := newVisitor(t, newManager(t, session.Config{Default: "d", Logger: quiet,
			Drivers: map[string]session.Driver{"d": session.StoreDriver(store)}}))
		v.visit(func(s *session.Session) { s.Increment("n", 1) })
		answer := v.visit(func(s *session.Session) {
			s.Open()
			s.Regenerate()
			s.Increment("n", 1)
			store.n, store.seen = 2, 0
		})
		assert.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
		store.n = 0
		v.visit(func(s *session.Session) { assert.Equal(t, 2, s.GetInt("n"), fmt.Sprint(done)) })

		answer = v.visit(func(s *session.Session) {
			s.Open()
			s.Regenerate()
			store.n, store.seen = 1, 0
		})
		assert.Empty(t, answer.Cookies(), "a token that may open nothing was sent")
		store.n = 0
		v.visit(func(s *session.Session) { assert.Equal(t, 2, s.GetInt("n")) })
	}
}

// The copy of a rotation that had no answer is of what the session was then. Sent again, the
// rotation finds what others have saved meanwhile.
func TestRegenerateSentAgainKeepsWhatOthersSavedMeanwhile(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := redistest.NewProxy(t, server.Addr())
	m := newManager(t, session.Config{Default: "redis", Logger: quiet, StoreTimeout: 300 * time.Millisecond,
		Redis: session.RedisConfig{Host: p.Host(), Port: p.Port()}})
	var b *browser
	b = newBrowser(t, routes{
		"/warm": func(_ http.ResponseWriter, _ *http.Request, s *session.Session) {
			s.Set("begun", true)
			require.NoError(t, s.Save())
			s.Regenerate()
		},
		"/other": func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Increment("others", 1) },
		"/rotate": func(_ http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Set("saved", true)
			s.Open()
			from := retiring - 1
			if r.FormValue("saves") != "" {
				require.NoError(t, s.Save()) // from here on what it knows of the session is worked out,
				from = retiring              // and a rotation asks first
			}
			s.Regenerate()
			fromEval(p, from, 1<<30, redistest.Fault{Reply: "-LOADING Redis is loading"})
			assert.ErrorIs(t, s.Save(), session.ErrUnavailable)
			p.Set(nil)
			require.Equal(t, http.StatusOK, b.get("/other").StatusCode)
			assert.NoError(t, s.Save())
		},
		"/read": showAll,
	}.under(m))
	b.get("/warm") // its scripts are known
	b.get("/other")
	assert.Equal(t, http.StatusOK, b.get("/rotate").StatusCode)
	assert.Equal(t, "map[begun:true others:2 saved:true]", b.get("/read").body)
	assert.Equal(t, http.StatusOK, b.get("/rotate?saves=1").StatusCode)
	assert.Equal(t, "map[begun:true others:3 saved:true]", b.get("/read").body)
	assert.Equal(t, 1, liveSessions(t, server))
}
