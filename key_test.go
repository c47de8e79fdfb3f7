package session_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

// An item is a value of the application's own type.
type item struct {
	Name  string   `json:"name"`
	Price float64  `json:"price"`
	Tags  []string `json:"tags,omitempty"`
}

// A cart is what several requests change at once.
type cart struct {
	Items []string       `json:"items"`
	Count map[string]int `json:"count"`
}

func (c cart) with(name string) cart {
	c.Items = append(c.Items, name)
	if c.Count == nil {
		c.Count = make(map[string]int)
	}
	c.Count[name]++
	return c
}

const cartKey session.Key[cart] = "cart"

// Each of 20 parallel requests adds an item. All of them load the cart before one of them stores it.
func TestParallelUpdatesAreAllKept(t *testing.T) {
	const parallel = 20
	managers := map[string]func(t *testing.T) []*session.Manager{
		"memory": func(t *testing.T) []*session.Manager {
			return []*session.Manager{kit.NewManager(t, kit.DriverConfig(t, "memory"))}
		},
		"redis, two processes": func(t *testing.T) []*session.Manager {
			cfg := kit.DriverConfig(t, "redis")
			return []*session.Manager{kit.NewManager(t, cfg), kit.NewManager(t, cfg)}
		},
		"store, two processes": func(t *testing.T) []*session.Manager {
			cfg := kit.AccountConfig(t, "store")
			return []*session.Manager{kit.NewManager(t, cfg), kit.NewManager(t, cfg)}
		},
	}
	for name, make := range managers {
		for _, begin := range []string{"with a cart", "without one"} {
			t.Run(name+", "+begin, func(t *testing.T) {
				var inside, all sync.WaitGroup
				inside.Add(parallel)
				routes := kit.Routes{
					"/begin": func(_ http.ResponseWriter, _ *http.Request, s *session.Session) {
						s.Set("k", 1)
						if begin == "with a cart" {
							cartKey.Set(s, cart{}.with("first"))
						}
					},
					"/add/{name}": func(_ http.ResponseWriter, r *http.Request, s *session.Session) {
						s.Has("k")
						inside.Done()
						inside.Wait() // until all have the same view
						name := r.PathValue("name")
						assert.NoError(t, cartKey.Update(s, func(c cart) cart { return c.with(name) }))
						s.Increment("adds", 1)
					},
				}
				var browsers []*kit.Browser
				managers := make(t)
				for _, m := range managers {
					browsers = append(browsers, kit.NewBrowser(t, routes.Under(m)))
				}
				v := kit.NewVisitor(t, managers[0])
				v.Client.Jar = browsers[0].Client.Jar
				browsers[0].Get("/begin")
				cookie := v.CookieHeader()
				want := map[string]int{}
				if begin == "with a cart" {
					want["first"] = 1
				}
				for i := range parallel {
					b, name := browsers[i%len(browsers)].Another(), fmt.Sprint("item", i)
					want[name] = 1
					all.Go(func() {
						assert.Equal(t, http.StatusOK, b.Get("/add/"+name, "Cookie", cookie).StatusCode)
					})
				}
				all.Wait()
				v.Visit(func(s *session.Session) {
					got, ok := cartKey.Get(s)
					assert.True(t, ok)
					assert.Equal(t, want, got.Count)
					assert.Len(t, got.Items, len(want))
					assert.Equal(t, parallel, s.GetInt("adds"))
				})
			})
		}
	}
}

