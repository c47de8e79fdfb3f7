package proxies_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/session"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/gorilla/handlers"
)

// A sheet is a generated page: what its handler does with the session, what it tells caches, and how
// it is sent.
type sheet struct {
	uses     string
	driver   string
	fields   [][2]string // of the header, with what caches obey
	early    bool        // the fields are set before the session is used
	compress string      // the middleware that compresses, and whether it is outside of the session's
	status   int
	send     string
}

const everybody = "everybody" // whom a page is for that does not use the session

var (
	usesOfASession = []string{
		"nothing", "nothing", "nothing", "name", "name", "message", "user", "write", "regenerate", "open", "fail",
	}
	cacheControls = []string{
		"", "", "public, max-age=60", "max-age=60", "max-age=1", "public, max-age=1, stale-while-revalidate=60",
		"s-maxage=60", "public, s-maxage=60, max-age=0", "public, immutable, max-age=600", "no-cache", "no-store", "private",
		"must-understand, no-store, public, max-age=60", `private="Set-Cookie", public, max-age=60`,
		`no-cache="Set-Cookie", max-age=60`, "MAX-AGE=60 , PUBLIC",
	}
	otherFields = [][2]string{
		{"X-Accel-Expires", "60"}, {"Surrogate-Control", "max-age=60"}, {"Cdn-Cache-Control", "public, max-age=60"},
		{"cache-control", "public, max-age=60"}, {"Pragma", "public"}, {"Expires", "Thu, 01 Jan 2099 00:00:00 GMT"},
		{"Expires", "0"}, {"Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT"}, {"Vary", "Accept-Encoding"},
		{"Vary", "Accept-Language"}, {"Vary", "Accept-Encoding, User-Agent"}, {"Vary", "cookie"}, {"Etag", `W/"1"`},
		{"Cache-Control", "public, s-maxage=60"}, {"X-Cache-Control", "public"}, {"Age", "0"},
	}
)

func pick[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }

func newSheet(random *rand.Rand) sheet {
	p := sheet{
		uses: pick(random, usesOfASession), driver: pick(random, []string{"memory", "memory", "cookie"}),
		early: random.IntN(2) == 0, status: pick(random, []int{200, 200, 200, 200, 203, 301, 404, 410}),
		send:     pick(random, []string{"write", "header", "flush", "panic", "content", "content"}),
		compress: pick(random, []string{"", "chi inside", "chi outside", "gorilla inside", "gorilla outside"}),
	}
	if value := pick(random, cacheControls); value != "" {
		p.fields = append(p.fields, [2]string{"Cache-Control", value})
	}
	for range random.IntN(3) {
		p.fields = append(p.fields, pick(random, otherFields))
	}
	if p.send == "content" { // http.ServeContent, which answers conditions and ranges itself
		p.status, p.compress = http.StatusOK, ""
		p.fields = append(p.fields, [2]string{"Etag", `"1"`})
	}
	return p
}

// A catalogue is an application of generated sheets.
type catalogue struct {
	sheets  []sheet
	manager *session.Manager
}

func newCatalogue(t *testing.T, random *rand.Rand, size int) *catalogue {
	c := &catalogue{manager: newManager(t)}
	for range size {
		c.sheets = append(c.sheets, newSheet(random))
	}
	return c
}

func (c *catalogue) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /signin", c.manager.Middleware(http.HandlerFunc(signInAs)))
	mux.Handle("POST /note", c.manager.Middleware(http.HandlerFunc(takeNote)))
	for i, p := range c.sheets {
		mux.Handle("/sheet/"+strconv.Itoa(i), p.handler(c.manager))
	}
	mux.HandleFunc("/leak", leak)
	return mux
}

// signInAs begins the sessions of a visitor, on both drivers.
func signInAs(_ http.ResponseWriter, r *http.Request) {
	for _, driver := range drivers {
		if s, err := session.FromRequest(r).Using(driver); err == nil {
			s.Login(r.FormValue("name"))
			s.Set("name", r.FormValue("name"))
		}
	}
}

var drivers = []string{"memory", "cookie"}

func takeNote(_ http.ResponseWriter, r *http.Request) {
	if s, err := session.FromRequest(r).Using(r.FormValue("driver")); err == nil {
		s.Flash("note", "note of "+r.FormValue("name"))
	}
}

func (p sheet) handler(m *session.Manager) http.Handler {
	compress := func(next http.Handler) http.Handler { return next }
	switch kind, _, _ := strings.Cut(p.compress, " "); kind {
	case "chi":
		compress = middleware.Compress(5)
	case "gorilla":
		compress = handlers.CompressHandler
	}
	if strings.HasSuffix(p.compress, "outside") {
		return recovered(compress(m.Middleware(p)))
	}
	return recovered(m.Middleware(compress(p)))
}

// recovered answers panics, with what the header has got by then.
func recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func (p sheet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.early {
		p.setFields(w.Header())
	}
	name, note := p.use(r)
	if !p.early {
		p.setFields(w.Header())
	}
	p.write(w, r, name, note)
}

func (p sheet) setFields(h http.Header) {
	for _, field := range p.fields {
		h[field[0]] = append(h[field[0]], field[1]) // as it is written: a program may spell a field otherwise
	}
}

// use does with the session what the sheet says, and returns whom the page is for.
func (p sheet) use(r *http.Request) (name, note string) {
	if p.uses == "nothing" {
		return everybody, ""
	}
	s, err := session.FromRequest(r).Using(p.driver)
	if err != nil {
		return err.Error(), ""
	}
	switch p.uses {
	case "name", "open":
		s.Open()
	case "message":
		note = s.GetString("note")
	case "user":
		name, _ = s.User()
		return name, ""
	case "write":
		s.Increment("views", 1)
	case "regenerate":
		s.Regenerate()
	case "fail":
		s.Set("channel", make(chan int))
	}
	return s.GetString("name"), note
}

// write sends the page. Each line of it says what a client checks: whom it is for and which request
// it answers.
func (p sheet) write(w http.ResponseWriter, r *http.Request, name, note string) {
	h := w.Header()
	h.Set("X-For", name)
	h.Set("X-Answers", r.Header.Get("X-Asks"))
	h.Set("Content-Type", "text/html; charset=utf-8")
	line := fmt.Sprintf("for=%s note=%s answers=%s\n", name, note, r.Header.Get("X-Asks"))
	body := strings.Repeat(line, 40) // enough for whoever compresses large pages only
	switch p.send {
	case "content":
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
		return
	case "panic":
		panic("a fault of the handler")
	case "header", "flush":
		w.WriteHeader(p.status)
	default:
		if p.status != http.StatusOK {
			w.WriteHeader(p.status)
		}
	}
	if p.send == "flush" {
		http.NewResponseController(w).Flush()
	}
	io.WriteString(w, body)
}

// leak is the fault that the run must notice: without the library, a page with somebody's name says
// that it is for everybody.
func leak(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "public, max-age=60")
	name := ""
	if c, err := r.Cookie("name"); err == nil {
		name = c.Value
	}
	sheet{send: "write", status: http.StatusOK}.write(w, r, name, "")
}

func (c *catalogue) paths() (paths []string) {
	for i := range c.sheets {
		paths = append(paths, "/sheet/"+strconv.Itoa(i))
	}
	return paths
}
