package session_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type (
	color string
	level int
	item  struct {
		Name  string   `json:"name"`
		Price float64  `json:"price"`
		Tags  []string `json:"tags,omitempty"`
		Next  *item    `json:"next,omitempty"`
		own   int
	}
)

// An object of every kind, nested, as it is set and as it is read untyped.
var (
	deep = map[string]any{
		"s": "1", "i": 1, "f": 5.0, "b": false, "n": nil,
		"big": uint64(math.MaxUint64), "list": []any{1, 2.0, "3", nil, map[string]any{"f": 1e21, "i": -1}},
	}
	thing = item{Name: "pear", Price: 2, Tags: []string{"green"}, Next: &item{Name: "<&>"}, own: 7}
)

func TestUntypedReadGivesBackWhatWasSet(t *testing.T) {
	tests := []struct {
		name      string
		set, want any
	}{
		{name: "string", set: "hello", want: "hello"},
		{name: "empty string", set: "", want: ""},
		{name: "string of a number", set: "1", want: "1"},
		{name: "string of a bool", set: "true", want: "true"},
		{name: "string of a null", set: "null", want: "null"},
		{name: "string of an object", set: `{"a": 1}`, want: `{"a": 1}`},
		{name: "string that is not UTF-8", set: "\xff\x00\xfe", want: "\xff\x00\xfe"},
		{name: "string beyond ASCII", set: "π ≠ 3 🍐", want: "π ≠ 3 🍐"},
		{name: "string with markup", set: "<b>&amp;</b>\r\n", want: "<b>&amp;</b>\r\n"},
		{name: "named string", set: color("red"), want: "red"},
		{name: "true", set: true, want: true},
		{name: "false", set: false, want: false},
		{name: "zero", set: 0, want: 0},
		{name: "negative", set: -7, want: -7},
		{name: "int8", set: int8(-8), want: -8},
		{name: "uint16", set: uint16(16), want: 16},
		{name: "named integer", set: level(3), want: 3},
		{name: "largest int64", set: int64(math.MaxInt64), want: math.MaxInt64},
		{name: "least int64", set: int64(math.MinInt64), want: math.MinInt64},
		{name: "largest uint64", set: uint64(math.MaxUint64), want: uint64(math.MaxUint64)},
		{name: "float", set: 0.1, want: 0.1},
		{name: "whole float", set: 5.0, want: 5.0},
		{name: "large float", set: 1e300, want: 1e300},
		{name: "least float", set: math.SmallestNonzeroFloat64, want: math.SmallestNonzeroFloat64},
		{name: "infinity", set: math.Inf(-1), want: math.Inf(-1)},
		{name: "float32", set: float32(0.5), want: 0.5},
		{name: "nil", set: nil, want: nil},
		{name: "nil pointer", set: (*item)(nil), want: nil},
		{name: "nested object", set: deep, want: deep},
		{name: "empty object", set: map[string]any{}, want: map[string]any{}},
		{name: "array of integers", set: []int{1, 2}, want: []any{1, 2}},
		{name: "array of whole floats", set: []float64{1, 2}, want: []any{1.0, 2.0}},
		{name: "empty array", set: []string{}, want: []any{}},
		{name: "fixed array", set: [2]bool{true}, want: []any{true, false}},
		{name: "struct", set: thing, want: map[string]any{
			"name": "pear", "price": 2.0, "tags": []any{"green"}, "next": map[string]any{"name": "<&>", "price": 0.0},
		}},
		{name: "pointer to a struct", set: &item{Name: "a"}, want: map[string]any{"name": "a", "price": 0.0}},
	}
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				check := func(s *session.Session) {
					assert.Equal(t, tt.want, s.Get("data"))
					assert.Equal(t, tt.want, s.Get("flash"))
					assert.Equal(t, map[string]any{"data": tt.want, "flash": tt.want}, s.All())
					assert.True(t, s.Has("data"))
					assert.True(t, s.Has("flash"))
					assert.NoError(t, s.Err())
				}
				v.visit(func(s *session.Session) {
					s.Flush()
					s.Set("data", tt.set)
					s.Flash("flash", tt.set)
					check(s)
				})
				v.visit(check)
			})
		}
	})
}

