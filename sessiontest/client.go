package sessiontest

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// A Browser is a client of a real server on a loopback port: it keeps cookies, and shows a
// redirect in place of following it. What goes wrong on the way fails its test, so it is used
// from the test's own goroutine; Client may be used from any.
type Browser struct {
	Client *http.Client
	URL    string // of the server, without a slash at its end

	t testing.TB
}

// Client serves a handler until the test ends, and returns a browser of it without cookies.
func Client(t testing.TB, handler http.Handler) *Browser {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return (&Browser{Client: server.Client(), URL: server.URL, t: t}).Another()
}

// Another returns a second browser of the same server, with cookies of its own.
func (b *Browser) Another() *Browser {
	jar, _ := cookiejar.New(nil) // fails never
	client := *b.Client
	client.Jar = jar
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Browser{Client: &client, URL: b.URL, t: b.t}
}

// A Page is an answer that has been read.
type Page struct {
	*http.Response
	Text string // the body
}

// Cookie returns the cookie of a name that the answer sets, nil where it sets none.
func (p Page) Cookie(name string) *http.Cookie {
	for _, c := range p.Cookies() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Get asks for a path.
func (b *Browser) Get(path string) Page {
	b.t.Helper()
	return b.Do(http.MethodGet, path, nil)
}

// Post sends a form to a path.
func (b *Browser) Post(path string, form url.Values) Page {
	b.t.Helper()
	return b.Do(http.MethodPost, path, strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
}

// Do sends a request; headers are pairs of a name and a value.
func (b *Browser) Do(method, path string, body io.Reader, headers ...string) Page {
	b.t.Helper()
	r, err := http.NewRequest(method, b.URL+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	response, err := b.Client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return Page{response, string(text)}
}
