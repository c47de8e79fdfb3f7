// Package races_test holds proofs that the identity of a session is right whatever happens at the
// same time: model tests that try every order of two requests, generated schedules of several, and
// cases that were met in the field.
package races_test

import (
	"os"
	"testing"

	"example.com/session/internal/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }
