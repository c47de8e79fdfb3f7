package main

import (
	"errors"
	"net/http"
	"time"

	"example.com/session"
)

const rememberFor = 30 * 24 * time.Hour // what "keep me signed in" asks for

// userName is what the pages call the user; the session is bound to the id of the account.
const userName session.Key[string] = "name"

func (s *shop) signInPage(w http.ResponseWriter, r *http.Request) {
	s.render(w, r, http.StatusOK, "sign-in", "")
}

func (s *shop) signUp(w http.ResponseWriter, r *http.Request) {
	name, password := r.PostFormValue("name"), r.PostFormValue("password")
	var faults []string
	if name == "" {
		faults = append(faults, "Choose a name.")
	}
	if len(password) < passwordLength {
		faults = append(faults, "The password is too short.")
	}
	if len(faults) > 0 {
		s.reject(w, r, faults...)
		return
	}
	id, err := s.users.add(name, password)
	switch {
	case errors.Is(err, errNameTaken):
		s.reject(w, r, "This name is taken.")
	case err != nil:
		s.fail(w, r, err)
	default:
		s.welcome(w, r, id, name)
	}
}

func (s *shop) signIn(w http.ResponseWriter, r *http.Request) {
	name := r.PostFormValue("name")
	id, ok := s.users.check(name, r.PostFormValue("password"))
	if !ok {
		s.reject(w, r, "Name or password is wrong.")
		return
	}
	s.welcome(w, r, id, name)
}

// reject shows the form again, with what is wrong. The messages are for this page only.
func (s *shop) reject(w http.ResponseWriter, r *http.Request, faults ...string) {
	session.FromRequest(r).FlashNow("errors", faults)
	s.render(w, r, http.StatusUnprocessableEntity, "sign-in", r.PostFormValue("name"))
}

// welcome signs a user in who has proven who it is.
func (s *shop) welcome(w http.ResponseWriter, r *http.Request, id, name string) {
	current := session.FromRequest(r)
	current.Login(id)
	if r.PostFormValue("remember") != "" {
		current.Remember(rememberFor)
	} else {
		current.Remember(0)
	}
	current.Describe(map[string]string{"agent": r.UserAgent()})
	userName.Set(current, name)
	current.FlashAdd("messages", "Welcome, "+name+".")
	next, ok := nextPage.Pull(current)
	if !ok {
		next = "/"
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (s *shop) signOut(w http.ResponseWriter, r *http.Request) {
	current := session.FromRequest(r)
	current.Logout()
	current.FlashAdd("messages", "You are signed out.")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// devices lists where the user is signed in.
func (s *shop) devices(w http.ResponseWriter, r *http.Request) {
	current := session.FromRequest(r)
	user, _ := current.User()
	list, err := s.manager.Sessions(r.Context(), user)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "devices", map[string]any{"List": list, "This": current.Handle()})
}

// endDevice signs one device out.
func (s *shop) endDevice(w http.ResponseWriter, r *http.Request) {
	current := session.FromRequest(r)
	handle := r.PathValue("handle")
	if handle == current.Handle() {
		s.signOut(w, r)
		return
	}
	user, _ := current.User()
	err := s.manager.End(r.Context(), user, handle)
	if err != nil && !errors.Is(err, session.ErrNoSession) {
		s.fail(w, r, err)
		return
	}
	current.FlashAdd("messages", "The device is signed out.")
	http.Redirect(w, r, "/devices", http.StatusSeeOther)
}

// endOthers signs all other devices out, if the user has proven lately who it is.
func (s *shop) endOthers(w http.ResponseWriter, r *http.Request) {
	current := session.FromRequest(r)
	if !current.FreshWithin(15 * time.Minute) {
		nextPage.Set(current, "/devices")
		http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
		return
	}
	if err := s.manager.EndOthers(r.Context(), current); err != nil {
		s.fail(w, r, err)
		return
	}
	current.FlashAdd("messages", "All other devices are signed out.")
	http.Redirect(w, r, "/devices", http.StatusSeeOther)
}
