package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stepLimit is how long one step in the browser may take, on a machine that is busy.
const stepLimit = 30 * time.Second

// shared is the browser of nearly all tests. Each test has its own browser context, with its own
// cookies and cache.
var shared struct {
	once  sync.Once
	ctx   context.Context
	close context.CancelFunc
	err   error
}

func browser(t *testing.T) context.Context {
	t.Helper()
	shared.once.Do(func() { shared.ctx, shared.close, shared.err = launch("") })
	require.NoError(t, shared.err)
	return shared.ctx
}

func closeBrowsers() {
	if shared.close != nil {
		shared.close()
	}
	if sharedFirefox.firefox != nil {
		sharedFirefox.close()
	}
}

// launch starts a chromium with a profile in dir, or in a new directory that is removed with it. If it
// needs no profile, it is Debian's headless shell: the same engine, which takes a third of the processor
// time for a page.
func launch(dir string) (context.Context, context.CancelFunc, error) {
	names := []string{"chromium", "chromium-browser", "google-chrome"}
	if dir == "" {
		names = append([]string{"chromium-headless-shell"}, names...)
	}
	path, err := lookPath(names...)
	if err != nil {
		return nil, nil, fmt.Errorf("e2e: chromium is not installed: apt-get install chromium chromium-headless-shell")
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.WindowSize(1280, 900),
	}
	if dir != "" {
		options = append(options, chromedp.UserDataDir(dir))
	}
	for _, name := range []string{
		"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync",
		"disable-dev-shm-usage", "disable-background-timer-throttling", "disable-renderer-backgrounding",
		"disable-backgrounding-occluded-windows", "no-default-browser-check",
	} {
		options = append(options, chromedp.Flag(name, true))
	}
	options = append(options, chromedp.Flag("host-resolver-rules", "MAP *."+parentDomain+" 127.0.0.1"))
	// Without a renderer in reserve and one for each site, a page takes a quarter less of a processor.
	options = append(options, chromedp.Flag("disable-features", "SpareRendererForSitePerProcess,IsolateOrigins,site-per-process"))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	if err := chromedp.Do(ctx); err != nil {
		cancel()
		stop()
		return nil, nil, fmt.Errorf("e2e: start chromium: %w", err)
	}
	return ctx, func() { cancel(); stop() }, nil
}

// lookPath finds the first of the programs that is installed.
func lookPath(names ...string) (path string, err error) {
	for _, name := range names {
		if path, err = exec.LookPath(name); err == nil {
			break
		}
	}
	return path, err
}

// A tab is a page of a browser. What it writes to the console as an error fails the test.
type tab struct {
	t   *testing.T
	ctx context.Context // of chromium
	fox *firefoxPage    // nil for chromium
	url string

	mu     sync.Mutex
	errors []string // of the console
	knows  []string // parts of errors that the test provokes
}

// eachBrowser is eachDriver with a tab that has no cookies, and on the driver with most cookies also in
// firefox: what differs between browsers does not depend on where sessions are kept.
func eachBrowser(t *testing.T, how setup, test func(t *testing.T, s *site, b *tab)) {
	t.Helper()
	eachDriver(t, how, func(t *testing.T, s *site) {
		t.Run("chromium", func(t *testing.T) { test(t, s, s.open(t)) })
		if s.driver == "cookie" {
			t.Run("firefox", func(t *testing.T) { test(t, s, newFirefoxTab(t, firefoxBrowser(t), s.url)) })
		}
	})
}

func newFirefoxTab(t *testing.T, f *firefox, url string) *tab {
	t.Helper()
	b := &tab{t: t, url: url}
	var err error
	b.fox, err = f.newPage(b.hearError)
	require.NoError(t, err)
	t.Cleanup(b.fox.close)
	t.Cleanup(func() { assert.Empty(t, b.complaints(), "the console has errors") })
	return b
}

// open opens a tab with no cookies.
func (s *site) open(t *testing.T) *tab {
	t.Helper()
	return newTab(t, browser(t), s.url, chromedp.WithNewBrowserContext())
}

// another opens a second tab that shares the cookies of the first.
func (b *tab) another() *tab {
	b.t.Helper()
	return newTab(b.t, b.ctx, b.url)
}

func newTab(t *testing.T, parent context.Context, url string, options ...chromedp.ContextOption) *tab {
	t.Helper()
	b := &tab{t: t, url: url}
	ctx, cancel := chromedp.NewContext(parent, append(options, chromedp.WithListener(b.hear))...)
	b.ctx = ctx
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx))
	t.Cleanup(func() { assert.Empty(t, b.complaints(), "the console has errors") })
	return b
}

