package main

import (
	"net/http"
	"strconv"
	"strings"
)

// A recorder is the smallest http.ResponseWriter that shows what was answered. It has no other
// interface, and costs next to nothing, the same for everyone.
type recorder struct {
	header http.Header
	status int
	body   []byte
}

func (a *recorder) Header() http.Header { return a.header }

func (a *recorder) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *recorder) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.body = append(a.body, p...)
	return len(p), nil
}

func (a *recorder) WriteString(s string) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.body = append(a.body, s...)
	return len(s), nil
}

func (a *recorder) reset() {
	for _, field := range usualFields { // to clear the map takes a few times as long
		delete(a.header, field)
	}
	if len(a.header) > 0 {
		clear(a.header)
	}
	a.status, a.body = 0, a.body[:0]
}

var usualFields = [...]string{"Vary", "Cache-Control", "Set-Cookie"}

// A client is one browser. It calls handlers directly: no socket, no parsing, nothing but the
// library and the handler.
type client struct {
	cookies  []string // name=value
	line     [1]string
	prepared http.Request
	request  http.Request // what the handler gets: prepared, copied anew after a library wrote into it
	answer   recorder
}

// newClient returns a browser without a session. It sends what browsers send with a page.
func newClient(number int) *client {
	r, err := http.NewRequest(http.MethodGet, "https://shop.example/", nil)
	if err != nil {
		panic(err) // the address stands above
	}
	r.RemoteAddr, r.RequestURI = "192.0.2.7:40312", "/"
	r.Header = http.Header{
		"User-Agent":      {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
		"Accept":          {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
		"Accept-Language": {"en-US,en;q=0.5"},
		"Accept-Encoding": {"gzip, deflate, br, zstd"},
		"Sec-Fetch-Dest":  {"document"},
		"Sec-Fetch-Mode":  {"navigate"},
		"Sec-Fetch-Site":  {"same-origin"},
		clientField:       {clientName(number)},
	}
	c := &client{prepared: *r, cookies: []string{"lang=en"}, answer: recorder{header: make(http.Header)}}
	c.prepared.Header["Cookie"] = c.line[:]
	c.request = c.prepared
	c.writeLine()
	return c
}

// clientField is the request's field that names a client. Its session keeps the name, so that a
// page shows whose session it read.
const clientField = "X-Client"

func clientName(number int) string { return "client-" + strconv.Itoa(number) }

// get asks for a page.
func (c *client) get(page http.Handler) *recorder {
	c.answer.reset()
	page.ServeHTTP(&c.answer, &c.request)
	if c.request.Context() != c.prepared.Context() { // gorilla keeps a request's sessions in it
		c.request = c.prepared
	}
	return &c.answer
}

// keep takes over the cookies of the last answer, as a browser does.
func (c *client) keep() {
	lines := c.answer.header["Set-Cookie"]
	if len(lines) == 0 {
		return
	}
	for _, line := range lines {
		pair, attributes, _ := strings.Cut(line, ";")
		c.put(pair, strings.Contains(attributes, "Max-Age=0"))
	}
	c.writeLine()
}

func (c *client) put(pair string, gone bool) {
	name := pair[:strings.IndexByte(pair, '=')+1]
	for i, old := range c.cookies {
		if !strings.HasPrefix(old, name) {
			continue
		}
		if gone {
			c.cookies = append(c.cookies[:i], c.cookies[i+1:]...)
		} else {
			c.cookies[i] = pair
		}
		return
	}
	if !gone {
		c.cookies = append(c.cookies, pair)
	}
}

func (c *client) writeLine() { c.line[0] = strings.Join(c.cookies, "; ") }
