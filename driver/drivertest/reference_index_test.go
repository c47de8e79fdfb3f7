package drivertest

import (
	"cmp"
	"context"
	"runtime"
	"strings"
	"time"

	"example.com/session/driver"
)

// A list is the index of one user.
type list struct {
	entries map[driver.ID]driver.IndexEntry
	ended   time.Time
}

// list returns the index of a user. The lock is held.
func (d *reference) list(user string) *list {
	switch {
	case d.has("index: folds the case of users"):
		user = strings.ToLower(user)
	case d.has("index: keeps one list"):
		user = ""
	}
	l := d.users[user]
	if l == nil {
		l = &list{entries: map[driver.ID]driver.IndexEntry{}}
		d.users[user] = l
	}
	return l
}

func (d *reference) Enter(ctx context.Context, user string, e driver.IndexEntry, limit int, now time.Time) error {
	if ctx.Err() != nil {
		if d.has("index: swallows errors") {
			return nil
		}
		if d.has("index: takes a fault for a full index") {
			return driver.ErrIndexFull
		}
		return ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.list(user)
	if d.ended(l, e, now) {
		if d.has("index: enters what EndBefore refuses") {
			l.entries[e.ID] = e
		}
		return driver.ErrEnded
	}
	others := 0
	for id, other := range l.entries {
		if (id != e.ID || d.has("index: counts the entry itself")) && (other.Ends.After(now) || d.has("index: counts what has ended")) {
			others++
		}
	}
	if d.has("index: checks the limit before it locks") {
		d.mu.Unlock()
		runtime.Gosched()
		d.mu.Lock()
	}
	switch full := limit > 0 && others >= limit; {
	case full && d.has("index: enters beyond the limit"):
		l.entries[e.ID] = e
		return driver.ErrIndexFull
	case full && d.has("index: ignores the limit"), limit == 1 && others > 1 && d.has("index: refuses at the limit only"):
	case full:
		return driver.ErrIndexFull
	case limit == 0 && others > 0 && d.has("index: takes no limit for a limit of zero"):
		return driver.ErrIndexFull
	}
	if was, ok := l.entries[e.ID]; ok && was.Ends.After(now) {
		if !d.has("index: moves Entered") {
			e.Entered = was.Entered
		}
		if d.has("index: leaves the end of an entry") {
			e.Ends = was.Ends
		}
	}
	if d.has("index: cuts times to seconds") {
		e.Entered, e.Ends = time.Unix(e.Entered.Unix(), 0), time.Unix(e.Ends.Unix(), 0)
	}
	l.entries[e.ID] = e
	return nil
}

// ended reports whether EndBefore refuses an entry.
func (d *reference) ended(l *list, e driver.IndexEntry, now time.Time) bool {
	if d.has("index: forgets EndBefore after half an hour") && now.Sub(l.ended) > 30*time.Minute {
		return false
	}
	if d.has("index: never forgets EndBefore") {
		return e.Entered.Before(l.ended)
	}
	entered := e.Entered
	switch {
	case d.has("index: judges EndBefore by now"):
		entered = now
	case d.has("index: refuses who entered at the time of EndBefore"):
		entered = entered.Add(-time.Nanosecond)
	case d.has("index: compares milliseconds"):
		return entered.UnixMilli() < l.ended.UnixMilli() && now.Sub(l.ended) < time.Hour
	case d.has("index: exempts an entry that is there"):
		if _, there := l.entries[e.ID]; there {
			return false
		}
	case d.has("index: judges an EndBefore in the future"):
		return entered.Before(l.ended)
	}
	return entered.Before(l.ended) && !l.ended.After(now.Add(driver.EndBeforeAhead)) && now.Sub(l.ended) < time.Hour
}

func (d *reference) Remove(ctx context.Context, user string, id driver.ID) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.list(user)
	_, there := l.entries[id]
	switch {
	case !there && d.has("index: fails to remove what is not there"):
		return driver.ErrNoSession
	case d.has("index: removes nothing"):
	case d.has("index: removes every entry"):
		clear(l.entries)
	case d.has("index: ends what it removes"):
		delete(d.stored, d.key(id))
		delete(l.entries, id)
	default:
		delete(l.entries, id)
	}
	return nil
}

func (d *reference) List(ctx context.Context, user string, now time.Time) ([]driver.IndexEntry, error) {
	if ctx.Err() != nil {
		if d.has("index: takes a fault for an empty list") {
			return nil, nil
		}
		return nil, ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []driver.IndexEntry
	for _, e := range d.list(user).entries {
		if (e.Ends.After(now) || d.has("index: lists what has ended")) && (len(all) < 10 || !d.has("index: lists the first ten")) {
			all = append(all, e)
		}
	}
	return all, nil
}

func (d *reference) EndBefore(ctx context.Context, user string, now time.Time) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.list(user)
	if d.has("index: removes entries in EndBefore") {
		clear(l.entries)
	}
	if now.After(l.ended) || d.has("index: an earlier EndBefore replaces a later one") {
		if l.ended.IsZero() || !d.has("index: keeps the first EndBefore") {
			l.ended = now
		}
	}
	return nil
}

// EndUser takes the steps of Manager.EndAll, one after another.
func (d *reference) EndUser(ctx context.Context, user string, e *driver.Ending, keep driver.ID) (ended []*driver.Record, err error) {
	if !d.has("user ender: does not note the time") {
		err = d.EndBefore(ctx, user, e.Now)
	}
	all, listErr := d.List(ctx, user, e.Now)
	if err = cmp.Or(err, listErr); err != nil {
		return nil, err
	}
	for _, entry := range all {
		if entry.ID == keep && !d.has("user ender: ends the session to keep") {
			continue
		}
		one := *e
		one.ID = entry.ID
		if rec, _ := d.Load(ctx, one.ID, e.Now); rec != nil && d.has("user ender: ends another user's session") {
			one.User = rec.User()
		} else if rec == nil && d.has("user ender: forgets what is not stored yet") {
			continue
		}
		if d.has("user ender: leaves tombstones for too short") {
			one.For = driver.Tombstone
		}
		rec, err := d.End(ctx, nil, &one)
		if err != nil {
			return nil, err
		}
		if rec != nil && !d.has("user ender: does not say what it has ended") {
			ended = append(ended, rec)
		}
		if !d.has("user ender: leaves the entries") {
			d.Remove(ctx, user, one.ID)
		}
	}
	return ended, nil
}
