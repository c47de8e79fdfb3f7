package session_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"

	"example.com/session"
	"example.com/session/internal/casstore"
	"example.com/session/internal/redistest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mergingDrivers are configurations of the drivers that merge the changes of parallel requests.
func mergingDrivers(t *testing.T, test func(t *testing.T, cfg session.Config)) {
	t.Helper()
	for _, name := range []string{"memory", "redis", "store"} {
		t.Run(name, func(t *testing.T) {
			if name == "store" {
				cfg := session.Config{Default: "store", Logger: slog.New(slog.DiscardHandler)}
				cfg.Drivers = map[string]session.Driver{"store": session.StoreDriver(new(casstore.Store))}
				test(t, cfg)
				return
			}
			test(t, driverConfig(t, name))
		})
	}
}

// gates hold requests up at named points. Each gate opens once.
type gates struct {
	mu    sync.Mutex
	named map[string]chan struct{}
}

func (g *gates) gate(name string) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.named == nil {
		g.named = make(map[string]chan struct{})
	}
	if g.named[name] == nil {
		g.named[name] = make(chan struct{})
	}
	return g.named[name]
}

func (g *gates) open(name string) { close(g.gate(name)) }
func (g *gates) pass(name string) { <-g.gate(name) }

// A heldWriter holds a response's header up after the session was committed.
type heldWriter struct {
	http.ResponseWriter
	hold func()
	once sync.Once
}

func (w *heldWriter) WriteHeader(status int) {
	w.once.Do(w.hold)
	w.ResponseWriter.WriteHeader(status)
}

// A duel is two requests of one browser at once, "/first" and "/second", whose commits and whose
// answers come in an order that the test chooses.
type duel struct {
	*browser
	gates
	answers map[string]page
	all     sync.WaitGroup
}

func newDuel(t *testing.T, cfg session.Config, serve routes) *duel {
	t.Helper()
	d := &duel{answers: map[string]page{}}
	for path, handle := range serve {
		serve[path] = func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Open()
			if path == "/first" || path == "/second" {
				d.open(path + " has opened")
				d.pass(path + " may commit")
			}
			handle(w, r, s)
		}
	}
	inner := serve.under(newManager(t, cfg))
	d.browser = newBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		held := &heldWriter{ResponseWriter: w, hold: func() {}}
		if path := r.URL.Path; path == "/first" || path == "/second" {
			held.hold = func() {
				d.open(path + " has committed")
				d.pass(path + " may answer")
			}
		}
		inner.ServeHTTP(held, r)
		held.once.Do(held.hold) // the handler has written nothing
	}))
	return d
}

// send sends a request and waits until it has opened its session.
func (d *duel) send(path string) {
	d.all.Go(func() {
		p := d.get(path)
		d.mu.Lock()
		d.answers[path] = p
		d.mu.Unlock()
		d.open(path + " has reached the browser")
	})
	d.pass(path + " has opened")
}

func (d *duel) commit(path string) {
	d.open(path + " may commit")
	d.pass(path + " has committed")
}

func (d *duel) answer(path string) {
	d.open(path + " may answer")
	d.pass(path + " has reached the browser")
}

// run lets both requests open their session, commit in one order and answer in another.
func (d *duel) run(commits, answers []string) {
	d.send("/first")
	d.send("/second")
	for _, path := range commits {
		d.commit(path)
	}
	for _, path := range answers {
		d.answer(path)
	}
	d.all.Wait()
}

// orders are the orders of two requests' commits and answers.
func orders(t *testing.T, test func(t *testing.T, commits, answers []string)) {
	t.Helper()
	both := [][]string{{"/first", "/second"}, {"/second", "/first"}}
	for _, commits := range both {
		for _, answers := range both {
			t.Run(fmt.Sprintf("commits %v answers %v", commits, answers), func(t *testing.T) { test(t, commits, answers) })
		}
	}
}

func showAll(w http.ResponseWriter, r *http.Request, s *session.Session) { fmt.Fprint(w, s.All()) }

