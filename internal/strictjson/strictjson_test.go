package strictjson_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/internal/strictjson"
)

// settings have a field of each kind.
type settings struct {
	Name     string
	Secret   string
	Previous []string
	Lifetime time.Duration
	Mode     int
	Redis    struct {
		Port    int
		TLS     bool
		Options struct{ DB int }
	}
}

func (s *settings) fields() strictjson.Fields {
	return strictjson.Fields{
		"name":     strictjson.String(&s.Name),
		"secret":   strictjson.Secret(&s.Secret),
		"previous": strictjson.Secrets(&s.Previous),
		"lifetime": strictjson.Duration(&s.Lifetime),
		"mode":     strictjson.Choice(&s.Mode, map[string]int{"auto": 1, "never": 2}),
		"redis": strictjson.Object(strictjson.Fields{
			"port":    strictjson.Int(&s.Redis.Port),
			"tls":     strictjson.Bool(&s.Redis.TLS),
			"options": strictjson.Object(strictjson.Fields{"db": strictjson.Int(&s.Redis.Options.DB)}),
		}),
	}
}

func parse(data string) (s settings, problems []error) {
	problems = strictjson.Parse([]byte(data), s.fields())
	return s, problems
}

func TestParseReadsEveryKind(t *testing.T) {
	s, problems := parse(`{"name": "é", "secret": "hunter2", "previous": ["a", "b"], "lifetime": "90m", "mode": "never",
		"redis": {"port": -6379, "tls": true, "options": {"db": 1}}}`)
	require.Empty(t, problems)
	var want settings
	want.Name, want.Secret, want.Previous, want.Lifetime, want.Mode = "é", "hunter2", []string{"a", "b"}, 90*time.Minute, 2
	want.Redis.Port, want.Redis.TLS, want.Redis.Options.DB = -6379, true, 1
	assert.Equal(t, want, s)
}

func TestWhatIsNotThereIsLeftAlone(t *testing.T) {
	s := settings{Name: "kept", Previous: []string{"kept"}, Lifetime: time.Hour}
	s.Redis.TLS = true
	want := s
	require.Empty(t, strictjson.Parse([]byte(` {"redis": {}} `), s.fields()))
	assert.Equal(t, want, s)
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "3600": time.Hour, "0.5": 500 * time.Millisecond, "-0.25": -250 * time.Millisecond, "9223372036": 9223372036 * time.Second,
		`"90m"`: 90 * time.Minute, `"1h30m"`: 90 * time.Minute, `"-2s"`: -2 * time.Second, `"0"`: 0,
	} {
		s, problems := parse(`{"lifetime": ` + text + `}`)
		assert.Empty(t, problems, text)
		assert.Equal(t, want, s.Lifetime, text)
	}
}

