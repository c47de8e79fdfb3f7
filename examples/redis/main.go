// Redis shares sessions between processes. Start two of them with one redis:
//
//	redis-server --port 6379 &
//	go run ./examples/redis -address 127.0.0.1:8081 &
//	go run ./examples/redis -address 127.0.0.1:8082
//
// Both count the visits of a browser together. GET /theme?set=dark stores a value with the cookie
// driver, which needs the same SESSION_SECRET in both.
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
	address := flag.String("address", "127.0.0.1:8081", "where to listen")
	port := flag.Int("redis-port", 6379, "the port of redis on this machine")
	if flag.Parse(); flag.NArg() > 0 {
		log.Fatalf("unknown argument %q: -h lists the flags", flag.Arg(0))
	}
	secret := os.Getenv("SESSION_SECRET")
	if secret == "" {
		secret = session.NewSecret()
		log.Print("SESSION_SECRET is not set: another process cannot read the cookie of /theme")
	}
	manager, err := session.NewManager(session.Config{
		Default: "redis",
		Secret:  secret,
		Redis:   session.RedisConfig{Port: *port, Namespace: "example"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "visit %d, served by %s\n", session.FromRequest(r).Increment("visits", 1), *address)
	})
	mux.HandleFunc("GET /theme", func(w http.ResponseWriter, r *http.Request) {
		s, err := session.FromRequest(r).Using("cookie")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if theme := r.FormValue("set"); theme != "" {
			s.Set("theme", theme)
		}
		fmt.Fprintf(w, "theme %q\n", s.GetString("theme"))
	})

	log.Printf("serving http://%s (Ctrl-C ends it)", *address)
	log.Fatal(http.ListenAndServe(*address, manager.Middleware(mux)))
}
