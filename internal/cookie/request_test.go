package cookie_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"example.com/session/internal/cookie"
)

func TestSecureIsLeftOutOnLoopbackOnly(t *testing.T) {
	tests := []struct {
		name          string
		attrs         cookie.Attributes
		remote, host  string
		tls           bool
		header        string
		secure, plain bool
	}{
		{name: "localhost", remote: "127.0.0.1:1", host: "localhost"},
		{name: "localhost with port", remote: "127.0.0.1:1", host: "localhost:8080"},
		{name: "localhost in capitals", remote: "127.0.0.1:1", host: "LocalHost:8080"},
		{name: "name below localhost", remote: "[::1]:1", host: "shop.localhost:8080"},
		{name: "IPv4", remote: "127.0.0.1:1", host: "127.0.0.1:8080"},
		{name: "IPv4 elsewhere in 127/8", remote: "127.9.9.9:1", host: "127.1.2.3"},
		{name: "IPv6", remote: "[::1]:1", host: "[::1]:8080"},
		{name: "IPv6 without port", remote: "[::1]:1", host: "[::1]"},
		{name: "IPv4 in IPv6", remote: "[::ffff:127.0.0.1]:1", host: "localhost"},
		{name: "RemoteAddr without port", remote: "::1", host: "localhost"},
		{name: "unrelated headers", remote: "127.0.0.1:1", host: "localhost", header: "X-Requested-With"},

		{name: "TLS on loopback", remote: "127.0.0.1:1", host: "localhost", tls: true, secure: true},
		{name: "TLS from elsewhere", remote: "192.0.2.1:1", host: "example.com", tls: true, secure: true},
		{name: "plain from elsewhere", remote: "192.0.2.1:1", host: "example.com", secure: true, plain: true},
		{name: "from elsewhere with a forged Host", remote: "192.0.2.1:1", host: "localhost", secure: true, plain: true},
		{name: "proxy on this host", remote: "127.0.0.1:1", host: "example.com", secure: true, plain: true},
		{name: "name that ends like localhost", remote: "127.0.0.1:1", host: "evillocalhost", secure: true, plain: true},
		{name: "empty label below localhost", remote: "127.0.0.1:1", host: ".localhost", secure: true, plain: true},
		{name: "localhost as a label", remote: "127.0.0.1:1", host: "localhost.example.com", secure: true, plain: true},
		{name: "folded letter", remote: "127.0.0.1:1", host: "localho\u017ft", secure: true, plain: true},
		{name: "name that begins like 127", remote: "127.0.0.1:1", host: "127.0.0.1.example.com", secure: true, plain: true},
		{name: "brackets around a name", remote: "127.0.0.1:1", host: "[localhost]", secure: true, plain: true},
		{name: "brackets not closed", remote: "127.0.0.1:1", host: "[::1", secure: true, plain: true},
		{name: "brackets and more", remote: "127.0.0.1:1", host: "[::1]example.com", secure: true, plain: true},
		{name: "no Host", remote: "127.0.0.1:1", host: "", secure: true, plain: true},
		{name: "unix socket", remote: "@", host: "localhost", secure: true, plain: true},
		{name: "no RemoteAddr", remote: "", host: "localhost", secure: true, plain: true},
		{name: "Forwarded", remote: "127.0.0.1:1", host: "localhost", header: "Forwarded", secure: true, plain: true},
		{name: "X-Forwarded-For", remote: "127.0.0.1:1", host: "localhost", header: "X-Forwarded-For", secure: true, plain: true},
		{name: "X-Forwarded-Proto", remote: "127.0.0.1:1", host: "localhost", header: "X-Forwarded-Proto", secure: true, plain: true},
		{name: "X-Forwarded- and anything", remote: "127.0.0.1:1", host: "localhost", header: "X-Forwarded-Tls-Client", secure: true, plain: true},
		{name: "X-Real-Ip", remote: "127.0.0.1:1", host: "localhost", header: "X-Real-IP", secure: true, plain: true},
		{name: "Via", remote: "127.0.0.1:1", host: "localhost", header: "Via", secure: true, plain: true},

		{name: "always", attrs: cookie.Attributes{Secure: cookie.Always}, remote: "127.0.0.1:1", host: "localhost", secure: true},
		{name: "always, from elsewhere: TLS ends in front", attrs: cookie.Attributes{Secure: cookie.Always}, remote: "192.0.2.1:1", host: "example.com", secure: true},
		{name: "never", attrs: cookie.Attributes{Secure: cookie.Never}, remote: "192.0.2.1:1", host: "example.com"},
		{name: "never, over TLS", attrs: cookie.Attributes{Secure: cookie.Never}, remote: "192.0.2.1:1", host: "example.com", tls: true},
		{name: "SameSite=None means always", attrs: cookie.Attributes{SameSite: http.SameSiteNoneMode}, remote: "127.0.0.1:1", host: "localhost", secure: true},
		{name: "Partitioned means always", attrs: cookie.Attributes{Partitioned: true}, remote: "127.0.0.1:1", host: "localhost", secure: true},
		{name: "__Host- means always", attrs: cookie.Attributes{Prefix: "__Host-"}, remote: "127.0.0.1:1", host: "localhost", secure: true},
		{name: "__secure- means always", attrs: cookie.Attributes{Prefix: "__secure-"}, remote: "127.0.0.1:1", host: "localhost", secure: true},
		{name: "__Http- means always", attrs: cookie.Attributes{Prefix: "__Http-"}, remote: "127.0.0.1:1", host: "localhost", secure: true},
		{name: "__Host- does not say where TLS ends", attrs: cookie.Attributes{Prefix: "__Host-"}, remote: "192.0.2.1:1", host: "example.com", secure: true, plain: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr, r.Host = tt.remote, tt.host
			if tt.tls {
				r.TLS = &tls.ConnectionState{}
			}
			if tt.header != "" {
				r.Header.Set(tt.header, "x")
			}
			secure, plain := mustWriter(t, tt.attrs).SecureFor(r)
			assert.Equal(t, tt.secure, secure, "Secure")
			assert.Equal(t, tt.plain, plain, "the warning")
		})
	}
}

