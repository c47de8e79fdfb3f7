package session

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// Tokens, secrets and values are printed by no verb of fmt, by no slog handler and by no JSON
// encoder (ASVS 16.2.5): each type that holds one says its name and that it is redacted. Types
// that may be copied say so as values too. Types that are used by pointer have String, since
// templates print what a pointer points to unless the pointer has that method.

func redacted(name string) string { return "session." + name + "(redacted)" }

func redact(f fmt.State, name string) { io.WriteString(f, redacted(name)) }

func redactedJSON(name string) ([]byte, error) { return json.Marshal(redacted(name)) }

func redactedValue(name string) slog.Value { return slog.StringValue(redacted(name)) }

// Format prints no content.
func (*Session) Format(f fmt.State, _ rune) { redact(f, "Session") }

// String says no content; templates ask for it.
func (*Session) String() string { return redacted("Session") }

// MarshalJSON encodes no content.
func (*Session) MarshalJSON() ([]byte, error) { return redactedJSON("Session") }

// LogValue logs no content.
func (*Session) LogValue() slog.Value { return redactedValue("Session") }

// Format prints no content.
func (Token) Format(f fmt.State, _ rune) { redact(f, "Token") }

// MarshalJSON encodes no content.
func (Token) MarshalJSON() ([]byte, error) { return redactedJSON("Token") }

// LogValue logs no content.
func (Token) LogValue() slog.Value { return redactedValue("Token") }

// Format prints no content.
func (Record) Format(f fmt.State, _ rune) { redact(f, "Record") }

// String says no content; templates ask for it.
func (*Record) String() string { return redacted("Record") }

// MarshalJSON encodes no content.
func (Record) MarshalJSON() ([]byte, error) { return redactedJSON("Record") }

// LogValue logs no content.
func (*Record) LogValue() slog.Value { return redactedValue("Record") }

// Format prints no content.
func (RecordBuilder) Format(f fmt.State, _ rune) { redact(f, "RecordBuilder") }

// MarshalJSON encodes no content.
func (RecordBuilder) MarshalJSON() ([]byte, error) { return redactedJSON("RecordBuilder") }

// LogValue logs no content.
func (RecordBuilder) LogValue() slog.Value { return redactedValue("RecordBuilder") }

// Format prints no content.
func (FlashValue) Format(f fmt.State, _ rune) { redact(f, "FlashValue") }

// MarshalJSON encodes no content.
func (FlashValue) MarshalJSON() ([]byte, error) { return redactedJSON("FlashValue") }

// LogValue logs no content.
func (FlashValue) LogValue() slog.Value { return redactedValue("FlashValue") }

// Format prints no content.
func (Changes) Format(f fmt.State, _ rune) { redact(f, "Changes") }

// String says no content; templates ask for it.
func (*Changes) String() string { return redacted("Changes") }

// MarshalJSON encodes no content.
func (Changes) MarshalJSON() ([]byte, error) { return redactedJSON("Changes") }

// LogValue logs no content.
func (*Changes) LogValue() slog.Value { return redactedValue("Changes") }

// Format prints no content.
func (ChangesBuilder) Format(f fmt.State, _ rune) { redact(f, "ChangesBuilder") }

// MarshalJSON encodes no content.
func (ChangesBuilder) MarshalJSON() ([]byte, error) { return redactedJSON("ChangesBuilder") }

// LogValue logs no content.
func (ChangesBuilder) LogValue() slog.Value { return redactedValue("ChangesBuilder") }

// Format prints no content.
func (Op) Format(f fmt.State, _ rune) { redact(f, "Op") }

// MarshalJSON encodes no content.
func (Op) MarshalJSON() ([]byte, error) { return redactedJSON("Op") }

// LogValue logs no content.
func (Op) LogValue() slog.Value { return redactedValue("Op") }

// Format prints no content.
func (Entry) Format(f fmt.State, _ rune) { redact(f, "Entry") }

// MarshalJSON encodes no content.
func (Entry) MarshalJSON() ([]byte, error) { return redactedJSON("Entry") }

// LogValue logs no content.
func (Entry) LogValue() slog.Value { return redactedValue("Entry") }

// Format prints no content.
func (*MemoryDriver) Format(f fmt.State, _ rune) { redact(f, "MemoryDriver") }

// String says no content; templates ask for it.
func (*MemoryDriver) String() string { return redacted("MemoryDriver") }

// MarshalJSON encodes no content.
func (*MemoryDriver) MarshalJSON() ([]byte, error) { return redactedJSON("MemoryDriver") }

// LogValue logs no content.
func (*MemoryDriver) LogValue() slog.Value { return redactedValue("MemoryDriver") }

// Format prints no content.
func (*CookieDriver) Format(f fmt.State, _ rune) { redact(f, "CookieDriver") }

// String says no content; templates ask for it.
func (*CookieDriver) String() string { return redacted("CookieDriver") }

// MarshalJSON encodes no content.
func (*CookieDriver) MarshalJSON() ([]byte, error) { return redactedJSON("CookieDriver") }

// LogValue logs no content.
func (*CookieDriver) LogValue() slog.Value { return redactedValue("CookieDriver") }

// Format prints no content.
func (RedisDriver) Format(f fmt.State, _ rune) { redact(f, "RedisDriver") }

// String says no content; templates ask for it.
func (*RedisDriver) String() string { return redacted("RedisDriver") }

// MarshalJSON encodes no content.
func (RedisDriver) MarshalJSON() ([]byte, error) { return redactedJSON("RedisDriver") }

// LogValue logs no content.
func (*RedisDriver) LogValue() slog.Value { return redactedValue("RedisDriver") }

// Format prints no content.
func (*storeDriver) Format(f fmt.State, _ rune) { redact(f, "storeDriver") }

// String says no content; templates ask for it.
func (*storeDriver) String() string { return redacted("storeDriver") }

// MarshalJSON encodes no content.
func (*storeDriver) MarshalJSON() ([]byte, error) { return redactedJSON("storeDriver") }

// LogValue logs no content.
func (*storeDriver) LogValue() slog.Value { return redactedValue("storeDriver") }

// Format prints the drivers' names, for every verb: %#v and %d would go round String, to the
// secrets of the configuration.
func (m *Manager) Format(f fmt.State, _ rune) { io.WriteString(f, m.String()) }

// Format keeps what prints a context, for every verb, from walking to the session in it.
func (q *request) Format(f fmt.State, _ rune) { io.WriteString(f, q.String()) }

// MarshalJSON keeps an encoder from walking to the contexts around it.
func (q *request) MarshalJSON() ([]byte, error) { return json.Marshal(q.String()) }
