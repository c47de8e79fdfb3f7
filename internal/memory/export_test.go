package memory

import "example.com/session/driver"

// SweepSteps is how many records a save examines.
const SweepSteps = sweepSteps

// Entries returns how many sessions and tombstones are held, and how many the driver counts.
func (d *Driver) Entries() (held, counted int64) {
	for i := range d.shards {
		s := &d.shards[i]
		s.mu.Lock()
		held += int64(len(s.positions) + len(s.tombstones))
		if len(s.tombstones) != len(s.young)+len(s.aged[oldTombstones])+len(s.aged[longTombstones]) || len(s.entries) != len(s.positions)+int(lists) {
			panic("a shard's tables differ")
		}
		s.mu.Unlock()
	}
	return held, d.stored.Load()
}

// Max returns how many sessions and tombstones may be held.
func (d *Driver) Max() int64 { return d.max }

// Shards returns how many sessions each shard holds.
func (d *Driver) Shards() (sizes []int) {
	for i := range d.shards {
		sizes = append(sizes, len(d.shards[i].positions))
	}
	return sizes
}

// IndexSize returns the numbers of members, users and ids in the user index.
func (d *Driver) IndexSize() (members, users, ids int) {
	d.index.mu.Lock()
	defer d.index.mu.Unlock()
	return len(d.index.all), len(d.index.users), len(d.index.latest)
}

// Holds reports whether there is a session or a tombstone of an id. It changes nothing.
func (d *Driver) Holds(id driver.ID) bool {
	s := &d.shards[d.shardOf(id)]
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ended := s.tombstones[id]
	return ended || s.positions[id] != notStored
}
