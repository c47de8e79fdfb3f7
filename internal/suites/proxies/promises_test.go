package proxies_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/session/internal/suites/kit"
	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
)

// promises are what must work behind each proxy. They report faults to a collector, which is a test
// or, for a configuration that lacks something, the proof that the test would fail.
var promises = map[string]func(f assert.TestingT, b *kit.Browser, app *shop){
	"sign-in": signsInAndOut, "flash": showsFlashOnce, "claims": replacesClaims, "events": passesEventsAtOnce,
	"WebSocket": passesWebSocket, "cookies": passesLargestCookies, "ranges": answersConditionsAndRanges,
	"hints": passesEarlyHints,
}

func TestEverythingWorksBehindEachProxy(t *testing.T) {
	t.Parallel()
	for name := range proxies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := newShop(t)
			s := newSite(t, name, app.handler())
			for promise, holds := range promises {
				if promise == "hints" && withoutHints[name] {
					f := new(faults)
					holds(f, s.browser(t), app)
					assert.NotEmpty(t, f.texts, "docs/proxies.md says that hints do not work")
					continue
				}
				t.Run(promise, func(t *testing.T) { holds(t, s.browser(t), app) })
			}
		})
	}
}

// withoutHints are the proxies that lose a page that follows Early Hints.
var withoutHints = map[string]bool{"nginx": true, "varnish": true}

func TestEachLineOfAConfigurationHasAReason(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ proxy, without, instead, promise string }{
		{"nginx", "proxy_set_header   Host              $http_host;", "", "sign-in"},
		{"nginx", "proxy_set_header   X-Forwarded-Proto $scheme;", "", "claims"},
		{"nginx", "proxy_set_header   X-Forwarded-For   $remote_addr;", "", "claims"},
		{"nginx", "proxy_set_header   Upgrade           $http_upgrade;", "", "WebSocket"},
		{"nginx", "proxy_set_header   Connection        $connection_upgrade;", "", "WebSocket"},
		{"nginx", "proxy_buffer_size       16k;", "", "cookies"},
		{"nginx", "proxy_cache_convert_head off;", "", "flash"},
		{"haproxy", "http-request set-header X-Forwarded-Proto https", "", "claims"},
		{"haproxy", "http-request set-header X-Forwarded-For   %[src]", "", "claims"},
		{"apache", " upgrade=websocket", "", "WebSocket"},
		{"apache", "ProxyPreserveHost On", "", "sign-in"},
		{"apache", "ProxyAddHeaders   Off", "", "claims"},
		{"apache", "RequestHeader set X-Forwarded-Proto https", "", "claims"},
		{"apache", "RequestHeader set X-Forwarded-For   expr=%{REMOTE_ADDR}", "", "claims"},
		{"caddy", "reverse_proxy 127.0.0.1:8080", "reverse_proxy 127.0.0.1:8080 {\n\t\theader_up Host app\n\t}", "sign-in"},
		{"varnish", "set req.http.X-Forwarded-For = client.ip;", "", "claims"},
		{"varnish", "return (pipe);", "", "WebSocket"},
		{"varnish", "set bereq.http.Upgrade = req.http.Upgrade;", "", "WebSocket"},
		{"varnish", `set bereq.http.Connection = "upgrade";`, "", "WebSocket"},
		{"varnish", `req.method != "GET" || `, `req.method == "POST" || `, "flash"},
	} {
		t.Run(test.proxy+"/"+test.without, func(t *testing.T) {
			t.Parallel()
			app, f := newShop(t), new(faults)
			promises[test.promise](f, newSite(t, test.proxy, app.handler(), test.without, test.instead).browser(t), app)
			assert.NotEmpty(t, f.texts, "the promise holds without this")
		})
	}
}

