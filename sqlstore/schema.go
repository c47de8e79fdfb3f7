package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"example.com/session/driver"
)

// migrations lead from nothing to the current schema: the nth one leads to version n.
func (t *table) migrations() [][]string {
	text := postgresTables
	switch t.dialect {
	case MySQL:
		text = mysqlTables
	case SQLite:
		text = sqliteTables
	}
	var statements []string
	for _, statement := range strings.Split(text, ";\n\n") {
		statements = append(statements, t.dialect.fill(t.names, statement))
	}
	return [][]string{statements}
}

// The tables. data holds what docs/format.md describes; its first 9 bytes are repeated in version,
// which is what a save compares. Times are milliseconds since 1970, entered_us microseconds. MySQL
// cannot roll back what a failed migration has created, so it is created if it is not there.
const (
	postgresTables = `CREATE TABLE {sessions} (
	expires_ms bigint NOT NULL,
	sweep_hour integer NOT NULL,
	id text COLLATE "C" NOT NULL PRIMARY KEY,
	version bytea NOT NULL,
	data bytea NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX {sessions index} ON {sessions} (sweep_hour);

CREATE TABLE {users} (
	entered_us bigint NOT NULL,
	ends_ms bigint NOT NULL,
	user_key text COLLATE "C" NOT NULL,
	id text COLLATE "C" NOT NULL,
	PRIMARY KEY (user_key, id)
);

CREATE INDEX {users index} ON {users} (ends_ms)`

	mysqlTables = `CREATE TABLE IF NOT EXISTS {sessions} (
	id varbinary(64) NOT NULL PRIMARY KEY,
	version varbinary(9) NOT NULL,
	expires_ms bigint NOT NULL,
	sweep_hour int NOT NULL,
	data longblob NOT NULL,
	INDEX {sessions index} (sweep_hour)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

CREATE TABLE IF NOT EXISTS {users} (
	user_key varbinary(64) NOT NULL,
	id varbinary(64) NOT NULL,
	entered_us bigint NOT NULL,
	ends_ms bigint NOT NULL,
	PRIMARY KEY (user_key, id),
	INDEX {users index} (ends_ms)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC`

	sqliteTables = `CREATE TABLE {sessions} (
	id TEXT NOT NULL PRIMARY KEY,
	version BLOB NOT NULL,
	expires_ms INTEGER NOT NULL,
	sweep_hour INTEGER NOT NULL,
	data BLOB NOT NULL
) STRICT;

CREATE INDEX {sessions index} ON {sessions} (sweep_hour);

CREATE TABLE {users} (
	user_key TEXT NOT NULL,
	id TEXT NOT NULL,
	entered_us INTEGER NOT NULL,
	ends_ms INTEGER NOT NULL,
	PRIMARY KEY (user_key, id)
) STRICT;

CREATE INDEX {users index} ON {users} (ends_ms)`

	createVersion = `CREATE TABLE IF NOT EXISTS {schema} (version integer NOT NULL)`
	readVersion   = `SELECT coalesce(max(version), 0) FROM {schema}`
	writeVersion  = `INSERT INTO {schema} (version) VALUES (?)`
)

// Schema returns the statements that create the tables, each followed by a semicolon, for
// applications that run migrations themselves.
func (d *Driver) Schema() string {
	t := &d.table
	statements := []string{t.dialect.fill(t.names, createVersion)}
	for i, migration := range t.migrations() {
		statements = append(statements, migration...)
		statements = append(statements,
			strings.Replace(t.dialect.fill(t.names, writeVersion), "?", strconv.Itoa(i+1), 1))
	}
	return strings.Join(statements, ";\n\n") + ";\n"
}

// Migrate creates the tables, or upgrades those of an earlier version. db may have more rights than
// the one passed to New. Processes that start together take turns. If there is nothing to do,
// Migrate sends one SELECT. Tables of a later version are left unchanged. In SQLite Migrate also
// sets the journal mode of the file to WAL.
func (d *Driver) Migrate(ctx context.Context, db *sql.DB) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, maxMigration)
		defer cancel()
	}
	t := &d.table
	return t.retry(ctx, "migrate", func(ctx context.Context) error { return t.migrate(ctx, db) })
}

// maxMigration bounds a migration whose context has no deadline.
const maxMigration = 10 * time.Minute

