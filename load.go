package session

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"example.com/session/driver"
	"example.com/session/internal/cookie"
)

// A loadStatus says what was found of a session.
type loadStatus uint8

const (
	notLoaded loadStatus = iota
	absent               // none, or one that this request does not have
	live
	replaced  // its token was replaced while this request was under way
	ended     // it was ended while this request was under way
	anonymous // the store is unavailable, and Config.AllowAnonymous lets the request do without
	failed    // it could not be loaded
)

// A loadResult is what was found when a session was opened.
type loadResult struct {
	status      loadStatus
	several     bool           // different cookies of the name came
	severalData bool           // of the data cookie's name
	forFlash    bool           // opened only to expire pending flash: that fails no request
	walks       int32          // look-ups in the data of stored
	seen        driver.Milli   // last activity before the lock that the flash cookie knows of
	at          time.Time      // flash and locks are judged by it
	record      *driver.Record // of status live
	arrived     *driver.Record // as it came with the request, with its flash
	token       *token         // of status live and replaced
	current     *driver.Record // of status replaced: it no longer accepts token, and the request reads nothing of it
	err         error          // of status anonymous and failed
	index       *dataIndex     // nil while there are few
}

// isLost reports whether another request has ended the session or replaced its token: plain changes
// are dropped.
func (s *Session) isLost() bool { return s.loaded.status == replaced || s.loaded.status == ended }

// now returns the time by the clock of the session's store.
func (s *Session) now() time.Time { return s.source.time(s.request.manager.now()) }

// enteredAt returns when the request entered the middleware, by the clock of the session's store.
func (s *Session) enteredAt() time.Time { return s.source.time(time.Unix(0, s.request.entered)) }

// wasUnderWay reports whether the request may have been sent before the client could know what
// happened at t.
func (s *Session) wasUnderWay(t time.Time) bool { return s.enteredAt().Before(t.Add(underWay)) }

// open loads the session, once. s.mu is held.
func (s *Session) open() {
	if s.loaded.status == notLoaded {
		if s.request.reached(phaseCommitted) && s.request.status != 0 { // 0: a connection that was taken over
			s.source.stats.lateOpens.Add(1)
			s.log(lateOpen)
		}
		if !s.source.used.Load() { // all requests share it, and writing it is slow
			s.source.used.Store(true)
		}
		s.load()
	}
}

func (s *Session) load() {
	s.request.used.Store(true)
	s.loaded.status, s.loaded.at = absent, s.now()
	if err := s.find(); err != nil {
		s.noteProblem(err)
		s.loaded.status, s.loaded.err = failed, err
		if s.request.allowsAnonymous(err) {
			s.loaded.status = anonymous
		}
	} else if s.isLost() {
		s.noteProblem(ErrEnded)
	}
}

// mustLoad opens the session, and reports whether that worked. If not, the commit fails, whatever
// Config.AllowAnonymous says.
func (s *Session) mustLoad() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open(); s.loaded.err != nil {
		s.loaded.status = failed
	}
	return s.loaded.err == nil
}

// openForFlash opens the session only because flash is pending. That never fails the request.
func (s *Session) openForFlash() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded.status != notLoaded {
		return
	}
	s.loaded.forFlash = true
	if s.load(); s.loaded.err != nil {
		s.loaded, s.problems = loadResult{status: notLoaded}, problems{}
	}
}

// allowsAnonymous reports whether the request may do without a session that err keeps from it.
func (r *requestState) allowsAnonymous(err error) bool {
	allow := r.manager.cfg.AllowAnonymous
	return allow != nil && errors.Is(err, ErrUnavailable) && allow(r.incoming)
}

// A candidate is what one cookie opens.
type candidate struct {
	status loadStatus
	record *driver.Record
	token  *token
}

// find looks for the session among the cookies of the request, and adopts the one that it finds.
func (s *Session) find() error {
	if s.request.manager.closed.Load() {
		return unavailable("load", ErrClosed)
	}
	best := candidate{status: absent}
	var err error
	if s.source.byIP {
		var t *token
		if t, err = s.addressToken(); err == nil {
			best, err = s.tryToken(t, nil, s.loaded.at)
		}
	} else if found := cookie.Find(s.request.cookies, s.source.cookie); len(found.List()) == 1 {
		best, err = s.tryCookie(found.List()[0])
	} else if len(found.List()) > 1 {
		best, err = s.choose(&found)
	}
	switch {
	case err != nil:
		return err
	case best.status == absent && !s.source.byIP && !s.loaded.several && !s.loaded.forFlash:
		return s.findOld()
	}
	s.adopt(best)
	return nil
}

