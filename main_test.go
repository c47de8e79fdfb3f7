package session_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// wellFormed has the form of a token, and is none that was ever issued.
var wellFormed = strings.Repeat("A", 56)

// read opens the session and looks for a key.
func read(s *session.Session) { s.Get("k") }

// redirect returns a handler that uses the session and answers with a redirection.
func redirect(do func(s *session.Session)) kit.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request, s *session.Session) {
		do(s)
		w.WriteHeader(http.StatusFound)
	}
}

// sharedDrivers keep sessions on a server: two requests that write at once both keep their writes.
var sharedDrivers = []string{"memory", "redis", "store"}

// eachSharedDriver runs a test on each of them.
func eachSharedDriver(t *testing.T, test func(t *testing.T, cfg session.Config)) {
	t.Helper()
	for _, name := range sharedDrivers {
		t.Run(name, func(t *testing.T) { test(t, kit.AccountConfig(t, name)) })
	}
}