// A proxy that ends TLS says so. Then no warning says that the browser drops the cookie.
func TestNoWarningIfAProxySaysThatItEndsTLS(t *testing.T) {
	tests := []struct {
		field, value string
		plain        bool
	}{
		{field: "X-Forwarded-Proto", value: "https"},
		{field: "X-Forwarded-Proto", value: "HTTPS , http"},
		{field: "X-Forwarded-Scheme", value: "https"},
		{field: "X-Forwarded-Protocol", value: "https"},
		{field: "X-Scheme", value: "https"},
		{field: "X-Url-Scheme", value: "https"},
		{field: "CloudFront-Forwarded-Proto", value: "https"},
		{field: "X-Forwarded-Ssl", value: "on"},
		{field: "Front-End-Https", value: "On"},
		{field: "Forwarded", value: `for=192.0.2.1; Proto="https", for=10.0.0.1;proto=http`},
		{field: "X-Forwarded-Proto", value: "http", plain: true},
		{field: "X-Forwarded-Proto", value: "http, https", plain: true},
		{field: "X-Forwarded-Proto", value: "httpsx", plain: true},
		{field: "X-Forwarded-Ssl", value: "off", plain: true},
		{field: "Forwarded", value: "for=192.0.2.1;proto=http, proto=https", plain: true},
		{field: "Forwarded", value: `proto="`, plain: true},
		{field: "X-Forwarded-For", value: "https", plain: true},
	}
	for _, tt := range tests {
		for _, remote := range []string{"192.0.2.1:1", "127.0.0.1:1"} {
			r := httptest.NewRequest("GET", "http://www.example.com/", nil)
			r.RemoteAddr = remote
			r.Header.Set(tt.field, tt.value)
			secure, plain := mustWriter(t, cookie.Attributes{}).SecureFor(r)
			assert.True(t, secure, "%s: %s", tt.field, tt.value)
			assert.Equal(t, tt.plain, plain, "%s: %s", tt.field, tt.value)
		}
	}
}

func TestAForwardingHeaderNeverTurnsSecureOff(t *testing.T) {
	r := httptest.NewRequest("GET", "https://www.example.com/", nil)
	r.Header.Set("X-Forwarded-Proto", "http")
	secure, plain := mustWriter(t, cookie.Attributes{}).SecureFor(r)
	assert.True(t, secure)
	assert.False(t, plain)
}

func TestIsProxiedKnowsEveryFieldThatProxiesAdd(t *testing.T) {
	for _, field := range []string{
		"Forwarded", "Forwarded-For", "X-Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
		"X-Forwarded-Tls-Client", "X-Original-Forwarded-For", "Via", "X-Real-IP", "X-Client-IP", "Client-IP",
		"X-Cluster-Client-IP", "True-Client-IP", "CF-Connecting-IP", "CF-Connecting-IPv6", "Fly-Client-IP",
		"Fastly-Client-IP", "DO-Connecting-IP", "X-Envoy-External-Address", "X-Appengine-User-IP",
		"X-Azure-ClientIP", "CloudFront-Viewer-Address", "Proxy-Client-IP", "WL-Proxy-Client-IP",
		"X-Vercel-Forwarded-For", "X-Nf-Client-Connection-IP", "X-ProxyUser-IP", "X-Azure-SocketIP", "Incap-Client-IP",
		"CloudFront-Forwarded-Proto", "CDN-Loop", "X-Scheme", "X-Url-Scheme", "Front-End-Https",
	} {
		h := http.Header{}
		h.Set("User-Agent", "x")
		h.Set(field, "192.0.2.1")
		assert.True(t, cookie.IsProxied(h), field)
	}
}

func TestIsProxiedTakesNoOtherFieldForAProxy(t *testing.T) {
	assert.False(t, cookie.IsProxied(nil))
	h := http.Header{}
	for _, field := range []string{"Host", "User-Agent", "X-Requested-With", "X-Real", "Viable", "Origin", "X-Client", "X-Zip", "X-Membership"} {
		h.Set(field, "x")
	}
	assert.False(t, cookie.IsProxied(h))
}

func TestSecureForAllocatesNothing(t *testing.T) {
	w := mustWriter(t, cookie.Attributes{Domain: "example.com"})
	local := httptest.NewRequest("GET", "http://localhost:8080/", nil)
	local.RemoteAddr = "127.0.0.1:4711"
	for i := range 20 {
		local.Header.Set(fmt.Sprint("X-Header-", i), "x")
	}
	named := httptest.NewRequest("GET", "http://www.example.com/", nil)
	named.RemoteAddr = "127.0.0.1:4711"
	proxied := named.Clone(t.Context())
	proxied.Header.Set("X-Forwarded-Proto", "https")
	for name, r := range map[string]*http.Request{"local": local, "named": named, "proxied": proxied} {
		assert.Zero(t, testing.AllocsPerRun(100, func() { w.SecureFor(r) }), name)
	}
}
