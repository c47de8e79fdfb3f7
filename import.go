package session

import (
	"context"
	"net/http"
	"slices"
	"time"

	"example.com/session/driver"
)

// An Importer finds the sessions that another library keeps, for Config.Import. It must be safe for
// concurrent use. Load and Remove must return when ctx ends, which is after Config.StoreTimeout.
// ctx does not end when the client disconnects.
//
// FromDriver returns an Importer for a driver of this library. The modules importers/scs and
// importers/gorilla have Importers for other libraries.
type Importer interface {
	// Find returns the cookie of an old session that came with a request, nil if none came. It
	// returns an error if it refuses the cookie, for example because another key has signed it. The
	// error is logged, so it must not quote the cookie, and the request has no session. Find must
	// not do I/O.
	Find(r *http.Request) (*OldCookie, error)

	// Load returns the contents of the old session, nil if it has ended or expired. An error that
	// wraps driver.ErrDamaged means that the session cannot be decoded: it is logged, and the
	// request has no session. Every other error means that the old store is unavailable: the client
	// gets the error answer.
	Load(ctx context.Context, c *OldCookie) (*OldSession, error)

	// Remove deletes the old session from its store, after a move or at a sign-out. It returns nil
	// if there is nothing to delete, as for sessions that are kept in cookies. After a move, an
	// error is only logged. At a sign-out, the client gets the error answer.
	Remove(ctx context.Context, c *OldCookie) error
}

// An OldCookie is the cookie of an old session.
type OldCookie struct {
	redacted

	// ID identifies the old session: it is the same in all requests of that session, and no other
	// session ever has it. For 30 seconds after the move, whoever presents a cookie with this ID
	// gets the new session. So it must be a secret, such as a token, or Find must have verified the
	// cookie.
	ID string

	// Value passes what Find has read to Load and Remove. Only the Importer uses it.
	Value any

	// Expire lists the cookies that the response deletes when the session has moved. Name, Domain
	// and Path of each are used.
	Expire []*http.Cookie

	own    *Session // of FromDriver
	secret string   // likewise: what a client must know beside ID, which lists and logs show
}

// An OldSession has the contents of an old session.
type OldSession struct {
	redacted

	User       string    // who is signed in, "" for nobody
	SignedInAt time.Time // zero: when the session was created
	CreatedAt  time.Time // zero: not known

	// ExpiresAt is when the lifetime of the session ends. If it is zero, Config.Lifetime counts
	// from CreatedAt, or from the move if that is zero too. If it is later than Config.Lifetime
	// allows, the session keeps this time, as Session.Remember would set it, for at most 400 days.
	// If it is earlier, the new session also ends then, and Session.CreatedAt returns a time before
	// CreatedAt.
	ExpiresAt time.Time

	// Values are stored as Session.Set stores them. Keys have 1 to 255 bytes. If one of the values
	// cannot be stored, the session is not imported.
	Values map[string]any

	record *driver.Record // of FromDriver
}

// FromDriver returns an Importer of the sessions of another driver of the same manager, such as
// "cookie". A session keeps its values, flash, user, time of creation and the limits that
// Session.Remember has set. Until it moves, a request that only reads counts as use on the old
// driver. It works only as Config.Import itself, not inside another Importer.
func FromDriver(name string) Importer { return fromDriver(name) }

// checkImport reports what is wrong with Config.Import.
func (c Config) checkImport() []error {
	if c.Import == nil {
		return problemIf(!c.ImportUntil.IsZero(), "ImportUntil", "set without Import: set Import, or remove it")
	}
	from, own := c.Import.(fromDriver)
	return slices.Concat(
		problemIf(c.ImportUntil.IsZero(), "ImportUntil", "missing: say until when old sessions are imported, "+
			"such as the day of the change and the longest lifetime of an old session"),
		problemIf(c.Secret == "", "Secret", "missing, and Import needs it: "+
			"make one with `head -c 32 /dev/urandom | base64` or session.NewSecret"),
		problemIf(c.Memory.ByClientIP && c.driverName() == builtinMemory, "Import", "Memory.ByClientIP has no sessions of its own to import to"),
		problemIf(own && string(from) == c.driverName(), "Import", "FromDriver(%q) is Default itself: name the driver that had the sessions before", string(from)),
		problemIf(own && !slices.Contains(c.driverNames(), string(from)), "Import", "%v", c.unknownDriver(string(from))),
	)
}

// A fromDriver is FromDriver: the name of a driver.
type fromDriver string

// Find is not called: it needs the request of the manager.
func (fromDriver) Find(*http.Request) (*OldCookie, error) { return nil, nil }

// find returns the session of the other driver, if its cookie came. If several came, the one that opens counts.
func (d fromDriver) find(r *requestState) *OldCookie {
	src := r.manager.sources[string(d)]
	if src.err != nil {
		return nil
	}
	own := &Session{request: r, source: src}
	presented, _ := own.presented()
	if len(presented) == 0 {
		return nil
	}
	one := presented[0]
	own.mu.Lock()
	defer own.mu.Unlock()
	if own.open(); own.stored != nil {
		one = own.endable(own.token, own.stored)
	}
	return &OldCookie{ID: src.cookie + "=" + one.id.String(), own: own, secret: string(one.secret[:])}
}

// Load returns what find has opened.
func (fromDriver) Load(_ context.Context, c *OldCookie) (*OldSession, error) {
	if c.own.stored == nil {
		return nil, c.own.loaded.err
	}
	return &OldSession{record: c.own.stored}, nil
}

func (fromDriver) Remove(_ context.Context, c *OldCookie) error {
	own := c.own
	own.mu.Lock()
	defer own.mu.Unlock()
	presented, _ := own.presented()
	for i := range presented {
		presented[i].imported = true
	}
	return own.end(&presented)
}
