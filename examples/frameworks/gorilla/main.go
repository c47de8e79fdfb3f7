// Gorilla serves a page and a WebSocket by gorilla/websocket:
//
//	go run ./gorilla
//
// prints the address to open.
package main

import (
	"flag"
	"html/template"
	"log"
	"net/http"
	"strconv"
	"time"

	"example.com/session"
	"github.com/gorilla/websocket"
)

var page = session.NewTemplates(template.Must(template.New("page").Funcs(session.TemplateFuncs()).Parse(`<!doctype html>
<title>WebSocket</title>
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
	mux.HandleFunc("GET /stream", stream)

	log.Printf("serving http://%s (Ctrl-C ends it)", *address)
	server := http.Server{Addr: *address, Handler: manager.Middleware(mux), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// stream answers each message with a count that the session keeps. gorilla takes the connection over
// before it writes a header, so no cookie can be set: a session that does not exist by then cannot
// begin.
func stream(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	if _, ok := s.User(); !ok {
		http.Error(w, "sign in first", http.StatusUnauthorized)
		return
	}
	conn, err := new(websocket.Upgrader).Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	defer conn.Close()
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			return
		}
		n := s.Increment("streamed", 1)
		if err := s.Save(); err != nil { // ErrNoSession after a sign-out elsewhere
			return
		}
		if err := conn.WriteMessage(websocket.TextMessage, strconv.AppendInt(nil, int64(n), 10)); err != nil {
			return
		}
	}
}
