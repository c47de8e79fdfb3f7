package sqlstore_test

import (
	"os"
	"testing"

	"example.com/session/internal/redistest"
	"example.com/session/sqlstore/internal/sqltest"
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv(writerFile); dsn != "" {
		os.Exit(writeToFile(dsn))
	}
	os.Exit(redistest.Main(sqltest.Runner{M: m}))
}
