package session

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	shardCapacity = 1 << 12 // sessions a shard is meant for: what growing its map may cost at once
	maxShards     = 256
	sweepSteps    = 3 // entries that a save looks at, so that expired ones go faster than new ones come
)

// A MemoryDriver keeps sessions in this process: they end with it, and a second process does
// not see them. Behind a load balancer with several workers a client meets now one worker's
// sessions and now another's; use the redis or the cookie driver there.
//
// It is sharded. No operation waits for a walk over all sessions, and it starts no goroutine:
// expired sessions go a few at a time as others are stored.
type MemoryDriver struct {
	cfg    MemoryConfig
	shards []memoryShard
	max    int64

	index     memoryIndex
	live      atomic.Int64 // sessions, without tombstones
	evictions atomic.Uint64
}

// A memoryShard is one lock and what it guards. Its size is more than a cache line, so that
// neighbours are not slowed by each other's lock.
type memoryShard struct {
	mu      sync.Mutex
	entries map[memoryKey]*memoryEntry
	all     []*memoryEntry // in no order; the sweep walks it
	sweep   int
	once    memoryList // not opened again since they were stored, the oldest first
	often   memoryList // opened again, the least recently used first
}

// A memoryKey is half of the token's SHA-256. To meet somebody's session in 128 bits is out of
// reach, and a million of them are 16 MB smaller.
type memoryKey [16]byte

// A memoryEntry is a stored session, or a tombstone, which stands in no list.
type memoryEntry struct {
	key        memoryKey
	head       header // of a tombstone, used says when the session ended
	packed     string // the record's numbers, then its body; of a tombstone, the save that replaced the token
	account    string
	prev, next *memoryEntry
	at         int32 // position in all
	numbers    uint8 // bytes of packed
	dead       bool
	reopened   bool // stands in the list often
}

var (
	_ Driver           = (*MemoryDriver)(nil)
	_ clockedDestroyer = (*MemoryDriver)(nil)
)

// NewMemoryDriver returns an empty memory driver. NewManager makes one of Config.Memory; a
// second one goes into Config.Drivers.
func NewMemoryDriver(cfg MemoryConfig) *MemoryDriver {
	d := &MemoryDriver{cfg: cfg, max: int64(cfg.maxSessions())}
	d.shards = make([]memoryShard, shardsFor(d.max))
	for i := range d.shards {
		d.shards[i].entries = make(map[memoryKey]*memoryEntry)
	}
	return d
}

// shardsFor returns a power of two. A small driver has one shard, so that what it evicts is
// exactly the oldest.
func shardsFor(sessions int64) int {
	n := 1
	for int64(n)*shardCapacity < sessions && n < maxShards {
		n *= 2
	}
	return n
}

// Load opens tok. See Driver.
func (d *MemoryDriver) Load(_ context.Context, tok Token, now time.Time) (*Record, error) {
	key, err := d.key(tok)
	if err != nil {
		return nil, err
	}
	s := d.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := d.find(s, key, now.UnixMilli())
	if err != nil {
		return nil, err
	}
	first := !e.reopened
	e.head.used = max(e.head.used, now.UnixMilli())
	if s.often.last != e {
		s.promote(e)
	}
	rec := e.record(tok)
	rec.first, rec.home = first, e
	return rec, nil
}

// Save stores changes. See Driver.
func (d *MemoryDriver) Save(_ context.Context, rec *Record, ch *Changes) (Token, error) {
	switch {
	case rec == nil:
		return ch.NewToken(), d.create(ch)
	case ch.Rotates() && ch.NewToken() != rec.Token():
		return ch.NewToken(), d.rotate(rec.Token(), ch)
	}
	return rec.Token(), d.apply(rec, ch)
}

// Destroy ends tok. See Driver.
func (d *MemoryDriver) Destroy(ctx context.Context, tok Token) error {
	return d.destroyAt(ctx, tok, time.Now())
}

func (d *MemoryDriver) destroyAt(_ context.Context, tok Token, now time.Time) error {
	if key, err := d.key(tok); err == nil {
		d.endKey(key, now)
	}
	return nil
}

func (d *MemoryDriver) endKey(key memoryKey, now time.Time) {
	s := d.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e := s.entries[key]; {
	case e == nil || e.dead:
	case d.cfg.ByClientIP: // the address is no secret that could be dead: its next request starts anew
		d.remove(s, e)
	default:
		d.bury(s, e, now.UnixMilli())
	}
}

