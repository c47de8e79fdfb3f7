package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// profile opens a tab without cookies that sends another User-Agent, and signs in.
func (s *site) profile(t *testing.T, user, agent string) *tab {
	t.Helper()
	b := s.open(t)
	call(b, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: agent})
	b.signIn(user)
	require.Equal(t, "Signed in as "+user, b.text(".name"))
	return b
}

const (
	laptop = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	phone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
	tablet = "Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/604.1"
)

// endButton returns the selector of the button that signs out a device of the list, which is open.
func (b *tab) endButton(name string) string {
	b.t.Helper()
	action := eval[string](b, fmt.Sprintf(`[...document.querySelectorAll(".devices .card")]
		.find(card => card.querySelector("h2").innerText.startsWith(%q))?.querySelector("form").getAttribute("action") ?? ""`, name))
	require.NotEmpty(b.t, action, "%s is not in the list", name)
	return `[action="` + action + `"] button`
}

func TestDeviceEndedFromTheListIsSignedOutAtItsNextRequest(t *testing.T) {
	eachDriver(t, setup{}, func(t *testing.T, s *site) {
		user := "Devices of " + s.driver
		here, there, third := s.profile(t, user, laptop), s.profile(t, user, phone), s.profile(t, user, tablet)
		there.visit("/")
		there.addNote("on the phone")
		here.visit("/devices")
		assert.ElementsMatch(t, []string{"Firefox on Linux this one", "Safari on iPhone", "Safari on iPad"}, here.texts(".devices h2"))
		copied := there.cookies()

		here.press(here.endButton("Safari on iPhone"))
		assert.Contains(t, here.alert(), "The device is signed out")
		assert.ElementsMatch(t, []string{"Firefox on Linux this one", "Safari on iPad"}, here.texts(".devices h2"))
		there.press("nav a[href='/session']")
		assert.Empty(t, there.text(".name"), "the phone is still signed in")
		assert.NotContains(t, there.texts("tbody td:first-child"), "added", "the phone still shows what its session held")
		thief := s.open(t)
		thief.setCookies(copied)
		thief.visit("/session")
		assert.Empty(t, thief.text(".name"), "a copy of the phone's cookie opens a session")

		third.visit("/")
		assert.Equal(t, "Signed in as "+user, third.text(".name"), "a device that was not ended is signed out")
		here.visit("/devices")
		here.press("[action='/devices/end-others'] button")
		assert.Equal(t, "All other devices are signed out.", here.alert())
		assert.Equal(t, []string{"Firefox on Linux this one"}, here.texts(".devices h2"))
		third.reload()
		assert.Empty(t, third.text(".name"), "the tablet is still signed in")
		here.reload()
		assert.Equal(t, "Signed in as "+user, here.text(".name"), "ending the others ended this one")
	})
}

func TestHandleOfSomebodyElseEndsNothing(t *testing.T) {
	eachDriver(t, setup{}, func(t *testing.T, s *site) {
		victim := s.profile(t, "Victim on "+s.driver, laptop)
		handle := victim.text("#handle")
		require.Len(t, handle, 22)
		attacker := s.profile(t, "Attacker on "+s.driver, phone)
		attacker.visit("/devices")
		require.Len(t, attacker.texts(".devices h2"), 1, "another user's devices are in the list")
		attacker.do(chromedp.Evaluate[chromedp.Void](
			`fetch("/devices/`+handle+`/end", {method: "POST", redirect: "manual"})`, chromedp.EvalAwaitPromise))
		attacker.reload()
		assert.Equal(t, "That device was signed out already.", attacker.alert())
		victim.reload()
		assert.Equal(t, "Signed in as Victim on "+s.driver, victim.text(".name"))
	})
}

func TestDeviceEndedInAnotherProcessIsSignedOutWithinTheWindow(t *testing.T) {
	t.Parallel()
	const window = 2 // seconds
	one, two := start(t, "cookie", setup{window: window, process: 1}), start(t, "cookie", setup{window: window, process: 2})
	require.NotEqual(t, one.url, two.url)
	here, there := one.profile(t, "Ann", laptop), two.profile(t, "Ann", phone)
	there.visit("/")
	require.Equal(t, "Signed in as Ann", there.text(".name")) // from now on the second process remembers the answer
	here.visit("/devices")
	here.press(here.endButton("Safari on iPhone"))
	time.Sleep(window * time.Second)
	there.press("nav a[href='/devices']")
	assert.Empty(t, there.text(".name"), "the phone is still signed in")
	here.visit("/devices")
	assert.Equal(t, []string{"Firefox on Linux this one"}, here.texts(".devices h2"))
}
