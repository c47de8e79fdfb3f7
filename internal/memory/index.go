package memory

import (
	"context"
	"sync"
	"time"

	"example.com/session/driver"
)

// An index keeps the lists of all users. Members that have ended go a few at a time as others come.
type index struct {
	mu      sync.Mutex
	users   map[string]*user      // by index key; a user without members is not kept
	latest  map[driver.ID]*member // of the user for whom an id was entered last
	all     []*member             // in no order
	sweepAt int                   // position that the next sweep examines
}

type user struct {
	key      string
	sessions map[driver.ID]*member
	ending   *member // of the latest EndBefore, or nil; Entered is its time
}

type member struct {
	driver.IndexEntry
	user  *user
	moved driver.Milli // when Enter was last called
	at    int          // position in all
}

// Enter adds an entry or moves its end. See driver.Index.
func (d *Driver) Enter(_ context.Context, key string, e driver.IndexEntry, limit int, now time.Time) error {
	x := &d.index
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sweep(now)
	if err := x.users[key].refusal(&e, limit, now); err != nil {
		return err
	}
	u := x.user(key)
	m := u.sessions[e.ID]
	switch {
	case m == nil:
		m = x.add(u, e)
		u.sessions[e.ID] = m
	case !m.Ends.After(now): // it has ended, and was not removed yet
		m.Entered = e.Entered
	}
	if e.Ends.After(m.Ends) {
		m.Ends = e.Ends
	}
	m.moved = driver.MilliOf(now)
	x.latest[e.ID] = m
	return nil
}

// Remove removes the entry of an id. See driver.Index.
func (d *Driver) Remove(_ context.Context, key string, id driver.ID) error {
	x := &d.index
	x.mu.Lock()
	defer x.mu.Unlock()
	if u := x.users[key]; u != nil && u.sessions[id] != nil {
		x.remove(u.sessions[id])
	}
	return nil
}

// List returns the entries whose end has not passed. See driver.Index.
func (d *Driver) List(_ context.Context, key string, now time.Time) ([]driver.IndexEntry, error) {
	x := &d.index
	x.mu.Lock()
	defer x.mu.Unlock()
	u := x.users[key]
	if u == nil {
		return nil, nil
	}
	entries := make([]driver.IndexEntry, 0, len(u.sessions))
	for _, m := range u.sessions {
		if m.Ends.After(now) {
			entries = append(entries, m.IndexEntry)
		}
	}
	return entries, nil
}

// EndBefore notes that all sessions of a user were ended. See driver.Index.
func (d *Driver) EndBefore(_ context.Context, key string, now time.Time) error {
	x := &d.index
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sweep(now)
	u := x.user(key)
	if u.ending == nil {
		u.ending = x.add(u, driver.IndexEntry{})
	}
	if now.After(u.ending.Entered) {
		u.ending.Entered, u.ending.Ends = now, now.Add(driver.IndexTombstone)
	}
	return nil
}

// refusal returns why an entry may not be entered. u is nil if the user has no members.
func (u *user) refusal(e *driver.IndexEntry, limit int, now time.Time) error {
	if u == nil {
		return nil
	}
	if m := u.ending; m != nil && m.Ends.After(now) && m.Entered.After(e.Entered) && !m.Entered.After(now.Add(driver.EndBeforeAhead)) {
		return &driver.EndedError{Ago: now.Sub(m.Entered)}
	}
	if limit > 0 && u.others(e.ID, now) >= limit {
		return driver.ErrIndexFull
	}
	return nil
}

// others counts the user's entries except the one of id.
func (u *user) others(id driver.ID, now time.Time) (n int) {
	for _, m := range u.sessions {
		if m.ID != id && m.Ends.After(now) {
			n++
		}
	}
	return n
}

// user returns the user of a key. The caller adds a member if there is none.
func (x *index) user(key string) *user {
	u := x.users[key]
	if u == nil {
		u = &user{key: key, sessions: make(map[driver.ID]*member)}
		x.users[key] = u
	}
	return u
}

func (x *index) add(u *user, e driver.IndexEntry) *member {
	m := &member{IndexEntry: e, user: u, at: len(x.all)}
	x.all = append(x.all, m)
	return m
}

// remove removes a member and moves the last one into its place.
func (x *index) remove(m *member) {
	u := m.user
	if m == u.ending {
		u.ending = nil
	} else {
		delete(u.sessions, m.ID)
		if x.latest[m.ID] == m {
			delete(x.latest, m.ID)
		}
	}
	if len(u.sessions) == 0 && u.ending == nil {
		delete(x.users, u.key)
	}
	last := len(x.all) - 1
	x.all[m.at] = x.all[last]
	x.all[m.at].at = m.at
	x.all[last] = nil
	x.all = x.all[:last]
}

// drop removes the entry of a record that was evicted or has expired, so that there are not many
// more entries than sessions. An entry that was entered after the record's last use stays: it
// belongs to a save under way, which may store a record of that id again.
func (x *index) drop(rec *driver.Record) {
	if rec.User() == "" {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	m := x.latest[rec.ID()]
	if m != nil && m.moved <= driver.MilliOf(rec.UsedAt()) {
		x.remove(m)
	}
}

// sweep examines the next few members and removes those that have ended.
func (x *index) sweep(now time.Time) {
	for range min(sweepSteps, len(x.all)) {
		if x.sweepAt >= len(x.all) {
			x.sweepAt = 0
		}
		if m := x.all[x.sweepAt]; m.Ends.After(now) {
			x.sweepAt++
		} else {
			x.remove(m)
		}
	}
}
