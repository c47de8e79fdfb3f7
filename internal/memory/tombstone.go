package memory

import (
	"time"

	"example.com/session/driver"
)

// A tombstone says that a session has ended.
type tombstone struct{ ended, until driver.Milli }

// youth is the age up to which a tombstone is never evicted.
const youth = driver.Milli(driver.Tombstone / time.Millisecond)

// hour is how long the tombstones of the index stand. Those of an import stand for days, and are kept
// apart, so that others do not wait behind them.
const hour = driver.Milli(driver.IndexTombstone / time.Millisecond)

// absence returns the error of an id that has no record.
func (s *shard) absence(id driver.ID, now time.Time) error {
	t, found := s.tombstones[id]
	if !found || driver.MilliOf(now) >= t.until {
		return driver.ErrNoSession
	}
	return &driver.EndedError{Ago: max(0, now.Sub(t.ended.Time()))}
}

// addTombstone adds a tombstone, or extends the one that is there, and reports whether it added one.
func (s *shard) addTombstone(e *driver.Ending) (added bool) {
	now := driver.MilliOf(e.Now)
	t, found := s.tombstones[e.ID]
	if !found || t.until <= now {
		t.ended = now
	}
	t.until = max(t.until, now+driver.Milli(e.For.Milliseconds()))
	if s.tombstones == nil {
		s.tombstones = make(map[driver.ID]tombstone)
	}
	s.tombstones[e.ID] = t
	if !found {
		s.young = append(s.young, e.ID)
		s.d.stored.Add(1)
	}
	return !found
}

// sweepTombstones removes the first few tombstones that have expired, and lists those as old or long that
// stand for longer than 30 seconds.
func (s *shard) sweepTombstones(now driver.Milli) {
	for range min(sweepSteps, len(s.young)) {
		id := s.young[0]
		t := s.tombstones[id]
		if now < t.ended+youth {
			break
		}
		s.young = s.young[1:]
		if now >= t.until {
			s.removeTombstone(id)
			continue
		}
		l := oldTombstones
		if t.until > t.ended+hour {
			l = longTombstones
		}
		s.aged[l] = append(s.aged[l], id)
		s.d.counts[l].Add(1)
	}
	s.sweepAged(oldTombstones, now)
	s.sweepAged(longTombstones, now)
}

// sweepAged removes the first few tombstones of a list that have expired.
func (s *shard) sweepAged(l list, now driver.Milli) {
	for range min(sweepSteps, len(s.aged[l])) {
		if now < s.tombstones[s.aged[l][0]].until {
			break
		}
		s.removeOldest(l)
	}
}

// evictTombstone removes the oldest tombstone of a list, if it is not young.
func (s *shard) evictTombstone(l list, now driver.Milli) bool {
	if len(s.aged[l]) == 0 || now < s.tombstones[s.aged[l][0]].ended+youth {
		return false
	}
	s.removeOldest(l)
	return true
}

func (s *shard) removeOldest(l list) {
	id := s.aged[l][0]
	s.aged[l] = s.aged[l][1:]
	s.d.counts[l].Add(-1)
	s.removeTombstone(id)
}

// removeTombstone also releases the tables once they are empty: maps never shrink.
func (s *shard) removeTombstone(id driver.ID) {
	delete(s.tombstones, id)
	s.d.stored.Add(-1)
	if len(s.tombstones) == 0 {
		s.tombstones, s.young, s.aged = nil, nil, [lists][]driver.ID{}
	}
}
