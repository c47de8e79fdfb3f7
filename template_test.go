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
	"testing"

	"example.com/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
func render(t *testing.T, p *session.Templates) handlerFunc {
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
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				v := newVisitor(t, m)
				v.serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
					for _, kind := range tt.flash {
						s.Flash(kind, "a "+kind+" & more")
					}
					http.Redirect(w, r, "/dashboard", http.StatusFound)
				})
				assert.Equal(t, "<main>"+tt.want+"</main>", withoutSpace(v.serve(page).body))
				assert.Equal(t, "<main></main>", withoutSpace(v.serve(page).body), "the next page")
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

func TestTemplatesBindEachRequestToItsOwnSession(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		page := pages(t, `{{ session.Get "name" }} {{ range .Slow }}{{ . }}{{ end }}{{ session.GetString "name" }}`)
		b := newBrowser(t, routes{
			"/name/{name}": func(_ http.ResponseWriter, r *http.Request, s *session.Session) { s.Set("name", r.PathValue("name")) },
			"/page": func(w http.ResponseWriter, r *http.Request, _ *session.Session) {
				slow := make([]string, 100)
				assert.NoError(t, page.ExecuteTemplate(w, r, "page", map[string]any{"Slow": slow}))
			},
		}.under(newManager(t, cfg)))
		var all sync.WaitGroup
		for i := range 8 {
			visitor := b.another()
			all.Go(func() {
				name := fmt.Sprintf("visitor-%d", i)
				visitor.get("/name/" + name)
				for range 10 {
					if body := visitor.get("/page").body; !assert.Equal(t, name+" "+name, body) {
						return
					}
				}
			})
		}
		all.Wait()
	})
}

func TestTemplateStaysOnTheDefaultDriverWhileUsingAnother(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		other := "memory"
		if cfg.Default == other {
			other = "cookie"
		}
		page := pages(t, `{{ session.Get "where" }}{{ session.Has "only there" }}`)
		v := newVisitor(t, newManager(t, cfg))
		p := v.serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Set("where", "default")
			elsewhere, err := s.Using(other)
			if assert.NoError(t, err) {
				elsewhere.Set("where", "elsewhere")
				elsewhere.Set("only there", 1)
			}
			assert.NoError(t, page.ExecuteTemplate(w, r, "page", nil))
		})
		assert.Equal(t, "defaultfalse", p.body)
	})
}

func TestTemplateThatFailsHalfwayWritesNothing(t *testing.T) {
	page := pages(t, `half a page {{ session.Get "k" }}{{ .Fail }} the rest`)
	v := newVisitor(t, newManager(t, driverConfig(t, "memory")))
	p := v.serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
		err := page.ExecuteTemplate(w, r, "page", failing{})
		assert.ErrorIs(t, err, errTemplate)
		assert.ErrorContains(t, err, "session: execute template")
		s.Set("k", 1) // the header has not gone
		http.Error(w, "sorry", http.StatusInternalServerError)
	})
	assert.Equal(t, "sorry\n", p.body)
	assert.Equal(t, http.StatusInternalServerError, p.StatusCode)

	again := v.serve(func(w http.ResponseWriter, r *http.Request, _ *session.Session) {
		assert.NoError(t, page.ExecuteTemplate(w, r, "page", working{}))
	})
	assert.Equal(t, "half a page 1ok the rest", again.body, "nothing of the failed page is left")
}

var errTemplate = errors.New("no data")

type failing struct{}

func (failing) Fail() (string, error) { return "", errTemplate }

type working struct{}

func (working) Fail() string { return "ok" }

func TestTemplateOfAnotherNameIsAnError(t *testing.T) {
	page := pages(t, "x")
	v := newVisitor(t, newManager(t, driverConfig(t, "memory")))
	p := v.serve(func(w http.ResponseWriter, r *http.Request, _ *session.Session) {
		assert.ErrorContains(t, page.ExecuteTemplate(w, r, "missing", nil), "missing")
	})
	assert.Empty(t, p.body)
}

// A writer that takes nothing more, as that of a client that has gone.
type deafWriter struct{}

