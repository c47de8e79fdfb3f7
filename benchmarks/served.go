package main

import (
	"bufio"
	"bytes"
	"errors"
	"html/template"
	"io"
	"net"
	"net/http"
	"strings"

	"example.com/session"
)

// sockets is how many connections are kept busy.
const sockets = 8

// A socketRow is the throughput of a real server over keep-alive connections.
type socketRow struct {
	name  string
	times []float64 // nanoseconds a request, all connections together
}

// compareSockets serves the same page bare, with this library and with scs.
func compareSockets(p pace) []socketRow {
	mine, err := startOurs(setup{driver: memory})
	fail(err)
	defer mine.close()
	theirs, err := startSCS(setup{driver: memory})
	fail(err)
	defer theirs.close()
	served := []struct {
		name  string
		pages *pages
		page  http.Handler
	}{
		{"bare handler", nil, bareHandler},
		{"session, not opened", mine, mine.untouched},
		{"session, read one of five", mine, mine.read},
		{"session, read and write one", mine, mine.write},
		{"scs, not opened", theirs, theirs.untouched},
		{"scs, read one of five", theirs, theirs.read},
		{"scs, read and write one", theirs, theirs.write},
	}
	rows := make([]socketRow, len(served))
	laps := make([]lap, len(served))
	for i, s := range served {
		c := newClient(0)
		if s.pages != nil {
			s.pages.begin(c)
		}
		l, stop := serve(s.page, c)
		defer stop()
		rows[i].name, laps[i] = s.name, l
	}
	for i, times := range race(p, laps) {
		rows[i].times = times
	}
	return rows
}

// serve starts a server, and returns the lap that asks it over all connections.
func serve(page http.Handler, c *client) (lap, func()) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	fail(err)
	srv := &http.Server{Handler: page}
	go srv.Serve(listener)
	request := wire(c)
	conns := make([]*keptConn, sockets)
	for i := range conns {
		conn, err := net.Dial("tcp", listener.Addr().String())
		fail(err)
		conns[i] = &keptConn{conn: conn, replies: bufio.NewReader(conn)}
	}
	stop := func() {
		for _, c := range conns {
			c.conn.Close()
		}
		srv.Close()
	}
	return lap{run: func(n int) { together(sockets, n, func(i int) { fail(conns[i].ask(request)) }) }}, stop
}

// wire is the client's request as it is sent.
func wire(c *client) []byte {
	var b bytes.Buffer
	fail(c.prepared.Write(&b))
	return b.Bytes()
}

type keptConn struct {
	conn    net.Conn
	replies *bufio.Reader
}

// ask sends the request and reads the whole answer, which has to be a page.
func (k *keptConn) ask(request []byte) error {
	if _, err := k.conn.Write(request); err != nil {
		return err
	}
	answer, err := http.ReadResponse(k.replies, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// How a template is executed with the request's session.
const (
	unboundTemplate = "executed into a buffer, nothing bound"
	boundTemplate   = "Templates.ExecuteTemplate"
	clonedTemplate  = "Clone and Funcs for each request"
)

const pageText = `<!DOCTYPE html><title>{{.Title}}</title>
{{ if session.Has "message" }}<p class="note">{{ session.Get "message" }}</p>{{ end }}
<h1>Hello, {{ session.GetString "name" }}</h1>
<ul>{{ range .Items }}<li><a href="/item/{{.ID}}">{{.Name}}</a>: {{.Price}}</li>
{{ end }}</ul>`

type item struct {
	ID    int
	Name  string
	Price string
}

// compareTemplates renders a page within one request, in three ways.
func compareTemplates(p pace) map[string][]float64 {
	var times map[string][]float64
	inSession(func(r *http.Request, s *session.Session) {
		times = make(map[string][]float64)
		names := []string{unboundTemplate, boundTemplate, clonedTemplate}
		for i, t := range race(p, templateLaps(r, s)) {
			times[names[i]] = t
		}
	})
	return times
}

func templateLaps(r *http.Request, s *session.Session) []lap {
	data := map[string]any{"Title": "Shop", "Items": []item{
		{1, "Lamp", "12.50"}, {2, "Chair", "49.00"}, {3, "Table & bench", "129.00"}, {4, "Rug", "35.00"}, {5, "Shelf", "64.90"},
	}}
	parse := func(funcs template.FuncMap) *template.Template {
		return template.Must(template.New("page").Funcs(funcs).Parse(pageText))
	}
	out := &recorder{header: make(http.Header)}
	var buf bytes.Buffer
	into := func(t *template.Template) {
		buf.Reset()
		fail(t.ExecuteTemplate(&buf, "page", data))
		out.reset()
		buf.WriteTo(out)
	}
	unbound := parse(s.TemplateFuncs())
	bound := session.NewTemplates(parse(session.TemplateFuncs()))
	base := parse(session.TemplateFuncs())
	render := []func(){
		func() { into(unbound) },
		func() { out.reset(); fail(bound.ExecuteTemplate(out, r, "page", data)) },
		func() {
			clone, err := base.Clone()
			fail(err)
			into(clone.Funcs(s.TemplateFuncs()))
		},
	}
	laps := make([]lap, len(render))
	var page string
	for i, do := range render {
		do()
		if page == "" {
			page = string(out.body)
		}
		if string(out.body) != page || !strings.Contains(page, clientName(0)) {
			panic("the ways of rendering give different pages")
		}
		laps[i] = lap{run: func(n int) { together(1, n, func(int) { do() }) }}
	}
	return laps
}

// inSession runs do within a request of a client whose session is full.
func inSession(do func(r *http.Request, s *session.Session)) {
	m, err := session.NewManager(config(setup{driver: memory}))
	fail(err)
	defer m.Close()
	p, c := ourPages(m, false), newClient(0)
	p.begin(c)
	c.get(m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		do(r, session.FromContext(r.Context()))
		io.WriteString(w, ok)
	})))
}