// In each case another request adds "other" to the cart after this one has read it.
func TestUpdatesOfOneRequestCompose(t *testing.T) {
	add := func(name string) func(cart) cart { return func(c cart) cart { return c.with(name) } }
	tests := []struct {
		name string
		do   func(s *session.Session) error
		now  []string // what this request sees
		want []string // what is stored
	}{
		{
			name: "two updates",
			do: func(s *session.Session) error {
				return errors.Join(cartKey.Update(s, add("a")), cartKey.Update(s, add("b")))
			},
			now: []string{"first", "a", "b"}, want: []string{"first", "other", "a", "b"},
		},
		{
			name: "a Set discards the update",
			do: func(s *session.Session) error {
				err := cartKey.Update(s, add("a"))
				cartKey.Set(s, cart{}.with("set"))
				return err
			},
			now: []string{"set"}, want: []string{"set"},
		},
		{
			name: "a Delete discards the update",
			do: func(s *session.Session) error {
				err := cartKey.Update(s, add("a"))
				cartKey.Delete(s)
				return err
			},
		},
		{
			name: "Reset discards the update",
			do: func(s *session.Session) error {
				err := cartKey.Update(s, add("a"))
				s.Reset()
				return err
			},
		},
		{
			name: "an update of what was set",
			do: func(s *session.Session) error {
				cartKey.Set(s, cart{}.with("set"))
				return cartKey.Update(s, add("a"))
			},
			now: []string{"set", "a"}, want: []string{"set", "a"},
		},
		{
			name: "an update of what was deleted",
			do: func(s *session.Session) error {
				cartKey.Delete(s)
				return cartKey.Update(s, add("a"))
			},
			now: []string{"a"}, want: []string{"a"},
		},
		{
			name: "an update after Reset",
			do: func(s *session.Session) error {
				s.Reset()
				return cartKey.Update(s, add("a"))
			},
			now: []string{"a"}, want: []string{"a"},
		},
		{
			name: "a Save in between",
			do: func(s *session.Session) error {
				err := errors.Join(cartKey.Update(s, add("a")), s.Save())
				return errors.Join(err, cartKey.Update(s, add("b")))
			},
			now: []string{"first", "other", "a", "b"}, want: []string{"first", "other", "a", "b"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachSharedDriver(t, func(t *testing.T, cfg session.Config) {
				v := kit.NewVisitor(t, kit.NewManager(t, cfg))
				v.Visit(func(s *session.Session) { cartKey.Set(s, cart{}.with("first")) })
				cookie := v.CookieHeader()
				p := v.Visit(func(s *session.Session) {
					s.Has("cart")
					v.Stranger().Visit(func(s *session.Session) { assert.NoError(t, cartKey.Update(s, add("other"))) }, "Cookie", cookie)
					assert.NoError(t, tt.do(s))
					got, _ := cartKey.Get(s)
					assert.Equal(t, tt.now, got.Items)
				})
				assert.Equal(t, http.StatusOK, p.StatusCode)
				v.Visit(func(s *session.Session) {
					got, _ := cartKey.Get(s)
					assert.Equal(t, tt.want, got.Items)
				})
			})
		})
	}
}

// An increment and an update of one key compose too, whatever their order.
func TestUpdateAndIncrementOfOneKeyCompose(t *testing.T) {
	double := func(n int) int { return 2 * n }
	tests := map[string]struct {
		do   func(s *session.Session) error
		want int // of 10, to which another request has added 5 meanwhile
	}{
		"increment, update": {want: 32, do: func(s *session.Session) error {
			s.Increment("n", 1)
			return session.Update(s, "n", double)
		}},
		"update, increment": {want: 31, do: func(s *session.Session) error {
			err := session.Update(s, "n", double)
			s.Increment("n", 1)
			return err
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			eachSharedDriver(t, func(t *testing.T, cfg session.Config) {
				v := kit.NewVisitor(t, kit.NewManager(t, cfg))
				v.Visit(func(s *session.Session) { s.Set("n", 10) })
				cookie := v.CookieHeader()
				v.Visit(func(s *session.Session) {
					s.Get("n")
					v.Stranger().Visit(func(s *session.Session) { s.Increment("n", 5) }, "Cookie", cookie)
					assert.NoError(t, tt.do(s))
				})
				v.Visit(func(s *session.Session) { assert.Equal(t, tt.want, s.Get("n")) })
			})
		})
	}
}

