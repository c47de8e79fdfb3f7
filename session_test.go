package session_test

import (
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

func TestUnusedSessionTouchesNeitherStoreNorHeader(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { s.Set("k", 1) })
		before := m.Stats()

		p := v.Visit(func(*session.Session) {})

		assert.Empty(t, p.Header["Set-Cookie"])
		assert.Empty(t, p.Header["Vary"])
		assert.Empty(t, p.Header["Cache-Control"])
		assert.Equal(t, before, m.Stats())
	})
}

func TestReadingCreatesNoSession(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		p := kit.NewVisitor(t, m).Visit(func(s *session.Session) {
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
			kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
				m := kit.NewManager(t, cfg)
				p := kit.NewVisitor(t, m).Visit(func(s *session.Session) {
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
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		v.Visit(func(s *session.Session) { s.Set("k", 1) })
		v.Visit(func(s *session.Session) { s.Flush() })
		v.Visit(func(s *session.Session) {
			assert.False(t, s.IsNew())
			assert.Empty(t, s.All())
		})
	})
}

// In each case the session that came holds 10 as data and "came" as flash under the key.
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
			kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
				v := kit.NewVisitor(t, kit.NewManager(t, cfg))
				v.Visit(func(s *session.Session) { s.Set("k", 10); s.Flash("k", "came") })
				v.Visit(func(s *session.Session) {
					tt.do(s)
					assert.Equal(t, tt.now, s.Get("k"), "in the same request")
					assert.Equal(t, tt.now != nil, s.Has("k"), "in the same request")
				})
				v.Visit(func(s *session.Session) {
					assert.Equal(t, tt.after, s.Get("k"), "in the next request")
					assert.Equal(t, tt.after != nil, s.Has("k"), "in the next request")
				})
			})
		})
	}
}

func TestIncrementReturnsAndStoresAnInteger(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		v.Visit(func(s *session.Session) {
			assert.Equal(t, 3, s.Increment("n", 3), "a missing integer counts as 0")
			assert.Equal(t, -1, s.Decrement("n", 4))
		})
		v.Visit(func(s *session.Session) {
			assert.Equal(t, -1, s.Get("n"))
			assert.Equal(t, 0, s.Increment("n", 1))
			assert.Equal(t, 5, s.Decrement("n", -5))
		})
		v.Visit(func(s *session.Session) { assert.Equal(t, 5, s.Get("n")) })
	})
}

func TestIncrementReachesTheEndsOfInt64(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		v.Visit(func(s *session.Session) { s.Set("up", math.MaxInt64-1); s.Set("down", math.MinInt64+1) })
		v.Visit(func(s *session.Session) {
			assert.Equal(t, math.MaxInt64, s.Increment("up", 1))
			assert.Equal(t, math.MinInt64, s.Decrement("down", 1))
		})
		v.Visit(func(s *session.Session) {
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
		{name: "of a fraction", value: 5.5, add: func(s *session.Session) int { return s.Increment("n", 1) }},
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
			kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
				failed := kit.RecordFailures(&cfg)
				v := kit.NewVisitor(t, kit.NewManager(t, cfg))
				v.Visit(func(s *session.Session) { s.Set("n", tt.value) })
				p := v.Visit(func(s *session.Session) {
					s.Set("other", 1)
					assert.Zero(t, tt.add(s))
					assert.Error(t, s.Err())
				})
				assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
				assert.ErrorContains(t, failed.Last(), `crement "n"`)
				v.Visit(func(s *session.Session) {
					assert.False(t, s.Has("other"), "nothing of the failed request is stored")
					assert.EqualValues(t, fmt.Sprint(tt.value), fmt.Sprint(s.Get("n")))
				})
			})
		})
	}
}

func TestDeleteReportsWhetherThereWasSomething(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		v.Visit(func(s *session.Session) { s.Set("data", nil); s.Flash("flash", "") })
		v.Visit(func(s *session.Session) {
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
		v.Visit(func(s *session.Session) { assert.Empty(t, s.All()) })
	})
}

