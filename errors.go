package session

import (
	"errors"
	"fmt"
	"strings"

	"example.com/session/driver"
)

// The errors to test for with errors.Is. Every error of this package begins with "session: ", names
// the operation and then the object, and never holds a token, a secret or a value.
var (
	// ErrNoSession means that the session does not exist any more. Session.Save and Session.Reload
	// return it, and Session.Err reports it. Manager.End returns it for an unknown handle.
	ErrNoSession = driver.ErrNoSession

	// ErrEnded means that the session was ended, or its token replaced, while the request was
	// running. errors.Is(ErrEnded, ErrNoSession) is true.
	ErrEnded = driver.ErrEnded

	// ErrNoValue is returned by Session.Scan if there is no value under the key.
	ErrNoValue = errors.New("session: no value under this key")

	// ErrUnavailable means that the store could not be reached, did not answer in time, or reported
	// that it cannot serve now. It never means that there is no session. A save that returns it may
	// or may not have been stored.
	ErrUnavailable = driver.ErrUnavailable

	// ErrUnknownDriver is returned by Session.Using and NewManager for a driver name that is not
	// configured. The error's text lists the configured names.
	ErrUnknownDriver = errors.New("session: unknown driver")

	// ErrLateChange means that a change came too late to be stored: after the handler had returned,
	// or, if storing it needs a cookie, after the response header was sent or the connection was
	// hijacked. Session.Err reports it, and Session.Save returns it.
	ErrLateChange = errors.New("session: changed too late to be stored")

	// ErrTooManySessions means that a Login was refused because the user has Config.MaxPerUser
	// sessions and the policy is RefuseNew. Session.Save after Login returns it, and discards the
	// unsaved changes.
	ErrTooManySessions = errors.New("session: the user has as many sessions as Config.MaxPerUser allows")

	// ErrUnsupported means that the driver keeps no list of a user's sessions. This is so for the
	// cookie driver without CookieConfig.Revocation, and for a Driver that does not implement
	// driver.Index.
	ErrUnsupported = errors.New("session: the driver cannot do this")

	// ErrClosed is returned once Manager.Close has been called.
	ErrClosed = errors.New("session: the manager is closed")
)

// A SizeError means that the data of a session does not fit into its cookie. None of the request's
// changes was stored. Once the handler has deleted or shortened a value, the session can be saved.
type SizeError struct {
	Limit   int       // bytes that name and value of the data cookie may have: 3500
	Size    int       // bytes that they would have
	Largest []KeySize // the largest values, largest first, at most three
}

// A KeySize is the size of the encoded value of a key, in bytes. The key "Session.Describe" stands
// for the labels that Describe has stored.
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
