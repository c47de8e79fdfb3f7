package session_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

// Two messages of one request, or of two, are both shown.
func TestFlashAddAppendsToAList(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		v.Serve(redirect(func(s *session.Session) {
			s.FlashAdd("messages", "one")
			assert.Equal(t, []any{"one"}, s.Get("messages"), "in the same request")
			s.FlashAdd("messages", 2)
		}))
		v.Serve(redirect(func(s *session.Session) {
			s.FlashAdd("messages", "three")
			assert.Equal(t, []any{"one", 2, "three"}, s.Get("messages"))
		}))
		v.Visit(func(s *session.Session) {
			assert.Equal(t, []any{"one", 2, "three"}, s.Get("messages"))
			assert.Equal(t, map[string]any{"messages": []any{"one", 2, "three"}}, s.All())
			assert.True(t, s.Has("messages"))
			_, ok := session.Get[[]string](s, "messages")
			assert.False(t, ok, "2 is no string")
			typed, ok := session.Get[[]any](s, "messages")
			assert.True(t, ok)
			assert.Len(t, typed, 3)
		})
		v.Visit(func(s *session.Session) { assert.Empty(t, s.All(), "the page has shown it") })
	})
}

func TestFlashAddAndOtherOperationsOnItsKey(t *testing.T) {
	tests := []struct {
		name string
		do   func(s *session.Session) // "note" holds the flash "hello"
		want any
	}{
		{name: "a plain value becomes the first element", do: func(s *session.Session) { s.FlashAdd("note", "b") }, want: []any{"hello", "b"}},
		{name: "after Flash", do: func(s *session.Session) { s.Flash("note", "a"); s.FlashAdd("note", "b") }, want: []any{"a", "b"}},
		{name: "before Flash", do: func(s *session.Session) { s.FlashAdd("note", "b"); s.Flash("note", "a") }, want: "a"},
		{name: "two before Flash", do: func(s *session.Session) { s.FlashAdd("note", "b"); s.FlashAdd("note", "c"); s.Flash("note", "a") }, want: "a"},
		{name: "two before Delete", do: func(s *session.Session) { s.FlashAdd("note", "b"); s.FlashAdd("note", "c"); s.Delete("note") }},
		{name: "before Delete", do: func(s *session.Session) { s.FlashAdd("note", "b"); s.Delete("note") }},
		{name: "after Delete", do: func(s *session.Session) { s.Delete("note"); s.FlashAdd("note", "b") }, want: []any{"b"}},
		{name: "before ResetFlash", do: func(s *session.Session) { s.FlashAdd("note", "b"); s.ResetFlash() }},
		{name: "after ResetFlash", do: func(s *session.Session) { s.ResetFlash(); s.FlashAdd("note", "b") }, want: []any{"b"}},
		{name: "after Pull", do: func(s *session.Session) { s.Pull("note"); s.FlashAdd("note", "b") }, want: []any{"b"}},
		{name: "of a list", do: func(s *session.Session) { s.FlashAdd("note", []int{1}) }, want: []any{"hello", []any{1}}},
		{name: "of a value that cannot be encoded, deleted", do: func(s *session.Session) { s.FlashAdd("note", func() {}); s.Delete("note") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
				v := flashed(t, kit.NewManager(t, cfg))
				p := v.Serve(redirect(func(s *session.Session) {
					tt.do(s)
					assert.Equal(t, tt.want, s.Get("note"), "in the same request")
				}))
				assert.Equal(t, http.StatusFound, p.StatusCode)
				v.Visit(func(s *session.Session) { assert.Equal(t, tt.want, s.Get("note")) })
				v.Visit(func(s *session.Session) { assert.Empty(t, s.All()) })
			})
		})
	}
}

// Both requests load the session before one of them stores its message.
func TestParallelFlashAddsAreBothShown(t *testing.T) {
	eachSharedDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		v.Visit(func(s *session.Session) { s.Set("k", 1) })
		cookie := v.CookieHeader()
		v.Serve(redirect(func(s *session.Session) {
			s.Get("k")
			v.Stranger().Serve(redirect(func(s *session.Session) { s.FlashAdd("messages", "theirs") }), "Cookie", cookie)
			s.FlashAdd("messages", "mine")
		}))
		v.Visit(func(s *session.Session) { assert.Equal(t, []any{"theirs", "mine"}, s.Get("messages")) })
		v.Visit(func(s *session.Session) { assert.False(t, s.Has("messages")) })
	})
}