// hear collects the errors of the console.
func (b *tab) hear(event any) {
	text := ""
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "assert" {
			data, _ := json.Marshal(e.Args)
			text = string(data)
		}
	case *runtime.EventExceptionThrown:
		text = e.ExceptionDetails.Text
	case *log.EventEntryAdded:
		if e.Entry.Level == "error" {
			text = e.Entry.Text + " " + e.Entry.URL
		}
	}
	if text != "" {
		b.hearError(text)
	}
}

func (b *tab) hearError(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.errors = append(b.errors, text)
}

// provokes allows errors with this text on the console.
func (b *tab) provokes(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.knows = append(b.knows, text)
}

func (b *tab) complaints() (unexpected []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
next:
	for _, text := range b.errors {
		for _, known := range b.knows {
			if strings.Contains(text, known) {
				continue next
			}
		}
		unexpected = append(unexpected, text)
	}
	return unexpected
}

// do takes steps, all of them within stepLimit.
func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepLimit)
	defer cancel()
	require.NoError(b.t, chromedp.Do(ctx, steps...))
}

// ask takes one step that returns something.
func ask[T any](b *tab, step chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepLimit)
	defer cancel()
	answer, err := chromedp.Run(ctx, step)
	require.NoError(b.t, err)
	return answer
}

// call sends a command of the browser's protocol.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	return ask(b, func(ctx context.Context, target *chromedp.Target) (R, error) {
		return cdp.Call(ctx, target, command, params)
	})
}

