package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// An outcome is what a run of the program did.
type outcome struct {
	code     int
	out, err string
}

// ctl runs the program on the redis of a configuration.
func ctl(t *testing.T, cfg session.Config, args ...string) outcome {
	t.Helper()
	address := fmt.Sprintf("redis://%s:%d", cfg.Redis.Host, cfg.Redis.Port)
	return runWith(t, address, append([]string{"-namespace", cfg.Redis.Namespace}, args...)...)
}

func runWith(t *testing.T, url string, args ...string) outcome {
	t.Helper()
	var out, err bytes.Buffer
	code := run(t.Context(), args, url, &out, &err)
	return outcome{code, out.String(), err.String()}
}

// read reads what a run has printed as JSON.
func read[T any](t *testing.T, o outcome) (v T) {
	t.Helper()
	require.Zero(t, o.code, o.err)
	assert.Empty(t, o.err)
	require.NoError(t, json.Unmarshal([]byte(o.out), &v), o.out)
	return v
}

type item struct {
	Name  string
	Price float64
}

func TestShowDecodesEveryKindOfValue(t *testing.T) {
	cfg := kit.DriverConfig(t, "redis")
	v := kit.NewVisitor(t, kit.NewManager(t, cfg))
	const hostile = "a\x1b[2J\u009b31m\u202e\U000e0001 <b>\"é\n"
	var handle string
	v.Visit(func(s *session.Session) {
		s.Login("ann")
		s.Describe(map[string]string{"agent": "Firefox" + hostile})
		for key, value := range map[string]any{"text": hostile, "count": -3, "large": uint64(math.MaxUint64), "ratio": 1.5,
			"inf": math.Inf(1), "yes": true, "no": false, "nothing": nil, "cart": []item{{"tea", 2.5}}, hostile: 1} {
			s.Set(key, value)
		}
		s.Flash("success", "Saved!")
		s.FlashAdd("errors", "one")
		s.FlashAdd("errors", 2)
		assert.NoError(t, s.Save())
		handle = s.Handle()
	})

	o := ctl(t, cfg, "-json", "show", handle)
	got := read[map[string]any](t, o)
	assert.Equal(t, map[string]any{"text": hostile, "count": -3.0, "large": float64(math.MaxUint64), "ratio": 1.5, "inf": "+Inf",
		"yes": true, "no": false, "nothing": nil, hostile: 1.0,
		"cart": []any{map[string]any{"Name": "tea", "Price": 2.5}}}, got["data"])
	assert.Contains(t, o.out, "18446744073709551615", "an integer is rounded")
	assert.Equal(t, []any{
		map[string]any{"key": "errors", "value": "one"}, map[string]any{"key": "errors", "value": 2.0},
		map[string]any{"key": "success", "value": "Saved!"},
	}, got["flash"])
	assert.Equal(t, handle, got["handle"])
	assert.Equal(t, "ann", got["user"])
	assert.Equal(t, map[string]any{"agent": "Firefox" + hostile}, got["description"])
	for field, want := range map[string]time.Duration{"created": 0, "signed_in": 0, "used": 0, "expires": time.Hour} {
		at, err := time.Parse(time.RFC3339, got[field].(string))
		require.NoError(t, err)
		assert.WithinDuration(t, time.Now().Add(want), at, time.Minute, field)
	}

	text := ctl(t, cfg, "show", handle)
	for _, want := range []string{"handle", handle, `"ann"`, `data "count"`, "-3", `[{"Name":"tea","Price":2.5}]`, `flash "errors"`,
		`"Saved!"`, `a\u001b[2J\u009b31m\u202e\udb40\udc01`, "é"} {
		assert.Contains(t, text.out, want)
	}
	for _, out := range []string{o.out, text.out} {
		assert.NotContains(t, out, "\x1b", "a session commands the terminal")
		assert.NotContains(t, out, "\u009b", "a session commands the terminal")
		assert.NotContains(t, out, "\u202e", "a session hides text")
	}
}

// What another codec has encoded, and what something else has damaged, is shown as bytes.
func TestShowOfWhatIsNotJSONIsBase64(t *testing.T) {
	for _, encoded := range []string{"=\x01\x02", "", "?", "01x", "="} {
		assert.JSONEq(t, fmt.Sprintf(`{"base64": %q}`, base64.StdEncoding.EncodeToString([]byte(encoded))), string(decode(encoded)))
	}
	assert.Equal(t, `"NaN"`, string(decode("~NaN")))
}