// A page expires the elements that it has shown, and no other.
func TestEachElementOfAFlashListExpiresByItself(t *testing.T) {
	eachSharedDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		v.Serve(redirect(func(s *session.Session) { s.FlashAdd("messages", "first") }))
		cookie := v.CookieHeader()
		v.Visit(func(s *session.Session) {
			assert.Equal(t, []any{"first"}, s.Get("messages"))
			v.Stranger().Serve(redirect(func(s *session.Session) { s.FlashAdd("messages", "meanwhile") }), "Cookie", cookie)
			s.FlashAdd("messages", "own")
		})
		v.Visit(func(s *session.Session) { assert.Equal(t, []any{"meanwhile", "own"}, s.Get("messages")) })
		v.Visit(func(s *session.Session) { assert.Empty(t, s.All()) })
	})
	t.Run("FlashTTL", func(t *testing.T) {
		kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
			m := kit.NewManager(t, withFlashTTL(cfg))
			clock := kit.SetClock(m)
			v := kit.NewVisitor(t, m)
			v.Serve(redirect(func(s *session.Session) { s.FlashAdd("messages", "first") }))
			clock.Advance(time.Second)
			v.Serve(redirect(func(s *session.Session) { s.FlashAdd("messages", "second") }))
			clock.Advance(time.Second)
			v.Serve(redirect(func(s *session.Session) { assert.Equal(t, []any{"second"}, s.Get("messages")) }))
			clock.Advance(time.Second)
			v.Serve(redirect(func(s *session.Session) { assert.Nil(t, s.Get("messages")) }))
		})
	})
	t.Run("KeepFlash", func(t *testing.T) {
		kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
			v := kit.NewVisitor(t, kit.NewManager(t, cfg))
			v.Serve(redirect(func(s *session.Session) { s.FlashAdd("messages", "a"); s.FlashAdd("messages", "b") }))
			v.Visit(func(s *session.Session) { s.KeepFlash("messages"); s.FlashAdd("messages", "c") })
			v.Visit(func(s *session.Session) { assert.Equal(t, []any{"a", "b", "c"}, s.Get("messages")) })
			v.Visit(func(s *session.Session) { assert.Empty(t, s.All()) })
		})
	})
}

// Handlers flash the errors that they get.
func TestFlashOfAnErrorIsItsText(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		cause := errors.New("no room left")
		v.Serve(redirect(func(s *session.Session) {
			s.Flash("plain", cause)
			s.Flash("wrapped", fmt.Errorf("order: %w", cause))
			s.Flash("joined", errors.Join(cause, cause))
			s.FlashAdd("list", cause)
		}))
		v.Visit(func(s *session.Session) {
			assert.Equal(t, map[string]any{
				"plain": "no room left", "wrapped": "order: no room left", "joined": "no room left\nno room left", "list": []any{"no room left"},
			}, s.All())
		})
	})
}

// withFlashTTL gives every driver a clock of two seconds for its flash.
func withFlashTTL(cfg session.Config) session.Config {
	cfg.Memory.FlashTTL, cfg.Cookie.FlashTTL, cfg.Redis.FlashTTL = 2*time.Second, 2*time.Second, 2*time.Second
	return cfg
}

func TestFlashTTLExpiresFlashByTheServersClock(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, withFlashTTL(cfg))
		clock := kit.SetClock(m)
		v := flashed(t, m)
		clock.Advance(2*time.Second - time.Millisecond)
		assert.True(t, has(v), "just before")
		clock.Advance(time.Millisecond)
		assert.False(t, has(v), "after two seconds")
		v.Visit(func(s *session.Session) {
			assert.Nil(t, s.Get("note"))
			assert.Empty(t, s.All())
			assert.False(t, s.Delete("note"))
		})
	})
}

func TestFlashTTLIsOffByDefault(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		clock := kit.SetClock(m)
		v := flashed(t, m)
		clock.Advance(59 * time.Minute)
		assert.True(t, has(v), "a page that comes late has its message")
	})
}

func TestFlashTTLCountsFromTheCommit(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, withFlashTTL(cfg))
		clock := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) {
			s.Flash("note", "hello")
			clock.Advance(10 * time.Second)
			assert.Equal(t, "hello", s.Get("note"), "never in the request that set it")
		})
		clock.Advance(2*time.Second - time.Millisecond)
		assert.True(t, has(v))
	})
}

func TestFlashTTLIsJudgedOnceARequest(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, withFlashTTL(cfg))
		clock := kit.SetClock(m)
		v := flashed(t, m)
		clock.Advance(time.Second)
		v.Visit(func(s *session.Session) {
			assert.True(t, s.Has("note"))
			clock.Advance(time.Minute)
			assert.Equal(t, "hello", s.Get("note"), "a template that asked if it is there also gets it")
		})
	})
}

func TestKeptFlashStartsItsClockAnew(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, withFlashTTL(cfg))
		clock := kit.SetClock(m)
		v := flashed(t, m)
		clock.Advance(1500 * time.Millisecond)
		v.Visit(func(s *session.Session) { s.Reflash() })
		clock.Advance(1500 * time.Millisecond)
		assert.True(t, has(v), "three seconds after it was set")
		clock.Advance(500 * time.Millisecond)
		v.Visit(func(s *session.Session) { s.Reflash() })
		assert.False(t, has(v), "expired flash cannot be kept")
	})
}

func TestExpiredFlashTTLNoLongerHidesData(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, withFlashTTL(cfg))
		clock := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { s.Set("k", "data"); s.Flash("k", "flash") })
		clock.Advance(2 * time.Second)
		v.Visit(func(s *session.Session) { assert.Equal(t, "data", s.Get("k")) })
	})
}

func TestFlashPastItsTTLIsRemovedByTheNextPage(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, withFlashTTL(cfg))
		clock := kit.SetClock(m)
		v := flashed(t, m)
		clock.Advance(time.Minute)
		p := v.Serve(answer(http.StatusOK))
		assert.Equal(t, -1, p.Cookie("s_"+cfg.Default+"_f").MaxAge)
		loads := m.Stats().Loads
		v.Serve(answer(http.StatusOK))
		assert.Equal(t, loads, m.Stats().Loads)
	})
}
