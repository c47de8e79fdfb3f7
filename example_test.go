package session_test

import (
	"context"
	"errors"
	"expvar"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"time"

	"example.com/session"
)

// An exampleBrowser keeps the cookies that it gets. The examples use it in place of a real one.
type exampleBrowser struct {
	jar     *cookiejar.Jar
	manager *session.Manager
}

// newExampleBrowser returns a browser of a new manager. The manager is not closed: it ends with the
// process.
func newExampleBrowser(cfg session.Config) *exampleBrowser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	manager, err := session.NewManager(cfg)
	if err != nil {
		log.Fatal(err)
	}
	return &exampleBrowser{jar, manager}
}

// get requests a path of a handler.
func (b *exampleBrowser) get(h http.Handler, path string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, "https://example.com"+path, nil)
	for _, cookie := range b.jar.Cookies(r.URL) {
		r.AddCookie(cookie)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	b.jar.SetCookies(r.URL, w.Result().Cookies())
	return w.Result()
}

// visit requests a page whose handler does something with the session of the request.
func (b *exampleBrowser) visit(handler func(s *session.Session)) *http.Response {
	return b.get(b.manager.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		handler(session.FromRequest(r))
	})), "/")
}

// visits requests one page after the other, with sessions in memory.
func visits(handlers ...func(s *session.Session)) {
	b := newExampleBrowser(session.Config{Default: "memory"})
	for _, handler := range handlers {
		b.visit(handler)
	}
}

// A visit counter whose sessions are kept in the browser, encrypted.
func Example() {
	manager, err := session.NewManager(session.Config{Secret: session.NewSecret()})
	if err != nil {
		log.Fatal(err)
	}
	handler := manager.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := session.FromContext(r.Context())
		fmt.Fprintf(w, "Visit number %d.", s.Increment("visits", 1))
	}))

	r := httptest.NewRequest(http.MethodGet, "https://example.com/", nil)
	for range 2 {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Body)
		for _, cookie := range w.Result().Cookies() { // as a browser does
			r.AddCookie(cookie)
		}
	}
	// Output:
	// Visit number 1.
	// Visit number 2.
}

// NewManager reports all errors of a configuration together.
func ExampleNewManager() {
	_, err := session.NewManager(session.Config{Default: "memory", Lifetime: -time.Hour, StoreTimeout: -1})
	fmt.Println(err)

	manager, err := session.NewManager(session.Config{Default: "memory"})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()
	// Output:
	// session: Config.Lifetime: -1h0m0s is negative: leave it 0 for the default
	// session: Config.StoreTimeout: -1ns is negative: leave it 0 for the default
}

func ExampleNewSecret() {
	secret := os.Getenv("SESSION_SECRET")
	if secret == "" {
		secret = session.NewSecret() // the sessions end with this process
	}
	fmt.Println(len(session.NewSecret()), "characters")
	_ = session.Config{Secret: secret}
	// Output: 43 characters
}

// A program makes one manager, and closes it when it ends.
func ExampleManager() {
	manager, err := session.NewManager(session.Config{Default: "memory"})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()
	mux := http.NewServeMux()
	mux.Handle("/", manager.Middleware(http.NotFoundHandler()))
	mux.Handle("/account", manager.RequireUser(http.NotFoundHandler(), http.RedirectHandler("/", http.StatusSeeOther)))
	fmt.Println(manager.Stats().Loads)
	// Output: 0
}

func ExampleManager_Middleware() {
	manager, err := session.NewManager(session.Config{Default: "memory"})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /name", func(w http.ResponseWriter, r *http.Request) {
		session.FromRequest(r).Set("name", r.PostFormValue("name"))
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	_ = http.Server{
		Addr:    "127.0.0.1:8080",
		Handler: http.NewCrossOriginProtection().Handler(manager.Middleware(mux)),
	}
}

func ExampleFromContext() {
	greet := func(ctx context.Context) string {
		return "Hello, " + session.FromContext(ctx).GetString("name")
	}
	b := newExampleBrowser(session.Config{Default: "memory"})
	b.visit(func(s *session.Session) { s.Set("name", "Ann") })
	b.get(b.manager.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(greet(r.Context()))
	})), "/")
	// Output: Hello, Ann
}

