package security_test

import (
	"encoding/binary"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/suites/kit"
)

// SECURITY.md names the test that holds each requirement.

// tokens begins n sessions in memory and returns the bytes of their tokens.
func tokens(t *testing.T, n int) [][]byte {
	t.Helper()
	handler := kit.NewManager(t, kit.DriverConfig(t, "memory")).Middleware(
		kit.HTTPHandler(func(s *session.Session) { s.Set("k", 1) }))
	all := make([][]byte, n)
	for i := range all {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		c := (kit.Page{Response: w.Result()}).Cookie("s_memory")
		require.NotNil(t, c)
		all[i] = rawToken(t, c.Value)
	}
	return all
}

// Each byte is expected 100 times at each position, and 80 more or less are eight standard
// deviations. Of 25,600 random 64-bit numbers two coincide once in 56 billion runs.
func TestTokensAreRandomAtEveryByteAndDistinct(t *testing.T) {
	all := tokens(t, 100*256)
	var counts [tokenBytes][256]int
	ids, secrets := make([]uint64, 0, len(all)), make([]uint64, 0, len(all))
	for _, raw := range all {
		for at, value := range raw {
			counts[at][value]++
		}
		ids = append(ids, binary.BigEndian.Uint64(raw))
		secrets = append(secrets, binary.BigEndian.Uint64(raw[idBytes:]))
	}
	for at := range counts {
		assert.InDelta(t, 100, slices.Min(counts[at][:]), 80, "the rarest byte at %d", at)
		assert.InDelta(t, 100, slices.Max(counts[at][:]), 80, "the most frequent byte at %d", at)
	}
	for _, list := range [][]uint64{ids, secrets} {
		slices.Sort(list)
		assert.Len(t, slices.Compact(list), len(all))
	}
}

// math/rand names saves and spreads retries. No package that makes identifiers of its own is used.
func TestIdentifiersComeFromTheSystemsGeneratorOnly(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	var drawing []string
	for _, dir := range []string{".", "driver", "internal/sealed", "internal/memory", "internal/store", "internal/redis", "internal/cookie"} {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		require.NoError(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			require.NoError(t, err)
			name, _ := filepath.Rel(root, file)
			for _, spec := range parsed.Imports {
				path := strings.Trim(spec.Path.Value, `"`)
				outside := strings.Contains(strings.Split(path, "/")[0], ".") && !strings.HasPrefix(path, "example.com/session/")
				assert.True(t, !outside || strings.HasPrefix(path, "github.com/gomodule/redigo/"), "%s imports %s", name, path)
				if strings.HasPrefix(path, "math/rand") {
					assert.NotContains(t, []string{"crypto.go", "manager.go", "driver/id.go"}, name, "it makes identifiers")
					assert.NotEqual(t, "internal/sealed", dir, name)
				}
				if path == "crypto/rand" {
					drawing = append(drawing, name)
				}
			}
		}
	}
	assert.Subset(t, drawing, []string{"crypto.go", "driver/id.go"})
}

func TestCookieNamesTellOnlyTheDriver(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		p := s.Ask("", func(own *session.Session) { own.Set("k", 1); own.Flash("f", 1) })
		require.Len(t, p.Cookies(), s.CookiesWithFlash())
		for _, c := range p.Cookies() {
			assert.Regexp(t, "^"+s.Cookie+"(_f|_[A-Za-z0-9_-]{8})?$", c.Name)
		}
	})
}

func TestATokenInAQueryAFormOrAHeaderIsNotLookedAt(t *testing.T) {
	kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
		cookie := s.SignIn()
		pairs := strings.ReplaceAll(cookie, "; ", "&")
		server := httptest.NewServer(s.Manager.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, session.FromRequest(r).IsNew())
		})))
		defer server.Close()
		r, err := http.NewRequest(http.MethodPost, server.URL+"/"+pairs+"?"+pairs, strings.NewReader(pairs))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for _, field := range []string{s.Cookie, "Authorization", "X-Session", "Set-Cookie", "Cookie2", "X-Cookie"} {
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

// An id is the handle that logs and lists show. Whoever knows it has nothing.
func TestAHandleOpensNothingAndEndsNothing(t *testing.T) {
	kit.OnServers(t, func(t *testing.T, s *kit.Site) {
		cookie := signedIn(s, "ann")
		var handle string
		s.Ask(cookie, func(own *session.Session) { handle = own.Handle() })
		require.Len(t, handle, 22)
		for _, value := range []string{handle, handle + inventedToken()[22:], kit.ValueOf(withOtherSecret(t, cookie))} {
			guess := s.Cookie + "=" + value
			assert.Empty(t, userOf(s, guess))
			s.Ask(guess, func(own *session.Session) { own.Set("user", "eve"); own.Regenerate() })
			s.Ask(guess, func(own *session.Session) { own.Login("eve") })
			s.Ask(guess, (*session.Session).Logout)
		}
		assert.ErrorIs(t, s.Manager.End(t.Context(), "eve", handle), session.ErrNoSession)
		s.Ask(cookie, func(own *session.Session) {
			user, _ := own.User()
			assert.Equal(t, "ann", user)
			assert.Empty(t, own.All())
			assert.Equal(t, handle, own.Handle())
		})
	})
}

// The first save of a session never becomes one of a session that is there, whatever secret it names.
func TestTheFirstSaveOfASessionNeverChangesAnotherOne(t *testing.T) {
	now, known := time.Now(), driver.Digest{1}
	limits := driver.Limits{Lifetime: time.Hour, Idle: time.Hour}
	first := &driver.Changes{ID: driver.NewID(), Number: 1, Now: now, New: true, Install: known, Limits: limits}
	rec, err := first.Apply(nil)
	require.NoError(t, err)
	for _, expect := range []driver.Digest{{}, {2}, known} {
		second := &driver.Changes{ID: first.ID, Number: 2, Now: now, New: true, Expect: expect, Install: driver.Digest{3}, Limits: limits}
		_, err := second.Apply(rec)
		var conflict *driver.ConflictError
		require.ErrorAs(t, err, &conflict)
		assert.Same(t, rec, conflict.Current)
	}
}

// Managers with different prefixes share a store and not a session.
func TestATokenOfAnotherManagerOpensNothing(t *testing.T) {
	shared := kit.NewSite(t, "redis")
	admin := &kit.Site{T: t, Config: shared.Config, Cookie: "admin_redis"}
	admin.Config.CookieAttributes.Prefix = "admin_"
	admin.Open()
	value := kit.ValueOf(shared.SignIn())
	require.Equal(t, "ann", shared.User("s_redis="+value))
	assert.Empty(t, admin.User("admin_redis="+value))
	admin.Ask("admin_redis="+value, (*session.Session).Destroy)
	assert.Equal(t, "ann", shared.User("s_redis="+value), "it ends nothing either")
}

const fipsTrafficChild = "SESSION_TEST_FIPS_TRAFFIC_CHILD"

// GODEBUG is read when a program starts, so the test starts itself again.
func TestEveryDriverRunsWhereOnlyFIPSIsAllowed(t *testing.T) {
	if os.Getenv(fipsTrafficChild) != "" {
		kit.Everywhere(t, func(t *testing.T, s *kit.Site) {
			cookie := s.Token(s.Ask(s.SignIn(), func(own *session.Session) { own.Regenerate() }))
			assert.Equal(t, "ann", s.User(cookie))
			s.Ask(cookie, func(own *session.Session) { own.Destroy() })
			assert.Empty(t, s.User(cookie))
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
