package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/redis"
)

// A shown session is what show prints.
type shown struct {
	Handle      string                     `json:"handle"`
	User        string                     `json:"user,omitempty"`
	Created     time.Time                  `json:"created"` // when its lifetime began
	SignedIn    time.Time                  `json:"signed_in,omitzero"`
	Used        time.Time                  `json:"used"`
	Expires     time.Time                  `json:"expires"` // unless the application's limits are shorter by now
	Description json.RawMessage            `json:"description,omitempty"`
	Data        map[string]json.RawMessage `json:"data"`
	Flash       []flashValue               `json:"flash"`
	Bytes       int                        `json:"bytes"`
}

type flashValue struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

func (t *tool) show(ctx context.Context, args []string) error {
	id, err := parseHandle(args[0])
	if err != nil {
		return err
	}
	now := time.Now()
	if c, ok := t.driver.(driver.Clock); ok {
		now = c.Time(now)
	}
	rec, err := t.driver.Load(ctx, id, now)
	var ended *driver.EndedError
	switch {
	case errors.As(err, &ended):
		return fmt.Errorf("%w: %v ago", err, ended.Ago.Round(time.Second))
	case errors.Is(err, session.ErrNoSession):
		return fmt.Errorf("%w: it has ended or expired, or -url or -namespace is wrong", err)
	case err != nil:
		return err
	}
	s := shown{Handle: args[0], User: rec.User(), Created: rec.CreatedAt(), Used: rec.UsedAt(), Expires: rec.ExpiresAt(),
		Data: make(map[string]json.RawMessage), Flash: []flashValue{}, Bytes: rec.Size()}
	if at, ok := rec.Value(driver.Account, "authenticated"); ok {
		milli, _ := strconv.ParseInt(at, 10, 64)
		s.SignedIn = time.UnixMilli(milli)
	}
	if hints, ok := rec.Value(driver.Account, "hints"); ok && json.Valid([]byte(hints)) {
		s.Description = json.RawMessage(hints)
	}
	for key, encoded := range rec.Values(driver.Data) {
		s.Data[key] = decode(encoded)
	}
	for f := range rec.Flash() {
		s.Flash = append(s.Flash, flashValue{f.Key, decode(f.Encoded)})
	}
	return t.print(s, s.rows())
}

// rows are the lines of the text.
func (s *shown) rows() (rows [][]any) {
	rows = [][]any{{"handle", s.Handle}, {"user", quote(s.User)}, {"created", s.Created}}
	if !s.SignedIn.IsZero() {
		rows = append(rows, []any{"signed in", s.SignedIn})
	}
	rows = append(rows, []any{"used", s.Used}, []any{"expires", s.Expires}, []any{"bytes", s.Bytes})
	if s.Description != nil {
		rows = append(rows, []any{"description", s.Description})
	}
	for _, key := range slices.Sorted(maps.Keys(s.Data)) {
		rows = append(rows, []any{"data " + quote(key), s.Data[key]})
	}
	for _, f := range s.Flash {
		rows = append(rows, []any{"flash " + quote(f.Key), f.Value})
	}
	return rows
}

// decode returns an encoded value as JSON. docs/format.md describes encoded values. What another
// codec than JSON has encoded is shown in base64, and so is what is malformed.
func decode(encoded string) json.RawMessage {
	var v any = map[string]string{"base64": base64.StdEncoding.EncodeToString([]byte(encoded))}
	switch {
	case encoded == "n":
		v = nil
	case encoded == "t", encoded == "f":
		v = encoded == "t"
	case encoded != "" && encoded[0] == '\'':
		v = encoded[1:]
	case encoded != "" && (encoded[0] == '~' || encoded[0] == '=') && json.Valid([]byte(encoded[1:])):
		return json.RawMessage(encoded[1:])
	case encoded != "" && encoded[0] == '~': // NaN and infinities are no JSON
		v = encoded[1:]
	case json.Valid([]byte(encoded)):
		return json.RawMessage(encoded)
	}
	data, _ := json.Marshal(v) // strings have no errors
	return data
}

// A listed session is a line of list.
type listed struct {
	Handle      string            `json:"handle"`
	Created     time.Time         `json:"created"`
	SignedIn    time.Time         `json:"signed_in"`
	Used        time.Time         `json:"used"`
	Expires     time.Time         `json:"expires"`
	Description map[string]string `json:"description,omitempty"`
}

func (t *tool) list(ctx context.Context, args []string) error {
	infos, err := t.manager.Sessions(ctx, args[0])
	if err != nil {
		return err
	}
	all, rows := []listed{}, [][]any{{"HANDLE", "SIGNED IN", "USED", "EXPIRES", "DESCRIPTION"}}
	for _, i := range infos {
		all = append(all, listed{i.Handle, i.CreatedAt, i.AuthenticatedAt, i.UsedAt, i.ExpiresAt, i.Hints})
		hints, _ := json.Marshal(i.Hints) // a map of strings has no errors
		if i.Hints == nil {
			hints = nil
		}
		rows = append(rows, []any{i.Handle, i.AuthenticatedAt, i.UsedAt, i.ExpiresAt, json.RawMessage(hints)})
	}
	return t.print(all, rows)
}

// An ending is what end and end-all print.
type ending struct {
	Ended []string `json:"ended"` // handles
}

func (t *tool) end(ctx context.Context, args []string) error {
	if _, err := parseHandle(args[1]); err != nil {
		return err
	}
	err := t.manager.End(ctx, args[0], args[1])
	if errors.Is(err, session.ErrNoSession) {
		return fmt.Errorf("%w of this user: it has ended or expired, or -url, -namespace or -prefix is wrong", err)
	}
	if err != nil {
		return err
	}
	return t.print(ending{args[1:]}, [][]any{{"ended", args[1]}})
}

// endAll also makes running sign-ins fail, so it is of use even if no session is listed.
func (t *tool) endAll(ctx context.Context, args []string) error {
	infos, err := t.manager.Sessions(ctx, args[0])
	if err != nil {
		return err
	}
	if err := t.manager.EndAll(ctx, args[0]); err != nil {
		return err
	}
	e, rows := ending{[]string{}}, [][]any{{"ended", fmt.Sprintf("%d sessions", len(infos))}}
	for _, i := range infos {
		e.Ended = append(e.Ended, i.Handle)
		rows = append(rows, []any{"ended", i.Handle})
	}
	return t.print(e, rows)
}

func (t *tool) count(ctx context.Context, _ []string) error {
	n, err := t.driver.(interface {
		Count(context.Context) (redis.Count, error)
	}).Count(ctx)
	if err != nil {
		return err
	}
	return t.print(struct {
		Sessions int `json:"sessions"`
		Ended    int `json:"ended"`
		Users    int `json:"users"`
	}(n), [][]any{{"sessions", n.Sessions}, {"ended", n.Ended}, {"users", n.Users}})
}

// print prints v as JSON, or else rows.
func (t *tool) print(v any, rows [][]any) error {
	if t.json {
		data, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(t.out, "%s\n", printable(data))
		return err
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			switch c := cell.(type) {
			case time.Time:
				cell = c.Local().Format(time.RFC3339)
			case json.RawMessage:
				cell = printable(c)
			}
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, cell)
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

func quote(s string) string {
	data, _ := json.Marshal(s) // a string has no errors
	return printable(data)
}

// printable escapes what a terminal would obey or hide: clients choose what sessions hold.
func printable(jsonText []byte) string {
	var b strings.Builder
	for _, r := range string(jsonText) {
		switch {
		case r == '\n', unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
