package session_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"example.com/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A shelf is a memory driver and a clock, with sessions named by letters.
type shelf struct {
	t      *testing.T
	driver *session.MemoryDriver
	now    time.Time
	tokens map[string]session.Token
}

func newShelf(t *testing.T, maxSessions int) *shelf {
	t.Helper()
	return &shelf{
		t: t, driver: session.NewMemoryDriver(session.MemoryConfig{MaxSessions: maxSessions}),
		now: time.UnixMilli(time.Now().UnixMilli()), tokens: map[string]session.Token{},
	}
}

func (s *shelf) changes(rotates bool) *session.Changes {
	s.t.Helper()
	b := session.ChangesBuilder{
		Now: s.now, Number: rand.Uint64(), NewToken: session.NewToken("s_memory"), Rotates: rotates,
		Limits: session.Limits{Lifetime: 24 * time.Hour, Idle: time.Hour},
		Ops:    []session.Op{{Kind: session.OpAdd, Key: "n", By: 1}},
	}
	ch, err := b.Build()
	require.NoError(s.t, err)
	return ch
}

// add stores a new session.
func (s *shelf) add(name string) {
	s.t.Helper()
	tok, err := s.driver.Save(s.t.Context(), nil, s.changes(false))
	require.NoError(s.t, err)
	s.tokens[name] = tok
}

func (s *shelf) open(name string) *session.Record {
	s.t.Helper()
	rec, err := s.driver.Load(s.t.Context(), s.tokens[name], s.now)
	require.NoError(s.t, err)
	return rec
}

// save saves to a session that was opened before; it does not open it again.
func (s *shelf) save(rec *session.Record) {
	s.t.Helper()
	_, err := s.driver.Save(s.t.Context(), rec, s.changes(false))
	require.NoError(s.t, err)
}

// evicted returns which of the named sessions are gone. To look opens those that are not, in the
// order of the names.
func (s *shelf) evicted(names ...string) (gone []string) {
	s.t.Helper()
	for _, name := range names {
		if _, err := s.driver.Load(s.t.Context(), s.tokens[name], s.now); err != nil {
			require.ErrorIs(s.t, err, session.ErrNoSession)
			gone = append(gone, name)
		}
	}
	return gone
}

func TestFullMemoryDropsTheOldestThatWasNeverReopened(t *testing.T) {
	s := newShelf(t, 4)
	for _, name := range []string{"a", "b", "c", "d"} {
		s.add(name)
	}
	s.open("a")
	s.open("b")
	s.add("e") // in place of c, the oldest that nobody came back to
	s.add("f") // in place of d
	s.add("g") // in place of e
	assert.Equal(t, int64(4), s.driver.Len())
	assert.Equal(t, uint64(3), s.driver.Evictions())
	assert.Equal(t, []string{"c", "d", "e"}, s.evicted("a", "b", "c", "d", "e", "f", "g"))
}

func TestFullMemoryOfReopenedSessionsDropsTheLeastRecentlyUsed(t *testing.T) {
	s := newShelf(t, 3)
	for _, name := range []string{"a", "b", "c"} {
		s.add(name)
		s.open(name)
	}
	s.open("a") // so b is the one that was not used for longest
	s.add("d")
	assert.Equal(t, []string{"b"}, s.evicted("a", "b", "c", "d"))
	s.add("e") // all were opened just now, a before the others
	assert.Equal(t, []string{"a"}, s.evicted("a", "c", "d", "e"))
}

func TestNewTokenDoesNotMakeAVisitorOfSomeoneSignedIn(t *testing.T) {
	s := newShelf(t, 3)
	s.add("a")
	rec := s.open("a")
	tok, err := s.driver.Save(t.Context(), rec, s.changes(true))
	require.NoError(t, err)
	s.tokens["a"] = tok
	for i := range 10 {
		s.add(fmt.Sprint("visitor ", i))
	}
	assert.Empty(t, s.evicted("a"))
	assert.Equal(t, int64(3), s.driver.Len())
}

