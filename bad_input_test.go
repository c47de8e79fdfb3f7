package session_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/redistest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNewManagerRefusesWhatCannotWorkAndSaysWhatToDo(t *testing.T) {
	tests := []struct {
		name string
		cfg  session.Config
		want []string
	}{
		{name: "unknown driver", cfg: session.Config{Default: "file", Secret: testSecret}, want: []string{`"file"`, "known are cookie, memory, redis"}},
		{name: "no secret", cfg: session.Config{}, want: []string{"Config.Secret: missing", "session.NewSecret", "head -c 32 /dev/urandom | base64"}},
		{name: "short secret", cfg: session.Config{Secret: testSecret[:31]}, want: []string{"Secret", "31 bytes", "32", "head -c 32 /dev/urandom | base64"}},
		{name: "repeated secret", cfg: session.Config{Secret: strings.Repeat("ab", 20)}, want: []string{"Secret", "head -c 32 /dev/urandom | base64"}},
		{name: "sample secret", cfg: session.Config{Secret: "change-me-change-me-change-me-change-me"}, want: []string{"Secret", "sample", "head -c 32 /dev/urandom | base64"}},
		{name: "sample as a previous secret", cfg: session.Config{Secret: testSecret, PreviousSecrets: []string{"your-secret-key-your-secret-key-12345"}}, want: []string{"PreviousSecrets[0]", "sample"}},
		{name: "a lifetime past browsers'", cfg: session.Config{Secret: testSecret, Lifetime: 401 * 24 * time.Hour}, want: []string{"Config.Lifetime", "400 days"}},
		{name: "all at once", cfg: session.Config{Default: "file", Secret: "x", Lifetime: -1}, want: []string{`"file"`, "Secret", "Lifetime"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := session.NewManager(tt.cfg)
			assert.Nil(t, m)
			for _, want := range tt.want {
				assert.ErrorContains(t, err, want)
			}
			if len(tt.cfg.Secret) > 1 {
				assert.NotContains(t, err.Error(), tt.cfg.Secret)
			}
		})
	}
}

