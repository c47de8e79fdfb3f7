package sqltest

import (
	"net/url"
	"path/filepath"
	"testing"
)

// SQLiteFile returns the name of a new file of SQLite, for sql.Open("sqlite", ...).
func SQLiteFile(tb testing.TB) string {
	tb.Helper()
	return SQLiteDSN(filepath.Join(tb.TempDir(), "sessions ?#.db"))
}

// SQLiteDSN returns how docs/sql.md opens a file.
func SQLiteDSN(file string) string {
	name := url.URL{Scheme: "file", Opaque: url.PathEscape(file), RawQuery: "_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"}
	return name.String()
}
