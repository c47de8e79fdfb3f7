package sqlstore

import (
	"time"

	"example.com/session/driver"
)

// Store returns the driver.Store that the Driver is made of.
func (d *Driver) Store() driver.Store { return &d.table }

// Tables returns the quoted names of both tables.
func (d *Driver) Tables() (sessions, users string) {
	return d.table.names["sessions"], d.table.names["users"]
}

// A Statement is one of those that are sent while requests are served, with arguments for EXPLAIN.
type Statement struct {
	Name, Text string
	Args       []any
}

// Statements returns all statements with a condition.
func (d *Driver) Statements() []Statement {
	text, cutoff := &d.table.text, int64(1)
	all := []Statement{
		{"load", text.load, []any{"key", int64(1)}},
		{"update", text.update, []any{[]byte("data"), []byte("v"), int64(1), int64(1), "key", []byte("v"), int64(1)}},
		{"replace", text.replace, []any{[]byte("data"), []byte("v"), int64(1), int64(1), "key", int64(1)}},
		{"entries", text.entries, []any{"user"}},
		{"remove", text.remove, []any{"user", "id"}},
		{"listed", text.listed, []any{int64(1), "user", "id"}},
		{"endListed", text.endListed, []any{[]byte("data"), []byte("v"), int64(1), int64(1), "user", "id"}},
		{"removeListed", text.removeListed, []any{"user", "id"}},
	}
	for _, c := range text.cleanups {
		args := []any{cutoff}
		if d.table.dialect == Postgres {
			args = append(args, cutoff)
		}
		all = append(all, Statement{"cron", c.cron, nil}, Statement{"cleanup", c.batch, args})
	}
	return all
}

// SkewOfCleanup is how much longer rows are kept than they live.
const SkewOfCleanup = skew + time.Hour

// FaultOf names what an error means.
func (d Dialect) FaultOf(err error) string {
	return [...]string{"unavailable", "contended", "broken", "duplicate", "misconfigured"}[d.faultOf(err)]
}
