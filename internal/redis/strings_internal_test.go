package redis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/driver/drivertest"
	"example.com/session/internal/redistest"
)

// What the driver is made of is a complete Store, also for those that call Update.
func TestStringStoreKeepsTheContractOfAStore(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	drivertest.Stores(t, func(t *testing.T) driver.Store {
		d := New(Config{Network: "tcp", Address: server.Addr(), Connections: 64, ReadTimeout: time.Second})
		t.Cleanup(func() { require.NoError(t, d.Close()) })
		return stringStore{d}
	})
}
