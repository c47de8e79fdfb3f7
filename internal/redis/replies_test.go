package redis_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	redigo "github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/internal/redis"
	"example.com/session/internal/redistest"
)

// replies are error replies of redis servers, and what an advice has to name if only another
// configuration helps.
var replies = []struct{ text, advice string }{
	{text: "LOADING Redis is loading the dataset in memory"},
	{text: "READONLY You can't write against a read only replica."},
	{text: "ERR Error running script (call to f_1): @user_script:8: -READONLY You can't write against a read only replica."},
	{text: "MASTERDOWN Link with MASTER is down"},
	{text: "CLUSTERDOWN The cluster is down"},
	{text: "TRYAGAIN Multiple keys request during rehashing of slot"},
	{text: "BUSY Redis is busy running a script."},
	{text: "OOM command not allowed when used memory > 'maxmemory'."},
	{text: "ERR max number of clients reached"},
	{text: "NOAUTH Authentication required.", advice: "Redis.Password"},
	{text: "ERR Protocol error: unauthenticated multibulk length", advice: "Redis.Password"},
	{text: "WRONGPASS invalid username-password pair or user is disabled.", advice: "Redis.Password"},
	{text: "NOPERM this user has no permissions to run the 'getex' command", advice: "docs/redis.md"},
	{text: "ERR The user executing the script can't run this command or subcommand script: 0a, on @user_script:1.", advice: "docs/redis.md"},
	{text: "ERR Error running script (call to f_1): @user_script:8: ERR The user executing the script can't run this command", advice: "docs/redis.md"},
	{text: "ERR Error running script (call to f_1): @user_script:8: @user_script: 8: The user executing the script can't access " +
		"at least one of the keys mentioned in the command arguments", advice: "docs/redis.md"},
	{text: "DENIED Redis is running in protected mode because protected mode is enabled", advice: "Redis.Password"},
	{text: "ERR ACL failure in script: User is not permitted to run this command", advice: "docs/redis.md"},
	{text: "WRONGTYPE Operation against a key holding the wrong kind of value", advice: "Redis.Namespace"},
	{text: "ERR Error running script (call to f_1): @user_script:8: WRONGTYPE Operation against a key", advice: "Redis.Namespace"},
	{text: "ERR unknown command 'GETEX', with args beginning with: 'SECRET' ", advice: "6.2"},
	{text: "MOVED 3999 127.0.0.1:6381", advice: "example.com/session/goredis"},
	{text: "ASK 3999 127.0.0.1:6381", advice: "example.com/session/goredis"},
}

func TestErrorRepliesAreToldApart(t *testing.T) {
	t.Parallel()
	p, _, d := proxied(t)
	rec := begin(t, d, set("a", "1"))
	for _, test := range replies {
		want := driver.ErrUnavailable
		if test.advice != "" {
			want = driver.ErrMisconfigured
		}
		p.Set(on(redistest.Fault{Reply: "-" + test.text}, work...))
		_, loadErr := d.Load(t.Context(), rec.ID(), now())
		_, saveErr := d.Save(t.Context(), rec, changes(rec, set("a", "2")))
		_, newErr := d.Save(t.Context(), nil, newSession())
		_, endErr := d.End(t.Context(), rec, ending(rec))
		_, listErr := d.List(t.Context(), user, now())
		for _, err := range []error{loadErr, saveErr, newErr, endErr, listErr, d.Ping(t.Context())} {
			require.ErrorIs(t, err, want, test.text)
			assert.NotErrorIs(t, err, driver.ErrNoSession)
			assert.ErrorContains(t, err, test.advice, test.text)
			assert.NotContains(t, err.Error(), "SECRET", "arguments may be data of a session")
		}
		p.Set(nil)
		assert.Equal(t, "1", value(load(t, d, rec.ID()), "a"))
	}
}

// What a server says to AUTH, SELECT or TIME is about the configuration, unless it is about its
// state.
func TestErrorRepliesToTheCommandsThatOpenAConnectionAreToldApart(t *testing.T) {
	t.Parallel()
	p, _, d := proxied(t, "--requirepass", "secret")
	rec := begin(t, d)
	texts := []struct{ text, advice string }{{text: "ERR something that is not known here", advice: "connect"}}
	for _, test := range append(texts, replies...) {
		if strings.HasPrefix(test.text, "ERR Error running script") {
			continue
		}
		for _, command := range []string{"AUTH", "TIME"} {
			p.Set(on(redistest.Fault{Reply: "-" + test.text}, command))
			p.Cut()
			_, err := d.Load(t.Context(), rec.ID(), now())
			if test.advice == "" {
				assert.ErrorIs(t, err, driver.ErrUnavailable, "%s: %s", command, test.text)
			} else {
				assert.ErrorIs(t, err, driver.ErrMisconfigured, "%s: %s", command, test.text)
				assert.ErrorContains(t, err, test.advice)
			}
		}
		p.Set(nil)
		load(t, d, rec.ID())
	}
}

