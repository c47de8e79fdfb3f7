package driver

import (
	"errors"
	"fmt"
	"time"
)

// The errors that callers tell apart with errors.Is. They begin with "session: " because package
// session returns them to applications as they are.
var (
	// ErrNoSession says that no session is stored under an id, or that it has expired.
	ErrNoSession = errors.New("session: no such session")

	// ErrEnded is an ErrNoSession: the session was ended, and a tombstone stands in its place.
	ErrEnded error = endedError{}

	// ErrUnavailable says that the store could not be reached, did not answer in time, or said
	// that it cannot serve now. It never means that there is no session. After a save the
	// outcome is unknown.
	ErrUnavailable = errors.New("session: the store is unavailable")

	// ErrMisconfigured says that the store refuses what the configuration asks for, such as a
	// wrong password. Waiting does not help.
	ErrMisconfigured = errors.New("session: the store refuses this configuration")

	// ErrDamaged says that what is stored cannot be decoded.
	ErrDamaged = errors.New("session: the stored record is damaged")

	// ErrIndexFull is returned by Index.Enter at the limit.
	ErrIndexFull = errors.New("session: the user's index is full")
)

type endedError struct{}

func (endedError) Error() string        { return "session: the session has ended" }
func (endedError) Is(target error) bool { return target == ErrNoSession }

// An EndedError is the ErrEnded of a driver that knows how long ago the session ended.
type EndedError struct{ Ago time.Duration }

func (e *EndedError) Error() string        { return ErrEnded.Error() }
func (e *EndedError) Is(target error) bool { return target == ErrEnded || target == ErrNoSession }

// A ConflictError says that the record is not what the changes expect. Key is empty if the record
// does not accept Changes.Expect, or if Changes.New found a record; else a Swap found another value
// under Key. Nothing was stored. Current is the record as it is, nil if a new session's Swap
// expects a value.
type ConflictError struct {
	Current *Record
	Key     string
}

func (e *ConflictError) Error() string {
	return "session: save: the record was changed by another request"
}

// A ValueError is a change that no retry can store, such as an increment of text.
type ValueError struct {
	Op, Key, Reason string
}

func (e *ValueError) Error() string {
	return fmt.Sprintf("session: %s %.64q: %s", e.Op, e.Key, e.Reason)
}