func TestFloodOfVisitorsDoesNotDropThoseWhoComeBack(t *testing.T) {
	const most = 4500 // several shards
	s := newShelf(t, most)
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprint("regular ", i))
		s.add(names[i])
		s.open(names[i])
	}
	for range 2 * most {
		s.add("visitor")
	}
	assert.Equal(t, int64(most), s.driver.Len())
	assert.Equal(t, uint64(most+100), s.driver.Evictions())
	assert.Empty(t, s.evicted(names...))
}

func TestExpiredSessionsGoAFewAtATime(t *testing.T) {
	const n = 1000
	s := newShelf(t, 4000)
	for range n {
		s.add("x")
	}
	s.now = s.now.Add(time.Hour)
	s.add("alive")
	rec := s.open("alive")
	saves := 0
	for ; s.driver.Entries() > 1 && saves < n; saves++ {
		before := s.driver.Entries()
		s.save(rec)
		require.LessOrEqual(t, before-s.driver.Entries(), session.SweepSteps, "a save walked over more than a few")
	}
	assert.Less(t, saves, n/2, "expired sessions go slower than new ones could come")
	assert.Equal(t, int64(1), s.driver.Len())
	assert.Zero(t, s.driver.Evictions(), "who has expired was not evicted")
}

func TestExpiredSessionGoesWhenItIsMet(t *testing.T) {
	s := newShelf(t, 0)
	s.add("a")
	s.now = s.now.Add(time.Hour)
	assert.Equal(t, []string{"a"}, s.evicted("a"))
	assert.Zero(t, s.driver.Entries())
}

func TestTombstonesHoldNothingAndGo(t *testing.T) {
	s := newShelf(t, 2)
	s.add("a")
	require.NoError(t, s.driver.Destroy(t.Context(), s.tokens["a"]))
	assert.Zero(t, s.driver.Len(), "a tombstone is no session")
	assert.Equal(t, 1, s.driver.Entries())
	s.add("b")
	s.add("c")
	assert.Zero(t, s.driver.Evictions(), "a tombstone took a session's place")

	s.now = time.Now().Add(session.Tombstone + time.Second)
	_, err := s.driver.Load(t.Context(), s.tokens["a"], s.now)
	assert.NotErrorIs(t, err, session.ErrEnded)
	assert.Equal(t, 2, s.driver.Entries(), "the tombstone is gone")
}

func TestMemoryIsExactUnderParallelUse(t *testing.T) {
	s := newShelf(t, 64)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				b := session.ChangesBuilder{
					Now: s.now, Number: rand.Uint64(), NewToken: session.NewToken("s_memory"),
					Limits: session.Limits{Lifetime: time.Hour, Idle: time.Hour},
				}
				if ch, err := b.Build(); err == nil {
					s.driver.Save(t.Context(), nil, ch)
					s.driver.Load(t.Context(), ch.NewToken(), s.now)
					if rand.IntN(4) == 0 {
						s.driver.Destroy(t.Context(), ch.NewToken())
					}
				}
			}
		})
	}
	all.Wait()
	assert.LessOrEqual(t, s.driver.Len(), int64(64))
	assert.Positive(t, s.driver.Len())
}

// An addressed client is known by its address alone.
type addressed struct {
	t       *testing.T
	handler http.Handler
}

func newAddressed(t *testing.T, cfg session.Config, serve routes) *addressed {
	t.Helper()
	cfg.Default, cfg.Logger = "memory", slog.New(slog.DiscardHandler)
	cfg.Memory.ByClientIP = true
	return &addressed{t: t, handler: serve.under(newManager(t, cfg))}
}

func (a *addressed) get(address, path string, headers ...string) *httptest.ResponseRecorder {
	a.t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.RemoteAddr = address
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, r)
	return w
}

func addressRoutes() routes {
	return routes{
		"/add":   func(w http.ResponseWriter, r *http.Request, s *session.Session) { fmt.Fprint(w, s.Increment("n", 1)) },
		"/login": func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Regenerate(); s.Set("user", "ann") },
		"/out":   func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Destroy() },
		"/flash": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Flash("notice", "Saved")
			w.WriteHeader(http.StatusSeeOther)
		},
		"/plain": func(w http.ResponseWriter, r *http.Request, s *session.Session) {},
		"/read":  showAll,
	}
}

