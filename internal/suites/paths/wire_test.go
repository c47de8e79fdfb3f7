package paths_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/require"
)

// An endpoint is a real server whose handler is set for each request. It speaks HTTP/1.1 over
// TCP, or HTTP/2 over TLS.
type endpoint struct {
	t       *testing.T
	server  *httptest.Server
	serving *atomic.Pointer[turn]
	log     *kit.LogBook // the server's own
	jar     http.CookieJar
	http2   bool
}

// A turn is a handler for one request.
type turn struct {
	handler http.Handler
	done    chan struct{} // closed when the request has left the middleware
}

// protocols are what every exchange is tested on.
var protocols = []string{"HTTP1", "HTTP2"}

// newEndpoint serves under middleware until the test ends.
func newEndpoint(t *testing.T, protocol string, middleware func(http.Handler) http.Handler) *endpoint {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	v := &endpoint{t: t, serving: new(atomic.Pointer[turn]), log: new(kit.LogBook), jar: jar, http2: protocol == "HTTP2"}
	wrapped := middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.serving.Load().handler.ServeHTTP(w, r)
	}))
	v.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(v.serving.Load().done)
		wrapped.ServeHTTP(w, r)
	}))
	v.server.Config.ErrorLog = log.New(v.log, "", 0)
	if v.http2 {
		v.server.EnableHTTP2 = true
		v.server.StartTLS()
	} else {
		v.server.Start()
	}
	t.Cleanup(v.server.Close)
	return v
}

// An exchange is one request and everything that came back for it.
type exchange struct {
	sent     string        // the Cookie header of the request
	raw      string        // every byte of the server on HTTP/1.1; fields and body on HTTP/2
	final    string        // what of it follows the 1xx responses
	early    []http.Header // of these
	response *http.Response
	body     string
	err      error // the answer is missing or torn
}

// serve sends a GET request with the jar's cookies, which h answers, and gives the jar what came.
func (v *endpoint) serve(h http.HandlerFunc, header ...string) exchange {
	v.t.Helper()
	return v.request(http.MethodGet, h, header...)
}

func (v *endpoint) request(method string, h http.HandlerFunc, header ...string) exchange {
	v.t.Helper()
	return v.send(method, nil, h, header...)
}

func (v *endpoint) send(method string, body io.Reader, h http.HandlerFunc, header ...string) exchange {
	v.t.Helper()
	now := &turn{handler: h, done: make(chan struct{})}
	v.serving.Store(now)
	r, err := http.NewRequestWithContext(v.t.Context(), method, v.server.URL+"/", body)
	require.NoError(v.t, err)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	for _, c := range v.jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	e := exchange{sent: r.Header.Get("Cookie")}
	if v.http2 {
		v.roundTrip(r, &e)
	} else {
		v.overTheWire(r, &e)
	}
	<-now.done
	if e.response != nil {
		v.jar.SetCookies(r.URL, e.response.Cookies())
	}
	return e
}

// overTheWire writes a request to a connection of its own and reads all there is.
func (v *endpoint) overTheWire(r *http.Request, e *exchange) {
	v.t.Helper()
	conn := v.dial()
	defer conn.Close()
	r.Close = true
	require.NoError(v.t, r.Write(conn))
	raw, err := io.ReadAll(conn)
	require.NoError(v.t, err)
	e.raw, e.final = string(raw), string(raw)
	rest := bufio.NewReader(bytes.NewReader(raw))
	for {
		response, err := http.ReadResponse(rest, r)
		if err != nil {
			e.err = err
			return
		}
		if response.StatusCode < 200 && response.StatusCode != http.StatusSwitchingProtocols {
			e.early = append(e.early, response.Header)
			_, e.final, _ = strings.Cut(e.final, "\r\n\r\n")
			continue
		}
		e.response = response
		e.read(rest)
		return
	}
}

func (v *endpoint) dial() net.Conn {
	v.t.Helper()
	conn, err := net.Dial("tcp", v.server.Listener.Addr().String())
	require.NoError(v.t, err)
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// roundTrip sends a request through the server's own client.
func (v *endpoint) roundTrip(r *http.Request, e *exchange) {
	v.t.Helper()
	trace := &httptrace.ClientTrace{Got1xxResponse: func(_ int, header textproto.MIMEHeader) error {
		e.early = append(e.early, http.Header(header))
		return nil
	}}
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), trace))
	e.response, e.err = v.server.Client().Transport.RoundTrip(r)
	if e.err != nil {
		return
	}
	require.Equal(v.t, 2, e.response.ProtoMajor)
	var fields strings.Builder
	e.response.Header.Write(&fields)
	e.raw = fields.String()
	e.read(e.response.Body)
	e.raw += "\n" + e.body
	e.final = e.raw
}

// read reads the body. What follows a 101 is no body to net/http.
func (e *exchange) read(rest io.Reader) {
	from := io.Reader(e.response.Body)
	if e.response.StatusCode == http.StatusSwitchingProtocols {
		from = rest
	}
	body, err := io.ReadAll(from)
	e.response.Body.Close()
	e.body, e.err = string(body), err
}

// cookie returns the cookie that the answer sets under a name, nil if it sets none.
func (e exchange) cookie(name string) *http.Cookie {
	if e.response == nil {
		return nil
	}
	for _, c := range e.response.Cookies() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// status returns the status of the answer, 0 if there is none.
func (e exchange) status() int {
	if e.response == nil {
		return 0
	}
	return e.response.StatusCode
}

// found returns what a session holds for the jar's cookies. The request ages no flash.
func (v *endpoint) found() (all map[string]any) {
	v.t.Helper()
	v.serve(func(w http.ResponseWriter, r *http.Request) {
		all = session.FromRequest(r).All()
		w.WriteHeader(http.StatusAccepted)
	})
	return all
}

// begin starts the jar's session with what set does. Its status is one that ages no flash.
func (v *endpoint) begin(set func(s *session.Session)) exchange {
	v.t.Helper()
	e := v.serve(func(w http.ResponseWriter, r *http.Request) {
		set(session.FromRequest(r))
		w.WriteHeader(http.StatusAccepted)
	})
	require.Equal(v.t, http.StatusAccepted, e.status())
	return e
}

// withCookies returns the endpoint as a client meets it that has the cookies of a Cookie header.
func (v *endpoint) withCookies(header string) *endpoint {
	v.t.Helper()
	other := *v
	var err error
	other.jar, err = cookiejar.New(nil)
	require.NoError(v.t, err)
	if header == "" {
		return &other
	}
	at, err := url.Parse(v.server.URL)
	require.NoError(v.t, err)
	cookies, err := http.ParseCookie(header)
	require.NoError(v.t, err)
	other.jar.SetCookies(at, cookies)
	return &other
}

func isLate(err error) bool { return errors.Is(err, session.ErrLateChange) }
