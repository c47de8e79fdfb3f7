package session

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A Codec encodes and decodes the values of a session, except those that the library encodes
// itself: strings, bools, integers, floats, nil and errors whose type has no MarshalJSON or
// MarshalText method. Most callers should leave Config.Codec nil: the default uses encoding/json.
//
// The library copies the result of Encode. Decode must be able to decode into the types that
// handlers ask for, and into *any, which Session.Get passes. Its dst is a non-nil pointer to a zero
// value, which is discarded if Decode fails. Decode may keep data.
//
// A Codec must be safe for concurrent use. The library wraps its errors but does not log their
// texts, because they may quote the value. A panic in a Codec is handled as an error.
type Codec interface {
	Encode(v any) ([]byte, error)
	Decode(data []byte, dst any) error
}

// A codecError says why a value could not be encoded or decoded. Its reason names types and
// kinds, never a value. The cause may quote a value; it is for errors.Is and errors.As only.
type codecError struct {
	reason string
	cause  error
}

func (e *codecError) Error() string { return e.reason }
func (e *codecError) Unwrap() error { return e.cause }

// maxDepth is how deep containers and pointers may be nested in a value that is encoded. It is
// less than the depth that encoding/json is able to read.
const maxDepth = 5000

// A jsonCodec is the default Codec: encoding/json. Numbers that are decoded into an interface
// become an int if they are written as an integer, and a float64 otherwise.
type jsonCodec struct{}

var _ Codec = jsonCodec{}

