package session

import (
	"net/http"
	"strings"
	"time"
)

// What a commit says in the header: the cookies of the sessions, and to caches that the response
// is one client's.

// writeHeader adds what the sessions' state asks of the header.
func (q *request) writeHeader(sessions []*Session) {
	h := q.writer.inner.Header()
	opened, byIP, cookies := false, false, false
	for _, s := range sessions {
		if s.opened {
			opened = true
			byIP = byIP || s.src.byIP
			cookies = s.writeCookies(h) || cookies
		}
	}
	if opened {
		protectFromCaches(h, &q.arrival.fields, byIP, cookies)
	}
}

// writeCookies adds the Set-Cookie lines of a session and reports whether there are any.
func (s *Session) writeCookies(h http.Header) bool {
	if s.src.byIP || s.anonymous != nil {
		return false // nothing is known of the client's cookies in an outage
	}
	wrote := s.writeToken(h)
	if !wrote && s.mustClear() {
		s.setCookie(h, s.src.cookie, s.q.m.cookies.clear(s.src.cookie, s.secure()))
		wrote = true
	}
	if s.q.m.cfg.CookieAttributes.Domain != "" && s.mayLeaveStray() {
		h.Add("Set-Cookie", s.q.m.cookies.clearHostOnly(s.src.cookie, s.secure()))
		wrote = true
	}
	return s.writeHint(h) || wrote
}

// writeToken adds the session's cookie where its token is new: one that the client has is
// never repeated, so that no late response brings an old one back.
func (s *Session) writeToken(h http.Header) bool {
	if s.tok == nil || (s.rec != nil && s.rec.token == *s.tok) {
		return false
	}
	s.setCookie(h, s.src.cookie, s.q.m.cookies.appendSet(s.src.cookie, s.tok.Value(), s.maxAge(), s.secure()))
	return true
}

// maxAge returns what is left of the lifetime, or 0 where the cookie ends with the browser.
func (s *Session) maxAge() time.Duration {
	if s.q.m.cfg.CookieAttributes.SessionOnly && !s.lasting {
		return 0
	}
	left := time.Duration(s.lifeEnds-s.now()) * time.Millisecond
	return max(left, time.Second)
}

// now returns the time of this commit, in milliseconds since 1970: that of its save, or else the
// clock's, which takes as long to read as 100 bytes to seal.
func (s *Session) now() int64 {
	if s.saved != nil {
		return s.saved.now
	}
	return s.q.now().UnixMilli()
}

// mustClear reports whether a cookie that came is of no use any more: its session was
// destroyed, or it cannot be ours. That of an unknown or expired session is left alone.
func (s *Session) mustClear() bool {
	if s.extras == nil || s.tok != nil {
		return false
	}
	return s.extras.unusable || (s.extras.gone && s.cookieCame())
}

// mayLeaveStray reports whether the browser may go on sending a cookie that a Set-Cookie line
// with Domain does not replace: one without, from before Domain was set.
func (s *Session) mayLeaveStray() bool {
	x := s.extras
	return x != nil && (x.doubles || x.unusable || (x.gone && s.cookieCame()))
}

func (s *Session) cookieCame() bool {
	found := findCookie(s.q.original.Header, s.src.cookie)
	return found.n > 0
}

// writeHint sets or clears the cookie that says that flash is pending.
//
// Of a session that died meanwhile nothing is said: the request that gave it a new token may
// have stored flash and said so.
func (s *Session) writeHint(h http.Header) bool {
	if s.dead {
		return false
	}
	has := s.q.hinted && hasCookie(s.q.original.Header, s.src.hint, hintValue)
	flashes := s.flashes && s.tok != nil
	switch {
	case flashes && !has:
		s.setCookie(h, s.src.hint, s.q.m.cookies.appendSet(s.src.hint, hintValue, s.maxAge(), s.secure()))
	case has && !flashes:
		s.setCookie(h, s.src.hint, s.q.m.cookies.clear(s.src.hint, s.secure()))
	default:
		return false
	}
	return true
}

func (s *Session) secure() bool {
	secure, elsewhere := s.q.m.cookies.secureFor(s.q.original)
	if elsewhere {
		s.q.m.log.plainHTTP(s.q.original)
	}
	return secure
}