func TestParseConfigRefusesWhatItDoesNotKnow(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{name: "unknown field", text: `{"redis": {"hosts": "a"}}`, want: `redis.hosts: unknown field (did you mean "host"?)`},
		{name: "unknown field of the top", text: `{"drivers": {}}`, want: "drivers: unknown field"},
		{name: "bad duration", text: `{"redis": {"timeout": "1 hour"}}`, want: `a string such as "90m"`},
		{name: "negative duration", text: `{"cookie": {"flash_ttl": -2}}`, want: "cookie.flash_ttl: a negative duration"},
		{name: "duration of another type", text: `{"lifetime": true}`, want: "lifetime: want a number of seconds"},
		{name: "not JSON", text: `{"default": 'cookie'}`, want: "line 1, column 13"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := session.ParseConfig([]byte(tt.text))
			assert.ErrorContains(t, err, "session: parse config: ")
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

func TestCookieDriverWithoutASecretIsToldAtUsing(t *testing.T) {
	m := newManager(t, session.Config{Default: "memory", Logger: quiet})
	p := newVisitor(t, m).visit(func(s *session.Session) {
		elsewhere, err := s.Using("cookie")
		assert.Nil(t, elsewhere)
		assert.ErrorContains(t, err, "the cookie driver needs Config.Secret")
		s.Set("k", 1)
	})
	assert.NotNil(t, p.cookie("s_memory"), "the request goes on")
}

// writers open a session in each way that a request can.
var writers = map[string]func(s *session.Session){
	"Get": func(s *session.Session) { s.Get("k") },
	"Set": func(s *session.Session) { s.Set("k", 1) },
	"All": func(s *session.Session) { s.All() },
	"Flash": func(s *session.Session) {
		s.Flash("k", 1)
	},
	"Regenerate": func(s *session.Session) { s.Regenerate(); s.Set("k", 1) },
	"Save":       func(s *session.Session) { s.Set("k", 1); s.Save() },
}

func TestUnreachableRedisIsA503AndNothingIsHalfWritten(t *testing.T) {
	cfg := session.Config{Default: "redis", Secret: testSecret, Redis: session.RedisConfig{Port: closedPort}}
	failed, log := recordFailures(&cfg), captureLog(&cfg)
	v := newVisitor(t, newManager(t, cfg))
	for name, do := range writers {
		t.Run(name, func(t *testing.T) {
			p := v.send(http.MethodGet, func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
				w.Header().Set("Location", "/welcome")
				elsewhere, err := s.Using("cookie")
				if assert.NoError(t, err) {
					elsewhere.Set("k", "not without the other")
				}
				do(s)
				w.WriteHeader(http.StatusFound)
				n, err := w.Write([]byte("welcome"))
				assert.Zero(t, n)
				assert.ErrorIs(t, err, session.ErrUnavailable)
				assert.ErrorIs(t, s.Err(), session.ErrUnavailable)
			}, "Cookie", "s_redis="+wellFormed)
			assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
			assert.Equal(t, "Service Unavailable\n", p.body, "no detail")
			assert.Equal(t, "1", p.Header.Get("Retry-After"))
			assert.Empty(t, p.Header["Set-Cookie"])
			assert.Empty(t, p.Header["Location"])
			assert.Equal(t, "no-store", p.Header.Get("Cache-Control"))
			assert.ErrorIs(t, failed.last(), session.ErrUnavailable)
			assert.ErrorContains(t, failed.last(), "redis")
		})
	}
	assert.Contains(t, log.text(), "session: the store is unavailable")
	assert.Contains(t, log.text(), fmt.Sprint("127.0.0.1:", closedPort), "the operator is told where")
	posted := v.send(http.MethodPost, func(_ http.ResponseWriter, _ *http.Request, s *session.Session) { s.Set("k", 1) })
	assert.Empty(t, posted.Header.Get("Retry-After"), "the outcome is unknown: it must not be sent again by itself")
}

func TestWrongPasswordIsA500ThatTheLogExplains(t *testing.T) {
	server := redistest.Start(t, "--requirepass", "open sesame")
	for _, password := range []string{"", "open says me"} {
		cfg := redisConfig(t, server, "")
		cfg.Redis.Password = password
		failed, log := recordFailures(&cfg), captureLog(&cfg)
		v := newVisitor(t, newManager(t, cfg))
		for name, do := range writers {
			p := v.visit(do, "Cookie", "s_redis="+wellFormed)
			assert.Equal(t, http.StatusInternalServerError, p.StatusCode, name)
			assert.Equal(t, "Internal Server Error\n", p.body, name)
			assert.Empty(t, p.Header["Set-Cookie"], name)
			assert.NotErrorIs(t, failed.last(), session.ErrUnavailable, name)
		}
		v.visit(func(s *session.Session) { s.Set("a", 1); s.Set("b", strings.Repeat("x", 1000)) })
		assert.NotErrorIs(t, failed.last(), session.ErrUnavailable, "a save that is the first command")
		assert.Contains(t, log.text(), "session: the store refuses this configuration")
		assert.NotContains(t, log.text(), "open says me")
	}
	assert.Empty(t, server.Keys(t))
}

// garbage are values that no client of ours sends.
var garbage = []string{
	"x", "=", "==", "%", "%00", "null", "undefined", "../../etc/passwd", "' OR 1=1 --", "<script>", "{}", "[]", "\xff\xfe", "é",
	strings.Repeat("A", 42), strings.Repeat("A", 44), wellFormed[:42] + "=", wellFormed[:42] + "B", wellFormed[:42] + "%",
	strings.Repeat("A", 54), strings.Repeat("A", 96), "AQ", "AQAAAAA", strings.Repeat("_", 4086), strings.Repeat("A", 4097), strings.Repeat("A", 60_000),
}

func TestGarbageInTheCookieIsClearedAndHarmsNothing(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		name := "s_" + cfg.Default
		v := newVisitor(t, m)
		for _, value := range garbage {
			p := v.stranger().visit(func(s *session.Session) {
				assert.Empty(t, s.All())
				assert.NoError(t, s.Err())
			}, "Cookie", name+"="+value)
			assert.Equal(t, http.StatusOK, p.StatusCode, "%.50q", value)
			if assert.NotNil(t, p.cookie(name), "%.50q", value) {
				assert.Equal(t, -1, p.cookie(name).MaxAge, "%.50q", value)
			}

			p = v.stranger().visit(func(s *session.Session) { s.Set("k", 1) }, "Cookie", name+"="+value)
			fresh := p.cookie(name)
			require.NotNil(t, fresh)
			assert.Len(t, p.Cookies(), 1, "%.50q", value)
			v.stranger().visit(func(s *session.Session) { assert.Equal(t, 1, s.Get("k")) }, "Cookie", name+"="+fresh.Value)
			p = v.stranger().visit(func(s *session.Session) { s.Destroy() }, "Cookie", name+"="+value)
			assert.Equal(t, http.StatusOK, p.StatusCode)
		}
		assert.Zero(t, m.Stats().Failed)
	})
}

