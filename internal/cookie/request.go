package cookie

import (
	"net/http"
	"net/netip"
	"strings"
)

// SecureFor reports whether the response to r gets Secure cookies. plainElsewhere reports that r
// came without TLS from another host, or for another host, and that neither the configuration nor a
// header says that a proxy ends TLS: unless one does, the browser refuses the cookie, and the
// caller warns of that.
//
// A header only ever turns Secure on, never off, because a client can send any.
func (w *Writer) SecureFor(r *http.Request) (secure, plainElsewhere bool) {
	switch {
	case w.attributes.Secure == Never:
		return false, false
	case w.attributes.Secure == Always, r.TLS != nil:
		return true, false
	case isLoopback(r.Host) && isLoopback(r.RemoteAddr) && !IsProxied(r.Header):
		return w.forced, false
	}
	return true, !tlsInFront(r.Header)
}

// IsProxied reports whether the header has a field that proxies add: the address in front of this
// server, or the one that it sees, is then that of a proxy. The names of most such fields say so:
// X-Forwarded-For, X-Original-Forwarded-For, X-Real-Ip, True-Client-Ip, X-Azure-Clientip.
func IsProxied(h http.Header) bool {
	for key := range h {
		switch key {
		case "Via", "Cdn-Loop", "X-Envoy-External-Address", "Cloudfront-Viewer-Address", "Cf-Connecting-Ipv6",
			"X-Azure-Socketip", "X-Scheme", "X-Url-Scheme", "Front-End-Https":
			return true
		}
		if strings.Contains(key, "Forwarded") || strings.HasSuffix(key, "-Ip") || strings.HasSuffix(key, "-Clientip") {
			return true
		}
	}
	return false
}

// tlsInFront reports whether a proxy says that the client used TLS. The first of several values is
// what the proxy next to the client said.
func tlsInFront(h http.Header) bool {
	for _, field := range [...]string{"X-Forwarded-Proto", "X-Forwarded-Protocol", "X-Forwarded-Scheme", "X-Scheme",
		"X-Url-Scheme", "Cloudfront-Forwarded-Proto"} {
		first, _, _ := strings.Cut(h.Get(field), ",")
		if strings.EqualFold(strings.TrimSpace(first), "https") {
			return true
		}
	}
	first, _, _ := strings.Cut(h.Get("Forwarded"), ",")
	for pair := range strings.SplitSeq(first, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if strings.EqualFold(name, "proto") && strings.EqualFold(unquoted(value), "https") {
			return true
		}
	}
	return strings.EqualFold(h.Get("X-Forwarded-Ssl"), "on") || strings.EqualFold(h.Get("Front-End-Https"), "on")
}

// isLoopback reports whether address, a host with or without a port, is this host by definition and
// not by somebody's DNS (RFC 6761, section 6.3).
func isLoopback(address string) bool {
	host, ok := withoutPort(address)
	if !ok || host == "" {
		return false
	}
	if b := host[0]; b == ':' || '0' <= b && b <= '9' { // the error of ParseAddr would allocate for names
		ip, err := netip.ParseAddr(host)
		return err == nil && ip.Unmap().IsLoopback()
	}
	const name = "localhost"
	cut := len(host) - len(name)
	below := cut > 1 && host[cut-1] == '.'
	return (cut == 0 || below) && strings.EqualFold(host[cut:], name)
}

// withoutPort returns the host of "host", "host:port", "[v6]", "[v6]:port" and a bare IPv6 address.
// Unlike net.SplitHostPort it takes the first form without an error, which would allocate.
func withoutPort(address string) (host string, ok bool) {
	if strings.HasPrefix(address, "[") {
		host, rest, ok := strings.Cut(address[1:], "]")
		return host, ok && strings.Contains(host, ":") && (rest == "" || rest[0] == ':')
	}
	host, rest, _ := strings.Cut(address, ":")
	if strings.Contains(rest, ":") {
		return address, true
	}
	return host, true
}
