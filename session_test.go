package session_test

import (
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUnusedSessionTouchesNeitherStoreNorHeader(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) { s.Set("k", 1) })
		before := m.Stats()

		p := v.visit(func(*session.Session) {})

		assert.Empty(t, p.Header["Set-Cookie"])
		assert.Empty(t, p.Header["Vary"])
		assert.Empty(t, p.Header["Cache-Control"])
		assert.Equal(t, before, m.Stats())
	})
}

func TestReadingCreatesNoSession(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		p := newVisitor(t, m).visit(func(s *session.Session) {
			assert.Nil(t, s.Get("k"))
			assert.False(t, s.Has("k"))
			assert.False(t, s.Delete("k"))
			assert.Nil(t, s.Pull("k"))
			assert.NotNil(t, s.All())
			assert.Empty(t, s.All())
			s.Reset()
			s.ResetFlash()
			s.Flush()
			s.Reflash()
			s.Regenerate()
			s.Destroy()
		})

		assert.Empty(t, p.Header["Set-Cookie"])
		assert.Equal(t, "Cookie", p.Header.Get("Vary"))
		assert.Equal(t, "private, no-cache", p.Header.Get("Cache-Control"))
		assert.Zero(t, m.Stats().Saves)
	})
}

func TestSessionThatIsEmptiedBeforeItIsStoredIsNotStored(t *testing.T) {
	for name, empty := range map[string]func(*session.Session){
		"Delete":  func(s *session.Session) { s.Delete("k") },
		"Pull":    func(s *session.Session) { s.Pull("k") },
		"Reset":   func(s *session.Session) { s.Reset() },
		"Flush":   func(s *session.Session) { s.Flush() },
		"Destroy": func(s *session.Session) { s.Destroy() },
	} {
		t.Run(name, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, cfg session.Config) {
				m := newManager(t, cfg)
				p := newVisitor(t, m).visit(func(s *session.Session) {
					s.Set("k", 1)
					empty(s)
				})
				assert.Empty(t, p.Header["Set-Cookie"])
				assert.Zero(t, m.Stats().Saves)
			})
		})
	}
}

func TestEmptiedSessionStays(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) { s.Set("k", 1) })
		v.visit(func(s *session.Session) { s.Flush() })
		v.visit(func(s *session.Session) {
			assert.False(t, s.IsNew())
			assert.Empty(t, s.All())
		})
	})
}

