package sqlstore_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/internal/sqltest"
	"example.com/session/sqlstore"
)

func TestEveryStatementUsesAnIndex(t *testing.T) {
	onDatabases(t, func(t *testing.T, s *site) {
		d := s.driver(t, s.db)
		s.fill(t, d, s.many(20_000), time.Now().Add(time.Hour))
		sessions, users := d.Tables()
		analyze := "ANALYZE"
		if s.dialect == sqlstore.MySQL {
			analyze = "ANALYZE TABLE"
		}
		s.exec(t, analyze+" "+sessions, analyze+" "+users)
		for _, statement := range d.Statements() {
			plan := s.explain(t, statement)
			switch s.dialect {
			case sqlstore.Postgres:
				assert.NotContains(t, plan, "Seq Scan", statement.Text)
				assert.Contains(t, plan, "Index", statement.Text)
			case sqlstore.MySQL:
				for line := range strings.Lines(plan) {
					if strings.Contains(line, "table=<derived") || strings.Contains(line, "after reading const tables") {
						continue // the keys of one batch, or a row that the primary key names
					}
					assert.NotRegexp(t, `type=(ALL|index) `, line, statement.Text)
					assert.NotContains(t, line, " key=<nil>", statement.Text)
				}
			case sqlstore.SQLite:
				assert.NotContains(t, plan, "SCAN", statement.Text)
				assert.Contains(t, plan, "SEARCH", statement.Text)
			}
		}
	})
}

// explain returns the plan of a statement as text.
func (s *site) explain(t *testing.T, statement sqlstore.Statement) string {
	t.Helper()
	explain := "EXPLAIN "
	if s.dialect == sqlstore.SQLite {
		explain = "EXPLAIN QUERY PLAN "
	}
	rows, err := s.db.QueryContext(t.Context(), explain+statement.Text, statement.Args...)
	require.NoError(t, err, statement.Text)
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(t, err)
	var plan strings.Builder
	for rows.Next() {
		values := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		require.NoError(t, rows.Scan(into...))
		for i, v := range values {
			if text, ok := v.([]byte); ok {
				v = string(text)
			}
			fmt.Fprintf(&plan, "%s=%v ", columns[i], v)
		}
		plan.WriteByte('\n')
	}
	require.NoError(t, rows.Err())
	return plan.String()
}

// A save changes expires_ms, which no index has, and sweep_hour once an hour.
func TestSavesInPostgreSQLTouchNoIndex(t *testing.T) {
	server := sqltest.Postgres(t)
	name := fmt.Sprint("hot_", tables.Add(1)) // an ANALYZE in another database holds nothing back
	_, err := server.Open(t).ExecContext(t.Context(), "CREATE DATABASE "+name)
	require.NoError(t, err)
	s := newSite(t, sqlstore.Postgres, func(tb testing.TB) *sql.DB {
		return sqltest.Open(tb, server.DriverName, strings.Replace(server.DSN, "/postgres?", "/"+name+"?", 1))
	})
	d := s.driver(t, s.db)
	const sessions, saves = 100, 20
	for range sessions {
		first := begin(set("cart", strings.Repeat("x", 300)))
		rec, err := d.Save(t.Context(), nil, first)
		require.NoError(t, err)
		for range saves {
			rec, err = d.Save(t.Context(), rec, further(first, add(1)))
			require.NoError(t, err)
		}
	}
	var updates, hot int
	table, _ := d.Tables()
	require.Eventually(t, func() bool {
		err := s.db.QueryRowContext(t.Context(), `SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables
			WHERE relid = $1::regclass`, table).Scan(&updates, &hot)
		return err == nil && updates == sessions*saves
	}, 10*time.Second, 50*time.Millisecond, "the server counts updates late")
	assert.Equal(t, updates, hot, "some updates were not HOT")
}
