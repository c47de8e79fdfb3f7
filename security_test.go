package session_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
)

// SECURITY.md names, for each requirement, the test here or elsewhere that holds it.

// Identifiers.

func TestTokensHave256BitsAndOneSpelling(t *testing.T) {
	value := session.NewToken("s_memory").Value()
	raw, err := base64.RawURLEncoding.Strict().DecodeString(value)
	require.NoError(t, err)
	assert.Len(t, raw, 32)
	assert.Len(t, value, 43)
}

// Of a million 64-bit beginnings that are random, two coincide once in 37 million runs.
func TestAMillionTokensAreDistinct(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	begin := make([]uint64, 1_000_000)
	for i := range begin {
		raw, err := base64.RawURLEncoding.DecodeString(session.NewToken("").Value()[:11])
		if err != nil {
			t.Fatal(err)
		}
		begin[i] = binary.BigEndian.Uint64(raw)
	}
	slices.Sort(begin)
	assert.Len(t, slices.Compact(begin), 1_000_000)
}

// Each byte is expected 400 times at each position; 160 more or less are eight standard deviations.
func TestTokensAreUniformAtEveryByte(t *testing.T) {
	const n = 400 * 256
	var counts [32][256]int
	for range n {
		raw, err := base64.RawURLEncoding.DecodeString(session.NewToken("").Value())
		if err != nil {
			t.Fatal(err)
		}
		for at, value := range raw {
			counts[at][value]++
		}
	}
	for at := range counts {
		assert.InDelta(t, 400, slices.Min(counts[at][:]), 160, "the rarest byte at %d", at)
		assert.InDelta(t, 400, slices.Max(counts[at][:]), 160, "the most frequent byte at %d", at)
	}
}

// math/rand names saves and nothing else; no package that makes identifiers of its own is used.
func TestIdentifiersComeFromTheSystemsGeneratorOnly(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var drawing []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, spec := range parsed.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			if path == "crypto/rand" {
				drawing = append(drawing, file)
			}
			if strings.HasPrefix(path, "math/rand") {
				assert.Equal(t, "changes.go", file, "%s imports %s", file, path)
			}
			outside := strings.Contains(strings.Split(path, "/")[0], ".")
			assert.True(t, !outside || strings.HasPrefix(path, "github.com/gomodule/redigo/"), "%s imports %s", file, path)
		}
	}
	assert.Subset(t, drawing, []string{"commit.go", "crypto.go", "token.go"})
}

func TestCookieNamesTellOnlyTheDriver(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		p := s.ask("", func(own *session.Session) { own.Set("k", 1); own.Flash("f", 1) })
		for _, c := range p.Cookies() {
			assert.Contains(t, []string{"s_" + s.cfg.Default, "s_" + s.cfg.Default + "_f"}, c.Name)
		}
	})
}

func TestATokenInAQueryAFormOrAHeaderIsNotLookedAt(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		cookie := s.signIn()
		name, value := s.cookie, valueOf(cookie)
		server := httptest.NewServer(s.m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, session.FromRequest(r).IsNew())
		})))
		defer server.Close()
		form := strings.NewReader(name + "=" + value)
		r, err := http.NewRequest(http.MethodPost, server.URL+"/"+name+"="+value+"?"+name+"="+value, form)
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for _, field := range []string{name, "Authorization", "X-Session", "Set-Cookie", "Cookie2", "X-Cookie"} {
			r.Header.Set(field, cookie)
		}
		response, err := server.Client().Do(r)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Equal(t, "true", string(body))
	})
}

func TestAnEmptyTokenIsNoToken(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		p := s.ask(s.cookie+"=", func(own *session.Session) {
			assert.True(t, own.IsNew())
			own.Set("k", 1)
		})
		assert.Greater(t, len(valueOf(s.token(p))), 40)
	})
	for name, driver := range driversToCall(t) {
		t.Run("called "+name, func(t *testing.T) {
			none := session.NewToken("s_" + name).WithValue("")
			ch := changes(t, session.ChangesBuilder{NewToken: none, Ops: []session.Op{{Kind: session.OpSet, Key: "k", Value: "1"}}})
			driver.Save(t.Context(), nil, ch) // whatever it makes of that, nobody can open it
			for _, tok := range []session.Token{none, {}} {
				_, err := driver.Load(t.Context(), tok, time.Now())
				assert.ErrorIs(t, err, session.ErrNoSession)
				assert.NoError(t, driver.Destroy(t.Context(), tok))
			}
		})
	}
}

