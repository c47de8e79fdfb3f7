package otelsession

import (
	"context"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"example.com/session"
)

// Produce returns the metrics of the manager, for a reader. It implements metric.Producer. Before
// NewManager it returns none.
func (t *Telemetry) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.manager == nil {
		return nil, nil
	}
	c := &collection{began: t.began, now: time.Now(), attrs: t.attrs}
	stats := t.manager.Stats()
	c.count("session.failed", "requests that got the error answer", stats.Failed)
	for name, one := range stats.Drivers {
		c.add(one, driverKey.String(name))
	}
	for e, n := range t.events {
		labels := []attribute.KeyValue{eventKey.String(e.kind), driverKey.String(e.driver)}
		if e.reason != "" {
			labels = append(labels, reasonKey.String(e.reason))
		}
		c.count("session.events", "what happened to sessions", uint64(n), labels...)
	}
	return []metricdata.ScopeMetrics{{Scope: instrumentation.Scope{Name: scope}, Metrics: c.metrics}}, nil
}

// A collection is what one call of Produce collects.
type collection struct {
	began, now time.Time
	attrs      []attribute.KeyValue
	metrics    []metricdata.Metrics
}

// add adds the numbers of a driver: whatever fields Stats has.
func (c *collection) add(stats session.Stats, of attribute.KeyValue) {
	v := reflect.ValueOf(stats)
	for i, field := range reflect.VisibleFields(v.Type()) {
		name, help := "session."+snakeCase(field.Name), field.Tag.Get("help")
		switch n := v.Field(i).Interface().(type) {
		case uint64:
			if field.Name != "Failed" { // that of all drivers together
				c.count(name, help, n, of)
			}
		case int64:
			c.gauge(name, help, n, of)
		case bool:
			c.gauge(name, help, map[bool]int64{true: 1}[n], of)
		}
	}
	c.time(stats.LoadTimes, of, operationKey.String("load"))
	c.time(stats.SaveTimes, of, operationKey.String("save"))
}

var capital = regexp.MustCompile(`\B[A-Z]`)

func snakeCase(field string) string { return strings.ToLower(capital.ReplaceAllString(field, "_$0")) }

// metric returns the metric of a name, which it begins with empty data.
func (c *collection) metric(name, help, unit string, empty metricdata.Aggregation) *metricdata.Metrics {
	i := slices.IndexFunc(c.metrics, func(m metricdata.Metrics) bool { return m.Name == name })
	if i < 0 {
		i = len(c.metrics)
		c.metrics = append(c.metrics, metricdata.Metrics{Name: name, Description: help, Unit: unit, Data: empty})
	}
	return &c.metrics[i]
}

func (c *collection) set(labels []attribute.KeyValue) attribute.Set {
	return attribute.NewSet(slices.Concat(c.attrs, labels)...)
}

func (c *collection) count(name, help string, n uint64, labels ...attribute.KeyValue) {
	m := c.metric(name, help, "", metricdata.Sum[int64]{Temporality: metricdata.CumulativeTemporality, IsMonotonic: true})
	sum := m.Data.(metricdata.Sum[int64])
	sum.DataPoints = append(sum.DataPoints, c.point(int64(n), labels))
	m.Data = sum
}

func (c *collection) gauge(name, help string, n int64, labels ...attribute.KeyValue) {
	m := c.metric(name, help, "", metricdata.Gauge[int64]{})
	gauge := m.Data.(metricdata.Gauge[int64])
	gauge.DataPoints = append(gauge.DataPoints, c.point(n, labels))
	m.Data = gauge
}

func (c *collection) point(n int64, labels []attribute.KeyValue) metricdata.DataPoint[int64] {
	return metricdata.DataPoint[int64]{Attributes: c.set(labels), StartTime: c.began, Time: c.now, Value: n}
}

// time adds a histogram, unless there is none because the driver does no I/O.
func (c *collection) time(h session.Histogram, labels ...attribute.KeyValue) {
	if len(h.Counts) == 0 {
		return
	}
	point := metricdata.HistogramDataPoint[float64]{
		Attributes: c.set(labels), StartTime: c.began, Time: c.now, Sum: h.Sum.Seconds(), BucketCounts: h.Counts,
	}
	for _, bound := range h.Bounds {
		point.Bounds = append(point.Bounds, bound.Seconds())
	}
	for _, n := range h.Counts {
		point.Count += n
	}
	m := c.metric("session.operation.duration", "how long loads and saves took, endings included", "s",
		metricdata.Histogram[float64]{Temporality: metricdata.CumulativeTemporality})
	histogram := m.Data.(metricdata.Histogram[float64])
	histogram.DataPoints = append(histogram.DataPoints, point)
	m.Data = histogram
}
