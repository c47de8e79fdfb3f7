package session

import (
	"cmp"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"example.com/session/driver"
)

// An importing is the old session of one request.
type importing struct {
	old     *OldCookie
	token   *token          // of the session that it becomes
	changes *driver.Changes // the save that stores it; nil if the old session was not opened
	record  *driver.Record  // what they make
	counted bool            // this request has stored it here
	removed bool            // the old session is gone, and the response deletes its cookies
}

// isMoving reports whether the session is still an old one. It moves with the first save.
func (s *Session) isMoving() bool {
	i := s.importing
	return i != nil && !i.removed && i.record != nil && s.stored == i.record
}

// isFrom reports whether the session is one that FromDriver has found in a source.
func (s *Session) isFrom(src *source) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.importing != nil && s.importing.old.own != nil && s.importing.old.own.source == src
}

// oldCookie returns the old session that a request brings, nil if none.
func (s *Session) oldCookie() *importing {
	m := s.request.manager
	if m.cfg.Import == nil || s.source != m.main || !m.now().Before(m.cfg.ImportUntil) {
		return nil
	}
	var old *OldCookie
	var err error
	if from, ok := m.cfg.Import.(fromDriver); ok {
		old = from.find(s.request)
	} else if old, err = m.cfg.Import.Find(s.request.incoming); err != nil {
		s.log(refusedOld, "error", err)
		return nil
	}
	if old == nil {
		return nil
	}
	return &importing{old: old, token: importedToken(m.cfg.Secret, s.source.cookie, old.ID+old.secret)}
}

// importContext limits an operation of Config.Import. storeContext cannot be used: it sets no limit
// if s.source does no I/O, but the old store may do I/O.
func (s *Session) importContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(s.request.Context), s.request.manager.storeTimeout)
}

// findOld opens the old session of a request whose cookies open no session of this manager.
func (s *Session) findOld() error {
	i := s.oldCookie()
	if i == nil {
		return nil
	}
	ctx, cancel := s.importContext()
	defer cancel()
	old, loadErr := s.request.manager.cfg.Import.Load(ctx, i.old) // first: a session that has moved meanwhile has a marker
	ago, moved, err := s.movedAgo(ctx, i)
	switch {
	case err != nil:
		return err
	case moved && !s.enteredAt().Before(s.loaded.at.Add(joinFor-ago)): // somebody has kept a copy of the old cookie
		s.noteUnknown(EventUnknown, nil)
		return nil
	case moved && s.source.cookies == nil:
		return s.joinMoved(i)
	case errors.Is(loadErr, driver.ErrDamaged):
		s.log(unreadableOld, "error", loadErr)
		return nil
	case loadErr != nil:
		return unavailable("import", loadErr)
	case old == nil && moved: // the response to another request brings the session: this one must not begin its own
		s.loaded.status = ended
		return nil
	case old == nil:
		return nil
	}
	if err := s.prepareMove(i, old); err != nil {
		s.log(unreadableOld, "error", err)
		return nil
	}
	if s.loaded.at.Before(s.source.expiresAt(i.record)) {
		s.importing = i
		s.adopt(candidate{live, i.record, i.token})
	}
	return nil
}

// joinFor is how long after the move an old cookie opens the new session. The response with the new
// cookie may be lost, and the client then sends its old cookie again. joinFor is not longer than an
// ended session is remembered.
const joinFor = driver.Tombstone

// joinMoved opens the new session that another request has just made from the old one.
func (s *Session) joinMoved(i *importing) error {
	c, err := s.tryToken(i.token, nil, s.loaded.at)
	if err != nil {
		return err
	}
	if s.adopt(c); c.status == live {
		i.removed, s.importing = true, i
		s.loaded.token = nil // so that this response, too, sets the cookie
	}
	return nil
}

// movedAgo returns how long ago an old session was moved. Until Config.ImportUntil a tombstone
// under an id of its own records the move. The cookie driver without Revocation keeps no
// tombstones: it only knows what this process has moved recently.
func (s *Session) movedAgo(ctx context.Context, i *importing) (ago time.Duration, moved bool, err error) {
	now := s.now()
	if d := s.source.cookies; d != nil {
		if ago, moved = d.ended.ago(i.marker(s.source), now); moved {
			return ago, true, nil
		}
	}
	_, err = s.source.store().Load(ctx, i.marker(s.source), now)
	var ended *driver.EndedError
	if errors.As(err, &ended) { // some drivers cannot say when
		ago = ended.Ago
	}
	switch {
	case errors.Is(err, ErrEnded):
		return ago, true, nil
	case err == nil, errors.Is(err, ErrNoSession):
		return 0, false, nil
	}
	return 0, false, classify("import to driver "+s.source.name, err)
}

// prepareMove makes the save that stores an old session.
func (s *Session) prepareMove(i *importing, old *OldSession) (err error) {
	ch := &driver.Changes{
		ID: i.token.id, Number: rand.Uint64(), Now: s.now(), New: true, Install: i.token.digest,
	}
	if old.record != nil {
		s.moveRecord(ch, i.old.own)
	} else if err := s.moveValues(ch, old); err != nil {
		return err
	}
	ch.Limits = s.request.manager.cfg.Assurance.within(ch.Limits)
	i.changes = ch
	i.record, err = ch.Apply(nil)
	return err
}

