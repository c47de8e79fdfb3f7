package session

//lint:file-ignore SA5008 odd tags are what some of these tests are about

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/quick"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type (
	testRole   string
	testFlag   bool
	testCount  uint16
	testRatio  float32
	testLevel  int    // writes itself as text
	testHandle string // writes itself as text through a pointer only
	testPrice  int    // writes itself as JSON
	testList   struct {
		Next *testList
		Name string
	}
	testItem struct {
		Name  string
		Price float64
		Count int
	}
	testCart struct {
		Items []testItem
		Extra map[string]any
		Any   any
		Owner *string `json:"owner,omitempty"`
	}
)

func (l testLevel) MarshalText() ([]byte, error) { return []byte("level " + strconv.Itoa(int(l))), nil }

func (l *testLevel) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(strings.TrimPrefix(string(text), "level "))
	*l = testLevel(n)
	return err
}

func (h *testHandle) MarshalText() ([]byte, error) { return []byte("<" + string(*h) + ">"), nil }

func (h *testHandle) UnmarshalText(text []byte) error {
	*h = testHandle(strings.Trim(string(text), "<>"))
	return nil
}

func (p testPrice) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, `{"cents": %d}`, int(p)), nil
}

func (p *testPrice) UnmarshalJSON(data []byte) error {
	var v struct{ Cents int }
	err := json.Unmarshal(data, &v)
	*p = testPrice(v.Cents)
	return err
}

// ptrTo is new with a value.
func ptrTo[T any](v T) *T { return &v }

// mustEncode encodes v with the default codec.
func mustEncode(t testing.TB, v any) string {
	t.Helper()
	enc, err := encodeValue(JSONCodec{}, v)
	require.NoError(t, err)
	return enc
}

// plainForms are values of the library's own form, how each is spelled, and what an untyped read
// gives.
var plainForms = []struct {
	name  string
	value any
	enc   string
	want  any
}{
	{name: "string", value: "Ada", enc: "'Ada", want: "Ada"},
	{name: "empty string", value: "", enc: "'", want: ""},
	{name: "string of digits", value: "1", enc: "'1", want: "1"},
	{name: "string like a codec form", value: `={"a":1}`, enc: `'={"a":1}`, want: `={"a":1}`},
	{name: "string with a quote", value: "'", enc: "''", want: "'"},
	{name: "string that is not UTF-8", value: "\xff\x00\xc3", enc: "'\xff\x00\xc3", want: "\xff\x00\xc3"},
	{name: "string with markup", value: "<a&b>\u2028", enc: "'<a&b>\u2028", want: "<a&b>\u2028"},
	{name: "true", value: true, enc: "t", want: true},
	{name: "false", value: false, enc: "f", want: false},
	{name: "nil", value: nil, enc: "n", want: nil},
	{name: "nil pointer", value: (*testCart)(nil), enc: "n", want: nil},
	{name: "nil pointer with methods", value: (*big.Int)(nil), enc: "n", want: nil},
	{name: "int", value: 42, enc: "42", want: 42},
	{name: "zero", value: 0, enc: "0", want: 0},
	{name: "negative", value: -7, enc: "-7", want: -7},
	{name: "int8", value: int8(-128), enc: "-128", want: -128},
	{name: "int16", value: int16(300), enc: "300", want: 300},
	{name: "int32", value: int32(1), enc: "1", want: 1},
	{name: "int64", value: int64(9), enc: "9", want: 9},
	{name: "least int64", value: int64(math.MinInt64), enc: "-9223372036854775808", want: untypedInt(math.MinInt64)},
	{name: "largest int64", value: int64(math.MaxInt64), enc: "9223372036854775807", want: untypedInt(math.MaxInt64)},
	{name: "uint", value: uint(5), enc: "5", want: 5},
	{name: "uint8", value: uint8(5), enc: "5", want: 5},
	{name: "uintptr", value: uintptr(5), enc: "5", want: 5},
	{name: "first past int64", value: uint64(1 << 63), enc: "9223372036854775808", want: uint64(1 << 63)},
	{name: "largest uint64", value: uint64(math.MaxUint64), enc: "18446744073709551615", want: uint64(math.MaxUint64)},
	{name: "whole float", value: 5.0, enc: "~5", want: 5.0},
	{name: "fraction", value: 0.1, enc: "~0.1", want: 0.1},
	{name: "float zero", value: 0.0, enc: "~0", want: 0.0},
	{name: "negative zero", value: math.Copysign(0, -1), enc: "~-0", want: math.Copysign(0, -1)},
	{name: "infinity", value: math.Inf(1), enc: "~+Inf", want: math.Inf(1)},
	{name: "negative infinity", value: math.Inf(-1), enc: "~-Inf", want: math.Inf(-1)},
	{name: "largest float", value: math.MaxFloat64, enc: "~1.7976931348623157e+308", want: math.MaxFloat64},
	{name: "smallest float", value: math.SmallestNonzeroFloat64, enc: "~5e-324", want: math.SmallestNonzeroFloat64},
	{name: "longest float", value: -2.2250738585072014e-308, enc: "~-2.2250738585072014e-308", want: -2.2250738585072014e-308},
	{name: "float32", value: float32(0.1), enc: "~0.10000000149011612", want: float64(float32(0.1))},
	{name: "named string", value: testRole("admin"), enc: "'admin", want: "admin"},
	{name: "named bool", value: testFlag(true), enc: "t", want: true},
	{name: "named integer", value: testCount(3), enc: "3", want: 3},
	{name: "named float", value: testRatio(0.5), enc: "~0.5", want: 0.5},
	{name: "duration", value: time.Second, enc: "1000000000", want: 1000000000},
}

func untypedInt(n int64) any { return integerOf(n).untyped() }

func TestPlainValuesHaveOneReadableSpelling(t *testing.T) {
	for _, tt := range plainForms {
		t.Run(tt.name, func(t *testing.T) {
			enc, err := encodeValue(nil, tt.value) // no codec is asked
			require.NoError(t, err)
			assert.Equal(t, tt.enc, enc)
		})
	}
}

func TestUntypedReadKeepsKindAndValueOfPlainForms(t *testing.T) {
	for _, tt := range plainForms {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decodeValue(nil, tt.enc)
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
			if f, ok := tt.want.(float64); ok {
				assert.Equal(t, math.Signbit(f), math.Signbit(got.(float64)), "the sign of zero")
			}
		})
	}
}

func TestNaNReadsBackAsNaN(t *testing.T) {
	enc := mustEncode(t, math.NaN())
	assert.Equal(t, "~NaN", enc)
	got, err := decodeAs[float64](nil, enc)
	require.NoError(t, err)
	assert.True(t, math.IsNaN(got))
	got32, err := decodeAs[float32](nil, enc)
	require.NoError(t, err)
	assert.True(t, got32 != got32)
}

// codecForms are values that the codec writes, how, and what an untyped read gives.
var codecForms = []struct {
	name  string
	value any
	enc   string
	want  any
}{
	{name: "map", value: map[string]any{"b": 1, "a": "x"}, enc: `={"a":"x","b":1}`, want: map[string]any{"a": "x", "b": 1}},
	{name: "slice", value: []string{"a", "<b>"}, enc: `=["a","<b>"]`, want: []any{"a", "<b>"}},
	{name: "array", value: [2]bool{true}, enc: `=[true,false]`, want: []any{true, false}},
	{name: "bytes", value: []byte("hi"), enc: `="aGk="`, want: "aGk="},
	{name: "empty map", value: map[string]int{}, enc: `={}`, want: map[string]any{}},
	{name: "empty slice", value: []int{}, enc: `=[]`, want: []any{}},
	{name: "nil map", value: map[string]int(nil), enc: `=null`, want: nil},
	{name: "nil slice", value: []int(nil), enc: `=null`, want: nil},
	{name: "nil bytes", value: []byte(nil), enc: `=null`, want: nil},
	{name: "pointer to an int", value: ptrTo(5), enc: `=5`, want: 5},
	{name: "pointer to a float", value: ptrTo(5.0), enc: `=5.0`, want: 5.0},
	{name: "pointer to a nil pointer", value: ptrTo((*int)(nil)), enc: `=null`, want: nil},
	{name: "number literal", value: json.Number("5"), enc: `=5`, want: 5},
	{name: "number literal of a float", value: json.Number("5e0"), enc: `=5e0`, want: 5.0},
	{name: "number past 64 bits", value: json.Number("18446744073709551616"), enc: `=18446744073709551616`, want: float64(1 << 64)},
	{name: "negative zero literal", value: json.Number("-0"), enc: `=-0`, want: 0},
	{name: "text marshaler", value: testLevel(3), enc: `="level 3"`, want: "level 3"},
	{name: "JSON marshaler", value: testPrice(250), enc: `={"cents":250}`, want: map[string]any{"cents": 250}},
	{name: "marshaler on the pointer, by value", value: testHandle("x"), enc: `="x"`, want: "x"},
	{name: "marshaler on the pointer", value: ptrTo(testHandle("x")), enc: `="<x>"`, want: "<x>"},
	{name: "time", value: time.Unix(0, 0).UTC(), enc: `="1970-01-01T00:00:00Z"`, want: "1970-01-01T00:00:00Z"},
	{name: "struct", value: testItem{Name: "pen", Price: 2, Count: 3}, enc: `={"Name":"pen","Price":2.0,"Count":3}`,
		want: map[string]any{"Name": "pen", "Price": 2.0, "Count": 3}},
	{name: "large integers", value: []uint64{math.MaxInt64, math.MaxUint64}, enc: `=[9223372036854775807,18446744073709551615]`,
		want: []any{untypedInt(math.MaxInt64), uint64(math.MaxUint64)}},
	{name: "list", value: testList{Name: "a", Next: &testList{Name: "b"}},
		enc:  `={"Next":{"Next":null,"Name":"b"},"Name":"a"}`,
		want: map[string]any{"Next": map[string]any{"Next": nil, "Name": "b"}, "Name": "a"}},
}

