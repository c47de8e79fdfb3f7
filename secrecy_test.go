package session_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
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

// A wiretap hears everything that is printed and logged, and knows what must not be in it.
type wiretap struct {
	mu     sync.Mutex
	heard  bytes.Buffer
	hidden map[string]string // what must not be heard, and what it is
}

func newWiretap() *wiretap {
	return &wiretap{hidden: map[string]string{
		hiddenText: "a value", hiddenField: "a value", hiddenFlash: "a value", hiddenFailed: "a value",
		fmt.Sprint(hiddenNumber): "a value", testSecret: "the secret",
	}}
}

func (tap *wiretap) Write(p []byte) (int, error) {
	tap.mu.Lock()
	defer tap.mu.Unlock()
	return tap.heard.Write(p)
}

// hide adds what must not be heard. Of a long text neither end may be.
func (tap *wiretap) hide(what, text string) {
	tap.mu.Lock()
	defer tap.mu.Unlock()
	if text == "" {
		return // no token yet
	}
	tap.hidden[text] = what
	if len(text) > 40 {
		tap.hidden[text[:20]], tap.hidden[text[len(text)-20:]] = what, what
	}
}

// logger returns a logger that is heard in every form that slog has.
func (tap *wiretap) logger() *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}
	return slog.New(bothForms{slog.NewTextHandler(tap, options), slog.NewJSONHandler(tap, options)})
}

var printTemplate = template.Must(template.New("").Parse("{{ . }} {{ print . }} {{ html . }} {{ . | js }}\n"))

var printVerbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T"}

// print prints v in every way there is.
func (tap *wiretap) print(v any) {
	for _, verb := range printVerbs {
		fmt.Fprintf(tap, verb+"\n", v)
	}
	tap.logger().Info("print", "value", v, slog.Group("in a group", "value", v))
	if err := printTemplate.Execute(tap, v); err != nil {
		fmt.Fprintln(tap, err)
	}
	for _, inside := range []any{v, []any{v}, map[string]any{"in a map": v}, struct{ Field any }{v}} {
		fmt.Fprintf(tap, "%v %+v %#v\n", inside, inside, inside)
		if text, err := json.Marshal(inside); err == nil {
			tap.Write(append(text, '\n'))
		} else {
			fmt.Fprintln(tap, err)
		}
	}
}

// printHeld prints v as a program does that keeps it in an unexported field, where fmt calls none
// of its methods, and under a wrong verb follows a pointer once.
func (tap *wiretap) printHeld(v any) {
	tap.print(v)
	for _, verb := range printVerbs {
		fmt.Fprintf(tap, verb+"\n", struct{ held any }{v})
	}
}

// silent asserts that nothing hidden was heard, in any spelling that fmt and encoders have.
func (tap *wiretap) silent(t *testing.T) {
	t.Helper()
	tap.mu.Lock()
	defer tap.mu.Unlock()
	heard := tap.heard.String()
	lower := strings.ToLower(heard)
	require.NotEmpty(t, heard)
	for text, what := range tap.hidden {
		for _, spelled := range []string{
			text,
			strings.Trim(fmt.Sprint([]byte(text)), "[]"),
			base64.RawStdEncoding.EncodeToString([]byte(text)),
			base64.RawURLEncoding.EncodeToString([]byte(text)),
		} {
			if at := strings.Index(heard, spelled); at >= 0 {
				assert.Fail(t, what+" was heard", "%q in: %q", text, heard[max(0, at-300):min(len(heard), at+100)])
			}
		}
		assert.NotContains(t, lower, hex.EncodeToString([]byte(text)), what)
	}
}

// bothForms writes each record as text and as JSON.
type bothForms [2]slog.Handler

func (b bothForms) Enabled(ctx context.Context, level slog.Level) bool { return true }

func (b bothForms) Handle(ctx context.Context, r slog.Record) error {
	return errors.Join(b[0].Handle(ctx, r.Clone()), b[1].Handle(ctx, r.Clone()))
}

func (b bothForms) WithAttrs(attrs []slog.Attr) slog.Handler {
	return bothForms{b[0].WithAttrs(attrs), b[1].WithAttrs(attrs)}
}

func (b bothForms) WithGroup(name string) slog.Handler {
	return bothForms{b[0].WithGroup(name), b[1].WithGroup(name)}
}

// A printingDriver prints whatever passes through it.
type printingDriver struct {
	session.Driver
	tap *wiretap
}

func (d printingDriver) Load(ctx context.Context, tok session.Token, now time.Time) (*session.Record, error) {
	d.tap.hide("a token", tok.Value())
	rec, err := d.Driver.Load(ctx, tok, now)
	d.tap.print(ctx)
	d.tap.print(tok)
	d.tap.printRecord(rec)
	d.tap.print(err)
	return rec, err
}

func (d printingDriver) Save(ctx context.Context, rec *session.Record, ch *session.Changes) (session.Token, error) {
	tok, err := d.Driver.Save(ctx, rec, ch)
	d.tap.hide("a token", ch.NewToken().Value())
	d.tap.printRecord(rec)
	d.tap.print(ch)
	d.tap.print(*ch)
	d.tap.print(session.ChangesBuilder{NewToken: tok, Ops: []session.Op{{Key: "k", Value: hiddenText}}})
	for op := range ch.All() {
		d.tap.print(op)
		d.tap.print(&op)
	}
	d.tap.print(tok)
	d.tap.print(err)
	return tok, err
}

func (tap *wiretap) printRecord(rec *session.Record) {
	tap.print(rec)
	if rec == nil {
		return
	}
	tap.print(*rec)
	for _, flash := range rec.Flash() {
		tap.print(flash)
	}
	var b session.RecordBuilder
	for key, value := range rec.Values() {
		b.Value(key, value)
	}
	tap.print(b)
	tap.print(&b)
	packed, err := rec.AppendBinary(nil)
	tap.print(err)
	tap.print(session.Entry{Data: packed})
}

// secrecyRoutes serve traffic of every kind, and print all that a handler can get hold of.
func secrecyRoutes(tap *wiretap, m *session.Manager) routes {
	all := routes{
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
	printed := make(routes)
	for path, serve := range all {
		printed[path] = func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			defer func() { tap.printRequest(w, r, s, m) }()
			serve(w, r, s)
		}
	}
	return printed
}

func useOther(w http.ResponseWriter, r *http.Request, s *session.Session) {
	for _, name := range append(driverNames, "no such driver") {
		if other, err := s.Using(name); err == nil {
			other.Set("text", hiddenText)
		}
	}
}

// printRequest prints what a handler can get hold of. The client's own Cookie line is no secret
// of this package's: whoever prints a request's header prints it.
func (tap *wiretap) printRequest(w http.ResponseWriter, r *http.Request, s *session.Session, m *session.Manager) {
	tap.print(s.Err())
	tap.printHeld(s)
	// html/template copies what a pointer points to, which other requests count in: the whole
	// of it is printed when they are done.
	fmt.Fprintf(tap, "%v %+v %#v\n", m, m, m)
	tap.print(m.Stats())
	tap.printHeld(w)
	tap.printHeld(r.Context())
	tap.print(context.WithValue(r.Context(), ownKey{}, 1))
	bare := r.Clone(r.Context())
	bare.Header = nil
	tap.printHeld(bare)
	tap.print(*bare)
	tap.print(s.Open())
	tap.print(s.Save())
	tap.print(s.Handle())
	tap.print(s.TemplateFuncs())
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
	paths := []string{"/set", "/misread", "/set", "/unencodable", "/panicking", "/long-key", "/increment", "/large",
		"/panic", "/remember", "/late", "/regenerate", "/other-driver", "/misread"}
	for _, path := range paths {
		c.visit(path)
	}
	good := c.tamper()
	c.visit("/misread")
	c.cookies = good
	c.visit("/misread", "s_memory=no-such-token", "s_cookie=AAAA", "s_redis=*")
	c.visit("/destroy")
	ended := good
	c.cookies = ended
	c.visit("/set")
	c.visit("/regenerate")
}

