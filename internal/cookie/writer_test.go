package cookie_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/internal/cookie"
)

// now is the clock of the tests: a Thursday, with a fraction and in a zone of its own.
var now = time.Date(2026, time.January, 1, 1, 0, 0, 999, time.FixedZone("one", 3600))

func mustWriter(t testing.TB, a cookie.Attributes) *cookie.Writer {
	t.Helper()
	require.NoError(t, a.Validate())
	return cookie.NewWriter(a)
}

func TestSetCookieLine(t *testing.T) {
	const hour = "; Max-Age=3600; Expires=Thu, 01 Jan 2026 01:00:00 GMT"
	tests := []struct {
		name   string
		attrs  cookie.Attributes
		maxAge time.Duration
		secure bool
		want   string
	}{
		{
			name: "defaults over plain loopback", maxAge: time.Hour,
			want: "s_redis=v; Path=/" + hour + "; HttpOnly; SameSite=Lax",
		},
		{
			name: "defaults over TLS", maxAge: time.Hour, secure: true,
			want: "s_redis=v; Path=/" + hour + "; HttpOnly; Secure; SameSite=Lax",
		},
		{
			name: "neither Max-Age nor Expires for zero", secure: true,
			want: "s_redis=v; Path=/; HttpOnly; Secure; SameSite=Lax",
		},
		{
			name: "a fraction of a second is rounded up", maxAge: time.Second + 1,
			want: "s_redis=v; Path=/; Max-Age=2; Expires=Thu, 01 Jan 2026 00:00:02 GMT; HttpOnly; SameSite=Lax",
		},
		{
			name: "less than a second does not delete", maxAge: 1,
			want: "s_redis=v; Path=/; Max-Age=1; Expires=Thu, 01 Jan 2026 00:00:01 GMT; HttpOnly; SameSite=Lax",
		},
		{
			name: "what has passed does not delete", maxAge: -time.Hour,
			want: "s_redis=v; Path=/; Max-Age=1; Expires=Thu, 01 Jan 2026 00:00:01 GMT; HttpOnly; SameSite=Lax",
		},
		{
			name: "the longest duration does not overflow", maxAge: 1<<63 - 1,
			want: "s_redis=v; Path=/; Max-Age=9223372037; Expires=Fri, 12 Apr 2318 23:47:17 GMT; HttpOnly; SameSite=Lax",
		},
		{
			name: "everything set", maxAge: 400 * 24 * time.Hour, secure: true,
			attrs: cookie.Attributes{Path: "/shop", Domain: "example.com", SameSite: http.SameSiteNoneMode, Partitioned: true},
			want: "s_redis=v; Path=/shop; Domain=example.com; Max-Age=34560000; Expires=Fri, 05 Feb 2027 00:00:00 GMT; " +
				"HttpOnly; Secure; SameSite=None; Partitioned",
		},
		{
			name: "SameSite=None is never without Secure", attrs: cookie.Attributes{SameSite: http.SameSiteNoneMode},
			want: "s_redis=v; Path=/; HttpOnly; Secure; SameSite=None",
		},
		{
			name: "SameSite default is written as Lax", attrs: cookie.Attributes{SameSite: http.SameSiteDefaultMode},
			want: "s_redis=v; Path=/; HttpOnly; SameSite=Lax",
		},
		{
			name: "strict", attrs: cookie.Attributes{SameSite: http.SameSiteStrictMode},
			want: "s_redis=v; Path=/; HttpOnly; SameSite=Strict",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, mustWriter(t, tt.attrs).Set("s_redis", []byte("v"), tt.maxAge, tt.secure, now))
		})
	}
}

// everyAttributes yields each combination of attributes that is valid.
func everyAttributes(yield func(cookie.Attributes) bool) {
	sites := []http.SameSite{0, http.SameSiteLaxMode, http.SameSiteStrictMode, http.SameSiteNoneMode}
	for bits := range 1 << 3 {
		for _, site := range sites {
			for mode := cookie.Auto; mode <= cookie.Never; mode++ {
				a := cookie.Attributes{SameSite: site, Secure: mode, Partitioned: bits&1 != 0, Path: "/"}
				if bits&2 != 0 {
					a.Domain = "www.example.com"
				}
				if bits&4 != 0 {
					a.Path = "/app"
				}
				if a.Validate() == nil && !yield(a) {
					return
				}
			}
		}
	}
}

