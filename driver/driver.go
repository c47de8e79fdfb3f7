// Package driver is the contract between package session and what stores sessions, as
// database/sql/driver is to database/sql. Applications do not need it.
//
// Authors of a store implement [Store], which keeps bytes under keys; session.StoreDriver makes a
// complete [Driver] of it. A Store that can compare and swap in one round trip implements [Swapper]
// too. Authors who need full control implement Driver, and [Index] to list and end a user's
// sessions. Package drivertest tests both.
//
// The contract rests on one idea. A [Record] is immutable. A request sees a record plus its own
// [Changes]. A driver applies these changes to the record that is stored at that moment. So two
// requests that write different keys of one session both keep their writes.
//
// This package has no clock, no I/O and no HTTP: times are arguments.
package driver

import (
	"context"
	"time"
)

// A Driver keeps records under ids. It never sees a cookie or a secret, and it takes the time from
// its arguments. Most authors should write a Store.
//
// A Driver must be safe for concurrent use. Its methods must not keep ctx, and must return when ctx
// ends. Package session treats an error that this package does not define as ErrUnavailable.
type Driver interface {
	// Load returns the record under id. It stores nothing, so it does not count as use. It may
	// return an expired record: the caller checks the limits.
	//
	// Errors: ErrNoSession if there is no record; an *EndedError if there is a tombstone under id;
	// ErrDamaged if the stored bytes cannot be decoded.
	Load(ctx context.Context, id ID, now time.Time) (*Record, error)

	// Save applies ch to the record that is stored at that moment (see Changes.Apply) and stores
	// the result, in one atomic step. It returns the stored record. base is the record that the
	// caller has loaded; with it a driver can compare and swap without a look-up. base is nil if ch
	// begins a session.
	//
	// If ch.Apply returns an error, Save returns it unchanged and stores nothing. Other errors are
	// those of Load. A nil error means that the record is stored. After ErrUnavailable the outcome
	// is unknown, and the caller may call Save again with the same ch.Number.
	Save(ctx context.Context, base *Record, ch *Changes) (*Record, error)

	// End replaces the record under e.ID with a tombstone, which marks the session as ended for
	// e.For. It does so in one atomic step, and only if e.Allows the record that is stored at that
	// moment. It returns the record that it ended, nil if there was none. base is the record that
	// the caller has loaded, or nil. A tombstone that lasts longer than e.For is left unchanged. A
	// damaged record is ended without a call of e.Allows. After a nil error only the tombstone is
	// left of an ended record.
	End(ctx context.Context, base *Record, e *Ending) (*Record, error)
}

// A Pinger is a Driver or a Store that can tell whether it is reachable and accepts its
// configuration.
type Pinger interface {
	Ping(ctx context.Context) error
}

// A Clock is a Driver whose store has a clock of its own, such as a redis server. All times passed
// to such a driver, and all times in its records, are of that clock.
type Clock interface {
	// Time converts a time of this process's clock to the store's clock.
	Time(local time.Time) time.Time
}

// How long a tombstone stands.
const (
	// Tombstone is how long an ended session is remembered as ended. Requests that were under
	// way when it ended find the tombstone, and cannot bring the session back.
	Tombstone = 30 * time.Second

	// IndexTombstone is how long a session that was ended through the user index is remembered,
	// and how long an Index remembers the time of EndBefore and refuses sign-ins that were under way.
	// It is longer than any request takes from entering the middleware to its commit, because the
	// session may not be stored yet when it is ended.
	IndexTombstone = time.Hour
)

// An Ending ends one session.
type Ending struct {
	redacted

	ID  ID
	Now time.Time
	For time.Duration // how long the tombstone stands: Tombstone, IndexTombstone, or longer for an import

	// Secret is set if a client asked: the record must accept it or remember it as replaced.
	Secret Digest

	// User is set if the user index named the session: the record must not be another user's,
	// and a tombstone is left even if nothing is stored under ID.
	User string
}

// Allows reports whether the ending applies to a record, which is nil if nothing is stored.
func (e *Ending) Allows(rec *Record) bool {
	if e.User != "" {
		return rec == nil || rec.User() == "" || rec.User() == e.User
	}
	if rec == nil {
		return false
	}
	_, replaced := rec.ReplacedAt(e.Secret)
	return replaced || rec.Accepts(e.Secret)
}
