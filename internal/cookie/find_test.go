package cookie_test

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/internal/cookie"
)

// cookieTests are the seeds of FuzzFind too.
var cookieTests = []struct {
	name    string
	lines   []string
	want    []string
	tooMany bool
}{
	{name: "no header"},
	{name: "empty line", lines: []string{""}},
	{name: "other cookies only", lines: []string{"a=1; b=2"}},
	{name: "alone", lines: []string{"s_c=v"}, want: []string{"v"}},
	{name: "first", lines: []string{"s_c=v; a=1"}, want: []string{"v"}},
	{name: "last", lines: []string{"a=1; s_c=v"}, want: []string{"v"}},
	{name: "without blanks", lines: []string{"a=1;s_c=v;b=2"}, want: []string{"v"}},
	{name: "in the second line", lines: []string{"a=1", "s_c=v"}, want: []string{"v"}},
	{name: "empty value", lines: []string{"s_c="}, want: []string{""}},
	{name: "value with equal signs", lines: []string{"s_c=a=b=="}, want: []string{"a=b=="}},
	{name: "equal values count once", lines: []string{"s_c=v; s_c=v", "s_c=v"}, want: []string{"v"}},
	{name: "two values", lines: []string{"s_c=v; s_c=w", "s_c=v"}, want: []string{"v", "w"}},
	{name: "four values", lines: []string{"s_c=1; s_c=2; s_c=3; s_c=4; s_c=1"}, want: []string{"1", "2", "3", "4"}},
	{name: "five values", lines: []string{"s_c=1; s_c=2; s_c=3", "s_c=4; s_c=5"}, want: []string{"1", "2", "3", "4"}, tooMany: true},
	{name: "name in another letter case", lines: []string{"S_C=v; s_C=w"}},
	{name: "longer and shorter names", lines: []string{"s_cc=v; s_=w; xs_c=y; s_c_f=1"}},
	{name: "name twice", lines: []string{"s_cs_c=v; s_c s_c=w; s_c\ts_c=x; s_cs_cs_c=y"}},
	{name: "nameless cookie that looks like ours", lines: []string{"s_c; =s_c=v; =s_c"}},
	{name: "name in a value", lines: []string{"a=s_c=v"}},
	{name: "blanks and tabs around", lines: []string{" \t s_c=v\t ; a=1", "a=1;\ts_c =w"}, want: []string{"v", "w"}},
	{name: "blank before the value stays", lines: []string{"s_c= v"}, want: []string{" v"}},
	{name: "U+2000 before the name", lines: []string{"\u2000s_c=v"}},
	{name: "no-break space before the name", lines: []string{"\u00a0s_c=v; \xa0s_c=v"}},
	{name: "vertical tab and form feed before the name", lines: []string{"\vs_c=v; \fs_c=v"}},
	{name: "line ends before the name", lines: []string{"\ns_c=v; \rs_c=v"}},
	{name: "NUL before the name", lines: []string{"\x00s_c=v"}},
	{name: "quoted", lines: []string{`s_c="v"`}, want: []string{"v"}},
	{name: "quoted and blank", lines: []string{"a=1; s_c=\"v\" \t; b=2"}, want: []string{"v"}},
	{name: "quoted and not are one value", lines: []string{`s_c="v"; s_c=v`}, want: []string{"v"}},
	{name: "quoted and empty", lines: []string{`s_c=""`}, want: []string{""}},
	{name: "one pair of quotes is taken off", lines: []string{`s_c=""v""`}, want: []string{`"v"`}},
	{name: "quotes that are no pair stay", lines: []string{`s_c="v; s_c=w"; s_c="`}, want: []string{`"v`, `w"`, `"`}},
	{name: "RFC 2965", lines: []string{`$Version="1"; s_c="v"; $Path="/"; $Domain=".example.com"`}, want: []string{"v"}},
	{name: "RFC 2965, unquoted", lines: []string{"$Version=1; a=1; $Path=/; s_c=v;$Path=/"}, want: []string{"v"}},
	{name: "RFC 2965 of another cookie", lines: []string{`$Version="1"; s_cc="v"; $s_c="w"`}},
	{name: "percent signs stay", lines: []string{"s_c=%76"}, want: []string{"%76"}},
	{name: "bytes that no cookie has stay", lines: []string{"s_c=a\\b\"c,d e\xff"}, want: []string{"a\\b\"c,d e\xff"}},
	{name: "comma does not separate", lines: []string{"a=1, s_c=v"}},
	{name: "separators only", lines: []string{";;;; ; ;"}},
	{name: "as many pairs as net/http reads", lines: []string{strings.Repeat("a=1;", 2999) + "s_c=v"}, want: []string{"v"}},
	{name: "more pairs than net/http reads", lines: []string{strings.Repeat("a=1;", 3000) + "s_c=v"}},
	{name: "more pairs in two lines", lines: []string{strings.Repeat("a=1;", 2000) + "s_c=v", strings.Repeat(";", 1000)}},
	{name: "too many pairs are no cookies, whatever they are", lines: []string{strings.Repeat("s_c=v;", 3001)}},
}

