package session_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/casstore"
	"example.com/session/internal/redistest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whoever ends a session while a request of it is under way has ended it, whatever that request
// does to its token.
func TestSessionThatEndsDuringARegenerateStaysEnded(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		for name, end := range map[string]func(m *session.Manager, v *visitor, cookie, handle string){
			"by the list": func(m *session.Manager, _ *visitor, _, handle string) {
				assert.NoError(t, m.End(context.Background(), "ann", handle))
			},
			"by another tab": func(_ *session.Manager, v *visitor, cookie, _ string) {
				v.stranger().visit(func(s *session.Session) { s.Logout() }, "Cookie", cookie)
			},
		} {
			t.Run(name, func(t *testing.T) {
				m := newManager(t, cfg)
				v := newVisitor(t, m)
				handle := v.login("ann")
				cookie := v.cookieHeader()
				v.visit(func(s *session.Session) {
					s.Get("a")
					end(m, v, cookie, handle)
					s.Regenerate()
				})
				assert.Empty(t, v.user())
				assert.Empty(t, handles(t, m, "ann"))
			})
		}
	})
}

// Within the window a process does not ask whether a session was ended: it must not begin
// another in its place unasked.
func TestRegenerateWithinTheWindowDoesNotReviveASession(t *testing.T) {
	cfg := accountConfig(t, "cookie, revoked in redis")
	here, there := newManager(t, cfg), newManager(t, cfg)
	c := setClock(here)
	there.SetClock(c.now)
	v := newVisitor(t, here)
	handle := v.login("ann")
	require.NoError(t, there.End(t.Context(), "ann", handle))
	c.advance(time.Second)
	v.visit(func(s *session.Session) { s.Regenerate() })
	assert.Empty(t, v.user())
	assert.Empty(t, handles(t, here, "ann"))
}

// The user proves who it is in one tab while another signs it out: the sign-in is a session of
// its own.
func TestSignInOfASessionThatEndsMeanwhileSucceeds(t *testing.T) {
	eachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		for user, before := range map[string]string{"ann": "a visitor", "bob": "bob"} {
			t.Run(before, func(t *testing.T) {
				v := newVisitor(t, m)
				v.visit(func(s *session.Session) {
					s.Set("a", 1)
					if before == user {
						s.Login(user)
					}
				})
				cookie := v.cookieHeader()
				p := v.visit(func(s *session.Session) {
					s.Login(user)
					v.stranger().visit(func(s *session.Session) { s.Destroy() }, "Cookie", cookie)
				})
				assert.Equal(t, http.StatusOK, p.StatusCode)
				assert.Equal(t, user, v.user())
				assert.Len(t, handles(t, m, user), 1)
			})
		}
	})
}

// The last step of a sign-in only makes sure of the list. Where it has no answer, neither the
// session that was there before nor the new one is lost.
func TestRegenerateThatBreaksHalfWaySignsNobodyOut(t *testing.T) {
	for _, base := range []string{"redis", "store", "cookie, revoked in redis"} {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, done %v", base, done), func(t *testing.T) {
				client := &failingClient{RedisClient: session.NewTestClient(redistest.Shared(t).Port()), done: done}
				cfg := accountConfig(t, base)
				if base == "store" {
					cfg.Drivers["store"] = session.StoreDriver(&failingStore{failingClient: client})
				}
				cfg.Redis.Options.Client = client
				cfg.StoreTimeout = 200 * time.Millisecond
				m := newManager(t, cfg)
				v := newVisitor(t, m)
				for step := 1; ; step++ {
					v = v.stranger()
					v.login("ann")
					client.failAt(step)
					v.visit(func(s *session.Session) { s.Regenerate() })
					reached := client.failAt(0)
					assert.Equal(t, "ann", v.user(), "step %d", step)
					assert.NotEmpty(t, handles(t, m, "ann"), "step %d", step)
					require.NoError(t, m.EndAll(t.Context(), "ann"))
					assert.Empty(t, v.user(), "step %d", step)
					if !reached {
						break
					}
				}
			})
		}
	}
}

// A failingStore breaks one of the operations that are asked of it.
type failingStore struct {
	*failingClient
	casstore.Store
}

func (s *failingStore) Get(ctx context.Context, id string) ([]byte, error) {
	if s.fails() {
		return nil, errors.New("the connection broke")
	}
	return s.Store.Get(ctx, id)
}

func (s *failingStore) Update(ctx context.Context, id string, change func([]byte) (session.Entry, error)) error {
	if !s.fails() {
		return s.Store.Update(ctx, id, change)
	}
	if s.done {
		_ = s.Store.Update(ctx, id, change)
	}
	return errors.New("the connection broke")
}

// A handler that saves again after an outage is told the truth.
func TestSavedAgainAfterAnOutageMeansStored(t *testing.T) {
	for _, base := range []string{"redis", "cookie, revoked in redis"} {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, done %v", base, done), func(t *testing.T) {
				client := &failingClient{RedisClient: session.NewTestClient(redistest.Shared(t).Port()), done: done}
				cfg := accountConfig(t, base)
				cfg.Redis.Options.Client = client
				cfg.StoreTimeout = 200 * time.Millisecond
				m := newManager(t, cfg)
				v := newVisitor(t, m)
				for step := range 15 {
					v = v.stranger()
					if step%2 == 0 {
						v.visit(func(s *session.Session) { s.Set("cart", 1) })
					}
					user := fmt.Sprint("user ", step)
					var again error
					v.visit(func(s *session.Session) {
						s.Get("cart")
						s.Login(user)
						client.failAt((step + 1) / 2)
						if s.Save() != nil {
							client.failAt(0)
							again = s.Save()
						}
					})
					client.failAt(0)
					assert.NoError(t, again, "step %d", step)
					assert.Equal(t, user, v.user(), "step %d", step)
					assert.Len(t, handles(t, m, user), 1, "step %d", step)
				}
			})
		}
	}
}