// rawGet sends a request as it stands and returns the answer.
func rawGet(t *testing.T, url, headers string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	go fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n%sConnection: close\r\n\r\n", headers)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	t.Cleanup(func() { answer.Body.Close() })
	return answer
}

func TestCookieOfAMegabyteHarmsNothing(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		handler := newManager(t, cfg).Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, session.FromRequest(r).All())
		}))
		server := httptest.NewUnstartedServer(handler)
		server.Config.MaxHeaderBytes = 4 << 20
		server.Start()
		defer server.Close()
		name := "s_" + cfg.Default
		for what, header := range map[string]string{
			"one value":    "Cookie: " + name + "=" + strings.Repeat("A", 1<<20) + "\r\n",
			"many cookies": "Cookie: " + strings.Repeat("a=b; ", 1<<17) + name + "=" + wellFormed + "\r\n",
			"many of ours": "Cookie: " + strings.Repeat(name+"=A; ", 1<<15) + name + "=B\r\n",
			"many lines":   strings.Repeat("Cookie: "+name+"="+wellFormed+"\r\n", 1<<13),
			"a long name":  "Cookie: " + strings.Repeat(name, 1<<16) + "=1\r\n",
			"a long blank": "Cookie: " + name + "=" + strings.Repeat(" ", 1<<20) + "x\r\n",
		} {
			answer := rawGet(t, server.URL, header)
			assert.Equal(t, http.StatusOK, answer.StatusCode, what)
		}

		usual := httptest.NewServer(handler)
		defer usual.Close()
		answer := rawGet(t, usual.URL, "Cookie: "+name+"="+strings.Repeat("A", 1<<20+1<<13)+"\r\n")
		assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, answer.StatusCode, "net/http's own limit comes first")
	})
}

func TestEmptyCookieIsClearedAsGarbageIs(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		p := v.visit(func(s *session.Session) { assert.True(t, s.IsNew()) }, "Cookie", "s_"+cfg.Default+"=")
		assert.Equal(t, -1, p.cookie("s_"+cfg.Default).MaxAge)
	})
}

func TestLogOfGarbageHoldsNothingOfItAndDoesNotGrowWithIt(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		log := captureLog(&cfg)
		m := newManager(t, cfg)
		clock := setClock(m)
		v := newVisitor(t, m)
		for range 50 {
			v.visit(read, "Cookie", "s_"+cfg.Default+"=tampered-with")
		}
		assert.Equal(t, 1, strings.Count(log.text(), "\n"), log.text())
		clock.advance(time.Minute)
		v.visit(read, "Cookie", "s_"+cfg.Default+"=tampered-with")
		assert.Contains(t, log.text(), "more_since_last=49")
		assert.NotContains(t, log.text(), "tampered-with")
		assert.EqualValues(t, 51, m.Stats().Tampered)
	})
}

type node struct{ Next *node }

type sour struct{}

func (sour) MarshalJSON() ([]byte, error) { return nil, errors.New("secret detail") }

type bomb struct{}

func (bomb) MarshalJSON() ([]byte, error) { panic("secret detail") }

