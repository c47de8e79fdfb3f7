package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The pages themselves are tested in a browser: see e2e/.

func TestConfigurationJoinsFileAndFlags(t *testing.T) {
	file := filepath.Join(t.TempDir(), "session.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"default": "redis", "cookie": {"flash_ttl": 2}}`), 0o600))
	bare := filepath.Join(t.TempDir(), "bare.json")
	require.NoError(t, os.WriteFile(bare, []byte(`{}`), 0o600))
	tests := []struct {
		name         string
		driver, file string
		tls          bool
		want, prefix string
	}{
		{name: "nothing said", want: "memory", prefix: "s_"},
		{name: "driver", driver: "cookie", want: "cookie", prefix: "s_"},
		{name: "file", file: file, want: "redis", prefix: "s_"},
		{name: "driver before file", driver: "memory", file: file, want: "memory", prefix: "s_"},
		{name: "file without a driver", file: bare, want: "cookie", prefix: "s_"},
		{name: "TLS", tls: true, want: "memory", prefix: "__Host-s_"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := configure(tt.driver, tt.file, tt.tls)
			require.NoError(t, err)
			assert.Equal(t, tt.want, cfg.Default)
			assert.Equal(t, tt.prefix, cfg.CookieAttributes.Prefix)
			if tt.file == file {
				assert.Equal(t, 2*time.Second, cfg.Cookie.FlashTTL)
			}
			a, err := newApp(cfg)
			require.NoError(t, err)
			require.NoError(t, a.manager.Close())
		})
	}
	_, err := configure("", "no-such-file", false)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestPollsDoNotKeepASessionFromItsIdleTimeout(t *testing.T) {
	cfg, err := configure("memory", "", false)
	require.NoError(t, err)
	assert.True(t, cfg.Passive(httptest.NewRequest(http.MethodGet, pollPath, nil)))
	assert.False(t, cfg.Passive(httptest.NewRequest(http.MethodGet, "/", nil)))
}

func TestPartialIsTheDocumentedOne(t *testing.T) {
	ours, err := files.ReadFile("templates/messages.html")
	require.NoError(t, err)
	documented, err := os.ReadFile("../../testdata/messages.html")
	require.NoError(t, err)
	_, partial, found := bytes.Cut(documented, []byte("*/}}\n"))
	require.True(t, found, "the partial opens with a comment")
	assert.Equal(t, string(partial), string(ours))
}

// serveDemo serves the demo; the server's client keeps cookies and follows redirects.
func serveDemo(t *testing.T, driver string) (*app, *httptest.Server) {
	t.Helper()
	cfg, err := configure(driver, "", false)
	require.NoError(t, err)
	a, err := newApp(cfg)
	require.NoError(t, err)
	server := httptest.NewServer(a.handler())
	t.Cleanup(func() { server.Close(); require.NoError(t, a.manager.Close()) })
	server.Client().Jar, err = cookiejar.New(nil)
	require.NoError(t, err)
	return a, server
}

func TestEveryPageIsServed(t *testing.T) {
	for _, driver := range []string{"memory", "cookie"} {
		t.Run(driver, func(t *testing.T) {
			_, server := serveDemo(t, driver)
			for path, want := range map[string]int{
				"/": 200, "/flash": 200, "/flash/between": 202, "/flash/landing": 200, "/flash/badge.svg": 200, "/flash/poll": 200,
				"/flash/poll.js": 200, "/flash/rules.json": 200, "/sign-in": 200, "/session": 200, "/devices": 200, "/drivers": 200, "/at-once": 200,
				"/at-once/idle": 200, "/wire": 200, "/static/style.css": 200, "/static/icon.svg": 200, "/static/none": 404, "/none": 404,
			} {
				response, err := server.Client().Get(server.URL + path)
				require.NoError(t, err)
				response.Body.Close()
				assert.Equal(t, want, response.StatusCode, path)
				assert.Contains(t, response.Header.Get("Content-Security-Policy"), "default-src 'none'", path)
			}
			parsed, err := url.Parse(server.URL)
			require.NoError(t, err)
			assert.Empty(t, server.Client().Jar.Cookies(parsed), "looking around began a session")
		})
	}
}

func TestDeviceHasANameThatItsOwnerRecognizes(t *testing.T) {
	for agent, want := range map[string]string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0": "Edge on Windows",
		"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36":               "Chrome on Android",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15":         "Safari on macOS",
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                        "Firefox on Linux",
		"curl/8.14.1": "A browser on some system",
		"":            "A browser on some system",
	} {
		assert.Equal(t, want, deviceOf(agent))
	}
}

func TestStaticFilesAreSentAgainOnlyIfTheyChanged(t *testing.T) {
	_, server := serveDemo(t, "memory")
	first, err := server.Client().Get(server.URL + "/static/style.css")
	require.NoError(t, err)
	first.Body.Close()
	r, err := http.NewRequest(http.MethodGet, server.URL+"/static/style.css", nil)
	require.NoError(t, err)
	r.Header.Set("If-None-Match", first.Header.Get("Etag"))
	second, err := server.Client().Do(r)
	require.NoError(t, err)
	second.Body.Close()
	assert.Equal(t, http.StatusNotModified, second.StatusCode)
	assert.Empty(t, second.Header["Vary"], "files have nothing to do with sessions")
}

