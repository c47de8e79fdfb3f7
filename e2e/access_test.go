package e2e_test

import (
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// keys presses keys, wherever the focus is.
func (b *tab) keys(keys string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(keys))
}

// focus names the element that has the focus.
func (b *tab) focus() string {
	b.t.Helper()
	return eval[string](b, `(e => e.getAttribute("aria-label") ?? e.id ?? "")(document.activeElement)
		|| document.activeElement.innerText.trim()`)
}

func TestEverythingCanBeDoneWithTheKeyboard(t *testing.T) {
	t.Parallel()
	b := start(t, "memory", setup{}).open(t)
	b.visit("/")
	b.keys(kb.Tab)
	require.Equal(t, "Skip to content", b.focus())
	assert.GreaterOrEqual(t, eval[float64](b, `document.activeElement.getBoundingClientRect().top`), 0.0, "the skip link is out of sight")
	b.keys(kb.Enter)
	b.keys(kb.Tab)
	require.Equal(t, "text", b.focus(), "the skip link does not lead past the navigation")
	b.keys("By keyboard")
	b.arrive(chromedp.KeyEvent(kb.Enter))
	require.Equal(t, []string{"By keyboard"}, b.notes())

	seen := map[string]bool{}
	for range 20 {
		b.keys(kb.Tab)
		name := b.focus()
		if seen[name] {
			break
		}
		seen[name] = true
		assert.Equal(t, "solid 2px", eval[string](b,
			`(s => s.outlineStyle + " " + s.outlineWidth)(getComputedStyle(document.activeElement))`), "no focus ring on %q", name)
		if name == "Delete: By keyboard" {
			break
		}
	}
	for _, name := range []string{"Sign in", "Notes", "On the wire", "text", "Add", "Done: By keyboard", "Delete: By keyboard"} {
		assert.True(t, seen[name], "%q cannot be reached: %v", name, seen)
	}
	b.arrive(chromedp.KeyEvent(kb.Enter))
	assert.Equal(t, "Note deleted.", b.alert())
	assert.Empty(t, b.notes())
}

func TestDemoWorksWithoutJavaScript(t *testing.T) {
	eachDriver(t, setup{}, func(t *testing.T, s *site) {
		b := s.open(t)
		call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		b.visit("/")
		b.addNote("no script")
		assert.Equal(t, "Note added.", b.alert())
		b.press(".check")
		b.press(".notes .plain")
		assert.Equal(t, "Note deleted.", b.alert())
		b.flash("warning", "between")
		b.awaits(`location.pathname == "/flash/landing" && document.readyState == "complete"`) // the path changes before the page is loaded
		assert.Contains(t, b.alert(), "warning")
		assert.NotContains(t, b.texts("tbody td:first-child"), "GET /flash/poll", "scripts run after all")
		b.signIn("Ann")
		assert.Equal(t, "Signed in as Ann.", b.alert())
		b.visit("/at-once")
		b.do(chromedp.Click(chromedp.CSS("[value=A]")))
		b.awaits(inFrame("tab-a", "It added one"))
		b.press(".who button")
		assert.Contains(t, b.alert(), "Signed out.")
	})
}
