package races_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/hooks"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// skewed returns a process on a redis server whose clock is wrong by skew. Its manager is given the
// wrong time, and so, through a proxy, is the driver that compares the server's clock with its own.
func skewed(t *testing.T, server *redistest.Server, namespace string, clock *kit.Clock, skew time.Duration) *service {
	t.Helper()
	p := redistest.NewProxy(t, server.Addr())
	p.Set(func(command []string) redistest.Fault {
		if command[0] != "TIME" {
			return redistest.Fault{}
		}
		now := time.Now().Add(-skew)
		seconds, micros := strconv.FormatInt(now.Unix(), 10), strconv.Itoa(now.Nanosecond()/1000)
		return redistest.Fault{Reply: fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$%d\r\n%s", len(seconds), seconds, len(micros), micros)}
	})
	cfg := redisThrough(p, namespace)
	cfg.Redis.FlashTTL = 2 * time.Second
	s := newService(t, cfg)
	hooks.SetClock(s.manager, func() time.Time { return clock.Now().Add(skew) })
	return s
}

// onSkewedClocks runs a test with two processes whose clocks are apart, either of them ahead.
func onSkewedClocks(t *testing.T, test func(t *testing.T, a, b *service, clock *kit.Clock)) {
	t.Helper()
	server := redistest.Shared(t)
	for _, skew := range []time.Duration{0, 3 * time.Second, 6 * time.Second, 30 * time.Second, 2 * time.Minute} {
		for _, sign := range []time.Duration{-1, 1} {
			if skew == 0 && sign < 0 {
				continue
			}
			t.Run((sign * skew).String(), func(t *testing.T) {
				t.Parallel()
				namespace := kit.Namespace(t)
				clock := kit.SetClock(newService(t, kit.DriverConfig(t, "memory")).manager)
				test(t, skewed(t, server, namespace, clock, sign*skew), skewed(t, server, namespace, clock, 0), clock)
			})
		}
	}
}

func TestEndAllWithClocksApart(t *testing.T) {
	t.Parallel()
	onSkewedClocks(t, func(t *testing.T, a, b *service, clock *kit.Clock) {
		before := b.signIn("ann")
		clock.Advance(100 * time.Millisecond)
		visitor := b.begin()
		late := b.ask(visitor, func(own *session.Session) { // under way
			clock.Advance(100 * time.Millisecond)
			require.NoError(t, a.manager.EndAll(t.Context(), "ann"))
			clock.Advance(100 * time.Millisecond)
			own.Login("ann")
		})
		if token := b.token(late); token != "" {
			assert.Empty(t, a.open(token).user, "a sign-in that was under way outlives EndAll")
		}
		assert.Empty(t, a.open(before).user)
		assert.Zero(t, b.sessions("ann"))

		clock.Advance(100 * time.Millisecond)
		again := b.signIn("ann")
		assert.Equal(t, "ann", a.open(again).user, "a sign-in elsewhere, after EndAll")
		assert.Equal(t, "ann", b.open(a.signIn("ann")).user)
		assert.Equal(t, 2, a.sessions("ann"))
		assert.Equal(t, 2, b.sessions("ann"))
	})
}

func TestLateRequestBesideASignInWithClocksApart(t *testing.T) {
	t.Parallel()
	onSkewedClocks(t, func(t *testing.T, a, b *service, clock *kit.Clock) {
		token := b.begin()
		fresh := ""
		late := b.ask(token, func(own *session.Session) {
			clock.Advance(time.Second)
			fresh = a.token(a.ask(token, func(own *session.Session) { own.Login("ann") }))
			clock.Advance(time.Second)
			own.Set("late", true)
		})
		assert.Empty(t, b.token(late), "a request that was under way began a session")
		clock.Advance(2 * time.Second)
		assert.Empty(t, b.token(b.ask(token, func(own *session.Session) { own.Set("late", true) })),
			"a request two seconds after the sign-in may have been sent before it")
		clock.Advance(4 * time.Second)
		assert.NotEmpty(t, b.token(b.ask(token, func(own *session.Session) { own.Set("a", 1) })),
			"a request six seconds after the sign-in begins a session of its own")
		p := b.open(fresh)
		assert.Equal(t, "ann", p.user)
		assert.True(t, p.cart)
		assert.NotContains(t, p.keys, "late")
	})
}

func TestFlashTTLWithClocksApart(t *testing.T) {
	t.Parallel()
	onSkewedClocks(t, func(t *testing.T, a, b *service, clock *kit.Clock) {
		token := b.begin()
		shows := func(s *service) (shown bool) {
			s.ask(token, func(own *session.Session) { shown = own.Has("notice"); own.KeepFlash() })
			return shown
		}
		flash := func(s *service) {
			s.ask(token, func(own *session.Session) { own.Flash("notice", "Saved") })
		}
		for _, servers := range [][2]*service{{a, b}, {b, a}} {
			flash(servers[0])
			clock.Advance(1500 * time.Millisecond)
			assert.True(t, shows(servers[1]), "within two seconds")
			clock.Advance(2500 * time.Millisecond)
			assert.False(t, shows(servers[1]), "after two seconds")
		}
	})
}

func TestListOfDevicesWithClocksApart(t *testing.T) {
	t.Parallel()
	onSkewedClocks(t, func(t *testing.T, a, b *service, clock *kit.Clock) {
		a.signIn("ann")
		clock.Advance(time.Second)
		last := b.signIn("ann")
		clock.Advance(time.Minute)
		for _, s := range []*service{a, b} {
			infos, err := s.manager.Sessions(t.Context(), "ann")
			require.NoError(t, err)
			require.Len(t, infos, 2)
			assert.Equal(t, b.open(last).handle, infos[0].Handle, "the last used comes first")
			assert.InDelta(t, time.Second, infos[0].AuthenticatedAt.Sub(infos[1].AuthenticatedAt), float64(500*time.Millisecond))
		}
	})
}
