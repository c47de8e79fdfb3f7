package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"example.com/session/driver"
)

// An EventKind says what happened to a session. Its text will not change, so logs and metrics can
// rely on it.
type EventKind string

// The kinds of Event: what OWASP recommends to log of a session's life (Session Management Cheat
// Sheet, "Logging Sessions Life Cycle"; ASVS 16.3).
const (
	// EventCreated: a new session was stored.
	EventCreated EventKind = "created"

	// EventOpened: a client presented a new session for the first time, which shows that it keeps
	// cookies. Parallel requests may each report it. On the cookie driver every request reports it
	// until a use is recorded: for a tenth of the idle timeout, at most six minutes, or until the
	// data changes.
	EventOpened EventKind = "opened"

	// EventRegenerated: the token of a session was replaced.
	EventRegenerated EventKind = "regenerated"

	// EventLogin: Login was stored.
	EventLogin EventKind = "login"

	// EventLoginFailed: Login was called, and was not stored. Reason is "max_per_user" (MaxPerUser
	// refused it), "ended" (this session, or all of the user's, were ended while the request was
	// running), "unavailable", "late" (the header was sent), "aborted" (the handler panicked) or
	// "error" (see Err).
	EventLoginFailed EventKind = "login_failed"

	// EventImported: a session that Config.Import found was moved to this manager.
	EventImported EventKind = "imported"

	// EventEnded: a session was ended. Reason is "destroy", "logout", "login" (another user signed
	// in), "list" (Manager.End), "others" (EndOthers), "all" (EndAll), "max_per_user" or "import"
	// (FromDriver has moved it).
	EventEnded EventKind = "ended"

	// EventExpiredIdle and EventExpiredLifetime: a client presented a session that is past its idle
	// timeout or its lifetime and is still stored. Redis deletes expired sessions by itself; their
	// tokens are then an EventUnknown.
	EventExpiredIdle     EventKind = "expired_idle"
	EventExpiredLifetime EventKind = "expired_lifetime"

	// EventEvicted: the memory driver dropped a session to stay within MaxSessions.
	EventEvicted EventKind = "evicted"

	// EventTampered: a client sent a sealed cookie that names a configured secret and fails
	// authentication.
	EventTampered EventKind = "tampered"

	// EventUnknown: a client presented a token that opens or ends nothing: its session ended long
	// ago, its secret was replaced, or it was never issued. Handle is set if the session is known.
	EventUnknown EventKind = "unknown"

	// EventRevoked: a client sent a genuine cookie of a signed-in user, and the driver of
	// CookieConfig.Revocation refused it: the session was ended, or began before Revocation was
	// set.
	EventRevoked EventKind = "revoked"

	// EventLateChange: a change came after the response header and was not stored.
	EventLateChange EventKind = "late_change"

	// EventUnavailable and EventAvailable: an outage of the store began and ended, once each.
	EventUnavailable EventKind = "unavailable"
	EventAvailable   EventKind = "available"
)

// The reasons of an EventEnded and, with reasonMaxPerUser, of an EventLoginFailed.
const (
	reasonDestroy    = "destroy"
	reasonLogout     = "logout"
	reasonLogin      = "login"
	reasonList       = "list"
	reasonOthers     = "others"
	reasonAll        = "all"
	reasonMaxPerUser = "max_per_user"
	reasonImport     = "import"

	reasonEnded       = "ended"
	reasonUnavailable = "unavailable"
	reasonLate        = "late"
	reasonAborted     = "aborted"
	reasonError       = "error"
)

// An Event is something that happened to a session. It never holds a token or a value.
type Event struct {
	Kind   EventKind
	Time   time.Time
	Driver string
	Handle string // of the session; empty if none is known
	User   string // who is signed in, or was to be; empty for a visitor and if it is not known
	Reason string // of an EventEnded and an EventLoginFailed
	Err    error  // of an EventUnavailable and an EventLoginFailed
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

// LogValue returns the attributes as a group, so that slog logs an Event field by field.
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
func (s *Session) emit(kind EventKind, rec *driver.Record) { s.emitEvent(Event{Kind: kind}, rec) }

// emitEvent completes an event of the session of a record, which may be nil, and reports it.
func (s *Session) emitEvent(e Event, rec *driver.Record) {
	m := s.request.manager
	if m.cfg.Events == nil {
		return
	}
	e.Driver = s.source.name
	if rec != nil {
		e.Handle, e.User = rec.ID().String(), cmp.Or(e.User, rec.User())
	}
	m.emit(s.request.Context, e)
}

// signInFailed reports that the Login of this request was not stored, if it was called.
func (s *Session) signInFailed(err error) {
	if s.signIn == "" {
		return
	}
	s.emitEvent(Event{Kind: EventLoginFailed, User: s.signIn, Reason: loginFailure(err), Err: err}, s.stored)
	s.signIn = ""
}

// loginFailure returns the reason of an EventLoginFailed.
func loginFailure(err error) string {
	switch {
	case err == nil:
		return reasonAborted
	case errors.Is(err, ErrTooManySessions):
		return reasonMaxPerUser
	case isGone(err):
		return reasonEnded
	case errors.Is(err, ErrUnavailable):
		return reasonUnavailable
	case errors.Is(err, ErrLateChange):
		return reasonLate
	}
	return reasonError
}

// announce reports the events of a successful save.
func (s *Session) announce(sv *save, rec *driver.Record) {
	switch {
	case sv.New:
		s.emit(EventCreated, rec)
	case sv.identity.replace:
		s.emit(EventRegenerated, rec)
	}
	if sv.identity.login != "" {
		s.signIn = ""
		s.emit(EventLogin, rec)
	}
}
