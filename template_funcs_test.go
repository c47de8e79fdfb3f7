package session_test

import (
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

// parse returns a set of one named template, which knows the function "session".
func parse(t *testing.T, name, text string) *template.Template {
	t.Helper()
	set, err := template.New(name).Funcs(session.TemplateFuncs()).Parse(text)
	require.NoError(t, err)
	return set
}

// pages makes Templates of one template named "page".
func pages(t *testing.T, text string) *session.Templates {
	t.Helper()
	return session.NewTemplates(parse(t, "page", text))
}

// render returns a handler that answers with the template "page".
func render(t *testing.T, p *session.Templates) kit.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, _ *session.Session) {
		assert.NoError(t, p.ExecuteTemplate(w, r, "page", nil))
	}
}

func TestMessagesPartialWorksAsWritten(t *testing.T) {
	set := parse(t, "page", `<main>{{ template "helpers/messages.html" . }}</main>`)
	_, err := set.ParseFiles("testdata/messages.html")
	require.NoError(t, err)
	page := render(t, session.NewTemplates(set))
	tests := []struct {
		name  string
		flash []string
		want  string
	}{
		{name: "success", flash: []string{"success"}, want: `<div class="alert alert-success">a success &amp; more</div>`},
		{name: "warning", flash: []string{"warning"}, want: `<div class="alert alert-warning">a warning &amp; more</div>`},
		{name: "danger", flash: []string{"danger"}, want: `<div class="alert alert-danger">a danger &amp; more</div>`},
		{name: "the first of all", flash: []string{"danger", "warning", "success"}, want: `<div class="alert alert-success">a success &amp; more</div>`},
		{name: "none", want: ""},
	}
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		m := kit.NewManager(t, cfg)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				v := kit.NewVisitor(t, m)
				v.Serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
					for _, kind := range tt.flash {
						s.Flash(kind, "a "+kind+" & more")
					}
					http.Redirect(w, r, "/dashboard", http.StatusFound)
				})
				assert.Equal(t, "<main>"+tt.want+"</main>", withoutSpace(v.Serve(page).Body))
				assert.Equal(t, "<main></main>", withoutSpace(v.Serve(page).Body), "the next page")
			})
		}
	})
}

// withoutSpace takes the lines of a template apart from its text.
func withoutSpace(html string) string {
	var b strings.Builder
	for line := range strings.Lines(html) {
		b.WriteString(strings.TrimSpace(line))
	}
	return b.String()
}

// Everything that a template may ask of a session.
func TestTemplateSyntax(t *testing.T) {
	text := `{{ if session.Has "a" }}{{ session.Get "a" }}{{ end }}|{{ with session.Get "missing" }}x{{ else }}none{{ end }}|` +
		`{{ session.GetInt "n" }}|{{ (session.Get "user").name }}|{{ range session.Get "list" }}{{ . }};{{ end }}|` +
		`{{ session.GetString "a" }}|{{ session.GetBool "b" }}|{{ len session.All }}|{{ session.ExpiresAt.IsZero }}|{{ session }}`
	page := pages(t, text)
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		p := v.Serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Set("a", "<b>")
			s.Set("n", 3)
			s.Set("user", map[string]any{"name": "ann"})
			s.Set("list", []int{1, 2})
			s.Set("b", true)
			assert.NoError(t, page.ExecuteTemplate(w, r, "page", nil))
		})
		assert.Equal(t, "&lt;b&gt;|none|3|ann|1;2;|&lt;b&gt;|true|5|true|session.Session(redacted)", p.Body)
	})
}

