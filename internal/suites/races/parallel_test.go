package races_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Many clients of one session, on two processes where they can share a store: every write is kept,
// and a sign-out in the middle of them is final.
func TestParallelClientsLoseNoWriteAndAreEndedByASignOut(t *testing.T) {
	t.Parallel()
	const clients, each = 32, 8
	onServers(t, func(t *testing.T, s *service) {
		token := s.begin()
		run := func(signsOut bool) (acknowledged int64) {
			var stored atomic.Int64
			var all sync.WaitGroup
			for i := range clients {
				all.Go(func() {
					for j := range each {
						if signsOut && i == 0 && j == each/2 {
							assert.Equal(t, http.StatusOK, s.ask(token, (*session.Session).Logout).Code)
							return
						}
						kept := false
						answer := s.ask(token, func(own *session.Session) {
							if own.Has("cart") {
								own.Set(fmt.Sprint("key ", i, " ", j), true)
								own.Increment("n", 1)
								kept = own.Save() == nil
							}
						})
						assert.Equal(t, http.StatusOK, answer.Code)
						assert.Empty(t, s.token(answer), "a request that only writes sent a cookie")
						if kept {
							stored.Add(1)
						}
					}
				})
			}
			all.Wait()
			return stored.Load()
		}
		require.EqualValues(t, clients*each, run(false))
		p := s.open(token)
		assert.EqualValues(t, clients*each, p.keys["n"])
		assert.Len(t, p.keys, clients*each+2)
		run(true)
		assert.Empty(t, s.open(token).handle, "the session lives after a sign-out")
	})
}

// A record remembers the last eight saves only.
func TestRegenerateAfterManySavesKeepsWhatOthersSaved(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, s *service) {
		token := s.begin()
		answer := s.ask(token, func(own *session.Session) {
			own.Open()
			s.ask(token, func(other *session.Session) { other.Set("other", "kept") })
			for range 9 {
				own.Increment("n", 1)
				assert.NoError(t, own.Save())
			}
			own.Regenerate()
		})
		assert.Equal(t, map[string]any{"cart": "book", "other": "kept", "n": 9}, s.open(s.token(answer)).keys)
	})
}

// Redis may lose a record without a tombstone, by FLUSHALL or an eviction.
func TestSessionThatTheStoreLostIsNotRevived(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := newService(t, redisThrough(redistest.NewProxy(t, server.Addr()), ""))
	token := s.begin()
	var own *session.Session
	answer := s.ask(token, func(s *session.Session) {
		own = s
		own.Set("late", true)
		_, err := server.Conn(t).Do("FLUSHALL")
		assert.NoError(t, err)
	})
	assert.Equal(t, http.StatusOK, answer.Code)
	assert.Empty(t, s.token(answer))
	assert.ErrorIs(t, own.Err(), session.ErrNoSession)
	assert.NotErrorIs(t, own.Err(), session.ErrEnded, "nothing says that it was ended")
	assert.Empty(t, server.Keys(t), "the session was revived")
}

// A connection whose reply was not waited for still has it to come. Whoever gets that connection
// next would read another visitor's session.
func TestReplyThatCameTooLateIsReadByNobody(t *testing.T) {
	t.Parallel()
	const timeout = 15 * time.Millisecond
	server := redistest.Start(t)
	p := redistest.NewProxy(t, server.Addr())
	s := newService(t, session.Config{Default: "redis", Secret: kit.Secret, Redis: session.RedisConfig{
		Host: p.Host(), Port: p.Port(),
		Options: session.RedisOptions{Connections: 3, ReadTimeout: timeout, DialTimeout: 30 * time.Second},
	}})
	var tokens [8]string
	for i := range tokens {
		for tokens[i] == "" { // the machine may be busy
			tokens[i] = s.token(s.ask("", func(own *session.Session) { own.Set("who", i) }))
		}
	}
	p.Set(func([]string) redistest.Fault {
		if rand.IntN(2) == 0 {
			return redistest.Fault{}
		}
		return redistest.Fault{Delay: rand.N(3 * timeout)}
	})
	var served, late atomic.Int64
	var all sync.WaitGroup
	for i, token := range tokens {
		all.Go(func() {
			for range 40 {
				who := -1
				answer := s.ask(token, func(own *session.Session) {
					if own.Open() == nil && own.Has("who") {
						who = own.GetInt("who")
					}
				})
				if answer.Code != http.StatusOK {
					late.Add(1)
					continue
				}
				served.Add(1)
				assert.Equal(t, i, who)
			}
		})
	}
	all.Wait()
	assert.Positive(t, late.Load(), "no reply came too late")
	assert.Positive(t, served.Load())
}
