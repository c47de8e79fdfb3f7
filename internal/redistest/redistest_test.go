package redistest_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/internal/redistest"
)

// role tells a test binary that was started by a test of this file what to do; see child.
const role = "REDISTEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "leak":
		go leak()
		os.Exit(redistest.Run(passing{}, 20*time.Millisecond))
	case "slow":
		go time.Sleep(time.Millisecond) // of another package: no concern of ours
		go func() { time.Sleep(50 * time.Millisecond) }()
		os.Exit(redistest.Run(passing{}, 5*time.Second))
	case "hold":
		s, err := redistest.Launch()
		if err != nil {
			panic(err)
		}
		fmt.Println(s.Addr())
		select {}
	}
	os.Exit(redistest.Main(m))
}

type passing struct{}

func (passing) Run() int { return 0 }

func leak() { select {} }

// child is the command that runs this test binary in a role.
func child(t *testing.T, name string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), role+"="+name)
	return cmd
}

func TestStartGivesEachTestAServerOfItsOwn(t *testing.T) {
	t.Parallel()
	var addrs [2]string
	t.Run("both up", func(t *testing.T) {
		one, two := redistest.Start(t), redistest.Start(t)
		assert.NotEqual(t, one.Addr(), two.Addr())
		assert.NotEqual(t, one.PID(), two.PID())
		for i, s := range []*redistest.Server{one, two} {
			addrs[i] = s.Addr()
			assert.Equal(t, addrs[i], net.JoinHostPort(s.Host(), strconv.Itoa(s.Port())))
			c, err := redis.Dial("tcp", s.Addr())
			require.NoError(t, err)
			defer c.Close()
			_, err = c.Do("SET", "number", i)
			require.NoError(t, err)
		}
		for i, s := range []*redistest.Server{one, two} {
			number, err := redis.Int(s.Conn(t).Do("GET", "number"))
			require.NoError(t, err)
			assert.Equal(t, i, number)
		}
	})
	assertDown(t, addrs[0])
	assertDown(t, addrs[1])
}

func assertDown(t *testing.T, addr string) {
	t.Helper()
	assert.Eventually(t, func() bool {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err != nil
	}, 5*time.Second, 5*time.Millisecond, "something still listens at %s", addr)
}

func TestAnotherServersPortIsNotMistakenForOurs(t *testing.T) {
	t.Parallel()
	other := redistest.Start(t)
	asked := 0
	s, err := redistest.LaunchOn(func() int {
		asked++
		return other.Port() + (asked-1)/3
	})
	require.NoError(t, err)
	defer s.Remove()
	assert.Greater(t, asked, 3)
	assert.NotEqual(t, other.Port(), s.Port())
	id, err := redis.String(s.Conn(t).Do("INFO", "server"))
	require.NoError(t, err)
	assert.Contains(t, id, fmt.Sprintf("process_id:%d\r", s.PID()))
}

func TestStartTellsWhatRedisRefused(t *testing.T) {
	t.Parallel()
	text := fatal(t, func(tb testing.TB) { redistest.Start(tb, "--no-such-option", "1") })
	assert.Contains(t, text, "no-such-option")
}

// fatal runs do with a test that cannot fail for real, and returns what it failed with.
func fatal(t *testing.T, do func(tb testing.TB)) string {
	t.Helper()
	f := &failing{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(f)
	}()
	<-done
	require.NotEmpty(t, f.text, "it did not fail the test")
	return f.text
}

type failing struct {
	testing.TB
	text string
}

func (f *failing) Fatal(args ...any) {
	f.text = fmt.Sprint(args...)
	runtime.Goexit()
}

func (f *failing) Fatalf(format string, args ...any) { f.Fatal(fmt.Sprintf(format, args...)) }

func TestWithoutRedisTheTestFailsAndSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	text := fatal(t, func(tb testing.TB) { redistest.Start(tb) })
	assert.Contains(t, text, "apt-get install redis-server")
	assert.NotContains(t, text, "\n")
}

func TestPasswordIsDemandedAndKnownToConn(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--requirepass", "open sesame")
	assert.Equal(t, "open sesame", s.Password())

	c, err := redis.Dial("tcp", s.Addr())
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Do("PING")
	assert.ErrorContains(t, err, "NOAUTH")

	_, err = s.Conn(t).Do("PING")
	assert.NoError(t, err)
}

