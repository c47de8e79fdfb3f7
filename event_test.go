package session_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

// ASVS 16.3.3; OWASP Session Management Cheat Sheet, "Logging Sessions Life Cycle".
func TestEachTurnInTheLifeOfASessionIsAnEvent(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.MaxPerUser, cfg.Lifetime = 1, 90*time.Minute
		book := kit.RecordEvents(&cfg)
		m := kit.NewManager(t, cfg)
		c := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { s.Set("a", 1) })
		assert.Equal(t, "created", book.Kinds())
		c.Advance(time.Second)
		v.Visit(func(s *session.Session) { s.Get("a") })
		assert.Equal(t, "opened", book.Kinds())
		c.Advance(10 * time.Minute) // long enough for every driver to note the use
		v.Visit(func(s *session.Session) { s.Get("a") })
		book.Take()
		v.Visit(func(s *session.Session) { s.Get("a") })
		assert.Empty(t, book.Kinds(), "it is opened for the first time only once")

		v.Visit(func(s *session.Session) { s.Login("ann") })
		var handle string
		v.Visit(func(s *session.Session) { handle = s.Handle() })
		login := session.Event{Kind: session.EventLogin, Time: c.Now(), Driver: cfg.Default, Handle: handle, User: "ann"}
		regenerated := login
		regenerated.Kind = session.EventRegenerated
		events := book.Take()
		require.GreaterOrEqual(t, len(events), 2)
		assert.Equal(t, []session.Event{regenerated, login}, events[:2])

		other := v.Stranger()
		other.Visit(func(s *session.Session) { s.Login("ann") })
		events = book.Take()
		require.Len(t, events, 3)
		assert.Equal(t, session.Event{Kind: session.EventEnded, Time: c.Now(), Driver: cfg.Default, Handle: handle,
			User: "ann", Reason: "max_per_user"}, events[0])
		assert.Equal(t, session.EventCreated, events[1].Kind)
		assert.Equal(t, session.EventLogin, events[2].Kind)
		handle = events[2].Handle
		other.Visit(func(s *session.Session) { s.Logout() }) // it was not opened
		assert.Equal(t, []session.Event{{Kind: session.EventEnded, Time: c.Now(), Driver: cfg.Default, Handle: handle,
			User: "ann", Reason: "logout"}}, book.Take())
		other.Visit(func(s *session.Session) { s.Set("a", 1); s.Save(); s.Destroy() })
		assert.Equal(t, "created ended:destroy", book.Kinds())

		v.Visit(func(s *session.Session) { s.Login("ann") })
		book.Take()
		v.Visit(func(s *session.Session) { s.Login("bob") })
		assert.Contains(t, book.Kinds(), "created login ended:login")
		require.NoError(t, m.EndAll(t.Context(), "bob"))
		assert.Equal(t, "ended:all", book.Kinds())
		login2 := func() { v.Stranger().Visit(func(s *session.Session) { s.Login("bob") }) }
		login2()
		infos, err := m.Sessions(t.Context(), "bob")
		require.NoError(t, err)
		require.Len(t, infos, 1)
		book.Take()
		assert.NoError(t, m.End(t.Context(), "bob", infos[0].Handle))
		assert.Equal(t, "ended:list", book.Kinds())
	})
}

func TestTokensThatOpenNothingAreEvents(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.Lifetime = 90 * time.Minute
		book := kit.RecordEvents(&cfg)
		m := kit.NewManager(t, cfg)
		c := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		name := "s_" + cfg.Default
		ask := func(cookie string) { v.Stranger().Visit(read, "Cookie", cookie) }
		ask(name + "=garbage")
		assert.Empty(t, book.Kinds(), "it may be another application's")
		v.Visit(func(s *session.Session) { s.Set("a", 1) })
		book.Take()
		old := v.CookieHeader()
		last := map[bool]string{true: "A", false: "B"}[old[len(old)-5] != 'A']
		ask(old[:len(old)-5] + last + old[len(old)-4:])
		if cfg.Default == "cookie" {
			assert.Equal(t, "tampered", book.Kinds())
		} else {
			assert.Equal(t, "unknown", book.Kinds())
			ask(name + "=" + wellFormed)
			assert.Equal(t, "unknown", book.Kinds())
		}

		c.Advance(61 * time.Minute)
		ask(old)
		assert.Equal(t, "expired_idle", book.Kinds())
		v.Visit(func(s *session.Session) { s.Set("b", 1) })
		c.Advance(50 * time.Minute)
		v.Visit(func(s *session.Session) { s.Set("b", 2) })
		old = v.CookieHeader()
		c.Advance(41 * time.Minute)
		book.Take()
		ask(old)
		assert.Equal(t, "expired_lifetime", book.Kinds())
		v.Serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			w.WriteHeader(http.StatusOK)
			s.Set("late", 1)
		})
		assert.Contains(t, book.Kinds(), "late_change")
	})
}

