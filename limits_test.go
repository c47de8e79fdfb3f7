package session_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/hooks"
	"example.com/session/internal/suites/kit"
)

// In each case a session is stored and then opened after each of the pauses. Only the last request may
// find that it has expired.
func TestSessionExpiresAtItsLimitAndNotBefore(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name           string
		lifetime, idle time.Duration
		pauses         []time.Duration
		ended          bool
	}{
		{name: "just within the idle timeout", lifetime: time.Hour, idle: time.Minute, pauses: []time.Duration{time.Minute - ms}},
		{name: "at the idle timeout", lifetime: time.Hour, idle: time.Minute, pauses: []time.Duration{time.Minute}, ended: true},
		{
			name: "use moves the idle timeout", lifetime: time.Hour, idle: time.Minute,
			pauses: []time.Duration{50 * time.Second, 50 * time.Second, time.Minute - ms},
		},
		{
			name: "idle after use", lifetime: time.Hour, idle: time.Minute,
			pauses: []time.Duration{50 * time.Second, time.Minute}, ended: true,
		},
		{
			name: "just within the lifetime", lifetime: 90 * time.Second, idle: time.Minute,
			pauses: []time.Duration{50 * time.Second, 40*time.Second - ms},
		},
		{
			name: "use does not move the lifetime", lifetime: 90 * time.Second, idle: time.Minute,
			pauses: []time.Duration{50 * time.Second, 40 * time.Second}, ended: true,
		},
		{name: "an idle timeout as long as the lifetime", lifetime: time.Hour, idle: time.Hour, pauses: []time.Duration{time.Hour}, ended: true},
		{name: "default idle timeout", pauses: []time.Duration{time.Hour - ms}},
		{name: "after the default idle timeout", pauses: []time.Duration{time.Hour}, ended: true},
		{name: "within the default lifetime", idle: 24 * time.Hour, pauses: []time.Duration{24*time.Hour - ms}},
		{name: "after the default lifetime", idle: 24 * time.Hour, pauses: []time.Duration{24 * time.Hour}, ended: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
				cfg.Lifetime, cfg.IdleTimeout = tt.lifetime, tt.idle
				m := kit.NewManager(t, cfg)
				clock := kit.SetClock(m)
				v := kit.NewVisitor(t, m)
				v.Visit(func(s *session.Session) { s.Set("k", 1) })
				for i, pause := range tt.pauses {
					clock.Advance(pause)
					ended := tt.ended && i == len(tt.pauses)-1
					v.Visit(func(s *session.Session) {
						assert.Equal(t, !ended, s.Has("k"), "opening %d", i+1)
						assert.Equal(t, ended, s.IsNew(), "opening %d", i+1)
						assert.NoError(t, s.Err())
					})
				}
			})
		})
	}
}

func TestRequestThatDoesNotOpenTheSessionIsNoUse(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		clock := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { s.Set("k", 1) })
		clock.Advance(40 * time.Minute)
		v.Visit(func(*session.Session) {})
		clock.Advance(20 * time.Minute)
		v.Visit(func(s *session.Session) { assert.True(t, s.IsNew()) })
	})
}

func TestIdleTimeoutOfADriverReplacesTheCommonOne(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.IdleTimeout = time.Hour
		cfg.Memory.IdleTimeout, cfg.Cookie.IdleTimeout, cfg.Redis.IdleTimeout = time.Minute, time.Minute, time.Minute
		m := kit.NewManager(t, cfg)
		clock := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { s.Set("k", 1) })
		clock.Advance(time.Minute)
		v.Visit(func(s *session.Session) { assert.True(t, s.IsNew()) })
	})
}

func TestRegenerateOfAVisitorStartsBothLimitsAnew(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.Lifetime, cfg.IdleTimeout = 90*time.Second, time.Minute
		m := kit.NewManager(t, cfg)
		clock := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { s.Set("k", 1) })
		clock.Advance(50 * time.Second)
		v.Visit(func(s *session.Session) { s.Regenerate() })
		again := clock.Now()
		clock.Advance(50 * time.Second)
		v.Visit(func(s *session.Session) {
			assert.Equal(t, 1, s.Get("k"), "100 s after it was created")
			assert.True(t, again.Equal(s.CreatedAt()))
		})
		clock.Advance(40 * time.Second)
		v.Visit(func(s *session.Session) { assert.True(t, s.IsNew(), "90 s after it was regenerated") })
	})
}

