package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Info is what a list of a user's sessions shows of one.
type Info struct {
	Handle          string // as Session.Handle returns it: it names the session to End, and opens nothing
	Driver          string
	CreatedAt       time.Time // when it was created or got its last token
	AuthenticatedAt time.Time
	UsedAt          time.Time         // on the cookie driver up to RevocationWindow ago
	ExpiresAt       time.Time         // on the cookie driver a tenth of the idle timeout late, and so long listed
	Hints           map[string]string // as Session.Describe was given; nil for none
}

// Sessions returns the live sessions that a user is signed in with, the last used first: those
// of the default driver, and of each other driver that this process has met a signed-in session
// of. It counts as no use of them, and costs one look-up and one more for each session.
//
// It returns ErrUnsupported where the driver keeps no index of users: the cookie driver without
// CookieConfig.Revocation, and a Driver that is not made by StoreDriver.
func (m *Manager) Sessions(ctx context.Context, user string) ([]Info, error) {
	infos := []Info{}
	err := m.eachAccount(ctx, "list", func(src *source) error {
		found, err := m.sessionsOf(ctx, src, user)
		infos = append(infos, found...)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(infos, func(a, b Info) int { return b.UsedAt.Compare(a.UsedAt) })
	return infos, nil
}

func (m *Manager) sessionsOf(ctx context.Context, src *source, user string) ([]Info, error) {
	members, err := m.membersOf(ctx, src, user)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var infos []Info
	err = m.eachMember(src, members, func(mem member) error {
		rec, err := m.peek(ctx, src, user, mem)
		if rec == nil || err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		infos = append(infos, src.info(rec))
		return nil
	})
	return infos, err
}

func (src *source) info(rec *Record) Info {
	_, signedIn := accountOf(rec, nil)
	return Info{
		Handle: handleOf(rec.head.id), Driver: src.name,
		CreatedAt: rec.CreatedAt(), AuthenticatedAt: time.UnixMilli(signedIn),
		UsedAt: rec.UsedAt(), ExpiresAt: rec.ExpiresAt(), Hints: hintsOf(rec),
	}
}

// End ends one of a user's sessions by its handle. A handle that is not of a session of this
// user is ErrNoSession, so that nobody ends what is not theirs (CVE-2017-18878). On the cookie
// driver other processes notice within RevocationWindow. A ctx that is cancelled does not stop it.
func (m *Manager) End(ctx context.Context, user, handle string) error {
	ctx = context.WithoutCancel(ctx)
	ended := false
	err := m.eachAccount(ctx, "end", func(src *source) error {
		members, err := m.membersOf(ctx, src, user)
		if err != nil {
			return err
		}
		for _, mem := range members {
			if mem.handle != handle {
				continue
			}
			lived, err := m.endMember(ctx, src, user, mem, EndedByList)
			ended = ended || lived
			return err
		}
		return nil
	})
	if err == nil && !ended {
		return ErrNoSession
	}
	return err
}

// EndOthers ends all sessions of the user that s is signed in with, but for s itself: call it
// after a change of password (ASVS 7.4.3). Sign-ins that are under way meanwhile fail. A
// visitor's session is ErrNoSession. A ctx that is cancelled does not stop it.
func (m *Manager) EndOthers(ctx context.Context, s *Session) error {
	user, err := s.signedIn()
	if err != nil {
		return err
	}
	return m.endAll(ctx, user, s, EndedByOthers)
}

// EndAll ends all sessions of a user (ASVS 7.4.2, 7.4.5): for an account that is closed, or that
// somebody else has got into. Sign-ins that are under way meanwhile fail; one that begins
// afterwards, also in the same request, is not affected. A ctx that is cancelled does not stop it.
func (m *Manager) EndAll(ctx context.Context, user string) error {
	return m.endAll(ctx, user, nil, EndedByAll)
}

// endAll first makes sign-ins fail that are under way: each enrolls once more after it has
// stored its session, so that either it is seen here or it is refused.
func (m *Manager) endAll(ctx context.Context, user string, but *Session, reason string) error {
	ctx = context.WithoutCancel(ctx)
	return m.eachAccount(ctx, "end", func(src *source) error {
		kept := but.entryOn(src)
		err := m.onIndex(ctx, src, func(ctx context.Context) error {
			at, err := src.index.noteEnding(ctx, indexKey(src.cookie, user), kept.name(), m.now())
			m.noteEnding(at)
			but.exempt(at)
			return err
		})
		if err != nil {
			return err
		}
		members, err := m.membersOf(ctx, src, user)
		if err != nil {
			return err
		}
		return m.eachMember(src, members, func(mem member) error {
			if mem.name() == kept.name() {
				return nil
			}
			_, err := m.endMember(ctx, src, user, mem, reason)
			return err
		})
	})
}

// noteEnding keeps the latest time at which all sessions of a user were ended.
func (m *Manager) noteEnding(at int64) {
	for {
		last := m.lastEnding.Load()
		if last >= at || m.lastEnding.CompareAndSwap(last, at) {
			return
		}
	}
}

// signedIn returns who is signed in, for what only they may ask.
func (s *Session) signedIn() (user string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	if s.failed != nil {
		return "", s.failed
	}
	if user = s.user(); user == "" || s.locked() {
		return "", fmt.Errorf("%w: nobody is signed in", ErrNoSession)
	}
	return user, nil
}

// entryOn returns the entry of the session as it is stored, the zero one where it has none or
// is of another driver.
func (s *Session) entryOn(src *source) member {
	if s == nil || s.src != src {
		return member{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	left, _ := s.leaving()
	return left.member
}

// exempt keeps what the session has still to store from being taken for a sign-in from before
// all others were ended.
func (s *Session) exempt(at int64) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.extra()
	x.exempted = max(x.exempted, at+1)
}

// eachAccount calls do for each driver whose sessions of a user are meant.
func (m *Manager) eachAccount(ctx context.Context, op string, do func(*source) error) error {
	if m.closed.Load() {
		return unavailable(op, ErrClosed)
	}
	var faults []error
	for _, name := range m.cfg.driverNames() {
		src := m.sources[name]
		switch {
		case src != m.main && !src.accounts.Load():
		case src.index == nil:
			faults = append(faults, fmt.Errorf("%w: %s a user's sessions: driver %s keeps no list of them%s",
				ErrUnsupported, op, name, src.remedy()))
		default:
			if err := do(src); err != nil {
				faults = append(faults, sortError(op+" a user's sessions with driver "+name, err))
			}
		}
	}
	return errors.Join(faults...)
}

func (src *source) remedy() string {
	if src.sealed {
		return ": set CookieConfig.Revocation"
	}
	return ""
}

// onIndex bounds one operation on an index.
func (m *Manager) onIndex(ctx context.Context, src *source, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.storeTimeout())
	defer cancel()
	return do(ctx)
}

func (m *Manager) membersOf(ctx context.Context, src *source, user string) (members []member, err error) {
	err = m.onIndex(ctx, src, func(ctx context.Context) error {
		members, err = src.index.members(ctx, indexKey(src.cookie, user), m.now())
		return err
	})
	return members, err
}

// peek returns the session that an entry names, nil where there is none any more: the entry
// goes then, unless its session may be about to be stored. That one enrolls again.
func (m *Manager) peek(ctx context.Context, src *source, user string, mem member) (rec *Record, err error) {
	err = m.onIndex(ctx, src, func(ctx context.Context) error {
		rec, err = src.index.peek(ctx, mem.id, m.now())
		if err == nil || !isGone(err) {
			return err
		}
		rec = nil
		return src.index.withdraw(ctx, indexKey(src.cookie, user), mem)
	})
	return rec, err
}

// endMember ends the session that an entry names, and reports whether it was there.
func (m *Manager) endMember(ctx context.Context, src *source, user string, mem member, reason string) (lived bool, err error) {
	err = m.onIndex(ctx, src, func(ctx context.Context) error {
		now := m.now()
		_, err := src.index.peek(ctx, mem.id, now)
		if err != nil && !isGone(err) {
			return err
		}
		lived = err == nil
		if err := src.index.endID(ctx, mem.id, now); err != nil {
			return err
		}
		if src.guard != nil {
			src.guard.forget(mem.handle, now)
		}
		return src.index.withdraw(ctx, indexKey(src.cookie, user), mem)
	})
	if lived && err == nil {
		m.emit(Event{Kind: EventEnded, Driver: src.name, Handle: mem.handle, User: user, Reason: reason})
	}
	return lived, err
}

// memberWorkers is how many entries are worked on at once where each takes a round trip.
const memberWorkers = 8

// failuresInARow is how many of a worker's entries fail before it leaves the rest: in an outage
// each takes as long as StoreTimeout, and the caller is told anyway.
const failuresInARow = 3

// eachMember calls do for each entry, also where some fail. A panic reaches the caller.
func (m *Manager) eachMember(src *source, members []member, do func(member) error) error {
	workers := min(memberWorkers, len(members))
	if _, local := src.index.(*MemoryDriver); local {
		workers = min(1, len(members))
	}
	var next atomic.Int64
	faults, panics := make([]error, workers), make([]any, workers)
	var wait sync.WaitGroup
	for i := range workers {
		wait.Go(func() {
			defer func() { panics[i] = recover() }()
			for failed := 0; failed < failuresInARow; {
				at := int(next.Add(1)) - 1
				if at >= len(members) {
					return
				}
				if err := do(members[at]); err != nil {
					faults[i] = err
					failed++
				} else {
					failed = 0
				}
			}
		})
	}
	wait.Wait()
	for _, v := range panics {
		if v != nil {
			panic(v)
		}
	}
	return errors.Join(faults...)
}
