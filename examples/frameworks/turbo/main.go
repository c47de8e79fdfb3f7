// Turbo is an application whose pages Turbo fetches: visits, frames, a form that fails with status
// 422, and links that Turbo prefetches when the mouse is over them.
//
//	go run ./turbo
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

{{ define "frame" }}<turbo-frame id="frame">{{ template "message" }}
<a id="in-frame" href="/frame">A frame with the message</a></turbo-frame>{{ end }}

{{ define "page" }}<!doctype html>
<title>Turbo</title>
<link rel="icon" href="data:,">
<script type="module" src="{{ .Turbo }}"></script>
<body>
{{ if .Shell }}<turbo-frame id="frame" src="/frame"></turbo-frame>{{ else if not .Prefetch }}{{ template "message" }}{{ end }}
<h1>{{ .Path }}</h1>
<p>{{ with session.User }}Hello {{ . }}.{{ else }}Nobody is signed in.{{ end }}</p>
<a id="home" href="/">home</a>
<a id="other" href="/other">other</a>
<form method="post" action="/sign-in"><input name="user" value="ann"><button>Sign in</button></form>
<form method="post" action="/quiet"><button id="quiet">A message for later</button></form>
{{ if not .Shell }}<turbo-frame id="frame"><a id="in-frame" href="/frame">A frame with the message</a></turbo-frame>{{ end }}
</body>{{ end }}
`)))

var (
	address = flag.String("address", "127.0.0.1:8080", "where to listen")
	turbo   = flag.String("turbo", "https://cdn.jsdelivr.net/npm/@hotwired/turbo@8.0.23/dist/turbo.es2017-esm.js", "URL of the Turbo module")
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
		if r.FormValue("user") == "" {
			s.FlashNow("message", "Say who you are.") // for this response only
			w.WriteHeader(http.StatusUnprocessableEntity)
			page(w, r)
			return
		}
		s.Login(r.FormValue("user")) // after the password was checked
		s.Flash("message", "You are signed in.")
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	mux.HandleFunc("POST /quiet", func(w http.ResponseWriter, r *http.Request) {
		session.FromRequest(r).Flash("message", "Done meanwhile.")
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /frame", func(w http.ResponseWriter, r *http.Request) { render(w, r, "frame", nil) })
	mux.HandleFunc("GET /shell", func(w http.ResponseWriter, r *http.Request) {
		session.FromRequest(r).Reflash() // the page does not show the message: its frame will
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
		"Path": r.URL.Path, "Shell": r.URL.Path == "/shell", "Turbo": *turbo,
		// Turbo shows what it has prefetched and does not ask again, so the server would show the message twice.
		"Prefetch": r.Header.Get("X-Sec-Purpose") == "prefetch",
	})
}

func render(w http.ResponseWriter, r *http.Request, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8") // Turbo takes nothing else; a frame is not recognized
	if err := pages.ExecuteTemplate(w, r, name, data); err != nil {
		log.Print(err)
	}
}

// stream sends Turbo Streams as server-sent events, for a turbo-stream-source element.
func stream(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	w.Header().Set("Content-Type", "text/event-stream")
	for r.Context().Err() == nil { // until the client has gone
		n := s.Increment("streamed", 1)
		if err := s.Save(); err != nil { // stored before the client sees it
			return
		}
		fmt.Fprintf(w, "data: <turbo-stream action=\"update\" target=\"count\"><template>%d</template></turbo-stream>\n\n", n)
		http.NewResponseController(w).Flush()
		time.Sleep(50 * time.Millisecond)
	}
}
