package e2e_test

import (
	"net/http"
	"testing"

	"example.com/session/internal/redistest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStoreThatDoesNotRespondSignsNobodyOut(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	b := start(t, "redis", setup{redis: redis}).open(t)
	b.signIn("Ann")
	before := b.cookies()
	redis.Pause(t)
	b.provokes("503")
	assert.Equal(t, http.StatusServiceUnavailable, b.visit("/session"))
	assert.Contains(t, b.text("main"), "Nobody was signed out")
	assert.Empty(t, b.violations())
	assert.Equal(t, before, b.cookies(), "the error answer changed a cookie")
	redis.Resume(t)
	require.Equal(t, http.StatusOK, b.visit("/session"))
	assert.Equal(t, "Signed in as Ann", b.text(".name"))
}

func TestWhatWasTypedSurvivesAnOutage(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	b := start(t, "redis", setup{redis: redis}).open(t)
	b.provokes("503")
	const note, name = `Bread & "olives" <b>`, "Ann O'Hara"

	b.visit("/")
	b.addNote("from before")
	b.fill("#text", note)
	redis.Stop()
	require.Equal(t, http.StatusServiceUnavailable, b.press(".add button"))
	require.Equal(t, http.StatusServiceUnavailable, b.press("main form button"), "sent again too early")
	assert.Equal(t, note, eval[string](b, `document.querySelector("#text").value`))
	for _, l := range looks {
		b.look(l)
		assert.Empty(t, b.violations())
		b.fits("the error page")
		b.picture("redis-outage-" + l.name)
	}
	redis.Restart(t)
	require.Equal(t, http.StatusOK, b.press("main form button"))
	assert.Equal(t, []string{"from before", note}, b.notes())

	b.visit("/sign-in")
	b.fill("#name", name)
	b.click("[name=remember]")
	redis.Stop()
	require.Equal(t, http.StatusServiceUnavailable, b.press("main form button"))
	redis.Restart(t)
	require.Equal(t, http.StatusOK, b.press("main form button"))
	assert.Equal(t, "Signed in as "+name, b.text(".name"))
	assert.Contains(t, b.text(".meter .figure"), "of 30 d left", "a box that was ticked is not sent again")

	b.visit("/at-once")
	redis.Stop()
	b.click("[value=A]")
	b.awaits(inFrame("tab-a", "Please try again in a moment."))
	require.Equal(t, http.StatusServiceUnavailable, b.visit("/devices"))
	redis.Restart(t)
	require.Equal(t, http.StatusOK, b.press("main a.button"))
	assert.Equal(t, "/devices", b.path())
}
