package outage_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

// allowGets lets GET requests do without a session.
func allowGets(cfg *session.Config) {
	cfg.AllowAnonymous = func(r *http.Request) bool { return r.Method == http.MethodGet }
}

func TestAllowedPageGoesOnWithoutASession(t *testing.T) {
	site := newSite(t, allowGets)
	site.faults.Break()
	p := site.Get("/user")
	assert.Equal(t, http.StatusOK, p.StatusCode)
	assert.Empty(t, p.Body, "her name is not known now")
	assert.Empty(t, p.Header["Set-Cookie"], "she stays signed in")
	assert.Equal(t, "private, no-cache", p.Header.Get("Cache-Control"))
	assert.Equal(t, http.StatusServiceUnavailable, site.Do(http.MethodPost, "/user").StatusCode, "not an allowed page")

	site.faults.Mend()
	assert.Equal(t, "ann", site.Get("/user").Body)
}

func TestWhatAnAllowedPageSetsIsLostAndOverwritesNothing(t *testing.T) {
	site := newSite(t, allowGets)
	assert.Equal(t, "1", site.Get("/count").Body)
	site.faults.Break("load")
	p := site.Get("/count")
	assert.Equal(t, http.StatusOK, p.StatusCode)
	assert.Equal(t, "1", p.Body, "it counts in an empty session")
	site.Get("/flash")
	site.faults.Mend()
	assert.Equal(t, "2", site.Get("/count").Body)
	assert.Equal(t, "ann", site.Get("/user").Body)
}

func TestHandlerOfAnAllowedPageCanTellThatTheStoreIsDown(t *testing.T) {
	cfg := kit.DriverConfig(t, "memory")
	allowGets(&cfg)
	faults := kit.WithFaults(t, &cfg)
	v := kit.NewVisitor(t, kit.NewManager(t, cfg))
	v.Visit(func(s *session.Session) { s.Set("user", "ann") })
	faults.Break()
	p := v.Visit(func(s *session.Session) {
		assert.Nil(t, s.Get("user"))
		assert.ErrorIs(t, s.Err(), session.ErrUnavailable)
		assert.ErrorIs(t, s.Open(), session.ErrUnavailable)
		s.Set("key", 1)
		assert.ErrorIs(t, s.Save(), session.ErrUnavailable)
	})
	assert.Equal(t, http.StatusOK, p.StatusCode)
}

// Nothing has to be loaded for a new visitor: only the save fails, after the handler has run.
func TestAllowedPageServesNewVisitorsToo(t *testing.T) {
	for _, path := range []string{"/count", "/flash", "/save"} {
		site := newSite(t, allowGets)
		site.faults.Break()
		visitor := site.Another()
		p := visitor.Get(path)
		assert.Less(t, p.StatusCode, 400, path)
		assert.Empty(t, p.Header["Set-Cookie"], path)
		assert.Equal(t, http.StatusServiceUnavailable, visitor.Do(http.MethodPost, path).StatusCode, path)
		site.faults.Mend()
		assert.Equal(t, "1", visitor.Get("/count").Body, path)
	}
}

// The handler has shown what the session held, so its change may not be lost silently.
func TestAllowedPageFailsIfALoadedSessionIsNotStored(t *testing.T) {
	site := newSite(t, allowGets)
	site.faults.Break("save")
	assert.Equal(t, http.StatusServiceUnavailable, site.Get("/count").StatusCode)
	assert.Equal(t, "ann", site.Get("/user").Body)
}

// A sign-out that did not happen must not look like one.
func TestSignOutInAnOutageIsRefused(t *testing.T) {
	for name, change := range map[string]func(cfg *session.Config){"refused": nil, "allowed": allowGets} {
		t.Run(name, func(t *testing.T) {
			site := newSite(t, change)
			site.faults.Break()
			p := site.Get("/logout")
			assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
			assert.NotContains(t, p.Body, "signed out")
			assert.Empty(t, p.Header["Set-Cookie"])
			site.faults.Mend()
			assert.Equal(t, "ann", site.Get("/user").Body)
			assert.Equal(t, "signed out", site.Get("/logout").Body)
			assert.Empty(t, site.Get("/user").Body)
		})
	}
}

// The hint says that flash is pending. A page that does not use its session opens it to let the flash
// expire, and must not fail because of that.
func TestPendingFlashFailsNoPageThatUsesNoSession(t *testing.T) {
	for _, op := range []string{"load", "save"} {
		site := newSite(t, nil)
		site.Get("/flash")
		site.faults.Break(op)
		for range 2 {
			p := site.Get("/plain")
			assert.Equal(t, http.StatusOK, p.StatusCode, op)
			assert.Equal(t, "plain", p.Body, op)
			assert.Empty(t, p.Header["Set-Cookie"], "%s: the flash is still pending", op)
		}
		assert.Equal(t, []string{outageBegins}, outages(site.log), op)
		site.faults.Mend()
		assert.NotNil(t, site.Get("/count").Cookie("s_faulty_f"), "%s: the flash expires after the outage", op)
	}
}

func TestPendingFlashIsNotAskedForInAnOutage(t *testing.T) {
	site := newSite(t, nil)
	site.Get("/flash")
	site.faults.Break()
	site.Get("/user")
	site.faults.Set(func(_ context.Context, op string) error {
		t.Errorf("%s: the page waits for a store that is known to be down", op)
		return kit.ErrDown
	})
	assert.Equal(t, "plain", site.Get("/plain").Body)
}
