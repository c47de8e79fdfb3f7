package races_test

import (
	"sync/atomic"
	"testing"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A request has loaded its session, another tab signs out, and the request calls Regenerate while
// redis gives no answer from some command on, or to one command only.
func TestRegenerateWithoutAnAnswerDoesNotReviveASessionThatWasSignedOut(t *testing.T) {
	t.Parallel()
	server := redistest.Shared(t)
	namespace := kit.Namespace(t)
	near := newService(t, redisThrough(redistest.NewProxy(t, server.Addr()), namespace))
	p := redistest.NewProxy(t, server.Addr())
	s := newService(t, redisThrough(p, namespace))
	for _, all := range []bool{false, true} {
		for at := range int64(4) {
			token := s.signIn("ann")
			answer := s.ask(token, func(own *session.Session) {
				own.Open()
				assert.Equal(t, 200, near.ask(token, (*session.Session).Logout).Code)
				own.Set("late", true)
				own.Regenerate()
				var n atomic.Int64
				p.Set(func([]string) redistest.Fault {
					i := n.Add(1) - 1
					return redistest.Fault{Lose: i == at || all && i > at}
				})
			})
			p.Set(nil)
			if fresh := s.token(answer); fresh != "" {
				assert.Empty(t, near.open(fresh).handle, "command %d: a cookie that opens went out", at)
			}
			assert.Empty(t, near.open(token).handle)
			assert.Zero(t, near.sessions("ann"))
		}
	}
}

// EndAll of another process comes before any command of a sign-in, of which one gets no answer.
func TestEndAllAtAnyPointOfASignInWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	server := redistest.Shared(t)
	namespace := kit.Namespace(t)
	near := newService(t, redisThrough(redistest.NewProxy(t, server.Addr()), namespace))
	p := redistest.NewProxy(t, server.Addr())
	s := newService(t, redisThrough(p, namespace))
	s.begin() // connects, and teaches the server the scripts
	s.signIn("bob")
	for ends := range int64(5) {
		for lost := range int64(5) {
			token := s.begin()
			var n atomic.Int64
			var endErr error
			p.Set(func([]string) redistest.Fault {
				i := n.Add(1) - 1
				if i == ends {
					endErr = near.manager.EndAll(t.Context(), "ann")
				}
				return redistest.Fault{Lose: i >= lost}
			})
			answer := s.ask(token, func(own *session.Session) { own.Login("ann") })
			p.Set(nil)
			require.NoError(t, endErr)
			if fresh := s.token(answer); fresh != "" && near.open(fresh).user != "" {
				assert.Equal(t, 1, near.sessions("ann"), "a session that lives is not listed")
			}
			require.NoError(t, near.manager.EndAll(t.Context(), "ann"))
			assert.Zero(t, near.sessions("ann"))
			if fresh := s.token(answer); fresh != "" {
				assert.Empty(t, near.open(fresh).user, "EndAll before command %d, no answer from %d: the sign-in outlives a second EndAll", ends, lost)
			}
			assert.Empty(t, near.open(token).user)
		}
	}
}
