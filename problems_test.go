package session_test

import (
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

type node struct{ Next *node }

type sour struct{}

func (sour) MarshalJSON() ([]byte, error) { return nil, errors.New("secret detail") }

type bomb struct{}

func (bomb) MarshalJSON() ([]byte, error) { panic("secret detail") }

func TestWhatCannotBeStoredFailsTheRequestAndNothingOfItIsStored(t *testing.T) {
	cycle := new(node)
	cycle.Next = cycle
	long := strings.Repeat("k", 256)
	set := func(key string, value any) func(s *session.Session) {
		return func(s *session.Session) { s.Set(key, value) }
	}
	tests := []struct {
		name string
		do   func(s *session.Session)
		want []string
	}{
		{name: "channel", do: set("bad", make(chan int)), want: []string{`set "bad"`, "chan int"}},
		{name: "function", do: set("bad", func() {}), want: []string{`set "bad"`, "func()"}},
		{name: "complex number", do: set("bad", 1i), want: []string{`set "bad"`, "complex128"}},
		{name: "channel in a map", do: set("bad", map[string]any{"c": make(chan int)}), want: []string{`set "bad"`, "map[string]interface {}", "chan int"}},
		{name: "NaN in a slice", do: set("bad", []float64{math.NaN()}), want: []string{`set "bad"`, "[]float64", "NaN"}},
		{name: "map of structs", do: set("bad", map[node]int{{}: 1}), want: []string{`set "bad"`, "map[session_test.node]int"}},
		{name: "value that contains itself", do: set("bad", cycle), want: []string{`set "bad"`, "*session_test.node"}},
		{name: "method that fails", do: set("bad", sour{}), want: []string{`set "bad"`, "session_test.sour"}},
		{name: "method that panics", do: set("bad", bomb{}), want: []string{`set "bad"`, "session_test.bomb"}},
		{name: "flash", do: func(s *session.Session) { s.Flash("bad", make(chan int)) }, want: []string{`flash "bad"`, "chan int"}},
		{name: "flash for now", do: func(s *session.Session) { s.FlashNow("bad", make(chan int)) }, want: []string{`flash "bad"`, "chan int"}},
		{name: "typed key", do: func(s *session.Session) {
			session.Key[chan int]("bad").Set(s, nil)
			session.Key[sour]("bad").Set(s, sour{})
		}, want: []string{`set "bad"`}},
		{name: "empty key", do: set("", 1), want: []string{`set ""`, "a key has 1 to 255 bytes, this one has 0"}},
		{name: "key of 256 bytes", do: set(long, 1), want: []string{`set "kkk`, "a key has 1 to 255 bytes, this one has 256"}},
		{name: "empty key of flash", do: func(s *session.Session) { s.Flash("", 1) }, want: []string{`flash ""`, "1 to 255"}},
		{name: "long key of flash", do: func(s *session.Session) { s.Flash(long, 1) }, want: []string{"flash", "1 to 255"}},
		{name: "empty key to count", do: func(s *session.Session) { s.Increment("", 1) }, want: []string{`increment ""`, "1 to 255"}},
		{name: "long key to count", do: func(s *session.Session) { s.Decrement(long, 1) }, want: []string{"increment", "1 to 255"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
				other := "memory"
				if cfg.Default == other {
					other = "cookie"
				}
				failed := kit.RecordFailures(&cfg)
				v := kit.NewVisitor(t, kit.NewManager(t, cfg))
				v.Visit(func(s *session.Session) { s.Set("good", "old") })
				p := v.Visit(func(s *session.Session) {
					s.Set("good", "new")
					elsewhere, err := s.Using(other)
					if assert.NoError(t, err) {
						elsewhere.Set("good", "there")
					}
					s.Destroy()
					s.Set("good", "newer")
					tt.do(s)
					assert.Error(t, s.Err())
					assert.Nil(t, s.Get("bad"))
					assert.Error(t, s.Save(), "Save fails too")
				})
				assert.Equal(t, http.StatusInternalServerError, p.StatusCode)
				assert.Equal(t, "Internal Server Error\n", p.Body)
				assert.Empty(t, p.Header["Set-Cookie"])
				for _, want := range tt.want {
					assert.ErrorContains(t, failed.Last(), want)
				}
				assert.NotContains(t, failed.Last().Error(), "secret detail")
				v.Visit(func(s *session.Session) {
					assert.Equal(t, map[string]any{"good": "old"}, s.All(), "nothing of the request is stored")
					elsewhere, err := s.Using(other)
					if assert.NoError(t, err) {
						assert.Empty(t, elsewhere.All())
					}
				})
			})
		})
	}
}
