package e2e_test

import (
	"bufio"
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

	"example.com/session/internal/process"
	"github.com/chromedp/cdproto/network"
	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// A firefox is a running browser that is driven by WebDriver BiDi, which it speaks itself.
type firefox struct {
	conn    *websocket.Conn
	process *process.Process
	profile string

	mu       sync.Mutex
	last     int                      // id of a command
	replies  map[int]chan bidiMessage // by id
	statuses map[string]int           // of documents, by navigation
	loads    map[string]chan string   // navigations that are complete, by tab
	hears    map[string]func(string)  // errors of the console, by tab
}

type bidiMessage struct {
	Type, Method, Error, Message string
	ID                           int
	Result, Params               json.RawMessage
}

// sharedFirefox is that of nearly all tests.
var sharedFirefox struct {
	once sync.Once
	*firefox
	err error
}

func firefoxBrowser(t *testing.T) *firefox {
	t.Helper()
	sharedFirefox.once.Do(func() { sharedFirefox.firefox, sharedFirefox.err = launchFirefox("") })
	require.NoError(t, sharedFirefox.err)
	return sharedFirefox.firefox
}

// launchFirefox starts a firefox with a new profile and more preferences.
func launchFirefox(preferences string) (*firefox, error) {
	path, err := lookPath("firefox-esr", "firefox")
	if err != nil {
		return nil, fmt.Errorf("e2e: firefox is not installed: apt-get install firefox-esr")
	}
	f := &firefox{
		replies: make(map[int]chan bidiMessage), statuses: make(map[string]int),
		loads: make(map[string]chan string), hears: make(map[string]func(string)),
	}
	if f.profile, err = os.MkdirTemp("", "session-e2e-firefox"); err != nil {
		return nil, err
	}
	preferences += `
user_pref("services.settings.server", "");
user_pref("app.normandy.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
`
	if err := os.WriteFile(filepath.Join(f.profile, "user.js"), []byte(preferences), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "--headless", "--no-remote", "--profile", f.profile, "--remote-debugging-port=0", "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+f.profile, "MOZ_HEADLESS=1")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if f.process, err = process.Start(cmd); err != nil {
		return nil, err
	}
	if err := f.connect(bufio.NewScanner(stderr)); err != nil {
		f.close()
		return nil, fmt.Errorf("e2e: start firefox: %w", err)
	}
	return f, nil
}

// connect finds the address in what firefox prints, and begins a session.
func (f *firefox) connect(lines *bufio.Scanner) error {
	address := make(chan string, 1)
	go func() {
		for lines.Scan() { // to the end, so that firefox can print
			if _, url, found := strings.Cut(lines.Text(), "WebDriver BiDi listening on "); found {
				address <- url
			}
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 3*stepLimit) // a first start writes a profile
	defer cancel()
	select {
	case url := <-address:
		conn, _, err := websocket.Dial(ctx, url+"/session", nil)
		if err != nil {
			return err
		}
		conn.SetReadLimit(-1)
		f.conn = conn
	case <-ctx.Done():
		return ctx.Err()
	}
	go f.listen()
	insecure := map[string]any{"alwaysMatch": map[string]any{"acceptInsecureCerts": true}}
	if err := f.call("session.new", map[string]any{"capabilities": insecure}, nil); err != nil {
		return err
	}
	events := []string{"browsingContext.load", "network.responseCompleted", "log.entryAdded"}
	return f.call("session.subscribe", map[string]any{"events": events}, nil)
}

func (f *firefox) close() {
	if f.conn != nil {
		f.conn.CloseNow()
	}
	f.process.Kill()
	os.RemoveAll(f.profile)
}

func (f *firefox) listen() {
	for {
		_, data, err := f.conn.Read(context.Background())
		if err != nil {
			return
		}
		var m bidiMessage
		if json.Unmarshal(data, &m) != nil {
			continue
		}
		if m.Type == "event" {
			f.hear(m)
			continue
		}
		f.mu.Lock()
		reply := f.replies[m.ID]
		delete(f.replies, m.ID)
		f.mu.Unlock()
		if reply != nil {
			reply <- m
		}
	}
}

func (f *firefox) hear(m bidiMessage) {
	var e struct {
		Context, Navigation, Level, Text string
		Response                         struct{ Status int }
		Source                           struct{ Context string }
	}
	if json.Unmarshal(m.Params, &e) != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch m.Method {
	case "network.responseCompleted":
		if e.Navigation != "" {
			f.statuses[e.Navigation] = e.Response.Status
		}
	case "browsingContext.load":
		if loads := f.loads[e.Context]; loads != nil {
			loads <- e.Navigation
		}
	case "log.entryAdded":
		if hear := f.hears[e.Source.Context]; hear != nil && e.Level == "error" {
			hear(e.Text)
		}
	}
}

// call sends a command, and decodes its result unless result is nil.
func (f *firefox) call(method string, params map[string]any, result any) error {
	f.mu.Lock()
	f.last++
	id, reply := f.last, make(chan bidiMessage, 1)
	f.replies[id] = reply
	f.mu.Unlock()
	data, err := json.Marshal(map[string]any{"id": id, "method": method, "params": params})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), stepLimit)
	defer cancel()
	if err := f.conn.Write(ctx, websocket.MessageText, data); err != nil {
		return err
	}
	select {
	case m := <-reply:
		if m.Type == "error" {
			return fmt.Errorf("%s: %s: %s", method, m.Error, m.Message)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(m.Result, result)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

// A firefoxPage is a page of a firefox. It has the cookies of a user context of its own.
type firefoxPage struct {
	*firefox
	id, user string
	loads    chan string
}

func (f *firefox) newPage(hear func(string)) (*firefoxPage, error) {
	var user struct{ UserContext string }
	if err := f.call("browser.createUserContext", map[string]any{}, &user); err != nil {
		return nil, err
	}
	var created struct{ Context string }
	if err := f.call("browsingContext.create", map[string]any{"type": "window", "userContext": user.UserContext}, &created); err != nil {
		return nil, err
	}
	p := &firefoxPage{f, created.Context, user.UserContext, make(chan string, 100)}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loads[p.id], f.hears[p.id] = p.loads, hear
	return p, nil
}

func (p *firefoxPage) close() {
	p.call("browser.removeUserContext", map[string]any{"userContext": p.user}, nil)
}

func (p *firefoxPage) status(navigation string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.statuses[navigation]
}

func (p *firefoxPage) navigate(url string) (int, error) {
	return p.load("browsingContext.navigate", map[string]any{"context": p.id, "url": url, "wait": "complete"})
}

func (p *firefoxPage) reload() (int, error) {
	return p.load("browsingContext.reload", map[string]any{"context": p.id, "wait": "complete"})
}

func (p *firefoxPage) load(method string, params map[string]any) (int, error) {
	var loaded struct{ Navigation string }
	err := p.call(method, params, &loaded)
	return p.status(loaded.Navigation), err
}

// press clicks on an element, and waits for the page that it leads to.
func (p *firefoxPage) press(selector string) (int, error) {
	for len(p.loads) > 0 {
		<-p.loads
	}
	if err := p.click(selector); err != nil {
		return 0, err
	}
	select {
	case navigation := <-p.loads:
		return p.status(navigation), nil
	case <-time.After(stepLimit):
		return 0, fmt.Errorf("%s leads nowhere", selector)
	}
}

func (p *firefoxPage) click(selector string) error {
	var at []int
	if err := p.evaluate(fmt.Sprintf(`(e => (e.scrollIntoView({block: "center", behavior: "instant"}),
		(r => [Math.round(r.x + r.width / 2), Math.round(r.y + r.height / 2)])(e.getBoundingClientRect())))(document.querySelector(%q))`,
		selector), &at); err != nil {
		return err
	}
	return p.call("input.performActions", map[string]any{"context": p.id, "actions": []any{map[string]any{
		"type": "pointer", "id": "mouse", "actions": []any{
			map[string]any{"type": "pointerMove", "x": at[0], "y": at[1]},
			map[string]any{"type": "pointerDown", "button": 0},
			map[string]any{"type": "pointerUp", "button": 0},
		},
	}}}, nil)
}

func (p *firefoxPage) back() error {
	return p.call("browsingContext.traverseHistory", map[string]any{"context": p.id, "delta": -1}, nil)
}

// evaluate evaluates an expression, waits if it is a promise, and decodes its value.
func (p *firefoxPage) evaluate(expression string, into any) error {
	var evaluated struct {
		Type             string
		Result           struct{ Value string }
		ExceptionDetails struct{ Text string }
	}
	if err := p.call("script.evaluate", map[string]any{
		"expression":   "(async () => JSON.stringify(await (" + expression + ")) ?? 'null')()",
		"target":       map[string]any{"context": p.id},
		"awaitPromise": true,
	}, &evaluated); err != nil {
		return err
	}
	if evaluated.Type != "success" {
		return fmt.Errorf("evaluate %s: %s", expression, evaluated.ExceptionDetails.Text)
	}
	return json.Unmarshal([]byte(evaluated.Result.Value), into)
}

func (p *firefoxPage) cookies() (all []*network.Cookie, err error) {
	var stored struct {
		Cookies []struct {
			Name, Domain, Path, SameSite string
			Value                        struct{ Value string }
			HTTPOnly, Secure             bool
			Expiry                       *int64
		}
	}
	err = p.call("storage.getCookies", map[string]any{"partition": map[string]any{"type": "storageKey", "userContext": p.user}}, &stored)
	for _, c := range stored.Cookies {
		all = append(all, &network.Cookie{
			Name: c.Name, Value: c.Value.Value, Domain: c.Domain, Path: c.Path, HTTPOnly: c.HTTPOnly, Secure: c.Secure,
			Session: c.Expiry == nil, SameSite: network.CookieSameSite(strings.ToUpper(c.SameSite[:1]) + c.SameSite[1:]),
		})
	}
	return all, err
}
