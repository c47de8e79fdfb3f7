package session_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/redistest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An eventBook keeps what Config.Events was called with.
type eventBook struct {
	mu     sync.Mutex
	events []session.Event
}

func recordEvents(cfg *session.Config) *eventBook {
	b := new(eventBook)
	cfg.Events = func(e session.Event) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.events = append(b.events, e)
	}
	return b
}

// take returns the events since the last call.
func (b *eventBook) take() []session.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.events
	b.events = nil
	return taken
}

// kinds returns their kinds in a line, with the reasons of endings.
func (b *eventBook) kinds() string {
	var kinds []string
	for _, e := range b.take() {
		kind := string(e.Kind)
		if e.Reason != "" {
			kind += ":" + e.Reason
		}
		kinds = append(kinds, kind)
	}
	return strings.Join(kinds, " ")
}

// R56: ASVS 16.3.3, OWASP Session Management Cheat Sheet, "Logging Sessions Life Cycle".
func TestEachTurnInTheLifeOfASessionIsAnEvent(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.MaxPerUser, cfg.Lifetime = 1, 90*time.Minute
		book := recordEvents(&cfg)
		m := newManager(t, cfg)
		c := setClock(m)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) { s.Set("a", 1) })
		assert.Equal(t, "created", book.kinds())
		c.advance(time.Second)
		v.visit(func(s *session.Session) { s.Get("a") })
		assert.Equal(t, "opened", book.kinds())
		c.advance(10 * time.Minute) // long enough for every driver to note the use
		v.visit(func(s *session.Session) { s.Get("a") })
		book.take()
		v.visit(func(s *session.Session) { s.Get("a") })
		assert.Empty(t, book.kinds(), "it is the first time only")

		v.visit(func(s *session.Session) { s.Login("ann") })
		events := book.take()
		require.Len(t, events, 2)
		assert.Equal(t, session.EventRegenerated, events[0].Kind)
		assert.Equal(t, session.EventLogin, events[1].Kind)
		var handle string
		v.visit(func(s *session.Session) { handle = s.Handle() })
		assert.Equal(t, session.Event{Kind: session.EventLogin, Time: c.now(), Driver: cfg.Default, Handle: handle, User: "ann"}, events[1])
		book.take()

		other := v.stranger()
		other.visit(func(s *session.Session) { s.Login("ann") })
		events = book.take()
		require.Len(t, events, 3)
		assert.Equal(t, session.Event{Kind: session.EventEnded, Time: c.now(), Driver: cfg.Default, Handle: handle,
			User: "ann", Reason: session.EndedByMaxPerUser}, events[0])
		assert.Equal(t, session.EventCreated, events[1].Kind)
		other.visit(func(s *session.Session) { s.Regenerate() })
		assert.Equal(t, "opened regenerated", book.kinds())
		other.visit(func(s *session.Session) { handle = s.Handle(); s.Logout() })
		events = book.take()
		last := events[len(events)-1]
		assert.Equal(t, session.EndedByLogout, last.Reason)
		assert.Equal(t, handle, last.Handle)
		assert.Equal(t, "ann", last.User)
		other.visit(func(s *session.Session) { s.Set("a", 1); s.Save(); s.Destroy() })
		assert.Equal(t, "created ended:destroy", book.kinds())

		v.login("bob")
		require.NoError(t, m.EndAll(t.Context(), "bob"))
		assert.Contains(t, book.kinds(), "ended:all")
		v.login("bob")
		book.take()
		c.advance(time.Minute)
		v.visit(func(s *session.Session) { assert.NoError(t, m.End(t.Context(), "bob", s.Handle())) })
		assert.Contains(t, book.kinds(), "ended:list")
	})
}

