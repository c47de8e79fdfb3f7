package session

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"example.com/session/driver"
)

// An EventKind says what happened to a session. Its text is fixed, for logs and metrics.
type EventKind string

// The kinds of Event: what OWASP recommends to log of a session's life (Session Management Cheat
// Sheet, "Logging Sessions Life Cycle"; ASVS 16.3).
const (
	// EventCreated: a new session was stored.
	EventCreated EventKind = "created"

	// EventOpened: a client presented a new session for the first time, so it keeps cookies.
	// Parallel requests may each report it.
	EventOpened EventKind = "opened"

	// EventRegenerated: the token of a session was replaced.
	EventRegenerated EventKind = "regenerated"

	// EventLogin: Login was stored.
	EventLogin EventKind = "login"

	// EventEnded: a session was ended. Reason is "destroy", "logout", "login" (another user signed
	// in), "list" (Manager.End), "others" (EndOthers), "all" (EndAll) or "max_per_user".
	EventEnded EventKind = "ended"

	// EventExpiredIdle and EventExpiredLifetime: a client presented a session past a limit that is
	// still stored. Redis forgets such a session by itself, and the token is an EventUnknown then.
	EventExpiredIdle     EventKind = "expired_idle"
	EventExpiredLifetime EventKind = "expired_lifetime"

	// EventEvicted: the memory driver dropped a session to stay within MaxSessions.
	EventEvicted EventKind = "evicted"

	// EventTampered: a sealed cookie came that names one of our secrets and fails authentication.
	EventTampered EventKind = "tampered"

	// EventUnknown: a client presented a token that opens or ends nothing: its session ended long
	// ago, its secret was replaced, or it was never issued.
	EventUnknown EventKind = "unknown"

	// EventLateChange: a change came after the response header and was not stored.
	EventLateChange EventKind = "late_change"

	// EventUnavailable and EventAvailable: an outage of the store began and ended, once each.
	EventUnavailable EventKind = "unavailable"
	EventAvailable   EventKind = "available"
)

// The reasons of an EventEnded.
const (
	reasonDestroy    = "destroy"
	reasonLogout     = "logout"
	reasonLogin      = "login"
	reasonList       = "list"
	reasonOthers     = "others"
	reasonAll        = "all"
	reasonMaxPerUser = "max_per_user"
)

// An Event is something that happened to a session. It never holds a token or a value.
type Event struct {
	Kind   EventKind
	Time   time.Time
	Driver string
	Handle string // of the session; empty if none is known
	User   string // who is signed in; empty for a visitor and if it is not known
	Reason string // of an EventEnded
	Err    error  // of an EventUnavailable
}

// Attrs returns the event for slog. Empty fields are left out.
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

// emit gives an event to Config.Events. If that panics, the library goes on.
func (m *Manager) emit(ctx context.Context, e Event) {
	if m.cfg.Events == nil {
		return
	}
	e.Time = m.now()
	defer func() {
		if v := recover(); v != nil {
			m.log.logger.LogAttrs(ctx, slog.LevelError, "session: Config.Events panicked",
				slog.String("event", string(e.Kind)), slog.String("panic", fmt.Sprint(v)))
		}
	}()
	m.cfg.Events(ctx, e)
}

// emit reports what happened to the session of a record, which may be nil.
func (s *Session) emit(kind EventKind, rec *driver.Record) {
	m := s.request.manager
	if m.cfg.Events == nil {
		return
	}
	e := Event{Kind: kind, Driver: s.source.name}
	if rec != nil {
		e.Handle, e.User = rec.ID().String(), rec.User()
	}
	m.emit(s.request.Context, e)
}

// announce reports what a save has made of the session.
func (s *Session) announce(sv *save, rec *driver.Record) {
	switch {
	case sv.New:
		s.emit(EventCreated, rec)
	case sv.identity.replace:
		s.emit(EventRegenerated, rec)
	}
	if sv.identity.login != "" {
		s.emit(EventLogin, rec)
	}
}
