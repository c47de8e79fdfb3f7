// Shop is an application with accounts: sign-up, "keep me signed in", a list of devices, a cart that
// parallel requests add to, an upload whose progress is streamed, a JSON API and an htmx page.
//
//	go run ./examples/shop
//
// prints the address to open. Users and sessions are kept in memory, and end with the process.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"example.com/session"
)

func main() {
	address := flag.String("address", "127.0.0.1:8080", "where to listen")
	if flag.Parse(); flag.NArg() > 0 {
		log.Fatalf("unknown argument %q: -h lists the flags", flag.Arg(0))
	}
	manager, err := session.NewManager(config())
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	server := &http.Server{
		Addr:              *address,
		Handler:           newShop(manager, newUsers(passwordRounds)),
		ReadHeaderTimeout: 10 * time.Second,
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	log.Printf("serving http://%s (Ctrl-C ends it)", *address)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	if err := manager.Close(); err != nil {
		log.Fatal(err)
	}
}

// config keeps sessions in memory. The page that watches an upload asks without the user, so its
// requests do not count as activity.
func config() session.Config {
	return session.Config{
		Default:      "memory",
		IdleTimeout:  2 * time.Hour,
		LockAfter:    30 * time.Minute,
		MaxPerUser:   10,
		Passive:      func(r *http.Request) bool { return r.URL.Path == "/upload/progress" },
		ErrorHandler: sessionFailed,
		Events: func(ctx context.Context, e session.Event) {
			slog.LogAttrs(ctx, slog.LevelInfo, "session", e.Attrs()...)
		},
	}
}

// sessionFailed answers a request whose session could not be loaded or stored.
func sessionFailed(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusInternalServerError
	if errors.Is(err, session.ErrUnavailable) {
		status = http.StatusServiceUnavailable
	}
	slog.ErrorContext(r.Context(), "the session failed", "path", r.URL.Path, "error", err)
	if strings.HasPrefix(r.URL.Path, "/api/") {
		writeJSON(w, status, map[string]string{"error": "please try again"})
		return
	}
	http.Error(w, "Please try again in a moment.", status)
}
