// Streaming counts the seconds of a visit in server-sent events, and stores each count at once:
//
//	go run ./examples/streaming
//
// Sign in and stream. Then sign out from another terminal:
//
//	curl -c jar -X POST http://127.0.0.1:8080/in
//	curl -b jar -N http://127.0.0.1:8080/events
//	curl -b jar -X POST http://127.0.0.1:8080/out
//
// The stream prints "data: 1", "data: 2" and so on. After the sign-out it prints "event: end" and ends.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"

	"example.com/session"
)

func main() {
	address := flag.String("address", "127.0.0.1:8080", "where to listen")
	every := flag.Duration("every", time.Second, "time between two events")
	if flag.Parse(); flag.NArg() > 0 {
		log.Fatalf("unknown argument %q: -h lists the flags", flag.Arg(0))
	}
	manager, err := session.NewManager(session.Config{Default: "memory"})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /in", func(w http.ResponseWriter, r *http.Request) { session.FromRequest(r).Login("ann") })
	mux.HandleFunc("POST /out", func(w http.ResponseWriter, r *http.Request) { session.FromRequest(r).Logout() })
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) { stream(w, r, *every) })

	log.Printf("serving http://%s (Ctrl-C ends it)", *address)
	server := http.Server{Addr: *address, Handler: manager.Middleware(mux), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

func stream(w http.ResponseWriter, r *http.Request, every time.Duration) {
	s := session.FromRequest(r)
	if _, ok := s.User(); !ok {
		http.Error(w, "sign in first", http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for range 3600 { // then the EventSource of a browser connects again
		seconds := s.Increment("seconds", 1)
		if err := s.Save(); errors.Is(err, session.ErrNoSession) { // signed out, or expired
			fmt.Fprint(w, "event: end\ndata: the session has ended\n\n")
			return
		} else if err != nil {
			log.Print(err) // the store is down: the next Save stores this change too
		}
		fmt.Fprintf(w, "data: %d\n\n", seconds)
		http.NewResponseController(w).Flush()
		select {
		case <-time.After(every):
		case <-r.Context().Done():
			return // the client has gone
		}
	}
}
