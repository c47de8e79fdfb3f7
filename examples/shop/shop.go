package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"html/template"
	"log/slog"
	"net/http"
	"strings"

	"example.com/session"
)

//go:embed pages
var files embed.FS

// products are what the shop sells: the name of each by its number.
var products = map[string]string{"mug": "Mug", "pot": "Tea pot", "tin": "Tin of tea"}

// A shop is the application.
type shop struct {
	manager *session.Manager
	users   *users
	pages   *session.Templates
}

// newShop returns the handler of the whole application.
func newShop(manager *session.Manager, accounts *users) http.Handler {
	set := template.New("").Funcs(session.TemplateFuncs())
	s := &shop{
		manager: manager,
		users:   accounts,
		pages:   session.NewTemplates(template.Must(set.ParseFS(files, "pages/*.html"))),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("GET /sign-in", s.signInPage)
	mux.HandleFunc("POST /sign-up", s.signUp)
	mux.HandleFunc("POST /sign-in", s.signIn)
	mux.HandleFunc("POST /sign-out", s.signOut)
	mux.Handle("GET /devices", s.usersOnly(s.devices))
	mux.Handle("POST /devices/{handle}/end", s.usersOnly(s.endDevice))
	mux.Handle("POST /devices/end-others", s.usersOnly(s.endOthers))
	mux.HandleFunc("POST /cart/{product}", s.addToCart)
	mux.HandleFunc("GET /api/cart", s.apiCart)
	mux.HandleFunc("POST /api/cart/{product}", s.apiAdd)
	mux.Handle("GET /api/account", s.usersOnly(s.apiAccount))
	mux.Handle("GET /upload", s.usersOnly(s.uploadPage))
	mux.Handle("POST /upload", s.usersOnly(s.upload))
	mux.Handle("GET /upload/progress", s.usersOnly(s.uploadProgress))
	mux.HandleFunc("GET /htmx.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, files, "pages/htmx.js")
	})
	return http.NewCrossOriginProtection().Handler(manager.Middleware(mux))
}

// render writes a page, or a fragment of one, with the session of the request.
func (s *shop) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	var page bytes.Buffer
	if err := s.pages.ExecuteTemplate(&page, r, name, data); err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = page.WriteTo(w)
}

// fail answers a request that the shop could not serve.
func (s *shop) fail(w http.ResponseWriter, r *http.Request, err error) {
	slog.ErrorContext(r.Context(), "the shop failed", "path", r.URL.Path, "error", err)
	http.Error(w, "Something went wrong.", http.StatusInternalServerError)
}

// usersOnly serves users, and sends everybody else to the sign-in page.
func (s *shop) usersOnly(next http.HandlerFunc) http.Handler {
	return s.manager.RequireUser(next, http.HandlerFunc(signInFirst))
}

// nextPage is where a visitor wanted to go before the sign-in.
const nextPage session.Key[string] = "next"

func signInFirst(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, "/api/"):
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "sign in first"})
	case isHTMX(r):
		w.Header().Set("HX-Redirect", "/sign-in")
	default:
		if r.Method == http.MethodGet {
			nextPage.Set(session.FromRequest(r), r.URL.Path)
		}
		http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
	}
}

// isHTMX reports whether htmx made the request, and so wants a fragment.
func isHTMX(r *http.Request) bool { return r.Header.Get("HX-Request") == "true" }

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