// len returns how many sessions are stored; expired ones count until they are met.
func (d *MemoryDriver) len() int64 { return d.live.Load() }

func (d *MemoryDriver) key(tok Token) (memoryKey, error) {
	if !d.cfg.ByClientIP && !tok.wellFormed() {
		return memoryKey{}, errNotOurs
	}
	sum := tok.hash()
	return memoryKey(sum[:len(memoryKey{})]), nil
}

func (d *MemoryDriver) shard(key memoryKey) *memoryShard { return &d.shards[d.shardIndex(key)] }

func (d *MemoryDriver) shardIndex(key memoryKey) int {
	return (int(key[0]) | int(key[1])<<8) & (len(d.shards) - 1)
}

// find returns the live entry of a key. One that has expired goes. The shard is locked.
func (d *MemoryDriver) find(s *memoryShard, key memoryKey, now int64) (*memoryEntry, error) {
	e := s.entries[key]
	if e == nil {
		return nil, ErrNoSession
	}
	if e.expired(now) {
		d.remove(s, e)
		if e.dead {
			return nil, ErrNoSession
		}
		return nil, expiredAt(e.record(Token{}), time.UnixMilli(now))
	}
	if e.dead {
		return nil, &EndedError{At: time.UnixMilli(e.head.used)}
	}
	return e, nil
}

func (d *MemoryDriver) create(ch *Changes) error {
	key, err := d.key(ch.NewToken())
	if err != nil {
		return err
	}
	if err := d.createUnder(key, ch); err != nil {
		return err
	}
	if d.live.Load() > d.max {
		d.evict(key)
	}
	return nil
}

func (d *MemoryDriver) createUnder(key memoryKey, ch *Changes) error {
	s := d.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	d.sweepSome(s, ch.now)
	e, err := d.find(s, key, ch.now)
	switch {
	case err == nil && (d.cfg.ByClientIP || e.record(ch.NewToken()).applied(ch.number)):
		return e.apply(nil, ch.NewToken(), ch) // another first request of the address was sooner, or this one
	case s.entries[key] != nil:
		return errTokenTaken
	}
	d.insert(s, key, false).become(nil, ch)
	return nil
}

func (d *MemoryDriver) apply(rec *Record, ch *Changes) error {
	key, err := d.keyOf(rec)
	if err != nil {
		return err
	}
	s := d.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	d.sweepSome(s, ch.now)
	e, err := d.find(s, key, ch.now)
	if err != nil {
		return err
	}
	return e.apply(rec, rec.Token(), ch)
}

// keyOf returns the key of a record's token. To take it from where the record was found, and not
// hash the token again, makes reading and writing 1.1x faster.
func (d *MemoryDriver) keyOf(rec *Record) (memoryKey, error) {
	if rec.home != nil {
		return rec.home.key, nil
	}
	return d.key(rec.Token())
}

// rotate moves the session to its new token. It holds the locks of both shards, always taken
// in the order of the shards, so nothing can come in between.
func (d *MemoryDriver) rotate(old Token, ch *Changes) error {
	oldKey, err := d.key(old)
	if err != nil {
		return err
	}
	newKey, err := d.key(ch.NewToken())
	if err != nil {
		return err
	}
	from, to := d.shard(oldKey), d.shard(newKey)
	defer d.lockBoth(d.shardIndex(oldKey), d.shardIndex(newKey))()
	e, err := d.find(from, oldKey, ch.now)
	if err != nil {
		if from.entries[oldKey].replacedBy(ch.number) {
			return nil
		}
		return err
	}
	if to.entries[newKey] != nil {
		return errTokenTaken
	}
	rec := e.record(old)
	if err := ch.Check(rec); err != nil {
		return err
	}
	d.bury(from, e, ch.now)
	e.packed = packNumber(ch.number)
	d.insert(to, newKey, true).become(rec, ch)
	return nil
}

// lockBoth locks two shards, the lower first, and returns what unlocks them.
func (d *MemoryDriver) lockBoth(i, j int) (unlock func()) {
	a, b := &d.shards[min(i, j)], &d.shards[max(i, j)]
	a.mu.Lock()
	if a == b {
		return a.mu.Unlock
	}
	b.mu.Lock()
	return func() { b.mu.Unlock(); a.mu.Unlock() }
}

