package session

import (
	"net/http"
	"strings"
	"time"

	"example.com/session/internal/cookie"
)

// writeHeader adds what the state of the sessions asks of the header. The sessions are locked.
func (r *requestState) writeHeader(sessions []*Session) {
	h := r.writer.Inner().Header()
	used, noStore := false, false // a page that was prefetched is asked for again if it shows flash
	for _, s := range sessions {
		if s.isUntouched() {
			continue
		}
		used, noStore = true, noStore || s.source.byIP || len(s.flash.read) > 0 && isPrefetch(r.incoming.Header)
		s.writeCookies(h)
	}
	if used {
		r.writer.ProtectFromCaches(noStore)
	}
}

// writeCookies adds the Set-Cookie lines of a session. A cookie that the client has is never repeated, so
// that a late response does not bring an old one back.
func (s *Session) writeCookies(h http.Header) {
	if s.source.byIP || s.loaded.status == anonymous { // in an outage nothing is known of the client's cookies
		return
	}
	size := 0
	add := func(name string, lines ...string) {
		cookie.Add(h, name, lines...)
		for _, line := range lines {
			size += len(line)
		}
	}
	ended, variants := s.endings.called() && s.cookieCame(), cookie.MaxVariants
	if s.loaded.several || ended {
		lines := s.cookieLines(ended)
		add(s.source.cookie, lines...)
		variants -= len(lines)
	} else if s.hasNewCookie() && s.token != s.loaded.token {
		add(s.source.cookie, s.tokenLine())
	}
	if s.source.cookies != nil {
		s.addData(add, ended, max(variants, 0))
	}
	s.addHint(add)
	s.expireOld(h)
	if size > largeCookies {
		s.request.manager.log.largeCookies(s, size)
	}
}

// largeCookies is how many bytes of Set-Cookie lines are worth a warning: the buffer for a header has
// 4 KB in many proxies.
const largeCookies = 2560

// tokenLine returns the line of the cookie that holds the token of the session.
func (s *Session) tokenLine() string {
	if s.source.cookies != nil {
		return s.seal(s.source.cookie, "", s.token.appendRaw)
	}
	var text [tokenLength]byte
	return s.setLine(s.source.cookie, s.token.appendText(text[:0]))
}

// setLine returns the Set-Cookie line of a cookie that lasts as long as the session.
func (s *Session) setLine(name string, value []byte) string {
	now := s.now()
	return s.request.manager.cookies.Set(name, value, s.maxAge(now), s.secure(), now)
}

// cookieLines returns the Set-Cookie lines of a response that ends a session, or of a request with several
// different cookies of the name. Those are left from other attributes, or set by other hosts: all but the
// current one are expired first.
func (s *Session) cookieLines(ended bool) []string {
	lines := s.expireVariants(s.source.cookie, cookie.MaxVariants)
	switch {
	case s.stored != nil: // some clients take a line above for the current cookie
		lines = append(lines, s.tokenLine())
	case ended:
		lines = append(lines, s.request.manager.cookies.Expire(s.source.cookie, s.secure()))
	}
	return lines
}

func (s *Session) expireVariants(name string, most int) []string {
	r := s.request.incoming
	return s.request.manager.cookies.ExpireVariants(name, r.Host, r.URL.EscapedPath(), s.secure(), most)
}

// hasNewCookie reports whether the client does not have the session's cookie yet. It gets that of a
// Login once the session of the user before has ended.
func (s *Session) hasNewCookie() bool {
	if s.stored == nil || s.source.byIP || len(s.endings.after) > 0 {
		return false
	}
	return s.token != s.loaded.token || s.source.cookies != nil && s.stored != s.loaded.record
}

// wasSaved reports whether the request has stored or ended something that the client has to be told
// of, also if the request fails afterwards.
func (s *Session) wasSaved() bool {
	if s.loaded.status == failed || len(s.endings.before)+len(s.endings.after) > 0 {
		return false // what was to be ended may still open
	}
	return s.hasNewCookie() || s.endings.called()
}

// maxAge returns what is left of the lifetime, or 0 if the cookie ends with the browser.
func (s *Session) maxAge(now time.Time) time.Duration {
	limits := s.stored.Limits()
	if s.request.manager.cfg.CookieAttributes.SessionOnly && !limits.Remembered {
		return 0
	}
	if !limits.Remembered {
		limits.Lifetime = min(limits.Lifetime, s.source.limits.Lifetime)
	}
	return max(s.stored.CreatedAt().Add(limits.Lifetime).Sub(now), time.Second)
}

// addHint sets or clears the cookie that says that flash is pending, and when the session was last used
// if no other cookie says so. Of a session that was lost meanwhile it says nothing: the request that
// replaced the token may have stored flash and said so. Nor of one that this process cannot open.
func (s *Session) addHint(add func(name string, lines ...string)) {
	if s.isLost() || s.source.cookies != nil && s.stored == nil && !s.endings.called() && s.cookieCame() {
		return
	}
	came := s.hint()
	want := noFlash
	if s.hasFlash() {
		want = hintValue
	}
	switch {
	case s.token != s.loaded.token: // the last use is of another identity
	case s.hasNewCookie() && !s.hasNewContent():
		add(s.source.hint, s.sealUse(want))
		return
	case came != "":
		want += came[1:]
	}
	switch {
	case want == came, want == noFlash && came == "":
	case want == noFlash:
		add(s.source.hint, s.request.manager.cookies.Expire(s.source.hint, s.secure()))
	default:
		add(s.source.hint, s.setLine(s.source.hint, []byte(want)))
	}
}

// hint returns the value of the flash cookie that came, "" if none did. Of several, it is one that says
// that flash is pending.
func (s *Session) hint() (came string) {
	if !s.request.hinted && s.source.cookies == nil {
		return ""
	}
	found := cookie.Find(s.request.cookies, s.source.hint)
	for _, text := range found.List() {
		switch {
		case strings.HasPrefix(text, hintValue):
			return text
		case strings.HasPrefix(text, noFlash):
			came = text
		}
	}
	return came
}

func (s *Session) secure() bool {
	secure, plainElsewhere := s.request.manager.cookies.SecureFor(s.request.incoming)
	if plainElsewhere {
		s.request.manager.log.plainHTTP(s.request.incoming)
	}
	return secure
}
