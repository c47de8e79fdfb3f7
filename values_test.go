package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type (
	testRole   string
	testCount  uint16
	testLevel  int    // encodes itself as text
	testHandle string // encodes itself as text, through a pointer only
	testPrice  int    // encodes itself as JSON, through a pointer only
	testCode   int    // is an error
	testItem   struct {
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

func (l testLevel) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "level %d", int(l)), nil }
func (l *testLevel) UnmarshalText(text []byte) error {
	_, err := fmt.Sscanf(string(text), "level %d", (*int)(l))
	return err
}

func (h *testHandle) MarshalText() ([]byte, error) { return []byte("<" + string(*h) + ">"), nil }
func (h *testHandle) UnmarshalText(text []byte) error {
	*h = testHandle(strings.Trim(string(text), "<>"))
	return nil
}

func (p *testPrice) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, `{"cents":%d}`, *p), nil }
func (p *testPrice) UnmarshalJSON(data []byte) error {
	_, err := fmt.Sscanf(string(data), `{"cents":%d}`, (*int)(p))
	return err
}

func (c testCode) Error() string { return fmt.Sprintf("code %d", int(c)) }

func ptrTo[T any](v T) *T { return &v }

func mustEncode(t testing.TB, v any) string {
	t.Helper()
	enc, err := encodeValue(jsonCodec{}, v)
	require.NoError(t, err)
	return enc
}

// valueForms are values, their encoded forms, and what a read without a type gives.
var valueForms = []struct {
	name  string
	value any
	enc   string
	want  any
}{
	{name: "string", value: "Ada", enc: "'Ada", want: "Ada"},
	{name: "string that is not UTF-8", value: "\xff\x00\xc3", enc: "'\xff\x00\xc3", want: "\xff\x00\xc3"},
	{name: "true", value: true, enc: "t", want: true},
	{name: "nil", value: nil, enc: "n", want: nil},
	{name: "nil pointer", value: (*testCart)(nil), enc: "n", want: nil},
	{name: "nil map", value: map[string]int(nil), enc: "n", want: nil},
	{name: "nil slice", value: []byte(nil), enc: "n", want: nil},
	{name: "largest int64", value: int64(math.MaxInt64), enc: "9223372036854775807", want: math.MaxInt64},
	{name: "largest uint64", value: uint64(math.MaxUint64), enc: "18446744073709551615", want: uint64(math.MaxUint64)},
	{name: "whole float", value: 5.0, enc: "~5", want: 5.0},
	{name: "negative zero", value: math.Copysign(0, -1), enc: "~-0", want: math.Copysign(0, -1)},
	{name: "infinity", value: math.Inf(1), enc: "~+Inf", want: math.Inf(1)},
	{name: "named string", value: testRole("admin"), enc: "'admin", want: "admin"},
	{name: "named integer", value: testCount(3), enc: "3", want: 3},
	{name: "duration", value: time.Second, enc: "1000000000", want: 1000000000},
	{name: "pointer to an int", value: ptrTo(5), enc: "5", want: 5},
	{name: "pointer to a pointer", value: ptrTo(ptrTo(5)), enc: "5", want: 5},
	{name: "number literal", value: json.Number("5"), enc: "5", want: 5},
	{name: "number literal of a float", value: json.Number("5.5"), enc: "~5.5", want: 5.5},
	{name: "number literal that a float would change", value: json.Number("5.50"), enc: "=5.50", want: 5.5},
	{name: "big integer", value: *big.NewInt(5), enc: "5", want: 5},
	{name: "raw JSON of an integer", value: json.RawMessage("-5"), enc: "-5", want: -5},
	{name: "error", value: errors.New("no such cart"), enc: "'no such cart", want: "no such cart"},
	{name: "error with fields", value: &fs.PathError{Op: "open", Path: "/x", Err: fs.ErrExist},
		enc: "'open /x: file already exists", want: "open /x: file already exists"},
	{name: "error of a plain kind", value: testCode(3), enc: "'code 3", want: "code 3"},
	{name: "map", value: map[string]any{"b": 1, "a": "<x>"}, enc: `={"a":"<x>","b":1}`, want: map[string]any{"a": "<x>", "b": 1}},
	{name: "empty struct", value: struct{}{}, enc: `={}`, want: map[string]any{}},
	{name: "text marshaler", value: testLevel(3), enc: `="level 3"`, want: "level 3"},
	{name: "text marshaler on the pointer", value: testHandle("x"), enc: `="<x>"`, want: "<x>"},
	{name: "JSON marshaler on the pointer", value: testPrice(250), enc: `={"cents":250}`, want: map[string]any{"cents": 250}},
	{name: "time", value: time.Unix(0, 0).UTC(), enc: `="1970-01-01T00:00:00Z"`, want: "1970-01-01T00:00:00Z"},
	{name: "struct", value: testCart{Items: []testItem{{Name: "pen", Price: 2.5, Count: 3}}, Any: []any{1e21, -1}},
		enc: `={"Items":[{"Name":"pen","Price":2.5,"Count":3}],"Extra":null,"Any":[1e+21,-1]}`,
		want: map[string]any{
			"Items": []any{map[string]any{"Name": "pen", "Price": 2.5, "Count": 3}}, "Extra": nil, "Any": []any{1e21, -1},
		}},
}

