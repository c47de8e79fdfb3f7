package session_test

import (
	"net/http"
	"testing"
	"time"

	"example.com/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// In each case a session is stored and then opened after each of the pauses. Only the last
// opening may find it gone.
func TestSessionEndsWhereALimitEndsAndNotBefore(t *testing.T) {
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
			eachDriver(t, func(t *testing.T, cfg session.Config) {
				cfg.Lifetime, cfg.IdleTimeout = tt.lifetime, tt.idle
				m := newManager(t, cfg)
				clock := setClock(m)
				v := newVisitor(t, m)
				v.visit(func(s *session.Session) { s.Set("k", 1) })
				for i, pause := range tt.pauses {
					clock.advance(pause)
					ended := tt.ended && i == len(tt.pauses)-1
					v.visit(func(s *session.Session) {
						assert.Equal(t, !ended, s.Has("k"), "opening %d", i+1)
						assert.Equal(t, ended, s.IsNew(), "opening %d", i+1)
						assert.NoError(t, s.Err())
					})
				}
			})
		})
	}
}

func TestEndedSessionStaysEndedForItsCookie(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		clock := setClock(m)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) { s.Set("k", 1) })
		old := v.cookieHeader()
		clock.advance(time.Hour)
		v.visit(func(s *session.Session) { s.Set("k", 2) })
		v.stranger().visit(func(s *session.Session) { assert.True(t, s.IsNew()) }, "Cookie", old)
	})
}

func TestRequestsThatDoNotOpenTheSessionAreNoUse(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		clock := setClock(m)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) { s.Set("k", 1) })
		clock.advance(40 * time.Minute)
		v.visit(func(*session.Session) {})
		clock.advance(20 * time.Minute)
		v.visit(func(s *session.Session) { assert.True(t, s.IsNew()) })
	})
}

func TestDriversOwnIdleTimeoutGoesFirst(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.IdleTimeout = time.Hour
		cfg.Memory.IdleTimeout, cfg.Cookie.IdleTimeout, cfg.Redis.IdleTimeout = time.Minute, time.Minute, time.Minute
		m := newManager(t, cfg)
		clock := setClock(m)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) { s.Set("k", 1) })
		clock.advance(time.Minute)
		v.visit(func(s *session.Session) { assert.True(t, s.IsNew()) })
	})
}

func TestRegenerateStartsBothLimitsAnew(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.Lifetime, cfg.IdleTimeout = 90*time.Second, time.Minute
		m := newManager(t, cfg)
		clock := setClock(m)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) { s.Set("k", 1) })
		clock.advance(50 * time.Second)
		v.visit(func(s *session.Session) { s.Regenerate() })
		again := clock.now()
		clock.advance(50 * time.Second)
		v.visit(func(s *session.Session) {
			assert.Equal(t, 1, s.Get("k"), "100 s after it was created")
			assert.True(t, again.Equal(s.CreatedAt()))
		})
		clock.advance(40 * time.Second)
		v.visit(func(s *session.Session) { assert.True(t, s.IsNew(), "90 s after it was regenerated") })
	})
}

func TestCookieLastsAsLongAsTheSessionMay(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		clock := setClock(m)
		v := newVisitor(t, m)
		name := "s_" + cfg.Default
		first := v.visit(func(s *session.Session) { s.Set("k", 1) }).cookie(name)
		assert.Equal(t, 24*60*60, first.MaxAge)

		clock.advance(50 * time.Minute)
		second := v.visit(func(s *session.Session) { s.Set("k", 2) }).cookie(name)
		if cfg.Default != "cookie" {
			assert.Nil(t, second, "a token that the client has is never repeated")
			return
		}
		require.NotNil(t, second)
		assert.Equal(t, 24*60*60-50*60, second.MaxAge, "what is left of the lifetime")
	})
}

func TestSessionOnlyCookieHasNoMaxAgeUnlessRemembered(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.CookieAttributes.SessionOnly = true
		v := newVisitor(t, newManager(t, cfg))
		name := "s_" + cfg.Default
		plain := v.visit(func(s *session.Session) { s.Set("k", 1); s.Flash("note", 1) })
		assert.NotContains(t, plain.Header.Values("Set-Cookie")[0], "Max-Age")
		assert.NotContains(t, plain.Header.Values("Set-Cookie")[1], "Max-Age")

		remembered := v.visit(func(s *session.Session) { s.Remember(30 * 24 * time.Hour) })
		assert.Equal(t, 30*24*60*60, remembered.cookie(name).MaxAge)
		forgotten := v.visit(func(s *session.Session) { s.Remember(0) })
		assert.Zero(t, forgotten.cookie(name).MaxAge)
	})
}

