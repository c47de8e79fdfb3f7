// Package otelsession reports to OpenTelemetry what package session does: a span for each operation
// of a driver, an event on the span of the request for each session.Event, and metrics. Package
// example.com/session itself does not need OpenTelemetry.
//
//	telemetry := otelsession.New(nil)
//	exporter, err := prometheus.New(prometheus.WithProducer(telemetry))
//	manager, err := telemetry.NewManager(session.Config{Default: "redis"})
//
// A Telemetry is a metric.Producer, so any reader of metrics accepts it. For OTLP write
// metric.NewPeriodicReader(exporter, metric.WithProducer(telemetry)).
//
// # Spans
//
// The spans are called "session load", "session save" and "session end". They are children of the
// span in the request's context, and parents of those of the redis or SQL client. Drivers without
// I/O have none. Attributes: session.id, which is the handle of the session and opens nothing;
// session.driver; and error.type if the operation failed. A load that finds no session has not
// failed.
//
// # Events
//
// Each session.Event is an event on the span of its request. An event that begins a session is
// called session.start, and one that ends a session session.end, as the semantic conventions for
// sessions say. Other names are session.login, session.tampered and so on. Attributes: session.id,
// session.driver, session.event (the kind) and session.reason. Users are left out, because they are
// personal data: write them to an audit log with Config.Events.
//
// # Metrics
//
// Every number of session.Stats is a metric with the attribute session.driver. The counters are
// named session.loads, session.late_changes and so on. The gauges are session.sessions and
// session.outage, which is 1 in an outage. The histogram session.operation.duration is in seconds;
// its attribute session.operation is load or save, and save includes endings. session.failed counts
// requests and has no attribute session.driver. session.events counts events, by session.event,
// session.driver and session.reason. Metrics cost an operation nothing, because the numbers are
// read when a reader collects. The default exporter of Prometheus names them session_loads_total,
// session_operation_duration_seconds and so on. docs/operations.md of the library explains them,
// and has alerts and a dashboard.
package otelsession

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"

	"example.com/session"
	"example.com/session/driver"
)

const scope = "example.com/session/otelsession"

// The attributes that the semantic conventions do not have.
const (
	driverKey    = attribute.Key("session.driver")
	operationKey = attribute.Key("session.operation")
	eventKey     = attribute.Key("session.event")
	reasonKey    = attribute.Key("session.reason")
)

// A Telemetry reports what one manager does. It is safe for concurrent use.
type Telemetry struct {
	tracer trace.Tracer
	attrs  []attribute.KeyValue
	began  time.Time

	mu      sync.Mutex
	manager *session.Manager
	events  map[countedEvent]int64
}

// A countedEvent is what events are counted by.
type countedEvent struct{ kind, driver, reason string }

var _ metric.Producer = (*Telemetry)(nil)

// New returns a Telemetry whose spans go to provider; nil means otel.GetTracerProvider(). attrs are
// added to all metrics: if a program has two managers, give them different ones.
func New(provider trace.TracerProvider, attrs ...attribute.KeyValue) *Telemetry {
	if provider == nil {
		provider = otel.GetTracerProvider()
	}
	return &Telemetry{tracer: provider.Tracer(scope), attrs: attrs, began: time.Now(), events: make(map[countedEvent]int64)}
}

// NewManager calls session.NewManager, and makes t report on the new manager. cfg.Events and
// cfg.Trace are still called. After a second call, the metrics are those of the second manager.
func (t *Telemetry) NewManager(cfg session.Config) (*session.Manager, error) {
	if events := cfg.Events; events != nil {
		cfg.Events = func(ctx context.Context, e session.Event) { t.event(ctx, e); events(ctx, e) }
	} else {
		cfg.Events = t.event
	}
	if outer := cfg.Trace; outer != nil {
		cfg.Trace = func(ctx context.Context, op session.Operation) (context.Context, func(error)) {
			ctx, done := outer(ctx, op)
			ctx, end := t.trace(ctx, op)
			return ctx, func(err error) { end(err); done(err) }
		}
	} else {
		cfg.Trace = t.trace
	}
	m, err := session.NewManager(cfg)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.manager = m
	return m, nil
}

// trace makes the span of an operation.
func (t *Telemetry) trace(ctx context.Context, op session.Operation) (context.Context, func(error)) {
	ctx, span := t.tracer.Start(ctx, "session "+op.Name,
		trace.WithAttributes(semconv.SessionID(op.Handle), driverKey.String(op.Driver)))
	return ctx, func(err error) {
		if kind := failure(err); kind != "" {
			span.SetAttributes(semconv.ErrorTypeKey.String(kind))
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}

// failure returns the error.type of an operation, "" if it did not fail: that there is no session,
// or another one by now, is an answer.
func failure(err error) string {
	var conflict *driver.ConflictError
	switch {
	case err == nil, errors.Is(err, session.ErrNoSession), errors.As(err, &conflict):
		return ""
	case errors.Is(err, session.ErrUnavailable):
		return "unavailable"
	case errors.Is(err, driver.ErrMisconfigured):
		return "misconfigured"
	case errors.Is(err, driver.ErrDamaged):
		return "damaged"
	case errors.Is(err, session.ErrTooManySessions):
		return "max_per_user"
	}
	return "_OTHER" // as the semantic conventions call it
}

// event counts an event and adds it to the span of its request.
func (t *Telemetry) event(ctx context.Context, e session.Event) {
	t.mu.Lock()
	t.events[countedEvent{string(e.Kind), e.Driver, e.Reason}]++
	t.mu.Unlock()
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	attrs := []attribute.KeyValue{eventKey.String(string(e.Kind)), driverKey.String(e.Driver)}
	if e.Handle != "" {
		attrs = append(attrs, semconv.SessionID(e.Handle))
	}
	if e.Reason != "" {
		attrs = append(attrs, reasonKey.String(e.Reason))
	}
	span.AddEvent(nameOf(e.Kind), trace.WithTimestamp(e.Time), trace.WithAttributes(attrs...))
}

func nameOf(kind session.EventKind) string {
	switch kind {
	case session.EventCreated:
		return "session.start"
	case session.EventEnded, session.EventExpiredIdle, session.EventExpiredLifetime, session.EventEvicted:
		return "session.end"
	}
	return "session." + string(kind)
}
