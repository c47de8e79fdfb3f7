package session_test

import (
	"errors"
	"maps"
	"time"

	"example.com/session"
)

// The reference model: what sessions are, said as plainly as possible. A session is two maps. A
// request keeps a list of what it did and repeats it, one operation after the other, on whatever
// the session is when it is committed. There is nothing here of records, compaction, scripts or
// stores; schedules_test.go holds the library to it.

// refLimits are the limits of a session.
type refLimits struct {
	lifetime, idle time.Duration
	remembered     bool
}

// A refSession is what is stored under one token. Times are counted from the schedule's start.
type refSession struct {
	cookie        string // "" until a response has given it to the client
	data          map[string]any
	flash         map[string]refFlash
	created, used time.Duration
	limits        refLimits
	dead          bool
	ended         time.Duration
}

// A refFlash is a flash value and the save that stored it.
type refFlash struct {
	value string
	save  int
}

func (s *refSession) expires() time.Duration {
	return min(s.created+s.limits.lifetime, s.used+s.limits.idle)
}

func (s *refSession) lives(now time.Duration) bool { return !s.dead && now < s.expires() }

// A refStore is every session there was, and how a driver notes uses.
type refStore struct {
	byCookie map[string]*refSession
	limits   refLimits
	noteUse  time.Duration // a use is noted after this fraction of the idle timeout; 0: always
	saves    int
	unclear  bool // an expired session was destroyed: drivers differ in what is left of it
}

// touch notes a use, as exactly as the driver does.
func (st *refStore) touch(s *refSession, now time.Duration) {
	if st.noteUse == 0 || now >= s.used+max(time.Millisecond, s.limits.idle/st.noteUse) {
		s.used = max(s.used, now)
	}
}

func (st *refStore) destroy(s *refSession, now time.Duration) {
	if s == nil || s.dead {
		return
	}
	st.unclear = st.unclear || !s.lives(now)
	s.dead, s.ended = true, now
}

// A refOp is one operation of a request, to be repeated on what is stored by then.
type refOp struct {
	kind  string
	key   string
	value any
	by    int
	save  int // that stored the flash which is to be kept or to end
}

// A refRequest is one request: what it found, what it sees, and what it has not saved yet.
type refRequest struct {
	store   *refStore
	entered time.Duration
	cookie  string
	ours    bool // the cookie has the shape of ours
	hint    bool // the client said that flash is pending
	head    bool
	poll    bool // not a page: only flash that was looked at ends

	opened bool
	came   *refSession   // as it came with the request
	base   *refSession   // what a commit changes; nil: it begins one
	used   time.Duration // when this request last opened or saved it
	dead   bool
	loaded map[string]refFlash
	looked map[string]bool

	data     map[string]any // as this request sees it
	flash    map[string]refFlash
	now      map[string]string
	log      []refOp
	rotate   bool
	remember *refLimits
	bad      bool

	doomed   []*refSession
	gone     bool // Destroy was called
	unusable bool
}

// open loads the session, the first time.
func (q *refRequest) open(now time.Duration) {
	if q.opened {
		return
	}
	q.opened = true
	q.data, q.flash = map[string]any{}, map[string]refFlash{}
	s := q.store.byCookie[q.cookie]
	switch {
	case q.cookie == "":
	case s == nil:
		q.unusable = !q.ours
	case s.dead && now < s.ended+session.Tombstone:
		q.dead = q.entered < s.ended+5*time.Second
	case s.lives(now):
		q.store.touch(s, now)
		q.came, q.base, q.used = s, s, now
		q.data, q.flash, q.loaded = maps.Clone(s.data), maps.Clone(s.flash), maps.Clone(s.flash)
	}
}

func (q *refRequest) do(op refOp) {
	q.log = append(q.log, op)
	apply(op, 0, q.data, q.flash)
}

