package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/session"
)

const (
	remembered  = 30 * 24 * time.Hour
	longestName = 40 // characters
)

func (a *app) showSignIn(w http.ResponseWriter, r *http.Request) {
	d, _ := refused.Get(session.FromRequest(r))
	a.render(w, r, http.StatusOK, "signin.html", "Sign in", d)
}

// A proof tells whether the token that was replaced still opens a session.
type proof struct {
	Before string `json:"before"` // the mark of the old token
	Opens  bool   `json:"opens"`  // right after it was replaced
}

const replaced session.Key[proof] = "proof"

// signIn accepts any name, because this demo has no passwords. Login binds the session to the user
// and replaces its token, so a token that somebody planted or saw before does not open it.
func (a *app) signIn(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	name := strings.TrimSpace(r.FormValue("name"))
	if n := utf8.RuneCountInString(name); n == 0 || n > longestName || !utf8.ValidString(name) {
		refused.Flash(s, draft{Text: beginning(name), Error: fmt.Sprintf("A name has 1 to %d characters.", longestName)})
		redirect(w, r, "/sign-in")
		return
	}
	s.Login(name)
	s.Describe(map[string]string{"device": deviceOf(r.UserAgent())})
	keep := r.FormValue("remember") != ""
	if keep {
		s.Remember(remembered)
	} else {
		s.Remember(0) // the limits of the configuration
	}
	s.Set("remembered", keep)
	s.Flash("success", "Signed in as "+name+".")
	a.prove(s, r)
	redirect(w, r, "/session")
}

// regenerate replaces the token without a sign-in, as after any change of privilege.
func (a *app) regenerate(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	s.Regenerate()
	s.Flash("success", "The session has a new token.")
	a.prove(s, r)
	redirect(w, r, "/session")
}

// prove stores the new token now, and then tries to open a session with the old one.
func (a *app) prove(s *session.Session, r *http.Request) {
	old, err := r.Cookie(a.cookie)
	if err != nil {
		return // there was no token to replace
	}
	if err := s.Save(); err != nil {
		return // the commit fails too, and sends the error page
	}
	replaced.Flash(s, proof{Before: mark(old.Value), Opens: a.opens(r.Header.Get("Cookie"))})
}

// opens reports whether cookies open a session. It sends a second request through the middleware.
func (a *app) opens(cookies string) (live bool) {
	ask := a.manager.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		live = !session.FromRequest(r).IsNew()
	}))
	r, err := http.NewRequest(http.MethodGet, "http://localhost/", nil)
	if err != nil {
		return false
	}
	r.Header.Set("Cookie", cookies)
	ask.ServeHTTP(nowhere{http.Header{}}, r)
	return live
}

// nowhere is a response writer that discards the response.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n nowhere) WriteHeader(int)             {}

func (a *app) signOut(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	s.Logout()
	s.Flash("success", "Signed out. The session and everything in it are gone. This message began a new session.")
	redirect(w, r, "/")
}