// A reader of the cookie driver gets a new cookie once a tenth of the idle timeout has passed.
func TestCookieOfAReaderIsSealedAnewOnlyAfterATenthOfTheIdleTimeout(t *testing.T) {
	m := newManager(t, driverConfig(t, "cookie"))
	clock := setClock(m)
	v := newVisitor(t, m)
	first := v.visit(func(s *session.Session) { s.Set("k", 1) }).cookie("s_cookie")
	clock.advance(6*time.Minute - time.Millisecond)
	assert.Nil(t, v.visit(func(s *session.Session) { s.Get("k") }).cookie("s_cookie"))
	clock.advance(time.Millisecond)
	second := v.visit(func(s *session.Session) { s.Get("k") }).cookie("s_cookie")
	require.NotNil(t, second)
	assert.NotEqual(t, first.Value, second.Value)
}

func TestRememberedSessionOutlivesTheConfiguredLimits(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		clock := setClock(m)
		v := newVisitor(t, m)
		name := "s_" + cfg.Default
		const month = 30 * 24 * time.Hour
		before := v.visit(func(s *session.Session) { s.Set("k", 1) }).cookie(name)
		signedIn := clock.now()
		after := v.visit(func(s *session.Session) { s.Remember(month) }).cookie(name)
		require.NotNil(t, after, "it is a Regenerate")
		assert.NotEqual(t, before.Value, after.Value)
		assert.Equal(t, int(month.Seconds()), after.MaxAge)

		clock.advance(20 * 24 * time.Hour)
		v.visit(func(s *session.Session) {
			assert.Equal(t, 1, s.Get("k"))
			assert.True(t, signedIn.Add(month).Equal(s.ExpiresAt()), "%v", s.ExpiresAt())
		})
		clock.advance(10 * 24 * time.Hour)
		v.visit(func(s *session.Session) { assert.True(t, s.IsNew(), "use does not move its end") })
	})
}

func TestRememberedLimitsOutliveRegenerate(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		clock := setClock(m)
		v := newVisitor(t, m)
		const month = 30 * 24 * time.Hour
		v.visit(func(s *session.Session) { s.Set("k", 1); s.Remember(month) })
		clock.advance(20 * 24 * time.Hour)
		again := v.visit(func(s *session.Session) { s.Regenerate() })
		assert.Equal(t, int(month.Seconds()), again.cookie("s_"+cfg.Default).MaxAge)
		clock.advance(20 * 24 * time.Hour)
		v.visit(func(s *session.Session) { assert.Equal(t, 1, s.Get("k")) })
	})
}

func TestRememberZeroGoesBackToTheConfiguredLimits(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		clock := setClock(m)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) { s.Set("k", 1); s.Remember(30 * 24 * time.Hour) })
		v.visit(func(s *session.Session) { s.Remember(0) })
		clock.advance(time.Hour)
		v.visit(func(s *session.Session) { assert.True(t, s.IsNew()) })
	})
}

func TestRememberBeyondWhatBrowsersGrantFailsTheRequest(t *testing.T) {
	for name, d := range map[string]time.Duration{"negative": -1, "401 days": 401 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, cfg session.Config) {
				failed := recordFailures(&cfg)
				v := newVisitor(t, newManager(t, cfg))
				p := v.visit(func(s *session.Session) { s.Set("k", 1); s.Remember(d) })
				assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
				assert.Empty(t, p.Header["Set-Cookie"])
				assert.ErrorContains(t, failed.last(), "choose 0 to 400 days")
			})
		})
	}
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		p := newVisitor(t, newManager(t, cfg)).visit(func(s *session.Session) { s.Set("k", 1); s.Remember(400 * 24 * time.Hour) })
		assert.Equal(t, 400*24*60*60, p.cookie("s_"+cfg.Default).MaxAge)
	})
}
