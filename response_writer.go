package session

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
)

// A responseWriter commits the request's sessions just before the first byte of the final
// response header leaves, whichever method sends it. If that fails it sends an error answer
// in place of the handler's, and every later write returns the error.
type responseWriter struct {
	inner     http.ResponseWriter
	q         *request
	before    http.Header // of the fields that an error answer takes out, those that stood there
	committed bool
	failure   *failure // of the commit; behind a pointer, so that an arrival is 128 bytes smaller
}

// A failure is why a commit failed, and the header of the error answer, once it is sent.
type failure struct {
	err    error
	answer http.Header
}

// err returns why the commit failed, nil where it has not.
func (w *responseWriter) err() error {
	if w.failure == nil {
		return nil
	}
	return w.failure.err
}

func (w *responseWriter) begin(inner http.ResponseWriter, q *request) {
	w.inner, w.q = inner, q
	h := inner.Header()
	if len(h) == 0 { // as nearly always; to range over an empty map takes 20 ns
		return
	}
	for key, values := range h {
		if isAboutBody(key) {
			if w.before == nil {
				w.before = make(http.Header)
			}
			w.before[key] = values
		}
	}
}

// request returns what the handler got.
func (w *responseWriter) request() *http.Request { return &w.q.arrival.passed }

// Header returns the inner writer's header map.
func (w *responseWriter) Header() http.Header { return w.inner.Header() }

// Unwrap returns the inner writer, for http.ResponseController.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.inner }

// WriteHeader commits and sends the header. An informational status commits nothing: the
// final header is still to come.
func (w *responseWriter) WriteHeader(status int) {
	if w.err() != nil {
		return
	}
	if !w.committed && isFinal(status) && w.commit(status) != nil {
		return
	}
	w.inner.WriteHeader(status)
}

// isFinal reports whether a header of this status ends the headers. What is no status at all
// is left to net/http, which panics.
func isFinal(status int) bool {
	return status == http.StatusSwitchingProtocols || (status >= 200 && status <= 999)
}

func (w *responseWriter) Write(p []byte) (int, error) {
	if err := w.ready(); err != nil {
		return 0, err
	}
	return w.inner.Write(p)
}

// WriteString writes without a copy where the inner writer can.
func (w *responseWriter) WriteString(s string) (int, error) {
	if err := w.ready(); err != nil {
		return 0, err
	}
	return io.WriteString(w.inner, s)
}

// ready commits if nothing has, and returns the error of a commit that failed.
func (w *responseWriter) ready() error {
	if w.committed {
		return w.err()
	}
	return w.commit(http.StatusOK)
}

func (w *responseWriter) commit(status int) error {
	w.committed = true
	if err := w.q.commit(status); err != nil {
		w.fail(err)
		return err
	}
	return nil
}

func (w *responseWriter) flush() error {
	if err := w.ready(); err != nil {
		return err
	}
	return http.NewResponseController(w.inner).Flush()
}

// hijack commits without a status and takes the connection over. What it stores can have no
// Set-Cookie, since the header is from now on the handler's own. Where the inner writer has the
// method and yet cannot do it, the header is still to come.
func (w *responseWriter) hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.err() != nil {
		return nil, nil, w.err()
	}
	if !w.committed {
		if err := w.q.storeBare(); err != nil {
			w.fail(err)
			return nil, nil, err
		}
	}
	conn, buf, err := http.NewResponseController(w.inner).Hijack()
	if err == nil && !w.committed {
		w.committed = true
		w.q.handOver()
	}
	return conn, buf, err
}

const sniffed = 512 // what net/http reads itself to guess a Content-Type

// readFrom commits once src has given its first byte, and then lets the inner writer read, so
// that a file still goes out by sendfile.
func (w *responseWriter) readFrom(src io.Reader) (n int64, err error) {
	if w.committed {
		if w.err() != nil {
			return 0, w.err()
		}
		return w.inner.(io.ReaderFrom).ReadFrom(src)
	}
	var first [sniffed]byte
	got, err := readSome(src, first[:])
	if got == 0 {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return 0, err
	}
	wrote, writeErr := w.Write(first[:got])
	n = int64(wrote)
	switch {
	case writeErr != nil:
		return n, writeErr
	case errors.Is(err, io.EOF):
		return n, nil
	case err != nil:
		return n, err
	}
	rest, err := w.inner.(io.ReaderFrom).ReadFrom(src)
	return n + rest, err
}

