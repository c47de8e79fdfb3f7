package main

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"example.com/session"
)

// messages are the texts for the flash keys that the documented partial shows.
var messages = map[string]string{
	"success": "This is a success message.",
	"warning": "This is a warning.",
	"danger":  "This is a danger message.",
}

// ways are the routes that a browser can take from the form to the message.
var ways = []way{
	{"straight", "at once", "/flash/landing"},
	{"between", "after a page that says it is working", "/flash/between"},
	{"late", "one second late", "/flash/landing?slow=1000"},
	{"later", "two and a half seconds late", "/flash/landing?slow=2500"},
}

type way struct{ Name, Title, To string }

func (a *app) showFlash(w http.ResponseWriter, r *http.Request) {
	a.render(w, r, http.StatusOK, "flash.html", "Flash messages", struct {
		Ways     []way
		FlashTTL time.Duration
	}{ways, a.flashTTL()})
}

// flashTTL returns the FlashTTL of the default driver.
func (a *app) flashTTL() time.Duration {
	switch a.cfg.Default {
	case "cookie":
		return a.cfg.Cookie.FlashTTL
	case "redis":
		return a.cfg.Redis.FlashTTL
	}
	return a.cfg.Memory.FlashTTL
}

func (a *app) postFlash(w http.ResponseWriter, r *http.Request) {
	kind := r.FormValue("kind")
	text, known := messages[kind]
	i := slices.IndexFunc(ways, func(way way) bool { return way.Name == r.FormValue("way") })
	if !known || i < 0 {
		a.showNotFound(w, r)
		return
	}
	session.FromRequest(r).Flash(kind, text)
	redirect(w, r, ways[i].To)
}

// showBetween is a page with status 202, so the message stays for the next page, whatever this one
// loads meanwhile: a picture, a script that polls, and pages that are prefetched.
func (a *app) showBetween(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Refresh", "1; url=/flash/landing")
	w.Header().Set("Speculation-Rules", `"/flash/rules.json"`)
	a.render(w, r, http.StatusAccepted, "between.html", "Working", nil)
}

func (a *app) showLanding(w http.ResponseWriter, r *http.Request) {
	a.render(w, r, http.StatusOK, "landing.html", "The message", struct{ Meanwhile []exchange }{
		a.journal.sincePost(session.FromRequest(r).Handle()),
	})
}

// serveBadge sends a picture that shows a value of the session.
func (a *app) serveBadge(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "image/svg+xml")
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="160" height="24" role="img">`+
		`<rect width="160" height="24" rx="4" fill="#0f6b5c"/>`+
		`<text x="80" y="16" font-family="sans-serif" font-size="12" fill="#fff" text-anchor="middle">notes added: %d</text></svg>`,
		session.FromRequest(r).GetInt("added"))
}

// servePollScript sends a script that reads the session and polls for news.
func (a *app) servePollScript(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	fmt.Fprintf(w, "// notes added when this was sent: %d\n", session.FromRequest(r).GetInt("added"))
	fmt.Fprint(w, `setInterval(() => fetch("`+pollPath+`").catch(() => {}), 200);`+"\n")
}

// pollPath is requested by a script, without the user. Config.Passive knows it, so that an open page
// does not keep a session from its idle timeout.
const pollPath = "/flash/poll"

func (a *app) servePoll(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"added":%d}`, session.FromRequest(r).GetInt("added"))
}

// serveRules tells browsers which pages to prefetch.
func (a *app) serveRules(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/speculationrules+json")
	fmt.Fprint(w, `{"prefetch":[{"urls":["/session"],"eagerness":"immediate"}]}`)
}
