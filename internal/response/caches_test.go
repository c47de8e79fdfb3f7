package response_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"example.com/session/internal/response"
	"github.com/stretchr/testify/assert"
)

// protect returns the header of a response after ProtectFromCaches.
func protect(own http.Header, byAddress bool) http.Header {
	recorder := httptest.NewRecorder()
	h := recorder.Header()
	for field, values := range own {
		h[field] = slices.Clone(values)
	}
	var w response.Writer
	w.Begin(recorder, new(fakeHooks))
	w.ProtectFromCaches(byAddress)
	return h
}

func TestVaryIsOneLineThatNamesCookieOnce(t *testing.T) {
	for _, test := range []struct {
		name string
		own  []string
		want string
	}{
		{name: "none", want: "Cookie"},
		{name: "another field", own: []string{"Accept-Encoding"}, want: "Accept-Encoding, Cookie"},
		{name: "the same", own: []string{"Cookie"}, want: "Cookie"},
		{name: "in a list, in other letters", own: []string{"Accept, cOOKIE"}, want: "Accept, cOOKIE"},
		{name: "in a second line", own: []string{"Accept", "Cookie"}, want: "Accept, Cookie"},
		{name: "several lines", own: []string{"Accept-Encoding", "Origin, Accept"}, want: "Accept-Encoding, Origin, Accept, Cookie"},
		{name: "a field twice", own: []string{"Origin", "origin"}, want: "Origin, Cookie"},
		{name: "everything", own: []string{"*"}, want: "*"},
		{name: "everything, among others", own: []string{"Accept, *", "Origin"}, want: "*"},
		{name: "part of a name", own: []string{"Cookie2"}, want: "Cookie2, Cookie"},
		{name: "empty parts", own: []string{"", " , Accept,"}, want: "Accept, Cookie"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := http.Header{}
			if test.own != nil {
				h["Vary"] = test.own
			}
			once := protect(h, false)
			assert.Equal(t, []string{test.want}, once["Vary"])
			assert.Equal(t, once, protect(once, false), "a second call changes nothing")
		})
	}
}

func TestCacheControlKeepsSharedCachesFromStoring(t *testing.T) {
	for _, test := range []struct {
		name string
		own  []string
		want string
	}{
		{name: "none", want: "private, no-cache"},
		{name: "public", own: []string{"public, max-age=60"}, want: "private, max-age=60"},
		{name: "capitals and spaces", own: []string{" PUBLIC ,  Max-Age=60"}, want: "private, Max-Age=60"},
		{name: "s-maxage", own: []string{"max-age=60, s-maxage=600"}, want: "private, max-age=60"},
		{name: "s-maxage, written loosely", own: []string{"s-maxage = 600"}, want: "private"},
		{name: "max-age alone", own: []string{"max-age=60"}, want: "private, max-age=60"},
		{name: "private", own: []string{"private, max-age=60"}, want: "private, max-age=60"},
		{name: "private, later", own: []string{"max-age=60, private"}, want: "max-age=60, private"},
		{name: "private and public", own: []string{"public, private"}, want: "private"},
		{name: "no-store", own: []string{"no-store"}, want: "no-store"},
		{name: "no-store that may be ignored", own: []string{"must-understand, no-store"}, want: "no-store"},
		{name: "no-cache", own: []string{"no-cache"}, want: "private, no-cache"},
		{name: "private fields only", own: []string{`private="X-Name", max-age=60`}, want: "private, max-age=60"},
		{name: "private fields, several", own: []string{`private="X-Name, X-Mail", max-age=60`}, want: "private, max-age=60"},
		{name: "public with a value", own: []string{`public="x", max-age=60`}, want: "private, max-age=60"},
		{name: "a comma within quotes", own: []string{`public, no-cache="Set-Cookie, X-Name"`}, want: `private, no-cache="Set-Cookie, X-Name"`},
		{name: "a quote within quotes", own: []string{`ext="a\", public", s-maxage=1`}, want: `private, ext="a\", public"`},
		{name: "an open quote", own: []string{`ext="a, private`}, want: `private, ext="a, private`},
		{name: "two lines", own: []string{"public", "max-age=60"}, want: "private, max-age=60"},
		{name: "empty parts", own: []string{", ,max-age=60,"}, want: "private, max-age=60"},
		{name: "an empty line", own: []string{""}, want: "private"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := http.Header{}
			if test.own != nil {
				h["Cache-Control"] = test.own
			}
			once := protect(h, false)
			assert.Equal(t, []string{test.want}, once["Cache-Control"])
			assert.Equal(t, once, protect(once, false), "a second call changes nothing")
			assert.Equal(t, []string{"private, no-store"}, protect(h, true)["Cache-Control"], "known by address")
		})
	}
}