// problemTests are the seeds of FuzzParse too. No problem may quote hunter2 or 12345.
var problemTests = []struct {
	name, data string
	want       []string // one for each problem, in the order of the text
}{
	{name: "empty", data: "", want: []string{"not valid JSON: the text ends too early; the shortest valid text is {}"}},
	{name: "white space only", data: " \n\t", want: []string{"the shortest valid text is {}"}},
	{name: "cut short", data: `{"name": "x"`, want: []string{"ends too early"}},
	{name: "byte order mark", data: "\ufeff{}", want: []string{"begins with a byte order mark"}},
	{name: "UTF-16, little endian", data: "\xff\xfe{\x00}\x00", want: []string{"not UTF-8"}},
	{name: "UTF-16, big endian", data: "\xfe\xff\x00{\x00}", want: []string{"not UTF-8"}},
	{name: "Latin-1", data: "{\n \"secret\": \"\xe9\"}", want: []string{"not UTF-8"}},
	{name: "larger than 1 MiB", data: "{" + strings.Repeat(" ", 1<<20) + "}", want: []string{"larger than 1 MiB (1048576 bytes)"}},
	{name: "comma too many", data: "{\n\t\"name\": \"x\",\n}", want: []string{"not valid JSON here or just before"}},
	{name: "comma missing", data: "{\"name\": \"x\"\n \"mode\": 1}", want: []string{"line 2: not valid JSON"}},
	{name: "comment", data: "{ // why\n}", want: []string{"line 1: not valid JSON"}},
	{name: "single quotes", data: "{'name': 1}", want: []string{"line 1: not valid JSON"}},
	{name: "secret without quotes", data: "{\n\"secret\": hunter2}", want: []string{"line 2: not valid JSON"}},
	{name: "NaN", data: `{"lifetime": NaN}`, want: []string{"not valid JSON"}},
	{name: "too deep", data: strings.Repeat("[", 20000), want: []string{"not valid JSON"}},
	{name: "trailing object", data: "{}\n{}", want: []string{"not valid JSON"}},
	{name: "trailing secret", data: "{} hunter2", want: []string{"line 1: not valid JSON"}},
	{name: "trailing form feed", data: "{}\f", want: []string{"not valid JSON"}},
	{name: "trailing no-break space", data: "{}\u00a0", want: []string{"not valid JSON"}},
	{name: "trailing NUL", data: "{}\x00", want: []string{"not valid JSON"}},
	{name: "array", data: "[[{}]]", want: []string{"line 1: top level: want an object"}},
	{name: "null", data: "null", want: []string{"top level: want an object"}},
	{name: "string", data: `"$HOME"`, want: []string{"top level: want an object"}},

	{name: "unknown", data: `{"flavour": {"a": [1]}, "name": 1}`, want: []string{
		`line 1: top level: unknown key "flavour"; known are lifetime, mode, name, previous, redis, secret`, "name: want a string",
	}},
	{name: "unknown below", data: "{\"redis\": {\n\"options\": {\n\"dbb\": 1}}}", want: []string{`line 3: redis.options: unknown key "dbb"; known are db`}},
	{name: "another letter case", data: `{"Name": "x"}`, want: []string{`top level: unknown key "Name"`}},
	{name: "empty key", data: `{"": 1}`, want: []string{`unknown key ""`}},
	{name: "key that looks like a path", data: `{"redis.port": 1}`, want: []string{`top level: unknown key "redis.port"`}},
	{name: "key with a line break", data: `{"a\nb": 1}`, want: []string{`unknown key "a\nb"`}},
	{name: "endless key", data: `{"` + strings.Repeat("k", 5000) + `": 1}`, want: []string{`kkk"; known are`}},
	{name: "given twice", data: `{"name": "a", "name": "b"}`, want: []string{`top level: the key "name" is repeated`}},
	{name: "given twice, once escaped", data: `{"redis": {"port": 1, "\u0070ort": 2}}`, want: []string{`redis: the key "port" is repeated`}},
	{name: "object given twice", data: `{"redis": {}, "redis": {"port": "x"}}`, want: []string{`top level: the key "redis" is repeated`}},

	{name: "null for a string", data: `{"secret": null, "name": null}`, want: []string{"secret: want a string", "name: want a string"}},
	{name: "null for the rest", data: `{"previous": null, "lifetime": null, "mode": null, "redis": null}`, want: []string{"previous", "lifetime", "mode", "redis"}},
	{name: "number for a string", data: `{"secret": 12345}`, want: []string{"secret: want a string"}},
	{name: "object for a string", data: `{"secret": {"from": "hunter2"}}`, want: []string{"secret: want a string"}},
	{name: "string for a list", data: `{"previous": "hunter2"}`, want: []string{"previous: want an array of strings"}},
	{name: "object for a list", data: `{"previous": {"a": 1}}`, want: []string{"previous: want an array of strings"}},
	{name: "others in a list", data: `{"previous": ["a", 7, null, ["b"]]}`, want: []string{
		"previous[1]: want a string", "previous[2]: want a string", "previous[3]: want a string",
	}},
	{name: "string for an object", data: `{"redis": "redis://:hunter2@h"}`, want: []string{"redis: want an object"}},
	{name: "array for an object", data: `{"redis": [{"port": 1}], "mode": "x"}`, want: []string{"redis: want an object", "mode"}},
	{name: "string for a number", data: `{"redis": {"port": "12345"}}`, want: []string{"redis.port: want a whole number"}},
	{name: "fraction", data: `{"redis": {"port": 63.79}}`, want: []string{"redis.port: want a whole number"}},
	{name: "exponent", data: `{"redis": {"port": 1e3}}`, want: []string{"redis.port: want a whole number"}},
	{name: "number too large", data: `{"redis": {"port": 9223372036854775808}}`, want: []string{"redis.port: want a whole number"}},
	{name: "string for a bool", data: `{"redis": {"tls": "true"}}`, want: []string{"redis.tls: want true or false"}},
	{name: "number for a bool", data: `{"redis": {"tls": 1}}`, want: []string{"redis.tls: want true or false"}},
	{name: "no such word", data: `{"mode": "Auto"}`, want: []string{`mode: want one of ["auto" "never"]`}},
	{name: "bool for a word", data: `{"mode": true}`, want: []string{"mode: want one of"}},

	{name: "duration without unit", data: `{"lifetime": "3600"}`, want: []string{`lifetime: want a number of seconds such as 0.5, or a string such as "90m"`}},
	{name: "duration in days", data: `{"lifetime": "1d"}`, want: []string{"lifetime: want"}},
	{name: "duration NaN", data: `{"lifetime": "NaN"}`, want: []string{"lifetime: want"}},
	{name: "empty duration", data: `{"lifetime": ""}`, want: []string{"lifetime: want"}},
	{name: "bool for a duration", data: `{"lifetime": true}`, want: []string{"lifetime: want"}},
	{name: "seconds that overflow", data: `{"lifetime": 9223372037}`, want: []string{"lifetime: want"}},
	{name: "seconds beyond a float", data: `{"lifetime": 1e400}`, want: []string{"lifetime: want"}},
	{name: "seconds with an exponent", data: `{"lifetime": 1e3}`, want: []string{"lifetime: want"}},
	{name: "Go duration that overflows", data: `{"lifetime": "9999999h"}`, want: []string{"lifetime: want"}},
	{name: "seconds that would vanish", data: `{"lifetime": 0.0000000001}`, want: []string{"lifetime: want"}},
	{name: "Go duration that would vanish", data: `{"lifetime": "0.1ns"}`, want: []string{"lifetime: want"}},

	{name: "variable not set", data: `{"name": "$STRICTJSON_UNSET"}`, want: []string{`name: the environment variable STRICTJSON_UNSET is not set; write "$$"`}},
	{name: "variable not set, in a list", data: `{"previous": ["$hunter2"]}`, want: []string{"previous[0]: the environment variable named here is not set"}},
	{name: "secret that begins with a dollar", data: `{"secret": "$hunter2"}`, want: []string{"secret: the environment variable named here is not set"}},
	{name: "secret that begins with a dollar and has signs", data: `{"secret": "$hunter2!"}`, want: []string{`secret: begins with a dollar but is no "$NAME"; write "$$"`}},
	{name: "dollar alone", data: `{"name": "$"}`, want: []string{"name: begins with a dollar"}},
	{name: "braces", data: `{"name": "${HOME}"}`, want: []string{"name: begins with a dollar"}},
	{name: "digit first", data: `{"name": "$1"}`, want: []string{"name: begins with a dollar"}},
	{name: "literal dollar for a number", data: `{"redis": {"port": "$$1"}}`, want: []string{"redis.port: want a whole number"}},
	{name: "half a surrogate pair", data: `{"secret": "\ud800hunter2"}`, want: []string{"secret: the string has U+FFFD or half a surrogate pair"}},

	{
		name: "all at once",
		data: "{\"secert\": \"hunter2\",\n\"lifetime\": \"x\",\n\"redis\": {\"port\": \"x\", \"options\": {\"db\": null}},\n\"previous\": {}}",
		want: []string{
			`line 1: top level: unknown key "secert"`, "line 2: lifetime: want", "line 3: redis.port: want a whole number",
			"line 3: redis.options.db: want a whole number", "line 4: previous: want an array",
		},
	},
}

