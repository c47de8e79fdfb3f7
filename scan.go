package session

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
)

// scanValue decodes a value into what dst points to, and replaces that as a whole. If it fails,
// it leaves dst as it was. A number converts to any number type that it fits exactly, a named
// type is treated as its kind, and nothing else converts.
func scanValue(c Codec, enc string, dst any) error {
	ptr := reflect.ValueOf(dst)
	if ptr.Kind() != reflect.Pointer || ptr.IsNil() {
		const reason = "session: read a value: the destination must be a non-nil pointer; it is a %T"
		return &codecError{reason: fmt.Sprintf(reason, dst)}
	}
	if scanCommon(enc, dst) {
		return nil
	}
	fresh := reflect.New(ptr.Type().Elem()) // a codec may fail halfway
	if err := scanFresh(c, enc, fresh); err != nil {
		return err
	}
	ptr.Elem().Set(fresh.Elem())
	return nil
}

// decodeAs is scanValue for generic callers. The everyday types need no allocation: fast stays
// on the stack, because the codec can see slow only.
func decodeAs[T any](c Codec, enc string) (T, error) {
	var fast T
	if scanCommon(enc, &fast) {
		return fast, nil
	}
	slow := new(T)
	err := scanValue(c, enc, slow)
	return *slow, err
}

// scanCommon stores enc in dst if both are of the same everyday type, and reports whether it
// did. It uses no reflection and dst does not escape. dst is not a nil pointer.
func scanCommon(enc string, dst any) (ok bool) {
	switch dst := dst.(type) {
	case *string:
		return scanInto(dst, enc, encodedString)
	case *bool:
		return scanInto(dst, enc, encodedBool)
	case *int64:
		return scanInto(dst, enc, encodedInt)
	case *float64:
		return scanInto(dst, enc, encodedFloat)
	case *int:
		n, ok := encodedInt(enc)
		if ok = ok && int64(int(n)) == n; ok {
			*dst = int(n)
		}
		return ok
	}
	return false
}

func scanInto[T any](dst *T, enc string, read func(string) (T, bool)) bool {
	v, ok := read(enc)
	if ok {
		*dst = v
	}
	return ok
}

// scanFresh decodes enc into the zero value that ptr points to.
func scanFresh(c Codec, enc string, ptr reflect.Value) error {
	t := ptr.Type().Elem()
	switch {
	case isCodecForm(enc):
		if err := callDecode(c, enc[1:], ptr.Interface()); err != nil {
			return unreadable(enc, t, reasonOf(err), err)
		}
		return nil
	case isNilForm(enc):
		if !canBeNil(t.Kind()) {
			return unreadable(enc, t, "it cannot be nil", nil)
		}
		return nil
	}
	return scanPlain(c, enc, ptr.Elem())
}

// canBeNil reports whether a stored nil can be read as a k.
func canBeNil(k reflect.Kind) bool {
	switch k {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
		return true
	}
	return false
}

// scanPlain decodes a plain form other than nil into dst.
func scanPlain(c Codec, enc string, dst reflect.Value) error {
	v, ok := plainValue(enc)
	if !ok {
		return malformed(enc)
	}
	if dst.Kind() == reflect.Pointer {
		dst.Set(reflect.New(dst.Type().Elem()))
		dst = dst.Elem()
	}
	switch t := dst.Type(); {
	case t.Kind() == reflect.Interface && t.NumMethod() == 0:
		dst.Set(reflect.ValueOf(v))
		return nil
	case t.Kind() == reflect.Pointer || encodesItself(t):
		return scanInteger(c, enc, dst)
	case !wantsKind(dst, v):
		return unreadable(enc, t, "only numbers convert", nil)
	case !setPlain(dst, v):
		return unreadable(enc, t, "it does not fit exactly", nil)
	}
	return nil
}

// scanInteger decodes an integer into a type that the default codec encodes. It is the reverse of
// encodeWithCodec.
func scanInteger(c Codec, enc string, dst reflect.Value) error {
	if _, ok := untypedInt(enc); !ok || !isDefault(c) {
		return unreadable(enc, dst.Type(), "only numbers convert", nil)
	}
	if err := callDecode(c, enc, dst.Addr().Interface()); err != nil {
		return unreadable(enc, dst.Type(), reasonOf(err), err)
	}
	return nil
}

// wantsKind reports whether the kind of v converts to that of dst.
func wantsKind(dst reflect.Value, v any) bool {
	switch v.(type) {
	case string:
		return dst.Kind() == reflect.String && dst.Type() != jsonNumber
	case bool:
		return dst.Kind() == reflect.Bool
	}
	return dst.CanInt() || dst.CanUint() || dst.CanFloat() || dst.Type() == jsonNumber
}

// setPlain stores v, whose kind dst wants, and reports whether it fits exactly.
func setPlain(dst reflect.Value, v any) bool {
	if dst.Type() == jsonNumber {
		return setNumber(dst, v)
	}
	switch v := v.(type) {
	case string:
		dst.SetString(v)
	case bool:
		dst.SetBool(v)
	case float64:
		return setFloat(dst, v)
	case int:
		return setInt(dst, int64(v))
	case int64:
		return setInt(dst, v)
	case uint64:
		return setUint(dst, v)
	}
	return true
}

// setNumber stores v in a json.Number, which has no NaN and no infinities.
func setNumber(dst reflect.Value, v any) bool {
	text, err := json.Marshal(v)
	if err == nil {
		dst.SetString(string(text))
	}
	return err == nil
}

// setInt stores n in a number of any type, and reports whether it fits exactly.
func setInt(dst reflect.Value, n int64) bool {
	if !dst.CanInt() {
		if n >= 0 {
			return setUint(dst, uint64(n))
		}
		f := float64(n)
		return dst.CanFloat() && int64(f) == n && setFloat(dst, f)
	}
	if dst.OverflowInt(n) {
		return false
	}
	dst.SetInt(n)
	return true
}

// setUint stores n in a number of any type, and reports whether it fits exactly.
func setUint(dst reflect.Value, n uint64) bool {
	switch {
	case dst.CanInt():
		return n <= math.MaxInt64 && setInt(dst, int64(n))
	case dst.CanFloat():
		f := float64(n)
		return f < 1<<64 && uint64(f) == n && setFloat(dst, f)
	case dst.OverflowUint(n):
		return false
	}
	dst.SetUint(n)
	return true
}

// setFloat stores f in a number of any type, and reports whether it fits exactly.
func setFloat(dst reflect.Value, f float64) bool {
	switch {
	case !dst.CanFloat() && f >= 0:
		return f < 1<<64 && f == math.Trunc(f) && setUint(dst, uint64(f))
	case !dst.CanFloat():
		return f >= -1<<63 && f == math.Trunc(f) && setInt(dst, int64(f))
	case dst.Kind() == reflect.Float32 && float64(float32(f)) != f && !math.IsNaN(f):
		return false
	}
	dst.SetFloat(f)
	return true
}
