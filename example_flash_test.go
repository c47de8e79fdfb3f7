package session_test

import (
	"fmt"
	"net/http"

	"example.com/session"
)

// A message survives the redirect, and is gone after the next page.
func ExampleSession_Flash() {
	b := newExampleBrowser(session.Config{Default: "memory"})
	mux := http.NewServeMux()
	mux.HandleFunc("/save", func(w http.ResponseWriter, r *http.Request) {
		session.FromRequest(r).Flash("success", "Saved!")
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Printf("%q\n", session.FromRequest(r).GetString("success"))
	})
	b.get(b.manager.Middleware(mux), "/save")
	b.get(b.manager.Middleware(mux), "/")
	b.get(b.manager.Middleware(mux), "/")
	// Output:
	// "Saved!"
	// ""
}

func ExampleSession_FlashAdd() {
	visits(
		func(s *session.Session) {
			s.FlashAdd("errors", "Name is missing.")
			s.FlashAdd("errors", "The password is too short.")
		},
		func(s *session.Session) { fmt.Printf("%q", s.Get("errors")) },
	)
	// Output: ["Name is missing." "The password is too short."]
}

// A form that is shown again by the same request needs no session for its message.
func ExampleSession_FlashNow() {
	visits(
		func(s *session.Session) {
			s.FlashNow("error", "Name is missing.")
			fmt.Println(s.Get("error"))
		},
		func(s *session.Session) { fmt.Println(s.Get("error"), s.IsNew()) },
	)
	// Output:
	// Name is missing.
	// <nil> true
}

func ExampleSession_KeepFlash() {
	visits(
		func(s *session.Session) { s.Flash("success", "Saved!"); s.Flash("tip", "Add a photo.") },
		func(s *session.Session) { s.KeepFlash("success") },
		func(s *session.Session) { fmt.Println(s.Get("success"), s.Get("tip")) },
	)
	// Output: Saved! <nil>
}

func ExampleSession_Reflash() {
	visits(
		func(s *session.Session) { s.Flash("success", "Saved!"); s.Flash("tip", "Add a photo.") },
		func(s *session.Session) { s.Reflash() },
		func(s *session.Session) { fmt.Println(s.Get("success"), s.Get("tip")) },
	)
	// Output: Saved! Add a photo.
}

func ExampleSession_ResetFlash() {
	visits(func(s *session.Session) {
		s.Set("name", "Ann")
		s.Flash("success", "Saved!")
		s.ResetFlash()
		fmt.Println(s.All())
	})
	// Output: map[name:Ann]
}
