package driver_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
)

const canary = "CANARY"

// spellings of the canary that an encoder may use.
var spellings = []string{
	"CANARY", "canary", "43414e415259", "43414E415259", "67 65 78 65 82 89", "67,65,78,65,82,89", "0x43, 0x41", "Q0FOQVJZ",
	"1000011 1000001", "103 101 116", "'C' 'A'",
}

// secrets are values of every type that holds something of a session.
func secrets(t *testing.T) map[string]any {
	digest := driver.Digest([]byte(strings.Repeat(canary, 6))[:32])
	op := driver.Op{Kind: driver.Set, Key: canary, Encoded: canary, Old: canary}
	ch := driver.Changes{
		ID: driver.ID{1}, Number: 1, Now: start, New: true, Install: digest, Expect: digest, Limits: limits,
		Ops: []driver.Op{op, flash(canary, canary), account(driver.UserKey, canary)},
	}
	rec, err := ch.Apply(nil)
	require.NoError(t, err)
	credential := driver.Credential{Digest: digest}
	value := driver.FlashValue{Key: canary, Encoded: canary}
	ending := driver.Ending{Secret: digest, User: canary}
	entry := driver.Entry{Data: []byte(canary)}
	return map[string]any{
		"Record": *rec, "*Record": rec, "Credential": credential, "*Credential": &credential, "[]Credential": rec.Credentials(),
		"FlashValue": value, "*FlashValue": &value, "Op": op, "*Op": &op, "[]Op": ch.Ops, "Changes": ch, "*Changes": &ch,
		"Ending": ending, "*Ending": &ending, "Entry": entry, "*Entry": &entry,
		"inside a struct": struct{ R *driver.Record }{rec}, "inside a map": map[string]driver.Op{"a": op},
		"ConflictError": &driver.ConflictError{Current: rec}, "wrapped ConflictError": fmt.Errorf("save: %w", &driver.ConflictError{Current: rec}),
	}
}

func assertRedacted(t *testing.T, text, how string, args ...any) {
	t.Helper()
	for _, spelling := range spellings {
		if strings.Contains(text, spelling) {
			assert.Fail(t, "a value of a session is printed", "%s: %s", fmt.Sprintf(how, args...), text)
		}
	}
}

func TestNoVerbPrintsASessionsValues(t *testing.T) {
	for name, value := range secrets(t) {
		assertRedacted(t, fmt.Sprint(value), "%s by Sprint", name)
		for verb := 'A'; verb <= 'z'; verb++ {
			if verb == 'w' || verb == 'p' {
				continue // fmt asks no method for a verb that does not fit; go vet reports these two
			}
			for _, flags := range []string{"", "+", "#", "-", " ", "0", "+#", "# ", "8", ".3"} {
				format := "%" + flags + string(verb)
				assertRedacted(t, fmt.Sprintf(format, value), "%s by %s", name, format)
			}
		}
	}
}

func TestNoEncoderPrintsASessionsValues(t *testing.T) {
	page := template.Must(template.New("").Parse(`<p>{{.}} {{printf "%#v" .}}</p>`))
	for name, value := range secrets(t) {
		data, err := json.Marshal(value)
		require.NoError(t, err, name)
		assertRedacted(t, string(data), "%s by encoding/json", name)

		var b bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
			slog.New(h).Info("saved", "value", value, slog.Group("group", "value", value))
		}
		assertRedacted(t, b.String(), "%s by log/slog", name)

		b.Reset()
		require.NoError(t, page.Execute(&b, value), name)
		assertRedacted(t, b.String(), "%s by html/template", name)
	}
}

// TestRedactionTestSeesWhatIsPrinted holds the tests above to finding something.
func TestRedactionTestSeesWhatIsPrinted(t *testing.T) {
	digest := driver.Digest([]byte(strings.Repeat(canary, 6))[:32])
	for _, text := range []string{fmt.Sprintf("%v", digest), fmt.Sprintf("%x", digest), fmt.Sprintf("%s", digest), fmt.Sprintf("%#v", digest)} {
		found := false
		for _, spelling := range spellings {
			found = found || strings.Contains(text, spelling)
		}
		assert.True(t, found, text)
	}
}
