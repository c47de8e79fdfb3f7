package session

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxCookie   = 4096        // bytes of name and value: RFC 6265bis, section 5.6
	futureSkew  = time.Minute // how far another server's clock may be ahead
	reportsKeys = 3           // how many of the largest keys a SizeError names
)

// A CookieDriver keeps the whole session in the cookie, sealed with the application's secret.
// The token is the sealed record itself, so there is nothing to run and nothing to lose with a
// server, and what follows from it should be known before it is chosen:
//
//   - The last Set-Cookie wins. Two requests at once that change the session each store what
//     they saw and did; the browser keeps the answer that came last, also against a login or a
//     logout in another tab.
//   - A copied cookie opens until its idle timeout or lifetime ends, after Regenerate, Destroy
//     and logout too. Within one process an ended session is remembered for Tombstone.
//   - Name and value have 4096 bytes at most; more is a *SizeError, and nothing is sent.
//
// The use of a session is noted, and a session that a previous secret opened is sealed anew,
// when it is stored, or once a tenth of the idle timeout has passed: so the idle timeout may
// end up to a tenth early, never late.
type CookieDriver struct {
	cfg     CookieConfig
	keys    *keyring
	scratch sync.Pool // of *scratch

	remembers atomic.Bool // something stands in ended: most processes never need the lock

	mu    sync.Mutex
	ended [2]map[[idBytes]byte]int64 // identifier to when it ended, in two generations
	turn  int64                      // when the older generation was dropped
}

// A scratch is room for a cookie that is opened or sealed, before what is in it is copied: to make
// it anew each time took 5 % of a request that reads and writes.
type scratch struct{ wire, text [maxCookie]byte }

var (
	_ Driver           = (*CookieDriver)(nil)
	_ checker          = (*CookieDriver)(nil)
	_ clockedDestroyer = (*CookieDriver)(nil)
)

// NewCookieDriver returns a cookie driver that seals with secret and opens with secret and
// previous. NewManager makes one of Config.Cookie and Config.Secret; a second one goes into
// Config.Drivers. Weak secrets are refused, all at once.
func NewCookieDriver(cfg CookieConfig, secret string, previous ...string) (*CookieDriver, error) {
	keys, err := newKeyring(secret, previous)
	if err != nil {
		return nil, err
	}
	d := &CookieDriver{cfg: cfg, keys: keys}
	d.scratch.New = func() any { return new(scratch) }
	return d, nil
}

// Load opens the sealed record. See Driver.
func (d *CookieDriver) Load(_ context.Context, tok Token, now time.Time) (*Record, error) {
	rec, current, err := d.open(tok, now)
	if err != nil {
		return nil, err
	}
	if rec.expired(now) {
		return nil, expiredAt(rec, now)
	}
	if at, ended := d.endedAt(rec.head.id, now); ended {
		return nil, &EndedError{At: time.UnixMilli(at)}
	}
	rec.first = rec.head.used == rec.head.created
	stale := now.UnixMilli()-rec.head.used >= rec.head.idle/10
	rec.head.used = max(rec.head.used, now.UnixMilli())
	rec.resave = stale || !current
	return rec, nil
}

// open unseals a record, which is the caller's own to change. What was made by a clock that is
// too far ahead is refused like what was never sealed.
func (d *CookieDriver) open(tok Token, now time.Time) (rec *Record, current bool, err error) {
	buf := d.scratch.Get().(*scratch)
	defer d.scratch.Put(buf)
	plain, current, err := d.keys.openIn(buf.wire[:0], tok.Scope(), tok.Value())
	if err != nil {
		return nil, false, errNotOurs
	}
	rec, err = ParseRecord(tok, plain)
	if err != nil {
		return nil, false, errNotOurs
	}
	latest := now.Add(futureSkew).UnixMilli()
	if rec.head.created > latest || rec.head.used > latest {
		return nil, false, errNotOurs
	}
	return rec, current, nil
}

