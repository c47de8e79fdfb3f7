package session

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Format implements fmt.Formatter: every verb prints a summary without secrets (ASVS 16.2.5).
func (c Config) Format(f fmt.State, _ rune) { printSummary(f, c) }

// LogValue implements slog.LogValuer with a summary without secrets.
func (c Config) LogValue() slog.Value { return slog.GroupValue(summary(c)...) }

// MarshalJSON returns a summary without secrets. It is for people: ParseConfig does not read it.
func (c Config) MarshalJSON() ([]byte, error) { return json.Marshal(object(summary(c))) }

// Format implements fmt.Formatter: every verb prints a summary without secrets.
func (c RedisConfig) Format(f fmt.State, _ rune) { printSummary(f, c) }

// LogValue implements slog.LogValuer with a summary without secrets.
func (c RedisConfig) LogValue() slog.Value { return slog.GroupValue(summary(c)...) }

// MarshalJSON returns a summary without secrets.
func (c RedisConfig) MarshalJSON() ([]byte, error) { return json.Marshal(object(summary(c))) }

// Format implements fmt.Formatter: every verb prints a summary without secrets.
func (o RedisOptions) Format(f fmt.State, _ rune) { printSummary(f, o) }

// LogValue implements slog.LogValuer with a summary without secrets.
func (o RedisOptions) LogValue() slog.Value { return slog.GroupValue(summary(o)...) }

// MarshalJSON returns a summary without secrets.
func (o RedisOptions) MarshalJSON() ([]byte, error) { return json.Marshal(object(summary(o))) }

func printSummary(w io.Writer, config any) { fmt.Fprintf(w, "%T%v", config, summary(config)) }

// summary returns what may be seen of a configuration: all of its fields but those with the tag
// `secret:"true"`.
func summary(config any) (attrs []slog.Attr) {
	v := reflect.ValueOf(config)
	for _, field := range reflect.VisibleFields(v.Type()) {
		value := shown(v.FieldByIndex(field.Index), field.Tag.Get("secret") != "")
		attrs = append(attrs, slog.Attr{Key: field.Name, Value: value})
	}
	return attrs
}

// shown returns what may be seen of a field. Of functions, interfaces and pointers that is only
// whether they are set: a tls.Config holds private keys.
func shown(v reflect.Value, secret bool) slog.Value {
	named, isNamed := v.Interface().(fmt.Stringer)
	drivers, isDrivers := v.Interface().(map[string]Driver)
	_, isTime := v.Interface().(time.Time)
	switch {
	case secret && !v.IsZero(), strings.Contains(v.String(), "@"): // perhaps a URL
		return slog.StringValue("[redacted]")
	case v.CanInt() && isNamed: // durations, modes and policies
		return slog.StringValue(named.String())
	case isTime, v.CanInt(), v.Kind() == reflect.String, v.Kind() == reflect.Bool:
		return slog.AnyValue(v.Interface())
	case v.Kind() == reflect.Struct:
		return slog.GroupValue(summary(v.Interface())...)
	case isDrivers:
		return slog.StringValue(strings.Join(slices.Sorted(maps.Keys(drivers)), " "))
	}
	return slog.BoolValue(!v.IsZero())
}

// object returns attributes in a form that encoding/json takes.
func object(attrs []slog.Attr) map[string]any {
	members := make(map[string]any, len(attrs))
	for _, a := range attrs {
		if members[a.Key] = a.Value.Any(); a.Value.Kind() == slog.KindGroup {
			members[a.Key] = object(a.Value.Group())
		}
	}
	return members
}