// forSharedCaches are fields that shared caches obey in place of Cache-Control. The second one is
// not in its canonical form.
var forSharedCaches = http.Header{
	"Cdn-Cache-Control":            {"max-age=60"},
	"CDN-Cache-Control":            {"max-age=60"},
	"Cloudflare-Cdn-Cache-Control": {"max-age=60"},
	"X-Litespeed-Cache-Control":    {"public, max-age=60"},
	"Surrogate-Control":            {"max-age=60"},
	"Edge-Control":                 {"max-age=60"},
	"X-Accel-Expires":              {"60"},
	"cache-control":                {"public"},
}

func TestFieldsForSharedCachesAreRemoved(t *testing.T) {
	others := http.Header{"X-Dns-Prefetch-Control": {"on"}, "Access-Control-Allow-Origin": {"*"}, "Content-Type": {"text/plain"}}
	own := forSharedCaches.Clone()
	for field, values := range others {
		own[field] = values
	}
	for _, byAddress := range []bool{false, true} {
		h := protect(own, byAddress)
		for field := range own {
			assert.Equal(t, others[field] != nil, h[field] != nil, field)
		}
	}
	response.NoStore(own)
	others["Cache-Control"] = []string{"no-store"}
	assert.Equal(t, others, own)
}

func TestCacheControlIsKeptAmongOtherFields(t *testing.T) {
	h := protect(http.Header{"Cache-Control": {"public, max-age=60"}, "X-Accel-Expires": {"60"}}, false)
	assert.Equal(t, http.Header{"Cache-Control": {"private, max-age=60"}, "Vary": {"Cookie"}}, h)
}

func TestNoStoreReplacesCacheControl(t *testing.T) {
	h := http.Header{"Cache-Control": {"public", "max-age=60"}}
	response.NoStore(h)
	assert.Equal(t, http.Header{"Cache-Control": {"no-store"}}, h)
}

// The values live in the Writer, so whoever changes or appends to them changes no other response.
func TestProtectedHeadersAreOfOneResponse(t *testing.T) {
	one, other := protect(nil, false), protect(nil, false)
	one["Vary"][0] = "changed"
	one["Cache-Control"][0] = "changed"
	one.Add("Vary", "Accept-Encoding")
	assert.Equal(t, []string{"changed"}, one["Cache-Control"], "appending to Vary must not reach its neighbour")
	assert.Equal(t, []string{"Cookie"}, other["Vary"])
	assert.Equal(t, []string{"private, no-cache"}, other["Cache-Control"])

	shared := []string{"Origin"} // as CORS middleware hands out
	protectShared := httptest.NewRecorder()
	protectShared.Header()["Vary"] = shared
	var w response.Writer
	w.Begin(protectShared, new(fakeHooks))
	w.ProtectFromCaches(false)
	assert.Equal(t, []string{"Origin"}, shared)
}

func TestProtectFromCachesDoesNotAllocate(t *testing.T) {
	recorder := httptest.NewRecorder()
	h := recorder.Header()
	var w response.Writer
	w.Begin(recorder, new(fakeHooks))
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		delete(h, "Vary")
		delete(h, "Cache-Control")
		w.ProtectFromCaches(false)
	}))
}

func BenchmarkProtectFromCaches(b *testing.B) {
	for name, own := range map[string]http.Header{
		"empty":     {},
		"usual":     {"Content-Type": {"text/html"}, "Set-Cookie": {"s=1"}},
		"ten more":  {"A-Long-Field": nil, "B-Long-Field": nil, "C-Long-Field": nil, "D-Long-Field": nil, "E-Long-Field": nil, "F-Long-Field": nil, "G-Long-Field": nil, "H-Long-Field": nil, "I-Long-Field": nil, "J-Long-Field": nil},
		"a handler": {"Vary": {"Accept-Encoding"}, "Cache-Control": {"public, max-age=60"}},
	} {
		b.Run(name, func(b *testing.B) {
			recorder := httptest.NewRecorder()
			h := recorder.Header()
			for b.Loop() {
				clear(h)
				for field, values := range own {
					h[field] = values
				}
				var w response.Writer
				w.Begin(recorder, nil)
				w.ProtectFromCaches(false)
			}
		})
	}
}

func BenchmarkWrapped(b *testing.B) {
	for _, set := range interfaceSets(calls{}) {
		b.Run(set.name, func(b *testing.B) {
			var w response.Writer
			for b.Loop() {
				w.Begin(set.w, nil)
				w.Wrapped()
			}
		})
	}
}
