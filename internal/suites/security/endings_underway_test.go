package security_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/casstore"
	"example.com/session/internal/hooks"
	"example.com/session/internal/suites/kit"
)

// Whoever ends a session while a request of it is under way has ended it, whatever that request
// does to its token.
func TestSessionThatEndsDuringARegenerateStaysEnded(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		for name, end := range map[string]func(m *session.Manager, v *kit.Visitor, cookie, handle string){
			"by the list": func(m *session.Manager, _ *kit.Visitor, _, handle string) {
				assert.NoError(t, m.End(context.Background(), "ann", handle))
			},
			"by another tab": func(_ *session.Manager, v *kit.Visitor, cookie, _ string) {
				v.Stranger().Visit(func(s *session.Session) { s.Logout() }, "Cookie", cookie)
			},
		} {
			t.Run(name, func(t *testing.T) {
				m := kit.NewManager(t, cfg)
				v := kit.NewVisitor(t, m)
				handle := kit.Login(v, "ann")
				cookie := v.CookieHeader()
				v.Visit(func(s *session.Session) {
					s.Get("a")
					end(m, v, cookie, handle)
					s.Regenerate()
				})
				assert.Empty(t, kit.UserOf(v))
				assert.Empty(t, kit.Handles(t, m, "ann"))
			})
		}
	})
}

// Within the window a process does not ask whether a session was ended: it must not begin
// another in its place unasked.
func TestRegenerateWithinTheWindowDoesNotReviveASession(t *testing.T) {
	cfg := kit.AccountConfig(t, "cookie, revoked in redis")
	here, there := kit.NewManager(t, cfg), kit.NewManager(t, cfg)
	c := kit.SetClock(here)
	hooks.SetClock(there, c.Now)
	v := kit.NewVisitor(t, here)
	handle := kit.Login(v, "ann")
	require.NoError(t, there.End(t.Context(), "ann", handle))
	c.Advance(time.Second)
	v.Visit(func(s *session.Session) { s.Regenerate() })
	assert.Empty(t, kit.UserOf(v))
	assert.Empty(t, kit.Handles(t, here, "ann"))
}

// A recordingDriver notes what it is asked to end.
type recordingDriver struct {
	driver.Driver
	driver.Index

	mu      sync.Mutex
	endings []driver.Ending
}

func (d *recordingDriver) End(ctx context.Context, base *driver.Record, e *driver.Ending) (*driver.Record, error) {
	d.mu.Lock()
	d.endings = append(d.endings, *e)
	d.mu.Unlock()
	return d.Driver.End(ctx, base, e)
}

// A session that is ended through the list may not be stored yet: its tombstone outlives every request
// that is under way. A client's own sign-out names the secret, and nobody can make it leave more.
func TestAnEndingByTheListIsRememberedLonger(t *testing.T) {
	for name, test := range map[string]struct {
		end   func(m *session.Manager, own, other *session.Session) error
		want  time.Duration
		users bool
	}{
		"end": {func(m *session.Manager, _, other *session.Session) error {
			return m.End(context.Background(), "ann", other.Handle())
		}, driver.IndexTombstone, true},
		"others": {func(m *session.Manager, own, _ *session.Session) error { return m.EndOthers(context.Background(), own) }, driver.IndexTombstone, true},
		"all":    {func(m *session.Manager, _, _ *session.Session) error { return m.EndAll(context.Background(), "ann") }, driver.IndexTombstone, true},
		"logout": {func(_ *session.Manager, own, _ *session.Session) error { own.Logout(); return own.Save() }, driver.Tombstone, false},
	} {
		t.Run(name, func(t *testing.T) {
			inner := session.StoreDriver(new(casstore.Store))
			recording := &recordingDriver{Driver: inner, Index: inner.(driver.Index)}
			cfg := kit.AccountConfig(t, "store")
			cfg.Drivers["store"] = recording
			m := kit.NewManager(t, cfg)
			v, w := kit.NewVisitor(t, m), kit.NewVisitor(t, m)
			kit.Login(v, "ann")
			kit.Login(w, "ann")
			v.Visit(func(own *session.Session) {
				own.User()
				w.Visit(func(other *session.Session) { other.User(); assert.NoError(t, test.end(m, own, other)) })
			})
			require.NotEmpty(t, recording.endings)
			for _, e := range recording.endings {
				assert.Equal(t, test.want, e.For)
				assert.Equal(t, test.users, e.User == "ann")
				assert.Equal(t, test.users, e.Secret == driver.Digest{})
			}
		})
	}
}