// What a template may ask about who is signed in. Each method returns one value.
func TestTemplateViewOfTheUser(t *testing.T) {
	page := pages(t, `{{ with session.User }}hello {{ . }}{{ else }}{{ if session.Locked }}locked{{ else }}please sign in{{ end }}{{ end }}`+
		`|{{ session.FreshWithin "15m" }}|{{ if not session.ExpiresAt.IsZero }}{{ session.ExpiresAt.Unix }}{{ end }}`)
	kit.EachAccountDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.LockAfter = 20 * time.Minute
		m := kit.NewManager(t, cfg)
		clock := kit.SetClock(m)
		v := kit.NewVisitor(t, m)
		assert.Equal(t, "please sign in|false|", v.Serve(render(t, page)).Body)
		v.Visit(func(s *session.Session) { s.Login("<ann>") })
		ends := func() int64 { return clock.Now().Add(time.Hour).Unix() }
		assert.Equal(t, fmt.Sprint("hello &lt;ann&gt;|true|", ends()), v.Serve(render(t, page)).Body)
		clock.Advance(16 * time.Minute)
		assert.Equal(t, fmt.Sprint("hello &lt;ann&gt;|false|", ends()), v.Serve(render(t, page)).Body)
		clock.Advance(20 * time.Minute)
		assert.Equal(t, fmt.Sprint("locked|false|", ends()), v.Serve(render(t, page)).Body)
	})
}

func TestTemplateWithADurationThatIsNoneSaysSo(t *testing.T) {
	page := pages(t, `{{ session.FreshWithin "a while" }}`)
	kit.NewVisitor(t, kit.NewManager(t, kit.DriverConfig(t, "memory"))).Serve(func(w http.ResponseWriter, r *http.Request, _ *session.Session) {
		assert.ErrorContains(t, page.ExecuteTemplate(w, r, "page", nil), `FreshWithin: time: invalid duration "a while"`)
	})
}

// Templates read. What changes a session is not there for them.
func TestTemplateCannotChangeTheSession(t *testing.T) {
	for _, text := range []string{
		`{{ session.Set "k" 1 }}`, `{{ session.Flash "k" 1 }}`, `{{ session.Destroy }}`, `{{ session.Login "eve" }}`,
		`{{ session.Pull "k" }}`, `{{ session.Delete "k" }}`, `{{ session.Save }}`, `{{ session.Logout }}`,
	} {
		templates := session.NewTemplates(setOf(t, map[string]string{"page": text}))
		kit.NewVisitor(t, kit.NewManager(t, kit.DriverConfig(t, "memory"))).Serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			assert.ErrorContains(t, templates.ExecuteTemplate(w, r, "page", nil), "can't evaluate field", text)
			assert.Empty(t, s.All())
		})
	}
}

func TestTemplatesBindEachRequestToItsOwnSession(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		page := pages(t, `{{ session.Get "name" }} {{ range .Slow }}{{ . }}{{ end }}{{ session.GetString "name" }}`)
		b := kit.NewBrowser(t, kit.Routes{
			"/name/{name}": func(_ http.ResponseWriter, r *http.Request, s *session.Session) { s.Set("name", r.PathValue("name")) },
			"/page": func(w http.ResponseWriter, r *http.Request, _ *session.Session) {
				slow := make([]string, 100)
				assert.NoError(t, page.ExecuteTemplate(w, r, "page", map[string]any{"Slow": slow}))
			},
		}.Under(kit.NewManager(t, cfg)))
		var all sync.WaitGroup
		for i := range 8 {
			visitor := b.Another()
			all.Go(func() {
				name := fmt.Sprintf("visitor-%d", i)
				visitor.Get("/name/" + name)
				for range 10 {
					if body := visitor.Get("/page").Body; !assert.Equal(t, name+" "+name, body) {
						return
					}
				}
			})
		}
		all.Wait()
	})
}

func TestTemplateStaysOnTheDefaultDriverWhileUsingAnother(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		other := "memory"
		if cfg.Default == other {
			other = "cookie"
		}
		page := pages(t, `{{ session.Get "where" }}{{ session.Has "only there" }}`)
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		p := v.Serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Set("where", "default")
			elsewhere, err := s.Using(other)
			if assert.NoError(t, err) {
				elsewhere.Set("where", "elsewhere")
				elsewhere.Set("only there", 1)
			}
			assert.NoError(t, page.ExecuteTemplate(w, r, "page", nil))
		})
		assert.Equal(t, "defaultfalse", p.Body)
	})
}