// eval evaluates an expression in the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	if b.fox != nil {
		var value T
		require.NoError(b.t, b.fox.evaluate(expression, &value))
		return value
	}
	return ask(b, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// visit goes to a path and returns the status of the page that it ends at.
func (b *tab) visit(path string) int {
	b.t.Helper()
	if b.fox != nil {
		return b.arrived(b.fox.navigate(b.url + path))
	}
	return b.arrive(chromedp.Navigate(b.url + path))
}

// press clicks on what leads to another page, and returns the status of that page.
func (b *tab) press(selector string) int {
	b.t.Helper()
	if b.fox != nil {
		return b.arrived(b.fox.press(selector))
	}
	return b.arrive(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

func (b *tab) reload() int {
	b.t.Helper()
	if b.fox != nil {
		return b.arrived(b.fox.reload())
	}
	return b.arrive(chromedp.Reload())
}

func (b *tab) arrived(status int, err error) int {
	b.t.Helper()
	require.NoError(b.t, err)
	return status
}

// click clicks on an element, and does not wait for anything.
func (b *tab) click(selector string) {
	b.t.Helper()
	if b.fox != nil {
		require.NoError(b.t, b.fox.click(selector))
		return
	}
	b.do(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// back goes back in the browser's history. The page may come from the browser's memory, so back
// does not wait for a response.
func (b *tab) back() {
	b.t.Helper()
	if b.fox != nil {
		from := b.path()
		require.NoError(b.t, b.fox.back())
		b.awaits(fmt.Sprintf(`location.pathname != %q && document.readyState == "complete"`, from))
		return
	}
	history := call(b, page.GetNavigationHistory, cdp.Empty{})
	require.Positive(b.t, history.CurrentIndex, "there is no way back")
	to := history.Entries[history.CurrentIndex-1].ID
	call(b, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: to})
	b.until("the way back", func(ctx context.Context, target *chromedp.Target) (bool, error) {
		now, err := cdp.Call(ctx, target, page.GetNavigationHistory, cdp.Empty{})
		return err == nil && now.Entries[now.CurrentIndex].ID == to, err
	})
	b.awaits(`document.readyState == "complete"`)
}

// arrive takes steps that lead to another page, and waits for it.
func (b *tab) arrive(steps ...chromedp.Action[chromedp.Void]) int {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepLimit)
	defer cancel()
	response, err := chromedp.RunResponse(ctx, steps...)
	require.NoError(b.t, err)
	if response == nil {
		return 0 // it came from the browser's memory
	}
	return int(response.Status)
}

// fill replaces the text of a field.
func (b *tab) fill(selector, text string) {
	b.t.Helper()
	eval[bool](b, fmt.Sprintf(`(e => (e.focus(), e.select(), true))(document.querySelector(%q))`, selector))
	if b.fox != nil {
		require.True(b.t, eval[bool](b, fmt.Sprintf(`document.execCommand("insertText", false, %q)`, text)))
		return
	}
	call(b, input.InsertText, input.InsertTextParams{Text: text})
}

// text is the visible text of the first element that the selector finds, "" if there is none.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf(`(document.querySelector(%q)?.innerText ?? "").replace(/\s+/g, " ").trim()`, selector))
}

// texts is text for all elements that the selector finds.
func (b *tab) texts(selector string) []string {
	b.t.Helper()
	return eval[[]string](b, fmt.Sprintf(`[...document.querySelectorAll(%q)].map(e => e.innerText.trim())`, selector))
}

func (b *tab) path() string {
	b.t.Helper()
	return eval[string](b, "location.pathname")
}

// awaits waits until an expression is true in the page, whichever page it is by then.
func (b *tab) awaits(expression string) {
	b.t.Helper()
	if b.fox != nil {
		holds := false
		b.retry(expression, func() (bool, error) {
			err := b.fox.evaluate("!!("+expression+")", &holds)
			return holds, err
		})
		return
	}
	b.until(expression, chromedp.Evaluate[bool]("!!("+expression+")"))
}

// until waits until a condition holds. Errors are ignored, because one page may just be replaced by
// another.
func (b *tab) until(what string, holds chromedp.Action[bool]) {
	b.t.Helper()
	b.retry(what, func() (bool, error) {
		ctx, cancel := context.WithTimeout(b.ctx, stepLimit)
		defer cancel()
		return chromedp.Run(ctx, holds)
	})
}

func (b *tab) retry(what string, holds func() (bool, error)) {
	b.t.Helper()
	for deadline := time.Now().Add(stepLimit); ; {
		yes, err := holds()
		if yes && err == nil {
			return
		}
		require.True(b.t, time.Now().Before(deadline), "waited in vain for %s: %v", what, err)
		time.Sleep(20 * time.Millisecond)
	}
}

// addNote adds a note with the form of the first page, which is open.
func (b *tab) addNote(text string) int {
	b.t.Helper()
	b.fill("#text", text)
	return b.press(".add button")
}

// notes lists the notes of the first page, which is open.
func (b *tab) notes() []string {
	b.t.Helper()
	return b.texts(".notes .text")
}

// alert is the flash message that the page shows, "" if there is none.
func (b *tab) alert() string {
	b.t.Helper()
	return b.text(".alert")
}

// flash chooses a message and a route to it, and sends the form.
func (b *tab) flash(kind, way string) {
	b.t.Helper()
	b.chooses(kind, way)
	b.press("main form button")
}

func (b *tab) chooses(kind, way string) {
	b.t.Helper()
	b.visit("/flash")
	b.click("[value=" + kind + "]")
	b.click("[value=" + way + "]")
}

func (b *tab) signIn(name string) {
	b.t.Helper()
	b.visit("/sign-in")
	b.fill("#name", name)
	b.press("main form button")
}

// cookies are all that the browser has stored, by name.
func (b *tab) cookies() map[string]*network.Cookie {
	b.t.Helper()
	cookies := make(map[string]*network.Cookie)
	if b.fox != nil {
		all, err := b.fox.cookies()
		require.NoError(b.t, err)
		for _, c := range all {
			cookies[c.Name] = c
		}
		return cookies
	}
	in := chromedp.FromContext(b.ctx)
	stored, err := cdp.Call(b.ctx, in.Browser, storage.GetCookies, storage.GetCookiesParams{BrowserContextID: in.BrowserContextID})
	require.NoError(b.t, err)
	for _, c := range stored.Cookies {
		cookies[c.Name] = c
	}
	return cookies
}

// setCookies puts copies of cookies into the browser, for the site.
func (b *tab) setCookies(copied map[string]*network.Cookie) {
	b.t.Helper()
	for _, c := range copied {
		call(b, network.SetCookie, network.SetCookieParams{Name: c.Name, Value: c.Value, URL: b.url + "/"})
	}
}

// screenshots is the directory of the pictures.
const screenshots = "screenshots"

func (b *tab) picture(name string) {
	b.t.Helper()
	data := ask(b, chromedp.FullScreenshot(100))
	require.NoError(b.t, os.MkdirAll(screenshots, 0o755))
	require.NoError(b.t, os.WriteFile(filepath.Join(screenshots, name+".png"), data, 0o644))
}