// choose tries several different cookies of one name. Their order says nothing about whose they are
// (RFC 6265bis, section 8.6): if those that open are not all of the same session, none is used.
func (s *Session) choose(found *cookie.Values) (candidate, error) {
	best := candidate{status: absent}
	if s.noteSeveral(&s.loaded.several); found.TooMany {
		return best, nil
	}
	for _, text := range found.List() {
		c, err := s.tryCookie(text)
		switch {
		case err != nil:
			return best, err
		case c.status == live && best.status == live && !sameSession(c.record, best.record):
			return candidate{status: absent}, nil
		case c.status == live && (best.status != live || follows(c.record, best.record)), best.status == absent:
			best = c
		}
	}
	return best, nil
}

// noteSeveral notes that several different cookies of one name came: the response expires the others.
func (s *Session) noteSeveral(several *bool) {
	*several = true
	s.source.stats.duplicates.Add(1)
	s.log(severalCookies, "cookie", s.source.cookie)
}

// adopt makes what a cookie opens the session of this request.
func (s *Session) adopt(c candidate) {
	s.loaded.status, s.loaded.token = c.status, c.token
	if c.status != live {
		s.loaded.current = c.record
		return
	}
	s.loaded.record, s.loaded.arrived = c.record, c.record
	s.stored, s.token = c.record, c.token
	s.noteUser(c.record)
	if isFirstUse(c.record) && !s.isMoving() {
		s.emit(EventOpened, c.record)
	}
	s.retireJoined()
}

// sameSession reports whether two records are of one session. A visitor who signs in keeps the id.
func sameSession(a, b *driver.Record) bool {
	return a.ID() == b.ID() && (a.User() == b.User() || a.User() == "" || b.User() == "")
}

// follows reports whether a record of a session is as new as another one.
func follows(a, b *driver.Record) bool {
	if a.User() != b.User() {
		return b.User() == ""
	}
	return !a.UsedAt().Before(b.UsedAt())
}

// addressToken returns the token of the client's address under ByClientIP. A header says nothing
// about the address, because any client can send one.
func (s *Session) addressToken() (*token, error) {
	r, clientIP := s.request.incoming, s.request.manager.cfg.ClientIP
	if clientIP == nil {
		if cookie.IsProxied(r.Header) {
			return nil, errors.New("session: by_client_ip: the request came through a proxy: set Config.ClientIP to return the address of the client")
		}
		clientIP = remoteIP
	}
	address := clientIP(r)
	if address == "" {
		return nil, errors.New("session: by_client_ip: the request has no client address: set Config.ClientIP to return one")
	}
	return addressToken(s.source.cookie, s.request.manager.addressKey, strings.ToLower(address)), nil
}

// remoteIP returns the address of the connection, or "" if there is none: all clients of a proxy that
// uses a Unix socket would be one.
func remoteIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = strings.Trim(r.RemoteAddr, "[]") // chi's RealIP leaves out the port
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return ""
	}
	return host
}

// tryCookie loads the session that the value of a cookie opens. A value that this manager has not
// made is ignored.
func (s *Session) tryCookie(text string) (candidate, error) {
	if s.source.cookies == nil {
		if t, ok := parseToken(s.source.cookie, text); ok {
			return s.tryToken(t, nil, s.loaded.at)
		}
		return candidate{status: absent}, nil
	}
	t, rec := s.openCookies(text, s.loaded.at)
	if rec == nil {
		return candidate{status: absent}, nil
	}
	return s.tryToken(t, rec, s.loaded.at)
}