func TestTemplateThatFailsHalfwayWritesNothing(t *testing.T) {
	page := pages(t, `half a page {{ session.Get "k" }}{{ .Fail }} the rest`)
	v := kit.NewVisitor(t, kit.NewManager(t, kit.DriverConfig(t, "memory")))
	p := v.Serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
		err := page.ExecuteTemplate(w, r, "page", failing{})
		assert.ErrorIs(t, err, errTemplate)
		assert.ErrorContains(t, err, "session: execute template")
		s.Set("k", 1) // the header has not gone
		http.Error(w, "sorry", http.StatusInternalServerError)
	})
	assert.Equal(t, "sorry\n", p.Body)
	assert.Equal(t, http.StatusInternalServerError, p.StatusCode)

	again := v.Serve(func(w http.ResponseWriter, r *http.Request, _ *session.Session) {
		assert.NoError(t, page.ExecuteTemplate(w, r, "page", working{}))
	})
	assert.Equal(t, "half a page 1ok the rest", again.Body, "nothing of the failed page is left")
}

var errTemplate = errors.New("no data")

type failing struct{}

func (failing) Fail() (string, error) { return "", errTemplate }

type working struct{}

func (working) Fail() string { return "ok" }

func TestTemplateOfAnotherNameIsAnError(t *testing.T) {
	page := pages(t, "x")
	v := kit.NewVisitor(t, kit.NewManager(t, kit.DriverConfig(t, "memory")))
	p := v.Serve(func(w http.ResponseWriter, r *http.Request, _ *session.Session) {
		assert.ErrorContains(t, page.ExecuteTemplate(w, r, "missing", nil), "missing")
	})
	assert.Empty(t, p.Body)
}

// A writer that takes nothing more, as that of a client that has gone.
type deafWriter struct{}

func (deafWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestTemplatesTellThatTheClientHasGone(t *testing.T) {
	page := pages(t, "x")
	kit.NewVisitor(t, kit.NewManager(t, kit.DriverConfig(t, "memory"))).Serve(func(_ http.ResponseWriter, r *http.Request, _ *session.Session) {
		assert.ErrorIs(t, page.ExecuteTemplate(deafWriter{}, r, "page", nil), io.ErrClosedPipe)
	})
}

func TestTemplateExecutedOutsideTemplatesSaysWhatToDo(t *testing.T) {
	set := parse(t, "page", `{{ session.Get "k" }}`)
	err := set.Execute(io.Discard, nil)
	assert.ErrorContains(t, err, "the template is executed without a session")
	assert.ErrorContains(t, err, "Templates.ExecuteTemplate")
	assert.ErrorContains(t, err, "Session.TemplateFuncs")
}

func TestTemplatesWithoutMiddlewareSayWhatToDo(t *testing.T) {
	answer := httptest.NewRecorder()
	err := pages(t, `{{ session.Get "k" }}`).ExecuteTemplate(answer, httptest.NewRequest("GET", "/", nil), "page", nil)
	assert.ErrorContains(t, err, "wrap the handler with Manager.Middleware")
	assert.Zero(t, answer.Body.Len())
}

func TestNewTemplatesRefusesASetThatWasExecuted(t *testing.T) {
	set := parse(t, "page", "x")
	require.NoError(t, set.Execute(io.Discard, nil))
	defer func() {
		text := fmt.Sprint(recover())
		assert.Contains(t, text, "session: NewTemplates")
		assert.Contains(t, text, "before the set is executed")
	}()
	session.NewTemplates(set)
	t.Error("it did not panic")
}

func TestNewTemplatesTakesACopy(t *testing.T) {
	set := parse(t, "page", `first {{ session.Has "k" }}`)
	copied := session.NewTemplates(set)
	_, err := set.Parse("second")
	require.NoError(t, err)
	require.NoError(t, set.Execute(io.Discard, nil), "the caller's set is still its own")
	v := kit.NewVisitor(t, kit.NewManager(t, kit.DriverConfig(t, "memory")))
	assert.Equal(t, "first false", v.Serve(render(t, copied)).Body)
}

func TestOwnCloneIsBoundByTheSessionsFuncs(t *testing.T) {
	set := parse(t, "page", `{{ session.Get "k" }}`)
	v := kit.NewVisitor(t, kit.NewManager(t, kit.DriverConfig(t, "memory")))
	p := v.Serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
		s.Set("k", "mine")
		clone, err := set.Clone()
		if assert.NoError(t, err) {
			assert.NoError(t, clone.Funcs(s.TemplateFuncs()).Execute(w, nil))
		}
	})
	assert.Equal(t, "mine", p.Body)
}