func TestEverythingElseIsTheCodecs(t *testing.T) {
	for _, tt := range codecForms {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.enc, mustEncode(t, tt.value))
			got, err := decodeValue(JSONCodec{}, tt.enc)
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
}

// depths puts v into each kind of container that can hold it.
func depths(v any) map[string]any {
	return map[string]any{
		"map":            map[string]any{"x": v},
		"slice":          []any{v},
		"struct":         struct{ X any }{v},
		"pointer":        &struct{ X any }{v},
		"map of maps":    map[string]map[string]any{"x": {"x": v}},
		"deep":           map[int]any{1: []any{struct{ X []any }{[]any{&v}}}},
		"embedded":       struct{ testAnyHolder }{testAnyHolder{v}},
		"named any":      []testAny{v},
		"array in array": [1][1]any{{v}},
	}
}

type testAny any
type testAnyHolder struct{ X any }

// leaf follows the only member of each container down.
func leaf(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for _, member := range v {
			return leaf(member)
		}
	case []any:
		return leaf(v[0])
	}
	return v
}

func TestNumbersKeepTheirKindAtEveryDepth(t *testing.T) {
	for _, v := range []any{5.0, 5, -0.5, 1e21, 1e300, 1e-9, uint64(math.MaxUint64), 0.0, float64(1 << 53)} {
		for name, holder := range depths(v) {
			got, err := decodeValue(JSONCodec{}, mustEncode(t, holder))
			require.NoError(t, err)
			assert.Equal(t, v, leaf(got), "%v in a %s", v, name)
		}
	}
}

func TestFloatFieldsOfTypedValuesReadBackAsFloats(t *testing.T) {
	for name, v := range map[string]any{
		"struct":          struct{ X float64 }{5},
		"float32":         struct{ X float32 }{5},
		"map":             map[string]float64{"x": 5},
		"slice":           []float32{5},
		"pointer":         struct{ X *float64 }{ptrTo(5.0)},
		"named":           []testRatio{5},
		"slice of struct": []struct{ X [1]float64 }{{[1]float64{5}}},
	} {
		got, err := decodeValue(JSONCodec{}, mustEncode(t, v))
		require.NoError(t, err)
		assert.Equal(t, 5.0, leaf(got), name)
	}
}

func TestNegativeZeroKeepsItsSignAtDepth(t *testing.T) {
	got, err := decodeValue(JSONCodec{}, mustEncode(t, []any{math.Copysign(0, -1)}))
	require.NoError(t, err)
	assert.True(t, math.Signbit(leaf(got).(float64)))
}

// typedRoundTrip reads back as the type that was set.
func typedRoundTrip[T any](v T) func(*testing.T) {
	return func(t *testing.T) {
		enc := mustEncode(t, v)
		got, err := decodeAs[T](JSONCodec{}, enc)
		require.NoError(t, err)
		assert.Equal(t, v, got)
		var dst T
		require.NoError(t, scanValue(JSONCodec{}, enc, &dst))
		assert.Equal(t, v, dst)
	}
}

func TestTypedReadGivesWhatWasSet(t *testing.T) {
	t.Run("string", typedRoundTrip("\xff<Ada>"))
	t.Run("bool", typedRoundTrip(true))
	t.Run("false", typedRoundTrip(false))
	t.Run("int", typedRoundTrip(-42))
	t.Run("int8", typedRoundTrip(int8(-128)))
	t.Run("int16", typedRoundTrip(int16(-300)))
	t.Run("int32", typedRoundTrip(int32(math.MinInt32)))
	t.Run("int64", typedRoundTrip(int64(math.MinInt64)))
	t.Run("uint", typedRoundTrip(uint(42)))
	t.Run("uint8", typedRoundTrip(uint8(255)))
	t.Run("uint16", typedRoundTrip(uint16(65535)))
	t.Run("uint32", typedRoundTrip(uint32(math.MaxUint32)))
	t.Run("uint64", typedRoundTrip(uint64(math.MaxUint64)))
	t.Run("uintptr", typedRoundTrip(uintptr(7)))
	t.Run("float32", typedRoundTrip(float32(0.1)))
	t.Run("float64", typedRoundTrip(0.1))
	t.Run("infinity", typedRoundTrip(math.Inf(-1)))
	t.Run("named string", typedRoundTrip(testRole("admin")))
	t.Run("named bool", typedRoundTrip(testFlag(true)))
	t.Run("named integer", typedRoundTrip(testCount(7)))
	t.Run("named float", typedRoundTrip(testRatio(1.1)))
	t.Run("duration", typedRoundTrip(time.Minute))
	t.Run("any string", typedRoundTrip[any]("x"))
	t.Run("any int", typedRoundTrip[any](5))
	t.Run("any float", typedRoundTrip[any](5.0))
	t.Run("any nil", typedRoundTrip[any](nil))
	t.Run("any map", typedRoundTrip[any](map[string]any{"a": []any{5, 5.0}}))
	t.Run("bytes", typedRoundTrip([]byte{0, 255}))
	t.Run("nil bytes", typedRoundTrip([]byte(nil)))
	t.Run("raw JSON", typedRoundTrip(json.RawMessage(`{"a":5}`)))
	t.Run("number literal", typedRoundTrip(json.Number("5.00")))
	t.Run("slice", typedRoundTrip([]int{1, 2}))
	t.Run("empty slice", typedRoundTrip([]int{}))
	t.Run("nil slice", typedRoundTrip([]int(nil)))
	t.Run("array", typedRoundTrip([3]string{"a"}))
	t.Run("map", typedRoundTrip(map[string]int{"a": 1}))
	t.Run("nil map", typedRoundTrip(map[string]int(nil)))
	t.Run("map by integers", typedRoundTrip(map[int8]bool{-1: true}))
	t.Run("map by text", typedRoundTrip(map[netip.Addr]int{netip.MustParseAddr("::1"): 1}))
	t.Run("map by named strings", typedRoundTrip(map[testRole]int{"x": 1}))
	t.Run("struct", typedRoundTrip(testItem{Name: "pen", Price: 2, Count: 3}))
	t.Run("struct with any", typedRoundTrip(testCart{
		Items: []testItem{{Name: "pen", Price: 2}},
		Extra: map[string]any{"i": 5, "f": 5.0, "deep": []any{map[string]any{"f": 5.0}}, "nil": nil},
		Any:   []any{5, 5.0, uint64(math.MaxUint64), "5"},
		Owner: ptrTo("Ada"),
	}))
	t.Run("pointer", typedRoundTrip(&testItem{Name: "pen"}))
	t.Run("nil pointer", typedRoundTrip((*testItem)(nil)))
	t.Run("pointer to an int", typedRoundTrip(ptrTo(5)))
	t.Run("pointer to a pointer", typedRoundTrip(ptrTo(ptrTo(5.0))))
	t.Run("list", typedRoundTrip(testList{Next: &testList{Name: "b"}}))
	t.Run("time", typedRoundTrip(time.Date(2024, 5, 6, 7, 8, 9, 10, time.UTC)))
	t.Run("text marshaler", typedRoundTrip(testLevel(3)))
	t.Run("JSON marshaler", typedRoundTrip(testPrice(3)))
	t.Run("marshaler on the pointer", typedRoundTrip(ptrTo(testHandle("x"))))
	t.Run("slice of marshalers on the pointer", typedRoundTrip([]testHandle{"x"}))
	t.Run("big integer", typedRoundTrip(new(big.Int).Lsh(big.NewInt(1), 100)))
	t.Run("URL", typedRoundTrip(url.Values{"a": {"b", "c"}}))
	t.Run("anonymous struct with any", typedRoundTrip(struct {
		P *struct{ X any }
		M map[string]struct{ X []any }
		A [2]any
	}{
		P: &struct{ X any }{5},
		M: map[string]struct{ X []any }{"a": {X: []any{5.0, 5}}},
		A: [2]any{5.0, 5},
	}))
}

