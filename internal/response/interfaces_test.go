package response_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"example.com/session/internal/response"
	"github.com/stretchr/testify/assert"
)

// calls are what reached an inner writer, by the name of the method.
type calls map[string]int

// closeNotifier is http.CloseNotifier, which is deprecated. Gin and zerolog look for it.
type closeNotifier interface{ CloseNotify() <-chan bool }

// The optional interfaces of a response writer, each alone.
type (
	flusher     struct{ calls }
	errFlusher  struct{ calls }
	hijacker    struct{ calls }
	readerFrom  struct{ calls }
	pusher      struct{ calls }
	notifier    struct{ calls }
	plainWriter struct{ header http.Header }
	unwrapper   struct{ http.ResponseWriter }
	knowing     struct{ http.ResponseWriter }
)

func (c flusher) Flush()               { c.calls["Flush"]++ }
func (c errFlusher) FlushError() error { c.calls["Flush"]++; return nil }
func (c hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c.calls["Hijack"]++
	return nil, nil, nil
}
func (c readerFrom) ReadFrom(src io.Reader) (int64, error) {
	c.calls["ReadFrom"]++
	return io.Copy(io.Discard, src)
}
func (c pusher) Push(string, *http.PushOptions) error { c.calls["Push"]++; return nil }
func (c notifier) CloseNotify() <-chan bool           { c.calls["CloseNotify"]++; return nil }

func (w *plainWriter) Header() http.Header         { return w.header }
func (w *plainWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *plainWriter) WriteHeader(int)             {}
func (u unwrapper) Unwrap() http.ResponseWriter    { return u.ResponseWriter }
func (k knowing) Written() bool                    { return false }

// An interfaceSet is a writer, and the interfaces that the handler is expected to find.
type interfaceSet struct {
	name string
	w    http.ResponseWriter
	want string
}

// interfaceSets returns the sets that real writers have, and some that nobody has.
func interfaceSets(c calls) []interfaceSet {
	type writer = http.ResponseWriter
	w, f, h, r, p, n := &plainWriter{header: http.Header{}}, flusher{c}, hijacker{c}, readerFrom{c}, pusher{c}, notifier{c}
	return []interfaceSet{
		{name: "none", w: w, want: ""},
		{name: "Flusher", want: "Flusher", w: struct {
			writer
			flusher
		}{w, f}},
		{name: "FlushError alone", want: "Flusher", w: struct {
			writer
			errFlusher
		}{w, errFlusher{c}}},
		{name: "Hijacker", want: "Hijacker", w: struct {
			writer
			hijacker
		}{w, h}},
		{name: "both", want: "Flusher Hijacker", w: struct {
			writer
			flusher
			hijacker
		}{w, f, h}},
		{name: "HTTP/1", want: "Flusher Hijacker ReaderFrom CloseNotifier", w: struct {
			writer
			flusher
			hijacker
			readerFrom
			notifier
		}{w, f, h, r, n}},
		{name: "HTTP/2", want: "Flusher Pusher CloseNotifier", w: struct {
			writer
			flusher
			pusher
			notifier
		}{w, f, p, n}},
		{name: "all", want: "Flusher Hijacker ReaderFrom CloseNotifier", w: struct {
			writer
			flusher
			hijacker
			readerFrom
			pusher
			notifier
		}{w, f, h, r, p, n}},
		{name: "gin", want: "Flusher Hijacker CloseNotifier", w: struct {
			writer
			flusher
			hijacker
			notifier
		}{w, f, h, n}},
		{name: "HTTP/1 without CloseNotifier", want: "Flusher Hijacker", w: struct {
			writer
			flusher
			hijacker
			readerFrom
		}{w, f, h, r}},
		{name: "HTTP/2 without CloseNotifier", want: "Flusher", w: struct {
			writer
			flusher
			pusher
		}{w, f, p}},
		{name: "HTTP/2 without Pusher", want: "Flusher CloseNotifier", w: struct {
			writer
			flusher
			notifier
		}{w, f, n}},
		{name: "HTTP/2 that hijacks", want: "Flusher Hijacker CloseNotifier", w: struct {
			writer
			flusher
			hijacker
			pusher
			notifier
		}{w, f, h, p, n}},
		{name: "ReaderFrom alone", want: "", w: struct {
			writer
			readerFrom
		}{w, r}},
	}
}

// interfaces lists the optional interfaces that w has.
func interfaces(w http.ResponseWriter) string {
	var all []string
	note := func(name string, ok bool) {
		if ok {
			all = append(all, name)
		}
	}
	_, flushes := w.(http.Flusher)
	note("Flusher", flushes)
	_, hijacks := w.(http.Hijacker)
	note("Hijacker", hijacks)
	_, reads := w.(io.ReaderFrom)
	note("ReaderFrom", reads)
	_, pushes := w.(http.Pusher)
	note("Pusher", pushes)
	_, notifies := w.(closeNotifier)
	note("CloseNotifier", notifies)
	return strings.Join(all, " ")
}

// assertReaches calls each method that w has and checks that it reaches the inner writer.
func assertReaches(t *testing.T, w http.ResponseWriter, reached calls) {
	t.Helper()
	want := calls{}
	if p, ok := w.(http.Pusher); ok {
		assert.NoError(t, p.Push("/x", nil))
		want["Push"] = 1
	}
	if n, ok := w.(closeNotifier); ok {
		n.CloseNotify()
		want["CloseNotify"] = 1
	}
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
		assert.NoError(t, w.(interface{ FlushError() error }).FlushError())
		assert.NoError(t, http.NewResponseController(w).Flush())
		want["Flush"] = 3
	}
	if r, ok := w.(io.ReaderFrom); ok {
		n, err := r.ReadFrom(strings.NewReader("page"))
		assert.NoError(t, err)
		assert.EqualValues(t, 4, n)
		want["ReadFrom"] = 1
	}
	if h, ok := w.(http.Hijacker); ok {
		_, _, err := h.Hijack()
		assert.NoError(t, err)
		_, _, err = http.NewResponseController(w).Hijack()
		assert.NoError(t, err)
		want["Hijack"] = 2
	}
	assert.Equal(t, want, reached)
}