func (s *Session) moveValues(ch *driver.Changes, one *OldSession) error {
	old := *one
	for _, t := range [...]*time.Time{&old.CreatedAt, &old.SignedInAt, &old.ExpiresAt} {
		if !t.IsZero() {
			*t = s.source.time(*t) // the old library has the clock of a process
		}
	}
	s.moveLimits(ch, &old)
	if len(old.User) > maxUser {
		return fmt.Errorf("session: import: a user's name has at most %d bytes, this one has %d", maxUser, len(old.User))
	}
	set := func(part driver.Part, key, encoded string) {
		ch.Ops = append(ch.Ops, driver.Op{Kind: driver.Set, Part: part, Key: key, Encoded: encoded})
	}
	if old.User != "" {
		signedIn := cmp.Or(old.SignedInAt, old.CreatedAt, ch.Created)
		if signedIn.After(ch.Now) {
			signedIn = ch.Created
		}
		set(driver.Account, driver.UserKey, old.User)
		set(driver.Account, accountSignedIn, formatAccountTime(signedIn))
	}
	for _, key := range slices.Sorted(maps.Keys(old.Values)) {
		if len(key) == 0 || len(key) > maxKey {
			return fmt.Errorf("session: import: a key has 1 to %d bytes, this one has %d", maxKey, len(key))
		}
		encoded, err := encodeValue(s.request.manager.codec, old.Values[key])
		if err != nil {
			return fmt.Errorf("session: import %q: a %T cannot be stored: %w", key, old.Values[key], err)
		}
		set(driver.Data, key, encoded)
	}
	return nil
}

// moveLimits sets when the session began and how long it lives. These come from the configuration,
// unless the old session says when it ends: then the new one ends at that time.
func (s *Session) moveLimits(ch *driver.Changes, old *OldSession) {
	ch.Limits, ch.Created = s.source.limits, old.CreatedAt
	if ch.Created.IsZero() || ch.Created.After(ch.Now) {
		ch.Created = ch.Now
	}
	if old.ExpiresAt.IsZero() {
		return
	}
	if begins := old.ExpiresAt.Add(-ch.Limits.Lifetime); begins.Before(ch.Created) {
		ch.Created = begins
	}
	if whole := min(old.ExpiresAt.Sub(ch.Created), maxLifetime); whole > ch.Limits.Lifetime {
		ch.Limits = driver.Limits{Lifetime: whole, Idle: whole, Remembered: true}
	}
}

// moveRecord adds the contents of a session of another driver to the changes.
func (s *Session) moveRecord(ch *driver.Changes, own *Session) {
	rec, local := own.stored, s.request.manager.now()
	apart := s.source.time(local).Sub(own.source.time(local)) // of the clocks of both drivers
	ch.Created, ch.Limits = rec.CreatedAt().Add(apart), s.source.limits
	if own := rec.Limits(); own.Remembered {
		ch.Limits = own
	}
	for _, part := range [...]driver.Part{driver.Account, driver.Data} {
		for key, encoded := range rec.Values(part) {
			if part == driver.Account && (key == accountSignedIn || key == accountSeen) {
				encoded = formatAccountTime(parseAccountTime(encoded).Add(apart))
			}
			ch.Ops = append(ch.Ops, driver.Op{Kind: driver.Set, Part: part, Key: key, Encoded: encoded})
		}
	}
	if rec.User() != "" && (own.locked() || s.isPassive()) { // what is stored here counts as a use
		seen := formatAccountTime(own.lastActivity().Add(apart))
		ch.Ops = append(ch.Ops, driver.Op{Kind: driver.Set, Part: driver.Account, Key: accountSeen, Encoded: seen})
	}
	for v := range rec.Flash() {
		if !v.Until.IsZero() {
			v.Until = v.Until.Add(apart)
		}
		op := driver.Op{Kind: driver.Set, Part: driver.Flash, Key: v.Key, Encoded: v.Encoded, Until: v.Until}
		if v.Listed {
			op.Kind = driver.Append
		}
		ch.Ops = append(ch.Ops, op)
	}
}

// marker returns the id of the tombstone that records the move of an old session. Nobody can open a
// session with it, so it does not depend on a secret, and stays the same when Config.Secret
// changes.
func (i *importing) marker(src *source) driver.ID {
	sum := sha256.Sum256([]byte(src.cookie + "\x00imported\x00" + i.old.ID))
	return driver.ID(sum[:16])
}

// importedToken returns the token of the session that an old one becomes. Whoever knows the old one
// cannot work it out without Config.Secret.
func importedToken(secret, scope, old string) *token {
	raw, err := hkdf.Key(sha256.New, []byte(secret), nil, "session: import v1\x00"+scope+"\x00"+old, tokenBytes)
	if err != nil { // never: the length is right
		panic(err)
	}
	return tokenOf(scope, (*[tokenBytes]byte)(raw))
}
