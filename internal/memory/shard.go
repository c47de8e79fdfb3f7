package memory

import (
	"sync"
	"time"

	"example.com/session/driver"
)

// sweepSteps is how many records each save examines. It is more than one, so that expired records
// go faster than new ones come.
const sweepSteps = 3

// A list is one of a shard's lists. They are in the order of eviction, and each begins with what is
// evicted first.
type list uint8

const (
	oldTombstones  list = iota // 30 seconds old
	visitorsOnce               // not opened again since they were stored
	visitorsOften              // opened again, the least recently used first
	longTombstones             // those of them that stand for longer than the tombstones of the index do
	signedIn                   // the least recently used first
	lists
)

// notStored is the position of an id that has no record. The entry there has no record either.
const notStored = 0

// A shard is one lock and what it guards.
type shard struct {
	d *Driver

	mu        sync.Mutex
	positions map[driver.ID]int32 // in entries
	entries   []entry             // the heads of the lists, then sessions in no order
	sweepAt   int                 // position that the next sweep examines

	tombstones map[driver.ID]tombstone // nil if there are none
	young      []driver.ID             // tombstones that are not old yet, in the order of their time
	aged       [lists][]driver.ID      // those of the lists of tombstones, likewise
}

// An entry is a stored session, or the head of a list. Lists are circular. Positions in place of
// pointers, and the id only inside the record, keep a session of five small values below 350 bytes.
type entry struct {
	rec        *driver.Record // nil of a head
	prev, next int32          // positions in entries
	list       list
}

func (s *shard) init(d *Driver) {
	s.d, s.positions, s.entries = d, make(map[driver.ID]int32), make([]entry, lists)
	for i := range s.entries {
		s.entries[i].prev, s.entries[i].next = int32(i), int32(i)
	}
}

// save applies changes to what is stored. added reports whether the session is new.
func (s *shard) save(ch *driver.Changes) (rec *driver.Record, added bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(ch.Now)
	i := s.positions[ch.ID]
	old := s.entries[i].rec
	if i == notStored {
		if err = s.absence(ch.ID, ch.Now); err != driver.ErrNoSession {
			return nil, false, err
		}
	}
	if rec, err = ch.Apply(old); err != nil || rec == old {
		return rec, false, err
	}
	return rec, s.put(i, ch.ID, rec), nil
}

// end replaces a record with a tombstone. added reports whether there is an entry more than before.
func (s *shard) end(e *driver.Ending) (rec *driver.Record, added bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(e.Now)
	i := s.positions[e.ID]
	rec = s.entries[i].rec
	if !e.Allows(rec) {
		return nil, false
	}
	if rec != nil {
		s.remove(i)
	}
	return rec, s.addTombstone(e) && rec == nil
}

// put stores a record at the position of its id. Only a sign-in or a sign-out changes the list of
// a session that is stored already.
func (s *shard) put(i int32, id driver.ID, rec *driver.Record) (added bool) {
	if added = i == notStored; added {
		i = int32(len(s.entries))
		s.entries = append(s.entries, entry{})
		s.positions[id] = i
		s.link(i, visitorsOnce)
		s.d.counts[visitorsOnce].Add(1)
		s.d.stored.Add(1)
	}
	s.entries[i].rec = rec
	if in := rec.User() != ""; in && s.entries[i].list != signedIn {
		s.move(i, signedIn)
	} else if !in && s.entries[i].list == signedIn {
		s.move(i, visitorsOften)
	}
	return added
}

// remove removes a session and moves the last entry into its place.
func (s *shard) remove(i int32) {
	s.unlink(i)
	s.d.counts[s.entries[i].list].Add(-1)
	s.d.stored.Add(-1)
	delete(s.positions, s.entries[i].rec.ID())
	last := int32(len(s.entries) - 1)
	if i != last {
		e := s.entries[last]
		s.entries[i] = e
		s.entries[e.prev].next, s.entries[e.next].prev = i, i
		s.positions[e.rec.ID()] = i
	}
	s.entries[last] = entry{}
	s.entries = s.entries[:last]
}

// drop removes a session that has no successor, and its entry in the user index.
func (s *shard) drop(i int32) *driver.Record {
	rec := s.entries[i].rec
	s.remove(i)
	s.d.index.drop(rec)
	return rec
}

// evict removes the first of a list, unless it is the session that was just added.
func (s *shard) evict(l list, added driver.ID, now time.Time) (rec *driver.Record, removed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l == oldTombstones || l == longTombstones {
		return nil, s.evictTombstone(l, driver.MilliOf(now))
	}
	i := s.entries[l].next
	if i == s.positions[added] {
		i = s.entries[i].next
	}
	if i == int32(l) {
		return nil, false
	}
	return s.drop(i), true
}

// removeExpired drops the first session of each list if it has expired, and reports whether one
// had. Under equal limits the first of a list expires before the others.
func (s *shard) removeExpired(now time.Time) (removed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := visitorsOnce; l < lists; l++ {
		if i := s.entries[l].next; i != int32(l) && expired(s.entries[i].rec, now) {
			s.drop(i)
			removed = true
		}
	}
	return removed
}

// sweep examines the next few sessions and tombstones, and drops those that have expired.
func (s *shard) sweep(now time.Time) {
	for range min(sweepSteps, len(s.entries)-int(lists)) {
		if s.sweepAt < int(lists) || s.sweepAt >= len(s.entries) {
			s.sweepAt = int(lists)
		}
		if expired(s.entries[s.sweepAt].rec, now) {
			s.drop(int32(s.sweepAt))
		} else {
			s.sweepAt++
		}
	}
	s.sweepTombstones(driver.MilliOf(now))
}

// move puts a session at the end of a list.
func (s *shard) move(i int32, to list) {
	if s.entries[to].prev == i {
		return
	}
	from := s.entries[i].list
	s.unlink(i)
	s.link(i, to)
	if from != to {
		s.d.counts[from].Add(-1)
		s.d.counts[to].Add(1)
	}
}

func (s *shard) link(i int32, l list) {
	e, head := &s.entries[i], &s.entries[l]
	e.list, e.prev, e.next = l, head.prev, int32(l)
	s.entries[head.prev].next = i
	head.prev = i
}

func (s *shard) unlink(i int32) {
	e := &s.entries[i]
	s.entries[e.prev].next, s.entries[e.next].prev = e.next, e.prev
}

// expired reports whether a record has ended by its own limits, which no configuration extends.
func expired(rec *driver.Record, now time.Time) bool { return !now.Before(rec.ExpiresAt()) }
