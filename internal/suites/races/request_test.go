package races_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"time"

	"example.com/session"
)

// A spec says what a request does.
type spec struct {
	who  who
	op   string // see serve
	user string // of Login, EndAll and Sessions
	save bool   // the handler calls Save before it returns
}

// who sends a request.
type who string

const (
	browser  who = "browser"
	attacker who = "attacker" // holds a copy of the browser's first token
	process  who = "process"  // the application, outside of a request
)

func (s spec) String() string {
	text := strings.TrimSpace(s.op + " " + s.user)
	if s.save {
		text += ", Save"
	}
	return string(s.who) + ": " + text
}

// writes reports whether the request writes values.
func (s spec) writes() bool {
	return slices.Contains([]string{"set", "login", "login again", "regenerate", "remember", "password"}, s.op)
}

// changesIdentity reports whether the request may change the browser's token.
func (s spec) changesIdentity() bool {
	return !slices.Contains([]string{"read", "set", "end all", "sessions"}, s.op)
}

// A request is one request of a run, or one call of the application outside of any.
type request struct {
	spec
	name      string
	process   int    // which of the managers serves it
	presented string // the token that it carries
	recorder  *httptest.ResponseRecorder

	// Of the scheduler.
	begun, done, crashed bool
	waiting              []*operation
	running              *operation // is granted and has not finished
	faults               []fault

	// What the handler saw.
	entered    time.Time
	session    *session.Session
	loaded     string // handle
	loadedUser string
	seen       int // n after its increment
	saveErr    error

	// What became of it.
	handle string // "" if its changes were dropped
	err    error  // of EndAll and Sessions
}

type requestKey struct{}

const (
	cookieName  = "s_tested"
	handlerStep = "goes on" // is no operation of a driver: the handler has opened the session
)

// serve is the handler of all requests.
func (w *world) serve(_ http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	q, ok := r.Context().Value(requestKey{}).(*request)
	if !ok {
		r.Context().Value(probeKey{}).(*probe).look(s)
		return
	}
	q.session = s
	s.Open()
	q.loaded, q.loadedUser = s.Handle(), userOf(s)
	if w.tickBy > 0 {
		w.await(&operation{by: q, name: handlerStep})
	}
	if q.writes() {
		s.Set("k "+q.name, true)
		q.seen = s.Increment("n", 1)
	}
	w.change(r.Context(), q, s)
	if q.save {
		q.saveErr = s.Save()
	}
}

func (w *world) change(ctx context.Context, q *request, s *session.Session) {
	switch q.op {
	case "read", "set":
	case "login":
		s.Login(q.user)
	case "login again": // for whoever is signed in, without asking for a password
		if q.loadedUser != "" {
			s.Login(q.loadedUser)
		}
	case "logout":
		s.Logout()
	case "regenerate":
		s.Regenerate()
	case "remember":
		s.Remember(30 * 24 * time.Hour)
	case "password": // was changed
		if q.loadedUser != "" {
			q.err = w.managers[q.process].EndOthers(ctx, s)
			s.Regenerate()
		}
	default:
		panic("unknown operation " + q.op)
	}
}

func userOf(s *session.Session) string {
	user, _ := s.User()
	return user
}

// begin starts a request in a goroutine of its own.
func (w *world) begin(q *request) {
	q.begun, q.entered = true, w.clock.Now()
	if w.usesJar && q.who == browser {
		q.presented = w.jar
	}
	ctx := context.WithValue(w.ctx, requestKey{}, q)
	go func() {
		defer w.ended(q)
		switch m := w.managers[q.process]; q.op {
		case "end all":
			q.err = m.EndAll(ctx, q.user)
		case "sessions":
			_, q.err = m.Sessions(ctx, q.user)
		default:
			q.recorder = newRecorder()
			w.handlers[q.process].ServeHTTP(q.recorder, newRequest(ctx, q.presented))
			q.handle = q.session.Handle()
		}
	}()
}

func newRequest(ctx context.Context, token string) *http.Request {
	r := &http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: "/"}, Host: "localhost", Header: http.Header{},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: "127.0.0.1:1",
	}
	if token != "" {
		r.Header.Set("Cookie", cookieName+"="+token)
	}
	return r.WithContext(ctx)
}

// cookie returns what the response does to the browser's session cookie.
func (q *request) cookie() (value string, sets bool) {
	if q.recorder == nil || q.crashed {
		return "", false
	}
	return cookieIn(q.recorder)
}

func cookieIn(recorder *httptest.ResponseRecorder) (value string, sets bool) {
	for _, line := range recorder.Header()["Set-Cookie"] {
		if c, err := http.ParseSetCookie(line); err == nil && c.Name == cookieName {
			value, sets = c.Value, true
			if c.MaxAge < 0 {
				value = ""
			}
		}
	}
	return value, sets
}

// status returns the status of the response, 0 if there is none.
func (q *request) status() int {
	if q.recorder == nil || q.crashed {
		return 0
	}
	return q.recorder.Code
}

// acknowledged reports whether the client was told that what the request did is stored.
func (q *request) acknowledged() bool {
	if q.recorder == nil {
		return q.err == nil && !q.crashed
	}
	return q.status() == http.StatusOK && q.err == nil && !q.wasDropped()
}

// failure returns why a request or a call failed.
func (q *request) failure() error {
	if q.err != nil || q.session == nil {
		return q.err
	}
	return q.session.Err()
}

// wasDropped reports whether the response is that of the handler, and nothing was stored.
func (q *request) wasDropped() bool {
	return q.status() == http.StatusOK && q.writes() && q.handle == ""
}

// hadFault reports whether an operation of the request had no reply.
func (q *request) hadFault() bool {
	return slices.ContainsFunc(q.faults, func(f fault) bool { return f != none && f != repeated })
}

// A probe looks at a session without being scheduled.
type probe struct {
	handle, user string
	cart         bool
	keys         map[string]any
}

type probeKey struct{}

func (p *probe) look(s *session.Session) {
	p.keys = s.All()
	p.handle, p.user, p.cart = s.Handle(), userOf(s), p.keys["cart"] == "book"
}

// open returns what a token opens.
func (w *world) open(token string) *probe {
	p := new(probe)
	recorder := newRecorder()
	w.handlers[1].ServeHTTP(recorder, newRequest(context.WithValue(w.ctx, probeKey{}, p), token))
	if recorder.Code != http.StatusOK {
		w.violation(fmt.Sprintf("a token cannot be opened after the run: status %d", recorder.Code))
	}
	return p
}

func newRecorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }
