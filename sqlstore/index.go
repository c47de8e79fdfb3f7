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

// errRefused rolls a transaction back because of what it has read.
var errRefused = errors.New("refused")

// A userList is what the rows of one user say. The row without an id is the user's own: its
// entered_us is the time of EndBefore, and a sign-in locks it, so that sign-ins of one user take turns.
type userList struct {
	endedAt int64 // microseconds since 1970; 0 for never
	entries []driver.IndexEntry
}

// Enter implements driver.Index in one transaction, which locks the user's own row first.
func (d *Driver) Enter(ctx context.Context, user string, e driver.IndexEntry, limit int, now time.Time) error {
	var refusal error
	err := d.table.transact(ctx, "sign in", func(ctx context.Context, tx *sql.Tx) (err error) {
		if refusal, err = d.table.enter(ctx, tx, user, e, limit, now); refusal != nil {
			return errRefused
		}
		return err
	})
	if errors.Is(err, errRefused) {
		return refusal
	}
	return indexError(err)
}

// enter judges and stores one entry. The end of an entry never moves back: of two parallel sign-ins
// either may be the last one to be saved.
func (t *table) enter(ctx context.Context, tx *sql.Tx, user string, e driver.IndexEntry, limit int, now time.Time) (
	refusal, err error,
) {
	if _, err := tx.ExecContext(ctx, t.text.head, user, e.Ends.UnixMilli()); err != nil {
		return nil, err
	}
	list, err := t.entries(ctx, tx, user)
	if err != nil {
		return nil, err
	}
	if list.ended(e.Entered, now) {
		return driver.ErrEnded, nil
	}
	others := 0
	for _, other := range list.entries {
		switch {
		case !other.Ends.After(now): // it has ended, and was not removed yet
		case other.ID != e.ID:
			others++
		default:
			e.Entered = other.Entered
			if other.Ends.After(e.Ends) {
				e.Ends = other.Ends
			}
		}
	}
	if limit > 0 && others >= limit {
		return driver.ErrIndexFull, nil
	}
	_, err = tx.ExecContext(ctx, t.text.enter, user, e.ID.String(), e.Entered.UnixMicro(), e.Ends.UnixMilli())
	return nil, err
}

// ended reports whether EndBefore refuses a request that entered then. A time of EndBefore that is
// further in the future than driver.EndBeforeAhead is ignored, because it comes from a wrong clock.
func (l *userList) ended(entered, now time.Time) bool {
	age := now.UnixMicro() - l.endedAt
	return l.endedAt > entered.UnixMicro() &&
		age >= -driver.EndBeforeAhead.Microseconds() && age < driver.IndexTombstone.Microseconds()
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
	var list userList
	err = d.table.retry(ctx, "list the sessions of a user", func(ctx context.Context) (err error) {
		list, err = d.table.entries(ctx, d.table.db, user)
		return err
	})
	if err != nil {
		return nil, indexError(err)
	}
	for _, e := range list.entries {
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
func (t *table) entries(ctx context.Context, q querier, user string) (list userList, err error) {
	rows, err := q.QueryContext(ctx, t.text.entries, user)
	if err != nil {
		return userList{}, err
	}
	defer rows.Close()
	none := true
	for rows.Next() {
		var id string
		var entered, ends int64
		var replica bool
		if err := rows.Scan(&id, &entered, &ends, &replica); err != nil {
			return userList{}, err
		}
		if none = false; replica {
			return userList{}, errReplica
		}
		if err := list.add(id, entered, ends); err != nil {
			return userList{}, err
		}
	}
	if err := rows.Err(); err != nil {
		return userList{}, err
	}
	if err := rows.Close(); err != nil { // it gives its connection back before the next statement
		return userList{}, err
	}
	if none {
		err = t.checkPrimary(ctx)
	}
	return list, err
}

func (l *userList) add(id string, entered, ends int64) error {
	if id == "" {
		l.endedAt = entered
		return nil
	}
	parsed, ok := driver.ParseID(id)
	if !ok {
		return fmt.Errorf("read the list of a user's sessions: %w", driver.ErrDamaged)
	}
	l.entries = append(l.entries,
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

// indexError marks an error as driver.ErrUnavailable, unless it says what it is.
func indexError(err error) error {
	if err == nil || errors.Is(err, driver.ErrMisconfigured) || errors.Is(err, driver.ErrDamaged) {
		return err
	}
	return fmt.Errorf("%w: %w", driver.ErrUnavailable, err)
}
