// Package strictjson reads a JSON object into a table of fields.
//
// It is stricter than encoding/json, because a misspelt key in a configuration file would
// otherwise leave a default in force without a word. Unknown keys, repeated keys, another letter
// case, null, values of a wrong type and data after the object are all problems. They are reported
// together, each with its line and its path, such as redis.options.db. No problem quotes a value,
// which may be a secret or may have been meant for a field that is one.
package strictjson

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// MaxBytes is the size of the largest text that Parse reads.
	MaxBytes = 1 << 20

	maxProblems = 32 // listed for one text
)

// Fields are the members that an object may have, by key.
type Fields map[string]Field

// A Field reads the value of one member and stores it. The token is the first one of the value.
type Field func(r *reader, path string, token json.Token)

// Parse reads data, which must hold one object with members from fields, and returns every problem
// that it finds. Fields with a problem keep their values.
func Parse(data []byte, fields Fields) []error {
	if err := checkSyntax(data); err != nil {
		return []error{err}
	}
	r := &reader{data: data, decoder: json.NewDecoder(bytes.NewReader(data))}
	r.decoder.UseNumber()
	Object(fields)(r, "", r.next())
	return r.problems
}

// checkSyntax reports whether data is one JSON value in UTF-8.
func checkSyntax(data []byte) error {
	switch {
	case len(data) > MaxBytes:
		return fmt.Errorf("larger than 1 MiB (%d bytes)", MaxBytes)
	case bytes.HasPrefix(data, []byte("\ufeff")):
		return errors.New("begins with a byte order mark: save it as UTF-8 without one")
	case !utf8.Valid(data):
		return errors.New("not UTF-8: save it as UTF-8")
	}
	var value json.RawMessage
	err := json.Unmarshal(data, &value)
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return nil
	case strings.HasPrefix(err.Error(), "unexpected end"):
		return errors.New("not valid JSON: the text ends too early; the shortest valid text is {}")
	case errors.As(err, &syntax): // its text quotes a character, which may be part of a secret
		return fmt.Errorf("line %d: not valid JSON here or just before", lineAt(data, int(syntax.Offset)))
	}
	return errors.New("not valid JSON")
}

func lineAt(data []byte, offset int) int {
	return bytes.Count(data[:min(offset, len(data))], []byte("\n")) + 1
}

// A reader walks through the tokens of a valid text and collects problems.
type reader struct {
	data     []byte
	decoder  *json.Decoder
	problems []error
	err      error // of the decoder; checkSyntax leaves none
}

func (r *reader) next() json.Token {
	token, err := r.decoder.Token()
	if err != nil {
		r.err = err
	}
	return token
}

// more reports whether the current object or array has another member.
func (r *reader) more() bool { return r.err == nil && r.decoder.More() }

// skip leaves out the rest of a value whose first token was read.
func (r *reader) skip(token json.Token) {
	if token != json.Delim('{') && token != json.Delim('[') {
		return
	}
	for r.more() {
		r.skip(r.next())
	}
	r.next() // the closing bracket
}

// problem notes a problem of the member at path, on the line of the token that was read last.
func (r *reader) problem(path, format string, args ...any) {
	switch n := len(r.problems); {
	case n < maxProblems:
		line := lineAt(r.data, int(r.decoder.InputOffset()))
		text := fmt.Sprintf(format, args...)
		where := cmp.Or(path, "top level")
		r.problems = append(r.problems, fmt.Errorf("line %d: %s: %s", line, where, text))
	case n == maxProblems:
		r.problems = append(r.problems, errors.New("more problems follow, which are not listed"))
	}
}

// Object is the field for an object with these members.
func Object(fields Fields) Field {
	return func(r *reader, path string, token json.Token) {
		if token != json.Delim('{') {
			r.problem(path, "want an object")
			r.skip(token)
			return
		}
		seen := make(map[string]bool)
		for r.more() {
			key, _ := r.next().(string)
			r.member(fields, path, key, seen[key])
			seen[key] = true
		}
		r.next() // the closing brace
	}
}

// member reads the value that belongs to key in the object at path.
func (r *reader) member(fields Fields, path, key string, repeated bool) {
	field, known := fields[key]
	switch {
	case !known:
		names := strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
		r.problem(path, "unknown key %.64q; known are %s", key, names)
	case repeated:
		r.problem(path, "the key %q is repeated", key)
	default:
		if path != "" {
			key = path + "." + key
		}
		field(r, key, r.next())
		return
	}
	r.skip(r.next())
}
