package drivertest

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"time"

	"example.com/session/driver"
)

// A reference is a Driver and an Index as simple as they can be: maps, a lock, and changes applied
// to the record as it is. If it has a fault, it does one thing wrong.
type reference struct {
	fault  string
	mu     sync.Mutex
	stored map[string]*slot // by id
	users  map[string]*list // by user
}

// A slot holds a record, bytes that are no record, or a tombstone.
type slot struct {
	rec       *driver.Record
	damaged   bool
	at, until time.Time // of a tombstone
}

func newReference(fault string) *reference {
	return &reference{fault: fault, stored: map[string]*slot{}, users: map[string]*list{}}
}

func (d *reference) has(fault string) bool { return d.fault == fault }

// damage is Options.Damage.
func (d *reference) damage(id driver.ID, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rec, err := driver.ParseRecord(data)
	d.stored[d.key(id)] = &slot{rec: rec, damaged: err != nil}
}

func (d *reference) key(id driver.ID) string {
	switch {
	case d.has("folds the case of ids"):
		return strings.ToLower(id.String())
	case d.has("cuts ids at a zero byte"):
		text, _, _ := strings.Cut(string(id[:]), "\x00")
		return text
	case d.has("looks at eight bytes of an id"):
		return string(id[:8])
	}
	return string(id[:])
}

// interrupted returns why a context has ended.
func (d *reference) interrupted(ctx context.Context) error {
	err := ctx.Err()
	if err != nil && d.has("takes an ended context for a missing session") {
		return driver.ErrNoSession
	}
	return err
}

// record returns what is under an id. The lock is held.
func (d *reference) record(id driver.ID, now time.Time) (*driver.Record, error) {
	s := d.stored[d.key(id)]
	switch {
	case s == nil:
		return nil, nil
	case s.damaged && d.has("takes damage for an outage"):
		return nil, driver.ErrUnavailable
	case s.damaged && d.has("takes damage for a missing session"):
		return nil, nil
	case s.damaged:
		return nil, driver.ErrDamaged
	case s.rec != nil:
		return s.rec, nil
	case d.has("leaves no tombstone"):
		return nil, nil
	case now.Before(s.until) || d.has("leaves a tombstone for ever"):
		if d.has("does not say how long ago a session ended") {
			return nil, &driver.EndedError{}
		}
		if d.has("takes a tombstone for a missing session") {
			return nil, driver.ErrNoSession
		}
		return nil, &driver.EndedError{Ago: now.Sub(s.at)}
	}
	return nil, nil
}