func TestUpdateReadsDataAndNeverFlash(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		v.Visit(func(s *session.Session) { s.Flash("n", 100); s.FlashNow("n", 1000) })
		v.Visit(func(s *session.Session) {
			assert.NoError(t, session.Update(s, "n", func(n int) int { return n + 1 }))
			assert.Equal(t, 100, s.Get("n"), "flash is still in front")
		})
		v.Visit(func(s *session.Session) {
			assert.Equal(t, 1, s.Get("n"), "the zero value counts if there is no data")
			assert.NoError(t, session.Update(s, "n", func(n int) int { return n + 1 }))
			assert.Equal(t, 2, s.Get("n"))
		})
		v.Visit(func(s *session.Session) { assert.Equal(t, 2, s.Get("n")) })
	})
}

func TestUpdateOfWhatCannotBeReadIsAnError(t *testing.T) {
	eachSharedDriver(t, func(t *testing.T, cfg session.Config) {
		failed := kit.RecordFailures(&cfg)
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		v.Visit(func(s *session.Session) { s.Set("text", "hello"); s.Set("n", 1) })
		cookie := v.CookieHeader()
		p := v.Visit(func(s *session.Session) {
			err := session.Update(s, "text", func(n int) int { t.Error("called"); return n })
			assert.ErrorContains(t, err, "string")
			assert.NotContains(t, err.Error(), "hello")
			s.Set("k", 1)
		})
		assert.Equal(t, http.StatusOK, p.StatusCode, "the handler knows, and the request goes on")

		p = v.Visit(func(s *session.Session) {
			assert.NoError(t, session.Update(s, "n", func(n int) int { return n + 1 }))
			s.Set("other", 1)
			v.Stranger().Visit(func(s *session.Session) { s.Set("n", "text by now") }, "Cookie", cookie)
		})
		assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
		assert.ErrorContains(t, failed.Last(), `update "n"`)
		v.Visit(func(s *session.Session) {
			assert.Equal(t, map[string]any{"text": "hello", "k": 1, "n": "text by now"}, s.All())
		})

		v.Visit(func(s *session.Session) {
			err := session.Update(s, "f", func(func()) func() { return func() {} })
			assert.ErrorContains(t, err, `update "f"`)
			assert.Error(t, session.Update(s, "", func(n int) int { return n }))
		})
	})
}

// During an outage there is no value that change could begin with.
func TestUpdateReturnsTheErrorOfAnOutage(t *testing.T) {
	m := kit.NewManager(t, session.Config{Default: "redis", Redis: session.RedisConfig{Port: kit.ClosedPort}, Logger: kit.Quiet})
	kit.NewVisitor(t, m).Visit(func(s *session.Session) {
		err := session.Update(s, "n", func(n int) int { t.Error("called"); return n })
		assert.ErrorIs(t, err, session.ErrUnavailable)
	}, "Cookie", "s_redis="+wellFormed)
}

// What encoding/json loses without a word is an error when it is set.
func TestStructWithoutExportedFieldsIsAnErrorThatNamesKeyAndType(t *testing.T) {
	type hidden struct{ name string }
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		failed := kit.RecordFailures(&cfg)
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		for _, value := range []any{hidden{"topsecret"}, &hidden{"topsecret"}, []hidden{{"topsecret"}}, map[string]any{"who": hidden{"topsecret"}}} {
			p := v.Visit(func(s *session.Session) { s.Set("profile", value) })
			assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
			assert.ErrorContains(t, failed.Last(), `set "profile"`)
			assert.ErrorContains(t, failed.Last(), "hidden")
			assert.NotContains(t, failed.Last().Error(), "topsecret")
		}
	})
}

