package otelsession_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/internal/redistest"
)

// A drill scrapes the demo while something goes wrong, and asks the alerts what they make of it. The
// scrapes are real ones, made at once after each other; promtool takes them for one every 15 seconds.
type drill struct {
	*demoServer
	scrapes []map[string]string // values by sample
}

const scrapeInterval = 15 * time.Second

func (d *drill) scrape(times int) {
	d.t.Helper()
	for range times {
		sample := map[string]string{}
		for line := range strings.Lines(scrape(d.t, d.metrics)) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), "} "); ok && !strings.HasPrefix(line, "#") {
				sample[name+`,job="demo"}`] = value
			} else if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && !strings.HasPrefix(line, "#") {
				sample[name+`{job="demo"}`] = value
			}
		}
		d.scrapes = append(d.scrapes, sample)
	}
}

// firing asserts which alerts fire at the last scrape.
func (d *drill) firing(alerts ...string) {
	d.t.Helper()
	var series strings.Builder
	names := map[string]bool{}
	for _, sample := range d.scrapes {
		for name := range sample {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		var values []string
		for _, sample := range d.scrapes {
			value := sample[name]
			if value == "" {
				value = "_"
			}
			values = append(values, value)
		}
		fmt.Fprintf(&series, "      - {series: '%s', values: '%s'}\n", name, strings.Join(values, " "))
	}
	rules, err := filepath.Abs(filepath.Join(operations, "alerts.yml"))
	require.NoError(d.t, err)
	var expected strings.Builder
	for _, alert := range alerts {
		fmt.Fprintf(&expected, "          - {labels: '{alertname=\"%s\"}', value: 1}\n", alert)
	}
	if len(alerts) == 0 {
		expected.WriteString("          []\n")
	}
	at := time.Duration(len(d.scrapes)-1) * scrapeInterval
	text := fmt.Sprintf("rule_files: [%q]\nevaluation_interval: 15s\ntests:\n  - interval: 15s\n    input_series:\n%s"+
		"    promql_expr_test:\n      - expr: count by (alertname) (ALERTS{alertstate=\"firing\"}) >= bool 1\n"+
		"        eval_time: %s\n        exp_samples:\n%s", rules, series.String(), at, expected.String())
	file := filepath.Join(d.t.TempDir(), "drill.yml")
	require.NoError(d.t, os.WriteFile(file, []byte(text), 0o600))
	promtool(d.t, "test", "rules", file)
}

// The store is away: one line and one alert, pages that do not need a session go on, and one line at the end.
func TestDrillOutage(t *testing.T) {
	server := redistest.Start(t)
	d := &drill{demoServer: startDemo(t, "-config", configFor(t, server.Port()))}
	d.signIn("ann")
	d.scrape(4)
	d.firing()
	server.Kill()
	for range 20 { // five minutes
		for range 5 {
			assert.Equal(t, http.StatusServiceUnavailable, d.visit("/session"))
		}
		d.scrape(1)
	}
	d.firing("SessionRequestsFail", "SessionStoreUnavailable")
	assert.Equal(t, 1, d.log.count("ERROR session: the store is unavailable"), "%s", d.log)
	assert.Equal(t, 1, d.log.count("event=unavailable"))
	assert.Equal(t, http.StatusOK, d.visit("/static/style.css"))

	server.Restart(t)
	d.visit("/session")
	d.awaitStore(t)
	d.scrape(24)
	d.firing()
}

// awaitStore visits until the demo says that its store is available again.
func (d *drill) awaitStore(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool { d.visit("/session"); return d.log.count("session: the store is available again") == 1 },
		20*time.Second, 100*time.Millisecond, "%s", d.log)
}

// startReplica starts a drill whose redis has become a replica, until promote is called.
func startReplica(t *testing.T) (d *drill, promote func()) {
	t.Helper()
	server, other := redistest.Start(t), redistest.Start(t)
	d = &drill{demoServer: startDemo(t, "-config", configFor(t, server.Port()))}
	d.signIn("ann")
	d.scrape(4)
	c := server.Conn(t)
	_, err := c.Do("REPLICAOF", other.Host(), other.Port())
	require.NoError(t, err)
	return d, func() {
		_, err := c.Do("REPLICAOF", "NO", "ONE")
		require.NoError(t, err)
	}
}