// A foreign client follows redirections. One that returns them all the same has an outage.
func TestRedirectionOfAForeignClientIsAnOutage(t *testing.T) {
	t.Parallel()
	d := newDriver(t, redis.Config{Client: clientFunc(func(_ context.Context, args ...any) (any, error) {
		if args[0] == "TIME" {
			return []any{fmt.Sprint(time.Now().Unix()), "0"}, nil
		}
		return nil, serverError("MOVED 3999 127.0.0.1:6381")
	})})
	_, err := d.Load(t.Context(), driver.NewID(), now())
	assert.ErrorIs(t, err, driver.ErrUnavailable)
}

func TestWrongConfigurationIsToldFromAnOutage(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--requirepass", "secret")
	open := redistest.Start(t)
	cluster := redistest.Start(t, "--cluster-enabled", "yes")
	do(t, cluster, "CLUSTER ADDSLOTSRANGE 0 16383")
	eventually(t, cluster, "CLUSTER INFO", "cluster_state:ok")
	for _, test := range []struct {
		name   string
		change func(c *redis.Config)
		want   error
		text   string
	}{
		{name: "right", change: func(c *redis.Config) {}},
		{name: "wrong password", change: func(c *redis.Config) { c.Password = "other" }, want: driver.ErrMisconfigured, text: "password"},
		{name: "no password", change: func(c *redis.Config) { c.Password = "" }, want: driver.ErrMisconfigured, text: "set Redis.Password"},
		{name: "wrong user", change: func(c *redis.Config) { c.Username = "other" }, want: driver.ErrMisconfigured, text: "user"},
		{name: "a password too much", change: func(c *redis.Config) { c.Address = open.Addr() }, want: driver.ErrMisconfigured, text: "remove Redis.Password"},
		{name: "no such database", change: func(c *redis.Config) { c.DB = 99 }, want: driver.ErrMisconfigured, text: "Redis.Options.DB"},
		{name: "database in a cluster", change: func(c *redis.Config) { c.Address, c.Password, c.DB = cluster.Addr(), "", 1 },
			want: driver.ErrMisconfigured, text: "Redis.Options.DB"},
		{name: "TLS to a server without", change: func(c *redis.Config) { c.TLS = &tls.Config{ServerName: "127.0.0.1"} }, want: driver.ErrUnavailable},
		{name: "nobody there", change: func(c *redis.Config) { c.Address = "127.0.0.1:1" }, want: driver.ErrUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := config(server.Addr(), "secret")
			test.change(&c)
			d := newDriver(t, c)
			_, err := d.Save(t.Context(), nil, newSession())
			if test.want == nil {
				require.NoError(t, err)
				require.NoError(t, d.Ping(t.Context()))
				return
			}
			for _, err := range []error{err, d.Ping(t.Context())} {
				require.ErrorIs(t, err, test.want)
				assert.ErrorContains(t, err, test.text)
				assert.NotContains(t, err.Error(), "secret")
			}
		})
	}
}

func TestClusterBehindThePlainDriverIsAConfigurationErrorThatNamesGoredis(t *testing.T) {
	t.Parallel()
	node := redistest.Start(t, "--cluster-enabled", "yes")
	d := newDriver(t, config(node.Addr(), ""))
	_, err := d.Load(t.Context(), driver.NewID(), now())
	assert.ErrorIs(t, err, driver.ErrUnavailable, "it has no slots yet")

	other := redistest.Start(t, "--cluster-enabled", "yes")
	do(t, other, "CLUSTER ADDSLOTSRANGE 0 16383")
	do(t, node, fmt.Sprintf("CLUSTER MEET %s %d", other.Host(), other.Port()))
	eventually(t, node, "CLUSTER INFO", "cluster_state:ok")
	for _, err := range []error{d.Ping(t.Context()), second(d.Save(t.Context(), nil, newSession())), second(d.List(t.Context(), user, now()))} {
		require.ErrorIs(t, err, driver.ErrMisconfigured)
		assert.ErrorContains(t, err, "example.com/session/goredis")
	}
}

func second[T any](_ T, err error) error { return err }