// In each case the record holds 10 as data and "came" as flash under the key; the handler reads
// neither before do.
func TestLastOperationOnAKeyWins(t *testing.T) {
	tests := []struct {
		name       string
		do         func(s *session.Session)
		now, after any // what Get returns in this request and in the next, of data alone
	}{
		{name: "set set", do: func(s *session.Session) { s.Set("k", 1); s.Set("k", 2) }, now: "came", after: 2},
		{name: "delete set", do: func(s *session.Session) { s.Delete("k"); s.Set("k", 2) }, now: 2, after: 2},
		{name: "set delete", do: func(s *session.Session) { s.Set("k", 2); s.Delete("k") }, now: nil, after: nil},
		{name: "pull set", do: func(s *session.Session) { s.Pull("k"); s.Set("k", 2) }, now: 2, after: 2},
		{name: "reset set", do: func(s *session.Session) { s.Reset(); s.Set("k", 2) }, now: "came", after: 2},
		{name: "set reset", do: func(s *session.Session) { s.Set("k", 2); s.Reset() }, now: "came", after: nil},
		{name: "flush set", do: func(s *session.Session) { s.Flush(); s.Set("k", 2) }, now: 2, after: 2},
		{name: "set flush", do: func(s *session.Session) { s.Set("k", 2); s.Flush() }, now: nil, after: nil},
		{name: "destroy set", do: func(s *session.Session) { s.Destroy(); s.Set("k", 2) }, now: 2, after: 2},
		{name: "flash now, destroy", do: func(s *session.Session) { s.FlashNow("k", 1); s.Destroy() }, now: nil, after: nil},
		{name: "set increment", do: func(s *session.Session) { s.Set("k", 5); s.Increment("k", 2) }, now: "came", after: 7},
		{name: "increment set", do: func(s *session.Session) { s.Increment("k", 2); s.Set("k", 5) }, now: "came", after: 5},
		{name: "delete increment", do: func(s *session.Session) { s.Delete("k"); s.Increment("k", 2) }, now: 2, after: 2},
		{name: "reset increment", do: func(s *session.Session) { s.Reset(); s.Increment("k", 2) }, now: "came", after: 2},
		{name: "increment reset", do: func(s *session.Session) { s.Increment("k", 2); s.Reset() }, now: "came", after: nil},
		{name: "increments", do: func(s *session.Session) { s.Increment("k", 2); s.Decrement("k", 5) }, now: "came", after: 7},
		{name: "flash delete", do: func(s *session.Session) { s.Flash("k", "new"); s.Delete("k") }, now: nil, after: nil},
		{name: "delete flash", do: func(s *session.Session) { s.Delete("k"); s.Flash("k", "new") }, now: "new", after: "new"},
		{name: "flash reset flash", do: func(s *session.Session) { s.Flash("k", "new"); s.ResetFlash() }, now: 10, after: 10},
		{name: "reset flash flash", do: func(s *session.Session) { s.ResetFlash(); s.Flash("k", "new") }, now: "new", after: "new"},
		{name: "flash flash", do: func(s *session.Session) { s.Flash("k", "a"); s.Flash("k", "b") }, now: "b", after: "b"},
		{name: "flash now, flash", do: func(s *session.Session) { s.FlashNow("k", "a"); s.Flash("k", "b") }, now: "b", after: "b"},
		{name: "flash, flash now", do: func(s *session.Session) { s.Flash("k", "b"); s.FlashNow("k", "a") }, now: "a", after: "b"},
		{name: "flash now, delete", do: func(s *session.Session) { s.FlashNow("k", "a"); s.Delete("k") }, now: nil, after: nil},
		{name: "keep, reset flash", do: func(s *session.Session) { s.KeepFlash("k"); s.ResetFlash() }, now: 10, after: 10},
		{name: "delete, keep", do: func(s *session.Session) { s.Delete("k"); s.KeepFlash("k") }, now: nil, after: nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, cfg session.Config) {
				v := newVisitor(t, newManager(t, cfg))
				v.visit(func(s *session.Session) { s.Set("k", 10); s.Flash("k", "came") })
				v.visit(func(s *session.Session) {
					tt.do(s)
					assert.Equal(t, tt.now, s.Get("k"), "in the same request")
					assert.Equal(t, tt.now != nil, s.Has("k"), "in the same request")
				})
				v.visit(func(s *session.Session) {
					assert.Equal(t, tt.after, s.Get("k"), "in the next request")
					assert.Equal(t, tt.after != nil, s.Has("k"), "in the next request")
				})
			})
		})
	}
}

func TestIncrementReturnsAndStoresAnInteger(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) {
			assert.Equal(t, 3, s.Increment("n", 3), "a missing one counts as 0")
			assert.Equal(t, -1, s.Decrement("n", 4))
		})
		v.visit(func(s *session.Session) {
			assert.Equal(t, -1, s.Get("n"))
			assert.Equal(t, 0, s.Increment("n", 1))
			assert.Equal(t, 5, s.Decrement("n", -5))
		})
		v.visit(func(s *session.Session) { assert.Equal(t, 5, s.Get("n")) })
	})
}

func TestIncrementReachesTheEndsOfInt64(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) { s.Set("up", math.MaxInt64-1); s.Set("down", math.MinInt64+1) })
		v.visit(func(s *session.Session) {
			assert.Equal(t, math.MaxInt64, s.Increment("up", 1))
			assert.Equal(t, math.MinInt64, s.Decrement("down", 1))
		})
		v.visit(func(s *session.Session) {
			assert.Equal(t, math.MaxInt64, s.Get("up"))
			assert.Equal(t, math.MinInt64, s.Get("down"))
		})
	})
}

