package e2e_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	scsimport "example.com/session/importers/scs"
	"example.com/session/internal/suites/kit"
)

// A browser has signed in to an application written with scs. After the change to this library it still is,
// in parallel frames too, and has only one cookie.
func TestABrowserStaysSignedInWhenItsApplicationMoves(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"memory", "cookie"} {
		t.Run(driver, func(t *testing.T) {
			old := scs.New()
			old.Store, old.Cookie.Name = memstore.NewWithCleanupInterval(0), "scs_session"
			a := newApplication(t, session.Config{
				Default: driver, Secret: kit.Secret, Logger: kit.Quiet, ImportUntil: time.Now().Add(time.Hour),
				Import: scsimport.New(old, scsimport.Options{User: func(values map[string]any) (string, time.Time) {
					user, _ := values["user"].(string)
					return user, time.Time{}
				}}),
			})
			moved := a.handler.Load()
			a.handler.Store(http.Handler(http.HandlerFunc(old.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				old.Put(r.Context(), "user", "ann")
				fmt.Fprint(w, "<p>user=ann</p>")
			})).ServeHTTP)))
			b := a.open()
			require.Equal(t, "ann", b.who("/app/in"))
			require.Contains(t, b.cookies(), "scs_session")

			a.handler.Store(moved)
			assert.Equal(t, "ann", b.who("/app/who"))
			assert.Contains(t, b.cookies(), "scs_session", "a page that only reads moves nothing")
			b.who("/app/keep")
			assert.NotContains(t, b.cookies(), "scs_session")
			assert.Contains(t, b.cookies(), "s_"+driver)
			assert.Equal(t, "ann", b.who("/app/who"))
			b.who("/app/out")
			assert.Empty(t, b.who("/app/who"))
		})
	}
}