func ExampleFromRequest() {
	handler := func(w http.ResponseWriter, r *http.Request) {
		s := session.FromRequest(r)
		fmt.Println(s.IsNew())
	}
	b := newExampleBrowser(session.Config{Default: "memory"})
	b.get(b.manager.Middleware(http.HandlerFunc(handler)), "/")
	// Output: true
}

// A function that is also called outside of requests.
func ExampleLookup() {
	language := func(ctx context.Context) string {
		if s, ok := session.Lookup(ctx); ok && s.Has("language") {
			return s.GetString("language")
		}
		return "en"
	}
	fmt.Println(language(context.Background()))
	// Output: en
}

// nested are two managers: one for the whole site, and one for its administration.
func nested() (site, admin *session.Manager) {
	site, err := session.NewManager(session.Config{Default: "memory"})
	if err != nil {
		log.Fatal(err)
	}
	admin, err = session.NewManager(session.Config{
		Default: "memory", CookieAttributes: session.CookieAttributes{Prefix: "admin_", Path: "/admin"},
	})
	if err != nil {
		log.Fatal(err)
	}
	return site, admin
}

// The innermost manager's session is the one that the function FromContext returns.
func ExampleManager_FromContext() {
	site, admin := nested()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site.FromContext(r.Context()).Set("theme", "dark")
		session.FromContext(r.Context()).Set("page", "users") // that of admin
	})
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "https://example.com/admin", nil)
	site.Middleware(admin.Middleware(handler)).ServeHTTP(w, r)
	for _, cookie := range w.Result().Cookies() {
		fmt.Println(cookie.Name, cookie.Path)
	}
	// Unordered output:
	// s_memory /
	// admin_memory /admin
}

func ExampleManager_Lookup() {
	site, admin := nested()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, ok := admin.Lookup(r.Context())
		fmt.Println("is below the middleware of admin:", ok)
	})
	r := httptest.NewRequest(http.MethodGet, "https://example.com/", nil)
	site.Middleware(handler).ServeHTTP(httptest.NewRecorder(), r)
	// Output: is below the middleware of admin: false
}

func ExampleManager_Ping() {
	manager, err := session.NewManager(session.Config{Default: "redis"})
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		if err := manager.Ping(ctx); err != nil {
			slog.ErrorContext(ctx, "not healthy", "error", err)
			http.Error(w, "not healthy", http.StatusServiceUnavailable)
		}
	})
}

func ExampleManager_Stats() {
	b := newExampleBrowser(session.Config{Default: "memory"})
	b.visit(func(s *session.Session) { s.Set("name", "Ann") })
	b.visit(func(s *session.Session) { s.Destroy() })
	stats := b.manager.Stats()
	fmt.Println(stats.Saves, stats.Ended, stats.Sessions)
	// Output: 1 1 0
}

// The counters are published at /debug/vars.
func ExampleStats() {
	manager, err := session.NewManager(session.Config{Default: "memory"})
	if err != nil {
		log.Fatal(err)
	}
	expvar.Publish("session", expvar.Func(func() any { return manager.Stats() }))
}

// The share of loads from redis that took at most 10 ms.
func ExampleHistogram() {
	share := func(h session.Histogram, limit time.Duration) float64 {
		var within, all uint64
		for i, n := range h.Counts {
			if all += n; i < len(h.Bounds) && h.Bounds[i] <= limit {
				within += n
			}
		}
		return float64(within) / float64(max(all, 1))
	}
	manager, err := session.NewManager(session.Config{Default: "redis"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(share(manager.Stats().Drivers["redis"].LoadTimes, 10*time.Millisecond))
	// Output: 0
}

func ExampleManager_Close() {
	b := newExampleBrowser(session.Config{Default: "memory"})
	if err := b.manager.Close(); err != nil {
		log.Fatal(err)
	}
	b.visit(func(s *session.Session) {
		err := s.Open()
		fmt.Println(errors.Is(err, session.ErrClosed), errors.Is(err, session.ErrUnavailable))
	})
	// Output: true true
}
