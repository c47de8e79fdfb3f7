package session

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
)

// templateName is what templates call the session.
const templateName = "session"

// maxIdleClones is how many clones of a template set wait for the next request.
const maxIdleClones = 64

// maxIdleBuffer is the largest buffer that is kept for the next page.
const maxIdleBuffer = 1 << 20

var errUnbound = errors.New("session: the template is executed without a session; " +
	"execute it with Templates.ExecuteTemplate, or bind Session.TemplateFuncs to a clone")

// TemplateFuncs returns the function "session" for parsing templates, before Parse:
//
//	t := template.Must(template.New("").Funcs(session.TemplateFuncs()).ParseGlob("*.html"))
//	pages := session.NewTemplates(t)
//
// In the templates, {{ if session.Has "success" }}{{ session.Get "success" }}{{ end }} asks
// the default driver's session, also where a handler used another driver with Using. Executed
// otherwise than by Templates, the function fails and says why.
func TemplateFuncs() template.FuncMap {
	return template.FuncMap{templateName: func() (*Session, error) { return nil, errUnbound }}
}

// TemplateFuncs returns the function "session" bound to s, for those who clone a template a
// request themselves. Most callers should use Templates, which does not clone a request.
func (s *Session) TemplateFuncs() template.FuncMap {
	return template.FuncMap{templateName: func() (*Session, error) { return s, nil }}
}

// Templates executes a set of templates with the session of each request bound to the function
// "session". It keeps clones of the set and binds one at a time to a request, which costs a
// pointer; it is safe for concurrent use.
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

// NewTemplates takes a copy of t, which must have been parsed with TemplateFuncs and must not
// have been executed: html/template cannot copy it then, and NewTemplates panics.
func NewTemplates(t *template.Template) *Templates {
	base, err := t.Clone()
	if err != nil {
		panic(fmt.Sprintf("session: NewTemplates: %v; make it before the set is executed for the first time", err))
	}
	return &Templates{base: base, idle: make(chan *boundTemplate, maxIdleClones)}
}

// ExecuteTemplate executes the named template with the request's session, and writes the page
// to w when all of it is rendered. On an error of the template nothing has been written. The
// session is that of the middleware around r; without one the error says so.
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
		return fmt.Errorf("session: execute template: %w", err)
	}
	_, err = b.page.WriteTo(w)
	return err
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
	set.Funcs(template.FuncMap{templateName: func() (*Session, error) {
		if b.session == nil {
			return nil, errUnbound
		}
		return b.session, nil
	}})
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
