package main

import (
	"errors"
	"net/http"
	"strings"

	"example.com/session"
)

// A device is a session that the user is signed in with.
type device struct {
	session.Info
	Name string
	This bool // the session of this request
}

// showDevices lists where the user is signed in. A visitor sees how to sign in.
func (a *app) showDevices(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	var devices []device
	if user, ok := s.User(); ok {
		infos, err := a.manager.Sessions(r.Context(), user)
		if err != nil {
			a.showFailure(w, r, err)
			return
		}
		for _, info := range infos {
			devices = append(devices, device{Info: info, Name: info.Hints["device"], This: info.Handle == s.Handle()})
		}
	}
	a.render(w, r, http.StatusOK, "devices.html", "Your devices", devices)
}

// forUsers serves a request of a user who is signed in, and sends others to the list of devices.
func (a *app) forUsers(serve http.HandlerFunc) http.Handler {
	return a.manager.RequireUser(serve, http.RedirectHandler("/devices", http.StatusSeeOther))
}

// endDevice ends one of the user's sessions. The handle comes from a form, so it may be that of
// somebody else's session: End accepts only the handles of this user.
func (a *app) endDevice(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	user, _ := s.User()
	switch err := a.manager.End(r.Context(), user, r.PathValue("handle")); {
	case errors.Is(err, session.ErrNoSession):
		s.Flash("warning", "That device was signed out already.")
	case err != nil:
		a.showFailure(w, r, err)
		return
	default:
		s.Flash("success", "The device is signed out. Its next request shows that.")
	}
	redirect(w, r, "/devices")
}

func (a *app) endOtherDevices(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	if err := a.manager.EndOthers(r.Context(), s); err != nil {
		a.showFailure(w, r, err)
		return
	}
	s.Flash("success", "All other devices are signed out.")
	redirect(w, r, "/devices")
}

// deviceOf names browser and system from a User-Agent, so that users recognize their devices.
func deviceOf(agent string) string {
	return named(agent, "A browser", "Edg/", "Edge", "Firefox/", "Firefox", "Chrome/", "Chrome", "Safari/", "Safari") + " on " +
		named(agent, "some system", "iPhone", "iPhone", "iPad", "iPad", "Android", "Android", "Windows", "Windows", "Mac OS X", "macOS", "Linux", "Linux")
}

// named returns the name of the first part that agent contains. Each part is followed by its name.
func named(agent, otherwise string, partsAndNames ...string) string {
	for i := 0; i+1 < len(partsAndNames); i += 2 {
		if strings.Contains(agent, partsAndNames[i]) {
			return partsAndNames[i+1]
		}
	}
	return otherwise
}
