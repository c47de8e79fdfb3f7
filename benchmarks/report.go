package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"
)

// A report is everything that one run has measured.
type report struct {
	when       time.Time
	took       time.Duration
	plan       plan
	rows       []*row
	traffic    []traffic
	footprints []footprint
	stalls     []stall
	sockets    []socketRow
	templates  map[string][]float64
}

// write prints the whole report.
func (rep *report) write(w io.Writer) {
	fmt.Fprintf(w, "%s, %s, %s/%s, %d processors: %s\n", rep.when.Format(time.DateOnly), runtime.Version(),
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), processor())
	fmt.Fprintln(w, versions())
	fmt.Fprintf(w, `
All contenders of a line are measured in one process, in turns, each round beginning with another one: %d rounds of
%v, with redis %d of %v, %d times as many where a promise rests on the line. A time is the median of
the rounds, a ratio the median of the rounds' ratios. What waits for nothing is measured in processor time, the
collector's included, so that other programs on the machine do not count; redis, 64 clients at once and sockets by the clock.
Handlers are called directly, with a browser's headers and a bare ResponseWriter, by one client, or by 64 with a session each;
every page is asked first whether it does what it should. The program keeps 64 MB, so that the collector runs as in a service.

scs has the idle timeout of an hour that this library has by default, which makes it store a session again each time
it is read; "no idle" is its own default, without. All redis clients but redistore have time-outs.

Not alike: scs stores tokens and values as they are, and sets its cookie on each save; it writes to redis by one SET
here, its own store by four commands. gorilla is its CookieStore with
hash and block key, and redistore on redis, whose pool sends a PING before each use; it has no middleware, so a
request that does not open its session costs nothing. A 3 KB session makes a cookie of 6 KB there, which browsers refuse;
gin's limit cannot be raised. gin includes its router. The floor: for memory and for what is not opened,
cookie parse, context and request copy; for cookie, XAES-256-GCM and base64 of as many bytes; for redis, GET
and SET of as many bytes by bare redigo.

`, rep.plan.local.rounds, rep.plan.local.slice, rep.plan.remote.rounds, rep.plan.remote.slice, rep.plan.longer)
	rep.writeRows(w)
	rep.writeTraffic(w)
	rep.writeStored(w)
	rep.writeServed(w)
	fmt.Fprintf(w, "\nIt took %v.\n", rep.took.Round(time.Second))
}

var columns = []string{ours, nameSCS, namePlainSCS, nameGorilla, nameGin, floor}

func (rep *report) writeRows(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "driver\twork\tsize\tclients\t")
	for _, name := range columns {
		fmt.Fprintf(t, "%s\t", name)
	}
	fmt.Fprint(t, "allocs\tscs/session\tno idle/session\tgorilla/session\tgin/session\tsession/floor\t\n")
	for _, r := range rep.rows {
		size := "small"
		if r.setup.large {
			size = "3 KB"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t", r.setup.driver, r.work.name, size, r.clients)
		for _, name := range columns {
			fmt.Fprintf(t, "%s\t", duration(median(r.times[name])))
		}
		fmt.Fprintf(t, "%s\t", r.allocations())
		for _, name := range columns[1:5] {
			fmt.Fprintf(t, "%s\t", times(r.slower(name).mid))
		}
		fmt.Fprintf(t, "%s\t\n", times(r.overFloor().mid))
	}
	t.Flush()
}

// allocations lists those of each column, in the same order.
func (r *row) allocations() string {
	if len(r.allocs) == 0 {
		return "-"
	}
	var parts []string
	for _, name := range columns {
		if n, found := r.allocs[name]; found {
			parts = append(parts, fmt.Sprintf("%.0f", n))
		} else {
			parts = append(parts, "-")
		}
	}
	return strings.Join(parts, "/")
}