func TestOutageIsOneEventAndItsEndAnother(t *testing.T) {
	cfg := kit.DriverConfig(t, "redis")
	server := redistest.Start(t)
	cfg.Redis.Host, cfg.Redis.Port = server.Host(), server.Port()
	book := kit.RecordEvents(&cfg)
	m := kit.NewManager(t, cfg)
	clock := kit.SetClock(m)
	v := kit.NewVisitor(t, m)
	v.Visit(func(s *session.Session) { s.Set("a", 1) })
	book.Take()
	server.Stop()
	for range 3 {
		v.Visit(read)
	}
	events := book.Take()
	require.Len(t, events, 1)
	assert.Equal(t, session.EventUnavailable, events[0].Kind)
	assert.ErrorIs(t, events[0].Err, session.ErrUnavailable)
	server.Restart(t)
	v.Visit(read)
	assert.Equal(t, "unknown", book.Kinds(), "it may fail again")
	clock.Advance(3 * time.Second)
	v.Visit(read)
	assert.Equal(t, "available unknown", book.Kinds())
}

func TestEvictionIsAnEventThatNamesTheSession(t *testing.T) {
	cfg := kit.DriverConfig(t, "memory")
	cfg.Memory.MaxSessions = 1
	book := kit.RecordEvents(&cfg)
	v := kit.NewVisitor(t, kit.NewManager(t, cfg))
	handle := kit.Login(v, "ann")
	book.Take()
	kit.Login(v.Stranger(), "bob")
	events := book.Take()
	i := slices.IndexFunc(events, func(e session.Event) bool { return e.Kind == session.EventEvicted })
	require.GreaterOrEqual(t, i, 0, "%v", events)
	assert.Equal(t, session.Event{Kind: session.EventEvicted, Time: events[i].Time, Driver: "memory", Handle: handle, User: "ann"}, events[i])
}

func TestEventHasTheContextOfItsRequest(t *testing.T) {
	type key struct{}
	cfg := kit.DriverConfig(t, "memory")
	traces := make(map[session.EventKind]any)
	cfg.Events = func(ctx context.Context, e session.Event) { traces[e.Kind] = ctx.Value(key{}) }
	m := kit.NewManager(t, cfg)
	handler := m.Middleware(kit.HTTPHandler(func(s *session.Session) { s.Login("ann"); s.Save(); s.Logout() }))
	r := httptest.NewRequest("GET", "/", nil)
	handler.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithValue(r.Context(), key{}, "trace")))
	assert.Equal(t, map[session.EventKind]any{"created": "trace", "login": "trace", "ended": "trace"}, traces)
}

// CVE-2021-34428.
func TestEventHookThatPanicsStopsNothing(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		log := kit.CaptureLog(&cfg)
		cfg.Events = func(context.Context, session.Event) { panic("hook") }
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		p := v.Visit(func(s *session.Session) { s.Set("a", 1) })
		assert.Equal(t, http.StatusOK, p.StatusCode)
		copied := v.CookieHeader()
		p = v.Visit(func(s *session.Session) { s.Destroy() })
		assert.Equal(t, http.StatusOK, p.StatusCode)
		v.Stranger().Visit(func(s *session.Session) { assert.True(t, s.IsNew()) }, "Cookie", copied)
		assert.Contains(t, log.Text(), "Config.Events panicked")
	})
}

// No event shows a token, and its attributes leave out what is not known.
func TestEventIsLoggedWithoutAToken(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		log := kit.CaptureLog(&cfg)
		logger := cfg.Logger
		cfg.Events = func(ctx context.Context, e session.Event) {
			logger.LogAttrs(ctx, slog.LevelInfo, "session", e.Attrs()...)
			logger.Info("session", "event", e)
		}
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		kit.Login(v, "ann")
		_, value, _ := strings.Cut(v.CookieHeader(), "=")
		v.Visit(func(s *session.Session) { s.Logout() })
		assert.NotContains(t, log.Text(), value)
		assert.NotContains(t, log.Text(), value[len(value)-34:], "the secret")
		assert.Contains(t, log.Text(), "event=ended")
		assert.Contains(t, log.Text(), "event.reason=logout")
		assert.NotContains(t, log.Text(), `=""`)
	})
}
