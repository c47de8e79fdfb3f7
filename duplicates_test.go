package session_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wellFormed is a token that no server has issued.
const wellFormed = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// liveToken stores a session with one value and returns its token.
func liveToken(v *visitor, value any) (cookie string) {
	v.t.Helper()
	var name string
	p := v.stranger().visit(func(s *session.Session) { s.Set("k", value) })
	for _, c := range p.Cookies() {
		name, cookie = c.Name, c.Value
	}
	require.NotEmpty(v.t, name)
	return cookie
}

func TestOfSeveralCookiesOnlyTheOneThatLivesIsUsed(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		v := newVisitor(t, m)
		a, b := liveToken(v, "a"), liveToken(v, "b")
		tests := []struct {
			name   string
			tokens []string
			want   any
		}{
			{name: "one twice", tokens: []string{a, a}, want: "a"},
			{name: "one five times", tokens: []string{a, a, a, a, a}, want: "a"},
			{name: "junk before", tokens: []string{"junk", a}, want: "a"},
			{name: "junk behind", tokens: []string{a, "junk"}, want: "a"},
			{name: "unknown before", tokens: []string{wellFormed, a}, want: "a"},
			{name: "empty behind", tokens: []string{a, ""}, want: "a"},
			{name: "one of four", tokens: []string{"x", "y", "z", a}, want: "a"},
			{name: "two live ones", tokens: []string{a, b}, want: nil},
			{name: "two live ones and junk", tokens: []string{a, "junk", b}, want: nil},
			{name: "two that are dead", tokens: []string{"x", wellFormed}, want: nil},
			{name: "more than four", tokens: []string{a, "w", "x", "y", "z"}, want: nil},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				pair := "; s_" + cfg.Default + "="
				header := strings.TrimPrefix(pair, "; ") + strings.Join(tt.tokens, pair)
				v.stranger().visit(func(s *session.Session) {
					assert.Equal(t, tt.want, s.Get("k"))
					assert.Equal(t, tt.want == nil, s.IsNew())
					assert.NoError(t, s.Err())
				}, "Cookie", header)
				v.stranger().visit(func(s *session.Session) {
					assert.Equal(t, tt.want, s.Get("k"), "in several lines of the header")
				}, linesOf(cfg.Default, tt.tokens)...)
			})
		}
		assert.EqualValues(t, 18, m.Stats().Duplicates)
	})
}

func linesOf(driver string, tokens []string) (headers []string) {
	for _, token := range tokens {
		headers = append(headers, "Cookie", "s_"+driver+"="+token)
	}
	return headers
}

func TestSeveralLiveCookiesGiveWayToANewSession(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		a, b := liveToken(v, "a"), liveToken(v, "b")
		p := v.stranger().visit(func(s *session.Session) { s.Set("k", "c") }, linesOf(cfg.Default, []string{a, b})...)
		fresh := p.cookie("s_" + cfg.Default)
		require.NotNil(t, fresh)
		assert.NotContains(t, []string{a, b}, fresh.Value)
		for token, want := range map[string]string{a: "a", b: "b", fresh.Value: "c"} {
			v.stranger().visit(func(s *session.Session) { assert.Equal(t, want, s.Get("k")) },
				linesOf(cfg.Default, []string{token})...)
		}
	})
}

// A session that ended a moment ago beside one that lives is no error of the one that lives.
func TestEndedDuplicateDoesNotSpoilTheLiveSession(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		live, ended := liveToken(v, "live"), liveToken(v, "ended")
		v.stranger().visit(func(s *session.Session) { s.Destroy() }, linesOf(cfg.Default, []string{ended})...)
		for _, tokens := range [][]string{{live, ended}, {ended, live}} {
			v.stranger().visit(func(s *session.Session) {
				assert.NoError(t, s.Open())
				assert.NoError(t, s.Err())
				assert.Equal(t, "live", s.Get("k"))
				assert.Equal(t, len(tokens), s.Increment("n", 2))
				assert.NoError(t, s.Save())
				s.Delete("n")
			}, linesOf(cfg.Default, tokens)...)
		}
	})
}

func TestDestroyEndsEverySessionThatCame(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		m := newManager(t, cfg)
		clock := setClock(m)
		v := newVisitor(t, m)
		a, b := liveToken(v, "a"), liveToken(v, "b")
		p := v.stranger().visit(func(s *session.Session) { s.Destroy() }, linesOf(cfg.Default, []string{a, b})...)
		assert.Equal(t, -1, p.cookie("s_"+cfg.Default).MaxAge)
		clock.advance(6 * time.Second)
		for _, token := range []string{a, b} {
			v.stranger().visit(func(s *session.Session) { assert.True(t, s.IsNew()) }, linesOf(cfg.Default, []string{token})...)
		}
	})
}

