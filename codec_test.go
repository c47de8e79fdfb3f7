package session

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type (
	testOpaque struct{ secret string }
	testLocked struct {
		sync.Mutex
		cache testOpaque
		Skip  testOpaque `json:"-"`
		Name  string
	}
	testList struct {
		Next *testList
		Name string
	}
	testLeak       string // quotes itself in every error
	testPanic      string // panics with its text
	testPanicError string // is an error that panics with its text
)

func (l testLeak) MarshalJSON() ([]byte, error)      { return nil, errors.New("no " + string(l)) }
func (l *testLeak) UnmarshalJSON(data []byte) error  { return fmt.Errorf("no %s", data) }
func (p testPanic) MarshalJSON() ([]byte, error)     { panic("no " + string(p)) }
func (p *testPanic) UnmarshalJSON(data []byte) error { panic(fmt.Errorf("no %s", data)) }
func (e testPanicError) Error() string               { panic("no " + string(e)) }

func TestWhatJSONWouldLoseIsAnErrorThatNamesTheType(t *testing.T) {
	opaque := testOpaque{"hunter2"}
	const hidden, pointer = " has fields, but none that is exported", " can be encoded here only through a pointer to it"
	for want, values := range map[string][]any{
		"session.testOpaque" + hidden: {
			opaque, testOpaque{}, &opaque, []testOpaque{opaque}, map[string]*testOpaque{"a": &opaque},
			struct{ F testOpaque }{opaque}, struct{ *testCart }{&testCart{Any: opaque}}, map[string]any{"a": []any{opaque}},
		},
		"errors.errorString" + hidden:  {[]error{errors.New("hunter2")}},
		"atomic.Int64" + hidden:        {&struct{ N atomic.Int64 }{}},
		"big.Int" + pointer:            {map[string]big.Int{"a": *big.NewInt(5)}},
		"session.testHandle" + pointer: {[]any{testHandle("hunter2")}},
	} {
		for _, v := range values {
			_, err := encodeValue(jsonCodec{}, v)
			assert.EqualError(t, err, want, "%T", v)
		}
	}
}

func TestWhatIsLeftOutOnPurposeIsNoError(t *testing.T) {
	opaque := testOpaque{"hunter2"}
	for enc, v := range map[string]any{
		`={"Name":"a"}`: &testLocked{Name: "a", cache: opaque, Skip: opaque},
		`={"a":"<x>"}`:  map[string]any{"a": ptrTo(testHandle("x"))},
		`=[null]`:       []*testOpaque{nil},
		`=[]`:           []testOpaque{},
		`=[{}]`:         []struct{}{{}},
	} {
		assert.Equal(t, enc, mustEncode(t, v))
	}
}

func TestEndlessAndVeryDeepValuesAreRejected(t *testing.T) {
	list := &testList{Name: "a"}
	list.Next = list
	slice := []any{nil}
	slice[0] = slice
	type pointer *pointer
	var self pointer
	self = &self
	for name, v := range map[string]any{"list": list, "slice": slice, "pointer": self} {
		_, err := encodeValue(jsonCodec{}, v)
		assert.ErrorContains(t, err, "contains itself", name)
	}
	var deepest any = "x"
	for range maxDepth/2 - 1 {
		deepest = []any{deepest}
	}
	got, err := decodeValue(jsonCodec{}, mustEncode(t, deepest))
	require.NoError(t, err)
	assert.Equal(t, deepest, got)
	for range 10_000 {
		deepest = []any{deepest}
	}
	_, err = encodeValue(jsonCodec{}, deepest)
	assert.Error(t, err, "encoding/json could not read it")
}

