package driver

import (
	"errors"
	"fmt"
	"time"
)

// The errors to test for with errors.Is. They begin with "session: " because package session
// returns them to applications as they are.
var (
	// ErrNoSession means that no session is stored under an id, or that it has expired.
	ErrNoSession = errors.New("session: no such session")

	// ErrEnded means that the session was ended and has left a tombstone. errors.Is(ErrEnded,
	// ErrNoSession) is true.
	ErrEnded error = endedError{}

	// ErrUnavailable means that the store could not be reached, did not answer in time, or reported
	// that it cannot serve now. It never means that there is no session. A save that returns it may
	// or may not have been stored.
	ErrUnavailable = errors.New("session: the store is unavailable")

	// ErrMisconfigured means that the store refuses the configuration, such as a wrong password.
	// Retrying does not help.
	ErrMisconfigured = errors.New("session: the store refuses this configuration")

	// ErrDamaged means that the stored bytes cannot be decoded.
	ErrDamaged = errors.New("session: the stored record is damaged")

	// ErrIndexFull is returned by Index.Enter if the user has as many entries as the limit allows.
	ErrIndexFull = errors.New("session: the user's index is full")
)

type endedError struct{}

func (endedError) Error() string        { return "session: the session has ended" }
func (endedError) Is(target error) bool { return target == ErrNoSession }

// An EndedError is an ErrEnded that tells how long ago the session ended.
type EndedError struct{ Ago time.Duration }

func (e *EndedError) Error() string        { return ErrEnded.Error() }
func (e *EndedError) Is(target error) bool { return target == ErrEnded || target == ErrNoSession }

// A ConflictError means that the record is not what the changes expect, and that nothing was
// stored. If Key is set, a Swap found another value under Key. If Key is empty, the record does not
// accept Changes.Expect, or Changes.New is set and there is a record. Current is the stored record,
// nil if a Swap of a new session expects a value.
type ConflictError struct {
	Current *Record
	Key     string
}

func (e *ConflictError) Error() string {
	return "session: save: the record was changed by another request"
}

// A ValueError means that a change cannot be applied, such as an increment of text. Retrying does
// not help.
type ValueError struct {
	Op, Key, Reason string
}

func (e *ValueError) Error() string {
	return fmt.Sprintf("session: %s %.64q: %s", e.Op, e.Key, e.Reason)
}
