package session

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"example.com/session/driver"
)

// The first byte of an encoded value tells its kind. An integer begins with its sign or first
// digit, as driver.FormatInt writes it. Each value has one spelling, and no other is accepted.
const (
	formString = '\'' // then the bytes of the string
	formFloat  = '~'  // then the shortest text that gives the same float64
	formTrue   = 't'
	formFalse  = 'f'
	formNil    = 'n'
	formCodec  = '=' // then the bytes of the Codec
)

// maxFloatText is more than the length of "-2.2250738585072014e-308", the longest text of a
// float64.
const maxFloatText = 32

// encodeValue returns the encoded form of v. It keeps no reference to v and does not panic. The
// text of its error is the reason alone: the caller adds the operation, the key and the type.
func encodeValue(c Codec, v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return string(formNil), nil
	case string:
		return string(formString) + v, nil
	case bool:
		return encodeBool(v), nil
	case int:
		return driver.FormatInt(int64(v)), nil
	case int64:
		return driver.FormatInt(v), nil
	case float64:
		return encodeFloat(v), nil
	}
	return encodeOther(c, v)
}

// encodeOther is encodeValue for all other types. A pointer is encoded as what it points to.
func encodeOther(c Codec, v any) (string, error) {
	rv := reflect.ValueOf(v)
	if rv.Kind() == reflect.Pointer && rv.IsNil() {
		return string(formNil), nil
	}
	target := reflect.Indirect(rv)
	if encodesItself(target.Type()) {
		return encodeWithCodec(c, v)
	}
	if err, ok := v.(error); ok {
		return encodeError(err)
	}
	if enc, ok := encodePlain(target); ok {
		return enc, nil
	}
	return encodeWithCodec(c, v)
}

// encodeError returns the text of err as a string form.
func encodeError(err error) (enc string, failure error) {
	defer recoverCodec(&failure)
	return string(formString) + err.Error(), nil
}

// encodePlain encodes a value of a plain kind, and reports whether v is one.
func encodePlain(v reflect.Value) (string, bool) {
	switch {
	case v.Type() == jsonNumber:
		return encodeNumber(v.String())
	case v.Kind() == reflect.String:
		return string(formString) + v.String(), true
	case v.Kind() == reflect.Bool:
		return encodeBool(v.Bool()), true
	case v.CanInt():
		return driver.FormatInt(v.Int()), true
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10), true
	case v.CanFloat():
		return encodeFloat(v.Float()), true
	case v.Kind() == reflect.Map, v.Kind() == reflect.Slice:
		return string(formNil), v.IsNil()
	}
	return "", false
}

// encodeNumber encodes the text of a json.Number, and reports whether it has a plain form. A
// text that a plain form would change is left to the codec, except that 5.0 becomes the float 5, on
// which Increment works.
func encodeNumber(text string) (string, bool) {
	if _, ok := untypedInt(text); ok {
		return text, true
	}
	if whole, zeros, _ := strings.Cut(text, "."); zeros != "" && strings.Trim(zeros, "0") == "" {
		text = whole
	}
	enc := string(formFloat) + text
	f, ok := encodedFloat(enc)
	return enc, ok && !math.IsNaN(f) && !math.IsInf(f, 0)
}

// encodeWithCodec encodes v with c. An integer that the default codec has written, such as that
// of a *big.Int, gets the plain form, so that Increment works on it.
func encodeWithCodec(c Codec, v any) (string, error) {
	data, err := callEncode(c, v)
	if err != nil {
		return "", &codecError{reason: reasonOf(err), cause: err}
	}
	if isDefault(c) {
		if _, ok := untypedInt(string(data)); ok {
			return string(data), nil
		}
	}
	return string(formCodec) + string(data), nil
}

func isDefault(c Codec) bool {
	_, ok := c.(jsonCodec)
	return ok
}

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

// decodeValue decodes a value without a type to go by. A plain form is a string, a bool, an int
// (an int64 or uint64 if it does not fit), a float64 or nil. Everything else is what the codec
// decodes into an any.
func decodeValue(c Codec, enc string) (any, error) {
	if isCodecForm(enc) {
		var v any
		if err := callDecode(c, enc[1:], &v); err != nil {
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
	if f, ok := encodedFloat(enc); ok {
		return f, true
	}
	if b, ok := encodedBool(enc); ok {
		return b, true
	}
	if isNilForm(enc) {
		return nil, true
	}
	return untypedInt(enc)
}

// untypedInt returns the integer with the decimal text s as an int, or as an int64 or uint64 if
// it does not fit. It reports whether s is the one spelling of such an integer.
func untypedInt(s string) (any, bool) {
	if s == "" || s[0] != '-' && (s[0] < '0' || s[0] > '9') {
		return nil, false
	}
	if n, ok := driver.ParseInt(s); ok {
		if int64(int(n)) == n {
			return int(n), true
		}
		return n, true
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && n > math.MaxInt64 && s[0] != '0'
}

// encodedString returns the string that enc holds, and reports whether it holds one. The result
// shares the memory of enc.
func encodedString(enc string) (string, bool) {
	if enc == "" || enc[0] != formString {
		return "", false
	}
	return enc[1:], true
}

// encodedInt returns the integer that enc holds, and reports whether it holds one that fits. A
// float that is a whole number counts as one.
func encodedInt(enc string) (int64, bool) { return driver.ParseInt(enc) }

// encodedBool returns the bool that enc holds, and reports whether it holds one.
func encodedBool(enc string) (value, ok bool) {
	if len(enc) != 1 {
		return false, false
	}
	return enc[0] == formTrue, enc[0] == formTrue || enc[0] == formFalse
}

// encodedFloat returns the float that enc holds, and reports whether it holds one in the spelling
// of encodeFloat.
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

// kindOf names what enc holds, for logs and errors. It looks at the first byte only.
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
		return "encoded value"
	}
	if enc[0] == '-' || '0' <= enc[0] && enc[0] <= '9' {
		return "integer"
	}
	return "unknown"
}

func unreadable(enc string, t reflect.Type, reason string, cause error) error {
	text := fmt.Sprintf("session: read %s as %s: %s", kindOf(enc), t, reason)
	return &codecError{reason: text, cause: cause}
}

func malformed(enc string) error {
	const text = "session: read a value: what is stored is malformed (%s)"
	return &codecError{reason: fmt.Sprintf(text, kindOf(enc))}
}