// driversToCall returns drivers to be called without a manager.
func driversToCall(t *testing.T) map[string]session.Driver {
	t.Helper()
	redis, err := session.NewRedisDriver(driverConfig(t, "redis").Redis)
	require.NoError(t, err)
	t.Cleanup(func() { redis.Close() })
	cookie, err := session.NewCookieDriver(session.CookieConfig{}, testSecret)
	require.NoError(t, err)
	return map[string]session.Driver{
		"memory": session.NewMemoryDriver(session.MemoryConfig{}), "redis": redis, "cookie": cookie,
		"store": session.StoreDriver(newCountingStore()),
	}
}

// changes builds changes of an hour's life.
func changes(t *testing.T, b session.ChangesBuilder) *session.Changes {
	t.Helper()
	b.Now = time.Now()
	b.Limits = session.Limits{Lifetime: time.Hour, Idle: time.Hour}
	ch, err := b.Build()
	require.NoError(t, err)
	return ch
}

// Two tokens never coincide; if they did, one session must not become another.
func TestATakenTokenIsNeverOverwritten(t *testing.T) {
	for name, driver := range driversToCall(t) {
		if name == "cookie" {
			continue // there is nothing to take: the token is the session
		}
		t.Run(name, func(t *testing.T) {
			ann := newSessionOf(t, driver, name, "ann", 1)
			bob := newSessionOf(t, driver, name, "bob", 2)

			create := changes(t, session.ChangesBuilder{NewToken: ann, Number: 3, Ops: setUser("eve")})
			_, err := driver.Save(t.Context(), nil, create)
			assert.Error(t, err, "create")

			rec, err := driver.Load(t.Context(), bob, time.Now())
			require.NoError(t, err)
			rotate := changes(t, session.ChangesBuilder{NewToken: ann, Number: 4, Rotates: true, Ops: setUser("eve")})
			_, err = driver.Save(t.Context(), rec, rotate)
			assert.Error(t, err, "rotate")

			for tok, want := range map[session.Token]string{ann: "'ann", bob: "'bob"} {
				rec, err := driver.Load(t.Context(), tok, time.Now())
				require.NoError(t, err)
				user, _ := rec.Value("user")
				assert.Equal(t, want, user)
			}
		})
	}
}

func setUser(name string) []session.Op {
	return []session.Op{{Kind: session.OpSet, Key: "user", Value: "'" + name}}
}

func newSessionOf(t *testing.T, driver session.Driver, scope, user string, number uint64) session.Token {
	t.Helper()
	tok := session.NewToken(scope)
	_, err := driver.Save(t.Context(), nil, changes(t, session.ChangesBuilder{NewToken: tok, Number: number, Ops: setUser(user)}))
	require.NoError(t, err)
	return tok
}

// Life cycle.

func TestARegeneratedTokenOpensNothingAtOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		before := s.token(s.ask("", func(own *session.Session) { own.Set("cart", 1) }))
		after := s.token(s.ask(before, func(own *session.Session) {
			own.Regenerate()
			own.Set("user", "ann")
		}))
		assert.NotEqual(t, before, after)
		assert.Equal(t, "ann", s.user(after))
		s.ask(before, func(own *session.Session) {
			assert.Empty(t, own.All())
			assert.ErrorIs(t, own.Open(), session.ErrEnded)
		})
	})
}

// A rotation is not skipped because nothing else changed, nor because the user stays the same.
func TestRegenerateAloneReplacesTheToken(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		first := s.signIn()
		second := s.token(s.ask(first, func(own *session.Session) { own.Regenerate() }))
		third := s.token(s.ask(second, func(own *session.Session) { own.Regenerate(); own.Set("user", "ann") }))
		assert.NotEqual(t, first, second)
		assert.NotEqual(t, second, third)
		assert.Equal(t, "ann", s.user(third))
		assert.Empty(t, s.user(second))
	})
}

