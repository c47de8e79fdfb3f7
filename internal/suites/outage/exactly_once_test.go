package outage_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

// work are the commands that a driver works with. A reply to others may be lost too.
var work = []string{"GETEX", "SET", "EVALSHA", "EVAL"}

// onWork does a fault to each of the commands of work.
func onWork(f redistest.Fault) func(command []string) redistest.Fault {
	return func(command []string) redistest.Fault {
		if slices.Contains(work, command[0]) {
			return f
		}
		return redistest.Fault{}
	}
}

// loseOnly makes a proxy lose one reply, after n others to the commands of work.
func loseOnly(p *redistest.Proxy, n int) { loseMany(p, n, 1) }

// loseMany makes a proxy lose many replies, after n others to the commands of work.
func loseMany(p *redistest.Proxy, n, many int) {
	var seen atomic.Int64
	p.Set(func(command []string) (f redistest.Fault) {
		if slices.Contains(work, command[0]) {
			nth := int(seen.Add(1)) - 1
			f.Lose = nth >= n && nth < n+many
		}
		return f
	})
}

func TestLostReplyIsNoticedByNobody(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := redistest.NewProxy(t, server.Addr())
	for lost := range 3 { // which of a request's commands
		site := newRedisSite(t, server, behind(p))
		for i := range 3 {
			loseOnly(p, lost)
			assert.Equal(t, fmt.Sprint(i+1), site.Get("/count").Body, "reply %d is lost", lost)
		}
		loseOnly(p, lost)
		assert.Equal(t, http.StatusOK, site.Do(http.MethodPost, "/login").StatusCode)
		loseOnly(p, lost)
		assert.Equal(t, "4", site.Get("/count").Body, "what she had before she signed in")
		site.assertServes()
		loseOnly(p, lost)
		assert.Equal(t, "signed out", site.Do(http.MethodPost, "/logout").Body)
		assert.Empty(t, site.Get("/user").Body)
		loseOnly(p, lost)
		assert.Equal(t, "1", site.Another().Get("/count").Body)
		assert.Empty(t, outages(site.log))
		p.Set(nil)
	}
}

// Both tries lose their reply: the handler is told, and its changes go with the next Save, each of them
// once.
func TestSaveWithoutAnyReplyIsUnknownAndIsSentAgain(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(s *session.Session){
		"increment": func(s *session.Session) { s.Increment("n", 1) },
		"replace":   func(s *session.Session) { s.Increment("n", 1); s.Regenerate() },
	} {
		for _, fresh := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/new session=%t", name, fresh), func(t *testing.T) {
				t.Parallel()
				server := redistest.Start(t)
				p := redistest.NewProxy(t, server.Addr())
				v := redisVisitor(t, session.RedisConfig{Host: p.Host(), Port: p.Port()})
				want := 111
				if !fresh {
					v.Visit(func(s *session.Session) { s.Set("n", 1000) })
					want += 1000
				}
				answer := v.Visit(func(s *session.Session) {
					s.Open()
					change(s)
					loseMany(p, 0, 2)
					assert.ErrorIs(t, s.Save(), session.ErrUnavailable)
					s.Increment("n", 10)
					assert.NoError(t, s.Save())
					s.Increment("n", 100)
				})
				assert.Equal(t, http.StatusOK, answer.StatusCode)
				v.Visit(func(s *session.Session) { assert.Equal(t, want, s.Get("n")) })
				assert.Len(t, server.Keys(t), 1, "a session that nobody holds is left")

				answer = v.Visit(func(s *session.Session) {
					s.Open()
					change(s)
					loseMany(p, 0, 2)
				})
				assert.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
				assert.Empty(t, answer.Cookies(), "a token was sent that may open nothing")
			})
		}
	}
}

// A forgetfulDriver stores a save and then returns an error for it, if forget is set.
type forgetfulDriver struct {
	session.Driver
	forget atomic.Bool
}

func (d *forgetfulDriver) Save(ctx context.Context, base *driver.Record, ch *driver.Changes) (*driver.Record, error) {
	rec, err := d.Driver.Save(ctx, base, ch)
	if err == nil && d.forget.Swap(false) {
		return nil, kit.ErrDown
	}
	return rec, err
}

func newForgetful(t *testing.T, inner session.Driver) (*forgetfulDriver, *session.Manager) {
	t.Helper()
	d := &forgetfulDriver{Driver: inner}
	return d, kit.NewManager(t, session.Config{Default: "d", Secret: kit.Secret, Logger: kit.Quiet,
		Drivers: map[string]session.Driver{"d": d}})
}

func TestSaveWithoutAnAnswerCountsOnceOnEveryDriver(t *testing.T) {
	for name, inner := range map[string]session.Driver{
		"memory": session.NewMemoryDriver(session.MemoryConfig{}),
		"store":  session.StoreDriver(kit.NewCountingStore()),
	} {
		t.Run(name, func(t *testing.T) {
			d, m := newForgetful(t, inner)
			v := kit.NewVisitor(t, m)
			save := func(s *session.Session) {
				d.forget.Store(true)
				assert.ErrorIs(t, s.Save(), session.ErrUnavailable)
				assert.NoError(t, s.Save())
			}
			v.Visit(func(s *session.Session) {
				s.Increment("n", 1)
				save(s) // begins the session
				s.Increment("n", 10)
				save(s)
				s.Regenerate()
				s.Increment("n", 100)
				save(s)
				assert.Equal(t, 111, s.GetInt("n"))
			})
			v.Visit(func(s *session.Session) { assert.Equal(t, 111, s.GetInt("n")) })
		})
	}
}

// So many other saves come in between that the record has forgotten whether the first try was stored.
func TestSaveThatIsSentAgainTooLateIsRefused(t *testing.T) {
	d, m := newForgetful(t, session.StoreDriver(kit.NewCountingStore()))
	var b *kit.Browser
	b = kit.NewBrowser(t, kit.Routes{
		"/add":  func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Increment("n", 1) },
		"/read": func(w http.ResponseWriter, _ *http.Request, s *session.Session) { fmt.Fprint(w, s.GetInt("n")) },
		"/late": func(_ http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Increment("n", 100)
			d.forget.Store(true)
			assert.ErrorIs(t, s.Save(), session.ErrUnavailable)
			others, _ := strconv.Atoi(r.URL.Query().Get("others"))
			for range others {
				b.Get("/add")
			}
		},
	}.Under(m))
	b.Get("/add")
	assert.Equal(t, http.StatusOK, b.Get("/late?others=7").StatusCode, "the first try is remembered")
	assert.Equal(t, "108", b.Get("/read").Body)
	assert.Equal(t, http.StatusServiceUnavailable, b.Get("/late?others=8").StatusCode, "the outcome is unknown")
	assert.Equal(t, "216", b.Get("/read").Body)
}
