package session

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strconv"
)

// The first byte of an encoded value says what it is; an integer begins with its sign or its
// first digit, so that redis can increment it where it lies. There is exactly one spelling of
// each plain value: equal values have equal bytes, and what was not written here is refused.
const (
	formString = '\'' // then the bytes as they are
	formFloat  = '~'  // then the shortest text that gives the same float64
	formTrue   = 't'
	formFalse  = 'f'
	formNil    = 'n'
	formCodec  = '=' // then what the Codec made
)

// maxFloatText is more than the longest text of a float64, "-2.2250738585072014e-308", has.
const maxFloatText = 32

// A Codec encodes the values that have no plain form of the library's own: everything but
// strings, bools, integers, floats and nil. Most callers should leave Config.Codec empty, which
// is a [JSONCodec].
//
// Decode must be able to decode into the types that handlers ask for and into *any, which is
// what Session.Get uses. dst is a pointer to a zero value, never nil; on an error what it
// points to is thrown away. data belongs to the call. What Encode returns is copied, and must
// not change when v changes later.
//
// A Codec must be safe for concurrent use. Its errors are kept as causes, but their texts are
// not logged, since they may quote the value; a panic in it counts as an error.
type Codec interface {
	Encode(v any) ([]byte, error)
	Decode(data []byte, dst any) error
}

// A codecError says why a value could not be encoded or read. Its reason names types and kinds,
// never a value; the cause may hold one, and is for errors.As only.
type codecError struct {
	reason string
	cause  error
}

func (e *codecError) Error() string { return e.reason }
func (e *codecError) Unwrap() error { return e.cause }

// encodeValue returns the encoded form of v. It keeps nothing of v and never panics. The error's
// text is the reason alone: the caller puts the operation, the key and the type in front. Those
// of the reads below are whole, and are returned as they are.
func encodeValue(c Codec, v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return string(formNil), nil
	case string:
		return string(formString) + v, nil
	case bool:
		return encodeBool(v), nil
	case int:
		return encodeInt(int64(v)), nil
	case int64:
		return encodeInt(v), nil
	case float64:
		return encodeFloat(v), nil
	}
	return encodeByKind(c, v)
}

// encodeByKind is encodeValue for the types that are not the everyday ones.
func encodeByKind(c Codec, v any) (string, error) {
	rv := reflect.ValueOf(v)
	if rv.Kind() == reflect.Pointer && rv.IsNil() {
		return string(formNil), nil
	}
	if !hasOwnForm(rv.Type()) {
		if enc, ok := encodePlain(rv); ok {
			return enc, nil
		}
	}
	data, err := callEncode(c, v)
	if err != nil {
		return "", &codecError{reason: reasonOf(err), cause: err}
	}
	return string(formCodec) + string(data), nil
}

// encodePlain encodes what is of a plain kind, and reports whether v is.
func encodePlain(v reflect.Value) (string, bool) {
	switch {
	case v.Kind() == reflect.String:
		return string(formString) + v.String(), true
	case v.Kind() == reflect.Bool:
		return encodeBool(v.Bool()), true
	case v.CanInt():
		return encodeInt(v.Int()), true
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10), true
	case v.CanFloat():
		return encodeFloat(v.Float()), true
	}
	return "", false
}

func encodeInt(n int64) string { return strconv.FormatInt(n, 10) }

func encodeBool(b bool) string {
	if b {
		return string(formTrue)
	}
	return string(formFalse)
}

func encodeFloat(f float64) string {
	var buf [1 + maxFloatText]byte
	return string(strconv.AppendFloat(append(buf[:0], formFloat), f, 'g', -1, 64))
}

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	jsonNumber    = reflect.TypeFor[json.Number]()
)

// hasOwnForm reports whether t says itself how its values are written. Such a value is the
// codec's whatever its kind: the text of a level says more than its number.
func hasOwnForm(t reflect.Type) bool {
	if t.PkgPath() == "" {
		return false // string and int and so on have no methods
	}
	p := reflect.PointerTo(t) // has the methods of t as well
	return t == jsonNumber || p.Implements(jsonMarshaler) || p.Implements(textMarshaler)
}