// A handle is derived from the session, not from the token, and must still change with it.
func TestHandleChangesWithTheToken(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		handle := func(cookie string) (h string) {
			s.ask(cookie, func(own *session.Session) { h = own.Handle() })
			return h
		}
		first := s.signIn()
		second := s.token(s.ask(first, func(own *session.Session) { own.Set("k", 1); own.Regenerate() }))
		before, after := handle(first), handle(second)
		assert.NotEqual(t, before, after)
		assert.Len(t, after, 22)
		assert.NotContains(t, second, after)
	})
}

// A signed-out cookie is dead on every driver; on the cookie driver within the process, for as
// long as a tombstone stands. See the next test for what it cannot do.
func TestASignedOutCookieOpensNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		cookie := s.signIn()
		s.ask(cookie, func(own *session.Session) { own.Destroy() })
		assert.Empty(t, s.user(cookie))
		s.clock.advance(session.Tombstone - time.Millisecond)
		assert.Empty(t, s.user(cookie))
		if s.cfg.Default != "cookie" {
			s.clock.advance(time.Minute)
			assert.Empty(t, s.user(cookie))
		}
	})
}

// This is no promise but the limit that SECURITY.md states. Where it falls, the text falls too.
func TestACopiedSealedCookieOpensInAnotherProcessAfterSignOut(t *testing.T) {
	one, other := newSite(t, "cookie"), newSite(t, "cookie")
	cookie := one.signIn()
	one.ask(cookie, func(own *session.Session) { own.Destroy() })
	require.Empty(t, one.user(cookie))
	assert.Equal(t, "ann", other.user(cookie), "it cannot know")

	other.clock.advance(time.Hour)
	assert.Empty(t, other.user(cookie), "its limits end it")
}

func TestIdleTimeoutIsTheServersWhateverTheBrowserKeeps(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		cookie := s.signIn()
		s.clock.advance(9 * time.Minute)
		p := s.ask(cookie, func(own *session.Session) { assert.Equal(t, "ann", own.Get("user")) })
		if c := p.cookie(s.cookie); c != nil { // the cookie driver notes the use in the cookie
			cookie = c.Name + "=" + c.Value
		}
		s.clock.advance(10 * time.Minute)
		assert.Empty(t, s.user(cookie), "idle for its timeout")
	}, func(cfg *session.Config) { cfg.IdleTimeout = 10 * time.Minute })
}

func TestNoActivityExtendsTheLifetime(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		cookie := s.signIn()
		for range 11 {
			s.clock.advance(5 * time.Minute)
			p := s.ask(cookie, func(own *session.Session) {
				require.Equal(t, "ann", own.Get("user"))
				own.Increment("views", 1)
			})
			if c := p.cookie(s.cookie); c != nil {
				cookie = c.Name + "=" + c.Value
				assert.LessOrEqual(t, c.MaxAge, 55*60, "the browser's limit shrinks with it")
			}
		}
		s.clock.advance(5 * time.Minute)
		assert.Empty(t, s.user(cookie))
	}, func(cfg *session.Config) { cfg.Lifetime, cfg.IdleTimeout = time.Hour, 30*time.Minute })
}

func TestASlowRequestDoesNotReviveASessionThatEnded(t *testing.T) {
	onServers(t, func(t *testing.T, s *site) {
		cookie := s.signIn()
		p := s.ask(cookie, func(slow *session.Session) {
			require.Equal(t, "ann", slow.Get("user"))
			signOutBeside(t, s, cookie)
			slow.Set("late", true)
		})
		assert.Empty(t, p.Cookies())
		assert.Empty(t, s.user(cookie))
		assert.EqualValues(t, 1, s.m.Stats().Dropped)
	})
}

// signOutBeside signs out while another request is under way.
func signOutBeside(t *testing.T, s *site, cookie string) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", cookie)
	w := httptest.NewRecorder()
	s.m.Middleware(httpHandler(func(own *session.Session) { own.Destroy() })).ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code)
}

