package goredis_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/redistest"
)

func TestErrorRepliesAreToldApart(t *testing.T) {
	t.Parallel()
	p := redistest.NewProxy(t, redistest.Shared(t).Addr())
	b := newBrowser(t, closing(t, redis.NewClient(&redis.Options{Addr: p.Addr(), MaxRetries: -1})), nil)
	require.Equal(t, "1", b.body("/add"))
	for _, test := range []struct {
		reply  string
		status int
	}{
		{reply: "LOADING Redis is loading the dataset in memory", status: 503},
		{reply: "READONLY You can't write against a read only replica.", status: 503},
		{reply: "ERR Error running script (call to f_1): @user_script:8: -READONLY You can't write", status: 503},
		{reply: "MASTERDOWN Link with MASTER is down", status: 503},
		{reply: "CLUSTERDOWN The cluster is down", status: 503},
		{reply: "TRYAGAIN Multiple keys request during rehashing of slot", status: 503},
		{reply: "BUSY Redis is busy running a script.", status: 503},
		{reply: "OOM command not allowed when used memory > 'maxmemory'.", status: 503},
		{reply: "ERR max number of clients reached", status: 503},
		{reply: "NOAUTH Authentication required.", status: 500},
		{reply: "WRONGPASS invalid username-password pair", status: 500},
		{reply: "NOPERM this user has no permissions", status: 500},
		{reply: "WRONGTYPE Operation against a key", status: 500},
		{reply: "ERR unknown command 'GETEX'", status: 500},
	} {
		p.Set(onWork(redistest.Fault{Reply: "-" + test.reply}))
		for _, path := range []string{"/read", "/add", "/login", "/logout"} {
			status, _, header := b.get(path)
			assert.Equal(t, test.status, status, "%s: %s", path, test.reply)
			assert.Empty(t, header["Set-Cookie"], "%s: %s", path, test.reply)
		}
		assert.Equal(t, "plain", b.body("/plain"))
		p.Set(nil)
		assert.Equal(t, "1", b.body("/read"))
	}
}

// onWork does something to each command that reads or writes a session.
func onWork(fault redistest.Fault) func([]string) redistest.Fault {
	return func(command []string) redistest.Fault {
		switch strings.ToUpper(command[0]) {
		case "GETEX", "SET", "EVALSHA", "EVAL":
			return fault
		}
		return redistest.Fault{}
	}
}

// A password that is not right is a fault of the configuration, and no outage.
func TestWrongPasswordIsAConfigurationError(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--requirepass", "secret")
	for _, test := range []struct {
		password string
		status   int
	}{{password: "secret", status: 200}, {password: "other", status: 500}, {password: "", status: 500}} {
		b := newBrowser(t, closing(t, redis.NewClient(&redis.Options{Addr: server.Addr(), Password: test.password})), nil)
		status, _, _ := b.get("/add")
		assert.Equal(t, test.status, status, test.password)
		assert.Equal(t, test.status == 200, b.manager.Ping(t.Context()) == nil)
	}
}

// A server that cannot prove who it is gets neither the password nor a session.
func TestWrongCertificateIsRefused(t *testing.T) {
	t.Parallel()
	cert, other := redistest.NewCertificate(t, "127.0.0.1"), redistest.NewCertificate(t, "127.0.0.1")
	server := redistest.Start(t, append(cert.Args(), "--requirepass", "secret")...)
	for _, test := range []struct {
		name   string
		tls    *tls.Config
		status int
	}{
		{name: "trusted", tls: &tls.Config{RootCAs: cert.Roots}, status: 200},
		{name: "of another root", tls: &tls.Config{RootCAs: other.Roots}, status: 503},
		{name: "of another name", tls: &tls.Config{RootCAs: cert.Roots, ServerName: "redis.example"}, status: 503},
		{name: "no TLS", status: 503},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBrowser(t, closing(t, redis.NewClient(&redis.Options{Addr: server.Addr(), Password: "secret", TLSConfig: test.tls})), nil)
			status, _, header := b.get("/add")
			assert.Equal(t, test.status, status)
			assert.Equal(t, test.status == 200, header["Set-Cookie"] != nil)
			assert.Equal(t, "plain", b.body("/plain"))
		})
	}
}

