package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"reflect"
	"strconv"
	"strings"
	"time"

	"example.com/session/driver"
)

const (
	// maxWork bounds an operation whose context has no deadline.
	maxWork = 5 * time.Second

	// brokenTries is how often a statement is sent again because its connection broke. A pool may
	// hold several connections that a restart of the server has broken.
	brokenTries = 4

	maxPause = 32 * time.Millisecond // between two tries of a statement that others are in the way of
)

// A fault is what an error of the database means for the operation that sent the statement.
type fault int

const (
	unavailable   fault = iota // wait, or ask an operator
	contended                  // other transactions were in the way: nothing was done
	broken                     // the connection broke: the outcome is unknown
	duplicate                  // the key exists
	misconfigured              // waiting does not help
)

// retry calls do until it succeeds, or fails for another reason than concurrent requests or a
// broken connection. It must be safe to repeat do. op names the operation in the error.
func (t *table) retry(ctx context.Context, op string, do func(ctx context.Context) error) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, maxWork)
		defer cancel()
	}
	lost := 0
	for tries := 1; ; tries++ {
		err := do(ctx)
		if err == nil {
			return nil
		}
		switch t.dialect.faultOf(err) {
		case contended:
			if pause(ctx, tries) == nil {
				continue
			}
		case broken:
			if lost++; lost <= brokenTries && ctx.Err() == nil {
				continue
			}
		case misconfigured:
			if errors.Is(err, driver.ErrMisconfigured) { // it has told why
				break
			}
			return fmt.Errorf("session: %s in %s: %w: %w%s", op, t.dialect, driver.ErrMisconfigured, err, t.dialect.hint(err))
		}
		return fmt.Errorf("session: %s in %s: %w", op, t.dialect, err)
	}
}

// pause waits for a random time, so that operations that conflicted do not conflict again.
func pause(ctx context.Context, tries int) error {
	return sleep(ctx, rand.N(min(maxPause, time.Duration(tries)*2*time.Millisecond)))
}

// faultOf tells what an error means. It knows the codes of the servers, and no package of a driver.
func (d Dialect) faultOf(err error) fault {
	if errors.Is(err, errReplica) || errors.Is(err, driver.ErrMisconfigured) {
		return misconfigured
	}
	for _, final := range []error{
		driver.ErrEnded, driver.ErrIndexFull, driver.ErrDamaged, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, final) {
			return unavailable
		}
	}
	if f, ok := d.code(err); ok {
		return f
	}
	if d.isOther(err) {
		return misconfigured
	}
	if strings.HasPrefix(err.Error(), "cannot parse `") { // pgx reads the DSN when it connects
		return misconfigured
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return unavailable
	}
	return broken
}

// code returns what the code of an error means. ok is false if the error has none, as when a
// connection breaks.
func (d Dialect) code(err error) (f fault, ok bool) {
	switch d {
	case Postgres:
		if state, ok := sqlState(err); ok {
			return postgresFault(state), true
		}
	case MySQL:
		if number, ok := numberIn(err, "Number"); ok {
			return mysqlFault(number), true
		}
	case SQLite:
		if number, ok := sqliteCode(err); ok {
			return sqliteFault(number), true
		}
	}
	return unavailable, false
}

// isOther reports whether an error is that of another kind of database.
func (d Dialect) isOther(err error) bool {
	for other := Postgres; other <= SQLite; other++ {
		if _, ok := other.code(err); ok && other != d {
			return true
		}
	}
	return false
}

// sqlState returns the SQLSTATE that the errors of pgx and lib/pq have.
func sqlState(err error) (string, bool) {
	var coded interface{ SQLState() string }
	if !errors.As(err, &coded) {
		return "", false
	}
	return coded.SQLState(), true
}

func postgresFault(state string) fault {
	switch state {
	case "40001", "40P01", "55P03": // serialization failure, deadlock, lock not available
		return contended
	case "57P01", "57P02": // the server shuts down or has crashed
		return broken
	case "23505":
		return duplicate
	case "25006", "42P01", "42P07", "42703", "42501", "42P05", "26000":
		return misconfigured
	}
	switch state[:min(2, len(state))] {
	case "08":
		return broken
	case "28", "3D", "3F": // who may connect; no such database; no such schema
		return misconfigured
	}
	return unavailable
}

func mysqlFault(number int64) fault {
	switch number {
	case 1213, 1205, 1020, 1615: // deadlock, lock wait, record has changed since last read, prepare again
		return contended
	case 1053, 1077, 1079, 1158, 1159, 1160, 1161, 1927: // shutdown, or a connection that ended
		return broken
	case 1062:
		return duplicate
	case 1290, 1792, 1836, 1665, // read-only, or a binary log of statements
		1044, 1045, 1142, 1143, 1698, 1046, 1049, 1146, 1054:
		return misconfigured
	}
	return unavailable
}

// sqliteCode returns the code of an error of modernc.org/sqlite or github.com/mattn/go-sqlite3.
func sqliteCode(err error) (int64, bool) {
	var coded interface{ Code() int }
	if errors.As(err, &coded) {
		return int64(coded.Code()), true
	}
	return numberIn(err, "Code")
}

func sqliteFault(code int64) fault {
	switch code & 0xff { // without what extends it
	case 5, 6: // SQLITE_BUSY, SQLITE_LOCKED
		return contended
	case 19:
		return duplicate
	case 1, 3, 8, 14, 23, 26: // no such table; may not be written or opened; not a database
		return misconfigured
	}
	return unavailable
}

// numberIn returns a field of the first error of a chain that has it.
func numberIn(err error, field string) (int64, bool) {
	for ; err != nil; err = errors.Unwrap(err) {
		v := reflect.Indirect(reflect.ValueOf(err))
		if v.Kind() != reflect.Struct {
			continue
		}
		found, ok := v.Type().FieldByName(field)
		if !ok || len(found.Index) > 1 { // not of a struct within it, which may be nil
			continue
		}
		switch f := v.FieldByIndex(found.Index); {
		case f.CanUint():
			return int64(f.Uint()), true
		case f.CanInt():
			return f.Int(), true
		}
	}
	return 0, false
}

// hint tells the way out of a misconfiguration.
func (d Dialect) hint(err error) string {
	code, _ := sqlState(err)
	if number, ok := numberIn(err, "Number"); ok {
		code = strconv.FormatInt(number, 10)
	}
	sqlite := func(part string) bool { return d == SQLite && strings.Contains(err.Error(), part) }
	switch {
	case d.isOther(err):
		return "; the database is not " + d.String() + ": give New its Dialect"
	case code == "42P01" || code == "1146" || sqlite("no such table"):
		return "; call Migrate, or run the statements of Schema"
	case code == "42703" || code == "1054" || sqlite("no such column"):
		return "; the tables are those of another version: call Migrate"
	case code == "42P07" || sqlite("already exists"):
		return "; the table is not of this package: choose another Options.Table"
	case code == "42501" || code == "1044" || code == "1142" || code == "1143":
		return "; grant the rights that docs/sql.md names; Migrate may be given another user's *sql.DB"
	case code == "1046":
		return "; name the database in the DSN, or set Options.Schema"
	case code == "25006" || code == "1290" || code == "1792" || code == "1836":
		return "; connect to the primary server, which accepts writes"
	case sqlite("readonly database") || sqlite("unable to open"):
		return "; the process must be allowed to write the file and its directory, and mode=ro must not be set"
	case code == "26000" || code == "42P05":
		return "; behind pgbouncer, let pgx prepare nothing: default_query_exec_mode=exec"
	}
	return ""
}
