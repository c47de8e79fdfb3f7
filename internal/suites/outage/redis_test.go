package outage_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

// command runs a command, whose words have no spaces in them, on the server itself.
func (s *site) command(line string) {
	s.t.Helper()
	var args []any
	words := strings.Fields(line)
	for _, word := range words[1:] {
		args = append(args, word)
	}
	_, err := s.redis.Conn(s.t).Do(words[0], args...)
	require.NoError(s.t, err, line)
}

// Each of these is a server that cannot serve, and none is a visitor who is not signed in. The driver
// has tests of further kinds.
func TestServerThatCannotServeIsAnOutageAndSignsNobodyOut(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name       string
		begin, end func(s *site)
		reads      bool // it still reads
	}{
		{name: "stopped", begin: func(s *site) { s.redis.Stop() }, end: func(s *site) { s.redis.Restart(s.t) }},
		{name: "hanging", begin: func(s *site) { s.redis.Pause(s.t) }, end: func(s *site) { s.redis.Resume(s.t) }},
		{name: "a replica", begin: func(s *site) { s.command("REPLICAOF 127.0.0.1 1") },
			end: func(s *site) { s.command("REPLICAOF NO ONE") }},
		{name: "without replicas", reads: true, begin: func(s *site) { s.command("CONFIG SET min-replicas-to-write 1") },
			end: func(s *site) { s.command("CONFIG SET min-replicas-to-write 0") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
			site := newRedisSite(t, server, func(cfg *session.Config) { cfg.Redis.Options.ReadTimeout = 250 * time.Millisecond })
			test.begin(site)
			site.assertWritesFail()
			if test.reads {
				assert.Equal(t, "ann", site.Get("/user").Body)
			} else {
				site.assertReadsFail()
				assert.ErrorIs(t, site.manager.Ping(t.Context()), session.ErrUnavailable)
			}
			test.end(site)
			site.assertServes()
			assert.NoError(t, site.manager.Ping(t.Context()))
			site.assertOneOutage()
		})
	}
}

// Memory that is full is no reason to sign people out, nor to keep them from signing out.
func TestFullMemoryRefusesWritesAndStillReadsAndSignsOut(t *testing.T) {
	t.Parallel()
	site := newRedisSite(t, redistest.Start(t), nil)
	site.command("CONFIG SET maxmemory 1")
	site.assertWritesFail()
	assert.Equal(t, "ann", site.Get("/user").Body)
	assert.Equal(t, "signed out", site.Do(http.MethodPost, "/logout").Body)
	assert.Empty(t, site.Get("/user").Body)
}

// What waiting cures is a 503, and what only another configuration cures is a 500. Neither touches a
// cookie. The driver has tests of further replies.
func TestConfigurationErrorIsNoOutage(t *testing.T) {
	t.Parallel()
	p := redistest.NewProxy(t, redistest.Shared(t).Addr())
	site := newRedisSite(t, redistest.Shared(t), func(cfg *session.Config) {
		behind(p)(cfg)
		cfg.Redis.Namespace = kit.Namespace(t)
	})
	for _, test := range []struct {
		reply  string
		status int
		logged string // what the operator is to do
	}{
		{reply: "LOADING Redis is loading the dataset in memory", status: 503},
		{reply: "OOM command not allowed when used memory > 'maxmemory'.", status: 503},
		{reply: "NOAUTH Authentication required.", status: 500, logged: "NOAUTH"},
		{reply: "NOPERM this user has no permissions", status: 500, logged: "NOPERM"},
		{reply: "MOVED 3999 127.0.0.1:6381", status: 500, logged: "goredis"},
	} {
		p.Set(func([]string) redistest.Fault { return redistest.Fault{Reply: "-" + test.reply} })
		for _, answer := range []kit.Page{site.Get("/user"), site.Do(http.MethodPost, "/logout")} {
			assert.Equal(t, test.status, answer.StatusCode, test.reply)
			assert.Empty(t, answer.Header["Set-Cookie"], test.reply)
			assert.NotContains(t, answer.Body, strings.Fields(test.reply)[0], "details belong in the log")
		}
		site.assertPlainGoesOn()
		assert.Contains(t, site.log.Text(), test.logged)
		err := site.manager.Ping(t.Context())
		require.Error(t, err, test.reply)
		assert.Equal(t, test.status == 503, errors.Is(err, session.ErrUnavailable), "%v", err)
		p.Set(nil)
		site.assertServes()
	}
	site.assertOneOutage()
}

// Loads and saves are counted as such, however often redis was asked.
func TestStatsCountWhatRedisDid(t *testing.T) {
	t.Parallel()
	p := redistest.NewProxy(t, redistest.Start(t).Addr())
	m := kit.NewManager(t, session.Config{Default: "redis", Secret: kit.Secret, Logger: kit.Quiet,
		Redis: session.RedisConfig{Host: p.Host(), Port: p.Port()}})
	b := kit.NewBrowser(t, pages.Under(m))
	b.Get("/count")
	b.Get("/count")
	b.Get("/logout")
	counted := func() session.Stats { // without the times
		all := m.Stats()
		one := all.Drivers["redis"]
		assert.Equal(t, sum(one.LoadTimes.Counts), one.Loads, "each load has a time")
		assert.Equal(t, sum(one.SaveTimes.Counts), one.Saves+one.Ended, "each save and ending has a time")
		one.LoadTimes, one.SaveTimes, one.Failed = session.Histogram{}, session.Histogram{}, all.Failed
		all.Drivers = nil
		assert.Equal(t, all, one, "redis alone was used")
		return all
	}
	assert.Equal(t, session.Stats{Loads: 1, Saves: 2, Ended: 1}, counted())
	loseOnly(p, 0)
	b.Get("/count")
	assert.Equal(t, session.Stats{Loads: 1, Saves: 3, Ended: 1, Retries: 1}, counted())
	p.Set(onWork(redistest.Fault{Reply: "-LOADING"}))
	b.Get("/count")
	assert.Equal(t, session.Stats{Loads: 2, Saves: 3, Ended: 1, Retries: 1, Unavailable: 1, Failed: 1, Outage: true}, counted())
}

func sum(counts []uint64) (all uint64) {
	for _, n := range counts {
		all += n
	}
	return all
}
