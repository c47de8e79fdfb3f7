package security_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/suites/kit"
)

// A token that was replaced opens nothing at once. Only a request that was under way is told that
// its session is another one's by now.
func TestARegeneratedTokenOpensNothingAtOnce(t *testing.T) {
	kit.OnServers(t, func(t *testing.T, s *kit.Site) {
		before := s.Token(s.Ask("", func(own *session.Session) { own.Set("cart", 1) }))
		after := s.Token(s.Ask(before, func(own *session.Session) {
			own.Regenerate()
			own.Set("user", "ann")
		}))
		assert.NotEqual(t, before, after)
		assert.Equal(t, "ann", s.User(after))
		s.Ask(before, func(own *session.Session) {
			assert.Empty(t, own.All())
			assert.NoError(t, own.Open())
			assert.ErrorIs(t, own.Err(), session.ErrEnded)
		})
		s.Clock.Advance(6 * time.Second)
		s.Ask(before, func(own *session.Session) {
			assert.Empty(t, own.All())
			assert.NoError(t, own.Err(), "a later request is a visitor's")
			assert.True(t, own.IsNew())
		})
	})
}

// A token is replaced also if nothing else changed, and if the user stays the same.
func TestRegenerateAloneReplacesTheToken(t *testing.T) {
	kit.OnServers(t, func(t *testing.T, s *kit.Site) {
		first := s.SignIn()
		second := s.Token(s.Ask(first, func(own *session.Session) { own.Regenerate() }))
		third := s.Token(s.Ask(second, func(own *session.Session) { own.Regenerate(); own.Set("user", "ann") }))
		assert.NotEqual(t, first, second)
		assert.NotEqual(t, second, third)
		assert.Equal(t, "ann", s.User(third))
		assert.Empty(t, s.User(second))
	})
}

// A sealed cookie gets a new secret too. With Revocation the old one opens nothing.
func TestARegeneratedSealedCookieOpensNothingWithRevocation(t *testing.T) {
	s := kit.NewSite(t, "cookie", func(cfg *session.Config) { cfg.Cookie.Revocation = "memory" })
	before := signedIn(s, "ann")
	after := s.Token(s.Ask(before, (*session.Session).Regenerate))
	assert.Equal(t, "ann", userOf(s, after))
	assert.Empty(t, userOf(s, before))
	s.Clock.Advance(6 * time.Second)
	s.Ask(before, func(own *session.Session) { assert.True(t, own.IsNew()) })
}

// A sign-out wins over a replacement that it could not know of, whichever way it was replaced: by
// Regenerate, Remember or Login. Nobody must stay signed in who was told otherwise.
func TestASignOutWithAReplacedTokenEndsTheSession(t *testing.T) {
	for name, replace := range map[string]func(own *session.Session){
		"regenerate": (*session.Session).Regenerate,
		"remember":   func(own *session.Session) { own.Remember(time.Hour) },
		"login":      func(own *session.Session) { own.Login("ann") },
	} {
		for when, later := range map[string]time.Duration{"under way": 0, "within the hour": 59 * time.Minute} {
			t.Run(name+", "+when, func(t *testing.T) {
				kit.OnServers(t, func(t *testing.T, s *kit.Site) {
					old := signedIn(s, "ann")
					var replaced string
					p := s.Ask(old, func(slow *session.Session) {
						user, _ := slow.User()
						require.Equal(t, "ann", user)
						replaced = s.Token(beside(s, old, replace))
						if later == 0 {
							slow.Logout()
						}
					})
					if later > 0 {
						s.Clock.Advance(later)
						p = s.Ask(old, (*session.Session).Logout)
					}
					require.NotNil(t, p.Cookie(s.Cookie))
					assert.Negative(t, p.Cookie(s.Cookie).MaxAge)
					assert.Empty(t, userOf(s, replaced))
					assert.Empty(t, kit.Handles(t, s.Manager, "ann"))
				}, func(cfg *session.Config) { cfg.IdleTimeout = 2 * time.Hour })
			})
		}
	}
}

// A token that was stolen must not outlive its replacement by being under way: neither by a Regenerate
// nor by a sign-in, if its session was somebody's already.
func TestAStolenTokenDoesNotOutliveItsReplacement(t *testing.T) {
	replacements := map[string]func(own *session.Session){
		"regenerate": (*session.Session).Regenerate,
		"login":      func(own *session.Session) { own.Login("ann") },
		"remember":   func(own *session.Session) { own.Remember(2 * time.Hour) },
	}
	for what, thief := range replacements {
		for by, owner := range replacements {
			t.Run(what+" beside "+by, func(t *testing.T) {
				kit.OnServers(t, func(t *testing.T, s *kit.Site) {
					stolen := signedIn(s, "ann")
					var current string
					p := s.Ask(stolen, func(own *session.Session) {
						user, _ := own.User()
						require.Equal(t, "ann", user)
						current = s.Token(beside(s, stolen, owner))
						own.Set("k", "of the thief")
						thief(own)
						assert.ErrorIs(t, own.Save(), session.ErrEnded)
					})
					assert.Empty(t, p.Cookies())
					s.Ask(current, func(own *session.Session) {
						user, _ := own.User()
						assert.Equal(t, "ann", user)
						assert.Empty(t, own.All())
					})
					assert.Len(t, kit.Handles(t, s.Manager, "ann"), 1)
				})
			})
		}
	}
}