// Whatever is printed, nobody gets in with it.
func TestNoTokenAndNoSecretIsPrinted(t *testing.T) {
	cfg := kit.DriverConfig(t, "redis")
	m := kit.NewManager(t, cfg)
	v := kit.NewVisitor(t, m)
	handle := kit.Login(v, "ann")
	v.Visit(func(s *session.Session) { s.Regenerate() })
	v.Visit(func(s *session.Session) { s.Set("n", 1) })
	_, token, _ := strings.Cut(v.CookieHeader(), "s_redis=")
	token, _, _ = strings.Cut(token, ";")
	require.Len(t, token, 56)

	d, err := session.NewRedisDriver(cfg.Redis)
	require.NoError(t, err)
	defer d.(interface{ Close() error }).Close()
	id, _ := driver.ParseID(handle)
	rec, err := d.Load(t.Context(), id, time.Now())
	require.NoError(t, err)
	require.NotEmpty(t, rec.Credentials())

	for _, args := range [][]string{{"show", handle}, {"list", "ann"}, {"show", token}, {"end", "ann", token}, {token},
		{"count"}, {"end", "ann", handle}, {"-json", "show", handle}, {"end-all", "ann"}} {
		o := ctl(t, cfg, args...)
		for at := len(handle); at+6 <= len(token); at++ {
			if args[0] == token {
				break // an unknown command is repeated, for a command is no secret
			}
			assert.NotContains(t, o.out+o.err, token[at:at+6], "%v prints a part of the secret", args[0])
		}
		for _, c := range rec.Credentials() {
			for _, text := range []string{fmt.Sprintf("%x", c.Digest), string(c.Digest[:]), base64.RawURLEncoding.EncodeToString(c.Digest[:]),
				base64.StdEncoding.EncodeToString(c.Digest[:])} {
				assert.NotContains(t, o.out+o.err, text, "%v prints a hash", args[0])
			}
		}
	}
}

func TestListAndEndSessionsOfAUser(t *testing.T) {
	for name, cookie := range map[string]string{"redis": "s_redis", "cookie, revoked in redis": "s_cookie"} {
		t.Run(name, func(t *testing.T) {
			cfg := kit.AccountConfig(t, name)
			cfg.Lifetime, cfg.IdleTimeout = 300*24*time.Hour, 200*24*time.Hour
			cfg.Cookie.RevocationWindow = time.Nanosecond
			m := kit.NewManager(t, cfg)
			first, bob := kit.NewVisitor(t, m), kit.NewVisitor(t, m)
			second, third := first.Stranger(), first.Stranger()
			handles := []string{kit.Login(first, "ann", "agent", "Firefox"), kit.Login(second, "ann"), kit.Login(third, "ann")}
			other := kit.Login(bob, "bob")
			assert.Contains(t, first.CookieHeader(), cookie+"=")

			list := func() (found []string) {
				for _, l := range read[[]listed](t, ctl(t, cfg, "-json", "list", "ann")) {
					found = append(found, l.Handle)
					assert.Greater(t, time.Until(l.Expires), 199*24*time.Hour, "the limits are those of the program")
					assert.WithinDuration(t, time.Now(), l.SignedIn, time.Minute)
					if l.Handle == handles[0] {
						assert.Equal(t, map[string]string{"agent": "Firefox"}, l.Description)
					}
				}
				return found
			}
			assert.ElementsMatch(t, handles, list())
			assert.Contains(t, ctl(t, cfg, "list", "ann").out, `{"agent":"Firefox"}`)

			o := ctl(t, cfg, "end", "ann", other)
			assert.Equal(t, notFound, o.code)
			assert.Contains(t, o.err, "of this user")
			assert.Equal(t, "bob", kit.UserOf(bob))

			assert.Equal(t, ending{handles[:1]}, read[ending](t, ctl(t, cfg, "-json", "end", "ann", handles[0])))
			assert.Empty(t, kit.UserOf(first))
			assert.Equal(t, "ann", kit.UserOf(second))
			assert.Equal(t, notFound, ctl(t, cfg, "end", "ann", handles[0]).code)
			assert.ElementsMatch(t, handles[1:], list())

			ended := read[ending](t, ctl(t, cfg, "-json", "end-all", "ann"))
			assert.ElementsMatch(t, handles[1:], ended.Ended)
			assert.Empty(t, kit.UserOf(second))
			assert.Empty(t, kit.UserOf(third))
			assert.Equal(t, "bob", kit.UserOf(bob))
			assert.Empty(t, list())
			assert.Equal(t, "[]\n", ctl(t, cfg, "-json", "list", "ann").out)
			assert.Equal(t, ending{[]string{}}, read[ending](t, ctl(t, cfg, "-json", "end-all", "ann")))

			o = ctl(t, cfg, "show", handles[1])
			assert.Equal(t, notFound, o.code)
			assert.Regexp(t, `ended.* \d+s ago`, o.err)
		})
	}
}

