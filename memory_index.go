package session

import (
	"context"
	"encoding/base64"
	"slices"
	"sync"
	"time"
)

// A memoryIndex holds who is signed in with which sessions of a MemoryDriver. Like the sessions,
// entries that are over go a few at a time as others come.
type memoryIndex struct {
	mu    sync.Mutex
	users map[string]*memoryUser // by index key; one without entries is not kept
	all   []*memoryMember        // in no order; the sweep walks it
	sweep int
}

type memoryUser struct {
	key     string
	members map[string]*memoryMember // by name, the mark among them
}

type memoryMember struct {
	user *memoryUser
	name string
	ends int64
	at   int // position in all
}

var _ accountIndex = (*MemoryDriver)(nil)

func (d *MemoryDriver) enroll(_ context.Context, user string, e enrollment) error {
	x := &d.index
	x.mu.Lock()
	defer x.mu.Unlock()
	now := e.now.UnixMilli()
	d.sweepIndex(now)
	u := x.users[user]
	if u.refuses(&e, now) {
		return &EndedError{At: e.now}
	}
	if e.most > 0 && u.others(&e, now) >= e.most {
		return errIndexFull
	}
	x.put(user, e.name(), e.ends)
	if u.keeps(e.replaces) {
		mark := u.members[endingMark].ends
		x.put(user, keptMark(mark, e.name()), mark)
	}
	return nil
}

func (d *MemoryDriver) withdraw(_ context.Context, user string, m member) error {
	x := &d.index
	x.mu.Lock()
	defer x.mu.Unlock()
	if u := x.users[user]; u != nil {
		if old := u.members[m.name()]; old != nil && (m.ends == 0 || old.ends == m.ends) {
			x.remove(old)
		}
	}
	return nil
}

func (d *MemoryDriver) members(_ context.Context, user string, now time.Time) ([]member, error) {
	x := &d.index
	x.mu.Lock()
	defer x.mu.Unlock()
	u := x.users[user]
	if u == nil {
		return nil, nil
	}
	members := make([]member, 0, len(u.members))
	for name, mm := range u.members {
		if m, ok := parseMember(name, mm.ends); ok && mm.ends > now.UnixMilli() {
			members = append(members, m)
		}
	}
	slices.SortFunc(members, byEnd)
	return members, nil
}

func (d *MemoryDriver) noteEnding(_ context.Context, user, kept string, now time.Time) (int64, error) {
	x := &d.index
	x.mu.Lock()
	defer x.mu.Unlock()
	d.sweepIndex(now.UnixMilli())
	mark := now.Add(rememberEnding).UnixMilli()
	if u := x.users[user]; u != nil && u.members[endingMark] != nil {
		mark = max(mark, u.members[endingMark].ends+1)
	}
	x.put(user, endingMark, mark)
	if kept != "" {
		x.put(user, keptMark(mark, kept), mark)
	}
	return mark - rememberEnding.Milliseconds(), nil
}

func (d *MemoryDriver) peek(_ context.Context, id string, now time.Time) (*Record, error) {
	key, err := memoryKeyOf(id)
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
	return e.record(Token{}), nil
}

func (d *MemoryDriver) endID(_ context.Context, id string, now time.Time) error {
	key, err := memoryKeyOf(id)
	if err != nil {
		return err
	}
	d.endKey(key, now)
	return nil
}

func memoryKeyOf(id string) (memoryKey, error) {
	sum, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || len(sum) < len(memoryKey{}) {
		return memoryKey{}, ErrNoSession
	}
	return memoryKey(sum[:len(memoryKey{})]), nil
}

// put adds an entry or gives it another end.
func (x *memoryIndex) put(user, name string, ends int64) {
	u := x.users[user]
	if u == nil {
		u = &memoryUser{key: user, members: make(map[string]*memoryMember)}
		if x.users == nil {
			x.users = make(map[string]*memoryUser)
		}
		x.users[user] = u
	}
	if m := u.members[name]; m != nil {
		m.ends = ends
		return
	}
	m := &memoryMember{user: u, name: name, ends: ends, at: len(x.all)}
	u.members[name] = m
	x.all = append(x.all, m)
}

func (x *memoryIndex) remove(m *memoryMember) {
	delete(m.user.members, m.name)
	if len(m.user.members) == 0 {
		delete(x.users, m.user.key)
	}
	last := len(x.all) - 1
	x.all[m.at] = x.all[last]
	x.all[m.at].at = m.at
	x.all[last] = nil
	x.all = x.all[:last]
}

// sweepIndex looks at the next few entries and forgets those that are over, and those of sessions
// that are not there: one that is about to be stored enrolls again. The index is locked.
func (d *MemoryDriver) sweepIndex(now int64) {
	x := &d.index
	for range min(sweepSteps, len(x.all)) {
		if x.sweep >= len(x.all) {
			x.sweep = 0
		}
		if m := x.all[x.sweep]; m.ends <= now || d.lacks(m, now) {
			x.remove(m)
		} else {
			x.sweep++
		}
	}
}

// lacks reports whether an entry names a session that is not there.
func (d *MemoryDriver) lacks(m *memoryMember, now int64) bool {
	if !isSession(m.name) {
		return false
	}
	_, err := d.peek(context.Background(), m.name[:idLength], time.UnixMilli(now))
	return err != nil
}

// refuses reports whether all sessions of the user were ended after the sign-in.
func (u *memoryUser) refuses(e *enrollment, now int64) bool {
	if u == nil {
		return false
	}
	mark := u.members[endingMark]
	return mark != nil && mark.ends > now && !u.keeps(e.replaces) &&
		e.signedIn <= mark.ends-rememberEnding.Milliseconds()
}

// keeps reports whether a session was kept when the others were ended.
func (u *memoryUser) keeps(name string) bool {
	if u == nil || u.members[endingMark] == nil {
		return false
	}
	return u.members[keptMark(u.members[endingMark].ends, name)] != nil
}

// others counts the sessions of the user but the one that comes and the one that it replaces.
func (u *memoryUser) others(e *enrollment, now int64) int {
	if u == nil {
		return 0
	}
	n := 0
	for name, m := range u.members {
		if isSession(name) && name != e.name() && name != e.replaces && m.ends > now {
			n++
		}
	}
	return n
}

func byEnd(a, b member) int { return int(min(max(a.ends-b.ends, -1), 1)) }
