package session_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/suites/kit"
)

// A step of a move fails: before it is done, or after, so that only the answer is lost. The client gets the
// error answer. Its next request goes on where the first one stopped, and makes no second session.
func TestAMoveThatFailsAtAnyStepGoesOn(t *testing.T) {
	for _, step := range []string{"save", "end"} {
		for _, done := range []bool{false, true} {
			t.Run(map[bool]string{false: "no ", true: "lost "}[done]+step, func(t *testing.T) {
				faulty := &lossy{Driver: session.NewMemoryDriver(session.MemoryConfig{})}
				s, old := migrating(t, "lossy", func(cfg *session.Config) {
					cfg.Default, cfg.Drivers = "lossy", map[string]session.Driver{"lossy": faulty}
				})
				faulty.fail(step, done)
				p := s.Ask(annsCookie, func(own *session.Session) { own.Increment("n", 1) })
				require.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
				assert.Nil(t, p.Cookie(oldCookieName))
				assert.True(t, old.holds("ann's"), "the old session is the last thing to go")

				faulty.fail("", false)
				next := p.Next(annsCookie)
				p = s.Ask(next, func(own *session.Session) {
					user, _ := own.User()
					assert.Equal(t, "ann", user)
					own.Set("again", true)
				})
				require.Equal(t, http.StatusOK, p.StatusCode)
				s.Ask(p.Next(next), func(own *session.Session) {
					assert.Equal(t, []any{"tea", "milk"}, own.Get("cart"))
					assert.True(t, own.Has("again"))
				})
				assert.LessOrEqual(t, s.Manager.Stats().Imported, uint64(1))
			})
		}
	}
}

// A lossy driver fails one kind of operation, before or after it is done.
type lossy struct {
	session.Driver
	step string
	done bool
}

func (d *lossy) fail(step string, done bool) { d.step, d.done = step, done }

func (d *lossy) Save(ctx context.Context, base *driver.Record, ch *driver.Changes) (*driver.Record, error) {
	if d.step == "save" && !d.done {
		return nil, kit.ErrDown
	}
	rec, err := d.Driver.Save(ctx, base, ch)
	if d.step == "save" {
		return nil, kit.ErrDown
	}
	return rec, err
}

func (d *lossy) End(ctx context.Context, base *driver.Record, e *driver.Ending) (*driver.Record, error) {
	if d.step == "end" && !d.done {
		return nil, kit.ErrDown
	}
	rec, err := d.Driver.End(ctx, base, e)
	if d.step == "end" {
		return nil, kit.ErrDown
	}
	return rec, err
}

// A sign-in of before counts, and is not judged as a new one.
func TestAMoveIsNoSignIn(t *testing.T) {
	var events *kit.EventBook
	s, _ := migrating(t, "memory", func(cfg *session.Config) {
		cfg.MaxPerUser, cfg.AtMaxPerUser, cfg.LockAfter = 1, session.RefuseNew, 30*time.Minute
		events = kit.RecordEvents(cfg)
	})
	here := s.Ask("", func(own *session.Session) { own.Login("ann") }).Next("")
	p := s.Ask(annsCookie, func(own *session.Session) {
		_, locked := own.Locked()
		assert.False(t, locked, "its activity is not known: this request is one")
		own.Set("k", 1)
	})
	require.Equal(t, http.StatusOK, p.StatusCode)
	assert.Len(t, events.Of(session.EventLogin), 1)
	assert.Empty(t, events.Of(session.EventUnknown))
	assert.Empty(t, events.Of(session.EventEnded))
	for _, cookies := range []string{here, p.Next("")} {
		s.Ask(cookies, func(own *session.Session) {
			user, _ := own.User()
			assert.Equal(t, "ann", user)
		})
	}
	list, err := s.Manager.Sessions(t.Context(), "ann")
	require.NoError(t, err)
	assert.Len(t, list, 2)
	require.NoError(t, s.Manager.EndAll(t.Context(), "ann"))
	s.Ask(p.Next(""), func(own *session.Session) { assert.Empty(t, own.All()) })
}

// What Save has moved reaches the client, whatever the handler does then.
func TestAMoveReachesTheClientAlsoIfTheHandlerPanics(t *testing.T) {
	s, old := migrating(t, "memory")
	recovering := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				http.Error(w, "sorry", http.StatusInternalServerError)
			}
		}()
		s.Manager.Middleware(kit.HTTPHandler(func(own *session.Session) {
			assert.NoError(t, own.Save())
			panic("a fault")
		})).ServeHTTP(w, r)
	})
	p := kit.NewBrowser(t, recovering).Get("/", "Cookie", annsCookie)
	require.Equal(t, http.StatusInternalServerError, p.StatusCode)
	assert.NotNil(t, p.Cookie(oldCookieName))
	assert.False(t, old.holds("ann's"))
	s.Ask(p.Next(""), func(own *session.Session) { assert.Equal(t, []any{"tea", "milk"}, own.Get("cart")) })
}
