package session_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"example.com/session"
)

// A Basket is a value of the examples.
type Basket struct{ Items []string }

const basket session.Key[Basket] = "basket"

// A session is loaded when a method first needs it, and stored before the response begins.
func ExampleSession() {
	visits(
		func(s *session.Session) { s.Set("name", "Ann"); s.Flash("success", "Saved!") },
		func(s *session.Session) { fmt.Println(s.Get("name"), s.Get("success")) },
		func(s *session.Session) { fmt.Println(s.Get("name"), s.Get("success")) },
	)
	// Output:
	// Ann Saved!
	// Ann <nil>
}

func ExampleSession_Set() {
	visits(
		func(s *session.Session) { s.Set("sizes", []int{38, 40}); s.Set("name", "Ann") },
		func(s *session.Session) { fmt.Println(s.Get("sizes"), s.Get("name")) },
	)
	// Output: [38 40] Ann
}

func ExampleSession_Get() {
	visits(
		func(s *session.Session) { s.Set("name", "Ann") },
		func(s *session.Session) {
			name, ok := s.Get("name").(string)
			fmt.Println(name, ok)
			fmt.Println(s.Get("address"))
		},
	)
	// Output:
	// Ann true
	// <nil>
}

func ExampleSession_GetString() {
	visits(
		func(s *session.Session) { s.Set("name", "Ann") },
		func(s *session.Session) { fmt.Printf("%q %q", s.GetString("name"), s.GetString("address")) },
	)
	// Output: "Ann" ""
}

func ExampleSession_GetInt() {
	visits(
		func(s *session.Session) { s.Set("size", 38) },
		func(s *session.Session) { fmt.Println(s.GetInt("size"), s.GetInt("weight")) },
	)
	// Output: 38 0
}

func ExampleSession_GetBool() {
	visits(
		func(s *session.Session) { s.Set("newsletter", true) },
		func(s *session.Session) { fmt.Println(s.GetBool("newsletter"), s.GetBool("adult")) },
	)
	// Output: true false
}

func ExampleSession_Has() {
	visits(func(s *session.Session) {
		s.Set("name", "")
		fmt.Println(s.Has("name"), s.Has("address"))
	})
	// Output: true false
}

func ExampleSession_All() {
	visits(func(s *session.Session) {
		s.Set("name", "Ann")
		s.Flash("success", "Saved!")
		fmt.Println(s.All())
	})
	// Output: map[name:Ann success:Saved!]
}

func ExampleSession_Delete() {
	visits(
		func(s *session.Session) { s.Set("name", "Ann") },
		func(s *session.Session) { fmt.Println(s.Delete("name"), s.Delete("name")) },
	)
	// Output: true false
}

// A visitor is brought back once to the page that asked for a sign-in.
func ExampleSession_Pull() {
	visits(
		func(s *session.Session) { s.Set("next", "/account") },
		func(s *session.Session) { fmt.Println(s.Pull("next"), s.Has("next")) },
	)
	// Output: /account false
}

// The increments of parallel requests add up.
func ExampleSession_Increment() {
	visits(
		func(s *session.Session) { fmt.Println(s.Increment("visits", 1)) },
		func(s *session.Session) { fmt.Println(s.Increment("visits", 1)) },
	)
	// Output:
	// 1
	// 2
}

func ExampleSession_Decrement() {
	visits(
		func(s *session.Session) { s.Set("tries", 3) },
		func(s *session.Session) { fmt.Println(s.Decrement("tries", 1)) },
	)
	// Output: 2
}

func ExampleSession_Scan() {
	visits(
		func(s *session.Session) { s.Set("basket", Basket{Items: []string{"mug"}}) },
		func(s *session.Session) {
			var b Basket
			fmt.Println(s.Scan("basket", &b), b.Items)
			fmt.Println(errors.Is(s.Scan("address", &b), session.ErrNoValue))
		},
	)
	// Output:
	// <nil> [mug]
	// true
}

func ExampleSession_Reset() {
	visits(func(s *session.Session) {
		s.Set("name", "Ann")
		s.Flash("success", "Saved!")
		s.Reset()
		fmt.Println(s.All())
	})
	// Output: map[success:Saved!]
}