// A lateDriver runs a function once, after it has stored or loaded a record and before it says so.
type lateDriver struct {
	driver.Driver
	driver.Index
	before atomic.Pointer[func()]
}

func (d *lateDriver) Save(ctx context.Context, base *driver.Record, ch *driver.Changes) (*driver.Record, error) {
	rec, err := d.Driver.Save(ctx, base, ch)
	d.interrupt()
	return rec, err
}

func (d *lateDriver) Load(ctx context.Context, id driver.ID, now time.Time) (*driver.Record, error) {
	rec, err := d.Driver.Load(ctx, id, now)
	d.interrupt()
	return rec, err
}

func (d *lateDriver) interrupt() {
	if do := d.before.Swap(nil); do != nil {
		(*do)()
	}
}

// What a process learned before an ending of its own must not count after it, for as long as the
// RevocationWindow.
func TestAnEndingIsKnownAtOnceInTheProcessThatEnds(t *testing.T) {
	inner := session.StoreDriver(new(casstore.Store))
	late := &lateDriver{Driver: inner, Index: inner.(driver.Index)}
	cfg := kit.DriverConfig(t, "cookie")
	cfg.Drivers, cfg.Cookie.Revocation = map[string]session.Driver{"late": late}, "late"
	m := kit.NewManager(t, cfg)
	c := kit.SetClock(m)
	end := func() { assert.NoError(t, m.EndAll(context.Background(), "ann")) }
	for name, do := range map[string]func(v *kit.Visitor){
		"beside a sign-in": func(v *kit.Visitor) {
			late.before.Store(&end)
			v.Visit(func(s *session.Session) { s.Login("ann") })
		},
		"beside a page": func(v *kit.Visitor) {
			kit.Login(v, "ann")
			c.Advance(11 * time.Second) // the server is asked again
			late.before.Store(&end)
			kit.UserOf(v)
		},
	} {
		v := kit.NewVisitor(t, m)
		do(v)
		require.Nil(t, late.before.Load(), name)
		assert.Empty(t, kit.UserOf(v), name)
	}
}

// A stream that saves is told that its session ended, and sends no cookie for it.
func TestSaveOfASessionThatWasEndedSaysSo(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		v := kit.NewVisitor(t, m)
		handle := kit.Login(v, "ann")
		p := v.Visit(func(s *session.Session) {
			s.Set("a", 1)
			require.NoError(t, m.End(t.Context(), "ann", handle))
			assert.ErrorIs(t, s.Save(), session.ErrNoSession)
		})
		assert.Nil(t, p.Cookie("s_"+cfg.Default))
	})
}

// A pausingStore runs a function once, before the first record is stored.
type pausingStore struct {
	casstore.Store
	before atomic.Pointer[func()]
}

func (s *pausingStore) Update(ctx context.Context, key string, change func([]byte) (driver.Entry, error)) error {
	if do := s.before.Load(); do != nil && len(key) == 22 && s.before.CompareAndSwap(do, nil) {
		(*do)()
	}
	return s.Store.Update(ctx, key, change)
}

// A sign-in whose entry is there and whose record is not yet: ending the entry leaves a tombstone
// under the id, and the record is never stored.
func TestAnEndingOfASignInThatIsNotStoredYetHolds(t *testing.T) {
	for name, end := range map[string]func(m *session.Manager, other *session.Session) error{
		"all": func(m *session.Manager, _ *session.Session) error { return m.EndAll(context.Background(), "ann") },
		"others": func(m *session.Manager, other *session.Session) error {
			return m.EndOthers(context.Background(), other)
		},
	} {
		t.Run(name, func(t *testing.T) {
			store := new(pausingStore)
			cfg := kit.AccountConfig(t, "store")
			cfg.Drivers["store"] = session.StoreDriver(store)
			m := kit.NewManager(t, cfg)
			v, w := kit.NewVisitor(t, m), kit.NewVisitor(t, m)
			kit.Login(w, "ann")
			paused := func() { w.Visit(func(s *session.Session) { assert.NoError(t, end(m, s)) }) }
			p := v.Visit(func(s *session.Session) {
				store.before.Store(&paused)
				s.Login("ann")
				assert.ErrorIs(t, s.Save(), session.ErrEnded)
			})
			assert.Nil(t, store.before.Load(), "the ending came in between")
			assert.Nil(t, p.Cookie("s_store"))
			assert.Empty(t, kit.UserOf(v))
		})
	}
}
