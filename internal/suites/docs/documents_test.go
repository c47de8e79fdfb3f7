package docs_test

import (
	"encoding/base64"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

// A cookie of the session's own begins with s_, so that it can be told from others.
func TestSessionCookiesBeginWithTheirPrefix(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		p := kit.NewVisitor(t, kit.NewManager(t, cfg)).Visit(func(s *session.Session) { s.Set("key", "value"); s.Flash("note", 1) })
		require.NotEmpty(t, p.Cookies())
		for _, c := range p.Cookies() {
			assert.True(t, strings.HasPrefix(c.Name, "s_"), c.Name)
		}
		assert.NotNil(t, p.Cookie("s_"+cfg.Default))
	})
}

func TestMemoryDriversDocumentationWarnsOfSeveralProcesses(t *testing.T) {
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, "../../../memory_driver.go", nil, parser.ParseComments)
	require.NoError(t, err)
	var text string
	for _, declaration := range parsed.Decls {
		if f, ok := declaration.(*ast.FuncDecl); ok && f.Name.Name == "NewMemoryDriver" {
			text = strings.Join(strings.Fields(f.Doc.Text()), " ")
		}
	}
	assert.Contains(t, text, "several processes")
	assert.Contains(t, text, "use the redis or the cookie driver")
}

func TestCookieDriverEncryptsSessionAndFlash(t *testing.T) {
	p := kit.NewVisitor(t, kit.NewManager(t, kit.DriverConfig(t, "cookie"))).Visit(func(s *session.Session) {
		s.Set("account", "secret value")
		s.Flash("notice", "secret note")
	})
	value := p.Cookie("s_cookie").Value
	raw, err := base64.RawURLEncoding.DecodeString(value)
	require.NoError(t, err)
	for _, text := range []string{"account", "secret", "notice"} {
		assert.NotContains(t, value, text)
		assert.NotContains(t, string(raw), text)
	}
}

func TestWhatIsSetIsThereUntilItIsDeleted(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		v.Visit(func(s *session.Session) {
			assert.False(t, s.Has("key"))
			assert.Nil(t, s.Get("key"))
			s.Set("key", "value")
			assert.Equal(t, "value", s.Get("key"))
		})
		for range 3 {
			v.Visit(func(s *session.Session) {
				assert.Equal(t, "value", s.Get("key"))
				assert.True(t, s.Has("key"))
				assert.Equal(t, map[string]any{"key": "value"}, s.All())
			})
		}
		v.Stranger().Visit(func(s *session.Session) { assert.False(t, s.Has("key"), "it is the current user's") })
		v.Visit(func(s *session.Session) { s.Delete("key"); assert.False(t, s.Has("key")) })
		v.Visit(func(s *session.Session) {
			assert.False(t, s.Has("key"))
			assert.Empty(t, s.All())
		})
	})
}

func TestFlashIsThereForTheNextPageOnly(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		b := kit.NewBrowser(t, kit.Routes{
			"/save": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
				s.Flash("success", "Your action is successful")
				http.Redirect(w, r, "/dashboard", http.StatusFound)
			},
			"/dashboard": func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
				fmt.Fprint(w, s.GetString("success"))
			},
		}.Under(kit.NewManager(t, cfg)))
		assert.Equal(t, "/dashboard", b.Get("/save").Header.Get("Location"))
		assert.Equal(t, "Your action is successful", b.Get("/dashboard").Body)
		assert.Empty(t, b.Get("/dashboard").Body)
	})
}

// Flash first and redirect afterwards, or the other way round: it is stored either way.
func TestFlashAfterTheRedirectWasWrittenNeedsADriverThatKeepsItsToken(t *testing.T) {
	for _, name := range []string{"memory", "redis"} {
		t.Run(name, func(t *testing.T) {
			v := kit.NewVisitor(t, kit.NewManager(t, kit.DriverConfig(t, name)))
			v.Visit(func(s *session.Session) { s.Set("user", "ann") })
			v.Serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
				http.Redirect(w, r, "/dashboard", http.StatusFound)
				s.Flash("success", "Action Successful!")
			})
			v.Visit(func(s *session.Session) { assert.Equal(t, "Action Successful!", s.Get("success")) })
		})
	}
}

func TestCookieFlashIsGoneAfterTwoSecondsByTheServersClock(t *testing.T) {
	cfg := parseConfig(t, `{"default": "cookie", "cookie": {"flash_ttl": 2}}`)
	m := kit.NewManager(t, cfg)
	clock := kit.SetClock(m)
	v := kit.NewVisitor(t, m)
	v.Visit(func(s *session.Session) { s.Flash("note", "hello") })
	has := func() (found bool) {
		v.Serve(redirect(func(s *session.Session) { found = s.Has("note") }))
		return found
	}
	clock.Advance(1999 * time.Millisecond)
	assert.True(t, has())
	clock.Advance(time.Millisecond)
	assert.False(t, has())
	v.Visit(func(s *session.Session) { s.Set("data", 1) })
	clock.Advance(time.Minute)
	v.Visit(func(s *session.Session) { assert.Equal(t, 1, s.Get("data"), "the clock is that of flash") })
}

