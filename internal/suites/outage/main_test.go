package outage_test

import (
	"os"
	"testing"

	"example.com/session/internal/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }
