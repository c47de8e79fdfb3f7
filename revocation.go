package session

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"example.com/session/driver"
)

// A revocation keeps a record on a server for each session in a cookie that somebody is signed in
// with: the same id, secrets, user and limits, without data and flash. What that record says is
// final, so a sign-out holds against copies of the cookie. Visitors have none.
//
// The record says who may come in. A list of those who may not would let them in again when it is
// lost.
type revocation struct {
	home   *source
	window time.Duration

	mu     sync.Mutex
	recent [2]map[driver.ID]checkedAt // in two generations, so nothing walks them
	turned time.Time
	ends   uint64 // counts the calls of forget
}

// A checkedAt is what the server said of a session last.
type checkedAt struct {
	at     time.Time
	record *driver.Record
}

// load returns the record that came in the cookie, with the secrets and the user that the server
// has by now. The server is asked at most once a window for each session, and whenever what it said
// does not accept the secret that came: another process may have installed it since.
func (v *revocation) load(ctx context.Context, rec *driver.Record, secret driver.Digest, now time.Time) (*driver.Record, error) {
	current, ok := v.lookup(rec.ID(), now)
	if !ok || !current.Accepts(secret) {
		v.home.used.Store(true) // Ping asks it from now on
		ends := v.countEnds()
		var err error
		if current, err = v.home.driver.Load(ctx, rec.ID(), now); err != nil {
			return nil, err
		}
		v.keepAlive(ctx, current, secret, now)
		v.note(current, now, ends)
	}
	return rec.WithIdentity(current), nil
}

// keepAlive notes the use of the session on the server, once a part of its idle timeout has passed.
// If that fails, the next request tries again.
func (v *revocation) keepAlive(ctx context.Context, current *driver.Record, secret driver.Digest, now time.Time) {
	limits := current.Limits()
	if now.Sub(current.UsedAt()) < limits.Idle/usePartInCookie {
		return
	}
	ch := &driver.Changes{ID: current.ID(), Number: rand.Uint64(), Since: current.LastSave(), Now: now, Use: true,
		Limits: limits, Expect: secret}
	_, _ = v.home.driver.Save(ctx, current, ch)
}

// save stores what the changes make of the server's record, then returns the session with its
// content. Changes of data and flash ask the server only whether the session lives.
func (v *revocation) save(ctx context.Context, base *driver.Record, ch *driver.Changes) (*driver.Record, error) {
	onServer := *ch
	onServer.Ops = accountOps(ch.Ops)
	if base != nil && len(onServer.Ops) == 0 && !ch.Restart && ch.Install == (driver.Digest{}) {
		rec, err := v.load(ctx, base, ch.Expect, ch.Now)
		if err != nil {
			return nil, err
		}
		return ch.Apply(rec)
	}
	v.home.used.Store(true)
	var known *driver.Record              // the server's own: the one in the cookie has content too
	if base != nil && base.User() == "" { // a visitor has none
		onServer.New = true
	} else if base != nil {
		var err error
		if known, err = v.known(ctx, base.ID(), ch.Now); err != nil {
			return nil, err
		}
	}
	onServer.Limits.Idle += ch.Limits.Idle/usePartInCookie + v.window // the cookie's own idle timeout counts
	ends := v.countEnds()
	current, err := v.home.driver.Save(ctx, known, &onServer)
	var conflict *driver.ConflictError
	switch {
	case errors.As(err, &conflict) && base != nil:
		return nil, &driver.ConflictError{Current: base.WithIdentity(conflict.Current), Key: conflict.Key}
	case err != nil:
		v.forget(ch.ID) // it may have ended
		return nil, err
	}
	v.note(current, ch.Now, ends)
	if base == nil {
		return ch.Apply(nil)
	}
	return ch.Apply(base)
}

// known returns the record that the server has, or had within the window.
func (v *revocation) known(ctx context.Context, id driver.ID, now time.Time) (*driver.Record, error) {
	if rec, ok := v.lookup(id, now); ok {
		return rec, nil
	}
	return v.home.driver.Load(ctx, id, now)
}

func accountOps(all []driver.Op) (ops []driver.Op) {
	for _, op := range all {
		if op.Part == driver.Account {
			ops = append(ops, op)
		}
	}
	return ops
}

func (v *revocation) lookup(id driver.ID, now time.Time) (*driver.Record, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, generation := range v.recent {
		if last, ok := generation[id]; ok {
			age := now.Sub(last.at)
			return last.record, age >= 0 && age < v.window
		}
	}
	return nil, false
}

// forget makes this process ask again.
func (v *revocation) forget(id driver.ID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ends++
	for _, generation := range v.recent {
		delete(generation, id)
	}
}

func (v *revocation) countEnds() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ends
}

// note keeps what the server said, unless a session was ended since countEnds returned ends: it may be
// this one.
func (v *revocation) note(rec *driver.Record, now time.Time, ends uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ends != ends {
		return
	}
	if now.Sub(v.turned) >= v.window {
		v.recent[1], v.recent[0], v.turned = v.recent[0], make(map[driver.ID]checkedAt), now
	}
	v.recent[0][rec.ID()] = checkedAt{now, rec}
}
