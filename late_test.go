package session_test

import (
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strings"
	"testing"

	"example.com/session"
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

// A lateCase is something a handler does after its header has gone.
type lateCase struct {
	name           string
	fresh          bool // no session comes with the request
	first, do      func(s *session.Session)
	server, cookie lateWant // where the record is in a store, and where it is in the cookie
}

// A lateWant is what must follow from a lateCase.
type lateWant struct {
	found map[string]any // by the next request
	late  bool           // reported: in Err, by Save, logged and counted
}

// refusedAlone is what follows where the session stays as it was.
var refusedAlone = lateWant{found: map[string]any{"before": "b"}, late: true}

var lateCases = []lateCase{
	{
		name: "set", first: readsBefore,
		do:     func(s *session.Session) { s.Set("late", 1) },
		server: lateWant{found: map[string]any{"before": "b", "late": 1}},
		cookie: refusedAlone,
	}, {
		name: "set in a session that was not opened", first: nothing,
		do:     func(s *session.Session) { s.Set("late", 1) },
		server: lateWant{found: map[string]any{"before": "b", "late": 1}},
		cookie: refusedAlone,
	}, {
		name: "delete", first: readsBefore,
		do:     func(s *session.Session) { s.Delete("before") },
		server: lateWant{found: map[string]any{}},
		cookie: refusedAlone,
	}, {
		name:   "increment",
		first:  func(s *session.Session) { s.Increment("n", 1) },
		do:     func(s *session.Session) { s.Increment("n", 2) },
		server: lateWant{found: map[string]any{"before": "b", "n": 3}},
		cookie: lateWant{found: map[string]any{"before": "b", "n": 1}, late: true},
	}, {
		name: "flash", first: readsBefore,
		do:     func(s *session.Session) { s.Flash("late", "saved") },
		server: lateWant{found: map[string]any{"before": "b", "late": "saved"}},
		cookie: refusedAlone,
	}, {
		name: "flash for this request only", first: readsBefore,
		do:     func(s *session.Session) { s.FlashNow("late", "now") },
		server: lateWant{found: map[string]any{"before": "b"}},
		cookie: lateWant{found: map[string]any{"before": "b"}},
	}, {
		name: "reset and set", first: readsBefore,
		do:     func(s *session.Session) { s.Reset(); s.Set("late", 1) },
		server: lateWant{found: map[string]any{"late": 1}},
		cookie: refusedAlone,
	}, {
		name: "set in a new session", fresh: true, first: nothing,
		do:     func(s *session.Session) { s.Set("late", 1) },
		server: lateWant{found: map[string]any{}, late: true},
		cookie: lateWant{found: map[string]any{}, late: true},
	}, {
		name: "flash in a new session", fresh: true, first: readsBefore,
		do:     func(s *session.Session) { s.Flash("late", 1) },
		server: lateWant{found: map[string]any{}, late: true},
		cookie: lateWant{found: map[string]any{}, late: true},
	}, {
		name: "set in a session that began before the header", fresh: true,
		first:  func(s *session.Session) { s.Set("early", 1) },
		do:     func(s *session.Session) { s.Set("late", 1) },
		server: lateWant{found: map[string]any{"early": 1, "late": 1}},
		cookie: lateWant{found: map[string]any{"early": 1}, late: true},
	}, {
		name: "regenerate, then sign in", first: readsBefore,
		do:     func(s *session.Session) { s.Regenerate(); s.Set("user", "ann") },
		server: refusedAlone, cookie: refusedAlone,
	}, {
		name: "sign in, then regenerate", first: readsBefore,
		do:     func(s *session.Session) { s.Set("user", "ann"); s.Regenerate() },
		server: refusedAlone, cookie: refusedAlone,
	}, {
		name: "remember, then sign in", first: readsBefore,
		do:     func(s *session.Session) { s.Remember(0); s.Set("user", "ann") },
		server: refusedAlone, cookie: refusedAlone,
	}, {
		name: "sign in to a session that was not opened", first: nothing,
		do:     func(s *session.Session) { s.Set("user", "ann"); s.Regenerate() },
		server: refusedAlone, cookie: refusedAlone,
	}, {
		name:   "regenerate once more",
		first:  func(s *session.Session) { s.Regenerate() },
		do:     func(s *session.Session) { s.Regenerate(); s.Set("user", "ann") },
		server: refusedAlone, cookie: refusedAlone,
	}, {
		name: "destroy", first: readsBefore,
		do:     func(s *session.Session) { s.Destroy() },
		server: lateWant{found: map[string]any{}},
		cookie: lateWant{found: map[string]any{}},
	}, {
		name: "destroy a session that was not opened", first: nothing,
		do:     func(s *session.Session) { s.Destroy() },
		server: lateWant{found: map[string]any{}},
		cookie: lateWant{found: map[string]any{}},
	}, {
		name:   "destroy a session that was changed before",
		first:  func(s *session.Session) { s.Set("early", 1) },
		do:     func(s *session.Session) { s.Destroy() },
		server: lateWant{found: map[string]any{}},
		cookie: lateWant{found: map[string]any{}},
	}, {
		name: "set, then destroy", first: readsBefore,
		do:     func(s *session.Session) { s.Set("late", 1); s.Destroy() },
		server: lateWant{found: map[string]any{}},
		cookie: lateWant{found: map[string]any{}, late: true},
	}, {
		name: "destroy, then begin anew", first: readsBefore,
		do:     func(s *session.Session) { s.Destroy(); s.Set("late", 1) },
		server: lateWant{found: map[string]any{}, late: true},
		cookie: lateWant{found: map[string]any{}, late: true},
	},
}

func (test lateCase) want(driver string) lateWant {
	if driver == "cookie" {
		return test.cookie
	}
	return test.server
}

// run serves the case. Asked to, the handler saves by hand.
func (test lateCase) run(t *testing.T, v *endpoint, save bool) (e exchange, sessionErr, saveErr error) {
	if !test.fresh {
		v.begin(seedBefore)
	}
	e, sessionErr = v.afterTheHeader(test.first, func(s *session.Session) {
		test.do(s)
		if save {
			saveErr = s.Save()
			assert.Equal(t, isLate(saveErr), isLate(s.Save()), "asked again")
		}
	})
	return e, sessionErr, saveErr
}

func TestChangesAfterTheHeaderAreSeenByTheNextRequestOrReported(t *testing.T) {
	for _, test := range lateCases {
		t.Run(test.name, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, cfg session.Config) {
				log := captureLog(&cfg)
				m := newManager(t, cfg)
				v := newEndpoint(t, "HTTP1", m.Middleware)
				_, sessionErr, _ := test.run(t, v, false)
				want := test.want(cfg.Default)
				assert.Equal(t, want.found, v.found())
				assert.Equal(t, want.late, isLate(sessionErr), "Err: %v", sessionErr)
				assert.Equal(t, want.late, m.Stats().LateChanges > 0, "counted: %d", m.Stats().LateChanges)
				assert.Equal(t, want.late, strings.Contains(log.text(), "after the response header"), "logged: %s", log.text())
			})
		})
	}
}

