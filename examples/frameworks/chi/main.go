// Chi is an application on chi's router, with the middleware that its documentation proposes:
//
//	go run ./chi
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
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

var page = session.NewTemplates(template.Must(template.New("page").Funcs(session.TemplateFuncs()).Parse(`<!doctype html>
<title>chi</title>
{{ with session.Get "message" }}<p class="message">{{ . }}</p>{{ end }}
<p>{{ with session.User }}Hello {{ . }}.{{ else }}Nobody is signed in.{{ end }}</p>
<form method="post" action="/sign-in"><input name="user" value="ann"><button>Sign in</button></form>
`)))

func main() {
	address := flag.String("address", "127.0.0.1:8080", "where to listen")
	timeout := flag.Duration("timeout", 10*time.Second, "how long a handler may take")
	if flag.Parse(); flag.NArg() > 0 {
		log.Fatalf("unknown argument %q: -h lists the flags", flag.Arg(0))
	}
	manager, err := session.NewManager(session.Config{Default: "memory"})
	if err != nil {
		log.Fatal(err)
	}

	r := chi.NewRouter()
	r.Use(middleware.RequestID)
	r.Use(middleware.ClientIPFromRemoteAddr) // behind a proxy one of its siblings; RealIP believes everybody
	r.Use(middleware.Logger)
	r.Use(middleware.Recoverer)
	r.Use(middleware.Timeout(*timeout))
	r.Use(manager.Middleware)
	r.Use(middleware.Compress(5)) // inside: it adds to Vary, which then stays one line

	r.Get("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8") // Compress goes by it
		if err := page.ExecuteTemplate(w, r, "page", nil); err != nil {
			log.Print(err)
		}
	})
	r.Post("/sign-in", func(w http.ResponseWriter, r *http.Request) {
		s := session.FromRequest(r)
		s.Login(r.FormValue("user")) // after the password was checked
		s.Flash("message", "You are signed in.")
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	r.Get("/panic", func(w http.ResponseWriter, r *http.Request) {
		session.FromRequest(r).Set("lost", true)
		panic("on purpose")
	})
	r.Get("/slow", func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done() // Timeout answers
	})
	r.Get("/stream", func(w http.ResponseWriter, r *http.Request) {
		s := session.FromRequest(r)
		w.Header().Set("Content-Type", "text/plain")
		for r.Context().Err() == nil { // until the client has gone
			n := s.Increment("streamed", 1)
			if err := s.Save(); err != nil { // stored before the client sees it
				return
			}
			fmt.Fprintf(w, "%d\n", n)
			http.NewResponseController(w).Flush()
			time.Sleep(50 * time.Millisecond)
		}
	})

	log.Printf("serving http://%s (Ctrl-C ends it)", *address)
	server := http.Server{Addr: *address, Handler: r, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}
