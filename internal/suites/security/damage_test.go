package security_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/suites/kit"
)

// damage puts other bytes in the place of a stored session, and returns what is left of its time.
func damage(s *kit.Site, handle string, garbage func(stored string) string) (left time.Duration) {
	s.T.Helper()
	if s.Store != nil {
		err := s.Store.Update(context.Background(), handle, func(old []byte) (driver.Entry, error) {
			return driver.Entry{Data: []byte(garbage(string(old)))}, nil
		})
		require.NoError(s.T, err)
		return 0
	}
	conn, key := s.Redis(), s.Config.Redis.Namespace+":session:"+handle
	stored, err := redis.String(conn.Do("GET", key))
	require.NoError(s.T, err)
	_, err = conn.Do("SET", key, garbage(stored), "KEEPTTL")
	require.NoError(s.T, err)
	return timeLeft(s, handle)
}

// timeLeft returns how long redis keeps a session.
func timeLeft(s *kit.Site, handle string) time.Duration {
	ms, err := redis.Int64(s.Redis().Do("PTTL", s.Config.Redis.Namespace+":session:"+handle))
	require.NoError(s.T, err)
	return time.Duration(ms) * time.Millisecond
}

// A record that cannot be decoded is reported as damage. It is an error answer, but no outage and no
// empty session, which would sign the user out unnoticed, until Logout replaces it.
func TestADamagedRecordIsReportedAndHealedByLogout(t *testing.T) {
	const hidden = "VALUE-of-somebody-9d41"
	for name, garbage := range map[string]func(string) string{
		"text":            func(string) string { return hidden },
		"one byte":        func(string) string { return "\x02" },
		"cut off":         func(stored string) string { return stored[:len(stored)-1] },
		"a byte appended": func(stored string) string { return stored + "x" },
		"another version": func(stored string) string { return "\x07" + stored[1:] },
		"another's record": func(stored string) string { // the id stands behind version, number and flags
			return stored[:10] + strings.Repeat("\x01", 16) + stored[26:]
		},
		"half a tombstone": func(string) string { return "\x00" + hidden[:11] },
	} {
		t.Run(name, func(t *testing.T) {
			for _, on := range []string{"redis", "store"} {
				t.Run(on, func(t *testing.T) {
					var log *kit.LogBook
					var events *kit.EventBook
					var failed *kit.Failures
					s := kit.NewSite(t, on, func(cfg *session.Config) {
						log, events, failed = kit.CaptureLog(cfg), kit.RecordEvents(cfg), kit.RecordFailures(cfg)
					})
					cookie := signedIn(s, "ann")
					handle := kit.Handles(t, s.Manager, "ann")[0]
					left := damage(s, handle, garbage)

					for _, do := range []func(own *session.Session){
						read, sets, (*session.Session).Regenerate, func(own *session.Session) { own.Login("ann") },
					} {
						p := s.Ask(cookie, do)
						assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
						assert.Empty(t, p.Cookies())
						assert.ErrorIs(t, failed.Last(), driver.ErrDamaged)
						assert.NotErrorIs(t, failed.Last(), session.ErrUnavailable)
						assert.NotContains(t, failed.Last().Error(), hidden)
					}
					s.Ask(cookie, func(own *session.Session) { assert.ErrorIs(t, own.Open(), driver.ErrDamaged) })
					assert.Positive(t, s.Manager.Stats().Damaged)
					assert.Zero(t, s.Manager.Stats().Unavailable)
					assert.Empty(t, events.Of(session.EventUnavailable))
					assert.NoError(t, s.Manager.Ping(t.Context()))
					assert.Contains(t, log.Text(), "damaged")
					assert.Contains(t, log.Text(), handle)
					assert.NotContains(t, log.Text(), hidden)
					if on == "redis" {
						assert.LessOrEqual(t, timeLeft(s, handle), left, "it is not kept any longer")
					}

					p := s.Ask(cookie, (*session.Session).Logout)
					assert.Equal(t, http.StatusOK, p.StatusCode)
					assert.Negative(t, lastCookie(p, s.Cookie).MaxAge)
					s.Clock.Advance(6 * time.Second)
					s.Ask(cookie, func(own *session.Session) {
						assert.NoError(t, own.Open())
						assert.True(t, own.IsNew())
					})
					s.Clock.Advance(-6 * time.Second)
					assert.Equal(t, "ann", userOf(s, signedIn(s, "ann")))
				})
			}
		})
	}
}

// A damaged record is in the list no more, and ending the user's sessions ends it too.
func TestADamagedRecordIsEndedWithAllSessionsOfItsUser(t *testing.T) {
	for _, on := range []string{"redis", "store"} {
		t.Run(on, func(t *testing.T) {
			s := kit.NewSite(t, on)
			cookie := signedIn(s, "ann")
			damage(s, kit.Handles(t, s.Manager, "ann")[0], func(string) string { return "garbage" })
			assert.Empty(t, kit.Handles(t, s.Manager, "ann"))
			require.NoError(t, s.Manager.EndAll(t.Context(), "ann"))
			assert.Equal(t, http.StatusOK, s.Ask(cookie, read).StatusCode)
			assert.Empty(t, userOf(s, cookie))
		})
	}
}

// Who may read a visitor's page decides the application, but a store that fails is neither a session
// nor none: nothing of the response leaves, no cookie is set or cleared, and the client learns nothing.
func TestAStoreFailureIsNeitherASessionNorNone(t *testing.T) {
	for _, op := range []string{"load", "save", "end"} {
		t.Run(op, func(t *testing.T) {
			var faulty *kit.FaultyDriver
			s := kit.NewSite(t, "memory", func(cfg *session.Config) {
				faulty = kit.WithFaults(t, cfg)
				cfg.StoreTimeout = 300 * time.Millisecond
			})
			s.Cookie = "s_faulty"
			cookie := s.SignIn()
			faulty.Break(op)
			p := s.Visit(cookie, func(w http.ResponseWriter, _ *http.Request, own *session.Session) {
				own.Get("user")
				own.Set("k", 1)
				if op == "end" {
					own.Destroy()
				}
				w.Header().Set("X-Page", "the handler's")
				w.Write([]byte("a page for a visitor"))
			})
			assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
			assert.Equal(t, "Service Unavailable\n", p.Body)
			assert.Empty(t, p.Cookies())

			faulty.Set(nil)
			assert.Equal(t, "ann", s.User(cookie), "the session is what it was")
		})
	}
}