func TestKeyReadsAndWritesOneType(t *testing.T) {
	const basket session.Key[item] = "basket"
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		pear := item{Name: "pear", Price: 2, Tags: []string{"a"}}
		v.Visit(func(s *session.Session) {
			_, ok := basket.Get(s)
			assert.False(t, ok)
			assert.False(t, basket.Has(s))
			basket.Set(s, pear)
			session.Key[int]("note").Flash(s, 3)
		})
		v.Visit(func(s *session.Session) {
			assert.True(t, basket.Has(s))
			got, ok := basket.Get(s)
			assert.True(t, ok)
			assert.Equal(t, pear, got)
			n, ok := session.Key[int]("note").Get(s)
			assert.True(t, ok)
			assert.Equal(t, 3, n)
		})
		v.Visit(func(s *session.Session) {
			assert.False(t, session.Key[int]("note").Has(s), "flash ended")
			got, ok := basket.Pull(s)
			assert.True(t, ok)
			assert.Equal(t, pear, got)
			_, ok = basket.Pull(s)
			assert.False(t, ok)
			basket.Set(s, pear)
		})
		v.Visit(func(s *session.Session) {
			assert.True(t, basket.Delete(s))
			assert.False(t, basket.Delete(s))
		})
		v.Visit(func(s *session.Session) { assert.Empty(t, s.All()) })
	})
}

func TestScanSaysWhyThereIsNothing(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) {
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
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		log := kit.CaptureLog(&cfg)
		m := kit.NewManager(t, cfg)
		v := kit.NewVisitor(t, m)
		v.Visit(func(s *session.Session) { s.Set("basket", "topsecret") })
		p := v.Visit(func(s *session.Session) {
			_, ok := session.Get[item](s, "basket")
			assert.False(t, ok)
			assert.Zero(t, s.GetInt("basket"))
			assert.Error(t, s.Err())
		})
		assert.Equal(t, http.StatusOK, p.StatusCode, "the request goes on")
		v.Visit(func(s *session.Session) { assert.Equal(t, "topsecret", s.Get("basket")) })

		assert.EqualValues(t, 2, m.Stats().Unreadable)
		assert.Contains(t, log.Text(), "key=basket")
		assert.Contains(t, log.Text(), "holds=string")
		assert.NotContains(t, log.Text(), "topsecret")
	})
}

func TestValueIsEncodedWhenItIsSet(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		v.Visit(func(s *session.Session) {
			list, object, record := []int{1}, map[string]any{"a": 1}, &item{Name: "a"}
			s.Set("list", list)
			s.Set("object", object)
			s.Flash("record", record)
			list[0], object["a"], record.Name = 99, 99, "changed"
			assert.Equal(t, []any{1}, s.Get("list"))

			s.Get("object").(map[string]any)["a"] = 99
			assert.Equal(t, map[string]any{"a": 1}, s.Get("object"), "what was read is the reader's own")
		})
		v.Visit(func(s *session.Session) {
			assert.Equal(t, []any{1}, s.Get("list"))
			assert.Equal(t, map[string]any{"a": 1}, s.Get("object"))
			assert.Equal(t, map[string]any{"name": "a", "price": 0}, s.Get("record"))
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
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		codec := gobCodec{decoded: new(atomic.Int64)}
		cfg.Codec = codec
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		v.Visit(func(s *session.Session) {
			s.Set("thing", item{Name: "pear"})
			for key, value := range map[string]any{"s": "a", "i": 1, "f": 0.5, "b": true, "n": nil} {
				s.Set(key, value)
			}
		})
		v.Visit(func(s *session.Session) {
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
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		v.Visit(func(s *session.Session) {
			for i, key := range keys {
				s.Set(key, i)
				s.Flash(key, fmt.Sprint("flash ", i))
			}
		})
		v.Visit(func(s *session.Session) {
			require.Len(t, s.All(), len(keys))
			for i, key := range keys {
				assert.Equal(t, fmt.Sprint("flash ", i), s.Get(key), "%q", key)
			}
		})
		v.Visit(func(s *session.Session) {
			for i, key := range keys {
				assert.Equal(t, i, s.Get(key), "%q", key)
				assert.True(t, s.Delete(key), "%q", key)
			}
			assert.Empty(t, s.All())
		})
		v.Visit(func(s *session.Session) { assert.Empty(t, s.All()) })
	})
}
