package drivertest

import (
	"testing"
	"time"

	"example.com/session/driver"
	"example.com/session/internal/casstore"
	"example.com/session/internal/memory"
)

// The references pass the suites: what the suites find in the mutants is the fault.

func TestReferenceDriver(t *testing.T) {
	shared := newReference("")
	Drivers(t, func(t *testing.T) driver.Driver { return shared }, shared.options()...)
}

func TestReferenceStore(t *testing.T) {
	for name, open := range map[string]func(*referenceStore) driver.Store{
		"swapper": func(s *referenceStore) driver.Store { return s },
		"plain":   func(s *referenceStore) driver.Store { return plainStore{s} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			Stores(t, func(t *testing.T) driver.Store { return open(newReferenceStore("")) },
				func(t *testing.T, first driver.Store) driver.Store { return first })
		})
	}
}

// TestSlowStoreIsNotAFailingStore holds the suites to a Store with one lock for all writers, which
// waits for its disk while it holds it.
func TestSlowStoreIsNotAFailingStore(t *testing.T) {
	for name, open := range map[string]func(*referenceStore) driver.Store{
		"swapper": func(s *referenceStore) driver.Store { return s },
		"plain":   func(s *referenceStore) driver.Store { return plainStore{s} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			Stores(t, func(t *testing.T) driver.Store {
				s := newReferenceStore("")
				s.pause = 5 * time.Millisecond
				return open(s)
			})
		})
	}
}

func TestMemoryDriver(t *testing.T) {
	t.Parallel()
	Drivers(t, func(t *testing.T) driver.Driver { return memory.New(memory.Options{}) })
}

// TestCASStore holds the suites to a Store that does everything that its contract allows.
func TestCASStore(t *testing.T) {
	t.Parallel()
	Stores(t, func(t *testing.T) driver.Store { return new(casstore.Store) })
}

func TestCASSwapper(t *testing.T) {
	t.Parallel()
	Stores(t, func(t *testing.T) driver.Store { return new(casstore.Swapper) })
}