func TestTokensThatOpenNothingAreEvents(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.Lifetime = 90 * time.Minute
		book := recordEvents(&cfg)
		m := newManager(t, cfg)
		c := setClock(m)
		v := newVisitor(t, m)
		name := "s_" + cfg.Default
		v.visit(func(s *session.Session) { s.Get("a") }, "Cookie", name+"=garbage")
		assert.Equal(t, "tampered", book.kinds())
		if cfg.Default != "cookie" {
			v.visit(func(s *session.Session) { s.Get("a") }, "Cookie", name+"="+session.NewToken(name).Value())
			assert.Equal(t, "unknown", book.kinds())
		}
		v.visit(func(s *session.Session) { s.Set("a", 1) })
		old := v.cookieHeader()
		c.advance(61 * time.Minute)
		book.take()
		v.stranger().visit(func(s *session.Session) { s.Get("a") }, "Cookie", old)
		assert.Equal(t, expiry(cfg, "expired_idle"), book.kinds())
		v.visit(func(s *session.Session) { s.Set("b", 1) })
		c.advance(50 * time.Minute)
		v.visit(func(s *session.Session) { s.Set("b", 2) })
		old = v.cookieHeader()
		c.advance(41 * time.Minute)
		book.take()
		v.stranger().visit(func(s *session.Session) { s.Get("a") }, "Cookie", old)
		assert.Equal(t, expiry(cfg, "expired_lifetime"), book.kinds())
		v.serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			w.WriteHeader(http.StatusOK)
			s.Set("late", 1)
		})
		assert.Contains(t, book.kinds(), "late_change")
	})
}

// expiry is what is told of an expired session: redis does not say why it opens nothing.
func expiry(cfg session.Config, kind string) string {
	if cfg.Default == "redis" {
		return "unknown"
	}
	return kind
}

func TestOutageIsOneEventAndItsEndAnother(t *testing.T) {
	cfg := driverConfig(t, "redis")
	server := redistest.Start(t)
	cfg.Redis.Host, cfg.Redis.Port = server.Host(), server.Port()
	book := recordEvents(&cfg)
	v := newVisitor(t, newManager(t, cfg))
	v.visit(func(s *session.Session) { s.Set("a", 1) })
	book.take()
	server.Stop()
	for range 3 {
		v.visit(func(s *session.Session) { s.Get("a") })
	}
	events := book.take()
	require.Len(t, events, 1)
	assert.Equal(t, session.EventUnavailable, events[0].Kind)
	assert.ErrorIs(t, events[0].Err, session.ErrUnavailable)
	server.Restart(t)
	v.visit(func(s *session.Session) { s.Get("a") })
	assert.Equal(t, "available unknown", book.kinds())
}

// C10: CVE-2021-34428.
func TestEventHookThatPanicsStopsNothing(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		var log bytes.Buffer
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		cfg.Events = func(session.Event) { panic("hook") }
		v := newVisitor(t, newManager(t, cfg))
		p := v.visit(func(s *session.Session) { s.Set("a", 1) })
		assert.Equal(t, http.StatusOK, p.StatusCode)
		copied := v.cookieHeader()
		p = v.visit(func(s *session.Session) { s.Destroy() })
		assert.Equal(t, http.StatusOK, p.StatusCode)
		v.stranger().visit(func(s *session.Session) { assert.True(t, s.IsNew()) }, "Cookie", copied)
		assert.Contains(t, log.String(), "Config.Events panicked")
	})
}

// No event shows a token, and its attributes leave out what is not known.
func TestEventIsLoggedWithoutAToken(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, nil))
		cfg.Events = func(e session.Event) {
			logger.LogAttrs(t.Context(), slog.LevelInfo, "session", e.Attrs()...)
			logger.Info("session", "event", e)
		}
		v := newVisitor(t, newManager(t, cfg))
		v.login("ann")
		_, value, _ := strings.Cut(v.cookieHeader(), "=")
		v.visit(func(s *session.Session) { s.Logout() })
		assert.NotContains(t, log.String(), value)
		assert.Contains(t, log.String(), "event=ended")
		assert.Contains(t, log.String(), "event.reason=logout")
		assert.NotContains(t, log.String(), `=""`)
	})
}
