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
// A session is one row. A load is one SELECT by the primary key. The first save of a session is one
// INSERT. Each further save is one UPDATE that compares the version of the row (compare-and-swap),
// so no lock is held between two statements and no write of another request is lost. Only sign-ins,
// EndOthers and EndAll use a transaction, for the list of the user's sessions.
//
// If concurrent requests make a statement fail (serialization failure, deadlock, busy SQLite), it
// is retried until the context ends; Config.StoreTimeout sets its deadline. A statement whose
// connection broke is sent again, which is safe because each statement can be repeated.
//
// The clocks of all processes must agree within five minutes. docs/sql.md has the set-up, sizes and
// what to monitor.
package sqlstore
