// Gin is an application on gin. The session middleware is around the engine, not in it:
//
//	go run ./gin
//
// prints the address to open.
package main

import (
	"flag"
	"fmt"
	"html/template"
	"io"
	"log"
	"net/http"
	"time"

	"example.com/session"
	"github.com/gin-gonic/gin"
)

var page = session.NewTemplates(template.Must(template.New("page").Funcs(session.TemplateFuncs()).Parse(`<!doctype html>
<title>gin</title>
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

	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.Use(gin.Logger(), gin.Recovery())
	engine.GET("/", func(c *gin.Context) {
		// c.HTML would need a clone of the templates for each request: see docs/templates.md.
		if err := page.ExecuteTemplate(c.Writer, c.Request, "page", nil); err != nil {
			c.AbortWithError(http.StatusInternalServerError, err)
		}
	})
	engine.POST("/sign-in", func(c *gin.Context) {
		s := session.FromRequest(c.Request) // not FromContext(c)
		s.Login(c.PostForm("user"))         // after the password was checked
		s.Flash("message", "You are signed in.")
		c.Redirect(http.StatusSeeOther, "/")
	})
	engine.GET("/panic", func(c *gin.Context) {
		session.FromRequest(c.Request).Set("kept", true) // gin recovers inside the session middleware
		panic("on purpose")
	})
	engine.GET("/stream", func(c *gin.Context) {
		s := session.FromRequest(c.Request)
		c.Stream(func(w io.Writer) bool { // until the client has gone
			n := s.Increment("streamed", 1)
			if err := s.Save(); err != nil { // stored before the client sees it
				return false
			}
			fmt.Fprintf(w, "%d\n", n)
			time.Sleep(50 * time.Millisecond)
			return true
		})
	})

	log.Printf("serving http://%s (Ctrl-C ends it)", *address)
	server := http.Server{Addr: *address, Handler: manager.Middleware(engine), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}
