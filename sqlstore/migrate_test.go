package sqlstore_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/internal/sqltest"
	"example.com/session/sqlstore"
)

func TestProcessesThatStartTogetherMigrateOnce(t *testing.T) {
	onDatabases(t, func(t *testing.T, s *site) {
		for round := range 3 {
			s.options.Table = fmt.Sprintf("together %d %d", tables.Add(1), round)
			each(8, func(int) {
				db := s.pool(t)
				assert.NoError(t, s.driver(t, db).Migrate(within(t, 60e9), db))
			})
			require.NoError(t, s.driver(t, s.db).Ping(t.Context()))
			var versions int
			quoted := strings.Replace(`"together`, "together", s.options.Table, 1) + `_schema"`
			if s.dialect == sqlstore.MySQL {
				quoted = strings.ReplaceAll(quoted, `"`, "`")
			}
			require.NoError(t, s.db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+quoted).Scan(&versions))
			assert.Equal(t, 1, versions, "it was migrated more than once")
		}
	})
}

func TestSchemaIsWhatMigrateDoes(t *testing.T) {
	onDatabases(t, func(t *testing.T, s *site) {
		s.options.Table = fmt.Sprint("by hand ", tables.Add(1))
		d := s.driver(t, s.db)
		for _, statement := range strings.Split(strings.TrimSuffix(d.Schema(), ";\n"), ";\n\n") {
			s.exec(t, statement)
		}
		require.NoError(t, d.Ping(t.Context()))
		require.NoError(t, d.Migrate(t.Context(), s.db), "there is nothing left to do")
		_, err := d.Save(t.Context(), nil, begin(add(1)))
		require.NoError(t, err)
	})
}

func TestFailedMigrationLeavesNoLock(t *testing.T) {
	onDatabases(t, func(t *testing.T, s *site) {
		s.options.Table = fmt.Sprint("fails ", tables.Add(1))
		d := s.driver(t, s.db)
		_, users := d.Tables()
		view := "CREATE VIEW " + users + " AS SELECT 1 AS one" // in the place of a table
		s.exec(t, view)
		err := d.Migrate(t.Context(), s.db)
		if s.dialect == sqlstore.MySQL { // IF NOT EXISTS takes the view for the table
			require.NoError(t, err)
			require.Error(t, d.Ping(t.Context()))
			return
		}
		require.Error(t, err)
		s.exec(t, "DROP VIEW "+users)
		require.NoError(t, d.Migrate(t.Context(), s.db))
		require.NoError(t, d.Ping(t.Context()))
	})
}

// The rights that docs/sql.md names are enough, and Migrate needs no others if there is nothing to do.
func TestRightsOfAnApplicationInPostgreSQL(t *testing.T) {
	t.Parallel()
	server := sqltest.Postgres(t)
	s := newSite(t, sqlstore.Postgres, server.Open)
	s.options.Schema, s.options.Table = fmt.Sprint("app ", tables.Add(1)), "sessions"
	s.exec(t, fmt.Sprintf(`CREATE SCHEMA %q`, s.options.Schema))
	owner := s.driver(t, s.db)
	require.NoError(t, owner.Migrate(t.Context(), s.db))
	role := fmt.Sprint("app_", tables.Add(1))
	s.exec(t,
		fmt.Sprintf(`CREATE ROLE %q LOGIN`, role),
		fmt.Sprintf(`GRANT USAGE ON SCHEMA %q TO %q`, s.options.Schema, role),
		fmt.Sprintf(`GRANT SELECT, INSERT, UPDATE, DELETE ON %[1]q."sessions", %[1]q."sessions_user" TO %[2]q`, s.options.Schema, role),
		fmt.Sprintf(`GRANT SELECT ON %q."sessions_schema" TO %q`, s.options.Schema, role))
	db := sqltest.Open(t, server.DriverName, strings.Replace(server.DSN, "postgres@", role+"@", 1))
	d := s.driver(t, db)
	require.NoError(t, d.Migrate(t.Context(), db))
	require.NoError(t, d.Ping(t.Context()))
	rec, err := d.Save(t.Context(), nil, begin(add(1)))
	require.NoError(t, err)
	require.NoError(t, d.Enter(t.Context(), user(), entry(rec.ID()), 0, rec.CreatedAt()))
	_, err = d.Cleanup(t.Context())
	require.NoError(t, err)
}
