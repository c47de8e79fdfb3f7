package sqlstore_test

import (
	"flag"
	"os"
	"testing"

	"example.com/session/internal/redistest"
	"example.com/session/sqlstore/internal/sqltest"
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv(writerFile); dsn != "" {
		os.Exit(writeToFile(dsn))
	}
	flag.Parse()
	flag.Set("test.parallel", "6") // they wait most of the time
	os.Exit(redistest.Main(sqltest.Runner{M: m}))
}
