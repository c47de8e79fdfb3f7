package cookie

import (
	"iter"
	"slices"
	"strings"
)

// MaxVariants is how many lines one response spends on cookies that may not exist.
const MaxVariants = 12

// ExpireVariants returns Set-Cookie lines that delete cookies of this name with other attributes
// than the current ones: what an earlier configuration, or a host of the same site, may have left
// behind, so that it does not come back beside the current cookie. The attributes are those with
// which a cookie would come with a request for requestPath, as it was sent, at host: without
// Domain, with the configured Domain, with host and its parents; "/", the configured path and the
// prefixes of requestPath; with and without Partitioned. The lines are the likeliest ones first, at
// most the given number, and never that of the current attributes.
//
// A client that does not know Partitioned takes the line that differs in nothing else for one of
// the current cookie. So the lines belong before the one that sets the current cookie, see [Add].
//
// A name that begins with "__Host-" has only one Domain and Path, which browsers ensure.
func (w *Writer) ExpireVariants(name, host, requestPath string, secure bool, most int) []string {
	domains, paths := []string{w.attributes.Domain}, []string{w.attributes.path()}
	if _, bound := NamePrefix(name); !bound {
		domains, paths = w.domains(host), w.paths(requestPath)
	}
	var lines []string
	for a := range w.variants(domains, paths) {
		if len(lines) == most {
			break
		}
		// Browsers have kept a partitioned cookie only with Secure, and refuse the line without it.
		flags := flagsOf(a, secure || w.forced || a.Partitioned)
		lines = append(lines, name+"="+scopeOf(a.Path, a.Domain)+expired+flags)
	}
	return lines
}

// variants yields the combinations of attributes without the current one, the likeliest first. Each
// list begins with the current attribute and continues with ever less likely ones, so the sum of
// the indexes tells how unlikely a combination is.
func (w *Writer) variants(domains, paths []string) iter.Seq[Attributes] {
	return func(yield func(Attributes) bool) {
		for distance := 1; distance < len(domains)+len(paths); distance++ {
			for changed := range 2 { // whether Partitioned is the other one than now
				for d := min(distance-changed, len(domains)-1); d >= 0; d-- {
					p := distance - changed - d
					if p >= len(paths) {
						break
					}
					a := w.attributes
					a.Domain, a.Path, a.Partitioned = domains[d], paths[p], a.Partitioned != (changed == 1)
					if !yield(a) {
						return
					}
				}
			}
		}
	}
}

// domains returns the current Domain, none, and then host and its parents, which browsers accept as
// Domain of a response from host. An address and a name of one label have none.
func (w *Writer) domains(host string) []string {
	list := appendNew([]string{strings.ToLower(w.attributes.Domain)}, "")
	host, ok := withoutPort(strings.ToLower(host))
	for ok && host != "" && validateDomain(host) == nil && len(list) <= MaxVariants {
		list = appendNew(list, host)
		_, host, _ = strings.Cut(host, ".")
	}
	return list
}

// paths returns the current Path, "/", and then the prefixes of requestPath with and without a
// slash at the end: browsers keep "/app" and "/app/" apart.
func (w *Writer) paths(requestPath string) []string {
	list := appendNew([]string{w.attributes.path()}, "/")
	if validatePath(requestPath) != nil {
		return list
	}
	for i := 1; i <= len(requestPath) && len(list) <= MaxVariants; i++ {
		if i == len(requestPath) || requestPath[i] == '/' {
			list = appendNew(list, requestPath[:i])
			list = appendNew(list, requestPath[:min(i+1, len(requestPath))])
		}
	}
	return list
}

// appendNew appends s unless the list has it.
func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}