// insert adds an entry for its caller to fill. The shard is locked.
func (d *MemoryDriver) insert(s *memoryShard, key memoryKey, reopened bool) *memoryEntry {
	e := &memoryEntry{key: key, at: int32(len(s.all)), reopened: reopened}
	s.entries[key] = e
	s.all = append(s.all, e)
	s.list(e).push(e)
	d.live.Add(1)
	return e
}

// evict makes room after a new session came: of its shard, or the next one that has another,
// the oldest session that was never opened again goes, else the least recently used. So a
// flood of visitors does not push out people who come back.
func (d *MemoryDriver) evict(newest memoryKey) {
	start := d.shardIndex(newest)
	for i := range d.shards {
		if d.evictFrom(&d.shards[(start+i)&(len(d.shards)-1)], newest) {
			d.evictions.Add(1)
			return
		}
	}
}

func (d *MemoryDriver) evictFrom(s *memoryShard, newest memoryKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	victim := s.once.first
	if victim == nil || victim.key == newest {
		victim = s.often.first
	}
	if victim == nil {
		return false
	}
	d.remove(s, victim)
	return true
}

// bury leaves a tombstone in place of a session. The shard is locked.
func (d *MemoryDriver) bury(s *memoryShard, e *memoryEntry, now int64) {
	s.list(e).remove(e)
	d.live.Add(-1)
	e.head = header{used: now}
	e.packed, e.account, e.numbers, e.dead = "", "", 0, true
}

// remove forgets an entry. The shard is locked.
func (d *MemoryDriver) remove(s *memoryShard, e *memoryEntry) {
	if !e.dead {
		s.list(e).remove(e)
		d.live.Add(-1)
	}
	delete(s.entries, e.key)
	last := len(s.all) - 1
	s.all[e.at] = s.all[last]
	s.all[e.at].at = e.at
	s.all[last] = nil
	s.all = s.all[:last]
}

// sweepSome looks at the next few entries of the shard and forgets those that have expired.
func (d *MemoryDriver) sweepSome(s *memoryShard, now int64) {
	for range min(sweepSteps, len(s.all)) {
		if s.sweep >= len(s.all) {
			s.sweep = 0
		}
		if e := s.all[s.sweep]; e.expired(now) {
			d.remove(s, e)
		} else {
			s.sweep++
		}
	}
}

// promote moves an entry to where a use puts it.
func (s *memoryShard) promote(e *memoryEntry) {
	s.list(e).remove(e)
	e.reopened = true
	s.often.push(e)
}

func (s *memoryShard) list(e *memoryEntry) *memoryList {
	if e.reopened {
		return &s.often
	}
	return &s.once
}

func (e *memoryEntry) expired(now int64) bool {
	if e.dead {
		return now-e.head.used >= Tombstone.Milliseconds()
	}
	return now >= e.head.expires()
}

func (e *memoryEntry) record(tok Token) *Record {
	return &Record{token: tok, head: e.head, account: e.account,
		numbers: e.packed[:e.numbers], body: e.packed[e.numbers:]}
}

// apply stores changes, unless it has done so before. base is the record as the request knew it.
func (e *memoryEntry) apply(base *Record, tok Token, ch *Changes) error {
	rec := e.record(tok)
	if done, err := ch.repeats(base, rec); done || err != nil {
		return err
	}
	if err := ch.Check(rec); err != nil {
		return err
	}
	e.become(rec, ch)
	return nil
}

// become makes the entry what the changes make of rec.
func (e *memoryEntry) become(rec *Record, ch *Changes) {
	packed, n := ch.pack(rec, true)
	e.head, e.packed, e.numbers, e.account = ch.mergeHead(rec), packed, uint8(n), ch.mergeAccount(rec)
}

// replacedBy reports whether the entry is the tombstone that a save of this number left.
func (e *memoryEntry) replacedBy(number uint64) bool {
	return e != nil && e.dead && e.packed == packNumber(number)
}

// A memoryList is a doubly linked list of entries.
type memoryList struct{ first, last *memoryEntry }

func (l *memoryList) push(e *memoryEntry) {
	e.prev, e.next = l.last, nil
	if l.last == nil {
		l.first = e
	} else {
		l.last.next = e
	}
	l.last = e
}

func (l *memoryList) remove(e *memoryEntry) {
	if e.prev == nil {
		l.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		l.last = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
}
