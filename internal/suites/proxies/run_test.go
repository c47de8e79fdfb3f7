package proxies_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var seed = flag.Uint64("seed", 15, "of the generated pages and visits")

const (
	sheets   = 60 // of a catalogue
	visitors = 8  // two of them never sign in
	visits   = 80 // of each visitor
)

// eager are proxies that keep more than docs/proxies.md says: also what no field asks to be kept.
var eager = map[string][]string{
	"nginx": {
		"proxy_cache_revalidate   on;", "proxy_cache_revalidate on; proxy_cache_valid any 1m; proxy_cache_lock on;\n" +
			"proxy_cache_use_stale updating; proxy_cache_background_update on;",
	},
	"apache":  {"CacheIgnoreHeaders Set-Cookie", "CacheDefaultExpire 60\nCacheIgnoreNoLastMod On"},
	"varnish": {"sub vcl_pipe {", "sub vcl_backend_response { set beresp.grace = 1h; set beresp.keep = 1h; }\nsub vcl_pipe {"},
}

func TestNobodyGetsWhatIsForAnotherVisitor(t *testing.T) {
	t.Parallel()
	for name, p := range proxies {
		t.Run(name, func(t *testing.T) { t.Parallel(); visitCatalogue(t, name, p.caches) })
		if changes := eager[name]; changes != nil {
			t.Run("eager "+name, func(t *testing.T) { t.Parallel(); visitCatalogue(t, name, p.caches, changes...) })
		}
	}
}

func visitCatalogue(t *testing.T, name string, caches bool, changes ...string) {
	c := newCatalogue(t, rand.New(rand.NewPCG(*seed, visitors)), sheets)
	r := visitAll(t, newSite(t, name, c.handler(), changes...), visits, c.paths()...)
	for kind, texts := range r.faults {
		assert.Fail(t, kind, "%d times with -seed=%d, first: %s", len(texts), *seed, texts[0])
	}
	t.Log(r.counts)
	assert.Equal(t, caches, r.counts["kept"] > 0, "the cache has kept something for somebody else")
	for _, what := range []string{"a page of one's own", "a message", "a cookie", "gzip", "304", "500"} {
		assert.NotZero(t, r.counts[what], "nobody got %s", what)
	}
}

// A page that names somebody and says that it is for everybody is kept by every cache.
func TestTheRunNoticesAPageOfSomebodyElse(t *testing.T) {
	t.Parallel()
	for name, p := range proxies {
		if p.caches {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := visitAll(t, newSite(t, name, http.HandlerFunc(leak)), 5, "/leak")
				assert.NotEmpty(t, r.faults["page"])
			})
		}
	}
}

// A cache that ignores what the header says keeps everything that is somebody's own.
func TestTheRunNoticesACacheThatIgnoresTheHeader(t *testing.T) {
	t.Parallel()
	c := &catalogue{manager: newManager(t)}
	c.sheets = []sheet{{uses: "message", driver: "memory", compress: "chi outside", status: http.StatusOK, send: "write"}}
	s := newSite(t, "nginx", c.handler(), "proxy_cache_revalidate   on;",
		"proxy_cache_valid any 1m; proxy_ignore_headers Cache-Control Expires Set-Cookie Vary;")
	r := newRun()
	one, two := r.visitor(t, s, 2), r.visitor(t, s, 3)
	one.send(http.MethodPost, "/note?driver=memory&name="+one.name)
	one.send(http.MethodGet, "/sheet/0", "Accept-Encoding: gzip")
	assert.Empty(t, r.faults)
	two.send(http.MethodGet, "/sheet/0", "Accept-Encoding: identity")
	for _, kind := range []string{"page", "message", "cookie", "encoding"} {
		assert.NotEmpty(t, r.faults[kind], kind)
	}
}

// A run is what happened to visitors.
type run struct {
	mu     sync.Mutex
	faults map[string][]string // by kind
	counts map[string]int
}

func newRun() *run { return &run{faults: map[string][]string{}, counts: map[string]int{}} }

// visitAll sends visitors to the paths at once.
func visitAll(t *testing.T, s *site, visits int, paths ...string) *run {
	t.Helper()
	r := newRun()
	var all sync.WaitGroup
	for i := range visitors {
		v := r.visitor(t, s, i)
		v.paths = paths
		all.Go(func() {
			for range visits {
				v.visit()
			}
		})
	}
	all.Wait()
	return r
}

// visitor returns a visitor by number. The first two do not sign in.
func (r *run) visitor(t *testing.T, s *site, number int) *visitor {
	v := &visitor{client: s.browser(t).Client, url: s.url, run: r, random: rand.New(rand.NewPCG(*seed, uint64(number)))}
	if number >= 2 {
		v.signIn(t, fmt.Sprintf("visitor-%d", number))
	}
	return v
}