// apply is what an operation does to a session's two maps. It reports whether it could.
func apply(op refOp, save int, data map[string]any, flash map[string]refFlash) bool {
	switch op.kind {
	case "set":
		data[op.key] = op.value
	case "delete":
		delete(data, op.key)
		delete(flash, op.key)
	case "add":
		n, ok := data[op.key].(int)
		if _, there := data[op.key]; there && !ok {
			return false
		}
		data[op.key] = n + op.by
	case "reset":
		clear(data)
	case "flash":
		flash[op.key] = refFlash{value: op.value.(string), save: save}
	case "reset flash":
		clear(flash)
	case "keep":
		if f, ok := flash[op.key]; ok && f.save == op.save && save != 0 {
			flash[op.key] = refFlash{value: f.value, save: save}
		}
	case "expire":
		if flash[op.key].save == op.save {
			delete(flash, op.key)
		}
	}
	return true
}

// replay repeats the log on what is stored. It fails where an increment meets what is not a
// number and nothing later in the log replaces that.
func (q *refRequest) replay(data map[string]any, flash map[string]refFlash) bool {
	q.store.saves++
	refused := map[string]bool{}
	for _, op := range q.log {
		switch op.kind {
		case "set", "delete":
			delete(refused, op.key)
		case "reset":
			clear(refused)
		}
		if !apply(op, q.store.saves, data, flash) {
			refused[op.key] = true
		}
	}
	return len(refused) == 0
}

var errRefused = errors.New("an increment is refused")

// save stores the log. It returns ErrNoSession where the session is gone.
func (q *refRequest) save(now time.Duration) error {
	for _, s := range q.doomed {
		q.store.destroy(s, now)
	}
	q.doomed = nil
	defer func() { q.log, q.rotate = nil, false }()
	switch {
	case q.base == nil:
		q.create(now, nil)
		return nil
	case len(q.log) == 0 && !q.rotate:
		return nil
	case q.base.lives(now):
		return q.merge(now)
	}
	was := q.base
	q.base, q.dead = nil, true
	if q.rotate {
		q.create(now, was)
	}
	if q.dead {
		return session.ErrNoSession
	}
	return nil
}

// merge applies the log to the stored session, or to its copy under a new token.
func (q *refRequest) merge(now time.Duration) error {
	s := q.base
	data, flash := maps.Clone(s.data), maps.Clone(s.flash)
	if !q.replay(data, flash) {
		return errRefused
	}
	if q.rotate {
		q.base = &refSession{created: now, limits: q.newLimits(s)}
		q.store.destroy(s, now)
	}
	q.base.data, q.base.flash, q.base.used = data, flash, max(q.base.used, now)
	q.used = now
	return nil
}

func (q *refRequest) newLimits(old *refSession) refLimits {
	switch remember := q.remember; {
	case remember != nil:
		q.remember = nil
		return *remember
	case old != nil && old.limits.remembered:
		return old.limits
	}
	return q.store.limits
}

// create begins a session of what this request did, where that is something. A session that
// died while the request was under way is followed by another only where Regenerate asks for it.
func (q *refRequest) create(now time.Duration, was *refSession) {
	data, flash := map[string]any{}, map[string]refFlash{}
	q.replay(data, flash)
	if len(data)+len(flash) == 0 || q.dead && !q.rotate {
		return
	}
	q.base = &refSession{data: data, flash: flash, created: now, used: now, limits: q.newLimits(was)}
	q.used, q.dead = now, false
}

// A refAnswer is what the client sees of a commit.
type refAnswer struct {
	status int
	cookie string      // "", "new" or "cleared"
	fresh  *refSession // what a new cookie opens
}

// commit is what happens before the header of a response leaves.
func (q *refRequest) commit(status int, now time.Duration) refAnswer {
	aging := status == 200 && !q.head
	if aging && !q.poll && q.hint {
		q.open(now)
	}
	if !q.opened {
		return refAnswer{status: status}
	}
	if q.bad {
		return q.failed()
	}
	if aging && q.came != nil {
		for key, f := range q.loaded {
			if !q.poll || q.looked[key] {
				q.log = append(q.log, refOp{kind: "expire", key: key, save: f.save})
			}
		}
	}
	if q.save(now) == errRefused {
		return q.failed()
	}
	return q.answer(status)
}

