package session

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
)

// A summaryMark stands in a summary for what is not shown.
type summaryMark string

// hiddenValue returns the mark for a secret, or for none.
func hiddenValue(set bool) slog.Value {
	if set {
		return slog.AnyValue(summaryMark("[redacted]"))
	}
	return slog.AnyValue(summaryMark("[none]"))
}

// summary is what may be seen of c. Format, LogValue and MarshalJSON all show this.
func (c Config) summary() []slog.Attr {
	return []slog.Attr{
		slog.String("Default", c.Default),
		{Key: "Secret", Value: hiddenValue(c.Secret != "")},
		slog.Int("PreviousSecrets", len(c.PreviousSecrets)),
		slog.Duration("Lifetime", c.Lifetime),
		slog.Duration("IdleTimeout", c.IdleTimeout),
		slog.GroupAttrs("CookieAttributes", c.CookieAttributes.summary()...),
		slog.GroupAttrs("Cookie",
			slog.Duration("IdleTimeout", c.Cookie.IdleTimeout),
			slog.Duration("FlashTTL", c.Cookie.FlashTTL),
			slog.String("Revocation", c.Cookie.Revocation),
			slog.Duration("RevocationWindow", c.Cookie.RevocationWindow)),
		slog.GroupAttrs("Memory",
			slog.Duration("IdleTimeout", c.Memory.IdleTimeout),
			slog.Duration("FlashTTL", c.Memory.FlashTTL),
			slog.Int("MaxSessions", c.Memory.MaxSessions),
			slog.Bool("ByClientIP", c.Memory.ByClientIP)),
		slog.GroupAttrs("Redis", c.Redis.summary()...),
		slog.String("Drivers", strings.Join(slices.Sorted(maps.Keys(c.Drivers)), " ")),
		slog.String("Limits", string(c.Limits)),
		slog.Duration("LockAfter", c.LockAfter),
		slog.Int("MaxPerUser", c.MaxPerUser),
		slog.String("AtMaxPerUser", c.AtMaxPerUser.String()),
		slog.Duration("StoreTimeout", c.StoreTimeout),
	}
}

func (a CookieAttributes) summary() []slog.Attr {
	return []slog.Attr{
		slog.String("Prefix", a.Prefix),
		slog.String("Path", a.Path),
		slog.String("Domain", a.Domain),
		slog.String("SameSite", sameSiteName(a.SameSite)),
		slog.String("Secure", a.Secure.String()),
		slog.Bool("Partitioned", a.Partitioned),
		slog.Bool("SessionOnly", a.SessionOnly),
	}
}

func (c RedisConfig) summary() []slog.Attr {
	host := slog.StringValue(c.Host)
	if checkHost(c.Host) != nil { // a URL, perhaps with a password
		host = hiddenValue(true)
	}
	return []slog.Attr{
		{Key: "URL", Value: hiddenValue(c.URL != "")},
		{Key: "Host", Value: host},
		slog.Int("Port", c.Port),
		{Key: "Password", Value: hiddenValue(c.Password != "")},
		slog.GroupAttrs("Options", c.Options.summary()...),
		slog.Duration("IdleTimeout", c.IdleTimeout),
		slog.Duration("FlashTTL", c.FlashTTL),
		slog.String("Namespace", c.Namespace),
	}
}

func (o RedisOptions) summary() []slog.Attr {
	return []slog.Attr{
		slog.Int("DB", o.DB),
		slog.String("Username", o.Username),
		slog.Bool("TLS", o.TLS != nil), // its certificates hold private keys
		slog.String("Network", o.Network),
		slog.String("Socket", o.Socket),
		slog.Int("MaxIdle", o.MaxIdle),
		slog.Int("MaxActive", o.MaxActive),
		slog.Duration("IdleConnTimeout", o.IdleConnTimeout),
		slog.Duration("PoolWait", o.PoolWait),
		slog.Duration("DialTimeout", o.DialTimeout),
		slog.Duration("ReadTimeout", o.ReadTimeout),
		slog.Duration("WriteTimeout", o.WriteTimeout),
		slog.String("ClientName", o.ClientName),
		slog.Bool("Pool", o.Pool != nil),
		slog.Bool("Client", o.Client != nil),
	}
}

// Format implements fmt.Formatter: every verb prints a summary without secrets (ASVS 16.2.5).
func (c Config) Format(f fmt.State, _ rune) { formatSummary(f, "session.Config", c.summary()) }

// LogValue implements slog.LogValuer with a summary without secrets.
func (c Config) LogValue() slog.Value { return slog.GroupValue(c.summary()...) }

// MarshalJSON returns a summary without secrets. It is for people: ParseConfig does not read it.
func (c Config) MarshalJSON() ([]byte, error) { return marshalSummary(c.summary()) }

// Format implements fmt.Formatter: every verb prints a summary without secrets.
func (c RedisConfig) Format(f fmt.State, _ rune) {
	formatSummary(f, "session.RedisConfig", c.summary())
}

// LogValue implements slog.LogValuer with a summary without secrets.
func (c RedisConfig) LogValue() slog.Value { return slog.GroupValue(c.summary()...) }

// MarshalJSON returns a summary without secrets.
func (c RedisConfig) MarshalJSON() ([]byte, error) { return marshalSummary(c.summary()) }

// Format implements fmt.Formatter: every verb prints a summary without secrets.
func (o RedisOptions) Format(f fmt.State, _ rune) {
	formatSummary(f, "session.RedisOptions", o.summary())
}

// LogValue implements slog.LogValuer with a summary without secrets.
func (o RedisOptions) LogValue() slog.Value { return slog.GroupValue(o.summary()...) }

// MarshalJSON returns a summary without secrets.
func (o RedisOptions) MarshalJSON() ([]byte, error) { return marshalSummary(o.summary()) }

// formatSummary prints attrs the way fmt prints a struct with %#v.
func formatSummary(w io.Writer, name string, attrs []slog.Attr) {
	fmt.Fprintf(w, "%s{", name)
	for i, a := range attrs {
		if i > 0 {
			io.WriteString(w, ", ")
		}
		fmt.Fprintf(w, "%s:", a.Key)
		switch a.Value.Kind() {
		case slog.KindGroup:
			formatSummary(w, "", a.Value.Group())
		case slog.KindString:
			fmt.Fprintf(w, "%q", a.Value.String())
		default:
			fmt.Fprint(w, a.Value)
		}
	}
	io.WriteString(w, "}")
}

// marshalSummary encodes attrs as an object in their order, durations as text.
func marshalSummary(attrs []slog.Attr) ([]byte, error) {
	var object bytes.Buffer
	for i, a := range attrs {
		separator := ","
		if i == 0 {
			separator = "{"
		}
		value, err := marshalValue(a.Value)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&object, "%s%q:%s", separator, a.Key, value)
	}
	object.WriteByte('}')
	return object.Bytes(), nil
}

func marshalValue(v slog.Value) ([]byte, error) {
	switch v.Kind() {
	case slog.KindGroup:
		return marshalSummary(v.Group())
	case slog.KindDuration:
		return json.Marshal(v.Duration().String())
	default:
		return json.Marshal(v.Any())
	}
}