func (r *run) count(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[what]++
}

func (r *run) fault(kind, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults[kind] = append(r.faults[kind], fmt.Sprintf(format, args...))
}

// A visitor asks for pages at random, and checks what comes.
type visitor struct {
	*run
	client *http.Client
	url    string
	name   string // empty for one who does not sign in
	random *rand.Rand
	paths  []string
	asked  int
}

func (v *visitor) signIn(t *testing.T, name string) {
	v.name = name
	u, err := url.Parse(v.url)
	require.NoError(t, err)
	v.client.Jar.SetCookies(u, []*http.Cookie{{Name: "name", Value: name}}) // for the leak
	v.send(http.MethodPost, "/signin?name="+name)
}

func (v *visitor) visit() {
	switch n := v.random.IntN(20); {
	case v.name != "" && n < 1:
		v.send(http.MethodPost, "/signin?name="+v.name)
	case v.name != "" && n < 4:
		v.send(http.MethodPost, "/note?name="+v.name+"&driver="+pick(v.random, drivers))
	case n < 6:
		v.send(http.MethodHead, pick(v.random, v.paths))
	default:
		v.send(http.MethodGet, pick(v.random, v.paths), pick(v.random, []string{
			"", "", "", "", `If-None-Match: "1"`, `If-None-Match: W/"1"`, "Range: bytes=0-199", "Cache-Control: no-cache",
			"If-Modified-Since: Mon, 02 Jan 2006 15:04:05 GMT", "Pragma: no-cache", "Accept-Language: de",
		}))
	}
}

func (v *visitor) send(method, path string, fields ...string) {
	r, err := http.NewRequest(method, v.url+path, nil)
	if err != nil {
		panic(err)
	}
	v.asked++
	id := fmt.Sprintf("%p-%d", v, v.asked)
	r.Header.Set("X-Asks", id)
	r.Header.Set("Accept-Encoding", pick(v.random, []string{"identity", "gzip", "deflate", "gzip, deflate, br"}))
	r.Header.Set("User-Agent", pick(v.random, []string{"one", "two"}))
	for _, field := range fields {
		if name, value, found := strings.Cut(field, ": "); found {
			r.Header.Set(name, value)
		}
	}
	response, err := v.client.Do(r)
	if err != nil {
		v.fault("status", "%s %s %v: %v", method, path, r.Header, err)
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil && response.StatusCode != http.StatusNotModified { // Go's HTTP/2 wants as much as HAProxy's Content-Length says
		v.fault("status", "%s %s %v: %v", method, path, r.Header, err)
	}
	if method != http.MethodPost {
		v.check(id, r, response, body)
	}
}

// check says what is wrong with an answer.
func (v *visitor) check(id string, r *http.Request, response *http.Response, body []byte) {
	h := response.Header
	what := fmt.Sprintf("%q got for %s %s %v: %s %v", v.name, r.Method, r.URL.Path, r.Header, response.Status, h)
	kept := h.Get("X-Answers") != id
	owner := h.Get("X-For")
	switch {
	case h.Get("X-Answers") == "":
		v.fault("status", "%s\n%s", what, body)
	case owner != everybody && (kept || owner != v.name):
		v.fault("page", "%s", what)
	case kept:
		v.count("kept")
	case owner == v.name:
		v.count("a page of one's own")
	}
	if len(h["Set-Cookie"]) > 0 {
		if v.count("a cookie"); kept {
			v.fault("cookie", "%s", what)
		}
	}
	v.count(fmt.Sprint(response.StatusCode))
	encoding := h.Get("Content-Encoding")
	if encoding != "" && !strings.Contains(r.Header.Get("Accept-Encoding"), encoding) {
		v.fault("encoding", "%s", what)
	}
	v.count(encoding)
	if encoding == "" || response.StatusCode != http.StatusPartialContent {
		v.checkBody(what, owner, encoding, body)
	}
}

var line = regexp.MustCompile(`(?m)^for=(.*) note=(.*) answers=(.*)$`)

func (v *visitor) checkBody(what, owner, encoding string, body []byte) {
	text, err := decoded(encoding, body)
	if err != nil {
		v.fault("encoding", "%s: %v", what, err)
	}
	for _, said := range line.FindAllStringSubmatch(string(text), -1) {
		if said[1] != owner {
			v.fault("page", "%s: %s", what, said[0])
		}
		if said[2] != "" && said[2] != "note of "+v.name {
			v.fault("message", "%s: %s", what, said[0])
		}
		if said[2] != "" {
			v.count("a message")
		}
	}
}

func decoded(encoding string, body []byte) ([]byte, error) {
	if len(body) == 0 {
		return nil, nil
	}
	switch encoding {
	case "gzip":
		r, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	case "deflate":
		return io.ReadAll(flate.NewReader(bytes.NewReader(body)))
	}
	return body, nil
}
