package session

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// An EventKind says what happened to a session. Its text is fixed, for logs and metrics.
type EventKind string

// The kinds of Event: what OWASP asks to be logged of a session's life (Session Management Cheat
// Sheet, "Logging Sessions Life Cycle"; ASVS 16.3).
const (
	// EventCreated: a session was stored that was not there before.
	EventCreated EventKind = "created"

	// EventOpened: a stored session came back for the first time, so that its client keeps
	// cookies. The cookie driver and a Store note a use now and then only, so there it may be
	// told more than once in the first minutes.
	EventOpened EventKind = "opened"

	// EventRegenerated: a session has a new token and with it a new handle.
	EventRegenerated EventKind = "regenerated"

	// EventLogin: Login was stored.
	EventLogin EventKind = "login"

	// EventEnded: a session was ended; Reason says by what.
	EventEnded EventKind = "ended"

	// EventExpiredIdle and EventExpiredLifetime: a token came whose session has reached a limit
	// and is there still. Redis forgets such a session by itself, and what comes later is an
	// EventUnknown.
	EventExpiredIdle     EventKind = "expired_idle"
	EventExpiredLifetime EventKind = "expired_lifetime"

	// EventTampered: a cookie came that this configuration cannot have made, or that a secret
	// sealed which is not configured any more.
	EventTampered EventKind = "tampered"

	// EventUnknown: a token came that opens nothing: its session ended long ago, or the token
	// was never issued.
	EventUnknown EventKind = "unknown"

	// EventLateChange: a change came after the response header and was not stored.
	EventLateChange EventKind = "late_change"

	// EventUnavailable and EventAvailable: an outage of the store began and ended, once each.
	EventUnavailable EventKind = "unavailable"
	EventAvailable   EventKind = "available"
)

// The reasons of an EventEnded.
const (
	EndedByDestroy    = "destroy"      // Session.Destroy
	EndedByLogout     = "logout"       // Session.Logout
	EndedByList       = "list"         // Manager.End
	EndedByOthers     = "others"       // Manager.EndOthers
	EndedByAll        = "all"          // Manager.EndAll
	EndedByMaxPerUser = "max_per_user" // a newer session of the user
)

// An Event is something that happened to a session. It never holds a token or a value.
type Event struct {
	Kind   EventKind
	Time   time.Time
	Driver string
	Handle string // of the session; empty where none is known
	User   string // who is signed in; empty for a visitor and where it is not known
	Reason string // of an EventEnded
	Err    error  // of an EventUnavailable
}

// Attrs returns the event for slog. Fields that are empty are left out.
func (e Event) Attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("event", string(e.Kind)), slog.String("driver", e.Driver)}
	for _, a := range [...]slog.Attr{
		slog.String("handle", e.Handle), slog.String("user", e.User), slog.String("reason", e.Reason),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	if e.Err != nil {
		attrs = append(attrs, slog.Any("error", e.Err))
	}
	return attrs
}

// LogValue makes an Event a group of a log line.
func (e Event) LogValue() slog.Value { return slog.GroupValue(e.Attrs()...) }

// emit gives an event to Config.Events. A hook that panics stops nothing that the library does.
func (m *Manager) emit(e Event) {
	if m.cfg.Events == nil {
		return
	}
	if e.Time.IsZero() {
		e.Time = m.now()
	}
	defer func() {
		if v := recover(); v != nil {
			m.log.logger.LogAttrs(context.Background(), slog.LevelError, "session: Config.Events panicked",
				slog.String("event", string(e.Kind)), slog.String("panic", fmt.Sprint(v)))
		}
	}()
	m.cfg.Events(e)
}

// event emits what happened to the session of a record, which may be nil.
func (s *Session) event(kind EventKind, rec *Record) {
	if s.q.m.cfg.Events == nil {
		return
	}
	e := Event{Kind: kind, Driver: s.src.name}
	if rec != nil {
		e.Handle = handleOf(rec.head.id)
		e.User, _ = accountOf(rec, nil)
	}
	s.q.m.emit(e)
}

// stored tells what a save has made of the session.
func (s *Session) announce(ch *Changes) {
	if s.q.m.cfg.Events == nil {
		return
	}
	e := Event{Driver: s.src.name}
	e.User, _ = accountOf(s.base, ch)
	switch {
	case s.base == nil:
		e.Kind, e.Handle = EventCreated, handleOf(ch.id)
	case ch.rotates:
		e.Kind, e.Handle = EventRegenerated, handleOf(ch.id)
	default:
		return // a sign-in always has one of the two
	}
	s.q.m.emit(e)
	if s.login {
		e.Kind = EventLogin
		s.q.m.emit(e)
	}
}
