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

// Whoever has a copy of a visitor's cookies, or planted them, signs in from it and stays signed in. The other
// one can sign in too, however often the secret was replaced meanwhile, with the data of its own cookies.
func TestACopyOfAVisitorsCookiesKeepsNobodyFromSigningIn(t *testing.T) {
	for _, user := range []string{"ann", "bob"} {
		m := kit.NewManager(t, session.Config{Secret: session.NewSecret(), Cookie: session.CookieConfig{Revocation: "memory"}})
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { s.Set("cart", 1) })
		visitor := v.CookieHeader()
		v.Visit(func(s *session.Session) { s.Login("ann"); s.Set("cart", 2) })
		for range 5 { // the last four replaced secrets are remembered
			v.Visit((*session.Session).Regenerate)
		}
		other := v.Stranger()
		other.Visit(func(s *session.Session) { s.Login(user); require.NoError(t, s.Save()) }, "Cookie", visitor)
		for who, want := range map[*kit.Visitor]string{v: "ann", other: user} {
			who.Visit(func(s *session.Session) {
				signedIn, _ := s.User()
				assert.Equal(t, want, signedIn)
				assert.Equal(t, who == v, s.GetInt("cart") == 2)
			})
		}
	}
}
