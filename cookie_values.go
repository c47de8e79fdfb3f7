package session

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"example.com/session/driver"
	"example.com/session/internal/cookie"
	"example.com/session/internal/sealed"
)

// A session of the cookie driver is three sealed cookies. Each is sealed for its name, and the last
// two are bound to the secret of the first, so that a late response about an earlier identity changes
// nothing of the current one:
//
//   - s_cookie is the identity: the token. A request that leaves alone who is signed in never writes it.
//   - s_cookie_ and 8 characters is the data: the record. The characters are a hash of the secret.
//   - s_cookie_f says whether flash is pending, as for every driver. Behind that stands the last use,
//     for requests that store nothing else.
const (
	maxData     = 3500 // bytes of name and value: a stray one must not fill the header buffer of a proxy
	dataHash    = 6    // bytes of the digest in the name
	dataSuffix  = 8    // the same as characters
	useBytes    = len(driver.Digest{}) + 2*8
	clockSkew   = 5 * time.Minute // how far the clock of another server may be ahead
	maxStrays   = 8               // cookies of other identities that a response removes
	largestKeys = 3               // keys that a SizeError names
)

// dataName returns the name of the data cookie of a token.
func (d *cookieDriver) dataName(t *token) string {
	var text [dataSuffix]byte
	base64.RawURLEncoding.Encode(text[:], t.digest[:dataHash])
	return d.dataPrefix + string(text[:])
}

// isDataName reports whether a cookie may be the data of a token.
func (d *cookieDriver) isDataName(name string) bool {
	suffix, ok := strings.CutPrefix(name, d.dataPrefix)
	if !ok || len(suffix) != dataSuffix {
		return false
	}
	_, err := base64.RawURLEncoding.DecodeString(suffix)
	return err == nil
}

// An openedCookie is what one of the three cookies holds.
type openedCookie struct {
	name, text string
	token      *token         // of an identity cookie
	dataName   string         // likewise
	record     *driver.Record // of a data cookie
	use        *lastUse       // of a flash cookie
}

// A lastUse is what stands in the flash cookie behind the hint.
type lastUse struct {
	digest driver.Digest // of the secret
	used   time.Time     // when the session was last used
	seen   time.Time     // when the user of a locked session was last active, else zero
}

// recentlyOpened keeps what was opened or sealed, because a browser presents the same cookies with every
// request, and most of the time of opening one goes into preparing its message key. It is indexed by two
// characters of the nonce.
type recentlyOpened [256]atomic.Pointer[openedCookie]

func (r *recentlyOpened) slot(text string) *atomic.Pointer[openedCookie] {
	return &r[text[10]<<2^text[11]]
}

// unseal opens the value of the named cookie. read sets what it holds, and must not keep plain. The error is
// sealed.ErrOpen or sealed.ErrNotOurs.
func (d *cookieDriver) unseal(name, text string, read func(c *openedCookie, plain []byte) error) (*openedCookie, error) {
	if len(text) < sealed.SealedLen(0) {
		return nil, sealed.ErrNotOurs
	}
	slot := d.recent.slot(text)
	if c := slot.Load(); c != nil && c.text == text && c.name == name {
		return c, nil
	}
	scratch := d.scratch.Get().(*[2 * maxCookie]byte)
	defer d.scratch.Put(scratch)
	plain, err := d.keys.Open(scratch[:], name, text)
	if err != nil {
		return nil, err
	}
	c := &openedCookie{name: strings.Clone(name), text: strings.Clone(text)}
	if err := read(c, plain); err != nil {
		return nil, sealed.ErrNotOurs
	}
	slot.Store(c)
	return c, nil
}

// seal returns the Set-Cookie line of the named cookie. Its value is prefix and, sealed, what appendPlain
// appends.
func (s *Session) seal(name, prefix string, appendPlain func(dst []byte) []byte) string {
	d := s.source.cookies
	scratch := d.scratch.Get().(*[2 * maxCookie]byte)
	defer d.scratch.Put(scratch)
	plain := appendPlain(scratch[:0:maxCookie])
	value := d.keys.Seal(scratch[maxCookie:], name, plain)
	if prefix != "" {
		value = append([]byte(prefix), value...)
	}
	return s.setLine(name, value)
}

// openIdentity returns the token in an identity cookie, and the name of its data cookie.
func (d *cookieDriver) openIdentity(text string) (*openedCookie, error) {
	return d.unseal(d.name, text, func(c *openedCookie, plain []byte) error {
		if len(plain) != tokenBytes {
			return sealed.ErrNotOurs
		}
		c.token = tokenOf(d.name, (*[tokenBytes]byte)(plain))
		c.dataName = d.dataName(c.token)
		return nil
	})
}

// openData returns the record in a data cookie of a token.
func (d *cookieDriver) openData(t *token, name, text string, now time.Time) (*driver.Record, error) {
	c, err := d.unsealData(name, text)
	if err != nil {
		return nil, err
	}
	rec := c.record
	if rec.ID() != t.id || !rec.Accepts(t.digest) || isAhead(rec.CreatedAt(), now) || isAhead(rec.UsedAt(), now) {
		return nil, sealed.ErrNotOurs
	}
	return rec, nil
}

func (d *cookieDriver) unsealData(name, text string) (*openedCookie, error) {
	return d.unseal(name, text, func(c *openedCookie, plain []byte) (err error) {
		c.record, err = driver.ParseRecord(plain)
		return err
	})
}