// Save says at once what the end of the handler could only log.
func TestSaveReportsAChangeThatCameTooLate(t *testing.T) {
	for _, test := range lateCases {
		t.Run(test.name, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, cfg session.Config) {
				v := newEndpoint(t, "HTTP1", newManager(t, cfg).Middleware)
				_, _, saveErr := test.run(t, v, true)
				want := test.want(cfg.Default)
				assert.Equal(t, want.late, isLate(saveErr), "Save: %v", saveErr)
				assert.Equal(t, want.found, v.found())
			})
		})
	}
}

// A save that has no answer may have been applied and is sent again later. A login among it
// must not be, once it is clear that its token stays.
func TestLateRegenerateTakesASaveWithoutAnswerWithIt(t *testing.T) {
	for _, driver := range []string{"memory", "redis"} {
		t.Run(driver, func(t *testing.T) {
			cfg := driverConfig(t, driver)
			var down breaker
			withFaults(t, &cfg).save = down.fault
			v := newEndpoint(t, "HTTP1", newManager(t, cfg).Middleware)
			v.begin(seedBefore)
			_, sessionErr := v.afterTheHeader(readsBefore, func(s *session.Session) {
				down.open.Store(true)
				s.Set("user", "ann")
				assert.ErrorIs(t, s.Save(), session.ErrUnavailable)
				down.open.Store(false)
				s.Regenerate()
				assert.ErrorIs(t, s.Save(), session.ErrLateChange)
			})
			assert.Error(t, sessionErr)
			assert.Equal(t, map[string]any{"before": "b"}, v.found())
		})
	}
}

// A connection that is taken over has no cookie for a new token either.
func TestSignInAroundAHijackIsNotStoredUnderItsOldToken(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newEndpoint(t, "HTTP1", newManager(t, cfg).Middleware)
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

// What one request does on two drivers is one login.
func TestLateRegenerateTakesTheChangesOnOtherDriversWithIt(t *testing.T) {
	cfg := driverConfig(t, "redis")
	v := newEndpoint(t, "HTTP1", newManager(t, cfg).Middleware)
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

func TestSessionFirstOpenedAfterTheHeaderCanBeRead(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		v := newEndpoint(t, "HTTP1", m.Middleware)
		v.begin(seedBefore)
		saves := m.Stats().Saves
		_, sessionErr := v.afterTheHeader(nothing, func(s *session.Session) {
			assert.Equal(t, "b", s.Get("before"))
			assert.False(t, s.IsNew())
		})
		assert.NoError(t, sessionErr)
		assert.Equal(t, saves, m.Stats().Saves)
	})
}

