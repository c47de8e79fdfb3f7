package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"example.com/session/internal/suites/kit"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The scripts of htmx and Turbo fetch pages, follow redirects and prefetch links. The tests below use
// the applications of examples/frameworks in a browser.

// frameworks are the programs that were built, by name.
var frameworks struct {
	mu    sync.Mutex
	paths map[string]string
}

// openFramework runs an application whose flags name scripts in node_modules, and opens a tab.
func openFramework(t *testing.T, name string, scripts map[string]string) *tab {
	t.Helper()
	require.NoError(t, npmInstall())
	files := http.FileServer(http.Dir("node_modules"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*") // a module of another origin needs it
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	var args []string
	for flag, path := range scripts {
		args = append(args, "-"+flag, server.URL+"/"+path)
	}
	p := kit.StartProgram(t, buildFramework(t, name), args...)
	return newTab(t, browser(t), p.URL(), chromedp.WithNewBrowserContext())
}

func buildFramework(t *testing.T, name string) string {
	t.Helper()
	frameworks.mu.Lock()
	defer frameworks.mu.Unlock()
	if path := frameworks.paths[name]; path != "" {
		return path
	}
	if frameworks.paths == nil {
		frameworks.paths = make(map[string]string)
	}
	path := filepath.Join(filepath.Dir(demo.path), name)
	require.NoError(t, kit.Build(filepath.Join("..", "examples", "frameworks", name), path, buildFlags[1:]...))
	frameworks.paths[name] = path
	return path
}

// messages are those that the page shows.
func (b *tab) messages() []string {
	b.t.Helper()
	return b.texts(".message")
}

// waitsFor waits until a page at a path shows a message, or none.
func (b *tab) waitsFor(path, message string) {
	b.t.Helper()
	b.awaits(`location.pathname == "` + path + `" && document.querySelector("h1")?.innerText == "` + path +
		`" && (document.querySelector(".message")?.innerText ?? "") == "` + message + `"`)
}

// later makes the server store a message without a page.
func (b *tab) later() {
	b.t.Helper()
	b.click("#quiet")
	b.awaits(fetched("/quiet"))
}

// fetched is an expression: whether the page has got an answer from a path. The browser lists one whose
// body nobody has read, such as that of Turbo's prefetch, only later, so Turbo is asked too.
func fetched(path string) string {
	return `performance.getEntriesByType("resource").some(e => e.name.endsWith("` + path + `") && e.responseEnd > 0) ||
		(window.answered ?? []).some(url => url.endsWith("` + path + `"))`
}

// prefetch moves the mouse over a link until the script has fetched its page. It moves more than once,
// because the end of a request before may cancel what a script is about to prefetch.
func (b *tab) prefetch(selector, path string) {
	b.t.Helper()
	at := eval[[]float64](b, `(r => [r.x + r.width / 2, r.y + r.height / 2])(document.querySelector("`+selector+`").getBoundingClientRect())`)
	move := func(x, y float64) {
		call(b, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMouseMoved, X: x, Y: y})
	}
	for end := time.Now().Add(stepLimit); ; {
		move(1, 1)
		move(at[0], at[1])
		for range 50 { // a script waits 100 ms before it fetches
			if eval[bool](b, fetched(path)) {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		require.True(b.t, time.Now().Before(end), "%s was not prefetched", path)
	}
}

// eachHtmx runs a test with htmx 2 and htmx 4.
func eachHtmx(t *testing.T, test func(t *testing.T, b *tab, version int)) {
	t.Helper()
	t.Parallel()
	for name, htmx := range map[string]struct {
		version int
		scripts map[string]string
	}{
		"htmx2": {2, map[string]string{"htmx": "htmx2/dist/htmx.min.js", "preload": "htmx-ext-preload/preload.js"}},
		"htmx4": {4, map[string]string{"htmx": "htmx.org/dist/htmx.min.js", "preload": "htmx.org/dist/ext/hx-preload.min.js"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := openFramework(t, "htmx", htmx.scripts)
			b.visit("/")
			test(t, b, htmx.version)
		})
	}
}

func TestHtmxShowsTheMessageOfABoostedFormOnce(t *testing.T) {
	eachHtmx(t, func(t *testing.T, b *tab, _ int) {
		b.click("form button")
		b.waitsFor("/", "You are signed in.")
		b.click("#other")
		b.waitsFor("/other", "")
		b.click("#home")
		b.waitsFor("/", "")
	})
}

func TestHtmxShowsTheMessageAfterHXRedirectOnce(t *testing.T) {
	eachHtmx(t, func(t *testing.T, b *tab, _ int) {
		b.click("#redirect")
		b.waitsFor("/other", "You were redirected.")
		b.reload()
		assert.Empty(t, b.messages())
	})
}

func TestHtmxFragmentThatReadsTheMessageShowsItOnce(t *testing.T) {
	eachHtmx(t, func(t *testing.T, b *tab, _ int) {
		b.later()
		b.click("#fragment")
		b.awaits(`document.querySelector("#here").innerText.trim() == "Done meanwhile."`)
		b.click("#fragment")
		b.awaits(`document.querySelector("#here").innerText.trim() == ""`)
		b.reload()
		assert.Empty(t, b.messages())
	})
}

func TestHtmxShellLeavesTheMessageToItsFragment(t *testing.T) {
	eachHtmx(t, func(t *testing.T, b *tab, _ int) {
		b.later()
		b.visit("/shell")
		b.waitsFor("/shell", "Done meanwhile.")
		b.visit("/shell")
		b.awaits(fetched("/message"))
		b.awaits(`document.querySelector(".message") == null`)
		b.visit("/")
		assert.Empty(t, b.messages(), "the message stays for ever")
	})
}

// htmx 4 sends a preload without any mark, so it counts as a visit. It shows the preloaded page, too.
func TestHtmxPreloadLosesNoMessage(t *testing.T) {
	eachHtmx(t, func(t *testing.T, b *tab, version int) {
		b.later()
		b.prefetch("#other", "/other")
		if version == 4 {
			b.click("#other")
			b.waitsFor("/other", "Done meanwhile.")
		} else {
			b.visit("/")
			b.waitsFor("/", "Done meanwhile.")
		}
		b.reload()
		assert.Empty(t, b.messages())
	})
}

func openTurbo(t *testing.T) *tab {
	t.Helper()
	t.Parallel()
	b := openFramework(t, "turbo", map[string]string{"turbo": "@hotwired/turbo/dist/turbo.es2017-esm.js"})
	b.visit("/")
	b.awaits("window.Turbo?.session.started")
	eval[bool](b, `window.answered = [], document.addEventListener("turbo:before-fetch-response",
		e => answered.push(e.detail.fetchResponse.response.url)), true`)
	return b
}

// follow follows a link without the mouse. Turbo prefetches a page when the mouse has been over its link for
// 100 ms, and on a busy machine it is that long.
func (b *tab) follow(link string) {
	b.t.Helper()
	eval[bool](b, "document.querySelector("+strconv.Quote(link)+").click(), true")
}

func TestTurboShowsTheMessageOfAVisitOnce(t *testing.T) {
	b := openTurbo(t)
	b.click("form button")
	b.waitsFor("/", "You are signed in.")
	b.follow("#other")
	b.waitsFor("/other", "")
	b.follow("#home")
	b.waitsFor("/", "")
}

func TestTurboShowsAFormThatFailsAndItsMessageOnce(t *testing.T) {
	b := openTurbo(t)
	b.provokes("422")
	b.later()
	eval[bool](b, `document.querySelector("[name=user]").value = "", true`)
	b.click("form button")
	b.awaits(`document.querySelector(".message")?.innerText == "Say who you are."`)
	b.follow("#other")
	b.waitsFor("/other", "Done meanwhile.")
	b.follow("#home")
	b.waitsFor("/", "")
}

func TestTurboFrameThatReadsTheMessageShowsItOnce(t *testing.T) {
	b := openTurbo(t)
	b.later()
	b.follow("#in-frame")
	b.awaits(`document.querySelector("#frame .message")?.innerText == "Done meanwhile."`)
	b.visit("/other")
	assert.Empty(t, b.messages())
}

func TestTurboShellLeavesTheMessageToItsFrame(t *testing.T) {
	b := openTurbo(t)
	b.later()
	b.visit("/shell")
	b.awaits(`document.querySelector("#frame .message")?.innerText == "Done meanwhile."`)
	b.visit("/")
	assert.Empty(t, b.messages(), "the message stays for ever")
}

func TestTurboPrefetchLeavesTheMessageToAnotherPage(t *testing.T) {
	b := openTurbo(t)
	b.later()
	b.prefetch("#other", "/other")
	b.visit("/")
	b.waitsFor("/", "Done meanwhile.")
	b.reload()
	assert.Empty(t, b.messages())
}

// Turbo shows the prefetched page and does not ask again, whatever Cache-Control says. So the
// application leaves the message out of it.
func TestTurboPageThatWasPrefetchedShowsNoMessageTwice(t *testing.T) {
	b := openTurbo(t)
	b.later()
	b.prefetch("#other", "/other")
	b.click("#other")
	b.awaits(`location.pathname == "/other" && document.querySelector("h1")?.innerText == "/other"`)
	shown := len(b.messages())
	b.visit("/")
	shown += len(b.messages())
	b.visit("/other")
	shown += len(b.messages())
	assert.Equal(t, 1, shown)
}
