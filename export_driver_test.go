package session

// WellFormed reports whether a token has the one shape that NewToken gives.
func (t Token) WellFormed() bool { return t.wellFormed() }

// Len returns how many sessions are stored.
func (d *MemoryDriver) Len() int64 { return d.len() }

// Entries returns how many sessions and tombstones there are.
func (d *MemoryDriver) Entries() (n int) {
	for i := range d.shards {
		s := &d.shards[i]
		s.mu.Lock()
		n += len(s.all)
		s.mu.Unlock()
	}
	return n
}

// Evictions returns how many sessions were dropped to stay within MaxSessions.
func (d *MemoryDriver) Evictions() uint64 { return d.evictions.Load() }

// SweepSteps is how many entries a save looks at.
const SweepSteps = sweepSteps

// IndexKey is the key of a user's index.
func IndexKey(scope, user string) string { return indexKey(scope, user) }

// IndexEntries returns how many entries all indexes of users have.
func (d *MemoryDriver) IndexEntries() int {
	d.index.mu.Lock()
	defer d.index.mu.Unlock()
	return len(d.index.all)
}

// NewTestClient returns a client of a redis server on loopback.
func NewTestClient(port int) RedisClient { return &redigoClient{cfg: RedisConfig{Port: port}} }
