package security_test

import (
	"cmp"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

// A jar keeps cookies apart by name, Domain, Path and Partitioned, as browsers do.
type jar []*http.Cookie

func (j *jar) take(p kit.Page) {
	for _, c := range p.Cookies() {
		*j = slices.DeleteFunc(*j, func(old *http.Cookie) bool {
			return old.Name == c.Name && old.Domain == c.Domain && old.Path == c.Path && old.Partitioned == c.Partitioned
		})
		if c.MaxAge >= 0 {
			*j = append(*j, c)
		}
	}
}

func (j *jar) line() string {
	var pairs []string
	for _, c := range *j {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return strings.Join(pairs, "; ")
}

// visit sends what the jar has for this host to a page that shows flash.
func (j *jar) visit(s *kit.Site, do func(own *session.Session)) kit.Page {
	s.T.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://www.example.com/app", nil)
	r.Header.Set("Cookie", j.line())
	w := httptest.NewRecorder()
	s.Manager.Middleware(kit.HTTPHandler(do)).ServeHTTP(w, r)
	require.Equal(s.T, http.StatusOK, w.Code)
	p := kit.Page{Response: w.Result()}
	j.take(p)
	s.Clock.Advance(10 * time.Second)
	return p
}

// Whatever the user does while cookies of the attributes from before are there, a few pages later the
// browser has those of the current attributes alone, and no page sets one without need.
func TestNoCookieOfEarlierAttributesStays(t *testing.T) {
	changes := map[string][2]session.CookieAttributes{
		"Domain set":            {{}, {Domain: "example.com"}},
		"Domain taken out":      {{Domain: "example.com"}, {}},
		"Partitioned set":       {{}, {Partitioned: true}},
		"Partitioned taken out": {{Partitioned: true}, {}},
		"Path narrowed":         {{}, {Path: "/app"}},
	}
	start := map[string]int{"reads": 1, "writes": 2, "signs in": 1, "regenerates": 1, "signs out": 0, "flashes": 1, "waits": 1}
	actions := map[string]func(own *session.Session){
		"reads":       func(own *session.Session) { own.Get("k") },
		"writes":      func(own *session.Session) { own.Set("k", 2) },
		"signs in":    func(own *session.Session) { own.Login("ann") },
		"regenerates": (*session.Session).Regenerate,
		"signs out":   (*session.Session).Logout,
		"flashes":     func(own *session.Session) { own.Flash("f", 2) },
		"waits":       doNothing,
	}
	for change, attributes := range changes {
		for action, do := range actions {
			for _, driver := range []string{"store", "cookie"} {
				t.Run(change+", "+action+", "+driver, func(t *testing.T) {
					s := kit.NewSite(t, driver, func(cfg *session.Config) { cfg.CookieAttributes = attributes[0] })
					var j jar
					j.visit(s, func(own *session.Session) { own.Set("k", 1); own.Flash("f", 1) })
					s.Config.CookieAttributes = attributes[1]
					s.Open()
					s.Clock.Advance(time.Minute)
					count := func(own *session.Session) { own.Increment("k", 1) }
					for _, do := range []func(own *session.Session){do, count, count, (*session.Session).Regenerate, count, count} {
						j.visit(s, do)
					}
					j.visit(s, func(own *session.Session) { own.Login("ann") })
					p := j.visit(s, func(own *session.Session) {
						assert.Equal(t, start[action]+4, own.GetInt("k"), "no count is lost")
						user, _ := own.User()
						assert.Equal(t, "ann", user)
					})
					assert.Empty(t, p.Cookies(), "a page that reads sets no cookie")
					for _, c := range j {
						assert.Equal(t, attributes[1].Domain, c.Domain, c.Name)
						assert.Equal(t, attributes[1].Partitioned, c.Partitioned, c.Name)
						assert.Equal(t, cmp.Or(attributes[1].Path, "/"), c.Path, c.Name)
					}
					assert.Len(t, j, map[string]int{"store": 1, "cookie": 2}[driver], j.line())
				})
			}
		}
	}
}

// A forged flash cookie is neither opened nor sent back, and it is gone once it is of no use.
func TestAForgedFlashCookieIsNotRepeated(t *testing.T) {
	s := kit.NewSite(t, "cookie")
	cookies := s.SignIn()
	junk := strings.Repeat("junk", 700)
	for _, flash := range []string{"1" + junk, "0" + junk, junk} {
		for name, do := range map[string]func(own *session.Session){
			"read": read, "flash": func(own *session.Session) { own.Flash("f", 1) },
			"regenerate": (*session.Session).Regenerate, "logout": (*session.Session).Logout,
		} {
			p := s.Ask(cookies+"; s_cookie_f="+flash, do)
			assert.Equal(t, http.StatusOK, p.StatusCode)
			assert.NotContains(t, strings.Join(p.Header["Set-Cookie"], "\n"), "junk", "%s with %.5s", name, flash)
		}
	}
}

// Names of data cookies end in base64url. A sign-out deletes no cookie of another form.
func TestLogoutDeletesOnlyNamesOfTheSession(t *testing.T) {
	s := kit.NewSite(t, "cookie")
	p := s.Ask(s.SignIn()+"; s_cookie_lang.old=en; s_cookie_language=en; s_cookie_x=1; s_cookie_AbCd123\xff=1", (*session.Session).Logout)
	require.NotEmpty(t, p.Cookies())
	for _, line := range p.Header["Set-Cookie"] {
		assert.Regexp(t, `^s_cookie(_[A-Za-z0-9_-]{8})?=;`, line)
	}
}

// A note of use has to be sooner than the end that the running configuration sets.
func TestAnActiveUserStaysWhenTheIdleTimeoutBecomesShorter(t *testing.T) {
	for _, driver := range []string{"store", "cookie"} {
		for name, change := range map[string]func(cfg *session.Config){
			"IdleTimeout": func(cfg *session.Config) { cfg.IdleTimeout = 40 * time.Second },
			"Assurance":   func(cfg *session.Config) { cfg.Assurance = session.AAL2 },
		} {
			t.Run(name+", "+driver, func(t *testing.T) {
				s := kit.NewSite(t, driver, func(cfg *session.Config) { cfg.IdleTimeout, cfg.Lifetime = 100*time.Hour, 200*time.Hour })
				var j jar
				j.visit(s, func(own *session.Session) { own.Set("user", "ann"); own.Remember(0) })
				change(&s.Config)
				s.Config.Lifetime = 12 * time.Hour
				if s.Config.Assurance != "" {
					s.Config.IdleTimeout = time.Hour
				}
				s.Open()
				for range 30 {
					s.Clock.Advance(s.Config.IdleTimeout/4 - 10*time.Second)
					j.visit(s, func(own *session.Session) { require.Equal(t, "ann", own.GetString("user")) })
				}
			})
		}
	}
}

// Nor does a user find the session locked or ended who used it a minute before a limit became shorter.
func TestAUserOfAMinuteAgoStaysWhenALimitBecomesShorter(t *testing.T) {
	for name, change := range map[string]func(cfg *session.Config){
		"IdleTimeout": func(cfg *session.Config) { cfg.IdleTimeout = 15 * time.Minute },
		"LockAfter":   func(cfg *session.Config) { cfg.LockAfter = 15 * time.Minute },
	} {
		t.Run(name, func(t *testing.T) {
			s := kit.NewSite(t, "cookie", func(cfg *session.Config) { cfg.IdleTimeout, cfg.Lifetime = 12*time.Hour, 200*time.Hour })
			var j jar
			j.visit(s, func(own *session.Session) { own.Login("ann") })
			for range 59 {
				s.Clock.Advance(time.Minute)
				j.visit(s, func(own *session.Session) { own.User() })
			}
			s.Clock.Advance(time.Minute)
			now := s.Clock.Now()
			change(&s.Config)
			s.Open()
			s.Clock.Advance(now.Sub(s.Clock.Now()))
			j.visit(s, func(own *session.Session) {
				user, _ := own.User()
				assert.Equal(t, "ann", user)
			})
		})
	}
}
