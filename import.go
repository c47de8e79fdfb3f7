package session

import (
	"context"
	"net/http"
	"slices"
	"time"

	"example.com/session/driver"
)

// An Importer finds the sessions that another library keeps, for Config.Import. It must be safe for
// concurrent use. Load and Remove get a context that ends after Config.StoreTimeout, also if the client
// disconnects, and must return then.
//
// FromDriver returns the one for a driver of this library. The modules importers/scs and
// importers/gorilla have those of other libraries.
type Importer interface {
	// Find returns the old session whose cookie came with a request, nil if none came. An error says why
	// a cookie is refused, such as a signature by another key, and does not quote it: it is logged, and the
	// request has no session. Find asks no store.
	Find(r *http.Request) (*OldCookie, error)

	// Load returns what the old session holds, nil if it is over. An error that is a driver.ErrDamaged
	// says that it cannot be read: it is logged, and the request has no session. Every other error
	// says that its store cannot be asked: the request gets the error answer, as in an outage.
	Load(ctx context.Context, c *OldCookie) (*OldSession, error)

	// Remove deletes the old session from its store, after a move or at a sign-out. To find nothing is no
	// error, and an importer of sessions in cookies does nothing. After a move, an error is only logged.
	// At a sign-out the request gets the error answer.
	Remove(ctx context.Context, c *OldCookie) error
}

// An OldCookie is the cookie of an old session.
type OldCookie struct {
	redacted

	// ID names the old session for good. Two requests of one session have the same ID, and no other
	// session ever has it. For 30 seconds after the move, whoever presents a cookie with this ID gets the
	// new session. So it must be a secret, such as a token, or Find must have verified the cookie.
	ID string

	// Value is for the Importer: what Find has read.
	Value any

	// Expire are the cookies that a response deletes when the session has moved, by Name, Domain and
	// Path.
	Expire []*http.Cookie

	own    *Session // of FromDriver
	secret string   // likewise: what a client must know beside ID, which lists and logs show
}

// An OldSession is what an old session holds.
type OldSession struct {
	redacted

	User       string    // who is signed in, "" for nobody
	SignedInAt time.Time // zero: when the session was created
	CreatedAt  time.Time // zero: not known

	// ExpiresAt is when the session ends whatever happens, zero if that is not known: then
	// Config.Lifetime counts from CreatedAt, or from the move. If it is later than Config.Lifetime allows,
	// the session is remembered until then, for at most 400 days, as by Session.Remember. If it is earlier,
	// Session.CreatedAt returns an earlier time than CreatedAt.
	ExpiresAt time.Time

	// Values are stored as Session.Set does it, under keys of 1 to 255 bytes. If one cannot be, the old
	// session cannot be imported.
	Values map[string]any

	record *driver.Record // of FromDriver
}

// FromDriver returns an Importer of the sessions of another driver of the same manager, "cookie" for
// example. Values, flash, user, beginning and the limits of Session.Remember move as they are. Until a
// session moves, a request that only reads counts as use on that driver. It works only as Config.Import
// itself, not inside another Importer.
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
	if src.err != nil || src.byIP {
		return nil
	}
	own := &Session{request: r, source: src}
	presented, _ := own.presented(maxPresented)
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
	presented, _ := own.presented(maxPresented)
	for i := range presented {
		presented[i].imported = true
	}
	return own.end(&presented)
}