// Encode returns v as JSON. It encodes a copy through a pointer, so that encoding/json finds the
// methods with pointer receivers.
func (jsonCodec) Encode(v any) ([]byte, error) {
	ptr := reflect.New(reflect.TypeOf(v))
	ptr.Elem().Set(reflect.ValueOf(v))
	if err := checkLossless(ptr.Elem(), 0); err != nil {
		return nil, err // encoding/json may overflow the stack with a value that contains itself
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(ptr.Interface()); err != nil {
		return nil, &codecError{reason: jsonReason(err), cause: err}
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// Decode reads JSON into the zero value that dst points to.
func (jsonCodec) Decode(data []byte, dst any) error {
	v := reflect.ValueOf(dst).Elem()
	if string(bytes.TrimSpace(data)) == "null" && !acceptsNull(v.Type()) {
		return &codecError{reason: "it is null"}
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	err := dec.Decode(dst)
	if err == nil {
		err = checkEnd(dec)
	}
	if err == nil {
		err = convertNumbers(v)
	}
	if err != nil {
		return &codecError{reason: jsonReason(err), cause: err}
	}
	return nil
}

func checkEnd(dec *json.Decoder) error {
	if _, err := dec.Token(); err != io.EOF {
		return &codecError{reason: "data follows the JSON value"}
	}
	return nil
}

var (
	jsonMarshaler   = reflect.TypeFor[json.Marshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	jsonNumber      = reflect.TypeFor[json.Number]()
)

// encodesItself reports whether a t that can be addressed has a MarshalJSON or MarshalText
// method.
func encodesItself(t reflect.Type) bool { return hasMarshaler(reflect.PointerTo(t)) }

func hasMarshaler(t reflect.Type) bool {
	return t.Implements(jsonMarshaler) || t.Implements(textMarshaler)
}

// decodesItself reports whether encoding/json calls a method of *t to decode into a t.
func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonUnmarshaler) || p.Implements(textUnmarshaler)
}

// acceptsNull reports whether null means something to a t. Otherwise encoding/json ignores a
// null, and a stored nil would read as an empty string or struct.
func acceptsNull(t reflect.Type) bool {
	return canBeNil(t.Kind()) || reflect.PointerTo(t).Implements(jsonUnmarshaler)
}

// isScalar reports whether a k is neither a container nor a reference.
func isScalar(k reflect.Kind) bool {
	return reflect.Bool <= k && k <= reflect.Complex128 || k == reflect.String
}

// isBasic reports whether t is a scalar type without methods, such as int.
func isBasic(t reflect.Type) bool { return isScalar(t.Kind()) && t.PkgPath() == "" }

// checkLossless returns an error if encoding/json would leave out what v holds: a struct without
// exported fields, or an encoding that a value which cannot be addressed has through a pointer
// only. It also rejects values that are too deep.
func checkLossless(v reflect.Value, depth int) error {
	if depth > maxDepth {
		return &codecError{reason: "it contains itself or is nested too deeply"}
	}
	t := v.Type()
	if isBasic(t) || hasMarshaler(t) {
		return nil
	}
	if encodesItself(t) {
		if !v.CanAddr() {
			return &codecError{reason: t.String() + " can be encoded here only through a pointer to it"}
		}
		return nil
	}
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if !v.IsNil() {
			return checkLossless(v.Elem(), depth+1)
		}
	case reflect.Struct:
		return checkStruct(v, depth)
	case reflect.Map, reflect.Slice, reflect.Array:
		return checkElements(v, depth)
	}
	return nil
}

// checkElements is checkLossless for a map, a slice or an array.
func checkElements(v reflect.Value, depth int) error {
	if isBasic(v.Type().Elem()) {
		return nil
	}
	for _, e := range v.Seq2() {
		if err := checkLossless(e, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// checkStruct is checkLossless for a struct.
func checkStruct(v reflect.Value, depth int) error {
	fields := exportedFields(v.Type())
	if len(fields) == 0 && v.NumField() > 0 {
		return &codecError{reason: v.Type().String() + " has fields, but none that is exported"}
	}
	for i := range fields {
		f, err := v.FieldByIndexErr(fields[i].Index)
		if err != nil || fields[i].Tag.Get("json") == "-" {
			continue // behind a nil pointer, or left out on purpose
		}
		if err := checkLossless(f, depth+1); err != nil {
			return err
		}
	}
	return nil
}

var fieldCache sync.Map // of []reflect.StructField by reflect.Type

// exportedFields returns the exported fields of a struct type, and instead of an embedded struct
// its exported fields.
func exportedFields(t reflect.Type) []reflect.StructField {
	if fields, ok := fieldCache.Load(t); ok {
		return fields.([]reflect.StructField)
	}
	fields := slices.DeleteFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool {
		return !f.IsExported() || f.Anonymous && isStruct(f.Type)
	})
	fieldCache.Store(t, fields)
	return fields
}

// isStruct reports whether a t is a struct or points to one.
func isStruct(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct
}

// convertNumbers replaces each json.Number that encoding/json has stored in an interface within
// v. It leaves alone what decodes itself.
func convertNumbers(v reflect.Value) (err error) {
	if isScalar(v.Kind()) || decodesItself(v.Type()) {
		return nil
	}
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		if n, ok := v.Interface().(json.Number); ok {
			return convertNumber(v, string(n))
		}
		return convertNumbers(v.Elem())
	case reflect.Struct:
		for i := 0; i < v.NumField() && err == nil; i++ {
			err = convertNumbers(v.Field(i))
		}
	case reflect.Slice, reflect.Array:
		for i := 0; i < v.Len() && err == nil && !isScalar(v.Type().Elem().Kind()); i++ {
			err = convertNumbers(v.Index(i))
		}
	case reflect.Map:
		return convertMap(v)
	}
	return err
}

// convertMap is convertNumbers for a map, whose elements cannot be set in place.
func convertMap(v reflect.Value) error {
	if isScalar(v.Type().Elem().Kind()) {
		return nil
	}
	for it := v.MapRange(); it.Next(); {
		elem := reflect.New(v.Type().Elem()).Elem()
		elem.Set(it.Value())
		if err := convertNumbers(elem); err != nil {
			return err
		}
		v.SetMapIndex(it.Key(), elem)
	}
	return nil
}

// convertNumber stores the value of a JSON number in an interface. A fraction, an exponent or
// more than 64 bits make it a float64.
func convertNumber(dst reflect.Value, text string) error {
	if n, ok := untypedInt(text); ok {
		dst.Set(reflect.ValueOf(n))
		return nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return &codecError{reason: "a number does not fit a float64"}
	}
	dst.Set(reflect.ValueOf(f))
	return nil
}

// jsonReason says why encoding/json failed, without the values that its texts quote.
func jsonReason(err error) string {
	switch err := err.(type) {
	case *codecError:
		return err.reason
	case *json.UnsupportedTypeError:
		return "JSON cannot represent " + err.Type.String()
	case *json.UnsupportedValueError:
		return "JSON cannot represent NaN and infinities"
	case *json.MarshalerError:
		return "the marshal method of " + strings.TrimPrefix(err.Type.String(), "*") + " failed"
	case *json.SyntaxError:
		return fmt.Sprintf("it is not valid JSON at byte %d", err.Offset)
	case *json.UnmarshalTypeError:
		return mismatchReason(err)
	}
	return fmt.Sprintf("encoding/json failed with a %T", err)
}

// mismatchReason names the kind and the type. The first word of err.Value is the kind; the rest
// may be the value.
func mismatchReason(err *json.UnmarshalTypeError) string {
	kind, _, _ := strings.Cut(err.Value, " ")
	reason := fmt.Sprintf("a JSON %s cannot be decoded as %s", kind, err.Type)
	if err.Struct != "" {
		reason += " in " + err.Struct
	}
	return reason
}

// callEncode calls c.Encode and turns a panic into an error, so that a MarshalJSON method which
// panics fails this request's commit only.
func callEncode(c Codec, v any) (data []byte, err error) {
	defer recoverCodec(&err)
	return c.Encode(v)
}

// callDecode calls c.Decode with a copy of text and turns a panic into an error.
func callDecode(c Codec, text string, dst any) (err error) {
	defer recoverCodec(&err)
	return c.Decode([]byte(text), dst)
}

// recoverCodec turns a panic into an error. It keeps the text of a runtime error only, because
// any other text may quote the value.
func recoverCodec(err *error) {
	switch p := recover().(type) {
	case nil:
	case runtime.Error:
		*err = &codecError{reason: "the codec panicked: " + p.Error(), cause: p}
	default:
		*err = &codecError{reason: fmt.Sprintf("the codec panicked with a %T", p)}
	}
}

// reasonOf says why a codec failed without quoting a value. Of the errors of other codecs only
// the type is known to be safe.
func reasonOf(err error) string {
	var own *codecError
	if errors.As(err, &own) {
		return own.reason
	}
	return fmt.Sprintf("the codec failed with a %T", err)
}
