package security_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/suites/kit"
)

// A wiretap collects everything that is printed and logged, and knows what must not be in it.
type wiretap struct {
	mu      sync.Mutex
	printed bytes.Buffer
	hidden  map[string]string // what must not be printed, and what it is
}

func newWiretap() *wiretap {
	return &wiretap{hidden: map[string]string{
		hiddenText: "a value", hiddenField: "a value", hiddenFlash: "a value", hiddenFailed: "a value",
		fmt.Sprint(hiddenNumber): "a value", kit.Secret: "the secret",
	}}
}

func (tap *wiretap) Write(p []byte) (int, error) {
	tap.mu.Lock()
	defer tap.mu.Unlock()
	return tap.printed.Write(p)
}

// hide adds what must not be printed. Of a long text neither end may be, except the id that a token
// begins with.
func (tap *wiretap) hide(what, text string) {
	tap.mu.Lock()
	defer tap.mu.Unlock()
	if text == "" {
		return // no token yet
	}
	tap.hidden[text] = what
	if len(text) == 56 {
		text = text[22:]
		tap.hidden[text] = what
	}
	if len(text) > 30 {
		tap.hidden[text[:20]], tap.hidden[text[len(text)-20:]] = what, what
	}
}

// logger returns a logger whose lines the wiretap collects, in every form that slog has.
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

// printHeld prints v as a program does that keeps it in an unexported field, where fmt calls none of
// its methods.
func (tap *wiretap) printHeld(v any) {
	tap.print(v)
	held := struct{ held any }{v}
	fmt.Fprintf(tap, "%v %+v %#v\n", held, held, held)
}

// silent asserts that nothing hidden was printed, in any spelling that fmt and encoders have.
func (tap *wiretap) silent(t *testing.T) {
	t.Helper()
	tap.mu.Lock()
	defer tap.mu.Unlock()
	printed := tap.printed.String()
	lower := strings.ToLower(printed)
	require.NotEmpty(t, printed)
	for text, what := range tap.hidden {
		for _, spelled := range []string{
			text,
			strings.Trim(fmt.Sprint([]byte(text)), "[]"),
			base64.RawStdEncoding.EncodeToString([]byte(text)),
			base64.RawURLEncoding.EncodeToString([]byte(text)),
		} {
			if at := strings.Index(printed, spelled); at >= 0 {
				assert.Fail(t, what+" was printed", "%q in: %q", text, printed[max(0, at-300):min(len(printed), at+100)])
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

func (d printingDriver) Load(ctx context.Context, id driver.ID, now time.Time) (*driver.Record, error) {
	rec, err := d.Driver.Load(ctx, id, now)
	d.tap.print(ctx)
	d.tap.printRecord(rec)
	d.tap.print(err)
	return rec, err
}

func (d printingDriver) Save(ctx context.Context, base *driver.Record, ch *driver.Changes) (*driver.Record, error) {
	rec, err := d.Driver.Save(ctx, base, ch)
	d.tap.printRecord(rec)
	d.tap.print(ch)
	d.tap.print(*ch)
	for _, op := range ch.Ops {
		d.tap.print(op)
		d.tap.print(&op)
	}
	d.tap.print(err)
	var conflict *driver.ConflictError
	if errors.As(err, &conflict) {
		d.tap.print(*conflict)
	}
	return rec, err
}

func (d printingDriver) End(ctx context.Context, base *driver.Record, e *driver.Ending) (*driver.Record, error) {
	d.tap.print(e)
	d.tap.print(*e)
	rec, err := d.Driver.End(ctx, base, e)
	d.tap.printRecord(rec)
	return rec, err
}

func (tap *wiretap) printRecord(rec *driver.Record) {
	tap.print(rec)
	if rec == nil {
		return
	}
	tap.print(*rec)
	for flash := range rec.Flash() {
		tap.print(flash)
	}
	for _, c := range rec.Credentials() {
		tap.print(c)
	}
	packed, err := rec.AppendBinary(nil)
	tap.print(err)
	tap.print(driver.Entry{Data: packed})
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
