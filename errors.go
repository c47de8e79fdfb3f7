package session

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Errors that callers tell apart with errors.Is. Every error of this package starts with
// "session: ", names the operation and then the object, and never holds a token, a key of a
// sealed cookie or a value.
var (
	// ErrNoSession is returned by a Driver when no live session belongs to a token: it is
	// unknown, expired, malformed or tampered with, always the same. Session.Err returns it
	// when the session was gone by the time the request's changes were to be stored.
	ErrNoSession = errors.New("session: no such session")

	// ErrEnded is an ErrNoSession: the session was destroyed or its token replaced within
	// the last Tombstone.
	ErrEnded error = endedKind{}

	// ErrNoValue is returned by Session.Scan when the key holds nothing.
	ErrNoValue = errors.New("session: no value under this key")

	// ErrUnavailable is returned when the store could not be reached, did not answer in time
	// or answered that it cannot serve now. It never means that there is no session. After a
	// save it means that the outcome is unknown.
	ErrUnavailable = errors.New("session: the store is unavailable")

	// ErrUnknownDriver is returned by Session.Using and NewManager for a driver name that
	// the configuration does not have; its text lists the names that it has.
	ErrUnknownDriver = errors.New("session: unknown driver")

	// ErrLateChange is reported by Session.Err and Session.Save when a change came after the
	// response header and storing it would have needed a cookie.
	ErrLateChange = errors.New("session: changed after the response header was sent")

	// ErrTooManySessions is why a sign-in fails where Config.MaxPerUser is reached and the
	// policy is RefuseNew. Session.Save after Login returns it, and drops what was unsaved.
	ErrTooManySessions = errors.New("session: the user has as many sessions as Config.MaxPerUser allows")

	// ErrUnsupported is returned by what a driver cannot do: list and end a user's sessions on
	// the cookie driver without CookieConfig.Revocation, and on a Driver that StoreDriver has
	// not made.
	ErrUnsupported = errors.New("session: the driver cannot do this")

	// ErrClosed is returned once Manager.Close has been called.
	ErrClosed = errors.New("session: the manager is closed")
)

// errNotOurs is the ErrNoSession of a token that this package cannot have made: its shape, its
// seal or its key is wrong. The cookie is cleared, where that of an unknown token is left alone.
var errNotOurs = fmt.Errorf("%w: the token is not one of ours", ErrNoSession)

// An expiredError is the ErrNoSession of a session that is stored still and has reached a limit.
type expiredError struct {
	rec *Record // without its token
	now time.Time
}

func expiredAt(rec *Record, now time.Time) error {
	return &expiredError{rec: &Record{head: rec.head, account: rec.account}, now: now}
}

func (e *expiredError) Error() string        { return ErrNoSession.Error() }
func (e *expiredError) Is(target error) bool { return target == ErrNoSession }

func (e *expiredError) kind() EventKind {
	if h := &e.rec.head; e.now.UnixMilli() >= h.created+h.lifetime {
		return EventExpiredLifetime
	}
	return EventExpiredIdle
}

// endedKind makes ErrEnded an ErrNoSession without giving it that text.
type endedKind struct{}

func (endedKind) Error() string        { return "session: the session has ended" }
func (endedKind) Is(target error) bool { return target == ErrNoSession }

// An EndedError is the ErrEnded of a Driver that knows when the session ended. The middleware
// treats a request that entered it less than five seconds after that moment as one that was
// under way, and a later one as one without a cookie.
type EndedError struct {
	At time.Time // by the server's clock
}

func (e *EndedError) Error() string        { return ErrEnded.Error() }
func (e *EndedError) Is(target error) bool { return target == ErrEnded || target == ErrNoSession }

// A SizeError is returned when a sealed session does not fit into a cookie. Nothing of the
// request's changes has been stored then.
type SizeError struct {
	Limit   int       // bytes that name and value of the cookie may have: 4096 (RFC 6265bis, section 5.6)
	Size    int       // bytes that they would have
	Largest []KeySize // the largest keys, largest first, at most three
}

// A KeySize says how many bytes the encoded value of a key has.
type KeySize struct {
	Key  string
	Size int
}

func (e *SizeError) Error() string {
	var largest strings.Builder
	for i, k := range e.Largest {
		if i > 0 {
			largest.WriteString(", ")
		}
		fmt.Fprintf(&largest, "%q (%d)", k.Key, k.Size)
	}
	return fmt.Sprintf("session: save in a cookie: %d bytes, at most %d fit; the largest keys are %s: "+
		"store less, or choose the memory or redis driver", e.Size, e.Limit, largest.String())
}

// A valueError is a change that cannot be stored whatever the store says: a value that cannot
// be encoded, a key of an impossible length, an increment of what is not an integer.
type valueError struct {
	op, key string
	reason  string
}

func (e *valueError) Error() string {
	return fmt.Sprintf("session: %s %.64q: %s", e.op, e.key, e.reason)
}

// A configError says that the configuration is wrong, which waiting does not cure.
type configError struct{ err error }

func (e *configError) Error() string { return "session: " + e.err.Error() }
func (e *configError) Unwrap() error { return e.err }

// refusedConfig is the configError of what a store said.
func refusedConfig(err error) error {
	return &configError{fmt.Errorf("the store refuses this configuration: %w", err)}
}

// unavailable wraps what a driver said so that it is an ErrUnavailable.
func unavailable(op string, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, op, err)
}

// An unsureError is why a rotation has stored its copy under the new token and does not know
// whether the old one still opens the session.
type unsureError struct{ cause error }

func (e *unsureError) Error() string { return e.cause.Error() }
func (e *unsureError) Unwrap() error { return e.cause }
