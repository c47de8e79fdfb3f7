package security_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

// What must never be seen: the tests store these values, and look for them in everything that is
// printed, logged or sent to a client.
const (
	hiddenText   = "VALUE-text-8c1f6e2b"
	hiddenField  = "VALUE-field-51d07a9e"
	hiddenFlash  = "VALUE-flash-b3e8c604"
	hiddenFailed = "VALUE-failed-27fa91d3"
	hiddenNumber = 7182818284590
)

type ownKey struct{}

type hiddenStruct struct{ Number string }

// An indiscreet value quotes itself wherever it can.
type indiscreet string

func (v indiscreet) MarshalJSON() ([]byte, error) {
	return nil, errors.New("cannot write " + string(v))
}

// A panicking value quotes itself as it goes down.
type panicking string

func (v panicking) MarshalJSON() ([]byte, error) { panic("cannot write " + string(v)) }

// A nosy type quotes what it is asked to read.
type nosy string

func (*nosy) UnmarshalJSON(data []byte) error { return fmt.Errorf("cannot read %s", data) }

// secrecyRoutes serve traffic of every kind, and print all that a handler can get hold of.
func secrecyRoutes(tap *wiretap, m *session.Manager) kit.Routes {
	all := kit.Routes{
		"/set": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Set("text", hiddenText)
			s.Set("struct", hiddenStruct{hiddenField})
			s.Set("number", hiddenNumber)
			s.Flash("flash", hiddenFlash)
			s.FlashNow("now", hiddenFlash)
		},
		"/misread": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			var read nosy
			tap.print(s.Scan("struct", &read))
			tap.print(s.Scan("text", new(int)))
			tap.print(s.Scan("number", new(int8)))
			tap.print(s.GetInt("text"))
			_, ok := session.Get[[]int](s, "struct")
			tap.print(ok)
			tap.print(s.Has("flash"))
		},
		"/unencodable": func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Set("k", indiscreet(hiddenFailed)) },
		"/panicking":   func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Set("k", panicking(hiddenFailed)) },
		"/long-key": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Set(strings.Repeat("k", 256), hiddenFailed)
		},
		"/increment": func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Increment("text", 1) },
		"/large": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Set("large", strings.Repeat(hiddenText, 300))
		},
		"/panic": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Set("k", hiddenFailed)
			panic("of a handler")
		},
		"/login": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Describe(map[string]string{"device": hiddenText})
			s.Login("ann")
		},
		"/update": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			tap.print(session.Update(s, "text", func(v int) int { return v }))
			tap.print(session.Update(s, "text", func(v string) string { return v + hiddenText }))
			tap.print(s.Reload())
		},
		"/regenerate":   func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Regenerate() },
		"/remember":     func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Remember(500 * 24 * time.Hour) },
		"/destroy":      func(w http.ResponseWriter, r *http.Request, s *session.Session) { s.Destroy() },
		"/other-driver": useOther,
		"/late": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			w.WriteHeader(http.StatusAccepted)
			s.Set("text", hiddenText+"-late")
			s.Regenerate()
		},
	}
	printed := make(kit.Routes)
	for path, serve := range all {
		printed[path] = func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			defer func() { tap.printRequest(w, r, s, m) }()
			serve(w, r, s)
		}
	}
	return printed
}

func useOther(w http.ResponseWriter, r *http.Request, s *session.Session) {
	for _, name := range append(kit.DriverNames, "no such driver") {
		if other, err := s.Using(name); err == nil {
			other.Set("text", hiddenText)
		}
	}
}

// A suspect is a client that sends what it likes, and keeps every token that it is given.
type suspect struct {
	t       *testing.T
	tap     *wiretap
	server  *httptest.Server
	cookies map[string]string
}

// visit sends a request, hides the cookies of the answer and lets the tap hear all the rest of it.
func (c *suspect) visit(path string, extra ...string) *http.Response {
	c.t.Helper()
	r, err := http.NewRequest(http.MethodGet, c.server.URL+path, nil)
	require.NoError(c.t, err)
	var pairs []string
	for name, value := range c.cookies {
		pairs = append(pairs, name+"="+value)
	}
	r.Header.Set("Cookie", strings.Join(append(pairs, extra...), "; "))
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil // of a handler that panicked
	}
	defer response.Body.Close()
	c.keep(response)
	body, err := io.ReadAll(response.Body)
	require.NoError(c.t, err)
	response.Header.Del("Set-Cookie")
	fmt.Fprintf(c.tap, "answer to %s: %s %v %s\n", path, response.Status, response.Header, body)
	return response
}

