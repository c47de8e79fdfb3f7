package cookie_test

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/internal/cookie"
)

// shorten turns Set-Cookie lines that delete into "Domain Path", with " P" for Partitioned.
func shorten(t *testing.T, lines []string) (short []string) {
	t.Helper()
	for _, line := range lines {
		c := parse(t, line)
		assertDeleted(t, c)
		assert.True(t, c.HttpOnly)
		if c.Partitioned {
			assert.True(t, c.Secure, "browsers refuse Partitioned without Secure")
			c.Path += " P"
		}
		short = append(short, strings.TrimSpace(c.Domain+" "+c.Path))
	}
	return short
}

func TestExpireVariants(t *testing.T) {
	tests := []struct {
		name       string
		attrs      cookie.Attributes
		cookie     string
		host, path string
		want       []string
	}{
		{
			name: "host without a parent", host: "example.com", path: "/",
			want: []string{"example.com /", "/ P", "example.com / P"},
		},
		{
			name: "port, upper case, a parent and a path", host: "WWW.Example.com:8080", path: "/app/x",
			want: []string{
				"www.example.com /", "/app", "/ P",
				"example.com /", "www.example.com /app", "/app/", "www.example.com / P", "/app P",
				"example.com /app", "www.example.com /app/", "/app/x", "example.com / P",
			},
		},
		{
			name:  "Domain and Path configured",
			attrs: cookie.Attributes{Domain: "Example.com", Path: "/app"}, host: "www.example.com", path: "/app/",
			want: []string{
				"/app", "example.com /", "example.com /app P",
				"www.example.com /app", "/", "example.com /app/", "/app P", "example.com / P",
				"www.example.com /", "/app/", "www.example.com /app P", "/ P",
			},
		},
		{
			name:  "Partitioned configured",
			attrs: cookie.Attributes{Partitioned: true}, host: "localhost:8080", path: "/",
			want: []string{"/"},
		},
		{name: "an address has no Domain", host: "192.0.2.1:80", path: "/", want: []string{"/ P"}},
		{name: "an IPv6 address has no Domain", host: "[2001:db8::1]:80", path: "/", want: []string{"/ P"}},
		{name: "no host, no path", want: []string{"/ P"}},
		{name: "a host that ends the attribute", host: "example.com;x", path: "/", want: []string{"/ P"}},
		{name: "a path that ends the attribute", host: "localhost", path: "/a;Domain=x/b", want: []string{"/ P"}},
		{
			name: "__Host- in any letter case", attrs: cookie.Attributes{Prefix: "__hOST-"}, cookie: "__hOST-x",
			host: "www.example.com", path: "/app", want: []string{"/ P"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.cookie == "" {
				tt.cookie = "s_x"
			}
			lines := mustWriter(t, tt.attrs).ExpireVariants(tt.cookie, tt.host, tt.path, false, cookie.MaxVariants)
			assert.Equal(t, tt.want, shorten(t, lines))
			for _, line := range lines {
				assert.True(t, strings.HasPrefix(line, tt.cookie+"=;"), line)
			}
		})
	}
}

func TestExpireVariantsAreFewDifferentAndNeverTheCurrentCookie(t *testing.T) {
	hosts := []string{"", "localhost", "example.com", "www.example.com", "a.b.c.d.e.f.example.com",
		strings.Repeat("a.", 100) + "com", strings.Repeat("a.", 1<<16), "www.example.com.", "[::1]:80"}
	paths := []string{"", "/", "/app", "/app/", "/app/x", "//", "/" + strings.Repeat("a/", 400), "*"}
	for a := range everyAttributes {
		w := mustWriter(t, a)
		for _, host := range hosts {
			for _, path := range paths {
				got := w.ExpireVariants("s_x", host, path, true, cookie.MaxVariants)
				assert.LessOrEqual(t, len(got), 12)
				assert.NotContains(t, got, w.Expire("s_x", true))
				seen := make(map[string]bool)
				for _, line := range got {
					assert.False(t, seen[line], "twice: %s", line)
					seen[line] = true
				}
			}
		}
	}
}

// A browser that was signed in under other attributes keeps only the current cookie. The jar knows
// nothing of Partitioned, so this also holds that no line deletes the current cookie there.
func TestExpireVariantsRemoveTheCookiesOfAnEarlierConfiguration(t *testing.T) {
	for _, configured := range [][]cookie.Attributes{
		{{}, {Domain: "example.com"}, {Domain: "www.example.com"}, {Path: "/app"}, {Domain: "example.com", Path: "/app"}},
		{{}, {Domain: "example.com"}, {Domain: "www.example.com"}, {Path: "/app"}, {Path: "/app/"}},
	} {
		for _, before := range configured {
			for _, after := range configured {
				t.Run(fmt.Sprint(before, " to ", after), func(t *testing.T) {
					assert.Equal(t, []string{"new"}, afterChange(t, before, after))
				})
			}
		}
	}
}

// afterChange returns the values that a browser sends after two sign-ins, between which the attributes
// have changed.
func afterChange(t *testing.T, before, after cookie.Attributes) (values []string) {
	t.Helper()
	site, err := url.Parse("http://www.example.com/app/page")
	require.NoError(t, err)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	response := &http.Response{Header: http.Header{}}
	cookie.Add(response.Header, "s_x", mustWriter(t, before).Set("s_x", []byte("old"), time.Hour, false, time.Now()))
	jar.SetCookies(site, response.Cookies())
	require.Len(t, jar.Cookies(site), 1)

	w := mustWriter(t, after)
	lines := w.ExpireVariants("s_x", site.Host, site.EscapedPath(), false, cookie.MaxVariants)
	lines = append(lines, w.Set("s_x", []byte("new"), time.Hour, false, time.Now()))
	cookie.Add(response.Header, "s_x", lines...)
	jar.SetCookies(site, response.Cookies())
	for _, c := range jar.Cookies(site) {
		values = append(values, c.Value)
	}
	return values
}

func FuzzExpireVariants(f *testing.F) {
	f.Add("www.example.com:8080", "/app/x")
	f.Add("example.com;x", "/a;Domain=x/b")
	f.Add("[::1]", "//")
	w := mustWriter(f, cookie.Attributes{Domain: "example.com", Path: "/app"})
	f.Fuzz(func(t *testing.T, host, path string) {
		lines := w.ExpireVariants("s_x", host, path, true, cookie.MaxVariants)
		assert.LessOrEqual(t, len(lines), 12)
		for _, line := range lines {
			c, err := http.ParseSetCookie(line)
			require.NoError(t, err, line)
			assert.NoError(t, c.Valid(), line)
			assert.Equal(t, "s_x", c.Name)
			assert.Equal(t, -1, c.MaxAge)
			assert.Empty(t, c.Unparsed, line)
		}
	})
}
