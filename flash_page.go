package session

import (
	"net/http"
	"strings"
)

// A showing is what the user sees of a response. It decides which flash expires with it.
type showing uint8

const (
	notJudged    showing = iota // most requests come with no flash, so nobody asks
	showsNothing                // nothing yet, or nothing of this site: no flash expires
	showsPart                   // a fragment, a poll or an image: flash that the handler has read expires
	showsPage                   // all flash that came with the request expires
)

// showing returns what the user sees of the committed response.
func (r *requestState) showing() showing {
	if r.shows == notJudged {
		r.shows = showsNothing
		if !r.noHandler {
			r.shows = showingOf(r.incoming, int(r.status))
		}
	}
	return r.shows
}

// showingOf returns what the user sees of a response of this status.
func showingOf(r *http.Request, status int) showing {
	if status != http.StatusOK || r.Method == http.MethodHead {
		return showsNothing
	}
	h := r.Header
	switch {
	case isPrefetch(h):
		return showsNothing
	case h.Get("HX-Boosted") == "true", h.Get("HX-History-Restore-Request") == "true":
		return showsPage
	case h.Get("HX-Request") != "", h.Get("Turbo-Frame") != "":
		return showsPart
	case isTurboVisit(h):
		return showsPage
	case h.Get("Sec-Fetch-Dest") != "":
		return showingOfDestination(h)
	case isForPage(h):
		return showsPage
	}
	return showsPart
}

// isPrefetch reports whether nobody sees the page yet. Sec-Purpose is a structured item that may
// have parameters, as in "prefetch;prerender". The other fields are what browsers and libraries
// send.
func isPrefetch(h http.Header) bool {
	for _, name := range [...]string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Sec-Purpose", "X-Moz"} {
		purpose := strings.ToLower(strings.TrimSpace(h.Get(name)))
		for _, early := range [...]string{"prefetch", "prerender", "preview"} {
			if strings.HasPrefix(purpose, early) {
				return true
			}
		}
	}
	return h.Get("HX-Preloaded") == "true"
}

// isTurboVisit reports whether a script of this site fetches a page to show it, as Turbo does for a
// visit: it accepts HTML, and asks for no frame.
func isTurboVisit(h http.Header) bool {
	return h.Get("Sec-Fetch-Dest") == "empty" && h.Get("Sec-Fetch-Site") != "cross-site" && acceptsHTML(h) &&
		h.Get("X-Requested-With") == ""
}

// showingOfDestination goes by what the browser says that the response is for (Fetch Metadata).
func showingOfDestination(h http.Header) showing {
	switch h.Get("Sec-Fetch-Dest") {
	case "document", "frame", "iframe":
		return showsPage
	}
	if h.Get("Sec-Fetch-Site") == "cross-site" {
		return showsNothing // another site's page loads it
	}
	return showsPart
}

// isForPage goes by what a client accepts that sends no Fetch Metadata: old browsers, browsers on
// plain HTTP, and programs.
func isForPage(h http.Header) bool {
	if h.Get("X-Requested-With") != "" {
		return false
	}
	accept := strings.Join(h["Accept"], ",")
	return accept == "" || strings.TrimSpace(accept) == "*/*" || acceptsHTML(h)
}

func acceptsHTML(h http.Header) bool {
	for _, line := range h["Accept"] {
		if strings.Contains(strings.ToLower(line), "text/html") {
			return true
		}
	}
	return false
}