func TestNotANumberIsANumberAgain(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) { s.Set("k", math.NaN()) })
		v.visit(func(s *session.Session) {
			f, ok := s.Get("k").(float64)
			assert.True(t, ok && math.IsNaN(f))
		})
	})
}

// A typedRead reads a key by Get, Scan and Key and says whether all three agree on the value
// that is wanted, or that there is none.
type typedRead func(t *testing.T, s *session.Session)

func reads[T any](want T) typedRead {
	return func(t *testing.T, s *session.Session) {
		got, ok := session.Get[T](s, "k")
		assert.True(t, ok, "Get[%T]", want)
		assert.Equal(t, want, got)
		key := session.Key[T]("k")
		got, ok = key.Get(s)
		assert.True(t, ok)
		assert.Equal(t, want, got)
		var scanned T
		assert.NoError(t, s.Scan("k", &scanned))
		assert.Equal(t, want, scanned)
	}
}

func refuses[T any](before T) typedRead {
	return func(t *testing.T, s *session.Session) {
		var zero T
		got, ok := session.Get[T](s, "k")
		assert.False(t, ok, "Get[%T]", zero)
		assert.Equal(t, zero, got)
		got, ok = session.Key[T]("k").Get(s)
		assert.False(t, ok)
		assert.Equal(t, zero, got)
		scanned := before
		assert.Error(t, s.Scan("k", &scanned))
		assert.Equal(t, before, scanned, "what it was scanned into is as it was")
	}
}