func TestPullReadsOnceAndLeavesNothing(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		v.Visit(func(s *session.Session) { s.Set("data", 1); s.Set("both", 2); s.Flash("both", "flash") })
		v.Visit(func(s *session.Session) {
			assert.Equal(t, 1, s.Pull("data"))
			assert.Nil(t, s.Pull("data"))
			assert.Equal(t, "flash", s.Pull("both"))
			assert.Nil(t, s.Pull("both"), "the data of the key went with the flash")
		})
		v.Visit(func(s *session.Session) { assert.Empty(t, s.All()) })
	})
}

func TestAllIsACopyOfDataAndFlash(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		v.Visit(func(s *session.Session) {
			s.Set("cart", map[string]any{"pears": 2})
			s.Set("both", "data")
			s.Flash("both", "flash")
		})
		v.Visit(func(s *session.Session) {
			s.FlashNow("now", 1)
			want := map[string]any{"cart": map[string]any{"pears": 2}, "both": "flash", "now": 1}
			all := s.All()
			assert.Equal(t, want, all)
			all["cart"].(map[string]any)["pears"] = 99
			all["more"] = true
			assert.Equal(t, want, s.All())
		})
		v.Visit(func(s *session.Session) {
			assert.Equal(t, map[string]any{"cart": map[string]any{"pears": 2}, "both": "data"}, s.All())
		})
	})
}

func TestIsNewMeansThatNoRecordCame(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		clock := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { assert.True(t, s.IsNew(), "no cookie") }, "Cookie", "s_"+cfg.Default+"=junk")
		v.Visit(func(s *session.Session) {
			s.Set("k", 1)
			assert.NoError(t, s.Save())
			assert.True(t, s.IsNew(), "stored meanwhile")
		})
		v.Visit(func(s *session.Session) { assert.False(t, s.IsNew(), "the cookie came back") })
		clock.Advance(time.Hour)
		v.Visit(func(s *session.Session) { assert.True(t, s.IsNew(), "expired") })
	})
}

func TestTimesAndHandleAreKnownOnceStored(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		clock := kit.SetClock(m)
		born := clock.Now()
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) {
			s.Set("k", 1)
			assert.Zero(t, s.CreatedAt())
			assert.Zero(t, s.ExpiresAt())
			assert.Empty(t, s.Handle())
			assert.NoError(t, s.Save())
			assert.True(t, born.Equal(s.CreatedAt()))
			assert.NotEmpty(t, s.Handle())
		})
		clock.Advance(10 * time.Minute)
		v.Visit(func(s *session.Session) {
			assert.True(t, born.Equal(s.CreatedAt()), "use does not change it")
			assert.True(t, clock.Now().Add(time.Hour).Equal(s.ExpiresAt()), "an idle hour from the use: %v", s.ExpiresAt())
		})
	})
}

func TestExpiresAtIsTheEarlierOfBothLimits(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.Lifetime, cfg.IdleTimeout = 100*time.Minute, time.Hour
		m := kit.NewManager(t, cfg)
		clock := kit.SetClock(m)
		born := clock.Now()
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { s.Set("k", 1) })
		clock.Advance(50 * time.Minute)
		v.Visit(func(s *session.Session) {
			assert.True(t, born.Add(100*time.Minute).Equal(s.ExpiresAt()), "%v", s.ExpiresAt())
		})
	})
}

// The handle is in logs and lists. It must not help whoever reads them.
func TestHandleStaysForLifeAndOpensNothing(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		p := v.Visit(func(s *session.Session) { s.Set("k", 1) })
		token := p.Cookie("s_" + cfg.Default).Value
		var handles []string
		note := func(s *session.Session) { handles = append(handles, s.Handle()) }
		v.Visit(note)
		v.Visit(func(s *session.Session) { note(s); s.Regenerate() })
		v.Visit(func(s *session.Session) { note(s); s.Login("ann") })
		v.Visit(note)

		assert.NotEmpty(t, handles[0])
		assert.Equal(t, slices.Repeat(handles[:1], 4), handles)
		if cfg.Default == "cookie" {
			assert.NotContains(t, token, handles[0])
		} else {
			assert.Len(t, token, 56, "an id of 128 bits and a secret of 208")
		}
		for _, forged := range []string{handles[0], handles[0] + strings.Repeat("A", 34), handles[0] + token[22:]} {
			v.Stranger().Visit(func(s *session.Session) {
				assert.True(t, s.IsNew())
				assert.Empty(t, s.All())
			}, "Cookie", "s_"+cfg.Default+"="+forged)
		}
	})
}