func (c *suspect) keep(response *http.Response) {
	for _, cookie := range response.Cookies() {
		if cookie.MaxAge < 0 {
			delete(c.cookies, cookie.Name)
			continue
		}
		c.cookies[cookie.Name] = cookie.Value
		if len(cookie.Value) > 1 { // the hint of pending flash is no secret
			c.tap.hide("a token", cookie.Value)
		}
	}
}

// tamper changes a character of every session cookie, and returns them as they were.
func (c *suspect) tamper() (were map[string]string) {
	were = make(map[string]string)
	for name, value := range c.cookies {
		were[name] = value
		if len(value) > 20 {
			c.cookies[name] = value[:10] + string(value[10]^1) + value[11:]
		}
	}
	return were
}

// misbehave drives traffic of every kind.
func (c *suspect) misbehave() {
	paths := []string{"/set", "/login", "/update", "/misread", "/set", "/unencodable", "/panicking", "/long-key", "/increment", "/large",
		"/panic", "/remember", "/late", "/regenerate", "/other-driver", "/misread"}
	for _, path := range paths {
		c.visit(path)
	}
	good := c.tamper()
	c.visit("/misread")
	c.cookies = good
	c.visit("/misread", "s_memory="+inventedToken(), "s_cookie=AAAA", "s_redis=*")
	c.visit("/destroy")
	ended := good
	c.cookies = ended
	c.visit("/set")
	c.visit("/regenerate")
}

func TestNothingSecretIsEverPrintedLoggedOrAnswered(t *testing.T) {
	for _, name := range append(kit.DriverNames, "printing") {
		t.Run(name, func(t *testing.T) {
			tap := newWiretap()
			cfg := secrecyConfig(t, tap, name)
			tap.print(cfg)
			m := kit.NewManager(t, cfg)
			c := tapped(t, tap, m)
			c.misbehave()
			c.server.Close() // printing a manager under a wrong verb reads its counters
			tap.printHeld(m)
			tap.silent(t)
			assert.GreaterOrEqual(t, len(tap.hidden), 8, "no token was issued")
		})
	}
}

// secrecyConfig is a configuration with a secret in every place that can have one.
func secrecyConfig(t *testing.T, tap *wiretap, name string) session.Config {
	const password = "Redis-Pa55word-4f9c"
	previous := session.NewSecret()
	tap.hide("the password", password)
	tap.hide("a previous secret", previous)
	server := redistest.Start(t, "--requirepass", password)
	cfg := session.Config{
		Default: name, Secret: kit.Secret, PreviousSecrets: []string{previous}, Logger: tap.logger(),
		Redis:   session.RedisConfig{Port: server.Port(), Password: password},
		Drivers: map[string]session.Driver{"printing": printingDriver{session.NewMemoryDriver(session.MemoryConfig{}), tap}},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			tap.print(err)
			if r.URL.Path == "/increment" {
				panic("of an error handler")
			}
		},
	}
	redis, err := session.NewRedisDriver(cfg.Redis)
	require.NoError(t, err)
	for _, d := range []any{redis, session.NewMemoryDriver(cfg.Memory), session.StoreDriver(nil)} {
		tap.printHeld(d)
	}
	for _, v := range []any{cfg.Redis, &cfg.Redis, cfg.Redis.Options, &cfg, cfg.CookieAttributes} {
		tap.print(v)
	}
	return cfg
}

// tapped serves a manager's secrecyRoutes; it also takes what net/http itself logs.
func tapped(t *testing.T, tap *wiretap, m *session.Manager) *suspect {
	server := httptest.NewUnstartedServer(secrecyRoutes(tap, m).Under(m))
	server.Config.ErrorLog = log.New(tap, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	return &suspect{t: t, tap: tap, server: server, cookies: make(map[string]string)}
}

func TestAnOutageTellsNoSecret(t *testing.T) {
	const password = "Redis-Pa55word-4f9c"
	tap := newWiretap()
	tap.hide("the password", password)
	server := redistest.Start(t, "--requirepass", password)
	cfg := session.Config{Default: "redis", Secret: kit.Secret, Logger: tap.logger(),
		Redis:        session.RedisConfig{Port: server.Port(), Password: password},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { tap.print(err) }}
	m := kit.NewManager(t, cfg)
	c := tapped(t, tap, m)
	c.visit("/set")
	require.NotEmpty(t, c.cookies)

	server.Stop()
	response := c.visit("/misread")
	assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	tap.print(m.Ping(t.Context()))
	server.Restart(t)
	c.visit("/set")

	wrong := cfg
	wrong.Redis.Password = "Wr0ng-Pa55word-77"
	tap.hide("a wrong password", wrong.Redis.Password)
	m = kit.NewManager(t, wrong)
	c.server = tapped(t, tap, m).server
	response = c.visit("/misread")
	assert.Equal(t, http.StatusInternalServerError, response.StatusCode)
	tap.print(m.Ping(t.Context()))
	tap.silent(t)
}
