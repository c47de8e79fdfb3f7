package goredis_test

import (
	"os"
	"testing"

	"github.com/redis/go-redis/v9/logging"

	"example.com/session/internal/redistest"
)

func TestMain(m *testing.M) {
	logging.Disable() // go-redis logs each connection that breaks
	os.Exit(redistest.Main(m))
}