func TestSessionThatCannotBeOpenedAfterTheHeaderSaysSo(t *testing.T) {
	cfg := driverConfig(t, "memory")
	var down breaker
	withFaults(t, &cfg).load = down.fault
	v := newEndpoint(t, "HTTP1", newManager(t, cfg).Middleware)
	v.begin(seedBefore)
	down.open.Store(true)
	_, sessionErr := v.afterTheHeader(nothing, func(s *session.Session) {
		assert.Nil(t, s.Get("before"))
		assert.ErrorIs(t, s.Save(), session.ErrUnavailable)
	})
	assert.ErrorIs(t, sessionErr, session.ErrUnavailable)
}

// Using makes a session as late as any: one that was asked for before the header and changed
// after it must not be stored under a token that nobody gets.
func TestOtherDriversSessionChangedAfterTheHeaderIsStoredOrReported(t *testing.T) {
	for _, driver := range driverNames {
		for _, early := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/asked for before the header=%t", driver, early), func(t *testing.T) {
				cfg := driverConfig(t, driver)
				cfg.Drivers = map[string]session.Driver{"main": session.NewMemoryDriver(session.MemoryConfig{})}
				cfg.Default = "main"
				m := newManager(t, cfg)
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
			cfg := driverConfig(t, "memory")
			log := captureLog(&cfg)
			var down breaker
			withFaults(t, &cfg).save = down.fault
			v := newEndpoint(t, "HTTP1", newManager(t, cfg).Middleware)
			v.begin(seedBefore)
			v.afterTheHeader(readsBefore, func(s *session.Session) {
				down.open.Store(true)
				s.Set("late", 1)
				if byHand {
					assert.ErrorIs(t, s.Save(), session.ErrUnavailable)
				}
			})
			assert.Contains(t, log.text(), "changes after the response header may be lost")
		})
	}
}

func TestLateChangeThatCannotBeStoredIsLoggedAndStoresNothing(t *testing.T) {
	cfg := driverConfig(t, "memory")
	log := captureLog(&cfg)
	v := newEndpoint(t, "HTTP1", newManager(t, cfg).Middleware)
	v.begin(seedBefore)
	_, sessionErr := v.afterTheHeader(readsBefore, func(s *session.Session) {
		s.Set("late", 1)
		s.Set("channel", make(chan int))
		assert.Error(t, s.Save())
	})
	assert.ErrorContains(t, sessionErr, "channel")
	assert.Contains(t, log.text(), "cannot be stored")
	assert.Equal(t, map[string]any{"before": "b"}, v.found())
}

func TestChangeAfterTheHandlerHasReturnedIsReported(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
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

// A goroutine that the handler left behind changes its session while the request ends: each
// change is stored or counted as late, none slips through between the two.
func TestChangeWhileTheHandlerReturnsIsStoredOrReported(t *testing.T) {
	m := newManager(t, driverConfig(t, "memory"))
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

func TestStreamSavesAsItGoes(t *testing.T) {
	for _, driver := range []string{"memory", "redis"} {
		t.Run(driver, func(t *testing.T) {
			m := newManager(t, driverConfig(t, driver))
			v := newEndpoint(t, "HTTP1", m.Middleware)
			cookies := v.begin(func(s *session.Session) { s.Set("n", 0); s.Flash("message", "hello") }).response.Cookies()
			step := make(chan func(s *session.Session) error)
			result := make(chan error)
			now := &turn{done: make(chan struct{}), handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusAccepted)
				http.NewResponseController(w).Flush()
				for do := range step {
					result <- do(session.FromRequest(r))
				}
			})}
			v.serving.Store(now)
			r, err := http.NewRequest(http.MethodGet, v.server.URL, nil)
			require.NoError(t, err)
			for _, c := range cookies {
				r.AddCookie(c)
			}
			response, err := v.server.Client().Do(r)
			require.NoError(t, err)
			defer response.Body.Close()

			for n := 1; n <= 3; n++ {
				step <- func(s *session.Session) error { s.Increment("n", 1); return s.Save() }
				require.NoError(t, <-result)
				assert.Equal(t, map[string]any{"n": n, "message": "hello"}, v.found(), "seen while the stream goes on; flash does not age")
			}
			loads := m.Stats().Loads
			step <- func(s *session.Session) error { return s.Save() }
			assert.NoError(t, <-result)
			assert.Equal(t, loads+1, m.Stats().Loads, "with nothing to store it counts as use")

			v.begin(func(s *session.Session) { s.Destroy() })
			step <- func(s *session.Session) error { return s.Save() }
			assert.ErrorIs(t, <-result, session.ErrNoSession, "a stream learns that its session has ended")
			step <- func(s *session.Session) error { s.Increment("n", 1); return s.Save() }
			assert.ErrorIs(t, <-result, session.ErrNoSession)
			close(step)
			<-now.done
			assert.Empty(t, v.withCookies("s_"+driver+"="+cookies[0].Value).found())
		})
	}
}