// decodeValue is the untyped read: string, bool, int (int64 or uint64 where it does not fit),
// float64 or nil, and what the codec makes of everything else.
func decodeValue(c Codec, enc string) (any, error) {
	if isCodecForm(enc) {
		var v any
		err := callDecode(c, enc, &v)
		if err != nil {
			return nil, unreadable(enc, reflect.TypeFor[any](), reasonOf(err), err)
		}
		return v, nil
	}
	if v, ok := plainValue(enc); ok {
		return v, nil
	}
	return nil, malformed(enc)
}

// plainValue decodes a plain form, and reports whether enc is one.
func plainValue(enc string) (any, bool) {
	if s, ok := encodedString(enc); ok {
		return s, true
	}
	if n, ok := parseInteger(enc); ok {
		return n.untyped(), true
	}
	if b, ok := encodedBool(enc); ok {
		return b, true
	}
	if f, ok := encodedFloat(enc); ok {
		return f, true
	}
	return nil, isNilForm(enc)
}

// scanValue is the typed read, into what dst points to. That is replaced as a whole, and left
// alone when there is an error. Numbers convert where the value fits exactly, a named type is
// read by its kind, and nothing else converts.
func scanValue(c Codec, enc string, dst any) error {
	ptr := reflect.ValueOf(dst)
	if ptr.Kind() != reflect.Pointer || ptr.IsNil() {
		return &codecError{reason: "session: read a value: " + needsPointer + describe(ptr)}
	}
	if scanCommon(enc, dst) {
		return nil
	}
	// A codec may fail halfway, so it gets a value of its own.
	fresh := reflect.New(ptr.Type().Elem())
	if err := scanFresh(c, enc, fresh); err != nil {
		return err
	}
	ptr.Elem().Set(fresh.Elem())
	return nil
}

const needsPointer = "the destination must be a pointer that is not nil; it is "

// describe names what a caller passed in place of a pointer.
func describe(v reflect.Value) string {
	switch {
	case !v.IsValid():
		return "nil"
	case v.Kind() == reflect.Pointer:
		return "a nil " + v.Type().String()
	}
	return v.Type().String()
}

// decodeAs is scanValue for generic callers. The everyday types cost no allocation: fast stays
// on the stack, since only slow is seen by the codec.
func decodeAs[T any](c Codec, enc string) (T, error) {
	var fast T
	if scanCommon(enc, &fast) {
		return fast, nil
	}
	slow := new(T)
	err := scanValue(c, enc, slow)
	return *slow, err
}

// scanCommon stores enc in dst where both are of the same everyday type, and reports whether it
// did. It takes no reflection and lets nothing escape. dst is not a nil pointer.
func scanCommon(enc string, dst any) (ok bool) {
	switch dst := dst.(type) {
	case *string:
		return store(dst, enc, encodedString)
	case *bool:
		return store(dst, enc, encodedBool)
	case *int64:
		return store(dst, enc, encodedInt)
	case *float64:
		return store(dst, enc, encodedFloat)
	case *int:
		n, ok := encodedInt(enc)
		if ok = ok && int64(int(n)) == n; ok {
			*dst = int(n)
		}
		return ok
	}
	return false
}

func store[T any](dst *T, enc string, read func(string) (T, bool)) bool {
	v, ok := read(enc)
	if ok {
		*dst = v
	}
	return ok
}

// scanFresh reads enc into what ptr points to, a zero value.
func scanFresh(c Codec, enc string, ptr reflect.Value) error {
	t := ptr.Type().Elem()
	switch {
	case isCodecForm(enc):
		if err := callDecode(c, enc, ptr.Interface()); err != nil {
			return unreadable(enc, t, reasonOf(err), err)
		}
		return nil
	case isNilForm(enc):
		return scanNil(enc, t)
	}
	return scanPlain(enc, ptr.Elem())
}

// scanNil accepts the nil form where the zero value of t is nil.
func scanNil(enc string, t reflect.Type) error {
	if !canBeNil(t) {
		return unreadable(enc, t, "it has no nil", nil)
	}
	return nil
}

// canBeNil reports whether a nil that was stored can be read as a t.
func canBeNil(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
		return true
	}
	return false
}

