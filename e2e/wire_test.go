package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWirePageDrawsTheLastExchangeAndMasksTokens(t *testing.T) {
	eachDriver(t, setup{}, func(t *testing.T, s *site) {
		b := s.open(t)
		b.visit("/wire")
		assert.Contains(t, b.text(".empty"), "this browser has no session")
		b.visit("/")
		b.addNote("watched")
		value := b.cookies()[s.cookie()].Value
		b.visit("/wire")

		heads := eval[[]string](b, `[...document.querySelectorAll(".wire text.head")].map(e => e.textContent)`)
		assert.Equal(t, []string{"POST /notes", "303 See Other", "GET /", "200 OK"}, heads)
		drawn := strings.Join(eval[[]string](b, `[...document.querySelectorAll(".wire text")].map(e => e.textContent)`), " ")
		for _, part := range []string{
			"no session cookie", "Location: /", "Set-Cookie: " + s.cookie() + "=‹", "HttpOnly; SameSite=Lax",
			"Set-Cookie: " + s.cookie() + "_f=1; Path=/;", "Cookie: " + s.cookie() + "=‹", "Set-Cookie: " + s.cookie() + "_f=; Path=/; Max-Age=0;",
		} {
			assert.Contains(t, drawn, part)
		}
		assert.Equal(t, 2, eval[int](b, `document.querySelectorAll(".wire .arrow.there").length`))
		assert.Equal(t, 2, eval[int](b, `document.querySelectorAll(".wire .arrow.back").length`))
		assert.Len(t, b.texts(".reasons li"), 2)

		source := eval[string](b, "document.documentElement.outerHTML")
		for i := 0; i+8 <= len(value); i += 4 {
			require.NotContains(t, source, value[i:i+8], "a part of the token is on the page")
		}
	})
}

func TestFormThatAnotherSitePostsIsRefused(t *testing.T) {
	eachDriver(t, setup{}, func(t *testing.T, s *site) {
		other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Write([]byte(`<!doctype html><title>Other</title><link rel="icon" href="data:,">
				<form method="post" action="` + s.url + `/notes"><input name="text" value="forged"><button>Win</button></form>`))
		}))
		t.Cleanup(other.Close)
		b := s.open(t)
		b.visit("/")
		b.addNote("my own")
		b.provokes("403")
		b.do(chromedp.Navigate(other.URL))
		assert.Equal(t, http.StatusForbidden, b.press("button"))
		b.visit("/")
		assert.Equal(t, []string{"my own"}, b.notes())
	})
}
