package cookie_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/internal/cookie"
)

func TestAttributesThatBrowsersWouldSilentlyRefuse(t *testing.T) {
	tests := []struct {
		name  string
		attrs cookie.Attributes
		want  []string // one for each error; none: accepted
	}{
		{name: "zero value", attrs: cookie.Attributes{}},
		{name: "__Host- alone", attrs: cookie.Attributes{Prefix: "__Host-"}},
		{name: "__Host- with its path spelt out", attrs: cookie.Attributes{Prefix: "__Host-", Path: "/"}},
		{name: "__Host- always", attrs: cookie.Attributes{Prefix: "__Host-", Secure: cookie.Always}},
		{name: "__Secure- with domain and path", attrs: cookie.Attributes{Prefix: "__Secure-", Path: "/a", Domain: "example.com"}},
		{name: "__Http- with domain and path", attrs: cookie.Attributes{Prefix: "__Http-", Path: "/a", Domain: "example.com"}},
		{name: "names that only look like a prefix", attrs: cookie.Attributes{Prefix: "__Hosts-", Path: "/a", Secure: cookie.Never}},
		{name: "one underscore is no prefix", attrs: cookie.Attributes{Prefix: "_Host-", Path: "/a", Secure: cookie.Never}},
		{
			name:  "__Host- with everything wrong at once",
			attrs: cookie.Attributes{Prefix: "__Host-", Path: "/a", Domain: "example.com", Secure: cookie.Never},
			want:  []string{"Prefix: browsers refuse a __Host- cookie whose Path", "Prefix: browsers refuse a __Host- cookie with a Domain", "Secure: SecureNever with the name prefix __Host-"},
		},
		{
			name:  "__host- in another letter case",
			attrs: cookie.Attributes{Prefix: "__hOST-s_", Path: "/a"},
			want:  []string{"__Host- cookie whose Path"},
		},
		{
			name:  "__host-http- in another letter case",
			attrs: cookie.Attributes{Prefix: "__HOST-HTTP-", Domain: "example.com", Secure: cookie.Never},
			want:  []string{"__Host-Http- cookie with a Domain", "prefix __Host-Http-"},
		},
		{name: "__secure- without Secure", attrs: cookie.Attributes{Prefix: "__secure-", Secure: cookie.Never}, want: []string{"prefix __Secure-"}},
		{name: "__http- without Secure", attrs: cookie.Attributes{Prefix: "__HTTP-", Secure: cookie.Never}, want: []string{"prefix __Http-"}},
		{
			name:  "SameSite=None and Partitioned without Secure",
			attrs: cookie.Attributes{SameSite: http.SameSiteNoneMode, Partitioned: true, Secure: cookie.Never},
			want:  []string{"Secure: SecureNever with SameSite=None", "Secure: SecureNever with Partitioned"},
		},
		{name: "cookie.Never alone is allowed", attrs: cookie.Attributes{Secure: cookie.Never}},
		{name: "no such secure mode", attrs: cookie.Attributes{Secure: 3}, want: []string{"Secure: 3 is not a mode"}},
		{name: "no such SameSite", attrs: cookie.Attributes{SameSite: 5}, want: []string{"SameSite: 5 is not a mode"}},
		{name: "negative SameSite", attrs: cookie.Attributes{SameSite: -1}, want: []string{"SameSite: -1 is not a mode"}},
		{name: "space in the name", attrs: cookie.Attributes{Prefix: "a b"}, want: []string{"Prefix: \"a b\" is not allowed"}},
		{name: "name that ends the pair", attrs: cookie.Attributes{Prefix: "a;"}, want: []string{"Prefix: \"a;\" is not allowed"}},
		{name: "name with a value in it", attrs: cookie.Attributes{Prefix: "a=b"}, want: []string{"Prefix: \"a=b\" is not allowed"}},
		{name: "header injection by the name", attrs: cookie.Attributes{Prefix: "a\r\nX: y"}, want: []string{"Prefix: "}},
		{name: "name in another script", attrs: cookie.Attributes{Prefix: "séance"}, want: []string{"Prefix: "}},
		{name: "name too long", attrs: cookie.Attributes{Prefix: strings.Repeat("a", 65)}, want: []string{"Prefix: 65 bytes, at most 64"}},
		{name: "longest name", attrs: cookie.Attributes{Prefix: strings.Repeat("a", 64)}},

		{name: "relative path", attrs: cookie.Attributes{Path: "app"}, want: []string{`Path: "app" does not begin`}},
		{name: "path that ends the attribute", attrs: cookie.Attributes{Path: "/;HttpOnly"}, want: []string{"Path: "}},
		{name: "header injection by the path", attrs: cookie.Attributes{Path: "/\r\nX: y"}, want: []string{"Path: "}},
		{name: "path with a query", attrs: cookie.Attributes{Path: "/a?b"}, want: []string{"percent-encode"}},
		{name: "path with a space", attrs: cookie.Attributes{Path: "/a b"}, want: []string{"percent-encode"}},
		{name: "path in another script", attrs: cookie.Attributes{Path: "/é"}, want: []string{"percent-encode"}},
		{name: "path percent-encoded", attrs: cookie.Attributes{Path: "/a%20b/~c,d=e"}},
		{name: "longest path", attrs: cookie.Attributes{Path: "/" + strings.Repeat("a", 1023)}},
		{name: "path too long", attrs: cookie.Attributes{Path: "/" + strings.Repeat("a", 1024)}, want: []string{"Path: 1025 bytes, browsers ignore it above 1024"}},

		{name: "domain", attrs: cookie.Attributes{Domain: "xn--bcher-kva.Example-1.com"}},
		{name: "leading dot", attrs: cookie.Attributes{Domain: ".example.com"}, want: []string{"begins with a dot"}},
		{name: "trailing dot", attrs: cookie.Attributes{Domain: "example.com."}, want: []string{"ends with a dot"}},
		{name: "port", attrs: cookie.Attributes{Domain: "example.com:8080"}, want: []string{"has a colon"}},
		{name: "URL", attrs: cookie.Attributes{Domain: "https://example.com"}, want: []string{"has a colon"}},
		{name: "space", attrs: cookie.Attributes{Domain: "example. com"}, want: []string{"is not a host name"}},
		{name: "blank", attrs: cookie.Attributes{Domain: " "}, want: []string{"is not a host name"}},
		{name: "domain that ends the attribute", attrs: cookie.Attributes{Domain: "example.com;x"}, want: []string{"is not a host name"}},
		{name: "empty label", attrs: cookie.Attributes{Domain: "example..com"}, want: []string{"is not a host name"}},
		{name: "hyphen first", attrs: cookie.Attributes{Domain: "-a.com"}, want: []string{"is not a host name"}},
		{name: "hyphen last", attrs: cookie.Attributes{Domain: "a-.com"}, want: []string{"is not a host name"}},
		{name: "underscore", attrs: cookie.Attributes{Domain: "a_b.com"}, want: []string{"is not a host name"}},
		{name: "wildcard", attrs: cookie.Attributes{Domain: "*.example.com"}, want: []string{"is not a host name"}},
		{name: "another script", attrs: cookie.Attributes{Domain: "bücher.example"}, want: []string{"xn-- form"}},
		{name: "long label", attrs: cookie.Attributes{Domain: strings.Repeat("a", 64) + ".com"}, want: []string{"is not a host name"}},
		{name: "one label", attrs: cookie.Attributes{Domain: "localhost"}, want: []string{"has no dot"}},
		{name: "IPv4", attrs: cookie.Attributes{Domain: "127.0.0.1"}, want: []string{"is an IP address"}},
		{name: "IPv4 in short", attrs: cookie.Attributes{Domain: "127.1"}, want: []string{"is an IP address"}},
		{name: "IPv4 in hex", attrs: cookie.Attributes{Domain: "127.0x1"}, want: []string{"is an IP address"}},
		{name: "IPv6", attrs: cookie.Attributes{Domain: "::1"}, want: []string{"is an IP address"}},
		{name: "IPv6 in brackets", attrs: cookie.Attributes{Domain: "[::1]"}, want: []string{"is an IP address"}},
		{name: "no host name is that long", attrs: cookie.Attributes{Domain: strings.Repeat("a.", 127) + "a"}, want: []string{"at most 253"}},
		{name: "domain too long", attrs: cookie.Attributes{Domain: strings.Repeat("a.", 512) + "a"}, want: []string{"Domain: 1025 bytes, a host name has at most 253"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.attrs.Validate()
			assertErrors(t, err, tt.want)
		})
	}
}