// numberReads are reads of a number as another number type. A want of nil is an error.
var numberReads = []struct {
	name  string
	value any
	dst   any
	want  any
}{
	{name: "300 into uint8", value: int64(300), dst: new(uint8)},
	{name: "255 into uint8", value: 255, dst: new(uint8), want: uint8(255)},
	{name: "-1 into uint", value: -1, dst: new(uint)},
	{name: "-1 into uint64", value: -1, dst: new(uint64)},
	{name: "-129 into int8", value: -129, dst: new(int8)},
	{name: "-128 into int8", value: -128, dst: new(int8), want: int8(-128)},
	{name: "2^63 into int64", value: uint64(1 << 63), dst: new(int64)},
	{name: "2^63 into int", value: uint64(1 << 63), dst: new(int)},
	{name: "2^63 into uint64", value: uint64(1 << 63), dst: new(uint64), want: uint64(1 << 63)},
	{name: "2^32 into int32", value: int64(1 << 32), dst: new(int32)},
	{name: "5 into float64", value: 5, dst: new(float64), want: 5.0},
	{name: "-5 into float32", value: -5, dst: new(float32), want: float32(-5)},
	{name: "2^53+1 into float64", value: int64(1<<53 + 1), dst: new(float64)},
	{name: "2^53 into float64", value: int64(1 << 53), dst: new(float64), want: float64(1 << 53)},
	{name: "2^24+1 into float32", value: 1<<24 + 1, dst: new(float32)},
	{name: "2^63 into float64", value: uint64(1 << 63), dst: new(float64), want: float64(1 << 63)},
	{name: "2^64-1 into float64", value: uint64(math.MaxUint64), dst: new(float64)},
	{name: "-2^63 into float64", value: int64(math.MinInt64), dst: new(float64), want: float64(math.MinInt64)},
	{name: "5.0 into int", value: 5.0, dst: new(int), want: 5},
	{name: "-5.0 into int8", value: -5.0, dst: new(int8), want: int8(-5)},
	{name: "5.0 into uint8", value: 5.0, dst: new(uint8), want: uint8(5)},
	{name: "256.0 into uint8", value: 256.0, dst: new(uint8)},
	{name: "-5.0 into uint", value: -5.0, dst: new(uint)},
	{name: "5.5 into int", value: 5.5, dst: new(int)},
	{name: "2^63 float into int64", value: float64(1 << 63), dst: new(int64)},
	{name: "-2^63 float into int64", value: float64(math.MinInt64), dst: new(int64), want: int64(math.MinInt64)},
	{name: "2^63 float into uint64", value: float64(1 << 63), dst: new(uint64), want: uint64(1 << 63)},
	{name: "2^64 float into uint64", value: float64(1 << 64), dst: new(uint64)},
	{name: "1e300 into int64", value: 1e300, dst: new(int64)},
	{name: "NaN into int", value: math.NaN(), dst: new(int)},
	{name: "infinity into int", value: math.Inf(1), dst: new(int)},
	{name: "infinity into float32", value: math.Inf(-1), dst: new(float32), want: float32(math.Inf(-1))},
	{name: "0.1 into float32", value: 0.1, dst: new(float32)},
	{name: "0.5 into float32", value: 0.5, dst: new(float32), want: float32(0.5)},
	{name: "1e300 into float32", value: 1e300, dst: new(float32)},
	{name: "float32 into float64", value: float32(0.1), dst: new(float64), want: float64(float32(0.1))},
	{name: "5 into a named integer", value: 5, dst: new(testCount), want: testCount(5)},
	{name: "70000 into a named integer", value: 70000, dst: new(testCount)},
	{name: "5.0 into a duration", value: 5.0, dst: new(time.Duration), want: time.Duration(5)},
	{name: "5 into a pointer to int8", value: 5, dst: new(*int8), want: ptrTo(int8(5))},
	{name: "300 into a pointer to int8", value: 300, dst: new(*int8)},
	{name: "pointer to 5.0 into int", value: ptrTo(5.0), dst: new(int), want: 5},
	{name: "pointer to 5.5 into int", value: ptrTo(5.5), dst: new(int)},
	{name: "pointer to 300 into uint8", value: ptrTo(300), dst: new(uint8)},
}

func TestNumbersConvertOnlyWhereTheyFitExactly(t *testing.T) {
	for _, tt := range numberReads {
		t.Run(tt.name, func(t *testing.T) {
			err := scanValue(JSONCodec{}, mustEncode(t, tt.value), tt.dst)
			got := reflect.ValueOf(tt.dst).Elem()
			if tt.want == nil {
				assert.ErrorContains(t, err, "fit")
				assert.True(t, got.IsZero(), "the destination was changed")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, got.Interface())
		})
	}
}

func TestOnlyNumbersConvert(t *testing.T) {
	for _, tt := range []struct {
		name  string
		value any
		dst   any
	}{
		{name: "text as int", value: "1", dst: new(int)},
		{name: "text as int64", value: "1", dst: new(int64)},
		{name: "text as float", value: "1", dst: new(float64)},
		{name: "text as bool", value: "true", dst: new(bool)},
		{name: "text as bytes", value: "hi", dst: new([]byte)},
		{name: "text as a struct", value: "{}", dst: new(testItem)},
		{name: "text as a map", value: "{}", dst: new(map[string]any)},
		{name: "text as time", value: "1970-01-01T00:00:00Z", dst: new(time.Time)},
		{name: "text as a text unmarshaler", value: "level 3", dst: new(testLevel)},
		{name: "text as a number literal", value: "5", dst: new(json.Number)},
		{name: "text as raw JSON", value: "5", dst: new(json.RawMessage)},
		{name: "text as an interface", value: "5", dst: new(fmt.Stringer)},
		{name: "text as a pointer to int", value: "5", dst: new(*int)},
		{name: "int as text", value: 1, dst: new(string)},
		{name: "int as bool", value: 1, dst: new(bool)},
		{name: "int as a named string", value: 1, dst: new(testRole)},
		{name: "int as a text unmarshaler", value: 3, dst: new(testLevel)},
		{name: "int as a number literal", value: 3, dst: new(json.Number)},
		{name: "int as a complex number", value: 3, dst: new(complex128)},
		{name: "int as a channel", value: 3, dst: new(chan int)},
		{name: "int as a pointer to a pointer", value: 3, dst: new(**int)},
		{name: "float as text", value: 1.5, dst: new(string)},
		{name: "bool as int", value: true, dst: new(int)},
		{name: "bool as text", value: true, dst: new(string)},
		{name: "bool as float", value: false, dst: new(float64)},
		{name: "map as text", value: map[string]int{}, dst: new(string)},
		{name: "map as a slice", value: map[string]int{}, dst: new([]int)},
		{name: "slice as a map", value: []int{1}, dst: new(map[string]int)},
		{name: "slice as int", value: []int{1}, dst: new(int)},
		{name: "struct as an interface", value: testItem{}, dst: new(fmt.Stringer)},
		{name: "object with text as one with a number", value: map[string]any{"Count": "1"}, dst: new(testItem)},
		{name: "object with a number as one with text", value: map[string]any{"Name": 1}, dst: new(testItem)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := scanValue(JSONCodec{}, mustEncode(t, tt.value), tt.dst)
			require.Error(t, err)
			assert.True(t, reflect.ValueOf(tt.dst).Elem().IsZero(), "the destination was changed")
		})
	}
}

func TestNilReadsOnlyAsWhatHasANil(t *testing.T) {
	for name, enc := range map[string]string{"nil": mustEncode(t, nil), "nil map": mustEncode(t, map[string]int(nil))} {
		for _, dst := range []any{
			ptrTo(ptrTo(1)), &map[string]int{"a": 1}, &[]int{1}, ptrTo[any](1), ptrTo(error(ErrClosed)), ptrTo(&testItem{}),
		} {
			require.NoError(t, scanValue(JSONCodec{}, enc, dst), "%s into %T", name, dst)
			assert.True(t, reflect.ValueOf(dst).Elem().IsNil(), "%s into %T", name, dst)
		}
		for _, dst := range []any{
			new(string), new(int), new(bool), new(float64), new(testItem), new([1]int), new(time.Time), new(testLevel), new(func()),
		} {
			if reflect.TypeOf(dst).Elem() == reflect.TypeFor[time.Time]() && name == "nil map" {
				continue // time.Time reads null, by a method of its own
			}
			assert.ErrorContains(t, scanValue(JSONCodec{}, enc, dst), reflect.TypeOf(dst).Elem().String(), "%s into %T", name, dst)
		}
	}
}

// malformedForms are what was never written.
var malformedForms = []string{
	"", " ", "x", "+", "-", "+5", "007", "00", "-0", "-007", "5 ", " 5", "5.0", "1e3", "0x5", "1_000", "--5", "5-",
	"18446744073709551616", "-9223372036854775809", "99999999999999999999", "184467440737095516150", "T", "tt", "true", "ff",
	"N", "nn", "nil", "null", "~", "~5.0", "~05", "~+5", "~5e0", "~.5", "~5.", "~nan", "~Inf", "~inf", "~+inf", "~0x1p3", "~1_0",
	"~1e+400", "~100000000000000000000000", "~0.10000000000000000555", "~ 5", "~" + strings.Repeat("1", 400), "\"x\"", "{}", "[]", "\x00",
	"=", "= ", "={", "=nul", "=5 5", "={} x", "=[1,]", "={\"a\":1,}", "=[1]]", "='x'", "=+5", "=007", "=1e400", "=[-1e400]", "=NaN",
	"=" + strings.Repeat("[", 20000),
}

