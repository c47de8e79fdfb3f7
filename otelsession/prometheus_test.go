package otelsession_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/process"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
	"example.com/session/otelsession"
)

// A monitor is a Prometheus server with the alerts of docs/operations. It scrapes every second.
type monitor struct {
	t   *testing.T
	url string
}

var listens = regexp.MustCompile(`msg="Listening on" address=(127\.0\.0\.1:\d+)`)

// startPrometheus scrapes the targets, by their job, until the test ends.
func startPrometheus(t *testing.T, targets map[string]string) *monitor {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	require.NoError(t, err, "install prometheus: make deps")
	rules, err := filepath.Abs(filepath.Join(operations, "alerts.yml"))
	require.NoError(t, err)
	dir := t.TempDir()
	text := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs:\n", rules)
	for job, target := range targets {
		address, err := url.Parse(target)
		require.NoError(t, err)
		text += fmt.Sprintf("  - {job_name: %q, static_configs: [{targets: [%q]}]}\n", job, address.Host)
	}
	config := filepath.Join(dir, "prometheus.yml")
	require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
	log := new(lines)
	cmd := exec.Command(path, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:0")
	cmd.Stderr = log
	server, err := process.Start(cmd)
	require.NoError(t, err)
	t.Cleanup(func() { server.Stop(syscall.SIGTERM, 10*time.Second) })
	require.Eventually(t, func() bool {
		select {
		case <-server.Done():
			return true
		default:
			return listens.MatchString(log.String())
		}
	}, 20*time.Second, 20*time.Millisecond, "%s", log)
	match := listens.FindStringSubmatch(log.String())
	require.NotNil(t, match, "%s", log)
	p := &monitor{t, "http://" + match[1]}
	require.Eventually(t, func() bool {
		response, err := http.Get(p.url + "/-/ready")
		if err == nil {
			response.Body.Close()
		}
		return err == nil && response.StatusCode == http.StatusOK
	}, 20*time.Second, 50*time.Millisecond, "%s", log)
	for job := range targets {
		p.await(fmt.Sprintf(`up{job=%q} == 1`, job))
	}
	return p
}

// query returns the label sets that an expression has a value for.
func (p *monitor) query(expr string) (found []map[string]string) {
	p.t.Helper()
	response, err := http.PostForm(p.url+"/api/v1/query", url.Values{"query": {expr}})
	require.NoError(p.t, err)
	defer response.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct{ Metric map[string]string }
		}
	}
	require.NoError(p.t, json.NewDecoder(response.Body).Decode(&answer))
	require.Equal(p.t, "success", answer.Status, "%s: %s", expr, answer.Error)
	for _, result := range answer.Data.Result {
		found = append(found, result.Metric)
	}
	return found
}

func (p *monitor) await(expr string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return len(p.query(expr)) > 0 }, 90*time.Second, 200*time.Millisecond, "%s", expr)
}

// alerts returns the alerts of a job that were in a state at any time.
func (p *monitor) alerts(job, state string) []string {
	p.t.Helper()
	names := []string{}
	for _, labels := range p.query(fmt.Sprintf(`max by (alertname) (max_over_time(ALERTS{job=%q,alertstate=%q}[10m]))`, job, state)) {
		names = append(names, labels["alertname"])
	}
	slices.Sort(names)
	return names
}

// runbook returns which alerts docs/operations.md tells to expect in an incident: those that fire, and
// those that are pending only.
func runbook(t *testing.T, incident string) (fire, pend []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(operations, "..", "operations.md"))
	require.NoError(t, err)
	name := regexp.MustCompile("`(Session[A-Za-z]+)`")
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || strings.TrimSpace(cells[1]) != incident {
			continue
		}
		fire, pend = []string{}, []string{}
		for _, match := range name.FindAllStringSubmatch(cells[2], -1) {
			fire = append(fire, match[1])
		}
		for _, match := range name.FindAllStringSubmatch(cells[3], -1) {
			pend = append(pend, match[1])
		}
		slices.Sort(fire)
		slices.Sort(pend)
		return fire, pend
	}
	require.Fail(t, "the runbook has no incident "+incident)
	return nil, nil
}