// go-redis retries by itself. If so many others have saved in between that the record has forgotten
// whether the first try was applied, the outcome is unknown: it must not count twice.
func TestRetryOfTheClientAfterTooManyOtherSavesIsUnknown(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := redistest.NewProxy(t, server.Addr())
	d := newDriver(t, redis.NewClient(&redis.Options{Addr: p.Addr()}))
	others := newDriver(t, redis.NewClient(&redis.Options{Addr: server.Addr()}))
	secret := driver.Digest{1}
	add := func(d driver.Driver, base *driver.Record, by int64) (*driver.Record, error) {
		ch := &driver.Changes{ID: base.ID(), Number: rand.Uint64(), Now: time.Now(), Use: true, Expect: secret, Limits: base.Limits(),
			Ops: []driver.Op{{Kind: driver.Add, Part: driver.Data, Key: "n", By: by}}}
		return d.Save(t.Context(), base, ch)
	}
	for _, test := range []struct {
		others  int
		unknown bool
	}{{others: 7}, {others: 8, unknown: true}} {
		rec, err := d.Save(t.Context(), nil, &driver.Changes{ID: driver.NewID(), Number: rand.Uint64(), Now: time.Now(), New: true,
			Use: true, Install: secret, Limits: driver.Limits{Lifetime: time.Hour, Idle: time.Hour}})
		require.NoError(t, err)
		rec, err = add(d, rec, 1) // the script is known now
		require.NoError(t, err)
		var tries atomic.Int64
		p.Set(func(c []string) (fault redistest.Fault) {
			if strings.ToUpper(c[0]) != "EVALSHA" {
				return fault
			}
			switch tries.Add(1) {
			case 1:
				fault.Lose = true
			case 2:
				for range test.others {
					_, err := add(others, rec, 1)
					assert.NoError(t, err)
				}
			}
			return fault
		})
		_, err = add(d, rec, 100)
		p.Set(nil)
		if test.unknown {
			assert.ErrorIs(t, err, driver.ErrUnavailable)
		} else {
			assert.NoError(t, err)
		}
		assert.EqualValues(t, 2, tries.Load())
		rec, err = others.Load(t.Context(), rec.ID(), time.Now())
		require.NoError(t, err)
		n, _ := rec.Value(driver.Data, "n")
		assert.Equal(t, fmt.Sprint(101+test.others), n)
	}
}

func TestCountersAreExactThoughRepliesAreLost(t *testing.T) {
	t.Parallel()
	p := redistest.NewProxy(t, redistest.Shared(t).Addr())
	b := newBrowser(t, closing(t, redis.NewClient(&redis.Options{Addr: p.Addr()})), nil)
	b.body("/add")
	var seen atomic.Int64
	p.Set(func(c []string) redistest.Fault {
		return redistest.Fault{Lose: strings.HasPrefix(strings.ToUpper(c[0]), "EVAL") && seen.Add(1)%5 == 0}
	})
	var acknowledged, unknown atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 40 {
				response, err := b.client.Get(b.url + "/add")
				if err == nil && response.StatusCode == http.StatusOK {
					acknowledged.Add(1)
				} else {
					unknown.Add(1)
				}
				if err == nil {
					response.Body.Close()
				}
			}
		})
	}
	all.Wait()
	p.Set(nil)
	n, err := strconv.ParseInt(b.body("/read"), 10, 64)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, n-1, acknowledged.Load(), "an acknowledged increment is lost")
	assert.LessOrEqual(t, n-1, acknowledged.Load()+unknown.Load(), "an increment counted twice")
	assert.Greater(t, acknowledged.Load(), int64(250))
}

// A client that looks at no deadlines waits five seconds for each reply, and tries four times.
func TestStoreTimeoutBoundsAClientThatIgnoresDeadlines(t *testing.T) {
	t.Parallel()
	const timeout = 300 * time.Millisecond
	for _, test := range []struct {
		name    string
		options redis.Options
	}{
		{name: "as it comes"},
		{name: "respecting deadlines", options: redis.Options{ContextTimeoutEnabled: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := redistest.NewProxy(t, redistest.Shared(t).Addr())
			test.options.Addr = p.Addr()
			b := newBrowser(t, closing(t, redis.NewClient(&test.options)), func(cfg *session.Config) { cfg.StoreTimeout = timeout })
			b.body("/add")
			p.Set(func([]string) redistest.Fault { return redistest.Fault{Hang: true} })
			begin := time.Now()
			status, _, header := b.get("/read")
			assert.Equal(t, http.StatusServiceUnavailable, status)
			assert.NotEmpty(t, header.Get("Retry-After"))
			assert.Less(t, time.Since(begin), timeout+2*time.Second)
			begin = time.Now() // the connection is given up by now, and signing in on a new one hangs as well
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			assert.ErrorIs(t, b.manager.Ping(ctx), session.ErrUnavailable)
			assert.Less(t, time.Since(begin), timeout+2*time.Second)
			p.Set(nil)
			p.Cut()
			assert.Equal(t, "1", b.body("/read"))
		})
	}
}

