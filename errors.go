package session

import (
	"errors"
	"fmt"
	"strings"

	"example.com/session/driver"
)

// Errors that callers tell apart with errors.Is. Every error of this package begins with
// "session: ", names the operation and then the object, and never holds a token, a secret or a
// value.
var (
	// ErrNoSession is returned by Save and Reload if the session does not exist any more; Err
	// reports it too. Manager.End returns it for an unknown handle.
	ErrNoSession = driver.ErrNoSession

	// ErrEnded is an ErrNoSession: the session was ended, or its token was replaced, while the
	// request was under way.
	ErrEnded = driver.ErrEnded

	// ErrNoValue is returned by Session.Scan if there is no value under the key.
	ErrNoValue = errors.New("session: no value under this key")

	// ErrUnavailable is returned if the store could not be reached, did not answer in time, or
	// said that it cannot serve now. It never means that there is no session. After a save the
	// outcome is unknown.
	ErrUnavailable = driver.ErrUnavailable

	// ErrUnknownDriver is returned by Session.Using and NewManager for a driver name that the
	// configuration does not have. Its text lists the names that it has.
	ErrUnknownDriver = errors.New("session: unknown driver")

	// ErrLateChange is reported by Session.Err and returned by Session.Save if a change came too
	// late to be stored: after the handler returned, or after the response header was sent or the
	// connection was taken over, if storing the change needs a cookie.
	ErrLateChange = errors.New("session: changed too late to be stored")

	// ErrTooManySessions is why a sign-in fails if Config.MaxPerUser is reached and the policy is
	// RefuseNew. Session.Save after Login returns it, and discards what was unsaved.
	ErrTooManySessions = errors.New("session: the user has as many sessions as Config.MaxPerUser allows")

	// ErrUnsupported is returned for what a driver cannot do: the cookie driver without
	// CookieConfig.Revocation, and a Driver that is no driver.Index, do not list a user's sessions.
	ErrUnsupported = errors.New("session: the driver cannot do this")

	// ErrClosed is returned once Manager.Close has been called.
	ErrClosed = errors.New("session: the manager is closed")
)

// A SizeError is returned if the data of a session does not fit into its cookie. Nothing of the
// request's changes has been stored then. Once the handler has deleted or shortened a value, the
// session can be saved.
type SizeError struct {
	Limit   int       // bytes that name and value of the data cookie may have: 3500
	Size    int       // bytes that they would have
	Largest []KeySize // the largest values, largest first, at most three
}

// A KeySize says how many bytes the encoded value of a key has. The key "Session.Describe" stands for
// what Describe was given.
type KeySize struct {
	Key  string
	Size int
}

const sizeOfDescription = "Session.Describe"

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

// unavailable wraps an error of a driver so that it is an ErrUnavailable.
func unavailable(op string, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, op, err)
}

// classify returns an error of a driver as it is if package driver or this package defines it, and
// takes every other error for ErrUnavailable.
func classify(op string, err error) error {
	for _, known := range [...]error{
		ErrNoSession, ErrUnavailable, driver.ErrMisconfigured, driver.ErrDamaged, ErrTooManySessions, ErrUnsupported,
	} {
		if errors.Is(err, known) {
			return err
		}
	}
	var value *driver.ValueError
	var size *SizeError
	var conflict *driver.ConflictError
	if errors.As(err, &value) || errors.As(err, &size) || errors.As(err, &conflict) {
		return err
	}
	return unavailable(op, err)
}

// isGone reports whether an error says that there is no live session.
func isGone(err error) bool { return errors.Is(err, ErrNoSession) }