func (rep *report) writeTraffic(w io.Writer) {
	if len(rep.traffic) == 0 {
		return
	}
	fmt.Fprintln(w, "\nCounted by the redis server, for each request (a flash round is two); those that a script runs are among the commands:")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range rep.traffic {
		fmt.Fprintf(t, "%s\t%s\t%.3g round trips\t%s\n", c.name, c.work.name, c.roundTrips, c.list())
	}
	t.Flush()
}

func (rep *report) writeStored(w io.Writer) {
	if len(rep.footprints) > 0 {
		fmt.Fprintln(w, "\nHeap of a stored session of five small values, all included:")
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range rep.footprints {
		fmt.Fprintf(t, "%s\t%d sessions\t%d saves after the first\t%.0f B\n", f.name, f.sessions, f.saves, f.bytes)
	}
	t.Flush()
	if len(rep.stalls) > 0 {
		fmt.Fprintln(w, "\nLongest operation while all sessions of a memory store expire, the least of five tries: what the\nmachine does meanwhile only adds to it:")
	}
	for _, s := range rep.stalls {
		fmt.Fprintf(t, "%s\t%d sessions\t%d operations\t%v of the processor\t%v by the clock\n",
			s.name, s.sessions, s.operations, s.processor.Round(time.Microsecond), s.clock.Round(time.Microsecond))
	}
	t.Flush()
}

func (rep *report) writeServed(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(rep.sockets) > 0 {
		fmt.Fprintf(w, "\nReal sockets, %d connections kept alive, client and server in one process, five small values in memory:\n", sockets)
	}
	for _, s := range rep.sockets {
		share := ratioOf(rep.sockets[0].times, s.times).mid * 100
		fmt.Fprintf(t, "%s\t%.0f requests a second\t%.0f %% of bare\n", s.name, 1e9/median(s.times), share)
	}
	t.Flush()
	if len(rep.templates) > 0 {
		fmt.Fprintln(w, "\nA page that asks its session four times, rendered within a request:")
	}
	for _, name := range []string{unboundTemplate, boundTemplate, clonedTemplate} {
		if times := rep.templates[name]; times != nil {
			fmt.Fprintf(t, "%s\t%s\t%.3gx\n", name, duration(median(times)), ratioOf(times, rep.templates[unboundTemplate]).mid)
		}
	}
	t.Flush()
}

// writeVerdicts prints what is promised and what was measured, and reports whether all is kept.
func writeVerdicts(w io.Writer, verdicts []verdict) bool {
	all := len(verdicts) > 0
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := range verdicts {
		v := &verdicts[i]
		word := "kept"
		switch {
		case !v.kept:
			word, all = "MISSED", false
		case v.share() > 0.9:
			word = "kept, near the limit"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", v.what, v.want, v.got, word)
	}
	t.Flush()
	return all
}

func duration(ns float64) string {
	switch {
	case ns == 0:
		return "-"
	case ns < 1000:
		return fmt.Sprintf("%.0f ns", ns)
	case ns < 10_000:
		return fmt.Sprintf("%.2f µs", ns/1000)
	}
	return fmt.Sprintf("%.1f µs", ns/1000)
}

func times(x float64) string {
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3g", x)
}

// processor is the model's name, where Linux tells it.
func processor() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(data)) {
		if name, found := strings.CutPrefix(line, "model name"); found {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return runtime.GOARCH
}

// versions lists the libraries that are compared.
func versions() string {
	info, found := debug.ReadBuildInfo()
	if !found {
		return "versions unknown"
	}
	var list []string
	for _, path := range []string{"github.com/alexedwards/scs/v2", "github.com/gorilla/sessions", "github.com/boj/redistore",
		"github.com/gin-contrib/sessions", "github.com/gin-gonic/gin", "github.com/gomodule/redigo"} {
		for _, m := range info.Deps {
			if m.Path == path {
				list = append(list, strings.TrimPrefix(path, "github.com/")+" "+m.Version)
			}
		}
	}
	return strings.Join(list, ", ")
}
