package session_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/hooks"
	"example.com/session/internal/suites/kit"
)

// A sign-in that the application called for and that was not stored must not pass in silence.
func TestEverySignInThatIsNotStoredIsAnEvent(t *testing.T) {
	for _, test := range []struct {
		reason string
		err    error // what the event's error is
		signIn func(v *kit.Visitor, m *session.Manager, store *kit.FaultyDriver)
	}{
		{reason: "max_per_user", err: session.ErrTooManySessions, signIn: func(v *kit.Visitor, m *session.Manager, store *kit.FaultyDriver) {
			v.Stranger().Visit(func(s *session.Session) { s.Login("ann") })
			v.Visit(func(s *session.Session) { s.Login("ann") })
		}},
		{reason: "max_per_user", err: session.ErrTooManySessions, signIn: func(v *kit.Visitor, m *session.Manager, store *kit.FaultyDriver) {
			v.Stranger().Visit(func(s *session.Session) { s.Login("ann") })
			v.Visit(func(s *session.Session) {
				s.Login("ann")
				assert.ErrorIs(t, s.Save(), session.ErrTooManySessions)
			})
		}},
		{reason: "ended", err: session.ErrEnded, signIn: func(v *kit.Visitor, m *session.Manager, store *kit.FaultyDriver) {
			v.Visit(func(s *session.Session) {
				assert.NoError(t, m.EndAll(t.Context(), "ann")) // by somebody else
				s.Login("ann")
			})
		}},
		{reason: "unavailable", err: session.ErrUnavailable, signIn: func(v *kit.Visitor, m *session.Manager, store *kit.FaultyDriver) {
			store.Break("save")
			v.Visit(func(s *session.Session) { s.Login("ann") })
		}},
		{reason: "late", err: session.ErrLateChange, signIn: func(v *kit.Visitor, m *session.Manager, store *kit.FaultyDriver) {
			v.Serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
				w.WriteHeader(http.StatusOK)
				s.Login("ann")
			})
		}},
		{reason: "aborted", signIn: func(v *kit.Visitor, m *session.Manager, store *kit.FaultyDriver) {
			recovered := m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				session.FromRequest(r).Login("ann")
				panic("the handler")
			}))
			kit.NewBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer func() { recover() }()
				recovered.ServeHTTP(w, r)
			})).Get("/")
		}},
		{reason: "error", signIn: func(v *kit.Visitor, m *session.Manager, store *kit.FaultyDriver) {
			v.Visit(func(s *session.Session) {
				s.Login("ann")
				s.Set("channel", make(chan int))
			})
		}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			cfg := kit.DriverConfig(t, "memory")
			cfg.MaxPerUser, cfg.AtMaxPerUser = 1, session.RefuseNew
			store := kit.WithFaults(t, &cfg)
			keepsLists := struct {
				*kit.FaultyDriver
				driver.Index
			}{store, store.Driver.(driver.Index)}
			cfg.Drivers["faulty"] = keepsLists
			book := kit.RecordEvents(&cfg)
			m := kit.NewManager(t, cfg)
			test.signIn(kit.NewVisitor(t, m), m, store)
			failed := book.Of(session.EventLoginFailed)
			require.Len(t, failed, 1)
			assert.Equal(t, "ann", failed[0].User)
			assert.Equal(t, "faulty", failed[0].Driver)
			assert.Equal(t, test.reason, failed[0].Reason)
			if test.err != nil {
				assert.ErrorIs(t, failed[0].Err, test.err)
			}
		})
	}
}

func TestSignInThatIsStoredInTheEndIsNotReportedAsFailed(t *testing.T) {
	cfg := kit.DriverConfig(t, "memory")
	store := kit.WithFaults(t, &cfg)
	book := kit.RecordEvents(&cfg)
	v := kit.NewVisitor(t, kit.NewManager(t, cfg))
	v.Visit(func(s *session.Session) {
		s.Login("ann")
		store.Break("save")
		assert.ErrorIs(t, s.Save(), session.ErrUnavailable)
		store.Mend()
	})
	assert.Equal(t, "unavailable created login", book.Kinds())
	v.Visit(func(s *session.Session) { s.Login("bob"); s.Logout() })
	assert.NotContains(t, book.Kinds(), "login_failed", "the handler changed its mind")
}