// assertErrors checks that err has one line for each wanted text, and no other.
func assertErrors(t *testing.T, err error, want []string) {
	t.Helper()
	if len(want) == 0 {
		assert.NoError(t, err)
		return
	}
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	for _, line := range lines {
		assert.True(t, strings.HasPrefix(line, "session: Config.CookieAttributes."), line)
	}
	for _, text := range want {
		assert.True(t, slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, text) }),
			"%q is missing in %s", text, err)
	}
	assert.Len(t, lines, len(want), err.Error())
}

func TestAttributeErrorsAreReportedTogether(t *testing.T) {
	err := cookie.Attributes{Prefix: "a b", Path: "x", Domain: "y", SameSite: 9, Secure: 9}.Validate()
	var joined interface{ Unwrap() []error }
	require.True(t, errors.As(err, &joined))
	assertErrors(t, err, []string{"Prefix", "Path", "Domain", "SameSite", "Secure"})
}

func TestNamePrefixIsFoundInAnyLetterCase(t *testing.T) {
	for _, tt := range []struct {
		name, rule string
		host       bool
	}{
		{name: "__Host-s_cookie", rule: "__Host-", host: true},
		{name: "__hOST-s", rule: "__Host-", host: true},
		{name: "__HOST-HTTP-s", rule: "__Host-Http-", host: true},
		{name: "__secure-s", rule: "__Secure-"},
		{name: "__HTTP-s", rule: "__Http-"},
		{name: "__Hosts-s"},
		{name: "_Host-s"},
		{name: "__Host"},
		{name: "\u2000__Host-s"},
		{name: ""},
	} {
		rule, host := cookie.NamePrefix(tt.name)
		assert.Equal(t, tt.rule, rule, tt.name)
		assert.Equal(t, tt.host, host, tt.name)
	}
}

func TestValidNameTakesTokensOnly(t *testing.T) {
	const others = "!#$%&'*+-.^_`|~"
	for b := range 256 {
		c := byte(b)
		token := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || strings.IndexByte(others, c) >= 0
		assert.Equal(t, token, cookie.ValidName("s"+string([]byte{c})), "%q", c)
	}
	assert.False(t, cookie.ValidName(""))
}
