package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSignInChangesTheCookieAndTheOldOneDoesNotOpenTheSession(t *testing.T) {
	eachDriver(t, setup{}, func(t *testing.T, s *site) {
		b := s.open(t)
		b.visit("/")
		b.addNote("from before")
		before := b.cookies()
		b.signIn("Ann")
		require.Equal(t, "/session", b.path())
		assert.Equal(t, "Signed in as Ann.", b.alert())
		assert.Equal(t, "Signed in as Ann", b.text(".name"))
		proof, opened := "opens nothing any more", []string{}
		if s.driver == "cookie" { // the cookie itself holds what the visitor had
			proof, opened = "opens only what the visitor had then", []string{"from before"}
		}
		assert.Contains(t, b.text(".proof"), proof)
		assert.NotEqual(t, before[s.cookie()].Value, b.cookies()[s.cookie()].Value)
		b.visit("/")
		b.addNote("from after")
		assert.Equal(t, []string{"from before", "from after"}, b.notes(), "the sign-in lost data")

		thief := s.open(t)
		thief.setCookies(before)
		thief.visit("/")
		assert.Equal(t, opened, thief.notes(), "the token from before the sign-in still opens the session")
		assert.Empty(t, thief.text(".name"))
	})
}

func TestSignOutEndsTheSessionForEveryTabAndCopy(t *testing.T) {
	eachDriver(t, setup{}, func(t *testing.T, s *site) {
		b := s.open(t)
		b.signIn("Ann")
		second := b.another()
		second.visit("/session")
		require.Equal(t, "Signed in as Ann", second.text(".name"))
		copied := b.cookies()

		b.press(".who button")
		assert.Contains(t, b.alert(), "Signed out.")
		assert.Empty(t, b.text(".name"))
		second.reload()
		assert.Empty(t, second.text(".name"), "the other tab is still signed in")

		thief := s.open(t)
		thief.setCookies(copied)
		thief.visit("/session")
		assert.Empty(t, thief.text(".name"), "a copy of the cookie still opens the session")
	})
}

func TestBackButtonAfterSignOutShowsNothingOfTheSession(t *testing.T) {
	eachDriver(t, setup{}, func(t *testing.T, s *site) {
		b := s.open(t)
		b.signIn("Ann")
		require.Equal(t, "/session", b.path())
		b.press(".who button")
		require.Contains(t, b.alert(), "Signed out.")
		b.back()
		require.Equal(t, "/session", b.path())
		assert.Empty(t, b.text(".name"), "the page of the ended session is shown again")
		assert.NotContains(t, b.texts("tbody td:first-child"), "remembered")
	})
}

func TestRememberedSessionLastsThirtyDays(t *testing.T) {
	eachDriver(t, setup{}, func(t *testing.T, s *site) {
		b := s.open(t)
		b.signIn("Ann")
		b.expectLifetime(s, 24*time.Hour)
		b.press(".who button")
		b.visit("/sign-in")
		b.fill("#name", "Ann")
		b.do(chromedp.Click(chromedp.CSS("[name=remember]")))
		b.press("main form button")
		assert.Contains(t, b.text(".meter .figure"), "of 30 d left")
		b.expectLifetime(s, 30*24*time.Hour)
	})
}

// expectLifetime checks how long the browser keeps the session's cookie.
func (b *tab) expectLifetime(s *site, lifetime time.Duration) {
	b.t.Helper()
	expires := time.Unix(int64(b.cookies()[s.cookie()].Expires), 0)
	assert.WithinDuration(b.t, time.Now().Add(lifetime), expires, time.Minute)
}

