package session

import (
	"cmp"
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"example.com/session/driver"
)

// An importing is the old session of one request.
type importing struct {
	old     *OldCookie
	token   *token          // of the session that it becomes
	changes *driver.Changes // the save that stores it; nil if another request has
	record  *driver.Record  // what they make
	left    bool            // the old session is gone, and the response deletes its cookies
}

// isMoving reports whether the session is still an old one. It moves when something is stored.
func (s *Session) isMoving() bool {
	return s.importing != nil && s.importing.record != nil && s.stored == s.importing.record
}

// oldCookie returns the old session that a request brings, nil if none.
func (s *Session) oldCookie() *importing {
	m := s.request.manager
	if m.cfg.Import == nil || s.source != m.main || !s.now().Before(m.cfg.ImportUntil) {
		return nil
	}
	var old *OldCookie
	if from, ok := m.cfg.Import.(fromDriver); ok {
		old = from.find(s.request)
	} else {
		old = m.cfg.Import.Find(s.request.incoming)
	}
	if old == nil {
		return nil
	}
	return &importing{old: old, token: importedToken(m.importKey, s.source.cookie, old.ID)}
}

// findOld opens the old session of a request without a cookie of this manager.
func (s *Session) findOld() error {
	i := s.oldCookie()
	if i == nil {
		return nil
	}
	ctx, cancel := s.storeContext()
	defer cancel()
	old, loadErr := s.request.manager.cfg.Import.Load(ctx, i.old) // first: a session that has gone meanwhile left its mark
	ago, moved, err := s.movedAgo(ctx, i)
	switch {
	case err != nil:
		return err
	case moved && !s.wasUnderWay(s.loaded.at.Add(-ago)): // somebody has kept a copy of the old cookie
		s.noteUnknown(EventUnknown, nil)
		return nil
	case moved && s.source.cookies == nil:
		return s.joinMoved(i)
	case errors.Is(loadErr, driver.ErrDamaged):
		s.request.manager.log.unreadableOld(s, loadErr)
		return nil
	case loadErr != nil:
		return unavailable("import", loadErr)
	case old == nil:
		return nil
	}
	if err := s.prepareMove(i, old); err != nil {
		s.request.manager.log.unreadableOld(s, err)
		return nil
	}
	if s.loaded.at.Before(s.source.expiresAt(i.record)) {
		s.importing = i
		s.adopt(candidate{live, i.record, i.token})
	}
	return nil
}

// joinMoved opens the session that another request, sent at the same time, has made of the old one.
func (s *Session) joinMoved(i *importing) error {
	c, err := s.tryToken(i.token, nil, s.loaded.at)
	if err != nil {
		return err
	}
	if s.adopt(c); c.status == live {
		i.left, s.importing = true, i
		s.loaded.token = nil // so that this response, too, sets the cookie
	}
	return nil
}

// movedAgo returns how long ago an old session was moved: a tombstone under an id of its own says so
// until Config.ImportUntil. The cookie driver without Revocation cannot keep one.
func (s *Session) movedAgo(ctx context.Context, i *importing) (ago time.Duration, moved bool, err error) {
	_, err = s.source.store().Load(ctx, i.marker(s.source), s.now())
	var ended *driver.EndedError
	switch {
	case errors.As(err, &ended):
		return ended.Ago, true, nil
	case errors.Is(err, ErrEnded):
		return 0, true, nil
	case err == nil, errors.Is(err, ErrNoSession):
		return 0, false, nil
	}
	return 0, false, classify("import to driver "+s.source.name, err)
}

// prepareMove makes the save that stores an old session.
func (s *Session) prepareMove(i *importing, old *OldSession) (err error) {
	ch := &driver.Changes{
		ID: i.token.id, Number: rand.Uint64(), Now: s.loaded.at, New: true, Install: i.token.digest,
	}
	if old.record != nil {
		s.moveRecord(ch, old.record)
	} else if err := s.moveValues(ch, old); err != nil {
		return err
	}
	ch.Limits = s.request.manager.cfg.Assurance.within(ch.Limits)
	i.changes = ch
	i.record, err = ch.Apply(nil)
	return err
}

