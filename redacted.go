package session

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// No verb of fmt, no slog handler and no JSON encoder prints tokens, secrets and values (ASVS
// 16.2.5).

const redactedSession = "session.Session(redacted)"

// Format prints no content.
func (*Session) Format(f fmt.State, _ rune) { io.WriteString(f, redactedSession) }

// String returns no content; templates ask for it.
func (*Session) String() string { return redactedSession }

// MarshalJSON encodes no content.
func (*Session) MarshalJSON() ([]byte, error) { return json.Marshal(redactedSession) }

// LogValue logs no content.
func (*Session) LogValue() slog.Value { return slog.StringValue(redactedSession) }

const redactedOldCookie = "session.OldCookie(redacted)"

// A redactedCookie keeps what embeds it from being printed.
type redactedCookie struct{}

// Format prints no content.
func (redactedCookie) Format(f fmt.State, _ rune) { io.WriteString(f, redactedOldCookie) }

// MarshalJSON encodes no content.
func (redactedCookie) MarshalJSON() ([]byte, error) { return json.Marshal(redactedOldCookie) }

// LogValue logs no content.
func (redactedCookie) LogValue() slog.Value { return slog.StringValue(redactedOldCookie) }
