// Htmx is an application whose pages htmx fetches: boosted links and forms, a fragment, HX-Redirect,
// a preload. It works with htmx 2 and 4.
//
//	go run ./htmx
//
// prints the address to open.
package main

import (
	"flag"
	"fmt"
	"html/template"
	"log"
	"net/http"
	"time"

	"example.com/session"
)

var pages = session.NewTemplates(template.Must(template.New("").Funcs(session.TemplateFuncs()).Parse(`
{{ define "message" }}{{ with session.Get "message" }}<p class="message">{{ . }}</p>{{ end }}{{ end }}

{{ define "page" }}<!doctype html>
<title>htmx</title>
<link rel="icon" href="data:,">
<script src="{{ .Htmx }}"></script>
<script src="{{ .Preload }}"></script>
<body hx-ext="preload">
{{ if .Shell }}<div hx-get="/message" hx-trigger="load"></div>{{ else }}{{ template "message" }}{{ end }}
<h1>{{ .Path }}</h1>
<p>{{ with session.User }}Hello {{ . }}.{{ else }}Nobody is signed in.{{ end }}</p>
<a id="home" hx-boost="true" href="/">home</a>
<a id="other" hx-boost="true" preload="mouseover" hx-preload="mouseover" href="/other">other</a>
<form method="post" action="/sign-in" hx-boost="true">
	<input name="user" value="ann"><button>Sign in</button></form>
<button id="redirect" hx-post="/redirect">HX-Redirect</button>
<button id="quiet" hx-post="/quiet" hx-swap="none">A message for later</button>
<button id="fragment" hx-get="/message" hx-target="#here">A fragment with the message</button>
<div id="here"></div>
</body>{{ end }}
`)))

var (
	address = flag.String("address", "127.0.0.1:8080", "where to listen")
	htmx    = flag.String("htmx", "https://cdn.jsdelivr.net/npm/htmx.org@4.0.1/dist/htmx.min.js", "URL of htmx")
	preload = flag.String("preload", "https://cdn.jsdelivr.net/npm/htmx.org@4.0.1/dist/ext/hx-preload.min.js", "URL of its preload extension")
)

func main() {
	if flag.Parse(); flag.NArg() > 0 {
		log.Fatalf("unknown argument %q: -h lists the flags", flag.Arg(0))
	}
	manager, err := session.NewManager(session.Config{Default: "memory"})
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", page)
	mux.HandleFunc("GET /other", page)
	mux.HandleFunc("POST /sign-in", func(w http.ResponseWriter, r *http.Request) {
		s := session.FromRequest(r)
		s.Login(r.FormValue("user")) // after the password was checked
		s.Flash("message", "You are signed in.")
		http.Redirect(w, r, "/", http.StatusSeeOther) // htmx follows it with the headers of a boosted request
	})
	mux.HandleFunc("POST /redirect", func(w http.ResponseWriter, r *http.Request) {
		session.FromRequest(r).Flash("message", "You were redirected.")
		w.Header().Set("HX-Redirect", "/other") // the browser goes there
	})
	mux.HandleFunc("POST /quiet", func(w http.ResponseWriter, r *http.Request) {
		session.FromRequest(r).Flash("message", "Done meanwhile.")
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /message", func(w http.ResponseWriter, r *http.Request) { render(w, r, "message", nil) })
	mux.HandleFunc("GET /shell", func(w http.ResponseWriter, r *http.Request) {
		session.FromRequest(r).Reflash() // the page does not show the message: its fragment will
		page(w, r)
	})
	mux.HandleFunc("GET /panic", func(w http.ResponseWriter, r *http.Request) {
		session.FromRequest(r).Set("lost", true)
		panic("on purpose")
	})
	mux.HandleFunc("GET /stream", stream)

	log.Printf("serving http://%s (Ctrl-C ends it)", *address)
	server := http.Server{Addr: *address, Handler: manager.Middleware(mux), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

func page(w http.ResponseWriter, r *http.Request) {
	render(w, r, "page", map[string]any{
		"Path": r.URL.Path, "Shell": r.URL.Path == "/shell", "Htmx": *htmx, "Preload": *preload,
	})
}

func render(w http.ResponseWriter, r *http.Request, name string, data any) {
	w.Header().Set("Vary", "HX-Request") // the fragment is not the page
	if err := pages.ExecuteTemplate(w, r, name, data); err != nil {
		log.Print(err)
	}
}

// stream sends fragments as server-sent events, for htmx's extension for them.
func stream(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	w.Header().Set("Content-Type", "text/event-stream")
	for r.Context().Err() == nil { // until the client has gone
		n := s.Increment("streamed", 1)
		if err := s.Save(); err != nil { // stored before the client sees it
			return
		}
		fmt.Fprintf(w, "data: <span>%d</span>\n\n", n)
		http.NewResponseController(w).Flush()
		time.Sleep(50 * time.Millisecond)
	}
}
