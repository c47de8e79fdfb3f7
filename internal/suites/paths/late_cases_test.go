package paths_test

import (
	"strings"
	"testing"

	"example.com/session"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
)

// A lateCase is something a handler does after its header was sent.
type lateCase struct {
	name           string
	fresh          bool // no session comes with the request
	first, do      func(s *session.Session)
	server, cookie lateWant // the record is in a store, or in the cookie
}

// A lateWant is what must follow from a lateCase.
type lateWant struct {
	found map[string]any // by the next request
	late  bool           // reported: in Err, by Save, logged and counted
}

// refusedAlone is what follows if the session stays as it was.
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
		cookie: lateWant{found: map[string]any{}, late: true},
	}, {
		name: "destroy a session that was not opened", first: nothing,
		do:     func(s *session.Session) { s.Destroy() },
		server: lateWant{found: map[string]any{}},
		cookie: lateWant{found: map[string]any{}, late: true},
	}, {
		name:   "destroy a session that was changed before",
		first:  func(s *session.Session) { s.Set("early", 1) },
		do:     func(s *session.Session) { s.Destroy() },
		server: lateWant{found: map[string]any{}},
		cookie: lateWant{found: map[string]any{}, late: true},
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

// run serves the case. If save is set, the handler calls Save.
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
			kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
				log := kit.CaptureLog(&cfg)
				m := kit.NewManager(t, cfg)
				v := newEndpoint(t, "HTTP1", m.Middleware)
				_, sessionErr, _ := test.run(t, v, false)
				want := test.want(cfg.Default)
				assert.Equal(t, want.found, v.found())
				assert.Equal(t, want.late, isLate(sessionErr), "Err: %v", sessionErr)
				assert.Equal(t, want.late, m.Stats().LateChanges > 0, "counted: %d", m.Stats().LateChanges)
				assert.Equal(t, want.late, strings.Contains(log.Text(), "after the response header"), "logged: %s", log.Text())
			})
		})
	}
}

// Save reports it at once. At the end of the handler it can only be logged.
func TestSaveReportsAChangeThatCameTooLate(t *testing.T) {
	for _, test := range lateCases {
		t.Run(test.name, func(t *testing.T) {
			kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
				v := newEndpoint(t, "HTTP1", kit.NewManager(t, cfg).Middleware)
				_, _, saveErr := test.run(t, v, true)
				want := test.want(cfg.Default)
				assert.Equal(t, want.late, isLate(saveErr), "Save: %v", saveErr)
				assert.Equal(t, want.found, v.found())
			})
		})
	}
}
