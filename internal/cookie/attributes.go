// Package cookie reads and writes the cookies of the session library: it validates their names and
// attributes as browsers do, finds values in Cookie headers, and makes Set-Cookie lines.
package cookie

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

const (
	maxPath   = 1024 // bytes of Path: RFC 6265bis, section 5.6
	maxPrefix = 64   // bytes of Prefix
	maxDomain = 253  // bytes of a host name: RFC 1035, section 2.3.4, without length bytes
)

// A Mode says when cookies are restricted to TLS.
type Mode int

const (
	Auto   Mode = iota // except for requests from this host to this host without TLS
	Always             // in every response
	Never              // in no response
)

// Attributes are what the Set-Cookie lines of one manager have in common.
type Attributes struct {
	Path        string        // empty means "/"
	Domain      string        // empty means the host alone
	SameSite    http.SameSite // zero and http.SameSiteDefaultMode mean Lax
	Secure      Mode
	Partitioned bool
	Prefix      string // of the names; empty means one to which browsers tie no conditions
}

// Validate reports all that browsers would silently refuse, or silently widen, together. net/http
// writes it without complaint. The texts name the fields of the public configuration.
func (a Attributes) Validate() error {
	return errors.Join(
		a.validatePrefix(),
		validatePath(a.path()),
		validateDomain(a.Domain),
		a.validateSameSite(),
		a.validateSecure(),
	)
}

func (a Attributes) path() string { return cmp.Or(a.Path, "/") }

// sameSite returns SameSite, or Lax for zero and http.SameSiteDefaultMode, which are less than Lax.
func (a Attributes) sameSite() http.SameSite { return max(a.SameSite, http.SameSiteLaxMode) }

// attributeError returns the error for a field of the attributes.
func attributeError(field, format string, args ...any) error {
	return fmt.Errorf("session: Config.CookieAttributes.%s: %s", field, fmt.Sprintf(format, args...))
}

// validatePrefix checks Prefix, and what browsers demand of a cookie whose name begins with it.
func (a Attributes) validatePrefix() error {
	const field = "Prefix"
	switch {
	case a.Prefix == "":
		return nil
	case !ValidName(a.Prefix):
		return attributeError(field,
			"%.64q is not allowed in a cookie name: use letters, digits and !#$%%&'*+-.^_`|~ "+
				"(RFC 6265, section 4.1.1)", a.Prefix)
	case len(a.Prefix) > maxPrefix:
		return attributeError(field, "%d bytes, at most %d are allowed", len(a.Prefix), maxPrefix)
	}
	rule, host := NamePrefix(a.Prefix)
	if !host {
		return nil
	}
	var errs []error
	if a.path() != "/" {
		errs = append(errs, attributeError(field,
			"browsers refuse a %s cookie whose Path is not \"/\" (RFC 6265bis, section 4.1.3.2): "+
				"leave Path empty", rule))
	}
	if a.Domain != "" {
		errs = append(errs, attributeError(field,
			"browsers refuse a %s cookie with a Domain (RFC 6265bis, section 4.1.3.2): "+
				"leave Domain empty", rule))
	}
	return errors.Join(errs...)
}

// ValidName reports whether s is a cookie-name of RFC 6265, section 4.1.1.
func ValidName(s string) bool { return (&http.Cookie{Name: s}).Valid() == nil }

// NamePrefix returns the prefix of a cookie name to which browsers tie conditions, or "", and
// whether it binds the cookie to its host. Browsers compare without regard to letter case, so
// "__HOST-" protects too (RFC 6265bis, section 5.4). "__Host-Http-" demands what "__Host-" demands
// and HttpOnly, and "__Http-" what "__Secure-" demands and HttpOnly
// (draft-ietf-httpbis-layered-cookies, sections 4.1.3.3 and 4.1.3.4).
func NamePrefix(name string) (rule string, host bool) {
	for _, rule := range []string{"__Host-Http-", "__Host-", "__Secure-", "__Http-"} {
		if len(name) >= len(rule) && strings.EqualFold(name[:len(rule)], rule) {
			return rule, strings.HasPrefix(rule, "__Host-")
		}
	}
	return "", false
}

