package sqlstore

import (
	"database/sql"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A Dialect is a kind of database.
type Dialect int

// The dialects. For MariaDB use MySQL.
const (
	Postgres Dialect = iota + 1 // PostgreSQL 11 or later
	MySQL                       // MySQL 8.0, MariaDB 10.6, or later
	SQLite                      // SQLite 3.37 or later, in WAL mode
)

// String returns the name of the database.
func (d Dialect) String() string {
	switch d {
	case Postgres:
		return "PostgreSQL"
	case MySQL:
		return "MySQL"
	case SQLite:
		return "SQLite"
	}
	return "Dialect(" + strconv.Itoa(int(d)) + ")"
}

// quote returns an identifier that stands for any name.
func (d Dialect) quote(name string) string {
	mark := `"`
	if d == MySQL {
		mark = "`"
	}
	return mark + strings.ReplaceAll(name, mark, mark+mark) + mark
}

// sql writes a statement for the dialect: it fills the text in, makes one line of it, and numbers
// the parameters in PostgreSQL.
func (d Dialect) sql(names map[string]string, text string) string {
	parts := strings.Split(strings.Join(strings.Fields(text), " "), "?")
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteString(d.parameter(i))
		}
		b.WriteString(d.fill(names, part))
	}
	return b.String()
}

// fill replaces the words in braces by what names maps them to. Only the names of tables come from
// the options, and they are quoted.
func (d Dialect) fill(names map[string]string, text string) string {
	return words.ReplaceAllStringFunc(text, func(word string) string {
		value, ok := names[strings.Trim(word, "{}")]
		if !ok {
			panic(fmt.Sprintf("sqlstore: no %s in a statement for %s", word, d))
		}
		return value
	})
}

var words = regexp.MustCompile(`\{[^}]*\}`)

func (d Dialect) parameter(n int) string {
	if d == Postgres {
		return "$" + strconv.Itoa(n)
	}
	return "?"
}

// words returns what differs between the dialects within a statement.
func (d Dialect) words() map[string]string {
	w := map[string]string{
		"greatest": "GREATEST", "as u": " AS u", "u.": "u.", "for update": "FOR UPDATE", "replica": "pg_is_in_recovery()",
		"or update user": "ON CONFLICT (user_key, id) DO UPDATE SET", "or update session": "ON CONFLICT (id) DO UPDATE SET",
	}
	row := "excluded.%s"
	switch d {
	case MySQL:
		w["as u"], w["u."], w["replica"] = "", "", "@@global.read_only OR @@global.innodb_read_only"
		w["or update user"], w["or update session"] = "ON DUPLICATE KEY UPDATE", "ON DUPLICATE KEY UPDATE"
		row = "VALUES(%s)"
	case SQLite:
		w["greatest"], w["for update"], w["replica"] = "max", "", "0" // a transaction that has written is alone
	}
	for _, column := range []string{"entered_us", "ends_ms", "data", "version", "expires_ms", "sweep_hour"} {
		w["new."+column] = fmt.Sprintf(row, column)
	}
	return w
}

// isolation is that of transactions whose first statement locks what they change. Each further
// statement must see what others have committed before.
func (d Dialect) isolation() *sql.TxOptions {
	if d == SQLite { // it knows one level only
		return nil
	}
	return &sql.TxOptions{Isolation: sql.LevelReadCommitted}
}