func (d *reference) Load(ctx context.Context, id driver.ID, now time.Time) (*driver.Record, error) {
	if err := d.interrupted(ctx); err != nil {
		if s := d.stored[d.key(id)]; s != nil && d.has("returns a record with an error") {
			return s.rec, err
		}
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	rec, err := d.record(id, now)
	if rec == nil && err == nil {
		if d.has("creates on load") {
			ch := driver.Changes{ID: id, Now: now, New: true, Limits: driver.Limits{Lifetime: time.Hour, Idle: time.Hour}}
			rec, _ = ch.Apply(nil)
			d.stored[d.key(id)] = &slot{rec: rec}
			return rec, nil
		}
		err = driver.ErrNoSession
	}
	if rec != nil && d.has("counts a load as use") {
		ch := driver.Changes{ID: id, Now: now, Number: newNumber(), Use: true, Limits: rec.Limits()}
		for _, c := range rec.Credentials() {
			ch.Expect = c.Digest
		}
		if next, err := ch.Apply(rec); err == nil {
			d.stored[d.key(id)].rec, rec = next, next
		}
	}
	return rec, err
}

func (d *reference) Save(ctx context.Context, base *driver.Record, ch *driver.Changes) (*driver.Record, error) {
	if err := d.interrupted(ctx); err != nil {
		if d.has("swallows the error of a save") {
			return base, nil
		}
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	rec, err := d.save(base, d.spoiled(ch))
	if err != nil && !d.has("returns a record with a refusal") {
		return nil, err
	}
	if err == nil && ctx.Err() != nil { // it is stored, and the acknowledgement is lost
		if d.has("removes the session when a save is interrupted") {
			delete(d.stored, d.key(ch.ID))
		}
		return nil, ctx.Err()
	}
	return rec, err
}

// spoiled returns the changes as a driver with a fault takes them.
func (d *reference) spoiled(ch *driver.Changes) *driver.Changes {
	bad := *ch
	switch {
	case d.has("does not count saves as use"):
		bad.Use = false
	case d.has("counts every save as use"):
		bad.Use = true
	case d.has("ignores the limits of the configuration"):
		bad.Limits = driver.Limits{Lifetime: 100 * time.Hour, Idle: 100 * time.Hour}
	case d.has("ignores Restart"):
		bad.Restart = false
	case d.has("never replaces a secret"):
		bad.Replace = false
	case d.has("installs no secret"):
		bad.Install = driver.Digest{}
	case d.has("forgets that a save was retried"):
		bad.Retried = false
	case d.has("stores half of the changes"):
		bad.Ops = ch.Ops[:(len(ch.Ops)+1)/2]
	case d.has("does not remember the secret before the first save") && ch.New:
		bad.Expect = driver.Digest{}
	}
	return &bad
}

func (d *reference) save(base *driver.Record, ch *driver.Changes) (*driver.Record, error) {
	rec, err := d.record(ch.ID, ch.Now)
	if err != nil {
		switch {
		case d.has("an ended record accepts a save"):
			rec = base
		case d.has("a tombstone gives way to a new session") && ch.New:
		case d.has("repairs a damaged record by a save"):
			rec = base
		default:
			return nil, err
		}
	}
	if rec == nil && base != nil && d.has("a missing record accepts a save") {
		rec = base
	}
	if rec != nil {
		rec, ch = d.loosened(base, rec, ch)
	}
	if rec != nil && ch.New && d.has("an expired record refuses a new session") {
		return nil, &driver.ConflictError{Current: rec}
	}
	next, err := ch.Apply(rec)
	if err != nil {
		if d.has("answers a refusal with an error of its own") {
			return nil, driver.ErrUnavailable
		}
		if d.has("stores what a refusal leaves") && rec != nil && !ch.New {
			ok := *ch
			ok.Ops = nil
			if next, err := ok.Apply(rec); err == nil {
				d.stored[d.key(ch.ID)] = &slot{rec: next}
			}
		}
		return rec, err
	}
	d.stored[d.key(ch.ID)] = &slot{rec: d.rewritten(next)}
	switch {
	case d.has("returns base in place of the stored record") && base != nil:
		return base, nil
	case d.has("returns nil in place of the stored record"):
		return nil, nil
	}
	return next, nil
}

// loosened returns the record and the changes as a driver with a fault judges them.
func (d *reference) loosened(base, rec *driver.Record, ch *driver.Changes) (*driver.Record, *driver.Changes) {
	bad := *ch
	switch {
	case d.has("does not check the secret"):
		bad.Expect = d.accepted(rec)
	case d.has("accepts a replaced secret"):
		if _, replaced := rec.ReplacedAt(ch.Expect); replaced {
			bad.Expect = d.accepted(rec)
		}
	case d.has("judges the secret before the number") && !ch.New && !rec.Accepts(ch.Expect):
		bad.Number = newNumber()
	case d.has("an expired record accepts a save") && !ch.New && !ch.Now.Before(rec.ExpiresWithin(ch.Limits)):
		bad.Now = rec.UsedAt()
	case d.has("expires a millisecond late") && !ch.Now.Before(rec.ExpiresWithin(ch.Limits)):
		bad.Now = ch.Now.Add(-time.Millisecond)
	case d.has("expires a millisecond early"):
		bad.Now = ch.Now.Add(time.Millisecond)
	case d.has("applies a repeated save again") && rec.Applied(ch.Number) && !ch.New:
		bad.Number = newNumber()
	case d.has("remembers the last save only") && rec.LastSave() != ch.Number && rec.Applied(ch.Number):
		bad.Number = newNumber()
	case d.has("refuses a repeated first save") && ch.New:
		bad.Number = newNumber()
	case d.has("a new session replaces another") && ch.New:
		return nil, &bad
	case d.has("applies changes to base") && base != nil:
		return base, &bad
	case d.has("reads before it locks"):
		d.mu.Unlock()
		runtime.Gosched()
		d.mu.Lock()
	}
	return rec, &bad
}

func (d *reference) accepted(rec *driver.Record) (secret driver.Digest) {
	for _, c := range rec.Credentials() {
		if !c.Replaced {
			secret = c.Digest
		}
	}
	return secret
}

// rewritten returns a record as a driver with a fault stores it.
func (d *reference) rewritten(rec *driver.Record) *driver.Record {
	rewrite := func(p driver.Part, change func(string) string) *driver.Record {
		ch := driver.Changes{ID: rec.ID(), Number: rec.LastSave() + 1, Now: rec.UsedAt(), Expect: d.accepted(rec), Limits: rec.Limits()}
		if p != driver.Flash {
			for key, encoded := range rec.Values(p) {
				if change(encoded) != encoded {
					ch.Ops = append(ch.Ops, driver.Op{Kind: driver.Set, Part: p, Key: key, Encoded: change(encoded)})
				}
			}
		} else if rec.HasFlash() {
			ch.Ops = []driver.Op{{Kind: driver.Clear, Part: p}}
		}
		if len(ch.Ops) == 0 {
			return rec
		}
		next, err := ch.Apply(rec)
		if err != nil {
			return rec
		}
		return next
	}
	switch {
	case d.has("cuts values at a zero byte"):
		return rewrite(driver.Data, func(s string) string { s, _, _ = strings.Cut(s, "\x00"); return s })
	case d.has("makes values UTF-8"):
		return rewrite(driver.Data, func(s string) string { return strings.ToValidUTF8(s, "\uFFFD") })
	case d.has("cuts large values"):
		return rewrite(driver.Data, func(s string) string { return s[:min(len(s), 1<<16)] })
	case d.has("keeps no account part"):
		return rewrite(driver.Account, func(string) string { return "" })
	case d.has("keeps no flash"):
		return rewrite(driver.Flash, nil)
	}
	return rec
}

func (d *reference) End(ctx context.Context, base *driver.Record, e *driver.Ending) (*driver.Record, error) {
	if err := d.interrupted(ctx); err != nil {
		if d.has("swallows the error of an end") {
			return nil, nil
		}
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stored[d.key(e.ID)]
	if s == nil {
		s = &slot{}
	}
	rec := s.rec
	judged := rec
	if d.has("judges an ending by base") {
		judged = base
	}
	switch {
	case d.has("ends nothing"):
		return rec, nil
	case s.damaged && d.has("asks a damaged record before it ends it"):
		return nil, driver.ErrDamaged
	case s.damaged, d.has("ends without asking the record"):
	case d.has("ends only by an accepted secret") && e.User == "" && rec != nil && !rec.Accepts(e.Secret):
		return nil, nil
	case d.has("leaves a tombstone for an unknown id") && rec == nil:
	case d.has("leaves no tombstone for an unknown id of a user") && rec == nil && s.until.IsZero():
		return nil, nil
	case !e.Allows(judged):
		return nil, nil
	}
	if err := d.leaveTombstone(e, s); err != nil {
		return nil, err
	}
	switch {
	case d.has("returns base as the ended record"):
		return base, nil
	case d.has("returns no ended record"):
		return nil, nil
	}
	return rec, ctx.Err()
}

// leaveTombstone puts a tombstone in the place of what is in a slot.
func (d *reference) leaveTombstone(e *driver.Ending, s *slot) error {
	until := e.Now.Add(e.For)
	switch {
	case d.has("leaves a short tombstone"):
		until = e.Now.Add(driver.Tombstone / 2)
	case d.has("leaves every tombstone for half a minute"):
		until = e.Now.Add(driver.Tombstone)
	case d.has("leaves every tombstone for an hour"):
		until = e.Now.Add(driver.IndexTombstone)
	}
	standing := s.rec == nil && until.Before(s.until)
	if standing && !d.has("shortens a tombstone") || !s.until.IsZero() && d.has("never lengthens a tombstone") {
		return nil
	}
	if s.rec != nil && d.has("ends in two steps") {
		d.mu.Unlock()
		time.Sleep(time.Millisecond)
		d.mu.Lock()
		if d.stored[d.key(e.ID)].rec != s.rec {
			return nil
		}
	}
	if d.has("forgets an ended record") {
		delete(d.stored, d.key(e.ID))
		return nil
	}
	at := e.Now
	if s.rec == nil && !s.at.IsZero() {
		at = s.at
	}
	d.stored[d.key(e.ID)] = &slot{at: at, until: until}
	return nil
}

func (d *reference) Ping(context.Context) error {
	if d.has("does not answer a ping") {
		return driver.ErrUnavailable
	}
	return nil
}
