package sqlstore_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/sqlstore"
)

// newManager serves an application whose sessions are in the table, as its address.
func (s *site) newManager(t *testing.T, change func(cfg *session.Config)) (m *session.Manager, address string) {
	t.Helper()
	cfg := session.Config{
		Default:          "sql",
		Drivers:          map[string]session.Driver{"sql": s.driver(t, s.pool(t))},
		Logger:           slog.New(slog.DiscardHandler),
		CookieAttributes: session.CookieAttributes{Secure: session.SecureNever},
	}
	if change != nil {
		change(&cfg)
	}
	m, err := session.NewManager(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	mux := http.NewServeMux()
	mux.HandleFunc("/add", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, session.FromRequest(r).Increment("n", 1))
	})
	mux.HandleFunc("/login", func(_ http.ResponseWriter, r *http.Request) { session.FromRequest(r).Login("ann") })
	mux.HandleFunc("/logout", func(_ http.ResponseWriter, r *http.Request) { session.FromRequest(r).Logout() })
	mux.HandleFunc("/user", func(w http.ResponseWriter, r *http.Request) {
		name, _ := session.FromRequest(r).User()
		io.WriteString(w, name)
	})
	server := httptest.NewServer(m.Middleware(mux))
	t.Cleanup(server.Close)
	return m, server.URL
}

// newBrowser returns what asks for an address with cookies, and requires the status 200.
func newBrowser(t *testing.T) func(address string) (body string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := &http.Client{Jar: jar}
	return func(address string) string {
		t.Helper()
		response, err := client.Get(address)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, response.StatusCode, string(body))
		return string(body)
	}
}

func TestApplicationOfTwoProcesses(t *testing.T) {
	onDatabases(t, func(t *testing.T, s *site) {
		one, first := s.newManager(t, nil)
		_, second := s.newManager(t, nil)
		require.NoError(t, one.Ping(t.Context()))
		phone, laptop := newBrowser(t), newBrowser(t)
		for i, address := range []string{first, second, first, second} {
			assert.Equal(t, fmt.Sprint(i+1), phone(address+"/add"))
		}
		phone(first + "/login")
		laptop(second + "/login")
		assert.Equal(t, "ann", phone(second+"/user"))
		assert.Equal(t, "5", phone(second+"/add"), "the sign-in lost the visitor's data")
		sessions, err := one.Sessions(t.Context(), "ann")
		require.NoError(t, err)
		assert.Len(t, sessions, 2)

		laptop(first + "/logout")
		assert.Empty(t, laptop(second+"/user"))
		assert.Equal(t, "ann", phone(second+"/user"))
		require.NoError(t, one.EndAll(t.Context(), "ann"))
		assert.Empty(t, phone(second+"/user"))
		sessions, err = one.Sessions(t.Context(), "ann")
		require.NoError(t, err)
		assert.Empty(t, sessions)
		phone(first + "/login")
		assert.Equal(t, "ann", phone(second+"/user"))
	})
}

func TestSignInsOfOneUserAreLimited(t *testing.T) {
	onDatabases(t, func(t *testing.T, s *site) {
		m, address := s.newManager(t, func(cfg *session.Config) { cfg.MaxPerUser = 2 })
		browsers := []func(string) string{newBrowser(t), newBrowser(t), newBrowser(t)}
		for _, browser := range browsers {
			browser(address + "/login")
		}
		assert.Empty(t, browsers[0](address+"/user"), "the oldest session goes")
		assert.Equal(t, "ann", browsers[2](address+"/user"))
		sessions, err := m.Sessions(t.Context(), "ann")
		require.NoError(t, err)
		assert.Len(t, sessions, 2)
	})
}

// docs/sql.md shows this statement.
func TestOperatorEndsAUsersSessionsByName(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqlstore.Postgres, databases[0].open(t))
	_, address := s.newManager(t, nil)
	ann := newBrowser(t)
	ann(address + "/login")
	require.Equal(t, "ann", ann(address+"/user"))
	sessions, users := s.driver(t, s.db).Tables()
	s.exec(t, fmt.Sprintf(`DELETE FROM %s WHERE id IN (SELECT id FROM %s WHERE user_key =
		translate(encode(sha256('s_sql\000user\000ann'::bytea), 'base64'), '+/=', '-_'))`, sessions, users))
	assert.Empty(t, ann(address+"/user"))
}
