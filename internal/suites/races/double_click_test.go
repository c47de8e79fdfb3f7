package races_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Both requests are in the password check at the same time. The browser keeps the last response.
func TestDoubleClickOnSignInKeepsTheCart(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, s *service) {
		for range 20 {
			token := s.begin()
			user := "ann " + token[:8]
			var answers [2]*httptest.ResponseRecorder
			var both, passwordCheck sync.WaitGroup
			passwordCheck.Add(2)
			for i := range answers {
				both.Go(func() {
					answers[i] = s.ask(token, func(own *session.Session) {
						own.Open()
						passwordCheck.Done()
						passwordCheck.Wait()
						own.Login(user)
					})
				})
			}
			both.Wait()
			assertDoubleClick(t, s, user, answers[:])
		}
	})
}

func TestSecondClickASecondLaterKeepsTheCart(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, s *service) {
		clock := kit.SetClock(s.manager)
		token := s.begin()
		var answers []*httptest.ResponseRecorder
		for range 2 {
			answers = append(answers, s.ask(token, func(own *session.Session) { own.Login("ann") }))
			clock.Advance(time.Second)
		}
		assertDoubleClick(t, s, "ann", answers)
	})
}

func assertDoubleClick(t *testing.T, s *service, user string, answers []*httptest.ResponseRecorder) {
	t.Helper()
	for _, answer := range answers {
		require.Equal(t, http.StatusOK, answer.Code)
		p := s.open(s.token(answer))
		require.Equal(t, user, p.user, "whichever response comes last, its cookie is signed in")
		require.True(t, p.cart, "the cart is lost")
	}
	require.Equal(t, 1, s.sessions(user), "entries in the list of devices")
}

func TestSignOutUnderWayWinsOverARegenerate(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, s *service) {
		token, fresh := s.signIn("ann"), ""
		answer := s.ask(token, func(own *session.Session) {
			own.Open()
			fresh = s.token(s.ask(token, (*session.Session).Regenerate))
			own.Logout()
		})
		require.NotEmpty(t, fresh)
		assert.Equal(t, http.StatusOK, answer.Code)
		assert.Empty(t, s.open(fresh).user)
		assert.Empty(t, s.open(token).user)
		assert.Zero(t, s.sessions("ann"))
	})
}

// A third click joins too, though another tab has replaced the token of the first two meanwhile.
func TestSignInJoinsASessionWhoseTokenIsReplacedAgain(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, s *service) {
		token := s.begin()
		first := s.token(s.ask(token, func(own *session.Session) { own.Login("ann") }))
		answer := s.ask(token, func(own *session.Session) {
			own.Open()
			assert.NotEmpty(t, s.token(s.ask(first, func(other *session.Session) { other.Login("ann") })))
			own.Login("ann")
		})
		p := s.open(s.token(answer))
		assert.Equal(t, "ann", p.user)
		assert.True(t, p.cart)
		assert.Equal(t, 1, s.sessions("ann"))
	})
}

// If the session of the user before cannot be ended, the sign-in fails, and the next attempt of the
// same request ends it.
func TestSignInOfAnotherUserEndsTheSessionBeforeEvenAfterAFault(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start = signedIn
	for _, f := range []fault{refused, lost} {
		d := newMapDriver()
		w.reset(t, [2]indexedDriver{d, d}, []spec{{who: browser, op: "login", user: "V", save: true}})
		w.choose = func(n int) int { return n - 1 } // the fault, if one is possible
		failed := false
		w.faultsOf = func(op *operation) []fault {
			if op.name != "End" || failed {
				return nil
			}
			failed = true
			return []fault{f}
		}
		w.play()
		q := w.requests[0]
		assert.Error(t, q.saveErr)
		assert.Equal(t, http.StatusOK, q.status())
		token, _ := q.cookie()
		assert.Equal(t, "V", w.open(token).user)
		assert.Empty(t, w.open(w.token).user)
		w.check()
		assert.Empty(t, w.problems)
	}
}
