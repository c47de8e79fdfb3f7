package goredis_test

import (
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/goredis"
	"example.com/session/goredis/internal/load"
	"example.com/session/internal/redistest"
)

// keeping are the options of a server that loses nothing that it has acknowledged.
var keeping = []string{"--appendonly", "yes", "--appendfsync", "always"}

// A scene is a store, how the application reaches it, and what happens to it under load.
type scene struct {
	cfg    session.RedisConfig
	happen func()

	unnoticed bool          // no request may fail
	brief     bool          // perhaps none fails
	window    time.Duration // requests fail for at most so long
	long      bool          // longer than StoreTimeout, or nearly
	loses     bool          // redis itself may lose what it acknowledged just before
}

// A way is how an application reaches one server: by the driver's own client, or by go-redis.
type way struct {
	name string
	to   func(t *testing.T, s *redistest.Server) session.RedisConfig
}

var ways = []way{
	{name: "redigo", to: func(_ *testing.T, s *redistest.Server) session.RedisConfig {
		return session.RedisConfig{Host: s.Host(), Port: s.Port()}
	}},
	{name: "go-redis", to: func(t *testing.T, s *redistest.Server) session.RedisConfig {
		return through(t, redis.NewClient(&redis.Options{Addr: s.Addr()}))
	}},
}

// through is the configuration of sessions that a go-redis client keeps.
func through(t *testing.T, client redis.UniversalClient) session.RedisConfig {
	return session.RedisConfig{Options: session.RedisOptions{Client: goredis.New(closing(t, client))}}
}

// What happens to one server, whichever client leads to it.
var happenings = []struct {
	name  string
	args  []string
	scene func(t *testing.T, s *redistest.Server) scene
}{
	{name: "restarted", args: keeping, scene: func(t *testing.T, s *redistest.Server) scene {
		return scene{happen: func() { s.Restart(t) }, window: 4 * time.Second, brief: true}
	}},
	{name: "killed, back after 2 s", args: keeping, scene: func(t *testing.T, s *redistest.Server) scene {
		return scene{window: 6 * time.Second, long: true, happen: func() {
			s.Kill()
			time.Sleep(2 * time.Second)
			s.Restart(t)
		}}
	}},
	{name: "stopped by SIGSTOP for 10 s", scene: func(t *testing.T, s *redistest.Server) scene {
		return scene{window: 12 * time.Second, long: true, happen: func() {
			s.Pause(t)
			time.Sleep(10 * time.Second)
			s.Resume(t)
		}}
	}},
	{name: "CLIENT PAUSE for 4 s", scene: func(t *testing.T, s *redistest.Server) scene {
		return scene{window: 6 * time.Second, long: true, happen: func() {
			do(t, s, "CLIENT", "PAUSE", 4000)
			time.Sleep(4 * time.Second)
		}}
	}},
	{name: "maxmemory reached for 2 s", scene: func(t *testing.T, s *redistest.Server) scene {
		return scene{window: 4 * time.Second, happen: func() {
			do(t, s, "CONFIG", "SET", "maxmemory", 1)
			time.Sleep(2 * time.Second)
			do(t, s, "CONFIG", "SET", "maxmemory", 0)
		}}
	}},
	{name: "a replica for 2 s", scene: func(t *testing.T, s *redistest.Server) scene {
		return scene{window: 4 * time.Second, happen: func() {
			do(t, s, "REPLICAOF", "127.0.0.1", 1)
			time.Sleep(2 * time.Second)
			do(t, s, "REPLICAOF", "NO", "ONE")
		}}
	}},
	{name: "scripts flushed", scene: func(t *testing.T, s *redistest.Server) scene {
		return scene{unnoticed: true, happen: func() {
			for range 20 {
				do(t, s, "SCRIPT", "FLUSH")
				time.Sleep(20 * time.Millisecond)
			}
		}}
	}},
}

func TestNothingIsLostWhateverHappensToOneServer(t *testing.T) {
	for _, way := range ways {
		for _, happening := range happenings {
			t.Run(happening.name+"/"+way.name, func(t *testing.T) {
				soak(t, happening.name+", "+way.name, func(t *testing.T) scene {
					server := redistest.Start(t, happening.args...)
					s := happening.scene(t, server)
					s.cfg = way.to(t, server)
					return s
				})
			})
		}
	}
}

// soakTime is how long the long form takes, about, all scenes together; zero for the short form.
var soakTime, _ = time.ParseDuration(os.Getenv("SOAKTIME"))

// scenes is how many there are.
var scenes = len(ways)*len(happenings) + 3

// soak plays a scene under load and judges it. The long form does so one scene at a time, with more
// load, and again until the scene's share of the time is over.
func soak(t *testing.T, title string, begin func(t *testing.T) scene) {
	t.Helper()
	if soakTime == 0 {
		t.Parallel()
		play(t, title, begin(t), 500*time.Millisecond, load.Options{Pause: 20 * time.Millisecond})
		return
	}
	for end := time.Now().Add(soakTime / time.Duration(scenes)); ; {
		t.Run("long", func(t *testing.T) { play(t, title, begin(t), 3*time.Second, load.Options{Visitors: 500, Workers: 16}) })
		if t.Failed() || time.Now().After(end) {
			return
		}
	}
}

// play lets a scene happen under load, with so much time before and after it.
func play(t *testing.T, title string, s scene, around time.Duration, opts load.Options) {
	t.Helper()
	l := load.Start(t, session.Config{Default: "redis", Logger: quiet, Redis: s.cfg}, opts)
	time.Sleep(around)
	began := time.Now()
	s.happen()
	time.Sleep(around)
	r := l.Stop(t)
	t.Logf("%s\n%s", r, r.Row(title, began))
	judge(t, s, began, r)
}

// judge asserts what holds whatever happened.
func judge(t *testing.T, s scene, began time.Time, r load.Report) {
	t.Helper()
	if s.loses {
		r.Lost, r.SignedOut = before(r.Lost, began), before(r.SignedOut, began)
	}
	assert.Empty(t, r.Lost, "acknowledged writes are lost")
	assert.Empty(t, r.SignedOut, "visitors are signed out")
	unanswered := 0
	if s.long {
		unanswered = 1 // docs/redis.md says which step of a sign-in that is
	}
	assert.LessOrEqual(t, r.Unanswered, unanswered, "visitors are signed out by a sign-in without an answer")
	assert.Zero(t, r.Twice, "increments counted twice")
	assert.Zero(t, r.Mixed, "visitors got another one's session")
	assert.Zero(t, r.Revived, "sessions that had ended are back")
	assert.Zero(t, r.PlainFailed, "requests that use no session failed")
	assert.Empty(t, r.Strange, "requests failed by another status than 503")
	assert.Less(t, r.SlowestFree, 2*time.Second, "a request that uses no session waited for the store")
	require.Greater(t, r.Read, 100, "hardly anybody was asked what is stored")
	if s.unnoticed {
		assert.Zero(t, r.Failed, "requests failed")
		return
	}
	if !s.brief {
		assert.Positive(t, r.Failed, "nobody noticed anything, so nothing was tested")
	}
	assert.Less(t, r.Window(began), s.window, "requests went on failing")
}

// replicates is how much later than it answers redis has sent a write to its replicas, at most.
const replicates = 100 * time.Millisecond

// before are the losses of what was acknowledged so long before something happened that redis had
// replicated it.
func before(losses []load.Loss, began time.Time) (early []load.Loss) {
	for _, loss := range losses {
		if loss.Acknowledged.Before(began.Add(-replicates)) {
			early = append(early, loss)
		}
	}
	return early
}