func TestSetCookieLinesParseBackToWhatWasMeant(t *testing.T) {
	n := 0
	for a := range everyAttributes {
		for _, secure := range []bool{false, true} {
			n++
			w := mustWriter(t, a)
			wantSecure := secure || a.Partitioned || a.SameSite == http.SameSiteNoneMode

			set := parse(t, w.Set("s_cookie", []byte("abc-_"), time.Minute, secure, now))
			assert.Equal(t, "s_cookie=abc-_", set.Name+"="+set.Value)
			assert.Equal(t, 60, set.MaxAge)
			assert.Equal(t, now.Add(time.Minute).Unix(), set.Expires.Unix())
			assertAttributes(t, a, wantSecure, set)

			gone := parse(t, w.Expire("s_cookie", secure))
			assertDeleted(t, gone)
			assertAttributes(t, a, wantSecure, gone)
		}
	}
	assert.Greater(t, n, 100)
}

// A browser finds the cookie to delete by name, Domain and Path, and refuses a line that lacks what the
// prefix of the name demands.
func TestExpireHasTheAttributesOfTheCookieThatItDeletes(t *testing.T) {
	for name, a := range map[string]cookie.Attributes{
		"default":     {},
		"__Host-":     {Prefix: "__Host-s_"},
		"domain":      {Domain: "example.com", Path: "/app"},
		"none":        {SameSite: http.SameSiteNoneMode},
		"partitioned": {Prefix: "__Secure-", Partitioned: true, SameSite: http.SameSiteNoneMode},
		"strict":      {SameSite: http.SameSiteStrictMode, Secure: cookie.Always},
	} {
		t.Run(name, func(t *testing.T) {
			w := mustWriter(t, a)
			for _, secure := range []bool{false, true} {
				set := parse(t, w.Set(a.Prefix+"x", []byte("v"), time.Hour, secure, now))
				gone := parse(t, w.Expire(a.Prefix+"x", secure))
				assertDeleted(t, gone)
				assert.Equal(t, withoutEnd(set), withoutEnd(gone))
			}
		})
	}
}

// withoutEnd returns a cookie without its value and its end.
func withoutEnd(c *http.Cookie) http.Cookie {
	bare := *c
	bare.Value, bare.MaxAge, bare.Expires, bare.RawExpires, bare.Raw = "", 0, time.Time{}, "", ""
	return bare
}

func TestExpiredCookieLine(t *testing.T) {
	w := mustWriter(t, cookie.Attributes{Domain: "example.com"})
	assert.Equal(t, "s_x=; Path=/; Domain=example.com; Max-Age=0; "+
		"Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Lax", w.Expire("s_x", true))
}

func parse(t *testing.T, line string) *http.Cookie {
	t.Helper()
	c, err := http.ParseSetCookie(line)
	require.NoError(t, err)
	assert.NoError(t, c.Valid())
	assert.Empty(t, c.Unparsed)
	return c
}

func assertAttributes(t *testing.T, a cookie.Attributes, secure bool, got *http.Cookie) {
	t.Helper()
	assert.Equal(t, a.Path, got.Path)
	assert.Equal(t, a.Domain, got.Domain)
	assert.Equal(t, secure, got.Secure)
	assert.True(t, got.HttpOnly)
	assert.Equal(t, max(a.SameSite, http.SameSiteLaxMode), got.SameSite)
	assert.Equal(t, a.Partitioned, got.Partitioned)
}

func assertDeleted(t *testing.T, got *http.Cookie) {
	t.Helper()
	assert.Empty(t, got.Value)
	assert.Equal(t, -1, got.MaxAge)
	assert.True(t, got.Expires.Equal(time.Unix(0, 0)), "Expires is %v", got.RawExpires)
}

func TestALineCostsOneAllocation(t *testing.T) {
	w := mustWriter(t, cookie.Attributes{Domain: "example.com"})
	assert.EqualValues(t, 1, testing.AllocsPerRun(100, func() { w.Set("s_c", []byte("value"), time.Hour, true, now) }))
	assert.EqualValues(t, 1, testing.AllocsPerRun(100, func() { w.Set("s_c", []byte("value"), 1<<63-1, true, now) }))
	assert.EqualValues(t, 1, testing.AllocsPerRun(100, func() { w.Expire("s_c", true) }))
}

func BenchmarkSet(b *testing.B) {
	w := mustWriter(b, cookie.Attributes{})
	value := strings.Repeat("v", 400)
	b.ReportAllocs()
	for b.Loop() {
		w.Set("s_cookie", []byte(value), 24*time.Hour, true, now)
	}
}

func TestExpiresHasTheFormOfHTTP(t *testing.T) {
	for unix := int64(0); unix < 253402300800; unix += 86400*13 + 4567 { // until the year 9999
		require.Equal(t, time.Unix(unix, 0).UTC().Format(http.TimeFormat), string(cookie.AppendDate(nil, unix)))
	}
}
