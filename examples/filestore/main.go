//go:build unix && !aix && !solaris

// Filestore keeps sessions in files, for one machine without a redis. It shows how to write a
// Store; The Store is in store.go.
//
//	go run ./examples/filestore -dir /tmp/sessions
//
// prints the address of a page that counts visits. The count continues in a second process with
// another -address, and after a restart.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"

	"example.com/session"
)

func main() {
	address := flag.String("address", "127.0.0.1:8080", "where to listen")
	dir := flag.String("dir", "sessions", "where the files are kept")
	if flag.Parse(); flag.NArg() > 0 {
		log.Fatalf("unknown argument %q: -h lists the flags", flag.Arg(0))
	}
	store, err := newFileStore(*dir)
	if err != nil {
		log.Fatal(err)
	}
	manager, err := session.NewManager(session.Config{
		Default: "file",
		Drivers: map[string]session.Driver{"file": session.StoreDriver(store)},
	})
	if err != nil {
		log.Fatal(err)
	}
	go sweepEvery(store, 10*time.Minute)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Visit number %d.\n", session.FromRequest(r).Increment("visits", 1))
	})
	log.Printf("serving http://%s (Ctrl-C ends it)", *address)
	log.Fatal(http.ListenAndServe(*address, manager.Middleware(mux)))
}

func sweepEvery(store *fileStore, pause time.Duration) {
	for {
		if err := store.sweep(context.Background()); err != nil {
			log.Printf("sweep: %v", err)
		}
		time.Sleep(pause)
	}
}
