package main

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"strconv"
	"time"

	"example.com/session"
)

const (
	tabTakes    = 2  // seconds, so that there is time to press both buttons
	tabMayTake  = 20 // ?seconds=20, for slow machines
	streamStep  = 400 * time.Millisecond
	streamEnds  = 5  // lines
	streamMayGo = 60 // ?lines=60
)

// number returns a number from the form or the query, at most most.
func number(r *http.Request, name string, otherwise, most int) int {
	n, err := strconv.Atoi(r.FormValue(name))
	if err != nil || n < 1 {
		return otherwise
	}
	return min(n, most)
}

func (a *app) showAtOnce(w http.ResponseWriter, r *http.Request) {
	a.render(w, r, http.StatusOK, "atonce.html", "At once", nil)
}

// showIdle fills a frame before its button is pressed.
func (a *app) showIdle(w http.ResponseWriter, r *http.Request) {
	a.render(w, r, http.StatusOK, "frame.html", "Waiting", "Nothing yet.")
}

// addSlowly loads the session, waits, and then adds a note. If two requests do this at the same
// time, neither sees the other's note.
func (a *app) addSlowly(w http.ResponseWriter, r *http.Request) {
	tab := r.FormValue("tab")
	if tab != "A" && tab != "B" {
		a.showNotFound(w, r)
		return
	}
	s := session.FromRequest(r)
	if err := s.Open(); err != nil {
		return // the middleware sends the error page
	}
	seen := len(notesIn(s))
	if !pause(r, time.Duration(number(r, "seconds", tabTakes, tabMayTake))*time.Second) {
		return
	}
	newNoteKey().Set(s, note{Text: "From tab " + tab})
	s.Increment("added", 1)
	a.render(w, r, http.StatusOK, "frame.html", "Tab "+tab,
		fmt.Sprintf("Notes that tab %s saw when it began: %d. It added one.", tab, seen))
}

// stream sends a line after each Save of the session.
func (a *app) stream(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	s.Increment("streams", 1)
	if err := s.Save(); err != nil { // begins a session while a cookie can still be set
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, streamHead)
	out := http.NewResponseController(w)
	last := number(r, "lines", streamEnds, streamMayGo)
	for step := 1; step <= last; step++ {
		out.Flush()
		if !pause(r, streamStep) {
			return
		}
		s.Set("stream.step", step)
		if err := s.Save(); err != nil {
			fmt.Fprintf(w, "<li>%s</li>\n", html.EscapeString(streamFault(err)))
			break
		}
		fmt.Fprintf(w, "<li>Step %d is stored.</li>\n", step)
	}
	fmt.Fprint(w, "<li>The end.</li></ol></main></body></html>\n")
}

const streamHead = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Stream</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/style.css"></head>
<body class="frame"><main><h1 class="quiet">Stream</h1><ol class="steps">
<li>The header has been sent, with the cookies in it.</li>
`

// streamFault explains why nothing more can be stored.
func streamFault(err error) string {
	switch {
	case errors.Is(err, session.ErrLateChange):
		return "The cookie driver stores a session with Set-Cookie. The header has been sent, so nothing more can be stored."
	case errors.Is(err, session.ErrNoSession):
		return "Another tab ended the session or replaced its token. The stream stops."
	}
	return "The session cannot be stored now. The stream stops."
}
