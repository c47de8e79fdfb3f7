package security_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/casstore"
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

// latest returns the cookie after a response that may have replaced it.
func latest(s *kit.Site, cookie string, p kit.Page) string {
	if c := p.Cookie(s.Cookie); c != nil {
		return c.Name + "=" + c.Value
	}
	return cookie
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

// The ways in which the sessions of a user can be listed and ended.
var accountDrivers = []string{"memory", "redis", "store", "cookie, revoked in memory", "cookie, revoked in redis"}

// eachAccountDriver runs a test on each of them.
func eachAccountDriver(t *testing.T, test func(t *testing.T, cfg session.Config)) {
	t.Helper()
	for _, name := range accountDrivers {
		t.Run(name, func(t *testing.T) { test(t, accountConfig(t, name)) })
	}
}

func accountConfig(t *testing.T, name string) session.Config {
	t.Helper()
	switch name {
	case "store":
		cfg := kit.DriverConfig(t, "memory")
		cfg.Default, cfg.Drivers = "store", map[string]session.Driver{"store": session.StoreDriver(new(casstore.Store))}
		return cfg
	case "cookie, revoked in memory":
		cfg := kit.DriverConfig(t, "cookie")
		cfg.Cookie.Revocation = "memory"
		return cfg
	case "cookie, revoked in redis":
		cfg := kit.DriverConfig(t, "redis")
		cfg.Default, cfg.Cookie.Revocation = "cookie", "redis"
		return cfg
	}
	return kit.DriverConfig(t, name)
}

// login signs a visitor in and returns the handle of its session.
func login(v *kit.Visitor, user string, hints ...string) (handle string) {
	v.T.Helper()
	v.Visit(func(s *session.Session) {
		s.Login(user)
		for i := 0; i+1 < len(hints); i += 2 {
			s.Describe(map[string]string{hints[i]: hints[i+1]})
		}
	})
	v.Visit(func(s *session.Session) {
		handle = s.Handle()
		got, ok := s.User()
		assert.True(v.T, ok, "the sign-in was not stored: %v", s.Err())
		assert.Equal(v.T, user, got)
	})
	return handle
}

// whoIs returns who a visitor is signed in as, "" for nobody.
func whoIs(v *kit.Visitor) (user string) {
	v.T.Helper()
	v.Visit(func(s *session.Session) { user, _ = s.User() })
	return user
}

// handles returns the handles of a user's sessions in a fixed order.
func handles(t *testing.T, m *session.Manager, user string) []string {
	t.Helper()
	infos, err := m.Sessions(t.Context(), user)
	require.NoError(t, err)
	found := []string{}
	for _, info := range infos {
		found = append(found, info.Handle)
	}
	slices.Sort(found)
	return found
}

// eventBook keeps the events of a manager.
type eventBook struct {
	mu     sync.Mutex
	events []session.Event
}

// captureEvents makes cfg report its events to the returned book.
func captureEvents(cfg *session.Config) *eventBook {
	b := new(eventBook)
	cfg.Events = func(_ context.Context, e session.Event) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.events = append(b.events, e)
	}
	return b
}

// of returns the events of a kind.
func (b *eventBook) of(kind session.EventKind) (found []session.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}