// setCookie adds a Set-Cookie line in place of others of its name: a response has one at the
// most (RFC 6265bis, section 4.1.1).
func (s *Session) setCookie(h http.Header, name, line string) {
	if lines := h["Set-Cookie"]; len(lines) == 0 {
		h["Set-Cookie"] = []string{line}
		return
	}
	dropCookie(h, name)
	h["Set-Cookie"] = append(h["Set-Cookie"], line)
}

// dropCookie takes the Set-Cookie lines of a name out of a header.
func dropCookie(h http.Header, name string) {
	lines := h["Set-Cookie"]
	kept := lines[:0:0]
	for _, line := range lines {
		if n, _, _ := strings.Cut(line, "="); strings.TrimSpace(n) != name {
			kept = append(kept, line)
		}
	}
	if len(kept) == len(lines) {
		return
	}
	if len(kept) == 0 {
		delete(h, "Set-Cookie")
		return
	}
	h["Set-Cookie"] = kept
}

// protectFromCaches says that a response depends on the session (ASVS 14.3.2), and keeps one
// that sets a cookie from every cache that several clients share.
// The values of both fields stand in lines, which belongs to this response.
func protectFromCaches(h http.Header, lines *[2]string, byIP, cookies bool) {
	lines[0], lines[1] = "Cookie", "private, no-cache"
	if vary := h["Vary"]; len(vary) == 0 {
		h["Vary"] = lines[:1:1]
	} else if !varies(vary) {
		h["Vary"] = append(vary, "Cookie")
	}
	switch control := h["Cache-Control"]; {
	case byIP:
		h["Cache-Control"] = []string{"private, no-store"}
	case len(control) == 0:
		h["Cache-Control"] = lines[1:]
	case cookies:
		h["Cache-Control"] = []string{keepPrivate(control)}
	}
	if cookies || byIP {
		dropSharedCaching(h)
	}
}

// dropSharedCaching takes out what shared caches obey in place of Cache-Control (RFC 9213). Most
// headers are known to have none of that before all of it is looked at.
func dropSharedCaching(h http.Header) {
	known := 2 // Vary and Cache-Control are there by now
	for _, key := range [...]string{"Set-Cookie", "Content-Type"} {
		if len(h) == known {
			return
		}
		if _, ok := h[key]; ok {
			known++
		}
	}
	if len(h) == known {
		return
	}
	for key := range h {
		if key == "Surrogate-Control" || key == "Cdn-Cache-Control" || strings.HasSuffix(key, "-Cdn-Cache-Control") {
			delete(h, key)
		}
	}
}

func varies(lines []string) bool {
	for _, line := range lines {
		for field := range strings.SplitSeq(line, ",") {
			if field = strings.TrimSpace(field); field == "*" || strings.EqualFold(field, "Cookie") {
				return true
			}
		}
	}
	return false
}

// keepPrivate takes out of Cache-Control what lets shared caches store, and adds private unless
// the handler said private or no-store.
func keepPrivate(control []string) string {
	var kept []string
	private := false
	for _, part := range splitUnquoted(strings.Join(control, ",")) {
		part = strings.TrimSpace(part)
		name, _, fields := strings.Cut(strings.ToLower(part), "=")
		switch name = strings.TrimSpace(name); {
		case name == "" || name == "public" || name == "s-maxage":
			continue
		case name == "private" && fields:
			continue // it speaks of some fields only: the rest could be stored
		case name == "private" || name == "no-store":
			private = true
		}
		kept = append(kept, part)
	}
	if !private {
		kept = append([]string{"private"}, kept...)
	}
	return strings.Join(kept, ", ")
}

// splitUnquoted splits a list at its commas, but for those within a quoted string.
func splitUnquoted(list string) []string {
	var parts []string
	quoted, start := false, 0
	for i := 0; i < len(list); i++ {
		switch {
		case list[i] == '"':
			quoted = !quoted
		case list[i] == '\\' && quoted:
			i++ // what it escapes
		case list[i] == ',' && !quoted:
			parts = append(parts, list[start:i])
			start = i + 1
		}
	}
	return append(parts, list[start:])
}
