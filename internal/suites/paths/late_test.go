package paths_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"example.com/session"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// afterTheHeader serves a request whose handler calls before, sends the header, and calls
// after. It returns the session's Err as it was when the handler returned.
func (v *endpoint) afterTheHeader(before, after func(s *session.Session)) (e exchange, sessionErr error) {
	v.t.Helper()
	e = v.serve(func(w http.ResponseWriter, r *http.Request) {
		s := session.FromRequest(r)
		before(s)
		w.WriteHeader(http.StatusAccepted)
		assert.NoError(v.t, http.NewResponseController(w).Flush())
		after(s)
		sessionErr = s.Err()
		io.WriteString(w, "page")
	})
	assert.Equal(v.t, "page", e.body, "the handler's answer goes out all the same")
	return e, sessionErr
}

func nothing(*session.Session) {}

// readsBefore opens the session, as nearly every handler does before it writes.
func readsBefore(s *session.Session) { s.Get("before") }

func seedBefore(s *session.Session) { s.Set("before", "b") }

// A save that had no answer may have been applied, and is sent again later. If it belongs to a sign-in
// whose new token cannot be sent, it must not be sent again.
func TestLateRegenerateTakesASaveWithoutAnswerWithIt(t *testing.T) {
	for _, driver := range []string{"memory", "redis"} {
		t.Run(driver, func(t *testing.T) {
			cfg := kit.DriverConfig(t, driver)
			faulty := kit.WithFaults(t, &cfg)
			v := newEndpoint(t, "HTTP1", kit.NewManager(t, cfg).Middleware)
			v.begin(seedBefore)
			_, sessionErr := v.afterTheHeader(readsBefore, func(s *session.Session) {
				faulty.Break("save")
				s.Set("user", "ann")
				assert.ErrorIs(t, s.Save(), session.ErrUnavailable)
				faulty.Mend()
				s.Regenerate()
				assert.ErrorIs(t, s.Save(), session.ErrLateChange)
			})
			assert.Error(t, sessionErr)
			assert.Equal(t, map[string]any{"before": "b"}, v.found())
		})
	}
}

// If the connection is taken over, the new token cannot be sent either.
func TestSignInAroundAHijackIsNotStoredUnderItsOldToken(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newEndpoint(t, "HTTP1", kit.NewManager(t, cfg).Middleware)
		v.begin(seedBefore)
		v.serve(func(w http.ResponseWriter, r *http.Request) {
			s := session.FromRequest(r)
			s.Regenerate()
			s.Set("early", "ann")
			hijack("HTTP/1.1 200 OK\r\n\r\npage")(w, r)
			s.Set("user", "ann")
			assert.ErrorIs(t, s.Save(), session.ErrLateChange)
		})
		assert.Equal(t, map[string]any{"before": "b"}, v.found())
	})
}

// What one request does on two drivers belongs to one sign-in.
func TestLateRegenerateTakesTheChangesOnOtherDriversWithIt(t *testing.T) {
	cfg := kit.DriverConfig(t, "redis")
	v := newEndpoint(t, "HTTP1", kit.NewManager(t, cfg).Middleware)
	memory := func(s *session.Session) *session.Session {
		other, err := s.Using("memory")
		require.NoError(t, err)
		return other
	}
	v.begin(func(s *session.Session) { seedBefore(s); seedBefore(memory(s)) })
	v.afterTheHeader(func(s *session.Session) { readsBefore(s); readsBefore(memory(s)) }, func(s *session.Session) {
		memory(s).Set("user", "ann")
		s.Regenerate()
	})
	v.begin(func(s *session.Session) {
		assert.Equal(t, map[string]any{"before": "b"}, s.All())
		assert.Equal(t, map[string]any{"before": "b"}, memory(s).All())
	})
}

func TestSessionFirstOpenedAfterTheHeaderIsReadAndItsUseNoted(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		v := newEndpoint(t, "HTTP1", m.Middleware)
		v.begin(seedBefore)
		saves := m.Stats().Saves
		_, sessionErr := v.afterTheHeader(nothing, func(s *session.Session) {
			assert.Equal(t, "b", s.Get("before"))
			assert.False(t, s.IsNew())
		})
		assert.NoError(t, sessionErr)
		if cfg.Default != "cookie" { // which would need a Set-Cookie line
			saves++
		}
		assert.Equal(t, saves, m.Stats().Saves)
	})
}

func TestSessionThatCannotBeOpenedAfterTheHeaderSaysSo(t *testing.T) {
	cfg := kit.DriverConfig(t, "memory")
	faulty := kit.WithFaults(t, &cfg)
	v := newEndpoint(t, "HTTP1", kit.NewManager(t, cfg).Middleware)
	v.begin(seedBefore)
	faulty.Break("load")
	_, sessionErr := v.afterTheHeader(nothing, func(s *session.Session) {
		assert.Nil(t, s.Get("before"))
		assert.ErrorIs(t, s.Save(), session.ErrUnavailable)
	})
	assert.ErrorIs(t, sessionErr, session.ErrUnavailable)
}

