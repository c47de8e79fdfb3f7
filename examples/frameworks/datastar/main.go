// Datastar is an application whose page is patched by server-sent events:
//
//	go run ./datastar
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
	"github.com/starfederation/datastar-go/datastar"
)

var page = session.NewTemplates(template.Must(template.New("page").Funcs(session.TemplateFuncs()).Parse(`<!doctype html>
<title>datastar</title>
<script type="module" src="https://cdn.jsdelivr.net/gh/starfederation/datastar@v1.0.0/bundles/datastar.js"></script>
{{ with session.Get "message" }}<p class="message">{{ . }}</p>{{ end }}
<p>{{ with session.User }}Hello {{ . }}.{{ else }}Nobody is signed in.{{ end }}</p>
<form method="post" action="/sign-in"><input name="user" value="ann"><button>Sign in</button></form>
<button data-on:click="@get('/stream')">Count</button> <span id="count">0</span>
`)))

func main() {
	address := flag.String("address", "127.0.0.1:8080", "where to listen")
	if flag.Parse(); flag.NArg() > 0 {
		log.Fatalf("unknown argument %q: -h lists the flags", flag.Arg(0))
	}
	manager, err := session.NewManager(session.Config{Default: "memory"})
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if err := page.ExecuteTemplate(w, r, "page", nil); err != nil {
			log.Print(err)
		}
	})
	mux.HandleFunc("POST /sign-in", func(w http.ResponseWriter, r *http.Request) {
		s := session.FromRequest(r)
		s.Login(r.FormValue("user")) // after the password was checked
		s.Flash("message", "You are signed in.")
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /panic", func(w http.ResponseWriter, r *http.Request) {
		session.FromRequest(r).Set("lost", true)
		panic("on purpose")
	})
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) {
		s := session.FromRequest(r)
		n := s.Increment("streamed", 1)
		events := datastar.NewSSE(w, r) // sends the header: what needs a cookie comes before it
		for ; !events.IsClosed(); n = s.Increment("streamed", 1) {
			if err := s.Save(); err != nil { // signed out elsewhere, for example
				return
			}
			if err := events.PatchElements(fmt.Sprintf(`<span id="count">%d</span>`, n)); err != nil {
				return // the client has gone
			}
			time.Sleep(50 * time.Millisecond)
		}
	})

	log.Printf("serving http://%s (Ctrl-C ends it)", *address)
	server := http.Server{Addr: *address, Handler: manager.Middleware(mux), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}
