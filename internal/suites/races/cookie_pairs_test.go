package races_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/casstore"
	"example.com/session/internal/hooks"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Two requests of one browser meet on the cookie driver, in two processes that share the secret. All
// pairs of operations run from all starts, in all orders of what the two do, with either response lost.
//
// The rule: of two requests that both change who is signed in the last response wins. Every other request
// leaves that alone, and one that only reads changes nothing. With Revocation a sign-out is final.

var pairOps = []string{"read", "set", "flash", "login ann", "login bob", "logout", "regenerate", "remember"}

func TestTwoRequestsOnTheCookieDriver(t *testing.T) {
	t.Parallel()
	p := newPairs(t, func(*session.Config) {})
	p.runAll(t, p.checkWithoutServer)
}

func TestTwoRequestsOnTheCookieDriverWithRevocation(t *testing.T) {
	t.Parallel()
	shared := new(casstore.Swapper)
	p := newPairs(t, func(cfg *session.Config) {
		cfg.Drivers = map[string]session.Driver{"shared": session.StoreDriver(shared)}
		cfg.Cookie.Revocation = "shared"
	})
	p.revocation = true
	p.runAll(t, p.checkWithRevocation)
}

// A pairBench is what all runs share: a process for each request, and one for what is looked up later.
type pairBench struct {
	handlers   [3]http.Handler
	clock      *kit.Clock
	revocation bool
	pairRun
}

// A pairRun is one run: a start, two requests, the order of their events, and the response that is lost.
type pairRun struct {
	t        *testing.T
	start    start
	requests [2]*pairRequest
	order    string // of events: S, L, C, D of the first request, and s, l, c, d of the second
	lost     int    // 2: none
	jar      string // the browser's Cookie line
	lines    []string
}

// A pairRequest is one of the two. It sends the cookies (S), has opened its session (L), has committed and
// answered (C), and its response arrives at the browser (D).
type pairRequest struct {
	op       string
	n        int
	sent     string
	opened   chan struct{}
	goOn     chan struct{}
	answered chan kit.Page
	page     kit.Page
	had      sight  // what the cookies opened when they were sent
	handle   string // of the session that it found
	user     string
	flash    bool  // it found a flash message
	err      error // of the session after the commit
}

func newPairs(t *testing.T, change func(*session.Config)) *pairBench {
	p := new(pairBench)
	for i := range p.handlers {
		cfg := kit.DriverConfig(t, "cookie")
		cfg.IdleTimeout = time.Hour
		change(&cfg)
		m := kit.NewManager(t, cfg)
		if p.clock == nil {
			p.clock = kit.SetClock(m)
		}
		hooks.SetClock(m, p.clock.Now)
		p.handlers[i] = m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Context().Value(pairKey{}).(func(http.ResponseWriter, *session.Session))(w, session.FromRequest(r))
		}))
	}
	return p
}

type pairKey struct{}

// serve answers a request with these cookies in a process.
func (p *pairBench) serve(process int, cookies string, do func(w http.ResponseWriter, s *session.Session)) kit.Page {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if cookies != "" {
		r.Header.Set("Cookie", cookies)
	}
	w := httptest.NewRecorder()
	p.handlers[process].ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), pairKey{}, do)))
	return kit.Page{Response: w.Result()}
}

// pairOrders returns the orders of the events of two requests. Cookies are sent and received in the browser,
// sessions are opened and committed in the processes: orders that differ in neither are one. A response that
// is lost is not received.
func pairOrders(onServers bool, lost int) (orders []string) {
	inBrowser := [...]string{"Ssd", "SDs", "SDsd"}[lost]
	seen := make(map[string]bool)
	var extend func(order, first, second string)
	extend = func(order, first, second string) {
		if first == "" && second == "" {
			key := keep(order, inBrowser)
			if onServers {
				key += keep(order, "LClc")
			}
			if !seen[key] {
				seen[key] = true
				orders = append(orders, order)
			}
		}
		if first != "" {
			extend(order+first[:1], first[1:], second)
		}
		if second != "" {
			extend(order+second[:1], first, second[1:])
		}
	}
	extend("", "SLCD", "slcd")
	return orders
}

func keep(text, letters string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(letters, r) {
			return r
		}
		return -1
	}, text)
}

func (p *pairBench) runAll(t *testing.T, check func()) {
	runs := 0
	for lost := range 3 {
		orders := pairOrders(p.revocation, lost)
		for _, start := range []start{noSession, visitor, signedIn} {
			for i, first := range pairOps {
				for _, second := range pairOps[i:] {
					for _, order := range orders {
						p.run(t, start, first, second, order, lost)
						if check(); t.Failed() {
							return
						}
						runs++
					}
				}
			}
		}
		t.Logf("%d orders if response %d is lost (2: none)", len(orders), lost)
	}
	t.Logf("%d runs", runs)
}

