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

// String returns no content. Templates that print a Session call it.
func (*Session) String() string { return redactedSession }

// MarshalJSON encodes no content.
func (*Session) MarshalJSON() ([]byte, error) { return json.Marshal(redactedSession) }

// LogValue logs no content.
func (*Session) LogValue() slog.Value { return slog.StringValue(redactedSession) }

const redactedOld = "old session (redacted)"

// A redacted keeps what embeds it, an OldCookie or an OldSession, from being printed.
type redacted struct{}

// Format prints no content.
func (redacted) Format(f fmt.State, _ rune) { io.WriteString(f, redactedOld) }

// MarshalJSON encodes no content.
func (redacted) MarshalJSON() ([]byte, error) { return json.Marshal(redactedOld) }

// LogValue logs no content.
func (redacted) LogValue() slog.Value { return slog.StringValue(redactedOld) }
