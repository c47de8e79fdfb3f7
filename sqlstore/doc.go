// Package sqlstore keeps sessions in PostgreSQL, MySQL, MariaDB or SQLite, through database/sql and
// whatever SQL driver the application uses.
//
//	db, err := sql.Open("pgx", "postgres://shop@db.internal/shop")
//	store, err := sqlstore.New(db, sqlstore.Postgres, sqlstore.Options{})
//	err = store.Migrate(ctx, db)
//	manager, err := session.NewManager(session.Config{
//		Default: "sql",
//		Drivers: map[string]session.Driver{"sql": store},
//	})
//	defer store.Close()
//
// A session is one row. Loading it is one SELECT by the primary key. A save is one UPDATE that
// compares the version of the row, so no lock is held between two statements and no write of another
// request is lost. Beginning a session is one INSERT. Only sign-ins and EndAll take a transaction,
// for the list of the user's sessions.
//
// Errors that a database reports while requests compete (serialization failures, deadlocks, a busy
// SQLite) are retried until the context ends, which Config.StoreTimeout bounds. A statement whose
// connection broke is sent again, because repeating it changes nothing.
//
// The clocks of all processes must agree within five minutes. docs/sql.md has the set-up, sizes and
// what to monitor.
package sqlstore
