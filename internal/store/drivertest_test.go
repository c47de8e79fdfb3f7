package store_test

import (
	"testing"

	"example.com/session/driver"
	"example.com/session/driver/drivertest"
	"example.com/session/internal/casstore"
)

func TestContract(t *testing.T) {
	t.Run("Store", func(t *testing.T) {
		drivertest.Stores(t, func(*testing.T) driver.Store { return new(casstore.Store) })
	})
	t.Run("Swapper", func(t *testing.T) {
		drivertest.Stores(t, func(*testing.T) driver.Store { return new(casstore.Swapper) })
	})
}