func TestTLSServesOnTheServersPort(t *testing.T) {
	t.Parallel()
	cert := redistest.NewCertificate(t, "127.0.0.1")
	s := redistest.Start(t, cert.Args()...)
	c, err := redis.Dial("tcp", s.Addr(), redis.DialUseTLS(true),
		redis.DialTLSConfig(&tls.Config{RootCAs: cert.Roots, MinVersion: tls.VersionTLS12}))
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Do("PING")
	assert.NoError(t, err)
	assert.Empty(t, s.Keys(t))
}

func TestAConfigurationFileMakesASentinel(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t)
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor main %s %d 1\n", master.Host(), master.Port())
	require.NoError(t, os.WriteFile(conf, []byte(text), 0o600))

	s := redistest.Start(t, conf, "--sentinel")
	c, err := redis.Dial("tcp", s.Addr())
	require.NoError(t, err)
	defer c.Close()
	addr, err := redis.Strings(c.Do("SENTINEL", "get-master-addr-by-name", "main"))
	require.NoError(t, err)
	assert.Equal(t, []string{master.Host(), fmt.Sprint(master.Port())}, addr)
}

func TestStopAndKillEndTheProcessAndMayBeRepeated(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*redistest.Server){
		"stop": (*redistest.Server).Stop,
		"kill": (*redistest.Server).Kill,
	} {
		for _, paused := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/paused=%t", name, paused), func(t *testing.T) {
				t.Parallel()
				s := redistest.Start(t)
				require.NotZero(t, s.PID())
				if paused {
					s.Pause(t)
				}
				begin := time.Now()
				end(s)
				end(s)
				assert.Less(t, time.Since(begin), 4*time.Second)
				assert.Zero(t, s.PID())
				assertDown(t, s.Addr())
			})
		}
	}
}

func TestRestartKeepsThePortAndForgetsTheData(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]func(*redistest.Server){
		"up":      func(*redistest.Server) {},
		"stopped": (*redistest.Server).Stop,
		"killed":  (*redistest.Server).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			client, err := redis.Dial("tcp", s.Addr())
			require.NoError(t, err)
			defer client.Close()
			_, err = client.Do("SET", "a", "1")
			require.NoError(t, err)
			addr, pid := s.Addr(), s.PID()

			down(s)
			s.Restart(t)
			assert.Equal(t, addr, s.Addr())
			assert.NotEqual(t, pid, s.PID())
			assert.Empty(t, s.Keys(t))
			_, err = client.Do("PING")
			assert.Error(t, err, "a connection lived through the restart")
		})
	}
}

func TestRestartKeepsWhatTheArgsMakeItStore(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	_, err := s.Conn(t).Do("SET", "a", "1")
	require.NoError(t, err)
	s.Kill()
	s.Restart(t)
	assert.Equal(t, []string{"a"}, s.Keys(t))
}

func TestRestartWaitsForAPortThatAnotherHolds(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	s.Stop()
	l, err := net.Listen("tcp", s.Addr())
	require.NoError(t, err)
	time.AfterFunc(300*time.Millisecond, func() { l.Close() })
	s.Restart(t)
	assert.NotZero(t, s.PID())
}

func TestPausedServerAnswersOnceItIsResumed(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	s.Pause(t)
	c, err := redis.Dial("tcp", s.Addr(), redis.DialReadTimeout(200*time.Millisecond))
	require.NoError(t, err, "the kernel takes connections")
	defer c.Close()
	_, err = c.Do("PING")
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	assert.True(t, timeout.Timeout())

	s.Resume(t)
	_, err = s.Conn(t).Do("PING")
	assert.NoError(t, err)
}

func TestPausingAServerThatIsDownFailsTheTest(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	s.Stop()
	assert.Contains(t, fatal(t, s.Pause), "is down")
	assert.Contains(t, fatal(t, s.Resume), "is down")
}

func TestKeysAndTTLsCoverAllDatabases(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := s.Conn(t)
	for _, command := range [][]any{
		{"SELECT", 0}, {"SET", "forever", 1}, {"SET", "both", 1, "PX", 60_000},
		{"SELECT", 7}, {"SET", "hour", 1, "PX", 3_600_000}, {"SET", "both", 1, "PX", 3_600_000},
	} {
		_, err := c.Do(command[0].(string), command[1:]...)
		require.NoError(t, err)
	}
	assert.Equal(t, []string{"both", "forever", "hour"}, s.Keys(t))

	ttls := s.TTLs(t)
	assert.Len(t, ttls, 3)
	assert.Negative(t, ttls["forever"])
	assert.InDelta(t, time.Hour, ttls["hour"], float64(10*time.Second))
	assert.InDelta(t, time.Minute, ttls["both"], float64(10*time.Second))
}

