package e2e_test

import (
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scrolls reports whether an element scrolls sideways, with a shade on the side where there is more.
func (b *tab) scrolls(selector string) bool {
	b.t.Helper()
	return eval[bool](b, `(e => e.scrollWidth > e.clientWidth && getComputedStyle(e).overflowX == "auto" &&
		getComputedStyle(e).backgroundAttachment.startsWith("local"))(document.querySelector("`+selector+`"))`)
}

func TestPhoneScrollsTheNavigationAndThePictureSideways(t *testing.T) {
	t.Parallel()
	b := start(t, "memory", setup{}).open(t)
	b.look(looks[2])
	b.visit("/")
	b.addNote("drawn")
	b.visit("/wire")
	assert.Equal(t, 1, eval[int](b, `new Set([...document.querySelectorAll("nav a")].map(e => e.offsetTop)).size`), "rows of links")
	assert.True(t, b.scrolls("nav ul"))
	for _, path := range []string{"/wire", "/"} { // the page itself, and a link that was scrolled out of sight
		assert.True(t, eval[bool](b, `(e => (e.focus(), e = e.getBoundingClientRect(), e.left >= 0 && e.right <= innerWidth))(
			document.querySelector("nav a[href='`+path+`']"))`), "the link to %s is out of sight", path)
	}
	assert.True(t, b.scrolls("figure.wire"))
	hint := `document.querySelector(".hint").checkVisibility()`
	assert.True(t, eval[bool](b, hint))

	b.look(looks[0])
	assert.False(t, b.scrolls("nav ul"))
	assert.False(t, b.scrolls("figure.wire"))
	assert.False(t, eval[bool](b, hint), "the picture is not wider than this screen")
}

func TestTimesAreThoseOfTheVisitorsClock(t *testing.T) {
	t.Parallel()
	b := start(t, "memory", setup{}).open(t)
	call(b, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Asia/Kolkata"})
	call(b, emulation.SetLocaleOverride, emulation.SetLocaleOverrideParams{Locale: "en-GB"})
	b.signIn("Ann in India")
	for _, page := range []string{"/session", "/devices"} {
		b.visit(page)
		first, err := time.Parse(time.RFC3339, eval[string](b, `document.querySelector("main time").dateTime`))
		require.NoError(t, err)
		assert.WithinDuration(t, time.Now(), first, stepLimit)
		india := first.In(time.FixedZone("", 5*3600+1800))
		assert.Equal(t, india.Format("2 January 2006 at 15:04"), b.text("main time"), page)
	}
	assert.Equal(t, "Chrome on Linux this one", b.text(".devices h2"))

	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.reload()
	assert.Regexp(t, `^\d{1,2} \w+ \d{4}, \d\d:\d\d UTC$`, b.text("main time"), "without scripts")
}
