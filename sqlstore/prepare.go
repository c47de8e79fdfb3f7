package sqlstore

import (
	"context"
	"database/sql"
	"sync"
)

// prepared are the statements that SQLite has compiled. Compiling takes as long as carrying one out.
// Servers prepare nothing by name: behind pgbouncer the next transaction may be on another connection.
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
func (t *table) send(ctx context.Context, text string, args ...any) (sql.Result, error) {
	if t.dialect != SQLite {
		return t.db.ExecContext(ctx, text, args...)
	}
	stmt, err := t.prepared.get(ctx, t.db, text)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(ctx, args...)
}

// ask reads one row, without a transaction, into the variables that into points to.
func (t *table) ask(ctx context.Context, text, key string, into ...any) error {
	if t.dialect != SQLite {
		return t.db.QueryRowContext(ctx, text, key).Scan(into...)
	}
	stmt, err := t.prepared.get(ctx, t.db, text)
	if err != nil {
		return err
	}
	return stmt.QueryRowContext(ctx, key).Scan(into...)
}
