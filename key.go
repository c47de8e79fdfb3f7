package session

// Get returns the value under a key as a T: structs, slices, time.Time, []byte, numbers of any
// size. Numbers are converted where the value fits exactly, and nothing else is. It reports
// false when there is no value, and also when there is one that is no T; then the kind of
// value is logged, and Session.Err and Session.Scan tell why.
func Get[T any](s *Session, key string) (T, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var zero T
	encoded, ok := s.lookup(key)
	if !ok {
		return zero, false
	}
	value, err := decodeAs[T](s.q.m.codec(), encoded)
	if err != nil {
		s.unreadable(key, encoded, err)
		return zero, false
	}
	return value, true
}

// A Key is a key whose value has one type, so that the compiler knows it:
//
//	const cart session.Key[Cart] = "cart"
//
//	c, ok := cart.Get(s)
//	cart.Set(s, c)
type Key[T any] string

// Get returns the value and reports whether there is one.
func (k Key[T]) Get(s *Session) (T, bool) { return Get[T](s, string(k)) }

// Set stores the value.
func (k Key[T]) Set(s *Session, value T) { s.Set(string(k), value) }

// Flash stores the value for this request and the next.
func (k Key[T]) Flash(s *Session, value T) { s.Flash(string(k), value) }

// Has reports whether there is a value.
func (k Key[T]) Has(s *Session) bool { return s.Has(string(k)) }

// Pull returns the value as Get does, and deletes it.
func (k Key[T]) Pull(s *Session) (T, bool) {
	value, ok := k.Get(s)
	s.Delete(string(k))
	return value, ok
}

// Delete deletes the value and reports whether there was one.
func (k Key[T]) Delete(s *Session) bool { return s.Delete(string(k)) }
