package session

import (
	"net/http"
	"slices"
	"strings"
)

// Flash stores a value that can be read in this request and in the next ones, until the first
// response with status 200 to a request that came with it. It is apart from the data of the
// same key, which it hides while it lives.
func (s *Session) Flash(key string, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	encoded, ok := s.encode("flash", key, value)
	if !ok {
		return
	}
	s.dropNow(key)
	for _, ch := range s.edit() {
		if ch != nil {
			ch.flash(key, encoded)
		}
	}
}

// FlashNow stores a value that can be read in this request only. It never leaves the process.
func (s *Session) FlashNow(key string, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	encoded, ok := s.encode("flash", key, value)
	if !ok {
		return
	}
	s.open()
	s.dropNow(key)
	s.extra().now = append(s.extra().now, entry{key: key, value: encoded})
}

// KeepFlash makes flash values that came with this request live one request more. The clock of
// their FlashTTL starts anew. Keys that came with no flash are passed over.
func (s *Session) KeepFlash(keys ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	for e := range s.liveFlash() {
		if !slices.Contains(keys, e.key) {
			continue
		}
		for _, ch := range s.edit() {
			if ch != nil {
				ch.keep(e.key, e.stamp)
			}
		}
	}
}

// Reflash is KeepFlash for all the flash that came with this request.
func (s *Session) Reflash() {
	s.mu.Lock()
	s.open()
	var keys []string
	for e := range s.liveFlash() {
		keys = append(keys, e.key)
	}
	s.mu.Unlock()
	s.KeepFlash(keys...)
}

// ResetFlash clears the flash and leaves the data: what the record holds when it is committed.
func (s *Session) ResetFlash() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ch := range s.edit() {
		if ch != nil {
			ch.clearFlashes()
		}
	}
	if s.extras != nil {
		s.extras.now = nil
	}
}

// collectFlash adds every live flash value as this request sees it, over the data of its key.
func (s *Session) collectFlash(into map[string]string) {
	for e := range s.liveFlash() {
		if value, ok := s.lookupFlash(e.key); ok {
			into[e.key] = value
		}
	}
	if s.view != nil {
		for i := range s.view.ops {
			if op := &s.view.ops[i]; op.Kind == OpFlash {
				into[op.Key] = op.Value
			}
		}
	}
	if s.extras != nil {
		for i := range s.extras.now {
			into[s.extras.now[i].key] = s.extras.now[i].value
		}
	}
}

func (s *Session) dropNow(key string) {
	if s.extras != nil {
		s.extras.now = slices.DeleteFunc(s.extras.now, func(e entry) bool { return e.key == key })
	}
}

// lookupFlash returns the encoded live flash value of a key as this request sees it, and notes
// that the handler looked at it.
func (s *Session) lookupFlash(key string) (string, bool) {
	if op := s.view.find(key, true); op != nil && op.Kind != OpKeepFlash {
		return op.Value, op.Kind == OpFlash
	}
	if s.view != nil && s.view.clearFlash {
		return "", false
	}
	if !s.rec.hasFlash() {
		return "", false
	}
	e, ok := s.rec.flashEntries().find(key)
	if !ok || !s.isLive(e) {
		return "", false
	}
	if x := s.extra(); !slices.Contains(x.looked, key) {
		x.looked = append(x.looked, key)
	}
	return e.value, true
}

// isLive judges the FlashTTL once, as of when the session was opened.
func (s *Session) isLive(e entry) bool {
	return e.until == 0 || s.loaded.UnixMilli() < e.until
}

// liveFlash returns the flash that came with this request.
func (s *Session) liveFlash() func(yield func(entry) bool) {
	return func(yield func(entry) bool) {
		for c := s.rec.flashEntries(); c.next(); {
			if s.isLive(c.entry) && !yield(c.entry) {
				return
			}
		}
	}
}

// age adds to ch what ends with this response of the flash that came with the request. It
// works on what is stored and leaves alone what this request reads: a template that streams
// still finds its message.
func (s *Session) age(ch *Changes) {
	page := isPage(s.q.original)
	s.aged = s.looks()
	for c := s.rec.flashEntries(); c.next(); {
		if page || s.lookedAt(c.entry.key) {
			ch.expire(c.entry.key, c.entry.stamp)
		}
	}
}

// agesLate reports whether the handler of a request that is not for a page looked at flash only
// after the header had gone. Where ending it would need a cookie, it stays until the next page.
func (s *Session) agesLate() bool {
	return s.q.aging && s.looks() > s.aged && !isPage(s.q.original) && s.rec != nil && !s.dead && !s.needsCookie()
}

// looks returns how many values of the flash that came were looked at.
func (s *Session) looks() int {
	if s.extras == nil {
		return 0
	}
	return len(s.extras.looked)
}

func (s *Session) lookedAt(key string) bool {
	return s.extras != nil && slices.Contains(s.extras.looked, key)
}

// ages reports whether flash that came with a request may end with a response of this status.
func ages(r *http.Request, status int) bool {
	return status == http.StatusOK && r.Method != http.MethodHead && !isPrefetch(r.Header)
}

// isPrefetch reports whether the browser says that nobody looks at the page yet. The header is
// a structured item that may have parameters: "prefetch;anonymous-client-ip".
func isPrefetch(h http.Header) bool {
	purpose := h["Sec-Purpose"]
	if len(purpose) == 0 {
		return false
	}
	item, _, _ := strings.Cut(purpose[0], ";")
	return strings.TrimSpace(item) == "prefetch"
}

// isPage reports whether the request is for what a person looks at. Clients that do not say so
// are taken at their word that they ask for the page.
func isPage(r *http.Request) bool {
	dest := r.Header["Sec-Fetch-Dest"]
	if len(dest) == 0 {
		return true
	}
	switch dest[0] {
	case "document", "frame", "iframe":
		return true
	}
	return false
}

// pending reports whether the session holds flash after the changes, dead by its clock or not.
func pending(rec *Record, ch *Changes) bool {
	if ch == nil {
		return rec.hasFlash()
	}
	for i := range ch.ops {
		if ch.ops[i].Kind == OpFlash {
			return true
		}
	}
	if ch.clearFlash {
		return false
	}
	for c := rec.flashEntries(); c.next(); {
		op := ch.find(c.entry.key, true)
		if op == nil || op.Kind == OpKeepFlash || op.Kind == OpExpireFlash && op.Stamp != c.entry.stamp {
			return true
		}
	}
	return false
}