func TestSigningOutAVisitorStoresNothing(t *testing.T) {
	onServers(t, func(t *testing.T, s *site) {
		for _, do := range []func(own *session.Session){
			(*session.Session).Destroy, (*session.Session).Flush, (*session.Session).Reset,
			(*session.Session).ResetFlash, (*session.Session).Regenerate,
			func(own *session.Session) { own.Set("k", 1); own.Delete("k") },
			func(own *session.Session) { own.Set("k", 1); own.Destroy() },
			func(own *session.Session) { own.Get("k"); own.Has("k"); own.All(); own.Handle() },
		} {
			p := s.ask("", do)
			assert.Empty(t, p.Cookies())
			assert.Zero(t, s.stored())
		}
	})
}

func TestAnEmptiedSessionIsStoredAsEmpty(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		for _, empty := range []func(own *session.Session){
			(*session.Session).Flush,
			func(own *session.Session) { own.Delete("user") },
			func(own *session.Session) { own.Pull("user") },
		} {
			cookie := s.signIn()
			p := s.ask(cookie, empty)
			if c := p.cookie(s.cookie); c != nil {
				cookie = c.Name + "=" + c.Value
			}
			assert.Empty(t, s.user(cookie))
		}
	})
}

// Keys and stores.

func TestAStoreDumpHoldsNoToken(t *testing.T) {
	onServers(t, func(t *testing.T, s *site) {
		if s.cfg.Default == "memory" {
			t.Skip("see TestMemoryKeepsHashesOfTokens")
		}
		value := valueOf(s.signIn())
		dump := s.dump()
		require.NotEmpty(t, dump)
		for _, line := range dump {
			assert.NotContains(t, line, value)
			assert.NotContains(t, line, value[:12])
		}
	})
}

// dump returns everything that the store of a site keeps.
func (s *site) dump() (lines []string) {
	s.t.Helper()
	if s.store != nil {
		return s.store.dump()
	}
	conn := s.redis()
	for _, key := range storedKeys(s.t, conn, s.cfg.Redis.Namespace) {
		fields, err := redis.Strings(conn.Do("HGETALL", key))
		require.NoError(s.t, err)
		lines = append(lines, key+" "+strings.Join(fields, " "))
	}
	return lines
}

// Managers with different prefixes share a store and not a session.
func TestATokenOfAnotherManagerOpensNothing(t *testing.T) {
	shared := newSite(t, "redis")
	admin := &site{t: t, cfg: shared.cfg, cookie: "admin_redis"}
	admin.cfg.CookieAttributes.Prefix = "admin_"
	admin.open()
	value := valueOf(shared.signIn())
	require.Equal(t, "ann", shared.user("s_redis="+value))
	assert.Empty(t, admin.user("admin_redis="+value))
}

func TestEveryStoredKeyHasItsPrefixAndAnExpiry(t *testing.T) {
	s := newSite(t, "redis", func(cfg *session.Config) { cfg.IdleTimeout = time.Minute })
	handler := s.m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { mixedTraffic(r) }))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			cookie := ""
			for i := range 40 {
				r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("/%d", i%8), nil)
				r.Header.Set("Cookie", cookie)
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				if c := (page{Response: w.Result()}).cookie("s_redis"); c != nil {
					cookie = c.Name + "=" + c.Value
				}
			}
		})
	}
	wg.Wait()
	conn := s.redis()
	keys := storedKeys(t, conn, s.cfg.Redis.Namespace)
	require.NotEmpty(t, keys)
	for _, key := range keys {
		assert.Regexp(t, "^"+s.cfg.Redis.Namespace+":session:[A-Za-z0-9_-]{43}$", key)
		left, err := redis.Int(conn.Do("PTTL", key))
		require.NoError(t, err)
		assert.True(t, left > 0 && left <= 60_000, "%d ms", left)
	}
}

func mixedTraffic(r *http.Request) {
	s := session.FromRequest(r)
	switch r.URL.Path {
	case "/0", "/1":
		s.Increment("n", 1)
	case "/2":
		s.Flash("f", "v")
	case "/3":
		s.Regenerate()
	case "/4":
		s.Flush()
	case "/5":
		s.Get("n")
	case "/6":
		s.Remember(30 * time.Second)
	case "/7":
		s.Destroy()
		s.Set("n", 1)
	}
}