// A cookie that this process cannot open may be another application's, or a newer version's.
func TestCookieThatDoesNotOpenIsLeftAloneUntilSomethingIsStored(t *testing.T) {
	garbage := []string{
		"", "x", "=", "%00", "null", "../../etc/passwd", "' OR 1=1 --", "<script>", "{}", "\xff\xfe", "é", `""`,
		wellFormed, wellFormed[1:], wellFormed + "A", wellFormed[1:] + "=", wellFormed[1:] + "%", "*", "session:*",
		"AQ", strings.Repeat("A", 96), strings.Repeat("_", 4086), strings.Repeat("A", 60_000),
	}
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		name := "s_" + cfg.Default
		v := kit.NewVisitor(t, m)
		for _, value := range garbage {
			p := v.Stranger().Visit(func(s *session.Session) {
				assert.Empty(t, s.All())
				assert.True(t, s.IsNew())
				assert.NoError(t, s.Err())
			}, "Cookie", name+"="+value)
			assert.Equal(t, http.StatusOK, p.StatusCode, "%.50q", value)
			assert.Empty(t, p.Cookies(), "%.50q", value)

			p = v.Stranger().Visit(func(s *session.Session) { s.Set("k", 1) }, "Cookie", name+"="+value)
			fresh := p.Cookie(name)
			require.NotNil(t, fresh)
			assert.NotEqual(t, value, fresh.Value, "a token of the client's choice is never adopted")
			assert.Len(t, p.Cookies(), map[bool]int{true: 2, false: 1}[cfg.Default == "cookie"], "%.50q", value)
			v.Stranger().Visit(func(s *session.Session) { assert.Equal(t, 1, s.Get("k")) }, "Cookie", p.SessionCookies(name))

			p = v.Stranger().Visit(func(s *session.Session) { s.Destroy() }, "Cookie", name+"="+value)
			if value != "" && assert.NotNil(t, p.Cookie(name), "%.50q", value) {
				assert.Equal(t, -1, p.Cookie(name).MaxAge, "%.50q", value)
			}
		}
		assert.Zero(t, m.Stats().Failed)
		assert.Zero(t, m.Stats().Tampered, "none of them names our version and key")
	})
}

func TestExpiredCookieIsLeftAloneUntilSomethingIsStored(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		clock := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { s.Set("k", 1) })
		old := v.CookieHeader()
		clock.Advance(time.Hour)
		read := v.Visit(func(s *session.Session) { assert.Empty(t, s.All()) })
		assert.Empty(t, read.Header["Set-Cookie"])
		wrote := v.Visit(func(s *session.Session) { s.Set("k", 2) })
		assert.NotNil(t, wrote.Cookie("s_"+cfg.Default))
		v.Visit(func(s *session.Session) { assert.Equal(t, 2, s.Get("k")) })
		v.Stranger().Visit(func(s *session.Session) { assert.True(t, s.IsNew(), "the old one stays expired") }, "Cookie", old)
	})
}

// A request that reads each of many keys takes time in proportion to their number.
func TestReadingEachOfManyKeysIsLinear(t *testing.T) {
	timeToRead := func(keys int) (eachKey, all time.Duration) {
		v := kit.NewVisitor(t, kit.NewManager(t, kit.DriverConfig(t, "memory")))
		v.Visit(func(s *session.Session) {
			for i := range keys {
				s.Set(fmt.Sprint("key", i), i)
			}
		})
		eachKey, all = time.Hour, time.Hour
		for range 3 { // the fastest of three
			v.Visit(func(s *session.Session) {
				began := time.Now()
				for i := range keys {
					if s.Get(fmt.Sprint("key", i)) != i {
						t.Errorf("key%d is wrong", i)
					}
				}
				eachKey = min(eachKey, time.Since(began))
				began = time.Now()
				assert.Len(t, s.All(), keys)
				all = min(all, time.Since(began))
			})
		}
		return eachKey, all
	}
	eachKey, all := timeToRead(10_000)
	assert.Less(t, eachKey, 20*all, "Get of 10,000 keys took %v, All %v", eachKey, all)
}