func TestCookieLastsAsLongAsTheSessionMay(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		clock := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		name := "s_" + cfg.Default
		first := v.Visit(func(s *session.Session) { s.Set("k", 1) }).Cookie(name)
		assert.Equal(t, 24*60*60, first.MaxAge)

		clock.Advance(50 * time.Minute)
		second := v.Visit(func(s *session.Session) { s.Set("k", 2) })
		assert.Nil(t, second.Cookie(name), "a token that the client has is never repeated")
		if cfg.Default == "cookie" && assert.NotNil(t, second.DataCookie()) {
			assert.Equal(t, 24*60*60-50*60, second.DataCookie().MaxAge, "what is left of the lifetime")
		}
	})
}

func TestSessionOnlyCookieHasNoMaxAgeUnlessRemembered(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.CookieAttributes.SessionOnly = true
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		name := "s_" + cfg.Default
		plain := v.Visit(func(s *session.Session) { s.Set("k", 1); s.Flash("note", 1) })
		assert.NotContains(t, plain.Header.Values("Set-Cookie")[0], "Max-Age")
		assert.NotContains(t, plain.Header.Values("Set-Cookie")[1], "Max-Age")

		remembered := v.Visit(func(s *session.Session) { s.Remember(30 * 24 * time.Hour) })
		assert.Equal(t, 30*24*60*60, remembered.Cookie(name).MaxAge)
		forgotten := v.Visit(func(s *session.Session) { s.Remember(0) })
		assert.Zero(t, forgotten.Cookie(name).MaxAge)
	})
}

// On the cookie driver a use is noted in the cookie.
func TestReadingWritesACookieOnlyAfterATenthOfTheIdleTimeout(t *testing.T) {
	m := kit.NewManager(t, kit.DriverConfig(t, "cookie"))
	clock := kit.SetClock(m)
	v := kit.NewVisitor(t, m)
	v.Visit(func(s *session.Session) { s.Set("k", 1) })
	for range 2 { // the second time the flash cookie has come
		clock.Advance(6*time.Minute - time.Millisecond)
		assert.Empty(t, v.Visit(func(s *session.Session) { s.Get("k") }).Cookies())
		clock.Advance(time.Millisecond)
		p := v.Visit(func(s *session.Session) { s.Get("k") })
		if assert.Len(t, p.Cookies(), 1, "neither identity nor data is written") {
			assert.Equal(t, "s_cookie_f", p.Cookies()[0].Name)
			assert.Equal(t, "0", p.Cookies()[0].Value[:1], "no flash is pending")
		}
	}
}

func TestRememberedSessionOutlivesTheConfiguredLimits(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		clock := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		name := "s_" + cfg.Default
		const month = 30 * 24 * time.Hour
		before := v.Visit(func(s *session.Session) { s.Set("k", 1) }).Cookie(name)
		signedIn := clock.Now()
		after := v.Visit(func(s *session.Session) { s.Remember(month) }).Cookie(name)
		require.NotNil(t, after, "it replaces the token")
		assert.NotEqual(t, before.Value, after.Value)
		assert.Equal(t, int(month.Seconds()), after.MaxAge)

		clock.Advance(20 * 24 * time.Hour)
		v.Visit(func(s *session.Session) {
			assert.Equal(t, 1, s.Get("k"))
			assert.True(t, signedIn.Add(month).Equal(s.ExpiresAt()), "%v", s.ExpiresAt())
		})
		clock.Advance(10 * 24 * time.Hour)
		v.Visit(func(s *session.Session) { assert.True(t, s.IsNew(), "use does not lengthen the lifetime") })
	})
}

func TestRememberedLimitsOutliveRegenerate(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		clock := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		const month = 30 * 24 * time.Hour
		v.Visit(func(s *session.Session) { s.Set("k", 1); s.Remember(month) })
		clock.Advance(20 * 24 * time.Hour)
		again := v.Visit(func(s *session.Session) { s.Regenerate() })
		assert.Equal(t, int(month.Seconds()), again.Cookie("s_"+cfg.Default).MaxAge)
		clock.Advance(20 * 24 * time.Hour)
		v.Visit(func(s *session.Session) { assert.Equal(t, 1, s.Get("k")) })
	})
}

func TestRememberZeroGoesBackToTheConfiguredLimits(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		clock := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { s.Set("k", 1); s.Remember(30 * 24 * time.Hour) })
		v.Visit(func(s *session.Session) { s.Remember(0) })
		clock.Advance(time.Hour)
		v.Visit(func(s *session.Session) { assert.True(t, s.IsNew()) })
	})
}

