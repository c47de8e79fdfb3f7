package security_test

import (
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A sign-out with the cookie that the visitor had before the sign-in must end the session for good,
// or not at all. It must not suspend the session for the time of a tombstone.
func TestSignOutWithTheVisitorsCookieEndsTheSignedInSessionForGood(t *testing.T) {
	cfg := session.Config{Secret: session.NewSecret(), Cookie: session.CookieConfig{Revocation: "memory"}}
	m := kit.NewManager(t, cfg)
	clock := kit.SetClock(m)
	v := kit.NewVisitor(t, m)
	v.Visit(func(s *session.Session) { s.Set("cart", 1) })
	visitor := v.CookieHeader()
	v.Visit(func(s *session.Session) { s.Login("ann") })
	old := v.Stranger()
	old.Visit(func(s *session.Session) { s.Logout() }, "Cookie", visitor)
	cookies := v.CookieHeader()
	require.NotEmpty(t, cookies)
	before := ""
	v.Stranger().Visit(func(s *session.Session) { before, _ = s.User() }, "Cookie", cookies)
	clock.Advance(31 * time.Second)
	after := ""
	v.Stranger().Visit(func(s *session.Session) { after, _ = s.User() }, "Cookie", cookies)
	assert.Equal(t, before, after)
}
