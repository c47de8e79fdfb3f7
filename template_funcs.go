package session

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strings"
	"time"
)

// templateName is what templates call the session.
const templateName = "session"

const (
	maxIdleClones = 64      // clones of a template set that are kept for the next request
	maxIdleBuffer = 1 << 20 // bytes of a buffer that is kept for the next page
)

var errUnbound = errors.New("session: the template is executed without a session; " +
	"execute it with Templates.ExecuteTemplate, or bind Session.TemplateFuncs to a clone")

// TemplateFuncs returns the function "session" for parsing templates, before Parse:
//
//	t := template.Must(template.New("").Funcs(session.TemplateFuncs()).ParseGlob("*.html"))
//	pages := session.NewTemplates(t)
//
// A template then shows a message with
//
//	{{ if session.Has "success" }}{{ session.Get "success" }}{{ end }}
//
// The function returns the default driver's session, also if the handler uses another driver with
// Using. The methods Has, Get, GetString, GetInt, GetBool, All and ExpiresAt are those of Session.
// User returns a string, "" for a visitor. Locked returns a bool. FreshWithin takes a text such as
// "15m" and returns a bool. The function returns an error unless [Templates] executes the template or
// [Session.TemplateFuncs] has bound it.
func TemplateFuncs() template.FuncMap {
	return template.FuncMap{templateName: func() (templateView, error) { return templateView{}, errUnbound }}
}

// TemplateFuncs returns the function "session" bound to s, for callers who clone a template for
// each request. Most callers should use Templates, which reuses its clones.
func (s *Session) TemplateFuncs() template.FuncMap {
	return template.FuncMap{templateName: func() (templateView, error) { return templateView{s}, nil }}
}

// A templateView is what templates see of a session: methods that return one value.
type templateView struct{ s *Session }

func (v templateView) Has(key string) bool         { return v.s.Has(key) }
func (v templateView) Get(key string) any          { return v.s.Get(key) }
func (v templateView) GetString(key string) string { return v.s.GetString(key) }
func (v templateView) GetInt(key string) int       { return v.s.GetInt(key) }
func (v templateView) GetBool(key string) bool     { return v.s.GetBool(key) }
func (v templateView) All() map[string]any         { return v.s.All() }
func (v templateView) ExpiresAt() time.Time        { return v.s.ExpiresAt() }

// User returns who is signed in, "" for a visitor and for a locked session.
func (v templateView) User() string {
	user, _ := v.s.User()
	return user
}

// Locked reports whether Config.LockAfter has locked the session.
func (v templateView) Locked() bool {
	_, locked := v.s.Locked()
	return locked
}

// FreshWithin reports whether the user signed in within a duration such as "15m". A duration that
// cannot be parsed fails the template.
func (v templateView) FreshWithin(d string) (bool, error) {
	within, err := time.ParseDuration(d)
	if err != nil {
		return false, fmt.Errorf("session: FreshWithin: %w", err)
	}
	return v.s.FreshWithin(within), nil
}

// String keeps {{ session }} from printing content.
func (v templateView) String() string { return redactedSession }

// Templates executes a set of templates with the session of each request bound to the function
// "session". It keeps clones of the set, and each clone serves one request at a time. It is safe
// for concurrent use.
type Templates struct {
	base *template.Template
	idle chan *boundTemplate
}

// A boundTemplate is a clone whose function "session" returns what stands in session.
type boundTemplate struct {
	set     *template.Template
	session *Session
	page    bytes.Buffer
}

// NewTemplates returns Templates for a copy of t. t must have been parsed with TemplateFuncs.
// NewTemplates panics if t was executed before, because html/template cannot copy it then.
func NewTemplates(t *template.Template) *Templates {
	base, err := t.Clone()
	if err != nil {
		panic(fmt.Sprintf("session: NewTemplates: %v; make it before the set is executed for the first time", err))
	}
	return &Templates{base: base, idle: make(chan *boundTemplate, maxIdleClones)}
}

// ExecuteTemplate executes the named template with the request's session, and writes the page to w
// once all of it is rendered. If the template fails, nothing is written. It returns an error if r
// did not pass through the middleware.
func (t *Templates) ExecuteTemplate(w io.Writer, r *http.Request, name string, data any) error {
	s, ok := Lookup(r.Context())
	if !ok {
		return errors.New("session: ExecuteTemplate: no session in the request's context; " +
			"wrap the handler with Manager.Middleware")
	}
	b, err := t.take()
	if err != nil {
		return err
	}
	defer t.give(b)
	b.session = s
	if err := b.set.ExecuteTemplate(&b.page, name, data); err != nil {
		return templateError(err)
	}
	_, err = b.page.WriteTo(w)
	return err
}

// templateError tells what there is if a template asks the session for something else.
func templateError(err error) error {
	if strings.Contains(err.Error(), "in type session.templateView") {
		return fmt.Errorf("session: execute template: %w: session has Has, Get, GetString, GetInt, GetBool, All, "+
			"User, Locked, FreshWithin and ExpiresAt", err)
	}
	return fmt.Errorf("session: execute template: %w", err)
}

func (t *Templates) take() (*boundTemplate, error) {
	select {
	case b := <-t.idle:
		return b, nil
	default:
	}
	set, err := t.base.Clone()
	if err != nil {
		return nil, fmt.Errorf("session: copy templates: %w", err)
	}
	b := &boundTemplate{set: set}
	set.Funcs(template.FuncMap{templateName: func() (templateView, error) { return templateView{b.session}, nil }})
	return b, nil
}

// give keeps a clone for the next request.
func (t *Templates) give(b *boundTemplate) {
	b.session = nil
	b.page.Reset()
	if b.page.Cap() > maxIdleBuffer {
		b.page = bytes.Buffer{}
	}
	select {
	case t.idle <- b:
	default:
	}
}