func (t *table) migrate(ctx context.Context, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	version, err := t.version(ctx, conn)
	if err == nil && version >= len(t.migrations()) && t.checkPragmas(ctx, db, conn) == nil {
		return nil
	}
	unlock, err := t.lock(ctx, conn)
	if err != nil {
		return err
	}
	if err := t.upgrade(ctx, conn); err != nil {
		unlock(false) // the error says more than what follows from it
		return err
	}
	if err := unlock(true); err != nil {
		return err
	}
	return t.checkPragmas(ctx, db, conn)
}

// An executor is a *sql.DB or a *sql.Conn.
type executor interface {
	querier
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (t *table) version(ctx context.Context, q executor) (version int, err error) {
	err = q.QueryRowContext(ctx, t.dialect.sql(t.names, readVersion)).Scan(&version)
	return version, err
}

// upgrade applies what is missing.
func (t *table) upgrade(ctx context.Context, conn executor) error {
	if _, err := conn.ExecContext(ctx, t.dialect.sql(t.names, createVersion)); err != nil {
		return err
	}
	version, err := t.version(ctx, conn)
	if err != nil {
		return err
	}
	migrations := t.migrations()
	for ; version < len(migrations); version++ {
		for _, statement := range migrations[version] {
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		if _, err := conn.ExecContext(ctx, t.dialect.sql(t.names, writeVersion), version+1); err != nil {
			return err
		}
	}
	return nil
}

// lock begins a migration. PostgreSQL and SQLite roll one back that fails, MySQL cannot.
func (t *table) lock(ctx context.Context, conn executor) (unlock func(ok bool) error, err error) {
	begin, args := []string{"BEGIN", "SELECT pg_advisory_xact_lock(hashtext($1))"}, []any{t.lockKey}
	switch t.dialect {
	case MySQL:
		return t.lockMySQL(ctx, conn)
	case SQLite:
		begin, args = []string{"PRAGMA journal_mode = WAL", "BEGIN IMMEDIATE"}, nil
	}
	for i, statement := range begin {
		if i < len(begin)-1 {
			_, err = conn.ExecContext(ctx, statement)
		} else {
			_, err = conn.ExecContext(ctx, statement, args...)
		}
		if err != nil {
			return nil, err
		}
	}
	return func(ok bool) error {
		end := "COMMIT"
		if !ok {
			end = "ROLLBACK"
		}
		_, err := conn.ExecContext(context.WithoutCancel(ctx), end)
		return err
	}, nil
}

func (t *table) lockMySQL(ctx context.Context, conn executor) (unlock func(bool) error, err error) {
	var locked sql.NullInt64
	if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, 60)", t.lockKey).Scan(&locked); err != nil {
		return nil, err
	}
	if locked.Int64 != 1 {
		return nil, errors.New("another process has been migrating for too long")
	}
	return func(bool) error {
		_, err := conn.ExecContext(context.WithoutCancel(ctx), "DO RELEASE_LOCK(?)", t.lockKey)
		return err
	}, nil
}

// checkPragmas reads back what SQLite makes of its settings. Each connection to a database in
// memory has its own database, so there must be only one connection.
func (t *table) checkPragmas(ctx context.Context, db *sql.DB, q executor) error {
	if t.dialect != SQLite {
		return nil
	}
	var mode string
	var synchronous int
	for pragma, into := range map[string]any{"journal_mode": &mode, "synchronous": &synchronous} {
		if err := q.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(into); err != nil {
			return err
		}
	}
	switch {
	case mode == "memory" && db.Stats().MaxOpenConnections == 1:
		return nil
	case mode == "memory":
		return fmt.Errorf("%w: each connection would have a database in memory of its own: call "+
			"db.SetMaxOpenConns(1), or use a file", driver.ErrMisconfigured)
	case mode != "wal":
		return fmt.Errorf("%w: the journal mode is %q, so that readers and writers wait for each other: call "+
			"Migrate, which sets WAL, or run PRAGMA journal_mode=WAL", driver.ErrMisconfigured, mode)
	case synchronous == 0:
		return fmt.Errorf("%w: synchronous is OFF, so that a power failure may destroy the file: set NORMAL or FULL",
			driver.ErrMisconfigured)
	}
	return nil
}