// A page whose session could not be loaded never reaches the client, though it was rendered.
func TestPageOfAnEmptyViewIsNotShown(t *testing.T) {
	m := kit.NewManager(t, session.Config{Default: "redis", Redis: session.RedisConfig{Port: kit.ClosedPort}, Logger: kit.Quiet})
	page := pages(t, `{{ if session.Has "user" }}in{{ else }}please sign in{{ end }}`)
	p := kit.NewVisitor(t, m).Serve(func(w http.ResponseWriter, r *http.Request, _ *session.Session) {
		assert.ErrorIs(t, page.ExecuteTemplate(w, r, "page", nil), session.ErrUnavailable)
	}, "Cookie", "s_redis="+wellFormed)
	assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
	assert.NotContains(t, p.Body, "sign in")
}

func TestTemplatesUseTheInnermostManagersSession(t *testing.T) {
	outerConfig := kit.DriverConfig(t, "memory")
	outerConfig.CookieAttributes.Prefix = "outer_"
	outer, inner := kit.NewManager(t, outerConfig), kit.NewManager(t, kit.DriverConfig(t, "memory"))
	page := pages(t, `{{ session.Get "k" }}`)
	b := kit.NewBrowser(t, outer.Middleware(inner.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		outer.FromContext(r.Context()).Set("k", "outer")
		inner.FromContext(r.Context()).Set("k", "inner")
		assert.NoError(t, page.ExecuteTemplate(w, r, "page", nil))
	}))))
	assert.Equal(t, "inner", b.Get("/").Body)
}

// html/template prints what a pointer points to, past the methods that hide it from fmt.
func TestTemplateThatPrintsTheSessionTellsNothingOfIt(t *testing.T) {
	page := pages(t, `{{ session }} <a title="{{ session }}" href="/{{ session }}">{{ printf "%v %+v" session session }}</a>`+
		`<script>let s = {{ session }}</script><style>p { color: {{ session }} }</style>{{ print session . }}{{ html session }}{{ js session }}`)
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := kit.NewVisitor(t, kit.NewManager(t, cfg))
		token := v.Visit(func(s *session.Session) { s.Set("plainkey", "plainvalue") }).Cookie("s_" + cfg.Default).Value
		p := v.Serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Get("plainkey")
			assert.NoError(t, page.ExecuteTemplate(w, r, "page", s))
		})
		assert.Contains(t, p.Body, "redacted")
		for _, secret := range []string{token, "plainvalue", "plainkey", "0x"} {
			assert.NotContains(t, p.Body, secret)
		}
	})
}

// setOf parses a set of templates, by name, that all know the function "session".
func setOf(t *testing.T, texts map[string]string) *template.Template {
	t.Helper()
	set := template.New("").Funcs(session.TemplateFuncs())
	for name, text := range texts {
		_, err := set.New(name).Parse(text)
		require.NoError(t, err)
	}
	return set
}

// nestedTemplates are a page of several levels, each of which changes the dot and asks the session.
var nestedTemplates = map[string]string{
	"page":   `{{ session.Get "name" }}{{ template "frame" . }}{{ session.Get "name" }}`,
	"frame":  `[{{ block "body" . }}{{ range .Items }}{{ template "item" . }}{{ end }}{{ end }}]`,
	"item":   `{{ with .Inner }}{{ template "inner" . }}{{ end }}`,
	"inner":  `{{ .Wait }}{{ session.Get "name" }}{{ if session.Has "name" }};{{ end }}`,
	"failed": `{{ session.Get "name" }} is shown half {{ template "frame" . }}`,
}

// A pausing value does something in the middle of a page.
type pausing struct{ wait func() (string, error) }

func (p pausing) Wait() (string, error) { return p.wait() }

type nestedItem struct{ Inner pausing }

// pageData makes the page of three items wait in each of them.
func pageData(wait func() (string, error)) any {
	one := nestedItem{pausing{wait}}
	return map[string]any{"Items": []nestedItem{one, one, one}}
}

func noWait() (string, error) { return "", nil }

