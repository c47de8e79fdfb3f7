package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.com/session/driver"
)

// An Info describes one session of a user, as Manager.Sessions lists it.
type Info struct {
	Handle          string // as Session.Handle returns it, for Manager.End
	Driver          string
	CreatedAt       time.Time // when its lifetime began
	AuthenticatedAt time.Time
	UsedAt          time.Time // the last recorded use; a use soon after it is not recorded
	ExpiresAt       time.Time
	Hints           map[string]string // as Session.Describe was given; nil for none
}

// Sessions returns the live sessions that a user is signed in with, most recently used first. It
// does not count as use. It takes one look-up for the list and one for each session.
//
// Sessions, End, EndOthers and EndAll ask these drivers: the default one, that of
// CookieConfig.Revocation, those of Config.Drivers, those whose section of Config is not empty, and
// those that this process has used. Their errors name each driver that failed. They return
// ErrUnsupported if a driver keeps no list of a user's sessions: a Driver that does not implement
// driver.Index, and the cookie driver without CookieConfig.Revocation, if it is the default or
// users signed in with it.
func (m *Manager) Sessions(ctx context.Context, user string) ([]Info, error) {
	infos := []Info{}
	err := m.forEachIndex(ctx, "list", func(ctx context.Context, src *source) error {
		listed, err := m.listed(ctx, src, user)
		for _, l := range listed {
			if l.record != nil {
				infos = append(infos, src.info(l.record))
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(infos, func(a, b Info) int { return b.UsedAt.Compare(a.UsedAt) })
	return infos, nil
}

func (src *source) info(rec *driver.Record) Info {
	info := Info{
		Handle: rec.ID().String(), Driver: src.name, CreatedAt: rec.CreatedAt(),
		AuthenticatedAt: parseAccountTime(accountOf(rec, accountSignedIn)),
		UsedAt:          rec.UsedAt(), ExpiresAt: src.expiresAt(rec),
	}
	if hints := accountOf(rec, accountHints); hints != "" {
		_ = json.Unmarshal([]byte(hints), &info.Hints) // unreadable hints are none
	}
	return info
}

// End ends one of a user's sessions by its handle. If the handle is not one of this user's
// sessions, End returns ErrNoSession, so that nobody ends another user's session (CVE-2017-18878).
// On the cookie driver, other processes may accept the session for up to RevocationWindow.
// Cancelling ctx does not stop End. To end the session of the running request, call Session.Logout.
func (m *Manager) End(ctx context.Context, user, handle string) error {
	id, ok := driver.ParseID(handle)
	if !ok {
		return ErrNoSession
	}
	ended := false
	err := m.forEachIndex(context.WithoutCancel(ctx), "end", func(ctx context.Context, src *source) error {
		listed, err := m.listed(ctx, src, user)
		if err != nil {
			return err
		}
		for _, l := range listed {
			if l.entry.ID == id && l.record != nil {
				ended = true
				return m.endListed(ctx, src, user, l, reasonList)
			}
		}
		return nil
	})
	if err == nil && !ended {
		return ErrNoSession
	}
	return err
}

// EndOthers ends all sessions of the user of s, except s. Call it after a change of password (ASVS
// 7.4.3). Sign-ins by other running requests fail. If nobody is signed in, or the session is
// locked, it returns ErrNoSession. Cancelling ctx does not stop it.
func (m *Manager) EndOthers(ctx context.Context, s *Session) error {
	user, id, err := s.signedIn()
	if err != nil {
		return err
	}
	return m.endAll(ctx, user, s, id, reasonOthers)
}

// EndAll ends all sessions of a user (ASVS 7.4.2, 7.4.5). Call it when an account is closed or was
// taken over. Sign-ins by requests that began before EndAll fail, except a Login that the calling
// request makes afterwards. Cancelling ctx does not stop it.
func (m *Manager) EndAll(ctx context.Context, user string) error {
	return m.endAll(ctx, user, nil, driver.ID{}, reasonAll)
}

// endAll first makes running sign-ins fail, then ends the listed sessions.
func (m *Manager) endAll(ctx context.Context, user string, keep *Session, keepID driver.ID, reason string) error {
	caller := stateIn(ctx).of(m)
	err := m.forEachIndex(context.WithoutCancel(ctx), "end", func(ctx context.Context, src *source) error {
		kept := driver.ID{}
		if keep != nil && keep.source == src {
			kept = keepID
		}
		if ender, ok := src.driver.(driver.UserEnder); ok {
			return m.endAtOnce(ctx, src, ender, user, kept, reason)
		}
		err := m.bounded(ctx, func(ctx context.Context) error {
			return src.index.EndBefore(ctx, userKey(src.cookie, user), src.time(m.now()))
		})
		if err != nil {
			return err
		}
		listed, err := m.listed(ctx, src, user)
		if err != nil {
			return err
		}
		return forEach(src.workers(), listed, func(l *listedSession) error {
			if l.entry.ID == kept {
				return nil
			}
			return m.endListed(ctx, src, user, l, reason)
		})
	})
	if caller == nil && keep != nil {
		caller = keep.request
	}
	if caller != nil {
		caller.endedAll.Store(m.now().UnixNano())
		for _, s := range caller.sessions(nil) {
			if s != keep {
				s.forgetUser(user)
			}
		}
	}
	return err
}

// forgetUser follows the ending of all of a user's sessions: that of this request is one of them.
func (s *Session) forgetUser(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stored != nil && s.stored.User() == user {
		s.stored, s.token, s.inFlight, s.loaded.status = nil, nil, nil, ended
	}
}

// signedIn returns who is signed in, for what only they may do.
func (s *Session) signedIn() (user string, id driver.ID, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	if s.loaded.err != nil {
		return "", id, s.loaded.err
	}
	if user = s.user(); user == "" || s.locked() {
		return "", id, fmt.Errorf("%w: nobody is signed in", ErrNoSession)
	}
	if s.stored != nil {
		id = s.stored.ID()
	}
	return user, id, nil
}

// forEachIndex calls do for each source whose sessions of a user are meant.
func (m *Manager) forEachIndex(ctx context.Context, op string, do func(context.Context, *source) error) error {
	if m.closed.Load() {
		return unavailable(op, ErrClosed)
	}
	var faults []error
	for _, src := range m.ordered {
		switch {
		case !m.mayHaveUsers(src):
		case src.index == nil:
			remedy := ""
			if src.cookies != nil {
				remedy = ": set CookieConfig.Revocation"
			}
			faults = append(faults, fmt.Errorf("%w: %s a user's sessions: driver %s keeps no list of them%s",
				ErrUnsupported, op, src.name, remedy))
		default:
			if err := do(ctx, src); err != nil {
				faults = append(faults, fmt.Errorf("session: %s a user's sessions with driver %s: %w", op, src.name,
					classify(op+" with driver "+src.name, err)))
			}
		}
	}
	return errors.Join(faults...)
}

// mayHaveUsers reports whether users may be signed in with the sessions of a source.
func (m *Manager) mayHaveUsers(src *source) bool {
	switch {
	case src.err != nil || src.byIP:
		return false
	case src == m.main, src.hasUsers.Load():
		return true
	case src.cookies != nil && src.index == nil:
		return false
	}
	return src.configured || src.used.Load()
}

// bounded gives one operation on an index StoreTimeout.
func (m *Manager) bounded(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, m.storeTimeout)
	defer cancel()
	return do(ctx)
}

// listed returns the entries of a user's index with the sessions that they name.
func (m *Manager) listed(ctx context.Context, src *source, user string) ([]*listedSession, error) {
	var entries []driver.IndexEntry
	now := src.time(m.now())
	err := m.bounded(ctx, func(ctx context.Context) (err error) {
		entries, err = src.index.List(ctx, userKey(src.cookie, user), now)
		return err
	})
	if err != nil {
		return nil, err
	}
	listed := make([]*listedSession, len(entries))
	for i, e := range entries {
		listed[i] = &listedSession{entry: e}
	}
	err = forEach(src.workers(), listed, func(l *listedSession) error {
		return m.bounded(ctx, func(ctx context.Context) error { return src.look(ctx, user, l, now) })
	})
	return listed, err
}

// look loads the session that an entry names. A damaged record is listed as none, and can be ended.
func (src *source) look(ctx context.Context, user string, l *listedSession, now time.Time) error {
	rec, err := src.store().Load(ctx, l.entry.ID, now)
	switch {
	case errors.Is(err, ErrEnded):
		l.removable = true
	case isGone(err), errors.Is(err, driver.ErrDamaged):
	case err != nil:
		return err
	case rec.User() != user:
		l.removable = rec.User() != ""
	case now.Before(src.expiresAt(rec)):
		l.record = rec
	}
	return nil
}

// endListed ends the session that an entry names, and removes the entry.
func (m *Manager) endListed(ctx context.Context, src *source, user string, l *listedSession, reason string) error {
	return m.bounded(ctx, func(ctx context.Context) error {
		if !l.removable {
			e := &driver.Ending{ID: l.entry.ID, Now: src.time(m.now()), For: driver.IndexTombstone, User: user}
			ended, err := src.driver.End(ctx, l.record, e)
			if err != nil && !isGone(err) {
				return err
			}
			m.emitEnded(ctx, src, ended, user, reason)
		}
		return src.index.Remove(ctx, userKey(src.cookie, user), l.entry.ID)
	})
}

// endAtOnce ends the sessions of a user, except one, on a driver that can in one step.
func (m *Manager) endAtOnce(ctx context.Context, src *source, ender driver.UserEnder, user string, keep driver.ID, reason string) error {
	return m.bounded(ctx, func(ctx context.Context) error {
		e := &driver.Ending{Now: src.time(m.now()), For: driver.IndexTombstone, User: user}
		ended, err := ender.EndUser(ctx, userKey(src.cookie, user), e, keep)
		for _, rec := range ended {
			m.emitEnded(ctx, src, rec, user, reason)
		}
		return err
	})
}

func (m *Manager) emitEnded(ctx context.Context, src *source, ended *driver.Record, user, reason string) {
	if ended != nil && ended.User() == user {
		m.emit(context.WithoutCancel(ctx), Event{Kind: EventEnded, Driver: src.name, Handle: ended.ID().String(), User: user, Reason: reason})
	}
}

const (
	parallelLookups = 8 // entries that are worked on at once

	// maxFailures is how many entries in a row fail before a worker leaves the rest: in an outage
	// each takes as long as StoreTimeout, and the caller gets an error anyway.
	maxFailures = 3
)

// forEach calls do for each item, several at once, also if some fail. A panic reaches the caller.
func forEach[T any](workers int, items []T, do func(T) error) error {
	workers = min(workers, len(items))
	var next atomic.Int64
	faults, panics := make([]error, workers), make([]any, workers)
	var wait sync.WaitGroup
	for i := range workers {
		wait.Go(func() {
			defer func() { panics[i] = recover() }()
			for failed := 0; failed < maxFailures; {
				at := int(next.Add(1)) - 1
				if at >= len(items) {
					return
				}
				if err := do(items[at]); err != nil {
					faults[i] = err
					failed++
				} else {
					failed = 0
				}
			}
		})
	}
	wait.Wait()
	for _, v := range panics {
		if v != nil {
			panic(v)
		}
	}
	return errors.Join(faults...)
}
