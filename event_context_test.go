package session_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

type traceKey struct{}

// An audit keeps events as text, and asserts of each that its context is that of the request.
type audit struct {
	t       *testing.T
	manager *session.Manager
	handles map[string]string // names of handles

	mu     sync.Mutex
	events []string
}

func newAudit(t *testing.T, cfg session.Config) (*audit, *kit.Visitor) {
	t.Helper()
	a := &audit{t: t, handles: map[string]string{"": "-"}}
	cfg.Events = func(ctx context.Context, e session.Event) {
		assert.Equal(t, "the request's", ctx.Value(traceKey{}), "%s has another context", e.Kind)
		_, limited := ctx.Deadline()
		assert.False(t, limited, "the context of %s ends with an operation of a store", e.Kind)
		assert.NoError(t, ctx.Err())
		if e.Kind == session.EventOpened {
			return
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		user, handle := e.User, a.handles[e.Handle]
		if user == "" {
			user = "-"
		}
		if handle == "" {
			handle = "new"
		}
		a.events = append(a.events, strings.TrimSpace(strings.Join([]string{string(e.Kind), user, handle, e.Reason}, " ")))
	}
	a.manager = kit.NewManager(t, cfg)
	v := kit.NewVisitorBehind(t, a.manager, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { _ = recover() }()
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), traceKey{}, "the request's")))
		})
	})
	return a, v
}

// take returns the events since the last call.
func (a *audit) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := a.events
	a.events = nil
	return taken
}

// signIn signs a user in and calls its session by a name.
func (a *audit) signIn(v *kit.Visitor, user, name string) string {
	a.t.Helper()
	handle := kit.Login(v, user)
	a.handles[handle] = name
	a.take()
	return handle
}