func TestRememberBeyond400DaysFailsTheRequest(t *testing.T) {
	for name, d := range map[string]time.Duration{"negative": -1, "401 days": 401 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
				failed := kit.RecordFailures(&cfg)
				v := kit.NewVisitor(t, kit.NewManager(t, cfg))
				p := v.Visit(func(s *session.Session) { s.Set("k", 1); s.Remember(d) })
				assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
				assert.Empty(t, p.Header["Set-Cookie"])
				assert.ErrorContains(t, failed.Last(), "choose 0 to 400 days")
			})
		})
	}
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		p := kit.NewVisitor(t, kit.NewManager(t, cfg)).Visit(func(s *session.Session) { s.Set("k", 1); s.Remember(400 * 24 * time.Hour) })
		assert.Equal(t, 400*24*60*60, p.Cookie("s_"+cfg.Default).MaxAge)
	})
}

// A page that polls in the background is no sign that anybody is there.
func TestPassiveRequestExtendsNothing(t *testing.T) {
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.Passive = func(r *http.Request) bool { return r.Header.Get("X-Poll") != "" }
		cfg.IdleTimeout, cfg.LockAfter = time.Hour, 30*time.Minute
		m := kit.NewManager(t, cfg)
		clock := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { s.Login("ann"); s.Set("polls", 0) })
		signedIn := clock.Now()
		for minute := 1; minute < 60; minute++ {
			clock.Advance(time.Minute)
			v.Visit(func(s *session.Session) {
				assert.Equal(t, minute, s.Increment("polls", 1), "it reads and writes as usual")
				_, ok := s.User()
				assert.Equal(t, minute < 30, ok, "minute %d", minute)
				assert.NoError(t, s.Save())
				assert.NoError(t, s.Save(), "with nothing to store")
				assert.WithinDuration(t, signedIn.Add(time.Hour), s.ExpiresAt(), 0)
			}, "X-Poll", "1")
		}
		clock.Advance(time.Minute)
		v.Visit(func(s *session.Session) { assert.True(t, s.IsNew(), "idle for an hour") })
	})
}

// The limits in force are those of the running configuration.
func TestShorterLimitsApplyToLiveSessions(t *testing.T) {
	tests := []struct {
		name    string
		shorten func(cfg *session.Config)
		lives   time.Duration // since the session was last used
	}{
		{name: "idle timeout", shorten: func(cfg *session.Config) { cfg.IdleTimeout = 15 * time.Minute }, lives: 15 * time.Minute},
		{name: "lifetime", shorten: func(cfg *session.Config) { cfg.Lifetime, cfg.IdleTimeout = 50*time.Minute, 0 }, lives: 50 * time.Minute},
		{name: "AAL3", shorten: func(cfg *session.Config) { *cfg = withAssurance(*cfg) }, lives: 15 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, name := range []string{"redis", "cookie"} {
				t.Run(name, func(t *testing.T) {
					cfg := kit.DriverConfig(t, name)
					cfg.Lifetime, cfg.IdleTimeout = 30*24*time.Hour, 12*time.Hour
					before := kit.NewManager(t, cfg)
					clock := kit.SetClock(before)
					v := kit.NewVisitor(t, before)
					v.Visit(func(s *session.Session) { s.Set("k", 1) })
					cookie := v.CookieHeader()
					tt.shorten(&cfg)
					after := kit.NewManager(t, cfg)
					hooks.SetClock(after, clock.Now)
					found := func() (found bool) {
						kit.NewVisitor(t, after).Visit(func(s *session.Session) { found = s.Has("k") }, "Cookie", cookie,
							"X-Poll", "1")
						return found
					}
					clock.Advance(tt.lives)
					assert.False(t, found())
					clock.Advance(-time.Second)
					assert.True(t, found(), "a second before")
				})
			}
		})
	}
}

func withAssurance(cfg session.Config) session.Config {
	cfg.Lifetime, cfg.IdleTimeout, cfg.Assurance = 0, 0, session.AAL3
	return cfg
}

// A session ends at its stored end, until the next save stores a later one.
func TestLongerLimitsHoldFromTheNextSave(t *testing.T) {
	cfg := kit.DriverConfig(t, "redis")
	cfg.IdleTimeout = 10 * time.Minute
	before := kit.NewManager(t, cfg)
	clock := kit.SetClock(before)
	v := kit.NewVisitor(t, before)
	v.Visit(func(s *session.Session) { s.Set("k", 1) })
	cfg.IdleTimeout = time.Hour
	after := kit.NewManager(t, cfg)
	hooks.SetClock(after, clock.Now)
	w := kit.NewVisitor(t, after)
	w.Visit(func(s *session.Session) { s.Set("k", 2) }, "Cookie", v.CookieHeader())
	clock.Advance(50 * time.Minute)
	w.Visit(func(s *session.Session) { assert.Equal(t, 2, s.Get("k")) }, "Cookie", v.CookieHeader())
}