// In a failover the address leads to a replica for a while.
func TestDrillFailover(t *testing.T) {
	d, promote := startReplica(t)
	for range 4 { // a minute
		assert.Equal(t, http.StatusServiceUnavailable, d.visit("/session"), "a replica opens nothing")
		d.scrape(1)
	}
	d.firing("SessionStoreUnavailable")
	assert.Equal(t, 1, d.log.count("ERROR session: the store is unavailable"), "%s", d.log)
	assert.Contains(t, d.log.String(), "READONLY")
	promote()
	d.awaitStore(t)
	d.scrape(24)
	d.firing()
}

// Nobody is called at night for a failover that was over before anybody could have done anything.
func TestDrillShortFailover(t *testing.T) {
	d, promote := startReplica(t)
	for range 100 {
		require.Equal(t, http.StatusServiceUnavailable, d.visit("/session"))
	}
	d.scrape(1)
	promote()
	d.awaitStore(t)
	for range 20 { // five minutes
		d.scrape(1)
		d.firing()
	}
}

const forged = 10_000

// attack sends forged cookies from eight clients.
func (d *drill) attack(name string, cookie func(i int) string) {
	d.t.Helper()
	var clients sync.WaitGroup
	for client := range 8 {
		clients.Go(func() {
			for i := client; i < forged; i += 8 {
				r, err := http.NewRequest(http.MethodGet, d.url+"/flash/poll", nil)
				if !assert.NoError(d.t, err) {
					return
				}
				r.AddCookie(&http.Cookie{Name: name, Value: cookie(i)})
				response, err := (&http.Client{Transport: d.client.Transport}).Do(r)
				if !assert.NoError(d.t, err) {
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if !assert.Equal(d.t, http.StatusOK, response.StatusCode, "a forged cookie is no session and no error") {
					return
				}
			}
		})
	}
	clients.Wait()
}

func TestDrillForgedSealedCookies(t *testing.T) {
	d := &drill{demoServer: startDemo(t, "-driver", "cookie")}
	d.signIn("ann")
	d.scrape(4)
	value, err := base64.RawURLEncoding.DecodeString(d.cookie("s_cookie"))
	require.NoError(t, err)
	d.attack("s_cookie", func(i int) string {
		changed := slices.Clone(value)
		changed[len(changed)-1-i%16] ^= byte(1 + i/16%255) // somewhere in the tag
		return base64.RawURLEncoding.EncodeToString(changed)
	})
	d.scrape(1)
	assert.Contains(t, scrape(t, d.metrics), fmt.Sprintf("session_tampered_total{session_driver=\"cookie\"} %d\n", forged))
	d.firing("SessionCookiesForged")
	lines := d.log.count("session: a sealed cookie failed authentication")
	assert.True(t, lines == 1 || lines == 2, "at most one line a minute:\n%s", d.log)
	assert.Zero(t, d.log.count("event=ended"))
	d.scrape(24)
	d.firing()
	assert.Equal(t, http.StatusOK, d.visit("/session"), "ann is still signed in")
}

func TestDrillInventedTokens(t *testing.T) {
	d := &drill{demoServer: startDemo(t)}
	d.signIn("ann")
	d.scrape(4)
	d.attack("s_memory", func(i int) string { return fmt.Sprintf("%056d", i*4) })
	d.scrape(1)
	assert.Contains(t, scrape(t, d.metrics), "session_unknown_total{session_driver=\"memory\"} 10000\n")
	assert.Contains(t, scrape(t, d.metrics), "session_sessions{session_driver=\"memory\"} 1\n", "nothing is stored for them")
	d.firing("SessionTokensGuessed")
	assert.Zero(t, d.log.count("event=ended"))
	d.scrape(24)
	d.firing()
}