func TestWriterHasTheLargestSetThatTheInnerOneHas(t *testing.T) {
	reached := calls{}
	for _, set := range interfaceSets(reached) {
		t.Run(set.name, func(t *testing.T) {
			clear(reached)
			new(fakeHooks).under(set.w, func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, set.want, interfaces(w))
				assert.Implements(t, (*io.StringWriter)(nil), w)
				assert.Equal(t, set.w, w.(interface{ Unwrap() http.ResponseWriter }).Unwrap())
				assertReaches(t, w, reached)
			})
		})
	}
}

// The server's own writers must keep all that they have.
func TestWriterHasAllThatNetHTTPHas(t *testing.T) {
	for protocol, want := range map[string]string{
		"HTTP1": "Flusher Hijacker ReaderFrom CloseNotifier",
		"HTTP2": "Flusher Pusher CloseNotifier",
	} {
		serve(t, protocol, http.HandlerFunc(func(inner http.ResponseWriter, r *http.Request) {
			assert.Equal(t, want, interfaces(inner), protocol)
			new(fakeHooks).middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, want, interfaces(w), protocol)
				assert.NotNil(t, w.(closeNotifier).CloseNotify())
			})).ServeHTTP(inner, r)
		}))
	}
}

// http.ResponseController finds Flusher and Hijacker behind an Unwrap, and would reach past the
// commit if the writer did not have them too.
func TestWriterFindsFlusherAndHijackerBehindUnwraps(t *testing.T) {
	reached := calls{}
	for _, set := range interfaceSets(reached) {
		t.Run(set.name, func(t *testing.T) {
			var want []string
			for _, name := range []string{"Flusher", "Hijacker"} {
				if strings.Contains(set.want, name) {
					want = append(want, name)
				}
			}
			clear(reached)
			new(fakeHooks).under(unwrapper{unwrapper{set.w}}, func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, strings.Join(want, " "), interfaces(w))
				assertReaches(t, w, reached)
			})
		})
	}
}

func TestNilBehindAnUnwrapHasNothing(t *testing.T) {
	inner := struct {
		*plainWriter
		unwrapper
	}{&plainWriter{header: http.Header{}}, unwrapper{}}
	new(fakeHooks).under(inner, func(w http.ResponseWriter, r *http.Request) { assert.Empty(t, interfaces(w)) })
}

// A handler must not be able to commit or fail by asserting an interface.
func TestHandlersWriterHidesTheMethodsOfWriter(t *testing.T) {
	for _, set := range interfaceSets(calls{}) {
		new(fakeHooks).under(set.w, func(w http.ResponseWriter, r *http.Request) {
			_, commits := w.(interface{ Commit(int) error })
			_, fails := w.(interface{ Fail(error) })
			assert.False(t, commits || fails, set.name)
		})
	}
}

func TestWrappingDoesNotAllocate(t *testing.T) {
	hooks := new(fakeHooks)
	var w response.Writer
	var out http.ResponseWriter
	for _, set := range interfaceSets(calls{}) {
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			w.Begin(set.w, hooks)
			out = w.Wrapped()
		}), set.name)
	}
	assert.NotNil(t, out)
}

func TestOthersMayAnswer(t *testing.T) {
	recorder := httptest.NewRecorder()
	wrapped := func(inner http.ResponseWriter) http.ResponseWriter {
		w := new(response.Writer)
		w.Begin(inner, new(fakeHooks))
		return w.Wrapped()
	}
	assert.False(t, response.OthersMayAnswer(recorder))
	assert.True(t, response.OthersMayAnswer(unwrapper{recorder}))
	assert.True(t, response.OthersMayAnswer(wrapped(knowing{recorder})))
	assert.False(t, response.OthersMayAnswer(wrapped(recorder)), "a writer of this package does not count")
	assert.False(t, response.OthersMayAnswer(wrapped(wrapped(recorder))))
	assert.True(t, response.OthersMayAnswer(wrapped(unwrapper{recorder})))
	assert.True(t, response.OthersMayAnswer(unwrapper{wrapped(recorder)}))
	for _, set := range interfaceSets(calls{}) {
		assert.False(t, response.OthersMayAnswer(wrapped(set.w)), set.name)
	}
}

// A ginWriter demands of the writer behind it what gin's does.
type ginWriter struct{ http.ResponseWriter }

func (g ginWriter) CloseNotify() <-chan bool {
	return g.ResponseWriter.(closeNotifier).CloseNotify()
}
func (g ginWriter) Flush() { g.ResponseWriter.(http.Flusher).Flush() }

func TestStreamOfGinWorks(t *testing.T) {
	for _, protocol := range protocols {
		hooks := new(fakeHooks)
		e := serve(t, protocol, hooks.middleware(http.HandlerFunc(func(inner http.ResponseWriter, r *http.Request) {
			w := ginWriter{inner}
			gone := w.CloseNotify()
			assert.Empty(t, hooks.calls, "asking commits nothing")
			for i := range 3 {
				select {
				case <-gone:
					assert.Fail(t, "the client is there")
				default:
					fmt.Fprintln(w, i)
					w.Flush()
				}
			}
		})))
		assert.Equal(t, "0\n1\n2\n", e.body, protocol)
		assert.Equal(t, []string{"s=1"}, e.response.Header["Set-Cookie"])
	}
}
