package redis_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/driver/drivertest"
	"example.com/session/internal/redis"
	"example.com/session/internal/redistest"
)

func TestDriverKeepsTheContract(t *testing.T) {
	t.Parallel()
	c := config(redistest.Shared(t).Addr(), "")
	c.Namespace = "own"
	keepsTheContract(t, c)
}

func TestDriverKeepsTheContractThroughAnotherClient(t *testing.T) {
	t.Parallel()
	keepsTheContract(t, redis.Config{Client: redigoClient(t, redistest.Shared(t).Addr()), Namespace: "other"})
}

func keepsTheContract(t *testing.T, c redis.Config) {
	t.Helper()
	open := func(t *testing.T) driver.Driver { return newDriver(t, c) }
	drivertest.Drivers(t, open, drivertest.Options{
		Again: func(t *testing.T, _ driver.Driver) driver.Driver { return open(t) },
		Damage: func(t testing.TB, _ driver.Driver, id driver.ID, data []byte) {
			_, err := redistest.Shared(t).Conn(t).Do("SET", c.Namespace+":session:"+id.String(), data, "PX", 60000)
			require.NoError(t, err)
		},
	})
}