func TestMalformedFormsAreRefused(t *testing.T) {
	for _, enc := range malformedForms {
		_, err := decodeValue(JSONCodec{}, enc)
		assert.Error(t, err, "%.40q", enc)
		for _, dst := range []any{new(any), new(string), new(int), new(float64), new(bool), new(testCart), new(testItem), new([]int)} {
			assert.Error(t, scanValue(JSONCodec{}, enc, dst), "%.40q into %T", enc, dst)
		}
	}
}

func TestFailedReadLeavesTheDestinationAlone(t *testing.T) {
	dst := testCart{Items: []testItem{{Name: "kept", Count: 1}}, Any: &testItem{Name: "kept"}}
	want := testCart{Items: []testItem{{Name: "kept", Count: 1}}, Any: &testItem{Name: "kept"}}
	for _, enc := range []string{`={"Items":[{"Name":"new","Count":"x"}],"Any":{"Name":"new"}}`, `={"Items":[{"Name":"new"`, `'x`, `n`, `x`} {
		require.Error(t, scanValue(JSONCodec{}, enc, &dst))
		assert.Equal(t, want, dst, enc)
	}
}

func TestReadReplacesTheDestination(t *testing.T) {
	inner := &testItem{Name: "kept"}
	dst := testCart{Items: []testItem{{Name: "old"}}, Any: inner}
	require.NoError(t, scanValue(JSONCodec{}, `={"Any":{"Name":"new"}}`, &dst))
	assert.Equal(t, testCart{Any: map[string]any{"Name": "new"}}, dst)
	assert.Equal(t, "kept", inner.Name, "what the destination pointed to is somebody else's")
}

func TestDestinationMustBeAPointer(t *testing.T) {
	for _, dst := range []any{nil, 5, "x", testItem{}, (*int)(nil), (*testItem)(nil), map[string]any{}, (*any)(nil)} {
		assert.ErrorContains(t, scanValue(JSONCodec{}, "5", dst), "pointer", "%T", dst)
		assert.ErrorContains(t, JSONCodec{}.Decode([]byte("5"), dst), "pointer", "%T", dst)
	}
}

func TestFloatsReadIntoIntegerFieldsWhereTheyFit(t *testing.T) {
	type inner struct {
		N   int
		Arr [2]uint8
		F   float64
		Any any
		Raw json.RawMessage
		Num json.Number
		P   testPrice
	}
	type outer struct {
		*inner
		M    map[string]int64
		Deep []map[string]*int32
		N2   *uint64 `json:"n-2"`
	}
	enc := `={"n":5.0, "ARR":[1e2,2.0], "F":3, "Any":[5.0,5], "Raw":5.0, "Num":5.0, "P":{"cents":7}, "other":[5.0,{"a":5.0}],` +
		` "M":{"a":-3.0,"b":2}, "Deep":[{"x":4.0}], "n-2":1.8446744073709550e19 }`
	type flat outer
	_, err := decodeAs[outer](JSONCodec{}, enc)
	require.Error(t, err, "an embedded pointer to an unexported struct cannot be set")

	type Inner inner
	got, err := decodeAs[struct {
		*Inner
		M    map[string]int64
		Deep []map[string]*int32
		N2   *uint64 `json:"n-2"`
	}](JSONCodec{}, enc)
	require.NoError(t, err)
	assert.Equal(t, Inner{N: 5, Arr: [2]uint8{100, 2}, F: 3, Any: []any{5.0, 5}, Raw: json.RawMessage("5.0"), Num: "5.0", P: 7}, *got.Inner)
	assert.Equal(t, map[string]int64{"a": -3, "b": 2}, got.M)
	assert.Equal(t, []map[string]*int32{{"x": ptrTo(int32(4))}}, got.Deep)
	assert.Equal(t, ptrTo(uint64(18446744073709549568)), got.N2)

	for _, bad := range []string{`{"N":5.5}`, `{"N":1e19}`, `{"Arr":[256.0]}`, `{"N":5.0,"Arr":"x"}`, `{"N":1e400}`, `{"N":5.0} {}`} {
		assert.Error(t, JSONCodec{}.Decode([]byte(bad), new(Inner)), bad)
	}
	_ = flat{}
}

func TestManyFloatsInIntegerFieldsTakeNoQuadraticTime(t *testing.T) {
	const n = 50_000
	data := "=[" + strings.Repeat("1.0,", n) + "1.0]"
	got, err := decodeAs[[]int](JSONCodec{}, data)
	require.NoError(t, err)
	assert.Len(t, got, n+1)
}

// A leaky value tells its content in every error.
type leaky string

func (l leaky) MarshalJSON() ([]byte, error)     { return nil, errors.New("cannot marshal " + string(l)) }
func (l *leaky) UnmarshalJSON(data []byte) error { return fmt.Errorf("cannot unmarshal %s", data) }

type leakyKey struct{ Text string }

func (k leakyKey) MarshalText() ([]byte, error) { return nil, errors.New("cannot marshal " + k.Text) }

type panicky struct{ Text string }

func (p panicky) MarshalJSON() ([]byte, error) { panic("no " + p.Text) }
func (p *panicky) UnmarshalJSON([]byte) error  { panic(errors.New("no")) }

func TestErrorsNameKindAndTypeButNeverTheValue(t *testing.T) {
	const secret = "4242hunter2"
	quoted := strconv.Quote(secret)
	for _, tt := range []struct {
		name, enc string
		dst       any
		want      string
	}{
		{name: "string", enc: "'" + secret, dst: new(int), want: "session: read string as int: only numbers convert"},
		{name: "integer", enc: "4242", dst: new(string), want: "session: read integer as string: only numbers convert"},
		{name: "too large", enc: "4242", dst: new(uint8), want: "session: read integer as uint8: it does not fit exactly"},
		{name: "float", enc: "~42.42", dst: new(int), want: "session: read float as int: it does not fit exactly"},
		{name: "bool", enc: "t", dst: new(testItem), want: "session: read bool as session.testItem: only numbers convert"},
		{name: "nil", enc: "n", dst: new(testItem), want: "session: read nil as session.testItem: it has no nil"},
		{name: "malformed", enc: "~" + secret, dst: new(testItem), want: "session: read a value: what is stored is malformed (float)"},
		{name: "unknown", enc: secret, dst: new(any), want: "session: read a value: what is stored is malformed (integer)"},
		{name: "empty", enc: "", dst: new(any), want: "session: read a value: what is stored is malformed (nothing)"},
		{name: "JSON string", enc: "=" + quoted, dst: new(int), want: "session: read object or array as int: string where int is wanted"},
		{name: "JSON number", enc: "=4242", dst: new(uint8), want: "session: read object or array as uint8: a number does not fit uint8"},
		{name: "JSON null", enc: "=null", dst: new(int), want: "session: read object or array as int: it is null"},
		{name: "field", enc: `={"Count":` + quoted + `}`, dst: new(testItem),
			want: "session: read object or array as session.testItem: string where int is wanted in testItem"},
		{name: "syntax", enc: "=" + secret, dst: new(int), want: "session: read object or array as int: it is no valid JSON at byte 5"},
		{name: "trailing", enc: `={"a":1}` + secret, dst: new(any), want: "session: read object or array as interface {}: something follows the JSON value"},
		{name: "time", enc: "=" + quoted, dst: new(time.Time), want: "session: read object or array as time.Time: encoding/json failed with a *time.ParseError"},
		{name: "leaky", enc: "=" + quoted, dst: new(leaky), want: "session: read object or array as session.leaky: encoding/json failed with a *"},
		{name: "panic", enc: "=" + quoted, dst: new(panicky), want: "session: read object or array as session.panicky: the codec panicked with a *"},
		{name: "quoted option", enc: `={"X":` + quoted + `}`, dst: new(struct {
			X int `json:",string"`
		}), want: "session: read object or array as struct { X int *"},
		{name: "out of range in a typed value", enc: `=[{"X":[1,1e4242]}]`, dst: new([]struct{ X []any }),
			want: "session: read object or array as []struct { X []interface {} }: a number does not fit a float64"},
		{name: "out of range in a map", enc: `={"a":{"X":1e4242}}`, dst: new(map[string]testAnyHolder), want: "session: read object or array*"},
		{name: "out of range", enc: "=[1e4242]", dst: new(any), want: "session: read object or array as interface {}: a number does not fit a float64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := scanValue(JSONCodec{}, tt.enc, tt.dst)
			assertReason(t, err, tt.want)
			text := fmt.Sprintf("%v %+v %#v", err, err, err)
			assert.NotContains(t, text, secret)
			assert.NotContains(t, text, "4242")
		})
	}
}

