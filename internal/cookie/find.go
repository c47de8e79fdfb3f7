package cookie

import (
	"slices"
	"strings"
)

const (
	maxPairs  = 3000 // in a request; net/http reads none above it (CVE-2025-58186)
	maxValues = 4    // different ones of one name that Find returns
)

// Values are the first different values of one cookie name, at most four. A browser sends several
// if cookies of several paths or domains match. Their order does not tell which is ours (RFC
// 6265bis, section 4.2.2).
type Values struct {
	values  [maxValues]string
	n       int
	TooMany bool // there were more than these
}

// List returns the values. They share the memory of v.
func (v *Values) List() []string { return v.values[:v.n] }

// Find returns the different values of the named cookie in the Cookie lines of a header. It allocates
// nothing. The name is a cookie-name (RFC 6265, section 4.1.1), as ValidName accepts, here and below.
//
// Unlike net/http it drops no value, so that the caller sees everything that the client sent. Names
// are compared byte for byte after trimming only spaces and tabs: neither Unicode space nor a pair
// without "=" can make a cookie pass for one with a name prefix of browsers. A quoted value (RFC
// 6265, section 4.1.1) is returned without its quotes. In a Cookie header of RFC 2965, $Version,
// $Path and $Domain are pairs like any other. A request with more pairs than net/http reads has no
// cookies here either.
func Find(lines []string, name string) (found Values) {
	for p := pairsOf(lines, name); p.next(); {
		switch {
		case slices.Contains(found.values[:found.n], p.value):
		case found.n == maxValues:
			found.TooMany = true
			return found
		default:
			found.values[found.n] = p.value
			found.n++
		}
	}
	return found
}

// All is Find for the first limit different values, for a sign-out that ends every session that
// came.
func All(lines []string, name string, limit int) (values []string) {
	for p := pairsOf(lines, name); len(values) < limit && p.next(); {
		values = appendNew(values, p.value)
	}
	return values
}

// HasPrefix reports whether a cookie of this name came whose value begins with prefix. It allocates
// nothing.
func HasPrefix(lines []string, name, prefix string) bool {
	for p := pairsOf(lines, name); p.next(); {
		if strings.HasPrefix(p.value, prefix) {
			return true
		}
	}
	return false
}

// Names returns the first limit different names other than known that begin with prefix and have suffix
// bytes more.
func Names(lines []string, prefix string, suffix, limit int, known string) (names []string) {
	if tooManyPairs(lines) {
		return nil
	}
	for _, line := range lines {
		for line != "" && len(names) < limit {
			var ok bool
			if line, ok = seek(line, prefix); !ok || len(line) < len(prefix)+suffix {
				break
			}
			name, rest := line[:len(prefix)+suffix], line[len(prefix)+suffix:]
			if name != known && strings.HasPrefix(trimLeft(rest), "=") && !strings.ContainsAny(name, "=; \t") {
				names = appendNew(names, name)
			}
			_, line, _ = strings.Cut(line, ";")
		}
	}
	return names
}

// HasSuffix reports whether a cookie may have come whose name ends in suffix. It reads each line once, for
// all names. A request with too many pairs has none for Find and HasPrefix, but may have one here.
func HasSuffix(lines []string, suffix string) bool {
	for _, line := range lines {
		for {
			i := strings.Index(line, suffix)
			if i < 0 {
				break
			}
			line = line[i+len(suffix):]
			if strings.HasPrefix(trimLeft(line), "=") {
				return true
			}
		}
	}
	return false
}

// pairs are the pairs of one name in Cookie lines.
type pairs struct {
	name  string
	lines []string
	line  string // what is left of the current one
	value string
}

func pairsOf(lines []string, name string) pairs {
	if name == "" || tooManyPairs(lines) {
		return pairs{}
	}
	return pairs{name: name, lines: lines}
}

// next finds the next pair, and reports whether there is one.
func (p *pairs) next() bool {
	for p.name != "" {
		rest, ok := seek(p.line, p.name)
		if !ok {
			if len(p.lines) == 0 {
				return false
			}
			p.line, p.lines = p.lines[0], p.lines[1:]
			continue
		}
		rest, p.line, _ = strings.Cut(rest[len(p.name):], ";")
		if value, ok := strings.CutPrefix(trimLeft(rest), "="); ok {
			p.value = unquoted(trimRight(value))
			return true
		}
	}
	return false
}

// seek returns a line from the first pair on whose name begins with prefix.
func seek(line, prefix string) (rest string, ok bool) {
	for at := 0; ; at++ {
		i := strings.Index(line[at:], prefix)
		if i < 0 {
			return "", false
		}
		at += i
		if before := trimRight(line[:at]); before == "" || before[len(before)-1] == ';' {
			return line[at:], true
		}
	}
}

func tooManyPairs(lines []string) bool {
	pairs, size := len(lines), len(lines)
	for _, line := range lines {
		size += len(line)
	}
	if size <= maxPairs { // each pair takes a byte
		return false
	}
	for _, line := range lines {
		pairs += strings.Count(line, ";")
	}
	return pairs > maxPairs
}

// unquoted takes the quotes off a quoted value.
func unquoted(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}

// trimLeft trims what RFC 9110, section 5.6.3, calls optional white space, and no other.
func trimLeft(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	return s
}

func trimRight(s string) string {
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}