func headerOf(lines []string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		h.Add("Cookie", line)
	}
	return h
}

func TestFind(t *testing.T) {
	for _, tt := range cookieTests {
		t.Run(tt.name, func(t *testing.T) {
			h := headerOf(tt.lines)
			got := cookie.Find(h["Cookie"], "s_c")
			assert.Equal(t, tt.want, slices.Clip(append([]string(nil), got.List()...)))
			assert.Equal(t, tt.tooMany, got.TooMany)
			for _, value := range tt.want {
				assert.True(t, cookie.HasPrefix(h["Cookie"], "s_c", value), "HasPrefix %q", value)
			}
			assert.False(t, cookie.HasPrefix(h["Cookie"], "s_c", "another"))
			if !tt.tooMany {
				assert.Equal(t, tt.want, cookie.All(h["Cookie"], "s_c", 64))
			}
		})
	}
	for _, h := range []http.Header{nil, {"Cookie": {"=v"}}} {
		found := cookie.Find(h["Cookie"], "")
		assert.Empty(t, found.List(), "no name finds no nameless cookie")
		assert.False(t, cookie.HasPrefix(h["Cookie"], "", "v"))
		assert.Empty(t, cookie.All(h["Cookie"], "", 64))
	}
}

func TestHasPrefixSeesEachOfManyValues(t *testing.T) {
	h := http.Header{"Cookie": {"s=1; s=2; s=3; s=4; s=5; s=6"}}
	assert.True(t, cookie.HasPrefix(h["Cookie"], "s", "6"))
	assert.False(t, cookie.HasPrefix(h["Cookie"], "s", "7"))
}

// A sign-out behind four junk cookies ends the session too.
func TestAllReturnsMoreValuesThanFindUpToItsLimit(t *testing.T) {
	var lines, want []string
	for i := range 64 {
		lines = append(lines, fmt.Sprintf("s=%d; s=%d", i, i))
		want = append(want, fmt.Sprint(i))
	}
	h := headerOf(append(lines, "s=64; s=65"))
	assert.Equal(t, want, cookie.All(h["Cookie"], "s", 64))
	assert.Equal(t, append(want, "64", "65"), cookie.All(h["Cookie"], "s", 100))
	found := cookie.Find(h["Cookie"], "s")
	assert.Equal(t, want[:4], found.List())
	assert.True(t, found.TooMany)
}

func TestHasSuffix(t *testing.T) {
	for line, want := range map[string]bool{
		"":                          false,
		"s_redis_f=1":               true,
		"a=b; s_redis_f=1; c=d":     true,
		"a=b;s_redis_f=1":           true,
		`s_redis_f="1"`:             true,
		"s_redis_f =1 ":             true,
		"s_cookie_f=1AfnGdIYuHPqCs": true,
		"s_redis_f=0":               true,
		"s_redis_f=":                true,
		"x_f_f\t=1":                 true,
		"s_redis_f":                 false,
		"s_redis=1":                 false,
		"s_redis_fx=1":              false,
		"a=_f=1":                    true, // it only may have come
		`$Version="1"; x_f="1"`:     true,
		"s_redis_F=1":               false,
		";;;=;_f;=1":                false,
	} {
		assert.Equal(t, want, cookie.HasSuffix(headerOf([]string{"x=y", line})["Cookie"], "_f"), line)
	}
	assert.False(t, cookie.HasSuffix(nil, "_f"))
}

