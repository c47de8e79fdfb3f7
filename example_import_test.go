package session_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"example.com/session"
)

// Sessions move from cookies to another driver, here memory. Each session moves when it is next
// changed.
func ExampleFromDriver() {
	cfg := session.Config{Default: "cookie", Secret: session.NewSecret()}
	before, _ := session.NewManager(cfg)
	signIn := before.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		session.FromContext(r.Context()).Login("ann")
	}))

	cfg.Default = "memory"
	cfg.Import, cfg.ImportUntil = session.FromDriver("cookie"), time.Now().Add(30*24*time.Hour)
	after, _ := session.NewManager(cfg)
	page := after.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s := session.FromContext(r.Context())
		s.Increment("visits", 1)
		fmt.Println(s.User())
	}))

	w := httptest.NewRecorder()
	signIn.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, c := range w.Result().Cookies() {
		r.AddCookie(c)
	}
	page.ServeHTTP(httptest.NewRecorder(), r)
	fmt.Println(after.Stats().Imported)
	// Output:
	// ann true
	// 1
}

// homemade imports the sessions of an application that kept them by itself, in a map.
type homemade struct {
	mu    sync.Mutex
	users map[string]string // by the value of a cookie
}

func (h *homemade) Find(r *http.Request) (*session.OldCookie, error) {
	c, err := r.Cookie("sid")
	if err != nil {
		return nil, nil // none came
	}
	return &session.OldCookie{ID: c.Value, Expire: []*http.Cookie{{Name: "sid", Path: "/"}}}, nil
}

func (h *homemade) Load(_ context.Context, c *session.OldCookie) (*session.OldSession, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	user, found := h.users[c.ID]
	if !found {
		return nil, nil
	}
	return &session.OldSession{User: user, Values: map[string]any{"from": "before"}}, nil
}

func (h *homemade) Remove(_ context.Context, c *session.OldCookie) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.users, c.ID)
	return nil
}

func ExampleImporter() {
	old := &homemade{users: map[string]string{"7Yx...": "ann"}}
	manager, _ := session.NewManager(session.Config{
		Default: "memory", Secret: session.NewSecret(), Import: old, ImportUntil: time.Now().Add(30 * 24 * time.Hour),
	})
	page := manager.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s := session.FromContext(r.Context())
		user, _ := s.User()
		fmt.Println(user, s.GetString("from"))
		s.Set("seen", true) // the first change moves the session
	}))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(&http.Cookie{Name: "sid", Value: "7Yx..."})
	w := httptest.NewRecorder()
	page.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		fmt.Println(c.Name, c.MaxAge < 0)
	}
	fmt.Println(len(old.users))
	// Output:
	// ann before
	// s_memory false
	// sid true
	// 0
}

// An OldCookie may open a session, so it is printed without its content.
func ExampleOldCookie() {
	c := &session.OldCookie{ID: "7Yx...", Expire: []*http.Cookie{{Name: "sid", Path: "/"}}}
	fmt.Printf("%+v\n", c)
	// Output: old session (redacted)
}

// A user who was remembered for thirty days, twenty of which are left.
func ExampleOldSession() {
	signedIn := time.Now().Add(-10 * 24 * time.Hour)
	old := session.OldSession{
		User: "ann", SignedInAt: signedIn, CreatedAt: signedIn, ExpiresAt: signedIn.Add(30 * 24 * time.Hour),
		Values: map[string]any{"theme": "dark"},
	}
	fmt.Println(old.User, time.Until(old.ExpiresAt).Round(time.Hour))
	// Output: ann 480h0m0s
}
