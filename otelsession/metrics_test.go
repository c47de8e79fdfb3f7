package otelsession_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
	"example.com/session/otelsession"
)

func TestMetricsAreTheNumbersOfTheManager(t *testing.T) {
	x := trace(t, kit.DriverConfig(t, "redis"), attribute.String("site", "shop"))
	reader := metric.NewManualReader(metric.WithProducer(x.telemetry))
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	t.Cleanup(func() { require.NoError(t, provider.Shutdown(t.Context())) })
	kit.Login(x.Visitor, "ann")
	var collected metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &collected))
	require.Len(t, collected.ScopeMetrics, 1)
	by := map[string]metricdata.Aggregation{}
	for _, m := range collected.ScopeMetrics[0].Metrics {
		by[m.Name] = m.Data
	}
	loads := by["session.loads"].(metricdata.Sum[int64])
	assert.True(t, loads.IsMonotonic)
	require.Len(t, loads.DataPoints, 1)
	assert.EqualValues(t, x.manager.Stats().Loads, loads.DataPoints[0].Value)
	assert.Equal(t, attribute.NewSet(attribute.String("session.driver", "redis"), attribute.String("site", "shop")),
		loads.DataPoints[0].Attributes)
	assert.Zero(t, by["session.outage"].(metricdata.Gauge[int64]).DataPoints[0].Value)
	times := by["session.operation.duration"].(metricdata.Histogram[float64]).DataPoints
	require.Len(t, times, 2)
	for _, point := range times {
		assert.Len(t, point.BucketCounts, len(point.Bounds)+1)
		assert.Positive(t, point.Sum)
		assert.Positive(t, point.Count)
		assert.InDelta(t, 0.0001, point.Bounds[0], 1e-9, "seconds")
	}
	kinds := map[string]int64{}
	for _, point := range by["session.events"].(metricdata.Sum[int64]).DataPoints {
		kind, _ := point.Attributes.Value("session.event")
		kinds[kind.AsString()] = point.Value
	}
	assert.Equal(t, map[string]int64{"created": 1, "login": 1, "opened": 1}, kinds)
}

func TestTelemetryWithoutAManagerHasNoMetrics(t *testing.T) {
	metrics, err := otelsession.New(nil).Produce(t.Context())
	assert.NoError(t, err)
	assert.Empty(t, metrics)
}

// exporter serves the metrics of a telemetry with the exporter for Prometheus.
func exporter(t *testing.T, telemetry *otelsession.Telemetry) *httptest.Server {
	t.Helper()
	registry := prometheus.NewRegistry()
	reader, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithProducer(telemetry),
		otelprometheus.WithoutScopeInfo())
	require.NoError(t, err)
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	t.Cleanup(func() { server.Close(); require.NoError(t, provider.Shutdown(t.Context())) })
	return server
}

func scrape(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode, string(body))
	return string(body)
}

// shape returns the names of the metrics of a scrape with their types, and their samples without the values.
func shape(text string) map[string]bool {
	lines := map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "# TYPE session_"), strings.HasPrefix(line, "# HELP session_"):
			lines[line] = true
		case strings.HasPrefix(line, "session_"):
			lines[line[:strings.LastIndex(line, " ")]] = true
		}
	}
	return lines
}

// The demo writes its metrics itself. The alerts and the dashboard are right for both only if they agree.
func TestExporterAndDemoServeTheSameMetrics(t *testing.T) {
	server := redistest.Start(t)
	d := startDemo(t, "-config", configFor(t, server.Port()))
	d.visit("/session")
	d.signIn("ann")
	text := scrape(t, d.metrics)
	lint(t, text)
	want := shape(text)

	cfg := session.Config{Default: "redis", Secret: kit.Secret, Logger: kit.Quiet,
		Redis: session.RedisConfig{Host: server.Host(), Port: server.Port()}}
	x := trace(t, cfg)
	kit.Login(x.Visitor, "ann")
	text = scrape(t, exporter(t, x.telemetry).URL)
	lint(t, text)
	got := shape(text)
	for line := range want {
		assert.True(t, got[line] || strings.HasPrefix(line, "session_events_total"), "only the demo has %s", line)
	}
	for line := range got {
		assert.True(t, want[line], "the demo lacks %s", line)
	}
	assert.True(t, want[`session_operation_duration_seconds_bucket{session_driver="redis",session_operation="load",le="0.0025"}`])
}

// lint lets promtool check metrics: their help, types, names and units.
func lint(t *testing.T, text string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	require.NoError(t, err)
	cmd := exec.Command(path, "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	assert.NoError(t, err)
	assert.Empty(t, string(out))
}

func promtool(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	require.NoError(t, err, "install prometheus, which has promtool: make deps")
	out, err := exec.Command(path, args...).CombinedOutput()
	require.NoError(t, err, "promtool %s\n%s", strings.Join(args, " "), out)
	return string(out)
}

const operations = "../docs/operations"

func TestPrometheusAcceptsTheAlerts(t *testing.T) {
	assert.Contains(t, promtool(t, "check", "rules", filepath.Join(operations, "alerts.yml")), "SUCCESS")
	_, err := os.Stat(filepath.Join(operations, "alerts.yml"))
	require.NoError(t, err)
}