// slow is a hook of an application that keeps its commands back until they are given up.
type slow struct{ on atomic.Bool }

func (*slow) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*slow) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (s *slow) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if s.on.Load() {
			<-ctx.Done()
		}
		return next(ctx, cmd)
	}
}

// What is given up and then sent would come after whatever the application did next. go-redis asks
// its pool first, which gives nothing once the context has ended.
func TestSaveThatWasGivenUpIsNotSentLater(t *testing.T) {
	t.Parallel()
	for _, respects := range []bool{false, true} {
		t.Run(fmt.Sprint(respects), func(t *testing.T) { giveUpASave(t, respects) })
	}
}

func giveUpASave(t *testing.T, respects bool) {
	p := redistest.NewProxy(t, redistest.Shared(t).Addr())
	client := closing(t, redis.NewClient(&redis.Options{Addr: p.Addr(), ContextTimeoutEnabled: respects}))
	keeper := new(slow)
	client.AddHook(keeper)
	b := newBrowser(t, client, func(cfg *session.Config) { cfg.StoreTimeout = 100 * time.Millisecond })
	b.body("/add")
	b.body("/add") // its script is known now
	var sent atomic.Int64
	p.Set(func(c []string) redistest.Fault {
		if strings.ToUpper(c[0]) == "EVALSHA" {
			sent.Add(1)
		}
		return redistest.Fault{}
	})
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s := session.FromRequest(r)
		s.Increment("n", 10)
		keeper.on.Store(true) // the load has passed
		assert.ErrorIs(t, s.Save(), session.ErrUnavailable)
		keeper.on.Store(false)
		fmt.Fprint(w, s.GetInt("n"))
	})
	serve(t, b, mux)
	assert.Equal(t, "12", b.body("/"))
	assert.EqualValues(t, 1, sent.Load(), "the save that was given up was sent")
}

// serve makes a browser talk to another handler under the same manager.
func serve(t *testing.T, b *browser, handler http.Handler) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: b.manager.Middleware(handler)}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	b.url = "http://" + l.Addr().String()
}

// The client is the application's.
func TestManagerLeavesTheClientOpen(t *testing.T) {
	t.Parallel()
	client := closing(t, redis.NewClient(&redis.Options{Addr: redistest.Shared(t).Addr()}))
	b := newBrowser(t, client, nil)
	b.body("/add")
	require.NoError(t, b.manager.Close())
	assert.NoError(t, client.Ping(t.Context()).Err())
}

// The reply to a command that was given up comes later, on a connection that others use.
func TestReplyThatCameTooLateIsReadByNobody(t *testing.T) {
	t.Parallel()
	const timeout = 50 * time.Millisecond
	for _, respects := range []bool{false, true} {
		p := redistest.NewProxy(t, redistest.Shared(t).Addr())
		client := closing(t, redis.NewClient(&redis.Options{Addr: p.Addr(), PoolSize: 5, ContextTimeoutEnabled: respects}))
		patient := newBrowser(t, client, nil)
		impatient := newBrowser(t, client, func(cfg *session.Config) { cfg.StoreTimeout = timeout })
		visitors := make([]*browser, 6)
		for i := range visitors {
			visitors[i] = patient.another()
			for range i + 1 {
				visitors[i].body("/add")
			}
			visitors[i].url = impatient.url
		}
		p.Set(func(c []string) redistest.Fault {
			if strings.ToUpper(c[0]) != "GETEX" || rand.IntN(2) == 0 {
				return redistest.Fault{}
			}
			return redistest.Fault{Delay: rand.N(3 * timeout)}
		})
		var served, late atomic.Int64
		var all sync.WaitGroup
		for i, v := range visitors {
			all.Go(func() {
				for range 30 {
					response, err := v.client.Get(v.url + "/read")
					if !assert.NoError(t, err) {
						return
					}
					var got string
					fmt.Fscan(response.Body, &got)
					response.Body.Close()
					if response.StatusCode != http.StatusOK {
						late.Add(1)
						continue
					}
					served.Add(1)
					assert.Equal(t, fmt.Sprint(i+1), got)
				}
			})
		}
		all.Wait()
		assert.Positive(t, late.Load(), "no reply came too late")
		assert.Positive(t, served.Load())
	}
}