// assertReason compares an error's text; a star at the end stands for anything.
func assertReason(t *testing.T, err error, want string) {
	t.Helper()
	if head, open := strings.CutSuffix(want, "*"); open {
		assert.ErrorContains(t, err, head)
		return
	}
	assert.EqualError(t, err, want)
}

func TestEncodeErrorsTellTheReasonButNeverTheValue(t *testing.T) {
	endless := map[string]any{}
	endless["hunter2"] = endless
	for _, tt := range []struct {
		name  string
		value any
		want  string
	}{
		{name: "channel", value: make(chan int), want: "JSON has no form for chan int"},
		{name: "func", value: func() {}, want: "JSON has no form for func()"},
		{name: "nil func", value: (func())(nil), want: "JSON has no form for func()"},
		{name: "complex", value: 1i, want: "JSON has no form for complex128"},
		{name: "channel within", value: map[string]any{"hunter2": make(chan int)}, want: "JSON has no form for chan int"},
		{name: "map key", value: map[float64]int{}, want: "JSON has no form for map[float64]int"},
		{name: "map key and any", value: map[any]any{}, want: "JSON has no form for map[interface {}]interface {}"},
		{name: "NaN within", value: []float64{math.NaN()}, want: "JSON has no form for this: NaN"},
		{name: "infinity within", value: []any{float32(math.Inf(1))}, want: "JSON has no form for this: +Inf"},
		{name: "number literal", value: json.Number("hunter2"), want: "encoding/json failed with a *"},
		{name: "number literal within", value: []any{json.Number("hunter2")}, want: "encoding/json failed with a *"},
		{name: "leaky", value: leaky("hunter2"), want: "the marshal method of session.leaky failed"},
		{name: "leaky within", value: []any{leaky("hunter2")}, want: "the marshal method of session.leaky failed"},
		{name: "invalid output", value: []any{json.RawMessage("hunter2")}, want: "the marshal method of json.RawMessage failed"},
		{name: "leaky key", value: map[leakyKey]any{{"hunter2"}: 1}, want: "the marshal method of session.leakyKey failed"},
		{name: "leaky text", value: []any{leakyKey{"hunter2"}}, want: "the marshal method of session.leakyKey failed"},
		{name: "panic", value: panicky{"hunter2"}, want: "the codec panicked with a string"},
		{name: "panic within", value: []any{&panicky{"hunter2"}}, want: "the codec panicked with a string"},
		{name: "nil dereference", value: nilReader{}, want: "the codec panicked: runtime error: invalid memory address or nil pointer dereference"},
		{name: "endless map", value: endless, want: "JSON has no form for this: nested too deeply, or within itself"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := encodeValue(JSONCodec{}, tt.value)
			assertReason(t, err, tt.want)
			assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), "hunter2")
		})
	}
}

type nilReader struct{ r *testItem }

func (n nilReader) MarshalText() ([]byte, error) { return []byte(n.r.Name), nil }

func TestCausesStayReachable(t *testing.T) {
	_, err := encodeValue(JSONCodec{}, make(chan int))
	var unsupported *json.UnsupportedTypeError
	assert.ErrorAs(t, err, &unsupported)
	var mismatch *json.UnmarshalTypeError
	assert.ErrorAs(t, scanValue(JSONCodec{}, `={"Count":"x"}`, new(testItem)), &mismatch)
	assert.Equal(t, "Count", mismatch.Field)
}

func TestEndlessValuesAreRefused(t *testing.T) {
	list := &testList{Name: "a"}
	list.Next = list
	slice := []any{nil}
	slice[0] = slice
	var self any
	self = &self
	type pointer *pointer
	var p pointer
	p = &p
	type tree map[string]tree
	forest := tree{}
	forest["x"] = forest
	for name, v := range map[string]any{"list": list, "slice": slice, "any": self, "pointer": p, "map": forest} {
		_, err := encodeValue(JSONCodec{}, v)
		assert.ErrorContains(t, err, "within itself", name)
	}
}

func TestWhatEncodesCanBeReadHoweverDeep(t *testing.T) {
	var list *testList
	var nested any = 5.0
	for range maxJSONDepth/2 - 1 {
		list = &testList{Next: list}
		nested = []any{nested}
	}
	got, err := decodeAs[*testList](JSONCodec{}, mustEncode(t, list))
	require.NoError(t, err)
	assert.Equal(t, list, got)
	read, err := decodeValue(JSONCodec{}, mustEncode(t, nested))
	require.NoError(t, err)
	assert.Equal(t, nested, read)
}

func TestLaterChangesDoNotReachTheEncodedForm(t *testing.T) {
	m := map[string]any{"a": []int{1}}
	b := []byte("hi")
	encM, encB := mustEncode(t, m), mustEncode(t, b)
	m["a"].([]int)[0], b[0] = 2, 'H'
	assert.Equal(t, `={"a":[1]}`, encM)
	assert.Equal(t, `="aGk="`, encB)
}

func TestEachReadIsFresh(t *testing.T) {
	const enc = `={"a":[1]}`
	for range 2 {
		v, err := decodeValue(JSONCodec{}, enc)
		require.NoError(t, err)
		assert.Equal(t, map[string]any{"a": []any{1}}, v)
		v.(map[string]any)["a"].([]any)[0] = "changed"
	}
}

// A gobCodec is a codec of somebody else's. It keeps and changes what it is given.
type gobCodec struct{ seen [][]byte }

func (c *gobCodec) Encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	err := gob.NewEncoder(&buf).Encode(v)
	return buf.Bytes(), err
}

func (c *gobCodec) Decode(data []byte, dst any) error {
	err := gob.NewDecoder(bytes.NewReader(data)).Decode(dst)
	clear(data)
	c.seen = append(c.seen, data)
	return err
}

func TestAnotherCodecGetsWhatHasNoPlainFormOnly(t *testing.T) {
	c := &gobCodec{}
	for _, v := range []any{1, "x", true, 1.5, nil, testRole("x")} {
		enc, err := encodeValue(c, v)
		require.NoError(t, err)
		assert.Equal(t, mustEncode(t, v), enc)
	}
	want := testItem{Name: "pen", Count: 3}
	enc, err := encodeValue(c, want)
	require.NoError(t, err)
	for range 2 { // the codec's data is its own
		got, err := decodeAs[testItem](c, enc)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	assert.Len(t, c.seen, 2)
	_, err = decodeAs[int](c, enc)
	assert.EqualError(t, err, "session: read object or array as int: the codec failed with a *errors.errorString")
}

func TestAMissingCodecIsAnErrorAndNoPanic(t *testing.T) {
	_, err := encodeValue(nil, []int{1})
	assert.Error(t, err)
	_, err = decodeValue(nil, "=[1]")
	assert.Error(t, err)
}

func TestShortReads(t *testing.T) {
	for _, tt := range []struct {
		enc  string
		s    any
		i    any
		b    any
		kind string
	}{
		{enc: "'x", s: "x", kind: "string"},
		{enc: "'", s: "", kind: "string"},
		{enc: "5", i: int64(5), kind: "integer"},
		{enc: "-5", i: int64(-5), kind: "integer"},
		{enc: "9223372036854775807", i: int64(math.MaxInt64), kind: "integer"},
		{enc: "-9223372036854775808", i: int64(math.MinInt64), kind: "integer"},
		{enc: "9223372036854775808", kind: "integer"},
		{enc: "~5", kind: "float"},
		{enc: "t", b: true, kind: "bool"},
		{enc: "f", b: false, kind: "bool"},
		{enc: "tt", kind: "bool"},
		{enc: "n", kind: "nil"},
		{enc: "={}", kind: "object or array"},
		{enc: "", kind: "nothing"},
		{enc: "x", kind: "unknown"},
	} {
		s, isString := encodedString(tt.enc)
		i, isInt := encodedInt(tt.enc)
		b, isBool := encodedBool(tt.enc)
		assert.Equal(t, tt.s != nil, isString, tt.enc)
		assert.Equal(t, tt.i != nil, isInt, tt.enc)
		assert.Equal(t, tt.b != nil, isBool, tt.enc)
		assert.True(t, !isString || s == tt.s, tt.enc)
		assert.True(t, !isInt || i == tt.i, tt.enc)
		assert.True(t, !isBool || b == tt.b, tt.enc)
		assert.Equal(t, tt.kind, kindOf(tt.enc), tt.enc)
	}
	assert.Equal(t, "-9223372036854775808", encodeInt(math.MinInt64))
}

func TestIntegersSpellAndReadAlike(t *testing.T) {
	require.NoError(t, quick.Check(func(n int64, u uint64, f float64) bool {
		i, ok := encodedInt(encodeInt(n))
		got, err := decodeAs[uint64](nil, strconv.FormatUint(u, 10))
		g, isFloat := encodedFloat(encodeFloat(f))
		return ok && i == n && err == nil && got == u && isFloat && g == f
	}, nil))
}

func TestEverydayReadsDoNotAllocate(t *testing.T) {
	c := Codec(JSONCodec{})
	for name, read := range map[string]func(){
		"string":  func() { _, _ = decodeAs[string](c, "'Ada Lovelace") },
		"bool":    func() { _, _ = decodeAs[bool](c, "t") },
		"int":     func() { _, _ = decodeAs[int](c, "123456") },
		"int64":   func() { _, _ = decodeAs[int64](c, "-123456") },
		"float64": func() { _, _ = decodeAs[float64](c, "~123.456") },
		"short": func() {
			_, _ = encodedString("'x")
			_, _ = encodedInt("123")
			_, _ = encodedBool("t")
			sinkText = kindOf("~1")
		},
	} {
		assert.Zero(t, testing.AllocsPerRun(100, read), name)
	}
}

func TestCodecIsSafeForConcurrentUse(t *testing.T) {
	type fresh struct { // seen by no other test: its analysis is not cached
		X any
		testAnyHolder
		List *testList
	}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			v := fresh{X: i, List: &testList{Name: "a"}}
			enc, err := encodeValue(JSONCodec{}, v)
			got, decodeErr := decodeAs[fresh](JSONCodec{}, enc)
			assert.NoError(t, errors.Join(err, decodeErr))
			assert.Equal(t, fresh{X: i, List: &testList{Name: "a"}}, got)
		}()
	}
	wg.Wait()
}

