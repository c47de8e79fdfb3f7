package outage_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

// redisVisitor returns a visitor of an application on redis. Only the time-outs of cfg end an operation.
func redisVisitor(t *testing.T, cfg session.RedisConfig) *kit.Visitor {
	t.Helper()
	return kit.NewVisitor(t, kit.NewManager(t, session.Config{Default: "redis", Secret: kit.Secret, Logger: kit.Quiet,
		StoreTimeout: time.Minute, Redis: cfg}))
}

// longer than the default of every time-out: what lasts that long was ended by the one that is set.
const longer = 1200 * time.Millisecond

// assertLasts asserts that something is ended by a time-out of the given length, once or twice.
func assertLasts(t *testing.T, timeout time.Duration, do func()) {
	t.Helper()
	begin := time.Now()
	do()
	assert.GreaterOrEqual(t, time.Since(begin), timeout)
	assert.Less(t, time.Since(begin), timeout+30*time.Second)
}

// assertKeeps asserts that a value is there in the next request.
func assertKeeps(t *testing.T, v *kit.Visitor) {
	t.Helper()
	p := v.Visit(func(s *session.Session) { s.Set("key", "kept") })
	require.Equal(t, http.StatusOK, p.StatusCode)
	v.Visit(func(s *session.Session) { assert.Equal(t, "kept", s.Get("key")) })
}

// assertRefuses asserts the status of a request whose session cannot be stored.
func assertRefuses(t *testing.T, v *kit.Visitor, status int) {
	t.Helper()
	p := v.Visit(func(s *session.Session) { s.Set("key", "lost") })
	assert.Equal(t, status, p.StatusCode)
	assert.Empty(t, p.Header["Set-Cookie"])
}

// clients returns the fields of each connection to a server, without those of the test itself.
func clients(t *testing.T, s *redistest.Server) (all []map[string]string) {
	t.Helper()
	c := s.Conn(t)
	list, err := redis.String(c.Do("CLIENT", "LIST"))
	require.NoError(t, err)
	for line := range strings.Lines(list) {
		fields := make(map[string]string)
		for field := range strings.FieldsSeq(line) {
			key, value, _ := strings.Cut(field, "=")
			fields[key] = value
		}
		if fields["cmd"] != "client|list" && !strings.HasPrefix(fields["addr"], "/") {
			all = append(all, fields)
		}
	}
	return all
}

func TestRedisURLSaysWhereAndAsWhom(t *testing.T) {
	t.Parallel()
	const password = "p@ss:wörd/%"
	s := redistest.Start(t, "--requirepass", password)
	_, err := s.Conn(t).Do("ACL", "SETUSER", "shop", "on", ">"+password, "~*", "+@all")
	require.NoError(t, err)
	as := func(user *url.Userinfo, rest string) string {
		return fmt.Sprintf("redis://%s@%s%s", user, s.Addr(), rest)
	}
	for _, test := range []struct{ name, url, user, db string }{
		{name: "password", url: as(url.UserPassword("", password), ""), user: "default", db: "0"},
		{name: "slash", url: as(url.UserPassword("", password), "/"), user: "default", db: "0"},
		{name: "user", url: as(url.UserPassword("shop", password), ""), user: "shop", db: "0"},
		{name: "database", url: as(url.UserPassword("shop", password), "/7"), user: "shop", db: "7"},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := kit.Namespace(t)[len("TestRedisURLSaysWhereAndAsWhom/"):]
			assertKeeps(t, redisVisitor(t, session.RedisConfig{URL: test.url, Options: session.RedisOptions{ClientName: name}}))
			for _, c := range clients(t, s) {
				if c["name"] == name {
					assert.Equal(t, test.user, c["user"])
					assert.Equal(t, test.db, c["db"])
					return
				}
			}
			t.Error("no connection of this name")
		})
	}
	assertRefuses(t, redisVisitor(t, session.RedisConfig{URL: as(url.UserPassword("shop", "wrong"), "")}), http.StatusInternalServerError)
	assertRefuses(t, redisVisitor(t, session.RedisConfig{URL: "redis://" + s.Addr()}), http.StatusInternalServerError)
}

func TestRedisURLNamesASocket(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--port", "0", "--requirepass", "secret")
	u := url.URL{Scheme: "unix", User: url.UserPassword("", "secret"), Path: s.Socket()}
	assertKeeps(t, redisVisitor(t, session.RedisConfig{URL: u.String() + "?db=3"}))
	assert.Len(t, keysOf(t, s, 3), 1)
	assert.Empty(t, keysOf(t, s, 0))
}

func keysOf(t *testing.T, s *redistest.Server, db int) []string {
	t.Helper()
	keys, err := redis.Strings(s.Conn(t, redis.DialDatabase(db)).Do("KEYS", "*"))
	require.NoError(t, err)
	return keys
}

// rediss:// trusts the certificates of the system, which a process reads once. So the test runs again in
// a process whose system trusts the server's certificate.
func TestRedissVerifiesTheHost(t *testing.T) {
	const address, want = "SESSION_TEST_REDISS", "SESSION_TEST_STATUS"
	if u := os.Getenv(address); u != "" {
		p := redisVisitor(t, session.RedisConfig{URL: u}).Visit(func(s *session.Session) { s.Set("key", 1) })
		assert.Equal(t, os.Getenv(want), fmt.Sprint(p.StatusCode), u)
		return
	}
	t.Parallel()
	right, wrong := redistest.NewCertificate(t, "127.0.0.1"), redistest.NewCertificate(t, "redis.example")
	for _, test := range []struct {
		name             string
		served, trusted  *redistest.Certificate
		status, password string
	}{
		{name: "trusted", served: right, trusted: right, status: "200"},
		{name: "of another host", served: wrong, trusted: wrong, status: "503"},
		{name: "not trusted", served: right, trusted: wrong, status: "503"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t, append(test.served.Args(), "--requirepass", "secret")...)
			child := exec.Command(os.Args[0], "-test.run=^TestRedissVerifiesTheHost$")
			child.Env = append(os.Environ(), "SSL_CERT_FILE="+test.trusted.CertFile, "SSL_CERT_DIR=/nonexistent",
				address+"=rediss://:secret@"+s.Addr(), want+"="+test.status)
			out, err := child.CombinedOutput()
			assert.NoError(t, err, "%s", out)
		})
	}
}