// A session of Using that is changed after the header must not be stored under a token that the client
// does not get.
func TestOtherDriversSessionChangedAfterTheHeaderIsStoredOrReported(t *testing.T) {
	for _, driver := range kit.DriverNames {
		for _, early := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/asked for before the header=%t", driver, early), func(t *testing.T) {
				cfg := kit.DriverConfig(t, driver)
				cfg.Drivers = map[string]session.Driver{"main": session.NewMemoryDriver(session.MemoryConfig{})}
				cfg.Default = "main"
				m := kit.NewManager(t, cfg)
				v := newEndpoint(t, "HTTP1", m.Middleware)
				other := func(s *session.Session) *session.Session {
					o, err := s.Using(driver)
					require.NoError(t, err)
					return o
				}
				ask := func(s *session.Session) {
					if early {
						other(s)
					}
				}
				var lateErr error
				change := func(s *session.Session) {
					other(s).Set("late", 1)
					lateErr = other(s).Err()
				}
				saves := m.Stats().Saves
				v.afterTheHeader(ask, change)
				assert.ErrorIs(t, lateErr, session.ErrLateChange, "a new session")
				assert.Equal(t, saves, m.Stats().Saves, "something was stored that nobody can open")

				v.begin(func(s *session.Session) { seedBefore(other(s)) })
				v.afterTheHeader(ask, change)
				want := map[string]any{"before": "b"}
				if driver == "cookie" {
					assert.ErrorIs(t, lateErr, session.ErrLateChange)
				} else {
					assert.NoError(t, lateErr)
					want["late"] = 1
				}
				v.begin(func(s *session.Session) { assert.Equal(t, want, other(s).All()) })
			})
		}
	}
}

func TestLateSaveThatAStoreDoesNotTakeIsLogged(t *testing.T) {
	for _, byHand := range []bool{true, false} {
		t.Run(fmt.Sprintf("saved by hand=%t", byHand), func(t *testing.T) {
			cfg := kit.DriverConfig(t, "memory")
			log := kit.CaptureLog(&cfg)
			faulty := kit.WithFaults(t, &cfg)
			v := newEndpoint(t, "HTTP1", kit.NewManager(t, cfg).Middleware)
			v.begin(seedBefore)
			v.afterTheHeader(readsBefore, func(s *session.Session) {
				faulty.Break("save")
				s.Set("late", 1)
				if byHand {
					assert.ErrorIs(t, s.Save(), session.ErrUnavailable)
				}
			})
			assert.Contains(t, log.Text(), "changes after the response header may be lost")
		})
	}
}

func TestLateChangeThatCannotBeStoredIsLoggedAndStoresNothing(t *testing.T) {
	cfg := kit.DriverConfig(t, "memory")
	log := kit.CaptureLog(&cfg)
	v := newEndpoint(t, "HTTP1", kit.NewManager(t, cfg).Middleware)
	v.begin(seedBefore)
	_, sessionErr := v.afterTheHeader(readsBefore, func(s *session.Session) {
		s.Set("late", 1)
		s.Set("channel", make(chan int))
		assert.Error(t, s.Save())
	})
	assert.ErrorContains(t, sessionErr, "channel")
	assert.Contains(t, log.Text(), "cannot be stored")
	assert.Equal(t, map[string]any{"before": "b"}, v.found())
}

func TestChangeAfterTheHandlerHasReturnedIsReported(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		v := newEndpoint(t, "HTTP1", m.Middleware)
		v.begin(seedBefore)
		var kept *session.Session
		v.serve(func(w http.ResponseWriter, r *http.Request) {
			kept = session.FromRequest(r)
			kept.Set("early", 1)
			w.WriteHeader(http.StatusAccepted)
		})
		for name, change := range map[string]func(){
			"set":        func() { kept.Set("late", 1) },
			"regenerate": func() { kept.Regenerate() },
			"destroy":    func() { kept.Destroy() },
		} {
			late := m.Stats().LateChanges
			change()
			assert.Greater(t, m.Stats().LateChanges, late, name)
			assert.ErrorIs(t, kept.Save(), session.ErrLateChange, name)
		}
		assert.ErrorIs(t, kept.Err(), session.ErrLateChange)
		assert.Equal(t, map[string]any{"before": "b", "early": 1}, v.found())
	})
}

// A goroutine of the handler changes the session while the request ends. Each change is either stored or
// counted as late.
func TestChangeWhileTheHandlerReturnsIsStoredOrReported(t *testing.T) {
	m := kit.NewManager(t, kit.DriverConfig(t, "memory"))
	v := newEndpoint(t, "HTTP1", m.Middleware)
	v.begin(func(s *session.Session) { s.Set("n", 0) })
	done := make(chan int)
	total := 0
	for range 100 {
		v.serve(func(w http.ResponseWriter, r *http.Request) {
			s := session.FromRequest(r)
			s.Get("n")
			w.WriteHeader(http.StatusAccepted)
			started := make(chan struct{})
			go func() {
				changes := 0
				for ; !isLate(s.Err()); changes++ {
					s.Increment("n", 1)
					if changes == 0 {
						close(started)
					}
				}
				done <- changes
			}()
			<-started
		})
		total += <-done
	}
	assert.EqualValues(t, total, v.found()["n"].(int)+int(m.Stats().LateChanges))
}
