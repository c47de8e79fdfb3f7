package redistest_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/internal/redistest"
)

// onSet is the fault of SET commands.
func onSet(f redistest.Fault) func([]string) redistest.Fault {
	return func(command []string) redistest.Fault {
		if command[0] == "SET" {
			return f
		}
		return redistest.Fault{}
	}
}

func dialProxy(t *testing.T, p *redistest.Proxy) redis.Conn {
	t.Helper()
	c, err := redis.Dial("tcp", p.Addr(), redis.DialReadTimeout(200*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestProxyPassesEveryKindOfReply(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := dialProxy(t, redistest.NewProxy(t, s.Addr()))
	for _, script := range []string{
		"return 7", "return 'a\\r\\nb'", "return {1, {'x', {}}, false}", "return redis.status_reply('FINE')", "return false",
	} {
		want, err := s.Conn(t).Do("EVAL", script, 0)
		require.NoError(t, err)
		got, err := c.Do("EVAL", script, 0)
		require.NoError(t, err)
		assert.Equal(t, want, got, script)
	}
	_, err := c.Do("NONSENSE")
	assert.ErrorContains(t, err, "unknown command")
}

func TestProxyLosesTheReplyOfACommandThatWasExecuted(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	p.Set(onSet(redistest.Fault{Lose: true}))
	_, err := dialProxy(t, p).Do("SET", "a", 1)
	assert.Error(t, err)
	assert.Equal(t, []string{"a"}, s.Keys(t))
}

func TestProxyAnswersInTheServersPlace(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	c := dialProxy(t, p)
	p.Set(onSet(redistest.Fault{Reply: "-LOADING Redis is loading"}))
	_, err := c.Do("SET", "a", 1)
	assert.Equal(t, redis.Error("LOADING Redis is loading"), err)
	p.Set(nil)
	_, err = c.Do("SET", "b", 1)
	require.NoError(t, err)
	assert.Equal(t, []string{"b"}, s.Keys(t))
}

func TestProxyHangsAndDelays(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	p.Set(onSet(redistest.Fault{Hang: true}))
	_, err := dialProxy(t, p).Do("SET", "a", 1)
	assert.ErrorContains(t, err, "timeout")

	p.Set(onSet(redistest.Fault{Delay: 50 * time.Millisecond}))
	begin := time.Now()
	_, err = dialProxy(t, p).Do("SET", "b", 1)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, time.Since(begin), 50*time.Millisecond)
	assert.Equal(t, []string{"b"}, s.Keys(t))
}

func TestProxyLeadsNewConnectionsElsewhere(t *testing.T) {
	t.Parallel()
	old, fresh := redistest.Start(t), redistest.Start(t)
	p := redistest.NewProxy(t, old.Addr())
	before := dialProxy(t, p)
	_, err := before.Do("SET", "a", 1)
	require.NoError(t, err)

	p.Lead(fresh.Addr())
	_, err = before.Do("SET", "b", 1)
	require.NoError(t, err)
	_, err = dialProxy(t, p).Do("SET", "c", 1)
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b"}, old.Keys(t))
	assert.Equal(t, []string{"c"}, fresh.Keys(t))

	p.Cut()
	_, err = before.Do("PING")
	assert.Error(t, err)
}

func TestProxyShowsWholeCommands(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	var seen atomic.Pointer[[]string]
	p.Set(func(command []string) redistest.Fault {
		seen.Store(&command)
		return redistest.Fault{}
	})
	_, err := dialProxy(t, p).Do("SET", "a", "", "EX", 60)
	require.NoError(t, err)
	assert.Equal(t, []string{"SET", "a", "", "EX", "60"}, *seen.Load())
}
