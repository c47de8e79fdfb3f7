package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"example.com/session/driver"
)

// A table is the driver.Store of the sessions, and what else knows the database. A row is
// replaced only if its version is still the one that was read.
type table struct {
	db       *sql.DB
	dialect  Dialect
	names    map[string]string // of the statements
	text     statements
	prepared prepared      // MySQL and SQLite
	lockKey  string        // of Migrate
	writer   chan struct{} // SQLite only: the process's writers take turns rather than poll the file
}

var (
	_ driver.Store   = (*table)(nil)
	_ driver.Swapper = (*table)(nil)
	_ driver.Pinger  = (*table)(nil)
)

// errReplica says that what was read may be out of date.
var errReplica = fmt.Errorf("%w: the server is a read-only replica: what it returns may have been "+
	"replaced; connect to the primary server", driver.ErrMisconfigured)

// versionSize is how many bytes at the front of what is stored name its state.
const versionSize = 9

func version(data []byte) []byte { return data[:min(len(data), versionSize)] }

// Get implements driver.Store.
func (t *table) Get(ctx context.Context, key string) (data []byte, err error) {
	err = t.retry(ctx, "load", func(ctx context.Context) (err error) {
		data, err = t.load(ctx, key)
		return err
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

// load returns what is stored under a key, nil if there is nothing or if it has expired. On a
// replica it fails, also if there is no row: a replica that lags behind may not have the row yet,
// or may have data that was replaced.
func (t *table) load(ctx context.Context, key string) ([]byte, error) {
	data, replica, err := t.ask(ctx, key, time.Now().UnixMilli())
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, t.checkPrimary(ctx)
	case err != nil:
		return nil, err
	case replica:
		return nil, errReplica
	}
	return data, nil
}

// checkPrimary returns errReplica if the server is a replica.
func (t *table) checkPrimary(ctx context.Context) error {
	if t.dialect == SQLite {
		return nil
	}
	var replica bool
	err := t.db.QueryRowContext(ctx, t.text.replica).Scan(&replica)
	if err == nil && replica {
		return errReplica
	}
	return err
}

// Update implements driver.Store. A driver made of a Swapper does not call it.
func (t *table) Update(ctx context.Context, key string, change func(old []byte) (driver.Entry, error)) error {
	old, err := t.Get(ctx, key)
	for conflicts := 1; err == nil; conflicts++ {
		entry, refused := change(old)
		if refused != nil || entry.Data == nil {
			return refused
		}
		var swapped bool
		if old, swapped, err = t.Swap(ctx, key, old, entry); swapped || err != nil {
			break
		}
		if err = pause(ctx, conflicts); err != nil {
			err = fmt.Errorf("session: save in %s: others changed the row too often: %w", t.dialect, err)
		}
	}
	return err
}

// Swap implements driver.Swapper in one statement, and a second one after a conflict. It compares the
// first 9 bytes, which are the row's version.
func (t *table) Swap(ctx context.Context, key string, old []byte, e driver.Entry) (
	current []byte, swapped bool, err error,
) {
	err = t.retry(ctx, "save", func(ctx context.Context) (err error) {
		current, swapped, err = t.swap(ctx, key, old, e)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return current, swapped, nil
}

func (t *table) swap(ctx context.Context, key string, old []byte, e driver.Entry) ([]byte, bool, error) {
	expires := time.Now().Add(e.TTL).UnixMilli() + 1 // rounded up
	var err error
	swapped := false
	if old == nil {
		swapped, err = t.insert(ctx, key, e.Data, expires)
	} else {
		swapped, err = t.exec(ctx, t.text.update,
			e.Data, version(e.Data), expires, sweepHour(expires), key, version(old), time.Now().UnixMilli())
	}
	if err != nil || swapped {
		return nil, swapped, err
	}
	current, err := t.load(ctx, key)
	if err != nil {
		return nil, false, err
	}
	if current != nil && string(version(current)) == string(version(e.Data)) { // an attempt without an answer stored it
		return nil, true, nil
	}
	if old == nil && current == nil { // an expired row is in the way of the insert
		swapped, err = t.exec(ctx, t.text.replace,
			e.Data, version(e.Data), expires, sweepHour(expires), key, time.Now().UnixMilli())
		if err == nil && !swapped {
			current, err = t.load(ctx, key)
		}
	}
	return current, swapped, err
}

// insert adds a row and reports whether it has: another one may be there.
func (t *table) insert(ctx context.Context, key string, data []byte, expires int64) (bool, error) {
	inserted, err := t.exec(ctx, t.text.insert, key, data, version(data), expires, sweepHour(expires))
	if err != nil && t.dialect.faultOf(err) == duplicate {
		return false, nil
	}
	return inserted, err
}

// exec sends one statement, and reports whether it has changed one row.
func (t *table) exec(ctx context.Context, statement string, args ...any) (bool, error) {
	unlock, err := t.lockWriter(ctx)
	if err != nil {
		return false, err
	}
	defer unlock()
	result, err := t.send(ctx, statement, args...)
	if err != nil {
		return false, err
	}
	rows, err := result.RowsAffected()
	return rows == 1, err
}

// lockWriter waits for the other writers of this process, if the database is a file.
func (t *table) lockWriter(ctx context.Context) (unlock func(), err error) {
	if t.writer == nil {
		return func() {}, nil
	}
	select {
	case t.writer <- struct{}{}:
		return func() { <-t.writer }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// sweepHour returns the first whole hour in which a row has expired, counted from 1970. The cleanup
// finds rows by it. It changes once an hour where expires_ms changes with every save, so that
// PostgreSQL need not touch the index (a HOT update).
func sweepHour(expires int64) int64 { return expires/hour + 1 }

const hour = int64(time.Hour / time.Millisecond)

// Ping implements driver.Pinger. It also sends changes of rows that do not exist, for which the user
// needs the same rights as for others.
func (t *table) Ping(ctx context.Context) error {
	if _, err := t.Get(ctx, driver.NewID().String()); err != nil {
		return err
	}
	return t.retry(ctx, "ping", func(ctx context.Context) error {
		if _, err := t.entries(ctx, t.db, ""); err != nil {
			return err
		}
		if _, err := t.exec(ctx, t.text.remove, "", ""); err != nil {
			return err
		}
		if _, err := t.exec(ctx, t.text.update, []byte{}, []byte{}, 0, 0, "", []byte{}, 0); err != nil {
			return err
		}
		return t.checkPragmas(ctx, t.db, t.db)
	})
}
