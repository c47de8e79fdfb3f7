package paths_test

import (
	"io"
	"net/http"
	"strings"
)

// An exit is a path out of a handler.
type exit struct {
	name   string
	leave  func(w http.ResponseWriter, r *http.Request)
	status int // of the handler's own answer; 0 if it gives none
	body   string
	panics bool
	early  bool // a 103 goes ahead
	bare   bool // HTTP/1.1: the connection is taken over before there was a header
	http1  bool // HTTP/2 has no such thing
}

var exits = []exit{
	{name: "WriteHeader", status: 202, leave: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(202) }},
	{name: "Write", status: 200, body: "page", leave: func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("page")) }},
	{name: "WriteString", status: 200, body: "page", leave: writePage},
	{name: "Copy", status: 200, body: "page", leave: func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, struct{ io.Reader }{strings.NewReader("page")}) // by ReadFrom, where there is one
	}},
	{name: "Flush", status: 200, body: "page", leave: func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		writePage(w, r)
	}},
	{name: "FlushError", status: 200, body: "page", leave: func(w http.ResponseWriter, r *http.Request) {
		w.(interface{ FlushError() error }).FlushError()
		writePage(w, r)
	}},
	{name: "ResponseController", status: 200, body: "page", leave: func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		writePage(w, r)
	}},
	{name: "Hijack", status: 200, body: "page", bare: true, leave: hijack("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage")},
	{name: "SwitchingProtocols", status: 101, body: "page", http1: true, leave: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "pages")
		w.WriteHeader(http.StatusSwitchingProtocols)
		hijack("page")(w, r)
	}},
	{name: "Return", status: 200, leave: func(http.ResponseWriter, *http.Request) {}},
	{name: "EarlyHints", status: 200, body: "page", early: true, leave: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload; as=style")
		w.WriteHeader(http.StatusEarlyHints)
		writePage(w, r)
	}},
	{name: "Redirect", status: 303, leave: func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusSeeOther)
	}},
	{name: "Panic", panics: true, leave: func(http.ResponseWriter, *http.Request) { panic("a handler's bug") }},
	{name: "AbortHandler", panics: true, leave: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
}

func writePage(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "page") }

// hijack takes the connection over and writes to it. If that is not supported, it writes a page.
func hijack(bytes string) func(w http.ResponseWriter, r *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			writePage(w, r)
			return
		}
		defer conn.Close()
		io.WriteString(conn, bytes)
	}
}