// dashboard returns what the dashboard asks Prometheus.
func dashboard(t *testing.T) (expressions []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(operations, "dashboard.json"))
	require.NoError(t, err)
	var board struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	require.NoError(t, json.Unmarshal(text, &board))
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			expressions = append(expressions, target.Expr)
		}
	}
	require.Greater(t, len(expressions), 10)
	return expressions
}

// A watched is a program with otelsession.
type watched struct {
	*kit.Browser
	metrics string
	log     *kit.LogBook
	events  *kit.EventBook
}

// watch starts a program.
func watch(t *testing.T, cfg session.Config) *watched {
	t.Helper()
	w := &watched{log: kit.CaptureLog(&cfg), events: kit.RecordEvents(&cfg)}
	telemetry := otelsession.New(nil)
	m, err := telemetry.NewManager(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	w.metrics = exporter(t, telemetry).URL
	w.Browser = kit.NewBrowser(t, kit.Routes{
		"/user": func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			user, _ := s.User()
			fmt.Fprint(w, user)
		},
		"/write":   func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Increment("n", 1) },
		"/sign-in": func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Login("ann") },
		"/plain":   func(http.ResponseWriter, *http.Request, *session.Session) {},
	}.Under(m))
	require.Equal(t, http.StatusOK, w.Get("/sign-in").StatusCode)
	return w
}