// The rest holds the codec against encoding/json.

// standardJSON is what encoding/json makes of v; it panics over some values.
func standardJSON(v any) (_ []byte, err error) {
	defer recoverCodec(&err)
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err = enc.Encode(v)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}

// writtenJSON is what the codec's own writer makes of v, also where the codec would not use it.
func writtenJSON(v any) (_ []byte, err error) {
	defer recoverCodec(&err)
	var w jsonWriter
	err = w.value(reflect.ValueOf(v), false)
	return w.Bytes(), err
}

var stringOrFraction = regexp.MustCompile(`"(?:\\.|[^"\\])*"|\.0(?:[,}\]]|$)`)

// withoutFractions makes 5.0 a 5 in JSON, outside of strings.
func withoutFractions(data []byte) string {
	return stringOrFraction.ReplaceAllStringFunc(string(data), func(s string) string { return strings.TrimPrefix(s, ".0") })
}

// assertStandardJSON writes v by both ways of the codec and by encoding/json: but for the
// fractions of floats the bytes must be the same.
func assertStandardJSON(t *testing.T, v any) {
	t.Helper()
	want, wantErr := standardJSON(v)
	written, err := writtenJSON(v)
	data, codecErr := callEncode(JSONCodec{}, v)
	if wantErr != nil {
		assert.Error(t, err, "%T", v)
		assert.Error(t, codecErr, "%T", v)
		return
	}
	require.NoError(t, err, "%T", v)
	require.NoError(t, codecErr, "%T", v)
	assert.Equal(t, string(want), withoutFractions(written), "%T", v)
	assert.Equal(t, string(written), string(data), "%T", v)
}

type (
	nastyText           struct{ s string }
	nastyKey            int
	nastyPtrKey         struct{ N int }
	nastyZero           struct{ N int }
	nastyPtrZero        struct{ N int }
	nastyByte           byte
	nastyMap            map[string]float64
	nastyValueMarshaler struct {
		F float64
	}
	nastyPointerMarshaler struct {
		F float64
	}
	nastyNil      struct{}
	nastyMapSelf  map[string]int
	nastyIfaceKey interface{ MarshalText() ([]byte, error) }
	lowerStruct   struct {
		Shown  float64
		hidden float64
	}
	LowerEmbed struct {
		lowerStruct
		*nastyEmbedPtr
	}
	nastyEmbedPtr struct{ Deep any }
	DupA          struct {
		X, Y any
		A    int
	}
	DupB struct {
		X any
		Y any `json:"Y"`
		B int
	}
	Twice1  struct{ Twice }
	Twice2  struct{ Twice }
	Twice   struct{ TwiceIn }
	TwiceIn struct{ W any }
	Loop    struct {
		*Loop
		N float64
	}
	LoopA struct {
		*LoopB
		A any
	}
	LoopB struct {
		*LoopA
		B any
	}
	EmbeddedInt   int
	EmbeddedIface interface{}
	embeddedInt   int
	MarshalsA     struct{ A any }
	MarshalsB     struct{ B any }
)

func (n nastyText) MarshalText() ([]byte, error)    { return []byte("<" + n.s + "\xff>"), nil }
func (k nastyKey) MarshalText() ([]byte, error)     { return []byte(strings.Repeat("k", int(k))), nil }
func (k *nastyPtrKey) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "p%d", k.N), nil }
func (z nastyZero) IsZero() bool                    { return z.N == 7 }
func (z *nastyPtrZero) IsZero() bool                { return z == nil || z.N == 7 }
func (b *nastyByte) MarshalText() ([]byte, error)   { return []byte{'b', byte(*b)}, nil }
func (m nastyValueMarshaler) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, " [ %v , \"<\" ] ", m.F), nil
}
func (m *nastyPointerMarshaler) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, `{"f": %v}`, m.F), nil
}
func (n *nastyNil) MarshalJSON() ([]byte, error)    { return fmt.Appendf(nil, "%t", n == nil), nil }
func (m nastyMapSelf) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%d", len(m)), nil }
func (m MarshalsA) MarshalJSON() ([]byte, error)    { return []byte(`"A"`), nil }
func (m MarshalsB) MarshalJSON() ([]byte, error)    { return []byte(`"B"`), nil }

