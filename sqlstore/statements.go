package sqlstore

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"maps"
)

// statements are the texts of everything that is sent while requests are served. None has a value in
// it, and none keeps a state in the session of the database.
type statements struct {
	load, replica           string
	insert, update, replace string

	head, entries, enter, remove, endBefore string // of the list of a user's sessions
	listed, endListed, removeListed         string // of EndUser

	cleanups []cleanup
}

// lockKey names the lock of Migrate. It is short and plain whatever the table's name is.
func lockKey(table string) string {
	sum := sha256.Sum256([]byte(table))
	return "sqlstore " + hex.EncodeToString(sum[:8])
}

// init writes the statements.
func (t *table) init(db *sql.DB, dialect Dialect, o Options) {
	full := func(name string) string {
		if o.Schema == "" {
			return dialect.quote(name)
		}
		return dialect.quote(o.Schema) + "." + dialect.quote(name)
	}
	names := dialect.words()
	maps.Copy(names, map[string]string{
		"sessions": full(o.Table), "users": full(o.Table + "_user"),
		"users as u": full(o.Table+"_user") + names["as u"], "schema": full(o.Table + "_schema"),
		"sessions index": dialect.quote(o.Table + "_sweep"), "users index": dialect.quote(o.Table + "_user_ends"),
	})
	t.db, t.dialect, t.names, t.lockKey = db, dialect, names, lockKey(full(o.Table))
	if dialect == SQLite {
		t.writer = make(chan struct{}, 1)
	}
	write := func(text string) string { return dialect.sql(names, text) }
	t.text = statements{
		load:    write(`SELECT data, {replica} FROM {sessions} WHERE id = ? AND expires_ms > ?`),
		replica: write(`SELECT {replica}`),
		insert: write(`INSERT INTO {sessions} (id, data, version, expires_ms, sweep_hour)
			VALUES (?, ?, ?, ?, ?)`),
		update: write(`UPDATE {sessions} SET data = ?, version = ?, expires_ms = ?, sweep_hour = ?
			WHERE id = ? AND version = ? AND expires_ms > ?`),
		replace: write(`UPDATE {sessions} SET data = ?, version = ?, expires_ms = ?, sweep_hour = ?
			WHERE id = ? AND expires_ms <= ?`),

		head: write(`INSERT INTO {users as u} (user_key, id, entered_us, ends_ms) VALUES (?, '', 0, ?)
			{or update user} ends_ms = {greatest}({u.}ends_ms, {new.ends_ms})`),
		entries: write(`SELECT id, entered_us, ends_ms, {replica} FROM {users} WHERE user_key = ?`),
		enter: write(`INSERT INTO {users} (user_key, id, entered_us, ends_ms) VALUES (?, ?, ?, ?)
			{or update user} entered_us = {new.entered_us}, ends_ms = {new.ends_ms}`),
		remove: write(`DELETE FROM {users} WHERE user_key = ? AND id = ?`),
		endBefore: write(`INSERT INTO {users as u} (user_key, id, entered_us, ends_ms) VALUES (?, '', ?, ?)
			{or update user} entered_us = {greatest}({u.}entered_us, {new.entered_us}),
			ends_ms = {greatest}({u.}ends_ms, {new.ends_ms})`),

		listed: write(`SELECT id, data FROM {sessions} WHERE expires_ms > ?
			AND id IN (SELECT id FROM {users} WHERE user_key = ? AND id <> ?) {for update}`),
		endListed: write(`INSERT INTO {sessions} (id, data, version, expires_ms, sweep_hour)
			SELECT id, ?, ?, ?, ? FROM {users} WHERE user_key = ? AND id <> '' AND id <> ?
			{or update session} data = {new.data}, version = {new.version},
			expires_ms = {new.expires_ms}, sweep_hour = {new.sweep_hour}`),
		removeListed: write(`DELETE FROM {users} WHERE user_key = ? AND id <> '' AND id <> ?`),
	}
	t.text.cleanups = newCleanups(dialect, write, o.CleanupBatch)
}
