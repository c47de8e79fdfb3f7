package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"example.com/session/driver"
	"example.com/session/internal/store"
)

// Enter implements driver.Index in one transaction, which locks the user's own row first.
func (d *Driver) Enter(ctx context.Context, user string, e driver.IndexEntry, limit int, now time.Time) error {
	return indexError(d.table.transact(ctx, "sign in", func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, d.table.text.head, user, e.Ends.UnixMilli()); err != nil {
			return err
		}
		list, err := d.table.entries(ctx, tx, user)
		if err != nil {
			return err
		}
		entry, err := list.Enter(e, limit, now)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, d.table.text.enter,
			user, entry.ID.String(), entry.Entered.UnixMicro(), entry.Ends.UnixMilli())
		return err
	}))
}

// Remove implements driver.Index in one statement.
func (d *Driver) Remove(ctx context.Context, user string, id driver.ID) error {
	return d.change(ctx, "remove a session of a user", d.table.text.remove, user, id.String())
}

// EndBefore implements driver.Index in one statement.
func (d *Driver) EndBefore(ctx context.Context, user string, now time.Time) error {
	return d.change(ctx, "end the sessions of a user", d.table.text.endBefore,
		user, now.UnixMicro(), now.Add(driver.IndexTombstone).UnixMilli())
}

// EndUser implements driver.UserEnder in a transaction of four statements, however many sessions
// there are. A tombstone takes the place of each record. If an entry's session has ended already,
// or is another user's, one more statement is needed.
func (d *Driver) EndUser(ctx context.Context, user string, e *driver.Ending, keep driver.ID) (ended []*driver.Record, err error) {
	err = d.table.transact(ctx, "end the sessions of a user", func(ctx context.Context, tx *sql.Tx) (err error) {
		ended, err = d.table.endUser(ctx, tx, user, e, keep)
		return err
	})
	if err != nil {
		return nil, indexError(err)
	}
	return ended, nil
}

func (t *table) endUser(ctx context.Context, tx *sql.Tx, user string, e *driver.Ending, keep driver.ID) (ended []*driver.Record, err error) {
	kept := ""
	if keep != (driver.ID{}) {
		kept = keep.String()
	}
	send := func(statement string, args ...any) {
		if err == nil {
			_, err = tx.ExecContext(ctx, statement, args...)
		}
	}
	send(t.text.endBefore, user, e.Now.UnixMicro(), e.Now.Add(driver.IndexTombstone).UnixMilli()) // locks the list
	if err != nil {
		return nil, err
	}
	ended, others, err := t.listed(ctx, tx, user, e, kept)
	for _, id := range others {
		send(t.text.remove, user, id)
	}
	data, expires := store.Tombstone(e), time.Now().Add(e.For).UnixMilli()+1
	send(t.text.endListed, data, version(data), expires, sweepHour(expires), user, kept)
	send(t.text.removeListed, user, kept)
	return ended, err
}

// listed reads and locks the sessions of a user's list. others are those that e does not end.
func (t *table) listed(ctx context.Context, tx *sql.Tx, user string, e *driver.Ending, kept string) (
	records []*driver.Record, others []string, err error,
) {
	rows, err := tx.QueryContext(ctx, t.text.listed, time.Now().UnixMilli(), user, kept)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var key string
		var data []byte
		if err := rows.Scan(&key, &data); err != nil {
			return nil, nil, err
		}
		id, _ := driver.ParseID(key)
		rec, err := store.LiveRecord(id, data, e.Now)
		switch {
		case errors.Is(err, driver.ErrEnded), err == nil && !e.Allows(rec):
			others = append(others, key)
		case rec != nil:
			records = append(records, rec)
		}
	}
	return records, others, rows.Err()
}

// change sends a statement that may be repeated.
func (d *Driver) change(ctx context.Context, op, statement string, args ...any) error {
	return indexError(d.table.retry(ctx, op, func(ctx context.Context) error {
		_, err := d.table.exec(ctx, statement, args...)
		return err
	}))
}

// List implements driver.Index in one SELECT.
func (d *Driver) List(ctx context.Context, user string, now time.Time) (all []driver.IndexEntry, err error) {
	var list store.UserList
	err = d.table.retry(ctx, "list the sessions of a user", func(ctx context.Context) (err error) {
		list, err = d.table.entries(ctx, d.table.db, user)
		return err
	})
	if err != nil {
		return nil, indexError(err)
	}
	for _, e := range list.Entries {
		if e.Ends.After(now) {
			all = append(all, e)
		}
	}
	return all, nil
}

// A querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// entries reads the rows of one user. A replica fails, also if it has no rows.
func (t *table) entries(ctx context.Context, q querier, user string) (list store.UserList, err error) {
	rows, err := q.QueryContext(ctx, t.text.entries, user)
	if err != nil {
		return store.UserList{}, err
	}
	defer rows.Close()
	none := true
	for rows.Next() {
		var id string
		var entered, ends int64
		var replica bool
		if err := rows.Scan(&id, &entered, &ends, &replica); err != nil {
			return store.UserList{}, err
		}
		if none = false; replica {
			return store.UserList{}, errReplica
		}
		if err := addRow(&list, id, entered, ends); err != nil {
			return store.UserList{}, err
		}
	}
	if err := rows.Err(); err != nil {
		return store.UserList{}, err
	}
	if err := rows.Close(); err != nil { // it gives its connection back before the next statement
		return store.UserList{}, err
	}
	if none {
		err = t.checkPrimary(ctx)
	}
	return list, err
}

// addRow adds what a row says to a list. The row without an id is the user's own: its entered_us is
// the time of EndBefore, and a sign-in locks it, so that sign-ins of one user take turns.
func addRow(l *store.UserList, id string, entered, ends int64) error {
	if id == "" {
		l.EndedAt = entered
		return nil
	}
	parsed, ok := driver.ParseID(id)
	if !ok {
		return fmt.Errorf("read the list of a user's sessions: %w", driver.ErrDamaged)
	}
	l.Entries = append(l.Entries,
		driver.IndexEntry{ID: parsed, Entered: time.UnixMicro(entered), Ends: time.UnixMilli(ends)})
	return nil
}

// transact runs do in a transaction that writes, and again as retry does. op names the operation in the error.
func (t *table) transact(ctx context.Context, op string, do func(ctx context.Context, tx *sql.Tx) error) error {
	return t.retry(ctx, op, func(ctx context.Context) error {
		unlock, err := t.lockWriter(ctx)
		if err != nil {
			return err
		}
		defer unlock()
		tx, err := t.db.BeginTx(ctx, t.dialect.isolation())
		if err != nil {
			return err
		}
		if err := do(ctx, tx); err != nil {
			tx.Rollback() // the transaction is over either way
			return err
		}
		return tx.Commit()
	})
}

// indexError marks an error as driver.ErrUnavailable, unless it says what it is. It returns a
// refusal of Enter without the operation, which failed for no fault of the database.
func indexError(err error) error {
	for _, refusal := range []error{driver.ErrEnded, driver.ErrIndexFull} {
		if errors.Is(err, refusal) {
			return refusal
		}
	}
	if err == nil || errors.Is(err, driver.ErrMisconfigured) || errors.Is(err, driver.ErrDamaged) {
		return err
	}
	return fmt.Errorf("%w: %w", driver.ErrUnavailable, err)
}
