package session_test

import (
	"fmt"
	"html/template"
	"log"
	"net/http"
	"os"

	"example.com/session"
)

func ExampleTemplates() {
	const page = `{{ if session.User }}Hello, {{ session.User }}.{{ else }}Sign in.{{ end }}` +
		`{{ if session.Has "success" }} {{ session.Get "success" }}{{ end }}` + "\n"
	set := template.Must(template.New("page").Funcs(session.TemplateFuncs()).Parse(page)) // before Parse
	pages := session.NewTemplates(set)

	b := newExampleBrowser(session.Config{Default: "memory"})
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if err := pages.ExecuteTemplate(os.Stdout, r, "page", nil); err != nil { // w in place of os.Stdout
			log.Print(err)
		}
	})
	b.get(b.manager.Middleware(handler), "/")
	b.visit(func(s *session.Session) { s.Login("ann"); s.Flash("success", "Welcome!") })
	b.get(b.manager.Middleware(handler), "/")
	// Output:
	// Sign in.
	// Hello, ann. Welcome!
}

func ExampleTemplateFuncs() {
	set := template.New("").Funcs(session.TemplateFuncs()) // before Parse, which wants to know its functions
	template.Must(set.New("name").Parse(`{{ session.GetString "name" }}`))
	fmt.Println(set.Execute(os.Stdout, nil) != nil) // only Templates binds the function to a session
	// Output: true
}

func ExampleNewTemplates() {
	set := template.Must(template.New("").Funcs(session.TemplateFuncs()).ParseGlob("testdata/*.html"))
	pages := session.NewTemplates(set) // once, before the program serves
	http.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		if err := pages.ExecuteTemplate(w, r, "messages.html", nil); err != nil {
			http.Error(w, "Something went wrong.", http.StatusInternalServerError)
		}
	})
}

// If a template fails, nothing of the page is written.
func ExampleTemplates_ExecuteTemplate() {
	const page = `Hello, {{ .Name.First }}`
	pages := session.NewTemplates(template.Must(template.New("page").Funcs(session.TemplateFuncs()).Parse(page)))
	b := newExampleBrowser(session.Config{Default: "memory"})
	b.get(b.manager.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := pages.ExecuteTemplate(os.Stdout, r, "page", map[string]any{"Name": "Ann"})
		fmt.Println(err != nil)
	})), "/")
	// Output: true
}

// A program that clones its templates for each request binds the function itself.
func ExampleSession_TemplateFuncs() {
	const page = `Hello, {{ session.GetString "name" }}.`
	set := template.Must(template.New("page").Funcs(session.TemplateFuncs()).Parse(page))
	visits(func(s *session.Session) {
		s.Set("name", "Ann")
		clone := template.Must(set.Clone()).Funcs(s.TemplateFuncs())
		if err := clone.Execute(os.Stdout, nil); err != nil {
			log.Print(err)
		}
	})
	// Output: Hello, Ann.
}