func TestValueHasOneFormAndReadsBackWithItsKind(t *testing.T) {
	for _, tt := range valueForms {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.enc, mustEncode(t, tt.value))
			got, err := decodeValue(jsonCodec{}, tt.enc)
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
			f, isFloat := got.(float64)
			assert.True(t, !isFloat || math.Signbit(f) == math.Signbit(tt.want.(float64)), "the sign of zero")
			if _, isError := tt.value.(error); !isError && tt.value != nil {
				assertReadsBack(t, tt.value)
			}
		})
	}
}

// assertReadsBack reads a value as the type that was set.
func assertReadsBack(t *testing.T, v any) {
	t.Helper()
	dst := reflect.New(reflect.TypeOf(v))
	require.NoError(t, scanValue(jsonCodec{}, mustEncode(t, v), dst.Interface()), "%T", v)
	assert.Equal(t, v, dst.Elem().Interface())
}

func TestTypedReadGivesWhatWasSet(t *testing.T) {
	type embedded struct{ Any any }
	type holder struct {
		Handle testHandle
		Price  testPrice
		Big    big.Int
		Levels map[testRole]testLevel
		Prices []testPrice
		embedded
	}
	for _, v := range []any{
		float32(0.1), math.Inf(-1), json.RawMessage(`{"a":5}`), map[int8]bool{-1: true}, []string{"<&>"}, [][]int{{1}, nil},
		map[netip.Addr]int{netip.MustParseAddr("::1"): 1}, &testItem{Name: "pen"}, ptrTo(&testItem{Name: "pen"}),
		time.Date(2024, 5, 6, 7, 8, 9, 10, time.UTC), *new(big.Int).Lsh(big.NewInt(1), 100), *big.NewRat(1, 3),
		holder{
			Handle: "x", Price: 250, Big: *big.NewInt(7), Levels: map[testRole]testLevel{"a": 1}, Prices: []testPrice{1, 2},
			embedded: embedded{Any: 5},
		},
		testCart{
			Extra: map[string]any{"i": 5, "f": 5.5, "deep": []any{map[string]any{"big": uint64(math.MaxUint64)}}, "nil": nil},
			Any:   []any{5, 1e21, "5"},
			Owner: ptrTo("Ada"),
		},
		struct {
			P *struct{ X any }
			M map[string]struct{ X []any }
			A [2]any
		}{P: &struct{ X any }{5}, M: map[string]struct{ X []any }{"a": {X: []any{5, -0.5}}}, A: [2]any{5, "x"}},
	} {
		assertReadsBack(t, v)
	}
}

func TestNaNReadsBackAsNaN(t *testing.T) {
	for _, dst := range []any{new(float64), new(float32), new(any)} {
		require.NoError(t, scanValue(nil, mustEncode(t, math.NaN()), dst))
		assert.Equal(t, "NaN", fmt.Sprint(reflect.ValueOf(dst).Elem()))
	}
}

