package redis_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	redigo "github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/internal/redis"
	"example.com/session/internal/redistest"
)

// Each of these is a server that cannot serve, and none is a visitor who is not signed in.
func TestServerThatCannotServeIsUnavailableAndNeverSignsOut(t *testing.T) {
	t.Parallel()
	commands := func(begin, end string) func(*testing.T, *redistest.Server) func() {
		return func(t *testing.T, s *redistest.Server) func() {
			do(t, s, begin)
			return func() { do(t, s, end) }
		}
	}
	for _, test := range []struct {
		name  string
		args  []string
		begin func(t *testing.T, s *redistest.Server) (end func())
		reads bool // it still reads
	}{
		{name: "stopped", args: keeping, begin: func(t *testing.T, s *redistest.Server) func() {
			s.Stop()
			return func() { s.Restart(t) }
		}},
		{name: "killed", args: keeping, begin: func(t *testing.T, s *redistest.Server) func() {
			s.Kill()
			return func() { s.Restart(t) }
		}},
		{name: "hanging", begin: func(t *testing.T, s *redistest.Server) func() {
			s.Pause(t)
			return func() { s.Resume(t) }
		}},
		{name: "paused for writes", begin: commands("CLIENT PAUSE 60000 WRITE", "CLIENT UNPAUSE")},
		{name: "READONLY", begin: commands("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE")},
		{name: "MASTERDOWN", args: []string{"--replica-serve-stale-data", "no"},
			begin: commands("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE")},
		{name: "NOREPLICAS", begin: commands("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"), reads: true},
		{name: "MISCONF", args: saving, begin: failSnapshot, reads: true},
		{name: "BUSY", args: []string{"--busy-reply-threshold", "1"}, begin: keepBusy},
		{name: "too many clients", begin: crowdOut},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server, _ := start(t, test.args...)
			c := config(server.Addr(), "")
			c.ReadTimeout = 250 * time.Millisecond
			d := newDriver(t, c)
			rec := begin(t, d, set("a", "1"))
			require.NoError(t, d.Ping(t.Context()))
			end := test.begin(t, server)

			_, err := d.Load(t.Context(), rec.ID(), now())
			_, missing := d.Load(t.Context(), driver.NewID(), now())
			if test.reads {
				assert.NoError(t, err)
				assert.ErrorIs(t, missing, driver.ErrNoSession)
				assert.NoError(t, d.Ping(t.Context()))
			} else {
				assert.ErrorIs(t, err, driver.ErrUnavailable)
				assert.ErrorIs(t, missing, driver.ErrUnavailable)
				assert.ErrorIs(t, d.Ping(t.Context()), driver.ErrUnavailable)
			}
			ch := changes(rec, add("n", 1))
			assert.ErrorIs(t, second(d.Save(t.Context(), rec, ch)), driver.ErrUnavailable)
			assert.ErrorIs(t, second(d.Save(t.Context(), nil, newSession())), driver.ErrUnavailable)

			end()
			again := *ch
			again.Retried, again.Since = true, rec.LastSave()
			rec, err = d.Save(t.Context(), rec, &again)
			require.NoError(t, err)
			assert.Equal(t, "1", value(rec, "n"))
			assert.Equal(t, "1", value(load(t, d, rec.ID()), "a"))
		})
	}
}

// saving are the options of a server that failSnapshot can be called on.
var saving = []string{"--save", "3600 1000", "--enable-protected-configs", "yes"}

// failSnapshot makes the server unable to save to disk.
func failSnapshot(t *testing.T, s *redistest.Server) func() {
	dir := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.Mkdir(dir, 0o700))
	do(t, s, "CONFIG SET dir "+dir)
	require.NoError(t, os.RemoveAll(dir))
	do(t, s, "BGSAVE")
	eventually(t, s, "INFO persistence", "rdb_last_bgsave_status:err")
	return func() { do(t, s, "CONFIG SET stop-writes-on-bgsave-error no") }
}

// keepBusy makes the server run a script that does not end. It answers BUSY to everybody then.
func keepBusy(t *testing.T, s *redistest.Server) func() {
	c := s.Conn(t)
	require.NoError(t, c.Send("EVAL", "while true do end", 0))
	require.NoError(t, c.Flush())
	require.Eventually(t, func() bool {
		_, err := s.Conn(t).Do("PING")
		return err != nil && strings.HasPrefix(err.Error(), "BUSY")
	}, 10*time.Second, 5*time.Millisecond)
	return func() {
		do(t, s, "SCRIPT KILL")
		_, err := c.Receive()
		assert.ErrorContains(t, err, "killed")
	}
}

