package session_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

func TestRegenerateKeepsDataAndEndsTheOldToken(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		clock := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		before := v.Visit(func(s *session.Session) { s.Set("k", 1); s.Flash("note", "n") }).Cookie("s_" + cfg.Default)
		after := v.Serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			s.Set("user", "ann")
			s.Regenerate()
			w.WriteHeader(http.StatusSeeOther)
		}).Cookie("s_" + cfg.Default)
		require.NotNil(t, after)
		assert.NotEqual(t, before.Value, after.Value)

		clock.Advance(6 * time.Second) // no request with the old token is under way any more
		if cfg.Default != "cookie" {   // a copied cookie opens until it expires
			v.Stranger().Visit(func(s *session.Session) {
				assert.True(t, s.IsNew())
				assert.Empty(t, s.All())
			}, "Cookie", before.Name+"="+before.Value)
		}
		v.Visit(func(s *session.Session) {
			assert.Equal(t, map[string]any{"k": 1, "user": "ann", "note": "n"}, s.All())
		})
	})
}

func TestDestroyEndsTheSessionAndClearsTheCookie(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		clock := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		live := v.Visit(func(s *session.Session) { s.Set("k", 1); s.Flash("note", "n") })
		gone := v.Visit(func(s *session.Session) {
			s.Destroy()
			assert.Empty(t, s.All())
			assert.NoError(t, s.Err())
		})

		name := "s_" + cfg.Default
		for _, n := range []string{name, name + "_f"} {
			set, cleared := live.Cookie(n), gone.Cookie(n)
			require.NotNil(t, cleared, n)
			assert.Equal(t, -1, cleared.MaxAge)
			assert.Empty(t, cleared.Value)
			assert.Equal(t, set.Path, cleared.Path)
			assert.Equal(t, set.HttpOnly, cleared.HttpOnly)
			assert.Equal(t, set.SameSite, cleared.SameSite)
		}
		assert.Empty(t, v.CookieHeader())
		clock.Advance(6 * time.Second)
		v.Stranger().Visit(func(s *session.Session) { assert.True(t, s.IsNew()) },
			"Cookie", name+"="+live.Cookie(name).Value)
	})
}

// A request that was under way when the session ended learns that. A later one counts as one without a cookie.
func TestRequestUnderWayLearnsThatItsSessionEnded(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		clock := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { s.Set("k", 1) })
		old := v.CookieHeader()
		v.Visit(func(s *session.Session) { s.Destroy() })
		clock.Advance(5*time.Second - time.Millisecond)
		p := v.Stranger().Visit(func(s *session.Session) {
			assert.Empty(t, s.All())
			assert.NoError(t, s.Open(), "it is an empty session")
			assert.ErrorIs(t, s.Err(), session.ErrEnded)
			assert.ErrorIs(t, s.Err(), session.ErrNoSession)
			s.Set("k", 2)
			assert.ErrorIs(t, s.Save(), session.ErrNoSession)
		}, "Cookie", old)
		assert.Equal(t, http.StatusOK, p.StatusCode)
		assert.Empty(t, p.Header["Set-Cookie"], "a dropped change sends no cookie")

		clock.Advance(time.Millisecond)
		p = v.Stranger().Visit(func(s *session.Session) {
			assert.NoError(t, s.Open())
			s.Set("k", 2)
		}, "Cookie", old)
		assert.NotNil(t, p.Cookie("s_"+cfg.Default))
	})
}

func TestWhatIsSetAfterDestroyStartsANewSession(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		name := "s_" + cfg.Default
		first := v.Visit(func(s *session.Session) { s.Set("old", 1) }).Cookie(name)
		second := v.Visit(func(s *session.Session) { s.Destroy(); s.Set("new", 2) }).Cookie(name)
		require.NotNil(t, second)
		assert.NotEqual(t, first.Value, second.Value)
		v.Visit(func(s *session.Session) { assert.Equal(t, map[string]any{"new": 2}, s.All()) })
	})
}

func TestDestroyWithoutASessionSendsNothing(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		p := kit.NewVisitor(t, kit.NewManager(t, cfg)).Visit(func(s *session.Session) { s.Destroy() })
		assert.Empty(t, p.Header["Set-Cookie"])
	})
}