func TestWhatCannotBeStoredFailsTheRequestAndNothingOfItIsStored(t *testing.T) {
	cycle := new(node)
	cycle.Next = cycle
	long := strings.Repeat("k", 256)
	set := func(key string, value any) func(s *session.Session) {
		return func(s *session.Session) { s.Set(key, value) }
	}
	tests := []struct {
		name string
		do   func(s *session.Session)
		want []string
	}{
		{name: "channel", do: set("bad", make(chan int)), want: []string{`set "bad"`, "chan int"}},
		{name: "function", do: set("bad", func() {}), want: []string{`set "bad"`, "func()"}},
		{name: "complex number", do: set("bad", 1i), want: []string{`set "bad"`, "complex128"}},
		{name: "channel in a map", do: set("bad", map[string]any{"c": make(chan int)}), want: []string{`set "bad"`, "map[string]interface {}", "chan int"}},
		{name: "not a number in a slice", do: set("bad", []float64{math.NaN()}), want: []string{`set "bad"`, "[]float64", "NaN"}},
		{name: "map of structs", do: set("bad", map[node]int{{}: 1}), want: []string{`set "bad"`, "map[session_test.node]int"}},
		{name: "value that contains itself", do: set("bad", cycle), want: []string{`set "bad"`, "*session_test.node"}},
		{name: "method that fails", do: set("bad", sour{}), want: []string{`set "bad"`, "session_test.sour"}},
		{name: "method that panics", do: set("bad", bomb{}), want: []string{`set "bad"`, "session_test.bomb"}},
		{name: "flash", do: func(s *session.Session) { s.Flash("bad", make(chan int)) }, want: []string{`flash "bad"`, "chan int"}},
		{name: "flash for now", do: func(s *session.Session) { s.FlashNow("bad", make(chan int)) }, want: []string{`flash "bad"`, "chan int"}},
		{name: "typed key", do: func(s *session.Session) {
			session.Key[chan int]("bad").Set(s, nil)
			session.Key[sour]("bad").Set(s, sour{})
		}, want: []string{`set "bad"`}},
		{name: "empty key", do: set("", 1), want: []string{`set ""`, "a key has 1 to 255 bytes, this one has 0"}},
		{name: "key of 256 bytes", do: set(long, 1), want: []string{`set "kkk`, "a key has 1 to 255 bytes, this one has 256"}},
		{name: "empty key of flash", do: func(s *session.Session) { s.Flash("", 1) }, want: []string{`flash ""`, "1 to 255"}},
		{name: "long key of flash", do: func(s *session.Session) { s.Flash(long, 1) }, want: []string{"flash", "1 to 255"}},
		{name: "empty key to count", do: func(s *session.Session) { s.Increment("", 1) }, want: []string{`increment ""`, "1 to 255"}},
		{name: "long key to count", do: func(s *session.Session) { s.Decrement(long, 1) }, want: []string{"increment", "1 to 255"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, cfg session.Config) {
				other := "memory"
				if cfg.Default == other {
					other = "cookie"
				}
				failed := recordFailures(&cfg)
				v := newVisitor(t, newManager(t, cfg))
				v.visit(func(s *session.Session) { s.Set("good", "old") })
				p := v.visit(func(s *session.Session) {
					s.Set("good", "new")
					elsewhere, err := s.Using(other)
					if assert.NoError(t, err) {
						elsewhere.Set("good", "there")
					}
					s.Destroy()
					s.Set("good", "newer")
					tt.do(s)
					assert.Error(t, s.Err())
					assert.Nil(t, s.Get("bad"))
					assert.Error(t, s.Save(), "nor can it be saved before the end")
				})
				assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
				assert.Equal(t, "Internal Server Error\n", p.body)
				assert.Empty(t, p.Header["Set-Cookie"])
				for _, want := range tt.want {
					assert.ErrorContains(t, failed.last(), want)
				}
				assert.NotContains(t, failed.last().Error(), "secret detail")
				v.visit(func(s *session.Session) {
					assert.Equal(t, map[string]any{"good": "old"}, s.All(), "all is as it was")
					elsewhere, err := s.Using(other)
					if assert.NoError(t, err) {
						assert.Empty(t, elsewhere.All())
					}
				})
			})
		})
	}
}