// TestParallelFirstRequestsEachGetASession sends two requests of a browser that has no cookie
// yet. The browser keeps the session whose answer came last, whole; the other is nobody's.
func TestParallelFirstRequestsEachGetASession(t *testing.T) {
	mergingDrivers(t, func(t *testing.T, cfg session.Config) {
		orders(t, func(t *testing.T, commits, answers []string) {
			d := newDuel(t, cfg, routes{
				"/first":  func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Set("from", "first") },
				"/second": func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Set("from", "second") },
				"/read":   showAll,
				"/write":  func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Increment("n", 1) },
			})
			d.run(commits, answers)
			name := "s_" + cfg.Default
			first, second := d.answers["/first"].cookie(name), d.answers["/second"].cookie(name)
			require.NotNil(t, first)
			require.NotNil(t, second)
			assert.NotEqual(t, first.Value, second.Value)

			last := answers[1][1:]
			assert.Equal(t, "map[from:"+last+"]", d.get("/read").body)
			d.get("/write")
			assert.Equal(t, "map[from:"+last+" n:1]", d.get("/read").body)
			other := map[string]string{"first": second.Value, "second": first.Value}[last]
			stranger := newBrowser(t, http.NotFoundHandler())
			stranger.url = d.url
			assert.NotContains(t, stranger.get("/read", "Cookie", name+"="+other).body, "n:", "the two sessions are apart")
		})
	})
}

// TestBrowserKeepsTheNewTokenWhateverAnswerComesLast renews the token in one request while
// another with the old one is under way.
func TestBrowserKeepsTheNewTokenWhateverAnswerComesLast(t *testing.T) {
	mergingDrivers(t, func(t *testing.T, cfg session.Config) {
		orders(t, func(t *testing.T, commits, answers []string) {
			d := newDuel(t, cfg, routes{
				"/begin": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
					s.Set("cart", "full")
					s.Flash("old", "1")
				},
				"/first": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
					s.Regenerate()
					s.Set("user", "ann")
					s.Flash("notice", "Welcome")
					w.WriteHeader(http.StatusSeeOther)
				},
				"/second": func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Set("late", true) },
				"/read":   showAll,
			})
			name := "s_" + cfg.Default
			old := d.get("/begin").cookie(name).Value
			d.run(commits, answers)
			fresh := d.answers["/first"].cookie(name)
			require.NotNil(t, fresh)
			assert.Nil(t, d.answers["/second"].cookie(name), "an old token is sent again")

			want := "map[cart:full late:true notice:Welcome user:ann]"
			if commits[0] == "/first" { // then the other's changes come too late, also that its page has shown the flash
				want = "map[cart:full notice:Welcome old:1 user:ann]"
				assert.Empty(t, d.answers["/second"].Cookies(), "it knows nothing of the flash that is pending now")
			}
			assert.Equal(t, want, d.get("/read").body)
			assert.NotContains(t, d.get("/read").body, "notice", "the flash has been shown")
			stranger := newBrowser(t, http.NotFoundHandler())
			stranger.url = d.url
			assert.Equal(t, "map[]", stranger.get("/read", "Cookie", name+"="+old).body, "the old token opens something")
		})
	})
}

// TestSignOutBesideRegenerateLeavesAtMostTheNewToken destroys in one request and renews in
// another: the session lives on under the new token only where that was given before.
func TestSignOutBesideRegenerateLeavesAtMostTheNewToken(t *testing.T) {
	mergingDrivers(t, func(t *testing.T, cfg session.Config) {
		orders(t, func(t *testing.T, commits, answers []string) {
			d := newDuel(t, cfg, routes{
				"/begin":  func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Set("cart", "full") },
				"/first":  func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Regenerate() },
				"/second": func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Destroy() },
				"/read":   showAll,
			})
			name := "s_" + cfg.Default
			old := d.get("/begin").cookie(name).Value
			d.run(commits, answers)
			stranger := newBrowser(t, http.NotFoundHandler())
			stranger.url = d.url
			assert.Equal(t, "map[]", stranger.get("/read", "Cookie", name+"="+old).body, "the old token opens something")
			fresh := d.answers["/first"].cookie(name)
			if commits[0] == "/second" {
				assert.Nil(t, fresh, "a session that was signed out got a new token")
				assert.Equal(t, "map[]", d.get("/read").body)
				return
			}
			require.NotNil(t, fresh)
			assert.Equal(t, "map[cart:full]", stranger.get("/read", "Cookie", name+"="+fresh.Value).body)
		})
	})
}

