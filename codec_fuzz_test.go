package session

import (
	"encoding/json"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Reading n bytes may allocate no more than allocPerByte*n + allocBase. The dearest bytes are
// those of small objects: {"":0}, takes 7 and makes a map.
const (
	allocPerByte = 512
	allocBase    = 64 << 10
)

// addForms seeds f with every encoded form of the unit tables.
func addForms(f *testing.F, keep func(enc string) bool) {
	var forms []string
	for _, tt := range plainForms {
		forms = append(forms, tt.enc)
	}
	for _, tt := range codecForms {
		forms = append(forms, tt.enc)
	}
	seeds := 0
	for _, enc := range append(forms, malformedForms...) {
		if keep(enc) && len(enc) < 1000 {
			f.Add(enc)
			seeds++
		}
	}
	require.Greater(f, seeds, 20, "the seeds are gone")
}

// Allocated is allocated for the tests of package session_test.
var Allocated = allocated

// allocated returns how many bytes do allocates.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func FuzzDecodeValue(f *testing.F) {
	addForms(f, func(string) bool { return true })
	f.Fuzz(func(t *testing.T, enc string) {
		var v any
		var err error
		bytes := allocated(func() { v, err = decodeValue(JSONCodec{}, enc) })
		assert.LessOrEqual(t, bytes, uint64(allocPerByte*len(enc)+allocBase))
		for _, dst := range []any{new(string), new(uint8), new(float32), new(testCart), new(testRole), new([]int), new(*bool)} {
			_ = scanValue(JSONCodec{}, enc, dst)
		}
		if err != nil {
			return
		}
		assertShortReadsAgree(t, enc, v)
		again, err := encodeValue(JSONCodec{}, v)
		require.NoError(t, err)
		if !isCodecForm(enc) {
			assert.Equal(t, enc, again)
			return
		}
		if _, scalar := plainValue(again); !scalar { // ="x" is read as a string
			back, err := decodeValue(JSONCodec{}, again)
			require.NoError(t, err)
			assert.Equal(t, v, back)
		}
	})
}

// assertShortReadsAgree holds the reads of one kind against the untyped read v of enc.
func assertShortReadsAgree(t *testing.T, enc string, v any) {
	if isCodecForm(enc) {
		return
	}
	s, isString := encodedString(enc)
	n, isInt := encodedInt(enc)
	b, isBool := encodedBool(enc)
	assert.Equal(t, v == any(s), isString)
	assert.Equal(t, v == any(b), isBool)
	assert.Equal(t, v == untypedInt(n), isInt)
	wantKind := map[reflect.Kind]string{
		reflect.String: "string", reflect.Bool: "bool", reflect.Float64: "float",
		reflect.Int: "integer", reflect.Int64: "integer", reflect.Uint64: "integer", reflect.Invalid: "nil",
	}
	assert.Equal(t, wantKind[reflect.ValueOf(v).Kind()], kindOf(enc))
}

func FuzzJSONRoundTrip(f *testing.F) {
	addForms(f, isCodecForm)
	f.Fuzz(func(t *testing.T, enc string) {
		data := []byte(strings.TrimPrefix(enc, string(formCodec)))
		for _, typ := range []reflect.Type{
			reflect.TypeFor[any](), reflect.TypeFor[map[string]any](), reflect.TypeFor[testCart](), reflect.TypeFor[[]float32](),
			reflect.TypeFor[struct{ *testAnyHolder }](), reflect.TypeFor[map[int8][]*any](), reflect.TypeFor[[]testItem](),
		} {
			assertDecodesAlike(t, data, typ)
			assertRoundTrip(t, data, typ)
		}
	})
}

// assertRoundTrip reads data as a typ; if that is accepted, what is written of it must read back
// the same, and be what encoding/json writes.
func assertRoundTrip(t *testing.T, data []byte, typ reflect.Type) {
	first, second := reflect.New(typ), reflect.New(typ)
	if JSONCodec.Decode(JSONCodec{}, data, first.Interface()) != nil {
		return
	}
	written, err := JSONCodec{}.Encode(first.Elem().Interface())
	if err != nil {
		assert.ErrorContains(t, err, "too deeply") // it reads deeper than it writes
		return
	}
	assert.True(t, json.Valid(written))
	if string(written) == "null" && !canBeNil(typ) {
		return
	}
	require.NoError(t, JSONCodec{}.Decode(written, second.Interface()))
	assert.Equal(t, first.Interface(), second.Interface())
	assertStandardJSON(t, first.Interface())
}