// A check by nginx before each page leaves the message for the page.
func TestAnAuthRequestLeavesTheMessage(t *testing.T) {
	t.Parallel()
	b := newSite(t, "nginx", newShop(t).handler(), "    location / {", "    location = /signin { proxy_pass http://shop; proxy_set_header Host $http_host; }\n"+
		"    location = /signed-in { internal; proxy_pass http://shop; proxy_pass_request_body off; proxy_set_header Content-Length ''; }\n"+
		"    location = /is-it-you { proxy_pass http://shop; }\n    location / {\n        auth_request /signed-in;").browser(t)
	assert.Equal(t, http.StatusUnauthorized, b.Get("/").StatusCode)
	signIn(t, b, "ann")
	assert.Equal(t, "user=ann message=Welcome!", b.Get("/").Body)
	assert.Equal(t, "user=ann message=", b.Get("/").Body)
}

// faults collects what assertions report.
type faults struct{ texts []string }

func (f *faults) Errorf(format string, args ...any) {
	f.texts = append(f.texts, fmt.Sprintf(format, args...))
}

func signsInAndOut(f assert.TestingT, b *kit.Browser, _ *shop) {
	p := signIn(f, b, "ann")
	if c := p.Cookie("__Host-s_memory"); assert.NotNil(f, c, p.Header) {
		assert.True(f, c.Secure && c.HttpOnly && c.Path == "/" && c.Domain == "", c)
	}
	assert.Equal(f, "user=ann message=Welcome!", b.Get("/").Body)
	assert.Equal(f, "user= message=", b.Another().Get("/").Body)
	assert.Equal(f, http.StatusForbidden, b.Do(http.MethodPost, "/signout", "Origin", "https://evil.example").StatusCode)
	assert.Equal(f, "user=ann message=", b.Get("/").Body)
	assert.Equal(f, http.StatusSeeOther, b.Do(http.MethodPost, "/signout", "Origin", b.URL).StatusCode)
	assert.Equal(f, "user= message=", b.Get("/").Body)
}

// signIn signs a browser in, as a form of the site does in a browser that sends no Sec-Fetch-Site.
func signIn(f assert.TestingT, b *kit.Browser, user string) kit.Page {
	p := b.Do(http.MethodPost, "/signin?user="+user, "Origin", b.URL)
	assert.Equal(f, http.StatusSeeOther, p.StatusCode, p.Body)
	assert.Equal(f, "/", p.Header.Get("Location"))
	return p
}

// showsFlashOnce also expects that HEAD arrives as HEAD, which leaves the message. A cache that asks
// for the whole page instead takes the message away.
func showsFlashOnce(f assert.TestingT, b *kit.Browser, _ *shop) {
	signIn(f, b, "ann")
	assert.Equal(f, http.StatusOK, b.Do(http.MethodHead, "/").StatusCode)
	assert.Equal(f, "user=ann message=Welcome!", b.Get("/").Body)
	assert.Equal(f, "user=ann message=", b.Get("/").Body)
}

// replacesClaims expects that what the client says of itself does not arrive.
func replacesClaims(f assert.TestingT, b *kit.Browser, _ *shop) {
	p := b.Get("/request", "X-Forwarded-Proto", "http", "X-Forwarded-For", "192.0.2.1", "X-Forwarded-For", "192.0.2.2")
	var got map[string][]string
	assert.NoError(f, json.Unmarshal([]byte(p.Body), &got), p.Body)
	assert.Equal(f, map[string][]string{
		"Host": {strings.TrimPrefix(b.URL, "https://")}, "Proto": {"https"}, "For": {"127.0.0.1"},
	}, got)
}

