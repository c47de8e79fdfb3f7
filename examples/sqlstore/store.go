package main

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"example.com/session"
)

// A sqlStore keeps sessions in a table of a database. It takes no lock while it thinks: each row
// has a version, and what was made of one version is stored only in its place (compare and swap).
type sqlStore struct{ db *sql.DB }

// createTable is all that a database needs. In PostgreSQL, data is BYTEA; in MySQL, id is
// VARCHAR(43) COLLATE ascii_bin, and data LONGBLOB.
const createTable = `CREATE TABLE IF NOT EXISTS sessions (
	id      TEXT   NOT NULL PRIMARY KEY,
	version BIGINT NOT NULL,
	expires BIGINT NOT NULL, -- in milliseconds
	data    BLOB   NOT NULL)`

func newSQLStore(ctx context.Context, db *sql.DB) (*sqlStore, error) {
	for _, statement := range []string{createTable, `CREATE INDEX IF NOT EXISTS sessions_expires ON sessions (expires)`} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return nil, err
		}
	}
	return &sqlStore{db}, nil
}

func (s *sqlStore) Get(ctx context.Context, id string) ([]byte, error) {
	data, _, err := s.read(ctx, id)
	return data, err
}

// read returns nil and version 0 where there is no row.
func (s *sqlStore) read(ctx context.Context, id string) (data []byte, version int64, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT data, version FROM sessions WHERE id = ?`, id).Scan(&data, &version)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, nil
	}
	return data, version, err
}

func (s *sqlStore) Update(ctx context.Context, id string, change func(old []byte) (session.Entry, error)) error {
	for {
		old, version, err := s.read(ctx, id)
		if err != nil {
			return err
		}
		entry, err := change(old)
		if err != nil || entry.Data == nil {
			return err
		}
		stored, err := s.swap(ctx, id, version, entry)
		if stored || err != nil {
			return err
		}
	}
}

// swap stores an entry in place of a version, and reports whether that was the one that stood there.
func (s *sqlStore) swap(ctx context.Context, id string, version int64, e session.Entry) (bool, error) {
	statement := `UPDATE sessions SET data = ?, expires = ?, version = version + 1 WHERE id = ? AND version = ?`
	if version == 0 {
		statement = `INSERT INTO sessions (data, expires, id, version) VALUES (?, ?, ?, ? + 1) ON CONFLICT DO NOTHING`
	}
	result, err := s.db.ExecContext(ctx, statement, e.Data, e.Expires.UnixMilli(), id, version)
	if err != nil {
		return false, err
	}
	rows, err := result.RowsAffected()
	return rows == 1, err
}

// sweep deletes the rows of sessions that have ended.
func (s *sqlStore) sweep(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM sessions WHERE expires <= ?`, time.Now().UnixMilli())
	return err
}
