package drivertest_test

import (
	"testing"

	"example.com/session/driver"
	"example.com/session/driver/drivertest"
	"example.com/session/internal/casstore"
	"example.com/session/internal/memory"
)

// newStore and newDriver open what is tested.
func newStore() driver.Store   { return new(casstore.Store) }
func newDriver() driver.Driver { return memory.New(memory.Options{}) }

func ExampleStores() {
	var t *testing.T // func TestStore(t *testing.T) {
	drivertest.Stores(t, func(t *testing.T) driver.Store { return newStore() })
}

// The suite also opens the store a second time, as another process would.
func ExampleStores_again() {
	var t *testing.T // func TestStore(t *testing.T) {
	drivertest.Stores(t,
		func(t *testing.T) driver.Store { return newStore() },
		func(t *testing.T, first driver.Store) driver.Store { return first /* opened once more */ },
	)
}

func ExampleDrivers() {
	var t *testing.T // func TestDriver(t *testing.T) {
	drivertest.Drivers(t, func(t *testing.T) driver.Driver { return newDriver() })
}

func ExampleOptions() {
	var t *testing.T // func TestDriver(t *testing.T) {
	open := func(t *testing.T) driver.Driver { return newDriver() }
	drivertest.Drivers(t, open, drivertest.Options{
		Again: func(t *testing.T, first driver.Driver) driver.Driver { return first /* opened once more */ },
	})
}
