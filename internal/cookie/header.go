package cookie

import (
	"net/http"
	"slices"
	"strings"
)

// Add adds the Set-Cookie line of the named cookie in place of earlier lines of that name: a
// response has at most one (RFC 6265bis, section 4.1.1). Lines of ExpireVariants, which have the
// same name and delete other cookies, go before it in the same call.
func Add(h http.Header, name string, lines ...string) {
	Drop(h, func(other string) bool { return other == name })
	h["Set-Cookie"] = append(h["Set-Cookie"], lines...)
}

// Drop removes the Set-Cookie lines of the cookies whose names match. It changes no slice that others
// may hold.
func Drop(h http.Header, match func(name string) bool) {
	isNamed := func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		return match(strings.TrimSpace(name))
	}
	lines := h["Set-Cookie"]
	if !slices.ContainsFunc(lines, isNamed) {
		return
	}
	lines = slices.DeleteFunc(slices.Clone(lines), isNamed)
	if len(lines) == 0 {
		delete(h, "Set-Cookie")
		return
	}
	h["Set-Cookie"] = lines
}