// nastyValues are what a home-made encoder gets wrong.
func nastyValues() map[string]any {
	return map[string]any{
		"tags": struct {
			Renamed  any `json:"r"`
			Dash     any `json:"-"`
			DashName any `json:"-,"`
			Invalid  any `json:"a\"b"`
			Odd      any `json:"a.b/c d"`
			Empty    any `json:",omitempty"`
			Unicode  any `json:"größe"`
			Markup   any `json:"<&>"`
			BadOpt   any `json:"x,nonsense,omitempty"`
			private  any
		}{1, 2, 3, 4, 5, nil, 7, 8, nil, 10},
		"omitempty": struct {
			S  string          `json:",omitempty"`
			I  int8            `json:",omitempty"`
			U  uintptr         `json:",omitempty"`
			F  float64         `json:",omitempty"`
			B  bool            `json:",omitempty"`
			P  *int            `json:",omitempty"`
			A  any             `json:",omitempty"`
			M  map[string]any  `json:",omitempty"`
			L  []any           `json:",omitempty"`
			R0 [0]any          `json:",omitempty"`
			R1 [1]any          `json:",omitempty"`
			T  struct{ X any } `json:",omitempty"`
			V  time.Time       `json:",omitempty"`
		}{M: map[string]any{}, L: []any{}},
		"omitempty kept": struct {
			P *float64 `json:",omitempty"`
			A any      `json:",omitempty"`
			L []any    `json:",omitempty"`
		}{ptrTo(0.0), 0.0, []any{nil}},
		"omitzero": struct {
			F  float64                    `json:",omitzero"`
			T  time.Time                  `json:",omitzero"`
			S  struct{ X any }            `json:",omitzero"`
			L  []any                      `json:",omitzero"`
			Z  nastyZero                  `json:",omitzero"`
			Z0 nastyZero                  `json:",omitzero"`
			P  nastyPtrZero               `json:",omitzero"`
			P0 nastyPtrZero               `json:",omitzero"`
			PP *nastyPtrZero              `json:",omitzero"`
			PN *nastyPtrZero              `json:",omitzero"`
			I  interface{ IsZero() bool } `json:",omitzero"`
			IN interface{ IsZero() bool } `json:",omitzero"`
			IP interface{ IsZero() bool } `json:",omitzero"`
			B  any                        `json:"b,omitzero,omitempty"`
		}{L: []any{}, Z: nastyZero{7}, P: nastyPtrZero{7}, PP: &nastyPtrZero{7}, I: nastyZero{1}, IP: (*nastyPtrZero)(nil)},
		"string option": struct {
			S  string      `json:",string"`
			I  int         `json:",string"`
			F  float64     `json:",string"`
			F2 float32     `json:",string"`
			B  bool        `json:",string"`
			P  *float64    `json:",string"`
			N  *int        `json:",string"`
			A  any         `json:",string"`
			L  []float64   `json:",string"`
			J  json.Number `json:",string"`
			J0 json.Number `json:",string"`
			R  testRole    `json:"r,string"`
			V  testLevel   `json:",string"`
			PP **float64   `json:",string"`
		}{S: "a\"<\xff", I: 5, F: 5, F2: 1e21, B: true, P: ptrTo(5.0), A: 5.0, L: []float64{5}, J: "5.0", R: "x", V: 3, PP: ptrTo(ptrTo(5.0))},
		"unexported embedded":         LowerEmbed{lowerStruct{5, 6}, nil},
		"unexported embedded pointer": LowerEmbed{lowerStruct{5, 6}, &nastyEmbedPtr{5.0}},
		"tagged embedded": struct {
			DupA  `json:"in"`
			*DupB `json:",omitempty"`
		}{DupA{X: 1.0}, nil},
		"tagged unexported embedded": struct {
			lowerStruct `json:"in"`
		}{lowerStruct{5, 6}},
		"conflict": struct {
			DupA
			DupB
		}{DupA{1, 2, 3}, DupB{4, 5, 6}},
		"shadowed": struct {
			DupA
			*DupB
			X float64
		}{DupA{1, 2, 3}, &DupB{4, 5, 6}, 7},
		"embedded twice": struct {
			Twice1
			Twice2
		}{Twice1{Twice{TwiceIn{1.0}}}, Twice2{Twice{TwiceIn{2.0}}}},
		"embedded in itself":   Loop{&Loop{nil, 5}, 6},
		"embedded in a circle": LoopA{&LoopB{&LoopA{nil, 1}, 2.0}, 3.0},
		"embedded non-structs": struct {
			EmbeddedInt
			EmbeddedIface
			embeddedInt
			*testRole
		}{5, 5.0, 6, nil},
		"promoted marshaler": struct{ nastyValueMarshaler }{nastyValueMarshaler{5}},
		"marshalers that cancel out": struct {
			MarshalsA
			MarshalsB
		}{MarshalsA{5.0}, MarshalsB{5.0}},
		"value marshalers":               []any{nastyValueMarshaler{5}, &nastyValueMarshaler{5}, (*nastyValueMarshaler)(nil)},
		"pointer marshalers":             []any{nastyPointerMarshaler{5}, &nastyPointerMarshaler{5}, (*nastyPointerMarshaler)(nil)},
		"addressable pointer marshalers": &struct{ L [1]nastyPointerMarshaler }{},
		"pointer marshalers in a slice":  []nastyPointerMarshaler{{5}},
		"pointer marshalers by value":    struct{ X nastyPointerMarshaler }{nastyPointerMarshaler{5}},
		"pointer marshalers in a map":    map[string]nastyPointerMarshaler{"x": {5}},
		"pointer marshalers in an array": [1]nastyPointerMarshaler{{5}},
		"nil in an interface":            []json.Marshaler{nil, (*nastyNil)(nil), &nastyNil{}},
		"nil pointers with methods":      []*nastyNil{nil, {}},
		"map with a method":              []any{nastyMapSelf(nil), nastyMapSelf{"a": 1}},
		"text":                           []any{nastyText{"a\u2028&"}, &nastyText{}, (*nastyText)(nil), 5.0},
		"time and big":                   []any{time.Unix(5, 0).UTC(), big.NewInt(5), *big.NewInt(5), big.NewFloat(5), netip.MustParseAddr("::1")},
		"keys": []any{
			map[int]float64{10: 1, 9: 2, -1: 3}, map[uint8]any{200: 1, 3: 2}, map[testRole]float32{"b": 1, "a": 2},
			map[nastyKey]any{3: 1, 1: 2}, map[nastyText]any{{"b"}: 1, {"a"}: 2}, map[*nastyPtrKey]any{nil: 1, {5}: 2},
			map[testLevel]any{1: 1}, map[string]any{"\xff": 1, "<": 2, "": 3, "\u2028": 4}, map[nastyIfaceKey]any{nastyKey(2): 1, nastyText{"x"}: 2},
			map[testHandle]any{"h": 1},
		},
		"nil key interface":  map[nastyIfaceKey]any{nil: 1},
		"impossible key":     map[[1]int]any{},
		"nil impossible key": map[nastyPtrKey]any(nil),
		"bytes":              []any{[]byte("\xff\x00"), []byte{}, []byte(nil), [2]byte{1, 2}, []nastyByte{1, 2}, []int8{1}, [][]byte{{1}}, []testByte{1, 2}},
		"nils":               []any{nil, (*int)(nil), map[string]any(nil), []any(nil), (any)(nil), error(nil)},
		"floats": []any{
			0.0, math.Copysign(0, -1), 5.0, 0.1, 1e20, 1e21, 1e-6, 9.99e-7, 1e-7, 1e-10, 1e100, math.MaxFloat64, math.SmallestNonzeroFloat64,
			float32(5), float32(0.1), float32(1e21), float32(1e-6), float32(9.99e-7), float32(math.MaxFloat32), float32(1e20), 123456789.0,
		},
		"NaN":         []float32{float32(math.NaN())},
		"infinity":    struct{ X float64 }{math.Inf(1)},
		"strings":     []any{"\x00\x1f\x7f\b\f\n\r\t\"\\/<>&'\u2028\u2029\ufffd\xff\xed\xa0\x80é😀\xf0\x9f", "", strings.Repeat("é\xff", 100)},
		"numbers":     []any{json.Number(""), json.Number("1e5"), json.Number("-0"), json.Number("5.00")},
		"bad number":  []any{json.Number("1.")},
		"raw":         []any{json.RawMessage(nil), json.RawMessage(" [ 1 , 2.5 ] "), json.RawMessage(`"<&"`)},
		"bad raw":     []any{json.RawMessage("{")},
		"map":         nastyMap{"b": 5, "a": 0.5},
		"pointers":    ptrTo(ptrTo(ptrTo[any](ptrTo(5.0)))),
		"any pointer": []any{ptrTo(ptrTo(5.0)), &[]any{5.0}},
		"channel":     struct{ C chan int }{},
		"func":        []any{func() {}},
		"no elements": [0]chan int{},
		"complex":     []any{1i},
		"cart":        testCart{Items: []testItem{{"a", 5, 5}}, Extra: map[string]any{"x": []any{5, 5.0}}, Owner: ptrTo("x")},
		"url":         url.Values{"a": {"b"}},
		"empty":       struct{}{},
		"letter case": struct {
			A any `json:"name"`
			B any `json:"Name"`
			C any `json:"NAME"`
		}{1, 2.0, "x"},
		"generic": testBox[float64]{5},
		"error":   []any{errors.New("x"), ErrClosed},
	}
}

type testByte byte
type testBox[T any] struct{ V T }

func TestEncodesAsEncodingJSONDoes(t *testing.T) {
	for name, v := range nastyValues() {
		t.Run(name, func(t *testing.T) {
			assertStandardJSON(t, v)
			assertStandardJSON(t, []any{v})
			assertStandardJSON(t, map[string]any{"x": v})
			boxed := reflect.New(reflect.TypeOf(v)) // the same, addressable
			boxed.Elem().Set(reflect.ValueOf(v))
			assertStandardJSON(t, boxed.Interface())
		})
	}
}

// quickValue has fields of all kinds that testing/quick can fill.
type quickValue struct {
	B   bool
	I   int
	I8  int8 `json:"i8,omitempty"`
	U   uint64
	F   float64
	F32 float32 `json:",string"`
	S   string
	R   testRole `json:"r,string"`
	L   []float64
	M   map[string]float32
	MI  map[int8]*float64
	P   *quickInner
	A   [3]float32
	Raw []byte
	QuickEmbedded
	*QuickPointer
}

type quickInner struct {
	X []map[string]*float64
	T testLevel
}

type QuickEmbedded struct {
	S string // hidden
	E float64
}

type QuickPointer struct {
	E string
	Q []testRatio
}

func TestEncodesRandomValuesAsEncodingJSONDoes(t *testing.T) {
	require.NoError(t, quick.Check(func(v quickValue, l []quickValue, m map[string]quickInner) bool {
		assertStandardJSON(t, v)
		assertStandardJSON(t, l)
		assertStandardJSON(t, m)
		return !t.Failed()
	}, &quick.Config{MaxCount: 15}))
}

func TestRandomValuesReadBackTyped(t *testing.T) {
	require.NoError(t, quick.Check(func(v quickInner, m map[string][]*float32, f []float64) bool {
		back := func(v, dst any) bool {
			data, err := JSONCodec{}.Encode(v)
			want := reflect.New(reflect.TypeOf(v))
			require.NoError(t, errors.Join(err, JSONCodec{}.Decode(data, dst), json.Unmarshal(data, want.Interface())))
			return reflect.DeepEqual(want.Interface(), dst)
		}
		return back(v, new(quickInner)) && back(m, new(map[string][]*float32)) && back(f, new([]float64))
	}, &quick.Config{MaxCount: 100}))
}