func TestNothingSecretIsEverPrintedLoggedOrAnswered(t *testing.T) {
	for _, name := range append(driverNames, "printing") {
		t.Run(name, func(t *testing.T) {
			tap := newWiretap()
			cfg := secrecyConfig(t, tap, name)
			tap.print(cfg)
			m := newManager(t, cfg)
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
		Default: name, Secret: testSecret, PreviousSecrets: []string{previous}, Logger: tap.logger(),
		Redis:   session.RedisConfig{Port: server.Port(), Password: password},
		Drivers: map[string]session.Driver{"printing": printingDriver{session.NewMemoryDriver(session.MemoryConfig{}), tap}},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			tap.print(err)
			if r.URL.Path == "/increment" {
				panic("of an error handler")
			}
		},
	}
	cookies, err := session.NewCookieDriver(cfg.Cookie, testSecret, previous)
	require.NoError(t, err)
	redis, err := session.NewRedisDriver(cfg.Redis)
	require.NoError(t, err)
	for _, driver := range []any{cookies, redis, session.NewMemoryDriver(cfg.Memory), session.StoreDriver(nil)} {
		tap.printHeld(driver)
	}
	for _, v := range []any{*redis, cfg.Redis, &cfg.Redis, cfg.Redis.Options, &cfg, cfg.CookieAttributes} {
		tap.print(v)
	}
	return cfg
}

// tapped serves a manager's secrecyRoutes; what net/http itself logs is heard too.
func tapped(t *testing.T, tap *wiretap, m *session.Manager) *suspect {
	server := httptest.NewUnstartedServer(secrecyRoutes(tap, m).under(m))
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
	cfg := session.Config{Default: "redis", Secret: testSecret, Logger: tap.logger(),
		Redis:        session.RedisConfig{Port: server.Port(), Password: password},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { tap.print(err) }}
	m := newManager(t, cfg)
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
	m = newManager(t, wrong)
	c.server = tapped(t, tap, m).server
	response = c.visit("/misread")
	assert.Equal(t, http.StatusInternalServerError, response.StatusCode)
	tap.print(m.Ping(t.Context()))
	tap.silent(t)
}

// What a damaged store holds under a field may be anybody's value.
func TestADamagedHashIsNotQuoted(t *testing.T) {
	server := redistest.Start(t)
	tap := newWiretap()
	cfg := session.Config{Default: "redis", Logger: tap.logger(),
		Redis:        session.RedisConfig{Port: server.Port()},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { tap.print(err) }}
	for _, damaged := range []struct{ field, value string }{
		{"f:flash", hiddenText + " 0 " + hiddenText},
		{"f:flash", "0123456789abcdef " + hiddenText + " " + hiddenText},
		{"@created", hiddenText},
		{"@used", hiddenText},
		{"@lifetime", hiddenText},
		{"@idle", hiddenText},
		{"@id", hiddenText},
		{"@saves", hiddenText},
	} {
		c := tapped(t, tap, newManager(t, cfg))
		c.visit("/set")
		damage(t, server, damaged.field, damaged.value)
		response := c.visit("/misread")
		assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode, damaged.field)
	}
	tap.silent(t)
	assert.Contains(t, tap.heard.String(), "damaged")
}

// damage writes a value where a field of every stored session has another form.
func damage(t *testing.T, server *redistest.Server, field, value string) {
	t.Helper()
	conn := server.Conn(t)
	for _, key := range storedKeys(t, conn, "") {
		_, err := conn.Do("HSET", key, field, value)
		require.NoError(t, err)
	}
}
