package security_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

// A store must not hold what opens a session (CVE-2019-16782): of a token it has the id only.
func TestAStoreDumpHoldsNoSecret(t *testing.T) {
	for _, name := range []string{"redis", "store"} {
		t.Run(name, func(t *testing.T) {
			s := kit.NewSite(t, name)
			cookie := signedIn(s, "ann")
			raw := string(rawToken(t, kit.ValueOf(cookie)))
			lines := dump(s)
			require.Len(t, lines, 2, "the session and the index of its user")
			for _, line := range lines {
				assert.NotContains(t, line, kit.ValueOf(cookie))
				assert.NotContains(t, line, kit.ValueOf(cookie)[24:36])
				assert.NotContains(t, line, raw[idBytes:idBytes+8])
			}
		})
	}
}

func TestEveryStoredKeyHasItsPrefixAndAnExpiry(t *testing.T) {
	s := kit.NewSite(t, "redis", func(cfg *session.Config) { cfg.IdleTimeout = time.Minute })
	handler := s.Manager.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { mixedTraffic(r) }))
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			cookie := ""
			for i := range 40 {
				r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("/%d", i%10), nil)
				r.Header.Set("Cookie", cookie)
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				cookie = kit.Page{Response: w.Result()}.Next(cookie)
			}
		})
	}
	clients.Wait()
	conn := s.Redis()
	keys := kit.StoredKeys(t, conn, s.Config.Redis.Namespace)
	require.NotEmpty(t, keys)
	for _, key := range keys {
		assert.Regexp(t, "^"+s.Config.Redis.Namespace+":session:([A-Za-z0-9_-]{22}|user:.+)$", key)
		left, err := redis.Int(conn.Do("PTTL", key))
		require.NoError(t, err)
		most := 60_000
		if strings.Contains(key, ":session:user:") {
			most = 24 * 60 * most // an index lives as long as the longest lifetime in it
		}
		assert.True(t, left > 0 && left <= most, "%s: %d ms", key, left)
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
	case "/8":
		s.Login("ann")
	case "/9":
		s.Logout()
	}
}

func TestKeysAndValuesOfAnyBytesStayWhatTheyAre(t *testing.T) {
	keys := []string{"v:user", "f:user", "@created", "authenticated", "seen", "user\x00", "\x00", "\xff\xfe", "a b", "a\nb", "{x}", "*",
		"user=eve; Path=/", strings.Repeat("k", 255)}
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		cookie := s.Token(s.Ask("", func(own *session.Session) {
			own.Set("user", "ann")
			for _, key := range keys {
				own.Set(key, "value of "+key)
				own.Flash(key, "flash of "+key)
			}
		}))
		s.Ask(cookie, func(own *session.Session) {
			for _, key := range keys {
				assert.Equal(t, "flash of "+key, own.Get(key))
			}
			own.ResetFlash()
			for _, key := range keys {
				assert.Equal(t, "value of "+key, own.Get(key))
			}
			assert.Equal(t, "ann", own.Get("user"))
			assert.Len(t, own.All(), len(keys)+1)
			_, ok := own.User()
			assert.False(t, ok, "a value is no sign-in")
		})
	})
}

// Whoever has the secret, or the store, writes values. Reading them untyped gives plain data.
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
	s := kit.NewSite(t, "cookie")
	cookie := s.Token(s.Ask("", func(own *session.Session) {
		own.Set("object", map[string]any{"__type__": "os/exec.Cmd", "$type": "x", "@type": []any{1, 2.5, nil, "rm"}})
		own.Set("time", time.Now())
		own.Set("bytes", []byte{1})
		own.Set("struct", struct{ A any }{A: 1})
	}))
	s.Ask(cookie, func(own *session.Session) {
		require.Len(t, own.All(), 4)
		assert.True(t, plain(own.All()), "%T", own.All())
	})
}

// The four stages of SECURITY.md, server by server: at each step each server opens what any server
// has sealed, and at the end the old secret opens nothing.
func TestSecretsRotateServerByServer(t *testing.T) {
	oldSecret, newSecret := session.NewSecret(), session.NewSecret()
	stages := []func(*session.Config){
		func(cfg *session.Config) { cfg.Secret = oldSecret },
		func(cfg *session.Config) { cfg.Secret, cfg.PreviousSecrets = oldSecret, []string{newSecret} },
		func(cfg *session.Config) { cfg.Secret, cfg.PreviousSecrets = newSecret, []string{oldSecret} },
		func(cfg *session.Config) { cfg.Secret = newSecret },
	}
	at := make([]*kit.Site, len(stages))
	for i, stage := range stages {
		at[i] = kit.NewSite(t, "cookie", stage)
	}
	for i := range len(stages) - 1 {
		old, next := at[i], at[i+1]
		if i < 2 {
			assert.Equal(t, "ann", old.User(next.SignIn()), "from stage %d back to %d", i+1, i)
		}
		assert.Equal(t, "ann", next.User(old.SignIn()), "from stage %d to %d", i, i+1)
	}
	assert.Empty(t, at[3].User(at[0].SignIn()), "a revoked secret opens nothing")
	assert.Empty(t, at[3].User(at[1].SignIn()), "a secret that only opens seals nothing")
}

func TestSealingDoesNotCompress(t *testing.T) {
	s := kit.NewSite(t, "cookie")
	size := func(text string) int {
		return len(s.Token(s.Ask("", func(own *session.Session) { own.Set("k", text) })))
	}
	assert.Equal(t, size(session.NewSecret()+session.NewSecret()), size(strings.Repeat("a", 86)))
}