func (p *pairBench) run(t *testing.T, start start, first, second, order string, lost int) {
	p.pairRun = pairRun{t: t, start: start, order: order, lost: lost, requests: [2]*pairRequest{{op: first}, {op: second, n: 1}}}
	if start != noSession {
		p.deliver(p.serve(2, "", func(_ http.ResponseWriter, s *session.Session) {
			s.Set("cart", "full")
			if start == signedIn {
				s.Login("ann")
			}
		}))
	}
	p.clock.Advance(10 * time.Minute) // each use has to be noted
	for _, event := range order {
		q := p.requests[0]
		if event >= 'a' {
			q = p.requests[1]
		}
		switch strings.ToUpper(string(event)) {
		case "S":
			q.sent, q.had = p.jar, p.look(p.jar)
		case "L":
			p.open(q)
		case "C":
			close(q.goOn)
			q.page = <-q.answered
			p.lines = append(p.lines, q.page.Next(q.sent))
		case "D":
			if q.n != lost {
				p.deliver(q.page)
			}
		}
	}
}

// deliver puts the cookies of a response into the jar.
func (p *pairBench) deliver(page kit.Page) {
	p.jar = page.Next(p.jar)
	p.lines = append(p.lines, p.jar)
}

// open starts a request, and returns when its handler has opened the session.
func (p *pairBench) open(q *pairRequest) {
	q.opened, q.goOn, q.answered = make(chan struct{}), make(chan struct{}), make(chan kit.Page, 1)
	go func() {
		var own *session.Session
		page := p.serve(q.n, q.sent, func(_ http.ResponseWriter, s *session.Session) {
			own = s
			s.Open()
			q.handle, q.user = s.Handle(), userOf(s)
			for _, value := range s.All() {
				q.flash = q.flash || value == "flash"
			}
			close(q.opened)
			<-q.goOn
			q.change(s)
		})
		q.err = own.Err()
		q.answered <- page
	}()
	<-q.opened
}

func (q *pairRequest) change(s *session.Session) {
	switch q.op {
	case "read":
		s.Get("cart")
	case "set":
		s.Set(q.key(), "set")
	case "flash":
		s.Flash(q.key(), "flash")
	case "login ann", "login bob":
		s.Login(strings.TrimPrefix(q.op, "login "))
	case "logout":
		s.Logout()
	case "regenerate":
		s.Regenerate()
	case "remember":
		s.Remember(24 * time.Hour)
	}
}

func (q *pairRequest) key() string { return fmt.Sprintf("of %d", q.n) }

// A sight is what a request finds.
type sight struct {
	Handle, User string
	Values       map[string]any
}

// look returns what these cookies open.
func (p *pairBench) look(cookies string) (found sight) {
	p.serve(2, cookies, func(_ http.ResponseWriter, s *session.Session) {
		found = sight{s.Handle(), userOf(s), s.All()}
	})
	return found
}

func (p *pairBench) text() string {
	return fmt.Sprintf("%s; %s and %s; %s; %d is lost", p.start, p.requests[0].op, p.requests[1].op, p.order, p.lost)
}

// A browserModel is what the browser has by the rule: the identity that its last response brought, and of
// each identity the data that the last response brought.
type browserModel struct {
	identity int // 0: none
	users    map[int]string
	data     map[int]map[string]any
}

// begin adds an identity, and returns it.
func (b *browserModel) begin(user string, data map[string]any) int {
	identity := len(b.users) + 1
	b.users[identity], b.data[identity] = user, data
	return identity
}

// after returns what the response to an operation does to the browser: the identity that it brings, or the
// one that was there if it leaves that alone. The request saw an identity with these data.
func (b *browserModel) after(q *pairRequest, saw int, data map[string]any) int {
	user, values := b.users[saw], maps.Clone(data)
	maps.DeleteFunc(values, func(_ string, v any) bool { return v == "flash" }) // the page has shown it
	switch q.op {
	case "read":
		if len(values) < len(data) {
			b.data[saw] = values
		}
	case "set", "flash":
		values[q.key()] = q.op
		if saw == 0 {
			return b.begin("", values)
		}
		b.data[saw] = values
	case "login ann", "login bob":
		name := strings.TrimPrefix(q.op, "login ")
		if user != "" && user != name {
			values = map[string]any{}
		}
		return b.begin(name, values)
	case "logout":
		if saw != 0 {
			return 0
		}
	case "regenerate", "remember":
		if saw != 0 {
			return b.begin(user, values)
		}
	}
	return b.identity
}

