// Metrics logs and counts the events of sessions, and publishes these counts together with the
// counters of the manager:
//
//	go run ./examples/metrics
//	curl -c jar -X POST 'http://127.0.0.1:8080/sign-in?name=ann'
//	curl -b jar -c jar -X POST http://127.0.0.1:8080/sign-out
//	curl http://127.0.0.1:8080/debug/vars
//
// logs the events created, login and ended, and prints the count of each. Events hold no token.
package main

import (
	"context"
	"expvar"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net/http"

	"example.com/session"
)

func main() {
	address := flag.String("address", "127.0.0.1:8080", "where to listen")
	if flag.Parse(); flag.NArg() > 0 {
		log.Fatalf("unknown argument %q: -h lists the flags", flag.Arg(0))
	}
	events := expvar.NewMap("session_events")
	manager, err := session.NewManager(session.Config{
		Default: "memory",
		Events:  func(ctx context.Context, e session.Event) { watch(ctx, e, events) },
	})
	if err != nil {
		log.Fatal(err)
	}
	expvar.Publish("session", expvar.Func(func() any { return manager.Stats() }))

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if user, ok := session.FromRequest(r).User(); ok {
			fmt.Fprintf(w, "Signed in as %q.\n", user)
			return
		}
		fmt.Fprintln(w, "Nobody is signed in.")
	})
	mux.HandleFunc("POST /sign-in", func(w http.ResponseWriter, r *http.Request) {
		session.FromRequest(r).Login(r.FormValue("name")) // a real one checks a password
	})
	mux.HandleFunc("POST /sign-out", func(w http.ResponseWriter, r *http.Request) {
		session.FromRequest(r).Logout()
	})
	mux.Handle("GET /debug/vars", expvar.Handler()) // a real one is for administrators only
	log.Printf("serving http://%s (Ctrl-C ends it)", *address)
	log.Fatal(http.ListenAndServe(*address, manager.Middleware(mux)))
}

// watch runs in the goroutine of a request, so it must be fast. ctx is the context of the request.
func watch(ctx context.Context, e session.Event, events *expvar.Map) {
	events.Add(string(e.Kind), 1)
	level := slog.LevelInfo
	switch e.Kind {
	case session.EventTampered, session.EventUnavailable:
		level = slog.LevelWarn
	}
	slog.LogAttrs(ctx, level, "session", e.Attrs()...)
}