func TestErrorsTellTheReasonButNeverTheValue(t *testing.T) {
	const secret = "4242hunter2"
	for want, v := range map[string]any{
		"JSON cannot represent chan int":                map[string]any{secret: make(chan int)},
		"JSON cannot represent NaN and infinities":      []float64{math.NaN()},
		"the marshal method of session.testLeak failed": []any{testLeak(secret)},
		"the codec panicked with a string":              testPanic(secret),
	} {
		_, err := encodeValue(jsonCodec{}, v)
		assert.EqualError(t, err, want)
	}
	for _, v := range []any{testPanicError(secret), json.Number(secret), []json.Number{secret}} {
		_, err := encodeValue(jsonCodec{}, v)
		require.Error(t, err, "%T", v)
		assert.NotContains(t, err.Error(), "hunter2")
	}
	text, read := `="`+secret+`"`, "read encoded value as "
	for _, tt := range []struct {
		enc  string
		dst  any
		want string
	}{
		{enc: "'" + secret, dst: new(int), want: "read string as int: only numbers convert"},
		{enc: "4242", dst: new(uint8), want: "read integer as uint8: it does not fit exactly"},
		{enc: "4242", dst: new(testLevel), want: "read integer as session.testLevel: "},
		{enc: "~42.42", dst: new(int), want: "read float as int: it does not fit exactly"},
		{enc: "~" + secret, dst: new(int), want: "read a value: what is stored is malformed (float)"},
		{enc: "=" + secret, dst: new(any), want: read + "interface {}: "},
		{enc: text, dst: new(int), want: read + "int: a JSON string cannot be decoded as int"},
		{enc: `={"Count":42.42}`, dst: new(testItem),
			want: read + "session.testItem: a JSON number cannot be decoded as int in testItem"},
		{enc: "={}" + secret, dst: new(any), want: read + "interface {}: data follows the JSON value"},
		{enc: text, dst: new(time.Time), want: read + "time.Time: encoding/json failed with a *"},
		{enc: text, dst: new(testLeak), want: read + "session.testLeak: encoding/json failed with a *"},
		{enc: text, dst: new(testPanic), want: read + "session.testPanic: the codec panicked with a *"},
	} {
		err := scanValue(jsonCodec{}, tt.enc, tt.dst)
		require.ErrorContains(t, err, "session: "+tt.want, tt.enc)
		assert.NotContains(t, err.Error(), "hunter2")
		assert.NotContains(t, err.Error(), "42")
	}
	var cause *json.UnmarshalTypeError
	assert.ErrorAs(t, scanValue(jsonCodec{}, text, new(int)), &cause, "the cause stays reachable")
}

// A gobCodec is another codec than the default. It changes the data that it is given.
type gobCodec struct{ decoded *int }

func (gobCodec) Encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	err := gob.NewEncoder(&buf).Encode(v)
	return buf.Bytes(), err
}

func (c gobCodec) Decode(data []byte, dst any) error {
	*c.decoded++
	err := gob.NewDecoder(bytes.NewReader(data)).Decode(dst)
	clear(data)
	return err
}

func TestAnotherCodecGetsOnlyWhatHasNoPlainForm(t *testing.T) {
	c := gobCodec{decoded: new(int)}
	for _, v := range []any{1, "x", true, 1.5, nil, testRole("x"), ptrTo(5), json.Number("5"), errors.New("x"), []int(nil)} {
		enc, err := encodeValue(c, v)
		require.NoError(t, err)
		assert.Equal(t, mustEncode(t, v), enc)
		_, err = decodeValue(c, enc)
		require.NoError(t, err)
	}
	assert.Zero(t, *c.decoded)
	want := testItem{Name: "pen", Count: 3}
	enc, err := encodeValue(c, want)
	require.NoError(t, err)
	for range 2 {
		got, err := decodeAs[testItem](c, enc)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	_, err = decodeAs[int](c, enc)
	assert.EqualError(t, err, "session: read encoded value as int: the codec failed with a *errors.errorString")
	_, err = decodeAs[big.Int](c, "5")
	assert.EqualError(t, err, "session: read integer as big.Int: only numbers convert")
	_, err = encodeValue(nil, []int{1})
	assert.ErrorContains(t, err, "the codec panicked", "a missing codec")
}