// crowdOut ends the driver's connections and leaves no place for others.
func crowdOut(t *testing.T, s *redistest.Server) func() {
	c := s.Conn(t)
	doOn(t, c, "CONFIG SET maxclients 1")
	doOn(t, c, "CLIENT KILL TYPE normal SKIPME yes")
	return func() { doOn(t, c, "CONFIG SET maxclients 1000") }
}

// A server that starts loads its data first. Each key takes this one a while.
func TestLoadingServerIsUnavailable(t *testing.T) {
	t.Parallel()
	server, d := start(t, append(keeping, "--aof-use-rdb-preamble", "no",
		"--loading-process-events-interval-bytes", "1024", "--key-load-delay", "500")...)
	rec := begin(t, d)
	c := server.Conn(t)
	for i := range 4000 {
		require.NoError(t, c.Send("SET", fmt.Sprint(i), strings.Repeat("x", 100), "PX", 100000))
	}
	_, err := c.Do("")
	require.NoError(t, err)
	server.Kill()

	stop, asked := make(chan struct{}), make(chan struct{})
	var loading atomic.Int64
	go func() {
		defer close(asked)
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := d.Load(context.Background(), rec.ID(), now()); err != nil {
					assert.ErrorIs(t, err, driver.ErrUnavailable)
					if strings.Contains(err.Error(), "LOADING") {
						loading.Add(1)
					}
				}
			}
		}
	}()
	server.Restart(t) // returns when everything is loaded
	close(stop)
	<-asked
	load(t, d, rec.ID())
	assert.Positive(t, loading.Load(), "nobody asked while the server was loading")
}

// A replica lags behind: it may have what its master has ended or replaced, and lack what it has.
func TestReplicaAnswersNothing(t *testing.T) {
	t.Parallel()
	server, d := start(t)
	rec := begin(t, d)
	e := entry(0, time.Hour)
	require.NoError(t, d.Enter(t.Context(), user, e, 1, now()))
	require.NoError(t, d.EndBefore(t.Context(), user, now()))
	do(t, server, "REPLICAOF 127.0.0.1 1") // where it finds no master, and keeps what it has
	lacks := driver.NewID()
	replaced := changes(rec)
	replaced.Number = 1
	stale := *rec
	for name, err := range map[string]error{
		"load":            second(d.Load(t.Context(), rec.ID(), now())),
		"load of nothing": second(d.Load(t.Context(), lacks, now())),
		"first save":      second(d.Save(t.Context(), nil, newSession())),
		"save":            second(d.Save(t.Context(), &stale, replaced)),
		"end":             second(d.End(t.Context(), rec, ending(rec))),
		"end of nothing":  second(d.End(t.Context(), nil, &driver.Ending{ID: lacks, Now: now(), For: driver.Tombstone, Secret: secret})),
		"list":            second(d.List(t.Context(), user, now())),
		"list of nothing": second(d.List(t.Context(), strings.Repeat("v", 43), now())),
		"enter":           d.Enter(t.Context(), user, entry(time.Minute, time.Hour), 0, now().Add(time.Minute)),
		"enter, ended":    d.Enter(t.Context(), user, entry(time.Minute, time.Hour), 0, now()),
		"enter, full":     d.Enter(t.Context(), user, entry(0, time.Hour), 1, now().Add(-time.Minute)),
		"remove":          d.Remove(t.Context(), user, e.ID),
		"remove nothing":  d.Remove(t.Context(), user, lacks),
		"end all":         d.EndBefore(t.Context(), user, now()),
		"ping":            d.Ping(t.Context()),
	} {
		assert.ErrorIs(t, err, driver.ErrUnavailable, name)
		assert.ErrorContains(t, err, "READONLY", name)
	}
	do(t, server, "REPLICAOF NO ONE")
	load(t, d, rec.ID())
}

// A replica that cannot save to disk says MISCONF where it would say READONLY.
func TestReplicaThatRefusesWritesForAnotherReasonAnswersNothing(t *testing.T) {
	t.Parallel()
	server, d := start(t, saving...)
	rec := begin(t, d)
	failSnapshot(t, server)
	load(t, d, rec.ID())
	do(t, server, "REPLICAOF 127.0.0.1 1")
	_, err := d.Load(t.Context(), rec.ID(), now())
	assert.ErrorIs(t, err, driver.ErrUnavailable)
	do(t, server, "REPLICAOF NO ONE")
	load(t, d, rec.ID())
}