// secureReasons names the attributes for which browsers demand Secure (RFC 6265bis, section 5.7).
func (a Attributes) secureReasons() []string {
	var reasons []string
	if rule, _ := NamePrefix(a.Prefix); rule != "" {
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

func (a Attributes) validateSecure() error {
	const field = "Secure"
	if a.Secure < Auto || a.Secure > Never {
		return attributeError(field,
			"%d is not a mode: use SecureAuto, SecureAlways or SecureNever", int(a.Secure))
	}
	if a.Secure != Never {
		return nil
	}
	var errs []error
	for _, reason := range a.secureReasons() {
		errs = append(errs, attributeError(field,
			"SecureNever with %s: browsers refuse such a cookie (RFC 6265bis, section 5.7): "+
				"use SecureAuto or SecureAlways", reason))
	}
	return errors.Join(errs...)
}

func (a Attributes) validateSameSite() error {
	if a.SameSite < 0 || a.SameSite > http.SameSiteNoneMode {
		return attributeError("SameSite",
			"%d is not a mode: use http.SameSiteLaxMode, SameSiteStrictMode or SameSiteNoneMode",
			int(a.SameSite))
	}
	return nil
}

// validatePath refuses what browsers would replace by the directory of the request, which may be
// wider or narrower than meant (RFC 6265bis, section 5.6.4), and bytes that the path of a request
// never has, so that the cookie would never come back.
func validatePath(path string) error {
	const field = "Path"
	switch {
	case len(path) > maxPath:
		return attributeError(field, "%d bytes, browsers ignore it above %d (RFC 6265bis, section 5.6)",
			len(path), maxPath)
	case !strings.HasPrefix(path, "/"):
		return attributeError(field, "%q does not begin with \"/\"; browsers would ignore it", path)
	}
	for i := range len(path) {
		if b := path[i]; b <= ' ' || b >= 0x7f || strings.IndexByte("\"#;?\\", b) >= 0 {
			return attributeError(field,
				"%q contains %q, which no path of a request contains: percent-encode it", path, b)
		}
	}
	return nil
}

// validateDomain accepts host names of two labels and more. Browsers take a Domain of one label for
// none, or refuse the cookie. They treat an address the same way (RFC 6265bis, section 5.7).
func validateDomain(domain string) error {
	const field = "Domain"
	switch {
	case domain == "":
		return nil
	case len(domain) > maxDomain:
		return attributeError(field, "%d bytes, a host name has at most %d", len(domain), maxDomain)
	case strings.HasPrefix(domain, "."):
		return attributeError(field,
			"%q begins with a dot: leave it out, subdomains are included anyway", domain)
	case strings.HasSuffix(domain, "."):
		return attributeError(field,
			"%q ends with a dot, so that no browser would match it: leave the dot out", domain)
	case isAddress(domain):
		return attributeError(field,
			"%q is an IP address, which cannot be a Domain: leave it empty", domain)
	case strings.Contains(domain, ":"):
		return attributeError(field,
			"%q has a colon: a Domain is a host name without scheme and port", domain)
	case (&http.Cookie{Name: "s", Domain: domain}).Valid() != nil:
		return attributeError(field,
			"%q is not a host name: labels have 1 to 63 letters, digits and inner hyphens, "+
				"other scripts in their xn-- form", domain)
	case !strings.Contains(domain, "."):
		return attributeError(field,
			"%q has no dot: browsers ignore it or refuse the cookie: leave it empty",
			domain)
	}
	return nil
}

// isAddress reports whether browsers would read domain as an IP address: they do so with every name
// that ends in a number.
func isAddress(domain string) bool {
	if _, err := netip.ParseAddr(strings.Trim(domain, "[]")); err == nil {
		return true
	}
	last := domain[strings.LastIndexByte(domain, '.')+1:]
	_, err := strconv.ParseUint(last, 0, 64)
	return err == nil
}
