package session

import (
	"slices"

	"example.com/session/driver"
)

// A flashUse records what a request has read and shown of flash.
type flashUse struct {
	now     map[string]string   // encoded values of FlashNow
	read    []string            // keys of flash that came with the request and was read
	expired int                 // how many of read had been read when the commit expired flash
	shown   []driver.FlashValue // expired by the commit; this request still reads them
}

// Flash stores a value that can be read by this request and by later ones. The next page removes
// it: a later request for a page that gets status 200. A request for anything else, such as a
// fragment or an image, removes it only if its handler reads it. While a key has flash, Get returns
// it and not the data. Errors are those of Set.
func (s *Session) Flash(key string, value any) {
	s.putFlash(key, value, driver.Set)
}

// FlashAdd appends a value to the list of flash values under a key. A value that Flash stored
// becomes the first element. Get returns the list as []any, and a Key of a slice type reads it too.
// Parallel requests keep each other's values.
func (s *Session) FlashAdd(key string, value any) {
	s.putFlash(key, value, driver.Append)
}

func (s *Session) putFlash(key string, value any, kind driver.OpKind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	encoded, ok := s.encode("flash", driver.Flash, key, value)
	if !ok {
		return
	}
	delete(s.flash.now, key)
	if !s.mayChange("flash") {
		return
	}
	op := driver.Op{Kind: kind, Part: driver.Flash, Key: key, Encoded: encoded}
	if kind == driver.Append {
		s.pending.add(&op)
	} else {
		s.pending.put(&op)
	}
}

// FlashNow stores a flash value that only this request can read. It is never saved.
func (s *Session) FlashNow(key string, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	encoded, ok := s.encode("flash", driver.Flash, key, value)
	if !ok {
		return
	}
	s.open()
	if s.flash.now == nil {
		s.flash.now = make(map[string]string)
	}
	s.flash.now[key] = encoded
}

// KeepFlash keeps the flash of these keys that an earlier request stored, for one more page. Its
// FlashTTL starts anew. Keys without flash are ignored.
func (s *Session) KeepFlash(keys ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keepFlash(func(key string) bool { return slices.Contains(keys, key) })
}

// Reflash is KeepFlash for all flash that an earlier request stored.
func (s *Session) Reflash() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keepFlash(func(string) bool { return true })
}

func (s *Session) keepFlash(keep func(key string) bool) {
	s.open()
	for _, v := range s.arrivedFlash() {
		if keep(v.Key) && s.isLive(v) && s.mayExpire(v) && s.mayChange("keep flash") {
			s.pending.add(&driver.Op{Kind: driver.Keep, Part: driver.Flash, Key: v.Key, Stamp: v.Stamp})
		}
	}
}

// ResetFlash deletes all flash that the session holds at the commit, also what parallel requests
// have stored, and keeps data.
func (s *Session) ResetFlash() { s.clear(driver.Flash) }

// arrivedFlash returns the flash that came with this request.
func (s *Session) arrivedFlash() []driver.FlashValue {
	arrived := s.loaded.arrived
	if arrived == nil || !arrived.HasFlash() || s.stored == nil || s.stored.ID() != arrived.ID() {
		return nil // it came with another session, if any
	}
	return slices.Collect(arrived.Flash())
}

// mayExpire reports whether a flash value that came with the request is still to expire: this
// request has not replaced, deleted, kept or expired it.
func (s *Session) mayExpire(v driver.FlashValue) bool {
	if s.pending.clearFlash {
		return false
	}
	return !slices.ContainsFunc(s.pending.ops, func(op driver.Op) bool {
		return op.Part == driver.Flash && op.Key == v.Key && op.Kind != driver.Append &&
			(op.Kind != driver.Keep && op.Kind != driver.Expire || op.Stamp == v.Stamp)
	})
}

// isLive compares the FlashTTL with the time when the session was opened, so that a value does not
// disappear in the middle of a request.
func (s *Session) isLive(v driver.FlashValue) bool {
	return v.Until.IsZero() || s.loaded.at.Before(v.Until)
}

// storedFlash calls do for each live flash value that is stored, or that the commit has expired.
func (s *Session) storedFlash(do func(v driver.FlashValue)) {
	if rec := s.view(); rec != nil && rec.HasFlash() {
		for v := range rec.Flash() {
			if s.isLive(v) {
				do(v)
			}
		}
	}
	for _, v := range s.flash.shown {
		do(v)
	}
}

// lookupFlash returns the flash under a key as this request sees it, and notes that the handler has
// read what came.
func (s *Session) lookupFlash(key string) (v value, ok bool) {
	if !s.pending.clearFlash {
		s.storedFlash(func(f driver.FlashValue) {
			if f.Key != key {
				return
			}
			v, ok = value{f.Encoded, append(v.list, f.Encoded), f.Listed}, true
			if !slices.Contains(s.flash.read, key) {
				s.flash.read = append(s.flash.read, key)
			}
		})
	}
	if s.pending.find(driver.Flash, key) == nil {
		return v, ok
	}
	for i := range s.pending.ops {
		op := &s.pending.ops[i]
		if op.Part != driver.Flash || op.Key != key {
			continue
		}
		switch op.Kind {
		case driver.Set:
			v, ok = value{encoded: op.Encoded, list: []string{op.Encoded}}, true
		case driver.Delete:
			v, ok = value{}, false
		case driver.Append:
			v, ok = value{op.Encoded, append(v.list, op.Encoded), true}, true
		}
	}
	return v, ok
}

// flashKeys returns the keys that may have flash.
func (s *Session) flashKeys() map[string]bool {
	keys := make(map[string]bool)
	s.storedFlash(func(v driver.FlashValue) { keys[v.Key] = true })
	for i := range s.pending.ops {
		if op := &s.pending.ops[i]; op.Part == driver.Flash {
			keys[op.Key] = true
		}
	}
	return keys
}

// expireFlash adds the operations that expire the flash that came with the request: on a page all
// of it, otherwise what the handler has read. This changes what is stored, not what this request
// reads, so a template that streams still finds its message.
func (s *Session) expireFlash() {
	s.flash.expired = len(s.flash.read)
	arrived := s.arrivedFlash()
	if len(arrived) == 0 || s.request.showing() == showsNothing {
		return
	}
	for _, v := range arrived {
		if (s.request.showing() == showsPage || slices.Contains(s.flash.read, v.Key)) && s.mayExpire(v) {
			s.pending.add(&driver.Op{Kind: driver.Expire, Part: driver.Flash, Key: v.Key, Stamp: v.Stamp})
			if s.isLive(v) {
				s.flash.shown = append(s.flash.shown, v)
			}
		}
	}
}

// expiresLate reports whether the handler of a request that is not for a page has read flash only
// after the header was sent. If expiring it would need a cookie, it stays until the next page.
func (s *Session) expiresLate() bool {
	return len(s.flash.read) > s.flash.expired && s.request.showing() == showsPart && s.stored != nil && !s.needsCookie()
}