// A name or an address in front of the servers has moved to the new master, and the old one has
// become its replica: connections that are still open lead to the wrong server.
func TestFailoverBehindOneAddressFailsNoRequest(t *testing.T) {
	t.Parallel()
	const at, once = "--repl-diskless-sync-delay", "0"
	master, replica := redistest.Start(t, at, once), redistest.Start(t, at, once)
	p := redistest.NewProxy(t, master.Addr())
	d := newDriver(t, config(p.Addr(), ""))
	rec := begin(t, d)
	follow(t, replica, master)

	p.Lead(replica.Addr())
	do(t, replica, "REPLICAOF NO ONE")
	follow(t, master, replica)
	for range 5 {
		require.NoError(t, count(t.Context(), d, rec.ID()))
	}
	assert.EqualValues(t, 1, d.Retries(), "the connection to the replica was kept")
}

// follow makes a server the replica of another one and waits until it has its data.
func follow(t *testing.T, replica, master *redistest.Server) {
	t.Helper()
	do(t, replica, fmt.Sprintf("REPLICAOF %s %d", master.Host(), master.Port()))
	eventually(t, replica, "INFO replication", "master_link_status:up")
}

// After a restart every connection of the pool is broken, and each of them would fail a request.
func TestRestartFailsNoRequest(t *testing.T) {
	t.Parallel()
	p, server, d := proxied(t, keeping...)
	rec := begin(t, d)
	errs := make(chan error, 10)
	var all sync.WaitGroup
	all.Add(cap(errs))
	p.Set(func(command []string) redistest.Fault { // so that ten connections are idle afterwards
		if command[0] == "GETEX" {
			all.Done()
			all.Wait()
		}
		return redistest.Fault{}
	})
	for range cap(errs) {
		go func() { errs <- second(d.Load(context.Background(), rec.ID(), now())) }()
	}
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
	p.Set(nil)
	require.GreaterOrEqual(t, p.Dialed(), 10)
	server.Restart(t)
	for range 20 {
		require.NoError(t, count(t.Context(), d, rec.ID()))
	}
	server.Kill()
	server.Restart(t)
	require.NoError(t, count(t.Context(), d, rec.ID()))
	assert.Equal(t, "21", value(load(t, d, rec.ID()), "n"))
}

// A server that accepts and never answers, or answers too slowly, is given up in time, however long
// single steps may take.
func TestDeadlineBoundsAllTries(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		fault redistest.Fault
		cut   bool
	}{
		{name: "hanging", fault: redistest.Fault{Hang: true}},
		{name: "hanging from the start", fault: redistest.Fault{Hang: true}, cut: true},
		{name: "slow", fault: redistest.Fault{Delay: 250 * time.Millisecond}, cut: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, "--requirepass", "secret")
			p := redistest.NewProxy(t, server.Addr())
			c := config(p.Addr(), "secret")
			c.DB, c.ClientName = 1, "x"
			c.ReadTimeout, c.WriteTimeout, c.DialTimeout = time.Minute, time.Minute, time.Minute
			d := newDriver(t, c)
			rec := begin(t, d)
			p.Set(func([]string) redistest.Fault { return test.fault })
			if test.cut {
				p.Cut()
			}
			ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
			defer cancel()
			began := time.Now()
			assert.ErrorIs(t, second(d.Load(ctx, rec.ID(), now())), driver.ErrUnavailable)
			assert.Less(t, time.Since(began), 2*time.Second)
			p.Set(nil)
			p.Cut()
			load(t, d, rec.ID())
		})
	}
}

func TestClosedDriverIsUnavailableAndAClientStaysOpen(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	d := redis.New(config(server.Addr(), ""))
	require.NoError(t, d.Close(), "it never dialed")
	require.NoError(t, d.Close())
	assert.ErrorIs(t, second(d.Load(t.Context(), driver.NewID(), now())), driver.ErrUnavailable)

	client := redigoClient(t, server.Addr())
	foreign := redis.New(redis.Config{Client: client})
	begin(t, foreign)
	require.NoError(t, foreign.Close())
	pong, err := redigo.String(client.Do(t.Context(), "PING"))
	require.NoError(t, err)
	assert.Equal(t, "PONG", pong)
	assert.Zero(t, foreign.Retries())
}