// traffic sends twenty requests that write and, if signIns is set, two sign-ins a second, until stop is called.
func (w *watched) traffic(signIns bool) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		stranger := w.Another()
		for i := 0; ; i++ {
			w.Get("/write")
			if signIns && i%10 == 0 {
				stranger.Get("/sign-in")
			}
			assert.Equal(w.T, http.StatusOK, w.Get("/plain").StatusCode, "a page without a session failed")
			select {
			case <-end:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	stop = sync.OnceFunc(func() { close(end); <-ended })
	w.T.Cleanup(stop)
	return stop
}

// over waits until the program says that its store is available again.
func (w *watched) over() {
	w.T.Helper()
	require.Eventually(w.T, func() bool { return strings.Contains(w.log.Text(), "session: the store is available again") },
		20*time.Second, 100*time.Millisecond, "%s", w.log.Text())
}

// forge sends forged cookies from eight clients.
func (w *watched) forge(name string, value func(i int) string) {
	var clients sync.WaitGroup
	for client := range 8 {
		clients.Go(func() {
			stranger := w.Another()
			stranger.Client.Jar = nil
			for i := client; i < forged; i += 8 {
				if p := stranger.Get("/user", "Cookie", name+"="+value(i)); p.StatusCode != http.StatusOK || p.Body != "" {
					assert.Fail(w.T, "a forged cookie is no session and no error", "%d %q", p.StatusCode, p.Body)
					return
				}
			}
		})
	}
	clients.Wait()
}

// Prometheus itself makes of each incident what the runbook says: those alerts, and no other one.
func TestPrometheusRaisesTheAlertsOfTheRunbook(t *testing.T) {
	down, set, shared := redistest.Start(t), redistest.StartSentinel(t), redistest.Shared(t)
	address := redistest.NewProxy(t, set.Master.Addr())
	on := func(host string, port int) session.Config {
		return session.Config{Default: "redis", Redis: session.RedisConfig{Host: host, Port: port}}
	}
	incidents := []struct {
		name    string
		cfg     session.Config
		outage  bool
		happens func(t *testing.T, p *monitor, w *watched)
	}{
		{name: "a store is down for a minute", cfg: on(down.Host(), down.Port()), outage: true,
			happens: func(t *testing.T, p *monitor, w *watched) {
				stop := w.traffic(true)
				down.Kill()
				p.await(`ALERTS{alertname="SessionStoreUnavailable",alertstate="firing"}`)
				down.Restart(t)
				w.over()
				stop()
			}},
		{name: "a failover takes a few seconds, and nobody signs in meanwhile", cfg: on(address.Host(), address.Port()), outage: true,
			happens: func(t *testing.T, p *monitor, w *watched) {
				stop := w.traffic(false)
				set.Master.Kill()
				set.AwaitPromotion(t)
				time.Sleep(2 * time.Second) // until the address leads to the new master
				address.Lead(set.Replica.Addr())
				w.over()
				stop()
				assert.Equal(t, "ann", w.Get("/user").Body)
			}},
		{name: "10,000 forged cookies come to the driver `cookie`", cfg: session.Config{Secret: kit.Secret},
			happens: func(t *testing.T, _ *monitor, w *watched) {
				address, err := url.Parse(w.URL)
				require.NoError(t, err)
				var sealed []byte
				for _, c := range w.Client.Jar.Cookies(address) {
					if c.Name == "s_cookie" {
						sealed, err = base64.RawURLEncoding.DecodeString(c.Value)
					}
				}
				require.NoError(t, err)
				require.NotEmpty(t, sealed)
				w.forge("s_cookie", func(i int) string {
					changed := slices.Clone(sealed)
					changed[len(changed)-1-i%16] ^= byte(1 + i/16%255) // somewhere in the tag
					return base64.RawURLEncoding.EncodeToString(changed)
				})
				assert.Len(t, w.events.Of(session.EventTampered), forged)
				assert.Equal(t, "ann", w.Get("/user").Body)
			}},
		{name: "10,000 invented tokens come to another driver", cfg: on(shared.Host(), shared.Port()),
			happens: func(t *testing.T, _ *monitor, w *watched) {
				w.forge("s_redis", func(i int) string { return fmt.Sprintf("%056d", i*4) })
				assert.Len(t, w.events.Of(session.EventUnknown), forged)
				assert.Equal(t, "ann", w.Get("/user").Body)
			}},
	}
	programs, targets := make([]*watched, len(incidents)), map[string]string{}
	for i, incident := range incidents {
		programs[i] = watch(t, incident.cfg)
		targets[incident.name] = programs[i].metrics
	}
	prometheus := startPrometheus(t, targets)
	for _, incident := range incidents {
		prometheus.await(fmt.Sprintf(`count_over_time(session_loads_total{job=%q}[1m]) > 2`, incident.name))
	}
	require.Empty(t, prometheus.query("ALERTS"), "before anything happens")
	for _, expr := range dashboard(t) {
		expr = strings.NewReplacer("$job", incidents[0].name, "$__rate_interval", "1m").Replace(expr)
		if !strings.Contains(expr, `="revoked"`) { // there is none
			assert.NotEmpty(t, prometheus.query(expr), "%s", expr)
		}
	}

	for i, incident := range incidents {
		t.Run(incident.name, func(t *testing.T) {
			t.Parallel()
			w, p := programs[i], &monitor{t, prometheus.url}
			w.T = t
			fire, pend := runbook(t, incident.name)
			incident.happens(t, p, w)
			assert.EventuallyWithT(t, func(c *assert.CollectT) {
				assert.Equal(c, fire, p.alerts(incident.name, "firing"), "firing")
				pending := slices.DeleteFunc(p.alerts(incident.name, "pending"), func(name string) bool {
					return slices.Contains(fire, name) || name == "SessionStoreSlow" // where the machine is busy
				})
				assert.Equal(c, pend, pending, "pending")
			}, 15*time.Second, 500*time.Millisecond)
			p.await(fmt.Sprintf(`absent(ALERTS{job=%q,alertname="SessionStoreUnavailable"})`, incident.name))

			times := map[bool]int{true: 1}[incident.outage]
			assert.Equal(t, times, strings.Count(w.log.Text(), `msg="session: the store is unavailable"`), "%s", w.log.Text())
			assert.Len(t, w.events.Of(session.EventUnavailable), times)
			assert.Len(t, w.events.Of(session.EventAvailable), times)
			assert.Empty(t, w.events.Of(session.EventEnded), "an incident ends no session")
		})
	}
}