// scanPlain reads a plain form other than nil into dst.
func scanPlain(enc string, dst reflect.Value) error {
	v, ok := plainValue(enc)
	if !ok {
		return malformed(enc)
	}
	if dst.Kind() == reflect.Pointer {
		dst.Set(reflect.New(dst.Type().Elem()))
		dst = dst.Elem()
	}
	if dst.Kind() == reflect.Interface && dst.NumMethod() == 0 {
		dst.Set(reflect.ValueOf(v))
		return nil
	}
	if hasOwnForm(dst.Type()) || !wantsKind(dst, v) {
		return unreadable(enc, dst.Type(), "only numbers convert", nil)
	}
	if !setPlain(dst, v) {
		return unreadable(enc, dst.Type(), "it does not fit exactly", nil)
	}
	return nil
}

// wantsKind reports whether v could be stored in dst, were its size no question.
func wantsKind(dst reflect.Value, v any) bool {
	switch v.(type) {
	case string:
		return dst.Kind() == reflect.String
	case bool:
		return dst.Kind() == reflect.Bool
	}
	return dst.CanInt() || dst.CanUint() || dst.CanFloat()
}

// setPlain stores v, whose kind dst wants, and reports whether it fits exactly.
func setPlain(dst reflect.Value, v any) bool {
	switch v := v.(type) {
	case string:
		dst.SetString(v)
	case bool:
		dst.SetBool(v)
	case float64:
		return setFloat(dst, v)
	case int:
		return integerOf(int64(v)).set(dst)
	case int64:
		return integerOf(v).set(dst)
	case uint64:
		return integer{abs: v}.set(dst)
	}
	return true
}

// setFloat stores f in a number of any type, and reports whether it fits exactly.
func setFloat(dst reflect.Value, f float64) bool {
	if !dst.CanFloat() {
		n, ok := integerOfFloat(f)
		return ok && n.set(dst)
	}
	if dst.Kind() == reflect.Float32 && float64(float32(f)) != f && !math.IsNaN(f) {
		return false
	}
	dst.SetFloat(f)
	return true
}

// An integer is a whole number of the range from -1<<63 to 1<<64-1.
type integer struct {
	neg bool
	abs uint64
}

func integerOf(n int64) integer {
	if n < 0 {
		return integer{neg: true, abs: -uint64(n)}
	}
	return integer{abs: uint64(n)}
}

// integerOfFloat reports whether f is a whole number of that range.
func integerOfFloat(f float64) (integer, bool) {
	abs := math.Abs(f)
	n := integer{neg: f < 0, abs: 0}
	if abs != math.Trunc(abs) || abs >= 1<<64 || n.neg && abs > 1<<63 {
		return n, false
	}
	n.abs = uint64(abs)
	return n, true
}

// parseInteger reads a decimal number in its one spelling: no plus, no leading zero, no -0.
func parseInteger(s string) (n integer, ok bool) {
	if s != "" && s[0] == '-' {
		n.neg, s = true, s[1:]
	}
	if s == "" || len(s) > 20 || s[0] == '0' && (n.neg || len(s) > 1) {
		return n, false
	}
	for i := range len(s) {
		d := uint64(s[i]) - '0'
		if d > 9 || n.abs > (math.MaxUint64-d)/10 {
			return n, false
		}
		n.abs = n.abs*10 + d
	}
	return n, !n.neg || n.abs <= 1<<63
}

// append appends the one spelling of n.
func (n integer) append(b []byte) []byte {
	if n.neg {
		b = append(b, '-')
	}
	return strconv.AppendUint(b, n.abs, 10)
}

// int64 reports whether n fits an int64.
func (n integer) int64() (int64, bool) {
	if n.neg {
		return int64(-n.abs), true
	}
	return int64(n.abs), n.abs <= math.MaxInt64
}

// untyped returns n as an int, or where that is too small as an int64 or uint64.
func (n integer) untyped() any {
	i, ok := n.int64()
	switch {
	case !ok:
		return n.abs
	case int64(int(i)) != i:
		return i
	}
	return int(i)
}