// The same for a visitor's token that is planted: it must not follow the user into the sign-in.
func TestAVisitorsTokenDoesNotFollowASignIn(t *testing.T) {
	for name, do := range map[string]func(own *session.Session){
		"regenerate": (*session.Session).Regenerate,
		"remember":   func(own *session.Session) { own.Remember(2 * time.Hour) },
		"a write":    func(own *session.Session) { own.Set("k", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnServers(t, func(t *testing.T, s *kit.Site) {
				planted := s.Token(s.Ask("", func(own *session.Session) { own.Set("cart", 1) }))
				var current string
				p := s.Ask(planted, func(own *session.Session) {
					require.Equal(t, 1, own.Get("cart"))
					current = s.Token(beside(s, planted, func(other *session.Session) { other.Login("ann") }))
					do(own)
				})
				assert.Empty(t, p.Cookies())
				assert.EqualValues(t, 1, s.Manager.Stats().Dropped)
				assert.Equal(t, "ann", userOf(s, current))
			})
		})
	}
}

// A secret that was forgotten ends nothing: the cookie is cleared, and the event says that it is
// unknown.
func TestASignOutWithAForgottenTokenEndsNothing(t *testing.T) {
	var events *kit.EventBook
	kit.OnServers(t, func(t *testing.T, s *kit.Site) {
		old := signedIn(s, "ann")
		current := s.Token(s.Ask(old, (*session.Session).Regenerate))
		s.Clock.Advance(time.Hour + time.Second)
		current = s.Token(s.Ask(current, (*session.Session).Regenerate)) // forgets what is older than an hour
		p := s.Ask(old, (*session.Session).Logout)
		assert.Negative(t, p.Cookie(s.Cookie).MaxAge)
		assert.Equal(t, "ann", userOf(s, current))
		assert.Empty(t, events.Of(session.EventEnded))
		assert.Len(t, events.Of(session.EventUnknown), 1)
	}, func(cfg *session.Config) {
		cfg.IdleTimeout = 2 * time.Hour
		events = kit.RecordEvents(cfg)
	})
}

// The four secrets that were replaced last are remembered, and not more.
func TestOfManyReplacedTokensTheLastFourEndTheSession(t *testing.T) {
	for back, ends := range map[int]bool{1: true, 4: true, 5: false} {
		s := kit.NewSite(t, "memory")
		all := []string{signedIn(s, "ann")}
		for range 5 {
			all = append(all, s.Token(s.Ask(all[len(all)-1], (*session.Session).Regenerate)))
		}
		last := len(all) - 1
		s.Ask(all[last-back], (*session.Session).Logout)
		assert.Equal(t, ends, userOf(s, all[last]) == "", "the token %d before", back)
	}
}

// Whoever kept a token from before a Regenerate or a Destroy cannot use it, write with it, or begin
// a session under it, at once or later.
func TestAReplayedTokenIsNeverRevivedOrAdopted(t *testing.T) {
	for name, end := range map[string]func(own *session.Session){
		"regenerate": (*session.Session).Regenerate,
		"destroy":    (*session.Session).Destroy,
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnServers(t, func(t *testing.T, s *kit.Site) {
				old := s.SignIn()
				live := s.Ask(old, end).Cookie(s.Cookie)
				size := s.Stored()
				replay := func(own *session.Session) {
					assert.Empty(t, own.All())
					own.Set("user", "eve")
				}
				p := s.Ask(old, replay)
				assert.Empty(t, p.Cookies(), "it was under way when the session ended")
				assert.Equal(t, size, s.Stored())
				if name == "regenerate" {
					assert.Equal(t, "ann", s.User(s.Cookie+"="+live.Value))
				}
				for _, later := range []time.Duration{6 * time.Second, driver.Tombstone, time.Minute} {
					s.Clock.Advance(later)
					issued := s.Token(s.Ask(old, replay))
					assert.NotEqual(t, rawToken(t, kit.ValueOf(old))[:idBytes], rawToken(t, kit.ValueOf(issued))[:idBytes])
					assert.Empty(t, s.User(old))
					assert.Equal(t, "eve", s.User(issued))
				}
			})
		})
	}
}
