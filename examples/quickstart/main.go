// Quickstart keeps a visit counter and a flash message in a sealed cookie. It needs no database, and prints the
// address to open.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"

	"example.com/session"
)

func main() {
	address := flag.String("address", "127.0.0.1:8080", "where to listen")
	if flag.Parse(); flag.NArg() > 0 {
		log.Fatalf("unknown argument %q: -h lists the flags", flag.Arg(0))
	}
	secret := os.Getenv("SESSION_SECRET")
	if secret == "" {
		secret = session.NewSecret()
		log.Print("SESSION_SECRET is not set: using a random one, so all sessions end with this program")
	}
	manager, err := session.NewManager(session.Config{Secret: secret})
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		s := session.FromContext(r.Context())
		visits := s.Increment("visits", 1)
		if message := s.GetString("success"); message != "" {
			fmt.Fprintln(w, message)
		}
		fmt.Fprintf(w, "Visit number %d.\n", visits)
	})
	mux.HandleFunc("POST /save", func(w http.ResponseWriter, r *http.Request) {
		session.FromContext(r.Context()).Flash("success", "Saved!")
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})

	log.Printf("serving http://%s (Ctrl-C ends it)", *address)
	log.Fatal(http.ListenAndServe(*address, manager.Middleware(mux)))
}