// With a Domain, a cookie of the same name without one may be left from before, and would come
// back beside ours for ever.
func TestDomainExpiresTheHostOnlyDuplicate(t *testing.T) {
	tests := []struct {
		name   string
		tokens []string // "a" and "b" stand for live ones
		do     func(s *session.Session)
		want   bool
	}{
		{name: "one cookie", tokens: []string{"a"}, do: read},
		{name: "one cookie twice", tokens: []string{"a", "a"}, do: read},
		{name: "a live and a dead one", tokens: []string{"a", "x"}, do: read, want: true},
		{name: "two live ones", tokens: []string{"a", "b"}, do: read, want: true},
		{name: "five", tokens: []string{"a", "w", "x", "y", "z"}, do: read, want: true},
		{name: "a write", tokens: []string{"a", "b"}, do: func(s *session.Session) { s.Set("k", 2) }, want: true},
		{name: "a logout", tokens: []string{"a", "b"}, do: func(s *session.Session) { s.Get("k"); s.Destroy() }, want: true},
		{name: "a logout that reads nothing", tokens: []string{"a", "b"}, do: func(s *session.Session) { s.Destroy() }, want: true},
		{name: "a logout with one cookie", tokens: []string{"a"}, do: func(s *session.Session) { s.Destroy() }, want: true},
		{name: "a logout with a farewell", tokens: []string{"b"}, do: farewell, want: true},
		{name: "a logout of nobody", do: farewell},
		{name: "one cookie that cannot be ours", tokens: []string{"x"}, do: read, want: true},
		{name: "unused", tokens: []string{"a", "b"}, do: func(*session.Session) {}},
	}
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.CookieAttributes.Domain = "example.com"
		v := newVisitor(t, newManager(t, cfg))
		live := map[string]string{"a": liveToken(v, "a"), "b": liveToken(v, "b")}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				var tokens []string
				for _, token := range tt.tokens {
					if of, ok := live[token]; ok {
						token = of
					}
					tokens = append(tokens, token)
				}
				p := v.stranger().visit(tt.do, linesOf(cfg.Default, tokens)...)
				assert.Equal(t, tt.want, expiresHostOnly(p, "s_"+cfg.Default), "%q", p.Header["Set-Cookie"])
			})
		}
	})
}

func read(s *session.Session) { s.Get("k") }

func farewell(s *session.Session) {
	s.Destroy()
	s.Flash("success", "Goodbye")
}

func expiresHostOnly(p page, name string) bool {
	for _, c := range p.Cookies() {
		if c.Name == name && c.Domain == "" && c.MaxAge < 0 {
			return true
		}
	}
	return false
}

func TestDomainIsOnEveryCookieThatIsSet(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		cfg.CookieAttributes.Domain = "example.com"
		v := newVisitor(t, newManager(t, cfg))
		p := v.visit(func(s *session.Session) { s.Flash("k", 1) })
		require.Len(t, p.Cookies(), 2)
		for _, c := range p.Cookies() {
			assert.Equal(t, "example.com", c.Domain, c.Name)
		}
		gone := v.visit(func(s *session.Session) { s.Destroy() },
			"Cookie", p.Cookies()[0].Name+"="+p.Cookies()[0].Value)
		assert.Equal(t, "example.com", gone.Cookies()[0].Domain)
		assert.Equal(t, -1, gone.Cookies()[0].MaxAge)
	})
}

// Where the browser has thrown the cookie out, or another program has set one of the same name,
// the session starts anew.
func TestCookiesOfOtherNamesAreNobodysSession(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newVisitor(t, newManager(t, cfg))
		token := liveToken(v, "a")
		name := "s_" + cfg.Default
		for _, other := range []string{"S_" + cfg.Default, name + "x", "x" + name, "s_other", "\u2000" + name, "__Host-" + name} {
			p := v.stranger().visit(func(s *session.Session) {
				assert.True(t, s.IsNew(), other)
			}, "Cookie", other+"="+token)
			assert.Empty(t, p.Header["Set-Cookie"], other)
		}
		v.stranger().serve(func(_ http.ResponseWriter, r *http.Request, s *session.Session) {
			assert.True(t, s.IsNew(), "neither a header nor a query is a cookie")
		}, name, token, "X-Session", token)
	})
}
