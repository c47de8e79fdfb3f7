package strictjson

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A kind is the type of a single value. Text from the environment suits every field.
type kind int

const (
	composite kind = iota // or null: suits no field for a single value
	text
	number
	boolean
	fromEnv
)

func kindOf(token json.Token) kind {
	switch token.(type) {
	case string:
		return text
	case json.Number:
		return number
	case bool:
		return boolean
	}
	return composite
}

// single is the field for a single value of this kind. set stores it and reports whether it suits.
func single(of kind, want string, set func(value string) bool) Field {
	return typed(want, false, func(value string, k kind) bool {
		return (k == of || k == fromEnv) && set(value)
	})
}

// typed is the field for a single value of any kind. If it is secret, problems do not name the
// environment variable, because the secret itself may be what begins with a dollar.
func typed(want string, secret bool, set func(value string, k kind) bool) Field {
	return func(r *reader, path string, token json.Token) {
		value, k, ok := fmt.Sprint(token), kindOf(token), true
		if k == text {
			value, k, ok = r.expand(path, value, secret)
		}
		if ok && (k == composite || !set(value, k)) {
			r.problem(path, "want %s", want)
		}
		r.skip(token)
	}
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand replaces "$NAME" by the environment variable and "$$" by a dollar.
func (r *reader) expand(path, s string, secret bool) (value string, k kind, ok bool) {
	const dollar = `write "$$" for a dollar at the beginning`
	name, isVariable := strings.CutPrefix(s, "$")
	switch {
	case strings.ContainsRune(s, utf8.RuneError): // it would silently be another secret
		r.problem(path, "the string has U+FFFD or half a surrogate pair in it")
		return "", text, false
	case !isVariable:
		return s, text, true
	case strings.HasPrefix(name, "$"):
		return name, text, true
	case !variableName.MatchString(name):
		r.problem(path, `begins with a dollar but is no "$NAME"; %s`, dollar)
		return "", text, false
	}
	value, ok = os.LookupEnv(name)
	if secret {
		name = "named here"
	}
	if !ok {
		r.problem(path, "the environment variable %.64s is not set; %s", name, dollar)
	}
	return value, fromEnv, ok
}

// String is the field for a string.
func String(dst *string) Field {
	return single(text, "a string", func(value string) bool { *dst = value; return true })
}

// Secret is the field for a string of which no part may be in a problem.
func Secret(dst *string) Field {
	return typed("a string", true, func(value string, k kind) bool {
		*dst = value
		return k == text || k == fromEnv
	})
}

// Secrets is the field for an array of secret strings.
func Secrets(dst *[]string) Field {
	return func(r *reader, path string, token json.Token) {
		if token != json.Delim('[') {
			r.problem(path, "want an array of strings")
			r.skip(token)
			return
		}
		var list []string
		for r.more() {
			var element string
			Secret(&element)(r, fmt.Sprintf("%s[%d]", path, len(list)), r.next())
			list = append(list, element)
		}
		r.next() // the closing bracket
		*dst = list
	}
}

// Int is the field for a whole number.
func Int(dst *int) Field {
	return single(number, "a whole number", func(value string) bool {
		n, err := strconv.Atoi(value)
		if err == nil {
			*dst = n
		}
		return err == nil
	})
}

// Bool is the field for true and false.
func Bool(dst *bool) Field {
	return choice(boolean, "true or false", dst, map[string]bool{"true": true, "false": false})
}

// Choice is the field for one of several words.
func Choice[T any](dst *T, words map[string]T) Field {
	return choice(text, fmt.Sprintf("one of %q", slices.Sorted(maps.Keys(words))), dst, words)
}

func choice[T any](of kind, want string, dst *T, words map[string]T) Field {
	return single(of, want, func(value string) bool {
		chosen, ok := words[value]
		if ok {
			*dst = chosen
		}
		return ok
	})
}

// Duration is the field for a duration: a number of seconds, or a string such as "90m". It takes
// negative ones too.
func Duration(dst *time.Duration) Field {
	const want = `a number of seconds such as 0.5, or a string such as "90m"`
	return typed(want, false, func(value string, k kind) bool {
		if _, err := strconv.ParseFloat(value, 64); err == nil && k != text {
			value += "s"
		}
		d, err := time.ParseDuration(value)
		if err != nil || d == 0 && strings.ContainsAny(value, "123456789") { // less than a nanosecond
			return false
		}
		*dst = d
		return true
	})
}
