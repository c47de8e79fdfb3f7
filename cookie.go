package session

import (
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const (
	maxAttributeBytes  = 1024 // of Path and of Domain: RFC 6265bis, section 5.6
	maxCookieNameBytes = 64   // of Prefix, and of a driver's name
	maxDomainBytes     = 253  // of a host name: RFC 1035, section 2.3.4, without length bytes
	maxLabelBytes      = 63   // of a part between its dots

	maxCookiePairs  = 3000 // in a request; net/http reads none above it (CVE-2025-58186)
	maxCookieValues = 4    // different ones of one name that are worth a look
)

// cookieAttributes is CookieAttributes after validation, with every part of a Set-Cookie line
// that does not change from one response to the next joined beforehand. A manager has one; it
// is immutable.
type cookieAttributes struct {
	mode   SecureMode // as configured
	forced bool       // an attribute demands Secure: SecureAuto means always

	scope    string    // "; Path=/" and, where it is set, "; Domain=example.com"
	hostOnly string    // scope without Domain
	flags    [2]string // "; HttpOnly; SameSite=Lax" and so on, without and with Secure
}

// newCookieAttributes validates a and returns its precomputed form. What browsers would
// silently refuse, or silently widen, is an error here, because net/http writes it without
// complaint; all faults are reported at once.
func newCookieAttributes(a CookieAttributes) (*cookieAttributes, error) {
	err := errors.Join(
		checkPrefix(a),
		checkPath(a.path()),
		checkDomain(a.Domain),
		checkSameSite(a.SameSite),
		checkSecure(a),
	)
	if err != nil {
		return nil, err
	}
	c := &cookieAttributes{
		mode:     a.Secure,
		forced:   len(secureReasons(a)) > 0,
		hostOnly: "; Path=" + a.path(),
	}
	c.scope = c.hostOnly
	if a.Domain != "" {
		c.scope += "; Domain=" + a.Domain
	}
	c.flags = [2]string{cookieFlags(a, c.forced), cookieFlags(a, true)}
	return c, nil
}

// cookieFlags returns the attributes that follow Max-Age. HttpOnly is always among them
// (ASVS 3.3.4), and SameSite is always written, since browsers differ in what they take for
// the default (RFC 6265bis, section 5.6.7).
func cookieFlags(a CookieAttributes, secure bool) string {
	flags := "; HttpOnly"
	if secure {
		flags += "; Secure"
	}
	flags += "; SameSite=" + sameSiteName(a.sameSite())
	if a.Partitioned {
		flags += "; Partitioned"
	}
	return flags
}

// appendSet returns a complete Set-Cookie line. maxAge is rounded up to whole seconds, so
// that the browser does not forget a session that the server would still open; 0 leaves
// Max-Age out, and the cookie ends with the browser. name and value are cookie-name and
// cookie-value of RFC 6265 already: nothing is quoted.
func (a *cookieAttributes) appendSet(name, value string, maxAge time.Duration, secure bool) string {
	const age = "; Max-Age="
	flags := a.flagsFor(secure)
	var digits [20]byte
	var line strings.Builder
	line.Grow(len(name) + 1 + len(value) + len(a.scope) + len(age) + len(digits) + len(flags))
	line.WriteString(name)
	line.WriteByte('=')
	line.WriteString(value)
	line.WriteString(a.scope)
	if maxAge != 0 {
		line.WriteString(age)
		line.Write(strconv.AppendInt(digits[:0], wholeSeconds(maxAge), 10))
	}
	line.WriteString(flags)
	return line.String()
}

// wholeSeconds rounds d up. It is at least 1: a Max-Age of 0 or less deletes.
func wholeSeconds(d time.Duration) int64 {
	seconds := int64(d / time.Second)
	if d%time.Second > 0 {
		seconds++
	}
	return max(seconds, 1)
}

// clear returns the Set-Cookie line that deletes what appendSet set. Browsers find the cookie
// by name, Domain and Path, and take the line for nothing where a name prefix demands
// attributes that it lacks, so all of them are repeated.
func (a *cookieAttributes) clear(name string, secure bool) string {
	return name + "=" + a.scope + expiredNow + a.flagsFor(secure)
}

// clearHostOnly is clear for the cookie of that name without Domain, which a configuration
// from before Domain was set, or another host's script, may have left behind.
func (a *cookieAttributes) clearHostOnly(name string, secure bool) string {
	return name + "=" + a.hostOnly + expiredNow + a.flagsFor(secure)
}

const expiredNow = "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"

func (a *cookieAttributes) flagsFor(secure bool) string {
	if secure {
		return a.flags[1]
	}
	return a.flags[0]
}

// secureFor reports whether the answer to r gets Secure cookies. plainElsewhere reports that
// r came over plain HTTP from another host than this one, with nothing in the configuration
// that says where TLS ends: the browser will refuse the cookie unless a proxy in between
// speaks TLS, and the caller says so once.
//
// A forwarding header only ever turns Secure on, never off: a client can send one.
func (a *cookieAttributes) secureFor(r *http.Request) (secure, plainElsewhere bool) {
	switch {
	case a.mode == SecureNever:
		return false, false
	case a.mode == SecureAlways, r.TLS != nil:
		return true, false
	case isLoopback(r.Host) && isLoopback(r.RemoteAddr) && !hasProxyHeader(r.Header):
		return a.forced, false
	}
	return true, true
}

// hasProxyHeader reports whether a proxy has left its mark on a request.
func hasProxyHeader(h http.Header) bool {
	for key := range h {
		switch {
		case strings.HasPrefix(key, "X-Forwarded-"):
			return true
		case key == "Forwarded", key == "X-Real-Ip", key == "Via":
			return true
		}
	}
	return false
}

// isLoopback reports whether address, a host with or without a port, is this host by
// itself and not by somebody's DNS (RFC 6761, section 6.3).
func isLoopback(address string) bool {
	host, ok := withoutPort(address)
	if !ok || host == "" {
		return false
	}
	if b := host[0]; b == ':' || '0' <= b && b <= '9' { // for names, ParseAddr's error would allocate
		ip, err := netip.ParseAddr(host)
		return err == nil && ip.Unmap().IsLoopback()
	}
	const name = "localhost"
	cut := len(host) - len(name)
	below := cut > 1 && host[cut-1] == '.'
	return (cut == 0 || below) && strings.EqualFold(host[cut:], name)
}

// withoutPort returns the host of "host", "host:port", "[v6]", "[v6]:port" and a bare IPv6
// address. Unlike net.SplitHostPort it does not allocate an error for the first form.
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

// cookieValues are the different values that came under one cookie name. A browser sends
// several where cookies of several paths or domains match, in an order that says nothing
// about which is ours (RFC 6265bis, section 4.2.2).
type cookieValues struct {
	values  [maxCookieValues]string
	n       int
	tooMany bool // there were more than fit into values
}

// findCookie returns the different values of the cookie name in all Cookie header lines, as
// they stand: unlike net/http it neither unquotes nor drops what no cookie of ours can be, so
// that the caller sees everything the client sent. Names are compared byte for byte after
// trimming spaces and tabs only; Unicode space, or a pair without "=", cannot slip a cookie
// past the name prefix rules of browsers. A request with more pairs than net/http reads is
// one without cookies here too. Nothing is allocated.
func findCookie(h http.Header, name string) (found cookieValues) {
	for _, line := range cookieLines(h) {
		for line != "" {
			var value string
			var ok bool
			if value, ok, line = cutCookie(line, name); ok {
				found.add(value)
			}
		}
	}
	return found
}

// add keeps a value that is not there yet.
func (v *cookieValues) add(value string) {
	for i := range v.n {
		if v.values[i] == value {
			return
		}
	}
	if v.n == len(v.values) {
		v.tooMany = true
		return
	}
	v.values[v.n] = value
	v.n++
}

// hasCookie reports whether a cookie name=value came. Without a Cookie header it costs one
// look into the map; it never allocates.
func hasCookie(h http.Header, name, value string) bool {
	for _, line := range cookieLines(h) {
		if !strings.Contains(line, name) {
			continue
		}
		for line != "" {
			var got string
			var ok bool
			if got, ok, line = cutCookie(line, name); ok && got == value {
				return true
			}
		}
	}
	return false
}

// cookieLines returns the Cookie header lines, or none where they hold too many pairs.
func cookieLines(h http.Header) []string {
	lines := h["Cookie"]
	pairs := len(lines)
	for _, line := range lines {
		pairs += strings.Count(line, ";")
	}
	if pairs > maxCookiePairs {
		return nil
	}
	return lines
}

// cutCookie takes the first pair off a Cookie line and reports whether it has that name.
func cutCookie(line, name string) (value string, ok bool, rest string) {
	pair, rest, _ := strings.Cut(line, ";")
	value, ok = strings.CutPrefix(trimLeftBlanks(pair), name)
	if !ok || name == "" {
		return "", false, rest // most pairs are others', and their values need no look
	}
	value, ok = strings.CutPrefix(trimLeftBlanks(value), "=")
	if !ok {
		return "", false, rest
	}
	return trimRightBlanks(value), true, rest
}

// trimLeftBlanks trims what RFC 9110, section 5.6.3, calls optional white space, and no other.
func trimLeftBlanks(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	return s
}

func trimRightBlanks(s string) string {
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// checkPrefix validates Prefix and what browsers demand of a cookie whose name begins so.
func checkPrefix(a CookieAttributes) error {
	const field = "CookieAttributes.Prefix"
	prefix := a.prefix()
	if !isToken(prefix) {
		return configFault(field,
			"%.64q is not allowed in a cookie name: use letters, digits and !#$%%&'*+-.^_`|~ "+
				"(RFC 6265, section 4.1.1)", prefix)
	}
	if len(prefix) > maxCookieNameBytes {
		return configFault(field, "%d bytes, at most %d are allowed", len(prefix), maxCookieNameBytes)
	}
	rule, host := namePrefix(prefix)
	if !host {
		return nil
	}
	var faults []error
	if a.path() != "/" {
		faults = append(faults, configFault(field,
			"browsers refuse a %s cookie whose Path is not \"/\" (RFC 6265bis, section 4.1.3.2): "+
				"leave Path empty", rule))
	}
	if a.Domain != "" {
		faults = append(faults, configFault(field,
			"browsers refuse a %s cookie with a Domain (RFC 6265bis, section 4.1.3.2): "+
				"leave Domain empty", rule))
	}
	return errors.Join(faults...)
}

// namePrefix returns the prefix of a cookie name to which browsers tie conditions, or "", and
// whether it binds the cookie to its host. They compare without regard to letter case, so
// that "__HOST-" protects too (RFC 6265bis, section 5.4). "__Host-Http-" asks for what
// "__Host-" asks for and HttpOnly, and "__Http-" for what "__Secure-" asks for and HttpOnly
// (draft-ietf-httpbis-layered-cookies, sections 4.1.3.3 and 4.1.3.4).
func namePrefix(name string) (rule string, host bool) {
	for _, rule := range []string{"__Host-Http-", "__Host-", "__Secure-", "__Http-"} {
		if len(name) >= len(rule) && strings.EqualFold(name[:len(rule)], rule) {
			return rule, strings.HasPrefix(rule, "__Host-")
		}
	}
	return "", false
}

// secureReasons names what in a makes browsers demand Secure.
func secureReasons(a CookieAttributes) []string {
	var reasons []string
	if rule, _ := namePrefix(a.prefix()); rule != "" {
		reasons = append(reasons, "the name prefix "+rule)
	}
	if a.sameSite() == http.SameSiteNoneMode {
		reasons = append(reasons, "SameSite=None")
	}
	if a.Partitioned {
		reasons = append(reasons, "Partitioned")
	}
	return reasons
}

// checkSecure refuses SecureNever where browsers demand Secure (RFC 6265bis, section 5.7).
func checkSecure(a CookieAttributes) error {
	const field = "CookieAttributes.Secure"
	if a.Secure < SecureAuto || a.Secure > SecureNever {
		return configFault(field,
			"%d is not a mode: use SecureAuto, SecureAlways or SecureNever", int(a.Secure))
	}
	if a.Secure != SecureNever {
		return nil
	}
	var faults []error
	for _, reason := range secureReasons(a) {
		faults = append(faults, configFault(field,
			"SecureNever with %s: browsers refuse such a cookie (RFC 6265bis, section 5.7): "+
				"use SecureAuto or SecureAlways", reason))
	}
	return errors.Join(faults...)
}

func checkSameSite(s http.SameSite) error {
	if s < 0 || s > http.SameSiteNoneMode {
		return configFault("CookieAttributes.SameSite",
			"%d is not a mode: use http.SameSiteLaxMode, SameSiteStrictMode or SameSiteNoneMode",
			int(s))
	}
	return nil
}

func sameSiteName(s http.SameSite) string {
	switch s {
	case http.SameSiteStrictMode:
		return "Strict"
	case http.SameSiteNoneMode:
		return "None"
	default:
		return "Lax"
	}
}

// checkPath refuses what browsers would replace by the directory of the request, which may be
// wider or narrower than meant (RFC 6265bis, section 5.6.4), and bytes that a request's path
// never has, so that the cookie would never come back.
func checkPath(path string) error {
	const field = "CookieAttributes.Path"
	switch {
	case len(path) > maxAttributeBytes:
		return tooLong(field, path)
	case !strings.HasPrefix(path, "/"):
		return configFault(field, "%q does not begin with \"/\"; browsers would ignore it", path)
	}
	for i := range len(path) {
		if b := path[i]; b <= ' ' || b >= 0x7f || strings.IndexByte("\"#;?\\", b) >= 0 {
			return configFault(field,
				"%q has %q in it, which no path of a request has: percent-encode it", path, b)
		}
	}
	return nil
}

func tooLong(field, value string) error {
	return configFault(field, "%d bytes, browsers ignore it above %d (RFC 6265bis, section 5.6)",
		len(value), maxAttributeBytes)
}

// checkDomain accepts host names of two labels and more. Browsers take a Domain of one label
// for none, or refuse the cookie; so they do with an address (RFC 6265bis, section 5.7).
func checkDomain(domain string) error {
	const field = "CookieAttributes.Domain"
	switch {
	case domain == "":
		return nil
	case len(domain) > maxAttributeBytes:
		return tooLong(field, domain)
	case len(domain) > maxDomainBytes:
		return configFault(field, "%d bytes, a host name has at most %d", len(domain), maxDomainBytes)
	case strings.HasPrefix(domain, "."):
		return configFault(field,
			"%q begins with a dot: leave it out, subdomains are included anyway", domain)
	case strings.HasSuffix(domain, "."):
		return configFault(field,
			"%q ends with a dot, so that no browser would match it: leave the dot out", domain)
	case isAddress(domain):
		return configFault(field,
			"%q is an IP address, to which browsers give no Domain: leave it empty", domain)
	case strings.Contains(domain, ":"):
		return configFault(field,
			"%q has a colon in it: cookies know no port and no scheme, only a host name", domain)
	}
	labels := strings.Split(domain, ".")
	for _, label := range labels {
		if !isLabel(label) {
			return configFault(field,
				"%q is not a host name: labels have 1 to %d letters, digits and inner hyphens, "+
					"other scripts in their xn-- form", domain, maxLabelBytes)
		}
	}
	if len(labels) == 1 {
		return configFault(field,
			"%q has no dot, and browsers take it for no Domain or refuse the cookie: leave it empty",
			domain)
	}
	return nil
}

// isAddress reports whether browsers would read domain as an IP address: they do so with
// every name that ends in a number.
func isAddress(domain string) bool {
	if _, err := netip.ParseAddr(strings.Trim(domain, "[]")); err == nil {
		return true
	}
	last := domain[strings.LastIndexByte(domain, '.')+1:]
	_, err := strconv.ParseUint(last, 0, 64)
	return err == nil
}

// isLabel reports whether s is letters, digits and inner hyphens (RFC 1123, section 2.1).
func isLabel(s string) bool {
	if s == "" || len(s) > maxLabelBytes || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if b := s[i]; !isAlphanumeric(b) && b != '-' {
			return false
		}
	}
	return true
}

// isToken reports whether s is a cookie-name of RFC 6265, section 4.1.1.
func isToken(s string) bool {
	for i := range len(s) {
		if b := s[i]; !isAlphanumeric(b) && strings.IndexByte("!#$%&'*+-.^_`|~", b) < 0 {
			return false
		}
	}
	return s != ""
}

func isAlphanumeric(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}
