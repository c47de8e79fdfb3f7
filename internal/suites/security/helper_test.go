package security_test

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/suites/kit"
)

const (
	idBytes    = 16
	tokenBytes = idBytes + 26 // an id and a secret
)

// inventedToken returns the text of a token that no server has issued.
func inventedToken() string {
	raw := make([]byte, tokenBytes)
	rand.Read(raw)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// withOtherSecret returns a token of the same id with an invented secret.
func withOtherSecret(t *testing.T, cookie string) string {
	t.Helper()
	name, value, _ := strings.Cut(cookie, "=")
	raw := rawToken(t, value)
	rand.Read(raw[idBytes:])
	return name + "=" + base64.RawURLEncoding.EncodeToString(raw)
}

// rawToken returns the bytes of a token of a driver that keeps sessions on a server.
func rawToken(t *testing.T, value string) []byte {
	t.Helper()
	raw, err := base64.RawURLEncoding.Strict().DecodeString(value)
	require.NoError(t, err)
	require.Len(t, raw, tokenBytes)
	return raw
}

// doNothing serves a request that does not use its session.
func doNothing(*session.Session) {}

// beside serves one more request of a site while another one is under way.
func beside(s *kit.Site, cookie string, do func(own *session.Session)) kit.Page {
	s.T.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", cookie)
	w := httptest.NewRecorder()
	s.Manager.Middleware(kit.HTTPHandler(do)).ServeHTTP(w, r)
	require.Equal(s.T, http.StatusOK, w.Code)
	return kit.Page{Response: w.Result()}
}

// signedIn returns the cookie of a session that Login has bound to a user.
func signedIn(s *kit.Site, user string) string {
	s.T.Helper()
	return s.Token(s.Ask("", func(own *session.Session) { own.Login(user) }))
}

// userOf returns the user that a cookie is signed in as, "" for nobody.
func userOf(s *kit.Site, cookie string) (user string) {
	s.T.Helper()
	s.Ask(cookie, func(own *session.Session) { user, _ = own.User() })
	return user
}

// dump returns everything that the store of a site keeps.
func dump(s *kit.Site) (lines []string) {
	s.T.Helper()
	if s.Store != nil {
		return s.Store.Dump()
	}
	conn := s.Redis()
	for _, key := range kit.StoredKeys(s.T, conn, s.Config.Redis.Namespace) {
		ask := []any{key}
		command := "GET"
		if strings.Contains(key, ":session:user:") {
			command, ask = "ZRANGE", []any{key, 0, -1}
		}
		data, err := conn.Do(command, ask...)
		require.NoError(s.T, err)
		lines = append(lines, fmt.Sprintf("%s %s", key, data))
	}
	return lines
}

// rawRequest sends Cookie lines as they are, over a connection of its own, to a handler that does this.
func rawRequest(s *kit.Site, do func(own *session.Session), cookieLines ...string) kit.Page {
	s.T.Helper()
	server := httptest.NewServer(s.Manager.Middleware(kit.HTTPHandler(do)))
	defer server.Close()
	return rawRequestTo(s.T, server, cookieLines...)
}

func rawRequestTo(t *testing.T, server *httptest.Server, cookieLines ...string) kit.Page {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	request := "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
	for _, line := range cookieLines {
		request += "Cookie: " + line + "\r\n"
	}
	go io.WriteString(conn, request+"\r\n") // a server that has seen enough stops reading
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return kit.Page{Response: response, Body: string(body)}
}
