package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A look is a screen that the pages are shown on.
type look struct {
	name          string
	scheme        string
	width, height int64
	mobile        bool
}

var looks = []look{
	{name: "light", scheme: "light", width: 1280, height: 860},
	{name: "dark", scheme: "dark", width: 1280, height: 860},
	{name: "phone", scheme: "light", width: 390, height: 844, mobile: true},
}

func (b *tab) look(l look) {
	b.t.Helper()
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}},
	})
	size := chromedp.EmulateViewport(l.width, l.height)
	if l.mobile {
		size = chromedp.EmulateViewport(l.width, l.height, chromedp.EmulateMobile, chromedp.EmulateScale(2))
	}
	b.do(size)
}

// narrowest is the screen that pages must fit without scrolling in two directions: WCAG 2.2, 1.4.10.
var narrowest = look{scheme: "light", width: 320, height: 640, mobile: true}

// fits checks that the page does not scroll sideways. Parts of it may.
func (b *tab) fits(where string) {
	b.t.Helper()
	assert.True(b.t, eval[bool](b, "document.documentElement.scrollWidth <= document.documentElement.clientWidth"),
		"%s is wider than its window", where)
}

// A scene is a page in a certain state, and how to reach it.
type scene struct {
	name  string
	reach func(b *tab)
}

var scenes = []scene{
	{"notes-empty", func(b *tab) { b.visit("/") }},
	{"notes", func(b *tab) {
		b.visit("/")
		for _, text := range []string{"Water the plants", "Return the library books before Friday", "Call Ann about the trip"} {
			b.addNote(text)
		}
		b.press(".notes li:nth-child(2) .check")
		b.addNote("Bread, olives, lemons")
	}},
	{"notes-refused", func(b *tab) {
		b.visit("/")
		b.fill("#text", strings.Repeat("too long ", 25))
		b.press(".add button")
	}},
	{"flash", func(b *tab) { b.visit("/flash") }},
	{"flash-between", func(b *tab) {
		b.visit("/flash/between")
		b.do(chromedp.Stop()) // else the next page follows in a second
	}},
	{"flash-landing", func(b *tab) {
		b.flash("warning", "between")
		b.awaits(`location.pathname == "/flash/landing" && document.readyState == "complete"`)
	}},
	{"sign-in", func(b *tab) { b.visit("/sign-in") }},
	{"session", func(b *tab) { b.signIn("Ann Example") }},
	{"devices-visitor", func(b *tab) {
		b.press(".who button")
		b.visit("/devices")
	}},
	{"devices", func(b *tab) {
		b.signIn("Ann Example")
		other := newTab(b.t, browser(b.t), b.url, chromedp.WithNewBrowserContext())
		call(other, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: phone})
		other.signIn("Ann Example")
		b.visit("/devices")
	}},
	{"drivers", func(b *tab) {
		b.visit("/drivers")
		b.press(".tiles li:nth-child(2) button")
	}},
	{"at-once", func(b *tab) {
		b.visit("/at-once")
		b.do(chromedp.Click(chromedp.CSS("[value=A]")), chromedp.Click(chromedp.CSS("[target=stream] button")))
		b.awaits(inFrame("tab-a", "It added one"))
		b.awaits(inFrame("stream", "The end"))
	}},
	{"frame", func(b *tab) { b.visit("/at-once/idle") }},
	{"wire", func(b *tab) {
		b.visit("/")
		b.addNote("Look at the wire")
		b.visit("/wire")
	}},
	{"not-found", func(b *tab) {
		b.provokes("404")
		b.visit("/no-such-page")
	}},
}

// worded are the scenes whose words depend on the driver.
var worded = map[string]bool{"session": true, "drivers": true, "at-once": true, "wire": true}

func TestPagesLookRightAndAreAccessible(t *testing.T) {
	eachDriver(t, setup{}, func(t *testing.T, s *site) {
		looks, scenes := looks, scenes
		if s.driver != "memory" { // what differs between the drivers is words on a few pages, not the style
			looks = looks[:1]
			scenes = slices.DeleteFunc(slices.Clone(scenes), func(s scene) bool { return !worded[s.name] })
		}
		b := s.open(t)
		for _, scene := range scenes {
			b.look(looks[0])
			scene.reach(b)
			for _, l := range looks {
				b.look(l)
				where := scene.name + "-" + l.name
				assert.Empty(t, b.violations(), where)
				b.fits(where)
				b.picture(s.driver + "-" + where)
			}
			b.look(narrowest)
			b.fits(scene.name + " on the narrowest screen")
		}
	})
}

// violations returns the serious and the critical violations that axe-core finds.
func (b *tab) violations() (found []string) {
	b.t.Helper()
	type violation struct{ ID, Impact, Help, Target string }
	b.do(chromedp.Evaluate[chromedp.Void](axe(b.t)))
	all := eval[[]violation](b, `axe.run(document, {iframes: false, resultTypes: ["violations"]}).then(r =>
		r.violations.map(v => ({id: v.id, impact: v.impact, help: v.help, target: v.nodes.map(n => n.target + ": " + n.failureSummary).join("; ")})))`)
	for _, v := range all {
		if v.Impact == "serious" || v.Impact == "critical" {
			found = append(found, fmt.Sprintf("%s (%s): %s: %s", v.ID, v.Impact, v.Help, v.Target))
		}
	}
	return found
}

// axe returns the source of axe-core.
var axe = func() func(t *testing.T) string {
	source := sync.OnceValues(func() ([]byte, error) {
		return os.ReadFile(filepath.Join("node_modules", "axe-core", "axe.min.js"))
	})
	return func(t *testing.T) string {
		t.Helper()
		require.NoError(t, npmInstall())
		text, err := source()
		require.NoError(t, err)
		return string(text)
	}
}()
