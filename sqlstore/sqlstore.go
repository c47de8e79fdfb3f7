package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/session/driver"
	"example.com/session/internal/store"
)

// Options are settings of a Driver. The zero value is right for most applications.
type Options struct {
	// Table is the name of the table of sessions, of 1 to 40 bytes. Empty means "session_store".
	// The list of users' sessions is in a table of this name with "_user" appended, and the version
	// of the schema in one with "_schema" appended.
	Table string

	// Schema is the PostgreSQL schema or the MySQL database that has the tables. Empty means the
	// default of the connection. It must be empty for SQLite.
	Schema string

	// CleanupInterval is the average time between two cleanups by a goroutine that removes expired
	// rows. Zero means 10 minutes. Negative means no goroutine: then call Cleanup, or run the
	// statements of CleanupSQL.
	CleanupInterval time.Duration

	// CleanupBatch is the number of rows that one statement removes. Zero means 500, or 10 in
	// SQLite, where other writers wait meanwhile.
	CleanupBatch int

	// Logger receives a warning when a cleanup fails. Nil means slog.Default().
	Logger *slog.Logger
}

const (
	defaultTable    = "session_store"
	maxTable        = 40 // bytes, so that the names of indexes stay below 63
	defaultInterval = 10 * time.Minute
	defaultBatch    = 500
	sqliteBatch     = 10
	maxBatch        = 10_000
)

// A Driver keeps sessions in a database. It is safe for concurrent use.
type Driver struct {
	table    table
	sessions *store.Driver // of the table
	cleaner  cleaner
}

var (
	_ driver.Driver = (*Driver)(nil)
	_ driver.Index  = (*Driver)(nil)
	_ driver.Pinger = (*Driver)(nil)

	_ driver.UserEnder = (*Driver)(nil)
	_ io.Closer        = (*Driver)(nil)
)

// New returns a Driver for Config.Drivers. It validates its arguments, sends nothing to the
// database, and starts the cleanup, which Close stops. The tables must exist before the first
// request: see Migrate. The caller closes db, after the Driver.
func New(db *sql.DB, dialect Dialect, o Options) (*Driver, error) {
	o.Table = cmp.Or(o.Table, defaultTable)
	o.CleanupInterval = cmp.Or(o.CleanupInterval, defaultInterval)
	if o.CleanupBatch == 0 {
		o.CleanupBatch = dialect.defaultBatch()
	}
	if err := validate(db, dialect, o); err != nil {
		return nil, err
	}
	d := new(Driver)
	d.table.init(db, dialect, o)
	d.sessions = store.New(&d.table)
	d.cleaner.start(&d.table, o)
	return d, nil
}

// validate reports all problems together.
func validate(db *sql.DB, dialect Dialect, o Options) error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("sqlstore: "+format, args...)) }
	if db == nil {
		fault("the *sql.DB is nil")
	}
	if dialect < Postgres || dialect > SQLite {
		fault("the dialect must be Postgres, MySQL or SQLite")
	}
	if !isName(o.Table) || len(o.Table) > maxTable {
		fault("Options.Table must have 1 to %d bytes of UTF-8 without control characters, not %q", maxTable, o.Table)
	}
	if o.Schema != "" && (!isName(o.Schema) || len(o.Schema) > 63) {
		fault("Options.Schema must have at most 63 bytes of UTF-8 without control characters, not %q", o.Schema)
	}
	if o.Schema != "" && dialect == SQLite {
		fault("Options.Schema is for PostgreSQL and MySQL: SQLite has one schema a file")
	}
	if o.CleanupBatch < 0 || o.CleanupBatch > maxBatch {
		fault("Options.CleanupBatch must be 1 to %d, or 0 for the default, not %d", maxBatch, o.CleanupBatch)
	}
	return errors.Join(faults...)
}

func (d Dialect) defaultBatch() int {
	if d == SQLite {
		return sqliteBatch
	}
	return defaultBatch
}

func isName(s string) bool {
	return s != "" && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// Load implements driver.Driver in one SELECT by the primary key.
func (d *Driver) Load(ctx context.Context, id driver.ID, now time.Time) (*driver.Record, error) {
	return d.sessions.Load(ctx, id, now)
}

// Save implements driver.Driver. It takes one UPDATE if base is still what is stored, or one INSERT
// if the session is new.
func (d *Driver) Save(ctx context.Context, base *driver.Record, ch *driver.Changes) (*driver.Record, error) {
	return d.sessions.Save(ctx, base, ch)
}

// End implements driver.Driver. A tombstone takes the place of the record in the row.
func (d *Driver) End(ctx context.Context, base *driver.Record, e *driver.Ending) (*driver.Record, error) {
	return d.sessions.End(ctx, base, e)
}

// Ping reads from both tables, and updates rows that do not exist, to check the right to write. Its
// error wraps driver.ErrMisconfigured if a table, a column or a right is missing, if the server is
// a read-only replica, or if a file of SQLite is not in WAL mode.
func (d *Driver) Ping(ctx context.Context) error { return d.sessions.Ping(ctx) }

// Close stops the cleanup and waits until it has stopped. Sessions can still be loaded and saved.
// Close may be called more than once. Its error is always nil.
func (d *Driver) Close() error {
	d.cleaner.stop()
	d.table.prepared.close()
	return nil
}
