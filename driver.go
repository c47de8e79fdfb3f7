package session

import (
	"context"
	"time"
)

// Tombstone is how long a destroyed or replaced token is remembered as ended.
const Tombstone = 30 * time.Second

// A Driver maps a Token to a Record and applies Changes to whatever the record is by then.
// Most authors should write a Store and use StoreDriver, which does limits, merging,
// tombstones and rotation on top.
//
// A Driver is safe for concurrent use. It never keeps ctx, and returns when ctx ends. Every
// error that is not an ErrNoSession is taken for ErrUnavailable, but for those that
// Changes.Check returns. A driver may also have a method Ping(context.Context) error.
type Driver interface {
	// Load opens tok and counts as use: the returned record's UsedAt is now, and the idle
	// timeout runs from there. Unknown, expired, malformed and tampered tokens give
	// ErrNoSession, always the same; one that ended within Tombstone gives ErrEnded, best as
	// an *EndedError. A record is expired when now is not before its ExpiresAt, whatever the
	// store or the browser think. Load creates nothing.
	Load(ctx context.Context, tok Token, now time.Time) (*Record, error)

	// Save stores all of ch or none of it, and returns the token that opens the result.
	//
	// With rec nil it stores a new session: ch.Apply(nil) under ch.NewToken(), which must not
	// replace a record that is there. With ch.Rotates() it stores the record as it is by now,
	// with ch applied, under ch.NewToken(), and then ends the old token; no acknowledged
	// change of the old one is lost. Else it applies ch to the record as it is by now. A
	// record that is gone is ErrNoSession, an ended one ErrEnded; neither comes back.
	//
	// A Save that is repeated with the same ch.Number() is answered, not applied again. What
	// ch.Check says of the record as it is by now is returned as it is, and nothing is stored.
	Save(ctx context.Context, rec *Record, ch *Changes) (Token, error)

	// Destroy ends tok: when it returns nil the data is gone, and tok is ErrEnded for
	// Tombstone. For an unknown token it stores nothing and returns nil.
	Destroy(ctx context.Context, tok Token) error
}

// A pinger is a Driver that can tell whether its store answers.
type pinger interface {
	Ping(ctx context.Context) error
}

// A checker is a Driver that knows before the save that a record would not fit.
type checker interface {
	check(rec *Record, ch *Changes) error
}

// A clockedDestroyer is a Driver whose tombstones are dated by the manager's clock.
type clockedDestroyer interface {
	destroyAt(ctx context.Context, tok Token, now time.Time) error
}