func TestTypedReadConvertsWhatFitsExactlyAndNothingElse(t *testing.T) {
	noon := time.Date(2024, 2, 29, 12, 0, 0, 123456789, time.FixedZone("", 3600))
	tests := []struct {
		name string
		set  any
		read typedRead
	}{
		{name: "string", set: "a", read: reads("a")},
		{name: "string as named string", set: "a", read: reads(color("a"))},
		{name: "string as any", set: "a", read: reads[any]("a")},
		{name: "string as int", set: "1", read: refuses(7)},
		{name: "string as bool", set: "true", read: refuses(true)},
		{name: "string as bytes", set: "a", read: refuses([]byte("x"))},
		{name: "bool", set: true, read: reads(true)},
		{name: "bool as int", set: true, read: refuses(7)},
		{name: "bool as string", set: true, read: refuses("x")},
		{name: "int as int8", set: 127, read: reads(int8(127))},
		{name: "int past int8", set: 128, read: refuses(int8(7))},
		{name: "int as uint", set: 5, read: reads(uint(5))},
		{name: "negative as uint", set: -5, read: refuses(uint(7))},
		{name: "int as float", set: 5, read: reads(5.0)},
		{name: "int as float32", set: 5, read: reads(float32(5))},
		{name: "int past float64", set: 1<<53 + 1, read: refuses(7.0)},
		{name: "int as named int", set: 5, read: reads(level(5))},
		{name: "int as string", set: 5, read: refuses("x")},
		{name: "int as any", set: 5, read: reads[any](5)},
		{name: "int as pointer", set: 5, read: reads(ptr(5))},
		{name: "uint64", set: uint64(math.MaxUint64), read: reads(uint64(math.MaxUint64))},
		{name: "uint64 past int64", set: uint64(math.MaxUint64), read: refuses(int64(7))},
		{name: "whole float as int", set: 5.0, read: reads(5)},
		{name: "float as int", set: 5.5, read: refuses(7)},
		{name: "float past int", set: 1e30, read: refuses(7)},
		{name: "float as float32", set: 0.5, read: reads(float32(0.5))},
		{name: "float past float32", set: 0.1, read: refuses(float32(7))},
		{name: "nil as pointer", set: nil, read: reads[*item](nil)},
		{name: "nil as map", set: nil, read: reads[map[string]int](nil)},
		{name: "nil as any", set: nil, read: reads[any](nil)},
		{name: "nil as string", set: nil, read: refuses("x")},
		{name: "nil as struct", set: nil, read: refuses(item{Name: "x"})},
		{name: "struct", set: item{Name: "a", Price: 5}, read: reads(item{Name: "a", Price: 5})},
		{name: "struct as pointer", set: item{Name: "a"}, read: reads(&item{Name: "a"})},
		{name: "struct as map", set: item{Name: "a", Price: 5}, read: reads(map[string]any{"name": "a", "price": 5.0})},
		{name: "struct as string", set: item{}, read: refuses("x")},
		{name: "struct as int", set: item{}, read: refuses(7)},
		{name: "map as struct", set: map[string]any{"name": "a", "price": 5}, read: reads(item{Name: "a", Price: 5})},
		{name: "slice", set: []string{"a", "b"}, read: reads([]string{"a", "b"})},
		{name: "slice of structs", set: []item{{Name: "a"}}, read: reads([]item{{Name: "a"}})},
		{name: "slice of floats as ints", set: []float64{1, 2}, read: reads([]int{1, 2})},
		{name: "slice of other things", set: []string{"a"}, read: refuses([]int{7})},
		{name: "slice as map", set: []int{1}, read: refuses(map[string]int{"x": 7})},
		{name: "map of integers", set: map[string]int64{"a": 1 << 62}, read: reads(map[string]int64{"a": 1 << 62})},
		{name: "map with integer keys", set: map[int]string{3: "c"}, read: reads(map[int]string{3: "c"})},
		{name: "nested object", set: deep, read: reads(deep)},
		{name: "bytes", set: []byte{0, 255, 10}, read: reads([]byte{0, 255, 10})},
		{name: "time", set: noon, read: reads(noon)},
		{name: "duration", set: time.Minute, read: reads(time.Minute)},
		{name: "duration as integer", set: time.Minute, read: reads(int64(time.Minute))},
		{name: "address", set: netip.MustParseAddr("::1"), read: reads(netip.MustParseAddr("::1"))},
		{name: "log level, which has a text", set: slog.LevelWarn, read: reads(slog.LevelWarn)},
		{name: "raw JSON", set: json.RawMessage(`{"a":[1,2.5]}`), read: reads(json.RawMessage(`{"a":[1,2.5]}`))},
	}
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				v.visit(func(s *session.Session) { s.Set("k", tt.set); tt.read(t, s) })
				v.visit(func(s *session.Session) { tt.read(t, s) })
				v.visit(func(s *session.Session) { s.Flush(); s.Flash("k", tt.set); tt.read(t, s) })
				v.visit(func(s *session.Session) { tt.read(t, s) })
			})
		}
	})
}

func ptr[T any](v T) *T { return &v }

func TestTypedGettersGiveZeroForWhatIsNotTheirs(t *testing.T) {
	tests := []struct {
		set any
		str string
		num int
		yes bool
	}{
		{set: "a", str: "a"}, {set: "1", str: "1"}, {set: 5, num: 5}, {set: -5, num: -5}, {set: true, yes: true},
		{set: false}, {set: 5.0, num: 5}, {set: 5.5}, {set: nil}, {set: uint64(math.MaxUint64)}, {set: []string{"a"}}, {set: item{}},
	}
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		for _, tt := range tests {
			v.visit(func(s *session.Session) { s.Set("k", tt.set) })
			v.visit(func(s *session.Session) {
				assert.Equal(t, tt.str, s.GetString("k"), "%#v", tt.set)
				assert.Equal(t, tt.num, s.GetInt("k"), "%#v", tt.set)
				assert.Equal(t, tt.yes, s.GetBool("k"), "%#v", tt.set)
				assert.Empty(t, s.GetString("missing"))
				assert.Zero(t, s.GetInt("missing"))
				assert.False(t, s.GetBool("missing"))
			})
		}
	})
}