func FuzzFind(f *testing.F) {
	for _, tt := range cookieTests {
		if line := strings.Join(tt.lines, "; "); len(line) < 1000 {
			f.Add(line, "s_c")
		}
	}
	f.Add("a=1; a=2; b=3", "a")
	f.Add(`$Version="1"; s_c_f="1"; $Path="/"`, "s_c_f")
	f.Add(";=", ";") // no name of a cookie: only what Find costs is bounded
	f.Fuzz(func(t *testing.T, line, name string) {
		r := &http.Request{Header: http.Header{"Cookie": {line}}}
		var found cookie.Values
		assert.LessOrEqual(t, allocated(func() { found = cookie.Find(r.Header["Cookie"], name) }), uint64(64<<10))
		got := found.List()
		require.LessOrEqual(t, len(got), 4)
		for i, value := range got {
			assert.NotContains(t, got[:i], value, "twice")
			assert.Contains(t, line, value)
			assert.True(t, cookie.HasPrefix(r.Header["Cookie"], name, value))
			if strings.HasSuffix(name, "_f") && !strings.Contains(name, "=") {
				assert.True(t, cookie.HasSuffix(r.Header["Cookie"], "_f"), line)
			}
		}
		if len(got) == 0 {
			assert.False(t, cookie.HasPrefix(r.Header["Cookie"], name, ""))
		}
		all := cookie.All(r.Header["Cookie"], name, 64)
		assert.Equal(t, got, append([]string{}, all[:min(len(all), 4)]...))
		assert.Equal(t, found.TooMany, len(all) > 4)
		if !cookie.ValidName(name) {
			return
		}
		if cookies, err := http.ParseCookie(line); err == nil && !strings.ContainsAny(line, "\r\n") {
			assert.Equal(t, standard(cookies, name), all, "%q in %q", name, line)
		}
		crumbs := http.Header{"Cookie": strings.Split(line, ";")}
		assert.Equal(t, found, cookie.Find(crumbs["Cookie"], name), "one header line for each pair")
	})
}

// standard returns the first 64 different values of a name among the cookies that net/http reads.
func standard(cookies []*http.Cookie, name string) (values []string) {
	for _, c := range cookies {
		if c.Name == name && !slices.Contains(values, c.Value) && len(values) < 64 {
			values = append(values, c.Value)
		}
	}
	return values
}

// allocated returns how many bytes do allocates.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestFindingAllocatesNothing(t *testing.T) {
	h := http.Header{"Cookie": {"a=1; s_c=" + strings.Repeat("v", 300) + "; s_c=w; b=2"}}
	for name, run := range map[string]func(){
		"Find":                  func() { found := cookie.Find(h["Cookie"], "s_c"); _ = found.List() },
		"Find without a header": func() { cookie.Find(nil, "s_c") },
		"HasPrefix":             func() { cookie.HasPrefix(h["Cookie"], "s_c", "w") },
		"HasPrefix without it":  func() { cookie.HasPrefix(h["Cookie"], "s_c_f", "1") },
		"HasSuffix":             func() { cookie.HasSuffix(h["Cookie"], "_f") },
	} {
		assert.Zero(t, testing.AllocsPerRun(100, run), name)
	}
}

func BenchmarkFind(b *testing.B) {
	sealed := strings.Repeat("v", 400)
	for _, tt := range []struct {
		name string
		h    http.Header
	}{
		{name: "none", h: http.Header{}},
		{name: "alone", h: http.Header{"Cookie": {"s_cookie=" + sealed}}},
		{name: "of ten", h: http.Header{"Cookie": {strings.Repeat("_ga=GA1.1.1234567890; ", 9) + "s_cookie=" + sealed}}},
	} {
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				cookie.Find(tt.h["Cookie"], "s_cookie")
			}
		})
		b.Run(tt.name+"/Has", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				cookie.HasPrefix(tt.h["Cookie"], "s_cookie_f", "1")
			}
		})
		b.Run(tt.name+"/HasSuffix", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				cookie.HasSuffix(tt.h["Cookie"], "_f")
			}
		})
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		line string
		want []string
	}{
		{line: ""},
		{line: "s_c=v; s_c_f=1; s_c_1234567=v; s_c_123456789=v; xs_c_12345678=v; s_c_12345678"},
		{line: "s_c_12345678=v; s_c_known_12=v", want: []string{"s_c_12345678"}},
		{line: "a=1;\ts_c_a =v; s_c_bbbbbbbb = v; s_c_bbbbbbbb=w; s_c_aaaaaaaa=", want: []string{"s_c_bbbbbbbb", "s_c_aaaaaaaa"}},
		{line: "s_c_aaaaaaaas_c_bbbbbbbb=v; a=s_c_cccccccc=v; s_c_aa;aaaaa=v; s_c_aa aaaaa=v"},
		{line: "s_c_1=;s_c_22222222=;s_c_33333333=;s_c_44444444=;s_c_55555555=", want: []string{"s_c_22222222", "s_c_33333333", "s_c_44444444"}},
	} {
		for _, lines := range [][]string{{tt.line}, strings.Split(tt.line, ";"), {"", tt.line, tt.line}} {
			assert.Equal(t, tt.want, cookie.Names(lines, "s_c_", 8, 3, "s_c_known_12"), "%q", lines)
		}
	}
	assert.Empty(t, cookie.Names([]string{strings.Repeat("a;", 3000) + "s_c_12345678=v"}, "s_c_", 8, 3, ""))
}