// TestRegenerateAfterManySavesKeepsWhatOthersSaved saves so often that the record's memory of
// saves is full of this request's own, and then renews the token.
func TestRegenerateAfterManySavesKeepsWhatOthersSaved(t *testing.T) {
	mergingDrivers(t, func(t *testing.T, cfg session.Config) {
		var b *browser
		b = newBrowser(t, routes{
			"/begin": func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Set("begun", true) },
			"/other": func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Set("other", "kept") },
			"/stream": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
				s.Open()
				b.get("/other")
				for range 9 {
					s.Increment("saves", 1)
					assert.NoError(t, s.Save())
				}
				s.Regenerate()
			},
			"/read": showAll,
		}.under(newManager(t, cfg)))
		b.get("/begin")
		require.Equal(t, http.StatusOK, b.get("/stream").StatusCode)
		assert.Equal(t, "map[begun:true other:kept saves:9]", b.get("/read").body)
	})
}

// TestCrashWithinARegenerateLeavesTheOldToken lets redis vanish after each step of a rotation.
func TestCrashWithinARegenerateLeavesTheOldToken(t *testing.T) {
	server := redistest.Start(t)
	t.Cleanup(func() { assertAllExpire(t, server) })
	proxy := newLossyProxy(t, server.Addr())
	cfg := redisThrough(t, proxy.listener.Addr().String())
	b := newBrowser(t, routes{
		"/begin": func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Set("cart", "full") },
		"/warm":  func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Regenerate() },
		"/login": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Regenerate()
			s.Set("user", "ann")
			s.Open()
			proxy.lose(1, 1000) // the copy is stored; from then on the server is out of reach
		},
		"/read": showAll,
	}.under(newManager(t, cfg)))
	b.get("/begin")
	b.get("/warm")
	require.Equal(t, 1, liveSessions(t, server))

	p := b.get("/login")
	assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
	assert.Empty(t, p.Cookies(), "a token was given to a client that may open nothing")
	proxy.lose(0, 0)
	require.Equal(t, 2, liveSessions(t, server), "the old session and the copy that is nobody's")
	assert.Equal(t, "map[cart:full]", b.get("/read").body, "the old token lives on, without the login")
}

// TestCrashWithinARegenerateOfAStoreTellsTheNewToken lets a Store vanish once the copy is stored:
// nobody knows whether the old token has ended, and the new one opens the session in any case.
func TestCrashWithinARegenerateOfAStoreTellsTheNewToken(t *testing.T) {
	a := &actor{}
	store := new(casstore.Store)
	cfg := session.Config{Default: "store", Logger: slog.New(slog.DiscardHandler)}
	cfg.Drivers = map[string]session.Driver{"store": session.StoreDriver(&stepStore{Store: store, actor: a})}
	b := newBrowser(t, routes{
		"/begin": func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Set("cart", "full") },
		"/login": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Open()
			s.Regenerate()
			crashAfter(a, 2) // it is read, the copy is stored, and then it ends
		},
		"/read": showAll,
	}.under(newManager(t, cfg)))
	b.get("/begin")
	p := b.get("/login")
	assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
	assert.NotNil(t, p.cookie("s_store"))
	*a = actor{}
	assert.Len(t, store.Entries(), 2, "the old session, until it expires, and the copy")
	assert.Equal(t, "map[cart:full]", b.get("/read").body)
}

// crashAfter lets an actor take some steps more and then crash.
func crashAfter(a *actor, steps int) {
	a.ready, a.goOn = make(chan struct{}), make(chan bool)
	ready, goOn := a.ready, a.goOn
	go func() {
		for i := range steps + 1 {
			<-ready
			goOn <- i < steps
		}
	}()
}

// TestSessionThatTheStoreLostIsNotRevived loses the record, without a tombstone, while a request
// that has opened it is under way.
func TestSessionThatTheStoreLostIsNotRevived(t *testing.T) {
	server := redistest.Start(t)
	conn := server.Conn(t)
	var seen error
	b := newBrowser(t, routes{
		"/begin": func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Set("cart", "full") },
		"/late": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Set("late", true)
			_, err := conn.Do("FLUSHALL")
			assert.NoError(t, err)
			fmt.Fprint(w, "the page")
			seen = s.Err()
		},
		"/read": showAll,
	}.under(newManager(t, redisThrough(t, server.Addr()))))
	b.get("/begin")
	p := b.get("/late")
	assert.Equal(t, "the page", p.body, "the answer goes out")
	assert.Empty(t, p.Cookies())
	assert.ErrorIs(t, seen, session.ErrNoSession)
	assert.False(t, errors.Is(seen, session.ErrEnded), "nothing says that it ended")
	assert.Empty(t, server.Keys(t), "the session was revived")
	assert.Equal(t, "map[]", b.get("/read").body)
}
