package session_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"strings"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/redistest"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// These tests hold what the session documentation of the described system promises its users,
// in the order in which it does.

// A cookie of the session's own begins with s_, so that it can be told from others.
func TestSessionCookiesBeginWithTheirPrefix(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		p := newVisitor(t, newManager(t, cfg)).visit(func(s *session.Session) { s.Set("key", "value"); s.Flash("note", 1) })
		require.NotEmpty(t, p.Cookies())
		for _, c := range p.Cookies() {
			assert.True(t, strings.HasPrefix(c.Name, "s_"), c.Name)
		}
		assert.NotNil(t, p.cookie("s_"+cfg.Default))
	})
}

func TestMemoryDriverWarnsOfSeveralWorkers(t *testing.T) {
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, "memory_driver.go", nil, parser.ParseComments)
	require.NoError(t, err)
	pkg, err := doc.NewFromFiles(files, []*ast.File{parsed}, "example.com/session")
	require.NoError(t, err)
	for _, typ := range pkg.Types {
		if typ.Name == "MemoryDriver" {
			assert.Contains(t, strings.Join(strings.Fields(typ.Doc), " "), "several workers")
			return
		}
	}
	t.Error("there is no MemoryDriver")
}

func TestCookieDriverEncryptsSessionAndFlash(t *testing.T) {
	p := newVisitor(t, newManager(t, driverConfig(t, "cookie"))).visit(func(s *session.Session) {
		s.Set("account", "secret value")
		s.Flash("notice", "secret note")
	})
	value := p.cookie("s_cookie").Value
	raw, err := base64.RawURLEncoding.DecodeString(value)
	require.NoError(t, err)
	for _, text := range []string{"account", "secret", "notice"} {
		assert.NotContains(t, value, text)
		assert.NotContains(t, string(raw), text)
	}
}

func TestWhatIsSetIsThereUntilItIsDeleted(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) {
			assert.False(t, s.Has("key"))
			assert.Nil(t, s.Get("key"))
			s.Set("key", "value")
			assert.Equal(t, "value", s.Get("key"))
		})
		for range 3 {
			v.visit(func(s *session.Session) {
				assert.Equal(t, "value", s.Get("key"))
				assert.True(t, s.Has("key"))
				assert.Equal(t, map[string]any{"key": "value"}, s.All())
			})
		}
		v.stranger().visit(func(s *session.Session) { assert.False(t, s.Has("key"), "it is the current user's") })
		v.visit(func(s *session.Session) { s.Delete("key"); assert.False(t, s.Has("key")) })
		v.visit(func(s *session.Session) {
			assert.False(t, s.Has("key"))
			assert.Empty(t, s.All())
		})
	})
}

func TestFlashIsThereForTheNextPageOnly(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		b := newBrowser(t, routes{
			"/save": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
				s.Flash("success", "Your action is successful")
				http.Redirect(w, r, "/dashboard", http.StatusFound)
			},
			"/dashboard": func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
				fmt.Fprint(w, s.GetString("success"))
			},
		}.under(newManager(t, cfg)))
		assert.Equal(t, "/dashboard", b.get("/save").Header.Get("Location"))
		assert.Equal(t, "Your action is successful", b.get("/dashboard").body)
		assert.Empty(t, b.get("/dashboard").body)
	})
}

// Flash first and redirect afterwards, or the other way round: it is stored either way.
func TestFlashAfterTheRedirectWasWrittenNeedsADriverThatKeepsItsToken(t *testing.T) {
	for _, name := range []string{"memory", "redis"} {
		t.Run(name, func(t *testing.T) {
			v := newVisitor(t, newManager(t, driverConfig(t, name)))
			v.visit(func(s *session.Session) { s.Set("user", "ann") })
			v.serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
				http.Redirect(w, r, "/dashboard", http.StatusFound)
				s.Flash("success", "Action Successful!")
			})
			v.visit(func(s *session.Session) { assert.Equal(t, "Action Successful!", s.Get("success")) })
		})
	}
}

func TestCookieFlashIsGoneAfterTwoSecondsByTheServersClock(t *testing.T) {
	cfg := parseConfig(t, `{"default": "cookie", "cookie": {"flash_ttl": 2}}`)
	m := newManager(t, cfg)
	clock := setClock(m)
	v := flashed(t, m)
	clock.advance(1999 * time.Millisecond)
	assert.True(t, has(v))
	clock.advance(time.Millisecond)
	assert.False(t, has(v))
	v.visit(func(s *session.Session) { s.Set("data", 1) })
	clock.advance(time.Minute)
	v.visit(func(s *session.Session) { assert.Equal(t, 1, s.Get("data"), "the clock is that of flash") })
}

