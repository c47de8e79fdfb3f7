package races_test

import (
	"context"
	"sync"
	"time"

	"example.com/session/driver"
)

// A mapDriver is a Driver and an Index as somebody else would write them: maps, one lock, and
// Changes.Apply.
type mapDriver struct {
	mu         sync.Mutex
	records    map[driver.ID]*driver.Record
	tombstones map[driver.ID]tombstone
	entries    map[string]map[driver.ID]driver.IndexEntry
	endings    map[string]time.Time
}

type tombstone struct{ at, until time.Time }

func newMapDriver() *mapDriver {
	return &mapDriver{
		records: make(map[driver.ID]*driver.Record), tombstones: make(map[driver.ID]tombstone),
		entries: make(map[string]map[driver.ID]driver.IndexEntry), endings: make(map[string]time.Time),
	}
}

// find returns what is under an id. The caller holds mu.
func (d *mapDriver) find(id driver.ID, now time.Time) (*driver.Record, error) {
	if t, ok := d.tombstones[id]; ok && now.Before(t.until) {
		return nil, &driver.EndedError{Ago: max(0, now.Sub(t.at))}
	}
	return d.records[id], nil
}

func (d *mapDriver) Load(_ context.Context, id driver.ID, now time.Time) (*driver.Record, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rec, err := d.find(id, now)
	if rec == nil && err == nil {
		err = driver.ErrNoSession
	}
	return rec, err
}

func (d *mapDriver) Save(_ context.Context, _ *driver.Record, ch *driver.Changes) (*driver.Record, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rec, err := d.find(ch.ID, ch.Now)
	if err != nil {
		return nil, err
	}
	next, err := ch.Apply(rec)
	if err == nil {
		d.records[ch.ID] = next
	}
	return next, err
}

func (d *mapDriver) End(_ context.Context, _ *driver.Record, e *driver.Ending) (*driver.Record, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rec := d.records[e.ID]
	if !e.Allows(rec) {
		return nil, nil
	}
	t, until := d.tombstones[e.ID], e.Now.Add(e.For)
	if !e.Now.Before(t.until) {
		t.at = e.Now
	}
	if until.After(t.until) {
		t.until = until
	}
	d.tombstones[e.ID] = t
	delete(d.records, e.ID)
	return rec, nil
}

func (d *mapDriver) Enter(_ context.Context, user string, e driver.IndexEntry, limit int, now time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	ending := d.endings[user]
	if ending.After(e.Entered) && !ending.After(now.Add(driver.EndBeforeAhead)) && now.Before(ending.Add(time.Hour)) {
		return driver.ErrEnded
	}
	old, found := d.entries[user][e.ID]
	if found {
		e.Entered = old.Entered
	} else if limit > 0 && len(d.entries[user]) >= limit {
		return driver.ErrIndexFull
	}
	if d.entries[user] == nil {
		d.entries[user] = make(map[driver.ID]driver.IndexEntry)
	}
	d.entries[user][e.ID] = e
	return nil
}

func (d *mapDriver) Remove(_ context.Context, user string, id driver.ID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.entries[user], id)
	return nil
}

func (d *mapDriver) List(_ context.Context, user string, now time.Time) (entries []driver.IndexEntry, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, e := range d.entries[user] {
		if e.Ends.After(now) {
			entries = append(entries, e)
		} else {
			delete(d.entries[user], id)
		}
	}
	return entries, nil
}

func (d *mapDriver) EndBefore(_ context.Context, user string, now time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.After(d.endings[user]) {
		d.endings[user] = now
	}
	return nil
}
