package session_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
)

const (
	outageBegins = "session: the store is unavailable"
	outageEnds   = "session: the store is available again"
)

// outages returns the messages about outages, in order.
func (b *logBook) outages() (messages []string) {
	for line := range strings.Lines(b.text()) {
		for _, message := range []string{outageBegins, outageEnds} {
			if strings.Contains(line, strconv.Quote(message)) {
				messages = append(messages, message)
			}
		}
	}
	return messages
}

// An outageTest is an application on a redis of its own, and a visitor who has signed in.
type outageTest struct {
	*testing.T
	redis   *redistest.Server
	manager *session.Manager
	browser *browser
	log     *logBook
}

// newOutageTest starts the application; change may alter its configuration.
func newOutageTest(t *testing.T, server *redistest.Server, change func(cfg *session.Config)) *outageTest {
	t.Helper()
	cfg := session.Config{
		Default: "redis",
		Redis:   session.RedisConfig{Host: server.Host(), Port: server.Port(), Password: server.Password()},
	}
	book := captureLog(&cfg)
	if change != nil {
		change(&cfg)
	}
	o := &outageTest{T: t, redis: server, manager: newManager(t, cfg), log: book}
	o.browser = newBrowser(t, outageRoutes.under(o.manager))
	require.Equal(t, http.StatusOK, o.browser.do(http.MethodPost, "/login").StatusCode)
	o.assertServes()
	return o
}

// outageRoutes are what a visitor does before, in and after an outage.
var outageRoutes = routes{
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
	"/big": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
		s.Set("big", strings.Repeat("x", 1<<20))
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

// assertServes asserts that the visitor is signed in and that a write of hers is kept.
func (o *outageTest) assertServes() {
	o.Helper()
	value := fmt.Sprint(time.Now().UnixNano())
	p := o.browser.do(http.MethodPost, "/set?key=k&value="+value)
	assert.Equal(o, http.StatusOK, p.StatusCode, "a write")
	assert.Equal(o, "ann", o.browser.get("/user").body, "she is signed out")
	assert.Equal(o, value, o.browser.get("/get?key=k").body, "an acknowledged write is lost")
}

// assertDown asserts what every outage has in common: requests that do not use their session go
// on, the others are refused, and no cookie is touched.
func (o *outageTest) assertDown() {
	o.Helper()
	o.assertPlainGoesOn()
	o.assertRefused(o.browser.get("/user"))
	o.assertRefused(o.browser.get("/count"))
	o.assertWritesDown()
}

// assertWritesDown is the part of assertDown that holds also where the server still reads.
func (o *outageTest) assertWritesDown() {
	o.Helper()
	o.assertPlainGoesOn()
	o.assertRefused(o.browser.do(http.MethodPost, "/set?key=k&value=lost"))
	o.assertRefused(o.browser.do(http.MethodPost, "/login"))
	o.assertRefused(o.browser.another().do(http.MethodPost, "/set?key=k&value=lost"))
}

func (o *outageTest) assertPlainGoesOn() {
	o.Helper()
	before := o.manager.Stats().Loads
	p := o.browser.get("/plain")
	assert.Equal(o, http.StatusOK, p.StatusCode)
	assert.Equal(o, "plain", p.body)
	assert.Empty(o, p.Header["Set-Cookie"])
	assert.Equal(o, before, o.manager.Stats().Loads, "a request that uses no session waited for the store")
}

// assertRefused asserts that a page is the answer to a request whose session is unavailable.
func (o *outageTest) assertRefused(p page) {
	o.Helper()
	assert.Equal(o, http.StatusServiceUnavailable, p.StatusCode, "%s %s: %s", p.Request.Method, p.Request.URL.Path, p.body)
	assert.Equal(o, "Service Unavailable\n", p.body, "details are the log's")
	assert.Empty(o, p.Header["Set-Cookie"], "a cookie is touched")
	retry := ""
	if p.Request.Method == http.MethodGet {
		retry = "1"
	}
	assert.Equal(o, retry, p.Header.Get("Retry-After"), p.Request.Method)
}

// assertOneOutage asserts that the log tells of one outage, from its begin to its end.
func (o *outageTest) assertOneOutage() {
	o.Helper()
	assert.Equal(o, []string{outageBegins, outageEnds}, o.log.outages())
}

// command runs a command on the server itself.
func (o *outageTest) command(line string) {
	o.Helper()
	do(o.T, o.redis.Conn(o.T), line)
}

// do runs a command, whose words have no spaces in them.
func do(t *testing.T, c redis.Conn, line string) {
	t.Helper()
	var args []any
	words := strings.Fields(line)
	for _, word := range words[1:] {
		args = append(args, word)
	}
	_, err := c.Do(words[0], args...)
	require.NoError(t, err, line)
}

// any reports whether a request failed with an error whose text holds part.
func (f *failures) any(part string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.errors, func(err error) bool { return strings.Contains(err.Error(), part) })
}