func (deafWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestTemplatesTellThatTheClientHasGone(t *testing.T) {
	page := pages(t, "x")
	newVisitor(t, newManager(t, driverConfig(t, "memory"))).serve(func(_ http.ResponseWriter, r *http.Request, _ *session.Session) {
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
	v := newVisitor(t, newManager(t, driverConfig(t, "memory")))
	assert.Equal(t, "first false", v.serve(render(t, copied)).body)
}

func TestOwnCloneIsBoundByTheSessionsFuncs(t *testing.T) {
	set := parse(t, "page", `{{ session.Get "k" }}`)
	v := newVisitor(t, newManager(t, driverConfig(t, "memory")))
	p := v.serve(func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
		s.Set("k", "mine")
		clone, err := set.Clone()
		if assert.NoError(t, err) {
			assert.NoError(t, clone.Funcs(s.TemplateFuncs()).Execute(w, nil))
		}
	})
	assert.Equal(t, "mine", p.body)
}

// Everything that a template may ask of a session.
func TestTemplateSyntax(t *testing.T) {
	text := `{{ if session.Has "a" }}{{ session.Get "a" }}{{ end }}|{{ with session.Get "missing" }}x{{ else }}none{{ end }}|` +
		`{{ session.GetInt "n" }}|{{ (session.Get "user").name }}|{{ range session.Get "list" }}{{ . }};{{ end }}|` +
		`{{ session.Pull "once" }}{{ session.Has "once" }}|{{ len session.All }}|{{ session.Handle }}|{{ session }}`
	page := pages(t, text)
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		p := v.serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Set("a", "<b>")
			s.Set("n", 3)
			s.Set("user", map[string]any{"name": "ann"})
			s.Set("list", []int{1, 2})
			s.Flash("once", "now")
			assert.NoError(t, page.ExecuteTemplate(w, r, "page", nil))
		})
		assert.Equal(t, "&lt;b&gt;|none|3|ann|1;2;|nowfalse|4||session.Session(redacted)", p.body)
	})
}

// A page whose session could not be loaded never reaches the client, though it was rendered.
func TestPageOfAnEmptyViewIsNotShown(t *testing.T) {
	m := newManager(t, session.Config{Default: "redis", Redis: session.RedisConfig{Port: closedPort}, Logger: quiet})
	page := pages(t, `{{ if session.Has "user" }}in{{ else }}please sign in{{ end }}`)
	p := newVisitor(t, m).serve(func(w http.ResponseWriter, r *http.Request, _ *session.Session) {
		assert.ErrorIs(t, page.ExecuteTemplate(w, r, "page", nil), session.ErrUnavailable)
	}, "Cookie", "s_redis="+wellFormed)
	assert.Equal(t, http.StatusServiceUnavailable, p.StatusCode)
	assert.NotContains(t, p.body, "sign in")
}

func TestTemplatesUseTheInnermostManagersSession(t *testing.T) {
	outerConfig := driverConfig(t, "memory")
	outerConfig.CookieAttributes.Prefix = "outer_"
	outer, inner := newManager(t, outerConfig), newManager(t, driverConfig(t, "memory"))
	page := pages(t, `{{ session.Get "k" }}`)
	b := newBrowser(t, outer.Middleware(inner.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		outer.FromContext(r.Context()).Set("k", "outer")
		inner.FromContext(r.Context()).Set("k", "inner")
		assert.NoError(t, page.ExecuteTemplate(w, r, "page", nil))
	}))))
	assert.Equal(t, "inner", b.get("/").body)
}

// html/template prints what a pointer points to, past the methods that hide it from fmt.
func TestTemplateThatPrintsTheSessionTellsNothingOfIt(t *testing.T) {
	page := pages(t, `{{ session }} <a title="{{ session }}" href="/{{ session }}">{{ printf "%v %+v" session session }}</a>`+
		`<script>let s = {{ session }}</script><style>p { color: {{ session }} }</style>{{ print session . }}{{ html session }}{{ js session }}`)
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		token := v.visit(func(s *session.Session) { s.Set("plainkey", "plainvalue") }).cookie("s_" + cfg.Default).Value
		p := v.serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Get("plainkey")
			assert.NoError(t, page.ExecuteTemplate(w, r, "page", s))
		})
		assert.Contains(t, p.body, "redacted")
		for _, secret := range []string{token, "plainvalue", "plainkey", "0x"} {
			assert.NotContains(t, p.body, secret)
		}
	})
}