func TestKeyReadsAndWritesOneType(t *testing.T) {
	const basket session.Key[item] = "basket"
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		pear := item{Name: "pear", Price: 2, Tags: []string{"a"}}
		v.visit(func(s *session.Session) {
			_, ok := basket.Get(s)
			assert.False(t, ok)
			assert.False(t, basket.Has(s))
			basket.Set(s, pear)
			session.Key[int]("note").Flash(s, 3)
		})
		v.visit(func(s *session.Session) {
			assert.True(t, basket.Has(s))
			got, ok := basket.Get(s)
			assert.True(t, ok)
			assert.Equal(t, pear, got)
			n, ok := session.Key[int]("note").Get(s)
			assert.True(t, ok)
			assert.Equal(t, 3, n)
		})
		v.visit(func(s *session.Session) {
			assert.False(t, session.Key[int]("note").Has(s), "flash ended")
			got, ok := basket.Pull(s)
			assert.True(t, ok)
			assert.Equal(t, pear, got)
			_, ok = basket.Pull(s)
			assert.False(t, ok)
			basket.Set(s, pear)
		})
		v.visit(func(s *session.Session) {
			assert.True(t, basket.Delete(s))
			assert.False(t, basket.Delete(s))
		})
		v.visit(func(s *session.Session) { assert.Empty(t, s.All()) })
	})
}

func TestScanSaysWhyThereIsNothing(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) {
			s.Set("k", "text")
			var n int
			assert.Equal(t, session.ErrNoValue, s.Scan("missing", &n))
			assert.NoError(t, s.Err(), "a missing value is no fault")
			for name, dst := range map[string]any{"an int": 5, "nil": nil, "a nil pointer": (*string)(nil)} {
				assert.Error(t, s.Scan("k", dst), name)
			}
			err := s.Scan("k", &n)
			assert.ErrorContains(t, err, "string")
			assert.ErrorContains(t, err, "int")
			assert.NotContains(t, err.Error(), "text", "an error names kinds, never the value")
		})
		assert.EqualValues(t, 4, m.Stats().Unreadable)
	})
}

func TestUnreadableValueIsLoggedCountedAndLeftAsItIs(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		log := captureLog(&cfg)
		m := newManager(t, cfg)
		v := newVisitor(t, m)
		v.visit(func(s *session.Session) { s.Set("basket", "topsecret") })
		p := v.visit(func(s *session.Session) {
			_, ok := session.Get[item](s, "basket")
			assert.False(t, ok)
			assert.Zero(t, s.GetInt("basket"))
			assert.Error(t, s.Err())
		})
		assert.Equal(t, http.StatusOK, p.StatusCode, "the request goes on")
		v.visit(func(s *session.Session) { assert.Equal(t, "topsecret", s.Get("basket")) })

		assert.EqualValues(t, 2, m.Stats().Unreadable)
		assert.Contains(t, log.text(), "key=basket")
		assert.Contains(t, log.text(), "holds=string")
		assert.NotContains(t, log.text(), "topsecret")
	})
}

func TestValueIsEncodedWhenItIsSet(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) {
			list, object, record := []int{1}, map[string]any{"a": 1}, &item{Name: "a"}
			s.Set("list", list)
			s.Set("object", object)
			s.Flash("record", record)
			list[0], object["a"], record.Name = 99, 99, "changed"
			assert.Equal(t, []any{1}, s.Get("list"))

			s.Get("object").(map[string]any)["a"] = 99
			assert.Equal(t, map[string]any{"a": 1}, s.Get("object"), "what was read is the reader's own")
		})
		v.visit(func(s *session.Session) {
			assert.Equal(t, []any{1}, s.Get("list"))
			assert.Equal(t, map[string]any{"a": 1}, s.Get("object"))
			assert.Equal(t, map[string]any{"name": "a", "price": 0.0}, s.Get("record"))
		})
	})
}

// A gobCodec is a codec of other bytes than JSON, which counts what it reads.
type gobCodec struct{ decoded *atomic.Int64 }

func (gobCodec) Encode(v any) ([]byte, error) {
	var data bytes.Buffer
	err := gob.NewEncoder(&data).Encode(v)
	return data.Bytes(), err
}

