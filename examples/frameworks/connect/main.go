// Connect serves a page and Connect RPCs, which also speak gRPC, beside each other:
//
//	go run ./connect
//
// prints the address to open. Its messages are protobuf's own, so that nothing has to be generated.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"log"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"example.com/session"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

var page = session.NewTemplates(template.Must(template.New("page").Funcs(session.TemplateFuncs()).Parse(`<!doctype html>
<title>Connect</title>
{{ with session.Get "message" }}<p class="message">{{ . }}</p>{{ end }}
<p>{{ with session.User }}Hello {{ . }}.{{ else }}Nobody is signed in.{{ end }}</p>
<form method="post" action="/sign-in"><input name="user" value="ann"><button>Sign in</button></form>
`)))

func main() {
	address := flag.String("address", "127.0.0.1:8080", "where to listen")
	if flag.Parse(); flag.NArg() > 0 {
		log.Fatalf("unknown argument %q: -h lists the flags", flag.Arg(0))
	}
	manager, err := session.NewManager(session.Config{Default: "memory"})
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if err := page.ExecuteTemplate(w, r, "page", nil); err != nil {
			log.Print(err)
		}
	})
	mux.HandleFunc("POST /sign-in", func(w http.ResponseWriter, r *http.Request) {
		s := session.FromRequest(r)
		s.Login(r.FormValue("user")) // after the password was checked
		s.Flash("message", "You are signed in.")
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	recovered := connect.WithRecover(func(_ context.Context, _ connect.Spec, _ http.Header, v any) error {
		log.Printf("panic: %v", v)
		return connect.NewError(connect.CodeInternal, errors.New("internal error"))
	})
	mux.Handle("/demo.Greeter/Greet", connect.NewUnaryHandler("/demo.Greeter/Greet", greet, recovered))
	mux.Handle("/demo.Greeter/Panic", connect.NewUnaryHandler("/demo.Greeter/Panic", panics, recovered))
	mux.Handle("/demo.Greeter/Count", connect.NewServerStreamHandler("/demo.Greeter/Count", count, recovered))

	log.Printf("serving http://%s (Ctrl-C ends it)", *address)
	server := http.Server{Addr: *address, Handler: manager.Middleware(mux), ReadHeaderTimeout: 5 * time.Second}
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true) // gRPC needs HTTP/2
	log.Fatal(server.ListenAndServe())
}

type (
	empty  = connect.Request[emptypb.Empty]
	text   = connect.Response[wrapperspb.StringValue]
	number = wrapperspb.Int64Value
)

func greet(ctx context.Context, _ *empty) (*text, error) {
	user, ok := session.FromContext(ctx).User()
	if !ok {
		return nil, connect.NewError(connect.CodeUnauthenticated, errors.New("sign in first"))
	}
	return connect.NewResponse(wrapperspb.String(fmt.Sprintf("Hello %s.", user))), nil
}

func panics(ctx context.Context, _ *empty) (*text, error) {
	session.FromContext(ctx).Set("kept", true) // Connect recovers inside the session middleware
	panic("on purpose")
}

func count(ctx context.Context, _ *empty, stream *connect.ServerStream[number]) error {
	s := session.FromContext(ctx)
	for ctx.Err() == nil { // until the client has gone
		n := s.Increment("streamed", 1)
		if err := s.Save(); err != nil { // stored before the client sees it
			return connect.NewError(connect.CodeUnavailable, err)
		}
		if err := stream.Send(wrapperspb.Int64(int64(n))); err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return ctx.Err()
}