// A sign-out of a request that has not used its session names who it was.
func TestSignOutThatOpenedNothingNamesUserAndHandle(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		book := kit.RecordEvents(&cfg)
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		handle := kit.Login(v, "ann")
		book.Take()
		v.Visit(func(s *session.Session) { s.Logout() })
		events := book.Take()
		require.Len(t, events, 1)
		events[0].Time = time.Time{}
		assert.Equal(t, session.Event{Kind: session.EventEnded, Driver: cfg.Default, Handle: handle, User: "ann", Reason: "logout"}, events[0])
	})
}

// Too late to remove the cookie, a sign-out still names who it was.
func TestLateSignOutNamesUserAndHandle(t *testing.T) {
	cfg := kit.DriverConfig(t, "cookie")
	book := kit.RecordEvents(&cfg)
	v := kit.NewVisitor(t, kit.NewManager(t, cfg))
	handle := kit.Login(v, "ann")
	v.Serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
		w.WriteHeader(http.StatusOK)
		s.Logout()
	})
	late := book.Of(session.EventLateChange)
	require.Len(t, late, 1)
	assert.Equal(t, []string{handle, "ann"}, []string{late[0].Handle, late[0].User})
}

func TestInventedCookieIsNotReportedAsEnded(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		book := kit.RecordEvents(&cfg)
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		for _, end := range []func(s *session.Session){(*session.Session).Logout, (*session.Session).Destroy} {
			v.Stranger().Visit(end, "Cookie", "s_"+cfg.Default+"="+wellFormed)
		}
		for _, e := range book.Take() {
			assert.Equal(t, session.EventUnknown, e.Kind)
		}
	})
}

// The cookie is genuine, so the event names whose it is: it may have been copied.
func TestCookieThatRevocationRefusesIsAnEvent(t *testing.T) {
	cfg := kit.AccountConfig(t, "cookie, revoked in redis")
	book, log := kit.RecordEvents(&cfg), kit.CaptureLog(&cfg)
	here, there := kit.NewManager(t, cfg), kit.NewManager(t, cfg)
	c := kit.SetClock(here)
	hooks.SetClock(there, c.Now)
	v := kit.NewVisitor(t, here)
	handle := kit.Login(v, "ann")
	require.NoError(t, there.End(t.Context(), "ann", handle))
	c.Advance(time.Minute)
	book.Take()
	assert.Empty(t, kit.UserOf(v))
	assert.Equal(t, []session.Event{{Kind: session.EventRevoked, Time: c.Now(), Driver: "cookie", Handle: handle, User: "ann"}}, book.Take())
	assert.Contains(t, log.Text(), "a cookie of a signed-in user was refused")
	assert.EqualValues(t, 1, here.Stats().Unknown)
}

func TestSignInsFromBeforeRevocationAreRefusedAndReported(t *testing.T) {
	v := kit.NewVisitor(t, kit.NewManager(t, kit.DriverConfig(t, "cookie")))
	handle := kit.Login(v, "ann")
	cfg := kit.AccountConfig(t, "cookie, revoked in memory")
	book, log := kit.RecordEvents(&cfg), kit.CaptureLog(&cfg)
	after := kit.NewVisitor(t, kit.NewManager(t, cfg))
	for range 3 {
		after.Visit(func(s *session.Session) { assert.True(t, s.IsNew()) }, "Cookie", v.CookieHeader())
	}
	events := book.Take()
	require.Len(t, events, 3)
	assert.Equal(t, []string{"revoked", handle, "ann"}, []string{string(events[0].Kind), events[0].Handle, events[0].User})
	assert.Equal(t, 1, strings.Count(log.Text(), "before Revocation was set"))
}

// Whoever presents a token that was replaced had it once; whoever presents another secret did not.
func TestReplacedTokenNamesItsSessionAndAnInventedOneDoesNot(t *testing.T) {
	cfg := kit.DriverConfig(t, "memory")
	book := kit.RecordEvents(&cfg)
	m := kit.NewManager(t, cfg)
	c := kit.SetClock(m)
	v := kit.NewVisitor(t, m)
	handle := kit.Login(v, "ann")
	old := v.CookieHeader()
	v.Visit(func(s *session.Session) { s.Regenerate() })
	c.Advance(time.Minute)
	book.Take()
	v.Stranger().Visit(read, "Cookie", old)
	v.Stranger().Visit(read, "Cookie", old[:len(old)-20]+wellFormed[:20])
	events := book.Take()
	require.Len(t, events, 2)
	assert.Equal(t, session.Event{Kind: session.EventUnknown, Time: c.Now(), Driver: "memory", Handle: handle, User: "ann"}, events[0])
	assert.Equal(t, session.Event{Kind: session.EventUnknown, Time: c.Now(), Driver: "memory"}, events[1])
}