// Whichever way a session ends or a sign-in fails: one event says so, and names user and handle.
func TestEveryEndingAndEverySignInNamesUserAndHandle(t *testing.T) {
	type scene struct {
		name string
		cfg  func(cfg *session.Config)
		do   func(a *audit, v *kit.Visitor, handle string) // ann is signed in with the session A
		want []string
	}
	visit := func(do func(s *session.Session)) func(*audit, *kit.Visitor, string) {
		return func(_ *audit, v *kit.Visitor, _ string) { v.Visit(do) }
	}
	manage := func(do func(m *session.Manager, ctx context.Context, handle string) error) func(*audit, *kit.Visitor, string) {
		return func(a *audit, v *kit.Visitor, handle string) {
			v.Stranger().Serve(func(_ http.ResponseWriter, r *http.Request, _ *session.Session) {
				assert.NoError(a.t, do(a.manager, r.Context(), handle))
			})
		}
	}
	for _, test := range []scene{
		{name: "Logout", do: visit(func(s *session.Session) { s.Logout() }), want: []string{"ended ann A logout"}},
		{name: "Logout twice", do: visit(func(s *session.Session) { s.Logout(); s.Logout() }), want: []string{"ended ann A logout"}},
		{name: "Destroy", do: visit(func(s *session.Session) { s.Destroy() }), want: []string{"ended ann A destroy"}},
		{name: "Logout after a read", do: visit(func(s *session.Session) { s.Has("n"); s.Logout() }), want: []string{"ended ann A logout"}},
		{name: "Logout after Regenerate", do: visit(func(s *session.Session) { s.Regenerate(); s.Logout() }),
			want: []string{"ended ann A logout"}},
		{name: "Logout after Save", do: visit(func(s *session.Session) { s.Set("n", 1); _ = s.Save(); s.Logout() }),
			want: []string{"ended ann A logout"}},
		{name: "Logout with a change", do: visit(func(s *session.Session) { s.Set("n", 1); s.Logout() }),
			want: []string{"ended ann A logout"}},
		{name: "Logout and then a new sign-in", do: visit(func(s *session.Session) { s.Logout(); s.Login("bob") }),
			want: []string{"ended ann A logout", "created bob new", "login bob new"}},
		{name: "another user", do: visit(func(s *session.Session) { s.Login("bob") }),
			want: []string{"created bob new", "login bob new", "ended ann A login"}},
		{name: "the same user", do: visit(func(s *session.Session) { s.Login("ann") }),
			want: []string{"regenerated ann A", "login ann A"}},
		{name: "End", do: manage(func(m *session.Manager, ctx context.Context, handle string) error { return m.End(ctx, "ann", handle) }),
			want: []string{"ended ann A list"}},
		{name: "EndAll", do: manage(func(m *session.Manager, ctx context.Context, _ string) error { return m.EndAll(ctx, "ann") }),
			want: []string{"ended ann A all"}},
		{name: "EndAll for a client that has gone", want: []string{"ended ann A all"},
			do: manage(func(m *session.Manager, ctx context.Context, _ string) error {
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				return m.EndAll(ctx, "ann")
			})},
		{name: "EndOthers", want: []string{"ended ann A others"}, do: func(a *audit, v *kit.Visitor, _ string) {
			other := v.Stranger()
			a.signIn(other, "ann", "B")
			other.Serve(func(_ http.ResponseWriter, r *http.Request, s *session.Session) {
				assert.NoError(a.t, a.manager.EndOthers(r.Context(), s))
			})
		}},
		{name: "the oldest gives way", cfg: func(cfg *session.Config) { cfg.MaxPerUser = 1 },
			do: func(_ *audit, v *kit.Visitor, _ string) {
				v.Stranger().Visit(func(s *session.Session) { s.Login("ann") })
			},
			want: []string{"created ann new", "ended ann A max_per_user", "login ann new"}},
		{name: "the newest is refused",
			cfg: func(cfg *session.Config) { cfg.MaxPerUser, cfg.AtMaxPerUser = 1, session.RefuseNew },
			do: func(_ *audit, v *kit.Visitor, _ string) {
				v.Stranger().Visit(func(s *session.Session) { s.Login("ann") })
			},
			want: []string{"login_failed ann - max_per_user"}},
		{name: "a sign-in under way", want: []string{"ended ann A all", "login_failed ann A ended"},
			do: func(a *audit, v *kit.Visitor, _ string) {
				v.Serve(func(_ http.ResponseWriter, r *http.Request, s *session.Session) {
					s.Login("ann")
					assert.NoError(a.t, a.manager.EndAll(context.WithValue(context.Background(), traceKey{}, "the request's"), "ann"))
				})
			}},
		{name: "a handler that panics", want: []string{"login_failed bob - aborted"}, do: visit(func(s *session.Session) {
			s.Login("bob")
			panic("the handler")
		})},
		{name: "a sign-in after the header", want: []string{"late_change ann A", "login_failed bob A late"}, do: func(_ *audit, v *kit.Visitor, _ string) {
			v.Serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
				w.WriteHeader(http.StatusOK)
				s.Login("bob")
			})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
				cfg.Logger = kit.Quiet
				if test.cfg != nil {
					test.cfg(&cfg)
				}
				a, v := newAudit(t, cfg)
				test.do(a, v, a.signIn(v, "ann", "A"))
				assert.ElementsMatch(t, test.want, a.take())
			})
		})
	}
}

// Nobody's session ended, so no event says so: the audit log would name an attacker's victim, or nobody.
func TestAnInventedCookieEndsNothing(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.Logger = kit.Quiet
		a, v := newAudit(t, cfg)
		a.signIn(v, "ann", "A")
		genuine, own, _ := strings.Cut(strings.Split(v.CookieHeader(), "; ")[0], "=")
		for _, value := range []string{wellFormed, strings.Repeat("A", len(own)), own[:len(own)-8] + "AAAAAAAA", own[:22] + wellFormed[22:], "x", ""} {
			for name, do := range map[string]func(s *session.Session){
				"Logout":     func(s *session.Session) { s.Logout() },
				"Destroy":    func(s *session.Session) { s.Destroy() },
				"Regenerate": func(s *session.Session) { s.Regenerate() },
				"Login":      func(s *session.Session) { s.Login("mallory") },
				"read":       read,
			} {
				v.Stranger().Visit(do, "Cookie", genuine+"="+value)
				for _, event := range a.take() {
					assert.NotContains(t, event, "ended", "%s with %q", name, value)
				}
			}
		}
		assert.Equal(t, "ann", kit.UserOf(v))
	})
}

// The context is that of the request which needed the room.
func TestAnEvictionHasTheContextOfARequest(t *testing.T) {
	cfg := kit.DriverConfig(t, "memory")
	cfg.Memory.MaxSessions = 1
	a, v := newAudit(t, cfg)
	a.signIn(v, "ann", "A")
	v.Stranger().Visit(func(s *session.Session) { s.Login("bob") })
	assert.Contains(t, a.take(), "evicted ann A")
}