func TestWholeNumbersOfEveryTypeCountAsIntegers(t *testing.T) {
	for _, v := range []any{5, 5.0, uint8(5), ptrTo(5), ptrTo(5.0), ptrTo(ptrTo(5)), json.Number("5"), json.Number("5.0"), big.NewInt(5), testCount(5)} {
		n, ok := encodedInt(mustEncode(t, v))
		assert.True(t, ok, "%T", v)
		assert.EqualValues(t, 5, n, "%T", v)
	}
	for _, v := range []any{"5", 5.5, 1e17, math.NaN(), uint64(1 << 63), []int{5}, nil, true, json.Number("5.5")} {
		_, ok := encodedInt(mustEncode(t, v))
		assert.False(t, ok, "%#v", v)
	}
}

func TestNumbersConvertOnlyIfTheyFitExactly(t *testing.T) {
	for _, tt := range []struct {
		value, dst any
		want       any // nil is an error
	}{
		{value: 255, dst: new(uint8), want: uint8(255)},
		{value: -1, dst: new(uint64)},
		{value: uint64(1 << 63), dst: new(int64)},
		{value: uint64(1 << 63), dst: new(uint64), want: uint64(1 << 63)},
		{value: -int64(1<<53 + 1), dst: new(float64)},
		{value: int64(math.MaxInt64), dst: new(float64)},
		{value: int64(math.MinInt64), dst: new(float64), want: float64(math.MinInt64)},
		{value: -5.0, dst: new(int8), want: int8(-5)},
		{value: 5.5, dst: new(int)},
		{value: float64(1 << 63), dst: new(uint64), want: uint64(1 << 63)},
		{value: float64(math.MinInt64), dst: new(int64), want: int64(math.MinInt64)},
		{value: math.NaN(), dst: new(int)},
		{value: 0.1, dst: new(float32)},
		{value: 5.0, dst: new(time.Duration), want: time.Duration(5)},
		{value: 5, dst: new(*int8), want: ptrTo(int8(5))},
		{value: 5, dst: new(big.Int), want: *big.NewInt(5)},
		{value: 0.5, dst: new(json.Number), want: json.Number("0.5")},
		{value: math.Inf(1), dst: new(json.Number)},
		{value: []float64{1, 2}, dst: new([]int), want: []int{1, 2}},
		{value: []float64{1.5}, dst: new([]int)},
	} {
		err := scanValue(jsonCodec{}, mustEncode(t, tt.value), tt.dst)
		got := reflect.ValueOf(tt.dst).Elem()
		if tt.want == nil {
			assert.Error(t, err, "%v into %T", tt.value, tt.dst)
			assert.True(t, got.IsZero(), "%v into %T changed it", tt.value, tt.dst)
			continue
		}
		require.NoError(t, err, "%v into %T", tt.value, tt.dst)
		assert.Equal(t, tt.want, got.Interface())
	}
}

func TestNothingButNumbersConverts(t *testing.T) {
	for value, destinations := range map[any][]any{
		"1":                      {new(int), new(int64), new(float64), new(bool), new([]byte), new(*int), new(json.Number), new(json.RawMessage)},
		"1970-01-01T00:00:00Z":   {new(time.Time), new(testItem), new(map[string]any), new(testLevel), new(fmt.Stringer)},
		3:                        {new(string), new(bool), new(testRole), new(testLevel), new(complex128), new(chan int), new([]int)},
		true:                     {new(int), new(string), new(float64), new(json.Number)},
		testItem{Name: "pen"}:    {new(string), new(int), new([]int), new(fmt.Stringer), new(map[string]int)},
		[1]string{"x"}:           {new([]int), new(map[string]string), new(string)},
		struct{ Count string }{}: {new(testItem)},
	} {
		for _, dst := range destinations {
			assert.Error(t, scanValue(jsonCodec{}, mustEncode(t, value), dst), "%v as %T", value, dst)
			assert.True(t, reflect.ValueOf(dst).Elem().IsZero(), "%v as %T changed it", value, dst)
		}
	}
}

