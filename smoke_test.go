package session_test

import (
	"fmt"
	"net/http"
	"testing"

	"example.com/session"
	"github.com/stretchr/testify/assert"
)

func TestSmoke(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		b := newBrowser(t, routes{
			"/count": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
				fmt.Fprint(w, s.Increment("n", 1))
			},
			"/flash": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
				s.Flash("success", "Saved")
				http.Redirect(w, r, "/page", 303)
			},
			"/page": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
				fmt.Fprint(w, s.Get("success"), " ", s.All())
			},
			"/login": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
				s.Regenerate()
				s.Set("user", "ann")
				fmt.Fprint(w, s.Handle())
			},
			"/out": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
				s.Destroy()
			},
			"/plain": func(w http.ResponseWriter, r *http.Request, s *session.Session) {},
		}.under(m))
		for _, path := range []string{"/plain", "/count", "/count", "/flash", "/page", "/page", "/flash", "/plain", "/page", "/login", "/page", "/out", "/page"} {
			p := b.get(path)
			t.Log(path, p.StatusCode, p.body, p.Header["Set-Cookie"], p.Header["Vary"], p.Header["Cache-Control"])
		}
		assert.NotNil(t, b)
		t.Logf("%+v", m.Stats())
	})
}
