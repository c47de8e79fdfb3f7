package session

import (
	"net/http"
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
	if ended := s.endings.called && s.cookieCame(); s.loaded.several || ended {
		cookie.Add(h, s.source.cookie, s.cookieLines(ended)...)
	} else if s.hasNewCookie() {
		cookie.Add(h, s.source.cookie, s.newCookie())
	}
	s.writeHint(h)
}

// newCookie returns the Set-Cookie line of the session.
func (s *Session) newCookie() string {
	if s.source.cookies != nil {
		return s.source.cookies.line(s.token, s.stored, s.setCookie)
	}
	var text [tokenLength]byte
	return s.setCookie(s.token.appendText(text[:0]))
}

func (s *Session) setCookie(value []byte) string { return s.setLine(s.source.cookie, value) }

// setLine returns the Set-Cookie line of a cookie that lasts as long as the session.
func (s *Session) setLine(name string, value []byte) string {
	now := s.now()
	return s.request.manager.cookies.Set(name, value, s.maxAge(now), s.secure(), now)
}

// cookieLines returns the Set-Cookie lines of a response that ends a session, or of a request with several
// different cookies of the name. Those are left from other attributes, or set by other hosts: all but the
// current one are expired first.
func (s *Session) cookieLines(ended bool) []string {
	cookies, r := s.request.manager.cookies, s.request.incoming
	lines := cookies.ExpireVariants(s.source.cookie, r.Host, r.URL.EscapedPath(), s.secure())
	switch {
	case s.stored != nil: // some clients take a line above for the current cookie
		lines = append(lines, s.newCookie())
	case ended && s.stored == nil:
		lines = append(lines, cookies.Expire(s.source.cookie, s.secure()))
	}
	return lines
}

// hasNewCookie reports whether the client does not have the session's cookie yet. It gets that of a
// Login once the session of the user before has ended.
func (s *Session) hasNewCookie() bool {
	if s.stored == nil || s.source.byIP || len(s.endings.after) > 0 {
		return false
	}
	if s.source.cookies != nil {
		return s.stored != s.loaded.record
	}
	return s.token != s.loaded.token
}

// wasSaved reports whether the request has stored or ended something that the client has to be told
// of, also if the request fails afterwards.
func (s *Session) wasSaved() bool {
	if s.loaded.status == failed || len(s.endings.before)+len(s.endings.after) > 0 {
		return false // what was to be ended may still open
	}
	return s.hasNewCookie() || s.endings.called
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

// writeHint sets or clears the cookie that says that flash is pending. Of a session that was lost
// meanwhile it says nothing: the request that replaced the token may have stored flash and said so.
func (s *Session) writeHint(h http.Header) {
	if s.isLost() {
		return
	}
	cookies := s.request.manager.cookies
	has := s.request.hinted && cookie.Has(s.request.cookies, s.source.hint, hintValue)
	switch pending := s.hasFlash(); {
	case pending && !has:
		cookie.Add(h, s.source.hint, s.setLine(s.source.hint, []byte(hintValue)))
	case has && !pending:
		cookie.Add(h, s.source.hint, cookies.Expire(s.source.hint, s.secure()))
	}
}

func (s *Session) secure() bool {
	secure, plainElsewhere := s.request.manager.cookies.SecureFor(s.request.incoming)
	if plainElsewhere {
		s.request.manager.log.plainHTTP(s.request.incoming)
	}
	return secure
}