func TestPrefixFindsTheListsOfOtherCookies(t *testing.T) {
	cfg := kit.DriverConfig(t, "redis")
	cfg.CookieAttributes.Prefix = "shop_"
	v := kit.NewVisitor(t, kit.NewManager(t, cfg))
	handle := kit.Login(v, "ann")
	assert.NotContains(t, ctl(t, cfg, "list", "ann").out, handle)
	assert.Contains(t, ctl(t, cfg, "-prefix", "shop_", "list", "ann").out, handle)
}

// A namespace may contain what has a meaning in a pattern, and may begin another one.
func TestCountCountsTheKeysOfItsNamespace(t *testing.T) {
	cfg := kit.DriverConfig(t, "redis")
	name := cfg.Redis.Namespace
	for namespace, visitors := range map[string]int{name + `[a]*?\`: 1100, name + "a": 7} {
		cfg.Redis.Namespace = namespace
		m := kit.NewManager(t, cfg)
		d, err := session.NewRedisDriver(cfg.Redis)
		require.NoError(t, err)
		t.Cleanup(func() { d.(interface{ Close() error }).Close() })
		for range visitors {
			_, err := d.Save(t.Context(), nil, &driver.Changes{ID: driver.NewID(), Now: time.Now(), New: true, Use: true,
				Install: driver.Digest{1}, Limits: driver.Limits{Lifetime: time.Hour, Idle: time.Hour}})
			require.NoError(t, err)
		}
		v := kit.NewVisitor(t, m)
		kit.Login(v, "ann")
		kit.Login(v.Stranger(), "bob")
		v.Visit(func(s *session.Session) { s.Logout() })
		assert.Equal(t, map[string]int{"sessions": visitors + 1, "ended": 1, "users": 1},
			read[map[string]int](t, ctl(t, cfg, "-json", "count")))
		assert.Regexp(t, fmt.Sprintf(`sessions +%d\nended +1\nusers +1\n`, visitors+1), ctl(t, cfg, "count").out)
	}
}

// The user of docs/redis.md may do all but count, which takes one more right.
func TestRightsOfTheDocumentationAreEnough(t *testing.T) {
	data, err := os.ReadFile("../../docs/redis.md")
	require.NoError(t, err)
	_, acl, _ := strings.Cut(string(data), "\n    ACL ")
	acl, _, _ = strings.Cut(acl, "\n\n")
	var args []any
	for _, word := range strings.Fields(acl) {
		args = append(args, word)
	}
	server := redistest.Start(t)
	admin := server.Conn(t)
	_, err = admin.Do("ACL", args...)
	require.NoError(t, err)
	cfg := session.Config{Default: "redis", Logger: kit.Quiet, Redis: session.RedisConfig{
		URL: "redis://shop:password@" + server.Addr(), Namespace: "shop"}}
	handle := kit.Login(kit.NewVisitor(t, kit.NewManager(t, cfg)), "ann")
	do := func(args ...string) outcome {
		return runWith(t, cfg.Redis.URL, append([]string{"-namespace", "shop"}, args...)...)
	}
	assert.Contains(t, do("show", handle).out, `"ann"`)
	assert.Contains(t, do("list", "ann").out, handle)
	o := do("count")
	assert.Equal(t, failed, o.code)
	assert.Contains(t, o.err, "grant the rights that docs/redis.md lists")
	_, err = admin.Do("ACL", "SETUSER", "shop", "+scan")
	require.NoError(t, err)
	assert.Regexp(t, `sessions +1\n`, do("count").out)
	assert.Zero(t, do("end", "ann", handle).code)
	assert.Zero(t, do("end-all", "ann").code)
}

func TestWrongCommandLinesSayWhatIsWrong(t *testing.T) {
	server := redistest.Shared(t)
	address := fmt.Sprintf("redis://%s", server.Addr())
	unknown := driver.NewID().String()
	for _, test := range []struct {
		name string
		args []string
		url  string
		code int
		want string
	}{
		{name: "help", args: []string{"-h"}, code: done, want: "usage: sessionctl"},
		{name: "nothing", code: misused, want: "usage: sessionctl"},
		{name: "an unknown command", args: []string{"shwo"}, code: misused, want: `unknown command "shwo"`},
		{name: "an unknown flag", args: []string{"-x", "count"}, code: misused, want: "-x"},
		{name: "a flag behind", args: []string{"count", "-json"}, code: misused, want: "flags go before the command"},
		{name: "too few arguments", args: []string{"end", "ann"}, code: misused, want: "end takes 2 arguments, not 1"},
		{name: "too many arguments", args: []string{"list", "ann", "bob"}, code: misused, want: "list takes 1 arguments, not 2"},
		{name: "no handle", args: []string{"show", "abc"}, code: misused, want: "a handle has 22 characters"},
		{name: "no handle to end", args: []string{"end", "ann", "abc"}, code: misused, want: "a handle has 22 characters"},
		{name: "a bad URL", args: []string{"-url", "http://:secret@host", "count"}, code: misused, want: "another scheme than redis"},
		{name: "a bad namespace", args: []string{"-namespace", "{a}", "count"}, code: misused, want: "Namespace"},
		{name: "a bad prefix", args: []string{"-prefix", "a b", "count"}, code: misused, want: "Prefix"},
		{name: "no certificates", args: []string{"-url", "rediss://host", "-tls-ca", "/nowhere", "count"}, code: misused, want: "/nowhere"},
		{name: "no time", args: []string{"-timeout", "0s", "count"}, code: misused, want: "-timeout"},
		{name: "no such session", args: []string{"show", unknown}, code: notFound, want: "-namespace"},
		{name: "a user who looks like a flag", args: []string{"list", "-x"}, code: done},
		{name: "no server", args: []string{"count"}, url: fmt.Sprintf("redis://127.0.0.1:%d", kit.ClosedPort), code: failed, want: "connection refused"},
		{name: "no server to list", args: []string{"list", "ann"}, url: fmt.Sprintf("redis://127.0.0.1:%d", kit.ClosedPort), code: failed,
			want: "connection refused"},
		{name: "a password that is not asked for", args: []string{"count"}, url: "redis://:secret@" + server.Addr(), code: failed,
			want: "the server has no password"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.url == "" {
				test.url = address
			}
			o := runWith(t, test.url, test.args...)
			assert.Equal(t, test.code, o.code, o.err)
			assert.Contains(t, o.err, test.want)
			assert.NotContains(t, o.err, "secret")
			if test.code != done {
				assert.Empty(t, o.out)
			}
		})
	}
}

func TestURLOfTheCommandLineGoesFirst(t *testing.T) {
	server := redistest.Shared(t)
	o := runWith(t, "redis://127.0.0.1:1", "-url", "redis://"+server.Addr(), "-namespace", kit.Namespace(t), "-json", "count")
	assert.Zero(t, read[map[string]int](t, o)["sessions"])
}

func TestTLSWithAFileOfRoots(t *testing.T) {
	cert := redistest.NewCertificate(t, "127.0.0.1")
	server := redistest.Start(t, append(cert.Args(), "--requirepass", "a password")...)
	address := url.URL{Scheme: "rediss", User: url.UserPassword("", "a password"), Host: server.Addr()}
	assert.Zero(t, runWith(t, address.String(), "-tls-ca", cert.CertFile, "count").code)
	o := runWith(t, address.String(), "count")
	assert.Equal(t, failed, o.code)
	assert.Contains(t, o.err, "certificate")
}

func TestTimeoutAndInterruptEndACommand(t *testing.T) {
	p := redistest.NewProxy(t, redistest.Shared(t).Addr())
	p.Set(func([]string) redistest.Fault { return redistest.Fault{Hang: true} })
	begin := time.Now()
	assert.Equal(t, failed, runWith(t, "redis://"+p.Addr(), "-timeout", "50ms", "count").code)
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var out, err bytes.Buffer
	assert.Equal(t, failed, run(ctx, []string{"count"}, "redis://"+p.Addr(), &out, &err))
	assert.Less(t, time.Since(begin), 3*time.Second)
}