func TestImpossibleIncrementFailsTheRequestAndStoresNothing(t *testing.T) {
	tests := []struct {
		name  string
		value any
		add   func(s *session.Session) int
	}{
		{name: "of a string", value: "5", add: func(s *session.Session) int { return s.Increment("n", 1) }},
		{name: "of a float", value: 5.0, add: func(s *session.Session) int { return s.Increment("n", 1) }},
		{name: "of a bool", value: true, add: func(s *session.Session) int { return s.Increment("n", 1) }},
		{name: "of nil", value: nil, add: func(s *session.Session) int { return s.Increment("n", 1) }},
		{name: "of an array", value: []int{1}, add: func(s *session.Session) int { return s.Increment("n", 1) }},
		{name: "of a large uint64", value: uint64(math.MaxUint64), add: func(s *session.Session) int { return s.Decrement("n", 1) }},
		{name: "past the top", value: math.MaxInt64, add: func(s *session.Session) int { return s.Increment("n", 1) }},
		{name: "past the bottom", value: math.MinInt64, add: func(s *session.Session) int { return s.Decrement("n", 1) }},
		{name: "by what has no negative", value: 1, add: func(s *session.Session) int { return s.Decrement("n", math.MinInt) }},
		{name: "twice past the top", value: 1, add: func(s *session.Session) int {
			s.Increment("n", math.MaxInt-1)
			return s.Increment("n", math.MaxInt-1)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, cfg session.Config) {
				failed := recordFailures(&cfg)
				v := newVisitor(t, newManager(t, cfg))
				v.visit(func(s *session.Session) { s.Set("n", tt.value) })
				p := v.visit(func(s *session.Session) {
					s.Set("other", 1)
					assert.Zero(t, tt.add(s))
					assert.Error(t, s.Err())
				})
				assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
				assert.ErrorContains(t, failed.last(), `increment "n"`)
				v.visit(func(s *session.Session) {
					assert.False(t, s.Has("other"), "nothing of the failed request is stored")
					assert.EqualValues(t, fmt.Sprint(tt.value), fmt.Sprint(s.Get("n")))
				})
			})
		})
	}
}

func TestDeleteTellsWhetherThereWasSomething(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) { s.Set("data", nil); s.Flash("flash", "") })
		v.visit(func(s *session.Session) {
			s.FlashNow("now", false)
			for _, key := range []string{"data", "flash", "now"} {
				assert.True(t, s.Delete(key), key)
				assert.False(t, s.Delete(key), key)
				assert.False(t, s.Has(key), key)
			}
			assert.False(t, s.Delete("missing"))
			assert.False(t, s.Delete(""))
			assert.False(t, s.Delete(strings.Repeat("k", 256)))
		})
		v.visit(func(s *session.Session) { assert.Empty(t, s.All()) })
	})
}

func TestPullReadsOnceAndLeavesNothing(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) { s.Set("data", 1); s.Set("both", 2); s.Flash("both", "flash") })
		v.visit(func(s *session.Session) {
			assert.Equal(t, 1, s.Pull("data"))
			assert.Nil(t, s.Pull("data"))
			assert.Equal(t, "flash", s.Pull("both"))
			assert.Nil(t, s.Pull("both"), "the data of the key went with the flash")
		})
		v.visit(func(s *session.Session) { assert.Empty(t, s.All()) })
	})
}

func TestAllIsACopyOfDataAndFlash(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) {
			s.Set("cart", map[string]any{"pears": 2})
			s.Set("both", "data")
			s.Flash("both", "flash")
		})
		v.visit(func(s *session.Session) {
			s.FlashNow("now", 1)
			want := map[string]any{"cart": map[string]any{"pears": 2}, "both": "flash", "now": 1}
			all := s.All()
			assert.Equal(t, want, all)
			all["cart"].(map[string]any)["pears"] = 99
			all["more"] = true
			assert.Equal(t, want, s.All())
		})
		v.visit(func(s *session.Session) {
			assert.Equal(t, map[string]any{"cart": map[string]any{"pears": 2}, "both": "data"}, s.All())
		})
	})
}

func TestIsNewMeansThatNoRecordCame(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		clock := setClock(m)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) { assert.True(t, s.IsNew(), "no cookie") }, "Cookie", "s_"+cfg.Default+"=junk")
		v.visit(func(s *session.Session) {
			s.Set("k", 1)
			assert.NoError(t, s.Save())
			assert.True(t, s.IsNew(), "stored meanwhile")
		})
		v.visit(func(s *session.Session) { assert.False(t, s.IsNew(), "the cookie came back") })
		clock.advance(time.Hour)
		v.visit(func(s *session.Session) { assert.True(t, s.IsNew(), "expired") })
	})
}

