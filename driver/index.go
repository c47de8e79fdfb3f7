package driver

import (
	"context"
	"time"
)

// An Index is a Driver that keeps a list of each user's sessions. The argument user is an opaque
// key of 43 characters of base64url, not the user's name.
//
// Package session enters a session before it saves the sign-in, and the entry stays while the
// session lives. So the list may name a session that is not stored, but never misses one that is.
// An implementation may drop an entry only when its end has passed, when the implementation itself
// has removed the session, or when Remove is called.
type Index interface {
	// Enter adds an entry. If there is one for the same ID, Enter moves its end later, never
	// earlier. The check and the change are one atomic step.
	//
	// Errors: ErrEnded if EndBefore was called within the last hour with a time that is after
	// e.Entered and at most EndBeforeAhead after now; ErrIndexFull if limit is positive and the
	// user has limit other entries.
	Enter(ctx context.Context, user string, e IndexEntry, limit int, now time.Time) error

	// Remove removes the entry of an id, if there is one.
	Remove(ctx context.Context, user string, id ID) error

	// List returns the entries whose end has not passed, in no particular order.
	List(ctx context.Context, user string, now time.Time) ([]IndexEntry, error)

	// EndBefore records, for an hour, that all sessions of the user were ended at now. Of two times
	// the later one is kept.
	EndBefore(ctx context.Context, user string, now time.Time) error
}

// A UserEnder is an Index that ends all sessions of a user in one atomic step. Manager.EndAll and
// EndOthers then call EndUser in place of EndBefore, List, Load, End and Remove.
type UserEnder interface {
	// EndUser records e.Now as EndBefore does. It ends each session on the list, as End does with e
	// and the session's ID, and removes its entry. If keep is not the zero ID, the session keep and
	// its entry stay. EndUser returns the records that it has ended.
	EndUser(ctx context.Context, user string, e *Ending, keep ID) (ended []*Record, err error)
}

// EndBeforeAhead is how far the time of EndBefore may be ahead of the now of Enter. It may be
// ahead, because an Enter may reach the store a moment after its caller has read the clock. If it
// is further ahead than this, the clocks of two processes differ, and Enter ignores it.
const EndBeforeAhead = 5 * time.Second

// An IndexEntry names one session of a user. Both times are kept at a precision of a millisecond or
// finer. Implementations compare Entered with the time of EndBefore at a precision of a microsecond
// or finer.
type IndexEntry struct {
	ID      ID
	Entered time.Time // when the request that signed in reached the middleware; kept from the first Enter
	Ends    time.Time // end of the session's lifetime
}