// tryToken loads the session that a token opens at a time. rec is the record that came in a cookie of
// the cookie driver; others take no notice of it.
func (s *Session) tryToken(t *token, rec *driver.Record, now time.Time) (candidate, error) {
	ctx, cancel := s.storeContext()
	defer cancel()
	s.source.stats.loads.Add(1)
	ctx, began := s.begin(ctx, opLoad, t.id)
	var loaded *driver.Record
	var err error
	if d := s.source.cookies; d != nil {
		loaded, err = d.load(ctx, rec, t.digest, now)
	} else {
		rec = nil // it tells nothing
		loaded, err = s.source.driver.Load(ctx, t.id, now)
	}
	if err = s.answered(opLoad, t.id, began, err); err == nil {
		return s.judge(t, loaded, now), nil
	}
	return s.notFound(err, rec, now)
}

// notFound decides what an error of a load means. rec is the record from the cookie itself, or nil.
func (s *Session) notFound(err error, rec *driver.Record, now time.Time) (candidate, error) {
	var tombstone *driver.EndedError
	switch {
	case errors.Is(err, ErrEnded) && !(errors.As(err, &tombstone) && !s.wasUnderWay(now.Add(-tombstone.Ago))):
		return candidate{status: ended}, nil // some drivers cannot say when
	case isGone(err) && s.source.cookies != nil && s.source.cookies.onServer(rec):
		s.noteUnknown(EventRevoked, rec)
		s.log(revokedCookie)
		return candidate{status: absent}, nil
	case isGone(err):
		s.noteUnknown(EventUnknown, rec)
		return candidate{status: absent}, nil
	}
	return candidate{}, err
}

// judge decides whether a token opens a record.
func (s *Session) judge(t *token, rec *driver.Record, now time.Time) candidate {
	digest := t.digest
	if !now.Before(s.source.expiresAt(rec)) {
		s.noteUnknown(s.source.expiredBy(rec, now), rec)
		return candidate{status: absent}
	}
	if rec.Accepts(digest) {
		return candidate{live, rec, t}
	}
	at, ok := rec.ReplacedAt(digest)
	if ok && s.wasUnderWay(at) {
		return candidate{replaced, rec, t}
	}
	if !ok { // an id alone says nothing about whose session it is
		rec = nil
	}
	s.noteUnknown(EventUnknown, rec)
	return candidate{status: absent}
}

// noteUser records that a source has sessions of signed-in users. EndAll depends on it.
func (s *Session) noteUser(rec *driver.Record) {
	if rec.User() != "" && !s.source.hasUsers.Load() {
		s.source.hasUsers.Store(true)
	}
}

// isFirstUse reports whether no use of a session was recorded since it was first stored. The first
// use always is recorded.
func isFirstUse(rec *driver.Record) bool { return rec.UsedAt().Equal(rec.CreatedAt()) }

func (s *Session) noteUnknown(kind EventKind, rec *driver.Record) {
	s.source.stats.unknown.Add(1)
	s.emit(kind, rec)
}

// afterJoin is how long the secrets of all parallel sign-ins are accepted. Nobody knows which
// response the browser received last. After this time it presents the secret of that response.
const afterJoin = 30 * time.Second

// retireJoined keeps the presented secret, and replaces the other secrets of parallel sign-ins. If
// that fails, the next request tries again.
func (s *Session) retireJoined() {
	at, ok := s.stored.JoinedAt()
	if !ok || s.loaded.at.Before(at.Add(afterJoin)) {
		return
	}
	ch := &s.newSave().Changes
	ch.Install, ch.Replace = ch.Expect, true
	ctx, cancel := s.storeContext()
	defer cancel()
	if rec, err := s.source.driver.Save(ctx, s.stored, ch); err == nil {
		s.stored, s.loaded.record = rec, rec
	}
}

// presented returns the sessions whose cookies came with the request, at most maxPresented. more
// reports that there were more.
func (s *Session) presented() (all []endable, more bool) {
	if s.source.byIP {
		return nil, false // an address ends nothing
	}
	values := cookie.All(s.request.cookies, s.source.cookie, maxPresented+1)
	for _, text := range values[:min(maxPresented, len(values))] {
		if s.source.cookies == nil {
			if t, ok := parseToken(s.source.cookie, text); ok {
				all = append(all, s.endable(t, nil))
			}
		} else if t, rec := s.openCookies(text, s.now()); t != nil {
			all = append(all, s.endable(t, rec))
		}
	}
	return all, len(values) > maxPresented
}

// cookieCame reports whether the request has a cookie of the session's name.
func (s *Session) cookieCame() bool {
	return cookie.HasPrefix(s.request.cookies, s.source.cookie, "")
}