func ExampleSession_Flush() {
	visits(func(s *session.Session) {
		s.Set("name", "Ann")
		s.Flash("success", "Saved!")
		s.Flush()
		fmt.Println(s.All())
	})
	// Output: map[]
}

func ExampleGet() {
	visits(
		func(s *session.Session) { s.Set("due", time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)) },
		func(s *session.Session) {
			due, ok := session.Get[time.Time](s, "due")
			fmt.Println(due.Year(), ok)
		},
	)
	// Output: 2027 true
}

// Two requests of one browser change the same value at once. Both changes are kept.
func ExampleUpdate() {
	add := func(s *session.Session, item string) {
		err := session.Update(s, "items", func(items []string) []string { return append(items, item) })
		if err != nil {
			log.Fatal(err)
		}
	}
	b := newExampleBrowser(session.Config{Default: "memory"})
	b.visit(func(s *session.Session) { add(s, "mug") })
	b.visit(func(slow *session.Session) {
		add(slow, "pot")
		b.visit(func(fast *session.Session) { add(fast, "tin") }) // while the slow request goes on
	})
	b.visit(func(s *session.Session) { fmt.Println(s.Get("items")) })
	// Output: [mug tin pot]
}

// With a key, the compiler checks the type of the value.
func ExampleKey() {
	visits(
		func(s *session.Session) { basket.Set(s, Basket{Items: []string{"mug"}}) },
		func(s *session.Session) {
			b, ok := basket.Get(s)
			fmt.Println(b.Items, ok)
		},
	)
	// Output: [mug] true
}

func ExampleKey_Set() {
	visits(func(s *session.Session) {
		basket.Set(s, Basket{Items: []string{"mug"}})
		fmt.Println(s.Has("basket"))
	})
	// Output: true
}

func ExampleKey_Get() {
	visits(func(s *session.Session) {
		b, ok := basket.Get(s)
		fmt.Println(len(b.Items), ok)
	})
	// Output: 0 false
}

func ExampleKey_Has() {
	visits(func(s *session.Session) { fmt.Println(basket.Has(s)) })
	// Output: false
}

func ExampleKey_Delete() {
	visits(func(s *session.Session) {
		basket.Set(s, Basket{})
		fmt.Println(basket.Delete(s), basket.Has(s))
	})
	// Output: true false
}

func ExampleKey_Pull() {
	visits(func(s *session.Session) {
		basket.Set(s, Basket{Items: []string{"mug"}})
		b, _ := basket.Pull(s)
		fmt.Println(b.Items, basket.Has(s))
	})
	// Output: [mug] false
}

func ExampleKey_Update() {
	add := func(item string) func(Basket) Basket {
		return func(b Basket) Basket { b.Items = append(b.Items, item); return b }
	}
	visits(
		func(s *session.Session) { fmt.Println(basket.Update(s, add("mug"))) },
		func(s *session.Session) { fmt.Println(basket.Update(s, add("pot"))) },
		func(s *session.Session) { fmt.Println(s.Get("basket")) },
	)
	// Output:
	// <nil>
	// <nil>
	// map[Items:[mug pot]]
}

func ExampleKey_Flash() {
	const faults session.Key[[]string] = "faults"
	visits(
		func(s *session.Session) { faults.Flash(s, []string{"Name is missing."}) },
		func(s *session.Session) { fmt.Println(faults.Get(s)) },
		func(s *session.Session) { fmt.Println(faults.Get(s)) },
	)
	// Output:
	// [Name is missing.] true
	// [] false
}

// exactNumbers is encoding/json, but Session.Get returns numbers inside of objects as they were written.
type exactNumbers struct{}

func (exactNumbers) Encode(v any) ([]byte, error) { return json.Marshal(v) }

func (exactNumbers) Decode(data []byte, dst any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	return decoder.Decode(dst)
}

func ExampleCodec() {
	b := newExampleBrowser(session.Config{Default: "memory", Codec: exactNumbers{}})
	b.visit(func(s *session.Session) { s.Set("prices", map[string]any{"mug": json.Number("9.90")}) })
	b.visit(func(s *session.Session) { fmt.Println(s.Get("prices")) })
	// Output: map[mug:9.90]
}
