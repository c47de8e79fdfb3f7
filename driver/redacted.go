package driver

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

const redactedText = "session: (redacted)"

// redacted is embedded in types that hold values of sessions. No verb of fmt, no slog handler and
// no JSON encoder prints them (ASVS 16.2.5).
type redacted struct{}

// Format prints no content.
func (redacted) Format(f fmt.State, _ rune) { io.WriteString(f, redactedText) }

// String returns no content. Templates that print a pointer call it.
func (redacted) String() string { return redactedText }

// MarshalJSON encodes no content.
func (redacted) MarshalJSON() ([]byte, error) { return json.Marshal(redactedText) }

// LogValue logs no content.
func (redacted) LogValue() slog.Value { return slog.StringValue(redactedText) }