// passesEventsAtOnce receives each event before the next one is sent, and expects that the handler
// learns that the client has left.
func passesEventsAtOnce(f assert.TestingT, b *kit.Browser, app *shop) {
	r, err := http.NewRequestWithContext(b.T.Context(), http.MethodGet, b.URL+"/events", nil)
	if !assert.NoError(f, err) {
		return
	}
	r.Header.Set("Accept-Encoding", "gzip") // as browsers do
	response, err := b.Client.Do(r)
	if !assert.NoError(f, err) {
		return
	}
	body := io.Reader(response.Body)
	if response.Header.Get("Content-Encoding") == "gzip" {
		body, err = gzip.NewReader(body)
		assert.NoError(f, err)
	}
	lines := bufio.NewReader(body)
	for i := 1; i <= 3; i++ {
		line, err := lines.ReadString('\n')
		assert.NoError(f, err)
		assert.Equal(f, fmt.Sprintf("data: %d\n", i), line)
		lines.ReadString('\n')
		app.next <- struct{}{}
	}
	response.Body.Close()
	for end := time.After(startLimit); ; {
		select {
		case app.next <- struct{}{}: // Apache and Varnish see that the client has left when the next event comes
			time.Sleep(time.Millisecond)
		case <-app.ended:
			return
		case <-end:
			assert.Fail(f, "the handler does not learn that the client has left")
			return
		}
	}
}

func passesWebSocket(f assert.TestingT, b *kit.Browser, _ *shop) {
	signIn(f, b, "ann")
	conn, _, err := websocket.Dial(b.T.Context(), b.URL+"/socket", &websocket.DialOptions{HTTPClient: http1(b)})
	if !assert.NoError(f, err) {
		return
	}
	defer conn.CloseNow()
	for _, text := range []string{"hello", strings.Repeat("x", 20_000)} {
		assert.NoError(f, conn.Write(b.T.Context(), websocket.MessageText, []byte(text)))
		_, got, err := conn.Read(b.T.Context())
		assert.NoError(f, err)
		assert.Equal(f, "ann says "+text, string(got))
	}
	assert.NoError(f, conn.Close(websocket.StatusNormalClosure, ""))
}

// http1 returns the client of a browser, without HTTP/2.
func http1(b *kit.Browser) *http.Client {
	client := *b.Client
	transport := client.Transport.(*http.Transport).Clone()
	transport.ForceAttemptHTTP2, transport.TLSClientConfig.NextProtos = false, []string{"http/1.1"}
	client.Transport = transport
	return &client
}

func passesLargestCookies(f assert.TestingT, b *kit.Browser, _ *shop) {
	signIn(f, b, "ann")
	p := b.Do(http.MethodPost, "/basket", "Origin", b.URL)
	assert.Equal(f, http.StatusOK, p.StatusCode)
	assert.Greater(f, len(p.Body), 3, "a thousand bytes at least: %s", p.Body)
	assert.Equal(f, p.Body, b.Get("/basket").Body)
}

// answersConditionsAndRanges expects that neither a range nor a tag shows the page of somebody else.
func answersConditionsAndRanges(f assert.TestingT, ann *kit.Browser, _ *shop) {
	bob := ann.Another()
	signIn(f, ann, "ann")
	signIn(f, bob, "bob")
	for range 2 {
		assert.Equal(f, "invoice of ann", ann.Get("/invoice").Body)
		again := ann.Get("/invoice", "If-None-Match", `"1"`)
		assert.Contains(f, []string{"", "invoice of ann"}, again.Body, again.Status) // with a cache, nginx asks for all of it
		part := bob.Get("/invoice", "Range", "bytes=11-")
		assert.Contains(f, []string{"bob", "invoice of bob"}, part.Body, part.Status)
		assert.Empty(f, ann.Do(http.MethodHead, "/invoice").Body)
	}
}

// passesEarlyHints expects the page that follows hints. Apache leaves the hints themselves out.
func passesEarlyHints(f assert.TestingT, b *kit.Browser, _ *shop) {
	signIn(f, b, "ann")
	ctx, cancel := context.WithTimeout(b.T.Context(), time.Second) // nginx sends nothing at all
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.URL+"/hints", nil)
	assert.NoError(f, err)
	response, err := b.Client.Do(r)
	if !assert.NoError(f, err) {
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	assert.NoError(f, err)
	assert.Equal(f, "user=ann message=Welcome!", string(body))
}