func TestNothingPrintsWhatASessionHolds(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		p := v.Visit(func(s *session.Session) { s.Set("plainkey", "plainvalue") })
		token := p.Cookie("s_" + cfg.Default).Value
		v.Visit(func(s *session.Session) {
			s.Get("plainkey")
			var log strings.Builder
			slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "session", s)
			slog.New(slog.NewTextHandler(&log, nil)).Info("x", "session", s)
			for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %d %x", s, s, s, s, s, s), log.String()} {
				assert.Contains(t, text, "redacted")
				for _, secret := range []string{token, "plainvalue", "plainkey", kit.Secret} {
					assert.NotContains(t, text, secret)
				}
			}
		})
	})
}

func TestUsingReachesAnotherDriverOfTheSameClient(t *testing.T) {
	for _, other := range kit.DriverNames {
		t.Run("from "+other, func(t *testing.T) {
			kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
				cfg.Redis = kit.DriverConfig(t, "redis").Redis
				v := kit.NewVisitor(t, kit.NewManager(t, cfg))
				using := func(s *session.Session, do func(s *session.Session)) {
					elsewhere, err := s.Using(other)
					if assert.NoError(t, err) {
						do(elsewhere)
					}
				}
				v.Visit(func(s *session.Session) {
					s.Set("k", "default")
					using(s, func(e *session.Session) { e.Set("k", other); e.Flash("note", "n") })
				})
				v.Visit(func(s *session.Session) {
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
				v.Visit(func(s *session.Session) {
					using(s, func(e *session.Session) { assert.False(t, e.Has("note"), "it expired there too") })
				})
			})
		})
	}
}

// The value was an integer when the handler looked, and is text when the increment is to be stored.
func TestIncrementOfWhatHasBecomeTextFailsTheRequest(t *testing.T) {
	for _, name := range []string{"memory", "redis"} {
		t.Run(name, func(t *testing.T) {
			cfg := kit.DriverConfig(t, name)
			failed := kit.RecordFailures(&cfg)
			v := kit.NewVisitor(t, kit.NewManager(t, cfg))
			v.Visit(func(s *session.Session) { s.Set("n", 1) })
			cookie := v.CookieHeader()
			p := v.Visit(func(s *session.Session) {
				assert.Equal(t, 2, s.Increment("n", 1))
				s.Set("other", 1)
				v.Stranger().Visit(func(s *session.Session) { s.Set("n", "text") }, "Cookie", cookie)
			})
			assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
			assert.ErrorContains(t, failed.Last(), `increment "n": the stored value is not an int64`)
			v.Visit(func(s *session.Session) {
				assert.Equal(t, map[string]any{"n": "text"}, s.All(), "nothing of the failed request is stored")
			})
		})
	}
}

func TestIncrementPastTheRangeMeanwhileFailsTheRequest(t *testing.T) {
	for _, name := range []string{"memory", "redis"} {
		t.Run(name, func(t *testing.T) {
			cfg := kit.DriverConfig(t, name)
			failed := kit.RecordFailures(&cfg)
			v := kit.NewVisitor(t, kit.NewManager(t, cfg))
			v.Visit(func(s *session.Session) { s.Set("n", 1) })
			cookie := v.CookieHeader()
			v.Visit(func(s *session.Session) {
				assert.Equal(t, 3, s.Increment("n", 2))
				v.Stranger().Visit(func(s *session.Session) { s.Set("n", math.MaxInt-1) }, "Cookie", cookie)
			})
			assert.ErrorContains(t, failed.Last(), "past the range of int64")
			v.Visit(func(s *session.Session) { assert.Equal(t, math.MaxInt-1, s.Get("n")) })
		})
	}
}

func TestReadingUnderAnImpossibleKeyFindsNothing(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		v.Visit(func(s *session.Session) { s.Set("k", 1) })
		p := v.Visit(func(s *session.Session) {
			for _, key := range []string{"", strings.Repeat("k", 256), strings.Repeat("k", 1<<20)} {
				assert.Nil(t, s.Get(key))
				assert.False(t, s.Has(key))
				assert.False(t, s.Delete(key))
				assert.Nil(t, s.Pull(key))
				assert.ErrorIs(t, s.Scan(key, new(int)), session.ErrNoValue)
				s.KeepFlash(key)
			}
			assert.NoError(t, s.Err())
		})
		assert.Equal(t, http.StatusOK, p.StatusCode)
	})
}