// Save seals the record with the changes. See Driver.
func (d *CookieDriver) Save(_ context.Context, rec *Record, ch *Changes) (Token, error) {
	if rec != nil {
		if rec.expired(ch.Now()) {
			return Token{}, ErrNoSession
		}
		if at, ended := d.endedAt(rec.head.id, ch.Now()); ended {
			return Token{}, &EndedError{At: time.UnixMilli(at)}
		}
	}
	if err := ch.Check(rec); err != nil {
		return Token{}, err
	}
	name := scopeOf(rec, ch)
	room := d.scratch.Get().(*scratch)
	defer d.scratch.Put(room)
	buf := ch.appendPacked(d.keys.begin(room.wire[:], name), rec)
	if cookieSize(name, len(buf)-plainAt(name)) > maxCookie {
		return Token{}, fits(name, ch.merge(rec, false))
	}
	if rec != nil && ch.Rotates() {
		d.remember(rec.head.id, ch.Now())
	}
	return Token{scope: name, value: d.keys.finish(name, buf, room.text[:0])}, nil
}

// Destroy ends a session within this process. See Driver and CookieDriver for what that means.
func (d *CookieDriver) Destroy(ctx context.Context, tok Token) error {
	return d.destroyAt(ctx, tok, time.Now())
}

func (d *CookieDriver) destroyAt(_ context.Context, tok Token, now time.Time) error {
	if rec, _, err := d.open(tok, now); err == nil && !rec.expired(now) {
		d.remember(rec.head.id, now)
	}
	return nil
}

// check reports whether the record with the changes would not fit into the cookie. Most are so
// far from the limit that nothing needs to be merged to tell.
func (d *CookieDriver) check(rec *Record, ch *Changes) error {
	if cookieSize(scopeOf(rec, ch), sizeAtMost(rec, ch)) <= maxCookie {
		return nil
	}
	return fits(scopeOf(rec, ch), ch.merge(rec, false))
}

// sizeAtMost returns how many bytes the record with the changes packs to at the most.
func sizeAtMost(rec *Record, ch *Changes) int {
	if rec == nil {
		return headSize + 1 + ch.growth()
	}
	return rec.packedSize() + ch.growth()
}

// scopeOf returns the cookie name that the result of the changes is sealed for.
func scopeOf(rec *Record, ch *Changes) string {
	if rec != nil {
		return rec.Token().Scope()
	}
	return ch.NewToken().Scope()
}

// cookieSize returns how much of maxCookie a sealed record takes.
func cookieSize(name string, packed int) int { return len(name) + sealedSize(packed) }

func fits(name string, rec *Record) error {
	size := cookieSize(name, rec.packedSize())
	if size <= maxCookie {
		return nil
	}
	return &SizeError{Limit: maxCookie, Size: size, Largest: rec.largest(reportsKeys)}
}

// largest returns the n keys with the most bytes, data and flash alike.
func (r *Record) largest(n int) []KeySize {
	var sizes []KeySize
	for key, value := range r.Values() {
		sizes = append(sizes, KeySize{Key: key, Size: len(value)})
	}
	for key, v := range r.Flash() {
		sizes = append(sizes, KeySize{Key: key, Size: len(v.Value)})
	}
	slices.SortStableFunc(sizes, func(a, b KeySize) int { return b.Size - a.Size })
	return sizes[:min(n, len(sizes))]
}

// remember notes that a session ended. Identifiers are dropped a generation at a time, when
// all of it is older than Tombstone: nothing walks them.
func (d *CookieDriver) remember(id [idBytes]byte, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turnOver(now.UnixMilli())
	if d.ended[0] == nil {
		d.ended[0] = make(map[[idBytes]byte]int64)
	}
	d.ended[0][id] = now.UnixMilli()
	d.remembers.Store(true)
}

func (d *CookieDriver) endedAt(id [idBytes]byte, now time.Time) (int64, bool) {
	if !d.remembers.Load() {
		return 0, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, generation := range d.ended {
		if at, ok := generation[id]; ok && now.UnixMilli()-at < Tombstone.Milliseconds() {
			return at, true
		}
	}
	return 0, false
}

func (d *CookieDriver) turnOver(now int64) {
	if now-d.turn < Tombstone.Milliseconds() {
		return
	}
	if now-d.turn >= 2*Tombstone.Milliseconds() {
		d.ended[0] = nil
	}
	d.ended[1], d.ended[0], d.turn = d.ended[0], nil, now
}