func TestTLSIsVerified(t *testing.T) {
	t.Parallel()
	cert, other := redistest.NewCertificate(t, "127.0.0.1", "redis.example"), redistest.NewCertificate(t, "127.0.0.1")
	for _, test := range []struct {
		name   string
		tls    *tls.Config
		args   []string
		status int
	}{
		{name: "trusted", tls: &tls.Config{RootCAs: cert.Roots}, status: 200},
		{name: "by another name", tls: &tls.Config{RootCAs: cert.Roots, ServerName: "redis.example"}, status: 200},
		{name: "by a wrong name", tls: &tls.Config{RootCAs: cert.Roots, ServerName: "other.example"}, status: 503},
		{name: "of another root", tls: &tls.Config{RootCAs: other.Roots}, status: 503},
		{name: "of no root", tls: &tls.Config{}, status: 503},
		{name: "no TLS", status: 503},
		{name: "client certificate", args: cert.ArgsForClientsWith(other), status: 200,
			tls: &tls.Config{RootCAs: cert.Roots, Certificates: []tls.Certificate{other.Pair}}},
		{name: "no client certificate", args: cert.ArgsForClientsWith(other), status: 503,
			tls: &tls.Config{RootCAs: cert.Roots}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.args == nil {
				test.args = cert.Args()
			}
			cfg := at(redistest.Start(t, test.args...))
			cfg.Options.TLS = test.tls
			p := redisVisitor(t, cfg).Visit(func(s *session.Session) { s.Set("key", 1) })
			assert.Equal(t, test.status, p.StatusCode)
		})
	}
}

// TLSCA is for configurations that come from a file.
func TestTLSCANamesTheRootCertificates(t *testing.T) {
	t.Parallel()
	cert, other := redistest.NewCertificate(t, "127.0.0.1"), redistest.NewCertificate(t, "127.0.0.1")
	s := redistest.Start(t, cert.Args()...)
	for file, status := range map[string]int{cert.CertFile: http.StatusOK, other.CertFile: http.StatusServiceUnavailable} {
		cfg := at(s)
		cfg.Options.TLSCA = file
		p := redisVisitor(t, cfg).Visit(func(s *session.Session) { s.Set("key", 1) })
		assert.Equal(t, status, p.StatusCode)
	}
}

func TestTLSClientRefusesAServerWithoutIt(t *testing.T) {
	t.Parallel()
	cfg := at(redistest.Start(t))
	cfg.Options.TLS = &tls.Config{InsecureSkipVerify: true}
	assertRefuses(t, redisVisitor(t, cfg), http.StatusServiceUnavailable)
}

func TestUsernameSignsInAsThatUser(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	_, err := s.Conn(t).Do("ACL", "SETUSER", "shop", "on", ">secret", "~shop:*", "+@all", "-@dangerous")
	require.NoError(t, err)
	cfg := session.RedisConfig{Host: s.Host(), Port: s.Port(), Password: "secret", Namespace: "shop",
		Options: session.RedisOptions{Username: "shop"}}
	assertKeeps(t, redisVisitor(t, cfg))
	assert.Equal(t, "shop", clients(t, s)[0]["user"])

	cfg.Namespace = "another" // whose keys this user may not touch
	assertRefuses(t, redisVisitor(t, cfg), http.StatusInternalServerError)
	cfg.Password = "wrong"
	assertRefuses(t, redisVisitor(t, cfg), http.StatusInternalServerError)
}

func TestSocketIsDialedInPlaceOfThePort(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--port", "0")
	for _, network := range []string{"", "unix"} {
		assertKeeps(t, redisVisitor(t, session.RedisConfig{Port: kit.ClosedPort,
			Options: session.RedisOptions{Network: network, Socket: s.Socket()}}))
	}
	cfg := at(s)
	cfg.Options.Network = "tcp"
	assertRefuses(t, redisVisitor(t, cfg), http.StatusServiceUnavailable)
}

func TestDBAndNamespaceSayWhereTheKeysAre(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	cfg := at(s)
	assertKeeps(t, redisVisitor(t, cfg))
	cfg.Options.DB, cfg.Namespace = 5, "shop:eu"
	assertKeeps(t, redisVisitor(t, cfg))
	assert.Regexp(t, `^session:[\w-]{22}$`, keysOf(t, s, 0)[0])
	assert.Regexp(t, `^shop:eu:session:[\w-]{22}$`, keysOf(t, s, 5)[0])

	cfg.Options.DB = 16
	assertRefuses(t, redisVisitor(t, cfg), http.StatusInternalServerError)
}

func TestClientNameIsShown(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	cfg := at(s)
	cfg.Options.ClientName = "shop-7"
	assertKeeps(t, redisVisitor(t, cfg))
	assert.Equal(t, "shop-7", clients(t, s)[0]["name"])
}

func TestKeysLiveAsLongAsTheIdleTimeout(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	cfg := at(s)
	cfg.IdleTimeout = 10 * time.Minute
	assertKeeps(t, redisVisitor(t, cfg))
	for _, ttl := range s.TTLs(t) {
		assert.InDelta(t, 10*time.Minute, ttl, float64(10*time.Second))
	}
}