func TestReadingUnderAnImpossibleKeyFindsNothing(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) { s.Set("k", 1) })
		p := v.visit(func(s *session.Session) {
			for _, key := range []string{"", strings.Repeat("k", 256), strings.Repeat("k", 1<<20)} {
				assert.Nil(t, s.Get(key))
				assert.False(t, s.Has(key))
				assert.False(t, s.Delete(key))
				assert.Nil(t, s.Pull(key))
				assert.ErrorIs(t, s.Scan(key, new(int)), session.ErrNoValue)
				s.KeepFlash(key)
			}
			assert.NoError(t, s.Err())
		})
		assert.Equal(t, http.StatusOK, p.StatusCode)
	})
}

func TestPayloadPast4096BytesLeavesTheOldSession(t *testing.T) {
	cfg := driverConfig(t, "cookie")
	failed := recordFailures(&cfg)
	v := newVisitor(t, newManager(t, cfg))
	v.visit(func(s *session.Session) { s.Set("user", "ann") })
	before := v.cookieHeader()
	p := v.serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
		elsewhere, err := s.Using("memory")
		if assert.NoError(t, err) {
			elsewhere.Set("k", 1)
		}
		s.Set("cart", strings.Repeat("x", 3000))
		s.Flash("small", "y")
		s.Set("story", strings.Repeat("y", 2000))
		assert.Error(t, s.Save())
		fmt.Fprint(w, "saved!")
	})
	assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
	assert.NotContains(t, p.body, "saved!")
	assert.Empty(t, p.Header["Set-Cookie"], "nor is the other driver's session stored")
	assert.Equal(t, before, v.cookieHeader())

	var size *session.SizeError
	require.ErrorAs(t, failed.last(), &size)
	assert.Equal(t, 4096, size.Limit)
	assert.Greater(t, size.Size, 5000)
	require.Len(t, size.Largest, 3)
	assert.Equal(t, []string{"cart", "story", "user"}, []string{size.Largest[0].Key, size.Largest[1].Key, size.Largest[2].Key})
	assert.ErrorContains(t, size, "store less, or choose the memory or redis driver")
	v.visit(func(s *session.Session) { assert.Equal(t, map[string]any{"user": "ann"}, s.All()) })
}

func TestServerSideDriversTakeWhatNoCookieHolds(t *testing.T) {
	for _, name := range []string{"memory", "redis"} {
		v := newVisitor(t, newManager(t, driverConfig(t, name)))
		text := strings.Repeat("x", 1<<20)
		v.visit(func(s *session.Session) { s.Set("text", text) })
		v.visit(func(s *session.Session) { assert.Equal(t, text, s.Get("text"), name) })
	}
}

// conflicting returns two managers that use the same cookies, and what requests failed with.
func conflicting(t *testing.T, outerDriver, innerDriver string) (outer, inner *session.Manager, failed *failures) {
	t.Helper()
	cfg := driverConfig(t, outerDriver)
	failed = recordFailures(&cfg)
	outer = newManager(t, cfg)
	cfg.Default = innerDriver
	return outer, newManager(t, cfg), failed
}

func TestTwoManagersOfOneCookieNameAreToldApartByAnError(t *testing.T) {
	for _, name := range driverNames {
		t.Run(name, func(t *testing.T) {
			outer, inner, failed := conflicting(t, name, name)
			called := false
			p := newBrowser(t, outer.Middleware(inner.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				called = true
			})))).get("/")
			assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
			assert.False(t, called, "the handler would work on two sessions of which one is lost")
			assert.Empty(t, p.Header["Set-Cookie"])
			assert.ErrorContains(t, failed.last(), `session: two managers use the cookie "s_`+name+`"`)
			assert.ErrorContains(t, failed.last(), "CookieAttributes.Prefix")
		})
	}
}

