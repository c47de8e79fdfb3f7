package session

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"sync"
	"time"
)

// A guard makes the sessions of a cookie driver revocable. For each one that somebody is signed
// in with, a server-side driver keeps a stand-in: a record without data under a token made of
// the session's identifier. A cookie opens only while its stand-in does, and that is asked at
// most once a window for each session. Visitors have none.
//
// A stand-in says who may come in, where a list of those who may not would let them in again
// when it is lost.
type guard struct {
	stands accountIndex
	home   *source // whose driver that is
	scope  string
	window time.Duration

	mu   sync.Mutex
	seen [2]map[[idBytes]byte]sighting // in two generations, which nothing walks
	turn int64                         // when the older generation was dropped
}

// A sighting is what was found when a stand-in was asked for last.
type sighting struct {
	at  int64
	err error // nil where it lives
}

// token returns the token of a session's stand-in. It is no secret: no client can present a
// token of this scope, which has a space in it.
func (g *guard) token(id [idBytes]byte) Token {
	sum := sha256.Sum256(append([]byte("session: stand-in v1\x00"), id[:]...))
	return Token{scope: g.scope, value: base64.RawURLEncoding.EncodeToString(sum[:])}
}

// admit stores the stand-in of a session that begins or gets another identifier. Of a session
// that has one, it takes the place of that, which must live still: nobody asks meanwhile whether
// the session was ended.
func (g *guard) admit(ctx context.Context, rec *Record, ch *Changes) error {
	limits := ch.limits
	limits.Remembered = false
	limits.Idle += limits.Idle/10 + g.window // the cookie's own idle timeout is the one that counts
	stand := &Changes{now: ch.now, number: ch.number, again: ch.again, token: g.token(ch.id), id: ch.id, limits: limits}
	for _, key := range [...]string{accountSignedIn, accountHints, accountUser} {
		if value, ok := ch.accountValue(rec, key); ok {
			stand.setAccount(key, value)
		}
	}
	g.home.used.Store(true) // Ping asks about it from now on
	user, _ := accountOf(rec, nil)
	if user == "" {
		_, err := g.stands.Save(ctx, nil, stand)
		return err
	}
	stand.rotates = true
	_, err := g.stands.Save(ctx, &Record{token: g.token(rec.head.id), assumed: true}, stand)
	var unsure *unsureError
	if errors.As(err, &unsure) {
		return unsure.cause // what is unsure is the stand-in, and no token of a client
	}
	if err == nil || isGone(err) {
		g.note(rec.head.id, sighting{at: ch.now, err: &EndedError{At: ch.Now()}})
	}
	return err
}

// describe changes what the stand-in shows in a list.
func (g *guard) describe(ctx context.Context, id [idBytes]byte, ch *Changes) error {
	hints, ok := ch.accountValue(nil, accountHints)
	if !ok {
		return nil
	}
	stand := &Changes{now: ch.now, number: ch.number, again: ch.again}
	stand.setAccount(accountHints, hints)
	_, err := g.stands.Save(ctx, &Record{token: g.token(id)}, stand)
	return err
}

// dismiss ends a stand-in.
func (g *guard) dismiss(ctx context.Context, id [idBytes]byte, now time.Time) error {
	if err := g.stands.endID(ctx, g.token(id).ID(), now); err != nil {
		return err
	}
	g.note(id, sighting{at: now.UnixMilli(), err: &EndedError{At: now}})
	return nil
}

// check returns an ErrNoSession where the session was ended.
func (g *guard) check(ctx context.Context, id [idBytes]byte, now time.Time) error {
	if last, ok := g.recent(id, now); ok {
		return last.err
	}
	g.home.used.Store(true)
	_, err := g.stands.Load(ctx, g.token(id), now)
	if err == nil || isGone(err) {
		g.note(id, sighting{at: now.UnixMilli(), err: err})
	}
	return err
}

// forget makes this process notice at once that a session was ended.
func (g *guard) forget(handle string, now time.Time) {
	raw, err := base64.RawURLEncoding.DecodeString(handle)
	if err == nil && len(raw) == idBytes {
		g.note([idBytes]byte(raw), sighting{at: now.UnixMilli(), err: &EndedError{At: now}})
	}
}

func (g *guard) recent(id [idBytes]byte, now time.Time) (sighting, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, generation := range g.seen {
		if last, ok := generation[id]; ok {
			age := now.UnixMilli() - last.at
			return last, age >= 0 && age < g.window.Milliseconds()
		}
	}
	return sighting{}, false
}

// note keeps what was found. What has ended stays so: an answer that was under way when this
// process ended the session says nothing about it any more.
func (g *guard) note(id [idBytes]byte, what sighting) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, generation := range g.seen {
		if last, ok := generation[id]; ok && last.err != nil && what.err == nil {
			return
		}
	}
	if what.at-g.turn >= g.window.Milliseconds() {
		g.seen[1], g.seen[0], g.turn = g.seen[0], nil, what.at
	}
	if g.seen[0] == nil {
		g.seen[0] = make(map[[idBytes]byte]sighting)
	}
	g.seen[0][id] = what
}
