package otelsession_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
	"example.com/session/otelsession"
)

func TestMain(m *testing.M) {
	code := redistest.Main(m)
	os.RemoveAll(demoDir)
	os.Exit(code)
}

// A traced is a visitor of a server whose requests each have a span.
type traced struct {
	*kit.Visitor
	spans     *tracetest.InMemoryExporter
	telemetry *otelsession.Telemetry
	manager   *session.Manager
	serving   *sync.Mutex // held while a request is served: its span ends after its response
}

func trace(t *testing.T, cfg session.Config, attrs ...attribute.KeyValue) *traced {
	t.Helper()
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	telemetry := otelsession.New(provider, attrs...)
	m, err := telemetry.NewManager(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	serving := new(sync.Mutex)
	v := kit.NewVisitorBehind(t, m, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			serving.Lock()
			defer serving.Unlock()
			ctx, span := provider.Tracer("test").Start(r.Context(), "request")
			defer span.End()
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	})
	return &traced{v, spans, telemetry, m, serving}
}

// take returns the spans since the last call, by name. There is one request among them.
func (x *traced) take() map[string]tracetest.SpanStub {
	x.T.Helper()
	x.serving.Lock()
	defer x.serving.Unlock()
	by := map[string]tracetest.SpanStub{}
	for _, span := range x.spans.GetSpans() {
		by[span.Name] = span
	}
	x.spans.Reset()
	require.Contains(x.T, by, "request")
	return by
}

func attributes(kv []attribute.KeyValue) map[string]string {
	by := map[string]string{}
	for _, a := range kv {
		by[string(a.Key)] = a.Value.AsString()
	}
	return by
}

func TestOperationsAreSpansOfTheirRequest(t *testing.T) {
	x := trace(t, kit.DriverConfig(t, "redis"))
	handle := kit.Login(x.Visitor, "ann")
	x.take()
	x.Visit(func(s *session.Session) { s.Set("n", 1) })
	spans := x.take()
	for _, name := range []string{"session load", "session save"} {
		require.Contains(t, spans, name)
		assert.Equal(t, spans["request"].SpanContext.SpanID(), spans[name].Parent.SpanID(), name)
		assert.Equal(t, map[string]string{"session.id": handle, "session.driver": "redis"}, attributes(spans[name].Attributes))
		assert.Equal(t, codes.Unset, spans[name].Status.Code)
	}
	x.Visit(func(s *session.Session) { s.Logout() })
	assert.Contains(t, x.take(), "session end")
	x.Visit(func(*session.Session) {})
	assert.Len(t, x.take(), 1, "the session was not used")
}

func TestEventsAreOnTheSpanOfTheirRequest(t *testing.T) {
	for _, name := range []string{"memory", "redis"} {
		x := trace(t, kit.DriverConfig(t, name))
		x.Visit(func(s *session.Session) { s.Login("ann") })
		events := x.take()["request"].Events
		require.Len(t, events, 2)
		assert.Equal(t, []string{"session.start", "session.login"}, []string{events[0].Name, events[1].Name})
		began := attributes(events[0].Attributes)
		x.Visit(func(s *session.Session) { s.Logout() })
		events = x.take()["request"].Events
		require.Len(t, events, 1)
		assert.Equal(t, "session.end", events[0].Name)
		assert.Equal(t, map[string]string{"session.id": began["session.id"], "session.driver": name, "session.event": "ended",
			"session.reason": "logout"}, attributes(events[0].Attributes))
	}
}

func TestFailedOperationIsAFailedSpanAndNothingToFindIsNot(t *testing.T) {
	cfg := kit.DriverConfig(t, "memory")
	store := kit.WithFaults(t, &cfg)
	x := trace(t, cfg)
	x.Visit(func(s *session.Session) { s.Get("n") }, "Cookie", "s_faulty=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	assert.Equal(t, codes.Unset, x.take()["session load"].Status.Code)
	x.Visit(func(s *session.Session) { s.Set("n", 1) })
	x.take()
	for want, err := range map[string]error{"unavailable": errors.New("broken"), "damaged": driver.ErrDamaged, "misconfigured": driver.ErrMisconfigured} {
		store.Set(func(context.Context, string) error { return err })
		x.Visit(func(s *session.Session) { s.Get("n") })
		span := x.take()["session load"]
		assert.Equal(t, codes.Error, span.Status.Code, want)
		assert.Equal(t, want, attributes(span.Attributes)["error.type"])
	}
}

// Spans go to many people, so they name the session by its handle, which opens nothing.
func TestNoSpanHasATokenOrAUser(t *testing.T) {
	x := trace(t, kit.DriverConfig(t, "redis"))
	kit.Login(x.Visitor, "ann.secret")
	cookie := x.CookieHeader()
	x.Visit(func(s *session.Session) { s.Set("n", "a value") })
	x.Visit(func(s *session.Session) { s.Logout() })
	text := fmt.Sprintf("%+v", x.take())
	assert.Contains(t, text, "session.id")
	for _, secret := range []string{cookie[len(cookie)-30:], "ann.secret", "a value"} {
		assert.NotContains(t, text, secret)
	}
}

func TestHooksOfTheApplicationAreCalledToo(t *testing.T) {
	cfg := kit.DriverConfig(t, "redis")
	book := kit.RecordEvents(&cfg)
	var operations []string
	cfg.Trace = func(ctx context.Context, op session.Operation) (context.Context, func(error)) {
		operations = append(operations, op.Name)
		return ctx, func(err error) { operations = append(operations, fmt.Sprint("done ", err)) }
	}
	x := trace(t, cfg)
	x.Visit(func(s *session.Session) { s.Set("n", 1) })
	assert.Equal(t, []string{"save", "done <nil>"}, operations)
	assert.Equal(t, "created", book.Kinds())
	assert.Contains(t, x.take(), "session save")
}
