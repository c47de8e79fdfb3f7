package response_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/session/internal/response"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var errCommit = errors.New("the test's commit failed")

// fakeHooks is what the requests of one test share. It sets the cookie "s" with each header.
type fakeHooks struct {
	headerErr, hijackErr error
	onError              func(w http.ResponseWriter, r *http.Request, err error)
	status, retryAfter   int    // of the default answer
	saved                string // a Set-Cookie line of the error answer

	request  *http.Request
	writer   *response.Writer
	calls    []string
	statuses []int
	panicked any
}

func (f *fakeHooks) BeforeHeader(status int) error {
	f.calls, f.statuses = append(f.calls, "header"), append(f.statuses, status)
	if f.headerErr == nil {
		f.writer.Inner().Header().Add("Set-Cookie", "s=1")
	}
	return f.headerErr
}

func (f *fakeHooks) BeforeHijack() error {
	f.calls = append(f.calls, "before hijack")
	return f.hijackErr
}

func (f *fakeHooks) AfterHijack() { f.calls = append(f.calls, "after hijack") }

func (f *fakeHooks) ErrorAnswer(err error) response.ErrorAnswer {
	f.calls = append(f.calls, "error answer")
	a := response.ErrorAnswer{
		Request:    f.request,
		Handler:    f.onError,
		Panicked:   func(v any) { f.panicked = v },
		Status:     f.status,
		RetryAfter: f.retryAfter,
	}
	if a.Status == 0 {
		a.Status = http.StatusServiceUnavailable
	}
	return a
}

func (f *fakeHooks) SetCookies(h http.Header) {
	f.calls = append(f.calls, "cookies")
	kept := h["Set-Cookie"][:0:0]
	for _, line := range h["Set-Cookie"] {
		if !strings.HasPrefix(line, "s=") {
			kept = append(kept, line)
		}
	}
	delete(h, "Set-Cookie")
	if f.saved != "" {
		kept = append(kept, f.saved)
	}
	if len(kept) > 0 {
		h["Set-Cookie"] = kept
	}
}

// failing returns hooks whose commits fail.
func failing() *fakeHooks { return &fakeHooks{headerErr: errCommit, hijackErr: errCommit} }

// middleware uses a Writer as the session middleware does.
func (f *fakeHooks) middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(inner http.ResponseWriter, r *http.Request) {
		w := new(response.Writer)
		f.request, f.writer = r, w
		w.Begin(inner, f)
		returned := false
		defer func() {
			if returned || !w.HasAnswered() {
				return
			}
			if v := recover(); v != nil && v != http.ErrAbortHandler {
				panic(v)
			}
		}()
		next.ServeHTTP(w.Wrapped(), r)
		if !w.Committed() {
			w.Commit(http.StatusOK)
		}
		if w.Err() != nil && !w.HasAnswered() {
			panic(http.ErrAbortHandler)
		}
		returned = true
	})
}

// under serves one request to inner.
func (f *fakeHooks) under(inner http.ResponseWriter, h http.HandlerFunc) {
	f.middleware(h).ServeHTTP(inner, httptest.NewRequest(http.MethodGet, "/", nil))
}

// protocols are what exchanges are tested on.
var protocols = []string{"HTTP1", "HTTP2"}

// An exchange is one request and everything that came back for it.
type exchange struct {
	raw      string        // every byte of the server on HTTP/1.1; header and body on HTTP/2
	early    []http.Header // of the informational responses
	response *http.Response
	body     string
	err      error  // the response is missing or torn
	log      string // of the server
	logged   *logBook
}

// serve answers a GET request on a real server.
func serve(t *testing.T, protocol string, h http.Handler, header ...string) exchange {
	t.Helper()
	return request(t, protocol, http.MethodGet, h, header...)
}

func request(t *testing.T, protocol, method string, h http.Handler, header ...string) exchange {
	t.Helper()
	logged := new(logBook)
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(logged, "", 0)
	if protocol == "HTTP2" {
		server.EnableHTTP2 = true
		server.StartTLS()
	} else {
		server.Start()
	}
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/", nil)
	require.NoError(t, err)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	var e exchange
	if protocol == "HTTP2" {
		e.roundTrip(t, server, r)
	} else {
		e.overTheWire(t, server, r)
	}
	server.Close() // waits for the handler
	e.log, e.logged = logged.text(), logged
	return e
}

// overTheWire writes a request to a connection of its own and reads all there is.
func (e *exchange) overTheWire(t *testing.T, server *httptest.Server, r *http.Request) {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	r.Close = true
	require.NoError(t, r.Write(conn))
	raw, err := io.ReadAll(conn)
	require.NoError(t, err)
	e.raw = string(raw)
	rest := bufio.NewReader(bytes.NewReader(raw))
	for {
		e.response, e.err = http.ReadResponse(rest, r)
		if e.err != nil {
			return
		}
		if status := e.response.StatusCode; status >= 200 || status == http.StatusSwitchingProtocols {
			break
		}
		e.early = append(e.early, e.response.Header)
	}
	e.read(e.response.Body)
}

func (e *exchange) roundTrip(t *testing.T, server *httptest.Server, r *http.Request) {
	t.Helper()
	trace := &httptrace.ClientTrace{Got1xxResponse: func(_ int, header textproto.MIMEHeader) error {
		e.early = append(e.early, http.Header(header))
		return nil
	}}
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), trace))
	e.response, e.err = server.Client().Transport.RoundTrip(r)
	if e.err != nil {
		return
	}
	require.Equal(t, 2, e.response.ProtoMajor)
	e.read(e.response.Body)
	var header strings.Builder
	e.response.Header.Write(&header)
	e.raw = header.String() + "\n" + e.body
}

func (e *exchange) read(from io.ReadCloser) {
	body, err := io.ReadAll(from)
	from.Close()
	e.body, e.err = string(body), err
}

// status returns the status of the response, 0 if there is none.
func (e exchange) status() int {
	if e.response == nil {
		return 0
	}
	return e.response.StatusCode
}

// assertErrorAnswer checks what holds for every error answer.
func assertErrorAnswer(t *testing.T, e exchange) {
	t.Helper()
	require.NoError(t, e.err)
	assert.NotContains(t, e.raw, "page", "a byte of the handler's")
	assert.NotContains(t, e.raw, "text/handler")
	assert.Equal(t, []string{"no-store"}, e.response.Header["Cache-Control"])
	assert.NotContains(t, e.log, "superfluous")
	if e.response.Request == nil || e.response.Request.Method != http.MethodHead {
		if e.status() != http.StatusNoContent && e.status() != http.StatusNotModified {
			assert.EqualValues(t, len(e.body), e.response.ContentLength, "Content-Length")
		}
	}
}

// A logBook collects what a server logs.
type logBook struct {
	mu      sync.Mutex
	written strings.Builder
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.written.Write(p)
}

func (b *logBook) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.written.String()
}