func (c gobCodec) Decode(data []byte, dst any) error {
	c.decoded.Add(1)
	if _, untyped := dst.(*any); untyped {
		return errors.New("gob has to know the type")
	}
	return gob.NewDecoder(bytes.NewReader(data)).Decode(dst)
}

func TestCodecSeesOnlyWhatHasNoPlainFormAndOnlyWhenItIsRead(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		codec := gobCodec{decoded: new(atomic.Int64)}
		cfg.Codec = codec
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) {
			s.Set("thing", item{Name: "pear"})
			for key, value := range map[string]any{"s": "a", "i": 1, "f": 0.5, "b": true, "n": nil} {
				s.Set(key, value)
			}
		})
		v.visit(func(s *session.Session) {
			assert.Equal(t, []any{"a", 1, 0.5, true, nil}, []any{s.Get("s"), s.Get("i"), s.Get("f"), s.Get("b"), s.Get("n")})
			assert.True(t, s.Has("thing"))
			assert.Zero(t, codec.decoded.Load(), "nothing was decoded that was not read")
			got, ok := session.Get[item](s, "thing")
			assert.True(t, ok)
			assert.Equal(t, item{Name: "pear"}, got)
			assert.EqualValues(t, 1, codec.decoded.Load())
			assert.Nil(t, s.Get("thing"), "it cannot be read untyped")
			assert.Error(t, s.Err())
		})
	})
}

func TestKeysOfAnyBytesNameOneValueEach(t *testing.T) {
	keys := []string{
		"a", "A", " ", "a ", "\x00", "\x00\x00", "\xff\xfe", "é", "e\u0301", "v:a", "f:a", "v:", "f:", "@created", "@used",
		"@ended", "@saves", "s_a", "f_a", "a;b=c", "a\r\nSet-Cookie: x=y", "*", "[a-z]*", "{a}", "..", "/", "%00",
		strings.Repeat("k", 255), strings.Repeat("k", 254),
	}
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) {
			for i, key := range keys {
				s.Set(key, i)
				s.Flash(key, fmt.Sprint("flash ", i))
			}
		})
		v.visit(func(s *session.Session) {
			require.Len(t, s.All(), len(keys))
			for i, key := range keys {
				assert.Equal(t, fmt.Sprint("flash ", i), s.Get(key), "%q", key)
			}
		})
		v.visit(func(s *session.Session) {
			for i, key := range keys {
				assert.Equal(t, i, s.Get(key), "%q", key)
				assert.True(t, s.Delete(key), "%q", key)
			}
			assert.Empty(t, s.All())
		})
		v.visit(func(s *session.Session) { assert.Empty(t, s.All()) })
	})
}

// The plain types are the ones that untyped reads give back, at every depth.
func TestUntypedReadGivesPlainTypesOnly(t *testing.T) {
	plain := map[reflect.Type]bool{
		reflect.TypeFor[string](): true, reflect.TypeFor[bool](): true, reflect.TypeFor[int](): true,
		reflect.TypeFor[uint64](): true, reflect.TypeFor[float64](): true,
	}
	var walk func(v any) bool
	walk = func(v any) bool {
		switch v := v.(type) {
		case nil:
			return true
		case []any:
			for _, e := range v {
				if !walk(e) {
					return false
				}
			}
			return true
		case map[string]any:
			for _, e := range v {
				if !walk(e) {
					return false
				}
			}
			return true
		}
		return plain[reflect.TypeOf(v)]
	}
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		v.visit(func(s *session.Session) {
			s.Set("k", map[string]any{
				"a": []any{int8(1), uint8(2), float32(0.5), color("x"), level(3), map[string]float32{"b": 1}},
				"b": thing, "c": deep, "d": [][]level{{1}, nil},
			})
			assert.True(t, walk(s.Get("k")), "%#v", s.Get("k"))
		})
		v.visit(func(s *session.Session) { assert.True(t, walk(s.Get("k")), "%#v", s.Get("k")) })
	})
}