// parseConfig reads a configuration as a file has it; secret and log are the program's.
func parseConfig(t *testing.T, text string) session.Config {
	t.Helper()
	cfg, err := session.ParseConfig([]byte(text))
	require.NoError(t, err)
	cfg.Secret, cfg.Logger = testSecret, quiet
	return cfg
}

func TestDriverCanBeChangedForACall(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		other := "cookie"
		if cfg.Default == other {
			other = "memory"
		}
		v := newVisitor(t, newManager(t, cfg))
		p := v.visit(func(s *session.Session) {
			elsewhere, err := s.Using(other)
			if assert.NoError(t, err) {
				elsewhere.Set("key", "value")
			}
			assert.False(t, s.Has("key"), "the default driver's session is another one")
		})
		assert.NotNil(t, p.cookie("s_"+other))
		assert.Nil(t, p.cookie("s_"+cfg.Default))
		v.visit(func(s *session.Session) {
			elsewhere, err := s.Using(other)
			if assert.NoError(t, err) {
				assert.Equal(t, "value", elsewhere.Get("key"))
			}
		})
	})
}

func TestRequestLeadsToItsSession(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			session.FromRequest(r).Flash("success", "Action Successful!")
			assert.Same(t, s, session.FromRequest(r))
			http.Redirect(w, r, "/dashboard", http.StatusFound)
		})
		v.visit(func(s *session.Session) { assert.Equal(t, "Action Successful!", s.Get("success")) })
	})
}

func TestResetClearsDataOrFlashAndFlushBoth(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		redirect := func(do func(s *session.Session)) {
			v.serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
				do(s)
				w.WriteHeader(http.StatusFound)
			})
		}
		fill := func(s *session.Session) { s.Set("data", 1); s.Flash("flash", 2) }
		redirect(fill)
		redirect(func(s *session.Session) { s.Reset() })
		redirect(func(s *session.Session) { assert.Equal(t, map[string]any{"flash": 2}, s.All()) })
		redirect(fill)
		redirect(func(s *session.Session) { s.ResetFlash() })
		redirect(func(s *session.Session) { assert.Equal(t, map[string]any{"data": 1}, s.All()) })
		redirect(fill)
		redirect(func(s *session.Session) { s.Flush() })
		redirect(func(s *session.Session) { assert.Empty(t, s.All()) })
	})
}

// from returns a browser of the same server whose connections come from another address of
// this machine.
func (v *visitor) from(address string) *visitor {
	v.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(v.t, err)
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	transport := &http.Transport{DialContext: dialer.DialContext}
	v.t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Jar: jar, Transport: transport, CheckRedirect: v.client.CheckRedirect}
	return &visitor{browser: &browser{t: v.t, client: client, url: v.url}, handler: v.handler}
}

func TestMemoryByClientIPConnectsTheAddressToTheData(t *testing.T) {
	cfg := parseConfig(t, `{"default": "memory", "memory": {"by_client_ip": true}}`)
	v := newVisitor(t, newManager(t, cfg))
	p := v.visit(func(s *session.Session) { s.Set("key", "value"); s.Flash("note", "n") })
	assert.Empty(t, p.Header["Set-Cookie"], "the address is the identity")
	assert.Equal(t, "private, no-store", p.Header.Get("Cache-Control"))

	v.stranger().visit(func(s *session.Session) {
		assert.Equal(t, map[string]any{"key": "value", "note": "n"}, s.All(), "another browser at the address")
	})
	v.from("127.0.0.2").visit(func(s *session.Session) {
		assert.Empty(t, s.All(), "another address")
		s.Set("key", "other")
	})
	v.visit(func(s *session.Session) {
		assert.Equal(t, map[string]any{"key": "value"}, s.All(), "and the note was shown once")
		s.Destroy()
	})
	v.visit(func(s *session.Session) { assert.Empty(t, s.All()); s.Set("key", "anew") })
	v.visit(func(s *session.Session) { assert.Equal(t, "anew", s.Get("key")) })
}