func TestTimesAndHandleAreKnownOnceStored(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		clock := setClock(m)
		born := clock.now()
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) {
			s.Set("k", 1)
			assert.Zero(t, s.CreatedAt())
			assert.Zero(t, s.ExpiresAt())
			assert.Empty(t, s.Handle())
			assert.NoError(t, s.Save())
			assert.True(t, born.Equal(s.CreatedAt()))
			assert.NotEmpty(t, s.Handle())
		})
		clock.advance(10 * time.Minute)
		v.visit(func(s *session.Session) {
			assert.True(t, born.Equal(s.CreatedAt()), "use does not change it")
			assert.True(t, clock.now().Add(time.Hour).Equal(s.ExpiresAt()), "an idle hour from the use: %v", s.ExpiresAt())
		})
	})
}

func TestExpiresAtIsTheEarlierOfBothLimits(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.Lifetime, cfg.IdleTimeout = 100*time.Minute, time.Hour
		m := newManager(t, cfg)
		clock := setClock(m)
		born := clock.now()
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) { s.Set("k", 1) })
		clock.advance(50 * time.Minute)
		v.visit(func(s *session.Session) {
			assert.True(t, born.Add(100*time.Minute).Equal(s.ExpiresAt()), "%v", s.ExpiresAt())
		})
	})
}

func TestHandleChangesWithTheTokenAndTellsNothingOfIt(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		p := v.visit(func(s *session.Session) { s.Set("k", 1) })
		token := p.cookie("s_" + cfg.Default).Value
		var first, second, third string
		v.visit(func(s *session.Session) { first = s.Handle() })
		v.visit(func(s *session.Session) { second = s.Handle(); s.Regenerate() })
		v.visit(func(s *session.Session) { third = s.Handle() })

		assert.Equal(t, first, second)
		assert.NotEqual(t, second, third)
		assert.NotContains(t, token, first)
		stranger := v.stranger()
		stranger.visit(func(s *session.Session) { assert.True(t, s.IsNew()) }, "Cookie", "s_"+cfg.Default+"="+third)
	})
}

func TestNothingPrintsWhatASessionHolds(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		p := v.visit(func(s *session.Session) { s.Set("plainkey", "plainvalue") })
		token := p.cookie("s_" + cfg.Default).Value
		v.visit(func(s *session.Session) {
			s.Get("plainkey")
			var log strings.Builder
			slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "session", s)
			slog.New(slog.NewTextHandler(&log, nil)).Info("x", "session", s)
			for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %d %x", s, s, s, s, s, s), log.String()} {
				assert.Contains(t, text, "redacted")
				for _, secret := range []string{token, "plainvalue", "plainkey", testSecret} {
					assert.NotContains(t, text, secret)
				}
			}
		})
	})
}

func TestSaveStoresInTheMiddleOfAHandler(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) { s.Set("k", 1); s.Flash("note", "hello") })
		v.visit(func(s *session.Session) {
			s.Set("k", 2)
			assert.NoError(t, s.Save())
			assert.NoError(t, s.Save(), "with nothing to store it is a use")
			s.Increment("k", 5)
			assert.Equal(t, 7, s.Get("k"))
			assert.Equal(t, "hello", s.Get("note"), "flash does not age")
			assert.NoError(t, s.Err())
		})
		v.visit(func(s *session.Session) {
			assert.Equal(t, 7, s.Get("k"))
			assert.False(t, s.Has("note"), "it aged once, at the response")
		})
	})
}

func TestSavedChangesOutliveAPanic(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		if cfg.Default == "cookie" {
			t.Skip("its Set-Cookie waits for a header that never leaves")
		}
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) { s.Set("k", 1) })
		v.handler.Store(handlerFunc(func(_ http.ResponseWriter, _ *http.Request, s *session.Session) {
			s.Set("k", 2)
			assert.NoError(t, s.Save())
			s.Set("k", 3)
			panic(http.ErrAbortHandler)
		}))
		_, err := v.client.Get(v.url)
		require.Error(t, err)
		v.visit(func(s *session.Session) { assert.Equal(t, 2, s.Get("k")) })
	})
}

