package sessiontest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/sessiontest"
)

// names are a program to test: it keeps a name, and shows it.
func names(t testing.TB) (*session.Manager, http.Handler) {
	m, err := session.NewManager(session.Config{Default: "memory"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	mux := http.NewServeMux()
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		session.FromRequest(r).Set("name", r.FormValue("name"))
		fmt.Fprint(w, "saved for ", r.UserAgent())
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%q", session.FromRequest(r).GetString("name"))
	})
	return m, m.Middleware(mux)
}

// The client may be used from any goroutine, such as for requests at once.
func ExampleBrowser() {
	test(func(t testing.TB) { // func TestNames(t *testing.T) {
		_, handler := names(t)
		b := sessiontest.NewBrowser(t, handler)
		response, err := b.Client.Head(b.URL + "/")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		fmt.Println(response.StatusCode)
	})
	// Output: 200
}

func ExampleBrowser_Get() {
	test(func(t testing.TB) { // func TestNames(t *testing.T) {
		_, handler := names(t)
		fmt.Println(sessiontest.NewBrowser(t, handler).Get("/").Text)
	})
	// Output: ""
}

func ExampleBrowser_Post() {
	test(func(t testing.TB) { // func TestNames(t *testing.T) {
		_, handler := names(t)
		b := sessiontest.NewBrowser(t, handler)
		b.Post("/", url.Values{"name": {"Ann"}})
		fmt.Println(b.Get("/").Text)
	})
	// Output: "Ann"
}

func ExampleBrowser_Do() {
	test(func(t testing.TB) { // func TestNames(t *testing.T) {
		_, handler := names(t)
		b := sessiontest.NewBrowser(t, handler)
		fmt.Println(b.Do("POST", "/?name=Ann", strings.NewReader(""), "User-Agent", "a robot").Text)
	})
	// Output: saved for a robot
}

func ExampleBrowser_Another() {
	test(func(t testing.TB) { // func TestNames(t *testing.T) {
		_, handler := names(t)
		ann := sessiontest.NewBrowser(t, handler)
		ben := ann.Another()
		ann.Post("/", url.Values{"name": {"Ann"}})
		fmt.Println(ann.Get("/").Text, ben.Get("/").Text)
	})
	// Output: "Ann" ""
}

func ExamplePage() {
	test(func(t testing.TB) { // func TestNames(t *testing.T) {
		_, handler := names(t)
		page := sessiontest.NewBrowser(t, handler).Get("/")
		fmt.Println(page.StatusCode, page.Header.Get("Content-Type"), page.Text)
	})
	// Output: 200 text/plain; charset=utf-8 ""
}

func ExamplePage_Cookie() {
	test(func(t testing.TB) { // func TestNames(t *testing.T) {
		_, handler := names(t)
		b := sessiontest.NewBrowser(t, handler)
		fmt.Println(b.Get("/").Cookie("s_memory") == nil)
		cookie := b.Post("/", url.Values{"name": {"Ann"}}).Cookie("s_memory")
		fmt.Println(cookie.HttpOnly, cookie.MaxAge)
	})
	// Output:
	// true
	// true 86400
}

func ExampleClock() {
	test(func(t testing.TB) { // func TestNameIsForgottenAfterADay(t *testing.T) {
		m, handler := names(t)
		clock := sessiontest.NewClock(m)
		b := sessiontest.NewBrowser(t, handler)
		b.Post("/", url.Values{"name": {"Ann"}})
		clock.Advance(24 * time.Hour)
		fmt.Println(b.Get("/").Text)
	})
	// Output: ""
}

func ExampleClock_Advance() {
	test(func(t testing.TB) { // func TestNameIsKeptByUse(t *testing.T) {
		m, handler := names(t)
		clock := sessiontest.NewClock(m)
		b := sessiontest.NewBrowser(t, handler)
		b.Post("/", url.Values{"name": {"Ann"}})
		for range 3 {
			clock.Advance(50 * time.Minute) // less than Config.IdleTimeout
			fmt.Println(b.Get("/").Text)
		}
	})
	// Output:
	// "Ann"
	// "Ann"
	// "Ann"
}

func ExampleClock_Now() {
	test(func(t testing.TB) { // func TestClock(t *testing.T) {
		m, _ := names(t)
		clock := sessiontest.NewClock(m)
		before := clock.Now()
		clock.Advance(time.Hour)
		fmt.Println(clock.Now().Sub(before))
	})
	// Output: 1h0m0s
}
