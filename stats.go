package session

import (
	"encoding/json"
	"slices"
	"sync/atomic"
	"time"
)

// Stats are counters since the manager was made, like sql.DBStats. A Stats is an expvar.Var with
// fixed values. To publish the current values, write
//
//	expvar.Publish("session", expvar.Func(func() any { return manager.Stats() }))
//
// The struct tag help of a field says what it counts, for exporters of metrics.
type Stats struct {
	Loads       uint64 `help:"look-ups in a driver"`
	Saves       uint64 `help:"saves by a driver"`
	Ended       uint64 `help:"attempts of requests to end a session"`
	Unknown     uint64 `help:"tokens that opened nothing: expired, revoked, or never issued"`
	Tampered    uint64 `help:"sealed cookies that failed authentication"`
	Damaged     uint64 `help:"records that could not be decoded"`
	Duplicates  uint64 `help:"requests with several different cookies of the session's name"`
	Dropped     uint64 `help:"requests whose changes were dropped, because the session had ended meanwhile"`
	LateChanges uint64 `help:"changes after the header that could not be stored"`
	LateOpens   uint64 `help:"sessions opened only after the header, so that caches may store the page"`
	Unreadable  uint64 `help:"values that could not be read as the requested type"`
	Failed      uint64 `help:"requests that got the error answer; 0 in Drivers"`
	Imported    uint64 `help:"sessions that Config.Import has moved here"`
	Unavailable uint64 `help:"operations that a store did not serve"`
	Retries     uint64 `help:"operations that the redis driver tried once more on a fresh connection"`
	Sessions    int64  `help:"sessions in the memory driver; expired ones count until they are found"`
	Evictions   uint64 `help:"sessions that the memory driver dropped to stay within MaxSessions"`
	Outage      bool   `help:"whether a store is unavailable: EventUnavailable came, and EventAvailable did not yet"`

	// LoadTimes counts loads by their duration, and SaveTimes saves and endings, including those
	// that failed. Only drivers that do I/O have them: they are empty for the memory driver, and
	// for the cookie driver without Revocation. They are set in the Stats in Drivers only.
	LoadTimes, SaveTimes Histogram `json:",omitzero"`

	// Drivers has the counters of each driver that is configured or was used, by name.
	Drivers map[string]Stats `json:",omitempty"`
}

// A Histogram counts operations by their duration.
type Histogram struct {
	// Bounds are 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250 and 500 ms, 1, 2.5 and 5 s.
	Bounds []time.Duration

	// Counts has one element more than Bounds. Counts[i] operations took at most Bounds[i] and
	// longer than Bounds[i-1]. The last element counts those that took longer than the last bound.
	Counts []uint64

	Sum time.Duration // of the durations of all operations
}

var latencyBounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second,
}

// latencies count operations by how long they took.
type latencies struct {
	counts [len(latencyBounds) + 1]atomic.Uint64
	sum    atomic.Int64
}

func (l *latencies) add(took time.Duration) {
	i, _ := slices.BinarySearch(latencyBounds[:], took)
	l.counts[i].Add(1)
	l.sum.Add(int64(took))
}

func (l *latencies) histogram() Histogram {
	h := Histogram{Bounds: slices.Clone(latencyBounds[:]), Sum: time.Duration(l.sum.Load())}
	for i := range l.counts {
		h.Counts = append(h.Counts, l.counts[i].Load())
	}
	return h
}

// counters are what a source counts.
type counters struct {
	loads, saves, ended, unknown, tampered, damaged, duplicates atomic.Uint64
	dropped, late, lateOpens, unreadable, imported, unavailable atomic.Uint64
	loadTimes, saveTimes                                        latencies
}

// Stats returns the counters.
func (m *Manager) Stats() Stats {
	all := Stats{Failed: m.failed.Load(), Drivers: make(map[string]Stats)}
	for _, src := range m.ordered {
		src.addTo(&all)
		if src != m.main && !src.configured && !src.used.Load() {
			continue
		}
		var one Stats
		src.addTo(&one)
		if !src.local {
			one.LoadTimes, one.SaveTimes = src.stats.loadTimes.histogram(), src.stats.saveTimes.histogram()
		}
		all.Drivers[src.name] = one
	}
	return all
}

// addTo adds the counters of a source.
func (src *source) addTo(s *Stats) {
	c := &src.stats
	s.Loads += c.loads.Load()
	s.Saves += c.saves.Load()
	s.Ended += c.ended.Load()
	s.Unknown += c.unknown.Load()
	s.Tampered += c.tampered.Load()
	s.Damaged += c.damaged.Load()
	s.Duplicates += c.duplicates.Load()
	s.Dropped += c.dropped.Load()
	s.LateChanges += c.late.Load()
	s.LateOpens += c.lateOpens.Load()
	s.Unreadable += c.unreadable.Load()
	s.Imported += c.imported.Load()
	s.Unavailable += c.unavailable.Load()
	s.Outage = s.Outage || src.outage.isOpen()
	if d, ok := src.driver.(interface{ Retries() uint64 }); ok {
		s.Retries += d.Retries()
	}
	if d, ok := src.driver.(*memoryDriver); ok {
		s.Sessions += d.Len()
		s.Evictions += d.Evictions()
	}
}

// String returns the counters as JSON, as expvar asks for.
func (s Stats) String() string {
	text, err := json.Marshal(s)
	if err != nil { // never: there are numbers only
		return "{}"
	}
	return string(text)
}
