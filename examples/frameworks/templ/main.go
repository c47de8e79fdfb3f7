// Templ is an application whose pages are templ components. The components read the session:
//
//	go run ./templ
//
// prints the address to open. This command generates page_templ.go from page.templ:
//
//	go run github.com/a-h/templ/cmd/templ@v0.3.1001 generate
package main

import (
	"flag"
	"log"
	"net/http"
	"time"

	"example.com/session"
	"github.com/a-h/templ"
)

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
	mux.Handle("GET /{$}", templ.Handler(page()))
	mux.HandleFunc("POST /sign-in", func(w http.ResponseWriter, r *http.Request) {
		s := session.FromRequest(r)
		s.Login(r.FormValue("user")) // after the password was checked
		s.Flash("message", "You are signed in.")
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	mux.Handle("GET /panic", templ.Handler(panics()))
	mux.Handle("GET /stream", templ.Handler(stream(), templ.WithStreaming()))

	log.Printf("serving http://%s (Ctrl-C ends it)", *address)
	server := http.Server{Addr: *address, Handler: manager.Middleware(mux), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}
