package load

import (
	"encoding/json"
	"errors"
	"net/http"

	"example.com/session"
)

// whoHeader tells whose session a request was served with.
const whoHeader = "X-Who"

// A cart is a value that requests read, change and store.
type cart struct{ Items int }

// application is what the visitors use.
func application() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/plain", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/look", func(w http.ResponseWriter, r *http.Request) {
		s := session.FromRequest(r)
		w.Header().Set(whoHeader, s.GetString("who"))
		json.NewEncoder(w).Encode(s.All())
	})
	mux.HandleFunc("/enter", changing(func(s *session.Session, r *http.Request) { s.Set("who", r.FormValue("who")) }))
	mux.HandleFunc("/add", changing(func(s *session.Session, r *http.Request) { s.Increment("n", 1) }))
	mux.HandleFunc("/update", changing(func(s *session.Session, r *http.Request) {
		// Where it fails, the request does, or the item counts as lost.
		_ = session.Update(s, "cart", func(c cart) cart { c.Items++; return c })
	}))
	mux.HandleFunc("/set", changing(func(s *session.Session, r *http.Request) { s.Set(r.FormValue("key"), r.FormValue("value")) }))
	mux.HandleFunc("/login", changing(func(s *session.Session, r *http.Request) {
		s.Login(r.FormValue("who")) // as anybody may do again who is signed in
		s.Set("login", r.FormValue("value"))
	}))
	mux.HandleFunc("/renew", changing(func(s *session.Session, r *http.Request) {
		s.Regenerate()
		s.Set("login", r.FormValue("value"))
	}))
	mux.HandleFunc("/logout", func(w http.ResponseWriter, r *http.Request) { session.FromRequest(r).Logout() })
	return mux
}

// changing is a handler that changes the session. Asked to, it saves before it answers, and says
// so where the session had ended meanwhile: its change is dropped then.
func changing(change func(s *session.Session, r *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s := session.FromRequest(r)
		w.Header().Set(whoHeader, s.GetString("who"))
		change(s, r)
		if r.FormValue("save") != "" && errors.Is(s.Save(), session.ErrNoSession) {
			w.WriteHeader(http.StatusConflict)
		}
	}
}
