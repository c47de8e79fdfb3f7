package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"example.com/session"
)

const (
	keptExchanges = 40   // of each session
	keptBooks     = 1000 // sessions; the oldest is dropped first
)

// A journal keeps the last exchanges of each session, without its tokens. It is not kept in the
// session, because that would change the session that it describes.
type journal struct {
	prefix string // of the names of the library's cookies; others are left out

	mu    sync.Mutex
	books map[string][]exchange // by the session's handle
	order []string              // of the handles in books, oldest first
}

// An exchange is one request and its response.
type exchange struct {
	Method, Path string
	Dest         string // the Sec-Fetch-Dest header
	Prefetch     bool
	Sent         []wireCookie
	Status       int
	Location     string
	Set          []wireCookie
}

// A wireCookie is a cookie of the library without its value.
type wireCookie struct {
	Name       string
	Mark       string // stands for the value
	Attributes string
	Deleted    bool
}

// IsHint reports whether the cookie says whether a flash message is waiting. That of the cookie driver
// may also say when the session was last used.
func (c wireCookie) IsHint() bool { return strings.HasSuffix(c.Name, "_f") }

// IsData reports whether the cookie holds the values of a session of the cookie driver.
func (c wireCookie) IsData() bool { return isDataName(c.Name) }

// isDataName recognizes names like s_cookie_AbCd1234.
func isDataName(name string) bool {
	_, identity, found := strings.Cut(name, "cookie_")
	return found && len(identity) == 8
}

// IsPage reports whether the browser shows the response as a page.
func (x exchange) IsPage() bool {
	return !x.Prefetch && (x.Dest == "" || x.Dest == "document" || x.Dest == "iframe")
}

// StatusText is the status with its name.
func (x exchange) StatusText() string { return fmt.Sprint(x.Status, " ", http.StatusText(x.Status)) }

// mark replaces a cookie's value: it distinguishes two values, and does not reveal them.
func mark(value string) string {
	sum := sha256.Sum256([]byte(value))
	return fmt.Sprintf("‹%d bytes, #%s›", len(value), hex.EncodeToString(sum[:3]))
}

func newJournal(prefix string) *journal {
	return &journal{prefix: prefix, books: make(map[string][]exchange)}
}

// A visit connects the two halves of the journal's middleware in one request.
type visit struct {
	session *session.Session
	before  string // the session's handle when the request came
}

type visitKey struct{}

// watch is the outer half: it sees the request as received and the response as sent.
func (j *journal) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := new(visit)
		watcher := &responseWatcher{ResponseWriter: w}
		next.ServeHTTP(watcher, r.WithContext(context.WithValue(r.Context(), visitKey{}, v)))
		if v.session != nil {
			j.enter(v.before, v.session.Handle(), j.exchange(r, watcher))
		}
	})
}

// name is the inner half: it notes the session of the request.
func (j *journal) name(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v, ok := r.Context().Value(visitKey{}).(*visit); ok {
			v.session = session.FromRequest(r)
			v.before = v.session.Handle()
		}
		next.ServeHTTP(w, r)
	})
}

// A responseWatcher notes the status and the header of a response.
type responseWatcher struct {
	http.ResponseWriter
	status int
	header http.Header
}

func (w *responseWatcher) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *responseWatcher) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status, w.header = status, w.Header().Clone()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *responseWatcher) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status, w.header = http.StatusOK, w.Header().Clone()
	}
	return w.ResponseWriter.Write(b)
}

func (j *journal) exchange(r *http.Request, w *responseWatcher) exchange {
	x := exchange{
		Method:   r.Method,
		Path:     r.URL.Path,
		Dest:     r.Header.Get("Sec-Fetch-Dest"),
		Prefetch: strings.HasPrefix(r.Header.Get("Sec-Purpose"), "prefetch"),
		Status:   w.status,
		Location: w.header.Get("Location"),
	}
	for _, c := range r.Cookies() {
		if strings.HasPrefix(c.Name, j.prefix) {
			x.Sent = append(x.Sent, wireCookie{Name: c.Name, Mark: markUnlessHint(c.Name, c.Value)})
		}
	}
	for _, line := range w.header["Set-Cookie"] {
		x.Set = append(x.Set, parseSetCookie(line))
	}
	return x
}

// parseSetCookie takes one Set-Cookie line apart.
func parseSetCookie(line string) wireCookie {
	pair, attributes, _ := strings.Cut(line, "; ")
	name, value, _ := strings.Cut(pair, "=")
	c := wireCookie{Name: name, Attributes: attributes, Deleted: strings.Contains(attributes, "Max-Age=0;")}
	if value != "" {
		c.Mark = markUnlessHint(name, value)
	}
	return c
}

func markUnlessHint(name, value string) string {
	if value == "" || !(wireCookie{Name: name}).IsHint() {
		return mark(value)
	}
	text := value[:1]
	if len(value) > 1 {
		text += mark(value[1:])
	}
	return text
}

// enter notes an exchange under the handle that the session has after it. A session keeps its handle
// when its token is replaced. The handle differs if the session began or ended in this exchange.
func (j *journal) enter(before, after string, x exchange) {
	j.mu.Lock()
	defer j.mu.Unlock()
	book := j.books[before]
	if before != after {
		book = append(book, j.books[after]...)
		j.drop(before)
	}
	if after == "" {
		return // without a session nobody can look at it
	}
	if _, begun := j.books[after]; !begun {
		j.order = append(j.order, after)
	}
	book = append(book, x)
	j.books[after] = book[max(0, len(book)-keptExchanges):]
	if len(j.books) > keptBooks {
		j.drop(j.order[0])
	}
}

func (j *journal) drop(handle string) {
	if _, begun := j.books[handle]; begun {
		delete(j.books, handle)
		j.order = slices.DeleteFunc(j.order, func(h string) bool { return h == handle })
	}
}

// latest returns a session's exchanges, oldest first.
func (j *journal) latest(handle string) []exchange {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.books[handle])
}

// sincePost returns the exchanges after the last posted form.
func (j *journal) sincePost(handle string) []exchange {
	book := j.latest(handle)
	return book[lastPost(book)+1:]
}

// lastPost returns the index of the last posted form, or -1.
func lastPost(book []exchange) int {
	for i := len(book) - 1; i >= 0; i-- {
		if book[i].Method == http.MethodPost {
			return i
		}
	}
	return -1
}

// story returns the last exchanges that belong together: a posted form and the pages that its
// redirects led to, or the last page if no form was posted.
func story(book []exchange) (chain []exchange) {
	start := lastPost(book)
	for i := len(book) - 1; start < 0 && i >= 0; i-- {
		if book[i].IsPage() && book[i].Path != "/wire" {
			start = i
		}
	}
	if start < 0 {
		return nil
	}
	chain = book[start : start+1 : start+1]
	for _, x := range book[start+1:] {
		to, _, _ := strings.Cut(chain[len(chain)-1].Location, "?")
		if to == "" {
			break
		}
		if x.IsPage() && x.Path == to {
			chain = append(chain, x)
		}
	}
	return chain
}