func TestMemoryByClientIPAsksTheProgramForTheAddress(t *testing.T) {
	cfg := parseConfig(t, `{"default": "memory", "memory": {"by_client_ip": true}}`)
	cfg.ClientIP = func(r *http.Request) string { return r.Header.Get("X-Proxy-Says") }
	failed := recordFailures(&cfg)
	v := newVisitor(t, newManager(t, cfg))
	v.visit(func(s *session.Session) { s.Set("key", "a") }, "X-Proxy-Says", "2001:DB8::1")
	v.visit(func(s *session.Session) { assert.Equal(t, "a", s.Get("key")) }, "X-Proxy-Says", "2001:db8::1")
	v.visit(func(s *session.Session) { assert.Nil(t, s.Get("key")) }, "X-Proxy-Says", "2001:db8::2")
	p := v.visit(read)
	assert.Equal(t, http.StatusInternalServerError, p.StatusCode, "no address is nobody's session")
	assert.ErrorContains(t, failed.last(), "no client address")
}

func TestMemoryDoesNotTellClientsByAddressUnlessAsked(t *testing.T) {
	v := newVisitor(t, newManager(t, driverConfig(t, "memory")))
	v.visit(func(s *session.Session) { s.Set("key", "value") })
	v.stranger().visit(func(s *session.Session) { assert.Empty(t, s.All()) })
}

// redisConfig is the documented configuration for a server that runs.
func redisConfig(t *testing.T, server *redistest.Server, more string) session.Config {
	t.Helper()
	return parseConfig(t, fmt.Sprintf(`{"default": "redis", "redis": {"host": %q, "port": %d%s}}`,
		server.Host(), server.Port(), more))
}

// stores reports the status of a request that stores something and whether the next one has it.
func stores(t *testing.T, cfg session.Config) (status int, found bool) {
	t.Helper()
	v := newVisitor(t, newManager(t, cfg))
	status = v.visit(func(s *session.Session) { s.Set("key", "value") }).StatusCode
	v.visit(func(s *session.Session) { found = s.Get("key") == "value" })
	return status, found
}

func TestConfigKeysHostAndPortChooseTheServer(t *testing.T) {
	a, b := redistest.Start(t), redistest.Start(t)
	for _, server := range []*redistest.Server{a, b} {
		status, found := stores(t, redisConfig(t, server, ""))
		assert.Equal(t, http.StatusOK, status)
		assert.True(t, found)
	}
	assert.Len(t, a.Keys(t), 1)
	assert.Len(t, b.Keys(t), 1)
	assert.NotEqual(t, a.Keys(t), b.Keys(t))

	cfg := redisConfig(t, a, "")
	cfg.Redis.Host = "127.0.0.2" // the same machine, where the server does not listen
	status, found := stores(t, cfg)
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.False(t, found)
}

func TestConfigKeyPasswordIsSentToTheServer(t *testing.T) {
	server := redistest.Start(t, "--requirepass", "open sesame")
	tests := []struct {
		name, more string
		status     int
	}{
		{name: "right", more: `, "password": "open sesame"`, status: http.StatusOK},
		{name: "wrong", more: `, "password": "open"`, status: http.StatusInternalServerError},
		{name: "empty", more: `, "password": ""`, status: http.StatusInternalServerError},
		{name: "none, with a database", more: `, "options": {"db": 1}`, status: http.StatusInternalServerError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, found := stores(t, redisConfig(t, server, tt.more))
			assert.Equal(t, tt.status, status)
			assert.Equal(t, tt.status == http.StatusOK, found)
		})
	}
	assert.Len(t, server.Keys(t), 1)
}

func TestConfigKeyOptionsDBChoosesTheDatabase(t *testing.T) {
	server := redistest.Start(t)
	for _, db := range []int{0, 1, 9} {
		_, found := stores(t, redisConfig(t, server, fmt.Sprintf(`, "options": {"db": %d}`, db)))
		assert.True(t, found)
		conn := server.Conn(t, redis.DialDatabase(db))
		size, err := redis.Int(conn.Do("DBSIZE"))
		require.NoError(t, err)
		assert.Equal(t, 1, size, "database %d", db)
	}
	status, _ := stores(t, redisConfig(t, server, `, "options": {"db": 99}`))
	assert.Equal(t, http.StatusInternalServerError, status, "a database that is not there")
}

