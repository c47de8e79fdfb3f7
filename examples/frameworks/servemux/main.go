// Servemux is an application of net/http alone, with a middleware that recovers panics:
//
//	go run ./servemux
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

// page is escaped by html/template, and reads the session.
var page = session.NewTemplates(template.Must(template.New("page").Funcs(session.TemplateFuncs()).Parse(`<!doctype html>
<title>ServeMux</title>
{{ with session.Get "message" }}<p class="message">{{ . }}</p>{{ end }}
<p>{{ with session.User }}Hello {{ . }}.{{ else }}Nobody is signed in.{{ end }}</p>
<form method="post" action="/sign-in"><input name="user" value="ann"><button>Sign in</button></form>
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
	server := http.Server{Addr: *address, Handler: recovered(manager.Middleware(mux)), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// recovered answers a panic with status 500. It is outside the session middleware, so that nothing
// of a handler that panicked is stored.
func recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch v := recover(); v {
			case nil:
			case http.ErrAbortHandler:
				panic(v)
			default:
				log.Printf("panic: %v", v)
				http.Error(w, "internal error", http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}
