package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"io"
	"sync"
)

// prepared are the statements that MySQL and SQLite have compiled, which takes about as long as
// carrying one out. In PostgreSQL none is: behind pgbouncer the next transaction may be on another
// connection, and the SQL driver knows how to prepare where that works.
type prepared struct{ byText sync.Map } // of *sql.Stmt

// get returns a compiled statement. database/sql compiles it on each connection that it is used on.
func (p *prepared) get(ctx context.Context, db *sql.DB, text string) (*sql.Stmt, error) {
	if known, ok := p.byText.Load(text); ok {
		return known.(*sql.Stmt), nil
	}
	stmt, err := db.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	if first, loaded := p.byText.LoadOrStore(text, stmt); loaded {
		stmt.Close()
		return first.(*sql.Stmt), nil
	}
	return stmt, nil
}

// close forgets all statements. One that is in use is compiled again when it is sent again.
func (p *prepared) close() {
	p.byText.Range(func(text, stmt any) bool {
		p.byText.Delete(text)
		stmt.(*sql.Stmt).Close()
		return true
	})
}

// send sends a statement without a transaction.
func (t *table) send(ctx context.Context, text string, args ...any) (result sql.Result, err error) {
	if t.dialect != Postgres {
		var stmt *sql.Stmt
		if stmt, err = t.prepared.get(ctx, t.db, text); err == nil {
			result, err = stmt.ExecContext(t.sendContext(ctx), args...)
		}
		if !tooManyStatements(err) {
			return result, err
		}
	}
	return t.db.ExecContext(ctx, text, args...)
}

// ask reads the data of a row, without a transaction, and whether the server is a replica.
func (t *table) ask(ctx context.Context, key string, now int64) (data []byte, replica bool, err error) {
	if t.dialect != Postgres {
		var stmt *sql.Stmt
		if stmt, err = t.prepared.get(ctx, t.db, t.text.load); err == nil {
			err = stmt.QueryRowContext(t.sendContext(ctx), key, now).Scan(&data, &replica)
		}
		if !tooManyStatements(err) {
			return data, replica, err
		}
	} else {
		data, replica, err = t.askDriver(ctx, key, now)
		if !errors.Is(err, sqldriver.ErrSkip) && !errors.Is(err, sqldriver.ErrBadConn) {
			return data, replica, err
		}
	}
	err = t.db.QueryRowContext(ctx, t.text.load, key, now).Scan(&data, &replica)
	return data, replica, err
}

// sendContext returns the context that a statement of one row is sent with. In SQLite one that may end
// costs a goroutine, a sixth of a request that begins a session, and interrupts nothing: the wait for
// another process's lock goes on until busy_timeout. It counts only where the pool is limited, since all
// connections may be in use.
func (t *table) sendContext(ctx context.Context) context.Context {
	if t.dialect == SQLite && ctx.Err() == nil && t.db.Stats().MaxOpenConnections == 0 {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// tooManyStatements reports whether MySQL has no room for one more (max_prepared_stmt_count).
func tooManyStatements(err error) bool {
	number, _ := numberIn(err, "Number")
	return number == 1461
}

// askDriver is ask without database/sql, which starts a goroutine for each query whose context may
// end. That takes a tenth of a whole request, and the driver watches the context, too. It returns
// driver.ErrSkip if the driver cannot be asked in this way.
func (t *table) askDriver(ctx context.Context, key string, now int64) (data []byte, replica bool, err error) {
	conn, err := t.db.Conn(ctx)
	if err != nil {
		return nil, false, err
	}
	defer conn.Close()
	err = conn.Raw(func(c any) error {
		queryer, ok := c.(sqldriver.QueryerContext)
		if !ok {
			return sqldriver.ErrSkip
		}
		rows, err := queryer.QueryContext(ctx, t.text.load, []sqldriver.NamedValue{{Ordinal: 1, Value: key}, {Ordinal: 2, Value: now}})
		if err != nil {
			return err
		}
		defer rows.Close()
		row := make([]sqldriver.Value, 2)
		if err := rows.Next(row); err != nil {
			return err
		}
		stored, isBytes := row[0].([]byte)
		replica, ok = row[1].(bool)
		if !isBytes || !ok {
			return sqldriver.ErrSkip
		}
		data = bytes.Clone(stored) // the driver may use the bytes again
		return nil
	})
	if err == io.EOF {
		err = sql.ErrNoRows
	}
	return data, replica, err
}