// A session keeps its handle at the sign-in. The sign-out ends it, and its message begins another.
func TestJournalFollowsASessionAndKeepsNoToken(t *testing.T) {
	a, server := serveDemo(t, "memory")
	post := func(path string, form url.Values) {
		response, err := server.Client().PostForm(server.URL+path, form)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, response.Body) // at its end the exchange is in the journal
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, 200, response.StatusCode)
	}
	post("/notes", url.Values{"text": {"a note"}})
	post("/sign-in", url.Values{"name": {"Ann"}})
	require.Len(t, a.journal.books, 1)
	handle := a.journal.order[0]
	book := a.journal.latest(handle)
	var paths []string
	for _, x := range book {
		paths = append(paths, x.Method+" "+x.Path)
	}
	assert.Equal(t, []string{"POST /notes", "GET /", "POST /sign-in", "GET /session"}, paths)

	parsed, err := url.Parse(server.URL)
	require.NoError(t, err)
	for _, c := range server.Client().Jar.Cookies(parsed) {
		for _, x := range book {
			assert.NotContains(t, strings.Join(append(x.requestLines(), x.answerLines()...), " "), c.Value[:8])
		}
	}
	post("/sign-out", nil)
	require.Len(t, a.journal.books, 1, "the book of the ended session is kept")
	assert.NotEqual(t, handle, a.journal.order[0])
	assert.Len(t, a.journal.latest(a.journal.order[0]), 6, "the sign-out and its page are in another book")
}

func TestJournalIsBounded(t *testing.T) {
	j := newJournal("s_")
	for i := range keptBooks + 10 {
		j.enter("", string(rune('a'+i)), exchange{})
	}
	assert.Len(t, j.books, keptBooks)
	assert.Len(t, j.order, keptBooks)
	for range keptExchanges + 10 {
		j.enter(j.order[0], j.order[0], exchange{})
	}
	assert.Len(t, j.latest(j.order[0]), keptExchanges)
	j.enter("", "", exchange{})
	assert.Empty(t, j.latest(""), "visitors without a session share a book")
}

func TestStoryIsTheLastFormAndWhereItsRedirectsLed(t *testing.T) {
	get := func(path, dest, location string) exchange {
		return exchange{Method: "GET", Path: path, Dest: dest, Location: location}
	}
	post := exchange{Method: "POST", Path: "/a", Location: "/b?x=1"}
	tests := []struct {
		name string
		book []exchange
		want string
	}{
		{name: "nothing", want: ""},
		{name: "a page", book: []exchange{get("/a", "document", ""), get("/b", "document", ""), get("/wire", "document", "")}, want: "/b"},
		{name: "only the picture itself", book: []exchange{get("/wire", "document", "")}, want: ""},
		{name: "a form", book: []exchange{get("/c", "", ""), post, get("/b", "document", ""), get("/d", "document", "")}, want: "/a /b"},
		{name: "two redirects", book: []exchange{post, get("/b", "document", "/c"), get("/c", "document", "")}, want: "/a /b /c"},
		{name: "others in between", book: []exchange{post, get("/x", "image", ""), get("/b", "empty", ""), get("/b", "document", "")}, want: "/a /b"},
		{name: "not yet arrived", book: []exchange{post}, want: "/a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var paths []string
			for _, x := range story(tt.book) {
				paths = append(paths, x.Path)
			}
			assert.Equal(t, tt.want, strings.Join(paths, " "))
		})
	}
}

func TestSetCookieLinesAreParsed(t *testing.T) {
	token := strings.Repeat("kT4_", 14)
	c := parseSetCookie("s_memory=" + token + "; Path=/; HttpOnly")
	assert.Equal(t, wireCookie{Name: "s_memory", Mark: mark(token), Attributes: "Path=/; HttpOnly"}, c)
	assert.NotContains(t, c.Mark, token[:6])
	assert.Equal(t, wireCookie{Name: "s_memory_f", Mark: "1", Attributes: "Path=/"}, parseSetCookie("s_memory_f=1; Path=/"))
	assert.Equal(t, wireCookie{Name: "s_memory", Attributes: "Path=/; Max-Age=0; HttpOnly", Deleted: true},
		parseSetCookie("s_memory=; Path=/; Max-Age=0; HttpOnly"))
}

func TestWrapLosesNothingAndKeepsTheWidth(t *testing.T) {
	tests := []struct{ line, want string }{
		{line: "", want: ""},
		{line: "short", want: "short"},
		{line: "two words here", want: "two words|here"},
		{line: "averyverylongword", want: "averyveryl|ongword"},
		{line: "a averyverylongword b", want: "a|averyveryl|ongword b"},
		{line: "‹‹‹‹‹ ›››››", want: "‹‹‹‹‹|›››››"},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, strings.Join(wrap(tt.line, 10), "|"), tt.line)
	}
}

func TestDurationsHaveAtMostTwoUnits(t *testing.T) {
	tests := []struct {
		d    time.Duration
		want string
	}{
		{d: 0, want: "0 s"},
		{d: 59 * time.Second, want: "59 s"},
		{d: 61 * time.Second, want: "1 min 1 s"},
		{d: time.Hour, want: "1 h"},
		{d: 24*time.Hour - time.Second, want: "23 h 59 min"},
		{d: 24 * time.Hour, want: "24 h"},
		{d: 30 * 24 * time.Hour, want: "30 d"},
		{d: 49 * time.Hour, want: "2 d 1 h"},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, roughly(tt.d))
	}
}

func TestPauseEndsWithTheRequest(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.False(t, pause(httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil), time.Hour))
}

func TestCertificateIsForThisMachine(t *testing.T) {
	config, err := selfSigned()
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = config
	server.StartTLS()
	t.Cleanup(server.Close)
	leaf := server.Certificate()
	assert.NoError(t, leaf.VerifyHostname("localhost"))
	assert.NoError(t, leaf.VerifyHostname("127.0.0.1"))
	assert.True(t, leaf.NotAfter.After(time.Now()))
}