// model runs the rule. A request that says in Err that its changes were dropped changes nothing.
func (p *pairBench) model() *browserModel {
	b := &browserModel{users: map[int]string{}, data: map[int]map[string]any{}}
	if p.start != noSession {
		user := ""
		if p.start == signedIn {
			user = "ann"
		}
		b.identity = b.begin(user, map[string]any{"cart": "full"})
	}
	type view struct {
		identity int
		data     map[string]any
	}
	var saw [2]view
	for _, event := range keep(p.order, "SDsd") {
		q := p.requests[0]
		if event >= 'a' {
			q = p.requests[1]
		}
		if event == 'S' || event == 's' {
			data := maps.Clone(b.data[b.identity])
			if data == nil {
				data = map[string]any{}
			}
			saw[q.n] = view{b.identity, data}
		} else if q.n != p.lost && q.err == nil {
			b.identity = b.after(q, saw[q.n].identity, saw[q.n].data)
		}
	}
	return b
}

func (p *pairBench) checkWithoutServer() {
	p.checkAnswers()
	b, found := p.model(), p.look(p.jar)
	want := b.data[b.identity]
	if want == nil {
		want = map[string]any{}
	}
	assert.Equal(p.t, b.users[b.identity], found.User, p.text())
	assert.Equal(p.t, want, found.Values, p.text())
}

// checkAnswers: no page is an error, and only a request that changes who is signed in brings an identity.
func (p *pairBench) checkAnswers() {
	for _, q := range p.requests {
		require.Equal(p.t, http.StatusOK, q.page.StatusCode, p.text())
		switch {
		case q.op == "read", (q.op == "set" || q.op == "flash") && q.handle != "":
			assert.Nil(p.t, q.page.Cookie("s_cookie"), "%s: %s brings an identity", p.text(), q.op)
		}
		if q.op == "read" && !q.flash {
			assert.Nil(p.t, q.page.DataCookie(), "%s: a read brings data", p.text())
		}
	}
}

// checkWithRevocation: the record on the server is gone or replaced where the other request did that, so that
// somebody may be signed out. Nobody is ever signed in against the rule.
func (p *pairBench) checkWithRevocation() {
	p.checkAnswers()
	p.clock.Advance(10*time.Second + time.Millisecond) // RevocationWindow: no process trusts what it knew
	b, found := p.model(), p.look(p.jar)
	if want := b.users[b.identity]; found.User != want {
		assert.Empty(p.t, found.User, "%s: not %q", p.text(), want)
		assert.True(p.t, p.mayBeSignedOut(), "%s: %q is signed out", p.text(), want)
	} else if p.lost == 2 && p.keepValues() {
		for key, value := range b.data[b.identity] {
			assert.Equal(p.t, value, found.Values[key], "%s: %s", p.text(), key)
		}
	}
	for _, q := range p.requests {
		if q.op != "logout" || q.had.User == "" {
			continue
		}
		for _, line := range slices.Compact(slices.Sorted(slices.Values(p.lines))) {
			if s := p.look(line); s.User != "" {
				assert.NotEqual(p.t, q.had.Handle, s.Handle, "%s: what has ended opens", p.text())
			}
		}
	}
}

// keepValues reports whether no request ends a session, and with it what is in it.
func (p *pairBench) keepValues() bool {
	return !p.signInTwoUsers() && !slices.ContainsFunc(p.requests[:], func(q *pairRequest) bool {
		return q.op == "logout" || q.err != nil
	})
}

// signInTwoUsers reports whether each request signs in a user of its own. Who finds the record of the other
// one ends it, and begins with nothing but its own changes.
func (p *pairBench) signInTwoUsers() bool {
	first, second := p.requests[0].op, p.requests[1].op
	return first != second && strings.HasPrefix(first, "login ") && strings.HasPrefix(second, "login ")
}

// mayBeSignedOut reports whether a request ended the session of the browser, or the response with its new
// secret was lost.
func (p *pairBench) mayBeSignedOut() bool {
	return p.signInTwoUsers() || slices.ContainsFunc(p.requests[:], func(q *pairRequest) bool {
		ends := q.op == "logout" && q.sent != "" || q.op == "login bob" && q.had.User == "ann"
		return ends || q.n == p.lost && q.op != "read" && q.op != "set" && q.op != "flash"
	})
}