// readSome reads until something came.
func readSome(src io.Reader, p []byte) (n int, err error) {
	for range 100 { // as bufio does before it gives up on a reader that gives nothing
		if n, err = src.Read(p); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// fail sends the error answer in place of the handler's.
func (w *responseWriter) fail(err error) {
	w.committed, w.failure = true, &failure{err: err}
	m := w.q.m
	m.stats.failed.Add(1)
	if !errors.Is(err, ErrUnavailable) { // that is logged once for an outage
		m.log.failed(w.request(), err)
	}
	h := w.inner.Header()
	w.scrub(h)
	answer := &errorAnswer{header: h}
	m.runErrorHandler(answer, w.request(), err)
	if answer.status == 0 {
		w.scrub(h) // what it said about a body that it did not come to write
		answer.body = nil
		writeDefaultAnswer(answer, w.request(), err)
	}
	w.q.writeSavedCookies(h)
	w.send(answer)
}

// send sends an answer whole, also where the handler will abort the connection afterwards.
func (w *responseWriter) send(answer *errorAnswer) {
	h := answer.header
	dropSharedCaching(h)
	h.Set("Cache-Control", "no-store")
	if answer.status == http.StatusNoContent || answer.status == http.StatusNotModified {
		answer.body = nil
		h.Del("Content-Length") // RFC 9110, section 8.6
	} else {
		h.Set("Content-Length", strconv.Itoa(len(answer.body)))
	}
	w.inner.WriteHeader(answer.status)
	if len(answer.body) > 0 && w.request().Method != http.MethodHead {
		w.inner.Write(answer.body)
	}
	http.NewResponseController(w.inner).Flush()
	w.failure.answer = h.Clone()
}

// hasAnswered reports whether an error answer was sent, and takes out of the header what the
// handler has put there since: it would go out as trailers on HTTP/2, and as the answer's own
// where a writer further out waits for the handler's return.
func (w *responseWriter) hasAnswered() bool {
	if w.failure == nil || w.failure.answer == nil {
		return false
	}
	h := w.inner.Header()
	clear(h)
	maps.Copy(h, w.failure.answer)
	return true
}

// scrub takes out of the header what the handler wrote about its own answer, and this request's
// session cookies. What stood there before the middleware stays.
func (w *responseWriter) scrub(h http.Header) {
	for key := range h {
		if isAboutBody(key) {
			delete(h, key)
		}
	}
	maps.Copy(h, w.before)
	for _, s := range w.q.sessions(nil) {
		dropCookie(h, s.src.cookie)
		dropCookie(h, s.src.hint)
	}
}

// isAboutBody reports whether a field speaks of one answer's body, target or protocol. Those that
// make a server in front send a file of its own are among them.
func isAboutBody(key string) bool {
	switch key {
	case "Etag", "Last-Modified", "Accept-Ranges", "Cache-Control", "Expires", "Location", "Refresh", "Trailer",
		"Transfer-Encoding", "Connection", "Upgrade", "X-Accel-Redirect", "X-Sendfile":
		return true
	}
	return strings.HasPrefix(key, "Content-") || strings.HasPrefix(key, "Sec-Websocket-") ||
		strings.HasPrefix(key, http.TrailerPrefix)
}

// writeSavedCookies adds the cookies of the sessions that were saved before another one failed, and
// of those whose old token may have ended: a client that is not told of the new one would be
// signed out.
func (q *request) writeSavedCookies(h http.Header) {
	for _, s := range q.sessions(nil) {
		s.mu.Lock()
		switch {
		case !s.opened || s.src.byIP || s.failed != nil || s.isDoomed():
		case s.extras != nil && s.extras.copied != nil:
			s.settled(s.extras.copied.token, s.extras.copied)
			s.writeToken(h)
			s.writeHint(h)
		case s.writeToken(h):
			s.writeHint(h)
		case s.extras != nil && s.extras.gone:
			s.writeCookies(h)
		}
		s.mu.Unlock()
	}
}

// runErrorHandler runs Config.ErrorHandler. One that panics has written nothing that can be
// trusted; the default answer goes out in its place.
func (m *Manager) runErrorHandler(answer *errorAnswer, r *http.Request, err error) {
	if m.cfg.ErrorHandler == nil {
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
		answer.status = 0
		m.log.logger.LogAttrs(r.Context(), slog.LevelError, "session: the error handler panicked",
			slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
	}()
	m.cfg.ErrorHandler(answer, r, err)
}

// writeDefaultAnswer writes an answer that tells the client no detail (ASVS 16.5.1).
func writeDefaultAnswer(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusInternalServerError
	if errors.Is(err, ErrUnavailable) {
		status = http.StatusServiceUnavailable
		if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions {
			w.Header().Set("Retry-After", "1") // a save's outcome is unknown: only safe methods may be repeated
		}
	}
	if errors.Is(err, ErrTooManySessions) {
		status = http.StatusForbidden
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	io.WriteString(w, http.StatusText(status)+"\n")
}

// An errorAnswer collects what an ErrorHandler writes.
type errorAnswer struct {
	header http.Header
	status int
	body   []byte
}

func (a *errorAnswer) Header() http.Header { return a.header }

func (a *errorAnswer) WriteHeader(status int) {
	switch {
	case status < 100 || status > 999:
		panic(fmt.Sprintf("invalid WriteHeader code %d", status)) // as net/http does
	case a.status == 0 && status >= 200:
		a.status = status
	}
}

func (a *errorAnswer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.body = append(a.body, p...)
	return len(p), nil
}

// wrapped returns the writer with exactly those optional interfaces that the inner one has. An
// interface that wraps one pointer needs no allocation.
func (w *responseWriter) wrapped() http.ResponseWriter {
	kind := 0
	if canFlush(w.inner) {
		kind |= flushes
	}
	if canHijack(w.inner) {
		kind |= hijacks
	}
	if _, ok := w.inner.(io.ReaderFrom); ok {
		kind |= reads
	}
	if _, ok := w.inner.(http.Pusher); ok {
		kind |= pushes
	}
	return w.as(kind)
}

// canFlush reports whether http.ResponseController would find a Flusher: it looks behind every
// Unwrap, and must not find one there that goes round the commit.
func canFlush(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case http.Flusher, interface{ FlushError() error }:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}

// canHijack is canFlush for http.Hijacker.
func canHijack(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case http.Hijacker:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}

const (
	flushes = 1 << iota
	hijacks
	reads
	pushes
)

// as returns the writer with one set of interfaces. Each type below adds one interface to
// another type; together they are the sixteen sets.
func (w *responseWriter) as(kind int) http.ResponseWriter {
	f := withFlush{w}
	h, fh := withHijack{w}, withFlushHijack{f}
	r, fr, hr, fhr := withRead{w}, withFlushRead{f}, withHijackRead{h}, withFlushHijackRead{fh}
	switch kind {
	case flushes:
		return f
	case hijacks:
		return h
	case flushes | hijacks:
		return fh
	case reads:
		return r
	case reads | flushes:
		return fr
	case reads | hijacks:
		return hr
	case reads | flushes | hijacks:
		return fhr
	case pushes:
		return withPush{w}
	case pushes | flushes:
		return withFlushPush{f}
	case pushes | hijacks:
		return withHijackPush{h}
	case pushes | flushes | hijacks:
		return withFlushHijackPush{fh}
	case pushes | reads:
		return withReadPush{r}
	case pushes | reads | flushes:
		return withFlushReadPush{fr}
	case pushes | reads | hijacks:
		return withHijackReadPush{hr}
	case pushes | reads | flushes | hijacks:
		return withFlushHijackReadPush{fhr}
	}
	return w
}

type (
	withFlush       struct{ *responseWriter }
	withHijack      struct{ *responseWriter }
	withFlushHijack struct{ withFlush }

	withRead            struct{ *responseWriter }
	withFlushRead       struct{ withFlush }
	withHijackRead      struct{ withHijack }
	withFlushHijackRead struct{ withFlushHijack }

	withPush                struct{ *responseWriter }
	withFlushPush           struct{ withFlush }
	withHijackPush          struct{ withHijack }
	withFlushHijackPush     struct{ withFlushHijack }
	withReadPush            struct{ withRead }
	withFlushReadPush       struct{ withFlushRead }
	withHijackReadPush      struct{ withHijackRead }
	withFlushHijackReadPush struct{ withFlushHijackRead }
)

func (w withFlush) Flush()            { w.flush() }
func (w withFlush) FlushError() error { return w.flush() }

func (w withHijack) Hijack() (net.Conn, *bufio.ReadWriter, error)      { return w.hijack() }
func (w withFlushHijack) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.hijack() }

func (w withRead) ReadFrom(src io.Reader) (int64, error)            { return w.readFrom(src) }
func (w withFlushRead) ReadFrom(src io.Reader) (int64, error)       { return w.readFrom(src) }
func (w withHijackRead) ReadFrom(src io.Reader) (int64, error)      { return w.readFrom(src) }
func (w withFlushHijackRead) ReadFrom(src io.Reader) (int64, error) { return w.readFrom(src) }

func (w *responseWriter) push(target string, o *http.PushOptions) error {
	return w.inner.(http.Pusher).Push(target, o)
}

func (w withPush) Push(t string, o *http.PushOptions) error                { return w.push(t, o) }
func (w withFlushPush) Push(t string, o *http.PushOptions) error           { return w.push(t, o) }
func (w withHijackPush) Push(t string, o *http.PushOptions) error          { return w.push(t, o) }
func (w withFlushHijackPush) Push(t string, o *http.PushOptions) error     { return w.push(t, o) }
func (w withReadPush) Push(t string, o *http.PushOptions) error            { return w.push(t, o) }
func (w withFlushReadPush) Push(t string, o *http.PushOptions) error       { return w.push(t, o) }
func (w withHijackReadPush) Push(t string, o *http.PushOptions) error      { return w.push(t, o) }
func (w withFlushHijackReadPush) Push(t string, o *http.PushOptions) error { return w.push(t, o) }
