package driver

import (
	"context"
	"time"
)

// An Index is a Driver that keeps a list of each user's sessions. user is an opaque key of 43
// characters of base64url, not the user's name.
//
// A session is entered before its sign-in is saved, and it keeps its entry for life. So the list
// may name a session that is not stored, and never misses one that is. An implementation forgets
// an entry when its end has passed, when it has itself removed the session that the entry names, or
// when Remove is called, and never otherwise.
type Index interface {
	// Enter adds an entry. If there is one for the same ID, it moves its end later, never earlier.
	// The check and the change are one atomic step.
	//
	// Errors: ErrEnded if EndBefore was called within the last hour with a time after e.Entered,
	// and at most EndBeforeAhead after now; ErrIndexFull if limit is positive and limit other
	// entries are there.
	Enter(ctx context.Context, user string, e IndexEntry, limit int, now time.Time) error

	// Remove removes the entry of an id, if there is one.
	Remove(ctx context.Context, user string, id ID) error

	// List returns the entries whose end has not passed, in no particular order.
	List(ctx context.Context, user string, now time.Time) ([]IndexEntry, error)

	// EndBefore notes for an hour that the user's sessions were all ended at now. A later time
	// replaces an earlier one, never the other way round.
	EndBefore(ctx context.Context, user string, now time.Time) error
}

// A UserEnder is an Index that ends all sessions of a user in one atomic step. Manager.EndAll and
// EndOthers then call EndUser in place of EndBefore, List, Load, End and Remove.
type UserEnder interface {
	// EndUser notes e.Now as EndBefore does, ends each session that the list names as End does
	// with e and the ID of the session, and removes its entry. It leaves keep and its entry alone,
	// if keep is not the zero ID. It returns the records that it has ended.
	EndUser(ctx context.Context, user string, e *Ending, keep ID) (ended []*Record, err error)
}

// EndBeforeAhead is how far the time of EndBefore may be ahead of the now of Enter. An Enter may
// reach the store a moment after its caller has read the clock, and EndBefore and List may come in
// between. If the time is further ahead, the clocks of two processes differ, and Enter ignores it.
const EndBeforeAhead = 5 * time.Second

// An IndexEntry names one session of a user. Both times are kept to the millisecond or finer;
// implementations compare Entered with the time of EndBefore at microseconds or finer.
type IndexEntry struct {
	ID      ID
	Entered time.Time // when the request that signed in reached the middleware; kept from the first Enter
	Ends    time.Time // end of the session's lifetime
}
