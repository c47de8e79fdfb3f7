package main

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log"
	"maps"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/session"
)

const longestForm = 64 << 10 // bytes

//go:embed templates static
var files embed.FS

// An app is the demo: the session manager, the templates, and a journal of the requests.
type app struct {
	cfg     session.Config
	manager *session.Manager
	pages   *session.Templates
	journal *journal
	others  []string // the drivers that the page about drivers offers
	cookie  string   // the name of the default driver's cookie
}

func newApp(cfg session.Config) (*app, error) {
	a := &app{
		cookie:  cfg.CookieAttributes.Prefix + cfg.Default,
		journal: newJournal(cfg.CookieAttributes.Prefix),
		others:  []string{"memory", "cookie"},
	}
	if cfg.Default == "redis" || cfg.Redis.URL+cfg.Redis.Host != "" || cfg.Redis.Port != 0 {
		a.others = append(a.others, "redis") // there is a server to connect to
	}
	cfg.ErrorHandler = a.showFailure
	manager, err := session.NewManager(cfg)
	if err != nil {
		return nil, err
	}
	a.cfg, a.manager = cfg, manager

	// Parsing needs the function "session". Templates binds it to the session of each request.
	set, err := template.New("").Funcs(session.TemplateFuncs()).Funcs(helpers).ParseFS(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	a.pages = session.NewTemplates(set)
	return a, nil
}

// handler wraps the routes with the middleware. A form that another site posts is refused before
// its session is loaded.
func (a *app) handler() http.Handler {
	site := http.NewServeMux()
	site.HandleFunc("GET /static/{name}", serveStatic) // outside the middleware: files need no session
	site.Handle("GET /favicon.ico", http.RedirectHandler("/static/icon.svg", http.StatusFound))
	site.Handle("/", a.journal.watch(a.manager.Middleware(a.journal.name(a.routes()))))
	guarded := http.NewCrossOriginProtection().Handler(http.MaxBytesHandler(site, longestForm))
	return secureHeaders(slowNetwork(guarded))
}

func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.showNotes)
	mux.HandleFunc("POST /notes", a.addNote)
	mux.HandleFunc("POST /notes/{id}/done", a.toggleNote)
	mux.HandleFunc("POST /notes/{id}/delete", a.deleteNote)

	mux.HandleFunc("GET /flash", a.showFlash)
	mux.HandleFunc("POST /flash", a.postFlash)
	mux.HandleFunc("GET /flash/between", a.showBetween)
	mux.HandleFunc("GET /flash/landing", a.showLanding)
	mux.HandleFunc("GET /flash/badge.svg", a.serveBadge)
	mux.HandleFunc("GET /flash/poll.js", a.servePollScript)
	mux.HandleFunc("GET "+pollPath, a.servePoll)
	mux.HandleFunc("GET /flash/rules.json", a.serveRules)

	mux.HandleFunc("GET /sign-in", a.showSignIn)
	mux.HandleFunc("POST /sign-in", a.signIn)
	mux.HandleFunc("POST /sign-out", a.signOut)
	mux.HandleFunc("GET /session", a.showSession)
	mux.HandleFunc("POST /session/regenerate", a.regenerate)
	mux.HandleFunc("POST /session/reset", a.reset)

	mux.HandleFunc("GET /devices", a.showDevices)
	mux.Handle("POST /devices/{handle}/end", a.forUsers(a.endDevice))
	mux.Handle("POST /devices/end-others", a.forUsers(a.endOtherDevices))

	mux.HandleFunc("GET /drivers", a.showDrivers)
	mux.HandleFunc("POST /drivers/{name}", a.countOnDriver)

	mux.HandleFunc("GET /at-once", a.showAtOnce)
	mux.HandleFunc("GET /at-once/idle", a.showIdle)
	mux.HandleFunc("POST /at-once/add", a.addSlowly)
	mux.HandleFunc("POST /at-once/stream", a.stream)

	mux.HandleFunc("GET /wire", a.showWire)
	mux.HandleFunc("/", a.showNotFound)
	return mux
}

// A view is the data of every page's template.
type view struct {
	Title  string
	Path   string
	Driver string
	User   string // who is signed in; empty for a visitor
	Pages  []link
	Data   any
}

type link struct{ Path, Title string }

// Current returns the value of aria-current for a link of the navigation.
func (v view) Current(l link) string {
	switch {
	case l.Path == v.Path:
		return "page"
	case l.Path != "/" && strings.HasPrefix(v.Path, l.Path+"/"):
		return "true"
	}
	return ""
}

var pages = []link{
	{"/", "Notes"},
	{"/flash", "Flash messages"},
	{"/session", "This session"},
	{"/devices", "Your devices"},
	{"/drivers", "Drivers"},
	{"/at-once", "At once"},
	{"/wire", "On the wire"},
}