// randomStruct makes a struct type of few names, so that fields of embedded structs collide.
func randomStruct(rng *rand.Rand, pool []reflect.Type, depth int) reflect.Type {
	tags := []string{``, ``, ``, `json:"A"`, `json:"B,omitempty"`, `json:"c"`, `json:"-"`, `json:"-,"`, `json:",string"`, `json:"A,omitzero"`, `json:"a b\\"`}
	leaves := []reflect.Type{
		reflect.TypeFor[int](), reflect.TypeFor[float64](), reflect.TypeFor[string](), reflect.TypeFor[*float32](),
		reflect.TypeFor[[]float64](), reflect.TypeFor[map[string]int](), reflect.TypeFor[testRole](), reflect.TypeFor[bool](),
	}
	var fields []reflect.StructField
	for _, name := range []string{"A", "B", "C", "D"} {
		f := reflect.StructField{Name: name, Tag: reflect.StructTag(tags[rng.IntN(len(tags))]), Type: leaves[rng.IntN(len(leaves))]}
		switch choice := rng.IntN(8); {
		case choice < 2:
			continue
		case choice < 6 && depth > 0 && len(pool) > 0:
			f.Type, f.Anonymous = pool[rng.IntN(len(pool))], true
			if choice == 5 {
				f.Type = reflect.PointerTo(f.Type)
			}
		}
		fields = append(fields, f)
	}
	return reflect.StructOf(fields)
}

func TestFieldsOfRandomStructsAreThoseOfEncodingJSON(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	old := []byte(nil)
	for range 300 {
		var pool []reflect.Type
		for depth := range 5 {
			pool = append(pool, randomStruct(rng, pool, depth), randomStruct(rng, pool, depth))
		}
		for _, typ := range pool {
			v := reflect.New(typ)
			fillRandom(rng, v.Elem())
			assertStandardJSON(t, v.Interface())
			assertStandardJSON(t, v.Elem().Interface())
			assertDecodesAlike(t, old, typ)
			old, _ = standardJSON(v.Interface())
		}
		require.False(t, t.Failed())
	}
}

func fillRandom(rng *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Int:
		v.SetInt(rng.Int64N(3))
	case reflect.Float64, reflect.Float32:
		v.SetFloat(float64(rng.IntN(3)))
	case reflect.String:
		v.SetString(strings.Repeat("s", rng.IntN(2)))
	case reflect.Bool:
		v.SetBool(rng.IntN(2) == 0)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), rng.IntN(2), 2))
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]int{"x": 1}))
	case reflect.Pointer:
		if rng.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fillRandom(rng, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fillRandom(rng, v.Field(i))
		}
	}
}

// assertDecodesAlike reads data into a typ by the codec and by encoding/json. The codec accepts
// more, the integers that are spelled as floats, and refuses a null that means nothing.
func assertDecodesAlike(t *testing.T, data []byte, typ reflect.Type) {
	t.Helper()
	got, want := reflect.New(typ), reflect.New(typ)
	gotErr := JSONCodec{}.Decode(data, got.Interface())
	wantErr := json.Unmarshal(data, want.Interface())
	if wantErr != nil || gotErr != nil {
		if gotErr == nil {
			assert.ErrorContains(t, wantErr, "number", "%s into %s", data, typ)
		} else if wantErr == nil {
			assert.ErrorContains(t, gotErr, "null", "%s into %s", data, typ)
		}
		return
	}
	assert.Equal(t, want.Interface(), asFloats(got).Interface(), "%s into %s", data, typ)
}

// asFloats makes every integer in an any of v the float64 that encoding/json makes it.
func asFloats(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Interface:
		if v.NumMethod() > 0 || v.IsNil() {
			return v
		}
		inner := v.Elem()
		if inner.CanInt() || inner.CanUint() {
			inner = inner.Convert(reflect.TypeFor[float64]())
		}
		out := reflect.New(v.Type()).Elem()
		out.Set(asFloats(inner))
		return out
	case reflect.Map:
		for _, k := range v.MapKeys() {
			v.SetMapIndex(k, asFloats(v.MapIndex(k)))
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if e := v.Index(i); e.CanSet() {
				e.Set(asFloats(e))
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			v.Elem().Set(asFloats(v.Elem()))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				f.Set(asFloats(f))
			} else if f.Kind() == reflect.Struct {
				asFloats(f)
			}
		}
	}
	return v
}

func TestDecodesAsEncodingJSONDoes(t *testing.T) {
	values := nastyValues()
	for from, v := range values {
		data, err := standardJSON(v)
		if err != nil {
			continue
		}
		for into, dst := range values {
			if dst == nil {
				continue
			}
			t.Run(from+" into "+into, func(t *testing.T) { assertDecodesAlike(t, data, reflect.TypeOf(dst)) })
		}
	}
}

func TestDecodesOddJSONAsEncodingJSONDoes(t *testing.T) {
	types := []reflect.Type{
		reflect.TypeFor[any](), reflect.TypeFor[map[string]any](), reflect.TypeFor[[]any](), reflect.TypeFor[testCart](),
		reflect.TypeFor[testItem](), reflect.TypeFor[[]int](), reflect.TypeFor[string](), reflect.TypeFor[struct{ A, B any }](),
		reflect.TypeFor[map[int]any](), reflect.TypeFor[struct{ *QuickPointer }](), reflect.TypeFor[struct{ X json.Number }](),
		reflect.TypeFor[struct{ *testAnyHolder }](), reflect.TypeFor[struct{ testAnyHolder }](), reflect.TypeFor[*struct{ X []any }](),
		reflect.TypeFor[[2]any](), reflect.TypeFor[fmt.Stringer](), reflect.TypeFor[struct{ X fmt.Stringer }](), reflect.TypeFor[struct{ time.Time }](),
	}
	for _, data := range []string{
		``, ` `, `null`, ` null `, `nul`, `{}`, ` { } `, `[]`, `"x"`, `"\ud800"`, "\"\xff\"", `"\u00e9\n"`, `5`, `-0`, `5.0`, `1E3`, `true`, `[1,2.5,"x",null]`,
		`{"a":1,"a":2.5}`, `{"A":1,"a":2}`, `{"X":1}`, `{"x":[1,2]}`, `{"X":null}`, `{"1":2,"3":{"4":5}}`, `{"Items":[{"price":5}],"extra":{"a":[1]}}`,
		`{"a":{"b":{"c":[[[5]]]}}}`, `[1] `, `[1]]`, `{}{}`, `{"a"}`, `{"a":}`, `[1,]`, `[,]`, `01`, `1.`, `.5`, `1e`, `--1`, `"a`, `tru`, "\ufeff5", "5\x00", `{"X":[1,2,3]}`,
		`[1,2,3]`, strings.Repeat("[", 9999) + strings.Repeat("]", 9999), strings.Repeat("[", 10001) + strings.Repeat("]", 10001),
		`{"E":"x","Q":[1]}`, `99999999999999999999`, `1e400`, `{"a":1e400}`, `"1970-01-01T00:00:00Z"`,
	} {
		for _, typ := range types {
			assertDecodesAlike(t, []byte(data), typ)
		}
	}
}

func TestPlainTypesAreLeftToEncodingJSON(t *testing.T) {
	for _, v := range []any{"", []string{}, map[string]int{}, testPrice(1), time.Time{}, struct{ A, B []int }{}, url.Values{}, struct{ f float64 }{}} {
		assert.True(t, jsonTypeOf(reflect.TypeOf(v)).exact, "%T", v)
	}
	for _, v := range []any{1.5, []any{}, map[string]float32{}, testList{}, &testCart{}, struct{ A, B testItem }{}, nastyPointerMarshaler{}} {
		assert.False(t, jsonTypeOf(reflect.TypeOf(v)).exact, "%T", v)
	}
}

var (
	sink     any
	sinkText string
)

func benchmarkForms(b *testing.B) map[string]any {
	return map[string]any{
		"string": "Ada Lovelace", "int": 123456, "float": 12.5,
		"map":    map[string]any{"id": 42, "name": "Ada", "admin": true, "score": 1.5},
		"struct": testItem{Name: "pen", Price: 2.5, Count: 3},
		"slice":  []string{"read", "write", "delete"},
	}
}

func BenchmarkEncode(b *testing.B) {
	for name, v := range benchmarkForms(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sinkText, _ = encodeValue(JSONCodec{}, v)
			}
		})
	}
}

func BenchmarkDecodeUntyped(b *testing.B) {
	for name, v := range benchmarkForms(b) {
		enc := mustEncode(b, v)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sink, _ = decodeValue(JSONCodec{}, enc)
			}
		})
	}
}

func BenchmarkDecodeTyped(b *testing.B) {
	forms := benchmarkForms(b)
	b.Run("string", benchmarkDecodeAs[string](forms["string"]))
	b.Run("int", benchmarkDecodeAs[int](forms["int"]))
	b.Run("float", benchmarkDecodeAs[float64](forms["float"]))
	b.Run("named", benchmarkDecodeAs[testRole](forms["string"]))
	b.Run("map", benchmarkDecodeAs[map[string]any](forms["map"]))
	b.Run("struct", benchmarkDecodeAs[testItem](forms["struct"]))
	b.Run("slice", benchmarkDecodeAs[[]string](forms["slice"]))
}

func benchmarkDecodeAs[T any](v any) func(*testing.B) {
	return func(b *testing.B) {
		enc := mustEncode(b, v)
		b.ReportAllocs()
		for b.Loop() {
			_, _ = decodeAs[T](JSONCodec{}, enc)
		}
	}
}