func TestUsingReachesAnotherDriverOfTheSameClient(t *testing.T) {
	for _, other := range driverNames {
		t.Run("from "+other, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, cfg session.Config) {
				cfg.Redis = driverConfig(t, "redis").Redis
				v := newVisitor(t, newManager(t, cfg))
				using := func(s *session.Session, do func(s *session.Session)) {
					elsewhere, err := s.Using(other)
					if assert.NoError(t, err) {
						do(elsewhere)
					}
				}
				v.visit(func(s *session.Session) {
					s.Set("k", "default")
					using(s, func(e *session.Session) { e.Set("k", other); e.Flash("note", "n") })
				})
				v.visit(func(s *session.Session) {
					want := "default"
					if other == cfg.Default {
						want = other // the same session
					}
					assert.Equal(t, want, s.Get("k"))
					using(s, func(e *session.Session) {
						assert.Equal(t, other, e.Get("k"))
						assert.Equal(t, "n", e.Get("note"))
						again, err := e.Using(other)
						assert.NoError(t, err)
						assert.Same(t, e, again)
						home, err := e.Using(cfg.Default)
						assert.NoError(t, err)
						assert.Same(t, s, home)
					})
				})
				v.visit(func(s *session.Session) {
					using(s, func(e *session.Session) { assert.False(t, e.Has("note"), "it aged there too") })
				})
			})
		})
	}
}

func TestRegenerateKeepsDataAndEndsTheOldToken(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		clock := setClock(m)
		v := newVisitor(t, m)
		before := v.visit(func(s *session.Session) { s.Set("k", 1); s.Flash("note", "n") }).cookie("s_" + cfg.Default)
		after := v.serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			s.Set("user", "ann")
			s.Regenerate()
			w.WriteHeader(http.StatusSeeOther)
		}).cookie("s_" + cfg.Default)
		require.NotNil(t, after)
		assert.NotEqual(t, before.Value, after.Value)

		clock.advance(6 * time.Second) // no request of the old token is under way any more
		v.stranger().visit(func(s *session.Session) {
			assert.True(t, s.IsNew())
			assert.Empty(t, s.All())
		}, "Cookie", before.Name+"="+before.Value)
		v.visit(func(s *session.Session) {
			assert.Equal(t, map[string]any{"k": 1, "user": "ann", "note": "n"}, s.All())
		})
	})
}

func TestDestroyEndsTheSessionAndTakesTheCookie(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		clock := setClock(m)
		v := newVisitor(t, m)
		live := v.visit(func(s *session.Session) { s.Set("k", 1); s.Flash("note", "n") })
		gone := v.visit(func(s *session.Session) {
			s.Destroy()
			assert.Empty(t, s.All())
			assert.NoError(t, s.Err())
		})

		name := "s_" + cfg.Default
		for _, n := range []string{name, name + "_f"} {
			set, cleared := live.cookie(n), gone.cookie(n)
			require.NotNil(t, cleared, n)
			assert.Equal(t, -1, cleared.MaxAge)
			assert.Empty(t, cleared.Value)
			assert.Equal(t, set.Path, cleared.Path)
			assert.Equal(t, set.HttpOnly, cleared.HttpOnly)
			assert.Equal(t, set.SameSite, cleared.SameSite)
		}
		assert.Empty(t, v.cookieHeader())
		clock.advance(6 * time.Second)
		v.stranger().visit(func(s *session.Session) { assert.True(t, s.IsNew()) },
			"Cookie", name+"="+live.cookie(name).Value)
	})
}

