package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/session"
)

// A metrics has the numbers of the manager in the text format of Prometheus, under the names that
// module otelsession gives them. An application should use that module. The demo is part of the
// library's own module, which needs nothing but redigo.
type metrics struct {
	mu      sync.Mutex
	manager *session.Manager
	events  map[string]uint64 // by their labels
}

// observe counts an event and logs it. It is for Config.Events.
func (m *metrics) observe(ctx context.Context, e session.Event) {
	labels := fmt.Sprintf("session_driver=%q,session_event=%q", e.Driver, e.Kind)
	if e.Reason != "" {
		labels += fmt.Sprintf(",session_reason=%q", e.Reason)
	}
	m.mu.Lock()
	m.events[labels]++
	m.mu.Unlock()
	if e.Kind != session.EventUnknown && e.Kind != session.EventTampered { // an attacker could fill the log
		slog.LogAttrs(ctx, slog.LevelInfo, "session", e.Attrs()...)
	}
}

// serve serves the metrics on an address of their own, which should not be a public one.
func (m *metrics) serve(address string) (io.Closer, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(listener)
	slog.Info("serving metrics", "url", "http://"+listener.Addr().String()+"/metrics")
	return server, nil
}

func (m *metrics) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	stats := m.manager.Stats()
	x := exposition{{"session_failed_total", "counter", "requests that got the error answer"}: {fmt.Sprint("session_failed_total ", stats.Failed)}}
	for _, name := range slices.Sorted(maps.Keys(stats.Drivers)) {
		x.addDriver(stats.Drivers[name], fmt.Sprintf("session_driver=%q", name))
	}
	m.mu.Lock()
	for _, labels := range slices.Sorted(maps.Keys(m.events)) {
		x.add(metric{"session_events_total", "counter", "what happened to sessions"}, "", labels, m.events[labels])
	}
	m.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	byName := func(a, b metric) int { return strings.Compare(a.name, b.name) }
	for _, m := range slices.SortedFunc(maps.Keys(x), byName) {
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %[1]s %[3]s\n%[4]s\n", m.name, m.help, m.kind, strings.Join(x[m], "\n"))
	}
}

type metric struct{ name, kind, help string }

// An exposition is the lines of each metric, which a scrape gets.
type exposition map[metric][]string

// add adds a line. The suffix is that of a histogram's sample, else "".
func (x exposition) add(m metric, suffix, labels string, value any) {
	x[m] = append(x[m], fmt.Sprintf("%s%s{%s} %v", m.name, suffix, labels, value))
}

var capital = regexp.MustCompile(`\B[A-Z]`)

// addDriver adds the numbers of a driver: whatever fields Stats has.
func (x exposition) addDriver(stats session.Stats, labels string) {
	v := reflect.ValueOf(stats)
	for i, field := range reflect.VisibleFields(v.Type()) {
		name := "session_" + strings.ToLower(capital.ReplaceAllString(field.Name, "_$0"))
		gauge := metric{name, "gauge", field.Tag.Get("help")}
		switch n := v.Field(i).Interface().(type) {
		case uint64:
			if field.Name != "Failed" { // that of all drivers together
				x.add(metric{name + "_total", "counter", gauge.help}, "", labels, n)
			}
		case int64:
			x.add(gauge, "", labels, n)
		case bool:
			x.add(gauge, "", labels, map[bool]int{true: 1}[n])
		}
	}
	x.addHistogram(labels+`,session_operation="load"`, stats.LoadTimes)
	x.addHistogram(labels+`,session_operation="save"`, stats.SaveTimes)
}

func (x exposition) addHistogram(labels string, h session.Histogram) {
	m := metric{"session_operation_duration_seconds", "histogram", "how long loads and saves took, endings included"}
	var sum uint64
	for i, n := range h.Counts {
		sum += n
		bound := "+Inf"
		if i < len(h.Bounds) {
			bound = fmt.Sprint(h.Bounds[i].Seconds())
		}
		x.add(m, "_bucket", fmt.Sprintf("%s,le=%q", labels, bound), sum)
	}
	if len(h.Counts) > 0 { // a driver without I/O is not timed
		x.add(m, "_sum", labels, h.Sum.Seconds())
		x.add(m, "_count", labels, sum)
	}
}