// set stores n in a number of any type, and reports whether it fits exactly.
func (n integer) set(dst reflect.Value) bool {
	switch {
	case dst.CanInt():
		i, ok := n.int64()
		if !ok || dst.OverflowInt(i) {
			return false
		}
		dst.SetInt(i)
	case dst.CanUint():
		if n.neg || dst.OverflowUint(n.abs) {
			return false
		}
		dst.SetUint(n.abs)
	default:
		return n.setFloat(dst)
	}
	return true
}

// setFloat stores n in a float if converting it back gives n again.
func (n integer) setFloat(dst reflect.Value) bool {
	f := float64(n.abs)
	if f >= 1<<64 || uint64(f) != n.abs {
		return false
	}
	if n.neg {
		f = -f
	}
	return setFloat(dst, f)
}

// encodedString returns the string that enc holds, and reports whether it holds one. It shares
// the bytes of enc.
func encodedString(enc string) (string, bool) {
	if enc == "" || enc[0] != formString {
		return "", false
	}
	return enc[1:], true
}

// encodedInt returns the integer that enc holds, and reports whether it holds one that fits.
func encodedInt(enc string) (int64, bool) {
	n, ok := parseInteger(enc)
	if !ok {
		return 0, false
	}
	return n.int64()
}

// encodedBool returns the bool that enc holds, and reports whether it holds one.
func encodedBool(enc string) (value, ok bool) {
	if len(enc) != 1 {
		return false, false
	}
	return enc[0] == formTrue, enc[0] == formTrue || enc[0] == formFalse
}

// encodedFloat returns the float that enc holds, and reports whether it holds one. What strconv
// reads but would not write is refused.
func encodedFloat(enc string) (float64, bool) {
	if len(enc) < 2 || len(enc) > 1+maxFloatText || enc[0] != formFloat {
		return 0, false
	}
	f, err := strconv.ParseFloat(enc[1:], 64)
	if err != nil {
		return 0, false
	}
	var buf [maxFloatText]byte
	return f, string(strconv.AppendFloat(buf[:0], f, 'g', -1, 64)) == enc[1:]
}

func isCodecForm(enc string) bool { return enc != "" && enc[0] == formCodec }
func isNilForm(enc string) bool   { return enc == string(formNil) }

// kindOf names what enc holds, for logs and errors. It goes by the first byte only.
func kindOf(enc string) string {
	if enc == "" {
		return "nothing"
	}
	switch enc[0] {
	case formString:
		return "string"
	case formFloat:
		return "float"
	case formTrue, formFalse:
		return "bool"
	case formNil:
		return "nil"
	case formCodec:
		return "object or array"
	}
	if enc[0] == '-' || '0' <= enc[0] && enc[0] <= '9' {
		return "integer"
	}
	return "unknown"
}

// callEncode is c.Encode, its panics made errors: a MarshalJSON that cannot cope with its own
// value must not take the request down from inside Set.
func callEncode(c Codec, v any) (data []byte, err error) {
	defer recoverCodec(&err)
	return c.Encode(v)
}

// callDecode is c.Decode of the codec form enc, its panics made errors.
func callDecode(c Codec, enc string, dst any) (err error) {
	defer recoverCodec(&err)
	return c.Decode([]byte(enc[1:]), dst)
}

// recoverCodec turns a panic into an error. Only the text of a runtime error is kept: what else
// a method panics with may quote its value.
func recoverCodec(err *error) {
	switch p := recover().(type) {
	case nil:
	case runtime.Error:
		*err = &codecError{reason: "the codec panicked: " + p.Error(), cause: p}
	default:
		*err = &codecError{reason: fmt.Sprintf("the codec panicked with a %T", p)}
	}
}

// reasonOf says why a codec failed as far as that can be said without quoting a value: the
// library's own codec tells, of others only the fact is known.
func reasonOf(err error) string {
	var own *codecError
	if errors.As(err, &own) {
		return own.reason
	}
	return fmt.Sprintf("the codec failed with a %T", err)
}

func unreadable(enc string, t reflect.Type, reason string, cause error) error {
	return &codecError{reason: fmt.Sprintf("session: read %s as %s: %s", kindOf(enc), t, reason), cause: cause}
}

func malformed(enc string) error {
	return &codecError{reason: "session: read a value: what is stored is malformed (" + kindOf(enc) + ")"}
}
