// Package load puts an application with sessions under load and keeps the books: which writes
// were acknowledged, what every client must find, and which tokens must open nothing any more.
//
// The load is real HTTP to a real server, from clients with a cookie jar each. A test starts it,
// lets something happen to the store, stops it, and reads in the report whether anything was
// lost, mixed up, brought back or signed out.
package load

import (
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"example.com/session"
)

// Options say how much load there is.
type Options struct {
	Visitors int           // clients at any time, each with a session; zero means 200
	Workers  int           // requests under way at once; zero means 8
	Pause    time.Duration // of a worker between two requests; zero means 3 ms
}

// A Load is an application under load.
type Load struct {
	opts      Options
	manager   *session.Manager
	server    *httptest.Server
	transport *http.Transport
	stop      chan struct{}
	workers   sync.WaitGroup
	books     books

	mu       sync.Mutex
	visitors []*visitor
	all      []*visitor // with those who have signed out
	dead     []token
}

// Start serves an application whose manager has the given configuration, lets its visitors come,
// and starts the load. It fails tb where a visitor cannot come.
func Start(tb testing.TB, cfg session.Config, opts Options) *Load {
	tb.Helper()
	opts.Visitors, opts.Workers = cmp.Or(opts.Visitors, 200), cmp.Or(opts.Workers, 8)
	if opts.Pause == 0 {
		opts.Pause = 3 * time.Millisecond
	}
	m, err := session.NewManager(cfg)
	if err != nil {
		tb.Fatalf("load: %v", err)
	}
	l := &Load{opts: opts, manager: m, server: httptest.NewServer(m.Middleware(application())),
		transport: &http.Transport{MaxIdleConnsPerHost: opts.Workers}, stop: make(chan struct{})}
	tb.Cleanup(l.close)
	for range opts.Visitors {
		v := l.newVisitor()
		if !v.enter() {
			tb.Fatal("load: a visitor could not come")
		}
		l.visitors = append(l.visitors, v)
	}
	for w := range opts.Workers {
		l.workers.Go(func() { l.work(w) })
	}
	return l
}

// Stop ends the load, asks every visitor what it finds, and returns the report. The store serves
// again by then, or tb fails.
func (l *Load) Stop(tb testing.TB) Report {
	tb.Helper()
	l.end()
	l.books.close()
	for end := time.Now().Add(30 * time.Second); l.manager.Ping(tb.Context()) != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatal("load: the store does not serve again")
		}
	}
	l.readBack(tb)
	r := l.books.r
	stats := l.manager.Stats()
	r.Retries, r.Unavailable = stats.Retries, stats.Unavailable
	return r
}

func (l *Load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.workers.Wait()
}

func (l *Load) close() {
	l.end()
	l.server.Close()
	l.transport.CloseIdleConnections()
	l.manager.Close()
}

// work sends requests, one after another, each of some visitor.
func (l *Load) work(worker int) {
	for {
		select {
		case <-l.stop:
			return
		case <-time.After(l.opts.Pause):
		}
		i, v := l.pick()
		switch n := rand.IntN(100); {
		case n < 25:
			v.raise("/add", &v.added, n >= 15)
		case n < 45:
			v.raise("/update", &v.cart, n >= 35)
		case n < 65:
			v.set(worker, n%2 == 0)
		case n < 80:
			v.look()
		case n < 83:
			v.login("/login")
		case n < 86:
			v.login("/renew")
		case n < 90:
			l.replace(i, v)
		case n < 95:
			l.plain()
		default:
			l.replay()
		}
	}
}

func (l *Load) pick() (int, *visitor) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := rand.IntN(len(l.visitors))
	return i, l.visitors[i]
}

// replace signs a visitor out and lets another one come.
func (l *Load) replace(i int, v *visitor) {
	if !v.logout() {
		return
	}
	next := l.newVisitor()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.visitors[i] == v {
		l.visitors[i] = next
	}
}

// plain asks for what uses no session, and must be served whatever the store does.
func (l *Load) plain() {
	begin := time.Now()
	response, err := l.server.Client().Get(l.server.URL + "/plain")
	if err == nil {
		response.Body.Close()
	}
	l.books.plain(err == nil && response.StatusCode == http.StatusOK, time.Since(begin))
}

// A token is one that opens nothing any more.
type token struct{ cookie, whose string }

// noteEnded notes tokens that ended.
func (l *Load) noteEnded(whose string, cookies []*http.Cookie) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range cookies {
		l.dead = append(l.dead, token{cookie: c.Name + "=" + c.Value, whose: whose})
	}
}

// replay sends a token that ended and asserts that it opens nothing.
func (l *Load) replay() {
	l.mu.Lock()
	if len(l.dead) == 0 {
		l.mu.Unlock()
		return
	}
	dead := l.dead[rand.IntN(len(l.dead))]
	l.mu.Unlock()
	l.present(dead)
}

func (l *Load) present(dead token) (served bool) {
	r, err := http.NewRequest(http.MethodGet, l.server.URL+"/look", nil)
	if err != nil {
		return false
	}
	r.Header.Set("Cookie", dead.cookie)
	response, err := l.server.Client().Do(r)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	io.Copy(io.Discard, response.Body)
	if response.StatusCode != http.StatusOK {
		return false
	}
	if response.Header.Get(whoHeader) != "" {
		l.books.note(func(r *Report) { r.Revived++ })
	}
	return true
}

// readBack asks all visitors, and replays what must be dead.
func (l *Load) readBack(tb testing.TB) {
	tb.Helper()
	for _, v := range l.all {
		v.judge(tb)
	}
	for _, i := range rand.Perm(len(l.dead))[:min(len(l.dead), 500)] {
		l.present(l.dead[i])
	}
}

func (l *Load) newVisitor() *visitor {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := newVisitor(l, fmt.Sprintf("visitor %d", len(l.all)))
	l.all = append(l.all, v)
	return v
}