// failed is the error answer. It carries the cookies of what an earlier Save has stored.
func (q *refRequest) failed() refAnswer {
	if len(q.doomed) > 0 || !q.gone && (q.base == nil || q.base == q.came) {
		return refAnswer{status: 500}
	}
	return q.answer(500)
}

func (q *refRequest) answer(status int) refAnswer {
	switch {
	case q.base != nil && q.base != q.came:
		return refAnswer{status: status, cookie: "new", fresh: q.base}
	case q.base == nil && (q.unusable || q.gone && q.cookie != ""):
		return refAnswer{status: status, cookie: "cleared"}
	}
	return refAnswer{status: status}
}

// What follows are the methods of a Session, with what they return.

func (q *refRequest) increment(key string, by int) int {
	n, ok := q.data[key].(int)
	if _, there := q.data[key]; there && !ok {
		q.bad = true
		return 0
	}
	q.do(refOp{kind: "add", key: key, by: by})
	return n + by
}

func (q *refRequest) get(key string) any {
	if v, ok := q.now[key]; ok {
		return v
	}
	if f, ok := q.flash[key]; ok {
		q.look(key)
		return f.value
	}
	return q.data[key]
}

// look notes that a flash value was read that came with the request.
func (q *refRequest) look(key string) {
	if f, ok := q.loaded[key]; ok && f == q.flash[key] {
		if q.looked == nil {
			q.looked = map[string]bool{}
		}
		q.looked[key] = true
	}
}

func (q *refRequest) delete(key string) bool {
	had := q.get(key) != nil
	delete(q.now, key)
	q.do(refOp{kind: "delete", key: key})
	return had
}

func (q *refRequest) all() map[string]any {
	all := maps.Clone(q.data)
	for key, f := range q.flash {
		q.look(key)
		all[key] = f.value
	}
	for key, v := range q.now {
		all[key] = v
	}
	return all
}

func (q *refRequest) setFlash(key, value string) {
	delete(q.now, key)
	q.do(refOp{kind: "flash", key: key, value: value})
}

func (q *refRequest) flashNow(key, value string) {
	if q.now == nil {
		q.now = map[string]string{}
	}
	q.now[key] = value
}

func (q *refRequest) keepFlash(keys ...string) {
	for _, key := range keys {
		if f, ok := q.loaded[key]; ok {
			q.do(refOp{kind: "keep", key: key, save: f.save})
		}
	}
}

func (q *refRequest) resetFlash() {
	q.do(refOp{kind: "reset flash"})
	q.now = nil
}

// destroy takes the session away from this request; it ends at the next save.
func (q *refRequest) destroy() {
	switch {
	case q.base != nil:
		q.doomed = append(q.doomed, q.base)
	case q.cookie != "" && (!q.opened || q.dead):
		q.doomed = append(q.doomed, q.store.byCookie[q.cookie])
	}
	q.opened, q.gone = true, true
	q.came, q.base, q.dead, q.loaded, q.looked, q.now = nil, nil, false, nil, nil, nil
	q.data, q.flash = map[string]any{}, map[string]refFlash{}
	q.log, q.rotate, q.remember = nil, false, nil
}

func (q *refRequest) saveNow(now time.Duration) error {
	switch {
	case q.bad:
		return errRefused
	case q.dead && !q.rotate:
		return session.ErrNoSession
	case len(q.log) > 0 || q.rotate || len(q.doomed) > 0:
		err := q.save(now)
		q.bad = q.bad || err == errRefused
		return err
	case q.base == nil:
		return nil
	case q.base.lives(now):
		q.store.touch(q.base, now)
		q.used = now
		return nil
	}
	q.base, q.dead = nil, true
	return session.ErrNoSession
}
