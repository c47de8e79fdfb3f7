package sessiontest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"example.com/session"
	"example.com/session/sessiontest"
)

func ExampleContext() {
	greet := func(w http.ResponseWriter, r *http.Request) {
		s := session.FromRequest(r)
		s.Flash("success", "Welcome, "+s.GetString("name"))
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
	test(func(t testing.TB) { // func TestGreet(t *testing.T) {
		ctx := sessiontest.Context(t, map[string]any{"name": "Ann"})
		greet(httptest.NewRecorder(), httptest.NewRequest("POST", "/greet", nil).WithContext(ctx))
		fmt.Println(session.FromContext(ctx).Get("success"))
	})
	// Output: Welcome, Ann
}

func ExampleClient() {
	test(func(t testing.TB) { // func TestNotes(t *testing.T) {
		m, err := session.NewManager(session.Config{Default: "memory"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		mux := http.NewServeMux()
		mux.HandleFunc("POST /notes", func(w http.ResponseWriter, r *http.Request) {
			session.FromRequest(r).Set("note", r.FormValue("text"))
			http.Redirect(w, r, "/notes", http.StatusSeeOther)
		})
		mux.HandleFunc("GET /notes", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, session.FromRequest(r).Get("note"))
		})

		ann := sessiontest.Client(t, m.Middleware(mux))
		page := ann.Post("/notes", url.Values{"text": {"Call Ben"}})
		fmt.Println(page.StatusCode, page.Header.Get("Location"))
		fmt.Println(ann.Get("/notes").Text)
		fmt.Println(ann.Another().Get("/notes").Text)
	})
	// Output:
	// 303 /notes
	// Call Ben
	// <nil>
}

// test runs a test in an example, where there is no testing.T.
func test(run func(t testing.TB)) {
	t := &recordedTest{}
	defer t.end()
	run(t)
	for _, failure := range t.failures {
		fmt.Println(failure)
	}
}
