package response

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// Each type adds interfaces to another one. They hold one pointer, so an interface value of them
// needs no allocation.
type (
	withFlush             struct{ plain }
	withHijack            struct{ plain }
	withFlushHijack       struct{ withFlush }
	withFlushNotify       struct{ withFlush }
	withFlushHijackNotify struct{ withFlushHijack }
	likeHTTP1             struct{ withFlushHijackNotify } // has what the writer of net/http has for HTTP/1
	likeHTTP2             struct{ withFlushNotify }       // and for HTTP/2
)

type (
	errorFlusher  interface{ FlushError() error }
	unwrapper     interface{ Unwrap() http.ResponseWriter }
	closeNotifier interface{ CloseNotify() <-chan bool } // http.CloseNotifier, which is deprecated
)

// Wrapped returns the writer for the handler. It has the largest of these sets of interfaces that
// the inner writer has too: none; Flusher; Hijacker; both; Flusher, alone or with Hijacker, and
// CloseNotifier, as those of gin and negroni have; all these with ReaderFrom, as HTTP/1 has; Flusher,
// CloseNotifier and Pusher, as HTTP/2 has.
//
// A Flusher or Hijacker behind an Unwrap method counts as well. http.ResponseController would
// find it there and send the header before the commit.
func (w *Writer) Wrapped() http.ResponseWriter {
	p := plain{w}
	flush, hijack := canFlush(w.inner), canHijack(w.inner)
	_, notify := w.inner.(closeNotifier)
	switch {
	case flush && hijack && notify:
		f := withFlushHijackNotify{withFlushHijack{withFlush{p}}}
		if _, ok := w.inner.(io.ReaderFrom); ok {
			return likeHTTP1{f}
		}
		return f
	case flush && hijack:
		return withFlushHijack{withFlush{p}}
	case flush && notify:
		f := withFlushNotify{withFlush{p}}
		if _, ok := w.inner.(http.Pusher); ok {
			return likeHTTP2{f}
		}
		return f
	case flush:
		return withFlush{p}
	case hijack:
		return withHijack{p}
	}
	return p
}

// canFlush reports whether http.ResponseController would find a Flusher at w.
func canFlush(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case http.Flusher, errorFlusher:
			return true
		case unwrapper:
			w = t.Unwrap()
		default:
			return false
		}
	}
}

// canHijack reports whether http.ResponseController would find a Hijacker at w.
func canHijack(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case http.Hijacker:
			return true
		case unwrapper:
			w = t.Unwrap()
		default:
			return false
		}
	}
}

// OthersMayAnswer reports whether w is a wrapper of other code, which may still send a header of
// its own after the handler has returned without one. A wrapper has an Unwrap method, or Written,
// as that of negroni. For a writer of this package, its inner writer is asked.
func OthersMayAnswer(w http.ResponseWriter) bool {
	for {
		ours, ok := w.(interface{ writer() *Writer })
		if !ok {
			_, wraps := w.(unwrapper)
			_, knows := w.(interface{ Written() bool })
			return wraps || knows
		}
		w = ours.writer().inner
	}
}

// WasSent reports whether w tells that its header was sent. The writers of some frameworks, such as
// gin's, can tell.
func WasSent(w http.ResponseWriter) bool {
	for {
		if sent, ok := w.(interface{ Written() bool }); ok && sent.Written() {
			return true
		}
		t, ok := w.(unwrapper)
		if !ok {
			return false
		}
		w = t.Unwrap()
	}
}

func (f withFlush) Flush() { f.FlushError() }

func (f withFlush) FlushError() error {
	if err := f.w.ready(); err != nil {
		return err
	}
	return http.NewResponseController(f.w.inner).Flush()
}

func (h withHijack) Hijack() (net.Conn, *bufio.ReadWriter, error)      { return h.w.hijack() }
func (f withFlushHijack) Hijack() (net.Conn, *bufio.ReadWriter, error) { return f.w.hijack() }

// hijack hijacks the connection. If the inner writer has the method but returns an error, the
// header is still to come.
func (w *Writer) hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := w.Err(); err != nil {
		return nil, nil, err
	}
	if !w.committed {
		if err := w.hooks.BeforeHijack(); err != nil {
			w.Fail(err)
			return nil, nil, err
		}
	}
	conn, buf, err := http.NewResponseController(w.inner).Hijack()
	if err == nil && !w.committed {
		w.committed = true
		w.hooks.AfterHijack()
	}
	return conn, buf, err
}

func (f withFlushNotify) CloseNotify() <-chan bool { return f.w.inner.(closeNotifier).CloseNotify() }
func (f withFlushHijackNotify) CloseNotify() <-chan bool {
	return f.w.inner.(closeNotifier).CloseNotify()
}

func (l likeHTTP2) Push(target string, o *http.PushOptions) error {
	return l.w.inner.(http.Pusher).Push(target, o)
}

// ReadFrom commits when src has given its first bytes. The inner writer reads the rest, so that a
// file is still sent with sendfile.
func (l likeHTTP1) ReadFrom(src io.Reader) (n int64, err error) {
	if err := l.w.Err(); err != nil {
		return 0, err
	}
	if !l.w.committed {
		if n, err = l.copyFirst(src); n == 0 || err != nil {
			return n, err
		}
	}
	rest, err := l.w.inner.(io.ReaderFrom).ReadFrom(src)
	return n + rest, err
}

func (l likeHTTP1) copyFirst(src io.Reader) (int64, error) {
	var first [512]byte // as many as net/http reads itself to guess a Content-Type
	n, err := io.ReadAtLeast(src, first[:], 1)
	if err == io.EOF {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err = l.Write(first[:n])
	return int64(n), err
}
