// Echo5 is an application on echo v5. Handlers return errors, which echo answers further out:
//
//	go run ./echo5
//
// prints the address to open.
package main

import (
	"flag"
	"fmt"
	"html/template"
	"log"
	"net/http"
	"time"

	"example.com/session"
	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"
)

var page = session.NewTemplates(template.Must(template.New("page").Funcs(session.TemplateFuncs()).Parse(`<!doctype html>
<title>echo</title>
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

	e := echo.New()
	e.Use(middleware.RequestLogger(), middleware.Recover())
	e.Use(echo.WrapMiddleware(manager.Middleware)) // after Recover, which is then outside
	e.GET("/", func(c *echo.Context) error {
		return page.ExecuteTemplate(c.Response(), c.Request(), "page", nil)
	})
	e.POST("/sign-in", func(c *echo.Context) error {
		s := session.FromRequest(c.Request())
		s.Login(c.FormValue("user")) // after the password was checked
		s.Flash("message", "You are signed in.")
		return c.Redirect(http.StatusSeeOther, "/")
	})
	e.GET("/missing", func(c *echo.Context) error {
		return echo.NewHTTPError(http.StatusNotFound, "there is no such thing")
	})
	e.GET("/panic", func(c *echo.Context) error {
		session.FromRequest(c.Request()).Set("lost", true)
		panic("on purpose")
	})
	e.GET("/stream", func(c *echo.Context) error {
		s := session.FromRequest(c.Request())
		for c.Request().Context().Err() == nil { // until the client has gone
			n := s.Increment("streamed", 1)
			if err := s.Save(); err != nil { // stored before the client sees it
				return err
			}
			fmt.Fprintf(c.Response(), "%d\n", n)
			http.NewResponseController(c.Response()).Flush()
			time.Sleep(50 * time.Millisecond)
		}
		return nil
	})

	log.Printf("serving http://%s (Ctrl-C ends it)", *address)
	server := http.Server{Addr: *address, Handler: e, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}
