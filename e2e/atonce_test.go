package e2e_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTwoTabsThatAddAtOnceLoseNothing(t *testing.T) {
	eachDriver(t, setup{}, func(t *testing.T, s *site) {
		first := s.open(t)
		first.visit("/")
		first.addNote("from before")
		second := first.another()
		first.visit("/at-once")
		second.visit("/at-once")
		first.with("[target=tab-a]", "seconds=4")
		second.with("[target=tab-b]", "seconds=4")
		first.do(chromedp.Click(chromedp.CSS("[value=A]")))
		second.do(chromedp.Click(chromedp.CSS("[value=B]")))
		first.awaits(inFrame("tab-a", "Notes that tab A saw when it began: 1. It added one."))
		second.awaits(inFrame("tab-b", "Notes that tab B saw when it began: 1. It added one."))

		first.visit("/")
		notes := first.notes()
		if s.driver == "cookie" { // the last response wins, as README says
			assert.Len(t, notes, 2)
			return
		}
		slices.Sort(notes)
		assert.Equal(t, []string{"From tab A", "From tab B", "from before"}, notes)
		assert.Contains(t, first.text("main"), "3 added in this session")
	})
}

// inFrame returns an expression that is true when a frame of the page shows a text.
func inFrame(name, text string) string {
	return `document.querySelector("[name=` + name + `]").contentDocument.body?.innerText.includes("` + text + `")`
}

// with adds a parameter to what a form sends, such as a longer time for a busy machine.
func (b *tab) with(form, parameter string) {
	b.t.Helper()
	eval[string](b, fmt.Sprintf("document.querySelector(%q).action += %q", form, "?"+parameter))
}

func TestStreamStoresTheSessionWhileItsPageIsBeingSent(t *testing.T) {
	eachDriver(t, setup{}, func(t *testing.T, s *site) {
		b := s.open(t)
		b.visit("/at-once")
		b.with("[target=stream]", "lines=15")
		b.do(chromedp.Click(chromedp.CSS("[target=stream] button")))
		if s.driver == "cookie" {
			b.awaits(inFrame("stream", "nothing more can be stored"))
			return
		}
		b.awaits(inFrame("stream", "Step 1 is stored"))
		require.False(t, eval[bool](b, inFrame("stream", "The end")), "the page came in one piece")
		second := b.another()
		second.visit("/session")
		assert.Contains(t, second.texts("tbody td:first-child"), "stream.step", "not stored before the end")
		b.awaits(inFrame("stream", "Step 15 is stored"))
		b.awaits(inFrame("stream", "The end"))
	})
}

func TestStreamStopsWhenTheSessionEndsInAnotherTab(t *testing.T) {
	eachDriver(t, setup{}, func(t *testing.T, s *site) {
		if s.driver == "cookie" {
			return // it cannot store after the header: see the test above
		}
		b := s.open(t)
		b.signIn("Ann")
		second := b.another()
		second.visit("/")
		b.visit("/at-once")
		b.with("[target=stream]", "lines=60")
		b.do(chromedp.Click(chromedp.CSS("[target=stream] button")))
		b.awaits(inFrame("stream", "Step 1 is stored"))
		second.press(".who button")
		b.awaits(inFrame("stream", "Another tab ended the session"))
		assert.False(t, eval[bool](b, inFrame("stream", "Step 60")))
	})
}