func TestClientIPIsTheIdentity(t *testing.T) {
	a := newAddressed(t, session.Config{}, addressRoutes())
	first := a.get("192.0.2.1:1000", "/add")
	assert.Empty(t, first.Result().Cookies(), "the address is the token: no cookie")
	assert.Equal(t, "private, no-store", first.Header().Get("Cache-Control"))
	assert.Equal(t, "2", a.get("192.0.2.1:2000", "/add").Body.String(), "the port is no part of it")
	assert.Equal(t, "1", a.get("192.0.2.2:1000", "/add").Body.String())
	assert.Equal(t, "1", a.get("[2001:DB8::1]:1", "/add").Body.String())
	assert.Equal(t, "2", a.get("[2001:db8::1]:1", "/add").Body.String())

	a.get("192.0.2.1:1", "/login")
	assert.Equal(t, "map[n:2 user:ann]", a.get("192.0.2.1:1", "/read").Body.String(), "a new token would be the same address")
	a.get("192.0.2.1:1", "/out")
	assert.Equal(t, "1", a.get("192.0.2.1:1", "/add").Body.String(), "the address begins anew at once")
}

func TestFlashByClientIPEndsWithoutACookieThatHints(t *testing.T) {
	a := newAddressed(t, session.Config{}, addressRoutes())
	a.get("192.0.2.1:1", "/flash")
	assert.Equal(t, "map[notice:Saved]", a.get("192.0.2.1:1", "/read").Body.String())
	assert.Equal(t, "map[]", a.get("192.0.2.1:1", "/read").Body.String())
	a.get("192.0.2.1:1", "/flash")
	a.get("192.0.2.1:1", "/plain") // does not open its session, but is a page
	assert.Equal(t, "map[]", a.get("192.0.2.1:1", "/read").Body.String())
}

func TestClientIPBehindAProxyIsNotGuessed(t *testing.T) {
	a := newAddressed(t, session.Config{}, addressRoutes())
	for _, header := range []string{"Forwarded", "X-Forwarded-For"} {
		w := a.get("10.0.0.1:1", "/add", header, "192.0.2.1")
		assert.Equal(t, http.StatusInternalServerError, w.Code, "somebody's session behind %s", header)
	}
	assert.Equal(t, http.StatusInternalServerError, a.get("", "/add").Code, "no address at all")

	told := newAddressed(t, session.Config{ClientIP: func(r *http.Request) string { return r.Header.Get("X-Forwarded-For") }}, addressRoutes())
	told.get("10.0.0.1:1", "/add", "X-Forwarded-For", "192.0.2.1")
	assert.Equal(t, "2", told.get("10.0.0.1:1", "/add", "X-Forwarded-For", "192.0.2.1").Body.String())
	assert.Equal(t, "1", told.get("10.0.0.1:1", "/add", "X-Forwarded-For", "192.0.2.2").Body.String())
}

// TestParallelFirstRequestsOfAnAddressMeet begins one session in two requests at once: there is
// one identity, so both changes are in it.
func TestParallelFirstRequestsOfAnAddressMeet(t *testing.T) {
	opened, both := make(chan struct{}, 2), make(chan struct{})
	serve := addressRoutes()
	serve["/first"] = func(w http.ResponseWriter, r *http.Request, s *session.Session) {
		s.Open()
		opened <- struct{}{}
		<-both
		s.Increment("n", 1)
		s.Set(r.URL.Query().Get("key"), true)
	}
	a := newAddressed(t, session.Config{}, serve)
	var all sync.WaitGroup
	for _, key := range []string{"a", "b"} {
		all.Go(func() { a.get("192.0.2.1:1", "/first?key="+key) })
	}
	<-opened
	<-opened
	close(both)
	all.Wait()
	assert.Equal(t, "map[a:true b:true n:2]", a.get("192.0.2.1:1", "/read").Body.String())
}
