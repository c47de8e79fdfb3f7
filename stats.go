package session

import (
	"encoding/json"
	"sync/atomic"
)

// Stats are counters since the manager was made, like sql.DBStats. Stats is an expvar.Var. One that
// is always up to date is published by
//
//	expvar.Publish("session", expvar.Func(func() any { return manager.Stats() }))
type Stats struct {
	Loads       uint64 // look-ups in a driver
	Saves       uint64 // saves by a driver
	Ended       uint64 // attempts of requests to end a session
	Unknown     uint64 // tokens that opened nothing: expired, or never issued
	Tampered    uint64 // sealed cookies that failed authentication
	Damaged     uint64 // records that could not be decoded
	Duplicates  uint64 // requests with several different cookies of the session's name
	Dropped     uint64 // requests whose changes were dropped, because the session had ended meanwhile
	LateChanges uint64 // changes after the header that could not be stored
	Unreadable  uint64 // values that could not be read as asked
	Failed      uint64 // requests that got the error answer
	Unavailable uint64 // operations that a store did not serve
	Retries     uint64 // operations that the redis driver tried once more on a fresh connection
	Sessions    int64  // stored by the memory driver; expired ones count until they are found
	Evictions   uint64 // sessions that the memory driver dropped to stay within MaxSessions
}

type counters struct {
	loads, saves, ended, unknown, tampered, damaged, duplicates atomic.Uint64
	dropped, late, unreadable, failed, unavailable              atomic.Uint64
}

// Stats returns the counters.
func (m *Manager) Stats() Stats {
	c := &m.stats
	stats := Stats{
		Loads: c.loads.Load(), Saves: c.saves.Load(), Ended: c.ended.Load(),
		Unknown: c.unknown.Load(), Tampered: c.tampered.Load(), Damaged: c.damaged.Load(),
		Duplicates: c.duplicates.Load(), Dropped: c.dropped.Load(), LateChanges: c.late.Load(),
		Unreadable: c.unreadable.Load(), Failed: c.failed.Load(), Unavailable: c.unavailable.Load(),
		Sessions: m.memory.Len(), Evictions: m.memory.Evictions(),
	}
	for _, src := range m.ordered {
		if d, ok := src.driver.(interface{ Retries() uint64 }); ok {
			stats.Retries += d.Retries()
		}
	}
	return stats
}

// String returns the counters as JSON, as expvar asks for.
func (s Stats) String() string {
	text, err := json.Marshal(s)
	if err != nil { // never: there are numbers only
		return "{}"
	}
	return string(text)
}