func TestKeysFindsMoreThanOnePageOfThem(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	_, err := s.Conn(t).Do("EVAL", "for i = 1, 5000 do redis.call('SET', 'k' .. i, i) end", 0)
	require.NoError(t, err)
	assert.Len(t, s.Keys(t), 5000)
	assert.Len(t, s.TTLs(t), 5000)
}

func TestCommandsDuringCountsTheCallersOnly(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--requirepass", "secret")
	c := s.Conn(t)
	_, err := c.Do("SET", "before", 1)
	require.NoError(t, err)

	assert.Empty(t, s.CommandsDuring(t, func() {}))
	got := s.CommandsDuring(t, func() {
		_, err := c.Do("EVAL", "redis.call('HSET', 'h', 'f', 1) return redis.call('HGETALL', 'h')", 0)
		require.NoError(t, err)
		for range 3 {
			_, err = c.Do("GET", "before")
			require.NoError(t, err)
		}
	})
	assert.Equal(t, map[string]int{"eval": 1, "hset": 1, "hgetall": 1, "get": 3}, got)
	assert.Equal(t, 3, s.Commands(t)["get"])
}

func TestRoundTripsCountsPipelinesOnce(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c, err := redis.Dial("tcp", s.Addr())
	require.NoError(t, err)
	defer c.Close()
	assert.Zero(t, s.RoundTrips(t, func() {}))
	assert.Equal(t, 3, s.RoundTrips(t, func() {
		for range 2 {
			_, err := c.Do("GET", "a")
			require.NoError(t, err)
		}
		require.NoError(t, c.Send("GET", "a"))
		require.NoError(t, c.Send("GET", "b"))
		_, err := c.Do("") // sends what is waiting and reads the replies
		require.NoError(t, err)
	}))
}

func TestSharedIsOneServerForAllTests(t *testing.T) {
	t.Parallel()
	pids := make([]int, 4)
	t.Run("group", func(t *testing.T) {
		for i := range pids {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				s := redistest.Shared(t)
				pids[i] = s.PID()
				key := t.Name()
				_, err := s.Conn(t).Do("SET", key, i, "EX", 60)
				require.NoError(t, err)
				assert.Contains(t, s.Keys(t), key)
			})
		}
	})
	for _, pid := range pids {
		assert.Equal(t, redistest.Shared(t).PID(), pid)
	}
}

func TestLeakedGoroutineFailsTheBinary(t *testing.T) {
	t.Parallel()
	out, err := child(t, "leak").CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 1, exit.ExitCode())
	assert.Contains(t, string(out), "redistest_test.leak()", "the stack is not printed")
}

func TestGoroutineThatEndsWithinTheLimitIsNoLeak(t *testing.T) {
	t.Parallel()
	out, err := child(t, "slow").CombinedOutput()
	assert.NoError(t, err, "%s", out)
}

func TestIsOursKnowsTheModulesFunctions(t *testing.T) {
	t.Parallel()
	assert.True(t, strings.HasPrefix(redistest.ModulePath(), "example.com/session"))
	for _, test := range []struct {
		name, stack string
		want        bool
	}{
		{name: "root", stack: "goroutine 7 [select]:\ngithub.com/a/b.(*T).sweep(0x1)\n\t/a/b.go:1", want: true},
		{name: "generic", stack: "goroutine 7 [select]:\ngithub.com/a/b.Get[...](0x1)", want: true},
		{name: "test", stack: "goroutine 7 [select]:\ngithub.com/a/b_test.TestX.func1()", want: true},
		{name: "nested", stack: "goroutine 7 [select]:\ngithub.com/a/b/e2e.open()", want: true},
		{name: "creator", stack: "goroutine 7 [IO wait]:\nnet.Read()\ncreated by github.com/a/b.New in goroutine 1", want: true},
		{name: "longer name", stack: "goroutine 7 [select]:\ngithub.com/a/bc.New()", want: false},
		{name: "file only", stack: "goroutine 7 [select]:\nnet.Read()\n\tgithub.com/a/b/x.go:1", want: false},
		{name: "bare", stack: "github.com/a/b", want: false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, test.want, redistest.IsOurs(test.stack, "github.com/a/b"))
		})
	}
	assert.True(t, redistest.IsOurs("gopkg.in/b%2ev3.New()", "gopkg.in/b.v3"))
}
