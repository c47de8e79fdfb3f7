package main

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"example.com/session/driver"
)

// A sqlStore keeps sessions in a table of a database. It holds no lock and no transaction: it
// replaces the data of a row only if they are still those that it read (compare and swap).
type sqlStore struct{ db *sql.DB }

// createTable is all that a database needs. In PostgreSQL, data is BYTEA and the parameters are $1,
// $2. In MySQL, id is VARCHAR(48) COLLATE ascii_bin, data is LONGBLOB, and the insert of Swap
// becomes a DELETE of the expired row and an INSERT IGNORE.
const createTable = `CREATE TABLE IF NOT EXISTS sessions (
	id      TEXT   NOT NULL PRIMARY KEY,
	data    BLOB   NOT NULL,
	expires BIGINT NOT NULL)` // in milliseconds, by the clocks of the processes

func newSQLStore(ctx context.Context, db *sql.DB) (*sqlStore, error) {
	for _, statement := range []string{createTable, `CREATE INDEX IF NOT EXISTS sessions_expires ON sessions (expires)`} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return nil, err
		}
	}
	return &sqlStore{db}, nil
}

func (s *sqlStore) Get(ctx context.Context, key string) (data []byte, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT data FROM sessions WHERE id = ? AND expires > ?`, key, now()).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return data, err
}

func (s *sqlStore) Update(ctx context.Context, key string, change func(old []byte) (driver.Entry, error)) error {
	old, err := s.Get(ctx, key)
	for err == nil {
		entry, refused := change(old)
		if refused != nil || entry.Data == nil {
			return refused
		}
		var swapped bool
		if old, swapped, err = s.Swap(ctx, key, old, entry); swapped {
			return nil
		}
	}
	return err
}

// Swap is optional. It makes a sqlStore a driver.Swapper, which spares most saves the SELECT.
func (s *sqlStore) Swap(ctx context.Context, key string, old []byte, e driver.Entry) (
	current []byte, swapped bool, err error,
) {
	var result sql.Result
	expires := now() + e.TTL.Milliseconds()
	if old == nil {
		result, err = s.db.ExecContext(ctx, `INSERT INTO sessions (id, data, expires) VALUES (?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET data = excluded.data, expires = excluded.expires
			WHERE sessions.expires <= ?`, key, e.Data, expires, now())
	} else {
		result, err = s.db.ExecContext(ctx, `UPDATE sessions SET data = ?, expires = ?
			WHERE id = ? AND data = ? AND expires > ?`, e.Data, expires, key, old, now())
	}
	if err != nil {
		return nil, false, err
	}
	if rows, err := result.RowsAffected(); rows == 1 || err != nil {
		return nil, err == nil, err
	}
	current, err = s.Get(ctx, key)
	return current, false, err
}

// sweep deletes the rows that have expired.
func (s *sqlStore) sweep(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM sessions WHERE expires <= ?`, now())
	return err
}

func now() int64 { return time.Now().UnixMilli() }