func TestTwoManagersOfOneCookieNameMeetByUsing(t *testing.T) {
	t.Run("the inner one's", func(t *testing.T) {
		outer, inner, _ := conflicting(t, "memory", "cookie")
		p := newBrowser(t, outer.Middleware(inner.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, err := inner.FromContext(r.Context()).Using("memory")
			assert.ErrorContains(t, err, "CookieAttributes.Prefix")
		})))).get("/")
		assert.Equal(t, http.StatusOK, p.StatusCode)
	})
	t.Run("the outer one's, before", func(t *testing.T) {
		outer, inner, failed := conflicting(t, "memory", "cookie")
		p := newBrowser(t, outer.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := session.FromRequest(r).Using("cookie")
			assert.NoError(t, err)
			inner.Middleware(http.NotFoundHandler()).ServeHTTP(w, r)
		}))).get("/")
		assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
		assert.ErrorContains(t, failed.last(), "CookieAttributes.Prefix")
	})
	t.Run("the outer one's, inside", func(t *testing.T) {
		outer, inner, _ := conflicting(t, "memory", "cookie")
		p := newBrowser(t, outer.Middleware(inner.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			inner.FromContext(r.Context()).Set("k", "inner")
			s, err := outer.FromContext(r.Context()).Using("cookie")
			if assert.ErrorContains(t, err, "CookieAttributes.Prefix") {
				return
			}
			s.Set("k", "outer")
		})))).get("/")
		assert.Len(t, p.Cookies(), 1)
	})
}

// An error handler of the application's own answers in place of the handler, and sees the cause.
func TestErrorHandlerAnswersInPlaceOfTheHandler(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
			assert.ErrorContains(t, err, `set ""`)
			assert.NotNil(t, session.FromRequest(r))
			w.Header().Set("Content-Type", "text/x-own")
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, "own answer")
		}
		p := newVisitor(t, newManager(t, cfg)).serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
			s.Set("", 1)
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Etag", `"x"`)
			fmt.Fprint(w, "the handler's answer")
		})
		assert.Equal(t, http.StatusTeapot, p.StatusCode)
		assert.Equal(t, "own answer", p.body)
		assert.Equal(t, "text/x-own", p.Header.Get("Content-Type"))
		assert.Equal(t, "no-store", p.Header.Get("Cache-Control"))
		assert.Empty(t, p.Header.Get("Etag"))
	})
}

// A driver that fails in ways that the library does not know is a store that is unavailable.
type faultyDriver struct {
	session.Driver
	load, save error
}

func (d *faultyDriver) Load(ctx context.Context, tok session.Token, now time.Time) (*session.Record, error) {
	if d.load != nil {
		return nil, d.load
	}
	return d.Driver.Load(ctx, tok, now)
}

func (d *faultyDriver) Save(ctx context.Context, rec *session.Record, ch *session.Changes) (session.Token, error) {
	if d.save != nil {
		return session.Token{}, d.save
	}
	return d.Driver.Save(ctx, rec, ch)
}

func TestErrorOfADriverNeverLooksLikeNoSession(t *testing.T) {
	driver := &faultyDriver{Driver: session.NewMemoryDriver(session.MemoryConfig{})}
	cfg := driverConfig(t, "memory")
	cfg.Default, cfg.Drivers = "own", map[string]session.Driver{"own": driver}
	failed := recordFailures(&cfg)
	v := newVisitor(t, newManager(t, cfg))
	v.visit(func(s *session.Session) { s.Set("user", "ann") })
	disk := errors.New("disk full")

	driver.load = disk
	p := v.visit(func(s *session.Session) { s.Set("user", "nobody") })
	assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
	assert.ErrorIs(t, failed.last(), disk)
	assert.ErrorIs(t, failed.last(), session.ErrUnavailable)

	driver.load, driver.save = nil, disk
	p = v.visit(func(s *session.Session) { s.Set("user", "nobody") })
	assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
	assert.ErrorIs(t, failed.last(), disk)

	driver.save = nil
	v.visit(func(s *session.Session) { assert.Equal(t, "ann", s.Get("user")) })
}
