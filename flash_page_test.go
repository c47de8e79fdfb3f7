package session_test

import (
	"net/http"
	"testing"

	"example.com/session"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
)

// What a request is for decides which flash expires with its 200 response.
func TestFlashExpiresWithWhatTheUserSees(t *testing.T) {
	const (
		nothing = "nothing"
		part    = "part" // only what the handler read
		page    = "page"
	)
	html := "text/html,application/xhtml+xml"
	for name, tt := range map[string]struct {
		headers []string
		want    string
	}{
		"navigation":                 {[]string{"Sec-Fetch-Dest", "document", "Accept", html}, page},
		"frame":                      {[]string{"Sec-Fetch-Dest", "iframe"}, page},
		"image":                      {[]string{"Sec-Fetch-Dest", "image"}, part},
		"fetch":                      {[]string{"Sec-Fetch-Dest", "empty", "Accept", "*/*"}, part},
		"image of another site":      {[]string{"Sec-Fetch-Dest", "image", "Sec-Fetch-Site", "cross-site"}, nothing},
		"fetch by another site":      {[]string{"Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "cross-site", "Accept", html}, nothing},
		"link from another site":     {[]string{"Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "cross-site"}, page},
		"prefetch":                   {[]string{"Sec-Fetch-Dest", "document", "Sec-Purpose", "prefetch"}, nothing},
		"prerender":                  {[]string{"Sec-Fetch-Dest", "document", "Sec-Purpose", "prefetch;prerender"}, nothing},
		"old prefetch":               {[]string{"Purpose", "prefetch", "Accept", html}, nothing},
		"preview":                    {[]string{"X-Purpose", "preview", "Accept", html}, nothing},
		"Turbo's prefetch":           {[]string{"X-Sec-Purpose", "prefetch", "Accept", html, "Sec-Fetch-Dest", "empty"}, nothing},
		"Mozilla's prefetch":         {[]string{"X-Moz", "prefetch"}, nothing},
		"htmx preload":               {[]string{"HX-Preloaded", "true", "HX-Request", "true"}, nothing},
		"htmx preload of a boost":    {[]string{"HX-Preloaded", "true", "HX-Boosted", "true"}, nothing},
		"htmx fragment":              {[]string{"HX-Request", "true", "Sec-Fetch-Dest", "empty"}, part},
		"htmx boost":                 {[]string{"HX-Request", "true", "HX-Boosted", "true", "Sec-Fetch-Dest", "empty"}, page},
		"htmx history":               {[]string{"HX-Request", "true", "HX-History-Restore-Request", "true"}, page},
		"Turbo frame":                {[]string{"Turbo-Frame", "cart", "Accept", html, "Sec-Fetch-Dest", "empty"}, part},
		"Turbo visit":                {[]string{"Accept", html, "Sec-Fetch-Dest", "empty"}, page},
		"no Accept":                  {[]string{"Accept", ""}, page},
		"curl":                       {[]string{"Accept", "*/*"}, page},
		"old browser":                {[]string{"Accept", html}, page},
		"JSON poll on plain HTTP":    {[]string{"Accept", "application/json"}, part},
		"XMLHttpRequest by a helper": {[]string{"Accept", html, "X-Requested-With", "XMLHttpRequest"}, part},
		"fetch by a helper":          {[]string{"Accept", "*/*", "X-Requested-With", "fetch"}, part},
		"Turbo visit over HTTPS":     {[]string{"Accept", html, "Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "same-origin"}, page},
		"image on plain HTTP":        {[]string{"Accept", "image/avif,image/webp,*/*;q=0.8"}, part},
	} {
		t.Run(name, func(t *testing.T) {
			v := kit.NewVisitor(t, kit.NewManager(t, kit.DriverConfig(t, "memory")))
			v.Send(http.MethodPost, func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
				s.Flash("read", 1)
				s.Flash("unread", 2)
				w.WriteHeader(http.StatusNoContent)
			})
			shown := v.Serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
				assert.Equal(t, 1, s.Get("read"))
			}, tt.headers...)
			v.Send(http.MethodPost, func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
				assert.Equal(t, tt.want == nothing, s.Has("read"))
				assert.Equal(t, tt.want != page, s.Has("unread"))
				w.WriteHeader(http.StatusNoContent)
			})
			isEarly := tt.want == nothing && shown.Request.Header.Get("Sec-Fetch-Site") == ""
			assert.Equal(t, isEarly, shown.Header.Get("Cache-Control") == "private, no-store",
				"the real visit has to ask again")
		})
	}
}

// The flash cookie is text of the client. Whatever it says, a request stores what it did, and its flash is
// shown.
func TestEditedFlashCookieHarmsNothing(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		name := "s_" + cfg.Default + "_f"
		for _, values := range [][]string{{""}, {"0"}, {"1"}, {"0x"}, {"1x"}, {"x"}, {"1x", "1y"}, {"0x", "1"}, {"x", ""}} {
			header := ""
			for _, value := range values {
				header += name + "=" + value + "; "
			}
			for what, do := range map[string]func(s *session.Session){
				"set":    func(s *session.Session) { s.Set("n", 1) },
				"flash":  func(s *session.Session) { s.Set("n", 1); s.Flash("m", "Saved!") },
				"login":  func(s *session.Session) { s.Set("n", 1); s.Login("ann") },
				"logout": func(s *session.Session) { s.Logout(); s.Set("n", 1) },
			} {
				for _, known := range []bool{false, true} {
					v := kit.NewVisitor(t, m)
					if known {
						v.Visit(func(s *session.Session) { s.Set("old", 1) })
					}
					page := v.Visit(do, "Cookie", header+v.CookieHeader())
					assert.Equal(t, http.StatusOK, page.StatusCode, "%s with %q", what, header)
					v.Visit(func(s *session.Session) {
						assert.Equal(t, 1, s.GetInt("n"), "%s with %q", what, header)
						assert.Equal(t, what == "flash", s.Has("m"), "%s with %q", what, header)
					})
				}
			}
		}
	})
}
