package session_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
)

// A taggedCodec is what a Codec of a user's own looks like: it puts a version in front of the
// JSON, so that it can be changed later.
type taggedCodec struct{ session.JSONCodec }

func (c taggedCodec) Encode(v any) ([]byte, error) {
	data, err := c.JSONCodec.Encode(v)
	return append([]byte("v1:"), data...), err
}

func (c taggedCodec) Decode(data []byte, dst any) error {
	data, ok := bytes.CutPrefix(data, []byte("v1:"))
	if !ok {
		return errors.New("unknown version")
	}
	return c.JSONCodec.Decode(data, dst)
}

var _ session.Codec = taggedCodec{}

func ExampleJSONCodec() {
	var c session.JSONCodec
	data, _ := c.Encode(map[string]any{"price": 5.0, "count": 5})
	fmt.Println(string(data))

	var v map[string]any
	_ = c.Decode(data, &v)
	fmt.Printf("%T %T\n", v["price"], v["count"])
	// Output:
	// {"count":5,"price":5.0}
	// float64 int
}

func TestJSONCodecCanBeWrapped(t *testing.T) {
	var c session.Codec = taggedCodec{}
	data, err := c.Encode([]any{5.0, 5, "<x>"})
	require.NoError(t, err)
	assert.Equal(t, `v1:[5.0,5,"<x>"]`, string(data))
	var got any
	require.NoError(t, c.Decode(data, &got))
	assert.Equal(t, []any{5.0, 5, "<x>"}, got)
}

func TestJSONCodecReadsUntypedPartsOfTypedValues(t *testing.T) {
	type page struct {
		Any   any
		Slice []any
		Map   map[string]any
		Deep  map[string][]*struct{ X any }
		Float float64
		Int   int
	}
	var got page
	require.NoError(t, session.JSONCodec{}.Decode([]byte(`{
		"Any": 5, "Slice": [5, 5.0, "5", null, true], "Map": {"big": 18446744073709551615, "e": 5e0, "o": {"i": -1}},
		"Deep": {"a": [{"X": [1, 1.0]}, null]}, "Float": 5, "Int": 5.0}`), &got))
	assert.Equal(t, page{
		Any:   5,
		Slice: []any{5, 5.0, "5", nil, true},
		Map:   map[string]any{"big": uint64(math.MaxUint64), "e": 5.0, "o": map[string]any{"i": -1}},
		Deep:  map[string][]*struct{ X any }{"a": {{X: []any{1, 1.0}}, nil}},
		Float: 5,
		Int:   5,
	}, got)
}

func TestJSONCodecReplacesWhatTheDestinationHolds(t *testing.T) {
	shared := map[string]int{"kept": 1}
	dst := struct {
		M map[string]int
		S []int
		N int
	}{M: shared, S: []int{1, 2, 3}, N: 4}
	require.NoError(t, session.JSONCodec{}.Decode([]byte(`{"M":{"new":2},"S":[9]}`), &dst))
	assert.Equal(t, map[string]int{"new": 2}, dst.M)
	assert.Equal(t, []int{9}, dst.S)
	assert.Zero(t, dst.N)
	assert.Equal(t, map[string]int{"kept": 1}, shared)
}

func TestJSONCodecRefusesWhatFollowsTheValue(t *testing.T) {
	for _, data := range []string{`{} {}`, `{}x`, `[1]]`, `5 5`, `"a""b"`, `null null`, ``, ` `, `{`, `tru`} {
		for _, dst := range []any{new(any), new(map[string]any), new(map[string]int), new(string), new([]int), new(*int)} {
			assert.Error(t, session.JSONCodec{}.Decode([]byte(data), dst), "%q into %T", data, dst)
		}
	}
	var n int
	require.NoError(t, session.JSONCodec{}.Decode([]byte(" 5 \n"), &n))
	assert.Equal(t, 5, n)
}

func TestJSONCodecErrorsNameTheOperationAndKeepTheCause(t *testing.T) {
	_, err := session.JSONCodec{}.Encode([]any{make(chan int)})
	assert.EqualError(t, err, "session: encode as JSON: JSON has no form for chan int")
	var unsupported *json.UnsupportedTypeError
	assert.ErrorAs(t, err, &unsupported)

	err = session.JSONCodec{}.Decode([]byte(`{"a":"hunter2"}`), new(map[string]int))
	assert.EqualError(t, err, "session: decode JSON: string where int is wanted")
	var mismatch *json.UnmarshalTypeError
	assert.ErrorAs(t, err, &mismatch)

	err = session.JSONCodec{}.Decode([]byte(`5`), 5)
	assert.EqualError(t, err, "session: decode JSON: the destination must be a pointer that is not nil; it is int")
}

func TestJSONCodecBoundsDepth(t *testing.T) {
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	assert.Error(t, session.JSONCodec{}.Decode([]byte(deep), new(any)))
	_, err := session.JSONCodec{}.Encode(json.RawMessage(deep))
	assert.Error(t, err)

	var nested any
	for range 100_000 {
		nested = []any{nested}
	}
	_, err = session.JSONCodec{}.Encode(nested)
	assert.ErrorContains(t, err, "nested too deeply")
}
