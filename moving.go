package session

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"example.com/session/driver"
)

// move stores the old session before the first change of it is stored, and ends it after a
// sign-out. A request that only reads moves nothing, but counts as use where the old session is.
func (s *Session) move() error {
	i := s.importing
	switch {
	case i == nil || i.removed:
		return nil
	case s.endings.called():
		return s.endOld(s.endings.reason)
	case s.isMoving() && s.hasUnsaved():
		return s.storeMoved()
	case s.isMoving() && i.old.own != nil:
		i.old.own.mu.Lock()
		defer i.old.own.mu.Unlock()
		_ = i.old.own.saveAtCommit() // the next request notes its own use
	}
	return nil
}

// storeMoved stores the old session here. Parallel requests make one session of it, because they
// derive the same token: the first one stores it, and the others find it.
func (s *Session) storeMoved() error {
	i := s.importing
	ctx, cancel := s.importContext()
	defer cancel()
	var rec *driver.Record
	// The session that another request has made of it may have ended so long ago that nothing else says so.
	_, moved, err := s.movedAgo(ctx, i)
	if err == nil && !moved {
		rec, err = s.sendOnce(ctx, &save{Changes: *i.changes, base: i.record})
	}
	var conflict *driver.ConflictError
	switch {
	case moved, errors.As(err, &conflict):
		return s.foundMoved()
	case isGone(err): // another request has signed the user out
		s.importing = nil
		s.drop(err)
		return nil
	case err != nil:
		s.noteProblem(err)
		return err
	}
	if !i.counted { // it is sent again if what follows fails
		i.counted = true
		s.source.stats.imported.Add(1)
		s.emit(EventImported, rec)
	}
	return s.adoptMoved(rec)
}

// foundMoved goes on with the session that another request has made of the old one.
func (s *Session) foundMoved() error {
	c, err := s.tryToken(s.importing.token, s.importing.record, s.now())
	switch {
	case err != nil:
		s.noteProblem(err)
		return err
	case c.status == live:
		return s.adoptMoved(c.record)
	}
	s.importing, s.stored, s.token = nil, nil, nil
	if s.adopt(c); c.status == absent { // it has ended long ago
		s.drop(ErrNoSession)
	}
	return nil
}

// adoptMoved makes a record the session of this request, and ends the old one. The response sets its cookie.
// If the old cookie would still open something, the client keeps it, so that its next request tries again.
func (s *Session) adoptMoved(rec *driver.Record) error {
	i := s.importing
	s.stored, s.loaded.token = rec, nil
	err := s.endOld(reasonImport)
	if err != nil {
		s.stored, s.loaded.token = i.record, i.token
	}
	return err
}

// endOld deletes the old session, so that its cookie opens nothing any more.
func (s *Session) endOld(reason string) error {
	i, m := s.importing, s.request.manager
	ctx, cancel := s.importContext()
	defer cancel()
	over, err := s.oldIsOver(ctx, i)
	if err == nil && !over {
		err = s.addMarker(ctx, i)
	}
	if err != nil {
		s.noteProblem(err)
		return err
	}
	if own := i.old.own; own != nil {
		own.endings.reason = reason
	}
	if err := m.cfg.Import.Remove(ctx, i.old); err != nil {
		if s.endings.called() {
			return unavailable("end an old session", err)
		}
		s.log(undeletedOld, "error", err)
	}
	i.removed = true
	return nil
}

// oldIsOver reports whether a sign-out has an old cookie that opens nothing. Nothing is to be remembered of
// it, or whoever invents old cookies could fill the store with tombstones.
func (s *Session) oldIsOver(ctx context.Context, i *importing) (over bool, err error) {
	if i.record != nil {
		return false, nil
	}
	old, err := s.request.manager.cfg.Import.Load(ctx, i.old)
	switch {
	case errors.Is(err, driver.ErrDamaged):
		return false, nil
	case err != nil:
		return false, unavailable("end an old session", err)
	}
	return old == nil, nil
}

// addMarker adds the tombstone that says that an old session was moved.
func (s *Session) addMarker(ctx context.Context, i *importing) error {
	m := s.request.manager
	lasts := m.cfg.ImportUntil.Sub(m.now())
	if lasts <= 0 {
		return nil
	}
	if _, err := s.addTombstone(ctx, i.marker(s.source), lasts); err != nil && !isGone(err) {
		return classify("import to driver "+s.source.name, err)
	}
	return nil
}

// addTombstone adds one also where nothing is stored: under a marker, or where a parallel request may be
// about to store what an old session becomes. It returns the session if it was stored, and nobody was signed in.
func (s *Session) addTombstone(ctx context.Context, id driver.ID, lasts time.Duration) (*driver.Record, error) {
	now := s.now()
	if d := s.source.cookies; d != nil {
		d.ended.add(id, now)
	}
	return s.source.driver.End(ctx, nil, &driver.Ending{ID: id, Now: now, For: lasts, User: nobody})
}

// nobody is no user's name, which has at most maxUser bytes.
var nobody = strings.Repeat("-", maxUser+1)

// expireOld adds the lines that delete the cookies of an old session.
func (s *Session) expireOld(h http.Header) {
	if s.importing == nil {
		return
	}
	old := s.importing.old
	if !s.importing.removed {
		if s.isMoving() && old.own != nil { // its use was noted
			old.own.writeCookies(h)
		}
		return
	}
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
