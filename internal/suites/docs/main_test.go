package docs_test

import (
	"net/http"
	"os"
	"testing"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// redirect returns a handler that uses the session and answers with a redirection.
func redirect(do func(s *session.Session)) kit.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
		do(s)
		w.WriteHeader(http.StatusFound)
	}
}
