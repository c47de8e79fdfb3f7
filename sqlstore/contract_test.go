package sqlstore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/driver/drivertest"
	"example.com/session/sqlstore"
)

func TestStoreContract(t *testing.T) {
	onDatabases(t, func(t *testing.T, s *site) {
		other := s.pool(t)
		drivertest.Stores(t,
			func(t *testing.T) driver.Store { return s.driver(t, s.db).Store() },
			func(t *testing.T, _ driver.Store) driver.Store { return s.driver(t, other).Store() })
	})
}

func TestDriverContract(t *testing.T) {
	onDatabases(t, func(t *testing.T, s *site) {
		other := s.pool(t)
		drivertest.Drivers(t, func(t *testing.T) driver.Driver { return s.driver(t, s.db) }, drivertest.Options{
			Again: func(t *testing.T, _ driver.Driver) driver.Driver { return s.driver(t, other) },
			Damage: func(t testing.TB, d driver.Driver, id driver.ID, data []byte) {
				err := d.(*sqlstore.Driver).Store().Update(t.Context(), id.String(), func([]byte) (driver.Entry, error) {
					return driver.Entry{Data: data, TTL: time.Hour}, nil
				})
				require.NoError(t, err)
			},
		})
	})
}
