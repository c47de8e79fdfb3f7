// Package memory is the memory driver. Sessions end with the process, and no other process sees
// them.
//
// Records are kept in shards, each with a lock of its own. The driver starts no goroutine: each
// save removes a few expired records of its shard, so that no operation waits for a walk over all
// sessions.
//
// MaxSessions bounds sessions and tombstones together, with one exception: tombstones younger than
// 30 seconds are never evicted, because requests that were under way when a session ended must find
// them. If they alone exceed MaxSessions, the driver holds them all, and each new session evicts
// another one. A tombstone takes about 100 bytes at most, so 10,000 sign-outs a second take 30 MB.
// Tombstones that stand for longer than those of the user index are evicted after all visitors: they
// keep an old session from being imported twice.
package memory

import (
	"context"
	"encoding/binary"
	"math/bits"
	"sync/atomic"
	"time"

	"example.com/session/driver"
)

const (
	defaultSessions = 1_000_000
	shardCapacity   = 1 << 12 // sessions of a shard: bounds what growing its tables costs at once
	maxShardBits    = 16      // bits of an id that choose its shard
)

// Options configure a Driver.
type Options struct {
	// MaxSessions bounds the stored sessions and tombstones. 0 and negative values, which
	// NewManager refuses but NewMemoryDriver cannot, mean 1,000,000.
	MaxSessions int

	// OnEvict is called for each session that is removed to stay within MaxSessions. It is called
	// without locks held, before the Save or End that caused the eviction returns, and with its
	// context. It may be nil.
	OnEvict func(ctx context.Context, rec *driver.Record)
}

// A Driver keeps records in this process. It is safe for concurrent use.
type Driver struct {
	max     int64
	onEvict func(context.Context, *driver.Record)
	shards  []shard // a power of two
	index   index

	stored    atomic.Int64        // sessions and tombstones
	counts    [lists]atomic.Int64 // of each list
	evictions atomic.Uint64
}

var (
	_ driver.Driver = (*Driver)(nil)
	_ driver.Index  = (*Driver)(nil)
)

// New returns an empty Driver.
func New(o Options) *Driver {
	d := &Driver{
		max:     int64(o.MaxSessions),
		onEvict: o.OnEvict,
		index:   index{users: make(map[string]*user), latest: make(map[driver.ID]*member)},
	}
	if d.max <= 0 {
		d.max = defaultSessions
	}
	// A small driver has one shard, so that it evicts exactly the session that is next.
	d.shards = make([]shard, 1<<min(bits.Len64(uint64(d.max-1)/shardCapacity), maxShardBits))
	for i := range d.shards {
		d.shards[i].init(d)
	}
	return d
}

// Load returns the record under id, and no copy of it. It may return an expired one. It changes
// only the order of evictions. See driver.Driver.
func (d *Driver) Load(_ context.Context, id driver.ID, now time.Time) (*driver.Record, error) {
	s := &d.shards[d.shardOf(id)]
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.positions[id]
	if i == notStored {
		return nil, s.absence(id, now)
	}
	s.move(i, max(s.entries[i].list, visitorsOften))
	return s.entries[i].rec, nil
}

// Save stores changes. See driver.Driver.
func (d *Driver) Save(ctx context.Context, _ *driver.Record, ch *driver.Changes) (*driver.Record, error) {
	rec, added, err := d.shards[d.shardOf(ch.ID)].save(ch)
	if added {
		d.limit(ctx, ch.ID, ch.Now)
	}
	return rec, err
}

// End replaces a record with a tombstone. See driver.Driver.
func (d *Driver) End(ctx context.Context, _ *driver.Record, e *driver.Ending) (*driver.Record, error) {
	rec, added := d.shards[d.shardOf(e.ID)].end(e)
	if added {
		d.limit(ctx, e.ID, e.Now)
	}
	return rec, nil
}

// Len returns the number of stored sessions, without tombstones. It includes expired sessions that
// have not been removed yet.
func (d *Driver) Len() (n int64) {
	for _, l := range [...]list{visitorsOnce, visitorsOften, signedIn} {
		n += d.counts[l].Load()
	}
	return n
}

// Evictions returns the number of sessions that were removed to stay within MaxSessions.
func (d *Driver) Evictions() uint64 { return d.evictions.Load() }

func (d *Driver) shardOf(id driver.ID) int {
	return int(binary.LittleEndian.Uint16(id[:])) & (len(d.shards) - 1)
}

// limit removes one entry if the one that was just added exceeds MaxSessions: one that has expired,
// or the first of the first list that has one, in any shard. So many visitors never evict somebody
// who is signed in.
func (d *Driver) limit(ctx context.Context, added driver.ID, now time.Time) {
	if d.stored.Load() <= d.max {
		return
	}
	start := d.shardOf(added)
	var evicted *driver.Record
	removed := d.shards[start].removeExpired(now)
	for l := range lists {
		for i := 0; i < len(d.shards) && !removed && d.counts[l].Load() > 0; i++ {
			evicted, removed = d.shards[(start+i)%len(d.shards)].evict(l, added, now)
		}
	}
	if evicted == nil || expired(evicted, now) {
		return
	}
	d.evictions.Add(1)
	if d.onEvict != nil {
		d.onEvict(ctx, evicted)
	}
}