func TestPanelShowsTheSessionAsItIs(t *testing.T) {
	eachDriver(t, setup{}, func(t *testing.T, s *site) {
		b := s.open(t)
		b.visit("/session")
		assert.Contains(t, b.text(".empty"), "This browser has no session.")
		b.visit("/")
		b.addNote("counted")
		b.visit("/session")
		facts := b.texts(".facts dd")
		require.Len(t, facts, 4)
		assert.Equal(t, []string{"Chrome on Linux", s.driver}, facts[:2])
		assert.Len(t, b.text("#handle"), 22)
		bars := b.texts(".meter .figure")
		require.Len(t, bars, 3)
		assert.Regexp(t, `^(24 h|23 h 59 min) of 24 h left$`, bars[0])
		assert.Equal(t, "1 h of 1 h left", bars[1])
		name, limit := s.cookie(), 4096
		if s.driver == "cookie" {
			name, limit = b.dataCookie(), 3500
		}
		size := len(name) + len(b.cookies()[name].Value)
		assert.Contains(t, bars[2], fmt.Sprintf("%d of %d bytes used", size, limit))
		assert.Contains(t, b.texts("tbody td:first-child"), "added")

		width := `(at => {
			const bar = document.querySelectorAll(".bar")[1]
			bar.setCurrentTime(at)
			return bar.querySelector(".fill").width.animVal.value / bar.getBoundingClientRect().width
		})`
		for _, at := range []struct{ seconds, left float64 }{{0, 1}, {1800, .5}, {3500, .04}, {3601, 0}} {
			assert.InDelta(t, at.left, eval[float64](b, width+"("+ftoa(at.seconds)+")"), .03, "the bar after %v s of an hour", at.seconds)
		}
	})
}

func TestPageWhoseBarsFallRests(t *testing.T) {
	t.Parallel()
	b := start(t, "memory", setup{}).open(t)
	b.signIn("Ann")
	require.NotZero(t, eval[int](b, `document.querySelectorAll(".fill > *").length`), "no bar falls")
	call(b, performance.Enable, performance.EnableParams{})
	layouts := func() float64 {
		for _, m := range call(b, performance.GetMetrics, cdp.Empty{}).Metrics {
			if m.Name == "LayoutCount" {
				return m.Value
			}
		}
		require.Fail(t, "the browser does not count layouts")
		return 0
	}
	begun := layouts()
	time.Sleep(time.Second)
	assert.Less(t, layouts()-begun, 5.0, "layouts in one second of a page that stands still")
}

func TestNewTokenAndClearedDataLeaveASessionThatWorks(t *testing.T) {
	eachDriver(t, setup{}, func(t *testing.T, s *site) {
		b := s.open(t)
		b.signIn("Ann")
		b.visit("/")
		b.addNote("to be cleared")
		b.visit("/session")
		handle := b.text("#handle")
		copied := b.cookies()
		b.press("[action$=regenerate] button")
		assert.Equal(t, "The session has a new token.", b.alert())
		assert.Contains(t, b.text(".proof"), "opens nothing any more")
		thief := s.open(t)
		thief.setCookies(copied)
		thief.visit("/")
		assert.Empty(t, thief.notes(), "the replaced token still opens the session")
		b.reload()
		assert.Equal(t, handle, b.text("#handle"), "a new token is not a new session")
		b.press("[action$=reset] button")
		b.reload()
		assert.Equal(t, handle, b.text("#handle"), "the session itself goes on")
		assert.Equal(t, "Signed in as Ann", b.text(".name"))
		assert.Equal(t, "The session is empty.", b.text(".empty"))
	})
}

func TestOtherDriverForOneCallLeavesTemplatesOnTheDefault(t *testing.T) {
	eachDriver(t, setup{}, func(t *testing.T, s *site) {
		other := "cookie"
		if s.driver == "cookie" {
			other = "memory"
		}
		b := s.open(t)
		b.visit("/drivers")
		b.press("[action='/drivers/" + other + "'] button")
		assert.Equal(t, "Counted to 1 with the "+other+" driver.", b.alert(), "the message is the default driver's")
		assert.Equal(t, "0", b.text("#default-count"), "the template asks another driver")
		b.press("[action='/drivers/" + s.driver + "'] button")
		b.press("[action='/drivers/" + s.driver + "'] button")
		assert.Equal(t, "2", b.text("#default-count"))
		cookies := b.cookies()
		assert.Contains(t, cookies, "s_"+other)
		assert.Contains(t, cookies, "s_"+s.driver)
	})
}