func TestNestedTemplatesAskTheSessionOfTheirOwnRequest(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		templates := session.NewTemplates(setOf(t, nestedTemplates))
		b := kit.NewBrowser(t, kit.Routes{
			"/name/{name}": func(_ http.ResponseWriter, r *http.Request, s *session.Session) { s.Set("name", r.PathValue("name")) },
			"/page": func(w http.ResponseWriter, r *http.Request, _ *session.Session) {
				assert.NoError(t, templates.ExecuteTemplate(w, r, "page", pageData(noWait)))
			},
		}.Under(kit.NewManager(t, cfg)))
		var all sync.WaitGroup
		for i := range 8 {
			visitor, name := b.Another(), fmt.Sprint("visitor", i)
			all.Go(func() {
				visitor.Get("/name/" + name)
				for range 5 {
					assert.Equal(t, name+"["+strings.Repeat(name+";", 3)+"]"+name, visitor.Get("/page").Body)
				}
			})
		}
		all.Wait()
	})
}

// More pages are rendered at once than clones are kept.
func TestPagesAtOnceBeyondTheKeptClonesAreEachTheirOwn(t *testing.T) {
	const visitors = 80
	var inside sync.WaitGroup
	inside.Add(visitors)
	allInside := func() (string, error) { inside.Done(); inside.Wait(); return "", nil }
	templates := session.NewTemplates(setOf(t, map[string]string{
		"page": `{{ session.Get "name" }} {{ .Wait }}{{ session.Get "name" }}`,
	}))
	b := kit.NewBrowser(t, kit.Routes{
		"/{name}": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Set("name", r.PathValue("name"))
			wait := noWait
			if r.URL.RawQuery == "wait" {
				wait = allInside
			}
			assert.NoError(t, templates.ExecuteTemplate(w, r, "page", pausing{wait}))
		},
	}.Under(kit.NewManager(t, kit.DriverConfig(t, "memory"))))
	for _, query := range []string{"?wait", ""} { // then once more with the clones that were kept
		var all sync.WaitGroup
		for i := range visitors {
			visitor, name := b.Another(), fmt.Sprint("visitor", i)
			all.Go(func() { assert.Equal(t, name+" "+name, visitor.Get("/"+name+query).Body) })
		}
		all.Wait()
	}
}

func TestTemplateThatFailsDeepInsideSendsNothing(t *testing.T) {
	tests := []struct {
		name string
		wait func() (string, error)
		want string
	}{
		{name: "error", wait: func() (string, error) { return "", errors.New("out of paper") }, want: "out of paper"},
		{name: "panic", wait: func() (string, error) { panic("out of ink") }, want: "out of ink"},
	}
	templates := session.NewTemplates(setOf(t, nestedTemplates))
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				v := kit.NewVisitor(t, kit.NewManager(t, cfg))
				p := v.Serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
					s.Set("name", strings.Repeat("long ", 200))
					err := templates.ExecuteTemplate(w, r, "failed", pageData(tt.wait))
					assert.ErrorContains(t, err, tt.want)
					assert.Empty(t, w.Header(), "the failed page wrote a header")
					s.Reset() // the header has not left: what is stored can still be changed
					w.WriteHeader(http.StatusTeapot)
				})
				assert.Equal(t, http.StatusTeapot, p.StatusCode)
				assert.Empty(t, p.Body)
				assert.Nil(t, p.Cookie("s_"+cfg.Default), "the failed page stored the session")
			})
		}
	})
}

// Pages that fail and pages that do not share clones and their buffers.
func TestFailedPagesLeaveNothingInThoseOfOthers(t *testing.T) {
	templates := session.NewTemplates(setOf(t, nestedTemplates))
	fail := func() (string, error) { return "", errors.New("no") }
	b := kit.NewBrowser(t, kit.Routes{
		"/fails": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Set("name", "failed")
			assert.Error(t, templates.ExecuteTemplate(w, r, "page", pageData(fail)))
			http.Error(w, "sorry", http.StatusInternalServerError)
		},
		"/works": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Set("name", "works")
			assert.NoError(t, templates.ExecuteTemplate(w, r, "page", pageData(noWait)))
		},
	}.Under(kit.NewManager(t, kit.DriverConfig(t, "memory"))))
	var all sync.WaitGroup
	for range 4 {
		failing, working := b.Another(), b.Another()
		all.Go(func() {
			for range 20 {
				assert.Equal(t, "sorry\n", failing.Get("/fails").Body)
			}
		})
		all.Go(func() {
			for range 20 {
				assert.Equal(t, "works[works;works;works;]works", working.Get("/works").Body)
			}
		})
	}
	all.Wait()
}

