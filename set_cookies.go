package session

import (
	"net/http"
	"strings"
	"time"

	"example.com/session/internal/cookie"
)

// writeHeader adds the cookies of the sessions to the header, and keeps shared caches from storing
// the page. If the request has failed, it adds the cookies of the saved sessions only. The sessions
// are locked.
func (r *requestState) writeHeader(sessions []*Session, failed bool) {
	h := r.writer.Inner().Header()
	used, noStore := false, false // a page that was prefetched is asked for again if it shows flash
	for _, s := range sessions {
		if s.isUntouched() {
			continue
		}
		used, noStore = true, noStore || s.source.byIP || len(s.flash.read) > 0 && isPrefetch(r.incoming.Header)
		if !failed || s.wasSaved() {
			s.writeCookies(h)
		}
	}
	if used {
		r.writer.ProtectFromCaches(noStore)
	}
}

// A lineWriter adds the Set-Cookie lines of a session to a header.
type lineWriter struct {
	session  *Session
	header   http.Header
	size     int // of the lines, bytes
	variants int // how many more lines may delete variants of cookies
	sentData bool
}

// add adds the line of a cookie, "" if it only deletes variants: cookies of the name that are left from
// other attributes, or set by other hosts. They go first, because some clients take one of those lines
// for the current cookie.
func (w *lineWriter) add(name, line string, withVariants bool) {
	var few [1]string
	lines := few[:0]
	if r := w.session.request; withVariants {
		lines = r.manager.cookies.ExpireVariants(name, r.incoming.Host, r.incoming.URL.EscapedPath(),
			w.session.secure(), w.variants)
		w.variants -= len(lines)
	}
	if line != "" {
		lines = append(lines, line)
	}
	cookie.Add(w.header, name, lines...)
	for _, line := range lines {
		w.size += len(line)
	}
}

// remove adds the line that deletes a cookie.
func (w *lineWriter) remove(name string, withVariants bool) {
	w.add(name, w.session.request.manager.cookies.Expire(name, w.session.secure()), withVariants)
}

// writeCookies adds the Set-Cookie lines of a session. A cookie that the client has is never repeated, so
// that a late response does not bring an old one back.
func (s *Session) writeCookies(h http.Header) {
	if s.source.byIP || s.loaded.status == anonymous { // in an outage nothing is known of the client's cookies
		return
	}
	w := lineWriter{session: s, header: h, variants: cookie.MaxVariants}
	ended := s.endings.called() && s.cookieCame()
	s.addToken(&w, ended)
	if s.source.cookies != nil {
		s.addData(&w, ended)
	}
	s.addHint(&w)
	s.expireOld(h)
	if w.size > largeCookies {
		s.log(tooLargeCookies, "bytes", w.size)
	}
}

// largeCookies is how many bytes of Set-Cookie lines are worth a warning: the buffer for a header has
// 4 KB in many proxies.
const largeCookies = 2560

// addToken adds the line of the cookie that holds the token, if the token is new, the request had
// several such cookies, or the session was ended.
func (s *Session) addToken(w *lineWriter, ended bool) {
	name, several := s.source.cookie, s.loaded.several || ended
	switch {
	case s.stored != nil && (several || s.hasNewCookie() && s.token != s.loaded.token):
		w.add(name, s.tokenLine(), several)
	case ended:
		w.remove(name, true)
	case several:
		w.add(name, "", true)
	}
}

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

// hasNewCookie reports whether the client does not have the session's token yet, or, on the cookie
// driver, its record. After a Login of another user, the client gets them only once the earlier
// user's session has ended.
func (s *Session) hasNewCookie() bool {
	if s.stored == nil || s.source.byIP || len(s.endings.after) > 0 {
		return false
	}
	return s.token != s.loaded.token || s.source.cookies != nil && s.stored != s.loaded.record
}

// wasSaved reports whether the request has saved or ended a session, so that the client needs the
// cookies even if the request fails afterwards.
func (s *Session) wasSaved() bool {
	if s.loaded.status == failed || len(s.endings.before)+len(s.endings.after) > 0 {
		return false // what was to be ended may still open
	}
	return s.hasNewCookie() || s.endings.called()
}

// maxAge returns what is left of the lifetime, or 0 if the cookie ends with the browser.
func (s *Session) maxAge(now time.Time) time.Duration {
	limits := s.source.limitsOf(s.stored)
	if s.request.manager.cfg.CookieAttributes.SessionOnly && !limits.Remembered {
		return 0
	}
	return max(s.stored.CreatedAt().Add(limits.Lifetime).Sub(now), time.Second)
}

// addHint sets or clears the cookie that says whether flash is pending. The cookie also has the
// last use of the session, if no other cookie has it. addHint leaves the cookie unchanged if
// another request has replaced the token or ended the session, because that request may have set
// it, and if this process cannot open the session.
func (s *Session) addHint(w *lineWriter) {
	if s.isLost() || s.source.cookies != nil && s.stored == nil && !s.endings.called() && s.cookieCame() {
		return
	}
	had, use, several := s.hint()
	want := noFlash
	if s.stored != nil && s.stored.HasFlash() { // whether or not its FlashTTL has passed
		want = hintValue
	}
	changed := had != want || use != "" && s.token != s.loaded.token
	several = several || had == hintValue && (s.loaded.record == nil || !s.loaded.record.HasFlash())
	name := s.source.hint
	switch {
	case s.source.cookies != nil && (s.hasNewCookie() && !w.sentData || // nothing else notes this use
		s.stored != nil && use != "" && (changed || several)):
		w.add(name, s.sealUse(want), several)
	case !changed && !several:
	case want == noFlash:
		w.remove(name, several)
	default:
		w.add(name, s.setLine(name, []byte(want)), several)
	}
}

// hint returns the two parts of the request's flash cookie: whether flash is pending, and the
// sealed last use. If there are several such cookies, it prefers one that says that flash is
// pending.
func (s *Session) hint() (had, use string, several bool) {
	had = noFlash
	if !s.request.hinted {
		return had, "", false
	}
	found := cookie.Find(s.request.cookies, s.source.hint)
	for _, text := range found.List() {
		if strings.HasPrefix(text, hintValue) {
			return hintValue, text[1:], len(found.List()) > 1
		}
		use = strings.TrimPrefix(text, noFlash)
	}
	return had, use, len(found.List()) > 1
}

func (s *Session) secure() bool {
	secure, plainElsewhere := s.request.manager.cookies.SecureFor(s.request.incoming)
	if plainElsewhere {
		s.request.manager.log.plainHTTP(s.request.incoming)
	}
	return secure
}
