package session

import "example.com/session/driver"

// Get returns the value under a key as a T, and reports whether there is one that can be read as a
// T. T may be any type that Config.Codec can decode, such as a struct, a slice, time.Time or
// []byte. Numbers are converted to another type of number if the value fits exactly; nothing else
// is converted. If there is a value that cannot be read as a T, Session.Err returns the reason, and
// the kind of the value is logged.
func Get[T any](s *Session, key string) (T, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var zero T
	v, ok := s.lookup(key)
	if !ok {
		return zero, false
	}
	got, err := scanAs[T](s, v)
	if err != nil {
		s.unreadable(key, v.encoded, err)
		return zero, false
	}
	return got, true
}

// Update calls change with the value under a key as this request sees it, or with the zero value if
// there is none, and stores what change returns. It reads data, never flash. If another request has
// changed the value by the time of the commit, change runs again on the new value. This repeats
// until the result is stored or Config.StoreTimeout has passed. So all parallel changes of one
// value are kept on memory, redis and every Store. On the cookie driver the last response wins.
//
// change may run several times: it must not have side effects, and must not use the session. It may
// modify and return its argument, which is decoded anew for each run. Several Updates of one key
// apply one after the other; a later Set or Delete discards them. If the value cannot be read as a
// T, Update returns an error. If the new value at the commit cannot, the request fails.
func Update[T any](s *Session, key string, change func(T) T) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	if s.loaded.err != nil {
		return s.loaded.err
	}
	k := opKey{key, driver.Data}
	if !s.checkKey("update", k) {
		return s.problems.first
	}
	codec := s.request.manager.codec
	run := func(old string) (string, error) {
		var current T
		if old != "" {
			var err error
			if current, err = decodeAs[T](codec, old); err != nil {
				return "", err
			}
		}
		changed := change(current)
		encoded, err := encodeValue(codec, changed)
		if err != nil {
			return "", &driver.ValueError{Op: "update", Key: key, Reason: err.Error()}
		}
		return encoded, nil
	}
	old, _ := s.lookupData(key)
	encoded, err := run(old)
	if err != nil {
		return err
	}
	if s.mayChange("update") {
		s.problems.forgetKey(k)
		stored, _ := s.storedData(key)
		s.pending.update(key, stored, encoded, run)
	}
	return nil
}

// A Key is a key whose value has one type, so that the compiler checks it:
//
//	const cart session.Key[Cart] = "cart"
//
//	c, ok := cart.Get(s)
//	cart.Set(s, c)
type Key[T any] string

// Get returns the value, and reports whether there is one that can be read as a T. See the function
// [Get].
func (k Key[T]) Get(s *Session) (T, bool) { return Get[T](s, string(k)) }

// Set stores the value.
func (k Key[T]) Set(s *Session, value T) { s.Set(string(k), value) }

// Update changes the value without losing the changes of parallel requests. See the function
// [Update].
func (k Key[T]) Update(s *Session, change func(T) T) error { return Update(s, string(k), change) }

// Flash stores the value for this request and the next page. See Session.Flash.
func (k Key[T]) Flash(s *Session, value T) { s.Flash(string(k), value) }

// Has reports whether there is a value.
func (k Key[T]) Has(s *Session) bool { return s.Has(string(k)) }

// Pull returns the value as Get does, and deletes it.
func (k Key[T]) Pull(s *Session) (T, bool) {
	value, ok := k.Get(s)
	s.Delete(string(k))
	return value, ok
}

// Delete deletes the value, and reports whether there was one.
func (k Key[T]) Delete(s *Session) bool { return s.Delete(string(k)) }