func (s *Session) moveValues(ch *driver.Changes, old *OldSession) error {
	s.moveLimits(ch, old)
	set := func(part driver.Part, key, encoded string) {
		ch.Ops = append(ch.Ops, driver.Op{Kind: driver.Set, Part: part, Key: key, Encoded: encoded})
	}
	if old.User != "" {
		signedIn := old.SignedInAt
		if signedIn.IsZero() || signedIn.After(ch.Now) {
			signedIn = ch.Created
		}
		set(driver.Account, driver.UserKey, old.User)
		set(driver.Account, accountSignedIn, strconv.FormatInt(signedIn.UnixMilli(), 10))
	}
	if len(old.User) > maxUser {
		return fmt.Errorf("session: import: a user's name has at most %d bytes, this one has %d", maxUser, len(old.User))
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

// moveLimits sets when the session began and how long it lives: by the configuration, or longer if the
// old session does.
func (s *Session) moveLimits(ch *driver.Changes, old *OldSession) {
	ch.Limits, ch.Created = s.source.limits, old.CreatedAt
	if ends := old.ExpiresAt; !ends.IsZero() {
		ch.Created = cmp.Or(ch.Created, ends.Add(-ch.Limits.Lifetime))
		if ch.Created.After(ch.Now) {
			ch.Created = ch.Now
		}
		if whole := ends.Sub(ch.Created); whole > ch.Limits.Lifetime {
			whole = min(whole, maxLifetime)
			ch.Limits = driver.Limits{Lifetime: whole, Idle: whole, Remembered: true}
		}
	}
	if ch.Created.IsZero() || ch.Created.After(ch.Now) {
		ch.Created = ch.Now
	}
}

// moveRecord makes the changes write what a record of this library holds.
func (s *Session) moveRecord(ch *driver.Changes, rec *driver.Record) {
	ch.Created, ch.Limits = rec.CreatedAt(), s.source.limits
	if own := rec.Limits(); own.Remembered {
		ch.Limits = own
	}
	for _, part := range [...]driver.Part{driver.Account, driver.Data} {
		for key, encoded := range rec.Values(part) {
			ch.Ops = append(ch.Ops, driver.Op{Kind: driver.Set, Part: part, Key: key, Encoded: encoded})
		}
	}
	for v := range rec.Flash() {
		op := driver.Op{Kind: driver.Set, Part: driver.Flash, Key: v.Key, Encoded: v.Encoded, Until: v.Until}
		if v.Listed {
			op.Kind = driver.Append
		}
		ch.Ops = append(ch.Ops, op)
	}
}

// move stores the old session before the first change of it is stored, and leaves it after a
// sign-out. A request that only reads moves nothing.
func (s *Session) move() error {
	switch {
	case s.importing == nil || s.importing.left:
		return nil
	case s.endings.called():
		return s.leaveOld()
	case s.isMoving() && s.hasUnsaved():
		return s.storeMoved()
	}
	return nil
}

// storeMoved stores the old session here. Parallel requests make one session of it, because they
// derive the same token: the first one stores it, and the others find it.
func (s *Session) storeMoved() error {
	i := s.importing
	ctx, cancel := s.storeContext()
	defer cancel()
	ctx, began := s.begin(ctx, opSave, i.token.id)
	err := s.enterIndex(ctx, &save{Changes: *i.changes, base: i.record})
	var rec *driver.Record
	if err == nil {
		s.source.stats.saves.Add(1)
		rec, err = s.source.driver.Save(ctx, nil, i.changes)
	}
	var conflict *driver.ConflictError
	switch err = s.answered(opSave, i.token.id, began, err); {
	case errors.As(err, &conflict):
		return s.foundMoved(conflict.Current)
	case isGone(err): // another request has signed the user out
		s.importing = nil
		s.drop(err)
		return nil
	case err != nil:
		s.noteProblem(err)
		return err
	}
	s.stored, s.loaded.token = rec, nil
	s.source.stats.imported.Add(1)
	s.emit(EventImported, rec)
	return s.leaveOld()
}

// foundMoved goes on with the session that another request has made of the old one.
func (s *Session) foundMoved(rec *driver.Record) error {
	i := s.importing
	if s.source.cookies != nil { // the server knows no values
		rec = i.record.WithIdentity(rec)
	}
	c := s.judge(i.token, rec, s.now())
	if c.status != live {
		s.importing, s.stored, s.token = nil, nil, nil
		s.adopt(c)
		return nil
	}
	s.stored, s.loaded.token = rec, nil
	return s.leaveOld()
}

// leaveOld deletes the old session, so that its cookie opens nothing any more.
func (s *Session) leaveOld() error {
	i, m := s.importing, s.request.manager
	ctx, cancel := s.storeContext()
	defer cancel()
	now := s.now()
	mark := &driver.Ending{ID: i.marker(s.source), Now: now, For: m.cfg.ImportUntil.Sub(now), User: "imported"}
	if mark.For > 0 {
		if _, err := s.source.store().End(ctx, nil, mark); err != nil && !isGone(err) {
			err = classify("import to driver "+s.source.name, err)
			s.noteProblem(err)
			return err
		}
	}
	signsOut := s.endings.called()
	if signsOut { // a parallel request may have moved it
		own := &driver.Ending{ID: i.token.id, Now: now, For: driver.Tombstone, Secret: i.token.digest}
		if _, err := s.source.driver.End(ctx, nil, own); err != nil && !isGone(err) {
			return classify("end with driver "+s.source.name, err)
		}
	}
	if err := m.cfg.Import.Remove(ctx, i.old); err != nil {
		if signsOut {
			return unavailable("end an old session", err)
		}
		m.log.keptOld(s, err)
	}
	i.left = true
	return nil
}

// expireOld adds the lines that delete the cookies of an old session.
func (s *Session) expireOld(h http.Header) {
	if s.importing == nil || !s.importing.left {
		return
	}
	old := s.importing.old
	if own := old.own; own != nil {
		own.endings.reason, own.stored, own.token = reasonImport, nil, nil
		own.writeCookies(h)
	}
	for _, c := range old.Expire {
		gone := *c
		gone.Value, gone.MaxAge, gone.Expires = "", -1, time.Unix(0, 0)
		h.Add("Set-Cookie", gone.String())
	}
}

// marker returns the id of the tombstone that says that an old session was moved. It opens nothing, so
// it needs no secret, and it stays the same when Config.Secret changes.
func (i *importing) marker(src *source) driver.ID {
	sum := sha256.Sum256([]byte(src.cookie + "\x00imported\x00" + i.old.ID))
	return driver.ID(sum[:16])
}

// importedToken returns the token of the session that an old one becomes. Whoever knows the old one
// cannot work it out without Config.Secret.
func importedToken(key []byte, scope, old string) *token {
	mac := hmac.New(sha512.New, key)
	mac.Write([]byte(scope + "\x00" + old))
	raw := [tokenBytes]byte(mac.Sum(nil)[:tokenBytes])
	return tokenOf(scope, &raw)
}

// importKey derives the key of importedToken from Config.Secret.
func importKey(secret string) []byte {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "session: import key v1", 32)
	if err != nil { // never: the length is right
		panic(err)
	}
	return key
}
