package e2e_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/process"
	"example.com/session/internal/redistest"
	"github.com/stretchr/testify/require"
)

// buildFlags are the flags that the demo is built with. With -race, race_test.go adds -race.
var buildFlags = []string{"build", "-ldflags=-w"}

const startLimit = 20 * time.Second

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "session-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	demo.path = filepath.Join(dir, "demo")
	// Many tests wait most of the time, for a page that is slow on purpose. So more of them run in
	// parallel than there are processors, unless -parallel says how many.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	return redistest.Main(tests{m})
}

// tests stop what they have started before redistest.Main looks for leaks and stops redis.
type tests struct{ *testing.M }

func (ts tests) Run() int {
	code := ts.M.Run()
	closeBrowsers()
	for _, fault := range stopSites() {
		fmt.Fprintln(os.Stderr, fault)
		code = 1
	}
	return code
}

// demo is the program under test. It is built when it is first needed.
var demo struct {
	path string
	once sync.Once
	err  error
}

func build(t *testing.T) string {
	t.Helper()
	demo.once.Do(func() {
		args := append(buildFlags, "-o", demo.path, "example.com/session/examples/demo")
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			demo.err = fmt.Errorf("e2e: build the demo: %w\n%s", err, out)
		}
	})
	require.NoError(t, demo.err)
	return demo.path
}

// A site is a running demo.
type site struct {
	url    string // http://127.0.0.1:port
	driver string
	prefix string // of its cookies' names

	process *process.Process
	log     *watchedLog
}

// cookie is the name of the default driver's cookie.
func (s *site) cookie() string { return s.prefix + s.driver }

// localhost is the site's address by name.
func (s *site) localhost() string { return strings.Replace(s.url, "127.0.0.1", "localhost", 1) }

// secret is shared by the processes that read each other's cookies.
var secret = session.NewSecret()

var driverNames = []string{"memory", "cookie", "redis"}

// A setup says how the demo is started. The zero value is the demo without flags.
type setup struct {
	flashTTL int    // seconds, of each driver
	secure   string // the attribute Secure: auto, always or never
	tls      bool
	window   int               // seconds of RevocationWindow; if it is set, redis is the Revocation
	process  int               // distinguishes processes with the same setup
	redis    *redistest.Server // one that the test disturbs; nil means the shared one
}

// eachDriver runs a test against the demo on every driver. Tests share the servers. They do not
// share cookies, because each has its own browser context.
func eachDriver(t *testing.T, how setup, test func(t *testing.T, s *site)) {
	t.Helper()
	t.Parallel()
	for _, driver := range driverNames {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			test(t, start(t, driver, how))
		})
	}
}

// sites are the running servers. They are stopped after all tests.
var sites struct {
	mu      sync.Mutex
	running map[siteKey]*site
}

type siteKey struct {
	driver string
	setup  setup
}

// start returns the demo on a driver. The first call for a setup starts it on a free port.
func start(t *testing.T, driver string, how setup) *site {
	t.Helper()
	sites.mu.Lock()
	defer sites.mu.Unlock()
	key := siteKey{driver, how}
	if s := sites.running[key]; s != nil {
		return s
	}
	s, err := how.launch(t, driver)
	require.NoError(t, err)
	if sites.running == nil {
		sites.running = make(map[siteKey]*site)
	}
	sites.running[key] = s
	return s
}

// stopSites stops the servers, and returns what went wrong in them.
func stopSites() (faults []error) {
	for key, s := range sites.running {
		if err := s.stop(); err != nil {
			faults = append(faults, fmt.Errorf("e2e: the demo on %s (%+v): %w", key.driver, key.setup, err))
		}
	}
	return faults
}

// config writes a configuration file.
func (how setup) config(t *testing.T, driver string) (path string, err error) {
	t.Helper()
	own := map[string]any{}
	if how.flashTTL > 0 {
		own["flash_ttl"] = how.flashTTL
	}
	if driver == "redis" {
		own["port"] = cmp.Or(how.redis, redistest.Shared(t)).Port()
		own["namespace"] = fmt.Sprintf("e2e-%d-%s-%t", how.flashTTL, how.secure, how.tls)
	}
	config := map[string]any{"default": driver, driver: own}
	if how.window > 0 {
		own["revocation"], own["revocation_window"] = "redis", how.window
		config["secret"] = secret
		config["redis"] = map[string]any{"port": redistest.Shared(t).Port(), "namespace": "e2e-revocation"}
	}
	if how.secure != "" {
		config["cookie_attributes"] = map[string]any{"secure": how.secure}
	}
	data, err := json.Marshal(config)
	if err != nil {
		return "", err
	}
	path = filepath.Join(t.TempDir(), "session.json") // read once, at start
	return path, os.WriteFile(path, data, 0o600)
}

// launch runs the demo.
func (how setup) launch(t *testing.T, driver string) (*site, error) {
	t.Helper()
	config, err := how.config(t, driver)
	if err != nil {
		return nil, err
	}
	args := []string{"-address", "127.0.0.1:0", "-config", config}
	if how.tls {
		args = append(args, "-tls")
	}
	s := &site{driver: driver, prefix: "s_", log: &watchedLog{address: make(chan string, 1)}}
	if how.tls {
		s.prefix = "__Host-s_"
	}
	cmd := exec.Command(build(t), args...)
	cmd.Stderr = s.log
	if s.process, err = process.Start(cmd); err != nil {
		return nil, err
	}
	select {
	case s.url = <-s.log.address:
		return s, nil
	case <-s.process.Done():
		return nil, fmt.Errorf("e2e: the demo ended at once: %v\n%s", s.process.Wait(), s.log)
	case <-time.After(startLimit):
		s.process.Kill()
		return nil, fmt.Errorf("e2e: the demo does not serve:\n%s", s.log)
	}
}

// stop interrupts the demo, and returns an error if its log holds a complaint.
func (s *site) stop() error {
	if err := s.process.Stop(os.Interrupt, startLimit); err != nil {
		return fmt.Errorf("it ended with an error: %w\n%s", err, s.log)
	}
	for _, complaint := range []string{"DATA RACE", "panic", "superfluous", "template"} {
		if strings.Contains(s.log.String(), complaint) {
			return fmt.Errorf("it logged %q:\n%s", complaint, s.log)
		}
	}
	return nil
}

var serving = regexp.MustCompile(`serving (https?://\S+)`)

// A watchedLog keeps the log of the demo, and finds its address there.
type watchedLog struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	found   bool
	address chan string
}

func (l *watchedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(p)
	if match := serving.FindSubmatch(l.buf.Bytes()); match != nil && !l.found {
		l.found = true
		l.address <- string(match[1])
	}
	return len(p), nil
}

func (l *watchedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
