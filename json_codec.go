package session

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// maxJSONDepth is how deep objects, arrays and pointers may be nested in a value. Beyond it a
// value is taken for one that contains itself; what encoding/json reads is five times as deep.
const maxJSONDepth = 2000

// A JSONCodec is the default [Codec]: encoding/json, with its tags and interfaces, but for the
// numbers. A float is written with a fraction or an exponent (5.0, where encoding/json writes
// 5), so that it is a float64 when it is read untyped, and an integer an int, at every depth.
// That holds for what the codec writes itself, not for the output of a MarshalJSON method.
//
// The zero value is ready for use. It is exported so that a Codec of your own can wrap it.
type JSONCodec struct{}

var _ Codec = JSONCodec{}

// Encode returns v as JSON. <, > and & stand as they are. Channels, functions, NaN, infinities
// and values that contain themselves are errors.
func (JSONCodec) Encode(v any) ([]byte, error) {
	data, err := encodeJSON(v)
	if err != nil {
		return nil, fmt.Errorf("session: encode as JSON: %w", &codecError{reason: jsonReason(err), cause: err})
	}
	return data, nil
}

// Decode reads JSON into what dst points to, in place of what is there. Whatever is of type any
// in it becomes a string, bool, int (int64 or uint64 where it does not fit), float64,
// map[string]any, []any or nil. An integer reads into a float and 5.0 into an integer. A null
// is an error where dst has no nil. After an error dst may be half filled.
func (JSONCodec) Decode(data []byte, dst any) error {
	ptr := reflect.ValueOf(dst)
	if ptr.Kind() != reflect.Pointer || ptr.IsNil() {
		return errors.New("session: decode JSON: " + needsPointer + describe(ptr))
	}
	err := decodeJSON(data, ptr)
	if isTypeMismatch(err) {
		err = decodeRespelled(data, ptr, err)
	}
	if err != nil {
		return fmt.Errorf("session: decode JSON: %w", &codecError{reason: jsonReason(err), cause: err})
	}
	return nil
}

// jsonReason says what encoding/json found wrong, without the values that its texts quote.
func jsonReason(err error) string {
	var own *codecError
	if errors.As(err, &own) {
		return own.reason
	}
	switch err := err.(type) {
	case *json.UnsupportedTypeError:
		return "JSON has no form for " + err.Type.String()
	case *json.UnsupportedValueError:
		return "JSON has no form for this: " + err.Str // NaN, an infinity, or what the cycle is of
	case *json.MarshalerError:
		return "the marshal method of " + err.Type.String() + " failed"
	case *json.SyntaxError:
		return fmt.Sprintf("it is no valid JSON at byte %d", err.Offset)
	case *json.UnmarshalTypeError:
		return mismatchReason(err)
	}
	return fmt.Sprintf("encoding/json failed with a %T", err)
}

// mismatchReason names the kind and the wanted type. The first word of Value is the kind; the
// rest may be the number itself.
func mismatchReason(err *json.UnmarshalTypeError) string {
	kind, _, _ := strings.Cut(err.Value, " ")
	reason := kind + " where " + err.Type.String() + " is wanted"
	if k := err.Type.Kind(); kind == "number" && isScalarKind(k) && k != reflect.Bool && k != reflect.String {
		reason = "a number does not fit " + err.Type.String()
	}
	if err.Struct != "" {
		reason += " in " + err.Struct
	}
	return reason
}

func isTypeMismatch(err error) bool {
	var mismatch *json.UnmarshalTypeError
	return errors.As(err, &mismatch)
}