func TestNilReadsOnlyAsATypeThatHasNil(t *testing.T) {
	for _, enc := range []string{"n", "=null"} {
		for _, dst := range []any{ptrTo(ptrTo(1)), &map[string]int{"a": 1}, &[]int{1}, ptrTo[any](1), ptrTo(errors.New("x"))} {
			require.NoError(t, scanValue(jsonCodec{}, enc, dst), "%s into %T", enc, dst)
			assert.True(t, reflect.ValueOf(dst).Elem().IsNil(), "%s into %T", enc, dst)
		}
		for _, dst := range []any{new(string), new(int), new(bool), new(testItem), new([1]int), new(testLevel), new(func())} {
			assert.Error(t, scanValue(jsonCodec{}, enc, dst), "%s into %T", enc, dst)
		}
	}
}

// malformedForms are forms that encodeValue never returns.
var malformedForms = []string{
	"", " ", "x", "+", "-", "+5", "007", "00", "-0", "-007", "5 ", " 5", "5.0", "1e3", "0x5", "1_000", "--5", "5-",
	"18446744073709551616", "018446744073709551615", "-9223372036854775809", "T", "tt", "true", "nn", "null", "~", "~5.0",
	"~05", "~+5", "~5e0", "~.5", "~5.", "~nan", "~Inf", "~inf", "~0x1p3", "~1_0", "~1e+400", "~ 5", "~" + strings.Repeat("1", 400),
	"\"x\"", "{}", "[]", "\x00", "=", "= ", "={", "=nul", "=5 5", "={} x", "={}x", "=[1,]", "={\"a\":1,}", "=[1]]", "='x'", "=+5",
	"=007", "=1e400", "=[-1e400]", "=NaN", "=null null", "=" + strings.Repeat("[", 20000),
}

func TestMalformedFormsAreRejected(t *testing.T) {
	for _, enc := range malformedForms {
		_, err := decodeValue(jsonCodec{}, enc)
		assert.Error(t, err, "%.40q", enc)
		_, ok := encodedInt(enc)
		assert.False(t, ok, "%.40q", enc)
		for _, dst := range []any{new(any), new(string), new(int), new(float64), new(bool), new(testCart), new([]int), new(big.Int)} {
			assert.Error(t, scanValue(jsonCodec{}, enc, dst), "%.40q into %T", enc, dst)
		}
	}
}

func TestReadReplacesTheDestinationOrLeavesItAlone(t *testing.T) {
	inner := &testItem{Name: "kept"}
	dst := testCart{Items: []testItem{{Name: "old"}}, Any: inner}
	for _, enc := range []string{`={"Items":[{"Name":"new","Count":"x"}]}`, `={"Items":[{"Name":"new"`, "'x", "n", "x"} {
		require.Error(t, scanValue(jsonCodec{}, enc, &dst))
		assert.Equal(t, testCart{Items: []testItem{{Name: "old"}}, Any: inner}, dst, enc)
	}
	require.NoError(t, scanValue(jsonCodec{}, `={"Any":{"Name":"new"}}`, &dst))
	assert.Equal(t, testCart{Any: map[string]any{"Name": "new"}}, dst)
	assert.Equal(t, "kept", inner.Name)
	for _, bad := range []any{nil, 5, testItem{}, (*int)(nil), (*any)(nil), map[string]any{}} {
		assert.ErrorContains(t, scanValue(jsonCodec{}, "5", bad), "pointer", "%T", bad)
	}
}

func TestEverydayReadsDoNotAllocate(t *testing.T) {
	c := Codec(jsonCodec{})
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		_, _ = decodeAs[string](c, "'Ada Lovelace")
		_, _ = decodeAs[bool](c, "t")
		_, _ = decodeAs[int](c, "123456")
		_, _ = decodeAs[int64](c, "-123456")
		_, _ = decodeAs[float64](c, "~123.456")
		_, _ = encodedInt("123456")
	}))
}