func TestKeysAndValuesOfAnyBytesStayWhatTheyAre(t *testing.T) {
	keys := []string{"v:user", "f:user", "@created", "@idle", "@ended", "user\x00", "\x00", "\xff\xfe", "a b", "a\nb", "{x}", "*",
		"user=eve; Path=/", strings.Repeat("k", 255)}
	everywhere(t, func(t *testing.T, s *site) {
		cookie := s.token(s.ask("", func(own *session.Session) {
			own.Set("user", "ann")
			for _, key := range keys {
				own.Set(key, "value of "+key)
				own.Flash(key, "flash of "+key)
			}
		}))
		s.ask(cookie, func(own *session.Session) {
			for _, key := range keys {
				assert.Equal(t, "flash of "+key, own.Get(key))
			}
			own.ResetFlash()
			for _, key := range keys {
				assert.Equal(t, "value of "+key, own.Get(key))
			}
			assert.Equal(t, "ann", own.Get("user"))
			assert.Len(t, own.All(), len(keys)+1)
		})
	})
}

// Whoever has the secret, or the store, writes values; reading them untyped gives plain data.
func TestReadingGivesPlainDataOnly(t *testing.T) {
	var plain func(v any) bool
	plain = func(v any) bool {
		switch v := v.(type) {
		case nil, string, bool, int, int64, uint64, float64:
			return true
		case []any:
			return !slices.ContainsFunc(v, func(e any) bool { return !plain(e) })
		case map[string]any:
			for _, e := range v {
				if !plain(e) {
					return false
				}
			}
			return true
		}
		return false
	}
	s := newSite(t, "cookie")
	cookie := s.token(s.ask("", func(own *session.Session) {
		own.Set("object", map[string]any{"__type__": "os/exec.Cmd", "$type": "x", "@type": []any{1, 2.5, nil, "rm"}})
		own.Set("time", time.Now())
		own.Set("bytes", []byte{1})
		own.Set("struct", struct{ A any }{A: 1})
	}))
	s.ask(cookie, func(own *session.Session) {
		require.Len(t, own.All(), 4)
		assert.True(t, plain(own.All()), "%T", own.All())
	})
}

// The four stages of SECURITY.md, server by server: at each step each server opens what any
// server has sealed, and at the end the old secret opens nothing.
func TestSecretsRotateServerByServer(t *testing.T) {
	oldSecret, newSecret := session.NewSecret(), session.NewSecret()
	stages := []func(*session.Config){
		func(cfg *session.Config) { cfg.Secret = oldSecret },
		func(cfg *session.Config) { cfg.Secret, cfg.PreviousSecrets = oldSecret, []string{newSecret} },
		func(cfg *session.Config) { cfg.Secret, cfg.PreviousSecrets = newSecret, []string{oldSecret} },
		func(cfg *session.Config) { cfg.Secret = newSecret },
	}
	at := make([]*site, len(stages))
	for i, stage := range stages {
		at[i] = newSite(t, "cookie", stage)
	}
	for i := range len(stages) - 1 {
		old, next := at[i], at[i+1]
		assert.Equal(t, "ann", next.user(old.signIn()), "from stage %d to %d", i, i+1)
		if i < 2 { // in the last one, what the old secret sealed is over: Lifetime has passed
			assert.Equal(t, "ann", old.user(next.signIn()), "from stage %d back to %d", i+1, i)
		}
	}
	assert.Empty(t, at[3].user(at[0].signIn()), "a revoked secret opens nothing")
	assert.Empty(t, at[3].user(at[1].signIn()), "a secret that only opens seals nothing")
}

