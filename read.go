package session

import (
	"maps"
	"reflect"

	"example.com/session/driver"
)

// A value is what stands under a key: an encoded value, or a list of encoded flash values.
type value struct {
	encoded string
	list    []string
	isList  bool
}

// view returns the session as it is stored, with what was sent and had no answer. It is nil if
// nothing is stored.
func (s *Session) view() *driver.Record {
	if s.inFlight != nil {
		return s.inFlight.assumed
	}
	return s.stored
}

func (s *Session) get(key string) any {
	v, ok := s.lookup(key)
	if !ok {
		return nil
	}
	decoded, err := s.decode(v)
	if err != nil {
		s.unreadable(key, v.encoded, err)
		return nil
	}
	return decoded
}

func readPlain[T any](s *Session, key string, read func(string) (T, bool)) (plain T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.lookup(key)
	if !ok {
		return plain
	}
	if plain, ok = read(v.encoded); ok {
		return plain
	}
	plain, err := scanAs[T](s, v)
	if err != nil {
		s.unreadable(key, v.encoded, err)
	}
	return plain
}

// decode is the untyped read of a value.
func (s *Session) decode(v value) (any, error) {
	if !v.isList {
		return decodeValue(s.request.manager.codec, v.encoded)
	}
	list := make([]any, 0, len(v.list))
	for _, encoded := range v.list {
		decoded, err := decodeValue(s.request.manager.codec, encoded)
		if err != nil {
			return nil, err
		}
		list = append(list, decoded)
	}
	return list, nil
}

// scan is the typed read of a value into what dst points to. A list reads into a slice.
func (s *Session) scan(v value, dst any) error {
	codec := s.request.manager.codec
	if !v.isList {
		return scanValue(codec, v.encoded, dst)
	}
	ptr := reflect.ValueOf(dst)
	if ptr.Kind() != reflect.Pointer || ptr.IsNil() {
		return scanValue(codec, "", dst) // says what is wrong
	}
	to := ptr.Elem()
	if to.Kind() == reflect.Interface && to.NumMethod() == 0 {
		list, err := s.decode(v)
		if err == nil {
			to.Set(reflect.ValueOf(list))
		}
		return err
	}
	if to.Kind() != reflect.Slice {
		return scanValue(codec, "", dst)
	}
	list := reflect.MakeSlice(to.Type(), len(v.list), len(v.list))
	for i, encoded := range v.list {
		if err := scanValue(codec, encoded, list.Index(i).Addr().Interface()); err != nil {
			return err
		}
	}
	to.Set(list)
	return nil
}

// scanAs is scan for generic callers. Everyday types cost no allocation.
func scanAs[T any](s *Session, v value) (T, error) {
	if !v.isList {
		return decodeAs[T](s.request.manager.codec, v.encoded)
	}
	var dst T
	err := s.scan(v, &dst)
	return dst, err
}

// lookup returns what stands under a key: FlashNow hides other flash, and flash hides data.
func (s *Session) lookup(key string) (value, bool) {
	s.open()
	if encoded, ok := s.flash.now[key]; ok {
		return value{encoded: encoded}, true
	}
	if v, ok := s.lookupFlash(key); ok {
		return v, true
	}
	encoded, ok := s.lookupData(key)
	return value{encoded: encoded}, ok
}

// lookupData returns the encoded data under a key as this request sees it.
func (s *Session) lookupData(key string) (string, bool) {
	op := s.pending.find(driver.Data, key)
	switch {
	case op == nil && s.pending.clearData:
		return "", false
	case op == nil:
		return s.storedData(key)
	case op.Kind == driver.Delete:
		return "", false
	case op.Kind == driver.Add:
		stored, ok := s.storedData(key)
		sum, err := addTo(stored, ok, key, op.By)
		return driver.FormatInt(sum), err == nil
	}
	return op.Encoded, true
}

// A dataIndex finds keys of one record. A record is walked for each look-up, so a handler that reads
// many keys of a large one would take quadratic time.
type dataIndex struct {
	of      *driver.Record
	entries map[string]string
}

const (
	indexAfterWalks = 16
	indexFromSize   = 2048 // bytes of a record
)

func (s *Session) storedData(key string) (string, bool) {
	rec := s.view()
	if rec == nil {
		return "", false
	}
	if s.loaded.walks++; s.loaded.walks <= indexAfterWalks || rec.Size() < indexFromSize {
		return rec.Value(driver.Data, key)
	}
	if x := s.loaded.index; x == nil || x.of != rec {
		s.loaded.index = &dataIndex{rec, maps.Collect(rec.Values(driver.Data))}
	}
	encoded, ok := s.loaded.index.entries[key]
	return encoded, ok
}

// values returns everything as this request sees it.
func (s *Session) values() map[string]value {
	all := make(map[string]value)
	if rec := s.view(); rec != nil && !s.pending.clearData {
		for key, encoded := range rec.Values(driver.Data) {
			all[key] = value{encoded: encoded}
		}
	}
	for i := range s.pending.ops {
		op := &s.pending.ops[i]
		if op.Part != driver.Data {
			continue
		}
		if encoded, ok := s.lookupData(op.Key); ok {
			all[op.Key] = value{encoded: encoded}
		} else {
			delete(all, op.Key)
		}
	}
	for key := range s.flashKeys() {
		if v, ok := s.lookupFlash(key); ok {
			all[key] = v
		}
	}
	for key, encoded := range s.flash.now {
		all[key] = value{encoded: encoded}
	}
	return all
}

// account returns what the account part holds under a key as this request sees it.
func (s *Session) account(key string) string {
	if op := s.pending.find(driver.Account, key); op != nil {
		return op.Encoded
	}
	return accountOf(s.view(), key)
}

func accountOf(rec *driver.Record, key string) string {
	if rec == nil {
		return ""
	}
	stored, _ := rec.Value(driver.Account, key)
	return stored
}
