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
	This bool // the one that asks
}

// showDevices lists with what the user is signed in. A visitor sees how to get there.
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

// endDevice ends one of the user's sessions. The handle comes from a form, so it may be anybody's:
// End takes it only where it is this user's.
func (a *app) endDevice(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	user, ok := s.User()
	if !ok {
		redirect(w, r, "/devices")
		return
	}
	switch err := a.manager.End(r.Context(), user, r.PathValue("handle")); {
	case errors.Is(err, session.ErrNoSession):
		s.Flash("warning", "That device was signed out already.")
	case err != nil:
		a.showFailure(w, r, err)
		return
	default:
		s.Flash("success", "The device is signed out: its next click shows it.")
	}
	redirect(w, r, "/devices")
}

func (a *app) endOtherDevices(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	if _, ok := s.User(); !ok {
		redirect(w, r, "/devices")
		return
	}
	if err := a.manager.EndOthers(r.Context(), s); err != nil {
		a.showFailure(w, r, err)
		return
	}
	s.Flash("success", "All other devices are signed out.")
	redirect(w, r, "/devices")
}

// deviceOf makes of a User-Agent what a person knows a device by, and keeps nothing else of it.
func deviceOf(agent string) string {
	return named(agent, "A browser", "Edg/", "Edge", "Firefox/", "Firefox", "Chrome/", "Chrome", "Safari/", "Safari") + " on " +
		named(agent, "some system", "iPhone", "iPhone", "iPad", "iPad", "Android", "Android", "Windows", "Windows", "Mac OS X", "macOS", "Linux", "Linux")
}

// named returns the name of the first part that is there; parts and names take turns.
func named(agent, otherwise string, partsAndNames ...string) string {
	for i := 0; i+1 < len(partsAndNames); i += 2 {
		if strings.Contains(agent, partsAndNames[i]) {
			return partsAndNames[i+1]
		}
	}
	return otherwise
}
