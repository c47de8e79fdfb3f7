package response

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
)

// An ErrorAnswer says what the client gets in place of the handler's response.
type ErrorAnswer struct {
	// Request is passed to Handler, and its method decides whether a body is sent.
	Request *http.Request

	// Handler writes the answer. If it is nil, writes nothing or panics, the default answer is
	// sent. A panic with http.ErrAbortHandler goes on, and then nothing is sent.
	Handler func(w http.ResponseWriter, r *http.Request, err error)

	// Panicked is called with the value of a panic of Handler, while debug.Stack still shows where it
	// happened. It must be set if Handler is.
	Panicked func(value any)

	// Status is that of the default answer.
	Status int

	// RetryAfter is the Retry-After field of the default answer, in seconds. Zero omits it.
	RetryAfter int
}

// A failure is the error that kept the handler's response from being sent, and the header of the
// error answer, nil until that is sent.
type failure struct {
	err    error
	answer http.Header
}

// Fail sends the error answer for err in place of the handler's response. From then on every write
// returns err. It must not be called when the writer is committed.
func (w *Writer) Fail(err error) {
	w.committed, w.failure = true, &failure{err: err}
	e := w.hooks.ErrorAnswer(err)
	h := w.inner.Header()
	w.removeBodyFields(h)
	a := &answer{header: h}
	a.handle(e, err)
	if a.status == 0 {
		w.removeBodyFields(h) // what Handler set for a body that it did not write
		a.writeDefault(e)
	}
	w.hooks.SetCookies(h)
	w.send(a, e.Request.Method)
	w.failure.answer = h.Clone()
}

// send sends the whole answer, because the handler may abort the connection afterwards.
func (w *Writer) send(a *answer, method string) {
	NoStore(a.header)
	if a.status == http.StatusNoContent || a.status == http.StatusNotModified {
		a.body = nil
		a.header.Del("Content-Length") // RFC 9110, section 8.6
	} else {
		a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.inner.WriteHeader(a.status)
	if len(a.body) > 0 && method != http.MethodHead {
		w.inner.Write(a.body)
	}
	http.NewResponseController(w.inner).Flush()
}

// HasAnswered reports whether an error answer was sent. If so, it restores the header map. What the
// handler has set there since would become trailers on HTTP/2, and part of the error answer if an
// outer writer sends the header only after the handler has returned.
func (w *Writer) HasAnswered() bool {
	if w.failure == nil || w.failure.answer == nil {
		return false
	}
	h := w.inner.Header()
	clear(h)
	maps.Copy(h, w.failure.answer)
	return true
}

// removeBodyFields removes what was set about a body, except what was there before Begin.
func (w *Writer) removeBodyFields(h http.Header) {
	for key := range h {
		if isAboutBody(key) {
			delete(h, key)
		}
	}
	maps.Copy(h, w.before)
}

// isAboutBody reports whether a header field describes the body of one response, its target or its
// protocol. The fields that make a server in front send a file of its own are among them, and those
// that make htmx go elsewhere or tell the page that all went well.
func isAboutBody(key string) bool {
	key = http.CanonicalHeaderKey(key)
	switch key {
	case "Etag", "Last-Modified", "Accept-Ranges", "Digest", "Repr-Digest", "Cache-Control", "Expires",
		"Location", "Refresh", "Trailer", "Transfer-Encoding", "Connection", "Upgrade",
		"X-Accel-Redirect", "X-Sendfile":
		return true
	}
	return strings.HasPrefix(key, http.TrailerPrefix) || strings.HasPrefix(key, "Sec-Websocket-") ||
		strings.HasPrefix(key, "Hx-") || strings.HasPrefix(key, "Content-") && !strings.HasPrefix(key, "Content-Security-Policy")
}

// An answer is the http.ResponseWriter of an ErrorAnswer's Handler. It collects what is written.
type answer struct {
	header http.Header
	status int // 0 until something is written
	body   []byte
}

// handle runs e.Handler. If that panics, what it wrote is discarded.
func (a *answer) handle(e ErrorAnswer, err error) {
	if e.Handler == nil {
		return
	}
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v == http.ErrAbortHandler {
			panic(v)
		}
		a.status, a.body = 0, nil
		e.Panicked(v)
	}()
	e.Handler(a, e.Request, err)
}

// writeDefault writes an answer that tells the client no details (ASVS 16.5.1).
func (a *answer) writeDefault(e ErrorAnswer) {
	if e.RetryAfter > 0 {
		a.header.Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
	a.header.Set("Content-Type", "text/plain; charset=utf-8")
	a.header.Set("X-Content-Type-Options", "nosniff")
	a.WriteHeader(e.Status)
	io.WriteString(a, http.StatusText(e.Status)+"\n")
}

func (a *answer) Header() http.Header { return a.header }

// WriteHeader sets the status once. It ignores an informational status.
func (a *answer) WriteHeader(status int) {
	switch {
	case status < 100 || status > 999:
		panic(fmt.Sprintf("invalid WriteHeader code %d", status)) // as net/http does
	case a.status == 0 && status >= 200:
		a.status = status
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.body = append(a.body, p...)
	return len(p), nil
}
