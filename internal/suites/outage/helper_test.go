package outage_test

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

const (
	outageBegins = "session: the store is unavailable"
	outageEnds   = "session: the store is available again"

	// quiet is how long nothing may fail before an outage is over.
	quiet = 3 * time.Second
)

// outages returns the messages of a log about outages, in order.
func outages(log *kit.LogBook) (messages []string) {
	for line := range strings.Lines(log.Text()) {
		for _, message := range []string{outageBegins, outageEnds} {
			if strings.Contains(line, strconv.Quote(message)) {
				messages = append(messages, message)
			}
		}
	}
	return messages
}

// pages are what a visitor asks for before, in and after an outage.
var pages = kit.Routes{
	"/plain": func(w http.ResponseWriter, r *http.Request, s *session.Session) { fmt.Fprint(w, "plain") },
	"/user": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
		fmt.Fprint(w, s.GetString("user"))
	},
	"/count": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
		fmt.Fprint(w, s.Increment("n", 1))
	},
	"/set": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
		s.Set(r.FormValue("key"), r.FormValue("value"))
	},
	"/get": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
		fmt.Fprint(w, s.GetString(r.FormValue("key")))
	},
	"/delete": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
		s.Delete(r.FormValue("key"))
	},
	"/flash": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
		s.Flash("message", "Saved")
		w.WriteHeader(http.StatusSeeOther)
	},
	"/save": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
		s.Set("k", "v")
		if err := s.Save(); !errors.Is(err, session.ErrUnavailable) {
			http.Error(w, fmt.Sprint(err), http.StatusInternalServerError)
		}
	},
	"/login": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
		s.Regenerate()
		s.Set("user", "ann")
	},
	"/logout": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
		s.Destroy()
		fmt.Fprint(w, "signed out")
	},
}

// A site is an application whose store can fail, and a visitor who has signed in.
type site struct {
	*kit.Browser
	t       *testing.T
	manager *session.Manager
	clock   *kit.Clock
	log     *kit.LogBook
	faults  *kit.FaultyDriver // of newSite
	redis   *redistest.Server // of newRedisSite
}

// newSite returns an application on a driver that fails on demand. change may be nil.
func newSite(t *testing.T, change func(cfg *session.Config)) *site {
	t.Helper()
	cfg := kit.DriverConfig(t, "memory")
	s := &site{t: t, faults: kit.WithFaults(t, &cfg)}
	s.start(cfg, change)
	return s
}

// newRedisSite returns an application on a redis of its own. change may be nil.
func newRedisSite(t *testing.T, server *redistest.Server, change func(cfg *session.Config)) *site {
	t.Helper()
	s := &site{t: t, redis: server}
	s.start(session.Config{Default: "redis", Secret: kit.Secret, Redis: at(server)}, change)
	s.assertServes()
	return s
}

func (s *site) start(cfg session.Config, change func(cfg *session.Config)) {
	s.t.Helper()
	s.log = kit.CaptureLog(&cfg)
	if change != nil {
		change(&cfg)
	}
	s.manager = kit.NewManager(s.t, cfg)
	s.clock = kit.SetClock(s.manager)
	s.Browser = kit.NewBrowser(s.t, pages.Under(s.manager))
	require.Equal(s.t, http.StatusOK, s.Do(http.MethodPost, "/login").StatusCode)
	s.clock.Advance(time.Second)
	require.Equal(s.t, "ann", s.Get("/user").Body) // the first use is noted, the next ones are not
}

// at returns the configuration of a server's TCP port.
func at(s *redistest.Server) session.RedisConfig {
	return session.RedisConfig{Host: s.Host(), Port: s.Port(), Password: s.Password()}
}

// behind points a configuration at a proxy.
func behind(p *redistest.Proxy) func(cfg *session.Config) {
	return func(cfg *session.Config) { cfg.Redis.Host, cfg.Redis.Port = p.Host(), p.Port() }
}

// assertServes asserts that the visitor is signed in and that a write of hers is kept.
func (s *site) assertServes() {
	s.t.Helper()
	value := fmt.Sprint(time.Now().UnixNano())
	p := s.Do(http.MethodPost, "/set?key=k&value="+value)
	assert.Equal(s.t, http.StatusOK, p.StatusCode, "a write")
	assert.Equal(s.t, "ann", s.Get("/user").Body, "she is signed out")
	assert.Equal(s.t, value, s.Get("/get?key=k").Body, "an acknowledged write is lost")
}

// assertReadsFail asserts that pages which read the session are refused.
func (s *site) assertReadsFail() {
	s.t.Helper()
	s.assertRefused(s.Get("/user"))
	s.assertRefused(s.Get("/count"))
}

// assertWritesFail asserts what every outage has in common: requests that do not use their session go
// on, those that write it are refused, and no cookie is touched.
func (s *site) assertWritesFail() {
	s.t.Helper()
	s.assertPlainGoesOn()
	long := "/set?key=k&value=" + strings.Repeat("lost", 100) // full memory refuses only what takes more
	s.assertRefused(s.Do(http.MethodPost, long))
	s.assertRefused(s.Do(http.MethodPost, "/login"))
	s.assertRefused(s.Another().Do(http.MethodPost, long))
}

func (s *site) assertPlainGoesOn() {
	s.t.Helper()
	before := s.manager.Stats().Loads
	p := s.Get("/plain")
	assert.Equal(s.t, http.StatusOK, p.StatusCode)
	assert.Equal(s.t, "plain", p.Body)
	assert.Empty(s.t, p.Header["Set-Cookie"])
	assert.Equal(s.t, before, s.manager.Stats().Loads, "a request that uses no session waited for the store")
}

// assertRefused asserts that a page is the answer to a request whose session is unavailable.
func (s *site) assertRefused(p kit.Page) {
	s.t.Helper()
	assert.Equal(s.t, http.StatusServiceUnavailable, p.StatusCode, "%s %s: %s", p.Request.Method, p.Request.URL.Path, p.Body)
	assert.Equal(s.t, "Service Unavailable\n", p.Body, "details belong in the log")
	assert.Empty(s.t, p.Header["Set-Cookie"], "a cookie is touched")
	retry := ""
	if p.Request.Method == http.MethodGet {
		retry = "1"
	}
	assert.Equal(s.t, retry, p.Header.Get("Retry-After"), p.Request.Method)
}

// assertOneOutage asserts that the log shows one outage, which ends once nothing fails for a while.
func (s *site) assertOneOutage() {
	s.t.Helper()
	assert.Equal(s.t, []string{outageBegins}, outages(s.log))
	s.clock.Advance(quiet)
	assert.Equal(s.t, "ann", s.Get("/user").Body)
	assert.Equal(s.t, []string{outageBegins, outageEnds}, outages(s.log))
}