// parseConfig reads a configuration as a file has it; secret and log are the program's.
func parseConfig(t *testing.T, text string) session.Config {
	t.Helper()
	cfg, err := session.ParseConfig([]byte(text))
	require.NoError(t, err)
	cfg.Secret, cfg.Logger = kit.Secret, kit.Quiet
	return cfg
}

func TestDriverCanBeChangedForACall(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		other := "cookie"
		if cfg.Default == other {
			other = "memory"
		}
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		p := v.Visit(func(s *session.Session) {
			elsewhere, err := s.Using(other)
			if assert.NoError(t, err) {
				elsewhere.Set("key", "value")
			}
			assert.False(t, s.Has("key"), "the default driver's session is another one")
		})
		assert.NotNil(t, p.Cookie("s_"+other))
		assert.Nil(t, p.Cookie("s_"+cfg.Default))
		v.Visit(func(s *session.Session) {
			elsewhere, err := s.Using(other)
			if assert.NoError(t, err) {
				assert.Equal(t, "value", elsewhere.Get("key"))
			}
		})
	})
}

func TestRequestLeadsToItsSession(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		v.Serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			session.FromRequest(r).Flash("success", "Action Successful!")
			assert.Same(t, s, session.FromRequest(r))
			http.Redirect(w, r, "/dashboard", http.StatusFound)
		})
		v.Visit(func(s *session.Session) { assert.Equal(t, "Action Successful!", s.Get("success")) })
	})
}

func TestResetClearsDataOrFlashAndFlushBoth(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		redirect := func(do func(s *session.Session)) { v.Serve(redirect(do)) }
		fill := func(s *session.Session) { s.Set("data", 1); s.Flash("flash", 2) }
		redirect(fill)
		redirect(func(s *session.Session) { s.Reset() })
		redirect(func(s *session.Session) { assert.Equal(t, map[string]any{"flash": 2}, s.All()) })
		redirect(fill)
		redirect(func(s *session.Session) { s.ResetFlash() })
		redirect(func(s *session.Session) { assert.Equal(t, map[string]any{"data": 1}, s.All()) })
		redirect(fill)
		redirect(func(s *session.Session) { s.Flush() })
		redirect(func(s *session.Session) { assert.Empty(t, s.All()) })
	})
}

// from returns a browser of the same server whose connections come from another address of
// this machine.
func from(v *kit.Visitor, address string) *kit.Visitor {
	v.T.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(v.T, err)
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	transport := &http.Transport{DialContext: dialer.DialContext}
	v.T.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Jar: jar, Transport: transport, CheckRedirect: v.Client.CheckRedirect}
	other := v.Stranger()
	other.Client = client
	return other
}

func TestMemoryByClientIPConnectsTheAddressToTheData(t *testing.T) {
	cfg := parseConfig(t, `{"default": "memory", "memory": {"by_client_ip": true}}`)
	v := kit.NewVisitor(t, kit.NewManager(t, cfg))
	p := v.Visit(func(s *session.Session) { s.Set("key", "value"); s.Flash("note", "n") })
	assert.Empty(t, p.Header["Set-Cookie"], "the address is the identity")
	assert.Equal(t, "private, no-store", p.Header.Get("Cache-Control"))

	v.Stranger().Visit(func(s *session.Session) {
		assert.Equal(t, map[string]any{"key": "value", "note": "n"}, s.All(), "another browser at the address")
	})
	from(v, "127.0.0.2").Visit(func(s *session.Session) {
		assert.Empty(t, s.All(), "another address")
		s.Set("key", "other")
	})
	v.Visit(func(s *session.Session) {
		assert.Equal(t, map[string]any{"key": "value"}, s.All(), "and the note was shown once")
		s.Destroy()
	})
	v.Visit(func(s *session.Session) { assert.Empty(t, s.All()); s.Set("key", "anew") })
	v.Visit(func(s *session.Session) { assert.Equal(t, "anew", s.Get("key")) })
}

func TestMemoryByClientIPAsksTheProgramForTheAddress(t *testing.T) {
	cfg := parseConfig(t, `{"default": "memory", "memory": {"by_client_ip": true}}`)
	cfg.ClientIP = func(r *http.Request) string { return r.Header.Get("X-Proxy-Says") }
	failed := kit.RecordFailures(&cfg)
	v := kit.NewVisitor(t, kit.NewManager(t, cfg))
	v.Visit(func(s *session.Session) { s.Set("key", "a") }, "X-Proxy-Says", "2001:DB8::1")
	v.Visit(func(s *session.Session) { assert.Equal(t, "a", s.Get("key")) }, "X-Proxy-Says", "2001:db8::1")
	v.Visit(func(s *session.Session) { assert.Nil(t, s.Get("key")) }, "X-Proxy-Says", "2001:db8::2")
	p := v.Visit(func(s *session.Session) { s.Get("key") })
	assert.Equal(t, http.StatusInternalServerError, p.StatusCode, "no address is nobody's session")
	assert.ErrorContains(t, failed.Last(), "no client address")
}

func TestMemoryDoesNotTellClientsByAddressUnlessAsked(t *testing.T) {
	v := kit.NewVisitor(t, kit.NewManager(t, kit.DriverConfig(t, "memory")))
	v.Visit(func(s *session.Session) { s.Set("key", "value") })
	v.Stranger().Visit(func(s *session.Session) { assert.Empty(t, s.All()) })
}
