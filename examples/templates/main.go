// Templates shows flash messages with html/template. The handler of a form stores a message and
// redirects, and a partial that uses only the function "session" shows the message once.
//
//	go run ./examples/templates
//
// prints the address to open.
package main

import (
	"embed"
	"flag"
	"html/template"
	"log"
	"net/http"

	"example.com/session"
)

//go:embed *.html
var files embed.FS

func main() {
	address := flag.String("address", "127.0.0.1:8080", "where to listen")
	if flag.Parse(); flag.NArg() > 0 {
		log.Fatalf("unknown argument %q: -h lists the flags", flag.Arg(0))
	}
	manager, err := session.NewManager(session.Config{Default: "memory"})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()

	// Parsing needs the function "session". Templates binds it to the session of each request.
	set := template.Must(template.New("").Funcs(session.TemplateFuncs()).ParseFS(files, "*.html"))
	pages := session.NewTemplates(set)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if err := pages.ExecuteTemplate(w, r, "page.html", nil); err != nil {
			log.Print(err)
			http.Error(w, "the page could not be rendered", http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("POST /flash/{kind}", func(w http.ResponseWriter, r *http.Request) {
		switch kind := r.PathValue("kind"); kind {
		case "success", "warning", "danger":
			session.FromRequest(r).Flash(kind, "This is a "+kind+" message. Reload, and it is gone.")
			http.Redirect(w, r, "/", http.StatusSeeOther)
		default:
			http.NotFound(w, r)
		}
	})

	log.Printf("serving http://%s (Ctrl-C ends it)", *address)
	log.Fatal(http.ListenAndServe(*address, manager.Middleware(mux)))
}