// render sends a page. If the template fails, nothing has been written, so the response can still
// be an error.
func (a *app) render(w http.ResponseWriter, r *http.Request, status int, name, title string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	user, signedIn := session.FromRequest(r).User()
	if signedIn {
		// The back button must not show this page after the sign-out.
		w.Header().Set("Cache-Control", "no-store")
	}
	v := view{Title: title, Path: r.URL.Path, Driver: a.cfg.Default, User: user, Pages: pages, Data: data}
	p := &page{w, status}
	if err := a.pages.ExecuteTemplate(p, r, name, v); err != nil {
		if !errors.Is(err, session.ErrUnavailable) { // the library logs an outage once
			log.Printf("%s: %v", name, err)
		}
		if p.status != 0 {
			http.Error(w, "the page could not be rendered", http.StatusInternalServerError)
		}
	}
}

// A page sends its status with its first byte, which comes when the whole page is rendered.
type page struct {
	http.ResponseWriter
	status int
}

func (p *page) Write(b []byte) (int, error) {
	if p.status != 0 {
		p.WriteHeader(p.status)
		p.status = 0
	}
	return p.ResponseWriter.Write(b)
}

// redirect sends the browser to a page, which it requests with GET.
func redirect(w http.ResponseWriter, r *http.Request, to string) {
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (a *app) showNotFound(w http.ResponseWriter, r *http.Request) {
	a.render(w, r, http.StatusNotFound, "failure.html", "Not found", failure{
		Text: "There is no such page.",
	})
}

// A failure is the data of the error page.
type failure struct {
	Text    string
	Largest []session.KeySize
	Again   bool      // offers to ask for the page again
	Form    *sentForm // nil if no form was sent
}

// A sentForm is a posted form that was not stored. The error page shows it, to be sent again.
type sentForm struct {
	Action string
	Fields []field
}

// A field has no label if its value was chosen rather than typed.
type field struct{ Name, Label, Value string }

var labels = map[string]string{"text": "Note", "name": "Name"}

func sent(r *http.Request) *sentForm {
	if r.Method != http.MethodPost {
		return nil
	}
	form := &sentForm{Action: r.URL.Path}
	r.ParseForm() // what can be parsed of it
	for _, name := range slices.Sorted(maps.Keys(r.PostForm)) {
		for _, value := range r.PostForm[name] {
			form.Fields = append(form.Fields, field{name, labels[name], value})
		}
	}
	return form
}

// showFailure responds to a request whose session could not be loaded or stored. Errors may name
// hosts and keys, so the page says only what is of use to a visitor.
func (a *app) showFailure(w http.ResponseWriter, r *http.Request, err error) {
	var size *session.SizeError
	status, title, f := http.StatusInternalServerError, "Something went wrong", failure{}
	inFrame := r.Header.Get("Sec-Fetch-Dest") == "iframe" // which has no room for a form
	if !inFrame {
		f.Form = sent(r)
	}
	switch {
	case errors.As(err, &size):
		status, title = http.StatusRequestEntityTooLarge, "Does not fit"
		f.Text = fmt.Sprintf("The session would need a cookie of %d bytes, and at most %d are kept. "+
			"Nothing from this request was stored. Delete a note, or send less.", size.Size, size.Limit)
		f.Largest = size.Largest
	case errors.Is(err, session.ErrUnavailable):
		status, title, f.Again = http.StatusServiceUnavailable, "Back soon", f.Form == nil
		f.Text = "The server cannot reach the sessions right now. Nobody was signed out. "
		if f.Form != nil && len(f.Form.Fields) > 0 {
			f.Text += "What you sent may not have been stored. It is kept on this page."
		} else {
			f.Text += "Please try again in a moment."
		}
	default:
		log.Print(err)
		f.Text = "The session could not be loaded or stored. Nothing from this request was stored."
	}
	if inFrame {
		a.render(w, r, status, "frame.html", title, f.Text)
		return
	}
	a.render(w, r, status, "failure.html", title, f)
}

// secureHeaders allows the pages to load only what this server sends.
func secureHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; "+
			"connect-src 'self'; frame-src 'self'; frame-ancestors 'self'; form-action 'self'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// slowNetwork delays a request with ?slow=1500 by that many milliseconds, as a slow network would.
func slowNetwork(next http.Handler) http.Handler {
	const longest = 3000
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ms, err := strconv.Atoi(r.URL.Query().Get("slow")); err == nil && ms > 0 {
			pause(r, time.Duration(min(ms, longest))*time.Millisecond)
		}
		next.ServeHTTP(w, r)
	})
}

// pause waits for d. It returns early, and reports false, if the client disconnects.
func pause(r *http.Request, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-r.Context().Done():
		return false
	}
}

// serveStatic sends a file that browsers cache, with an ETag to revalidate it by.
func serveStatic(w http.ResponseWriter, r *http.Request) {
	name := path.Join("static", r.PathValue("name"))
	data, err := files.ReadFile(name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	sum := sha256.Sum256(data)
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Etag", `"`+hex.EncodeToString(sum[:8])+`"`)
	file, err := files.Open(name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer file.Close()
	http.ServeContent(w, r, name, time.Time{}, file.(io.ReadSeeker))
}
