package session

import (
	"example.com/session/driver"
	"example.com/session/internal/store"
)

// A Driver keeps sessions. Package driver has the contract, for authors of drivers. Most of them
// should write a Store.
type Driver = driver.Driver

// A Store keeps bytes under keys, for example in a table. StoreDriver makes a Driver of it.
// docs/drivers.md tells how to write one, and package drivertest tests it.
type Store = driver.Store

// StoreDriver returns a Driver that keeps sessions in s, for Config.Drivers. It also lists and ends
// a user's sessions. If s has a method Ping(context.Context) error, Manager.Ping calls it.
//
// The clocks of processes that share a Store must agree within five minutes.
func StoreDriver(s Store) Driver { return store.New(s) }
