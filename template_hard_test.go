package session_test

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"example.com/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		templates := session.NewTemplates(setOf(t, nestedTemplates))
		b := newBrowser(t, routes{
			"/name/{name}": func(_ http.ResponseWriter, r *http.Request, s *session.Session) { s.Set("name", r.PathValue("name")) },
			"/page": func(w http.ResponseWriter, r *http.Request, _ *session.Session) {
				assert.NoError(t, templates.ExecuteTemplate(w, r, "page", pageData(noWait)))
			},
		}.under(newManager(t, cfg)))
		var all sync.WaitGroup
		for i := range 8 {
			visitor, name := b.another(), fmt.Sprint("visitor", i)
			all.Go(func() {
				visitor.get("/name/" + name)
				for range 5 {
					assert.Equal(t, name+"["+strings.Repeat(name+";", 3)+"]"+name, visitor.get("/page").body)
				}
			})
		}
		all.Wait()
	})
}

// More pages are rendered at once than clones wait for the next request: each has its own.
func TestPagesAtOnceBeyondTheKeptClonesAreEachTheirOwn(t *testing.T) {
	const visitors = 80
	var inside sync.WaitGroup
	inside.Add(visitors)
	allInside := func() (string, error) { inside.Done(); inside.Wait(); return "", nil }
	templates := session.NewTemplates(setOf(t, map[string]string{
		"page": `{{ session.Get "name" }} {{ .Wait }}{{ session.Get "name" }}`,
	}))
	b := newBrowser(t, routes{
		"/{name}": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Set("name", r.PathValue("name"))
			wait := noWait
			if r.URL.RawQuery == "wait" {
				wait = allInside
			}
			assert.NoError(t, templates.ExecuteTemplate(w, r, "page", pausing{wait}))
		},
	}.under(newManager(t, driverConfig(t, "memory"))))
	for _, query := range []string{"?wait", ""} { // then once more with the clones that were kept
		var all sync.WaitGroup
		for i := range visitors {
			visitor, name := b.another(), fmt.Sprint("visitor", i)
			all.Go(func() { assert.Equal(t, name+" "+name, visitor.get("/"+name+query).body) })
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
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				v := newVisitor(t, newManager(t, cfg))
				p := v.serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
					s.Set("name", strings.Repeat("long ", 200))
					err := templates.ExecuteTemplate(w, r, "failed", pageData(tt.wait))
					assert.ErrorContains(t, err, tt.want)
					assert.Empty(t, w.Header(), "the failed page wrote a header")
					s.Reset() // the header has not left: what is stored can still be changed
					w.WriteHeader(http.StatusTeapot)
				})
				assert.Equal(t, http.StatusTeapot, p.StatusCode)
				assert.Empty(t, p.body)
				assert.Nil(t, p.cookie("s_"+cfg.Default), "the failed page stored the session")
			})
		}
	})
}

// Pages that fail and pages that do not share clones and their buffers.
func TestFailedPagesLeaveNothingInThoseOfOthers(t *testing.T) {
	templates := session.NewTemplates(setOf(t, nestedTemplates))
	fail := func() (string, error) { return "", errors.New("no") }
	b := newBrowser(t, routes{
		"/fails": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Set("name", "failed")
			assert.Error(t, templates.ExecuteTemplate(w, r, "page", pageData(fail)))
			http.Error(w, "sorry", http.StatusInternalServerError)
		},
		"/works": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Set("name", "works")
			assert.NoError(t, templates.ExecuteTemplate(w, r, "page", pageData(noWait)))
		},
	}.under(newManager(t, driverConfig(t, "memory"))))
	var all sync.WaitGroup
	for range 4 {
		failing, working := b.another(), b.another()
		all.Go(func() {
			for range 20 {
				assert.Equal(t, "sorry\n", failing.get("/fails").body)
			}
		})
		all.Go(func() {
			for range 20 {
				assert.Equal(t, "works[works;works;works;]works", working.get("/works").body)
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
	b := newBrowser(t, routes{
		"/{name}": func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			s.Set("name", r.PathValue("name"))
			assert.NoError(t, current.Load().ExecuteTemplate(w, r, "page", nil))
		},
	}.under(newManager(t, driverConfig(t, "memory"))))
	var all sync.WaitGroup
	for i := range 4 {
		visitor, name := b.another(), fmt.Sprint("visitor", i)
		all.Go(func() {
			for range 25 {
				body := visitor.get("/" + name).body
				v, _, _ := strings.Cut(body, " ")
				assert.Equal(t, strings.Join([]string{v, v, name, v}, " "), body)
			}
		})
	}
	for i := range 50 {
		current.Store(version(fmt.Sprint("v", i+1)))
	}
	all.Wait()
	assert.Equal(t, "v50 v50 last v50", b.get("/last").body)
}

// A page that is being rendered when the set is swapped ends as it began.
func TestSetSwappedInTheMiddleOfAPageDoesNotReachIt(t *testing.T) {
	var current atomic.Pointer[session.Templates]
	old := setOf(t, map[string]string{"page": `old {{ .Wait }}{{ template "end" }}`, "end": "old end"})
	current.Store(session.NewTemplates(old))
	swap := func() (string, error) {
		changed := setOf(t, map[string]string{"page": "new", "end": "new end"})
		current.Store(session.NewTemplates(changed))
		_, err := old.New("end").Parse("changed in place")
		return "", err
	}
	v := newVisitor(t, newManager(t, driverConfig(t, "memory")))
	serve := func(w http.ResponseWriter, r *http.Request, _ *session.Session) {
		assert.NoError(t, current.Load().ExecuteTemplate(w, r, "page", pausing{swap}))
	}
	assert.Equal(t, "old old end", v.serve(serve).body)
	assert.Equal(t, "new", v.serve(serve).body)
}

func TestTemplatesParsedBeforeTheirFuncsSayWhichIsMissing(t *testing.T) {
	_, err := template.New("page").Parse(`{{ session.Get "k" }}`)
	assert.ErrorContains(t, err, `function "session" not defined`)
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
	p := newVisitor(t, newManager(t, driverConfig(t, "memory"))).serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
		s.Set("k", "bound")
		assert.NoError(t, templates.ExecuteTemplate(w, r, "page", nil))
	})
	assert.Equal(t, "before NewTemplates bound", p.body)
}

// What html/template refuses to escape is refused each time, by kept clones too.
func TestTemplateThatCannotBeEscapedFailsEachTime(t *testing.T) {
	templates := session.NewTemplates(setOf(t, map[string]string{"page": `<a href="{{ if session.Has "k" }}">{{ end }}`}))
	v := newVisitor(t, newManager(t, driverConfig(t, "memory")))
	for range 3 {
		p := v.serve(func(w http.ResponseWriter, r *http.Request, _ *session.Session) {
			assert.ErrorContains(t, templates.ExecuteTemplate(w, r, "page", nil), "branches end in different contexts")
		})
		assert.Empty(t, p.body)
	}
}

// Templates read: what returns nothing, as Set and Flash do, is not for them.
func TestTemplateThatSetsAValueIsAnError(t *testing.T) {
	for _, text := range []string{`{{ session.Set "k" 1 }}`, `{{ session.Flash "k" 1 }}`, `{{ session.Destroy }}`} {
		templates := session.NewTemplates(setOf(t, map[string]string{"page": text}))
		newVisitor(t, newManager(t, driverConfig(t, "memory"))).serve(func(w http.ResponseWriter, r *http.Request, s *session.Session) {
			assert.ErrorContains(t, templates.ExecuteTemplate(w, r, "page", nil), "has 0 return values", text)
			assert.Empty(t, s.All())
		})
	}
}
