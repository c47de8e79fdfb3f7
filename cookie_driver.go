package session

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.com/session/driver"
	"example.com/session/internal/sealed"
)

const maxCookie = 4096 // bytes of name and value: RFC 6265bis, section 5.6

// A cookieDriver keeps sessions in the client's cookies, sealed with the application's secret. Its
// limits:
//
//   - The last Set-Cookie wins. Each of two parallel requests that change the data sends the data
//     that it has loaded plus its own changes, and the browser keeps the last response. The same
//     holds for two that change who is signed in. No other request changes who is signed in.
//   - A copied cookie opens until it expires, also after Regenerate and Logout, unless Revocation is
//     set. Within one process an ended session is remembered for driver.Tombstone.
//   - Name and value of the data cookie have at most 3500 bytes. If they have more, the save returns
//     a *SizeError and no cookie is sent.
//
// A use is recorded once a tenth of the idle timeout, or six minutes, has passed since the last
// recorded one. So a session may expire earlier by that much.
type cookieDriver struct {
	keys       *sealed.Keyring
	name       string // of the identity cookie
	dataPrefix string // of the names of data cookies
	revocation *revocation
	ended      recentIDs
	recent     recentlyOpened
	scratch    sync.Pool // of *[2 * maxCookie]byte: for what is not kept of opening and sealing
}

var _ driver.Driver = (*cookieDriver)(nil)

func newCookieDriver(cfg *Config, name string) (*cookieDriver, error) {
	keys, err := sealed.NewKeyring(cfg.Secret, cfg.PreviousSecrets)
	if err != nil {
		return nil, err
	}
	d := &cookieDriver{keys: keys, name: name, dataPrefix: name + "_"}
	d.scratch.New = func() any { return new([2 * maxCookie]byte) }
	return d, nil
}

// load returns the record that came in the cookie, unless the session was ended.
func (d *cookieDriver) load(ctx context.Context, rec *driver.Record, secret driver.Digest, now time.Time) (*driver.Record, error) {
	if d.onServer(rec) {
		return d.revocation.load(ctx, rec, secret, now)
	}
	if ago, ok := d.ended.ago(rec.ID(), now); ok {
		return nil, &driver.EndedError{Ago: ago}
	}
	return rec, nil
}

// onServer reports whether a server decides about the session of a record: Revocation is set, and
// somebody is signed in.
func (d *cookieDriver) onServer(rec *driver.Record) bool {
	return d.revocation != nil && rec != nil && rec.User() != ""
}

// Load finds nothing: sessions come in cookies.
func (d *cookieDriver) Load(context.Context, driver.ID, time.Time) (*driver.Record, error) {
	return nil, ErrNoSession
}

// Save applies the changes to the record that the request has loaded. The cookie is sealed when the
// header is written.
func (d *cookieDriver) Save(ctx context.Context, base *driver.Record, ch *driver.Changes) (*driver.Record, error) {
	if ago, ok := d.ended.ago(ch.ID, ch.Now); ok && !d.onServer(base) {
		return nil, &driver.EndedError{Ago: ago}
	}
	rec, err := ch.Apply(base)
	if err != nil {
		return nil, err
	}
	if err := d.fits(rec); err != nil { // before the server is told
		return nil, err
	}
	if !d.onServer(rec) {
		return rec, nil
	}
	if rec, err = d.revocation.save(ctx, base, ch); err != nil {
		return nil, err
	}
	return rec, d.fits(rec)
}

// End ends a session on the server if Revocation is set. A session that the server does not know,
// such as a visitor's, is remembered as ended within this process.
func (d *cookieDriver) End(ctx context.Context, base *driver.Record, e *driver.Ending) (*driver.Record, error) {
	if base != nil && e.User == "" && !e.Allows(base) {
		return nil, nil
	}
	if d.revocation != nil {
		ended, err := d.revocation.home.driver.End(ctx, nil, e)
		d.revocation.forget(e.ID)
		if err != nil || ended != nil || base == nil || base.User() != "" {
			return ended, err
		}
	}
	if base == nil { // without its data there is no session
		return nil, nil
	}
	d.ended.add(e.ID, e.Now)
	return base, nil
}

// fits returns a *SizeError if a record is too large for the data cookie.
func (d *cookieDriver) fits(rec *driver.Record) error {
	size := len(d.dataPrefix) + dataSuffix + sealed.SealedLen(rec.SizeWithoutHistory())
	if size <= maxData {
		return nil
	}
	return &SizeError{Limit: maxData, Size: size, Largest: largestOf(rec, largestKeys)}
}

// checkSize reports, before other sessions of the request are stored, that this one does not fit.
func (s *Session) checkSize() error {
	if s.pending.isEmpty() || s.isLost() || s.loaded.status == anonymous {
		return nil
	}
	sv := s.newSave()
	pending := s.pending
	pending.ops = slices.Clone(pending.ops)
	sv.Ops, _ = pending.take()
	rec, err := sv.Apply(sv.base)
	if err != nil {
		return nil // the save reports it
	}
	if err := s.source.cookies.fits(rec); err != nil {
		s.noteProblem(err)
		return err
	}
	return nil
}

// largestOf returns the n parts of a record with the most bytes.
func largestOf(rec *driver.Record, n int) []KeySize {
	sizes := []KeySize{{sizeOfDescription, len(accountOf(rec, accountHints))}}
	for key, encoded := range rec.Values(driver.Data) {
		sizes = append(sizes, KeySize{key, len(encoded)})
	}
	for v := range rec.Flash() {
		sizes = append(sizes, KeySize{v.Key, len(v.Encoded)})
	}
	slices.SortStableFunc(sizes, func(a, b KeySize) int { return b.Size - a.Size })
	return sizes[:min(n, len(sizes))]
}

// recentIDs remembers ids for driver.Tombstone. It drops them a generation at a time, when all ids
// of a generation are older than that, so it never iterates over them.
type recentIDs struct {
	some atomic.Bool // most processes never need the lock

	mu          sync.Mutex
	generations [2]map[driver.ID]time.Time
	turned      time.Time
}

func (r *recentIDs) add(id driver.ID, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.turned) >= driver.Tombstone {
		r.generations[1] = r.generations[0]
		r.generations[0], r.turned = make(map[driver.ID]time.Time), now
	}
	r.generations[0][id] = now
	r.some.Store(true)
}

func (r *recentIDs) ago(id driver.ID, now time.Time) (time.Duration, bool) {
	if !r.some.Load() {
		return 0, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, generation := range r.generations {
		if at, ok := generation[id]; ok {
			ago := now.Sub(at)
			return ago, ago < driver.Tombstone
		}
	}
	return 0, false
}