func TestEveryProblemIsReportedAndNoSecret(t *testing.T) {
	for _, test := range problemTests {
		t.Run(test.name, func(t *testing.T) {
			_, problems := parse(test.data)
			require.Len(t, problems, len(test.want), "%v", errors.Join(problems...))
			for i, want := range test.want {
				assert.Contains(t, problems[i].Error(), want)
				assert.NotContains(t, problems[i].Error(), "\n")
				assert.Less(t, len(problems[i].Error()), 250)
			}
			assert.NotContains(t, fmt.Sprint(problems), "hunter2")
			assert.NotContains(t, fmt.Sprint(problems), "12345")
		})
	}
}

func TestFieldsWithAProblemKeepTheirValues(t *testing.T) {
	s := settings{Name: "kept", Lifetime: time.Hour, Mode: 7}
	problems := strictjson.Parse([]byte(`{"name": "$", "lifetime": "x", "mode": "x", "redis": {"port": 1}}`), s.fields())
	assert.Len(t, problems, 3)
	assert.Equal(t, "kept", s.Name)
	assert.Equal(t, time.Hour, s.Lifetime)
	assert.Equal(t, 7, s.Mode)
	assert.Equal(t, 1, s.Redis.Port, "the fields without a problem are read")
}

func TestProblemsAreNotListedWithoutEnd(t *testing.T) {
	var data strings.Builder
	data.WriteString(`{"name": "x"`)
	for i := range 20000 {
		fmt.Fprintf(&data, `, "key%d": 1`, i)
	}
	data.WriteString(`}`)
	_, problems := parse(data.String())
	require.Len(t, problems, 33)
	assert.EqualError(t, problems[32], "more problems follow, which are not listed")
}

func TestValuesComeFromTheEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"SECRET": "hunter2", "PORT": "6380", "SECONDS": "0.5", "DURATION": "90m", "BOOL": "true", "MODE": "never", "DOLLARS": "$HOME", "EMPTY": "",
	} {
		t.Setenv("STRICTJSON_"+name, value)
	}
	s, problems := parse(`{"name": "$STRICTJSON_EMPTY", "secret": "$STRICTJSON_DOLLARS", "lifetime": "$STRICTJSON_DURATION", "mode": "$STRICTJSON_MODE",
		"previous": ["$$literal", "$STRICTJSON_SECRET", "$$$", "in$ide"], "redis": {"port": "$STRICTJSON_PORT", "tls": "$STRICTJSON_BOOL"}}`)
	require.Empty(t, problems)
	assert.Empty(t, s.Name)
	assert.Equal(t, "$HOME", s.Secret, "expanded once")
	assert.Equal(t, []string{"$literal", "hunter2", "$$", "in$ide"}, s.Previous)
	assert.Equal(t, 90*time.Minute, s.Lifetime)
	assert.Equal(t, 2, s.Mode)
	assert.Equal(t, 6380, s.Redis.Port)
	assert.True(t, s.Redis.TLS)

	s, problems = parse(`{"lifetime": "$STRICTJSON_SECONDS"}`)
	require.Empty(t, problems)
	assert.Equal(t, 500*time.Millisecond, s.Lifetime)
}

func TestValuesFromTheEnvironmentAreCheckedAndNotEchoed(t *testing.T) {
	for _, value := range []string{"", "hunter2", "NaN", "Inf", "0x10", "1e400", " 5", "1_0", "-", "[1]", "null", "9223372036854775808"} {
		t.Setenv("STRICTJSON_VALUE", value)
		_, problems := parse(`{"lifetime": "$STRICTJSON_VALUE", "redis": {"port": "$STRICTJSON_VALUE", "tls": "$STRICTJSON_VALUE"}, "mode": "$STRICTJSON_VALUE"}`)
		require.Len(t, problems, 4, value)
		for i, path := range []string{"lifetime", "redis.port", "redis.tls", "mode"} {
			assert.Contains(t, problems[i].Error(), path+": want ")
		}
		assert.NotContains(t, fmt.Sprint(problems), "hunter2")
	}
}

func FuzzParse(f *testing.F) {
	for _, test := range problemTests {
		if len(test.data) < 1000 {
			f.Add([]byte(test.data))
		}
	}
	f.Add([]byte(`{"name": "a", "previous": ["b"], "lifetime": 1.5, "redis": {"port": 1, "tls": false, "options": {"db": 0}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s settings
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		problems := strictjson.Parse(data, s.fields())
		runtime.ReadMemStats(&after)
		assert.LessOrEqual(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20+1000*len(data)))
		assert.LessOrEqual(t, len(problems), 33)
		assert.Less(t, len(fmt.Sprint(problems)), 16<<10)
		if len(problems) == 0 {
			var members map[string]any
			assert.NoError(t, json.Unmarshal(data, &members), "accepted, but encoding/json does not")
		}
	})
}
