package session

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"example.com/session/driver"
)

// enterIndex enters a session into its user's index, or moves the end of its entry later. This
// happens before the save, so that the index never misses a stored session.
func (s *Session) enterIndex(ctx context.Context, sv *save) error {
	user := sv.user()
	if user == "" {
		return nil
	}
	index, m := s.source.index, s.request.manager
	signsIn := sv.identity.login != ""
	if index == nil {
		if signsIn && m.cfg.MaxPerUser > 0 {
			return ErrUnsupported
		}
		return nil
	}
	if !signsIn && !sv.New && !sv.movesEnd() {
		return nil
	}
	entered := s.enteredAt()
	if ended := s.request.endedAll.Load(); ended != 0 { // its own sign-in counts as one that began then
		entered = s.source.time(time.Unix(0, ended))
	}
	limit := 0
	if signsIn {
		limit = m.cfg.MaxPerUser
	}
	e := driver.IndexEntry{ID: sv.ID, Entered: entered, Ends: sv.lifetimeEnd()}
	key, now := userKey(s.source.cookie, user), sv.Now
	if sv.Retried {
		now = s.now() // the first attempt may be long ago
	}
	for {
		err := index.Enter(ctx, key, e, limit, now)
		if !errors.Is(err, driver.ErrIndexFull) {
			return err
		}
		if err := s.makeRoom(ctx, user, e); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		now = s.now() // makeRoom goes by it too
	}
}

// user returns who is signed in after the save.
func (sv *save) user() string {
	if sv.identity.login != "" {
		return sv.identity.login
	}
	if sv.base == nil {
		return ""
	}
	return sv.base.User()
}

// lifetimeEnd returns when the lifetime ends after the save.
func (sv *save) lifetimeEnd() time.Time {
	began, limits := sv.Now, sv.Limits
	if sv.base != nil && !sv.Restart {
		began = sv.base.CreatedAt()
		if own := sv.base.Limits(); own.Remembered {
			limits = own
		}
	}
	return began.Add(limits.Lifetime)
}

// movesEnd reports whether the save moves the end of the lifetime later.
func (sv *save) movesEnd() bool {
	return sv.lifetimeEnd().After(sv.base.CreatedAt().Add(sv.base.Limits().Lifetime))
}

// youngEntry is the age up to which an entry without a session counts: its session may still be on
// the way to the store.
const youngEntry = time.Minute

// makeRoom removes the entries of ended and expired sessions from a full index. If that is not
// enough, it ends the sessions with the earliest sign-ins, or refuses, as Config.AtMaxPerUser says.
func (s *Session) makeRoom(ctx context.Context, user string, e driver.IndexEntry) error {
	m, src := s.request.manager, s.source
	listed, err := m.listed(ctx, src, user)
	if err != nil {
		return err
	}
	count, now := 0, s.now()
	var live []*listedSession
	for _, l := range listed {
		switch {
		case l.entry.ID == e.ID:
		case l.record != nil:
			live = append(live, l)
			count++
		case !l.removable && now.Sub(l.entry.Entered) < youngEntry:
			count++
		default:
			if err := m.endListed(ctx, src, user, l, ""); err != nil {
				return err
			}
		}
	}
	tooMany := count - m.cfg.MaxPerUser + 1
	if tooMany <= 0 {
		return nil
	}
	if m.cfg.AtMaxPerUser == RefuseNew || tooMany > len(live) {
		return ErrTooManySessions
	}
	slices.SortFunc(live, func(a, b *listedSession) int {
		return cmp.Or(a.signedIn().Compare(b.signedIn()), cmp.Compare(a.entry.ID.String(), b.entry.ID.String()))
	})
	return forEach(src.workers(), live[:tooMany], func(l *listedSession) error {
		return m.endListed(ctx, src, user, l, reasonMaxPerUser)
	})
}

// A listedSession is an entry of a user's index and the session that it names.
type listedSession struct {
	entry  driver.IndexEntry
	record *driver.Record // nil if there is no live session of the user under the id

	// removable reports that the id has a tombstone, or that its record is another user's.
	removable bool
}

func (l *listedSession) signedIn() time.Time {
	return parseAccountTime(accountOf(l.record, accountSignedIn))
}
