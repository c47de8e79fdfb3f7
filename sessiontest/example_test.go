package sessiontest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

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

func ExampleNewBrowser() {
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

		ann := sessiontest.NewBrowser(t, m.Middleware(mux))
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

func ExampleSignedIn() {
	account := func(w http.ResponseWriter, r *http.Request) {
		user, _ := session.FromRequest(r).User()
		fmt.Fprintf(w, "Hello, %s.", user)
	}
	test(func(t testing.TB) { // func TestAccount(t *testing.T) {
		ctx := sessiontest.SignedIn(t, "ann", nil)
		w := httptest.NewRecorder()
		account(w, httptest.NewRequest("GET", "/account", nil).WithContext(ctx))
		fmt.Println(w.Body)
	})
	// Output: Hello, ann.
}

func ExampleBrowser_SignIn() {
	test(func(t testing.TB) { // func TestAccountPage(t *testing.T) {
		m, err := session.NewManager(session.Config{Default: "memory"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		account := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user, _ := session.FromRequest(r).User()
			fmt.Fprintf(w, "Hello, %s.", user)
		})
		b := sessiontest.NewBrowser(t, m.RequireUser(account, http.NotFoundHandler()))
		fmt.Println(b.Get("/account").StatusCode)
		b.SignIn(m, "ann")
		fmt.Println(b.Get("/account").Text)
	})
	// Output:
	// 404
	// Hello, ann.
}

func ExampleNewClock() {
	test(func(t testing.TB) { // func TestSessionEndsAfterAnHourWithoutUse(t *testing.T) {
		m, err := session.NewManager(session.Config{Default: "memory"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		clock := sessiontest.NewClock(m)
		whoami := func(w http.ResponseWriter, r *http.Request) {
			user, ok := session.FromRequest(r).User()
			fmt.Fprint(w, user, ok)
		}
		b := sessiontest.NewBrowser(t, m.Middleware(http.HandlerFunc(whoami)))
		b.SignIn(m, "ann")
		clock.Advance(59 * time.Minute)
		fmt.Println(b.Get("/").Text)
		clock.Advance(time.Hour)
		fmt.Println(b.Get("/").Text)
	})
	// Output:
	// anntrue
	// false
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