// An administrator changes the password or takes rights away: connections that are open stay
// signed in, those that follow do not.
func TestRightsThatChangeAreAConfigurationErrorUntilTheyAreBack(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, begin, end string }{
		{name: "password", begin: "CONFIG SET requirepass other", end: "CONFIG SET requirepass secret"},
		{name: "user", begin: "ACL SETUSER default off", end: "ACL SETUSER default on"},
		{name: "command", begin: "ACL SETUSER default -getex -set", end: "ACL SETUSER default +@all"},
		{name: "key", begin: "ACL SETUSER default resetkeys ~other:*", end: "ACL SETUSER default ~*"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server, d := start(t, "--requirepass", "secret")
			rec := begin(t, d)
			rec, err := d.Save(t.Context(), rec, changes(rec)) // the script is known now
			require.NoError(t, err)
			admin := server.Conn(t)
			doOn(t, admin, test.begin)
			doOn(t, admin, "CLIENT KILL TYPE normal SKIPME yes")
			assert.ErrorIs(t, second(d.Load(t.Context(), rec.ID(), now())), driver.ErrMisconfigured)
			assert.ErrorIs(t, second(d.Save(t.Context(), rec, changes(rec))), driver.ErrMisconfigured)
			assert.ErrorIs(t, second(d.End(t.Context(), rec, ending(rec))), driver.ErrMisconfigured)
			assert.ErrorIs(t, d.Ping(t.Context()), driver.ErrMisconfigured)
			doOn(t, admin, test.end)
			load(t, d, rec.ID())
		})
	}
}

func TestFlushedScriptsAreSentAgain(t *testing.T) {
	t.Parallel()
	server, d := start(t)
	rec := begin(t, d)
	require.NoError(t, count(t.Context(), d, rec.ID()))
	do(t, server, "SCRIPT FLUSH")
	commands := server.CommandsDuring(t, func() { require.NoError(t, count(t.Context(), d, rec.ID())) })
	assert.Equal(t, 1, commands["eval"])
	commands = server.CommandsDuring(t, func() { require.NoError(t, count(t.Context(), d, rec.ID())) })
	assert.Zero(t, commands["eval"], "it is known by its name again")
	assert.Zero(t, d.Retries(), "that is no retry")
}

// A client that returns something else than redis does must not sign anybody out, nor seem to store.
func TestUnexpectedRepliesAreOutages(t *testing.T) {
	t.Parallel()
	server, other := start(t)
	rec := begin(t, other)
	real := redigoClient(t, server.Addr())
	for _, reply := range []any{int64(1), []any{}, true, "QUEUED", map[any]any{}} {
		d := newDriver(t, redis.Config{Client: clientFunc(func(ctx context.Context, args ...any) (any, error) {
			if args[0] == "TIME" {
				return real.Do(ctx, args...)
			}
			return reply, nil
		})})
		_, err := d.Load(t.Context(), rec.ID(), now())
		if reply == "QUEUED" {
			assert.ErrorIs(t, err, driver.ErrDamaged, "%v", reply)
		} else {
			assert.ErrorIs(t, err, driver.ErrUnavailable, "%v", reply)
		}
		assert.ErrorIs(t, second(d.Save(t.Context(), nil, newSession())), driver.ErrUnavailable, "%v", reply)
		if _, ok := reply.([]any); !ok { // an empty list
			assert.ErrorIs(t, second(d.List(t.Context(), user, now())), driver.ErrUnavailable, "%v", reply)
		}
		assert.ErrorIs(t, d.Enter(t.Context(), user, entry(0, time.Hour), 0, now()), driver.ErrUnavailable, "%v", reply)
		assert.ErrorIs(t, d.EndBefore(t.Context(), user, now()), driver.ErrUnavailable, "%v", reply)
		if _, ok := reply.(int64); !ok { // that means that the script has stored it
			assert.Error(t, second(d.Save(t.Context(), rec, changes(rec))), "%v", reply)
		}
	}
}

// clientFunc is a Client.
type clientFunc func(ctx context.Context, args ...any) (any, error)

func (f clientFunc) Do(ctx context.Context, args ...any) (any, error) { return f(ctx, args...) }

// serverError is an error reply, as go-redis has them.
type serverError string

func (e serverError) Error() string { return string(e) }
func (serverError) RedisError()     {}

// redigoClient is a Client of another kind than the driver's own.
func redigoClient(t *testing.T, address string) clientFunc {
	pool := &redigo.Pool{Dial: func() (redigo.Conn, error) { return redigo.Dial("tcp", address) }}
	t.Cleanup(func() { require.NoError(t, pool.Close()) })
	return func(_ context.Context, args ...any) (any, error) {
		conn := pool.Get()
		defer conn.Close()
		reply, err := conn.Do(args[0].(string), args[1:]...)
		if said, ok := err.(redigo.Error); ok {
			err = serverError(said)
		}
		return reply, err
	}
}
