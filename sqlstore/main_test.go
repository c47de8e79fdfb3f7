package sqlstore_test

import (
	"flag"
	"os"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"example.com/session/internal/redistest"
	"example.com/session/internal/sqltest"
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv(writerFile); dsn != "" {
		os.Exit(writeToFile(dsn))
	}
	flag.Parse()
	flag.Set("test.parallel", "6") // they wait most of the time
	os.Exit(redistest.Main(sqltest.Runner{M: m}))
}
