// Sqlstore keeps sessions in a database, here SQLite: one file, several processes of one machine.
// It shows how to write a Store that compares and swaps; store.go has all of it. Its SQL is nearly
// that of every database.
//
//	cd examples/sqlstore
//	go run . -database /tmp/sessions.db
//
// prints the address to open, which counts visits.
package main

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"time"

	"example.com/session"
	_ "github.com/mattn/go-sqlite3"
)

func main() {
	address := flag.String("address", "127.0.0.1:8080", "where to listen")
	file := flag.String("database", "sessions.db", "the file of the database")
	flag.Parse()
	store, err := openSQLite(*file)
	if err != nil {
		log.Fatal(err)
	}
	manager, err := session.NewManager(session.Config{
		Default: "sql",
		Drivers: map[string]session.Driver{"sql": session.StoreDriver(store)},
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

// openSQLite opens a file. Readers do not wait for writers, and a writer waits for another one
// rather than fail.
func openSQLite(file string) (*sqlStore, error) {
	name := url.URL{Scheme: "file", Opaque: url.PathEscape(file), RawQuery: "_journal_mode=WAL&_busy_timeout=5000&_synchronous=NORMAL"}
	db, err := sql.Open("sqlite3", name.String())
	if err != nil {
		return nil, err
	}
	return newSQLStore(context.Background(), db)
}

func sweepEvery(store *sqlStore, pause time.Duration) {
	for {
		if err := store.sweep(context.Background()); err != nil {
			log.Printf("sweep: %v", err)
		}
		time.Sleep(pause)
	}
}