// A page that streams has sent its header, and with it the news that the message is read, before
// the template comes to the message.
func TestStreamingTemplateShowsItsFlashMessageOnce(t *testing.T) {
	const text = `<h1>Hi</h1>{{flush}}{{if session.Has "success"}}{{session.Get "success"}}{{end}}` +
		`{{range session.All}}<i>{{.}}</i>{{end}}`
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		for _, protocol := range protocols {
			v := newEndpoint(t, protocol, newManager(t, cfg).Middleware)
			v.begin(func(s *session.Session) { s.Flash("success", "Saved!") })
			stream := func(w http.ResponseWriter, r *http.Request) {
				flush := func() (string, error) { return "", http.NewResponseController(w).Flush() }
				page := template.New("").Funcs(session.FromRequest(r).TemplateFuncs()).Funcs(template.FuncMap{"flush": flush})
				assert.NoError(t, template.Must(page.Parse(text)).Execute(w, nil))
			}
			assert.Equal(t, "<h1>Hi</h1>Saved!<i>Saved!</i>", v.serve(stream).body)
			assert.Equal(t, "<h1>Hi</h1>", v.serve(stream).body, "shown again")
		}
	})
}

// A fetch ends what its handler looked at, also where it did so after the header.
func TestFetchThatStreamsEndsTheFlashThatItLookedAt(t *testing.T) {
	for _, driver := range []string{"memory", "redis"} {
		t.Run(driver, func(t *testing.T) {
			m := newManager(t, driverConfig(t, driver))
			v := newEndpoint(t, "HTTP1", m.Middleware)
			v.begin(func(s *session.Session) {
				for _, key := range []string{"early", "late", "kept", "unread"} {
					s.Flash(key, "hello")
				}
			})
			e := v.serve(func(w http.ResponseWriter, r *http.Request) {
				s := session.FromRequest(r)
				assert.Equal(t, "hello", s.Get("early"))
				assert.NoError(t, http.NewResponseController(w).Flush())
				assert.Equal(t, "hello", s.Get("late"))
				assert.Equal(t, "hello", s.Get("kept"))
				s.KeepFlash("kept")
			}, "Sec-Fetch-Dest", "empty")
			require.Equal(t, http.StatusOK, e.status())
			assert.Equal(t, map[string]any{"kept": "hello", "unread": "hello"}, v.found())
			saves := m.Stats().Saves
			v.serve(func(w http.ResponseWriter, r *http.Request) {
				session.FromRequest(r).Get("unread")
			}, "Sec-Fetch-Dest", "empty")
			assert.Equal(t, saves+1, m.Stats().Saves, "it ages at the commit and not once more")
		})
	}
}

func TestPanicAfterTheHeaderStoresNothingThatWasNotSaved(t *testing.T) {
	for _, driver := range []string{"memory", "redis"} {
		t.Run(driver, func(t *testing.T) {
			v := newEndpoint(t, "HTTP1", newManager(t, driverConfig(t, driver)).Middleware)
			v.begin(seedBefore)
			e := v.serve(func(w http.ResponseWriter, r *http.Request) {
				s := session.FromRequest(r)
				s.Set("early", 1)
				w.WriteHeader(http.StatusAccepted)
				http.NewResponseController(w).Flush()
				s.Set("saved", 1)
				assert.NoError(t, s.Save())
				s.Set("lost", 1)
				panic(http.ErrAbortHandler)
			})
			assert.Error(t, e.err, "the body ends as if it were whole")
			assert.Equal(t, map[string]any{"before": "b", "early": 1, "saved": 1}, v.found())
		})
	}
}

// Middleware that turns panics into pages stands outside or inside; only inside does its page
// go through the session's writer.
func TestPanicThatIsRecoveredOutsideStoresNothing(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		v := newEndpoint(t, "HTTP1", func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer func() {
					if recover() != nil {
						http.Error(w, "sorry", http.StatusInternalServerError)
					}
				}()
				m.Middleware(next).ServeHTTP(w, r)
			})
		})
		v.begin(seedBefore)
		e := v.serve(func(w http.ResponseWriter, r *http.Request) {
			session.FromRequest(r).Set("lost", 1)
			session.FromRequest(r).Regenerate()
			panic("a handler's bug")
		})
		assert.Equal(t, http.StatusInternalServerError, e.status())
		assert.Equal(t, "sorry\n", e.body)
		assert.Empty(t, e.response.Cookies())
		assert.Equal(t, map[string]any{"before": "b"}, v.found())
	})
}