// What was under way when the session ended is told so; what comes later is like no cookie.
func TestRequestOfAJustEndedSessionIsToldSo(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		clock := setClock(m)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) { s.Set("k", 1) })
		old := v.cookieHeader()
		v.visit(func(s *session.Session) { s.Destroy() })
		clock.advance(5*time.Second - time.Millisecond)
		p := v.stranger().visit(func(s *session.Session) {
			assert.Empty(t, s.All())
			assert.ErrorIs(t, s.Open(), session.ErrEnded)
			assert.ErrorIs(t, s.Err(), session.ErrEnded)
			assert.ErrorIs(t, s.Err(), session.ErrNoSession)
			s.Set("k", 2)
			assert.ErrorIs(t, s.Save(), session.ErrNoSession)
		}, "Cookie", old)
		assert.Equal(t, http.StatusOK, p.StatusCode)
		assert.Empty(t, p.Header["Set-Cookie"], "a dropped change sends no cookie")

		clock.advance(time.Millisecond)
		p = v.stranger().visit(func(s *session.Session) {
			assert.NoError(t, s.Open())
			s.Set("k", 2)
		}, "Cookie", old)
		assert.NotNil(t, p.cookie("s_"+cfg.Default))
	})
}

func TestWhatIsSetAfterDestroyStartsANewSession(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		name := "s_" + cfg.Default
		first := v.visit(func(s *session.Session) { s.Set("old", 1) }).cookie(name)
		second := v.visit(func(s *session.Session) { s.Destroy(); s.Set("new", 2) }).cookie(name)
		require.NotNil(t, second)
		assert.NotEqual(t, first.Value, second.Value)
		v.visit(func(s *session.Session) { assert.Equal(t, map[string]any{"new": 2}, s.All()) })
	})
}

func TestDestroyWithoutASessionSendsNothing(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		p := newVisitor(t, newManager(t, cfg)).visit(func(s *session.Session) { s.Destroy() })
		assert.Empty(t, p.Header["Set-Cookie"])
	})
}

func TestExpiredCookieIsLeftAloneUntilSomethingIsStored(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		clock := setClock(m)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) { s.Set("k", 1) })
		clock.advance(time.Hour)
		read := v.visit(func(s *session.Session) { assert.Empty(t, s.All()) })
		assert.Empty(t, read.Header["Set-Cookie"])
		wrote := v.visit(func(s *session.Session) { s.Set("k", 2) })
		assert.NotNil(t, wrote.cookie("s_"+cfg.Default))
		v.visit(func(s *session.Session) { assert.Equal(t, 2, s.Get("k")) })
	})
}

// The handler counts what was an integer when it looked, and is text when it is to be stored.
func TestIncrementOfWhatHasBecomeTextFailsTheRequest(t *testing.T) {
	for _, name := range []string{"memory", "redis"} {
		t.Run(name, func(t *testing.T) {
			cfg := driverConfig(t, name)
			failed := recordFailures(&cfg)
			v := newVisitor(t, newManager(t, cfg))
			v.visit(func(s *session.Session) { s.Set("n", 1) })
			cookie := v.cookieHeader()
			p := v.visit(func(s *session.Session) {
				assert.Equal(t, 2, s.Increment("n", 1))
				s.Set("other", 1)
				v.stranger().visit(func(s *session.Session) { s.Set("n", "text") }, "Cookie", cookie)
			})
			assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
			assert.ErrorContains(t, failed.last(), `increment "n": it holds a string`)
			v.visit(func(s *session.Session) {
				assert.Equal(t, map[string]any{"n": "text"}, s.All(), "nothing of the failed request is stored")
			})
		})
	}
}

func TestIncrementPastTheRangeMeanwhileFailsTheRequest(t *testing.T) {
	for _, name := range []string{"memory", "redis"} {
		t.Run(name, func(t *testing.T) {
			cfg := driverConfig(t, name)
			failed := recordFailures(&cfg)
			v := newVisitor(t, newManager(t, cfg))
			v.visit(func(s *session.Session) { s.Set("n", 1) })
			cookie := v.cookieHeader()
			v.visit(func(s *session.Session) {
				assert.Equal(t, 3, s.Increment("n", 2))
				v.stranger().visit(func(s *session.Session) { s.Set("n", math.MaxInt-1) }, "Cookie", cookie)
			})
			assert.ErrorContains(t, failed.last(), "past the range of int64")
			v.visit(func(s *session.Session) { assert.Equal(t, math.MaxInt-1, s.Get("n")) })
		})
	}
}
