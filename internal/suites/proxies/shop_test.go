package proxies_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/suites/kit"
	"github.com/coder/websocket"
)

// A shop is a small application, configured as docs/proxies.md says.
type shop struct {
	manager *session.Manager
	next    chan struct{} // lets the stream send its next event
	ended   chan struct{} // closed when the stream's handler has returned
}

func newShop(t *testing.T) *shop {
	return &shop{next: make(chan struct{}), ended: make(chan struct{}), manager: newManager(t)}
}

func newManager(t *testing.T) *session.Manager {
	return kit.NewManager(t, session.Config{
		Default: "memory", Secret: kit.Secret, Logger: kit.Quiet,
		CookieAttributes: session.CookieAttributes{Prefix: "__Host-s_", Secure: session.SecureAlways},
	})
}

func (s *shop) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", page)
	mux.HandleFunc("POST /signin", s.signIn)
	mux.HandleFunc("POST /signout", s.signOut)
	mux.HandleFunc("GET /request", showRequest)
	mux.HandleFunc("GET /events", s.events)
	mux.HandleFunc("GET /socket", s.socket)
	mux.HandleFunc("POST /basket", s.fillBasket)
	mux.HandleFunc("GET /basket", s.basket)
	mux.HandleFunc("GET /invoice", s.invoice)
	mux.HandleFunc("GET /hints", hints)
	mux.HandleFunc("GET /signed-in", signedIn)
	return http.NewCrossOriginProtection().Handler(s.manager.Middleware(mux))
}

// page shows who is signed in, and a message once.
func page(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	user, _ := s.User()
	fmt.Fprintf(w, "user=%s message=%s", user, s.GetString("message"))
}

func (s *shop) signIn(w http.ResponseWriter, r *http.Request) {
	own := session.FromRequest(r)
	own.Login(r.FormValue("user"))
	own.Flash("message", "Welcome!")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *shop) signOut(w http.ResponseWriter, r *http.Request) {
	session.FromRequest(r).Logout()
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func showRequest(w http.ResponseWriter, r *http.Request) {
	json.NewEncoder(w).Encode(map[string][]string{
		"Host": {r.Host}, "Proto": r.Header["X-Forwarded-Proto"], "For": r.Header["X-Forwarded-For"],
	})
}

// events sends an event each time that the test has received the one before.
func (s *shop) events(w http.ResponseWriter, r *http.Request) {
	defer close(s.ended)
	own := session.FromRequest(r)
	own.Set("watches", true)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	for {
		own.Increment("events", 1)
		if own.Save() != nil {
			return
		}
		fmt.Fprintf(w, "data: %d\n\n", own.GetInt("events"))
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-s.next:
		case <-r.Context().Done():
			return
		}
	}
}

func (s *shop) socket(w http.ResponseWriter, r *http.Request) {
	user, _ := session.FromRequest(r).User()
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	for {
		kind, message, err := conn.Read(r.Context())
		if err != nil || conn.Write(r.Context(), kind, fmt.Appendf(nil, "%s says %s", user, message)) != nil {
			return
		}
	}
}

// fillBasket puts as much into a session of the cookie driver as fits.
func (s *shop) fillBasket(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src "+strings.Repeat("https://images.example.com ", 80))
	own, err := session.FromRequest(r).Using("cookie")
	own.Login(strings.Repeat("u", 200))
	for n := 4096; err == nil && n > 0; n-- {
		own.Set("basket", strings.Repeat("x", n))
		own.Flash("message", "Filled!")
		var tooLarge *session.SizeError
		if err := own.Save(); !errors.As(err, &tooLarge) {
			fmt.Fprint(w, n)
			return
		}
	}
}

func (s *shop) basket(w http.ResponseWriter, r *http.Request) {
	own, err := session.FromRequest(r).Using("cookie")
	if err == nil {
		fmt.Fprint(w, len(own.GetString("basket")))
	}
}

// invoice is a file of the user who is signed in.
func (s *shop) invoice(w http.ResponseWriter, r *http.Request) {
	user, _ := session.FromRequest(r).User()
	w.Header().Set("ETag", `"1"`)
	w.Header().Set("Content-Type", "text/plain")
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader("invoice of "+user))
}

// hints is a page that says early what it needs.
func hints(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Link", "</shop.css>; rel=preload; as=style")
	w.WriteHeader(http.StatusEarlyHints)
	page(w, r)
}

// signedIn is for proxies that ask before each page.
func signedIn(w http.ResponseWriter, r *http.Request) {
	if _, ok := session.FromRequest(r).User(); !ok {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