func TestConfigKeyTimeoutIsTheExpiryInTheServer(t *testing.T) {
	server := redistest.Start(t)
	m := newManager(t, redisConfig(t, server, `, "timeout": 3600`))
	clock := setClock(m)
	v := newVisitor(t, m)
	expiry := func(want time.Duration) {
		t.Helper()
		for key, left := range server.TTLs(t) {
			assert.InDelta(t, want.Seconds(), left.Seconds(), 5, key)
		}
		assert.Len(t, server.Keys(t), 1)
	}
	v.visit(func(s *session.Session) { s.Set("key", "value") })
	expiry(time.Hour)
	server.Conn(t).Do("PEXPIRE", server.Keys(t)[0], 60_000) // as if most of it had passed
	v.visit(read)
	expiry(time.Hour)
	for range 25 {
		clock.advance(55 * time.Minute)
		v.visit(read)
	}
	expiry(time.Hour)
	clock.advance(30 * time.Minute)
	v.visit(read)
	expiry(35 * time.Minute) // what the day leaves
}

func TestConfigKeyTimeoutEndsTheSession(t *testing.T) {
	server := redistest.Start(t)
	v := newVisitor(t, newManager(t, redisConfig(t, server, `, "timeout": 0.2`)))
	v.visit(func(s *session.Session) { s.Set("key", "value"); assert.NoError(t, s.Save()) })
	assert.Eventually(t, func() bool { return len(server.Keys(t)) == 0 }, 5*time.Second, 5*time.Millisecond,
		"the server forgets it by itself")
	v.visit(func(s *session.Session) { assert.True(t, s.IsNew()) })
}

func TestConfigKeyNamespaceBeginsEveryKey(t *testing.T) {
	server := redistest.Start(t)
	stores(t, redisConfig(t, server, `, "namespace": "masonite4"`))
	stores(t, redisConfig(t, server, ""))
	keys := server.Keys(t)
	require.Len(t, keys, 2)
	assert.Regexp(t, `^masonite4:session:[-_A-Za-z0-9]{43}$`, keys[0])
	assert.Regexp(t, `^session:session:[-_A-Za-z0-9]{43}$`, keys[1])
}

func TestNamespacesAreApart(t *testing.T) {
	server := redistest.Start(t)
	a := newVisitor(t, newManager(t, redisConfig(t, server, `, "namespace": "a"`)))
	b := newVisitor(t, newManager(t, redisConfig(t, server, `, "namespace": "b"`)))
	a.visit(func(s *session.Session) { s.Set("key", "value") })
	b.visit(func(s *session.Session) { assert.True(t, s.IsNew()); s.Destroy() }, "Cookie", a.cookieHeader())
	a.visit(func(s *session.Session) { assert.Equal(t, "value", s.Get("key")) })
}

func TestDocumentedConfigServesAsItStands(t *testing.T) {
	server := redistest.Start(t)
	text, err := os.ReadFile("testdata/session.json")
	require.NoError(t, err)
	served := strings.Replace(string(text), "6379", fmt.Sprint(server.Port()), 1)
	cfg := parseConfig(t, served)
	for _, name := range []string{"cookie", "redis"} {
		cfg.Default = name
		_, found := stores(t, cfg)
		assert.True(t, found, name)
	}
	conn := server.Conn(t, redis.DialDatabase(1))
	keys, err := redis.Strings(conn.Do("KEYS", "masonite4:session:*"))
	require.NoError(t, err)
	require.Len(t, keys, 1)
	left, err := redis.Int64(conn.Do("PTTL", keys[0]))
	require.NoError(t, err)
	assert.InDelta(t, time.Hour.Milliseconds(), left, 5000)
}

// A person who looks into the server can read what is in a session.
func TestStoredSessionIsReadableInTheServer(t *testing.T) {
	server := redistest.Start(t)
	newVisitor(t, newManager(t, redisConfig(t, server, ""))).visit(func(s *session.Session) {
		s.Set("name", "ann")
		s.Increment("visits", 3)
		s.Flash("success", "Saved")
	})
	fields, err := redis.StringMap(server.Conn(t).Do("HGETALL", server.Keys(t)[0]))
	require.NoError(t, err)
	assert.Equal(t, "'ann", fields["v:name"])
	assert.Equal(t, "3", fields["v:visits"])
	assert.True(t, strings.HasSuffix(fields["f:success"], "'Saved"), fields["f:success"])
}

func TestSessionsOutliveTheProcessThatMadeThem(t *testing.T) {
	server := redistest.Start(t)
	cfg := redisConfig(t, server, "")
	first := newVisitor(t, newManager(t, cfg))
	first.visit(func(s *session.Session) { s.Set("key", "value") })
	newVisitor(t, newManager(t, cfg)).visit(func(s *session.Session) {
		assert.Equal(t, "value", s.Get("key"))
	}, "Cookie", first.cookieHeader())
	assert.NoError(t, newManager(t, cfg).Ping(context.Background()))
}