// openUse returns the last use in a flash cookie, zero if it is of another identity.
func (d *cookieDriver) openUse(t *token, name, text string, now time.Time) (lastUse, error) {
	c, err := d.unseal(name, text, func(c *openedCookie, plain []byte) error {
		if len(plain) != useBytes {
			return sealed.ErrNotOurs
		}
		c.use = &lastUse{digest: driver.Digest(plain)}
		times := plain[len(c.use.digest):]
		c.use.used = driver.Milli(binary.BigEndian.Uint64(times)).Time()
		c.use.seen = driver.Milli(binary.BigEndian.Uint64(times[8:])).Time()
		return nil
	})
	if err != nil || c.use.digest != t.digest || isAhead(c.use.used, now) || isAhead(c.use.seen, now) {
		return lastUse{}, err
	}
	return *c.use, nil
}

// isAhead reports whether a time was made by a clock that is too far ahead of this one.
func isAhead(t, now time.Time) bool { return t.After(now.Add(clockSkew)) }

// openCookies returns the token in an identity cookie and the record in its data cookie, nil for
// what does not open. Without a readable data cookie there is no session; otherwise a client could
// reset its data by deleting that cookie.
func (s *Session) openCookies(text string, now time.Time) (*token, *driver.Record) {
	d := s.source.cookies
	identity, err := d.openIdentity(text)
	if err != nil {
		s.noteUnopened(err)
		return nil, nil
	}
	t, name := identity.token, identity.dataName
	found := cookie.Find(s.request.cookies, name)
	if len(found.List()) > 1 {
		s.noteSeveral(&s.loaded.severalData)
	}
	var newest *driver.Record
	for _, text := range found.List() {
		rec, err := d.openData(t, name, text, now)
		if err != nil {
			s.noteUnopened(err)
		} else if newest == nil || !rec.UsedAt().Before(newest.UsedAt()) {
			newest = rec
		}
	}
	if newest != nil {
		newest = s.withLastUse(t, newest, now)
	}
	return t, newest
}

// noteUnopened reports a cookie that names a configured secret and fails authentication.
func (s *Session) noteUnopened(err error) {
	if errors.Is(err, sealed.ErrOpen) {
		s.source.stats.tampered.Add(1)
		s.log(tamperedCookie)
		s.emit(EventTampered, nil)
	}
}

// withLastUse returns the record with the last use that the flash cookie knows of. It is opened only if
// the record's own is old enough to matter.
func (s *Session) withLastUse(t *token, rec *driver.Record, now time.Time) *driver.Record {
	if now.Sub(rec.UsedAt()) < s.source.noteUseAfter(rec) && s.source.lockAfter <= 0 && !s.isPassive() {
		return rec
	}
	found := cookie.Find(s.request.cookies, s.source.hint)
	for _, text := range found.List() {
		if len(text) < 2 { // no use
			continue
		}
		last, err := s.source.cookies.openUse(t, s.source.hint, text[1:], now)
		if err != nil {
			s.noteUnopened(err)
			continue
		}
		if last.used.After(rec.UsedAt()) {
			rec = rec.WithUsedAt(last.used)
		}
		s.loaded.seen = max(s.loaded.seen, driver.MilliOf(last.seen))
	}
	return rec
}

// addData adds the line of the data cookie if it changes or several came, and removes data of other
// identities.
func (s *Session) addData(w *lineWriter, ended bool) {
	changed := s.hasNewCookie() && (s.token != s.loaded.token || s.hasNewContent())
	if !changed && !ended && !s.loaded.several && !s.loaded.severalData {
		return
	}
	d, name, came := s.source.cookies, "", ""
	if s.stored != nil {
		name = d.dataName(s.token)
	}
	if came = name; s.token != s.loaded.token && s.loaded.token != nil {
		came = d.dataName(s.loaded.token)
	}
	several := s.loaded.severalData && name == came
	if changed || name != "" && several && w.variants > 0 {
		w.add(name, s.sealData(name), several)
		w.sentData = true
	}
	for _, stray := range cookie.Names(s.request.cookies, d.dataPrefix, dataSuffix, maxStrays, name) {
		if d.isDataName(stray) && (ended || d.opens(stray, s.request.cookies)) {
			w.remove(stray, stray != came || s.loaded.severalData) // an earlier response has removed others in vain
		}
	}
}

// opens reports whether the request has a cookie of this name that a configured secret has sealed.
func (d *cookieDriver) opens(name string, lines []string) bool {
	found := cookie.Find(lines, name)
	return slices.ContainsFunc(found.List(), func(text string) bool {
		_, err := d.unsealData(name, text)
		return err == nil
	})
}

// hasNewContent reports whether data, flash or description are not those that came.
func (s *Session) hasNewContent() bool {
	came := s.loaded.record
	return came == nil || !s.stored.HasValuesOf(came) ||
		accountOf(s.stored, accountHints) != accountOf(came, accountHints)
}

// sealData returns the line of the data cookie, and keeps what it holds: the client's next request most
// likely presents it.
func (s *Session) sealData(name string) string {
	rec := s.stored.WithoutHistory()
	line := s.seal(name, "", func(dst []byte) []byte {
		dst, _ = rec.AppendBinary(dst) // never fails
		return dst
	})
	text, _, _ := strings.Cut(line[len(name)+1:], ";")
	s.source.cookies.recent.slot(text).Store(&openedCookie{name: name, text: text, record: rec})
	return line
}

// sealUse returns the line of the flash cookie with the last use.
func (s *Session) sealUse(prefix string) string {
	return s.seal(s.source.hint, prefix, func(dst []byte) []byte {
		var seen driver.Milli
		if s.user() != "" && s.locked() {
			seen = driver.MilliOf(s.lastActivity())
		}
		dst = append(dst, s.token.digest[:]...)
		dst = binary.BigEndian.AppendUint64(dst, uint64(driver.MilliOf(s.stored.UsedAt())))
		return binary.BigEndian.AppendUint64(dst, uint64(seen))
	})
}