// decodeJSON is encoding/json with the untyped rules for what is of type any.
func decodeJSON(data []byte, ptr reflect.Value) error {
	t := ptr.Type().Elem()
	if isNull(data) && !takesNull(t) {
		return &codecError{reason: "it is null"}
	}
	ptr.Elem().SetZero() // else encoding/json would follow the pointers that are in it
	if !jsonTypeOf(t).loose {
		return json.Unmarshal(data, ptr.Interface())
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(ptr.Interface()); err != nil {
		return err
	}
	if rest := data[dec.InputOffset():]; len(bytes.TrimLeft(rest, jsonSpace)) > 0 {
		return &codecError{reason: "something follows the JSON value"}
	}
	return retype(ptr.Elem())
}

const jsonSpace = " \t\r\n"

func isNull(data []byte) bool { return string(bytes.Trim(data, jsonSpace)) == "null" }

// takesNull reports whether null means something to a t. encoding/json passes over it otherwise,
// and a nil that was stored would read as a string or a struct.
func takesNull(t reflect.Type) bool {
	return canBeNil(t) || reflect.PointerTo(t).Implements(jsonUnmarshaler)
}

// retype replaces, in what encoding/json has just decoded with UseNumber, each json.Number that
// stands in an any.
func retype(v reflect.Value) error {
	info := jsonTypeOf(v.Type())
	if !info.loose {
		return nil
	}
	switch v.Kind() {
	case reflect.Interface:
		return retypeAny(v)
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return retype(v.Elem())
	case reflect.Map:
		return retypeMap(v)
	case reflect.Struct:
		return retypeStruct(v, info.fields)
	}
	for i := range v.Len() {
		if err := retype(v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

func retypeAny(v reflect.Value) error {
	if v.IsNil() || v.NumMethod() > 0 {
		return nil
	}
	x, err := untypedJSON(v.Interface())
	if x != nil {
		v.Set(reflect.ValueOf(x))
	}
	return err
}

func retypeMap(v reflect.Value) error {
	if m, ok := v.Interface().(map[string]any); ok { // by far the most frequent
		_, err := untypedJSON(m)
		return err
	}
	elem := reflect.New(v.Type().Elem()).Elem() // a map's elements cannot be set in place
	for it := v.MapRange(); it.Next(); {
		elem.Set(it.Value())
		if err := retype(elem); err != nil {
			return err
		}
		v.SetMapIndex(it.Key(), elem)
	}
	return nil
}

func retypeStruct(v reflect.Value, fields []jsonField) error {
	for i := range fields {
		f, ok := fields[i].in(v)
		if !ok {
			continue
		}
		if err := retype(f); err != nil {
			return err
		}
	}
	return nil
}

// untypedJSON is retype for what encoding/json puts into an any. It changes x in place.
func untypedJSON(x any) (_ any, err error) {
	switch x := x.(type) {
	case json.Number:
		return untypedNumber(string(x))
	case map[string]any:
		for k, v := range x {
			if x[k], err = untypedJSON(v); err != nil {
				return nil, err
			}
		}
	case []any:
		for i, v := range x {
			if x[i], err = untypedJSON(v); err != nil {
				return nil, err
			}
		}
	}
	return x, nil
}

// untypedNumber goes by the spelling: a fraction or an exponent makes a float64. So does an
// integer of more than 64 bits, which this codec writes only for a MarshalJSON method.
func untypedNumber(s string) (any, error) {
	if n, ok := parseInteger(s); ok {
		return n.untyped(), nil
	}
	if s == "-0" {
		return 0, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, &codecError{reason: "a number does not fit a float64"}
	}
	return f, nil
}

// decodeRespelled decodes once more, with the floats that stand where the type has an integer
// spelled as integers: a 5.0 that was set as a float64 reads into an int. Where there are none,
// the result is the error of the first attempt.
func decodeRespelled(data []byte, ptr reflect.Value, first error) error {
	if !json.Valid(data) {
		return first
	}
	r := respeller{data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	r.dec.UseNumber()
	if err := r.value(ptr.Type().Elem()); err != nil {
		return err
	}
	if r.done == 0 {
		return first
	}
	return decodeJSON(append(r.out, data[r.done:]...), ptr)
}

// A respeller copies valid JSON, with a Go type to hand that says where integers are wanted.
type respeller struct {
	data []byte
	dec  *json.Decoder // over data
	out  []byte
	done int // bytes of data that out stands for
}

// value passes over the next value, which is to become a t; nil is for what takes any spelling.
func (r *respeller) value(t reflect.Type) error {
	t = withoutPointers(t)
	tok, err := r.dec.Token()
	if err != nil {
		return err
	}
	switch tok := tok.(type) {
	case json.Number:
		r.number(t, string(tok))
	case json.Delim:
		return r.members(t, tok == '{')
	}
	return nil
}

// members passes over what is left of an object or array that was just opened.
func (r *respeller) members(t reflect.Type, object bool) (err error) {
	for r.dec.More() {
		var name json.Token
		if object {
			if name, err = r.dec.Token(); err != nil {
				return err
			}
		}
		if err := r.value(memberType(t, name)); err != nil {
			return err
		}
	}
	_, err = r.dec.Token()
	return err
}

// number respells the number that ends where the decoder stands, if t is an integer type.
func (r *respeller) number(t reflect.Type, text string) {
	if t == nil || !strings.ContainsAny(text, ".eE") || !isIntegerKind(t.Kind()) {
		return
	}
	f, err := strconv.ParseFloat(text, 64)
	n, ok := integerOfFloat(f)
	if err != nil || !ok {
		return
	}
	end := int(r.dec.InputOffset())
	r.out = append(r.out, r.data[r.done:end-len(text)]...)
	r.out = n.append(r.out)
	r.done = end
}

// withoutPointers returns the type behind the pointers of t, or nil if that decodes itself.
func withoutPointers(t reflect.Type) reflect.Type {
	for t != nil && !decodesItself(t) {
		if t.Kind() != reflect.Pointer {
			return t
		}
		t = t.Elem()
	}
	return nil
}

// memberType returns the type that a member of a t has, or nil. An element has no name.
func memberType(t reflect.Type, name json.Token) reflect.Type {
	if t == nil {
		return nil
	}
	switch t.Kind() {
	case reflect.Map, reflect.Slice, reflect.Array:
		return t.Elem()
	case reflect.Struct:
		if name, ok := name.(string); ok {
			return fieldType(jsonTypeOf(t).fields, name)
		}
	}
	return nil
}

// fieldType looks up a name as encoding/json does: as it is, then in any letter case.
func fieldType(fields []jsonField, name string) reflect.Type {
	i := slices.IndexFunc(fields, func(f jsonField) bool { return f.name == name })
	if i < 0 {
		i = slices.IndexFunc(fields, func(f jsonField) bool { return strings.EqualFold(f.name, name) })
	}
	if i < 0 {
		return nil
	}
	return fields[i].typ
}

// encodeJSON leaves to encoding/json what it writes as it should be.
func encodeJSON(v any) ([]byte, error) {
	if v != nil && !jsonTypeOf(reflect.TypeOf(v)).exact {
		var w jsonWriter
		err := w.value(reflect.ValueOf(v), false)
		return w.Bytes(), err
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}

// A jsonWriter writes a value as encoding/json does, but for the floats. It has to follow all
// the rules, since encoding/json has no hook for the floats of other people's types.
type jsonWriter struct {
	bytes.Buffer
	depth int
}

// value writes v; quoted is the string option of a field's tag, which only scalars heed.
func (w *jsonWriter) value(v reflect.Value, quoted bool) error {
	if !v.IsValid() {
		w.WriteString("null")
		return nil
	}
	info := jsonTypeOf(v.Type())
	switch {
	case v.CanAddr() && info.ptrMethod != noMethod:
		return w.method(v.Addr(), info.ptrMethod)
	case info.method != noMethod:
		return w.method(v, info.method)
	case isScalarKind(v.Kind()):
		return w.scalar(v, quoted)
	case v.Kind() == reflect.Interface:
		return w.value(v.Elem(), quoted)
	}
	if w.depth++; w.depth > maxJSONDepth {
		return &json.UnsupportedValueError{Str: "nested too deeply, or within itself"}
	}
	err := w.composite(v, info, quoted)
	w.depth--
	return err
}

// method writes what the value's own MarshalJSON or MarshalText returns.
func (w *jsonWriter) method(v reflect.Value, m marshalMethod) error {
	if (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) && v.IsNil() {
		w.WriteString("null")
		return nil
	}
	var text []byte
	var err error
	if m == marshalText {
		text, err = v.Interface().(encoding.TextMarshaler).MarshalText()
		w.string(string(text))
	} else if text, err = v.Interface().(json.Marshaler).MarshalJSON(); err == nil {
		err = json.Compact(&w.Buffer, text)
	}
	if err != nil {
		return &json.MarshalerError{Type: v.Type(), Err: err}
	}
	return nil
}

// scalar writes a bool, number or string.
func (w *jsonWriter) scalar(v reflect.Value, quoted bool) error {
	if v.Kind() == reflect.String && v.Type() != jsonNumber {
		text := v.String()
		if quoted {
			text = string(appendJSONString(nil, text))
		}
		w.string(text)
		return nil
	}
	b := appendIf(quoted, w.AvailableBuffer(), '"')
	b, err := appendScalar(b, v, quoted)
	w.Write(appendIf(quoted, b, '"'))
	return err
}

func appendIf(cond bool, b []byte, c byte) []byte {
	if cond {
		b = append(b, c)
	}
	return b
}

// appendScalar appends a bool or number. A float in quotes is a string when it is read, and gets
// no fraction.
func appendScalar(b []byte, v reflect.Value, quoted bool) ([]byte, error) {
	switch {
	case v.Kind() == reflect.Bool:
		return strconv.AppendBool(b, v.Bool()), nil
	case v.CanInt():
		return strconv.AppendInt(b, v.Int(), 10), nil
	case v.CanUint():
		return strconv.AppendUint(b, v.Uint(), 10), nil
	case v.CanFloat():
		return appendJSONFloat(b, v.Float(), v.Type().Bits(), !quoted)
	}
	text, err := json.Marshal(json.Number(v.String())) // it knows which are valid
	return append(b, text...), err
}

// appendJSONFloat spells f as encoding/json does, and adds the fraction that tells it from an
// integer.
func appendJSONFloat(b []byte, f float64, bits int, fraction bool) ([]byte, error) {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return b, &json.UnsupportedValueError{Str: strconv.FormatFloat(f, 'g', -1, bits)}
	}
	if hasJSONExponent(f, bits) {
		b = strconv.AppendFloat(b, f, 'e', -1, bits)
		if n := len(b); n >= 4 && string(b[n-4:n-1]) == "e-0" {
			b = append(b[:n-2], b[n-1]) // e-09 is e-9
		}
		return b, nil
	}
	start := len(b)
	b = strconv.AppendFloat(b, f, 'f', -1, bits)
	if fraction && !bytes.ContainsRune(b[start:], '.') {
		b = append(b, ".0"...)
	}
	return b, nil
}

// hasJSONExponent reports whether f is so small or so large that JavaScript would write it with
// an exponent. A float32 is compared as one.
func hasJSONExponent(f float64, bits int) bool {
	abs := math.Abs(f)
	if bits == 32 {
		return abs != 0 && (float32(abs) < 1e-6 || float32(abs) >= 1e21)
	}
	return abs != 0 && (abs < 1e-6 || abs >= 1e21)
}

func (w *jsonWriter) string(s string) {
	w.Write(appendJSONString(w.AvailableBuffer(), s))
}

// appendJSONString appends s in quotes. Bytes that are not UTF-8 become U+FFFD.
func appendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0 // of what is not yet in b
	for i, r := range s {
		width := jsonEscapeWidth(s[i:], r)
		if width == 0 {
			continue
		}
		b = append(b, s[start:i]...)
		b = appendJSONEscape(b, r)
		start = i + width
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// jsonEscapeWidth returns how many bytes of s, which starts with r, an escape replaces.
func jsonEscapeWidth(s string, r rune) int {
	switch {
	case r < ' ', r == '"', r == '\\':
		return 1
	case r == '\u2028', r == '\u2029': // newlines to old JavaScript
		return utf8.RuneLen(r)
	case r == utf8.RuneError:
		if _, size := utf8.DecodeRuneInString(s); size == 1 {
			return 1
		}
	}
	return 0
}

func appendJSONEscape(b []byte, r rune) []byte {
	const short = "\"\"\\\\\bb\ff\nn\rr\tt" // pairs of a character and its letter
	for i := 0; i < len(short); i += 2 {
		if rune(short[i]) == r {
			return append(b, '\\', short[i+1])
		}
	}
	return fmt.Appendf(b, `\u%04x`, r)
}

// composite writes what holds other values.
func (w *jsonWriter) composite(v reflect.Value, info *jsonType, quoted bool) error {
	switch v.Kind() {
	case reflect.Struct:
		return w.structure(v, info.fields)
	case reflect.Map:
		return w.mapping(v)
	case reflect.Array:
		return w.array(v)
	case reflect.Slice:
		return w.slice(v)
	case reflect.Pointer:
		return w.value(v.Elem(), quoted)
	}
	return &json.UnsupportedTypeError{Type: v.Type()}
}

func (w *jsonWriter) structure(v reflect.Value, fields []jsonField) error {
	w.WriteByte('{')
	first := true
	for i := range fields {
		f, ok := fields[i].in(v)
		if !ok || fields[i].omits(f) {
			continue
		}
		w.comma(&first)
		w.WriteString(fields[i].key)
		if err := w.value(f, fields[i].quoted); err != nil {
			return err
		}
	}
	w.WriteByte('}')
	return nil
}

// comma goes in front of every member but the first.
func (w *jsonWriter) comma(first *bool) {
	if !*first {
		w.WriteByte(',')
	}
	*first = false
}

func (w *jsonWriter) slice(v reflect.Value) error {
	switch {
	case v.IsNil():
		w.WriteString("null")
	case isByteText(v.Type()):
		b := append(w.AvailableBuffer(), '"')
		b = base64.StdEncoding.AppendEncode(b, v.Bytes())
		w.Write(append(b, '"'))
	default:
		return w.array(v)
	}
	return nil
}

// isByteText reports whether encoding/json writes the slice type t as base64.
func isByteText(t reflect.Type) bool {
	return t.Elem().Kind() == reflect.Uint8 && methodOf(reflect.PointerTo(t.Elem())) == noMethod
}

func (w *jsonWriter) array(v reflect.Value) error {
	w.WriteByte('[')
	first := true
	for i := range v.Len() {
		w.comma(&first)
		if err := w.value(v.Index(i), false); err != nil {
			return err
		}
	}
	w.WriteByte(']')
	return nil
}

func (w *jsonWriter) mapping(v reflect.Value) error {
	if !isJSONKey(v.Type().Key()) {
		return &json.UnsupportedTypeError{Type: v.Type()}
	}
	if v.IsNil() {
		w.WriteString("null")
		return nil
	}
	members, err := sortedMembers(v)
	if err != nil {
		return err
	}
	w.WriteByte('{')
	first := true
	for _, m := range members {
		w.comma(&first)
		w.string(m.name)
		w.WriteByte(':')
		if err := w.value(m.value, false); err != nil {
			return err
		}
	}
	w.WriteByte('}')
	return nil
}

type jsonMember struct {
	name  string
	value reflect.Value
}

func sortedMembers(v reflect.Value) ([]jsonMember, error) {
	members := make([]jsonMember, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		name, err := jsonKey(it.Key())
		if err != nil {
			return nil, err
		}
		members = append(members, jsonMember{name: name, value: it.Value()})
	}
	slices.SortFunc(members, func(a, b jsonMember) int { return strings.Compare(a.name, b.name) })
	return members, nil
}

// isJSONKey reports whether a t can be the key of an object.
func isJSONKey(t reflect.Type) bool {
	return t.Kind() == reflect.String || isIntegerKind(t.Kind()) || t.Implements(textMarshaler)
}

// jsonKey returns the text of a map key: a string as it is, else what MarshalText says, else the
// integer.
func jsonKey(k reflect.Value) (string, error) {
	if k.Kind() == reflect.String {
		return k.String(), nil
	}
	if m, ok := k.Interface().(encoding.TextMarshaler); ok {
		if k.Kind() == reflect.Pointer && k.IsNil() {
			return "", nil
		}
		text, err := m.MarshalText()
		if err != nil {
			return "", &json.MarshalerError{Type: k.Type(), Err: err}
		}
		return string(text), nil
	}
	if k.Kind() == reflect.Interface { // a nil one
		return "", &json.UnsupportedTypeError{Type: k.Type()}
	}
	text, err := appendScalar(nil, k, false)
	return string(text), err
}

// A marshalMethod is the way in which a type writes itself.
type marshalMethod int

const (
	noMethod marshalMethod = iota
	marshalJSON
	marshalText
)

func methodOf(t reflect.Type) marshalMethod {
	switch {
	case t.Implements(jsonMarshaler):
		return marshalJSON
	case t.Implements(textMarshaler):
		return marshalText
	}
	return noMethod
}

// A jsonType is what is worth remembering about a type.
type jsonType struct {
	method    marshalMethod // that its values have
	ptrMethod marshalMethod // that its values have where they can be addressed
	exact     bool          // encoding/json writes its values as they should be
	loose     bool          // encoding/json may put numbers of its own choice into it
	fields    []jsonField   // of a struct
}

var jsonTypes sync.Map // of *jsonType by reflect.Type; it grows with the program's types only

func jsonTypeOf(t reflect.Type) *jsonType {
	if known, ok := jsonTypes.Load(t); ok {
		return known.(*jsonType)
	}
	info := &jsonType{method: methodOf(t)}
	if t.Kind() != reflect.Pointer {
		info.ptrMethod = methodOf(reflect.PointerTo(t))
	}
	if t.Kind() == reflect.Struct {
		info.fields = jsonFieldsOf(t)
	}
	info.exact = !findType(t, needsWriter, true)
	info.loose = findType(t, needsRetype, false)
	known, _ := jsonTypes.LoadOrStore(t, info)
	return known.(*jsonType)
}

// A verdict is what a search finds in a single type.
type verdict int

const (
	goOn   verdict = iota // look at what it is made of
	stop                  // what it is made of does not matter
	wanted                // the search is over
)

// needsWriter looks for floats, and for what can hold them. What writes itself is left alone.
func needsWriter(t reflect.Type) verdict {
	switch {
	case methodOf(t) != noMethod:
		return stop
	case t.Kind() == reflect.Float32, t.Kind() == reflect.Float64, t.Kind() == reflect.Interface:
		return wanted
	}
	return goOn
}

// needsRetype looks for interfaces. What decodes itself is left alone.
func needsRetype(t reflect.Type) verdict {
	switch {
	case decodesItself(t):
		return stop
	case t.Kind() == reflect.Interface:
		return wanted
	}
	return goOn
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// decodesItself reports whether encoding/json calls a method of t to decode into it. It does not
// for a struct without a name that has the method from an embedded field.
func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return t.Name() != "" && (p.Implements(jsonUnmarshaler) || p.Implements(textUnmarshaler))
}

// findType reports whether t is made of something that judge wants. A type made of itself, such
// as a list, counts as found if cyclic says so: its values may be endless.
func findType(t reflect.Type, judge func(reflect.Type) verdict, cyclic bool) bool {
	open := map[reflect.Type]bool{} // false once it is searched
	var found func(t reflect.Type) bool
	found = func(t reflect.Type) bool {
		if busy, seen := open[t]; seen {
			return busy && cyclic
		}
		if v := judge(t); v != goOn {
			return v == wanted
		}
		open[t] = true
		defer func() { open[t] = false }()
		return slices.ContainsFunc(partsOf(t), found)
	}
	return found(t)
}

// partsOf returns the types that encoding/json meets within a t.
func partsOf(t reflect.Type) []reflect.Type {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return []reflect.Type{t.Elem()}
	case reflect.Struct:
		var parts []reflect.Type
		for _, f := range jsonFieldsOf(t) {
			parts = append(parts, f.typ)
		}
		return parts
	}
	return nil
}

// A jsonField is a struct field as encoding/json sees it, its own or one of an embedded struct.
type jsonField struct {
	name   string
	key    string // the name in quotes, and a colon
	index  []int  // the way to it through embedded structs
	typ    reflect.Type
	tagged bool // the name is from the tag

	omitEmpty bool
	omitZero  bool
	quoted    bool
}

// in returns the field of v, unless a nil pointer is in the way.
func (f *jsonField) in(v reflect.Value) (reflect.Value, bool) {
	for _, i := range f.index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return reflect.Value{}, false
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v, true
}

// omits reports whether the field is to be left out since it is v.
func (f *jsonField) omits(v reflect.Value) bool {
	return f.omitEmpty && isEmptyJSON(v) || f.omitZero && isZeroJSON(v)
}

func isEmptyJSON(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Interface, reflect.Pointer:
		return v.IsNil()
	}
	return isScalarKind(v.Kind()) && v.IsZero()
}

// isZeroJSON asks the value's IsZero method where it has one, also one that needs a pointer.
func isZeroJSON(v reflect.Value) bool {
	type isZeroer interface{ IsZero() bool }
	method := reflect.TypeFor[isZeroer]()
	if v.Type().Implements(method) {
		return isNilWithin(v) || v.Interface().(isZeroer).IsZero()
	}
	if !reflect.PointerTo(v.Type()).Implements(method) {
		return v.IsZero()
	}
	boxed := reflect.New(v.Type())
	boxed.Elem().Set(v)
	return boxed.Interface().(isZeroer).IsZero()
}

// isNilWithin reports whether v is a nil pointer or interface, or an interface of the former.
func isNilWithin(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return v.IsNil()
	case reflect.Interface:
		return v.IsNil() || v.Elem().Kind() == reflect.Pointer && v.Elem().IsNil()
	}
	return false
}

// An embeddedStruct is a struct whose fields may be promoted into the one looked at.
type embeddedStruct struct {
	typ   reflect.Type
	index []int
	twice bool // at the same depth: its fields hide each other
}

// jsonFieldsOf returns the fields of the struct type t in the order of their declaration. It
// goes down level by level, since a field hides those of its name that are deeper.
func jsonFieldsOf(t reflect.Type) []jsonField {
	var fields []jsonField
	seen := map[reflect.Type]bool{}
	for level := []embeddedStruct{{typ: t}}; len(level) > 0; {
		var next []embeddedStruct
		for _, s := range level {
			if !seen[s.typ] {
				seen[s.typ] = true
				fields, next = s.scan(fields, next)
			}
		}
		level = next
	}
	return dominantFields(fields)
}

// scan appends the fields of s to fields and the structs that it embeds to next.
func (s *embeddedStruct) scan(fields []jsonField, next []embeddedStruct) ([]jsonField, []embeddedStruct) {
	for i := range s.typ.NumField() {
		sf := s.typ.Field(i)
		if sf.Tag.Get("json") == "-" || !isJSONField(sf) {
			continue
		}
		f := newJSONField(sf, append(slices.Clip(s.index), i))
		if sf.Anonymous && !f.tagged && behindPointer(sf.Type).Kind() == reflect.Struct {
			next = addEmbedded(next, behindPointer(sf.Type), f.index)
			continue
		}
		fields = append(fields, f)
		if s.twice {
			fields = append(fields, f)
		}
	}
	return fields, next
}

func addEmbedded(next []embeddedStruct, t reflect.Type, index []int) []embeddedStruct {
	i := slices.IndexFunc(next, func(s embeddedStruct) bool { return s.typ == t })
	if i >= 0 {
		next[i].twice = true
		return next
	}
	return append(next, embeddedStruct{typ: t, index: index})
}

// isJSONField reports whether encoding/json looks at the field: it is exported, or it is an
// embedded struct, which may have fields that are.
func isJSONField(sf reflect.StructField) bool {
	t := sf.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return sf.IsExported() || sf.Anonymous && t.Kind() == reflect.Struct
}

// behindPointer returns what t points to, if it is a pointer without a name of its own.
func behindPointer(t reflect.Type) reflect.Type {
	if t.Name() == "" && t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

func newJSONField(sf reflect.StructField, index []int) jsonField {
	name, list, _ := strings.Cut(sf.Tag.Get("json"), ",")
	options := strings.Split(list, ",")
	f := jsonField{
		name: name, index: index, typ: sf.Type, tagged: isJSONName(name),
		omitEmpty: slices.Contains(options, "omitempty"),
		omitZero:  slices.Contains(options, "omitzero"),
		quoted:    slices.Contains(options, "string") && isScalarKind(behindPointer(sf.Type).Kind()),
	}
	if !f.tagged {
		f.name = sf.Name
	}
	f.key = `"` + f.name + `":` // a name has nothing to escape
	return f
}

// isJSONName reports whether a tag may give this name.
func isJSONName(name string) bool {
	for _, r := range name {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return false
		}
	}
	return name != ""
}

// dominantFields keeps one field of each name: the least deep, among those the tagged. Where
// that leaves two, there is none.
func dominantFields(fields []jsonField) []jsonField {
	rank := func(a, b jsonField) int {
		return cmp.Or(strings.Compare(a.name, b.name), cmp.Compare(len(a.index), len(b.index)), boolCompare(b.tagged, a.tagged))
	}
	slices.SortFunc(fields, rank)
	var out []jsonField
	for i := range fields {
		first := i == 0 || fields[i-1].name != fields[i].name
		tied := i+1 < len(fields) && rank(fields[i], fields[i+1]) == 0
		if first && !tied {
			out = append(out, fields[i])
		}
	}
	slices.SortFunc(out, func(a, b jsonField) int { return slices.Compare(a.index, b.index) })
	return out
}

// boolCompare orders false before true.
func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func isIntegerKind(k reflect.Kind) bool { return reflect.Int <= k && k <= reflect.Uintptr }

func isScalarKind(k reflect.Kind) bool {
	return reflect.Bool <= k && k <= reflect.Float64 || k == reflect.String
}
