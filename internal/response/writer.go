// Package response wraps the http.ResponseWriter of one request. It calls back just before the
// first byte of the final header leaves, whichever method sends it. If the callback fails, it sends
// an error answer in place of the handler's response. It also keeps shared caches from storing a
// response that belongs to one client.
//
// The package knows net/http and nothing about sessions.
package response

import (
	"io"
	"net/http"
)

// Hooks are the callbacks of a Writer. They run on the goroutine that writes the response.
type Hooks interface {
	// BeforeHeader is called once, just before the first byte of the final header leaves, with the
	// status of the response. If it returns an error, the client gets an error answer and nothing
	// of the handler's response.
	BeforeHeader(status int) error

	// BeforeHijack is called before a connection is taken over whose header is not sent yet. The
	// handler then writes a header of its own, so no cookie can be set any more. If it returns an
	// error, the client gets an error answer. If the hijack fails, the header is still to come: a
	// call of BeforeHeader or another one of BeforeHijack follows.
	BeforeHijack() error

	// AfterHijack is called after such a hijack has succeeded. No other callback follows.
	AfterHijack()

	// ErrorAnswer is called once, before an error answer is made for err.
	ErrorAnswer(err error) ErrorAnswer

	// SetCookies is called just before an error answer is sent. It removes the cookies that belong
	// to changes that were not stored, and adds those of changes that were.
	SetCookies(h http.Header)
}

// A Writer holds the state of one response. Its zero value is ready for Begin, and it must not be
// copied afterwards. Like an http.ResponseWriter it is for one goroutine at a time.
//
// The handler gets what Wrapped returns, which has none of the methods of Writer.
type Writer struct {
	inner     http.ResponseWriter
	hooks     Hooks
	before    http.Header // the fields about the body that were set before Begin
	failure   *failure    // nil unless the error answer was called for
	committed bool
	lines     [2]string // the values of Vary and Cache-Control; here they need no allocation
}

// Begin sets the writer that the response goes to, and the callbacks. Header fields that are
// already set about the body are kept for an error answer.
func (w *Writer) Begin(inner http.ResponseWriter, hooks Hooks) {
	w.inner, w.hooks = inner, hooks
	h := inner.Header()
	if len(h) == 0 { // the usual case: ranging over an empty map takes 20 ns
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

// Inner returns the writer that Begin was called with.
func (w *Writer) Inner() http.ResponseWriter { return w.inner }

// Committed reports whether the header is sent or about to be sent, by the handler or as an error
// answer, or the connection is taken over.
func (w *Writer) Committed() bool { return w.committed }

// Err returns the error that the error answer was called for, or nil.
func (w *Writer) Err() error {
	if w.failure == nil {
		return nil
	}
	return w.failure.err
}

// Commit calls Hooks.BeforeHeader, and sends the error answer if that fails. It sends nothing
// otherwise: that is left to a write or to the end of the handler. It must not be called when the
// writer is committed.
func (w *Writer) Commit(status int) error {
	w.committed = true
	err := w.hooks.BeforeHeader(status)
	if err != nil {
		w.Fail(err)
	}
	return err
}

// Release ends the callbacks: other code that still has the writer may write a response of its own,
// such as the answer of echo to a panic.
func (w *Writer) Release() { w.committed = true }

// ready commits unless that is done, and returns the error of the commit.
func (w *Writer) ready() error {
	if w.committed {
		return w.Err()
	}
	return w.Commit(http.StatusOK)
}

// plain is a Writer as the handler sees it.
type plain struct{ w *Writer }

func (p plain) writer() *Writer { return p.w }

// Header returns the header map of the inner writer.
func (p plain) Header() http.Header { return p.w.inner.Header() }

// Unwrap returns the inner writer, for http.ResponseController.
func (p plain) Unwrap() http.ResponseWriter { return p.w.inner }

// WriteHeader commits and sends the header. An informational status commits nothing, because the
// final header is still to come.
func (p plain) WriteHeader(status int) {
	if p.w.Err() != nil {
		return
	}
	if !p.w.committed && isFinal(status) && p.w.Commit(status) != nil {
		return
	}
	p.w.inner.WriteHeader(status)
}

// isFinal reports whether no other header follows one with this status. For an invalid status it
// returns false, and net/http panics.
func isFinal(status int) bool {
	return status == http.StatusSwitchingProtocols || (status >= 200 && status <= 999)
}

func (p plain) Write(b []byte) (int, error) {
	if err := p.w.ready(); err != nil {
		return 0, err
	}
	return p.w.inner.Write(b)
}

// WriteString writes without a copy if the inner writer can.
func (p plain) WriteString(s string) (int, error) {
	if err := p.w.ready(); err != nil {
		return 0, err
	}
	return io.WriteString(p.w.inner, s)
}
