package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"example.com/session"
)

// showDrivers shows a counter on each driver, and the one that the templates read.
func (a *app) showDrivers(w http.ResponseWriter, r *http.Request) {
	type counter struct {
		Name    string
		Count   int
		Default bool
	}
	var counters []counter
	for _, name := range a.others {
		s, err := session.FromRequest(r).Using(name)
		if err != nil {
			a.showFailure(w, r, err)
			return
		}
		counters = append(counters, counter{name, s.GetInt("count"), name == a.cfg.Default})
	}
	a.render(w, r, http.StatusOK, "drivers.html", "Drivers", counters)
}

// countOnDriver uses another driver for one call. The flash message goes into the default driver's
// session, which is also the one that the templates read.
func (a *app) countOnDriver(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	s := session.FromRequest(r)
	if !slices.Contains(a.others, name) {
		name = "" // unknown, also if the manager has such a driver
	}
	other, err := s.Using(name)
	if errors.Is(err, session.ErrUnknownDriver) {
		a.showNotFound(w, r)
		return
	}
	if err != nil {
		a.showFailure(w, r, err)
		return
	}
	s.Flash("success", fmt.Sprintf("Counted to %d with the %s driver.", other.Increment("count", 1), name))
	redirect(w, r, "/drivers")
}