// The pattern for reloading in development: a pointer that requests read once each.
func TestSetSwappedWhileServingGivesEachPageWholeFromOneSet(t *testing.T) {
	version := func(v string) *session.Templates {
		return session.NewTemplates(setOf(t, map[string]string{
			"page":  v + ` {{ template "inner" . }} ` + v,
			"inner": v + ` {{ session.Get "name" }}`,
		}))
	}
	var current atomic.Pointer[session.Templates]
	current.Store(version("v0"))
	b := kit.NewBrowser(t, kit.Routes{
		"/{name}": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Set("name", r.PathValue("name"))
			assert.NoError(t, current.Load().ExecuteTemplate(w, r, "page", nil))
		},
	}.Under(kit.NewManager(t, kit.DriverConfig(t, "memory"))))
	var all sync.WaitGroup
	for i := range 4 {
		visitor, name := b.Another(), fmt.Sprint("visitor", i)
		all.Go(func() {
			for range 25 {
				body := visitor.Get("/" + name).Body
				v, _, _ := strings.Cut(body, " ")
				assert.Equal(t, strings.Join([]string{v, v, name, v}, " "), body)
			}
		})
	}
	for i := range 50 {
		current.Store(version(fmt.Sprint("v", i+1)))
	}
	all.Wait()
	assert.Equal(t, "v50 v50 last v50", b.Get("/last").Body)
}

// Functions belong to the set that they were given to: Templates has taken its copy.
func TestFuncsGivenAfterNewTemplatesDoNotReachIt(t *testing.T) {
	say := func(word string) template.FuncMap {
		return template.FuncMap{"say": func() string { return word }}
	}
	set := template.New("page").Funcs(session.TemplateFuncs()).Funcs(say("at Parse"))
	_, err := set.Parse(`{{ say }} {{ session.Get "k" }}`)
	require.NoError(t, err)
	set.Funcs(say("before NewTemplates"))
	templates := session.NewTemplates(set)
	set.Funcs(say("after NewTemplates"))
	p := kit.NewVisitor(t, kit.NewManager(t, kit.DriverConfig(t, "memory"))).Serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
		s.Set("k", "bound")
		assert.NoError(t, templates.ExecuteTemplate(w, r, "page", nil))
	})
	assert.Equal(t, "before NewTemplates bound", p.Body)
}

// html/template rejects the set each time, also in clones that were kept.
func TestTemplateThatCannotBeEscapedFailsEachTime(t *testing.T) {
	templates := session.NewTemplates(setOf(t, map[string]string{"page": `<a href="{{ if session.Has "k" }}">{{ end }}`}))
	v := kit.NewVisitor(t, kit.NewManager(t, kit.DriverConfig(t, "memory")))
	for range 3 {
		p := v.Serve(func(w http.ResponseWriter, r *http.Request, _ *session.Session) {
			assert.ErrorContains(t, templates.ExecuteTemplate(w, r, "page", nil), "branches end in different contexts")
		})
		assert.Empty(t, p.Body)
	}
}

func TestTemplateThatAsksForWhatIsNotThereIsToldWhatIs(t *testing.T) {
	set := template.Must(template.New("page").Funcs(session.TemplateFuncs()).Parse("{{ session.Name }}"))
	pages := session.NewTemplates(set)
	v := kit.NewVisitor(t, kit.NewManager(t, kit.DriverConfig(t, "memory")))
	v.Serve(func(w http.ResponseWriter, r *http.Request, _ *session.Session) {
		err := pages.ExecuteTemplate(w, r, "page", nil)
		assert.ErrorContains(t, err, "can't evaluate field Name")
		assert.ErrorContains(t, err, "session has Has, Get, GetString")
	})
}