// What a previous secret sealed is sealed anew at its next use.
func TestACookieOfAPreviousSecretIsSealedAnew(t *testing.T) {
	oldSecret := session.NewSecret()
	before := newSite(t, "cookie", func(cfg *session.Config) { cfg.Secret = oldSecret })
	during := newSite(t, "cookie", func(cfg *session.Config) { cfg.PreviousSecrets = []string{oldSecret} })
	after := newSite(t, "cookie")
	cookie := before.signIn()
	require.Empty(t, after.user(cookie))
	cookie = during.token(during.ask(cookie, func(own *session.Session) { own.Get("user") }))
	assert.Equal(t, "ann", after.user(cookie))
}

func TestSealingDoesNotCompress(t *testing.T) {
	s := newSite(t, "cookie")
	size := func(text string) int {
		return len(s.token(s.ask("", func(own *session.Session) { own.Set("k", text) })))
	}
	assert.Equal(t, size(session.NewSecret()+session.NewSecret()), size(strings.Repeat("a", 86)))
}

const fipsTrafficChild = "SESSION_TEST_FIPS_TRAFFIC_CHILD"

// GODEBUG is read when a program starts, so the test starts itself again.
func TestEveryDriverRunsWhereOnlyFIPSIsAllowed(t *testing.T) {
	if os.Getenv(fipsTrafficChild) != "" {
		everywhere(t, func(t *testing.T, s *site) {
			cookie := s.token(s.ask(s.signIn(), func(own *session.Session) { own.Regenerate() }))
			assert.Equal(t, "ann", s.user(cookie))
			s.ask(cookie, func(own *session.Session) { own.Destroy() })
			assert.Empty(t, s.user(cookie))
		})
		return
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe, "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only", fipsTrafficChild+"=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Equal(t, 5, strings.Count(string(out), "--- PASS: "), "%s", out)
}

// Failure.

// A failingDriver fails the operations that are switched on.
type failingDriver struct {
	session.Driver
	load, save, destroy error
}

func (d *failingDriver) Load(ctx context.Context, tok session.Token, now time.Time) (*session.Record, error) {
	if d.load != nil {
		return nil, d.load
	}
	return d.Driver.Load(ctx, tok, now)
}

func (d *failingDriver) Save(ctx context.Context, rec *session.Record, ch *session.Changes) (session.Token, error) {
	if d.save != nil {
		return session.Token{}, d.save
	}
	return d.Driver.Save(ctx, rec, ch)
}

func (d *failingDriver) Destroy(ctx context.Context, tok session.Token) error {
	if d.destroy != nil {
		return d.destroy
	}
	return d.Driver.Destroy(ctx, tok)
}

// Nothing of an answer that rests on a session which could not be loaded, or stored, leaves; no
// cookie is set or cleared, so that nobody is signed out; and the client learns nothing.
func TestAStoreFailureIsNeitherASessionNorNone(t *testing.T) {
	broken := errors.New("store s3cr3t.internal:6379 refused ann's session")
	for name, fail := range map[string]func(d *failingDriver){
		"load":    func(d *failingDriver) { d.load = broken },
		"save":    func(d *failingDriver) { d.save = broken },
		"destroy": func(d *failingDriver) { d.destroy = broken },
	} {
		t.Run(name, func(t *testing.T) {
			driver := &failingDriver{Driver: session.NewMemoryDriver(session.MemoryConfig{})}
			s := newSite(t, "memory", func(cfg *session.Config) {
				cfg.Drivers = map[string]session.Driver{"failing": driver}
				cfg.Default = "failing"
			})
			s.cookie = "s_failing"
			cookie := s.signIn()
			fail(driver)
			p := s.visit(cookie, func(w http.ResponseWriter, _ *http.Request, own *session.Session) {
				own.Get("user")
				own.Set("k", 1)
				if name == "destroy" {
					own.Destroy()
				}
				w.Header().Set("X-Page", "the handler's")
				fmt.Fprint(w, "a page for a visitor")
			})
			assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
			assert.Equal(t, "Service Unavailable\n", p.body)
			assert.Empty(t, p.Cookies())
			assert.NotContains(t, fmt.Sprint(p.Header), "s3cr3t")

			*driver = failingDriver{Driver: driver.Driver}
			assert.Equal(t, "ann", s.user(cookie), "the session is what it was")
		})
	}
}

func TestWhatClientsCauseIsCounted(t *testing.T) {
	onServers(t, func(t *testing.T, s *site) {
		cookie := s.signIn()
		s.user(s.cookie + "=" + session.NewToken("").Value())
		s.user(s.cookie + "=not-a-token")
		s.user(cookie + "; " + s.cookie + "=" + session.NewToken("").Value())
		s.ask(cookie, func(own *session.Session) { own.Destroy() })
		stats := s.m.Stats()
		assert.EqualValues(t, 2, stats.Unknown)
		assert.EqualValues(t, 1, stats.Tampered)
		assert.EqualValues(t, 1, stats.Duplicates)
		assert.EqualValues(t, 1, stats.Destroys)
	})
}

// What clients can cause is logged once a minute a kind, with a count: a flood of bad cookies is
// no flood of log lines.
func TestAFloodOfBadCookiesIsNotAFloodOfLogLines(t *testing.T) {
	tap := newWiretap()
	s := newSite(t, "memory", func(cfg *session.Config) { cfg.Logger = slog.New(slog.NewTextHandler(tap, nil)) })
	for range 100 {
		s.user("s_memory=tampered")
	}
	s.clock.advance(time.Minute)
	s.user("s_memory=tampered")
	lines := strings.Split(strings.TrimSpace(tap.heard.String()), "\n")
	assert.Len(t, lines, 2)
	assert.Contains(t, lines[1], "more_since_last=99")
	assert.NotContains(t, tap.heard.String(), "=tampered")
}

// Cross-site requests.

// The session itself stops no request from another site; net/http's protection does, around the
// middleware or inside it.
func TestCrossOriginProtectionComposes(t *testing.T) {
	s := newSite(t, "memory")
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, session.FromRequest(r).Increment("orders", 1))
	})
	for name, handler := range map[string]http.Handler{
		"around": http.NewCrossOriginProtection().Handler(s.m.Middleware(page)),
		"inside": s.m.Middleware(http.NewCrossOriginProtection().Handler(page)),
	} {
		t.Run(name, func(t *testing.T) {
			cookie := s.signIn()
			send := func(method string, headers ...string) int {
				r := httptest.NewRequest(method, "http://shop.example.com/order", nil)
				r.Header.Set("Cookie", cookie)
				for i := 0; i+1 < len(headers); i += 2 {
					r.Header.Set(headers[i], headers[i+1])
				}
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				return w.Code
			}
			assert.Equal(t, http.StatusForbidden, send("POST", "Sec-Fetch-Site", "cross-site"))
			assert.Equal(t, http.StatusForbidden, send("POST", "Sec-Fetch-Site", "same-site"), "another subdomain")
			assert.Equal(t, http.StatusForbidden, send("POST", "Origin", "https://evil.example"))
			assert.Equal(t, http.StatusOK, send("POST", "Sec-Fetch-Site", "same-origin"))
			assert.Equal(t, http.StatusOK, send("POST", "Sec-Fetch-Site", "none"))

			// Its limits, which SECURITY.md states.
			assert.Equal(t, http.StatusOK, send("GET", "Sec-Fetch-Site", "cross-site"), "safe methods pass")
			assert.Equal(t, http.StatusOK, send("POST"), "so does what has neither header")

			var orders int
			s.ask(cookie, func(own *session.Session) { orders = own.GetInt("orders") })
			assert.Equal(t, 4, orders, "what was refused changed nothing")
		})
	}
}

// Documents.

// SECURITY.md and CONTRIBUTING.md name tests: each of them is there.
func TestEveryTestThatADocumentNamesIsThere(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	var source strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		source.Write(text)
	}
	named := regexp.MustCompile(`\b(Test|Fuzz)[A-Z0-9]\w+`)
	for document, least := range map[string]int{"SECURITY.md": 60, "CONTRIBUTING.md": 12} {
		text, err := os.ReadFile(document)
		require.NoError(t, err)
		names := named.FindAllString(string(text), -1)
		assert.GreaterOrEqual(t, len(names), least, document)
		for _, name := range names {
			assert.Contains(t, source.String(), "func "+name+"(", "%s names it", document)
		}
	}
}
