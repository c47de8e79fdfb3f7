package response_test

import (
	"io"
	"maps"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

// aboutPage is what handlers say about their own page, which must not stand on another.
var aboutPage = http.Header{
	"Content-Type":               {"text/handler"},
	"Content-Length":             {"4"},
	"Content-Encoding":           {"handler"},
	"Content-Disposition":        {"attachment; filename=handler"},
	"Content-Language":           {"handler"},
	"Content-Location":           {"/handler"},
	"Content-Range":              {"bytes 0-3/handler"},
	"Content-Digest":             {"handler"},
	"Content-Md5":                {"handler"},
	"Repr-Digest":                {"handler"},
	"Digest":                     {"handler"},
	"ETag":                       {`"handler"`}, // not in its canonical form
	"Etag":                       {`"handler"`},
	"Last-Modified":              {"handler"},
	"Accept-Ranges":              {"handler"},
	"Cache-Control":              {"handler"},
	"Expires":                    {"handler"},
	"Location":                   {"/handler"},
	"Refresh":                    {"0; /handler"},
	"Trailer":                    {"Handler-Trailer"},
	"Transfer-Encoding":          {"handler"},
	"Connection":                 {"handler"},
	"Upgrade":                    {"handler"},
	"Sec-Websocket-Accept":       {"handler"},
	"X-Accel-Redirect":           {"/handler"},
	"X-Accel-Expires":            {"handler"},
	"X-Sendfile":                 {"/handler"},
	"HX-Redirect":                {"/handler"}, // not in its canonical form
	"Hx-Trigger":                 {"handler"},
	http.TrailerPrefix + "Early": {"handler"},
}

func TestErrorAnswerHasNothingThatIsAboutTheHandlersPage(t *testing.T) {
	for _, protocol := range protocols {
		e := serve(t, protocol, failing().middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			maps.Copy(w.Header(), aboutPage)
			io.WriteString(w, "page")
			w.Header().Set("Handler-Trailer", "handler")
			w.Header().Set(http.TrailerPrefix+"Late", "handler")
		})))
		assertErrorAnswer(t, e)
		assert.NotContains(t, e.raw, "handler", protocol)
		assert.Equal(t, "text/plain; charset=utf-8", e.response.Header.Get("Content-Type"))
		assert.Empty(t, e.response.Trailer, protocol)
	}
}

func TestErrorAnswerKeepsWhatIsNotAboutABody(t *testing.T) {
	kept := http.Header{
		"Content-Security-Policy":             {"default-src 'self'"},
		"Content-Security-Policy-Report-Only": {"default-src 'self'"},
		"Strict-Transport-Security":           {"max-age=60"},
		"Access-Control-Allow-Origin":         {"https://example.com"},
		"X-Frame-Options":                     {"DENY"},
		"Vary":                                {"Origin"},
		"Set-Cookie":                          {"other=1"},
	}
	for _, protocol := range protocols {
		e := serve(t, protocol, failing().middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			maps.Copy(w.Header(), kept)
			writesPage(w, r)
		})))
		assertErrorAnswer(t, e)
		for field, values := range kept {
			assert.Equal(t, values, e.response.Header[field], "%s on %s", field, protocol)
		}
	}
}

func TestErrorAnswerHasTheCookiesOfTheHook(t *testing.T) {
	hooks := failing()
	hooks.saved = "s=saved"
	hooks.onError = func(w http.ResponseWriter, r *http.Request, err error) {
		w.Header().Add("Set-Cookie", "s=error")
		w.WriteHeader(http.StatusBadGateway)
	}
	e := serve(t, "HTTP1", hooks.middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Set-Cookie", "s=handler")
		w.Header().Add("Set-Cookie", "other=1")
		writesPage(w, r)
	})))
	assertErrorAnswer(t, e)
	assert.Equal(t, []string{"other=1", "s=saved"}, e.response.Header["Set-Cookie"])
}

func TestOuterMiddlewaresFieldsAboutABodyAreRestored(t *testing.T) {
	for _, protocol := range protocols {
		hooks := failing()
		e := serve(t, protocol, http.HandlerFunc(func(outer http.ResponseWriter, r *http.Request) {
			outer.Header().Set("X-Request-Id", "42")
			outer.Header().Set("Content-Language", "en")
			outer.Header().Set("Location", "/outer")
			hooks.middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Del("Content-Language")
				w.Header().Set("Location", "/handler")
				writesPage(w, r)
			})).ServeHTTP(outer, r)
		}))
		assertErrorAnswer(t, e)
		assert.Equal(t, []string{"42"}, e.response.Header["X-Request-Id"])
		assert.Equal(t, []string{"en"}, e.response.Header["Content-Language"], protocol)
		assert.Equal(t, []string{"/outer"}, e.response.Header["Location"], protocol)
	}
}

func TestTrailersThatAHandlerSetsBeforeItPanicsDoNotLeak(t *testing.T) {
	e := serve(t, "HTTP2", failing().middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writesPage(w, r)
		w.Header().Set(http.TrailerPrefix+"Late", "handler")
		panic(http.ErrAbortHandler)
	})))
	assertErrorAnswer(t, e)
	assert.Empty(t, e.response.Trailer)
}
